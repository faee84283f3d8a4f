/* SPDX-License-Identifier: Apache-2.0 */
/* rondo run get: one run and the tree of its tasks, loops folded. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/cli/cli.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/map.h"
#include "base/util.h"

#define INDENT 2
#define NAME_WIDTH_MAX 48
#define ERROR_SHOWN 160
/* A loop of so many iterations is shown whole. */
#define ITERATIONS_SHOWN 5
#define DEPTH_MAX 200

/* A task and those in it, in the order in which they began. */
struct node {
    const json_t *task; /* NULL: the run */
    struct node **children;
    size_t count, cap;
};

struct tree {
    struct map *nodes; /* path -> node */
    struct node root;
    int64_t now_us;
    bool shows_all;
    int name_width;
};

static void node_free(void *owner)
{
    struct node *node = owner;
    free(node->children);
    free(node);
}

static const char *state_of(const struct node *node)
{
    return jget_str(node->task, "state", "");
}

static bool is_iteration(const struct node *node)
{
    return json_object_get(node->task, "iteration") != NULL;
}

static bool is_loop(const struct node *node)
{
    return str_eq(jget_str(node->task, "kind", NULL), "loop");
}

/* What has not begun comes last. */
static int64_t begun_us(const json_t *task)
{
    int64_t us = jget_i64(task, "started_us", 0);
    us = us == 0 ? jget_i64(task, "ended_us", 0) : us;
    return us == 0 ? INT64_MAX : us;
}

static int by_begin(const void *a, const void *b)
{
    const struct node *const *left = a, *const *right = b;
    const json_t *x = (*left)->task, *y = (*right)->task;
    int64_t x_at = jget_i64(x, "iteration", -1), y_at = jget_i64(y, "iteration", -1);
    if (x_at == y_at) {
        x_at = begun_us(x);
        y_at = begun_us(y);
    }
    return x_at != y_at ? (x_at < y_at ? -1 : 1)
                        : strcmp(jget_str(x, "path", ""), jget_str(y, "path", ""));
}

static void node_add(struct node *parent, struct node *child)
{
    if (parent->count == parent->cap) {
        parent->cap = parent->cap == 0 ? 4 : parent->cap * 2;
        parent->children = xreallocarray(parent->children, parent->cap, sizeof(*parent->children));
    }
    parent->children[parent->count++] = child;
}

static void tree_init(struct tree *tree, const json_t *tasks)
{
    size_t i;
    const json_t *task;
    tree->nodes = map_new(node_free);
    json_array_foreach((json_t *)tasks, i, task)
    {
        struct node *node = xcalloc(1, sizeof(*node));
        node->task = task;
        map_put(tree->nodes, jget_str(task, "path", ""), node);
    }
    json_array_foreach((json_t *)tasks, i, task)
    {
        struct node *node = map_get(tree->nodes, jget_str(task, "path", ""));
        struct node *parent = map_get(tree->nodes, jget_str(task, "parent", ""));
        if (node->task == task) {
            node_add(parent != NULL ? parent : &tree->root, node);
        }
    }
    struct map_iter it = {0};
    void *value;
    while (map_next(tree->nodes, &it, NULL, &value)) {
        struct node *node = value;
        if (node->count > 1) {
            qsort(node->children, node->count, sizeof(struct node *), by_begin);
        }
    }
    if (tree->root.count > 1) {
        qsort(tree->root.children, tree->root.count, sizeof(struct node *), by_begin);
    }
}

static void tree_done(struct tree *tree)
{
    free(tree->root.children);
    map_free(tree->nodes);
}

/* ---- what is said of a task ---- */

static void name_of(const struct node *node, char *out, size_t size)
{
    if (is_iteration(node)) {
        snprintf(out, size, "[%lld]", (long long)jget_i64(node->task, "iteration", 0));
    } else {
        snprintf(out, size, "%s", jget_str(node->task, "name", jget_str(node->task, "key", "")));
    }
}

/* "-" while it has not begun; so far, while it runs. */
static void print_duration(const struct tree *tree, const json_t *of, const char *end_key)
{
    char text[32] = "-";
    int64_t start = jget_i64(of, "started_us", 0), end = jget_i64(of, end_key, 0);
    int64_t ms = ((end != 0 ? end : tree->now_us) - start) / US_PER_MS;
    if (start != 0 && ms >= 0) {
        int64_t s = ms / 1000;
        if (ms < 1000) {
            snprintf(text, sizeof text, "%lld ms", (long long)ms);
        } else if (s < 60) {
            snprintf(text, sizeof text, "%lld.%lld s", (long long)s, (long long)(ms % 1000 / 100));
        } else if (s < 3600) {
            snprintf(text, sizeof text, "%lldm%02llds", (long long)(s / 60), (long long)(s % 60));
        } else {
            snprintf(
                text, sizeof text, "%lldh%02lldm", (long long)(s / 3600), (long long)(s / 60 % 60));
        }
    }
    printf("%9s", text);
}

/* "12 iterations: 9 SUCCEEDED, 1 RUNNING, 2 not begun". */
static void print_iterations(const struct node *loop)
{
    static const char *const states[] = {"SUCCEEDED", "CACHED", "NOT_TRIGGERED", "UNSCHEDULABLE",
        "FAILED", "CANCELED", "RUNNING", "WAITING"};
    size_t total = (size_t)jget_i64(loop->task, "iterations", (int64_t)loop->count);
    size_t counts[ARRAY_LEN(states)] = {0};
    for (size_t i = 0; i < loop->count; i++) {
        for (size_t k = 0; k < ARRAY_LEN(states); k++) {
            counts[k] += strcmp(state_of(loop->children[i]), states[k]) == 0;
        }
    }
    printf("  %zu iteration%s", total, total == 1 ? "" : "s");
    const char *before = ": ";
    for (size_t k = 0; k < ARRAY_LEN(states); k++) {
        if (counts[k] > 0) {
            printf("%s%zu %s", before, counts[k], states[k]);
            before = ", ";
        }
    }
    if (total > loop->count) {
        printf("%s%zu not begun", before, total - loop->count);
    }
}

static void print_cache(const json_t *task)
{
    const json_t *from = json_object_get(json_object_get(task, "cache"), "from");
    if (from != NULL) {
        fputs("  from task ", stdout);
        cli_print_text(jget_str(from, "task", ""), ERROR_SHOWN);
        fputs(" of run ", stdout);
        cli_print_text(jget_str(from, "run", ""), ERROR_SHOWN);
    }
}

/* A pipeline's error is that of a task in it, which is shown with that task. */
static bool tells_error(const struct node *node)
{
    for (size_t i = 0; i < node->count; i++) {
        if (strcmp(state_of(node->children[i]), "FAILED") == 0) {
            return false;
        }
    }
    return jget_str(node->task, "error", "")[0] != '\0';
}

static void print_error(const char *error)
{
    fputs("  ", stdout);
    cli_print_text(error, ERROR_SHOWN);
    fputs(strlen(error) > ERROR_SHOWN ? "..." : "", stdout);
}

static void print_node(const struct tree *tree, const struct node *node, int depth)
{
    char name[256];
    name_of(node, name, sizeof name);
    printf("%*s", depth * INDENT, "");
    int width = cli_print_text(name, NAME_WIDTH_MAX);
    int pad = tree->name_width - depth * INDENT - width;
    printf("%*s  %-13s ", pad > 0 ? pad : 0, "", state_of(node));
    print_duration(tree, node->task, "ended_us");
    int64_t tries = jget_i64(node->task, "tries", 0);
    if (tries > 1) {
        printf("  %lld attempts", (long long)tries);
    }
    if (is_loop(node)) {
        print_iterations(node);
    }
    print_cache(node->task);
    if (tells_error(node)) {
        print_error(jget_str(node->task, "error", ""));
    }
    putchar('\n');
}

/* ---- the tree ---- */

/* Of a loop with many iterations those are shown that somebody may want to look at. */
static bool is_shown(const struct tree *tree, const struct node *parent, const struct node *child)
{
    if (tree->shows_all || parent->task == NULL || !is_loop(parent) ||
        parent->count <= ITERATIONS_SHOWN) {
        return true;
    }
    const char *state = state_of(child);
    return strcmp(state, "FAILED") == 0 || strcmp(state, "RUNNING") == 0;
}

static void walk(struct tree *tree, const struct node *parent, int depth,
    void (*fn)(struct tree *tree, const struct node *node, int depth))
{
    for (size_t i = 0; i < parent->count && depth < DEPTH_MAX; i++) {
        const struct node *child = parent->children[i];
        if (is_shown(tree, parent, child)) {
            fn(tree, child, depth);
            walk(tree, child, depth + 1, fn);
        }
    }
}

static void measure(struct tree *tree, const struct node *node, int depth)
{
    char name[256];
    name_of(node, name, sizeof name);
    size_t len = strlen(name);
    int width = depth * INDENT + (len > NAME_WIDTH_MAX ? NAME_WIDTH_MAX : (int)len);
    tree->name_width = width > tree->name_width ? width : tree->name_width;
}

static void show(struct tree *tree, const struct node *node, int depth)
{
    print_node(tree, node, depth);
}

/* Of a run that a push has started: what was pushed. */
static void print_push(const json_t *trigger)
{
    const char *message = jget_str(trigger, "message", "");
    if (strcmp(jget_str(trigger, "kind", ""), "git") != 0) {
        return;
    }
    printf("  %s of ", jget_str(trigger, "event", "push"));
    cli_print_text(jget_str(trigger, "repository", ""), ERROR_SHOWN);
    putchar(' ');
    cli_print_text(jget_str(trigger, "ref", ""), ERROR_SHOWN);
    printf(" %s by ", jget_str(trigger, "commit", ""));
    cli_print_text(jget_str(trigger, "actor", "?"), ERROR_SHOWN);
    if (message[0] != '\0') {
        fputs(": ", stdout);
        cli_print_text(message, strcspn(message, "\r\n"));
    }
    putchar('\n');
}

static void print_run(const json_t *record, bool shows_all)
{
    struct tree tree = {.now_us = clock_now_us(), .shows_all = shows_all};
    const char *error = jget_str(record, "error", "");
    tree_init(&tree, json_object_get(record, "tasks"));
    printf("run %s  ", jget_str(record, "id", ""));
    cli_print_text(jget_str(record, "name", ""), ERROR_SHOWN);
    printf("  %s", jget_str(record, "state", ""));
    print_duration(&tree, record, "finished_us");
    if (error[0] != '\0') {
        print_error(error);
    }
    putchar('\n');
    print_push(json_object_get(record, "trigger"));
    size_t i;
    const json_t *notice;
    json_array_foreach(json_object_get(record, "notices"), i, notice)
    {
        fputs("  note: ", stdout);
        cli_print_text(jget_str(notice, "text", ""), SIZE_MAX);
        putchar('\n');
    }
    walk(&tree, &tree.root, 1, measure);
    walk(&tree, &tree.root, 1, show);
    tree_done(&tree);
}

static int run_get_run(struct cli *cli, int argc, char **argv)
{
    bool shows_all = false;
    const struct cli_option options[] = {
        {"--all", NULL, &shows_all, NULL}, {NULL, NULL, NULL, NULL}};
    struct err err = ERR_INIT;
    if (cli_options(&command_run_get, &argc, argv, options, 1, 1) != 0) {
        return CLI_USAGE;
    }
    CLEANUP(cleanup_free) char *id = client_encode(argv[0]);
    CLEANUP(cleanup_free) char *path = xasprintf("/apis/rondo/v1/runs/%s", id);
    json_t *record = client_json(cli, "GET", path, NULL, &err);
    if (record == NULL) {
        return cli_fail(CLI_FAILED, &err);
    }
    if (cli->is_json) {
        cli_print_json(record);
    } else {
        print_run(record, shows_all);
    }
    json_decref(record);
    return CLI_OK;
}

const struct command command_run_get = {"run get", "RUN [--all]",
    "Show a run and its tasks; --all: every iteration of its loops", run_get_run};
