/* SPDX-License-Identifier: Apache-2.0 */
/* Recurring run records as KFP's JSON. */
#include "api/kfp/recurring_view.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/util.h"

#include "scheduler/recurring.h"

#include "api/kfp/view.h"

#define CODE_UNKNOWN 2
#define NEXT_TIMES 3

bool recurring_is_inline(const json_t *record)
{
    return jget_str(record, "pipeline_id", "")[0] == '\0' &&
           jget_str(record, "version_id", "")[0] == '\0';
}

static json_t *view_trigger(const json_t *record)
{
    const char *cron = jget_str(record, "cron", "");
    int64_t interval = jget_i64(record, "interval_s", 0);
    int64_t start = jget_i64(record, "start_us", 0);
    int64_t end = jget_i64(record, "end_us", 0);
    if (cron[0] == '\0' && interval == 0) {
        return NULL;
    }
    json_t *schedule = json_object();
    if (start != 0) {
        view_time(schedule, "start_time", start);
    }
    if (end != 0) {
        view_time(schedule, "end_time", end);
    }
    jset_str(schedule, "cron", cron);
    view_i64(schedule, "interval_second", interval);
    json_t *trigger = json_object();
    json_object_set_new(trigger, cron[0] != '\0' ? "cron_schedule" : "periodic_schedule", schedule);
    return trigger;
}

/* What KFP has no place for; its clients skip fields they do not know. */
static void add_rondo(json_t *out, const json_t *record)
{
    static const char *const members[] = {"schedules", "profile", "dst", "include", "exclude",
        "overlap", "catchup", "buffer_max", "catchup_window_s", "max_fires", "pause_after_failures",
        "spread_s", "skip", "pool", "priority", "backfill_of", "backfill_ticks"};
    json_t *rondo = json_object();
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        json_t *value = json_object_get(record, members[i]);
        if (value != NULL) {
            json_object_set(rondo, members[i], value);
        }
    }
    if (jget_str(record, "cron", "")[0] == '\0' && jget_i64(record, "interval_s", 0) == 0) {
        static const char *const times[][2] = {{"start_us", "start_time"}, {"end_us", "end_time"}};
        for (size_t i = 0; i < ARRAY_LEN(times); i++) { /* without a trigger they have no place */
            int64_t us = jget_i64(record, times[i][0], 0);
            if (us != 0) {
                jset_time(rondo, times[i][1], us);
            }
        }
    }
    const json_t *pause = json_object_get(record, "pause");
    if (pause != NULL) {
        json_t *shown = json_object();
        jset_str(shown, "note", jget_str(pause, "note", ""));
        jset_str(shown, "by", jget_str(pause, "by", ""));
        view_time(shown, "since", jget_i64(pause, "since_us", 0));
        if (jget_i64(pause, "until_us", 0) > 0) {
            view_time(shown, "until", jget_i64(pause, "until_us", 0));
        }
        json_object_set_new(rondo, "pause", shown);
    }
    if (json_object_size(rondo) > 0) {
        json_object_set(out, "rondo", rondo);
    }
    json_decref(rondo);
}

/* KFP shows neither the last nor the next fire; its clients skip fields they do not know. */
static void add_times(json_t *out, const json_t *record, int64_t now_us)
{
    int64_t last = jget_i64(record, "last_us", 0);
    if (last != 0) {
        view_time(out, "last_run_time", last);
    }
    if (!jget_bool(record, "enabled", false)) {
        return;
    }
    json_t *times = recurring_preview(record, now_us, NEXT_TIMES);
    json_t *texts = json_array();
    size_t i;
    json_t *at;
    json_array_foreach(times, i, at)
    {
        char text[CLOCK_TEXT_MAX];
        json_array_append_new(texts, json_string(clock_format_s(json_integer_value(at), text)));
    }
    if (json_array_size(texts) > 0) {
        json_object_set(out, "next_run_times", texts);
    }
    json_decref(texts);
    json_decref(times);
}

json_t *view_recurring(const json_t *record, const struct plan *plan, int64_t now_us)
{
    json_t *out = json_object();
    const char *account = jget_str(record, "service_account", "");
    const char *error = jget_str(record, "error", "");
    bool is_enabled = jget_bool(record, "enabled", false);

    jset_str(out, "recurring_run_id", jget_str(record, "id", NULL));
    jset_str(out, "display_name", jget_str(record, "name", NULL));
    jset_str(out, "description", jget_str(record, "description", NULL));
    if (!recurring_is_inline(record)) {
        view_version_reference(out, record);
    } else if (plan != NULL) {
        json_object_set_new(out, "pipeline_spec", view_spec(plan));
    }
    view_runtime_config(out, record);
    jset_str(out, "service_account", account[0] != '\0' ? account : DEFAULT_SERVICE_ACCOUNT);
    view_i64(out, "max_concurrency", jget_i64(record, "max_concurrency", 0));
    json_t *trigger = view_trigger(record);
    if (trigger != NULL) {
        json_object_set_new(out, "trigger", trigger);
    }
    json_object_set_new(out, "mode", json_string(is_enabled ? "ENABLE" : "DISABLE"));
    view_time(out, "created_at", jget_i64(record, "created_us", 0));
    view_time(out, "updated_at", jget_i64(record, "updated_us", 0));
    json_object_set_new(out, "status", json_string(is_enabled ? "ENABLED" : "DISABLED"));
    if (error[0] != '\0') {
        json_object_set_new(out, "error", view_status(CODE_UNKNOWN, error));
    }
    if (jget_bool(record, "no_catchup", false)) {
        json_object_set_new(out, "no_catchup", json_true());
    }
    jset_str(out, "experiment_id", jget_str(record, "experiment_id", NULL));
    jset_str(out, "time_zone", jget_str(record, "time_zone", NULL));
    json_object_set_new(out, "generation", json_integer(jget_i64(record, "generation", 0)));
    int64_t index = jget_i64(record, "index", 0);
    if (index != 0) {
        json_object_set_new(out, "index", json_integer(index));
    }
    add_rondo(out, record);
    add_times(out, record, now_us);
    return out;
}
