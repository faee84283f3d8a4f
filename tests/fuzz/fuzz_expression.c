/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Expressions: never a crash, always an end. The text is compiled as a condition and evaluated;
 * its halves also are pattern and text of a regular expression.
 */
#include "base/err.h"
#include "base/pool.h"
#include "base/util.h"
#include "pipeline/draft.h"
#include "pipeline/expression.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void evaluate(const char *text)
{
    static const char *const names[] = {"d", "s", "l", "m", NULL};
    struct pool *pool CLEANUP(pool_freep) = pool_new();
    json_t *variables CLEANUP(json_decrefp) = json_pack("{s:i,s:s,s:[i,s,n],s:{s:i,s:[b]}}", "d", 5,
        "s", "h\xc3\xa9llo", "l", 1, "a", "m", "a", 1, "b", 1);
    struct err err = ERR_INIT;
    const struct expression *e = expression_compile(pool, text, names, &err);
    assert((e == NULL) == (err.code != ERR_NONE));
    if (e == NULL) {
        return;
    }
    json_t *value = expression_eval(e, variables, &err);
    json_t *again = expression_eval(e, variables, &err);
    assert((value == NULL) == (err.code != ERR_NONE));
    assert((value == NULL) == (again == NULL) && (value == NULL || json_equal(value, again)));
    json_decref(again);
    json_decref(value);
}

static void decide(const char *text)
{
    struct pool *pool CLEANUP(pool_freep) = pool_new();
    json_t *input CLEANUP(json_decrefp) =
        json_pack("{s:{s:{s:s,s:i,s:b},s:{s:{s:[{s:s,s:{s:f}}]}}}}", "inputs", "parameterValues",
            "a", "heads", "n", 5, "b", 1, "artifacts", "m", "artifacts", "uri", "s3://b/m",
            "metadata", "acc", 0.9);
    struct err err = ERR_INIT;
    bool runs;
    const struct expression *condition = condition_compile(pool, text, &err);
    assert((condition == NULL) == (err.code != ERR_NONE));
    if (condition != NULL) {
        int status = condition_eval(condition, input, &runs, &err);
        assert((status != 0) == (err.code != ERR_NONE));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = xmalloc(size + 1);
    memcpy(text, data, size);
    text[size] = '\0';
    evaluate(text);
    decide(text);
    free(text);
    return 0;
}
