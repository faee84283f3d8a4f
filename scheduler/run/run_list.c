/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many runs at once: the newest of all shards by their index zsets, merged by creation time, and
 * their number. First the ids (small), then the records of those that made it, in portions.
 */
#include "scheduler/run.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/id.h"
#include "base/json.h"
#include "base/store.h"
#include "run/record.h"
#include "run_scripts.h"

#define PORTION 200

struct listed {
    char id[ID_LEN + 1];
    int64_t created_us;
    json_t *record;
};

struct run_list {
    struct store *store;
    run_json_fn *done;
    void *owner;
    struct listed *items; /* oldest first once they are merged */
    size_t count, cap, max;
    unsigned pending;
    struct err err; /* the first trouble */
};

/* Records of items[first..first+count) have been asked for. */
struct portion {
    struct run_list *list;
    size_t *places;
    size_t count;
};

static void run_list_finish(struct run_list *list)
{
    json_t *records CLEANUP(json_decrefp) = json_array();
    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i].record != NULL) { /* else deleted meanwhile */
            json_array_append_new(records, list->items[i].record);
        }
    }
    bool failed = list->err.code != ERR_NONE;
    list->done(list->owner, failed ? NULL : records, failed ? &list->err : NULL);
    free(list->items);
    free(list);
}

static void run_list_drop_one(struct run_list *list, const struct err *err)
{
    if (err != NULL && list->err.code == ERR_NONE) {
        err_copy(&list->err, err);
    }
    if (--list->pending == 0) {
        run_list_finish(list);
    }
}

static void portion_read(struct portion *portion, const redisReply *reply)
{
    struct run_list *list = portion->list;
    for (size_t i = 0; i < portion->count && i < reply->elements; i++) {
        const redisReply *hash = reply->element[i];
        if (hash->elements == 0) {
            continue;
        }
        struct listed *item = &list->items[portion->places[i]];
        struct err local = ERR_INIT;
        item->record = record_from_reply(hash, item->id, &local);
        if (item->record == NULL && list->err.code == ERR_NONE) {
            err_copy(&list->err, &local);
        }
    }
}

static void portion_on_reply(void *owner, redisReply *reply, const struct err *err)
{
    struct portion *portion = owner;
    if (err == NULL) {
        portion_read(portion, reply);
    }
    run_list_drop_one(portion->list, err);
    free(portion->places);
    free(portion);
}

static void portion_send(struct portion *portion, unsigned shard)
{
    struct run_list *list = portion->list;
    const char *prefix = store_shard_prefix(list->store, shard);
    struct store_args *args = store_args_new();
    for (size_t i = 0; i < portion->count; i++) {
        store_key(args, "%srun:%s", prefix, list->items[portion->places[i]].id);
    }
    list->pending++;
    store_eval(list->store, &script_run_many, args, portion_on_reply, portion);
}

static int by_created(const void *a, const void *b)
{
    const struct listed *left = a, *right = b;
    if (left->created_us != right->created_us) {
        return left->created_us < right->created_us ? -1 : 1;
    }
    return strcmp(left->id, right->id);
}

/* All ids are here: keep the newest `max` and ask for their records, shard by shard. */
static void run_list_fetch(struct run_list *list)
{
    if (list->count > 0) { /* without items there may be no array */
        if (list->count > 1) {
            qsort(list->items, list->count, sizeof(*list->items), by_created);
        }
    }
    if (list->count > list->max) {
        size_t extra = list->count - list->max;
        memmove(list->items, list->items + extra, list->max * sizeof(*list->items));
        list->count = list->max;
    }
    unsigned shards = store_shards(list->store);
    struct portion **open = xcalloc(shards, sizeof(struct portion *));
    list->pending = 1;
    for (size_t i = 0; i < list->count; i++) {
        unsigned shard = id_shard(list->items[i].id, shards);
        if (open[shard] == NULL) {
            open[shard] = xcalloc(1, sizeof(struct portion));
            open[shard]->list = list;
            open[shard]->places = xcalloc(PORTION, sizeof(size_t));
        }
        open[shard]->places[open[shard]->count++] = i;
        if (open[shard]->count == PORTION) {
            portion_send(open[shard], shard);
            open[shard] = NULL;
        }
    }
    for (unsigned shard = 0; shard < shards; shard++) {
        if (open[shard] != NULL) {
            portion_send(open[shard], shard);
        }
    }
    free(open);
    run_list_drop_one(list, NULL);
}

static void run_list_add(struct run_list *list, const redisReply *reply)
{
    for (size_t i = 0; i + 1 < reply->elements; i += 2) {
        const char *id = reply_str(reply->element[i]);
        const char *score = reply_str(reply->element[i + 1]);
        if (id == NULL || !id_is_valid(id) || score == NULL) {
            continue;
        }
        if (list->count == list->cap) {
            list->cap = list->cap == 0 ? 64 : list->cap * 2;
            list->items = xreallocarray(list->items, list->cap, sizeof(*list->items));
        }
        struct listed *item = &list->items[list->count++];
        memset(item, 0, sizeof(*item));
        memcpy(item->id, id, ID_LEN);
        /* Redis prints scores of this size in digits, or with an exponent; strtod reads both. */
        item->created_us = (int64_t)strtod(score, NULL);
    }
}

static void run_list_on_ids(void *owner, redisReply *reply, const struct err *err)
{
    struct run_list *list = owner;
    if (err == NULL) {
        run_list_add(list, reply);
    } else if (list->err.code == ERR_NONE) {
        err_copy(&list->err, err);
    }
    if (--list->pending > 0) {
        return;
    }
    if (list->err.code != ERR_NONE) {
        run_list_finish(list);
    } else {
        run_list_fetch(list);
    }
}

static void run_list_ask(
    struct run_list *list, unsigned shard, const char *experiment_id, const char *recurring_run_id)
{
    const char *prefix = store_shard_prefix(list->store, shard);
    char *key CLEANUP(cleanup_free) =
        recurring_run_id != NULL ? xasprintf("%srr:%s:runs", prefix, recurring_run_id)
        : experiment_id != NULL  ? xasprintf("%sexperiment:%s:runs", prefix, experiment_id)
                                 : xasprintf("%sruns", prefix);
    list->pending++;
    store_cmd(list->store, run_list_on_ids, list, "ZREVRANGE %s 0 %lld WITHSCORES", key,
        (long long)list->max - 1);
}

void run_all(struct store *store, const char *experiment_id, const char *recurring_run_id,
    size_t max, run_json_fn *done, void *owner)
{
    struct run_list *list = xcalloc(1, sizeof(*list));
    list->store = store;
    list->done = done;
    list->owner = owner;
    list->max = max == 0 ? 1 : max;
    if (recurring_run_id != NULL && id_is_valid(recurring_run_id)) {
        run_list_ask(list, id_shard(recurring_run_id, store_shards(store)), NULL, recurring_run_id);
        return;
    }
    for (unsigned shard = 0; shard < store_shards(store); shard++) {
        run_list_ask(list, shard, experiment_id, recurring_run_id);
    }
}

/* ---- how many ---- */

struct run_counting {
    void (*done)(void *owner, int64_t count, const struct err *err);
    void *owner;
    int64_t count;
    unsigned pending;
    struct err err;
};

static void run_counting_on_card(void *owner, redisReply *reply, const struct err *err)
{
    struct run_counting *counting = owner;
    if (err == NULL) {
        counting->count += reply_int(reply, 0);
    } else if (counting->err.code == ERR_NONE) {
        err_copy(&counting->err, err);
    }
    if (--counting->pending > 0) {
        return;
    }
    bool failed = counting->err.code != ERR_NONE;
    counting->done(counting->owner, counting->count, failed ? &counting->err : NULL);
    free(counting);
}

void run_count(struct store *store, void (*done)(void *owner, int64_t count, const struct err *err),
    void *owner)
{
    struct run_counting *counting = xcalloc(1, sizeof(*counting));
    counting->done = done;
    counting->owner = owner;
    counting->pending = store_shards(store);
    for (unsigned shard = 0; shard < store_shards(store); shard++) {
        store_cmd(store, run_counting_on_card, counting, "ZCARD %sruns",
            store_shard_prefix(store, shard));
    }
}
