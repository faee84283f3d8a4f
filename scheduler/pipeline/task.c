/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tasks and outputs of a DAG as written: names are still texts here, link.c finds what they
 * refer to.
 */
#include "pipeline/draft.h"

#include "base/err.h"
#include "base/map.h"
#include "base/pool.h"
#include "base/util.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define MAX_RETRIES 1000
#define DEFAULT_BACKOFF_FACTOR 2.0
#define DEFAULT_MAX_BACKOFF_MS (INT64_C(3600) * 1000)

static const char *const dag_fields[] = {"tasks", "outputs", NULL};
static const char *const task_fields[] = {"taskInfo", "inputs", "dependentTasks", "cachingOptions",
    "componentRef", "triggerPolicy", "artifactIterator", "parameterIterator", "retryPolicy",
    "iteratorPolicy", NULL};
static const char *const inputs_fields[] = {"parameters", "artifacts", NULL};
static const char *const param_kinds[] = {"componentInputParameter", "taskOutputParameter",
    "runtimeValue", "taskFinalStatus", "parameterExpressionSelector", NULL};
static const char *const artifact_kinds[] = {"componentInputArtifact", "taskOutputArtifact", NULL};
static const char *const trigger_fields[] = {"condition", "strategy", NULL};
static const char *const retry_fields[] = {
    "maxRetryCount", "backoffDuration", "backoffFactor", "backoffMaxDuration", NULL};
static const char *const outputs_fields[] = {"parameters", "artifacts", NULL};

/* Of the first `count` names, those that are members of the map. */
static size_t count_kinds(const struct tree *map, const char *const *names, size_t count)
{
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        const struct tree *node = tree_get(map, names[i]);
        found += node != NULL && !tree_is_null(node);
    }
    return found;
}

/* runtimeValue: {constant} or {runtimeParameter}, the old way to say componentInputParameter. */
static void read_runtime_value(
    struct draft *d, const struct tree *node, const struct path *up, struct draft_binding *out)
{
    struct path here = {.up = up, .key = "runtimeValue"};
    struct tree *constant = tree_get(node, "constant");
    const char *input = read_text(d, node, "runtimeParameter", &here);
    if (input != NULL) {
        out->def.kind = SOURCE_COMPONENT_INPUT;
        out->def.source = input;
        return;
    }
    const struct tree *old = read_map(d, node, "constantValue", &here);
    for (size_t i = 0; constant == NULL && old != NULL && i < old->count; i++) {
        constant = old->pairs[i].value; /* {intValue: 1} */
    }
    out->def.kind = SOURCE_CONSTANT;
    if (constant == NULL) {
        complain(d->complaints, tree_place(node), &here, "needs 'constant' with the value");
        out->is_broken = true;
        return;
    }
    out->constant = constant;
}

static void read_param_source(
    struct draft *d, const struct tree *node, const struct path *path, struct draft_binding *out)
{
    const struct tree *map;
    const char *input = read_text(d, node, "componentInputParameter", path);
    if (input != NULL) {
        out->def.kind = SOURCE_COMPONENT_INPUT;
        out->def.source = input;
    } else if ((map = read_map(d, node, "taskOutputParameter", path)) != NULL) {
        struct path here = {.up = path, .key = "taskOutputParameter"};
        out->def.kind = SOURCE_TASK_OUTPUT;
        out->producer = read_need_text(d, map, "producerTask", &here, "name the producing task");
        out->def.key = read_need_text(d, map, "outputParameterKey", &here, "name its output");
        out->is_broken = out->producer == NULL || out->def.key == NULL;
    } else if ((map = read_map(d, node, "runtimeValue", path)) != NULL) {
        read_runtime_value(d, map, path, out);
    } else if ((map = read_map(d, node, "taskFinalStatus", path)) != NULL) {
        struct path here = {.up = path, .key = "taskFinalStatus"};
        out->def.kind = SOURCE_FINAL_STATUS;
        out->producer = read_need_text(d, map, "producerTask", &here, "name the task");
        out->is_broken = out->producer == NULL;
    } else {
        out->is_broken = true;
    }
}

static void read_param_binding(struct draft *d, const struct tree_pair *pair,
    const struct path *path, struct draft_binding *out)
{
    const struct tree *node = pair->value;
    out->def.name = pair->key;
    out->def.producer = -1;
    out->place = (struct place){pair->line, pair->column};
    if (node->kind != TREE_MAP || count_kinds(node, param_kinds, 4) != 1) {
        complain(d->complaints, out->place, path,
            "needs exactly one of componentInputParameter, taskOutputParameter, runtimeValue, "
            "taskFinalStatus");
        out->is_broken = true;
        return;
    }
    read_known(d, node, path, param_kinds);
    read_param_source(d, node, path, out);
    out->def.selector = read_text(d, node, "parameterExpressionSelector", path);
    const char *trouble = out->def.selector != NULL ? selector_trouble(out->def.selector) : NULL;
    if (trouble != NULL) {
        complain(d->complaints, out->place, path, "parameterExpressionSelector: %s", trouble);
    }
}

static void read_artifact_binding(struct draft *d, const struct tree_pair *pair,
    const struct path *path, struct draft_binding *out)
{
    const struct tree *node = pair->value;
    out->def.name = pair->key;
    out->def.producer = -1;
    out->place = (struct place){pair->line, pair->column};
    if (node->kind != TREE_MAP || count_kinds(node, artifact_kinds, 2) != 1) {
        complain(d->complaints, out->place, path,
            "needs exactly one of componentInputArtifact and taskOutputArtifact");
        out->is_broken = true;
        return;
    }
    read_known(d, node, path, artifact_kinds);
    out->def.source = read_text(d, node, "componentInputArtifact", path);
    out->def.kind = SOURCE_COMPONENT_INPUT;
    const struct tree *map = read_map(d, node, "taskOutputArtifact", path);
    if (map != NULL) {
        struct path here = {.up = path, .key = "taskOutputArtifact"};
        out->def.kind = SOURCE_TASK_OUTPUT;
        out->producer = read_need_text(d, map, "producerTask", &here, "name the producing task");
        out->def.key = read_need_text(d, map, "outputArtifactKey", &here, "name its output");
        out->is_broken = out->producer == NULL || out->def.key == NULL;
    } else {
        out->is_broken = out->def.source == NULL;
    }
}

static int by_name(const void *a, const void *b)
{
    const struct draft_binding *x = a, *y = b;
    return strcmp(x->def.name, y->def.name);
}

static void read_inputs(struct draft *d, struct draft_task *t, const struct path *up)
{
    struct path here = {.up = up, .key = "inputs"};
    const struct tree *inputs = read_map(d, t->node, "inputs", up);
    read_known(d, inputs, &here, inputs_fields);
    const struct tree *params = read_map(d, inputs, "parameters", &here);
    const struct tree *artifacts = read_map(d, inputs, "artifacts", &here);
    struct path list = {.up = &here, .key = "parameters"};
    t->param_count = params != NULL ? params->count : 0;
    t->params = pool_calloc(d->pool, t->param_count, sizeof *t->params);
    for (size_t i = 0; i < t->param_count; i++) {
        struct path inner = {.up = &list, .key = params->pairs[i].key};
        read_param_binding(d, &params->pairs[i], &inner, &t->params[i]);
    }
    if (t->param_count > 1) {
        qsort(t->params, t->param_count, sizeof *t->params, by_name);
    }
    list.key = "artifacts";
    t->artifact_count = artifacts != NULL ? artifacts->count : 0;
    t->artifacts = pool_calloc(d->pool, t->artifact_count, sizeof *t->artifacts);
    for (size_t i = 0; i < t->artifact_count; i++) {
        struct path inner = {.up = &list, .key = artifacts->pairs[i].key};
        read_artifact_binding(d, &artifacts->pairs[i], &inner, &t->artifacts[i]);
    }
    if (t->artifact_count > 1) {
        qsort(t->artifacts, t->artifact_count, sizeof *t->artifacts, by_name);
    }
}

static void read_condition(
    struct draft *d, struct draft_task *t, const struct tree *policy, const struct path *up)
{
    struct path here = {.up = up, .key = "condition"};
    t->def.condition = read_text(d, policy, "condition", up);
    if (t->def.condition == NULL || t->def.condition[0] == '\0') {
        return;
    }
    struct err err = ERR_INIT;
    t->def.when = condition_compile(d->pool, t->def.condition, &err);
    if (t->def.when == NULL) {
        complain(d->complaints, tree_place(tree_get(policy, "condition")), &here, "%s", err.msg);
    }
}

static void read_trigger(struct draft *d, struct draft_task *t, const struct path *up)
{
    struct path here = {.up = up, .key = "triggerPolicy"};
    const struct tree *policy = read_map(d, t->node, "triggerPolicy", up);
    read_known(d, policy, &here, trigger_fields);
    read_condition(d, t, policy, &here);
    const char *strategy = read_text(d, policy, "strategy", &here);
    if (strategy == NULL || strcmp(strategy, "TRIGGER_STRATEGY_UNSPECIFIED") == 0 ||
        strcmp(strategy, "ALL_UPSTREAM_TASKS_SUCCEEDED") == 0 || strcmp(strategy, "0") == 0 ||
        strcmp(strategy, "1") == 0) {
        t->def.strategy = TRIGGER_ALL_SUCCEEDED;
    } else if (strcmp(strategy, "ALL_UPSTREAM_TASKS_COMPLETED") == 0 ||
               strcmp(strategy, "2") == 0) {
        t->def.strategy = TRIGGER_ALL_COMPLETED;
    } else {
        complain(d->complaints, tree_place(policy), &here,
            "strategy '%s' is not known; it is ALL_UPSTREAM_TASKS_SUCCEEDED or "
            "ALL_UPSTREAM_TASKS_COMPLETED",
            strategy);
    }
}

static void read_retry(struct draft *d, struct draft_task *t, const struct path *up)
{
    struct path here = {.up = up, .key = "retryPolicy"};
    const struct tree *policy = read_map(d, t->node, "retryPolicy", up);
    read_known(d, policy, &here, retry_fields);
    struct retry_policy *retry = &t->def.retry;
    double count = 0;
    *retry = (struct retry_policy){.is_set = policy != NULL};
    read_whole(d, policy, "maxRetryCount", MAX_RETRIES, &here, &count);
    read_number(d, policy, "backoffFactor", 0, 1000, &here, &retry->factor);
    read_duration(d, policy, "backoffDuration", &here, &retry->backoff_ms);
    read_duration(d, policy, "backoffMaxDuration", &here, &retry->max_backoff_ms);
    /* 0 is proto's way to leave a field out */
    retry->factor = retry->factor > 0 ? retry->factor : DEFAULT_BACKOFF_FACTOR;
    retry->max_backoff_ms =
        retry->max_backoff_ms > 0 ? retry->max_backoff_ms : DEFAULT_MAX_BACKOFF_MS;
    retry->max_count = (int)count;
}

static void read_dependents(struct draft *d, struct draft_task *t, const struct path *up)
{
    struct tree *list = read_list(d, t->node, "dependentTasks", up);
    struct path here = {.up = up, .key = "dependentTasks"};
    size_t count = list != NULL ? list->count : 0;
    t->after = pool_calloc(d->pool, count, sizeof *t->after);
    for (size_t i = 0; i < count; i++) {
        struct path item = {.up = &here, .index = i};
        const char *name = read_item_text(d, list->items[i], &item);
        if (name != NULL) {
            t->after[t->after_count++] = name;
        }
    }
}

static void read_task(struct draft *d, struct draft_task *t, const struct path *path)
{
    t->position = -1;
    t->def.line = t->place.line;
    if (t->node->kind != TREE_MAP) {
        complain(d->complaints, t->place, path, "expected a map with 'componentRef'");
        return;
    }
    if (!name_is_usable(t->def.key) || strchr(t->def.key, '.') == t->def.key) {
        complain(d->complaints, t->place, path,
            "'%s' is not usable as a task name: 1 to 253 characters without '/', '\\', quotes and "
            "control characters, not beginning with '.'",
            t->def.key);
    }
    read_known(d, t->node, path, task_fields);
    struct path here = {.up = path, .key = "taskInfo"};
    const struct tree *info = read_map(d, t->node, "taskInfo", path);
    t->def.display_name = read_text(d, info, "name", &here);
    if (t->def.display_name == NULL || t->def.display_name[0] == '\0') {
        t->def.display_name = t->def.key;
    }
    here.key = "componentRef";
    const struct tree *ref = read_map(d, t->node, "componentRef", path);
    t->component_name =
        read_need_text(d, ref != NULL ? ref : t->node, ref != NULL ? "name" : "componentRef",
            ref != NULL ? &here : path, "every task names its component");
    here.key = "cachingOptions";
    const struct tree *caching = read_map(d, t->node, "cachingOptions", path);
    t->def.cache_enabled = read_bool(d, caching, "enableCache", &here);
    t->def.cache_key = read_text(d, caching, "cacheKey", &here);
    read_inputs(d, t, path);
    read_dependents(d, t, path);
    read_trigger(d, t, path);
    read_retry(d, t, path);
    read_iterator(d, t, path);
}

static void read_tasks(
    struct draft *d, struct draft_component *c, const struct tree *dag, const struct path *up)
{
    struct path here = {.up = up, .key = "tasks"};
    const struct tree *map = read_map(d, dag, "tasks", up);
    c->task_count = map != NULL ? map->count : 0;
    if (c->task_count == 0) {
        complain(d->complaints, tree_place(dag), &here, "is empty; a DAG needs at least one task");
    }
    c->tasks = pool_calloc(d->pool, c->task_count, sizeof *c->tasks);
    c->task_index = map_new(NULL);
    pool_on_free(d->pool, (void (*)(void *))map_free, c->task_index);
    for (size_t i = 0; i < c->task_count; i++) {
        struct draft_task *t = &c->tasks[i];
        t->def.key = map->pairs[i].key;
        t->node = map->pairs[i].value;
        t->place = (struct place){map->pairs[i].line, map->pairs[i].column};
        struct path inner = {.up = &here, .key = t->def.key};
        read_task(d, t, &inner);
        map_put(c->task_index, t->def.key, t);
    }
}

static void read_selector(struct draft *d, const struct tree *node, const char *key_field,
    const struct path *path, struct draft_selector *out)
{
    out->place = tree_place(node);
    if (node->kind != TREE_MAP) {
        complain(d->complaints, out->place, path, "expected a map with 'producerSubtask'");
        return;
    }
    out->producer = read_need_text(d, node, "producerSubtask", path, "name the producing task");
    out->key = read_need_text(d, node, key_field, path, "name its output");
}

static void read_selectors(struct draft *d, const struct tree *node, const char *key_field,
    const struct path *path, struct draft_output *out)
{
    size_t count = node->kind == TREE_LIST ? node->count : 1;
    out->selectors = pool_calloc(d->pool, count, sizeof *out->selectors);
    out->count = count;
    if (node->kind != TREE_LIST) {
        read_selector(d, node, key_field, path, &out->selectors[0]);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        struct path item = {.up = path, .index = i};
        read_selector(d, node->items[i], key_field, &item, &out->selectors[i]);
    }
}

static void read_output(struct draft *d, const struct tree_pair *pair, bool is_param,
    const struct path *path, struct draft_output *out)
{
    const struct tree *node = pair->value;
    out->name = pair->key;
    out->place = (struct place){pair->line, pair->column};
    const struct tree *from = NULL;
    const char *field = "artifactSelectors", *key_field = "outputArtifactKey";
    if (is_param) {
        key_field = "outputParameterKey";
        field = "valueFromParameter";
        from = read_map(d, node, field, path);
        const struct tree *oneof = read_map(d, node, "valueFromOneof", path);
        if (from == NULL && oneof != NULL) {
            field = "parameterSelectors";
            from = read_list(d, oneof, field, path);
        }
    } else {
        from = read_list(d, node, field, path);
    }
    if (from == NULL || (from->kind == TREE_LIST && from->count == 0)) {
        complain(d->complaints, out->place, path,
            "does not say which task's output it is: needs %s",
            is_param ? "valueFromParameter or valueFromOneof" : "artifactSelectors");
        return;
    }
    struct path inner = {.up = path, .key = field};
    read_selectors(d, from, key_field, &inner, out);
}

static struct draft_output *read_outputs(struct draft *d, const struct tree *outputs, bool is_param,
    const struct path *up, size_t *count_out)
{
    const char *name = is_param ? "parameters" : "artifacts";
    struct path here = {.up = up, .key = name};
    const struct tree *map = read_map(d, outputs, name, up);
    size_t count = map != NULL ? map->count : 0;
    struct draft_output *out = pool_calloc(d->pool, count, sizeof *out);
    for (size_t i = 0; i < count; i++) {
        struct path inner = {.up = &here, .key = map->pairs[i].key};
        read_output(d, &map->pairs[i], is_param, &inner, &out[i]);
    }
    *count_out = count;
    return out;
}

void read_dag(struct draft *d, struct draft_component *c, const struct path *path)
{
    struct path here = {.up = path, .key = "dag"};
    const struct tree *dag = read_map(d, c->node, "dag", path);
    read_known(d, dag, &here, dag_fields);
    read_tasks(d, c, dag, &here);
    struct path outputs_path = {.up = &here, .key = "outputs"};
    const struct tree *outputs = read_map(d, dag, "outputs", &here);
    read_known(d, outputs, &outputs_path, outputs_fields);
    c->params_out = read_outputs(d, outputs, true, &outputs_path, &c->param_out_count);
    c->artifacts_out = read_outputs(d, outputs, false, &outputs_path, &c->artifact_out_count);
}
