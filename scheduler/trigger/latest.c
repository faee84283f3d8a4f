/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recurring runs that follow a pipeline's newest version: which one that is, is asked when they
 * are due. All that are due at once and follow the same pipeline share one question.
 */
#include "trigger/ticker.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "base/util.h"
#include "scheduler/catalog.h"
#include "trigger_scripts.h"

#define FAILURE_MIN_MS 10000
#define FAILURE_MAX_MS 360000

struct latest {
    struct ticker *t;
    char *pipeline_id;
    struct id *waiting; /* recurring runs */
    size_t count, cap;
    struct latest *prev, *next;
};

static void latest_free(struct latest *latest)
{
    *(latest->prev != NULL ? &latest->prev->next : &latest->t->latest) = latest->next;
    if (latest->next != NULL) {
        latest->next->prev = latest->prev;
    }
    free(latest->pipeline_id);
    free(latest->waiting);
    free(latest);
}

/* People look at the recurring run to see why nothing happens. */
static void latest_write_error(struct tick_shard *s, struct tick_entry *e, const struct err *err)
{
    LOG_WARN("recurring run cannot fire", "recurring_run=%s error=%s", e->id.text, LOG_Q(err->msg));
    if (strcmp(progress_error(&e->progress), err->msg) == 0) {
        return;
    }
    recurring_note_error(s->t, e->id.text, err->msg);
}

static void latest_failed(struct tick_shard *s, struct tick_entry *e, const struct err *err)
{
    s->t->counts.failed++;
    unsigned shift = e->tries < 6 ? e->tries : 6;
    e->tries++;
    if (err_is_transient(err)) {
        int64_t wait_ms = (int64_t)RETRY_MIN_MS << shift;
        shard_delay(s, e, wait_ms > RETRY_MAX_MS ? RETRY_MAX_MS : wait_ms);
        return;
    }
    latest_write_error(s, e, err);
    int64_t wait_ms = (int64_t)FAILURE_MIN_MS << shift;
    shard_delay(s, e, wait_ms > FAILURE_MAX_MS ? FAILURE_MAX_MS : wait_ms);
}

/* Members of a run's doc. */
static char *latest_members(const json_t *version)
{
    json_t *members CLEANUP(json_decrefp) = json_object();
    json_object_set_new(members, "spec", json_string(jget_str(version, "spec", "")));
    json_object_set_new(members, "version_id", json_string(jget_str(version, "id", "")));
    char *text CLEANUP(cleanup_free) = jtext(members);
    size_t len = strlen(text);
    return xasprintf(",%.*s", (int)len - 2, text + 1);
}

static void latest_on_version(void *owner, const json_t *version, const struct err *err)
{
    struct latest *latest = owner;
    struct ticker *t = latest->t;
    char *members CLEANUP(cleanup_free) = version == NULL ? NULL : latest_members(version);
    for (size_t i = 0; i < latest->count; i++) {
        const char *id = latest->waiting[i].text;
        struct tick_entry *e = map_get(t->entries, id);
        if (e == NULL || e->state != TICK_STATE_RESOLVING) {
            continue;
        }
        struct tick_shard *s = ticker_shard(t, id);
        if (members != NULL) {
            e->latest = xstrdup(members);
            shard_place(s, e);
        } else {
            latest_failed(s, e, err);
        }
    }
    latest_free(latest);
    ticker_poke(t);
}

static struct latest *latest_find(struct ticker *t, const char *pipeline_id)
{
    for (struct latest *l = t->latest; l != NULL; l = l->next) {
        if (strcmp(l->pipeline_id, pipeline_id) == 0) {
            return l;
        }
    }
    struct latest *latest = xcalloc(1, sizeof(*latest));
    latest->t = t;
    latest->pipeline_id = xstrdup(pipeline_id);
    latest->next = t->latest;
    if (t->latest != NULL) {
        t->latest->prev = latest;
    }
    t->latest = latest;
    version_latest(t->set.catalog, pipeline_id, latest_on_version, latest);
    return latest;
}

void latest_start(struct tick_shard *s, struct tick_entry *e)
{
    e->state = TICK_STATE_RESOLVING;
    struct latest *latest = latest_find(s->t, e->pipeline_id);
    if (latest->count == latest->cap) {
        latest->cap = latest->cap == 0 ? 4 : latest->cap * 2;
        latest->waiting = xreallocarray(latest->waiting, latest->cap, sizeof(*latest->waiting));
    }
    latest->waiting[latest->count++] = e->id;
}

void latest_cancel_all(struct ticker *t)
{
    while (t->latest != NULL) {
        catalog_cancel(t->set.catalog, t->latest);
        latest_free(t->latest);
    }
}
