/* SPDX-License-Identifier: Apache-2.0 */
/* The functions, by name; and those about texts that give true, false or a number. */
#include "webhooks/cel/eval.h"

#include <string.h>

#include "base/util.h"
#include "webhooks/cel/text.h"

#define ANY (CEL_BIT(CEL_ERROR) - 1)
#define STRING CEL_BIT(CEL_STRING)
#define BYTES CEL_BIT(CEL_BYTES)
#define BOOL CEL_BIT(CEL_BOOL)
#define INT CEL_BIT(CEL_INT)

static struct cel_value call_size(struct cel_run *run, const struct cel_node *node,
    const struct cel_value *args, size_t count UNUSED)
{
    if (args[0].kind != CEL_STRING) {
        return cel_int((int64_t)args[0].len);
    }
    if (!cel_spend(run, args[0].len / 64)) {
        return cel_fail_spent(run, node);
    }
    return cel_int((int64_t)utf8_count(args[0].text, args[0].len));
}

static struct cel_value call_starts_with(struct cel_run *run UNUSED,
    const struct cel_node *node UNUSED, const struct cel_value *args, size_t count UNUSED)
{
    return cel_truth(
        args[0].len >= args[1].len && memcmp(args[0].text, args[1].text, args[1].len) == 0);
}

static struct cel_value call_ends_with(struct cel_run *run UNUSED,
    const struct cel_node *node UNUSED, const struct cel_value *args, size_t count UNUSED)
{
    size_t a = args[0].len, b = args[1].len;
    return cel_truth(a >= b && memcmp(args[0].text + a - b, args[1].text, b) == 0);
}

static struct cel_value call_contains(struct cel_run *run, const struct cel_node *node,
    const struct cel_value *args, size_t count UNUSED)
{
    if (!cel_spend(run, args[0].len / 64)) {
        return cel_fail_spent(run, node);
    }
    return cel_truth(memmem(args[0].text, args[0].len, args[1].text, args[1].len) != NULL);
}

/* Sorted by name. */
static const struct cel_function functions[] = {
    {"contains", call_contains, false, true, 2, 2, {STRING, STRING}, BOOL},
    {"endsWith", call_ends_with, false, true, 2, 2, {STRING, STRING}, BOOL},
    {"size", call_size, true, true, 1, 1, {STRING | BYTES | CEL_BIT(CEL_LIST) | CEL_BIT(CEL_MAP)},
        INT},
    {"startsWith", call_starts_with, false, true, 2, 2, {STRING, STRING}, BOOL},
};

const struct cel_function *cel_function_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(functions); i++) {
        if (strcmp(functions[i].name, name) == 0) {
            return &functions[i];
        }
    }
    return NULL;
}

const char *const *cel_function_names(void)
{
    static const char *const names[] = {"all", "contains", "endsWith", "exists", "exists_one",
        "filter", "has", "map", "size", "startsWith", NULL};
    return names;
}
