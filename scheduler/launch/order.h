/* SPDX-License-Identifier: Apache-2.0 */
/* The work order as structs; see include/scheduler/order.h for its form. */
#ifndef LAUNCH_ORDER_H
#define LAUNCH_ORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <jansson.h>

struct err;

struct order_file {
    const char *name, *uri, *path; /* uri NULL for parameters */
    bool is_list;                  /* an output that may be several artifacts */
};

/* A folder that the step wants to see at a path of its own. */
struct order_mount {
    const char *path, *from, *of;
    bool make, read_only, is_quiet, is_secret;
};

struct order {
    json_t *json; /* everything below points into it */
    char **argv;  /* expanded, NULL-terminated; strings owned */
    size_t argc;
    char **env; /* of the command: "NAME=value", NULL-terminated; owned */
    const char *work_dir;
    const char **make_dirs, **cleanup;
    size_t make_dirs_len, cleanup_len;
    struct order_file *inputs, *outputs, *params;
    size_t inputs_len, outputs_len, params_len;
    const char *output_file; /* NULL: none */
    int64_t timeout_s, max_param_bytes, max_output_file_bytes, log_tail_bytes, log_max_bytes;
    int64_t report_deadline_s, grace_s;
    bool transfer;
    const char *transfer_url, *transfer_token;        /* NULL: the launcher's own */
    const char *root_uri, *root_path;                 /* NULL: unknown */
    const char *venv_dir, *venv_cache, *venv_private; /* NULL: no virtual environments */
    struct order_mount *mounts;
    size_t mounts_len;
    bool may_mount;
    const char *mount_dir;
    const char **mount_keep;
    size_t mount_keep_len;
    char *trouble; /* why it cannot be carried out although it can be read; owned, or NULL */
};

/* own_env: the launcher's environment. */
int order_parse(
    const char *text, size_t len, char *const *own_env, struct order *out, struct err *err);
void order_done(struct order *order);

#endif
