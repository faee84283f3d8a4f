/* SPDX-License-Identifier: Apache-2.0 */
/* Order, report and artifacts over HTTP, tried again while the daemon is away. */
#include "launch/transfer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/secret.h"
#include "base/util.h"
#include "launch/command.h"
#include "launch/http.h"
#include "launch/output.h"
#include "launch/tree.h"
#include "scheduler/order.h"

#define BACKOFF_FIRST_US (500 * US_PER_MS)
#define BACKOFF_MAX_US (15 * US_PER_S)
#define CALL_TIMEOUT_US (60 * US_PER_S)
#define RUNNING_TIMEOUT_US (3 * US_PER_S)
enum { LIST_MAX = 64 * 1024 * 1024, SMALL_MAX = 64 * 1024, RESTARTS_MAX = 5 };

struct transfer {
    struct http *http;
    struct signals *signals;
    struct output *output; /* may be NULL */
    int64_t deadline_us;
};

struct transfer *transfer_new(const char *url, const char *token, const char *ca_file,
    struct signals *signals, struct err *err)
{
    struct http *http = http_new(url, token, ca_file, signals, err);
    if (http == NULL) {
        return NULL;
    }
    struct transfer *t = xcalloc(1, sizeof *t);
    t->http = http;
    t->signals = signals;
    return t;
}

void transfer_free(struct transfer *t)
{
    if (t != NULL) {
        http_free(t->http);
        free(t);
    }
}

void transfer_set_output(struct transfer *t, struct output *output)
{
    t->output = output;
}

void transfer_set_deadline(struct transfer *t, int64_t deadline_us)
{
    t->deadline_us = deadline_us;
}

/* --- calling, and calling again --- */

static bool is_worth_retrying(int status)
{
    return status == 408 || status == 425 || status == 429 || status >= 500;
}

/* What the daemon says about an error, in its own words. */
static int refused(const struct http_ask *ask, const struct http_answer *answer, struct err *err)
{
    json_t *json = json_loadb(answer->body, answer->len, JSON_REJECT_DUPLICATES, NULL);
    const char *message = json_string_value(json_object_get(json, "message"));
    message = message != NULL ? message : json_string_value(json_object_get(json, "error"));
    enum err_code code = answer->status == 404 || answer->status == 410 ? ERR_NOT_FOUND
                         : answer->status == 409                        ? ERR_CONFLICT
                         : answer->status == 401                        ? ERR_UNAUTHENTICATED
                         : answer->status == 403                        ? ERR_DENIED
                         : answer->status == 413                        ? ERR_LIMIT
                         : is_worth_retrying(answer->status)            ? ERR_TRANSIENT
                                                                        : ERR_INVALID;
    err_set(err, code, "the daemon answered %d to %s %.*s%s%.300s", answer->status, ask->method,
        (int)strcspn(ask->path, "?"), ask->path, message != NULL ? ": " : "",
        message != NULL ? message : "");
    json_decref(json);
    return -1;
}

static void wait_backoff(struct transfer *t, int64_t *backoff_us, bool is_stoppable)
{
    unsigned char r;
    random_bytes(&r, 1);
    /* Between half and one and a half, so that a thousand pods do not come back at once. */
    int64_t until = clock_mono_us() + *backoff_us / 2 + *backoff_us * r / 256;
    *backoff_us = *backoff_us * 2 < BACKOFF_MAX_US ? *backoff_us * 2 : BACKOFF_MAX_US;
    for (;;) {
        int64_t left = until - clock_mono_us();
        if (left <= 0 || (is_stoppable && t->signals->is_stopped)) {
            return;
        }
        if (t->signals->is_stopped) {
            usleep((useconds_t)left);
        } else {
            signals_wait(t->signals, (int)(left / 1000) + 1);
        }
    }
}

/* One request with its retries. 0: 2xx, free the answer's body. */
static int call(
    struct transfer *t, const struct http_ask *ask, struct http_answer *out, struct err *err)
{
    int64_t backoff_us = BACKOFF_FIRST_US;
    for (int tries = 0;; tries++) {
        if (ask->is_stoppable && t->signals->is_stopped) {
            return err_set(err, ERR_PRECONDITION, "it was told to stop");
        }
        struct http_answer answer = {0};
        if (http_call(t->http, ask, &answer, err) == 0) {
            if (answer.status >= 200 && answer.status < 300) {
                if (tries > 0 && t->output != NULL) {
                    output_note(t->output, "the daemon is back");
                }
                *out = answer;
                return 0;
            }
            refused(ask, &answer, err);
            free(answer.body);
        }
        if (!err_is_transient(err)) {
            return -1;
        }
        if (clock_mono_us() >= t->deadline_us) {
            return err_wrap(err, "gave up after %d tries", tries + 1);
        }
        if (tries == 0 && t->output != NULL) {
            output_note(t->output, "%s; trying again", err->msg);
        }
        wait_backoff(t, &backoff_us, ask->is_stoppable);
    }
}

/* --- order and report --- */

char *transfer_get_order(struct transfer *t, size_t *len_out, struct err *err)
{
    struct http_ask ask = {.method = "GET",
        .path = "/order",
        .max_answer = ORDER_MAX_BYTES,
        .timeout_us = CALL_TIMEOUT_US,
        .is_stoppable = true};
    struct http_answer answer;
    if (call(t, &ask, &answer, err) != 0) {
        if (err->code == ERR_CONFLICT) {
            err->code = ERR_NOT_FOUND;
        }
        return NULL;
    }
    *len_out = answer.len;
    return answer.body;
}

void transfer_post_running(struct transfer *t)
{
    struct http_ask ask = {.method = "POST",
        .path = "/running",
        .body = "{}",
        .len = 2,
        .max_answer = SMALL_MAX,
        .timeout_us = RUNNING_TIMEOUT_US,
        .is_stoppable = true};
    struct http_answer answer;
    struct err ignored;
    if (http_call(t->http, &ask, &answer, &ignored) == 0) {
        free(answer.body);
    }
}

int transfer_post_report(struct transfer *t, const char *text, size_t len, struct err *err)
{
    struct http_ask ask = {.method = "POST",
        .path = "/report",
        .body = text,
        .len = len,
        .max_answer = SMALL_MAX,
        .timeout_us = CALL_TIMEOUT_US};
    struct http_answer answer;
    if (call(t, &ask, &answer, err) != 0) {
        if (err->code == ERR_CONFLICT) {
            err->code = ERR_NOT_FOUND;
        }
        return -1;
    }
    free(answer.body);
    return 0;
}

/* --- artifacts --- */

static void add_encoded(struct buf *out, const char *text)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    for (; *text != '\0'; text++) {
        if (strchr(plain, *text) != NULL) {
            buf_addc(out, *text);
        } else {
            buf_addf(out, "%%%02X", (unsigned char)*text);
        }
    }
}

static void add_target(struct buf *out, const char *uri, const char *file, int64_t offset)
{
    buf_adds(out, "/artifacts?uri=");
    add_encoded(out, uri);
    buf_adds(out, "&file=");
    add_encoded(out, file);
    buf_addf(out, "&offset=%lld", (long long)offset);
}

/* Is it a relative path that stays below where it is put? */
static bool is_safe_file(const char *file)
{
    if (file[0] == '\0') {
        return true;
    }
    for (const char *p = file;; p++) {
        size_t len = strcspn(p, "/");
        if (len == 0 || (len == 1 && p[0] == '.') || (len == 2 && p[0] == '.' && p[1] == '.')) {
            return false;
        }
        p += len;
        if (*p == '\0') {
            return true;
        }
    }
}

static int fetch_part(struct transfer *t, const char *uri, const char *file, int fd,
    int64_t *offset, int64_t *total, struct err *err)
{
    struct buf path;
    buf_init(&path, 64 * 1024);
    add_target(&path, uri, file, *offset);
    struct http_ask ask = {.method = "GET",
        .path = buf_str(&path),
        .max_answer = ORDER_PART_MAX + SMALL_MAX,
        .timeout_us = CALL_TIMEOUT_US,
        .is_stoppable = true};
    struct http_answer answer;
    int rc = buf_check(&path, "artifact URI", err);
    rc = rc == 0 ? call(t, &ask, &answer, err) : rc;
    buf_done(&path);
    if (rc != 0) {
        return -1;
    }
    if (answer.total < 0) {
        rc = err_set(err, ERR_INVALID, "the daemon's answer has no X-Total header");
    } else if (answer.len == 0 && *offset < answer.total) {
        rc = err_set(err, ERR_INVALID, "the daemon sent no bytes at %lld of %lld",
            (long long)*offset, (long long)answer.total);
    }
    *total = answer.total;
    for (size_t done = 0; rc == 0 && done < answer.len;) {
        ssize_t n = write(fd, answer.body + done, answer.len - done);
        if (n < 0 && errno != EINTR) {
            rc = err_errno(err, errno, "write");
        }
        done += n > 0 ? (size_t)n : 0;
    }
    *offset += (int64_t)answer.len;
    free(answer.body);
    return rc;
}

static int fetch_file(
    struct transfer *t, const char *uri, const char *file, const char *path, struct err *err)
{
    if (tree_make_parents(path, err) != 0) {
        return -1;
    }
    CLEANUP(cleanup_fd) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) {
        return err_errno(err, errno, "%s", path);
    }
    int64_t offset = 0, total = 1;
    while (offset < total) {
        if (fetch_part(t, uri, file, fd, &offset, &total, err) != 0) {
            return err_wrap(err, "%s", path);
        }
    }
    return 0;
}

int transfer_fetch(struct transfer *t, const char *uri, const char *path, struct err *err)
{
    struct buf where;
    buf_init(&where, 64 * 1024);
    buf_adds(&where, "/artifacts?uri=");
    add_encoded(&where, uri);
    buf_adds(&where, "&list=1");
    struct http_ask ask = {.method = "GET",
        .path = buf_str(&where),
        .max_answer = LIST_MAX,
        .timeout_us = CALL_TIMEOUT_US,
        .is_stoppable = true};
    struct http_answer answer;
    int rc = buf_check(&where, "artifact URI", err);
    rc = rc == 0 ? call(t, &ask, &answer, err) : rc;
    buf_done(&where);
    if (rc != 0) {
        return err->code == ERR_NOT_FOUND ? 0 : -1;
    }
    json_t *list = jread_text(answer.body, answer.len, "list of files", err);
    free(answer.body);
    const json_t *files = json_object_get(list, "files");
    rc = list == NULL ? -1 : 0;
    size_t i;
    json_t *item;
    json_array_foreach((json_t *)files, i, item)
    {
        const char *file = jget_str(item, "file", "");
        if (!is_safe_file(file)) {
            rc = err_set(err, ERR_DENIED, "file '%s' in the artifact has an unsafe path", file);
        }
        CLEANUP(cleanup_free)
        char *to = xasprintf("%s%s%s", path, file[0] != '\0' ? "/" : "", file);
        rc = rc == 0 ? fetch_file(t, uri, file, to, err) : rc;
        if (rc != 0) {
            break;
        }
    }
    json_decref(list);
    return rc;
}

/* Reads a part; the number of bytes, less than max only at the end. */
static ssize_t read_part(int fd, char *data, size_t max, int64_t offset)
{
    size_t len = 0;
    while (len < max) {
        ssize_t n = pread(fd, data + len, max - len, offset + (int64_t)len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -1;
        }
        if (n == 0) {
            break;
        }
        len += (size_t)n;
    }
    return (ssize_t)len;
}

struct store {
    struct transfer *t;
    const char *uri;
    char *data; /* one part */
};

static int store_part(struct store *s, int fd, const char *file, int64_t offset, int64_t total,
    const char *sha256, struct err *err)
{
    ssize_t len = read_part(fd, s->data, ORDER_PART_MAX, offset);
    if (len < 0) {
        return err_errno(err, errno, "read");
    }
    bool is_final = offset + len >= total;
    struct buf path;
    buf_init(&path, 64 * 1024);
    add_target(&path, s->uri, file, offset);
    if (is_final) {
        buf_addf(&path, "&final=1&total=%lld&sha256=%s", (long long)(offset + len), sha256);
    }
    struct http_ask ask = {.method = "PUT",
        .path = buf_str(&path),
        .body = s->data,
        .len = (size_t)len,
        .max_answer = SMALL_MAX,
        .timeout_us = CALL_TIMEOUT_US,
        .is_stoppable = true};
    struct http_answer answer;
    int rc = buf_check(&path, "artifact URI", err);
    rc = rc == 0 ? call(s->t, &ask, &answer, err) : rc;
    buf_done(&path);
    if (rc == 0) {
        free(answer.body);
    }
    return rc;
}

static int store_file(
    void *owner, const char *path, const char *file, int64_t size, struct err *err)
{
    struct store *s = owner;
    char sha256[65];
    if (tree_digest(path, sha256, err) != 0) {
        return -1;
    }
    CLEANUP(cleanup_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return err_errno(err, errno, "%s", path);
    }
    int restarts = 0;
    int64_t offset = 0;
    bool is_stored = false;
    while (!is_stored) {
        if (store_part(s, fd, file, offset, size, sha256, err) == 0) {
            offset += ORDER_PART_MAX;
            is_stored = offset >= size;
            continue;
        }
        /* The daemon lost the parts before this one, or it never had them. */
        if (err->code != ERR_CONFLICT || ++restarts > RESTARTS_MAX) {
            return err_wrap(err, "%s", path);
        }
        offset = 0;
    }
    return 0;
}

int transfer_store(struct transfer *t, const char *path, const char *uri, struct err *err)
{
    struct store s = {.t = t, .uri = uri, .data = xmalloc(ORDER_PART_MAX)};
    int rc = tree_walk(path, store_file, &s, err);
    free(s.data);
    return rc;
}
