/* SPDX-License-Identifier: Apache-2.0 */
/* URIs of artifacts that rondo did not make: imported ones, and those that a run is given. */
#include "pipeline/artifact_uri.h"

#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/util.h"

#define MAX_URI 8192

/*
 * Nothing is fetched here, so any place that a program may know how to read will do; but a slip of
 * the pen is better told now than by the task that reads it.
 */
static const char *const schemes[] = {"gs", "s3", "minio", "oci", "file", "http", "https", "hf",
    "abfs", "abfss", "wasb", "wasbs", "hdfs", "dbfs"};

int artifact_uri_check(const char *uri, const char *schema_title, struct err *err)
{
    size_t len = strlen(uri), scheme = strcspn(uri, ":");
    if (len == 0 || len > MAX_URI) {
        return err_set(err, ERR_INVALID,
            len == 0 ? "the artifact's URI is empty" : "the artifact's URI is too long");
    }
    if (uri[0] == '/') { /* a path: whose it is, the executor knows */
        return 0;
    }
    for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
        if (strlen(schemes[i]) != scheme || strncmp(uri, schemes[i], scheme) != 0 ||
            !str_starts(uri + scheme, "://")) {
            continue;
        }
        if (strcmp(schemes[i], "oci") == 0 && !str_eq(schema_title, "system.Model")) {
            return err_set(err, ERR_INVALID,
                "the artifact's URI '%.200s': oci:// images can be imported as system.Model only",
                uri);
        }
        return 0;
    }
    struct buf known;
    buf_init(&known, 400);
    for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
        buf_addf(&known, "%s%s://", i == 0 ? "" : ", ", schemes[i]);
    }
    err_set(err, ERR_INVALID,
        "the artifact's URI '%.200s' begins with nothing that artifacts can have; it must be one "
        "of %s",
        uri, buf_str(&known));
    buf_done(&known);
    return -1;
}
