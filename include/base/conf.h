/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Option tables. One table parses the YAML file, the environment (RONDO_*) and the flags, makes
 * --help and --print-config, and is checked against the docs. Unknown or invalid: refuse to
 * start. Precedence: flag, environment, file, default.
 *
 * A key is written "max-body": flag --max-body, environment RONDO_MAX_BODY, YAML max-body.
 */
#ifndef BASE_CONF_H
#define BASE_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;

enum option_type {
    OPTION_STRING,   /* char * in the struct, owned by the table's values */
    OPTION_SECRET,   /* the same; printed as *** */
    OPTION_BOOL,     /* bool */
    OPTION_INT,      /* int64_t, with min and max */
    OPTION_DURATION, /* int64_t milliseconds: "10s", "5m" */
    OPTION_BYTES,    /* int64_t: "32MiB" */
    OPTION_LIST,     /* char *: comma separated; a YAML sequence is joined; a repeated flag adds */
};

struct option {
    const char *key;
    enum option_type type;
    size_t offset;         /* offsetof in the settings struct */
    const char *fallback;  /* text form; NULL = NULL / false / 0 */
    int64_t min, max;      /* INT, DURATION (ms), BYTES */
    const char *choices;   /* STRING: "local|kubernetes", or NULL */
    const char *group;     /* heading in --help */
    const char *help;      /* one sentence */
};

/* Fill `settings` (zeroed by the caller) from all sources. argv without flags that are not in
 * the table is an error that names the flag and the nearest known one. `--config FILE` is
 * understood. On error nothing needs freeing. */
int conf_load(const struct option *table, size_t count, void *settings, int argc, char **argv,
    struct err *err);
void conf_free(const struct option *table, size_t count, void *settings);
void conf_help(const struct option *table, size_t count, struct buf *out);
/* YAML that conf_load reads back; secrets as ***. */
void conf_print(const struct option *table, size_t count, const void *settings, struct buf *out);

#endif
