/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gitea's dialect, which Forgejo shares and Gogs began: GitHub's shapes with commits listed newest
 * first and cut short, and no word of force.
 */
#include <string.h>

#include "base/pool.h"
#include "base/util.h"
#include "webhooks/in/forge_parts.h"

/* Where a message does not tell how many commits there are, as many may be a cut. */
#define LIST_MIN 5

static int read_push(struct reading *r, struct hook_message *m)
{
    const json_t *payload = m->payload;
    m->kind = HOOK_PUSH;
    github_repository(r, m);
    message_pushes(r, m, 1);
    struct git_push *push = m->pushes;
    const json_t *head = take_object(r, payload, "", "head_commit");
    const json_t *commits = take_array(r, payload, "", "commits");
    int64_t listed = (int64_t)json_array_size(commits);
    struct git_person pusher;
    take_person(r, take_object(r, payload, "", "pusher"), "pusher", &pusher);
    push->ref = take_need(r, payload, "", "ref");
    push->before = take_need(r, payload, "", "before");
    push->after = take_need(r, payload, "", "after");
    push->compare_url = take_text(r, payload, "", "compare_url");
    push->actor = first_of(pusher.username, m->actor);
    if (head == NULL && listed > 0) { /* Gogs has no head_commit */
        head = json_array_get(commits, 0);
    }
    if (str_starts(push->ref, "refs/tags/")) {
        push->commit = take_text(r, head, "head_commit", "id");
    }
    push->message = take_text(r, head, "head_commit", "message");
    take_person(
        r, take_object(r, head, "head_commit", "author"), "head_commit.author", &push->author);
    take_person(r, take_object(r, head, "head_commit", "committer"), "head_commit.committer",
        &push->committer);
    push->commit_count = take_number(r, payload, "", "total_commits", -1);
    bool is_all = push->commit_count >= 0 ? push->commit_count == listed : listed < LIST_MIN;
    push_commits(r, commits, "commits", COMMITS_NEWEST_FIRST, is_all, push);
    if (push_finish(r, m, push) != 0) {
        return -1;
    }
    message_find_test(m);
    return 0;
}

/*
 * "create" comes beside the push of a new ref. Of a tag both count, as one change (git_push.key):
 * who sends only tags' creation need not send all pushes.
 */
static int read_create(struct reading *r, struct hook_message *m)
{
    const char *name = take_need(r, m->payload, "", "ref");
    if (strcmp(take_need(r, m->payload, "", "ref_type"), "tag") != 0 || r->is_bad) {
        return message_other(r, m, "of a branch only repeats what the push event says");
    }
    m->kind = HOOK_PUSH;
    github_repository(r, m);
    message_pushes(r, m, 1);
    struct git_push *push = m->pushes;
    push->ref = str_starts(name, "refs/") ? name : pool_printf(r->pool, "refs/tags/%s", name);
    push->after = take_text(r, m->payload, "", "sha");
    if (push->after[0] == '\0') {
        return message_other(r, m, "does not say which commit; send the push event");
    }
    push->before = commit_none(push->after);
    return push_finish(r, m, push);
}

static int read_common(struct reading *r, struct hook_message *m)
{
    if (strcmp(m->event, "push") == 0) {
        return read_push(r, m);
    }
    if (strcmp(m->event, "create") == 0) {
        return read_create(r, m);
    }
    if (strcmp(m->event, "release") == 0) {
        return github_release(r, m);
    }
    return message_other(r, m, "only push, create, pull_request and release start runs");
}

int gitea_read(struct reading *r, struct hook_message *m)
{
    /* pull_request_sync, pull_request_label, ...: older releases name them here. */
    bool is_pull_request =
        strcmp(m->event, "pull_request") == 0 || strcmp(m->event, "pull_request_sync") == 0;
    return is_pull_request ? github_pull_request(r, m) : read_common(r, m);
}

/* Gogs's pull requests have no head commit, and flat names. */
static int read_gogs_pull_request(struct reading *r, struct hook_message *m)
{
    static const char at[] = "pull_request";
    struct git_pull_request *out = pool_alloc(r->pool, sizeof *out);
    github_repository(r, m);
    const json_t *pr = take_object(r, m->payload, "", at);
    out->number = take_number(r, pr, at, "number", 0);
    out->title = take_text(r, pr, at, "title");
    out->url = take_text(r, pr, at, "html_url");
    out->author =
        first_of(take_inner(r, pr, at, "user", "username"), take_inner(r, pr, at, "user", "login"));
    out->is_merged = take_flag(r, pr, at, "merged");
    const char *action = take_need(r, m->payload, "", "action");
    out->action = strcmp(action, "synchronized") == 0               ? "updated"
                  : strcmp(action, "closed") == 0 && out->is_merged ? "merged"
                                                                    : action;
    out->source_branch = take_need(r, pr, at, "head_branch");
    out->target_branch = take_need(r, pr, at, "base_branch");
    out->source_repository = take_inner(r, pr, at, "head_repo", "full_name");
    out->head = out->base = "";
    out->is_fork = strcmp(out->source_repository, m->repository) != 0;
    m->kind = HOOK_PULL_REQUEST;
    m->pull_request = out;
    return r->is_bad ? -1 : 0;
}

int gogs_read(struct reading *r, struct hook_message *m)
{
    return strcmp(m->event, "pull_request") == 0 ? read_gogs_pull_request(r, m) : read_common(r, m);
}
