/* SPDX-License-Identifier: Apache-2.0 */
/* Reading what has become of a recurring run's ticks: the lines that claims and changes write. */
#include "scheduler/recurring.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/util.h"
#include "scheduler/run.h"
#include "trigger/op.h"
#include "trigger/tick.h"
#include "trigger/ticker.h"

#define HATCH_MAX 200
#define WORDS 6

const char *ticker_outcome_name(int outcome)
{
    _Static_assert(TICKER_OUTCOMES == TICK_OUTCOME_COUNT, "one name for each");
    return tick_outcome_name((enum tick_outcome)outcome);
}

/* "<slot_us> <outcome> <generation> <at_us> <run id or -> <detail or ->" */
static json_t *line_read(const char *text)
{
    char *copy CLEANUP(cleanup_free) = xstrdup(text);
    char *words[WORDS], *rest = copy;
    for (size_t i = 0; i < WORDS; i++) {
        words[i] = strsep(&rest, i + 1 < WORDS ? " " : "");
        if (words[i] == NULL) {
            return NULL;
        }
    }
    int64_t slot_us, generation, at_us;
    if (parse_i64(words[0], 0, INT64_MAX, "slot", &slot_us, NULL) != 0 ||
        parse_i64(words[2], 0, INT64_MAX, "generation", &generation, NULL) != 0 ||
        parse_i64(words[3], 0, INT64_MAX, "at", &at_us, NULL) != 0) {
        return NULL;
    }
    json_t *out = json_pack("{s:I,s:s,s:I,s:I}", "scheduled_us", (json_int_t)slot_us, "outcome",
        words[1], "generation", (json_int_t)generation, "at_us", (json_int_t)at_us);
    if (strcmp(words[4], "-") != 0) {
        json_object_set_new(out, "run_id", json_string(words[4]));
    }
    if (strcmp(words[5], "-") != 0) {
        json_t *detail = json_loads(words[5], 0, NULL);
        if (detail != NULL) {
            json_object_set_new(out, "detail", detail);
        }
    }
    return out;
}

static void on_lines(void *owner, redisReply *reply, const struct err *err)
{
    struct recurring_op *op = owner;
    op->call = NULL;
    if (err != NULL) {
        recurring_op_finish(op, NULL, err);
        return;
    }
    json_t *list CLEANUP(json_decrefp) = json_array();
    for (size_t i = 0; i < reply->elements; i++) {
        const char *text = reply_str(reply->element[i]);
        json_t *line = text != NULL ? line_read(text) : NULL;
        if (line != NULL) {
            json_array_append_new(list, line);
        }
    }
    recurring_op_finish(op, list, NULL);
}

static void on_found(void *owner, redisReply *reply, const struct err *err)
{
    struct recurring_op *op = owner;
    op->call = NULL;
    struct err local = ERR_INIT;
    if (err == NULL && reply_str(reply) == NULL) {
        err_set(&local, ERR_NOT_FOUND, "recurring run %s does not exist", op->id.text);
        err = &local;
    }
    if (err != NULL) {
        recurring_op_finish(op, NULL, err);
        return;
    }
    op->call = store_cmd(op->t->set.store, on_lines, op, "LRANGE %srr:%s:ticks 0 %lld",
        store_id_prefix(op->t->set.store, op->id.text), op->id.text,
        (long long)op->t->set.history_max_ticks - 1);
}

/* Those that fired a moment ago are in the ledger once they have their records. */
static void on_hatched(void *owner, const struct id *ids UNUSED, size_t count UNUSED,
    int64_t left UNUSED, const struct err *err)
{
    struct recurring_op *op = owner;
    op->hatching = NULL;
    if (err != NULL) {
        recurring_op_finish(op, NULL, err);
        return;
    }
    struct store *store = op->t->set.store;
    op->call = store_cmd(store, on_found, op, "HGET %sprogress %s",
        store_id_prefix(store, op->id.text), op->id.text);
}

void recurring_ticks(struct ticker *t, const char *id, recurring_json_fn *done, void *owner)
{
    struct recurring_op *op = recurring_op_new(t, done, owner);
    if (recurring_op_id_ok(op, id)) {
        op->hatching = run_hatch(t->set.store, id_shard(op->id.text, t->shard_count), NULL, 0,
            HATCH_MAX, t->set.history_max_ticks, on_hatched, op);
    }
}
