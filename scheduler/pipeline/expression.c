/* SPDX-License-Identifier: Apache-2.0 */
/* Compiling an expression: ceilings, then parsing, then checking. */
#include "pipeline/expression.h"

#include "base/err.h"
#include "base/pool.h"
#include "base/util.h"
#include "pipeline/expression_tree.h"

#include <string.h>

static int check_text(const char *text, struct err *err)
{
    size_t len = strlen(text);
    if (len > EXPRESSION_MAX_BYTES) {
        return err_set(err, ERR_LIMIT,
            "an expression of %zu bytes; %u are allowed: have a task work it out", len,
            EXPRESSION_MAX_BYTES);
    }
    for (size_t at = 0; at < len;) {
        size_t step = utf8_step(text + at, len - at);
        if (step == 0) {
            return err_set(err, ERR_INVALID, "byte %zu of the expression is not UTF-8", at + 1);
        }
        at += step;
    }
    return 0;
}

const struct expression *expression_compile(
    struct pool *pool, const char *text, const char *const *names, struct err *err)
{
    if (check_text(text, err) != 0) {
        return NULL;
    }
    struct expression *out = pool_alloc(pool, sizeof *out);
    out->source = pool_strdup(pool, text);
    struct expression_node *root = expression_parse(pool, out->source, err);
    if (root == NULL || expression_check(out->source, root, names, err) != 0) {
        return NULL;
    }
    out->root = root;
    return out;
}
