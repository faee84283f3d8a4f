/* SPDX-License-Identifier: Apache-2.0 */
/* Adding to a list of complaints, with the place found through the readers' path. */
#ifndef PIPELINE_COMPLAIN_H
#define PIPELINE_COMPLAIN_H

#include <stdbool.h>
#include <stddef.h>

struct complaints;

/*
 * Where a reader is: a chain on the stack that is only written out when there is something to
 * complain about. key NULL: list element `index`.
 */
struct path {
    const struct path *up;
    const char *key;
    size_t index;
};

#define PATH_ROOT ((struct path){NULL, NULL, 0})

struct place {
    unsigned line, column;
};

/* An error. Beyond a few hundred they are only counted. */
void complain(struct complaints *c, struct place place, const struct path *path, const char *fmt,
    ...) __attribute__((format(printf, 4, 5)));
/* The same as a warning. */
void complain_mildly(struct complaints *c, struct place place, const struct path *path,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* Order by line, for people. */
void complaints_sort(struct complaints *c);

/* The name nearest to `word` in a NULL-terminated list, or NULL if none is near. */
const char *nearest_name(const char *word, const char *const *names);

#endif
