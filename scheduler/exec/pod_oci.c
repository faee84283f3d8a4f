/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Models that are images (oci://, "Modelcar"): nobody fetches them, the image runs as a sidecar and
 * its /models is reached through /proc. As in KFP an init container first makes sure that the image
 * is one; the sidecar's startup probe keeps the step back until the model is there.
 */
#include "exec/pods.h"

#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/util.h"

#define VOLUME "rondo-oci"
#define ROOT "/oci"
#define MAX_PATH_BYTES 8192
#define PROBE_S 1
#define PROBES 300

bool pod_uri_is_image(const char *uri)
{
    return str_starts(uri, "oci://") && uri[strlen("oci://")] != '\0';
}

/* "/oci/<uri with _ for />": what the SDK makes of the URI. */
static void image_folder(const char *uri, struct buf *out)
{
    buf_adds(out, ROOT "/");
    for (const char *p = uri + strlen("oci://"); *p != '\0'; p++) {
        buf_addc(out, *p == '/' ? '_' : *p);
    }
}

void pod_image_path(const char *uri, struct buf *out)
{
    image_folder(uri, out);
    buf_adds(out, "/models");
}

static json_t *make_container(const char *kind, size_t index, const char *image, json_t *command)
{
    CLEANUP(cleanup_free) char *name = xasprintf("rondo-oci-%s-%zu", kind, index);
    return json_pack("{s:s,s:s,s:o,s:{s:{s:s,s:s},s:{s:s,s:s}},s:o}", "name", name, "image", image,
        "command", command, "resources", "requests", "cpu", "10m", "memory", "32Mi", "limits",
        "cpu", "500m", "memory", "128Mi", "securityContext", pod_security());
}

/* The link goes through the sidecar's own process, which all containers of the pod see. */
static json_t *make_sidecar(size_t index, const char *image, const char *folder)
{
    static const char script[] = "mkdir -p \"$1\" && ln -sfn /proc/$$/root/models \"$1/models\" && "
                                 "trap 'exit 0' TERM && while :; do sleep 1; done";
    CLEANUP(cleanup_free) char *models = xasprintf("%s/models/", folder);
    json_t *sidecar = make_container(
        "model", index, image, json_pack("[s,s,s,s,s]", "sh", "-c", script, "model", folder));
    json_object_set_new(sidecar, "restartPolicy", json_string("Always"));
    json_object_set_new(
        sidecar, "volumeMounts", json_pack("[{s:s,s:s}]", "name", VOLUME, "mountPath", ROOT));
    json_object_set_new(sidecar, "startupProbe",
        json_pack("{s:{s:[s,s,s]},s:i,s:i}", "exec", "command", "test", "-e", models,
            "periodSeconds", PROBE_S, "failureThreshold", PROBES));
    return sidecar;
}

static bool is_earlier(const json_t *inputs, size_t before, const char *uri)
{
    for (size_t i = 0; i < before; i++) {
        if (str_eq(jget_str(json_array_get(inputs, i), "uri", NULL), uri)) {
            return true;
        }
    }
    return false;
}

void pod_images_add(json_t *pod, const json_t *order)
{
    const json_t *inputs = json_object_get(order, "inputs");
    json_t *spec = json_object_get(pod, "spec");
    json_t *containers = json_object_get(spec, "initContainers");
    json_t *main = json_array_get(json_object_get(spec, "containers"), 0);
    size_t i, count = 0;
    json_t *input;
    json_array_foreach(inputs, i, input)
    {
        const char *uri = jget_str(input, "uri", "");
        if (!pod_uri_is_image(uri) || is_earlier(inputs, i, uri)) {
            continue;
        }
        const char *image = uri + strlen("oci://");
        struct buf folder;
        buf_init(&folder, MAX_PATH_BYTES);
        image_folder(uri, &folder);
        json_array_append_new(containers,
            make_container("check", count, image,
                json_pack("[s,s,s]", "sh", "-c",
                    "test -d /models || { echo 'the image has no /models' >&2; exit 1; }")));
        json_array_append_new(containers, make_sidecar(count, image, buf_str(&folder)));
        buf_done(&folder);
        count++;
    }
    if (count == 0) {
        return;
    }
    json_object_set_new(spec, "shareProcessNamespace", json_true());
    json_array_append_new(
        json_object_get(spec, "volumes"), json_pack("{s:s,s:{}}", "name", VOLUME, "emptyDir"));
    json_array_append_new(json_object_get(main, "volumeMounts"),
        json_pack("{s:s,s:s}", "name", VOLUME, "mountPath", ROOT));
}
