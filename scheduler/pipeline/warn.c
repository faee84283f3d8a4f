/* SPDX-License-Identifier: Apache-2.0 */
/* Warnings of `rondo lint` about images, constants, caching and what is not used at all. */
#include "pipeline/warn.h"

#include "base/util.h"
#include "pipeline/placeholder.h"
#include "pipeline/value.h"

#include <string.h>

void warn_place_of(const struct draft_component *c, struct warn_place *out)
{
    component_path(c, out->component);
    out->dag = (struct path){.up = &out->component[2], .key = "dag"};
    out->tasks = (struct path){.up = &out->dag, .key = "tasks"};
}

/* ---- references within constants ---- */

struct ref_search {
    bool any, of_run; /* of_run: one whose value differs in each run */
};

static bool see_text(void *owner, const char *text, size_t len, struct buf *out UNUSED)
{
    struct ref_search *search = owner;
    struct ref ref;
    for (size_t i = 0; i + 2 < len; i++) {
        if (text[i] != '{' || text[i + 1] != '{' || ref_parse(text + i, text + len, &ref) == 0) {
            continue;
        }
        search->any = true;
        search->of_run =
            search->of_run || (ref.kind == REF_RUN && ref.fact != RUN_FACT_TASK_NAME &&
                                  ref.fact != RUN_FACT_ROOT && ref.fact != RUN_FACT_WORKSPACE);
    }
    return false;
}

static struct ref_search search_refs(const json_t *constant)
{
    struct ref_search search = {false, false};
    json_decref(value_map_strings(constant, see_text, &search));
    return search;
}

bool warn_is_open(const json_t *constant)
{
    return constant != NULL && search_refs(constant).any;
}

/* ---- executors ---- */

static void warn_of_image(struct draft *d, const struct draft_executor *e, const struct path *path)
{
    const char *image = e->kind == EXECUTOR_CONTAINER ? e->container.image : NULL;
    enum volume_op op;
    if (image == NULL || volume_image(image, &op) || strstr(image, "{{$") != NULL ||
        strchr(image, '@') != NULL) {
        return;
    }
    const char *slash = strrchr(image, '/');
    const char *tag = strchr(slash != NULL ? slash : image, ':');
    if (tag != NULL && strcmp(tag, ":latest") != 0) {
        return;
    }
    struct path container = {.up = path, .key = "container"};
    struct path here = {.up = &container, .key = "image"};
    const struct tree *node = tree_get(tree_get(e->node, "container"), "image");
    complain_mildly(d->complaints, tree_place(node), &here,
        "'%s' %s, so what runs can change from one day to the next; name a version", image,
        tag != NULL ? "is the latest image" : "has no tag");
}

static void warn_of_executors(struct draft *d)
{
    struct path top = PATH_ROOT;
    struct path deployment = {.up = &top, .key = "deploymentSpec"};
    struct path executors = {.up = &deployment, .key = "executors"};
    for (size_t i = 0; i < d->executor_count; i++) {
        struct path here = {.up = &executors, .key = d->executor_list[i].label};
        warn_of_image(d, &d->executor_list[i], &here);
    }
}

/* ---- tasks ---- */

static bool is_literal(const struct param_def *p, const json_t *value)
{
    size_t i;
    json_t *literal;
    json_array_foreach(p->literals, i, literal)
    {
        if (value_equal(literal, value)) {
            return true;
        }
    }
    return p->literals == NULL;
}

static void warn_of_constant(struct draft *d, const struct draft_task *t,
    const struct draft_binding *b, const struct path *path)
{
    if (b->def.constant == NULL) {
        return;
    }
    struct ref_search refs = search_refs(b->def.constant);
    bool has_key = t->def.cache_key != NULL && t->def.cache_key[0] != '\0';
    if (refs.of_run && t->def.cache_enabled && !has_key &&
        t->component->def.kind == COMPONENT_CONTAINER) {
        complain_mildly(d->complaints, b->place, path,
            "differs in each run, so this task is never taken from the cache although it has "
            "enableCache; turn caching off, or give it a cacheKey");
    }
    const struct param_def *p = b->def.param;
    if (p != NULL && !refs.any && b->def.selector == NULL && !is_literal(p, b->def.constant)) {
        complain_mildly(d->complaints, b->place, path,
            "the constant is not one of the literals of '%s', so the task will fail", p->name);
    }
}

/* An empty list, or a text with one. */
static bool is_empty_list(const json_t *value)
{
    const char *text = json_string_value(value);
    if (text == NULL) {
        return json_is_array(value) && json_array_size(value) == 0;
    }
    text += strspn(text, " ");
    return text[0] == '[' && text[1 + strspn(text + 1, " ")] == ']';
}

static void warn_of_loop(struct draft *d, const struct draft_task *t, const struct path *path)
{
    const struct iterator *it = t->iterator;
    struct path policy = {.up = path, .key = "iteratorPolicy"};
    if (it == NULL) {
        const struct tree *node = tree_get(t->node, "iteratorPolicy");
        if (!tree_is_null(node)) {
            complain_mildly(
                d->complaints, tree_place(node), &policy, "has no effect: the task is no loop");
        }
        return;
    }
    const json_t *items = it->raw;
    if (items == NULL && !it->is_artifact) {
        const struct draft_binding *b = find_binding(t->params, t->param_count, it->items);
        items = b != NULL ? b->def.constant : NULL;
    }
    struct path here = {
        .up = path, .key = it->is_artifact ? "artifactIterator" : "parameterIterator"};
    if (items != NULL && is_empty_list(items)) {
        complain_mildly(d->complaints, t->iterator_place, &here,
            "the list is always empty, so nothing in the loop ever runs");
    }
}

static void warn_of_task(struct draft *d, const struct draft_task *t, const struct path *path)
{
    struct path inputs = {.up = path, .key = "inputs"};
    struct path params = {.up = &inputs, .key = "parameters"};
    for (size_t i = 0; i < t->param_count; i++) {
        struct path here = {.up = &params, .key = t->params[i].def.name};
        warn_of_constant(d, t, &t->params[i], &here);
    }
    warn_of_loop(d, t, path);
    if (t->def.retry.max_count > 0 && t->component->def.kind != COMPONENT_DAG &&
        t->component->def.kind != COMPONENT_CONTAINER) {
        struct path here = {.up = path, .key = "retryPolicy"};
        complain_mildly(d->complaints, tree_place(tree_get(t->node, "retryPolicy")), &here,
            "has no effect: importers and volume tasks are not retried");
    }
}

/* ---- components ---- */

static void warn_of_defaults(
    struct draft *d, const struct draft_component *c, const struct path *path)
{
    const struct tree *defs = tree_get(tree_get(c->node, "inputDefinitions"), "parameters");
    struct path inputs = {.up = path, .key = "inputDefinitions"};
    struct path params = {.up = &inputs, .key = "parameters"};
    for (size_t i = 0; i < c->def.param_in_count; i++) {
        const struct param_def *p = &c->def.params_in[i];
        if (p->default_value != NULL && !is_literal(p, p->default_value)) {
            struct path here = {.up = &params, .key = p->name};
            complain_mildly(d->complaints, tree_place(tree_get(defs, p->name)), &here,
                "the default is not one of its literals");
        }
    }
}

static void warn_of_root(struct draft *d, const struct path *path)
{
    const struct component *root = &d->root->def;
    struct path inputs = {.up = path, .key = "inputDefinitions"};
    for (size_t i = 0; i < root->artifact_in_count; i++) {
        if (!root->artifacts_in[i].is_optional) {
            complain_mildly(d->complaints, d->root->place, &inputs,
                "the pipeline needs the artifact '%s', which KFP's clients cannot give to a run; "
                "use "
                "rondo run -a %s=URI, or make it part of another pipeline",
                root->artifacts_in[i].name, root->artifacts_in[i].name);
        }
    }
    for (size_t i = 0; i < root->param_in_count; i++) {
        const struct param_def *p = &root->params_in[i];
        if (p->type == VALUE_TASK_FINAL_STATUS && !p->is_optional && p->default_value == NULL) {
            complain_mildly(d->complaints, d->root->place, &inputs,
                "the pipeline needs the TASK_FINAL_STATUS '%s', which a run cannot be given; it "
                "can "
                "only be part of another pipeline",
                p->name);
        }
    }
}

void warn_all(struct draft *d)
{
    struct warn_place place;
    warn_of_executors(d);
    for (size_t i = 0; i < d->count; i++) {
        const struct draft_component *c = d->list[i];
        warn_place_of(c, &place);
        warn_of_defaults(d, c, &place.component[2]);
        if (!c->is_root && !c->is_used) {
            complain_mildly(d->complaints, c->place, &place.component[2], "no task uses it");
        }
        for (size_t k = 0; k < c->task_count; k++) {
            struct path here = {.up = &place.tasks, .key = c->tasks[k].def.key};
            warn_of_task(d, &c->tasks[k], &here);
        }
    }
    warn_place_of(d->root, &place);
    warn_of_root(d, &place.component[2]);
    warn_of_use(d);
    warn_of_triggers(d);
}
