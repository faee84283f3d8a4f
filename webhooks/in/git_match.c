/* SPDX-License-Identifier: Apache-2.0 */
/* Does a trigger want this change? One function a clause. */
#include "webhooks/in/git_match.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "base/json.h"
#include "base/util.h"
#include "webhooks/cel/cel.h"
#include "webhooks/in/git_change.h"
#include "webhooks/in/git_trigger.h"

/* What a clause says. */
enum say { SAY_NOTHING, SAY_YES, SAY_NO };

struct matching {
    const struct git_trigger *t;
    const struct git_change *c;
    const json_t *headers;
    char text[GIT_REASON_MAX];
};

static enum say say(struct matching *m, enum say what, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static enum say say(struct matching *m, enum say what, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(m->text, sizeof m->text, fmt, ap);
    va_end(ap);
    text_sanitise(m->text); /* a character may have been cut in two */
    return what;
}

static enum say clause_enabled(struct matching *m)
{
    return m->t->is_enabled ? SAY_NOTHING : say(m, SAY_NO, "the trigger is disabled");
}

static enum say clause_events(struct matching *m)
{
    static const char *const words[] = {"a push to a branch", "a push of a tag", "a release",
        "a pull request", "a generic message"};
    enum git_kind kind = m->c->kind;
    if ((m->t->kinds & 1u << kind) != 0) {
        return say(m, SAY_YES, "events has \"%s\"", git_kind_name(kind));
    }
    if (kind == GIT_KIND_PUSH && m->c->push.branch == NULL) {
        return say(m, SAY_NO, "%.200s is not a branch and not a tag", m->c->push.ref);
    }
    return say(m, SAY_NO, "this is %s%s, and events does not have \"%s\"", words[kind],
        kind == GIT_KIND_TAG ? ", not a branch" : "", git_kind_name(kind));
}

static enum say clause_other_refs(struct matching *m)
{
    const struct git_push *p = &m->c->push;
    bool is_other = m->c->kind == GIT_KIND_PUSH && p->branch == NULL && p->tag == NULL;
    return is_other ? say(m, SAY_NO, "%.200s is not a branch and not a tag", p->ref) : SAY_NOTHING;
}

static enum say clause_repository(struct matching *m)
{
    const char *wanted = m->t->repository;
    if (wanted == NULL) {
        return SAY_NOTHING;
    }
    bool fits = git_glob_matches(wanted, m->c->push.repository);
    return say(m, fits ? SAY_YES : SAY_NO, "repository %.200s %s %.200s", m->c->push.repository,
        fits ? "is" : "is not", wanted);
}

static enum say check_wish(
    struct matching *m, enum git_wish wish, bool is_so, const char *what, const char *key)
{
    if (wish == GIT_WISH_NEVER && is_so) {
        return say(m, SAY_NO, "the push %s, and \"%s\" is \"never\"", what, key);
    }
    if (wish == GIT_WISH_ONLY) {
        return is_so ? say(m, SAY_YES, "the push %s", what)
                     : say(m, SAY_NO, "\"%s\" is \"only\", and this is no push that %s", key, what);
    }
    return SAY_NOTHING;
}

static bool is_ref_push(const struct matching *m)
{
    return m->c->kind == GIT_KIND_PUSH || m->c->kind == GIT_KIND_TAG;
}

static enum say clause_created(struct matching *m)
{
    return !is_ref_push(m)
               ? SAY_NOTHING
               : check_wish(m, m->t->created, m->c->push.is_created, "creates a ref", "created");
}

static enum say clause_deleted(struct matching *m)
{
    return !is_ref_push(m)
               ? SAY_NOTHING
               : check_wish(m, m->t->deleted, m->c->push.is_deleted, "deletes a ref", "deleted");
}

static enum say clause_forced(struct matching *m)
{
    const struct git_push *p = &m->c->push;
    if (!is_ref_push(m) || m->t->forced == GIT_WISH_ANY) {
        return SAY_NOTHING;
    }
    if (!p->is_forced_known && !p->is_created && !p->is_deleted) {
        return say(m, m->t->forced == GIT_WISH_NEVER ? SAY_YES : SAY_NO,
            "%s does not tell whether a push was forced", p->forge);
    }
    return check_wish(m, m->t->forced, p->is_forced, "is forced", "forced");
}

static enum say check_name(struct matching *m, const char *what, const char *name,
    const struct git_patterns *only, const struct git_patterns *but)
{
    const struct git_pattern *by = NULL;
    if (only->count > 0) {
        bool is_in = git_patterns_include(only, name, &by);
        return is_in        ? say(m, SAY_YES, "%.200s matches '%.200s'", name, git_pattern_text(by))
               : by != NULL ? say(m, SAY_NO, "'%.200s' excludes %.200s", git_pattern_text(by), name)
                            : say(m, SAY_NO, "no pattern in %s matches %.200s", what, name);
    }
    if (but->count > 0) {
        bool is_out = git_patterns_include(but, name, &by);
        return is_out ? say(m, SAY_NO, "'%.200s' in %s_ignore matches %.200s", git_pattern_text(by),
                            what, name)
                      : say(m, SAY_YES, "no pattern in %s_ignore matches %.200s", what, name);
    }
    return SAY_NOTHING;
}

/* Of a pull request, the branch that it goes to. */
static enum say clause_branches(struct matching *m)
{
    bool has_branch = m->c->kind == GIT_KIND_PUSH || m->c->kind == GIT_KIND_PULL_REQUEST;
    return !has_branch || m->c->push.branch == NULL ? SAY_NOTHING
                                                    : check_name(m, "branches", m->c->push.branch,
                                                          &m->t->branches, &m->t->branches_ignore);
}

static enum say clause_tags(struct matching *m)
{
    bool has_tag = m->c->kind == GIT_KIND_TAG || m->c->kind == GIT_KIND_RELEASE;
    return !has_tag || m->c->push.tag == NULL
               ? SAY_NOTHING
               : check_name(m, "tags", m->c->push.tag, &m->t->tags, &m->t->tags_ignore);
}

static enum say clause_actions(struct matching *m)
{
    static const char *const usual[] = {"opened", "updated", "reopened", "published"};
    if (m->c->kind != GIT_KIND_PULL_REQUEST && m->c->kind != GIT_KIND_RELEASE) {
        return SAY_NOTHING;
    }
    const char *action = jget_str(git_change_facts(m->c), "action", "");
    bool fits = false;
    for (size_t i = 0; m->t->actions == NULL && i < ARRAY_LEN(usual); i++) {
        fits = fits || strcmp(usual[i], action) == 0;
    }
    for (size_t i = 0; i < json_array_size(m->t->actions); i++) {
        fits =
            fits || git_glob_matches(json_string_value(json_array_get(m->t->actions, i)), action);
    }
    return fits ? say(m, SAY_YES, "action \"%.60s\"", action)
                : say(m, SAY_NO, "action \"%.60s\" is not among %s", action,
                      m->t->actions != NULL ? "actions"
                                            : "opened, updated, reopened, published; name it in "
                                              "actions");
}

/* ---- paths ---- */

/* The n-th changed file; NULL past the last. Added, modified, removed: as the forge lists them. */
static const char *file_at(const struct git_push *p, size_t n)
{
    const struct git_files *lists[] = {&p->added, &p->modified, &p->removed};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        if (n < lists[i]->count) {
            return lists[i]->items[n];
        }
        n -= lists[i]->count;
    }
    return NULL;
}

/* The first file, of as many as count, that lets the push through: NULL if there is none. */
static const char *deciding_file(
    const struct matching *m, const struct git_pattern **by_out, size_t *seen_out)
{
    const struct git_trigger *t = m->t;
    bool wants = t->paths.count > 0;
    const char *file;
    for (*seen_out = 0; (file = file_at(&m->c->push, *seen_out)) != NULL; (*seen_out)++) {
        if (t->max_files > 0 && *seen_out >= (size_t)t->max_files) {
            break;
        }
        if (git_patterns_include(wants ? &t->paths : &t->paths_ignore, file, by_out) == wants) {
            return file;
        }
    }
    return NULL;
}

static enum say clause_paths(struct matching *m)
{
    const struct git_trigger *t = m->t;
    const struct git_push *p = &m->c->push;
    bool wants = t->paths.count > 0;
    const char *what = wants ? "paths" : "paths_ignore";
    if (m->c->kind != GIT_KIND_PUSH || p->is_deleted ||
        t->paths.count + t->paths_ignore.count == 0) {
        return SAY_NOTHING; /* GitHub looks at no paths of tags */
    }
    if (t->max_commits > 0 && p->commit_count > t->max_commits) {
        return say(m, SAY_YES, "%lld commits are more than max_commits: paths are not looked at",
            (long long)p->commit_count);
    }
    const struct git_pattern *by = NULL;
    size_t seen = 0;
    const char *file = deciding_file(m, &by, &seen);
    if (file != NULL && wants) {
        return say(m, SAY_YES, "%.200s matches '%.200s'", file, git_pattern_text(by));
    }
    if (file != NULL) {
        return say(m, SAY_YES, "%.200s is not ignored", file);
    }
    if (p->files_known != GIT_FILES_COMPLETE &&
        !(t->max_files > 0 && seen >= (size_t)t->max_files)) {
        return say(m, t->runs_on_unknown_files ? SAY_YES : SAY_NO,
            "the forge does not tell %s files were changed, and unknown_files is \"%s\"",
            seen > 0 ? "all of what" : "which", t->runs_on_unknown_files ? "run" : "skip");
    }
    return seen == 0 ? say(m, SAY_NO, "no files were changed")
                     : say(m, SAY_NO, "none of %zu changed files is let through by %s", seen, what);
}

/* ---- messages and people ---- */

/* The trailer stands alone after an empty line, as GitHub wants it. */
static bool has_skip_trailer(const char *message)
{
    static const char *const trailers[] = {"\nskip-checks:true", "\nskip-checks: true"};
    for (size_t i = 0; i < ARRAY_LEN(trailers); i++) {
        const char *at = strcasestr(message, trailers[i]);
        if (at != NULL) {
            char end = at[strlen(trailers[i])];
            if (end == '\0' || end == '\n' || end == '\r') {
                return true;
            }
        }
    }
    return false;
}

bool git_message_skips_ci(const char *message)
{
    static const char *const marks[] = {
        "[skip ci]", "[ci skip]", "[no ci]", "[skip actions]", "[actions skip]"};
    for (size_t i = 0; i < ARRAY_LEN(marks); i++) {
        if (strcasestr(message, marks[i]) != NULL) {
            return true;
        }
    }
    return has_skip_trailer(message);
}

static enum say clause_skip_ci(struct matching *m)
{
    const struct git_push *p = &m->c->push;
    if (m->t->skip_ci == GIT_SKIP_NONE || !is_ref_push(m)) {
        return SAY_NOTHING;
    }
    if (git_message_skips_ci(p->message)) {
        return say(m, SAY_NO, "the head commit says to skip");
    }
    for (size_t i = 0; m->t->skip_ci == GIT_SKIP_ANY && i < p->message_count; i++) {
        if (git_message_skips_ci(p->messages[i])) {
            return say(m, SAY_NO, "commit %zu of the push says to skip", i + 1);
        }
    }
    return SAY_NOTHING;
}

/* The glob of the list that one of the texts matches, or NULL. */
static const char *glob_of(const json_t *list, const char *const *texts, size_t count)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *glob = json_string_value(json_array_get(list, i));
        for (size_t n = 0; n < count; n++) {
            if (texts[n] != NULL && texts[n][0] != '\0' && git_glob_matches(glob, texts[n])) {
                return glob;
            }
        }
    }
    return NULL;
}

static enum say clause_actors(struct matching *m)
{
    const char *actor = m->c->push.actor;
    if (m->t->actors == NULL) {
        return SAY_NOTHING;
    }
    const char *glob = glob_of(m->t->actors, &actor, 1);
    return glob != NULL ? say(m, SAY_YES, "%.100s matches '%.100s'", actor, glob)
                        : say(m, SAY_NO, "'%.100s' is not among actors", actor);
}

static enum say clause_actors_ignore(struct matching *m)
{
    const char *actor = m->c->push.actor;
    const char *glob = glob_of(m->t->actors_ignore, &actor, 1);
    return glob == NULL ? SAY_NOTHING
                        : say(m, SAY_NO, "'%.100s' in actors_ignore matches %.100s", glob, actor);
}

static enum say clause_authors_ignore(struct matching *m)
{
    const struct git_push *p = &m->c->push;
    const char *const texts[] = {p->author.name, p->author.email, p->author.username,
        p->committer.name, p->committer.email, p->committer.username};
    const char *glob = glob_of(m->t->authors_ignore, texts, ARRAY_LEN(texts));
    return glob == NULL ? SAY_NOTHING
                        : say(m, SAY_NO,
                              "'%.100s' in authors_ignore matches author or committer of the head "
                              "commit",
                              glob);
}

static enum say clause_messages_ignore(struct matching *m)
{
    const char *message = m->c->push.message;
    const char *glob = glob_of(m->t->messages_ignore, &message, 1);
    return glob == NULL ? SAY_NOTHING
                        : say(m, SAY_NO, "'%.100s' in messages_ignore matches the message", glob);
}

static enum say clause_filter(struct matching *m)
{
    if (m->t->filter == NULL) {
        return SAY_NOTHING;
    }
    const struct cel_var vars[] = {
        {"push", git_change_facts(m->c)}, {"payload", m->c->push.payload}, {"headers", m->headers}};
    bool fits = false;
    struct err err = ERR_INIT;
    if (cel_matches(m->t->filter, vars, ARRAY_LEN(vars), &fits, &err) != 0) {
        return say(m, SAY_NO, "the filter has no answer: %.400s", err.msg);
    }
    return say(m, fits ? SAY_YES : SAY_NO, "the filter gives %s", fits ? "true" : "false");
}

static const struct clause {
    const char *name;
    enum say (*fn)(struct matching *m);
} clauses[] = {
    {"enabled", clause_enabled},
    {"events", clause_events},
    {"events", clause_other_refs},
    {"repository", clause_repository},
    {"deleted", clause_deleted},
    {"created", clause_created},
    {"forced", clause_forced},
    {"branches", clause_branches},
    {"tags", clause_tags},
    {"actions", clause_actions},
    {"skip_ci", clause_skip_ci},
    {"actors", clause_actors},
    {"actors_ignore", clause_actors_ignore},
    {"authors_ignore", clause_authors_ignore},
    {"messages_ignore", clause_messages_ignore},
    {"paths", clause_paths},
    {"filter", clause_filter},
};

bool git_match(const struct git_trigger *trigger, const struct git_change *change,
    const json_t *headers, json_t *steps, struct git_reason *out)
{
    struct matching m = {.t = trigger, .c = change, .headers = headers};
    bool is_wanted = true;
    *out = (struct git_reason){.clause = "events"};
    for (size_t i = 0; i < ARRAY_LEN(clauses) && (is_wanted || steps != NULL); i++) {
        enum say said = clauses[i].fn(&m);
        if (said == SAY_NOTHING) {
            continue;
        }
        if (steps != NULL) {
            json_array_append_new(steps, json_pack("{s:s,s:b,s:s}", "clause", clauses[i].name,
                                             "passed", said == SAY_YES, "detail", m.text));
        }
        if (is_wanted) { /* the last one that agrees, or the first that does not */
            out->clause = clauses[i].name;
            memcpy(out->text, m.text, sizeof out->text);
        }
        is_wanted = is_wanted && said == SAY_YES;
    }
    return is_wanted;
}
