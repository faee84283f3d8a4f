/* SPDX-License-Identifier: Apache-2.0 */
/* A task instance as the record of storage.md, and back. */
#include "run/live.h"

#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/util.h"
#include "run/engine.h"

#define TASK_RECORD_VERSION 1

static json_t *values_to_json(json_t *params, json_t *artifacts)
{
    json_t *both = json_object();
    json_object_set_new(both, "parameters", params == NULL ? json_object() : json_incref(params));
    json_object_set_new(
        both, "artifacts", artifacts == NULL ? json_object() : json_incref(artifacts));
    return both;
}

static void set_i64_if(json_t *record, const char *key, int64_t value)
{
    if (value != 0) {
        json_object_set_new(record, key, json_integer(value));
    }
}

static const char *role_name(enum task_role role)
{
    switch (role) {
    case TASK_ROLE_DAG:
        return "dag";
    case TASK_ROLE_LOOP:
        return "loop";
    case TASK_ROLE_CONTAINER:
        return "container";
    case TASK_ROLE_IMPORTER:
        return "importer";
    case TASK_ROLE_VOLUME:
        return "volume";
    }
    return "container";
}

static void add_inputs(json_t *record, const struct task *task)
{
    json_t *params CLEANUP(json_decrefp) = json_incref(task->params);
    json_t *artifacts CLEANUP(json_decrefp) = json_incref(task->artifacts);
    if (task->iteration >= 0) {
        iteration_own_inputs(task, &params, &artifacts);
    }
    json_object_set_new(record, "inputs", values_to_json(params, artifacts));
    json_object_set_new(record, "unique", json_string(task->unique.text));
}

/* A process lives and dies where it was started: say where, as long as it may be alive. */
static void add_place(json_t *record, const struct task *task)
{
    const struct engine_settings *set = &task->run->engine->set;
    if (task->role != TASK_ROLE_CONTAINER || task->state != TASK_STATE_RUNNING ||
        !set->executor.ops->is_bound || set->instance == NULL) {
        return;
    }
    json_t *place = json_object();
    json_object_set_new(place, "instance", json_string(set->instance));
    jset_str(place, "host", set->host);
    json_object_set_new(record, "place", place);
}

json_t *task_to_json(const struct task *task)
{
    json_t *record = json_object();
    const char *name = task->def->display_name;
    json_object_set_new(record, "v", json_integer(TASK_RECORD_VERSION));
    json_object_set_new(record, "id", json_string(task->id.text));
    json_object_set_new(record, "path", json_string(task->path));
    json_object_set_new(record, "key", json_string(task->def->key));
    json_object_set_new(record, "name", json_string(name == NULL ? task->def->key : name));
    json_object_set_new(record, "parent", json_string(task->parent->path));
    json_object_set_new(record, "kind", json_string(role_name(task->role)));
    if (task->iteration >= 0) {
        json_object_set_new(record, "iteration", json_integer(task->iteration));
    }
    if (task->loop != NULL) {
        json_object_set_new(record, "iterations", json_integer((json_int_t)task->child_count));
    }
    json_object_set_new(record, "state", json_string(task_state_name(task->state)));
    json_object_set_new(record, "attempt", json_integer(task->tries > 0 ? task->tries - 1 : 0));
    set_i64_if(record, "tries", task->tries);
    set_i64_if(record, "lost", task->lost);
    set_i64_if(record, "retry_us", task->retry_us);
    set_i64_if(record, "first_us", task->first_us);
    json_object_set_new(record, "created_us", json_integer(task->created_us));
    set_i64_if(record, "started_us", task->started_us);
    set_i64_if(record, "ended_us", task->ended_us);
    jset_str(record, "error", task->error);
    jset_str(record, "log_tail", task->log_tail);
    if (task->exit_code >= 0) {
        json_object_set_new(record, "exit_code", json_integer(task->exit_code));
    }
    add_place(record, task);
    if (task->params != NULL) {
        add_inputs(record, task);
    }
    if (task->defaulted != NULL) {
        json_object_set(record, "defaulted", task->defaulted);
    }
    if (task->cache != NULL) {
        json_object_set(record, "cache", task->cache);
    }
    if (task->out_params != NULL) {
        json_object_set_new(
            record, "outputs", values_to_json(task->out_params, task->out_artifacts));
    }
    return record;
}

static void values_from_json(
    const json_t *record, const char *key, json_t **params_out, json_t **artifacts_out)
{
    const json_t *both = json_object_get(record, key);
    if (json_is_object(both)) {
        *params_out = json_incref(json_object_get(both, "parameters"));
        *artifacts_out = json_incref(json_object_get(both, "artifacts"));
    }
}

int task_from_json(struct task *task, const json_t *record, struct err *err)
{
    if (jget_i64(record, "v", 0) != TASK_RECORD_VERSION) {
        return err_set(err, ERR_INTERNAL,
            "task %s: its record has a version that this program does not read", task->path);
    }
    enum task_state state;
    if (task_state_parse(jget_str(record, "state", ""), &state) != 0) {
        return err_set(err, ERR_INTERNAL, "task %s: its record has the unknown state '%s'",
            task->path, jget_str(record, "state", ""));
    }
    task->state = state;
    task->tries = (int)jget_i64(record, "tries", 0);
    task->lost = (int)jget_i64(record, "lost", 0);
    task->retry_us = jget_i64(record, "retry_us", 0);
    task->first_us = jget_i64(record, "first_us", 0);
    task->created_us = jget_i64(record, "created_us", task->created_us);
    task->started_us = jget_i64(record, "started_us", 0);
    task->ended_us = jget_i64(record, "ended_us", 0);
    task->exit_code = (int)jget_i64(record, "exit_code", -1);
    task_set_error(task, jget_str(record, "error", NULL));
    const char *log_tail = jget_str(record, "log_tail", NULL);
    task->log_tail = log_tail == NULL ? NULL : xstrdup(log_tail);
    values_from_json(record, "inputs", &task->params, &task->artifacts);
    values_from_json(record, "outputs", &task->out_params, &task->out_artifacts);
    json_t *defaulted = json_object_get(record, "defaulted");
    task->defaulted = json_is_array(defaulted) ? json_incref(defaulted) : NULL;
    json_t *cache = json_object_get(record, "cache");
    task->cache = json_is_object(cache) ? json_incref(cache) : NULL;
    json_t *place = json_object_get(record, "place");
    task->place = json_is_object(place) ? json_incref(place) : NULL;
    const char *unique = jget_str(record, "unique", "");
    if (id_is_valid(unique)) {
        memcpy(task->unique.text, unique, ID_LEN);
    }
    return 0;
}
