/* SPDX-License-Identifier: Apache-2.0 */
/* What a run's author should know although nothing failed; each once per run. */
#ifndef SCHEDULER_RUN_NOTICE_H
#define SCHEDULER_RUN_NOTICE_H

#include <jansson.h>

struct task;

/* The order of this task is built: say what of `container` the executor has nothing for. */
void notice_ignored(struct task *task, const json_t *container);

#endif
