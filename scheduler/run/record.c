/* SPDX-License-Identifier: Apache-2.0 */
/* Run records from Redis hashes, history entries, events. Reading and writing them: run_*.c. */
#include "run/record.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/id.h"
#include "base/json.h"
#include "base/store.h"
#include "run_scripts.h"

#define RECORD_VERSION 1

static json_t *parse_field(
    const redisReply *reply, const char *field, const char *id, struct err *err)
{
    const char *text = reply_field(reply, field);
    if (text == NULL || text[0] == '\0') {
        return json_null();
    }
    json_t *value = jread_text(text, strlen(text), field, err);
    if (value == NULL) {
        err_wrap(err, "run %s: its stored field '%s' cannot be read", id, field);
    }
    return value;
}

static void set_i64(json_t *record, const redisReply *reply, const char *field)
{
    const char *text = reply_field(reply, field);
    int64_t value = 0;
    if (text != NULL && parse_i64(text, INT64_MIN, INT64_MAX, field, &value, NULL) != 0) {
        value = 0;
    }
    json_object_set_new(record, field, json_integer(value));
}

static void set_text(
    json_t *record, const redisReply *reply, const char *field, const char *fallback)
{
    const char *text = reply_field(reply, field);
    json_object_set_new(record, field, json_string(text == NULL ? fallback : text));
}

/* Members that readers may rely on: a doc has those only that are not empty. */
static void fill_doc(json_t *record, const char *id)
{
    static const char *const texts[] = {"name", "description", "experiment_id", "spec",
        "pipeline_name", "pipeline_id", "version_id", "pipeline_root", "service_account",
        "recurring_run_id"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        if (!json_is_string(json_object_get(record, texts[i]))) {
            json_object_set_new(record, texts[i], json_string(""));
        }
    }
    static const char *const objects[] = {"parameters", "trigger"};
    for (size_t i = 0; i < ARRAY_LEN(objects); i++) {
        if (!json_is_object(json_object_get(record, objects[i]))) {
            json_object_set_new(record, objects[i], json_object());
        }
    }
    if (!json_is_integer(json_object_get(record, "index"))) {
        json_object_set_new(record, "index", json_integer(0));
    }
    json_object_set_new(record, "id", json_string(id));
    json_object_set_new(record, "v", json_integer(RECORD_VERSION));
}

json_t *record_from_reply(const redisReply *reply, const char *id, struct err *err)
{
    int64_t version = 0;
    const char *text = reply_field(reply, "v");
    if (text == NULL || parse_i64(text, 0, INT32_MAX, "v", &version, NULL) != 0 ||
        version != RECORD_VERSION) {
        err_set(err, ERR_INTERNAL,
            "run %s: its record has version '%s', this program reads version %d; use the program "
            "that wrote it",
            id, text == NULL ? "" : text, RECORD_VERSION);
        return NULL;
    }
    json_t *record CLEANUP(json_decrefp) = parse_field(reply, "doc", id, err);
    if (record == NULL) {
        return NULL;
    }
    if (!json_is_object(record)) {
        err_set(err, ERR_INTERNAL, "run %s: its stored field 'doc' is not an object", id);
        return NULL;
    }
    fill_doc(record, id);
    set_text(record, reply, "state", "PENDING");
    set_text(record, reply, "error", "");
    set_text(record, reply, "storage", "AVAILABLE");
    static const char *const instants[] = {
        "created_us", "scheduled_us", "started_us", "finished_us"};
    for (size_t i = 0; i < ARRAY_LEN(instants); i++) {
        set_i64(record, reply, instants[i]);
    }
    set_i64(record, reply, "rev");
    set_i64(record, reply, "cancels");
    const char *rr = reply_field(reply, "rr");
    if (rr != NULL && rr[0] != '\0') {
        json_object_set_new(record, "recurring_run_id", json_string(rr));
        if (json_object_size(json_object_get(record, "trigger")) == 0) {
            json_object_set_new(record, "trigger", json_pack("{s:s}", "kind", "schedule"));
        }
    }
    json_t *history = parse_field(reply, "history", id, err);
    json_t *outputs = history == NULL ? NULL : parse_field(reply, "outputs", id, err);
    json_t *notices = outputs == NULL ? NULL : parse_field(reply, "notices", id, err);
    if (notices == NULL) {
        json_decref(history);
        json_decref(outputs);
        return NULL;
    }
    json_object_set_new(record, "notices", json_is_array(notices) ? notices : json_array());
    json_object_set_new(record, "history", json_is_array(history) ? history : json_array());
    json_object_set_new(record, "outputs", json_is_object(outputs) ? outputs : json_object());
    return STEAL(record);
}

static int by_path(const void *a, const void *b)
{
    const json_t *const *left = a, *const *right = b;
    return strcmp(jget_str(*left, "path", ""), jget_str(*right, "path", ""));
}

int record_add_tasks(json_t *record, const redisReply *reply, struct err *err)
{
    const char *id = jget_str(record, "id", "");
    json_t **tasks = xcalloc(reply->elements + 1, sizeof(*tasks));
    json_t *list = json_array();
    int result = 0;
    size_t count = 0;
    for (size_t i = 0; i < reply->elements && result == 0; i++) {
        const redisReply *text = reply->element[i];
        json_t *task = text->str == NULL ? NULL : jread_text(text->str, text->len, "task", err);
        if (task == NULL) {
            result = err_wrap(err, "run %s: a stored task record cannot be read", id);
        } else {
            tasks[count++] = task;
        }
    }
    qsort(tasks, count, sizeof(*tasks), by_path);
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(list, tasks[i]);
    }
    free(tasks);
    json_object_set_new(record, "tasks", list);
    return result;
}

struct store_call *record_ask(
    struct store *store, const char *id, bool with_tasks, store_done_fn *done, void *owner)
{
    const char *prefix = store_id_prefix(store, id);
    struct store_args *args = store_args_new();
    store_key(args, "%srun:%s", prefix, id);
    store_key(args, "%srun:%s:tasks", prefix, id);
    store_arg(args, id);
    store_arg(args, with_tasks ? "1" : "0");
    store_arg(args, prefix);
    return store_eval(store, &script_run_get, args, done, owner);
}

json_t *record_answer(const redisReply *reply, const char *id, bool with_tasks, struct err *err)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2) {
        err_set(err, ERR_INTERNAL, "run %s: run_get.lua answered in an unknown shape", id);
        return NULL;
    }
    json_t *record CLEANUP(json_decrefp) = record_from_reply(reply->element[0], id, err);
    if (record == NULL || (with_tasks && record_add_tasks(record, reply->element[1], err) != 0)) {
        return NULL;
    }
    return STEAL(record);
}

char *record_history_entry(int64_t at_us, enum run_state state, const char *error)
{
    json_t *entry CLEANUP(json_decrefp) = json_object();
    json_object_set_new(entry, "at_us", json_integer(at_us));
    json_object_set_new(entry, "state", json_string(run_state_name(state)));
    jset_str(entry, "error", error);
    return jtext(entry);
}

char *record_event(
    const json_t *record, const char *type, const char *what, int64_t time_us, json_t *data)
{
    const char *run_id = jget_str(record, "id", "");
    struct id id;
    id_derive(&id, run_id, what);
    json_object_set_new(data, "run_id", json_string(run_id));
    json_object_set_new(data, "run_name", json_string(jget_str(record, "name", "")));
    json_object_set_new(data, "experiment_id", json_string(jget_str(record, "experiment_id", "")));
    json_object_set_new(data, "pipeline_name", json_string(jget_str(record, "pipeline_name", "")));
    jset_str(data, "pipeline_id", jget_str(record, "pipeline_id", ""));
    jset_str(data, "recurring_run_id", jget_str(record, "recurring_run_id", ""));
    const json_t *trigger = json_object_get(record, "trigger");
    jset_str(data, "repository", jget_str(trigger, "repository", ""));
    jset_str(data, "commit", jget_str(trigger, "commit", ""));
    json_t *event CLEANUP(json_decrefp) = json_object();
    json_object_set_new(event, "id", json_string(id.text));
    json_object_set_new(event, "type", json_string(type));
    json_object_set_new(event, "time_us", json_integer(time_us));
    json_object_set_new(event, "data", data);
    return jtext(event);
}
