/* SPDX-License-Identifier: Apache-2.0 */
/* What a pod printed: from the file that was kept of it, else from the pod. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"
#include "exec/pods.h"

#define ASK_LINES 100000

struct log_op {
    struct pods *pods;
    char *path; /* of the kept file */
    char pod[POD_NAME_MAX + 1];
    int64_t max;
    struct kube_call *call;
    struct deferred begin;
    void (*done)(void *owner, const char *text, size_t len, const struct err *err);
    void *owner;
    struct log_op *prev, *next;
};

char *pod_log_path(const struct pods *pods, const struct attempt_name *name)
{
    return xasprintf(
        "%s/logs/%s/%s/%d.log", pods->data_dir, name->run_id, name->task_id, name->attempt);
}

struct kube_call *pod_log_ask(
    struct pods *pods, const char *pod, int64_t lines, kube_text_fn *done, void *owner)
{
    CLEANUP(cleanup_free)
    char *query = xasprintf("/log?container=main&tailLines=%lld", (long long)lines);
    CLEANUP(cleanup_free) char *path = pods_path(pods, pod, query);
    return kube_text(pods->kube, path, POD_LOG_BODY_MAX, done, owner);
}

static void op_free(struct log_op *op)
{
    if (op->prev != NULL) {
        op->prev->next = op->next;
    } else {
        op->pods->log_ops = op->next;
    }
    if (op->next != NULL) {
        op->next->prev = op->prev;
    }
    kube_cancel(op->call);
    loop_defer_cancel(op->pods->loop, &op->begin);
    free(op->path);
    free(op);
}

static void op_finish(struct log_op *op, const char *text, size_t len, const struct err *err)
{
    void (*done)(void *owner, const char *text, size_t len, const struct err *err) = op->done;
    void *owner = op->owner;
    op_free(op);
    done(owner, text, len, err);
}

static void on_text(void *owner, const char *text, size_t len, const struct err *err)
{
    struct log_op *op = owner;
    op->call = NULL;
    if (err != NULL && err->code == ERR_INVALID) {
        op_finish(op, "", 0, NULL); /* "container main is waiting to start": nothing yet */
    } else if (err != NULL) {
        op_finish(op, "", 0, err);
    } else {
        size_t keep = (int64_t)len > op->max ? (size_t)op->max : len;
        op_finish(op, text + (len - keep), keep, NULL);
    }
}

/* The last max bytes of a file; malloc'd, NULL if it is not there. */
static char *read_end(const char *path, int64_t max, size_t *len_out)
{
    struct stat st;
    CLEANUP(cleanup_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        return NULL;
    }
    int64_t want = st.st_size < max ? st.st_size : max;
    char *text = xmalloc((size_t)want + 1);
    ssize_t n = pread(fd, text, (size_t)want, st.st_size - want);
    *len_out = n > 0 ? (size_t)n : 0;
    text[*len_out] = '\0';
    return text;
}

static void op_begin(void *owner)
{
    struct log_op *op = owner;
    size_t len = 0;
    CLEANUP(cleanup_free) char *kept = read_end(op->path, op->max, &len);
    if (kept != NULL) {
        op_finish(op, kept, len, NULL);
        return;
    }
    op->call = pod_log_ask(op->pods, op->pod, ASK_LINES, on_text, op);
}

void pod_logs(void *self, const struct attempt_name *name, int64_t max_bytes,
    void (*done)(void *owner, const char *text, size_t len, const struct err *err), void *owner)
{
    struct pods *pods = self;
    struct log_op *op = xcalloc(1, sizeof *op);
    op->pods = pods;
    op->path = pod_log_path(pods, name);
    pod_name(name, op->pod);
    op->max = max_bytes;
    op->done = done;
    op->owner = owner;
    op->next = pods->log_ops;
    if (op->next != NULL) {
        op->next->prev = op;
    }
    pods->log_ops = op;
    loop_defer(pods->loop, &op->begin, op_begin, op);
}

void pod_logs_free_all(struct pods *pods)
{
    while (pods->log_ops != NULL) {
        op_free(pods->log_ops);
    }
}
