/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Run records: from what Redis keeps (contrib/docs/storage.md) to the JSON that run.h promises,
 * and the entries and events that several files write.
 */
#ifndef SCHEDULER_RUN_RECORD_H
#define SCHEDULER_RUN_RECORD_H

#include <stdint.h>
#include <jansson.h>

#include "base/store.h"
#include "scheduler/run.h"

struct err;
struct store_call;

/* A run's hash (flat reply) as a record; new reference, NULL and err when it is not one. */
json_t *record_from_reply(const redisReply *reply, const char *id, struct err *err);
/* Task records (array of texts) appended to record as "tasks", in order of path. */
int record_add_tasks(json_t *record, const redisReply *reply, struct err *err);

/*
 * Ask for a run by run_get.lua, and read the answer. New reference, NULL and err when the run is
 * not there or cannot be read.
 */
struct store_call *record_ask(
    struct store *store, const char *id, bool with_tasks, store_done_fn *done, void *owner);
json_t *record_answer(const redisReply *reply, const char *id, bool with_tasks, struct err *err);

/* History entry {"at_us","state","error"?} as text. malloc'd. */
char *record_history_entry(int64_t at_us, enum run_state state, const char *error);

/*
 * An event about a run, as text; malloc'd. what names the transition within the run
 * ("task.finished/train/0"): the event's id is derived from it. Takes data, to which what all
 * events say about their run is added.
 */
char *record_event(
    const json_t *record, const char *type, const char *what, int64_t time_us, json_t *data);

#endif
