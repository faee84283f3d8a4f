/* SPDX-License-Identifier: Apache-2.0 */
/* The filter parameter: parsing, checking against a resource's fields, applying. */
#include "api/kfp/filter.h"

#include <stdint.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/http_msg.h"
#include "base/json.h"
#include "base/pool.h"
#include "base/util.h"

#include "api/kfp/list.h"
#include "api/kfp/message.h"

#define MAX_PREDICATES 64
#define MAX_VALUES 10000

enum op { OP_EQ, OP_NE, OP_GT, OP_GE, OP_LT, OP_LE, OP_IN, OP_SUBSTRING };

struct value {
    const char *text; /* for text fields and tags */
    int64_t number;   /* for instants: whole seconds */
};

struct predicate {
    enum op op;
    const struct list_field *field; /* NULL: a tag */
    const char *key;
    struct value *values;
    size_t count;
};

struct filter {
    struct predicate *items;
    size_t count;
};

static const struct kfp_enum operations[] = {
    {"OPERATION_UNSPECIFIED", 0},
    {"EQUALS", 1},
    {"NOT_EQUALS", 2},
    {"GREATER_THAN", 3},
    {"GREATER_THAN_EQUALS", 5},
    {"LESS_THAN", 6},
    {"LESS_THAN_EQUALS", 7},
    {"IN", 8},
    {"IS_SUBSTRING", 9},
    {NULL, 0},
};
static const struct kfp_field ints_fields[] = {{"values", KFP_INTS, NULL, NULL, 0}, {0}};
static const struct kfp_message ints_message = {ints_fields};
static const struct kfp_field strings_fields[] = {{"values", KFP_STRINGS, NULL, NULL, 0}, {0}};
static const struct kfp_message strings_message = {strings_fields};
static const struct kfp_field predicate_fields[] = {
    {"operation", KFP_ENUM, NULL, operations, 0},
    {"key", KFP_STRING, NULL, NULL, 0},
    {"int_value", KFP_I32, NULL, NULL, 0},
    {"long_value", KFP_I64, NULL, NULL, 0},
    {"string_value", KFP_STRING, NULL, NULL, 0},
    {"timestamp_value", KFP_TIME, NULL, NULL, 0},
    {"int_values", KFP_MESSAGE, &ints_message, NULL, 0},
    {"long_values", KFP_MESSAGE, &ints_message, NULL, 0},
    {"string_values", KFP_MESSAGE, &strings_message, NULL, 0},
    {0},
};
static const struct kfp_message predicate_message = {predicate_fields};
static const struct kfp_field filter_fields[] = {
    {"predicates", KFP_MESSAGES, &predicate_message, NULL, 0},
    {0},
};
static const struct kfp_message filter_message = {filter_fields};

static const char *const value_names[] = {"int_value", "long_value", "string_value",
    "timestamp_value", "int_values", "long_values", "string_values"};

const struct list_field *list_field_find(const struct list_spec *spec, const char *key)
{
    for (const struct list_field *field = spec->fields; field->key != NULL; field++) {
        if (strcmp(field->key, key) == 0) {
            return field;
        }
    }
    return NULL;
}

const char *list_text(const struct list_field *field, const json_t *record)
{
    const char *text =
        field->text != NULL ? field->text(record) : jget_str(record, field->member, "");
    return text != NULL ? text : "";
}

int64_t list_time(const struct list_field *field, const json_t *record)
{
    return jget_i64(record, field->member, 0);
}

/* ---- parsing ---- */

static int read_op(const json_t *in, const char *where, enum op *out, struct err *err)
{
    static const enum op ops[] = {OP_EQ, OP_NE, OP_GT, OP_GE, OP_LT, OP_LE, OP_IN, OP_SUBSTRING};
    const char *name = jget_str(in, "operation", "");
    for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
        if (strcmp(operations[i + 1].name, name) == 0) {
            *out = ops[i];
            return 0;
        }
    }
    return err_set(err, ERR_INVALID, "%s.operation: missing; for example EQUALS", where);
}

/* The one value member that is there. */
static int pick_value(const json_t *in, const char *where, const char **name_out, struct err *err)
{
    const char *found = NULL;
    for (size_t i = 0; i < ARRAY_LEN(value_names); i++) {
        if (json_object_get(in, value_names[i]) == NULL) {
            continue;
        }
        if (found != NULL) {
            return err_set(err, ERR_INVALID, "%s: only one of %s and %s may be given", where, found,
                value_names[i]);
        }
        found = value_names[i];
    }
    if (found == NULL) {
        return err_set(err, ERR_INVALID, "%s: has no value", where);
    }
    *name_out = found;
    return 0;
}

static int convert(struct pool *pool, const struct predicate *p, const char *kind, const json_t *in,
    const char *where, struct value *out, struct err *err)
{
    bool is_time = p->field != NULL && p->field->kind == LIST_TIME;
    if (strcmp(kind, "timestamp_value") == 0) {
        if (!is_time) {
            return err_set(err, ERR_INVALID, "%s: '%s' is not a time", where, p->key);
        }
        out->number = json_integer_value(in) / US_PER_S;
        return 0;
    }
    if (json_is_integer(in)) {
        out->number = json_integer_value(in);
        out->text = pool_printf(pool, "%lld", (long long)out->number);
        return 0;
    }
    out->text = pool_strdup(pool, json_string_value(in));
    if (is_time && p->op != OP_SUBSTRING) {
        int64_t us;
        if (clock_parse(out->text, &us, err) != 0) {
            return err_wrap(err, "%s", where);
        }
        out->number = us / US_PER_S;
    }
    return 0;
}

static int read_values(
    struct pool *pool, struct predicate *p, const json_t *in, const char *where, struct err *err)
{
    const char *kind = NULL;
    if (pick_value(in, where, &kind, err) != 0) {
        return -1;
    }
    const json_t *value = json_object_get(in, kind);
    bool is_list = json_is_object(value);
    if (is_list != (p->op == OP_IN)) {
        return err_set(err, ERR_INVALID, "%s: %s", where,
            is_list ? "this operation takes one value, not a list"
                    : "IN takes a list: string_values, int_values or long_values");
    }
    bool is_string = strcmp(kind, "string_value") == 0;
    if (p->op == OP_SUBSTRING && !is_string) {
        return err_set(err, ERR_INVALID, "%s: IS_SUBSTRING takes a string_value", where);
    }
    if (p->field == NULL && (p->op != OP_EQ || !is_string)) {
        return err_set(
            err, ERR_INVALID, "%s: tags are compared by EQUALS with a string_value", where);
    }
    const json_t *list = is_list ? json_object_get(value, "values") : NULL;
    p->count = is_list ? json_array_size(list) : 1;
    if (p->count > MAX_VALUES) {
        return err_set(err, ERR_INVALID, "%s: more than %d values", where, MAX_VALUES);
    }
    p->values = pool_calloc(pool, p->count, sizeof *p->values);
    for (size_t i = 0; i < p->count; i++) {
        const json_t *one = is_list ? json_array_get(list, i) : value;
        if (convert(pool, p, kind, one, where, &p->values[i], err) != 0) {
            return -1;
        }
    }
    return 0;
}

static int read_predicate(struct pool *pool, const struct list_spec *spec, const json_t *in,
    const char *where, struct predicate *p, struct err *err)
{
    p->key = pool_strdup(pool, jget_str(in, "key", ""));
    if (p->key[0] == '\0') {
        return err_set(err, ERR_INVALID, "%s.key: missing", where);
    }
    if (spec->has_tags && str_starts(p->key, "tags.") && p->key[5] != '\0') {
        p->key += 5;
    } else {
        p->field = list_field_find(spec, p->key);
        if (p->field == NULL) {
            return err_set(err, ERR_INVALID,
                "%s.key: no support for filtering on unrecognized field '%s'", where, p->key);
        }
    }
    if (read_op(in, where, &p->op, err) != 0) {
        return -1;
    }
    return read_values(pool, p, in, where, err);
}

/* Some clients encode the text once more than HTTP asks for. */
static json_t *parse_tolerantly(struct pool *pool, const char *text, struct err *err)
{
    json_t *json = jread_text(text, strlen(text), "filter", err);
    if (json == NULL && strchr(text, '%') != NULL) {
        const char *decoded = http_decode(pool, text, strlen(text), true);
        if (decoded != NULL) {
            json = jread_text(decoded, strlen(decoded), "filter", NULL);
        }
    }
    return json;
}

struct filter *filter_parse(
    struct pool *pool, const struct list_spec *spec, const char *text, struct err *err)
{
    struct filter *filter = pool_alloc(pool, sizeof *filter);
    if (text[0] == '\0') {
        return filter;
    }
    CLEANUP(json_decrefp) json_t *raw = parse_tolerantly(pool, text, err);
    if (raw == NULL) {
        return NULL;
    }
    CLEANUP(json_decrefp) json_t *in = kfp_read(&filter_message, raw, "filter", err);
    if (in == NULL) {
        return NULL;
    }
    const json_t *list = json_object_get(in, "predicates");
    filter->count = json_array_size(list);
    if (filter->count > MAX_PREDICATES) {
        err_set(err, ERR_INVALID, "filter: more than %d predicates", MAX_PREDICATES);
        return NULL;
    }
    filter->items = pool_calloc(pool, filter->count, sizeof *filter->items);
    for (size_t i = 0; i < filter->count; i++) {
        const char *where = pool_printf(pool, "filter.predicates[%zu]", i);
        if (read_predicate(pool, spec, json_array_get(list, i), where, &filter->items[i], err) !=
            0) {
            return NULL;
        }
    }
    return filter;
}

/* ---- applying ---- */

static bool holds(enum op op, int order)
{
    switch (op) {
    case OP_EQ:
    case OP_IN:
        return order == 0;
    case OP_NE:
        return order != 0;
    case OP_GT:
        return order > 0;
    case OP_GE:
        return order >= 0;
    case OP_LT:
        return order < 0;
    case OP_LE:
        return order <= 0;
    case OP_SUBSTRING:
        break;
    }
    return false;
}

static bool value_passes(const struct predicate *p, const struct value *value, const json_t *record)
{
    if (p->field->kind == LIST_TIME) {
        int64_t seconds = list_time(p->field, record) / US_PER_S;
        if (p->op == OP_SUBSTRING) {
            char text[CLOCK_TEXT_MAX];
            return strstr(clock_format_s(seconds * US_PER_S, text), value->text) != NULL;
        }
        return holds(p->op, (seconds > value->number) - (seconds < value->number));
    }
    const char *text = list_text(p->field, record);
    if (p->op == OP_SUBSTRING) {
        return strcasestr(text, value->text) != NULL;
    }
    return holds(p->op, strcmp(text, value->text));
}

static bool predicate_passes(const struct predicate *p, const json_t *record)
{
    if (p->field == NULL) {
        const char *tag = jget_str(json_object_get(record, "tags"), p->key, NULL);
        return tag != NULL && strcmp(tag, p->values[0].text) == 0;
    }
    for (size_t i = 0; i < p->count; i++) {
        if (value_passes(p, &p->values[i], record)) {
            return true;
        }
    }
    return false;
}

bool filter_passes(const struct filter *filter, const json_t *record)
{
    for (size_t i = 0; i < filter->count; i++) {
        if (!predicate_passes(&filter->items[i], record)) {
            return false;
        }
    }
    return true;
}

bool filter_is_empty(const struct filter *filter)
{
    return filter->count == 0;
}

bool filter_uses(const struct filter *filter, const char *key)
{
    for (size_t i = 0; i < filter->count; i++) {
        if (filter->items[i].field != NULL && strcmp(filter->items[i].key, key) == 0) {
            return true;
        }
    }
    return false;
}
