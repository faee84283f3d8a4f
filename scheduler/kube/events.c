/* SPDX-License-Identifier: Apache-2.0 */
/* A watch's bytes as events: one JSON object a line, in pieces of any size. Pure. */
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "kube/internal.h"

static int read_line(const char *text, size_t len,
    int (*fn)(void *owner, const struct kube_event *event), void *owner)
{
    json_t *line = json_loadb(text, len, 0, NULL);
    const json_t *object = json_object_get(line, "object");
    struct kube_event event = {
        .kind = KUBE_EVENT_OBJECT,
        .type = jget_str(line, "type", ""),
        .object = object,
        .version = jget_str(json_object_get(object, "metadata"), "resourceVersion", NULL),
    };
    if (strcmp(event.type, "ERROR") == 0) {
        event.kind = KUBE_EVENT_ERROR;
    } else if (!json_is_object(object)) {
        event.kind = KUBE_EVENT_UNREADABLE;
    } else if (strcmp(event.type, "BOOKMARK") == 0) {
        event.kind = KUBE_EVENT_BOOKMARK;
    }
    int rc = fn(owner, &event);
    json_decref(line);
    return rc;
}

int kube_events_read(struct buf *line, const char *data, size_t len,
    int (*fn)(void *owner, const struct kube_event *event), void *owner)
{
    while (len > 0) {
        const char *end = memchr(data, '\n', len);
        size_t part = end != NULL ? (size_t)(end - data) : len;
        if (buf_add(line, data, part) != 0) {
            struct kube_event event = {.kind = KUBE_EVENT_UNREADABLE, .type = ""};
            return fn(owner, &event);
        }
        if (end == NULL) {
            return 0;
        }
        int rc = line->len > 0 ? read_line(line->data, line->len, fn, owner) : 0;
        buf_reset(line);
        if (rc != 0) {
            return rc;
        }
        data += part + 1;
        len -= part + 1;
    }
    return 0;
}
