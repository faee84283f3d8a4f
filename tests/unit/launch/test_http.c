/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The launcher as it runs in a pod: order, inputs, outputs and report over HTTP and HTTPS, against
 * a small daemon in this process that can be away, forgetful, or of another opinion.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <netinet/in.h>
#include <unistd.h>

#include <cmocka.h>

#include <event2/buffer.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/util.h"
#include "scheduler/artifact.h"
#include "scheduler/order.h"
#include "tests/support/temp_dir.h"

#define BASE "/internal/attempts/r/t/0"

struct fixture {
    struct temp_dir dir;
    struct event_base *base;
    struct evhttp *http;
    struct artifact_store *store;
    SSL_CTX *tls;
    int port;
    json_t *order;
    /* what it does */
    int fail_order, fail_report, lose_part, order_status, report_status, put_status;
    /* what it saw */
    int orders, runnings, reports, puts, bad_tokens;
    json_t *report;
    pid_t pid;
};

static void answer(struct evhttp_request *req, int status, const void *data, size_t len)
{
    struct evbuffer *out = evbuffer_new();
    evbuffer_add(out, data, len);
    evhttp_send_reply(req, status, "", out);
    evbuffer_free(out);
}

static void answer_error(struct evhttp_request *req, const struct err *err)
{
    int status = err->code == ERR_NOT_FOUND ? 404 : err->code == ERR_CONFLICT ? 409 : 403;
    CLEANUP(cleanup_free) char *text = xasprintf("{\"message\": \"%.100s\"}", err->msg);
    answer(req, status, text, strlen(text));
}

static void list_fn(void *owner, const char *file, int64_t size)
{
    json_array_append_new(owner, json_pack("{s:s,s:I}", "file", file, "size", (json_int_t)size));
}

static void on_get_artifact(struct fixture *f, struct evhttp_request *req, struct evkeyvalq *q)
{
    struct err err = ERR_INIT;
    const char *uri = evhttp_find_header(q, "uri");
    if (evhttp_find_header(q, "list") != NULL) {
        json_t *files = json_array();
        if (artifact_list(f->store, uri, list_fn, files, &err) != 0) {
            json_decref(files);
            answer_error(req, &err);
            return;
        }
        json_t *list = json_pack("{s:o}", "files", files);
        CLEANUP(cleanup_free) char *text = jtext(list);
        json_decref(list);
        answer(req, 200, text, strlen(text));
        return;
    }
    void *data = NULL;
    size_t len = 0;
    int64_t total = 0;
    if (artifact_read_part(f->store, uri, evhttp_find_header(q, "file"),
            strtoll(evhttp_find_header(q, "offset"), NULL, 10), ORDER_PART_MAX, &data, &len, &total,
            &err) != 0) {
        answer_error(req, &err);
        return;
    }
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)total);
    evhttp_add_header(evhttp_request_get_output_headers(req), "X-Total", text);
    answer(req, 200, data, len);
    free(data);
}

static void on_put_artifact(struct fixture *f, struct evhttp_request *req, struct evkeyvalq *q)
{
    struct evbuffer *in = evhttp_request_get_input_buffer(req);
    struct err err = ERR_INIT;
    struct artifact_part part = {
        .uri = evhttp_find_header(q, "uri"),
        .file = evhttp_find_header(q, "file"),
        .offset = strtoll(evhttp_find_header(q, "offset"), NULL, 10),
        .len = evbuffer_get_length(in),
        .data = evbuffer_pullup(in, -1),
        .final = evhttp_find_header(q, "final") != NULL,
    };
    f->puts++;
    if (part.final) {
        part.total = strtoll(evhttp_find_header(q, "total"), NULL, 10);
        part.sha256 = evhttp_find_header(q, "sha256");
    }
    if (f->put_status != 0) {
        answer(req, f->put_status, "{\"message\": \"no room\"}", 22);
    } else if (part.offset > 0 && f->lose_part > 0) {
        f->lose_part--;
        answer(req, 409, "", 0);
    } else if (artifact_write_part(f->store, &part, &err) != 0) {
        answer_error(req, &err);
    } else {
        answer(req, 204, "", 0);
    }
}

static void on_report(struct fixture *f, struct evhttp_request *req)
{
    struct evbuffer *in = evhttp_request_get_input_buffer(req);
    f->reports++;
    if (f->fail_report > 0) {
        f->fail_report--;
        answer(req, 503, "{}", 2);
        return;
    }
    json_decref(f->report);
    f->report = json_loadb((const char *)evbuffer_pullup(in, -1), evbuffer_get_length(in), 0, NULL);
    answer(req, f->report_status != 0 ? f->report_status : 200, "{}", 2);
}

static void on_request(struct evhttp_request *req, void *arg)
{
    struct fixture *f = arg;
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(req);
    const char *path = evhttp_uri_get_path(uri);
    const char *token = evhttp_find_header(evhttp_request_get_input_headers(req), "Authorization");
    enum evhttp_cmd_type method = evhttp_request_get_command(req);
    struct evkeyvalq query;
    evhttp_parse_query_str(
        evhttp_uri_get_query(uri) != NULL ? evhttp_uri_get_query(uri) : "", &query);
    if (token == NULL || strcmp(token, "Bearer tok") != 0) {
        f->bad_tokens++;
        answer(req, 401, "", 0);
    } else if (strcmp(path, BASE "/order") == 0 && method == EVHTTP_REQ_GET) {
        f->orders++;
        CLEANUP(cleanup_free) char *text = jtext(f->order);
        if (f->fail_order > 0) {
            f->fail_order--;
            answer(req, 503, "", 0);
        } else {
            answer(req, f->order_status != 0 ? f->order_status : 200, text, strlen(text));
        }
    } else if (strcmp(path, BASE "/running") == 0 && method == EVHTTP_REQ_POST) {
        f->runnings++;
        answer(req, 204, "", 0);
    } else if (strcmp(path, BASE "/report") == 0 && method == EVHTTP_REQ_POST) {
        on_report(f, req);
    } else if (strcmp(path, BASE "/artifacts") == 0 && method == EVHTTP_REQ_GET) {
        on_get_artifact(f, req, &query);
    } else if (strcmp(path, BASE "/artifacts") == 0 && method == EVHTTP_REQ_PUT) {
        on_put_artifact(f, req, &query);
    } else {
        answer(req, 400, "", 0);
    }
    evhttp_clear_headers(&query);
}

static struct bufferevent *new_tls_connection(struct event_base *base, void *arg)
{
    struct fixture *f = arg;
    return bufferevent_openssl_socket_new(
        base, -1, SSL_new(f->tls), BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
}

static void listen_on(struct fixture *f, int port)
{
    f->http = evhttp_new(f->base);
    if (f->tls != NULL) {
        evhttp_set_bevcb(f->http, new_tls_connection, f);
    }
    evhttp_set_gencb(f->http, on_request, f);
    evhttp_set_max_body_size(f->http, 64 << 20);
    struct evhttp_bound_socket *bound =
        evhttp_bind_socket_with_handle(f->http, "127.0.0.1", (unsigned short)port);
    assert_non_null(bound);
    struct sockaddr_in addr;
    socklen_t len = sizeof addr;
    getsockname(evhttp_bound_socket_get_fd(bound), (struct sockaddr *)&addr, &len);
    f->port = ntohs(addr.sin_port);
}

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof *f);
    struct err err = ERR_INIT;
    temp_dir_init(&f->dir);
    f->base = event_base_new();
    f->store = artifact_store_new(temp_path(&f->dir, "root"), &err);
    CLEANUP(cleanup_free) char *work = xasprintf("%s/work", f->dir.path);
    f->order = json_pack("{s:i,s:[s,s,s],s:{s:s},s:s,s:[],s:[],s:[],s:{},s:i,s:i}", "v", 1, "argv",
        "sh", "-c", "true", "env", "D", f->dir.path, "work_dir", work, "inputs", "outputs",
        "output_params", "transfer", "grace_s", 1, "report_deadline_s", 30);
    *state = f;
    return f->order != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    if (f->http != NULL) {
        evhttp_free(f->http);
    }
    event_base_free(f->base);
    SSL_CTX_free(f->tls);
    artifact_store_free(f->store);
    json_decref(f->order);
    json_decref(f->report);
    temp_dir_done(&f->dir);
    free(f);
    return 0;
}

static void set_script(struct fixture *f, const char *script)
{
    json_object_set_new(f->order, "argv", json_pack("[s,s,s]", "sh", "-c", script));
}

static void add_file(struct fixture *f, const char *list, const char *name, const char *rest)
{
    CLEANUP(cleanup_free) char *uri = xasprintf("%s%s", artifact_store_root(f->store), rest);
    CLEANUP(cleanup_free) char *path = xasprintf("%s/pod/%s", f->dir.path, name);
    json_array_append_new(json_object_get(f->order, list),
        json_pack("{s:s,s:s,s:s}", "name", name, "uri", uri, "path", path));
}

static void spawn_launcher(struct fixture *f, const char *host, const char *extra)
{
    CLEANUP(cleanup_free)
    char *url = xasprintf("%s://%s:%d" BASE, f->tls != NULL ? "https" : "http", host, f->port);
    f->pid = fork();
    if (f->pid == 0) {
        setenv("RONDO_TOKEN", "tok", 1);
        execl(LAUNCHER, LAUNCHER, "--url", url, "--token-env", "RONDO_TOKEN", extra,
            extra != NULL ? temp_path(&f->dir, "ca.pem") : NULL, NULL);
        _exit(99);
    }
}

/* Serves until the launcher ends; its exit code. */
static int serve(struct fixture *f)
{
    int status = -1;
    int64_t until = clock_mono_us() + 60 * US_PER_S;
    while (waitpid(f->pid, &status, WNOHANG) == 0) {
        event_base_loop(f->base, EVLOOP_NONBLOCK);
        usleep(500);
        if (clock_mono_us() > until) {
            kill(f->pid, SIGKILL);
            fail_msg("the launcher does not end");
        }
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int run(struct fixture *f)
{
    if (f->http == NULL) {
        listen_on(f, 0);
    }
    spawn_launcher(f, "127.0.0.1", NULL);
    return serve(f);
}

static void expect_state(const struct fixture *f, const char *state)
{
    assert_non_null(f->report);
    print_message("  %s %s\n", jget_str(f->report, "state", ""), jget_str(f->report, "reason", ""));
    assert_string_equal(jget_str(f->report, "state", ""), state);
}

static void test_plain(void **state)
{
    struct fixture *f = *state;
    set_script(f, "echo hi; env > $D/env; exit 3");
    assert_int_equal(run(f), 3);
    expect_state(f, "FAILED");
    assert_int_equal(jget_i64(f->report, "exit_code", 0), 3);
    assert_int_equal(f->orders, 1);
    assert_int_equal(f->runnings, 1);
    assert_int_equal(f->reports, 1);
    CLEANUP(cleanup_free) char *env = temp_read(&f->dir, "env");
    assert_null(strstr(env, "RONDO_TOKEN")); /* the step's program does not get it */
}

/* ---- a daemon that does not carry the run on ---- */

struct front {
    struct fixture *f;
    int port, asked;
    int to_itself; /* so many answers send the launcher in a circle */
};

static void on_front(struct evhttp_request *req, void *arg)
{
    struct front *front = arg;
    int port = front->to_itself-- > 0 ? front->port : front->f->port;
    CLEANUP(cleanup_free)
    char *location = xasprintf("http://127.0.0.1:%d%s", port, evhttp_request_get_uri(req));
    front->asked++;
    evhttp_add_header(evhttp_request_get_output_headers(req), "Location", location);
    answer(req, 307, "", 0);
}

static void test_redirect(void **state)
{
    struct fixture *f = *state;
    temp_write(&f->dir, "root/in/data", "what is read");
    add_file(f, "inputs", "data", "/in/data");
    set_script(f, "cat $D/pod/data > $D/seen");
    listen_on(f, 0);
    struct front front = {.f = f, .to_itself = 3};
    struct evhttp *http = evhttp_new(f->base);
    evhttp_set_gencb(http, on_front, &front);
    struct evhttp_bound_socket *bound = evhttp_bind_socket_with_handle(http, "127.0.0.1", 0);
    struct sockaddr_in addr;
    socklen_t len = sizeof addr;
    getsockname(evhttp_bound_socket_get_fd(bound), (struct sockaddr *)&addr, &len);
    front.port = ntohs(addr.sin_port);
    int owner = f->port;
    f->port = front.port;
    spawn_launcher(f, "127.0.0.1", NULL);
    f->port = owner;
    int code = serve(f);
    evhttp_free(http);
    assert_int_equal(code, 0);
    expect_state(f, "SUCCEEDED");
    CLEANUP(cleanup_free) char *seen = temp_read(&f->dir, "seen");
    assert_string_equal(seen, "what is read");
    assert_int_equal(f->bad_tokens, 0);
    assert_int_equal(f->orders, 1);
    assert_int_equal(f->reports, 1);
    assert_true(front.asked >= 6); /* order, running, list, data, report; and the circle */
}

static void test_artifacts(void **state)
{
    struct fixture *f = *state;
    enum { SIZE = 9 * 1024 * 1024 + 17 };
    CLEANUP(cleanup_free) char *big = xmalloc(SIZE + 1);
    for (size_t i = 0; i < SIZE; i++) {
        big[i] = (char)('a' + i * 7 % 26);
    }
    big[SIZE] = '\0';
    temp_write(&f->dir, "root/in/big", big);
    temp_write(&f->dir, "root/in/tree/a", "1");
    temp_write(&f->dir, "root/in/tree/s/b c", "22");
    temp_write(&f->dir, "root/in/empty", "");
    add_file(f, "inputs", "big", "/in/big");
    add_file(f, "inputs", "tree", "/in/tree");
    add_file(f, "inputs", "empty", "/in/empty");
    add_file(f, "inputs", "missing", "/in/missing");
    add_file(f, "outputs", "copy", "/out/copy");
    add_file(f, "outputs", "folder", "/out/folder");
    add_file(f, "outputs", "nothing", "/out/nothing");
    add_file(f, "outputs", "moved", "/out/moved");
    set_script(f, "cd $D/pod; test ! -e missing && cp big copy && cp -r tree folder && touch "
                  "folder/e && cat empty && echo -n moved > $D/elsewhere");
    json_object_set_new(f->order, "output_file", json_string(temp_path(&f->dir, "pod/out.json")));
    CLEANUP(cleanup_free)
    char *said = xasprintf("{\"artifacts\": {\"moved\": {\"artifacts\": [{\"custom_path\": "
                           "\"%s/elsewhere\"}]}}}",
        f->dir.path);
    temp_write(&f->dir, "pod/out.json", said);
    f->lose_part = 1; /* the daemon forgets once what it had */
    assert_int_equal(run(f), 0);
    expect_state(f, "SUCCEEDED");
    CLEANUP(cleanup_free) char *copy = temp_read(&f->dir, "root/out/copy");
    assert_int_equal(strlen(copy), SIZE);
    assert_int_equal(memcmp(copy, big, SIZE), 0);
    CLEANUP(cleanup_free) char *b = temp_read(&f->dir, "root/out/folder/s/b c");
    assert_string_equal(b, "22");
    assert_true(temp_exists(&f->dir, "root/out/folder/e"));
    CLEANUP(cleanup_free) char *moved = temp_read(&f->dir, "root/out/moved");
    assert_string_equal(moved, "moved");
    assert_false(temp_exists(&f->dir, "root/out/nothing"));
    const json_t *told = json_object_get(f->report, "artifacts");
    assert_false(jget_bool(json_object_get(told, "nothing"), "exists", true));
    assert_int_equal(jget_i64(json_object_get(told, "folder"), "size", -1), 3);
    assert_null(json_object_get(json_object_get(told, "folder"), "digest"));
    assert_int_equal(f->puts, 1 + 1 + 3 + 3 + 1);
}

static void test_store_refused(void **state)
{
    struct fixture *f = *state;
    add_file(f, "outputs", "m", "/out/m");
    set_script(f, "echo x > $D/pod/m");
    f->put_status = 413;
    assert_int_equal(run(f), 1);
    expect_state(f, "FAILED");
    assert_non_null(strstr(jget_str(f->report, "reason", ""), "no room"));
    assert_non_null(strstr(jget_str(f->report, "reason", ""), "output artifact 'm'"));
}

static void test_input_outside(void **state)
{
    struct fixture *f = *state;
    json_array_append_new(json_object_get(f->order, "inputs"),
        json_pack("{s:s,s:s,s:s}", "name", "x", "uri", "file:///etc/passwd", "path",
            temp_path(&f->dir, "pod/x")));
    assert_int_equal(run(f), 1);
    expect_state(f, "FAILED");
    assert_int_equal(f->runnings, 0);
}

/* Nobody else gets the port while nobody listens. */
static int hold_port(const struct fixture *f)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;
    struct sockaddr_in addr = {.sin_family = AF_INET,
        .sin_port = htons((uint16_t)f->port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof addr), 0);
    return fd;
}

static void test_daemon_away_at_first(void **state)
{
    struct fixture *f = *state;
    f->fail_order = 1;
    f->fail_report = 1;
    listen_on(f, 0);
    evhttp_free(f->http); /* nobody listens */
    f->http = NULL;
    int held = hold_port(f);
    spawn_launcher(f, "127.0.0.1", NULL);
    usleep(300000);
    listen_on(f, f->port);
    close(held);
    assert_int_equal(serve(f), 0);
    expect_state(f, "SUCCEEDED");
    assert_int_equal(f->orders, 2);
    assert_int_equal(f->reports, 2);
}

static void test_daemon_away_at_the_end(void **state)
{
    struct fixture *f = *state;
    set_script(f, "touch $D/up; sleep 0.5");
    listen_on(f, 0);
    spawn_launcher(f, "127.0.0.1", NULL);
    while (!temp_exists(&f->dir, "up")) {
        event_base_loop(f->base, EVLOOP_NONBLOCK);
        usleep(500);
    }
    evhttp_free(f->http);
    int held = hold_port(f);
    usleep(900000);
    listen_on(f, f->port);
    close(held);
    assert_int_equal(serve(f), 0);
    expect_state(f, "SUCCEEDED");
}

static void test_deadline(void **state)
{
    struct fixture *f = *state;
    json_object_set_new(f->order, "report_deadline_s", json_integer(3));
    f->fail_report = 1000;
    assert_int_equal(run(f), 125);
    assert_true(f->reports >= 2);
}

static void test_attempt_is_over(void **state)
{
    struct fixture *f = *state;
    static const int statuses[] = {404, 409, 410};
    for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
        f->order_status = statuses[i];
        set_script(f, "touch $D/ran");
        assert_int_equal(run(f), 0);
        assert_int_equal(f->reports, 0);
        assert_false(temp_exists(&f->dir, "ran"));
    }
    f->order_status = 0;
    f->report_status = 410;
    assert_int_equal(run(f), 0);
    assert_int_equal(f->reports, 1);
}

static void test_bad_token(void **state)
{
    struct fixture *f = *state;
    listen_on(f, 0);
    temp_write(&f->dir, "token", "wrong\n");
    CLEANUP(cleanup_free)
    char *command = xasprintf("%s --url http://127.0.0.1:%d" BASE " --token-file %s/token 2> "
                              "%s/err; echo $? > %s/code",
        LAUNCHER, f->port, f->dir.path, f->dir.path, f->dir.path);
    f->pid = fork();
    if (f->pid == 0) {
        execl("/bin/sh", "sh", "-c", command, NULL);
    }
    serve(f);
    CLEANUP(cleanup_free) char *code = temp_read(&f->dir, "code");
    assert_string_equal(code, "125\n");
    assert_int_equal(f->bad_tokens, 1); /* not tried again */
}

static void test_bad_order_is_reported(void **state)
{
    struct fixture *f = *state;
    json_object_set_new(f->order, "v", json_integer(9));
    assert_int_equal(run(f), 1);
    expect_state(f, "FAILED");
}

static void test_stopped(void **state)
{
    struct fixture *f = *state;
    set_script(f, "touch $D/up; sleep 60");
    listen_on(f, 0);
    spawn_launcher(f, "127.0.0.1", NULL);
    while (!temp_exists(&f->dir, "up")) {
        event_base_loop(f->base, EVLOOP_NONBLOCK);
        usleep(500);
    }
    kill(f->pid, SIGTERM);
    assert_int_equal(serve(f), 143);
    expect_state(f, "CANCELED");
}

/* --- TLS --- */

static void add_extension(X509 *cert, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    X509_add_ext(cert, ext, -1);
    X509_EXTENSION_free(ext);
}

/* A self-signed certificate for 127.0.0.1, written to ca.pem. */
static void make_tls(struct fixture *f)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_set_version(cert, 2);
    X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_set_pubkey(cert, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
        (const unsigned char *)"rondo test", -1, -1, 0);
    X509_set_issuer_name(cert, X509_get_subject_name(cert));
    add_extension(cert, NID_subject_alt_name, "IP:127.0.0.1");
    add_extension(cert, NID_basic_constraints, "critical,CA:TRUE");
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    FILE *file = fopen(temp_path(&f->dir, "ca.pem"), "w");
    PEM_write_X509(file, cert);
    fclose(file);
    f->tls = SSL_CTX_new(TLS_server_method());
    assert_int_equal(SSL_CTX_use_certificate(f->tls, cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(f->tls, key), 1);
    X509_free(cert);
    EVP_PKEY_free(key);
}

static void test_tls(void **state)
{
    struct fixture *f = *state;
    make_tls(f);
    listen_on(f, 0);
    temp_write(&f->dir, "root/in/x", "over TLS");
    add_file(f, "inputs", "x", "/in/x");
    add_file(f, "outputs", "y", "/out/y");
    set_script(f, "cp $D/pod/x $D/pod/y");
    spawn_launcher(f, "127.0.0.1", "--ca-file");
    assert_int_equal(serve(f), 0);
    expect_state(f, "SUCCEEDED");
    CLEANUP(cleanup_free) char *y = temp_read(&f->dir, "root/out/y");
    assert_string_equal(y, "over TLS");
}

/* Whether the launcher would notice being told to end. */
static bool heeds_sigterm(const struct fixture *f)
{
    char path[64], line[128];
    snprintf(path, sizeof path, "/proc/%d/status", (int)f->pid);
    FILE *file = fopen(path, "r");
    unsigned long long blocked = 0;
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "SigBlk:", 7) == 0) { /* it is read, not caught */
            blocked = strtoull(line + 7, NULL, 16);
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return (blocked & (1ULL << (SIGTERM - 1))) != 0;
}

/* Waits a little, then stops the launcher that keeps trying. */
static void expect_no_order(struct fixture *f)
{
    int64_t until = clock_mono_us() + 60 * US_PER_S;
    while (!heeds_sigterm(f) && clock_mono_us() < until) {
        event_base_loop(f->base, EVLOOP_NONBLOCK);
        usleep(500);
    }
    until = clock_mono_us() + US_PER_S;
    while (clock_mono_us() < until) {
        event_base_loop(f->base, EVLOOP_NONBLOCK);
        usleep(500);
    }
    kill(f->pid, SIGTERM);
    assert_int_equal(serve(f), 125);
    assert_int_equal(f->orders, 0);
}

static void test_tls_not_trusted(void **state)
{
    struct fixture *f = *state;
    make_tls(f);
    listen_on(f, 0);
    spawn_launcher(f, "127.0.0.1", NULL); /* not signed by anybody it knows */
    expect_no_order(f);
    spawn_launcher(f, "localhost", "--ca-file"); /* another name than the certificate's */
    expect_no_order(f);
}

int main(void)
{
    /* The launcher may hang up while this daemon still writes; loop_new would do the same. */
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &ignore, NULL);
#define ROW(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        ROW(test_plain),
        ROW(test_redirect),
        ROW(test_artifacts),
        ROW(test_store_refused),
        ROW(test_input_outside),
        ROW(test_daemon_away_at_first),
        ROW(test_daemon_away_at_the_end),
        ROW(test_deadline),
        ROW(test_attempt_is_over),
        ROW(test_bad_token),
        ROW(test_bad_order_is_reported),
        ROW(test_stopped),
        ROW(test_tls),
        ROW(test_tls_not_trusted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
