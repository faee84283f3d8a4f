/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this folder share. */
#ifndef SCHEDULER_KUBE_INTERNAL_H
#define SCHEDULER_KUBE_INTERNAL_H

#include "base/http_client.h"
#include "kube/kube.h"

struct kube {
    struct loop *loop;
    struct http_client *http;
    const struct kube_credentials *credentials;
};

/* Start an HTTP call to the API server with our credentials; fills the rest of spec. */
struct http_call *kube_http(struct kube *kube, struct http_call_spec *spec, const char *path,
    http_done_fn *done, void *owner);
/* Raise what a Status of this HTTP code means. Returns -1. */
int kube_status_err(int status, const json_t *body, struct err *err);

/* ---- events.c ---- */

struct buf;

enum kube_event_kind {
    KUBE_EVENT_OBJECT,
    KUBE_EVENT_BOOKMARK,
    KUBE_EVENT_ERROR,      /* the server ends the watch; object is a Status */
    KUBE_EVENT_UNREADABLE, /* no event at all, or a line beyond the buffer's ceiling */
};
struct kube_event {
    enum kube_event_kind kind;
    const char *type; /* "ADDED", ...; never NULL */
    const json_t *object;
    const char *version; /* resourceVersion, or NULL */
};
/*
 * Bytes of a watch in, events out; `line` keeps what is not a whole line yet. fn returns non-zero
 * to stop, and that is returned.
 */
int kube_events_read(struct buf *line, const char *data, size_t len,
    int (*fn)(void *owner, const struct kube_event *event), void *owner);

#endif
