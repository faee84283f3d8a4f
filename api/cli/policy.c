/* SPDX-License-Identifier: Apache-2.0 */
/* Options about schedules, calendars and policies -> members of a recurring run. */
#include "api/cli/policy.h"

#include "base/err.h"
#include "base/json.h"
#include "base/util.h"
#include "scheduler/pools.h"

#define NUMBER_MAX (INT64_C(1) << 53)

void policy_options_init(struct policy_options *o)
{
    *o = (struct policy_options){
        .schedules = json_array(), .include = json_array(), .exclude = json_array()};
}

void policy_options_done(struct policy_options *o)
{
    json_decref(o->schedules);
    json_decref(o->include);
    json_decref(o->exclude);
}

void policy_options_table(struct policy_options *o, struct cli_option *out)
{
    const struct cli_option rows[POLICY_OPTION_COUNT] = {
        {"--overlap", &o->overlap, NULL, NULL},
        {"--buffer", &o->buffer, NULL, NULL},
        {"--catchup", &o->catchup, NULL, NULL},
        {"--catchup-window", &o->catchup_window, NULL, NULL},
        {"--spread", &o->spread, NULL, NULL},
        {"--max-fires", &o->max_fires, NULL, NULL},
        {"--pause-after-failures", &o->pause_after_failures, NULL, NULL},
        {"--pool", &o->pool, NULL, NULL},
        {"--priority", &o->priority, NULL, NULL},
        {"--profile", &o->profile, NULL, NULL},
        {"--schedule", NULL, NULL, o->schedules},
        {"--include", NULL, NULL, o->include},
        {"--exclude", NULL, NULL, o->exclude},
    };
    for (size_t i = 0; i < POLICY_OPTION_COUNT; i++) {
        out[i] = rows[i];
    }
}

static int set_number(
    json_t *out, const char *member, const char *text, const char *option, struct err *err)
{
    int64_t value = 0;
    if (text != NULL) {
        if (parse_i64(text, 0, NUMBER_MAX, option, &value, err) != 0) {
            return -1;
        }
        json_object_set_new(out, member, json_integer(value));
    }
    return 0;
}

static int set_seconds(
    json_t *out, const char *member, const char *text, const char *option, struct err *err)
{
    int64_t ms = 0;
    if (text == NULL) {
        return 0;
    }
    if (parse_duration_ms(text, option, &ms, err) != 0) {
        return -1;
    }
    if (ms % 1000 != 0) {
        return err_set(
            err, ERR_INVALID, "%s: whole seconds are expected, as in 90s or 10m", option);
    }
    json_object_set_new(out, member, json_integer(ms / 1000));
    return 0;
}

static int set_calendars(json_t *out, const char *member, const json_t *files, struct err *err)
{
    json_t *texts CLEANUP(json_decrefp) = cli_calendars(files, err);
    if (texts == NULL) {
        return -1;
    }
    if (json_array_size(texts) > 0) {
        json_object_set(out, member, texts);
    }
    return 0;
}

int policy_set_pool(json_t *out, const char *pool, const char *priority, struct err *err)
{
    int64_t value = 0;
    jset_str(out, "pool", pool);
    if (priority != NULL) {
        if (parse_i64(priority, -POOL_PRIORITY_MAX, POOL_PRIORITY_MAX, "--priority", &value, err) !=
            0) {
            return -1;
        }
        json_object_set_new(out, "priority", json_integer(value));
    }
    return 0;
}

int policy_options_read(const struct policy_options *o, json_t *out, struct err *err)
{
    jset_str(out, "overlap", o->overlap);
    jset_str(out, "catchup", o->catchup);
    jset_str(out, "profile", o->profile);
    if (json_array_size(o->schedules) > 0) {
        json_object_set(out, "schedules", o->schedules);
    }
    if (set_number(out, "buffer_max", o->buffer, "--buffer", err) != 0 ||
        policy_set_pool(out, o->pool, o->priority, err) != 0 ||
        set_number(out, "max_fires", o->max_fires, "--max-fires", err) != 0 ||
        set_number(out, "pause_after_failures", o->pause_after_failures, "--pause-after-failures",
            err) != 0 ||
        set_seconds(out, "catchup_window_s", o->catchup_window, "--catchup-window", err) != 0 ||
        set_seconds(out, "spread_s", o->spread, "--spread", err) != 0 ||
        set_calendars(out, "include", o->include, err) != 0 ||
        set_calendars(out, "exclude", o->exclude, err) != 0) {
        return -1;
    }
    return 0;
}
