/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Zones by name: checks the name, reads the file, keeps the result for the process; reads it again
 * when another file has taken its place. The cache is bounded by the number of zone files there
 * are.
 */
#include "cron/zone.h"

#include "cron/cron.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/map.h"
#include "base/util.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char default_dir[] = "/usr/share/zoneinfo";
static char *zone_dir;
static struct map *zones;
static uint64_t generation;
static int64_t looked_us; /* when the files were looked at last; 0 never */

#define LOOK_EVERY_US (60 * US_PER_S)

const char *zone_name_problem(const char *name)
{
    size_t len = strnlen(name, ZONE_NAME_MAX);
    if (len == 0) {
        return "it is empty";
    }
    if (len >= ZONE_NAME_MAX) {
        return "it is longer than 63 characters";
    }
    if (strcmp(name, "localtime") == 0 || strcmp(name, "posixrules") == 0) {
        return "it depends on the machine";
    }
    for (const char *part = name; part != NULL; part = strchr(part, '/')) {
        part += part != name;
        if (*part == '/' || *part == '\0' || *part == '.' || *part == '-') {
            return "it is not of the form Area/City";
        }
    }
    /* Etc/GMT+9, America/Port-au-Prince, Africa/Dar_es_Salaam; no dots, so no "..". */
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789_+-/";
    return strspn(name, allowed) == len ? NULL : "it has a character no zone name has";
}

static bool is_utc(const char *name)
{
    static const char *const names[] = {"UTC", "GMT", "Etc/UTC", "Etc/GMT"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* All 0 when there is no such file. */
static struct zone_file identify(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        return (struct zone_file){0};
    }
    return (struct zone_file){.inode = (uint64_t)st.st_ino,
        .size = (int64_t)st.st_size,
        .changed_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec};
}

static bool is_same_file(const struct zone_file *a, const struct zone_file *b)
{
    return a->inode == b->inode && a->size == b->size && a->changed_ns == b->changed_ns;
}

static char *path_of(const char *name)
{
    return xasprintf("%s/%s", zone_dir != NULL ? zone_dir : default_dir, name);
}

static struct zone *load(const char *name, struct err *err)
{
    if (is_utc(name)) {
        struct zone *zone = xcalloc(1, sizeof *zone);
        snprintf(zone->name, sizeof zone->name, "%s", name);
        return zone;
    }
    const char *dir = zone_dir != NULL ? zone_dir : default_dir;
    char *path CLEANUP(cleanup_free) = path_of(name);
    /* Before reading: if it is replaced meanwhile, it is read once too often, never too seldom. */
    struct zone_file file = identify(path);
    struct err why = ERR_INIT;
    size_t len;
    char *data CLEANUP(cleanup_free) = file_read(path, ZONE_FILE_MAX, &len, &why);
    if (data == NULL) {
        bool has_dir = access(dir, R_OK) == 0;
        err_set(err, ERR_INVALID, "unknown time zone '%s': no such zone file in %s; %s", name, dir,
            has_dir ? "use an IANA name such as 'Asia/Seoul', 'Europe/Berlin' or 'UTC'"
                    : "that folder is missing, install the package tzdata");
        return NULL;
    }
    struct zone *zone = zone_parse(name, data, len, err);
    if (zone != NULL) {
        zone->file = file;
    }
    return zone;
}

static void free_zone(void *zone)
{
    zone_free(zone);
}

const struct zone *zone_get(const char *name, struct err *err)
{
    const char *problem = zone_name_problem(name);
    if (problem != NULL) {
        char shown[CRON_SHOW_MAX];
        err_set(err, ERR_INVALID,
            "time zone '%s': %s; use an IANA name such as 'Asia/Seoul', 'Europe/Berlin' or 'UTC'",
            cron_show(name, shown), problem);
        return NULL;
    }
    struct zone *zone = zones != NULL ? map_get(zones, name) : NULL;
    if (zone != NULL) {
        return zone;
    }
    zone = load(name, err);
    if (zone != NULL) {
        if (zones == NULL) {
            zones = map_new(free_zone);
        }
        map_put(zones, name, zone);
    }
    return zone;
}

static bool is_same_time(const struct zone *a, const struct zone *b)
{
    if (a->count != b->count || a->first_offset != b->first_offset || a->has_rule != b->has_rule) {
        return false;
    }
    for (size_t i = 0; i < a->count; i++) {
        if (a->changes[i].at != b->changes[i].at || a->changes[i].offset != b->changes[i].offset) {
            return false;
        }
    }
    /* The dates of the rule are among the changes, up to 2100. */
    return a->rule.std_offset == b->rule.std_offset && a->rule.dst_offset == b->rule.dst_offset &&
           a->rule.has_dst == b->rule.has_dst;
}

/* In place, as schedules point to it. True if its times are others now. */
static bool refresh(struct zone *zone)
{
    char *path CLEANUP(cleanup_free) = path_of(zone->name);
    struct zone_file file = identify(path);
    if (is_utc(zone->name) || file.inode == 0 || is_same_file(&file, &zone->file)) {
        return false;
    }
    struct zone *fresh = load(zone->name, NULL);
    if (fresh == NULL) {
        return false; /* half written or broken: the old one is better than none, and asked again */
    }
    bool has_changed = !is_same_time(zone, fresh);
    struct zone old = *zone;
    *zone = *fresh;
    *fresh = old;
    zone_free(fresh);
    return has_changed;
}

uint64_t zones_generation(int64_t mono_us)
{
    if (zones == NULL || (looked_us != 0 && mono_us - looked_us < LOOK_EVERY_US)) {
        return generation;
    }
    looked_us = mono_us;
    bool has_changed = false;
    struct map_iter it = {0};
    const char *name;
    void *zone;
    while (map_next(zones, &it, &name, &zone)) {
        has_changed |= refresh(zone);
    }
    generation += has_changed;
    return generation;
}

void zone_set_dir(const char *dir)
{
    free(zone_dir);
    zone_dir = dir != NULL ? xstrdup(dir) : NULL;
}

void zone_drop_all(void)
{
    if (zones != NULL) {
        map_free(zones);
        zones = NULL;
        looked_us = 0;
    }
}
