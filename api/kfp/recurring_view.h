/* SPDX-License-Identifier: Apache-2.0 */
/* Recurring run records as KFP's JSON, with the next fire times besides. */
#ifndef API_KFP_RECURRING_VIEW_H
#define API_KFP_RECURRING_VIEW_H

#include <stdbool.h>
#include <stdint.h>
#include <jansson.h>

struct plan;

/* plan: as for view_run(). */
json_t *view_recurring(const json_t *record, const struct plan *plan, int64_t now_us);
/* Was the spec in the request? */
bool recurring_is_inline(const json_t *record);

#endif
