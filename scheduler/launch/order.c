/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a work order: version, kinds, ceilings; then the command's argv and environment. */
#include "launch/order.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/util.h"
#include "launch/base_env.h"
#include "launch/expand.h"
#include "scheduler/order.h"

enum { LIST_MAX = 100000, DEFAULT_TAIL = 8192, MOUNTS_MAX = 256 };
#define MIB INT64_C(1048576)
#define YEAR_S INT64_C(31536000)

static int read_texts(
    const json_t *obj, const char *key, const char ***out, size_t *len_out, struct err *err)
{
    const json_t *list = NULL;
    if (jread_array(obj, "", key, &list, err) != 0) {
        return -1;
    }
    size_t len = json_array_size(list);
    if (len > LIST_MAX) {
        return err_set(err, ERR_LIMIT, "%s: more than %d entries", key, LIST_MAX);
    }
    *out = xcalloc(len + 1, sizeof **out);
    for (size_t i = 0; i < len; i++) {
        (*out)[i] = json_string_value(json_array_get(list, i));
        if ((*out)[i] == NULL) {
            return err_set(err, ERR_INVALID, "%s[%zu]: expected a string", key, i);
        }
    }
    *len_out = len;
    return 0;
}

static int read_files(const json_t *obj, const char *key, bool need_uri, struct order_file **out,
    size_t *len_out, struct err *err)
{
    const json_t *list = NULL;
    if (jread_array(obj, "", key, &list, err) != 0) {
        return -1;
    }
    size_t len = json_array_size(list);
    if (len > LIST_MAX) {
        return err_set(err, ERR_LIMIT, "%s: more than %d entries", key, LIST_MAX);
    }
    *out = xcalloc(len + 1, sizeof **out);
    for (size_t i = 0; i < len; i++) {
        const json_t *item = json_array_get(list, i);
        struct order_file *file = *out + i;
        if (jread_need_string(item, key, "name", &file->name, err) != 0 ||
            jread_need_string(item, key, "path", &file->path, err) != 0 ||
            (need_uri && (jread_need_string(item, key, "uri", &file->uri, err) != 0 ||
                             jread_bool(item, key, "is_list", &file->is_list, err) != 0))) {
            return -1;
        }
        if (file->path[0] != '/') {
            return err_set(
                err, ERR_INVALID, "%s[%zu].path: '%s' is not absolute", key, i, file->path);
        }
    }
    *len_out = len;
    return 0;
}

static int read_limits(struct order *o, struct err *err)
{
    o->max_param_bytes = MIB;
    o->max_output_file_bytes = 8 * MIB;
    o->log_tail_bytes = DEFAULT_TAIL;
    o->report_deadline_s = 86400;
    o->grace_s = 10;
    const json_t *j = o->json;
    if (jread_i64(j, "", "timeout_s", 0, 100 * YEAR_S, &o->timeout_s, err) != 0 ||
        jread_i64(j, "", "max_param_bytes", 1, 16 * MIB, &o->max_param_bytes, err) != 0 ||
        jread_i64(j, "", "max_output_file_bytes", 1, 32 * MIB, &o->max_output_file_bytes, err) !=
            0 ||
        jread_i64(j, "", "log_tail_bytes", 0, MIB, &o->log_tail_bytes, err) != 0 ||
        jread_i64(j, "", "log_max_bytes", 0, INT64_MAX, &o->log_max_bytes, err) != 0 ||
        jread_i64(j, "", "report_deadline_s", 1, YEAR_S, &o->report_deadline_s, err) != 0 ||
        jread_i64(j, "", "grace_s", 0, 86400, &o->grace_s, err) != 0) {
        return -1;
    }
    return 0;
}

static int read_extras(struct order *o, struct err *err)
{
    const json_t *transfer = json_object_get(o->json, "transfer");
    const json_t *root = NULL, *venv = NULL;
    if (json_is_object(transfer)) {
        o->transfer = true;
        if (jread_string(transfer, "transfer", "url", &o->transfer_url, err) != 0 ||
            jread_string(transfer, "transfer", "token", &o->transfer_token, err) != 0) {
            return -1;
        }
    } else if (transfer != NULL && !json_is_false(transfer) && !json_is_null(transfer)) {
        return err_set(err, ERR_INVALID, "transfer: expected false or an object");
    }
    if (jread_object(o->json, "", "artifact_root", &root, err) != 0 ||
        jread_object(o->json, "", "venv", &venv, err) != 0) {
        return -1;
    }
    if (root != NULL && (jread_need_string(root, "artifact_root", "uri", &o->root_uri, err) != 0 ||
                            jread_need_string(root, "artifact_root", "path", &o->root_path, err))) {
        return -1;
    }
    if (venv != NULL &&
        (jread_need_string(venv, "venv", "dir", &o->venv_dir, err) != 0 ||
            jread_need_string(venv, "venv", "private", &o->venv_private, err) != 0 ||
            jread_string(venv, "venv", "cache", &o->venv_cache, err) != 0)) {
        return -1;
    }
    return 0;
}

static int read_mount(const json_t *item, struct order_mount *out, struct err *err)
{
    const char *where = "mounts";
    if (jread_need_string(item, where, "path", &out->path, err) != 0 ||
        jread_need_string(item, where, "from", &out->from, err) != 0 ||
        jread_need_string(item, where, "of", &out->of, err) != 0 ||
        jread_bool(item, where, "make", &out->make, err) != 0 ||
        jread_bool(item, where, "read_only", &out->read_only, err) != 0 ||
        jread_bool(item, where, "is_quiet", &out->is_quiet, err) != 0 ||
        jread_bool(item, where, "is_secret", &out->is_secret, err) != 0) {
        return -1;
    }
    return out->from[0] == '/'
               ? 0
               : err_set(err, ERR_INVALID, "mounts: '%s', the folder for %s, is not absolute",
                     out->from, out->path);
}

static int read_mounts(struct order *o, struct err *err)
{
    const json_t *list = NULL, *how = NULL;
    if (jread_array(o->json, "", "mounts", &list, err) != 0 ||
        jread_object(o->json, "", "mounting", &how, err) != 0) {
        return -1;
    }
    if (json_array_size(list) > MOUNTS_MAX) {
        return err_set(err, ERR_LIMIT, "mounts: more than %d entries", MOUNTS_MAX);
    }
    o->mounts = xcalloc(json_array_size(list) + 1, sizeof *o->mounts);
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (read_mount(json_array_get(list, i), &o->mounts[o->mounts_len++], err) != 0) {
            return -1;
        }
    }
    if (o->mounts_len == 0) {
        return 0;
    }
    if (jread_bool(how, "mounting", "is_allowed", &o->may_mount, err) != 0 ||
        jread_need_string(how, "mounting", "dir", &o->mount_dir, err) != 0) {
        return -1;
    }
    return read_texts(how, "keep", &o->mount_keep, &o->mount_keep_len, err);
}

/* Launcher's own environment, without its token; what belongs to the pod; the order's. */
static int make_env(struct order *o, char *const *own_env, struct err *err)
{
    const json_t *add = NULL, *base = NULL, *values = NULL;
    struct env_list list = {0};
    if (jread_object(o->json, "", "env", &add, err) != 0 ||
        jread_object(o->json, "", "env_values", &values, err) != 0 ||
        jread_array(o->json, "", "base_env", &base, err) != 0) {
        return -1;
    }
    for (; *own_env != NULL; own_env++) {
        if (!str_starts(*own_env, "RONDO_TOKEN=")) {
            env_put(&list, xstrdup(*own_env));
        }
    }
    int rc = base_env_add(&list, base, &o->trouble, err);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)add, key, value)
    {
        if (!json_is_string(value) || key[0] == '\0' || strchr(key, '=') != NULL) {
            rc = err_set(err, ERR_INVALID, "env.%s: expected a name without '=' and a string", key);
            break;
        }
        rc |= env_put_expanded(
            &list, key, json_string_value(value), json_object_get(values, key), err);
    }
    o->env = env_list_steal(&list);
    return rc;
}

/* What `values` has for each element of argv, by its index. */
static int read_values(const struct order *o, const json_t **of, struct err *err)
{
    const json_t *all = NULL;
    size_t i;
    json_t *one;
    if (jread_array(o->json, "", "values", &all, err) != 0) {
        return -1;
    }
    json_array_foreach((json_t *)all, i, one)
    {
        const json_t *index = json_array_get(one, 0);
        if (!json_is_integer(index) || json_integer_value(index) < 0 ||
            json_integer_value(index) >= (json_int_t)o->argc) {
            return err_set(err, ERR_INVALID, "values[%zu]: expected an index of argv first", i);
        }
        of[json_integer_value(index)] = one;
    }
    return 0;
}

static int expand_argv(struct order *o, const char **raw, struct err *err)
{
    const json_t **values CLEANUP(cleanup_free) = xcalloc(o->argc + 1, sizeof *values);
    o->argv = xcalloc(o->argc + 1, sizeof *o->argv);
    if (read_values(o, values, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < o->argc; i++) {
        o->argv[i] = expand_around(raw[i], values[i], 1, o->env, err);
        if (o->argv[i] == NULL) {
            return err_wrap(err, "values: argv[%zu]", i);
        }
    }
    return 0;
}

static int make_argv(struct order *o, struct err *err)
{
    const char **raw = NULL;
    int rc = read_texts(o->json, "argv", &raw, &o->argc, err);
    if (rc == 0 && (o->argc == 0 || raw[0][0] == '\0')) {
        rc = err_set(err, ERR_INVALID,
            "the component has neither command nor args, so there is nothing to run");
    }
    if (rc == 0) {
        rc = expand_argv(o, raw, err);
    }
    free(raw);
    return rc;
}

int order_parse(
    const char *text, size_t len, char *const *own_env, struct order *out, struct err *err)
{
    struct order o = {0};
    int64_t version = 0;
    o.json = jread_text(text, len, "work order", err);
    if (o.json == NULL) {
        return -1;
    }
    o.work_dir = "";
    if (jread_i64(o.json, "", "v", 0, INT64_MAX, &version, err) != 0) {
    } else if (version != ORDER_VERSION) {
        err_set(err, ERR_INVALID,
            "version %lld is not known to this launcher, it knows %d: daemon and launcher are of "
            "different releases",
            (long long)version, ORDER_VERSION);
    } else if (read_limits(&o, err) == 0 &&
               read_files(o.json, "inputs", true, &o.inputs, &o.inputs_len, err) == 0 &&
               read_files(o.json, "outputs", true, &o.outputs, &o.outputs_len, err) == 0 &&
               read_files(o.json, "output_params", false, &o.params, &o.params_len, err) == 0 &&
               read_texts(o.json, "make_dirs", &o.make_dirs, &o.make_dirs_len, err) == 0 &&
               read_texts(o.json, "cleanup", &o.cleanup, &o.cleanup_len, err) == 0 &&
               jread_string(o.json, "", "work_dir", &o.work_dir, err) == 0 &&
               jread_string(o.json, "", "output_file", &o.output_file, err) == 0 &&
               read_extras(&o, err) == 0 && read_mounts(&o, err) == 0 &&
               make_env(&o, own_env, err) == 0 && make_argv(&o, err) == 0) {
        if (o.output_file != NULL && o.output_file[0] == '\0') {
            o.output_file = NULL;
        }
        *out = o;
        return 0;
    }
    order_done(&o);
    return err_wrap(err, "work order");
}

static void free_list(char **list)
{
    for (size_t i = 0; list != NULL && list[i] != NULL; i++) {
        free(list[i]);
    }
    free(list);
}

void order_done(struct order *order)
{
    free_list(order->argv);
    free_list(order->env);
    free(order->make_dirs);
    free(order->cleanup);
    free(order->inputs);
    free(order->outputs);
    free(order->params);
    free(order->mounts);
    free(order->mount_keep);
    free(order->trouble);
    json_decref(order->json);
    memset(order, 0, sizeof *order);
}
