/* SPDX-License-Identifier: Apache-2.0 */
/* The cron grammar: what is accepted and means what, what is refused and in which words. */
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
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

/* Two texts that must mean the same; or one text and its description. */
static const struct {
    const char *name, *cron, *same_as;
} equals[] = {
    {"6 fields put the second first", "0 30 9 * * *", "30 9 * * *"},
    {"7 fields put the year last", "0 30 9 * * * *", "30 9 * * *"},
    {"6 fields with years at the end", "30 9 * * 1 2030", "0 30 9 * * 1 2030"},
    {"6 fields with a list of years", "30 9 1 * * */2,2031-2033", "0 30 9 1 * * */2,2031-2033"},
    {"every other year is an even one", "0 0 0 1 1 * */2", "0 0 0 1 1 * 2000/2"},
    {"every third year", "0 0 0 1 1 * */3", "0 0 0 1 1 * 2022/3"},
    {"a newline is a blank", "0 0\n*\r\n* *\n", "0 0 * * *"},
    {"a newline behind a word", "@daily\n", "0 0 * * *"},
    {"a newline behind the zone", "TZ=Asia/Seoul\n0 9 * * *", "TZ=Asia/Seoul 0 9 * * *"},
    {"tabs and spaces around and between", " \t30\t 9 *  * *\t ", "30 9 * * *"},
    {"leading zeros", "00 08 01 01 *", "0 8 1 1 *"},
    {"names of months", "0 0 1 JAN,feb,Mar *", "0 0 1 1-3 *"},
    {"names of days", "0 0 * * Mon-FRI", "0 0 * * 1-5"},
    {"whole names", "0 0 1 January-april,JUNE monday,Sat", "0 0 1 1-4,6 1,6"},
    {"the last of a whole name", "0 0 * * fridayL", "0 0 * * 5L"},
    {"7 is Sunday", "0 0 * * 7", "0 0 * * 0"},
    {"a range may end at 7", "0 0 * * 5-7", "0 0 * * 5,6,0"},
    {"0-7 is every day", "0 0 * * 0-7", "0 0 * * *"},
    {"names wrap around Sunday", "0 0 * * fri-mon", "0 0 * * 5,6,0,1"},
    {"sat-sun", "0 0 * * sat-sun", "0 0 * * 6,0"},
    {"7-2 is Sunday to Tuesday", "0 0 * * 7-2", "0 0 * * 0-2"},
    {"hours wrap around midnight", "0 22-2 * * *", "0 22,23,0,1,2 * * *"},
    {"months wrap around the year", "0 0 1 nov-feb *", "0 0 1 11,12,1,2 *"},
    {"minutes wrap with a step", "50-10/10 * * * *", "50,0,10 * * * *"},
    {"steps", "*/15 * * * *", "0,15,30,45 * * * *"},
    {"steps in a range", "10-40/15 * * * *", "10,25,40 * * * *"},
    {"N/step goes on to the end", "5/20 * * * *", "5-59/20 * * * *"},
    {"mon/2 ends on Saturday", "0 0 * * mon/2", "0 0 * * 1,3,5"},
    {"a step as long as the field", "*/60 * * * *", "0 * * * *"},
    {"lists of everything", "1,5-7,*/30 * * * *", "0,1,5,6,7,30 * * * *"},
    {"? is *", "0 0 ? * ?", "0 0 * * *"},
    {"? anywhere", "? ? ? ? ?", "* * * * *"},
    {"@yearly", "@yearly", "0 0 1 1 *"},
    {"@annually, any case", "@Annually", "0 0 1 1 *"},
    {"@monthly", "@monthly", "0 0 1 * *"},
    {"@weekly", "@weekly", "0 0 * * 0"},
    {"@daily", "@daily", "0 0 * * *"},
    {"@midnight", "@midnight", "0 0 * * *"},
    {"@hourly", "@hourly", "0 * * * *"},
    {"spaces around a word", "  @hourly ", "0 * * * *"},
    {"@every in other units", "@every 1h30m", "@every 5400s"},
    {"@every with a fraction", "@every 1.5h", "@every 90m"},
    {"@every of a day", "@every 1d12h", "@every 36h"},
    {"@every is cut to whole seconds", "@every 15m50ns", "@every 15m"},
    {"@every is at least a second", "@every 15ms", "@every 1s"},
    {"zone prefixes", "TZ=Asia/Seoul 0 9 * * *", "CRON_TZ=Asia/Seoul 0 9 * * *"},
    {"zone prefix before a word", "CRON_TZ=Asia/Seoul   @daily", "TZ=Asia/Seoul 0 0 * * *"},
    {"day rule: two restricted fields are OR", "0 0 13 * fri", "0 0 13 * 5"},
    {"the last day of February by date", "0 0 L 2 *", "0 0 l feb *"},
    {"L inside a range", "0 0 29-L * *", "0 0 29-31 * *"},
    {"the last Friday, three ways", "0 0 * * 5L", "0 0 * * L5"},
    {"the last Friday, by name", "0 0 * * friL", "0 0 * * fri#L"},
    {"the weekday nearest the 15th, two ways", "0 0 W15 * *", "0 0 15w * *"},
    {"the last Friday, by name behind L", "0 0 * * Lfri", "0 0 * * 5L"},
    {"the last of several", "0 0 * * L3-5", "0 0 * * 3L,4L,5L"},
    {"the third Saturday", "0 0 * * sat#3", "0 0 * * 6#3"},
    {"an AND of both day fields", "0 0 1-7 * +mon", "0 0 * * mon#1"},
};

static const struct {
    const char *name, *cron;
    const char *says[3]; /* parts of the message */
} refused[] = {
    {"nothing", "", {"empty"}},
    {"only spaces", " \t ", {"empty"}},
    {"a word", "hello", {"1 field;", "@daily"}},
    {"four fields", "* * * *", {"4 fields", "5 (minute"}},
    {"eight fields", "* * * * * * * *", {"8 fields"}},
    {"second too large", "60 * * * * *", {"second field", "'60'", "0-59"}},
    {"minute too large", "61 * * * *", {"minute field", "'61'", "0-59"}},
    {"hour 24", "0 24 * * *", {"hour field", "midnight is 0", "0-23"}},
    {"day 0", "0 0 0 * *", {"day-of-month field", "1-31"}},
    {"day 32", "0 0 32 * *", {"day-of-month field", "1-31"}},
    {"month 13", "0 0 1 13 *", {"month field", "1-12"}},
    {"weekday 8", "0 0 * * 8", {"day-of-week field", "7 are Sunday"}},
    {"year 0", "0 0 0 1 1 * 0", {"year field"}},
    {"years backwards", "0 0 0 1 1 * 2030-2029", {"year field", "ends before it begins"}},
    {"unknown name", "0 0 1 foo *", {"month field", "'foo'", "jan-dec"}},
    {"short name", "0 0 1 ja *", {"known name"}},
    {"misspelt name", "0 0 1 januar1 *", {"three letters or as a whole"}},
    {"junk behind a name", "0 0 1 january1 *", {"unexpected '1'"}},
    {"most of a name", "0 0 * * tues", {"three letters or as a whole"}},
    {"more than a name", "0 0 * * mondays", {"three letters or as a whole"}},
    {"letters", "a * * * *", {"minute field", "'a'"}},
    {"negative", "-5 * * * *", {"sign"}},
    {"range without start", "-5 * * * * *", {"second field"}},
    {"range without end", "5- * * * *", {"missing at the end"}},
    {"empty list element", "1,,2 * * * *", {"empty"}},
    {"list ends with a comma", "1, * * * *", {"empty"}},
    {"step 0", "*/0 * * * *", {"step of 0"}},
    {"step without number", "*/ * * * *", {"after '/'"}},
    {"step with letters", "*/x * * * *", {"after '/'"}},
    {"negative step", "*/-5 * * * *", {"after '/'"}},
    {"two steps", "*/2/3 * * * *", {"unexpected '/'"}},
    {"step beyond the field", "*/90 * * * *", {"longer than the whole field", "@every 90m"}},
    {"junk after a star", "*5 * * * *", {"unexpected '5'"}},
    {"junk after a number", "5x * * * *", {"unexpected 'x'"}},
    {"underscore", "1_0 * * * *", {"unexpected '_'"}},
    {"number beyond int", "99999999999999999999 * * * *", {"too large"}},
    {"years in front", "2030 0 0 * * *", {"second field"}},
    {"3 digits are no year", "0 0 1 1 * 203", {"day-of-week field"}},
    {"H", "H 0 * * *", {"'H'"}},
    {"L elsewhere", "L * * * *", {"minute field"}},
    {"L alone in the week", "0 0 * * L", {"5L"}},
    {"LW in the week", "0 0 * * LW", {"5L"}},
    {"L8", "0 0 * * L8", {"out of range"}},
    {"L5 with a step", "0 0 * * L5/2", {"unexpected text"}},
    {"a step beyond the days", "0 0 */100,1-7 * mon", {"longer than the whole field", "'+'"}},
    {"L-31", "0 0 L-31 * *", {"no month"}},
    {"#0", "0 0 * * 1#0", {"1 to 5"}},
    {"#6", "0 0 * * 1#6", {"1 to 5"}},
    {"W alone", "0 0 W * *", {"15W"}},
    {"W32", "0 0 W32 * *", {"out of range"}},
    {"W of a range", "0 0 W1-5 * *", {"stands alone"}},
    {"W in a range", "0 0 10-15W * *", {"unexpected 'W'"}},
    {"unknown word", "@often", {"unknown word", "@daily"}},
    {"@reboot", "@reboot", {"reboot"}},
    {"@every without anything", "@every", {"missing"}},
    {"@every without unit", "@every 90", {"unit is missing"}},
    {"@every of nothing", "@every 0s", {"longer than nothing"}},
    {"@every backwards", "@every -5m", {"positive"}},
    {"@every in fortnights", "@every 2fn", {"unknown unit"}},
    {"@every too long", "@every 1000000h", {"100 years"}},
    {"@every beyond 64 bits", "@every 99999999999999999999999h", {"100 years"}},
    {"30 February", "0 0 30 2 *", {"never fires", "day 30 does not exist in February"}},
    {"31 April", "0 0 31 apr *", {"never fires", "day 31 does not exist in April"}},
    {"31 of short months", "0 0 31 2,4,6,9,11 *", {"never fires", "any of the given months"}},
    {"29 February of an odd year", "0 0 0 29 2 * 2027", {"never fires", "leap year"}},
    {"five Mondays in a week", "0 0 1-7 * +mon#5", {"never fires"}},
    {"unknown zone", "CRON_TZ=Mars/Base 0 0 * * *", {"unknown time zone 'Mars/Base'"}},
    {"zone without fields", "CRON_TZ=Asia/Seoul", {"after the zone"}},
    {"zone prefix without zone", "TZ= 0 0 * * *", {"zone name"}},
    {"zone with dots", "TZ=../../etc/passwd 0 0 * * *", {"not of the form"}},
    {"zone with dots inside", "TZ=Asia/../UTC 0 0 * * *", {"not of the form"}},
    {"zone as absolute path", "TZ=/etc/localtime 0 0 * * *", {"not of the form"}},
    {"zone is a folder", "TZ=America 0 0 * * *", {"unknown time zone"}},
    {"zone of the machine", "TZ=localtime 0 0 * * *", {"depends on the machine"}},
    {"zone with a space", "TZ=Asia/Se\x01ul 0 0 * * *", {"character"}},
};

static void test_equals(void **state)
{
    (void)state;
    int bad = 0;
    for (size_t i = 0; i < ARRAY_LEN(equals); i++) {
        struct err err = ERR_INIT;
        struct schedule *a = schedule_parse_cron(equals[i].cron, NULL, &err);
        struct schedule *b = schedule_parse_cron(equals[i].same_as, NULL, &err);
        if (a == NULL || b == NULL) {
            print_error("%s: %s\n", equals[i].name, err.msg);
            bad++;
        }
        int64_t at = 1700000000 * US_PER_S, anchor = at;
        for (int n = 0; n < 300 && a != NULL && b != NULL; n++) {
            int64_t next = schedule_next(a, anchor, at);
            if (next != schedule_next(b, anchor, at)) {
                print_error(
                    "%s: '%s' is not '%s'\n", equals[i].name, equals[i].cron, equals[i].same_as);
                bad++;
                break;
            }
            at = next;
        }
        schedule_free(a);
        schedule_free(b);
    }
    assert_int_equal(bad, 0);
}

static void test_refused(void **state)
{
    (void)state;
    int bad = 0;
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        struct err err = ERR_INIT;
        struct schedule *schedule = schedule_parse_cron(refused[i].cron, NULL, &err);
        if (schedule != NULL) {
            print_error("%s: '%s' was accepted\n", refused[i].name, refused[i].cron);
            schedule_free(schedule);
            bad++;
            continue;
        }
        bad += err.code != ERR_INVALID;
        for (size_t k = 0; k < 3 && refused[i].says[k] != NULL; k++) {
            if (strstr(err.msg, refused[i].says[k]) == NULL) {
                print_error("%s: '%s' lacks '%s'\n", refused[i].name, err.msg, refused[i].says[k]);
                bad++;
            }
        }
    }
    assert_int_equal(bad, 0);
}

static void test_descriptions(void **state)
{
    (void)state;
    static const struct {
        const char *cron, *text;
    } rows[] = {
        {"* * * * *", "Every minute, UTC"},
        {"* * * * * *", "Every second, UTC"},
        {"*/10 * * * * *", "Every 10 seconds, UTC"},
        {"*/15 * * * *", "Every 15 minutes, UTC"},
        {"@hourly", "At minute 0 of every hour, UTC"},
        {"0 */6 * * *", "At 00:00, 06:00, 12:00 and 18:00, UTC"},
        {"5,35 * * * *", "At minute 5 and 35 of every hour, UTC"},
        {"*/5 9-17 * * mon-fri", "Every 5 minutes in the hour 9 to 17 on Monday to Friday, UTC"},
        {"CRON_TZ=Asia/Seoul 30 9 * * 1-5", "At 09:30 on Monday to Friday, Asia/Seoul"},
        {"15 30 9,17 * * *", "At 09:30:15 and 17:30:15, UTC"},
        {"0 0 1 jan *", "At 00:00 on day 1 in January, UTC"},
        {"0 0 1,15 * *", "At 00:00 on day 1 and 15, UTC"},
        {"0 0 13 * fri", "At 00:00 on day 13 or on Friday, UTC"},
        {"0 0 1-7 * +mon", "At 00:00 on day 1 to 7 if it is Monday, UTC"},
        {"0 0 * * fri-sun", "At 00:00 on Friday to Sunday, UTC"},
        {"0 0 L * *", "At 00:00 on the last day of the month, UTC"},
        {"0 0 LW * *", "At 00:00 on the last weekday of the month, UTC"},
        {"0 0 15W * *", "At 00:00 on the weekday nearest day 15, UTC"},
        {"0 0 * * 5L", "At 00:00 on the last Friday of the month, UTC"},
        {"0 0 * * tue#2", "At 00:00 on the second Tuesday of the month, UTC"},
        {"0 0 0 1 1 * 2030", "At 00:00 on day 1 in January in 2030, UTC"},
        {"@every 1h30m", "Every 1 hour 30 minutes"},
        {"@every 24h", "Every day"},
        {"@every 10s", "Every 10 seconds"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = ERR_INIT;
        struct schedule *schedule = schedule_parse_cron(rows[i].cron, NULL, &err);
        assert_non_null(schedule);
        struct buf out;
        buf_init(&out, 1000);
        schedule_describe(schedule, &out);
        assert_string_equal(buf_str(&out), rows[i].text);
        buf_done(&out);
        schedule_free(schedule);
    }
}

static void test_zone_beside_the_text(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct schedule *s = schedule_parse_cron("0 9 * * *", "Asia/Seoul", &err);
    assert_non_null(s);
    assert_string_equal(schedule_zone_name(s), "Asia/Seoul");
    schedule_free(s);
    s = schedule_parse_cron("TZ=Asia/Seoul 0 9 * * *", "Asia/Seoul", &err);
    assert_non_null(s);
    schedule_free(s);
    s = schedule_parse_cron("0 9 * * *", "", &err);
    assert_non_null(s);
    assert_string_equal(schedule_zone_name(s), "UTC");
    schedule_free(s);
    assert_null(schedule_parse_cron("TZ=Asia/Seoul 0 9 * * *", "Asia/Tokyo", &err));
    assert_non_null(strstr(err.msg, "'Asia/Seoul'"));
    assert_non_null(strstr(err.msg, "'Asia/Tokyo'"));
    assert_null(schedule_parse_cron("0 9 * * *", "Asia/Nowhere", &err));
}

static void test_a_megabyte_is_refused_at_once(void **state)
{
    (void)state;
    size_t len = 1 << 20;
    char *text = xmalloc(len + 1);
    memset(text, '*', len);
    text[len] = '\0';
    struct err err = ERR_INIT;
    clock_t start = clock(); /* of the processor: others may have it meanwhile */
    assert_null(schedule_parse_cron(text, NULL, &err));
    assert_non_null(strstr(err.msg, "longer than 1024"));
    assert_true(clock() - start < CLOCKS_PER_SEC / 20);
    free(text);
}

static void test_intervals(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    assert_null(schedule_new_interval(0, &err));
    assert_null(schedule_new_interval(-5, &err));
    assert_null(schedule_new_interval(INT64_MAX, &err));
    struct schedule *s = schedule_new_interval(90, &err);
    assert_non_null(s);
    assert_true(schedule_is_interval(s));
    int64_t anchor = 1000 * US_PER_S;
    assert_int_equal(schedule_next(s, anchor, 0), 1090 * US_PER_S);
    assert_int_equal(schedule_next(s, anchor, anchor), 1090 * US_PER_S);
    assert_int_equal(schedule_next(s, anchor, 1089999999), 1090 * US_PER_S);
    assert_int_equal(schedule_next(s, anchor, 1090 * US_PER_S), 1180 * US_PER_S);
    assert_int_equal(schedule_next(s, anchor, 1000000 * US_PER_S), 1000090 * US_PER_S);
    assert_int_equal(schedule_next(s, -50 * US_PER_S, -50 * US_PER_S), 40 * US_PER_S);
    schedule_free(s);
    s = schedule_parse_cron("@every 90s", NULL, &err);
    assert_true(schedule_is_interval(s));
    schedule_free(s);
    s = schedule_parse_cron("* * * * *", NULL, &err);
    assert_false(schedule_is_interval(s));
    schedule_free(s);
}

static void test_the_end_of_time(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    static const char *const crons[] = {
        "* * * * *", "30 2 * * *", "@every 10s", "0 0 0 1 1 * 2030", "TZ=Europe/Berlin 0 2 * * *"};
    for (size_t i = 0; i < ARRAY_LEN(crons); i++) {
        struct schedule *s = schedule_parse_cron(crons[i], NULL, &err);
        assert_non_null(s);
        assert_int_equal(schedule_next(s, 0, INT64_MAX), -1);
        int64_t early = schedule_next(s, 0, INT64_MIN);
        assert_true(early > INT64_MIN);
        schedule_free(s);
    }
    struct schedule *s = schedule_parse_cron("* * * * *", NULL, &err);
    assert_int_equal(schedule_next(s, 0, -61 * US_PER_S), -60 * US_PER_S);
    assert_int_equal(schedule_next(s, 0, -1), 0);
    schedule_free(s);
    s = schedule_parse_cron("0 0 0 1 1 * 2030", NULL, &err);
    int64_t only = schedule_next(s, 0, 0);
    assert_int_equal(only, 1893456000 * US_PER_S);
    assert_int_equal(schedule_next(s, 0, only), -1);
    schedule_free(s);
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
        cmocka_unit_test(test_equals),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_descriptions),
        cmocka_unit_test(test_zone_beside_the_text),
        cmocka_unit_test(test_a_megabyte_is_refused_at_once),
        cmocka_unit_test(test_intervals),
        cmocka_unit_test(test_the_end_of_time),
    };
    return cmocka_run_group_tests(tests, NULL, drop_zones);
}
