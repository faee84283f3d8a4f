/* SPDX-License-Identifier: Apache-2.0 */
/* Pipeline versions: a name for a stored spec. */
#include "catalog/version.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/secret.h"
#include "base/util.h"
#include "catalog/op.h"
#include "catalog/plan_cache.h"
#include "catalog_scripts.h"
#include "scheduler/plan.h"

static const char *or_else(const char *text, const char *fallback)
{
    return text != NULL && text[0] != '\0' ? text : fallback;
}

int version_draft(struct version_draft *draft, const struct version_input *in,
    const char *pipeline_id, int64_t now_us, struct err *err)
{
    /* Either name may be missing; each stands in for the other. */
    const char *name = or_else(in->name, in->display_name);
    const char *display_name = or_else(in->display_name, in->name);
    if (check_name(name, VERSION_NAME_MAX, "pipeline version name", err) != 0 ||
        check_text(display_name, "pipeline version display_name", err) != 0 ||
        check_text(in->description, "pipeline version description", err) != 0 ||
        check_text(in->code_source_url, "code_source_url", err) != 0 ||
        check_text(in->package_url, "package_url", err) != 0 || check_tags(in->tags, err) != 0) {
        return -1;
    }
    memset(draft, 0, sizeof(*draft));
    if (in->id != NULL) {
        memcpy(draft->id.text, in->id, sizeof(draft->id.text));
    } else {
        id_new(&draft->id);
    }
    draft->name = name;
    draft->spec = plan_canonical(in->plan);
    sha256_hex(draft->spec, strlen(draft->spec), draft->sha);
    json_t *record CLEANUP(json_decrefp) = json_object();
    json_object_set_new(record, "v", json_integer(CATALOG_RECORD_VERSION));
    record_set(record, "id", draft->id.text);
    record_set(record, "pipeline_id", pipeline_id);
    record_set(record, "name", name);
    record_set(record, "display_name", display_name);
    record_set(record, "description", in->description);
    json_object_set_new(record, "created_us", json_integer(now_us));
    record_set(record, "spec", draft->sha);
    record_set(record, "code_source_url", in->code_source_url);
    record_set(record, "package_url", in->package_url);
    record_set(record, "commit", in->commit);
    json_object_set_new(
        record, "tags", json_is_object(in->tags) ? json_deep_copy(in->tags) : json_object());
    draft->record = jtext(record);
    return 0;
}

void version_draft_done(struct version_draft *draft)
{
    free(draft->record);
    free(draft->spec);
}

void version_create(
    struct catalog *c, const struct version_input *in, catalog_done_fn *done, void *owner)
{
    const char *pipeline_id = in->pipeline_id == NULL ? "" : in->pipeline_id;
    struct catalog_op *op = op_new(c, done, owner, "pipeline %.200s", pipeline_id);
    if (!op_id_ok(op, pipeline_id)) {
        return;
    }
    free(op->what);
    op->what = xasprintf("pipeline version '%.200s'", in->name == NULL ? "" : in->name);
    struct version_draft draft;
    int64_t now_us = clock_now_us();
    if (version_draft(&draft, in, pipeline_id, now_us, &op->err) != 0) {
        op_fail_later(op);
        return;
    }
    struct store_args *args = store_args_new();
    store_key(args, "%spipeline:%s", c->prefix, pipeline_id);
    store_key(args, "%sversion:%s", c->prefix, draft.id.text);
    store_key(args, "%spipeline:%s:versions", c->prefix, pipeline_id);
    store_key(args, "%spipeline:%s:version_names", c->prefix, pipeline_id);
    store_key(args, "%sspec:%s", c->prefix, draft.sha);
    store_arg(args, pipeline_id);
    store_arg(args, draft.id.text);
    store_arg(args, draft.name);
    store_arg(args, draft.record);
    store_arg_i(args, now_us);
    store_arg(args, draft.spec);
    op_eval(op, &script_version_create, args, op_on_record);
    version_draft_done(&draft);
}

void version_get(struct catalog *c, const char *id, catalog_done_fn *done, void *owner)
{
    op_read(op_new(c, done, owner, "pipeline version %.200s", id == NULL ? "" : id), "version", id);
}

void version_latest(struct catalog *c, const char *pipeline_id, catalog_done_fn *done, void *owner)
{
    struct catalog_op *op =
        op_new(c, done, owner, "pipeline %.200s", pipeline_id == NULL ? "" : pipeline_id);
    if (!op_id_ok(op, pipeline_id)) {
        return;
    }
    char *what = xasprintf("a version of pipeline %s", pipeline_id);
    free(op->what);
    op->what = what;
    char *prefix CLEANUP(cleanup_free) = xasprintf("%sversion:", c->prefix);
    struct store_args *args = store_args_new();
    store_key(args, "%spipeline:%s:versions", c->prefix, pipeline_id);
    store_arg(args, prefix);
    op_eval(op, &script_newest_of, args, op_on_record);
}

void version_all(struct catalog *c, const char *pipeline_id, catalog_done_fn *done, void *owner)
{
    struct catalog_op *op = op_new(
        c, done, owner, "versions of pipeline %.200s", pipeline_id == NULL ? "" : pipeline_id);
    if (op_id_ok(op, pipeline_id)) {
        op_read_all(op, "version", xasprintf("%spipeline:%s:versions", c->prefix, pipeline_id));
    }
}

void version_update(
    struct catalog *c, const char *id, const json_t *changes, catalog_done_fn *done, void *owner)
{
    static const char *const allowed[] = {"display_name", "description", "tags", NULL};
    op_change(op_new(c, done, owner, "pipeline version %.200s", id == NULL ? "" : id), "version",
        id, changes, allowed);
}

void version_delete(struct catalog *c, const char *id, catalog_done_fn *done, void *owner)
{
    struct catalog_op *op = op_new(c, done, owner, "pipeline version %.200s", id == NULL ? "" : id);
    if (!op_id_ok(op, id)) {
        return;
    }
    char *prefix CLEANUP(cleanup_free) = xasprintf("%spipeline:", c->prefix);
    struct store_args *args = store_args_new();
    store_key(args, "%sversion:%s", c->prefix, id);
    store_arg(args, id);
    store_arg(args, prefix);
    op_eval(op, &script_version_delete, args, op_on_done);
}
