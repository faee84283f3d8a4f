/* SPDX-License-Identifier: Apache-2.0 */
/* List and watch against a server that says what each row's script says. */
#include "tests/support/fake_api.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"

#define POD(name, version)                                                                         \
    "{\"metadata\":{\"name\":\"" name "\",\"resourceVersion\":\"" version "\"}}"
#define EVENT(type, name, version) "{\"type\":\"" type "\",\"object\":" POD(name, version) "}\n"
#define BOOKMARK(version)                                                                          \
    "{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"" version "\"}}}\n"
#define GONE                                                                                       \
    "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":410,\"message\":\"too old\"}}\n"

/* One answer after another; the last one stays open if it is a watch. */
struct step {
    const char *expect; /* part of the request */
    int status;
    const char *body;      /* of a list, or of an error */
    const char *stream[4]; /* of a watch: its pieces */
};

struct scene {
    struct fake_api api;
    const struct step *steps;
    int step;
    bool is_wrong;
    struct buf told; /* "[" at the start of a list, "]" at its end, "ADDED a;" */
};

static void answer(struct fake_api *api, struct evhttp_request *req, const char *what)
{
    struct scene *s = CONTAINER_OF(api, struct scene, api);
    const struct step *step = &s->steps[s->step];
    if (step->expect == NULL) {
        fake_api_stream(api, req); /* after the script: a watch that stays open */
        s->step++;
        return;
    }
    s->step++;
    if (strstr(what, step->expect) == NULL) {
        fprintf(stderr, "request %s lacks %s\n", what, step->expect);
        s->is_wrong = true;
    }
    if (step->stream[0] == NULL) {
        fake_api_reply(req, step->status, step->body);
        return;
    }
    fake_api_stream(api, req);
    for (size_t i = 0; i < ARRAY_LEN(step->stream) && step->stream[i] != NULL; i++) {
        fake_api_send(api, step->stream[i]);
    }
    fake_api_end(api);
}

static void on_object(void *owner, const char *type, const json_t *object)
{
    struct scene *s = owner;
    buf_addf(&s->told, "%s %s;", type, jget_str(json_object_get(object, "metadata"), "name", "?"));
}

static void on_listing(void *owner)
{
    struct scene *s = owner;
    buf_addc(&s->told, '[');
}

static void on_listed(void *owner)
{
    struct scene *s = owner;
    buf_addc(&s->told, ']');
}

static bool is_through(void *owner)
{
    const struct scene *s = owner;
    return s->step > 0 && s->steps[s->step - 1].expect == NULL;
}

static const struct {
    const char *name;
    struct step steps[8];
    const char *told;
} rows[] = {
    {"list, then watch from there",
        {{"/pods?labelSelector=a%3Db&limit=500", 200,
             "{\"metadata\":{\"resourceVersion\":\"10\"},\"items\":[" POD("one", "3") "]}", {0}},
            {"&resourceVersion=10", 200, NULL,
                {EVENT("ADDED", "two", "11"), EVENT("DELETED", "one", "12")}},
            {"&resourceVersion=12", 200, NULL, {BOOKMARK("40")}},
            {"&resourceVersion=40", 200, NULL, {EVENT("MODIFIED", "two", "41")}}},
        "[ADDED one;]ADDED two;DELETED one;MODIFIED two;"},
    {"pages",
        {{"limit=500", 200,
             "{\"metadata\":{\"resourceVersion\":\"10\",\"continue\":\"a+b/c=\"},\"items\":[" POD(
                 "a", "1") "]}",
             {0}},
            {"continue=a%2Bb%2Fc%3D", 200,
                "{\"metadata\":{\"resourceVersion\":\"10\"},\"items\":[" POD("b", "1") "]}", {0}}},
        "[ADDED a;ADDED b;]"},
    {"a page that is gone lists anew",
        {{"limit=500", 200,
             "{\"metadata\":{\"resourceVersion\":\"10\",\"continue\":\"x\"},\"items\":[" POD(
                 "a", "1") "]}",
             {0}},
            {"continue=x", 410, "{\"kind\":\"Status\",\"code\":410}", {0}},
            {"limit=500", 200, "{\"metadata\":{\"resourceVersion\":\"20\"},\"items\":[]}", {0}},
            {"resourceVersion=20", 200, NULL, {BOOKMARK("21")}}},
        "[ADDED a;[]"},
    {"lists that fail are asked again",
        {{"limit=500", 500, "{}", {0}}, {"limit=500", 403, "not JSON", {0}},
            {"limit=500", 200, "{\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[]}", {0}}},
        "[[[]"},
    {"gone as an event lists anew",
        {{"limit=500", 200, "{\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[]}", {0}},
            {"resourceVersion=1", 200, NULL, {EVENT("ADDED", "a", "2"), GONE}},
            {"limit=500", 200,
                "{\"metadata\":{\"resourceVersion\":\"9\"},\"items\":[" POD("a", "2") "]}", {0}},
            {"resourceVersion=9", 200, NULL, {BOOKMARK("10")}}},
        "[]ADDED a;[ADDED a;]"},
    {"gone as a status lists anew",
        {{"limit=500", 200, "{\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[]}", {0}},
            {"resourceVersion=1", 410, "{\"kind\":\"Status\",\"code\":410}", {0}},
            {"limit=500", 200, "{\"metadata\":{\"resourceVersion\":\"9\"},\"items\":[]}", {0}}},
        "[][]"},
    {"other trouble resumes",
        {{"limit=500", 200, "{\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[]}", {0}},
            {"resourceVersion=1", 503, "later", {0}},
            {"resourceVersion=1", 200, NULL, {EVENT("ADDED", "a", "2")}},
            {"resourceVersion=2", 200, NULL, {BOOKMARK("3")}}},
        "[]ADDED a;"},
    {"lines come in any pieces",
        {{"limit=500", 200, "{\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[]}", {0}},
            {"resourceVersion=1", 200, NULL,
                {"{\"type\":\"ADD", "ED\",\"object\":" POD("a", "2"),
                    "}\n\n\n" EVENT("MODIFIED", "a", "3") "{\"type\":",
                    "\"DELETED\",\"object\":" POD("a", "4") "}\n"}},
            {"resourceVersion=4", 200, NULL, {BOOKMARK("5")}}},
        "[]ADDED a;MODIFIED a;DELETED a;"},
    {"half a line at the end is forgotten",
        {{"limit=500", 200, "{\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[]}", {0}},
            {"resourceVersion=1", 200, NULL, {EVENT("ADDED", "a", "2"), "{\"type\":\"DELE"}},
            {"resourceVersion=2", 200, NULL, {EVENT("DELETED", "a", "3")}}},
        "[]ADDED a;DELETED a;"},
    {"a line that is no event lists anew",
        {{"limit=500", 200, "{\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[]}", {0}},
            {"resourceVersion=1", 200, NULL, {"<html>\n"}},
            {"limit=500", 200, "{\"metadata\":{\"resourceVersion\":\"2\"},\"items\":[]}", {0}}},
        "[][]"},
};

static void run_row(size_t i)
{
    struct err err = ERR_INIT;
    struct scene s = {.steps = rows[i].steps};
    struct loop *loop = loop_new(&err);
    fake_api_init(&s.api, loop, answer);
    buf_init(&s.told, 10000);
    struct kube_watch_listener listener = {
        .on_object = on_object, .on_listing = on_listing, .on_listed = on_listed, .owner = &s};
    struct kube_watch *watch =
        kube_watch_start(s.api.kube, "/api/v1/namespaces/ns/pods", "a=b", &listener);
    fake_api_wait(&s.api, is_through, &s);
    kube_watch_stop(watch);
    if (s.is_wrong || strcmp(buf_str(&s.told), rows[i].told) != 0) {
        fail_msg("%s: told %s, expected %s", rows[i].name, buf_str(&s.told), rows[i].told);
    }
    buf_done(&s.told);
    fake_api_done(&s.api);
    loop_free(loop);
}

static void test_scripts(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        run_row(i);
    }
}

/* ---- single requests ---- */

struct asked {
    struct fake_api api;
    int status;
    const char *body;
    int done;
    enum err_code code;
    char msg[256];
};

static void answer_asked(struct fake_api *api, struct evhttp_request *req, const char *what)
{
    (void)what;
    const struct asked *a = CONTAINER_OF(api, struct asked, api);
    fake_api_reply(req, a->status, a->body);
}

static void on_done(void *owner, const json_t *reply, const struct err *err)
{
    struct asked *a = owner;
    a->done++;
    a->code = err != NULL ? err->code : ERR_NONE;
    snprintf(a->msg, sizeof a->msg, "%.255s", err != NULL ? err->msg : jget_str(reply, "kind", ""));
}

static bool is_done(void *owner)
{
    return ((const struct asked *)owner)->done > 0;
}

static void test_statuses(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *body;
        enum err_code code;
        const char *words;
    } replies[] = {
        {200, "{\"kind\":\"Pod\"}", ERR_NONE, "Pod"},
        {201, "{\"kind\":\"Pod\"}", ERR_NONE, "Pod"},
        {200, "<html>", ERR_TRANSIENT, "reply"},
        {400, "{\"message\":\"bad\"}", ERR_INVALID, "bad"},
        {401, "{}", ERR_UNAUTHENTICATED, "401"},
        {403, "{\"message\":\"forbidden: quota\"}", ERR_DENIED, "forbidden: quota"},
        {404, "not JSON", ERR_NOT_FOUND, "404"},
        {409, "{\"reason\":\"AlreadyExists\",\"message\":\"there\"}", ERR_EXISTS, "there"},
        {409, "{\"reason\":\"Conflict\"}", ERR_CONFLICT, "Conflict"},
        {410, "{}", ERR_PRECONDITION, "410"},
        {422, "{\"message\":\"spec.x: Invalid value\"}", ERR_INVALID, "spec.x"},
        {429, "{}", ERR_TRANSIENT, "429"},
        {500, "", ERR_TRANSIENT, "500"},
        {503, "{}", ERR_TRANSIENT, "503"},
        {302, "", ERR_INTERNAL, "302"},
    };
    struct err err = ERR_INIT;
    struct loop *loop = loop_new(&err);
    struct asked a = {0};
    fake_api_init(&a.api, loop, answer_asked);
    for (size_t i = 0; i < ARRAY_LEN(replies); i++) {
        a.status = replies[i].status;
        a.body = replies[i].body;
        a.done = 0;
        kube_request(a.api.kube, "GET", "/x", NULL, on_done, &a);
        assert_int_equal(a.done, 0);
        fake_api_wait(&a.api, is_done, &a);
        if (a.code != replies[i].code || strstr(a.msg, replies[i].words) == NULL) {
            fail_msg("%d: %s: %s", replies[i].status, err_code_name(a.code), a.msg);
        }
    }
    fake_api_done(&a.api);
    loop_free(loop);
}

static void test_cancel_is_silent(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct loop *loop = loop_new(&err);
    struct asked a = {.status = 200, .body = "{}"};
    fake_api_init(&a.api, loop, answer_asked);
    struct kube_call *call = kube_request(a.api.kube, "GET", "/x", NULL, on_done, &a);
    kube_cancel(call);
    kube_cancel(NULL);
    for (int i = 0; i < 20; i++) {
        loop_turn(loop, true);
    }
    assert_int_equal(a.done, 0);
    fake_api_done(&a.api);
    loop_free(loop);
}

static int group_setup(void **state)
{
    (void)state;
    log_set(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scripts),
        cmocka_unit_test(test_statuses),
        cmocka_unit_test(test_cancel_is_silent),
    };
    return cmocka_run_group_tests(tests, group_setup, NULL);
}
