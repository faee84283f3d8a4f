/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One schedule text: zone prefix, then cron fields, a word, "@every" or an iCalendar rule. What
 * belongs to several of them together is document.c's.
 */
#include "cron/internal.h"

#include "cron/calendar.h"
#include "cron/rule.h"

#include "base/err.h"
#include "base/util.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* "CRON_TZ=Asia/Seoul 0 9 * * *": copies the zone name and moves *text behind it. */
static int take_zone_prefix(const char **text, char *zone, size_t size, struct err *err)
{
    static const char *const prefixes[] = {"CRON_TZ=", "TZ="};
    for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
        if (!str_starts(*text, prefixes[i])) {
            continue;
        }
        const char *name = *text + strlen(prefixes[i]);
        size_t len = strcspn(name, CRON_BLANKS);
        char shown[CRON_SHOW_MAX];
        if (len == 0 || len >= size) {
            return err_set(err, ERR_INVALID,
                "cron '%s': after %s comes a zone name such as 'Asia/Seoul', then a space",
                cron_show(*text, shown), prefixes[i]);
        }
        memcpy(zone, name, len);
        zone[len] = '\0';
        if (name[len] == '\0') {
            return err_set(err, ERR_INVALID,
                "cron '%s': after the zone comes a schedule, as in 'CRON_TZ=Asia/Seoul 30 9 * * *'",
                cron_show(*text, shown));
        }
        *text = name + len + strspn(name + len, CRON_BLANKS);
        return 0;
    }
    return 0;
}

/* The zone of the prefix or of the field beside it, which must agree if it is for this text. */
static int find_zone(
    struct part *part, const char *prefix_zone, const struct part_style *style, struct err *err)
{
    const char *zone_name = style->zone_name;
    bool has_field = zone_name != NULL && zone_name[0] != '\0';
    if (has_field && !style->zone_is_default && prefix_zone[0] != '\0' &&
        strcmp(prefix_zone, zone_name) != 0) {
        char a[CRON_SHOW_MAX], b[CRON_SHOW_MAX];
        return err_set(err, ERR_INVALID,
            "the cron text says zone '%s', the zone field says '%s'; leave one of them out",
            cron_show(prefix_zone, a), cron_show(zone_name, b));
    }
    const char *name = prefix_zone[0] != '\0' ? prefix_zone : has_field ? zone_name : "UTC";
    part->zone = zone_get(name, err);
    return part->zone != NULL ? 0 : -1;
}

/* "90s" or, with a phase counted from 1970, "6h/5h". */
static int parse_every(struct part *part, const char *text, bool needs_phase, struct err *err)
{
    char interval[CRON_TEXT_MAX + 1];
    size_t len = strcspn(text, "/");
    memcpy(interval, text, len);
    interval[len] = '\0';
    part->kind = PART_EVERY;
    if (duration_parse(interval, false, &part->interval_s, err) != 0) {
        return -1;
    }
    if (text[len] == '/') {
        part->kind = PART_PHASED;
        if (duration_parse(text + len + 1, true, &part->phase_s, err) != 0) {
            return err_wrap(err, "the phase after '/'");
        }
        if (part->phase_s >= part->interval_s) {
            return err_set(err, ERR_INVALID,
                "cron '@every %.60s': the phase after '/' must be shorter than the interval", text);
        }
    } else if (needs_phase) {
        part->kind = PART_PHASED;
    }
    return 0;
}

static bool is_rule(const char *text)
{
    static const char *const names[] = {"RRULE:", "RRULE;", "DTSTART:", "DTSTART;"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strncasecmp(text, names[i], strlen(names[i])) == 0) {
            return true;
        }
    }
    return false;
}

static int parse_rule(struct part *part, const char *text, struct err *err)
{
    part->kind = PART_RULE;
    part->rule = calendar_parse_rule(text, part->zone, &part->zone, err);
    return part->rule != NULL ? 0 : -1;
}

static int parse_text(
    struct part *part, const char *text, const struct part_style *style, struct err *err)
{
    char zone[ZONE_NAME_MAX + 8] = "";
    const char *at = text;
    if (take_zone_prefix(&at, zone, sizeof zone, err) != 0 ||
        find_zone(part, zone, style, err) != 0) {
        return -1;
    }
    part->gap = style->gap;
    part->fold = style->fold;
    if (is_rule(at)) {
        return parse_rule(part, at, err);
    }
    if (strncasecmp(at, "@every", 6) == 0 &&
        (at[6] == '\0' || strchr(CRON_BLANKS, at[6]) != NULL)) {
        return parse_every(
            part, at + 6 + strspn(at + 6, CRON_BLANKS), style->is_one_of_several, err);
    }
    part->kind = PART_CRON;
    return cron_parse(&part->cron, at, style->profile, style->hash_key, err);
}

void part_style_of_profile(struct part_style *style, enum cron_profile profile)
{
    style->profile = profile;
    style->gap = profile == CRON_VIXIE ? DST_GAP_NEXT : DST_GAP_SKIP;
    style->fold = profile == CRON_VIXIE    ? DST_FOLD_FIRST
                  : profile == CRON_QUARTZ ? DST_FOLD_SECOND
                                           : DST_FOLD_BOTH;
}

int part_parse(struct part *part, const char *text, const struct part_style *style, struct err *err)
{
    size_t len = strnlen(text, CRON_TEXT_MAX + 1);
    if (len > CRON_TEXT_MAX) {
        return err_set(err, ERR_INVALID, "cron text is longer than %d characters", CRON_TEXT_MAX);
    }
    /* A copy without the spaces around it. */
    char copy[CRON_TEXT_MAX + 1];
    const char *start = text + strspn(text, CRON_BLANKS);
    len -= (size_t)(start - text);
    while (len > 0 && strchr(CRON_BLANKS, start[len - 1]) != NULL) {
        len--;
    }
    memcpy(copy, start, len);
    copy[len] = '\0';
    *part = (struct part){0};
    if (len == 0) {
        return err_set(err, ERR_INVALID, "cron text is empty; an example is '30 9 * * mon-fri'");
    }
    if (parse_text(part, copy, style, err) != 0) {
        part_done(part);
        return -1;
    }
    return 0;
}

void part_done(struct part *part)
{
    cron_done(&part->cron);
    rule_free(part->rule);
    part->rule = NULL;
}
