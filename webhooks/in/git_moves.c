/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/map.h"
#include "base/pool.h"
#include "base/secret.h"
#include "base/util.h"
#include "webhooks/in/forge.h"
#include "webhooks/in/git_poll.h"

#define DELIVERY_DIGITS 32

static const char *none_like(struct pool *pool, const char *id)
{
    char *zeros = pool_strdup(pool, id);
    memset(zeros, '0', strlen(zeros));
    return zeros;
}

bool git_moves(struct pool *pool, const struct map *kept, const struct git_refs *now,
    struct git_move **out, size_t *count)
{
    struct git_move *moves = pool_calloc(pool, GIT_POLL_CHANGES_MAX, sizeof *moves);
    struct map *there = map_new(NULL);
    size_t n = 0;
    bool is_all = true;
    for (size_t i = 0; i < now->count; i++) {
        const struct git_ref *ref = &now->items[i];
        const char *old = map_get(kept, ref->name);
        map_put(there, ref->name, (void *)ref);
        if (old != NULL && strcmp(old, ref->id) == 0) {
            continue;
        }
        if (n == GIT_POLL_CHANGES_MAX) {
            is_all = false;
            continue;
        }
        moves[n++] = (struct git_move){.ref = ref->name,
            .before = old != NULL ? old : none_like(pool, ref->id),
            .after = ref->id,
            .commit = ref->peeled != NULL ? ref->peeled : ref->id};
    }
    struct map_iter it = {0};
    const char *name;
    void *value;
    while (map_next(kept, &it, &name, &value)) {
        if (map_has(there, name)) {
            continue;
        }
        if (n == GIT_POLL_CHANGES_MAX) {
            is_all = false;
            break;
        }
        const char *none = none_like(pool, value);
        moves[n++] = (struct git_move){.ref = name, .before = value, .after = none, .commit = none};
    }
    map_free(there);
    *out = moves;
    *count = n;
    return is_all;
}

const char *git_poll_payload(struct pool *pool, const char *repository, const char *url,
    int64_t since_us, const struct git_move *move)
{
    json_t *payload = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:I}", "repository", repository, "url",
        url, "ref", move->ref, "before", move->before, "after", move->after, "commit", move->commit,
        "since_us", (json_int_t)since_us);
    if (payload == NULL) {
        return NULL;
    }
    CLEANUP(cleanup_free) char *text = jtext(payload);
    json_decref(payload);
    return pool_strdup(pool, text);
}

static void drop_payload(void *value)
{
    json_decref(value);
}

static bool is_none(const char *id)
{
    return id[strspn(id, "0")] == '\0';
}

int git_poll_read(struct pool *pool, enum forge forge, const char *payload, size_t len,
    struct hook_message *out, struct err *err)
{
    json_t *root = jread_text(payload, len, "payload", err);
    if (root == NULL) {
        return -1;
    }
    pool_on_free(pool, drop_payload, root);
    struct git_push *push = pool_calloc(pool, 1, sizeof *push);
    const char *const members[] = {"repository", "url", "ref", "before", "after", "commit"};
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        if (!json_is_string(json_object_get(root, members[i]))) {
            return err_set(err, ERR_INVALID, "payload.%s: expected a string", members[i]);
        }
    }
    *push = (struct git_push){
        .forge = forge_name(forge),
        .event = "poll",
        .ref = jget_str(root, "ref", ""),
        .before = jget_str(root, "before", ""),
        .after = jget_str(root, "after", ""),
        .commit = jget_str(root, "commit", ""),
        .repository = jget_str(root, "repository", ""),
        .url = jget_str(root, "url", ""),
        .html_url = "",
        .compare_url = "",
        .default_branch = "",
        .actor = "",
        .author = {"", "", ""},
        .committer = {"", "", ""},
        .message = "",
        .commit_count = -1,
        .payload = root,
    };
    push->is_created = is_none(push->before);
    push->is_deleted = is_none(push->after);
    if (str_starts(push->ref, "refs/heads/")) {
        push->branch = push->ref + strlen("refs/heads/");
    } else if (str_starts(push->ref, "refs/tags/")) {
        push->tag = push->ref + strlen("refs/tags/");
    }
    push->key = git_push_key(pool, push->repository, push->ref, push->before, push->after);
    char hex[SHA256_HEX_LEN + 1];
    int64_t since_us = jget_i64(root, "since_us", 0);
    const char *name = pool_printf(pool, "%s %lld", push->key, (long long)since_us);
    sha256_hex(name, strlen(name), hex);
    push->delivery = pool_printf(pool, "poll-%.*s", DELIVERY_DIGITS, hex);
    *out = (struct hook_message){
        .forge = forge,
        .kind = HOOK_PUSH,
        .delivery = push->delivery,
        .event = "poll",
        .verified = {.by = "poll", .secret = -1},
        .repository = push->repository,
        .url = push->url,
        .html_url = "",
        .default_branch = "",
        .actor = "",
        .pushes = push,
        .push_count = 1,
        .payload = root,
        .is_polled = true,
        .since_us = since_us,
    };
    return 0;
}
