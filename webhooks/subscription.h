/* SPDX-License-Identifier: Apache-2.0 */
/* Subscriptions: who wants which events where. Parsing, matching, JSON; the records in memory. */
#ifndef WEBHOOKS_SUBSCRIPTION_H
#define WEBHOOKS_SUBSCRIPTION_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/id.h"
#include "base/secret.h"

struct egress;
struct err;

struct subscription {
    char *id, *name, *url, *host;
    char **events; /* globs: "*", "task.*", "run.finished" */
    size_t event_count;
    struct secret secret;
    char *secret_text;
    bool is_enabled;
    char *disabled_reason; /* or NULL */
    int64_t created_us;
    int in_flight; /* sender's: attempts under way */
};

/*
 * From an API body: {"url", "name"?, "events"? (default ["*"]), "secret"? (made when absent),
 * "enabled"?}. Unknown members are refused.
 */
struct subscription *subscription_from_body(const json_t *body, const struct egress *egress,
    struct err *err);
struct subscription *subscription_from_record(const json_t *record, struct err *err);
void subscription_free(struct subscription *s);
/* With the secret: what is stored, and what create answers. Without: everywhere else. */
json_t *subscription_json(const struct subscription *s, bool with_secret);
bool subscription_wants(const struct subscription *s, const char *type);

#endif
