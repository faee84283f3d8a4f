/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the refs of a repository tell: which of them have moved since they were looked at last, as
 * messages that no forge has sent. Pure.
 */
#ifndef WEBHOOKS_GIT_POLL_H
#define WEBHOOKS_GIT_POLL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "webhooks/in/forge_api.h"

struct err;
struct map;
struct pool;

#define GIT_POLL_CHANGES_MAX 100 /* gone through at a time */
/* A message that came so long before the last look counts as one that came after it: the clocks of
 * daemons differ. */
#define GIT_POLL_OVERLAP_US INT64_C(300000000)

/* A ref that is not where it was. */
struct git_move {
    const char *ref;
    const char *before, *after; /* object ids; all zeros: was not, is no more */
    const char *commit;         /* what after is or, of an annotated tag, points to */
};

/*
 * Those that differ between kept (ref -> id) and now; at most GIT_POLL_CHANGES_MAX, those that are
 * there first. Texts are borrowed from both. True: these are all.
 */
bool git_moves(struct pool *pool, const struct map *kept, const struct git_refs *now,
    struct git_move **out, size_t *count);

/*
 * The payload of a message about it: what git_poll_read() reads. since_us: when the refs were
 * looked at before; it tells this move from the same one at another time. In the pool; NULL: a name
 * in it is not UTF-8.
 */
const char *git_poll_payload(struct pool *pool, const char *repository, const char *url,
    int64_t since_us, const struct git_move *move);
/* A message made of such a payload. ERR_INVALID says which member is wrong. */
int git_poll_read(struct pool *pool, enum forge forge, const char *payload, size_t len,
    struct hook_message *out, struct err *err);

#endif
