/* SPDX-License-Identifier: Apache-2.0 */
/* Subscriptions as values: what is refused and why, records old and new, which events match. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/util.h"
#include "webhooks/egress.h"
#include "webhooks/out/subscription.h"

#define SECRET "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

#define PRIVATE                                                                                    \
    "whsk_6Xb/dCcHpPea21PS1N9VY/"                                                                  \
    "NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
#define PUBLIC "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
#define ZEROS_64                                                                                   \
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=="

static json_t *parse(const char *text)
{
    json_error_t error;
    json_t *value = json_loads(text, 0, &error);
    if (value == NULL) {
        fail_msg("%s: %s", text, error.text);
    }
    return value;
}

static struct subscription *from_json(const json_t *body, struct err *err)
{
    struct egress *egress = egress_new(&(struct egress_settings){.allow = "10.0.0.0/8"}, err);
    struct subscription *s = subscription_from_body(body, egress, err);
    egress_free(egress);
    return s;
}

static struct subscription *from_body(const char *text, struct err *err)
{
    CLEANUP(json_decrefp) json_t *body = parse(text);
    return from_json(body, err);
}

/* The members of a good body, and one more. */
#define WITH(member) "{\"url\":\"https://example.com/h\"," member "}"
#define HEADER(name, value) WITH("\"headers\":{\"" name "\":\"" value "\"}")

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name, *body, *says;
    } rows[] = {
        {"no url", "{}", "url"},
        {"url of a wrong kind", "{\"url\":5}", "url: expected a string"},
        {"another scheme", "{\"url\":\"ftp://example.com\"}", "http"},
        {"user in the url", "{\"url\":\"https://u:p@example.com\"}", "user"},
        {"private address", "{\"url\":\"https://192.168.1.1/\"}", "--webhook-allow"},
        {"unknown member", WITH("\"evnts\":[]"), "evnts"},
        {"read-only member", WITH("\"id\":\"x\""), "id"},
        {"secrets", WITH("\"secrets\":[]"), "secrets"},
        {"no events", WITH("\"events\":[]"), "events: give 1 to 32"},
        {"events of a wrong kind", WITH("\"events\":\"*\""), "events: expected"},
        {"capital letters in a glob", WITH("\"events\":[\"*\",\"Run.*\"]"), "events[1]"},
        {"glob of a wrong kind", WITH("\"events\":[5]"), "events[0]"},
        {"empty glob", WITH("\"events\":[\"\"]"), "events[0]"},
        {"no such event", WITH("\"events\":[\"run.*\",\"task.finishd\"]"),
            "events[1]: there is no event of type 'task.finishd', but task.started, task."},
        {"no such events", WITH("\"events\":[\"step.*\"]"), "events/types"},
        {"enabled of a wrong kind", WITH("\"enabled\":\"yes\""), "enabled: expected"},
        {"namespaces of a wrong kind", WITH("\"namespaces\":{}"), "namespaces: expected"},
        {"empty experiment", WITH("\"experiments\":[\"a\",\"\"]"), "experiments[1]"},
        {"pipeline of a wrong kind", WITH("\"pipelines\":[true]"), "pipelines[0]"},
        {"recurring run of a wrong kind", WITH("\"recurring_runs\":[[]]"), "recurring_runs[0]"},
        {"filter that is no expression", WITH("\"filter\":\"data.x ==\""), "filter: column"},
        {"unknown variable in a filter", WITH("\"filter\":\"date.x == 1\""), "date"},
        {"filter without a verdict", WITH("\"filter\":\"'a'\""), "not true or false"},
        {"filter of a wrong kind", WITH("\"filter\":5"), "filter: expected a string"},
        {"unknown format", WITH("\"format\":\"xml\""), "standard, cloudevents"},
        {"unknown payload", WITH("\"payload\":\"half\""), "full, thin"},
        {"unknown order", WITH("\"order\":\"all\""), "none, run"},
        {"headers as a list", WITH("\"headers\":[]"), "headers: expected an object"},
        {"header of a wrong kind", WITH("\"headers\":{\"x-a\":5}"), "headers.x-a"},
        {"no header name", HEADER("", "v"), "not the name of a header"},
        {"space in a header name", HEADER("x a", "v"), "not the name of a header"},
        {"colon in a header name", HEADER("x:", "v"), "not the name of a header"},
        {"line break in a header name", HEADER("x\\r\\ny", "v"), "not the name of a header"},
        {"header name not ASCII", HEADER("x-\u00e9", "v"), "not the name of a header"},
        {"CR in a header", HEADER("x-a", "v\\rHost: h"), "character 2"},
        {"LF in a header", HEADER("x-a", "v\\nw"), "line breaks"},
        {"tab in a header", HEADER("x-a", "v\\tw"), "control characters"},
        {"DEL in a header", HEADER("x-a", "v\\u007f"), "character 2"},
        {"header not ASCII", HEADER("x-a", "\u00e9"), "character 1"},
        {"empty header", HEADER("x-a", ""), "not empty"},
        {"space before a header", HEADER("x-a", " v"), "no space at its ends"},
        {"space after a header", HEADER("x-a", "v "), "no space at its ends"},
        {"same header twice", WITH("\"headers\":{\"x-a\":\"1\",\"X-A\":\"2\"}"), "given twice"},
        {"host", HEADER("Host", "v"), "not for users"},
        {"content-type", HEADER("content-TYPE", "v"), "not for users"},
        {"content-length", HEADER("Content-Length", "1"), "not for users"},
        {"connection", HEADER("Connection", "close"), "not for users"},
        {"keep-alive", HEADER("Keep-Alive", "v"), "not for users"},
        {"transfer-encoding", HEADER("Transfer-Encoding", "chunked"), "not for users"},
        {"te", HEADER("TE", "trailers"), "not for users"},
        {"trailer", HEADER("Trailer", "v"), "not for users"},
        {"upgrade", HEADER("Upgrade", "h2c"), "not for users"},
        {"expect", HEADER("Expect", "100-continue"), "not for users"},
        {"proxy-authorization", HEADER("Proxy-Authorization", "v"), "not for users"},
        {"webhook-id", HEADER("Webhook-Id", "v"), "not for users"},
        {"webhook-anything", HEADER("webhook-x", "v"), "not for users"},
        {"ce-id", HEADER("CE-id", "v"), "not for users"},
        {"no attempts at once", WITH("\"max_in_flight\":0"), "max_in_flight"},
        {"too many attempts at once", WITH("\"max_in_flight\":65"), "max_in_flight"},
        {"negative rate", WITH("\"max_per_second\":-1"), "max_per_second"},
        {"negative timeout", WITH("\"timeout_ms\":-1"), "timeout_ms"},
        {"timeout too short", WITH("\"timeout_ms\":99"), "timeout_ms: give 100"},
        {"timeout too long", WITH("\"timeout_ms\":600001"), "timeout_ms"},
        {"secret without prefix", WITH("\"secret\":\"abc\""), "whsec_"},
        {"unknown scheme", WITH("\"scheme\":\"v2\""), "v1a (a key pair"},
        {"secret of another scheme", WITH("\"scheme\":\"v1a\",\"secret\":\"" SECRET "\""), "whsk_"},
        {"key pair of another scheme", WITH("\"scheme\":\"v1\",\"secret\":\"" PRIVATE "\""),
            "whsec_"},
        {"short key pair", WITH("\"secret\":\"whsk_AAAA\""), "64 bytes"},
        {"public key that is another's", WITH("\"secret\":\"whsk_" ZEROS_64 "\""),
            "the public key of"},
        {"short secret", WITH("\"secret\":\"whsec_AAAA\""), "24 to 64 bytes"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = ERR_INIT;
        struct subscription *s = from_body(rows[i].body, &err);
        if (s != NULL || err.code != ERR_INVALID || strstr(err.msg, rows[i].says) == NULL) {
            fail_msg(
                "%s: got %s '%s'", rows[i].name, s != NULL ? "a subscription" : "error", err.msg);
        }
    }
}

static void test_header_ceilings(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    CLEANUP(json_decrefp) json_t *headers = json_object();
    CLEANUP(json_decrefp)
    json_t *body = json_pack("{s:s,s:O}", "url", "https://example.com", "headers", headers);
    for (int i = 0; i < SUBSCRIPTION_HEADERS_MAX; i++) {
        CLEANUP(cleanup_free) char *name = xasprintf("x-%02d", i);
        json_object_set_new(headers, name, json_string("v"));
    }
    struct subscription *s = from_json(body, &err);
    assert_non_null(s);
    assert_int_equal(s->header_count, SUBSCRIPTION_HEADERS_MAX);
    subscription_free(s);
    json_object_set_new(headers, "x-one-more", json_string("v"));
    assert_null(from_json(body, &err));
    assert_non_null(strstr(err.msg, "17 are too many; at most 16"));

    json_object_clear(headers);
    char big[4097];
    memset(big, 'v', sizeof big);
    big[4093] = '\0';
    json_object_set_new(headers, "x-a", json_string(big)); /* 4096 with its name */
    s = from_json(body, &err);
    assert_non_null(s);
    subscription_free(s);
    json_object_set_new(headers, "x", json_string("v"));
    assert_null(from_json(body, &err));
    assert_non_null(strstr(err.msg, "more than 4096 bytes"));
    assert_null(strstr(err.msg, "vvv"));
}

#define EVERYTHING                                                                                 \
    "{\"url\":\"https://10.1.2.3/"                                                                 \
    "hook?a=b\",\"name\":\"n\",\"events\":[\"run.*\",\"task.finished\"],"                          \
    "\"enabled\":false,\"namespaces\":[\"ns\"],\"experiments\":[\"e1\",\"e2\"],\"pipelines\":["    \
    "\"p\"],"                                                                                      \
    "\"recurring_runs\":[\"r\"],\"format\":\"cloudevents-binary\",\"payload\":\"thin\","           \
    "\"headers\":{\"Authorization\":\"Bearer hush\",\"User-Agent\":\"me/1\"},\"order\":\"run\","   \
    "\"filter\":\"data.n > "                                                                       \
    "1\",\"max_in_flight\":3,\"max_per_second\":7,\"timeout_ms\":2500,\"secret\":\"" SECRET "\"}"

static void test_round_trip(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct subscription *s = from_body(EVERYTHING, &err);
    assert_non_null(s);
    CLEANUP(json_decrefp) json_t *record = subscription_record(s);
    struct subscription *again = subscription_from_record(record, &err);
    if (again == NULL) {
        fail_msg("%s", err.msg);
    }
    CLEANUP(json_decrefp) json_t *record_again = subscription_record(again);
    assert_true(json_equal(record, record_again));
    assert_int_equal(jget_i64(record, "v", 0), 2);
    assert_string_equal(again->host, "10.1.2.3");
    assert_false(again->is_enabled);
    assert_int_equal(again->events.count, 2);
    assert_string_equal(again->experiments.items[1], "e2");
    assert_int_equal(again->format, SUBSCRIPTION_FORMAT_CLOUDEVENTS_BINARY);
    assert_int_equal(again->payload, SUBSCRIPTION_PAYLOAD_THIN);
    assert_true(again->is_ordered);
    assert_int_equal(again->max_in_flight, 3);
    assert_int_equal(again->max_per_second, 7);
    assert_int_equal(again->timeout_ms, 2500);
    assert_int_equal(again->header_count, 2);
    assert_string_equal(again->headers[0].line, "Authorization: Bearer hush");
    assert_true(subscription_has_header(again, "user-agent"));
    assert_false(subscription_has_header(again, "user-agent-x"));
    assert_int_equal(again->secret_count, 1);
    assert_string_equal(again->secrets[0].text, SECRET);
    subscription_free(s);
    subscription_free(again);
}

static void test_shown_without_secrets(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct subscription *s = from_body(EVERYTHING, &err);
    assert_non_null(s);
    CLEANUP(json_decrefp) json_t *shown = subscription_shown(s);
    CLEANUP(cleanup_free) char *text = jtext(shown);
    assert_null(strstr(text, "hush"));
    assert_null(strstr(text, SECRET + strlen("whsec_")));
    CLEANUP(json_decrefp) json_t *names = parse("[\"Authorization\",\"User-Agent\"]");
    assert_true(json_equal(json_object_get(shown, "header_names"), names));
    assert_int_equal(json_array_size(json_object_get(shown, "secrets")), 1);
    subscription_free(s);
}

static void test_defaults_and_version_1(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    CLEANUP(json_decrefp)
    json_t *record = parse(
        "{\"v\":1,\"id\":\"0f3c0000-0000-4000-8000-000000000001\",\"name\":\"old\","
        "\"url\":\"https://example.com/h\",\"events\":[\"*\"],\"enabled\":false,\"created_us\":5,"
        "\"disabled_reason\":\"410\",\"secret\":\"" SECRET "\"}");
    struct subscription *s = subscription_from_record(record, &err);
    if (s == NULL) {
        fail_msg("%s", err.msg);
    }
    assert_string_equal(s->disabled_reason, "410");
    assert_int_equal(s->created_us, 5);
    assert_int_equal(s->rev, 0);
    assert_int_equal(s->format, SUBSCRIPTION_FORMAT_STANDARD);
    assert_int_equal(s->payload, SUBSCRIPTION_PAYLOAD_FULL);
    assert_false(s->is_ordered);
    assert_int_equal(s->max_in_flight, 16);
    assert_int_equal(s->max_per_second, 0);
    assert_int_equal(s->timeout_ms, 0);
    assert_string_equal(s->secrets[0].text, SECRET);
    CLEANUP(json_decrefp) json_t *now = subscription_record(s);
    assert_int_equal(jget_i64(now, "v", 0), 2);
    assert_null(json_object_get(now, "secret"));
    subscription_free(s);
    json_object_set_new(record, "v", json_integer(3));
    assert_null(subscription_from_record(record, &err));
    assert_non_null(strstr(err.msg, "version 3"));
}

#define STAMP_US (INT64_C(1614265330) * US_PER_S)
#define OTHER "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

static void test_signatures_of_live_secrets(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct subscription *s = from_body(WITH("\"secret\":\"" OTHER "\""), &err);
    assert_non_null(s);
    CLEANUP(json_decrefp) json_t *record = subscription_record(s);
    json_array_append_new(
        json_object_get(record, "secrets"), json_pack("{s:s,s:I}", "secret", SECRET, "expires_us",
                                                (json_int_t)(clock_now_us() + 60 * US_PER_S)));
    json_array_append_new(json_object_get(record, "secrets"),
        json_pack("{s:s,s:i}", "secret", OTHER, "expires_us", 1)); /* over */
    struct subscription *both = subscription_from_record(record, &err);
    assert_non_null(both);
    assert_int_equal(both->secret_count, 2);
    const char *body = "{\"test\": 2432232314}";
    CLEANUP(cleanup_free)
    char *list =
        subscription_sign(both, "msg_p5jXN8AQM9LWM0D4loKWxJek", STAMP_US, body, strlen(body));
    const char *second = strchr(list, ' ');
    assert_non_null(second);
    assert_string_equal(second + 1, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    assert_true(str_starts(list, "v1,"));
    both->secrets[1].expires_us = STAMP_US;
    CLEANUP(cleanup_free)
    char *one = subscription_sign(both, "msg_x", STAMP_US, body, strlen(body));
    assert_null(strchr(one, ' '));
    subscription_free(s);
    subscription_free(both);
}

static void test_key_pair(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct subscription *s = from_body(WITH("\"secret\":\"" PRIVATE "\""), &err);
    if (s == NULL) {
        fail_msg("%s", err.msg);
    }
    CLEANUP(json_decrefp) json_t *shown = subscription_shown(s);
    const json_t *one = json_array_get(json_object_get(shown, "secrets"), 0);
    assert_string_equal(jget_str(one, "public_key", ""), PUBLIC);
    assert_string_equal(jget_str(one, "scheme", ""), "v1a");
    const char *body = "{\"test\": 2432232314}";
    CLEANUP(cleanup_free)
    char *list = subscription_sign(s, "msg_p5jXN8AQM9LWM0D4loKWxJek", STAMP_US, body, strlen(body));
    assert_string_equal(list, "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZ"
                              "dpXwVLPo3mNl8EM+m7TBAg==");
    CLEANUP(json_decrefp) json_t *record = subscription_record(s);
    struct subscription *again = subscription_from_record(record, &err);
    assert_non_null(again);
    assert_true(again->secrets[0].is_key_pair);
    subscription_free(again);
    subscription_free(s);
    s = from_body(WITH("\"scheme\":\"v1a\""), &err);
    assert_non_null(s);
    assert_true(str_starts(s->secrets[0].text, "whsk_"));
    subscription_free(s);
}

static void test_matching(void **state)
{
    (void)state;
#define EVENT(type, data) "{\"id\":\"i\",\"type\":\"" type "\",\"time_us\":5,\"data\":{" data "}}"
    static const struct {
        const char *name, *members, *event;
        bool wants;
    } rows[] = {
        {"everything", "\"name\":\"\"", EVENT("run.started", ""), true},
        {"a glob", "\"events\":[\"task.*\",\"run.*\"]", EVENT("run.started", ""), true},
        {"no glob", "\"events\":[\"task.*\"]", EVENT("run.started", ""), false},
        {"disabled", "\"enabled\":false", EVENT("run.started", ""), false},
        {"an experiment", "\"experiments\":[\"a\",\"b\"]", EVENT("x.y", "\"experiment_id\":\"b\""),
            true},
        {"another experiment", "\"experiments\":[\"a\"]", EVENT("x.y", "\"experiment_id\":\"b\""),
            false},
        {"an event of no experiment", "\"experiments\":[\"a\"]", EVENT("x.y", ""), false},
        {"a pipeline by name", "\"pipelines\":[\"p\"]", EVENT("x.y", "\"pipeline_name\":\"p\""),
            true},
        {"a pipeline by id", "\"pipelines\":[\"p\"]",
            EVENT("x.y", "\"pipeline_id\":\"p\",\"pipeline_name\":\"q\""), true},
        {"a recurring run by name", "\"recurring_runs\":[\"r\"]",
            EVENT("x.y", "\"recurring_run_id\":\"i\",\"recurring_run_name\":\"r\""), true},
        {"both lists", "\"recurring_runs\":[\"r\"],\"pipelines\":[\"p\"]",
            EVENT("x.y", "\"recurring_run_id\":\"r\",\"pipeline_name\":\"p\""), true},
        {"one list of two", "\"recurring_runs\":[\"r\"],\"pipelines\":[\"p\"]",
            EVENT("x.y", "\"recurring_run_id\":\"r\",\"pipeline_name\":\"q\""), false},
        {"a namespace", "\"namespaces\":[\"n\"]", EVENT("x.y", "\"namespace\":\"n\""), true},
        {"a filter", "\"filter\":\"data.n > 1 && type.startsWith('run.')\"",
            EVENT("run.started", "\"n\":2"), true},
        {"a filter that says no", "\"filter\":\"data.n > 1\"", EVENT("x.y", "\"n\":1"), false},
        {"a filter about id and time", "\"filter\":\"id == 'i' && time.startsWith('1970-')\"",
            EVENT("x.y", ""), true},
        {"glob before filter", "\"events\":[\"run.*\"],\"filter\":\"data.none > 1\"",
            EVENT("x.y", ""), false},
        {"data of a wrong kind", "\"pipelines\":[\"p\"]", EVENT("x.y", "\"pipeline_name\":5"),
            false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = ERR_INIT;
        CLEANUP(cleanup_free)
        char *body = xasprintf("{\"url\":\"https://example.com\",%s}", rows[i].members);
        struct subscription *s = from_body(body, &err);
        if (s == NULL) {
            fail_msg("%s: %s", rows[i].name, err.msg);
        }
        CLEANUP(json_decrefp) json_t *event = parse(rows[i].event);
        if (subscription_wants(s, event, &err) != rows[i].wants) {
            fail_msg("%s: expected %s", rows[i].name, rows[i].wants ? "yes" : "no");
        }
        assert_int_equal(err.code, ERR_NONE);
        subscription_free(s);
    }
}

static void test_filter_that_errs(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct subscription *s = from_body(WITH("\"filter\":\"data.none > 1\""), &err);
    assert_non_null(s);
    CLEANUP(json_decrefp) json_t *event = parse(EVENT("x.y", "\"n\":1"));
    assert_false(subscription_wants(s, event, &err));
    assert_int_equal(err.code, ERR_INVALID);
    assert_non_null(strstr(err.msg, "none"));
    subscription_free(s);
}

static void test_ping_goes_to_one(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct subscription *s = from_body(
        WITH("\"filter\":\"data.none > 1\",\"events\":[\"run.*\"],\"pipelines\":[\"p\"]"), &err);
    assert_non_null(s);
    CLEANUP(json_decrefp) json_t *event = parse(EVENT(SUBSCRIPTION_PING, ""));
    jset_str(event, "to", s->id);
    assert_true(subscription_wants(s, event, &err));
    jset_str(event, "to", "another");
    assert_false(subscription_wants(s, event, &err));
    assert_int_equal(err.code, ERR_NONE);
    subscription_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_header_ceilings),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_shown_without_secrets),
        cmocka_unit_test(test_defaults_and_version_1),
        cmocka_unit_test(test_signatures_of_live_secrets),
        cmocka_unit_test(test_key_pair),
        cmocka_unit_test(test_matching),
        cmocka_unit_test(test_filter_that_errs),
        cmocka_unit_test(test_ping_goes_to_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
