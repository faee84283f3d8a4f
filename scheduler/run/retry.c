/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether and when another attempt follows one that has ended badly. Failures count against the
 * task's retryPolicy (kfp-semantics.md 9.1), losses against the setting lost-retries; neither
 * against the other.
 */
#include "run/live.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/secret.h"
#include "base/util.h"
#include "run/engine.h"

#define LOST_BACKOFF_MS 500
#define LOST_BACKOFF_MAX_MS 60000
#define BUDGET_DEFAULT_MS INT64_C(3600000)
#define FACTOR_DEFAULT 2.0

const struct retry_policy *task_retry_policy(const struct task *task)
{
    for (const struct task *t = task; t != NULL && t->def != NULL; t = t->parent) {
        if (t->def->retry.is_set) {
            return &t->def->retry;
        }
    }
    return NULL;
}

/* Before retry n, counted from 1; no more than `max`. */
static int64_t backoff_ms(const struct retry_policy *policy, int n, int64_t max)
{
    double factor = policy->factor > 0 ? policy->factor : FACTOR_DEFAULT;
    double ms = (double)policy->backoff_ms;
    for (int i = 1; i < n && ms > 0 && ms <= (double)max; i++) {
        ms *= factor;
    }
    return ms > (double)max ? max + 1 : (int64_t)ms;
}

int64_t retry_after_failure(const struct task *task)
{
    const struct retry_policy *policy = task_retry_policy(task);
    int failures = task->tries - task->lost;
    if (policy == NULL || failures > policy->max_count || task_is_to_end(task)) {
        return 0;
    }
    int64_t budget_ms = policy->max_backoff_ms > 0 ? policy->max_backoff_ms : BUDGET_DEFAULT_MS;
    int64_t at_us = clock_now_us() + backoff_ms(policy, failures, budget_ms) * US_PER_MS;
    if (at_us > task->first_us + budget_ms * US_PER_MS) {
        LOG_INFO("no retry: the time for it is over", "run=%s task=%s budget_ms=%lld",
            task->run->id.text, LOG_Q(task->path), (long long)budget_ms);
        return 0;
    }
    return at_us;
}

int64_t retry_lost_ms(int lost)
{
    int64_t ms = LOST_BACKOFF_MS;
    for (int i = 1; i < lost && ms < LOST_BACKOFF_MAX_MS; i++) {
        ms *= 2;
    }
    ms = ms > LOST_BACKOFF_MAX_MS ? LOST_BACKOFF_MAX_MS : ms;
    uint16_t jitter;
    random_bytes(&jitter, sizeof(jitter));
    return ms + ms * jitter / UINT16_MAX / 4;
}

void retry_at(struct task *task, int64_t at_us, const char *reason, int exit_code)
{
    task->retry_us = at_us;
    task_set_error(task, reason);
    json_t *data = json_object();
    json_object_set_new(data, "error", json_string(reason));
    json_object_set_new(data, "exit_code", json_integer(exit_code));
    json_object_set_new(data, "retry_us", json_integer(at_us));
    task_event(task, "task.retrying", data);
    task_set_state(task, TASK_STATE_WAITING);
    timer_start_at(&task->retry, at_us);
}
