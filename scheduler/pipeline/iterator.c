/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loops: a task whose component runs once for each item (kfp-semantics.md 8). Seen from beside
 * it, each of a loop's outputs is the list of what its iterations gave.
 */
#include "pipeline/draft.h"

#include "base/err.h"
#include "base/json.h"
#include "base/pool.h"
#include "base/util.h"

#include <string.h>

#define MAX_PARALLELISM 1000000

static const char *const iterator_fields[] = {"items", "itemInput", NULL};
static const char *const param_items_fields[] = {"raw", "inputParameter", NULL};
static const char *const artifact_items_fields[] = {"inputArtifact", NULL};
static const char *const policy_fields[] = {"parallelismLimit", NULL};

/* The list itself, written as a JSON text within the document. */
static void read_raw(struct draft *d, const char *text, struct place place, const struct path *path,
    struct iterator *out)
{
    struct err err = ERR_INIT;
    json_t *list = jread_text(text, strlen(text), "items", &err);
    if (list == NULL) {
        complain(d->complaints, place, path,
            "is not JSON: %.300s. Write the items as a JSON list in a text, such as '[1, 2]'",
            err.msg);
        return;
    }
    if (!json_is_array(list)) {
        complain(d->complaints, place, path,
            "expected a JSON list in a text, such as '[1, 2]' or '[{\"a\": \"x\"}]'");
    } else {
        out->raw = list;
    }
    json_array_append_new(d->keep, list);
}

static void read_param_items(
    struct draft *d, const struct tree *items, const struct path *path, struct iterator *out)
{
    read_known(d, items, path, param_items_fields);
    out->items = read_text(d, items, "inputParameter", path);
    const char *raw = read_text(d, items, "raw", path);
    if ((out->items == NULL) == (raw == NULL)) {
        complain(d->complaints, tree_place(items), path,
            "needs exactly one of 'raw' (a JSON list in a text) and 'inputParameter' (an input of "
            "this task)");
    } else if (raw != NULL) {
        struct path here = {.up = path, .key = "raw"};
        read_raw(d, raw, tree_place(tree_get(items, "raw")), &here, out);
    }
}

static void read_items(
    struct draft *d, const struct tree *node, const struct path *path, struct iterator *out)
{
    struct path here = {.up = path, .key = "items"};
    const struct tree *items = read_map(d, node, "items", path);
    if (items == NULL) {
        complain(d->complaints, tree_place(node), &here, "is missing; say what to loop over");
    } else if (out->is_artifact) {
        read_known(d, items, &here, artifact_items_fields);
        out->items = read_need_text(
            d, items, "inputArtifact", &here, "name the artifact input to loop over");
    } else {
        read_param_items(d, items, &here, out);
    }
}

static void read_limit(
    struct draft *d, const struct draft_task *t, const struct path *up, struct iterator *out)
{
    struct path here = {.up = up, .key = "iteratorPolicy"};
    const struct tree *policy = read_map(d, t->node, "iteratorPolicy", up);
    double limit = 0;
    read_known(d, policy, &here, policy_fields);
    read_whole(d, policy, "parallelismLimit", MAX_PARALLELISM, &here, &limit);
    out->limit = (int)limit;
}

void read_iterator(struct draft *d, struct draft_task *t, const struct path *up)
{
    static const char *const kinds[] = {"parameterIterator", "artifactIterator"};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        struct path here = {.up = up, .key = kinds[i]};
        const struct tree *node = read_map(d, t->node, kinds[i], up);
        if (node == NULL) {
            continue;
        }
        if (t->iterator != NULL) {
            complain(d->complaints, tree_place(node), &here,
                "a task has one iterator; nest a DAG with the other one");
            return;
        }
        t->iterator = pool_alloc(d->pool, sizeof *t->iterator);
        t->iterator_place = tree_place(node);
        t->iterator->is_artifact = i == 1;
        read_known(d, node, &here, iterator_fields);
        t->iterator->item_input =
            read_need_text(d, node, "itemInput", &here, "name the input that gets each item");
        read_items(d, node, &here, t->iterator);
        read_limit(d, t, up, t->iterator);
        t->def.iterator = t->iterator;
    }
}

/* ---- linking ---- */

static void warn_of_items(
    struct draft *d, const struct draft_task *t, const struct param_def *p, const struct path *path)
{
    size_t i;
    json_t *item;
    json_array_foreach(t->iterator->raw, i, item)
    {
        if (!json_is_null(item) && !value_fits(item, p->type)) {
            complain_mildly(d->complaints, t->iterator_place, path,
                "item %zu is not a %s, as '%s' of %s is declared, so its iteration will fail", i,
                value_type_name(p->type), p->name, t->component->def.name);
            return;
        }
    }
}

static void link_param_items(struct draft *d, const struct draft_task *t, const struct path *path)
{
    const struct iterator *it = t->iterator;
    const struct component *c = &t->component->def;
    const struct param_def *item =
        it->item_input != NULL ? component_param_in(c, it->item_input) : NULL;
    if (item != NULL && it->raw != NULL) {
        warn_of_items(d, t, item, path);
    }
    if (item == NULL && it->item_input != NULL && component_artifact_in(c, it->item_input)) {
        complain(d->complaints, t->iterator_place, path,
            "itemInput '%s' is an artifact of %s; use artifactIterator", it->item_input, c->name);
    }
    if (it->items == NULL) {
        return;
    }
    const struct param_def *list = component_param_in(c, it->items);
    const struct draft_binding *b = find_binding(t->params, t->param_count, it->items);
    bool has_default = list != NULL && (list->default_value != NULL || list->is_optional);
    if (b == NULL && !has_default) {
        complain(d->complaints, t->iterator_place, path,
            "items.inputParameter: this task has no input '%s'; pass it in inputs.parameters",
            it->items);
    } else if (list != NULL && list->type != VALUE_LIST && list->type != VALUE_STRING) {
        complain_mildly(d->complaints, t->iterator_place, path,
            "items.inputParameter: '%s' is a %s, which cannot be looped over; it must be a LIST, "
            "or a STRING with a JSON list",
            it->items, value_type_name(list->type));
    }
}

static void link_artifact_items(
    struct draft *d, const struct draft_task *t, const struct path *path)
{
    const struct iterator *it = t->iterator;
    const struct component *c = &t->component->def;
    if (it->item_input != NULL && component_artifact_in(c, it->item_input) == NULL) {
        complain(d->complaints, t->iterator_place, path,
            "itemInput: %s has no artifact input '%s'; declare it in its "
            "inputDefinitions.artifacts",
            c->name, it->item_input);
    }
    if (it->items != NULL && find_binding(t->artifacts, t->artifact_count, it->items) == NULL) {
        const struct artifact_def *list = component_artifact_in(c, it->items);
        if (list == NULL || !list->is_optional) {
            complain(d->complaints, t->iterator_place, path,
                "items.inputArtifact: this task has no artifact '%s'; pass it in inputs.artifacts",
                it->items);
        }
    }
}

void link_iterator(struct draft *d, const struct draft_task *t, const struct path *up)
{
    if (t->iterator == NULL || t->component == NULL) {
        return;
    }
    bool is_artifact = t->iterator->is_artifact;
    struct path here = {.up = up, .key = is_artifact ? "artifactIterator" : "parameterIterator"};
    if (is_artifact) {
        link_artifact_items(d, t, &here);
    } else {
        link_param_items(d, t, &here);
    }
}
