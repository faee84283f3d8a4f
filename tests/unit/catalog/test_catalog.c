/* SPDX-License-Identifier: Apache-2.0 */
/* The catalogue against a real redis-server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/id.h"
#include "base/json.h"
#include "base/util.h"
#include "catalog/op.h"
#include "catalog/plan_cache.h"
#include "scheduler/catalog.h"
#include "scheduler/plan.h"
#include "tests/support/harness.h"

static struct harness h;
static struct catalog *c;

static int setup(void **unused)
{
    (void)unused;
    harness_init(&h);
    c = catalog_new(h.loop, h.store);
    return 0;
}

static int teardown(void **unused)
{
    (void)unused;
    catalog_free(c);
    harness_done(&h);
    return 0;
}

/* ---- waiting for one answer ---- */

struct answer {
    int times;
    json_t *record;
    struct err err;
};

static void on_answer(void *owner, const json_t *record, const struct err *err)
{
    struct answer *a = owner;
    a->times++;
    json_decref(a->record);
    a->record = record == NULL ? NULL : json_deep_copy(record);
    if (err != NULL) {
        err_copy(&a->err, err);
    } else {
        err_clear(&a->err);
    }
}

static void wait_for(struct answer *a)
{
    assert_int_equal(a->times, 0); /* never from within the call */
    harness_wait(&h, &a->times);
    assert_int_equal(a->times, 1);
    a->times = 0;
}

static void good(struct answer *a)
{
    wait_for(a);
    if (a->err.code != ERR_NONE) {
        fail_msg("%s", a->err.msg);
    }
}

static void bad(struct answer *a, enum err_code code, const char *part)
{
    wait_for(a);
    if (a->err.code != code || strstr(a->err.msg, part) == NULL) {
        fail_msg("expected %s with '%s', got %s: %s", err_code_name(code), part,
            err_code_name(a->err.code), a->err.msg);
    }
}

static void forget(struct answer *a)
{
    json_decref(a->record);
    a->record = NULL;
}

static const char *text_of(const struct answer *a, const char *key)
{
    return jget_str(a->record, key, "");
}

static char *long_name(size_t len)
{
    char *name = xmalloc(len + 1);
    memset(name, 'n', len);
    name[len] = '\0';
    return name;
}

/* A pipeline of one step; `image` makes specs differ. */
static struct plan *plan_of(const char *image)
{
    char *text CLEANUP(cleanup_free) =
        xasprintf("components:\n  comp-a:\n    executorLabel: exec-a\n"
                  "deploymentSpec:\n  executors:\n    exec-a:\n      container:\n"
                  "        image: %s\n        command: [echo, hi]\n"
                  "pipelineInfo:\n  name: tiny\n"
                  "root:\n  dag:\n    tasks:\n      a:\n        componentRef:\n"
                  "          name: comp-a\n        taskInfo:\n          name: a\n"
                  "schemaVersion: 2.1.0\nsdkVersion: kfp-2.17.0\n",
            image);
    struct complaints complaints;
    complaints_init(&complaints);
    struct plan *plan = plan_compile(text, strlen(text), &complaints);
    assert_non_null(plan);
    complaints_done(&complaints);
    return plan;
}

static void test_experiments(void **unused)
{
    (void)unused;
    struct answer a = {0};
    experiment_create(c, "first", "why", on_answer, &a);
    good(&a);
    assert_string_equal(text_of(&a, "name"), "first");
    assert_string_equal(text_of(&a, "description"), "why");
    assert_string_equal(text_of(&a, "state"), "AVAILABLE");
    char *id CLEANUP(cleanup_free) = xstrdup(text_of(&a, "id"));

    experiment_create(c, "first", NULL, on_answer, &a);
    bad(&a, ERR_EXISTS, "Please specify a new name");
    experiment_get(c, id, on_answer, &a);
    good(&a);
    assert_string_equal(text_of(&a, "id"), id);
    experiment_set_state(c, id, "ARCHIVED", on_answer, &a);
    good(&a);
    experiment_set_state(c, id, "ARCHIVED", on_answer, &a);
    good(&a);
    assert_string_equal(text_of(&a, "state"), "ARCHIVED");
    assert_string_equal(text_of(&a, "description"), "why");

    experiment_delete(c, id, on_answer, &a);
    good(&a);
    experiment_delete(c, id, on_answer, &a);
    bad(&a, ERR_NOT_FOUND, id);
    experiment_get(c, id, on_answer, &a);
    bad(&a, ERR_NOT_FOUND, id);
    experiment_create(c, "first", NULL, on_answer, &a); /* the name is free again */
    good(&a);
    forget(&a);
}

static void test_ids_that_are_none(void **unused)
{
    (void)unused;
    static const char *const ids[] = {"", "x", "../..", "experiments", "a:b", NULL,
        "00000000-0000-0000-0000-00000000000", "00000000-0000-0000-0000-00000000000G"};
    struct answer a = {0};
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        experiment_get(c, ids[i], on_answer, &a);
        bad(&a, ERR_NOT_FOUND, "does not exist");
        pipeline_get(c, ids[i], on_answer, &a);
        bad(&a, ERR_NOT_FOUND, "does not exist");
        version_get(c, ids[i], on_answer, &a);
        bad(&a, ERR_NOT_FOUND, "does not exist");
        pipeline_delete(c, ids[i], true, on_answer, &a);
        bad(&a, ERR_NOT_FOUND, "does not exist");
        experiment_set_state(c, ids[i], "ARCHIVED", on_answer, &a);
        bad(&a, ERR_NOT_FOUND, "does not exist");
    }
}

static void test_default_experiment(void **unused)
{
    (void)unused;
    struct answer a[10] = {0};
    /* Many at once: one is made, all get it. */
    for (size_t i = 0; i < ARRAY_LEN(a); i++) {
        experiment_default(c, on_answer, &a[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(a); i++) {
        harness_wait(&h, &a[i].times);
        assert_int_equal(a[i].err.code, ERR_NONE);
        assert_string_equal(text_of(&a[i], "id"), text_of(&a[0], "id"));
    }
    assert_string_equal(text_of(&a[0], "name"), "Default");
    assert_string_equal(text_of(&a[0], "description"),
        "All runs created without specifying an experiment will be grouped here.");
    struct answer b = {0};
    experiment_delete(c, text_of(&a[0], "id"), on_answer, &b);
    bad(&b, ERR_CONFLICT, "'Default'");
    experiment_all(c, on_answer, &b);
    good(&b);
    assert_int_equal(json_array_size(b.record), 1);
    forget(&b);
    for (size_t i = 0; i < ARRAY_LEN(a); i++) {
        forget(&a[i]);
    }
}

static void test_name_limits(void **unused)
{
    (void)unused;
    struct answer a = {0};
    char *n127 CLEANUP(cleanup_free) = long_name(127);
    char *n128 CLEANUP(cleanup_free) = long_name(128);
    char *n129 CLEANUP(cleanup_free) = long_name(129);
    experiment_create(c, n128, NULL, on_answer, &a);
    good(&a);
    experiment_create(c, n129, NULL, on_answer, &a);
    bad(&a, ERR_INVALID, "128");
    experiment_create(c, "", NULL, on_answer, &a);
    bad(&a, ERR_INVALID, "required");
    experiment_create(c, "bad\xff", NULL, on_answer, &a);
    bad(&a, ERR_INVALID, "UTF-8");

    struct pipeline_input p = {.name = n129};
    pipeline_create(c, &p, NULL, on_answer, &a);
    bad(&a, ERR_INVALID, "128");
    p.name = n128;
    pipeline_create(c, &p, NULL, on_answer, &a);
    good(&a);
    char *id CLEANUP(cleanup_free) = xstrdup(text_of(&a, "id"));

    struct plan *plan = plan_of("alpine");
    struct version_input v = {.pipeline_id = id, .name = n128, .plan = plan};
    version_create(c, &v, on_answer, &a);
    bad(&a, ERR_INVALID, "127");
    v.name = n127;
    version_create(c, &v, on_answer, &a);
    good(&a);
    plan_unref(plan);
    forget(&a);
}

static void test_tags(void **unused)
{
    (void)unused;
    static const struct {
        const char *name, *tags, *part;
    } rows[] = {
        {"none", "{}", NULL},
        {"one", "{\"team\":\"a\"}", NULL},
        {"a dot in the key", "{\"te.am\":\"a\"}", "'te.am'"},
        {"an empty key", "{\"\":\"a\"}", "1 to 63"},
        {"not a text", "{\"team\":1}", "tags.team"},
        {"not an object", "[]", "object"},
        {"long key", "{\"0123456789012345678901234567890123456789012345678901234567890123\":\"\"}",
            "1 to 63"},
        {"63 characters, not bytes",
            "{\"k\":"
            "\"\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9"
            "\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9"
            "\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\"}",
            NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        json_t *tags = json_loads(rows[i].tags, 0, NULL);
        struct answer a = {0};
        struct pipeline_input p = {.name = rows[i].name, .tags = tags};
        pipeline_create(c, &p, NULL, on_answer, &a);
        if (rows[i].part == NULL) {
            good(&a);
            assert_true(json_equal(json_object_get(a.record, "tags"), tags));
        } else {
            bad(&a, ERR_INVALID, rows[i].part);
        }
        forget(&a);
        json_decref(tags);
    }
    json_t *many = json_object();
    for (int i = 0; i < 21; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%d", i);
        json_object_set_new(many, key, json_string("v"));
    }
    struct answer a = {0};
    struct pipeline_input p = {.name = "many", .tags = many};
    pipeline_create(c, &p, NULL, on_answer, &a);
    bad(&a, ERR_INVALID, "20");
    json_decref(many);
}

static void test_pipelines(void **unused)
{
    (void)unused;
    struct answer a = {0};
    struct plan *one = plan_of("alpine:1"), *two = plan_of("alpine:2");
    struct pipeline_input p = {.name = "train", .description = "d"};
    struct version_input v = {.name = "train", .plan = one};
    pipeline_create(c, &p, &v, on_answer, &a);
    good(&a);
    char *id CLEANUP(cleanup_free) = xstrdup(text_of(&a, "id"));
    assert_string_equal(text_of(&a, "display_name"), "train");

    pipeline_create(c, &p, &v, on_answer, &a);
    bad(&a, ERR_EXISTS, "'train'");
    pipeline_get_by_name(c, "train", on_answer, &a);
    good(&a);
    assert_string_equal(text_of(&a, "id"), id);
    pipeline_get_by_name(c, "nope", on_answer, &a);
    bad(&a, ERR_NOT_FOUND, "'nope'");
    version_latest(c, id, on_answer, &a);
    good(&a);
    char *first CLEANUP(cleanup_free) = xstrdup(text_of(&a, "id"));
    assert_int_equal(strlen(text_of(&a, "spec")), 64);
    assert_string_equal(text_of(&a, "pipeline_id"), id);

    v = (struct version_input){.pipeline_id = id, .display_name = "v2", .plan = two};
    version_create(c, &v, on_answer, &a);
    good(&a);
    char *second CLEANUP(cleanup_free) = xstrdup(text_of(&a, "id"));
    assert_string_equal(text_of(&a, "name"), "v2");
    version_create(c, &v, on_answer, &a);
    bad(&a, ERR_EXISTS, "Please specify a new name");
    version_latest(c, id, on_answer, &a);
    good(&a);
    assert_string_equal(text_of(&a, "id"), second);
    version_all(c, id, on_answer, &a);
    good(&a);
    assert_int_equal(json_array_size(a.record), 2);
    assert_string_equal(jget_str(json_array_get(a.record, 0), "id", ""), first);

    pipeline_delete(c, id, false, on_answer, &a);
    bad(&a, ERR_PRECONDITION, "Set cascade=true");
    version_delete(c, second, on_answer, &a);
    good(&a);
    version_latest(c, id, on_answer, &a);
    good(&a);
    assert_string_equal(text_of(&a, "id"), first);
    pipeline_delete(c, id, true, on_answer, &a);
    good(&a);
    version_get(c, first, on_answer, &a);
    bad(&a, ERR_NOT_FOUND, first);
    version_latest(c, id, on_answer, &a);
    bad(&a, ERR_NOT_FOUND, id);
    v.display_name = "v3";
    version_create(c, &v, on_answer, &a);
    bad(&a, ERR_NOT_FOUND, id);
    pipeline_create(c, &p, NULL, on_answer, &a); /* the name is free again */
    good(&a);
    pipeline_delete(c, text_of(&a, "id"), false, on_answer, &a); /* no versions: no cascade */
    good(&a);
    plan_unref(one);
    plan_unref(two);
    forget(&a);
}

static void test_update(void **unused)
{
    (void)unused;
    static const struct {
        const char *name, *changes, *part, *display_name;
        size_t tags;
    } rows[] = {
        {"nothing", "{}", NULL, "p", 0},
        {"display name and tags", "{\"display_name\":\"P\",\"tags\":{\"a\":\"b\"}}", NULL, "P", 1},
        {"empty display name keeps", "{\"display_name\":\"\",\"description\":\"d\"}", NULL, "P", 1},
        {"null keeps", "{\"tags\":null}", NULL, "P", 1},
        {"tags are cleared", "{\"tags\":{}}", NULL, "P", 0},
        {"a name is for ever", "{\"name\":\"q\"}", "name", "P", 0},
        {"wrong kind", "{\"description\":1}", "description", "P", 0},
        {"not an object", "[]", "object", "P", 0},
    };
    struct answer a = {0};
    struct pipeline_input p = {.name = "p"};
    pipeline_create(c, &p, NULL, on_answer, &a);
    good(&a);
    char *id CLEANUP(cleanup_free) = xstrdup(text_of(&a, "id"));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        json_t *changes = json_loads(rows[i].changes, 0, NULL);
        pipeline_update(c, id, changes, on_answer, &a);
        if (rows[i].part != NULL) {
            bad(&a, ERR_INVALID, rows[i].part);
        } else {
            good(&a);
        }
        pipeline_get(c, id, on_answer, &a);
        good(&a);
        if (strcmp(text_of(&a, "display_name"), rows[i].display_name) != 0 ||
            json_object_size(json_object_get(a.record, "tags")) != rows[i].tags) {
            fail_msg("%s", rows[i].name);
        }
        json_decref(changes);
    }
    /* Two at once change different members: neither is lost. */
    struct answer b = {0};
    json_t *x = json_pack("{s:s}", "description", "both"),
           *y = json_pack("{s:{s:s}}", "tags", "k", "v");
    pipeline_update(c, id, x, on_answer, &a);
    pipeline_update(c, id, y, on_answer, &b);
    harness_wait(&h, &a.times);
    harness_wait(&h, &b.times);
    a.times = b.times = 0;
    pipeline_get(c, id, on_answer, &a);
    good(&a);
    assert_string_equal(text_of(&a, "description"), "both");
    assert_int_equal(json_object_size(json_object_get(a.record, "tags")), 1);
    json_decref(x);
    json_decref(y);
    forget(&a);
    forget(&b);
}

static void test_lists_in_order(void **unused)
{
    (void)unused;
    enum { COUNT = 1203 }; /* more than two batches */
    struct answer *a = xcalloc(COUNT, sizeof(*a));
    for (int i = 0; i < COUNT; i++) {
        char name[16];
        snprintf(name, sizeof(name), "e%d", i);
        experiment_create(c, name, NULL, on_answer, &a[i]);
    }
    for (int i = 0; i < COUNT; i++) {
        harness_wait(&h, &a[i].times);
        assert_int_equal(a[i].err.code, ERR_NONE);
        forget(&a[i]);
    }
    free(a);
    struct answer all = {0};
    experiment_all(c, on_answer, &all);
    good(&all);
    assert_int_equal(json_array_size(all.record), COUNT);
    int64_t before = 0;
    for (int i = 0; i < COUNT; i++) {
        int64_t created = jget_i64(json_array_get(all.record, (size_t)i), "created_us", 0);
        assert_true(created >= before);
        before = created;
    }
    forget(&all);
}

static void test_unknown_version_is_refused(void **unused)
{
    (void)unused;
    struct id id;
    id_new(&id);
    harness_cmd(&h, "SET rondo:{catalog}:experiment:%s {\"v\":2,\"id\":\"x\"}", id.text);
    struct answer a = {0};
    experiment_get(c, id.text, on_answer, &a);
    bad(&a, ERR_INTERNAL, "version 2");
}

/* ---- plans ---- */

struct plan_answer {
    int times;
    struct plan *plan;
    struct err err;
};

static void on_plan(void *owner, struct plan *plan, const struct err *err)
{
    struct plan_answer *a = owner;
    a->times++;
    a->plan = plan;
    if (plan != NULL) {
        plan_ref(plan);
    }
    if (err != NULL) {
        err_copy(&a->err, err);
    }
}

static void test_plans(void **unused)
{
    (void)unused;
    struct plan *plan = plan_of("alpine");
    char sha[65], again[65];
    struct answer put = {0};
    spec_put(c, plan, sha, on_answer, &put);
    good(&put);
    spec_put(c, plan, again, on_answer, &put);
    good(&put);
    assert_string_equal(sha, again);

    /* Asked for several times at once: compiled once. */
    struct plan_answer a[3] = {0};
    for (size_t i = 0; i < ARRAY_LEN(a); i++) {
        spec_plan(c, sha, on_plan, &a[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(a); i++) {
        assert_int_equal(a[i].times, 0);
    }
    for (size_t i = 0; i < ARRAY_LEN(a); i++) {
        harness_wait(&h, &a[i].times);
        assert_non_null(a[i].plan);
        assert_ptr_equal(a[i].plan, a[0].plan);
    }
    struct plan_answer cached = {0};
    spec_plan(c, sha, on_plan, &cached);
    assert_int_equal(cached.times, 0);
    harness_wait(&h, &cached.times);
    assert_ptr_equal(cached.plan, a[0].plan);
    plan_unref(cached.plan);
    for (size_t i = 0; i < ARRAY_LEN(a); i++) {
        plan_unref(a[i].plan);
    }
    plan_unref(plan);
}

static void test_plans_that_are_not_there(void **unused)
{
    (void)unused;
    char long_sha[70];
    memset(long_sha, 'a', 69);
    long_sha[69] = '\0';
    const char *const shas[] = {"", "abc", long_sha,
        "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    struct plan_answer a[ARRAY_LEN(shas)] = {0};
    for (size_t i = 0; i < ARRAY_LEN(shas); i++) {
        spec_plan(c, shas[i], on_plan, &a[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(shas); i++) {
        harness_wait(&h, &a[i].times);
        assert_null(a[i].plan);
        assert_int_equal(a[i].err.code, ERR_NOT_FOUND);
    }
    assert_int_equal(plan_cache_count(c->plans), 0);
    harness_cmd(&h, "SET rondo:{catalog}:spec:%s nonsense", shas[4]);
    struct plan_answer b = {0};
    spec_plan(c, shas[4], on_plan, &b);
    harness_wait(&h, &b.times);
    assert_null(b.plan);
    assert_int_equal(b.err.code, ERR_INTERNAL);
}

static void test_plan_cache_is_bounded(void **unused)
{
    (void)unused;
    enum { COUNT = 40, ROOM = 100000 };
    struct plan_cache *cache = plan_cache_new(h.loop, h.store, ROOM);
    char shas[COUNT][65];
    for (int i = 0; i < COUNT; i++) {
        char image[32];
        snprintf(image, sizeof(image), "alpine:%d", i);
        struct plan *plan = plan_of(image);
        struct answer put = {0};
        spec_put(c, plan, shas[i], on_answer, &put);
        good(&put);
        plan_unref(plan);
        struct plan_answer a = {0};
        plan_cache_get(cache, shas[i], on_plan, &a);
        harness_wait(&h, &a.times);
        assert_non_null(a.plan);
        plan_unref(a.plan);
        assert_true(plan_cache_bytes(cache) <= ROOM);
        /* The first one is used all the time: it stays. */
        struct plan_answer first = {0};
        plan_cache_get(cache, shas[0], on_plan, &first);
        harness_wait(&h, &first.times);
        plan_unref(first.plan);
    }
    assert_true(plan_cache_count(cache) > 1);
    assert_true(plan_cache_count(cache) < COUNT);
    int before = (int)plan_cache_count(cache);
    struct plan_answer first = {0};
    plan_cache_get(cache, shas[0], on_plan, &first);
    harness_wait(&h, &first.times);
    plan_unref(first.plan);
    assert_int_equal(plan_cache_count(cache), before);
    plan_cache_free(cache);
}

/* Nothing comes after cancel, and nothing leaks when the catalogue goes in the middle. */
static void test_cancel(void **unused)
{
    (void)unused;
    struct answer a = {0}, b = {0};
    experiment_all(c, on_answer, &a);
    experiment_get(c, "nonsense", on_answer, &a);
    experiment_all(c, on_answer, &b);
    catalog_cancel(c, &a);
    good(&b);
    assert_int_equal(a.times, 0);
    forget(&b);
    experiment_all(c, on_answer, &a);
    experiment_get(c, "nonsense", on_answer, &a);
}

static void test_redis_away(void **unused)
{
    (void)unused;
    struct answer a = {0};
    experiment_default(c, on_answer, &a);
    good(&a);
    char *id CLEANUP(cleanup_free) = xstrdup(text_of(&a, "id"));
    harness_restart_redis(&h);
    experiment_get(c, id, on_answer, &a);
    wait_for(&a);
    if (a.err.code == ERR_TRANSIENT) { /* the connection broke with it; it is back now */
        experiment_get(c, id, on_answer, &a);
        good(&a);
    }
    assert_string_equal(text_of(&a, "name"), "Default");
    forget(&a);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_experiments),
        TEST(test_ids_that_are_none),
        TEST(test_default_experiment),
        TEST(test_name_limits),
        TEST(test_tags),
        TEST(test_pipelines),
        TEST(test_update),
        TEST(test_lists_in_order),
        TEST(test_unknown_version_is_refused),
        TEST(test_plans),
        TEST(test_plans_that_are_not_there),
        TEST(test_plan_cache_is_bounded),
        TEST(test_cancel),
        TEST(test_redis_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
