/* SPDX-License-Identifier: Apache-2.0 */
/* The manifest of a pod: its name, labels, paths, settings. */
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

/* ---- settings of the task ---- */

/* Single quotes stand for double ones. */
static char *quoted(const char *text)
{
    char *copy = xstrdup(text);
    for (char *p = copy; *p != '\0'; p++) {
        *p = *p == '\'' ? '"' : *p;
    }
    return copy;
}

/* "spec/containers/0/resources"; ~ stands for a / within a key. */
static const json_t *find_at(const json_t *value, const char *path)
{
    CLEANUP(cleanup_free) char *copy = xstrdup(path);
    char *rest = copy, *step;
    while (value != NULL && (step = strsep(&rest, "/")) != NULL) {
        if (json_is_array(value)) {
            long i = strtol(step, NULL, 10);
            value = json_array_get(value, i < 0 ? json_array_size(value) - (size_t)-i : (size_t)i);
        } else {
            for (char *p = step; *p != '\0'; p++) {
                *p = *p == '~' ? '/' : *p;
            }
            value = at(value, step);
        }
    }
    return value;
}

/* Container settings, where to look in the pod, what is there ("" nothing). */
static void test_settings(void **state)
{
    (void)state;
    static const struct {
        const char *name, *settings, *where, *expected;
    } rows[] = {
        {"no resources", "", "spec/containers/0/resources", "{}"},
        {"resources", "'resources':{'limits':{'cpu':'500m','nvidia.com/gpu':'2'}}",
            "spec/containers/0/resources", "{'limits':{'cpu':'500m','nvidia.com/gpu':'2'}}"},
        {"variable",
            "'pod':{'env':[{'name':'A','valueFrom':{'secretKeyRef':{'name':'s','key':'k'}}}]}",
            "spec/containers/0/env/-1",
            "{'name':'A','valueFrom':{'secretKeyRef':{'key':'k','name':'s'}}}"},
        {"one of ours replaced", "'pod':{'env':[{'name':'NAMESPACE','value':'x'}]}",
            "spec/containers/0/env/-1", "{'name':'NAMESPACE','value':'x'}"},
        {"and not there twice", "'pod':{'env':[{'name':'NAMESPACE','value':'x'}]}",
            "spec/containers/0/env/4", ""},
        {"volume", "'pod':{'volumes':[{'name':'v','emptyDir':{}}]}", "spec/volumes/-1",
            "{'emptyDir':{},'name':'v'}"},
        {"mount",
            "'pod':{'volumes':[{'name':'v','emptyDir':{}}],'volumeMounts':[{'name':'v','mountPath':"
            "'/data'}]}",
            "spec/containers/0/volumeMounts/-1", "{'mountPath':'/data','name':'v'}"},
        {"mount over a folder of ours",
            "'pod':{'volumes':[{'name':'v','emptyDir':{}}],'volumeMounts':[{'name':'v','mountPath':"
            "'/gcs'}]}",
            "spec/containers/0/volumeMounts/8", ""},
        {"workspace", "'workspace':{'claim':'w','path':'/kfp-workspace'}", "spec/volumes/-1",
            "{'name':'kfp-workspace','persistentVolumeClaim':{'claimName':'w'}}"},
        {"its mount", "'workspace':{'claim':'w','path':'/kfp-workspace'}",
            "spec/containers/0/volumeMounts/-1",
            "{'mountPath':'/kfp-workspace','name':'kfp-workspace'}"},
        {"user", "'pod':{'securityContext':{'runAsUser':1000}}",
            "spec/containers/0/securityContext/runAsUser", "1000"},
        {"capabilities stay dropped", "'pod':{'securityContext':{'runAsUser':1000}}",
            "spec/containers/0/securityContext/capabilities", "{'drop':['ALL']}"},
        {"init container comes after ours", "'pod':{'initContainers':[{'name':'i','image':'b'}]}",
            "spec/initContainers/1/name", "'i'"},
        {"and is held to our rules", "'pod':{'initContainers':[{'name':'i','image':'b'}]}",
            "spec/initContainers/1/securityContext/allowPrivilegeEscalation", "false"},
        {"pull policy", "'pod':{'imagePullPolicy':'Always'}", "spec/containers/0/imagePullPolicy",
            "'Always'"},
        {"pull secrets", "'pod':{'imagePullSecrets':[{'name':'s'}]}", "spec/imagePullSecrets",
            "[{'name':'s'}]"},
        {"node selector", "'pod':{'nodeSelector':{'disk':'ssd'}}", "spec/nodeSelector",
            "{'disk':'ssd'}"},
        {"tolerations", "'pod':{'tolerations':[{'key':'gpu'}]}", "spec/tolerations",
            "[{'key':'gpu'}]"},
        {"affinity", "'pod':{'affinity':{'nodeAffinity':{}}}", "spec/affinity",
            "{'nodeAffinity':{}}"},
        {"label", "'pod':{'labels':{'team':'a'}}", "metadata/labels/team", "'a'"},
        {"ours are not overridden", "'pod':{'labels':{'app.kubernetes.io/managed-by':'me'}}",
            "metadata/labels/app.kubernetes.io~managed-by", "'rondo'"},
        {"sidecar", "'pod':{'initContainers':[{'name':'i','image':'b','restartPolicy':'Always'}]}",
            "spec/initContainers/1/restartPolicy", "'Always'"},
        {"a claim over a home folder",
            "'pod':{'volumes':[{'name':'v','persistentVolumeClaim':{'claimName':'c'}}],"
            "'volumeMounts':[{'name':'v','mountPath':'/.cache'}]}",
            "spec/containers/0/volumeMounts/-1", "{'mountPath':'/.cache','name':'v'}"},
        {"whose own folder is gone then",
            "'pod':{'volumes':[{'name':'v','persistentVolumeClaim':{'claimName':'c'}}],"
            "'volumeMounts':[{'name':'v','mountPath':'/.cache'}]}",
            "spec/volumes/8", ""},
        {"devices", "'pod':{'resourceClaims':[{'name':'g','resourceClaimTemplateName':'t'}]}",
            "spec/resourceClaims", "[{'name':'g','resourceClaimTemplateName':'t'}]"},
        {"the container uses them",
            "'pod':{'resourceClaims':[{'name':'g','resourceClaimTemplateName':'t'}]}",
            "spec/containers/0/resources/claims", "[{'name':'g'}]"},
        {"no proxy unless it is asked for", "", "metadata/annotations/sidecar.istio.io~inject",
            "'false'"},
        {"annotation", "'pod':{'annotations':{'note':'a'}}", "metadata/annotations/note", "'a'"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = ERR_INIT;
        CLEANUP(cleanup_free)
        char *settings = xasprintf(
            "{'image':'a'%s%s}", rows[i].settings[0] != '\0' ? "," : "", rows[i].settings);
        CLEANUP(cleanup_free) char *container = quoted(settings);
        CLEANUP(cleanup_free) char *expected = quoted(rows[i].expected);
        json_t *pod CLEANUP(json_decrefp) = manifest("{}", container, &err);
        if (pod == NULL) {
            fail_msg("%s: %s", rows[i].name, err.msg);
        }
        const json_t *found = find_at(pod, rows[i].where);
        char *text CLEANUP(cleanup_free) =
            found == NULL ? xstrdup("")
                          : json_dumps(found, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
        if (strcmp(text, expected) != 0) {
            fail_msg("%s: %s, expected %s", rows[i].name, text, expected);
        }
    }
}

static void test_settings_that_cannot_be(void **state)
{
    (void)state;
    static const struct {
        const char *name, *settings, *says;
    } rows[] = {
        {"the token", "'pod':{'env':[{'name':'RONDO_TOKEN','value':'x'}]}",
            "'RONDO_TOKEN' belongs to rondo's launcher"},
        {"over the launcher",
            "'pod':{'volumes':[{'name':'v','emptyDir':{}}],'volumeMounts':[{'name':'v','mountPath':"
            "'/rondo/bin'}]}",
            "at '/rondo/bin', where rondo's launcher is; mount it elsewhere"},
        {"over everything",
            "'pod':{'volumes':[{'name':'v','emptyDir':{}}],'volumeMounts':[{'name':'v','mountPath':"
            "'/'}]}",
            "at '/', where rondo's launcher is"},
        {"in the workspace",
            "'workspace':{'claim':'w','path':'/kfp-workspace'},'pod':{'volumes':[{'name':'v',"
            "'emptyDir':{}}],'volumeMounts':[{'name':'v','mountPath':'/kfp-workspace/a'}]}",
            "which is the workspace of the run"},
        {"a secret where artifacts are written",
            "'pod':{'volumes':[{'name':'v','secret':{'secretName':'s'}}],'volumeMounts':[{'name':"
            "'v','mountPath':'/s3'}]}",
            "a secret or config map is mounted at '/s3', where artifacts are written"},
        {"a volume that is not there", "'pod':{'volumeMounts':[{'name':'v','mountPath':'/a'}]}",
            "the task mounts the volume 'v', which the pod lacks"},
        {"a volume called as ours", "'pod':{'volumes':[{'name':'rondo-gcs','emptyDir':{}}]}",
            "a volume cannot be called 'rondo-gcs'"},
        {"a volume called as the workspace",
            "'pod':{'volumes':[{'name':'kfp-workspace','emptyDir':{}}]}",
            "a volume cannot be called 'kfp-workspace'"},
        {"root that must not be", "'pod':{'securityContext':{'runAsUser':0,'runAsNonRoot':true}}",
            "runAsUser 0 is root, which runAsNonRoot forbids"},
        {"an init container called as ours",
            "'pod':{'initContainers':[{'name':'rondo-launcher','image':'b'}]}",
            "an init container cannot be called 'rondo-launcher'"},
        {"an init container called main", "'pod':{'initContainers':[{'name':'main','image':'b'}]}",
            "an init container cannot be called 'main'"},
        {"an init container's mount over the launcher",
            "'pod':{'volumes':[{'name':'v','emptyDir':{}}],'initContainers':[{'name':'i','image':"
            "'b','volumeMounts':[{'name':'v','mountPath':'/rondo'}]}]}",
            "init container 'i' mounts a volume at '/rondo'"},
        {"an init container's volume that is not there",
            "'pod':{'initContainers':[{'name':'i','image':'b','volumeMounts':[{'name':'v',"
            "'mountPath':'/a'}]}]}",
            "init container 'i' mounts the volume 'v', which the pod lacks"},
        {"an accelerator by another cloud's name",
            "'resources':{'limits':{'NVIDIA_TESLA_K80':'1'}}",
            "'NVIDIA_TESLA_K80' is no resource of Kubernetes"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = ERR_INIT;
        CLEANUP(cleanup_free) char *settings = xasprintf("{'image':'a',%s}", rows[i].settings);
        CLEANUP(cleanup_free) char *container = quoted(settings);
        json_t *pod CLEANUP(json_decrefp) = manifest("{}", container, &err);
        if (pod != NULL || strstr(err.msg, rows[i].says) == NULL) {
            fail_msg("%s: %s", rows[i].name, err.msg);
        }
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

/* A model that is an image is not fetched: it runs beside the step. */
static void test_models_that_are_images(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    json_t *pod CLEANUP(json_decrefp) = manifest(
        "{\"inputs\":[{\"name\":\"m\",\"uri\":\"oci://reg.io/a/b:1\"},{\"name\":\"n\",\"uri\":"
        "\"oci://reg.io/a/b:1\"},{\"name\":\"d\",\"uri\":\"s3://b/k\"}]}",
        "{\"image\":\"a\"}", &err);
    assert_non_null(pod);
    const json_t *spec = at(pod, "spec"), *inits = at(spec, "initContainers");
    assert_int_equal(json_array_size(inits), 3);
    const json_t *check = json_array_get(inits, 1), *model = json_array_get(inits, 2);
    assert_string_equal(jget_str(check, "name", ""), "rondo-oci-check-0");
    assert_string_equal(jget_str(model, "image", ""), "reg.io/a/b:1");
    assert_string_equal(jget_str(model, "restartPolicy", ""), "Always");
    assert_string_equal(
        json_string_value(json_array_get(at(model, "command"), 4)), "/oci/reg.io_a_b:1");
    assert_non_null(at(model, "startupProbe"));
    assert_true(jget_bool(spec, "shareProcessNamespace", false));
    const json_t *main = json_array_get(at(spec, "containers"), 0),
                 *mounts = at(main, "volumeMounts");
    assert_string_equal(
        jget_str(json_array_get(mounts, json_array_size(mounts) - 1), "mountPath", ""), "/oci");
    struct buf path;
    buf_init(&path, 4096);
    pod_artifact_path("file:///data", "oci://reg.io/a/b:1", &path);
    assert_string_equal(buf_str(&path), "/oci/reg.io_a_b:1/models");
    buf_done(&path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_name_is_a_dns_label),
        cmocka_unit_test(test_names_differ_by_every_part),
        cmocka_unit_test(test_name_stays_as_it_is),
        cmocka_unit_test(test_labels),
        cmocka_unit_test(test_artifact_paths),
        cmocka_unit_test(test_settings),
        cmocka_unit_test(test_settings_that_cannot_be),
        cmocka_unit_test(test_models_that_are_images),
        cmocka_unit_test(test_manifest_has_what_a_launcher_needs),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_no_image_is_refused),
        cmocka_unit_test(test_long_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
