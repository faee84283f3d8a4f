/* SPDX-License-Identifier: Apache-2.0 */
/* nodeSelector and tolerations: the nodes that a pod may be put on. */
#include "pipeline/pod_config.h"

#include "base/err.h"
#include "base/json.h"
#include "base/pool.h"
#include "base/util.h"
#include "pipeline/kubernetes_names.h"

#include <stdio.h>
#include <string.h>

static const char *const selector_fields[] = {"labels", "nodeSelectorJson", NULL};
static const char *const toleration_fields[] = {
    "key", "operator", "value", "effect", "tolerationSeconds", "tolerationJson", NULL};

/* ---- rules ---- */

/* What is wrong with it, in static text; NULL: nothing. */
static const char *toleration_trouble(const json_t *toleration)
{
    const char *key = jget_str(toleration, "key", ""), *op = jget_str(toleration, "operator", ""),
               *effect = jget_str(toleration, "effect", "");
    if (op[0] != '\0' && strcmp(op, "Equal") != 0 && strcmp(op, "Exists") != 0) {
        return "operator is Equal or Exists";
    }
    if (key[0] == '\0' && strcmp(op, "Exists") != 0) {
        return "without a key the operator must be Exists, which tolerates every taint";
    }
    if (key[0] != '\0' && !qualified_name_is_valid(key)) {
        return "key is no name of a taint such as nvidia.com/gpu";
    }
    if (strcmp(op, "Exists") == 0 && jget_str(toleration, "value", "")[0] != '\0') {
        return "with the operator Exists there is no value";
    }
    if (effect[0] != '\0' && strcmp(effect, "NoSchedule") != 0 &&
        strcmp(effect, "PreferNoSchedule") != 0 && strcmp(effect, "NoExecute") != 0) {
        return "effect is NoSchedule, PreferNoSchedule or NoExecute";
    }
    if (json_object_get(toleration, "tolerationSeconds") != NULL &&
        strcmp(effect, "NoExecute") != 0) {
        return "tolerationSeconds needs the effect NoExecute";
    }
    return NULL;
}

static int check_labels(const json_t *labels, const char *where, struct err *err)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)labels, key, value)
    {
        if (!qualified_name_is_valid(key)) {
            return err_set(err, ERR_INVALID, "%s: '%.200s' is no name of a label", where, key);
        }
        if (!json_is_string(value) || !label_value_is_valid(json_string_value(value))) {
            return err_set(err, ERR_INVALID,
                "%s: %.200s: expected a label's value, a text of at most 63 letters, digits, '-', "
                "'_' and '.'",
                where, key);
        }
    }
    return 0;
}

/* ---- reading ---- */

static void read_selector(
    struct draft *d, const struct tree *map, const struct path *up, struct pod_config *config)
{
    const struct tree *node = read_map(d, map, "nodeSelector", up);
    struct path here = {.up = up, .key = "nodeSelector"};
    if (node == NULL) {
        return;
    }
    read_known(d, node, &here, selector_fields);
    pod_value_read(d, config, node, "nodeSelectorJson", &here, &config->node_selector.json);
    json_t *labels = pod_text_map(d, node, "labels", &here);
    if (labels == NULL) {
        return;
    }
    struct err err = ERR_INIT;
    if (check_labels(labels, "labels", &err) != 0) {
        complain(d->complaints, tree_place(node), &here, "%s", err.msg);
    }
    if (config->node_selector.json.kind != POD_VALUE_ABSENT) {
        complain_mildly(
            d->complaints, tree_place(node), &here, "labels is ignored beside nodeSelectorJson");
    }
    config->node_selector.fixed = pod_keep(d, labels);
}

static json_t *read_fixed_toleration(
    struct draft *d, const struct tree *item, const struct path *path)
{
    json_t *out = json_object();
    for (size_t i = 0; i < 4; i++) {
        pod_copy_text(d, item, toleration_fields[i], path, out);
    }
    double seconds = -1;
    if (!tree_is_null(tree_get(item, "tolerationSeconds"))) {
        read_number(d, item, "tolerationSeconds", -1e12, 1e12, path, &seconds);
        json_object_set_new(out, "tolerationSeconds", json_integer((json_int_t)seconds));
    }
    return out;
}

static void read_toleration(
    struct draft *d, const struct tree *item, const struct path *path, struct pod_config *config)
{
    struct pod_term out = {.fixed = NULL};
    read_known(d, item, path, toleration_fields);
    pod_value_read(d, config, item, "tolerationJson", path, &out.json);
    if (out.json.kind == POD_VALUE_ABSENT) {
        json_t *fixed = read_fixed_toleration(d, item, path);
        const char *trouble = json_object_size(fixed) > 0 ? toleration_trouble(fixed) : NULL;
        if (trouble != NULL) {
            complain(d->complaints, tree_place(item), path, "%s", trouble);
        }
        out.fixed = pod_keep(d, fixed);
        if (json_object_size(fixed) == 0) {
            complain_mildly(d->complaints, tree_place(item), path, "is empty, ignored");
            return;
        }
    }
    config->tolerations[config->toleration_count++] = out;
}

void pod_placement_read(
    struct draft *d, const struct tree *map, const struct path *path, struct pod_config *config)
{
    read_selector(d, map, path, config);
    const struct tree *list = pod_list(d, map, "tolerations", path);
    struct path here = {.up = path, .key = "tolerations"};
    config->tolerations =
        pool_calloc(d->pool, list != NULL ? list->count : 0, sizeof *config->tolerations);
    for (size_t i = 0; list != NULL && i < list->count; i++) {
        struct path inner = {.up = &here, .index = i};
        const struct tree *item = pod_item(d, list, &inner);
        if (item != NULL) {
            read_toleration(d, item, &inner, config);
        }
    }
}

/* ---- resolving ---- */

static int resolve_selector(const struct pod_config *config, struct pod_resolving *r)
{
    const struct pod_term *selector = &config->node_selector;
    if (selector->json.kind == POD_VALUE_ABSENT) {
        if (selector->fixed != NULL) {
            json_object_set(r->parts, "nodeSelector", (json_t *)selector->fixed);
        }
        return 0;
    }
    const char *where = selector->json.where;
    json_t *value CLEANUP(json_decrefp) = NULL;
    if (pod_value_resolve(&selector->json, r, &value) != 0) {
        return -1;
    }
    if (value == NULL) {
        return 0;
    }
    json_t *labels CLEANUP(json_decrefp) = pod_shape_open(value, where, r->err);
    if (labels == NULL) {
        return -1;
    }
    if (!json_is_object(labels)) {
        return err_set(r->err, ERR_INVALID, "%s: expected an object of labels", where);
    }
    if (check_labels(labels, where, r->err) != 0) {
        return -1;
    }
    if (json_object_size(labels) > 0) {
        json_object_set(r->parts, "nodeSelector", labels);
    }
    return 0;
}

static int add_toleration(const json_t *value, const char *where, struct pod_resolving *r)
{
    json_t *toleration = pod_shape_read(pod_shape_toleration, value, where, r->err);
    if (toleration == NULL) {
        return -1;
    }
    const char *trouble = json_object_size(toleration) > 0 ? toleration_trouble(toleration) : NULL;
    if (trouble != NULL) {
        json_decref(toleration);
        return err_set(r->err, ERR_INVALID, "%s: %s", where, trouble);
    }
    if (json_object_size(toleration) == 0) {
        json_decref(toleration);
        return 0;
    }
    pod_parts_add(r, "tolerations", toleration);
    return 0;
}

/* One toleration or a list of them. */
static int resolve_toleration(const struct pod_value *from, struct pod_resolving *r)
{
    json_t *value CLEANUP(json_decrefp) = NULL;
    if (pod_value_resolve(from, r, &value) != 0) {
        return -1;
    }
    if (value == NULL) {
        return 0;
    }
    json_t *opened CLEANUP(json_decrefp) = pod_shape_open(value, from->where, r->err);
    if (opened == NULL) {
        return -1;
    }
    if (!json_is_array(opened)) {
        return add_toleration(opened, from->where, r);
    }
    size_t i;
    const json_t *one;
    json_array_foreach(opened, i, one)
    {
        char *where CLEANUP(cleanup_free) = xasprintf("%s[%zu]", from->where, i);
        if (add_toleration(one, where, r) != 0) {
            return -1;
        }
    }
    return 0;
}

int pod_placement_resolve(const struct pod_config *config, struct pod_resolving *r)
{
    if (resolve_selector(config, r) != 0) {
        return -1;
    }
    for (size_t i = 0; i < config->toleration_count; i++) {
        const struct pod_term *term = &config->tolerations[i];
        if (term->fixed != NULL) {
            pod_parts_add(r, "tolerations", json_incref((json_t *)term->fixed));
        } else if (resolve_toleration(&term->json, r) != 0) {
            return -1;
        }
    }
    return 0;
}
