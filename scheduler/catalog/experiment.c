/* SPDX-License-Identifier: Apache-2.0 */
/* Experiments: folders for runs. */
#include "scheduler/catalog.h"

#include <string.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/id.h"
#include "base/json.h"
#include "base/util.h"
#include "catalog/op.h"
#include "catalog_scripts.h"

#define DEFAULT_NAME "Default"
#define DEFAULT_DESCRIPTION                                                                        \
    "All runs created without specifying an experiment will be grouped here."

static void experiment_make(struct catalog *c, const char *name, const char *description,
    bool adopt, catalog_done_fn *done, void *owner)
{
    struct catalog_op *op = op_new(c, done, owner, "experiment '%.200s'", name == NULL ? "" : name);
    if (check_name(name, EXPERIMENT_NAME_MAX, "experiment name", &op->err) != 0 ||
        check_text(description, "experiment description", &op->err) != 0) {
        op_fail_later(op);
        return;
    }
    struct id id;
    id_new(&id);
    int64_t now_us = clock_now_us();
    json_t *record CLEANUP(json_decrefp) = json_object();
    json_object_set_new(record, "v", json_integer(CATALOG_RECORD_VERSION));
    record_set(record, "id", id.text);
    record_set(record, "name", name);
    record_set(record, "description", description);
    json_object_set_new(record, "created_us", json_integer(now_us));
    record_set(record, "state", "AVAILABLE");
    char *text CLEANUP(cleanup_free) = jtext(record);
    char *prefix CLEANUP(cleanup_free) = xasprintf("%sexperiment:", c->prefix);

    struct store_args *args = store_args_new();
    store_key(args, "%s%s", prefix, id.text);
    store_key(args, "%sexperiments", c->prefix);
    store_key(args, "%sexperiment_names", c->prefix);
    store_arg(args, id.text);
    store_arg(args, name);
    store_arg(args, text);
    store_arg_i(args, now_us);
    store_arg(args, adopt ? "1" : "0");
    store_arg(args, prefix);
    op_eval(op, &script_experiment_create, args, op_on_record);
}

void experiment_create(struct catalog *c, const char *name, const char *description,
    catalog_done_fn *done, void *owner)
{
    experiment_make(c, name, description, false, done, owner);
}

void experiment_get(struct catalog *c, const char *id, catalog_done_fn *done, void *owner)
{
    op_read(op_new(c, done, owner, "experiment %.200s", id == NULL ? "" : id), "experiment", id);
}

void experiment_default(struct catalog *c, catalog_done_fn *done, void *owner)
{
    experiment_make(c, DEFAULT_NAME, DEFAULT_DESCRIPTION, true, done, owner);
}

void experiment_set_state(
    struct catalog *c, const char *id, const char *state, catalog_done_fn *done, void *owner)
{
    static const char *const allowed[] = {"state", NULL};
    struct catalog_op *op = op_new(c, done, owner, "experiment %.200s", id == NULL ? "" : id);
    if (strcmp(state, "AVAILABLE") != 0 && strcmp(state, "ARCHIVED") != 0) {
        err_set(&op->err, ERR_INVALID, "%s: its state can be AVAILABLE or ARCHIVED, not '%.40s'",
            op->what, state);
        op_fail_later(op);
        return;
    }
    json_t *changes CLEANUP(json_decrefp) = json_object();
    record_set(changes, "state", state);
    op_change(op, "experiment", id, changes, allowed);
}

void experiment_delete(struct catalog *c, const char *id, catalog_done_fn *done, void *owner)
{
    struct catalog_op *op = op_new(c, done, owner, "experiment %.200s", id == NULL ? "" : id);
    if (!op_id_ok(op, id)) {
        return;
    }
    struct store_args *args = store_args_new();
    store_key(args, "%sexperiment:%s", c->prefix, id);
    store_key(args, "%sexperiments", c->prefix);
    store_key(args, "%sexperiment_names", c->prefix);
    store_arg(args, id);
    store_arg(args, DEFAULT_NAME);
    op_eval(op, &script_experiment_delete, args, op_on_done);
}

void experiment_all(struct catalog *c, catalog_done_fn *done, void *owner)
{
    op_read_all(
        op_new(c, done, owner, "experiments"), "experiment", xasprintf("%sexperiments", c->prefix));
}
