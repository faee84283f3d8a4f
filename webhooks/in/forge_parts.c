/* SPDX-License-Identifier: Apache-2.0 */
/* Reading what forges send: members, refs and ids, commits and the files they change. */
#include "webhooks/in/forge_parts.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "base/http_msg.h"
#include "base/json.h"
#include "base/map.h"
#include "base/pool.h"
#include "base/secret.h"
#include "base/util.h"

#define REF_MAX 1024
#define REPOSITORY_MAX 1024
#define FILES_MAX 20000
/* Real messages nest to about ten; the parser's own limit would let thousands through. */
#define DEPTH_MAX 64
#define VALUES_MAX 2000000
#define FORM "application/x-www-form-urlencoded"

/* ---- members ---- */

int take_bad(struct reading *r, const char *fmt, ...)
{
    if (!r->is_bad) {
        char text[512];
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(text, sizeof text, fmt, ap);
        va_end(ap);
        err_set(r->err, ERR_INVALID, "%s", text);
        r->is_bad = true;
    }
    return -1;
}

const json_t *take_object(struct reading *r, const json_t *obj, const char *where, const char *key)
{
    const json_t *value = NULL;
    r->is_bad = r->is_bad || jread_object(obj, where, key, &value, r->err) != 0;
    return value;
}

const json_t *take_array(struct reading *r, const json_t *obj, const char *where, const char *key)
{
    const json_t *value = NULL;
    r->is_bad = r->is_bad || jread_array(obj, where, key, &value, r->err) != 0;
    return value;
}

const char *take_text(struct reading *r, const json_t *obj, const char *where, const char *key)
{
    const char *value = "";
    r->is_bad = r->is_bad || jread_string(obj, where, key, &value, r->err) != 0;
    return value;
}

const char *take_need(struct reading *r, const json_t *obj, const char *where, const char *key)
{
    const char *value = "";
    r->is_bad = r->is_bad || jread_need_string(obj, where, key, &value, r->err) != 0;
    return value;
}

bool take_flag(struct reading *r, const json_t *obj, const char *where, const char *key)
{
    bool value = false;
    r->is_bad = r->is_bad || jread_bool(obj, where, key, &value, r->err) != 0;
    return value;
}

int64_t take_number(
    struct reading *r, const json_t *obj, const char *where, const char *key, int64_t fallback)
{
    int64_t value = fallback;
    r->is_bad = r->is_bad || jread_i64(obj, where, key, 0, INT64_MAX, &value, r->err) != 0;
    return value;
}

void take_person(struct reading *r, const json_t *obj, const char *where, struct git_person *out)
{
    out->name = take_text(r, obj, where, "name");
    out->email = take_text(r, obj, where, "email");
    out->username =
        first_of(take_text(r, obj, where, "username"), take_text(r, obj, where, "login"));
}

const char *take_inner(
    struct reading *r, const json_t *obj, const char *where, const char *key, const char *inner)
{
    const json_t *outer = take_object(r, obj, where, key);
    return outer == NULL ? ""
                         : take_text(r, outer, pool_printf(r->pool, "%s.%s", where, key), inner);
}

const char *first_of(const char *a, const char *b)
{
    return a[0] != '\0' ? a : b;
}

/* ---- ids and refs ---- */

static bool is_printable(const char *text, char lowest)
{
    size_t len = text != NULL ? strlen(text) : 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < lowest || text[i] >= 0x7f) {
            return false;
        }
    }
    return len > 0 && len <= DELIVERY_MAX;
}

bool delivery_is_valid(const char *text)
{
    return is_printable(text, '!');
}

bool event_is_valid(const char *text)
{
    return is_printable(text, ' ');
}

static bool is_object_id(const char *text)
{
    size_t len = strlen(text);
    return (len == 40 || len == 64) && text[strspn(text, "0123456789abcdef")] == '\0';
}

bool commit_is_none(const char *id)
{
    return id[strspn(id, "0")] == '\0';
}

const char *branch_of_ref(const char *ref)
{
    static const char heads[] = "refs/heads/";
    return str_starts(ref, heads) ? ref + sizeof heads - 1 : ref;
}

void person_split(struct pool *pool, const char *raw, struct git_person *out)
{
    const char *open = strrchr(raw, '<'), *close = open != NULL ? strchr(open, '>') : NULL;
    size_t len = open != NULL ? (size_t)(open - raw) : strlen(raw);
    while (len > 0 && raw[len - 1] == ' ') {
        len--;
    }
    out->name = pool_strndup(pool, raw, len);
    out->email = close != NULL ? pool_strndup(pool, open + 1, (size_t)(close - open - 1)) : "";
}

const char *commit_none(const char *like)
{
    static const char zeros[] = "0000000000000000000000000000000000000000000000000000000000000000";
    return strlen(like) == 64 ? zeros : zeros + 24;
}

/* One part between slashes. */
static bool ref_part_is_valid(const char *part, size_t len)
{
    static const char lock[] = ".lock";
    size_t tail = sizeof lock - 1;
    return len > 0 && part[0] != '.' &&
           !(len >= tail && memcmp(part + len - tail, lock, tail) == 0);
}

bool ref_is_valid(const char *ref)
{
    size_t len = strlen(ref);
    if (len == 0 || len > REF_MAX || ref[len - 1] == '.' || strstr(ref, "..") != NULL ||
        strstr(ref, "@{") != NULL || strpbrk(ref, " ~^:?*[\\\x7f") != NULL) {
        return false;
    }
    for (const char *at = ref;; at++) {
        size_t part = strcspn(at, "/");
        if (!ref_part_is_valid(at, part)) {
            return false;
        }
        for (size_t i = 0; i < part; i++) {
            if ((unsigned char)at[i] < 0x20) {
                return false;
            }
        }
        at += part;
        if (*at == '\0') {
            return true;
        }
    }
}

/* ---- pushes ---- */

void message_pushes(struct reading *r, struct hook_message *m, size_t count)
{
    m->refs_dropped = count > HOOK_REFS_MAX ? count - HOOK_REFS_MAX : 0;
    m->push_count = count - m->refs_dropped;
    m->pushes = pool_calloc(r->pool, m->push_count > 0 ? m->push_count : 1, sizeof *m->pushes);
    for (size_t i = 0; i < m->push_count; i++) {
        struct git_push *push = &m->pushes[i];
        push->ref = push->before = push->after = push->commit = push->key = "";
        push->compare_url = push->message = "";
        push->actor = m->actor;
        push->author = push->committer = (struct git_person){"", "", ""};
        push->commit_count = -1;
        push->forge = forge_name(m->forge);
        push->event = m->event;
        push->payload = m->payload;
        push->delivery = i == 0 ? m->delivery : pool_printf(r->pool, "%s#%zu", m->delivery, i + 1);
    }
}

int message_other(struct reading *r, struct hook_message *m, const char *why)
{
    m->kind = HOOK_OTHER;
    m->why = pool_printf(r->pool, "%.64s: %s", m->event, why);
    return r->is_bad ? -1 : 0;
}

void message_find_test(struct hook_message *m)
{
    if (m->push_count == 1 && strcmp(m->pushes[0].before, m->pushes[0].after) == 0) {
        m->kind = HOOK_PING;
        m->why = "a test: before and after are the same commit";
    }
}

const char *git_push_key(struct pool *pool, const char *repository, const char *ref,
    const char *before, const char *after)
{
    char *text = pool_printf(pool, "%s\n%s\n%s\n%s", repository, ref, before, after);
    for (char *c = text; *c != '\n'; c++) {
        *c = *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c;
    }
    char *key = pool_alloc(pool, SHA256_HEX_LEN + 1);
    sha256_hex(text, strlen(text), key);
    return key;
}

static bool is_plain_line(const char *text)
{
    for (const char *c = text; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f) {
            return false;
        }
    }
    return true;
}

/* A repository's address is shown to everybody who may see the run. "ann:pw@" becomes "ann@". */
static const char *without_password(struct pool *pool, const char *url)
{
    const char *start = strstr(url, "://");
    if (start == NULL) {
        return url;
    }
    start += strlen("://");
    const char *end = start + strcspn(start, "/?#");
    const char *at = memrchr(start, '@', (size_t)(end - start));
    const char *colon = at != NULL ? memchr(start, ':', (size_t)(at - start)) : NULL;
    return colon == NULL ? url : pool_printf(pool, "%.*s%s", (int)(colon - url), url, at);
}

int push_finish(struct reading *r, const struct hook_message *m, struct git_push *push)
{
    if (r->is_bad) {
        return -1;
    }
    if (!is_object_id(push->before) || !is_object_id(push->after) ||
        strlen(push->before) != strlen(push->after) ||
        (push->commit[0] != '\0' && !is_object_id(push->commit))) {
        return take_bad(r, "the commits before and after: expected 40 or 64 lower-case hex digits");
    }
    if (!ref_is_valid(push->ref)) {
        return take_bad(r, "the ref is not one that Git allows (at most %d bytes)", REF_MAX);
    }
    if (strlen(m->repository) > REPOSITORY_MAX || !is_plain_line(m->repository)) {
        return take_bad(
            r, "the repository's name: expected one line of at most %d bytes", REPOSITORY_MAX);
    }
    push->is_created = push->is_created || commit_is_none(push->before);
    push->is_deleted = push->is_deleted || commit_is_none(push->after);
    push->commit = first_of(push->commit, push->after);
    push->repository = m->repository;
    push->url = without_password(r->pool, m->url);
    push->html_url = without_password(r->pool, m->html_url);
    push->default_branch = m->default_branch;
    if (str_starts(push->ref, "refs/heads/")) {
        push->branch = push->ref + strlen("refs/heads/");
    } else if (str_starts(push->ref, "refs/tags/")) {
        push->tag = push->ref + strlen("refs/tags/");
    }
    push->key = git_push_key(r->pool, push->repository, push->ref, push->before, push->after);
    return 0;
}

/* ---- commits and their files ---- */

enum change { CHANGE_ADDED, CHANGE_REMOVED, CHANGE_MODIFIED };

struct file {
    const char *path;
    enum change first, last;
};

struct file_list {
    struct reading *r;
    struct map *by_path; /* -> struct file in the pool */
    struct file **all;   /* in the order of their first change */
    size_t count, cap;
    bool is_full;
};

static void file_changed(struct file_list *list, const char *path, enum change change)
{
    struct file *file = map_get(list->by_path, path);
    if (file == NULL) {
        if (list->count == FILES_MAX) {
            list->is_full = true;
            return;
        }
        if (list->count == list->cap) {
            list->cap = list->cap > 0 ? 2 * list->cap : 64;
            list->all = xreallocarray(list->all, list->cap, sizeof(struct file *));
        }
        file = pool_alloc(list->r->pool, sizeof *file);
        file->path = path;
        file->first = change;
        list->all[list->count++] = file;
        map_put(list->by_path, path, file);
    }
    file->last = change;
}

/* Returns how many files the commit names. */
static size_t commit_files(struct file_list *list, const json_t *commit, const char *where)
{
    /* Within one commit a path is in one list only; a rename is a removal and an addition. */
    static const struct {
        const char *key;
        enum change change;
    } lists[] = {
        {"removed", CHANGE_REMOVED}, {"added", CHANGE_ADDED}, {"modified", CHANGE_MODIFIED}};
    size_t named = 0;
    for (size_t n = 0; n < ARRAY_LEN(lists); n++) {
        const json_t *paths = take_array(list->r, commit, where, lists[n].key), *path;
        size_t i;
        json_array_foreach((json_t *)paths, i, path)
        {
            if (!json_is_string(path)) {
                take_bad(list->r, "%s.%s[%zu]: expected a string", where, lists[n].key, i);
                return named;
            }
            file_changed(list, json_string_value(path), lists[n].change);
            named++;
        }
    }
    return named;
}

static void files_add(struct pool *pool, struct git_files *files, const char *path, size_t max)
{
    if (files->items == NULL) {
        files->items = pool_calloc(pool, max, sizeof *files->items);
    }
    files->items[files->count++] = path;
}

/* What is left of several changes to one file. */
static void files_sort_out(const struct file_list *list, struct git_push *push)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct file *file = list->all[i];
        bool was_there = file->first != CHANGE_ADDED, is_there = file->last != CHANGE_REMOVED;
        if (was_there || is_there) {
            files_add(list->r->pool,
                !was_there  ? &push->added
                : !is_there ? &push->removed
                            : &push->modified,
                file->path, list->count);
        }
    }
}

void push_commits(struct reading *r, const json_t *commits, const char *where,
    enum commit_order order, bool is_all, struct git_push *push)
{
    size_t count = json_array_size(commits);
    if (r->is_bad || count == 0) {
        return;
    }
    size_t used = count < COMMITS_MAX ? count : COMMITS_MAX;
    bool is_complete = is_all && used == count && !push->is_forced;
    struct file_list list = {.r = r, .by_path = map_new(NULL)};
    push->messages = pool_calloc(r->pool, used, sizeof *push->messages);
    for (size_t n = 0; n < used && !r->is_bad; n++) {
        size_t i = order == COMMITS_OLDEST_FIRST ? n : used - 1 - n;
        const json_t *commit = json_array_get(commits, i);
        const char *place = pool_printf(r->pool, "%s[%zu]", where, i);
        if (!json_is_object(commit)) {
            take_bad(r, "%s: expected an object", place);
            break;
        }
        push->messages[i] = take_text(r, commit, place, "message");
        /* No file at all is what a forge says of a commit too large for it. */
        is_complete = commit_files(&list, commit, place) > 0 && is_complete;
    }
    push->message_count = used;
    if (!r->is_bad) {
        files_sort_out(&list, push);
        push->files_known = is_complete && !list.is_full ? GIT_FILES_COMPLETE
                            : list.count > 0             ? GIT_FILES_PARTIAL
                                                         : GIT_FILES_UNKNOWN;
    }
    map_free(list.by_path);
    free(list.all);
}

/* ---- the body ---- */

void drop_json(void *value)
{
    json_decref(value);
}

/* Before parsing: how deep and how much. */
static int check_shape(struct reading *r, const char *text, size_t len, const char *what)
{
    size_t depth = 0, values = 0;
    bool is_string = false;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (is_string) {
            i += c == '\\';
            is_string = c != '"';
        } else if (c == '"') {
            is_string = true;
        } else if (c == '[' || c == '{') {
            values++;
            if (++depth > DEPTH_MAX) {
                return take_bad(r, "%s: nested deeper than %d", what, DEPTH_MAX);
            }
        } else if (c == ']' || c == '}') {
            depth -= depth > 0;
        } else if (c == ',' && ++values > VALUES_MAX) {
            return take_bad(r, "%s: more than %d values", what, VALUES_MAX);
        }
    }
    return 0;
}

json_t *take_json(struct reading *r, const char *text, size_t len, const char *what)
{
    if (check_shape(r, text, len, what) != 0) {
        return NULL;
    }
    json_t *value = jread_text(text, len, what, r->err);
    if (value == NULL) {
        r->is_bad = true;
        return NULL;
    }
    pool_on_free(r->pool, drop_json, value);
    return value;
}

bool request_is_form(const struct http_request *req)
{
    const char *type = http_header(req, "Content-Type");
    return type != NULL && strncasecmp(type, FORM, strlen(FORM)) == 0;
}

int payload_text(const struct http_request *req, const char **out, size_t *len_out, struct err *err)
{
    *out = req->body;
    *len_out = req->body_len;
    if (!request_is_form(req)) {
        return 0;
    }
    struct http_request form = *req;
    form.query = (struct http_fields){0};
    form.query_raw = req->body;
    http_query_parse(&form);
    if (http_fields_times(&form.query, "payload") != 1) {
        return err_set(err, ERR_INVALID, "the form must have the field 'payload' exactly once");
    }
    *out = http_fields_get(&form.query, "payload");
    *len_out = strlen(*out);
    return 0;
}
