/* SPDX-License-Identifier: Apache-2.0 */
/*
 * taskConfigPassthroughs: which pod settings of a task reach its program as the value of its
 * TASK_CONFIG input, in normal form for task_config_split().
 */
#include "pipeline/draft.h"

#include "base/util.h"

#include <string.h>

static const char *const passthrough_fields[] = {"field", "applyToTask", NULL};
/* TaskConfigPassthroughTypeEnum; the number is the index. */
static const char *const fields[] = {"NONE", "RESOURCES", "ENV", "KUBERNETES_AFFINITY",
    "KUBERNETES_TOLERATIONS", "KUBERNETES_NODE_SELECTOR", "KUBERNETES_VOLUMES"};

static const char *field_named(const char *text)
{
    for (size_t i = 1; i < ARRAY_LEN(fields); i++) {
        char number[2] = {(char)('0' + i), '\0'};
        if (strcmp(text, fields[i]) == 0 || strcmp(text, number) == 0) {
            return fields[i];
        }
    }
    return NULL;
}

static void read_one(struct draft *d, const struct tree *node, const struct path *path, json_t *out)
{
    if (node->kind != TREE_MAP) {
        complain(d->complaints, tree_place(node), path, "expected a map with 'field'");
        return;
    }
    read_known(d, node, path, passthrough_fields);
    const char *text = read_need_text(d, node, "field", path, "name the setting, as ENV");
    const char *field = text != NULL ? field_named(text) : NULL;
    if (text != NULL && field == NULL) {
        complain(d->complaints, tree_place(node), path,
            "field '%s' is not known; it is RESOURCES, ENV, KUBERNETES_AFFINITY, "
            "KUBERNETES_TOLERATIONS, KUBERNETES_NODE_SELECTOR or KUBERNETES_VOLUMES",
            text);
    }
    bool applies = read_bool(d, node, "applyToTask", path);
    if (field != NULL) {
        json_array_append_new(
            out, json_pack("{s:s,s:b}", "field", field, "applyToTask", (int)applies));
    }
}

void read_passthroughs(struct draft *d, struct draft_component *c, const struct path *path)
{
    struct tree *list = read_list(d, c->node, "taskConfigPassthroughs", path);
    if (list == NULL || list->count == 0) {
        return;
    }
    struct path here = {.up = path, .key = "taskConfigPassthroughs"};
    json_t *out = json_array();
    json_array_append_new(d->keep, out);
    for (size_t i = 0; i < list->count; i++) {
        struct path item = {.up = &here, .index = i};
        read_one(d, list->items[i], &item, out);
    }
    c->def.passthroughs = out;
    size_t inputs = 0;
    for (size_t i = 0; i < c->def.param_in_count; i++) {
        inputs += c->def.params_in[i].type == VALUE_TASK_CONFIG;
    }
    if (inputs > 1) {
        complain(d->complaints, c->place, &here,
            "the component has %zu inputs of type TASK_CONFIG; it can have one", inputs);
    }
}
