/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What records were last shown as: texts by record, each with the stamp of the record it was made
 * from. It answers nothing by itself: who finds a text reads the record's stamp from Redis, and
 * uses the text only if that is the same. So no reply is older than the request. Bounded; what
 * was not used for long goes first.
 */
#ifndef API_KFP_SHOWN_H
#define API_KFP_SHOWN_H

#include <stddef.h>
#include <stdint.h>

#include "base/stamp.h"

struct shown;

enum shown_kind { SHOWN_RUN, SHOWN_RUN_ROW, SHOWN_RECURRING };

struct shown_text {
    struct stamp stamp;
    int64_t until_us; /* it depends on the time, and holds before this instant; 0: for ever */
    size_t len;
    const char *text;
};

struct shown *shown_new(size_t max_bytes);
void shown_free(struct shown *shown);
/* The connection to Redis was lost. It may come back without its last second, and the stamps of
 * that second be given again to something else. */
void shown_clear(struct shown *shown);

/* Borrowed until the next put. NULL when there is none. */
const struct shown_text *shown_find(struct shown *shown, enum shown_kind kind, const char *id);
/* Copies. Replaces an older one; what is too large, or has an empty stamp, is not kept. */
void shown_put(
    struct shown *shown, enum shown_kind kind, const char *id, const struct shown_text *text);

#endif
