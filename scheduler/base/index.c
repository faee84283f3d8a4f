/* SPDX-License-Identifier: Apache-2.0 */
/* Pages of an index over all shards: asked at once, merged, and asked again where it was short. */
#include "base/index.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/store.h"
#include "base/util.h"

#define SPARE 2 /* ids that a shard is asked for above its share */
#define GROWTH 4

struct part {
    struct paging *paging;
    struct index_item *items; /* in the order of the page; those before its start are dropped */
    size_t count;
    size_t asked;     /* how many ids, with those before the start */
    int64_t total;    /* -1: not known yet */
    bool is_complete; /* nothing follows the last item */
};

struct paging {
    struct store *store;
    char *set;
    bool is_desc, without_total;
    char start_id[ID_LEN + 1];
    int64_t start_us;
    size_t need;
    index_done_fn *done;
    void *owner;
    unsigned shards, pending;
    struct index_item *merged;
    size_t count;
    struct err err; /* the first trouble */
    struct part parts[];
};

static void paging_free(struct paging *p)
{
    for (unsigned i = 0; i < p->shards; i++) {
        free(p->parts[i].items);
    }
    free(p->merged);
    free(p->set);
    free(p);
}

static int compare_asc(const struct index_item *a, const struct index_item *b)
{
    if (a->at_us != b->at_us) {
        return a->at_us < b->at_us ? -1 : 1;
    }
    return strcmp(a->id, b->id);
}

static int compare(const void *a, const void *b, void *is_desc)
{
    int result = compare_asc(a, b);
    return *(const bool *)is_desc ? -result : result;
}

static void parts_ask(struct paging *p);
static void paging_step(struct paging *p);

static void paging_drop_one(struct paging *p, const struct err *err)
{
    if (err != NULL && p->err.code == ERR_NONE) {
        err_copy(&p->err, err);
    }
    if (--p->pending == 0) {
        paging_step(p);
    }
}

/* ---- how many there are ---- */

static void on_total(void *owner, redisReply *reply, const struct err *err)
{
    struct part *part = owner;
    part->total = err == NULL ? reply_int(reply, 0) : 0;
    paging_drop_one(part->paging, err);
}

static void part_ask_total(struct part *part, const char *prefix)
{
    part->paging->pending++;
    store_cmd(part->paging->store, on_total, part, "ZCARD %s%s", prefix, part->paging->set);
}

/* Of shards that have not told all they have. False: nothing was missing. */
static bool totals_ask(struct paging *p)
{
    bool any = false;
    p->pending = 1;
    for (unsigned i = 0; i < p->shards; i++) {
        if (p->parts[i].total < 0) {
            any = true;
            part_ask_total(&p->parts[i], store_shard_prefix(p->store, i));
        }
    }
    if (any) {
        paging_drop_one(p, NULL);
    }
    return any;
}

/* ---- the page ---- */

/* Is this part of the page certain? Then nothing the shard has not told could be in it. */
static bool part_suffices(const struct paging *p, const struct part *part)
{
    if (part->is_complete) {
        return true;
    }
    if (part->count == 0 || p->count < p->need) {
        return false;
    }
    bool is_desc = p->is_desc;
    return compare(&part->items[part->count - 1], &p->merged[p->need - 1], &is_desc) >= 0;
}

static void parts_merge(struct paging *p)
{
    size_t count = 0;
    for (unsigned i = 0; i < p->shards; i++) {
        count += p->parts[i].count;
    }
    p->merged = xreallocarray(p->merged, count + 1, sizeof *p->merged);
    p->count = 0;
    for (unsigned i = 0; i < p->shards; i++) {
        const struct part *part = &p->parts[i];
        if (part->count > 0) {
            memcpy(p->merged + p->count, part->items, part->count * sizeof *part->items);
            p->count += part->count;
        }
    }
    qsort_r(p->merged, p->count, sizeof *p->merged, compare, &p->is_desc);
}

static void paging_step(struct paging *p)
{
    bool failed = p->err.code != ERR_NONE;
    int64_t total = 0;
    if (!failed) {
        parts_merge(p);
        bool is_short = false;
        for (unsigned i = 0; i < p->shards; i++) {
            is_short |= !part_suffices(p, &p->parts[i]);
            total += p->parts[i].total;
        }
        if (is_short) {
            parts_ask(p);
            return;
        }
        if (!p->without_total && totals_ask(p)) {
            return;
        }
    }
    size_t count = p->count < p->need ? p->count : p->need;
    p->done(
        p->owner, failed ? NULL : p->merged, failed ? 0 : count, total, failed ? &p->err : NULL);
    paging_free(p);
}

static void on_ids(void *owner, redisReply *reply, const struct err *err)
{
    struct part *part = owner;
    struct paging *p = part->paging;
    size_t told = err == NULL ? reply->elements / 2 : 0;
    part->count = 0;
    part->items = told > 0 ? xreallocarray(part->items, told, sizeof *part->items) : part->items;
    for (size_t i = 0; i < told; i++) {
        const char *id = reply_str(reply->element[2 * i]);
        const char *score = reply_str(reply->element[2 * i + 1]);
        if (id == NULL || score == NULL || !id_is_valid(id)) {
            continue;
        }
        struct index_item *item = &part->items[part->count];
        memcpy(item->id, id, ID_LEN);
        item->id[ID_LEN] = '\0';
        /* Redis prints scores of this size in digits, or with an exponent; strtod reads both. */
        item->at_us = (int64_t)strtod(score, NULL);
        struct index_item start = {.at_us = p->start_us};
        memcpy(start.id, p->start_id, sizeof start.id);
        if (p->start_id[0] == '\0' || compare(item, &start, &p->is_desc) >= 0) {
            part->count++;
        }
    }
    part->is_complete = told < part->asked;
    if (part->is_complete && p->start_id[0] == '\0') {
        part->total = (int64_t)told;
    }
    paging_drop_one(p, err);
}

static void part_ask(struct part *part, const char *prefix)
{
    const struct paging *p = part->paging;
    char start[24] = "-inf";
    char asked[24];
    CLEANUP(cleanup_free) char *key = xasprintf("%s%s", prefix, p->set);
    if (p->start_id[0] != '\0') {
        snprintf(start, sizeof start, "%lld", (long long)p->start_us);
    } else if (p->is_desc) {
        snprintf(start, sizeof start, "+inf");
    }
    snprintf(asked, sizeof asked, "%zu", part->asked);
    const char *argv[] = {p->is_desc ? "ZREVRANGEBYSCORE" : "ZRANGEBYSCORE", key, start,
        p->is_desc ? "-inf" : "+inf", "WITHSCORES", "LIMIT", "0", asked};
    size_t lens[ARRAY_LEN(argv)];
    for (size_t i = 0; i < ARRAY_LEN(argv); i++) {
        lens[i] = strlen(argv[i]);
    }
    store_argv(p->store, (int)ARRAY_LEN(argv), argv, lens, on_ids, part);
}

/* First round: all shards for their share. Later ones: more of those that were short. */
static void parts_ask(struct paging *p)
{
    p->pending = 1;
    for (unsigned i = 0; i < p->shards; i++) {
        struct part *part = &p->parts[i];
        const char *prefix = store_shard_prefix(p->store, i);
        if (part->asked > 0 && part_suffices(p, part)) {
            continue;
        }
        part->asked = part->asked > 0 ? part->asked * GROWTH : p->need / p->shards + SPARE;
        p->pending++;
        part_ask(part, prefix);
        if (!p->without_total && part->total < 0 && p->start_id[0] != '\0') {
            part_ask_total(part, prefix);
        }
    }
    paging_drop_one(p, NULL);
}

void index_page(
    struct store *store, const struct index_query *query, index_done_fn *done, void *owner)
{
    unsigned shards = store_shards(store);
    struct paging *p = xcalloc(1, sizeof *p + shards * sizeof p->parts[0]);
    p->store = store;
    p->set = xstrdup(query->set);
    p->is_desc = query->is_desc;
    p->without_total = query->without_total;
    if (query->start_id != NULL) {
        snprintf(p->start_id, sizeof p->start_id, "%s", query->start_id);
    }
    p->start_us = query->start_us;
    p->need = query->need > 0 ? query->need : 1;
    p->done = done;
    p->owner = owner;
    p->shards = shards;
    for (unsigned i = 0; i < shards; i++) {
        p->parts[i].paging = p;
        p->parts[i].total = -1;
    }
    parts_ask(p);
}
