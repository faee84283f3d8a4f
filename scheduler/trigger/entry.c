/* SPDX-License-Identifier: Apache-2.0 */
/* Recurring runs in memory. */
#include "trigger/entry.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/store.h"
#include "base/util.h"
#include "scheduler/run.h"
#include "trigger/schedule_cache.h"

#define ENTRY_TEXT_MAX ((size_t)64 << 20)

enum field { DOC, PROGRESS, ACTIVE, WAITING, FAILS, FIELD_COUNT };

/* `,"key":"text"` of a doc, where what is empty is left out. */
static void add_text(struct buf *out, const json_t *doc, const char *key)
{
    const char *text = jget_str(doc, key, "");
    if (text[0] != '\0') {
        jadd_str(out, key, text);
    }
}

static void add_object(struct buf *out, const json_t *doc, const char *key)
{
    const json_t *value = json_object_get(doc, key);
    if (json_object_size(value) > 0) {
        char *text CLEANUP(cleanup_free) = jtext(value);
        buf_addf(out, ",\"%s\":%s", key, text);
    }
}

/* What run_doc() makes, without its brackets, index and name. */
static void add_doc(struct buf *out, const json_t *doc, bool pinned)
{
    add_text(out, doc, "experiment_id");
    add_text(out, doc, "pipeline_id");
    add_text(out, doc, "pipeline_root");
    add_text(out, doc, "service_account");
    add_text(out, doc, "pipeline_name");
    if (pinned) {
        add_text(out, doc, "spec");
        add_text(out, doc, "version_id");
    }
    add_object(out, doc, "parameters");
    add_object(out, doc, "artifacts");
    add_text(out, doc, "pool");
    if (jget_i64(doc, "priority", 0) != 0) {
        buf_addf(out, ",\"priority\":%" PRId64, jget_i64(doc, "priority", 0));
    }
}

/* Several texts in one allocation: a million of these may be in memory. */
static int prepare_texts(struct tick_entry *e, const json_t *doc, struct err *err)
{
    const char *pipeline_id = jget_str(doc, "pipeline_id", "");
    bool pinned = jget_str(doc, "spec", "")[0] != '\0';
    struct buf all;
    buf_init(&all, ENTRY_TEXT_MAX);
    jadd_bare(&all, jget_str(doc, "name", ""));
    buf_addc(&all, '\0');
    size_t doc_at = all.len;
    add_doc(&all, doc, pinned);
    buf_addc(&all, '\0');
    size_t data_at = all.len;
    run_add_recurring(&all, e->id.text, jget_str(doc, "name", ""),
        jget_str(doc, "experiment_id", ""), jget_str(doc, "pipeline_name", ""));
    buf_addc(&all, '\0');
    size_t experiment_at = all.len;
    buf_adds(&all, jget_str(doc, "experiment_id", ""));
    buf_addc(&all, '\0');
    size_t pipeline_at = all.len;
    buf_adds(&all, pipeline_id);
    if (buf_check(&all, "recurring run", err) != 0) {
        buf_done(&all);
        return -1;
    }
    e->name = xrealloc(buf_steal(&all, NULL), pipeline_at + strlen(pipeline_id) + 1);
    e->doc = e->name + doc_at;
    e->doc_len = data_at - doc_at - 1;
    e->data = e->name + data_at;
    e->experiment_id = e->name + experiment_at;
    e->pipeline_id = pinned ? NULL : e->name + pipeline_at;
    return 0;
}

/* Nothing will come of it before somebody changes it, or a run of it ends. */
static bool entry_rests(const struct tick_entry *e)
{
    if (!e->progress.enabled) {
        return tick_entry_due_us(e) == 0;
    }
    if (progress_more(&e->progress, "ending") != NULL) {
        return false;
    }
    /* OVERLAP_QUEUE waits at the slot itself, with all that come after it. */
    bool waits = progress_more(&e->progress, "waits") != NULL;
    return (e->is_marked && !waits) || (e->progress.next_us <= 0 && (!waits || e->is_marked));
}

struct tick_entry *tick_entry_new(
    struct schedule_cache *cache, const char *id, const redisReply *fields, struct err *err)
{
    if (fields->type != REDIS_REPLY_ARRAY || fields->elements != FIELD_COUNT ||
        (fields->element[DOC]->str != NULL && fields->element[DOC]->len == 0)) {
        err_set(err, ERR_INTERNAL, "its key is not a string");
        return NULL;
    }
    const redisReply *text = fields->element[DOC], *state = fields->element[PROGRESS];
    if (text->str == NULL || state->str == NULL) {
        return NULL;
    }
    struct tick_entry *e = xcalloc(1, sizeof(*e));
    memcpy(e->id.text, id, ID_LEN);
    json_t *doc CLEANUP(json_decrefp) = jread_text(text->str, text->len, "recurring run", err);
    if (doc == NULL || progress_parse(state->str, state->len, &e->progress, err) != 0 ||
        policy_parse(doc, &e->policy, err) != 0) {
        tick_entry_free(e);
        return NULL;
    }
    json_object_set_new(doc, "id", json_string(id)); /* its key has it */
    e->progress_text = xstrdup(state->str);
    e->is_marked = fields->element[WAITING]->str != NULL;
    e->wants_policy = reply_int(fields->element[ACTIVE], 0) >= e->policy.max_concurrency;
    e->fails = reply_int(fields->element[FAILS], 0);
    e->offset_us = policy_offset_us(&e->policy, id);
    if (entry_rests(e)) {
        tick_entry_free(e);
        return NULL;
    }
    e->ready_us = tick_entry_due_us(e);
    struct schedule_window window;
    slot_window(doc, &window);
    e->start_us = window.start_us;
    e->end_us = window.end_us;
    e->created_us = window.created_us;
    e->no_catchup = e->policy.catchup == CATCHUP_LAST;
    e->schedule = schedule_cache_get(cache, doc, err);
    if (e->schedule == NULL || prepare_texts(e, doc, err) != 0) {
        tick_entry_free(e);
        return NULL;
    }
    return e;
}

void tick_entry_free(struct tick_entry *e)
{
    if (e == NULL) {
        return;
    }
    schedule_cache_put(e->schedule);
    progress_done(&e->progress);
    free(e->progress_text);
    free(e->name);
    free(e->latest);
    free(e);
}

struct schedule_window tick_entry_window(const struct tick_entry *e)
{
    return (struct schedule_window){
        .start_us = e->start_us,
        .end_us = e->end_us,
        .created_us = e->created_us,
        .no_catchup = e->no_catchup,
    };
}

const struct schedule *tick_entry_schedule(const struct tick_entry *e)
{
    return e->schedule->schedule;
}

struct slot_state tick_entry_slots(const struct tick_entry *e)
{
    return (struct slot_state){
        .last_us = e->progress.last_us,
        .anchor_us = e->progress.anchor_us,
        .next_us = e->progress.next_us,
    };
}

int64_t tick_entry_due_us(const struct tick_entry *e)
{
    return progress_due_us(&e->progress, e->is_marked, e->offset_us);
}

void tick_entry_advance(struct tick_entry *e, struct progress *p, char *text)
{
    progress_done(&e->progress);
    e->progress = *p;
    p->more = NULL;
    free(e->progress_text);
    e->progress_text = text;
}

void tick_entry_run_doc(const struct tick_entry *e, int64_t index, struct buf *out)
{
    buf_addf(out, "{\"index\":%" PRId64 ",\"name\":\"%s-%" PRId64 "\"", index, e->name, index);
    buf_add(out, e->doc, e->doc_len);
    if (e->latest != NULL) {
        buf_adds(out, e->latest);
    }
    buf_addc(out, '}');
}

void tick_entry_born(const struct tick_entry *e, int64_t index, int64_t slot_us, int64_t now_us,
    const char *detail, struct buf *out)
{
    run_born_head(
        out, now_us, slot_us, e->progress.generation, e->id.text, e->experiment_id, detail);
    tick_entry_run_doc(e, index, out);
}

/* Behind its experiment, also where e->pipeline_id says that the version is pinned. */
static const char *pipeline_of(const struct tick_entry *e)
{
    return e->experiment_id + strlen(e->experiment_id) + 1;
}

void tick_entry_add_pipeline(const struct tick_entry *e, struct buf *out)
{
    if (id_is_valid(pipeline_of(e))) {
        buf_addf(out, ",\"pipeline_id\":\"%s\"", pipeline_of(e));
    }
}

void tick_entry_event(const struct tick_entry *e, const char *run_id, int64_t index,
    int64_t slot_us, int64_t now_us, struct buf *out)
{
    char number[32];
    snprintf(number, sizeof number, "-%" PRId64, index);
    const struct run_fired fired = {
        .recurring_run = e->data,
        .pipeline_id = pipeline_of(e),
        .run_id = run_id,
        .name = e->name,
        .name_end = number,
        .index = index,
        .scheduled_us = slot_us,
        .at_us = now_us,
        .lateness_us = now_us - slot_us - e->offset_us,
    };
    run_fired_event(&fired, out);
}

/* ---- heap ---- */

static void heap_set(struct tick_heap *heap, size_t at, struct tick_entry *e)
{
    heap->items[at] = e;
    e->heap = heap;
    e->heap_at = at;
}

/* Of those that are due at once the smaller id: Redis keeps `due` in this order, and moves
 * neighbours faster. */
static bool comes_before(const struct tick_entry *a, const struct tick_entry *b)
{
    return a->ready_us != b->ready_us ? a->ready_us < b->ready_us
                                      : memcmp(a->id.text, b->id.text, ID_LEN) < 0;
}

static void heap_up(struct tick_heap *heap, size_t at, struct tick_entry *e)
{
    while (at > 0) {
        size_t parent = (at - 1) / 2;
        if (!comes_before(e, heap->items[parent])) {
            break;
        }
        heap_set(heap, at, heap->items[parent]);
        at = parent;
    }
    heap_set(heap, at, e);
}

static void heap_down(struct tick_heap *heap, size_t at, struct tick_entry *e)
{
    for (;;) {
        size_t child = at * 2 + 1;
        if (child >= heap->count) {
            break;
        }
        if (child + 1 < heap->count && comes_before(heap->items[child + 1], heap->items[child])) {
            child++;
        }
        if (!comes_before(heap->items[child], e)) {
            break;
        }
        heap_set(heap, at, heap->items[child]);
        at = child;
    }
    heap_set(heap, at, e);
}

void tick_heap_done(struct tick_heap *heap)
{
    free(heap->items);
    *heap = (struct tick_heap){0};
}

void tick_heap_add(struct tick_heap *heap, struct tick_entry *e)
{
    if (heap->count == heap->cap) {
        heap->cap = heap->cap == 0 ? 16 : heap->cap * 2;
        heap->items = xreallocarray(heap->items, heap->cap, sizeof(*heap->items));
    }
    heap->count++;
    heap_up(heap, heap->count - 1, e);
}

void tick_heap_remove(struct tick_heap *heap, struct tick_entry *e)
{
    assert(e->heap_at < heap->count && heap->items[e->heap_at] == e);
    struct tick_entry *last = heap->items[--heap->count];
    if (last == e) {
        return;
    }
    size_t at = e->heap_at;
    if (at > 0 && comes_before(last, heap->items[(at - 1) / 2])) {
        heap_up(heap, at, last);
    } else {
        heap_down(heap, at, last);
    }
}

struct tick_entry *tick_heap_top(const struct tick_heap *heap)
{
    return heap->count == 0 ? NULL : heap->items[0];
}
