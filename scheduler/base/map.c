/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hash map from text to pointers: open addressing, linear probing, tombstones. An iteration
 * may remove the entry it just got because removing never moves the others.
 */
#include "base/map.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "base/util.h"

enum { MAP_FIRST = 16 };

struct map_slot {
    char *key; /* NULL: never used; TOMBSTONE: removed */
    void *value;
    uint64_t hash;
};

struct map {
    void (*free_value)(void *);
    struct map_slot *slots;
    size_t size; /* a power of two, or 0 */
    size_t count;
    size_t filled; /* count and tombstones */
};

static char tombstone_mark;
#define TOMBSTONE (&tombstone_mark)

static bool slot_is_live(const struct map_slot *slot)
{
    return slot->key != NULL && slot->key != TOMBSTONE;
}

static uint64_t rotate(uint64_t x, int bits)
{
    return x << bits | x >> (64 - bits);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1], v[1] = rotate(v[1], 13) ^ v[0], v[0] = rotate(v[0], 32);
    v[2] += v[3], v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3], v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1], v[1] = rotate(v[1], 17) ^ v[2], v[2] = rotate(v[2], 32);
}

/* SipHash-1-3 (Aumasson and Bernstein) under a key drawn once per process. */
static uint64_t hash_key(const char *key)
{
    static uint64_t seed[2];
    static bool seeded;
    size_t len = strlen(key), left = len;

    if (!seeded) {
        random_bytes(seed, sizeof seed);
        seeded = true;
    }
    uint64_t v[4] = {seed[0] ^ UINT64_C(0x736f6d6570736575), seed[1] ^ UINT64_C(0x646f72616e646f6d),
        seed[0] ^ UINT64_C(0x6c7967656e657261), seed[1] ^ UINT64_C(0x7465646279746573)};
    for (; left >= 8; left -= 8, key += 8) {
        uint64_t word;
        memcpy(&word, key, 8);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    uint64_t last = (uint64_t)len << 56;
    for (size_t i = 0; i < left; i++) {
        last |= (uint64_t)(unsigned char)key[i] << (8 * i);
    }
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    sip_round(v);
    sip_round(v);
    sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

struct map *map_new(void (*free_value)(void *))
{
    struct map *map = xcalloc(1, sizeof *map);
    map->free_value = free_value;
    return map;
}

static void drop_value(const struct map *map, void *value)
{
    if (map->free_value != NULL && value != NULL) {
        map->free_value(value);
    }
}

void map_free(struct map *map)
{
    if (map == NULL) {
        return;
    }
    for (size_t i = 0; i < map->size; i++) {
        if (slot_is_live(&map->slots[i])) {
            free(map->slots[i].key);
            drop_value(map, map->slots[i].value);
        }
    }
    free(map->slots);
    free(map);
}

static struct map_slot *map_find(const struct map *map, const char *key, uint64_t hash)
{
    if (map->size == 0) {
        return NULL;
    }
    size_t mask = map->size - 1;
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        struct map_slot *slot = &map->slots[i];
        if (slot->key == NULL) {
            return NULL; /* never full: see map_grow */
        }
        if (slot->key != TOMBSTONE && slot->hash == hash && strcmp(slot->key, key) == 0) {
            return slot;
        }
    }
}

void *map_get(const struct map *map, const char *key)
{
    const struct map_slot *slot = map_find(map, key, hash_key(key));
    return slot != NULL ? slot->value : NULL;
}

bool map_has(const struct map *map, const char *key)
{
    return map_find(map, key, hash_key(key)) != NULL;
}

static void place(struct map_slot *slots, size_t size, struct map_slot entry)
{
    size_t i = entry.hash & (size - 1);
    while (slots[i].key != NULL) {
        i = (i + 1) & (size - 1);
    }
    slots[i] = entry;
}

/* Keeps at least a quarter of the slots unused; tombstones go on the way. */
static void map_grow(struct map *map)
{
    if (map->size > 0 && map->filled + 1 <= map->size / 4 * 3) {
        return;
    }
    size_t size = MAP_FIRST;
    while (map->count + 1 > size / 2) {
        assert(size < SIZE_MAX / 4);
        size *= 2;
    }
    struct map_slot *slots = xcalloc(size, sizeof *slots);
    for (size_t i = 0; i < map->size; i++) {
        if (slot_is_live(&map->slots[i])) {
            place(slots, size, map->slots[i]);
        }
    }
    free(map->slots);
    map->slots = slots;
    map->size = size;
    map->filled = map->count;
}

void map_put(struct map *map, const char *key, void *value)
{
    uint64_t hash = hash_key(key);
    struct map_slot *slot = map_find(map, key, hash);

    if (slot != NULL) {
        void *old = slot->value;
        slot->value = value;
        if (old != value) {
            drop_value(map, old);
        }
        return;
    }
    map_grow(map);
    place(map->slots, map->size, (struct map_slot){xstrdup(key), value, hash});
    map->count++;
    map->filled++;
}

static bool map_cut(struct map *map, const char *key, void **value_out)
{
    struct map_slot *slot = map_find(map, key, hash_key(key));

    if (slot == NULL) {
        return false;
    }
    *value_out = slot->value;
    char *own_key = slot->key; /* `key` may be this very text */
    slot->key = TOMBSTONE;
    slot->value = NULL;
    map->count--;
    free(own_key);
    return true;
}

bool map_remove(struct map *map, const char *key)
{
    void *value = NULL;
    bool found = map_cut(map, key, &value);

    if (found) {
        drop_value(map, value);
    }
    return found;
}

void *map_take(struct map *map, const char *key)
{
    void *value = NULL;
    map_cut(map, key, &value);
    return value;
}

size_t map_count(const struct map *map)
{
    return map->count;
}

bool map_next(const struct map *map, struct map_iter *it, const char **key, void **value)
{
    while (it->slot < map->size) {
        const struct map_slot *slot = &map->slots[it->slot++];
        if (slot_is_live(slot)) {
            if (key != NULL) {
                *key = slot->key;
            }
            if (value != NULL) {
                *value = slot->value;
            }
            return true;
        }
    }
    return false;
}
