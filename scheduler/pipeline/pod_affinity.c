/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nodeAffinity and podAffinity. A term with a weight is a preference, one without is demanded;
 * demanded terms of nodes are alternatives, those of pods are all demanded.
 */
#include "pipeline/pod_config.h"

#include "base/err.h"
#include "base/json.h"
#include "base/pool.h"
#include "base/util.h"
#include "pipeline/kubernetes_names.h"

#include <string.h>

#define REQUIRED "requiredDuringSchedulingIgnoredDuringExecution"
#define PREFERRED "preferredDuringSchedulingIgnoredDuringExecution"

static const char *const requirement_fields[] = {"key", "operator", "values", NULL};
static const char *const node_fields[] = {
    "matchExpressions", "matchFields", "weight", "nodeAffinityJson", NULL};
static const char *const pod_fields[] = {"matchPodExpressions", "matchPodLabels", "topologyKey",
    "namespaces", "matchNamespaceExpressions", "matchNamespaceLabels", "weight", "anti", NULL};

/* ---- requirements ---- */

/* What is wrong with it; NULL: nothing. */
static const char *requirement_trouble(const json_t *requirement, bool is_of_node)
{
    const char *op = jget_str(requirement, "operator", "");
    size_t values = json_array_size(json_object_get(requirement, "values"));
    if (jget_str(requirement, "key", "")[0] == '\0') {
        return "key is missing";
    }
    if (strcmp(op, "In") == 0 || strcmp(op, "NotIn") == 0) {
        return values == 0 ? "the operators In and NotIn need values" : NULL;
    }
    if (strcmp(op, "Exists") == 0 || strcmp(op, "DoesNotExist") == 0) {
        return values > 0 ? "the operators Exists and DoesNotExist take no values" : NULL;
    }
    if (is_of_node && (strcmp(op, "Gt") == 0 || strcmp(op, "Lt") == 0)) {
        return values != 1 ? "the operators Gt and Lt need one value" : NULL;
    }
    return is_of_node ? "operator is In, NotIn, Exists, DoesNotExist, Gt or Lt"
                      : "operator is In, NotIn, Exists or DoesNotExist";
}

/* NULL when there are none. */
static json_t *read_requirements(struct draft *d, const struct tree *map, const char *name,
    bool is_of_node, const struct path *up)
{
    const struct tree *list = pod_list(d, map, name, up);
    struct path here = {.up = up, .key = name};
    if (list == NULL || list->count == 0) {
        return NULL;
    }
    json_t *out = json_array();
    for (size_t i = 0; i < list->count; i++) {
        struct path inner = {.up = &here, .index = i};
        const struct tree *item = pod_item(d, list, &inner);
        if (item == NULL) {
            continue;
        }
        json_t *requirement = json_object();
        read_known(d, item, &inner, requirement_fields);
        pod_copy_text(d, item, "key", &inner, requirement);
        pod_copy_text(d, item, "operator", &inner, requirement);
        json_t *values = pod_text_list(d, item, "values", &inner);
        if (values != NULL) {
            json_object_set_new(requirement, "values", values);
        }
        const char *trouble = requirement_trouble(requirement, is_of_node);
        if (trouble != NULL) {
            complain(d->complaints, tree_place(item), &inner, "%s", trouble);
        }
        json_array_append_new(out, requirement);
    }
    return out;
}

static void set_if(json_t *obj, const char *name, json_t *value)
{
    if (value != NULL) {
        json_object_set_new(obj, name, value);
    }
}

/* 0: there is none. */
static int read_weight(struct draft *d, const struct tree *item, const struct path *path)
{
    double weight = 0;
    read_number(d, item, "weight", 1, 100, path, &weight);
    return (int)weight;
}

/* ---- nodes ---- */

static void read_node_term(
    struct draft *d, const struct tree *item, const struct path *path, struct pod_config *config)
{
    struct pod_term out = {.weight = read_weight(d, item, path)};
    read_known(d, item, path, node_fields);
    pod_value_read(d, config, item, "nodeAffinityJson", path, &out.json);
    json_t *term = json_object();
    set_if(term, "matchExpressions", read_requirements(d, item, "matchExpressions", true, path));
    set_if(term, "matchFields", read_requirements(d, item, "matchFields", true, path));
    out.fixed = pod_keep(d, term);
    if (out.json.kind != POD_VALUE_ABSENT) {
        out.fixed = NULL;
    } else if (json_object_size(term) == 0) {
        complain_mildly(d->complaints, tree_place(item), path, "is empty, ignored");
        return;
    }
    config->node_affinity[config->node_affinity_count++] = out;
}

/* ---- pods ---- */

static json_t *read_label_selector(struct draft *d, const struct tree *item,
    const char *expressions, const char *labels, const struct path *path)
{
    json_t *out = json_object();
    set_if(out, "matchExpressions", read_requirements(d, item, expressions, false, path));
    set_if(out, "matchLabels", pod_text_map(d, item, labels, path));
    if (json_object_size(out) == 0) {
        json_decref(out);
        return NULL;
    }
    return out;
}

static void add_to(json_t *obj, const char *name, json_t *item)
{
    json_t *list = json_object_get(obj, name);
    if (list == NULL) {
        list = json_array();
        json_object_set_new(obj, name, list);
    }
    json_array_append_new(list, item);
}

static void read_pod_term(
    struct draft *d, const struct tree *item, const struct path *path, json_t *affinity)
{
    bool has_anti;
    read_known(d, item, path, pod_fields);
    int weight = read_weight(d, item, path);
    const char *kind =
        pod_flag(d, item, "anti", path, &has_anti) ? "podAntiAffinity" : "podAffinity";
    json_t *term = json_object();
    set_if(term, "labelSelector",
        read_label_selector(d, item, "matchPodExpressions", "matchPodLabels", path));
    set_if(term, "namespaceSelector",
        read_label_selector(d, item, "matchNamespaceExpressions", "matchNamespaceLabels", path));
    set_if(term, "namespaces", pod_text_list(d, item, "namespaces", path));
    const char *topology = read_need_text(d, item, "topologyKey", path,
        "it is the label of nodes that says what is near, such as kubernetes.io/hostname");
    if (topology != NULL) {
        json_object_set_new(term, "topologyKey", json_string(topology));
    }
    json_t *side = json_object_get(affinity, kind);
    if (side == NULL) {
        side = json_object();
        json_object_set_new(affinity, kind, side);
    }
    if (weight > 0) {
        add_to(side, PREFERRED, json_pack("{s:i,s:o}", "weight", weight, "podAffinityTerm", term));
    } else {
        add_to(side, REQUIRED, term);
    }
}

void pod_affinity_read(
    struct draft *d, const struct tree *map, const struct path *path, struct pod_config *config)
{
    const struct tree *list = pod_list(d, map, "nodeAffinity", path);
    struct path here = {.up = path, .key = "nodeAffinity"};
    config->node_affinity =
        pool_calloc(d->pool, list != NULL ? list->count : 0, sizeof *config->node_affinity);
    for (size_t i = 0; list != NULL && i < list->count; i++) {
        struct path inner = {.up = &here, .index = i};
        const struct tree *item = pod_item(d, list, &inner);
        if (item != NULL) {
            read_node_term(d, item, &inner, config);
        }
    }
    list = pod_list(d, map, "podAffinity", path);
    here.key = "podAffinity";
    json_t *affinity = json_object();
    for (size_t i = 0; list != NULL && i < list->count; i++) {
        struct path inner = {.up = &here, .index = i};
        const struct tree *item = pod_item(d, list, &inner);
        if (item != NULL) {
            read_pod_term(d, item, &inner, affinity);
        }
    }
    pod_keep(d, affinity);
    config->pod_affinity = json_object_size(affinity) > 0 ? affinity : NULL;
}

/* ---- resolving ---- */

/* The terms of a whole NodeAffinity join those of the others. */
static int join_node_affinity(
    const struct pod_value *from, struct pod_resolving *r, json_t *required, json_t *preferred)
{
    json_t *value CLEANUP(json_decrefp) = NULL;
    if (pod_value_resolve(from, r, &value) != 0) {
        return -1;
    }
    if (value == NULL) {
        return 0;
    }
    json_t *opened CLEANUP(json_decrefp) = pod_shape_open(value, from->where, r->err);
    json_t *affinity CLEANUP(json_decrefp) =
        opened != NULL ? pod_shape_read(pod_shape_node_affinity, opened, from->where, r->err)
                       : NULL;
    if (affinity == NULL) {
        return -1;
    }
    json_array_extend(
        required, json_object_get(json_object_get(affinity, REQUIRED), "nodeSelectorTerms"));
    json_array_extend(preferred, json_object_get(affinity, PREFERRED));
    return 0;
}

static int resolve_node_affinity(
    const struct pod_config *config, struct pod_resolving *r, json_t *affinity)
{
    json_t *required CLEANUP(json_decrefp) = json_array();
    json_t *preferred CLEANUP(json_decrefp) = json_array();
    for (size_t i = 0; i < config->node_affinity_count; i++) {
        const struct pod_term *term = &config->node_affinity[i];
        if (term->fixed == NULL) {
            if (join_node_affinity(&term->json, r, required, preferred) != 0) {
                return -1;
            }
        } else if (term->weight > 0) {
            json_array_append_new(preferred,
                json_pack("{s:i,s:O}", "weight", term->weight, "preference", term->fixed));
        } else {
            json_array_append(required, (json_t *)term->fixed);
        }
    }
    json_t *node = json_object();
    if (json_array_size(required) > 0) {
        json_object_set_new(node, REQUIRED, json_pack("{s:O}", "nodeSelectorTerms", required));
    }
    if (json_array_size(preferred) > 0) {
        json_object_set(node, PREFERRED, preferred);
    }
    if (json_object_size(node) > 0) {
        json_object_set(affinity, "nodeAffinity", node);
    }
    json_decref(node);
    return 0;
}

int pod_affinity_resolve(const struct pod_config *config, struct pod_resolving *r)
{
    json_t *affinity CLEANUP(json_decrefp) =
        config->pod_affinity != NULL ? json_copy((json_t *)config->pod_affinity) : json_object();
    if (resolve_node_affinity(config, r, affinity) != 0) {
        return -1;
    }
    if (json_object_size(affinity) > 0) {
        json_object_set(r->parts, "affinity", affinity);
    }
    return 0;
}
