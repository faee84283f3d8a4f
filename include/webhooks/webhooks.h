/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events out (subscriptions, signing, durable deliveries) and Git pushes in (triggers).
 * Knows no HTTP server: handlers take and give http_msg values.
 */
#ifndef WEBHOOKS_WEBHOOKS_H
#define WEBHOOKS_WEBHOOKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <jansson.h>

struct catalog;
struct engine;
struct err;
struct http_client;
struct http_request;
struct http_response;
struct loop;
struct seal;
struct store;

typedef void webhook_json_fn(void *owner, const json_t *record, const struct err *err);

/* ---- events out ---- */

struct sender;
struct sender_settings {
    struct loop *loop;
    struct store *store;
    struct http_client *http;
    /* Where deliveries may go: webhooks/egress.h says what the lists may hold. */
    const char *allow, *deny, *ports;
    bool https_only;
    const struct seal *seal;    /* secrets at rest (base/seal.h); NULL: they are kept as they are */
    const char *public_url;     /* named in messages, no slash at its end; NULL: nobody knows it */
    const char *namespace_;     /* of the pods, told with each event; NULL: there are none */
    int64_t timeout_ms;         /* per attempt */
    int64_t max_in_flight;      /* attempts, of all subscriptions together */
    /* Of these, 0 and NULL stand for the daemon's defaults. */
    const char *retries;        /* waits between attempts: "5s,30s,2m" */
    int64_t disable_after_ms;   /* every attempt has failed for so long; 0: never */
    int64_t pending_max, pending_bytes; /* of one subscription in one shard, waiting */
    int64_t pending_all_bytes;  /* of all */
    int64_t log_max;            /* finished deliveries kept per subscription and shard */
    int64_t log_age_ms, log_bytes; /* of all */
    int64_t max_subscriptions;  /* 0: 10,000 */
};
struct sender *sender_new(const struct sender_settings *settings, struct err *err);
void sender_start(struct sender *sender, void (*done)(void *owner, const struct err *err),
    void *owner);
void sender_stop(struct sender *sender);
/* This shard is ours (store_shard_epoch): what its events lead to is sent. Before or after the start. */
void sender_shard_start(struct sender *sender, unsigned shard);
/* Begin nothing more in it; what is under way ends. Only sender_shard_stop() follows. */
void sender_shard_hold(struct sender *sender, unsigned shard);
/* Nothing of it is under way. */
bool sender_shard_is_idle(const struct sender *sender, unsigned shard);
/* Another daemon goes on with it. What is under way is broken off: that one sends it again. */
void sender_shard_stop(struct sender *sender, unsigned shard);
/* Told when a script says that a shard is not ours; it is tried again. One listener. */
void sender_on_fenced(
    struct sender *sender, void (*fn)(void *owner, unsigned shard), void *owner);
void sender_free(struct sender *sender);
/* The rules by which it calls others; they live as long as it does. */
const struct egress *sender_egress(const struct sender *sender);
/* We listen there ourselves, so nothing is sent there unless allowed. */
void sender_set_listener(struct sender *sender, const char *host, uint16_t port);
/* New events in this shard's stream. A hint; the stream is the truth. */
void sender_wake(struct sender *sender, unsigned shard);

/*
 * Subscription: {"v","id","rev","name","url","events","namespaces","experiments","pipelines",
 * "recurring_runs","filter","format","payload","header_names","order","max_in_flight",
 * "max_per_second","timeout_ms","enabled","disabled_reason","created_us",
 * "secrets":[{"scheme","expires_us","public_key"?}]}; contrib/docs/webhooks.md says what each means.
 * A shared secret's text is in the record given to the callbacks of create and rotate only ("shown
 * once"), as "secret".
 */
void subscription_create(struct sender *s, const json_t *body, webhook_json_fn *done, void *owner);
void subscription_get(struct sender *s, const char *id, webhook_json_fn *done, void *owner);
/* {"subscriptions","total_size","next_page_token"?}: at most `max`, the oldest first. page_token: ""
 * or the one before's next_page_token. */
void subscription_all(
    struct sender *s, size_t max, const char *page_token, webhook_json_fn *done, void *owner);
/*
 * Changes are made from the newest record and stored only in its place; when another one got in
 * between they are made anew. Their callbacks get the record.
 *
 * patch: JSON Merge Patch (RFC 7386) of a create's body without "secret"; null gives a member its
 * default. "rev": only if the record still has it (ERR_CONFLICT).
 */
void subscription_patch(struct sender *s, const char *id, const json_t *body, webhook_json_fn *done,
    void *owner);
/* {"secret"?, "scheme"?, "overlap_s"? (86400)}: another secret signs; those before go on for so long. */
void subscription_rotate(struct sender *s, const char *id, const json_t *body,
    webhook_json_fn *done, void *owner);
void subscription_enable(struct sender *s, const char *id, const json_t *body,
    webhook_json_fn *done, void *owner);
/* {"reason"?} */
void subscription_disable(struct sender *s, const char *id, const json_t *body,
    webhook_json_fn *done, void *owner);
void subscription_delete(struct sender *s, const char *id, webhook_json_fn *done, void *owner);
/*
 * Send a "webhook.ping" event to this one alone, by the way of all events, and wait for its first
 * attempt: at most wait_ms, below 0 as long as one may take. The record: {"event_id","delivery_id",
 * "subscription_id","state","attempts","status"?,"error"?,"duration_ms"?}; a state of PENDING
 * without attempts says that there was none in time, and "health" perhaps why.
 */
void subscription_ping(
    struct sender *s, const char *id, int64_t wait_ms, webhook_json_fn *done, void *owner);
/*
 * Deliveries of a subscription, the newest first: {"deliveries":[{"id","event_id","type","state":"PENDING"|
 * "DELIVERED"|"FAILED"|"DROPPED","attempts","next_us","created_us","status","error","duration_ms","run_id",
 * "sequence","redelivered"}], "next_page_token"?}. A page may be short, or empty, and have a next one.
 */
struct delivery_query {
    const char *subscription_id;
    const char *state, *type, *run_id; /* NULL or "": any; a type may end with '*' */
    int64_t since_us, until_us;        /* when they were made; until 0: now */
    const char *page_token;            /* NULL or "": the first page */
    size_t max;
};
void delivery_list(struct sender *s, const struct delivery_query *query, webhook_json_fn *done,
    void *owner);
/*
 * One of them, with "subscription_id", "content_type", "body", "body_bytes", "body_sha256" and "log": its
 * last attempts, oldest first: {"attempt","at_us","request":{"method","url","headers":[[name, value]]},
 * "response"?:{"status","headers","body"?,"body_cut"?},"error"?,"address","connection_reused","probe"?,
 * "times_ms":{"dns"?,"connect"?,"tls"?,"first_byte"?,"total"}}.
 */
void delivery_get(struct sender *s, const char *id, webhook_json_fn *done, void *owner);
/* Send it again, whatever became of it. Body: {"request_id"?}; record: {"id","request_id","redelivered"}. */
void delivery_redeliver(struct sender *s, const char *id, const json_t *body,
    webhook_json_fn *done, void *owner);
/* Send those again that are in a state (FAILED unless said) and were made in a time. Body: {"request_id"?,
 * "state"?,"since"?,"until"?}; record: {"subscription_id","request_id","redelivered": how many,"more"}. */
void subscription_redeliver(struct sender *s, const char *id, const json_t *body,
    webhook_json_fn *done, void *owner);

/* From the event to the receiver's 2xx: up to 5, 10, 25, 50, 100, 250, 500 ms, 1, 5, 30, 300 s, more. */
#define SENDER_LATENESS_BUCKETS 12
struct sender_counts {
    int64_t delivered, failed_attempts, dead, dropped, disabled; /* since the start */
    int64_t opened;             /* circuit breakers, how often */
    int64_t redelivered;        /* asked for again */
    int64_t filter_errors; /* events whose filter could not be evaluated, for each subscription */
    int64_t pending, in_flight; /* now */
    int64_t open;               /* endpoints that are not sent to just now */
    int64_t lateness_buckets[SENDER_LATENESS_BUCKETS];
    double lateness_sum_s;
};
void sender_counts(const struct sender *s, struct sender_counts *out);
/* Of each subscription {"enabled","state","consecutive_failures","in_flight",...}, by id; NULL if there
 * are more than that. New reference. */
json_t *sender_health(const struct sender *s, size_t at_most);

/* ---- Git pushes in ---- */

struct git_hooks;
struct git_hooks_settings {
    struct loop *loop;
    struct store *store;
    struct catalog *catalog;
    struct engine *engine;
    int64_t events_max;  /* kept per trigger */
    int64_t payload_max; /* larger payloads are not kept with their event */
    int64_t dedupe_ms;   /* so long the same push is known again */
    struct http_client *http;    /* for calls to the forges */
    const struct egress *egress; /* where these may go: sender_egress() */
    const char *public_url;      /* in links to runs, no slash at its end; NULL: nobody knows it */
    const struct seal *seal; /* secrets at rest; NULL: they are kept as they are */
    void (*events)(void *owner, unsigned shard); /* this shard may have new events; may be NULL */
    void *events_owner;
};
struct git_hooks *git_hooks_new(const struct git_hooks_settings *settings);
void git_hooks_free(struct git_hooks *hooks);

/* This shard is ours: its concurrency groups are looked after. Before or after the start. */
void git_hooks_shard_start(struct git_hooks *h, unsigned shard);
void git_hooks_shard_stop(struct git_hooks *h, unsigned shard);
/* A run that a Git trigger started (its doc's trigger.kind is "git") has ended, and that is saved. */
void git_hooks_run_ended(struct git_hooks *h, const char *run_id);

/*
 * Triggers: their members are described in contrib/docs/git-triggers.md, the record in storage.md.
 * Secrets are left out of every answer but the one that made them ("secret", shown once). A change is
 * {member: value}, null for the default; rotate takes {"secret"?, "overlap_s"?}. ERR_INVALID names
 * place, rule and fix; nothing is changed then.
 */
void git_trigger_create(struct git_hooks *h, const json_t *body, webhook_json_fn *done,
    void *owner);
void git_trigger_get(struct git_hooks *h, const char *id, webhook_json_fn *done, void *owner);
/* {"triggers": [...], "total_size", "next_page_token"?}: at most max, oldest first, from page_token
 * ("": the beginning) on. */
void git_trigger_all(struct git_hooks *h, size_t max, const char *page_token,
    webhook_json_fn *done, void *owner);
void git_trigger_patch(struct git_hooks *h, const char *id, const json_t *body,
    webhook_json_fn *done, void *owner);
void git_trigger_rotate(struct git_hooks *h, const char *id, const json_t *body,
    webhook_json_fn *done, void *owner);
void git_trigger_delete(struct git_hooks *h, const char *id, webhook_json_fn *done, void *owner);

/*
 * What came for a trigger, newest first: {"counts":{},"refused":[{"at_us","peer","reason"}],
 * "events":[{"id","at_us","delivery","forge","event","result","run_id"?,"clause","reason","refs":[...]}]}.
 */
void git_events(struct git_hooks *h, const char *trigger_id, size_t max, webhook_json_fn *done,
    void *owner);
/* One of them, with headers and payload where that was kept. */
void git_event_get(struct git_hooks *h, const char *trigger_id, const char *event_id,
    webhook_json_fn *done, void *owner);
/*
 * What would happen, step by step; nothing is started or written. body: {"event": id of a stored one}
 * or {"payload", "headers"?, "forge"?, "forge_event"?}. done gets {"starts","verification","refs":
 * [{"ref","starts","steps":[{"clause","passed","detail"}],"parameters"?,"run_id"?}]}.
 */
void git_trigger_explain(struct git_hooks *h, const char *trigger_id, const json_t *body,
    webhook_json_fn *done, void *owner);
/*
 * Evaluate a stored event again by today's trigger, and start what has not been started; with
 * {"force":true} also what has ("request_id": the same one starts the same run). done gets what a
 * sender is told.
 */
void git_event_redeliver(struct git_hooks *h, const char *trigger_id, const char *event_id,
    const json_t *body, webhook_json_fn *done, void *owner);

/* What waits of this event in a concurrency group starts nothing any more: {"dropped": how many}.
 * ERR_PRECONDITION: nothing waits. */
void git_event_drop(struct git_hooks *h, const char *trigger_id, const char *event_id,
    webhook_json_fn *done, void *owner);

struct git_counts { /* since start; changes of refs, but refused: messages */
    int64_t started, waiting, fetching, ignored, duplicates, failed, refused;
    int64_t statuses, statuses_failed; /* of commits: told, and given up */
    int64_t polls, polls_failed; /* looks at the refs of repositories */
};
void git_hooks_counts(const struct git_hooks *hooks, struct git_counts *out);

/*
 * POST /hooks/{id}. req stays valid until done, which fills no more than status, headers
 * and body of *resp (allocated from req->pool). Answers only after event and runs are stored:
 * 202 started or waiting, 200 nothing (more) to start, 404 unknown or not genuine, 400 malformed,
 * 429 and 503 with Retry-After.
 */
void git_hooks_receive(struct git_hooks *h, const char *trigger_id,
    const struct http_request *req, struct http_response *resp,
    void (*done)(void *owner), void *owner);

#endif
