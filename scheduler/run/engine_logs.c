/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What tasks printed: from the executor while it has it, else the tail that the record keeps of a
 * failure. For a whole run, one task after another with headings.
 */
#include "run/engine.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "base/util.h"

#define LOGS_MAX_BYTES (16 * 1024 * 1024)

struct log_reader {
    struct engine *engine; /* NULL: the engine is gone, nobody is told any more */
    char run_id[ID_LEN + 1];
    char *path; /* NULL: all tasks */
    int64_t max_bytes;
    json_t *tasks; /* those to be read, in order of their start */
    size_t next;
    struct buf text;
    void (*done)(void *owner, const char *text, size_t len, const struct err *err);
    void *owner;
    struct log_reader *prev_reader, *next_reader;
};

static void log_reader_free(struct log_reader *reader)
{
    if (reader->engine != NULL) {
        if (reader->prev_reader != NULL) {
            reader->prev_reader->next_reader = reader->next_reader;
        } else {
            reader->engine->log_readers = reader->next_reader;
        }
        if (reader->next_reader != NULL) {
            reader->next_reader->prev_reader = reader->prev_reader;
        }
    }
    json_decref(reader->tasks);
    buf_done(&reader->text);
    free(reader->path);
    free(reader);
}

static void log_reader_finish(struct log_reader *reader, const struct err *err)
{
    if (reader->engine != NULL) {
        reader->done(reader->owner, err == NULL ? buf_str(&reader->text) : NULL,
            err == NULL ? reader->text.len : 0, err);
    }
    log_reader_free(reader);
}

static void log_reader_step(struct log_reader *reader);

static void log_reader_on_text(void *owner, const char *text, size_t len, const struct err *err)
{
    struct log_reader *reader = owner;
    const json_t *task = json_array_get(reader->tasks, reader->next);
    const char *kept = jget_str(task, "log_tail", "");
    if (err == NULL && text != NULL) {
        buf_add(&reader->text, text, len);
    } else if (kept[0] != '\0') {
        buf_adds(&reader->text, kept);
    } else if (reader->path != NULL && err != NULL && err->code != ERR_NOT_FOUND) {
        log_reader_finish(reader, err);
        return;
    }
    size_t end = reader->text.len;
    if (reader->path == NULL && end > 0 && reader->text.data[end - 1] != '\n') {
        buf_addc(&reader->text, '\n');
    }
    reader->next++;
    log_reader_step(reader);
}

static void log_reader_step(struct log_reader *reader)
{
    const json_t *task = json_array_get(reader->tasks, reader->next);
    if (reader->engine == NULL || task == NULL || reader->text.overflow) {
        log_reader_finish(reader, NULL);
        return;
    }
    if (reader->path == NULL) {
        buf_addf(&reader->text, "==> %s (attempt %lld, %s) <==\n", jget_str(task, "path", ""),
            (long long)jget_i64(task, "attempt", 0), jget_str(task, "state", ""));
    }
    const struct executor *executor = &reader->engine->set.executor;
    struct attempt_name name = {
        .run_id = reader->run_id,
        .task_id = jget_str(task, "id", ""),
        .attempt = (int)jget_i64(task, "attempt", 0),
    };
    executor->ops->logs(executor->self, &name, reader->max_bytes, log_reader_on_text, reader);
}

static int by_start(const void *a, const void *b)
{
    const json_t *const *left = a, *const *right = b;
    int64_t l = jget_i64(*left, "started_us", 0), r = jget_i64(*right, "started_us", 0);
    return l < r ? -1 : l > r;
}

/* Container tasks that have begun: the one that was asked for, or all. */
static json_t *pick_tasks(const struct log_reader *reader, const json_t *record)
{
    const json_t *all = json_object_get(record, "tasks");
    json_t **picked = xcalloc(json_array_size(all) + 1, sizeof(*picked));
    size_t count = 0, i;
    json_t *task;
    json_array_foreach(all, i, task)
    {
        bool is_wanted = reader->path == NULL || str_eq(jget_str(task, "path", ""), reader->path);
        if (is_wanted && str_eq(jget_str(task, "kind", ""), "container") &&
            jget_i64(task, "tries", 0) > 0) {
            picked[count++] = task;
        }
    }
    qsort(picked, count, sizeof(*picked), by_start);
    json_t *tasks = json_array();
    for (i = 0; i < count; i++) {
        json_array_append(tasks, picked[i]);
    }
    free(picked);
    return tasks;
}

/* A path that names nothing to read is told apart from a task that has not begun. */
static int check_path(const struct log_reader *reader, const json_t *record, struct err *err)
{
    size_t i;
    json_t *task;
    json_array_foreach(json_object_get(record, "tasks"), i, task)
    {
        if (!str_eq(jget_str(task, "path", ""), reader->path)) {
            continue;
        }
        if (!str_eq(jget_str(task, "kind", ""), "container")) {
            return err_set(err, ERR_INVALID,
                "task '%s' is a nested pipeline and prints nothing itself; ask for one of its "
                "tasks, or for the whole run",
                reader->path);
        }
        return 0;
    }
    return err_set(err, ERR_NOT_FOUND, "run %s has no task '%s'", reader->run_id, reader->path);
}

static void log_reader_on_record(void *owner, const json_t *record, const struct err *err)
{
    struct log_reader *reader = owner;
    struct err local = ERR_INIT;
    if (err != NULL || reader->engine == NULL) {
        log_reader_finish(reader, err);
        return;
    }
    if (reader->path != NULL && check_path(reader, record, &local) != 0) {
        log_reader_finish(reader, &local);
        return;
    }
    reader->tasks = pick_tasks(reader, record);
    log_reader_step(reader);
}

void engine_logs(struct engine *engine, const char *run_id, const char *task_path,
    int64_t max_bytes,
    void (*done)(void *owner, const char *text, size_t len, const struct err *err), void *owner)
{
    struct log_reader *reader = xcalloc(1, sizeof(*reader));
    reader->engine = engine;
    reader->path = task_path == NULL ? NULL : xstrdup(task_path);
    reader->max_bytes = max_bytes;
    reader->done = done;
    reader->owner = owner;
    if (id_is_valid(run_id)) {
        memcpy(reader->run_id, run_id, ID_LEN);
    }
    buf_init(&reader->text, LOGS_MAX_BYTES);
    reader->next_reader = engine->log_readers;
    if (engine->log_readers != NULL) {
        engine->log_readers->prev_reader = reader;
    }
    engine->log_readers = reader;
    run_get(engine->set.store, run_id, true, log_reader_on_record, reader);
}

void log_readers_free(struct engine *engine)
{
    /* The answers they wait for cannot be cancelled: each frees itself when its answer comes. */
    for (struct log_reader *reader = engine->log_readers; reader != NULL;
         reader = reader->next_reader) {
        reader->engine = NULL;
    }
    engine->log_readers = NULL;
}
