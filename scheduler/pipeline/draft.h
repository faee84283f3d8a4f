/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pipeline while it is being compiled: the plan's structs, half filled, each beside the node
 * it was read from. The stages are read (read.c, executor.c, interface.c, task.c), link (link.c),
 * order (order.c) and the list of what rondo does not run (unsupported.c). All of them go on after
 * an error, so that a file's complaints come at once.
 */
#ifndef PIPELINE_DRAFT_H
#define PIPELINE_DRAFT_H

#include "pipeline/complain.h"
#include "pipeline/tree.h"
#include "scheduler/plan.h"

struct err;
struct map;

#define MAX_DAG_LEVELS 100
#define MAX_TASKS_TOTAL 100000
#define MAX_NAME_LEN 253

struct draft_binding {
    struct input_binding def;
    const char *producer;  /* TASK_OUTPUT, FINAL_STATUS */
    struct tree *constant; /* CONSTANT: read once the component says which kind it is */
    bool is_broken;        /* already complained about */
    bool is_dropped;       /* by channel.c */
    struct place place;
};

struct draft_task {
    struct task_def def;
    const struct tree *node;
    struct place place;
    const char *component_name;
    struct draft_component *component; /* after linking; NULL when unknown */
    struct draft_binding *params;      /* sorted by name, as are the artifacts */
    size_t param_count;
    struct draft_binding *added; /* params that channel.c found missing */
    size_t added_count, added_cap;
    struct draft_binding *artifacts;
    size_t artifact_count;
    const char **after; /* dependentTasks */
    size_t after_count;
    struct iterator *iterator; /* NULL: no loop */
    struct place iterator_place;
    int *deps; /* indices into the draft's tasks; sorted and unique once linked */
    size_t dep_count, dep_cap;
    int position; /* in topological order; -1 = not placed yet */
};

struct draft_selector {
    const char *producer, *key;
    struct place place;
};
struct draft_output {
    const char *name;
    struct place place;
    struct draft_selector *selectors;
    size_t count;
};

enum draft_state {
    DRAFT_UNSEEN,
    DRAFT_OPEN, /* on the way down: meeting it again is a recursion */
    DRAFT_DONE,
};

struct draft_component {
    struct component def;
    const struct tree *node;
    struct place place;
    bool is_root;
    const char *executor;     /* label or NULL */
    struct map *extras;       /* inputs that are passed without being declared; NULL: none */
    bool is_used;             /* by a task */
    struct draft_user *users; /* these are channel.c's */
    struct map *unknown, *reads, *readers;
    struct draft_task *tasks;
    size_t task_count;
    struct map *task_index; /* key -> struct draft_task */
    struct draft_output *params_out, *artifacts_out;
    size_t param_out_count, artifact_out_count;
    enum draft_state state;
    unsigned levels; /* DAGs on the longest way down */
    size_t total;    /* tasks, with those of nested DAGs */
};

enum executor_kind {
    EXECUTOR_CONTAINER,
    EXECUTOR_IMPORTER,
    EXECUTOR_OTHER, /* resolver, customJob; or broken */
};
struct draft_executor {
    const char *label;
    const struct tree *node;
    struct place place;
    enum executor_kind kind;
    struct container container;
    struct importer importer;
    bool keeps_channels; /* text_channel.c: a task that uses it cannot be given them all */
};

struct draft {
    struct pool *pool;
    struct complaints *complaints;
    json_t *keep; /* array: owns every value that the plan points to */
    struct plan *plan;
    const struct tree *spec;
    const struct tree *platform; /* or NULL */
    const struct tree *job;      /* runtimeConfig of a PipelineJob, or NULL */
    struct map *executors;       /* label -> struct draft_executor */
    struct map *components;      /* name -> struct draft_component */
    struct draft_executor *executor_list;
    size_t executor_count;
    struct draft_component **list; /* all, root last */
    size_t count;
    struct draft_component *root;
};

/* ---- read.c: members of maps, with complaints about wrong kinds ---- */

struct place tree_place(const struct tree *node);
/* Member that must be a map / a list if it is there. */
struct tree *read_map(
    struct draft *d, const struct tree *map, const char *name, const struct path *up);
struct tree *read_list(
    struct draft *d, const struct tree *map, const char *name, const struct path *up);
/* Text of a member, NULL when absent or null. Numbers and booleans keep their source text. */
const char *read_text(
    struct draft *d, const struct tree *map, const char *name, const struct path *up);
/* The same; absent or empty is an error that ends in `why`. */
const char *read_need_text(struct draft *d, const struct tree *map, const char *name,
    const struct path *up, const char *why);
const char *read_item_text(struct draft *d, struct tree *item, const struct path *path);
bool read_bool(struct draft *d, const struct tree *map, const char *name, const struct path *up);
/* Whole or broken number in range; absent leaves *out. */
void read_number(struct draft *d, const struct tree *map, const char *name, double min, double max,
    const struct path *up, double *out);
/* A whole number from 0 to max, also written as a text. */
void read_whole(struct draft *d, const struct tree *map, const char *name, double max,
    const struct path *up, double *out);
/* "3600s" -> ms. */
void read_duration(struct draft *d, const struct tree *map, const char *name, const struct path *up,
    int64_t *ms_out);
/* Warn about members that are not in the list. */
void read_known(
    struct draft *d, const struct tree *map, const struct path *path, const char *const *names);
/* Value as JSON, kept for the plan; scalars taken for what the type says. NULL for null. */
const json_t *read_value(
    struct draft *d, struct tree *node, enum value_type type, const struct path *path);
/* The members in the list that are there and not null, in camelCase. New reference. */
json_t *read_camel(const struct tree *map, const char *const *names);
/* Names become file names, path segments and Redis fields. */
bool name_is_usable(const char *name);

/* ---- the stages ---- */

void read_executors(struct draft *d);
/* platforms.kubernetes: container.pod of the executors, and the plan's config. */
void read_platform(struct draft *d);
void read_interface(struct draft *d, struct draft_component *c, const struct path *path);
void read_dag(struct draft *d, struct draft_component *c, const struct path *path);
void read_iterator(struct draft *d, struct draft_task *t, const struct path *up);
void read_importer(
    struct draft *d, const struct tree *node, const struct path *up, struct importer *out);
/* taskConfigPassthroughs, each as {"field": name, "applyToTask": bool}. */
void read_passthroughs(struct draft *d, struct draft_component *c, const struct path *path);
void read_components(struct draft *d);
void component_path(const struct draft_component *c, struct path out[3]);
int parse_value_type(const char *name, enum value_type *out);
/* True when a value of this kind is one for the type, or becomes one (anything -> STRING). */
bool value_fits(const json_t *value, enum value_type type);

void link_components(struct draft *d);
/* The binding of this name in a sorted list, or NULL. */
const struct draft_binding *find_binding(
    const struct draft_binding *list, size_t count, const char *name);
void mend_channels(struct draft *d);
/* Pass this channel to a task of the DAG, from wherever it is. False: nobody has it. */
bool channel_reaches(
    struct draft *d, struct draft_component *c, struct draft_task *t, const char *name);
/* The same, to the DAG itself. */
bool channel_provided(struct draft *d, struct draft_component *c, const char *name);
/* text_channel.c: channels that the SDK left in texts become references to inputs. */
void mend_texts(struct draft *d);
void link_iterator(struct draft *d, const struct draft_task *t, const struct path *up);
void link_importer(struct draft *d, const struct draft_component *c, const struct path *path);
void link_importer_task(struct draft *d, const struct draft_task *t, const struct path *path);
/* Whether it is one of the images that stand for an operation on a volume. */
bool volume_image(const char *image, enum volume_op *out);
void link_volume(struct draft *d, const struct draft_component *c, const struct path *path);
void link_volume_task(struct draft *d, const struct draft_task *t, const struct path *path);
void order_tasks(struct draft *d);
/* files.c: parameters that programs want as files, and outputs at fixed paths. */
void link_files(struct draft *d);
void refuse_unsupported(struct draft *d);
/* For a document that is no pipeline but of a kind we know by sight: what it is; or NULL. */
const char *unsupported_document(const struct tree *doc);
/* The expression of a triggerPolicy.condition; NULL and what is wrong, with the column. */
const struct expression *condition_compile(struct pool *pool, const char *text, struct err *err);
/* Checks a parameterExpressionSelector; NULL or what is wrong with it. */
const char *selector_trouble(const char *selector);

/* ---- warn.c: what rondo lint says beyond errors; the draft has none ---- */

void warn_all(struct draft *d);

/* ---- document.c ---- */

/*
 * Find the pipeline, the platform document and a PipelineJob's settings among the file's documents;
 * a component file of KFP 1 becomes a pipeline here. -1 and complaints.
 */
int pick_documents(struct draft *d, struct tree **docs, size_t count);

/* ---- job.c ---- */

/* What a PipelineJob says of its run, once the root is known. */
void read_job(struct draft *d);

#endif
