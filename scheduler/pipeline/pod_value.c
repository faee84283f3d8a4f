/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Settings of a pod that may come from a parameter: an InputParameterSpec in the scope of the DAG
 * that the task is in. Constants may hold references too: the SDK leaves f-strings as it finds
 * them, {{channel:task=make;name=Output;type=String;}}.
 */
#include "pipeline/pod_config.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/pool.h"
#include "base/util.h"
#include "pipeline/kubernetes_names.h"
#include "pipeline/placeholder.h"
#include "pipeline/value.h"

#include <stdlib.h>
#include <string.h>

#define PASSED_PREFIX "pipelinechannel--"
#define MAX_WHERE 500

static const char *const value_fields[] = {"taskOutputParameter", "runtimeValue",
    "componentInputParameter", "parameterExpressionSelector", NULL};
static const char *const output_fields[] = {"producerTask", "outputParameterKey", NULL};
static const char *const runtime_fields[] = {"constant", "runtimeParameter", "constantValue", NULL};

/* ---- references within texts ---- */

static struct scope_ref channel_ref(const struct channel *channel)
{
    if (channel->task[0] == '\0') {
        return (struct scope_ref){.kind = SOURCE_COMPONENT_INPUT, .source = channel->name};
    }
    return (struct scope_ref){
        .kind = SOURCE_TASK_OUTPUT, .producer = channel->task, .key = channel->name};
}

/* What to do with a reference in a text; false: stop. */
typedef bool text_ref_fn(void *owner, const struct scope_ref *ref, struct buf *out);

struct text_scan {
    text_ref_fn *fn;
    void *owner;
    const struct run_context *run; /* NULL: run-level placeholders stay */
};

static int scan_placeholder(void *owner, const struct ref *ref, struct buf *out)
{
    struct text_scan *scan = owner;
    if (ref->kind == REF_RUN) {
        return scan->run != NULL ? run_fact_write(scan->run, ref->fact, out) : 0;
    }
    if (ref->kind != REF_IN_PARAM) {
        return 0;
    }
    struct scope_ref found = {.kind = SOURCE_COMPONENT_INPUT, .source = ref->name};
    return scan->fn(scan->owner, &found, out) ? 1 : -1;
}

/* Copies the text with its references replaced, in one scan. */
static bool scan_text(struct text_scan *scan, const char *text, size_t len, struct buf *out)
{
    const char *end = text + len;
    while (text < end) {
        const char *at = memmem(text, (size_t)(end - text), CHANNEL_START, strlen(CHANNEL_START));
        const char *stop = at != NULL ? at : end;
        if (refs_replace(text, (size_t)(stop - text), scan_placeholder, scan, out, NULL) < 0) {
            return false;
        }
        if (at == NULL) {
            return true;
        }
        struct channel channel;
        size_t used = channel_parse(at, end, &channel);
        struct scope_ref ref = channel_ref(&channel);
        if (used == 0) {
            used = strlen(CHANNEL_START);
            buf_add(out, at, used);
        } else if (!scan->fn(scan->owner, &ref, out)) {
            return false;
        }
        text = at + used;
    }
    return true;
}

/* ---- reading ---- */

const char *pod_where(struct draft *d, const struct path *path, struct place place)
{
    const struct path *chain[16];
    size_t depth = 0;
    for (; path != NULL && path->up != NULL && depth < ARRAY_LEN(chain); path = path->up) {
        chain[depth++] = path;
    }
    /* platforms.kubernetes.deploymentSpec.executors.<label> come first. */
    struct buf text;
    buf_init(&text, MAX_WHERE);
    for (size_t i = depth > 5 ? depth - 5 : depth; i-- > 0;) {
        if (chain[i]->key != NULL) {
            buf_addf(&text, "%s%s", text.len > 0 ? "." : "", chain[i]->key);
        } else {
            buf_addf(&text, "[%zu]", chain[i]->index);
        }
    }
    if (place.line > 0) {
        buf_addf(&text, " (line %u)", place.line);
    }
    const char *out = pool_strdup(d->pool, buf_str(&text));
    buf_done(&text);
    return out;
}

static struct scope_ref keep_ref(struct draft *d, const struct scope_ref *ref)
{
    return (struct scope_ref){
        .kind = ref->kind,
        .source = pool_strdup(d->pool, ref->source),
        .producer = pool_strdup(d->pool, ref->producer),
        .key = pool_strdup(d->pool, ref->key),
    };
}

static void add_reference(struct draft *d, struct pod_config *config, const struct scope_ref *ref,
    struct place place, const char *where, bool is_text)
{
    if (config->reference_count == config->reference_cap) {
        size_t cap = config->reference_cap == 0 ? 8 : config->reference_cap * 2;
        struct pod_reference *list = pool_calloc(d->pool, cap, sizeof *list);
        if (config->reference_count > 0) {
            memcpy(list, config->references, config->reference_count * sizeof *list);
        }
        config->references = list;
        config->reference_cap = cap;
    }
    config->references[config->reference_count++] = (struct pod_reference){
        .ref = keep_ref(d, ref), .place = place, .where = where, .is_text = is_text};
}

struct text_reading {
    struct draft *d;
    struct pod_config *config;
    struct place place;
    const char *where;
};

static bool note_text_ref(void *owner, const struct scope_ref *ref, struct buf *out)
{
    struct text_reading *reading = owner;
    (void)out;
    add_reference(reading->d, reading->config, ref, reading->place, reading->where, true);
    return true;
}

/* value_map_strings() only to walk: nothing changes. */
static bool note_text(void *owner, const char *text, size_t len, struct buf *out)
{
    struct text_scan scan = {.fn = note_text_ref, .owner = owner};
    struct buf unused;
    buf_init(&unused, MAX_VALUE_BYTES);
    scan_text(&scan, text, len, &unused);
    buf_done(&unused);
    (void)out;
    return false;
}

static void set_constant(struct draft *d, struct pod_config *config, const json_t *constant,
    const struct tree *node, const struct path *path, struct pod_value *out)
{
    out->kind = POD_VALUE_CONSTANT;
    out->constant = constant;
    out->where = pod_where(d, path, tree_place(node));
    struct text_reading reading = {
        .d = d, .config = config, .place = tree_place(node), .where = out->where};
    json_decref(value_map_strings(constant, note_text, &reading));
}

static void set_reference(struct draft *d, struct pod_config *config, const struct scope_ref *ref,
    const struct tree *node, const struct path *path, struct pod_value *out)
{
    out->kind = POD_VALUE_REFERENCE;
    out->ref = keep_ref(d, ref);
    out->where = pod_where(d, path, tree_place(node));
    add_reference(d, config, ref, tree_place(node), out->where, false);
}

static void read_output_ref(struct draft *d, struct pod_config *config, const struct tree *node,
    const struct path *up, struct pod_value *out)
{
    struct path here = {.up = up, .key = "taskOutputParameter"};
    read_known(d, node, &here, output_fields);
    struct scope_ref ref = {
        .kind = SOURCE_TASK_OUTPUT,
        .producer = read_need_text(
            d, node, "producerTask", &here, "it names the task whose output is meant"),
        .key = read_need_text(
            d, node, "outputParameterKey", &here, "it names the output that is meant"),
    };
    if (ref.producer != NULL && ref.key != NULL) {
        set_reference(d, config, &ref, node, &here, out);
    }
}

static void read_input_ref(struct draft *d, struct pod_config *config, const struct tree *map,
    const char *name, const struct path *up, struct pod_value *out)
{
    struct path here = {.up = up, .key = name};
    const char *source =
        read_need_text(d, map, name, up, "it names an input of the pipeline that the task is in");
    if (source != NULL) {
        struct scope_ref ref = {.kind = SOURCE_COMPONENT_INPUT, .source = source};
        set_reference(d, config, &ref, tree_get(map, name), &here, out);
    }
}

static void read_runtime(struct draft *d, struct pod_config *config, const struct tree *node,
    const struct path *up, struct pod_value *out)
{
    struct path here = {.up = up, .key = "runtimeValue"};
    struct tree *constant = tree_get(node, "constant");
    read_known(d, node, &here, runtime_fields);
    if (tree_get(node, "runtimeParameter") != NULL) {
        read_input_ref(d, config, node, "runtimeParameter", &here, out);
    } else if (tree_get(node, "constantValue") != NULL) {
        struct path old = {.up = &here, .key = "constantValue"};
        complain(d->complaints, tree_place(node), &old,
            "is of an old version of the format; use 'constant'");
    } else {
        struct path inner = {.up = &here, .key = "constant"};
        const json_t *value =
            constant != NULL ? read_value(d, constant, VALUE_STRUCT, &inner) : NULL;
        set_constant(d, config, value, node, &inner, out);
    }
}

void pod_value_read_source(struct draft *d, struct pod_config *config, const struct tree *node,
    const struct path *path, struct pod_value *out)
{
    const struct tree *output = read_map(d, node, "taskOutputParameter", path);
    const struct tree *runtime = read_map(d, node, "runtimeValue", path);
    const struct tree *input = tree_get(node, "componentInputParameter");
    if ((output != NULL) + (runtime != NULL) + (input != NULL) != 1) {
        complain(d->complaints, tree_place(node), path,
            "expected exactly one of componentInputParameter, taskOutputParameter and "
            "runtimeValue");
    } else if (output != NULL) {
        read_output_ref(d, config, output, path, out);
    } else if (input != NULL) {
        read_input_ref(d, config, node, "componentInputParameter", path, out);
    } else {
        read_runtime(d, config, runtime, path, out);
    }
}

void pod_value_read(struct draft *d, struct pod_config *config, const struct tree *map,
    const char *name, const struct path *up, struct pod_value *out)
{
    const struct tree *node = read_map(d, map, name, up);
    struct path here = {.up = up, .key = name};
    *out = (struct pod_value){.where = pod_where(d, &here, tree_place(node))};
    if (node == NULL) {
        return;
    }
    read_known(d, node, &here, value_fields);
    out->selector = read_text(d, node, "parameterExpressionSelector", &here);
    const char *trouble = out->selector != NULL ? selector_trouble(out->selector) : NULL;
    if (trouble != NULL) {
        struct path selector = {.up = &here, .key = "parameterExpressionSelector"};
        complain(d->complaints, tree_place(node), &selector, "%s", trouble);
    }
    pod_value_read_source(d, config, node, &here, out);
}

bool pod_value_is_fixed(const struct pod_value *value)
{
    if (value->kind != POD_VALUE_CONSTANT || value->selector != NULL) {
        return false;
    }
    if (json_is_string(value->constant)) {
        return strstr(json_string_value(value->constant), "{{") == NULL;
    }
    return !json_is_object(value->constant) && !json_is_array(value->constant);
}

static void check_name(struct draft *d, const struct pod_value *value, const char *what,
    struct place place, const struct path *path)
{
    if (!pod_value_is_fixed(value) || value->constant == NULL) {
        return;
    }
    const char *text = json_string_value(value->constant);
    if (text == NULL || !dns_subdomain_is_valid(text)) {
        complain(d->complaints, place, path,
            "%s%.200s%s cannot be the name of a %s: a-z, 0-9, '-' and '.', at most %d",
            text != NULL ? "'" : "", text != NULL ? text : "this", text != NULL ? "'" : "", what,
            DNS_SUBDOMAIN_MAX);
    }
}

void pod_value_read_name(struct draft *d, struct pod_config *config, const struct tree *map,
    const char *name, const char *old_name, const char *what, const struct path *up,
    struct pod_value *out)
{
    const struct tree *node = tree_get(map, name);
    struct path here = {.up = up, .key = name};
    if (!tree_is_null(node)) {
        pod_value_read(d, config, map, name, up, out);
        check_name(d, out, what, tree_place(node), &here);
        return;
    }
    *out = (struct pod_value){.where = ""};
    struct path old = {.up = up, .key = old_name};
    const char *text = read_text(d, map, old_name, up);
    if (text == NULL || text[0] == '\0') {
        complain(d->complaints, tree_place(map), &here,
            "is missing; it gives the name of the %s (so does the older %s)", what, old_name);
        return;
    }
    set_constant(d, config, pod_keep(d, json_string(text)), tree_get(map, old_name), &old, out);
    check_name(d, out, what, tree_place(tree_get(map, old_name)), &old);
}

const char *pod_reference_passed(struct pool *pool, const struct scope_ref *ref)
{
    if (ref->kind == SOURCE_TASK_OUTPUT) {
        return pool_printf(pool, PASSED_PREFIX "%s-%s", ref->producer, ref->key);
    }
    return str_starts(ref->source, PASSED_PREFIX)
               ? pool_strdup(pool, ref->source + strlen(PASSED_PREFIX))
               : pool_printf(pool, PASSED_PREFIX "%s", ref->source);
}

/* ---- resolving ---- */

static const json_t *ask(struct pod_resolving *r, const struct scope_ref *ref)
{
    const json_t *value = r->scope != NULL ? r->scope(r->owner, ref) : NULL;
    return json_is_null(value) ? NULL : value;
}

/* NULL: it has no value. */
static const json_t *ask_by_both_names(struct pod_resolving *r, const struct scope_ref *ref)
{
    const json_t *value = ask(r, ref);
    if (value != NULL) {
        return value;
    }
    struct pool *pool = pool_new();
    struct scope_ref passed = {
        .kind = SOURCE_COMPONENT_INPUT, .source = pod_reference_passed(pool, ref)};
    value = ask(r, &passed);
    pool_free(pool);
    return value;
}

static bool write_text_ref(void *owner, const struct scope_ref *ref, struct buf *out)
{
    const json_t *value = ask_by_both_names(owner, ref);
    if (value != NULL) {
        value_text(value, out);
    }
    return true;
}

static bool resolve_text(void *owner, const char *text, size_t len, struct buf *out)
{
    struct pod_resolving *r = owner;
    if (memmem(text, len, "{{", 2) == NULL) {
        return false;
    }
    struct text_scan scan = {.fn = write_text_ref, .owner = r, .run = r->run};
    return scan_text(&scan, text, len, out);
}

int pod_value_resolve(const struct pod_value *value, struct pod_resolving *r, json_t **out)
{
    *out = NULL;
    if (value->kind == POD_VALUE_ABSENT) {
        return 0;
    }
    json_t *found CLEANUP(json_decrefp) = NULL;
    if (value->kind == POD_VALUE_REFERENCE) {
        found = json_incref((json_t *)ask_by_both_names(r, &value->ref));
    } else if (value->constant != NULL) {
        found = value_map_strings(value->constant, resolve_text, r);
    }
    if (found == NULL || value->selector == NULL) {
        *out = json_is_null(found) ? NULL : STEAL(found);
        return 0;
    }
    *out = selector_apply(value->selector, found, value->where, r->err);
    if (json_is_null(*out)) {
        json_decref(*out);
        *out = NULL;
        return 0;
    }
    return *out != NULL ? 0 : -1;
}

int pod_value_resolve_name(const struct pod_value *value, struct pod_resolving *r, char **out)
{
    *out = NULL;
    json_t *found CLEANUP(json_decrefp) = NULL;
    if (pod_value_resolve(value, r, &found) != 0) {
        return -1;
    }
    if (found == NULL) {
        return 0;
    }
    const char *text = json_string_value(found);
    if (text == NULL) {
        return err_set(r->err, ERR_INVALID, "%s: expected a name, a text", value->where);
    }
    if (!dns_subdomain_is_valid(text)) {
        return err_set(r->err, ERR_INVALID,
            "%s: '%.200s' cannot be a name in Kubernetes: a-z, 0-9, '-' and '.', at most %d",
            value->where, text, DNS_SUBDOMAIN_MAX);
    }
    *out = xstrdup(text);
    return 0;
}

void pod_parts_add(struct pod_resolving *r, const char *name, json_t *item)
{
    json_t *list = json_object_get(r->parts, name);
    if (list == NULL) {
        list = json_array();
        json_object_set_new(r->parts, name, list);
    }
    json_array_append_new(list, item);
}
