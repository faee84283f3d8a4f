/* SPDX-License-Identifier: Apache-2.0 */
/* Why a task was not found in the cache: what differs from the last task of its component. */
#include <stdlib.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/util.h"
#include "run/cache.h"

#define REASON_MAX 2000
#define NAMED_MAX 5

struct difference {
    struct buf *out;
    size_t count;
};

static void add_difference(struct difference *d, const char *name, const char *how)
{
    if (d->count++ < NAMED_MAX) {
        buf_addf(d->out, "%s%.200s %s", d->count == 1 ? "" : ", ", name, how);
    }
}

static void compare(struct difference *d, const json_t *now, const json_t *then)
{
    const char *name;
    json_t *part;
    json_object_foreach((json_t *)now, name, part)
    {
        const json_t *other = json_object_get(then, name);
        if (other == NULL) {
            add_difference(d, name, "was not given then");
        } else if (!json_equal(part, (json_t *)other)) {
            add_difference(d, name, "differs");
        }
    }
    json_object_foreach((json_t *)then, name, part)
    {
        if (json_object_get(now, name) == NULL) {
            add_difference(d, name, "was given then");
        }
    }
}

char *cache_explain_miss(const struct cache_key *key, const json_t *last)
{
    const char *run = jget_str(last, "run", NULL);
    if (run == NULL) {
        return xstrdup("no task of this component has succeeded before with caching on");
    }
    struct buf out;
    buf_init(&out, REASON_MAX);
    buf_addf(&out, "no earlier task with the same inputs; compared with task %.300s of run %s: ",
        jget_str(last, "task", ""), run);
    struct difference d = {.out = &out};
    compare(&d, key->print.parts, json_object_get(last, "parts"));
    if (d.count > NAMED_MAX) {
        buf_addf(&out, " and %zu more", d.count - NAMED_MAX);
    } else if (d.count == 0) {
        buf_adds(&out, "nothing differs, but its result is not kept any more");
    }
    return buf_steal(&out, NULL);
}
