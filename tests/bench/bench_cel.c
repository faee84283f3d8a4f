/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What deciding by a filter expression costs, beside the same decision written in C over the same
 * JSON. Prints "ns of the filter, ns in C, name" for each; both decide alike, or it ends with 1.
 */
#include "webhooks/cel/cel.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/util.h"

#include <regex.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#define CALLS 200000

static const char *const names[] = {"type", "data", "push", NULL};

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

static bool is_failed_training(const json_t *data, const json_t *push UNUSED)
{
    return strcmp(text_of(data, "state"), "FAILED") == 0 &&
           strncmp(text_of(data, "pipeline_name"), "train", 5) == 0;
}

static bool is_listed(const json_t *data, const json_t *push UNUSED)
{
    const char *state = text_of(data, "state");
    return (strcmp(state, "SUCCEEDED") == 0 || strcmp(state, "CANCELED") == 0 ||
               strcmp(state, "FAILED") == 0) &&
           json_integer_value(json_object_get(data, "attempt")) > 1;
}

static bool has_model(const json_t *data UNUSED, const json_t *push)
{
    size_t i;
    const json_t *file;
    json_array_foreach(json_object_get(push, "files"), i, file)
    {
        if (strncmp(json_string_value(file), "models/", 7) == 0) {
            return true;
        }
    }
    return false;
}

static regex_t release_regex;

static bool is_release(const json_t *data UNUSED, const json_t *push)
{
    return regexec(&release_regex, text_of(push, "branch"), 0, NULL, 0) == 0;
}

static const struct {
    const char *name, *filter;
    bool (*in_c)(const json_t *data, const json_t *push);
} rows[] = {
    {"two fields", "data.state == \"FAILED\" && data.pipeline_name.startsWith(\"train\")",
        is_failed_training},
    {"a list and a number",
        "data.state in [\"SUCCEEDED\", \"CANCELED\", \"FAILED\"] && data.attempt > 1", is_listed},
    {"the last of 20 files", "push.files.exists(f, f.startsWith(\"models/\"))", has_model},
    {"a regular expression", "push.branch.matches(\"^release/[0-9]+[.][0-9]+$\")", is_release},
};

static int64_t processor_ns(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return ((int64_t)usage.ru_utime.tv_sec * US_PER_S + usage.ru_utime.tv_usec) * 1000;
}

static int measure(size_t i, const json_t *type, const json_t *data, const json_t *push)
{
    struct err err = ERR_INIT;
    struct cel *cel = cel_compile(rows[i].filter, names, &err);
    const struct cel_var vars[] = {{"type", type}, {"data", data}, {"push", push}};
    size_t said_yes = 0, c_said_yes = 0;
    int64_t start = processor_ns();
    for (int call = 0; cel != NULL && call < CALLS; call++) {
        bool out = false;
        (void)cel_matches(cel, vars, ARRAY_LEN(vars), &out, &err);
        said_yes += out;
    }
    int64_t middle = processor_ns();
    for (int call = 0; call < CALLS; call++) {
        c_said_yes += rows[i].in_c(data, push);
    }
    int64_t end = processor_ns();
    cel_free(cel);
    if (said_yes != CALLS || c_said_yes != CALLS) {
        printf("%s: %zu and %zu of %d: %s\n", rows[i].name, said_yes, c_said_yes, CALLS, err.msg);
        return 1;
    }
    printf("%.1f %.1f %s\n", (double)(middle - start) / CALLS, (double)(end - middle) / CALLS,
        rows[i].name);
    return 0;
}

int main(void)
{
    json_t *type = json_string("run.finished"), *files = json_array();
    json_t *data = json_pack("{s:s,s:s,s:s,s:i,s:s,s:s}", "run_id", "7e4a", "pipeline_name",
        "train-nightly", "state", "FAILED", "attempt", 2, "namespace", "default", "task", "fit");
    for (int i = 0; i < 20; i++) {
        char path[40];
        snprintf(path, sizeof path, "%s/part-%d.yaml", i == 19 ? "models" : "source", i);
        json_array_append_new(files, json_string(path));
    }
    json_t *push = json_pack("{s:s,s:o}", "branch", "release/12.3", "files", files);
    if (regcomp(&release_regex, "^release/[0-9]+[.][0-9]+$", REG_EXTENDED | REG_NOSUB) != 0) {
        return 1;
    }
    int status = 0;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        status |= measure(i, type, data, push);
    }
    regfree(&release_regex);
    json_decref(type);
    json_decref(data);
    json_decref(push);
    return status;
}
