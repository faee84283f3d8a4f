/* SPDX-License-Identifier: Apache-2.0 */
/* Runs as KFP's JSON: how the tasks of loops hang together. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/util.h"

#include "api/kfp/run_view.h"

/* Looking through all tasks for each of these would take minutes. */
#define ITERATIONS 10000

static void add_task(json_t *tasks, const char *path, const char *parent, const char *kind)
{
    json_array_append_new(tasks, json_pack("{s:s++,s:s,s:s,s:s,s:s,s:s,s:I}", "id", "id of ", path,
                                     "", "path", path, "parent", parent, "name", path, "kind", kind,
                                     "state", "SUCCEEDED", "created_us", (json_int_t)1000000));
}

static char *path_of(int iteration, const char *rest)
{
    return xasprintf("loop/%d%s", iteration, rest);
}

/* In the order of their paths, as the record has them. */
static int by_path(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static json_t *run_of_a_loop(void)
{
    json_t *tasks = json_array();
    char **paths = xcalloc(ITERATIONS, sizeof *paths);
    for (int i = 0; i < ITERATIONS; i++) {
        paths[i] = path_of(i, "");
    }
    qsort(paths, ITERATIONS, sizeof *paths, by_path);
    add_task(tasks, "loop", "", "loop");
    for (int i = 0; i < ITERATIONS; i++) {
        CLEANUP(cleanup_free) char *work = xasprintf("%s/work", paths[i]);
        add_task(tasks, paths[i], "loop", "dag");
        add_task(tasks, work, paths[i], "container");
        free(paths[i]);
    }
    add_task(tasks, "other", "", "container");
    free(paths);
    return json_pack("{s:s,s:s,s:o}", "id", "the run", "state", "SUCCEEDED", "tasks", tasks);
}

static const char *child_id(const json_t *task, size_t index)
{
    return jget_str(json_array_get(json_object_get(task, "child_tasks"), index), "task_id", "");
}

static void test_parents_and_children(void **state)
{
    (void)state;
    json_t *record = run_of_a_loop();
    json_t *run = view_run(record, NULL);
    const json_t *details = json_object_get(json_object_get(run, "run_details"), "task_details");
    assert_int_equal(json_array_size(details), 2 * ITERATIONS + 2);
    size_t index, iteration = 0;
    const json_t *loop = json_array_get(details, 0), *task;
    assert_int_equal(json_array_size(json_object_get(loop, "child_tasks")), ITERATIONS);
    assert_null(json_object_get(loop, "parent_task_id"));
    json_array_foreach(details, index, task)
    {
        const char *id = jget_str(task, "task_id", ""),
                   *parent = jget_str(task, "parent_task_id", "");
        assert_string_equal(jget_str(task, "run_id", ""), "the run");
        if (strcmp(parent, "id of loop") == 0) {
            assert_string_equal(child_id(loop, iteration++), id);
            assert_int_equal(json_array_size(json_object_get(task, "child_tasks")), 1);
            const json_t *work = json_array_get(details, index + 1);
            assert_string_equal(child_id(task, 0), jget_str(work, "task_id", ""));
            assert_string_equal(jget_str(work, "parent_task_id", ""), id);
            assert_null(json_object_get(work, "child_tasks"));
        }
    }
    assert_int_equal(iteration, ITERATIONS);
    const json_t *other = json_array_get(details, 2 * ITERATIONS + 1);
    assert_string_equal(jget_str(other, "task_id", ""), "id of other");
    assert_null(json_object_get(other, "parent_task_id"));
    assert_null(json_object_get(other, "child_tasks"));
    json_decref(run);
    json_decref(record);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_parents_and_children)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
