/* SPDX-License-Identifier: Apache-2.0 */
/*
 * YAML text -> trees, by way of libyaml's events. Everything that could make a small file
 * expensive has a ceiling here: size, depth, number of values, aliases written out (a
 * "billion laughs" is counted without being expanded), directives. Aliases share their node, so
 * a tree is really a graph without cycles; `weight` and `height` tell its written-out size.
 */
#include "pipeline/tree.h"

#include "base/map.h"
#include "base/pool.h"
#include "base/util.h"
#include "pipeline/complain.h"
#include "scheduler/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#define MAX_DOCUMENTS 64
#define MAX_DIRECTIVES 16
/* Small maps are searched for duplicates by hand, larger ones through a hash. */
#define SMALL_MAP 12
#define TEXT_PER_NODE 64

/* A list or map that is being filled. */
struct frame {
    struct tree *node;
    void *items; /* grows here, copied into the pool when complete */
    size_t cap;
    unsigned height;
    size_t weight;
    const char *key; /* MAP: waiting for its value */
    unsigned key_line, key_column;
    bool has_key;
    struct map *seen;   /* MAP: key -> line, once it is large */
    struct tree *merge; /* MAP: value of << */
};

struct reader {
    struct pool *pool;
    struct complaints *complaints;
    struct map *anchors;
    struct frame *stack;
    size_t depth, cap;
    size_t nodes;
    struct tree *root;
    bool failed;
};

static struct place mark_place(yaml_mark_t mark)
{
    return (struct place){.line = (unsigned)mark.line + 1, .column = (unsigned)mark.column + 1};
}

static struct place node_place(const struct tree *node)
{
    return (struct place){node->line, node->column};
}

/* Where the reader is, for messages: the keys of the open maps, innermost first in memory. */
static void reader_note(struct reader *r, struct place place, const char *text)
{
    struct path chain[16];
    struct path top = PATH_ROOT;
    const struct path *up = &top;
    size_t shown = 0;
    for (size_t i = 0; i < r->depth && shown < ARRAY_LEN(chain); i++) {
        const struct frame *f = &r->stack[i];
        if (f->node->kind == TREE_MAP && !f->has_key) {
            continue;
        }
        chain[shown] = (struct path){
            .up = up, .key = f->node->kind == TREE_MAP ? f->key : NULL, .index = f->node->count};
        up = &chain[shown++];
    }
    complain(r->complaints, place, up, "%s", text);
}

/* The same, and there is no point in reading on. */
static void reader_complain(struct reader *r, struct place place, const char *text)
{
    reader_note(r, place, text);
    r->failed = true;
}

static struct tree *node_new(struct reader *r, enum tree_kind kind, yaml_mark_t mark)
{
    struct place place = mark_place(mark);
    if (++r->nodes > TREE_MAX_NODES) {
        reader_complain(r, place,
            "the file holds more than 500000 values; split the pipeline or shorten its constants");
        return NULL;
    }
    struct tree *node = pool_alloc(r->pool, sizeof *node);
    node->kind = kind;
    node->line = place.line;
    node->column = place.column;
    node->weight = 1;
    return node;
}

/* ---- filling lists and maps ---- */

static void frame_grow(struct frame *f, size_t size)
{
    if (f->node->count == f->cap) {
        f->cap = f->cap == 0 ? 4 : f->cap * 2;
        f->items = xreallocarray(f->items, f->cap, size);
    }
}

/* Line of an earlier key of the same name, or 0. */
static unsigned frame_key_line(struct frame *f, const char *key)
{
    struct tree_pair *pairs = f->items;
    size_t count = f->node->count;
    if (f->seen == NULL && count < SMALL_MAP) {
        for (size_t i = 0; i < count; i++) {
            if (strcmp(pairs[i].key, key) == 0) {
                return pairs[i].line;
            }
        }
        return 0;
    }
    if (f->seen == NULL) {
        f->seen = map_new(NULL);
        for (size_t i = 0; i < count; i++) {
            map_put(f->seen, pairs[i].key, (void *)(uintptr_t)pairs[i].line);
        }
    }
    return (unsigned)(uintptr_t)map_get(f->seen, key);
}

static void frame_put(
    struct frame *f, const char *key, struct tree *value, unsigned line, unsigned column)
{
    frame_grow(f, sizeof(struct tree_pair));
    ((struct tree_pair *)f->items)[f->node->count++] =
        (struct tree_pair){.key = key, .value = value, .line = line, .column = column};
    if (f->seen != NULL) {
        map_put(f->seen, key, (void *)(uintptr_t)line);
    }
}

static void frame_count(struct reader *r, struct frame *f, const struct tree *child)
{
    f->weight += child->weight;
    f->height = child->height > f->height ? child->height : f->height;
    if (f->weight > TREE_MAX_NODES) {
        reader_complain(r, node_place(child),
            "its aliases, written out, come to more than 500000 values; write fewer of them");
    } else if (r->depth + child->height > TREE_MAX_DEPTH) {
        reader_complain(r, node_place(child), "values are nested deeper than 256 levels");
    }
}

static void take_key(struct reader *r, struct frame *f, const struct tree *node)
{
    struct place place = node_place(node);
    if (node->kind != TREE_SCALAR) {
        reader_complain(r, place, "a key must be a plain text, not a list or a map");
        return;
    }
    unsigned earlier = frame_key_line(f, node->text);
    f->key = node->text;
    f->key_line = node->line;
    f->key_column = node->column;
    f->has_key = true;
    if (earlier != 0) {
        char text[400];
        snprintf(text, sizeof text,
            "the key '%.200s' is there twice in one map, first in line %u; remove one of them",
            node->text, earlier);
        reader_note(r, place, text);
    }
}

/* A finished value goes to the open list or map, or is the document. */
static void take(struct reader *r, struct tree *node)
{
    if (r->depth == 0) {
        r->root = node;
        return;
    }
    struct frame *f = &r->stack[r->depth - 1];
    if (f->node->kind == TREE_LIST) {
        frame_count(r, f, node);
        frame_grow(f, sizeof(struct tree *));
        ((struct tree **)f->items)[f->node->count++] = node;
        return;
    }
    if (!f->has_key) {
        take_key(r, f, node);
        return;
    }
    frame_count(r, f, node);
    if (strcmp(f->key, "<<") == 0 && node->kind != TREE_SCALAR) {
        f->merge = node;
    } else {
        frame_put(f, f->key, node, f->key_line, f->key_column);
    }
    f->has_key = false;
}

/* "<<: *defaults": keys that are not written out come from the other map. */
static void merge_map(struct reader *r, struct frame *f, const struct tree *from)
{
    if (from->kind != TREE_MAP) {
        reader_complain(r, node_place(from), "'<<' takes a map or a list of maps");
        return;
    }
    for (size_t i = 0; i < from->count && !r->failed; i++) {
        const struct tree_pair *pair = &from->pairs[i];
        if (frame_key_line(f, pair->key) == 0) {
            f->weight += pair->value->weight;
            frame_put(f, pair->key, pair->value, pair->line, pair->column);
        }
    }
    if (++r->nodes > TREE_MAX_NODES || f->weight > TREE_MAX_NODES) {
        reader_complain(r, node_place(from), "merged maps come to more than 500000 values");
    }
}

static void merge_all(struct reader *r, struct frame *f)
{
    if (f->merge->kind == TREE_MAP) {
        merge_map(r, f, f->merge);
        return;
    }
    for (size_t i = 0; i < f->merge->count && !r->failed; i++) {
        merge_map(r, f, f->merge->items[i]);
    }
}

static void frame_done(struct frame *f)
{
    free(f->items);
    map_free(f->seen);
}

/* ---- events ---- */

static void remember_anchor(struct reader *r, const yaml_char_t *anchor, struct tree *node)
{
    if (anchor != NULL) {
        map_put(r->anchors, (const char *)anchor, node);
    }
}

static void on_alias(struct reader *r, const yaml_event_t *event)
{
    const char *name = (const char *)event->data.alias.anchor;
    struct place place = mark_place(event->start_mark);
    struct tree *node = map_get(r->anchors, name);
    if (node == NULL) {
        reader_complain(r, place, "an alias (*name) refers to an anchor that does not come before");
        return;
    }
    if (node->kind != TREE_SCALAR && node->height == 0) {
        reader_complain(r, place, "an alias refers to the list or map that it is in");
        return;
    }
    take(r, node);
}

/* The standard tags say what we do anyway; others would change a value's meaning. */
static bool tag_is_text(struct reader *r, const yaml_char_t *tag, yaml_mark_t mark, bool *text)
{
    static const char prefix[] = "tag:yaml.org,2002:";
    static const char *const known[] = {"int", "float", "bool", "null", "seq", "map", NULL};
    const char *name = (const char *)tag;
    if (name == NULL || name[0] == '\0') {
        return true;
    }
    if (strcmp(name, "!") == 0) {
        *text = true;
        return true;
    }
    if (str_starts(name, prefix)) {
        const char *rest = name + sizeof prefix - 1;
        *text = strcmp(rest, "str") == 0;
        for (size_t i = 0; !*text && known[i] != NULL; i++) {
            if (strcmp(rest, known[i]) == 0) {
                return true;
            }
        }
        if (*text) {
            return true;
        }
    }
    reader_complain(r, mark_place(mark), "tags such as '!x' are not supported; write plain values");
    return false;
}

static void on_scalar(struct reader *r, const yaml_event_t *event)
{
    const char *value = (const char *)event->data.scalar.value;
    size_t len = event->data.scalar.length;
    bool is_text = false;
    struct tree *node = node_new(r, TREE_SCALAR, event->start_mark);
    if (node == NULL || !tag_is_text(r, event->data.scalar.tag, event->start_mark, &is_text)) {
        return;
    }
    if (memchr(value, '\0', len) != NULL) {
        reader_complain(r, mark_place(event->start_mark), "texts must not hold NUL characters");
        return;
    }
    node->text = pool_strndup(r->pool, value, len);
    node->count = len;
    node->weight += len / TEXT_PER_NODE; /* long texts count too when aliases are written out */
    node->is_plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && !is_text;
    remember_anchor(r, event->data.scalar.anchor, node);
    take(r, node);
}

static void on_start(struct reader *r, const yaml_event_t *event, enum tree_kind kind,
    const yaml_char_t *anchor, const yaml_char_t *tag)
{
    bool is_text = false;
    struct tree *node = node_new(r, kind, event->start_mark);
    if (node == NULL || !tag_is_text(r, tag, event->start_mark, &is_text)) {
        return;
    }
    if (r->depth >= TREE_MAX_DEPTH) {
        reader_complain(
            r, mark_place(event->start_mark), "values are nested deeper than 256 levels");
        return;
    }
    if (r->depth == r->cap) {
        r->cap = r->cap == 0 ? 16 : r->cap * 2;
        r->stack = xreallocarray(r->stack, r->cap, sizeof *r->stack);
    }
    r->stack[r->depth++] = (struct frame){.node = node, .weight = 1};
    remember_anchor(r, anchor, node);
}

static void on_end(struct reader *r)
{
    struct frame *f = &r->stack[r->depth - 1];
    struct tree *node = f->node;
    if (f->merge != NULL) {
        merge_all(r, f);
    }
    size_t size = node->kind == TREE_MAP ? sizeof(struct tree_pair) : sizeof(struct tree *);
    if (node->count > 0) {
        void *items = pool_calloc(r->pool, node->count, size);
        memcpy(items, f->items, node->count * size);
        if (node->kind == TREE_MAP) {
            node->pairs = items;
        } else {
            node->items = items;
        }
    }
    node->weight = f->weight;
    node->height = f->height + 1;
    frame_done(f);
    r->depth--;
    if (!r->failed) {
        take(r, node);
    }
}

/* Returns false at the end of the stream. */
static bool on_event(struct reader *r, const yaml_event_t *event, struct tree **docs, size_t *count)
{
    switch (event->type) {
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
        break;
    case YAML_STREAM_END_EVENT:
        return false;
    case YAML_DOCUMENT_START_EVENT:
        r->root = NULL;
        map_free(r->anchors);
        r->anchors = map_new(NULL);
        break;
    case YAML_DOCUMENT_END_EVENT:
        if (*count == MAX_DOCUMENTS) {
            reader_complain(r, mark_place(event->start_mark), "more than 64 documents in one file");
        } else if (!tree_is_null(r->root)) {
            docs[(*count)++] = r->root;
        }
        break;
    case YAML_ALIAS_EVENT:
        on_alias(r, event);
        break;
    case YAML_SCALAR_EVENT:
        on_scalar(r, event);
        break;
    case YAML_SEQUENCE_START_EVENT:
        on_start(
            r, event, TREE_LIST, event->data.sequence_start.anchor, event->data.sequence_start.tag);
        break;
    case YAML_MAPPING_START_EVENT:
        on_start(
            r, event, TREE_MAP, event->data.mapping_start.anchor, event->data.mapping_start.tag);
        break;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        on_end(r);
        break;
    }
    return true;
}

/* ---- the stream ---- */

static void syntax_complaint(struct reader *r, const yaml_parser_t *p)
{
    const char *problem = p->problem != NULL ? p->problem : "cannot be read";
    if (p->error == YAML_READER_ERROR) {
        complain(r->complaints, (struct place){0, 0}, &PATH_ROOT,
            "not valid YAML: %s at byte %zu; the file must be UTF-8 text", problem,
            p->problem_offset);
    } else if (p->context != NULL) {
        complain(r->complaints, mark_place(p->problem_mark), &PATH_ROOT,
            "not valid YAML: %s (%s, which began in line %u)", problem, p->context,
            mark_place(p->context_mark).line);
    } else {
        complain(
            r->complaints, mark_place(p->problem_mark), &PATH_ROOT, "not valid YAML: %s", problem);
    }
    r->failed = true;
}

/* libyaml compares each %TAG with all before it; a file of them would take it minutes. */
static bool has_many_directives(const char *text, size_t len)
{
    size_t count = 0;
    for (const char *p = text; p != NULL && p < text + len;) {
        count += *p == '%' ? 1 : 0;
        p = memchr(p, '\n', (size_t)(text + len - p));
        p = p != NULL ? p + 1 : NULL;
    }
    return count > MAX_DIRECTIVES;
}

static void read_events(
    struct reader *r, const char *text, size_t len, struct tree **docs, size_t *count)
{
    yaml_parser_t parser;
    if (yaml_parser_initialize(&parser) == 0) {
        abort(); /* out of memory */
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
    for (bool more = true; more && !r->failed;) {
        yaml_event_t event;
        if (yaml_parser_parse(&parser, &event) == 0) {
            syntax_complaint(r, &parser);
            break;
        }
        more = on_event(r, &event, docs, count);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
}

int yaml_read(const char *text, size_t len, struct pool *pool, struct tree ***docs_out,
    size_t *count_out, struct complaints *complaints)
{
    if (len > TREE_MAX_BYTES) {
        complain(complaints, (struct place){0, 0}, &PATH_ROOT,
            "the text is %zu bytes long; at most 32 MiB are read", len);
        return -1;
    }
    if (has_many_directives(text, len)) {
        complain(complaints, (struct place){0, 0}, &PATH_ROOT,
            "more than 16 lines begin with '%%'; YAML directives are not needed in a pipeline");
        return -1;
    }
    struct reader r = {.pool = pool, .complaints = complaints, .anchors = map_new(NULL)};
    struct tree **docs = pool_calloc(pool, MAX_DOCUMENTS, sizeof *docs);
    size_t count = 0;
    read_events(&r, text, len, docs, &count);
    while (r.depth > 0) {
        frame_done(&r.stack[--r.depth]);
    }
    free(r.stack);
    map_free(r.anchors);
    if (r.failed) {
        return -1;
    }
    *docs_out = docs;
    *count_out = count;
    return 0;
}
