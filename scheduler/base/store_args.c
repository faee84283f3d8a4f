/* SPDX-License-Identifier: Apache-2.0 */
/* Keys and arguments of a script, collected in one block of memory. */
#include "base/store.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/store_parts.h"
#include "base/util.h"

/* EVAL, the script, the number of keys. */
#define HEAD_ARGS 3

struct store_args {
    char *data;
    size_t len, cap;
    size_t *ends; /* where each ends in data */
    size_t count, ends_cap;
    size_t keys;
    bool overflow;
};

struct store_args *store_args_new(void)
{
    return xcalloc(1, sizeof(struct store_args));
}

void store_args_free(struct store_args *args)
{
    if (args != NULL) {
        free(args->data);
        free(args->ends);
        free(args);
    }
}

size_t store_args_bytes(const struct store_args *args)
{
    return sizeof *args + args->cap + args->ends_cap * sizeof *args->ends;
}

bool store_args_overflow(const struct store_args *args)
{
    return args->overflow;
}

/* Room for one more of this length, or NULL past the ceiling. */
static char *args_add(struct store_args *a, size_t len)
{
    if (a->overflow || len > STORE_COMMAND_MAX - a->len) {
        a->overflow = true;
        return NULL;
    }
    if (a->len + len + 1 > a->cap) {
        a->cap = 2 * a->cap > a->len + len + 1 ? 2 * a->cap : a->len + len + 1;
        a->cap = a->cap > 256 ? a->cap : 256;
        a->data = xrealloc(a->data, a->cap);
    }
    if (a->count == a->ends_cap) {
        a->ends_cap = a->ends_cap > 0 ? 2 * a->ends_cap : 16;
        a->ends = xreallocarray(a->ends, a->ends_cap, sizeof *a->ends);
    }
    char *at = a->data + a->len;
    a->len += len;
    a->ends[a->count++] = a->len;
    return at;
}

void store_key(struct store_args *a, const char *fmt, ...)
{
    assert(a->overflow || a->keys == a->count); /* keys come first */
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    int len = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    assert(len >= 0);
    char *at = args_add(a, (size_t)len);
    a->keys++;
    if (at == NULL) {
        return;
    }
    if ((size_t)len < sizeof text) {
        memcpy(at, text, (size_t)len);
        return;
    }
    va_start(ap, fmt);
    vsnprintf(at, (size_t)len + 1, fmt, ap); /* args_add keeps a byte for the NUL */
    va_end(ap);
}

void store_arg_b(struct store_args *a, const void *data, size_t len)
{
    char *at = args_add(a, len);
    if (at != NULL && len > 0) {
        memcpy(at, data, len);
    }
}

void store_arg(struct store_args *a, const char *text)
{
    store_arg_b(a, text, text != NULL ? strlen(text) : 0);
}

void store_arg_i(struct store_args *a, int64_t value)
{
    char text[24];
    int len = snprintf(text, sizeof text, "%lld", (long long)value);
    store_arg_b(a, text, (size_t)len);
}

char *store_args_format(
    const struct store_args *args, const struct script *script, bool with_text, size_t *len_out)
{
    size_t argc = HEAD_ARGS + args->count;
    const char *few[32];
    size_t few_lens[32];
    bool is_few = argc <= ARRAY_LEN(few);
    const char **argv = is_few ? few : xreallocarray(NULL, argc, sizeof *argv);
    size_t *lens = is_few ? few_lens : xreallocarray(NULL, argc, sizeof *lens);
    char keys[24];
    argv[0] = with_text ? "EVAL" : "EVALSHA";
    argv[1] = with_text ? script->text : script->sha1;
    argv[2] = keys;
    snprintf(keys, sizeof keys, "%zu", args->keys);
    for (size_t i = 0; i < HEAD_ARGS; i++) {
        lens[i] = strlen(argv[i]);
    }
    size_t begin = 0;
    for (size_t i = 0; i < args->count; i++) {
        argv[HEAD_ARGS + i] = args->data + begin;
        lens[HEAD_ARGS + i] = args->ends[i] - begin;
        begin = args->ends[i];
    }
    char *command = NULL;
    int len = redisFormatCommandArgv(&command, (int)argc, argv, lens);
    assert(len > 0);
    if (!is_few) {
        free(argv);
        free(lens);
    }
    *len_out = (size_t)len;
    return command;
}
