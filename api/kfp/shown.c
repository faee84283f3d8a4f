/* SPDX-License-Identifier: Apache-2.0 */
/* Texts of records by kind and id, in the order of their last use. */
#include "api/kfp/shown.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/id.h"
#include "base/map.h"
#include "base/util.h"

/* One large reply must not drive out all others. */
#define PARTS_MIN 16

#define KEY_LEN (ID_LEN + 2)

struct entry {
    struct shown_text text;
    struct entry *prev, *next; /* used later, used earlier */
    size_t bytes;
    char key[KEY_LEN + 1];
    char data[];
};

struct shown {
    struct map *entries;
    struct entry *newest, *oldest;
    size_t bytes, max;
};

struct shown *shown_new(size_t max_bytes)
{
    struct shown *shown = xcalloc(1, sizeof *shown);
    shown->entries = map_new(free);
    shown->max = max_bytes;
    return shown;
}

void shown_free(struct shown *shown)
{
    if (shown != NULL) {
        map_free(shown->entries);
        free(shown);
    }
}

static void unlink_entry(struct shown *shown, struct entry *entry)
{
    *(entry->prev != NULL ? &entry->prev->next : &shown->newest) = entry->next;
    *(entry->next != NULL ? &entry->next->prev : &shown->oldest) = entry->prev;
    entry->prev = entry->next = NULL;
}

static void link_newest(struct shown *shown, struct entry *entry)
{
    entry->next = shown->newest;
    *(entry->next != NULL ? &entry->next->prev : &shown->oldest) = entry;
    shown->newest = entry;
}

static void drop(struct shown *shown, struct entry *entry)
{
    unlink_entry(shown, entry);
    shown->bytes -= entry->bytes;
    free(map_take(shown->entries, entry->key));
}

void shown_clear(struct shown *shown)
{
    while (shown->oldest != NULL) {
        drop(shown, shown->oldest);
    }
}

static void make_key(enum shown_kind kind, const char *id, char out[KEY_LEN + 1])
{
    assert(id_is_valid(id));
    snprintf(out, KEY_LEN + 1, "%c/%s", (char)('a' + (int)kind), id);
}

const struct shown_text *shown_find(struct shown *shown, enum shown_kind kind, const char *id)
{
    char key[KEY_LEN + 1];
    make_key(kind, id, key);
    struct entry *entry = map_get(shown->entries, key);
    if (entry == NULL) {
        return NULL;
    }
    if (entry != shown->newest) {
        unlink_entry(shown, entry);
        link_newest(shown, entry);
    }
    return &entry->text;
}

void shown_put(
    struct shown *shown, enum shown_kind kind, const char *id, const struct shown_text *text)
{
    char key[KEY_LEN + 1];
    make_key(kind, id, key);
    struct entry *entry = map_get(shown->entries, key);
    if (entry != NULL) {
        drop(shown, entry);
    }
    size_t bytes = sizeof *entry + text->len + 1;
    if (text->stamp.text[0] == '\0' || bytes > shown->max / PARTS_MIN) {
        return;
    }
    while (shown->bytes + bytes > shown->max) {
        drop(shown, shown->oldest);
    }
    entry = xcalloc(1, bytes);
    entry->bytes = bytes;
    memcpy(entry->key, key, sizeof key);
    memcpy(entry->data, text->text, text->len);
    entry->text = *text;
    entry->text.text = entry->data;
    map_put(shown->entries, entry->key, entry);
    link_newest(shown, entry);
    shown->bytes += bytes;
}
