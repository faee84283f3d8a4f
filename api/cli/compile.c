/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rondo compile: the objects that a run of this file would make in a cluster, as a stream of YAML
 * documents for `kubectl apply --dry-run=server`. What is not known before the run stands in
 * comments, so that the rest can be applied.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/cli/cli.h"
#include "api/cli/yaml.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/id.h"
#include "base/json.h"
#include "base/util.h"
#include "scheduler/artifact.h"
#include "scheduler/exec.h"
#include "scheduler/plan.h"
#include "scheduler/preview.h"

#define DOCUMENT_MAX (4u << 20)
#define NOTE_MAX 2000
#define ITERATIONS_SHOWN 100
/* Run ids are derived from it, so that the same command prints the same names. */
#define NAMESPACE "5a1d3f0c-8f0f-4c47-9a8e-4f0a54a1c9de"

struct printer {
    const char *namespace_; /* NULL: the documents name none */
    struct pods_preview pods;
    json_t *list; /* -o json: the items; else NULL */
    size_t pod_count, open_count;
};

/* Each line behind a '#'. */
static void print_comment(const char *text)
{
    CLEANUP(cleanup_free) char *copy = xstrdup(text);
    char *rest = copy, *line;
    preview_unmark(copy);
    while ((line = strsep(&rest, "\n")) != NULL) {
        if (rest != NULL || line[0] != '\0') {
            printf("#%s%s\n", line[0] != '\0' ? " " : "", line);
        }
    }
}

static void print_note(const char *path, const char *note)
{
    size_t len = strlen(note);
    CLEANUP(cleanup_free) char *shown = xstrndup(note, len < NOTE_MAX ? len : NOTE_MAX);
    text_sanitise(shown);
    for (char *p = shown; *p != '\0'; p++) {
        *p = *p == '\n' || *p == '\r' ? ' ' : *p;
    }
    CLEANUP(cleanup_free)
    char *text = xasprintf(
        "%s%s%s%s", path, path[0] != '\0' ? ": " : "", shown, len > NOTE_MAX ? " ..." : "");
    print_comment(text);
}

/* New reference; NULL and err. */
static json_t *manifest_of(struct printer *p, const struct preview_item *item, struct err *err)
{
    json_t *object = NULL;
    if (item->kind == PREVIEW_POD) {
        object = pods_preview_manifest(&p->pods, &item->name, item->order, item->container, err);
    } else if (item->kind == PREVIEW_CLAIM) {
        object = json_deep_copy(item->claim);
    }
    if (object != NULL && p->namespace_ != NULL) {
        json_object_set_new(
            json_object_get(object, "metadata"), "namespace", json_string(p->namespace_));
    }
    return object;
}

/* Stand-ins look the same everywhere, without the marks that the preview knows them by. */
static json_t *unmarked(const json_t *value)
{
    CLEANUP(cleanup_free) char *text = json_dumps(value, JSON_ENCODE_ANY);
    preview_unmark(text);
    return json_loads(text, JSON_DECODE_ANY, NULL);
}

static int print_document(const json_t *object, bool is_open, struct err *err)
{
    struct buf text;
    buf_init(&text, DOCUMENT_MAX);
    int result = yaml_write(object, &text, err);
    if (result == 0 && is_open) {
        print_comment(buf_str(&text));
    } else if (result == 0) {
        fputs(buf_str(&text), stdout);
    }
    buf_done(&text);
    return result;
}

static void add_to_list(
    struct printer *p, const struct preview_item *item, const json_t *object, const json_t *notes)
{
    json_t *entry = json_pack("{s:s,s:O,s:b}", "task", item->path, "notes", notes, "is_applicable",
        object != NULL && !item->is_open);
    if (object != NULL) {
        json_object_set(entry, "manifest", (json_t *)(uintptr_t)object);
    }
    json_array_append_new(p->list, entry);
}

static int on_item(void *owner, const struct preview_item *item, struct err *err)
{
    struct printer *p = owner;
    struct err why = ERR_INIT;
    json_t *notes CLEANUP(json_decrefp) = unmarked(item->notes);
    json_t *made CLEANUP(json_decrefp) = manifest_of(p, item, &why);
    json_t *object CLEANUP(json_decrefp) = made != NULL ? unmarked(made) : NULL;
    if (object == NULL && item->kind != PREVIEW_NOTE) {
        json_array_append_new(notes, json_sprintf("will fail: %s", why.msg));
    }
    p->pod_count += item->kind == PREVIEW_POD && object != NULL;
    p->open_count += item->is_open && object != NULL;
    if (p->list != NULL) {
        add_to_list(p, item, object, notes);
        return 0;
    }
    if (object != NULL) {
        puts(item->is_open ? "#" : "---");
    }
    size_t i;
    json_t *note;
    json_array_foreach(notes, i, note)
    {
        print_note(item->path, json_string_value(note));
    }
    return object != NULL ? print_document(object, item->is_open, err) : 0;
}

static void print_head(const struct plan *plan, const struct preview_settings *set)
{
    CLEANUP(cleanup_free)
    char *text = xasprintf("What rondod would make in a cluster for a run '%s' of the pipeline %s.",
        set->run_name, plan->name);
    print_note("", text);
    puts("# Notes stand before what they are about. Documents in comments are not known before the "
         "run.\n"
         "# Ids, token and URL are stand-ins; each pod fetches its command from the daemon.");
}

/* The same for the same pipeline. */
static void derive_run_id(const struct plan *plan, struct id *out)
{
    CLEANUP(cleanup_free) char *text = plan_canonical(plan);
    id_derive(out, NAMESPACE, text);
}

static int show(struct cli *cli, struct printer *p, struct preview_settings *set, struct err *err)
{
    p->pods.artifacts = set->artifacts = artifact_store_new_named("file:///artifacts");
    executor_pods_preview(&p->pods, &set->executor);
    p->list = cli->is_json ? json_array() : NULL;
    json_t *bound = plan_bind_params(set->plan, set->parameters, err);
    if (bound != NULL && !cli->is_json) {
        print_head(set->plan, set);
    }
    int result = bound != NULL ? preview_run(set, on_item, p, err) : -1;
    if (result == 0 && cli->is_json) {
        cli_print_json(p->list);
    } else if (result == 0) {
        printf("# %zu pod%s", p->pod_count, p->pod_count == 1 ? "" : "s");
        printf(p->open_count > 0 ? "; %zu in comments\n" : "\n", p->open_count);
    }
    json_decref(bound);
    json_decref(p->list);
    artifact_store_free(p->pods.artifacts);
    return result;
}

static int run_compile(struct cli *cli, int argc, char **argv)
{
    struct printer p = {.pods = {.instance = "preview",
                            .url = "http://rondo:8888",
                            .token = "preview",
                            .launcher_image = "rondo-launcher:latest",
                            .service_account = "pipeline-runner",
                            .pod_start_timeout_ms = 3600 * 1000}};
    struct preview_settings set = {.created_us = clock_now_us()};
    const char *timeout = "0", *run_id = NULL;
    bool wants_all = false;
    json_t *pairs = json_array(), *artifact_pairs = json_array(), *artifacts = NULL;
    const struct cli_option options[] = {{"-p", NULL, NULL, pairs},
        {"-a", NULL, NULL, artifact_pairs}, {"--namespace", &p.namespace_, NULL, NULL},
        {"--image", &p.pods.launcher_image, NULL, NULL},
        {"--service-account", &p.pods.service_account, NULL, NULL},
        {"--storage-class", &set.volume_storage_class, NULL, NULL},
        {"--step-timeout", &timeout, NULL, NULL}, {"--run-name", &set.run_name, NULL, NULL},
        {"--run-id", &run_id, NULL, NULL}, {"--all", NULL, &wants_all, NULL},
        {NULL, NULL, NULL, NULL}};
    struct err err = ERR_INIT;
    struct plan *plan = NULL;
    json_t *parameters = NULL;
    int code = CLI_USAGE;
    if (cli_options(&command_compile, &argc, argv, options, 1, 1) != 0) {
        goto out;
    }
    if (parse_duration_ms(timeout, "--step-timeout", &set.step_timeout_ms, &err) != 0 ||
        (run_id != NULL && !id_is_valid(run_id) &&
            err_set(&err, ERR_INVALID, "--run-id: expected a UUID in lower case"))) {
        cli_fail(code, &err);
        goto out;
    }
    plan = cli_compile(argv[0]);
    if (plan == NULL) {
        goto out;
    }
    struct id derived;
    derive_run_id(plan, &derived);
    parameters = cli_parameters(pairs, plan, &err);
    artifacts = parameters != NULL ? cli_artifacts(artifact_pairs, &err) : NULL;
    json_t *given = artifacts != NULL ? plan_bind_artifacts(plan, artifacts, &err) : NULL;
    set.artifacts_in = given;
    set.plan = plan;
    set.run_id = run_id != NULL ? run_id : derived.text;
    set.run_name = set.run_name != NULL ? set.run_name : plan->name;
    set.parameters = parameters;
    set.max_iterations = wants_all ? 0 : ITERATIONS_SHOWN;
    code = given != NULL && show(cli, &p, &set, &err) == 0 ? CLI_OK : cli_fail(CLI_USAGE, &err);
    json_decref(given);
out:
    json_decref(parameters);
    json_decref(artifacts);
    json_decref(pairs);
    json_decref(artifact_pairs);
    plan_unref(plan);
    return code;
}

const struct command command_compile = {"compile",
    "FILE [-p NAME=VALUE]... [-a NAME=URI]... [--run-name NAME] [--namespace NAME] [--image "
    "LAUNCHER] [--all]\n"
    "          [--service-account NAME] [--storage-class NAME] [--step-timeout TIME] [--run-id ID]",
    "Print the pods that a run would make, offline, for kubectl apply --dry-run=server",
    run_compile};
