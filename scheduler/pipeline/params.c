/* SPDX-License-Identifier: Apache-2.0 */
/* Run parameters against the root's inputs. */
#include "scheduler/plan.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/util.h"
#include "pipeline/complain.h"
#include "pipeline/value.h"

#include <stdlib.h>
#include <string.h>

#define MAX_TROUBLE 1800

static void add_trouble(struct buf *trouble, const char *text)
{
    buf_adds(trouble, trouble->len > 0 ? "; " : "");
    buf_adds(trouble, text);
}

static bool is_literal(const struct param_def *p, const json_t *value)
{
    size_t i;
    json_t *literal;
    json_array_foreach(p->literals, i, literal)
    {
        if (value_equal(literal, value)) {
            return true;
        }
    }
    return false;
}

static void refuse_literal(const struct param_def *p, struct buf *trouble)
{
    struct buf text;
    buf_init(&text, 400);
    buf_addf(&text, "parameter '%s': must be one of ", p->name);
    value_write(p->literals, VALUE_WRITE_PLAIN, &text);
    add_trouble(trouble, buf_str(&text));
    buf_done(&text);
}

/* A given value, or NULL with trouble. */
static json_t *take_given(const struct param_def *p, const json_t *value, struct buf *trouble)
{
    struct err err = ERR_INIT;
    if (p->type == VALUE_TASK_FINAL_STATUS || p->type == VALUE_TASK_CONFIG) {
        err_set(&err, ERR_INVALID, "parameter '%s': a %s cannot be given to a run", p->name,
            value_type_name(p->type));
    } else if (!value_is_kind(value, p->type)) {
        char what[300];
        snprintf(what, sizeof what, "parameter '%s'", p->name);
        value_kind_error(value, p->type, what, &err);
    } else if (p->literals != NULL && !is_literal(p, value)) {
        refuse_literal(p, trouble);
        return NULL;
    } else {
        return value_coerce(value, p->type, p->name, &err);
    }
    add_trouble(trouble, err.msg);
    return NULL;
}

/* Under its own name or the one that its author gave it, but not both. */
static const json_t *find_given(const struct param_def *p, const json_t *given, struct buf *trouble)
{
    const json_t *value = json_object_get(given, p->name);
    const json_t *other = p->display_name != NULL ? json_object_get(given, p->display_name) : NULL;
    if (value != NULL && other != NULL && value != other) {
        char text[700];
        snprintf(text, sizeof text,
            "parameter '%.200s' is given twice, the second time as '%.200s'", p->name,
            p->display_name);
        add_trouble(trouble, text);
    }
    return value != NULL ? value : other;
}

static void bind_one(
    const struct param_def *p, const json_t *given, json_t *out, struct buf *trouble)
{
    const json_t *value = find_given(p, given, trouble);
    struct err err = ERR_INIT;
    json_t *bound = NULL;
    if (value != NULL && !json_is_null(value)) {
        bound = take_given(p, value, trouble);
    } else if (p->default_value != NULL) {
        bound = value_coerce(p->default_value, p->type, p->name, &err);
    } else if (p->is_optional) {
        bound = json_null();
    } else {
        char text[400];
        snprintf(text, sizeof text, "parameter '%s' (%s) is required", p->name,
            value_type_name(p->type));
        add_trouble(trouble, text);
    }
    if (bound != NULL) {
        json_object_set_new(out, p->name, bound);
    }
}

static void refuse_unknown(const struct component *root, const char *name, struct buf *trouble)
{
    const char **names = xcalloc(root->param_in_count + 1, sizeof *names);
    for (size_t i = 0; i < root->param_in_count; i++) {
        names[i] = root->params_in[i].name;
    }
    const char *near = nearest_name(name, names);
    char text[700];
    if (near != NULL) {
        snprintf(text, sizeof text,
            "parameter '%.200s' is not one of the pipeline; did you mean "
            "'%.200s'?",
            name, near);
    } else if (root->param_in_count == 0) {
        snprintf(text, sizeof text, "parameter '%.200s': the pipeline takes no parameters", name);
    } else {
        snprintf(text, sizeof text, "parameter '%.200s' is not one of the pipeline", name);
    }
    add_trouble(trouble, text);
    free(names);
}

const struct param_def *plan_find_param(const struct plan *plan, const char *name)
{
    const struct component *root = plan->root;
    const struct param_def *p = component_param_in(root, name);
    for (size_t i = 0; i < root->param_in_count && p == NULL; i++) {
        if (str_eq(root->params_in[i].display_name, name)) {
            p = &root->params_in[i];
        }
    }
    return p;
}

json_t *plan_bind_params(const struct plan *plan, const json_t *given, struct err *err)
{
    const struct component *root = plan->root;
    if (given != NULL && json_is_null(given)) {
        given = NULL;
    }
    if (given != NULL && !json_is_object(given)) {
        err_set(err, ERR_INVALID, "parameters: expected an object of name: value");
        return NULL;
    }
    struct buf trouble;
    buf_init(&trouble, MAX_TROUBLE);
    json_t *out = json_object();
    for (size_t i = 0; i < root->param_in_count; i++) {
        bind_one(&root->params_in[i], given, out, &trouble);
    }
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)given, name, value)
    {
        if (plan_find_param(plan, name) == NULL) {
            refuse_unknown(root, name, &trouble);
        }
    }
    if (trouble.len > 0) {
        err_set(err, ERR_INVALID, "%s", buf_str(&trouble));
        json_decref(out);
        out = NULL;
    }
    buf_done(&trouble);
    return out;
}
