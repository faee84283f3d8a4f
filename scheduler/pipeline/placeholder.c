/* SPDX-License-Identifier: Apache-2.0 */
/* {{$...}} references: grammar, replacing, and the facts about the run (kfp-semantics.md 3.3). */
#include "pipeline/placeholder.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/util.h"
#include "pipeline/value.h"
#include "scheduler/plan.h"

#include <stdint.h>
#include <string.h>

static const struct {
    const char *name;
    enum run_fact fact;
} run_facts[] = {
    {".pipeline_job_name", RUN_FACT_NAME},
    {".pipeline_job_resource_name", RUN_FACT_RESOURCE_NAME},
    {".pipeline_job_uuid", RUN_FACT_ID},
    {".pipeline_task_name", RUN_FACT_TASK_NAME},
    {".pipeline_task_uuid", RUN_FACT_TASK_ID},
    {".pipeline_job_create_time_utc", RUN_FACT_CREATED},
    {".pipeline_job_schedule_time_utc", RUN_FACT_SCHEDULED},
    {".pipeline_root", RUN_FACT_ROOT},
    {".workspace_path", RUN_FACT_WORKSPACE},
};

struct cursor {
    const char *at, *end;
};

static bool accept(struct cursor *c, const char *word)
{
    size_t len = strlen(word);
    if ((size_t)(c->end - c->at) < len || memcmp(c->at, word, len) != 0) {
        return false;
    }
    c->at += len;
    return true;
}

/* ['name'] or ["name"]. */
static bool accept_key(struct cursor *c, char out[REF_MAX_NAME])
{
    struct cursor start = *c;
    if (!accept(c, "[") || c->at >= c->end || (*c->at != '\'' && *c->at != '"')) {
        *c = start;
        return false;
    }
    char quote = *c->at++;
    const char *name = c->at;
    while (c->at < c->end && *c->at != quote && c->at - name < REF_MAX_NAME) {
        c->at++;
    }
    size_t len = (size_t)(c->at - name);
    if (c->at >= c->end || *c->at != quote || len == 0 || len >= REF_MAX_NAME) {
        *c = start;
        return false;
    }
    c->at++;
    if (!accept(c, "]")) {
        *c = start;
        return false;
    }
    memcpy(out, name, len);
    out[len] = '\0';
    return true;
}

static bool parse_artifact(struct cursor *c, struct ref *out)
{
    if (!accept_key(c, out->name)) {
        return false;
    }
    if (accept(c, ".uri")) {
        out->field = FIELD_URI;
    } else if (accept(c, ".path")) {
        out->field = FIELD_PATH;
    } else if (accept(c, ".name")) {
        out->field = FIELD_NAME;
    } else if (accept(c, ".metadata") || accept(c, ".properties")) {
        out->field = FIELD_METADATA;
        while (out->key_count < REF_MAX_KEYS && accept_key(c, out->keys[out->key_count])) {
            out->key_count++;
        }
    } else {
        out->field = FIELD_WHOLE;
    }
    return true;
}

static bool parse_run_fact(struct cursor *c, struct ref *out)
{
    for (size_t i = 0; i < ARRAY_LEN(run_facts); i++) {
        struct cursor start = *c;
        /* With its end: some names are the beginning of others. */
        if (accept(c, run_facts[i].name) && c->end - c->at >= 2 && memcmp(c->at, "}}", 2) == 0) {
            out->kind = REF_RUN;
            out->fact = run_facts[i].fact;
            return true;
        }
        *c = start;
    }
    return false;
}

static bool parse_body(struct cursor *c, struct ref *out)
{
    if (accept(c, ".inputs.parameters")) {
        out->kind = REF_IN_PARAM;
        return accept_key(c, out->name);
    }
    if (accept(c, ".outputs.parameters")) {
        out->kind = REF_OUT_PARAM;
        return accept_key(c, out->name) && accept(c, ".output_file");
    }
    if (accept(c, ".inputs.artifacts")) {
        out->kind = REF_IN_ARTIFACT;
        return parse_artifact(c, out);
    }
    if (accept(c, ".outputs.artifacts")) {
        out->kind = REF_OUT_ARTIFACT;
        return parse_artifact(c, out);
    }
    if (accept(c, ".outputs.output_file") || accept(c, ".outputMetadataUri")) {
        out->kind = REF_OUTPUT_FILE;
        return true;
    }
    if (parse_run_fact(c, out)) {
        return true;
    }
    out->kind = REF_EXECUTOR_INPUT;
    return true;
}

/* .json_escape[1], as Vertex AI has it and the Google Cloud components use it. */
static void parse_escape(struct cursor *c, struct ref *out)
{
    struct cursor start = *c;
    if (accept(c, ".json_escape[") && c->at < c->end && *c->at >= '0' && *c->at <= '3') {
        out->escapes = *c->at++ - '0';
        if (accept(c, "]")) {
            return;
        }
    }
    out->escapes = 0;
    *c = start;
}

size_t ref_parse(const char *at, const char *end, struct ref *out)
{
    struct cursor c = {.at = at, .end = end};
    out->key_count = 0;
    out->field = FIELD_WHOLE;
    out->escapes = 0;
    if (!accept(&c, "{{$") || !parse_body(&c, out)) {
        return 0;
    }
    parse_escape(&c, out);
    if (!accept(&c, "}}")) {
        return 0;
    }
    return (size_t)(c.at - at);
}

/* What stands between the quotes of the JSON text. */
static void add_escaped(struct buf *out, const char *text, size_t len)
{
    json_t *value = json_stringn(text, len);
    struct buf quoted;
    buf_init(&quoted, 6 * len + 16);
    if (value != NULL) {
        value_write(value, VALUE_WRITE_PLAIN, &quoted);
        buf_add(out, buf_str(&quoted) + 1, quoted.len - 2);
    }
    buf_done(&quoted);
    json_decref(value);
}

static int write_escaped(ref_write_fn *fn, void *owner, const struct ref *ref, struct buf *out)
{
    struct buf plain;
    buf_init(&plain, MAX_VALUE_BYTES);
    int status = fn(owner, ref, &plain);
    for (int i = 0; i < ref->escapes && status > 0; i++) {
        struct buf next;
        buf_init(&next, MAX_VALUE_BYTES);
        add_escaped(&next, buf_str(&plain), plain.len);
        buf_done(&plain);
        plain = next;
    }
    if (status > 0) {
        buf_add(out, buf_str(&plain), plain.len);
        out->overflow |= plain.overflow;
    }
    buf_done(&plain);
    return status;
}

int refs_replace(
    const char *text, size_t len, ref_write_fn *fn, void *owner, struct buf *out, json_t *values)
{
    const char *end = text + len, *copied = text;
    int found = 0;
    for (const char *p = text; p < end;) {
        p = memmem(p, (size_t)(end - p), "{{$", 3);
        if (p == NULL) {
            break;
        }
        struct ref ref;
        size_t used = ref_parse(p, end, &ref);
        if (used == 0) {
            p += 3;
            continue;
        }
        buf_add(out, copied, (size_t)(p - copied));
        copied = p;
        size_t from = out->len;
        int status = ref.escapes > 0 ? write_escaped(fn, owner, &ref, out) : fn(owner, &ref, out);
        if (status < 0) {
            return -1;
        }
        if (status > 0) { /* else the reference itself is copied with what follows */
            copied = p + used;
            found = 1;
            if (values != NULL) {
                json_array_append_new(values, json_integer((json_int_t)from));
                json_array_append_new(values, json_integer((json_int_t)(out->len - from)));
            }
        }
        p += used;
    }
    buf_add(out, copied, (size_t)(end - copied));
    return found;
}

static int add_known(struct buf *out, const char *text)
{
    if (text == NULL) {
        return 0;
    }
    buf_adds(out, text);
    return 1;
}

int run_fact_write(const struct run_context *run, enum run_fact fact, struct buf *out)
{
    char time[CLOCK_TEXT_MAX];
    switch (fact) {
    case RUN_FACT_NAME:
        return add_known(out, run->run_name);
    case RUN_FACT_RESOURCE_NAME:
        if (run->pipeline_name == NULL || run->run_id == NULL) {
            return 0;
        }
        buf_addf(out, "%s-%s", run->pipeline_name, run->run_id);
        return 1;
    case RUN_FACT_ID:
        return add_known(out, run->run_id);
    case RUN_FACT_TASK_NAME:
        return add_known(out, run->task_key);
    case RUN_FACT_TASK_ID:
        return add_known(out, run->task_id);
    case RUN_FACT_CREATED:
        return add_known(out, clock_format_s(run->created_us, time));
    case RUN_FACT_SCHEDULED:
        return add_known(out,
            clock_format_s(run->scheduled_us != 0 ? run->scheduled_us : run->created_us, time));
    case RUN_FACT_ROOT:
        return add_known(out, run->pipeline_root);
    case RUN_FACT_WORKSPACE:
        return add_known(out, run->workspace_path);
    }
    return 0;
}

static int write_run_ref(void *owner, const struct ref *ref, struct buf *out)
{
    return ref->kind == REF_RUN ? run_fact_write(owner, ref->fact, out) : 0;
}

static bool resolve_text(void *owner, const char *text, size_t len, struct buf *out)
{
    return refs_replace(text, len, write_run_ref, owner, out, NULL) > 0;
}

json_t *placeholder_resolve_run(const json_t *value, const struct run_context *ctx)
{
    return value_map_strings(value, resolve_text, (void *)(uintptr_t)ctx);
}

/* ---- channels in f-strings ---- */

static const char *channel_field(const char *at, const char *end, const char *field, char *out)
{
    size_t len = strlen(field);
    if ((size_t)(end - at) < len || memcmp(at, field, len) != 0) {
        return NULL;
    }
    at += len;
    const char *stop = memchr(at, ';', (size_t)(end - at));
    if (stop == NULL || stop - at >= REF_MAX_NAME) {
        return NULL;
    }
    memcpy(out, at, (size_t)(stop - at));
    out[stop - at] = '\0';
    return stop + 1;
}

size_t channel_parse(const char *at, const char *end, struct channel *out)
{
    char type[REF_MAX_NAME];
    size_t len = strlen(CHANNEL_START);
    if ((size_t)(end - at) < len || memcmp(at, CHANNEL_START, len) != 0) {
        return 0;
    }
    const char *p = channel_field(at + len, end, "task=", out->task);
    p = p != NULL ? channel_field(p, end, "name=", out->name) : NULL;
    p = p != NULL ? channel_field(p, end, "type=", type) : NULL;
    bool is_whole = p != NULL && end - p >= 2 && memcmp(p, "}}", 2) == 0 && out->name[0] != '\0';
    return is_whole ? (size_t)(p + 2 - at) : 0;
}
