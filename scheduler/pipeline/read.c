/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading members of a document's maps. A wrong kind is complained about with place, rule and
 * fix; the reader then goes on as if the member were absent.
 */
#include "pipeline/draft.h"

#include "base/util.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct place tree_place(const struct tree *node)
{
    return node != NULL ? (struct place){node->line, node->column} : (struct place){0, 0};
}

static const char *kind_word(const struct tree *node)
{
    switch (node->kind) {
    case TREE_LIST:
        return "a list";
    case TREE_MAP:
        return "a map";
    case TREE_SCALAR:
        break;
    }
    return "a single value";
}

static struct tree *read_kind(struct draft *d, const struct tree *map, const char *name,
    const struct path *up, enum tree_kind kind, const char *rule)
{
    struct tree *node = tree_get(map, name);
    if (node == NULL || tree_is_null(node)) {
        return NULL;
    }
    if (node->kind != kind) {
        struct path here = {.up = up, .key = name};
        complain(
            d->complaints, tree_place(node), &here, "expected %s, found %s", rule, kind_word(node));
        return NULL;
    }
    return node;
}

struct tree *read_map(
    struct draft *d, const struct tree *map, const char *name, const struct path *up)
{
    return read_kind(d, map, name, up, TREE_MAP, "a map (name: value)");
}

struct tree *read_list(
    struct draft *d, const struct tree *map, const char *name, const struct path *up)
{
    return read_kind(d, map, name, up, TREE_LIST, "a list");
}

static bool take_for(
    struct draft *d, struct tree *node, enum tree_want want, const struct path *path)
{
    if (tree_want(node, want)) {
        return true;
    }
    complain(d->complaints, tree_place(node), path,
        "an alias is used for a text here and for a number elsewhere; write the value out");
    return false;
}

const char *read_item_text(struct draft *d, struct tree *item, const struct path *path)
{
    if (item->kind != TREE_SCALAR || tree_is_null(item)) {
        complain(d->complaints, tree_place(item), path, "expected a text, found %s",
            item->kind == TREE_SCALAR ? "null; quote it if the word is meant" : kind_word(item));
        return NULL;
    }
    return take_for(d, item, WANT_TEXT, path) ? item->text : NULL;
}

const char *read_text(
    struct draft *d, const struct tree *map, const char *name, const struct path *up)
{
    struct tree *node = tree_get(map, name);
    if (node == NULL || tree_is_null(node)) {
        return NULL;
    }
    struct path here = {.up = up, .key = name};
    return read_item_text(d, node, &here);
}

const char *read_need_text(struct draft *d, const struct tree *map, const char *name,
    const struct path *up, const char *why)
{
    struct tree *node = tree_get(map, name);
    const char *text = read_text(d, map, name, up);
    bool is_missing = node == NULL || tree_is_null(node) || (text != NULL && text[0] == '\0');
    if (is_missing) {
        struct path here = {.up = up, .key = name};
        complain(d->complaints, tree_place(node != NULL ? node : map), &here,
            "is missing or empty; %s", why);
        return NULL;
    }
    return text;
}

bool read_bool(struct draft *d, const struct tree *map, const char *name, const struct path *up)
{
    struct tree *node = tree_get(map, name);
    if (node == NULL || tree_is_null(node)) {
        return false;
    }
    if (node->kind != TREE_SCALAR || tree_scalar_type(node) != SCALAR_BOOL) {
        struct path here = {.up = up, .key = name};
        complain(d->complaints, tree_place(node), &here, "expected true or false");
        return false;
    }
    return node->text[0] == 't' || node->text[0] == 'T';
}

void read_number(struct draft *d, const struct tree *map, const char *name, double min, double max,
    const struct path *up, double *out)
{
    struct tree *node = tree_get(map, name);
    if (node == NULL || tree_is_null(node)) {
        return;
    }
    /* int64 travels as a string in proto3 JSON. */
    json_t *number = NULL;
    if (node->kind == TREE_SCALAR && tree_number(node->text, &number)) {
        double value = json_number_value(number);
        json_decref(number);
        if (value >= min && value <= max) {
            *out = value;
            return;
        }
    }
    struct path here = {.up = up, .key = name};
    complain(
        d->complaints, tree_place(node), &here, "expected a number from %.0f to %.0f", min, max);
}

void read_whole(struct draft *d, const struct tree *map, const char *name, double max,
    const struct path *up, double *out)
{
    double value = *out;
    read_number(d, map, name, 0, max, up, &value);
    if (value != floor(value)) {
        struct path here = {.up = up, .key = name};
        complain(d->complaints, tree_place(tree_get(map, name)), &here, "expected a whole number");
        return;
    }
    *out = value;
}

void read_duration(struct draft *d, const struct tree *map, const char *name, const struct path *up,
    int64_t *ms_out)
{
    struct tree *node = tree_get(map, name);
    if (node == NULL || tree_is_null(node)) {
        return;
    }
    /* digits, perhaps a point and digits, "s": strtod alone would read more, such as "0x1p3s" */
    const char *text = node->kind == TREE_SCALAR ? node->text : "";
    size_t whole = strspn(text, "0123456789");
    size_t part = text[whole] == '.' ? 1 + strspn(text + whole + 1, "0123456789") : 0;
    double seconds = whole > 0 ? strtod(text, NULL) : -1;
    if (strcmp(text + whole + part, "s") != 0 || seconds < 0 || seconds > 315576000000.0) {
        struct path here = {.up = up, .key = name};
        complain(
            d->complaints, tree_place(node), &here, "expected a duration in seconds such as '60s'");
        return;
    }
    *ms_out = (int64_t)(seconds * 1000);
}

void read_known(
    struct draft *d, const struct tree *map, const struct path *path, const char *const *names)
{
    for (size_t i = 0; map != NULL && i < map->count; i++) {
        const struct tree_pair *pair = &map->pairs[i];
        bool is_known = false;
        for (const char *const *name = names; *name != NULL && !is_known; name++) {
            is_known = tree_name_is(pair->key, *name);
        }
        if (is_known) {
            continue;
        }
        struct path here = {.up = path, .key = pair->key};
        struct place place = {pair->line, pair->column};
        const char *near = nearest_name(pair->key, names);
        if (near != NULL) {
            complain_mildly(
                d->complaints, place, &here, "unknown field, ignored; did you mean '%s'?", near);
        } else {
            complain_mildly(d->complaints, place, &here, "unknown field, ignored");
        }
    }
}

const json_t *read_value(
    struct draft *d, struct tree *node, enum value_type type, const struct path *path)
{
    if (tree_is_null(node)) {
        return NULL;
    }
    if (node->kind == TREE_SCALAR && type == VALUE_STRING) {
        take_for(d, node, WANT_TEXT, path);
    } else if (node->kind == TREE_SCALAR && (type == VALUE_INTEGER || type == VALUE_DOUBLE)) {
        take_for(d, node, WANT_NUMBER, path);
    }
    json_t *value = tree_json(node);
    json_array_append_new(d->keep, value);
    return value;
}

json_t *read_camel(const struct tree *map, const char *const *names)
{
    json_t *out = json_object();
    for (; *names != NULL; names++) {
        const struct tree *node = tree_get(map, *names);
        if (!tree_is_null(node)) {
            json_object_set_new(out, *names, tree_json(node));
        }
    }
    return out;
}

bool name_is_usable(const char *name)
{
    size_t len = strlen(name);
    if (len == 0 || len > MAX_NAME_LEN || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        return false;
    }
    for (const char *p = name; *p != '\0'; p++) {
        unsigned char c = (unsigned char)*p;
        if (c < 0x20 || c == 0x7f || c == '/' || c == '\\' || c == '\'') {
            return false;
        }
    }
    return true;
}
