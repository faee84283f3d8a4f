/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A member lives as long as its record changes. How long it has not is measured here, by the time
 * between the answers that we got from Redis.
 */
#include "lease/members.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/util.h"

/* However long we were stalled ourselves: one answer is one look. */
#define LOOK_MAX_US (2 * BEAT_MS * US_PER_MS)
/* What a member may claim. */
#define SILENT_MIN_MS 300
#define SILENT_MAX_MS 10000

void members_init(struct members *m, const char *self)
{
    *m = (struct members){.self = xstrdup(self)};
}

static void member_done(struct member *one)
{
    free(one->id);
    free(one->text);
    json_decref(one->record);
}

void members_done(struct members *m)
{
    for (size_t i = 0; i < m->count; i++) {
        member_done(&m->all[i]);
    }
    free(m->all);
    free(m->self);
}

static struct member *find(const struct members *m, const char *id)
{
    for (size_t i = 0; i < m->count; i++) {
        if (strcmp(m->all[i].id, id) == 0) {
            return &m->all[i];
        }
    }
    return NULL;
}

const struct member *members_find(const struct members *m, const char *id)
{
    return find(m, id);
}

bool members_is_alive(const struct members *m, const char *id)
{
    const struct member *one = find(m, id);
    return one != NULL && one->is_alive;
}

size_t members_others(const struct members *m)
{
    size_t count = 0;
    for (size_t i = 0; i < m->count; i++) {
        count += m->all[i].is_alive && strcmp(m->all[i].id, m->self) != 0;
    }
    return count;
}

bool members_are_sure(const struct members *m)
{
    for (size_t i = 0; i < m->count; i++) {
        if (m->all[i].is_alive && !m->all[i].is_sure) {
            return false;
        }
    }
    return true;
}

void members_excuse(struct members *m, int64_t grace_us)
{
    for (size_t i = 0; i < m->count; i++) {
        m->all[i].silent_us = -grace_us;
    }
}

static struct member *add(struct members *m, const char *id)
{
    if (m->count == m->cap) {
        m->cap = m->cap == 0 ? 4 : m->cap * 2;
        m->all = xreallocarray(m->all, m->cap, sizeof(*m->all));
    }
    struct member *one = &m->all[m->count++];
    *one = (struct member){.id = xstrdup(id), .is_alive = true, .is_sure = str_eq(m->self, id)};
    return one;
}

static int64_t silent_max_us(const struct member *one)
{
    int64_t ms = jget_i64(one->record, "silent_ms", SILENT_MAX_MS);
    ms = ms < SILENT_MIN_MS ? SILENT_MIN_MS : ms > SILENT_MAX_MS ? SILENT_MAX_MS : ms;
    return ms * US_PER_MS;
}

static bool take_one(struct members *m, const char *id, const char *text, int64_t since_us)
{
    struct member *one = find(m, id);
    bool is_new = one == NULL, is_self = strcmp(id, m->self) == 0;
    if (is_new) {
        one = add(m, id);
    }
    bool was_alive = one->is_alive;
    one->is_seen = true;
    if (str_eq(one->text, text)) {
        one->silent_us += since_us;
        one->is_alive = was_alive && (is_self || one->silent_us < silent_max_us(one));
        return one->is_alive != was_alive;
    }
    one->is_sure |= one->text != NULL;
    free(one->text);
    one->text = xstrdup(text);
    json_decref(one->record);
    one->record = json_loads(text, 0, NULL);
    /* Excused: what is new may be the last word from before Redis was away. */
    one->silent_us = one->silent_us < 0 ? one->silent_us + since_us : 0;
    one->is_alive = true;
    return is_new || !was_alive;
}

bool members_take(struct members *m, const redisReply *reply, int64_t since_us)
{
    bool has_changed = false;
    since_us = since_us > LOOK_MAX_US ? LOOK_MAX_US : since_us;
    for (size_t i = 0; i < m->count; i++) {
        m->all[i].is_seen = false;
    }
    for (size_t i = 0; reply->type == REDIS_REPLY_ARRAY && i + 1 < reply->elements; i += 2) {
        const char *id = reply->element[i]->str, *text = reply->element[i + 1]->str;
        if (id != NULL && text != NULL) {
            has_changed |= take_one(m, id, text, since_us);
        }
    }
    size_t kept = 0;
    for (size_t i = 0; i < m->count; i++) {
        struct member *one = &m->all[i];
        /* Redis is just back, and may have lost who was there: they write it again. */
        if (!one->is_seen && one->is_alive && one->silent_us < 0) {
            one->silent_us += since_us;
            one->is_seen = true;
        }
        if (one->is_seen) {
            m->all[kept++] = *one;
        } else {
            has_changed |= one->is_alive;
            member_done(one);
        }
    }
    m->count = kept;
    return has_changed;
}
