/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may ask. The API starts commands, so a web page elsewhere must not reach it through a
 * user's browser: a name that somebody else controls (DNS rebinding) fails the Host check, a
 * cross-site request fails the Origin check. All functions are pure.
 */
#ifndef API_GUARD_H
#define API_GUARD_H

#include <stdbool.h>

struct api;
struct err;
struct http_request;

/* Host must be an IP address, localhost, the listen address, public_url's or an allowed one. */
int guard_host(
    const struct api *api, const char *listen, const struct http_request *req, struct err *err);
/* Origin, when there is one, must be the host that was asked, or public_url. */
int guard_origin(const struct api *api, const struct http_request *req, struct err *err);
/* A bearer token whose SHA-256 is listed; passes when none are listed. */
int guard_token(const struct api *api, const struct http_request *req, struct err *err);

#endif
