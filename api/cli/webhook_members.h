/* SPDX-License-Identifier: Apache-2.0 */
/* The options of `webhook add` and `webhook edit` that stand for members of a subscription. */
#ifndef API_CLI_WEBHOOK_MEMBERS_H
#define API_CLI_WEBHOOK_MEMBERS_H

#include <jansson.h>

#include "api/cli/cli.h"

#define SUBSCRIPTIONS "/apis/rondo/v1/subscriptions"

struct webhook_members {
    const char *name, *events, *namespaces, *experiments, *pipelines, *recurring_runs, *filter,
        *format, *payload, *order, *in_flight, *per_second, *timeout;
    json_t *headers; /* own */
};
#define WEBHOOK_MEMBER_COUNT 14
#define WEBHOOK_MEMBER_USAGE                                                                       \
    "         [--name NAME] [--events run.*,task.finished] [--filter CEL] [--pipelines A,B]\n"     \
    "         [--experiments A,B] [--recurring-runs A,B] [--namespaces A,B]\n"                     \
    "         [--format standard|cloudevents|cloudevents-binary|cdevents|cdevents-0.4|slack]\n"    \
    "         [--payload full|thin] [--header 'Name: value']... [--order none|run]\n"              \
    "         [--max-in-flight N] [--max-per-second N] [--timeout 10s]"

void webhook_members_init(struct webhook_members *m);
void webhook_members_done(struct webhook_members *m);
/* Writes WEBHOOK_MEMBER_COUNT rows. */
void webhook_members_table(struct webhook_members *m, struct cli_option *out);
/*
 * Sets the members that were given in `body`. A header without a value ("Name:") is null, which
 * takes it away in an edit; "@FILE" has one header on each line.
 */
int webhook_members_read(const struct webhook_members *m, json_t *body, struct err *err);

/* The text itself, or what is in the file of "@FILE", without its line's end. malloc'd; free with
 * secret_text_free. */
char *webhook_secret_text(const char *text, struct err *err);
/* What there is to say of an answer that has a new secret: the secret, or its public key. */
void webhook_print_secret(const json_t *record);

#endif
