/* SPDX-License-Identifier: Apache-2.0 */
/* Uploads of pipeline files; the routes are in pipelines.c. */
#ifndef API_KFP_UPLOAD_H
#define API_KFP_UPLOAD_H

struct api_call;

void upload_handle(struct api_call *call);
void upload_version_handle(struct api_call *call);

#endif
