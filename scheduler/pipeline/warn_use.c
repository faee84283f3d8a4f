/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parameters that nobody reads and outputs that nobody writes. A program that gets the whole
 * ExecutorInput ({{$}}) may read and write everything, so nothing is said of it.
 */
#include "pipeline/warn.h"

#include "base/map.h"
#include "base/util.h"
#include "pipeline/placeholder.h"
#include "pipeline/value.h"

#include <stdlib.h>
#include <string.h>

#define CHANNEL "pipelinechannel--"

/* Names that are mentioned somewhere, as map keys. */
struct mentions {
    struct map *names;
    bool all; /* {{$}} */
};

static char here_value;

static void mention(struct mentions *m, const char *name)
{
    map_put(m->names, name, &here_value);
}

/* Everything in quotes of either kind: it is a name in $.inputs.parameters['x'] and IfPresent. */
static void mention_text(struct mentions *m, const char *text)
{
    char name[REF_MAX_NAME];
    struct ref ref;
    const char *end = text + strlen(text);
    for (const char *p = text; *p != '\0' && !m->all; p++) {
        if (p[0] == '{' && p[1] == '{' && ref_parse(p, end, &ref) > 0) {
            m->all = ref.kind == REF_EXECUTOR_INPUT;
        }
        if (*p != '\'' && *p != '"') {
            continue;
        }
        size_t len = strcspn(p + 1, "'\"");
        if (p[1 + len] == *p && len > 0 && len < sizeof name) {
            memcpy(name, p + 1, len);
            name[len] = '\0';
            mention(m, name);
        }
    }
}

static bool mention_value(void *owner, const char *text, size_t len UNUSED, struct buf *out UNUSED)
{
    mention_text(owner, text);
    return false;
}

static void mention_json(struct mentions *m, const json_t *value)
{
    if (value != NULL) {
        json_decref(value_map_strings(value, mention_value, m));
    }
}

static void mention_container(struct mentions *m, const struct container *c)
{
    for (size_t i = 0; i < c->command_count; i++) {
        mention_text(m, c->command[i]);
    }
    for (size_t i = 0; i < c->arg_count; i++) {
        mention_text(m, c->args[i]);
    }
    for (size_t i = 0; i < c->env_count; i++) {
        mention_text(m, c->env[i].value);
    }
    mention_text(m, c->image);
    mention_json(m, c->resources);
    size_t i;
    json_t *file;
    json_array_foreach(c->file_outputs, i, file)
    {
        mention(m, json_string_value(json_object_get(file, "name")));
    }
}

/* Keys hold placeholders, too. */
static void mention_importer(struct mentions *m, const struct importer *importer)
{
    char *text = importer->metadata != NULL ? value_json(importer->metadata) : NULL;
    if (text != NULL) {
        mention_text(m, text);
        free(text);
    }
    if (importer->uri != NULL) {
        mention_text(m, importer->uri);
    }
    if (importer->uri_input != NULL) {
        mention(m, importer->uri_input);
    }
}

static bool is_mentioned(const struct mentions *m, const char *name)
{
    return m->all || map_has(m->names, name);
}

/* ---- leaves ---- */

static void warn_of_inputs(struct draft *d, const struct draft_component *c,
    const struct mentions *m, const struct path *path, const char *who)
{
    struct path defs = {.up = path, .key = "inputDefinitions"};
    struct path params = {.up = &defs, .key = "parameters"};
    const struct tree *nodes = tree_get(tree_get(c->node, "inputDefinitions"), "parameters");
    for (size_t i = 0; i < c->def.param_in_count; i++) {
        const char *name = c->def.params_in[i].name;
        if (!is_mentioned(m, name) && !str_starts(name, CHANNEL)) {
            struct path here = {.up = &params, .key = name};
            complain_mildly(d->complaints, tree_place(tree_get(nodes, name)), &here,
                "nobody reads this parameter: %s", who);
        }
    }
}

static void warn_of_outputs(struct draft *d, const struct draft_component *c,
    const struct mentions *m, const struct path *path)
{
    struct path defs = {.up = path, .key = "outputDefinitions"};
    struct path params = {.up = &defs, .key = "parameters"};
    struct path artifacts = {.up = &defs, .key = "artifacts"};
    const struct tree *node = tree_get(c->node, "outputDefinitions");
    for (size_t i = 0; i < c->def.param_out_count; i++) {
        const char *name = c->def.params_out[i].name;
        struct path here = {.up = &params, .key = name};
        if (!is_mentioned(m, name)) {
            complain_mildly(d->complaints, tree_place(tree_get(tree_get(node, "parameters"), name)),
                &here,
                "nobody writes this output: neither {{$.outputs.parameters['%s'].output_file}} nor "
                "{{$}} is in command or args, so the task will fail",
                name);
        }
    }
    for (size_t i = 0; i < c->def.artifact_out_count; i++) {
        const char *name = c->def.artifacts_out[i].name;
        struct path here = {.up = &artifacts, .key = name};
        if (!is_mentioned(m, name)) {
            complain_mildly(d->complaints, tree_place(tree_get(tree_get(node, "artifacts"), name)),
                &here,
                "nobody writes this output: neither {{$.outputs.artifacts['%s'].path}} nor {{$}} "
                "is "
                "in command or args",
                name);
        }
    }
}

static void warn_of_leaf(struct draft *d, const struct draft_component *c, const struct path *path)
{
    struct mentions m = {.names = map_new(NULL)};
    if (c->def.kind == COMPONENT_CONTAINER) {
        mention_container(&m, c->def.container);
        warn_of_inputs(d, c, &m, path, "it is in neither command, args, env, image nor resources");
        warn_of_outputs(d, c, &m, path);
    } else if (c->def.kind == COMPONENT_IMPORTER) {
        mention_importer(&m, c->def.importer);
        /* the SDK declares `uri` also when the address is a constant */
        mention(&m, "uri");
        warn_of_inputs(d, c, &m, path, "neither the URI nor the metadata refers to it");
    }
    map_free(m.names);
}

/* ---- DAGs ---- */

static void mention_bindings(struct mentions *m, const struct draft_binding *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (list[i].def.kind == SOURCE_COMPONENT_INPUT && list[i].def.source != NULL) {
            mention(m, list[i].def.source);
        }
    }
}

/* The platform document refers to inputs of DAGs by plain texts. */
static bool mention_whole(void *owner, const char *text, size_t len UNUSED, struct buf *out UNUSED)
{
    mention(owner, text);
    return false;
}

static void warn_of_missing_outputs(
    struct draft *d, const struct draft_component *c, const struct path *path)
{
    struct mentions given = {.names = map_new(NULL)};
    for (size_t i = 0; i < c->param_out_count; i++) {
        mention(&given, c->params_out[i].name);
    }
    for (size_t i = 0; i < c->artifact_out_count; i++) {
        mention(&given, c->artifacts_out[i].name);
    }
    struct path here = {.up = path, .key = "outputDefinitions"};
    struct place place = tree_place(tree_get(c->node, "outputDefinitions"));
    for (size_t i = 0; i < c->def.param_out_count; i++) {
        if (!is_mentioned(&given, c->def.params_out[i].name)) {
            complain_mildly(d->complaints, place, &here,
                "nobody writes the output '%s': dag.outputs.parameters does not have it",
                c->def.params_out[i].name);
        }
    }
    for (size_t i = 0; i < c->def.artifact_out_count; i++) {
        if (!is_mentioned(&given, c->def.artifacts_out[i].name)) {
            complain_mildly(d->complaints, place, &here,
                "nobody writes the output '%s': dag.outputs.artifacts does not have it",
                c->def.artifacts_out[i].name);
        }
    }
    map_free(given.names);
}

static void warn_of_dag(struct draft *d, const struct draft_component *c,
    const struct mentions *platform, const struct path *path)
{
    struct mentions m = {.names = map_new(NULL)};
    for (size_t i = 0; i < c->task_count; i++) {
        mention_bindings(&m, c->tasks[i].params, c->tasks[i].param_count);
    }
    for (size_t i = 0; i < c->def.param_in_count; i++) {
        if (is_mentioned(platform, c->def.params_in[i].name)) {
            mention(&m, c->def.params_in[i].name);
        }
    }
    warn_of_inputs(d, c, &m, path, "no task is passed it");
    warn_of_missing_outputs(d, c, path);
    map_free(m.names);
}

/* What loops over an input or takes an item from it needs it without reading it inside. */
static void mention_loops(const struct draft *d, struct mentions *m)
{
    for (size_t i = 0; i < d->count; i++) {
        for (size_t k = 0; k < d->list[i]->task_count; k++) {
            const struct iterator *it = d->list[i]->tasks[k].iterator;
            if (it != NULL && it->items != NULL) {
                mention(m, it->items);
            }
            if (it != NULL && it->item_input != NULL) {
                mention(m, it->item_input);
            }
        }
    }
}

void warn_of_use(struct draft *d)
{
    struct mentions elsewhere = {.names = map_new(NULL)};
    mention_loops(d, &elsewhere);
    if (d->platform != NULL) {
        json_t *document = tree_json(d->platform);
        json_decref(value_map_strings(document, mention_whole, &elsewhere));
        json_decref(document);
    }
    for (size_t i = 0; i < d->count; i++) {
        const struct draft_component *c = d->list[i];
        struct path path[3];
        component_path(c, path);
        if (c->def.kind == COMPONENT_DAG) {
            warn_of_dag(d, c, &elsewhere, &path[2]);
        } else {
            warn_of_leaf(d, c, &path[2]);
        }
    }
    map_free(elsewhere.names);
}
