/* SPDX-License-Identifier: Apache-2.0 */
/* The insides of Git triggers, shared by the git_*.c files that talk to Redis. */
#ifndef WEBHOOKS_GIT_HOOKS_H
#define WEBHOOKS_GIT_HOOKS_H

#include "base/err.h"
#include "base/loop.h"
#include "base/store.h"
#include "webhooks/in/git_change.h"
#include "webhooks/in/git_match.h"
#include "webhooks/in/git_remote.h"
#include "webhooks/in/git_trigger.h"
#include "webhooks/webhooks.h"

struct git_fetcher;
struct git_polls;
struct git_statuses;
struct git_limit;
struct git_turn;
struct map;
struct pool;
struct seal;
struct reception;
struct trigger_request;
struct git_inquiry;

struct git_hooks {
    struct git_hooks_settings set;
    struct map *known;       /* trigger id -> struct known_trigger: those read lately */
    struct git_limit *limit; /* who has sent too much that was not genuine */
    struct git_counts counts;
    /* under way, for the end of the daemon */
    struct reception *receptions;
    struct trigger_request *requests;
    struct git_inquiry *inquiries;
    struct git_case *cases;
    struct git_turn *turns;
    struct timer scan; /* groups of our shards are looked at */
    struct git_fetcher *fetcher;
    struct git_statuses *statuses;
    struct git_polls *polls;
    bool *is_ours;     /* by shard */
};

/* ---- git_record.c: records as they stand in Redis ---- */

/* Opens what is sealed in it. New reference; NULL and ERR_INTERNAL. */
json_t *git_record_read(const struct seal *seal, const char *text, struct err *err);
/* malloc'd; without keys it holds plain secrets. */
char *git_record_text(const struct seal *seal, const json_t *record);

/* ---- git_known.c: triggers in memory ---- */

/*
 * The trigger of this record's text: the same object for the same text. A new reference; NULL and
 * err. ERR_NOT_FOUND for a NULL text.
 */
struct git_trigger *git_known_get(
    struct git_hooks *h, const char *id, const char *text, struct err *err);
void git_known_free(void *known); /* for the map */

/* ---- git_case.c: one message at one trigger ---- */

/* What has been found about one change. */
struct git_finding {
    bool is_wanted;
    struct git_reason reason;
    json_t *steps;      /* when they were asked for */
    json_t *parameters; /* of the run; NULL: not wanted, or failed */
    const char *failure; /* why a wanted one cannot start; or NULL */
    bool needs_file;     /* its pipeline has to be read from the repository first */
    const char *version_id, *spec;
    struct plan *plan; /* a reference, or NULL */
    const char *run_id, *run_name;
    const char *group, *group_hash; /* NULL: no group */
    /* after git_case_settle() */
    const char *result, *result_run, *result_reason;
};

typedef void git_case_fn(void *owner, const struct err *err);

/* A pipeline that is in the repository and not here yet: */
enum git_fetching {
    GIT_FETCH_LATER, /* somebody waits for an answer: git_fetch.c does it */
    GIT_FETCH_NOW,   /* read it and keep it as a version */
    GIT_FETCH_LOOK,  /* read it, and write nothing */
};

struct git_case {
    struct git_hooks *hooks;
    struct git_case *prev, *next;
    struct pool *pool;           /* borrowed: lives as long as the case */
    struct git_trigger *trigger; /* a reference */
    const struct hook_message *message;
    json_t *headers;
    struct git_changes changes;
    struct git_finding *findings; /* one for each change */
    const char *event_id;
    bool by_hand;
    const char *forced; /* by hand, whatever has come before: names the run; or NULL */
    enum git_fetching fetching;
    bool gives_up;             /* what may work later counts as failed */
    const char *experiment_id; /* of all runs */
    size_t at;                 /* the change that is being looked at */
    struct git_remote_call *remote;
    /* what is kept of the message */
    const char *payload;
    size_t payload_len;
    const char *content_type;
    int64_t begun_us; /* monotonic */
    struct store_call *call;
    struct deferred later;
    struct err err;
    git_case_fn *done;
    void *owner;
};

/* Takes the references to trigger and headers; the others are borrowed. */
struct git_case *git_case_new(struct git_hooks *h, struct pool *pool, struct git_trigger *trigger,
    const struct hook_message *message, json_t *headers);
/* After this no callback comes. NULL is fine. */
void git_case_free(struct git_case *c);
/*
 * Match every change, and of those wanted find pipeline, experiment and parameters. Nothing is
 * written. err only when it may work later; what is wrong for good is each finding's failure.
 */
void git_case_examine(struct git_case *c, bool with_steps, git_case_fn *done, void *owner);
/*
 * Then record the message and start what is to be started, by one script. Afterwards the findings
 * have results, runs have been told to the engine, and those to be canceled are asked.
 */
void git_case_settle(struct git_case *c, git_case_fn *done, void *owner);
/* The id of the run of this change, or of what would have been one. In the case's pool. */
const char *git_case_run_id(const struct git_case *c, size_t i);
/* The clause of a result that no filter gave: "duplicate", "concurrency"; NULL: the one that matched. */
const char *git_result_clause(const char *result);
/* {"result","run_id"?,"reason"?,"event_id","refs"?}: what the sender is told. New reference. */
json_t *git_case_answer(const struct git_case *c, int *status_out);
/* What would happen: {"matched","refs":[{"ref",...,"steps","parameters"}]}. New reference. */
json_t *git_case_explanation(const struct git_case *c);

/* ---- git_case_text.c: what a case writes ---- */

#define GIT_TEXT_MAX 1024 /* bytes kept of a text from outside */
/* The clause that decided about a change, and why. */
const char *git_finding_clause(const struct git_finding *f);
const char *git_finding_reason(const struct git_finding *f);
/* A change as the log has it, without what becomes of it. New reference. */
json_t *git_case_ref_json(const struct git_case *c, size_t i);
/* As the script wants them, malloc'd: the run's doc, a newline and its event run.created; the
 * event's doc; the event trigger.fired with "@" for its result; trigger.rejected with "@" for its
 * reason, or NULL if nobody wants it. */
char *git_case_run_text(const struct git_case *c, size_t i);
char *git_case_event_text(const struct git_case *c, bool is_payload_kept);
char *git_case_fired_text(const struct git_case *c, size_t i);
char *git_case_rejected_text(const struct git_case *c, size_t i);

/* ---- git_fetch.c: messages whose pipelines are to be read from repositories ---- */

/* There is one more, of this trigger. A hint; what is written is the truth. */
void git_fetch_wake(struct git_hooks *h, const char *trigger_id);
void git_fetch_look(struct git_hooks *h, unsigned shard);
void git_fetch_init(struct git_hooks *h);
void git_fetch_done(struct git_hooks *h);
/* git_inquiry.c: evaluate a stored event again, as git_event_redeliver() does. */
void git_event_fetch(struct git_hooks *h, const char *trigger_id, const char *event_id,
    bool gives_up, webhook_json_fn *done, void *owner);

/* ---- git_status.c: what the forge is told of commits ---- */

/* There is something to tell, named so (as a run). A hint; what is written is the truth. */
void git_status_wake(struct git_hooks *h, const char *id);
void git_status_shard_start(struct git_hooks *h, unsigned shard);
void git_status_shard_stop(struct git_hooks *h, unsigned shard);
void git_status_init(struct git_hooks *h);
void git_status_finish(struct git_hooks *h);

/* ---- git_poll.c: refs that moved without a message ---- */

/* The trigger was changed. A hint. */
void git_poll_wake(struct git_hooks *h, const char *trigger_id);
void git_poll_shard_start(struct git_hooks *h);
void git_poll_shard_stop(struct git_hooks *h, unsigned shard);
void git_poll_init(struct git_hooks *h);
void git_poll_finish(struct git_hooks *h);

/* ---- git_groups.c ---- */

/* Ask this run to end, for a group of the policy "cancel". */
void git_groups_cancel(struct git_hooks *h, const char *run_id);
void git_groups_init(struct git_hooks *h);
void git_groups_done(struct git_hooks *h);

/* ---- git_inquiry.c, git_triggers.c: what is under way is dropped ---- */
void git_inquiries_free(struct git_hooks *h);
void git_trigger_requests_free(struct git_hooks *h);

/* ---- git_limit.c: senders of what is not genuine ---- */

struct git_limit *git_limit_new(void);
void git_limit_free(struct git_limit *limit);
/* False: this peer has sent so much to this trigger that was refused that it has to wait. */
bool git_limit_allows(struct git_limit *limit, const char *trigger, const char *peer);
void git_limit_refused(struct git_limit *limit, const char *trigger, const char *peer);

#endif
