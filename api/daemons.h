/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that only the daemon can answer that carries the run on. */
#ifndef API_DAEMONS_H
#define API_DAEMONS_H

#include <stdbool.h>

struct api;
struct api_call;

/* Where that one is reached; NULL: that is us, or nobody knows. */
const char *daemons_url_of_run(const struct api *api, const char *run_id);
/* Answer with 307 when another daemon carries the run on; true: it has been answered. */
bool daemons_redirect(struct api_call *call, const char *run_id);
/* Ask the daemon that carries the run on, and answer as it does; false: we are to answer. Only for
 * calls without a body. */
bool daemons_pass_on(struct api_call *call, const char *run_id);

#endif
