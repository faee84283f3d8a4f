/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Zones by name: checks the name, reads the file once, keeps the result for the process. The
 * cache is bounded by the number of zone files there are.
 */
#include "cron/zone.h"

#include "cron/cron.h"

#include "base/err.h"
#include "base/map.h"
#include "base/util.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char default_dir[] = "/usr/share/zoneinfo";
static char *zone_dir;
static struct map *zones;

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

static struct zone *load(const char *name, struct err *err)
{
    if (is_utc(name)) {
        struct zone *zone = xcalloc(1, sizeof *zone);
        snprintf(zone->name, sizeof zone->name, "%s", name);
        return zone;
    }
    const char *dir = zone_dir != NULL ? zone_dir : default_dir;
    char *path CLEANUP(cleanup_free) = xasprintf("%s/%s", dir, name);
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
    return zone_parse(name, data, len, err);
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
    }
}
