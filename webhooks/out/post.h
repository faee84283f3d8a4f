/* SPDX-License-Identifier: Apache-2.0 */
/* One delivery in memory, from its claim until Redis knows how the attempt ended. */
#ifndef WEBHOOKS_POST_H
#define WEBHOOKS_POST_H

#include "webhooks/out/channel.h"

#define POST_ERROR_MAX 300

enum post_state {
    POST_STATE_WAITING, /* behind another of its run */
    POST_STATE_READY,   /* in its channel's list */
    POST_STATE_SENDING, /* in the sender's list */
    POST_STATE_ENDED,   /* in its outbox's lists */
};

struct post {
    struct outbox *outbox;
    struct channel *channel;
    enum post_state state;
    struct post *prev, *next;     /* in the list that the state names */
    struct post *before, *behind; /* of its run, while it is in line */
    bool is_in_line, is_saving;
    struct http_call *call;
    char *delivery, *event, *type, *run, *sequence;
    char *body, *content_type;
    char *url, *host; /* it was sent to; NULL: not yet */
    json_t *headers;  /* array of "name: value" that go with it; or NULL */
    int64_t created_us;
    int64_t asked_us;                /* since when it is to be sent: made, or asked for again */
    int64_t made;                    /* attempts before this one */
    int64_t step;                    /* rungs of the schedule that are used up */
    int64_t due_us;                  /* it was due */
    int64_t begun_us, begun_mono_us; /* the attempt */
    bool is_probe, is_stalled;
    char address[64]; /* that was connected to */
    /* how it ended */
    const char *outcome; /* as deliveries_done.lua takes it */
    bool is_tried;
    int64_t next_us;
    int status;
    int64_t duration_ms;
    char error[POST_ERROR_MAX];
    char *attempt; /* JSON, for the log; or NULL */
};

void post_list_add(struct post_list *list, struct post *post);
void post_list_remove(struct post_list *list, struct post *post);

/* A claimed delivery; fields is the HGETALL reply, borrowed for the call. */
void post_start(struct outbox *outbox, const char *delivery_id, const redisReply *fields);
/* It is its turn. */
void post_begin(struct post *post);
/* Back to where it came from, untried. */
void post_give_back(struct post *post);
/* Forget it: Redis knows all of it, or another daemon goes on. */
void post_free(struct post *post);
/* Of one shard; NULL: all. */
void post_cancel_all(struct sender *sender, const struct outbox *of);
/* So long without an answer and it no longer counts as in flight: others get its place. */
void post_on_stall(void *sender);

#endif
