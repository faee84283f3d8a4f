/* SPDX-License-Identifier: Apache-2.0 */
/* A folder for one test, removed at its end; and small files in it. Header only. */
#ifndef TESTS_TEMP_DIR_H
#define TESTS_TEMP_DIR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"

struct temp_dir {
    char path[64];
};

static inline void temp_dir_init(struct temp_dir *dir)
{
    snprintf(dir->path, sizeof dir->path, "/tmp/rondo-test-XXXXXX");
    if (mkdtemp(dir->path) == NULL) {
        abort();
    }
}

static inline void temp_dir_done(struct temp_dir *dir)
{
    struct err err = ERR_INIT;
    if (dir_remove(dir->path, &err) != 0) {
        fprintf(stderr, "%s: %s\n", dir->path, err.msg);
    }
}

/* "<dir>/<name>", in one of a few buffers in turn. */
static inline const char *temp_path(const struct temp_dir *dir, const char *name)
{
    static char paths[16][512];
    static unsigned next;
    char *out = paths[next++ % 16];
    snprintf(out, sizeof paths[0], "%s/%s", dir->path, name);
    return out;
}

static inline void temp_write(const struct temp_dir *dir, const char *name, const char *text)
{
    CLEANUP(cleanup_free) char *path = xasprintf("%s/%s", dir->path, name);
    struct err err = ERR_INIT;
    *strrchr(path, '/') = '\0';
    if (dir_make(path, 0755, &err) != 0 ||
        file_write_atomic(temp_path(dir, name), text, strlen(text), 0644, &err) != 0) {
        fprintf(stderr, "%s\n", err.msg);
        abort();
    }
}

/* malloc'd; NULL if it is not there. */
static inline char *temp_read(const struct temp_dir *dir, const char *name)
{
    struct err err = ERR_INIT;
    return file_read(temp_path(dir, name), 256u << 20, NULL, &err);
}

static inline bool temp_exists(const struct temp_dir *dir, const char *name)
{
    return access(temp_path(dir, name), F_OK) == 0;
}

#endif
