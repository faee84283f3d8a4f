/* SPDX-License-Identifier: Apache-2.0 */
/* Recurring runs: create, read, list, preview. Changing them: change.c. */
#include "scheduler/recurring.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/json.h"
#include "base/map.h"
#include "base/util.h"
#include "scheduler/pools.h"
#include "trigger/op.h"
#include "trigger/policy.h"
#include "trigger/progress.h"
#include "trigger/slots.h"
#include "trigger/ticker.h"
#include "trigger_scripts.h"

/* Bytes. */
#define NAME_MAX_LEN 1024
#define DESCRIPTION_MAX_LEN ((size_t)64 << 10)
#define INTERVAL_MAX_S (INT64_C(100) * 366 * 86400)
/* Ticks that are due wait for one of these. */
#define READ_BATCH 100

static bool is_set(const char *text)
{
    return text != NULL && text[0] != '\0';
}

static int check_texts(const json_t *doc, struct err *err)
{
    static const struct {
        const char *member, *what;
    } texts[] = {
        {"name", "display_name"},
        {"description", "description"},
        {"pipeline_root", "pipeline_root"},
        {"service_account", "service_account"},
        {"pipeline_name", "pipeline name"},
        {"cron", "cron"},
        {"time_zone", "time_zone"},
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        if (!json_is_string(json_object_get(doc, texts[i].member))) {
            return err_set(
                err, ERR_INVALID, "%s: a string of valid UTF-8 is expected", texts[i].what);
        }
    }
    if (!is_set(jget_str(doc, "name", ""))) {
        return err_set(err, ERR_INVALID, "display_name: a recurring run needs a name");
    }
    if (strlen(jget_str(doc, "name", "")) > NAME_MAX_LEN) {
        return err_set(err, ERR_INVALID, "display_name: it is longer than %d bytes", NAME_MAX_LEN);
    }
    if (strlen(jget_str(doc, "description", "")) > DESCRIPTION_MAX_LEN) {
        return err_set(err, ERR_INVALID, "description: it is longer than 64 KiB");
    }
    return 0;
}

int recurring_check(const json_t *doc, struct schedule **out, struct err *err)
{
    *out = NULL;
    struct policy policy;
    const char *experiment_id = jget_str(doc, "experiment_id", "");
    int64_t interval_s = jget_i64(doc, "interval_s", 0);
    int64_t start_us = jget_i64(doc, "start_us", 0), end_us = jget_i64(doc, "end_us", 0);
    if (check_texts(doc, err) != 0) {
        return -1;
    }
    if (!id_is_valid(experiment_id)) {
        return err_set(err, ERR_INVALID, "experiment_id: a recurring run belongs to an experiment");
    }
    if (!is_set(jget_str(doc, "spec", "")) && !is_set(jget_str(doc, "pipeline_id", ""))) {
        return err_set(err, ERR_INVALID,
            "a recurring run needs a pipeline: give pipeline_spec or pipeline_version_reference");
    }
    if (policy_parse(doc, &policy, err) != 0 || pool_check_wish(doc, err) != 0) {
        return -1;
    }
    if (is_set(jget_str(doc, "cron", "")) && interval_s != 0) {
        return err_set(err, ERR_INVALID,
            "trigger: give a cron expression or an interval, not both (in a PATCH null takes one "
            "out)");
    }
    if (interval_s < 0 || interval_s > INTERVAL_MAX_S) {
        return err_set(err, ERR_INVALID,
            "trigger.periodic_schedule.interval_second: it is %" PRId64
            ", allowed are 1 to %" PRId64,
            interval_s, INTERVAL_MAX_S);
    }
    if (start_us < 0 || end_us < 0) {
        return err_set(err, ERR_INVALID, "trigger: start_time and end_time must be after 1970");
    }
    if (start_us != 0 && end_us != 0 && end_us < start_us) {
        return err_set(err, ERR_INVALID, "trigger: its end_time is before its start_time");
    }
    return slot_schedule(doc, out, err) == 0 ? 0 : err_wrap(err, "trigger");
}

static const char *const schedule_members[] = {
    "schedules", "profile", "dst", "include", "exclude", "backfill_of", "backfill_ticks", NULL};

static int check_more(const json_t *more, struct err *err)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)more, key, value)
    {
        if (!is_one_of(key, schedule_members) && !is_one_of(key, policy_members) &&
            !is_one_of(key, pool_members)) {
            return err_set(err, ERR_INVALID,
                "rondo.%.60s: there is no such member; see \"schedules\" in the documentation",
                key);
        }
    }
    return 0;
}

static void on_created(void *owner, redisReply *reply, const struct err *err)
{
    struct recurring_op *op = owner;
    op->call = NULL;
    FAULT("recurring.create.after");
    if (err != NULL) {
        recurring_op_finish(op, NULL, err);
        return;
    }
    struct err local = ERR_INIT;
    json_t *record CLEANUP(json_decrefp) = recurring_record(reply, 1, op->id.text, &local);
    if (record == NULL) {
        recurring_op_finish(op, NULL, &local);
        return;
    }
    struct tick_shard *s = ticker_shard(op->t, op->id.text);
    s->recurring_runs++;
    if (jget_bool(record, "enabled", false)) {
        s->enabled++;
        shard_note(s, op->id.text, jget_i64(record, "next_us", 0));
    }
    recurring_op_finish(op, record, NULL);
}

void recurring_create(
    struct ticker *t, const struct recurring_request *req, recurring_json_fn *done, void *owner)
{
    struct recurring_op *op = recurring_op_new(t, done, owner);
    id_new(&op->id);
    int64_t now_us = clock_now_us();
    json_t *doc CLEANUP(json_decrefp) = recurring_doc_of(req, op->id.text, now_us);
    struct schedule *schedule;
    struct policy policy;
    if (check_more(req->more, &op->err) != 0 || recurring_check(doc, &schedule, &op->err) != 0) {
        recurring_op_fail_later(op);
        return;
    }
    (void)policy_parse(doc, &policy, NULL); /* has been checked */
    struct schedule_window window;
    slot_window(doc, &window);
    struct progress progress = {
        .enabled = req->is_enabled,
        .generation = 1,
        .next_us = slot_first(schedule, &window, now_us),
        .updated_us = now_us,
    };
    schedule_free(schedule);
    char *doc_text CLEANUP(cleanup_free) = recurring_doc_text(doc, op->id.text);
    char *text CLEANUP(cleanup_free) = progress_text(&progress);
    int64_t due_us = progress.enabled && progress.next_us > 0
                         ? progress.next_us + policy_offset_us(&policy, op->id.text)
                         : 0;
    const struct swap swap = {
        .from = "",
        .to = text,
        .doc = doc_text,
        .due_us = due_us,
        .created_us = now_us,
        .enabled = progress.enabled ? 1 : 0,
        .fails = policy.pause_after_failures > 0 ? "0" : "",
    };
    FAULT("recurring.create.before");
    recurring_op_swap(op, &swap, on_created);
}

static void on_got(void *owner, redisReply *reply, const struct err *err)
{
    struct recurring_op *op = owner;
    op->call = NULL;
    struct err local = ERR_INIT;
    json_t *record CLEANUP(json_decrefp) = NULL;
    if (err != NULL) {
        err_copy(&local, err);
    } else {
        record = recurring_record(reply->element[0], 0, op->id.text, &local);
        if (record == NULL && local.code == ERR_NONE) {
            err_set(&local, ERR_NOT_FOUND, "recurring run %s does not exist", op->id.text);
        }
    }
    recurring_op_finish(op, record, record == NULL ? &local : NULL);
}

void recurring_get(struct ticker *t, const char *id, recurring_json_fn *done, void *owner)
{
    struct recurring_op *op = recurring_op_new(t, done, owner);
    if (recurring_op_id_ok(op, id)) {
        recurring_op_read(op, on_got);
    }
}

/* ---- stamps ---- */

void recurring_stamp(struct ticker *t, const char *id, stamp_done_fn *done, void *owner)
{
    struct store *store = t->set.store;
    char *key CLEANUP(cleanup_free) = xasprintf("%sprogress", store_id_prefix(store, id));
    char *waiting CLEANUP(cleanup_free) = xasprintf("%s:waiting", id);
    char *fails CLEANUP(cleanup_free) = xasprintf("%s:fails", id);
    const char *const fields[] = {id, waiting, fails};
    stamp_read(store, key, fields, ARRAY_LEN(fields), done, owner);
}

/* In the order of the fields above. */
void recurring_stamp_of(const json_t *record, struct stamp *out)
{
    *out = (struct stamp){.len = 0};
    stamp_add(out, jget_str(record, "progress", ""));
    stamp_add(out, jget_str(record, "mark", ""));
    stamp_add_i(out, jget_i64(record, "failures", 0));
}

/* ---- all: shard after shard, in batches ---- */

static void all_next(struct recurring_op *op);

/* Most of a million are not: that is seen without parsing them. */
static bool may_be_of(const redisReply *fields, const char *experiment_id)
{
    const char *doc = fields->type == REDIS_REPLY_ARRAY && fields->elements > 0
                          ? reply_str(fields->element[0])
                          : NULL;
    return experiment_id == NULL || doc == NULL || strstr(doc, experiment_id) != NULL;
}

static void all_on_batch(void *owner, redisReply *reply, const struct err *err)
{
    struct recurring_op *op = owner;
    op->call = NULL;
    if (err != NULL) {
        recurring_op_finish(op, NULL, err);
        return;
    }
    size_t first = op->id_at - reply->elements;
    for (size_t i = 0; i < reply->elements; i++) {
        if (!may_be_of(reply->element[i], op->experiment_id)) {
            continue;
        }
        struct err local = ERR_INIT;
        json_t *record CLEANUP(json_decrefp) =
            recurring_record(reply->element[i], 0, op->ids[first + i].text, &local);
        if (record == NULL && local.code != ERR_NONE) {
            recurring_op_finish(op, NULL, &local);
            return;
        }
        if (record != NULL &&
            (op->experiment_id == NULL ||
                strcmp(op->experiment_id, jget_str(record, "experiment_id", "")) == 0)) {
            op->each(op->owner, record);
        }
    }
    all_next(op);
}

static void all_on_ids(void *owner, redisReply *reply, const struct err *err)
{
    struct recurring_op *op = owner;
    op->call = NULL;
    if (err != NULL) {
        recurring_op_finish(op, NULL, err);
        return;
    }
    free(op->ids);
    op->ids = xcalloc(reply->elements + 1, sizeof(*op->ids));
    op->id_count = op->id_at = 0;
    for (size_t i = 0; i < reply->elements; i++) {
        const char *id = reply->element[i]->str;
        if (id != NULL && id_is_valid(id)) {
            memcpy(op->ids[op->id_count++].text, id, ID_LEN);
        }
    }
    op->shard++;
    all_next(op);
}

static void all_next(struct recurring_op *op)
{
    struct store *store = op->t->set.store;
    if (op->id_at == op->id_count) {
        if (op->shard == op->t->shard_count) {
            recurring_op_finish(op, NULL, NULL);
        } else {
            op->call = store_cmd(
                store, all_on_ids, op, "ZRANGE %srrs 0 -1", store_shard_prefix(store, op->shard));
        }
        return;
    }
    const char *prefix = store_shard_prefix(store, op->shard - 1);
    size_t first = op->id_at, left = op->id_count - first;
    size_t count = left < READ_BATCH ? left : READ_BATCH;
    struct store_args *args = store_args_new();
    store_key(args, "%sprogress", prefix);
    for (size_t i = 0; i < count; i++) {
        store_key(args, "%srr:%s", prefix, op->ids[first + i].text);
    }
    store_arg(args, "0");
    store_arg_i(args, clock_shift_us());
    for (size_t i = 0; i < count; i++) {
        store_arg_b(args, op->ids[first + i].text, ID_LEN);
    }
    op->id_at += count;
    op->call = store_eval(store, &script_rr_load, args, all_on_batch, op);
}

void recurring_each(struct ticker *t, const char *experiment_id, recurring_each_fn *each,
    recurring_json_fn *done, void *owner)
{
    struct recurring_op *op = recurring_op_new(t, done, owner);
    op->experiment_id = experiment_id == NULL ? NULL : xstrdup(experiment_id);
    op->each = each;
    all_next(op);
}

/* ---- preview ---- */

/* However many ticks calendars leave out, a preview comes to an end. */
#define PREVIEW_STEPS_MAX 20000

struct preview {
    struct schedule *schedule; /* NULL: fires once */
    struct schedule_window window;
    struct policy policy;
    int64_t slot_us; /* the next one; 0 none */
    int64_t skip, left, now_us;
};

static bool preview_begin(struct preview *p, const json_t *record, int64_t now_us)
{
    *p = (struct preview){0};
    if (policy_parse(record, &p->policy, NULL) != 0 ||
        slot_schedule(record, &p->schedule, NULL) != 0) {
        return false;
    }
    slot_window(record, &p->window);
    p->window.no_catchup = p->policy.catchup == CATCHUP_LAST;
    struct slot_state state = {
        .last_us = jget_i64(record, "last_us", 0),
        .anchor_us = jget_i64(record, "anchor_us", 0),
        .next_us = jget_i64(record, "next_us", 0),
    };
    /* Slots that have passed, but whose place in the window is to come, are to come. */
    p->now_us = now_us - policy_offset_us(&p->policy, jget_str(record, "id", ""));
    if (!jget_bool(record, "enabled", true) && !slot_is_backfill(record) && state.next_us > 0) {
        /* As if it were enabled now, or at the end of its pause. */
        int64_t until_us = jget_i64(json_object_get(record, "pause"), "until_us", 0);
        slot_resume(p->schedule, &p->window, &state,
            until_us > now_us ? p->now_us + until_us - now_us - 1 : p->now_us);
    }
    p->skip = jget_i64(record, "skip", 0);
    p->left =
        p->policy.max_fires > 0 ? p->policy.max_fires - jget_i64(record, "index", 0) : INT64_MAX;
    p->slot_us = state.next_us <= 0 ? 0 : slot_due(p->schedule, &p->window, &state, p->now_us);
    return true;
}

/* One slot on: 0 at the end. As plan_next() in tick.c: calendars first, then what is to be skipped.
 */
static int64_t preview_step(struct preview *p, bool *fires, bool *is_skipped)
{
    char why[SCHEDULE_WHY_MAX];
    int64_t slot_us = p->left > 0 ? p->slot_us : 0;
    if (slot_us <= 0) {
        return 0;
    }
    bool is_excluded = p->schedule != NULL && schedule_is_excluded(p->schedule, slot_us, why);
    *is_skipped = !is_excluded && p->skip > 0;
    *fires = !is_excluded && !*is_skipped;
    p->skip -= *is_skipped ? 1 : 0;
    p->left -= *fires ? 1 : 0;
    p->slot_us = slot_after(p->schedule, &p->window, slot_us, p->now_us);
    return slot_us;
}

json_t *recurring_preview(const json_t *record, int64_t now_us, size_t n)
{
    json_t *list = json_array();
    struct preview p;
    bool fires, is_skipped;
    int64_t slot_us;
    if (!preview_begin(&p, record, now_us)) {
        return list;
    }
    for (int steps = 0; steps < PREVIEW_STEPS_MAX && json_array_size(list) < n &&
                        (slot_us = preview_step(&p, &fires, &is_skipped)) > 0;
         steps++) {
        if (fires) {
            json_array_append_new(list, json_integer(slot_us));
        }
    }
    schedule_free(p.schedule);
    return list;
}

json_t *recurring_explain(const json_t *record, int64_t now_us, size_t n)
{
    json_t *list = json_array();
    struct preview p;
    bool fires, is_skipped;
    int64_t slot_us;
    if (!preview_begin(&p, record, now_us)) {
        return list;
    }
    int64_t offset_us = policy_offset_us(&p.policy, jget_str(record, "id", ""));
    while (json_array_size(list) < n && (slot_us = preview_step(&p, &fires, &is_skipped)) > 0) {
        json_t *tick = p.schedule != NULL ? schedule_explain(p.schedule, slot_us) : json_object();
        jset_time(tick, "time", slot_us);
        if (is_skipped) {
            json_object_set_new(tick, "skip", json_true());
        }
        if (p.policy.spread_us > 0) {
            jset_time(tick, "fires_at", slot_us + offset_us);
        }
        json_array_append_new(list, tick);
    }
    schedule_free(p.schedule);
    return list;
}

int64_t recurring_offset_us(const json_t *record)
{
    struct policy policy;
    return policy_parse(record, &policy, NULL) == 0
               ? policy_offset_us(&policy, jget_str(record, "id", ""))
               : 0;
}

json_t *recurring_queue(const json_t *record, int64_t now_us, size_t max)
{
    json_t *list = json_array();
    const json_t *waits = json_object_get(record, "waits");
    for (size_t i = 0; i < json_array_size(waits) && i < max; i++) {
        json_array_append(list, json_array_get(waits, i));
    }
    struct preview p;
    bool fires, is_skipped;
    if (waits != NULL || !jget_bool(record, "waiting", false) ||
        !preview_begin(&p, record, now_us)) {
        return list;
    }
    /* They wait at the slot itself, those that have come due since behind it. */
    int64_t slot_us, offset_us = recurring_offset_us(record);
    while (json_array_size(list) < max && (slot_us = preview_step(&p, &fires, &is_skipped)) > 0 &&
           slot_us + offset_us <= now_us) {
        if (fires) {
            json_array_append_new(list, json_integer(slot_us));
        }
    }
    schedule_free(p.schedule);
    return list;
}
