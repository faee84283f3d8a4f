/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rondo listen: a webhook receiver that subscribes itself, checks every signature and tells in
 * plain lines what happens. With --once it ends after the first scheduled run.
 */
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "api/cli/cli.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/map.h"
#include "base/util.h"
#include "webhooks/signature.h"

#define SUBSCRIPTIONS "/apis/rondo/v1/subscriptions"
#define BODY_MAX (1 << 20)
#define CHECK_MS 200
#define MIB_F 1048576.0

struct listen {
    struct cli *cli;
    struct event_base *base;
    struct evhttp *http;
    struct event *signals[2], *check, *deadline;
    struct secret secret;
    char *subscription_id;
    struct map *seen;     /* webhook-id -> (nothing) */
    struct map *expected; /* --once: kinds of events still wanted of the run */
    char *run_id;         /* --once: the run we wait for */
    char *finished_id;    /* --once: webhook-id of its last event */
    bool is_once;
    int64_t verified;
    int exit_code;
};

/* ---- telling ---- */

static const char *number_text(char *buf, size_t len, double value, const char *unit)
{
    snprintf(buf, len, value < 10 ? "%.1f %s" : "%.0f %s", value, unit);
    return buf;
}

static const char *duration_text(char *buf, size_t len, const json_t *data)
{
    int64_t from = jget_i64(data, "started_us", 0), to = jget_i64(data, "ended_us", 0);
    double ms = from > 0 && to > from ? (double)(to - from) / 1000.0 : 0;
    return ms < 1000 ? number_text(buf, len, ms, "ms") : number_text(buf, len, ms / 1000, "s");
}

static void tell(const json_t *event, const char *what, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void tell(const json_t *event, const char *what, const char *fmt, ...)
{
    const char *at = jget_str(event, "timestamp", "");
    char line[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    for (char *p = line; *p != '\0'; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f) {
            *p = ' ';
        }
    }
    printf("%.12s  %-17s %s\n", strlen(at) > 23 ? at + 11 : "", what, line);
    fflush(stdout);
}

static void tell_artifact(const json_t *event, const json_t *data)
{
    char size[32] = "";
    double bytes = (double)jget_i64(data, "size", -1);
    if (bytes >= 0) {
        number_text(size, sizeof size, bytes < MIB_F ? bytes / 1024 : bytes / MIB_F,
            bytes < MIB_F ? "KiB" : "MiB");
    }
    tell(event, "artifact created", "%s: %s %s, %s", jget_str(data, "task", ""),
        jget_str(data, "name", ""), size, jget_str(data, "uri", ""));
}

static void tell_event(const struct listen *l, const char *type, const json_t *event)
{
    const json_t *data = json_object_get(event, "data");
    const char *state = jget_str(data, "state", ""), *error = jget_str(data, "error", "");
    const char *run = jget_str(data, "run_name", jget_str(data, "run_id", ""));
    char buf[32];
    if (strcmp(type, "recurring_run.fired") == 0) {
        tell(event, "fired", "%s, firing %lld, %.1f ms after its time",
            jget_str(data, "recurring_run_name", ""), (long long)jget_i64(data, "index", 0),
            (double)jget_i64(data, "lateness_us", 0) / 1000.0);
    } else if (strcmp(type, "run.created") == 0) {
        tell(event, "run created", "%s", run);
    } else if (strcmp(type, "run.started") == 0) {
        tell(event, "run started", "%s", run);
    } else if (strcmp(type, "task.started") == 0) {
        tell(event, "step started", "%s", jget_str(data, "task", ""));
    } else if (strcmp(type, "task.skipped") == 0) {
        tell(event, "step skipped", "%s: %s", jget_str(data, "task", ""),
            jget_str(data, "reason", ""));
    } else if (strcmp(type, "task.finished") == 0) {
        tell(event, strcmp(state, "SUCCEEDED") == 0 ? "step completed" : "step ended",
            "%s %s in %s%s%s", jget_str(data, "task", ""), state,
            duration_text(buf, sizeof buf, data), error[0] != '\0' ? ": " : "", error);
    } else if (strcmp(type, "artifact.created") == 0) {
        tell_artifact(event, data);
    } else if (strcmp(type, "run.notice") == 0) {
        tell(event, "note", "%s", jget_str(data, "text", ""));
    } else if (strcmp(type, "run.finished") == 0) {
        tell(event, strcmp(state, "SUCCEEDED") == 0 ? "run succeeded" : "run ended",
            "%s %s in %s%s%s", run, state, duration_text(buf, sizeof buf, data),
            error[0] != '\0' ? ": " : "", error);
        tell(event, "webhook delivered", "%lld so far, every signature verified",
            (long long)l->verified);
    } else {
        tell(event, type, "%s", run);
    }
}

/* ---- once ---- */

static const char *const wanted_events[] = {
    "recurring_run.fired", "run.started", "task.started", "task.finished", "run.finished"};

static void once_note(struct listen *l, const char *id, const char *type, const json_t *data)
{
    const char *run = jget_str(data, "run_id", "");
    if (jget_str(data, "recurring_run_id", "")[0] == '\0') {
        return;
    }
    if (l->run_id == NULL && strcmp(type, "recurring_run.fired") == 0) {
        l->run_id = xstrdup(run);
    }
    if (l->run_id == NULL || strcmp(run, l->run_id) != 0) {
        return;
    }
    map_remove(l->expected, type);
    if (strcmp(type, "run.finished") != 0) {
        return;
    }
    const char *state = jget_str(data, "state", "");
    if (strcmp(state, "SUCCEEDED") != 0) {
        fprintf(stderr, "rondo: the run ended %s: %s\n", state, jget_str(data, "error", ""));
        l->exit_code = CLI_FAILED;
        event_base_loopbreak(l->base);
        return;
    }
    l->finished_id = xstrdup(id);
}

static int64_t created_of(const json_t *rows, const char *id)
{
    size_t i;
    const json_t *row;
    json_array_foreach((json_t *)rows, i, row)
    {
        if (str_eq(jget_str(row, "id", NULL), id)) {
            return jget_i64(row, "created_us", 0);
        }
    }
    return -1;
}

/* Ask the daemon's own log: nothing up to the run's last event may be undelivered or unseen. */
static bool all_delivered(struct listen *l)
{
    struct err err = ERR_INIT;
    CLEANUP(cleanup_free)
    char *path = xasprintf(SUBSCRIPTIONS "/%s/deliveries?n=1000", l->subscription_id);
    json_t *list = client_json(l->cli, "GET", path, NULL, &err);
    const json_t *rows = json_object_get(list, "deliveries"), *row;
    int64_t until_us = created_of(rows, l->finished_id);
    bool good = until_us >= 0;
    size_t i;
    json_array_foreach((json_t *)rows, i, row)
    {
        if (jget_i64(row, "created_us", 0) <= until_us) {
            good &= str_eq(jget_str(row, "state", NULL), "DELIVERED") &&
                    map_has(l->seen, jget_str(row, "id", ""));
        }
    }
    json_decref(list);
    return good;
}

static void on_check(evutil_socket_t fd, short what, void *owner)
{
    (void)fd;
    (void)what;
    struct listen *l = owner;
    if (l->finished_id != NULL && map_count(l->expected) == 0 && all_delivered(l)) {
        printf("the first scheduled run succeeded; %lld webhooks delivered and verified\n",
            (long long)l->verified);
        l->exit_code = CLI_OK;
        event_base_loopbreak(l->base);
    }
}

static void on_deadline(evutil_socket_t fd, short what, void *owner)
{
    (void)fd;
    (void)what;
    struct listen *l = owner;
    fprintf(stderr, "rondo: time is up; still waiting for:");
    struct map_iter it = {0};
    const char *type;
    while (map_next(l->expected, &it, &type, NULL)) {
        fprintf(stderr, " %s", type);
    }
    fprintf(stderr, "%s\n", map_count(l->expected) == 0 ? " the daemon's delivery log" : "");
    l->exit_code = CLI_FAILED;
    event_base_loopbreak(l->base);
}

/* ---- receiving ---- */

static void reply(struct evhttp_request *req, int status, const char *text)
{
    struct evbuffer *body = evbuffer_new();
    evbuffer_add_printf(body, "%s\n", text);
    evhttp_send_reply(req, status, NULL, body);
    evbuffer_free(body);
}

static void on_request(struct evhttp_request *req, void *owner)
{
    struct listen *l = owner;
    struct evkeyvalq *headers = evhttp_request_get_input_headers(req);
    struct evbuffer *input = evhttp_request_get_input_buffer(req);
    size_t len = evbuffer_get_length(input);
    const char *body = len > 0 ? (const char *)evbuffer_pullup(input, -1) : "";
    const char *id = evhttp_find_header(headers, "webhook-id");
    struct err err = ERR_INIT;
    if (evhttp_request_get_command(req) != EVHTTP_REQ_POST) {
        reply(req, 405, "send events with POST");
        return;
    }
    if (signature_verify(&l->secret, id, evhttp_find_header(headers, "webhook-timestamp"),
            evhttp_find_header(headers, "webhook-signature"), body, len, clock_now_us() / US_PER_S,
            &err) != 0) {
        fprintf(stderr, "rondo: a message was refused: %s\n", err.msg);
        reply(req, 401, err.msg);
        return;
    }
    json_t *event = jread_text(body, len, "event", &err);
    const char *type = jget_str(event, "type", NULL);
    if (type == NULL) {
        fprintf(stderr, "rondo: an unreadable event: %s\n", err.msg);
        reply(req, 400, "not an event");
        json_decref(event);
        return;
    }
    if (!map_has(l->seen, id)) { /* sent again: at least once is the promise */
        map_put(l->seen, id, NULL);
        l->verified++;
        if (l->cli->is_json) {
            char *text = jtext(event);
            puts(text);
            fflush(stdout);
            free(text);
        } else {
            tell_event(l, type, event);
        }
        if (l->is_once) {
            once_note(l, id, type, json_object_get(event, "data"));
        }
    }
    json_decref(event);
    reply(req, 200, "ok");
}

static void on_signal(evutil_socket_t sig, short what, void *owner)
{
    (void)sig;
    (void)what;
    event_base_loopbreak(((struct listen *)owner)->base);
}

/* ---- the subscription ---- */

static void unsubscribe(struct listen *l, const char *id)
{
    struct err err = ERR_INIT;
    CLEANUP(cleanup_free) char *path = xasprintf(SUBSCRIPTIONS "/%s", id);
    json_decref(client_json(l->cli, "DELETE", path, NULL, &err));
}

/* One that was killed has left its subscription behind. */
static int unsubscribe_namesakes(struct listen *l, const char *name, struct err *err)
{
    json_t *list = client_json(l->cli, "GET", SUBSCRIPTIONS, NULL, err);
    size_t i;
    const json_t *item;
    json_array_foreach(json_object_get(list, "subscriptions"), i, item)
    {
        if (str_eq(jget_str(item, "name", NULL), name)) {
            unsubscribe(l, jget_str(item, "id", ""));
        }
    }
    json_decref(list);
    return list != NULL ? 0 : -1;
}

static int subscribe(struct listen *l, const char *name, int port, struct err *err)
{
    if (unsubscribe_namesakes(l, name, err) != 0) {
        return -1;
    }
    CLEANUP(cleanup_free) char *url = xasprintf("http://127.0.0.1:%d/", port);
    json_t *body = json_pack("{s:s,s:s}", "url", url, "name", name);
    json_t *record = client_json(l->cli, "POST", SUBSCRIPTIONS, body, err);
    json_decref(body);
    int rc = -1;
    if (record != NULL) {
        l->subscription_id = xstrdup(jget_str(record, "id", ""));
        rc = signature_parse_secret(jget_str(record, "secret", ""), &l->secret, err);
    }
    json_decref(record);
    return rc;
}

static int open_server(struct listen *l, int *port, struct err *err)
{
    l->base = event_base_new();
    l->http = evhttp_new(l->base);
    evhttp_set_max_body_size(l->http, BODY_MAX);
    evhttp_set_gencb(l->http, on_request, l);
    struct evhttp_bound_socket *bound =
        evhttp_bind_socket_with_handle(l->http, "127.0.0.1", (ev_uint16_t)*port);
    struct sockaddr_storage addr;
    socklen_t len = sizeof addr;
    if (bound == NULL ||
        getsockname(evhttp_bound_socket_get_fd(bound), (struct sockaddr *)&addr, &len) != 0) {
        return err_set(err, ERR_CONFLICT, "cannot listen on 127.0.0.1:%d", *port);
    }
    *port = ntohs(((struct sockaddr_in *)(void *)&addr)->sin_port);
    return 0;
}

static void watch_signals(struct listen *l)
{
    const int numbers[] = {SIGINT, SIGTERM};
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        l->signals[i] = evsignal_new(l->base, numbers[i], on_signal, l);
        event_add(l->signals[i], NULL);
    }
}

static void watch_once(struct listen *l, int64_t timeout_ms)
{
    for (size_t i = 0; i < ARRAY_LEN(wanted_events); i++) {
        map_put(l->expected, wanted_events[i], NULL);
    }
    struct timeval often = {.tv_usec = CHECK_MS * 1000};
    struct timeval late = {.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000};
    l->check = event_new(l->base, -1, EV_PERSIST, on_check, l);
    event_add(l->check, &often);
    l->deadline = event_new(l->base, -1, 0, on_deadline, l);
    event_add(l->deadline, &late);
}

static void listen_done(struct listen *l)
{
    struct event *events[] = {l->signals[0], l->signals[1], l->check, l->deadline};
    for (size_t i = 0; i < ARRAY_LEN(events); i++) {
        if (events[i] != NULL) {
            event_free(events[i]);
        }
    }
    if (l->http != NULL) {
        evhttp_free(l->http);
    }
    if (l->base != NULL) {
        event_base_free(l->base);
    }
    secret_done(&l->secret);
    map_free(l->seen);
    map_free(l->expected);
    free(l->subscription_id);
    free(l->run_id);
    free(l->finished_id);
}

static int run_listen(struct cli *cli, int argc, char **argv)
{
    const char *port_text = "0", *name = "rondo listen", *timeout = "2m";
    bool once = false;
    const struct cli_option options[] = {{"--port", &port_text, NULL, NULL},
        {"--name", &name, NULL, NULL}, {"--timeout", &timeout, NULL, NULL},
        {"--once", NULL, &once, NULL}, {NULL, NULL, NULL, NULL}};
    struct err err = ERR_INIT;
    int64_t port64 = 0, timeout_ms = 0;
    if (cli_options(&command_listen, &argc, argv, options, 0, 0) != 0) {
        return CLI_USAGE;
    }
    if (parse_i64(port_text, 0, 65535, "--port", &port64, &err) != 0 ||
        parse_duration_ms(timeout, "--timeout", &timeout_ms, &err) != 0) {
        return cli_fail(CLI_USAGE, &err);
    }
    struct listen l = {.cli = cli,
        .is_once = once,
        .seen = map_new(NULL),
        .expected = map_new(NULL),
        .exit_code = CLI_OK};
    int port = (int)port64;
    if (open_server(&l, &port, &err) != 0 || subscribe(&l, name, port, &err) != 0) {
        l.exit_code = cli_fail(CLI_FAILED, &err);
    } else {
        watch_signals(&l);
        if (once) {
            watch_once(&l, timeout_ms);
        }
        event_base_dispatch(l.base);
        unsubscribe(&l, l.subscription_id);
    }
    listen_done(&l);
    return l.exit_code;
}

const struct command command_listen = {"listen",
    "[--once] [--port PORT] [--name NAME] [--timeout 2m]",
    "Receive webhooks here, check their signatures and tell what happens", run_listen};
