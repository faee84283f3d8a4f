/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that the real SDK compiled: those in valid/ compile, or are refused only for features
 * that are not built yet; those in invalid/ are refused. The feature that refuses a file is
 * worked out here from its text, so that a rule that refuses too much is noticed.
 */
#include "pipeline_test.h"

#include <dirent.h>
#include <sys/stat.h>

struct tally {
    size_t files, compiled, refused, bad;
};

/* What in the file's text calls for which refusal. */
static const struct {
    const char *text, *says;
} features[] = {
    {"parameterIterator", "a loop over parameters"},
    {"artifactIterator", "a loop over artifacts"},
    {"condition: ", "a condition"},
    {"\"condition\"", "a condition"},
    {"ALL_UPSTREAM_TASKS_COMPLETED", "an exit handler"},
    {"taskFinalStatus:", "taskFinalStatus"},
    {"parameterType: TASK_FINAL_STATUS", "a parameter of type TASK_FINAL_STATUS"},
    {"TASK_CONFIG", "a parameter of type TASK_CONFIG"},
    {"      importer:", "an importer"},
    {"\"importer\"", "an importer"},
    {"maxRetryCount", "retrying a task"},
    {"valueFromOneof", "chosen from several tasks"},
    {"argostub/createpvc", "creating a volume"},
    {"argostub/deletepvc", "deleting a volume"},
    {"platforms:", "(platform document)"},
};

static bool is_expected(const char *text, const char *said, const char *path)
{
    bool good = true;
    for (size_t i = 0; i < ARRAY_LEN(features); i++) {
        bool has = strstr(text, features[i].text) != NULL;
        bool says = strstr(said, features[i].says) != NULL;
        if (has && !says) {
            print_error("%s: has '%s' and is not refused for it\n", path, features[i].text);
            good = false;
        }
    }
    return good;
}

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
    char *said = complaint_text(&c);
    bool good = is_expected(text, said, path);
    for (size_t i = 0; i < c.count; i++) {
        if (strstr(c.items[i].text, "not supported yet") == NULL || c.items[i].line == 0) {
            if (strstr(path, ".json") == NULL) {
                print_error("%s: line %u: %s: %s\n", path, c.items[i].line, c.items[i].path,
                    c.items[i].text);
                good = false;
            }
        }
    }
    t->files++;
    t->compiled += plan != NULL;
    t->refused += plan == NULL;
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
    free(said);
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
    print_message(
        "%zu files: %zu compile, %zu wait for features\n", t.files, t.compiled, t.refused);
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
