/* SPDX-License-Identifier: Apache-2.0 */
/* Expressions by line, {"expression", "variables"}; answers {"value"} or {"error"} for each. */
#include "base/err.h"
#include "base/util.h"
#include "webhooks/cel/cel.h"

#include <stdio.h>
#include <stdlib.h>

#define VARIABLES_MAX 50

static json_t *answer(const json_t *asked)
{
    const char *names[VARIABLES_MAX + 1] = {NULL}, *key;
    struct cel_var vars[VARIABLES_MAX];
    size_t count = 0;
    json_t *value;
    json_object_foreach(json_object_get(asked, "variables"), key, value)
    {
        if (count < VARIABLES_MAX) {
            vars[count] = (struct cel_var){key, value};
            names[count++] = key;
        }
    }
    struct err err = ERR_INIT;
    const char *text = json_string_value(json_object_get(asked, "expression"));
    struct cel *cel CLEANUP(cel_freep) = cel_compile_value(text, names, &err);
    value = cel != NULL ? cel_evaluate(cel, vars, count, &err) : NULL;
    return value != NULL ? json_pack("{s:o}", "value", value)
                         : json_pack("{s:s}", "error", err.msg);
}

int main(void)
{
    char *line = NULL;
    size_t room = 0;
    while (getline(&line, &room, stdin) > 0) {
        json_t *asked CLEANUP(json_decrefp) = json_loads(line, 0, NULL);
        json_t *out CLEANUP(json_decrefp) = answer(asked);
        json_dumpf(out, stdout, JSON_COMPACT);
        putchar('\n');
    }
    free(line);
    return 0;
}
