/* SPDX-License-Identifier: Apache-2.0 */
/* Options about what a subscription gets and how -> members of its API body. */
#include "api/cli/webhook_members.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/secret.h"
#include "base/util.h"

#define FILE_MAX_BYTES 16384
#define NUMBER_MAX (INT64_C(1) << 53)

void webhook_members_init(struct webhook_members *m)
{
    *m = (struct webhook_members){.headers = json_array()};
}

void webhook_members_done(struct webhook_members *m)
{
    json_decref(m->headers);
}

void webhook_members_table(struct webhook_members *m, struct cli_option *out)
{
    const struct cli_option rows[WEBHOOK_MEMBER_COUNT] = {
        {"--name", &m->name, NULL, NULL},
        {"--events", &m->events, NULL, NULL},
        {"--namespaces", &m->namespaces, NULL, NULL},
        {"--experiments", &m->experiments, NULL, NULL},
        {"--pipelines", &m->pipelines, NULL, NULL},
        {"--recurring-runs", &m->recurring_runs, NULL, NULL},
        {"--filter", &m->filter, NULL, NULL},
        {"--format", &m->format, NULL, NULL},
        {"--payload", &m->payload, NULL, NULL},
        {"--order", &m->order, NULL, NULL},
        {"--max-in-flight", &m->in_flight, NULL, NULL},
        {"--max-per-second", &m->per_second, NULL, NULL},
        {"--timeout", &m->timeout, NULL, NULL},
        {"--header", NULL, NULL, m->headers},
    };
    memcpy(out, rows, sizeof rows);
}

char *webhook_secret_text(const char *text, struct err *err)
{
    if (text[0] != '@') {
        return xstrdup(text);
    }
    char *content = file_read(text + 1, FILE_MAX_BYTES, NULL, err);
    if (content != NULL) {
        size_t len = strlen(content);
        while (len > 0 && (content[len - 1] == '\n' || content[len - 1] == '\r')) {
            content[--len] = '\0';
        }
    }
    return content;
}

static int add_header(json_t *headers, char *line, struct err *err)
{
    char *colon = strchr(line, ':');
    if (colon == NULL || colon == line) {
        return err_set(err, ERR_INVALID,
            "--header: expected 'Name: value', '@FILE' with such lines, or 'Name:' to take it "
            "away");
    }
    *colon = '\0';
    const char *value = colon + 1 + strspn(colon + 1, " \t");
    json_object_set_new(headers, line, value[0] != '\0' ? json_string(value) : json_null());
    return 0;
}

static int read_headers(const json_t *given, json_t *body, struct err *err)
{
    size_t i;
    json_t *one;
    json_t *headers = json_array_size(given) > 0 ? json_object() : NULL;
    json_object_set_new(body, "headers", headers);
    json_array_foreach((json_t *)given, i, one)
    {
        char *text = webhook_secret_text(json_string_value(one), err), *rest = text, *line;
        int rc = text != NULL ? 0 : -1;
        while (rc == 0 && (line = strsep(&rest, "\n")) != NULL) {
            line[strcspn(line, "\r")] = '\0';
            rc = line[0] != '\0' ? add_header(headers, line, err) : 0;
        }
        secret_text_free(text);
        if (rc != 0) {
            return -1;
        }
    }
    return 0;
}

static void set_list(json_t *body, const char *member, const char *text)
{
    if (text != NULL) {
        json_object_set_new(body, member, cli_split(text));
    }
}

static int set_number(
    json_t *body, const char *member, const char *text, const char *option, struct err *err)
{
    int64_t value = 0;
    if (text != NULL) {
        if (parse_i64(text, 0, NUMBER_MAX, option, &value, err) != 0) {
            return -1;
        }
        json_object_set_new(body, member, json_integer(value));
    }
    return 0;
}

int webhook_members_read(const struct webhook_members *m, json_t *body, struct err *err)
{
    int64_t timeout_ms = 0;
    jset_str(body, "name", m->name);
    jset_str(body, "filter", m->filter);
    jset_str(body, "format", m->format);
    jset_str(body, "payload", m->payload);
    jset_str(body, "order", m->order);
    set_list(body, "events", m->events);
    set_list(body, "namespaces", m->namespaces);
    set_list(body, "experiments", m->experiments);
    set_list(body, "pipelines", m->pipelines);
    set_list(body, "recurring_runs", m->recurring_runs);
    if (m->timeout != NULL) {
        if (parse_duration_ms(m->timeout, "--timeout", &timeout_ms, err) != 0) {
            return -1;
        }
        json_object_set_new(body, "timeout_ms", json_integer(timeout_ms));
    }
    return set_number(body, "max_in_flight", m->in_flight, "--max-in-flight", err) != 0 ||
                   set_number(body, "max_per_second", m->per_second, "--max-per-second", err) != 0
               ? -1
               : read_headers(m->headers, body, err);
}

void webhook_print_secret(const json_t *record)
{
    const json_t *newest = json_array_get(json_object_get(record, "secrets"), 0);
    const char *secret = jget_str(record, "secret", NULL);
    if (secret != NULL) {
        printf("secret %s\n(the secret is shown this once)\n", secret);
    } else {
        printf("public key %s\n", jget_str(newest, "public_key", ""));
    }
}
