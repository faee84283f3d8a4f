/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filter expressions: never a crash, always an end. The text is compiled as a filter and as a
 * value, and evaluated twice; what follows a NUL is JSON for the variable `data`.
 */
#include "base/err.h"
#include "base/util.h"
#include "webhooks/cel/cel.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const names[] = {"data", "type", "n", NULL};

static void decide(const char *text, const struct cel_var *vars, size_t count)
{
    struct err err = ERR_INIT;
    struct cel *cel CLEANUP(cel_freep) = cel_compile(text, names, &err);
    assert((cel == NULL) == (err.code != ERR_NONE));
    bool out = false;
    if (cel != NULL) {
        int status = cel_matches(cel, vars, count, &out, &err);
        assert((status != 0) == (err.code != ERR_NONE) && !(status != 0 && out));
    }
}

static void evaluate(const char *text, const struct cel_var *vars, size_t count)
{
    struct err err = ERR_INIT;
    struct cel *cel CLEANUP(cel_freep) = cel_compile_value(text, names, &err);
    assert((cel == NULL) == (err.code != ERR_NONE));
    if (cel == NULL) {
        assert(err.code == ERR_INVALID || err.code == ERR_LIMIT);
        return;
    }
    assert(strcmp(cel_text(cel), text) == 0);
    json_t *value = cel_evaluate(cel, vars, count, &err);
    assert((value == NULL) == (err.code != ERR_NONE));
    json_t *again = cel_evaluate(cel, vars, count, &err);
    assert(value == NULL ? again == NULL : json_equal(value, again));
    json_decref(again);
    json_decref(value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char standard[] = "{\"s\": \"h\xc3\xa9llo\", \"l\": [1, 2.5, \"a\", null, "
                                   "[true]], \"m\": {\"k\": {\"x-y\": 7}}}";
    char *text = xmalloc(size + 1);
    memcpy(text, data, size);
    text[size] = '\0';
    size_t len = strlen(text);
    json_t *given = len < size ? json_loads(text + len + 1, JSON_ALLOW_NUL, NULL) : NULL;
    json_t *var CLEANUP(json_decrefp) = given != NULL ? given : json_loads(standard, 0, NULL);
    json_t *type CLEANUP(json_decrefp) = json_string("run.finished");
    json_t *n CLEANUP(json_decrefp) = json_integer(5);
    const struct cel_var vars[] = {{"data", var}, {"type", type}, {"n", n}};
    decide(text, vars, ARRAY_LEN(vars));
    evaluate(text, vars, ARRAY_LEN(vars));
    free(text);
    return 0;
}
