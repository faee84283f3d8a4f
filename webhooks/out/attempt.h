/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the log keeps of an attempt, as JSON without secrets: what was asked of whom, what came
 * back, how long each part took.
 */
#ifndef WEBHOOKS_ATTEMPT_H
#define WEBHOOKS_ATTEMPT_H

#include "webhooks/out/post.h"

#define ATTEMPT_ANSWER_MAX 8192 /* of the answer's body */
#define ATTEMPT_HEADERS_MAX 50  /* of the answer */
#define ATTEMPT_HEADER_MAX 1024

struct http_reply;
struct sockaddr;

/* The attempt has ended; reply NULL: without an answer. malloc'd. */
char *attempt_record(
    const struct post *post, const struct subscription *sub, const struct http_reply *reply);
/* The address that is about to be connected to. */
void attempt_note_address(struct post *post, const struct sockaddr *addr);

#endif
