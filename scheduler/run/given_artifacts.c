/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Artifacts that a run is given: what the pipeline's root needs and no task makes. They are checked
 * and named before the run is created, and are part of its doc from then on.
 */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/id.h"
#include "base/json.h"
#include "base/secret.h"
#include "base/util.h"
#include "scheduler/artifact.h"
#include "scheduler/plan.h"
#include "scheduler/run.h"

#define PATH_MAX_BYTES 8192
/* Names given artifacts; any fixed UUID does. */
#define NAMESPACE "5f4d2c0e-7a36-4d0b-9b57-3f1f6f0d8a92"

/* A path of this machine as a URI. */
static void path_to_uri(json_t *artifact)
{
    struct buf uri;
    buf_init(&uri, (size_t)4 * PATH_MAX_BYTES);
    buf_adds(&uri, "file://");
    for (const char *p = jget_str(artifact, "uri", ""); *p != '\0'; p++) {
        buf_adds(&uri, *p == '%' ? "%25" : (char[]){*p, '\0'});
    }
    json_object_set_new(artifact, "uri", json_string(buf_str(&uri)));
    buf_done(&uri);
}

/* What lies on this machine must lie in the store, as with importers. */
static int place(const struct artifact_store *store, json_t *artifact, struct err *err)
{
    if (jget_str(artifact, "uri", "")[0] == '/') {
        path_to_uri(artifact);
    }
    const char *uri = jget_str(artifact, "uri", "");
    if (!str_starts(uri, "file://")) {
        return 0;
    }
    struct buf path;
    buf_init(&path, PATH_MAX_BYTES);
    int result = artifact_local_path(store, uri, &path, err);
    buf_done(&path);
    return result == 0 ? 0
                       : err_wrap(err,
                             "artifact '%.200s': a run can be given files of the "
                             "artifact root only",
                             jget_str(artifact, "name", ""));
}

/* The same type, URI and metadata is the same artifact: tasks that get it are found in the cache.
 */
static void identify(json_t *artifact)
{
    if (json_object_get(artifact, "id") != NULL) {
        return;
    }
    json_t *what CLEANUP(json_decrefp) = json_pack("[O,O,O]", json_object_get(artifact, "type"),
        json_object_get(artifact, "uri"), json_object_get(artifact, "metadata"));
    char hex[SHA256_HEX_LEN + 1];
    struct id id;
    json_fingerprint(what, hex);
    id_derive(&id, NAMESPACE, hex);
    json_object_set_new(artifact, "id", json_string(id.text));
}

json_t *run_bind_artifacts(const struct artifact_store *store, const struct plan *plan,
    const json_t *given, struct err *err)
{
    json_t *bound CLEANUP(json_decrefp) = plan_bind_artifacts(plan, given, err);
    if (bound == NULL) {
        return NULL;
    }
    const char *name;
    json_t *list;
    json_object_foreach(bound, name, list)
    {
        size_t i;
        json_t *artifact;
        json_array_foreach(list, i, artifact)
        {
            if (place(store, artifact, err) != 0) {
                err->code = ERR_INVALID;
                return NULL;
            }
            identify(artifact);
        }
    }
    return STEAL(bound);
}
