/* SPDX-License-Identifier: Apache-2.0 */
#include "webhooks/in/git_remote.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/util.h"
#include "webhooks/egress.h"
#include "webhooks/in/forge.h"

#define TOKEN_MAX 4096
#define USERNAME_MAX 256
#define CONNECT_TIMEOUT_MS 5000
#define CALL_TIMEOUT_MS 30000

/* ---- members ---- */

static bool is_line(const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++) {
        if (*c < 0x20 || *c == 0x7f) {
            return false;
        }
    }
    return true;
}

static int check_url(const char *url, struct err *err)
{
    CLEANUP(cleanup_free) char *host = NULL;
    if (egress_url_host(url, &host, err) != 0) {
        return err_wrap(err, "api.url");
    }
    if (url[strcspn(url, "?#")] != '\0' || url[strlen(url) - 1] == '/') {
        return err_set(err, ERR_INVALID,
            "api.url: leave out what begins with '?' or '#', and the slash at the end");
    }
    return 0;
}

static int read_api(const json_t *record, struct forge_api *api, bool is_needed, struct err *err)
{
    static const char *const known[] = {"url", "token", "username", NULL};
    const json_t *object = NULL;
    api->url = forge_api_url(api->forge);
    api->token = api->username = "";
    if (jread_object(record, "", "api", &object, err) != 0) {
        return -1;
    }
    if (object != NULL && (jread_only(object, "api", known, err) != 0 ||
                              jread_string(object, "api", "url", &api->url, err) != 0 ||
                              jread_string(object, "api", "token", &api->token, err) != 0 ||
                              jread_string(object, "api", "username", &api->username, err) != 0)) {
        return -1;
    }
    if (strlen(api->token) > TOKEN_MAX || strlen(api->username) > USERNAME_MAX ||
        !is_line(api->token) || !is_line(api->username)) {
        return err_set(err, ERR_INVALID,
            "api.token, api.username: at most %d and %d bytes, without control characters",
            TOKEN_MAX, USERNAME_MAX);
    }
    if (api->url == NULL && is_needed) {
        return err_set(err, ERR_INVALID,
            "api.url: missing; %s has no address of its own, so say where it is, such as "
            "\"https://git.example.com\"",
            forge_name(api->forge));
    }
    return api->url != NULL ? check_url(api->url, err) : 0;
}

static int check_place(enum forge forge, const char *repository, struct err *err)
{
    if (forge < FORGE_GITHUB || forge > FORGE_AZURE_DEVOPS) {
        return err_set(err, ERR_INVALID,
            "forge: file, commit_status and poll_s need one that is named, such as \"github\"; "
            "%s has no API to call",
            forge_name(forge));
    }
    if (repository == NULL || strpbrk(repository, "*?[]") != NULL ||
        strchr(repository, '/') == NULL) {
        return err_set(err, ERR_INVALID,
            "repository: file, commit_status and poll_s need exactly one, \"owner/name\"");
    }
    return 0;
}

static int check_status(const struct git_remote *remote, struct err *err)
{
    if (remote->posts_status && !forge_has_statuses(remote->api.forge)) {
        return err_set(err, ERR_INVALID, "commit_status: %s has no commit statuses",
            forge_name(remote->api.forge));
    }
    if (strlen(remote->status_context) > GIT_STATUS_CONTEXT_MAX ||
        !is_line(remote->status_context)) {
        return err_set(err, ERR_INVALID,
            "status_context: at most %d bytes, without control characters", GIT_STATUS_CONTEXT_MAX);
    }
    return 0;
}

int git_remote_read(const json_t *record, enum forge forge, const char *repository,
    struct git_remote *out, struct err *err)
{
    *out = (struct git_remote){
        .api = {.forge = forge, .repository = repository}, .status_context = ""};
    if (jread_string(record, "", "file", &out->file, err) != 0 ||
        jread_bool(record, "", "commit_status", &out->posts_status, err) != 0 ||
        jread_string(record, "", "status_context", &out->status_context, err) != 0 ||
        jread_i64(record, "", "poll_s", 0, GIT_POLL_MAX_S, &out->poll_s, err) != 0) {
        return -1;
    }
    if (out->file != NULL && json_is_string(json_object_get(record, "version_id"))) {
        return err_set(err, ERR_INVALID,
            "file, version_id: give one of them; a file is a new version at each commit");
    }
    if (out->poll_s > 0 && out->poll_s < GIT_POLL_MIN_S) {
        return err_set(
            err, ERR_INVALID, "poll_s: 0 for never, or %d to %d", GIT_POLL_MIN_S, GIT_POLL_MAX_S);
    }
    bool is_needed = out->file != NULL || out->posts_status || out->poll_s > 0;
    if ((out->file != NULL && forge_path_check(out->file, err) != 0) ||
        (is_needed && check_place(forge, repository, err) != 0)) {
        return -1;
    }
    return read_api(record, &out->api, is_needed, err) != 0 ? -1 : check_status(out, err);
}

void git_remote_hide(json_t *record)
{
    const json_t *api = json_object_get(record, "api");
    if (api == NULL) {
        return;
    }
    json_t *shown = json_copy((json_t *)api);
    json_object_set_new(shown, "has_token", json_boolean(jget_str(api, "token", "")[0] != '\0'));
    json_object_del(shown, "token");
    json_object_set_new(record, "api", shown);
}

/* ---- calls ---- */

struct git_remote_call {
    const struct egress *egress;
    char *host;
    struct http_call *call;
    http_done_fn *done;
    void *owner;
};

static void call_free(struct git_remote_call *c)
{
    free(c->host);
    free(c);
}

static int check_address(void *owner, const struct sockaddr *addr, struct err *err)
{
    const struct git_remote_call *c = owner;
    return egress_check_address(c->egress, c->host, addr, err);
}

static void on_answer(void *owner, const struct http_reply *reply, const struct err *err)
{
    struct git_remote_call *c = owner;
    http_done_fn *done = c->done;
    void *whose = c->owner;
    call_free(c);
    done(whose, reply, err);
}

struct git_remote_call *git_remote_start(struct http_client *http, const struct egress *egress,
    const struct forge_call *call, size_t max_body, http_done_fn *done, void *owner,
    struct err *err)
{
    char *host = NULL;
    if (egress_check_url(egress, call->url, err) != 0 ||
        egress_url_host(call->url, &host, err) != 0) {
        return NULL;
    }
    struct git_remote_call *c = xcalloc(1, sizeof *c);
    *c = (struct git_remote_call){.egress = egress, .host = host, .done = done, .owner = owner};
    const char *headers[ARRAY_LEN(call->headers) + 1] = {"User-Agent: rondo/" RONDO_VERSION};
    for (size_t i = 0; i < ARRAY_LEN(call->headers) && call->headers[i] != NULL; i++) {
        headers[i + 1] = call->headers[i];
    }
    struct http_call_spec spec = {
        .method = call->method,
        .url = call->url,
        .headers = headers,
        .body = call->body,
        .body_len = call->body != NULL ? strlen(call->body) : 0,
        .connect_timeout_ms = CONNECT_TIMEOUT_MS,
        .timeout_ms = CALL_TIMEOUT_MS,
        .max_body = max_body,
        .fresh_connection = true,
        .check_address = check_address,
    };
    c->call = http_call_start(http, &spec, on_answer, c);
    return c;
}

void git_remote_cancel(struct git_remote_call *c)
{
    if (c != NULL) {
        http_call_cancel(c->call);
        call_free(c);
    }
}
