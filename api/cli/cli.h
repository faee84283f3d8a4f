/* SPDX-License-Identifier: Apache-2.0 */
/* What the command line's commands share: the command table's rows, options, the API client. */
#ifndef API_CLI_CLI_H
#define API_CLI_CLI_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct plan;

/* Exit codes. */
enum { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2 };

struct cli {
    const char *host;  /* base URL of the daemon */
    const char *token; /* bearer token or NULL */
    bool is_json;      /* -o json */
};

struct command {
    const char *name; /* "cron add" */
    const char *args; /* "FILE [--name NAME]" */
    const char *help; /* one line */
    int (*run)(struct cli *cli, int argc, char **argv);
};
extern const struct command command_run, command_run_get, command_runs, command_terminate,
    command_upload, command_pipelines, command_cron_add, command_cron_list, command_cron_get,
    command_cron_enable, command_cron_disable, command_cron_rm, command_cron_edit,
    command_cron_pause, command_cron_resume, command_cron_skip, command_cron_fire,
    command_cron_backfill, command_cron_ticks, command_cron_next, command_next, command_lint,
    command_compile, command_logs, command_webhook_add, command_webhook_list, command_webhook_rm,
    command_webhook_deliveries, command_webhook_delivery, command_webhook_redeliver, command_events,
    command_webhook_show, command_webhook_edit, command_webhook_rotate, command_webhook_enable,
    command_webhook_disable, command_webhook_ping, command_git_add, command_git_list,
    command_git_rm, command_git_show, command_git_edit, command_git_enable, command_git_disable,
    command_git_rotate, command_git_events, command_git_explain, command_git_redeliver,
    command_git_drop, command_listen, command_daemons, command_pools, command_pools_set,
    command_pools_rm;

/* ---- options of one command ---- */

struct cli_option {
    const char *name;   /* "--name" or "-n"; a NULL name ends the table */
    const char **value; /* takes a value, last one wins; or NULL */
    bool *flag;         /* or NULL */
    json_t *list;       /* repeated values are appended as strings; or NULL */
};
/*
 * Take the options out of argv; what remains are the words, of which there must be min to max.
 * Prints a usage line to standard error and returns -1 otherwise.
 */
int cli_options(const struct command *command, int *argc, char **argv,
    const struct cli_option *options, int min, int max);
int cli_usage(const struct command *command, const char *problem);
/* "rondo: message" on standard error. Returns code. */
int cli_fail(int code, const struct err *err);

/* ---- the API ---- */

/*
 * One request; the reply's JSON (new reference) or NULL and err: the daemon's own message for
 * 4xx and 5xx. body may be NULL. Path begins with '/'.
 */
json_t *client_json(const struct cli *cli, const char *method, const char *path, const json_t *body,
    struct err *err);
/* A whole list, page by page: new reference to {member: [...]}, or NULL and err. */
json_t *client_pages(const struct cli *cli, const char *path, const char *member, struct err *err);
/* The first of such a list whose `key` is `name`: new reference; NULL and no err: there is none. */
json_t *client_find(const struct cli *cli, const char *path, const char *member, const char *key,
    const char *name, struct err *err);
/* The reply as text (logs). malloc'd. */
char *client_text(const struct cli *cli, const char *path, struct err *err);
/* multipart/form-data with one file in `uploadfile`. */
json_t *client_upload(const struct cli *cli, const char *path, const char *filename,
    const void *data, size_t len, struct err *err);
/* Percent-encode for a query. malloc'd. */
char *client_encode(const char *text);

/* ---- helpers ---- */

/* "k=v" list -> parameters object, typed by the plan's inputs (NULL: JSON if it parses). */
json_t *cli_parameters(const json_t *pairs, const struct plan *plan, struct err *err);
/* "k=uri" list -> input_artifacts object: a name given more than once is a list. */
json_t *cli_artifacts(const json_t *pairs, struct err *err);
/* Read and compile a pipeline file; complaints go to standard error. NULL: already told. */
struct plan *cli_compile(const char *file);
/* The pipeline of this name (its record), or NULL; err is set only for real trouble. */
json_t *cli_find_pipeline(const struct cli *cli, const char *name, struct err *err);
/* Upload plan as a new pipeline or as a new version of the one with this name. New reference to
 * {"pipeline_id", "pipeline_version_id"}. */
json_t *cli_upload(const struct cli *cli, const char *file, const struct plan *plan,
    const char *name, struct err *err);

/* "a,b" -> list of strings. */
json_t *cli_split(const char *text);
/* Texts of iCalendar files: new reference to a list. */
json_t *cli_calendars(const json_t *files, struct err *err);

/* One tick of schedule_preview() or of a recurring run, and what is special about it. */
void cli_print_tick(const json_t *tick);
/* "fires next at ...", when this recurring run says so. */
void cli_print_next_times(const json_t *record);
/* Print value as -o json does. */
void cli_print_json(const json_t *value);
/* At most max bytes of what others wrote, on one line: control characters must not reach the
 * terminal. Returns how many. */
int cli_print_text(const char *text, size_t max);
/* A table: columns are "HEADING:member" of each row; "a.b" goes into objects. */
void cli_print_table(const json_t *rows, const char *const *columns);

#endif
