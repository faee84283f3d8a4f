/* SPDX-License-Identifier: Apache-2.0 */
/* Deliveries as the API sees them: those of a subscription from all shards, and one with its
 * attempts. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/json.h"
#include "base/map.h"
#include "base/secret.h"
#include "base/util.h"
#include "webhooks/out/request.h"
#include "webhooks/out/sender.h"
#include "webhooks_scripts.h"

#define LIST_MAX 1000
#define LIST_HEAD 1
#define HIDDEN "(hidden)"

enum kind { TEXT, NUMBER };

/* As deliveries_list.lua gives them, and as they are called in the record. */
static const struct field {
    const char *stored, *shown;
    enum kind kind;
} fields[] = {
    {"event", "event_id", TEXT},
    {"type", "type", TEXT},
    {"state", "state", TEXT},
    {"attempts", "attempts", NUMBER},
    {"created_us", "created_us", NUMBER},
    {"next_us", "next_us", NUMBER},
    {"status", "status", NUMBER},
    {"error", "error", TEXT},
    {"duration_ms", "duration_ms", NUMBER},
    {"run", "run_id", TEXT},
    {"sequence", "sequence", NUMBER},
    {"redelivered", "redelivered", NUMBER},
};

static void set_field(json_t *out, const struct field *field, const char *text)
{
    int64_t number;
    if (text == NULL || text[0] == '\0') {
        return;
    }
    if (field->kind == NUMBER &&
        parse_i64(text, INT64_MIN, INT64_MAX, field->shown, &number, NULL) == 0) {
        json_object_set_new(out, field->shown, json_integer(number));
    } else {
        json_object_set_new(out, field->shown, json_string(text));
    }
}

/* ---- the list ---- */

static json_t *row_json(const redisReply *row)
{
    json_t *out = json_object();
    jset_str(out, "id", reply_str(row->element[0]));
    for (size_t i = 0; i < ARRAY_LEN(fields) && i + 1 < row->elements; i++) {
        set_field(out, &fields[i], reply_str(row->element[i + 1]));
    }
    return out;
}

/* < 0: x comes first, being newer. */
static int order(int64_t x_us, const char *x, int64_t y_us, const char *y)
{
    return x_us != y_us ? (x_us > y_us ? -1 : 1) : -strcmp(x, y);
}

static int newest_first(const void *a, const void *b)
{
    const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
    return order(jget_i64(x, "created_us", 0), jget_str(x, "id", ""), jget_i64(y, "created_us", 0),
        jget_str(y, "id", ""));
}

/*
 * The newest of all shards. Of some not all have been looked at: what is older than the newest of
 * those bounds is left to the next page, where it can be put in its place.
 */
static json_t *page_json(const struct request *r)
{
    size_t n = json_array_size(r->rows), taken = 0;
    int64_t after_us = jget_i64(r->body, "before_us", INT64_MAX);
    const char *after = jget_str(r->body, "before_id", "");
    CLEANUP(cleanup_free) json_t **all = xcalloc(n + 1, sizeof *all);
    for (size_t i = 0; i < n; i++) {
        all[i] = json_array_get(r->rows, i);
    }
    qsort(all, n, sizeof *all, newest_first);
    json_t *out = json_array();
    int64_t last_us = r->bound_us;
    const char *last = "";
    bool has_more = r->bound_us > 0;
    for (size_t i = 0; i < n; i++) {
        int64_t at_us = jget_i64(all[i], "created_us", 0);
        const char *id = jget_str(all[i], "id", "");
        if (order(after_us, after, at_us, id) >= 0 && after_us != INT64_MAX) {
            continue; /* of the page before */
        }
        if (taken == r->max || at_us < r->bound_us) {
            has_more = true;
            break;
        }
        json_array_append(out, all[i]);
        last_us = at_us;
        last = id;
        taken++;
    }
    json_t *page = json_pack("{s:o}", "deliveries", out);
    if (has_more) {
        json_object_set_new(
            page, "next_page_token", json_sprintf("%lld.%s", (long long)last_us, last));
    }
    return page;
}

static void on_rows(void *owner, redisReply *reply, const struct err *err)
{
    struct part *part = owner;
    struct request *r = part->request;
    part->call = NULL;
    if (err != NULL) {
        err_copy(&r->err, err);
    } else {
        int64_t bound_us = reply_int(reply->element[0], 0);
        r->bound_us = bound_us > r->bound_us ? bound_us : r->bound_us;
        for (size_t i = LIST_HEAD; i < reply->elements; i++) {
            json_array_append_new(r->rows, row_json(reply->element[i]));
        }
    }
    if (--r->waiting > 0) {
        return;
    }
    if (r->err.code == ERR_NONE) {
        json_t *page = page_json(r);
        json_decref(r->rows);
        r->rows = page;
    }
    request_end(r);
}

static void list_go(struct request *r)
{
    struct sender *s = r->sender;
    if (!map_has(s->subscriptions, r->id)) {
        err_set(&r->err, ERR_NOT_FOUND, "subscription %.64s does not exist", r->id);
        request_end_soon(r);
        return;
    }
    int64_t before_us = jget_i64(r->body, "before_us", INT64_MAX);
    int64_t until_us = jget_i64(r->body, "until_us", INT64_MAX);
    r->rows = json_array();
    r->waiting = s->outbox_count;
    struct part *parts = request_parts(r, s->outbox_count);
    for (unsigned i = 0; i < s->outbox_count; i++) {
        struct store_args *args = store_args_new();
        store_key(args, "%sdeliveries", s->outboxes[i].prefix);
        store_arg(args, s->outboxes[i].prefix);
        store_arg(args, r->id);
        store_arg_i(args, (int64_t)r->max + 1); /* one may be of the page before */
        store_arg_i(args, before_us < until_us ? before_us : until_us);
        store_arg_i(args, jget_i64(r->body, "since_us", 0));
        store_arg(args, jget_str(r->body, "state", ""));
        store_arg(args, jget_str(r->body, "type", ""));
        store_arg(args, jget_str(r->body, "run_id", ""));
        parts[i].call = store_eval(s->set.store, &script_deliveries_list, args, on_rows, &parts[i]);
    }
}

/* "created_us.id" of the last one that has been shown; no id: all from there on. */
static int read_token(const char *token, json_t *query, struct err *err)
{
    const char *dot = strchr(token, '.');
    int64_t us;
    CLEANUP(cleanup_free)
    char *number = xstrndup(token, dot != NULL ? (size_t)(dot - token) : strlen(token));
    if (dot == NULL || parse_i64(number, 0, INT64_MAX - 1, "page_token", &us, NULL) != 0 ||
        (dot[1] != '\0' && !id_is_valid(dot + 1))) {
        return err_set(err, ERR_INVALID,
            "page_token: not one of this list; take next_page_token of an answer");
    }
    json_object_set_new(query, "before_us", json_integer(us));
    jset_str(query, "before_id", dot + 1);
    return 0;
}

static int check_state(const char *state, struct err *err)
{
    static const char *const states[] = {"PENDING", "DELIVERED", "FAILED", "DROPPED"};
    for (size_t i = 0; state != NULL && i < ARRAY_LEN(states); i++) {
        if (strcmp(state, states[i]) == 0) {
            return 0;
        }
    }
    return state == NULL
               ? 0
               : err_set(err, ERR_INVALID,
                     "state: '%.40s' is none of PENDING, DELIVERED, FAILED, DROPPED", state);
}

void delivery_list(
    struct sender *s, const struct delivery_query *query, webhook_json_fn *done, void *owner)
{
    struct request *r = request_new(s, done, owner);
    r->id = xstrdup(query->subscription_id);
    r->max = query->max < LIST_MAX ? query->max : LIST_MAX;
    r->body = json_object();
    jset_str(r->body, "state", query->state);
    jset_str(r->body, "type", query->type);
    jset_str(r->body, "run_id", query->run_id);
    json_object_set_new(r->body, "since_us", json_integer(query->since_us));
    if (query->until_us > 0) {
        json_object_set_new(r->body, "until_us", json_integer(query->until_us));
    }
    const char *token = query->page_token;
    if (check_state(query->state, &r->err) != 0 ||
        (token != NULL && token[0] != '\0' && read_token(token, r->body, &r->err) != 0)) {
        request_end_soon(r);
        return;
    }
    request_begin(r, list_go);
}

/* ---- one ---- */

static void add_header(json_t *out, const char *name, const char *value)
{
    if (value != NULL) {
        json_array_append_new(out, json_pack("[s,s]", name, value));
    }
}

/* What was sent, without what is secret. The message is the same each time, so it is kept once. */
static json_t *request_json(const json_t *delivery, const json_t *attempt, const json_t *own)
{
    char number[32];
    json_t *headers = json_array(), *line;
    size_t i;
    add_header(headers, "Content-Type", jget_str(delivery, "content_type", "application/json"));
    add_header(headers, "webhook-id", jget_str(delivery, "id", ""));
    snprintf(number, sizeof number, "%lld", (long long)(jget_i64(attempt, "at_us", 0) / US_PER_S));
    add_header(headers, "webhook-timestamp", number);
    add_header(headers, "webhook-signature", HIDDEN);
    snprintf(number, sizeof number, "%lld", (long long)jget_i64(attempt, "attempt", 0));
    add_header(headers, "webhook-attempt", number);
    if (json_object_get(delivery, "sequence") != NULL) {
        snprintf(number, sizeof number, "%lld", (long long)jget_i64(delivery, "sequence", 0));
        add_header(headers, "webhook-sequence", number);
    }
    json_array_foreach((json_t *)own, i, line)
    {
        const char *text = json_string_value(line);
        const char *colon = text != NULL ? strstr(text, ": ") : NULL;
        if (colon != NULL) {
            CLEANUP(cleanup_free) char *name = xstrndup(text, (size_t)(colon - text));
            add_header(headers, name, colon + 2);
        }
    }
    json_array_foreach(json_object_get(attempt, "own_headers"), i, line)
    {
        add_header(headers, json_string_value(line), HIDDEN);
    }
    return json_pack(
        "{s:s,s:s,s:o}", "method", "POST", "url", jget_str(attempt, "url", ""), "headers", headers);
}

static int by_number(const void *a, const void *b)
{
    int64_t x = jget_i64(*(json_t *const *)a, "attempt", 0);
    int64_t y = jget_i64(*(json_t *const *)b, "attempt", 0);
    return x < y ? -1 : x > y;
}

/* [number, JSON, ...] */
static void add_attempts(json_t *delivery, const redisReply *reply, const json_t *own)
{
    size_t n = 0;
    CLEANUP(cleanup_free) json_t **all = xcalloc(reply->elements / 2 + 1, sizeof *all);
    for (size_t i = 1; i < reply->elements; i += 2) {
        json_t *attempt = json_loads(reply_str(reply->element[i]), 0, NULL);
        if (json_is_object(attempt)) {
            json_object_set_new(attempt, "request", request_json(delivery, attempt, own));
            json_object_del(attempt, "own_headers");
            json_object_del(attempt, "url");
            all[n++] = attempt;
        } else {
            json_decref(attempt);
        }
    }
    qsort(all, n, sizeof *all, by_number);
    json_t *out = json_array();
    for (size_t i = 0; i < n; i++) {
        json_array_append_new(out, all[i]);
    }
    json_object_set_new(delivery, "log", out);
}

static void on_attempts(void *owner, redisReply *reply, const struct err *err)
{
    struct part *part = owner;
    struct request *r = part->request;
    part->call = NULL;
    if (err != NULL) {
        err_copy(&r->err, err);
    } else if (r->err.code == ERR_NONE) {
        add_attempts(r->rows, reply, r->body);
    }
    request_end(r);
}

static void on_delivery(void *owner, redisReply *reply, const struct err *err)
{
    struct part *part = owner;
    struct request *r = part->request;
    part->call = NULL;
    if (err != NULL || reply->elements == 0) {
        if (err != NULL) {
            err_copy(&r->err, err);
        } else {
            err_set(&r->err, ERR_NOT_FOUND, "delivery %.64s does not exist", r->id);
        }
        return;
    }
    const char *body = reply_field(reply, "body"), *headers = reply_field(reply, "headers");
    r->body = headers != NULL ? json_loads(headers, 0, NULL) : NULL;
    r->rows = json_pack("{s:s}", "id", r->id);
    jset_str(r->rows, "subscription_id", reply_field(reply, "subscription"));
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        set_field(r->rows, &fields[i], reply_field(reply, fields[i].stored));
    }
    jset_str(r->rows, "content_type", reply_field(reply, "content_type"));
    if (body != NULL) {
        char hex[SHA256_HEX_LEN + 1];
        sha256_hex(body, strlen(body), hex);
        json_object_set_new(r->rows, "body", json_string(body));
        json_object_set_new(r->rows, "body_bytes", json_integer((json_int_t)strlen(body)));
        jset_str(r->rows, "body_sha256", hex);
    }
}

void delivery_get(struct sender *s, const char *id, webhook_json_fn *done, void *owner)
{
    struct request *r = request_new(s, done, owner);
    r->id = xstrdup(id);
    if (!id_is_valid(id)) {
        err_set(&r->err, ERR_NOT_FOUND, "delivery %.64s does not exist", id);
        request_end_soon(r);
        return;
    }
    const char *prefix = store_id_prefix(s->set.store, id);
    struct part *parts = request_parts(r, 2);
    parts[0].call =
        store_cmd(s->set.store, on_delivery, &parts[0], "HGETALL %sdelivery:%s", prefix, id);
    parts[1].call = store_cmd(
        s->set.store, on_attempts, &parts[1], "HGETALL %sdelivery:%s:attempts", prefix, id);
}
