/* SPDX-License-Identifier: Apache-2.0 */
/* Caching: what hits, what misses and why, what is told, and that nothing depends on it. */
#include "bench.h"

#define FAILED                                                                                     \
    (struct fake_end)                                                                              \
    {                                                                                              \
        .state = ATTEMPT_STATE_FAILED, .exit_code = 1, .reason = "exit code 1"                     \
    }
#define HELD                                                                                       \
    (struct fake_end)                                                                              \
    {                                                                                              \
        .is_held = true                                                                            \
    }
#define SUCCEEDED                                                                                  \
    (struct fake_end)                                                                              \
    {                                                                                              \
        .state = ATTEMPT_STATE_SUCCEEDED                                                           \
    }

static const struct step_row chain[] = {
    {"a", NULL, "=hello", NULL, NULL}, {"b", NULL, "a", "a", NULL}, {"c", "b", NULL, "b", NULL}};

static json_t *task_of(json_t *spec, const char *key)
{
    return json_object_get(spec_root_tasks(spec), key);
}

static void set_caching(json_t *spec, bool on)
{
    const char *key;
    json_t *task;
    json_object_foreach(spec_root_tasks(spec), key, task)
    {
        json_object_set_new(
            task, "cachingOptions", on ? json_pack("{s:b}", "enableCache", 1) : json_object());
    }
}

static json_t *cached_spec(const struct step_row *rows, size_t count)
{
    json_t *spec = spec_of("caching", rows, count);
    set_caching(spec, true);
    return spec;
}

static int setup(void **state)
{
    bench_setup(state);
    struct bench *b = *state;
    bench_engine_crash(b);
    b->settings.cache = true;
    bench_engine_start(b);
    return 0;
}

static const char *cache_state(struct bench *b, const char *path)
{
    return jget_str(json_object_get(bench_task(b, path), "cache"), "state", "(none)");
}

static const char *cache_reason(struct bench *b, const char *path)
{
    return jget_str(json_object_get(bench_task(b, path), "cache"), "reason", "(none)");
}

static void assert_mentions(const char *text, const char *part)
{
    if (strstr(text, part) == NULL) {
        fail_msg("'%s' does not say '%s'", text, part);
    }
}

static const json_t *artifact_of(struct bench *b, const char *path)
{
    const json_t *outputs = json_object_get(bench_task(b, path), "outputs");
    return json_array_get(json_object_get(json_object_get(outputs, "artifacts"), "model"), 0);
}

static void await_writes(struct bench *b)
{
    CALL(b, take_over(b->store, bench_on_started, b)); /* commands are done in order */
}

static struct id run_it(struct bench *b, const char *sha)
{
    struct id id = bench_run(b, sha, NULL);
    bench_await_end(b, id);
    await_writes(b);
    bench_read(b, id);
    return id;
}

/* ---- hits ---- */

static void test_second_run_is_cached(void **state)
{
    struct bench *b = *state;
    char sha[65];
    bench_put_spec(b, cached_spec(chain, 3), sha);
    struct id first = run_it(b, sha);
    assert_string_equal(cache_state(b, "a"), "miss");
    assert_string_equal(
        cache_reason(b, "a"), "no task of this component has succeeded before with caching on");
    char *model = xstrdup(jget_str(artifact_of(b, "b"), "id", ""));
    size_t begun = fake_begun(b->fake, NULL);
    assert_int_equal(begun, 3);

    struct id second = run_it(b, sha);
    assert_string_equal(jget_str(b->answer, "state", ""), "SUCCEEDED");
    assert_int_equal(fake_begun(b->fake, NULL), begun);
    static const char *const paths[] = {"a", "b", "c"};
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        assert_string_equal(bench_task_state(b, paths[i]), "CACHED");
        assert_string_equal(cache_state(b, paths[i]), "hit");
        const json_t *from =
            json_object_get(json_object_get(bench_task(b, paths[i]), "cache"), "from");
        assert_string_equal(jget_str(from, "run", ""), first.text);
        assert_string_equal(jget_str(from, "task", ""), paths[i]);
    }
    assert_string_equal(jget_str(artifact_of(b, "b"), "id", ""), model);
    free(model);
    const json_t *outputs = json_object_get(bench_task(b, "a"), "outputs");
    assert_string_equal(jget_str(json_object_get(outputs, "parameters"), "out", ""), "a.out");
    assert_int_equal(bench_events(b, second, "artifact.created", NULL), 0);
    assert_int_equal(bench_events(b, second, "task.started", NULL), 0);
    assert_int_equal(bench_events(b, second, "task.finished", "b"), 1);
    const json_t *data = json_object_get(b->answer, "data");
    assert_string_equal(jget_str(data, "state", ""), "CACHED");
    assert_string_equal(jget_str(json_object_get(data, "cached_from"), "run", ""), first.text);
    struct engine_counts counts;
    engine_counts(b->engine, &counts);
    assert_int_equal(counts.steps_cached, 3);
}

static void on_deleted(void *owner, const json_t *record, const struct err *err)
{
    bench_on_json(owner, record, err);
}

static void test_outlives_its_run(void **state)
{
    struct bench *b = *state;
    char sha[65];
    bench_put_spec(b, cached_spec(chain, 1), sha);
    struct id first = run_it(b, sha);
    CALL(b, engine_delete(b->engine, first.text, on_deleted, b));
    assert_string_equal(b->err.msg, "");
    run_it(b, sha);
    assert_string_equal(bench_task_state(b, "a"), "CACHED");
}

static void test_failures_are_not_kept(void **state)
{
    struct bench *b = *state;
    char sha[65];
    bench_put_spec(b, cached_spec(chain, 1), sha);
    fake_will(b->fake, "a", -1, FAILED);
    run_it(b, sha);
    fake_will(b->fake, "a", -1, SUCCEEDED);
    run_it(b, sha);
    assert_string_equal(bench_task_state(b, "a"), "SUCCEEDED");
    run_it(b, sha);
    assert_string_equal(bench_task_state(b, "a"), "CACHED");
}

/* A task that starts while its like still runs does not wait for it. */
static void test_likes_at_once(void **state)
{
    struct bench *b = *state;
    char sha[65];
    bench_put_spec(b, cached_spec(chain, 1), sha);
    fake_will(b->fake, "a", -1, HELD);
    struct id one = bench_run(b, sha, NULL), two = bench_run(b, sha, NULL);
    WAIT_UNTIL(b, fake_running(b->fake) == 2);
    assert_true(fake_finish(b->fake, "a", SUCCEEDED));
    assert_true(fake_finish(b->fake, "a", SUCCEEDED));
    bench_await_end(b, one);
    bench_await_end(b, two);
    assert_string_equal(bench_task_state(b, "a"), "SUCCEEDED");
}

/* ---- misses ---- */

static void edit_param(json_t *spec)
{
    json_t *params = json_object_get(json_object_get(task_of(spec, "a"), "inputs"), "parameters");
    json_object_set_new(params, "x", json_pack("{s:{s:s}}", "runtimeValue", "constant", "other"));
}

static void edit_no_param(json_t *spec)
{
    json_object_del(task_of(spec, "a"), "inputs");
}

static json_t *container_of(json_t *spec)
{
    json_t *executors = json_object_get(json_object_get(spec, "deploymentSpec"), "executors");
    return json_object_get(json_object_get(executors, "exec-step"), "container");
}

static void edit_image(json_t *spec)
{
    json_object_set_new(container_of(spec), "image", json_string("img:2"));
}

static void edit_command(json_t *spec)
{
    json_array_append_new(json_object_get(container_of(spec), "command"), json_string("more"));
}

static void edit_env(json_t *spec)
{
    json_object_set_new(container_of(spec), "env",
        json_pack("[{s:s,s:s}]", "name", "GREETING", "value", "good bye"));
}

static void edit_resources(json_t *spec)
{
    json_object_set_new(
        container_of(spec), "resources", json_pack("{s:s}", "resourceCpuLimit", "2"));
}

static void edit_outputs(json_t *spec)
{
    json_t *step = json_object_get(json_object_get(spec, "components"), "comp-step");
    json_t *params = json_object_get(json_object_get(step, "outputDefinitions"), "parameters");
    json_object_set_new(params, "more", json_pack("{s:s}", "parameterType", "STRING"));
}

static void edit_name(json_t *spec)
{
    json_object_set_new(json_object_get(spec, "pipelineInfo"), "name", json_string("another"));
}

static void edit_off(json_t *spec)
{
    set_caching(spec, false);
}

static void edit_task_key(json_t *spec)
{
    json_t *tasks = spec_root_tasks(spec), *task = json_incref(json_object_get(tasks, "a"));
    json_object_del(tasks, "a");
    json_object_set_new(tasks, "renamed", task);
}

static const struct miss_case {
    const char *name;
    void (*edit)(json_t *spec);
    const char *task;
    const char *state, *reason; /* of the cache */
} miss_cases[] = {
    {"another value", edit_param, "a", "miss", "input 'x' differs"},
    {"a value less", edit_no_param, "a", "miss", "input 'x' was given then"},
    {"another image", edit_image, "a", "miss", "the image differs"},
    {"another command", edit_command, "a", "miss", "the command differs"},
    {"another output", edit_outputs, "a", "miss", "the outputs differs"},
    {"another environment", edit_env, "a", "miss", "the environment differs"},
    {"resources do not count", edit_resources, "a", "hit", "did the same"},
    {"the task's own name does not count", edit_task_key, "renamed", "hit", "did the same"},
    {"another pipeline", edit_name, "a", "miss", "no task of this component"},
    {"caching is off", edit_off, "a", "off", "caching is off for this task"},
};

static void test_equivalence(void **state)
{
    struct bench *b = *state;
    for (size_t i = 0; i < ARRAY_LEN(miss_cases); i++) {
        const struct miss_case *c = &miss_cases[i];
        print_message("  %s\n", c->name);
        char sha[65], other[65];
        json_t *spec = cached_spec(chain, 1);
        char *name = xasprintf("equivalence-%zu", i);
        json_object_set_new(json_object_get(spec, "pipelineInfo"), "name", json_string(name));
        free(name);
        json_t *edited = json_deep_copy(spec);
        c->edit(edited);
        bench_put_spec(b, spec, sha);
        bench_put_spec(b, edited, other);
        run_it(b, sha);
        run_it(b, other);
        assert_string_equal(cache_state(b, c->task), c->state);
        assert_mentions(cache_reason(b, c->task), c->reason);
        assert_string_equal(
            bench_task_state(b, c->task), strcmp(c->state, "hit") == 0 ? "CACHED" : "SUCCEEDED");
    }
}

/* The same uri is not enough: a new artifact is another one. */
static void test_artifact_identity(void **state)
{
    struct bench *b = *state;
    char sha[65], other[65];
    json_t *spec = cached_spec(chain, 2);
    json_t *edited = json_deep_copy(spec);
    json_object_set_new(task_of(edited, "a"), "cachingOptions", json_object());
    bench_put_spec(b, spec, sha);
    bench_put_spec(b, edited, other);
    run_it(b, sha);
    run_it(b, other);
    assert_string_equal(cache_state(b, "a"), "off");
    assert_string_equal(cache_state(b, "b"), "miss");
    assert_mentions(cache_reason(b, "b"), "input artifact 'data' differs");
}

static void test_custom_key(void **state)
{
    struct bench *b = *state;
    static const char *const keys[] = {"k1", "k1", "k2"};
    static const char *const states[] = {"SUCCEEDED", "CACHED", "SUCCEEDED"};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        char sha[65];
        json_t *spec = cached_spec(chain, 1);
        json_object_set_new(task_of(spec, "a"), "cachingOptions",
            json_pack("{s:b,s:s}", "enableCache", 1, "cacheKey", keys[i]));
        char *image = xasprintf("img:%zu", i); /* with a key of one's own it does not count */
        json_object_set_new(container_of(spec), "image", json_string(image));
        free(image);
        bench_put_spec(b, spec, sha);
        run_it(b, sha);
        assert_string_equal(bench_task_state(b, "a"), states[i]);
    }
    assert_mentions(cache_reason(b, "a"), "the cache key differs");
}

/* The key promises what the outputs do not keep. */
static void test_custom_key_other_outputs(void **state)
{
    struct bench *b = *state;
    char sha[65], other[65];
    json_t *spec = cached_spec(chain, 1);
    json_object_set_new(task_of(spec, "a"), "cachingOptions",
        json_pack("{s:b,s:s}", "enableCache", 1, "cacheKey", "k"));
    json_t *edited = json_deep_copy(spec);
    edit_outputs(edited);
    bench_put_spec(b, spec, sha);
    bench_put_spec(b, edited, other);
    run_it(b, sha);
    run_it(b, other);
    assert_string_equal(cache_state(b, "a"), "stale");
    assert_mentions(cache_reason(b, "a"), "did not give output more");
    assert_string_equal(bench_task_state(b, "a"), "SUCCEEDED");
}

/* ---- what is gone or old ---- */

static char *path_of(struct bench *b, const char *task)
{
    struct buf path;
    struct err err = ERR_INIT;
    buf_init(&path, 4096);
    assert_int_equal(
        artifact_local_path(b->artifacts, jget_str(artifact_of(b, task), "uri", ""), &path, &err),
        0);
    return buf_steal(&path, NULL);
}

static void test_artifact_gone(void **state)
{
    struct bench *b = *state;
    char sha[65];
    bench_put_spec(b, cached_spec(chain, 1), sha);
    fake_will(b->fake, "a", -1, HELD);
    struct id first = bench_run(b, sha, NULL);
    WAIT_UNTIL(b, fake_running(b->fake) == 1);
    /* The fake writes nothing: put the artifact where the order says. */
    const char *file = jget_str(
        json_array_get(json_object_get(fake_work_order(b->fake, "a"), "outputs"), 0), "path", "");
    struct err err = ERR_INIT;
    char *dir = xstrdup(file);
    *strrchr(dir, '/') = '\0';
    assert_int_equal(dir_make(dir, 0755, &err), 0);
    free(dir);
    assert_int_equal(file_write_atomic(file, "x", 1, 0644, &err), 0);
    assert_true(fake_finish(b->fake, "a", SUCCEEDED));
    bench_await_end(b, first);
    await_writes(b);
    fake_will(b->fake, "a", -1, SUCCEEDED);
    run_it(b, sha);
    assert_string_equal(cache_state(b, "a"), "hit");
    char *path = path_of(b, "a");
    assert_int_equal(unlink(path), 0);
    free(path);
    run_it(b, sha);
    assert_string_equal(cache_state(b, "a"), "stale");
    char *reason = xasprintf("artifact model of run %s is gone", first.text);
    assert_string_equal(cache_reason(b, "a"), reason);
    free(reason);
    assert_string_equal(bench_task_state(b, "a"), "SUCCEEDED");
}

static void test_max_age(void **state)
{
    struct bench *b = *state;
    bench_engine_crash(b);
    b->settings.cache_max_age_ms = 3600 * 1000;
    bench_engine_start(b);
    char sha[65];
    bench_put_spec(b, cached_spec(chain, 1), sha);
    struct id first = run_it(b, sha);
    harness_move_clock(&b->h, 3000 * US_PER_S);
    run_it(b, sha);
    assert_string_equal(cache_state(b, "a"), "hit");
    harness_move_clock(&b->h, 1000 * US_PER_S);
    run_it(b, sha);
    assert_string_equal(cache_state(b, "a"), "stale");
    assert_mentions(cache_reason(b, "a"), first.text);
    run_it(b, sha); /* the new result counts from now */
    assert_string_equal(cache_state(b, "a"), "hit");
}

static void test_daemon_off(void **state)
{
    struct bench *b = *state;
    char sha[65];
    bench_put_spec(b, cached_spec(chain, 1), sha);
    run_it(b, sha);
    bench_engine_crash(b);
    b->settings.cache = false;
    bench_engine_start(b);
    run_it(b, sha);
    assert_string_equal(cache_state(b, "a"), "off");
    assert_mentions(cache_reason(b, "a"), "setting cache");
}

static void test_bounded(void **state)
{
    struct bench *b = *state;
    bench_engine_crash(b);
    b->settings.cache_max_entries = 16; /* one in each shard */
    bench_engine_start(b);
    for (int i = 0; i < 12; i++) {
        char sha[65];
        char *text = xasprintf("=%d", i);
        struct step_row row = {"a", NULL, text, NULL, NULL};
        bench_put_spec(b, cached_spec(&row, 1), sha);
        free(text);
        run_it(b, sha);
    }
    int64_t kept = 0;
    for (unsigned i = 0; i < store_shards(b->store); i++) {
        int64_t here = harness_cmd(&b->h, "ZCARD %scaches", store_shard_prefix(b->store, i));
        assert_true(here <= 1);
        kept += here;
    }
    assert_int_equal(harness_cmd(&b->h, "KEYS %s", "rondo:*}:cache:*"), kept);
}

/* ---- trouble ---- */

/* What is kept cannot be read: a miss, with a word about it. */
static void test_unreadable(void **state)
{
    struct bench *b = *state;
    char sha[65];
    bench_put_spec(b, cached_spec(chain, 1), sha);
    run_it(b, sha);
    harness_cmd(&b->h, "EVAL %s 0",
        "for _, k in ipairs(redis.call('KEYS', 'rondo:*}:cache:*')) do "
        "redis.call('SET', k, '{broken') end return 1");
    run_it(b, sha);
    assert_string_equal(bench_task_state(b, "a"), "SUCCEEDED");
    assert_mentions(cache_reason(b, "a"), "the cache could not be asked");
}

static void test_wrong_kind(void **state)
{
    struct bench *b = *state;
    char sha[65];
    bench_put_spec(b, cached_spec(chain, 1), sha);
    run_it(b, sha);
    harness_cmd(&b->h, "EVAL %s 0",
        "for _, k in ipairs(redis.call('KEYS', 'rondo:*}:cache:*')) do "
        "redis.call('DEL', k) redis.call('HSET', k, 'a', 'b') end return 1");
    run_it(b, sha);
    assert_string_equal(bench_task_state(b, "a"), "SUCCEEDED");
    assert_mentions(cache_reason(b, "a"), "the cache could not be asked");
}

/* Cancelled while it is being looked up; and the engine goes meanwhile. */
static void test_cancel_while_looking(void **state)
{
    struct bench *b = *state;
    char sha[65];
    bench_put_spec(b, cached_spec(chain, 3), sha);
    struct id id = bench_run(b, sha, NULL);
    CALL(b, run_cancel(b->store, id.text, bench_on_json, b));
    engine_wake(b->engine, id.text);
    bench_await_end(b, id);
    for (int turns = 0; turns < 8; turns++) {
        id = bench_run(b, sha, NULL);
        for (int i = 0; i < turns; i++) {
            bench_turn(b);
        }
        bench_engine_crash(b);
        bench_engine_start(b);
        bench_await_end(b, id);
        assert_string_equal(jget_str(b->answer, "state", ""), "SUCCEEDED");
        await_writes(b);
    }
}

/* A daemon that takes over knows what to keep of a task that it only adopted. */
static void test_kept_by_the_next_daemon(void **state)
{
    struct bench *b = *state;
    char sha[65];
    bench_put_spec(b, cached_spec(chain, 1), sha);
    fake_will(b->fake, "a", -1, HELD);
    struct id id = bench_run(b, sha, NULL);
    WAIT_UNTIL(b, fake_running(b->fake) == 1);
    bench_engine_crash(b);
    bench_engine_start(b);
    assert_true(fake_finish(b->fake, "a", SUCCEEDED));
    bench_await_end(b, id);
    assert_string_equal(cache_state(b, "a"), "miss");
    await_writes(b);
    run_it(b, sha);
    assert_string_equal(bench_task_state(b, "a"), "CACHED");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, bench_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_second_run_is_cached),
        TEST(test_outlives_its_run),
        TEST(test_failures_are_not_kept),
        TEST(test_likes_at_once),
        TEST(test_equivalence),
        TEST(test_artifact_identity),
        TEST(test_custom_key),
        TEST(test_custom_key_other_outputs),
        TEST(test_artifact_gone),
        TEST(test_max_age),
        TEST(test_daemon_off),
        TEST(test_bounded),
        TEST(test_unreadable),
        TEST(test_wrong_kind),
        TEST(test_cancel_while_looking),
        TEST(test_kept_by_the_next_daemon),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
