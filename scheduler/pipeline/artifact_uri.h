/* SPDX-License-Identifier: Apache-2.0 */
/* What an artifact's URI may be. */
#ifndef SCHEDULER_PIPELINE_ARTIFACT_URI_H
#define SCHEDULER_PIPELINE_ARTIFACT_URI_H

struct err;

/*
 * ERR_INVALID unless it is a path (whose it is, the caller knows) or begins with a scheme that
 * artifacts of this schema title (or NULL) can have; the message names the URI and what would do.
 */
int artifact_uri_check(const char *uri, const char *schema_title, struct err *err);

#endif
