/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How far a recurring run has come: one text per recurring run in the shard's hash `progress`,
 *
 *     <enabled> <generation> <index> <last_us> <anchor_us> <next_us> <updated_us>[ <more>]
 *
 * where <more> is a JSON object with what is rarely there (contrib/docs/storage.md). Scripts never
 * read it: they compare it as a whole with what was read and put the new text in its place, so
 * every rule about it is in C, and one script carries out all changes. Pure.
 */
#ifndef SCHEDULER_TRIGGER_PROGRESS_H
#define SCHEDULER_TRIGGER_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <jansson.h>

struct buf;
struct err;

#define PROGRESS_TEXT_MAX ((size_t)1 << 20)

struct progress {
    bool enabled;
    int64_t generation; /* grows when the schedule is edited; part of a tick's name */
    int64_t index;      /* how often it has fired */
    int64_t last_us;    /* the slot that fired last; 0 none */
    int64_t anchor_us;  /* slots up to here are forgotten; 0 none */
    int64_t next_us;    /* the slot that is looked at next; 0 never again */
    int64_t updated_us; /* when it was changed by somebody */
    json_t *more;       /* own; NULL: nothing rare */
};

/* ERR_INTERNAL when the text is of another program. The caller ends it with progress_done(). */
int progress_parse(const char *text, size_t len, struct progress *out, struct err *err);
void progress_done(struct progress *p);
/* Deep. */
struct progress progress_copy(const struct progress *p);
/* The one text of these values: equal values have equal texts. */
void progress_format(const struct progress *p, struct buf *out);
char *progress_text(const struct progress *p); /* malloc'd */

/* When there is something to do, offset_us after the slot: the next slot, or the first of those that wait
 * unless it is marked as having no place yet; or the end of a pause. 0: never. */
int64_t progress_due_us(const struct progress *p, bool is_marked, int64_t offset_us);
/* Members of `more`; NULL or "" when they are not there. */
const json_t *progress_more(const struct progress *p, const char *key);
const char *progress_error(const struct progress *p);
/* value is taken; NULL takes the member out. */
void progress_set(struct progress *p, const char *key, json_t *value);

#endif
