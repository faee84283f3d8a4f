/* SPDX-License-Identifier: Apache-2.0 */
/* What store.c shares with the builder of arguments and the reader of replies. */
#ifndef BASE_STORE_PARTS_H
#define BASE_STORE_PARTS_H

#include <stdbool.h>
#include <stddef.h>

#include <hiredis/hiredis.h>

struct err;
struct script;
struct store_args;

/* The most that one command may hold; Redis itself takes 512 MiB. */
#define STORE_COMMAND_MAX ((size_t)128 << 20)

void store_args_free(struct store_args *args);
/* Roughly, in memory. */
size_t store_args_bytes(const struct store_args *args);
/* True once more was given than STORE_COMMAND_MAX. */
bool store_args_overflow(const struct store_args *args);
/* EVALSHA, or EVAL with the whole text. Free with redisFreeCommand(). */
char *store_args_format(
    const struct store_args *args, const struct script *script, bool with_text, size_t *len_out);

/* An error reply as our error. For scripts the first word is the code, as store.h lists. */
void store_reply_error(const redisReply *reply, struct err *err);
bool store_reply_is(const redisReply *reply, const char *code);

#endif
