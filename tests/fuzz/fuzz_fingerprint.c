/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cache key. The input is a recipe of one task, a byte for each field below, and after it edits
 * that make another recipe of it: a field's letter and its new value, each. Both are compiled as
 * pipelines. They must have the same fingerprint exactly if what counts for the cache is the same
 * in both recipes (contrib/docs/runs.md), and a miss must be explained exactly if they have not. An
 * input that is JSON is a value, told in another order and spelling, and whatever a task is given.
 */
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/util.h"
#include "scheduler/plan.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- recipes ---- */

#define WORDS 8
static const char *const words[WORDS] = {
    "", "a", "b", "ab", "a\",\"b", "a b", "\xc3\xa4", "{{$.inputs.parameters['text']}}"};

enum field {
    /* these do not count */
    REVERSED,  /* order of keys */
    SPELLING,  /* 1 or 1.0 */
    TASK_NAME, /* shown to users */
    RETRIES,
    ENV, /* but this does */
    CPU,
    DEFAULT_TEXT,   /* of an input that is not passed */
    DEFAULT_STRUCT, /* the same */
    /* these do; the component's name only beside a key of one's own */
    CACHE_KEY,
    COMPONENT,
    IMAGE,
    COMMAND_COUNT,
    COMMAND_0,
    COMMAND_1,
    ARG_COUNT,
    ARG_0,
    ARG_1,
    TEXT_PASSED,
    TEXT,
    STRUCT_PASSED,
    STRUCT_NUMBER,
    STRUCT_WORD,
    ARTIFACTS,
    ARTIFACT_0,
    ARTIFACT_1,
    OUT_PARAM_0,
    OUT_PARAM_1,
    OUT_ARTIFACT_0,
    OUT_ARTIFACT_1,
    CLAIM_0,
    CLAIM_1,
    FIELDS,
};

/* So many values each. Digits are themselves: 48 is a multiple of all of these. */
static const uint8_t choices[FIELDS] = {2, 2, WORDS, 3, WORDS, 3, WORDS, 3, 4, 2, 3, 3, WORDS,
    WORDS, 3, WORDS, WORDS, 2, WORDS, 2, 3, WORDS, 3, 4, 4, 4, 4, 4, 4, 4, 4};

struct recipe {
    uint8_t at[FIELDS];
};

static void recipes_read(const uint8_t *data, size_t size, struct recipe *a, struct recipe *b)
{
    *a = (struct recipe){0};
    for (size_t i = 0; i < size && i < FIELDS; i++) {
        a->at[i] = data[i] % choices[i];
    }
    *b = *a;
    for (size_t i = FIELDS; i + 1 < size; i += 2) {
        size_t field = (data[i] + 3u * FIELDS - 'A') % FIELDS; /* 3: nothing is below 0 */
        b->at[field] = data[i + 1] % choices[field];
    }
}

/* ---- when two are the same ---- */

static bool same(const struct recipe *a, const struct recipe *b, enum field first, enum field last)
{
    return memcmp(a->at + first, b->at + first, (size_t)(last - first) + 1) == 0;
}

static size_t argv_of(const struct recipe *r, const char *argv[4])
{
    size_t count = 0;
    for (int i = 0; i < r->at[COMMAND_COUNT]; i++) {
        argv[count++] = words[r->at[COMMAND_0 + i]];
    }
    for (int i = 0; i < r->at[ARG_COUNT]; i++) {
        argv[count++] = words[r->at[ARG_0 + i]];
    }
    return count;
}

static bool same_argv(const struct recipe *a, const struct recipe *b)
{
    const char *left[4], *right[4];
    size_t count = argv_of(a, left);
    bool is_same = count == argv_of(b, right);
    for (size_t i = 0; is_same && i < count; i++) {
        is_same = str_eq(left[i], right[i]);
    }
    return is_same;
}

static bool same_inputs(const struct recipe *a, const struct recipe *b)
{
    return same(a, b, TEXT_PASSED, TEXT_PASSED) && same(a, b, STRUCT_PASSED, STRUCT_PASSED) &&
           (!a->at[TEXT_PASSED] || same(a, b, TEXT, TEXT)) &&
           (!a->at[STRUCT_PASSED] || same(a, b, STRUCT_NUMBER, STRUCT_WORD)) &&
           same(a, b, ARTIFACTS, ARTIFACTS) &&
           (a->at[ARTIFACTS] < 1 || same(a, b, ARTIFACT_0, ARTIFACT_0)) &&
           (a->at[ARTIFACTS] < 2 || same(a, b, ARTIFACT_1, ARTIFACT_1));
}

/* Claims are a set. */
static unsigned claims_of(const struct recipe *r)
{
    return ((1u << r->at[CLAIM_0]) | (1u << r->at[CLAIM_1])) & ~1u;
}

static bool is_same_work(const struct recipe *a, const struct recipe *b)
{
    if (a->at[CACHE_KEY] > 0 || b->at[CACHE_KEY] > 0) {
        return same(a, b, CACHE_KEY, COMPONENT);
    }
    return same(a, b, IMAGE, IMAGE) && same_argv(a, b) && same_inputs(a, b) &&
           same(a, b, OUT_PARAM_0, OUT_ARTIFACT_1) && claims_of(a) == claims_of(b) &&
           same(a, b, ENV, ENV);
}

/* ---- a pipeline of a recipe ---- */

static json_t *number_of(const struct recipe *r, int n)
{
    return r->at[SPELLING] ? json_real(n) : json_integer(n);
}

static json_t *struct_of(const struct recipe *r, int n, const char *word)
{
    return json_pack("{s:o,s:s,s:[{s:o}]}", "n", number_of(r, n), "word", word, "list", "m",
        number_of(r, n + 1));
}

static json_t *text_of(const char *word)
{
    return json_pack("{s:{s:s}}", "runtimeValue", "constant", word);
}

static json_t *inputs_of(const struct recipe *r)
{
    json_t *params = json_object();
    if (r->at[TEXT_PASSED]) {
        /* Not as it is: constants are scanned for references, and this would be one to itself. */
        char *text CLEANUP(cleanup_free) = xasprintf("%c", 's' + r->at[TEXT]);
        json_object_set_new(params, "text", text_of(text));
    }
    if (r->at[STRUCT_PASSED]) {
        const char *word = r->at[STRUCT_WORD] == WORDS - 1 ? "z" : words[r->at[STRUCT_WORD]];
        json_object_set_new(params, "struct",
            json_pack(
                "{s:{s:o}}", "runtimeValue", "constant", struct_of(r, r->at[STRUCT_NUMBER], word)));
    }
    return json_pack("{s:o}", "parameters", params);
}

static json_t *definitions_of(const struct recipe *r)
{
    return json_pack("{s:{s:{s:s,s:b,s:s},s:{s:s,s:b,s:o}}}", "parameters", "text", "parameterType",
        "STRING", "isOptional", 1, "defaultValue", words[r->at[DEFAULT_TEXT]], "struct",
        "parameterType", "STRUCT", "isOptional", 1, "defaultValue",
        struct_of(r, r->at[DEFAULT_STRUCT], "x"));
}

static json_t *outputs_of(const struct recipe *r)
{
    static const char *const types[] = {NULL, "STRING", "NUMBER_INTEGER", "LIST"};
    static const char *const titles[] = {NULL, "system.Model", "system.Dataset", "system.Dataset"};
    static const char *const names[] = {"one", "two"};
    json_t *params = json_object(), *artifacts = json_object();
    for (int i = 0; i < 2; i++) {
        int type = r->at[OUT_PARAM_0 + i], title = r->at[OUT_ARTIFACT_0 + i];
        if (type > 0) {
            json_object_set_new(params, names[i], json_pack("{s:s}", "parameterType", types[type]));
        }
        if (title > 0) {
            json_t *definition = json_pack("{s:{s:s,s:s}}", "artifactType", "schemaTitle",
                titles[title], "schemaVersion", "0.0.1");
            if (title == 3) {
                json_object_set_new(definition, "metadata", json_pack("{s:i}", "rows", 1));
            }
            json_object_set_new(artifacts, i == 0 ? "model" : "data", definition);
        }
    }
    return json_pack("{s:o,s:o}", "parameters", params, "artifacts", artifacts);
}

static json_t *container_of(const struct recipe *r)
{
    static const char *const images[] = {"img:1", "img:2", "img"};
    json_t *command = json_pack("[s]", "run"), *args = json_array();
    for (int i = 0; i < r->at[COMMAND_COUNT]; i++) {
        json_array_append_new(command, json_string(words[r->at[COMMAND_0 + i]]));
    }
    for (int i = 0; i < r->at[ARG_COUNT]; i++) {
        json_array_append_new(args, json_string(words[r->at[ARG_0 + i]]));
    }
    return json_pack("{s:s,s:o,s:o,s:[{s:s,s:s}],s:{s:f}}", "image", images[r->at[IMAGE]],
        "command", command, "args", args, "env", "name", "E", "value", words[r->at[ENV]],
        "resources", "cpuLimit", 0.5 + r->at[CPU]);
}

static json_t *platform_of(const struct recipe *r)
{
    static const char *const claims[] = {NULL, "b", "a", "c"};
    json_t *mounts = json_array();
    for (int i = 0; i < 2; i++) {
        const char *claim = claims[r->at[CLAIM_0 + i]];
        if (claim != NULL) {
            json_array_append_new(mounts,
                json_pack("{s:s,s:s}", "constant", claim, "mountPath", i == 0 ? "/x" : "/y"));
        }
    }
    return json_pack("{s:{s:{s:{s:{s:{s:o}}}}}}", "platforms", "kubernetes", "deploymentSpec",
        "executors", "exec", "pvcMount", mounts);
}

static json_t *task_of(const struct recipe *r, const char *component)
{
    static const char *const keys[] = {NULL, "mine", "min", "mine2"};
    json_t *task = json_pack("{s:{s:s},s:{s:s},s:o,s:{s:b},s:{s:i}}", "taskInfo", "name",
        r->at[TASK_NAME] > 0 ? words[r->at[TASK_NAME]] : "t", "componentRef", "name", component,
        "inputs", inputs_of(r), "cachingOptions", "enableCache", 1, "retryPolicy", "maxRetryCount",
        r->at[RETRIES]);
    if (r->at[CACHE_KEY] > 0) {
        json_object_set_new(json_object_get(task, "cachingOptions"), "cacheKey",
            json_string(keys[r->at[CACHE_KEY]]));
    }
    return task;
}

/* The same with the keys of all objects in the opposite order, and maybe 1.0 for 1. */
static json_t *turned(const json_t *value, bool respell)
{
    if (json_is_array(value)) {
        json_t *out = json_array();
        for (size_t i = 0; i < json_array_size(value); i++) {
            json_array_append_new(out, turned(json_array_get(value, i), respell));
        }
        return out;
    }
    if (json_is_object(value)) {
        json_t *out = json_object();
        size_t count = json_object_size(value);
        const char **keys = xcalloc(count + 1, sizeof(*keys));
        const char *key;
        json_t *member;
        json_object_foreach((json_t *)value, key, member)
        {
            keys[--count] = key;
        }
        for (size_t i = 0; i < json_object_size(value); i++) {
            json_object_set_new(out, keys[i], turned(json_object_get(value, keys[i]), respell));
        }
        free(keys);
        return out;
    }
    json_int_t n = json_integer_value(value);
    bool is_exact = n > -((json_int_t)1 << 53) && n < (json_int_t)1 << 53;
    return respell && json_is_integer(value) && is_exact ? json_real((double)n)
                                                         : json_deep_copy(value);
}

static json_t *document_of(const struct recipe *r)
{
    const char *component = r->at[COMPONENT] ? "comp-b" : "comp-a";
    json_t *body = json_pack("{s:s,s:o,s:o}", "executorLabel", "exec", "inputDefinitions",
        definitions_of(r), "outputDefinitions", outputs_of(r));
    json_t *spec = json_pack("{s:s,s:s,s:{s:s},s:{s:{s:{s:o}}},s:{s:o},s:{s:{s:{s:o}}}}",
        "schemaVersion", "2.1.0", "sdkVersion", "kfp-2.17.0", "pipelineInfo", "name", "p", "root",
        "dag", "tasks", "t", task_of(r, component), "components", component, body, "deploymentSpec",
        "executors", "exec", "container", container_of(r));
    json_t *whole = json_pack("{s:o,s:o}", "pipeline_spec", spec, "platform_spec", platform_of(r));
    if (r->at[REVERSED]) {
        json_t *other = turned(whole, false);
        json_decref(whole);
        whole = other;
    }
    return whole;
}

static json_t *artifacts_of(const struct recipe *r)
{
    json_t *list = json_array();
    for (int i = 0; i < r->at[ARTIFACTS]; i++) {
        char *id CLEANUP(cleanup_free) = xasprintf("id-%d", r->at[ARTIFACT_0 + i]);
        /* Where it is and what is said of it are not who it is. */
        json_array_append_new(list, json_pack("{s:s,s:s,s:{s:i}}", "id", id, "uri",
                                        words[r->at[CPU]], "metadata", "k", r->at[CPU]));
    }
    json_t *artifacts = json_pack("{s:O}", "in", list);
    json_decref(list);
    if (r->at[ARTIFACTS] == 0) {
        json_object_clear(artifacts);
    }
    return artifacts;
}

static void fingerprint_of(const struct recipe *r, struct fingerprint *out)
{
    json_t *document = document_of(r);
    struct complaints complaints;
    complaints_init(&complaints);
    struct plan *plan = plan_compile_json(document, &complaints);
    if (plan == NULL) {
        struct buf text;
        buf_init(&text, 65536);
        complaints_format(&complaints, 10, &text);
        fprintf(stderr, "%s\n", buf_str(&text));
        abort();
    }
    complaints_done(&complaints);
    const struct task_def *task = &plan->root->dag->tasks[0];
    struct err err = ERR_INIT;
    json_t *provided = NULL, *params = NULL, *artifacts = artifacts_of(r);
    int rc = task_params_finish(task, NULL, NULL, &provided, &params, &err);
    assert(rc == 0);
    const struct pod_config *pod = task->component->container->pod;
    json_t *parts = pod == NULL ? json_object() : pod_config_resolve(pod, NULL, NULL, NULL, &err);
    assert(parts != NULL);
    json_t *claims = pod_parts_claims(parts);
    json_t *sources = pod_parts_sources(parts);
    task_fingerprint(task, provided, artifacts, claims, sources, out);
    json_decref(sources);
    json_decref(claims);
    json_decref(parts);
    json_decref(artifacts);
    json_decref(provided);
    json_decref(params);
    plan_unref(plan);
    json_decref(document);
}

static void compare_recipes(const uint8_t *data, size_t size)
{
    struct recipe a, b;
    struct fingerprint left, right;
    recipes_read(data, size, &a, &b);
    fingerprint_of(&a, &left);
    fingerprint_of(&b, &right);
    bool is_same = strcmp(left.hex, right.hex) == 0;
    assert(is_same == is_same_work(&a, &b));
    /* The parts are compared among tasks of one component. */
    if (same(&a, &b, COMPONENT, COMPONENT)) {
        assert(is_same == json_equal(left.parts, right.parts));
    }
    json_decref(left.parts);
    json_decref(right.parts);
}

/* ---- any value ---- */

static void assert_same(const json_t *a, const json_t *b, bool is_same)
{
    char left[65], right[65];
    json_fingerprint(a, left);
    json_fingerprint(b, right);
    assert((strcmp(left, right) == 0) == is_same);
}

static void tell_otherwise(const json_t *value)
{
    json_t *other = turned(value, true);
    assert_same(value, other, true);
    json_t *more = json_pack("[O]", other);
    assert_same(value, more, false);
    if (json_is_object(other) && json_object_size(other) > 0) {
        json_object_del(other, json_object_iter_key(json_object_iter(other)));
        assert_same(value, other, false);
    } else if (json_is_array(other)) {
        json_array_append_new(other, json_null());
        assert_same(value, other, false);
    }
    json_decref(more);
    json_decref(other);
}

/* Whatever it is given, as parameters and as artifacts. */
static void give(const json_t *value)
{
    const struct container container = {.image = "img"};
    const struct component component = {
        .name = "c", .kind = COMPONENT_CONTAINER, .container = &container};
    const struct task_def task = {.key = "t", .component = &component};
    struct fingerprint left, right;
    json_t *other = turned(value, true);
    task_fingerprint(&task, value, value, NULL, NULL, &left);
    task_fingerprint(&task, other, other, NULL, NULL, &right);
    assert(strcmp(left.hex, right.hex) == 0 && json_equal(left.parts, right.parts));
    json_decref(left.parts);
    json_decref(right.parts);
    json_decref(other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *value = json_loadb((const char *)data, size, JSON_DECODE_ANY, NULL);
    if (value == NULL) {
        compare_recipes(data, size);
        return 0;
    }
    tell_otherwise(value);
    give(value);
    json_decref(value);
    return 0;
}
