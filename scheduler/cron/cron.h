/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cron expression as bit sets, and the search for the next wall-clock second that matches.
 * No zones here: a wall second is seconds since 1970-01-01T00:00:00 as the clock on the wall
 * shows them. The grammar is written down in contrib/docs/schedules.md.
 */
#ifndef SCHEDULER_CRON_CRON_H
#define SCHEDULER_CRON_CRON_H

#include <stdbool.h>
#include <stdint.h>

struct err;

#define CRON_TEXT_MAX 1024
#define CRON_BLANKS " \t\r\n" /* between fields; a YAML block text ends with a newline */
#define CRON_YEAR_MAX 9999
#define CRON_YEAR_WORDS ((CRON_YEAR_MAX + 64) / 64)
#define CRON_NEVER INT64_MAX

/* Whose grammar and day rule; contrib/docs/schedules.md lists what each takes. */
enum cron_profile {
    CRON_VIXIE,
    CRON_ROBFIG,    /* robfig/cron v3: Kubernetes CronJob, Argo */
    CRON_ROBFIG_V1, /* robfig/cron v1.2.0: KFP; five fields begin with the second */
    CRON_QUARTZ,
};

struct cron {
    uint64_t seconds, minutes; /* bit n: n matches */
    uint64_t *years;           /* CRON_YEAR_WORDS words, bit n: year n; NULL: every year */
    uint32_t hours;
    uint32_t days;              /* bits 1..31 */
    uint32_t days_from_last;    /* bit n: "L-n" */
    uint32_t weekday_near;      /* bits 1..31: "nW" */
    uint32_t weekday_near_last; /* bit n: "L-nW" */
    uint16_t months;            /* bits 1..12 */
    uint8_t dow;                /* bits 0..6, 0 = Sunday */
    uint8_t dow_last;           /* "nL" */
    uint8_t dow_nth[5];         /* "n#k" in dow_nth[k - 1] */
    bool has_special_days : 1;  /* any of L, W and # is in use */
    bool day_is_star : 1;
    bool dow_is_star : 1;
    bool dow_is_and : 1;  /* "+fri": both day fields must match */
    bool is_interval : 1; /* second, minute or hour has a star: every real instant counts */
};

/*
 * text: the fields or an @descriptor other than @every, without zone prefix. hash_key: what the
 * places of `H` are picked from; NULL refuses `H`.
 */
int cron_parse(struct cron *cron, const char *text, enum cron_profile profile, const char *hash_key,
    struct err *err);
/* robfig's own grammar, in cron_robfig.c; only cron_parse() calls it. */
int cron_parse_robfig(
    struct cron *cron, const char *text, enum cron_profile profile, struct err *err);
/* The fields of "@daily" and its like (five of them, minute first), or NULL. */
const char *cron_descriptor(const char *word, bool any_case);
void cron_done(struct cron *cron);

/* The first matching wall second at or after `wall`, or CRON_NEVER. Does not allocate. */
int64_t cron_next_wall(const struct cron *cron, int64_t wall);

/* Up to 60 printable characters of user text for a message. */
#define CRON_SHOW_MAX 64
const char *cron_show(const char *text, char out[CRON_SHOW_MAX]);

#endif
