/* SPDX-License-Identifier: Apache-2.0 */
/* Git triggers: checking what users write, and making a record ready for use. */
#include "webhooks/in/git_trigger.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/id.h"
#include "base/json.h"
#include "base/secret.h"
#include "base/util.h"
#include "webhooks/cel/cel.h"
#include "webhooks/in/git_mapping.h"
#include "webhooks/in/git_template.h"
#include "webhooks/signature.h"

#define TRIGGER_VERSION 2
#define SECRET_MIN 8
#define SECRET_MAX 512
#define TEXT_MAX 256
#define FILTER_MAX 4096
#define GLOBS_MAX 64
#define FILES_MAX 1000000

static const char *const kind_names[] = {"push", "tag", "release", "pull_request", "generic"};
static const char *const wish_names[] = {"any", "only", "never"};
static const char *const skip_names[] = {"none", "head", "any"};
static const char *const policy_names[] = {"allow", "queue", "skip", "cancel"};
static const char *const tell_names[] = {"none", "failed", "all"};
static const char *const unknown_names[] = {"run", "skip"};
static const char *const scheme_names[] = {"forge", "hmac", "standard", "bearer", "basic", "token"};
static const char *const algorithm_names[] = {"sha256", "sha512", "sha1"};
static const char *const encoding_names[] = {"hex", "base64"};

const char *git_kind_name(enum git_kind kind)
{
    return kind_names[kind];
}

const char *git_policy_name(enum git_policy policy)
{
    return policy_names[policy];
}

/* ---- members ---- */

/* One of a few words; absent leaves *out alone. */
static int read_word(const json_t *obj, const char *where, const char *key,
    const char *const *words, size_t count, unsigned *out, struct err *err)
{
    const char *text = NULL;
    if (jread_string(obj, where, key, &text, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < count; i++) {
        if (text == NULL || strcmp(text, words[i]) == 0) {
            *out = text == NULL ? *out : (unsigned)i;
            return 0;
        }
    }
    char known[TEXT_MAX] = "";
    for (size_t i = 0, len = 0; i < count && len < sizeof known - 1; i++) {
        len +=
            (size_t)snprintf(known + len, sizeof known - len, "%s%s", i > 0 ? ", " : "", words[i]);
    }
    return err_set(err, ERR_INVALID, "%s%s%s: '%.60s' is none of %s", where,
        where[0] != '\0' ? "." : "", key, text, known);
}

static int read_text(
    const json_t *obj, const char *where, const char *key, const char **out, struct err *err)
{
    if (jread_string(obj, where, key, out, err) != 0) {
        return -1;
    }
    if (*out != NULL && strlen(*out) > TEXT_MAX) {
        return err_set(err, ERR_INVALID, "%s%s%s: longer than %d bytes", where,
            where[0] != '\0' ? "." : "", key, TEXT_MAX);
    }
    return 0;
}

/* true and false are short for "only" and "never". */
static int read_wish(const json_t *record, const char *key, enum git_wish *out, struct err *err)
{
    const json_t *value = json_object_get(record, key);
    if (json_is_boolean(value)) {
        *out = json_is_true(value) ? GIT_WISH_ONLY : GIT_WISH_NEVER;
        return 0;
    }
    unsigned word = *out;
    int rc = read_word(record, "", key, wish_names, ARRAY_LEN(wish_names), &word, err);
    *out = (enum git_wish)word;
    return rc;
}

static int read_patterns(
    const json_t *record, const char *key, struct git_patterns *out, struct err *err)
{
    const json_t *list = NULL;
    return jread_array(record, "", key, &list, err) != 0
               ? -1
               : git_patterns_compile(list, key, out, err);
}

static int read_globs(const json_t *record, const char *key, const json_t **out, struct err *err)
{
    const json_t *list = NULL;
    if (jread_array(record, "", key, &list, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *text = json_string_value(json_array_get(list, i));
        if (text == NULL || text[0] == '\0' || strlen(text) > TEXT_MAX || i >= GLOBS_MAX) {
            return err_set(err, ERR_INVALID,
                "%s[%zu]: expected at most %d texts of 1 to %d bytes; '*' stands for any "
                "characters",
                key, i, GLOBS_MAX, TEXT_MAX);
        }
    }
    *out = json_array_size(list) > 0 ? list : NULL;
    return 0;
}

static int read_kinds(const json_t *record, struct git_trigger *t, struct err *err)
{
    const json_t *list = NULL;
    if (jread_array(record, "", "events", &list, err) != 0) {
        return -1;
    }
    if (list != NULL && json_array_size(list) == 0) {
        return err_set(err, ERR_INVALID,
            "events: name at least one of push, tag, release, pull_request, generic");
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name = json_string_value(json_array_get(list, i));
        size_t kind = 0;
        while (kind < GIT_KIND_COUNT && !str_eq(name, kind_names[kind])) {
            kind++;
        }
        if (kind == GIT_KIND_COUNT) {
            return err_set(err, ERR_INVALID,
                "events[%zu]: expected push, tag, release, pull_request or generic", i);
        }
        t->kinds |= 1u << kind;
    }
    return 0;
}

/* Without "events" the filters tell: GitHub's rule, that only tags are meant where only tags are
 * named. */
static void infer_kinds(struct git_trigger *t)
{
    bool names_tags = t->tags.count + t->tags_ignore.count > 0;
    bool names_branches = t->branches.count + t->branches_ignore.count > 0;
    if (t->kinds == 0 && t->source.forge >= FORGE_STANDARD_WEBHOOKS) {
        t->kinds = 1u << GIT_KIND_GENERIC;
    } else if (t->kinds == 0) {
        t->kinds = (names_tags ? 1u << GIT_KIND_TAG : 0) |
                   (names_branches || !names_tags ? 1u << GIT_KIND_PUSH : 0);
    }
}

static int check_lists(const struct git_trigger *t, struct err *err)
{
    const struct {
        const char *name;
        size_t only, but;
    } pairs[] = {{"branches", t->branches.count, t->branches_ignore.count},
        {"tags", t->tags.count, t->tags_ignore.count},
        {"paths", t->paths.count, t->paths_ignore.count}};
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        if (pairs[i].only > 0 && pairs[i].but > 0) {
            return err_set(err, ERR_INVALID,
                "%s, %s_ignore: give one of them; in %s a pattern with '!' excludes", pairs[i].name,
                pairs[i].name, pairs[i].name);
        }
    }
    bool has_tags = t->tags.count + t->tags_ignore.count > 0;
    if (has_tags && (t->kinds & (1u << GIT_KIND_TAG | 1u << GIT_KIND_RELEASE)) == 0) {
        return err_set(err, ERR_INVALID,
            "tags: no tag can come, because events has neither \"tag\" nor \"release\"; add one");
    }
    return 0;
}

static int read_filters(const json_t *record, struct git_trigger *t, struct err *err)
{
    unsigned skip = GIT_SKIP_HEAD, unknown = 0, tells = GIT_TELL_FAILED;
    t->deleted = GIT_WISH_NEVER;
    if (read_text(record, "", "repository", &t->repository, err) != 0 ||
        read_kinds(record, t, err) != 0 ||
        read_patterns(record, "branches", &t->branches, err) != 0 ||
        read_patterns(record, "branches_ignore", &t->branches_ignore, err) != 0 ||
        read_patterns(record, "tags", &t->tags, err) != 0 ||
        read_patterns(record, "tags_ignore", &t->tags_ignore, err) != 0 ||
        read_patterns(record, "paths", &t->paths, err) != 0 ||
        read_patterns(record, "paths_ignore", &t->paths_ignore, err) != 0 ||
        read_word(record, "", "unknown_files", unknown_names, ARRAY_LEN(unknown_names), &unknown,
            err) != 0 ||
        jread_i64(record, "", "max_files", 0, FILES_MAX, &t->max_files, err) != 0 ||
        jread_i64(record, "", "max_commits", 0, FILES_MAX, &t->max_commits, err) != 0 ||
        read_word(record, "", "skip_ci", skip_names, ARRAY_LEN(skip_names), &skip, err) != 0 ||
        read_word(record, "", "tell_rejected", tell_names, ARRAY_LEN(tell_names), &tells, err) != 0 ||
        read_wish(record, "created", &t->created, err) != 0 ||
        read_wish(record, "deleted", &t->deleted, err) != 0 ||
        read_wish(record, "forced", &t->forced, err) != 0 ||
        read_globs(record, "actions", &t->actions, err) != 0 ||
        read_globs(record, "actors", &t->actors, err) != 0 ||
        read_globs(record, "actors_ignore", &t->actors_ignore, err) != 0 ||
        read_globs(record, "authors_ignore", &t->authors_ignore, err) != 0 ||
        read_globs(record, "messages_ignore", &t->messages_ignore, err) != 0) {
        return -1;
    }
    t->skip_ci = (enum git_skip_ci)skip;
    t->tells = (enum git_tell)tells;
    t->runs_on_unknown_files = unknown == 0;
    infer_kinds(t);
    return check_lists(t, err);
}

static int read_filter(const json_t *record, struct git_trigger *t, struct err *err)
{
    static const char *const variables[] = GIT_CEL_VARIABLES;
    const char *text = NULL;
    if (jread_string(record, "", "filter", &text, err) != 0) {
        return -1;
    }
    if (text == NULL || text[0] == '\0') {
        return 0;
    }
    if (strlen(text) > FILTER_MAX) {
        return err_set(err, ERR_INVALID, "filter: longer than %d bytes", FILTER_MAX);
    }
    t->filter = cel_compile(text, variables, err);
    return t->filter != NULL ? 0 : err_wrap(err, "filter");
}

static int read_concurrency(const json_t *record, struct git_trigger *t, struct err *err)
{
    static const char *const known[] = {"group", "policy", "max_waiting", NULL};
    const json_t *c = NULL;
    unsigned policy = GIT_POLICY_ALLOW;
    t->group = GIT_GROUP_DEFAULT;
    t->max_waiting = GIT_WAITING_DEFAULT;
    if (jread_object(record, "", "concurrency", &c, err) != 0) {
        return -1;
    }
    if (c == NULL) {
        return 0;
    }
    if (jread_only(c, "concurrency", known, err) != 0 ||
        read_text(c, "concurrency", "group", &t->group, err) != 0 ||
        read_word(
            c, "concurrency", "policy", policy_names, ARRAY_LEN(policy_names), &policy, err) != 0 ||
        jread_i64(c, "concurrency", "max_waiting", 0, GIT_WAITING_MAX, &t->max_waiting, err) != 0) {
        return -1;
    }
    t->policy = (enum git_policy)policy;
    if (t->group[0] == '\0') {
        return err_set(err, ERR_INVALID, "concurrency.group: empty; leave it out for \"%s\"",
            GIT_GROUP_DEFAULT);
    }
    return git_template_check(t->group, "concurrency.group", err);
}

/* ---- who sends ---- */

static int read_verification(const json_t *record, struct hook_source *s, struct err *err)
{
    static const char *const known[] = {"scheme", "header", "prefix", "algorithm", "encoding",
        "username", "id_header", "insecure", "allow_sha1", NULL};
    const json_t *v = NULL;
    unsigned scheme = s->scheme, algorithm = s->hash, encoding = s->encoding;
    const char *const where = "verification";
    if (jread_object(record, "", where, &v, err) != 0) {
        return -1;
    }
    if (v == NULL) {
        return 0;
    }
    if (jread_only(v, where, known, err) != 0 ||
        read_word(v, where, "scheme", scheme_names, ARRAY_LEN(scheme_names), &scheme, err) != 0 ||
        read_word(v, where, "algorithm", algorithm_names, ARRAY_LEN(algorithm_names), &algorithm,
            err) != 0 ||
        read_word(
            v, where, "encoding", encoding_names, ARRAY_LEN(encoding_names), &encoding, err) != 0 ||
        read_text(v, where, "header", &s->header, err) != 0 ||
        read_text(v, where, "prefix", &s->prefix, err) != 0 ||
        read_text(v, where, "username", &s->username, err) != 0 ||
        read_text(v, where, "id_header", &s->id_header, err) != 0 ||
        jread_bool(v, where, "insecure", &s->is_insecure, err) != 0 ||
        jread_bool(v, where, "allow_sha1", &s->is_sha1_allowed, err) != 0) {
        return -1;
    }
    s->scheme = (enum hook_scheme)scheme;
    s->hash = (enum hmac_hash)algorithm;
    s->encoding = (enum hook_encoding)encoding;
    return 0;
}

static int read_source(const json_t *record, struct hook_source *s, struct err *err)
{
    const char *forge = "auto";
    if (jread_string(record, "", "forge", &forge, err) != 0) {
        return -1;
    }
    if (!forge_from_name(forge, &s->forge)) {
        return err_set(err, ERR_INVALID, "forge: '%.60s' is none of %s", forge, forge_names());
    }
    if (read_verification(record, s, err) != 0) {
        return -1;
    }
    const json_t *secrets = json_object_get(record, "secrets");
    for (size_t i = 0; i < json_array_size(secrets) && i < HOOK_SECRETS_MAX; i++) {
        const json_t *one = json_array_get(secrets, i);
        const char *text = jget_str(one, "secret", "");
        if (text[0] != '\0') {
            s->secrets[s->secret_count++] =
                (struct hook_secret){.text = text, .expires_us = jget_i64(one, "expires_us", 0)};
        }
    }
    return hook_source_check(s, err);
}

/* ---- records ---- */

/* Version 1 had one secret, branches only, and no words for the rest. */
static json_t *from_version_1(const json_t *record)
{
    json_t *made = json_deep_copy(record);
    json_object_set_new(made, "v", json_integer(TRIGGER_VERSION));
    json_object_set_new(made, "events", json_pack("[s]", "push"));
    json_object_set_new(made, "secrets",
        json_pack("[{s:s,s:I,s:i}]", "secret", jget_str(record, "secret", ""), "created_us",
            (json_int_t)jget_i64(record, "created_us", 0), "expires_us", 0));
    json_object_del(made, "secret");
    return made;
}

/* A new reference to the record as version 2. */
static json_t *upgraded(const json_t *record)
{
    return jget_i64(record, "v", 0) == 1 ? from_version_1(record) : json_incref((json_t *)record);
}

static int read_all(struct git_trigger *t, struct err *err)
{
    t->id = jget_str(t->record, "id", "");
    t->is_enabled = true;
    t->name = "";
    return read_text(t->record, "", "name", &t->name, err) != 0 ||
                   jread_bool(t->record, "", "enabled", &t->is_enabled, err) != 0 ||
                   read_source(t->record, &t->source, err) != 0 ||
                   read_filters(t->record, t, err) != 0 || read_filter(t->record, t, err) != 0 ||
                   read_concurrency(t->record, t, err) != 0 ||
                   git_remote_read(t->record, t->source.forge, t->repository, &t->remote, err) != 0
               ? -1
               : 0;
}

struct git_trigger *git_trigger_load(json_t *record, struct err *err)
{
    struct git_trigger *t = xcalloc(1, sizeof *t);
    t->refs = 1;
    t->record = upgraded(record);
    if (jget_i64(t->record, "v", 0) != TRIGGER_VERSION) {
        err_set(err, ERR_INTERNAL, "trigger record of unknown version %lld",
            (long long)jget_i64(record, "v", 0));
        git_trigger_unref(t);
        return NULL;
    }
    if (read_all(t, err) != 0) {
        git_trigger_unref(t);
        return NULL;
    }
    return t;
}

struct git_trigger *git_trigger_ref(struct git_trigger *trigger)
{
    trigger->refs++;
    return trigger;
}

void git_trigger_unref(struct git_trigger *t)
{
    if (t == NULL || --t->refs > 0) {
        return;
    }
    struct git_patterns *lists[] = {
        &t->branches, &t->branches_ignore, &t->tags, &t->tags_ignore, &t->paths, &t->paths_ignore};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        git_patterns_done(lists[i]);
    }
    cel_free(t->filter);
    json_decref(t->record);
    free(t);
}

/* ---- secrets ---- */

static json_t *secret_entry(const char *text, int64_t now_us)
{
    return json_pack(
        "{s:s,s:I,s:i}", "secret", text, "created_us", (json_int_t)now_us, "expires_us", 0);
}

static char *new_secret(const json_t *record)
{
    const char *scheme = jget_str(json_object_get(record, "verification"), "scheme", "");
    const char *forge = jget_str(record, "forge", "");
    if (strcmp(scheme, "standard") == 0 ||
        strcmp(forge, forge_name(FORGE_STANDARD_WEBHOOKS)) == 0) {
        return signature_new_secret();
    }
    unsigned char bytes[32];
    char *text = xmalloc(2 * sizeof bytes + 1);
    random_bytes(bytes, sizeof bytes);
    hex_encode(bytes, sizeof bytes, text);
    return text;
}

static int check_secret(const char *secret, struct err *err)
{
    size_t len = strlen(secret);
    if (len < SECRET_MIN || len > SECRET_MAX) {
        return err_set(err, ERR_INVALID,
            "secret: %d to %d characters; leave it out to get a good one", SECRET_MIN, SECRET_MAX);
    }
    return 0;
}

const char *git_trigger_secret(const json_t *record)
{
    return jget_str(json_array_get(json_object_get(record, "secrets"), 0), "secret", "");
}

json_t *git_trigger_rotated(
    const json_t *record, const char *secret, int64_t overlap_us, struct err *err)
{
    if (secret != NULL && check_secret(secret, err) != 0) {
        return NULL;
    }
    json_t *made = upgraded(record);
    json_t *copy = json_deep_copy(made);
    json_decref(made);
    int64_t now_us = clock_now_us();
    CLEANUP(cleanup_free) char *fresh = secret == NULL ? new_secret(copy) : NULL;
    json_t *before = json_array_get(json_object_get(copy, "secrets"), 0);
    json_t *secrets = json_array();
    json_array_append_new(secrets, secret_entry(secret != NULL ? secret : fresh, now_us));
    if (before != NULL && overlap_us > 0) {
        json_object_set_new(before, "expires_us", json_integer(now_us + overlap_us));
        json_array_append(secrets, before);
    }
    json_object_set_new(copy, "secrets", secrets);
    json_object_set_new(copy, "updated_us", json_integer(now_us));
    return copy;
}

/* ---- bodies ---- */

static const char *const writable[] = {"name", "forge", "verification", "secret", "events",
    "repository", "branches", "branches_ignore", "tags", "tags_ignore", "paths", "paths_ignore",
    "unknown_files", "max_files", "max_commits", "skip_ci", "created", "deleted", "forced",
    "actions", "actors", "actors_ignore", "authors_ignore", "messages_ignore", "filter",
    "parameters", "pipeline_id", "version_id", "experiment_id", "enabled", "concurrency",
    "tell_rejected", "api", "file", "commit_status", "status_context", "poll_s", NULL};

static int set_secret(json_t *record, const json_t *body, int64_t now_us, struct err *err)
{
    const char *secret = NULL;
    if (jread_string(body, "", "secret", &secret, err) != 0 ||
        (secret != NULL && check_secret(secret, err) != 0)) {
        return -1;
    }
    json_object_del(record, "secret");
    bool is_insecure = jget_bool(json_object_get(record, "verification"), "insecure", false);
    bool has_one = git_trigger_secret(record)[0] != '\0';
    if (secret != NULL || (!has_one && !is_insecure)) {
        CLEANUP(cleanup_free) char *fresh = secret == NULL ? new_secret(record) : NULL;
        json_object_set_new(record, "secrets", json_array());
        json_array_append_new(json_object_get(record, "secrets"),
            secret_entry(secret != NULL ? secret : fresh, now_us));
    }
    return 0;
}

static json_t *merged(const json_t *body, const json_t *before, int64_t now_us)
{
    json_t *base = before != NULL ? upgraded(before) : NULL;
    json_t *record = base != NULL ? json_deep_copy(base) : json_object();
    json_decref(base);
    if (before == NULL) {
        struct id id;
        id_new(&id);
        json_object_set_new(record, "v", json_integer(TRIGGER_VERSION));
        json_object_set_new(record, "id", json_string(id.text));
        json_object_set_new(record, "created_us", json_integer(now_us));
    }
    json_object_set_new(record, "updated_us", json_integer(now_us));
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)body, key, value)
    {
        if (json_is_null(value)) {
            json_object_del(record, key);
        } else {
            json_object_set(record, key, value);
        }
    }
    return record;
}

json_t *git_trigger_from_body(const json_t *body, const json_t *before, struct err *err)
{
    if (jread_only(body, "", writable, err) != 0) {
        return NULL;
    }
    int64_t now_us = clock_now_us();
    json_t *record = merged(body, before, now_us);
    const char *pipeline = NULL, *version = NULL, *experiment = NULL;
    const json_t *parameters = NULL;
    struct git_trigger *t = NULL;
    if (set_secret(record, body, now_us, err) == 0 &&
        jread_need_string(record, "", "pipeline_id", &pipeline, err) == 0 &&
        jread_string(record, "", "version_id", &version, err) == 0 &&
        jread_string(record, "", "experiment_id", &experiment, err) == 0 &&
        jread_object(record, "", "parameters", &parameters, err) == 0 &&
        git_mapping_check(parameters, err) == 0) {
        t = git_trigger_load(record, err);
    }
    if (t == NULL) {
        json_decref(record);
        return NULL;
    }
    git_trigger_unref(t);
    return record;
}

/* What is so without being written down, and where the forge sends to. */
static void add_defaults(json_t *record)
{
    struct err err = ERR_INIT;
    char path[64];
    struct git_trigger *t = git_trigger_load(record, &err);
    snprintf(path, sizeof path, "/hooks/%.40s", jget_str(record, "id", ""));
    jset_str(record, "hook", path);
    if (t == NULL) {
        jset_str(record, "error", err.msg);
        return;
    }
    json_t *events = json_array();
    for (unsigned kind = 0; kind < GIT_KIND_COUNT; kind++) {
        if ((t->kinds & 1u << kind) != 0) {
            json_array_append_new(events, json_string(kind_names[kind]));
        }
    }
    json_object_set_new(record, "events", events);
    json_object_set_new(record, "enabled", json_boolean(t->is_enabled));
    jset_str(record, "forge", forge_name(t->source.forge));
    git_trigger_unref(t);
}

json_t *git_trigger_public(const json_t *record)
{
    json_t *base = upgraded(record);
    json_t *copy = json_deep_copy(base);
    json_decref(base);
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(copy, "secrets"), i, one)
    {
        json_object_del(one, "secret");
    }
    add_defaults(copy);
    git_remote_hide(copy);
    return copy;
}
