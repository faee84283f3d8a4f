/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A run on paper (scheduler/preview.h): the tree of instances is made and walked as the engine
 * would, every program succeeds at once, and what it would give is a marked text. A binding that
 * gets such a text is taken as it is, without type or selector, so that it spreads unharmed.
 */
#include "scheduler/preview.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/util.h"
#include "run/engine.h"
#include "run/errand.h"
#include "run/workspace.h"
#include "scheduler/artifact.h"

/* Before a stand-in; U+E001, of the private use area. */
#define MARK "\xEE\x80\x81"
#define TEXT_MAX 8192

struct preview {
    const struct preview_settings *set;
    preview_fn *fn;
    void *owner;
    struct engine engine;
    struct live run;
    json_t *keep;   /* array: owns what shadow bindings point to */
    json_t *maybe;  /* path -> true: it is run only if something that is not known comes out so */
    int templates;  /* within so many loops over what is not known */
    bool has_claim; /* the workspace was shown */
};

/* Why it is not sure that what is below is run. */
struct doubt {
    const struct doubt *up;
    const char *text;
};

static int walk_task(
    struct preview *p, struct task *task, const struct doubt *doubt, struct err *err);

/* ---- what is not known ---- */

static bool is_marked(const json_t *value)
{
    if (json_is_string(value)) {
        return strstr(json_string_value(value), MARK) != NULL;
    }
    size_t i;
    const char *key;
    json_t *item;
    json_array_foreach((json_t *)value, i, item)
    {
        if (is_marked(item)) {
            return true;
        }
    }
    json_object_foreach((json_t *)value, key, item)
    {
        if (is_marked(item)) {
            return true;
        }
    }
    return false;
}

void preview_unmark(char *text)
{
    size_t len = strlen(MARK);
    for (char *at = text; (at = strstr(at, MARK)) != NULL;) {
        memmove(at, at + len, strlen(at + len) + 1);
    }
}

static json_t *output_mark(const struct task *task, const char *output)
{
    return json_sprintf(MARK "{{tasks.%s.outputs.%s}}", task->path, output);
}

/* Nothing of what it gives is known. */
static void give_marks(struct task *task)
{
    const struct component *c = task->component;
    json_decref(task->out_params);
    json_decref(task->out_artifacts);
    task->out_params = json_object();
    task->out_artifacts = json_object();
    for (size_t i = 0; i < c->param_out_count; i++) {
        const char *name = c->params_out[i].name;
        json_object_set_new(task->out_params, name, output_mark(task, name));
    }
    for (size_t i = 0; i < c->artifact_out_count; i++) {
        const char *name = c->artifacts_out[i].name;
        json_object_set_new(task->out_artifacts, name,
            json_pack("[{s:s,s:{},s:o,s:{}}]", "name", name, "type", "uri", output_mark(task, name),
                "metadata"));
    }
}

/* Artifacts of a program: their places are known, their metadata is not. */
static void give_places(struct task *task, const json_t *order)
{
    size_t i;
    json_t *place;
    give_marks(task);
    json_array_foreach(json_object_get(order, "outputs"), i, place)
    {
        const char *name = jget_str(place, "name", "");
        const struct artifact_def *def = component_artifact_out(task->component, name);
        json_t *artifact = json_pack(
            "{s:s,s:s,s:{}}", "name", name, "uri", jget_str(place, "uri", ""), "metadata");
        if (def != NULL && def->type != NULL) {
            json_object_set(artifact, "type", (json_t *)(uintptr_t)def->type);
        }
        json_object_set_new(task->out_artifacts, name, json_pack("[o]", artifact));
    }
}

/* ---- telling ---- */

static json_t *notes_new(const struct doubt *doubt)
{
    json_t *notes = json_array();
    for (; doubt != NULL; doubt = doubt->up) {
        json_array_insert_new(notes, 0, json_string(doubt->text));
    }
    return notes;
}

static void note(json_t *notes, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void note(json_t *notes, const char *fmt, ...)
{
    struct buf text;
    va_list ap;
    buf_init(&text, TEXT_MAX);
    va_start(ap, fmt);
    buf_vaddf(&text, fmt, ap);
    va_end(ap);
    char *whole = buf_steal(&text, NULL);
    text_sanitise(whole); /* may have been cut within a character */
    json_array_append_new(notes, json_string(whole));
    free(whole);
}

static int emit(struct preview *p, struct preview_item *item, const struct task *task,
    const json_t *notes, struct err *err)
{
    item->path = task->path;
    item->notes = notes;
    item->is_open = item->is_open || p->templates > 0;
    return p->fn(p->owner, item, err);
}

static int emit_note(
    struct preview *p, const struct task *task, const json_t *notes, struct err *err)
{
    struct preview_item item = {.kind = PREVIEW_NOTE};
    return emit(p, &item, task, notes, err);
}

/* One note that stands alone. */
static int tell(struct preview *p, struct task *task, const struct doubt *doubt,
    enum task_state state, const char *text, struct err *err)
{
    json_t *notes CLEANUP(json_decrefp) = notes_new(doubt);
    note(notes, "%s", text);
    task->state = state;
    return emit_note(p, task, notes, err);
}

/* Something that a run would fail of, or that cannot be said before it. */
static int tell_trouble(struct preview *p, struct task *task, const struct doubt *doubt,
    const struct err *why, struct err *err)
{
    bool is_unknown = strstr(why->msg, MARK) != NULL || is_marked(task->params) ||
                      (task->parent != NULL && is_marked(task->parent->params));
    if (is_unknown) {
        give_marks(task);
    }
    char *text CLEANUP(cleanup_free) =
        xasprintf(is_unknown ? "cannot be shown before the run: %s" : "will fail: %s", why->msg);
    return tell(p, task, doubt, is_unknown ? TASK_STATE_SUCCEEDED : TASK_STATE_FAILED, text, err);
}

/* ---- inputs ---- */

static const json_t *bound_value(const struct task *task, const struct input_binding *b)
{
    const struct task *dag = task->parent;
    switch (b->kind) {
    case SOURCE_COMPONENT_INPUT:
        return json_object_get(dag->params, b->source);
    case SOURCE_TASK_OUTPUT:
        return json_object_get(dag->children[b->producer]->out_params, b->key);
    case SOURCE_CONSTANT:
    case SOURCE_FINAL_STATUS:
        break;
    }
    return NULL;
}

/* A constant that refers to an input which is not known and is to become no text. */
static bool is_unknown_constant(const struct input_binding *b, bool has_unknown)
{
    bool is_text = b->param == NULL || b->param->type == VALUE_STRING;
    return has_unknown && !is_text && json_is_string(b->constant) &&
           strstr(json_string_value(b->constant), "{{$.inputs") != NULL;
}

/* New reference to the stand-in; NULL: the binding is known. */
static json_t *stand_in(const struct task *task, const struct input_binding *b, bool has_unknown)
{
    const json_t *value = bound_value(task, b);
    bool is_picked = b->selector != NULL && is_marked(value);
    if (is_picked || b->kind == SOURCE_FINAL_STATUS ||
        (b->kind == SOURCE_CONSTANT && is_unknown_constant(b, has_unknown))) {
        return json_sprintf(MARK "{{tasks.%s.inputs.%s}}", task->path, b->name);
    }
    return is_marked(value) ? json_incref((json_t *)(uintptr_t)value) : NULL;
}

static int resolve(struct preview *p, struct task *task, struct err *err)
{
    const struct task_def *def = task->def;
    struct task_def shadow = *def;
    bool has_unknown = false;
    shadow.params = xcalloc(def->param_count + 1, sizeof *shadow.params);
    for (int pass = 0; pass < 2; pass++) { /* constants last: they may refer to the others */
        for (size_t i = 0; i < def->param_count; i++) {
            if ((def->params[i].kind == SOURCE_CONSTANT) != (pass == 1)) {
                continue;
            }
            struct input_binding *b = &shadow.params[i];
            *b = def->params[i];
            json_t *value = stand_in(task, b, has_unknown);
            if (value != NULL) {
                *b = (struct input_binding){
                    .name = b->name, .kind = SOURCE_CONSTANT, .producer = -1, .constant = value};
                json_array_append_new(p->keep, value);
                has_unknown = true;
            }
        }
    }
    task->def = &shadow;
    int result = task_resolve_inputs(task, err);
    task->def = def;
    free(shadow.params);
    json_array_clear(p->keep);
    return result;
}

static bool depends_on_unknown(const struct task *task, const char *condition)
{
    const char *name;
    json_t *value;
    json_object_foreach(task->params, name, value)
    {
        if (is_marked(value) && strstr(condition, name) != NULL) {
            return true;
        }
    }
    return strstr(condition, "artifacts") != NULL || strstr(condition, "outputs") != NULL;
}

/* ---- leaves ---- */

static int show_workspace(struct preview *p, struct task *task, struct err *err)
{
    if (p->has_claim || p->templates > 0 || !task_needs_workspace(task)) {
        return 0;
    }
    p->has_claim = true;
    json_t *claim CLEANUP(json_decrefp) = workspace_claim_new(&p->run);
    json_t *notes CLEANUP(json_decrefp) = json_array();
    note(notes, "the run's workspace; deleted when the run has ended");
    struct preview_item item = {.kind = PREVIEW_CLAIM, .claim = claim};
    return emit(p, &item, p->run.root, notes, err);
}

/* The settings of its pod that are not known, by what they come from. */
static void note_unknown(json_t *notes, const json_t *container)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)container, key, value)
    {
        if (is_marked(value)) {
            char *text CLEANUP(cleanup_free) =
                json_is_string(value) ? xstrdup(json_string_value(value)) : jtext(value);
            note(notes, "not known before the run: %s: %s", key, text);
        }
    }
}

/* {{$}} as it is in the pipeline: it is long, and says again what is told elsewhere. */
static void note_command(json_t *notes, const struct task *task, const json_t *order)
{
    json_t *argv CLEANUP(json_decrefp) = json_deep_copy(json_object_get(order, "argv"));
    char *input CLEANUP(cleanup_free) = value_json(task->executor_input);
    size_t i;
    json_t *arg;
    json_array_foreach(argv, i, arg)
    {
        if (strstr(json_string_value(arg), input) != NULL) {
            json_array_set_new(argv, i, json_string("{{$}}"));
        }
    }
    char *text CLEANUP(cleanup_free) = jtext(argv);
    note(notes, "command: %s", text);
}

static int walk_container(
    struct preview *p, struct task *task, const struct doubt *doubt, struct err *err)
{
    struct err why = ERR_INIT;
    json_t *order CLEANUP(json_decrefp) = NULL, *container CLEANUP(json_decrefp) = NULL;
    task->tries = 1;
    if (show_workspace(p, task, err) != 0) {
        return -1;
    }
    if (order_build(task, &order, &container, &why) != 0) {
        return tell_trouble(p, task, doubt, &why, err);
    }
    json_t *notes CLEANUP(json_decrefp) = notes_new(doubt);
    note_unknown(notes, container);
    note_command(notes, task, order);
    struct preview_item item = {.kind = PREVIEW_POD,
        .is_open = is_marked(container),
        .name = task_attempt_name(task),
        .order = order,
        .container = container};
    give_places(task, order);
    task->state = TASK_STATE_SUCCEEDED;
    return emit(p, &item, task, notes, err);
}

static int walk_importer(
    struct preview *p, struct task *task, const struct doubt *doubt, struct err *err)
{
    struct err why = ERR_INIT;
    struct run_context run = task_run_context(task);
    json_t *artifact CLEANUP(json_decrefp) =
        importer_artifact(task->component, task->params, &run, &why);
    if (artifact == NULL && !is_marked(task->params)) {
        return tell_trouble(p, task, doubt, &why, err);
    }
    give_marks(task);
    if (artifact == NULL) {
        return tell(p, task, doubt, TASK_STATE_SUCCEEDED,
            "imports an artifact that is not known before the run, without a pod", err);
    }
    json_object_set_new(
        task->out_artifacts, jget_str(artifact, "name", ""), json_pack("[O]", artifact));
    char *text CLEANUP(cleanup_free) =
        xasprintf("imports %s, without a pod", jget_str(artifact, "uri", ""));
    return tell(p, task, doubt, TASK_STATE_SUCCEEDED, text, err);
}

static int walk_volume(
    struct preview *p, struct task *task, const struct doubt *doubt, struct err *err)
{
    struct err why = ERR_INIT;
    give_marks(task);
    if (task->component->volume_op == VOLUME_DELETE) {
        char *text CLEANUP(cleanup_free) = xasprintf("deletes the PersistentVolumeClaim %s",
            jget_str(task->params, "pvc_name", "that it is told"));
        return tell(p, task, doubt, TASK_STATE_SUCCEEDED, text, err);
    }
    json_t *claim CLEANUP(json_decrefp) = volume_claim(task, &why);
    if (claim == NULL) {
        return tell_trouble(p, task, doubt, &why, err);
    }
    const char *name = jget_str(json_object_get(claim, "metadata"), "name", "");
    if (component_param_out(task->component, "name") != NULL) {
        json_object_set_new(task->out_params, "name", json_string(name));
    }
    json_t *notes CLEANUP(json_decrefp) = notes_new(doubt);
    note(notes, "made without a pod");
    struct preview_item item = {.kind = PREVIEW_CLAIM, .is_open = is_marked(claim), .claim = claim};
    task->state = TASK_STATE_SUCCEEDED;
    return emit(p, &item, task, notes, err);
}

/* ---- groups ---- */

/* Which of several tasks gives it is not known if any of them may be passed over. */
static void mark_chosen(
    struct preview *p, struct task *dag, const struct dag_output *list, size_t count, json_t *out)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; list[i].selector_count > 1 && k < list[i].selector_count; k++) {
            const struct task *from = dag->children[list[i].selectors[k].producer];
            if (json_object_get(p->maybe, from->path) != NULL) {
                json_t *mark = output_mark(dag, list[i].name);
                json_object_set_new(out, list[i].name,
                    out == dag->out_artifacts ? json_pack("[{s:s,s:{},s:o,s:{}}]", "name",
                                                    list[i].name, "type", "uri", mark, "metadata")
                                              : mark);
                break;
            }
        }
    }
}

static int walk_dag(struct preview *p, struct task *dag, const struct doubt *doubt, struct err *err)
{
    task_make_children(dag);
    for (size_t i = 0; i < dag->child_count; i++) {
        if (walk_task(p, dag->children[i], doubt, err) != 0) {
            return -1;
        }
    }
    task_collect_outputs(dag);
    const struct dag *def = dag->component->dag;
    mark_chosen(p, dag, def->params, def->param_count, dag->out_params);
    mark_chosen(p, dag, def->artifacts, def->artifact_count, dag->out_artifacts);
    dag->state = TASK_STATE_SUCCEEDED;
    return 0;
}

static int walk_body(
    struct preview *p, struct task *task, const struct doubt *doubt, struct err *err)
{
    switch (task->role) {
    case TASK_ROLE_CONTAINER:
        return walk_container(p, task, doubt, err);
    case TASK_ROLE_IMPORTER:
        return walk_importer(p, task, doubt, err);
    case TASK_ROLE_VOLUME:
        return walk_volume(p, task, doubt, err);
    case TASK_ROLE_DAG:
    case TASK_ROLE_LOOP:
        break;
    }
    return walk_dag(p, task, doubt, err);
}

static bool has_unknown_items(const struct task *loop)
{
    const struct iterator *iterator = loop->def->iterator;
    return iterator->items != NULL &&
           is_marked(json_object_get(
               iterator->is_artifact ? loop->artifacts : loop->params, iterator->items));
}

/* One iteration that stands for all. */
static int walk_any_iteration(
    struct preview *p, struct task *loop, const struct doubt *doubt, struct err *err)
{
    const struct iterator *iterator = loop->def->iterator;
    loop->child_count = 1;
    loop->children = xcalloc(2, sizeof(*loop->children));
    struct task *any = loop->children[0] = task_new(loop->run, loop, loop->def, loop->component, 0);
    any->params = json_copy(loop->params);
    any->artifacts = json_copy(loop->artifacts);
    json_t *mark = json_sprintf(MARK "{{tasks.%s.item}}", loop->path);
    if (iterator->is_artifact) {
        json_object_set_new(any->artifacts, iterator->item_input,
            json_pack("[{s:s,s:{},s:o,s:{}}]", "name", iterator->item_input, "type", "uri", mark,
                "metadata"));
    } else {
        json_object_set_new(any->params, iterator->item_input, mark);
    }
    char *text CLEANUP(cleanup_free) =
        xasprintf("once for each item of %s, which is not known before the run", loop->path);
    struct doubt each = {.up = doubt, .text = text};
    json_t *notes CLEANUP(json_decrefp) = notes_new(&each);
    p->templates++;
    int result = emit_note(p, loop, notes, err);
    result = result == 0 ? walk_body(p, any, &each, err) : result;
    p->templates--;
    return result;
}

static int walk_iterations(
    struct preview *p, struct task *loop, const struct doubt *doubt, struct err *err)
{
    struct err why = ERR_INIT;
    if (loop_rebuild(loop, &why) != 0) {
        return tell_trouble(p, loop, doubt, &why, err);
    }
    size_t count = loop->child_count, max = p->set->max_iterations;
    size_t shown = max > 0 && count > max ? max : count;
    json_t *notes CLEANUP(json_decrefp) = notes_new(doubt);
    int limit = loop->def->iterator->limit;
    note(notes, limit > 0 ? "%zu iterations, at most %d at once" : "%zu iterations", count, limit);
    int result = emit_note(p, loop, notes, err);
    for (size_t i = 0; result == 0 && i < shown; i++) {
        struct task *iteration = loop_restore(loop, i);
        result = iteration_resolve(iteration, &why) == 0
                     ? walk_body(p, iteration, doubt, err)
                     : tell_trouble(p, iteration, doubt, &why, err);
        loop->children[i] = NULL;
        task_free(iteration);
        err_clear(&why);
    }
    if (result == 0 && shown < count) {
        json_array_clear(notes);
        note(notes, "and %zu more iterations; --all shows them", count - shown);
        result = emit_note(p, loop, notes, err);
    }
    return result;
}

/* ---- tasks ---- */

/* Which of its dependencies is not run, or may not be; NULL: none. *is_maybe: the latter. */
static const struct task *missing_dependency(
    struct preview *p, const struct task *task, bool *is_maybe)
{
    const struct task *maybe = NULL;
    *is_maybe = false;
    for (size_t i = 0; task->def->strategy == TRIGGER_ALL_SUCCEEDED && i < task->def->dep_count;
         i++) {
        const struct task *on = task->parent->children[task->def->deps[i]];
        if (on->state != TASK_STATE_SUCCEEDED) {
            return on;
        }
        maybe = json_object_get(p->maybe, on->path) != NULL ? on : maybe;
    }
    *is_maybe = maybe != NULL;
    return maybe;
}

static int walk_willing(
    struct preview *p, struct task *task, const struct doubt *doubt, struct err *err)
{
    if (task->role != TASK_ROLE_LOOP) {
        return walk_body(p, task, doubt, err);
    }
    int result = has_unknown_items(task) ? walk_any_iteration(p, task, doubt, err)
                                         : walk_iterations(p, task, doubt, err);
    if (task->state == TASK_STATE_WAITING) {
        give_marks(task);
        task->state = TASK_STATE_SUCCEEDED;
    }
    return result;
}

/* Its inputs are resolved. */
static int walk_conditionally(
    struct preview *p, struct task *task, const struct doubt *doubt, struct err *err)
{
    const char *condition = task->def->condition;
    struct err why = ERR_INIT;
    bool holds = true;
    if (task->def->when != NULL && depends_on_unknown(task, condition)) {
        char *text CLEANUP(cleanup_free) = xasprintf("%s runs only if %s", task->path, condition);
        struct doubt only = {.up = doubt, .text = text};
        json_object_set_new(p->maybe, task->path, json_true());
        return walk_willing(p, task, &only, err);
    }
    if (task_check_condition(task, &holds, &why) != 0) {
        return tell_trouble(p, task, doubt, &why, err);
    }
    if (!holds) {
        char *text CLEANUP(cleanup_free) = xasprintf("is not run: false: %s", condition);
        return tell(p, task, doubt, TASK_STATE_NOT_TRIGGERED, text, err);
    }
    return walk_willing(p, task, doubt, err);
}

static int walk_task(
    struct preview *p, struct task *task, const struct doubt *doubt, struct err *err)
{
    struct err why = ERR_INIT;
    bool is_maybe;
    const struct task *missing = missing_dependency(p, task, &is_maybe);
    char *text CLEANUP(cleanup_free) = NULL;
    struct doubt more = {.up = doubt};
    if (missing != NULL && !is_maybe) {
        text = xasprintf("is not run: %s, which it depends on, is not", missing->path);
        return tell(p, task, doubt, TASK_STATE_UNSCHEDULABLE, text, err);
    }
    if (missing != NULL) {
        text = xasprintf("%s runs only if %s does", task->path, missing->path);
        json_object_set_new(p->maybe, task->path, json_true());
    } else if (task->def->strategy == TRIGGER_ALL_COMPLETED) {
        text =
            xasprintf("%s runs when what it depends on has ended, also if that failed", task->path);
    }
    if (text != NULL) {
        more.text = text;
        doubt = &more;
    }
    if (resolve(p, task, &why) != 0) {
        return tell_trouble(p, task, doubt, &why, err);
    }
    return walk_conditionally(p, task, doubt, err);
}

/* ---- the run ---- */

static json_t *record_new(const struct preview_settings *set)
{
    json_t *record = json_pack("{s:s,s:s,s:I}", "id", set->run_id, "name", set->run_name,
        "created_us", (json_int_t)set->created_us);
    json_object_set_new(record, "parameters",
        set->parameters != NULL ? json_deep_copy(set->parameters) : json_object());
    if (set->artifacts_in != NULL) {
        json_object_set(record, "artifacts", (json_t *)(uintptr_t)set->artifacts_in);
    }
    jset_str(record, "pipeline_root", set->pipeline_root);
    jset_str(record, "service_account", set->service_account);
    return record;
}

static int preview_walk(struct preview *p, struct err *err)
{
    if (run_make_root(&p->run, err) != 0) {
        return -1;
    }
    return walk_dag(p, p->run.root, NULL, err);
}

int preview_run(
    const struct preview_settings *settings, preview_fn *fn, void *owner, struct err *err)
{
    struct preview *p = xcalloc(1, sizeof *p);
    p->set = settings;
    p->fn = fn;
    p->owner = owner;
    p->keep = json_array();
    p->maybe = json_object();
    p->engine.set = (struct engine_settings){.executor = settings->executor,
        .artifacts = settings->artifacts,
        .step_timeout_ms = settings->step_timeout_ms,
        .volume_storage_class = settings->volume_storage_class};
    p->run.engine = &p->engine;
    p->run.is_gone = true; /* nothing is ever saved of it */
    p->run.plan = (struct plan *)(uintptr_t)settings->plan;
    p->run.root_uri = settings->pipeline_root;
    p->run.record = record_new(settings);
    p->run.by_id = map_new(NULL);
    memcpy(p->run.id.text, settings->run_id, ID_LEN);
    int result = preview_walk(p, err);
    task_free(p->run.root);
    map_free(p->run.by_id);
    free(p->run.workspace_path);
    json_decref(p->run.record);
    json_decref(p->keep);
    json_decref(p->maybe);
    free(p);
    return result;
}
