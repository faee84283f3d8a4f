/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Joins the parts of rondod: data folder, Redis, executor, scheduler, webhooks, HTTP; starts
 * them in order, and ends them in the opposite one.
 */
#include "api/daemon.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "api/api.h"
#include "api/daemons.h"
#include "api/kfp/shown.h"
#include "api/settings.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/http_client.h"
#include "base/id.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/seal.h"
#include "base/secret.h"
#include "base/store.h"
#include "base/util.h"
#include "scheduler/artifact.h"
#include "scheduler/exec.h"
#include "scheduler/lease.h"
#include "scheduler/private_redis.h"
#include "scheduler/recurring.h"
#include "scheduler/run.h"
#include "scheduler/schedule.h"
#include "scheduler/scheduler.h"
#include "webhooks/webhooks.h"

#define DESCRIPTORS 65536
#define TOKENS_FILE_MAX (1 << 20)
#define INSTANCE_FILE_MAX 256
#define SHOWN_MAX ((size_t)4 << 20)
#define DRAIN_MS 300
#define DRAIN_CHECK_MS 10
#define START_RETRY_MS 1000

struct daemon {
    const struct settings *set;
    char *data; /* absolute */
    int lock_fd;
    struct loop *loop;
    struct event *signals[2];
    struct private_redis *redis;
    struct store *store;
    struct http_client *http;
    struct artifact_store *artifacts;
    struct executor executor;
    struct scheduler *scheduler;
    struct sender *sender;
    struct git_hooks *git_hooks;
    struct api api;
    struct server *server;
    char *public_url, *advertise_url;
    char *told_url; /* the setting public-url, for messages; or NULL */
    char *host;
    struct id instance;
    char **hosts, **package_hosts, **tokens;
    struct seal *seal; /* or NULL */
    struct timer drain, sender_retry;
    int64_t drain_until_us;
    bool is_stopping, has_left;
    int exit_code;
};

/* ---- small parts ---- */

static char **list_split(const char *text, const char *separators)
{
    char **list = xcalloc(1, sizeof *list);
    CLEANUP(cleanup_free) char *copy = xstrdup(text != NULL ? text : "");
    char *rest = copy, *one;
    size_t n = 0;
    while ((one = strsep(&rest, separators)) != NULL) {
        one += strspn(one, " \t\r");
        one[strcspn(one, " \t\r#")] = '\0';
        if (one[0] != '\0') {
            list = xreallocarray(list, n + 2, sizeof *list);
            list[n++] = xstrdup(one);
            list[n] = NULL;
        }
    }
    return list;
}

static void list_free(char **list)
{
    for (size_t i = 0; list != NULL && list[i] != NULL; i++) {
        free(list[i]);
    }
    free(list);
}

static int load_tokens(struct daemon *d, struct err *err)
{
    if (d->set->tokens_file == NULL) {
        return 0;
    }
    CLEANUP(cleanup_free) char *text = file_read(d->set->tokens_file, TOKENS_FILE_MAX, NULL, err);
    if (text == NULL) {
        return err_wrap(err, "tokens-file");
    }
    d->tokens = list_split(text, "\n");
    for (size_t i = 0; d->tokens[i] != NULL; i++) {
        unsigned char digest[SHA256_LEN];
        if (strlen(d->tokens[i]) != SHA256_HEX_LEN ||
            hex_decode(d->tokens[i], SHA256_HEX_LEN, digest, sizeof digest) < 0) {
            return err_set(err, ERR_INVALID,
                "tokens-file: entry %zu is not 64 hex digits; make one with: printf %%s \"$TOKEN\" "
                "| sha256sum",
                i + 1);
        }
    }
    if (d->tokens[0] == NULL) {
        return err_set(err, ERR_INVALID, "tokens-file: %s holds no token", d->set->tokens_file);
    }
    return 0;
}

/* Two daemons in one folder would fight over its Redis and its steps. */
static int open_data(struct daemon *d, struct err *err)
{
    if (dir_make(d->set->data, 0700, err) != 0) {
        return err_wrap(err, "data");
    }
    d->data = realpath(d->set->data, NULL);
    if (d->data == NULL) {
        return err_errno(err, errno, "data: %s", d->set->data);
    }
    CLEANUP(cleanup_free) char *path = xasprintf("%s/lock", d->data);
    d->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (d->lock_fd < 0) {
        return err_errno(err, errno, "data: %s", path);
    }
    if (flock(d->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        return err_set(err, ERR_CONFLICT,
            "data: another rondod uses the folder %s; stop it or give "
            "another --data",
            d->data);
    }
    return 0;
}

/*
 * Which daemon this is: the same after a restart in this folder, so that it goes on with what it
 * had at once, and knows the local steps that it started.
 */
static int open_instance(struct daemon *d, struct err *err)
{
    CLEANUP(cleanup_free) char *path = xasprintf("%s/instance", d->data);
    char host[HOST_NAME_MAX + 1] = "";
    (void)gethostname(host, sizeof host - 1);
    d->host = xstrdup(host);
    size_t len = 0;
    CLEANUP(cleanup_free)
    char *text = access(path, F_OK) == 0 ? file_read(path, INSTANCE_FILE_MAX, &len, err) : NULL;
    if (text != NULL) {
        text[strcspn(text, "\n")] = '\0';
        if (!id_is_valid(text)) {
            return err_set(err, ERR_INVALID,
                "data: %s is not the id of a daemon (a UUID); remove it to get a new one", path);
        }
        memcpy(d->instance.text, text, ID_LEN + 1);
        return 0;
    }
    if (err->code != ERR_NONE) {
        return -1;
    }
    id_new(&d->instance);
    CLEANUP(cleanup_free) char *line = xasprintf("%s\n", d->instance.text);
    return file_write_atomic(path, line, strlen(line), 0600, err);
}

/* Each step and each connection takes one; many systems allow 1024 unless more are asked for. */
static void raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= DESCRIPTORS) {
        return;
    }
    limit.rlim_cur = limit.rlim_max < DESCRIPTORS ? limit.rlim_max : DESCRIPTORS;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* Beside us, as in a build folder; or in ../lib/rondo, as installed. */
static char *find_launcher(const struct settings *set)
{
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (set->launcher != NULL || n <= 0) {
        return xstrdup(set->launcher != NULL ? set->launcher : "rondo-launcher");
    }
    self[n] = '\0';
    const char *dir = dirname(self);
    char *beside = xasprintf("%s/rondo-launcher", dir);
    if (access(beside, X_OK) == 0) {
        return beside;
    }
    free(beside);
    return xasprintf("%s/../lib/rondo/rondo-launcher", dir);
}

/* ---- stopping ---- */

static void drain_step(void *owner)
{
    struct daemon *d = owner;
    if ((!d->has_left || (d->server != NULL && server_pending(d->server) > 0)) &&
        clock_mono_us() < d->drain_until_us) {
        timer_start_ms(&d->drain, DRAIN_CHECK_MS);
        return;
    }
    loop_stop(d->loop);
}

static void on_left(void *owner)
{
    ((struct daemon *)owner)->has_left = true;
}

static void daemon_stop(struct daemon *d, int exit_code, const char *why)
{
    if (d->is_stopping) {
        return;
    }
    LOG_INFO("stopping", "reason=%s", LOG_Q(why));
    d->is_stopping = true;
    d->exit_code = exit_code;
    d->api.is_draining = true;
    if (d->server != NULL) {
        server_close(d->server);
    }
    sender_stop(d->sender);
    scheduler_stop(d->scheduler, on_left, d);
    timer_stop(&d->sender_retry);
    d->drain_until_us = clock_mono_us() + DRAIN_MS * US_PER_MS;
    timer_start_ms(&d->drain, DRAIN_CHECK_MS);
}

static void on_signal(evutil_socket_t sig, short what, void *owner)
{
    (void)what;
    daemon_stop(owner, 0, sig == SIGINT ? "SIGINT" : "SIGTERM");
}

static void on_redis_exit(void *owner, int status)
{
    struct daemon *d = owner;
    if (!d->is_stopping) {
        LOG_ERROR("the private redis-server ended; see DATA/redis/redis.log", "status=%d", status);
        daemon_stop(d, 1, "redis-server ended");
    }
}

/* It carries on what was ours, and cannot see our steps. */
static void on_displaced(void *owner)
{
    struct daemon *d = owner;
    executor_local_abandon(&d->executor);
    daemon_stop(d, 1, "another daemon took our place");
}

/* ---- shards come and go ---- */

static void on_shard_start(void *owner, unsigned shard)
{
    const struct daemon *d = owner;
    sender_shard_start(d->sender, shard);
    git_hooks_shard_start(d->git_hooks, shard);
}

static void on_shard_loaded(void *owner, unsigned shard)
{
    const struct daemon *d = owner;
    if (d->api.pods != NULL) {
        pods_set_ready(d->api.pods, shard, true);
    }
}

static void on_shard_hold(void *owner, unsigned shard)
{
    sender_shard_hold(((struct daemon *)owner)->sender, shard);
}

static bool on_shard_is_idle(void *owner, unsigned shard)
{
    return sender_shard_is_idle(((struct daemon *)owner)->sender, shard);
}

static void on_shard_stop(void *owner, unsigned shard)
{
    const struct daemon *d = owner;
    sender_shard_stop(d->sender, shard);
    git_hooks_shard_stop(d->git_hooks, shard);
    if (d->api.pods != NULL) {
        pods_set_ready(d->api.pods, shard, false);
    }
}

static void on_git_run_ended(void *owner, const char *run_id)
{
    git_hooks_run_ended(((struct daemon *)owner)->git_hooks, run_id);
}

static void on_send_refused(void *owner, unsigned shard)
{
    scheduler_check(((struct daemon *)owner)->scheduler, shard);
}

/* ---- starting ---- */

static void start_sender(void *owner);

static void on_sender_started(void *owner, const struct err *err)
{
    struct daemon *d = owner;
    if (err != NULL) {
        LOG_WARN("webhooks wait", "error=%s", LOG_Q(err->msg));
        timer_start_ms(&d->sender_retry, START_RETRY_MS);
        return;
    }
    LOG_INFO("ready", "url=%s executor=%s", d->public_url, d->api.executor_name);
}

static void start_sender(void *owner)
{
    struct daemon *d = owner;
    sender_start(d->sender, on_sender_started, d);
}

/* Another daemon that is alive carries it on. */
static bool is_anothers(void *owner, const char *run_id)
{
    return daemons_url_of_run(&((struct daemon *)owner)->api, run_id) != NULL;
}

static void on_scheduler_started(void *owner, const struct err *err)
{
    struct daemon *d = owner;
    if (err != NULL) {
        LOG_ERROR("cannot start", "error=%s", LOG_Q(err->msg));
        daemon_stop(d, 1, "start failed");
        return;
    }
    executor_local_end_strays(&d->executor, is_anothers, d);
    start_sender(d);
}

static void on_events(void *owner, unsigned shard)
{
    sender_wake(((struct daemon *)owner)->sender, shard);
}

static void on_store_change(void *owner, bool up)
{
    struct daemon *d = owner;
    if (!up && d->api.shown != NULL) { /* NULL: still starting */
        shown_clear(d->api.shown);
    }
}

static int make_store(struct daemon *d, struct err *err)
{
    if (d->set->redis == NULL) {
        d->redis = private_redis_start(d->loop, d->data, on_redis_exit, d, err);
        if (d->redis == NULL) {
            return -1;
        }
    }
    struct store_settings settings = {
        .url = d->redis != NULL ? private_redis_url(d->redis) : d->set->redis,
        .command_timeout_ms = d->set->redis_timeout_ms,
        .shards = (unsigned)d->set->shards,
        .prefix = "rondo",
    };
    d->store = store_new(d->loop, &settings, err);
    if (d->store == NULL) {
        return -1;
    }
    store_on_change(d->store, on_store_change, d);
    return 0;
}

static int make_executor(struct daemon *d, struct err *err)
{
    CLEANUP(cleanup_free)
    char *root = d->set->artifact_root != NULL ? xstrdup(d->set->artifact_root)
                                               : xasprintf("%s/artifacts", d->data);
    d->artifacts = artifact_store_new(root, err);
    if (d->artifacts == NULL) {
        return err_wrap(err, "artifact-root");
    }
    if (strcmp(d->set->executor, "noop") == 0) {
        executor_noop_new(d->loop, &d->executor);
        return 0;
    }
    if (strcmp(d->set->executor, "kubernetes") == 0) {
        struct pods_settings pods = {
            .http = d->http,
            .store = d->store,
            .artifacts = d->artifacts,
            .data_dir = d->data,
            .kubeconfig = d->set->kubeconfig,
            .namespace_ = d->set->namespace_,
            .launcher_image = d->set->launcher_image,
            .service_account = d->set->service_account,
            .pod_start_timeout_ms = d->set->pod_start_timeout_ms,
        };
        return executor_pods_new(d->loop, &pods, &d->executor, err);
    }
    CLEANUP(cleanup_free) char *launcher = find_launcher(d->set);
    struct local_settings local = {
        .data_dir = d->data,
        .launcher = launcher,
        .artifacts = d->artifacts,
        .step_env = d->set->step_env,
        .log_max_bytes = d->set->log_max,
        .kill_on_free = strcmp(d->set->on_stop, "kill") == 0,
        .secrets_dir = d->set->local_secrets_dir,
        .config_maps_dir = d->set->local_config_maps_dir,
        .no_mounts = strcmp(d->set->local_mounts, "never") == 0,
    };
    return executor_local_new(d->loop, &local, &d->executor, err);
}

/* Without a slash at its end: paths follow. */
static char *url_base(const char *url)
{
    size_t len = strlen(url);
    while (len > 0 && url[len - 1] == '/') {
        len--;
    }
    return xstrndup(url, len);
}

static int make_scheduler(struct daemon *d, struct err *err)
{
    const struct settings *set = d->set;
    struct scheduler_settings settings = {
        .loop = d->loop,
        .store = d->store,
        .artifacts = d->artifacts,
        .executor = d->executor,
        .max_runs = set->max_runs,
        .max_steps = set->max_steps,
        .step_timeout_ms = set->step_timeout_ms,
        .lost_retries = set->lost_retries,
        .forget_after_ms = set->forget_after_ms,
        .max_tasks_per_run = set->max_tasks_per_run,
        .run_exit_tasks_on_cancel = set->run_exit_tasks_on_cancel,
        .exit_tasks_timeout_ms = set->exit_tasks_timeout_ms,
        .backend_final_status = set->backend_final_status,
        .cache = set->cache,
        .cache_max_age_ms = set->cache_max_age_ms,
        .cache_max_entries = set->cache_max_entries,
        .volume_storage_class = set->volume_storage_class,
        .history_max_runs = set->history_max_runs,
        .history_max_ticks = set->history_max_ticks,
        .history_max_age_ms = set->history_max_age_ms,
        .claim_batch = set->claim_batch,
        .max_fires_per_s = set->max_fires_per_second,
        .instance = d->instance.text,
        .host = d->host,
    };
    d->scheduler = scheduler_new(&settings);
    struct scheduler_listener listener = {
        .shard_start = on_shard_start,
        .shard_loaded = on_shard_loaded,
        .shard_hold = on_shard_hold,
        .shard_is_idle = on_shard_is_idle,
        .shard_stop = on_shard_stop,
        .git_run_ended = on_git_run_ended,
        .events = on_events,
        .displaced = on_displaced,
        .owner = d,
    };
    scheduler_listen(d->scheduler, &listener);
    const struct pods *pods = executor_pods(&d->executor);
    d->told_url = set->public_url != NULL ? url_base(set->public_url) : NULL;
    struct sender_settings sender = {
        .loop = d->loop,
        .store = d->store,
        .http = d->http,
        .allow = set->webhook_allow,
        .deny = set->webhook_deny,
        .ports = set->webhook_ports,
        .https_only = set->webhook_https_only,
        .seal = d->seal,
        .public_url = d->told_url,
        .namespace_ = pods != NULL ? pods_namespace(pods) : NULL,
        .timeout_ms = set->webhook_timeout_ms,
        .max_in_flight = set->webhook_in_flight,
        .retries = set->webhook_retries,
        .disable_after_ms = set->webhook_disable_after_ms,
        .pending_max = set->webhook_pending,
        .pending_bytes = set->webhook_pending_bytes,
        .pending_all_bytes = set->webhook_pending_total,
        .log_max = set->webhook_log,
        .max_subscriptions = set->webhook_subscriptions,
        .log_age_ms = set->webhook_log_age_ms,
        .log_bytes = set->webhook_log_bytes,
    };
    d->sender = sender_new(&sender, err);
    if (d->sender == NULL) {
        return -1;
    }
    sender_on_fenced(d->sender, on_send_refused, d);
    engine_on_events(scheduler_engine(d->scheduler), on_events, d);
    ticker_on_events(scheduler_ticker(d->scheduler), on_events, d);
    struct git_hooks_settings git = {
        .loop = d->loop,
        .store = d->store,
        .catalog = scheduler_catalog(d->scheduler),
        .engine = scheduler_engine(d->scheduler),
        .events_max = set->git_events,
        .payload_max = set->git_payload_max,
        .dedupe_ms = set->git_dedupe_ms,
        .events = on_events,
        .events_owner = d,
        .seal = d->seal,
        .http = d->http,
        .egress = sender_egress(d->sender),
        .public_url = d->told_url,
    };
    d->git_hooks = git_hooks_new(&git);
    return 0;
}

static int write_port(const struct daemon *d, struct err *err)
{
    CLEANUP(cleanup_free) char *path = xasprintf("%s/port", d->data);
    CLEANUP(cleanup_free) char *text = xasprintf("%d\n", server_port(d->server));
    return file_write_atomic(path, text, strlen(text), 0644, err);
}

static int make_server(struct daemon *d, struct err *err)
{
    const struct settings *set = d->set;
    d->hosts = list_split(set->allow_hosts, ",");
    d->package_hosts = list_split(set->package_hosts, ",");
    struct shown *shown = shown_new(SHOWN_MAX);
    d->api = (struct api){
        .loop = d->loop,
        .store = d->store,
        .catalog = scheduler_catalog(d->scheduler),
        .engine = scheduler_engine(d->scheduler),
        .ticker = scheduler_ticker(d->scheduler),
        .sender = d->sender,
        .git_hooks = d->git_hooks,
        .artifacts = d->artifacts,
        .shown = shown,
        .scheduler = d->scheduler,
        .lease = scheduler_lease(d->scheduler),
        .http = d->http,
        .package_hosts = (const char *const *)d->package_hosts,
        .pods = executor_pods(&d->executor),
        .executor_name = d->executor.ops->name,
        .tokens = (const char *const *)d->tokens,
        .allow_hosts = (const char *const *)d->hosts,
        .started_us = clock_now_us(),
    };
    struct server_settings settings = {
        .loop = d->loop,
        .api = &d->api,
        .listen = set->listen,
        .max_body = set->max_body,
        .max_headers = set->max_headers,
        .timeout_ms = set->http_timeout_ms,
        .max_connections = set->max_connections,
    };
    d->server = server_new(&settings, err);
    if (d->server == NULL) {
        return -1;
    }
    const char *colon = strrchr(set->listen, ':');
    int host_len = colon != NULL ? (int)(colon - set->listen) : (int)strlen(set->listen);
    d->public_url = set->public_url != NULL ? xstrdup(set->public_url)
                                            : xasprintf("http://%.*s:%d", host_len, set->listen,
                                                  server_port(d->server));
    d->api.public_url = d->public_url;
    bool is_bracketed = host_len > 1 && set->listen[0] == '[';
    CLEANUP(cleanup_free)
    char *host = xstrndup(set->listen + is_bracketed, (size_t)host_len - (is_bracketed ? 2 : 0));
    sender_set_listener(d->sender, host, (uint16_t)server_port(d->server));
    d->advertise_url = url_base(set->advertise_url != NULL ? set->advertise_url : d->public_url);
    d->api.advertise_url = d->advertise_url;
    lease_set_url(d->api.lease, d->advertise_url);
    if (d->api.pods != NULL) {
        pods_set_url(d->api.pods, set->internal_url != NULL ? set->internal_url : d->public_url);
    }
    return write_port(d, err);
}

static int load_secrets_keys(struct daemon *d, struct err *err)
{
    if (d->set->secrets_key_file == NULL) {
        return 0;
    }
    d->seal = seal_load(d->set->secrets_key_file, err);
    if (d->seal == NULL) {
        return err_wrap(err, "secrets-key-file");
    }
#ifndef __SANITIZE_ADDRESS__ /* whose leak checker is a debugger */
    /* From now on memory holds what Redis does not: no core dumps, no debugger of the same user. */
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
        return err_set(err, ERR_INTERNAL, "prctl: %s", strerror(errno));
    }
#endif
    return 0;
}

static int daemon_make(struct daemon *d, struct err *err)
{
    zone_set_dir(d->set->zoneinfo);
    raise_descriptors();
    if (open_data(d, err) != 0 || open_instance(d, err) != 0 || load_tokens(d, err) != 0 ||
        load_secrets_keys(d, err) != 0) {
        return -1;
    }
    d->loop = loop_new(err);
    if (d->loop == NULL) {
        return -1;
    }
    timer_init(&d->drain, d->loop, drain_step, d);
    timer_init(&d->sender_retry, d->loop, start_sender, d);
    d->signals[0] = evsignal_new(loop_base(d->loop), SIGTERM, on_signal, d);
    d->signals[1] = evsignal_new(loop_base(d->loop), SIGINT, on_signal, d);
    (void)event_add(d->signals[0], NULL);
    (void)event_add(d->signals[1], NULL);
    d->http = http_client_new(d->loop, err);
    if (d->http == NULL || make_store(d, err) != 0 || make_executor(d, err) != 0 ||
        make_scheduler(d, err) != 0 || make_server(d, err) != 0) {
        return -1;
    }
    return 0;
}

static void daemon_free(struct daemon *d)
{
    server_free(d->server);
    shown_free(d->api.shown);
    git_hooks_free(d->git_hooks);
    sender_free(d->sender);
    seal_free(d->seal);
    scheduler_free(d->scheduler);
    if (d->executor.ops != NULL) {
        d->executor.ops->free(d->executor.self);
    }
    artifact_store_free(d->artifacts);
    store_free(d->store);
    private_redis_stop(d->redis);
    http_client_free(d->http);
    timer_done(&d->drain);
    timer_done(&d->sender_retry);
    for (size_t i = 0; i < ARRAY_LEN(d->signals); i++) {
        if (d->signals[i] != NULL) {
            event_free(d->signals[i]);
        }
    }
    loop_free(d->loop);
    zone_drop_all();
    if (d->data != NULL) {
        CLEANUP(cleanup_free) char *port = xasprintf("%s/port", d->data);
        if (d->server != NULL) {
            (void)unlink(port);
        }
    }
    cleanup_fd(&d->lock_fd);
    free(d->data);
    free(d->public_url);
    free(d->told_url);
    free(d->advertise_url);
    free(d->host);
    list_free(d->hosts);
    list_free(d->package_hosts);
    list_free(d->tokens);
}

int daemon_run(const struct settings *settings)
{
    struct daemon d = {.set = settings, .lock_fd = -1};
    struct err err = ERR_INIT;
    if (daemon_make(&d, &err) != 0) {
        LOG_ERROR("cannot start", "error=%s", LOG_Q(err.msg));
        d.exit_code = 1;
    } else {
        LOG_INFO("rondod " RONDO_VERSION " listens", "url=%s data=%s", d.public_url, LOG_Q(d.data));
        scheduler_start(d.scheduler, on_scheduler_started, &d);
        loop_run(d.loop);
    }
    daemon_free(&d);
    return d.exit_code;
}
