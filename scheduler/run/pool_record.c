/* SPDX-License-Identifier: Apache-2.0 */
/* Pools as people see and set them. Who takes slots is in pools.c. */
#include "scheduler/pools.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/store.h"
#include "base/util.h"
#include "run_scripts.h"

#define POOLS_MAX 1000
#define NAME_MAX_LEN 63

const char *const pool_members[] = {"pool", "priority", NULL};

/* One call under way. */
struct pool_op {
    struct store *store;
    json_t *record; /* of a change: what it answers */
    bool is_one;
    pool_json_fn *done;
    void *owner;
};

static int check_name(const char *name, struct err *err)
{
    size_t len = strlen(name);
    bool is_ok = len > 0 && len <= NAME_MAX_LEN;
    for (size_t i = 0; i < len && is_ok; i++) {
        is_ok = (name[i] >= 'a' && name[i] <= 'z') || (name[i] >= '0' && name[i] <= '9') ||
                (i > 0 && strchr("-_.", name[i]) != NULL);
    }
    return is_ok
               ? 0
               : err_set(err, ERR_INVALID,
                     "pool: '%.80s' is no name of a pool: 1 to %d small letters, digits, '-', '_' "
                     "and '.', a letter or digit first",
                     name, NAME_MAX_LEN);
}

int pool_check_wish(const json_t *doc, struct err *err)
{
    const char *pool = NULL;
    int64_t priority = 0;
    if (jread_string(doc, "", "pool", &pool, err) != 0 ||
        jread_i64(doc, "", "priority", -POOL_PRIORITY_MAX, POOL_PRIORITY_MAX, &priority, err) !=
            0) {
        return -1;
    }
    if (str_eq(pool, "default")) {
        return err_set(
            err, ERR_INVALID, "pool: every run is in 'default'; leave it out or name another one");
    }
    return pool == NULL ? 0 : check_name(pool, err);
}

/* ---- calls ---- */

static struct pool_op *pool_op_new(struct store *store, pool_json_fn *done, void *owner)
{
    struct pool_op *op = xcalloc(1, sizeof(*op));
    op->store = store;
    op->done = done;
    op->owner = owner;
    return op;
}

/* Takes record. */
static void pool_op_finish(struct pool_op *op, json_t *record, const struct err *err)
{
    op->done(op->owner, record, err);
    json_decref(record);
    json_decref(op->record);
    free(op);
}

/* Refused before anything was sent: told later all the same. */
struct refusal {
    pool_json_fn *done;
    void *owner;
    struct err err;
};

static void on_refused(void *owner, redisReply *reply UNUSED, const struct err *err UNUSED)
{
    struct refusal *r = owner;
    r->done(r->owner, NULL, &r->err);
    free(r);
}

static bool name_ok(struct store *store, const char *name, pool_json_fn *done, void *owner)
{
    struct err err = ERR_INIT;
    if (check_name(name, &err) == 0) {
        return true;
    }
    struct refusal *r = xcalloc(1, sizeof(*r));
    *r = (struct refusal){.done = done, .owner = owner, .err = err};
    store_cmd(store, on_refused, r, "PING");
    return false;
}

static void on_set(void *owner, redisReply *reply UNUSED, const struct err *err)
{
    struct pool_op *op = owner;
    pool_op_finish(op, err == NULL ? json_incref(op->record) : NULL, err);
}

static void pool_write(struct pool_op *op, const char *name, const char *slots)
{
    struct store_args *args = store_args_new();
    store_key(args, "%sslots", store_pools_prefix(op->store));
    store_arg(args, name);
    store_arg(args, slots);
    store_arg_i(args, POOLS_MAX);
    store_eval(op->store, &script_pool_set, args, on_set, op);
}

/* The setting has the last word about `default`. */
static bool is_settable(struct store *store, const char *name, pool_json_fn *done, void *owner)
{
    if (strcmp(name, "default") != 0) {
        return name_ok(store, name, done, owner);
    }
    struct refusal *r = xcalloc(1, sizeof(*r));
    r->done = done;
    r->owner = owner;
    err_set(&r->err, ERR_INVALID, "pool: the slots of 'default' are the setting max-runs");
    store_cmd(store, on_refused, r, "PING");
    return false;
}

void pool_set(struct store *store, const char *name, int64_t slots, pool_json_fn *done, void *owner)
{
    if (!is_settable(store, name, done, owner)) {
        return;
    }
    char text[24];
    snprintf(text, sizeof(text), "%" PRId64, slots);
    struct pool_op *op = pool_op_new(store, done, owner);
    op->record = json_object();
    json_object_set_new(op->record, "name", json_string(name));
    json_object_set_new(op->record, "slots", json_integer(slots));
    pool_write(op, name, text);
}

void pool_delete(struct store *store, const char *name, pool_json_fn *done, void *owner)
{
    if (is_settable(store, name, done, owner)) {
        struct pool_op *op = pool_op_new(store, done, owner);
        op->record = json_object();
        pool_write(op, name, "");
    }
}

/* ---- reading ---- */

static const redisReply *part(const redisReply *list, size_t i)
{
    return list != NULL && list->type == REDIS_REPLY_ARRAY && i < list->elements ? list->element[i]
                                                                                 : NULL;
}

static const char *text_of(const redisReply *list, size_t i)
{
    const redisReply *one = part(list, i);
    const char *text = one == NULL ? NULL : reply_str(one);
    return text == NULL ? "" : text;
}

static int64_t number_of(const redisReply *list, size_t i)
{
    const redisReply *one = part(list, i);
    return one == NULL ? 0 : reply_int(one, 0);
}

static json_t *short_of(const redisReply *row)
{
    json_t *out = json_object();
    json_object_set_new(out, "name", json_string(text_of(row, 0)));
    if (text_of(row, 1)[0] != '\0') {
        json_object_set_new(out, "slots", json_integer(number_of(row, 1)));
    }
    json_object_set_new(out, "held", json_integer(number_of(row, 2)));
    json_object_set_new(out, "waiting", json_integer(number_of(row, 3)));
    return out;
}

static json_t *run_of(const redisReply *row)
{
    json_t *out = json_object();
    const char *recurring = text_of(row, 3);
    json_object_set_new(out, "run_id", json_string(text_of(row, 0)));
    json_object_set_new(out, "priority", json_integer(number_of(row, 1)));
    json_object_set_new(out, "since_us", json_integer(number_of(row, 2)));
    jset_str(out, "recurring_run_id", strcmp(recurring, "-") == 0 ? NULL : recurring);
    return out;
}

static json_t *whole_of(const redisReply *reply)
{
    json_t *out = short_of(part(reply, 0));
    json_t *holders = json_array(), *queue = json_array();
    const redisReply *row;
    for (size_t i = 0; (row = part(part(reply, 1), i)) != NULL; i++) {
        json_array_append_new(holders, run_of(row));
    }
    for (size_t i = 0; (row = part(part(reply, 2), i)) != NULL; i++) {
        json_t *one = run_of(row);
        json_object_set_new(one, "pool", json_string(text_of(row, 4)));
        json_object_set_new(one, "place", json_integer(number_of(row, 5)));
        json_array_append_new(queue, one);
    }
    json_object_set_new(out, "holders", holders);
    json_object_set_new(out, "queue", queue);
    return out;
}

static void on_read(void *owner, redisReply *reply, const struct err *err)
{
    struct pool_op *op = owner;
    if (err != NULL) {
        pool_op_finish(op, NULL, err);
        return;
    }
    if (op->is_one) {
        pool_op_finish(op, whole_of(reply), NULL);
        return;
    }
    json_t *list = json_array();
    const redisReply *row;
    for (size_t i = 0; (row = part(reply, i)) != NULL; i++) {
        json_array_append_new(list, short_of(row));
    }
    pool_op_finish(op, list, NULL);
}

static void pool_read(struct pool_op *op, const char *name)
{
    struct store_args *args = store_args_new();
    store_key(args, "%sentries", store_pools_prefix(op->store));
    store_arg(args, store_pools_prefix(op->store));
    store_arg(args, name);
    store_arg_i(args, POOL_SHOWN_MAX);
    store_eval(op->store, &script_pool_get, args, on_read, op);
}

void pool_get(struct store *store, const char *name, pool_json_fn *done, void *owner)
{
    if (name_ok(store, name, done, owner)) {
        struct pool_op *op = pool_op_new(store, done, owner);
        op->is_one = true;
        pool_read(op, name);
    }
}

void pool_list(struct store *store, pool_json_fn *done, void *owner)
{
    pool_read(pool_op_new(store, done, owner), "");
}

static void on_place(void *owner, redisReply *reply, const struct err *err)
{
    json_t *out = err == NULL ? json_object() : NULL;
    if (err == NULL && part(reply, 1) != NULL) {
        json_object_set_new(out, "pool", json_string(text_of(reply, 0)));
        json_object_set_new(out, "place", json_integer(number_of(reply, 1)));
    }
    pool_op_finish(owner, out, err);
}

void pool_place(struct store *store, const char *run_id, pool_json_fn *done, void *owner)
{
    struct pool_op *op = pool_op_new(store, done, owner);
    struct store_args *args = store_args_new();
    store_key(args, "%sentries", store_pools_prefix(store));
    store_arg(args, store_pools_prefix(store));
    store_arg(args, run_id);
    store_eval(store, &script_pool_place, args, on_place, op);
}
