/* SPDX-License-Identifier: Apache-2.0 */
/* What the platform document says about a task, with its parameters filled in. */
#ifndef SCHEDULER_RUN_TASK_POD_H
#define SCHEDULER_RUN_TASK_POD_H

#include <jansson.h>

struct err;
struct task;

/* pod_config_resolve() in the scope of the DAG that the task is in. New reference, empty when
 * nothing is said; NULL and err. */
json_t *task_pod_parts(const struct task *task, struct err *err);

#endif
