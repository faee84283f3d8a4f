/* SPDX-License-Identifier: Apache-2.0 */
/* Bitbucket Cloud's dialect: many refs in one push, named without their prefix; never files. */
#include <string.h>

#include "base/pool.h"
#include "base/util.h"
#include "webhooks/in/forge_parts.h"

static const char *nick(struct reading *r, const json_t *person, const char *where)
{
    const char *name =
        first_of(take_text(r, person, where, "nickname"), take_text(r, person, where, "username"));
    return first_of(name, take_text(r, person, where, "display_name"));
}

static const char *html_link(struct reading *r, const json_t *obj, const char *where)
{
    const json_t *links = take_object(r, obj, where, "links");
    return take_inner(r, links, pool_printf(r->pool, "%s.links", where), "html", "href");
}

static void read_repository(struct reading *r, struct hook_message *m)
{
    const json_t *repository = take_object(r, m->payload, "", "repository");
    if (repository == NULL) {
        take_bad(r, "repository: missing");
        return;
    }
    m->repository = take_need(r, repository, "repository", "full_name");
    m->html_url = html_link(r, repository, "repository");
    m->url = m->html_url[0] != '\0' ? pool_printf(r->pool, "%s.git", m->html_url) : "";
    m->default_branch = take_inner(r, repository, "repository", "mainbranch", "name");
    m->actor = nick(r, take_object(r, m->payload, "", "actor"), "actor");
}

/* NULL where there is no such side. */
static const char *read_hash(struct reading *r, const json_t *side, const char *where)
{
    const char *place = pool_printf(r->pool, "%s.target", where);
    return side == NULL ? NULL : take_need(r, take_object(r, side, where, "target"), place, "hash");
}

static void read_head(
    struct reading *r, const json_t *side, const char *where, struct git_push *push)
{
    const json_t *target = take_object(r, side, where, "target");
    const char *place = pool_printf(r->pool, "%s.target", where);
    const json_t *author = take_object(r, target, place, "author");
    push->message = take_text(r, target, place, "message");
    person_split(r->pool, take_text(r, author, place, "raw"), &push->author);
    push->author.username = nick(r, take_object(r, author, place, "user"), place);
    push->committer = push->author;
}

static void read_messages(
    struct reading *r, const json_t *change, const char *where, struct git_push *push)
{
    const json_t *commits = take_array(r, change, where, "commits");
    if (commits != NULL && !take_flag(r, change, where, "truncated")) {
        push->commit_count = (int64_t)json_array_size(commits);
    }
    push_commits(
        r, commits, pool_printf(r->pool, "%s.commits", where), COMMITS_NEWEST_FIRST, false, push);
}

static int read_change(struct reading *r, const json_t *change, const char *where,
    const struct hook_message *m, struct git_push *push)
{
    const json_t *from = take_object(r, change, where, "old");
    const json_t *to = take_object(r, change, where, "new");
    const json_t *side = to != NULL ? to : from;
    const char *place = pool_printf(r->pool, "%s.%s", where, to != NULL ? "new" : "old");
    if (side == NULL) {
        return take_bad(r, "%s: expected an object with old or new", where);
    }
    const char *before = read_hash(r, from, pool_printf(r->pool, "%s.old", where));
    const char *after = read_hash(r, to, pool_printf(r->pool, "%s.new", where));
    bool is_tag = strcmp(take_need(r, side, place, "type"), "tag") == 0;
    push->ref = pool_printf(
        r->pool, "refs/%s/%s", is_tag ? "tags" : "heads", take_need(r, side, place, "name"));
    push->before = before != NULL ? before : commit_none(after);
    push->after = after != NULL ? after : commit_none(before);
    push->is_created = take_flag(r, change, where, "created");
    push->is_deleted = take_flag(r, change, where, "closed");
    push->is_forced = take_flag(r, change, where, "forced");
    push->is_forced_known = true;
    push->compare_url = html_link(r, change, where);
    if (to != NULL) {
        read_head(r, to, place, push);
    }
    read_messages(r, change, where, push);
    return push_finish(r, m, push);
}

/* Bitbucket has told of new refs with an empty commit: then there is nothing to go by. */
static bool is_without_commit(const json_t *change)
{
    const json_t *to = json_object_get(change, "new"), *target = json_object_get(to, "target");
    const json_t *hash = json_object_get(target, "hash");
    return json_is_object(to) &&
           (target == NULL || json_is_null(target) ||
               (json_is_object(target) &&
                   (hash == NULL || json_is_null(hash) || str_eq(json_string_value(hash), ""))));
}

static size_t count_changes(const json_t *changes)
{
    size_t count = 0, i;
    const json_t *change;
    json_array_foreach((json_t *)changes, i, change)
    {
        count += !is_without_commit(change);
    }
    return count;
}

static int read_push(struct reading *r, struct hook_message *m)
{
    size_t i, n = 0;
    const json_t *change;
    m->kind = HOOK_PUSH;
    read_repository(r, m);
    const json_t *changes =
        take_array(r, take_object(r, m->payload, "", "push"), "push", "changes");
    size_t count = count_changes(changes);
    if (r->is_bad || count == 0) {
        return r->is_bad ? -1
                         : message_other(r, m,
                               json_array_size(changes) == 0 ? "names no changed ref"
                                                             : "names no commit");
    }
    message_pushes(r, m, count);
    json_array_foreach((json_t *)changes, i, change)
    {
        if (is_without_commit(change) || n == m->push_count) {
            continue;
        }
        const char *where = pool_printf(r->pool, "push.changes[%zu]", i);
        if (read_change(r, change, where, m, &m->pushes[n++]) != 0) {
            return -1;
        }
    }
    return 0;
}

/* One side of a pull request. */
static const char *read_side(struct reading *r, const json_t *pr, const char *key,
    const char **commit, const char **repository)
{
    const char *where = pool_printf(r->pool, "pullrequest.%s", key);
    const json_t *side = take_object(r, pr, "pullrequest", key);
    *commit = take_inner(r, side, where, "commit", "hash");
    *repository = take_inner(r, side, where, "repository", "full_name");
    return take_inner(r, side, where, "branch", "name");
}

static int read_pull_request(struct reading *r, struct hook_message *m, const char *action)
{
    static const char at[] = "pullrequest";
    struct git_pull_request *out = pool_alloc(r->pool, sizeof *out);
    const char *own;
    read_repository(r, m);
    const json_t *pr = take_object(r, m->payload, "", at);
    if (pr == NULL) {
        return take_bad(r, "pullrequest: missing");
    }
    out->action = strcmp(action, "created") == 0     ? "opened"
                  : strcmp(action, "fulfilled") == 0 ? "merged"
                  : strcmp(action, "rejected") == 0  ? "closed"
                                                     : action;
    out->number = take_number(r, pr, at, "id", 0);
    out->title = take_text(r, pr, at, "title");
    out->url = html_link(r, pr, at);
    out->author = nick(r, take_object(r, pr, at, "author"), "pullrequest.author");
    out->source_branch = read_side(r, pr, "source", &out->head, &out->source_repository);
    out->target_branch = read_side(r, pr, "destination", &out->base, &own);
    out->is_merged = strcmp(take_text(r, pr, at, "state"), "MERGED") == 0;
    out->is_draft = take_flag(r, pr, at, "draft");
    out->is_fork = strcmp(out->source_repository, m->repository) != 0;
    m->kind = HOOK_PULL_REQUEST;
    m->pull_request = out;
    return r->is_bad ? -1 : 0;
}

int bitbucket_read(struct reading *r, struct hook_message *m)
{
    static const char pull_request[] = "pullrequest:";
    const char *action = m->event + sizeof pull_request - 1;
    if (strcmp(m->event, "repo:push") == 0) {
        return read_push(r, m);
    }
    if (str_starts(m->event, pull_request) && !str_starts(action, "comment")) {
        return read_pull_request(r, m, action);
    }
    return message_other(r, m, "only repo:push and pullrequest events start runs");
}
