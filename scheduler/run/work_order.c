/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The work order of one attempt (scheduler/order.h), from the task's resolved inputs. Everything in
 * it follows from the records, so that after a restart the same order is built again.
 */
#include "run/live.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/util.h"
#include "run/engine.h"
#include "run/task_pod.h"
#include "run/workspace.h"
#include "scheduler/artifact.h"
#include "scheduler/order.h"

#define PATH_MAX_BYTES 8192
#define WORKSPACE_PATH "/kfp-workspace"
#define MAX_PARAM_BYTES (1024 * 1024)
#define MAX_OUTPUT_FILE_BYTES (8 * 1024 * 1024)
#define LOG_TAIL_BYTES 8192

/* While one order is built. */
struct drafting {
    struct task *task;
    struct attempt_name name;
    json_t *order;
    json_t *inputs;    /* order.inputs */
    json_t *outputs;   /* order.outputs */
    json_t *artifacts; /* for executor_input_build */
    json_t *output_artifacts;
    json_t *paths;
    json_t *provided;
    json_t *pod;       /* parts of its pod: pod_config_resolve() */
    json_t *resources; /* ResourceRequirements */
    json_t *config;    /* what its TASK_CONFIG input gets, or NULL */
};

static char *uri_for(const struct task *task, const char *name)
{
    const struct live *run = task->run;
    struct buf uri;
    buf_init(&uri, PATH_MAX_BYTES);
    artifact_uri(run->engine->set.artifacts, run->root_uri, run->plan->name, run->id.text,
        task->def->key, task->unique.text, name, &uri);
    return buf_steal(&uri, NULL);
}

static char *path_for(const struct drafting *draft, const char *uri)
{
    const struct executor *executor = &draft->task->run->engine->set.executor;
    struct buf path;
    buf_init(&path, PATH_MAX_BYTES);
    executor->ops->artifact_path(executor->self, &draft->name, uri, &path);
    return buf_steal(&path, NULL);
}

static void add_place(json_t *list, const char *name, const char *uri, const char *path)
{
    json_t *place = json_object();
    json_object_set_new(place, "name", json_string(name));
    json_object_set_new(place, "uri", json_string(uri));
    json_object_set_new(place, "path", json_string(path));
    json_array_append_new(list, place);
}

/* The SDK looks for what is marked so below /kfp-workspace; here it is where its path says. */
static void show_where_it_is(json_t *artifact)
{
    const json_t *metadata = json_object_get(artifact, "metadata");
    if (json_object_get(metadata, "_kfp_workspace") != NULL) {
        json_t *copy = json_copy((json_t *)metadata);
        json_object_del(copy, "_kfp_workspace");
        json_object_set_new(artifact, "metadata", copy);
    }
}

static void draft_inputs(struct drafting *draft)
{
    const char *name;
    json_t *list;
    json_object_foreach(draft->task->artifacts, name, list)
    {
        json_t *shown = json_array();
        size_t i;
        json_t *artifact;
        json_array_foreach(list, i, artifact)
        {
            const char *uri = jget_str(artifact, "uri", "");
            char *path CLEANUP(cleanup_free) = path_for(draft, uri);
            json_t *copy = json_copy(artifact);
            json_object_del(copy, "id");
            json_object_set_new(copy, "path", json_string(path));
            show_where_it_is(copy);
            json_array_append_new(shown, copy);
            add_place(draft->inputs, name, uri, path);
        }
        json_object_set_new(draft->artifacts, name, shown);
        json_object_set_new(draft->provided, name, json_true());
    }
    const json_t *defaulted = draft->task->defaulted;
    json_object_foreach(draft->task->params, name, list)
    {
        json_object_set_new(draft->provided, name, json_true());
    }
    for (size_t i = 0; i < json_array_size(defaulted); i++) {
        json_object_del(draft->provided, json_string_value(json_array_get(defaulted, i)));
    }
}

static void draft_outputs(struct drafting *draft)
{
    const struct component *component = draft->task->component;
    for (size_t i = 0; i < component->artifact_out_count; i++) {
        const char *name = component->artifacts_out[i].name;
        char *uri CLEANUP(cleanup_free) = uri_for(draft->task, name);
        char *path CLEANUP(cleanup_free) = path_for(draft, uri);
        json_t *place = json_object();
        json_object_set_new(place, "uri", json_string(uri));
        json_object_set_new(place, "path", json_string(path));
        json_object_set_new(draft->output_artifacts, name, place);
        add_place(draft->outputs, name, uri, path);
        if (component->artifacts_out[i].is_list) {
            json_object_set_new(json_array_get(draft->outputs, i), "is_list", json_true());
        }
    }
}

/*
 * The folder for parameter files and executor_output.json. It lies among the task's artifacts,
 * because dsl.get_uri() gives user code that file's folder to keep things in; and each attempt has
 * its own, so that none reads what an earlier one left.
 */
static char *draft_output_dir(const struct drafting *draft)
{
    char *name CLEANUP(cleanup_free) = xasprintf("_attempt-%d", draft->name.attempt);
    char *uri CLEANUP(cleanup_free) = uri_for(draft->task, name);
    return path_for(draft, uri);
}

static void draft_output_files(struct drafting *draft)
{
    const json_t *outputs = json_object_get(draft->task->executor_input, "outputs");
    json_t *params = json_array();
    const char *name;
    json_t *value;
    json_object_foreach(json_object_get(outputs, "parameters"), name, value)
    {
        json_t *param = json_object();
        json_object_set_new(param, "name", json_string(name));
        json_object_set_new(param, "path", json_string(jget_str(value, "outputFile", "")));
        json_array_append_new(params, param);
    }
    json_object_set_new(draft->order, "output_params", params);
    json_object_set_new(
        draft->order, "output_file", json_string(jget_str(outputs, "outputFile", "")));
}

/* Parameters that the program wants as files: KFP 1's inputPath. */
static void draft_input_files(struct drafting *draft, const char *output_dir)
{
    json_t *in = json_object_get(draft->paths, "in"), *files = json_array();
    size_t i;
    json_t *name;
    json_array_foreach(draft->task->component->input_files, i, name)
    {
        const json_t *value = json_object_get(draft->task->params, json_string_value(name));
        if (value == NULL || json_is_null(value)) {
            continue;
        }
        struct buf text;
        buf_init(&text, ORDER_MAX_BYTES);
        value_text(value, &text);
        char *path CLEANUP(cleanup_free) =
            xasprintf("%s/inputs/%s", output_dir, json_string_value(name));
        json_object_set_new(in, json_string_value(name), json_string(path));
        json_array_append_new(
            files, json_pack("{s:s,s:s%}", "path", path, "text", buf_str(&text), text.len));
        buf_done(&text);
    }
    if (json_array_size(files) > 0) {
        json_object_set(draft->order, "input_files", files);
    }
    json_decref(files);
}

static const char *place_of(const json_t *places, const char *name)
{
    size_t i;
    json_t *place;
    json_array_foreach(places, i, place)
    {
        if (str_eq(jget_str(place, "name", NULL), name)) {
            return jget_str(place, "path", "");
        }
    }
    return NULL;
}

/* Outputs that the program writes to paths of its own: KFP 1's fileOutputs. */
static void draft_file_outputs(struct drafting *draft)
{
    const json_t *fixed = draft->task->component->container->file_outputs;
    json_t *files = json_array();
    size_t i;
    json_t *file;
    json_array_foreach(fixed, i, file)
    {
        const char *name = jget_str(file, "name", "");
        const char *path = place_of(draft->outputs, name);
        path = path != NULL ? path : place_of(json_object_get(draft->order, "output_params"), name);
        if (path != NULL) {
            json_array_append_new(files, json_pack("{s:s,s:s,s:s}", "name", name, "from",
                                             jget_str(file, "path", ""), "path", path));
        }
    }
    if (json_array_size(files) > 0) {
        json_object_set(draft->order, "file_outputs", files);
    }
    json_decref(files);
}

static bool is_set_by_pod(const struct drafting *draft, const char *name)
{
    size_t i;
    const json_t *one;
    json_array_foreach(json_object_get(draft->pod, "env"), i, one)
    {
        if (str_eq(jget_str(one, "name", NULL), name)) {
            return true;
        }
    }
    return false;
}

/* The component's own variables, but for those that its pod gets from secrets and the like. */
static int draft_env(struct drafting *draft, const struct render_context *context, struct err *err)
{
    const struct container *container = draft->task->component->container;
    size_t count = task_config_keeps_env(draft->task->component) ? container->env_count : 0;
    json_t *env = json_object();
    json_t *all_values CLEANUP(json_decrefp) = json_object();
    json_object_set_new(draft->order, "env", env);
    for (size_t i = 0; i < count; i++) {
        if (is_set_by_pod(draft, container->env[i].name)) {
            continue;
        }
        json_t *values CLEANUP(json_decrefp) = json_array();
        char *value CLEANUP(cleanup_free) =
            string_render(container->env[i].value, context, values, err);
        if (value == NULL) {
            return err_wrap(err, "environment variable %s", container->env[i].name);
        }
        if (json_array_size(values) > 0) {
            json_object_set(all_values, container->env[i].name, values);
        }
        json_object_set_new(env, container->env[i].name, json_string(value));
    }
    if (json_object_size(all_values) > 0) {
        json_object_set(draft->order, "env_values", all_values);
    }
    char *retries CLEANUP(cleanup_free) = xasprintf("%d", draft->name.attempt - draft->task->lost);
    json_object_set_new(env, "KFP_RETRY_INDEX", json_string(retries));
    return 0;
}

static json_t *render_all(
    const json_t *value, const struct render_context *context, struct err *err)
{
    if (json_is_string(value)) {
        char *text CLEANUP(cleanup_free) =
            string_render(json_string_value(value), context, NULL, err);
        return text == NULL ? NULL : json_string(text);
    }
    if (!json_is_object(value)) {
        return json_deep_copy(value);
    }
    json_t *out CLEANUP(json_decrefp) = json_object();
    const char *key;
    json_t *member;
    json_object_foreach((json_t *)value, key, member)
    {
        json_t *rendered = render_all(member, context, err);
        if (rendered == NULL) {
            err_wrap(err, "%s", key);
            return NULL;
        }
        json_object_set_new(out, key, rendered);
    }
    return STEAL(out);
}

/* What its pod is given, and what a component that starts pods of its own is told instead. */
static int draft_pod(struct drafting *draft, const struct render_context *context, struct err *err)
{
    const struct container *container = draft->task->component->container;
    json_t *parts CLEANUP(json_decrefp) = task_pod_parts(draft->task, err);
    if (parts == NULL) {
        return err_wrap(err, "Kubernetes settings");
    }
    json_t *rendered CLEANUP(json_decrefp) = container->resources != NULL
                                                 ? render_all(container->resources, context, err)
                                                 : json_object();
    json_t *resources CLEANUP(json_decrefp) =
        rendered != NULL ? resources_to_kubernetes(rendered, err) : NULL;
    if (resources == NULL) {
        return err_wrap(err, "resources");
    }
    task_config_split(
        draft->task->component, parts, resources, &draft->config, &draft->pod, &draft->resources);
    return 0;
}

static json_t *draft_container(
    const struct drafting *draft, const struct render_context *context, struct err *err)
{
    const struct container *container = draft->task->component->container;
    json_t *out CLEANUP(json_decrefp) = json_object();
    char *image CLEANUP(cleanup_free) = string_render(container->image, context, NULL, err);
    if (image == NULL) {
        err_wrap(err, "image");
        return NULL;
    }
    json_object_set_new(out, "image", json_string(image));
    json_object_set_new(out, "pipeline", json_string(draft->task->run->plan->name));
    json_object_set_new(
        out, "service_account", json_string(live_text(draft->task->run, "service_account")));
    if (json_object_size(draft->resources) > 0) {
        json_object_set(out, "resources", draft->resources);
    }
    if (json_object_size(draft->pod) > 0) {
        json_object_set(out, "pod", draft->pod);
    }
    if (task_needs_workspace(draft->task)) {
        char claim[WORKSPACE_CLAIM_MAX];
        json_object_set_new(out, "workspace",
            json_pack("{s:s,s:s}", "claim", workspace_claim(draft->task->run, claim), "path",
                WORKSPACE_PATH));
    }
    return STEAL(out);
}

/* The shorter one of the daemon's and the task's own. */
static int64_t time_limit_s(const struct drafting *draft)
{
    int64_t ours = (draft->task->run->engine->set.step_timeout_ms + 999) / 1000;
    int64_t own = jget_i64(draft->pod, "activeDeadlineSeconds", 0);
    return own > 0 && (ours == 0 || own < ours) ? own : ours;
}

static void draft_facts(struct drafting *draft)
{
    const struct task *task = draft->task;
    const struct engine_settings *set = &task->run->engine->set;
    struct buf work_dir;
    buf_init(&work_dir, PATH_MAX_BYTES);
    set->executor.ops->work_dir(set->executor.self, &draft->name, &work_dir);
    json_t *order = draft->order;
    json_object_set_new(order, "v", json_integer(ORDER_VERSION));
    json_object_set_new(order, "run_id", json_string(task->run->id.text));
    json_object_set_new(order, "task_id", json_string(task->id.text));
    json_object_set_new(order, "attempt", json_integer(draft->name.attempt));
    json_object_set_new(order, "task", json_string(task->path));
    json_object_set_new(order, "run_name", json_string(live_text(task->run, "name")));
    json_object_set_new(order, "work_dir", json_string(buf_str(&work_dir)));
    json_object_set_new(order, "make_dirs", json_array());
    json_object_set(order, "inputs", draft->inputs);
    json_object_set(order, "outputs", draft->outputs);
    json_object_set_new(order, "timeout_s", json_integer(time_limit_s(draft)));
    json_object_set_new(order, "max_param_bytes", json_integer(MAX_PARAM_BYTES));
    json_object_set_new(order, "max_output_file_bytes", json_integer(MAX_OUTPUT_FILE_BYTES));
    json_object_set_new(order, "log_tail_bytes", json_integer(LOG_TAIL_BYTES));
    buf_done(&work_dir);
}

/* params: its inputs, and what is known of them only now. */
static void draft_executor_input(
    struct drafting *draft, const json_t *params, const char *output_dir)
{
    struct task *task = draft->task;
    json_decref(task->executor_input);
    json_decref(draft->paths);
    draft->paths = NULL;
    task->executor_input = executor_input_build(task->component, params, draft->artifacts,
        draft->output_artifacts, output_dir, &draft->paths);
    draft_input_files(draft, output_dir);
}

static void draft_task_config(struct drafting *draft, const char *output_dir)
{
    const struct component *component = draft->task->component;
    json_t *params CLEANUP(json_decrefp) = json_copy(draft->task->params);
    for (size_t i = 0; i < component->param_in_count; i++) {
        if (component->params_in[i].type == VALUE_TASK_CONFIG) {
            json_object_set(params, component->params_in[i].name, draft->config);
            json_object_set_new(draft->provided, component->params_in[i].name, json_true());
        }
    }
    draft_executor_input(draft, params, output_dir);
}

static int draft_build(struct drafting *draft, json_t **container_out, struct err *err)
{
    struct task *task = draft->task;
    draft_inputs(draft);
    draft_outputs(draft);
    char *output_dir CLEANUP(cleanup_free) = draft_output_dir(draft);
    draft_executor_input(draft, task->params, output_dir);
    struct run_context run = task_run_context(task);
    struct render_context context = {
        .executor_input = task->executor_input,
        .provided = draft->provided,
        .paths = draft->paths,
        .run = &run,
    };
    if (draft_pod(draft, &context, err) != 0) {
        return -1;
    }
    if (draft->config != NULL) {
        draft_task_config(draft, output_dir);
        context.executor_input = task->executor_input;
        context.paths = draft->paths;
    }
    json_t *values CLEANUP(json_decrefp) = json_array();
    json_t *argv = command_render(task->component->container, &context, values, err);
    if (argv == NULL) {
        return err_wrap(err, "command");
    }
    json_object_set_new(draft->order, "argv", argv);
    if (json_array_size(values) > 0) {
        json_object_set(draft->order, "values", values);
    }
    draft_facts(draft);
    draft_output_files(draft);
    draft_file_outputs(draft);
    if (draft_env(draft, &context, err) != 0) {
        return -1;
    }
    *container_out = draft_container(draft, &context, err);
    return *container_out == NULL ? -1 : 0;
}

int order_build(struct task *task, json_t **order_out, json_t **container_out, struct err *err)
{
    struct drafting draft = {
        .task = task,
        .name = task_attempt_name(task),
        .order = json_object(),
        .inputs = json_array(),
        .outputs = json_array(),
        .artifacts = json_object(),
        .output_artifacts = json_object(),
        .provided = json_object(),
    };
    int result = draft_build(&draft, container_out, err);
    json_decref(draft.inputs);
    json_decref(draft.outputs);
    json_decref(draft.artifacts);
    json_decref(draft.output_artifacts);
    json_decref(draft.provided);
    json_decref(draft.paths);
    json_decref(draft.pod);
    json_decref(draft.resources);
    json_decref(draft.config);
    if (result != 0) {
        json_decref(draft.order);
        return -1;
    }
    *order_out = draft.order;
    return 0;
}
