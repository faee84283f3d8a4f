/* SPDX-License-Identifier: Apache-2.0 */
/* A schedule as a JSON document: its members, read and checked, to a schedule. */
#include "cron/internal.h"

#include "cron/calendar.h"

#include "base/err.h"
#include "base/json.h"
#include "base/secret.h"
#include "base/util.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static int read_profile(const json_t *doc, struct part_style *style, struct err *err)
{
    static const struct {
        const char *name;
        enum cron_profile profile;
    } profiles[] = {{"vixie", CRON_VIXIE}, {"robfig", CRON_ROBFIG}, {"robfig-v1", CRON_ROBFIG_V1},
        {"quartz", CRON_QUARTZ}};
    const char *name = "vixie";
    if (jread_string(doc, "", "profile", &name, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < ARRAY_LEN(profiles); i++) {
        if (name[0] == '\0' || strcmp(name, profiles[i].name) == 0) {
            part_style_of_profile(style, profiles[i].profile);
            return 0;
        }
    }
    char shown[CRON_SHOW_MAX];
    return err_set(err, ERR_INVALID,
        "profile: '%s' is unknown; it is vixie, robfig, robfig-v1 or quartz",
        cron_show(name, shown));
}

/* Puts the index of the member's value among `names` into *out; an absent one changes nothing. */
static int read_choice(const json_t *obj, const char *key, const char *const *names, size_t count,
    int *out, struct err *err)
{
    const char *value = NULL;
    if (jread_string(obj, "dst", key, &value, err) != 0) {
        return -1;
    }
    if (value == NULL) {
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        if (strcmp(value, names[i]) == 0) {
            *out = (int)i;
            return 0;
        }
    }
    char shown[CRON_SHOW_MAX];
    return err_set(err, ERR_INVALID,
        "dst.%s: '%s' is unknown; gap is next or skip, fold is "
        "first, second or both",
        key, cron_show(value, shown));
}

static int read_dst(const json_t *doc, struct part_style *style, struct err *err)
{
    static const char *const keys[] = {"gap", "fold", NULL};
    static const char *const gaps[] = {"next", "skip"};
    static const char *const folds[] = {"first", "second", "both"};
    const json_t *dst = NULL;
    int gap = (int)style->gap, fold = (int)style->fold;
    if (jread_object(doc, "", "dst", &dst, err) != 0) {
        return -1;
    }
    if (dst == NULL) {
        return 0;
    }
    if (jread_only(dst, "dst", keys, err) != 0 ||
        read_choice(dst, "gap", gaps, ARRAY_LEN(gaps), &gap, err) != 0 ||
        read_choice(dst, "fold", folds, ARRAY_LEN(folds), &fold, err) != 0) {
        return -1;
    }
    style->gap = (enum dst_gap)gap;
    style->fold = (enum dst_fold)fold;
    return 0;
}

static int add_text(struct schedule *schedule, const char *text, const char *where, size_t index,
    const struct part_style *style, struct err *err)
{
    if (part_parse(&schedule->parts[schedule->count], text, style, err) != 0) {
        return where != NULL ? err_wrap(err, "%s[%zu]", where, index) : -1;
    }
    schedule->count++;
    return 0;
}

static int read_texts(
    const json_t *doc, struct schedule *schedule, struct part_style *style, struct err *err)
{
    const char *cron = "";
    const json_t *list = NULL;
    if (jread_string(doc, "", "cron", &cron, err) != 0 ||
        jread_array(doc, "", "schedules", &list, err) != 0) {
        return -1;
    }
    size_t listed = json_array_size(list), count = listed + (cron[0] != '\0');
    if (count > SCHEDULE_PARTS_MAX) {
        return err_set(err, ERR_INVALID, "schedules: there are %zu, at most %d are taken", count,
            SCHEDULE_PARTS_MAX);
    }
    schedule->parts = xcalloc(count + 1, sizeof schedule->parts[0]);
    style->is_one_of_several = count > 1;
    if (cron[0] != '\0' && add_text(schedule, cron, NULL, 0, style, err) != 0) {
        return -1;
    }
    style->zone_is_default = true;
    for (size_t i = 0; i < listed; i++) {
        const char *text = json_string_value(json_array_get(list, i));
        if (text == NULL) {
            return err_set(err, ERR_INVALID, "schedules[%zu]: expected a string", i);
        }
        if (add_text(schedule, text, "schedules", i, style, err) != 0) {
            return -1;
        }
    }
    return 0;
}

static int read_interval(const json_t *doc, struct schedule *schedule, struct err *err)
{
    int64_t interval_s = 0;
    if (jread_i64(doc, "", "interval_s", 0, INTERVAL_MAX_S, &interval_s, err) != 0) {
        return -1;
    }
    if (interval_s > 0 && schedule->count > 0) {
        return err_set(err, ERR_INVALID,
            "interval_s: it stands alone; beside others write '@every %" PRId64 "s' in schedules",
            interval_s);
    }
    if (interval_s > 0) {
        schedule->parts[0] = (struct part){.kind = PART_INTERVAL, .interval_s = interval_s};
        schedule->count = 1;
    }
    if (schedule->count == 0) {
        return err_set(err, ERR_INVALID,
            "no schedule: give cron, schedules or interval_s, as in {\"cron\": \"30 9 * * 1-5\"}");
    }
    return 0;
}

/* Whole days and times without a zone of their own are meant there. */
static const struct zone *calendar_zone(
    const json_t *doc, const struct schedule *schedule, struct err *err)
{
    const char *name = jget_str(doc, "time_zone", "");
    return zone_get(name[0] != '\0' ? name : schedule_zone_name(schedule), err);
}

struct calendars {
    struct calendar **list;
    size_t count;
};

static int add_calendar(struct calendars *all, const json_t *text, const struct zone *zone,
    size_t *room, struct err *err)
{
    if (!json_is_string(text)) {
        return err_set(err, ERR_INVALID, "expected iCalendar text");
    }
    if (json_string_length(text) > *room) {
        return err_set(err, ERR_INVALID, "the calendars of a schedule may have %d KiB together",
            CALENDAR_TEXT_MAX / 1024);
    }
    *room -= json_string_length(text);
    struct calendar *calendar =
        calendar_parse(json_string_value(text), json_string_length(text), zone, err);
    if (calendar == NULL) {
        return -1;
    }
    all->list = xreallocarray(all->list, all->count + 1, sizeof all->list[0]);
    all->list[all->count++] = calendar;
    return 0;
}

/* A member that is one text or a list of texts. */
static int read_calendars(const json_t *doc, const char *key, const struct zone *zone, size_t *room,
    struct calendar ***list_out, size_t *count_out, struct err *err)
{
    const json_t *value = json_object_get(doc, key);
    struct calendars all = {0};
    int rc = 0;
    if (json_array_size(value) > SCHEDULE_CALENDARS_MAX) {
        return err_set(
            err, ERR_INVALID, "%s: at most %d calendars are taken", key, SCHEDULE_CALENDARS_MAX);
    }
    if (json_is_array(value)) {
        for (size_t i = 0; i < json_array_size(value) && rc == 0; i++) {
            rc = add_calendar(&all, json_array_get(value, i), zone, room, err);
            if (rc != 0) {
                err_wrap(err, "%s[%zu]", key, i);
            }
        }
    } else if (value != NULL && !json_is_null(value)) {
        rc = add_calendar(&all, value, zone, room, err);
        if (rc != 0) {
            err_wrap(err, "%s", key);
        }
    }
    *list_out = all.list; /* the schedule's, also on failure */
    *count_out = all.count;
    return rc;
}

static int read_all(
    const json_t *doc, struct schedule *schedule, struct part_style *style, struct err *err)
{
    size_t room = CALENDAR_TEXT_MAX;
    if (read_profile(doc, style, err) != 0 || read_dst(doc, style, err) != 0 ||
        jread_string(doc, "", "time_zone", &style->zone_name, err) != 0 ||
        read_texts(doc, schedule, style, err) != 0 || read_interval(doc, schedule, err) != 0) {
        return -1;
    }
    const struct zone *zone = calendar_zone(doc, schedule, err);
    if (zone == NULL) {
        return -1;
    }
    return read_calendars(doc, "include", zone, &room, &schedule->include, &schedule->include_count,
               err) != 0 ||
                   read_calendars(doc, "exclude", zone, &room, &schedule->exclude,
                       &schedule->exclude_count, err) != 0
               ? -1
               : 0;
}

struct schedule *schedule_parse(const json_t *doc, const char *hash_key, struct err *err)
{
    struct part_style style = {.hash_key = hash_key};
    struct schedule *schedule = xcalloc(1, sizeof *schedule);
    if (read_all(doc, schedule, &style, err) != 0) {
        schedule_free(schedule);
        return NULL;
    }
    return schedule;
}

bool schedule_is_given(const json_t *doc)
{
    return jget_str(doc, "cron", "")[0] != '\0' || jget_i64(doc, "interval_s", 0) > 0 ||
           json_array_size(json_object_get(doc, "schedules")) > 0;
}

static bool is_letter(char c)
{
    return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

/* An H that stands for itself, not one in "thu" or "@hourly". */
static bool has_hash(const char *text)
{
    for (const char *c = text; *c != '\0'; c++) {
        if ((*c | 0x20) == 'h' && !is_letter(c[1]) && (c == text || !is_letter(c[-1]))) {
            return true;
        }
    }
    return false;
}

static bool doc_has_hash(const json_t *doc)
{
    const json_t *list = json_object_get(doc, "schedules");
    bool found = has_hash(jget_str(doc, "cron", ""));
    for (size_t i = 0; i < json_array_size(list) && !found; i++) {
        const char *text = json_string_value(json_array_get(list, i));
        found = text != NULL && has_hash(text);
    }
    return found;
}

char *schedule_key(const json_t *doc, const char *hash_key)
{
    static const char *const others[] = {"schedules", "profile", "dst", "include", "exclude"};
    const char *hash = hash_key != NULL && doc_has_hash(doc) ? hash_key : "";
    json_t *rest CLEANUP(json_decrefp) = json_object();
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        json_t *value = json_object_get(doc, others[i]);
        if (value != NULL && !json_is_null(value)) {
            json_object_set(rest, others[i], value);
        }
    }
    char digest[SHA256_HEX_LEN + 1] = "";
    if (json_object_size(rest) > 0) {
        char *text CLEANUP(cleanup_free) = jtext(rest);
        sha256_hex(text, strlen(text), digest);
    }
    return xasprintf("%" PRId64 "\n%s\n%s\n%s\n%s", jget_i64(doc, "interval_s", 0),
        jget_str(doc, "time_zone", ""), jget_str(doc, "cron", ""), hash, digest);
}
