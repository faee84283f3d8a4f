/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Kubernetes executor in orders of events that a real cluster gives only now and then. The API
 * server is in the test's own loop and answers when the test says so; Redis is real.
 */
#include "tests/support/fake_api.h"

#include <unistd.h>

#include "base/buf.h"
#include "base/id.h"
#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "exec/pods.h"
#include "scheduler/artifact.h"
#include "tests/support/harness.h"
#include "tests/support/temp_dir.h"

#define URI_IN "file:///in"
#define URI_OUT "file:///out"
#define URI_LIST "file:///list"
#define REPORT(state)                                                                              \
    "{\"v\":1,\"state\":\"" state "\",\"exit_code\":0,\"reason\":\"r\",\"log_tail\":\"bye\"}"

static const char run_id[] = "07372c7a-c651-4408-a260-15f7ed89807d";
static const char task_id[] = "07318745-4fee-53e3-9679-0fccdc6c11b7";
static const struct attempt_name name = {run_id, task_id, 0};

struct bench {
    struct harness h;
    struct fake_api api;
    struct temp_dir dir;
    struct artifact_store *artifacts;
    struct executor executor;
    struct pods *pods;
    char pod[POD_NAME_MAX + 1];
    /* what the server does */
    const char *items; /* of the first list */
    bool holds_create; /* keep the reply to POST back */
    int create_status; /* 0: 201 */
    int delete_status; /* 0: 200 */
    struct evhttp_request *held;
    int creates, deletes, gets, logs;
    /* what the engine hears */
    int running, ends;
    enum attempt_state state;
    char reason[512], tail[64];
    bool has_report;
    /* answers */
    int reported;
    struct err report_err;
    char log[64];
    int logged;
};

/* ---- the server ---- */

static char *pod_text(const struct bench *b, const char *uid, const char *status)
{
    return xasprintf("{\"metadata\":{\"name\":\"%s\",\"uid\":\"%s\",\"resourceVersion\":\"7\","
                     "\"labels\":{\"rondo.dev/run-id\":\"%s\",\"rondo.dev/task-id\":\"%s\","
                     "\"rondo.dev/attempt\":\"0\"}},\"status\":{%s}}",
        b->pod, uid, run_id, task_id, status);
}

static void answer(struct fake_api *api, struct evhttp_request *req, const char *what)
{
    struct bench *b = CONTAINER_OF(api, struct bench, api);
    CLEANUP(cleanup_free) char *pod = pod_text(b, "u1", "\"phase\":\"Pending\"");
    if (strstr(what, "watch=1") != NULL) {
        fake_api_stream(api, req);
    } else if (strstr(what, "/log?") != NULL) {
        b->logs++;
        fake_api_reply(req, 200, "what it printed\n");
    } else if (str_starts(what, "POST")) {
        b->creates++;
        if (b->holds_create) {
            b->held = req;
        } else {
            fake_api_reply(req, b->create_status != 0 ? b->create_status : 201,
                b->create_status == 409 ? "{\"reason\":\"AlreadyExists\"}"
                : b->create_status != 0 ? "{\"message\":\"in its own words\"}"
                                        : pod);
        }
    } else if (str_starts(what, "DELETE")) {
        b->deletes++;
        fake_api_reply(req, b->delete_status != 0 ? b->delete_status : 200, "{}");
    } else if (strstr(what, "limit=") != NULL) {
        CLEANUP(cleanup_free)
        char *list = xasprintf("{\"metadata\":{\"resourceVersion\":\"5\"},\"items\":[%s]}",
            b->items != NULL ? b->items : "");
        fake_api_reply(req, 200, list);
    } else {
        b->gets++;
        fake_api_reply(req, 200, pod);
    }
}

static void send_event(struct bench *b, const char *type, const char *uid, const char *status)
{
    CLEANUP(cleanup_free) char *pod = pod_text(b, uid, status);
    CLEANUP(cleanup_free)
    char *line = xasprintf("{\"type\":\"%s\",\"object\":%s}\n", type, pod);
    fake_api_send(&b->api, line);
}

static void release_create(struct bench *b)
{
    CLEANUP(cleanup_free) char *pod = pod_text(b, "u1", "\"phase\":\"Pending\"");
    fake_api_reply(b->held, 201, pod);
    b->held = NULL;
}

/* ---- the engine ---- */

static void on_running(void *owner, const struct attempt_name *who)
{
    struct bench *b = owner;
    assert_string_equal(who->task_id, task_id);
    b->running++;
}

static void on_done(
    void *owner, const struct attempt_name *who, const struct attempt_result *result)
{
    struct bench *b = owner;
    assert_string_equal(who->run_id, run_id);
    b->ends++;
    b->state = result->state;
    snprintf(b->reason, sizeof b->reason, "%.500s", result->reason);
    snprintf(b->tail, sizeof b->tail, "%.60s", result->log_tail);
    b->has_report = result->report != NULL;
}

static void open_executor(struct bench *b)
{
    CLEANUP(cleanup_free)
    char *config = xasprintf("current-context: c\ncontexts: [{name: c, context: {cluster: k, "
                             "namespace: ns}}]\nclusters: [{name: k, cluster: {server: '%s'}}]\n",
        b->api.credentials.server);
    temp_write(&b->dir, "kubeconfig", config);
    struct pods_settings settings = {
        .http = b->api.client,
        .store = b->h.store,
        .artifacts = b->artifacts,
        .data_dir = b->dir.path,
        .kubeconfig = temp_path(&b->dir, "kubeconfig"),
        .launcher_image = "rondo-launcher",
        .pod_start_timeout_ms = 60000,
    };
    struct err err = ERR_INIT;
    if (executor_pods_new(b->h.loop, &settings, &b->executor, &err) != 0) {
        fail_msg("%s", err.msg);
    }
    b->pods = executor_pods(&b->executor);
    pods_set_url(b->pods, "http://rondo:1///");
    struct executor_listener listener = {.on_running = on_running, .on_done = on_done, .owner = b};
    b->executor.ops->listen(b->executor.self, &listener);
}

static void bench_init(struct bench *b)
{
    struct err err = ERR_INIT;
    *b = (struct bench){0};
    harness_init(&b->h);
    temp_dir_init(&b->dir);
    fake_api_init(&b->api, b->h.loop, answer);
    CLEANUP(cleanup_free) char *root = xasprintf("file://%s/artifacts", b->dir.path);
    b->artifacts = artifact_store_new(root, &err);
    assert_non_null(b->artifacts);
    pod_name(&name, b->pod);
    open_executor(b);
}

static void bench_done(struct bench *b)
{
    b->executor.ops->free(b->executor.self);
    fake_api_done(&b->api);
    artifact_store_free(b->artifacts);
    temp_dir_done(&b->dir);
    harness_done(&b->h);
}

static void start(struct bench *b)
{
    json_t *order = json_pack("{s:i,s:s,s:[{s:s}],s:[{s:s},{s:s,s:b}]}", "v", 1, "task", "t",
        "inputs", "uri", URI_IN, "outputs", "uri", URI_OUT, "uri", URI_LIST, "is_list", 1);
    json_t *container = json_pack("{s:s}", "image", "alpine");
    b->executor.ops->start(b->executor.self, &name, order, container);
    json_decref(order);
    json_decref(container);
    assert_int_equal(b->ends, 0);
}

static void on_reported(void *owner, const struct err *err)
{
    struct bench *b = owner;
    b->reported++;
    err_clear(&b->report_err);
    if (err != NULL) {
        err_copy(&b->report_err, err);
    }
}

static void post_report(struct bench *b, const char *text)
{
    b->reported = 0;
    pods_report(b->pods, &name, text, strlen(text), on_reported, b);
    assert_int_equal(b->reported, 0);
    harness_wait(&b->h, &b->reported);
}

/* A pod that exists, and the watch is open. */
static void start_pod(struct bench *b)
{
    start(b);
    harness_wait(&b->h, &b->creates);
    while (b->api.stream == NULL) {
        loop_turn(b->h.loop, true);
    }
    harness_pass_ms(&b->h, 50);
}

static void forget_and_wait(struct bench *b)
{
    send_event(b, "MODIFIED", "u1", "\"phase\":\"Succeeded\"");
    b->executor.ops->forget(b->executor.self, &name);
    harness_wait(&b->h, &b->deletes);
    while (map_count(b->pods->farewells) > 0) {
        loop_turn(b->h.loop, true);
    }
    harness_pass_ms(&b->h, 20);
}

/* ---- tests ---- */

static void test_report_then_forget(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b);
    start_pod(&b);
    post_report(&b, REPORT("SUCCEEDED"));
    assert_int_equal(b.report_err.code, ERR_NONE);
    harness_wait(&b.h, &b.ends);
    assert_int_equal(b.state, ATTEMPT_STATE_SUCCEEDED);
    assert_true(b.has_report);
    assert_string_equal(b.tail, "bye");
    CLEANUP(cleanup_free) char *key = pod_report_key(b.pods, &name);
    assert_int_equal(harness_cmd(&b.h, "EXISTS %s", key), 1);
    /* Another one is too late. */
    for (unsigned i = 0; i < store_shards(b.h.store); i++) {
        pods_set_ready(b.pods, i, true);
    }
    post_report(&b, REPORT("FAILED"));
    assert_int_equal(b.report_err.code, ERR_NOT_FOUND);
    forget_and_wait(&b);
    assert_int_equal(harness_cmd(&b.h, "EXISTS %s", key), 0);
    CLEANUP(cleanup_free) char *path = pod_log_path(b.pods, &name);
    CLEANUP(cleanup_free) char *kept = file_read(path, 1000, NULL, NULL);
    assert_string_equal(kept, "what it printed\n");
    assert_int_equal(b.ends, 1);
    bench_done(&b);
}

static void test_report_before_the_reply_to_create(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b);
    b.holds_create = true;
    start(&b);
    harness_wait(&b.h, &b.creates);
    post_report(&b, REPORT("SUCCEEDED"));
    harness_wait(&b.h, &b.ends);
    assert_int_equal(b.state, ATTEMPT_STATE_SUCCEEDED);
    release_create(&b);
    harness_pass_ms(&b.h, 50);
    assert_int_equal(b.ends, 1);
    bench_done(&b);
}

static void test_report_wins_over_a_failed_pod(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b);
    start_pod(&b);
    /* Both in one turn: the report is on its way into Redis when the pod's end is told. */
    pods_report(b.pods, &name, REPORT("SUCCEEDED"), strlen(REPORT("SUCCEEDED")), on_reported, &b);
    send_event(&b, "MODIFIED", "u1", "\"phase\":\"Failed\",\"reason\":\"Evicted\"");
    send_event(&b, "DELETED", "u1", "\"phase\":\"Failed\",\"reason\":\"Evicted\"");
    harness_wait(&b.h, &b.ends);
    harness_pass_ms(&b.h, 50);
    assert_int_equal(b.state, ATTEMPT_STATE_SUCCEEDED);
    assert_int_equal(b.ends, 1);
    bench_done(&b);
}

static void test_failed_pod_without_a_report(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b);
    start_pod(&b);
    send_event(&b, "MODIFIED", "u1",
        "\"phase\":\"Failed\",\"containerStatuses\":[{\"name\":\"main\",\"state\":{\"terminated\":{"
        "\"exitCode\":137,\"reason\":\"OOMKilled\"}}}]");
    harness_wait(&b.h, &b.ends);
    assert_int_equal(b.state, ATTEMPT_STATE_FAILED);
    assert_non_null(strstr(b.reason, "memory"));
    assert_string_equal(b.tail, "what it printed\n");
    bench_done(&b);
}

static void test_deleted_pod_is_lost(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b);
    start_pod(&b);
    send_event(&b, "DELETED", "u0", "\"phase\":\"Pending\""); /* an earlier one of that name */
    harness_pass_ms(&b.h, 50);
    assert_int_equal(b.ends, 0);
    send_event(&b, "DELETED", "u1", "\"phase\":\"Running\"");
    harness_wait(&b.h, &b.ends);
    assert_int_equal(b.state, ATTEMPT_STATE_LOST);
    bench_done(&b);
}

static void test_deleted_before_the_reply_to_create(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b);
    b.holds_create = true;
    start(&b);
    harness_wait(&b.h, &b.creates);
    while (b.api.stream == NULL) {
        loop_turn(b.h.loop, true);
    }
    send_event(&b, "ADDED", "u1", "\"phase\":\"Pending\"");
    send_event(&b, "DELETED", "u1", "\"phase\":\"Pending\"");
    harness_pass_ms(&b.h, 50);
    assert_int_equal(b.ends, 0);
    release_create(&b);
    harness_wait(&b.h, &b.ends);
    assert_int_equal(b.state, ATTEMPT_STATE_LOST);
    bench_done(&b);
}

static void test_existing_pod_is_adopted(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b);
    CLEANUP(cleanup_free)
    char *item = pod_text(&b, "u1",
        "\"phase\":\"Running\",\"containerStatuses\":[{\"name\":\"main\",\"state\":{\"running\":{}}"
        "}]");
    b.items = item;
    start(&b);
    harness_wait(&b.h, &b.running);
    assert_int_equal(b.creates, 0);
    post_report(&b, REPORT("FAILED"));
    harness_wait(&b.h, &b.ends);
    assert_int_equal(b.state, ATTEMPT_STATE_FAILED);
    assert_false(b.has_report);
    bench_done(&b);
}

static void test_name_that_is_taken_is_adopted(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b);
    b.create_status = 409;
    start(&b);
    harness_wait(&b.h, &b.gets);
    harness_pass_ms(&b.h, 50);
    assert_int_equal(b.ends, 0);
    assert_int_equal(b.creates, 1);
    bench_done(&b);
}

static void test_refused_pod_fails(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b);
    b.create_status = 422;
    start(&b);
    harness_wait(&b.h, &b.ends);
    assert_int_equal(b.state, ATTEMPT_STATE_FAILED);
    assert_non_null(strstr(b.reason, "in its own words"));
    bench_done(&b);
}

/* Redis lost the engine's save, and the report with it; we did not. */
static void test_end_is_told_again(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b);
    start_pod(&b);
    post_report(&b, REPORT("SUCCEEDED"));
    harness_wait(&b.h, &b.ends);
    harness_cmd(&b.h, "FLUSHALL");
    b.ends = 0;
    b.has_report = false;
    start(&b);
    harness_wait(&b.h, &b.ends);
    assert_int_equal(b.state, ATTEMPT_STATE_SUCCEEDED);
    assert_true(b.has_report);
    assert_int_equal(b.creates, 1);
    bench_done(&b);
}

/* The daemon dies after it has answered the launcher and before the engine has saved the end. */
static void test_report_outlives_the_daemon(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b);
    start_pod(&b);
    char token[SHA256_HEX_LEN + 1];
    pods_token(b.pods, &name, token);
    post_report(&b, REPORT("SUCCEEDED"));
    b.executor.ops->free(b.executor.self);
    b.ends = b.creates = 0;
    open_executor(&b);
    start(&b);
    harness_wait(&b.h, &b.ends);
    assert_int_equal(b.state, ATTEMPT_STATE_SUCCEEDED);
    assert_int_equal(b.creates, 0);
    struct err err = ERR_INIT;
    assert_int_equal(pods_authorize(b.pods, &name, token, &err), 0);
    bench_done(&b);
}

static void test_cancel_before_the_cluster_is_known(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b);
    b.delete_status = 404;
    start(&b);
    b.executor.ops->cancel(b.executor.self, &name);
    assert_int_equal(b.ends, 0);
    harness_wait(&b.h, &b.ends);
    assert_int_equal(b.state, ATTEMPT_STATE_CANCELED);
    assert_int_equal(b.creates, 0);
    bench_done(&b);
}

static void test_cancel_while_it_is_created(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b);
    b.holds_create = true;
    start(&b);
    harness_wait(&b.h, &b.creates);
    b.executor.ops->cancel(b.executor.self, &name);
    struct err err = ERR_INIT;
    assert_null(pods_order(b.pods, &name, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    release_create(&b);
    harness_wait(&b.h, &b.deletes);
    while (b.api.stream == NULL) {
        loop_turn(b.h.loop, true);
    }
    send_event(&b, "DELETED", "u1", "\"phase\":\"Pending\"");
    harness_wait(&b.h, &b.ends);
    assert_int_equal(b.state, ATTEMPT_STATE_CANCELED);
    bench_done(&b);
}

static void test_report_of_a_canceled_one(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b);
    start_pod(&b);
    b.executor.ops->cancel(b.executor.self, &name);
    harness_wait(&b.h, &b.deletes);
    post_report(&b, REPORT("CANCELED"));
    harness_wait(&b.h, &b.ends);
    assert_int_equal(b.state, ATTEMPT_STATE_CANCELED);
    bench_done(&b);
}

static void test_stopped_by_somebody_else_is_lost(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b);
    start_pod(&b);
    post_report(&b, REPORT("CANCELED"));
    harness_wait(&b.h, &b.ends);
    assert_int_equal(b.state, ATTEMPT_STATE_LOST);
    bench_done(&b);
}

static void test_what_a_launcher_may(void **state)
{
    (void)state;
    struct bench b;
    struct err err = ERR_INIT;
    bench_init(&b);
    assert_int_equal(pods_authorize(b.pods, &name, "x", &err), -1);
    assert_int_equal(err.code, ERR_TRANSIENT); /* the secret is not here yet */
    assert_null(pods_order(b.pods, &name, &err));
    assert_int_equal(err.code, ERR_TRANSIENT);
    start_pod(&b);
    char token[SHA256_HEX_LEN + 1], other[SHA256_HEX_LEN + 1];
    struct attempt_name next = {run_id, task_id, 1};
    pods_token(b.pods, &name, token);
    pods_token(b.pods, &next, other);
    assert_int_equal(pods_authorize(b.pods, &name, token, &err), 0);
    assert_int_equal(pods_authorize(b.pods, &name, other, &err), -1);
    assert_int_equal(err.code, ERR_UNAUTHENTICATED);
    assert_int_equal(pods_authorize(b.pods, &name, NULL, &err), -1);
    assert_int_equal(pods_authorize(b.pods, &next, token, &err), -1);
    assert_int_equal(pods_may_use(b.pods, &name, URI_IN, false, &err), 0);
    assert_int_equal(pods_may_use(b.pods, &name, URI_OUT, true, &err), 0);
    assert_int_equal(pods_may_use(b.pods, &name, URI_IN, true, &err), -1);
    assert_int_equal(err.code, ERR_DENIED);
    assert_int_equal(pods_may_use(b.pods, &name, URI_OUT "/..", true, &err), -1);
    assert_int_equal(pods_may_use(b.pods, &name, URI_OUT "/x", true, &err), -1);
    static const struct {
        const char *uri;
        int rc;
    } lists[] = {{URI_LIST, 0}, {URI_LIST "/0/x", 0}, {URI_LIST "-12", 0}, {URI_LIST "-", -1},
        {URI_LIST "-1/x", -1}, {URI_LIST "/..", -1}, {URI_LIST "/a/../../x", -1},
        {URI_LIST "x", -1}};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        assert_int_equal(pods_may_use(b.pods, &name, lists[i].uri, true, &err), lists[i].rc);
    }
    assert_int_equal(err.code, ERR_DENIED);
    assert_int_equal(pods_running(b.pods, &name, &err), 0);
    assert_int_equal(pods_running(b.pods, &name, &err), 0);
    assert_int_equal(b.running, 1);
    json_t *order CLEANUP(json_decrefp) = json_loads(pods_order(b.pods, &name, &err), 0, NULL);
    assert_true(json_is_object(json_object_get(order, "transfer")));
    bench_done(&b);
}

static void test_bad_reports(void **state)
{
    (void)state;
    static const char *const rows[] = {"", "{", "[]", "{}", "{\"v\":2,\"state\":\"SUCCEEDED\"}",
        "{\"v\":1}", "{\"v\":1,\"state\":\"\"}", "{\"v\":1,\"state\":3}"};
    struct bench b;
    bench_init(&b);
    start_pod(&b);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        post_report(&b, rows[i]);
        assert_int_equal(b.report_err.code, ERR_INVALID);
    }
    harness_pass_ms(&b.h, 20);
    assert_int_equal(b.ends, 0);
    bench_done(&b);
}

static void on_log(void *owner, const char *text, size_t len, const struct err *err)
{
    struct bench *b = owner;
    b->logged++;
    snprintf(b->log, sizeof b->log, "%.*s", (int)len, err == NULL ? text : err->msg);
}

static void test_logs_of_the_pod_then_of_the_file(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b);
    start_pod(&b);
    b.executor.ops->logs(b.executor.self, &name, 8, on_log, &b);
    assert_int_equal(b.logged, 0);
    harness_wait(&b.h, &b.logged);
    assert_string_equal(b.log, "printed\n"); /* the end of it */
    post_report(&b, REPORT("SUCCEEDED"));
    harness_wait(&b.h, &b.ends);
    forget_and_wait(&b);
    b.logs = b.logged = 0;
    b.executor.ops->logs(b.executor.self, &name, 1000, on_log, &b);
    harness_wait(&b.h, &b.logged);
    assert_string_equal(b.log, "what it printed\n");
    assert_int_equal(b.logs, 0);
    b.executor.ops->purge(b.executor.self, run_id);
    CLEANUP(cleanup_free) char *path = pod_log_path(b.pods, &name);
    assert_int_equal(access(path, F_OK), -1);
    bench_done(&b);
}

/* Its report comes a moment before its last lines are in the log. */
static void test_log_is_fetched_when_the_pod_has_ended(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b);
    start_pod(&b);
    send_event(&b, "MODIFIED", "u1",
        "\"phase\":\"Running\",\"containerStatuses\":[{\"name\":\"main\",\"state\":{"
        "\"running\":{}}}]");
    harness_wait(&b.h, &b.running);
    post_report(&b, REPORT("SUCCEEDED"));
    harness_wait(&b.h, &b.ends);
    b.executor.ops->forget(b.executor.self, &name);
    harness_pass_ms(&b.h, 100);
    assert_int_equal(b.logs + b.deletes, 0);
    send_event(&b, "MODIFIED", "u1", "\"phase\":\"Succeeded\"");
    harness_wait(&b.h, &b.deletes);
    assert_int_equal(b.logs, 1);
    bench_done(&b);
}

/* We died after the save and before the pod was deleted. */
static void test_pod_that_nobody_waits_for(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b);
    CLEANUP(cleanup_free) char *item = pod_text(&b, "u1", "\"phase\":\"Succeeded\"");
    b.items = item;
    while (b.api.stream == NULL) {
        loop_turn(b.h.loop, true);
    }
    timer_start_ms(&b.pods->sweep, 0);
    harness_pass_ms(&b.h, 50);
    assert_int_equal(b.deletes, 0); /* its run may not have been read yet */
    for (unsigned i = 0; i < store_shards(b.h.store); i++) {
        b.pods->ready_us[i] = clock_mono_us() - 3600 * US_PER_S;
    }
    timer_start_ms(&b.pods->sweep, 0);
    harness_wait(&b.h, &b.deletes);
    bench_done(&b);
}

static void test_free_while_everything_is_under_way(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b);
    b.holds_create = true;
    start(&b);
    harness_wait(&b.h, &b.creates);
    pods_report(b.pods, &name, REPORT("FAILED"), strlen(REPORT("FAILED")), on_reported, &b);
    b.executor.ops->logs(b.executor.self, &name, 8, on_log, &b);
    struct attempt_name gone = {run_id, task_id, 7};
    b.executor.ops->forget(b.executor.self, &gone);
    b.executor.ops->free(b.executor.self);
    harness_pass_ms(&b.h, 50);
    assert_int_equal(b.ends + b.reported + b.logged, 0);
    release_create(&b); /* its client has gone */
    open_executor(&b);
    bench_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_report_then_forget),
        cmocka_unit_test(test_report_before_the_reply_to_create),
        cmocka_unit_test(test_report_wins_over_a_failed_pod),
        cmocka_unit_test(test_failed_pod_without_a_report),
        cmocka_unit_test(test_deleted_pod_is_lost),
        cmocka_unit_test(test_deleted_before_the_reply_to_create),
        cmocka_unit_test(test_existing_pod_is_adopted),
        cmocka_unit_test(test_name_that_is_taken_is_adopted),
        cmocka_unit_test(test_refused_pod_fails),
        cmocka_unit_test(test_end_is_told_again),
        cmocka_unit_test(test_report_outlives_the_daemon),
        cmocka_unit_test(test_cancel_before_the_cluster_is_known),
        cmocka_unit_test(test_cancel_while_it_is_created),
        cmocka_unit_test(test_report_of_a_canceled_one),
        cmocka_unit_test(test_stopped_by_somebody_else_is_lost),
        cmocka_unit_test(test_what_a_launcher_may),
        cmocka_unit_test(test_bad_reports),
        cmocka_unit_test(test_logs_of_the_pod_then_of_the_file),
        cmocka_unit_test(test_log_is_fetched_when_the_pod_has_ended),
        cmocka_unit_test(test_pod_that_nobody_waits_for),
        cmocka_unit_test(test_free_while_everything_is_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
