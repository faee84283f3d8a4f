/* SPDX-License-Identifier: Apache-2.0 */
/* Pods that are only shown: the pure parts of the Kubernetes executor, without a cluster. */
#include "base/buf.h"
#include "base/err.h"
#include "exec/pods.h"
#include "scheduler/artifact.h"

/* As for real pods: the image's own. */
static void preview_work_dir(void *self, const struct attempt_name *name, struct buf *out)
{
    (void)self;
    (void)name;
    (void)out;
}

static void preview_artifact_path(
    void *self, const struct attempt_name *name, const char *uri, struct buf *out)
{
    const struct pods_preview *preview = self;
    (void)name;
    pod_artifact_path(artifact_store_root(preview->artifacts), uri, out);
}

static const struct executor_ops ops = {
    .name = "kubernetes",
    .work_dir = preview_work_dir,
    .artifact_path = preview_artifact_path,
};

void executor_pods_preview(struct pods_preview *preview, struct executor *out)
{
    *out = (struct executor){.ops = &ops, .self = preview};
}

json_t *pods_preview_manifest(const struct pods_preview *preview, const struct attempt_name *name,
    const json_t *order, const json_t *container, struct err *err)
{
    struct pod_spec spec = {
        .name = name,
        .instance = preview->instance,
        .url = preview->url,
        .token = preview->token,
        .launcher_image = preview->launcher_image,
        .service_account = preview->service_account,
        .start_timeout_ms = preview->pod_start_timeout_ms,
        .order = order,
        .container = container,
    };
    return pod_manifest(&spec, err);
}
