/* SPDX-License-Identifier: Apache-2.0 */
/* The registry of fault points and, in TESTING builds, what happens at them. */
#include "base/fault.h"

#include <assert.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"

/* Sorted. tests/check/faults.py compares this list with the FAULT() uses in the sources. */
static const char *const names[] = {
    "git.cancel.before",
    "git.file.after",
    "git.file.before",
    "git.poll.after",
    "git.poll.before",
    "git.receive.after",
    "git.receive.before",
    "git.status.after",
    "git.status.before",
    "git.turn.after",
    "git.turn.before",
    "lease.acquire.after",
    "lease.release.after",
    "lease.release.before",
    "local.done.before",
    "local.forget.middle",
    "local.order.after",
    "local.order.before",
    "local.spawn.after",
    "local.volume.create.middle",
    "local.volume.delete.middle",
    "pods.claim.create.after",
    "pods.claim.delete.after",
    "pods.create.after",
    "pods.create.before",
    "pods.delete.before",
    "pods.done.before",
    "pods.forget.middle",
    "pods.report.after",
    "pods.report.before",
    "recurring.change.after",
    "recurring.change.before",
    "recurring.create.after",
    "recurring.create.before",
    "recurring.fire.after",
    "recurring.fire.before",
    "run.attempt.after_forget",
    "run.attempt.after_start",
    "run.attempt.before_forget",
    "run.attempt.before_start",
    "run.cache.before",
    "run.cancel.after",
    "run.cancel.before",
    "run.create.after",
    "run.create.before",
    "run.end.after_save",
    "run.end.before_save",
    "run.hatch.after",
    "run.hatch.before",
    "run.pool.after",
    "run.pool.before",
    "run.save.after",
    "run.save.before",
    "tick.claim.after",
    "tick.claim.before",
    "tick.reveal.after",
    "tick.reveal.before",
    "tick.wake.before",
    "webhook.done.after",
    "webhook.done.before",
    "webhook.enqueue.after",
    "webhook.enqueue.before",
    "webhook.ping.after",
    "webhook.ping.before",
    "webhook.post.after",
    "webhook.post.before",
    "webhook.redeliver.after",
    "webhook.redeliver.before",
    "webhook.subscription.after",
    "webhook.subscription.before",
    NULL,
};

const char *const *fault_names(void)
{
    return names;
}

#ifdef TESTING

enum { FAULTS_MAX = 16 };

struct fault {
    const char *name;
    int64_t at; /* the passage at which to act, from 1 */
    int64_t passed;
    bool crash;
};

static struct fault faults[FAULTS_MAX];
static size_t fault_count;
static bool is_loaded;

static void __attribute__((noreturn)) bad_fault(const char *text, const char *why)
{
    fprintf(stderr, "RONDO_FAULT: '%s': %s; write name[:n][:crash|fail]\n", text, why);
    _exit(2);
}

static const char *find_name(const char *text, size_t len)
{
    for (size_t i = 0; names[i] != NULL; i++) {
        if (strlen(names[i]) == len && memcmp(names[i], text, len) == 0) {
            return names[i];
        }
    }
    return NULL;
}

/* One of the comma separated items. */
static void load_one(const char *item)
{
    struct fault fault = {.at = 1, .crash = true};
    const char *part = item + strcspn(item, ":");

    fault.name = find_name(item, (size_t)(part - item));
    if (fault.name == NULL) {
        bad_fault(item, "no such fault point; see rondod --list-faults");
    }
    while (*part == ':') {
        size_t len = strcspn(++part, ":");
        CLEANUP(cleanup_free) char *word = xstrndup(part, len);
        if (strcmp(word, "crash") == 0 || strcmp(word, "fail") == 0) {
            fault.crash = word[0] == 'c';
        } else if (parse_i64(word, 1, INT64_MAX, "n", &fault.at, NULL) != 0) {
            bad_fault(item, "n is a number from 1");
        }
        part += len;
    }
    if (fault_count == FAULTS_MAX) {
        bad_fault(item, "too many");
    }
    faults[fault_count++] = fault;
}

static void load(void)
{
    const char *text = getenv("RONDO_FAULT");

    is_loaded = true;
    while (text != NULL && *text != '\0') {
        size_t len = strcspn(text, ",");
        CLEANUP(cleanup_free) char *item = xstrndup(text, len);
        if (len > 0) {
            load_one(item);
        }
        text += len + (text[len] == ',');
    }
}

bool fault_hit(const char *name)
{
    bool fails = false;

    if (!is_loaded) {
        load();
    }
    assert(find_name(name, strlen(name)) != NULL); /* register it above */
    for (size_t i = 0; i < fault_count; i++) {
        struct fault *fault = &faults[i];
        if (strcmp(fault->name, name) != 0 || ++fault->passed != fault->at) {
            continue;
        }
        if (fault->crash) {
            kill(getpid(), SIGKILL);
        }
        fails = true;
    }
    return fails;
}

#endif
