/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exact bytes of each format, what may go into them, and how they are made small enough. That
 * other people's software reads them is shown by tests/integration/test_event_formats.py.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/util.h"
#include "webhooks/out/envelope.h"

#define RUN "4f9c1b1e-7c1d-4e0a-9a53-0d9b1c4f7e21"
#define ART "5f9c1b1e-7c1d-4e0a-9a53-0d9b1c4f7e22"
#define EVENT_HEAD "{\"id\":\"4f000000-0000-5000-8000-000000000001\",\"time_us\":1764408780000001,"
#define OF_RUN                                                                                     \
    "\"run_id\":\"" RUN "\",\"run_name\":\"n\",\"experiment_id\":\"e\",\"pipeline_name\":\"p\""
#define STANDARD SUBSCRIPTION_FORMAT_STANDARD
#define STRUCTURED SUBSCRIPTION_FORMAT_CLOUDEVENTS
#define BINARY SUBSCRIPTION_FORMAT_CLOUDEVENTS_BINARY
#define CDEVENTS SUBSCRIPTION_FORMAT_CDEVENTS
#define CDEVENTS_0_4 SUBSCRIPTION_FORMAT_CDEVENTS_0_4
#define SLACK SUBSCRIPTION_FORMAT_SLACK
#define FULL SUBSCRIPTION_PAYLOAD_FULL
#define THIN SUBSCRIPTION_PAYLOAD_THIN
#define CE_TYPE "application/cloudevents+json; charset=utf-8"

static json_t *event_of(const char *type, const char *data)
{
    struct err err = ERR_INIT;
    CLEANUP(cleanup_free)
    char *text = xasprintf(EVENT_HEAD "\"type\":\"%s\",\"data\":{%s}}", type, data);
    json_t *event = jread_text(text, strlen(text), "event", &err);
    assert_string_equal(err.msg, "");
    assert_non_null(event);
    return event;
}

#define FINISHED                                                                                   \
    OF_RUN ",\"recurring_run_id\":\"" ART                                                          \
           "\",\"state\":\"FAILED\",\"error\":\"task t failed with exit code 1\","                 \
           "\"started_us\":1764408600000000,\"ended_us\":1764408780000001,\"outputs\":{}"
#define FINISHED_OUT                                                                               \
    "{\"ended_us\":1764408780000001,\"error\":\"task t failed with exit code 1\","                 \
    "\"experiment_id\":\"e\",\"outputs\":{},\"pipeline_name\":\"p\",\"recurring_run_id\":\"" ART   \
    "\",\"run_id\":\"" RUN "\",\"run_name\":\"n\",\"started_us\":1764408600000000,"                \
    "\"state\":\"FAILED\"}"
#define ARTIFACT                                                                                   \
    OF_RUN                                                                                         \
    ",\"task_id\":\"" ART "\",\"task\":\"t\",\"attempt\":0,\"artifact_id\":\"" ART                 \
    "\",\"name\":\"m/\xE2\x98\x83 1\",\"uri\":\"file:///x\",\"artifact_type\":\"system.M\","       \
    "\"metadata\":{},\"size\":1536,\"digest\":\"sha256:ab\""

static const struct {
    const char *name;
    enum subscription_format format;
    enum subscription_payload payload;
    const char *public_url, *type, *data;
    const char *content_type, *body;
    const char *headers; /* joined by '|', or NULL */
} forms[] = {
    {"standard", STANDARD, FULL, NULL, "run.finished", FINISHED, "application/json",
        "{\"data\":" FINISHED_OUT ",\"id\":\"4f000000-0000-5000-8000-000000000001\","
        "\"timestamp\":\"2025-11-29T09:33:00.000001Z\",\"type\":\"run.finished\",\"version\":1}",
        NULL},
    {"standard, thin", STANDARD, THIN, NULL, "run.finished", FINISHED, "application/json",
        "{\"data\":{\"experiment_id\":\"e\",\"recurring_run_id\":\"" ART "\",\"run_id\":\"" RUN
        "\",\"state\":\"FAILED\"},\"id\":\"4f000000-0000-5000-8000-000000000001\","
        "\"timestamp\":\"2025-11-29T09:33:00.000001Z\",\"type\":\"run.finished\",\"version\":1}",
        NULL},
    {"a type that is in no catalogue says nothing when thin", STANDARD, THIN, NULL, "run.vanished",
        OF_RUN, "application/json",
        "{\"data\":{},\"id\":\"4f000000-0000-5000-8000-000000000001\","
        "\"timestamp\":\"2025-11-29T09:33:00.000001Z\",\"type\":\"run.vanished\","
        "\"version\":1}",
        NULL},
    {"structured", STRUCTURED, FULL, NULL, "run.finished", FINISHED, CE_TYPE,
        "{\"data\":" FINISHED_OUT
        ",\"datacontenttype\":\"application/json\",\"id\":\"4f000000-0000-5000-8000-000000000001\","
        "\"source\":\"/apis/v2beta1/runs/" RUN "\",\"specversion\":\"1.0\",\"subject\":\"" RUN
        "\",\"time\":\"2025-11-29T09:33:00.000001Z\",\"type\":\"rondo.run.finished\","
        "\"typeversion\":\"1\"}",
        NULL},
    {"binary, with a subject that headers cannot have", BINARY, THIN, "https://r.example/x",
        "task.started",
        OF_RUN ",\"task_id\":\"" ART
               "\",\"task\":\"Euro \xE2\x82\xAC \xF0\x9F\x98\x80\",\"attempt\":2",
        "application/json",
        "{\"attempt\":2,\"experiment_id\":\"e\",\"run_id\":\"" RUN
        "\",\"task\":\"Euro \xE2\x82\xAC \xF0\x9F\x98\x80\",\"task_id\":\"" ART "\"}",
        "ce-specversion: 1.0|ce-id: 4f000000-0000-5000-8000-000000000001|"
        "ce-source: https://r.example/x/apis/v2beta1/runs/" RUN "|ce-type: rondo.task.started|"
        "ce-time: 2025-11-29T09:33:00.000001Z|ce-subject: "
        "Euro%20%E2%82%AC%20%F0%9F%98%80|"
        "ce-dataschema: https://r.example/x/apis/rondo/v1/events/types/task.started/schema#/$defs/"
        "thin|ce-typeversion: 1"},
    {"binary: quotes, per cent, line ends and NEL", BINARY, THIN, NULL, "task.started",
        OF_RUN ",\"task_id\":\"" ART
               "\",\"task\":\"a\\\"b%\\r\\nX-Evil: 1\\u0085\\u007f\",\"attempt\":0",
        "application/json",
        "{\"attempt\":0,\"experiment_id\":\"e\",\"run_id\":\"" RUN
        "\",\"task\":\"a\\\"b%\\r\\nX-Evil: 1\xC2\x85\x7F\",\"task_id\":\"" ART "\"}",
        "ce-specversion: 1.0|ce-id: 4f000000-0000-5000-8000-000000000001|"
        "ce-source: /apis/v2beta1/runs/" RUN "|ce-type: rondo.task.started|"
        "ce-time: 2025-11-29T09:33:00.000001Z|ce-subject: "
        "a%22b%25%EF%BF%BD%EF%BF%BDX-Evil:%201%EF%BF%BD%EF%BF%BD|ce-typeversion: 1"},
    {"cdevents", CDEVENTS, THIN, NULL, "run.finished", FINISHED, CE_TYPE,
        "{\"data\":{\"context\":{\"chainId\":\"" RUN
        "\",\"id\":\"4f000000-0000-5000-8000-000000000001\",\"links\":[{\"from\":{\"contextId\":"
        "\"4f341f74-4872-5c15-9bb0-9cdaf21fe3d0\"},\"linkType\":\"END\",\"tags\":{}}],"
        "\"source\":\"/apis/v2beta1/runs/" RUN "\",\"specversion\":\"0.5.1\","
        "\"timestamp\":\"2025-11-29T09:33:00.000001Z\","
        "\"type\":\"dev.cdevents.pipelinerun.finished.0.3.0\"},\"customData\":{\"experiment_id\":"
        "\"e\",\"recurring_run_id\":\"" ART "\",\"run_id\":\"" RUN
        "\",\"state\":\"FAILED\"},\"customDataContentType\":\"application/json\",\"subject\":{"
        "\"content\":{\"outcome\":\"failure\",\"pipelineName\":\"\",\"uri\":\"urn:uuid:" RUN
        "\"},\"id\":\"" RUN "\"}},\"datacontenttype\":\"application/json\","
        "\"dataschema\":\"https://cdevents.dev/0.5.1/schema/pipelinerun-finished-event\","
        "\"id\":\"4f000000-0000-5000-8000-000000000001\",\"source\":\"/apis/v2beta1/runs/" RUN
        "\",\"specversion\":\"1.0\",\"subject\":\"" RUN
        "\",\"time\":\"2025-11-29T09:33:00.000001Z\","
        "\"type\":\"dev.cdevents.pipelinerun.finished.0.3.0\"}",
        NULL},
    {"slack", SLACK, FULL, "https://r.example", "run.finished", FINISHED, "application/json",
        "{\"blocks\":[{\"elements\":[{\"elements\":[{\"text\":\"run \",\"type\":\"text\"},"
        "{\"text\":\"n\",\"type\":\"link\",\"url\":\"https://r.example/apis/v2beta1/runs/" RUN
        "\"},{\"text\":\" \",\"type\":\"text\"},{\"style\":{\"bold\":true},\"text\":\"FAILED\","
        "\"type\":\"text\"},{\"text\":\" after 3 min\",\"type\":\"text\"},{\"text\":\": "
        "\",\"type\":"
        "\"text\"},{\"text\":\"task t failed with exit code 1\",\"type\":\"text\"}],\"type\":"
        "\"rich_text_section\"}],\"type\":\"rich_text\"}],\"mrkdwn\":false,"
        "\"text\":\"run <https://r.example/apis/v2beta1/runs/" RUN
        "|n> FAILED after 3 min: task t failed with exit code 1\"}",
        NULL},
};

static void test_bytes(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        print_message("%s\n", forms[i].name);
        json_t *event = event_of(forms[i].type, forms[i].data);
        CLEANUP(envelope_done) struct envelope got = {0};
        assert_int_equal(
            envelope_make(forms[i].public_url, forms[i].format, forms[i].payload, event, &got), 0);
        assert_string_equal(got.body, forms[i].body);
        assert_int_equal(got.body_len, strlen(forms[i].body));
        assert_string_equal(got.content_type, forms[i].content_type);
        char headers[2048] = "";
        for (size_t h = 0; h < json_array_size(got.headers); h++) {
            size_t len = strlen(headers);
            snprintf(headers + len, sizeof headers - len, "%s%s", h == 0 ? "" : "|",
                json_string_value(json_array_get(got.headers, h)));
        }
        assert_string_equal(headers, forms[i].headers == NULL ? "" : forms[i].headers);
        json_decref(event);
    }
}

/* One member of what a format says, by the names on the way to it. */
static const char *said(json_t *body, const char *path)
{
    char name[64];
    for (; *path != '\0' && body != NULL; path += strcspn(path, "/"), path += *path == '/') {
        snprintf(name, sizeof name, "%.*s", (int)strcspn(path, "/"), path);
        body = json_is_array(body) ? json_array_get(body, (size_t)(name[0] - '0'))
                                   : json_object_get(body, name);
    }
    return body == NULL ? "(none)" : json_string_value(body);
}

static void test_said(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum subscription_format format;
        const char *type, *data, *path, *expected;
    } rows[] = {
        {"a push packages", CDEVENTS, "artifact.created",
            ARTIFACT ",\"repository\":\"a b/c\",\"commit\":\"abc\"", "data/context/type",
            "dev.cdevents.artifact.packaged.0.3.0"},
        {"and says of what", CDEVENTS, "artifact.created",
            ARTIFACT ",\"repository\":\"a b/c\",\"commit\":\"abc\"",
            "data/subject/content/change/source", "a%20b/c"},
        {"others publish", CDEVENTS, "artifact.created", ARTIFACT, "data/context/type",
            "dev.cdevents.artifact.published.0.3.0"},
        {"purl", CDEVENTS, "artifact.created", ARTIFACT, "data/subject/id",
            "pkg:generic/p/m%2F%E2%98%83%201@" ART "?checksum=sha256:ab"},
        {"0.4 names its subject", CDEVENTS_0_4, "artifact.created", ARTIFACT, "data/subject/type",
            "artifact"},
        {"0.4 has another name for the version", CDEVENTS_0_4, "run.started",
            OF_RUN ",\"scheduled_us\":1,\"trigger\":{}", "data/context/version", "0.4.1"},
        {"0.4 has another name for the place", CDEVENTS_0_4, "run.started",
            OF_RUN ",\"scheduled_us\":1,\"trigger\":{}", "data/subject/content/url",
            "urn:uuid:" RUN},
        {"a run comes after its creation", CDEVENTS, "run.started",
            OF_RUN ",\"scheduled_us\":1,\"trigger\":{\"kind\":\"api\"}",
            "data/context/links/0/linkType", "PATH"},
        {"a push triggers", CDEVENTS, "run.created",
            OF_RUN ",\"repository\":\"a/b\",\"scheduled_us\":1,\"trigger\":{\"kind\":\"git\"}",
            "data/context/links/0/linkKind", "TRIGGER"},
        {"types with underscores", CDEVENTS, "recurring_run.failed_to_start",
            "\"recurring_run_id\":\"" ART "\",\"reason\":\"x\"", "data/context/type",
            "dev.cdeventsx.rondo-recurringrun.failedtostart.1.0.0"},
        {"no run, no chain", CDEVENTS, "recurring_run.enabled",
            "\"recurring_run_id\":\"" ART "\",\"reason\":\"\"", "data/context/chainId", "(none)"},
        {"custom events of 0.4", CDEVENTS_0_4, "recurring_run.enabled",
            "\"recurring_run_id\":\"" ART "\",\"reason\":\"\"", "data/subject/type",
            "rondo-recurringrun"},
        {"a type of the future", CDEVENTS, "run.vanished", OF_RUN, "data/context/type",
            "dev.cdeventsx.rondo-run.vanished.1.0.0"},
        {"source of recurring runs", STRUCTURED, "recurring_run.fired",
            OF_RUN ",\"recurring_run_id\":\"" ART "\"", "source",
            "/apis/v2beta1/recurringruns/" ART},
        {"source of subscriptions", STRUCTURED, "delivery.exhausted",
            "\"subscription_id\":\"" ART "\",\"delivery_id\":\"d\"", "source",
            "/apis/rondo/v1/subscriptions/" ART},
        {"subject of deliveries", STRUCTURED, "delivery.exhausted",
            "\"subscription_id\":\"" ART "\",\"delivery_id\":\"d\"", "subject", "d"},
        {"ids cannot leave their place", STRUCTURED, "run.started", "\"run_id\":\"../x?y#z\"",
            "source", "/apis/v2beta1/runs/..%2Fx%3Fy%23z"},
        {"subject of artifacts", STRUCTURED, "artifact.created", ARTIFACT, "subject",
            "t/m/\xE2\x98\x83 1"},
        {"slack: nobody is called", SLACK, "run.notice",
            "\"run_id\":\"r\",\"run_name\":\"<!channel> & *b*\\n<http://evil|x>\",\"text\":\"t\"",
            "text", "run &lt;!channel&gt; &amp; *b* &lt;http://evil|x&gt;: t"},
        {"slack: in blocks it is text", SLACK, "run.notice",
            "\"run_id\":\"r\",\"run_name\":\"<!channel> & *b*\",\"text\":\"t\"",
            "blocks/0/elements/0/elements/1/text", "<!channel> & *b*"},
        {"slack: artifact", SLACK, "artifact.created", ARTIFACT, "text",
            "artifact m/\xE2\x98\x83 1 (1.5 KiB) created by task t of run n"},
        {"slack: skipped", SLACK, "task.skipped",
            OF_RUN ",\"task\":\"t\",\"reason\":\"upstream_failed\",\"upstream\":\"u\"", "text",
            "task t of run n was skipped: upstream_failed (u)"},
        {"slack: fired late", SLACK, "recurring_run.fired",
            OF_RUN ",\"recurring_run_name\":\"nightly\",\"lateness_us\":7000000", "text",
            "recurring run nightly fired run n, 7 s late"},
        {"slack: missed", SLACK, "recurring_run.missed",
            "\"recurring_run_name\":\"nightly\",\"ticks\":3,\"reason\":\"catchup last\"", "text",
            "recurring run nightly missed 3 ticks: catchup last"},
        {"slack: rejected", SLACK, "trigger.rejected",
            "\"trigger_name\":\"on-push\",\"event\":\"push\",\"repository\":\"a/b\",\"ref\":"
            "\"refs/heads/x\",\"reason\":\"no branch matches\"",
            "text", "trigger on-push: push to a/b refs/heads/x started nothing: no branch matches"},
        {"slack: given up", SLACK, "delivery.exhausted",
            "\"subscription_name\":\"s\",\"event_type\":\"run.finished\",\"error\":\"e\"", "text",
            "webhook run.finished for subscription s was given up: e"},
        {"slack: nothing is known", SLACK, "run.started", "\"n\":1", "text", "run ? started"},
        {"slack: another program's type", SLACK, "other.thing", "\"n\":1", "text", "other.thing"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        print_message("%s\n", rows[i].name);
        json_t *event = event_of(rows[i].type, rows[i].data);
        CLEANUP(envelope_done) struct envelope got = {0};
        assert_int_equal(envelope_make(NULL, rows[i].format, FULL, event, &got), 0);
        json_t *body = json_loads(got.body, 0, NULL);
        assert_string_equal(said(body, rows[i].path), rows[i].expected);
        json_decref(body);
        json_decref(event);
    }
}

static json_t *long_event(size_t outputs, size_t error)
{
    json_t *event = event_of("run.finished", FINISHED);
    json_t *data = json_object_get(event, "data");
    char *text = xmalloc(outputs + error + 1);
    memset(text, 'x', outputs + error);
    text[outputs + error] = '\0';
    json_object_set_new(
        data, "outputs", json_pack("{s:o}", "parameters", json_stringn(text, outputs)));
    json_object_set_new(data, "error", json_stringn(text, error));
    free(text);
    return event;
}

static void test_size(void **state)
{
    (void)state;
    static const struct {
        size_t outputs, error;
        bool has_outputs, has_error;
    } rows[] = {
        {1000, 1000, true, true},
        {70000, 4000, false, true},
        {4000, 70000, true, false},
        {60000, 70000, true, false}, /* the largest first, and only as many as must be */
        {40000, 40000, false, true},
        {70000, 70000, false, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        json_t *event = long_event(rows[i].outputs, rows[i].error);
        for (int format = STANDARD; format <= CDEVENTS_0_4; format++) {
            CLEANUP(envelope_done) struct envelope got = {0};
            assert_int_equal(
                envelope_make(NULL, (enum subscription_format)format, FULL, event, &got), 0);
            assert_true(got.body_len <= ENVELOPE_BODY_MAX);
            json_t *body = json_loads(got.body, 0, NULL);
            assert_non_null(body);
            if (format == STANDARD) {
                json_t *data = json_object_get(body, "data");
                assert_int_equal(json_object_get(data, "outputs") != NULL, rows[i].has_outputs);
                assert_int_equal(
                    json_is_true(json_object_get(data, "outputs_left_out")), !rows[i].has_outputs);
                assert_int_equal(json_object_get(data, "error") != NULL, rows[i].has_error);
                assert_int_equal(
                    json_is_true(json_object_get(data, "error_left_out")), !rows[i].has_error);
                assert_string_equal(jget_str(data, "state", ""), "FAILED");
            }
            json_decref(body);
        }
        /* The event itself is as it was: other formats are made of it too. */
        assert_non_null(json_object_get(json_object_get(event, "data"), "outputs"));
        json_decref(event);
    }
}

/* A line for people is short whatever it is told, and no character is cut. */
static void test_slack_is_short(void **state)
{
    (void)state;
    json_t *event = long_event(10, 0);
    char *error = xmalloc(3001);
    for (size_t i = 0; i < 1000; i++) {
        memcpy(error + i * 3, "\xE2\x82\xAC", 4);
    }
    json_object_set_new(json_object_get(event, "data"), "error", json_string(error));
    CLEANUP(envelope_done) struct envelope got = {0};
    assert_int_equal(envelope_make(NULL, SLACK, FULL, event, &got), 0);
    json_t *body = json_loads(got.body, 0, NULL);
    const char *said_text = jget_str(body, "text", "");
    assert_true(strlen(said_text) < 400);
    assert_true(str_ends(said_text, "\xE2\x82\xAC\xE2\x80\xA6"));
    json_decref(body);
    json_decref(event);
    free(error);
}

static void test_set_makes_each_once(void **state)
{
    (void)state;
    json_t *event = event_of("run.finished", FINISHED);
    CLEANUP(envelope_set_done) struct envelope_set set = {.event = event};
    const struct envelope *one = envelope_set_get(&set, STANDARD, FULL);
    assert_ptr_equal(one, envelope_set_get(&set, STANDARD, FULL));
    assert_ptr_not_equal(one, envelope_set_get(&set, STANDARD, THIN));
    assert_string_not_equal(one->body, envelope_set_get(&set, STANDARD, THIN)->body);
    json_decref(event);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_said),
        cmocka_unit_test(test_size),
        cmocka_unit_test(test_slack_is_short),
        cmocka_unit_test(test_set_makes_each_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
