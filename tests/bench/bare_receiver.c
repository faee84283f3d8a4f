/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cheap receiver of webhooks. Prints its port. POST /hang is never answered, any other POST at
 * once; GET /stats tells of the latter, and begins anew: how many, the microseconds from the first
 * to the last, and of the time from the body's "timestamp" to here the median, 99 % and the most.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>

#include "base/clock.h"

static int64_t *late;
static size_t count, room;
static int64_t first_us, last_us;

static int64_t told_us(const char *body)
{
    static const char member[] = "\"timestamp\":\"";
    const char *at = strstr(body, member);
    char text[CLOCK_TEXT_MAX];
    int64_t us;
    snprintf(text, sizeof text, "%s", at != NULL ? at + sizeof member - 1 : "");
    text[strcspn(text, "\"")] = '\0';
    return clock_parse(text, &us, NULL) == 0 ? us : -1;
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static void on_stats(struct evhttp_request *req, void *arg)
{
    (void)arg;
    struct evbuffer *out = evbuffer_new();
    qsort(late, count, sizeof *late, by_size);
    evbuffer_add_printf(out,
        "{\"count\":%zu,\"took_us\":%lld,\"p50_us\":%lld,\"p99_us\":%lld,\"max_us\":%lld}", count,
        (long long)(last_us - first_us), count > 0 ? (long long)late[count / 2] : 0,
        count > 0 ? (long long)late[count * 99 / 100] : 0,
        count > 0 ? (long long)late[count - 1] : 0);
    if (strstr(evhttp_request_get_uri(req), "reset") != NULL) {
        count = 0;
    }
    evhttp_send_reply(req, 200, "OK", out);
    evbuffer_free(out);
}

static void on_request(struct evhttp_request *req, void *arg)
{
    (void)arg;
    if (strncmp(evhttp_request_get_uri(req), "/hang", 5) == 0) {
        evhttp_request_own(req);
        return;
    }
    struct evbuffer *in = evhttp_request_get_input_buffer(req);
    char body[4096];
    ev_ssize_t len = evbuffer_copyout(in, body, sizeof body - 1);
    body[len < 0 ? 0 : len] = '\0';
    int64_t now = clock_now_us(), told = told_us(body);
    if (count == room) {
        room = room > 0 ? 2 * room : 65536;
        late = realloc(late, room * sizeof *late);
        if (late == NULL) {
            abort();
        }
    }
    first_us = count == 0 ? now : first_us;
    last_us = now;
    late[count++] = now - told;
    evhttp_send_reply(req, 204, "No Content", NULL);
}

int main(void)
{
    struct event_base *base = event_base_new();
    struct evhttp *http = evhttp_new(base);
    struct evhttp_bound_socket *bound = evhttp_bind_socket_with_handle(http, "127.0.0.1", 0);
    struct sockaddr_in addr;
    socklen_t len = sizeof addr;
    if (bound == NULL ||
        getsockname(evhttp_bound_socket_get_fd(bound), (struct sockaddr *)&addr, &len) != 0) {
        perror("bind");
        return 1;
    }
    evhttp_set_cb(http, "/stats", on_stats, NULL);
    evhttp_set_gencb(http, on_request, NULL);
    evhttp_set_allowed_methods(http, EVHTTP_REQ_GET | EVHTTP_REQ_POST);
    printf("%d\n", ntohs(addr.sin_port));
    fflush(stdout);
    event_base_dispatch(base);
    return 0;
}
