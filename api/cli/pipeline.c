/* SPDX-License-Identifier: Apache-2.0 */
/* Pipelines as the command line sees them: compile, lint, upload, list; run parameters. */
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/cli/cli.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/util.h"
#include "scheduler/plan.h"

#define FILE_MAX (32 * 1024 * 1024)
#define COMPLAINTS_MAX 100
#define COMPLAINTS_TEXT_MAX (1 << 20)

typedef struct plan *compile_fn(const char *text, size_t len, struct complaints *complaints);

/* Compile; the complaints stay with the caller. NULL and err when the file cannot be read. */
static struct plan *compile(
    const char *file, compile_fn *fn, struct complaints *complaints, bool *is_read, struct err *err)
{
    size_t len = 0, text_len = 0;
    CLEANUP(cleanup_free) char *data = file_read(file, FILE_MAX, &len, err);
    CLEANUP(cleanup_free) char *text = NULL;
    *is_read = data != NULL;
    if (data == NULL || package_open(file, data, len, &text, &text_len, err) != 0) {
        return NULL;
    }
    return fn(text, text_len, complaints);
}

/* Messages of the package reader begin with the file's name already. */
static void print_problem(const char *file, const struct err *err)
{
    bool is_named = strstr(err->msg, file) != NULL;
    fprintf(stderr, "rondo: %s%s%s\n", is_named ? "" : file, is_named ? "" : ": ", err->msg);
}

static void print_complaints(const char *file, const struct complaints *complaints)
{
    struct buf text;
    buf_init(&text, COMPLAINTS_TEXT_MAX);
    complaints_format(complaints, COMPLAINTS_MAX, &text);
    CLEANUP(cleanup_free) char *copy = xstrdup(buf_str(&text));
    buf_done(&text);
    char *rest = copy, *line;
    while ((line = strsep(&rest, "\n")) != NULL) {
        if (line[0] != '\0') {
            fprintf(stderr, "%s: %s\n", file, line);
        }
    }
}

struct plan *cli_compile(const char *file)
{
    struct complaints complaints;
    struct err err = ERR_INIT;
    complaints_init(&complaints);
    bool is_read;
    struct plan *plan = compile(file, plan_compile, &complaints, &is_read, &err);
    if (err.code != ERR_NONE) {
        print_problem(file, &err);
    }
    print_complaints(file, &complaints);
    complaints_done(&complaints);
    return plan;
}

static json_t *complaints_json(const struct complaints *complaints, const struct err *err)
{
    json_t *out = json_array();
    if (err->code != ERR_NONE) {
        json_array_append_new(out, json_pack("{s:s,s:s}", "level", "error", "text", err->msg));
    }
    for (size_t i = 0; i < complaints->count; i++) {
        const struct complaint *c = &complaints->items[i];
        json_array_append_new(
            out, json_pack("{s:s,s:i,s:i,s:s,s:s}", "level", c->is_warning ? "warning" : "error",
                     "line", (int)c->line, "column", (int)c->column, "path",
                     c->path != NULL ? c->path : "", "text", c->text));
    }
    return out;
}

static int run_lint(struct cli *cli, int argc, char **argv)
{
    bool is_strict = false, is_read;
    const struct cli_option options[] = {
        {"--strict", NULL, &is_strict, NULL}, {NULL, NULL, NULL, NULL}};
    if (cli_options(&command_lint, &argc, argv, options, 1, 1) != 0) {
        return CLI_USAGE;
    }
    struct complaints complaints;
    struct err err = ERR_INIT;
    complaints_init(&complaints);
    struct plan *plan = compile(argv[0], plan_lint, &complaints, &is_read, &err);
    size_t warnings = complaints.count; /* all of them when it compiles */
    bool is_good = plan != NULL && !(is_strict && warnings > 0);
    if (cli->is_json) {
        json_t *out = complaints_json(&complaints, &err);
        cli_print_json(out);
        json_decref(out);
    } else {
        if (err.code != ERR_NONE) {
            print_problem(argv[0], &err);
        }
        print_complaints(argv[0], &complaints);
        if (is_good && warnings > 0) {
            printf("%s: good with %zu warning%s: pipeline %s, %zu tasks\n", argv[0], warnings,
                warnings > 1 ? "s" : "", plan->name, plan->task_total);
        } else if (is_good) {
            printf("%s: good: pipeline %s, %zu tasks\n", argv[0], plan->name, plan->task_total);
        }
    }
    int code = is_good ? CLI_OK : is_read ? CLI_FAILED : CLI_USAGE;
    plan_unref(plan);
    complaints_done(&complaints);
    return code;
}

const struct command command_lint = {"lint", "FILE [--strict]",
    "Check a pipeline file, offline: errors and warnings with their lines", run_lint};

/* ---- parameters ---- */

static json_t *parameter_value(const char *text, const struct param_def *def)
{
    if (def != NULL && def->type == VALUE_STRING) {
        return json_string(text);
    }
    json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);
    return value != NULL ? value : json_string(text);
}

json_t *cli_parameters(const json_t *pairs, const struct plan *plan, struct err *err)
{
    json_t *out = json_object();
    size_t i;
    const json_t *pair;
    json_array_foreach((json_t *)pairs, i, pair)
    {
        const char *text = json_string_value(pair);
        const char *equals = strchr(text, '=');
        if (equals == NULL || equals == text) {
            err_set(err, ERR_INVALID, "-p '%.100s': expected NAME=VALUE", text);
            json_decref(out);
            return NULL;
        }
        CLEANUP(cleanup_free) char *name = xstrndup(text, (size_t)(equals - text));
        const struct param_def *def = plan != NULL ? plan_find_param(plan, name) : NULL;
        json_object_set_new(out, name, parameter_value(equals + 1, def));
    }
    return out;
}

json_t *cli_artifacts(const json_t *pairs, struct err *err)
{
    json_t *out = json_object();
    size_t i;
    const json_t *pair;
    json_array_foreach((json_t *)pairs, i, pair)
    {
        const char *text = json_string_value(pair);
        const char *equals = strchr(text, '=');
        if (equals == NULL || equals == text || equals[1] == '\0') {
            err_set(err, ERR_INVALID, "-a '%.100s': expected NAME=URI", text);
            json_decref(out);
            return NULL;
        }
        CLEANUP(cleanup_free) char *name = xstrndup(text, (size_t)(equals - text));
        json_t *one = json_pack("{s:s}", "uri", equals + 1);
        json_t *before = json_object_get(out, name);
        if (json_is_array(before)) {
            json_array_append_new(before, one);
        } else if (before != NULL) {
            json_object_set_new(out, name, json_pack("[O,o]", before, one));
        } else {
            json_object_set_new(out, name, one);
        }
    }
    return out;
}

/* ---- upload ---- */

json_t *cli_find_pipeline(const struct cli *cli, const char *name, struct err *err)
{
    CLEANUP(cleanup_free) char *encoded = client_encode(name);
    CLEANUP(cleanup_free) char *path = xasprintf("/apis/v2beta1/pipelines/names/%s", encoded);
    json_t *pipeline = client_json(cli, "GET", path, NULL, err);
    if (pipeline == NULL && err->code == ERR_NOT_FOUND) {
        err_clear(err);
    }
    return pipeline;
}

static json_t *newest_version(const struct cli *cli, const char *pipeline_id, struct err *err)
{
    CLEANUP(cleanup_free)
    char *path = xasprintf(
        "/apis/v2beta1/pipelines/%s/versions?page_size=1&sort_by=created_at%%20desc", pipeline_id);
    json_t *list = client_json(cli, "GET", path, NULL, err);
    json_t *version = json_incref(json_array_get(json_object_get(list, "pipeline_versions"), 0));
    json_decref(list);
    return version;
}

/* Does this version hold the very pipeline we are about to upload? */
static bool is_same(const json_t *version, const struct plan *plan)
{
    const json_t *spec = json_object_get(version, "pipeline_spec");
    const json_t *inner = json_object_get(spec, "pipeline_spec");
    return json_equal(inner != NULL ? inner : spec, plan->spec) == 1;
}

/* Names of versions are unique in a pipeline: name-2, name-3, ... */
static char *version_path(
    const struct cli *cli, const char *pipeline_id, const char *name, struct err *err)
{
    CLEANUP(cleanup_free)
    char *path = xasprintf("/apis/v2beta1/pipelines/%s/versions?page_size=1", pipeline_id);
    json_t *list = client_json(cli, "GET", path, NULL, err);
    if (list == NULL) {
        return NULL;
    }
    int64_t total = jget_i64(list, "total_size", 0);
    json_decref(list);
    CLEANUP(cleanup_free) char *version = xasprintf("%s-%lld", name, (long long)total + 1);
    CLEANUP(cleanup_free) char *encoded = client_encode(version);
    return xasprintf(
        "/apis/v2beta1/pipelines/upload_version?name=%s&pipelineid=%s", encoded, pipeline_id);
}

static json_t *upload_ids(const json_t *version)
{
    return json_pack("{s:s,s:s}", "pipeline_id", jget_str(version, "pipeline_id", ""),
        "pipeline_version_id", jget_str(version, "pipeline_version_id", ""));
}

json_t *cli_upload(const struct cli *cli, const char *file, const struct plan *plan,
    const char *name, struct err *err)
{
    size_t len = 0;
    CLEANUP(cleanup_free) char *data = file_read(file, FILE_MAX, &len, err);
    json_t *pipeline = data != NULL ? cli_find_pipeline(cli, name, err) : NULL;
    if (data == NULL || (pipeline == NULL && err->code != ERR_NONE)) {
        return NULL;
    }
    json_t *version = NULL, *out = NULL;
    CLEANUP(cleanup_free) char *copy = xstrdup(file);
    const char *base = basename(copy);
    if (pipeline == NULL) {
        CLEANUP(cleanup_free) char *encoded = client_encode(name);
        CLEANUP(cleanup_free)
        char *path = xasprintf("/apis/v2beta1/pipelines/upload?name=%s", encoded);
        pipeline = client_upload(cli, path, base, data, len, err);
        version = pipeline != NULL ? newest_version(cli, jget_str(pipeline, "pipeline_id", ""), err)
                                   : NULL;
    } else {
        const char *id = jget_str(pipeline, "pipeline_id", "");
        version = newest_version(cli, id, err);
        if (err->code == ERR_NONE && (version == NULL || !is_same(version, plan))) {
            json_decref(version);
            CLEANUP(cleanup_free) char *path = version_path(cli, id, name, err);
            version = path != NULL ? client_upload(cli, path, base, data, len, err) : NULL;
        }
    }
    out = version != NULL ? upload_ids(version) : NULL;
    json_decref(version);
    json_decref(pipeline);
    return out;
}

static int run_upload(struct cli *cli, int argc, char **argv)
{
    const char *name = NULL;
    const struct cli_option options[] = {{"--name", &name, NULL, NULL}, {NULL, NULL, NULL, NULL}};
    if (cli_options(&command_upload, &argc, argv, options, 1, 1) != 0) {
        return CLI_USAGE;
    }
    struct err err = ERR_INIT;
    struct plan *plan = cli_compile(argv[0]);
    if (plan == NULL) {
        return CLI_USAGE;
    }
    json_t *ids = cli_upload(cli, argv[0], plan, name != NULL ? name : plan->name, &err);
    int code = CLI_OK;
    if (ids == NULL) {
        code = cli_fail(err.code == ERR_INVALID ? CLI_USAGE : CLI_FAILED, &err);
    } else if (cli->is_json) {
        cli_print_json(ids);
    } else {
        printf("pipeline %s, version %s\n", jget_str(ids, "pipeline_id", ""),
            jget_str(ids, "pipeline_version_id", ""));
    }
    json_decref(ids);
    plan_unref(plan);
    return code;
}

const struct command command_upload = {"upload", "FILE [--name NAME]",
    "Store a pipeline; one that is there already gets a new version if it changed", run_upload};

static int run_pipelines(struct cli *cli, int argc, char **argv)
{
    if (cli_options(&command_pipelines, &argc, argv, NULL, 0, 0) != 0) {
        return CLI_USAGE;
    }
    struct err err = ERR_INIT;
    json_t *list = client_json(
        cli, "GET", "/apis/v2beta1/pipelines?page_size=200&sort_by=created_at%20desc", NULL, &err);
    if (list == NULL) {
        return cli_fail(CLI_FAILED, &err);
    }
    static const char *const columns[] = {
        "NAME:display_name", "PIPELINE ID:pipeline_id", "CREATED:created_at", NULL};
    if (cli->is_json) {
        cli_print_json(list);
    } else {
        cli_print_table(json_object_get(list, "pipelines"), columns);
    }
    json_decref(list);
    return CLI_OK;
}

const struct command command_pipelines = {"pipelines", "", "List stored pipelines", run_pipelines};
