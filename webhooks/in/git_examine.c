/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the runs of a message need: the experiment, a pipeline version for each change, and
 * parameters that fit it. Nothing is written, but for versions that are read from the repository.
 *
 * Such a version's id is derived from the pipeline, the file and the commit: a commit never
 * changes, so it is read once, whoever asks and however often.
 */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/fault.h"
#include "base/id.h"
#include "base/json.h"
#include "base/log.h"
#include "base/pool.h"
#include "base/secret.h"
#include "base/util.h"
#include "scheduler/catalog.h"
#include "scheduler/plan.h"
#include "webhooks/in/git_hooks.h"
#include "webhooks/in/git_mapping.h"
#include "webhooks/in/git_template.h"

#define RUN_NAME_MAX 200
#define SHORT_COMMIT 10
#define VERSION_NAME_MAX 100
#define FILE_BYTES_MAX ((size_t)8 << 20)
#define COMPLAINTS_BYTES_MAX 2000
#define COMPLAINTS_SHOWN 3

static void look_at_next(struct git_case *c);

static void examined(void *owner)
{
    struct git_case *c = owner;
    c->done(c->owner, c->err.code != ERR_NONE ? &c->err : NULL);
}

/* What the set-up lacks: none of the changes can start. */
static void fail_all(struct git_case *c, const char *why)
{
    for (size_t i = 0; i < c->changes.count; i++) {
        if (c->findings[i].is_wanted) {
            c->findings[i].failure = pool_strdup(c->pool, why);
        }
    }
}

/* True: nothing is left to be found out. */
static bool is_lost(struct git_case *c, const char *what, const struct err *err)
{
    if (err == NULL) {
        return false;
    }
    if ((err_is_transient(err) || err->code == ERR_LIMIT) && !c->gives_up) {
        err_copy(&c->err, err);
    } else {
        fail_all(c, pool_printf(c->pool, "%s: %s", what, err->msg));
    }
    loop_defer(c->hooks->set.loop, &c->later, examined, c);
    return true;
}

static void name_run(struct git_case *c, size_t i)
{
    struct git_finding *f = &c->findings[i];
    const struct git_change *change = &c->changes.items[i];
    const struct git_push *p = &change->push;
    const char *what =
        change->kind == GIT_KIND_PULL_REQUEST
            ? pool_printf(c->pool, "#%lld", (long long)c->message->pull_request->number)
        : p->branch != NULL ? p->branch
        : p->tag != NULL    ? p->tag
                            : change->delivery;
    const char *commit = p->is_deleted ? "deleted" : p->commit;
    const char *name = pool_printf(c->pool, "%s %s%s%.*s", f->plan->name, what,
        commit[0] != '\0' ? " " : "", SHORT_COMMIT, commit);
    f->run_name = pool_clip(c->pool, name, RUN_NAME_MAX);
    f->run_id = git_case_run_id(c, i);
}

static void name_group(struct git_case *c, size_t i)
{
    struct git_finding *f = &c->findings[i];
    char hex[SHA256_HEX_LEN + 1];
    if (c->trigger->policy == GIT_POLICY_ALLOW) {
        return;
    }
    char *name = git_template_apply(c->pool, c->trigger->group, &c->changes.items[i]);
    name = pool_strdup(c->pool, pool_clip(c->pool, name, GIT_GROUP_MAX));
    text_sanitise(name);
    for (char *p = name; *p != '\0'; p++) {
        *p = *p == '\n' || *p == '\t' ? ' ' : *p;
    }
    sha256_hex(name, strlen(name), hex);
    f->group = name;
    f->group_hash = pool_strndup(c->pool, hex, 16);
}

/* Everything is there for this change. */
static void use_plan(struct git_case *c, size_t i, struct plan *plan)
{
    struct git_finding *f = &c->findings[i];
    struct err bad = ERR_INIT;
    plan_ref(plan);
    f->plan = plan;
    name_run(c, i);
    name_group(c, i);
    f->parameters = git_mapping_apply(json_object_get(c->trigger->record, "parameters"),
        &c->changes.items[i], c->headers, plan, &bad);
    if (f->parameters == NULL) {
        f->failure = pool_strdup(c->pool, bad.msg);
    }
}

static void use_version(struct git_case *c, size_t i, const json_t *version)
{
    c->findings[i].version_id = pool_strdup(c->pool, jget_str(version, "id", ""));
    c->findings[i].spec = pool_strdup(c->pool, jget_str(version, "spec", ""));
}

/* ---- one version for all changes ---- */

static void on_plan(void *owner, struct plan *plan, const struct err *err)
{
    struct git_case *c = owner;
    if (is_lost(c, "the pipeline", err)) {
        return;
    }
    for (size_t i = 0; i < c->changes.count; i++) {
        if (c->findings[i].is_wanted) {
            use_plan(c, i, plan);
        }
    }
    loop_defer(c->hooks->set.loop, &c->later, examined, c);
}

static void on_version(void *owner, const json_t *version, const struct err *err)
{
    struct git_case *c = owner;
    if (is_lost(c, "the pipeline's version", err)) {
        return;
    }
    for (size_t i = 0; i < c->changes.count; i++) {
        use_version(c, i, version);
    }
    spec_plan(c->hooks->set.catalog, jget_str(version, "spec", ""), on_plan, c);
}

static void find_version(struct git_case *c)
{
    const json_t *record = c->trigger->record;
    const char *version = jget_str(record, "version_id", NULL);
    if (version != NULL) {
        version_get(c->hooks->set.catalog, version, on_version, c);
    } else {
        version_latest(c->hooks->set.catalog, jget_str(record, "pipeline_id", ""), on_version, c);
    }
}

/* ---- a version for each, from the repository ---- */

static const char *commit_of(const struct git_case *c)
{
    return c->changes.items[c->at].push.commit;
}

static struct git_finding *finding(struct git_case *c)
{
    return &c->findings[c->at];
}

static void go_on(struct git_case *c)
{
    c->at++;
    look_at_next(c);
}

/* This change cannot start, whatever becomes of the others. */
static void file_lost(struct git_case *c, const char *why)
{
    finding(c)->failure = pool_printf(
        c->pool, "%s at commit %.*s: %s", c->trigger->remote.file, SHORT_COMMIT, commit_of(c), why);
    go_on(c);
}

/* False: err may pass, so the whole message is looked at again later. */
static bool is_for_good(struct git_case *c, const struct err *err)
{
    if (!c->gives_up && (err_is_transient(err) || err->code == ERR_LIMIT)) {
        err_copy(&c->err, err);
        err_wrap(&c->err, "%s", c->trigger->remote.file);
        loop_defer(c->hooks->set.loop, &c->later, examined, c);
        return false;
    }
    return true;
}

static void on_file_plan(void *owner, struct plan *plan, const struct err *err)
{
    struct git_case *c = owner;
    if (err == NULL) {
        use_plan(c, c->at, plan);
        go_on(c);
    } else if (is_for_good(c, err)) {
        file_lost(c, err->msg);
    }
}

static void on_file_version(void *owner, const json_t *version, const struct err *err)
{
    struct git_case *c = owner;
    FAULT("git.file.after");
    if (err == NULL) {
        use_version(c, c->at, version);
        spec_plan(c->hooks->set.catalog, finding(c)->spec, on_file_plan, c);
    } else if (is_for_good(c, err)) {
        file_lost(c, err->msg);
    }
}

static void file_version_id(const struct git_case *c, struct id *out)
{
    const char *pipeline = jget_str(c->trigger->record, "pipeline_id", "");
    id_derive(out, pipeline,
        pool_printf(c->pool, "file/%s/%s@%s", c->trigger->remote.api.repository,
            c->trigger->remote.file, commit_of(c)));
}

/* "pipelines/train.yaml@0123456789"; of a long path its end. */
static const char *file_version_name(const struct git_case *c)
{
    const char *file = c->trigger->remote.file;
    size_t len = strlen(file);
    const char *from = len > VERSION_NAME_MAX ? file + len - VERSION_NAME_MAX : file;
    while ((*from & 0xc0) == 0x80) {
        from++;
    }
    return pool_printf(c->pool, "%s@%.*s", from, SHORT_COMMIT, commit_of(c));
}

static void keep_version(struct git_case *c, const struct plan *plan)
{
    struct id id;
    const struct git_push *p = &c->changes.items[c->at].push;
    file_version_id(c, &id);
    const struct version_input in = {
        .pipeline_id = jget_str(c->trigger->record, "pipeline_id", ""),
        .name = file_version_name(c),
        .description = pool_printf(c->pool, "%s of %s at commit %s", c->trigger->remote.file,
            c->trigger->remote.api.repository, commit_of(c)),
        .code_source_url = pool_clip(c->pool, p->html_url, 1000),
        .plan = plan,
        .id = id.text,
        .commit = commit_of(c),
    };
    FAULT("git.file.before");
    version_create(c->hooks->set.catalog, &in, on_file_version, c);
}

static void use_file(struct git_case *c, const char *text, size_t len)
{
    struct complaints complaints;
    complaints_init(&complaints);
    struct plan *plan = plan_compile(text, len, &complaints);
    if (plan == NULL) {
        struct buf why;
        buf_init(&why, COMPLAINTS_BYTES_MAX);
        complaints_format(&complaints, COMPLAINTS_SHOWN, &why);
        file_lost(c, pool_strdup(c->pool, buf_str(&why)));
        buf_done(&why);
    } else if (c->fetching == GIT_FETCH_LOOK) {
        use_plan(c, c->at, plan);
        go_on(c);
    } else {
        keep_version(c, plan);
    }
    complaints_done(&complaints);
    if (plan != NULL) {
        plan_unref(plan);
    }
}

/* What an answer other than 200 means, and whether asking again may help. */
static void refused(struct git_case *c, const struct http_reply *reply)
{
    struct err err = ERR_INIT;
    bool may_pass = reply->status == 408 || reply->status == 429 || reply->status >= 500;
    err_set(&err, may_pass ? ERR_TRANSIENT : ERR_PRECONDITION, "%s answered %d%s",
        forge_name(c->trigger->remote.api.forge), reply->status,
        reply->status == 404 ? "; is the path right, and may api.token read it?"
        : reply->status == 401 || reply->status == 403 ? "; api.token may not read it"
        : reply->status >= 300 && reply->status < 400
            ? "; api.url leads elsewhere, which is not followed"
            : "");
    if (is_for_good(c, &err)) {
        file_lost(c, err.msg);
    }
}

static void on_file(void *owner, const struct http_reply *reply, const struct err *err)
{
    struct git_case *c = owner;
    c->remote = NULL;
    if (err != NULL) {
        if (err->code == ERR_LIMIT || is_for_good(c, err)) { /* too large stays too large */
            file_lost(c, err->msg);
        }
    } else if (reply->status != 200) {
        refused(c, reply);
    } else {
        use_file(c, reply->body, reply->body_len);
    }
}

static void fetch(struct git_case *c)
{
    struct forge_call call;
    struct err err = ERR_INIT;
    if (forge_api_file(
            &c->trigger->remote.api, commit_of(c), c->trigger->remote.file, &call, &err) != 0) {
        file_lost(c, err.msg);
        return;
    }
    LOG_INFO("reading a pipeline from the repository", "trigger=%s file=%s commit=%s",
        c->trigger->id, LOG_Q(c->trigger->remote.file), commit_of(c));
    c->remote = git_remote_start(
        c->hooks->set.http, c->hooks->set.egress, &call, FILE_BYTES_MAX, on_file, c, &err);
    forge_call_done(&call);
    if (c->remote == NULL) {
        file_lost(c, err.msg);
    }
}

static void on_kept_version(void *owner, const json_t *version, const struct err *err)
{
    struct git_case *c = owner;
    if (err == NULL || err->code != ERR_NOT_FOUND) {
        on_file_version(c, version, err);
    } else if (c->fetching == GIT_FETCH_LATER) {
        finding(c)->needs_file = true;
        go_on(c);
    } else {
        fetch(c);
    }
}

static void look_at_next(struct git_case *c)
{
    while (c->at < c->changes.count && !finding(c)->is_wanted) {
        c->at++;
    }
    if (c->at == c->changes.count) {
        loop_defer(c->hooks->set.loop, &c->later, examined, c);
        return;
    }
    struct id id;
    if (c->changes.items[c->at].push.is_deleted || commit_of(c)[0] == '\0') {
        file_lost(c, "there is no commit to read it at");
        return;
    }
    file_version_id(c, &id);
    version_get(c->hooks->set.catalog, id.text, on_kept_version, c);
}

/* ---- start ---- */

static void on_experiment(void *owner, const json_t *experiment, const struct err *err)
{
    struct git_case *c = owner;
    if (is_lost(c, "the experiment", err)) {
        return;
    }
    c->experiment_id = pool_strdup(c->pool, jget_str(experiment, "id", ""));
    if (c->trigger->remote.file != NULL) {
        look_at_next(c);
    } else {
        find_version(c);
    }
}

void git_case_examine(struct git_case *c, bool with_steps, git_case_fn *done, void *owner)
{
    size_t wanted = 0;
    c->done = done;
    c->owner = owner;
    for (size_t i = 0; i < c->changes.count; i++) {
        struct git_finding *f = &c->findings[i];
        f->steps = with_steps ? json_array() : NULL;
        f->is_wanted =
            git_match(c->trigger, &c->changes.items[i], c->headers, f->steps, &f->reason);
        wanted += f->is_wanted;
    }
    const char *experiment = jget_str(c->trigger->record, "experiment_id", NULL);
    if (wanted == 0) {
        loop_defer(c->hooks->set.loop, &c->later, examined, c);
    } else if (experiment != NULL) {
        c->experiment_id = pool_strdup(c->pool, experiment);
        experiment_get(c->hooks->set.catalog, experiment, on_experiment, c);
    } else {
        experiment_default(c->hooks->set.catalog, on_experiment, c);
    }
}
