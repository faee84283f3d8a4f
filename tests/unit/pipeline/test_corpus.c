/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that the real SDK compiled: those in valid/ compile without a complaint, those in invalid/
 * are refused.
 */
#include "pipeline_test.h"

#include <dirent.h>
#include <sys/stat.h>

struct tally {
    size_t files, compiled, refused, bad;
};

static void check_valid(const char *path, struct tally *t)
{
    struct err err = ERR_INIT;
    size_t len, text_len;
    char *data = file_read(path, 64 << 20, &len, &err), *text = NULL;
    assert_non_null(data);
    assert_int_equal(package_open(path, data, len, &text, &text_len, &err), 0);
    struct complaints c;
    complaints_init(&c);
    struct plan *plan = plan_compile(text, text_len, &c);
    for (size_t i = 0; i < c.count; i++) {
        print_error(
            "%s: line %u: %s: %s\n", path, c.items[i].line, c.items[i].path, c.items[i].text);
    }
    bool good = plan != NULL && c.count == 0;
    t->files++;
    t->compiled += plan != NULL;
    t->bad += !good;
    if (plan != NULL) {
        char *canonical = plan_canonical(plan);
        struct plan *again = must_compile(canonical);
        char *same = plan_canonical(again);
        assert_string_equal(canonical, same);
        assert_int_equal(again->task_total, plan->task_total);
        plan_unref(again);
        free(same);
        free(canonical);
    }
    plan_unref(plan);
    complaints_done(&c);
    free(text);
    free(data);
}

static void check_invalid(const char *path, struct tally *t)
{
    struct err err = ERR_INIT;
    size_t len, text_len;
    char *data = file_read(path, 64 << 20, &len, &err), *text = NULL;
    assert_non_null(data);
    t->files++;
    if (package_open(strrchr(path, '/') + 1, data, len, &text, &text_len, &err) != 0) {
        assert_true(strlen(err.msg) > 10);
        t->refused++;
    } else {
        struct complaints c;
        complaints_init(&c);
        struct plan *plan = plan_compile(text, text_len, &c);
        t->refused += plan == NULL && c.errors > 0;
        plan_unref(plan);
        complaints_done(&c);
    }
    free(text);
    free(data);
}

static void walk(const char *folder, void (*fn)(const char *, struct tally *), struct tally *t)
{
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        char path[4096];
        struct stat st;
        if (e->d_name[0] == '.') {
            continue;
        }
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        assert_int_equal(stat(path, &st), 0);
        if (S_ISDIR(st.st_mode)) {
            walk(path, fn, t);
        } else {
            fn(path, t);
        }
    }
    closedir(dir);
}

static bool is_there(const char *folder)
{
    struct stat st;
    if (stat(folder, &st) == 0) {
        return true;
    }
    print_message("skipped: %s is not here\n", folder);
    return false;
}

static void test_valid(void **state UNUSED)
{
    static const char folder[] = SHARED_DIR "/kfp-corpus/valid";
    if (!is_there(folder)) {
        skip();
    }
    struct tally t = {0};
    walk(folder, check_valid, &t);
    print_message("%zu files: %zu compile\n", t.files, t.compiled);
    assert_int_equal(t.bad, 0);
    assert_true(t.compiled > 0);
}

static void test_invalid(void **state UNUSED)
{
    static const char folder[] = SHARED_DIR "/kfp-corpus/invalid";
    if (!is_there(folder)) {
        skip();
    }
    struct tally t = {0};
    walk(folder, check_invalid, &t);
    assert_int_equal(t.refused, t.files);
    assert_true(t.files > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_valid),
        cmocka_unit_test(test_invalid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
