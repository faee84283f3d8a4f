/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes of a watch: however they are cut, the same events come out; and whatever object is in one,
 * its status is read or ignored.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/util.h"
#include "exec/pods.h"
#include "kube/internal.h"

#define LINE_MAX_BYTES 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct tally {
    unsigned kinds[4];
    int64_t phases;
};

static int on_event(void *owner, const struct kube_event *event)
{
    struct tally *tally = owner;
    tally->kinds[event->kind]++;
    assert(event->type != NULL);
    if (event->kind == KUBE_EVENT_OBJECT) {
        struct pod_status status;
        pod_status_read(event->object, &status);
        assert(strlen(status.words) < sizeof status.words);
        tally->phases = tally->phases * 7 + (int)status.phase;
    }
    return event->kind == KUBE_EVENT_UNREADABLE || event->kind == KUBE_EVENT_ERROR;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct tally whole = {0}, cut = {0};
    struct buf line;
    buf_init(&line, LINE_MAX_BYTES);
    int rc = kube_events_read(&line, text, size, on_event, &whole);
    buf_done(&line);
    buf_init(&line, LINE_MAX_BYTES);
    int cut_rc = 0;
    size_t step = size > 0 ? data[0] % 7 + 1 : 1;
    for (size_t i = 0; i < size && cut_rc == 0; i += step) {
        cut_rc =
            kube_events_read(&line, text + i, i + step > size ? size - i : step, on_event, &cut);
    }
    buf_done(&line);
    assert(rc == cut_rc && memcmp(whole.kinds, cut.kinds, sizeof cut.kinds) == 0);
    assert(whole.phases == cut.phases);
    return 0;
}
