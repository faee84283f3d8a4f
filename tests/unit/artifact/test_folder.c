/* SPDX-License-Identifier: Apache-2.0 */
/* The folder store: names, confinement to its root, part-wise writing, reading, listing. */
#include "scheduler/artifact.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/secret.h"
#include "base/util.h"
#include "tests/support/temp_dir.h"

struct fixture {
    struct temp_dir dir;
    struct artifact_store *store;
};

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof *f);
    struct err err = ERR_INIT;
    temp_dir_init(&f->dir);
    f->store = artifact_store_new(temp_path(&f->dir, "root"), &err);
    *state = f;
    return f->store != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    artifact_store_free(f->store);
    temp_dir_done(&f->dir);
    free(f);
    return 0;
}

static const char *uri(const struct fixture *f, const char *rest)
{
    static char out[32][512];
    static unsigned next;
    char *text = out[next++ % 32];
    snprintf(text, sizeof out[0], "%s%s", artifact_store_root(f->store), rest);
    return text;
}

static void test_root_forms(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *name, *root;
        bool is_good;
    } rows[] = {
        {"bare path", "/a b", true},
        {"file URI", "file:///a%20b/", true},
        {"relative", "a", false},
        {"other scheme", "s3://bucket", false},
        {"nothing", "", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = ERR_INIT;
        CLEANUP(cleanup_free)
        char *root = rows[i].is_good ? strcmp(rows[i].root, "/a b") == 0
                                           ? xasprintf("%s/a b", f->dir.path)
                                           : xasprintf("file://%s/a%%20b/", f->dir.path)
                                     : xstrdup(rows[i].root);
        struct artifact_store *store = artifact_store_new(root, &err);
        assert_int_equal(store != NULL, rows[i].is_good);
        if (store != NULL) {
            CLEANUP(cleanup_free) char *want = xasprintf("file://%s/a%%20b", f->dir.path);
            assert_string_equal(artifact_store_root(store), want);
        } else {
            assert_true(err.msg[0] != '\0');
        }
        artifact_store_free(store);
    }
    struct err err = ERR_INIT;
    assert_null(artifact_store_new("/", &err));
    assert_int_equal(err.code, ERR_INVALID);
}

static void test_compose(void **state)
{
    struct fixture *f = *state;
    char longer[300];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    static const struct {
        const char *name, *root, *pipeline, *task, *want;
    } rows[] = {
        {"plain", NULL, "p", "t", "/p/run/t/u/n"},
        {"slashes and spaces", NULL, "a/b c", "t", "/a-b-c/run/t/u/n"},
        {"dots", NULL, "..", ".", "/_--/run/_-/u/n"},
        {"empty", NULL, "", "t", "/_/run/t/u/n"},
        {"other root with query", "s3://b/x/?region=eu", "p", "t", "s3://b/x/p/run/t/u/n"},
        {"bare path root", "/srv/a/", "p", "t", "file:///srv/a/p/run/t/u/n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf out;
        buf_init(&out, 4096);
        artifact_uri(f->store, rows[i].root, rows[i].pipeline, "run", rows[i].task, "u", "n", &out);
        CLEANUP(cleanup_free)
        char *want = rows[i].want[0] != '/' ? xstrdup(rows[i].want) : xstrdup(uri(f, rows[i].want));
        if (strcmp(rows[i].name, "dots") == 0) {
            /* Whatever they become, they are no dots. */
            assert_null(strstr(buf_str(&out), "/../"));
            assert_null(strstr(buf_str(&out), "/./"));
        } else {
            assert_string_equal(buf_str(&out), want);
        }
        buf_done(&out);
    }
    struct buf a, b;
    buf_init(&a, 4096);
    buf_init(&b, 4096);
    artifact_uri(f->store, NULL, longer, "r", "t", "u", "n", &a);
    longer[200] = 'y';
    artifact_uri(f->store, NULL, longer, "r", "t", "u", "n", &b);
    assert_string_not_equal(buf_str(&a), buf_str(&b));
    buf_done(&a);
    buf_done(&b);
}

static void test_local_path(void **state)
{
    struct fixture *f = *state;
    struct stat st;
    assert_int_equal(symlink("/etc", temp_path(&f->dir, "root/out")), 0);
    temp_write(&f->dir, "root/in/file", "x");
    assert_int_equal(symlink("in", temp_path(&f->dir, "root/link")), 0);
    assert_int_equal(stat(temp_path(&f->dir, "root/link/file"), &st), 0);
    const struct {
        const char *name, *uri, *want;
        enum err_code code;
    } rows[] = {
        {"below", uri(f, "/p/r/x"), "root/p/r/x", ERR_NONE},
        {"root itself", uri(f, ""), "root", ERR_NONE},
        {"odd slashes", uri(f, "//p/./r/"), "root/p/r", ERR_NONE},
        {"escaped space", uri(f, "/a%20b"), "root/a b", ERR_NONE},
        {"link that stays inside", uri(f, "/link/new"), "root/link/new", ERR_NONE},
        {"up", uri(f, "/../x"), NULL, ERR_DENIED},
        {"escaped up", uri(f, "/%2e%2e/x"), NULL, ERR_DENIED},
        {"beside", uri(f, "2/x"), NULL, ERR_DENIED},
        {"elsewhere", "file:///etc/passwd", NULL, ERR_DENIED},
        {"link to outside", uri(f, "/out/passwd"), NULL, ERR_DENIED},
        {"new file behind a link to outside", uri(f, "/out/new/x"), NULL, ERR_DENIED},
        {"other scheme", "gs://b/x", NULL, ERR_DENIED},
        {"NUL", uri(f, "/a%00b"), NULL, ERR_INVALID},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = ERR_INIT;
        struct buf out;
        buf_init(&out, 4096);
        int rc = artifact_local_path(f->store, rows[i].uri, &out, &err);
        if (rows[i].code == ERR_NONE) {
            assert_int_equal(rc, 0);
            assert_string_equal(buf_str(&out), temp_path(&f->dir, rows[i].want));
        } else {
            assert_int_equal(rc, -1);
            assert_int_equal(err.code, rows[i].code);
            assert_int_equal(out.len, 0);
        }
        buf_done(&out);
    }
}

static int put(struct fixture *f, const char *rest, const char *file, int64_t offset,
    const char *data, const char *final_text, struct err *err)
{
    char hex[SHA256_HEX_LEN + 1];
    struct artifact_part part = {
        .uri = uri(f, rest),
        .file = file,
        .offset = offset,
        .data = data,
        .len = strlen(data),
    };
    if (final_text != NULL) {
        sha256_hex(final_text, strlen(final_text), hex);
        part.final = true;
        part.total = (int64_t)strlen(final_text);
        part.sha256 = hex;
    }
    return artifact_write_part(f->store, &part, err);
}

static void expect_file(struct fixture *f, const char *name, const char *want)
{
    CLEANUP(cleanup_free) char *text = temp_read(&f->dir, name);
    if (want == NULL) {
        assert_null(text);
    } else {
        assert_non_null(text);
        assert_string_equal(text, want);
    }
}

static void test_parts(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_INIT;
    assert_int_equal(put(f, "/p/m", "", 0, "hello ", NULL, &err), 0);
    expect_file(f, "root/p/m", NULL);
    assert_int_equal(put(f, "/p/m", "", 6, "big ", NULL, &err), 0);
    assert_int_equal(put(f, "/p/m", "", 6, "big ", NULL, &err), 0); /* sent again */
    assert_int_equal(put(f, "/p/m", "", 10, "world", "hello big world", &err), 0);
    expect_file(f, "root/p/m", "hello big world");
    expect_file(f, "root/p/m.rondo-part", NULL);
    /* The answer got lost and the last part comes again. */
    assert_int_equal(put(f, "/p/m", "", 10, "world", "hello big world", &err), 0);
    assert_int_equal(put(f, "/p/m", "", 10, "World", "hello big World", &err), -1);
    assert_int_equal(err.code, ERR_CONFLICT);
    /* Anew over it. */
    assert_int_equal(put(f, "/p/m", "", 0, "short", "short", &err), 0);
    expect_file(f, "root/p/m", "short");
    /* Empty file; files in folders. */
    assert_int_equal(put(f, "/p/empty", "", 0, "", "", &err), 0);
    expect_file(f, "root/p/empty", "");
    assert_int_equal(put(f, "/p/d", "sub/a b", 0, "1", "1", &err), 0);
    expect_file(f, "root/p/d/sub/a b", "1");
}

static void test_parts_after_restart(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_INIT;
    CLEANUP(cleanup_free) char *root = xstrdup(artifact_store_root(f->store));
    assert_int_equal(put(f, "/x", "", 0, "abc", NULL, &err), 0);
    artifact_store_free(f->store); /* the digest so far is forgotten */
    f->store = artifact_store_new(root, &err);
    assert_int_equal(put(f, "/x", "", 3, "def", "abcdef", &err), 0);
    expect_file(f, "root/x", "abcdef");
}

static void test_parts_refused(void **state)
{
    struct fixture *f = *state;
    temp_write(&f->dir, "outside/file", "x");
    temp_write(&f->dir, "root/file", "x");
    assert_int_equal(symlink("../outside", temp_path(&f->dir, "root/out")), 0);
    temp_write(&f->dir, "root/dir/file", "x");
    static const struct {
        const char *name, *uri, *file;
        int64_t offset;
        const char *data, *final_text;
        enum err_code code;
    } rows[] = {
        {"gap", "/g", "", 5, "x", NULL, ERR_CONFLICT},
        {"final of nothing", "/g2", "", 5, "x", "123456", ERR_CONFLICT},
        {"wrong digest", "/g3", "", 0, "abc", "abd", ERR_CONFLICT},
        {"wrong size", "/g4", "", 0, "abc", "abcd", ERR_INVALID},
        {"negative offset", "/g5", "", -1, "abc", NULL, ERR_INVALID},
        {"up in file", "/d", "../x", 0, "x", "x", ERR_DENIED},
        {"up inside file", "/d", "a/../../x", 0, "x", "x", ERR_DENIED},
        {"absolute file", "/d", "/etc/x", 0, "x", "x", ERR_DENIED},
        {"empty segment", "/d", "a//x", 0, "x", "x", ERR_INVALID},
        {"trailing slash", "/d", "a/", 0, "x", "x", ERR_INVALID},
        {"through a link", "/out", "x", 0, "x", "x", ERR_DENIED},
        {"root", "", "", 0, "x", "x", ERR_DENIED},
        {"file as folder", "/file", "x", 0, "x", "x", ERR_CONFLICT},
        {"folder as file", "/dir", "", 0, "x", "x", ERR_CONFLICT},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = ERR_INIT;
        print_message("  %s\n", rows[i].name);
        assert_int_equal(put(f, rows[i].uri, rows[i].file, rows[i].offset, rows[i].data,
                             rows[i].final_text, &err),
            -1);
        assert_int_equal(err.code, rows[i].code);
    }
    assert_int_not_equal(access(temp_path(&f->dir, "outside/x"), F_OK), 0);
}

static void test_many_uploads_at_once(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_INIT;
    char name[32];
    /* More than the table of digests holds: the forgotten ones are read again. */
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof name, "/many/%d", i);
        assert_int_equal(put(f, name, "", 0, "abc", NULL, &err), 0);
    }
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof name, "/many/%d", i);
        assert_int_equal(put(f, name, "", 3, "def", "abcdef", &err), 0);
    }
}

static void test_read(void **state)
{
    struct fixture *f = *state;
    temp_write(&f->dir, "root/a/f", "0123456789");
    temp_write(&f->dir, "secret", "no");
    assert_int_equal(symlink("../../secret", temp_path(&f->dir, "root/a/link")), 0);
    assert_int_equal(mkfifo(temp_path(&f->dir, "root/a/pipe"), 0600), 0);
    static const struct {
        const char *name, *uri, *file;
        int64_t offset;
        size_t max;
        const char *want;
        enum err_code code;
    } rows[] = {
        {"whole", "/a/f", "", 0, 100, "0123456789", ERR_NONE},
        {"as file of a folder", "/a", "f", 0, 100, "0123456789", ERR_NONE},
        {"part", "/a/f", "", 3, 4, "3456", ERR_NONE},
        {"past the end", "/a/f", "", 11, 4, "", ERR_NONE},
        {"missing", "/a/g", "", 0, 4, NULL, ERR_NOT_FOUND},
        {"folder", "/a", "", 0, 4, NULL, ERR_CONFLICT},
        {"FIFO does not hang", "/a/pipe", "", 0, 4, NULL, ERR_CONFLICT},
        {"link to outside", "/a/link", "", 0, 4, NULL, ERR_DENIED},
        {"up", "/a", "../../secret", 0, 4, NULL, ERR_DENIED},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = ERR_INIT;
        void *data = NULL;
        size_t len = 0;
        int64_t total = -1;
        int rc = artifact_read_part(f->store, uri(f, rows[i].uri), rows[i].file, rows[i].offset,
            rows[i].max, &data, &len, &total, &err);
        print_message("  %s: %s\n", rows[i].name, err.msg);
        if (rows[i].code == ERR_NONE) {
            assert_int_equal(rc, 0);
            assert_string_equal(data, rows[i].want);
            assert_int_equal(len, strlen(rows[i].want));
            assert_int_equal(total, 10);
        } else {
            assert_int_equal(rc, -1);
            assert_int_equal(err.code, rows[i].code);
        }
        free(data);
    }
}

static void add_name(void *owner, const char *file, int64_t size)
{
    buf_addf(owner, "[%s:%lld]", file, (long long)size);
}

static void test_list(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_INIT;
    struct buf out;
    buf_init(&out, 4096);
    temp_write(&f->dir, "root/one", "abc");
    temp_write(&f->dir, "root/d/s/x", "12");
    temp_write(&f->dir, "root/d/half.rondo-part", "12");
    temp_write(&f->dir, "outside", "12");
    assert_int_equal(symlink("../../outside", temp_path(&f->dir, "root/d/out")), 0);
    assert_int_equal(symlink("..", temp_path(&f->dir, "root/d/circle")), 0);
    assert_int_equal(artifact_list(f->store, uri(f, "/one"), add_name, &out, &err), 0);
    assert_string_equal(buf_str(&out), "[:3]");
    buf_reset(&out);
    assert_int_equal(artifact_list(f->store, uri(f, "/d"), add_name, &out, &err), 0);
    assert_string_equal(buf_str(&out), "[s/x:2]");
    buf_reset(&out);
    temp_write(&f->dir, "root/d2/a", "1");
    assert_int_equal(symlink("a", temp_path(&f->dir, "root/d2/b")), 0);
    assert_int_equal(artifact_list(f->store, uri(f, "/d2"), add_name, &out, &err), 0);
    assert_int_equal(out.len, strlen("[a:1][b:1]"));
    assert_int_equal(artifact_list(f->store, uri(f, "/none"), add_name, &out, &err), -1);
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_int_equal(artifact_list(f->store, "file:///etc", add_name, &out, &err), -1);
    assert_int_equal(err.code, ERR_DENIED);
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_root_forms, setup, teardown),
        cmocka_unit_test_setup_teardown(test_compose, setup, teardown),
        cmocka_unit_test_setup_teardown(test_local_path, setup, teardown),
        cmocka_unit_test_setup_teardown(test_parts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_parts_after_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_parts_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_uploads_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_list, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
