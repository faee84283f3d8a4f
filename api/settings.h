/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's settings: one table for flags, environment, file, help and documentation. */
#ifndef API_SETTINGS_H
#define API_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;

struct settings {
    /* general */
    char *data;
    char *log_level, *log_format;
    /* http */
    char *listen, *public_url, *advertise_url, *allow_hosts, *tokens_file, *package_hosts, *secrets_key_file;
    bool insecure;
    int64_t max_body, max_headers, http_timeout_ms, max_connections;
    /* redis */
    char *redis;
    int64_t redis_timeout_ms, shards;
    /* scheduling */
    char *zoneinfo;
    int64_t claim_batch, max_fires_per_second;
    /* steps */
    char *executor, *artifact_root, *launcher, *step_env, *on_stop;
    char *local_secrets_dir, *local_config_maps_dir, *local_mounts;
    int64_t max_runs, max_steps, step_timeout_ms, lost_retries, forget_after_ms, log_max;
    int64_t max_tasks_per_run, exit_tasks_timeout_ms;
    bool run_exit_tasks_on_cancel, backend_final_status;
    bool cache;
    int64_t cache_max_age_ms, cache_max_entries;
    /* kubernetes */
    char *volume_storage_class;
    char *kubeconfig, *namespace_, *launcher_image, *service_account, *internal_url;
    int64_t pod_start_timeout_ms;
    /* history */
    int64_t history_max_runs, history_max_age_ms, history_max_ticks;
    /* webhooks */
    char *webhook_allow, *webhook_deny, *webhook_ports, *webhook_retries;
    bool webhook_https_only;
    int64_t webhook_timeout_ms, webhook_in_flight, webhook_disable_after_ms;
    int64_t webhook_pending, webhook_pending_bytes, webhook_pending_total;
    int64_t webhook_log, webhook_log_age_ms, webhook_log_bytes, webhook_subscriptions;
    /* Git triggers */
    int64_t git_events, git_payload_max, git_dedupe_ms;
};

/* From flags, RONDO_* and --config; err names the option, the rule and the fix. */
int settings_load(struct settings *settings, int argc, char **argv, struct err *err);
void settings_free(struct settings *settings);
void settings_help(struct buf *out);
void settings_print(const struct settings *settings, struct buf *out);

#endif
