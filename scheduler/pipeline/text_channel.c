/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Channels within texts. An f-string holds a channel as
 * {{channel:task=make;name=Output;type=String;}}. The SDK turns it into a reference to an input,
 * and passes that input, in arguments whose channels have a simple type; in those of a List[...] or
 * Dict[...], in conditions, environment variables, cache keys and an importer's URI it leaves the
 * text as it is. What was meant is plain, so it is done here. A channel that nobody has, such as an
 * artifact, stays.
 */
#include "pipeline/draft.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/map.h"
#include "base/pool.h"
#include "base/util.h"
#include "pipeline/placeholder.h"
#include "pipeline/pod_config.h"

#include <string.h>

#define IN_TEXT_BEFORE "{{$.inputs.parameters['"
#define IN_TEXT_AFTER "']}}"
#define IN_CONDITION_BEFORE "' + string(inputs.parameter_values['"
#define IN_CONDITION_AFTER "']) + '"

/* The task whose texts are looked at. */
struct reader {
    struct draft *d;
    struct draft_component *in;
    struct draft_task *task; /* NULL: whoever it is has been given the channels already */
    bool lacks;              /* a channel */
};

static bool holds_channel(const char *text)
{
    return text != NULL && strstr(text, CHANNEL_START) != NULL;
}

/* The input that stands for it; NULL: the task cannot have it. */
static const char *input_for(struct reader *r, const struct channel *channel)
{
    const char *dash = channel->task[0] != '\0' ? "-" : "";
    const char *input =
        pool_printf(r->d->pool, "pipelinechannel--%s%s%s", channel->task, dash, channel->name);
    bool is_had = strpbrk(input, "'\\\n") == NULL &&
                  (r->task == NULL || channel_reaches(r->d, r->in, r->task, input));
    r->lacks = r->lacks || !is_had;
    return is_had ? input : NULL;
}

/* The text with each channel written as the input's name between the two others. */
static const char *rewrite(
    struct reader *r, const char *text, const char *before, const char *after)
{
    const char *end = text + strlen(text);
    struct buf out;
    buf_init(&out, SIZE_MAX);
    for (const char *at; (at = strstr(text, CHANNEL_START)) != NULL;) {
        struct channel channel;
        size_t used = channel_parse(at, end, &channel);
        const char *input = used > 0 ? input_for(r, &channel) : NULL;
        buf_add(&out, text, (size_t)(at - text));
        if (input != NULL) {
            buf_addf(&out, "%s%s%s", before, input, after);
        } else {
            used = strlen(CHANNEL_START);
            buf_add(&out, at, used);
        }
        text = at + used;
    }
    buf_adds(&out, text);
    const char *result = pool_strndup(r->d->pool, out.data, out.len);
    buf_done(&out);
    return result;
}

static const char *rewrite_text(struct reader *r, const char *text)
{
    return holds_channel(text) ? rewrite(r, text, IN_TEXT_BEFORE, IN_TEXT_AFTER) : text;
}

/* A copy, of the parts that change. */
static struct tree *rewrite_tree(struct reader *r, struct tree *node)
{
    if (node == NULL || (node->kind == TREE_SCALAR && !holds_channel(node->text))) {
        return node;
    }
    struct tree *copy = pool_alloc(r->d->pool, sizeof *copy);
    *copy = *node;
    if (node->kind == TREE_SCALAR) {
        copy->text = rewrite_text(r, node->text);
        copy->count = strlen(copy->text);
        copy->is_plain = false;
    } else if (node->kind == TREE_LIST) {
        copy->items = pool_calloc(r->d->pool, node->count, sizeof(struct tree *));
        for (size_t i = 0; i < node->count; i++) {
            copy->items[i] = rewrite_tree(r, node->items[i]);
        }
    } else {
        copy->pairs = pool_calloc(r->d->pool, node->count, sizeof *copy->pairs);
        for (size_t i = 0; i < node->count; i++) {
            copy->pairs[i] = node->pairs[i];
            copy->pairs[i].value = rewrite_tree(r, node->pairs[i].value);
        }
    }
    return copy;
}

static bool tree_holds_channel(const struct tree *node)
{
    if (node == NULL || node->kind == TREE_SCALAR) {
        return node != NULL && holds_channel(node->text);
    }
    for (size_t i = 0; i < node->count; i++) {
        if (tree_holds_channel(node->kind == TREE_LIST ? node->items[i] : node->pairs[i].value)) {
            return true;
        }
    }
    return false;
}

/* 'a{{channel}}' becomes 'a' + string(input) + ''. */
static void rewrite_condition(struct reader *r)
{
    struct task_def *t = &r->task->def;
    if (t->when == NULL || !holds_channel(t->condition)) {
        return;
    }
    const char *text = rewrite(r, t->condition, IN_CONDITION_BEFORE, IN_CONDITION_AFTER);
    struct err err = ERR_INIT;
    const struct expression *when = condition_compile(r->d->pool, text, &err);
    if (when != NULL) {
        t->condition = text;
        t->when = when;
    }
}

static void rewrite_task(struct draft *d, struct draft_component *c, struct draft_task *t)
{
    struct reader r = {.d = d, .in = c, .task = t};
    for (size_t i = 0; i < t->param_count; i++) {
        if (tree_holds_channel(t->params[i].constant)) {
            t->params[i].constant = rewrite_tree(&r, t->params[i].constant);
        }
    }
    rewrite_condition(&r);
    t->def.cache_key = rewrite_text(&r, t->def.cache_key);
}

static void rewrite_executor(struct reader *r, struct draft_executor *e)
{
    for (size_t i = 0; i < e->container.env_count; i++) {
        e->container.env[i].value = rewrite_text(r, e->container.env[i].value);
    }
    e->importer.uri = rewrite_text(r, e->importer.uri);
}

/* What the pod's settings refer to is looked up in the DAG that the task is in. */
static void reach_pod(struct draft *d, struct draft_component *c, const struct draft_executor *e)
{
    const struct pod_config *pod = e->container.pod;
    for (size_t i = 0; pod != NULL && i < pod->reference_count; i++) {
        const struct scope_ref *ref = &pod->references[i].ref;
        bool is_there = ref->kind == SOURCE_TASK_OUTPUT
                            ? map_has(c->task_index, ref->producer)
                            : component_param_in(&c->def, ref->source) != NULL;
        if (pod->references[i].is_text && !is_there) {
            channel_provided(d, c, pod_reference_passed(d->pool, ref));
        }
    }
}

/* The task is given what the texts of its executor hold, which is rewritten after all its users. */
static void reach_executor(struct draft *d, struct draft_component *c, struct draft_task *t)
{
    const char *label = t->component != NULL ? t->component->executor : NULL;
    struct draft_executor *e = label != NULL ? map_get(d->executors, label) : NULL;
    if (e == NULL) {
        return;
    }
    struct reader r = {.d = d, .in = c, .task = t};
    for (size_t i = 0; i < e->container.env_count; i++) {
        rewrite_text(&r, e->container.env[i].value);
    }
    rewrite_text(&r, e->importer.uri);
    reach_pod(d, c, e);
    e->keeps_channels = e->keeps_channels || r.lacks;
}

void mend_texts(struct draft *d)
{
    for (size_t i = 0; i < d->count; i++) {
        struct draft_component *c = d->list[i];
        for (size_t k = 0; k < c->task_count; k++) {
            rewrite_task(d, c, &c->tasks[k]);
            reach_executor(d, c, &c->tasks[k]);
        }
    }
    struct reader anyone = {.d = d};
    for (size_t i = 0; i < d->executor_count; i++) {
        if (!d->executor_list[i].keeps_channels) {
            rewrite_executor(&anyone, &d->executor_list[i]);
        }
    }
}
