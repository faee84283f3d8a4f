/* SPDX-License-Identifier: Apache-2.0 */
/* Deliveries as the API sees them: those of a subscription, from all shards. */
#include <stdlib.h>

#include "base/json.h"
#include "base/map.h"
#include "base/util.h"
#include "webhooks/request.h"
#include "webhooks/sender.h"
#include "webhooks_scripts.h"

#define LIST_MAX 1000

static json_t *delivery_json(const redisReply *row)
{
    static const char *const names[] = {"id", "event_id", "type", "state", "attempts", "created_us",
        "next_us", "status", "error", "duration_ms"};
    json_t *out = json_object();
    for (size_t i = 0; i < ARRAY_LEN(names) && i < row->elements; i++) {
        const char *text = reply_str(row->element[i]);
        int64_t number;
        if (text == NULL || text[0] == '\0') {
            continue;
        }
        bool is_number = i >= 4 && i != 8;
        if (is_number && parse_i64(text, INT64_MIN, INT64_MAX, names[i], &number, NULL) == 0) {
            json_object_set_new(out, names[i], json_integer(number));
        } else {
            json_object_set_new(out, names[i], json_string(text));
        }
    }
    return out;
}

static int newest_first(const void *a, const void *b)
{
    int64_t x = jget_i64(*(json_t *const *)a, "created_us", 0);
    int64_t y = jget_i64(*(json_t *const *)b, "created_us", 0);
    return x > y ? -1 : x < y;
}

/* The newest `max` of all shards. */
static json_t *sorted_rows(const json_t *rows, size_t max)
{
    size_t n = json_array_size(rows);
    json_t **all = xcalloc(n + 1, sizeof *all);
    for (size_t i = 0; i < n; i++) {
        all[i] = json_array_get(rows, i);
    }
    qsort(all, n, sizeof *all, newest_first);
    json_t *out = json_array();
    for (size_t i = 0; i < n && i < max; i++) {
        json_array_append(out, all[i]);
    }
    free(all);
    return out;
}

static void on_deliveries(void *owner, redisReply *reply, const struct err *err)
{
    struct part *part = owner;
    struct request *r = part->request;
    part->call = NULL;
    if (err != NULL) {
        err_copy(&r->err, err);
    } else {
        for (size_t i = 0; i < reply->elements; i++) {
            json_array_append_new(r->rows, delivery_json(reply->element[i]));
        }
    }
    if (--r->waiting > 0) {
        return;
    }
    json_t *rows = sorted_rows(r->rows, r->max);
    json_decref(r->rows);
    r->rows = rows;
    request_end(r);
}

static void deliveries_go(struct request *r)
{
    struct sender *s = r->sender;
    if (!map_has(s->subscriptions, r->id)) {
        err_set(&r->err, ERR_NOT_FOUND, "subscription %.64s does not exist", r->id);
        request_end_soon(r);
        return;
    }
    r->rows = json_array();
    r->waiting = s->outbox_count;
    struct part *parts = request_parts(r, s->outbox_count);
    for (unsigned i = 0; i < s->outbox_count; i++) {
        struct store_args *args = store_args_new();
        store_key(args, "%sdeliveries", s->outboxes[i].prefix);
        store_arg(args, s->outboxes[i].prefix);
        store_arg(args, r->id);
        store_arg_i(args, (int64_t)r->max);
        parts[i].call =
            store_eval(s->set.store, &script_deliveries_list, args, on_deliveries, &parts[i]);
    }
}

void delivery_all(
    struct sender *s, const char *subscription_id, size_t max, webhook_json_fn *done, void *owner)
{
    struct request *r = request_new(s, done, owner);
    r->id = xstrdup(subscription_id);
    r->max = max < LIST_MAX ? max : LIST_MAX;
    request_begin(r, deliveries_go);
}
