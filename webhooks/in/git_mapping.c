/* SPDX-License-Identifier: Apache-2.0 */
/* From what was pushed to a run's parameters: variables, pointers, templates, CEL, types. */
#include "webhooks/in/git_mapping.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/pool.h"
#include "base/util.h"
#include "scheduler/plan.h"
#include "webhooks/cel/cel.h"
#include "webhooks/in/git_change.h"
#include "webhooks/in/git_template.h"

#define PARAMETERS_MAX 128
#define POINTER_DEPTH_MAX 32
#define COMPLAINTS_MAX 1500

/* ---- pointers ---- */

/* RFC 6901. Borrowed, or NULL when the payload has nothing there. */
static const json_t *pointer_get(const json_t *value, const char *pointer)
{
    CLEANUP(cleanup_free) char *copy = xstrdup(pointer + 1);
    char *rest = copy, *token;
    for (int depth = 0; (token = strsep(&rest, "/")) != NULL && value != NULL; depth++) {
        char *to = token;
        for (const char *from = token; *from != '\0'; from++) {
            if (from[0] == '~' && (from[1] == '0' || from[1] == '1')) {
                *to++ = *++from == '0' ? '~' : '/';
            } else {
                *to++ = *from;
            }
        }
        *to = '\0';
        int64_t index = 0;
        if (depth >= POINTER_DEPTH_MAX) {
            return NULL;
        }
        if (json_is_array(value)) {
            value = parse_i64(token, 0, INT32_MAX, "index", &index, NULL) == 0
                        ? json_array_get(value, (size_t)index)
                        : NULL;
        } else {
            value = json_object_get(value, token);
        }
    }
    return value == NULL || json_is_null(value) ? NULL : value;
}

/* ---- one mapping ---- */

enum mapping_kind {
    MAPPING_CONSTANT,
    MAPPING_VARIABLE,
    MAPPING_POINTER,
    MAPPING_TEMPLATE,
    MAPPING_CEL
};

struct mapping {
    enum mapping_kind kind;
    const char *text;
    const json_t *constant;
    const json_t *fallback; /* "default", or NULL */
    const struct git_variable *variable;
};

/* An object that has one of these members is a mapping; any other one is a constant. */
static const char *const mapping_members[] = {"from", "template", "cel", "value"};

static const char *mapping_member(const json_t *value)
{
    for (size_t i = 0; i < ARRAY_LEN(mapping_members); i++) {
        if (json_object_get(value, mapping_members[i]) != NULL) {
            return mapping_members[i];
        }
    }
    return NULL;
}

static int mapping_read(const char *name, const json_t *value, struct mapping *out, struct err *err)
{
    const char *member = json_is_object(value) ? mapping_member(value) : NULL;
    *out = (struct mapping){.kind = MAPPING_CONSTANT, .constant = value};
    if (member == NULL) {
        return 0;
    }
    const json_t *what = json_object_get(value, member);
    const json_t *fallback = json_object_get(value, "default");
    if (json_object_size(value) != (fallback != NULL ? 2u : 1u)) {
        return err_set(err, ERR_INVALID,
            "parameters.%.100s: expected one of from, template, cel, value, and maybe default; a "
            "constant object that has such members goes into {\"value\": ...}",
            name);
    }
    out->fallback = fallback;
    if (strcmp(member, "value") == 0) {
        out->constant = what;
        return 0;
    }
    out->text = json_string_value(what);
    out->constant = NULL;
    if (out->text == NULL) {
        return err_set(err, ERR_INVALID, "parameters.%.100s.%s: expected a string", name, member);
    }
    if (strcmp(member, "template") == 0) {
        out->kind = MAPPING_TEMPLATE;
    } else if (strcmp(member, "cel") == 0) {
        out->kind = MAPPING_CEL;
    } else {
        bool is_variable = out->text[0] == '$';
        out->kind = is_variable ? MAPPING_VARIABLE : MAPPING_POINTER;
        out->variable =
            is_variable ? git_variable_find(out->text + 1, strlen(out->text + 1)) : NULL;
        if (is_variable ? out->variable == NULL : out->text[0] != '/') {
            return err_set(err, ERR_INVALID,
                "parameters.%.100s.from: expected a JSON pointer into the payload "
                "(\"/head_commit/id\") or one of %s",
                name, git_variables());
        }
    }
    return 0;
}

static struct cel *mapping_cel(const char *name, const struct mapping *m, struct err *err)
{
    static const char *const names[] = GIT_CEL_VARIABLES;
    struct cel *cel = cel_compile_value(m->text, names, err);
    if (cel == NULL) {
        err_wrap(err, "parameters.%.100s.cel", name);
    }
    return cel;
}

int git_mapping_check(const json_t *parameters, struct err *err)
{
    if (json_object_size(parameters) > PARAMETERS_MAX) {
        return err_set(err, ERR_INVALID, "parameters: at most %d", PARAMETERS_MAX);
    }
    const char *name;
    const json_t *value;
    json_object_foreach((json_t *)parameters, name, value)
    {
        struct mapping m;
        char where[160];
        if (mapping_read(name, value, &m, err) != 0) {
            return -1;
        }
        snprintf(where, sizeof where, "parameters.%.100s.template", name);
        if (m.kind == MAPPING_TEMPLATE && git_template_check(m.text, where, err) != 0) {
            return -1;
        }
        if (m.kind == MAPPING_CEL) {
            struct cel *cel = mapping_cel(name, &m, err);
            if (cel == NULL) {
                return -1;
            }
            cel_free(cel);
        }
    }
    return 0;
}

/* ---- types ---- */

/*
 * Make it the type, as long as nothing is lost: everything has a text; a text may spell a number, a
 * truth value, a list or an object.
 */
static json_t *coerce(const json_t *value, enum value_type type, const char *what, struct err *err)
{
    if (json_is_string(value) && type != VALUE_STRING) {
        const char *text = json_string_value(value);
        struct err why = ERR_INIT;
        json_t *parsed = value_parse_output(text, json_string_length(value), type, what, &why);
        if (parsed == NULL) {
            err_set(err, ERR_INVALID, "%s: '%.60s' cannot be made %s", what, text,
                value_type_name(type));
        }
        return parsed;
    }
    if (type == VALUE_INTEGER && json_is_real(value) &&
        floor(json_real_value(value)) != json_real_value(value)) {
        err_set(err, ERR_INVALID, "%s: %g cannot be made %s", what, json_real_value(value),
            value_type_name(type));
        return NULL;
    }
    return value_coerce(value, type, what, err);
}

/* Whether values of a variable can be made this type; for texts that nobody can know only STRING
 * counts: a push whose branch is not a number would be lost. */
static bool kind_fits(enum git_variable_kind kind, enum value_type type)
{
    switch (kind) {
    case GIT_VARIABLE_TEXT:
        return type == VALUE_STRING;
    case GIT_VARIABLE_NUMBER:
        return type == VALUE_STRING || type == VALUE_INTEGER || type == VALUE_DOUBLE;
    case GIT_VARIABLE_TRUTH:
        return type == VALUE_STRING || type == VALUE_BOOLEAN;
    case GIT_VARIABLE_LIST:
        return type == VALUE_STRING || type == VALUE_LIST;
    }
    return false;
}

static void complain(struct buf *out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void complain(struct buf *out, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    buf_adds(out, out->len > 0 ? "; " : "");
    buf_vaddf(out, fmt, ap);
    va_end(ap);
}

static void check_constant(
    const json_t *value, const struct param_def *def, const char *what, struct buf *out)
{
    struct err err = ERR_INIT;
    json_t *made = coerce(value, def->type, what, &err);
    if (made == NULL) {
        complain(out, "%s", err.msg);
    }
    json_decref(made);
}

static void check_one(
    const struct plan *plan, const char *name, const json_t *value, struct buf *out)
{
    const struct param_def *def = plan_find_param(plan, name);
    struct mapping m;
    struct err err = ERR_INIT;
    char what[160];
    snprintf(what, sizeof what, "parameters.%.100s", name);
    if (def == NULL) {
        complain(out, "%s: pipeline %.100s has no such input", what, plan->name);
        return;
    }
    if (mapping_read(name, value, &m, &err) != 0) {
        complain(out, "%s", err.msg);
        return;
    }
    bool is_text = m.kind == MAPPING_TEMPLATE;
    if (m.constant == value && json_is_object(value) && def->type != VALUE_STRUCT) {
        complain(out,
            "%s: expected one of from, template, cel, value, and maybe default; the input is %s, "
            "and an object that is meant itself goes into {\"value\": ...}",
            what, value_type_name(def->type));
    } else if (m.kind == MAPPING_CONSTANT) {
        check_constant(m.constant, def, what, out);
    } else if (is_text ? def->type != VALUE_STRING
                       : m.variable != NULL && !kind_fits(m.variable->kind, def->type)) {
        complain(out, "%s: the input is %s, which %.60s cannot be made; use \"cel\"", what,
            value_type_name(def->type), is_text ? "a template" : m.text);
    }
    if (m.fallback != NULL && !json_is_null(m.fallback)) {
        snprintf(what, sizeof what, "parameters.%.100s.default", name);
        check_constant(m.fallback, def, what, out);
    }
}

static bool is_given(const struct plan *plan, const json_t *parameters, const struct param_def *def)
{
    const char *name;
    const json_t *value;
    json_object_foreach((json_t *)parameters, name, value)
    {
        if (plan_find_param(plan, name) == def) {
            return true;
        }
    }
    return false;
}

static void add_inputs(const struct plan *plan, struct buf *out)
{
    const struct component *root = plan->root;
    buf_adds(out, root->param_in_count == 0 ? ". It has no inputs" : ". Its inputs:");
    for (size_t i = 0; i < root->param_in_count; i++) {
        buf_addf(out, "%s %.60s", i > 0 ? "," : "", root->params_in[i].name);
    }
}

int git_mapping_check_plan(const json_t *parameters, const struct plan *plan, struct err *err)
{
    struct buf out;
    buf_init(&out, COMPLAINTS_MAX);
    const char *name;
    const json_t *value;
    bool is_unknown = false;
    json_object_foreach((json_t *)parameters, name, value)
    {
        is_unknown = is_unknown || plan_find_param(plan, name) == NULL;
        check_one(plan, name, value, &out);
    }
    for (size_t i = 0; i < plan->root->param_in_count; i++) {
        const struct param_def *def = &plan->root->params_in[i];
        if (def->default_value == NULL && !def->is_optional && !is_given(plan, parameters, def)) {
            complain(&out,
                "parameters.%.100s: missing; the pipeline needs it and has no default (%s)",
                def->name, value_type_name(def->type));
        }
    }
    struct err artifacts = ERR_INIT;
    json_t *none = plan_bind_artifacts(plan, NULL, &artifacts);
    if (none == NULL) {
        complain(&out, "a push cannot give this pipeline its artifacts: %.300s", artifacts.msg);
    }
    json_decref(none);
    bool is_good = out.len == 0;
    if (is_unknown) {
        add_inputs(plan, &out);
    }
    if (!is_good) {
        err_set(err, ERR_INVALID, "%s", buf_str(&out));
    }
    buf_done(&out);
    return is_good ? 0 : -1;
}

/* ---- apply ---- */

static json_t *evaluate(const char *name, const struct mapping *m, const struct git_change *change,
    const json_t *headers, struct err *err)
{
    struct cel *cel = mapping_cel(name, m, err);
    if (cel == NULL) {
        return NULL;
    }
    const struct cel_var vars[] = {{"push", git_change_facts(change)},
        {"payload", change->push.payload}, {"headers", headers}};
    json_t *value = cel_evaluate(cel, vars, ARRAY_LEN(vars), err);
    if (value == NULL) {
        err_wrap(err, "parameters.%.100s.cel", name);
    }
    cel_free(cel);
    return value;
}

/* New reference; NULL without err: there is nothing. */
static json_t *mapping_value(const char *name, const struct mapping *m,
    const struct git_change *change, const json_t *headers, struct err *err)
{
    switch (m->kind) {
    case MAPPING_CONSTANT:
        return json_incref((json_t *)m->constant);
    case MAPPING_VARIABLE:
        return json_incref((json_t *)git_variable_get(m->variable, change));
    case MAPPING_POINTER:
        return json_incref((json_t *)pointer_get(change->push.payload, m->text));
    case MAPPING_CEL:
        return evaluate(name, m, change, headers, err);
    case MAPPING_TEMPLATE:
        break;
    }
    struct pool *pool = pool_new();
    json_t *value = json_string(git_template_apply(pool, m->text, change));
    pool_free(pool);
    return value;
}

static int apply_one(json_t *out, const char *name, const json_t *given,
    const struct git_change *change, const json_t *headers, const struct plan *plan,
    struct err *err)
{
    const struct param_def *def = plan_find_param(plan, name);
    struct mapping m;
    char what[160];
    snprintf(what, sizeof what, "parameters.%.100s", name);
    if (def == NULL) {
        return err_set(err, ERR_INVALID, "%s: pipeline %.100s has no such input", what, plan->name);
    }
    if (mapping_read(name, given, &m, err) != 0) {
        return -1;
    }
    struct err why = ERR_INIT;
    json_t *value = mapping_value(name, &m, change, headers, &why);
    if (json_is_null(value)) {
        json_decref(value);
        value = NULL;
    }
    if (value == NULL && m.fallback != NULL) {
        value = json_incref((json_t *)m.fallback);
    }
    if (value == NULL && why.code != ERR_NONE) {
        err_copy(err, &why);
        return -1;
    }
    if (value == NULL) {
        return err_set(err, ERR_INVALID,
            "%s: the push has nothing at %.200s and there is no \"default\" (null: that of the "
            "pipeline)",
            what, m.text != NULL ? m.text : "null");
    }
    if (json_is_null(value)) {
        json_decref(value);
        return 0; /* the pipeline's own default */
    }
    json_t *made = coerce(value, def->type, what, err);
    json_decref(value);
    if (made != NULL) {
        json_object_set_new(out, def->name, made);
    }
    return made != NULL ? 0 : -1;
}

json_t *git_mapping_apply(const json_t *parameters, const struct git_change *change,
    const json_t *headers, const struct plan *plan, struct err *err)
{
    json_t *out = json_object();
    const char *name;
    const json_t *value;
    json_object_foreach((json_t *)parameters, name, value)
    {
        if (apply_one(out, name, value, change, headers, plan, err) != 0) {
            json_decref(out);
            return NULL;
        }
    }
    json_t *bound = plan_bind_params(plan, out, err);
    if (bound == NULL) {
        json_decref(out);
        return NULL;
    }
    json_decref(bound);
    return out;
}
