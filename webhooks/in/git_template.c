/* SPDX-License-Identifier: Apache-2.0 */
/* Variables of a change, and texts with variables in them. */
#include "webhooks/in/git_template.h"

#include <ctype.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/pool.h"
#include "base/util.h"
#include "scheduler/plan.h"
#include "webhooks/in/git_change.h"

#define TEMPLATE_MAX 1024
#define TEMPLATE_TEXT_MAX 8192

/* ---- variables ---- */

/* Each is one of a change's facts. A text that is empty counts as nothing. */
static const struct git_variable variables[] = {
    {"branch", "branch", NULL, GIT_VARIABLE_TEXT},
    {"tag", "tag", NULL, GIT_VARIABLE_TEXT},
    {"ref", "ref", NULL, GIT_VARIABLE_TEXT},
    {"commit", "commit", NULL, GIT_VARIABLE_TEXT},
    {"before", "before", NULL, GIT_VARIABLE_TEXT},
    {"after", "after", NULL, GIT_VARIABLE_TEXT},
    {"repository", "repository", NULL, GIT_VARIABLE_TEXT},
    {"url", "url", NULL, GIT_VARIABLE_TEXT},
    {"html_url", "html_url", NULL, GIT_VARIABLE_TEXT},
    {"compare_url", "compare_url", NULL, GIT_VARIABLE_TEXT},
    {"default_branch", "default_branch", NULL, GIT_VARIABLE_TEXT},
    {"actor", "actor", NULL, GIT_VARIABLE_TEXT},
    {"author", "author", "name", GIT_VARIABLE_TEXT},
    {"author_email", "author", "email", GIT_VARIABLE_TEXT},
    {"message", "message", NULL, GIT_VARIABLE_TEXT},
    {"delivery", "delivery", NULL, GIT_VARIABLE_TEXT},
    {"event", "event", NULL, GIT_VARIABLE_TEXT},
    {"kind", "kind", NULL, GIT_VARIABLE_TEXT},
    {"forge", "forge", NULL, GIT_VARIABLE_TEXT},
    {"action", "action", NULL, GIT_VARIABLE_TEXT},
    {"title", "title", NULL, GIT_VARIABLE_TEXT},
    {"source_branch", "source_branch", NULL, GIT_VARIABLE_TEXT},
    {"number", "number", NULL, GIT_VARIABLE_NUMBER},
    {"commits", "commits", NULL, GIT_VARIABLE_NUMBER},
    {"created", "created", NULL, GIT_VARIABLE_TRUTH},
    {"deleted", "deleted", NULL, GIT_VARIABLE_TRUTH},
    {"forced", "forced", NULL, GIT_VARIABLE_TRUTH},
    {"files", "files", "all", GIT_VARIABLE_LIST},
};

const char *git_variables(void)
{
    return "$branch $tag $ref $commit $before $after $repository $url $html_url $compare_url "
           "$default_branch $actor $author $author_email $message $delivery $event $kind $forge "
           "$action $title $source_branch $number $commits $created $deleted $forced $files";
}

const struct git_variable *git_variable_find(const char *text, size_t len)
{
    for (size_t i = 0; i < ARRAY_LEN(variables); i++) {
        if (strlen(variables[i].name) == len && strncmp(variables[i].name, text, len) == 0) {
            return &variables[i];
        }
    }
    return NULL;
}

/* Borrowed, or NULL when there is nothing. */
const json_t *git_variable_get(const struct git_variable *v, const struct git_change *change)
{
    const json_t *value = json_object_get(git_change_facts(change), v->fact);
    if (v->member != NULL) {
        value = json_object_get(value, v->member);
    }
    bool is_nothing =
        value == NULL || (json_is_string(value) && json_string_length(value) == 0) ||
        (strcmp(v->name, "commits") == 0 && json_integer_value(value) < 0) ||
        (v->kind == GIT_VARIABLE_LIST && change->push.files_known == GIT_FILES_UNKNOWN);
    return is_nothing ? NULL : value;
}

/* ---- templates ---- */

static size_t name_length(const char *text)
{
    size_t len = 0;
    while (islower((unsigned char)text[len]) || text[len] == '_') {
        len++;
    }
    return len;
}

/* At a '$': the variable, and how long the reference is. NULL: there is none of that name. */
static const struct git_variable *reference_read(const char *at, size_t *len_out)
{
    bool is_braced = at[1] == '{';
    const char *name = at + 1 + (is_braced ? 1 : 0);
    size_t len = name_length(name);
    if (is_braced && name[len] != '}') {
        return NULL;
    }
    *len_out = (size_t)(name - at) + len + (is_braced ? 1 : 0);
    return git_variable_find(name, len);
}

int git_template_check(const char *text, const char *where, struct err *err)
{
    if (strlen(text) > TEMPLATE_MAX) {
        return err_set(err, ERR_INVALID, "%s: longer than %d bytes", where, TEMPLATE_MAX);
    }
    for (const char *at = text; (at = strchr(at, '$')) != NULL;) {
        size_t len = 2;
        if (at[1] != '$' && reference_read(at, &len) == NULL) {
            return err_set(err, ERR_INVALID,
                "%s: '%.30s': unknown variable; there are %s; a '$' itself is written \"$$\"",
                where, at, git_variables());
        }
        at += len;
    }
    return 0;
}

char *git_template_apply(struct pool *pool, const char *text, const struct git_change *change)
{
    struct buf out;
    buf_init(&out, TEMPLATE_TEXT_MAX);
    while (*text != '\0') {
        size_t plain = strcspn(text, "$"), len = 2;
        buf_add(&out, text, plain);
        text += plain;
        if (*text == '\0') {
            break;
        }
        if (text[1] == '$') {
            buf_addc(&out, '$');
        } else {
            const struct git_variable *v = reference_read(text, &len);
            const json_t *value = v != NULL ? git_variable_get(v, change) : NULL;
            if (value != NULL) {
                struct buf one;
                buf_init(&one, TEMPLATE_TEXT_MAX);
                value_text(value, &one);
                buf_add(&out, buf_str(&one), one.len);
                buf_done(&one);
            }
        }
        text += len;
    }
    char *made = pool_strdup(pool, buf_str(&out));
    buf_done(&out);
    return made;
}
