/* SPDX-License-Identifier: Apache-2.0 */
/*
 * List and watch: the list gives a resourceVersion, the watch goes on from it and moves it with
 * every event and bookmark; a break resumes there, 410 Gone lists anew.
 */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/http_msg.h"
#include "base/json.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/secret.h"
#include "base/util.h"
#include "kube/internal.h"

#define LIST_LIMIT 500
#define LINE_MAX_BYTES (16 * 1024 * 1024)
#define PATH_MAX_BYTES 8192
#define WATCH_SECONDS 240
#define WATCH_IDLE_MS ((WATCH_SECONDS + 30) * INT64_C(1000))
#define BACKOFF_MIN_MS 200
#define BACKOFF_MAX_MS 10000

enum kube_watch_state {
    KUBE_WATCH_WAITING_TO_LIST,
    KUBE_WATCH_LISTING,
    KUBE_WATCH_WAITING_TO_WATCH,
    KUBE_WATCH_WATCHING,
};

struct kube_watch {
    struct kube *kube;
    enum kube_watch_state state;
    char *path, *selector; /* selector is percent-encoded */
    struct kube_watch_listener listener;
    struct kube_call *list_call;
    struct http_call *watch_call;
    char *version;      /* resourceVersion to go on from */
    char *continuation; /* of a list in pages */
    struct buf line;
    int status;     /* of the watch reply */
    bool must_list; /* the server said Gone */
    struct timer retry;
    int64_t backoff_ms;
};

static void watch_step(struct kube_watch *w);

static void watch_wait(struct kube_watch *w, enum kube_watch_state state)
{
    w->state = state;
    uint16_t jitter;
    random_bytes(&jitter, sizeof jitter);
    timer_start_ms(&w->retry, w->backoff_ms + jitter % (w->backoff_ms / 2 + 1));
    w->backoff_ms = w->backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : w->backoff_ms * 2;
}

static void set_text(char **to, const char *value)
{
    free(*to);
    *to = value != NULL && value[0] != '\0' ? xstrdup(value) : NULL;
}

/* ---- list ---- */

static void on_list(void *owner, const json_t *reply, const struct err *err)
{
    struct kube_watch *w = owner;
    w->list_call = NULL;
    if (err != NULL) {
        LOG_WARN("cannot list, will try again", "path=%s error=%s", w->path, LOG_Q(err->msg));
        set_text(&w->continuation, NULL);
        watch_wait(w, KUBE_WATCH_WAITING_TO_LIST);
        return;
    }
    size_t i;
    const json_t *item;
    json_array_foreach(json_object_get(reply, "items"), i, item)
    {
        w->listener.on_object(w->listener.owner, "ADDED", item);
    }
    const json_t *metadata = json_object_get(reply, "metadata");
    set_text(&w->version, jget_str(metadata, "resourceVersion", NULL));
    set_text(&w->continuation, jget_str(metadata, "continue", NULL));
    if (w->continuation == NULL) {
        w->backoff_ms = BACKOFF_MIN_MS;
        w->must_list = false;
        w->state = KUBE_WATCH_WATCHING;
        w->listener.on_listed(w->listener.owner);
    }
    watch_step(w);
}

static void watch_list(struct kube_watch *w)
{
    struct buf path;
    if (w->continuation == NULL && w->listener.on_listing != NULL) {
        w->listener.on_listing(w->listener.owner);
    }
    buf_init(&path, PATH_MAX_BYTES);
    buf_addf(&path, "%s?labelSelector=%s&limit=%d", w->path, w->selector, LIST_LIMIT);
    if (w->continuation != NULL) {
        buf_adds(&path, "&continue=");
        http_encode(&path, w->continuation);
    }
    w->list_call = kube_request(w->kube, "GET", buf_str(&path), NULL, on_list, w);
    buf_done(&path);
}

/* ---- watch ---- */

static int on_event(void *owner, const struct kube_event *event)
{
    struct kube_watch *w = owner;
    switch (event->kind) {
    case KUBE_EVENT_ERROR:
        /* 410 most of the time. Listing anew is right for all of them. */
        LOG_DEBUG("watch ended by the server", "path=%s message=%s", w->path,
            LOG_Q(jget_str(event->object, "message", "")));
        w->must_list = true;
        return -1;
    case KUBE_EVENT_UNREADABLE:
        LOG_WARN("unreadable watch line", "path=%s", w->path);
        w->must_list = true;
        return -1;
    case KUBE_EVENT_OBJECT:
    case KUBE_EVENT_BOOKMARK:
        break;
    }
    if (event->version != NULL) {
        set_text(&w->version, event->version);
    }
    if (event->kind == KUBE_EVENT_OBJECT) {
        w->listener.on_object(w->listener.owner, event->type, event->object);
    }
    return 0;
}

static int on_data(void *owner, const char *data, size_t len)
{
    struct kube_watch *w = owner;
    if (w->status != 0 && (w->status < 200 || w->status >= 300)) {
        return 0;
    }
    return kube_events_read(&w->line, data, len, on_event, w);
}

static void on_status(void *owner, int status)
{
    struct kube_watch *w = owner;
    w->status = status;
    if (status >= 200 && status < 300) {
        w->backoff_ms = BACKOFF_MIN_MS;
    }
}

static void on_watch_end(void *owner, const struct http_reply *reply, const struct err *err)
{
    struct kube_watch *w = owner;
    (void)reply;
    w->watch_call = NULL;
    buf_reset(&w->line);
    if (w->status == 410 || w->must_list) {
        watch_wait(w, KUBE_WATCH_WAITING_TO_LIST);
        return;
    }
    if (err != NULL || w->status < 200 || w->status >= 300) {
        LOG_INFO("watch broke, resuming", "path=%s status=%d error=%s", w->path, w->status,
            LOG_Q(err != NULL ? err->msg : ""));
    }
    watch_wait(w, KUBE_WATCH_WAITING_TO_WATCH);
}

static void watch_watch(struct kube_watch *w)
{
    struct buf path;
    buf_init(&path, PATH_MAX_BYTES);
    buf_addf(&path, "%s?watch=1&allowWatchBookmarks=true&timeoutSeconds=%d&labelSelector=%s",
        w->path, WATCH_SECONDS, w->selector);
    if (w->version != NULL) {
        buf_adds(&path, "&resourceVersion=");
        http_encode(&path, w->version);
    }
    struct http_call_spec spec = {
        .method = "GET",
        .timeout_ms = -1,
        .idle_timeout_ms = WATCH_IDLE_MS,
        .on_data = on_data,
        .on_status = on_status,
    };
    w->status = 0;
    w->watch_call = kube_http(w->kube, &spec, buf_str(&path), on_watch_end, w);
    buf_done(&path);
}

static void watch_step(struct kube_watch *w)
{
    switch (w->state) {
    case KUBE_WATCH_WAITING_TO_LIST:
        w->state = KUBE_WATCH_LISTING;
        /* fall through */
    case KUBE_WATCH_LISTING:
        watch_list(w);
        break;
    case KUBE_WATCH_WAITING_TO_WATCH:
        w->state = KUBE_WATCH_WATCHING;
        /* fall through */
    case KUBE_WATCH_WATCHING:
        watch_watch(w);
        break;
    }
}

static void on_retry(void *owner)
{
    watch_step(owner);
}

struct kube_watch *kube_watch_start(struct kube *kube, const char *path, const char *selector,
    const struct kube_watch_listener *listener)
{
    struct kube_watch *w = xcalloc(1, sizeof *w);
    struct buf encoded;
    buf_init(&encoded, PATH_MAX_BYTES);
    http_encode(&encoded, selector);
    w->kube = kube;
    w->path = xstrdup(path);
    w->selector = buf_steal(&encoded, NULL);
    w->listener = *listener;
    w->backoff_ms = BACKOFF_MIN_MS;
    buf_init(&w->line, LINE_MAX_BYTES);
    timer_init(&w->retry, kube->loop, on_retry, w);
    timer_start_ms(&w->retry, 0);
    return w;
}

void kube_watch_stop(struct kube_watch *watch)
{
    if (watch == NULL) {
        return;
    }
    kube_cancel(watch->list_call);
    http_call_cancel(watch->watch_call);
    timer_done(&watch->retry);
    buf_done(&watch->line);
    free(watch->path);
    free(watch->selector);
    free(watch->version);
    free(watch->continuation);
    free(watch);
}
