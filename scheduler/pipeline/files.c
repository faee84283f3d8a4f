/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values that pass as files: parameters whose path is asked for ({{$.inputs.artifacts['x'].path}}
 * with a parameter x, what the SDK makes of KFP 1's inputPath), and outputs that the program
 * writes to a fixed path (KFP 1's fileOutputs).
 */
#include "pipeline/draft.h"

#include "base/buf.h"
#include "base/json.h"
#include "pipeline/placeholder.h"

#include <string.h>

struct scan {
    const struct component *component;
    json_t *found; /* names, each once; NULL: none so far */
};

static bool has_name(const json_t *list, const char *name)
{
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        if (strcmp(json_string_value(item), name) == 0) {
            return true;
        }
    }
    return false;
}

static int note_ref(void *owner, const struct ref *ref, struct buf *out)
{
    struct scan *s = owner;
    (void)out;
    if (ref->kind == REF_IN_ARTIFACT && ref->field == FIELD_PATH &&
        component_param_in(s->component, ref->name) != NULL && !has_name(s->found, ref->name)) {
        s->found = s->found != NULL ? s->found : json_array();
        json_array_append_new(s->found, json_string(ref->name));
    }
    return 0;
}

static void scan_text(struct scan *s, const char *text)
{
    struct buf unused;
    if (text != NULL && strstr(text, "{{$.inputs.artifacts") != NULL) {
        buf_init(&unused, TREE_MAX_BYTES);
        refs_replace(text, strlen(text), note_ref, s, &unused, NULL);
        buf_done(&unused);
    }
}

static void find_input_files(struct draft *d, struct draft_component *c)
{
    const struct container *container = c->def.container;
    struct scan s = {.component = &c->def};
    for (size_t i = 0; i < container->command_count; i++) {
        scan_text(&s, container->command[i]);
    }
    for (size_t i = 0; i < container->arg_count; i++) {
        scan_text(&s, container->args[i]);
    }
    for (size_t i = 0; i < container->env_count; i++) {
        scan_text(&s, container->env[i].value);
    }
    if (s.found != NULL) {
        json_array_append_new(d->keep, s.found);
        c->def.input_files = s.found;
    }
}

static void check_file_outputs(struct draft *d, const struct draft_component *c)
{
    struct path path[3];
    component_path(c, path);
    size_t i;
    json_t *file;
    json_array_foreach(c->def.container->file_outputs, i, file)
    {
        const char *name = jget_str(file, "name", "");
        if (component_param_out(&c->def, name) == NULL &&
            component_artifact_out(&c->def, name) == NULL) {
            complain(d->complaints, c->place, &path[2],
                "fileOutputs of its executor %s names '%s', which is not an output of the "
                "component",
                c->executor, name);
        }
    }
}

void link_files(struct draft *d)
{
    for (size_t i = 0; i < d->count; i++) {
        struct draft_component *c = d->list[i];
        if (c->def.container != NULL) {
            find_input_files(d, c);
            check_file_outputs(d, c);
        }
    }
}
