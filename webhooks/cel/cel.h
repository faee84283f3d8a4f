/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filter expressions over JSON: the Common Expression Language (CEL) without protobuf messages,
 * https://github.com/google/cel-spec/blob/master/doc/langdef.md. For users the language, and where
 * it differs from CEL's reference, is in contrib/docs/filters.md.
 *
 * Compiled once, evaluated as often as wanted. Evaluation is a pure function of the values given:
 * it has no clock, does no I/O and keeps no state, and how much it may compute and hold is bounded
 * (CEL_STEPS_MAX, CEL_BYTES_MAX), so it may run in the loop.
 *
 * JSON's numbers without fraction and exponent are CEL's int, the others its double. Numbers of
 * all kinds compare by value (1 == 1.0), but arithmetic mixes none: write double(x) + 0.5.
 */
#ifndef WEBHOOKS_CEL_CEL_H
#define WEBHOOKS_CEL_CEL_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

struct err;
struct cel;

#define CEL_TEXT_MAX 4096       /* bytes of an expression */
#define CEL_NODES_MAX 1000      /* operators, literals, names, calls of an expression */
#define CEL_NESTING_MAX 100     /* brackets in brackets */
#define CEL_HEIGHT_MAX 200      /* a + b + c + ...: how deep evaluation recurses */
#define CEL_LOOPS_MAX 8         /* all(), exists(), map(), filter() in each other */
#define CEL_STEPS_MAX 200000    /* of one evaluation; most steps take less than 50 ns */
#define CEL_BYTES_MAX (1 << 20) /* what one evaluation may build: texts, lists, maps */

/* A variable of one evaluation; the value is borrowed. */
struct cel_var {
    const char *name;
    const json_t *value;
};

/*
 * Compile a filter. `variables` (NULL-terminated, borrowed for the call) are the names that there
 * will be. Refused (NULL; ERR_INVALID, or ERR_LIMIT past a ceiling above): what is not CEL,
 * unknown variables, functions and macros, wrong numbers of arguments, a regular expression that
 * is none, and what can never be true or false, such as "'a'". The message is
 * "column 7: 'token': rule; fix". Free with cel_free.
 */
struct cel *cel_compile(const char *text, const char *const *variables, struct err *err);

/* The same for an expression that gives any value; for cel_evaluate. */
struct cel *cel_compile_value(const char *text, const char *const *variables, struct err *err);

/* NULL is fine. */
void cel_free(struct cel *cel);
void cel_freep(struct cel **cel); /* for CLEANUP */

/* The text it was compiled from; lives as long as cel. */
const char *cel_text(const struct cel *cel);

/*
 * Decide: *out is what the filter gives for these values. When it gives an error (a key that is
 * not there, kinds that do not fit) or something else than true or false, *out is false, err says
 * why with the column, and the answer is -1: ERR_INVALID, or ERR_LIMIT when it took too much. That
 * is no match, and worth telling whoever wrote the filter. `vars` may come in any order and be
 * more than the filter uses; one that it uses and that is missing is an error.
 */
int cel_matches(
    const struct cel *cel, const struct cel_var *vars, size_t count, bool *out, struct err *err);

/*
 * Evaluate to JSON: a new reference, or NULL and err as above. A bytes value is base64, a time
 * RFC 3339, a duration "1.5s", a number that JSON cannot hold a string ("NaN", and a uint past
 * the int64 range), as protobuf has it; a type is its name. Keys that are no strings become some.
 */
json_t *cel_evaluate(
    const struct cel *cel, const struct cel_var *vars, size_t count, struct err *err);

#endif
