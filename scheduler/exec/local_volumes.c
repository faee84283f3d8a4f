/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Volumes of local steps: DATA/volumes/<claim>/ is the volume, DATA/volumes/.claims/<claim>.json
 * what it was made from; who made it is told by the claim's labels and annotations. The claim is
 * written first and removed last. Folders without one were put there by people, for claims that
 * exist already.
 *
 * A volume is renamed away before it is removed, which is done by a process of its own: it may be
 * large, and it is gone as soon as it has another name.
 */
#include "exec/local.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/child.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/id.h"
#include "base/json.h"
#include "base/log.h"
#include "base/util.h"

#define CLAIM_MAX_BYTES (1024 * 1024)
#define GONE_PREFIX ".gone-"

/* One call, from its start to its done at the bottom of the turn. */
struct volume_call {
    struct local *local;
    struct volume_call *prev, *next;
    struct deferred done;
    struct err err;
    executor_volume_fn *fn;
    void *owner;
};

/* A volume that is being removed by a launcher. */
struct removal {
    struct local *local;
    struct removal *prev, *next;
    struct child *child;
};

/* DNS names, so nothing that leads out of the folder, and never one with a dot in front. */
static bool is_volume_name(const char *name)
{
    size_t len = strlen(name);
    bool is_good = len > 0 && len <= 253 && isalnum((unsigned char)name[0]);
    for (size_t i = 0; i < len && is_good; i++) {
        is_good = isalnum((unsigned char)name[i]) || name[i] == '-' || name[i] == '.';
    }
    return is_good;
}

char *local_volume_path(const struct local *local, const char *claim)
{
    return xasprintf("%s/volumes/%s", local->data_dir, is_volume_name(claim) ? claim : "-");
}

static char *claim_path(const struct local *local, const char *name)
{
    return xasprintf("%s/volumes/.claims/%s.json", local->data_dir, name);
}

void local_workspace_path(void *self, const struct attempt_name *name, struct buf *out)
{
    const struct local *local = self;
    buf_addf(out, "%s/volumes/%s" WORKSPACE_CLAIM_SUFFIX, local->data_dir, name->run_id);
}

/* ---- calls ---- */

static void call_unlink(struct volume_call *call)
{
    struct local *local = call->local;
    *(call->prev != NULL ? &call->prev->next : &local->volume_calls) = call->next;
    if (call->next != NULL) {
        call->next->prev = call->prev;
    }
}

static void call_done(void *owner)
{
    struct volume_call *call = owner;
    call_unlink(call);
    call->fn(call->owner, call->err.code == ERR_NONE ? NULL : &call->err);
    free(call);
}

static struct volume_call *call_new(struct local *local, executor_volume_fn *fn, void *owner)
{
    struct volume_call *call = xcalloc(1, sizeof *call);
    *call = (struct volume_call){
        .local = local, .next = local->volume_calls, .err = ERR_INIT, .fn = fn, .owner = owner};
    if (call->next != NULL) {
        call->next->prev = call;
    }
    local->volume_calls = call;
    loop_defer(local->loop, &call->done, call_done, call);
    return call;
}

static void call_drop(struct volume_call *call)
{
    loop_defer_cancel(call->local->loop, &call->done);
    call_unlink(call);
    free(call);
}

void local_volume_cancel(void *self, void *owner)
{
    struct local *local = self;
    for (struct volume_call *call = local->volume_calls, *next; call != NULL; call = next) {
        next = call->next;
        if (call->owner == owner) {
            call_drop(call);
        }
    }
}

/* ---- making ---- */

/* The same maker: labels and annotations say which run's task it was. */
static bool is_same_maker(const json_t *a, const json_t *b)
{
    static const char *const keys[] = {"labels", "annotations"};
    const json_t *left = json_object_get(a, "metadata"), *right = json_object_get(b, "metadata");
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        json_t *one = json_object_get(left, keys[i]), *other = json_object_get(right, keys[i]);
        bool is_none = json_object_size(one) == 0 && json_object_size(other) == 0;
        if (!is_none && (one == NULL || other == NULL || !json_equal(one, other))) {
            return false;
        }
    }
    return true;
}

/* 1: it is there and of the same maker; 0: not there; -1: err. */
static int look_for(
    const struct local *local, const char *name, const json_t *claim, struct err *err)
{
    CLEANUP(cleanup_free) char *path = local_volume_path(local, name);
    CLEANUP(cleanup_free) char *file = claim_path(local, name);
    if (access(file, F_OK) != 0) {
        if (access(path, F_OK) != 0) {
            return 0;
        }
        return err_set(err, ERR_EXISTS, "volume claim '%s' exists already: the folder %s is there",
            name, path);
    }
    size_t len = 0;
    CLEANUP(cleanup_free) char *text = file_read(file, CLAIM_MAX_BYTES, &len, err);
    json_t *stored = text == NULL ? NULL : jread_text(text, len, "claim", err);
    if (stored == NULL) {
        return err_wrap(err, "volume claim '%s'", name);
    }
    bool is_same = is_same_maker(stored, claim);
    json_decref(stored);
    return is_same ? 1 : err_set(err, ERR_EXISTS, "volume claim '%s' exists already", name);
}

static int create(const struct local *local, const json_t *claim, struct err *err)
{
    const char *name = jget_str(json_object_get(claim, "metadata"), "name", "");
    if (!is_volume_name(name)) {
        return err_set(err, ERR_INVALID,
            "volume claim '%.100s': a name has letters, digits, '-' and '.', and begins with a "
            "letter or a digit",
            name);
    }
    CLEANUP(cleanup_free) char *path = local_volume_path(local, name);
    CLEANUP(cleanup_free) char *file = claim_path(local, name);
    CLEANUP(cleanup_free) char *claims = xasprintf("%s/volumes/.claims", local->data_dir);
    int found = look_for(local, name, claim, err);
    if (found != 0) {
        return found > 0 ? dir_make(path, 0755, err) : -1;
    }
    /* Claim first: a folder alone would look as if somebody had put it there. */
    CLEANUP(cleanup_free) char *text = jtext(claim);
    if (dir_make(claims, 0700, err) != 0 ||
        file_write_atomic(file, text, strlen(text), 0600, err) != 0) {
        return -1;
    }
    FAULT("local.volume.create.middle");
    return dir_make(path, 0755, err);
}

void local_volume_create(void *self, const json_t *claim, executor_volume_fn *done, void *owner)
{
    struct local *local = self;
    struct volume_call *call = call_new(local, done, owner);
    (void)create(local, claim, &call->err);
}

/* ---- removing ---- */

static void removal_unlink(struct removal *r)
{
    *(r->prev != NULL ? &r->prev->next : &r->local->removals) = r->next;
    if (r->next != NULL) {
        r->next->prev = r->prev;
    }
}

static void on_removed(void *owner, int status)
{
    struct removal *r = owner;
    if (status != 0) {
        LOG_WARN("a deleted volume could not be removed whole", "status=%d", status);
    }
    removal_unlink(r);
    free(r);
}

static void remove_later(struct local *local, const char *path)
{
    struct removal *r = xcalloc(1, sizeof *r);
    const char *argv[] = {local->launcher, "--remove", path, NULL};
    struct child_spec spec = {.argv = argv,
        .env = (const char *const *)local->env,
        .stdin_fd = -1,
        .stdout_fd = -1,
        .stderr_fd = -1,
        .new_session = true};
    struct err err = ERR_INIT;
    r->local = local;
    r->child = child_start(local->loop, &spec, on_removed, r, &err);
    if (r->child == NULL) {
        LOG_WARN("a deleted volume is removed by the next daemon", "path=%s reason=%s", LOG_Q(path),
            LOG_Q(err.msg));
        free(r);
        return;
    }
    r->next = local->removals;
    if (r->next != NULL) {
        r->next->prev = r;
    }
    local->removals = r;
}

static int delete (struct local *local, const char *name, struct err *err)
{
    CLEANUP(cleanup_free) char *path = local_volume_path(local, name);
    CLEANUP(cleanup_free) char *file = claim_path(local, name);
    struct id id;
    id_new(&id);
    CLEANUP(cleanup_free)
    char *gone = xasprintf("%s/volumes/" GONE_PREFIX "%s", local->data_dir, id.text);
    if (!is_volume_name(name)) {
        return err_set(err, ERR_NOT_FOUND, "volume claim '%.100s' does not exist", name);
    }
    bool was_there = access(file, F_OK) == 0;
    if (rename(path, gone) == 0) {
        was_there = true;
        FAULT("local.volume.delete.middle");
        remove_later(local, gone);
    } else if (errno != ENOENT) {
        return err_errno(err, errno, "volume %s", path);
    }
    if (unlink(file) != 0 && errno != ENOENT) {
        return err_errno(err, errno, "%s", file);
    }
    return was_there ? 0 : err_set(err, ERR_NOT_FOUND, "volume claim '%s' does not exist", name);
}

void local_volume_delete(void *self, const char *name, executor_volume_fn *done, void *owner)
{
    struct local *local = self;
    struct volume_call *call = call_new(local, done, owner);
    (void)delete (local, name, &call->err);
}

/* ---- beginning and end ---- */

void local_volumes_start(struct local *local)
{
    CLEANUP(cleanup_free) char *volumes = xasprintf("%s/volumes", local->data_dir);
    DIR *dir = opendir(volumes);
    struct dirent *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (str_starts(entry->d_name, GONE_PREFIX)) {
            CLEANUP(cleanup_free) char *path = xasprintf("%s/%s", volumes, entry->d_name);
            remove_later(local, path);
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
}

void local_volumes_stop(struct local *local)
{
    while (local->volume_calls != NULL) {
        call_drop(local->volume_calls);
    }
    while (local->removals != NULL) {
        struct removal *r = local->removals;
        removal_unlink(r);
        child_forget(r->child); /* it goes on */
        free(r);
    }
}
