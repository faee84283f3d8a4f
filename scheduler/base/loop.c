/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop. Relative timers are libevent's own. Instant timers sit in one binary heap
 * served by one timerfd on the wall clock, so that a stepped clock is noticed at once. What
 * time it is, is clock.c's business.
 */
#include "base/loop.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/util.h"

enum timer_state {
    TIMER_STATE_IDLE,
    TIMER_STATE_RELATIVE, /* libevent has it */
    TIMER_STATE_WAITING,  /* in the heap */
    TIMER_STATE_FIRING,   /* taken out of the heap, its function is about to be called */
};

struct once {
    struct deferred deferred;
    loop_fn *fn;
    void *owner;
    struct loop *loop;
    struct once *prev, *next;
};

struct loop {
    struct event_base *base;
    bool is_stopping;

    int wall_fd;
    struct event *wall_event;
    bool is_wall_armed;
    int64_t armed_at_us; /* what wall_fd is set to, in shifted time */
    struct timer **heap;
    size_t heap_len, heap_cap;
    uint64_t next_order;
    struct timer *firing; /* list */

    struct event *defer_event;
    struct deferred *defer_first, *defer_last; /* the next round */
    struct deferred *round;                    /* what is left of the round under way */
    bool is_in_round;
    struct once *onces;
};

/* The heap: earliest first; equal instants in the order they were started. */

static bool timer_before(const struct timer *a, const struct timer *b)
{
    return a->at_us_ != b->at_us_ ? a->at_us_ < b->at_us_ : a->order_ < b->order_;
}

static void heap_place(struct loop *loop, size_t slot, struct timer *timer)
{
    loop->heap[slot] = timer;
    timer->slot_ = slot;
}

static void heap_rise(struct loop *loop, size_t slot)
{
    struct timer *timer = loop->heap[slot];
    while (slot > 0 && timer_before(timer, loop->heap[(slot - 1) / 2])) {
        heap_place(loop, slot, loop->heap[(slot - 1) / 2]);
        slot = (slot - 1) / 2;
    }
    heap_place(loop, slot, timer);
}

static void heap_sink(struct loop *loop, size_t slot)
{
    struct timer *timer = loop->heap[slot];
    for (;;) {
        size_t child = 2 * slot + 1;
        if (child >= loop->heap_len) {
            break;
        }
        if (child + 1 < loop->heap_len && timer_before(loop->heap[child + 1], loop->heap[child])) {
            child++;
        }
        if (!timer_before(loop->heap[child], timer)) {
            break;
        }
        heap_place(loop, slot, loop->heap[child]);
        slot = child;
    }
    heap_place(loop, slot, timer);
}

static void heap_add(struct loop *loop, struct timer *timer)
{
    if (loop->heap_len == loop->heap_cap) {
        loop->heap_cap = loop->heap_cap > 0 ? 2 * loop->heap_cap : 64;
        loop->heap = xreallocarray(loop->heap, loop->heap_cap, sizeof(struct timer *));
    }
    heap_place(loop, loop->heap_len++, timer);
    heap_rise(loop, timer->slot_);
}

static void heap_remove(struct loop *loop, struct timer *timer)
{
    size_t slot = timer->slot_;
    assert(slot < loop->heap_len && loop->heap[slot] == timer);
    struct timer *last = loop->heap[--loop->heap_len];
    if (last == timer) {
        return;
    }
    heap_place(loop, slot, last);
    heap_rise(loop, slot);
    heap_sink(loop, last->slot_);
}

/* The wall clock. */

static void wall_arm(struct loop *loop, bool force)
{
    if (loop->heap_len == 0) {
        /* Left as it is: one idle wake-up is cheaper than a call at every stop. */
        return;
    }
    int64_t at_us = loop->heap[0]->at_us_;
    if (!force && loop->is_wall_armed && at_us == loop->armed_at_us) {
        return;
    }
    loop->is_wall_armed = true;
    loop->armed_at_us = at_us;
    int64_t real_us;
    if (__builtin_sub_overflow(at_us, clock_shift_us() + clock_error_us(), &real_us)) {
        real_us = at_us > 0 ? INT64_MAX : 0;
    }
    struct itimerspec when = {.it_value = {.tv_nsec = 1}}; /* zero would disarm it */
    if (real_us > 0) {
        when.it_value.tv_sec = real_us / US_PER_S;
        when.it_value.tv_nsec = (real_us % US_PER_S) * 1000;
    }
    int r =
        timerfd_settime(loop->wall_fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &when, NULL);
    /* ECANCELED tells of a step since the last read, and sets the timer all the same. */
    assert(r == 0 || errno == ECANCELED);
    (void)r;
}

static void firing_unlink(struct loop *loop, struct timer *timer)
{
    if (timer->prev_ != NULL) {
        timer->prev_->next_ = timer->next_;
    } else {
        loop->firing = timer->next_;
    }
    if (timer->next_ != NULL) {
        timer->next_->prev_ = timer->prev_;
    }
    timer->prev_ = timer->next_ = NULL;
}

/*
 * All that are due are taken out first, so that a timer which starts itself again in the past
 * waits for the next turn and cannot keep the others from running.
 */
static void wall_fire(struct loop *loop)
{
    int64_t now_us = clock_now_us();
    struct timer *last = loop->firing;
    while (last != NULL && last->next_ != NULL) {
        last = last->next_;
    }
    while (loop->heap_len > 0 && loop->heap[0]->at_us_ <= now_us) {
        struct timer *timer = loop->heap[0];
        heap_remove(loop, timer);
        timer->state_ = TIMER_STATE_FIRING;
        timer->prev_ = last;
        timer->next_ = NULL;
        if (last != NULL) {
            last->next_ = timer;
        } else {
            loop->firing = timer;
        }
        last = timer;
    }
    while (loop->firing != NULL) {
        struct timer *timer = loop->firing;
        firing_unlink(loop, timer);
        timer->state_ = TIMER_STATE_IDLE;
        timer->fn(timer->owner);
    }
}

static void on_wall(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct loop *loop = arg;
    uint64_t times;
    /* ECANCELED: the clock was set. EAGAIN: woken by loop_clock_changed(). Both: look anew. */
    ssize_t n = read(fd, &times, sizeof times);
    (void)n;
    loop->is_wall_armed = false;
    wall_fire(loop);
    wall_arm(loop, true);
}

void loop_clock_changed(struct loop *loop)
{
    wall_arm(loop, true);
}

/* Timers. */

void timer_init(struct timer *timer, struct loop *loop, loop_fn *fn, void *owner)
{
    *timer = (struct timer){.loop = loop, .fn = fn, .owner = owner};
}

static void on_relative(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct timer *timer = arg;
    timer->state_ = TIMER_STATE_IDLE;
    timer->fn(timer->owner);
}

void timer_start_ms(struct timer *timer, int64_t after_ms)
{
    timer_stop(timer);
    if (timer->event_ == NULL) {
        timer->event_ = evtimer_new(timer->loop->base, on_relative, timer);
        assert(timer->event_ != NULL);
    }
    if (after_ms < 0) {
        after_ms = 0;
    }
    struct timeval tv = {.tv_sec = after_ms / 1000, .tv_usec = (after_ms % 1000) * 1000};
    int r = evtimer_add((struct event *)timer->event_, &tv);
    assert(r == 0);
    (void)r;
    timer->state_ = TIMER_STATE_RELATIVE;
}

void timer_start_at(struct timer *timer, int64_t at_us)
{
    struct loop *loop = timer->loop;
    timer_stop(timer);
    timer->at_us_ = at_us;
    timer->order_ = loop->next_order++;
    timer->state_ = TIMER_STATE_WAITING;
    heap_add(loop, timer);
    wall_arm(loop, false);
}

void timer_stop(struct timer *timer)
{
    switch ((enum timer_state)timer->state_) {
    case TIMER_STATE_IDLE:
        break;
    case TIMER_STATE_RELATIVE:
        evtimer_del((struct event *)timer->event_);
        break;
    case TIMER_STATE_WAITING:
        heap_remove(timer->loop, timer);
        break;
    case TIMER_STATE_FIRING:
        firing_unlink(timer->loop, timer);
        break;
    }
    timer->state_ = TIMER_STATE_IDLE;
}

bool timer_is_armed(const struct timer *timer)
{
    return timer->state_ != TIMER_STATE_IDLE;
}

void timer_done(struct timer *timer)
{
    timer_stop(timer);
    if (timer->event_ != NULL) {
        event_free(timer->event_);
        timer->event_ = NULL;
    }
}

/* Deferred calls. */

static void on_defer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct loop *loop = arg;
    assert(loop->round == NULL);
    loop->round = STEAL(loop->defer_first);
    loop->defer_last = NULL;
    loop->is_in_round = true;
    while (loop->round != NULL) {
        struct deferred *d = loop->round;
        loop->round = d->next_;
        d->next_ = NULL;
        d->is_queued_ = false;
        d->fn(d->owner);
    }
    loop->is_in_round = false;
}

void loop_defer(struct loop *loop, struct deferred *d, loop_fn *fn, void *owner)
{
    d->fn = fn;
    d->owner = owner;
    if (d->is_queued_) {
        return;
    }
    d->is_queued_ = true;
    d->next_ = NULL;
    if (loop->defer_last != NULL) {
        loop->defer_last->next_ = d;
    } else {
        loop->defer_first = d;
        /* From inside a round: after the next look at the sockets, or a chain of deferred calls
         * would starve them. Otherwise: at the end of the queue libevent is working off. */
        if (loop->is_in_round) {
            evtimer_add(loop->defer_event, &(struct timeval){0});
        } else {
            event_active(loop->defer_event, EV_TIMEOUT, 0);
        }
    }
    loop->defer_last = d;
}

/* True if d was in the list. */
static bool defer_unlink(struct deferred **first, struct deferred **last, struct deferred *d)
{
    struct deferred *before = NULL;
    for (struct deferred *i = *first; i != NULL; before = i, i = i->next_) {
        if (i != d) {
            continue;
        }
        if (before != NULL) {
            before->next_ = d->next_;
        } else {
            *first = d->next_;
        }
        if (last != NULL && *last == d) {
            *last = before;
        }
        return true;
    }
    return false;
}

void loop_defer_cancel(struct loop *loop, struct deferred *d)
{
    if (!d->is_queued_) {
        return;
    }
    if (!defer_unlink(&loop->round, NULL, d)) {
        defer_unlink(&loop->defer_first, &loop->defer_last, d);
    }
    d->next_ = NULL;
    d->is_queued_ = false;
    if (loop->defer_first == NULL) {
        event_del(loop->defer_event);
    }
}

static void once_unlink(struct once *once)
{
    if (once->prev != NULL) {
        once->prev->next = once->next;
    } else {
        once->loop->onces = once->next;
    }
    if (once->next != NULL) {
        once->next->prev = once->prev;
    }
}

static void once_run(void *owner)
{
    struct once *once = owner;
    loop_fn *fn = once->fn;
    void *fn_owner = once->owner;
    once_unlink(once);
    free(once);
    fn(fn_owner);
}

void loop_defer_once(struct loop *loop, loop_fn *fn, void *owner)
{
    struct once *once = xcalloc(1, sizeof *once);
    once->fn = fn;
    once->owner = owner;
    once->loop = loop;
    once->next = loop->onces;
    if (once->next != NULL) {
        once->next->prev = once;
    }
    loop->onces = once;
    loop_defer(loop, &once->deferred, once_run, once);
}

/* The loop. */

static int wall_open(struct loop *loop, struct err *err)
{
    loop->wall_fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
    if (loop->wall_fd < 0) {
        return err_errno(err, errno, "timerfd_create");
    }
    loop->wall_event = event_new(loop->base, loop->wall_fd, EV_READ | EV_PERSIST, on_wall, loop);
    loop->defer_event = evtimer_new(loop->base, on_defer, loop);
    if (loop->wall_event == NULL || loop->defer_event == NULL ||
        event_add(loop->wall_event, NULL) != 0) {
        return err_set(err, ERR_INTERNAL, "event loop: cannot watch the clock");
    }
    return 0;
}

struct loop *loop_new(struct err *err)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &ignore, NULL); /* a peer that went away is an EPIPE, not our end */

    event_set_mem_functions(xmalloc, xrealloc, free); /* out of memory aborts there as well */
    struct loop *loop = xcalloc(1, sizeof *loop);
    loop->wall_fd = -1;
    struct event_config *config = event_config_new();
    if (config != NULL) {
        /* No cached time: a timer started late in a long turn must not fire early. */
        event_config_set_flag(config, EVENT_BASE_FLAG_NO_CACHE_TIME);
        event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
        event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
        loop->base = event_base_new_with_config(config);
        event_config_free(config);
    }
    if (loop->base == NULL) {
        err_set(err, ERR_INTERNAL, "event loop: libevent found no way to wait on this system");
        loop_free(loop);
        return NULL;
    }
    if (wall_open(loop, err) != 0) {
        loop_free(loop);
        return NULL;
    }
    return loop;
}

void loop_free(struct loop *loop)
{
    if (loop == NULL) {
        return;
    }
    while (loop->onces != NULL) {
        struct once *once = loop->onces;
        once_unlink(once);
        free(once);
    }
    if (loop->wall_event != NULL) {
        event_free(loop->wall_event);
    }
    if (loop->defer_event != NULL) {
        event_free(loop->defer_event);
    }
    if (loop->wall_fd >= 0) {
        close(loop->wall_fd);
    }
    if (loop->base != NULL) {
        event_base_free(loop->base);
    }
    free(loop->heap);
    free(loop);
}

void loop_run(struct loop *loop)
{
    /* Turn by turn, so that a stop asked for before the run counts as well. */
    while (!loop->is_stopping) {
        event_base_loop(loop->base, EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY);
    }
    loop->is_stopping = false;
}

void loop_turn(struct loop *loop, bool block)
{
    event_base_loop(loop->base, block ? EVLOOP_ONCE : EVLOOP_NONBLOCK);
}

void loop_stop(struct loop *loop)
{
    loop->is_stopping = true;
}

struct event_base *loop_base(struct loop *loop)
{
    return loop->base;
}
