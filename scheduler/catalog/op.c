/* SPDX-License-Identifier: Apache-2.0 */
/* Calls to the catalogue: their life, and the shapes that all kinds of records share. */
#include "catalog/op.h"

#include <stdlib.h>
#include <string.h>

#include "base/id.h"
#include "base/json.h"
#include "base/util.h"
#include "catalog_scripts.h"

/* Records per MGET: long lists leave room for other commands in between. */
#define READ_BATCH 500
#define CHANGE_TRIES 8
#define TAGS_MAX 20
#define TAG_CHARS_MAX 63

struct catalog_op *op_new(
    struct catalog *c, catalog_done_fn *done, void *owner, const char *fmt, ...)
{
    struct catalog_op *op = xcalloc(1, sizeof(*op));
    op->c = c;
    op->done = done;
    op->owner = owner;
    va_list ap;
    va_start(ap, fmt);
    char *what = NULL;
    if (vasprintf(&what, fmt, ap) < 0) {
        abort();
    }
    va_end(ap);
    op->what = what;
    op->next = c->ops;
    if (c->ops != NULL) {
        c->ops->prev = op;
    }
    c->ops = op;
    return op;
}

static void op_free(struct catalog_op *op)
{
    if (op->prev != NULL) {
        op->prev->next = op->next;
    } else {
        op->c->ops = op->next;
    }
    if (op->next != NULL) {
        op->next->prev = op->prev;
    }
    for (size_t i = 0; i < op->id_count; i++) {
        free(op->ids[i]);
    }
    free(op->ids);
    free(op->what);
    free(op->key);
    free(op->old_text);
    free(op->record_prefix);
    json_decref(op->changes);
    json_decref(op->record);
    free(op);
}

void op_finish(struct catalog_op *op, const json_t *record, const struct err *err)
{
    catalog_done_fn *done = op->done;
    void *owner = op->owner;
    /* The caller may free the catalogue in done: the operation must be gone by then. */
    json_t *kept = json_incref((json_t *)record);
    struct err copy = ERR_INIT;
    if (err != NULL) {
        err_copy(&copy, err);
    }
    op_free(op);
    if (done != NULL) {
        done(owner, err == NULL ? kept : NULL, err == NULL ? NULL : &copy);
    }
    json_decref(kept);
}

void op_drop(struct catalog *c, const void *owner)
{
    struct catalog_op *next;
    for (struct catalog_op *op = c->ops; op != NULL; op = next) {
        next = op->next;
        if (owner == NULL || op->owner == owner) {
            store_cancel(op->call);
            loop_defer_cancel(c->loop, &op->deferred);
            op_free(op);
        }
    }
}

static void op_fail_now(void *owner)
{
    struct catalog_op *op = owner;
    op_finish(op, NULL, &op->err);
}

void op_fail_later(struct catalog_op *op)
{
    loop_defer(op->c->loop, &op->deferred, op_fail_now, op);
}

bool op_id_ok(struct catalog_op *op, const char *id)
{
    if (id != NULL && id_is_valid(id)) {
        return true;
    }
    err_set(&op->err, ERR_NOT_FOUND, "%s does not exist: ids are UUIDs in lower case", op->what);
    op_fail_later(op);
    return false;
}

/* A stored record, checked. New reference. */
static json_t *record_parse(
    const struct catalog_op *op, const char *text, size_t len, struct err *err)
{
    json_t *record = jread_text(text, len, op->what, err);
    if (record == NULL) {
        err->code = ERR_INTERNAL;
        return NULL;
    }
    int64_t version = jget_i64(record, "v", 0);
    if (version != CATALOG_RECORD_VERSION) {
        err_set(err, ERR_INTERNAL,
            "%s: its record has version %lld, this program reads version %d; use the program that "
            "wrote it",
            op->what, (long long)version, CATALOG_RECORD_VERSION);
        json_decref(record);
        return NULL;
    }
    return record;
}

void op_on_record(void *owner, redisReply *reply, const struct err *err)
{
    struct catalog_op *op = owner;
    op->call = NULL;
    struct err local = ERR_INIT;
    json_t *record CLEANUP(json_decrefp) = NULL;
    if (err != NULL) {
        err_copy(&local, err);
        if (err->code == ERR_EXISTS || err->code == ERR_INTERNAL) {
            err_wrap(&local, "%s", op->what);
        }
    } else if (reply->str == NULL) {
        err_set(&local, ERR_NOT_FOUND, "%s does not exist", op->what);
    } else {
        record = record_parse(op, reply->str, reply->len, &local);
    }
    op_finish(op, record, record == NULL ? &local : NULL);
}

void op_on_done(void *owner, redisReply *reply UNUSED, const struct err *err)
{
    struct catalog_op *op = owner;
    op->call = NULL;
    op_finish(op, NULL, err);
}

void op_eval(
    struct catalog_op *op, struct script *script, struct store_args *args, store_done_fn *done)
{
    op->call = store_eval(op->c->store, script, args, done, op);
}

void op_read(struct catalog_op *op, const char *kind, const char *id)
{
    if (op_id_ok(op, id)) {
        op->call =
            store_cmd(op->c->store, op_on_record, op, "GET %s%s:%s", op->c->prefix, kind, id);
    }
}

/* ---- change a record: read, change, swap if nobody else did; else again ---- */

static void op_change_start(struct catalog_op *op);

static void op_on_swapped(void *owner, redisReply *reply, const struct err *err)
{
    struct catalog_op *op = owner;
    op->call = NULL;
    if (err != NULL) {
        op_finish(op, NULL, err);
        return;
    }
    int64_t result = reply_int(reply, 0);
    if (result == 1) {
        op_finish(op, op->record, NULL);
    } else if (result == 0 && ++op->tries < CHANGE_TRIES) {
        op_change_start(op);
    } else {
        struct err local = ERR_INIT;
        if (result == 0) {
            err_set(&local, ERR_CONFLICT, "%s is being changed by others; try again", op->what);
        } else {
            err_set(&local, ERR_NOT_FOUND, "%s does not exist", op->what);
        }
        op_finish(op, NULL, &local);
    }
}

static void op_on_old(void *owner, redisReply *reply, const struct err *err)
{
    struct catalog_op *op = owner;
    op->call = NULL;
    struct err local = ERR_INIT;
    json_t *record = NULL;
    if (err != NULL) {
        err_copy(&local, err);
    } else if (reply->str == NULL) {
        err_set(&local, ERR_NOT_FOUND, "%s does not exist", op->what);
    } else {
        record = record_parse(op, reply->str, reply->len, &local);
    }
    if (record == NULL) {
        op_finish(op, NULL, &local);
        return;
    }
    json_decref(op->record);
    op->record = record;
    const char *key;
    json_t *value;
    json_object_foreach(op->changes, key, value)
    {
        json_object_set(record, key, value);
    }
    char *text CLEANUP(cleanup_free) = jtext(record);
    struct store_args *args = store_args_new();
    store_key(args, "%s", op->key);
    store_arg_b(args, reply->str, reply->len);
    store_arg(args, text);
    op_eval(op, &script_record_swap, args, op_on_swapped);
}

static void op_change_start(struct catalog_op *op)
{
    op->call = store_cmd(op->c->store, op_on_old, op, "GET %s", op->key);
}

/* Only known members; texts are texts; an empty display name means "keep". */
static json_t *changes_check(const json_t *changes, const char *const *allowed, struct err *err)
{
    if (!json_is_object(changes)) {
        err_set(err, ERR_INVALID, "the changes must be an object");
        return NULL;
    }
    if (jread_only(changes, "", allowed, err) != 0) {
        return NULL;
    }
    json_t *copy CLEANUP(json_decrefp) = json_deep_copy(changes);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)changes, key, value)
    {
        if (json_is_null(value)) {
            json_object_del(copy, key);
        } else if (strcmp(key, "tags") == 0) {
            if (check_tags(value, err) != 0) {
                return NULL;
            }
        } else if (!json_is_string(value)) {
            err_set(err, ERR_INVALID, "%s: expected a string", key);
            return NULL;
        } else if (strcmp(key, "display_name") == 0 && json_string_length(value) == 0) {
            json_object_del(copy, key);
        }
    }
    return STEAL(copy);
}

void op_change(struct catalog_op *op, const char *kind, const char *id, const json_t *changes,
    const char *const *allowed)
{
    if (!op_id_ok(op, id)) {
        return;
    }
    op->changes = changes_check(changes, allowed, &op->err);
    if (op->changes == NULL) {
        op_fail_later(op);
        return;
    }
    op->key = xasprintf("%s%s:%s", op->c->prefix, kind, id);
    op_change_start(op);
}

/* ---- read all ---- */

static void op_read_batch(struct catalog_op *op);

static void op_on_batch(void *owner, redisReply *reply, const struct err *err)
{
    struct catalog_op *op = owner;
    op->call = NULL;
    struct err local = ERR_INIT;
    if (err != NULL) {
        op_finish(op, NULL, err);
        return;
    }
    for (size_t i = 0; i < reply->elements; i++) {
        const redisReply *text = reply->element[i];
        if (text->str == NULL) {
            continue; /* deleted since the index was read */
        }
        json_t *record = record_parse(op, text->str, text->len, &local);
        if (record == NULL) {
            op_finish(op, NULL, &local);
            return;
        }
        json_array_append_new(op->record, record);
    }
    op_read_batch(op);
}

static void op_read_batch(struct catalog_op *op)
{
    size_t count = op->id_count - op->id_at;
    if (count == 0) {
        op_finish(op, op->record, NULL);
        return;
    }
    count = count > READ_BATCH ? READ_BATCH : count;
    const char *argv[READ_BATCH + 1] = {"MGET"};
    char *keys[READ_BATCH];
    for (size_t i = 0; i < count; i++) {
        keys[i] = xasprintf("%s%s", op->record_prefix, op->ids[op->id_at + i]);
        argv[i + 1] = keys[i];
    }
    op->id_at += count;
    op->call = store_argv(op->c->store, (int)count + 1, argv, NULL, op_on_batch, op);
    for (size_t i = 0; i < count; i++) {
        free(keys[i]);
    }
}

static void op_on_ids(void *owner, redisReply *reply, const struct err *err)
{
    struct catalog_op *op = owner;
    op->call = NULL;
    if (err != NULL) {
        op_finish(op, NULL, err);
        return;
    }
    op->ids = xcalloc(reply->elements + 1, sizeof(*op->ids));
    for (size_t i = 0; i < reply->elements; i++) {
        if (reply->element[i]->str != NULL) {
            op->ids[op->id_count++] = xstrdup(reply->element[i]->str);
        }
    }
    op->record = json_array();
    op_read_batch(op);
}

void op_read_all(struct catalog_op *op, const char *kind, char *index_key)
{
    op->key = index_key;
    op->record_prefix = xasprintf("%s%s:", op->c->prefix, kind);
    op->call = store_cmd(op->c->store, op_on_ids, op, "ZRANGE %s 0 -1", op->key);
}

/* ---- checks ---- */

int check_text(const char *text, const char *what, struct err *err)
{
    if (text == NULL) {
        return 0;
    }
    json_t *value = json_string(text);
    if (value == NULL) {
        return err_set(err, ERR_INVALID, "%s: it is not valid UTF-8", what);
    }
    json_decref(value);
    return 0;
}

int check_name(const char *name, size_t max, const char *what, struct err *err)
{
    if (name == NULL || name[0] == '\0') {
        return err_set(err, ERR_INVALID, "%s is required", what);
    }
    size_t len = strlen(name);
    if (len > max) {
        return err_set(err, ERR_INVALID,
            "%s is %zu bytes long; at most %zu are allowed. Please choose a shorter one", what, len,
            max);
    }
    return check_text(name, what, err);
}

/* Characters, not bytes: bytes that begin one. */
static size_t utf8_chars(const char *text)
{
    size_t count = 0;
    for (; *text != '\0'; text++) {
        count += ((unsigned char)*text & 0xc0) != 0x80;
    }
    return count;
}

int check_tags(const json_t *tags, struct err *err)
{
    if (tags == NULL || json_is_null(tags)) {
        return 0;
    }
    if (!json_is_object(tags)) {
        return err_set(err, ERR_INVALID, "tags: expected an object of texts");
    }
    if (json_object_size(tags) > TAGS_MAX) {
        return err_set(err, ERR_INVALID, "tags: there are %zu, at most %d are allowed",
            json_object_size(tags), TAGS_MAX);
    }
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)tags, key, value)
    {
        size_t chars = utf8_chars(key);
        if (chars < 1 || chars > TAG_CHARS_MAX || strchr(key, '.') != NULL) {
            return err_set(err, ERR_INVALID,
                "tags: the key '%.80s' must have 1 to %d characters and no '.'", key,
                TAG_CHARS_MAX);
        }
        if (!json_is_string(value) || utf8_chars(json_string_value(value)) > TAG_CHARS_MAX) {
            return err_set(err, ERR_INVALID, "tags.%.80s: expected a text of at most %d characters",
                key, TAG_CHARS_MAX);
        }
    }
    return 0;
}

void record_set(json_t *record, const char *key, const char *value)
{
    json_object_set_new(record, key, json_string(value == NULL ? "" : value));
}
