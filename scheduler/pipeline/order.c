/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Orders: tasks within each DAG (so that none comes before what it waits for) and DAGs within
 * each other (no recursion, not too deep, not too many tasks in all).
 */
#include "pipeline/draft.h"

#include "base/buf.h"
#include "base/pool.h"
#include "base/util.h"

#include <stdlib.h>
#include <string.h>

#define MAX_CYCLE_TEXT 800

/* ---- tasks ---- */

/* A dependency that is itself not placed; there is one for every task that could not be. */
static size_t unplaced_dep(const struct draft_component *c, size_t task)
{
    const struct draft_task *t = &c->tasks[task];
    for (size_t i = 0; i < t->dep_count; i++) {
        if (c->tasks[t->deps[i]].position < 0) {
            return (size_t)t->deps[i];
        }
    }
    return task;
}

static void report_cycle(struct draft *d, const struct draft_component *c)
{
    size_t at = 0;
    while (c->tasks[at].position >= 0) {
        at++;
    }
    for (size_t i = 0; i < c->task_count; i++) { /* far enough to be on the cycle */
        at = unplaced_dep(c, at);
    }
    struct buf text;
    buf_init(&text, MAX_CYCLE_TEXT);
    buf_addf(&text, "%s", c->tasks[at].def.key);
    size_t on = at;
    do {
        on = unplaced_dep(c, on);
        buf_addf(&text, " -> %s", c->tasks[on].def.key);
    } while (on != at && !text.overflow);
    struct path path[3];
    component_path(c, path);
    struct path dag = {.up = &path[2], .key = "dag"};
    struct path tasks = {.up = &dag, .key = "tasks"};
    complain(d->complaints, c->tasks[at].place, &tasks,
        "tasks wait for each other in a circle: %s%s; remove one of these dependencies",
        buf_str(&text), text.overflow ? " ..." : "");
    buf_done(&text);
}

/* Kahn's algorithm; among ready tasks the one written first comes first. */
static void order_dag(struct draft *d, struct draft_component *c)
{
    size_t n = c->task_count, edges = 0;
    for (size_t i = 0; i < n; i++) {
        edges += c->tasks[i].dep_count;
    }
    size_t *waits = xcalloc(n + 1, sizeof *waits);
    size_t *first = xcalloc(n + 2, sizeof *first); /* followers of i: next[first[i]..first[i+1]) */
    size_t *next = xcalloc(edges + 1, sizeof *next);
    size_t *queue = xcalloc(n + 1, sizeof *queue);
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < c->tasks[i].dep_count; k++) {
            first[c->tasks[i].deps[k] + 2]++;
        }
    }
    for (size_t i = 2; i < n + 2; i++) {
        first[i] += first[i - 1];
    }
    size_t head = 0, tail = 0;
    for (size_t i = 0; i < n; i++) {
        waits[i] = c->tasks[i].dep_count;
        for (size_t k = 0; k < c->tasks[i].dep_count; k++) {
            next[first[c->tasks[i].deps[k] + 1]++] = i;
        }
        if (waits[i] == 0) {
            queue[tail++] = i;
        }
    }
    while (head < tail) {
        size_t at = queue[head];
        c->tasks[at].position = (int)head++;
        for (size_t k = first[at]; k < first[at + 1]; k++) {
            if (--waits[next[k]] == 0) {
                queue[tail++] = next[k];
            }
        }
    }
    if (tail < n) {
        report_cycle(d, c);
    }
    free(waits);
    free(first);
    free(next);
    free(queue);
}

/* ---- components ---- */

static void complain_of_recursion(
    struct draft *d, const struct draft_component *c, const struct draft_task *t)
{
    struct path path[3];
    component_path(c, path);
    struct path dag = {.up = &path[2], .key = "dag"};
    struct path tasks = {.up = &dag, .key = "tasks"};
    struct path here = {.up = &tasks, .key = t->def.key};
    complain(d->complaints, t->place, &here,
        "component %s contains itself, so the pipeline would never end; break the circle",
        t->component->def.name);
}

/* Recursion is bounded: it stops with a complaint at MAX_DAG_LEVELS. */
static void measure(struct draft *d, struct draft_component *c, unsigned depth)
{
    c->state = DRAFT_OPEN;
    c->levels = 1;
    c->total = c->task_count;
    for (size_t i = 0; i < c->task_count; i++) {
        const struct draft_task *t = &c->tasks[i];
        struct draft_component *inner = t->component;
        if (inner == NULL || inner->def.kind != COMPONENT_DAG) {
            continue;
        }
        if (inner->state == DRAFT_OPEN) {
            complain_of_recursion(d, c, t);
            continue;
        }
        if (inner->state == DRAFT_UNSEEN && depth < MAX_DAG_LEVELS + 1) {
            measure(d, inner, depth + 1);
        }
        unsigned levels = inner->levels + 1;
        c->levels = levels > c->levels ? levels : c->levels;
        c->total += inner->total;
        c->total = c->total > MAX_TASKS_TOTAL ? MAX_TASKS_TOTAL + 1 : c->total;
    }
    c->state = DRAFT_DONE;
}

void order_tasks(struct draft *d)
{
    for (size_t i = 0; i < d->count; i++) {
        if (d->list[i]->task_count > 0) {
            order_dag(d, d->list[i]);
        }
    }
    if (d->root == NULL) {
        return;
    }
    measure(d, d->root, 1);
    struct path path[3];
    component_path(d->root, path);
    if (d->root->levels > MAX_DAG_LEVELS) {
        complain(d->complaints, d->root->place, &path[2],
            "DAGs are nested more than %d levels deep; flatten some of them", MAX_DAG_LEVELS);
    }
    if (d->root->total > MAX_TASKS_TOTAL) {
        complain(d->complaints, d->root->place, &path[2],
            "the pipeline comes to more than %d tasks; split it", MAX_TASKS_TOTAL);
    }
}
