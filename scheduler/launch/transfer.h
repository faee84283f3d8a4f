/* SPDX-License-Identifier: Apache-2.0 */
/* The launcher's side of the HTTP contract in include/scheduler/order.h. */
#ifndef LAUNCH_TRANSFER_H
#define LAUNCH_TRANSFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct output;
struct signals;
struct transfer;

/* output may be NULL at first: there is no log before there is an order. */
struct transfer *transfer_new(const char *url, const char *token, const char *ca_file,
    struct signals *signals, struct err *err);
void transfer_free(struct transfer *t);
void transfer_set_output(struct transfer *t, struct output *output);
/* Monotonic; for everything from now on. */
void transfer_set_deadline(struct transfer *t, int64_t deadline_us);

/* malloc'd. ERR_NOT_FOUND: the attempt is over. */
char *transfer_get_order(struct transfer *t, size_t *len_out, struct err *err);
/* Best effort. */
void transfer_post_running(struct transfer *t);
/* Goes on although we were told to stop. ERR_NOT_FOUND: the attempt is over. */
int transfer_post_report(struct transfer *t, const char *text, size_t len, struct err *err);
/* Nothing at uri is success: the step decides what a missing input means. */
int transfer_fetch(struct transfer *t, const char *uri, const char *path, struct err *err);
/* A file or a folder; nothing at path is an error. */
int transfer_store(struct transfer *t, const char *path, const char *uri, struct err *err);

#endif
