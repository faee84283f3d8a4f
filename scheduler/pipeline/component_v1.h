/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A component file of KFP 1 (component.yaml) on its way to becoming a pipeline of one task:
 * component_v1.c reads it and writes the IR tree, component_v1_types.c knows its types and
 * defaults, component_v1_command.c its placeholders. Rules: kfp-semantics.md 13 and pipelines.md.
 */
#ifndef PIPELINE_COMPONENT_V1_H
#define PIPELINE_COMPONENT_V1_H

#include "pipeline/draft.h"

enum v1_kind {
    V1_PARAM,        /* of one of the types that are parameters */
    V1_ARTIFACT,     /* of a type of artifacts, of an unknown one, or of none */
    V1_FINAL_STATUS, /* PipelineTaskFinalStatus: never given to a component that runs alone */
};

struct v1_type {
    enum v1_kind kind;
    enum value_type type;     /* PARAM */
    const char *schema_title; /* ARTIFACT */
};

/* An input or an output. */
struct v1_port {
    const char *name; /* its author's */
    const char *id;   /* made usable: "Training data" -> "training_data" */
    const struct tree *node;
    struct place place;
    struct v1_type type;
    /* inputs */
    bool is_optional;
    struct tree *default_value; /* of its type, or NULL */
    bool by_value, by_path, by_uri;
    /* outputs */
    bool is_named;          /* the command says where it goes */
    const char *fixed_path; /* fileOutputs, or NULL */
};

struct v1_component {
    struct draft *d;
    struct v1_port *inputs, *outputs;
    size_t input_count, output_count;
    bool has_executor_input;
};

/* The pipeline that runs this component; NULL and complaints. */
struct tree *component_v1_convert(
    const struct tree *doc, struct pool *pool, struct complaints *complaints);

/* ---- component_v1_types.c ---- */

/* type: its node, NULL when it has none. */
void v1_type_read(struct v1_component *v, const struct tree *type, const struct path *path,
    struct v1_type *out);
/* The default as a value of the input's type; NULL and a complaint, or NULL when it is null. */
struct tree *v1_default_read(struct v1_component *v, const struct v1_port *input, struct tree *node,
    const struct path *path);

/* ---- component_v1_command.c ---- */

/* A list of arguments -> a list of IR arguments; NULL when there is none. */
struct tree *v1_arguments(struct v1_component *v, struct tree *list, const struct path *path);
/* One text: an image, the value of an environment variable. NULL and a complaint. */
struct tree *v1_text_value(struct v1_component *v, struct tree *node, const struct path *path);

/* ---- new nodes, at the place of the one they are made from ---- */

struct tree *v1_text(struct v1_component *v, struct place place, const char *text);
struct tree *v1_list(struct v1_component *v, struct place place, size_t cap);
struct tree *v1_map(struct v1_component *v, struct place place, size_t cap);
/* value NULL: nothing. The map must have room. */
void v1_put(struct tree *map, const char *key, struct tree *value);

#endif
