/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A compiled pipeline: what kfp's IR YAML says, checked and linked, read-only and reference
 * counted. Everything in it lives in one pool. Terms are those of pipeline_spec.proto
 * (kubeflow/pipelines api/v2alpha1).
 */
#ifndef SCHEDULER_PLAN_H
#define SCHEDULER_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <jansson.h>

struct buf;
struct err;
struct expression;
struct pool;
struct run_context;

/* Complaints about a file: all at once, each with its place. */
struct complaint {
    unsigned line, column;  /* 1-based; 0 = whole file */
    bool is_warning;
    const char *path;       /* "root.dag.tasks.train.inputs.parameters.x" */
    const char *text;       /* the rule and the fix */
};
struct complaints {
    struct pool *pool;
    struct complaint *items;
    size_t count, cap;
    size_t errors;          /* those that are not warnings */
};
void complaints_init(struct complaints *c);
void complaints_done(struct complaints *c);
/* "line 12, column 5: root.dag...: text", one per line, at most `max` of them. */
void complaints_format(const struct complaints *c, size_t max, struct buf *out);

enum value_type {
    VALUE_STRING, VALUE_INTEGER, VALUE_DOUBLE, VALUE_BOOLEAN, VALUE_LIST, VALUE_STRUCT,
    VALUE_TASK_FINAL_STATUS, VALUE_TASK_CONFIG,
};
const char *value_type_name(enum value_type type); /* "NUMBER_INTEGER" as in the proto */

struct param_def {
    const char *name;
    enum value_type type;
    const json_t *default_value; /* NULL: none */
    bool is_optional;
    const json_t *literals;      /* NULL or array */
    const char *description;
    const char *display_name;    /* its author's name for it, if that is another; or NULL */
};

struct artifact_def {
    const char *name;
    const char *display_name;    /* as for parameters */
    const char *schema_title;    /* "system.Model"; NULL when instance_schema or schema_uri is used */
    const char *schema_version;
    const json_t *type;          /* {"schemaTitle": ..., "schemaVersion": ...} as written */
    const json_t *metadata;      /* NULL or object */
    bool is_list, is_optional;
};

enum source_kind {
    SOURCE_COMPONENT_INPUT, /* input `name` of the enclosing DAG */
    SOURCE_TASK_OUTPUT,     /* output `key` of sibling `producer` */
    SOURCE_CONSTANT,        /* params only */
    SOURCE_FINAL_STATUS,    /* params only; of sibling `producer` */
};
struct input_binding {
    const char *name;            /* input of the task's component (or an undeclared extra) */
    enum source_kind kind;
    const char *source;          /* COMPONENT_INPUT: input name */
    int producer;                /* TASK_OUTPUT, FINAL_STATUS: index in dag.tasks */
    const char *key;             /* TASK_OUTPUT: output name */
    const json_t *constant;
    const char *selector;        /* parameterExpressionSelector or NULL */
    const struct param_def *param;       /* what the component declares; NULL for extras */
    const struct artifact_def *artifact; /* for artifact bindings */
};

enum trigger_strategy { TRIGGER_ALL_SUCCEEDED, TRIGGER_ALL_COMPLETED };

/* A task without one of its own takes that of the pipeline it is in (kfp-semantics.md 9.1). */
struct retry_policy {
    bool is_set;                 /* the task has a retryPolicy, maybe of 0 retries */
    int max_count;               /* 0: none */
    int64_t backoff_ms;          /* before retry n (1-based): backoff_ms * factor^(n-1) */
    int64_t max_backoff_ms;      /* no retry starts later than this after the first start */
    double factor;
};

/* The task is a loop: its component runs once for each item (kfp-semantics.md 8). */
struct iterator {
    bool is_artifact;            /* over the artifacts of an input, one each; else over a list */
    const char *items;           /* the task's own input that has the list; NULL: raw */
    const json_t *raw;           /* array, or NULL */
    const char *item_input;      /* the component's input that gets the item */
    int limit;                   /* iterations under way at once; 0 = no limit */
};

struct task_def {
    const char *key;             /* map key: the identity within its DAG */
    const char *display_name;
    const struct component *component;
    struct input_binding *params;
    size_t param_count;
    struct input_binding *artifacts;
    size_t artifact_count;
    int *deps;                   /* indices in dag.tasks, explicit and implied, sorted, unique */
    size_t dep_count;
    bool cache_enabled;
    const char *cache_key;
    enum trigger_strategy strategy;
    const char *condition;       /* CEL text or NULL */
    const struct expression *when; /* the condition compiled: condition_eval(); NULL: none */
    struct retry_policy retry;
    const struct iterator *iterator; /* NULL: no loop */
    unsigned line;
};

/* One output of a DAG component. More than one selector = oneof. */
struct output_selector {
    int producer;                /* index in dag.tasks */
    const char *key;
};
struct dag_output {
    const char *name;
    struct output_selector *selectors;
    size_t selector_count;
};

struct dag {
    struct task_def *tasks;      /* in topological order */
    size_t task_count;
    struct dag_output *params;
    size_t param_count;
    struct dag_output *artifacts;
    size_t artifact_count;
};

struct env_var {
    const char *name, *value;
};
struct container {
    const char *image;
    const char **command;
    size_t command_count;
    const char **args;
    size_t arg_count;
    struct env_var *env;
    size_t env_count;
    const json_t *resources;     /* as written, or NULL */
    const struct pod_config *pod; /* what the platform document says of this executor, or NULL */
    /* [{"name","path"}] of outputs that the program writes to a fixed path (KFP 1's fileOutputs),
     * or NULL; read from the executor's field `fileOutputs`, which is rondo's own */
    const json_t *file_outputs;
};

/* An artifact that exists already; the engine records it (kfp-semantics.md 11). */
struct importer {
    const char *uri;             /* constant, may hold placeholders; or NULL */
    const char *uri_input;       /* the task's input that has it; or NULL */
    const json_t *metadata;      /* object or NULL; placeholders in keys and values */
    bool reimport;               /* false: the same artifact again is the same record */
    bool to_workspace;
};

/* The pseudo images argostub/createpvc and argostub/deletepvc (kfp-semantics.md 12.2). */
enum volume_op { VOLUME_CREATE, VOLUME_DELETE };

enum component_kind {
    COMPONENT_DAG,
    COMPONENT_CONTAINER,
    COMPONENT_IMPORTER, /* done by the engine, without an executor */
    COMPONENT_VOLUME,   /* likewise */
};
struct component {
    const char *name;
    enum component_kind kind;
    struct param_def *params_in, *params_out;
    size_t param_in_count, param_out_count;
    struct artifact_def *artifacts_in, *artifacts_out;
    size_t artifact_in_count, artifact_out_count;
    const struct dag *dag;               /* each of these for its kind only */
    const struct container *container;
    const struct importer *importer;
    enum volume_op volume_op;
    const json_t *passthroughs;          /* taskConfigPassthroughs, array or NULL */
    /* CONTAINER: names of input parameters whose values the program wants as files
     * ({{$.inputs.artifacts['x'].path}}, KFP 1's inputPath); array or NULL */
    const json_t *input_files;
};
const struct param_def *component_param_in(const struct component *c, const char *name);
const struct param_def *component_param_out(const struct component *c, const char *name);
const struct artifact_def *component_artifact_in(const struct component *c, const char *name);
const struct artifact_def *component_artifact_out(const struct component *c, const char *name);

struct plan {
    struct pool *pool;
    int refs;
    const char *name;            /* pipelineInfo.name */
    const char *display_name, *description; /* or NULL */
    const char *schema_version, *sdk_version;
    const char *default_root;    /* defaultPipelineRoot or NULL */
    const struct component *root; /* always a DAG */
    const struct pipeline_config *config; /* of the platform document; NULL: none */
    /* runtimeConfig of a PipelineJob: for a run of this very file; NULL: none */
    const json_t *job_parameters;
    const char *job_root;        /* where its artifacts go, or NULL */
    json_t *spec;                /* the PipelineSpec document as JSON (for API replies) */
    json_t *platform;            /* the PlatformSpec document or NULL */
    size_t task_total;           /* in all DAGs reachable from root */
};

/* platforms.kubernetes.pipelineConfig (kfp-semantics.md 12.3). */
struct pipeline_config {
    const char *workspace_size;      /* "10Gi"; NULL: no workspace */
    const json_t *workspace_patch;   /* pvcSpecPatch: accessModes, storageClassName; or NULL */
    int64_t ttl_s, ttl_success_s, ttl_failure_s; /* keep the finished run so long; 0 unset */
    int64_t deadline_s;              /* of the whole run; 0 none */
};
void plan_ref(struct plan *plan);
void plan_unref(struct plan *plan);

/*
 * Take an uploaded file (.yaml, .json, .zip, .tar.gz; told apart by name, then by content) and
 * give the pipeline text in it. malloc'd.
 */
int package_open(const char *filename, const void *data, size_t len, char **text_out,
    size_t *len_out, struct err *err);

/*
 * Compile pipeline text (YAML or JSON, one or more documents; bare, or wrapped as
 * {pipeline_spec, platform_spec} in either spelling). NULL when there is any error;
 * `complaints` (initialised by the caller) then has all of them, and possibly warnings either way.
 */
struct plan *plan_compile(const char *text, size_t len, struct complaints *complaints);
/* The same, also with warnings about what is allowed and will surprise. */
struct plan *plan_lint(const char *text, size_t len, struct complaints *complaints);
/* plan_compile from JSON as the API receives it. */
struct plan *plan_compile_json(const json_t *spec, struct complaints *complaints);
/* Canonical text of a spec: what is stored under its SHA-256. malloc'd JSON
 * {"pipeline_spec":...,"platform_spec":...}; plan_compile reads it back. */
char *plan_canonical(const struct plan *plan);

/* ---- values ---- */

/* Text form of a value (kfp-semantics.md 3.4): integral numbers as digits, never an exponent;
 * lists and objects compact, keys sorted, <>& escaped. */
void value_text(const json_t *value, struct buf *out);
/* Compact JSON, keys sorted, exactly as {{$}} is rendered. malloc'd. */
char *value_json(const json_t *value);
/* Coerce for an input of this type: anything -> STRING; else the kind must match exactly. New
 * reference, or NULL and err. `what` names the place. */
json_t *value_coerce(const json_t *value, enum value_type type, const char *what, struct err *err);
/* Parse an output parameter file's content by type (kfp-semantics.md 10.3 step 6). */
json_t *value_parse_output(const char *text, size_t len, enum value_type type, const char *what,
    struct err *err);

/* ---- run parameters ---- */

struct macro_context {
    const char *run_id;
    int64_t scheduled_us, created_us;
    int64_t index;               /* of the firing; 0 = none */
};
/* Expand [[ScheduledTime...]] and friends in every string within value. New reference. */
json_t *macro_expand(const json_t *value, const struct macro_context *ctx);

/*
 * Check run parameters against the root's inputs and fill in defaults: missing, unknown, wrong
 * kind and not-in-literals are ERR_INVALID naming the parameter, all of them at once. given may
 * be NULL. New reference to an object with every root parameter that has a value.
 */
json_t *plan_bind_params(const struct plan *plan, const json_t *given, struct err *err);
/*
 * Check the artifacts that a run is given against the root's inputs: missing, unknown, wrong type
 * and URIs that artifacts cannot have are ERR_INVALID naming the input, all of them at once.
 *   given  {name: {"uri", "type": title or {"schemaTitle","schemaVersion"}, "metadata": {},
 *          "artifact_id": whose id is known}, or an array of these}; all but uri may be absent,
 *          and given may be NULL
 * New reference: {name: [RuntimeArtifact {"name","type","uri","metadata","id"?}]}.
 */
json_t *plan_bind_artifacts(const struct plan *plan, const json_t *given, struct err *err);
/* Whether lists of RuntimeArtifacts by name are all that this plan needs, and no more. */
int plan_check_artifacts(const struct plan *plan, const json_t *bound, struct err *err);
/* A run parameter by its name, or by its author's (display_name); NULL: there is none. */
const struct param_def *plan_find_param(const struct plan *plan, const char *name);

/* ---- Kubernetes settings of a task ---- */

/*
 * What the platform document says of one executor, checked at upload (kfp-semantics.md 12.1).
 * Opaque; pipeline/pod_config*.c.
 */
struct pod_config;
/* A reference in the scope of the DAG that the task is in: an input of that DAG, or an output of a
 * sibling. By name, because one executor may serve tasks of several DAGs. */
struct scope_ref {
    enum source_kind kind;       /* COMPONENT_INPUT or TASK_OUTPUT; constants are never asked for */
    const char *source;          /* COMPONENT_INPUT: its name */
    const char *producer, *key;  /* TASK_OUTPUT: task key and output name */
};
/* Borrowed; NULL or null: it has no value. */
typedef const json_t *scope_fn(void *owner, const struct scope_ref *ref);
/*
 * All settings with their parameters filled in, as parts of a pod in Kubernetes' own JSON; keys
 * that nothing is said about are absent:
 *   {"env": [EnvVar], "volumes": [Volume], "volumeMounts": [VolumeMount],
 *    "nodeSelector": {}, "tolerations": [], "affinity": {}, "imagePullSecrets": [{"name"}],
 *    "imagePullPolicy": "Always", "labels": {}, "annotations": {},
 *    "activeDeadlineSeconds": 60, "securityContext": {}, "initContainers": [Container],
 *    "resourceClaims": [PodResourceClaim]}
 * Volume names are valid and unique, the same each time. An item whose parameter is null is left
 * out (a PVC mount: ERR_INVALID); other trouble is ERR_INVALID naming field and place.
 * run: for run-level placeholders in constants; NULL: they stay text. New reference.
 */
json_t *pod_config_resolve(const struct pod_config *config, scope_fn *scope, void *owner,
    const struct run_context *run, struct err *err);
/* Names of the claims that it mounts, sorted, unique: part of the cache key. New array. */
json_t *pod_parts_claims(const json_t *parts);
/* Its variables and volumes from secrets and config maps: part of the cache key, too. New array. */
json_t *pod_parts_sources(const json_t *parts);
/*
 * ResourceRequirements {"requests":{},"limits":{}} from container.resources (placeholders already
 * rendered): the resource* texts win over the old numbers, the accelerator is a limit; quantities
 * are checked. New reference; empty when there are none.
 */
json_t *resources_to_kubernetes(const json_t *resources, struct err *err);
/*
 * TASK_CONFIG (kfp-semantics.md 3.4): from parts and resources (as above) make the value of the
 * component's TASK_CONFIG input, and what stays on the pod. New references; *task_config_out is
 * NULL when the component has no such input.
 */
void task_config_split(const struct component *component, const json_t *parts,
    const json_t *resources, json_t **task_config_out, json_t **pod_parts_out,
    json_t **pod_resources_out);
/* Whether TASK_CONFIG leaves the container's own environment to the pod. */
bool task_config_keeps_env(const struct component *component);

/* ---- one task ---- */

/* Run-level facts for {{$.pipeline_job_name}} and the like (kfp-semantics.md 3.3). */
struct run_context {
    const char *run_id, *run_name, *pipeline_name;
    const char *task_key, *task_id;
    int64_t created_us, scheduled_us; /* scheduled 0: as created */
    const char *pipeline_root;        /* or NULL: {{$.pipeline_root}} stays text */
    const char *workspace_path;       /* where steps find the run's workspace; NULL: it has none */
};
/* Replace run-level placeholders in all strings within value. New reference. */
json_t *placeholder_resolve_run(const json_t *value, const struct run_context *ctx);

/* Evaluate a parameterExpressionSelector such as parseJson(string_value)["a"]. New reference. */
json_t *selector_apply(const char *selector, const json_t *value, const char *what,
    struct err *err);

/*
 * Whether a task's condition (task_def.when) lets it run, given its ExecutorInput as built by
 * executor_input_build. Variables: inputs.parameter_values (numbers are doubles; also called
 * inputs.parameters), inputs.artifacts['x'].artifacts[0].uri and so on, outputs. ERR_INVALID names
 * the part of the condition and the values: a missing key, a clash of kinds, a result that is
 * neither true nor false; ERR_LIMIT when it takes too much work. Then the task fails.
 */
int condition_eval(const struct expression *condition, const json_t *executor_input, bool *out,
    struct err *err);

/*
 * From raw values to what a task gets: the optional/default/null matrix of kfp-semantics.md 3.2.
 * raw: object binding name -> value as the source gave it; missing or null = it gave none.
 * Constants need not be in raw: they are taken from the bindings, run-level placeholders and
 * references to the task's other inputs ({{$.inputs.parameters['x']}}) are resolved in them
 * (in constants only: what users supply is never scanned). Then selectors, then coercion.
 *   *provided_out  the values that were passed (cache key, IfPresent); never a null
 *   *params_out    the same plus defaults; for a DAG also null for optionals without a value
 * Of a loop the input that gets the items is left alone.
 * New references. ERR_INVALID names task and input.
 */
int task_params_finish(const struct task_def *task, const json_t *raw,
    const struct run_context *run, json_t **provided_out, json_t **params_out, struct err *err);
/* The same for the item of one iteration: sets params[item_input]. A null counts as not passed;
 * *is_default then. */
int task_item_finish(const struct task_def *task, const json_t *item, json_t *params,
    bool *is_default, struct err *err);

/*
 * ExecutorInput JSON (kfp-semantics.md 4.1): camelCase, empty maps left out, nulls dropped,
 * integral numbers without ".0", outputs.outputFile always there.
 *   params            params_out of task_params_finish
 *   artifacts         input name -> array of RuntimeArtifact {"name","type","uri","metadata"},
 *                     each also with "path": where the step finds it
 *   output_artifacts  output name -> {"uri": where it is kept, "path": where the step writes it}
 *   work_dir          outputs/<name> below it is the file of output parameter <name>,
 *                     executor_output.json the outputFile
 * The SDK computes an artifact's path from its uri alone, so the uri shown to the program is the
 * local path unless the SDK maps the real uri (s3://, gs://, ...) to exactly that path;
 * outputs_read knows this and never takes the shown uri for a new one.
 * *paths_out (may be NULL) is what render_context.paths wants. New references.
 */
json_t *executor_input_build(const struct component *component, const json_t *params,
    const json_t *artifacts, const json_t *output_artifacts, const char *work_dir,
    json_t **paths_out);

/*
 * Render the container's argv. In one scan of each template element: IfPresent and Concat are
 * expanded first, then placeholders; what they are replaced by is never scanned again.
 * A reference to an input that has no value is ERR_INVALID naming it. Never an empty array.
 * values (array, may be NULL): of each element with placeholders [its index, begin, length, begin,
 * length, ...] is appended: which of its bytes they were replaced by; the rest is what the
 * pipeline's author wrote.
 */
struct render_context {
    const json_t *executor_input;
    /* names that were provided; IfPresent asks it. NULL: those in executor_input. Object. */
    const json_t *provided;      /* provided_out of task_params_finish + names of artifacts */
    /* local path of an artifact by name: {"in":{name:path},"out":{name:path}} */
    const json_t *paths;
    const struct run_context *run; /* may be NULL: run-level placeholders stay text */
};
json_t *command_render(const struct container *container, const struct render_context *ctx,
    json_t *values, struct err *err);
/* The same for one string (image, resource, env value), and values gets begin, length, ...
 * malloc'd. */
char *string_render(
    const char *text, const struct render_context *ctx, json_t *values, struct err *err);

/*
 * Merge the program's report into outputs: parameters (typed) and artifacts. See order.h for
 * the report. On success *params_out is {name: value} and *artifacts_out is
 * {name: [RuntimeArtifact]}, RuntimeArtifact = {"name","type","uri","metadata"}; new references.
 * uri is report.artifacts[name].uri (what the order said) unless the program set another one;
 * an output parameter that is declared, not optional and was not written is ERR_INVALID. One
 * that the program left out of its executor_output.json (returned None) is absent.
 */
int outputs_read(const struct component *component, const json_t *executor_input,
    const json_t *report, json_t **params_out, json_t **artifacts_out, struct err *err);

/* ---- caching ---- */

/* Tasks of one pipeline with the same fingerprint do the same (kfp-semantics.md 9.2). */
struct fingerprint {
    char hex[65];
    json_t *parts; /* what it is made of: {"input 'x'": short hash, "the image": ...} */
};
/*
 * provided: values that were passed; artifacts: input name -> [RuntimeArtifact with "id"]; claims:
 * sorted names of the claims that it mounts, or NULL; sources: pod_parts_sources(), or NULL.
 * out->parts is a new reference.
 */
void task_fingerprint(const struct task_def *task, const json_t *provided,
    const json_t *artifacts, const json_t *claims, const json_t *sources, struct fingerprint *out);
/* Hex SHA-256 of a value's canonical text: the same for whatever order its keys came in. */
void json_fingerprint(const json_t *value, char hex[65]);

/*
 * What an importer makes (kfp-semantics.md 11) of its inputs (params as of task_params_finish):
 * RuntimeArtifact {"name","type","uri","metadata"}, placeholders resolved, uri's scheme one that
 * artifacts can have. New reference, or NULL and ERR_INVALID naming place and fix.
 */
json_t *importer_artifact(const struct component *component, const json_t *params,
    const struct run_context *run, struct err *err);

#endif
