/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The API's context, one request in it, and the routes. A handler gets a call, may go away and
 * come back any number of times, and answers exactly once with one of the api_reply functions.
 */
#ifndef API_API_H
#define API_API_H

#include <jansson.h>

#include "base/err.h"
#include "base/http_msg.h"

struct catalog;
struct engine;
struct err;
struct executor;
struct artifact_store;
struct git_hooks;
struct http_client;
struct lease;
struct loop;
struct pods;
struct scheduler;
struct sender;
struct shown;
struct store;
struct ticker;

struct api {
    struct loop *loop;
    struct store *store;
    struct catalog *catalog;
    struct engine *engine;
    struct ticker *ticker;
    struct sender *sender;
    struct git_hooks *git_hooks;
    struct artifact_store *artifacts;
    struct shown *shown; /* kfp/shown.h */
    struct lease *lease;              /* who carries which shard on; NULL in tests: we do */
    struct scheduler *scheduler;      /* for /readyz; NULL in tests */
    struct http_client *http;         /* fetches package URLs; NULL: such requests are refused */
    const char *const *package_hosts; /* hosts package URLs may name; NULL-terminated */
    struct pods *pods; /* what launchers in pods call, scheduler/exec.h; NULL: steps are no pods */
    const char *executor_name;
    const char *advertise_url; /* how other daemons reach us; may be NULL */
    const char *public_url; /* how others reach us, "http://127.0.0.1:8888" */
    const char *const
        *tokens; /* hex SHA-256 of accepted bearer tokens, NULL-terminated; may be NULL */
    const char *const
        *allow_hosts; /* Host header values besides the listen address; NULL-terminated */
    int64_t started_us;
    bool is_draining;
    bool has_default_experiment; /* known to exist: it cannot be deleted */
    int64_t replies[6]; /* by status class: replies[2] counts 2xx */
};

/* One request under way. `req.pool` lives until the reply has been sent. */
struct api_call {
    struct api *api;
    struct http_request req;
    struct http_response resp;
    struct http_fields args; /* {captures} of the route, in order */
    void *server_;           /* server.c's business */
};

/* First capture named so; never NULL for names in the route's pattern. */
const char *api_arg(const struct api_call *call, const char *name);

/* Each ends the call. */
void api_reply_json(struct api_call *call, int status, const json_t *body); /* borrows body */
void api_reply_empty(struct api_call *call);                                /* 200 {} */
void api_reply_text(struct api_call *call, int status, const char *type, const char *text);
/* The end of a call that was one operation: its record as it is, or {} when it is done. They fit
 * the callbacks of catalog.h, run.h, recurring.h and webhooks.h; owner is the call. */
void api_reply_record(void *owner, const json_t *record, const struct err *err);
void api_reply_done(void *owner, const json_t *record, const struct err *err);
/* Send call->resp as it was filled. */
void api_reply(struct api_call *call);
/* KFP's error body and status (kfp-api.md 1.1). */
void api_fail(struct api_call *call, const struct err *err);
/* The same raised on the spot. */
void api_fail_as(struct api_call *call, enum err_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The same with a text of any length. */
void api_fail_long(struct api_call *call, enum err_code code, const char *text);
/* 501, code 12: this exists in KFP but not here (yet), or the method is wrong. */
void api_fail_unimplemented(struct api_call *call, const char *text);
/*
 * Stream a reply: fn is asked for the next piece whenever the last one has been sent. It gives 1
 * and malloc'd data, 0 at the end, or -1 (the connection is cut, so that the client notices).
 * owner must live in call->req.pool.
 */
typedef int api_chunk_fn(void *owner, void **data_out, size_t *len_out);
void api_reply_stream(struct api_call *call, const char *type, api_chunk_fn *fn, void *owner);

/* The body as a JSON object, owned by the call; on failure the call has been answered (400) and
 * NULL is returned. An empty body is an empty object. */
json_t *api_body_json(struct api_call *call);
/* Are all parameters of the query known ones (NULL ends the list)? If not the call has been
 * answered (400): a misspelt filter must not give everything. */
bool api_query_only(struct api_call *call, const char *const *known);
/*
 * Which page of a list is asked for: page_size (1 to API_PAGE_MAX, that many when absent) and
 * page_token ("" for the first), and nothing else. False: the call has been answered.
 */
#define API_PAGE_MAX 1000
bool api_query_page(struct api_call *call, size_t *size_out, const char **token_out);
/* Let the call's pool own this reference. Returns value. */
json_t *api_keep(struct api_call *call, json_t *value);

enum route_auth {
    ROUTE_TOKEN,  /* needs a token when tokens are configured; Host and Origin are checked */
    ROUTE_OPEN,   /* health: for anybody, also while draining */
    ROUTE_SIGNED, /* checks its own signature or token: hooks, internal */
};

struct route {
    const char *method;
    const char *pattern;
    void (*handle)(struct api_call *call);
    enum route_auth auth;
};
/* Every api/ file with handlers exports one table, ending with a NULL method. */
extern const struct route routes_experiments[], routes_pipelines[], routes_runs[],
    routes_recurring_runs[], routes_recurring[], routes_backfill[], routes_health[], routes_webhooks[], routes_deliveries[], routes_events[], routes_git[], routes_schedules[],
    routes_details[], routes_daemons[], routes_pools[], routes_internal[], routes_testing[];

/* server.c */
struct server;
struct server_settings {
    struct loop *loop;
    struct api *api;
    const char *listen; /* "127.0.0.1:8888", "[::1]:0" */
    int64_t max_body, max_headers;
    int64_t timeout_ms;
    int64_t max_connections;
};
struct server *server_new(const struct server_settings *settings, struct err *err);
int server_port(const struct server *server);
void server_close(struct server *server);        /* stop accepting; calls under way finish */
int server_pending(const struct server *server); /* calls that have not been answered */
/* Drops calls under way: nothing may call back into them afterwards. */
void server_free(struct server *server);

#endif
