/* SPDX-License-Identifier: Apache-2.0 */
/* The names of run and task states, as they stand in records, events and replies. */
#include "scheduler/run.h"

#include <string.h>

#include "base/util.h"

static const char *const run_names[] = {
    [RUN_STATE_PENDING] = "PENDING",
    [RUN_STATE_RUNNING] = "RUNNING",
    [RUN_STATE_CANCELING] = "CANCELING",
    [RUN_STATE_SUCCEEDED] = "SUCCEEDED",
    [RUN_STATE_FAILED] = "FAILED",
    [RUN_STATE_CANCELED] = "CANCELED",
};

static const char *const task_names[] = {
    [TASK_STATE_WAITING] = "WAITING",
    [TASK_STATE_RUNNING] = "RUNNING",
    [TASK_STATE_SUCCEEDED] = "SUCCEEDED",
    [TASK_STATE_CACHED] = "CACHED",
    [TASK_STATE_NOT_TRIGGERED] = "NOT_TRIGGERED",
    [TASK_STATE_UNSCHEDULABLE] = "UNSCHEDULABLE",
    [TASK_STATE_FAILED] = "FAILED",
    [TASK_STATE_CANCELED] = "CANCELED",
};

/* Index of name in names, -1 when it is not there. */
static int name_find(const char *const *names, size_t count, const char *name)
{
    for (size_t i = 0; name != NULL && i < count; i++) {
        if (strcmp(names[i], name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

const char *run_state_name(enum run_state state)
{
    return run_names[state];
}

int run_state_parse(const char *name, enum run_state *out)
{
    int found = name_find(run_names, ARRAY_LEN(run_names), name);
    if (found < 0) {
        return -1;
    }
    *out = (enum run_state)found;
    return 0;
}

bool run_state_is_final(enum run_state state)
{
    return state >= RUN_STATE_SUCCEEDED;
}

const char *task_state_name(enum task_state state)
{
    return task_names[state];
}

int task_state_parse(const char *name, enum task_state *out)
{
    int found = name_find(task_names, ARRAY_LEN(task_names), name);
    if (found < 0) {
        return -1;
    }
    *out = (enum task_state)found;
    return 0;
}

bool task_state_is_final(enum task_state state)
{
    return state >= TASK_STATE_SUCCEEDED;
}
