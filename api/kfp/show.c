/* SPDX-License-Identifier: Apache-2.0 */
/* Records as texts: remembered, checked by stamp, or made; one by one and in pages. */
#include "api/kfp/show.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/pool.h"
#include "base/util.h"

#include "scheduler/catalog.h"

#include "api/api.h"
#include "api/fanout.h"
#include "api/kfp/list.h"

/* ---- one ---- */

struct show {
    struct api_call *call;
    const struct show_kind *kind;
    const char *id;
    /* text is borrowed, and not terminated */
    void (*done)(void *owner, const char *text, size_t len, const struct err *err);
    void *owner;
    const json_t *record;
};

static void show_view(struct show *op, const struct plan *plan, bool keep)
{
    struct shown_text shown = {.until_us = 0};
    CLEANUP(json_decrefp) json_t *view = op->kind->view(op->record, plan, &shown.until_us);
    CLEANUP(cleanup_free) char *text = json_dumps(view, JSON_COMPACT);
    shown.text = text;
    shown.len = strlen(text);
    if (keep && id_is_valid(op->id)) {
        op->kind->stamp_of(op->record, &shown.stamp);
        shown_put(op->call->api->shown, op->kind->kind, op->id, &shown);
    }
    op->done(op->owner, text, shown.len, NULL);
}

static void on_plan(void *owner, struct plan *plan, const struct err *err)
{
    struct show *op = owner;
    if (err != NULL && err->code != ERR_NOT_FOUND) {
        op->done(op->owner, NULL, 0, err);
        return;
    }
    show_view(op, plan, err == NULL);
}

static void on_record(void *owner, const json_t *record, const struct err *err)
{
    struct show *op = owner;
    if (err != NULL) {
        op->done(op->owner, NULL, 0, err);
        return;
    }
    op->record = api_keep(op->call, json_incref((json_t *)record));
    if (op->kind->is_inline(record)) {
        spec_plan(op->call->api->catalog, json_string_value(json_object_get(record, "spec")),
            on_plan, op);
        return;
    }
    show_view(op, NULL, true);
}

static const struct shown_text *remembered(const struct show *op)
{
    if (!id_is_valid(op->id)) {
        return NULL;
    }
    const struct shown_text *shown = shown_find(op->call->api->shown, op->kind->kind, op->id);
    bool holds = shown != NULL && (shown->until_us == 0 || clock_now_us() < shown->until_us);
    return holds ? shown : NULL;
}

static void on_stamp(void *owner, const struct stamp *stamp, const struct err *err)
{
    struct show *op = owner;
    const struct shown_text *shown = err == NULL ? remembered(op) : NULL;
    if (shown != NULL && strcmp(shown->stamp.text, stamp->text) == 0) {
        op->done(op->owner, shown->text, shown->len, NULL);
    } else {
        op->kind->read(op->call, op->id, on_record, op);
    }
}

static void show_start(struct show *op)
{
    if (remembered(op) != NULL) {
        op->kind->read_stamp(op->call, op->id, on_stamp, op);
    } else {
        op->kind->read(op->call, op->id, on_record, op);
    }
}

static void reply_text(struct api_call *call)
{
    http_fields_add(call->req.pool, &call->resp.headers, "Content-Type", "application/json");
    api_reply(call);
}

static void one_done(void *owner, const char *text, size_t len, const struct err *err)
{
    struct show *op = owner;
    if (err != NULL) {
        api_fail(op->call, err);
        return;
    }
    buf_add(&op->call->resp.body, text, len);
    reply_text(op->call);
}

void show_one(struct api_call *call, const struct show_kind *kind, const char *id)
{
    struct show *op = pool_alloc(call->req.pool, sizeof *op);
    *op = (struct show){.call = call, .kind = kind, .id = id, .done = one_done, .owner = op};
    show_start(op);
}

/* ---- pages ---- */

struct page {
    struct api_call *call;
    const struct show_kind *kind;
    const struct list_query *query;
    const char *key, *token;
    struct index_item *items;
    struct row *rows;
    int64_t total;
};

struct row {
    struct show show;
    struct fanout_item *item;
    const char *text; /* NULL: deleted meanwhile */
    size_t len;
};

static void row_done(void *owner, const char *text, size_t len, const struct err *err)
{
    struct row *row = owner;
    if (err != NULL && err->code != ERR_NOT_FOUND) {
        fanout_item_done(row->item, NULL, err);
        return;
    }
    if (err == NULL) {
        char *copy = pool_alloc(row->show.call->req.pool, len + 1);
        memcpy(copy, text, len);
        row->text = copy;
        row->len = len;
    }
    fanout_item_done(row->item, NULL, NULL);
}

static void row_begin(struct fanout_item *item)
{
    const struct page *page = item->fanout->owner;
    struct row *row = &page->rows[item->index];
    row->item = item;
    row->show = (struct show){.call = page->call,
        .kind = page->kind,
        .id = page->items[item->index].id,
        .done = row_done,
        .owner = row};
    show_start(&row->show);
}

static void page_done(struct fanout *f)
{
    struct page *page = f->owner;
    struct buf *out = &page->call->resp.body;
    if (f->err.code != ERR_NONE) {
        api_fail(page->call, &f->err);
        return;
    }
    const char *comma = "";
    buf_addc(out, '{');
    for (size_t i = 0; i < f->count; i++) {
        const struct row *row = &page->rows[i];
        if (row->text != NULL) {
            if (comma[0] == '\0') {
                buf_addf(out, "\"%s\":[", page->key);
            }
            buf_adds(out, comma);
            buf_add(out, row->text, row->len);
            comma = ",";
        }
    }
    buf_adds(out, comma[0] != '\0' ? "]" : "");
    if (page->total > 0) {
        buf_addf(out, "%s\"total_size\":%lld", comma, (long long)page->total);
        comma = ",";
    }
    if (page->token != NULL) { /* base64: nothing to escape */
        buf_addf(out, "%s\"next_page_token\":\"%s\"", comma, page->token);
    }
    buf_addc(out, '}');
    reply_text(page->call);
}

static void on_index(
    void *owner, const struct index_item *items, size_t count, int64_t total, const struct err *err)
{
    struct page *page = owner;
    if (err != NULL) {
        api_fail(page->call, err);
        return;
    }
    struct pool *pool = page->call->req.pool;
    size_t rows = list_query_page_size(page->query);
    page->total = total;
    if (count > rows) {
        page->token = list_query_token(page->query, items[rows].id, items[rows].at_us);
        count = rows;
    }
    page->items = pool_calloc(pool, count + 1, sizeof *page->items);
    page->rows = pool_calloc(pool, count + 1, sizeof *page->rows);
    if (count > 0) {
        memcpy(page->items, items, count * sizeof *items);
    }
    fanout_run(page->call, count, row_begin, page_done, page);
}

void show_page(struct api_call *call, const struct show_kind *kind, const struct list_query *query,
    const char *set, const char *key)
{
    struct page *page = pool_alloc(call->req.pool, sizeof *page);
    page->call = call;
    page->kind = kind;
    page->query = query;
    page->key = key;
    struct index_query ask = {.set = set};
    bool fits = list_query_index(query, &ask);
    assert(fits);
    (void)fits;
    index_page(call->api->store, &ask, on_index, page);
}
