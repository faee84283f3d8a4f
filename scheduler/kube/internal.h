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

#endif
