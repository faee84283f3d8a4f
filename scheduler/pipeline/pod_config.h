/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the platform document says of one executor (kfp-semantics.md 12.1), read and checked: what
 * does not depend on a parameter is Kubernetes JSON already. Shared by pod_*.c.
 */
#ifndef PIPELINE_POD_CONFIG_H
#define PIPELINE_POD_CONFIG_H

#include "pipeline/draft.h"
#include "scheduler/plan.h"

/* ---- a setting that may come from a parameter (pod_value.c) ---- */

enum pod_value_kind {
    POD_VALUE_ABSENT,
    POD_VALUE_CONSTANT,
    POD_VALUE_REFERENCE,
};
struct pod_value {
    enum pod_value_kind kind;
    const json_t *constant; /* may hold placeholders; NULL: null */
    struct scope_ref ref;
    const char *selector; /* parameterExpressionSelector or NULL */
    const char *where;    /* "secretAsEnv[0].secretNameParameter (line 12)" */
};
/* Something that a value refers to, directly or within a constant. */
struct pod_reference {
    struct scope_ref ref;
    struct place place;
    const char *where;
    bool is_text; /* within a constant: an f-string, which the SDK does not pass down to loops */
};
/*
 * Under which name the SDK passes it into the DAG of a loop or a condition, where it is an input.
 * pool: for the text.
 */
const char *pod_reference_passed(struct pool *pool, const struct scope_ref *ref);

/* The member `name` (an InputParameterSpec) of a map; absent if it is not there. */
void pod_value_read(struct draft *d, struct pod_config *config, const struct tree *map,
    const char *name, const struct path *up, struct pod_value *out);
/* The name of an object: the newer member, else the older one (a plain text). Complains when both
 * are missing, and about constants that cannot be the name of a `what` ("secret"). */
void pod_value_read_name(struct draft *d, struct pod_config *config, const struct tree *map,
    const char *name, const char *old_name, const char *what, const struct path *up,
    struct pod_value *out);
/* The source that a map names in its own members. */
void pod_value_read_source(struct draft *d, struct pod_config *config, const struct tree *node,
    const struct path *path, struct pod_value *out);
/* "secretAsEnv[0].secretName (line 12)": below the executor. */
const char *pod_where(struct draft *d, const struct path *path, struct place place);
/* True when nothing at run time can change it: a constant without placeholders. */
bool pod_value_is_fixed(const struct pod_value *value);

/* One pod_config_resolve(). */
struct pod_resolving {
    scope_fn *scope;
    void *owner;
    const struct run_context *run;
    json_t *parts; /* what comes out */
    struct err *err;
};
/* New reference in *out; NULL in it: there is no value. -1 and err. */
int pod_value_resolve(const struct pod_value *value, struct pod_resolving *r, json_t **out);
/* The same for the name of an object; malloc'd or NULL. */
int pod_value_resolve_name(const struct pod_value *value, struct pod_resolving *r, char **out);
/* Add to the list `name` of the parts. Takes item. */
void pod_parts_add(struct pod_resolving *r, const char *name, json_t *item);

/* ---- JSON from parameters (pod_shape.c) ---- */

/* What an object of Kubernetes looks like, as far as it may be given. */
enum pod_shape_kind {
    POD_SHAPE_TEXT,
    POD_SHAPE_INTEGER,
    POD_SHAPE_TEXTS, /* a list of them */
    POD_SHAPE_OBJECT,
    POD_SHAPE_OBJECTS,
};
struct pod_shape {
    const char *name; /* NULL: the end */
    enum pod_shape_kind kind;
    const struct pod_shape *inner;
};
extern const struct pod_shape pod_shape_toleration[], pod_shape_node_affinity[],
    pod_shape_resource_claim[];
/* A text that holds JSON counts as that JSON. New reference; NULL and err. */
json_t *pod_shape_open(json_t *value, const char *where, struct err *err);
/* A copy of an object with its members in Kubernetes' spelling; ERR_INVALID names the member that
 * is unknown or of a wrong kind. New reference. */
json_t *pod_shape_read(const struct pod_shape *shape, const json_t *value, const char *where,
    struct err *err);

/* ---- environment (pod_env.c) ---- */

enum pod_env_kind {
    POD_ENV_SECRET,
    POD_ENV_CONFIG_MAP,
    POD_ENV_FIELD,
};
struct pod_env_key {
    const char *key, *env;
};
struct pod_env {
    enum pod_env_kind kind;
    struct pod_value object;
    struct pod_env_key *keys; /* FIELD: one; its key is the field's path */
    size_t key_count;
    bool has_optional, is_optional;
};
void pod_env_read(struct draft *d, const struct tree *map, const struct path *path,
    struct pod_config *config);
int pod_env_resolve(const struct pod_config *config, struct pod_resolving *r);
/* Complains about what Kubernetes does not take for the name of a variable. */
void pod_env_check_name(
    struct draft *d, const char *name, struct place place, const struct path *path);

/* ---- volumes (pod_volumes.c) ---- */

enum pod_volume_kind {
    POD_VOLUME_SECRET,
    POD_VOLUME_CONFIG_MAP,
    POD_VOLUME_CLAIM,
    POD_VOLUME_EPHEMERAL,
    POD_VOLUME_EMPTY_DIR,
};
struct pod_volume {
    enum pod_volume_kind kind;
    struct pod_value object; /* the first three */
    const char *name;        /* the others: as written */
    const json_t *source;    /* the others: {"emptyDir": {...}} */
    const char *mount_path, *sub_path;
    bool has_optional, is_optional;
    const char *where;
};
void pod_volumes_read(struct draft *d, const struct tree *map, const struct path *path,
    struct pod_config *config);
/* names_out: what init containers call the volumes -> their names in the pod; new reference. */
int pod_volumes_resolve(
    const struct pod_config *config, struct pod_resolving *r, json_t **names_out);
/* The absolute form of a mount path; NULL and a complaint when there is none. */
const char *pod_mount_path(
    struct draft *d, const struct tree *map, const char *name, const struct path *up);

/* ---- where it may run (pod_placement.c, pod_affinity.c) ---- */

/* Either fixed or from a parameter. */
struct pod_term {
    const json_t *fixed;
    struct pod_value json;
    int weight; /* nodeAffinity: 0 = required */
};
void pod_placement_read(struct draft *d, const struct tree *map, const struct path *path,
    struct pod_config *config);
int pod_placement_resolve(const struct pod_config *config, struct pod_resolving *r);
void pod_affinity_read(struct draft *d, const struct tree *map, const struct path *path,
    struct pod_config *config);
int pod_affinity_resolve(const struct pod_config *config, struct pod_resolving *r);

/* ---- init containers (pod_init.c) ---- */

void pod_init_read(struct draft *d, const struct tree *map, const struct path *path,
    struct pod_config *config);
int pod_init_resolve(
    const struct pod_config *config, struct pod_resolving *r, const json_t *volume_names);

/* ---- all of it (pod_config.c) ---- */

struct pod_config {
    struct pod_env *env;
    size_t env_count;
    struct pod_volume *volumes;
    size_t volume_count;
    struct pod_term node_selector;
    struct pod_term *tolerations, *node_affinity;
    size_t toleration_count, node_affinity_count;
    const json_t *pod_affinity; /* {"podAffinity": {}, "podAntiAffinity": {}} or NULL */
    struct pod_value *pull_secrets, *resource_claims;
    size_t pull_secret_count, resource_claim_count;
    const char *pull_policy;
    const json_t *labels, *annotations, *security; /* objects or NULL */
    int64_t deadline_s;
    const json_t *init_containers; /* array or NULL; volumeMounts name volumes as written */
    struct pod_reference *references; /* all that its values refer to */
    size_t reference_count, reference_cap;
};

/* The part of read_platform() for pipelineConfig (pipeline_config.c). */
void read_pipeline_config(struct draft *d, const struct tree *kubernetes, const struct path *path);

/* Keeps a value for the plan. Takes it. */
const json_t *pod_keep(struct draft *d, json_t *value);
/* A list with a ceiling; NULL when it is absent or too long. */
struct tree *pod_list(
    struct draft *d, const struct tree *map, const char *name, const struct path *up);
/* Element `index` as a map; NULL and a complaint when it is none. */
const struct tree *pod_item(struct draft *d, const struct tree *list, const struct path *path);
/* {"name": "text"}; NULL when it is absent or empty. */
json_t *pod_text_map(
    struct draft *d, const struct tree *map, const char *name, const struct path *up);
/* ["text", ...]; NULL when it is absent or empty. */
json_t *pod_text_list(
    struct draft *d, const struct tree *map, const char *name, const struct path *up);
/* Sets obj[name] to the member's text if it is there and not empty; gives the text. */
const char *pod_copy_text(struct draft *d, const struct tree *map, const char *name,
    const struct path *up, json_t *obj);
/* An optional true or false; has_out: it is there. */
bool pod_flag(struct draft *d, const struct tree *map, const char *name, const struct path *up,
    bool *has_out);
/* The member's text if it is a quantity. */
const char *pod_quantity(
    struct draft *d, const struct tree *map, const char *name, const struct path *up);

#endif
