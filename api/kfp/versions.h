/* SPDX-License-Identifier: Apache-2.0 */
/* /apis/v2beta1/pipelines/{pipeline_id}/versions; the routes are in pipelines.c. */
#ifndef API_KFP_VERSIONS_H
#define API_KFP_VERSIONS_H

#include <jansson.h>

struct api_call;
struct err;
struct plan;

void version_create_handle(struct api_call *call);
void version_list_handle(struct api_call *call);
void version_get_handle(struct api_call *call);
void version_update_handle(struct api_call *call);
void version_delete_handle(struct api_call *call);

/* A callback for catalog.h (owner: the call) that shows the version with its spec. */
void version_reply(void *owner, const json_t *record, const struct err *err);

/* What a PATCH changes: absent or empty texts stay, `tags: {}` clears. Owned by the call. */
const json_t *catalog_changes(struct api_call *call, const json_t *in);

#endif
