/* SPDX-License-Identifier: Apache-2.0 */
/* GitHub's dialect (github.com and Enterprise Server): pushes, pull requests, releases, ping. */
#include <string.h>

#include "base/pool.h"
#include "base/util.h"
#include "webhooks/in/forge_parts.h"

void github_repository(struct reading *r, struct hook_message *m)
{
    const json_t *repository = take_object(r, m->payload, "", "repository");
    const json_t *sender = take_object(r, m->payload, "", "sender");
    m->actor = take_text(r, sender, "sender", "login");
    if (repository == NULL) {
        take_bad(r, "repository: missing");
        return;
    }
    m->repository = take_need(r, repository, "repository", "full_name");
    m->url = take_text(r, repository, "repository", "clone_url");
    m->html_url = take_text(r, repository, "repository", "html_url");
    m->default_branch = take_text(r, repository, "repository", "default_branch");
}

static int read_push(struct reading *r, struct hook_message *m)
{
    const json_t *payload = m->payload;
    github_repository(r, m);
    message_pushes(r, m, 1);
    struct git_push *push = m->pushes;
    const json_t *head = take_object(r, payload, "", "head_commit");
    const json_t *pusher = take_object(r, payload, "", "pusher");
    push->ref = take_need(r, payload, "", "ref");
    push->before = take_need(r, payload, "", "before");
    push->after = take_need(r, payload, "", "after");
    push->is_created = take_flag(r, payload, "", "created");
    push->is_deleted = take_flag(r, payload, "", "deleted");
    push->is_forced = take_flag(r, payload, "", "forced");
    push->is_forced_known = true;
    push->compare_url = take_text(r, payload, "", "compare");
    push->actor = first_of(take_text(r, pusher, "pusher", "name"), m->actor);
    if (str_starts(push->ref, "refs/tags/")) { /* `after` may be the tag's own object */
        push->commit = take_text(r, head, "head_commit", "id");
    }
    push->message = take_text(r, head, "head_commit", "message");
    take_person(
        r, take_object(r, head, "head_commit", "author"), "head_commit.author", &push->author);
    take_person(r, take_object(r, head, "head_commit", "committer"), "head_commit.committer",
        &push->committer);
    const json_t *commits = take_array(r, payload, "", "commits");
    if (commits != NULL) {
        push->commit_count = (int64_t)json_array_size(commits);
    }
    /* The list ends at 2048 without a word. */
    push_commits(r, commits, "commits", COMMITS_OLDEST_FIRST, push->commit_count < 2048, push);
    return push_finish(r, m, push);
}

static const char *pull_request_action(const char *action, bool is_merged)
{
    return str_starts(action, "synchronize")            ? "updated"
           : strcmp(action, "closed") == 0 && is_merged ? "merged"
                                                        : action;
}

int github_pull_request(struct reading *r, struct hook_message *m)
{
    static const char at[] = "pull_request";
    struct git_pull_request *out = pool_alloc(r->pool, sizeof *out);
    github_repository(r, m);
    const json_t *pr = take_object(r, m->payload, "", at);
    const json_t *head = take_object(r, pr, at, "head"), *base = take_object(r, pr, at, "base");
    const json_t *from = take_object(r, head, "pull_request.head", "repo");
    if (pr == NULL || head == NULL || base == NULL) {
        return take_bad(r, "pull_request: expected an object with head and base");
    }
    out->number = take_number(r, pr, at, "number", 0);
    out->title = take_text(r, pr, at, "title");
    out->url = take_text(r, pr, at, "html_url");
    out->author = take_text(r, take_object(r, pr, at, "user"), "pull_request.user", "login");
    out->is_merged = take_flag(r, pr, at, "merged");
    out->is_draft = take_flag(r, pr, at, "draft");
    out->action = pull_request_action(take_need(r, m->payload, "", "action"), out->is_merged);
    out->source_branch = take_need(r, head, "pull_request.head", "ref");
    out->head = take_need(r, head, "pull_request.head", "sha");
    out->target_branch = take_need(r, base, "pull_request.base", "ref");
    out->base = take_text(r, base, "pull_request.base", "sha");
    /* The fork may be deleted: then whose branch it was is not told, but not ours. */
    out->source_repository = take_text(r, from, "pull_request.head.repo", "full_name");
    out->is_fork = strcmp(out->source_repository, m->repository) != 0;
    m->kind = HOOK_PULL_REQUEST;
    m->pull_request = out;
    return r->is_bad ? -1 : 0;
}

int github_release(struct reading *r, struct hook_message *m)
{
    struct git_release *out = pool_alloc(r->pool, sizeof *out);
    github_repository(r, m);
    const json_t *release = take_object(r, m->payload, "", "release");
    const char *action = take_need(r, m->payload, "", "action");
    out->action = strcmp(action, "edited") == 0 ? "updated" : action;
    out->tag = take_need(r, release, "release", "tag_name");
    out->name = take_text(r, release, "release", "name");
    out->target = take_text(r, release, "release", "target_commitish");
    out->url = take_text(r, release, "release", "html_url");
    out->is_draft = take_flag(r, release, "release", "draft");
    out->is_prerelease = take_flag(r, release, "release", "prerelease");
    m->kind = HOOK_RELEASE;
    m->release = out;
    return r->is_bad ? -1 : 0;
}

int github_read(struct reading *r, struct hook_message *m)
{
    if (strcmp(m->event, "push") == 0) {
        m->kind = HOOK_PUSH;
        return read_push(r, m);
    }
    if (strcmp(m->event, "pull_request") == 0) {
        return github_pull_request(r, m);
    }
    if (strcmp(m->event, "release") == 0) {
        return github_release(r, m);
    }
    if (strcmp(m->event, "ping") == 0) {
        m->kind = HOOK_PING;
        m->why = "ping: this trigger is ready";
        return 0;
    }
    if (strcmp(m->event, "create") == 0 || strcmp(m->event, "delete") == 0) {
        return message_other(r, m, "only repeats what the push event says");
    }
    return message_other(r, m, "only push, pull_request and release start runs");
}
