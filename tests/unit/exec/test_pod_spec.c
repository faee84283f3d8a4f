/* SPDX-License-Identifier: Apache-2.0 */
/* The manifest of a pod: its name, labels, paths, resources. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/util.h"
#include "exec/pods.h"

static const char run_id[] = "07372c7a-c651-4408-a260-15f7ed89807d";
static const char task_id[] = "07318745-4fee-53e3-9679-0fccdc6c11b7";

static json_t *parse(const char *text)
{
    json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);
    if (value == NULL) {
        fail_msg("not JSON: %s", text);
    }
    return value;
}

/* ---- names ---- */

static bool is_dns_label(const char *text)
{
    size_t len = strlen(text);
    return len > 0 && len <= 63 && strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == len &&
           text[0] != '-' && text[len - 1] != '-';
}

static void test_name_is_a_dns_label(void **state)
{
    (void)state;
    static const int attempts[] = {0, 1, 9, 10, 2147483647};
    for (size_t i = 0; i < ARRAY_LEN(attempts); i++) {
        char name[POD_NAME_MAX + 1];
        pod_name(&(struct attempt_name){run_id, task_id, attempts[i]}, name);
        assert_true(is_dns_label(name));
    }
}

static void test_names_differ_by_every_part(void **state)
{
    (void)state;
    const struct attempt_name names[] = {
        {run_id, task_id, 0},
        {run_id, task_id, 1},
        {run_id, task_id, 11},
        {run_id, "07318745-4fee-53e3-9679-0fccdc6c11b8", 0},
        {"07372c7a-c651-4408-a260-15f7ed89807e", task_id, 0},
    };
    char texts[ARRAY_LEN(names)][POD_NAME_MAX + 1], again[POD_NAME_MAX + 1];
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        pod_name(&names[i], texts[i]);
        pod_name(&names[i], again);
        assert_string_equal(texts[i], again);
        for (size_t k = 0; k < i; k++) {
            assert_string_not_equal(texts[i], texts[k]);
        }
    }
}

/* A pod outlives the daemon that named it: a change here loses all running steps at an upgrade. */
static void test_name_stays_as_it_is(void **state)
{
    (void)state;
    char name[POD_NAME_MAX + 1];
    pod_name(&(struct attempt_name){run_id, task_id, 0}, name);
    assert_string_equal(name, "rondo-07372c7a-07af09003e9b558887ff5006232a79c6-0");
}

static void test_labels(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text, *label;
    } rows[] = {
        {"plain", "train-model", "train-model"},
        {"spaces and signs", "my pipeline (v2)!", "my-pipeline--v2"},
        {"begins badly", "--_.x", "x"},
        {"ends badly", "x/", "x"},
        {"path", "a/b/c[3]", "a-b-c-3"},
        {"nothing left", "///", ""},
        {"empty", "", ""},
        {"not ASCII", "\xc3\xa4rger", "rger"},
        {"63 fit", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaz",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
        {"cut behind a dash", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-b",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char label[POD_LABEL_MAX + 1];
        pod_label(rows[i].text, label);
        if (strcmp(label, rows[i].label) != 0) {
            fail_msg("%s: '%s', expected '%s'", rows[i].name, label, rows[i].label);
        }
    }
}

static void test_artifact_paths(void **state)
{
    (void)state;
    static const struct {
        const char *name, *uri, *path;
    } rows[] = {
        {"in the root", "file:///data/artifacts/p/r/t/u/model",
            "/rondo/work/artifacts/p/r/t/u/model"},
        {"as KFP maps them", "s3://bucket/a/b", "/s3/bucket/a/b"},
        {"gs", "gs://bucket/a", "/gcs/bucket/a"},
        {"minio", "minio://mlpipeline/a", "/minio/mlpipeline/a"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf out;
        buf_init(&out, 4096);
        pod_artifact_path("file:///data/artifacts", rows[i].uri, &out);
        if (strcmp(buf_str(&out), rows[i].path) != 0) {
            fail_msg("%s: %s", rows[i].name, buf_str(&out));
        }
        buf_done(&out);
    }
    static const char *const elsewhere[] = {"file:///data/artifacts", "file:///data/artifacts/",
        "file:///data/artifactsX/y", "http://x/y", ""};
    for (size_t i = 0; i < ARRAY_LEN(elsewhere); i++) {
        struct buf out;
        buf_init(&out, 4096);
        pod_artifact_path("file:///data/artifacts", elsewhere[i], &out);
        assert_true(str_starts(buf_str(&out), "/rondo/work/other/"));
        buf_done(&out);
    }
}

/* ---- manifests ---- */

static json_t *manifest(const char *order, const char *container, struct err *err)
{
    struct attempt_name name = {run_id, task_id, 2};
    json_t *order_json CLEANUP(json_decrefp) = parse(order);
    json_t *container_json CLEANUP(json_decrefp) = parse(container);
    struct pod_spec spec = {
        .name = &name,
        .instance = "0123456789abcdef",
        .url = "http://rondo:8888",
        .token = "secret",
        .launcher_image = "rondo-launcher:1",
        .service_account = "pipeline-runner",
        .start_timeout_ms = 60000,
        .order = order_json,
        .container = container_json,
    };
    return pod_manifest(&spec, err);
}

static const json_t *at(const json_t *value, const char *key)
{
    return json_object_get(value, key);
}

static void check_resources(const char *name, const char *resources, const char *expected)
{
    struct err err = ERR_INIT;
    CLEANUP(cleanup_free)
    char *container = xasprintf("{\"image\":\"a\",\"resources\":%s}", resources);
    json_t *pod CLEANUP(json_decrefp) = manifest("{}", container, &err);
    const json_t *main = json_array_get(at(at(pod, "spec"), "containers"), 0);
    CLEANUP(cleanup_free) char *text = jtext(at(main, "resources"));
    if (strcmp(text, expected) != 0) {
        fail_msg("%s: %s, expected %s", name, text, expected);
    }
}

static void test_resources(void **state)
{
    (void)state;
    static const struct {
        const char *name, *resources, *expected;
    } rows[] = {
        {"none", "null", "{}"},
        {"empty", "{}", "{}"},
        {"quantities", "{\"resourceCpuLimit\":\"500m\",\"resourceMemoryLimit\":\"1Gi\"}",
            "{\"limits\":{\"cpu\":\"500m\",\"memory\":\"1Gi\"}}"},
        {"requests", "{\"resourceCpuRequest\":\"1\",\"resourceMemoryRequest\":\"64Mi\"}",
            "{\"requests\":{\"cpu\":\"1\",\"memory\":\"64Mi\"}}"},
        {"older doubles", "{\"cpuLimit\":2.0,\"memoryLimit\":0.5,\"cpuRequest\":0.25}",
            "{\"limits\":{\"cpu\":\"2\",\"memory\":\"0.5G\"},\"requests\":{\"cpu\":\"0.25\"}}"},
        {"whole doubles", "{\"cpuLimit\":4,\"memoryLimit\":16}",
            "{\"limits\":{\"cpu\":\"4\",\"memory\":\"16G\"}}"},
        {"newer wins", "{\"cpuLimit\":2.0,\"resourceCpuLimit\":\"3\"}",
            "{\"limits\":{\"cpu\":\"3\"}}"},
        {"empty text does not", "{\"cpuLimit\":2.0,\"resourceCpuLimit\":\"\"}",
            "{\"limits\":{\"cpu\":\"2\"}}"},
        {"zero is none", "{\"cpuLimit\":0,\"memoryLimit\":0.0}", "{}"},
        {"accelerator",
            "{\"accelerator\":{\"resourceType\":\"nvidia.com/gpu\",\"resourceCount\":\"2\"}}",
            "{\"limits\":{\"nvidia.com/gpu\":\"2\"}}"},
        {"older accelerator", "{\"accelerator\":{\"type\":\"nvidia.com/gpu\",\"count\":\"1\"}}",
            "{\"limits\":{\"nvidia.com/gpu\":\"1\"}}"},
        {"accelerator without a count", "{\"accelerator\":{\"type\":\"nvidia.com/gpu\"}}", "{}"},
        {"wrong kinds", "{\"resourceCpuLimit\":[],\"cpuLimit\":{},\"accelerator\":3}", "{}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        check_resources(rows[i].name, rows[i].resources, rows[i].expected);
    }
}

static void test_manifest_has_what_a_launcher_needs(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    json_t *pod CLEANUP(json_decrefp) =
        manifest("{\"run_name\":\"nightly / 3\",\"task\":\"a/b\",\"timeout_s\":10}",
            "{\"image\":\"alpine\",\"pipeline\":\"my pipe\",\"service_account\":\"mine\"}", &err);
    assert_non_null(pod);
    const json_t *spec = at(pod, "spec"), *labels = at(at(pod, "metadata"), "labels");
    assert_string_equal(jget_str(spec, "restartPolicy", ""), "Never");
    assert_string_equal(jget_str(spec, "serviceAccountName", ""), "mine");
    assert_int_equal(jget_i64(spec, "activeDeadlineSeconds", 0), 10 + 60 + 86400);
    assert_string_equal(jget_str(labels, "rondo.dev/run-id", ""), run_id);
    assert_string_equal(jget_str(labels, "rondo.dev/attempt", ""), "2");
    assert_string_equal(jget_str(labels, "rondo.dev/pipeline", ""), "my-pipe");
    assert_string_equal(jget_str(labels, "rondo.dev/task", ""), "a-b");
    assert_string_equal(
        jget_str(at(at(pod, "metadata"), "annotations"), "rondo.dev/run-name", ""), "nightly / 3");
    const json_t *init = json_array_get(at(spec, "initContainers"), 0);
    assert_string_equal(jget_str(init, "image", ""), "rondo-launcher:1");
    const json_t *main = json_array_get(at(spec, "containers"), 0);
    assert_string_equal(jget_str(main, "name", ""), "main");
    CLEANUP(cleanup_free) char *command = jtext(at(main, "command"));
    CLEANUP(cleanup_free)
    char *expected =
        xasprintf("[\"/rondo/bin/rondo-launcher\",\"--url\",\"http://rondo:8888/internal/"
                  "attempts/%s/%s/2\",\"--token-env\",\"RONDO_TOKEN\"]",
            run_id, task_id);
    assert_string_equal(command, expected);
}

static void test_defaults(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    json_t *pod CLEANUP(json_decrefp) =
        manifest("{}", "{\"image\":\"a\",\"service_account\":\"\"}", &err);
    assert_non_null(pod);
    assert_string_equal(jget_str(at(pod, "spec"), "serviceAccountName", ""), "pipeline-runner");
    assert_null(at(at(pod, "spec"), "activeDeadlineSeconds"));
}

static void test_no_image_is_refused(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    assert_null(manifest("{}", "{}", &err));
    assert_int_equal(err.code, ERR_INVALID);
}

/* A name that was cut within a character must not cost the pod. */
static void test_long_names(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct buf order;
    buf_init(&order, 100000);
    buf_adds(&order, "{\"run_name\":\"x");
    for (int i = 0; i < 5000; i++) {
        buf_adds(&order, "\xc3\xa4");
    }
    buf_adds(&order, "\"}");
    json_t *pod CLEANUP(json_decrefp) = manifest(buf_str(&order), "{\"image\":\"a\"}", &err);
    buf_done(&order);
    assert_non_null(pod);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_name_is_a_dns_label),
        cmocka_unit_test(test_names_differ_by_every_part),
        cmocka_unit_test(test_name_stays_as_it_is),
        cmocka_unit_test(test_labels),
        cmocka_unit_test(test_artifact_paths),
        cmocka_unit_test(test_resources),
        cmocka_unit_test(test_manifest_has_what_a_launcher_needs),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_no_image_is_refused),
        cmocka_unit_test(test_long_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
