/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One call to the catalogue under way, and the shapes that several files share: read a record,
 * change a record, read all records of an index.
 */
#ifndef SCHEDULER_CATALOG_OP_H
#define SCHEDULER_CATALOG_OP_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/loop.h"
#include "base/store.h"
#include "scheduler/catalog.h"

#define CATALOG_RECORD_VERSION 1
#define EXPERIMENT_NAME_MAX 128
#define PIPELINE_NAME_MAX 128
#define VERSION_NAME_MAX 127

struct catalog_op;
struct plan_cache;

struct catalog {
    struct loop *loop;
    struct store *store;
    const char *prefix; /* "rondo:{catalog}:" */
    struct plan_cache *plans;
    struct catalog_op *ops; /* all that have not answered */
};

struct catalog_op {
    struct catalog *c;
    struct catalog_op *prev, *next;
    struct store_call *call;
    struct deferred deferred;
    catalog_done_fn *done;
    void *owner;
    char *what;     /* "pipeline 2f…": for messages */
    struct err err; /* of an answer that is deferred */
    /* change a record */
    char *key, *old_text;
    json_t *changes;
    const char *const *allowed;
    json_t *record;
    int tries;
    /* read all */
    char *record_prefix;
    char **ids;
    size_t id_count, id_at;
};

struct catalog_op *op_new(struct catalog *c, catalog_done_fn *done, void *owner, const char *fmt,
    ...) __attribute__((format(printf, 4, 5)));
/* Answer; the operation is gone afterwards. */
void op_finish(struct catalog_op *op, const json_t *record, const struct err *err);
/* Answer op->err from the loop. */
void op_fail_later(struct catalog_op *op);
/* False, and NOT_FOUND is on its way, when `id` is no id at all. */
bool op_id_ok(struct catalog_op *op, const char *id);
/* Without an answer; owner NULL: all of them. */
void op_drop(struct catalog *c, const void *owner);

/* store_done_fn: the reply is a record (nil: NOT_FOUND). */
void op_on_record(void *owner, redisReply *reply, const struct err *err);
/* store_done_fn: only success matters. */
void op_on_done(void *owner, redisReply *reply, const struct err *err);

/* Run a script whose reply `done` understands; takes args. */
void op_eval(
    struct catalog_op *op, struct script *script, struct store_args *args, store_done_fn *done);
/* Answer with the record of this kind ("pipeline") and id. */
void op_read(struct catalog_op *op, const char *kind, const char *id);
/* Set members of a record; members outside the NULL-terminated list `allowed` are refused. */
void op_change(struct catalog_op *op, const char *kind, const char *id, const json_t *changes,
    const char *const *allowed);
/* Answer with an array of all records of an index, oldest first. Takes index_key. */
void op_read_all(struct catalog_op *op, const char *kind, char *index_key);

/* ---- checks ---- */

/* Not empty, UTF-8, at most `max` bytes. `what` is "pipeline name". */
int check_name(const char *name, size_t max, const char *what, struct err *err);
/* NULL or UTF-8. */
int check_text(const char *text, const char *what, struct err *err);
/* NULL or an object of at most 20 short strings. */
int check_tags(const json_t *tags, struct err *err);

void record_set(json_t *record, const char *key, const char *value);

#endif
