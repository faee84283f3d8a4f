/* SPDX-License-Identifier: Apache-2.0 */
/* Subscriptions: who wants which events where, in what form. Parsing, matching, JSON. Pure. */
#ifndef WEBHOOKS_SUBSCRIPTION_H
#define WEBHOOKS_SUBSCRIPTION_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/id.h"
#include "base/secret.h"

struct cel;
struct egress;
struct err;

/* The envelope that events are sent in; webhooks/out/envelope.h makes them. */
enum subscription_format {
    SUBSCRIPTION_FORMAT_STANDARD,    /* "standard": Standard Webhooks' {type,timestamp,data} */
    SUBSCRIPTION_FORMAT_CLOUDEVENTS, /* "cloudevents": structured mode */
    SUBSCRIPTION_FORMAT_CLOUDEVENTS_BINARY, /* "cloudevents-binary" */
    SUBSCRIPTION_FORMAT_CDEVENTS,           /* "cdevents": 0.5.1 in structured CloudEvents */
    SUBSCRIPTION_FORMAT_CDEVENTS_0_4,       /* "cdevents-0.4" */
    SUBSCRIPTION_FORMAT_SLACK,              /* "slack": a message for an incoming webhook */
};

enum subscription_payload {
    SUBSCRIPTION_PAYLOAD_FULL, /* "full": all members of the event's data */
    SUBSCRIPTION_PAYLOAD_THIN, /* "thin": only ids and states */
};

struct subscription_secret {
    struct secret key;
    char *text;         /* "whsec_...", "whsk_..." */
    bool is_key_pair;   /* Ed25519 (v1a); else HMAC (v1) */
    int64_t expires_us; /* 0: never */
};

/* One of the user's own request headers. The value is a secret: never logged, never shown. */
struct subscription_header {
    char *name;
    char *line; /* "name: value" */
};

struct subscription_list {
    char **items;
    size_t count;
};

struct subscription {
    char *id, *name, *url, *host;
    struct subscription_list events; /* globs: "*", "task.*", "run.finished" */
    /* Any of each list; an empty list lets everything through. */
    struct subscription_list namespaces, experiments, pipelines, recurring_runs;
    struct cel *filter;  /* or NULL */
    bool speaks_of_time; /* the filter may: otherwise there is no need to make that text */
    enum subscription_format format;
    enum subscription_payload payload;
    struct subscription_header *headers;
    size_t header_count;
    struct subscription_secret *secrets; /* the newest first; at least one */
    size_t secret_count;
    bool is_ordered; /* "order": "run" */
    int max_in_flight;
    int64_t max_per_second; /* 0: no limit */
    int64_t timeout_ms;     /* 0: the daemon's setting */
    bool is_enabled;
    char *disabled_reason; /* or NULL */
    int64_t created_us;
    int64_t rev;                         /* of the record: each change makes it one more */
    unsigned char stored_as[SHA256_LEN]; /* digest of the record; zeroes: not the same any more */
    bool is_stale;         /* its record has expired secrets, or they are not sealed as of now */
    int64_t filter_errors; /* subscription_errors.c: not yet in Redis */
    char *filter_error;    /* the last of them, or NULL */
    int filter_overruns;   /* how often it took more than a filter may */
};

/* An event for the one subscription that its member "to" names, whatever it is subscribed to. */
#define SUBSCRIPTION_PING "webhook.ping"
#define SUBSCRIPTION_HEADERS_MAX 16
#define SUBSCRIPTION_SECRETS_MAX 5 /* live at a time */
#define SUBSCRIPTION_IN_FLIGHT_MAX 64

/* Members of an API body, but "secret"; ends with NULL. */
extern const char *const subscription_members[];
/* From an API body; every member but the url has a default. Unknown members are refused. */
struct subscription *subscription_from_body(
    const json_t *body, const struct egress *egress, struct err *err);
/* From what subscription_record() gave, also of an older version. */
struct subscription *subscription_from_record(const json_t *record, struct err *err);
void subscription_free(struct subscription *s);
/* What is stored, secrets and header values included. */
json_t *subscription_record(const struct subscription *s);
/* What is shown: names of headers without their values, secrets without their texts. */
json_t *subscription_shown(const struct subscription *s);

/* Is there an event type for each of its globs? One that was stored is not judged again. */
int subscription_check_events(const struct subscription *s, struct err *err);
/* What a filter may speak of: "type", "id", "time" (RFC 3339), "data"; ends with NULL. */
extern const char *const subscription_filter_variables[];
/*
 * Does this event ({"id","type","time_us","data"}) go to this subscription? Not while it is
 * disabled. A filter that cannot be evaluated says no, and err says why.
 */
bool subscription_wants(const struct subscription *s, const json_t *event, struct err *err);

/* Is the type one of its `events`? The first of the questions that the function above asks. */
bool subscription_wants_type(const struct subscription *s, const char *type);

/* The value of webhook-signature: one signature for each secret that is live at now_us, the newest
 * first, separated by spaces. malloc'd. */
char *subscription_sign(
    const struct subscription *s, const char *id, int64_t now_us, const void *body, size_t len);
/* Forget the secrets that have expired, zeroed. True if there were any, or the record has some. */
bool subscription_drop_expired(struct subscription *s, int64_t now_us);
/* When the next of its secrets expires; INT64_MAX: none does. */
int64_t subscription_next_expiry(const struct subscription *s);
/*
 * What a new secret is asked to be: {"secret"?: text, "scheme"?: "v1" or "v1a"}; without a text one
 * is made, of the scheme given or else this one. malloc'd; NULL and err.
 */
char *subscription_new_secret(const json_t *body, bool is_key_pair, struct err *err);
/* Its own value of this header replaces ours. */
bool subscription_has_header(const struct subscription *s, const char *name);

/* subscription_seal.c: secrets of a record, in place: as they are stored, and back. */
struct seal;
void subscription_seal(const struct seal *seal, json_t *record);
int subscription_open(const struct seal *seal, json_t *record, struct err *err);
/* Of a record as it is stored: subscription_seal() would do the same today. */
bool subscription_seal_is_current(const struct seal *seal, const json_t *record);
/* Zeroes the plain ones before the record is let go. */
void subscription_wipe(json_t *record);

/* subscription_headers.c: check and take the member `headers`, an object {name: value} or NULL. */
int subscription_read_headers(struct subscription *s, const json_t *headers, struct err *err);

#endif
