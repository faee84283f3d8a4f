/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the step left: parameter files and executor_output.json as text (the engine judges them),
 * artifacts measured, and stored when they do not already lie where their URI says.
 */
#include "launch/collect.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/util.h"
#include "launch/order.h"
#include "launch/output.h"
#include "launch/transfer.h"
#include "launch/tree.h"

enum { PARAMS_TOTAL_MAX = 24 * 1024 * 1024, LIST_MAX = 10000 };

/* The file's text as a JSON string; JSON null if there is no file. */
static json_t *read_text(const char *path, int64_t max, struct err *err)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        if (errno == ENOENT || errno == ENOTDIR) {
            return json_null();
        }
        err_errno(err, errno, "%s", path);
        return NULL;
    }
    if (!S_ISREG(st.st_mode)) {
        err_set(err, ERR_INVALID, "%s: is not a regular file", path);
        return NULL;
    }
    if (st.st_size > max) {
        err_set(err, ERR_LIMIT, "%s: has %lld bytes and the limit is %lld; use an artifact", path,
            (long long)st.st_size, (long long)max);
        return NULL;
    }
    size_t len = 0;
    CLEANUP(cleanup_free) char *text = file_read(path, (size_t)max, &len, err);
    if (text == NULL) {
        return NULL;
    }
    if (!text_is_utf8(text, len)) {
        err_set(err, ERR_INVALID, "%s: is not UTF-8 text", path);
        return NULL;
    }
    return json_stringn(text, len);
}

static int collect_params(const struct order *order, json_t *params, struct err *err)
{
    size_t total = 0;
    for (size_t i = 0; i < order->params_len; i++) {
        const struct order_file *p = &order->params[i];
        json_t *text = read_text(p->path, order->max_param_bytes, err);
        if (text == NULL) {
            return err_wrap(err, "output parameter '%s'", p->name);
        }
        total += json_string_length(text);
        if (json_is_null(text)) {
            json_decref(text);
        } else {
            json_object_set_new(params, p->name, text);
        }
        if (total > PARAMS_TOTAL_MAX) {
            return err_set(err, ERR_LIMIT,
                "output parameters: together more than %d bytes; use artifacts", PARAMS_TOTAL_MAX);
        }
    }
    return 0;
}

/* What executor_output.json says about an output: its artifacts, one unless it is a list. */
static const json_t *announced(const json_t *output_file, const char *name)
{
    const json_t *artifacts = json_object_get(output_file, "artifacts");
    return json_object_get(json_object_get(artifacts, name), "artifacts");
}

struct place {
    const char *path; /* where the content lies; NULL: elsewhere, not ours to store */
    char *uri;        /* what is recorded; owned */
    bool is_moved;    /* it lies at path but has to get to the order's uri */
};

static void add_encoded(struct buf *out, const char *path)
{
    for (const char *p = path; *p != '\0'; p++) {
        if (strchr("%?# ", *p) != NULL || (unsigned char)*p >= 0x7f || (unsigned char)*p < 0x20) {
            buf_addf(out, "%%%02X", (unsigned char)*p);
        } else {
            buf_addc(out, *p);
        }
    }
}

/* "/root/a b" below /root, which is `uri` -> "file:///root/a%20b"; NULL: it is not below it. */
static char *uri_below(const char *folder, const char *uri, const char *path)
{
    size_t len = folder != NULL ? strlen(folder) : 0;
    if (len == 0 || strncmp(path, folder, len) != 0 || path[len] != '/' ||
        strstr(path, "/../") != NULL || str_ends(path, "/..")) {
        return NULL;
    }
    struct buf out;
    buf_init(&out, 64 * 1024);
    buf_adds(&out, uri);
    add_encoded(&out, path + len);
    return buf_steal(&out, NULL);
}

/*
 * Where is it, and what is its name? A custom path wins; a changed uri that is a path (the SDK
 * knows no file:// URIs) is that path; one with a scheme is taken down as it is.
 */
static void find_place(const struct order *order, const struct order_file *out, const json_t *said,
    struct place *place)
{
    const char *custom = jget_str(said, "custom_path", jget_str(said, "customPath", ""));
    const char *uri = jget_str(said, "uri", "");
    *place = (struct place){.path = out->path};
    if (custom[0] != '\0') {
        place->path = custom;
        place->is_moved = strcmp(custom, out->path) != 0;
    } else if (uri[0] == '/' && strcmp(uri, out->path) != 0) {
        place->path = uri;
        place->uri = uri_below(order->root_path, order->root_uri, uri);
        place->is_moved = place->uri == NULL;
    } else if (uri[0] != '\0' && uri[0] != '/' && strcmp(uri, out->uri) != 0) {
        place->uri = xstrdup(uri);
        size_t root_len = order->root_uri != NULL ? strlen(order->root_uri) : 0;
        bool is_below = root_len > 0 && strncmp(uri, order->root_uri, root_len) == 0 &&
                        uri[root_len] == '/' && strchr(uri, '%') == NULL;
        /* A file:// URI below the root is a path that we know; in a pod it is the daemon's. */
        place->path = is_below ? uri + strlen("file://") : NULL;
    }
    if (place->uri == NULL) {
        place->uri = xstrdup(out->uri);
    }
}

struct measure {
    int64_t size;
    bool is_file;
};

static int measure_fn(void *owner, const char *path, const char *rel, int64_t size, struct err *err)
{
    (void)path;
    (void)err;
    struct measure *m = owner;
    m->size += size;
    m->is_file = rel[0] == '\0';
    return 0;
}

static int add_measures(json_t *entry, const char *path, struct err *err)
{
    struct measure m = {0};
    char hex[65];
    if (tree_walk(path, measure_fn, &m, err) != 0 ||
        (m.is_file && tree_digest(path, hex, err) != 0)) {
        return -1;
    }
    json_object_set_new(entry, "exists", json_true());
    json_object_set_new(entry, "size", json_integer(m.size));
    if (m.is_file) {
        CLEANUP(cleanup_free) char *digest = xasprintf("sha256:%s", hex);
        json_object_set_new(entry, "digest", json_string(digest));
    }
    return 0;
}

static int store_artifact(struct transfer *t, struct output *output, const struct order_file *out,
    const struct place *place, struct err *err)
{
    if (t != NULL) {
        return transfer_store(t, place->path, place->uri, err);
    }
    if (place->is_moved) {
        output_note(output, "artifact '%s' is copied from %s", out->name, place->path);
        return tree_copy(place->path, out->path, err);
    }
    return 0;
}

/* One artifact at `out`; its entry of the report, or NULL. */
static json_t *collect_one(const struct order *order, struct transfer *t, struct output *output,
    const struct order_file *out, const json_t *said, struct err *err)
{
    struct place place;
    find_place(order, out, said, &place);
    CLEANUP(cleanup_free) char *uri = place.uri;
    json_t *entry CLEANUP(json_decrefp) =
        json_pack("{s:s,s:s?,s:b,s:i}", "uri", uri, "path", place.path, "exists", 0, "size", 0);
    if (entry == NULL) {
        err_set(err, ERR_INVALID, "output artifact '%s': its uri is not UTF-8", out->name);
        return NULL;
    }
    struct stat st;
    if (place.path == NULL) {
        output_note(
            output, "artifact '%s': %s is recorded, its content is not looked at", out->name, uri);
        return STEAL(entry);
    }
    if (place.path[0] != '/') {
        err_set(err, ERR_INVALID, "output artifact '%s': its path '%s' is not absolute", out->name,
            place.path);
        return NULL;
    }
    if (stat(place.path, &st) != 0) {
        output_note(output, "artifact '%s': nothing at %s", out->name, place.path);
        return STEAL(entry);
    }
    if (add_measures(entry, place.path, err) != 0 ||
        store_artifact(t, output, out, &place, err) != 0) {
        err_wrap(err, "output artifact '%s'", out->name);
        return NULL;
    }
    return STEAL(entry);
}

/*
 * One after the first of a list: what lies in the output's own folder is kept there, anything else
 * beside it.
 */
static json_t *collect_further(const struct order *order, struct transfer *t, struct output *output,
    const struct order_file *out, const json_t *said, size_t i, struct err *err)
{
    const char *path = jget_str(said, "custom_path", jget_str(said, "customPath", ""));
    path = path[0] != '\0' ? path : jget_str(said, "uri", "");
    char *uri CLEANUP(cleanup_free) = uri_below(out->path, out->uri, path);
    char *own_path CLEANUP(cleanup_free) = NULL;
    if (uri == NULL) {
        uri = xasprintf("%s-%zu", out->uri, i);
        own_path = xasprintf("%s-%zu", out->path, i);
    }
    struct order_file place = {out->name, uri, own_path != NULL ? own_path : path, false};
    return collect_one(order, t, output, &place, said, err);
}

static int collect_artifact(const struct order *order, struct transfer *t, struct output *output,
    const struct order_file *out, const json_t *said, json_t *artifacts, struct err *err)
{
    json_t *entry = collect_one(order, t, output, out, json_array_get(said, 0), err);
    if (entry == NULL) {
        return -1;
    }
    json_object_set_new(artifacts, out->name, entry);
    if (!out->is_list || json_array_size(said) < 2) {
        return 0;
    }
    if (json_array_size(said) > LIST_MAX) {
        return err_set(err, ERR_LIMIT, "output artifact '%s': a list of more than %d artifacts",
            out->name, LIST_MAX);
    }
    json_t *more = json_array();
    json_object_set_new(entry, "more", more);
    for (size_t i = 1; i < json_array_size(said); i++) {
        json_t *one = collect_further(order, t, output, out, json_array_get(said, i), i, err);
        if (one == NULL) {
            return -1;
        }
        json_array_append_new(more, one);
    }
    return 0;
}

int collect(const struct order *order, struct transfer *t, struct output *output,
    struct collected *out, struct err *err)
{
    struct collected c = {.params = json_object(), .artifacts = json_object()};
    json_t *said = NULL;
    c.output_file = json_null();
    int rc = 0;
    if (order->output_file != NULL) {
        c.output_file = read_text(order->output_file, order->max_output_file_bytes, err);
        rc = c.output_file == NULL ? err_wrap(err, "executor output") : 0;
    }
    if (rc == 0 && json_is_string(c.output_file)) {
        /* What is wrong with it is for the engine to say; it gets the text. */
        struct err ignored = ERR_INIT;
        said = jread_python(json_string_value(c.output_file), json_string_length(c.output_file),
            "executor output", &ignored);
    }
    rc = rc == 0 ? collect_params(order, c.params, err) : rc;
    for (size_t i = 0; rc == 0 && i < order->outputs_len; i++) {
        const struct order_file *file = &order->outputs[i];
        rc =
            collect_artifact(order, t, output, file, announced(said, file->name), c.artifacts, err);
    }
    json_decref(said);
    if (rc != 0) {
        collected_done(&c);
        return -1;
    }
    *out = c;
    return 0;
}

void collected_done(struct collected *c)
{
    json_decref(c->output_file);
    json_decref(c->params);
    json_decref(c->artifacts);
    memset(c, 0, sizeof *c);
}
