/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop (libevent), its timers and deferred calls. One loop, one thread.
 *
 * Rules every asynchronous operation follows:
 *   - start returns a handle; done() runs exactly once, from the loop, never inside start;
 *   - cancel is synchronous: afterwards no callback comes and the memory may go;
 *   - nothing is freed under a caller's feet: use loop_defer().
 */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct event_base;
struct loop;

struct loop *loop_new(struct err *err);
void loop_free(struct loop *loop);
/* Runs until loop_stop(). */
void loop_run(struct loop *loop);
/* Runs one turn; waits for something to happen if block. For tests. */
void loop_turn(struct loop *loop, bool block);
void loop_stop(struct loop *loop);
struct event_base *loop_base(struct loop *loop);

typedef void loop_fn(void *owner);

/*
 * A timer is embedded in its owner. Relative timers use the monotonic clock; instants use the
 * wall clock and are re-armed when that clock is stepped (timerfd cancel-on-set) or moved by a
 * test. Starting a running timer moves it.
 */
struct timer {
    struct loop *loop;
    loop_fn *fn;
    void *owner;
    void *event_; /* this file's business, as all below */
    int64_t at_us_;
    uint64_t order_;
    size_t slot_;
    int state_;
    struct timer *prev_, *next_;
};
void timer_init(struct timer *timer, struct loop *loop, loop_fn *fn, void *owner);
void timer_start_ms(struct timer *timer, int64_t after_ms);
void timer_start_at(struct timer *timer, int64_t at_us); /* past = next turn of the loop */
void timer_stop(struct timer *timer);
bool timer_is_armed(const struct timer *timer);
void timer_done(struct timer *timer); /* stops and releases; fine on a zeroed timer */

/* After clock_set_shift_us(): re-arm every instant timer. */
void loop_clock_changed(struct loop *loop);

/* Call fn(owner) at the bottom of this turn of the loop. Order is kept. */
struct deferred {
    loop_fn *fn;
    void *owner;
    struct deferred *next_;
    bool is_queued_;
};
void loop_defer(struct loop *loop, struct deferred *d, loop_fn *fn, void *owner);
void loop_defer_cancel(struct loop *loop, struct deferred *d);
/* The same, with memory of its own; cannot be cancelled. */
void loop_defer_once(struct loop *loop, loop_fn *fn, void *owner);

#endif
