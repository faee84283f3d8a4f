/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The launcher as a program: in an empty root file system, copying itself, its flags, custom
 * artifact paths, Python environments.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/util.h"
#include "tests/support/temp_dir.h"

struct fixture {
    struct temp_dir dir;
    json_t *order, *report;
};

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof *f);
    temp_dir_init(&f->dir);
    f->order = json_pack("{s:i,s:[],s:{s:s},s:[],s:[],s:[],s:b}", "v", 1, "argv", "env", "D",
        f->dir.path, "inputs", "outputs", "output_params", "transfer", 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    json_decref(f->order);
    json_decref(f->report);
    temp_dir_done(&f->dir);
    free(f);
    return 0;
}

static int sh(const char *command)
{
    int status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static const char *state_of(const struct fixture *f)
{
    return jget_str(f->report, "state", "");
}

/* Runs the launcher by `command`, a format with the folder as its only argument. */
static int run_order(struct fixture *f, const char *before, const char *launcher, const char *dir)
{
    CLEANUP(cleanup_free) char *text = jtext(f->order);
    temp_write(&f->dir, "order.json", text);
    unlink(temp_path(&f->dir, "report.json"));
    CLEANUP(cleanup_free)
    char *command = xasprintf("%s %s --order %s/order.json --report %s/report.json > %s/log 2>&1",
        before, launcher, dir, dir, f->dir.path);
    int code = sh(command);
    struct err err;
    json_decref(f->report);
    f->report = NULL;
    CLEANUP(cleanup_free) char *report = temp_read(&f->dir, "report.json");
    if (report != NULL) {
        f->report = jread_text(report, strlen(report), "report", &err);
    }
    CLEANUP(cleanup_free) char *log = temp_read(&f->dir, "log");
    print_message("  exit %d, %s %s\n%s", code, state_of(f), jget_str(f->report, "reason", ""),
        log != NULL ? log : "");
    return code;
}

static void set_script(struct fixture *f, const char *script)
{
    json_object_set_new(f->order, "argv", json_pack("[s,s,s]", "sh", "-c", script));
}

static void test_empty_root(void **state)
{
    struct fixture *f = *state;
    if (geteuid() != 0) {
        print_message("  needs root for chroot: skipped\n");
        skip();
    }
    CLEANUP(cleanup_free) char *copy = xasprintf("cp %s %s/l", LAUNCHER, f->dir.path);
    assert_int_equal(sh(copy), 0);
    CLEANUP(cleanup_free) char *before = xasprintf("/usr/sbin/chroot %s", f->dir.path);
    json_object_set_new(f->order, "argv", json_pack("[s,s]", "/l", "--version"));
    json_object_set_new(f->order, "work_dir", json_string("/work/here"));
    json_array_append_new(json_object_get(f->order, "output_params"),
        json_pack("{s:s,s:s}", "name", "x", "path", "/out/params/x"));
    assert_int_equal(run_order(f, before, "/l", ""), 0);
    assert_string_equal(state_of(f), "SUCCEEDED");
    assert_int_equal(
        strncmp(jget_str(f->report, "log_tail", ""), "rondo-launcher ", strlen("rondo-launcher ")),
        0);
    assert_true(temp_exists(&f->dir, "out/params"));
    json_object_set_new(f->order, "argv", json_pack("[s]", "sh"));
    assert_int_equal(run_order(f, before, "/l", ""), 127);
    /* A bare name server address resolves nothing and there is nobody: it ends in good order. */
    CLEANUP(cleanup_free)
    char *http = xasprintf("%s /bin/true 2>/dev/null; timeout -s TERM 60 %s /l --url "
                           "http://127.0.0.1:1/x --token-file /token 2> %s/err & "
                           "until grep -q 'work order' %s/err; do sleep 0.1; "
                           "kill -0 $! || break; done; kill $!; wait $!",
        before, before, f->dir.path, f->dir.path);
    temp_write(&f->dir, "token", "t");
    sh(http);
    CLEANUP(cleanup_free) char *err = temp_read(&f->dir, "err");
    assert_non_null(strstr(err, "work order"));
}

static void test_copy(void **state)
{
    struct fixture *f = *state;
    CLEANUP(cleanup_free)
    char *to_folder = xasprintf("mkdir %s/to && %s --copy-to %s/to && %s/to/rondo-launcher "
                                "--version > %s/v",
        f->dir.path, LAUNCHER, f->dir.path, f->dir.path, f->dir.path);
    assert_int_equal(sh(to_folder), 0);
    CLEANUP(cleanup_free)
    char *to_file = xasprintf("%s/to/rondo-launcher --copy-to %s/to/launch && cmp %s %s/to/launch",
        f->dir.path, f->dir.path, LAUNCHER, f->dir.path);
    assert_int_equal(sh(to_file), 0);
    /* Again over it, as an init container that is restarted. */
    assert_int_equal(sh(to_file), 0);
    struct stat st;
    assert_int_equal(stat(temp_path(&f->dir, "to/launch"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0755);
    if (access("/etc/ssl/certs/ca-certificates.crt", R_OK) == 0) {
        assert_true(temp_exists(&f->dir, "to/launch-ca.crt"));
    }
    CLEANUP(cleanup_free) char *bad = xasprintf("%s --copy-to /dev/null/x 2> /dev/null", LAUNCHER);
    assert_int_equal(sh(bad), 1);
}

static void test_flags(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *name, *flags;
        int code;
    } rows[] = {
        {"version", "--version", 0},
        {"help", "--help", 0},
        {"nothing", "", 2},
        {"order alone", "--order x", 2},
        {"both transports", "--order x --report y --url http://x", 2},
        {"unknown", "--nope", 2},
        {"left over", "--order x --report y z", 2},
        {"bad lock", "--order x --report y --lock-fd 1", 2},
        {"no such order", "--order /no/such --report /tmp/none", 125},
        {"no token", "--url http://127.0.0.1:1", 125},
        {"no URL", "--url nonsense --token-env HOME", 125},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        print_message("  %s\n", rows[i].name);
        CLEANUP(cleanup_free)
        char *command = xasprintf("%s %s > %s/out 2>&1", LAUNCHER, rows[i].flags, f->dir.path);
        assert_int_equal(sh(command), rows[i].code);
    }
}

static void add_output(struct fixture *f, const char *name)
{
    CLEANUP(cleanup_free) char *path = xasprintf("%s/root/%s", f->dir.path, name);
    CLEANUP(cleanup_free) char *uri = xasprintf("file://%s", path);
    json_array_append_new(json_object_get(f->order, "outputs"),
        json_pack("{s:s,s:s,s:s}", "name", name, "uri", uri, "path", path));
}

static void test_artifact_places(void **state)
{
    struct fixture *f = *state;
    CLEANUP(cleanup_free) char *root = xasprintf("%s/root", f->dir.path);
    CLEANUP(cleanup_free) char *root_uri = xasprintf("file://%s/root", f->dir.path);
    json_object_set_new(
        f->order, "artifact_root", json_pack("{s:s,s:s}", "uri", root_uri, "path", root));
    json_object_set_new(f->order, "output_file", json_string(temp_path(&f->dir, "out.json")));
    static const struct {
        const char *name, *said; /* $D is the folder */
        const char *uri;         /* NULL: its own */
        bool exists, is_copied;
    } rows[] = {
        {"plain", NULL, NULL, true, false},
        {"same_path", "\"uri\": \"$D/root/same_path\"", NULL, true, false},
        {"custom", "\"custom_path\": \"$D/else/c\"", NULL, true, true},
        {"custom_nan", "\"metadata\": {\"a\": NaN}, \"custom_path\": \"$D/else/c\"", NULL, true,
            true},
        {"custom_camel", "\"customPath\": \"$D/else/c\"", NULL, true, true},
        {"custom_folder", "\"custom_path\": \"$D/else\"", NULL, true, true},
        {"below_root", "\"uri\": \"$D/root/a b/x\"", "file://$D/root/a%20b/x", true, false},
        {"outside", "\"uri\": \"$D/else/c\"", NULL, true, true},
        {"escapes", "\"uri\": \"$D/root/../else/c\"", NULL, true, true},
        {"remote", "\"uri\": \"gs://bucket/x\"", "gs://bucket/x", false, false},
        {"missing", "\"custom_path\": \"$D/none\"", NULL, false, false},
    };
    CLEANUP(cleanup_free) char *said = xstrdup("{\"artifacts\": {");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        add_output(f, rows[i].name);
        if (rows[i].said != NULL) {
            char *more = xasprintf("%s%s\"%s\": {\"artifacts\": [{%s}]}", said,
                said[strlen(said) - 1] == '{' ? "" : ", ", rows[i].name, rows[i].said);
            free(said);
            said = more;
        }
    }
    CLEANUP(cleanup_free)
    char *script = xasprintf("mkdir -p $D/else \"$D/root/a b\"; echo c > $D/else/c; echo p > "
                             "$D/root/plain; echo s > $D/root/same_path; echo b > \"$D/root/a "
                             "b/x\"; cat > $D/out.json <<END\n%s}}\nEND\n",
        said);
    set_script(f, script);
    assert_int_equal(run_order(f, "", LAUNCHER, f->dir.path), 0);
    const json_t *artifacts = json_object_get(f->report, "artifacts");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        print_message("  %s\n", rows[i].name);
        const json_t *a = json_object_get(artifacts, rows[i].name);
        CLEANUP(cleanup_free)
        char *own = xasprintf("file://%s/root/%s", f->dir.path, rows[i].name);
        CLEANUP(cleanup_free)
        char *below = xasprintf("file://%s/root/a%%20b/x", f->dir.path);
        const char *want = rows[i].uri == NULL             ? own
                           : str_starts(rows[i].uri, "gs") ? rows[i].uri
                                                           : below;
        assert_string_equal(jget_str(a, "uri", ""), want);
        assert_int_equal(jget_bool(a, "exists", false), rows[i].exists);
        CLEANUP(cleanup_free) char *at = xasprintf("root/%s", rows[i].name);
        assert_int_equal(temp_exists(&f->dir, at), rows[i].is_copied || i < 2);
    }
}

/* A list: in the output's own folder, elsewhere below the root, outside, remote, and nowhere. */
static void test_artifact_list(void **state)
{
    struct fixture *f = *state;
    CLEANUP(cleanup_free) char *root = xasprintf("%s/root", f->dir.path);
    CLEANUP(cleanup_free) char *root_uri = xasprintf("file://%s/root", f->dir.path);
    json_object_set_new(
        f->order, "artifact_root", json_pack("{s:s,s:s}", "uri", root_uri, "path", root));
    json_object_set_new(f->order, "output_file", json_string(temp_path(&f->dir, "out.json")));
    add_output(f, "list");
    add_output(f, "single");
    json_t *outputs = json_object_get(f->order, "outputs");
    json_object_set_new(json_array_get(outputs, 0), "is_list", json_true());
    CLEANUP(cleanup_free)
    char *script =
        xasprintf("mkdir -p $D/root/list $D/root/own $D/else; echo 0 > $D/root/list/0; echo 1 > "
                  "'$D/root/list/a b'; echo 2 > $D/root/own/2; echo 3 > $D/else/3; cat > "
                  "$D/out.json <<END\n{\"artifacts\": {\"list\": {\"artifacts\": ["
                  "{\"uri\": \"$D/root/list/0\"}, {\"uri\": \"%s/root/list/a b\"}, "
                  "{\"uri\": \"$D/root/own/2\"}, {\"custom_path\": \"$D/else/3\"}, "
                  "{\"uri\": \"gs://b/4\"}, {}]}, \"single\": {\"artifacts\": [{}, {}]}}}\nEND\n"
                  "echo 1 > \"$D/root/list/a b\"",
            f->dir.path);
    set_script(f, script);
    assert_int_equal(run_order(f, "", LAUNCHER, f->dir.path), 0);
    const json_t *artifacts = json_object_get(f->report, "artifacts");
    assert_null(json_object_get(json_object_get(artifacts, "single"), "more"));
    const json_t *first = json_object_get(artifacts, "list");
    static const struct {
        const char *uri; /* below the root unless it has a scheme */
        bool exists;
    } want[] = {{"list/0", true}, {"list/a%20b", true}, {"own/2", true}, {"list-3", true},
        {"gs://b/4", false}, {"list-5", false}};
    assert_int_equal(json_array_size(json_object_get(first, "more")), ARRAY_LEN(want) - 1);
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        const json_t *one = i == 0 ? first : json_array_get(json_object_get(first, "more"), i - 1);
        CLEANUP(cleanup_free) char *uri = xasprintf("%s/%s", root_uri, want[i].uri);
        assert_string_equal(
            jget_str(one, "uri", ""), strstr(want[i].uri, "://") != NULL ? want[i].uri : uri);
        assert_int_equal(jget_bool(one, "exists", false), want[i].exists);
    }
    assert_true(temp_exists(&f->dir, "root/list-3"));
}

static void test_large_argument(void **state)
{
    struct fixture *f = *state;
    CLEANUP(cleanup_free) char *large = xmalloc(140000);
    memset(large, 'x', 139999);
    large[139999] = '\0';
    json_object_set_new(f->order, "argv", json_pack("[s,s]", "echo", large));
    assert_int_equal(run_order(f, "", LAUNCHER, f->dir.path), 126);
    assert_non_null(strstr(jget_str(f->report, "reason", ""), "argument 1"));
}

/* --- Python --- */

#define WHEEL                                                                                      \
    "python3 - \"$D\" <<'END'\n"                                                                   \
    "import sys, zipfile\n"                                                                        \
    "name = sys.argv[1] + '/rondo_probe-1.0-py3-none-any.whl'\n"                                   \
    "with zipfile.ZipFile(name, 'w') as z:\n"                                                      \
    "    info = 'rondo_probe-1.0.dist-info/'\n"                                                    \
    "    z.writestr('rondo_probe.py', 'WORD = \"probe\"\\n')\n"                                    \
    "    z.writestr(info + 'METADATA', 'Metadata-Version: 2.1\\nName: rondo-probe\\nVersion: "     \
    "1.0\\n')\n"                                                                                   \
    "    z.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: "           \
    "py3-none-any\\n')\n"                                                                          \
    "    z.writestr(info + 'RECORD', 'rondo_probe.py,,\\n' + info + 'METADATA,,\\n' + info + "     \
    "'WHEEL,,\\n' + info + 'RECORD,,\\n')\n"                                                       \
    "END\n"

static bool has_python(struct fixture *f)
{
    CLEANUP(cleanup_free)
    char *command = xasprintf("python3 -c 'import venv, ensurepip' > %s/py 2>&1", f->dir.path);
    if (sh(command) == 0) {
        return true;
    }
    print_message("  python3 with venv is not installed: skipped\n");
    return false;
}

static void set_wrapper(struct fixture *f, const char *package)
{
    CLEANUP(cleanup_free)
    char *script = xasprintf("\nif ! [ -x \"$(command -v pip)\" ]; then\n    python3 -m ensurepip\n"
                             "fi\n\necho installing >> %s/installs; python3 -m pip install --quiet "
                             "--no-index %s && \"$0\" \"$@\"\n",
        f->dir.path, package);
    json_object_set_new(f->order, "argv",
        json_pack("[s,s,s,s,s,s,s]", "sh", "-c", script, "sh", "-ec",
            "echo $0 $1; python3 -c 'import rondo_probe, sys; print(rondo_probe.WORD, "
            "sys.prefix)'",
            "zero", "one"));
    json_array_append_new(json_object_get(f->order, "argv"), json_string("one"));
    CLEANUP(cleanup_free) char *venvs = xasprintf("%s/venvs", f->dir.path);
    CLEANUP(cleanup_free) char *own = xasprintf("%s/own", f->dir.path);
    CLEANUP(cleanup_free) char *cache = xasprintf("%s/cache", f->dir.path);
    json_object_set_new(
        f->order, "venv", json_pack("{s:s,s:s,s:s}", "dir", venvs, "private", own, "cache", cache));
}

static void test_cached_environment(void **state)
{
    struct fixture *f = *state;
    if (!has_python(f)) {
        skip();
    }
    setenv("D", f->dir.path, 1);
    assert_int_equal(sh(WHEEL), 0);
    CLEANUP(cleanup_free)
    char *wheel = xasprintf("%s/rondo_probe-1.0-py3-none-any.whl", f->dir.path);
    set_wrapper(f, wheel);
    assert_int_equal(run_order(f, "", LAUNCHER, f->dir.path), 0);
    assert_non_null(strstr(jget_str(f->report, "log_tail", ""), "probe "));
    assert_non_null(strstr(jget_str(f->report, "log_tail", ""), "/venvs/"));
    assert_non_null(strstr(jget_str(f->report, "log_tail", ""), "zero one"));
    /* The second time nothing is installed, and fast. */
    unlink(wheel);
    int64_t begun = clock_mono_us();
    assert_int_equal(run_order(f, "", LAUNCHER, f->dir.path), 0);
    assert_true(clock_mono_us() - begun < 20 * US_PER_S);
    CLEANUP(cleanup_free) char *installs = temp_read(&f->dir, "installs");
    assert_string_equal(installs, "installing\n");
    /* Two at once share one installation. */
    assert_int_equal(sh(WHEEL), 0);
    CLEANUP(cleanup_free) char *again = xasprintf("%s  ", wheel);
    set_wrapper(f, again);
    CLEANUP(cleanup_free) char *text = jtext(f->order);
    temp_write(&f->dir, "order.json", text);
    CLEANUP(cleanup_free)
    char *both = xasprintf("cd %s; %s --order order.json --report r1 > l1 2>&1 & cd %s; %s --order "
                           "order.json --report r2 > l2 2>&1; wait",
        f->dir.path, LAUNCHER, f->dir.path, LAUNCHER);
    assert_int_equal(sh(both), 0);
    for (int i = 1; i <= 2; i++) {
        CLEANUP(cleanup_free) char *report = temp_read(&f->dir, i == 1 ? "r1" : "r2");
        assert_non_null(strstr(report, "SUCCEEDED"));
    }
    CLEANUP(cleanup_free) char *more = temp_read(&f->dir, "installs");
    assert_string_equal(more, "installing\ninstalling\n");
}

static void test_failed_installation(void **state)
{
    struct fixture *f = *state;
    if (!has_python(f)) {
        skip();
    }
    set_wrapper(f, "no-such-package-anywhere");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(run_order(f, "", LAUNCHER, f->dir.path), 1);
        assert_string_equal(state_of(f), "FAILED");
        assert_non_null(strstr(jget_str(f->report, "reason", ""), "installing Python packages"));
        assert_non_null(strstr(jget_str(f->report, "log_tail", ""), "no-such-package-anywhere"));
    }
}

static void test_private_environment(void **state)
{
    struct fixture *f = *state;
    if (!has_python(f)) {
        skip();
    }
    setenv("D", f->dir.path, 1);
    assert_int_equal(sh(WHEEL), 0);
    set_wrapper(f, "x");
    set_script(f, "set -e; export PIP_REQUIRE_VIRTUALENV=1; pip install --quiet --no-index "
                  "$D/rondo_probe-1.0-py3-none-any.whl; python3 -c 'import rondo_probe; "
                  "print(rondo_probe.__file__)'");
    assert_int_equal(run_order(f, "", LAUNCHER, f->dir.path), 0);
    assert_non_null(strstr(jget_str(f->report, "log_tail", ""), "/own/"));
}

int main(void)
{
#define ROW(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        ROW(test_empty_root),
        ROW(test_copy),
        ROW(test_flags),
        ROW(test_artifact_places),
        ROW(test_artifact_list),
        ROW(test_large_argument),
        ROW(test_cached_environment),
        ROW(test_failed_installation),
        ROW(test_private_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
