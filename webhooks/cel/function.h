/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The functions that expressions may call: function.c has the table, each group its file. A
 * function is called with as many arguments as the table allows, each of a kind it allows, a
 * method's receiver first.
 */
#ifndef WEBHOOKS_CEL_FUNCTION_H
#define WEBHOOKS_CEL_FUNCTION_H

#include "webhooks/cel/eval.h"

#define CEL_ARGS_MAX 4

typedef struct cel_value cel_function_fn(
    struct cel_run *run, const struct cel_node *node, const struct cel_value *args, size_t count);

struct cel_function {
    const char *name; /* "math.abs": is_global, and called in just that way */
    cel_function_fn *call;
    bool is_global, is_method;
    uint8_t min, max;             /* arguments */
    uint16_t takes[CEL_ARGS_MAX]; /* CEL_BIT of the kinds each may have */
    uint16_t gives;               /* CEL_BIT of the kinds it may give */
};

const struct cel_function *cel_function_find(const char *name);
/* All names, macros included, NULL-terminated. */
const char *const *cel_function_names(void);

/* convert.c */
cel_function_fn cel_call_int, cel_call_uint, cel_call_double, cel_call_string, cel_call_bool,
    cel_call_bytes, cel_call_dyn, cel_call_type, cel_call_base64_encode, cel_call_base64_decode;

/* text_function.c */
cel_function_fn cel_call_size, cel_call_contains, cel_call_starts_with, cel_call_ends_with,
    cel_call_char_at, cel_call_index_of, cel_call_last_index_of, cel_call_lower_ascii,
    cel_call_upper_ascii, cel_call_replace, cel_call_split, cel_call_join, cel_call_substring,
    cel_call_trim, cel_call_reverse;

/* format.c */
cel_function_fn cel_call_format, cel_call_quote;

/* math_function.c */
cel_function_fn cel_call_greatest, cel_call_least, cel_call_round, cel_call_sqrt, cel_call_abs,
    cel_call_sign, cel_call_bit_not, cel_call_bits, cel_call_shift;

/* regex.c */
cel_function_fn cel_call_matches;

/* time.c */
cel_function_fn cel_call_timestamp, cel_call_duration, cel_call_time_part;
/* + and - where a timestamp or duration is among the two. */
struct cel_value cel_operate_times(
    struct cel_run *run, const struct cel_node *node, const struct cel_value *args);

#endif
