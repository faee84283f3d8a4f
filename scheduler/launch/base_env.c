/* SPDX-License-Identifier: Apache-2.0 */
/* Environment variables from texts and from files, such as keys of secrets. */
#include "launch/base_env.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/json.h"
#include "base/util.h"
#include "launch/expand.h"

/* What Linux passes in one variable, and what Kubernetes takes for a secret, lie below it. */
#define FILE_MAX_BYTES (1024 * 1024)

void env_put(struct env_list *list, char *entry)
{
    size_t name = strcspn(entry, "=");
    for (size_t i = 0; i < list->len; i++) {
        if (strncmp(list->entries[i], entry, name) == 0 && list->entries[i][name] == '=') {
            free(list->entries[i]);
            list->entries[i] = entry;
            return;
        }
    }
    if (list->len + 1 >= list->cap) {
        list->cap = list->cap == 0 ? 64 : list->cap * 2;
        list->entries = xreallocarray(list->entries, list->cap, sizeof *list->entries);
    }
    list->entries[list->len++] = entry;
    list->entries[list->len] = NULL;
}

int env_put_expanded(struct env_list *list, const char *name, const char *value,
    const json_t *values, struct err *err)
{
    static char *const none[] = {NULL};
    char *const *known = list->len > 0 ? list->entries : none;
    CLEANUP(cleanup_free) char *text = expand_around(value, values, 0, known, err);
    if (text == NULL) {
        return err_wrap(err, "env_values.%s", name);
    }
    env_put(list, xasprintf("%s=%s", name, text));
    return 0;
}

char **env_list_steal(struct env_list *list)
{
    char **entries = list->entries != NULL ? list->entries : xcalloc(1, sizeof *entries);
    *list = (struct env_list){0};
    return entries;
}

/* Its text without the newline that editors and echo put at the end; NULL: err says why. */
static char *read_value(const char *path, struct err *err)
{
    size_t len = 0;
    char *text = file_read(path, FILE_MAX_BYTES, &len, err);
    if (text == NULL) {
        return NULL;
    }
    if (memchr(text, '\0', len) != NULL) {
        err_set(err, ERR_INVALID, "%s: holds a NUL byte, which no variable can", path);
        free(text);
        return NULL;
    }
    if (len > 0 && text[len - 1] == '\n') {
        text[len - 1] = '\0';
    }
    return text;
}

static void add_file(
    struct env_list *list, const json_t *item, const char *name, const char *path, char **trouble)
{
    struct err err = ERR_INIT;
    CLEANUP(cleanup_free) char *text = read_value(path, &err);
    if (text != NULL) {
        env_put(list, xasprintf("%s=%s", name, text));
        return;
    }
    bool is_missing = access(path, F_OK) != 0 && (errno == ENOENT || errno == ENOTDIR);
    if ((is_missing && jget_bool(item, "is_optional", false)) || *trouble != NULL) {
        return;
    }
    const char *of = jget_str(item, "of", "its value");
    *trouble = is_missing
                   ? xasprintf("environment variable %s: %s is not there: put it into the file %s",
                         name, of, path)
                   : xasprintf("environment variable %s: %s cannot be read: %s", name, of, err.msg);
}

int base_env_add(struct env_list *list, const json_t *base, char **trouble, struct err *err)
{
    for (size_t i = 0; i < json_array_size(base); i++) {
        const json_t *item = json_array_get(base, i);
        const char *name = NULL, *value = NULL, *file = NULL;
        if (jread_need_string(item, "base_env", "name", &name, err) != 0 ||
            jread_string(item, "base_env", "value", &value, err) != 0 ||
            jread_string(item, "base_env", "file", &file, err) != 0) {
            return -1;
        }
        if (name[0] == '\0' || strchr(name, '=') != NULL || (value == NULL) == (file == NULL)) {
            return err_set(err, ERR_INVALID,
                "base_env[%zu]: expected a name without '=', and either a value or a file", i);
        }
        if (file != NULL) {
            add_file(list, item, name, file, trouble);
        } else {
            (void)env_put_expanded(list, name, value, NULL, err);
        }
    }
    return 0;
}
