/* SPDX-License-Identifier: Apache-2.0 */
/* Files and folders as artifacts are: walking, measuring, copying, removing. */
#ifndef LAUNCH_TREE_H
#define LAUNCH_TREE_H

#include <stdbool.h>
#include <stdint.h>

struct err;

/* Makes the folders on the way to path, not path itself. */
int tree_make_parents(const char *path, struct err *err);
/*
 * fn for each regular file: rel is "" if path itself is a file. Links to files are followed,
 * links to folders are not. ERR_NOT_FOUND if nothing is there. fn's -1 ends it.
 */
typedef int tree_fn(void *owner, const char *path, const char *rel, int64_t size, struct err *err);
int tree_walk(const char *path, tree_fn *fn, void *owner, struct err *err);
/* SHA-256 of a file in hex. */
int tree_digest(const char *path, char hex_out[65], struct err *err);
/* Copy a file or a folder; what is at `to` is replaced file by file. */
int tree_copy(const char *from, const char *to, struct err *err);
/* Remove everything, also out of folders that were made read-only. Errors are not reported. */
void tree_remove(const char *path);

#endif
