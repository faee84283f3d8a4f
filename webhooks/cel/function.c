/* SPDX-License-Identifier: Apache-2.0 */
/* The functions, by name. */
#include "webhooks/cel/function.h"

#include <string.h>

#include "base/util.h"

#define ANY (CEL_BIT(CEL_ERROR) - 1)
#define BOOL CEL_BIT(CEL_BOOL)
#define INT CEL_BIT(CEL_INT)
#define UINT CEL_BIT(CEL_UINT)
#define DOUBLE CEL_BIT(CEL_DOUBLE)
#define NUMBER (INT | UINT | DOUBLE)
#define STRING CEL_BIT(CEL_STRING)
#define BYTES CEL_BIT(CEL_BYTES)
#define LIST CEL_BIT(CEL_LIST)
#define MAP CEL_BIT(CEL_MAP)
#define STAMP CEL_BIT(CEL_TIMESTAMP)
#define SPAN CEL_BIT(CEL_DURATION)

/* name, call, global, method, arguments from..to, what each takes, gives; sorted by name */
static const struct cel_function functions[] = {
    {"base64.decode", cel_call_base64_decode, true, false, 1, 1, {STRING}, BYTES},
    {"base64.encode", cel_call_base64_encode, true, false, 1, 1, {BYTES}, STRING},
    {"bool", cel_call_bool, true, false, 1, 1, {BOOL | STRING}, BOOL},
    {"bytes", cel_call_bytes, true, false, 1, 1, {BYTES | STRING}, BYTES},
    {"charAt", cel_call_char_at, false, true, 2, 2, {STRING, INT}, STRING},
    {"contains", cel_call_contains, false, true, 2, 2, {STRING, STRING}, BOOL},
    {"double", cel_call_double, true, false, 1, 1, {NUMBER | STRING}, DOUBLE},
    {"duration", cel_call_duration, true, false, 1, 1, {STRING | SPAN}, SPAN},
    {"dyn", cel_call_dyn, true, false, 1, 1, {ANY}, ANY},
    {"endsWith", cel_call_ends_with, false, true, 2, 2, {STRING, STRING}, BOOL},
    {"format", cel_call_format, false, true, 2, 2, {STRING, LIST}, STRING},
    {"getDate", cel_call_time_part, false, true, 1, 2, {STAMP, STRING}, INT},
    {"getDayOfMonth", cel_call_time_part, false, true, 1, 2, {STAMP, STRING}, INT},
    {"getDayOfWeek", cel_call_time_part, false, true, 1, 2, {STAMP, STRING}, INT},
    {"getDayOfYear", cel_call_time_part, false, true, 1, 2, {STAMP, STRING}, INT},
    {"getFullYear", cel_call_time_part, false, true, 1, 2, {STAMP, STRING}, INT},
    {"getHours", cel_call_time_part, false, true, 1, 2, {STAMP | SPAN, STRING}, INT},
    {"getMilliseconds", cel_call_time_part, false, true, 1, 2, {STAMP | SPAN, STRING}, INT},
    {"getMinutes", cel_call_time_part, false, true, 1, 2, {STAMP | SPAN, STRING}, INT},
    {"getMonth", cel_call_time_part, false, true, 1, 2, {STAMP, STRING}, INT},
    {"getSeconds", cel_call_time_part, false, true, 1, 2, {STAMP | SPAN, STRING}, INT},
    {"indexOf", cel_call_index_of, false, true, 2, 3, {STRING, STRING, INT}, INT},
    {"int", cel_call_int, true, false, 1, 1, {NUMBER | STRING | STAMP}, INT},
    {"join", cel_call_join, false, true, 1, 2, {LIST, STRING}, STRING},
    {"lastIndexOf", cel_call_last_index_of, false, true, 2, 3, {STRING, STRING, INT}, INT},
    {"lowerAscii", cel_call_lower_ascii, false, true, 1, 1, {STRING}, STRING},
    {"matches", cel_call_matches, true, true, 2, 2, {STRING, STRING}, BOOL},
    {"math.abs", cel_call_abs, true, false, 1, 1, {NUMBER}, NUMBER},
    {"math.bitAnd", cel_call_bits, true, false, 2, 2, {INT | UINT, INT | UINT}, INT | UINT},
    {"math.bitNot", cel_call_bit_not, true, false, 1, 1, {INT | UINT}, INT | UINT},
    {"math.bitOr", cel_call_bits, true, false, 2, 2, {INT | UINT, INT | UINT}, INT | UINT},
    {"math.bitShiftLeft", cel_call_shift, true, false, 2, 2, {INT | UINT, INT}, INT | UINT},
    {"math.bitShiftRight", cel_call_shift, true, false, 2, 2, {INT | UINT, INT}, INT | UINT},
    {"math.bitXor", cel_call_bits, true, false, 2, 2, {INT | UINT, INT | UINT}, INT | UINT},
    {"math.ceil", cel_call_round, true, false, 1, 1, {DOUBLE}, DOUBLE},
    {"math.floor", cel_call_round, true, false, 1, 1, {DOUBLE}, DOUBLE},
    {"math.greatest", cel_call_greatest, true, false, 1, 1, {NUMBER | LIST}, NUMBER},
    {"math.isFinite", cel_call_round, true, false, 1, 1, {DOUBLE}, BOOL},
    {"math.isInf", cel_call_round, true, false, 1, 1, {DOUBLE}, BOOL},
    {"math.isNaN", cel_call_round, true, false, 1, 1, {DOUBLE}, BOOL},
    {"math.least", cel_call_least, true, false, 1, 1, {NUMBER | LIST}, NUMBER},
    {"math.round", cel_call_round, true, false, 1, 1, {DOUBLE}, DOUBLE},
    {"math.sign", cel_call_sign, true, false, 1, 1, {NUMBER}, NUMBER},
    {"math.sqrt", cel_call_sqrt, true, false, 1, 1, {NUMBER}, DOUBLE},
    {"math.trunc", cel_call_round, true, false, 1, 1, {DOUBLE}, DOUBLE},
    {"replace", cel_call_replace, false, true, 3, 4, {STRING, STRING, STRING, INT}, STRING},
    {"reverse", cel_call_reverse, false, true, 1, 1, {STRING}, STRING},
    {"size", cel_call_size, true, true, 1, 1, {STRING | BYTES | LIST | MAP}, INT},
    {"split", cel_call_split, false, true, 2, 3, {STRING, STRING, INT}, LIST},
    {"startsWith", cel_call_starts_with, false, true, 2, 2, {STRING, STRING}, BOOL},
    {"string", cel_call_string, true, false, 1, 1, {BOOL | NUMBER | STRING | BYTES | STAMP | SPAN},
        STRING},
    {"strings.quote", cel_call_quote, true, false, 1, 1, {STRING}, STRING},
    {"substring", cel_call_substring, false, true, 2, 3, {STRING, INT, INT}, STRING},
    {"timestamp", cel_call_timestamp, true, false, 1, 1, {STRING | INT | STAMP}, STAMP},
    {"trim", cel_call_trim, false, true, 1, 1, {STRING}, STRING},
    {"type", cel_call_type, true, false, 1, 1, {ANY}, CEL_BIT(CEL_TYPE)},
    {"uint", cel_call_uint, true, false, 1, 1, {NUMBER | STRING}, UINT},
    {"upperAscii", cel_call_upper_ascii, false, true, 1, 1, {STRING}, STRING},
};

const struct cel_function *cel_function_find(const char *name)
{
    size_t from = 0, to = ARRAY_LEN(functions);
    while (from < to) {
        size_t middle = (from + to) / 2;
        int order = strcmp(name, functions[middle].name);
        if (order == 0) {
            return &functions[middle];
        }
        from = order > 0 ? middle + 1 : from;
        to = order < 0 ? middle : to;
    }
    return NULL;
}

#define MACROS 9

const char *const *cel_function_names(void)
{
    static const char *names[ARRAY_LEN(functions) + MACROS + 1] = {"all", "exists", "exists_one",
        "existsOne", "filter", "has", "map", "transformList", "transformMap"};
    for (size_t i = 0; i < ARRAY_LEN(functions); i++) {
        names[MACROS + i] = functions[i].name;
    }
    return names;
}
