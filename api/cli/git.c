/* SPDX-License-Identifier: Apache-2.0 */
/* rondo git add, edit: options -> members of a Git trigger. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/cli/cli.h"
#include "base/err.h"
#include "base/json.h"
#include "base/util.h"

#define TRIGGERS "/apis/rondo/v1/triggers/git"
#define NUMBER_MAX (INT64_C(1) << 53)
#define TOKEN_BYTES_MAX 8192

enum member_kind { MEMBER_TEXT, MEMBER_LIST, MEMBER_NUMBER, MEMBER_SECONDS, MEMBER_SWITCH };

/* An option and the member that it sets; "a.b" goes into the object a. An empty value: the default.
 */
static const struct member {
    const char *option, *name;
    enum member_kind kind;
} members[] = {
    {"--name", "name", MEMBER_TEXT},
    {"--forge", "forge", MEMBER_TEXT},
    {"--secret", "secret", MEMBER_TEXT},
    {"--events", "events", MEMBER_LIST},
    {"--repository", "repository", MEMBER_TEXT},
    {"--branches", "branches", MEMBER_LIST},
    {"--branches-ignore", "branches_ignore", MEMBER_LIST},
    {"--tags", "tags", MEMBER_LIST},
    {"--tags-ignore", "tags_ignore", MEMBER_LIST},
    {"--paths", "paths", MEMBER_LIST},
    {"--paths-ignore", "paths_ignore", MEMBER_LIST},
    {"--unknown-files", "unknown_files", MEMBER_TEXT},
    {"--max-files", "max_files", MEMBER_NUMBER},
    {"--max-commits", "max_commits", MEMBER_NUMBER},
    {"--skip-ci", "skip_ci", MEMBER_TEXT},
    {"--created", "created", MEMBER_TEXT},
    {"--deleted", "deleted", MEMBER_TEXT},
    {"--forced", "forced", MEMBER_TEXT},
    {"--actions", "actions", MEMBER_LIST},
    {"--actors", "actors", MEMBER_LIST},
    {"--actors-ignore", "actors_ignore", MEMBER_LIST},
    {"--authors-ignore", "authors_ignore", MEMBER_LIST},
    {"--messages-ignore", "messages_ignore", MEMBER_LIST},
    {"--filter", "filter", MEMBER_TEXT},
    {"--tell-rejected", "tell_rejected", MEMBER_TEXT},
    {"--version", "version_id", MEMBER_TEXT},
    {"--experiment", "experiment_id", MEMBER_TEXT},
    {"--policy", "concurrency.policy", MEMBER_TEXT},
    {"--group", "concurrency.group", MEMBER_TEXT},
    {"--max-waiting", "concurrency.max_waiting", MEMBER_NUMBER},
    {"--scheme", "verification.scheme", MEMBER_TEXT},
    {"--header", "verification.header", MEMBER_TEXT},
    {"--prefix", "verification.prefix", MEMBER_TEXT},
    {"--algorithm", "verification.algorithm", MEMBER_TEXT},
    {"--encoding", "verification.encoding", MEMBER_TEXT},
    {"--username", "verification.username", MEMBER_TEXT},
    {"--id-header", "verification.id_header", MEMBER_TEXT},
    {"--file", "file", MEMBER_TEXT},
    {"--api-url", "api.url", MEMBER_TEXT},
    {"--api-username", "api.username", MEMBER_TEXT},
    {"--commit-status", "commit_status", MEMBER_SWITCH},
    {"--status-context", "status_context", MEMBER_TEXT},
    {"--poll", "poll_s", MEMBER_SECONDS},
};
#define OPTIONS                                                                                    \
    "[--name NAME] [--repository OWNER/NAME] [--branches main,release/**] [--tags 'v*']\n"         \
    "         [--paths 'train/**'] [--branches-ignore|--tags-ignore|--paths-ignore PATTERNS]\n"    \
    "         [--events push,tag,release,pull_request,generic] [--actions opened,merged]\n"        \
    "         [-p commit='$commit']... [-p size=/size]... [-p name='v$tag']...\n"                  \
    "         [-p x=cel:EXPR]...\n"                                                                \
    "         [--default NAME=VALUE]... [--filter CEL] [--skip-ci none|head|any]\n"                \
    "         [--created|--deleted|--forced any|only|never] [--actors|--actors-ignore NAMES]\n"    \
    "         [--authors-ignore NAMES] [--messages-ignore GLOBS] [--unknown-files run|skip]\n"     \
    "         [--max-files N] [--max-commits N] [--policy allow|queue|skip|cancel]\n"              \
    "         [--group '$ref'] [--max-waiting N] [--version ID] [--experiment ID]\n"               \
    "         [--secret TEXT] [--tell-rejected none|failed|all]\n"                                 \
    "         [--forge auto|github|gitlab|...] [--scheme hmac|standard|bearer|basic|token]\n"      \
    "         [--header NAME] [--prefix TEXT] [--algorithm sha256] [--encoding hex|base64]\n"      \
    "         [--username NAME] [--id-header NAME] [--insecure] [--allow-sha1]\n"                  \
    "         [--file PATH-IN-REPOSITORY] [--commit-status on|off] [--status-context TEXT]\n"      \
    "         [--poll 5m] [--api-url URL] [--api-token-file FILE] [--api-username NAME]"

struct git_options {
    const char *values[ARRAY_LEN(members)];
    const char *pipeline, *token_file;
    bool is_insecure, is_sha1_allowed;
    json_t *pairs, *defaults; /* "k=v" */
};

static void options_init(struct git_options *o)
{
    *o = (struct git_options){.pairs = json_array(), .defaults = json_array()};
}

static void options_done(struct git_options *o)
{
    json_decref(o->pairs);
    json_decref(o->defaults);
}

static int options_take(
    struct git_options *o, const struct command *command, int *argc, char **argv)
{
    struct cli_option table[ARRAY_LEN(members) + 7];
    size_t n = 0;
    for (; n < ARRAY_LEN(members); n++) {
        table[n] = (struct cli_option){members[n].option, &o->values[n], NULL, NULL};
    }
    table[n++] = (struct cli_option){"--pipeline", &o->pipeline, NULL, NULL};
    table[n++] = (struct cli_option){"--api-token-file", &o->token_file, NULL, NULL};
    table[n++] = (struct cli_option){"--insecure", NULL, &o->is_insecure, NULL};
    table[n++] = (struct cli_option){"--allow-sha1", NULL, &o->is_sha1_allowed, NULL};
    table[n++] = (struct cli_option){"-p", NULL, NULL, o->pairs};
    table[n++] = (struct cli_option){"--default", NULL, NULL, o->defaults};
    table[n] = (struct cli_option){NULL, NULL, NULL, NULL};
    return cli_options(command, argc, argv, table, 1, 1);
}

/* The object that a member goes into, made of what is there already: a change replaces all of it.
 */
static json_t *group_of(json_t *body, const json_t *before, const char *name)
{
    json_t *group = json_object_get(body, name);
    if (group == NULL) {
        const json_t *old = json_object_get(before, name);
        group = json_is_object(old) ? json_deep_copy(old) : json_object();
        json_object_set_new(body, name, group);
    }
    return group;
}

static int set_member(
    json_t *body, const json_t *before, const struct member *m, const char *text, struct err *err)
{
    const char *dot = strchr(m->name, '.');
    CLEANUP(cleanup_free)
    char *group = dot != NULL ? xstrndup(m->name, (size_t)(dot - m->name)) : NULL;
    json_t *into = group != NULL ? group_of(body, before, group) : body;
    const char *key = dot != NULL ? dot + 1 : m->name;
    int64_t number = 0;
    bool is_on = strcmp(text, "on") == 0;
    if (text[0] == '\0') {
        if (group != NULL) {
            json_object_del(into, key);
        } else {
            json_object_set_new(into, key, json_null());
        }
        return 0;
    }
    switch (m->kind) {
    case MEMBER_TEXT:
        json_object_set_new(into, key, json_string(text));
        return 0;
    case MEMBER_LIST:
        json_object_set_new(into, key, cli_split(text));
        return 0;
    case MEMBER_SWITCH:
        if (!is_on && strcmp(text, "off") != 0) {
            return err_set(err, ERR_INVALID, "%s: on or off", m->option);
        }
        json_object_set_new(into, key, json_boolean(is_on));
        return 0;
    case MEMBER_SECONDS:
        if (parse_duration_ms(text, m->option, &number, err) != 0) {
            return -1;
        }
        json_object_set_new(into, key, json_integer(number / 1000));
        return 0;
    case MEMBER_NUMBER:
        break;
    }
    if (parse_i64(text, 0, NUMBER_MAX, m->option, &number, err) != 0) {
        return -1;
    }
    json_object_set_new(into, key, json_integer(number));
    return 0;
}

/* ---- parameters ---- */

static bool is_variable(const char *text)
{
    const char *p = text + 1;
    while (islower((unsigned char)*p) || *p == '_') {
        p++;
    }
    return text[0] == '$' && p > text + 1 && *p == '\0';
}

/* '$commit' and '/a/b' are looked up, 'cel:...' is evaluated, other texts with a '$' are filled in.
 */
static json_t *mapping_of(json_t *value)
{
    const char *text = json_string_value(value);
    if (text == NULL) {
        return json_incref(value);
    }
    if (is_variable(text) || text[0] == '/') {
        return json_pack("{s:s}", "from", text);
    }
    if (str_starts(text, "cel:")) {
        return json_pack("{s:s}", "cel", text + strlen("cel:"));
    }
    return strchr(text, '$') != NULL ? json_pack("{s:s}", "template", text) : json_incref(value);
}

/* New reference; those of before stay where nothing new is given. NULL and err, or nothing to set.
 */
static json_t *parameters_of(const struct git_options *o, const json_t *before, struct err *err)
{
    if (json_array_size(o->pairs) + json_array_size(o->defaults) == 0) {
        return NULL;
    }
    json_t *given = cli_parameters(o->pairs, NULL, err);
    json_t *defaults = given != NULL ? cli_parameters(o->defaults, NULL, err) : NULL;
    const json_t *old = json_object_get(before, "parameters");
    json_t *out = json_is_object(old) ? json_deep_copy(old) : json_object();
    const char *name;
    json_t *value;
    json_object_foreach(given, name, value)
    {
        json_object_set_new(out, name, mapping_of(value));
    }
    json_object_foreach(defaults, name, value)
    {
        json_t *mapping = json_object_get(out, name);
        if (!json_is_object(mapping)) {
            err_set(err, ERR_INVALID,
                "--default %.100s: there is no -p %.100s that something is looked up for", name,
                name);
            break;
        }
        json_object_set(mapping, "default", value);
    }
    json_decref(given);
    json_decref(defaults);
    if (err->code != ERR_NONE) {
        json_decref(out);
        return NULL;
    }
    return out;
}

/* What goes into `api` besides its texts. A change of it replaces all, and the token is never
 * shown. */
static int set_token(json_t *body, const json_t *before, const char *file, struct err *err)
{
    json_t *api = json_object_get(body, "api");
    if (file == NULL && api != NULL && jget_bool(api, "has_token", false)) {
        return err_set(err, ERR_INVALID,
            "--api-token-file: give the token again, it is not kept when --api-url or "
            "--api-username change");
    }
    if (file != NULL) {
        size_t len = 0;
        char *text = file_read(file, TOKEN_BYTES_MAX, &len, err);
        if (text == NULL) {
            return err_wrap(err, "--api-token-file");
        }
        api = group_of(body, before, "api");
        json_t *token = json_stringn(text, strcspn(text, "\r\n"));
        explicit_bzero(text, len);
        free(text);
        if (token == NULL) {
            return err_set(err, ERR_INVALID, "--api-token-file: its first line is not UTF-8");
        }
        json_object_set_new(api, "token", token);
    }
    if (api != NULL) {
        json_object_del(api, "has_token");
    }
    return 0;
}

static int set_pipeline(struct cli *cli, json_t *body, const char *name, struct err *err)
{
    json_t *pipeline = cli_find_pipeline(cli, name, err);
    if (pipeline == NULL) {
        return err->code != ERR_NONE ? -1
                                     : err_set(err, ERR_NOT_FOUND,
                                           "there is no pipeline '%s'; see rondo pipelines", name);
    }
    jset_str(body, "pipeline_id", jget_str(pipeline, "pipeline_id", ""));
    json_decref(pipeline);
    return 0;
}

/* New reference to the body, or NULL and err. */
static json_t *body_of(
    struct cli *cli, const struct git_options *o, const json_t *before, struct err *err)
{
    json_t *body = json_object();
    for (size_t i = 0; i < ARRAY_LEN(members) && err->code == ERR_NONE; i++) {
        if (o->values[i] != NULL) {
            (void)set_member(body, before, &members[i], o->values[i], err);
        }
    }
    if (err->code == ERR_NONE) {
        (void)set_token(body, before, o->token_file, err);
    }
    if (o->is_insecure) {
        json_object_set_new(group_of(body, before, "verification"), "insecure", json_true());
    }
    if (o->is_sha1_allowed) {
        json_object_set_new(group_of(body, before, "verification"), "allow_sha1", json_true());
    }
    if (err->code == ERR_NONE) {
        json_t *parameters = parameters_of(o, before, err);
        if (parameters != NULL) {
            json_object_set_new(body, "parameters", parameters);
        }
    }
    if (err->code == ERR_NONE && o->pipeline != NULL) {
        (void)set_pipeline(cli, body, o->pipeline, err);
    }
    if (err->code != ERR_NONE) {
        json_decref(body);
        return NULL;
    }
    return body;
}

/* ---- the commands ---- */

static int told(const struct err *err)
{
    return cli_fail(err->code == ERR_INVALID ? CLI_USAGE : CLI_FAILED, err);
}

static void print_trigger(const struct cli *cli, const json_t *record)
{
    if (cli->is_json) {
        cli_print_json(record);
        return;
    }
    printf("trigger %s\nurl     %s%s\n", jget_str(record, "id", ""), cli->host,
        jget_str(record, "hook", ""));
    if (json_object_get(record, "secret") != NULL) {
        printf("secret  %s\n(the secret is shown this once)\n", jget_str(record, "secret", ""));
    }
}

static int run_git_add(struct cli *cli, int argc, char **argv)
{
    struct git_options o;
    struct err err = ERR_INIT;
    int code = CLI_USAGE;
    options_init(&o);
    if (options_take(&o, &command_git_add, &argc, argv) == 0) {
        o.pipeline = argv[0];
        json_t *body = body_of(cli, &o, NULL, &err);
        json_t *record = body != NULL ? client_json(cli, "POST", TRIGGERS, body, &err) : NULL;
        code = record != NULL ? CLI_OK : told(&err);
        if (record != NULL) {
            print_trigger(cli, record);
        }
        json_decref(record);
        json_decref(body);
    }
    options_done(&o);
    return code;
}

const struct command command_git_add = {"git add", "PIPELINE " OPTIONS,
    "Start a pipeline on pushes; point the forge's webhook at HOST/hooks/ID", run_git_add};

static int run_git_edit(struct cli *cli, int argc, char **argv)
{
    struct git_options o;
    struct err err = ERR_INIT;
    int code = CLI_USAGE;
    options_init(&o);
    if (options_take(&o, &command_git_edit, &argc, argv) == 0) {
        CLEANUP(cleanup_free) char *id = client_encode(argv[0]);
        CLEANUP(cleanup_free) char *path = xasprintf(TRIGGERS "/%s", id);
        json_t *before = client_json(cli, "GET", path, NULL, &err);
        json_t *body = before != NULL ? body_of(cli, &o, before, &err) : NULL;
        json_t *record = body != NULL ? client_json(cli, "PATCH", path, body, &err) : NULL;
        code = record != NULL ? CLI_OK : told(&err);
        if (record != NULL) {
            print_trigger(cli, record);
        }
        json_decref(record);
        json_decref(body);
        json_decref(before);
    }
    options_done(&o);
    return code;
}

const struct command command_git_edit = {"git edit", "ID [--pipeline NAME] " OPTIONS,
    "Change a Git trigger; an empty value is the default again", run_git_edit};
