/* SPDX-License-Identifier: Apache-2.0 */
/* From the launcher's report, or its absence, to the attempt's result; and the log's end. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "exec/local.h"
#include "scheduler/order.h"

enum { LOST_TAIL = 8192 };

bool local_has_report(const struct local_attempt *a)
{
    CLEANUP(cleanup_free) char *path = xasprintf("%s/report.json", a->dir);
    return access(path, F_OK) == 0;
}

char *local_log_path(const struct local *local, const char *key)
{
    char *path = xasprintf("%s/work/%s/output.log", local->data_dir, key);
    if (access(path, F_OK) != 0) {
        free(path);
        path = xasprintf("%s/logs/%s.log", local->data_dir, key);
    }
    if (access(path, F_OK) != 0) {
        free(path);
        path = NULL;
    }
    return path;
}

char *local_log_read(const char *path, int64_t max, size_t *len_out, struct err *err)
{
    struct stat st;
    /* The step can reach this folder: a FIFO that it put there must not keep us waiting. */
    CLEANUP(cleanup_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) != 0) {
        err_errno(err, errno, "log %s", path);
        return NULL;
    }
    if (!S_ISREG(st.st_mode)) {
        err_set(err, ERR_CONFLICT, "log %s: the step has put something else in its place", path);
        return NULL;
    }
    int64_t want = st.st_size < max ? st.st_size : max;
    char *text = xmalloc((size_t)want + 1);
    size_t len = 0;
    while ((int64_t)len < want) {
        ssize_t n = pread(fd, text + len, (size_t)want - len, st.st_size - want + (int64_t)len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            break;
        }
        len += (size_t)n;
    }
    text[len] = '\0';
    *len_out = len;
    return text;
}

static json_t *read_report(const struct local_attempt *a, struct err *err)
{
    CLEANUP(cleanup_free) char *path = xasprintf("%s/report.json", a->dir);
    struct stat st;
    if (lstat(path, &st) != 0 || !S_ISREG(st.st_mode)) {
        err_set(err, ERR_INVALID, "%s is not a regular file", path);
        return NULL;
    }
    size_t len = 0;
    CLEANUP(cleanup_free) char *text = file_read(path, REPORT_MAX_BYTES, &len, err);
    if (text == NULL) {
        return NULL;
    }
    json_t *report = jread_text(text, len, "report", err);
    if (report != NULL && jget_i64(report, "v", 0) != REPORT_VERSION) {
        err_set(err, ERR_INVALID,
            "the launcher's report has version %lld, and this daemon knows %d",
            (long long)jget_i64(report, "v", 0), REPORT_VERSION);
        json_decref(report);
        return NULL;
    }
    return report;
}

static void fill_from_report(
    const struct local_attempt *a, const json_t *report, struct attempt_result *result)
{
    const char *state = jget_str(report, "state", "");
    result->exit_code = (int)jget_i64(report, "exit_code", -1);
    result->reason = jget_str(report, "reason", "");
    result->log_tail = jget_str(report, "log_tail", "");
    result->started_us = jget_i64(report, "started_us", 0);
    result->ended_us = jget_i64(report, "ended_us", 0);
    result->state = ATTEMPT_STATE_FAILED;
    if (strcmp(state, "SUCCEEDED") == 0) {
        result->state = ATTEMPT_STATE_SUCCEEDED;
        result->report = report;
    } else if (strcmp(state, "CANCELED") == 0 && a->is_canceled) {
        result->state = ATTEMPT_STATE_CANCELED;
    } else if (strcmp(state, "CANCELED") == 0) {
        result->state = ATTEMPT_STATE_LOST;
        result->reason =
            "its process was told to stop by somebody else (a shutdown of the machine?)";
    }
}

/* The end of the log as text for people. */
static char *lost_tail(const struct local_attempt *a)
{
    size_t len = 0;
    struct err ignored;
    CLEANUP(cleanup_free) char *path = local_log_path(a->local, a->key);
    char *text = path != NULL ? local_log_read(path, LOST_TAIL, &len, &ignored) : NULL;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if ((c < 0x20 && c != '\n' && c != '\t') || c >= 0x7f) {
            text[i] = '?'; /* plain ASCII is good enough for the end of a lost step */
        }
    }
    return text;
}

void local_tell_end(struct local_attempt *a)
{
    struct attempt_name name = {a->run.text, a->task.text, a->attempt};
    struct attempt_result result = {
        .state = a->is_canceled ? ATTEMPT_STATE_CANCELED : ATTEMPT_STATE_LOST,
        .exit_code = -1,
        .reason = a->lost != NULL ? a->lost : "its process vanished without a report",
        .log_tail = "",
    };
    struct err err = ERR_INIT;
    CLEANUP(cleanup_free) char *tail = NULL;
    json_t *report = local_has_report(a) ? read_report(a, &err) : NULL;
    if (report != NULL) {
        fill_from_report(a, report, &result);
    } else {
        tail = lost_tail(a);
        result.log_tail = tail != NULL ? tail : "";
        result.reason = err.code != ERR_NONE ? err.msg : result.reason;
    }
    const struct executor_listener *l = &a->local->listener;
    if (l->on_done != NULL) {
        l->on_done(l->owner, &name, &result);
    }
    json_decref(report);
}
