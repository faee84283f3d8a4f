/* SPDX-License-Identifier: Apache-2.0 */
/* From a forge's message to the changes it tells of. */
#include "webhooks/in/git_change.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "base/http_msg.h"
#include "base/json.h"
#include "base/pool.h"
#include "base/secret.h"
#include "base/util.h"
#include "webhooks/in/forge.h"

#define HEADERS_MAX 64
#define HEADER_VALUE_MAX 1024
#define FACT_FILES_MAX 3000

static void drop_json(void *value)
{
    json_decref(value);
}

static char *hash_of(struct pool *pool, const char *text)
{
    char *hex = pool_alloc(pool, SHA256_HEX_LEN + 1);
    sha256_hex(text, strlen(text), hex);
    return hex;
}

/* ---- facts ---- */

struct git_facts {
    struct pool *pool;
    json_t *json; /* or NULL: not asked for yet */
};

static void put(json_t *facts, const char *key, const char *value)
{
    json_object_set_new(facts, key, json_string(value != NULL ? value : ""));
}

static json_t *texts(const char *const *items, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count && i < FACT_FILES_MAX; i++) {
        json_array_append_new(list, json_string(items[i]));
    }
    return list;
}

static json_t *person(const struct git_person *p)
{
    json_t *out = json_object();
    put(out, "name", p->name);
    put(out, "email", p->email);
    put(out, "username", p->username);
    return out;
}

static json_t *files_of(const struct git_push *push)
{
    static const char *const known[] = {"unknown", "partial", "complete"};
    json_t *files = json_object();
    json_t *all = json_array();
    const struct {
        const char *name;
        const struct git_files *files;
    } lists[] = {
        {"added", &push->added}, {"modified", &push->modified}, {"removed", &push->removed}};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        json_t *list = texts(lists[i].files->items, lists[i].files->count);
        json_array_extend(all, list);
        json_object_set_new(files, lists[i].name, list);
    }
    json_object_set_new(files, "all", all);
    put(files, "known", known[push->files_known]);
    return files;
}

static json_t *pull_request_facts(const struct git_pull_request *p)
{
    json_t *out = json_pack("{s:I,s:b,s:b,s:b}", "number", (json_int_t)p->number, "merged",
        p->is_merged, "draft", p->is_draft, "fork", p->is_fork);
    put(out, "action", p->action);
    put(out, "title", p->title);
    put(out, "url", p->url);
    put(out, "author", p->author);
    put(out, "source_branch", p->source_branch);
    put(out, "target_branch", p->target_branch);
    put(out, "source_repository", p->source_repository);
    put(out, "head", p->head);
    put(out, "base", p->base);
    return out;
}

static json_t *release_facts(const struct git_release *r)
{
    json_t *out = json_pack("{s:b,s:b}", "draft", r->is_draft, "prerelease", r->is_prerelease);
    put(out, "action", r->action);
    put(out, "tag", r->tag);
    put(out, "name", r->name);
    put(out, "target", r->target);
    put(out, "url", r->url);
    return out;
}

static const char *or_empty(const char *text)
{
    return text != NULL ? text : "";
}

static json_t *facts_of(const struct git_change *c)
{
    const struct git_push *p = &c->push;
    json_t *facts = json_object();
    put(facts, "kind", git_kind_name(c->kind));
    put(facts, "forge", forge_name(c->message->forge));
    put(facts, "event", c->message->event);
    put(facts, "delivery", c->delivery);
    put(facts, "ref", p->ref);
    put(facts, "branch", p->branch);
    put(facts, "tag", p->tag);
    put(facts, "before", p->before);
    put(facts, "after", p->after);
    put(facts, "commit", p->is_deleted ? "" : p->commit);
    put(facts, "repository", p->repository);
    put(facts, "url", p->url);
    put(facts, "html_url", p->html_url);
    put(facts, "compare_url", p->compare_url);
    put(facts, "default_branch", p->default_branch);
    put(facts, "actor", p->actor);
    put(facts, "message", p->message);
    json_object_set_new(facts, "author", person(&p->author));
    json_object_set_new(facts, "committer", person(&p->committer));
    json_object_set_new(facts, "messages", texts(p->messages, p->message_count));
    json_object_set_new(facts, "commits", json_integer(p->commit_count));
    json_object_set_new(facts, "files", files_of(p));
    json_object_set_new(facts, "created", json_boolean(p->is_created));
    json_object_set_new(facts, "deleted", json_boolean(p->is_deleted));
    json_object_set_new(facts, "forced", json_boolean(p->is_forced));
    put(facts, "action", "");
    put(facts, "title", "");
    if (c->message->pull_request != NULL && c->kind == GIT_KIND_PULL_REQUEST) {
        const struct git_pull_request *pr = c->message->pull_request;
        json_object_set_new(facts, "pull_request", pull_request_facts(pr));
        json_object_set_new(facts, "number", json_integer(pr->number));
        put(facts, "action", pr->action);
        put(facts, "title", pr->title);
        put(facts, "source_branch", pr->source_branch);
    }
    if (c->message->release != NULL && c->kind == GIT_KIND_RELEASE) {
        json_object_set_new(facts, "release", release_facts(c->message->release));
        put(facts, "action", c->message->release->action);
        put(facts, "title", c->message->release->name);
    }
    return facts;
}

const json_t *git_change_facts(const struct git_change *change)
{
    struct git_facts *facts = change->facts_;
    if (facts->json == NULL) {
        facts->json = facts_of(change);
        pool_on_free(facts->pool, drop_json, facts->json);
    }
    return facts->json;
}

/* ---- changes ---- */

static struct git_push bare_push(const struct hook_message *m)
{
    return (struct git_push){
        .forge = forge_name(m->forge),
        .delivery = m->delivery,
        .event = or_empty(m->event),
        .ref = "",
        .before = "",
        .after = "",
        .commit = "",
        .repository = or_empty(m->repository),
        .url = or_empty(m->url),
        .html_url = or_empty(m->html_url),
        .compare_url = "",
        .default_branch = or_empty(m->default_branch),
        .actor = or_empty(m->actor),
        .author = {"", "", ""},
        .committer = {"", "", ""},
        .message = "",
        .commit_count = -1,
        .payload = m->payload,
    };
}

const char *git_ref_key(struct pool *pool, const char *repository, const char *ref)
{
    char *text = pool_printf(pool, "%s\n%s", repository, ref);
    for (char *c = text; *c != '\n'; c++) { /* forges know repositories without case */
        *c = *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c;
    }
    return hash_of(pool, text);
}

static void take_push(struct pool *pool, struct git_change *c, const struct git_push *push)
{
    c->kind = push->tag != NULL ? GIT_KIND_TAG : GIT_KIND_PUSH;
    c->push = *push;
    c->delivery = push->delivery;
    c->key = pool_printf(pool, "%s:%s", git_kind_name(c->kind), push->key);
    c->ref_key = git_ref_key(pool, push->repository, push->ref);
}

static void take_pull_request(struct pool *pool, struct git_change *c)
{
    const struct hook_message *m = c->message;
    const struct git_pull_request *pr = m->pull_request;
    c->kind = GIT_KIND_PULL_REQUEST;
    c->push = bare_push(m);
    c->delivery = m->delivery;
    c->push.ref = pool_printf(pool, "refs/pull/%lld/head", (long long)pr->number);
    c->push.branch = pr->target_branch;
    c->push.before = or_empty(pr->base);
    c->push.after = c->push.commit = or_empty(pr->head);
    c->push.message = or_empty(pr->title);
    c->push.compare_url = or_empty(pr->url);
    c->key = pool_printf(pool, "pull_request:%s",
        hash_of(
            pool, pool_printf(pool, "%s\n%lld\n%s\n%s\n%s", c->push.repository,
                      (long long)pr->number, pr->action, or_empty(pr->head), or_empty(pr->base))));
}

static void take_release(struct pool *pool, struct git_change *c)
{
    const struct hook_message *m = c->message;
    const struct git_release *r = m->release;
    c->kind = GIT_KIND_RELEASE;
    c->push = bare_push(m);
    c->delivery = m->delivery;
    c->push.tag = or_empty(r->tag);
    c->push.ref = pool_printf(pool, "refs/tags/%s", c->push.tag);
    c->push.message = or_empty(r->name);
    c->push.compare_url = or_empty(r->url);
    c->key = pool_printf(pool, "release:%s",
        hash_of(pool, pool_printf(pool, "%s\n%s\n%s", c->push.repository, c->push.tag, r->action)));
}

void git_changes_of(struct pool *pool, const struct hook_message *m, struct git_changes *out)
{
    size_t count = m->kind == HOOK_PUSH                            ? m->push_count
                   : m->kind == HOOK_PING || m->kind == HOOK_OTHER ? 0
                                                                   : 1;
    out->items = pool_calloc(pool, count > 0 ? count : 1, sizeof *out->items);
    out->count = count;
    for (size_t i = 0; i < count; i++) {
        struct git_change *c = &out->items[i];
        c->message = m;
        if (m->kind == HOOK_PUSH) {
            take_push(pool, c, &m->pushes[i]);
        } else if (m->kind == HOOK_PULL_REQUEST) {
            take_pull_request(pool, c);
        } else if (m->kind == HOOK_RELEASE) {
            take_release(pool, c);
        } else {
            c->kind = GIT_KIND_GENERIC;
            c->push = bare_push(m);
            c->delivery = m->delivery;
        }
        c->facts_ = pool_alloc(pool, sizeof *c->facts_);
        c->facts_->pool = pool;
    }
}

/* ---- headers ---- */

/* What may hold a secret: never shown, stored or handed to a filter. */
static bool is_secret_header(const char *name)
{
    static const char *const words[] = {
        "authorization", "cookie", "token", "signature", "secret", "password", "key", "credential"};
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (strcasestr(name, words[i]) != NULL && strcasecmp(name, "Idempotency-Key") != 0 &&
            strcasecmp(name, "X-Event-Key") != 0) {
            return true;
        }
    }
    return false;
}

json_t *git_headers_safe(const struct http_fields *headers)
{
    json_t *out = json_object();
    for (size_t i = 0; i < headers->count && json_object_size(out) < HEADERS_MAX; i++) {
        const struct http_field *field = &headers->items[i];
        char name[64];
        size_t len = strlen(field->name);
        if (len >= sizeof name || strlen(field->value) > HEADER_VALUE_MAX ||
            is_secret_header(field->name)) {
            continue;
        }
        for (size_t c = 0; c <= len; c++) {
            name[c] = (char)tolower((unsigned char)field->name[c]);
        }
        json_t *value = json_string(field->value); /* NULL: not UTF-8 */
        if (value != NULL) {
            json_object_set_new(out, name, value);
        }
    }
    return out;
}
