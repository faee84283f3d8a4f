/* SPDX-License-Identifier: Apache-2.0 */
/* What is done to a run that exists; the routes are in runs.c. */
#ifndef API_KFP_RUN_ACTIONS_H
#define API_KFP_RUN_ACTIONS_H

struct api_call;

void run_archive_handle(struct api_call *call);
void run_unarchive_handle(struct api_call *call);
void run_terminate_handle(struct api_call *call);
void run_retry_handle(struct api_call *call);
void run_delete_handle(struct api_call *call);

/* artifact_read.c */
void artifact_read_handle(struct api_call *call);

#endif
