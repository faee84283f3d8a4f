/* SPDX-License-Identifier: Apache-2.0 */
/* The catalogue itself. What it holds: experiment.c, pipeline.c, version.c, spec.c. */
#include "scheduler/catalog.h"

#include <stdlib.h>

#include "base/util.h"
#include "catalog/op.h"
#include "catalog/plan_cache.h"

struct catalog *catalog_new(struct loop *loop, struct store *store)
{
    struct catalog *c = xcalloc(1, sizeof(*c));
    c->loop = loop;
    c->store = store;
    c->prefix = store_catalog_prefix(store);
    c->plans = plan_cache_new(loop, store, PLAN_CACHE_MAX_BYTES);
    return c;
}

void catalog_free(struct catalog *c)
{
    if (c == NULL) {
        return;
    }
    op_drop(c, NULL);
    plan_cache_free(c->plans);
    free(c);
}

void catalog_cancel(struct catalog *c, const void *owner)
{
    if (owner != NULL) {
        op_drop(c, owner);
        plan_cache_cancel(c->plans, owner);
    }
}
