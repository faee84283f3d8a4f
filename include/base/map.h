/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hash map from text to pointers. Keys are copied; values are borrowed unless free_value is
 * given. Seeded, so keys from outside cannot be chosen to collide.
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>

struct map;

struct map *map_new(void (*free_value)(void *)); /* NULL: values are borrowed */
void map_free(struct map *map);

void *map_get(const struct map *map, const char *key); /* NULL when absent */
bool map_has(const struct map *map, const char *key);
/* Replaces (and frees) an older value. */
void map_put(struct map *map, const char *key, void *value);
/* Removes and frees; true if it was there. */
bool map_remove(struct map *map, const char *key);
/* Removes without freeing and returns the value. */
void *map_take(struct map *map, const char *key);
size_t map_count(const struct map *map);

/*
 * Iterate in unspecified order:
 *     struct map_iter it = {0}; const char *key; void *value;
 *     while (map_next(map, &it, &key, &value)) ...
 * The map must not be changed meanwhile, except removing the entry just returned.
 * key and value may be NULL.
 */
struct map_iter {
    size_t slot;
};
bool map_next(const struct map *map, struct map_iter *it, const char **key, void **value);

#endif
