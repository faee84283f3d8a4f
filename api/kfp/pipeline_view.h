/* SPDX-License-Identifier: Apache-2.0 */
/* Pipelines and versions as KFP's JSON; their message tables and rules. */
#ifndef API_KFP_PIPELINE_VIEW_H
#define API_KFP_PIPELINE_VIEW_H

#include <jansson.h>

#include "api/kfp/message.h"

struct err;
struct plan;

extern const struct kfp_message kfp_pipeline, kfp_version;

json_t *view_pipeline(const json_t *record);
/* plan: the version's; NULL leaves pipeline_spec out. */
json_t *view_version(const json_t *record, const struct plan *plan);

#define PIPELINE_NAME_MAX 128
#define VERSION_NAME_MAX 127
/* Lengths of display_name, name and namespace; tags. */
int kfp_check_pipeline(const json_t *in, size_t name_max, struct err *err);
/* name, or display_name, or fallback; never NULL. */
const char *name_of(const json_t *in, const char *fallback);
const char *display_name_of(const json_t *in, const char *fallback);

#endif
