/* SPDX-License-Identifier: Apache-2.0 */
/* The platform document: from its fields to the parts of a pod (kfp-semantics.md 12.1). */
#include "pipeline_test.h"

/* The pipeline of the tests: a task `use` beside a task `make`, with the DAG's inputs below. */
#define PIPELINE                                                                                   \
    "pipelineInfo: {name: p}\nschemaVersion: 2.1.0\n"                                              \
    "deploymentSpec:\n  executors:\n"                                                              \
    "    exec-use: {container: {image: x, command: [y]}}\n"                                        \
    "    exec-make: {container: {image: x, command: [y]}}\n"                                       \
    "components:\n"                                                                                \
    "  comp-use: {executorLabel: exec-use}\n"                                                      \
    "  comp-make:\n    executorLabel: exec-make\n"                                                 \
    "    outputDefinitions:\n      parameters:\n"                                                  \
    "        name: {parameterType: STRING}\n        labels: {parameterType: STRUCT}\n"             \
    "root:\n"                                                                                      \
    "  dag: {tasks: {use: {componentRef: {name: comp-use}}, make: {componentRef: {name: "          \
    "comp-make}}}}\n"                                                                              \
    "  inputDefinitions:\n    parameters:\n"                                                       \
    "      secret: {parameterType: STRING, isOptional: true}\n"                                    \
    "      object: {parameterType: STRUCT, isOptional: true}\n"                                    \
    "      list: {parameterType: LIST, isOptional: true}\n"                                        \
    "      count: {parameterType: NUMBER_INTEGER, isOptional: true}\n"                             \
    "      pipelinechannel--outer: {parameterType: STRING, isOptional: true}\n"                    \
    "      pipelinechannel--far-name: {parameterType: STRING, isOptional: true}\n"                 \
    "---\nplatforms: {kubernetes: {deploymentSpec: {executors: {exec-use: %s}}}}\n"

static const json_t *find(void *owner, const struct scope_ref *ref)
{
    const json_t *values = owner;
    if (ref->kind == SOURCE_COMPONENT_INPUT) {
        return json_object_get(values, ref->source);
    }
    char key[200];
    snprintf(key, sizeof key, "%s.%s", ref->producer, ref->key);
    return json_object_get(values, key);
}

static const struct run_context run_facts = {
    .run_id = "11111111-2222-3333-4444-555555555555",
    .run_name = "nightly",
    .pipeline_name = "p",
    .task_key = "use",
    .task_id = "t",
};

static struct plan *compile_with(const char *row, const char *config)
{
    char *text = xasprintf(PIPELINE, config);
    struct complaints complaints;
    complaints_init(&complaints);
    struct plan *plan = plan_compile(text, strlen(text), &complaints);
    if (plan == NULL) {
        char *why = complaint_text(&complaints);
        fail_msg("%s does not compile: %s", row, why);
    }
    complaints_done(&complaints);
    free(text);
    return plan;
}

struct row {
    const char *name, *config, *values; /* values: of what can be referred to */
    const char *parts;                  /* or NULL: */
    const char *says;
};

static void check_row(const struct row *row)
{
    struct plan *plan = compile_with(row->name, row->config);
    const struct container *container = task_named(plan->root, "use")->component->container;
    assert_non_null(container->pod);
    json_t *values = j(row->values != NULL ? row->values : "{}");
    struct err err = ERR_INIT;
    json_t *parts = pod_config_resolve(container->pod, find, values, &run_facts, &err);
    if (row->parts != NULL) {
        if (parts == NULL) {
            fail_msg("%s: %s", row->name, err.msg);
        }
        expect_json(row->name, parts, row->parts);
    } else {
        if (parts != NULL) {
            fail_msg("%s: resolved", row->name);
        }
        assert_int_equal(err.code, ERR_INVALID);
        expect_has(row->name, err.msg, row->says);
    }
    json_decref(values);
    plan_unref(plan);
}

#define REF(name) "{componentInputParameter: " name "}"
#define MADE(key) "{taskOutputParameter: {producerTask: make, outputParameterKey: " key "}}"
#define CONST(value) "{runtimeValue: {constant: " value "}}"

static void check_rows(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        check_row(&rows[i]);
    }
}
#define CHECK_ROWS(rows) check_rows(rows, ARRAY_LEN(rows))

/* ---- environment ---- */

static void test_env(void **state UNUSED)
{
    static const struct row rows[] = {
        {"secret by its older spelling",
            "{secretAsEnv: [{secretName: s, keyToEnv: [{secretKey: k, envVar: V}]}]}", NULL,
            "{'env': [{'name': 'V', 'valueFrom': {'secretKeyRef': {'name': 's', 'key': 'k'}}}]}",
            NULL},
        {"the newer spelling counts, snake case, optional",
            "{secret_as_env: [{secret_name: old, secret_name_parameter: {runtime_value: {constant: "
            "new}}, key_to_env: [{secret_key: k, env_var: V}], optional: true}]}",
            NULL,
            "{'env': [{'name': 'V', 'valueFrom': {'secretKeyRef': {'name': 'new', 'key': 'k', "
            "'optional': true}}}]}",
            NULL},
        {"a parameter, two keys, explicitly not optional",
            "{secretAsEnv: [{secretNameParameter: " REF(
                "secret") ", optional: false, keyToEnv: "
                          "[{secretKey: a, envVar: A}, {secretKey: b, envVar: B}]}]}",
            "{'secret': 'mine'}",
            "{'env': [{'name': 'A', 'valueFrom': {'secretKeyRef': {'name': 'mine', 'key': 'a', "
            "'optional': false}}}, {'name': 'B', 'valueFrom': {'secretKeyRef': {'name': 'mine', "
            "'key': 'b', 'optional': false}}}]}",
            NULL},
        {"a parameter without a value",
            "{secretAsEnv: [{secretNameParameter: " REF(
                "secret") ", keyToEnv: [{secretKey: a, envVar: A}]}]}",
            "{'secret': null}", "{}", NULL},
        {"an output",
            "{configMapAsEnv: [{configMapNameParameter: " MADE(
                "name") ", keyToEnv: [{configMapKey: a, envVar: A}]}]}",
            "{'make.name': 'conf'}",
            "{'env': [{'name': 'A', 'valueFrom': {'configMapKeyRef': {'name': 'conf', 'key': "
            "'a'}}}]}",
            NULL},
        {"config map by its older spelling",
            "{configMapAsEnv: [{configMapName: c.d, keyToEnv: [{configMapKey: a, envVar: A}]}]}",
            NULL,
            "{'env': [{'name': 'A', 'valueFrom': {'configMapKeyRef': {'name': 'c.d', 'key': "
            "'a'}}}]}",
            NULL},
        {"a field", "{fieldPathAsEnv: [{name: N, fieldPath: \"metadata.labels['x']\"}]}", NULL,
            "{'env': [{'name': 'N', 'valueFrom': {'fieldRef': {'fieldPath': "
            "'metadata.labels[\\u0027x\\u0027]'}}}]}",
            NULL},
        {"the last of two counts",
            "{secretAsEnv: [{secretName: s, keyToEnv: [{secretKey: k, envVar: V}]}], "
            "fieldPathAsEnv: [{name: V, fieldPath: metadata.name}]}",
            NULL,
            "{'env': [{'name': 'V', 'valueFrom': {'fieldRef': {'fieldPath': 'metadata.name'}}}]}",
            NULL},
        {"a name that is none",
            "{secretAsEnv: [{secretNameParameter: " REF(
                "secret") ", keyToEnv: [{secretKey: a, envVar: A}]}]}",
            "{'secret': 'Not A Name'}", NULL, "secretAsEnv[0].secretNameParameter"},
        {"a number for a name",
            "{secretAsEnv: [{secretNameParameter: " REF(
                "count") ", keyToEnv: [{secretKey: a, envVar: A}]}]}",
            "{'count': 3}", NULL, "expected a name, a text"},
    };
    CHECK_ROWS(rows);
}

/* ---- constants that hold references ---- */

#define SECRET(value)                                                                              \
    "{secretAsEnv: [{secretNameParameter: " CONST(value) ", keyToEnv: [{secretKey: k, envVar: "    \
                                                         "V}]}]}"
#define SECRET_PARTS(name)                                                                         \
    "{'env': [{'name': 'V', 'valueFrom': {'secretKeyRef': {'name': '" name "', 'key': 'k'}}}]}"

static void test_texts(void **state UNUSED)
{
    static const struct row rows[] = {
        {"an f-string with an input", SECRET("'pre-{{channel:task=;name=secret;type=String;}}-x'"),
            "{'secret': 'mine'}", SECRET_PARTS("pre-mine-x"), NULL},
        {"an f-string with an output", SECRET("'{{channel:task=make;name=name;type=String;}}-x'"),
            "{'make.name': 'm'}", SECRET_PARTS("m-x"), NULL},
        {"an f-string in a loop, where the input has another name",
            SECRET("'a-{{channel:task=;name=outer;type=String;}}'"),
            "{'pipelinechannel--outer': 'o'}", SECRET_PARTS("a-o"), NULL},
        {"an f-string in a loop with an output from outside",
            SECRET("'a-{{channel:task=far;name=name;type=String;}}'"),
            "{'pipelinechannel--far-name': 'f'}", SECRET_PARTS("a-f"), NULL},
        {"a placeholder", SECRET("\"n-{{$.inputs.parameters['count']}}\""), "{'count': 3}",
            SECRET_PARTS("n-3"), NULL},
        {"the run", SECRET("'s-{{$.pipeline_job_uuid}}'"), NULL,
            SECRET_PARTS("s-11111111-2222-3333-4444-555555555555"), NULL},
        {"what replaces a reference is not looked at again",
            SECRET("'{{channel:task=;name=secret;type=String;}}'"),
            "{'secret': '{{$.pipeline_job_name}}'}", NULL, "{{$.pipeline_job_name}}"},
        {"within an object",
            "{nodeSelector: {nodeSelectorJson: " CONST(
                "{pool: 'p-{{channel:task=;name=count;type=Integer;}}'}") "}}",
            "{'count': 4}", "{'nodeSelector': {'pool': 'p-4'}}", NULL},
        {"a selector",
            "{nodeSelector: {nodeSelectorJson: {componentInputParameter: object, "
            "parameterExpressionSelector: 'parseJson(string_value)[\"a\"]'}}}",
            "{'object': {'a': {'x': 'y'}}}", "{'nodeSelector': {'x': 'y'}}", NULL},
        {"an input called otherwise in a loop",
            "{secretAsEnv: [{secretNameParameter: " REF(
                "outer") ", keyToEnv: [{secretKey: k, envVar: V}]}]}",
            "{'pipelinechannel--outer': 'o'}", SECRET_PARTS("o"), NULL},
    };
    CHECK_ROWS(rows);
}

/* ---- volumes ---- */

static void test_volumes(void **state UNUSED)
{
    static const struct row rows[] = {
        {"secret", "{secretAsVolume: [{secretName: s, mountPath: /m, optional: true}]}", NULL,
            "{'volumes': [{'name': 's', 'secret': {'secretName': 's', 'optional': true}}], "
            "'volumeMounts': [{'name': 's', 'mountPath': '/m'}]}",
            NULL},
        {"config map",
            "{configMapAsVolume: [{configMapNameParameter: " REF("secret") ", mountPath: /m/}]}",
            "{'secret': 'c'}",
            "{'volumes': [{'name': 'c', 'configMap': {'name': 'c'}}], "
            "'volumeMounts': [{'name': 'c', 'mountPath': '/m'}]}",
            NULL},
        {"a secret without a value",
            "{secretAsVolume: [{secretNameParameter: " REF("secret") ", mountPath: /m}]}", NULL,
            "{}", NULL},
        {"claim by its older spellings",
            "{pvcMount: [{constant: c, mountPath: /a}, {componentInputParameter: secret, "
            "mountPath: /b}, {taskOutputParameter: {producerTask: make, outputParameterKey: name}, "
            "mountPath: /c}]}",
            "{'secret': 'd', 'make.name': 'e'}",
            "{'volumes': [{'name': 'c', 'persistentVolumeClaim': {'claimName': 'c'}}, "
            "{'name': 'd', 'persistentVolumeClaim': {'claimName': 'd'}}, "
            "{'name': 'e', 'persistentVolumeClaim': {'claimName': 'e'}}], "
            "'volumeMounts': [{'name': 'c', 'mountPath': '/a'}, {'name': 'd', 'mountPath': '/b'}, "
            "{'name': 'e', 'mountPath': '/c'}]}",
            NULL},
        {"claim by both spellings",
            "{pvcMount: [{constant: old, pvcNameParameter: " CONST(
                "new") ", mountPath: /a, subPath: "
                       "x/y}]}",
            NULL,
            "{'volumes': [{'name': 'new', 'persistentVolumeClaim': {'claimName': 'new'}}], "
            "'volumeMounts': [{'name': 'new', 'mountPath': '/a', 'subPath': 'x/y'}]}",
            NULL},
        {"claim without a value",
            "{pvcMount: [{pvcNameParameter: " REF("secret") ", mountPath: /a}]}",
            "{'secret': null}", NULL, "pvcMount[0] (line"},
        {"one claim twice is one volume",
            "{pvcMount: [{constant: c, mountPath: /a}, {constant: c, mountPath: /b, subPath: s}, "
            "{constant: c, mountPath: /a}]}",
            NULL,
            "{'volumes': [{'name': 'c', 'persistentVolumeClaim': {'claimName': 'c'}}], "
            "'volumeMounts': [{'name': 'c', 'mountPath': '/a'}, "
            "{'name': 'c', 'mountPath': '/b', 'subPath': 's'}]}",
            NULL},
        {"two at one place",
            "{pvcMount: [{constant: c, mountPath: /a}, {constant: d, mountPath: /a/}]}", NULL, NULL,
            "something else is mounted at '/a'"},
        {"a claim and a secret of one name",
            "{pvcMount: [{constant: n, mountPath: /a}], secretAsVolume: [{secretName: n, "
            "mountPath: "
            "/b}]}",
            NULL,
            "{'volumes': [{'name': 'n', 'persistentVolumeClaim': {'claimName': 'n'}}, "
            "{'name': 'vol-n-48a5c28c', 'secret': {'secretName': 'n'}}], "
            "'volumeMounts': [{'name': 'n', 'mountPath': '/a'}, "
            "{'name': 'vol-n-48a5c28c', 'mountPath': '/b'}]}",
            NULL},
        {"a name with dots, a long one, one of ours",
            "{pvcMount: [{constant: a.b, mountPath: /a}, {constant: "
            "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggggggggg, mountPath: "
            "/b}, {constant: rondo-bin, mountPath: /c}]}",
            NULL,
            "{'volumes': [{'name': 'vol-a-b-2537a998', 'persistentVolumeClaim': {'claimName': "
            "'a.b'}}, {'name': 'vol-aaaaaaaaaabbbbbbbbbbccccccccccdddddddddd-b529e215', "
            "'persistentVolumeClaim': {'claimName': "
            "'aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggggggggg'}}, "
            "{'name': 'vol-rondo-bin-d1294f39', 'persistentVolumeClaim': {'claimName': "
            "'rondo-bin'}}], 'volumeMounts': [{'name': 'vol-a-b-2537a998', 'mountPath': '/a'}, "
            "{'name': 'vol-aaaaaaaaaabbbbbbbbbbccccccccccdddddddddd-b529e215', 'mountPath': '/b'}, "
            "{'name': 'vol-rondo-bin-d1294f39', 'mountPath': '/c'}]}",
            NULL},
        {"ephemeral",
            "{genericEphemeralVolume: [{volumeName: e, mountPath: /e, accessModes: "
            "[ReadWriteOnce], size: 5Gi, defaultStorageClass: true, metadata: {labels: {a: 1}, "
            "annotations: {b: c}}}]}",
            NULL,
            "{'volumes': [{'name': 'e', 'ephemeral': {'volumeClaimTemplate': {'metadata': "
            "{'labels': {'a': '1'}, 'annotations': {'b': 'c'}}, 'spec': {'accessModes': "
            "['ReadWriteOnce'], 'resources': {'requests': {'storage': '5Gi'}}}}}}], "
            "'volumeMounts': [{'name': 'e', 'mountPath': '/e'}]}",
            NULL},
        {"ephemeral of a class",
            "{genericEphemeralVolume: [{volumeName: e, mountPath: /e, accessModes: "
            "[ReadWriteMany], size: 5Gi, storageClassName: fast}]}",
            NULL,
            "{'volumes': [{'name': 'e', 'ephemeral': {'volumeClaimTemplate': {'spec': "
            "{'accessModes': ['ReadWriteMany'], 'resources': {'requests': {'storage': '5Gi'}}, "
            "'storageClassName': 'fast'}}}}], 'volumeMounts': [{'name': 'e', 'mountPath': '/e'}]}",
            NULL},
        {"empty folders and shared memory",
            "{emptyDirMounts: [{volumeName: d, mountPath: /d}, {volumeName: m, mountPath: /m, "
            "medium: Memory, sizeLimit: 1Gi}], enabledSharedMemory: {size: 2Gi}}",
            NULL,
            "{'volumes': [{'name': 'd', 'emptyDir': {}}, {'name': 'm', 'emptyDir': {'medium': "
            "'Memory', 'sizeLimit': '1Gi'}}, {'name': 'shm', 'emptyDir': {'medium': 'Memory', "
            "'sizeLimit': '2Gi'}}], 'volumeMounts': [{'name': 'd', 'mountPath': '/d'}, {'name': "
            "'m', 'mountPath': '/m'}, {'name': 'shm', 'mountPath': '/dev/shm'}]}",
            NULL},
        {"a claim called as an empty folder is",
            "{pvcMount: [{constant: d, mountPath: /c}], emptyDirMounts: [{volumeName: d, "
            "mountPath: "
            "/d}, {volumeName: d, mountPath: /e}]}",
            NULL,
            "{'volumes': [{'name': 'd', 'emptyDir': {}}, {'name': 'vol-d-c9ba655c', "
            "'persistentVolumeClaim': {'claimName': 'd'}}], 'volumeMounts': [{'name': 'd', "
            "'mountPath': '/d'}, {'name': 'd', 'mountPath': '/e'}, {'name': 'vol-d-c9ba655c', "
            "'mountPath': '/c'}]}",
            NULL},
    };
    CHECK_ROWS(rows);
}

static void test_claims_of_the_cache_key(void **state UNUSED)
{
    json_t *parts = j("{'volumes': [{'name': 'a', 'persistentVolumeClaim': {'claimName': 'z'}}, "
                      "{'name': 'b', 'emptyDir': {}}, {'name': 'c', 'persistentVolumeClaim': "
                      "{'claimName': 'b'}}, {'name': 'd', 'persistentVolumeClaim': {'claimName': "
                      "'z'}}]}");
    expect_json("claims", pod_parts_claims(parts), "['b', 'z']");
    json_decref(parts);
    expect_json("no parts", pod_parts_claims(NULL), "[]");
}

/* ---- placement ---- */

static void test_placement(void **state UNUSED)
{
    static const struct row rows[] = {
        {"labels of nodes", "{nodeSelector: {labels: {disk: ssd, gen: 4}}}", NULL,
            "{'nodeSelector': {'disk': 'ssd', 'gen': '4'}}", NULL},
        {"JSON wins over labels",
            "{nodeSelector: {labels: {disk: ssd}, nodeSelectorJson: " REF("object") "}}",
            "{'object': {'pool': 'gpu'}}", "{'nodeSelector': {'pool': 'gpu'}}", NULL},
        {"JSON as text", "{nodeSelector: {nodeSelectorJson: " REF("secret") "}}",
            "{'secret': '{\\u0022pool\\u0022: \\u0022gpu\\u0022}'}",
            "{'nodeSelector': {'pool': 'gpu'}}", NULL},
        {"no value, no labels either",
            "{nodeSelector: {labels: {disk: ssd}, nodeSelectorJson: " REF("object") "}}",
            "{'object': null}", "{}", NULL},
        {"no object", "{nodeSelector: {nodeSelectorJson: " REF("list") "}}", "{'list': []}", NULL,
            "expected an object of labels"},
        {"a label that is no text", "{nodeSelector: {nodeSelectorJson: " REF("object") "}}",
            "{'object': {'n': 4}}", NULL, "n: expected a label's value"},

        {"tolerations",
            "{tolerations: [{key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}, {key: k, "
            "value: 1, effect: NoExecute, tolerationSeconds: '30'}, {}]}",
            NULL,
            "{'tolerations': [{'key': 'nvidia.com/gpu', 'operator': 'Exists', 'effect': "
            "'NoSchedule'}, {'key': 'k', 'value': '1', 'effect': 'NoExecute', "
            "'tolerationSeconds': 30}]}",
            NULL},
        {"one from a parameter, with the other spelling",
            "{tolerations: [{tolerationJson: " REF("object") "}]}",
            "{'object': {'key': 'k', 'operator': 'Exists', 'effect': 'NoExecute', "
            "'toleration_seconds': 5}}",
            "{'tolerations': [{'key': 'k', 'operator': 'Exists', 'effect': 'NoExecute', "
            "'tolerationSeconds': 5}]}",
            NULL},
        {"a list from a parameter",
            "{tolerations: [{tolerationJson: " REF("list") "}, {key: z, operator: Exists}]}",
            "{'list': [{'key': 'a', 'operator': 'Exists'}, {}, {'operator': 'Exists'}]}",
            "{'tolerations': [{'key': 'a', 'operator': 'Exists'}, {'operator': 'Exists'}, "
            "{'key': 'z', 'operator': 'Exists'}]}",
            NULL},
        {"empty ones",
            "{tolerations: [{tolerationJson: " REF("list") "}, {tolerationJson: " REF(
                "object") "}, {tolerationJson: " REF("secret") "}]}",
            "{'list': [], 'object': {}, 'secret': null}", "{}", NULL},
        {"an unknown member", "{tolerations: [{tolerationJson: " REF("list") "}]}",
            "{'list': [{'key': 'a', 'operator': 'Exists', 'kay': 'b'}]}", NULL,
            "[0]: kay: Kubernetes has no such field here"},
        {"an unknown effect", "{tolerations: [{tolerationJson: " REF("object") "}]}",
            "{'object': {'key': 'a', 'operator': 'Exists', 'effect': 'Never'}}", NULL,
            "effect is NoSchedule, PreferNoSchedule or NoExecute"},
        {"no object at all", "{tolerations: [{tolerationJson: " REF("count") "}]}", "{'count': 1}",
            NULL, "expected an object"},
    };
    CHECK_ROWS(rows);
}

#define REQUIRED "'requiredDuringSchedulingIgnoredDuringExecution'"
#define PREFERRED "'preferredDuringSchedulingIgnoredDuringExecution'"

static void test_affinity(void **state UNUSED)
{
    static const struct row rows[] = {
        {"terms of nodes are alternatives",
            "{nodeAffinity: [{matchExpressions: [{key: a, operator: In, values: [x, 1]}]}, "
            "{matchFields: [{key: metadata.name, operator: In, values: [n]}]}, {}]}",
            NULL,
            "{'affinity': {'nodeAffinity': {" REQUIRED ": {'nodeSelectorTerms': "
            "[{'matchExpressions': [{'key': 'a', 'operator': 'In', 'values': ['x', '1']}]}, "
            "{'matchFields': [{'key': 'metadata.name', 'operator': 'In', 'values': ['n']}]}]}}}}",
            NULL},
        {"a weight makes a preference",
            "{nodeAffinity: [{matchExpressions: [{key: a, operator: Exists}], weight: 10}]}", NULL,
            "{'affinity': {'nodeAffinity': {" PREFERRED ": [{'weight': 10, 'preference': "
            "{'matchExpressions': [{'key': 'a', 'operator': 'Exists'}]}}]}}}",
            NULL},
        {"a whole one joins the terms",
            "{nodeAffinity: [{matchExpressions: [{key: a, operator: Exists}]}, "
            "{nodeAffinityJson: " REF("object") "}]}",
            "{'object': {" REQUIRED ": {'nodeSelectorTerms': [{'matchExpressions': [{'key': 'b', "
            "'operator': 'In', 'values': ['c']}]}]}, " PREFERRED ": [{'weight': 1, 'preference': "
            "{'matchFields': []}}]}}",
            "{'affinity': {'nodeAffinity': {" REQUIRED ": {'nodeSelectorTerms': "
            "[{'matchExpressions': [{'key': 'a', 'operator': 'Exists'}]}, {'matchExpressions': "
            "[{'key': 'b', 'operator': 'In', 'values': ['c']}]}]}, " PREFERRED ": [{'weight': 1, "
            "'preference': {'matchFields': []}}]}}}",
            NULL},
        {"no value", "{nodeAffinity: [{nodeAffinityJson: " REF("object") "}]}", NULL, "{}", NULL},
        {"a wrong kind", "{nodeAffinity: [{nodeAffinityJson: " REF("object") "}]}",
            "{'object': {" REQUIRED ": {'nodeSelectorTerms': [{'matchExpressions': [{'key': "
            "1}]}]}}}",
            NULL, "matchExpressions[0]: key: expected a text"},
        {"pods, near and far",
            "{podAffinity: [{matchPodLabels: {app: db}, topologyKey: kubernetes.io/hostname}, "
            "{matchPodExpressions: [{key: app, operator: In, values: [x]}], topologyKey: zone, "
            "weight: 5, anti: true, namespaces: [n], matchNamespaceLabels: {team: a}}]}",
            NULL,
            "{'affinity': {'podAffinity': {" REQUIRED ": [{'labelSelector': {'matchLabels': "
            "{'app': 'db'}}, 'topologyKey': 'kubernetes.io/hostname'}]}, 'podAntiAffinity': "
            "{" PREFERRED
            ": [{'weight': 5, 'podAffinityTerm': {'labelSelector': {'matchExpressions': "
            "[{'key': 'app', 'operator': 'In', 'values': ['x']}]}, 'namespaces': ['n'], "
            "'namespaceSelector': {'matchLabels': {'team': 'a'}}, 'topologyKey': 'zone'}}]}}}",
            NULL},
    };
    CHECK_ROWS(rows);
}

/* ---- the rest ---- */

static void test_other_fields(void **state UNUSED)
{
    static const struct row rows[] = {
        {"nothing", "{}", NULL, "{}", NULL},
        {"image",
            "{imagePullSecret: [{secretName: a}, {secretNameParameter: " REF(
                "secret") "}, {secretName: a}], imagePullPolicy: Always}",
            "{'secret': 'b'}",
            "{'imagePullSecrets': [{'name': 'a'}, {'name': 'b'}], 'imagePullPolicy': 'Always'}",
            NULL},
        {"an image secret without a value",
            "{imagePullSecret: [{secretNameParameter: " REF("secret") "}]}", NULL, "{}", NULL},
        {"labels and annotations",
            "{podMetadata: {labels: {a: 1, example.com/b: c}, annotations: {d: 'any text'}}}", NULL,
            "{'labels': {'a': '1', 'example.com/b': 'c'}, 'annotations': {'d': 'any text'}}", NULL},
        {"deadline", "{activeDeadlineSeconds: '60'}", NULL, "{'activeDeadlineSeconds': 60}", NULL},
        {"deadline of 0 is none", "{activeDeadlineSeconds: 0}", NULL, "{}", NULL},
        {"user", "{securityContext: {runAsUser: '1000', runAsGroup: 0, runAsNonRoot: true}}", NULL,
            "{'securityContext': {'runAsUser': 1000, 'runAsGroup': 0, 'runAsNonRoot': true}}",
            NULL},
        {"devices",
            "{podResourceClaims: [{resourceClaimTemplateName: gpu}, {resourceClaimJson: " REF(
                "object") "}, {resourceClaimJson: " REF("list") "}]}",
            "{'object': {'name': 'mine', 'resourceClaimName': 'x'}}",
            "{'resourceClaims': [{'name': 'claim-0', 'resourceClaimTemplateName': 'gpu'}, {'name': "
            "'mine', 'resourceClaimName': 'x'}]}",
            NULL},
        {"init container",
            "{initContainers: [{name: fetch, image: busybox, command: [sh], args: [-c, 'true'], "
            "env: [{name: A, value: 1}, {name: B}], volumeMounts: [{volumeName: d, mountPath: "
            "/d}], restartPolicy: Always, resources: {requests: {cpu: 100m}, limits: {memory: "
            "1Gi}}}], emptyDirMounts: [{volumeName: d, mountPath: /e}]}",
            NULL,
            "{'volumes': [{'name': 'd', 'emptyDir': {}}], 'volumeMounts': [{'name': 'd', "
            "'mountPath': '/e'}], 'initContainers': [{'name': 'fetch', 'image': 'busybox', "
            "'command': ['sh'], 'args': ['-c', 'true'], 'env': [{'name': 'A', 'value': '1'}, "
            "{'name': 'B', 'value': ''}], 'volumeMounts': [{'name': 'd', 'mountPath': '/d'}], "
            "'restartPolicy': 'Always', 'resources': {'requests': {'cpu': '100m'}, 'limits': "
            "{'memory': '1Gi'}}}]}",
            NULL},
        {"init container with a claim by its name",
            "{initContainers: [{name: fetch, image: busybox, volumeMounts: [{volumeName: a.b, "
            "mountPath: /d}]}], pvcMount: [{pvcNameParameter: " REF("secret") ", mountPath: /e}]}",
            "{'secret': 'a.b'}",
            "{'volumes': [{'name': 'vol-a-b-2537a998', 'persistentVolumeClaim': {'claimName': "
            "'a.b'}}], 'volumeMounts': [{'name': 'vol-a-b-2537a998', 'mountPath': '/e'}], "
            "'initContainers': [{'name': 'fetch', 'image': 'busybox', 'volumeMounts': [{'name': "
            "'vol-a-b-2537a998', 'mountPath': '/d'}]}]}",
            NULL},
        {"init container with a volume that is not there",
            "{initContainers: [{name: fetch, image: busybox, volumeMounts: [{volumeName: other, "
            "mountPath: /d}]}], pvcMount: [{pvcNameParameter: " REF("secret") ", mountPath: /e}]}",
            "{'secret': 'c'}", NULL,
            "initContainers[0].volumeMounts[0]: the task has no volume 'other'"},
    };
    CHECK_ROWS(rows);
}

/* ---- complaints ---- */

static void test_complaints(void **state UNUSED)
{
    static const struct {
        const char *name, *config, *says;
        bool is_warning;
    } rows[] = {
        {"unknown field", "{secretsAsEnv: []}",
            "exec-use.secretsAsEnv: unknown field, ignored; did you mean 'secretAsEnv'?", true},
        {"unknown field within",
            "{secretAsEnv: [{secretName: a, key: b, keyToEnv: [{secretKey: k, "
            "envVar: V}]}]}",
            "secretAsEnv[0].key: unknown field", true},
        {"no name", "{secretAsEnv: [{keyToEnv: [{secretKey: k, envVar: V}]}]}",
            "secretAsEnv[0].secretNameParameter: is missing", false},
        {"no keys", "{secretAsEnv: [{secretName: a}]}", "keyToEnv: is missing or empty", true},
        {"bad name", "{secretAsEnv: [{secretName: A_b, keyToEnv: [{secretKey: k, envVar: V}]}]}",
            "'A_b' cannot be the name of a secret", false},
        {"bad variable", "{fieldPathAsEnv: [{name: A=B, fieldPath: metadata.name}]}",
            "'A=B' cannot be the name of an environment variable", false},
        {"variable of ours", "{fieldPathAsEnv: [{name: RONDO_TOKEN, fieldPath: metadata.name}]}",
            "names that begin with RONDO_ are for rondo itself", false},
        {"two sources",
            "{secretAsEnv: [{secretNameParameter: {componentInputParameter: secret, "
            "runtimeValue: {constant: x}}, keyToEnv: [{secretKey: k, envVar: V}]}]}",
            "expected exactly one of componentInputParameter", false},
        {"no such input", "{imagePullSecret: [{secretNameParameter: " REF("nope") "}]}",
            "imagePullSecret[0].secretNameParameter", false},
        {"no such output", "{imagePullSecret: [{secretNameParameter: " MADE("nope") "}]}",
            "refers to output 'nope' of task 'make', and there is none in this DAG", false},
        {"no such input in an f-string",
            "{imagePullSecret: [{secretName: 'a-{{channel:task=;name=nope;type=String;}}'}]}",
            "refers to 'nope', which is not an input parameter of root", false},
        {"mount at the root", "{emptyDirMounts: [{volumeName: d, mountPath: /}]}",
            "is the root of the container's files; mount it elsewhere", false},
        {"mount over the launcher", "{emptyDirMounts: [{volumeName: d, mountPath: //rondo/bin}]}",
            "is where rondo's launcher is", false},
        {"mount in the workspace", "{emptyDirMounts: [{volumeName: d, mountPath: /kfp-workspace}]}",
            "is the workspace of the run", false},
        {"mount with dots", "{emptyDirMounts: [{volumeName: d, mountPath: /a/../rondo}]}",
            "without ':' and '..'", false},
        {"relative mount", "{emptyDirMounts: [{volumeName: d, mountPath: a/b}]}",
            "is not absolute; '/a/b' is taken", true},
        {"sub path upwards", "{pvcMount: [{constant: c, mountPath: /a, subPath: ../b}]}",
            "relative, without '..'", false},
        {"volume name", "{emptyDirMounts: [{volumeName: A.b, mountPath: /a}]}",
            "expected the name of a volume", false},
        {"volume name of ours", "{emptyDirMounts: [{volumeName: rondo-work, mountPath: /a}]}",
            "'rondo-work' is reserved", false},
        {"one name, two volumes",
            "{emptyDirMounts: [{volumeName: d, mountPath: /a}, {volumeName: d, mountPath: /b, "
            "medium: Memory}]}",
            "describe a volume 'd' differently", false},
        {"medium", "{emptyDirMounts: [{volumeName: d, mountPath: /a, medium: RAM}]}",
            "'RAM' is not known: Memory or HugePages", false},
        {"size", "{emptyDirMounts: [{volumeName: d, mountPath: /a, sizeLimit: 5GB}]}",
            "'5GB' is no quantity", false},
        {"access mode",
            "{genericEphemeralVolume: [{volumeName: d, mountPath: /a, size: 1Gi, "
            "accessModes: [RWO]}]}",
            "'RWO' is not known: ReadWriteOnce", false},
        {"label", "{podMetadata: {labels: {a: 'b c'}}}", "cannot be the value of a label", false},
        {"label key", "{podMetadata: {labels: {'a b': c}}}", "'a b' cannot be a key", false},
        {"label of ours", "{podMetadata: {labels: {rondo.dev/run-id: c}}}",
            "'rondo.dev/run-id' is rondo's own", true},
        {"node label", "{nodeSelector: {labels: {a: 'b c'}}}", "expected a label's value", false},
        {"toleration without a key", "{tolerations: [{effect: NoSchedule}]}",
            "without a key the operator must be Exists", false},
        {"empty toleration", "{tolerations: [{}]}", "tolerations[0]: is empty, ignored", true},
        {"toleration seconds", "{tolerations: [{key: a, operator: Exists, tolerationSeconds: 1}]}",
            "needs the effect NoExecute", false},
        {"affinity operator", "{nodeAffinity: [{matchExpressions: [{key: a, operator: Is}]}]}",
            "operator is In, NotIn", false},
        {"affinity values", "{nodeAffinity: [{matchExpressions: [{key: a, operator: In}]}]}",
            "need values", false},
        {"affinity weight",
            "{nodeAffinity: [{matchExpressions: [{key: a, operator: Exists}], "
            "weight: 101}]}",
            "expected a number from 1 to 100", false},
        {"affinity of pods without a topology", "{podAffinity: [{matchPodLabels: {a: b}}]}",
            "topologyKey: is missing", false},
        {"pull policy", "{imagePullPolicy: Sometimes}",
            "'Sometimes' is not known: Always, IfNotPresent or Never", false},
        {"root that is not", "{securityContext: {runAsUser: 0, runAsNonRoot: true}}",
            "runAsUser 0 is root, which runAsNonRoot forbids", false},
        {"user", "{securityContext: {runAsUser: -1}}", "expected a number from 0", false},
        {"deadline", "{activeDeadlineSeconds: -5}", "expected a number from 0", false},
        {"container of ours", "{initContainers: [{name: main, image: x}]}", "'main' is reserved",
            false},
        {"container of KFP's", "{initContainers: [{name: kfp-launcher, image: x}]}",
            "'kfp-launcher' is reserved", false},
        {"two containers of one name",
            "{initContainers: [{name: a, image: x}, {name: a, image: x}]}",
            "another init container is called 'a'", false},
        {"container without an image", "{initContainers: [{name: a}]}",
            "an init container needs an image", false},
        {"restart policy", "{initContainers: [{name: a, image: x, restartPolicy: Never}]}",
            "'Never' is not known: Always", false},
        {"init container's volume",
            "{initContainers: [{name: a, image: x, volumeMounts: "
            "[{volumeName: v, mountPath: /v}]}]}",
            "the task has no volume 'v'", false},
        {"init container's quantity",
            "{initContainers: [{name: a, image: x, resources: {requests: {cpu: many}}}]}",
            "'cpu: many' is no resource and its quantity", false},
        {"not a map", "[]", "expected a map of Kubernetes settings", false},
        {"not a list", "{secretAsEnv: {}}", "secretAsEnv: expected a list", false},
        {"not an item", "{secretAsEnv: [x]}", "secretAsEnv[0]: expected a map", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *text = xasprintf(PIPELINE, rows[i].config);
        struct complaints complaints;
        complaints_init(&complaints);
        struct plan *plan = plan_compile(text, strlen(text), &complaints);
        char *said = complaint_text(&complaints);
        expect_has(rows[i].name, said, rows[i].says);
        expect_has(rows[i].name, said, rows[i].is_warning ? "warning: " : "line ");
        if ((plan != NULL) != rows[i].is_warning) {
            fail_msg("%s: %s", rows[i].name, said);
        }
        plan_unref(plan);
        free(said);
        free(text);
        complaints_done(&complaints);
    }
}

/* What the settings refer to has to be there before the task starts. */
static void test_dependencies(void **state UNUSED)
{
    static const struct {
        const char *name, *config;
        size_t deps;
    } rows[] = {
        {"nothing", "{}", 0},
        {"an input", "{imagePullSecret: [{secretNameParameter: " REF("secret") "}]}", 0},
        {"an output", "{imagePullSecret: [{secretNameParameter: " MADE("name") "}]}", 1},
        {"an output twice",
            "{pvcMount: [{pvcNameParameter: " MADE(
                "name") ", mountPath: /a}, "
                        "{taskOutputParameter: {producerTask: make, outputParameterKey: name}, "
                        "mountPath: "
                        "/b}]}",
            1},
        {"an output in an f-string",
            "{imagePullSecret: [{secretName: 'a-{{channel:task=make;name=name;type=String;}}'}]}",
            1},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct plan *plan = compile_with(rows[i].name, rows[i].config);
        size_t deps = task_named(plan->root, "use")->dep_count;
        if (deps != rows[i].deps) {
            fail_msg("%s: %zu dependencies, expected %zu", rows[i].name, deps, rows[i].deps);
        }
        plan_unref(plan);
    }
}

/* ---- pipelineConfig ---- */

#define BARE                                                                                       \
    "pipelineInfo: {name: p}\nschemaVersion: 2.1.0\n"                                              \
    "deploymentSpec: {executors: {e: {container: {image: x, command: [y]}}}}\n"                    \
    "components: {c: {executorLabel: e}}\n"                                                        \
    "root: {dag: {tasks: {t: {componentRef: {name: c}}}}}\n"                                       \
    "---\nplatforms: {kubernetes: {pipelineConfig: %s}}\n"

static void test_pipeline_config(void **state UNUSED)
{
    char *text = xasprintf(BARE,
        "{workspace: {size: 10Gi, kubernetes: {pvcSpecPatch: {accessModes: [ReadWriteMany], "
        "storageClassName: fast}}}, resourceTtlOnCompletion: 10, resource_ttl_on_success: 20, "
        "resourceTtlOnFailure: '30', activeDeadlineSeconds: 40}");
    struct plan *plan = must_compile(text);
    const struct pipeline_config *config = plan->config;
    assert_non_null(config);
    assert_string_equal(config->workspace_size, "10Gi");
    expect_json("patch", json_deep_copy(config->workspace_patch),
        "{'accessModes': ['ReadWriteMany'], 'storageClassName': 'fast'}");
    assert_int_equal(config->ttl_s, 10);
    assert_int_equal(config->ttl_success_s, 20);
    assert_int_equal(config->ttl_failure_s, 30);
    assert_int_equal(config->deadline_s, 40);
    plan_unref(plan);
    free(text);

    static const struct {
        const char *name, *config, *says;
        bool is_warning;
    } rows[] = {
        {"no size", "{workspace: {}}", "size is missing", false},
        {"bad size", "{workspace: {size: big}}", "'big' is no quantity", false},
        {"patch of something else",
            "{workspace: {size: 1Gi, kubernetes: {pvcSpecPatch: {volumeName: v}}}}",
            "only accessModes and storageClassName can be set", false},
        {"empty class",
            "{workspace: {size: 1Gi, kubernetes: {pvcSpecPatch: {storageClassName: ''}}}}",
            "leave it out for the cluster's own", false},
        {"access mode",
            "{workspace: {size: 1Gi, kubernetes: {pvcSpecPatch: {accessModes: [RWX]}}}}",
            "'RWX' is not known", false},
        {"unknown", "{semaphoreKey: x}", "unknown field, ignored", true},
        {"negative", "{activeDeadlineSeconds: -1}", "expected a number from 0", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        text = xasprintf(BARE, rows[i].config);
        struct complaints complaints;
        complaints_init(&complaints);
        plan = plan_compile(text, strlen(text), &complaints);
        char *said = complaint_text(&complaints);
        expect_has(rows[i].name, said, rows[i].says);
        assert_int_equal(plan != NULL, rows[i].is_warning);
        plan_unref(plan);
        free(said);
        free(text);
        complaints_done(&complaints);
    }
}

/* ---- resources ---- */

static void test_resources(void **state UNUSED)
{
    static const struct {
        const char *name, *resources, *expected, *says;
    } rows[] = {
        {"none", "{}", "{}", NULL},
        {"texts win",
            "{'cpuLimit': 1.0, 'memoryLimit': 0.268435456, 'resourceCpuLimit': '1000m', "
            "'resourceMemoryLimit': '256Mi', 'cpuRequest': 0.5, 'memoryRequest': 0.128, "
            "'resourceCpuRequest': '500m', 'resourceMemoryRequest': '128M'}",
            "{'limits': {'cpu': '1000m', 'memory': '256Mi'}, 'requests': {'cpu': '500m', 'memory': "
            "'128M'}}",
            NULL},
        {"old numbers",
            "{'cpuLimit': 2.0, 'memoryLimit': 0.268435456, 'cpuRequest': 0.25, 'memoryRequest': 4}",
            "{'limits': {'cpu': '2', 'memory': '0.268435456G'}, 'requests': {'cpu': '0.25', "
            "'memory': '4G'}}",
            NULL},
        {"zeros and empty texts say nothing",
            "{'cpuLimit': 0, 'resourceCpuLimit': '', 'memoryLimit': 0.0}", "{}", NULL},
        {"accelerator",
            "{'accelerator': {'type': 'old', 'count': '1', 'resourceType': 'nvidia.com/gpu', "
            "'resourceCount': '2'}}",
            "{'limits': {'nvidia.com/gpu': '2'}}", NULL},
        {"accelerator by its older spelling",
            "{'accelerator': {'type': 'amd.com/gpu', 'count': 1}}",
            "{'limits': {'amd.com/gpu': '1'}}", NULL},
        {"accelerator without a type", "{'accelerator': {'count': '1'}}", "{}", NULL},
        {"no accelerators", "{'accelerator': {'type': 'a.b/c', 'count': '0'}}", "{}", NULL},
        {"no quantity", "{'resourceCpuLimit': 'lots'}", NULL,
            "resourceCpuLimit: 'lots' is no quantity"},
        {"negative", "{'resourceMemoryRequest': '-1Gi'}", NULL, "'-1Gi' is no quantity"},
        {"exponent", "{'resourceMemoryRequest': '1e9', 'resourceCpuRequest': '.5'}",
            "{'requests': {'memory': '1e9', 'cpu': '.5'}}", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        json_t *resources = j(rows[i].resources);
        struct err err = ERR_INIT;
        json_t *out = resources_to_kubernetes(resources, &err);
        if (rows[i].expected != NULL) {
            expect_json(rows[i].name, out, rows[i].expected);
        } else {
            assert_null(out);
            assert_int_equal(err.code, ERR_INVALID);
            expect_has(rows[i].name, err.msg, rows[i].says);
        }
        json_decref(resources);
    }
    struct err err = ERR_INIT;
    expect_json("absent", resources_to_kubernetes(NULL, &err), "{}");
}

/* ---- TASK_CONFIG ---- */

static void test_task_config(void **state UNUSED)
{
    static const char parts[] =
        "{'affinity': {'nodeAffinity': {}}, 'tolerations': [{'key': 'a'}], 'nodeSelector': {'b': "
        "'c'}, 'env': [{'name': 'S', 'valueFrom': {}}], 'volumes': [{'name': 'v', 'secret': {}}, "
        "{'name': 'e', 'emptyDir': {}}], 'volumeMounts': [{'name': 'v', 'mountPath': '/v'}, "
        "{'name': 'e', 'mountPath': '/e'}], 'labels': {'l': 'm'}}";
    static const struct {
        const char *name, *passthroughs, *config, *pod, *resources;
        bool has_input, keeps_env;
    } rows[] = {
        {"no input, nothing passed", NULL, NULL, parts, "{'limits': {'cpu': '1'}}", false, true},
        {"an input, nothing passed", NULL, "{}", parts, "{'limits': {'cpu': '1'}}", true, true},
        {"all passed",
            "[{'field': 'RESOURCES'}, {'field': 'ENV'}, {'field': 'KUBERNETES_AFFINITY'}, "
            "{'field': 'KUBERNETES_TOLERATIONS'}, {'field': 'KUBERNETES_NODE_SELECTOR'}, {'field': "
            "'KUBERNETES_VOLUMES'}]",
            "{'affinity': {'nodeAffinity': {}}, 'tolerations': [{'key': 'a'}], 'nodeSelector': "
            "{'b': 'c'}, 'env': [{'name': 'PLAIN', 'value': 'x'}, {'name': 'S', 'valueFrom': {}}], "
            "'volumes': [{'name': 'v', 'secret': {}}], 'volumeMounts': [{'name': 'v', 'mountPath': "
            "'/v'}], 'resources': {'limits': {'cpu': '1'}}}",
            "{'volumes': [{'name': 'e', 'emptyDir': {}}], 'volumeMounts': [{'name': 'e', "
            "'mountPath': '/e'}], 'labels': {'l': 'm'}}",
            "{}", true, false},
        {"some, also to the task",
            "[{'field': 'RESOURCES', 'applyToTask': true}, {'field': 2, 'apply_to_task': true}]",
            "{'env': [{'name': 'PLAIN', 'value': 'x'}, {'name': 'S', 'valueFrom': {}}], "
            "'resources': {'limits': {'cpu': '1'}}}",
            parts, "{'limits': {'cpu': '1'}}", true, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct param_def input = {.name = "config", .type = VALUE_TASK_CONFIG};
        struct env_var env = {.name = "PLAIN", .value = "x"};
        struct container container = {.env = &env, .env_count = 1};
        json_t *passed = rows[i].passthroughs != NULL ? j(rows[i].passthroughs) : NULL;
        struct component component = {
            .params_in = &input,
            .param_in_count = rows[i].has_input ? 1 : 0,
            .container = &container,
            .passthroughs = passed,
        };
        json_t *all = j(parts), *resources = j("{'limits': {'cpu': '1'}}");
        json_t *config, *pod, *on_pod;
        task_config_split(&component, all, resources, &config, &pod, &on_pod);
        if (rows[i].config != NULL) {
            expect_json(rows[i].name, config, rows[i].config);
        } else {
            assert_null(config);
        }
        expect_json(rows[i].name, pod, rows[i].pod);
        expect_json(rows[i].name, on_pod, rows[i].resources);
        assert_int_equal(task_config_keeps_env(&component), rows[i].keeps_env);
        json_decref(all);
        json_decref(resources);
        json_decref(passed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_env),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_volumes),
        cmocka_unit_test(test_claims_of_the_cache_key),
        cmocka_unit_test(test_placement),
        cmocka_unit_test(test_affinity),
        cmocka_unit_test(test_other_fields),
        cmocka_unit_test(test_complaints),
        cmocka_unit_test(test_dependencies),
        cmocka_unit_test(test_pipeline_config),
        cmocka_unit_test(test_resources),
        cmocka_unit_test(test_task_config),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
