/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The dialect of Azure DevOps's service hooks: everything is in the body, many refs in one push;
 * never files. "Resource details to send" must be All: with Minimal or None no ref is named.
 */
#include <string.h>
#include <strings.h>

#include "base/pool.h"
#include "base/util.h"
#include "webhooks/in/forge_parts.h"

static const char *user_name(struct reading *r, const json_t *user, const char *where)
{
    return first_of(
        take_text(r, user, where, "uniqueName"), take_text(r, user, where, "displayName"));
}

/* "project/repository". */
static void read_repository(struct reading *r, struct hook_message *m, const json_t *resource)
{
    static const char at[] = "resource.repository";
    const json_t *repository = take_object(r, resource, "resource", "repository");
    if (repository == NULL) {
        take_bad(r, "resource.repository: missing");
        return;
    }
    const char *project = take_inner(r, repository, at, "project", "name");
    const char *name = take_need(r, repository, at, "name");
    m->repository = project[0] != '\0' ? pool_printf(r->pool, "%s/%s", project, name) : name;
    m->url = take_text(r, repository, at, "remoteUrl");
    m->html_url = first_of(take_text(r, repository, at, "webUrl"), m->url);
    m->default_branch = branch_of_ref(take_text(r, repository, at, "defaultBranch"));
}

/* Commits are told for the push as a whole; a ref's head may be among them. */
static void read_head(struct reading *r, const json_t *commits, struct git_push *push)
{
    size_t i;
    const json_t *commit;
    json_array_foreach((json_t *)commits, i, commit)
    {
        const char *where = "resource.commits[]";
        if (i == COMMITS_MAX || r->is_bad) {
            return;
        }
        if (strcmp(take_text(r, commit, where, "commitId"), push->after) == 0) {
            push->message = take_text(r, commit, where, "comment");
            take_person(r, take_object(r, commit, where, "author"), where, &push->author);
            take_person(r, take_object(r, commit, where, "committer"), where, &push->committer);
        }
    }
}

static void read_messages(struct reading *r, const json_t *commits, struct git_push *push)
{
    size_t i;
    const json_t *commit;
    push->messages = pool_calloc(r->pool, COMMITS_MAX, sizeof *push->messages);
    json_array_foreach((json_t *)commits, i, commit)
    {
        const char *where = pool_printf(r->pool, "resource.commits[%zu]", i);
        if (i == COMMITS_MAX) {
            return;
        }
        push->messages[push->message_count++] = take_text(r, commit, where, "comment");
    }
}

static int read_push(struct reading *r, struct hook_message *m, const json_t *resource)
{
    const json_t *updates = take_array(r, resource, "resource", "refUpdates");
    const json_t *commits = take_array(r, resource, "resource", "commits");
    if (updates == NULL && !r->is_bad) {
        return message_other(
            r, m, "names no ref; set 'Resource details to send' of the service hook to All");
    }
    m->kind = HOOK_PUSH;
    read_repository(r, m, resource);
    m->actor = user_name(r, take_object(r, resource, "resource", "pushedBy"), "resource.pushedBy");
    if (json_array_size(updates) == 0) {
        return r->is_bad ? -1 : message_other(r, m, "names no changed ref");
    }
    message_pushes(r, m, json_array_size(updates));
    for (size_t i = 0; i < m->push_count; i++) {
        struct git_push *push = &m->pushes[i];
        const char *where = pool_printf(r->pool, "resource.refUpdates[%zu]", i);
        const json_t *update = json_array_get(updates, i);
        push->ref = take_need(r, update, where, "name");
        push->before = take_need(r, update, where, "oldObjectId");
        push->after = take_need(r, update, where, "newObjectId");
        read_head(r, commits, push);
        if (m->push_count == 1) {
            read_messages(r, commits, push);
        }
        if (push_finish(r, m, push) != 0) {
            return -1;
        }
    }
    return 0;
}

static const char *pull_request_action(const char *event, const char *status)
{
    return strcmp(status, "completed") == 0   ? "merged"
           : strcmp(status, "abandoned") == 0 ? "closed"
           : str_ends(event, ".created")      ? "opened"
           : str_ends(event, ".updated")      ? "updated"
                                              : "merge_attempted";
}

static int read_pull_request(struct reading *r, struct hook_message *m, const json_t *resource)
{
    static const char at[] = "resource";
    if (resource == NULL || json_object_get(resource, "sourceRefName") == NULL) {
        return message_other(
            r, m, "names no branch; set 'Resource details to send' of the service hook to All");
    }
    struct git_pull_request *out = pool_alloc(r->pool, sizeof *out);
    read_repository(r, m, resource);
    const char *status = take_text(r, resource, at, "status");
    const json_t *author = take_object(r, resource, at, "createdBy");
    const json_t *fork = take_object(r, resource, at, "forkSource");
    const json_t *from = take_object(r, fork, "resource.forkSource", "repository");
    out->action = pull_request_action(m->event, status);
    out->number = take_number(r, resource, at, "pullRequestId", 0);
    out->title = take_text(r, resource, at, "title");
    out->author = m->actor = user_name(r, author, "resource.createdBy");
    out->url =
        take_inner(r, take_object(r, resource, at, "_links"), "resource._links", "web", "href");
    out->source_branch = branch_of_ref(take_need(r, resource, at, "sourceRefName"));
    out->target_branch = branch_of_ref(take_need(r, resource, at, "targetRefName"));
    out->head = take_inner(r, resource, at, "lastMergeSourceCommit", "commitId");
    out->base = take_inner(r, resource, at, "lastMergeTargetCommit", "commitId");
    out->is_merged = strcmp(status, "completed") == 0;
    out->is_draft = take_flag(r, resource, at, "isDraft");
    out->is_fork = fork != NULL;
    out->source_repository =
        from == NULL ? m->repository : take_text(r, from, "resource.forkSource.repository", "name");
    m->kind = HOOK_PULL_REQUEST;
    m->pull_request = out;
    return r->is_bad ? -1 : 0;
}

/* "Test" sends the documentation's example, of a subscription that is none. */
static bool is_test(struct reading *r, const json_t *payload, const json_t *resource)
{
    static const char none[] = "00000000-0000-0000-0000-000000000000";
    const json_t *repository = take_object(r, resource, "resource", "repository");
    const char *url = take_text(r, repository, "resource.repository", "remoteUrl");
    return strcmp(take_text(r, payload, "", "subscriptionId"), none) == 0 &&
           strcasestr(url, "fabrikam") != NULL;
}

int azure_read(struct reading *r, struct hook_message *m)
{
    m->event = take_need(r, m->payload, "", "eventType");
    m->delivery = take_need(r, m->payload, "", "id");
    const json_t *resource = take_object(r, m->payload, "", "resource");
    bool is_sample = is_test(r, m->payload, resource);
    if (r->is_bad) {
        return -1;
    }
    if (!event_is_valid(m->event) || !delivery_is_valid(m->delivery)) {
        return take_bad(r, "eventType, id: expected at most %d printable characters", DELIVERY_MAX);
    }
    if (is_sample) {
        m->kind = HOOK_PING;
        m->why = "a test: the service hook's example message";
        return 0;
    }
    if (strcmp(m->event, "git.push") == 0) {
        return read_push(r, m, resource);
    }
    if (str_starts(m->event, "git.pullrequest.")) {
        return read_pull_request(r, m, resource);
    }
    return message_other(r, m, "only git.push and git.pullrequest events start runs");
}
