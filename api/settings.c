/* SPDX-License-Identifier: Apache-2.0 */
/* The option table of rondod, and the rules between options. */
#include "api/settings.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/conf.h"
#include "base/err.h"
#include "base/util.h"

#define AT(field) offsetof(struct settings, field)
#define MINUTE_MS INT64_C(60000)
#define DAY_MS INT64_C(86400000)
#define MIB INT64_C(1048576)

static const struct option table[] = {
    {"data", OPTION_STRING, AT(data), "rondo-data", 0, 0, NULL, "General",
        "Folder for everything kept on disk: private Redis, artifacts, logs, work folders."},
    {"log-level", OPTION_STRING, AT(log_level), "info", 0, 0, "trace|debug|info|warn|error",
        "General", "Least important log lines that are written (to standard error)."},
    {"log-format", OPTION_STRING, AT(log_format), "text", 0, 0, "text|json", "General",
        "Form of log lines."},

    {"listen", OPTION_STRING, AT(listen), "127.0.0.1:8888", 0, 0, NULL, "HTTP",
        "Address and port of the API; port 0 picks a free one and writes it to DATA/port."},
    {"public-url", OPTION_STRING, AT(public_url), NULL, 0, 0, NULL, "HTTP",
        "How others reach this daemon, for links; default http://LISTEN."},
    {"advertise-url", OPTION_STRING, AT(advertise_url), NULL, 0, 0, NULL, "HTTP",
        "How other daemons on this Redis and their callers reach this very daemon; default: "
        "public-url."},
    {"allow-hosts", OPTION_LIST, AT(allow_hosts), NULL, 0, 0, NULL, "HTTP",
        "Further names accepted in the Host header, for example of an ingress."},
    {"tokens-file", OPTION_STRING, AT(tokens_file), NULL, 0, 0, NULL, "HTTP",
        "File with one SHA-256 (hex) of an accepted bearer token a line; needed when LISTEN is "
        "not a loopback address."},
    {"package-hosts", OPTION_LIST, AT(package_hosts),
        "storage.googleapis.com,s3.amazonaws.com,github.com,raw.githubusercontent.com", 0, 0, NULL,
        "HTTP", "Hosts that a pipeline's package URL may name."},
    {"insecure", OPTION_BOOL, AT(insecure), "false", 0, 0, NULL, "HTTP",
        "Listen beyond loopback without tokens. Whoever reaches the port can run commands."},
    {"max-body", OPTION_BYTES, AT(max_body), "33MiB", 64 * 1024, 256 * MIB, NULL, "HTTP",
        "Largest request body."},
    {"max-headers", OPTION_BYTES, AT(max_headers), "64KiB", 4096, MIB, NULL, "HTTP",
        "Largest request head."},
    {"http-timeout", OPTION_DURATION, AT(http_timeout_ms), "30s", 1000, 60 * MINUTE_MS, NULL,
        "HTTP", "A connection without a byte for so long is closed."},
    {"max-connections", OPTION_INT, AT(max_connections), "1024", 8, 65536, NULL, "HTTP",
        "Connections open at once; further ones wait."},

    {"redis", OPTION_SECRET, AT(redis), NULL, 0, 0, NULL, "Redis",
        "redis://[:password@]host:port[/db], unix:/path, or "
        "sentinel://host:port,host:port/master[/db]; "
        "default: a private redis-server."},
    {"redis-timeout", OPTION_DURATION, AT(redis_timeout_ms), "5s", 100, 10 * MINUTE_MS, NULL,
        "Redis", "Deadline of one Redis command."},
    {"secrets-key-file", OPTION_STRING, AT(secrets_key_file), NULL, 0, 0, NULL, "Redis",
        "File with keys, 32 bytes in hex or base64 each, one a line, that secrets of webhooks are "
        "sealed with in Redis: the first seals, all open."},
    {"shards", OPTION_INT, AT(shards), "16", 1, 256, NULL, "Redis",
        "Into how many parts the records are split; a power of two, fixed once there is data."},

    {"zoneinfo", OPTION_STRING, AT(zoneinfo), "/usr/share/zoneinfo", 0, 0, NULL, "Scheduling",
        "Folder of the time zone files."},
    {"claim-batch", OPTION_INT, AT(claim_batch), "100", 1, 1000, NULL, "Scheduling",
        "Due recurring runs claimed by one Redis script at the most."},
    {"max-fires-per-second", OPTION_INT, AT(max_fires_per_second), "0", 0, 1000000, NULL,
        "Scheduling", "Ticks that this daemon lets go in a second; 0: no limit."},
    {"max-runs", OPTION_INT, AT(max_runs), "0", 0, 1000000, NULL, "Scheduling",
        "Runs in progress at once, over all daemons; further ones wait. 0 is no limit."},

    {"executor", OPTION_STRING, AT(executor), "local", 0, 0, "local|kubernetes|noop", "Steps",
        "How steps run: as local processes, as pods, or not at all (noop: they succeed at once; "
        "for benchmarks)."},
    {"artifact-root", OPTION_STRING, AT(artifact_root), NULL, 0, 0, NULL, "Steps",
        "Where artifacts live: file:///folder; default DATA/artifacts."},
    {"launcher", OPTION_STRING, AT(launcher), NULL, 0, 0, NULL, "Steps",
        "Path of rondo-launcher; default: beside rondod, or ../lib/rondo/."},
    {"step-env", OPTION_LIST, AT(step_env), NULL, 0, 0, NULL, "Steps",
        "Names of the daemon's environment variables that local steps get too."},
    {"local-secrets-dir", OPTION_STRING, AT(local_secrets_dir), NULL, 0, 0, NULL, "Steps",
        "Secrets of local steps: FOLDER/<secret>/<key>; default DATA/secrets."},
    {"local-config-maps-dir", OPTION_STRING, AT(local_config_maps_dir), NULL, 0, 0, NULL, "Steps",
        "Config maps of local steps: FOLDER/<config map>/<key>; default DATA/config-maps."},
    {"local-mounts", OPTION_STRING, AT(local_mounts), "auto", 0, 0, "auto|never", "Steps",
        "Whether local steps see their volumes at the mount paths, where the system allows it."},
    {"on-stop", OPTION_STRING, AT(on_stop), "keep", 0, 0, "keep|kill", "Steps",
        "What an orderly stop does with local steps: keep them running (the next daemon adopts "
        "them) or kill them (the next daemon starts them again)."},
    {"max-steps", OPTION_INT, AT(max_steps), "16", 1, 100000, NULL, "Steps",
        "Steps running at once."},
    {"step-timeout", OPTION_DURATION, AT(step_timeout_ms), "0", 0, 365 * DAY_MS, NULL, "Steps",
        "Time limit of a step; 0 is none."},
    {"lost-retries", OPTION_INT, AT(lost_retries), "2", 0, 100, NULL, "Steps",
        "How often a step is started anew when its process or pod vanished."},
    {"max-tasks-per-run", OPTION_INT, AT(max_tasks_per_run), "100000", 1, 10000000, NULL, "Steps",
        "Task instances of one run, iterations of loops counted too; what would make more fails."},
    {"run-exit-tasks-on-cancel", OPTION_BOOL, AT(run_exit_tasks_on_cancel), "false", 0, 0, NULL,
        "Steps",
        "A run that is asked to end still runs its exit tasks; asking again ends them too."},
    {"exit-tasks-timeout", OPTION_DURATION, AT(exit_tasks_timeout_ms), "10m", 1000, 365 * DAY_MS,
        NULL, "Steps", "How long they may go on after that."},
    {"backend-final-status", OPTION_BOOL, AT(backend_final_status), "false", 0, 0, NULL, "Steps",
        "Tell exit tasks the words of KFP's backend (COMPLETE, CANCELED, CACHED) instead of those "
        "it "
        "documents (SUCCEEDED, CANCELLED)."},
    {"forget-after", OPTION_DURATION, AT(forget_after_ms), "5s", 0, 60 * MINUTE_MS, NULL, "Steps",
        "How long the result of an ended step stays within reach after Redis has confirmed the "
        "end, in case Redis loses what it wrote last."},
    {"log-max", OPTION_BYTES, AT(log_max), "64MiB", 4096, 1024 * MIB * 1024, NULL, "Steps",
        "Largest log of one attempt of a local step."},

    {"cache", OPTION_BOOL, AT(cache), "true", 0, 0, NULL, "Caching",
        "Tasks with caching on take over what an earlier task with the same inputs gave."},
    {"cache-max-age", OPTION_DURATION, AT(cache_max_age_ms), "0", 0, 3650 * DAY_MS, NULL, "Caching",
        "Results older than this are not taken over; 0 is no limit."},
    {"cache-max-entries", OPTION_INT, AT(cache_max_entries), "100000", 1, 10000000, NULL, "Caching",
        "Results kept; beyond that the oldest go."},

    {"kubeconfig", OPTION_STRING, AT(kubeconfig), NULL, 0, 0, NULL, "Kubernetes",
        "Path; default: KUBECONFIG, the pod's service account, ~/.kube/config."},
    {"namespace", OPTION_STRING, AT(namespace_), NULL, 0, 0, NULL, "Kubernetes",
        "Namespace of the pods; default: the kubeconfig's or the daemon's own."},
    {"launcher-image", OPTION_STRING, AT(launcher_image), "rondo-launcher:latest", 0, 0, NULL,
        "Kubernetes", "Image whose /rondo-launcher is copied into each pod."},
    {"service-account", OPTION_STRING, AT(service_account), "pipeline-runner", 0, 0, NULL,
        "Kubernetes", "Service account of pods whose run names none."},
    {"volume-storage-class", OPTION_STRING, AT(volume_storage_class), NULL, 0, 0, NULL,
        "Kubernetes",
        "Storage class of volumes that a pipeline creates without naming one; default: the "
        "cluster's (KFP uses \"standard\")."},
    {"internal-url", OPTION_STRING, AT(internal_url), NULL, 0, 0, NULL, "Kubernetes",
        "How pods reach this daemon; default: public-url."},
    {"pod-start-timeout", OPTION_DURATION, AT(pod_start_timeout_ms), "1h", 1000, 30 * DAY_MS, NULL,
        "Kubernetes", "A pod that has not started its program by then fails its step."},

    {"history-max-runs", OPTION_INT, AT(history_max_runs), "100000", 0, 100000000, NULL, "History",
        "Finished runs kept; 0 keeps all."},
    {"history-max-age", OPTION_DURATION, AT(history_max_age_ms), "0", 0, 3650 * DAY_MS, NULL,
        "History", "Finished runs older than this are removed; 0 keeps them."},
    {"history-max-ticks", OPTION_INT, AT(history_max_ticks), "50", 10, 10000, NULL, "History",
        "What has become of its ticks: lines that are kept of each recurring run."},

    {"webhook-allow", OPTION_LIST, AT(webhook_allow), NULL, 0, 0, NULL, "Webhooks",
        "Hosts (*.example.internal too), addresses and ranges (CIDR), each with a :port or "
        "without, "
        "that webhooks may be sent to although they are private."},
    {"webhook-deny", OPTION_LIST, AT(webhook_deny), NULL, 0, 0, NULL, "Webhooks",
        "The same of what they may not be sent to, although it is public or allowed."},
    {"webhook-ports", OPTION_LIST, AT(webhook_ports), NULL, 0, 0, NULL, "Webhooks",
        "Ports and ranges of ports that webhooks may be sent to; default: all but those of other "
        "protocols (the Fetch standard's bad ports)."},
    {"webhook-https-only", OPTION_BOOL, AT(webhook_https_only), NULL, 0, 0, NULL, "Webhooks",
        "Refuse http URLs."},
    {"webhook-timeout", OPTION_DURATION, AT(webhook_timeout_ms), "15s", 100, 10 * MINUTE_MS, NULL,
        "Webhooks", "Deadline of one delivery attempt."},
    {"webhook-in-flight", OPTION_INT, AT(webhook_in_flight), "256", 1, 10000, NULL, "Webhooks",
        "Delivery attempts under way at once; those without an answer for a second count no "
        "longer, up to four times as many."},
    {"webhook-retries", OPTION_STRING, AT(webhook_retries),
        "5s,30s,2m,10m,30m,2h,5h,10h,14h,20h,24h", 0, 0, NULL, "Webhooks",
        "Waits between the attempts at one delivery, each with jitter of a fifth."},
    {"webhook-disable-after", OPTION_DURATION, AT(webhook_disable_after_ms), "5d", 0, 365 * DAY_MS,
        NULL, "Webhooks",
        "A subscription of which every attempt has failed for so long is disabled; 0: never."},
    {"webhook-pending", OPTION_INT, AT(webhook_pending), "10000", 1, 10000000, NULL, "Webhooks",
        "Deliveries of one subscription that may wait in one shard; beyond that the oldest are "
        "dropped."},
    {"webhook-pending-bytes", OPTION_BYTES, AT(webhook_pending_bytes), "64MiB", 4096,
        1024 * MIB * 1024, NULL, "Webhooks", "The same in bytes of their messages."},
    {"webhook-pending-total", OPTION_BYTES, AT(webhook_pending_total), "512MiB", 65536,
        1024 * MIB * 1024, NULL, "Webhooks",
        "Bytes of the messages of all deliveries that wait; beyond that the largest backlog loses "
        "its oldest."},
    {"webhook-subscriptions", OPTION_INT, AT(webhook_subscriptions), "10000", 1, 100000, NULL,
        "Webhooks", "Webhook subscriptions that there may be."},
    {"webhook-log", OPTION_INT, AT(webhook_log), "1000", 0, 1000000, NULL, "Webhooks",
        "Finished deliveries of one subscription that one shard remembers."},
    {"webhook-log-age", OPTION_DURATION, AT(webhook_log_age_ms), "30d", 60 * 1000, 3650 * DAY_MS,
        NULL, "Webhooks", "Finished deliveries older than this are forgotten."},
    {"webhook-log-bytes", OPTION_BYTES, AT(webhook_log_bytes), "512MiB", 65536, 1024 * MIB * 1024,
        NULL, "Webhooks", "Bytes of the messages of all finished deliveries that are remembered."},

    {"git-events", OPTION_INT, AT(git_events), "200", 1, 10000, NULL, "Git triggers",
        "What came for a Git trigger: so many events are kept of each."},
    {"git-payload-max", OPTION_BYTES, AT(git_payload_max), "64KiB", 0, 4 * MIB, NULL,
        "Git triggers", "Payloads up to this size are kept with their event."},
    {"git-dedupe", OPTION_DURATION, AT(git_dedupe_ms), "7d", MINUTE_MS, 90 * DAY_MS, NULL,
        "Git triggers", "So long a push that comes again is known to be the same."},
};

static bool is_loopback(const char *listen)
{
    return str_starts(listen, "127.") || str_starts(listen, "localhost:") ||
           str_starts(listen, "[::1]:");
}

static int check_rules(const struct settings *s, struct err *err)
{
    if ((s->shards & (s->shards - 1)) != 0) {
        return err_set(
            err, ERR_INVALID, "shards: %d is not a power of two; use 16 or 32", (int)s->shards);
    }
    if (!is_loopback(s->listen) && s->tokens_file == NULL && !s->insecure) {
        return err_set(err, ERR_INVALID,
            "listen: '%s' is reachable from other machines and the API starts commands: give "
            "--tokens-file, or --insecure if something in front of it checks who comes",
            s->listen);
    }
    return 0;
}

int settings_load(struct settings *settings, int argc, char **argv, struct err *err)
{
    memset(settings, 0, sizeof *settings);
    if (conf_load(table, ARRAY_LEN(table), settings, argc, argv, err) != 0) {
        return -1;
    }
    if (check_rules(settings, err) != 0) {
        settings_free(settings);
        return -1;
    }
    return 0;
}

void settings_free(struct settings *settings)
{
    conf_free(table, ARRAY_LEN(table), settings);
}

void settings_help(struct buf *out)
{
    buf_adds(out, "rondod " RONDO_VERSION " - cron for Kubeflow pipelines\n\n"
                  "usage: rondod [--config FILE] [options]\n\n"
                  "Every option can stand in the YAML file (key: value), in the environment\n"
                  "(RONDO_MAX_BODY) and on the command line (--max-body); the later wins.\n");
    conf_help(table, ARRAY_LEN(table), out);
    buf_adds(out, "\nOther:\n"
                  "  --help           this text\n"
                  "  --version        the version\n"
                  "  --print-config   the settings in force, as YAML, and end\n"
#ifdef TESTING
                  "  --list-faults    names of the fault points, and end\n"
#endif
    );
}

void settings_print(const struct settings *settings, struct buf *out)
{
    conf_print(table, ARRAY_LEN(table), settings, out);
}
