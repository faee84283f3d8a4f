/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Git patterns for other programs' comparisons: reads lines {"pattern", "names"}, writes a list of
 * which names match for each, or the complaint as a string.
 */
#include "webhooks/in/git_pattern.h"

#include "base/err.h"
#include "base/json.h"
#include "base/util.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *answer(const char *line, size_t len)
{
    struct err err = ERR_INIT;
    const char *text = "";
    const json_t *names = NULL;
    json_t *doc CLEANUP(json_decrefp) = jread_text(line, len, "line", &err);
    if (doc == NULL || jread_string(doc, "", "pattern", &text, &err) != 0 ||
        jread_array(doc, "", "names", &names, &err) != 0) {
        return json_string(err.msg);
    }
    struct git_pattern *pattern = git_pattern_compile(text, &err);
    if (pattern == NULL) {
        return json_string(err.msg);
    }
    json_t *out = json_array();
    for (size_t i = 0; i < json_array_size(names); i++) {
        const char *name = json_string_value(json_array_get(names, i));
        json_array_append_new(
            out, json_boolean(name != NULL && git_pattern_matches(pattern, name)));
    }
    git_pattern_free(pattern);
    return out;
}

int main(void)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;
    while ((len = getline(&line, &cap, stdin)) > 0) {
        json_t *out = answer(line, (size_t)len);
        char *text = json_dumps(out, JSON_COMPACT | JSON_ENCODE_ANY);
        puts(text);
        free(text);
        json_decref(out);
    }
    free(line);
    return 0;
}
