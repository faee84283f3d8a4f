/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding what names refer to: components, executors, producers, inputs. Dependencies come from
 * dependentTasks and from every producer of an input (kfp-semantics.md 6.1).
 */
#include "pipeline/draft.h"

#include "base/map.h"
#include "base/pool.h"
#include "base/util.h"
#include "pipeline/pod_config.h"

#include <stdlib.h>
#include <string.h>

#define LOOP_ITEM "-loop-item"

/* The DAG being linked, and where. */
struct linker {
    struct draft *d;
    struct draft_component *c;
    const struct path *tasks; /* "root.dag.tasks" */
};

static void task_add_dep(struct linker *l, struct draft_task *t, const struct draft_task *on)
{
    if (t->dep_count == t->dep_cap) {
        size_t cap = t->dep_cap == 0 ? 4 : t->dep_cap * 2;
        int *deps = pool_calloc(l->d->pool, cap, sizeof *deps);
        if (t->dep_count > 0) {
            memcpy(deps, t->deps, t->dep_count * sizeof *deps);
        }
        t->deps = deps;
        t->dep_cap = cap;
    }
    t->deps[t->dep_count++] = (int)(on - l->c->tasks);
}

static int by_value(const void *a, const void *b)
{
    const int *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static void task_tidy_deps(struct draft_task *t)
{
    if (t->dep_count < 2) {
        return;
    }
    qsort(t->deps, t->dep_count, sizeof *t->deps, by_value);
    size_t kept = 1;
    for (size_t i = 1; i < t->dep_count; i++) {
        if (t->deps[i] != t->deps[kept - 1]) {
            t->deps[kept++] = t->deps[i];
        }
    }
    t->dep_count = kept;
}

static struct draft_task *find_producer(
    struct linker *l, const char *name, struct place place, const struct path *path)
{
    struct draft_task *t = map_get(l->c->task_index, name);
    if (t == NULL) {
        complain(l->d->complaints, place, path,
            "task '%s' is not in this DAG; only tasks beside this one can be referred to", name);
    }
    return t;
}

const struct draft_binding *find_binding(
    const struct draft_binding *list, size_t count, const char *name)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(list[middle].def.name, name);
        if (order == 0) {
            return &list[middle];
        }
        low = order < 0 ? middle + 1 : low;
        high = order < 0 ? high : middle;
    }
    return NULL;
}

/* ---- parameters ---- */

static bool is_struct(enum value_type type)
{
    return type == VALUE_STRUCT || type == VALUE_TASK_FINAL_STATUS || type == VALUE_TASK_CONFIG;
}

static bool is_number(enum value_type type)
{
    return type == VALUE_INTEGER || type == VALUE_DOUBLE;
}

static bool type_fits(enum value_type from, enum value_type to)
{
    return to == VALUE_STRING || from == to || (is_number(from) && is_number(to)) ||
           (is_struct(from) && is_struct(to));
}

static void warn_of_type(
    struct linker *l, const struct draft_binding *b, enum value_type from, const struct path *path)
{
    if (b->def.selector == NULL && b->def.param != NULL && !type_fits(from, b->def.param->type)) {
        complain_mildly(l->d->complaints, b->place, path,
            "gets a %s but is declared %s; only STRING takes other kinds, so the task will fail",
            value_type_name(from), value_type_name(b->def.param->type));
    }
}

/*
 * The SDK declares the items of a list whose items it knows nothing of (-> list) as texts, and
 * lets them be passed to inputs of every kind.
 */
static void read_item(struct draft_binding *b, const struct param_def *from)
{
    size_t len = strlen(b->def.source), end = strlen(LOOP_ITEM);
    bool is_item = len > end && strcmp(b->def.source + len - end, LOOP_ITEM) == 0;
    if (is_item && from->type == VALUE_STRING && b->def.selector == NULL && b->def.param != NULL &&
        b->def.param->type != VALUE_STRING) {
        b->def.selector = "parseJson(string_value)";
    }
}

static void link_component_input(struct linker *l, struct draft_binding *b, const struct path *path)
{
    const struct component *dag = &l->c->def;
    const struct param_def *from = component_param_in(dag, b->def.source);
    if (from != NULL) {
        read_item(b, from);
        warn_of_type(l, b, from->type, path);
        return;
    }
    if (l->c->extras != NULL && map_get(l->c->extras, b->def.source) != NULL) {
        return;
    }
    bool is_artifact = component_artifact_in(dag, b->def.source) != NULL;
    complain(l->d->complaints, b->place, path,
        is_artifact ? "'%s' of %s is an artifact; use componentInputArtifact"
                    : "'%s' is not an input parameter of %s; declare it in its "
                      "inputDefinitions.parameters",
        b->def.source, dag->name);
}

static void link_param_output(
    struct linker *l, struct draft_task *t, struct draft_binding *b, const struct path *path)
{
    const struct draft_task *producer = find_producer(l, b->producer, b->place, path);
    if (producer == NULL) {
        b->is_broken = true;
        return;
    }
    b->def.producer = (int)(producer - l->c->tasks);
    task_add_dep(l, t, producer);
    if (producer->component == NULL) {
        return;
    }
    const struct param_def *from = component_param_out(&producer->component->def, b->def.key);
    if (from == NULL) {
        complain(l->d->complaints, b->place, path,
            "task '%s' has no output parameter '%s'; its component %s declares none of that name",
            b->producer, b->def.key, producer->component->def.name);
    } else {
        warn_of_type(l, b, producer->iterator != NULL ? VALUE_LIST : from->type, path);
    }
}

static bool holds_placeholder(const json_t *value)
{
    return json_is_string(value) && strstr(json_string_value(value), "{{$") != NULL;
}

static void link_constant(struct linker *l, struct draft_binding *b, const struct path *path)
{
    enum value_type type = b->def.param != NULL ? b->def.param->type : VALUE_STRUCT;
    b->def.constant = read_value(l->d, b->constant, type, path);
    if (b->def.constant == NULL || b->def.param == NULL || b->def.selector != NULL) {
        return;
    }
    if (!value_fits(b->def.constant, type) && !holds_placeholder(b->def.constant)) {
        complain(l->d->complaints, b->place, path, "the constant is not a %s, as %s declares it",
            value_type_name(type), b->def.name);
    }
}

static void link_param(
    struct linker *l, struct draft_task *t, struct draft_binding *b, const struct path *path)
{
    if (t->component != NULL) {
        b->def.param = component_param_in(&t->component->def, b->def.name);
        if (b->def.param == NULL && component_artifact_in(&t->component->def, b->def.name)) {
            complain(l->d->complaints, b->place, path,
                "is an artifact input of %s; pass it in inputs.artifacts", t->component->def.name);
        }
    }
    if (b->is_broken) {
        return;
    }
    switch (b->def.kind) {
    case SOURCE_COMPONENT_INPUT:
        link_component_input(l, b, path);
        break;
    case SOURCE_TASK_OUTPUT:
        link_param_output(l, t, b, path);
        break;
    case SOURCE_CONSTANT:
        link_constant(l, b, path);
        break;
    case SOURCE_FINAL_STATUS: {
        const struct draft_task *producer = find_producer(l, b->producer, b->place, path);
        if (producer == NULL) {
            b->is_broken = true;
            break;
        }
        b->def.producer = (int)(producer - l->c->tasks);
        task_add_dep(l, t, producer); /* or there would be no status yet */
        warn_of_type(l, b, VALUE_TASK_FINAL_STATUS, path);
        break;
    }
    }
}

/* ---- artifacts ---- */

/* The list that a loop takes its items from need not be an input of its body. */
static bool is_items(const struct draft_task *t, const char *name)
{
    return t->iterator != NULL && str_eq(name, t->iterator->items);
}

static void link_artifact(
    struct linker *l, struct draft_task *t, struct draft_binding *b, const struct path *path)
{
    if (t->component != NULL) {
        b->def.artifact = component_artifact_in(&t->component->def, b->def.name);
        if (b->def.artifact == NULL && !is_items(t, b->def.name)) {
            complain(l->d->complaints, b->place, path, "%s has no artifact input of this name",
                t->component->def.name);
        }
    }
    if (b->is_broken) {
        return;
    }
    if (b->def.kind == SOURCE_COMPONENT_INPUT) {
        if (component_artifact_in(&l->c->def, b->def.source) == NULL) {
            complain(l->d->complaints, b->place, path,
                "'%s' is not an input artifact of %s; declare it in its "
                "inputDefinitions.artifacts",
                b->def.source, l->c->def.name);
        }
        return;
    }
    const struct draft_task *producer = find_producer(l, b->producer, b->place, path);
    if (producer == NULL) {
        b->is_broken = true;
        return;
    }
    b->def.producer = (int)(producer - l->c->tasks);
    task_add_dep(l, t, producer);
    if (producer->component != NULL &&
        component_artifact_out(&producer->component->def, b->def.key) == NULL) {
        complain(l->d->complaints, b->place, path,
            "task '%s' has no output artifact '%s'; its component %s declares none of that name",
            b->producer, b->def.key, producer->component->def.name);
    }
}

/* ---- tasks ---- */

static bool is_item(const struct draft_task *t, const char *name)
{
    return t->iterator != NULL && str_eq(name, t->iterator->item_input);
}

/* What must be passed and is not. */
static void check_required(struct linker *l, const struct draft_task *t, const struct path *path)
{
    const struct component *c = &t->component->def;
    for (size_t i = 0; i < c->param_in_count; i++) {
        const struct param_def *p = &c->params_in[i];
        bool is_required = !p->is_optional && p->default_value == NULL &&
                           p->type != VALUE_TASK_CONFIG && !is_item(t, p->name);
        if (is_required && find_binding(t->params, t->param_count, p->name) == NULL) {
            complain(l->d->complaints, t->place, path,
                "parameter '%s' of %s is not passed and has no default; pass it in "
                "inputs.parameters",
                p->name, c->name);
        }
    }
    for (size_t i = 0; i < c->artifact_in_count; i++) {
        const struct artifact_def *a = &c->artifacts_in[i];
        if (!a->is_optional && !is_item(t, a->name) &&
            find_binding(t->artifacts, t->artifact_count, a->name) == NULL) {
            complain(l->d->complaints, t->place, path,
                "artifact '%s' of %s is not passed; pass it in inputs.artifacts", a->name, c->name);
        }
    }
}

static void link_inputs(struct linker *l, struct draft_task *t, const struct path *path)
{
    struct path inputs = {.up = path, .key = "inputs"};
    struct path list = {.up = &inputs, .key = "parameters"};
    for (size_t i = 0; i < t->param_count; i++) {
        struct path here = {.up = &list, .key = t->params[i].def.name};
        link_param(l, t, &t->params[i], &here);
    }
    list.key = "artifacts";
    for (size_t i = 0; i < t->artifact_count; i++) {
        struct path here = {.up = &list, .key = t->artifacts[i].def.name};
        link_artifact(l, t, &t->artifacts[i], &here);
    }
}

/* ---- what the Kubernetes settings of its executor refer to ---- */

static bool is_output_of(const struct draft_task *t, const char *key)
{
    return t->component == NULL || component_param_out(&t->component->def, key) != NULL;
}

static void link_pod_reference(
    struct linker *l, struct draft_task *t, const struct pod_reference *reference)
{
    const struct scope_ref *ref = &reference->ref;
    const struct component *dag = &l->c->def;
    if (ref->kind == SOURCE_TASK_OUTPUT) {
        const struct draft_task *producer = map_get(l->c->task_index, ref->producer);
        if (producer != NULL && is_output_of(producer, ref->key)) {
            task_add_dep(l, t, producer);
            return;
        }
    } else if (component_param_in(dag, ref->source) != NULL) {
        return;
    }
    const char *passed = pod_reference_passed(l->d->pool, ref);
    if (component_param_in(dag, passed) != NULL ||
        (l->c->extras != NULL && map_has(l->c->extras, passed))) {
        return;
    }
    struct path here = {.up = l->tasks, .key = t->def.key};
    if (ref->kind == SOURCE_TASK_OUTPUT) {
        complain(l->d->complaints, reference->place, &here,
            "%s of its executor refers to output '%s' of task '%s', and there is none in this "
            "DAG",
            reference->where, ref->key, ref->producer);
    } else {
        complain(l->d->complaints, reference->place, &here,
            "%s of its executor refers to '%s', which is not an input parameter of %s",
            reference->where, ref->source, dag->name);
    }
}

static void link_pod(struct linker *l, struct draft_task *t)
{
    const char *label = t->component != NULL ? t->component->executor : NULL;
    const struct draft_executor *e = label != NULL ? map_get(l->d->executors, label) : NULL;
    const struct pod_config *pod = e != NULL ? e->container.pod : NULL;
    for (size_t i = 0; pod != NULL && i < pod->reference_count; i++) {
        link_pod_reference(l, t, &pod->references[i]);
    }
}

static void link_task(struct linker *l, struct draft_task *t)
{
    struct path here = {.up = l->tasks, .key = t->def.key};
    link_inputs(l, t, &here);
    struct path after = {.up = &here, .key = "dependentTasks"};
    for (size_t i = 0; i < t->after_count; i++) {
        const struct draft_task *on = find_producer(l, t->after[i], t->place, &after);
        if (on != NULL) {
            task_add_dep(l, t, on);
        }
    }
    link_pod(l, t);
    task_tidy_deps(t);
    if (t->component == NULL) {
        return;
    }
    check_required(l, t, &here);
    link_iterator(l->d, t, &here);
    if (t->component->def.kind == COMPONENT_IMPORTER) {
        link_importer_task(l->d, t, &here);
    } else if (t->component->def.kind == COMPONENT_VOLUME) {
        link_volume_task(l->d, t, &here);
    }
}

static void add_extra(struct draft *d, struct draft_component *c, const char *name)
{
    if (name == NULL || component_param_in(&c->def, name) != NULL) {
        return;
    }
    if (c->extras == NULL) {
        c->extras = map_new(NULL);
        pool_on_free(d->pool, (void (*)(void *))map_free, c->extras);
    }
    map_put(c->extras, name, c);
}

/* What a DAG is passed can be referred to within it, declared or not. */
static void note_extras(struct draft *d, const struct draft_task *t)
{
    if (t->component->def.kind != COMPONENT_DAG) {
        return;
    }
    for (size_t i = 0; i < t->param_count; i++) {
        add_extra(d, t->component, t->params[i].def.name);
    }
    if (t->iterator != NULL && !t->iterator->is_artifact) {
        add_extra(d, t->component, t->iterator->item_input);
    }
}

static void find_components(struct linker *l)
{
    for (size_t i = 0; i < l->c->task_count; i++) {
        struct draft_task *t = &l->c->tasks[i];
        if (t->component_name == NULL) {
            continue;
        }
        t->component = map_get(l->d->components, t->component_name);
        if (t->component == NULL) {
            struct path here = {.up = l->tasks, .key = t->def.key};
            struct path ref = {.up = &here, .key = "componentRef"};
            complain(l->d->complaints, t->place, &ref,
                "there is no component '%s'; declare it under 'components'", t->component_name);
            continue;
        }
        t->component->is_used = true;
        note_extras(l->d, t);
    }
}

/* ---- outputs ---- */

static void link_output(
    struct linker *l, const struct draft_output *out, bool is_param, const struct path *path)
{
    const struct component *c = &l->c->def;
    bool is_declared = is_param ? component_param_out(c, out->name) != NULL
                                : component_artifact_out(c, out->name) != NULL;
    if (!is_declared) {
        complain_mildly(l->d->complaints, out->place, path,
            "is not declared in outputDefinitions; nobody can read it");
    }
    for (size_t i = 0; i < out->count; i++) {
        const struct draft_selector *s = &out->selectors[i];
        if (s->producer == NULL || s->key == NULL) {
            continue;
        }
        const struct draft_task *producer = find_producer(l, s->producer, s->place, path);
        if (producer == NULL || producer->component == NULL) {
            continue;
        }
        const struct component *from = &producer->component->def;
        bool exists = is_param ? component_param_out(from, s->key) != NULL
                               : component_artifact_out(from, s->key) != NULL;
        if (!exists) {
            complain(l->d->complaints, s->place, path, "task '%s' has no output %s '%s'",
                s->producer, is_param ? "parameter" : "artifact", s->key);
        }
    }
}

static void link_outputs(struct linker *l, const struct path *dag)
{
    struct path outputs = {.up = dag, .key = "outputs"};
    struct path list = {.up = &outputs, .key = "parameters"};
    for (size_t i = 0; i < l->c->param_out_count; i++) {
        struct path here = {.up = &list, .key = l->c->params_out[i].name};
        link_output(l, &l->c->params_out[i], true, &here);
    }
    list.key = "artifacts";
    for (size_t i = 0; i < l->c->artifact_out_count; i++) {
        struct path here = {.up = &list, .key = l->c->artifacts_out[i].name};
        link_output(l, &l->c->artifacts_out[i], false, &here);
    }
}

static void link_executor(struct draft *d, struct draft_component *c, const struct path *path)
{
    const struct draft_executor *e = map_get(d->executors, c->executor);
    if (e == NULL) {
        struct path here = {.up = path, .key = "executorLabel"};
        complain(d->complaints, tree_place(tree_get(c->node, "executorLabel")), &here,
            "there is no executor '%s'; declare it under deploymentSpec.executors", c->executor);
        return;
    }
    enum volume_op op;
    if (e->kind == EXECUTOR_IMPORTER) {
        c->def.kind = COMPONENT_IMPORTER;
        c->def.importer = &e->importer;
        link_importer(d, c, path);
    } else if (e->kind == EXECUTOR_CONTAINER && e->container.image != NULL &&
               volume_image(e->container.image, &op)) {
        c->def.kind = COMPONENT_VOLUME;
        c->def.volume_op = op;
        link_volume(d, c, path);
    } else if (e->kind == EXECUTOR_CONTAINER) {
        c->def.container = &e->container;
    }
}

/* Where the tasks of a DAG are: "root.dag", "root.dag.tasks". */
struct dag_place {
    struct path component[3], dag, tasks;
};

static struct linker linker_at(struct draft *d, struct draft_component *c, struct dag_place *place)
{
    component_path(c, place->component);
    place->dag = (struct path){.up = &place->component[2], .key = "dag"};
    place->tasks = (struct path){.up = &place->dag, .key = "tasks"};
    return (struct linker){.d = d, .c = c, .tasks = &place->tasks};
}

void link_components(struct draft *d)
{
    struct dag_place place;
    for (size_t i = 0; i < d->count; i++) {
        struct draft_component *c = d->list[i];
        struct linker l = linker_at(d, c, &place);
        if (c->executor != NULL && c->def.kind == COMPONENT_CONTAINER) {
            link_executor(d, c, &place.component[2]);
        }
        if (c->task_index != NULL) {
            find_components(&l);
        }
    }
    mend_channels(d);
    for (size_t i = 0; i < d->count; i++) {
        struct draft_component *c = d->list[i];
        if (c->task_index == NULL) {
            continue;
        }
        struct linker l = linker_at(d, c, &place);
        for (size_t k = 0; k < c->task_count; k++) {
            link_task(&l, &c->tasks[k]);
        }
        link_outputs(&l, &place.dag);
    }
}
