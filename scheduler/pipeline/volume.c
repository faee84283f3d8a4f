/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pseudo images that create and delete a persistent volume claim (kfp-semantics.md 12.2). The
 * engine does it, so it must know their inputs.
 */
#include "pipeline/draft.h"

#include "base/util.h"

#include <string.h>

static const char *const create_inputs[] = {"access_modes", "annotations", "data_source",
    "pvc_name", "pvc_name_suffix", "size", "storage_class_name", "volume_name", NULL};
static const char *const delete_inputs[] = {"pvc_name", NULL};
static const char *const access_modes[] = {
    "ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod", NULL};

static bool is_among(const char *const *names, const char *name)
{
    for (; *names != NULL; names++) {
        if (strcmp(*names, name) == 0) {
            return true;
        }
    }
    return false;
}

bool volume_image(const char *image, enum volume_op *out)
{
    *out = strcmp(image, "argostub/deletepvc") == 0 ? VOLUME_DELETE : VOLUME_CREATE;
    return *out == VOLUME_DELETE || strcmp(image, "argostub/createpvc") == 0;
}

void link_volume(struct draft *d, const struct draft_component *c, const struct path *path)
{
    const struct component *def = &c->def;
    bool creates = def->volume_op == VOLUME_CREATE;
    struct path outputs = {.up = path, .key = "outputDefinitions"};
    for (size_t i = 0; i < def->param_out_count; i++) {
        const struct param_def *p = &def->params_out[i];
        if (!creates || strcmp(p->name, "name") != 0) {
            complain(d->complaints, c->place, &outputs, "output parameter '%s': %s", p->name,
                creates ? "creating a volume gives only 'name'" : "deleting a volume gives none");
        } else if (p->type != VALUE_STRING) {
            complain(d->complaints, c->place, &outputs, "'name' must be a STRING");
        }
    }
    if (def->artifact_out_count > 0) {
        complain(d->complaints, c->place, &outputs, "a volume task gives no artifacts");
    }
}

/* How sure it is that the input will have a value. */
enum given { GIVEN_NEVER, GIVEN_MAYBE, GIVEN_ALWAYS };

static enum given input_given(const struct draft_task *t, const char *name)
{
    const struct draft_binding *b = find_binding(t->params, t->param_count, name);
    const struct param_def *p = component_param_in(&t->component->def, name);
    if (p != NULL && p->default_value != NULL) {
        const char *text = json_string_value(p->default_value);
        return text == NULL || text[0] != '\0' ? GIVEN_ALWAYS
               : b != NULL                     ? GIVEN_MAYBE
                                               : GIVEN_NEVER;
    }
    if (b == NULL || (b->def.kind == SOURCE_CONSTANT && b->def.constant == NULL)) {
        return GIVEN_NEVER;
    }
    if (b->def.kind == SOURCE_CONSTANT) {
        const char *text = json_string_value(b->def.constant);
        return text == NULL || text[0] != '\0' ? GIVEN_ALWAYS : GIVEN_NEVER;
    }
    return GIVEN_MAYBE;
}

static void check_access_modes(
    struct draft *d, const struct draft_binding *b, const struct path *inputs)
{
    struct path here = {.up = inputs, .key = "access_modes"};
    size_t i;
    json_t *mode;
    json_array_foreach(b->def.constant, i, mode)
    {
        const char *text = json_string_value(mode);
        if (text == NULL || (strstr(text, "{{$") == NULL && !is_among(access_modes, text))) {
            complain(d->complaints, b->place, &here,
                "'%s' is no access mode; they are ReadWriteOnce, ReadOnlyMany, ReadWriteMany and "
                "ReadWriteOncePod",
                text != NULL ? text : "?");
        }
    }
    if (json_is_array(b->def.constant) && json_array_size(b->def.constant) == 0) {
        complain(d->complaints, b->place, &here, "is empty; name at least one, as ReadWriteOnce");
    }
}

static void check_create(struct draft *d, const struct draft_task *t, const struct path *path)
{
    static const char *const needed[] = {"access_modes", "size"};
    struct path inputs = {.up = path, .key = "inputs"};
    struct path params = {.up = &inputs, .key = "parameters"};
    for (size_t i = 0; i < ARRAY_LEN(needed); i++) {
        if (input_given(t, needed[i]) == GIVEN_NEVER) {
            complain(d->complaints, t->place, &params,
                "creating a volume needs '%s', which is not passed", needed[i]);
        }
    }
    if (input_given(t, "pvc_name") == GIVEN_ALWAYS &&
        input_given(t, "pvc_name_suffix") == GIVEN_ALWAYS) {
        complain(d->complaints, t->place, &params,
            "'pvc_name' and 'pvc_name_suffix' exclude each other; pass one of them, or none for a "
            "name of the engine's own");
    }
    const struct draft_binding *modes = find_binding(t->params, t->param_count, "access_modes");
    if (modes != NULL && modes->def.constant != NULL) {
        check_access_modes(d, modes, &params);
    }
}

void link_volume_task(struct draft *d, const struct draft_task *t, const struct path *path)
{
    bool creates = t->component->def.volume_op == VOLUME_CREATE;
    struct path inputs = {.up = path, .key = "inputs"};
    struct path params = {.up = &inputs, .key = "parameters"};
    if (creates) {
        check_create(d, t, path);
    } else if (input_given(t, "pvc_name") == GIVEN_NEVER) {
        complain(d->complaints, t->place, &params,
            "deleting a volume needs 'pvc_name', which is not passed");
    }
    const char *const *known = creates ? create_inputs : delete_inputs;
    for (size_t i = 0; i < t->param_count; i++) {
        struct path here = {.up = &params, .key = t->params[i].def.name};
        bool is_extra = t->params[i].def.param == NULL; /* a channel for a constant's reference */
        if (!is_among(known, t->params[i].def.name) && !is_extra) {
            complain_mildly(d->complaints, t->params[i].place, &here,
                "means nothing to a volume task, ignored");
        }
    }
}
