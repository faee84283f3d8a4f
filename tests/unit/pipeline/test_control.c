/* SPDX-License-Identifier: Apache-2.0 */
/* Compiling control flow and tasks that the engine does itself: the plan, and what is refused. */
#include "pipeline_test.h"

#define TASK_AT "taskInfo: {name: load it}"
#define CONTAINER_AT "container: {image: python, command: [train]}"

/* ---- what the plan says ---- */

static const struct task_def *edited_load(const char *to, struct plan **plan_out)
{
    char *text = edited(BASE_PIPELINE, TASK_AT, to);
    *plan_out = must_compile(text);
    free(text);
    return task_named((*plan_out)->root, "load");
}

static void test_loops(void **state UNUSED)
{
    static const struct {
        const char *name, *task, *items, *raw, *item;
        int limit;
    } rows[] = {
        {"raw", "parameterIterator: {itemInput: rows, items: {raw: '[1, 2.0, 3]'}}", NULL,
            "[1,2.0,3]", "rows", 0},
        {"empty", "parameterIterator: {itemInput: rows, items: {raw: '[]'}}", NULL, "[]", "rows",
            0},
        {"limit",
            "{iteratorPolicy: {parallelismLimit: 2}, parameterIterator: {itemInput: rows, "
            "items: {raw: '[1]'}}}",
            NULL, "[1]", "rows", 2},
        {"limit as text, snake case",
            "{iterator_policy: {parallelism_limit: '7'}, parameter_iterator: {item_input: rows, "
            "items: {raw: '[1]'}}}",
            NULL, "[1]", "rows", 7},
        {"an input",
            "{inputs: {parameters: {list: {runtimeValue: {constant: [1]}}}}, "
            "parameterIterator: {itemInput: item, items: {inputParameter: list}}}",
            "list", NULL, "item", 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct plan *plan;
        const char *task = rows[i].task;
        char *flat = task[0] == '{' ? xasprintf("<<: %s", task) : xstrdup(task);
        const struct iterator *it = edited_load(flat, &plan)->iterator;
        assert_non_null(it);
        assert_false(it->is_artifact);
        assert_true(str_eq(it->items, rows[i].items));
        assert_string_equal(it->item_input, rows[i].item);
        assert_int_equal(it->limit, rows[i].limit);
        if (rows[i].raw != NULL) {
            expect_json(rows[i].name, json_incref((json_t *)it->raw), rows[i].raw);
        } else {
            assert_null(it->raw);
        }
        plan_unref(plan);
        free(flat);
    }
}

static void test_artifact_loop(void **state UNUSED)
{
    char *text = edited(BASE_PIPELINE, "        componentRef: {name: comp-train}\n",
        "        componentRef: {name: comp-train}\n"
        "        artifactIterator: {itemInput: data, items: {inputArtifact: data}}\n");
    struct plan *plan = must_compile(text);
    const struct iterator *it = task_named(plan->root, "train")->iterator;
    assert_true(it->is_artifact);
    assert_string_equal(it->items, "data");
    assert_string_equal(it->item_input, "data");
    plan_unref(plan);
    free(text);
}

static void test_policies(void **state UNUSED)
{
    static const struct {
        const char *name, *task;
        enum trigger_strategy strategy;
        const char *condition;
        struct retry_policy retry;
    } rows[] = {
        {"none", TASK_AT, TRIGGER_ALL_SUCCEEDED, NULL, {false, 0, 0, 3600000, 2.0}},
        {"condition", "triggerPolicy: {condition: 'inputs.parameter_values[\"rows\"] == 1.0'}",
            TRIGGER_ALL_SUCCEEDED, "inputs.parameter_values[\"rows\"] == 1.0",
            {false, 0, 0, 3600000, 2.0}},
        {"completed", "triggerPolicy: {strategy: ALL_UPSTREAM_TASKS_COMPLETED}",
            TRIGGER_ALL_COMPLETED, NULL, {false, 0, 0, 3600000, 2.0}},
        {"by number", "trigger_policy: {strategy: 2}", TRIGGER_ALL_COMPLETED, NULL,
            {false, 0, 0, 3600000, 2.0}},
        {"retry",
            "retryPolicy: {maxRetryCount: 3, backoffDuration: 1.5s, backoffFactor: 1.5, "
            "backoffMaxDuration: 60s}",
            TRIGGER_ALL_SUCCEEDED, NULL, {true, 3, 1500, 60000, 1.5}},
        {"retry with defaults", "retryPolicy: {maxRetryCount: '2'}", TRIGGER_ALL_SUCCEEDED, NULL,
            {true, 2, 0, 3600000, 2.0}},
        {"zeros are defaults",
            "retryPolicy: {maxRetryCount: 2, backoffFactor: 0, "
            "backoffMaxDuration: 0s}",
            TRIGGER_ALL_SUCCEEDED, NULL, {true, 2, 0, 3600000, 2.0}},
        {"no retries, said so", "retryPolicy: {}", TRIGGER_ALL_SUCCEEDED, NULL,
            {true, 0, 0, 3600000, 2.0}},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct plan *plan;
        const struct task_def *t = edited_load(rows[i].task, &plan);
        const struct retry_policy *r = &rows[i].retry;
        bool good = t->strategy == rows[i].strategy && str_eq(t->condition, rows[i].condition) &&
                    (t->when != NULL) == (rows[i].condition != NULL) &&
                    t->retry.is_set == r->is_set && t->retry.max_count == r->max_count &&
                    t->retry.backoff_ms == r->backoff_ms &&
                    t->retry.max_backoff_ms == r->max_backoff_ms && t->retry.factor == r->factor;
        if (!good) {
            print_error("%s: set %d, %d times, %lld ms, %lld ms, %f\n", rows[i].name,
                t->retry.is_set, t->retry.max_count, (long long)t->retry.backoff_ms,
                (long long)t->retry.max_backoff_ms, t->retry.factor);
            fail();
        }
        plan_unref(plan);
    }
}

/* The producer of a final status is waited for, although nothing else says so. */
static void test_final_status(void **state UNUSED)
{
    char *text = edited(BASE_PIPELINE, "        note: {parameterType: STRING}",
        "        note: {parameterType: TASK_FINAL_STATUS}");
    char *whole = edited(text, "note: {componentInputParameter: note}",
        "note: {taskFinalStatus: {producerTask: load}}");
    struct plan *plan = must_compile(whole);
    const struct task_def *train = task_named(plan->root, "train");
    assert_int_equal(train->params[1].kind, SOURCE_FINAL_STATUS);
    assert_int_equal(train->params[1].producer, 0);
    assert_int_equal(train->dep_count, 1);
    plan_unref(plan);
    free(whole);
    free(text);
}

static void test_oneof(void **state UNUSED)
{
    char *text = edited(BASE_PIPELINE, "  dag:\n    tasks:\n      train:",
        "  outputDefinitions: {parameters: {n: {parameterType: NUMBER_INTEGER}}, artifacts: {d: "
        "{artifactType: {schemaTitle: system.Dataset}}}}\n"
        "  dag:\n    outputs: {parameters: {n: {valueFromOneof: {parameterSelectors: "
        "[{producerSubtask: second, outputParameterKey: count}, {producerSubtask: load, "
        "outputParameterKey: count}]}}}, artifacts: {d: {artifactSelectors: [{producerSubtask: "
        "load, outputArtifactKey: data}, {producerSubtask: second, outputArtifactKey: data}]}}}\n"
        "    tasks:\n      second: {componentRef: {name: comp-load}}\n      train:");
    struct plan *plan = must_compile(text);
    const struct dag *dag = plan->root->dag;
    assert_int_equal(dag->params[0].selector_count, 2);
    assert_string_equal(dag->tasks[dag->params[0].selectors[0].producer].key, "second");
    assert_string_equal(dag->tasks[dag->params[0].selectors[1].producer].key, "load");
    assert_int_equal(dag->artifacts[0].selector_count, 2);
    assert_string_equal(dag->tasks[dag->artifacts[0].selectors[0].producer].key, "load");
    plan_unref(plan);
    free(text);
}

/* ---- importers and volumes ---- */

#define HEAD "pipelineInfo: {name: p}\nschemaVersion: 2.1.0\n"
#define IMPORT(importer, inputs)                                                                   \
    HEAD "deploymentSpec: {executors: {e: {importer: " importer "}}}\n"                            \
         "components: {c: {executorLabel: e, inputDefinitions: {parameters: {uri: "                \
         "{parameterType: STRING}}}, outputDefinitions: {artifacts: {artifact: {artifactType: "    \
         "{schemaTitle: system.Model}}}}}}\n"                                                      \
         "root: {dag: {tasks: {t: {componentRef: {name: c}, inputs: {parameters: " inputs          \
         "}}}}}\n"
#define GIVE_URI "{uri: {runtimeValue: {constant: gs://a/b}}}"

static void test_importer(void **state UNUSED)
{
    static const struct {
        const char *name, *text, *uri, *input, *metadata;
        bool reimport, to_workspace;
    } rows[] = {
        {"constant", IMPORT("{artifactUri: {constant: gs://x}}", GIVE_URI), "gs://x", NULL, NULL,
            false, false},
        {"old constant", IMPORT("{artifactUri: {constantValue: {stringValue: gs://x}}}", GIVE_URI),
            "gs://x", NULL, NULL, false, false},
        {"input", IMPORT("{artifactUri: {runtimeParameter: uri}, reimport: true}", GIVE_URI), NULL,
            "uri", NULL, true, false},
        {"snake case, workspace",
            IMPORT(
                "{artifact_uri: {runtime_parameter: uri}, download_to_workspace: true}", GIVE_URI),
            NULL, "uri", NULL, false, true},
        {"metadata",
            IMPORT("{artifactUri: {constant: x}, metadata: {a: {b: [1.0, '1.0']}}}", GIVE_URI), "x",
            NULL, "{'a':{'b':[1,'1.0']}}", false, false},
        {"old properties",
            IMPORT("{artifactUri: {constant: x}, metadata: {a: new}, properties: {a: {constant: "
                   "old}, n: {constantValue: {intValue: '5'}}}, customProperties: {p: "
                   "{runtimeParameter: uri}}}",
                GIVE_URI),
            "x", NULL, "{'a':'new','n':'5','p':'{{$.inputs.parameters[\\u0027uri\\u0027]}}'}",
            false, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct plan *plan = must_compile(rows[i].text);
        const struct component *c = task_named(plan->root, "t")->component;
        assert_int_equal(c->kind, COMPONENT_IMPORTER);
        assert_null(c->container);
        assert_true(str_eq(c->importer->uri, rows[i].uri));
        assert_true(str_eq(c->importer->uri_input, rows[i].input));
        assert_int_equal(c->importer->reimport, rows[i].reimport);
        assert_int_equal(c->importer->to_workspace, rows[i].to_workspace);
        if (rows[i].metadata != NULL) {
            expect_json(
                rows[i].name, json_incref((json_t *)c->importer->metadata), rows[i].metadata);
        } else {
            assert_null(c->importer->metadata);
        }
        plan_unref(plan);
    }
}

#define VOLUME(image, inputs)                                                                      \
    HEAD "deploymentSpec: {executors: {e: {container: {image: argostub/" image "}}}}\n"            \
         "components: {c: {executorLabel: e, inputDefinitions: {parameters: {access_modes: "       \
         "{parameterType: LIST, isOptional: true}, size: {parameterType: STRING, isOptional: "     \
         "true}, pvc_name: {parameterType: STRING, isOptional: true}, pvc_name_suffix: "           \
         "{parameterType: STRING, isOptional: true}}}, outputDefinitions: {parameters: {name: "    \
         "{parameterType: STRING}}}}}\n"                                                           \
         "root: {dag: {tasks: {t: {componentRef: {name: c}, inputs: {parameters: " inputs          \
         "}}}}}\n"
#define MODES "access_modes: {runtimeValue: {constant: [ReadWriteOnce]}}"
#define SIZE "size: {runtimeValue: {constant: 1Gi}}"
#define NAME "pvc_name: {runtimeValue: {constant: a}}"
#define SUFFIX "pvc_name_suffix: {runtimeValue: {constant: -a}}"

static void test_volumes(void **state UNUSED)
{
    struct plan *plan = must_compile(VOLUME("createpvc", "{" MODES ", " SIZE ", " NAME "}"));
    const struct component *c = task_named(plan->root, "t")->component;
    assert_int_equal(c->kind, COMPONENT_VOLUME);
    assert_int_equal(c->volume_op, VOLUME_CREATE);
    plan_unref(plan);
    char *text = edited(VOLUME("deletepvc", "{" NAME "}"),
        ", outputDefinitions: {parameters: {name: {parameterType: STRING}}}", "");
    plan = must_compile(text);
    assert_int_equal(task_named(plan->root, "t")->component->volume_op, VOLUME_DELETE);
    plan_unref(plan);
    free(text);
}

static void test_passthroughs(void **state UNUSED)
{
    char *text = edited(BASE_PIPELINE, "    executorLabel: exec-load\n",
        "    executorLabel: exec-load\n    taskConfigPassthroughs: [{field: RESOURCES}, {field: "
        "2, apply_to_task: true}]\n");
    struct plan *plan = must_compile(text);
    expect_json("passthroughs",
        json_incref((json_t *)task_named(plan->root, "load")->component->passthroughs),
        "[{'field':'RESOURCES','applyToTask':false},{'field':'ENV','applyToTask':true}]");
    assert_null(task_named(plan->root, "train")->component->passthroughs);
    plan_unref(plan);
    free(text);
}

/* What a DAG is passed can be referred to within it, whether declared or not. */
static void test_undeclared_inputs(void **state UNUSED)
{
    static const char text[] = HEAD
        "deploymentSpec: {executors: {e: {container: {image: x, command: [y]}}}}\n"
        "components:\n"
        "  leaf: {executorLabel: e, inputDefinitions: {parameters: {a: {parameterType: STRING}}}}\n"
        "  loop: {dag: {tasks: {in: {componentRef: {name: leaf}, inputs: {parameters: {a: "
        "{componentInputParameter: SOURCE}}}}}}}\n"
        "root: {dag: {tasks: {t: {componentRef: {name: loop}, inputs: {parameters: {extra: "
        "{runtimeValue: {constant: b}}}}, parameterIterator: {itemInput: item, items: {raw: "
        "'[1]'}}}}}}\n";
    static const struct {
        const char *source;
        bool is_good;
    } rows[] = {{"item", true}, {"extra", true}, {"other", false}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *whole = edited(text, "SOURCE", rows[i].source);
        struct complaints c;
        complaints_init(&c);
        struct plan *plan = plan_compile(whole, strlen(whole), &c);
        assert_int_equal(plan != NULL, rows[i].is_good);
        plan_unref(plan);
        complaints_done(&c);
        free(whole);
    }
}

/*
 * Channels that the SDK forgets: an elif's variable for the group of branches, an outer loop's item
 * for the inner loop; and one that nobody needs and nobody has.
 */
#define CHANNELS(tasks, inner)                                                                     \
    HEAD "deploymentSpec: {executors: {e: {container: {image: x, command: [y]}}}}\n"               \
         "components:\n"                                                                           \
         "  leaf: {executorLabel: e, inputDefinitions: {parameters: {a: {parameterType: "          \
         "STRING}}}, outputDefinitions: {parameters: {Output: {parameterType: STRING}}}}\n"        \
         "  outer: {dag: {tasks: {group: {componentRef: {name: inner}}}}}\n"                       \
         "  inner: {dag: {tasks: {use: {componentRef: {name: leaf}, inputs: {parameters: {a: "     \
         "{componentInputParameter: " inner "}}}}}}}\n"                                            \
         "root: {inputDefinitions: {parameters: {t: {parameterType: STRING}}}, dag: {tasks: "      \
         "{" tasks "}}}\n"

static void test_forgotten_channels(void **state UNUSED)
{
    static const struct {
        const char *name, *text;
        enum source_kind kind;
        const char *source, *selector;
    } rows[] = {
        {"from the root", CHANNELS("top: {componentRef: {name: outer}}", "pipelinechannel--t"),
            SOURCE_COMPONENT_INPUT, "t", NULL},
        {"of a sibling",
            CHANNELS("top: {componentRef: {name: outer}}, make-it: {componentRef: {name: leaf}, "
                     "inputs: {parameters: {a: {runtimeValue: {constant: b}}}}}",
                "pipelinechannel--make-it-Output"),
            SOURCE_TASK_OUTPUT, "Output", NULL},
        {"member of an item",
            CHANNELS("top: {componentRef: {name: outer}, parameterIterator: {itemInput: "
                     "pipelinechannel--item, items: {raw: '[{\"k\": 1}]'}}}",
                "pipelinechannel--item-subvar-k"),
            SOURCE_COMPONENT_INPUT, "pipelinechannel--item", "parseJson(string_value)[\"k\"]"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct plan *plan = must_compile(rows[i].text);
        const struct task_def *top = task_named(plan->root, "top");
        const struct task_def *group = task_named(top->component, "group");
        assert_int_equal(group->param_count, 1);
        const struct input_binding *b = top->param_count > 0 ? &top->params[0] : &group->params[0];
        bool good = b->kind == rows[i].kind && str_eq(b->selector, rows[i].selector) &&
                    str_eq(b->kind == SOURCE_TASK_OUTPUT ? b->key : b->source, rows[i].source);
        if (!good) {
            print_error("%s: kind %d, %s\n", rows[i].name, b->kind, b->source);
            fail();
        }
        plan_unref(plan);
    }
    struct complaints c; /* another name is nobody's channel */
    complaints_init(&c);
    static const char unknown[] =
        CHANNELS("top: {componentRef: {name: outer}}", "pipelinechannel--other");
    assert_null(plan_compile(unknown, strlen(unknown), &c));
    complaints_done(&c);
}

static void test_needless_channel(void **state UNUSED)
{
    static const char text[] =
        HEAD "deploymentSpec: {executors: {e: {container: {image: x, command: [y]}}}}\n"
             "components:\n"
             "  leaf: {executorLabel: e, inputDefinitions: {parameters: {a: {parameterType: "
             "STRING}}}}\n"
             "  inner: {inputDefinitions: {parameters: {pipelinechannel--item-3: {parameterType: "
             "STRING}}}, dag: {tasks: {use: {componentRef: {name: leaf}, inputs: {parameters: {a: "
             "{runtimeValue: {constant: x}}}}}}}}\n"
             "root: {dag: {tasks: {top: {componentRef: {name: inner}, inputs: {parameters: "
             "{pipelinechannel--item-3: {componentInputParameter: item-3}}}}}}}\n";
    struct plan *plan = must_compile(text);
    assert_int_equal(task_named(plan->root, "top")->param_count, 0);
    plan_unref(plan);
    /* passed on to a group that does not read it either: that one can do without, too */
    char *passed = edited(text, "dag: {tasks: {use:",
        "dag: {tasks: {deep: {componentRef: {name: deeper}, inputs: {parameters: "
        "{pipelinechannel--item-3: {componentInputParameter: pipelinechannel--item-3}}}}}}}\n"
        "  deeper: {inputDefinitions: {parameters: {pipelinechannel--item-3: {parameterType: "
        "STRING}}}, dag: {tasks: {use:");
    plan = must_compile(passed);
    const struct component *inner = task_named(plan->root, "top")->component;
    assert_int_equal(task_named(plan->root, "top")->param_count, 0);
    assert_true(component_param_in(inner, "pipelinechannel--item-3")->is_optional);
    assert_true(component_param_in(task_named(inner, "deep")->component, "pipelinechannel--item-3")
                    ->is_optional);
    plan_unref(plan);
    free(passed);
    char *read = edited(text, "{runtimeValue: {constant: x}}",
        "{componentInputParameter: pipelinechannel--item-3}");
    struct complaints c;
    complaints_init(&c);
    assert_null(plan_compile(read, strlen(read), &c));
    complaints_done(&c);
    free(read);
}

/* A loop that is to be passed a member of its own item: whoever reads it within takes it from
 * there. */
static void test_channel_of_own_item(void **state UNUSED)
{
    static const char text[] = HEAD
        "deploymentSpec: {executors: {e: {container: {image: x, command: [y]}}}}\n"
        "components:\n"
        "  leaf: {executorLabel: e, inputDefinitions: {parameters: {a: {parameterType: "
        "STRING}}}}\n"
        "  loop: {inputDefinitions: {parameters: {pipelinechannel--i: {parameterType: STRUCT}, "
        "pipelinechannel--i-subvar-k: {parameterType: STRING}}}, dag: {tasks: {use: "
        "{componentRef: {name: leaf}, inputs: {parameters: {a: {componentInputParameter: "
        "pipelinechannel--i-subvar-k}}}}}}}\n"
        "root: {dag: {tasks: {top: {componentRef: {name: loop}, parameterIterator: {itemInput: "
        "pipelinechannel--i, items: {raw: '[{\"k\": 1}]'}}, inputs: {parameters: "
        "{pipelinechannel--i-subvar-k: {componentInputParameter: i-subvar-k}}}}}}}\n";
    struct plan *plan = must_compile(text);
    const struct task_def *top = task_named(plan->root, "top");
    assert_int_equal(top->param_count, 0);
    const struct input_binding *a = &task_named(top->component, "use")->params[0];
    assert_string_equal(a->source, "pipelinechannel--i");
    assert_string_equal(a->selector, "parseJson(string_value)[\"k\"]");
    plan_unref(plan);
    /* the loop within a group, which is asked for it, too */
    char *grouped = edited(text, "root: {dag: {tasks: {top:",
        "  group: {inputDefinitions: {parameters: "
        "{pipelinechannel--i-subvar-k: {parameterType: STRING}}}, dag: {tasks: {top:");
    char *whole = xasprintf("%.*s, inputs: {parameters: {pipelinechannel--i-subvar-k: "
                            "{componentInputParameter: pipelinechannel--i-subvar-k}}}}}}}\n"
                            "root: {dag: {tasks: {outer: {componentRef: {name: group}, inputs: "
                            "{parameters: {pipelinechannel--i-subvar-k: {componentInputParameter: "
                            "i-subvar-k}}}}}}}\n",
        (int)(strstr(grouped, ", inputs: {parameters: {pipelinechannel--i-subvar-k: {component") -
              grouped),
        grouped);
    plan = must_compile(whole);
    const struct task_def *outer = task_named(plan->root, "outer");
    assert_int_equal(outer->param_count, 0);
    assert_int_equal(task_named(outer->component, "top")->param_count, 0);
    plan_unref(plan);
    free(whole);
    free(grouped);
}

/* ---- what is refused ---- */

static const struct {
    const char *name, *text, *from, *to, *says;
} bad_rows[] = {
    {"raw is no JSON", BASE_PIPELINE, TASK_AT,
        "parameterIterator: {itemInput: rows, items: {raw: '[1'}}",
        "load.parameterIterator.items.raw: is not JSON"},
    {"raw is no list", BASE_PIPELINE, TASK_AT,
        "parameterIterator: {itemInput: rows, items: {raw: '{}'}}",
        "load.parameterIterator.items.raw: expected a JSON list in a text"},
    {"raw is no text", BASE_PIPELINE, TASK_AT,
        "parameterIterator: {itemInput: rows, items: {raw: [1]}}", "raw: expected a text"},
    {"raw and input", BASE_PIPELINE, TASK_AT,
        "parameterIterator: {itemInput: rows, items: {raw: '[1]', inputParameter: rows}}",
        "items: needs exactly one of"},
    {"no items", BASE_PIPELINE, TASK_AT, "parameterIterator: {itemInput: rows}",
        "parameterIterator.items: is missing"},
    {"no item input", BASE_PIPELINE, TASK_AT, "parameterIterator: {items: {raw: '[1]'}}",
        "itemInput: is missing or empty"},
    {"items of nowhere", BASE_PIPELINE, TASK_AT,
        "parameterIterator: {itemInput: rows, items: {inputParameter: list}}",
        "this task has no input 'list'; pass it"},
    {"artifacts of nowhere", BASE_PIPELINE, TASK_AT,
        "artifactIterator: {itemInput: rows, items: {inputArtifact: list}}",
        "this task has no artifact 'list'; pass it"},
    {"parameter as an artifact item", BASE_PIPELINE, TASK_AT,
        "artifactIterator: {itemInput: rows, items: {inputArtifact: list}}",
        "comp-load has no artifact input 'rows'"},
    {"artifact as an item", BASE_PIPELINE, "        componentRef: {name: comp-train}\n",
        "        componentRef: {name: comp-train}\n"
        "        parameterIterator: {itemInput: data, items: {raw: '[]'}}\n",
        "itemInput 'data' is an artifact of comp-train; use artifactIterator"},
    {"two iterators", BASE_PIPELINE, TASK_AT,
        "parameterIterator: {itemInput: rows, items: {raw: '[1]'}}\n        artifactIterator: "
        "{itemInput: rows, items: {inputArtifact: list}}",
        "artifactIterator: a task has one iterator"},
    {"broken limit", BASE_PIPELINE, TASK_AT,
        "parameterIterator: {itemInput: rows, items: {raw: '[1]'}}\n        iteratorPolicy: "
        "{parallelismLimit: 1.5}",
        "parallelismLimit: expected a whole number"},
    {"negative limit", BASE_PIPELINE, TASK_AT,
        "parameterIterator: {itemInput: rows, items: {raw: '[1]'}}\n        iteratorPolicy: "
        "{parallelismLimit: -1}",
        "parallelismLimit: expected a number from 0"},
    {"broken retries", BASE_PIPELINE, TASK_AT, "retryPolicy: {maxRetryCount: 1.5}",
        "maxRetryCount: expected a whole number"},
    {"broken duration", BASE_PIPELINE, TASK_AT,
        "retryPolicy: {maxRetryCount: 1, backoffDuration: 1m}",
        "backoffDuration: expected a duration in seconds such as '60s'"},
    {"hexadecimal duration", BASE_PIPELINE, TASK_AT,
        "retryPolicy: {maxRetryCount: 1, backoffDuration: 0x1p3s}",
        "backoffDuration: expected a duration in seconds such as '60s'"},
    {"strategy", BASE_PIPELINE, TASK_AT, "triggerPolicy: {strategy: SOMETIMES}",
        "strategy 'SOMETIMES' is not known"},
    {"condition: syntax", BASE_PIPELINE, TASK_AT, "triggerPolicy: {condition: \"'a' = 'b'\"}",
        "load.triggerPolicy.condition: column 5: '=': this character"},
    {"condition: kinds", BASE_PIPELINE, TASK_AT,
        "triggerPolicy: {condition: \"int(inputs.parameter_values['rows'])\"}",
        "condition must be true or false"},
    {"condition: quoting that the SDK breaks", BASE_PIPELINE, TASK_AT,
        "triggerPolicy: {condition: \"'int(inputs.parameter_values['rows'])' == 'a'\"}",
        "the quotes are wrong"},
    {"final status of nobody", BASE_PIPELINE, "note: {componentInputParameter: note}",
        "note: {taskFinalStatus: {producerTask: other}}", "task 'other' is not in this DAG"},
    {"custom job", BASE_PIPELINE, CONTAINER_AT, "customJob: {customJob: {}}",
        "exec-train.customJob: customJob is a job of Vertex AI"},
    {"resolver", BASE_PIPELINE, CONTAINER_AT, "resolver: {}",
        "exec-train.resolver: a resolver looks for artifacts in a metadata store"},
    {"other argostub", BASE_PIPELINE, "image: python, command: [train]", "image: argostub/x",
        "'argostub/x' is not an operation of the engine"},
    {"passthrough of nothing", BASE_PIPELINE, "    executorLabel: exec-load\n",
        "    executorLabel: exec-load\n    taskConfigPassthroughs: [{field: CPU}]\n",
        "taskConfigPassthroughs[0]: field 'CPU' is not known; it is RESOURCES"},
    {"two task configs", BASE_PIPELINE, "        tag: {parameterType: STRING, isOptional: true}\n",
        "        tag: {parameterType: TASK_CONFIG}\n        tug: {parameterType: TASK_CONFIG}\n"
        "    taskConfigPassthroughs: [{field: ENV}]\n",
        "has 2 inputs of type TASK_CONFIG"},
    {"importer without a URI", IMPORT("{reimport: true}", GIVE_URI), "", "",
        "e.importer.artifactUri: is missing"},
    {"importer with two", IMPORT("{artifactUri: {constant: a, runtimeParameter: uri}}", GIVE_URI),
        "", "", "artifactUri: needs exactly one of 'constant'"},
    {"importer with an empty one", IMPORT("{artifactUri: {constant: ''}}", GIVE_URI), "", "",
        "the URI is empty"},
    {"importer of an input that is not there",
        IMPORT("{artifactUri: {runtimeParameter: url}}", GIVE_URI), "", "",
        "takes its URI from the input 'url', which is neither declared by c nor passed"},
    {"importer that gives parameters", IMPORT("{artifactUri: {constant: a}}", GIVE_URI),
        "outputDefinitions: {", "outputDefinitions: {parameters: {x: {parameterType: STRING}}, ",
        "an importer gives exactly one artifact and no parameters; this declares 1 and 1"},
    {"volume without a size", VOLUME("createpvc", "{" MODES "}"), "", "",
        "t.inputs.parameters: creating a volume needs 'size'"},
    {"volume without access modes", VOLUME("createpvc", "{" SIZE "}"), "", "",
        "creating a volume needs 'access_modes'"},
    {"volume with two names", VOLUME("createpvc", "{" MODES ", " SIZE ", " NAME ", " SUFFIX "}"),
        "", "", "'pvc_name' and 'pvc_name_suffix' exclude each other"},
    {"access mode", VOLUME("createpvc", "{" MODES ", " SIZE "}"), "[ReadWriteOnce]", "[RWO]",
        "parameters.access_modes: 'RWO' is no access mode"},
    {"no access mode", VOLUME("createpvc", "{" MODES ", " SIZE "}"), "[ReadWriteOnce]", "[]",
        "parameters.access_modes: is empty"},
    {"other output of a volume", VOLUME("createpvc", "{" MODES ", " SIZE "}"), "{name: {param",
        "{phase: {param", "output parameter 'phase': creating a volume gives only 'name'"},
    {"deleting without a name", VOLUME("deletepvc", "{}"), "", "",
        "deleting a volume needs 'pvc_name'"},
};

static void test_bad(void **state UNUSED)
{
    size_t bad = 0;
    for (size_t i = 0; i < ARRAY_LEN(bad_rows); i++) {
        char *text = edited(bad_rows[i].text, bad_rows[i].from, bad_rows[i].to);
        struct complaints c;
        complaints_init(&c);
        struct plan *plan = plan_compile(text, strlen(text), &c);
        char *said = complaint_text(&c);
        if (plan != NULL || strstr(said, bad_rows[i].says) == NULL) {
            print_error("%s: expected '%s' in:\n%s\n", bad_rows[i].name, bad_rows[i].says, said);
            bad++;
        }
        for (size_t k = 0; k < c.count; k++) {
            assert_true(c.items[k].line > 0);
        }
        plan_unref(plan);
        free(said);
        complaints_done(&c);
        free(text);
    }
    assert_int_equal(bad, 0);
}

static void test_warnings(void **state UNUSED)
{
    static const struct {
        const char *name, *from, *to, *says;
    } rows[] = {
        {"item of another kind", TASK_AT,
            "parameterIterator: {itemInput: rows, items: {raw: '[1, \"a\"]'}}",
            "item 1 is not a NUMBER_INTEGER, as 'rows' of comp-load is declared"},
        {"a loop's output is a list", TASK_AT,
            "parameterIterator: {itemInput: rows, items: {raw: '[1]'}}",
            "train.inputs.parameters.count: gets a LIST but is declared NUMBER_INTEGER"},
        {"loop over a number", TASK_AT,
            "inputs: {parameters: {rows: {runtimeValue: {constant: 1}}}}\n        "
            "parameterIterator: {itemInput: tag, items: {inputParameter: rows}}",
            "'rows' is a NUMBER_INTEGER, which cannot be looped over"},
        {"final status as something else",
            "count: {taskOutputParameter: {producerTask: load, outputParameterKey: count}}",
            "count: {taskFinalStatus: {producerTask: load}}",
            "gets a TASK_FINAL_STATUS but is declared NUMBER_INTEGER"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *text = edited(BASE_PIPELINE, rows[i].from, rows[i].to);
        struct complaints c;
        complaints_init(&c);
        struct plan *plan = plan_compile(text, strlen(text), &c);
        char *said = complaint_text(&c);
        if (plan == NULL) {
            print_error("%s: %s\n", rows[i].name, said);
            fail();
        }
        expect_has(rows[i].name, said, rows[i].says);
        plan_unref(plan);
        free(said);
        complaints_done(&c);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loops),
        cmocka_unit_test(test_artifact_loop),
        cmocka_unit_test(test_policies),
        cmocka_unit_test(test_final_status),
        cmocka_unit_test(test_oneof),
        cmocka_unit_test(test_importer),
        cmocka_unit_test(test_volumes),
        cmocka_unit_test(test_passthroughs),
        cmocka_unit_test(test_undeclared_inputs),
        cmocka_unit_test(test_forgotten_channels),
        cmocka_unit_test(test_needless_channel),
        cmocka_unit_test(test_channel_of_own_item),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_warnings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
