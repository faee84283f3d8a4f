/* SPDX-License-Identifier: Apache-2.0 */
/* Pipelines: a name with versions. */
#include "scheduler/catalog.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/json.h"
#include "base/util.h"
#include "catalog/op.h"
#include "catalog/version.h"
#include "catalog_scripts.h"

static const char *or_else(const char *text, const char *fallback)
{
    return text != NULL && text[0] != '\0' ? text : fallback;
}

static char *pipeline_record(const struct pipeline_input *in, const char *id, int64_t now_us)
{
    json_t *record CLEANUP(json_decrefp) = json_object();
    json_object_set_new(record, "v", json_integer(CATALOG_RECORD_VERSION));
    record_set(record, "id", id);
    record_set(record, "name", or_else(in->name, in->display_name));
    record_set(record, "display_name", or_else(in->display_name, in->name));
    record_set(record, "description", in->description);
    json_object_set_new(record, "created_us", json_integer(now_us));
    record_set(record, "namespace", in->space);
    json_object_set_new(
        record, "tags", json_is_object(in->tags) ? json_deep_copy(in->tags) : json_object());
    return jtext(record);
}

static int pipeline_check(const struct pipeline_input *in, struct err *err)
{
    if (check_name(or_else(in->name, in->display_name), PIPELINE_NAME_MAX, "pipeline name", err) !=
            0 ||
        check_text(in->display_name, "pipeline display_name", err) != 0 ||
        check_text(in->description, "pipeline description", err) != 0 ||
        check_text(in->space, "namespace", err) != 0) {
        return -1;
    }
    return check_tags(in->tags, err);
}

void pipeline_create(struct catalog *c, const struct pipeline_input *in,
    const struct version_input *version, catalog_done_fn *done, void *owner)
{
    const char *name = or_else(in->name, in->display_name);
    struct catalog_op *op = op_new(c, done, owner, "pipeline '%.200s'", name == NULL ? "" : name);
    struct id id;
    id_new(&id);
    int64_t now_us = clock_now_us();
    struct version_draft draft = {0};
    if (pipeline_check(in, &op->err) != 0 ||
        (version != NULL && version_draft(&draft, version, id.text, now_us, &op->err) != 0)) {
        op_fail_later(op);
        return;
    }
    char *record CLEANUP(cleanup_free) = pipeline_record(in, id.text, now_us);
    struct store_args *args = store_args_new();
    store_key(args, "%spipeline:%s", c->prefix, id.text);
    store_key(args, "%spipelines", c->prefix);
    store_key(args, "%spipeline_names", c->prefix);
    if (version != NULL) {
        store_key(args, "%sversion:%s", c->prefix, draft.id.text);
        store_key(args, "%spipeline:%s:versions", c->prefix, id.text);
        store_key(args, "%spipeline:%s:version_names", c->prefix, id.text);
        store_key(args, "%sspec:%s", c->prefix, draft.sha);
    }
    store_arg(args, id.text);
    store_arg(args, name);
    store_arg(args, record);
    store_arg_i(args, now_us);
    if (version != NULL) {
        store_arg(args, draft.id.text);
        store_arg(args, draft.name);
        store_arg(args, draft.record);
        store_arg(args, draft.spec);
    }
    op_eval(op, &script_pipeline_create, args, op_on_record);
    version_draft_done(&draft);
}

void pipeline_get(struct catalog *c, const char *id, catalog_done_fn *done, void *owner)
{
    op_read(op_new(c, done, owner, "pipeline %.200s", id == NULL ? "" : id), "pipeline", id);
}

void pipeline_get_by_name(struct catalog *c, const char *name, catalog_done_fn *done, void *owner)
{
    struct catalog_op *op = op_new(c, done, owner, "pipeline '%.200s'", name);
    char *prefix CLEANUP(cleanup_free) = xasprintf("%spipeline:", c->prefix);
    struct store_args *args = store_args_new();
    store_key(args, "%spipeline_names", c->prefix);
    store_arg(args, name);
    store_arg(args, prefix);
    op_eval(op, &script_named_record, args, op_on_record);
}

void pipeline_all(struct catalog *c, catalog_done_fn *done, void *owner)
{
    op_read_all(
        op_new(c, done, owner, "pipelines"), "pipeline", xasprintf("%spipelines", c->prefix));
}

void pipeline_update(
    struct catalog *c, const char *id, const json_t *changes, catalog_done_fn *done, void *owner)
{
    static const char *const allowed[] = {"display_name", "description", "tags", NULL};
    op_change(op_new(c, done, owner, "pipeline %.200s", id == NULL ? "" : id), "pipeline", id,
        changes, allowed);
}

void pipeline_delete(
    struct catalog *c, const char *id, bool cascade, catalog_done_fn *done, void *owner)
{
    struct catalog_op *op = op_new(c, done, owner, "pipeline %.200s", id == NULL ? "" : id);
    if (!op_id_ok(op, id)) {
        return;
    }
    char *prefix CLEANUP(cleanup_free) = xasprintf("%sversion:", c->prefix);
    struct store_args *args = store_args_new();
    store_key(args, "%spipeline:%s", c->prefix, id);
    store_key(args, "%spipelines", c->prefix);
    store_key(args, "%spipeline_names", c->prefix);
    store_key(args, "%spipeline:%s:versions", c->prefix, id);
    store_key(args, "%spipeline:%s:version_names", c->prefix, id);
    store_arg(args, id);
    store_arg(args, cascade ? "1" : "0");
    store_arg(args, prefix);
    op_eval(op, &script_pipeline_delete, args, op_on_done);
}
