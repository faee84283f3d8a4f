/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One line for a person, as a message for Slack's incoming webhooks (and what understands them).
 * Names and errors come from outside. In `blocks` they are elements of rich text, which is not
 * parsed; in `text`, which shows in notifications, '&', '<' and '>' are escaped and the rest of
 * the mark-up is off: so nobody is mentioned, and no link is made, by a name.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/util.h"
#include "webhooks/out/envelope.h"
#include "webhooks/out/message.h"

#define TEXT_MAX ((size_t)64 * 1024)
#define PIECE_MAX 300 /* bytes of one text from outside */

struct line {
    const struct message *m;
    struct buf text;
    json_t *elements;
};

enum style { PLAIN, BOLD };

/* At most PIECE_MAX bytes of it, on one line; malloc'd. */
static char *piece_of(const char *text)
{
    size_t len = strlen(text), end = 0;
    while (end < len) {
        size_t step = utf8_step(text + end, len - end);
        if (step == 0 || end + step > PIECE_MAX) {
            break;
        }
        end += step;
    }
    char *out = xasprintf("%.*s%s", (int)end, text, end < len ? "\xE2\x80\xA6" : "");
    for (char *p = out; *p != '\0'; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f) {
            *p = ' ';
        }
    }
    return out;
}

static void add_escaped(struct buf *out, const char *text)
{
    for (const char *p = text; *p != '\0'; p++) {
        if (*p == '&') {
            buf_adds(out, "&amp;");
        } else if (*p == '<') {
            buf_adds(out, "&lt;");
        } else if (*p == '>') {
            buf_adds(out, "&gt;");
        } else {
            buf_addc(out, *p);
        }
    }
}

static void add_piece(struct line *l, enum style style, const char *text)
{
    CLEANUP(cleanup_free) char *piece = piece_of(text);
    if (piece[0] == '\0') {
        return;
    }
    json_t *element = json_pack("{s:s,s:s}", "type", "text", "text", piece);
    if (style == BOLD) {
        json_object_set_new(element, "style", json_pack("{s:b}", "bold", 1));
    }
    json_array_append_new(l->elements, element);
    add_escaped(&l->text, piece);
}

/* Our own words; %s in it stands for the next of the arguments, in bold. */
static void say(struct line *l, const char *words, const char *name)
{
    const char *at = strstr(words, "%s");
    CLEANUP(cleanup_free)
    char *before = xstrndup(words, at != NULL ? (size_t)(at - words) : strlen(words));
    add_piece(l, PLAIN, before);
    if (at != NULL) {
        add_piece(l, BOLD, name[0] != '\0' ? name : "?");
        add_piece(l, PLAIN, at + 2);
    }
}

/* ": why", when there is something to say. */
static void say_why(struct line *l, const char *member)
{
    const char *why = message_text(l->m, member);
    if (why[0] != '\0') {
        say(l, ": ", "");
        add_piece(l, PLAIN, why);
    }
}

static const char *either(const struct line *l, const char *member, const char *other)
{
    const char *text = message_text(l->m, member);
    return text[0] != '\0' ? text : message_text(l->m, other);
}

/* The run by its name, linked to where it is found. */
static void say_run(struct line *l)
{
    CLEANUP(cleanup_free) char *name = piece_of(either(l, "run_name", "run_id"));
    if (l->m->public_url == NULL) {
        say(l, "run %s", name);
        return;
    }
    struct buf url;
    buf_init(&url, TEXT_MAX);
    buf_addf(&url, "%s/apis/v2beta1/runs/", l->m->public_url);
    message_add_encoded(&url, message_text(l->m, "run_id"), "");
    say(l, "run ", "");
    json_array_append_new(l->elements,
        json_pack("{s:s,s:s,s:s}", "type", "link", "url", buf_str(&url), "text", name));
    buf_addf(&l->text, "<%s|", buf_str(&url));
    add_escaped(&l->text, name);
    buf_addc(&l->text, '>');
    buf_done(&url);
}

static void say_task(struct line *l)
{
    say(l, "task %s of ", message_text(l->m, "task"));
    say_run(l);
}

/* " after 3 min" */
static void say_duration(struct line *l)
{
    int64_t from_us = jget_i64(l->m->data, "started_us", 0);
    int64_t to_us = jget_i64(l->m->data, "ended_us", 0);
    char text[64];
    if (from_us <= 0 || to_us < from_us) {
        return;
    }
    int64_t us = to_us - from_us, s = us / US_PER_S;
    if (s < 60) {
        snprintf(text, sizeof text, " after %.1f s", (double)us / US_PER_S);
    } else if (s < 3600) {
        snprintf(text, sizeof text, " after %" PRId64 " min", s / 60);
    } else {
        snprintf(text, sizeof text, " after %" PRId64 " h %" PRId64 " min", s / 3600, s / 60 % 60);
    }
    say(l, text, "");
}

static void say_end(struct line *l)
{
    say(l, " %s", message_text(l->m, "state"));
    say_duration(l);
    say_why(l, "error");
}

static void say_size(struct line *l)
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    double size = (double)jget_i64(l->m->data, "size", -1);
    char text[64];
    if (size < 0) {
        return;
    }
    size_t unit = 0;
    for (; size >= 1024 && unit + 1 < ARRAY_LEN(units); unit++) {
        size /= 1024;
    }
    snprintf(text, sizeof text, " (%.*f %s)", unit == 0 ? 0 : 1, size, units[unit]);
    say(l, text, "");
}

/* ---- by type ---- */

static void tell_run(struct line *l, const char *what)
{
    say_run(l);
    if (strcmp(what, "finished") == 0) {
        say_end(l);
    } else if (strcmp(what, "canceling") == 0) {
        say(l, " was asked to end", "");
    } else if (strcmp(what, "notice") == 0) {
        say_why(l, "text");
    } else {
        say(l, " %s", what);
    }
}

static void tell_task(struct line *l, const char *what)
{
    int64_t attempt = jget_i64(l->m->data, "attempt", 0);
    char text[64] = "";
    say_task(l);
    if (strcmp(what, "finished") == 0) {
        say_end(l);
    } else if (strcmp(what, "retrying") == 0) {
        say(l, " failed and is tried again", "");
        say_why(l, "error");
    } else if (strcmp(what, "skipped") == 0) {
        say(l, " was skipped", "");
        say_why(l, "reason");
        if (message_text(l->m, "upstream")[0] != '\0') {
            say(l, " (%s)", message_text(l->m, "upstream"));
        }
    } else {
        say(l, " %s", what);
        if (attempt > 0) {
            snprintf(text, sizeof text, ", attempt %" PRIu64, (uint64_t)attempt + 1);
        }
        say(l, text, "");
    }
}

static void tell_artifact(struct line *l, const char *what)
{
    say(l, "artifact %s", message_text(l->m, "name"));
    say_size(l);
    say(l, " %s by ", what);
    say_task(l);
}

static void tell_recurring_run(struct line *l, const char *what)
{
    char text[64];
    int64_t ticks = jget_i64(l->m->data, "ticks", 1);
    int64_t late_s = jget_i64(l->m->data, "lateness_us", 0) / US_PER_S;
    say(l, "recurring run %s ", either(l, "recurring_run_name", "recurring_run_id"));
    if (strcmp(what, "fired") == 0) {
        say(l, "fired ", "");
        say_run(l);
        if (late_s > 0) {
            snprintf(text, sizeof text, ", %" PRId64 " s late", late_s);
            say(l, text, "");
        }
        return;
    }
    if (strcmp(what, "skipped") == 0 || strcmp(what, "missed") == 0) {
        snprintf(text, sizeof text, "%s %" PRId64 " tick%s", what, ticks, ticks == 1 ? "" : "s");
        say(l, text, "");
    } else {
        say(l,
            strcmp(what, "waiting") == 0           ? "waits for a run to end"
            : strcmp(what, "failed_to_start") == 0 ? "cannot start a run"
            : strcmp(what, "enabled") == 0         ? "was enabled"
                                                   : "was disabled",
            "");
    }
    say_why(l, "reason");
}

static void tell_trigger(struct line *l, const char *what)
{
    say(l, "trigger %s: ", either(l, "trigger_name", "trigger_id"));
    say(l, "%s", message_text(l->m, "event"));
    if (message_text(l->m, "repository")[0] != '\0') {
        say(l, " to %s", message_text(l->m, "repository"));
        say(l, " %s", message_text(l->m, "ref"));
    }
    if (strcmp(what, "fired") == 0) {
        say(l, " started ", "");
        say_run(l);
    } else {
        say(l, " started nothing", "");
        say_why(l, "reason");
    }
}

static void tell_subscription(struct line *l, const char *what)
{
    say(l, "webhook subscription %s ", either(l, "subscription_name", "subscription_id"));
    say(l,
        strcmp(what, "disabled") == 0    ? "was disabled"
        : strcmp(what, "recovered") == 0 ? "works again"
                                         : "works",
        "");
    say_why(l, "reason");
}

static void tell_delivery(struct line *l, const char *what)
{
    (void)what;
    say(l, "webhook %s ", message_text(l->m, "event_type"));
    say(l, "for subscription %s was given up", either(l, "subscription_name", "subscription_id"));
    say_why(l, "error");
}

static const struct {
    const char *prefix;
    void (*tell)(struct line *l, const char *what);
} tellers[] = {
    {"run.", tell_run},
    {"task.", tell_task},
    {"artifact.", tell_artifact},
    {"recurring_run.", tell_recurring_run},
    {"trigger.", tell_trigger},
    {"subscription.", tell_subscription},
    {"webhook.", tell_subscription},
    {"delivery.", tell_delivery},
};

void message_as_slack(const struct message *m, struct envelope *out)
{
    struct line l = {.m = m, .elements = json_array()};
    buf_init(&l.text, TEXT_MAX);
    for (size_t i = 0; i < ARRAY_LEN(tellers); i++) {
        if (str_starts(m->type, tellers[i].prefix)) {
            tellers[i].tell(&l, m->type + strlen(tellers[i].prefix));
        }
    }
    if (l.text.len == 0) {
        add_piece(&l, PLAIN, m->type);
    }
    json_t *body CLEANUP(json_decrefp) = json_pack("{s:s,s:b,s:[{s:s,s:[{s:s,s:o}]}]}", "text",
        buf_str(&l.text), "mrkdwn", 0, "blocks", "type", "rich_text", "elements", "type",
        "rich_text_section", "elements", l.elements);
    out->body = jtext(body);
    out->content_type = "application/json";
    buf_done(&l.text);
}
