/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Settings of a pod that the launcher honours: variables from files, and folders mounted where the
 * step expects them, as root, as somebody else, and where mounting is not allowed. The machine
 * itself stays as it was.
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

#include "base/err.h"
#include "base/json.h"
#include "base/util.h"
#include "tests/support/temp_dir.h"

#define NOWHERE "/rondo-test-mount" /* must not be there before or after */
#define AS_NOBODY "setpriv --reuid=65534 --regid=65534 --clear-groups"

struct fixture {
    struct temp_dir dir;
    json_t *order, *report;
    char *log;
};

static int sh(const char *command)
{
    int status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof *f);
    temp_dir_init(&f->dir);
    chmod(f->dir.path, 0777);
    f->order = json_pack("{s:i,s:[],s:{s:s},s:b,s:[],s:{s:b,s:s,s:[s]},s:[]}", "v", 1, "argv",
        "env", "D", f->dir.path, "transfer", 0, "mounts", "mounting", "is_allowed", 1, "dir",
        temp_path(&f->dir, "keep/mnt"), "keep", temp_path(&f->dir, "keep"), "base_env");
    CLEANUP(cleanup_free)
    char *make = xasprintf(
        "cp %s %s/launcher; cd %s; mkdir -m 777 keep from area area/point; echo a > from/a;"
        "echo kept > area/point/kept; ln -s point area/link; ln -s none area/dangling; "
        "echo f > area/file; chmod -R o+rwX .",
        LAUNCHER, f->dir.path, f->dir.path);
    assert_int_equal(sh(make), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    json_decref(f->order);
    json_decref(f->report);
    free(f->log);
    temp_dir_done(&f->dir);
    assert_int_not_equal(access(NOWHERE, F_OK), 0);
    free(f);
    return 0;
}

static const char *state_of(const struct fixture *f)
{
    return jget_str(f->report, "state", "");
}

static const char *reason_of(const struct fixture *f)
{
    return jget_str(f->report, "reason", "");
}

static void run_script(struct fixture *f, const char *before, const char *script)
{
    json_object_set_new(f->order, "argv", json_pack("[s,s,s]", "sh", "-c", script));
    CLEANUP(cleanup_free) char *text = jtext(f->order);
    temp_write(&f->dir, "order.json", text);
    unlink(temp_path(&f->dir, "report.json"));
    CLEANUP(cleanup_free)
    char *command = xasprintf("cd %s && %s ./launcher --order $PWD/order.json --report "
                              "$PWD/report.json > log 2>&1",
        f->dir.path, before);
    sh(command);
    struct err err;
    json_decref(f->report);
    CLEANUP(cleanup_free) char *report = temp_read(&f->dir, "report.json");
    f->report = report != NULL ? jread_text(report, strlen(report), "report", &err) : NULL;
    free(f->log);
    f->log = temp_read(&f->dir, "log");
    print_message("    %s %s\n%s", state_of(f), reason_of(f), f->log != NULL ? f->log : "(no log)");
}

static void add_mount(struct fixture *f, const char *path, const char *from, const char *rest)
{
    CLEANUP(cleanup_free)
    char *text =
        xasprintf("{\"path\":\"%s\",\"from\":\"%s\",\"of\":\"volume 'v'\"%s}", path, from, rest);
    struct err err = ERR_INIT;
    json_t *mount = jread_text(text, strlen(text), "mount", &err);
    assert_non_null(mount);
    json_array_append_new(json_object_get(f->order, "mounts"), mount);
}

static void clear_mounts(struct fixture *f)
{
    json_object_set_new(f->order, "mounts", json_array());
}

/* Who may mount, in this environment. */
static size_t starters(const struct fixture *f, const char *out[2])
{
    size_t n = 0;
    CLEANUP(cleanup_free) char *us = xasprintf("%s/launcher --can-mount", f->dir.path);
    if (sh(us) == 0) {
        out[n++] = "";
    }
    CLEANUP(cleanup_free)
    char *nobody = xasprintf(AS_NOBODY " %s/launcher --can-mount 2> /dev/null", f->dir.path);
    if (geteuid() == 0 && sh(nobody) == 0) {
        out[n++] = AS_NOBODY;
    }
    if (n == 0) {
        print_message("  this system allows no mount namespaces: skipped\n");
    }
    return n;
}

struct place {
    const char *name, *path; /* below the test's folder unless it begins with a '/' */
    const char *script;      /* M is the path; has to succeed */
    const char *note;        /* NULL: mounted */
};

static const struct place places[] = {
    {"a folder that is there", "area/point", "test $(cat $M/a) = a && ! test -e $M/kept", NULL},
    {"through a link", "area/link", "test $(cat $M/a) = a && test $(cat $D/area/point/a) = a",
        NULL},
    {"one that is not", "area/none/deep/er",
        "test $(cat $M/a) = a && test -e $D/area/point/kept && test $(cat $D/area/file) = f && "
        "test -h "
        "$D/area/link && test -e $D/area/link/kept",
        NULL},
    {"in the root folder", NOWHERE,
        "test $(cat $M/a) = a && test -d /proc/self && test -e $D/area/file", NULL},
    {"deep in the root folder", NOWHERE "/x/y/",
        "test $(cat $M/a) = a && rm -f $M/b; echo b > $M/b", NULL},
    {"in a folder of the system", "/mnt" NOWHERE, "test $(cat $M/a) = a", NULL},
    {"shared memory", "/dev/shm", "test $(cat $M/a) = a", NULL},
    {"a file is in the way", "area/file", "test $(cat $D/area/file) = f",
        "there is a file of that name"},
    {"a file on the way", "area/file/x", "test $(cat $D/area/file) = f", "Not a directory"},
    {"a link to nowhere", "area/dangling", "true", "is a link to nowhere"},
    {"over our data", "keep", "true", "rondo keeps its own data"},
    {"into our data", "keep/x", "true", "rondo keeps its own data"},
    {"around our data", "/tmp", "true", "rondo keeps its own data"},
    {"the root itself", "/", "true", "no absolute path"},
    {"with dots", "/mnt/../x", "true", "no absolute path"},
    {"over its own folder", "from", "true", "it would hide"},
    {"the system's", "/proc/x", "true", "/proc is the system's"},
};

static void test_places(void **state)
{
    struct fixture *f = *state;
    const char *who[2];
    size_t count = starters(f, who);
    for (size_t i = 0; i < ARRAY_LEN(places) * count; i++) {
        const struct place *p = &places[i / count];
        print_message("  %s, %s\n", p->name, who[i % count]);
        CLEANUP(cleanup_free)
        char *path =
            p->path[0] == '/' ? xstrdup(p->path) : xasprintf("%s/%s", f->dir.path, p->path);
        clear_mounts(f);
        add_mount(f, path, temp_path(&f->dir, "from"), "");
        CLEANUP(cleanup_free) char *script = xasprintf("M=%s; %s", path, p->script);
        run_script(f, who[i % count], script);
        assert_string_equal(state_of(f), "SUCCEEDED");
        if (p->note != NULL) {
            assert_non_null(strstr(f->log, p->note));
            assert_non_null(strstr(f->log, "as RONDO_MOUNT_1 says"));
        } else {
            assert_null(strstr(f->log, "rondo:"));
        }
        /* Nothing of it is left outside. */
        assert_false(temp_exists(&f->dir, "area/none"));
        assert_true(temp_exists(&f->dir, "area/point/kept"));
        assert_false(temp_exists(&f->dir, "area/point/a"));
        assert_int_not_equal(access("/mnt" NOWHERE, F_OK), 0);
    }
}

static void test_several(void **state)
{
    struct fixture *f = *state;
    const char *who[2];
    size_t count = starters(f, who);
    for (size_t i = 0; i < count; i++) {
        clear_mounts(f);
        CLEANUP(cleanup_free)
        char *again = xasprintf("rm -rf %s/empty %s/second %s/z; mkdir -m 777 %s/second",
            f->dir.path, f->dir.path, f->dir.path, f->dir.path);
        assert_int_equal(sh(again), 0);
        /* The inner one first: order does not matter. */
        add_mount(f, NOWHERE "/a/inner", temp_path(&f->dir, "from"), ",\"read_only\":true");
        add_mount(f, NOWHERE "/a", temp_path(&f->dir, "second"), "");
        add_mount(f, NOWHERE "/b", temp_path(&f->dir, "empty"), ",\"make\":true");
        add_mount(f, NOWHERE "/c/file", temp_path(&f->dir, "area/file"), "");
        run_script(f, who[i],
            "set -e; cd " NOWHERE "; test $(cat a/inner/a) = a; echo x > a/new; echo y > b/new; "
            "test $(cat c/file) = f; (echo no > a/inner/no) 2> /dev/null && exit 7; echo z > $D/z; "
            "(echo no > " NOWHERE "/no) 2> /dev/null && test $(id -u) != 0 && exit 8; true");
        assert_string_equal(state_of(f), "SUCCEEDED");
        assert_null(strstr(f->log, "rondo:"));
        assert_true(temp_exists(&f->dir, "second/new"));
        assert_true(temp_exists(&f->dir, "empty/new"));
        assert_true(temp_exists(&f->dir, "z"));
        assert_false(temp_exists(&f->dir, "from/no"));
    }
}

/* The launcher itself finds what the step wrote into a mounted folder. */
static void test_collecting(void **state)
{
    struct fixture *f = *state;
    const char *who[2];
    size_t count = starters(f, who);
    for (size_t i = 0; i < count; i++) {
        clear_mounts(f);
        CLEANUP(cleanup_free) char *clear = xasprintf("rm -rf %s/from/out", f->dir.path);
        assert_int_equal(sh(clear), 0);
        add_mount(f, NOWHERE, temp_path(&f->dir, "from"), "");
        json_object_set_new(f->order, "output_params",
            json_pack("[{s:s,s:s}]", "name", "x", "path", NOWHERE "/out/x"));
        run_script(f, who[i], "printf 5 > " NOWHERE "/out/x");
        assert_string_equal(state_of(f), "SUCCEEDED");
        assert_string_equal(jget_str(json_object_get(f->report, "params"), "x", ""), "5");
    }
}

static void test_not_allowed(void **state)
{
    struct fixture *f = *state;
    json_object_set_new(json_object_get(f->order, "mounting"), "is_allowed", json_false());
    add_mount(f, NOWHERE, temp_path(&f->dir, "from"), "");
    add_mount(
        f, "/kfp-workspace", temp_path(&f->dir, "second"), ",\"make\":true,\"is_quiet\":true");
    run_script(f, "", "! test -e " NOWHERE);
    assert_string_equal(state_of(f), "SUCCEEDED");
    assert_non_null(strstr(f->log, "volume 'v' is not mounted at " NOWHERE " (mounting is "
                                   "switched off); it is at /tmp/rondo-test-"));
    assert_null(strstr(f->log, "kfp-workspace"));
    assert_true(temp_exists(&f->dir, "second"));
}

static void test_missing_source(void **state)
{
    struct fixture *f = *state;
    add_mount(f, NOWHERE, temp_path(&f->dir, "volumes/v"), "");
    run_script(f, "", "true");
    assert_string_equal(state_of(f), "FAILED");
    CLEANUP(cleanup_free)
    char *want =
        xasprintf("volume 'v', to be mounted at " NOWHERE ", is not there: put it into the "
                  "folder %s/volumes/v",
            f->dir.path);
    assert_string_equal(reason_of(f), want);
    /* Its folders are made by the order alone. */
    assert_false(temp_exists(&f->dir, "volumes"));
}

/* --- variables --- */

static void add_env(struct fixture *f, const char *name, const char *file, const char *rest)
{
    CLEANUP(cleanup_free)
    char *text = xasprintf("{\"name\":\"%s\",\"file\":\"%s/%s\",\"of\":\"key 'k' of secret "
                           "'s'\"%s}",
        name, f->dir.path, file, rest);
    struct err err = ERR_INIT;
    json_array_append_new(
        json_object_get(f->order, "base_env"), jread_text(text, strlen(text), "env", &err));
}

static void test_variables(void **state)
{
    struct fixture *f = *state;
    CLEANUP(cleanup_free)
    char *make =
        xasprintf("cd %s; mkdir -m 700 s; printf 'a very-secret\\n\\n' > s/k; printf '' > s/empty; "
                  "printf x > open; chmod 600 s/k; chmod 644 open",
            f->dir.path);
    assert_int_equal(sh(make), 0);
    json_array_append_new(json_object_get(f->order, "base_env"),
        json_pack("{s:s,s:s}", "name", "POD", "value", "p-$(D)"));
    add_env(f, "K", "s/k", ",\"is_secret\":true");
    add_env(f, "EMPTY", "s/empty", "");
    add_env(f, "OPEN", "open", ",\"is_secret\":true");
    add_env(f, "NONE", "s/none", ",\"is_optional\":true");
    json_array_append_new(json_object_get(f->order, "base_env"),
        json_pack("{s:s,s:s}", "name", "BOTH", "value", "<$(K)$(POD)>"));
    json_object_set_new(json_object_get(f->order, "env"), "OWN", json_string("$(BOTH)"));
    json_object_set_new(json_object_get(f->order, "env"), "POD", json_string("mine"));
    /* D belongs to the order's env, which comes later. */
    run_script(f, "env D=outer",
        "test ${#K} = 14 && test -z \"$EMPTY\" && test -z \"${NONE+x}\" && test \"$OPEN\" = "
        "x "
        "&& test \"${OWN#<a }\" != \"$OWN\"  && test $POD = mine && test $D != outer");
    assert_string_equal(state_of(f), "SUCCEEDED");
    assert_non_null(strstr(f->log, "every user of this machine can read the secret in"));
    assert_non_null(strstr(f->log, "open: chmod 600"));
    assert_null(strstr(f->log, "s/k: chmod"));
    CLEANUP(cleanup_free) char *order = temp_read(&f->dir, "order.json");
    assert_null(strstr(order, "very-secret"));
}

static void test_missing_variable(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *name, *file, *rest, *reason;
    } rows[] = {
        {"missing", "s/k", "", "K: key 'k' of secret 's' is not there: put it into the file /"},
        {"below a file", "area/file/k", "", "is not there: put it into the file /"},
        {"a folder", "area/point", "", "K: key 'k' of secret 's' cannot be read"},
        {"a folder, optional", "area/point", ",\"is_optional\":true", "cannot be read"},
        {"NUL in it", "nul", "", "holds a NUL byte"},
    };
    CLEANUP(cleanup_free) char *make = xasprintf("printf 'a\\000b' > %s/nul", f->dir.path);
    assert_int_equal(sh(make), 0);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        print_message("  %s\n", rows[i].name);
        json_object_set_new(f->order, "base_env", json_array());
        add_env(f, "K", rows[i].file, rows[i].rest);
        run_script(f, "", "touch $D/started");
        assert_string_equal(state_of(f), "FAILED");
        assert_non_null(strstr(reason_of(f), rows[i].reason));
        assert_false(temp_exists(&f->dir, "started"));
    }
}

static void test_remove(void **state)
{
    struct fixture *f = *state;
    CLEANUP(cleanup_free)
    char *command = xasprintf("cd %s; mkdir -p gone/a/b; touch gone/a/b/c; ln -s $PWD/from gone/l; "
                              "chmod 500 gone/a/b; ./launcher --remove $PWD/gone",
        f->dir.path);
    assert_int_equal(sh(command), 0);
    assert_false(temp_exists(&f->dir, "gone"));
    assert_true(temp_exists(&f->dir, "from/a"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_places, setup, teardown),
        cmocka_unit_test_setup_teardown(test_several, setup, teardown),
        cmocka_unit_test_setup_teardown(test_collecting, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_allowed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_missing_source, setup, teardown),
        cmocka_unit_test_setup_teardown(test_variables, setup, teardown),
        cmocka_unit_test_setup_teardown(test_missing_variable, setup, teardown),
        cmocka_unit_test_setup_teardown(test_remove, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
