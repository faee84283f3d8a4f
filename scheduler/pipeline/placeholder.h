/* SPDX-License-Identifier: Apache-2.0 */
/*
 * {{$...}} references: recognising them in a text and replacing them in one scan. What replaces
 * a reference is never looked at again, so a value can hold any text without meaning anything.
 */
#ifndef PIPELINE_PLACEHOLDER_H
#define PIPELINE_PLACEHOLDER_H

#include <stdbool.h>
#include <stddef.h>
#include <jansson.h>

struct buf;
struct run_context;

enum ref_kind {
    REF_EXECUTOR_INPUT, /* {{$}} */
    REF_OUTPUT_FILE,    /* {{$.outputs.output_file}}, {{$.outputMetadataUri}} */
    REF_IN_PARAM,       /* {{$.inputs.parameters['x']}} */
    REF_OUT_PARAM,      /* {{$.outputs.parameters['x'].output_file}} */
    REF_IN_ARTIFACT,    /* {{$.inputs.artifacts['a'].uri}} and so on */
    REF_OUT_ARTIFACT,
    REF_RUN, /* {{$.pipeline_job_name}} and so on */
};
enum ref_field {
    FIELD_WHOLE,
    FIELD_URI,
    FIELD_PATH,
    FIELD_NAME,
    FIELD_METADATA,
};
enum run_fact {
    RUN_FACT_NAME,
    RUN_FACT_RESOURCE_NAME,
    RUN_FACT_ID,
    RUN_FACT_TASK_NAME,
    RUN_FACT_TASK_ID,
    RUN_FACT_CREATED,
    RUN_FACT_SCHEDULED,
    RUN_FACT_ROOT,
    RUN_FACT_WORKSPACE,
};

#define REF_MAX_NAME 256
#define REF_MAX_KEYS 4

struct ref {
    enum ref_kind kind;
    enum ref_field field;
    enum run_fact fact;
    char name[REF_MAX_NAME];
    char keys[REF_MAX_KEYS][REF_MAX_NAME]; /* metadata['a']['b'] */
    size_t key_count;
    int escapes; /* .json_escape[n]: how often what replaces it is written as a JSON text */
};

/* Parse the reference that begins at `at`. Its length, 0 when it is not one that we know. */
size_t ref_parse(const char *at, const char *end, struct ref *out);

/*
 * Append what the reference stands for. 1: done; 0: leave the text as it is; -1: stop (the
 * owner knows why).
 */
typedef int ref_write_fn(void *owner, const struct ref *ref, struct buf *out);
/*
 * Copy text with references replaced. 1: some were; 0: none; -1: fn stopped. values (array, may be
 * NULL): begin in out and length of what replaced each one are appended.
 */
int refs_replace(
    const char *text, size_t len, ref_write_fn *fn, void *owner, struct buf *out, json_t *values);

#define CHANNEL_START "{{channel:"

/* {{channel:task=T;name=N;type=X;}}: how the SDK writes a pipeline channel into an f-string. */
struct channel {
    char task[REF_MAX_NAME]; /* empty: an input of the pipeline */
    char name[REF_MAX_NAME];
};

/* Parse the channel that begins at `at`. Its length; 0 when it is none. */
size_t channel_parse(const char *at, const char *end, struct channel *out);

/* Run-level facts; 0 when the context lacks the fact. */
int run_fact_write(const struct run_context *run, enum run_fact fact, struct buf *out);

#endif
