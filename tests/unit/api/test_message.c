/* SPDX-License-Identifier: Apache-2.0 */
/* protobuf's JSON mapping: what is accepted, what comes out, what is refused and how. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/util.h"

#include "api/kfp/message.h"

static const struct kfp_enum colours[] = {{"UNSPECIFIED", 0}, {"RED", 1}, {"BLUE", 3}, {NULL, 0}};
static const struct kfp_field inner_fields[] = {
    {"start_time", KFP_TIME, NULL, NULL, 0},
    {"interval_second", KFP_I64, NULL, NULL, 0},
    {0},
};
static const struct kfp_message inner = {inner_fields};
static const struct kfp_field outer_fields[] = {
    {"display_name", KFP_STRING, NULL, NULL, 0},
    {"no_catchup", KFP_BOOL, NULL, NULL, 0},
    {"small_number", KFP_I32, NULL, NULL, 0},
    {"colour", KFP_ENUM, NULL, colours, 0},
    {"version_id", KFP_STRING, NULL, NULL, 1},
    {"spec", KFP_STRUCT, NULL, NULL, 1},
    {"periodic_schedule", KFP_MESSAGE, &inner, NULL, 0},
    {"tags", KFP_TAGS, NULL, NULL, 0},
    {"created_at", KFP_OUTPUT, NULL, NULL, 0},
    {"words", KFP_STRINGS, NULL, NULL, 0},
    {"numbers", KFP_INTS, NULL, NULL, 0},
    {"schedules", KFP_MESSAGES, &inner, NULL, 0},
    {0},
};
static const struct kfp_message outer = {outer_fields};

struct row {
    const char *name, *in;
    const char *out;   /* compact, keys sorted; or NULL */
    const char *error; /* part of the message */
};

static const struct row rows[] = {
    {"empty", "{}", "{}", NULL},
    {"snake", "{\"display_name\":\"a\"}", "{\"display_name\":\"a\"}", NULL},
    {"camel", "{\"displayName\":\"a\",\"noCatchup\":true}",
        "{\"display_name\":\"a\",\"no_catchup\":true}", NULL},
    {"both spellings", "{\"displayName\":\"a\",\"display_name\":\"b\"}", NULL, "given twice"},
    {"null is unset", "{\"display_name\":null,\"spec\":null,\"version_id\":\"v\"}",
        "{\"version_id\":\"v\"}", NULL},
    {"unknown", "{\"displayname\":\"a\"}", NULL, "displayname: unknown field"},
    {"unknown inside", "{\"periodic_schedule\":{\"cron\":\"x\"}}", NULL,
        "periodic_schedule.cron: unknown field"},
    {"wrong kind of text", "{\"display_name\":1}", NULL, "display_name: expected a string"},
    {"bool is not a number", "{\"no_catchup\":1}", NULL, "expected true or false"},
    {"i64 as text", "{\"periodic_schedule\":{\"interval_second\":\"60\"}}",
        "{\"periodic_schedule\":{\"interval_second\":60}}", NULL},
    {"i64 as number", "{\"periodicSchedule\":{\"intervalSecond\":60}}",
        "{\"periodic_schedule\":{\"interval_second\":60}}", NULL},
    {"i64 as 60.0", "{\"periodic_schedule\":{\"interval_second\":60.0}}",
        "{\"periodic_schedule\":{\"interval_second\":60}}", NULL},
    {"i64 as \"6e1\"", "{\"periodic_schedule\":{\"interval_second\":\"6e1\"}}",
        "{\"periodic_schedule\":{\"interval_second\":60}}", NULL},
    {"i64 with fraction", "{\"periodic_schedule\":{\"interval_second\":1.5}}", NULL,
        "expected a whole number"},
    {"i64 as empty text", "{\"periodic_schedule\":{\"interval_second\":\"\"}}", NULL,
        "expected a whole number"},
    {"i32 too large", "{\"small_number\":2147483648}", NULL, "outside"},
    {"i32 nan", "{\"small_number\":\"nan\"}", NULL, "expected a whole number"},
    {"enum name", "{\"colour\":\"BLUE\"}", "{\"colour\":\"BLUE\"}", NULL},
    {"enum number", "{\"colour\":3}", "{\"colour\":\"BLUE\"}", NULL},
    {"enum unknown name", "{\"colour\":\"blue\"}", NULL, "one of UNSPECIFIED, RED, BLUE"},
    {"enum unknown number", "{\"colour\":2}", NULL, "colour: unknown value"},
    {"oneof twice", "{\"version_id\":\"v\",\"spec\":{}}", NULL, "only one of version_id and spec"},
    {"oneof with empty text", "{\"version_id\":\"\",\"spec\":{}}",
        "{\"spec\":{},\"version_id\":\"\"}", NULL},
    {"time with zone", "{\"periodic_schedule\":{\"start_time\":\"1970-01-01T01:00:01.5+01:00\"}}",
        "{\"periodic_schedule\":{\"start_time\":1500000}}", NULL},
    {"time without zone", "{\"periodic_schedule\":{\"start_time\":\"2026-01-01T00:00:00\"}}", NULL,
        "periodic_schedule.start_time"},
    {"time as number", "{\"periodic_schedule\":{\"start_time\":1}}", NULL, "RFC 3339"},
    {"struct keeps its content", "{\"spec\":{\"aB\":[1,null,{\"c\":1.5}]}}",
        "{\"spec\":{\"aB\":[1,null,{\"c\":1.5}]}}", NULL},
    {"struct must be an object", "{\"spec\":[]}", NULL, "spec: expected an object"},
    {"tags", "{\"tags\":{\"a\":\"1\"}}", "{\"tags\":{\"a\":\"1\"}}", NULL},
    {"tags with a number", "{\"tags\":{\"a\":1}}", NULL, "tags.a: expected a string"},
    {"output only is dropped", "{\"created_at\":\"whatever\",\"createdAt\":{}}", "{}", NULL},
    {"lists", "{\"words\":[\"a\"],\"numbers\":[\"1\",2]}", "{\"numbers\":[1,2],\"words\":[\"a\"]}",
        NULL},
    {"list of the wrong kind", "{\"words\":[\"a\",1]}", NULL, "words[1]: expected a string"},
    {"messages", "{\"schedules\":[{\"intervalSecond\":1}]}",
        "{\"schedules\":[{\"interval_second\":1}]}", NULL},
    {"bad message in a list", "{\"schedules\":[{},{\"x\":1}]}", NULL,
        "schedules[1].x: unknown field"},
    {"not an object", "[]", NULL, "request body: expected an object"},
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct row *row = &rows[i];
        struct err err = ERR_INIT;
        json_t *in = jread_text(row->in, strlen(row->in), "test", &err);
        assert_non_null(in);
        json_t *out = kfp_read(&outer, in, "", &err);
        if (row->out != NULL) {
            if (out == NULL) {
                fail_msg("%s: %s", row->name, err.msg);
            }
            char *text = jtext(out);
            if (strcmp(text, row->out) != 0) {
                fail_msg("%s: got %s", row->name, text);
            }
            free(text);
        } else {
            assert_null(out);
            if (strstr(err.msg, row->error) == NULL || err.code != ERR_INVALID) {
                fail_msg("%s: got '%s'", row->name, err.msg);
            }
        }
        json_decref(out);
        json_decref(in);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
