/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fetch and compile the package behind a URL: https only, only hosts of the list
 * (package-hosts), never a private address, no redirects, at most 32 MiB.
 */
#ifndef API_KFP_PACKAGE_H
#define API_KFP_PACKAGE_H

#include <stddef.h>

struct api_call;
struct plan;

#define PACKAGE_MAX ((size_t)32 * 1024 * 1024)

/* done on success only; otherwise the call has been answered. The plan belongs to the call. */
void package_fetch(struct api_call *call, const char *url,
    void (*done)(void *owner, struct plan *plan), void *owner);
/* Compile an uploaded file. NULL: the call has been answered. The plan belongs to the call. */
struct plan *package_compile(
    struct api_call *call, const char *filename, const void *data, size_t len);

#endif
