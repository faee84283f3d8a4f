/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rondo-launcher: runs one attempt of a step. Takes its work order from a file or over HTTP, has
 * the inputs there, runs the command, stores the outputs, reports. See include/scheduler/order.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/proc.h"
#include "base/util.h"
#include "launch/collect.h"
#include "launch/command.h"
#include "launch/files.h"
#include "launch/mount.h"
#include "launch/order.h"
#include "launch/output.h"
#include "launch/self.h"
#include "launch/transfer.h"
#include "launch/tree.h"
#include "launch/venv.h"
#include "scheduler/order.h"

#define ORDER_DEADLINE_US (600 * US_PER_S)
/* A stopped pod is killed soon: no use in trying for long. */
#define STOPPED_REPORT_US (20 * US_PER_S)
#define FIRST_REPORT_US (86400 * US_PER_S)
enum { REPORT_PAUSE_MS = 250, REPORT_PAUSE_MAX_MS = 10000 };

extern char **environ;

struct flags {
    const char *order, *report, *url, *token_env, *token_file, *ca_file, *copy_to, *remove;
    bool can_mount;
    int lock_fd;
};

struct launch {
    const struct flags *flags;
    struct signals signals;
    struct output output;
    struct order order;
    bool has_order;
    struct transfer *control; /* order and report; NULL when they are files */
    struct transfer *data;    /* artifacts; NULL when they are files; may be == control */
    int64_t started_us, deadline_us;
    struct command_result result;
    struct collected collected;
    struct file_marks *marks;
};

static void fail(struct launch *l, const char *reason)
{
    l->result.end = l->signals.is_stopped ? COMMAND_END_STOPPED : COMMAND_END_NOT_STARTED;
    l->result.exit_code = -1;
    snprintf(l->result.reason, sizeof l->result.reason, "%s", reason);
}

/* --- before the command --- */

/* The token is not left in the environment: the command inherits it. */
static int read_token(const struct flags *flags, char **out, struct err *err)
{
    if (flags->token_file != NULL) {
        char *text = file_read(flags->token_file, 4096, NULL, err);
        if (text == NULL) {
            return err_wrap(err, "--token-file");
        }
        text[strcspn(text, "\r\n")] = '\0';
        *out = text;
        return 0;
    }
    const char *value = flags->token_env != NULL ? getenv(flags->token_env) : NULL;
    if (value == NULL || value[0] == '\0') {
        return err_set(err, ERR_INVALID,
            "--url needs --token-file, or --token-env with a variable "
            "that is set");
    }
    *out = xstrdup(value);
    unsetenv(flags->token_env);
    return 0;
}

/* -1: nothing to report to, or nothing to do. */
static int get_order(struct launch *l, struct err *err)
{
    CLEANUP(cleanup_free) char *text = NULL;
    size_t len = 0;
    if (l->flags->url != NULL) {
        CLEANUP(cleanup_free) char *token = NULL;
        if (read_token(l->flags, &token, err) != 0) {
            return -1;
        }
        l->control = transfer_new(l->flags->url, token, l->flags->ca_file, &l->signals, err);
        if (l->control == NULL) {
            return -1;
        }
        transfer_set_output(l->control, &l->output);
        transfer_set_deadline(l->control, clock_mono_us() + ORDER_DEADLINE_US);
        text = transfer_get_order(l->control, &len, err);
    } else {
        text = file_read(l->flags->order, ORDER_MAX_BYTES, &len, err);
    }
    if (text == NULL) {
        return err_wrap(err, "work order");
    }
    if (order_parse(text, len, environ, &l->order, err) != 0) {
        fail(l, err->msg);
        return 0;
    }
    l->has_order = true;
    return 0;
}

static int make_folders(const struct order *o, struct err *err)
{
    int rc = o->work_dir[0] != '\0' ? dir_make(o->work_dir, 0755, err) : 0;
    for (size_t i = 0; rc == 0 && i < o->make_dirs_len; i++) {
        rc = dir_make(o->make_dirs[i], 0755, err);
    }
    for (size_t i = 0; rc == 0 && i < o->outputs_len; i++) {
        rc = tree_make_parents(o->outputs[i].path, err);
    }
    for (size_t i = 0; rc == 0 && i < o->params_len; i++) {
        rc = tree_make_parents(o->params[i].path, err);
    }
    if (rc == 0 && o->output_file != NULL) {
        rc = tree_make_parents(o->output_file, err);
    }
    return rc;
}

/* Until when may artifacts and the report be tried? */
static void renew_deadlines(struct launch *l, bool is_before_command)
{
    int64_t until = clock_mono_us() + l->order.report_deadline_s * US_PER_S;
    if (is_before_command && l->deadline_us > 0 && l->deadline_us < until) {
        until = l->deadline_us;
    }
    if (l->control != NULL) {
        transfer_set_deadline(l->control, until);
    }
    if (l->data != NULL) {
        transfer_set_deadline(l->data, until);
    }
}

static int open_data(struct launch *l, struct err *err)
{
    const struct order *o = &l->order;
    if (!o->transfer) {
        return 0;
    }
    if (o->transfer_url == NULL && l->control != NULL) {
        l->data = l->control;
        return 0;
    }
    if (o->transfer_url == NULL || o->transfer_token == NULL) {
        return err_set(err, ERR_INVALID, "work order: transfer needs url and token");
    }
    l->data = transfer_new(o->transfer_url, o->transfer_token, l->flags->ca_file, &l->signals, err);
    if (l->data == NULL) {
        return -1;
    }
    transfer_set_output(l->data, &l->output);
    return 0;
}

/*
 * What lies outside the daemon's store is not an error: some programs only want the URI. Of what is
 * in it nothing need be said, an artifact may be all metadata.
 */
static int fetch_inputs(struct launch *l, struct err *err)
{
    const struct order *o = &l->order;
    for (size_t i = 0; i < o->inputs_len; i++) {
        const struct order_file *in = &o->inputs[i];
        if (l->data != NULL && transfer_fetch(l->data, in->uri, in->path, err) != 0) {
            return err_wrap(err, "input artifact '%s'", in->name);
        }
        if (!str_starts(in->uri, "file://") && access(in->path, F_OK) != 0) {
            output_note(&l->output,
                "input artifact '%s' (%s) was not fetched: rondo's artifact store has nothing there",
                in->name, in->uri);
        }
    }
    return 0;
}

static int prepare(struct launch *l, struct err *err)
{
    const struct order *o = &l->order;
    if (o->trouble != NULL) {
        return err_set(err, ERR_NOT_FOUND, "%s", o->trouble);
    }
    secrets_check(o, &l->output);
    if (mounts_prepare(o, &l->output, err) != 0 || open_data(l, err) != 0 ||
        make_folders(o, err) != 0) {
        return -1;
    }
    renew_deadlines(l, true);
    return fetch_inputs(l, err) != 0 ? -1 : files_prepare(o, &l->marks, err);
}

/* --- the command --- */

static void run_command(struct launch *l)
{
    const struct order *o = &l->order;
    struct command c = {
        .argv = o->argv,
        .env = o->env,
        .cwd = o->work_dir,
        .deadline_us = l->deadline_us,
        .grace_us = o->grace_s * US_PER_S,
        .signals = &l->signals,
        .output = &l->output,
    };
    struct venv venv;
    if (venv_prepare(o, &c, &venv, &l->result) == 0) {
        c.argv = o->argv + venv.skip;
        c.env = venv.env != NULL ? venv.env : o->env;
        if (l->control != NULL) {
            transfer_post_running(l->control);
        }
        command_run(&c, &l->result);
    }
    venv_done(&venv);
}

static void do_order(struct launch *l)
{
    struct err err = ERR_INIT;
    if (l->order.timeout_s > 0) {
        l->deadline_us = clock_mono_us() + l->order.timeout_s * US_PER_S;
    }
    if (prepare(l, &err) != 0) {
        fail(l, err.msg);
        if (l->deadline_us > 0 && clock_mono_us() >= l->deadline_us && !l->signals.is_stopped) {
            l->result.end = COMMAND_END_TIMED_OUT;
        }
    } else {
        run_command(l);
    }
    if (l->result.end == COMMAND_END_TIMED_OUT) {
        snprintf(l->result.reason, sizeof l->result.reason, "it ran longer than %lld s",
            (long long)l->order.timeout_s);
    }
    if (l->result.end != COMMAND_END_EXITED || l->result.exit_code != 0) {
        return;
    }
    renew_deadlines(l, false);
    if (files_take(&l->order, l->marks, l->flags->url != NULL, &l->output, &err) != 0 ||
        collect(&l->order, l->data, &l->output, &l->collected, &err) != 0) {
        l->result.end =
            err.code == ERR_PRECONDITION ? COMMAND_END_STOPPED : COMMAND_END_NOT_STARTED;
        snprintf(l->result.reason, sizeof l->result.reason, "%s", err.msg);
    }
}

/* --- the report --- */

static const char *state_name(const struct command_result *r)
{
    switch (r->end) {
    case COMMAND_END_EXITED:
        return r->exit_code == 0 ? "SUCCEEDED" : "FAILED";
    case COMMAND_END_NOT_STARTED:
        return "FAILED";
    case COMMAND_END_STOPPED:
        return "CANCELED";
    case COMMAND_END_TIMED_OUT:
        return "TIMED_OUT";
    }
    return "FAILED";
}

/* Reasons hold names from outside; what is not UTF-8 in them must not cost the report. */
static json_t *text_json(const char *text)
{
    json_t *value = json_string(text);
    return value != NULL ? value : json_string("(not UTF-8 text)");
}

static char *make_report(struct launch *l)
{
    CLEANUP(cleanup_free) char *tail = output_tail(&l->output);
    struct collected *c = &l->collected;
    json_t *report = json_object();
    json_object_set_new(report, "v", json_integer(REPORT_VERSION));
    json_object_set_new(report, "state", json_string(state_name(&l->result)));
    json_object_set_new(report, "exit_code", json_integer(l->result.exit_code));
    json_object_set_new(report, "reason", text_json(l->result.reason));
    json_object_set_new(report, "started_us", json_integer(l->started_us));
    json_object_set_new(report, "ended_us", json_integer(clock_now_us()));
    json_object_set(report, "output_file", c->output_file != NULL ? c->output_file : json_null());
    json_object_set_new(
        report, "params", c->params != NULL ? json_incref(c->params) : json_object());
    json_object_set_new(
        report, "artifacts", c->artifacts != NULL ? json_incref(c->artifacts) : json_object());
    json_object_set_new(report, "log_tail", text_json(tail));
    char *text = jtext(report);
    json_decref(report);
    return text;
}

/* A few words for whoever looks at the pod. */
static void write_verdict(const struct launch *l)
{
    int fd = open("/dev/termination-log", O_WRONLY | O_TRUNC | O_CLOEXEC);
    if (fd < 0) {
        return;
    }
    json_t *verdict = json_object();
    json_object_set_new(verdict, "v", json_integer(REPORT_VERSION));
    json_object_set_new(verdict, "state", json_string(state_name(&l->result)));
    json_object_set_new(verdict, "exit_code", json_integer(l->result.exit_code));
    json_object_set_new(verdict, "reason", text_json(l->result.reason));
    CLEANUP(cleanup_free) char *text = jtext(verdict);
    json_decref(verdict);
    if (write(fd, text, strlen(text)) < 0) {
        fprintf(stderr, "rondo: the termination message cannot be written: %s\n", strerror(errno));
    }
    close(fd);
}

/*
 * By rename, but not synced: that would double what a short step costs. A power cut that eats the
 * report makes the attempt a lost one, to be run again, like those that it interrupted.
 */
static int write_report(const char *path, const char *text, struct err *err)
{
    CLEANUP(cleanup_free) char *tmp = xasprintf("%s.tmp", path);
    CLEANUP(cleanup_fd) int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    size_t len = strlen(text);
    for (size_t done = 0; fd >= 0 && done < len;) {
        ssize_t n = write(fd, text + done, len - done);
        if (n < 0 && errno != EINTR) {
            return err_errno(err, errno, "%s", tmp);
        }
        done += n > 0 ? (size_t)n : 0;
    }
    if (fd < 0 || rename(tmp, path) != 0) {
        return err_errno(err, errno, "%s", fd < 0 ? tmp : path);
    }
    return 0;
}

static void cleanup(const struct order *o)
{
    for (size_t i = 0; i < o->cleanup_len; i++) {
        tree_remove(o->cleanup[i]);
    }
}

/*
 * While the disk is full we wait: without its report the step would be run again. Its own files,
 * which nobody needs any more, may be what fills it.
 */
static int store_report(struct launch *l, const char *text, struct err *err)
{
    int64_t until_us = clock_mono_us() + l->order.report_deadline_s * US_PER_S;
    int pause_ms = REPORT_PAUSE_MS;
    while (write_report(l->flags->report, text, err) != 0) {
        bool is_gone = err->code == ERR_NOT_FOUND; /* the folder: nobody will look for it */
        if (is_gone || l->signals.is_stopped || clock_mono_us() >= until_us) {
            return -1;
        }
        if (pause_ms == REPORT_PAUSE_MS && l->has_order) {
            cleanup(&l->order);
        }
        (void)signals_wait(&l->signals, pause_ms);
        pause_ms = pause_ms * 2 < REPORT_PAUSE_MAX_MS ? pause_ms * 2 : REPORT_PAUSE_MAX_MS;
    }
    return 0;
}

static int deliver(struct launch *l, struct err *err)
{
    CLEANUP(cleanup_free) char *text = make_report(l);
    size_t len = strlen(text);
    if (len > REPORT_MAX_BYTES) {
        l->result.end = COMMAND_END_NOT_STARTED;
        snprintf(l->result.reason, sizeof l->result.reason,
            "its outputs make a report of %zu bytes and the limit is %u; use artifacts", len,
            REPORT_MAX_BYTES);
        collected_done(&l->collected);
        free(text);
        text = make_report(l);
    }
    /* After the report, whose log tail is the program's own words. */
    if (l->result.reason[0] != '\0') {
        output_note(&l->output, "%s", l->result.reason);
    }
    if (l->flags->url == NULL) {
        return store_report(l, text, err);
    }
    write_verdict(l);
    int64_t patience = !l->has_order ? FIRST_REPORT_US : l->order.report_deadline_s * US_PER_S;
    if (l->signals.is_stopped) {
        patience = STOPPED_REPORT_US;
    }
    transfer_set_deadline(l->control, clock_mono_us() + patience);
    if (transfer_post_report(l->control, text, strlen(text), err) == 0) {
        return 0;
    }
    if (err->code == ERR_NOT_FOUND) {
        return 0; /* over: somebody decided without us */
    }
    return -1;
}

/* The daemon finds the owner of a held lock by what is written in it. */
static int take_lock(int lock_fd)
{
    char identity[PROC_IDENTITY_MAX];
    if (lock_fd < 0) {
        return 0;
    }
    if (!proc_identity(getpid(), identity)) {
        snprintf(identity, sizeof identity, "%d ? ?", (int)getpid());
    }
    size_t len = strlen(identity);
    return pwrite(lock_fd, identity, len, 0) == (ssize_t)len ? 0 : -1;
}

static int launch(const struct flags *flags)
{
    struct launch l = {.flags = flags, .started_us = clock_now_us()};
    struct err err = ERR_INIT;
    if (take_lock(flags->lock_fd) != 0 || signals_init(&l.signals) != 0) {
        fprintf(stderr, "rondo-launcher: cannot begin: %s\n", strerror(errno));
        return 125;
    }
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    output_init(&l.output, STDOUT_FILENO, 0, 8192);
    int exit_code = 0;
    if (get_order(&l, &err) != 0) {
        fprintf(stderr, "rondo-launcher: %s\n", err.msg);
        /* Over HTTP: the attempt is over, and that is nobody's mistake. */
        exit_code = flags->url != NULL && err.code == ERR_NOT_FOUND ? 0 : 125;
    } else {
        if (l.has_order) {
            output_done(&l.output);
            output_init(
                &l.output, STDOUT_FILENO, l.order.log_max_bytes, (size_t)l.order.log_tail_bytes);
            do_order(&l);
        }
        bool is_good = l.result.end == COMMAND_END_EXITED && l.result.exit_code == 0;
        exit_code = is_good ? 0 : l.result.exit_code > 0 ? l.result.exit_code : 1;
        if (deliver(&l, &err) != 0) {
            fprintf(stderr, "rondo-launcher: the report cannot be delivered: %s\n", err.msg);
            exit_code = 125;
        } else if (l.has_order) {
            cleanup(&l.order);
        }
    }
    collected_done(&l.collected);
    file_marks_free(l.marks);
    if (l.data != l.control) {
        transfer_free(l.data);
    }
    transfer_free(l.control);
    order_done(&l.order);
    output_done(&l.output);
    return exit_code;
}

/* --- command line --- */

static const char usage[] =
    "rondo-launcher " RONDO_VERSION " - runs one attempt of a pipeline step for rondod\n\n"
    "usage: rondo-launcher --order FILE --report FILE [--lock-fd N]\n"
    "       rondo-launcher --url URL (--token-env NAME | --token-file FILE) [--ca-file FILE]\n"
    "       rondo-launcher --copy-to PATH | --remove PATH\n"
    "       rondo-launcher --can-mount          exit code 0 if folders can be mounted for steps\n"
    "       rondo-launcher --version | --help\n";

static const struct option options[] = {
    {"order", required_argument, NULL, 'o'},
    {"report", required_argument, NULL, 'r'},
    {"lock-fd", required_argument, NULL, 'l'},
    {"url", required_argument, NULL, 'u'},
    {"token-env", required_argument, NULL, 'e'},
    {"token-file", required_argument, NULL, 'f'},
    {"ca-file", required_argument, NULL, 'c'},
    {"copy-to", required_argument, NULL, 'p'},
    {"remove", required_argument, NULL, 'd'},
    {"can-mount", no_argument, NULL, 'm'},
    {"version", no_argument, NULL, 'v'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static int read_lock_fd(const char *text, int *out)
{
    int64_t fd;
    struct err err;
    if (parse_i64(text, 3, 1 << 20, "--lock-fd", &fd, &err) != 0) {
        fprintf(stderr, "rondo-launcher: %s\n", err.msg);
        return -1;
    }
    *out = (int)fd;
    return 0;
}

/* -1: go on; else the exit code. */
static int read_flags(int argc, char **argv, struct flags *f)
{
    for (;;) {
        switch (getopt_long(argc, argv, "", options, NULL)) {
        case -1:
            if (optind == argc && (f->copy_to != NULL || f->remove != NULL || f->can_mount ||
                                      (f->url != NULL && f->order == NULL) ||
                                      (f->order != NULL && f->report != NULL && f->url == NULL))) {
                return -1;
            }
            fputs(usage, stderr);
            return 2;
        case 'o':
            f->order = optarg;
            break;
        case 'r':
            f->report = optarg;
            break;
        case 'l':
            if (read_lock_fd(optarg, &f->lock_fd) != 0) {
                return 2;
            }
            break;
        case 'u':
            f->url = optarg;
            break;
        case 'e':
            f->token_env = optarg;
            break;
        case 'f':
            f->token_file = optarg;
            break;
        case 'c':
            f->ca_file = optarg;
            break;
        case 'p':
            f->copy_to = optarg;
            break;
        case 'd':
            f->remove = optarg;
            break;
        case 'm':
            f->can_mount = true;
            break;
        case 'v':
            puts("rondo-launcher " RONDO_VERSION);
            return 0;
        case 'h':
            fputs(usage, stdout);
            return 0;
        default:
            fputs(usage, stderr);
            return 2;
        }
    }
}

int main(int argc, char **argv)
{
    struct flags flags = {.lock_fd = -1};
    int code = read_flags(argc, argv, &flags);
    if (code >= 0) {
        return code;
    }
    if (flags.copy_to != NULL) {
        struct err err = ERR_INIT;
        if (self_copy(argv[0], flags.copy_to, &err) != 0) {
            fprintf(stderr, "rondo-launcher: %s\n", err.msg);
            return 1;
        }
        return 0;
    }
    if (flags.can_mount) {
        return mounts_are_possible() ? 0 : 1;
    }
    if (flags.remove != NULL) {
        tree_remove(flags.remove);
        return access(flags.remove, F_OK) == 0 ? 1 : 0;
    }
    return launch(&flags);
}
