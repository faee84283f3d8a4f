/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time zone files (TZif, RFC 8536 versions 1 to 4) to spans of constant offset. Pure: bytes in,
 * struct out; finding the file is zone_cache.c. Every count is checked against the length of
 * the data before anything is allocated.
 */
#include "cron/zone.h"

#include "base/err.h"
#include "base/util.h"

#include <stdlib.h>
#include <string.h>

#define HEADER_LEN 44
#define CHANGES_MAX 20000
#define TYPES_MAX 256

/* Rules are unrolled up to here, so that the usual question is one binary search. */
#define UNROLL_UNTIL INT64_C(4102444800) /* 2100-01-01 */
/* A file without changes but with a rule: standard time before 1900. */
#define UNROLL_FROM INT64_C(-2208988800)

struct header {
    char version;
    uint32_t isutcnt, isstdcnt, leapcnt, timecnt, typecnt, charcnt;
};

struct reader {
    const char *name;
    const uint8_t *at, *end;
    struct err *err;
};

static int bad_file(struct reader *r, const char *why)
{
    return err_set(
        r->err, ERR_INVALID, "time zone '%s': the file is not a valid TZif file: %s", r->name, why);
}

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int64_t be64(const uint8_t *p)
{
    return (int64_t)((uint64_t)be32(p) << 32 | be32(p + 4));
}

static int read_header(struct reader *r, struct header *h)
{
    if (r->end - r->at < HEADER_LEN || memcmp(r->at, "TZif", 4) != 0) {
        return bad_file(r, "it does not begin with a TZif header");
    }
    const uint8_t *p = r->at;
    *h = (struct header){(char)p[4], be32(p + 20), be32(p + 24), be32(p + 28), be32(p + 32),
        be32(p + 36), be32(p + 40)};
    r->at += HEADER_LEN;
    if (h->timecnt > CHANGES_MAX || h->typecnt > TYPES_MAX || h->charcnt > 4096 ||
        h->leapcnt > 4096 || h->isutcnt > TYPES_MAX || h->isstdcnt > TYPES_MAX) {
        return bad_file(r, "a count in the header is too large");
    }
    return 0;
}

static size_t block_len(const struct header *h, size_t time_size)
{
    return h->timecnt * (time_size + 1) + h->typecnt * 6 + h->charcnt +
           h->leapcnt * (time_size + 4) + h->isstdcnt + h->isutcnt;
}

static void add_change(struct zone *zone, int64_t at, int32_t offset)
{
    struct zone_change *last = zone->count > 0 ? &zone->changes[zone->count - 1] : NULL;
    int32_t before = last != NULL ? last->offset : zone->first_offset;
    if (offset == before) {
        return; /* only the name or the daylight saving flag changed */
    }
    int64_t high = at + before - 1;
    if (last != NULL && last->high > high) {
        high = last->high;
    }
    zone->changes[zone->count++] = (struct zone_change){at, high, offset};
}

static int read_block(struct reader *r, const struct header *h, size_t time_size, struct zone *zone)
{
    if ((size_t)(r->end - r->at) < block_len(h, time_size)) {
        return bad_file(r, "it is cut short");
    }
    if (h->typecnt == 0) {
        return bad_file(r, "it has no local time type");
    }
    if (h->leapcnt > 0) {
        return bad_file(r, "it counts leap seconds, use the zone without 'right/'");
    }
    const uint8_t *times = r->at;
    const uint8_t *types = times + h->timecnt * time_size;
    const uint8_t *infos = types + h->timecnt;
    int32_t offsets[TYPES_MAX];
    for (uint32_t i = 0; i < h->typecnt; i++) {
        offsets[i] = (int32_t)be32(infos + (size_t)i * 6);
        if (offsets[i] < -ZONE_OFFSET_MAX || offsets[i] > ZONE_OFFSET_MAX) {
            return bad_file(r, "an offset is beyond 26 hours");
        }
    }
    zone->first_offset = offsets[0];
    /* Room for the unrolled rule: two changes a year at most. */
    zone->changes = xcalloc(h->timecnt + 2 * 220, sizeof zone->changes[0]);
    int64_t last = INT64_MIN;
    for (uint32_t i = 0; i < h->timecnt; i++) {
        int64_t at =
            time_size == 8 ? be64(times + (size_t)i * 8) : (int32_t)be32(times + (size_t)i * 4);
        if (at <= last && i > 0) {
            return bad_file(r, "its times do not ascend");
        }
        last = at;
        if (types[i] >= h->typecnt) {
            return bad_file(r, "a time has an unknown type");
        }
        if (at < ZONE_TIME_MIN / 2) {
            zone->first_offset = offsets[types[i]];
        } else if (at < ZONE_TIME_MAX / 2) {
            add_change(zone, at, offsets[types[i]]);
        }
    }
    r->at += block_len(h, time_size);
    return 0;
}

static int read_footer(struct reader *r, struct zone *zone)
{
    if (r->at == r->end || *r->at != '\n') {
        return bad_file(r, "the rule for later years is missing");
    }
    const uint8_t *text = r->at + 1;
    const uint8_t *end = memchr(text, '\n', (size_t)(r->end - text));
    if (end == NULL || end - text > 256) {
        return bad_file(r, "the rule for later years has no end");
    }
    if (end == text) {
        return 0; /* allowed: nothing is known about later years */
    }
    struct err why = ERR_INIT;
    if (posix_tz_parse(&zone->rule, (const char *)text, (size_t)(end - text), &why) != 0) {
        return bad_file(r, why.msg);
    }
    if (zone->rule.std_offset < -ZONE_OFFSET_MAX || zone->rule.std_offset > ZONE_OFFSET_MAX ||
        zone->rule.dst_offset < -ZONE_OFFSET_MAX || zone->rule.dst_offset > ZONE_OFFSET_MAX) {
        return bad_file(r, "an offset is beyond 26 hours");
    }
    zone->has_rule = true;
    return 0;
}

static void unroll_rule(struct zone *zone, size_t room)
{
    struct posix_tz_span span;
    if (zone->count == 0) {
        posix_tz_span_at(&zone->rule, UNROLL_FROM, &span);
        zone->first_offset = span.offset;
        if (!zone->rule.has_dst) {
            return;
        }
    }
    int64_t at = zone->count > 0 ? zone->changes[zone->count - 1].at : UNROLL_FROM;
    while (zone->rule.has_dst && at < UNROLL_UNTIL && zone->count < room) {
        posix_tz_span_at(&zone->rule, at, &span);
        if (span.end == INT64_MAX) {
            break;
        }
        at = span.end;
        posix_tz_span_at(&zone->rule, at, &span);
        add_change(zone, at, span.offset);
    }
}

struct zone *zone_parse(const char *name, const void *data, size_t len, struct err *err)
{
    struct reader r = {name, data, (const uint8_t *)data + len, err};
    struct header h;
    if (len > ZONE_FILE_MAX) {
        bad_file(&r, "it is too large");
        return NULL;
    }
    if (read_header(&r, &h) != 0) {
        return NULL;
    }
    size_t time_size = 4;
    if (h.version >= '2') {
        /* The first block is for readers of 32 bits; the same follows with 64. */
        if ((size_t)(r.end - r.at) < block_len(&h, 4)) {
            bad_file(&r, "it is cut short");
            return NULL;
        }
        r.at += block_len(&h, 4);
        if (read_header(&r, &h) != 0) {
            return NULL;
        }
        time_size = 8;
    }
    struct zone *zone = xcalloc(1, sizeof *zone);
    size_t name_len = strnlen(name, ZONE_NAME_MAX - 1);
    memcpy(zone->name, name, name_len);
    if (read_block(&r, &h, time_size, zone) != 0 ||
        (time_size == 8 && read_footer(&r, zone) != 0)) {
        zone_free(zone);
        return NULL;
    }
    if (zone->has_rule) {
        unroll_rule(zone, h.timecnt + 2 * 220);
    }
    zone->changes = xreallocarray(zone->changes, zone->count + 1, sizeof zone->changes[0]);
    return zone;
}

void zone_free(struct zone *zone)
{
    if (zone != NULL) {
        free(zone->changes);
        free(zone);
    }
}

/* After the last listed change: what the rule says, but never before that change. */
static void span_by_rule(const struct zone *zone, int64_t utc_s, struct zone_span *out)
{
    const struct zone_change *last = zone->count > 0 ? &zone->changes[zone->count - 1] : NULL;
    struct posix_tz_span rule;
    posix_tz_span_at(&zone->rule, utc_s, &rule);
    out->offset = rule.offset;
    out->end = rule.end < ZONE_TIME_MAX ? rule.end : ZONE_TIME_MAX;
    if (last != NULL && rule.start <= last->at) {
        out->start = last->at;
        out->high = last->high;
    } else {
        out->start = rule.start > ZONE_TIME_MIN ? rule.start : ZONE_TIME_MIN;
        out->high =
            rule.start > ZONE_TIME_MIN ? rule.start + rule.offset_before - 1 : ZONE_TIME_MIN;
        if (last != NULL && out->high < last->high) {
            out->high = last->high;
        }
    }
}

void zone_span_at(const struct zone *zone, int64_t utc_s, struct zone_span *out)
{
    size_t low = 0, end = zone->count; /* the number of changes at or before utc_s */
    while (low < end) {
        size_t mid = (low + end) / 2;
        if (zone->changes[mid].at <= utc_s) {
            low = mid + 1;
        } else {
            end = mid;
        }
    }
    if (low == zone->count && zone->has_rule) {
        span_by_rule(zone, utc_s, out);
        return;
    }
    out->end = low < zone->count ? zone->changes[low].at : ZONE_TIME_MAX;
    if (low == 0) {
        out->start = out->high = ZONE_TIME_MIN;
        out->offset = zone->first_offset;
    } else {
        out->start = zone->changes[low - 1].at;
        out->high = zone->changes[low - 1].high;
        out->offset = zone->changes[low - 1].offset;
    }
}

int32_t zone_offset(const struct zone *zone, int64_t utc_s)
{
    struct zone_span span;
    zone_span_at(zone, utc_s, &span);
    return span.offset;
}

int64_t zone_reach_wall(const struct zone *zone, int64_t t, int64_t wall)
{
    if (wall - ZONE_OFFSET_MAX > t) {
        t = wall - ZONE_OFFSET_MAX;
    }
    for (;;) {
        struct zone_span span;
        zone_span_at(zone, t, &span);
        int64_t at = wall - span.offset;
        if (at < span.end) {
            return at > t ? at : t;
        }
        t = span.end;
    }
}
