/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CDEvents 0.5.1 and 0.4.1 in structured CloudEvents (cdevents/spec: core, continuous integration,
 * links, custom events, CloudEvents binding). What CDEvents has no type for becomes a custom event
 * of this tool. The chain is the run; the links lead back to what came before, whose ids follow
 * from the run's.
 */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/id.h"
#include "base/json.h"
#include "base/util.h"
#include "webhooks/out/envelope.h"
#include "webhooks/out/message.h"

#define TEXT_MAX ((size_t)256 * 1024)

enum cd_subject { CD_PIPELINE_RUN, CD_TASK_RUN, CD_ARTIFACT, CD_CUSTOM };

struct cd_kind {
    const char *type; /* ours */
    enum cd_subject subject;
    const char *predicate;
};

static const struct cd_kind kinds[] = {
    {"run.created", CD_PIPELINE_RUN, "queued"},
    {"recurring_run.fired", CD_PIPELINE_RUN, "queued"}, /* it creates a run as well */
    {"run.started", CD_PIPELINE_RUN, "started"},
    {"run.finished", CD_PIPELINE_RUN, "finished"},
    {"task.started", CD_TASK_RUN, "started"},
    {"task.finished", CD_TASK_RUN, "finished"},
    {"artifact.created", CD_ARTIFACT, "published"},
};

static const struct cd_kind custom = {NULL, CD_CUSTOM, NULL};

static const struct cd_kind *kind_of(const char *type)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (strcmp(kinds[i].type, type) == 0) {
            return &kinds[i];
        }
    }
    return &custom;
}

struct cdevent {
    const struct message *m;
    const struct cd_kind *kind;
    bool is_old; /* 0.4.1 */
    const char *commit;
    const char *run; /* id, or "" */
    struct buf source;
    char *type, *schema, *subject;
};

/* ---- names ---- */

/* Custom types have letters only: "recurring_run.failed_to_start" -> "recurringrun.failedtostart".
 */
static char *custom_type(const struct message *m)
{
    struct buf out;
    buf_init(&out, 256);
    buf_adds(&out, "dev.cdeventsx.rondo-");
    for (const char *p = m->type; *p != '\0'; p++) {
        if (*p != '_') {
            buf_addc(&out, *p);
        }
    }
    buf_addf(&out, ".%d.0.0", m->version);
    return buf_steal(&out, NULL);
}

static const char *predicate_of(const struct cdevent *c)
{
    /* Packaging is what makes something of a change; without one it can only be published. */
    return c->kind->subject == CD_ARTIFACT && c->commit[0] != '\0' ? "packaged"
                                                                   : c->kind->predicate;
}

static void name_types(struct cdevent *c)
{
    static const char *const subjects[] = {"pipelinerun", "taskrun", "artifact"};
    const char *spec = c->is_old ? "0.4.1" : "0.5.1";
    if (c->kind->subject == CD_CUSTOM) {
        c->type = custom_type(c->m);
        c->schema = xasprintf("https://cdevents.dev/%s/schema/custom", spec);
        return;
    }
    const char *subject = subjects[c->kind->subject], *predicate = predicate_of(c);
    c->type = xasprintf("dev.cdevents.%s.%s.%s", subject, predicate, c->is_old ? "0.2.0" : "0.3.0");
    c->schema = xasprintf("https://cdevents.dev/%s/schema/%s-%s-event", spec, subject, predicate);
}

/* pkg:generic/<pipeline>/<name>@<artifact id>?checksum=<digest> */
static char *purl(const struct message *m)
{
    struct buf out;
    const char *pipeline = message_text(m, "pipeline_name"), *digest = message_text(m, "digest");
    buf_init(&out, TEXT_MAX);
    buf_adds(&out, "pkg:generic/");
    if (pipeline[0] != '\0') {
        message_add_encoded(&out, pipeline, "");
        buf_addc(&out, '/');
    }
    message_add_encoded(&out, message_text(m, "name"), "");
    buf_addc(&out, '@');
    message_add_encoded(&out, message_text(m, "artifact_id"), "");
    if (digest[0] != '\0') {
        buf_adds(&out, "?checksum=");
        message_add_encoded(&out, digest, ":");
    }
    return buf_steal(&out, NULL);
}

static char *subject_id(const struct cdevent *c)
{
    switch (c->kind->subject) {
    case CD_PIPELINE_RUN:
        return xstrdup(c->run);
    case CD_TASK_RUN:
        return xstrdup(message_text(c->m, "task_id"));
    case CD_ARTIFACT:
        return purl(c->m);
    case CD_CUSTOM:
        break;
    }
    char *own = message_subject(c->m);
    if (own[0] == '\0') { /* it must have one */
        free(own);
        own = xstrdup(c->m->id);
    }
    return own;
}

/* ---- links ---- */

/* With tags, though there are none: cdevents/sdk-go makes null of what is absent, and refuses that.
 */
static json_t *link_from(const struct cdevent *c, const char *kind, const char *what)
{
    struct id id;
    id_derive(&id, c->run, what);
    return json_pack("{s:s,s:{s:s},s:{}}", "linkType", kind, "from", "contextId", id.text, "tags");
}

/* The event that announced this run. */
static json_t *link_from_birth(const struct cdevent *c)
{
    bool is_recurring = jget_str(c->m->whole, "recurring_run_id", "")[0] != '\0';
    return link_from(c, "PATH", is_recurring ? "recurring_run.fired" : "run.created");
}

/* Of a run that a push created. */
static json_t *link_to_trigger(const struct cdevent *c)
{
    struct id id;
    id_derive(&id, c->run, "trigger.fired");
    return json_pack("{s:s,s:s,s:{s:s},s:{}}", "linkType", "RELATION", "linkKind", "TRIGGER",
        "target", "contextId", id.text, "tags");
}

/* What ended was begun by an attempt, if a program ran. */
static json_t *link_from_attempt(const struct cdevent *c)
{
    const json_t *whole = c->m->whole;
    if (json_object_get(whole, "exit_code") == NULL) {
        return link_from(c, "PATH", "run.started");
    }
    CLEANUP(cleanup_free)
    char *what = xasprintf("task.started/%s/%lld", jget_str(whole, "task", ""),
        (long long)jget_i64(whole, "attempt", 0));
    return link_from(c, "PATH", what);
}

static json_t *links_of(const struct cdevent *c)
{
    json_t *links = json_array();
    const char *type = c->m->type;
    if (!id_is_valid(c->run)) {
        return links;
    }
    const char *kind = jget_str(json_object_get(c->m->whole, "trigger"), "kind", "");
    if (strcmp(type, "run.created") == 0 && strcmp(kind, "git") == 0) {
        json_array_append_new(links, link_to_trigger(c));
    } else if (strcmp(type, "run.started") == 0) {
        json_array_append_new(links, link_from_birth(c));
    } else if (strcmp(type, "run.finished") == 0) {
        bool has_started = jget_i64(c->m->whole, "started_us", 0) > 0;
        json_array_append_new(
            links, has_started ? link_from(c, "END", "run.started") : link_from_birth(c));
    } else if (strcmp(type, "task.finished") == 0 || strcmp(type, "task.retrying") == 0) {
        json_array_append_new(links, link_from_attempt(c));
    } else if (str_starts(type, "task.") || str_starts(type, "artifact.")) {
        json_array_append_new(links, link_from(c, "PATH", "run.started"));
    }
    return links;
}

/* ---- contents ---- */

static const char *outcome_of(const char *state)
{
    return strcmp(state, "SUCCEEDED") == 0 || strcmp(state, "CACHED") == 0 ? "success"
           : strcmp(state, "CANCELED") == 0                                ? "cancel"
                                                                           : "failure";
}

static void add_end(const struct cdevent *c, json_t *content)
{
    if (strcmp(c->kind->predicate, "finished") == 0) {
        jset_str(content, "outcome", outcome_of(message_text(c->m, "state")));
        jset_str(content, "errors", message_text(c->m, "error"));
    }
}

/* Where the run is found; a URI that names it, where nobody knows how to get there. */
static void add_run_uri(const struct cdevent *c, json_t *content)
{
    CLEANUP(cleanup_free)
    char *uri = c->m->public_url != NULL
                    ? xasprintf("%s/apis/v2beta1/runs/%s", c->m->public_url, c->run)
                    : xasprintf("urn:uuid:%s", c->run);
    jset_str(content, c->is_old ? "url" : "uri", uri);
}

static json_t *pipeline_run_content(const struct cdevent *c)
{
    json_t *content = json_object();
    const char *name = message_text(c->m, "pipeline_name");
    json_object_set_new(content, "pipelineName",
        json_string(name[0] != '\0' ? name : message_text(c->m, "pipeline_id")));
    add_run_uri(c, content);
    add_end(c, content);
    return content;
}

static json_t *task_run_content(const struct cdevent *c)
{
    json_t *content = json_pack(
        "{s:s,s:{s:s}}", "taskName", message_text(c->m, "task"), "pipelineRun", "id", c->run);
    add_end(c, content);
    return content;
}

static json_t *artifact_content(const struct cdevent *c)
{
    if (c->commit[0] == '\0') {
        return json_object();
    }
    json_t *change = json_pack("{s:s}", "id", c->commit);
    struct buf repository;
    buf_init(&repository, TEXT_MAX);
    message_add_encoded(&repository, message_text(c->m, "repository"), "/:@");
    jset_str(change, "source", buf_str(&repository));
    buf_done(&repository);
    return json_pack("{s:o}", "change", change);
}

static json_t *content_of(const struct cdevent *c)
{
    switch (c->kind->subject) {
    case CD_PIPELINE_RUN:
        return pipeline_run_content(c);
    case CD_TASK_RUN:
        return task_run_content(c);
    case CD_ARTIFACT:
        return artifact_content(c);
    case CD_CUSTOM:
        break;
    }
    return json_incref(c->m->data);
}

/* 0.4 says in the subject of what type it is. */
static json_t *subject_of(const struct cdevent *c)
{
    static const char *const types[] = {"pipelineRun", "taskRun", "artifact"};
    json_t *subject = json_pack("{s:s,s:o}", "id", c->subject, "content", content_of(c));
    if (c->is_old && c->kind->subject != CD_CUSTOM) {
        jset_str(subject, "type", types[c->kind->subject]);
    } else if (c->is_old) {
        const char *of = c->type + strlen("dev.cdeventsx.");
        json_object_set_new(subject, "type", json_stringn(of, strcspn(of, ".")));
    }
    return subject;
}

static json_t *context_of(const struct cdevent *c)
{
    json_t *context = json_pack("{s:s,s:s,s:s,s:s,s:s}", c->is_old ? "version" : "specversion",
        c->is_old ? "0.4.1" : "0.5.1", "id", c->m->id, "source", buf_str(&c->source), "type",
        c->type, "timestamp", c->m->at);
    jset_str(context, "chainId", c->run);
    json_t *links CLEANUP(json_decrefp) = links_of(c);
    if (json_array_size(links) > 0) {
        json_object_set(context, "links", links);
    }
    return context;
}

void message_as_cdevent(const struct message *m, bool is_old, struct envelope *out)
{
    struct cdevent c = {
        .m = m,
        .kind = kind_of(m->type),
        .is_old = is_old,
        .commit = message_text(m, "commit"),
        .run = jget_str(m->whole, "run_id", ""),
    };
    buf_init(&c.source, TEXT_MAX);
    message_add_source(m, &c.source);
    name_types(&c);
    c.subject = subject_id(&c);
    json_t *event = json_pack("{s:o,s:o}", "context", context_of(&c), "subject", subject_of(&c));
    if (c.kind->subject != CD_CUSTOM) {
        json_object_set(event, "customData", m->data);
        jset_str(event, "customDataContentType", "application/json");
    }
    cloudevent_structured(m, buf_str(&c.source), c.type, c.subject, c.schema, event, out);
    buf_done(&c.source);
    free(c.type);
    free(c.schema);
    free(c.subject);
}
