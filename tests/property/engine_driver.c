/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Carries out runs with the real engine and a real redis-server, in front of a scripted world.
 * One case per line on stdin, one answer per line on stdout, both JSON; see
 * tests/integration/test_property.py for what is made of them.
 *
 *   {"run_id", "seed", "spec", "parameters", "script": see world.h, "max_steps",
 *    "eagerness": an attempt ends in one of so many turns of the loop,
 *    "cancel_after": n      ask the run to end some turns after n attempts have begun; or absent,
 *    "cancels": n           so often, each some turns after the one before; 1 if absent,
 *    "exit_tasks": bool     what run-exit-tasks-on-cancel says,
 *    "cache": bool          what cache says; it outlives the case,
 *    "kills": [n, ...]      SIGKILL the engine's process at its n-th step, one after the other,
 *    "losses": [n, ...]}    Redis loses one to three saves it had confirmed at the n-th step
 *   -> {"state", "error", "outputs", "tasks": [...], "trace": [...]}
 *      or {"refused": why} {"stuck": true, ...} {"crashed": what was on stderr}
 *
 * A step is a turn of the loop or a fault point passed. The engine lives in a child process, so
 * that it can be killed; the world and Redis stay.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/id.h"
#include "base/json.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/store.h"
#include "base/util.h"
#include "scheduler/artifact.h"
#include "scheduler/catalog.h"
#include "scheduler/plan.h"
#include "scheduler/run.h"
#include "tests/property/world.h"
#include "tests/support/redis_fixture.h"
#include "tests/support/take_over.h"

#define STUCK_US (10 * US_PER_S)
#define ANSWER_MAX ((size_t)256 * 1024 * 1024)
#define SNAPSHOT_KEYS 5
#define SNAPSHOTS 3
#define EXIT_TASKS_MS ((int64_t)365 * 24 * 3600 * 1000) /* no case takes so long */
#define CACHE_ENTRIES 20000                             /* more than one case makes */

static const char experiment_id[] = "07000000-0000-4000-8000-000000000001";

/* ---- time and fault points are ours ---- */

void __real_timer_start_ms(struct timer *timer, int64_t after_ms);
void __wrap_timer_start_ms(struct timer *timer, int64_t after_ms);
bool __wrap_fault_hit(const char *name);

/* Backoffs are waited for, but not that long. */
void __wrap_timer_start_ms(struct timer *timer, int64_t after_ms)
{
    bool is_backoff = after_ms >= 100 && after_ms <= 70000;
    __real_timer_start_ms(timer, is_backoff ? 5 + after_ms / 100 : after_ms);
}

/* ---- the engine's process ---- */

struct snapshot {
    redisReply *dumps;
};

struct worker {
    const struct redis_fixture *redis;
    struct world *world;
    redisContext *behind; /* a connection of our own, for what is done behind the engine's back */
    struct loop *loop;
    struct store *store;
    struct catalog *catalog;
    struct artifact_store *artifacts;
    struct world_executor *executor;
    struct executor face;
    struct timer tick;
    struct engine *engine;
    uint64_t connections;
    bool has_ended;
    /* the last answer */
    bool is_answered;
    json_t *answer;
    struct err err;
    /* the case */
    struct id run_id;
    int64_t steps, kill_at, loss_at;
    const json_t *losses;
    size_t losses_done;
    int64_t cancel_after, cancel_turns;
    uint32_t cancels;
    uint32_t eagerness;
    struct snapshot snapshots[SNAPSHOTS];
    size_t snapshot_count;
};

static struct worker *the_worker;

static void worker_die(const char *what)
{
    fprintf(stderr, "engine_driver: %s\n", what);
    abort();
}

static redisReply *behind_do(struct worker *w, int argc, const char **argv, const size_t *lens)
{
    redisReply *reply = redisCommandArgv(w->behind, argc, argv, lens);
    if (reply == NULL || reply->type == REDIS_REPLY_ERROR) {
        worker_die(reply == NULL ? w->behind->errstr : reply->str);
    }
    return reply;
}

/* What the engine may write of a run, so that it can be taken back. */
static void run_keys(const struct worker *w, char keys[SNAPSHOT_KEYS][160])
{
    const char *prefix = store_id_prefix(w->store, w->run_id.text);
    snprintf(keys[0], 160, "%srun:%s", prefix, w->run_id.text);
    snprintf(keys[1], 160, "%srun:%s:tasks", prefix, w->run_id.text);
    snprintf(keys[2], 160, "%slive", prefix);
    snprintf(keys[3], 160, "%sfinished", prefix);
    snprintf(keys[4], 160, "%sevents", prefix);
}

static void snapshot_take(struct worker *w)
{
    char keys[SNAPSHOT_KEYS][160];
    run_keys(w, keys);
    const char *argv[3 + SNAPSHOT_KEYS] = {"EVAL",
        "local all = {} for i, key in ipairs(KEYS) do all[i] = redis.call('DUMP', key) or '' end "
        "return all",
        "5"};
    for (size_t i = 0; i < SNAPSHOT_KEYS; i++) {
        argv[3 + i] = keys[i];
    }
    if (w->snapshot_count == SNAPSHOTS) {
        freeReplyObject(w->snapshots[0].dumps);
        memmove(&w->snapshots[0], &w->snapshots[1], (SNAPSHOTS - 1) * sizeof(w->snapshots[0]));
        w->snapshot_count--;
    }
    w->snapshots[w->snapshot_count++].dumps = behind_do(w, ARRAY_LEN(argv), argv, NULL);
}

static void snapshots_drop(struct worker *w)
{
    while (w->snapshot_count > 0) {
        freeReplyObject(w->snapshots[--w->snapshot_count].dumps);
    }
}

/* Redis comes back without its last writes: connections are gone, and so is what they wrote. */
static void redis_lose(struct worker *w)
{
    if (w->snapshot_count == 0) {
        return;
    }
    world_tell(w->world, 'L', 0);
    const char *drop[] = {"CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"};
    freeReplyObject(behind_do(w, ARRAY_LEN(drop), drop, NULL));
    char keys[SNAPSHOT_KEYS][160];
    run_keys(w, keys);
    size_t to = world_random(w->world, (uint32_t)w->snapshot_count);
    const redisReply *dumps = w->snapshots[to].dumps;
    const char *argv[3 + 2 * SNAPSHOT_KEYS] = {"EVAL",
        "for i, key in ipairs(KEYS) do redis.call('DEL', key) "
        "if ARGV[i] ~= '' then redis.call('RESTORE', key, 0, ARGV[i]) end end return 1",
        "5"};
    size_t lens[3 + 2 * SNAPSHOT_KEYS];
    for (size_t i = 0; i < SNAPSHOT_KEYS; i++) {
        argv[3 + i] = keys[i];
        argv[3 + SNAPSHOT_KEYS + i] = dumps->element[i]->str;
        lens[3 + SNAPSHOT_KEYS + i] = dumps->element[i]->len;
    }
    for (size_t i = 0; i < 3 + SNAPSHOT_KEYS; i++) {
        lens[i] = strlen(argv[i]);
    }
    freeReplyObject(behind_do(w, ARRAY_LEN(argv), argv, lens));
    while (w->snapshot_count > to) {
        freeReplyObject(w->snapshots[--w->snapshot_count].dumps);
    }
}

static void worker_step(struct worker *w)
{
    w->steps++;
    if (w->steps == w->kill_at) {
        kill(getpid(), SIGKILL);
    }
    if (w->steps == w->loss_at) {
        redis_lose(w);
        w->losses_done++;
        json_t *next = json_array_get(w->losses, w->losses_done);
        w->loss_at = next == NULL ? -1 : w->steps + json_integer_value(next);
    }
}

bool __wrap_fault_hit(const char *name)
{
    struct worker *w = the_worker;
    if (w != NULL && w->engine != NULL) {
        if (w->losses != NULL && str_eq(name, "run.save.before")) {
            snapshot_take(w);
        }
        worker_step(w);
    }
    return false;
}

static void on_json(void *owner, const json_t *record, const struct err *err)
{
    struct worker *w = owner;
    json_decref(w->answer);
    w->answer = record == NULL ? NULL : json_deep_copy(record);
    err_clear(&w->err);
    if (err != NULL) {
        err_copy(&w->err, err);
    }
    w->is_answered = true;
}

static void on_started(void *owner, const struct err *err)
{
    on_json(owner, NULL, err);
}

static void on_run_end(
    void *owner, const char *run_id UNUSED, const char *rr UNUSED, bool is_of_git UNUSED)
{
    ((struct worker *)owner)->has_ended = true;
}

static void on_tick(void *owner)
{
    struct worker *w = owner;
    __real_timer_start_ms(&w->tick, 2);
}

static void turn(struct worker *w, bool block)
{
    loop_turn(w->loop, block);
    if (w->engine != NULL) {
        worker_step(w);
        if (store_connections(w->store) != w->connections) {
            w->connections = store_connections(w->store);
            for (unsigned i = 0; i < store_shards(w->store); i++) {
                engine_shard_look(w->engine, i);
            }
        }
    }
}

/* Until what was asked is answered; while Redis is away it is asked again. */
#define CALL(w, expression)                                                                        \
    do {                                                                                           \
        int64_t limit_ = clock_mono_us() + STUCK_US;                                               \
        do {                                                                                       \
            (w)->is_answered = false;                                                              \
            expression;                                                                            \
            while (!(w)->is_answered && clock_mono_us() < limit_) {                                \
                turn(w, true);                                                                     \
            }                                                                                      \
        } while (clock_mono_us() < limit_ && (!(w)->is_answered || err_is_transient(&(w)->err)));  \
        if (!(w)->is_answered || (w)->err.code != ERR_NONE) {                                      \
            fprintf(stderr, "%s: %s\n", #expression, (w)->err.msg);                                \
            worker_die("a call was not answered");                                                 \
        }                                                                                          \
    } while (0)

static void worker_init(struct worker *w, const struct redis_fixture *redis, struct world *world)
{
    *w = (struct worker){.redis = redis, .world = world, .kill_at = -1, .loss_at = -1};
    struct err err = ERR_INIT;
    log_set(getenv("TEST_LOG") != NULL ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    clock_set_shift_us(world->shift_us);
    w->behind = redis_fixture_connect(redis);
    w->loop = loop_new(&err);
    struct store_settings settings = {
        .url = redis->url, .command_timeout_ms = 100000, .shards = 16, .prefix = "rondo"};
    w->store = w->loop == NULL ? NULL : store_new(w->loop, &settings, &err);
    w->artifacts = artifact_store_new(redis->dir, &err);
    if (w->behind == NULL || w->store == NULL || w->artifacts == NULL) {
        worker_die(err.msg);
    }
    timer_init(&w->tick, w->loop, on_tick, w);
    on_tick(w);
    CALL(w, take_over(w->store, on_started, w));
    w->catalog = catalog_new(w->loop, w->store);
    w->executor = world_executor_new(w->loop, world, &w->face);
    the_worker = w;
}

static void worker_done(struct worker *w)
{
    the_worker = NULL;
    world_executor_free(w->executor);
    catalog_free(w->catalog);
    store_free(w->store);
    artifact_store_free(w->artifacts);
    timer_done(&w->tick);
    loop_free(w->loop);
    redisFree(w->behind);
    json_decref(w->answer);
}

/* ---- one case ---- */

static struct plan *compile(const json_t *spec, char **why)
{
    struct complaints complaints;
    complaints_init(&complaints);
    struct plan *plan = plan_compile_json(spec, &complaints);
    if (plan == NULL) {
        struct buf text;
        buf_init(&text, 65536);
        complaints_format(&complaints, 10, &text);
        *why = buf_steal(&text, NULL);
    }
    complaints_done(&complaints);
    return plan;
}

static void engine_begin(struct worker *w, const json_t *c)
{
    struct engine_settings settings = {
        .loop = w->loop,
        .store = w->store,
        .catalog = w->catalog,
        .artifacts = w->artifacts,
        .executor = w->face,
        .max_steps = jget_i64(c, "max_steps", 1000),
        .lost_retries = 2,
        .run_exit_tasks_on_cancel = json_is_true(json_object_get(c, "exit_tasks")),
        .exit_tasks_timeout_ms = EXIT_TASKS_MS,
        .cache = json_is_true(json_object_get(c, "cache")),
        .cache_max_entries = CACHE_ENTRIES,
        .forget_after_ms = w->losses == NULL ? 0 : 1000000,
    };
    w->has_ended = false;
    w->connections = store_connections(w->store);
    w->engine = engine_new(&settings);
    engine_on_run_end(w->engine, on_run_end, w);
    world_tell(w->world, 'K', 0);
    CALL(w, engine_start(w->engine, on_started, w));
}

static void ask_to_end(struct worker *w)
{
    struct world *world = w->world;
    if (world->cancels_asked >= w->cancels || world->attempt_count < w->cancel_after ||
        w->cancel_turns-- > 0) {
        return;
    }
    world->cancels_asked++;
    w->cancel_turns = world_random(world, 40);
    world_tell(world, 'C', 0);
    CALL(w, run_cancel(w->store, w->run_id.text, on_json, w));
    engine_wake(w->engine, w->run_id.text);
}

static bool is_final(struct worker *w)
{
    CALL(w, run_get(w->store, w->run_id.text, false, on_json, w));
    enum run_state state;
    return run_state_parse(jget_str(w->answer, "state", ""), &state) == 0 &&
           run_state_is_final(state);
}

/* Turn the loop, end attempts, let time pass when nothing else does. False: it does not end. */
static bool carry_out(struct worker *w)
{
    bool is_over = is_final(w);
    int64_t last = clock_mono_us(), idle_turns = 0;
    uint32_t seen = w->world->event_count;
    while (!is_over) {
        bool is_spinning = w->world->running > 0;
        if (world_random(w->world, w->eagerness) == 0) {
            (void)world_executor_end_one(w->executor);
        }
        ask_to_end(w);
        turn(w, !is_spinning);
        int64_t now = clock_mono_us();
        if (w->world->event_count != seen) {
            seen = w->world->event_count;
            last = now;
            idle_turns = 0;
        } else if (!is_spinning && ++idle_turns % 8 == 0) {
            w->world->shift_us += 2 * US_PER_S; /* somebody waits for his next try */
            clock_set_shift_us(w->world->shift_us);
            loop_clock_changed(w->loop);
        }
        if (w->has_ended || idle_turns % 50 == 49) { /* the end was saved, and maybe lost again */
            idle_turns++;
            w->loss_at = w->has_ended ? -1 : w->loss_at; /* what is final now stays so */
            w->has_ended = false;
            is_over = is_final(w);
        }
        if (now - last > STUCK_US) {
            return false;
        }
    }
    return true;
}

/* Ends that were saved are forgotten a moment later. */
static void await_forgetting(struct worker *w)
{
    int64_t limit = clock_mono_us() + 100 * US_PER_MS;
    while (w->losses == NULL && w->world->forgotten < w->world->attempt_count &&
           clock_mono_us() < limit) {
        turn(w, true);
    }
}

static json_t *case_carry_out(struct worker *w, const json_t *c, struct plan *plan)
{
    char sha[65];
    CALL(w, spec_put(w->catalog, plan, sha, on_json, w));
    struct run_request request = {
        .id = w->run_id.text,
        .name = "a run",
        .experiment_id = experiment_id,
        .spec = sha,
        .pipeline_name = plan->name,
        .parameters = json_object_get(c, "parameters"),
    };
    engine_begin(w, c);
    CALL(w, run_create(w->store, &request, on_json, w));
    engine_wake(w->engine, w->run_id.text);
    bool is_over = carry_out(w);
    if (is_over) {
        await_forgetting(w);
    }
    w->kill_at = w->loss_at = -1;
    CALL(w, run_get(w->store, w->run_id.text, true, on_json, w));
    json_t *answer = json_pack(
        "{s:b,s:O,s:o}", "stuck", !is_over, "run", w->answer, "trace", world_trace(w->world));
    w->has_ended = false;
    struct engine *engine = STEAL(w->engine);
    engine_free(engine);
    if (is_over) {
        CALL(w, run_delete(w->store, w->run_id.text, on_json, w));
    }
    return answer;
}

static json_t *worker_do(struct worker *w, const json_t *c, size_t life)
{
    memcpy(w->run_id.text, jget_str(c, "run_id", ""), ID_LEN);
    json_t *kill_at = json_array_get(json_object_get(c, "kills"), life);
    w->steps = w->losses_done = 0;
    w->kill_at = kill_at == NULL ? -1 : json_integer_value(kill_at);
    w->losses = json_object_get(c, "losses");
    w->loss_at =
        json_array_size(w->losses) == 0 ? -1 : json_integer_value(json_array_get(w->losses, 0));
    w->cancel_after = jget_i64(c, "cancel_after", -1);
    w->cancels = w->cancel_after < 0 ? 0 : (uint32_t)jget_i64(c, "cancels", 1);
    w->cancel_turns = world_random(w->world, 40);
    w->eagerness = (uint32_t)jget_i64(c, "eagerness", 2);
    clock_set_shift_us(w->world->shift_us);
    loop_clock_changed(w->loop);
    world_executor_begin(w->executor, json_object_get(c, "script"), w->losses != NULL);
    char *why CLEANUP(cleanup_free) = NULL;
    struct plan *plan = compile(json_object_get(c, "spec"), &why);
    json_t *answer = plan == NULL ? json_pack("{s:s}", "refused", why) : case_carry_out(w, c, plan);
    plan_unref(plan);
    world_executor_begin(w->executor, NULL, false);
    snapshots_drop(w);
    w->losses = NULL;
    const char *prefix = store_id_prefix(w->store, w->run_id.text);
    store_cmd(w->store, NULL, NULL, "DEL %sevents", prefix);
    return answer;
}

static int worker_main(const struct redis_fixture *redis, struct world *world, FILE *in, FILE *out)
{
    struct worker w;
    worker_init(&w, redis, world);
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;
    while ((len = getline(&line, &cap, in)) > 0) {
        struct err err = ERR_INIT;
        json_t *order = jread_text(line, (size_t)len, "case", &err);
        if (order == NULL) {
            worker_die(err.msg);
        }
        json_t *answer =
            worker_do(&w, json_object_get(order, "case"), (size_t)jget_i64(order, "life", 0));
        char *text = json_dumps(answer, JSON_COMPACT);
        fprintf(out, "%s\n", text);
        fflush(out);
        free(text);
        json_decref(answer);
        json_decref(order);
    }
    free(line);
    worker_done(&w);
    return 0;
}

/* ---- the process that stays ---- */

struct boss {
    struct redis_fixture redis;
    struct world *world;
    pid_t pid; /* 0: none */
    FILE *to, *from;
    FILE *errors; /* stderr of the engine's process */
};

static void boss_fork(struct boss *boss)
{
    int down[2], up[2];
    if (pipe2(down, O_CLOEXEC) != 0 || pipe2(up, O_CLOEXEC) != 0) {
        worker_die("no pipes");
    }
    fflush(NULL);
    rewind(boss->errors);
    (void)!ftruncate(fileno(boss->errors), 0);
    boss->pid = fork();
    if (boss->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(down[1]);
        close(up[0]);
        dup2(fileno(boss->errors), 2);
        int code = worker_main(&boss->redis, boss->world, fdopen(down[0], "r"), fdopen(up[1], "w"));
        exit(code);
    }
    close(down[0]);
    close(up[1]);
    boss->to = fdopen(down[1], "w");
    boss->from = fdopen(up[0], "r");
}

/* Its exit status; it has ended, or does now that nobody asks anything any more. */
static int boss_bury(struct boss *boss)
{
    int status = 0;
    fclose(boss->to);
    fclose(boss->from);
    while (waitpid(boss->pid, &status, 0) < 0 && errno == EINTR) {
    }
    boss->pid = 0;
    return status;
}

static json_t *boss_post_mortem(struct boss *boss, int status)
{
    struct buf text;
    buf_init(&text, 65536);
    buf_addf(&text, "status %#x\n", (unsigned)status);
    char part[4096];
    size_t len;
    rewind(boss->errors);
    while ((len = fread(part, 1, sizeof(part), boss->errors)) > 0) {
        buf_add(&text, part, len);
    }
    char *all CLEANUP(cleanup_free) = buf_steal(&text, NULL);
    text_sanitise(all);
    redis_fixture_do(&boss->redis, "FLUSHALL");
    return json_pack("{s:s}", "crashed", all);
}

/* Where the sanitizer of a child that was forked meanwhile finds its copy. */
static const json_t *volatile the_case;

static json_t *boss_do(struct boss *boss, const json_t *c)
{
    char *line CLEANUP(cleanup_free) = NULL;
    size_t cap = 0;
    world_reset(boss->world, (uint64_t)jget_i64(c, "seed", 1));
    size_t kills = json_array_size(json_object_get(c, "kills"));
    for (size_t life = 0;; life++) {
        if (boss->pid == 0) {
            boss_fork(boss);
        }
        json_t *order CLEANUP(json_decrefp) =
            json_pack("{s:i,s:O}", "life", (int)life, "case", (json_t *)c);
        char *text CLEANUP(cleanup_free) = json_dumps(order, JSON_COMPACT);
        fprintf(boss->to, "%s\n", text);
        fflush(boss->to);
        if (getline(&line, &cap, boss->from) > 0) {
            struct err err = ERR_INIT;
            return jread_text(line, strlen(line), "answer", &err);
        }
        int status = boss_bury(boss);
        if (life >= kills || !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) {
            return boss_post_mortem(boss, status);
        }
    }
}

int main(void)
{
    struct boss boss = {.world = world_new(), .errors = tmpfile()};
    if (boss.world == NULL || boss.errors == NULL) {
        worker_die("no memory to share");
    }
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &ignore, NULL);
    redis_fixture_start(&boss.redis);
    redis_fixture_do(&boss.redis, "CONFIG SET appendonly no");
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;
    int code = 0;
    while ((len = getline(&line, &cap, stdin)) > 0) {
        struct err err = ERR_INIT;
        json_t *c = jread_text(line, (size_t)len, "case", &err);
        if (c == NULL) {
            fprintf(stderr, "engine_driver: %s\n", err.msg);
            code = 2;
            break;
        }
        the_case = c;
        json_t *answer = boss_do(&boss, c);
        char *text = json_dumps(answer, JSON_COMPACT);
        printf("%s\n", text);
        fflush(stdout);
        free(text);
        json_decref(answer);
        json_decref(c);
    }
    free(line);
    if (boss.pid != 0) {
        int status = boss_bury(&boss);
        if (status != 0) { /* leaks, for one */
            json_t *why = boss_post_mortem(&boss, status);
            fprintf(stderr, "%s\n", jget_str(why, "crashed", ""));
            json_decref(why);
            code = 1;
        }
    }
    redis_fixture_stop(&boss.redis);
    fclose(boss.errors);
    return code;
}
