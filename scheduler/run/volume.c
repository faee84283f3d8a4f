/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tasks that create or delete a volume (kfp-semantics.md 12.2): calls of the executor, no pod. The
 * name follows from the task, so a repeat finds what it made before; and that a deletion was begun
 * is written down first, so that a repeat does not take its own work for a volume that never was.
 */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "base/store.h"
#include "base/util.h"
#include "run/engine.h"
#include "run/errand.h"
#include "run/workspace.h"

#define NAME_MAX_LEN 253
#define TEXT_MAX 4096
#define RETRY_MS 500
#define MARK_KEPT_S "604800"

struct volume {
    struct errand errand;
    bool is_asked; /* the executor */
    bool is_repeat;
    char *name;
    struct store_call *call;
    struct timer retry;
};

static void volume_drop(struct errand *errand)
{
    struct volume *volume = (struct volume *)errand;
    const struct executor *executor = &errand->task->run->engine->set.executor;
    if (volume->is_asked && executor->ops->volume_cancel != NULL) {
        executor->ops->volume_cancel(executor->self, volume);
    }
    store_cancel(volume->call);
    timer_done(&volume->retry);
    free(volume->name);
}

/* ---- inputs ---- */

/* An input's text; NULL when it has none. "" counts as none unless it means something. */
static const char *text_in(const struct task *task, const char *name)
{
    const char *text = json_string_value(json_object_get(task->params, name));
    return text == NULL || text[0] == '\0' ? NULL : text;
}

static int check_name(const char *name, struct err *err)
{
    size_t len = strlen(name);
    bool is_valid = len > 0 && len <= NAME_MAX_LEN && strspn(name, "-.") == 0 &&
                    name[len - 1] != '-' && name[len - 1] != '.' &&
                    strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-.") == len;
    if (!is_valid) {
        return err_set(err, ERR_INVALID,
            "'%.300s' cannot be the name of a volume: lower-case letters, digits, '-' and '.', "
            "beginning and ending with a letter or digit, at most %d",
            name, NAME_MAX_LEN);
    }
    return 0;
}

/* malloc'd; NULL and err. */
static char *created_name(const struct task *task, struct err *err)
{
    const char *given = text_in(task, "pvc_name"), *suffix = text_in(task, "pvc_name_suffix");
    if (given != NULL && suffix != NULL) {
        err_set(err, ERR_INVALID,
            "pvc_name and pvc_name_suffix are both given; a volume has one name: leave one out");
        return NULL;
    }
    struct id id;
    id_derive(&id, task->id.text, "volume");
    char *name =
        given != NULL ? xstrdup(given) : xasprintf("%s%s", id.text, suffix == NULL ? "" : suffix);
    if (check_name(name, err) != 0) {
        free(name);
        return NULL;
    }
    return name;
}

static json_t *access_modes(const struct task *task, struct err *err)
{
    static const char *const known[] = {
        "ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"};
    json_t *modes = json_object_get(task->params, "access_modes");
    size_t i;
    json_t *mode;
    json_array_foreach(modes, i, mode)
    {
        bool is_known = false;
        for (size_t k = 0; k < ARRAY_LEN(known); k++) {
            is_known |= str_eq(json_string_value(mode), known[k]);
        }
        if (!is_known) {
            err_set(err, ERR_INVALID,
                "access_modes: item %zu is not one of ReadWriteOnce, ReadOnlyMany, ReadWriteMany, "
                "ReadWriteOncePod",
                i);
            return NULL;
        }
    }
    if (json_array_size(modes) == 0) {
        err_set(err, ERR_INVALID, "access_modes: at least one is needed, such as ReadWriteOnce");
        return NULL;
    }
    return json_incref(modes);
}

/* Kubernetes wants texts. */
static json_t *annotations(const struct task *task)
{
    json_t *given = json_object_get(task->params, "annotations");
    json_t *out = json_object();
    const char *key;
    json_t *value;
    json_object_foreach(given, key, value)
    {
        struct buf text;
        buf_init(&text, TEXT_MAX);
        value_text(value, &text);
        json_object_set_new(out, key, json_string(buf_str(&text)));
        buf_done(&text);
    }
    return out;
}

/* The SDK's users write api_group. */
static json_t *data_source(const struct task *task)
{
    static const char *const names[][2] = {
        {"name", "name"}, {"kind", "kind"}, {"apiGroup", "apiGroup"}, {"api_group", "apiGroup"}};
    json_t *given = json_object_get(task->params, "data_source");
    json_t *out = json_object();
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        jset_str(out, names[i][1], jget_str(given, names[i][0], NULL));
    }
    return out;
}

static json_t *claim_of(const struct task *task, const char *name, struct err *err)
{
    const struct engine_settings *set = &task->run->engine->set;
    const char *size = text_in(task, "size");
    if (size == NULL) {
        err_set(err, ERR_INVALID, "size: is needed, such as 5Gi");
        return NULL;
    }
    json_t *modes = access_modes(task, err);
    if (modes == NULL) {
        return NULL;
    }
    json_t *spec = json_pack(
        "{s:o,s:{s:{s:s}}}", "accessModes", modes, "resources", "requests", "storage", size);
    const json_t *class = json_object_get(task->params, "storage_class_name");
    if (json_is_string(class)) { /* "" is a class too: none */
        json_object_set(spec, "storageClassName", (json_t *)class);
    } else {
        jset_str(spec, "storageClassName", set->volume_storage_class);
    }
    jset_str(spec, "volumeName", text_in(task, "volume_name"));
    json_t *source = data_source(task);
    if (json_object_size(source) > 0) {
        json_object_set(spec, "dataSource", source);
    }
    json_decref(source);
    json_t *claim = claim_new(task->run, task->id.text, name, spec);
    json_t *notes = annotations(task);
    if (json_object_size(notes) > 0) {
        json_object_set(json_object_get(claim, "metadata"), "annotations", notes);
    }
    json_decref(notes);
    return claim;
}

json_t *volume_claim(const struct task *task, struct err *err)
{
    char *name CLEANUP(cleanup_free) = created_name(task, err);
    return name == NULL ? NULL : claim_of(task, name, err);
}

/* ---- ends ---- */

static void volume_succeed(struct volume *volume)
{
    struct task *task = volume->errand.task;
    json_decref(task->out_params);
    json_decref(task->out_artifacts);
    task->out_params = json_object();
    task->out_artifacts = json_object();
    if (component_param_out(task->component, "name") != NULL) {
        json_object_set_new(task->out_params, "name", json_string(volume->name));
    }
    LOG_INFO(
        task->component->volume_op == VOLUME_CREATE ? "volume is created" : "volume is deleted",
        "run=%s task=%s volume=%s", task->run->id.text, LOG_Q(task->path), LOG_Q(volume->name));
    errand_end(&volume->errand);
    task_end(task, TASK_STATE_SUCCEEDED);
}

static void volume_on_done(void *owner, const struct err *err)
{
    struct volume *volume = owner;
    const struct task *task = volume->errand.task;
    bool is_delete = task->component->volume_op == VOLUME_DELETE;
    volume->is_asked = false;
    if (err == NULL || (is_delete && volume->is_repeat && err->code == ERR_NOT_FOUND)) {
        volume_succeed(volume);
        return;
    }
    char *text CLEANUP(cleanup_free) = xasprintf("the volume %s could not be %s: %s", volume->name,
        is_delete ? "deleted" : "created", err->msg);
    errand_fail(&volume->errand, text);
}

/* ---- acts ---- */

static void volume_create(struct volume *volume)
{
    struct task *task = volume->errand.task;
    const struct executor *executor = &task->run->engine->set.executor;
    struct err err = ERR_INIT;
    volume->name = created_name(task, &err);
    json_t *claim CLEANUP(json_decrefp) =
        volume->name == NULL ? NULL : claim_of(task, volume->name, &err);
    if (claim == NULL) {
        errand_fail(&volume->errand, err.msg);
        return;
    }
    volume->is_asked = true;
    executor->ops->volume_create(executor->self, claim, volume_on_done, volume);
}

static void volume_mark(void *owner);

static void volume_on_marked(void *owner, redisReply *reply, const struct err *err)
{
    struct volume *volume = owner;
    const struct executor *executor = &volume->errand.task->run->engine->set.executor;
    volume->call = NULL;
    if (err != NULL) { /* as with saves: nothing is done that is not written down */
        timer_start_ms(&volume->retry, RETRY_MS);
        return;
    }
    volume->is_repeat = reply->type == REDIS_REPLY_NIL;
    volume->is_asked = true;
    executor->ops->volume_delete(executor->self, volume->name, volume_on_done, volume);
}

static void volume_mark(void *owner)
{
    struct volume *volume = owner;
    const struct task *task = volume->errand.task;
    struct store *store = task->run->engine->set.store;
    volume->call =
        store_cmd(store, volume_on_marked, volume, "SET %svolume:%s 1 NX EX " MARK_KEPT_S,
            store_shard_prefix(store, task->run->shard), task->id.text);
}

static void volume_delete(struct volume *volume)
{
    const char *name = text_in(volume->errand.task, "pvc_name");
    struct err err = ERR_INIT;
    if (check_name(name == NULL ? "" : name, &err) != 0) {
        errand_fail(&volume->errand, err.msg);
        return;
    }
    volume->name = xstrdup(name);
    volume_mark(volume);
}

static void volume_on_turn(void *owner)
{
    struct volume *volume = owner;
    struct task *task = volume->errand.task;
    const struct executor_ops *ops = task->run->engine->set.executor.ops;
    if (ops->volume_create == NULL || ops->volume_delete == NULL) {
        char *text CLEANUP(cleanup_free) = xasprintf("the executor '%s' has no volumes", ops->name);
        errand_fail(&volume->errand, text);
    } else if (task->component->volume_op == VOLUME_CREATE) {
        volume_create(volume);
    } else {
        volume_delete(volume);
    }
}

void volume_begin(struct task *task)
{
    struct loop *loop = task->run->engine->set.loop;
    struct volume *volume = errand_new(task, sizeof(*volume), volume_drop);
    timer_init(&volume->retry, loop, volume_mark, volume);
    task->started_us = clock_now_us();
    loop_defer(loop, &volume->errand.turn, volume_on_turn, volume);
}
