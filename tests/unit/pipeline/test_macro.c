/* SPDX-License-Identifier: Apache-2.0 */
/* Macros in run parameters. */
#include "pipeline_test.h"

#include "base/clock.h"

static const struct macro_context context = {
    .run_id = "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
    .scheduled_us = 1764930645 * INT64_C(1000000) + 78900, /* 2025-12-05T10:30:45.0789Z, Friday */
    .created_us = 1764892805 * INT64_C(1000000),           /* 2025-12-05T00:00:05Z */
    .index = 7,
};

static void test_texts(void **state UNUSED)
{
    static const struct {
        const char *text, *expected;
    } rows[] = {
        {"[[ScheduledTime]]", "20251205103045"},
        {"[[CurrentTime]]", "20251205000005"},
        {"[[RunUUID]]", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"},
        {"[[Index]]", "7"},
        {"a-[[Index]]-b-[[Index]]", "a-7-b-7"},
        {"[[ScheduledTime.2006-01-02]]", "2025-12-05"},
        {"[[ScheduledTime.2006-01-02T15:04:05Z07:00]]", "2025-12-05T10:30:45Z"},
        {"[[ScheduledTime.2006-01-02T15:04:05-07:00]]", "2025-12-05T10:30:45+00:00"},
        {"[[ScheduledTime.Mon Jan _2 15:04:05 MST 2006]]", "Fri Dec  5 10:30:45 UTC 2025"},
        {"[[ScheduledTime.Monday, January 2]]", "Friday, December 5"},
        {"[[ScheduledTime.1/2/06 3:4:5 PM]]", "12/5/25 10:30:45 AM"},
        {"[[ScheduledTime.03pm]]", "10am"},
        {"[[CurrentTime.3PM 03]]", "12AM 12"},
        {"[[ScheduledTime.002 __2]]", "339 339"},
        {"[[ScheduledTime.05.000]]", "45.078"},
        {"[[ScheduledTime.05.000000]]", "45.078900"},
        {"[[ScheduledTime.05.9999999]]", "45.0789"},
        {"[[CurrentTime.05.999]]", "05"},
        {"[[ScheduledTime.Month]]", "Month"}, /* not Mon followed by th */
        {"[[ScheduledTime._2006]]", "_2025"},
        {"[[ScheduledTime.-0700 -07 Z0700]]", "+0000 +00 Z"},
        {"[[ScheduledTime.]]", ""},
        {"{{$.scheduledTime.strftime('%Y-%m-%d')}}", "2025-12-05"},
        {"{{$.currentTime.strftime('%H:%M:%S %j %a %b %p %%')}}", "00:00:05 339 Fri Dec AM %"},
        {"{{$.scheduledTime.strftime('%F %T %z %Z')}}", "2025-12-05 10:30:45 +0000 UTC"},
        {"{{$.scheduledTime.strftime('%s %f %u %e %I %y')}}", "1764930645 078900 5  5 10 25"},
        {"{{$.scheduledTime.strftime('%q')}}", "%q"},
        {"{{$.scheduledTime.strftime('x)}}", "{{$.scheduledTime.strftime('x)}}"},
        /* not macros */
        {"[[scheduledtime]]", "[[scheduledtime]]"},
        {"[[ScheduledTimes]]", "[[ScheduledTimes]]"},
        {"[[ScheduledTime", "[[ScheduledTime"},
        {"[[Index ]]", "[[Index ]]"},
        {"[[RunUUID.x]]", "[[RunUUID.x]]"},
        {"[[Unknown]] [[Index]]", "[[Unknown]] 7"},
        {"[[[Index]]]", "[7]"},
        {"[[1, 2], [3]]", "[[1, 2], [3]]"},
        {"{{$.pipeline_job_name}}", "{{$.pipeline_job_name}}"},
        {"", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        json_t *value = json_string(rows[i].text);
        json_t *out = macro_expand(value, &context);
        if (strcmp(json_string_value(out), rows[i].expected) != 0) {
            print_error(
                "%s: %s, expected %s\n", rows[i].text, json_string_value(out), rows[i].expected);
            fail();
        }
        json_decref(out);
        json_decref(value);
    }
}

static void test_nested(void **state UNUSED)
{
    json_t *value = j("{'a': ['[[Index]]', {'b': 'x[[Index]]', '[[Index]]': 1}], 'n': 5}");
    expect_json("nested", macro_expand(value, &context),
        "{'a': ['7', {'b': 'x7', '[[Index]]': 1}], 'n': 5}");
    json_decref(value);
    value = j("{'a': [1]}");
    json_t *same = macro_expand(value, &context);
    assert_ptr_equal(same, value);
    json_decref(same);
    json_decref(value);
}

static void test_unknown_facts(void **state UNUSED)
{
    struct macro_context ctx = {.run_id = "r", .created_us = context.created_us};
    json_t *value = j("['[[Index]]', '[[ScheduledTime]]']");
    /* Not fired by a schedule: no index; the time is that of creation. */
    expect_json("api run", macro_expand(value, &ctx), "['[[Index]]', '20251205000005']");
    json_decref(value);
}

static void test_cheap(void **state UNUSED)
{
    size_t len = 4 << 20;
    char *text = xmalloc(len + 1);
    memset(text, '[', len);
    text[len] = '\0';
    json_t *value = json_string(text);
    int64_t start = clock_mono_us();
    json_decref(macro_expand(value, &context));
    assert_true(clock_mono_us() - start < 20 * US_PER_S);
    json_decref(value);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_nested),
        cmocka_unit_test(test_unknown_facts),
        cmocka_unit_test(test_cheap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
