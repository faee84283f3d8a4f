/* SPDX-License-Identifier: Apache-2.0 */
/* Run and task records as KFP's JSON. */
#ifndef API_KFP_RUN_VIEW_H
#define API_KFP_RUN_VIEW_H

#include <stdbool.h>
#include <jansson.h>

struct plan;

/*
 * A run. plan is its spec, needed for runs without a stored version only (NULL: the spec is left
 * out). Its "tasks", if the record has them, become run_details.
 */
json_t *view_run(const json_t *record, const struct plan *plan);
/* Was the spec in the request? Then the API shows it in full. */
bool run_is_inline(const json_t *record);
/* The state as this API shows it: CANCELED as FAILED, for which the SDK stops waiting. */
const char *view_run_state(const json_t *record);
/* The words of the first API, which the filter key `status` still takes. */
const char *view_run_status(const json_t *record);

#endif
