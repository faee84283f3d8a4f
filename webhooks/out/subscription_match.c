/* SPDX-License-Identifier: Apache-2.0 */
/* Which events go to a subscription: its event types, its lists, its filter expression. */
#include "webhooks/out/subscription.h"

#include <fnmatch.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/util.h"
#include "webhooks/cel/cel.h"
#include "webhooks/event_types.h"

const char *const subscription_filter_variables[] = {"type", "id", "time", "data", NULL};

/* "task.started, task.finished": types with the same first word. */
static void add_siblings(struct buf *out, const char *glob)
{
    size_t count, first = strcspn(glob, ".*");
    const struct event_type *types = event_types(&count);
    for (size_t i = 0; i < count; i++) {
        if (strncmp(types[i].type, glob, first) == 0 && types[i].type[first] == '.') {
            buf_addf(out, "%s%s", out->len > 0 ? ", " : "", types[i].type);
        }
    }
}

int subscription_check_events(const struct subscription *s, struct err *err)
{
    size_t count;
    const struct event_type *types = event_types(&count);
    for (size_t i = 0; i < s->events.count; i++) {
        const char *glob = s->events.items[i];
        size_t t = 0;
        while (t < count && fnmatch(glob, types[t].type, 0) != 0) {
            t++;
        }
        if (t < count) {
            continue;
        }
        struct buf siblings;
        buf_init(&siblings, ERR_MSG_MAX / 2);
        add_siblings(&siblings, glob);
        err_set(err, ERR_INVALID,
            "events[%zu]: there is no event of type '%s'%s%s; GET /apis/rondo/v1/events/types "
            "lists "
            "all",
            i, glob, siblings.len > 0 ? ", but " : "", buf_str(&siblings));
        buf_done(&siblings);
        return -1;
    }
    return 0;
}

bool subscription_wants_type(const struct subscription *s, const char *type)
{
    for (size_t i = 0; i < s->events.count; i++) {
        const char *glob = s->events.items[i];
        if (strcmp(glob, "*") == 0 || strcmp(glob, type) == 0 || fnmatch(glob, type, 0) == 0) {
            return true;
        }
    }
    return false;
}

/* Is one of the list the value of one of these members? An event without them is of none. */
static bool is_listed(
    const struct subscription_list *list, const json_t *data, const char *id, const char *name)
{
    if (list->count == 0) {
        return true;
    }
    const char *has_id = jget_str(data, id, ""), *has_name = jget_str(data, name, "");
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->items[i], has_id) == 0 || strcmp(list->items[i], has_name) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_let_through(const struct subscription *s, const json_t *event, struct err *err)
{
    bool is_true = false;
    if (s->filter == NULL) {
        return true;
    }
    CLEANUP(json_decrefp) json_t *time = NULL;
    if (s->speaks_of_time) {
        char at[CLOCK_TEXT_MAX];
        clock_format_us(jget_i64(event, "time_us", 0), at);
        time = json_string(at);
    }
    const struct cel_var vars[] = {{"type", json_object_get(event, "type")},
        {"id", json_object_get(event, "id")}, {"time", time},
        {"data", json_object_get(event, "data")}};
    return cel_matches(s->filter, vars, ARRAY_LEN(vars), &is_true, err) == 0 && is_true;
}

bool subscription_wants(const struct subscription *s, const json_t *event, struct err *err)
{
    const json_t *data = json_object_get(event, "data");
    const char *to = jget_str(event, "to", NULL);
    if (to != NULL) {
        return s->is_enabled && strcmp(to, s->id) == 0;
    }
    return s->is_enabled && subscription_wants_type(s, jget_str(event, "type", "")) &&
           is_listed(&s->namespaces, data, "namespace", "namespace") &&
           is_listed(&s->experiments, data, "experiment_id", "experiment_name") &&
           is_listed(&s->pipelines, data, "pipeline_id", "pipeline_name") &&
           is_listed(&s->recurring_runs, data, "recurring_run_id", "recurring_run_name") &&
           is_let_through(s, event, err);
}
