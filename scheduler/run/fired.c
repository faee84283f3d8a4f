/* SPDX-License-Identifier: Apache-2.0 */
/* The event recurring_run.fired: of a claim, of somebody who asks, and of a run that was claimed
 * ahead of its instant. */
#include "scheduler/run.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/id.h"
#include "base/json.h"
#include "base/util.h"

#define BORN_WORDS 6 /* what run_born_head() adds */
#define EVENT_MAX ((size_t)1 << 20)

void run_add_recurring(struct buf *out, const char *id, const char *name, const char *experiment_id,
    const char *pipeline_name)
{
    buf_addf(out, "\"recurring_run_id\":\"%s\"", id);
    jadd_str(out, "recurring_run_name", name);
    jadd_str(out, "experiment_id", experiment_id);
    jadd_str(out, "pipeline_name", pipeline_name);
}

void run_fired_event(const struct run_fired *fired, struct buf *out)
{
    struct id id;
    id_derive(&id, fired->run_id, "recurring_run.fired");
    buf_addf(out,
        "{\"id\":\"%s\",\"type\":\"recurring_run.fired\",\"time_us\":%" PRId64 ",\"data\":{%s",
        id.text, fired->at_us, fired->recurring_run);
    if (id_is_valid(fired->pipeline_id)) {
        buf_addf(out, ",\"pipeline_id\":\"%s\"", fired->pipeline_id);
    }
    buf_addf(out,
        ",\"run_id\":\"%s\",\"run_name\":\"%s%s\",\"index\":%" PRId64
        ",\"scheduled_us\":%" PRId64 ",\"lateness_us\":%" PRId64,
        fired->run_id, fired->name, fired->name_end, fired->index, fired->scheduled_us,
        fired->lateness_us);
    if (fired->request_id != NULL) {
        buf_adds(out, ",\"manual\":true");
        jadd_str(out, "request_id", fired->request_id);
    }
    buf_adds(out, "}}");
}

/* Its words and, behind them, the doc; false when they are not all there. */
static bool born_words(const char *text, const char *words[BORN_WORDS + 1])
{
    words[0] = text;
    for (size_t i = 0; i < BORN_WORDS; i++) {
        const char *space = strchr(words[i], ' ');
        if (space == NULL) {
            return false;
        }
        words[i + 1] = space + 1;
    }
    return true;
}

static char *word_copy(const char *const words[], size_t i)
{
    return xstrndup(words[i], (size_t)(words[i + 1] - words[i] - 1));
}

/* The name of its recurring run: "<that>-<index>". */
static char *recurring_run_name(const char *run_name, int64_t index)
{
    char suffix[32];
    size_t len = (size_t)snprintf(suffix, sizeof suffix, "-%" PRId64, index);
    size_t whole = strlen(run_name);
    bool has_suffix = whole >= len && strcmp(run_name + whole - len, suffix) == 0;
    return xstrndup(run_name, has_suffix ? whole - len : whole);
}

static void born_write(const char *run_id, const char *recurring_run_id, const json_t *doc,
    int64_t scheduled_us, int64_t came_us, struct buf *out)
{
    const char *run_name = jget_str(doc, "name", "");
    int64_t index = jget_i64(doc, "index", 0);
    char *name CLEANUP(cleanup_free) = recurring_run_name(run_name, index);
    struct buf recurring_run, bare;
    buf_init(&recurring_run, EVENT_MAX);
    buf_init(&bare, EVENT_MAX);
    run_add_recurring(&recurring_run, recurring_run_id, name, jget_str(doc, "experiment_id", ""),
        jget_str(doc, "pipeline_name", ""));
    jadd_bare(&bare, run_name);
    const struct run_fired fired = {
        .recurring_run = buf_str(&recurring_run),
        .pipeline_id = jget_str(doc, "pipeline_id", ""),
        .run_id = run_id,
        .name = buf_str(&bare),
        .name_end = "",
        .index = index,
        .scheduled_us = scheduled_us,
        .at_us = came_us,
        .lateness_us = came_us - scheduled_us,
    };
    run_fired_event(&fired, out);
    buf_done(&recurring_run);
    buf_done(&bare);
}

json_t *run_born_event(const char *run_id, const char *text, int64_t came_us)
{
    const char *words[BORN_WORDS + 1];
    if (!born_words(text, words)) {
        return NULL;
    }
    char *scheduled CLEANUP(cleanup_free) = word_copy(words, 1);
    char *recurring_run_id CLEANUP(cleanup_free) = word_copy(words, 3);
    json_t *doc CLEANUP(json_decrefp) = json_loads(words[BORN_WORDS], 0, NULL);
    int64_t scheduled_us;
    if (doc == NULL ||
        parse_i64(scheduled, 0, INT64_MAX, "scheduled_us", &scheduled_us, NULL) != 0) {
        return NULL;
    }
    struct buf out;
    buf_init(&out, EVENT_MAX);
    born_write(run_id, recurring_run_id, doc, scheduled_us, came_us, &out);
    json_t *event = json_loads(buf_str(&out), 0, NULL);
    buf_done(&out);
    return event;
}
