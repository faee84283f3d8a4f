/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is sent to the forges' APIs. The addresses are those of their documentation: GitHub REST
 * 2022-11-28, GitLab v4, Gitea and Forgejo v1, Gogs v1, Bitbucket Cloud 2.0, Bitbucket Data Center
 * rest/api/1.0 and rest/build-status/1.0, Azure DevOps 7.0.
 */
#include "webhooks/in/forge_api.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/http_msg.h"
#include "base/json.h"
#include "base/secret.h"
#include "base/util.h"
#include "webhooks/in/forge.h"

#define URL_MAX 8192
#define DESCRIPTION_MAX 140 /* GitHub's */
#define REF_HEX "0123456789abcdef"

const char *forge_api_url(enum forge forge)
{
    switch (forge) {
    case FORGE_GITHUB:
        return "https://api.github.com";
    case FORGE_GITLAB:
        return "https://gitlab.com";
    case FORGE_BITBUCKET:
        return "https://api.bitbucket.org";
    default:
        return NULL;
    }
}

bool forge_has_statuses(enum forge forge)
{
    switch (forge) {
    case FORGE_GITHUB:
    case FORGE_GITLAB:
    case FORGE_GITEA:
    case FORGE_FORGEJO:
    case FORGE_BITBUCKET:
    case FORGE_BITBUCKET_SERVER:
    case FORGE_AZURE_DEVOPS:
        return true;
    default: /* Gogs has none */
        return false;
    }
}

bool forge_status_needs_url(enum forge forge)
{
    return forge == FORGE_BITBUCKET || forge == FORGE_BITBUCKET_SERVER;
}

void forge_call_done(struct forge_call *call)
{
    for (size_t i = 0; i < ARRAY_LEN(call->headers) && call->headers[i] != NULL; i++) {
        explicit_bzero(call->headers[i], strlen(call->headers[i]));
        free(call->headers[i]);
    }
    free(call->url);
    free(call->body);
    memset(call, 0, sizeof *call);
}

/* ---- names that become part of an address ---- */

/* Every segment is encoded; one that is empty, "." or ".." would lead elsewhere. */
static int segments_check(const char *path, const char *what, struct err *err)
{
    const char *at = path;
    for (;;) {
        size_t len = strcspn(at, "/");
        if (len == 0 || (len == 1 && at[0] == '.') || (len == 2 && at[0] == '.' && at[1] == '.')) {
            return err_set(err, ERR_INVALID,
                "%s: '%.200s' must be names with single slashes between them, without '.' and '..'",
                what, path);
        }
        if (at[len] == '\0') {
            return 0;
        }
        at += len + 1;
    }
}

int forge_path_check(const char *path, struct err *err)
{
    if (strlen(path) > FORGE_FILE_PATH_MAX) {
        return err_set(err, ERR_INVALID, "file: longer than %d bytes", FORGE_FILE_PATH_MAX);
    }
    for (const char *c = path; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f || *c == '\\') {
            return err_set(err, ERR_INVALID,
                "file: control characters and backslashes cannot be in the path of a file");
        }
    }
    return segments_check(path, "file", err);
}

static int commit_check(const char *commit, struct err *err)
{
    size_t len = strlen(commit);
    if ((len != 40 && len != 64) || commit[strspn(commit, REF_HEX)] != '\0') {
        return err_set(
            err, ERR_INVALID, "commit: '%.80s' is not an object id of 40 or 64 hex digits", commit);
    }
    return 0;
}

/* "a b/c" -> "a%20b/c" */
static void add_path(struct buf *out, const char *path)
{
    CLEANUP(cleanup_free) char *copy = xstrdup(path);
    char *rest = copy, *segment;
    bool is_first = true;
    while ((segment = strsep(&rest, "/")) != NULL) {
        if (!is_first) {
            buf_addc(out, '/');
        }
        is_first = false;
        http_encode(out, segment);
    }
}

/* Of "owner/name" the first and the rest. Azure's projects and Data Center's keys are the first. */
static int split_repository(const struct forge_api *api, char **first, char **rest, struct err *err)
{
    const char *slash = strchr(api->repository, '/');
    if (segments_check(api->repository, "repository", err) != 0) {
        return -1;
    }
    if (slash == NULL) {
        return err_set(
            err, ERR_INVALID, "repository: '%.200s' must be \"owner/name\"", api->repository);
    }
    *first = xasprintf("%.*s", (int)(slash - api->repository), api->repository);
    *rest = xstrdup(slash + 1);
    return 0;
}

/* ---- authentication ---- */

static void add_header(struct forge_call *call, char *line)
{
    for (size_t i = 0; i + 1 < ARRAY_LEN(call->headers); i++) {
        if (call->headers[i] == NULL) {
            call->headers[i] = line;
            return;
        }
    }
    free(line);
}

static void add_basic(struct forge_call *call, const char *username, const char *token)
{
    char *pair = xasprintf("%s:%s", username, token);
    char *text = base64_encode(pair, strlen(pair));
    add_header(call, xasprintf("Authorization: Basic %s", text));
    explicit_bzero(pair, strlen(pair));
    explicit_bzero(text, strlen(text));
    free(pair);
    free(text);
}

static void add_token(const struct forge_api *api, struct forge_call *call)
{
    if (api->token[0] == '\0') {
        return;
    }
    if (api->username[0] != '\0') {
        add_basic(call, api->username, api->token);
        return;
    }
    switch (api->forge) {
    case FORGE_GITLAB:
        add_header(call, xasprintf("PRIVATE-TOKEN: %s", api->token));
        break;
    case FORGE_GITEA:
    case FORGE_FORGEJO:
    case FORGE_GOGS:
        add_header(call, xasprintf("Authorization: token %s", api->token));
        break;
    case FORGE_AZURE_DEVOPS: /* the user's name may be anything; none is usual */
        add_basic(call, "", api->token);
        break;
    default:
        add_header(call, xasprintf("Authorization: Bearer %s", api->token));
    }
}

/* Git's own protocol knows Basic only; this is what each forge wants as the user's name. */
static void add_git_token(const struct forge_api *api, struct forge_call *call)
{
    if (api->token[0] == '\0') {
        return;
    }
    const char *user = api->username;
    if (user[0] == '\0') {
        switch (api->forge) {
        case FORGE_GITLAB:
            user = "oauth2";
            break;
        case FORGE_BITBUCKET:
            user = "x-token-auth";
            break;
        case FORGE_BITBUCKET_SERVER:
            add_header(call, xasprintf("Authorization: Bearer %s", api->token));
            return;
        case FORGE_AZURE_DEVOPS:
            break;
        default:
            user = "x-access-token";
        }
    }
    add_basic(call, user, api->token);
}

/* ---- addresses ---- */

static int finish(struct buf *url, struct forge_call *out, struct err *err)
{
    if (buf_check(url, "url", err) != 0) {
        buf_done(url);
        forge_call_done(out);
        return -1;
    }
    out->url = buf_steal(url, NULL);
    return 0;
}

static int has_none(const struct forge_api *api, const char *what, struct err *err)
{
    return err_set(
        err, ERR_INVALID, "forge: %s has no %s that rondo knows of", forge_name(api->forge), what);
}

int forge_api_file(const struct forge_api *api, const char *commit, const char *path,
    struct forge_call *out, struct err *err)
{
    CLEANUP(cleanup_free) char *first = NULL, *rest = NULL;
    memset(out, 0, sizeof *out);
    if (commit_check(commit, err) != 0 || forge_path_check(path, err) != 0 ||
        split_repository(api, &first, &rest, err) != 0) {
        return -1;
    }
    struct buf url;
    buf_init(&url, URL_MAX);
    buf_adds(&url, api->url);
    const char *accept = "application/octet-stream";
    switch (api->forge) {
    case FORGE_GITHUB:
        buf_adds(&url, "/repos/");
        add_path(&url, api->repository);
        buf_adds(&url, "/contents/");
        add_path(&url, path);
        buf_addf(&url, "?ref=%s", commit);
        accept = "application/vnd.github.raw+json";
        break;
    case FORGE_GITLAB:
        buf_adds(&url, "/api/v4/projects/");
        http_encode(&url, api->repository);
        buf_adds(&url, "/repository/files/");
        http_encode(&url, path);
        buf_addf(&url, "/raw?ref=%s", commit);
        break;
    case FORGE_GITEA:
    case FORGE_FORGEJO:
        buf_adds(&url, "/api/v1/repos/");
        add_path(&url, api->repository);
        buf_adds(&url, "/raw/");
        add_path(&url, path);
        buf_addf(&url, "?ref=%s", commit);
        break;
    case FORGE_GOGS:
        buf_adds(&url, "/api/v1/repos/");
        add_path(&url, api->repository);
        buf_addf(&url, "/raw/%s/", commit);
        add_path(&url, path);
        break;
    case FORGE_BITBUCKET:
        buf_adds(&url, "/2.0/repositories/");
        add_path(&url, api->repository);
        buf_addf(&url, "/src/%s/", commit);
        add_path(&url, path);
        break;
    case FORGE_BITBUCKET_SERVER:
        buf_adds(&url, "/rest/api/1.0/projects/");
        http_encode(&url, first);
        buf_adds(&url, "/repos/");
        http_encode(&url, rest);
        buf_adds(&url, "/raw/");
        add_path(&url, path);
        buf_addf(&url, "?at=%s", commit);
        break;
    case FORGE_AZURE_DEVOPS:
        buf_addc(&url, '/');
        http_encode(&url, first);
        buf_adds(&url, "/_apis/git/repositories/");
        http_encode(&url, rest);
        buf_adds(&url, "/items?path=");
        http_encode(&url, path);
        buf_addf(&url,
            "&versionDescriptor.version=%s&versionDescriptor.versionType=commit"
            "&%%24format=octetStream&api-version=7.0",
            commit);
        break;
    default:
        buf_done(&url);
        return has_none(api, "address of a file", err);
    }
    out->method = "GET";
    add_header(out, xasprintf("Accept: %s", accept));
    add_token(api, out);
    return finish(&url, out, err);
}

/* ---- statuses ---- */

static const char *status_word(enum forge forge, enum forge_status status)
{
    static const char *const words[][4] = {
        /* pending, success, failure, canceled */
        {"pending", "success", "failure", "error"},          /* GitHub, Gitea, Forgejo */
        {"running", "success", "failed", "canceled"},        /* GitLab */
        {"INPROGRESS", "SUCCESSFUL", "FAILED", "STOPPED"},   /* Bitbucket Cloud */
        {"INPROGRESS", "SUCCESSFUL", "FAILED", "CANCELLED"}, /* Data Center */
        {"pending", "succeeded", "failed", "error"},         /* Azure DevOps */
    };
    size_t row = forge == FORGE_GITLAB             ? 1
                 : forge == FORGE_BITBUCKET        ? 2
                 : forge == FORGE_BITBUCKET_SERVER ? 3
                 : forge == FORGE_AZURE_DEVOPS     ? 4
                                                   : 0;
    return words[row][status];
}

/* No half characters. */
static char *clip(const char *text)
{
    size_t len = 0, all = strlen(text), step;
    while (len < all && (step = utf8_step(text + len, all - len)) > 0 &&
           len + step <= DESCRIPTION_MAX) {
        len += step;
    }
    return xasprintf("%.*s", (int)len, text);
}

static json_t *status_body(const struct forge_api *api, enum forge_status status,
    const char *context, const char *description, const char *target_url)
{
    const char *word = status_word(api->forge, status);
    json_t *body = json_pack("{s:s,s:s}", "state", word, "description", description);
    switch (api->forge) {
    case FORGE_GITLAB:
        json_object_set_new(body, "name", json_string(context));
        jset_str(body, "target_url", target_url);
        break;
    case FORGE_BITBUCKET:
    case FORGE_BITBUCKET_SERVER:
        json_object_set_new(body, "key", json_string(context));
        json_object_set_new(body, "name", json_string(context));
        jset_str(body, "url", target_url);
        break;
    case FORGE_AZURE_DEVOPS:
        json_object_set_new(
            body, "context", json_pack("{s:s,s:s}", "name", context, "genre", "rondo"));
        jset_str(body, "targetUrl", target_url);
        break;
    default:
        json_object_set_new(body, "context", json_string(context));
        jset_str(body, "target_url", target_url);
    }
    return body;
}

int forge_api_status(const struct forge_api *api, const char *commit, enum forge_status status,
    const char *context, const char *description, const char *target_url, struct forge_call *out,
    struct err *err)
{
    CLEANUP(cleanup_free) char *first = NULL, *rest = NULL;
    memset(out, 0, sizeof *out);
    if (commit_check(commit, err) != 0 || split_repository(api, &first, &rest, err) != 0) {
        return -1;
    }
    if (forge_status_needs_url(api->forge) && target_url[0] == '\0') {
        return err_set(err, ERR_INVALID,
            "%s takes no status without a link: start rondod with --public-url",
            forge_name(api->forge));
    }
    struct buf url;
    buf_init(&url, URL_MAX);
    buf_adds(&url, api->url);
    switch (api->forge) {
    case FORGE_GITHUB:
    case FORGE_GITEA:
    case FORGE_FORGEJO:
        buf_adds(&url, api->forge == FORGE_GITHUB ? "/repos/" : "/api/v1/repos/");
        add_path(&url, api->repository);
        buf_addf(&url, "/statuses/%s", commit);
        break;
    case FORGE_GITLAB:
        buf_adds(&url, "/api/v4/projects/");
        http_encode(&url, api->repository);
        buf_addf(&url, "/statuses/%s", commit);
        break;
    case FORGE_BITBUCKET:
        buf_adds(&url, "/2.0/repositories/");
        add_path(&url, api->repository);
        buf_addf(&url, "/commit/%s/statuses/build", commit);
        break;
    case FORGE_BITBUCKET_SERVER:
        buf_addf(&url, "/rest/build-status/1.0/commits/%s", commit);
        break;
    case FORGE_AZURE_DEVOPS:
        buf_addc(&url, '/');
        http_encode(&url, first);
        buf_adds(&url, "/_apis/git/repositories/");
        http_encode(&url, rest);
        buf_addf(&url, "/commits/%s/statuses?api-version=7.0", commit);
        break;
    default:
        buf_done(&url);
        return has_none(api, "commit status", err);
    }
    CLEANUP(cleanup_free) char *clipped = clip(description);
    CLEANUP(json_decrefp)
    json_t *body = status_body(api, status, context, clipped, target_url);
    out->method = "POST";
    out->body = jtext(body);
    add_header(out, xstrdup("Content-Type: application/json"));
    add_header(out, xstrdup("Accept: application/json"));
    add_token(api, out);
    return finish(&url, out, err);
}

/* ---- refs ---- */

/* Where git itself is, from where the API is. */
static int git_base(const struct forge_api *api, struct buf *url, struct err *err)
{
    static const char github_api[] = "https://api.github.com",
                      bitbucket_api[] = "https://api.bitbucket.org";
    static const char enterprise[] = "/api/v3";
    size_t len = strlen(api->url);
    CLEANUP(cleanup_free) char *first = NULL, *rest = NULL;
    if (split_repository(api, &first, &rest, err) != 0) {
        return -1;
    }
    switch (api->forge) {
    case FORGE_GITHUB:
        if (strcmp(api->url, github_api) == 0) {
            buf_adds(url, "https://github.com");
        } else if (len > strlen(enterprise) &&
                   strcmp(api->url + len - strlen(enterprise), enterprise) == 0) {
            buf_add(url, api->url, len - strlen(enterprise));
        } else {
            buf_adds(url, api->url);
        }
        break;
    case FORGE_BITBUCKET:
        buf_adds(url, strcmp(api->url, bitbucket_api) == 0 ? "https://bitbucket.org" : api->url);
        break;
    case FORGE_BITBUCKET_SERVER:
        buf_addf(url, "%s/scm", api->url);
        break;
    case FORGE_AZURE_DEVOPS:
        buf_addf(url, "%s/", api->url);
        http_encode(url, first);
        buf_adds(url, "/_git/");
        http_encode(url, rest);
        return 0;
    case FORGE_GITLAB:
    case FORGE_GITEA:
    case FORGE_FORGEJO:
    case FORGE_GOGS:
        buf_adds(url, api->url);
        break;
    default:
        return has_none(api, "repository", err);
    }
    buf_addc(url, '/');
    add_path(url, api->repository);
    buf_adds(url, ".git");
    return 0;
}

int forge_api_refs(const struct forge_api *api, struct forge_call *out, struct err *err)
{
    struct buf url;
    memset(out, 0, sizeof *out);
    buf_init(&url, URL_MAX);
    if (git_base(api, &url, err) != 0) {
        buf_done(&url);
        return -1;
    }
    buf_adds(&url, "/info/refs?service=git-upload-pack");
    out->method = "GET";
    add_header(out, xstrdup("Accept: application/x-git-upload-pack-advertisement, */*"));
    add_git_token(api, out);
    return finish(&url, out, err);
}
