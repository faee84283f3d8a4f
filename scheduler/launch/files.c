/* SPDX-License-Identifier: Apache-2.0 */
/* Input files and outputs at fixed paths; see launch/files.h and include/scheduler/order.h. */
#include "launch/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/json.h"
#include "base/util.h"
#include "launch/order.h"
#include "launch/output.h"
#include "launch/tree.h"

/* Enough to see whether somebody wrote there: every write changes a file's ctime. */
struct file_mark {
    bool exists;
    ino_t inode;
    int64_t count, size, newest_ns;
};

struct file_marks {
    size_t count;
    struct file_mark marks[];
};

static int mark_fn(void *owner, const char *path, const char *rel, int64_t size, struct err *err)
{
    (void)rel;
    (void)err;
    struct file_mark *mark = owner;
    struct stat st;
    mark->count++;
    mark->size += size;
    if (stat(path, &st) == 0) {
        int64_t ns = st.st_ctim.tv_sec * INT64_C(1000000000) + st.st_ctim.tv_nsec;
        mark->newest_ns = ns > mark->newest_ns ? ns : mark->newest_ns;
    }
    return 0;
}

static struct file_mark take_mark(const char *path)
{
    struct file_mark mark = {0};
    struct err unused = ERR_INIT;
    struct stat st;
    if (stat(path, &st) == 0) {
        mark.exists = true;
        mark.inode = st.st_ino;
        (void)!tree_walk(path, mark_fn, &mark, &unused);
    }
    return mark;
}

static bool is_same(const struct file_mark *a, const struct file_mark *b)
{
    return a->exists == b->exists && a->inode == b->inode && a->count == b->count &&
           a->size == b->size && a->newest_ns == b->newest_ns;
}

/* ---- before the command ---- */

static int write_text(const char *path, const char *text, size_t len, struct err *err)
{
    if (tree_make_parents(path, err) != 0) {
        return -1;
    }
    CLEANUP(cleanup_fd) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) {
        return err_errno(err, errno, "%s", path);
    }
    for (size_t done = 0; done < len;) {
        ssize_t n = write(fd, text + done, len - done);
        if (n < 0 && errno != EINTR) {
            return err_errno(err, errno, "%s", path);
        }
        done += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

static int write_inputs(const struct order *order, struct err *err)
{
    const json_t *list = NULL;
    if (jread_array(order->json, "", "input_files", &list, err) != 0) {
        return -1;
    }
    size_t i;
    json_t *file;
    json_array_foreach(list, i, file)
    {
        const char *path = jget_str(file, "path", "");
        const json_t *text = json_object_get(file, "text");
        if (path[0] != '/' || !json_is_string(text)) {
            return err_set(
                err, ERR_INVALID, "input_files[%zu]: expected an absolute path and a text", i);
        }
        if (write_text(path, json_string_value(text), json_string_length(text), err) != 0) {
            return err_wrap(err, "input file");
        }
    }
    return 0;
}

static int read_outputs(const struct order *order, const json_t **list_out, struct err *err)
{
    if (jread_array(order->json, "", "file_outputs", list_out, err) != 0) {
        return -1;
    }
    size_t i;
    json_t *file;
    json_array_foreach(*list_out, i, file)
    {
        if (jget_str(file, "from", "")[0] != '/' || jget_str(file, "path", "")[0] != '/') {
            return err_set(err, ERR_INVALID, "file_outputs[%zu]: expected two absolute paths", i);
        }
    }
    return 0;
}

int files_prepare(const struct order *order, struct file_marks **marks_out, struct err *err)
{
    const json_t *list = NULL;
    if (write_inputs(order, err) != 0 || read_outputs(order, &list, err) != 0) {
        return -1;
    }
    size_t count = json_array_size(list);
    struct file_marks *marks = xcalloc(1, sizeof *marks + count * sizeof marks->marks[0]);
    marks->count = count;
    for (size_t i = 0; i < count; i++) {
        marks->marks[i] = take_mark(jget_str(json_array_get(list, i), "from", ""));
    }
    *marks_out = marks;
    return 0;
}

/* ---- after the command ---- */

static bool is_param(const struct order *order, const char *path)
{
    for (size_t i = 0; i < order->params_len; i++) {
        if (strcmp(order->params[i].path, path) == 0) {
            return true;
        }
    }
    return false;
}

static int take_one(const struct order *order, const json_t *file, const struct file_mark *before,
    bool is_own, struct output *output, struct err *err)
{
    const char *name = jget_str(file, "name", ""), *from = jget_str(file, "from", "");
    const char *path = jget_str(file, "path", "");
    struct stat st;
    if (stat(path, &st) == 0) {
        return 0; /* the program was told of this place as well, and used it */
    }
    if (stat(from, &st) != 0) {
        output_note(output, "output '%s': nothing at %s", name, from);
        return 0;
    }
    struct file_mark now = take_mark(from);
    if (!is_own && is_same(before, &now)) {
        output_note(output,
            "output '%s': %s was there before and has not been written by this step", name, from);
        return 0;
    }
    /* What is too large for a parameter is not copied first. */
    if (is_param(order, path) && now.size > order->max_param_bytes) {
        return err_set(err, ERR_LIMIT,
            "output parameter '%s': %s has %lld bytes and the limit is %lld; use an artifact", name,
            from, (long long)now.size, (long long)order->max_param_bytes);
    }
    return tree_copy(from, path, err) == 0 ? 0 : err_wrap(err, "output '%s'", name);
}

int files_take(const struct order *order, const struct file_marks *marks, bool is_own,
    struct output *output, struct err *err)
{
    const json_t *list = json_object_get(order->json, "file_outputs");
    for (size_t i = 0; marks != NULL && i < marks->count; i++) {
        if (take_one(order, json_array_get(list, i), &marks->marks[i], is_own, output, err) != 0) {
            return -1;
        }
    }
    return 0;
}

void file_marks_free(struct file_marks *marks)
{
    free(marks);
}
