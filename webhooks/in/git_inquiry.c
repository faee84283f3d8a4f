/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why did this push (not) start a run? A trigger's log of events, a dry run of a stored or pasted
 * message, and evaluating a stored one again.
 */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/http_msg.h"
#include "base/id.h"
#include "base/json.h"
#include "base/pool.h"
#include "base/util.h"
#include "webhooks/in/git_hooks.h"
#include "webhooks/in/git_poll.h"
#include "webhooks_scripts.h"

#define EVENTS_SHOWN_MAX 1000
#define FORCE_NAME_MAX 100

enum inquiry_kind { INQUIRY_LIST, INQUIRY_GET, INQUIRY_EXPLAIN, INQUIRY_AGAIN, INQUIRY_DROP };

struct git_inquiry {
    struct git_hooks *hooks;
    struct git_inquiry *prev, *next;
    enum inquiry_kind kind;
    struct pool *pool;
    struct store_call *call;
    struct deferred later;
    webhook_json_fn *done;
    void *owner;
    const char *trigger_id, *event_id; /* event_id: "" none */
    size_t max;
    json_t *body;
    json_t *event; /* the stored one, or NULL */
    struct git_trigger *trigger;
    struct git_case *one;
    const char *verification; /* of a pasted message */
    bool is_verified;
    bool gives_up; /* what may work later counts as failed */
    struct err err;
};

static struct git_inquiry *inquiry_new(struct git_hooks *h, enum inquiry_kind kind,
    const char *trigger_id, const json_t *body, webhook_json_fn *done, void *owner)
{
    struct git_inquiry *q = xcalloc(1, sizeof *q);
    q->hooks = h;
    q->next = h->inquiries;
    if (q->next != NULL) {
        q->next->prev = q;
    }
    h->inquiries = q;
    q->kind = kind;
    q->pool = pool_new();
    q->done = done;
    q->owner = owner;
    q->trigger_id = pool_strdup(q->pool, trigger_id);
    q->event_id = "";
    q->body = body != NULL ? json_deep_copy(body) : json_object();
    return q;
}

static void inquiry_free(struct git_inquiry *q)
{
    if (q->prev != NULL) {
        q->prev->next = q->next;
    } else {
        q->hooks->inquiries = q->next;
    }
    if (q->next != NULL) {
        q->next->prev = q->prev;
    }
    store_cancel(q->call);
    loop_defer_cancel(q->hooks->set.loop, &q->later);
    git_case_free(q->one);
    git_trigger_unref(q->trigger);
    json_decref(q->body);
    json_decref(q->event);
    pool_free(q->pool);
    free(q);
}

void git_inquiries_free(struct git_hooks *h)
{
    while (h->inquiries != NULL) {
        inquiry_free(h->inquiries);
    }
}

/* Takes out. */
static void inquiry_end(struct git_inquiry *q, json_t *out, const struct err *err)
{
    q->done(q->owner, out, err);
    json_decref(out);
    inquiry_free(q);
}

static void inquiry_fail(struct git_inquiry *q, const struct err *err)
{
    inquiry_end(q, NULL, err);
}

/* ---- events as the API shows them ---- */

/* "started <run> <reason>" of change n into its entry. */
static void add_result(json_t *ref, const char *text)
{
    const char *space = strchr(text, ' ');
    const char *reason = space != NULL ? strchr(space + 1, ' ') : NULL;
    if (reason == NULL) {
        return;
    }
    json_object_set_new(ref, "result", json_stringn(text, (size_t)(space - text)));
    jset_str(ref, "clause", git_result_clause(jget_str(ref, "result", "")));
    if (space[1] != '-') {
        json_object_set_new(ref, "run_id", json_stringn(space + 1, (size_t)(reason - space - 1)));
    }
    jset_str(ref, "reason", reason[1] != '\0' ? reason + 1 : jget_str(ref, "detail", NULL));
    json_object_del(ref, "detail");
}

/* The event as a whole: of its changes, the one that has come furthest. */
static void add_summary(json_t *event)
{
    static const char *const order[] = {"started", "waiting", "fetching", "duplicate", "superseded", "dropped",
        "failed", "skipped", "ignored"};
    const json_t *refs = json_object_get(event, "refs");
    for (size_t o = 0; o < ARRAY_LEN(order); o++) {
        for (size_t i = 0; i < json_array_size(refs); i++) {
            const json_t *ref = json_array_get(refs, i);
            if (strcmp(jget_str(ref, "result", ""), order[o]) == 0) {
                jset_str(event, "result", order[o]);
                jset_str(event, "run_id", jget_str(ref, "run_id", NULL));
                jset_str(event, "clause", jget_str(ref, "clause", NULL));
                jset_str(event, "reason", jget_str(ref, "reason", NULL));
                jset_str(event, "ref", jget_str(ref, "ref", NULL));
                jset_str(event, "commit", jget_str(ref, "commit", NULL));
                return;
            }
        }
    }
}

/* New reference; NULL: the fields are of no event. */
static json_t *event_json(const char *id, const redisReply *fields)
{
    const char *doc = reply_field(fields, "doc");
    json_t *event = doc != NULL ? json_loads(doc, 0, NULL) : NULL;
    if (!json_is_object(event)) {
        json_decref(event);
        return NULL;
    }
    jset_str(event, "id", id);
    json_object_set_new(event, "at_us", json_integer(0));
    static const char *const numbers[] = {"at_us", "last_us", "copies"};
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        const char *text = reply_field(fields, numbers[i]);
        int64_t value = 0;
        if (text != NULL && parse_i64(text, 0, INT64_MAX, numbers[i], &value, NULL) == 0) {
            json_object_set_new(event, numbers[i], json_integer(value));
        }
    }
    size_t i;
    json_t *ref;
    json_array_foreach(json_object_get(event, "refs"), i, ref)
    {
        char field[32];
        snprintf(field, sizeof field, "r%zu", i + 1);
        const char *text = reply_field(fields, field);
        if (text != NULL) {
            add_result(ref, text);
        }
    }
    add_summary(event);
    return event;
}

static json_t *counts_json(const redisReply *flat)
{
    json_t *counts = json_object();
    for (size_t i = 0; i + 1 < flat->elements; i += 2) {
        const char *key = reply_str(flat->element[i]);
        if (key != NULL) {
            json_object_set_new(counts, key, json_integer(reply_int(flat->element[i + 1], 0)));
        }
    }
    return counts;
}

static json_t *refused_json(const redisReply *list)
{
    json_t *refused = json_array();
    for (size_t i = 0; i < list->elements; i++) {
        const char *text = reply_str(list->element[i]);
        json_t *entry = text != NULL ? json_loads(text, 0, NULL) : NULL;
        if (entry != NULL) {
            json_array_append_new(refused, entry);
        }
    }
    return refused;
}

static void on_list(void *owner, redisReply *reply, const struct err *err)
{
    struct git_inquiry *q = owner;
    q->call = NULL;
    if (err != NULL) {
        inquiry_fail(q, err);
        return;
    }
    json_t *out = json_object();
    json_t *events = json_array();
    for (size_t i = 2; i < reply->elements; i++) {
        const redisReply *one = reply->element[i];
        json_t *event = one->type == REDIS_REPLY_ARRAY && one->elements == 2
                            ? event_json(reply_str(one->element[0]), one->element[1])
                            : NULL;
        if (event != NULL) {
            json_array_append_new(events, event);
        }
    }
    if (reply->elements >= 2) {
        json_object_set_new(out, "counts", counts_json(reply->element[0]));
        json_object_set_new(out, "refused", refused_json(reply->element[1]));
    }
    json_object_set_new(out, "events", events);
    inquiry_end(q, out, NULL);
}

static void list_events(struct git_inquiry *q)
{
    struct store_args *args = store_args_new();
    const char *prefix = store_id_prefix(q->hooks->set.store, q->trigger_id);
    store_key(args, "%sgit:%s:events", prefix, q->trigger_id);
    store_arg(args, prefix);
    store_arg(args, q->trigger_id);
    store_arg_i(args, (int64_t)q->max);
    q->call = store_eval(q->hooks->set.store, &script_git_events, args, on_list, q);
}

static void on_dropped(void *owner, redisReply *reply, const struct err *err)
{
    struct git_inquiry *q = owner;
    q->call = NULL;
    int64_t count = err == NULL ? reply_int(reply, 0) : 0;
    if (err == NULL && count == 0) {
        err_set(&q->err, ERR_PRECONDITION, "nothing of event %.64s waits", q->event_id);
        err = &q->err;
    }
    if (count > 0) {
        git_status_wake(q->hooks, q->trigger_id);
    }
    json_t *out = err == NULL ? json_pack("{s:I}", "dropped", (json_int_t)count) : NULL;
    inquiry_end(q, out, err);
}

static void drop_event(struct git_inquiry *q)
{
    struct store_args *args = store_args_new();
    const char *prefix = store_id_prefix(q->hooks->set.store, q->trigger_id);
    store_key(args, "%sgit_active", prefix);
    store_arg(args, prefix);
    store_arg(args, q->trigger_id);
    store_arg(args, q->event_id);
    store_arg_i(args, clock_now_us());
    q->call = store_eval(q->hooks->set.store, &script_git_drop, args, on_dropped, q);
}

/* ---- a message to look at ---- */

static void add_header(
    struct git_inquiry *q, struct http_request *req, const char *name, const char *value)
{
    if (value != NULL && http_header(req, name) == NULL) {
        http_fields_add(
            q->pool, &req->headers, pool_strdup(q->pool, name), pool_strdup(q->pool, value));
    }
}

/* Which headers of a forge say what the message is: for pasted payloads without any. */
static void add_forge_headers(
    struct git_inquiry *q, struct http_request *req, enum forge forge, const char *event)
{
    static const struct {
        enum forge forge;
        const char *event, *delivery, *push;
    } rows[] = {{FORGE_GITHUB, "X-GitHub-Event", "X-GitHub-Delivery", "push"},
        {FORGE_GITLAB, "X-Gitlab-Event", "Idempotency-Key", "Push Hook"},
        {FORGE_GITEA, "X-Gitea-Event", "X-Gitea-Delivery", "push"},
        {FORGE_FORGEJO, "X-Forgejo-Event", "X-Forgejo-Delivery", "push"},
        {FORGE_GOGS, "X-Gogs-Event", "X-Gogs-Delivery", "push"},
        {FORGE_BITBUCKET, "X-Event-Key", "X-Request-UUID", "repo:push"},
        {FORGE_BITBUCKET_SERVER, "X-Event-Key", "X-Request-Id", "repo:refs_changed"}};
    struct id id;
    id_new(&id);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (rows[i].forge == forge) {
            add_header(q, req, rows[i].event, event != NULL ? event : rows[i].push);
            add_header(q, req, rows[i].delivery, id.text);
        }
    }
}

static struct http_request *request_new(struct git_inquiry *q)
{
    struct http_request *req = pool_alloc(q->pool, sizeof *req);
    req->pool = q->pool;
    req->method = "POST";
    req->path = "/hooks";
    req->query_raw = "";
    req->peer = "";
    return req;
}

static int set_body(
    struct git_inquiry *q, struct http_request *req, const json_t *payload, struct err *err)
{
    if (json_is_string(payload)) {
        req->body = pool_strdup(q->pool, json_string_value(payload));
        req->body_len = json_string_length(payload);
        return 0;
    }
    if (!json_is_object(payload) && !json_is_array(payload)) {
        return err_set(err, ERR_INVALID,
            "payload: expected the message's JSON, or its exact text as a string; or \"event\": "
            "the "
            "id of a stored event");
    }
    char *text = jtext(payload);
    req->body = pool_strdup(q->pool, text);
    req->body_len = strlen(text);
    free(text);
    return 0;
}

static int read_headers(
    struct git_inquiry *q, struct http_request *req, const json_t *headers, struct err *err)
{
    const char *name;
    const json_t *value;
    json_object_foreach((json_t *)headers, name, value)
    {
        if (!json_is_string(value)) {
            return err_set(err, ERR_INVALID, "headers.%.60s: expected a string", name);
        }
        http_fields_add(q->pool, &req->headers, pool_strdup(q->pool, name),
            pool_strdup(q->pool, json_string_value(value)));
    }
    return 0;
}

static int read_pasted(struct git_inquiry *q, struct hook_message *out, struct err *err)
{
    static const char *const known[] = {
        "payload", "headers", "forge", "forge_event", "event", "force", "request_id", NULL};
    const json_t *headers = NULL;
    const char *forge = NULL, *event = NULL;
    struct hook_source source = q->trigger->source;
    struct http_request *req = request_new(q);
    if (jread_only(q->body, "", known, err) != 0 ||
        jread_object(q->body, "", "headers", &headers, err) != 0 ||
        jread_string(q->body, "", "forge", &forge, err) != 0 ||
        jread_string(q->body, "", "forge_event", &event, err) != 0 ||
        read_headers(q, req, headers, err) != 0 ||
        set_body(q, req, json_object_get(q->body, "payload"), err) != 0) {
        return -1;
    }
    if (forge != NULL && !forge_from_name(forge, &source.forge)) {
        return err_set(err, ERR_INVALID, "forge: '%.60s' is none of %s", forge, forge_names());
    }
    if (source.forge == FORGE_AUTO && forge_detect(req) == FORGE_AUTO) {
        return err_set(err, ERR_INVALID,
            "headers: none of them tells which forge sent this; give them as they came, or "
            "\"forge\" (and \"forge_event\", if it is not a push)");
    }
    add_forge_headers(q, req, source.forge != FORGE_AUTO ? source.forge : forge_detect(req), event);
    add_header(q, req, "Content-Type", "application/json");
    struct hook_verified verified = {.by = "", .secret = -1};
    struct err why = ERR_INIT;
    q->is_verified = hook_verify(req, &q->trigger->source, clock_now_us(), &verified, &why) == 0;
    q->verification = pool_strdup(q->pool, q->is_verified ? verified.by : why.msg);
    if (hook_read(req, &source, out, err) != 0) {
        return err_wrap(err, "the message cannot be read");
    }
    out->verified = verified;
    q->one = git_case_new(
        q->hooks, q->pool, git_trigger_ref(q->trigger), out, git_headers_safe(&req->headers));
    return 0;
}

static int read_stored(struct git_inquiry *q, struct hook_message *out, struct err *err)
{
    struct hook_source source = q->trigger->source;
    struct http_request *req = request_new(q);
    const json_t *payload = json_object_get(q->event, "payload_text");
    if (!json_is_string(payload)) {
        return err_set(err, ERR_PRECONDITION,
            "the payload of event %s was too large to be kept (setting git-payload-max)",
            q->event_id);
    }
    if (read_headers(q, req, json_object_get(q->event, "headers"), err) != 0 ||
        set_body(q, req, payload, err) != 0) {
        return -1;
    }
    add_header(q, req, "Content-Type", jget_str(q->event, "content_type", NULL));
    forge_from_name(jget_str(q->event, "forge", "auto"), &source.forge);
    int rc = jget_bool(q->event, "polled", false)
                 ? git_poll_read(q->pool, source.forge, req->body, req->body_len, out, err)
                 : hook_read(req, &source, out, err);
    if (rc != 0) {
        return err_wrap(err, "event %s cannot be read", q->event_id);
    }
    /* A message without an id of its own was given one when it came. */
    out->delivery = pool_strdup(q->pool, jget_str(q->event, "delivery", out->delivery));
    out->verified.by = pool_strdup(q->pool, jget_str(q->event, "verified_by", ""));
    out->verified.secret = (int)jget_i64(q->event, "secret", -1);
    q->one = git_case_new(
        q->hooks, q->pool, git_trigger_ref(q->trigger), out, git_headers_safe(&req->headers));
    q->one->payload = req->body;
    q->one->payload_len = req->body_len;
    q->one->content_type = pool_strdup(q->pool, jget_str(q->event, "content_type", ""));
    q->one->event_id = q->event_id;
    return 0;
}

/* ---- explain and redeliver ---- */

static void on_settled(void *owner, const struct err *err)
{
    struct git_inquiry *q = owner;
    int status;
    if (err != NULL) {
        inquiry_fail(q, err);
    } else {
        inquiry_end(q, git_case_answer(q->one, &status), NULL);
    }
}

static void on_examined(void *owner, const struct err *err)
{
    struct git_inquiry *q = owner;
    if (err != NULL) {
        inquiry_fail(q, err);
        return;
    }
    if (q->kind == INQUIRY_AGAIN) {
        git_case_settle(q->one, on_settled, q);
        return;
    }
    json_t *out = git_case_explanation(q->one);
    if (q->event == NULL) {
        json_object_set_new(out, "verification",
            json_pack("{s:b,s:s}", "passed", q->is_verified, "detail", q->verification));
    } else {
        json_object_set_new(out, "verification",
            json_pack("{s:b,s:s}", "passed", 1, "detail", q->one->message->verified.by));
        json_object_set(out, "stored", q->event);
        json_object_del(json_object_get(out, "stored"), "payload_text");
    }
    inquiry_end(q, out, NULL);
}

static int read_force(struct git_inquiry *q, struct err *err)
{
    bool force = false;
    const char *request_id = NULL;
    if (jread_bool(q->body, "", "force", &force, err) != 0 ||
        jread_string(q->body, "", "request_id", &request_id, err) != 0) {
        return -1;
    }
    if (request_id != NULL && strlen(request_id) > FORCE_NAME_MAX) {
        return err_set(err, ERR_INVALID, "request_id: longer than %d bytes", FORCE_NAME_MAX);
    }
    struct id id;
    id_new(&id);
    q->one->by_hand = true;
    q->one->forced = force ? pool_strdup(q->pool, request_id != NULL ? request_id : id.text) : NULL;
    return 0;
}

static void look(struct git_inquiry *q)
{
    struct hook_message *message = pool_alloc(q->pool, sizeof *message);
    struct err err = ERR_INIT;
    int rc = q->event != NULL ? read_stored(q, message, &err) : read_pasted(q, message, &err);
    if (rc == 0 && q->kind == INQUIRY_AGAIN) {
        rc = read_force(q, &err);
    }
    if (rc != 0) {
        inquiry_fail(q, &err);
        return;
    }
    q->one->fetching = q->kind == INQUIRY_EXPLAIN ? GIT_FETCH_LOOK : GIT_FETCH_NOW;
    q->one->gives_up = q->gives_up;
    git_case_examine(q->one, q->kind == INQUIRY_EXPLAIN, on_examined, q);
}

/* With the payload as JSON where it is, so that people can read it. */
static json_t *event_shown(const json_t *event)
{
    json_t *out = json_copy((json_t *)event);
    const char *text = jget_str(out, "payload_text", NULL);
    json_t *payload = text != NULL ? json_loads(text, 0, NULL) : NULL;
    if (payload != NULL) {
        json_object_set_new(out, "payload", payload);
        json_object_del(out, "payload_text");
    }
    return out;
}

static void on_event(void *owner, redisReply *reply, const struct err *err)
{
    struct git_inquiry *q = owner;
    q->call = NULL;
    q->event = err == NULL ? event_json(q->event_id, reply) : NULL;
    if (q->event == NULL) {
        if (err == NULL) {
            err_set(&q->err, ERR_NOT_FOUND,
                "trigger %.64s has no event of this id; see GET .../events for those it still has",
                q->trigger_id);
        }
        inquiry_fail(q, err != NULL ? err : &q->err);
        return;
    }
    const char *headers = reply_field(reply, "headers");
    json_t *parsed = headers != NULL ? json_loads(headers, 0, NULL) : NULL;
    json_object_set_new(q->event, "headers", parsed != NULL ? parsed : json_object());
    if (jget_bool(q->event, "payload_kept", false)) {
        jset_str(q->event, "payload_text", reply_field(reply, "payload"));
    }
    if (q->kind == INQUIRY_GET) {
        inquiry_end(q, event_shown(q->event), NULL);
    } else {
        look(q);
    }
}

static void find_event(struct git_inquiry *q)
{
    const char *name = pool_printf(q->pool, "%s:%s", q->trigger_id, q->event_id);
    q->call = store_cmd(q->hooks->set.store, on_event, q, "HGETALL %sgit_event:%s",
        store_id_prefix(q->hooks->set.store, q->trigger_id), name);
}

static void on_trigger(void *owner, redisReply *reply, const struct err *err)
{
    struct git_inquiry *q = owner;
    q->call = NULL;
    if (err == NULL) {
        q->trigger = git_known_get(q->hooks, q->trigger_id, reply_str(reply), &q->err);
    }
    if (q->trigger == NULL) {
        inquiry_fail(q, err != NULL ? err : &q->err);
    } else if (q->kind == INQUIRY_LIST) {
        list_events(q);
    } else if (q->kind == INQUIRY_DROP) {
        drop_event(q);
    } else if (q->event_id[0] != '\0') {
        find_event(q);
    } else {
        look(q);
    }
}

static void inquiry_start(struct git_inquiry *q)
{
    q->call = store_cmd(q->hooks->set.store, on_trigger, q, "HGET %sgit_triggers %s",
        store_catalog_prefix(q->hooks->set.store),
        id_is_valid(q->trigger_id) ? q->trigger_id : "-");
}

/* No name of a key may be made of anything else. */
static const char *event_name(const struct git_inquiry *q, const char *id)
{
    return id_is_valid(id) ? pool_strdup(q->pool, id) : "none";
}

void git_events(
    struct git_hooks *h, const char *trigger_id, size_t max, webhook_json_fn *done, void *owner)
{
    struct git_inquiry *q = inquiry_new(h, INQUIRY_LIST, trigger_id, NULL, done, owner);
    q->max = max < EVENTS_SHOWN_MAX ? max : EVENTS_SHOWN_MAX;
    inquiry_start(q);
}

void git_event_get(struct git_hooks *h, const char *trigger_id, const char *event_id,
    webhook_json_fn *done, void *owner)
{
    struct git_inquiry *q = inquiry_new(h, INQUIRY_GET, trigger_id, NULL, done, owner);
    q->event_id = event_name(q, event_id);
    inquiry_start(q);
}

void git_trigger_explain(struct git_hooks *h, const char *trigger_id, const json_t *body,
    webhook_json_fn *done, void *owner)
{
    struct git_inquiry *q = inquiry_new(h, INQUIRY_EXPLAIN, trigger_id, body, done, owner);
    const char *event = jget_str(body, "event", NULL);
    q->event_id = event != NULL ? event_name(q, event) : "";
    inquiry_start(q);
}

void git_event_drop(struct git_hooks *h, const char *trigger_id, const char *event_id,
    webhook_json_fn *done, void *owner)
{
    struct git_inquiry *q = inquiry_new(h, INQUIRY_DROP, trigger_id, NULL, done, owner);
    q->event_id = event_name(q, event_id);
    inquiry_start(q);
}

void git_event_redeliver(struct git_hooks *h, const char *trigger_id, const char *event_id,
    const json_t *body, webhook_json_fn *done, void *owner)
{
    struct git_inquiry *q = inquiry_new(h, INQUIRY_AGAIN, trigger_id, body, done, owner);
    q->event_id = event_name(q, event_id);
    inquiry_start(q);
}

void git_event_fetch(struct git_hooks *h, const char *trigger_id, const char *event_id,
    bool gives_up, webhook_json_fn *done, void *owner)
{
    struct git_inquiry *q = inquiry_new(h, INQUIRY_AGAIN, trigger_id, NULL, done, owner);
    q->event_id = event_name(q, event_id);
    q->gives_up = gives_up;
    inquiry_start(q);
}
