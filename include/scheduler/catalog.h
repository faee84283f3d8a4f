/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The catalogue: experiments, pipelines, pipeline versions, and stored specs by their SHA-256.
 * All under "rondo:{catalog}:" (see contrib/docs/storage.md). Records are JSON with a `v`.
 *
 * Every call answers through its callback, from the loop. Records are borrowed for the callback.
 */
#ifndef SCHEDULER_CATALOG_H
#define SCHEDULER_CATALOG_H

#include <stdbool.h>
#include <stdint.h>
#include <jansson.h>

struct catalog;
struct err;
struct plan;
struct store;
struct loop;

typedef void catalog_done_fn(void *owner, const json_t *record, const struct err *err);

struct catalog *catalog_new(struct loop *loop, struct store *store);
void catalog_free(struct catalog *catalog);
/* Forget all calls that have this owner: no callback comes. The calls themselves may still run. */
void catalog_cancel(struct catalog *catalog, const void *owner);

/*
 * Experiment record: {"v":1,"id","name","description","created_us","state":"AVAILABLE"|"ARCHIVED"}.
 * Names are unique (ERR_EXISTS).
 */
void experiment_create(struct catalog *c, const char *name, const char *description,
    catalog_done_fn *done, void *owner);
void experiment_get(struct catalog *c, const char *id, catalog_done_fn *done, void *owner);
/* The experiment called "Default", made when missing. */
void experiment_default(struct catalog *c, catalog_done_fn *done, void *owner);
void experiment_set_state(struct catalog *c, const char *id, const char *state,
    catalog_done_fn *done, void *owner);
void experiment_delete(struct catalog *c, const char *id, catalog_done_fn *done, void *owner);
/* done gets an array of all records, in created order. */
void experiment_all(struct catalog *c, catalog_done_fn *done, void *owner);

/* Pipeline record: {"v":1,"id","name","display_name","description","created_us","namespace","tags":{}}. */
struct pipeline_input {
    const char *name, *display_name, *description, *space; /* space: namespace */
    const json_t *tags;
};
/* Version record: {"v":1,"id","pipeline_id","name","display_name","description","created_us",
 * "spec":"<sha256>","code_source_url","package_url","tags":{},"commit"}. */
struct version_input {
    const char *pipeline_id, *name, *display_name, *description, *code_source_url, *package_url;
    const json_t *tags;
    const struct plan *plan; /* compiled already: only good specs are stored */
    const char *id;          /* NULL: a new one. Creating it again answers with what is there */
    const char *commit;      /* of the repository that it was read from, or NULL */
};
/* With version: pipeline and first version in one script; done gets the pipeline record. */
void pipeline_create(struct catalog *c, const struct pipeline_input *in,
    const struct version_input *version, catalog_done_fn *done, void *owner);
void pipeline_get(struct catalog *c, const char *id, catalog_done_fn *done, void *owner);
void pipeline_get_by_name(struct catalog *c, const char *name, catalog_done_fn *done, void *owner);
void pipeline_all(struct catalog *c, catalog_done_fn *done, void *owner);
/* changes: {"display_name"?, "description"?, "tags"?}. */
void pipeline_update(struct catalog *c, const char *id, const json_t *changes,
    catalog_done_fn *done, void *owner);
/* ERR_PRECONDITION when it has versions and cascade is false. */
void pipeline_delete(struct catalog *c, const char *id, bool cascade, catalog_done_fn *done,
    void *owner);

void version_create(struct catalog *c, const struct version_input *in, catalog_done_fn *done,
    void *owner);
void version_get(struct catalog *c, const char *id, catalog_done_fn *done, void *owner);
/* The newest version of a pipeline; ERR_NOT_FOUND when it has none. */
void version_latest(struct catalog *c, const char *pipeline_id, catalog_done_fn *done, void *owner);
void version_all(struct catalog *c, const char *pipeline_id, catalog_done_fn *done, void *owner);
void version_update(struct catalog *c, const char *id, const json_t *changes,
    catalog_done_fn *done, void *owner);
void version_delete(struct catalog *c, const char *id, catalog_done_fn *done, void *owner);

/* Store a compiled spec under its SHA-256 (no-op when it is there); sha_out is filled at once. */
void spec_put(struct catalog *c, const struct plan *plan, char sha_out[65], catalog_done_fn *done,
    void *owner);
/*
 * A compiled plan by hash, from a cache bounded by bytes. done gets a borrowed plan (ref it to
 * keep it).
 */
typedef void catalog_plan_fn(void *owner, struct plan *plan, const struct err *err);
void spec_plan(struct catalog *c, const char *sha, catalog_plan_fn *done, void *owner);
/* This owner's spec_plan calls get no answer any more. Not from within such an answer. */
void spec_plan_cancel(struct catalog *c, const void *owner);

#endif
