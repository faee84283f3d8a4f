/* SPDX-License-Identifier: Apache-2.0 */
/* Zone files: the rule for later years, odd and broken files, names, and every zone there is. */
#include "scheduler/schedule.h"
#include "cron/zone.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/util.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define ZONES "/usr/share/zoneinfo"

static int64_t instant(const char *text)
{
    struct err err = ERR_INIT;
    int64_t us = 0;
    if (clock_parse(text, &us, &err) != 0) {
        fail_msg("%s", err.msg);
    }
    return us / US_PER_S;
}

static void add_be(struct buf *out, uint64_t value, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--) {
        buf_addc(out, (char)(value >> (8 * i)));
    }
}

static void add_header(struct buf *out, char version, uint32_t times, uint32_t types)
{
    buf_adds(out, "TZif");
    buf_addc(out, version);
    for (int i = 0; i < 15; i++) {
        buf_addc(out, 0);
    }
    const uint32_t counts[] = {0, 0, 0, times, types, 4};
    for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
        add_be(out, counts[i], 4);
    }
}

/* A file with one change at `at` from offset a to b and a rule; version 1 has no rule. */
static void make_file(
    struct buf *out, char version, int64_t at, int32_t a, int32_t b, const char *rule)
{
    if (version > '1') {
        add_header(out, version, 0, 1);
        add_be(out, 0, 6);
        buf_add(out, "ABC\0", 4);
    }
    add_header(out, version > '1' ? version : 0, 1, 2);
    add_be(out, (uint64_t)at, version > '1' ? 8 : 4);
    buf_addc(out, 1);
    add_be(out, (uint32_t)a, 4);
    add_be(out, 0, 2);
    add_be(out, (uint32_t)b, 4);
    add_be(out, 0, 2);
    buf_add(out, "ABC\0", 4);
    if (version > '1') {
        buf_addf(out, "\n%s\n", rule);
    }
}

static struct zone *zone_with_rule(const char *rule, struct err *err)
{
    struct buf file;
    buf_init(&file, 4096);
    make_file(&file, '3', 0, 1800, 3600, rule);
    struct zone *zone = zone_parse("Test/Zone", file.data, file.len, err);
    buf_done(&file);
    return zone;
}

static void test_rules(void **state)
{
    (void)state;
    static const struct {
        const char *rule, *at;
        int32_t minutes; /* offset one second before `at`, */
        int32_t after;   /* and from it on */
    } rows[] = {
        {"EST5EDT,M3.2.0,M11.1.0", "2026-03-08T07:00:00Z", -300, -240},
        {"EST5EDT,M3.2.0,M11.1.0", "2026-11-01T06:00:00Z", -240, -300},
        {"EST5EDT,M3.2.0,M11.1.0", "2399-03-14T07:00:00Z", -300, -240},
        {"EST5EDT4,M3.2.0/2,M11.1.0/2:00:00", "2026-03-08T07:00:00Z", -300, -240},
        {"CET-1CEST,M3.5.0,M10.5.0/3", "2026-03-29T01:00:00Z", 60, 120},
        {"CET-1CEST,M3.5.0,M10.5.0/3", "2026-10-25T01:00:00Z", 120, 60},
        {"<+1030>-10:30<+11>-11,M10.1.0,M4.1.0", "2026-10-03T15:30:00Z", 630, 660},
        {"<+1030>-10:30<+11>-11,M10.1.0,M4.1.0", "2026-04-04T15:00:00Z", 660, 630},
        {"IST-1GMT0,M10.5.0,M3.5.0/1", "2026-03-29T01:00:00Z", 0, 60},
        {"IST-1GMT0,M10.5.0,M3.5.0/1", "2026-10-25T01:00:00Z", 60, 0},
        {"<-02>2<-01>,M3.5.0/-1,M10.5.0/0", "2026-03-29T01:00:00Z", -120, -60},
        {"IST-2IDT,M3.4.4/26,M10.5.0", "2026-03-27T00:00:00Z", 120, 180},
        {"AAA0BBB,J60/0,J300/0", "2027-03-01T00:00:00Z", 0, 60},
        {"AAA0BBB,J60/0,J300/0", "2028-03-01T00:00:00Z", 0, 60},
        {"AAA0BBB,59/0,300/0", "2027-03-01T00:00:00Z", 0, 60},
        {"AAA0BBB,59/0,300/0", "2028-02-29T00:00:00Z", 0, 60},
        {"AAA0BBB,M12.5.4/167,J60/0", "2027-01-06T23:00:00Z", 0, 60},
        {"XXX3EDT4,0/0,J365/23", "2027-01-01T04:00:00Z", -240, -240},
        {"XXX3EDT4,0/0,J365/23", "2027-07-01T04:00:00Z", -240, -240},
        {"<+0545>-5:45", "2026-07-01T00:00:00Z", 345, 345},
        {"UTC0", "2026-07-01T00:00:00Z", 0, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = ERR_INIT;
        struct zone *zone = zone_with_rule(rows[i].rule, &err);
        if (zone == NULL) {
            fail_msg("%s: %s", rows[i].rule, err.msg);
        }
        int64_t at = instant(rows[i].at);
        if (zone_offset(zone, at - 1) != rows[i].minutes * 60 ||
            zone_offset(zone, at) != rows[i].after * 60) {
            fail_msg("%s at %s: %d then %d", rows[i].rule, rows[i].at, zone_offset(zone, at - 1),
                zone_offset(zone, at));
        }
        assert_int_equal(zone_offset(zone, -1), 1800);
        zone_free(zone);
    }
}

static void test_bad_rules(void **state)
{
    (void)state;
    static const char *const rules[] = {"X", "EST", "EST5EDT", "EST5EDT,", "EST5EDT,M3.2.0",
        "EST5EDT,M13.2.0,M11.1.0", "EST5EDT,M3.6.0,M11.1.0", "EST5EDT,M3.2.7,M11.1.0",
        "EST5EDT,J0,J300", "EST5EDT,M3.2.0,M11.1.0x", "EST5EDT,M3.2.0/168,M11.1.0", "EST25", "<>5",
        "<AB5", "EST5:60", "EST99999999999", "5EST", ":America/New_York"};
    for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
        struct err err = ERR_INIT;
        struct zone *zone = zone_with_rule(rules[i], &err);
        if (zone != NULL) {
            fail_msg("'%s' was accepted", rules[i]);
        }
        assert_non_null(strstr(err.msg, "Test/Zone"));
    }
    struct err err = ERR_INIT;
    struct zone *zone = zone_with_rule("", &err); /* nothing known: the last offset stays */
    assert_non_null(zone);
    assert_int_equal(zone_offset(zone, instant("2400-01-01T00:00:00Z")), 3600);
    zone_free(zone);
}

static void test_version_1(void **state)
{
    (void)state;
    struct buf file;
    buf_init(&file, 4096);
    make_file(&file, '1', -86400, -3600, 7200, NULL);
    struct err err = ERR_INIT;
    struct zone *zone = zone_parse("Old/Zone", file.data, file.len, &err);
    assert_non_null(zone);
    assert_int_equal(zone_offset(zone, -86401), -3600);
    assert_int_equal(zone_offset(zone, -86400), 7200);
    zone_free(zone);
    buf_done(&file);
}

static void use_zone(const struct zone *zone)
{
    for (int64_t t = -4000000000; t < 8000000000; t += 99999999) {
        struct zone_span span;
        zone_span_at(zone, t, &span);
        assert_true(span.start <= t && t < span.end);
        assert_true(span.offset >= -ZONE_OFFSET_MAX && span.offset <= ZONE_OFFSET_MAX);
    }
}

/* Cut at every length and changed in every byte: refused or harmless, never read out of bounds. */
static void test_broken_files(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    size_t len;
    char *data = file_read(ZONES "/America/Santiago", ZONE_FILE_MAX, &len, &err);
    if (data == NULL) {
        print_message("no zone files at " ZONES "\n");
        skip();
    }
    for (size_t cut = 0; cut < len; cut++) {
        char *copy = xmalloc(cut > 0 ? cut : 1); /* exact size, so that ASan sees overreads */
        memcpy(copy, data, cut);
        struct zone *zone = zone_parse("Cut", copy, cut, &err);
        assert_null(zone);
        free(copy);
    }
    for (size_t at = 0; at < len; at++) {
        char *copy = xmalloc(len);
        memcpy(copy, data, len);
        copy[at] = (char)(copy[at] ^ (at % 2 == 0 ? 0xff : 0x41));
        struct zone *zone = zone_parse("Flipped", copy, len, &err);
        if (zone != NULL) {
            use_zone(zone);
        }
        zone_free(zone);
        free(copy);
    }
    free(data);
    assert_null(zone_parse("Empty", "", 0, &err));
    char *huge = xcalloc(1, ZONE_FILE_MAX + 1);
    assert_null(zone_parse("Huge", huge, ZONE_FILE_MAX + 1, &err));
    assert_non_null(strstr(err.msg, "too large"));
    free(huge);
}

static void test_names(void **state)
{
    (void)state;
    static const char *const good[] = {"UTC", "Asia/Seoul", "America/Argentina/Buenos_Aires",
        "Etc/GMT+9", "Africa/Dar_es_Salaam", "America/Port-au-Prince", "EST5EDT"};
    static const char *const bad[] = {"", "/etc/passwd", "../passwd", "Asia/../../etc/passwd",
        "Asia//Seoul", "Asia/", "Asia/.hidden", "Asia Seoul", "Asia/Seoul\n", "localtime", "a\x80z",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        assert_null(zone_name_problem(good[i]));
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err err = ERR_INIT;
        assert_non_null(zone_name_problem(bad[i]));
        assert_null(zone_get(bad[i], &err));
        assert_int_equal(err.code, ERR_INVALID);
        for (const char *p = err.msg; *p != '\0'; p++) {
            assert_true(*p >= ' ' && *p < 0x7f);
        }
    }
}

static void test_utc_needs_no_files(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    zone_drop_all();
    zone_set_dir("/nowhere");
    assert_non_null(zone_get("UTC", &err));
    assert_non_null(zone_get("Etc/GMT", &err));
    assert_null(zone_get("Asia/Seoul", &err));
    assert_non_null(strstr(err.msg, "tzdata"));
    zone_set_dir(NULL);
    zone_drop_all();
}

/* As dpkg does: another file takes the place of the old one. */
static void install(const char *dir, const char *rule)
{
    struct buf file;
    struct err err = ERR_INIT;
    buf_init(&file, 4096);
    make_file(&file, '3', 0, 1800, 3600, rule);
    char *path CLEANUP(cleanup_free) = xasprintf("%s/Test", dir);
    assert_int_equal(file_write_atomic(path, file.data, file.len, 0644, &err), 0);
    buf_done(&file);
}

static void test_a_replaced_file_is_noticed(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    char dir[] = "/tmp/rondo-zones-XXXXXX";
    const int64_t minute = 60 * US_PER_S;
    assert_non_null(mkdtemp(dir));
    zone_drop_all();
    zone_set_dir(dir);
    install(dir, "CET-1CEST,M3.5.0,M10.5.0/3");
    struct schedule *schedule = schedule_parse_cron("0 9 * * *", "Test", &err);
    assert_non_null(schedule);
    int64_t summer = instant("2026-07-01T00:00:00Z") * US_PER_S;
    assert_int_equal(schedule_next(schedule, 0, summer), summer + 7 * 60 * minute);
    uint64_t generation = zones_generation(minute);
    /* Daylight saving time is abolished, but nobody looks within the same minute. */
    install(dir, "CET-1");
    assert_int_equal(zones_generation(2 * minute - 1), generation);
    assert_int_equal(schedule_next(schedule, 0, summer), summer + 7 * 60 * minute);
    assert_int_equal(zones_generation(2 * minute), generation + 1);
    assert_int_equal(schedule_next(schedule, 0, summer), summer + 8 * 60 * minute);
    /* The same once more is no change; a broken or missing file neither. */
    install(dir, "CET-1");
    assert_int_equal(zones_generation(3 * minute), generation + 1);
    install(dir, "nonsense");
    assert_int_equal(zones_generation(4 * minute), generation + 1);
    char *path CLEANUP(cleanup_free) = xasprintf("%s/Test", dir);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(zones_generation(5 * minute), generation + 1);
    assert_int_equal(schedule_next(schedule, 0, summer), summer + 8 * 60 * minute);
    install(dir, "CET-1CEST,M3.5.0,M10.5.0/3");
    assert_int_equal(zones_generation(6 * minute), generation + 2);
    assert_int_equal(schedule_next(schedule, 0, summer), summer + 7 * 60 * minute);
    schedule_free(schedule);
    zone_set_dir(NULL);
    zone_drop_all();
    assert_int_equal(dir_remove(dir, &err), 0);
}

/* ---- every zone, every change from 1990 to 2100 ---- */

enum { EXPR_COUNT = 6 };

static const char *const exprs[EXPR_COUNT] = {
    "30 2 * * *", "*/30 * * * *", "0 0 * * *", "15,45 0-3 * * *", "0 * * * *", "* 1 * * *"};

static bool matches(int expr, int64_t wall)
{
    struct civil c;
    civil_from_s(wall, &c);
    switch (expr) {
    case 0:
        return c.hour == 2 && c.minute == 30;
    case 1:
        return c.minute % 30 == 0;
    case 2:
        return c.hour == 0 && c.minute == 0;
    case 3:
        return c.hour <= 3 && (c.minute == 15 || c.minute == 45);
    case 4:
        return c.minute == 0;
    default:
        return c.hour == 1;
    }
}

static bool is_interval_class(int expr)
{
    return expr == 1 || expr == 4 || expr == 5;
}

struct walk {
    int zones, changes, compared;
};

static struct walk walk;

/* The law by brute force, minute by minute: is the minute at t a fire? */
static bool is_fire(const struct zone *zone, int expr, int64_t t, int64_t *high)
{
    int64_t wall = t + zone_offset(zone, t);
    if (is_interval_class(expr)) {
        return matches(expr, wall);
    }
    bool fire = false;
    for (int64_t w = *high + 60; w <= wall; w += 60) {
        fire = fire || matches(expr, w);
    }
    *high = wall > *high ? wall : *high;
    return fire;
}

static void compare_around(
    const struct zone *zone, struct schedule *const *schedules, int64_t change)
{
    for (int i = 0; i < EXPR_COUNT; i++) {
        int64_t t = change - 4 * 3600, end = change + 4 * 3600;
        int64_t high = t + zone_offset(zone, t);
        int64_t next = schedule_next(schedules[i], 0, t * US_PER_S) / US_PER_S;
        for (t += 60; t <= end; t += 60) {
            bool want = is_fire(zone, i, t, &high);
            if (want != (next == t)) {
                fail_msg("%s '%s': %s at %lld", schedule_zone_name(schedules[i]), exprs[i],
                    want ? "not fired" : "fired", (long long)t);
            }
            if (next == t) {
                next = schedule_next(schedules[i], 0, t * US_PER_S) / US_PER_S;
                assert_true(next > t);
            }
        }
    }
    walk.compared++;
}

/*
 * Around each change, by document: next(t) > t, monotone, and what is like an interval has no hole
 * but the gap itself. Another document for each change of each zone, so that all meet all.
 */
static const struct {
    const char *text, *profile, *gap, *fold;
    int64_t hole_s; /* the longest distance between two ticks; 0: not checked */
} documents[] = {
    {"* * * * *", NULL, NULL, NULL, 60},
    {"*/15 * * * *", NULL, NULL, NULL, 900},
    {"*/20 * * * * *", NULL, NULL, NULL, 20},
    {"0 */5 * * * ?", "quartz", NULL, NULL, 300},
    {"*/10 * * * *", "robfig", NULL, NULL, 600},
    {"0 */5 * * *", "robfig-v1", NULL, NULL, 300},
    {"@every 7m", NULL, NULL, NULL, 420},
    {"@every 90m/17m", NULL, NULL, NULL, 5400},
    {"*/30 * * * *", NULL, "skip", "second", 1800},
    {"DTSTART:19800101T000000 RRULE:FREQ=MINUTELY;INTERVAL=5", NULL, NULL, NULL, 300},
    {"DTSTART:19800101T023000 RRULE:FREQ=DAILY", NULL, NULL, NULL, 0},
    {"15 0,2,23 * * *", NULL, "next", "second", 0},
    {"15 0,2,23 * * *", NULL, "next", "both", 0},
    {"15 0,2,23 * * *", NULL, "skip", "first", 0},
    {"15 0,2,23 * * *", NULL, "skip", "second", 0},
    {"0 15 0,2,23 ? * 1-7", "quartz", NULL, NULL, 0},
    {"15 0,2,23 * * *", "robfig", NULL, NULL, 0},
    {"H H(0-3) * * *", NULL, NULL, NULL, 0},
    {"5-55/10 1,2 L * +1-5", NULL, NULL, NULL, 0},
};

static struct schedule *make_document(size_t which, const char *zone)
{
    struct err err = ERR_INIT;
    json_t *doc CLEANUP(json_decrefp) = json_pack("{s:s,s:s,s:s*,s:{s:s*,s:s*}}", "cron",
        documents[which].text, "time_zone", zone, "profile", documents[which].profile, "dst", "gap",
        documents[which].gap, "fold", documents[which].fold);
    struct schedule *schedule = schedule_parse(doc, "key", &err);
    if (schedule == NULL) {
        fail_msg("%s: %s", documents[which].text, err.msg);
    }
    return schedule;
}

/* The real time that the wall clock skips at `change` is nothing: a gap makes no hole. */
static void check_document(size_t which, const struct zone *zone, const char *name, int64_t change)
{
    struct schedule *schedule = make_document(which, name);
    int64_t hole = documents[which].hole_s;
    int64_t at = (change - 3 * 3600) * US_PER_S, end = (change + 4 * 3600) * US_PER_S;
    /* Where the offset is no multiple of the step the ticks before and after do not fit together;
     * then the distance at the change may be anything up to twice the step. */
    bool is_even =
        hole == 0 || (zone_offset(zone, change - 1) - zone_offset(zone, change)) % hole == 0;
    int64_t limit = is_even ? hole : 2 * hole;
    for (int n = 0; n < 60 && at < end; n++) {
        int64_t next = schedule_next(schedule, 0, at);
        if (next <= at || schedule_next(schedule, 0, next - 1) != next ||
            schedule_next(schedule, 0, at + (next - at) / 2) != next) {
            fail_msg("%s '%s': not monotone at %lld", name, documents[which].text, (long long)at);
        }
        if (hole != 0 && next - at > limit * US_PER_S) {
            fail_msg("%s '%s': a hole after %lld", name, documents[which].text, (long long)at);
        }
        /* Dense ones: only what is near the change. */
        bool is_far = next < (change - 1800) * US_PER_S || next > (change + 1800) * US_PER_S;
        at = hole != 0 && hole < 120 && is_far ? next + 1200 * US_PER_S : next;
    }
    schedule_free(schedule);
}

static void check_change(struct schedule *const *schedules, int64_t change)
{
    static const int64_t asked[] = {-86400, -3600, -1, 0, 1799, 3600};
    for (int i = 0; i < EXPR_COUNT; i++) {
        int64_t before = INT64_MIN;
        for (size_t k = 0; k < ARRAY_LEN(asked); k++) {
            int64_t t = (change + asked[k]) * US_PER_S;
            int64_t next = schedule_next(schedules[i], 0, t);
            assert_true(next > t && next >= before);
            assert_true(next - t <= 3 * 86400 * US_PER_S);
            before = next;
        }
    }
}

static void check_zone(const char *name)
{
    struct err err = ERR_INIT;
    const struct zone *zone = zone_get(name, &err);
    if (zone == NULL) {
        fail_msg("%s", err.msg);
    }
    use_zone(zone);
    struct schedule *schedules[EXPR_COUNT];
    for (int i = 0; i < EXPR_COUNT; i++) {
        schedules[i] = schedule_parse_cron(exprs[i], name, &err);
        assert_non_null(schedules[i]);
    }
    int64_t from = instant("1990-01-01T00:00:00Z"), until = instant("2100-12-31T00:00:00Z");
    struct zone_span span;
    zone_span_at(zone, from, &span);
    while (span.end < until) {
        int64_t change = span.end;
        check_change(schedules, change);
        /* By brute force only a sample, another one in each zone. */
        if (walk.changes % 7 == 0) {
            compare_around(zone, schedules, change);
        }
        if (walk.changes % 3 == 0) {
            check_document((size_t)(walk.changes / 3) % ARRAY_LEN(documents), zone, name, change);
        }
        walk.changes++;
        zone_span_at(zone, change, &span);
    }
    for (int i = 0; i < EXPR_COUNT; i++) {
        schedule_free(schedules[i]);
    }
    walk.zones++;
}

static int visit(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    const char *name = path + strlen(ZONES "/");
    if (type == FTW_D && ftw->level == 1 &&
        (strcmp(name, "posix") == 0 || strcmp(name, "right") == 0)) {
        return FTW_SKIP_SUBTREE;
    }
    char magic[4] = "";
    FILE *file = type == FTW_F || type == FTW_SL ? fopen(path, "rb") : NULL;
    bool is_zone = file != NULL && fread(magic, 1, 4, file) == 4 && memcmp(magic, "TZif", 4) == 0;
    if (file != NULL) {
        fclose(file);
    }
    if (is_zone && zone_name_problem(name) == NULL) {
        check_zone(name);
    }
    return FTW_CONTINUE;
}

static void test_every_zone(void **state)
{
    (void)state;
    if (access(ZONES "/Asia/Seoul", R_OK) != 0) {
        print_message("no zone files at " ZONES "\n");
        skip();
    }
    assert_int_equal(nftw(ZONES, visit, 16, FTW_PHYS | FTW_ACTIONRETVAL), 0);
    print_message("%d zones, %d changes, %d compared minute by minute\n", walk.zones, walk.changes,
        walk.compared);
    assert_true(walk.zones > 300);
}

static int drop_zones(void **state)
{
    (void)state;
    zone_drop_all();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_bad_rules),
        cmocka_unit_test(test_version_1),
        cmocka_unit_test(test_broken_files),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_utc_needs_no_files),
        cmocka_unit_test(test_a_replaced_file_is_noticed),
        cmocka_unit_test(test_every_zone),
    };
    return cmocka_run_group_tests(tests, NULL, drop_zones);
}
