/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kubernetes as a protocol: who we are, verbs on objects, list and watch. Knows no runs.
 * Objects are JSON as the API server speaks it (API conventions: resourceVersion, Status).
 */
#ifndef SCHEDULER_KUBE_KUBE_H
#define SCHEDULER_KUBE_KUBE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct err;
struct http_client;
struct kube;
struct kube_call;
struct kube_watch;
struct loop;

/* ---- credentials (credentials.c) ---- */

struct kube_credentials {
    char *server;  /* "https://10.0.0.1:6443" */
    char *ca_file; /* PEM, or NULL */
    char *cert_file, *key_file;
    char *token;      /* bearer, or NULL */
    char *token_file; /* read again for each request: the kubelet rotates it */
    char *namespace_;
    bool insecure;
};
/*
 * In this order: `kubeconfig` if not NULL, KUBECONFIG, the pod's service account, ~/.kube/config.
 * Certificates that stand in the file itself are written to `dir` (0600). Exec plugins and
 * auth providers are refused by name.
 */
int kube_credentials_load(
    struct kube_credentials *out, const char *kubeconfig, const char *dir, struct err *err);
void kube_credentials_done(struct kube_credentials *c);
/* The same from kubeconfig text; for tests and fuzzing. `base` resolves relative file names. */
int kube_credentials_parse(struct kube_credentials *out, const char *text, size_t len,
    const char *base, const char *dir, struct err *err);

/* ---- requests (client.c) ---- */

/* Borrows everything; credentials must outlive it. */
struct kube *kube_new(
    struct loop *loop, struct http_client *http, const struct kube_credentials *credentials);
void kube_free(struct kube *kube);
const char *kube_namespace(const struct kube *kube);

/*
 * One request. The reply is borrowed for the callback. Errors: NOT_FOUND (404), EXISTS (409
 * AlreadyExists), CONFLICT (409), INVALID (400, 422), DENIED (403), UNAUTHENTICATED (401),
 * PRECONDITION (410 Gone), TRANSIENT (429, 5xx, network); the message is the Status's own.
 * Path: "/api/v1/namespaces/x/pods". body may be NULL.
 */
typedef void kube_done_fn(void *owner, const json_t *reply, const struct err *err);
struct kube_call *kube_request(struct kube *kube, const char *method, const char *path,
    const json_t *body, kube_done_fn *done, void *owner);
/* The reply as text (pod logs), at most max bytes. */
typedef void kube_text_fn(void *owner, const char *text, size_t len, const struct err *err);
struct kube_call *kube_text(
    struct kube *kube, const char *path, size_t max, kube_text_fn *done, void *owner);
void kube_cancel(struct kube_call *call);

/* ---- list and watch (watch.c) ---- */

struct kube_watch_listener {
    /* ADDED, MODIFIED or DELETED; also each object of the first list and of every list after a
     * gap, as ADDED. */
    void (*on_object)(void *owner, const char *type, const json_t *object);
    /* A list begins (anew, if one broke off before its end). May be NULL. */
    void (*on_listing)(void *owner);
    /* A complete list has been told since on_listing: what was not in it did not exist then. */
    void (*on_listed)(void *owner);
    void *owner;
};
/*
 * Follow a collection ("/api/v1/namespaces/x/pods") under a label selector: list, watch from its
 * resourceVersion, resume after breaks, list anew after 410 Gone. Retries for ever with backoff.
 */
struct kube_watch *kube_watch_start(struct kube *kube, const char *path, const char *selector,
    const struct kube_watch_listener *listener);
void kube_watch_stop(struct kube_watch *watch);

#endif
