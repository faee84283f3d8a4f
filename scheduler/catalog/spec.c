/* SPDX-License-Identifier: Apache-2.0 */
/* Stored specs: canonical pipeline text under its SHA-256. They never change and are kept. */
#include "scheduler/catalog.h"

#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "base/util.h"
#include "catalog/op.h"
#include "catalog/plan_cache.h"
#include "scheduler/plan.h"

void spec_put(struct catalog *c, const struct plan *plan, char sha_out[65], catalog_done_fn *done,
    void *owner)
{
    char *text CLEANUP(cleanup_free) = plan_canonical(plan);
    size_t len = strlen(text);
    sha256_hex(text, len, sha_out);
    struct catalog_op *op = op_new(c, done, owner, "spec %s", sha_out);
    op->call =
        store_cmd(c->store, op_on_done, op, "SET %sspec:%s %b NX", c->prefix, sha_out, text, len);
}

void spec_plan(struct catalog *c, const char *sha, catalog_plan_fn *done, void *owner)
{
    plan_cache_get(c->plans, sha, done, owner);
}

void spec_plan_cancel(struct catalog *c, const void *owner)
{
    plan_cache_cancel(c->plans, owner);
}
