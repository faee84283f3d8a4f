/* SPDX-License-Identifier: Apache-2.0 */
/* Lists whose rows may show a plan. */
#include "api/kfp/rows.h"

#include "base/err.h"
#include "base/json.h"

#include "scheduler/catalog.h"

#include "api/api.h"
#include "api/fanout.h"
#include "api/kfp/list.h"

bool rows_init(struct rows *rows, struct api_call *call, const struct list_spec *spec,
    const struct rows_kind *kind)
{
    struct err err = ERR_INIT;
    struct list_query *query = list_query_parse(call->req.pool, spec, &call->req, &err);
    if (query == NULL) {
        api_fail(call, &err); /* rows went with the call */
        return false;
    }
    rows->call = call;
    rows->query = query;
    rows->kind = kind;
    rows->pick = list_pick_new(query);
    return true;
}

static void views_done(struct fanout *f)
{
    struct rows *rows = f->owner;
    if (f->err.code != ERR_NONE) {
        api_fail(rows->call, &f->err);
        return;
    }
    json_t *items = json_array();
    for (size_t i = 0; i < f->count; i++) {
        json_array_append(items, f->items[i].result);
    }
    json_t *out = list_envelope(rows->kind->key, items, rows->total, rows->token);
    api_reply_json(rows->call, 200, api_keep(rows->call, out));
}

static void on_row_plan(void *owner, struct plan *plan, const struct err *err)
{
    struct fanout_item *item = owner;
    const struct rows *rows = item->fanout->owner;
    if (err != NULL && err->code != ERR_NOT_FOUND) {
        fanout_item_done(item, NULL, err);
        return;
    }
    json_t *view = rows->kind->view(json_array_get(rows->page, item->index), plan);
    fanout_item_done(item, view, NULL);
    json_decref(view);
}

/* Specs come from the catalogue's cache, so most of these answer in the same turn. */
static void begin_view(struct fanout_item *item)
{
    const struct rows *rows = item->fanout->owner;
    const json_t *record = json_array_get(rows->page, item->index);
    if (rows->kind->wants_plan == NULL || rows->kind->wants_plan(record)) {
        spec_plan(rows->call->api->catalog, jget_str(record, "spec", ""), on_row_plan, item);
    } else {
        on_row_plan(item, NULL, NULL);
    }
}

void rows_add(void *owner, json_t *record)
{
    struct rows *rows = owner;
    list_pick_add(rows->pick, record);
}

void rows_end(void *owner, const json_t *unused, const struct err *err)
{
    (void)unused;
    struct rows *rows = owner;
    if (err != NULL) {
        api_fail(rows->call, err);
        return;
    }
    rows->page = api_keep(rows->call, list_pick_page(rows->pick, &rows->total, &rows->token));
    fanout_run(rows->call, json_array_size(rows->page), begin_view, views_done, rows);
}

void rows_reply(void *owner, const json_t *records, const struct err *err)
{
    size_t i;
    json_t *record;
    json_array_foreach((json_t *)records, i, record)
    {
        rows_add(owner, record);
    }
    rows_end(owner, NULL, err);
}
