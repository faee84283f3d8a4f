/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of math. Rounding takes and gives doubles; bits are those of int and uint. */
#include "webhooks/cel/function.h"

#include <math.h>
#include <string.h>

#include "base/util.h"

static struct cel_value make_double(double real)
{
    return (struct cel_value){.kind = CEL_DOUBLE, .real = real};
}

static struct cel_value make_uint(uint64_t natural)
{
    return (struct cel_value){.kind = CEL_UINT, .natural = natural};
}

/* ---- greatest and least ---- */

/* Of a number, or of a list of them; the first of those that are equal. */
static struct cel_value extreme(
    struct cel_run *run, const struct cel_node *node, const struct cel_value *arg, int sign)
{
    if (arg->kind != CEL_LIST) {
        return *arg;
    }
    if (arg->len == 0 || !cel_spend(run, arg->len)) {
        return arg->len == 0 ? cel_fail(run, node, "%s of an empty list", node->function->name)
                             : cel_fail_spent(run, node);
    }
    struct cel_value best = cel_item(arg, 0);
    for (size_t i = 0; i < arg->len; i++) {
        struct cel_value item = cel_item(arg, i);
        int order;
        if (!cel_is_number(&item)) {
            return cel_fail_kinds(run, node, node->function->name, &item, 1);
        }
        if (cel_compare(&item, &best, &order) && order * sign > 0) {
            best = item;
        }
    }
    return best;
}

struct cel_value cel_call_greatest(struct cel_run *run, const struct cel_node *node,
    const struct cel_value *args, size_t count UNUSED)
{
    return extreme(run, node, &args[0], 1);
}

struct cel_value cel_call_least(struct cel_run *run, const struct cel_node *node,
    const struct cel_value *args, size_t count UNUSED)
{
    return extreme(run, node, &args[0], -1);
}

/* ---- doubles ---- */

struct cel_value cel_call_round(struct cel_run *run UNUSED, const struct cel_node *node,
    const struct cel_value *args, size_t count UNUSED)
{
    const char *name = node->function->name;
    double x = args[0].real;
    return strcmp(name, "math.isNaN") == 0      ? cel_truth(isnan(x))
           : strcmp(name, "math.isInf") == 0    ? cel_truth(isinf(x))
           : strcmp(name, "math.isFinite") == 0 ? cel_truth(isfinite(x))
           : strcmp(name, "math.ceil") == 0     ? make_double(ceil(x))
           : strcmp(name, "math.floor") == 0    ? make_double(floor(x))
           : strcmp(name, "math.trunc") == 0    ? make_double(trunc(x))
                                                : make_double(round(x)); /* half: away from 0 */
}

struct cel_value cel_call_sqrt(struct cel_run *run UNUSED, const struct cel_node *node UNUSED,
    const struct cel_value *args, size_t count UNUSED)
{
    return make_double(sqrt(args[0].kind == CEL_DOUBLE ? args[0].real
                            : args[0].kind == CEL_INT  ? (double)args[0].integer
                                                       : (double)args[0].natural));
}

/* ---- signs ---- */

struct cel_value cel_call_abs(struct cel_run *run, const struct cel_node *node,
    const struct cel_value *args, size_t count UNUSED)
{
    if (args[0].kind == CEL_DOUBLE) {
        return make_double(fabs(args[0].real));
    }
    if (args[0].kind == CEL_UINT || args[0].integer >= 0) {
        return args[0];
    }
    return args[0].integer == INT64_MIN ? cel_fail(run, node, "integer overflow")
                                        : cel_int(-args[0].integer);
}

struct cel_value cel_call_sign(struct cel_run *run UNUSED, const struct cel_node *node UNUSED,
    const struct cel_value *args, size_t count UNUSED)
{
    if (args[0].kind == CEL_DOUBLE) {
        double x = args[0].real;
        return make_double(isnan(x) ? x : (x > 0) - (x < 0));
    }
    return args[0].kind == CEL_UINT ? make_uint(args[0].natural > 0)
                                    : cel_int((args[0].integer > 0) - (args[0].integer < 0));
}

/* ---- bits ---- */

struct cel_value cel_call_bit_not(struct cel_run *run UNUSED, const struct cel_node *node UNUSED,
    const struct cel_value *args, size_t count UNUSED)
{
    struct cel_value out = args[0];
    out.natural = ~out.natural;
    return out;
}

struct cel_value cel_call_bits(struct cel_run *run, const struct cel_node *node,
    const struct cel_value *args, size_t count UNUSED)
{
    struct cel_value out = args[0];
    const char *name = node->function->name;
    if (args[0].kind != args[1].kind) {
        return cel_fail_kinds(run, node, name, args, 2);
    }
    uint64_t a = args[0].natural, b = args[1].natural; /* of an int the same bits */
    out.natural = strcmp(name, "math.bitAnd") == 0  ? a & b
                  : strcmp(name, "math.bitOr") == 0 ? a | b
                                                    : a ^ b;
    return out;
}

/* To the right too zeros come in, whatever the sign. */
struct cel_value cel_call_shift(struct cel_run *run, const struct cel_node *node,
    const struct cel_value *args, size_t count UNUSED)
{
    struct cel_value out = args[0];
    int64_t by = args[1].integer;
    bool is_left = strcmp(node->function->name, "math.bitShiftLeft") == 0;
    if (by < 0) {
        return cel_fail(run, node, "a shift by a negative number");
    }
    out.natural = by > 63 ? 0 : is_left ? out.natural << by : out.natural >> by;
    return out;
}
