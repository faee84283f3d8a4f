/* SPDX-License-Identifier: Apache-2.0 */
/* Run and task records as KFP's JSON. */
#include "api/kfp/run_view.h"

#include <stdint.h>
#include <string.h>

#include "base/json.h"
#include "base/map.h"
#include "base/util.h"

#include "scheduler/run.h"

#include "api/kfp/view.h"

#define CODE_UNKNOWN 2
#define CODE_CANCELLED 1
#define CANCEL_TEXT "terminated by the user"

static const char *shown_state(const char *state)
{
    return strcmp(state, "CANCELED") == 0 ? "FAILED" : state;
}

const char *view_run_state(const json_t *record)
{
    return shown_state(jget_str(record, "state", "RUNTIME_STATE_UNSPECIFIED"));
}

const char *view_run_status(const json_t *record)
{
    static const char *const words[][2] = {
        {"PENDING", "Pending"},
        {"RUNNING", "Running"},
        {"SUCCEEDED", "Succeeded"},
        {"FAILED", "Failed"},
        {"CANCELING", "Terminating"},
    };
    const char *state = view_run_state(record);
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (strcmp(words[i][0], state) == 0) {
            return words[i][1];
        }
    }
    return "Unknown";
}

bool run_is_inline(const json_t *record)
{
    return jget_str(record, "version_id", "")[0] == '\0';
}

static json_t *view_history(const json_t *history)
{
    json_t *out = json_array();
    size_t i;
    json_t *entry;
    json_array_foreach((json_t *)history, i, entry)
    {
        const char *state = jget_str(entry, "state", "");
        const char *error = jget_str(entry, "error", "");
        json_t *item = json_object();
        view_time(item, "update_time", jget_i64(entry, "at_us", 0));
        jset_str(item, "state", shown_state(state));
        if (error[0] != '\0') {
            json_object_set_new(item, "error", view_status(CODE_UNKNOWN, error));
        }
        json_array_append_new(out, item);
    }
    return out;
}

/* ---- tasks ---- */

static const char *shown_task_state(const char *state)
{
    static const char *const states[][2] = {
        {"WAITING", "PENDING"},
        {"RUNNING", "RUNNING"},
        {"SUCCEEDED", "SUCCEEDED"},
        {"CACHED", "SKIPPED"},
        {"NOT_TRIGGERED", "SKIPPED"},
        {"UNSCHEDULABLE", "SKIPPED"},
        {"FAILED", "FAILED"},
        {"CANCELED", "CANCELED"},
    };
    for (size_t i = 0; i < ARRAY_LEN(states); i++) {
        if (strcmp(states[i][0], state) == 0) {
            return states[i][1];
        }
    }
    return "RUNTIME_STATE_UNSPECIFIED";
}

static void add_state(json_t *history, int64_t at_us, const char *state)
{
    if (at_us != 0) {
        json_t *item = json_object();
        view_time(item, "update_time", at_us);
        jset_str(item, "state", state);
        json_array_append_new(history, item);
    }
}

/* How the tasks of one run hang together, found in one pass: a loop may have many. */
struct kin {
    struct map *ids;      /* path -> its id */
    struct map *children; /* path -> array of {"task_id"}; none: no entry */
};

static void free_children(void *children)
{
    json_decref(children);
}

static void kin_init(struct kin *kin, const json_t *tasks)
{
    kin->ids = map_new(NULL);
    kin->children = map_new(free_children);
    size_t i;
    json_t *task;
    json_array_foreach((json_t *)tasks, i, task)
    {
        const char *id = jget_str(task, "id", ""), *parent = jget_str(task, "parent", "");
        map_put(kin->ids, jget_str(task, "path", ""), (void *)(uintptr_t)id);
        if (parent[0] == '\0') {
            continue;
        }
        json_t *siblings = map_get(kin->children, parent);
        if (siblings == NULL) {
            siblings = json_array();
            map_put(kin->children, parent, siblings);
        }
        json_t *child = json_object();
        jset_str(child, "task_id", id);
        json_array_append_new(siblings, child);
    }
}

static void kin_done(struct kin *kin)
{
    map_free(kin->ids);
    map_free(kin->children);
}

static json_t *view_task(const char *run_id, const json_t *task, const struct kin *kin)
{
    const char *state = shown_task_state(jget_str(task, "state", ""));
    const char *error = jget_str(task, "error", "");
    const char *parent = jget_str(task, "parent", "");
    int64_t created = jget_i64(task, "created_us", 0);
    int64_t started = jget_i64(task, "started_us", 0);
    int64_t ended = jget_i64(task, "ended_us", 0);

    json_t *out = json_object();
    jset_str(out, "run_id", run_id);
    jset_str(out, "task_id", jget_str(task, "id", NULL));
    jset_str(out, "display_name", jget_str(task, "name", jget_str(task, "key", NULL)));
    view_time(out, "create_time", created);
    if (started != 0) {
        view_time(out, "start_time", started);
    }
    if (ended != 0) {
        view_time(out, "end_time", ended);
    }
    jset_str(out, "state", state);
    if (error[0] != '\0') {
        json_object_set_new(out, "error", view_status(CODE_UNKNOWN, error));
    }
    if (parent[0] != '\0') {
        jset_str(out, "parent_task_id", map_get(kin->ids, parent));
    }
    jset_str(out, "pod_name", jget_str(task, "pod_name", NULL));

    json_t *history = json_array();
    add_state(history, created, "PENDING");
    add_state(history, started, "RUNNING");
    add_state(history, ended, state);
    json_object_set_new(out, "state_history", history);

    json_t *children = map_get(kin->children, jget_str(task, "path", ""));
    if (children != NULL) {
        json_object_set(out, "child_tasks", children);
    }
    return out;
}

static void add_details(json_t *out, const json_t *record)
{
    const json_t *tasks = json_object_get(record, "tasks");
    if (json_array_size(tasks) == 0) {
        return;
    }
    json_t *list = json_array();
    struct kin kin;
    kin_init(&kin, tasks);
    size_t i;
    json_t *task;
    json_array_foreach((json_t *)tasks, i, task)
    {
        json_array_append_new(list, view_task(jget_str(record, "id", ""), task, &kin));
    }
    kin_done(&kin);
    json_t *details = json_object();
    json_object_set_new(details, "task_details", list);
    json_object_set_new(out, "run_details", details);
}

/* ---- runs ---- */

static void add_error(json_t *out, const json_t *record)
{
    const char *error = jget_str(record, "error", "");
    if (strcmp(jget_str(record, "state", ""), "CANCELED") == 0) {
        json_object_set_new(out, "error", view_status(CODE_CANCELLED, CANCEL_TEXT));
    } else if (error[0] != '\0') {
        json_object_set_new(out, "error", view_status(CODE_UNKNOWN, error));
    }
}

/* What KFP has no place for; its clients skip fields they do not know. */
static void add_rondo(json_t *out, const json_t *record)
{
    static const char *const members[] = {"pool", "priority", "waiting_for"};
    json_t *rondo = json_object();
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        json_t *value = json_object_get(record, members[i]);
        if (value != NULL) {
            json_object_set(rondo, members[i], value);
        }
    }
    if (json_object_size(rondo) > 0) {
        json_object_set(out, "rondo", rondo);
    }
    json_decref(rondo);
}

json_t *view_run(const json_t *record, const struct plan *plan)
{
    json_t *out = json_object();
    int64_t created = jget_i64(record, "created_us", 0);
    int64_t scheduled = jget_i64(record, "scheduled_us", 0);
    const char *account = jget_str(record, "service_account", "");

    jset_str(out, "experiment_id", jget_str(record, "experiment_id", NULL));
    jset_str(out, "run_id", jget_str(record, "id", NULL));
    jset_str(out, "display_name", jget_str(record, "name", NULL));
    jset_str(out, "storage_state", jget_str(record, "storage", "AVAILABLE"));
    jset_str(out, "description", jget_str(record, "description", NULL));
    if (!run_is_inline(record)) {
        view_version_reference(out, record);
    } else if (plan != NULL) {
        json_object_set_new(out, "pipeline_spec", view_spec(plan));
    }
    view_runtime_config(out, record);
    jset_str(out, "service_account", account[0] != '\0' ? account : DEFAULT_SERVICE_ACCOUNT);
    view_time(out, "created_at", created);
    view_time(out, "scheduled_at", scheduled != 0 ? scheduled : created);
    view_time(out, "finished_at", jget_i64(record, "finished_us", 0));
    jset_str(out, "state", view_run_state(record));
    add_error(out, record);
    add_details(out, record);
    jset_str(out, "recurring_run_id", jget_str(record, "recurring_run_id", NULL));
    json_object_set_new(out, "state_history", view_history(json_object_get(record, "history")));
    add_rondo(out, record);
    return out;
}
