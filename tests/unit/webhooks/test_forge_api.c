/* SPDX-License-Identifier: Apache-2.0 */
/* Calls to the forges' APIs, as their documentation has them; and the refs that git tells. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/util.h"
#include "webhooks/in/forge.h"
#include "webhooks/in/forge_api.h"

#define COMMIT "0123456789abcdef0123456789abcdef01234567"
#define OTHER "89abcdef0123456789abcdef0123456789abcdef"

static bool has_header(const struct forge_call *call, const char *line)
{
    for (size_t i = 0; call->headers[i] != NULL; i++) {
        if (strcmp(call->headers[i], line) == 0) {
            return true;
        }
    }
    return false;
}

static struct forge_api api_of(enum forge forge, const char *url, const char *repository)
{
    const char *known = forge_api_url(forge);
    return (struct forge_api){.forge = forge,
        .url = url != NULL ? url : known,
        .repository = repository,
        .token = "s3cret",
        .username = ""};
}

static const struct {
    enum forge forge;
    const char *url, *repository, *path;
    const char *wanted, *header;
} files[] = {
    {FORGE_GITHUB, NULL, "acme/train", "pipelines/a b.yaml",
        "https://api.github.com/repos/acme/train/contents/pipelines/a%20b.yaml?ref=" COMMIT,
        "Authorization: Bearer s3cret"},
    {FORGE_GITHUB, "https://ghe.acme.dev/api/v3", "acme/train", "p.yaml",
        "https://ghe.acme.dev/api/v3/repos/acme/train/contents/p.yaml?ref=" COMMIT,
        "Accept: application/vnd.github.raw+json"},
    {FORGE_GITLAB, NULL, "group/sub/train", "pipelines/p.yaml",
        "https://gitlab.com/api/v4/projects/group%2Fsub%2Ftrain/repository/files/"
        "pipelines%2Fp.yaml/raw?ref=" COMMIT,
        "PRIVATE-TOKEN: s3cret"},
    {FORGE_GITEA, "https://git.acme.dev", "acme/train", "x/p.yaml",
        "https://git.acme.dev/api/v1/repos/acme/train/raw/x/p.yaml?ref=" COMMIT,
        "Authorization: token s3cret"},
    {FORGE_FORGEJO, "https://git.acme.dev", "acme/train", "p#1?.yaml",
        "https://git.acme.dev/api/v1/repos/acme/train/raw/p%231%3F.yaml?ref=" COMMIT,
        "Authorization: token s3cret"},
    {FORGE_GOGS, "http://gogs:3000", "acme/train", "p.yaml",
        "http://gogs:3000/api/v1/repos/acme/train/raw/" COMMIT "/p.yaml",
        "Authorization: token s3cret"},
    {FORGE_BITBUCKET, NULL, "acme/train", "x/p.yaml",
        "https://api.bitbucket.org/2.0/repositories/acme/train/src/" COMMIT "/x/p.yaml",
        "Authorization: Bearer s3cret"},
    {FORGE_BITBUCKET_SERVER, "https://bb.acme.dev", "PRJ/train", "x/p.yaml",
        "https://bb.acme.dev/rest/api/1.0/projects/PRJ/repos/train/raw/x/p.yaml?at=" COMMIT,
        "Authorization: Bearer s3cret"},
    {FORGE_AZURE_DEVOPS, "https://dev.azure.com/acme", "My Project/train", "x/p.yaml",
        "https://dev.azure.com/acme/My%20Project/_apis/git/repositories/train/items?path=x%2Fp.yaml"
        "&versionDescriptor.version=" COMMIT
        "&versionDescriptor.versionType=commit&%24format=octetStream&api-version=7.0",
        "Authorization: Basic OnMzY3JldA=="},
};

static void test_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        struct forge_api api = api_of(files[i].forge, files[i].url, files[i].repository);
        struct forge_call call;
        struct err err = ERR_INIT;
        assert_int_equal(forge_api_file(&api, COMMIT, files[i].path, &call, &err), 0);
        assert_string_equal(call.method, "GET");
        assert_string_equal(call.url, files[i].wanted);
        assert_true(has_header(&call, files[i].header));
        assert_null(call.body);
        forge_call_done(&call);
    }
}

static void test_no_token_and_a_user(void **state)
{
    (void)state;
    struct forge_api api = api_of(FORGE_GITHUB, NULL, "acme/train");
    struct forge_call call;
    struct err err = ERR_INIT;
    api.token = "";
    assert_int_equal(forge_api_file(&api, COMMIT, "p.yaml", &call, &err), 0);
    assert_true(has_header(&call, "Accept: application/vnd.github.raw+json"));
    assert_null(call.headers[1]);
    forge_call_done(&call);
    api = api_of(FORGE_BITBUCKET, NULL, "acme/train");
    api.username = "ann";
    assert_int_equal(forge_api_file(&api, COMMIT, "p.yaml", &call, &err), 0);
    assert_true(has_header(&call, "Authorization: Basic YW5uOnMzY3JldA=="));
    forge_call_done(&call);
}

/* What a message or a careless owner might have put there. */
static const struct {
    const char *repository, *commit, *path, *says;
} refused[] = {
    {"acme/train", COMMIT, "../secret", "single slashes"},
    {"acme/train", COMMIT, "a/./b", "single slashes"},
    {"acme/train", COMMIT, "/etc/passwd", "single slashes"},
    {"acme/train", COMMIT, "a//b", "single slashes"},
    {"acme/train", COMMIT, "a/", "single slashes"},
    {"acme/train", COMMIT, "", "single slashes"},
    {"acme/train", COMMIT, "a\\b", "backslashes"},
    {"acme/train", COMMIT, "a\r\nHost: b", "control characters"},
    {"acme/../../admin", COMMIT, "a", "repository"},
    {"acme", COMMIT, "a", "\"owner/name\""},
    {"acme/", COMMIT, "a", "repository"},
    {"acme/train", "main", "a", "object id"},
    {"acme/train", "0123456789ABCDEF0123456789abcdef01234567", "a", "object id"},
    {"acme/train", "", "a", "object id"},
};

static void test_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        struct forge_api api = api_of(FORGE_GITHUB, NULL, refused[i].repository);
        struct forge_call call;
        struct err err = ERR_INIT;
        assert_int_equal(forge_api_file(&api, refused[i].commit, refused[i].path, &call, &err), -1);
        assert_int_equal(err.code, ERR_INVALID);
        assert_non_null(strstr(err.msg, refused[i].says));
    }
    struct forge_api api = api_of(FORGE_HMAC, "https://acme.dev", "acme/train");
    struct forge_call call;
    struct err err = ERR_INIT;
    assert_int_equal(forge_api_file(&api, COMMIT, "p.yaml", &call, &err), -1);
    assert_non_null(strstr(err.msg, "hmac has no address of a file"));
    assert_int_equal(forge_api_refs(&api, &call, &err), -1);
    char longest[FORGE_FILE_PATH_MAX + 2];
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_int_equal(forge_path_check(longest, &err), -1);
    assert_int_equal(forge_path_check(longest + 1, &err), 0);
}

static const struct {
    enum forge forge;
    const char *url, *repository;
    enum forge_status status;
    const char *target, *wanted, *body;
} statuses[] = {
    {FORGE_GITHUB, NULL, "acme/train", FORGE_STATUS_PENDING, "https://rondo/r/1",
        "https://api.github.com/repos/acme/train/statuses/" COMMIT,
        "{\"state\":\"pending\",\"description\":\"d\",\"context\":\"rondo/t\","
        "\"target_url\":\"https://rondo/r/1\"}"},
    {FORGE_GITHUB, NULL, "acme/train", FORGE_STATUS_CANCELED, "",
        "https://api.github.com/repos/acme/train/statuses/" COMMIT,
        "{\"state\":\"error\",\"description\":\"d\",\"context\":\"rondo/t\"}"},
    {FORGE_GITEA, "http://git", "acme/train", FORGE_STATUS_FAILURE, "",
        "http://git/api/v1/repos/acme/train/statuses/" COMMIT,
        "{\"state\":\"failure\",\"description\":\"d\",\"context\":\"rondo/t\"}"},
    {FORGE_GITLAB, NULL, "g/s/t", FORGE_STATUS_FAILURE, "https://r",
        "https://gitlab.com/api/v4/projects/g%2Fs%2Ft/statuses/" COMMIT,
        "{\"state\":\"failed\",\"description\":\"d\",\"name\":\"rondo/t\",\"target_url\":\"https://"
        "r\"}"},
    {FORGE_BITBUCKET, NULL, "acme/train", FORGE_STATUS_SUCCESS, "https://r",
        "https://api.bitbucket.org/2.0/repositories/acme/train/commit/" COMMIT "/statuses/build",
        "{\"state\":\"SUCCESSFUL\",\"description\":\"d\",\"key\":\"rondo/t\",\"name\":\"rondo/t\","
        "\"url\":\"https://r\"}"},
    {FORGE_BITBUCKET_SERVER, "https://bb", "P/t", FORGE_STATUS_PENDING, "https://r",
        "https://bb/rest/build-status/1.0/commits/" COMMIT,
        "{\"state\":\"INPROGRESS\",\"description\":\"d\",\"key\":\"rondo/t\",\"name\":\"rondo/t\","
        "\"url\":\"https://r\"}"},
    {FORGE_AZURE_DEVOPS, "https://dev.azure.com/acme", "P/t", FORGE_STATUS_SUCCESS, "",
        "https://dev.azure.com/acme/P/_apis/git/repositories/t/commits/" COMMIT
        "/statuses?api-version=7.0",
        "{\"state\":\"succeeded\",\"description\":\"d\",\"context\":{\"name\":\"rondo/t\","
        "\"genre\":\"rondo\"}}"},
};

static void test_statuses(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
        struct forge_api api = api_of(statuses[i].forge, statuses[i].url, statuses[i].repository);
        struct forge_call call;
        struct err err = ERR_INIT;
        assert_int_equal(forge_api_status(&api, COMMIT, statuses[i].status, "rondo/t", "d",
                             statuses[i].target, &call, &err),
            0);
        assert_string_equal(call.method, "POST");
        assert_string_equal(call.url, statuses[i].wanted);
        json_t *body = json_loads(call.body, 0, NULL),
               *wanted = json_loads(statuses[i].body, 0, NULL);
        assert_true(wanted != NULL && json_equal(body, wanted));
        json_decref(body);
        json_decref(wanted);
        assert_true(has_header(&call, "Content-Type: application/json"));
        forge_call_done(&call);
    }
}

static void test_status_refused(void **state)
{
    (void)state;
    struct forge_api api = api_of(FORGE_BITBUCKET, NULL, "acme/train");
    struct forge_call call;
    struct err err = ERR_INIT;
    assert_int_equal(
        forge_api_status(&api, COMMIT, FORGE_STATUS_PENDING, "c", "d", "", &call, &err), -1);
    assert_non_null(strstr(err.msg, "--public-url"));
    api = api_of(FORGE_GOGS, "http://gogs", "acme/train");
    assert_int_equal(
        forge_api_status(&api, COMMIT, FORGE_STATUS_PENDING, "c", "d", "", &call, &err), -1);
    assert_non_null(strstr(err.msg, "gogs has no commit status"));
    assert_false(forge_has_statuses(FORGE_GOGS));
    /* Long descriptions are cut between characters. */
    api = api_of(FORGE_GITHUB, NULL, "acme/train");
    struct buf text;
    buf_init(&text, 400);
    for (int i = 0; i < 60; i++) {
        buf_adds(&text, "\xe2\x82\xac\xc3\xa9"); /* 5 bytes */
    }
    assert_int_equal(
        forge_api_status(&api, COMMIT, FORGE_STATUS_PENDING, "c", buf_str(&text), "", &call, &err),
        0);
    assert_non_null(strstr(call.body, "\xc3\xa9\",\"state\""));
    forge_call_done(&call);
    buf_done(&text);
}

static const struct {
    enum forge forge;
    const char *url, *repository, *wanted;
} lists[] = {
    {FORGE_GITHUB, NULL, "acme/train", "https://github.com/acme/train.git"},
    {FORGE_GITHUB, "https://ghe/api/v3", "acme/train", "https://ghe/acme/train.git"},
    {FORGE_GITHUB, "http://127.0.0.1:1", "acme/train", "http://127.0.0.1:1/acme/train.git"},
    {FORGE_GITLAB, NULL, "g/s/t", "https://gitlab.com/g/s/t.git"},
    {FORGE_GITEA, "https://git", "acme/train", "https://git/acme/train.git"},
    {FORGE_GOGS, "https://git", "acme/train", "https://git/acme/train.git"},
    {FORGE_BITBUCKET, NULL, "acme/train", "https://bitbucket.org/acme/train.git"},
    {FORGE_BITBUCKET_SERVER, "https://bb", "P/t", "https://bb/scm/P/t.git"},
    {FORGE_AZURE_DEVOPS, "https://dev.azure.com/acme", "P/t",
        "https://dev.azure.com/acme/P/_git/t"},
};

static void test_addresses_of_refs(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        struct forge_api api = api_of(lists[i].forge, lists[i].url, lists[i].repository);
        struct forge_call call;
        struct err err = ERR_INIT;
        char wanted[256];
        snprintf(wanted, sizeof wanted, "%s/info/refs?service=git-upload-pack", lists[i].wanted);
        assert_int_equal(forge_api_refs(&api, &call, &err), 0);
        assert_string_equal(call.url, wanted);
        forge_call_done(&call);
    }
}

#define SERVICE "001e# service=git-upload-pack\n0000"

static int parse(const char *text, size_t len, struct git_refs *refs, struct err *err)
{
    *err = (struct err)ERR_INIT;
    return git_refs_parse(text, len, refs, err);
}

static void add_line(struct buf *out, const char *line, size_t len)
{
    buf_addf(out, "%04zx", len + 4);
    buf_add(out, line, len);
}

static void test_refs(void **state)
{
    (void)state;
    struct buf text;
    struct git_refs refs;
    struct err err;
    buf_init(&text, 4096);
    buf_adds(&text, SERVICE);
    static const char first[] = COMMIT " HEAD\0multi_ack symref=HEAD:refs/heads/main\n";
    add_line(&text, first, sizeof first - 1);
    static const char *const lines[] = {COMMIT " refs/heads/feature/x\n", COMMIT " refs/heads/main",
        OTHER " refs/pull/7/head\n", OTHER " refs/tags/v1\n", COMMIT " refs/tags/v1^{}\n",
        COMMIT " refs/tags/v2\n"};
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        add_line(&text, lines[i], strlen(lines[i]));
    }
    buf_adds(&text, "0000");
    assert_int_equal(parse(buf_str(&text), text.len, &refs, &err), 0);
    assert_int_equal(refs.count, 4);
    assert_string_equal(refs.items[0].name, "refs/heads/feature/x");
    assert_string_equal(refs.items[1].name, "refs/heads/main");
    assert_string_equal(refs.items[1].id, COMMIT);
    assert_null(refs.items[1].peeled);
    assert_string_equal(refs.items[2].name, "refs/tags/v1");
    assert_string_equal(refs.items[2].id, OTHER);
    assert_string_equal(refs.items[2].peeled, COMMIT);
    assert_string_equal(refs.items[3].name, "refs/tags/v2");
    assert_null(refs.items[3].peeled);
    git_refs_done(&refs);
    /* Cut off anywhere it is no list. */
    for (size_t len = 0; len < text.len; len++) {
        assert_int_equal(parse(buf_str(&text), len, &refs, &err), -1);
    }
    buf_done(&text);
}

static void test_refs_of_an_empty_repository(void **state)
{
    (void)state;
    struct git_refs refs;
    struct err err;
    struct buf text;
    buf_init(&text, 4096);
    static const char line[] =
        "0000000000000000000000000000000000000000 capabilities^{}\0agent=git/2\n";
    buf_adds(&text, SERVICE);
    add_line(&text, line, sizeof line - 1);
    buf_adds(&text, "0000");
    assert_int_equal(parse(buf_str(&text), text.len, &refs, &err), 0);
    assert_int_equal(refs.count, 0);
    git_refs_done(&refs);
    buf_done(&text);
}

static const struct {
    const char *text, *says;
} spoilt[] = {
    {"", "as git sends it"},
    {"<html>log in</html>", "as git sends it"},
    {"0000", "smart HTTP"},
    {"0008ERR 0000", "smart HTTP"},
    {"001e# service=git-receive-pac\n0000", "smart HTTP"},
    {"001e# service=git-upload-pack\n0008abcd0000", "flush"},
    {SERVICE "0003", "cut off"},
    {SERVICE "ffff", "cut off"},
    {SERVICE "0008abcd0000", "object id"},
    {SERVICE "0030" COMMIT "x abc"
             "0000",
        "object id"},
    {SERVICE "0032"
             "0123456789ABCDEF0123456789abcdef01234567 HEAD\n"
             "0000",
        "object id"},
    {SERVICE, "as git sends it"},
};

static void test_refs_spoilt(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(spoilt); i++) {
        struct git_refs refs;
        struct err err;
        assert_int_equal(parse(spoilt[i].text, strlen(spoilt[i].text), &refs, &err), -1);
        assert_int_equal(err.code, ERR_INVALID);
        if (strstr(err.msg, spoilt[i].says) == NULL) {
            fail_msg("row %zu: %s", i, err.msg);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_no_token_and_a_user),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_statuses),
        cmocka_unit_test(test_status_refused),
        cmocka_unit_test(test_addresses_of_refs),
        cmocka_unit_test(test_refs),
        cmocka_unit_test(test_refs_of_an_empty_repository),
        cmocka_unit_test(test_refs_spoilt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
