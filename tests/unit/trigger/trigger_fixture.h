/* SPDX-License-Identifier: Apache-2.0 */
/* What the ticker's tests share: a catalogue and a ticker on a private Redis, runs that end when
 * the test says so, and questions about what has fired. */
#ifndef TESTS_TRIGGER_FIXTURE_H
#define TESTS_TRIGGER_FIXTURE_H

#include "tests/support/harness.h"

#include "base/id.h"
#include "base/json.h"
#include "run_scripts.h"
#include "scheduler/catalog.h"
#include "scheduler/plan.h"
#include "scheduler/recurring.h"
#include "scheduler/run.h"

#define EXPERIMENT "11111111-1111-4111-8111-111111111111"
#define SPEC "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

struct fixture {
    struct harness h;
    struct catalog *catalog;
    struct ticker *ticker;
    /* the last answer */
    int times;
    json_t *record;
    struct err err;
    int started;
};

static inline void fixture_on_started(void *owner, const struct err *err)
{
    struct fixture *f = owner;
    f->started = 1;
    if (err != NULL) {
        fail_msg("%s", err->msg);
    }
}

static inline void fixture_start_ticker(struct fixture *f)
{
    struct ticker_settings settings = {
        .loop = f->h.loop,
        .store = f->h.store,
        .catalog = f->catalog,
        .claim_batch = 100,
    };
    f->ticker = ticker_new(&settings);
    f->started = 0;
    ticker_start(f->ticker, fixture_on_started, f);
    harness_wait(&f->h, &f->started);
}

static inline void fixture_init(struct fixture *f)
{
    *f = (struct fixture){0};
    harness_init(&f->h);
    f->catalog = catalog_new(f->h.loop, f->h.store);
    fixture_start_ticker(f);
}

/* The daemon dies and comes again: all that is not in Redis is forgotten. */
static inline void fixture_stop_daemon(struct fixture *f)
{
    ticker_free(f->ticker);
    catalog_free(f->catalog);
    store_free(f->h.store);
    f->ticker = NULL;
}

static inline void fixture_start_daemon(struct fixture *f)
{
    f->h.store = harness_store(&f->h);
    harness_take_over(&f->h);
    f->catalog = catalog_new(f->h.loop, f->h.store);
    fixture_start_ticker(f);
}

static inline void fixture_done(struct fixture *f)
{
    ticker_free(f->ticker);
    catalog_free(f->catalog);
    harness_done(&f->h);
    json_decref(f->record);
}

static inline void fixture_on_record(void *owner, const json_t *record, const struct err *err)
{
    struct fixture *f = owner;
    f->times++;
    json_decref(f->record);
    f->record = record == NULL ? NULL : json_deep_copy(record);
    err_clear(&f->err);
    if (err != NULL) {
        err_copy(&f->err, err);
    }
}

/* Wait for the answer of a call that was just made with fixture_on_record. */
static inline void fixture_answer(struct fixture *f)
{
    assert_int_equal(f->times, 0);
    harness_wait(&f->h, &f->times);
    assert_int_equal(f->times, 1);
    f->times = 0;
}

static inline void fixture_good(struct fixture *f)
{
    fixture_answer(f);
    if (f->err.code != ERR_NONE) {
        fail_msg("%s", f->err.msg);
    }
}

static inline void fixture_bad(struct fixture *f, enum err_code code, const char *part)
{
    fixture_answer(f);
    if (f->err.code != code || strstr(f->err.msg, part) == NULL) {
        fail_msg("expected %s with '%s', got %s: %s", err_code_name(code), part,
            err_code_name(f->err.code), f->err.msg);
    }
}

static inline struct recurring_request fixture_request(const char *cron, int64_t interval_s)
{
    return (struct recurring_request){
        .name = "nightly",
        .experiment_id = EXPERIMENT,
        .spec = SPEC,
        .pipeline_name = "tiny",
        .cron = cron,
        .interval_s = interval_s,
        .max_concurrency = 10,
        .is_enabled = true,
    };
}

static inline struct id fixture_create(struct fixture *f, const struct recurring_request *req)
{
    recurring_create(f->ticker, req, fixture_on_record, f);
    fixture_good(f);
    struct id id = {{0}};
    memcpy(id.text, jget_str(f->record, "id", ""), ID_LEN);
    return id;
}

static inline const json_t *fixture_get(struct fixture *f, const struct id *id)
{
    recurring_get(f->ticker, id->text, fixture_on_record, f);
    fixture_good(f);
    return f->record;
}

static inline int64_t fixture_fired(const struct fixture *f)
{
    struct ticker_counts counts;
    ticker_counts(f->ticker, &counts);
    return counts.fired;
}

/* Turn the loop until so many have fired since the ticker started; then a little more, to see
 * that no others come. */
static inline void fixture_wait_fired(struct fixture *f, int64_t count)
{
    int64_t limit = clock_mono_us() + HARNESS_LIMIT_US;
    while (fixture_fired(f) < count) {
        if (clock_mono_us() > limit) {
            fail_msg("%lld fired instead of %lld", (long long)fixture_fired(f), (long long)count);
        }
        loop_turn(f->h.loop, true);
    }
    harness_pass_ms(&f->h, 30);
    if (fixture_fired(f) != count) {
        fail_msg("%lld fired instead of %lld", (long long)fixture_fired(f), (long long)count);
    }
}

/* Ticks of this shard that are claimed ahead of their instant. */
static inline int64_t fixture_hidden(struct fixture *f, const char *prefix)
{
    return harness_cmd(&f->h, "EVAL %s 0 %s",
        "local n = 0 for _, at in ipairs(redis.call('ZRANGE', ARGV[1] .. 'ahead', 0, -1)) do "
        "n = n + redis.call('HLEN', ARGV[1] .. 'ahead:' .. at .. ':undo') end return n",
        prefix);
}

/* Runs of a recurring run, oldest first: an array of run records. */
static inline const json_t *fixture_runs(struct fixture *f, const struct id *id)
{
    run_all(f->h.store, NULL, id->text, 100000, fixture_on_record, f);
    fixture_good(f);
    return f->record;
}

/* End a run as the engine does, and tell the ticker as the scheduler does. */
static inline void fixture_end_run_as(
    struct fixture *f, const char *run_id, const char *rr, const char *state)
{
    const char *prefix = store_id_prefix(f->h.store, run_id);
    struct store_args *args = store_args_new();
    store_key(args, "%sepoch", prefix);
    store_key(args, "%srun:%s", prefix, run_id);
    store_key(args, "%srun:%s:tasks", prefix, run_id);
    store_key(args, "%sevents", prefix);
    store_key(args, "%slive", prefix);
    store_key(args, "%sfinished", prefix);
    store_key(args, "%sexpiry", prefix);
    store_key(args, "%sprogress", prefix);
    store_key(args, "%sdue", prefix);
    store_arg_i(args, store_id_epoch(f->h.store, run_id));
    store_arg(args, run_id);
    store_arg_i(args, 1);
    store_arg(args, state);
    store_arg(args, "{\"at_us\":1,\"state\":\"SUCCEEDED\"}");
    store_arg(args, "1");
    store_arg_i(args, 1);
    store_arg_i(args, clock_now_us());
    store_arg(args, "");
    store_arg(args, "{}");
    store_arg(args, rr);
    store_arg_i(args, 0);
    store_arg_i(args, 0);
    store_arg_i(args, 0);
    store_arg(args, "");
    f->h.answered = 0;
    store_eval(f->h.store, &script_run_save, args, harness_on_reply, &f->h);
    harness_wait(&f->h, &f->h.answered);
    if (f->h.err.code != ERR_NONE) {
        fail_msg("%s", f->h.err.msg);
    }
    ticker_wake(f->ticker, rr);
}

static inline void fixture_end_run(struct fixture *f, const char *run_id, const char *rr)
{
    fixture_end_run_as(f, run_id, rr, "SUCCEEDED");
}

/* End all runs of one that have not ended; how many. */
static inline int fixture_end_all(struct fixture *f, const struct id *rr)
{
    json_t *runs = json_deep_copy(fixture_runs(f, rr));
    int ended = 0;
    for (size_t i = 0; i < json_array_size(runs); i++) {
        const json_t *run = json_array_get(runs, i);
        if (strcmp(jget_str(run, "state", ""), "PENDING") == 0) {
            fixture_end_run(f, jget_str(run, "id", ""), rr->text);
            ended++;
        }
    }
    json_decref(runs);
    return ended;
}

/* The wall clock shows this instant now. */
static inline void fixture_clock(struct fixture *f, const char *text)
{
    int64_t us;
    struct err err = ERR_INIT;
    if (clock_parse(text, &us, &err) != 0) {
        fail_msg("%s", err.msg);
    }
    harness_move_clock(&f->h, us - clock_now_us());
}

static inline int64_t fixture_instant(const char *text)
{
    int64_t us = 0;
    struct err err = ERR_INIT;
    if (clock_parse(text, &us, &err) != 0) {
        fail_msg("%s", err.msg);
    }
    return us;
}

#endif
