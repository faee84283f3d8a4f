/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a run or recurring run is to carry out: a spec in the request, a stored version, or the
 * latest version of a pipeline. Answers the call itself when that fails.
 */
#ifndef API_KFP_SOURCE_H
#define API_KFP_SOURCE_H

#include <stdbool.h>
#include <jansson.h>

struct api_call;
struct plan;

struct source {
    struct api_call *call;
    char sha[65];
    struct plan *plan;                    /* owned by the call */
    const char *pipeline_id, *version_id; /* NULL for a spec in the request */
    bool is_latest;                       /* only the pipeline was named */
    void (*done)(void *owner);
    void *owner;
};

/*
 * in: a message with pipeline_spec, pipeline_version_reference or pipeline_version_id, as read
 * by kfp_body(). done is called only on success.
 */
void source_resolve(struct source *source, struct api_call *call, const json_t *in,
    void (*done)(void *owner), void *owner);

/* Compile; NULL after answering 400 with all complaints. Owned by the call. */
struct plan *source_compile_json(struct api_call *call, const json_t *spec);
struct plan *source_compile_text(struct api_call *call, const char *text, size_t len);

/* experiment_id of the message, checked; or the default experiment's. Fails like the above. */
struct experiment_lookup {
    struct api_call *call;
    const char *id, *state; /* filled */
    void (*done)(void *owner);
    void *owner;
};
void experiment_lookup(struct experiment_lookup *lookup, struct api_call *call, const char *id,
    void (*done)(void *owner), void *owner);

#endif
