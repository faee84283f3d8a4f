/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests, sources and messages of the incoming side as JSON, for tables in files and for
 * programs in other languages. Header only.
 */
#ifndef TESTS_HOOK_JSON_H
#define TESTS_HOOK_JSON_H

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/buf.h"
#include "base/http_msg.h"
#include "base/json.h"
#include "base/pool.h"
#include "base/util.h"
#include "webhooks/in/forge.h"

static inline void hook_add_headers(struct http_request *req, const json_t *headers)
{
    const char *name;
    const json_t *value;
    size_t i;
    json_object_foreach((json_t *)headers, name, value)
    {
        http_fields_add(req->pool, &req->headers, name, json_string_value(value));
    }
    json_array_foreach((json_t *)headers, i, value) /* pairs: a name may come twice */
    {
        http_fields_add(req->pool, &req->headers, json_string_value(json_array_get(value, 0)),
            json_string_value(json_array_get(value, 1)));
    }
}

/*
 * {"method","headers": {} or [[name, value]],"body": text or any other value,"form": true to send
 * it as payload=...}.
 */
static inline struct http_request *hook_request(struct pool *pool, const json_t *from)
{
    struct http_request *req = pool_alloc(pool, sizeof *req);
    const json_t *body = json_object_get(from, "body");
    struct buf text;
    req->pool = pool;
    req->method = jget_str(from, "method", "POST");
    req->path = "/hooks/git/x";
    req->query_raw = "";
    req->peer = "192.0.2.1";
    hook_add_headers(req, json_object_get(from, "headers"));
    CLEANUP(cleanup_free)
    char *plain = json_is_string(body) ? xstrdup(json_string_value(body))
                  : body != NULL       ? json_dumps(body, JSON_COMPACT | JSON_ENCODE_ANY)
                                       : xstrdup("");
    buf_init(&text, 64 << 20);
    if (jget_bool(from, "form", false)) {
        http_fields_add(pool, &req->headers, "Content-Type", "application/x-www-form-urlencoded");
        buf_adds(&text, "payload=");
        http_encode(&text, plain);
    } else {
        buf_adds(&text, plain);
    }
    req->body = pool_strndup(pool, buf_str(&text), text.len);
    req->body_len = text.len;
    buf_done(&text);
    return req;
}

/* {"forge","secrets": [text or {"text","expires_us"}],"scheme",...}. */
static inline struct hook_source *hook_source(struct pool *pool, const json_t *from)
{
    static const char *const schemes[] = {"forge", "hmac", "standard", "bearer", "basic", "token"};
    static const char *const hashes[] = {"sha256", "sha512", "sha1"};
    struct hook_source *out = pool_alloc(pool, sizeof *out);
    forge_from_name(jget_str(from, "forge", "auto"), &out->forge);
    const json_t *secrets = json_object_get(from, "secrets"), *one;
    size_t i;
    json_array_foreach((json_t *)secrets, i, one)
    {
        bool is_text = json_is_string(one);
        out->secrets[out->secret_count++] = (struct hook_secret){
            .text = is_text ? json_string_value(one) : jget_str(one, "text", ""),
            .expires_us = is_text ? 0 : jget_i64(one, "expires_us", 0),
        };
    }
    for (i = 0; i < ARRAY_LEN(schemes); i++) {
        if (str_eq(schemes[i], jget_str(from, "scheme", "forge"))) {
            out->scheme = (enum hook_scheme)i;
        }
    }
    for (i = 0; i < ARRAY_LEN(hashes); i++) {
        if (str_eq(hashes[i], jget_str(from, "algorithm", "sha256"))) {
            out->hash = (enum hmac_hash)i;
        }
    }
    out->encoding = str_eq(jget_str(from, "encoding", "hex"), "base64") ? HOOK_BASE64 : HOOK_HEX;
    out->is_insecure = jget_bool(from, "insecure", false);
    out->is_sha1_allowed = jget_bool(from, "sha1", false);
    out->header = jget_str(from, "header", NULL);
    out->prefix = jget_str(from, "prefix", NULL);
    out->username = jget_str(from, "username", NULL);
    out->id_header = jget_str(from, "id_header", NULL);
    return out;
}

static inline json_t *hook_person_json(const struct git_person *p)
{
    return json_pack("{s:s,s:s,s:s}", "name", p->name, "email", p->email, "username", p->username);
}

static inline json_t *hook_files_json(const struct git_files *files)
{
    json_t *list = json_array();
    for (size_t i = 0; i < files->count; i++) {
        json_array_append_new(list, json_string(files->items[i]));
    }
    return list;
}

static inline json_t *hook_push_json(const struct git_push *p)
{
    static const char *const known[] = {"unknown", "partial", "complete"};
    json_t *messages = json_array();
    for (size_t i = 0; i < p->message_count; i++) {
        json_array_append_new(messages, json_string(p->messages[i]));
    }
    json_t *out = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s?,s:s?,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s}",
        "forge", p->forge, "delivery", p->delivery, "event", p->event, "key", p->key, "ref", p->ref,
        "branch", p->branch, "tag", p->tag, "before", p->before, "after", p->after, "commit",
        p->commit, "repository", p->repository, "url", p->url, "html_url", p->html_url,
        "compare_url", p->compare_url, "default_branch", p->default_branch, "actor", p->actor);
    json_object_set_new(out, "author", hook_person_json(&p->author));
    json_object_set_new(out, "committer", hook_person_json(&p->committer));
    json_object_set_new(out, "message", json_string(p->message));
    json_object_set_new(out, "messages", messages);
    json_object_set_new(out, "commit_count", json_integer(p->commit_count));
    json_object_set_new(out, "added", hook_files_json(&p->added));
    json_object_set_new(out, "modified", hook_files_json(&p->modified));
    json_object_set_new(out, "removed", hook_files_json(&p->removed));
    json_object_set_new(out, "files_known", json_string(known[p->files_known]));
    json_object_set_new(out, "created", json_boolean(p->is_created));
    json_object_set_new(out, "deleted", json_boolean(p->is_deleted));
    json_object_set_new(
        out, "forced", p->is_forced_known ? json_boolean(p->is_forced) : json_null());
    return out;
}

static inline json_t *hook_pull_request_json(const struct git_pull_request *p)
{
    return json_pack("{s:I,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:b,s:b,s:b}", "number",
        (json_int_t)p->number, "action", p->action, "title", p->title, "url", p->url, "author",
        p->author, "source_branch", p->source_branch, "target_branch", p->target_branch,
        "source_repository", p->source_repository, "head", p->head, "base", p->base, "merged",
        p->is_merged, "draft", p->is_draft, "fork", p->is_fork);
}

static inline json_t *hook_release_json(const struct git_release *p)
{
    return json_pack("{s:s,s:s,s:s,s:s,s:s,s:b,s:b}", "action", p->action, "tag", p->tag, "name",
        p->name, "target", p->target, "url", p->url, "draft", p->is_draft, "prerelease",
        p->is_prerelease);
}

/* Everything but the payload. New reference. */
static inline json_t *hook_message_json(const struct hook_message *m)
{
    static const char *const kinds[] = {
        "ping", "push", "pull_request", "release", "generic", "other"};
    json_t *pushes = json_array();
    for (size_t i = 0; i < m->push_count; i++) {
        json_array_append_new(pushes, hook_push_json(&m->pushes[i]));
    }
    json_t *out = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:o,s:I}", "forge",
        forge_name(m->forge), "kind", kinds[m->kind], "delivery", m->delivery, "event", m->event,
        "why", m->why, "repository", m->repository, "url", m->url, "html_url", m->html_url,
        "default_branch", m->default_branch, "actor", m->actor, "pushes", pushes, "refs_dropped",
        (json_int_t)m->refs_dropped);
    if (m->pull_request != NULL) {
        json_object_set_new(out, "pull_request", hook_pull_request_json(m->pull_request));
    }
    if (m->release != NULL) {
        json_object_set_new(out, "release", hook_release_json(m->release));
    }
    return out;
}

#endif
