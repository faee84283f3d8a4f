/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ids are UUIDs in lower-case text. The first byte of an id says which shard its records live
 * in, so that a record is found by its id alone; a derived id copies that byte from its parent,
 * so that everything about one recurring run (its runs and their tasks) shares a shard.
 */
#ifndef BASE_ID_H
#define BASE_ID_H

#include <stdbool.h>

#define ID_LEN 36
struct id {
    char text[ID_LEN + 1];
};

/* Random (UUIDv4, RFC 9562 section 5.4). */
void id_new(struct id *out);
/*
 * Deterministic: UUIDv5 (RFC 9562 section 5.5) of name in the namespace of parent, with the
 * parent's shard byte. parent must be a valid id.
 */
void id_derive(struct id *out, const char *parent, const char *name);
/* Exactly 36 characters, lower-case hex and dashes in place. */
bool id_is_valid(const char *text);
/* 0..shards-1. shards is a power of two, at most 256. id must be valid. */
unsigned id_shard(const char *id, unsigned shards);

#endif
