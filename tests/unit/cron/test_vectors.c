/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of fact from other projects' suites. Every row runs; where it disagrees with us, the
 * table below must say which written rule of ours differs, and a reason nobody needs fails too.
 */
#include "scheduler/schedule.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/util.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include <cmocka.h>

#define VECTORS SHARED_DIR "/cron-vectors/"
#define FIRES_COMPARED 200

static const char gap_rule[] = "gap: a fixed time fires at the end of the gap, nowhere else";
static const char wrap_rule[] = "ranges may wrap around";
static const char question_rule[] = "'?' is accepted in every field, as in KFP";
static const char never_rule[] = "what never fires is refused";
static const char mix_rule[] = "plain days, nL and n#k may stand in one list";
static const char star_rule[] = "a field that begins with a star, also */n, makes the day rule AND";
static const char star_list_rule[] = "a list with a star in it is every day";
static const char or_rule[] = "two restricted day fields are OR (the row asked its suite for AND)";

static struct {
    const char *suite, *expr, *from; /* from NULL: every row of this expression */
    const char *reason;
    int used;
} explained[] = {
    {"ccronexpr", "3-2 */5 * * * *", NULL, wrap_rule, 0},
    {"croniter", "0 16 */2 * sat", NULL, star_rule, 0},
    {"croniter", "0 0 * * *,sat#3", NULL, star_list_rule, 0},
    {"croniter", "1 2 * * *", "2020-03-28T03:01:00+01:00", gap_rule, 0},
    {"croniter", "1 2 * * *", "2020-03-28T02:49:55+01:00", gap_rule, 0},
    {"croniter", "30 23 1-7 JAN MON-FRI#1", NULL, or_rule, 0},
    {"croniter", "0 0 * * 5,6#3", NULL, mix_rule, 0},
    {"croniter", "0 0 * * 5,L6", NULL, mix_rule, 0},
    {"croniter", "? * * * *", NULL, question_rule, 0},
    {"croniter", "* ? * * *", NULL, question_rule, 0},
    {"croniter", "* * ?,* * *", NULL, question_rule, 0},
    {"ocps", "0 17-9 * * *", NULL, wrap_rule, 0},
    {"ocps", "0 0 31 2 *", NULL, never_rule, 0},
};

struct count {
    int rows, agree, explained, unexplained;
};

static const char *text_of(const json_t *row, const char *key)
{
    return json_string_value(json_object_get(row, key));
}

static int fields_in(const char *text)
{
    int fields = 0;
    for (const char *p = text + strspn(text, " \t"); *p != '\0'; fields++) {
        p += strcspn(p, " \t");
        p += strspn(p, " \t");
    }
    return fields;
}

/* Each row in the profile that its dialect is. */
static struct schedule *parse(const json_t *row, const char *expr, struct err *err)
{
    char text[256];
    const char *dialect = text_of(row, "dialect"), *suite = text_of(row, "suite");
    const char *zone = strstr(expr, "TZ=") == NULL ? text_of(row, "tz") : NULL;
    const char *profile = strcmp(dialect, "robfig-v1") == 0  ? "robfig-v1"
                          : strncmp(suite, "robfig", 6) == 0 ? "robfig"
                                                             : "vixie";
    /* robfig v3's parser of seconds lets the weekday be left out; our profile reads five fields
     * as its standard parser does. */
    bool lacks_weekday = strcmp(dialect, "seconds6") == 0 && strcmp(profile, "robfig") == 0 &&
                         fields_in(expr) == 5 + (strstr(expr, "TZ=") != NULL) &&
                         strchr(expr, '@') == NULL;
    snprintf(text, sizeof text, "%s%s", expr, lacks_weekday ? " *" : "");
    json_t *doc CLEANUP(json_decrefp) =
        json_pack("{s:s,s:s,s:s*}", "cron", text, "profile", profile, "time_zone", zone);
    return schedule_parse(doc, NULL, err);
}

static int64_t instant(const char *text)
{
    struct err err = ERR_INIT;
    int64_t us = 0;
    if (clock_parse(text, &us, &err) != 0) {
        fail_msg("%s", err.msg);
    }
    return us;
}

/* Puts what we say into `ours`; true if the row says the same. */
static bool run_next(const json_t *row, const struct schedule *schedule, struct buf *ours)
{
    int64_t from = instant(text_of(row, "from"));
    int64_t next = schedule != NULL ? schedule_next(schedule, from, from) : SCHEDULE_NEVER;
    char text[CLOCK_TEXT_MAX];
    if (schedule != NULL) {
        buf_adds(ours, next == SCHEDULE_NEVER ? "never" : clock_format_s(next, text));
    }
    if (strcmp(text_of(row, "kind"), "not_next") == 0) {
        const char *bad = text_of(row, "not_next");
        return schedule != NULL && (bad == NULL || next != instant(bad));
    }
    const char *want = text_of(row, "next");
    return want == NULL ? next == SCHEDULE_NEVER : next == instant(want);
}

static bool run_equal(const json_t *row, const struct schedule *a, const struct schedule *b)
{
    int64_t at = 1700000000 * US_PER_S;
    for (int n = 0; n < FIRES_COMPARED && a != NULL && b != NULL; n++) {
        int64_t next = schedule_next(a, 0, at);
        if (next != schedule_next(b, 0, at)) {
            return strcmp(text_of(row, "kind"), "not_equal") == 0;
        }
        at = next;
    }
    return a != NULL && b != NULL && strcmp(text_of(row, "kind"), "equal") == 0;
}

static bool run_row(const json_t *row, struct buf *ours)
{
    struct err err = ERR_INIT;
    const char *kind = text_of(row, "kind");
    struct schedule *schedule = parse(row, text_of(row, "expr"), &err);
    bool agrees;
    if (schedule == NULL) {
        buf_adds(ours, err.msg);
    }
    if (strcmp(kind, "parse") == 0) {
        agrees = json_is_true(json_object_get(row, "valid")) == (schedule != NULL);
    } else if (strcmp(kind, "equal") == 0 || strcmp(kind, "not_equal") == 0) {
        struct schedule *other = parse(row, text_of(row, "expr2"), &err);
        agrees = run_equal(row, schedule, other);
        schedule_free(other);
    } else {
        agrees = run_next(row, schedule, ours);
    }
    schedule_free(schedule);
    return agrees;
}

static const char *find_reason(const json_t *row)
{
    for (size_t i = 0; i < ARRAY_LEN(explained); i++) {
        const char *from = text_of(row, "from");
        if (strcmp(explained[i].suite, text_of(row, "suite")) == 0 &&
            strcmp(explained[i].expr, text_of(row, "expr")) == 0 &&
            (explained[i].from == NULL || (from != NULL && strcmp(explained[i].from, from) == 0))) {
            explained[i].used++;
            return explained[i].reason;
        }
    }
    return NULL;
}

static void run_file(const char *name, struct count *total)
{
    char path[512];
    snprintf(path, sizeof path, VECTORS "%s.json", name);
    json_error_t json_err;
    json_t *rows = json_load_file(path, 0, &json_err);
    if (rows == NULL) {
        fail_msg("%s: %s", path, json_err.text);
    }
    struct count count = {0};
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        struct buf ours;
        buf_init(&ours, 4096);
        count.rows++;
        if (run_row(row, &ours)) {
            count.agree++;
        } else if (find_reason(row) != NULL) {
            count.explained++;
        } else {
            count.unexplained++;
            char *text = json_dumps(row, JSON_COMPACT);
            print_error("%s\n    ours: %s\n", text, buf_str(&ours));
            free(text);
        }
        buf_done(&ours);
    }
    print_message("%-12s %5d rows: %5d agree, %3d differ by a written rule, %d unexplained\n", name,
        count.rows, count.agree, count.explained, count.unexplained);
    total->rows += count.rows;
    total->unexplained += count.unexplained;
    json_decref(rows);
}

static void test_vectors(void **state)
{
    (void)state;
    if (access(VECTORS "README.md", R_OK) != 0) {
        print_message("no vectors at " VECTORS "\n");
        skip();
    }
    struct count total = {0};
    static const char *const files[] = {"robfig", "ccronexpr", "croniter", "ocps-parse"};
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        run_file(files[i], &total);
    }
    assert_true(total.rows > 1900);
    assert_int_equal(total.unexplained, 0);
    for (size_t i = 0; i < ARRAY_LEN(explained); i++) {
        if (explained[i].used == 0) {
            fail_msg("nobody needs the reason for %s '%s' any more", explained[i].suite,
                explained[i].expr);
        }
    }
}

static int drop_zones(void **state)
{
    (void)state;
    zone_drop_all();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_vectors)};
    return cmocka_run_group_tests(tests, NULL, drop_zones);
}
