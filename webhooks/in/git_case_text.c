/* SPDX-License-Identifier: Apache-2.0 */
/* What a case writes: the run's document, the event of the log, and events told to subscribers. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/json.h"
#include "base/pool.h"
#include "base/util.h"
#include "scheduler/plan.h"
#include "scheduler/run.h"
#include "webhooks/in/git_hooks.h"

#define DESCRIPTION_MAX 500

static void put(json_t *out, const char *key, const char *text)
{
    if (text != NULL && text[0] != '\0') {
        json_object_set_new(out, key, json_string(text));
    }
}

/* What started the run, for all who look at it. */
static json_t *run_trigger(const struct git_case *c, size_t i)
{
    const struct git_change *change = &c->changes.items[i];
    const struct git_push *p = &change->push;
    json_t *t = json_object();
    put(t, "kind", "git");
    put(t, "trigger_id", c->trigger->id);
    put(t, "trigger_name", c->trigger->name);
    put(t, "event_id", c->event_id);
    put(t, "delivery", change->delivery);
    put(t, "forge", p->forge);
    put(t, "event", git_kind_name(change->kind));
    put(t, "repository", p->repository);
    put(t, "ref", p->ref);
    put(t, "branch", p->branch);
    put(t, "tag", p->tag);
    put(t, "before", p->before);
    put(t, "commit", p->is_deleted ? "" : p->commit);
    put(t, "actor", pool_clip(c->pool, p->actor, GIT_TEXT_MAX));
    put(t, "message", pool_clip(c->pool, p->message, GIT_TEXT_MAX));
    put(t, "url", pool_clip(c->pool, p->url, GIT_TEXT_MAX));
    put(t, "compare_url", pool_clip(c->pool, p->compare_url, GIT_TEXT_MAX));
    put(t, "group", c->findings[i].group);
    return t;
}

/* KFP's clients show a run's description and know no trigger. */
static const char *describe(const struct git_case *c, size_t i)
{
    const struct git_change *change = &c->changes.items[i];
    const struct git_push *p = &change->push;
    const char *text = pool_printf(c->pool, "%s of %s%s%s%s%s%s%s", git_kind_name(change->kind),
        p->repository, p->ref[0] != '\0' ? " " : "", p->ref, p->commit[0] != '\0' ? " at " : "",
        p->commit, p->actor[0] != '\0' ? " by " : "", p->actor);
    if (p->message[0] != '\0') {
        text = pool_printf(c->pool, "%s: %.*s", text, (int)strcspn(p->message, "\r\n"), p->message);
    }
    return pool_clip(c->pool, text, DESCRIPTION_MAX);
}

/* ---- events told to subscribers ---- */

/* What events.md has of every trigger.* event. */
static json_t *told_of(const struct git_case *c, size_t i)
{
    const struct git_change *change = &c->changes.items[i];
    const struct git_push *p = &change->push;
    json_t *data = json_object();
    json_object_set_new(data, "trigger_id", json_string(c->trigger->id));
    json_object_set_new(data, "trigger_name", json_string(c->trigger->name));
    json_object_set_new(data, "forge", json_string(p->forge));
    json_object_set_new(data, "delivery", json_string(change->delivery));
    json_object_set_new(data, "event", json_string(pool_clip(c->pool, p->event, GIT_TEXT_MAX)));
    json_object_set_new(data, "repository", json_string(p->repository));
    json_object_set_new(data, "ref", json_string(p->ref));
    put(data, "commit", p->is_deleted ? "" : p->commit);
    put(data, "actor", pool_clip(c->pool, p->actor, GIT_TEXT_MAX));
    return data;
}

/* Takes data. malloc'd. */
static char *told_text(
    const char *parent, const char *name, const char *type, int64_t time_us, json_t *data)
{
    struct id id;
    id_derive(&id, parent, name);
    json_t *event = json_pack("{s:s,s:s,s:I,s:o}", "id", id.text, "type", type, "time_us",
        (json_int_t)time_us, "data", data);
    char *text = jtext(event);
    json_decref(event);
    return text;
}

char *git_case_fired_text(const struct git_case *c, size_t i)
{
    const struct git_finding *f = &c->findings[i];
    json_t *data = told_of(c, i);
    json_object_set_new(data, "run_id", json_string(f->run_id));
    json_object_set_new(data, "result", json_string("@")); /* the script knows */
    json_object_set_new(data, "experiment_id", json_string(c->experiment_id));
    json_object_set_new(data, "pipeline_name", json_string(f->plan->name));
    put(data, "pipeline_id", jget_str(c->trigger->record, "pipeline_id", NULL));
    return told_text(f->run_id, "trigger.fired", "trigger.fired", clock_now_us(), data);
}

char *git_case_run_text(const struct git_case *c, size_t i)
{
    const struct git_finding *f = &c->findings[i];
    json_t *trigger = run_trigger(c, i);
    struct run_request req = {
        .id = f->run_id,
        .name = f->run_name,
        .description = describe(c, i),
        .experiment_id = c->experiment_id,
        .spec = f->spec,
        .pipeline_name = f->plan->name,
        .pipeline_id = jget_str(c->trigger->record, "pipeline_id", NULL),
        .version_id = f->version_id,
        .parameters = f->parameters,
        .trigger = trigger,
    };
    json_t *doc = run_doc(&req);
    int64_t now_us = clock_now_us();
    CLEANUP(cleanup_free) char *written = jtext(doc);
    CLEANUP(cleanup_free) char *event = run_created_event(&req, now_us, now_us);
    char *text = xasprintf("%s\n%s", written, event);
    json_decref(doc);
    json_decref(trigger);
    return text;
}

const char *git_finding_clause(const struct git_finding *f)
{
    return f->failure != NULL ? "run" : f->needs_file ? "file" : f->reason.clause;
}

const char *git_finding_reason(const struct git_finding *f)
{
    return f->failure != NULL ? f->failure
           : f->needs_file    ? "the pipeline is being read from the repository"
                              : f->reason.text;
}

json_t *git_case_ref_json(const struct git_case *c, size_t i)
{
    const struct git_change *change = &c->changes.items[i];
    const struct git_push *p = &change->push;
    json_t *out = json_object();
    json_object_set_new(out, "n", json_integer((json_int_t)i + 1));
    put(out, "kind", git_kind_name(change->kind));
    put(out, "ref", p->ref);
    put(out, "before", p->before);
    put(out, "after", p->after);
    put(out, "commit", p->commit);
    put(out, "clause", git_finding_clause(&c->findings[i]));
    put(out, "detail", pool_clip(c->pool, git_finding_reason(&c->findings[i]), GIT_TEXT_MAX));
    return out;
}

/* The event as the log has it; what becomes of each change stands beside it. */
char *git_case_event_text(const struct git_case *c, bool is_payload_kept)
{
    const struct hook_message *m = c->message;
    json_t *doc = json_pack("{s:i,s:I,s:I,s:i,s:b}", "v", 1, "ms",
        (json_int_t)((clock_mono_us() - c->begun_us) / US_PER_MS), "payload_bytes",
        (json_int_t)c->payload_len, "secret", m->verified.secret, "payload_kept", is_payload_kept);
    put(doc, "delivery", m->delivery);
    put(doc, "forge", forge_name(m->forge));
    put(doc, "event", pool_clip(c->pool, m->event != NULL ? m->event : "", GIT_TEXT_MAX));
    put(doc, "verified_by", m->verified.by);
    put(doc, "repository",
        pool_clip(c->pool, m->repository != NULL ? m->repository : "", GIT_TEXT_MAX));
    put(doc, "actor", pool_clip(c->pool, m->actor != NULL ? m->actor : "", GIT_TEXT_MAX));
    put(doc, "content_type", pool_clip(c->pool, c->content_type, GIT_TEXT_MAX));
    if (m->kind == HOOK_PING || m->kind == HOOK_OTHER) {
        put(doc, "result", m->kind == HOOK_PING ? "ping" : "ignored");
        put(doc, "reason", m->why);
    }
    if (m->is_polled) {
        json_object_set_new(doc, "polled", json_true());
    }
    if (m->refs_dropped > 0) {
        json_object_set_new(doc, "refs_dropped", json_integer((json_int_t)m->refs_dropped));
    }
    json_t *refs = json_array();
    for (size_t i = 0; i < c->changes.count; i++) {
        json_array_append_new(refs, git_case_ref_json(c, i));
    }
    json_object_set_new(doc, "refs", refs);
    char *text = jtext(doc);
    json_decref(doc);
    return text;
}

char *git_case_rejected_text(const struct git_case *c, size_t i)
{
    const struct git_finding *f = &c->findings[i];
    bool has_failed = f->is_wanted && f->failure != NULL;
    if (c->trigger->tells == GIT_TELL_NONE ||
        (c->trigger->tells == GIT_TELL_FAILED && !has_failed)) {
        return NULL;
    }
    json_t *data = told_of(c, i);
    json_object_set_new(data, "reason", json_string("@")); /* the script knows */
    const char *name = pool_printf(c->pool, "trigger.rejected/%zu", i + 1);
    return told_text(c->event_id, name, "trigger.rejected", clock_now_us(), data);
}
