/* SPDX-License-Identifier: Apache-2.0 */
/* Prometheus' text form (version 0.0.4) of everything the parts count. */
#include "api/metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/store.h"
#include "base/util.h"

#include "scheduler/lease.h"
#include "scheduler/pools.h"
#include "scheduler/recurring.h"
#include "scheduler/run.h"
#include "webhooks/webhooks.h"

#include "api/api.h"

struct sample {
    const char *labels; /* "{state=\"x\"}" or "" */
    int64_t value;
};

static void head(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void metric(struct buf *out, const char *name, const char *type, const char *help,
    const struct sample *samples, size_t count)
{
    head(out, name, type, help);
    for (size_t i = 0; i < count; i++) {
        buf_addf(out, "%s%s %lld\n", name, samples[i].labels, (long long)samples[i].value);
    }
}

static void single(
    struct buf *out, const char *name, const char *type, const char *help, int64_t value)
{
    const struct sample sample = {"", value};
    metric(out, name, type, help, &sample, 1);
}

/* Second field of statm, in pages. */
static int64_t resident_bytes(void)
{
    CLEANUP(cleanup_free) char *text = file_read("/proc/self/statm", 4096, NULL, NULL);
    const char *space = text != NULL ? strchr(text, ' ') : NULL;
    return space != NULL ? strtoll(space + 1, NULL, 10) * sysconf(_SC_PAGESIZE) : 0;
}

static void add_process(struct buf *out, const struct api *api)
{
    head(out, "rondo_build_info", "gauge", "Version of the daemon and how it runs steps.");
    buf_addf(out, "rondo_build_info{version=\"%s\",executor=\"%s\"} 1\n", RONDO_VERSION,
        api->executor_name != NULL ? api->executor_name : "");
    single(out, "rondo_uptime_seconds", "gauge", "Time since the start.",
        (clock_now_us() - api->started_us) / US_PER_S);
    single(out, "process_resident_memory_bytes", "gauge", "Memory in RAM.", resident_bytes());
    single(out, "rondo_redis_up", "gauge", "Is Redis connected?", store_is_up(api->store));
    static const char *const labels[] = {NULL, "{status=\"1xx\"}", "{status=\"2xx\"}",
        "{status=\"3xx\"}", "{status=\"4xx\"}", "{status=\"5xx\"}"};
    head(out, "rondo_http_requests_total", "counter", "Requests answered, by status class.");
    for (size_t i = 2; i < ARRAY_LEN(labels); i++) {
        buf_addf(out, "rondo_http_requests_total%s %lld\n", labels[i], (long long)api->replies[i]);
    }
}

static void add_engine(struct buf *out, const struct engine *engine)
{
    struct engine_counts c = {0};
    engine_counts(engine, &c);
    const struct sample runs[] = {{"{state=\"succeeded\"}", c.runs_succeeded},
        {"{state=\"failed\"}", c.runs_failed}, {"{state=\"canceled\"}", c.runs_canceled}};
    const struct sample steps[] = {{"{state=\"succeeded\"}", c.steps_succeeded},
        {"{state=\"failed\"}", c.steps_failed}, {"{state=\"lost\"}", c.steps_lost}};
    single(out, "rondo_runs_live", "gauge", "Runs that have not ended.", c.live_runs);
    single(out, "rondo_steps_running", "gauge", "Steps running now.", c.running_steps);
    single(
        out, "rondo_steps_waiting", "gauge", "Steps that wait for a free place.", c.waiting_steps);
    metric(out, "rondo_runs_finished_total", "counter", "Runs that ended since the start.", runs,
        ARRAY_LEN(runs));
    metric(out, "rondo_steps_finished_total", "counter", "Attempts that ended since the start.",
        steps, ARRAY_LEN(steps));
}

/* The ticker counts each bucket by itself, Prometheus wants sums from below. */
static void add_lateness(struct buf *out, const struct ticker_counts *c)
{
    static const char *const bounds[] = {
        "0.001", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "5", "30", "+Inf"};
    const char *name = "rondo_fire_lateness_seconds";
    head(out, name, "histogram", "From the scheduled instant to the run's creation.");
    int64_t sum = 0;
    for (size_t i = 0; i < ARRAY_LEN(bounds); i++) {
        sum += c->lateness_buckets[i];
        buf_addf(out, "%s_bucket{le=\"%s\"} %lld\n", name, bounds[i], (long long)sum);
    }
    buf_addf(out, "%s_sum %.6f\n%s_count %lld\n", name, c->lateness_sum_s, name, (long long)sum);
}

static void add_ticker(struct buf *out, const struct ticker *ticker)
{
    struct ticker_counts c = {0};
    ticker_counts(ticker, &c);
    single(out, "rondo_recurring_runs", "gauge", "Recurring runs stored.", c.recurring_runs);
    single(out, "rondo_recurring_runs_enabled", "gauge", "Recurring runs that fire.", c.enabled);
    single(out, "rondo_fires_total", "counter", "Firings since the start.", c.fired);
    buf_adds(out, "# HELP rondo_ticks_total What has become of ticks since the start.\n"
                  "# TYPE rondo_ticks_total counter\n");
    for (int i = 0; i < TICKER_OUTCOMES; i++) {
        buf_addf(out, "rondo_ticks_total{outcome=\"%s\"} %lld\n", ticker_outcome_name(i),
            (long long)(i == 0 ? c.fired : c.outcomes[i]));
    }
    single(out, "rondo_fires_failed_total", "counter", "Firings that could not create a run.",
        c.failed);
    add_lateness(out, &c);
}

/* Buckets hold their own counts, Prometheus wants sums from below. */
static void add_delivery_time(struct buf *out, const struct sender_counts *c)
{
    static const char *const bounds[SENDER_LATENESS_BUCKETS] = {
        "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "5", "30", "300", "+Inf"};
    const char *name = "rondo_webhook_delivery_seconds";
    head(out, name, "histogram", "From the event to the receiver's 2xx, retries included.");
    int64_t sum = 0;
    for (size_t i = 0; i < ARRAY_LEN(bounds); i++) {
        sum += c->lateness_buckets[i];
        buf_addf(out, "%s_bucket{le=\"%s\"} %lld\n", name, bounds[i], (long long)sum);
    }
    buf_addf(out, "%s_sum %.6f\n%s_count %lld\n", name, c->lateness_sum_s, name, (long long)sum);
}

#define SUBSCRIPTIONS_SHOWN 100 /* more than that and they get no series of their own */

static const struct {
    const char *key, *name, *help;
} subscription_gauges[] = {
    {"up", "rondo_webhook_subscription_up",
        "1: sent to; 0: disabled, or its circuit breaker is not closed."},
    {"consecutive_failures", "rondo_webhook_subscription_failures", "Attempts failed in a row."},
    {"in_flight", "rondo_webhook_subscription_in_flight", "Attempts under way."},
};

static void add_subscriptions(struct buf *out, const struct sender *sender)
{
    CLEANUP(json_decrefp) json_t *all = sender_health(sender, SUBSCRIPTIONS_SHOWN);
    for (size_t kind = 0; all != NULL && kind < ARRAY_LEN(subscription_gauges); kind++) {
        const char *name = subscription_gauges[kind].name, *id;
        json_t *health;
        head(out, name, "gauge", subscription_gauges[kind].help);
        json_object_foreach(all, id, health)
        {
            bool is_up = jget_bool(health, "enabled", true) &&
                         strcmp(jget_str(health, "state", ""), "closed") == 0;
            int64_t value = kind == 0 ? is_up : jget_i64(health, subscription_gauges[kind].key, 0);
            buf_addf(out, "%s{subscription=\"%s\"} %lld\n", name, id, (long long)value);
        }
    }
}

static void add_sender(struct buf *out, const struct sender *sender)
{
    struct sender_counts c = {0};
    sender_counts(sender, &c);
    const struct sample ends[] = {{"{result=\"delivered\"}", c.delivered},
        {"{result=\"dead\"}", c.dead}, {"{result=\"dropped\"}", c.dropped}};
    metric(out, "rondo_webhook_deliveries_total", "counter", "Deliveries that ended.", ends,
        ARRAY_LEN(ends));
    single(out, "rondo_webhook_failed_attempts_total", "counter", "Attempts that failed.",
        c.failed_attempts);
    single(out, "rondo_webhook_filter_errors_total", "counter",
        "Events not delivered because a subscription's filter could not be evaluated.",
        c.filter_errors);
    single(out, "rondo_webhook_deliveries_pending", "gauge", "Deliveries still to be made.",
        c.pending);
    single(out, "rondo_webhook_in_flight", "gauge", "Attempts under way.", c.in_flight);
    single(out, "rondo_webhook_breakers_open", "gauge",
        "Subscriptions that are not sent to just now because attempts failed.", c.open);
    single(
        out, "rondo_webhook_breakers_opened_total", "counter", "How often that began.", c.opened);
    single(out, "rondo_webhook_subscriptions_disabled_total", "counter",
        "Subscriptions disabled by 410 or after failing for days.", c.disabled);
    single(out, "rondo_webhook_redeliveries_total", "counter",
        "Deliveries that somebody has asked for again.", c.redelivered);
    add_delivery_time(out, &c);
    add_subscriptions(out, sender);
}

static void add_lease(struct buf *out, const struct lease *lease)
{
    struct lease_counts c = {0};
    lease_counts(lease, &c);
    const struct sample moves[] = {
        {"{how=\"free\"}", c.taken - c.taken_over}, {"{how=\"taken_over\"}", c.taken_over}};
    single(out, "rondo_daemons", "gauge", "Daemons alive on this Redis.", c.members);
    single(out, "rondo_shards_held", "gauge", "Shards that this daemon carries on.", c.held);
    metric(out, "rondo_shards_taken_total", "counter",
        "Shards taken: that nobody held, or from a daemon that had died.", moves, ARRAY_LEN(moves));
    single(out, "rondo_shards_given_up_total", "counter", "Shards handed to other daemons.",
        c.given_up);
    single(out, "rondo_shards_fenced_total", "counter",
        "Shards found to be another daemon's while this one thought it held them.", c.fenced);
}

static const char *const pool_counts[][3] = {
    {"slots", "rondo_pool_slots", "Runs that a pool allows at once; no sample: no limit."},
    {"held", "rondo_pool_held", "Runs that hold a slot of a pool."},
    {"waiting", "rondo_pool_waiting", "Runs that wait for a slot of a pool."},
};

/* Of all daemons together. Names of pools need no quoting. */
static void add_pools(struct buf *out, const json_t *pools)
{
    for (size_t kind = 0; kind < ARRAY_LEN(pool_counts); kind++) {
        const char *const *count = pool_counts[kind];
        head(out, count[1], "gauge", count[2]);
        size_t i;
        json_t *pool;
        json_array_foreach((json_t *)pools, i, pool)
        {
            if (json_object_get(pool, count[0]) != NULL) {
                buf_addf(out, "%s{pool=\"%s\"} %lld\n", count[1], jget_str(pool, "name", ""),
                    (long long)jget_i64(pool, count[0], 0));
            }
        }
    }
}

static void on_pools(void *owner, const json_t *pools, const struct err *err)
{
    struct api_call *call = owner;
    if (err == NULL) {
        add_pools(&call->resp.body, pools);
    }
    http_fields_add(call->req.pool, &call->resp.headers, "Content-Type",
        "text/plain; version=0.0.4; charset=utf-8");
    api_reply(call);
}

static void add_git(struct buf *out, const struct git_hooks *hooks)
{
    struct git_counts c;
    git_hooks_counts(hooks, &c);
    const struct sample results[] = {{"{result=\"started\"}", c.started},
        {"{result=\"waiting\"}", c.waiting}, {"{result=\"fetching\"}", c.fetching},
        {"{result=\"ignored\"}", c.ignored}, {"{result=\"duplicate\"}", c.duplicates},
        {"{result=\"failed\"}", c.failed}};
    metric(out, "rondo_git_changes_total", "counter",
        "Pushed refs, pull requests and releases that triggers decided about.", results,
        ARRAY_LEN(results));
    single(out, "rondo_git_refused_total", "counter",
        "Messages to triggers that were not genuine, or to none.", c.refused);
    const struct sample statuses[] = {
        {"{result=\"posted\"}", c.statuses}, {"{result=\"failed\"}", c.statuses_failed}};
    metric(out, "rondo_git_statuses_total", "counter",
        "Commit statuses that forges took, and that were given up.", statuses, ARRAY_LEN(statuses));
    const struct sample polls[] = {
        {"{result=\"ok\"}", c.polls}, {"{result=\"failed\"}", c.polls_failed}};
    metric(out, "rondo_git_polls_total", "counter", "Looks at the refs of repositories.", polls,
        ARRAY_LEN(polls));
}

void metrics_handle(struct api_call *call)
{
    const struct api *api = call->api;
    struct buf *out = &call->resp.body;
    add_process(out, api);
    if (api->engine != NULL) {
        add_engine(out, api->engine);
    }
    if (api->lease != NULL) {
        add_lease(out, api->lease);
    }
    if (api->ticker != NULL) {
        add_ticker(out, api->ticker);
    }
    if (api->sender != NULL) {
        add_sender(out, api->sender);
    }
    if (api->git_hooks != NULL) {
        add_git(out, api->git_hooks);
    }
    if (store_is_up(api->store)) {
        pool_list(api->store, on_pools, call);
    } else {
        static const struct err away = {.code = ERR_TRANSIENT, .msg = ""};
        on_pools(call, NULL, &away);
    }
}
