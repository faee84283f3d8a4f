/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The dialect of Bitbucket Data Center (formerly Server): many refs in one push; never files. The
 * head commit and the commits are told from 8.x on, links not by all releases.
 */
#include <string.h>

#include "base/pool.h"
#include "base/util.h"
#include "webhooks/in/forge_parts.h"

static const char *user_name(struct reading *r, const json_t *user, const char *where)
{
    return first_of(take_text(r, user, where, "name"), take_text(r, user, where, "displayName"));
}

/* "PROJECT/slug", as the forge's own URLs have it. */
static const char *full_name(struct reading *r, const json_t *repository, const char *where)
{
    const char *key = take_inner(r, repository, where, "project", "key");
    const char *slug = take_text(r, repository, where, "slug");
    if (repository == NULL || key[0] == '\0' || slug[0] == '\0') {
        take_bad(r, "%s: expected an object with project.key and slug", where);
        return "";
    }
    return pool_printf(r->pool, "%s/%s", key, slug);
}

/* links.<list>[]: the href whose name is wanted, or the first if any will do. */
static const char *link_of(
    struct reading *r, const json_t *obj, const char *where, const char *list, const char *name)
{
    const json_t *links = take_array(r, take_object(r, obj, where, "links"), where, list), *link;
    size_t i;
    json_array_foreach((json_t *)links, i, link)
    {
        if (!json_is_object(link)) {
            take_bad(r, "%s.links.%s[%zu]: expected an object", where, list, i);
            return "";
        }
        const char *is = take_text(r, link, where, "name");
        if (name == NULL || str_starts(is, name)) { /* "http" also stands for https */
            return take_text(r, link, where, "href");
        }
    }
    return "";
}

static void read_repository(
    struct reading *r, struct hook_message *m, const json_t *repository, const char *where)
{
    static const char browse[] = "/browse";
    m->repository = full_name(r, repository, where);
    m->url = link_of(r, repository, where, "clone", "http");
    m->html_url = link_of(r, repository, where, "self", NULL);
    if (str_ends(m->html_url, browse)) {
        m->html_url = pool_strndup(r->pool, m->html_url, strlen(m->html_url) - (sizeof browse - 1));
    }
    m->actor = user_name(r, take_object(r, m->payload, "", "actor"), "actor");
}

static void read_dc_person(
    struct reading *r, const json_t *commit, const char *key, struct git_person *out)
{
    const json_t *person = take_object(r, commit, "toCommit", key);
    out->name =
        first_of(take_text(r, person, key, "displayName"), take_text(r, person, key, "name"));
    out->email = take_text(r, person, key, "emailAddress");
    out->username = take_text(r, person, key, "name");
}

/* Of a push of one ref, newer releases tell the head and the commits. */
static void read_commits(struct reading *r, const struct hook_message *m, struct git_push *push)
{
    const json_t *head = take_object(r, m->payload, "", "toCommit");
    const json_t *commits = take_array(r, m->payload, "", "commits");
    if (m->push_count != 1) {
        return;
    }
    if (head != NULL && str_starts(push->ref, "refs/tags/")) {
        push->commit = take_text(r, head, "toCommit", "id");
    }
    push->message = take_text(r, head, "toCommit", "message");
    read_dc_person(r, head, "author", &push->author);
    read_dc_person(r, head, "committer", &push->committer);
    push_commits(r, commits, "commits", COMMITS_NEWEST_FIRST, false, push);
}

static int read_change(struct reading *r, const json_t *change, const char *where,
    const struct hook_message *m, struct git_push *push)
{
    if (!json_is_object(change)) {
        return take_bad(r, "%s: expected an object", where);
    }
    push->ref =
        first_of(take_text(r, change, where, "refId"), take_inner(r, change, where, "ref", "id"));
    push->before = take_need(r, change, where, "fromHash");
    push->after = take_need(r, change, where, "toHash");
    const char *type = take_text(r, change, where, "type");
    push->is_created = strcmp(type, "ADD") == 0;
    push->is_deleted = strcmp(type, "DELETE") == 0;
    read_commits(r, m, push);
    return push_finish(r, m, push);
}

static int read_push(struct reading *r, struct hook_message *m)
{
    m->kind = HOOK_PUSH;
    read_repository(r, m, take_object(r, m->payload, "", "repository"), "repository");
    const json_t *changes = take_array(r, m->payload, "", "changes");
    if (json_array_size(changes) == 0) {
        return r->is_bad ? -1 : message_other(r, m, "names no changed ref");
    }
    message_pushes(r, m, json_array_size(changes));
    for (size_t i = 0; i < m->push_count; i++) {
        const char *where = pool_printf(r->pool, "changes[%zu]", i);
        if (read_change(r, json_array_get(changes, i), where, m, &m->pushes[i]) != 0) {
            return -1;
        }
    }
    return 0;
}

static const char *pull_request_action(const char *word)
{
    static const char *const words[][2] = {
        {"from_ref_updated", "updated"}, {"modified", "edited"}, {"declined", "closed"}};
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (strcmp(word, words[i][0]) == 0) {
            return words[i][1];
        }
    }
    return word;
}

static int read_pull_request(struct reading *r, struct hook_message *m, const char *word)
{
    static const char at[] = "pullRequest", from_at[] = "pullRequest.fromRef",
                      to_at[] = "pullRequest.toRef";
    struct git_pull_request *out = pool_alloc(r->pool, sizeof *out);
    const json_t *pr = take_object(r, m->payload, "", at);
    const json_t *from = take_object(r, pr, at, "fromRef"), *to = take_object(r, pr, at, "toRef");
    if (pr == NULL || from == NULL || to == NULL) {
        return take_bad(r, "pullRequest: expected an object with fromRef and toRef");
    }
    read_repository(r, m, take_object(r, to, to_at, "repository"), "pullRequest.toRef.repository");
    out->action = pull_request_action(word);
    out->number = take_number(r, pr, at, "id", 0);
    out->title = take_text(r, pr, at, "title");
    out->url = link_of(r, pr, at, "self", NULL);
    const json_t *author = take_object(r, pr, at, "author");
    out->author =
        user_name(r, take_object(r, author, "pullRequest.author", "user"), "pullRequest.author");
    out->source_branch = branch_of_ref(take_need(r, from, from_at, "id"));
    out->target_branch = branch_of_ref(take_need(r, to, to_at, "id"));
    out->head = take_text(r, from, from_at, "latestCommit");
    out->base = take_text(r, to, to_at, "latestCommit");
    out->source_repository =
        full_name(r, take_object(r, from, from_at, "repository"), "pullRequest.fromRef.repository");
    out->is_merged = strcmp(take_text(r, pr, at, "state"), "MERGED") == 0;
    out->is_draft = take_flag(r, pr, at, "draft");
    out->is_fork = strcmp(out->source_repository, m->repository) != 0;
    m->kind = HOOK_PULL_REQUEST;
    m->pull_request = out;
    return r->is_bad ? -1 : 0;
}

int bitbucket_server_read(struct reading *r, struct hook_message *m)
{
    static const char pull_request[] = "pr:";
    const char *word = m->event + sizeof pull_request - 1;
    if (strcmp(m->event, "repo:refs_changed") == 0) {
        return read_push(r, m);
    }
    if (str_starts(m->event, pull_request) && !str_starts(word, "comment")) {
        return read_pull_request(r, m, word);
    }
    if (strcmp(m->event, "diagnostics:ping") == 0) {
        m->kind = HOOK_PING;
        m->why = "diagnostics:ping: this trigger is ready";
        return 0;
    }
    return message_other(r, m, "only repo:refs_changed and pr events start runs");
}
