/* SPDX-License-Identifier: Apache-2.0 */
/* The API client: one blocking libcurl request at a time. */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/cli/cli.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/util.h"

#define REPLY_MAX (64 * 1024 * 1024)
#define PAGE "200"
#define CONNECT_TIMEOUT_MS 5000L
#define TIMEOUT_MS 60000L

struct exchange {
    CURL *curl;
    struct curl_slist *headers;
    struct buf reply;
    char error[CURL_ERROR_SIZE];
    long status;
};

static size_t on_body(char *data, size_t size, size_t count, void *owner)
{
    return buf_add(owner, data, size * count) == 0 ? size * count : 0;
}

static void exchange_init(struct exchange *x, const struct cli *cli, const char *path)
{
    memset(x, 0, sizeof *x);
    x->curl = curl_easy_init();
    buf_init(&x->reply, REPLY_MAX);
    size_t host_len = strlen(cli->host);
    while (host_len > 0 && cli->host[host_len - 1] == '/') {
        host_len--;
    }
    CLEANUP(cleanup_free) char *url = xasprintf("%.*s%s", (int)host_len, cli->host, path);
    curl_easy_setopt(x->curl, CURLOPT_URL, url);
    curl_easy_setopt(x->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(x->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(x->curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
    curl_easy_setopt(x->curl, CURLOPT_TIMEOUT_MS, TIMEOUT_MS);
    curl_easy_setopt(x->curl, CURLOPT_ERRORBUFFER, x->error);
    curl_easy_setopt(x->curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(x->curl, CURLOPT_WRITEDATA, &x->reply);
    curl_easy_setopt(x->curl, CURLOPT_USERAGENT, "rondo/" RONDO_VERSION);
    if (cli->token != NULL) {
        CLEANUP(cleanup_free) char *line = xasprintf("Authorization: Bearer %s", cli->token);
        x->headers = curl_slist_append(x->headers, line);
    }
}

static void exchange_done(struct exchange *x)
{
    curl_slist_free_all(x->headers);
    curl_easy_cleanup(x->curl);
    buf_done(&x->reply);
}

static const char *error_text(const json_t *reply)
{
    const json_t *detail = json_array_get(json_object_get(reply, "details"), 0);
    const char *text = jget_str(detail, "message", NULL);
    text = text != NULL ? text : jget_str(reply, "message", NULL);
    return text != NULL ? text : jget_str(reply, "error_message", NULL);
}

static enum err_code code_of_status(long status)
{
    return status == 404   ? ERR_NOT_FOUND
           : status == 409 ? ERR_EXISTS
           : status == 401 ? ERR_UNAUTHENTICATED
           : status == 403 ? ERR_DENIED
           : status >= 500 ? ERR_TRANSIENT
                           : ERR_INVALID;
}

static int exchange_run(struct exchange *x, const struct cli *cli, struct err *err)
{
    curl_easy_setopt(x->curl, CURLOPT_HTTPHEADER, x->headers);
    CURLcode rc = curl_easy_perform(x->curl);
    if (rc != CURLE_OK) {
        return err_set(err, ERR_TRANSIENT,
            "cannot reach the daemon at %s: %s; is rondod running? (--host, RONDO_HOST)", cli->host,
            x->error[0] != '\0' ? x->error : curl_easy_strerror(rc));
    }
    curl_easy_getinfo(x->curl, CURLINFO_RESPONSE_CODE, &x->status);
    if (x->status >= 200 && x->status < 300) {
        return 0;
    }
    json_t *reply = json_loadb(buf_str(&x->reply), x->reply.len, 0, NULL);
    const char *text = error_text(reply);
    err_set(err, code_of_status(x->status), "%s",
        text != NULL       ? text
        : x->reply.len > 0 ? buf_str(&x->reply)
                           : "the daemon refused");
    json_decref(reply);
    return -1;
}

static json_t *exchange_json(struct exchange *x, struct err *err)
{
    if (x->reply.len == 0) {
        return json_object();
    }
    json_t *reply = jread_text(buf_str(&x->reply), x->reply.len, "the daemon's reply", err);
    if (reply == NULL) {
        err->code = ERR_INTERNAL; /* its mistake, not the user's */
    }
    return reply;
}

json_t *client_json(const struct cli *cli, const char *method, const char *path, const json_t *body,
    struct err *err)
{
    struct exchange x;
    exchange_init(&x, cli, path);
    CLEANUP(cleanup_free) char *text = body != NULL ? jtext(body) : NULL;
    curl_easy_setopt(x.curl, CURLOPT_CUSTOMREQUEST, method);
    if (text != NULL || strcmp(method, "POST") == 0) {
        x.headers = curl_slist_append(x.headers, "Content-Type: application/json");
        x.headers = curl_slist_append(x.headers, "Expect:");
        curl_easy_setopt(x.curl, CURLOPT_POSTFIELDSIZE, text != NULL ? (long)strlen(text) : 0L);
        curl_easy_setopt(x.curl, CURLOPT_COPYPOSTFIELDS, text != NULL ? text : "");
    }
    json_t *reply = exchange_run(&x, cli, err) == 0 ? exchange_json(&x, err) : NULL;
    exchange_done(&x);
    return reply;
}

json_t *client_pages(const struct cli *cli, const char *path, const char *member, struct err *err)
{
    json_t *all = json_array();
    CLEANUP(cleanup_free) char *token = xstrdup("");
    do {
        CLEANUP(cleanup_free) char *encoded = client_encode(token);
        CLEANUP(cleanup_free)
        char *one = xasprintf("%s?page_size=" PAGE "&page_token=%s", path, encoded);
        json_t *page = client_json(cli, "GET", one, NULL, err);
        if (page == NULL) {
            json_decref(all);
            return NULL;
        }
        json_array_extend(all, json_object_get(page, member));
        free(token);
        token = xstrdup(jget_str(page, "next_page_token", ""));
        json_decref(page);
    } while (token[0] != '\0');
    return json_pack("{s:o}", member, all);
}

json_t *client_find(const struct cli *cli, const char *path, const char *member, const char *key,
    const char *name, struct err *err)
{
    json_t *list = client_pages(cli, path, member, err), *found = NULL, *item;
    size_t i;
    json_array_foreach(json_object_get(list, member), i, item)
    {
        if (found == NULL && str_eq(jget_str(item, key, NULL), name)) {
            found = json_incref(item);
        }
    }
    json_decref(list);
    return found;
}

char *client_text(const struct cli *cli, const char *path, struct err *err)
{
    struct exchange x;
    exchange_init(&x, cli, path);
    char *text = exchange_run(&x, cli, err) == 0 ? xstrdup(buf_str(&x.reply)) : NULL;
    exchange_done(&x);
    return text;
}

json_t *client_upload(const struct cli *cli, const char *path, const char *filename,
    const void *data, size_t len, struct err *err)
{
    struct exchange x;
    exchange_init(&x, cli, path);
    curl_mime *form = curl_mime_init(x.curl);
    curl_mimepart *part = curl_mime_addpart(form);
    curl_mime_name(part, "uploadfile");
    curl_mime_filename(part, filename);
    curl_mime_data(part, data, len);
    curl_easy_setopt(x.curl, CURLOPT_MIMEPOST, form);
    x.headers = curl_slist_append(x.headers, "Expect:");
    json_t *reply = exchange_run(&x, cli, err) == 0 ? exchange_json(&x, err) : NULL;
    exchange_done(&x);
    curl_mime_free(form);
    return reply;
}

char *client_encode(const char *text)
{
    char *encoded = curl_easy_escape(NULL, text, 0);
    char *copy = xstrdup(encoded);
    curl_free(encoded);
    return copy;
}
