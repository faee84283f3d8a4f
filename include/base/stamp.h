/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stamp: chosen fields of a stored hash as one text, which is the same as long as they are.
 * Who remembers what was made of a record asks for its stamp to know whether it still holds.
 */
#ifndef BASE_STAMP_H
#define BASE_STAMP_H

#include <stddef.h>
#include <stdint.h>

struct err;
struct store;

#define STAMP_MAX 256

/* Empty, which equals no stamp that was read, when the fields were too long. */
struct stamp {
    char text[STAMP_MAX];
    size_t len;
};

void stamp_add(struct stamp *stamp, const char *value); /* NULL and "" count as 0 */
void stamp_add_i(struct stamp *stamp, int64_t value);

/* ERR_NOT_FOUND when the hash has none of the fields. */
typedef void stamp_done_fn(void *owner, const struct stamp *stamp, const struct err *err);
void stamp_read(struct store *store, const char *key, const char *const *fields, size_t count,
    stamp_done_fn *done, void *owner);

#endif
