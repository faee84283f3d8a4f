/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Our records as KFP's JSON: zero values left out, 64-bit integers as text, instants in whole
 * seconds. And the message tables that several resources share.
 */
#ifndef API_KFP_VIEW_H
#define API_KFP_VIEW_H

#include <stddef.h>
#include <stdint.h>
#include <jansson.h>

#include "api/kfp/message.h"

struct api_call;
struct err;
struct plan;

#define DEFAULT_SERVICE_ACCOUNT "pipeline-runner"

/* Messages of swagger that occur in more than one place. */
extern const struct kfp_message kfp_version_reference, kfp_runtime_config, kfp_url;
extern const struct kfp_enum kfp_storage_states[];

/* google.rpc.Status. */
json_t *view_status(int code, const char *message);
/* Instant as text, also when it is 0 (1970: KFP's way to say "not yet"). */
void view_time(json_t *out, const char *key, int64_t us);
void view_i64(json_t *out, const char *key, int64_t value);
/* The spec as a client sent it: bare, or with its platform part. New reference. */
json_t *view_spec(const struct plan *plan);
/* {"parameters", "pipeline_root", "input_artifacts"}; left out when all are empty. */
void view_runtime_config(json_t *out, const json_t *record);
/* pipeline_version_reference of a record with pipeline_id; nothing without. */
void view_version_reference(json_t *out, const json_t *record);

/* ERR_INVALID when longer than max bytes. */
int kfp_check_length(const char *what, const char *text, size_t max, struct err *err);
/* KFP's rules: at most 20, keys 1..63 bytes without '.', values at most 63. */
int kfp_check_tags(const json_t *tags, struct err *err);

/* Read the body by table. NULL: the call has been answered. Owned by the call. */
json_t *kfp_body(struct api_call *call, const struct kfp_message *message);

#endif
