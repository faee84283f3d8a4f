/* SPDX-License-Identifier: Apache-2.0 */
/* GitLab's dialect: hooks of projects and groups, and system hooks. Bodies may be templates. */
#include <string.h>

#include "base/err.h"
#include "base/http_msg.h"
#include "base/pool.h"
#include "base/secret.h"
#include "base/util.h"
#include "webhooks/in/forge_parts.h"

#define BODY_DIGITS 16

/* GitLab lists the newest twenty. */
static bool is_every_commit(int64_t total, size_t listed)
{
    return total >= 0 && (uint64_t)total == listed;
}

/*
 * Idempotency-Key stays the same over retries (GitLab 17.4). The UUID of older ones is shared
 * along a chain of hooks that set each other off, so the body joins it.
 */
static int read_delivery(struct reading *r, struct hook_message *m)
{
    static const char *const stable[] = {"Idempotency-Key", "webhook-id"};
    for (size_t i = 0; i < ARRAY_LEN(stable); i++) {
        m->delivery = http_header(r->req, stable[i]);
        if (m->delivery != NULL) {
            return delivery_is_valid(m->delivery)
                       ? 0
                       : take_bad(r, "the header %s: expected at most %d printable characters",
                             stable[i], DELIVERY_MAX);
        }
    }
    const char *uuid = http_header(r->req, "X-Gitlab-Event-UUID");
    char digest[SHA256_HEX_LEN + 1];
    sha256_hex(r->req->body, r->req->body_len, digest);
    m->delivery = pool_printf(
        r->pool, "%.64s:%.*s", delivery_is_valid(uuid) ? uuid : "gitlab", BODY_DIGITS, digest);
    return 0;
}

static void read_project(struct reading *r, struct hook_message *m)
{
    const json_t *project = take_object(r, m->payload, "", "project");
    if (project == NULL) {
        take_bad(r, "project: missing");
        return;
    }
    m->repository = take_need(r, project, "project", "path_with_namespace");
    m->url = first_of(take_text(r, project, "project", "git_http_url"),
        take_text(r, project, "project", "http_url"));
    m->html_url = take_text(r, project, "project", "web_url");
    m->default_branch = take_text(r, project, "project", "default_branch");
    m->actor = first_of(
        take_text(r, m->payload, "", "user_username"), take_text(r, m->payload, "", "user_name"));
    m->actor = first_of(m->actor, take_inner(r, m->payload, "", "user", "username"));
}

/* The head commit is one of the list, and nowhere else. */
static void read_head(struct reading *r, const json_t *commits, struct git_push *push)
{
    size_t i;
    const json_t *commit;
    json_array_foreach((json_t *)commits, i, commit)
    {
        const char *where = pool_printf(r->pool, "commits[%zu]", i);
        if (i == COMMITS_MAX || r->is_bad) {
            return;
        }
        if (strcmp(take_text(r, commit, where, "id"), first_of(push->commit, push->after)) == 0) {
            push->message = take_text(r, commit, where, "message");
            take_person(r, take_object(r, commit, where, "author"), where, &push->author);
            push->committer = push->author;
        }
    }
}

static int read_push(struct reading *r, struct hook_message *m)
{
    const json_t *payload = m->payload;
    m->kind = HOOK_PUSH;
    read_project(r, m);
    message_pushes(r, m, 1);
    struct git_push *push = m->pushes;
    const json_t *commits = take_array(r, payload, "", "commits");
    push->ref = take_need(r, payload, "", "ref");
    push->before = take_need(r, payload, "", "before");
    push->after = take_need(r, payload, "", "after");
    push->commit = take_text(r, payload, "", "checkout_sha"); /* peeled; null for a deletion */
    push->commit_count = take_number(r, payload, "", "total_commits_count", -1);
    read_head(r, commits, push);
    push_commits(r, commits, "commits", COMMITS_OLDEST_FIRST,
        is_every_commit(push->commit_count, json_array_size(commits)), push);
    if (push_finish(r, m, push) != 0) {
        return -1;
    }
    message_find_test(m);
    return 0;
}

static const char *merge_action(const char *action, bool is_moved)
{
    static const char *const words[][2] = {
        {"open", "opened"}, {"close", "closed"}, {"reopen", "reopened"}, {"merge", "merged"}};
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (strcmp(action, words[i][0]) == 0) {
            return words[i][1];
        }
    }
    return strcmp(action, "update") != 0 ? action : is_moved ? "updated" : "edited";
}

static int read_merge_request(struct reading *r, struct hook_message *m)
{
    static const char at[] = "object_attributes";
    struct git_pull_request *out = pool_alloc(r->pool, sizeof *out);
    read_project(r, m);
    const json_t *mr = take_object(r, m->payload, "", at);
    /* oldrev is there when commits came or went. */
    bool is_moved = take_text(r, mr, at, "oldrev")[0] != '\0';
    out->action = merge_action(take_text(r, mr, at, "action"), is_moved);
    out->number = take_number(r, mr, at, "iid", 0);
    out->title = take_text(r, mr, at, "title");
    out->url = take_text(r, mr, at, "url");
    out->author = "";
    out->source_branch = take_text(r, mr, at, "source_branch");
    out->target_branch = take_text(r, mr, at, "target_branch");
    if (out->source_branch[0] == '\0' || out->target_branch[0] == '\0') {
        return r->is_bad ? -1 : message_other(r, m, "names no branches");
    }
    out->source_repository = take_inner(r, mr, at, "source", "path_with_namespace");
    out->head = take_inner(r, mr, at, "last_commit", "id");
    out->base = "";
    out->is_merged = strcmp(take_text(r, mr, at, "state"), "merged") == 0;
    out->is_draft = take_flag(r, mr, at, "draft") || take_flag(r, mr, at, "work_in_progress");
    out->is_fork = take_number(r, mr, at, "source_project_id", 0) !=
                   take_number(r, mr, at, "target_project_id", 0);
    m->kind = HOOK_PULL_REQUEST;
    m->pull_request = out;
    return r->is_bad ? -1 : 0;
}

static int read_release(struct reading *r, struct hook_message *m)
{
    struct git_release *out = pool_alloc(r->pool, sizeof *out);
    read_project(r, m);
    const char *action = take_need(r, m->payload, "", "action");
    out->action = strcmp(action, "create") == 0   ? "published"
                  : strcmp(action, "update") == 0 ? "updated"
                  : strcmp(action, "delete") == 0 ? "deleted"
                                                  : action;
    out->tag = take_need(r, m->payload, "", "tag");
    out->name = take_text(r, m->payload, "", "name");
    out->url = take_text(r, m->payload, "", "url");
    out->target = take_inner(r, m->payload, "", "commit", "id");
    m->kind = HOOK_RELEASE;
    m->release = out;
    return r->is_bad ? -1 : 0;
}

int gitlab_read(struct reading *r, struct hook_message *m)
{
    /* The header says "System Hook" for all of an instance's; the body knows more. */
    const char *kind = first_of(
        take_text(r, m->payload, "", "object_kind"), take_text(r, m->payload, "", "event_name"));
    if (read_delivery(r, m) != 0 || r->is_bad) {
        return -1;
    }
    if (strcmp(kind, "push") == 0 || strcmp(kind, "tag_push") == 0) {
        return read_push(r, m);
    }
    if (strcmp(kind, "merge_request") == 0) {
        return read_merge_request(r, m);
    }
    if (strcmp(kind, "release") == 0) {
        return read_release(r, m);
    }
    return message_other(r, m, "only push, tag push, merge request and release start runs");
}
