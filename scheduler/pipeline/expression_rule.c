/* SPDX-License-Identifier: Apache-2.0 */
/* Which kinds the operators and functions of expressions take, and what they give. */
#include "pipeline/expression_tree.h"

#include "base/util.h"

#include <string.h>

#define BIT EXPRESSION_BIT
#define TEXT BIT(EXPRESSION_STRING)
#define NUMBER (BIT(EXPRESSION_INT) | BIT(EXPRESSION_DOUBLE))
#define ANY (~0u)

static const struct expression_function functions[] = {
    {"parseJson", EXPRESSION_FN_PARSE_JSON, true, false, 1, TEXT, "a string", EXPRESSION_DYN},
    {"int", EXPRESSION_FN_INT, true, false, 1, NUMBER | TEXT, "a number or a string",
        EXPRESSION_INT},
    {"double", EXPRESSION_FN_DOUBLE, true, false, 1, NUMBER | TEXT, "a number or a string",
        EXPRESSION_DOUBLE},
    {"string", EXPRESSION_FN_STRING, true, false, 1, NUMBER | TEXT | BIT(EXPRESSION_BOOL),
        "a number, a bool or a string", EXPRESSION_STRING},
    {"bool", EXPRESSION_FN_BOOL, true, false, 1, TEXT | BIT(EXPRESSION_BOOL), "a bool or a string",
        EXPRESSION_BOOL},
    {"size", EXPRESSION_FN_SIZE, true, true, 1, TEXT | BIT(EXPRESSION_LIST) | BIT(EXPRESSION_MAP),
        "a string, a list or a map", EXPRESSION_INT},
    {"has", EXPRESSION_FN_HAS, true, false, 1, ANY, "a member", EXPRESSION_BOOL},
    {"startsWith", EXPRESSION_FN_STARTS_WITH, false, true, 2, TEXT, "strings", EXPRESSION_BOOL},
    {"endsWith", EXPRESSION_FN_ENDS_WITH, false, true, 2, TEXT, "strings", EXPRESSION_BOOL},
    {"contains", EXPRESSION_FN_CONTAINS, false, true, 2, TEXT, "strings", EXPRESSION_BOOL},
};

const struct expression_function *expression_function_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(functions); i++) {
        if (strcmp(functions[i].name, name) == 0) {
            return &functions[i];
        }
    }
    return NULL;
}

const char *const *expression_function_names(void)
{
    static const char *names[ARRAY_LEN(functions) + 1];
    for (size_t i = 0; i < ARRAY_LEN(functions); i++) {
        names[i] = functions[i].name;
    }
    return names;
}

const char *expression_function_absent(const char *name)
{
    static const struct {
        const char *name, *text;
    } absent[] = {
        {"all", "looks at every item"},
        {"exists", "looks at every item"},
        {"exists_one", "looks at every item"},
        {"filter", "looks at every item"},
        {"map", "looks at every item"},
        {"matches",
            "reads a regular expression; compare, or write startsWith, endsWith or contains"},
        {"uint", "makes unsigned numbers; write int()"},
        {"bytes", "makes bytes; texts are strings"},
        {"timestamp", "makes a time; compare times as strings in RFC 3339"},
        {"duration", "makes a duration; compare numbers of seconds"},
        {"type", "gives a type; convert with int(), double(), string() or bool()"},
        {"dyn", "hides a type; leave it out"},
    };
    for (size_t i = 0; i < ARRAY_LEN(absent); i++) {
        if (strcmp(absent[i].name, name) == 0) {
            return absent[i].text;
        }
    }
    return NULL;
}

const char *expression_kind_name(enum expression_kind kind)
{
    switch (kind) {
    case EXPRESSION_DYN:
    case EXPRESSION_ERROR:
        break;
    case EXPRESSION_NULL:
        return "null";
    case EXPRESSION_BOOL:
        return "a bool";
    case EXPRESSION_INT:
        return "an int";
    case EXPRESSION_DOUBLE:
        return "a double";
    case EXPRESSION_STRING:
        return "a string";
    case EXPRESSION_LIST:
        return "a list";
    case EXPRESSION_MAP:
        return "a map";
    }
    return "a value";
}

const char *expression_op_sign(enum expression_op op)
{
    switch (op) {
    case EXPRESSION_OP_NOT:
        return "!";
    case EXPRESSION_OP_NEGATE:
    case EXPRESSION_OP_SUBTRACT:
        return "-";
    case EXPRESSION_OP_MULTIPLY:
        return "*";
    case EXPRESSION_OP_DIVIDE:
        return "/";
    case EXPRESSION_OP_REMAINDER:
        return "%";
    case EXPRESSION_OP_ADD:
        return "+";
    case EXPRESSION_OP_EQUAL:
        return "==";
    case EXPRESSION_OP_UNEQUAL:
        return "!=";
    case EXPRESSION_OP_LESS:
        return "<";
    case EXPRESSION_OP_LESS_EQUAL:
        return "<=";
    case EXPRESSION_OP_GREATER:
        return ">";
    case EXPRESSION_OP_GREATER_EQUAL:
        return ">=";
    case EXPRESSION_OP_IN:
        return "in";
    case EXPRESSION_OP_AND:
        return "&&";
    case EXPRESSION_OP_OR:
        return "||";
    case EXPRESSION_OP_CHOOSE:
        return "?:";
    case EXPRESSION_OP_INDEX:
        return "[]";
    case EXPRESSION_OP_LITERAL:
    case EXPRESSION_OP_NAME:
    case EXPRESSION_OP_FIELD:
    case EXPRESSION_OP_CALL:
    case EXPRESSION_OP_LIST:
    case EXPRESSION_OP_MAP:
        break;
    }
    return "";
}

static bool is_number(enum expression_kind kind)
{
    return (NUMBER & BIT(kind)) != 0;
}

/* With both kinds known. */
static bool takes_known(
    enum expression_op op, enum expression_kind left, enum expression_kind right)
{
    bool is_same = left == right;
    switch (op) {
    case EXPRESSION_OP_EQUAL:
    case EXPRESSION_OP_UNEQUAL:
        return true;
    case EXPRESSION_OP_AND:
    case EXPRESSION_OP_OR:
        return is_same && left == EXPRESSION_BOOL;
    case EXPRESSION_OP_LESS:
    case EXPRESSION_OP_LESS_EQUAL:
    case EXPRESSION_OP_GREATER:
    case EXPRESSION_OP_GREATER_EQUAL:
        return (is_number(left) && is_number(right)) ||
               (is_same && (left == EXPRESSION_STRING || left == EXPRESSION_BOOL));
    case EXPRESSION_OP_ADD:
        return is_same && (is_number(left) || left == EXPRESSION_STRING || left == EXPRESSION_LIST);
    case EXPRESSION_OP_SUBTRACT:
    case EXPRESSION_OP_MULTIPLY:
    case EXPRESSION_OP_DIVIDE:
        return is_same && is_number(left);
    case EXPRESSION_OP_REMAINDER:
        return is_same && left == EXPRESSION_INT;
    case EXPRESSION_OP_IN:
        return right == EXPRESSION_LIST || right == EXPRESSION_MAP;
    case EXPRESSION_OP_INDEX:
        return (left == EXPRESSION_LIST && is_number(right)) ||
               (left == EXPRESSION_MAP &&
                   (is_number(right) || right == EXPRESSION_STRING || right == EXPRESSION_BOOL));
    case EXPRESSION_OP_NOT:
    case EXPRESSION_OP_NEGATE:
    case EXPRESSION_OP_CHOOSE:
    case EXPRESSION_OP_LITERAL:
    case EXPRESSION_OP_NAME:
    case EXPRESSION_OP_FIELD:
    case EXPRESSION_OP_CALL:
    case EXPRESSION_OP_LIST:
    case EXPRESSION_OP_MAP:
        break;
    }
    return false;
}

static enum expression_kind gives(
    enum expression_op op, enum expression_kind left, enum expression_kind right)
{
    switch (op) {
    case EXPRESSION_OP_ADD:
    case EXPRESSION_OP_SUBTRACT:
    case EXPRESSION_OP_MULTIPLY:
    case EXPRESSION_OP_DIVIDE:
        return left != EXPRESSION_DYN ? left : right;
    case EXPRESSION_OP_REMAINDER:
        return EXPRESSION_INT;
    case EXPRESSION_OP_INDEX:
        return EXPRESSION_DYN;
    default:
        return EXPRESSION_BOOL;
    }
}

bool expression_op_takes(enum expression_op op, enum expression_kind left,
    enum expression_kind right, enum expression_kind *gives_out)
{
    for (enum expression_kind l = EXPRESSION_NULL; l <= EXPRESSION_MAP; l++) {
        for (enum expression_kind r = EXPRESSION_NULL; r <= EXPRESSION_MAP; r++) {
            if ((left == EXPRESSION_DYN || left == l) && (right == EXPRESSION_DYN || right == r) &&
                takes_known(op, l, r)) {
                *gives_out = gives(op, left, right);
                return true;
            }
        }
    }
    return false;
}

const char *expression_op_advice(
    enum expression_op op, enum expression_kind left, enum expression_kind right)
{
    bool is_mixed = is_number(left) && is_number(right) && left != right;
    if (op == EXPRESSION_OP_REMAINDER && is_number(left) && is_number(right)) {
        return "; both must be ints: write int(...)";
    }
    if (op == EXPRESSION_OP_INDEX) {
        return left == EXPRESSION_LIST  ? "; a list is indexed by a whole number"
               : left == EXPRESSION_MAP ? "; a map is indexed by a string, a number or a bool"
                                        : "; only lists and maps have members";
    }
    if (op == EXPRESSION_OP_IN) {
        return "; what is on the right must be a list or a map";
    }
    if (op == EXPRESSION_OP_AND || op == EXPRESSION_OP_OR) {
        return "; both sides must be true or false: compare with ==";
    }
    if (is_mixed) {
        return "; numbers from parameters are doubles: write int(...) or double(...) around one "
               "side (2.0 is a double)";
    }
    if ((is_number(left) && right == EXPRESSION_STRING) ||
        (left == EXPRESSION_STRING && is_number(right))) {
        return "; convert one side with int(...), double(...) or string(...)";
    }
    return "";
}
