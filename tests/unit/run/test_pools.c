/* SPDX-License-Identifier: Apache-2.0 */
/* Pools: never one more than there are slots, in order of priority, fair between recurring runs. */
#include "bench.h"
#include "run/engine.h"
#include "run/pools.h"
#include "run_scripts.h"
#include "scheduler/pools.h"

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

/* ---- the scripts by themselves ---- */

/* Whoever leaves and asks in one turn asks anew. */
struct turn {
    const char *slots; /* of default */
    const char *leaves[8];
    struct {
        const char *id, *pool, *priority, *flow;
        bool is_running;
    } asks[8];
};

static redisReply *eval(
    redisContext *redis, const struct script *script, int argc, const char *const *args)
{
    const char *argv[128] = {"EVAL", script->text, "1", "rondo:{pools}:entries"};
    assert_true(argc + 4 < 128);
    for (int i = 0; i < argc; i++) {
        argv[4 + i] = args[i];
    }
    redisReply *reply = redisCommandArgv(redis, argc + 4, argv, NULL);
    assert_non_null(reply);
    if (reply->type == REDIS_REPLY_ERROR) {
        fail_msg("%s", reply->str);
    }
    return reply;
}

/* Who has slots because of this turn, as "a b c". */
static const char *turn(redisContext *redis, const struct turn *t)
{
    static char out[4096];
    char counts[2][12];
    const char *args[64] = {"rondo:{pools}:", t->slots == NULL ? "0" : t->slots};
    int argc = 3, count = 0;
    for (; t->leaves[count] != NULL; count++) {
        args[argc++] = t->leaves[count];
    }
    snprintf(counts[0], sizeof(counts[0]), "%d", count);
    args[2] = counts[0];
    int at = argc++;
    for (count = 0; t->asks[count].id != NULL; count++) {
        args[argc++] = t->asks[count].id;
        args[argc++] = t->asks[count].is_running ? "1" : "0";
        args[argc++] = t->asks[count].pool == NULL ? "-" : t->asks[count].pool;
        args[argc++] = t->asks[count].priority == NULL ? "0" : t->asks[count].priority;
        args[argc++] = t->asks[count].flow == NULL ? "-" : t->asks[count].flow;
    }
    snprintf(counts[1], sizeof(counts[1]), "%d", count);
    args[at] = counts[1];
    redisReply *reply = eval(redis, &script_pool_turn, argc, args);
    out[0] = '\0';
    for (size_t i = 1; i < reply->elements; i++) {
        size_t len = strlen(out);
        snprintf(out + len, sizeof(out) - len, "%s%s", len > 0 ? " " : "", reply->element[i]->str);
    }
    freeReplyObject(reply);
    return out;
}

#define TURN(redis, ...) turn(redis, &(struct turn){__VA_ARGS__})

static int64_t number(redisContext *redis, const char *command)
{
    redisReply *reply = redisCommand(redis, command);
    assert_non_null(reply);
    int64_t value = reply_int(reply, -1);
    freeReplyObject(reply);
    return value;
}

static void slots(redisContext *redis, const char *pool, const char *count)
{
    redisReply *reply = redisCommand(redis, "HSET rondo:{pools}:slots %s %s", pool, count);
    freeReplyObject(reply);
}

static int pool_keys(redisContext *redis)
{
    redisReply *reply = redisCommand(redis, "KEYS rondo:{pools}:*");
    int left = 0;
    for (size_t i = 0; i < reply->elements; i++) {
        const char *key = reply->element[i]->str;
        left += !str_eq(key, "rondo:{pools}:slots") && !str_eq(key, "rondo:{pools}:turn");
    }
    freeReplyObject(reply);
    return left;
}

static void test_repeats(void **state)
{
    struct bench *b = *state;
    redisContext *redis = redis_fixture_connect(&b->h.redis);
    const struct turn ask = {.slots = "1", .asks = {{.id = "a"}, {.id = "b"}}};
    assert_string_equal(turn(redis, &ask), "a");
    assert_string_equal(turn(redis, &ask), "a"); /* the same answer, and b keeps its place */
    assert_int_equal(number(redis, "ZCARD rondo:{pools}:held:default"), 1);
    assert_int_equal(number(redis, "ZCARD rondo:{pools}:queue:default"), 1);
    const struct turn leave = {.slots = "1", .leaves = {"a"}};
    assert_string_equal(turn(redis, &leave), "b");
    assert_string_equal(turn(redis, &leave), "");
    assert_string_equal(TURN(redis, .slots = "1", .asks = {{.id = "b"}}), "b");
    assert_string_equal(TURN(redis, .slots = "1", .leaves = {"b", "never-seen"}), "");
    assert_int_equal(pool_keys(redis), 0); /* nothing is left */
    redisFree(redis);
}

static void test_priority(void **state)
{
    struct bench *b = *state;
    redisContext *redis = redis_fixture_connect(&b->h.redis);
    slots(redis, "gpu", "1");
    assert_string_equal(TURN(redis, .asks = {{"x", "gpu"}}), "x");
    assert_string_equal(
        TURN(redis, .asks = {{"low", "gpu", "-1000"}, {"mid", "gpu"}, {"mid2", "gpu"},
                        {"high", "gpu", "1000"}, {"free", NULL}, {"one", "gpu", "1"}}),
        "free");
    const char *const order[] = {"x", "high", "one", "mid", "mid2", "low"};
    for (size_t i = 0; i + 1 < ARRAY_LEN(order); i++) {
        assert_string_equal(TURN(redis, .leaves = {order[i]}), order[i + 1]);
    }
    redisFree(redis);
}

/* A thousand waiting runs of one recurring run, and whoever comes later is next but one. */
static void test_fair(void **state)
{
    struct bench *b = *state;
    redisContext *redis = redis_fixture_connect(&b->h.redis);
    assert_string_equal(TURN(redis, .slots = "1", .asks = {{"first"}}), "first");
    char id[16];
    for (int i = 0; i < 1000; i++) {
        snprintf(id, sizeof(id), "a%d", i);
        assert_string_equal(TURN(redis, .slots = "1", .asks = {{id, .flow = "A"}}), "");
    }
    assert_string_equal(TURN(redis, .slots = "1", .leaves = {"first"}), "a0");
    assert_string_equal(TURN(redis, .slots = "1", .leaves = {"a0"}), "a1");
    TURN(redis, .slots = "1",
        .asks = {{"b0", .flow = "B"}, {"b1", .flow = "B"}, {"c0", .flow = "C"}, {"one-off"},
            {"b2", .flow = "B"}});
    const char *const order[] = {"a1", "a2", "b0", "c0", "one-off", "a3", "b1", "a4", "b2", "a5"};
    for (size_t i = 0; i + 1 < ARRAY_LEN(order); i++) {
        assert_string_equal(TURN(redis, .slots = "1", .leaves = {order[i]}), order[i + 1]);
    }
    /* Nor does a lower priority's backlog count against a recurring run that comes new to it. */
    TURN(redis, .slots = "1", .asks = {{"p0", .priority = "5", .flow = "A"}});
    assert_string_equal(TURN(redis, .slots = "1", .leaves = {"a5"}), "p0");
    TURN(redis, .slots = "1", .asks = {{"d0", .flow = "D"}});
    assert_string_equal(TURN(redis, .slots = "1", .leaves = {"p0"}), "a6");
    assert_string_equal(TURN(redis, .slots = "1", .leaves = {"a6"}), "d0");
    redisFree(redis);
}

/* Those that wait for a full pool do not hold up others, and pools take turns at what is free. */
static void test_two_pools(void **state)
{
    struct bench *b = *state;
    redisContext *redis = redis_fixture_connect(&b->h.redis);
    slots(redis, "gpu", "1");
    assert_string_equal(TURN(redis, .slots = "2",
                            .asks = {{"g0", "gpu"}, {"g1", "gpu", "9"}, {"g2", "gpu", "9"}, {"d0"},
                                {"d1"}, {"d2"}}),
        "g0 d0");
    assert_string_equal(TURN(redis, .slots = "2", .leaves = {"d0"}), "d1");
    assert_string_equal(TURN(redis, .slots = "2", .leaves = {"g0"}), "g1");
    assert_string_equal(TURN(redis, .slots = "2", .leaves = {"g1"}), "g2");
    /* Fewer slots than are held: nobody is admitted before it is below. */
    assert_string_equal(TURN(redis, .slots = "1", .leaves = {"d1"}), "");
    assert_string_equal(TURN(redis, .slots = "1", .leaves = {"g2"}), "d2");
    /* A run in progress takes its slots; a deleted pool limits nobody. */
    assert_string_equal(
        TURN(redis, .slots = "1", .asks = {{"g4", "gpu", .is_running = true}}), "g4");
    assert_string_equal(TURN(redis, .asks = {{"g5", "gpu"}}), "");
    redisReply *reply = redisCommand(redis, "HDEL rondo:{pools}:slots gpu");
    freeReplyObject(reply);
    assert_string_equal(TURN(redis, .slots = NULL), "g5");
    assert_string_equal(TURN(redis, .slots = NULL, .leaves = {"g4", "g5", "d2"}), "");
    assert_int_equal(pool_keys(redis), 0);

    slots(redis, "gpu", "5");
    assert_string_equal(TURN(redis, .slots = "1", .asks = {{"x"}}), "x");
    TURN(redis, .slots = "1", .asks = {{"d0"}, {"d1"}, {"d2"}, {"g0", "gpu"}, {"g1", "gpu"}});
    const char *const order[] = {"x", "d0", "g0", "d1", "g1", "d2"};
    for (size_t i = 0; i + 1 < ARRAY_LEN(order); i++) {
        assert_string_equal(TURN(redis, .slots = "1", .leaves = {order[i]}), order[i + 1]);
    }
    redisFree(redis);
}

/* Whatever comes in whatever order: never more than slots, and nobody waits for what is free. */
static void test_random(void **state)
{
    enum { RUNS = 60, STEPS = 4000 };
    struct bench *b = *state;
    redisContext *redis = redis_fixture_connect(&b->h.redis);
    static const char *const pools[] = {NULL, "p", "q"};
    static const char *const priorities[] = {"0", "-3", "7"};
    static const char *const flows[] = {"-", "A", "B", "C"};
    char ids[RUNS][16];
    bool is_in[RUNS] = {0};
    for (int i = 0; i < RUNS; i++) {
        snprintf(ids[i], sizeof(ids[i]), "r%d", i);
    }
    slots(redis, "p", "3");
    slots(redis, "q", "2");
    unsigned seed = 7;
    int64_t admitted = 0;
    for (int step = 0; step < STEPS; step++) {
        struct turn t = {.slots = "4"};
        int asks = 0, leaves = 0;
        for (int i = 0; i < 3; i++) {
            seed = seed * 1103515245 + 12345;
            int one = (int)(seed >> 16) % RUNS;
            seed = seed * 1103515245 + 12345;
            if ((seed >> 16) % 3 == 0) {
                t.leaves[leaves++] = ids[one];
                is_in[one] = false;
            } else {
                t.asks[asks].id = ids[one];
                t.asks[asks].pool = pools[one % 3];
                t.asks[asks].priority = priorities[one / 3 % 3];
                t.asks[asks++].flow = flows[one / 9 % 4];
                is_in[one] = true;
            }
        }
        for (int i = 0; i < asks; i++) {
            for (int k = 0; k < RUNS; k++) {
                is_in[k] |= t.asks[i].id == ids[k]; /* who leaves and asks in one turn asks */
            }
        }
        admitted += turn(redis, &t)[0] != '\0';
        int64_t all = number(redis, "ZCARD rondo:{pools}:held:default");
        int64_t p = number(redis, "ZCARD rondo:{pools}:held:p");
        int64_t q = number(redis, "ZCARD rondo:{pools}:held:q");
        int64_t wait = number(redis, "ZCARD rondo:{pools}:queue:default");
        int64_t wait_p = number(redis, "ZCARD rondo:{pools}:queue:p");
        int64_t wait_q = number(redis, "ZCARD rondo:{pools}:queue:q");
        assert_true(all <= 4 && p <= 3 && q <= 2);
        assert_true(all == 4 || (wait == 0 && (p == 3 || wait_p == 0) && (q == 2 || wait_q == 0)));
        int64_t in = 0;
        for (int i = 0; i < RUNS; i++) {
            in += is_in[i];
        }
        assert_int_equal(all + wait + wait_p + wait_q, in);
        assert_int_equal(number(redis, "HLEN rondo:{pools}:entries"), in);
    }
    assert_true(admitted > STEPS / 10);
    for (int i = 0; i < RUNS; i++) {
        TURN(redis, .slots = "4", .leaves = {ids[i]});
    }
    assert_int_equal(pool_keys(redis), 0);
    redisFree(redis);
}

/* ---- the engine ---- */

static struct id run_in(struct bench *b, const char *sha, const char *pool, int64_t priority)
{
    struct id id;
    id_new(&id);
    struct run_request req = {
        .id = id.text,
        .name = "a run",
        .experiment_id = experiment_id,
        .spec = sha,
        .pipeline_name = "p",
        .pool = pool,
        .priority = priority,
    };
    CALL(b, run_create(b->store, &req, bench_on_json, b));
    assert_string_equal(b->err.msg, "");
    engine_wake(b->engine, id.text);
    return id;
}

static void put_steps(struct bench *b, char sha[65])
{
    const struct step_row rows[] = {{"a", NULL, NULL, NULL, NULL}};
    bench_put_spec(b, spec_of("pooled", rows, 1), sha);
}

static void restart(struct bench *b, int64_t max_runs)
{
    bench_engine_crash(b);
    bench_take_over(b);
    b->settings.max_runs = max_runs;
    bench_engine_start(b);
}

/* By the records: runs that have begun and not ended, all and of this pool, each with slots. */
static const char observe_text[] =
    "local all, one = 0, 0\n"
    "for _, key in ipairs(redis.call('KEYS', 'rondo:{*}:run:*')) do\n"
    "  local id = key:match('run:([%x-]+)$')\n"
    "  local run = id and redis.call('HMGET', key, 'state', 'started_us', 'doc')\n"
    "  if run and (run[1] == 'RUNNING' or (run[1] == 'CANCELING' and run[2])) then\n"
    "    all = all + 1\n"
    "    if not redis.call('ZSCORE', 'rondo:{pools}:held:default', id) then return {-1, -1} end\n"
    "    if cjson.decode(run[3]).pool == 'gpu' then one = one + 1 end\n"
    "  end\n"
    "end\n"
    "return {all, one}";

static int64_t observe(redisContext *redis, int64_t max, int64_t max_gpu)
{
    redisReply *reply = redisCommand(redis, "EVAL %s 0", observe_text);
    assert_non_null(reply);
    assert_int_equal(reply->type, REDIS_REPLY_ARRAY);
    int64_t all = reply_int(reply->element[0], -1), gpu = reply_int(reply->element[1], -1);
    freeReplyObject(reply);
    assert_true(all >= 0); /* -1: one that has no slots */
    assert_true(all <= max && gpu <= max_gpu);
    return all;
}

static void call_set(struct bench *b, const char *name, int64_t count)
{
    CALL(b, pool_set(b->store, name, count, bench_on_json, b));
    assert_string_equal(b->err.msg, "");
    engine_pools_changed(b->engine);
}

/* Engines die at any moment, runs end and are asked to end; whoever looks sees never one too many.
 */
static void test_death(void **state)
{
    enum { RUNS = 30, DEATHS = 12 };
    struct bench *b = *state;
    char sha[65];
    put_steps(b, sha);
    redisContext *redis = redis_fixture_connect(&b->h.redis);
    restart(b, 4);
    call_set(b, "gpu", 2);
    fake_will(b->fake, "a", -1, HELD);
    struct id ids[RUNS];
    size_t made = 0;
    int deaths = 0;
    int64_t most = 0;
    unsigned seed = 3;
    int64_t end = clock_mono_us() + WAIT_S * US_PER_S;
    for (;;) {
        seed = seed * 1103515245 + 12345;
        unsigned dice = (seed >> 16) % 24;
        if (dice < 5 && made < RUNS) {
            ids[made] = run_in(b, sha, made % 3 == 0 ? "gpu" : NULL, (int64_t)(made % 4));
            made++;
        } else if (dice < 12) {
            fake_finish(b->fake, "a", SUCCEEDED);
        } else if (dice == 12 && made > 0) {
            struct id one = ids[(seed >> 8) % made];
            CALL(b, run_cancel(b->store, one.text, bench_on_json, b));
            engine_wake(b->engine, one.text);
        } else if (dice == 13 && deaths < DEATHS) {
            deaths++;
            restart(b, 4);
        }
        for (unsigned i = 0; i < (seed >> 20) % 6; i++) {
            bench_turn(b);
        }
        int64_t now = observe(redis, 4, 2);
        most = now > most ? now : most;
        if (made == RUNS && deaths == DEATHS && now == 0 &&
            number(redis, "HLEN rondo:{pools}:entries") == 0) {
            break;
        }
        if (clock_mono_us() > end) {
            fail_msg("the runs do not end");
        }
    }
    assert_int_equal(most, 4);
    assert_int_equal(deaths, DEATHS);
    for (size_t i = 0; i < RUNS; i++) {
        const char *was = bench_state(b, ids[i]);
        assert_true(str_eq(was, "SUCCEEDED") || str_eq(was, "CANCELED"));
    }
    redisFree(redis);
}

static json_t *shown(struct bench *b, const char *name)
{
    CALL(b, pool_get(b->store, name, bench_on_json, b));
    assert_string_equal(b->err.msg, "");
    return b->answer;
}

static int64_t waiting(struct bench *b, const char *name)
{
    return jget_i64(shown(b, name), "waiting", -1);
}

static int64_t held_slots(struct bench *b, const char *name)
{
    return jget_i64(shown(b, name), "held", -1);
}

/* The queue is visible, in its order, and a run that waits can be asked to end. */
static void test_visible(void **state)
{
    struct bench *b = *state;
    char sha[65];
    put_steps(b, sha);
    fake_will(b->fake, "a", -1, HELD);
    call_set(b, "gpu", 1);
    struct id first = run_in(b, sha, "gpu", 0);
    WAIT_UNTIL(b, fake_running(b->fake) == 1);
    struct id low = run_in(b, sha, "gpu", -5), high = run_in(b, sha, "gpu", 5);
    struct id free_one = run_in(b, sha, NULL, 0); /* asks for nothing that is limited */
    WAIT_UNTIL(b, fake_running(b->fake) == 2);
    WAIT_UNTIL(b, waiting(b, "gpu") == 2);
    const json_t *pool = shown(b, "gpu");
    assert_int_equal(jget_i64(pool, "slots", 0), 1);
    assert_int_equal(jget_i64(pool, "held", 0), 1);
    const json_t *holders = json_object_get(pool, "holders"),
                 *queue = json_object_get(pool, "queue");
    assert_string_equal(jget_str(json_array_get(holders, 0), "run_id", ""), first.text);
    assert_int_equal(json_array_size(queue), 2);
    assert_string_equal(jget_str(json_array_get(queue, 0), "run_id", ""), high.text);
    assert_int_equal(jget_i64(json_array_get(queue, 1), "place", 0), 2);
    assert_int_equal(jget_i64(json_array_get(queue, 1), "priority", 0), -5);
    CALL(b, pool_place(b->store, low.text, bench_on_json, b));
    assert_string_equal(jget_str(b->answer, "pool", ""), "gpu");
    assert_int_equal(jget_i64(b->answer, "place", 0), 2);
    assert_string_equal(bench_state(b, low), "PENDING");
    CALL(b, pool_list(b->store, bench_on_json, b));
    assert_int_equal(json_array_size(b->answer), 2);
    assert_string_equal(jget_str(json_array_get(b->answer, 0), "name", ""), "default");
    assert_null(json_object_get(json_array_get(b->answer, 0), "slots"));

    CALL(b, run_cancel(b->store, high.text, bench_on_json, b));
    engine_wake(b->engine, high.text);
    bench_await_end(b, high);
    assert_string_equal(bench_state(b, high), "CANCELED");
    WAIT_UNTIL(b, waiting(b, "gpu") == 1);
    call_set(b, "gpu", 2); /* and with more slots the next one begins */
    WAIT_UNTIL(b, fake_running(b->fake) == 3);
    struct id late = run_in(b, sha, "gpu", 0);
    WAIT_UNTIL(b, waiting(b, "gpu") == 1);
    CALL(b, pool_delete(b->store, "gpu", bench_on_json, b));
    engine_pools_changed(b->engine);
    WAIT_UNTIL(b, fake_running(b->fake) == 4);
    CALL(b, pool_get(b->store, "gpu", bench_on_json, b));
    assert_int_equal(b->err.code, ERR_NOT_FOUND);
    while (fake_finish(b->fake, "a", SUCCEEDED)) {
    }
    bench_await_end(b, first);
    bench_await_end(b, low);
    bench_await_end(b, late);
    bench_await_end(b, free_one);
    WAIT_UNTIL(b, held_slots(b, "default") == 0);
}

/* What a daemon that died left behind goes, and runs in progress take slots when a limit comes. */
static void test_compare(void **state)
{
    struct bench *b = *state;
    char sha[65];
    put_steps(b, sha);
    fake_will(b->fake, "a", -1, HELD);
    struct id one = run_in(b, sha, NULL, 0), two = run_in(b, sha, NULL, 0);
    WAIT_UNTIL(b, fake_running(b->fake) == 2);
    restart(b, 1);
    WAIT_UNTIL(b, held_slots(b, "default") == 2);
    struct id three = run_in(b, sha, NULL, 0);
    WAIT_UNTIL(b, waiting(b, "default") == 1);
    assert_true(fake_finish(b->fake, "a", SUCCEEDED));
    assert_true(fake_finish(b->fake, "a", SUCCEEDED));
    bench_await_end(b, one);
    bench_await_end(b, two);
    WAIT_UNTIL(b, fake_running(b->fake) == 1);
    /* As if the daemon had died between the save and the return of the slots. */
    redisContext *redis = redis_fixture_connect(&b->h.redis);
    TURN(redis, .slots = "1", .asks = {{one.text, .is_running = true}, {two.text}});
    redisFree(redis);
    assert_int_equal(held_slots(b, "default"), 2);
    pools_compare(b->engine->pools);
    WAIT_UNTIL(b, held_slots(b, "default") == 1 && waiting(b, "default") == 0);
    assert_true(fake_finish(b->fake, "a", SUCCEEDED));
    bench_await_end(b, three);
    WAIT_UNTIL(b, held_slots(b, "default") == 0);
}

/* A run that was granted its slot and that its daemon does not know of: the slot tells of it. */
static void test_granted_unknown(void **state)
{
    struct bench *b = *state;
    char sha[65];
    put_steps(b, sha);
    restart(b, 1);
    struct id id;
    id_new(&id);
    struct run_request req = {
        .id = id.text, .name = "a run", .experiment_id = experiment_id, .spec = sha};
    CALL(b, run_create(b->store, &req, bench_on_json, b)); /* nobody is told */
    redisContext *redis = redis_fixture_connect(&b->h.redis);
    assert_string_equal(TURN(redis, .slots = "1", .asks = {{id.text}}), id.text);
    redisFree(redis);
    struct id next = run_in(b, sha, NULL, 0);
    WAIT_UNTIL(b, waiting(b, "default") == 1);
    pools_compare(b->engine->pools);
    bench_await_end(b, id);
    bench_await_end(b, next);
    WAIT_UNTIL(b, held_slots(b, "default") == 0);
}

/* Redis goes away and loses all of it while runs wait: they get their turn all the same. */
static void test_redis_lost(void **state)
{
    struct bench *b = *state;
    char sha[65];
    put_steps(b, sha);
    fake_will(b->fake, "a", -1, HELD);
    restart(b, 1);
    struct id one = run_in(b, sha, NULL, 0);
    WAIT_UNTIL(b, fake_running(b->fake) == 1);
    struct id two = run_in(b, sha, NULL, 0);
    WAIT_UNTIL(b, waiting(b, "default") == 1);
    redisContext *redis = redis_fixture_connect(&b->h.redis);
    redisReply *reply = redisCommand(redis, "EVAL %s 0",
        "for _, key in ipairs(redis.call('KEYS', 'rondo:{pools}:*')) do redis.call('DEL', key) "
        "end");
    freeReplyObject(reply);
    redisFree(redis);
    for (unsigned i = 0; i < store_shards(b->store); i++) {
        engine_shard_look(b->engine, i); /* as after a reconnect */
    }
    engine_wake(b->engine, two.text);
    WAIT_UNTIL(b, held_slots(b, "default") == 1 && waiting(b, "default") == 1);
    assert_int_equal(fake_running(b->fake), 1);
    assert_true(fake_finish(b->fake, "a", SUCCEEDED));
    bench_await_end(b, one);
    WAIT_UNTIL(b, fake_running(b->fake) == 1);
    assert_true(fake_finish(b->fake, "a", SUCCEEDED));
    bench_await_end(b, two);
}

static void test_wishes(void **state UNUSED)
{
    static const struct {
        const char *doc, *error;
    } rows[] = {
        {"{}", NULL},
        {"{\"pool\":\"gpu-1.a\",\"priority\":-1000}", NULL},
        {"{\"pool\":\"default\"}", "pool: every run is in 'default'"},
        {"{\"pool\":\"\"}", "pool: '' is no name"},
        {"{\"pool\":\"Gpu\"}", "pool: 'Gpu' is no name"},
        {"{\"pool\":\"a b\"}", "pool: 'a b' is no name"},
        {"{\"pool\":3}", "pool: "},
        {"{\"priority\":1001}", "priority: "},
        {"{\"priority\":\"x\"}", "priority: "},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = ERR_INIT;
        json_t *doc = json_from(rows[i].doc);
        int result = pool_check_wish(doc, &err);
        json_decref(doc);
        assert_int_equal(result, rows[i].error == NULL ? 0 : -1);
        if (rows[i].error != NULL && strncmp(err.msg, rows[i].error, strlen(rows[i].error)) != 0) {
            fail_msg("%s: %s", rows[i].doc, err.msg);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wishes),
        cmocka_unit_test_setup_teardown(test_repeats, bench_setup, bench_teardown),
        cmocka_unit_test_setup_teardown(test_priority, bench_setup, bench_teardown),
        cmocka_unit_test_setup_teardown(test_fair, bench_setup, bench_teardown),
        cmocka_unit_test_setup_teardown(test_two_pools, bench_setup, bench_teardown),
        cmocka_unit_test_setup_teardown(test_random, bench_setup, bench_teardown),
        cmocka_unit_test_setup_teardown(test_visible, bench_setup, bench_teardown),
        cmocka_unit_test_setup_teardown(test_compare, bench_setup, bench_teardown),
        cmocka_unit_test_setup_teardown(test_granted_unknown, bench_setup, bench_teardown),
        cmocka_unit_test_setup_teardown(test_redis_lost, bench_setup, bench_teardown),
        cmocka_unit_test_setup_teardown(test_death, bench_setup, bench_teardown),
    };
    return cmocka_run_group_tests_name("run/pools", tests, NULL, NULL);
}
