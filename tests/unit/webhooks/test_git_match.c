/* SPDX-License-Identifier: Apache-2.0 */
/* Which changes a trigger wants, and what it says about them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/err.h"
#include "base/http_msg.h"
#include "base/json.h"
#include "base/pool.h"
#include "base/util.h"
#include "webhooks/in/git_change.h"
#include "webhooks/in/git_match.h"

#define SHA_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define SHA_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

/* A push to main as a forge would tell it; rows change it. */
struct sample {
    struct hook_message message;
    struct git_push push;
    struct git_pull_request pull_request;
    struct git_release release;
};

static void sample_init(struct sample *s, struct pool *pool)
{
    json_t *payload = json_object();
    pool_on_free(pool, (void (*)(void *))json_decref, payload);
    json_object_set_new(payload, "ref", json_string("refs/heads/main"));
    *s = (struct sample){
        .message = {.forge = FORGE_GITHUB,
            .kind = HOOK_PUSH,
            .delivery = "d1",
            .event = "push",
            .repository = "acme/model",
            .actor = "ann",
            .push_count = 1,
            .payload = payload},
        .push = {.forge = "github",
            .delivery = "d1",
            .event = "push",
            .key = "k",
            .ref = "refs/heads/main",
            .branch = "main",
            .before = SHA_A,
            .after = SHA_B,
            .commit = SHA_B,
            .repository = "acme/model",
            .url = "",
            .html_url = "",
            .compare_url = "",
            .default_branch = "main",
            .actor = "ann",
            .author = {"Ann", "ann@acme.example", "ann"},
            .committer = {"Ann", "ann@acme.example", "ann"},
            .message = "train it",
            .commit_count = 1,
            .is_forced_known = true,
            .payload = payload},
    };
    s->message.pushes = &s->push;
}

static struct git_trigger *trigger(const char *members)
{
    struct err err = ERR_INIT;
    CLEANUP(cleanup_free)
    char *text = xasprintf("{\"pipeline_id\":\"p\"%s%s}", members[0] != '\0' ? "," : "", members);
    json_t *body = json_loads(text, 0, NULL);
    assert_non_null(body);
    json_t *record = git_trigger_from_body(body, NULL, &err);
    struct git_trigger *t = record != NULL ? git_trigger_load(record, &err) : NULL;
    if (t == NULL) {
        fail_msg("%s: %s", members, err.msg);
    }
    json_decref(record);
    json_decref(body);
    return t;
}

static void check(struct pool *pool, const struct sample *s, const char *members, bool starts,
    const char *clause, const char *says)
{
    struct git_trigger *t = trigger(members);
    struct git_changes changes;
    struct git_reason reason, again;
    json_t *headers = json_pack("{s:s}", "x-github-event", "push");
    json_t *steps = json_array();
    git_changes_of(pool, &s->message, &changes);
    assert_int_equal(changes.count, 1);
    bool is = git_match(t, changes.items, headers, NULL, &reason);
    /* Looking at all clauses comes to the same end. */
    assert_int_equal(git_match(t, changes.items, headers, steps, &again), is);
    if (is != starts || strcmp(reason.clause, clause) != 0 || strstr(reason.text, says) == NULL) {
        fail_msg("%s: %s, %s: %s", members, is ? "starts" : "does not start", reason.clause,
            reason.text);
    }
    assert_string_equal(reason.text, again.text);
    assert_string_equal(reason.clause, again.clause);
    assert_true(json_array_size(steps) > 0);
    json_decref(headers);
    json_decref(steps);
    git_trigger_unref(t);
}

static void test_branches_and_people(void **state)
{
    (void)state;
    static const struct {
        const char *members;
        bool starts;
        const char *clause, *says;
    } rows[] = {
        {"", true, "events", "push"},
        {"\"enabled\":false", false, "enabled", "disabled"},
        {"\"events\":[\"tag\"]", false, "events", "a push to a branch"},
        {"\"repository\":\"ACME/Model\"", true, "repository", "is"},
        {"\"repository\":\"acme/*\"", true, "repository", "is acme/*"},
        {"\"repository\":\"other/model\"", false, "repository", "is not other/model"},
        {"\"branches\":[\"main\"]", true, "branches", "'main'"},
        {"\"branches\":[\"dev\"]", false, "branches", "no pattern in branches matches main"},
        {"\"branches\":[\"**\",\"!main\"]", false, "branches", "'!main' excludes main"},
        {"\"branches_ignore\":[\"main\"]", false, "branches", "branches_ignore matches main"},
        {"\"branches_ignore\":[\"dev\"]", true, "branches", "no pattern"},
        {"\"created\":\"only\"", false, "created", "\"only\""},
        {"\"created\":true", false, "created", "\"only\""},
        {"\"created\":false", true, "events", ""},
        {"\"forced\":\"only\"", false, "forced", "\"only\""},
        {"\"actors\":[\"ANN\",\"bob\"]", true, "actors", "'ANN'"},
        {"\"actors\":[\"bob\"]", false, "actors", "not among actors"},
        {"\"actors_ignore\":[\"a*\"]", false, "actors_ignore", "'a*'"},
        {"\"actors_ignore\":[\"*[bot]\"]", true, "events", ""},
        {"\"authors_ignore\":[\"*@acme.example\"]", false, "authors_ignore", "head commit"},
        {"\"messages_ignore\":[\"train*\"]", false, "messages_ignore", "message"},
        {"\"filter\":\"push.branch == 'main' && payload.ref.endsWith('main')\"", true, "filter",
            "true"},
        {"\"filter\":\"headers['x-github-event'] == 'ping'\"", false, "filter", "false"},
        {"\"filter\":\"payload.nothing == 1\"", false, "filter", "no answer: column"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP(pool_freep) struct pool *pool = pool_new();
        struct sample s;
        sample_init(&s, pool);
        check(pool, &s, rows[i].members, rows[i].starts, rows[i].clause, rows[i].says);
    }
}

static void test_refs(void **state)
{
    (void)state;
    enum ref { BRANCH, TAG, OTHER };
    static const struct {
        const char *members;
        enum ref ref;
        bool created, deleted, forced, forced_known;
        bool starts;
        const char *clause;
    } rows[] = {
        {"", BRANCH, true, false, false, true, true, "events"},
        {"\"created\":\"never\"", BRANCH, true, false, false, true, false, "created"},
        {"\"created\":\"only\"", BRANCH, true, false, false, true, true, "created"},
        {"", BRANCH, false, true, false, true, false, "deleted"},
        {"\"deleted\":\"any\"", BRANCH, false, true, false, true, true, "events"},
        {"\"deleted\":\"only\"", BRANCH, false, true, false, true, true, "deleted"},
        {"\"deleted\":\"only\"", BRANCH, false, false, false, true, false, "deleted"},
        {"", BRANCH, false, false, true, true, true, "events"},
        {"\"forced\":\"never\"", BRANCH, false, false, true, true, false, "forced"},
        {"\"forced\":\"only\"", BRANCH, false, false, true, true, true, "forced"},
        {"\"forced\":\"only\"", BRANCH, false, false, false, false, false, "forced"},
        {"\"forced\":\"never\"", BRANCH, false, false, false, false, true, "forced"},
        {"", TAG, true, false, false, true, false, "events"},
        {"\"branches\":[\"main\"]", TAG, true, false, false, true, false, "events"},
        {"\"tags\":[\"m*\"]", TAG, true, false, false, true, true, "tags"},
        {"\"tags\":[\"m*\"]", BRANCH, false, false, false, true, false, "events"},
        {"\"tags\":[\"v*\"],\"branches\":[\"main\"]", TAG, true, false, false, true, false, "tags"},
        {"\"tags\":[\"v*\"],\"branches\":[\"main\"]", BRANCH, true, false, false, true, true,
            "branches"},
        {"\"tags_ignore\":[\"m*\"]", TAG, true, false, false, true, false, "tags"},
        {"\"events\":[\"push\",\"tag\"],\"branches\":[\"dev\"]", TAG, true, false, false, true,
            true, "events"},
        {"\"tags\":[\"**\"],\"paths\":[\"x\"]", TAG, true, false, false, true, true, "tags"},
        {"", OTHER, true, false, false, true, false, "events"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP(pool_freep) struct pool *pool = pool_new();
        struct sample s;
        sample_init(&s, pool);
        s.push.branch = rows[i].ref == BRANCH ? "main" : NULL;
        s.push.tag = rows[i].ref == TAG ? "main" : NULL;
        s.push.ref = rows[i].ref == TAG ? "refs/tags/main" : "refs/notes/main";
        s.push.is_created = rows[i].created;
        s.push.is_deleted = rows[i].deleted;
        s.push.is_forced = rows[i].forced;
        s.push.is_forced_known = rows[i].forced_known;
        check(pool, &s, rows[i].members, rows[i].starts, rows[i].clause, "");
    }
}

static void test_skip_ci(void **state)
{
    (void)state;
    static const struct {
        const char *message;
        bool skips;
    } rows[] = {
        {"train it", false},
        {"typo [skip ci]", true},
        {"[CI SKIP] typo", true},
        {"x [no ci]", true},
        {"[skip actions]", true},
        {"[actions skip]", true},
        {"[skip  ci]", false},
        {"skip ci", false},
        {"x\n\n\nskip-checks: true", true},
        {"x\n\n\nskip-checks:true\n", true},
        {"x\n\n\nskip-checks: truely", false},
        {"x skip-checks: true", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (git_message_skips_ci(rows[i].message) != rows[i].skips) {
            fail_msg("%s", rows[i].message);
        }
        CLEANUP(pool_freep) struct pool *pool = pool_new();
        const char *messages[] = {rows[i].message, "the last one"};
        struct sample s;
        sample_init(&s, pool);
        s.push.message = rows[i].message;
        check(pool, &s, "", !rows[i].skips, rows[i].skips ? "skip_ci" : "events", "");
        check(pool, &s, "\"skip_ci\":\"none\"", true, "events", "");
        s.push.message = "the last one";
        s.push.messages = messages;
        s.push.message_count = 2;
        check(pool, &s, "\"skip_ci\":\"head\"", true, "events", "");
        check(pool, &s, "\"skip_ci\":\"any\"", !rows[i].skips, rows[i].skips ? "skip_ci" : "events",
            "");
    }
}

static void test_paths(void **state)
{
    (void)state;
    static const struct {
        const char *members, *files[4];
        enum git_files_known known;
        int64_t commits;
        bool starts;
        const char *says;
    } rows[] = {
        {"\"paths\":[\"docs/**\"]", {"docs/a.md"}, GIT_FILES_COMPLETE, 1, true,
            "docs/a.md matches"},
        {"\"paths\":[\"docs/**\"]", {"src/a.c"}, GIT_FILES_COMPLETE, 1, false,
            "none of 1 changed files"},
        {"\"paths\":[\"docs/**\"]", {"src/a.c", "docs/x"}, GIT_FILES_COMPLETE, 1, true, "docs/x"},
        {"\"paths\":[\"src/**\",\"!src/docs/**\"]", {"src/docs/x"}, GIT_FILES_COMPLETE, 1, false,
            "none of 1"},
        {"\"paths\":[\"src/**\",\"!src/docs/**\"]", {"src/docs/x", "src/a.c"}, GIT_FILES_COMPLETE,
            1, true, "src/a.c"},
        {"\"paths_ignore\":[\"docs/**\"]", {"docs/a", "docs/b"}, GIT_FILES_COMPLETE, 1, false,
            "none of 2"},
        {"\"paths_ignore\":[\"docs/**\"]", {"docs/a", "src/b"}, GIT_FILES_COMPLETE, 1, true,
            "src/b is not ignored"},
        {"\"paths\":[\"**\"]", {NULL}, GIT_FILES_COMPLETE, 1, false, "no files were changed"},
        {"\"paths_ignore\":[\"x\"]", {NULL}, GIT_FILES_COMPLETE, 1, false, "no files were changed"},
        {"\"paths\":[\"docs/**\"]", {NULL}, GIT_FILES_UNKNOWN, 1, true, "unknown_files is \"run\""},
        {"\"paths\":[\"docs/**\"],\"unknown_files\":\"skip\"", {NULL}, GIT_FILES_UNKNOWN, 1, false,
            "unknown_files is \"skip\""},
        {"\"paths\":[\"docs/**\"],\"unknown_files\":\"skip\"", {"docs/x"}, GIT_FILES_PARTIAL, 1,
            true, "docs/x"},
        {"\"paths\":[\"docs/**\"],\"unknown_files\":\"skip\"", {"src/x"}, GIT_FILES_PARTIAL, 1,
            false, "all of what"},
        {"\"paths\":[\"docs/**\"]", {"src/x"}, GIT_FILES_PARTIAL, 1, true, "all of what"},
        /* GitHub's own limits, where they are asked for */
        {"\"paths\":[\"docs/**\"],\"max_files\":1", {"src/x", "docs/x"}, GIT_FILES_COMPLETE, 1,
            false, "none of 1"},
        {"\"paths\":[\"docs/**\"],\"max_files\":2", {"src/x", "docs/x"}, GIT_FILES_COMPLETE, 1,
            true, "docs/x"},
        {"\"paths\":[\"docs/**\"],\"max_commits\":1000", {"src/x"}, GIT_FILES_COMPLETE, 1001, true,
            "more than max_commits"},
        {"\"paths\":[\"docs/**\"],\"max_commits\":1000", {"src/x"}, GIT_FILES_COMPLETE, 1000, false,
            "none of 1"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP(pool_freep) struct pool *pool = pool_new();
        struct sample s;
        const char *files[4];
        sample_init(&s, pool);
        memcpy(files, rows[i].files, sizeof files);
        s.push.files_known = rows[i].known;
        s.push.commit_count = rows[i].commits;
        s.push.added.items = files;
        while (s.push.added.count < 4 && files[s.push.added.count] != NULL) {
            s.push.added.count++;
        }
        check(pool, &s, rows[i].members, rows[i].starts, "paths", rows[i].says);
        /* What was removed counts as well as what was added. */
        s.push.removed = s.push.added;
        s.push.added = (struct git_files){0};
        check(pool, &s, rows[i].members, rows[i].starts, "paths", rows[i].says);
    }
}

static void test_pull_requests_and_releases(void **state)
{
    (void)state;
    static const struct {
        const char *members, *action;
        bool is_release, starts;
        const char *clause;
    } rows[] = {
        {"", "opened", false, false, "events"},
        {"\"events\":[\"pull_request\"]", "opened", false, true, "actions"},
        {"\"events\":[\"pull_request\"]", "updated", false, true, "actions"},
        {"\"events\":[\"pull_request\"]", "closed", false, false, "actions"},
        {"\"events\":[\"pull_request\"],\"actions\":[\"merged\"]", "merged", false, true,
            "actions"},
        {"\"events\":[\"pull_request\"],\"actions\":[\"merged\"]", "opened", false, false,
            "actions"},
        {"\"events\":[\"pull_request\"],\"branches\":[\"main\"]", "opened", false, true, "actions"},
        {"\"events\":[\"pull_request\"],\"branches\":[\"dev\"]", "opened", false, false,
            "branches"},
        {"\"events\":[\"pull_request\"],\"filter\":\"push.pull_request.source_branch == 'topic'\"",
            "opened", false, true, "filter"},
        {"\"events\":[\"release\"]", "published", true, true, "actions"},
        {"\"events\":[\"release\"]", "deleted", true, false, "actions"},
        {"\"events\":[\"release\"],\"tags\":[\"v*\"]", "published", true, true, "actions"},
        {"\"events\":[\"release\"],\"tags\":[\"w*\"]", "published", true, false, "tags"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP(pool_freep) struct pool *pool = pool_new();
        struct sample s;
        sample_init(&s, pool);
        s.pull_request = (struct git_pull_request){.number = 7,
            .action = rows[i].action,
            .title = "t",
            .url = "",
            .author = "ann",
            .source_branch = "topic",
            .target_branch = "main",
            .source_repository = "acme/model",
            .head = SHA_B,
            .base = SHA_A};
        s.release = (struct git_release){
            .action = rows[i].action, .tag = "v1", .name = "one", .target = "main", .url = ""};
        s.message.kind = rows[i].is_release ? HOOK_RELEASE : HOOK_PULL_REQUEST;
        s.message.pull_request = rows[i].is_release ? NULL : &s.pull_request;
        s.message.release = rows[i].is_release ? &s.release : NULL;
        check(pool, &s, rows[i].members, rows[i].starts, rows[i].clause, "");
    }
}

static void test_messages_that_change_nothing(void **state)
{
    (void)state;
    CLEANUP(pool_freep) struct pool *pool = pool_new();
    struct sample s;
    struct git_changes changes;
    sample_init(&s, pool);
    s.message.kind = HOOK_PING;
    git_changes_of(pool, &s.message, &changes);
    assert_int_equal(changes.count, 0);
    s.message.kind = HOOK_OTHER;
    git_changes_of(pool, &s.message, &changes);
    assert_int_equal(changes.count, 0);
    s.message.kind = HOOK_GENERIC;
    git_changes_of(pool, &s.message, &changes);
    assert_int_equal(changes.count, 1);
    assert_int_equal(changes.items[0].kind, GIT_KIND_GENERIC);
    assert_null(changes.items[0].key);
}

static void test_headers(void **state)
{
    (void)state;
    CLEANUP(pool_freep) struct pool *pool = pool_new();
    struct http_fields fields = {0};
    static const char *const kept[] = {
        "X-GitHub-Event", "X-Event-Key", "Idempotency-Key", "webhook-id"};
    static const char *const dropped[] = {"Authorization", "Cookie", "X-Gitlab-Token",
        "X-Hub-Signature-256", "webhook-signature", "X-Api-Key", "X-My-Secret",
        "Proxy-Authorization"};
    for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
        http_fields_add(pool, &fields, kept[i], "v");
    }
    for (size_t i = 0; i < ARRAY_LEN(dropped); i++) {
        http_fields_add(pool, &fields, dropped[i], "v");
    }
    json_t *headers = git_headers_safe(&fields);
    assert_int_equal(json_object_size(headers), ARRAY_LEN(kept));
    assert_string_equal(jget_str(headers, "x-github-event", ""), "v");
    json_decref(headers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_branches_and_people),
        cmocka_unit_test(test_refs),
        cmocka_unit_test(test_skip_ci),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_pull_requests_and_releases),
        cmocka_unit_test(test_messages_that_change_nothing),
        cmocka_unit_test(test_headers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
