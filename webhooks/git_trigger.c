/* SPDX-License-Identifier: Apache-2.0 */
/* Git triggers: checking what users write, and deciding about one push. */
#include "webhooks/git_trigger.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/id.h"
#include "base/json.h"
#include "base/secret.h"
#include "base/util.h"
#include "webhooks/git_push.h"

#define TRIGGER_VERSION 1
#define BRANCHES_MAX 64
#define PATTERN_MAX 256
#define PARAMETERS_MAX 128
#define SECRET_MIN 8
#define SECRET_MAX 256
#define NAME_MAX_BYTES 128
#define POINTER_DEPTH_MAX 32

static int check_branches(const json_t *branches, struct err *err)
{
    if (json_array_size(branches) > BRANCHES_MAX) {
        return err_set(err, ERR_INVALID, "branches: at most %d patterns", BRANCHES_MAX);
    }
    size_t i;
    const json_t *item;
    json_array_foreach((json_t *)branches, i, item)
    {
        const char *pattern = json_string_value(item);
        if (pattern == NULL || pattern[0] == '\0' || strlen(pattern) > PATTERN_MAX) {
            return err_set(err, ERR_INVALID,
                "branches[%zu]: expected a branch name or a pattern such as \"release/**\"", i);
        }
    }
    return 0;
}

static bool is_known_variable(const char *name)
{
    static const char *const known[] = {"$branch", "$tag", "$ref", "$commit", "$before",
        "$repository", "$url", "$actor", "$message", "$delivery"};
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (strcmp(known[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static int check_parameters(const json_t *parameters, struct err *err)
{
    if (json_object_size(parameters) > PARAMETERS_MAX) {
        return err_set(err, ERR_INVALID, "parameters: at most %d", PARAMETERS_MAX);
    }
    const char *name;
    const json_t *value;
    json_object_foreach((json_t *)parameters, name, value)
    {
        if (!json_is_object(value) || json_object_get(value, "from") == NULL) {
            continue; /* a constant */
        }
        const char *from = json_string_value(json_object_get(value, "from"));
        if (from == NULL || (from[0] != '/' && !is_known_variable(from))) {
            return err_set(err, ERR_INVALID,
                "parameters.%.100s.from: expected a JSON pointer into the push payload "
                "(\"/head_commit/id\") or one of $branch $tag $ref $commit $before $repository "
                "$url $actor $message $delivery",
                name);
        }
    }
    return 0;
}

static char *new_secret(void)
{
    unsigned char bytes[32];
    char *text = xmalloc(2 * sizeof bytes + 1);
    random_bytes(bytes, sizeof bytes);
    hex_encode(bytes, sizeof bytes, text);
    return text;
}

json_t *git_trigger_from_body(const json_t *body, struct err *err)
{
    static const char *const known[] = {"name", "forge", "secret", "repository", "branches",
        "pipeline_id", "version_id", "experiment_id", "parameters", "enabled", NULL};
    const char *name = "", *forge = "github", *secret = NULL, *repository = NULL;
    const char *pipeline = NULL, *version = NULL, *experiment = NULL;
    const json_t *branches = NULL, *parameters = NULL;
    bool enabled = true;
    if (jread_only(body, "", known, err) != 0 || jread_string(body, "", "name", &name, err) != 0 ||
        jread_string(body, "", "forge", &forge, err) != 0 ||
        jread_string(body, "", "secret", &secret, err) != 0 ||
        jread_string(body, "", "repository", &repository, err) != 0 ||
        jread_need_string(body, "", "pipeline_id", &pipeline, err) != 0 ||
        jread_string(body, "", "version_id", &version, err) != 0 ||
        jread_string(body, "", "experiment_id", &experiment, err) != 0 ||
        jread_array(body, "", "branches", &branches, err) != 0 ||
        jread_object(body, "", "parameters", &parameters, err) != 0 ||
        jread_bool(body, "", "enabled", &enabled, err) != 0 || check_branches(branches, err) != 0 ||
        check_parameters(parameters, err) != 0) {
        return NULL;
    }
    if (strcmp(forge, "github") != 0) {
        err_set(err, ERR_INVALID, "forge: '%.40s' is not built yet; use \"github\"", forge);
        return NULL;
    }
    if (secret != NULL && strlen(secret) < SECRET_MIN) {
        err_set(err, ERR_INVALID, "secret: at least %d characters; leave it out to get a good one",
            SECRET_MIN);
        return NULL;
    }
    if (strlen(name) > NAME_MAX_BYTES || (secret != NULL && strlen(secret) > SECRET_MAX)) {
        err_set(
            err, ERR_INVALID, "name, secret: at most %d and %d bytes", NAME_MAX_BYTES, SECRET_MAX);
        return NULL;
    }
    struct id id;
    id_new(&id);
    CLEANUP(cleanup_free) char *made = secret == NULL ? new_secret() : NULL;
    json_t *record = json_pack("{s:i,s:s,s:s,s:s,s:s,s:s,s:b,s:I}", "v", TRIGGER_VERSION, "id",
        id.text, "name", name, "forge", forge, "secret", secret != NULL ? secret : made,
        "pipeline_id", pipeline, "enabled", enabled, "created_us", (json_int_t)clock_now_us());
    jset_str(record, "repository", repository);
    jset_str(record, "version_id", version);
    jset_str(record, "experiment_id", experiment);
    if (branches != NULL) {
        json_object_set(record, "branches", (json_t *)branches);
    }
    if (parameters != NULL) {
        json_object_set(record, "parameters", (json_t *)parameters);
    }
    return record;
}

json_t *git_trigger_public(const json_t *record)
{
    json_t *copy = json_copy((json_t *)record);
    json_object_del(copy, "secret");
    return copy;
}

bool git_pattern_matches(const char *pattern, const char *name)
{
    return fnmatch(pattern, name, strstr(pattern, "**") != NULL ? 0 : FNM_PATHNAME) == 0;
}

static bool branch_matches(const json_t *branches, const char *branch)
{
    size_t i;
    const json_t *item;
    json_array_foreach((json_t *)branches, i, item)
    {
        if (git_pattern_matches(json_string_value(item), branch)) {
            return true;
        }
    }
    return json_array_size(branches) == 0;
}

const char *git_trigger_refuses(
    const json_t *record, const struct git_push *push, char *buf, size_t len)
{
    const char *repository = jget_str(record, "repository", NULL);
    if (!jget_bool(record, "enabled", true)) {
        return "the trigger is disabled";
    }
    if (repository != NULL && strcasecmp(repository, push->repository) != 0) {
        snprintf(buf, len, "repository %.200s is not %.200s", push->repository, repository);
        return buf;
    }
    if (push->is_deleted) {
        return "the push deletes a ref";
    }
    if (push->branch == NULL) {
        snprintf(buf, len, "%.200s is not a branch", push->ref);
        return buf;
    }
    if (!branch_matches(json_object_get(record, "branches"), push->branch)) {
        snprintf(buf, len, "no pattern in branches matches %.200s", push->branch);
        return buf;
    }
    return git_push_skips_ci(push) ? "the head commit says to skip" : NULL;
}

static json_t *variable(const struct git_push *push, const char *name)
{
    const struct {
        const char *name, *value;
    } all[] = {{"$branch", push->branch}, {"$tag", push->tag}, {"$ref", push->ref},
        {"$commit", push->commit}, {"$before", push->before}, {"$repository", push->repository},
        {"$url", push->url}, {"$actor", push->actor}, {"$message", push->message},
        {"$delivery", push->delivery}};
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        if (strcmp(all[i].name, name) == 0 && all[i].value != NULL) {
            return json_string(all[i].value);
        }
    }
    return NULL;
}

/* RFC 6901. New reference, or NULL when the payload has nothing there. */
static json_t *pointer_get(const json_t *value, const char *pointer)
{
    CLEANUP(cleanup_free) char *copy = xstrdup(pointer + 1);
    char *rest = copy, *token;
    for (int depth = 0; (token = strsep(&rest, "/")) != NULL && value != NULL; depth++) {
        char *to = token;
        for (const char *from = token; *from != '\0'; from++) {
            if (from[0] == '~' && (from[1] == '0' || from[1] == '1')) {
                *to++ = *++from == '0' ? '~' : '/';
            } else {
                *to++ = *from;
            }
        }
        *to = '\0';
        int64_t index = 0;
        if (depth >= POINTER_DEPTH_MAX) {
            return NULL;
        }
        if (json_is_array(value)) {
            value = parse_i64(token, 0, INT32_MAX, "index", &index, NULL) == 0
                        ? json_array_get(value, (size_t)index)
                        : NULL;
        } else {
            value = json_object_get(value, token);
        }
    }
    return value == NULL || json_is_null(value) ? NULL : json_incref((json_t *)value);
}

json_t *git_trigger_parameters(const json_t *record, const struct git_push *push, struct err *err)
{
    json_t *out = json_object();
    const char *name;
    const json_t *value;
    json_object_foreach(json_object_get(record, "parameters"), name, value)
    {
        const char *from = json_string_value(json_object_get(value, "from"));
        if (from == NULL) {
            json_object_set(out, name, (json_t *)value);
            continue;
        }
        json_t *found = from[0] == '$' ? variable(push, from) : pointer_get(push->payload, from);
        if (found == NULL) {
            found = json_incref(json_object_get(value, "default"));
        }
        if (found == NULL) {
            err_set(err, ERR_INVALID,
                "parameters.%.100s: the push has nothing at %.200s and there is no default", name,
                from);
            json_decref(out);
            return NULL;
        }
        json_object_set_new(out, name, found);
    }
    return out;
}
