/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of an artifact store, shared by this folder's files. */
#ifndef ARTIFACT_STORE_H
#define ARTIFACT_STORE_H

#include "artifact/upload.h"
#include "scheduler/artifact.h"

struct artifact_store {
    char *root; /* "file:///data/artifacts", percent-encoded, no slash at the end */
    char *path; /* "/data/artifacts", real */
    int fd;     /* of path */
    struct upload_table uploads;
};

/* Path of the artifact's file relative to the root; "." for the root itself. Text only. */
int artifact_relative(const struct artifact_store *store, const char *uri, const char *file,
    struct buf *out, struct err *err);
/* Folders of unfinished files carry this ending and are never listed. */
#define ARTIFACT_PART_SUFFIX ".rondo-part"

#endif
