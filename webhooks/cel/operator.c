/* SPDX-License-Identifier: Apache-2.0 */
/* Arithmetic, comparison and `in`. Nothing is converted on the way, and what does not fit is an
 * error. */
#include <math.h>
#include <string.h>

#include "webhooks/cel/function.h"

static struct cel_value fail_operator(
    struct cel_run *run, const struct cel_node *node, const struct cel_value *args)
{
    return cel_fail_kinds(run, node, cel_op_sign(node->op), args, node->count);
}

/* ---- arithmetic ---- */

static struct cel_value operate_ints(
    struct cel_run *run, const struct cel_node *node, int64_t a, int64_t b)
{
    int64_t out = 0;
    bool is_over = false;
    bool divides = node->op == CEL_OP_DIVIDE || node->op == CEL_OP_REMAINDER;
    if (divides && b == 0) {
        return cel_fail(
            run, node, node->op == CEL_OP_DIVIDE ? "divide by zero" : "modulus by zero");
    }
    if (divides && a == INT64_MIN && b == -1) {
        is_over = true; /* the remainder too, as in CEL's reference */
    } else if (node->op == CEL_OP_DIVIDE) {
        out = a / b;
    } else if (node->op == CEL_OP_REMAINDER) {
        out = a % b;
    } else if (node->op == CEL_OP_MULTIPLY) {
        is_over = __builtin_mul_overflow(a, b, &out);
    } else if (node->op == CEL_OP_ADD) {
        is_over = __builtin_add_overflow(a, b, &out);
    } else {
        is_over = __builtin_sub_overflow(a, b, &out);
    }
    return is_over ? cel_fail(run, node, "integer overflow") : cel_int(out);
}

static struct cel_value operate_uints(
    struct cel_run *run, const struct cel_node *node, uint64_t a, uint64_t b)
{
    uint64_t out = 0;
    bool is_over = false;
    bool divides = node->op == CEL_OP_DIVIDE || node->op == CEL_OP_REMAINDER;
    if (divides && b == 0) {
        return cel_fail(
            run, node, node->op == CEL_OP_DIVIDE ? "divide by zero" : "modulus by zero");
    }
    if (node->op == CEL_OP_DIVIDE) {
        out = a / b;
    } else if (node->op == CEL_OP_REMAINDER) {
        out = a % b;
    } else if (node->op == CEL_OP_MULTIPLY) {
        is_over = __builtin_mul_overflow(a, b, &out);
    } else if (node->op == CEL_OP_ADD) {
        is_over = __builtin_add_overflow(a, b, &out);
    } else {
        is_over = __builtin_sub_overflow(a, b, &out);
    }
    return is_over ? cel_fail(run, node, "unsigned integer overflow")
                   : (struct cel_value){.kind = CEL_UINT, .natural = out};
}

static struct cel_value operate_doubles(
    struct cel_run *run, const struct cel_node *node, const struct cel_value *args)
{
    struct cel_value out = {.kind = CEL_DOUBLE};
    double a = args[0].real, b = args[1].real;
    if (node->op == CEL_OP_REMAINDER) {
        return cel_fail(run, node, "no such overload: %% of doubles; convert both with int()");
    }
    out.real = node->op == CEL_OP_ADD        ? a + b
               : node->op == CEL_OP_SUBTRACT ? a - b
               : node->op == CEL_OP_MULTIPLY ? a * b
                                             : a / b; /* by zero: infinite, or NaN */
    return out;
}

static struct cel_value add_texts(
    struct cel_run *run, const struct cel_node *node, const struct cel_value *args)
{
    size_t len = args[0].len + args[1].len;
    char *text = cel_alloc(run, len + 1);
    if (text == NULL || !cel_spend(run, len / 64)) {
        return cel_fail_spent(run, node);
    }
    memcpy(text, args[0].text, args[0].len);
    memcpy(text + args[0].len, args[1].text, args[1].len);
    return (struct cel_value){.kind = args[0].kind, .text = text, .len = len};
}

static struct cel_value add_lists(
    struct cel_run *run, const struct cel_node *node, const struct cel_value *args)
{
    size_t count = args[0].len + args[1].len;
    struct cel_value *items = cel_alloc(run, count * sizeof *items);
    if (items == NULL || !cel_spend(run, count / 4)) {
        return cel_fail_spent(run, node);
    }
    for (size_t i = 0; i < count; i++) {
        items[i] = i < args[0].len ? cel_item(&args[0], i) : cel_item(&args[1], i - args[0].len);
    }
    return (struct cel_value){.kind = CEL_LIST, .items = items, .len = count};
}

static struct cel_value operate_numbers(
    struct cel_run *run, const struct cel_node *node, const struct cel_value *args)
{
    return args[0].kind == CEL_INT    ? operate_ints(run, node, args[0].integer, args[1].integer)
           : args[0].kind == CEL_UINT ? operate_uints(run, node, args[0].natural, args[1].natural)
                                      : operate_doubles(run, node, args);
}

static struct cel_value calculate(
    struct cel_run *run, const struct cel_node *node, const struct cel_value *args)
{
    if (args[0].kind == args[1].kind && cel_is_number(&args[0])) {
        return operate_numbers(run, node, args);
    }
    if (args[0].kind == args[1].kind && node->op == CEL_OP_ADD) {
        if (args[0].kind == CEL_STRING || args[0].kind == CEL_BYTES) {
            return add_texts(run, node, args);
        }
        if (args[0].kind == CEL_LIST) {
            return add_lists(run, node, args);
        }
    }
    const unsigned times = CEL_BIT(CEL_TIMESTAMP) | CEL_BIT(CEL_DURATION);
    bool are_times = ((CEL_BIT(args[0].kind) | CEL_BIT(args[1].kind)) & ~times) == 0;
    return are_times && (node->op == CEL_OP_ADD || node->op == CEL_OP_SUBTRACT)
               ? cel_operate_times(run, node, args)
               : fail_operator(run, node, args);
}

static struct cel_value negate(
    struct cel_run *run, const struct cel_node *node, const struct cel_value *arg)
{
    if (arg->kind == CEL_DOUBLE) {
        return (struct cel_value){.kind = CEL_DOUBLE, .real = -arg->real};
    }
    if (arg->kind != CEL_INT) {
        return fail_operator(run, node, arg);
    }
    return arg->integer == INT64_MIN ? cel_fail(run, node, "integer overflow")
                                     : cel_int(-arg->integer);
}

/* ---- comparison ---- */

static struct cel_value compare(
    struct cel_run *run, const struct cel_node *node, const struct cel_value *args)
{
    if (!cel_has_order(args[0].kind, args[1].kind)) {
        return fail_operator(run, node, args);
    }
    int order;
    bool is_text = args[0].kind == CEL_STRING || args[0].kind == CEL_BYTES;
    if (is_text && !cel_spend(run, args[0].len / 64)) {
        return cel_fail_spent(run, node);
    }
    if (!cel_compare(&args[0], &args[1], &order)) {
        return cel_truth(false); /* NaN is neither less nor greater */
    }
    return cel_truth(node->op == CEL_OP_LESS         ? order < 0
                     : node->op == CEL_OP_LESS_EQUAL ? order <= 0
                     : node->op == CEL_OP_GREATER    ? order > 0
                                                     : order >= 0);
}

static struct cel_value is_in(
    struct cel_run *run, const struct cel_node *node, const struct cel_value *args)
{
    struct cel_value unused;
    if (args[1].kind == CEL_MAP && cel_is_key(&args[0])) {
        return cel_truth(cel_member(&args[1], &args[0], &run->steps, &unused));
    }
    if (args[1].kind != CEL_LIST) {
        return fail_operator(run, node, args);
    }
    bool found = false;
    for (size_t i = 0; i < args[1].len && !found; i++) {
        struct cel_value item = cel_item(&args[1], i);
        found = cel_equal(&args[0], &item, &run->steps);
    }
    return cel_truth(found);
}

struct cel_value cel_operate(
    struct cel_run *run, const struct cel_node *node, const struct cel_value *args)
{
    struct cel_value out;
    switch (node->op) {
    case CEL_OP_EQUAL:
    case CEL_OP_UNEQUAL:
        out = cel_truth(cel_equal(&args[0], &args[1], &run->steps) == (node->op == CEL_OP_EQUAL));
        break;
    case CEL_OP_IN:
        out = is_in(run, node, args);
        break;
    case CEL_OP_NOT:
        out = args[0].kind == CEL_BOOL ? cel_truth(!args[0].truth) : fail_operator(run, node, args);
        break;
    case CEL_OP_NEGATE:
        out = negate(run, node, args);
        break;
    case CEL_OP_LESS:
    case CEL_OP_LESS_EQUAL:
    case CEL_OP_GREATER:
    case CEL_OP_GREATER_EQUAL:
        out = compare(run, node, args);
        break;
    default:
        out = calculate(run, node, args);
        break;
    }
    return run->steps == 0 ? cel_fail_spent(run, node) : out;
}
