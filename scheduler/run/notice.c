/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Notices: in the log, as events, and in the run's record, which is also what keeps them from
 * being said again by another task or after a restart.
 */
#include "run/notice.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/util.h"
#include "run/engine.h"
#include "run/live.h"

/* A run of many kinds of tasks says no more than this; each is one thing, such as "tolerations". */
#define NOTICES_MAX 50
#define NAMES_MAX_BYTES 16384

static bool is_said(const struct live *run, const char *about)
{
    size_t i;
    json_t *notice;
    json_array_foreach(run->notices, i, notice)
    {
        if (str_eq(jget_str(notice, "about", NULL), about)) {
            return true;
        }
    }
    return false;
}

static void say(struct task *task, const char *about)
{
    struct live *run = task->run;
    if (json_array_size(run->notices) >= NOTICES_MAX || is_said(run, about)) {
        return;
    }
    CLEANUP(cleanup_free)
    char *text = xasprintf("%s: has no meaning for the %s executor and is ignored", about,
        run->engine->set.executor.ops->name);
    LOG_INFO("part of a pipeline is ignored", "run=%s task=%s about=%s", run->id.text,
        LOG_Q(task->path), LOG_Q(about));
    json_t *notice = json_pack("{s:I,s:s,s:s,s:s}", "at_us", (json_int_t)clock_now_us(), "task",
        task->path, "about", about, "text", text);
    if (notice == NULL) {
        return; /* not UTF-8 */
    }
    json_array_append_new(run->notices, notice);
    run->is_notices_dirty = true;
    json_t *data = json_pack("{s:s,s:s,s:s,s:s}", "task_id", task->id.text, "task", task->path,
        "about", about, "text", text);
    CLEANUP(cleanup_free) char *what = xasprintf("run.notice/%s", about);
    live_event(run, "run.notice", what, data);
    live_touch(run);
}

void notice_ignored(struct task *task, const json_t *container)
{
    const struct executor *executor = &task->run->engine->set.executor;
    if (executor->ops->ignored == NULL) {
        return;
    }
    struct buf names;
    buf_init(&names, NAMES_MAX_BYTES);
    executor->ops->ignored(executor->self, container, &names);
    CLEANUP(cleanup_free) char *list = names.len > 0 ? buf_steal(&names, NULL) : NULL;
    buf_done(&names);
    for (char *name = list; name != NULL;) {
        char *end = strstr(name, ", ");
        if (end != NULL) {
            *end = '\0';
        }
        say(task, name);
        name = end != NULL ? end + 2 : NULL;
    }
}
