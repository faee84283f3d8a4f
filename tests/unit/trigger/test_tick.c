/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of a tick, by policy and state, as tick_plan() decides it. Pure: no Redis, no clock.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/util.h"
#include "trigger/schedule_cache.h"
#include "trigger/tick.h"

#define ID "22222222-2222-4222-8222-222222222222"
#define DAY "2026-03-04T"
#define CALENDAR(from, to)                                                                         \
    "BEGIN:VCALENDAR\\nBEGIN:VEVENT\\nSUMMARY:Move\\nDTSTART:20260304T" from                       \
    "Z\\nDTEND:20260304T" to "Z\\nEND:VEVENT\\nEND:VCALENDAR\\n"

static struct schedule_cache *cache;

static int setup(void **unused)
{
    (void)unused;
    cache = schedule_cache_new();
    return 0;
}

static int teardown(void **unused)
{
    (void)unused;
    schedule_cache_free(cache);
    zone_drop_all();
    return 0;
}

/* "10:04:30" of the day; NULL or "": 0. */
static int64_t at(const char *time)
{
    char text[40];
    int64_t us = 0;
    struct err err = ERR_INIT;
    if (time == NULL || time[0] == '\0') {
        return 0;
    }
    snprintf(text, sizeof text, DAY "%sZ", time);
    if (clock_parse(text, &us, &err) != 0) {
        fail_msg("%s", err.msg);
    }
    return us;
}

/* As Redis has it: members of the doc besides a cron of every minute, the next slot and what is
 * rarely there. is_marked: the first of those that wait has no place. */
static struct tick_entry *entry(
    const char *members, const char *next, int index, const char *more, bool is_marked)
{
    char doc[4096], progress[512],
        *texts[] = {doc, progress, (char *)"1", (char *)"1", (char *)"0"};
    snprintf(doc, sizeof doc,
        "{\"v\":2,\"name\":\"n\",\"spec\":\"s\",\"experiment_id\":\"e\",\"cron\":\"* * * * "
        "*\",\"created_us\":%lld%s%s}",
        (long long)at("10:00:30"), members[0] != '\0' ? "," : "", members);
    snprintf(progress, sizeof progress, "1 7 %d 0 0 %lld 5%s%s", index, (long long)at(next),
        more[0] != '\0' ? " " : "", more);
    redisReply fields[5], *elements[5], reply = {.type = REDIS_REPLY_ARRAY, .elements = 5};
    for (size_t i = 0; i < 5; i++) {
        bool is_there = i != 3 || is_marked;
        fields[i] = (redisReply){.type = is_there ? REDIS_REPLY_STRING : REDIS_REPLY_NIL,
            .str = is_there ? texts[i] : NULL,
            .len = is_there ? strlen(texts[i]) : 0};
        elements[i] = &fields[i];
    }
    reply.element = elements;
    struct err err = ERR_INIT;
    struct tick_entry *e = tick_entry_new(cache, ID, &reply, &err);
    if (e == NULL) {
        fail_msg("%s: %s", members, err.code != ERR_NONE ? err.msg : "it rests");
    }
    return e;
}

/* "10:01:00 10:02:00": those that wait. */
static void waits_text(const struct progress *p, char out[200])
{
    const json_t *waits = progress_more(p, "waits");
    size_t len = 0;
    out[0] = '\0';
    for (size_t i = 0; i < json_array_size(waits); i++) {
        char text[CLOCK_TEXT_MAX];
        clock_format_s(json_integer_value(json_array_get(waits, i)), text);
        len += (size_t)snprintf(out + len, 200 - len, "%s%.8s", i > 0 ? " " : "", text + 11);
    }
}

static void check_us(const char *name, const char *what, int64_t got, const char *want)
{
    if (got != at(want)) {
        char text[CLOCK_TEXT_MAX] = "0";
        if (got > 0) {
            clock_format_s(got, text);
        }
        fail_msg("%s: %s is %s, not %s", name, what, text, want);
    }
}

/* ---- overlap by catch-up ---- */

struct overlap_row {
    const char *name;
    int64_t limit; /* of max_concurrency 2 */
    enum tick_outcome outcome;
    bool stays, waits, cancels;
};
static const struct overlap_row overlaps[] = {
    {"queue", 2, TICK_WAITING, true, false, false},
    {"skip", 2, TICK_SKIPPED_OVERLAP, false, false, false},
    {"buffer_one", 2, TICK_WAITING, false, true, false},
    {"buffer_all", 2, TICK_WAITING, false, true, false},
    {"cancel_other", 2, TICK_WAITING, false, true, true},
    {"terminate_other", 0, TICK_SKIPPED_OVERLAP, false, false, true},
    {"allow", 0, TICK_SKIPPED_OVERLAP, false, false, false},
};

struct catchup_row {
    const char *name, *now;
    const char *slot, *next; /* the slot that is decided about, and the one after it */
    const char *also_from, *also_to;
    int64_t also_count;
};
/* 10:01 is the next slot. */
static const struct catchup_row catchups[] = {
    {"all", "10:01:00", "10:01:00", "10:02:00", "", "", 0},
    {"last", "10:01:00", "10:01:00", "10:02:00", "", "", 0},
    {"first", "10:01:00", "10:01:00", "10:02:00", "", "", 0},
    {"none", "10:01:00", "10:01:00", "10:02:00", "", "", 0},
    {"all", "10:04:01", "10:01:00", "10:02:00", "", "", 0},
    {"last", "10:04:01", "10:04:00", "10:05:00", "10:01:00", "10:03:00", 3},
    {"first", "10:04:01", "10:01:00", "10:05:00", "10:02:00", "10:04:00", 3},
};

static void check_pair(const struct overlap_row *o, const struct catchup_row *c)
{
    char name[120], members[200], waits[200];
    snprintf(name, sizeof name, "%s, %s, as of %s", o->name, c->name, c->now);
    snprintf(members, sizeof members, "\"max_concurrency\":2,\"overlap\":\"%s\",\"catchup\":\"%s\"",
        o->name, c->name);
    struct tick_entry *e = entry(members, "10:01:00", 4, "", false);
    struct tick tick;
    tick_plan(&tick, e, at(c->now));
    check_us(name, "the slot", tick.slot_us, c->slot);
    check_us(name, "the slot after it", tick.fired.next_us, c->next);
    check_us(name, "the last slot", tick.fired.last_us, c->slot);
    check_us(
        name, "the first of the range", tick.also.count > 0 ? tick.also.from_us : 0, c->also_from);
    check_us(name, "the last of the range", tick.also.count > 0 ? tick.also.to_us : 0, c->also_to);
    if (tick.also.count != c->also_count || tick.limit != o->limit || tick.outcome != o->outcome ||
        tick.cancels_others != o->cancels || tick.is_waiting_in_place != o->stays) {
        fail_msg("%s: also %lld, limit %lld, outcome %s, cancels %d, stays %d", name,
            (long long)tick.also.count, (long long)tick.limit, tick_outcome_name(tick.outcome),
            tick.cancels_others, tick.is_waiting_in_place);
    }
    assert_int_equal(tick.fired.index, 5);
    assert_int_equal(tick.fired.generation, 7);
    waits_text(&tick.passed, waits);
    char want[16];
    snprintf(want, sizeof want, "%s", o->waits ? c->slot : "");
    assert_string_equal(waits, want);
    check_us(name, "when passed, the next", tick.passed.next_us, o->stays ? "10:01:00" : c->next);
    /* Every tick has its line, whether it fires or not: one that waits in place is decided anew. */
    struct buf lines;
    buf_init(&lines, 4096);
    tick_passed_lines(&tick, at(c->now), &lines);
    bool told = strstr(buf_str(&lines), "skipped-window") != NULL;
    if (told != (c->also_count > 0 && !o->stays)) {
        fail_msg("%s: the ledger gets '%s'", name, buf_str(&lines));
    }
    buf_done(&lines);
    tick_done(&tick);
    tick_entry_free(e);
}

static void test_overlap_by_catchup(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < ARRAY_LEN(overlaps); i++) {
        for (size_t k = 0; k < ARRAY_LEN(catchups); k++) {
            check_pair(&overlaps[i], &catchups[k]);
        }
        /* What is too old never fires, whatever else there is. */
        char members[100];
        snprintf(
            members, sizeof members, "\"catchup\":\"none\",\"overlap\":\"%s\"", overlaps[i].name);
        struct tick_entry *e = entry(members, "10:01:00", 0, "", false);
        struct tick tick;
        tick_plan(&tick, e, at("10:04:01"));
        assert_int_equal(tick.limit, TICK_NEVER_FIRE);
        assert_int_equal(tick.outcome, TICK_SKIPPED_WINDOW);
        assert_int_equal(tick.passed_count, 3); /* 10:04 is in time */
        check_us(members, "the last too old", tick.passed_to_us, "10:03:00");
        check_us(members, "the next", tick.passed.next_us, "10:04:00");
        assert_false(tick.cancels_others);
        tick_done(&tick);
        tick_entry_free(e);
    }
}

/* ---- one state each ---- */

struct state_row {
    const char *name, *members, *next, *more, *now;
    bool is_marked;
    int index;
    const char *slot;
    int64_t limit;
    enum tick_outcome outcome;
    const char *fired_next, *fired_waits, *passed_next, *passed_waits;
    const char *fired_due, *passed_due; /* when to look again */
};
static const struct state_row states[] = {
    {"the limit of fires", "\"max_fires\":3", "10:01:00", "", "10:01:00", false, 2, "10:01:00", 1,
        TICK_WAITING, "", "", "10:01:00", "", "", ""},
    {"before the limit of fires", "\"max_fires\":4", "10:01:00", "", "10:01:00", false, 2,
        "10:01:00", 1, TICK_WAITING, "10:02:00", "", "10:01:00", "", "10:02:00", ""},
    {"to be skipped", "", "10:01:00", "{\"skip\":2}", "10:01:00", false, 0, "10:01:00",
        TICK_NEVER_FIRE, TICK_SKIPPED_REQUESTED, "10:01:00", "", "10:02:00", "", "", "10:02:00"},
    {"excluded", "\"exclude\":\"" CALENDAR("100100", "100101") "\"", "10:01:00", "{\"skip\":2}",
        "10:01:00", false, 0, "10:01:00", TICK_NEVER_FIRE, TICK_SKIPPED_EXCLUDED, "10:01:00", "",
        "10:02:00", "", "", "10:02:00"},
    {"the latest is excluded",
        "\"catchup\":\"last\",\"exclude\":\"" CALENDAR("100300", "100500") "\"", "10:01:00", "",
        "10:04:01", false, 0, "10:02:00", 1, TICK_WAITING, "10:03:00", "", "10:01:00", "",
        "10:03:00", ""},
    {"all that were missed but the first are excluded",
        "\"catchup\":\"last\",\"exclude\":\"" CALENDAR("100200", "100500") "\"", "10:01:00", "",
        "10:04:01", false, 0, "10:01:00", 1, TICK_WAITING, "10:02:00", "", "10:01:00", "",
        "10:02:00", ""},
    {"the first of two has a place", "\"overlap\":\"buffer_all\"", "10:04:00",
        "{\"waits\":[1772618460000000,1772618520000000]}", "10:03:30", false, 3, "10:01:00", 1,
        TICK_WAITING, "10:04:00", "10:02:00", "10:04:00", "10:01:00 10:02:00", "10:02:00",
        "10:04:00"},
    {"those that wait come before the one that is due", "\"overlap\":\"buffer_all\"", "10:03:00",
        "{\"waits\":[1772618460000000]}", "10:03:30", false, 3, "10:01:00", 1, TICK_WAITING,
        "10:03:00", "", "10:03:00", "10:01:00", "10:03:00", "10:03:00"},
    {"behind one without a place", "\"overlap\":\"buffer_all\"", "10:03:00",
        "{\"waits\":[1772618460000000]}", "10:03:00", true, 3, "10:03:00", TICK_NEVER_FIRE,
        TICK_WAITING, "10:04:00", "10:01:00", "10:04:00", "10:01:00 10:03:00", "", "10:04:00"},
    {"no room for a second", "\"overlap\":\"buffer_one\"", "10:03:00",
        "{\"waits\":[1772618460000000]}", "10:03:00", true, 3, "10:03:00", TICK_NEVER_FIRE,
        TICK_SKIPPED_OVERLAP, "10:04:00", "10:01:00", "10:04:00", "10:01:00", "", "10:04:00"},
    {"the buffer is full", "\"overlap\":\"buffer_all\",\"buffer_max\":1", "10:03:00",
        "{\"waits\":[1772618460000000]}", "10:03:00", true, 3, "10:03:00", TICK_NEVER_FIRE,
        TICK_DROPPED_BUFFER, "10:04:00", "10:01:00", "10:04:00", "10:01:00", "", "10:04:00"},
    /* due all the same: the others are to be asked to end */
    {"it takes the place of the one that waits", "\"overlap\":\"cancel_other\"", "10:03:00",
        "{\"waits\":[1772618460000000]}", "10:03:00", true, 3, "10:03:00", TICK_NEVER_FIRE,
        TICK_WAITING, "10:04:00", "10:01:00", "10:04:00", "10:03:00", "", "10:03:00"},
    {"the last fire drops what waits", "\"overlap\":\"buffer_all\",\"max_fires\":4", "10:03:00",
        "{\"waits\":[1772618460000000,1772618520000000]}", "10:03:30", false, 3, "10:01:00", 1,
        TICK_WAITING, "", "", "10:03:00", "10:01:00 10:02:00", "", "10:03:00"},
};

static void check_state(const struct state_row *row)
{
    struct tick_entry *e = entry(row->members, row->next, row->index, row->more, row->is_marked);
    struct tick tick;
    char waits[200];
    tick_plan(&tick, e, at(row->now));
    check_us(row->name, "the slot", tick.slot_us, row->slot);
    if (tick.limit != row->limit || tick.outcome != row->outcome) {
        fail_msg("%s: limit %lld, outcome %s", row->name, (long long)tick.limit,
            tick_outcome_name(tick.outcome));
    }
    if (row->limit != TICK_NEVER_FIRE) {
        check_us(row->name, "fired, the next", tick.fired.next_us, row->fired_next);
        check_us(row->name, "fired, due", tick.fired_due_us, row->fired_due);
        waits_text(&tick.fired, waits);
        assert_string_equal(waits, row->fired_waits);
    }
    check_us(row->name, "passed, the next", tick.passed.next_us, row->passed_next);
    check_us(row->name, "passed, due", tick.passed_due_us, row->passed_due);
    waits_text(&tick.passed, waits);
    if (strcmp(waits, row->passed_waits) != 0) {
        fail_msg("%s: passed, those that wait are '%s'", row->name, waits);
    }
    tick_done(&tick);
    tick_entry_free(e);
}

static void test_states(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < ARRAY_LEN(states); i++) {
        check_state(&states[i]);
    }
}

/* More than are counted one by one were missed: the range ends right before the next one. */
static void test_very_many_missed(void **unused)
{
    (void)unused;
    struct tick_entry *e =
        entry("\"schedules\":[\"* * * * * *\"],\"catchup\":\"first\"", "10:01:00", 0, "", false);
    struct tick tick;
    int64_t now_us = at("10:01:00") + 200000 * US_PER_S;
    tick_plan(&tick, e, now_us);
    assert_int_equal(tick.also.count, TICK_COUNT_MAX);
    assert_int_equal(tick.also.to_us, now_us);
    assert_int_equal(tick.fired.next_us, now_us + US_PER_S);
    tick_done(&tick);
    tick_entry_free(e);
}

/* What is skipped is counted down, and then the member is gone. */
static void test_skip_counts_down(void **unused)
{
    (void)unused;
    static const char *const more[] = {"{\"skip\":2}", "{\"skip\":1}"};
    for (size_t i = 0; i < ARRAY_LEN(more); i++) {
        struct tick_entry *e = entry("", "10:01:00", 0, more[i], false);
        struct tick tick;
        tick_plan(&tick, e, at("10:01:00"));
        const json_t *skip = progress_more(&tick.passed, "skip");
        assert_int_equal(json_integer_value(skip), 1 - (int)i);
        assert_true((skip == NULL) == (i == 1));
        tick_done(&tick);
        tick_entry_free(e);
    }
}

/* The same id has the same place in the window, other ids have others, and the tick keeps its name.
 */
static void test_spread(void **unused)
{
    (void)unused;
    struct policy policy = {.spread_us = 600 * US_PER_S};
    int64_t offset_us = policy_offset_us(&policy, ID);
    assert_in_range(offset_us, 0, policy.spread_us - 1);
    assert_int_equal(offset_us % US_PER_MS, 0);
    assert_int_equal(offset_us, policy_offset_us(&policy, ID));
    size_t counts[10] = {0};
    for (int i = 0; i < 1000; i++) {
        char id[40];
        snprintf(id, sizeof id, "22222222-2222-4222-8222-%012d", i);
        counts[policy_offset_us(&policy, id) / (60 * US_PER_S)]++;
    }
    for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
        assert_in_range(counts[i], 50, 150); /* a hundred is what chance gives */
    }
    struct tick_entry *e = entry("\"spread_s\":600", "10:01:00", 0, "", false);
    struct tick_entry *plain = entry("", "10:01:00", 0, "", false);
    struct tick tick, other;
    tick_plan(&tick, e, at("10:01:00") + offset_us);
    tick_plan(&other, plain, at("10:01:00"));
    assert_int_equal(tick.slot_us, at("10:01:00"));
    assert_int_equal(tick.due_us, at("10:01:00") + offset_us);
    assert_int_equal(tick.fired_due_us, at("10:02:00") + offset_us);
    assert_string_equal(tick.run_id.text, other.run_id.text);
    tick_done(&tick);
    tick_done(&other);
    tick_entry_free(e);
    tick_entry_free(plain);
}

/* Slots that have passed, but whose place in the window has not come, are not missed. */
static void test_catchup_within_the_window(void **unused)
{
    (void)unused;
    static const char *const catchups_of[] = {"all", "last", "first", "none"};
    for (size_t i = 0; i < ARRAY_LEN(catchups_of); i++) {
        char members[64];
        snprintf(members, sizeof members, "\"spread_s\":86400,\"catchup\":\"%s\"", catchups_of[i]);
        struct tick_entry *e = entry(members, "10:01:00", 0, "", false);
        assert_true(e->offset_us > 180 * US_PER_S); /* of this id */
        struct tick tick;
        tick_plan(&tick, e, at("10:01:00") + e->offset_us + US_PER_S);
        check_us(members, "the slot", tick.slot_us, "10:01:00");
        check_us(members, "the one after it", tick.fired.next_us, "10:02:00");
        assert_int_equal(tick.also.count, 0);
        tick_done(&tick);
        tick_plan(&tick, e, at("10:02:00") + e->offset_us);
        bool is_each = i == 0 || i == 3;
        check_us(members, "late, the one after it", tick.fired.next_us,
            is_each ? "10:02:00" : "10:03:00");
        assert_int_equal(tick.also.count, is_each ? 0 : 1);
        tick_done(&tick);
        tick_entry_free(e);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_overlap_by_catchup, setup, teardown),
        cmocka_unit_test_setup_teardown(test_states, setup, teardown),
        cmocka_unit_test_setup_teardown(test_skip_counts_down, setup, teardown),
        cmocka_unit_test_setup_teardown(test_very_many_missed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_spread, setup, teardown),
        cmocka_unit_test_setup_teardown(test_catchup_within_the_window, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
