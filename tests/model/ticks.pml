/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One shard, two daemons: lease, claim, birth, hatch, save and end, as the scripts do them
 * (shard_acquire.lua, shard_release.lua, claim.lua, run_hatch.lua, run_save.lua). A script is one
 * step; everything between two scripts can happen in any order. A daemon that makes no step for
 * as long as you like is one that was stopped; what it had prepared is sent when it wakes up.
 *
 * All ticks are due from the beginning, so no clock is needed: whoever may fire, may fire now; with AHEAD
 * they come one after the other, and may be claimed before (ahead.pml, people.pml).
 * Faults have budgets that are chosen first, thus every way through the model ends, and what
 * must have become of everything in the end is checked where nothing more can be done.
 *
 * tests/check/test_model.py gives the sizes, and breaks single rules (BREAK_...) to show that each is needed.
 */
#ifndef RRS
#define RRS 1 /* recurring runs */
#endif
#ifndef WAITING
#define WAITING 1 /* so many of them wait for a place, the others skip */
#endif
#ifndef TICKS
#define TICKS 2
#endif
#ifndef LIMIT
#define LIMIT 1 /* active runs of each */
#endif
#ifndef CRASHES
#define CRASHES 1
#endif
#ifndef LOSSES
#define LOSSES 1 /* answers, or requests that arrive at any time after their sender gave them up */
#endif
#ifndef TAKEOVERS
#define TAKEOVERS 1 /* of a shard whose holder only seemed dead */
#endif
#ifndef RELEASES
#define RELEASES 0
#endif
#ifndef READERS
#define READERS 0 /* somebody reads a run by its id, and so hatches it */
#endif
#ifndef AHEAD
#define AHEAD 0 /* 1: ticks have their time, and are claimed before it */
#endif

#define RUNS (RRS * TICKS)
#define RUN(r, tick) ((r) * TICKS + (tick) - 1)

/* What has become of a tick. */
#define NOTHING 0
#define BORN 1
#define PENDING 2
#define RUNNING 3
#define DONE 4
#define SKIPPED 5
#define FORGOTTEN 6 /* only when broken: not born any more, and no run yet */
#define HIDDEN 7    /* claimed ahead of its instant */
#define REVEALED 8  /* born like that, and its instant has come */

#define WAITS(r) ((r) < WAITING)

#define IS_BORN(s) ((s) == BORN || (s) == REVEALED)
#define IS_ACTIVE(s) (IS_BORN(s) || (s) == PENDING || (s) == RUNNING || (s) == FORGOTTEN || (s) == HIDDEN)

/* Scripts */
#define ACQUIRE 1
#define RELEASE 2
#define CLAIM 3
#define HATCH 4
#define SAVE 5
#define HATCH_WRITES 6 /* only when broken */
#define CLAIM_AHEAD 7
#define REVEAL 8

/* Answers */
#define NO 0
#define OK 1
#define FENCED 2
#define STALE 3
#define FULL 4
#define PASSED 5
#define EARLY 6
#define AGAIN 7

/* ---- what Redis has ---- */

byte epoch, owner;                 /* owner: 0 nobody */
byte slot[RRS], index[RRS];        /* progress, compared as a whole */
byte busy[RRS];
bool waiting[RRS], due[RRS];
byte state[RUNS], rev[RUNS];

/* ---- what only the model knows ---- */

byte term;                         /* how often the shard was taken */
byte made[RUNS], ended[RUNS];
byte crashes, losses, takeovers, releases, readers;
bool is_up[3];

typedef request {
    byte op, epoch, term, r, x, y, z
};
request sent[3];                   /* of each daemon the one under way; 0: one that nobody waits for */
hidden byte answer, i, count;

/* A script that carries something on belongs to whoever holds the shard now. */
#define BY_HOLDER(q) assert(sent[q].term == term)

#ifdef BREAK_FENCE
#define IS_FENCED(q) false
#else
#define IS_FENCED(q) (sent[q].epoch != epoch)
#endif

#ifdef BREAK_LIMIT
#define HAS_PLACE(q) ((sent[q].z >> 1) < LIMIT) /* as the daemon read and counted it */
#define SEEN(count) ((count) << 1)
#else
#define HAS_PLACE(q) (busy[sent[q].r] < LIMIT)
#define SEEN(count) 0
#endif

#ifdef BREAK_COMPARE
#define IS_AS_READ(q) true
#else
#define IS_AS_READ(q) (slot[sent[q].r] == sent[q].x && index[sent[q].r] == sent[q].y)
#endif

#include "ahead.pml"

/* A tick has its run, and everybody may see that. */
inline happens(rr, tick) {
    made[i]++;
    assert(made[i] == 1);                         /* never doubled */
    assert(MAY_HAPPEN(rr, tick))
}

inline fire(q) {
    BY_HOLDER(q);
    assert(sent[q].x < TICKS);
    i = RUN(sent[q].r, sent[q].x + 1);
    assert(state[i] == NOTHING);
    state[i] = BORN;
    happens(sent[q].r, sent[q].x + 1);
    slot[sent[q].r] = sent[q].x + 1;
    index[sent[q].r] = sent[q].y + 1;
    busy[sent[q].r]++;
    due[sent[q].r] = slot[sent[q].r] < TICKS;
    waiting[sent[q].r] = false;
    answer = OK
}

inline pass(q) {
    BY_HOLDER(q);
    assert(sent[q].x < TICKS);
    if
    :: WAITS(sent[q].r) ->                        /* it waits where it is */
        waiting[sent[q].r] = true;
        due[sent[q].r] = false
    :: else ->
        i = RUN(sent[q].r, sent[q].x + 1);
        assert(state[i] == NOTHING);
#ifndef BREAK_LEDGER
        state[i] = SKIPPED;
#endif
        slot[sent[q].r] = sent[q].x + 1;
        due[sent[q].r] = slot[sent[q].r] < TICKS
    fi;
    answer = PASSED
}

inline claim(q) {
    if
    :: IS_FENCED(q) -> answer = FENCED
    :: else ->
        if
        :: !IS_AS_READ(q) ->
            if /* the same call again, whose answer was lost */
            :: slot[sent[q].r] == sent[q].x + 1 && index[sent[q].r] == sent[q].y + 1 -> answer = OK
            :: else -> answer = STALE
            fi
        :: IS_AS_READ(q) && !HAS_COME(sent[q].x + 1) -> answer = EARLY
        :: else ->
            if
            :: HAS_PLACE(q) -> fire(q)
            :: !HAS_PLACE(q) && (sent[q].z & 1) == 0 -> answer = FULL
            :: else -> pass(q)
            fi
        fi
    fi
}

/* Anybody may do this: no fence. */
inline hatch(q) {
    i = RUN(sent[q].r, sent[q].x);
    if
    :: sent[q].op == HATCH_WRITES ->
        state[i] = PENDING;
        answer = OK
    :: sent[q].op == HATCH && IS_BORN(state[i]) ->
#ifdef BREAK_HATCH
        state[i] = FORGOTTEN;
#else
        state[i] = PENDING;
#endif
        answer = OK
    :: else -> answer = OK
    fi
}

inline free_place(rr) {
    busy[rr]--;
#ifndef BREAK_WAKE
    if
    :: waiting[rr] ->
        waiting[rr] = false;
        due[rr] = true
    :: else
    fi
#endif
}

inline finish(q) {
    state[i] = DONE;
    ended[i]++;
    assert(ended[i] == 1);
    free_place(sent[q].r)
}

#ifdef BREAK_SAVE
#define WAS_SAVED(q) false
#else
#define WAS_SAVED(q) (rev[i] >= sent[q].y)
#endif

inline save(q) {
    i = RUN(sent[q].r, sent[q].x);
    if
    :: IS_FENCED(q) -> answer = FENCED
    :: !IS_FENCED(q) && WAS_SAVED(q) -> answer = OK
    :: else ->
        BY_HOLDER(q);
        assert(rev[i] + 1 >= sent[q].y);              /* none is missing (CONFLICT) */
        rev[i] = sent[q].y;
        if
        :: sent[q].y == 1 -> state[i] = RUNNING
        :: else -> finish(q)
        fi;
        answer = OK
    fi
}

inline acquire(q) {
    if
    :: epoch == sent[q].x ->
#ifndef BREAK_EPOCH
        epoch++;
#else
        epoch = (epoch == 0 -> 1 : epoch);
#endif
        owner = sent[q].y;
        term++;
        answer = OK
    :: else -> answer = NO
    fi
}

inline release(q) {
    if
    :: epoch == sent[q].epoch ->
        epoch++;
        owner = 0;
        term++;
        answer = OK
    :: else -> answer = NO
    fi
}

/* Each script leaves things as they ought to be. */
inline check() {
    i = 0;
    count = 0;
    do
    :: i < RUNS ->
        if
        :: IS_ACTIVE(state[i]) -> count++
        :: else
        fi;
        i++;
        if
        :: i % TICKS == 0 ->
            count = count + BY_HAND(i / TICKS - 1);
            assert(busy[i / TICKS - 1] == count);
            assert(count <= LIMIT);               /* never one more */
            count = 0
        :: else
        fi
    :: else -> break
    od;
    i = 0;
    count = 0
}

inline carry_out(q) {
    d_step {
        if
        :: sent[q].op == ACQUIRE -> acquire(q)
        :: sent[q].op == RELEASE -> release(q)
        :: sent[q].op == CLAIM -> claim(q)
        :: sent[q].op == HATCH || sent[q].op == HATCH_WRITES -> hatch(q)
#if AHEAD
        :: sent[q].op == CLAIM_AHEAD -> claim_ahead(q)
        :: sent[q].op == REVEAL -> reveal(q)
#endif
        :: else -> save(q)
        fi;
        check()
    }
}

inline clear(q) {
    sent[q].op = 0;
    sent[q].epoch = 0;
    sent[q].term = 0;
    sent[q].r = 0;
    sent[q].x = 0;
    sent[q].y = 0;
    sent[q].z = 0
}

inline give_up(q) { /* it may still arrive */
    sent[0].op = sent[q].op;
    sent[0].epoch = sent[q].epoch;
    sent[0].term = sent[q].term;
    sent[0].r = sent[q].r;
    sent[0].x = sent[q].x;
    sent[0].y = sent[q].y;
    sent[0].z = sent[q].z;
    clear(q)
}

inline prepare(what, whose, a, b, c) {
    sent[me].op = what;
    sent[me].epoch = mine;
    sent[me].term = my_term;
    sent[me].r = whose;
    sent[me].x = a;
    sent[me].y = b;
    sent[me].z = c
}

/* ---- a daemon ---- */

#ifdef BREAK_BIRTHS
#define KNOWS_OF_BIRTH(run) told[run] /* only of its own claims, while it lives */
#define TELL(run) told[run] = true
#else
#define KNOWS_OF_BIRTH(run) true
#define TELL(run) skip
#endif

inline forget_all() {
    mine = 0;
    my_term = 0;
    forget_ahead();
    n = 0;
    do
    :: n < RRS -> has[n] = false; at[n] = 0; fired[n] = 0; seen[n] = 0; n++
    :: else -> break
    od;
    n = 0;
    do
    :: n < RUNS ->
        next_save[n] = 0;
#ifdef BREAK_BIRTHS
        told[n] = false;
#endif
        n++
    :: else -> break
    od;
    n = 0
}

inline hear(was, rr, x1, y1) {
    if
    :: answer == FENCED -> forget_all()
    :: was == ACQUIRE && answer == OK ->
#ifdef BREAK_EPOCH
        mine = 1;
#else
        mine = x1 + 1;
#endif
        my_term = term
    :: was == RELEASE -> forget_all()
    :: was == CLAIM && answer == OK ->
        at[rr] = x1 + 1;
        fired[rr] = y1 + 1;
        seen[rr] = SEEN((seen[rr] >> 1) + 1);
        TELL(RUN(rr, x1 + 1));
        has[rr] = at[rr] < TICKS
    :: was == CLAIM && answer == FULL -> seen[rr] = seen[rr] | 1
    :: was == CLAIM && answer == PASSED ->
        seen[rr] = 0;
        at[rr] = x1 + 1;
        has[rr] = !WAITS(rr) && at[rr] < TICKS
    :: (was == CLAIM || was == CLAIM_AHEAD) && answer == STALE -> has[rr] = false
    HEAR_AHEAD(was, rr, x1, y1)
    :: was == SAVE && answer == OK ->
        next_save[RUN(rr, x1)] = (y1 == 1 -> 2 : 0)
    :: else
    fi;
    if
    :: (was == CLAIM || was == CLAIM_AHEAD) && !has[rr] -> at[rr] = 0; fired[rr] = 0; seen[rr] = 0
    :: else
    fi;
#ifdef BREAK_HATCH
    if
    :: was == HATCH && state[RUN(rr, x1)] == FORGOTTEN -> sent[me].op = HATCH_WRITES
    :: else -> clear(me)
    fi;
#else
    clear(me);
#endif
    answer = 0
}

#define IS_FREE (is_up[me] && sent[me].op == 0)

#define TICKER(rr) \
    :: atomic { IS_FREE && mine != 0 && due[rr] && !has[rr] -> \
            has[rr] = true; \
            at[rr] = slot[rr]; \
            fired[rr] = index[rr]; \
            seen[rr] = SEEN(busy[rr]) } \
    :: atomic { IS_FREE && mine != 0 && has[rr] && MAY_BE_DUE(rr) -> \
            prepare(CLAIM, rr, at[rr], fired[rr], seen[rr]) }

/* Births get their records; then the engine has them, or finds them among those that are live. */
#define CARRIES_ON(run) \
    :: atomic { IS_FREE && mine != 0 && IS_BORN(state[run]) && KNOWS_OF_BIRTH(run) -> \
            prepare(HATCH, (run) / TICKS, (run) % TICKS + 1, 0, 0) } \
    :: atomic { IS_FREE && mine != 0 && (state[run] == PENDING || state[run] == RUNNING) && \
            next_save[run] == 0 -> next_save[run] = rev[run] + 1 } \
    :: atomic { IS_FREE && mine != 0 && next_save[run] != 0 -> \
            prepare(SAVE, (run) / TICKS, (run) % TICKS + 1, next_save[run], 0) }

proctype daemon(byte me) {
    byte mine, my_term, n;
    bool has[RRS];
#ifdef BREAK_BIRTHS
    bool told[RUNS];
#endif
    byte at[RRS], fired[RRS], seen[RRS]; /* seen: 1 ask for the policy; from 2 (when broken): active runs */
    byte next_save[RUNS];
    KNOWS_AHEAD

end:
    do
    /* the lease */
    :: atomic { IS_FREE && mine == 0 &&
            (owner == 0 || owner == me || !is_up[owner]) ->
            prepare(ACQUIRE, 0, epoch, me, 0) }
    :: atomic { IS_FREE && mine == 0 && owner == 3 - me && is_up[owner] &&
            takeovers > 0 ->
            takeovers--;
            prepare(ACQUIRE, 0, epoch, me, 0) }
    :: atomic { IS_FREE && mine != 0 && releases > 0 ->
            releases--;
            prepare(RELEASE, 0, 0, 0, 0) }

    TICKER(0)
#if RRS > 1
    TICKER(1)
#endif
#if AHEAD
    LOOKS_AHEAD
    CLAIMS_AHEAD(0)
    REVEALS(1)
#if RRS > 1
    CLAIMS_AHEAD(1)
#endif
#if TICKS > 1
    REVEALS(2)
#endif
#if TICKS > 2
    REVEALS(3)
#endif
#endif
    CARRIES_ON(0)
#if RUNS > 1
    CARRIES_ON(1)
#endif
#if RUNS > 2
    CARRIES_ON(2)
#endif
#if RUNS > 3
    CARRIES_ON(3)
#endif

    /* Redis carries out what was sent; the answer comes, or not */
    :: atomic { is_up[me] && sent[me].op != 0 ->
            carry_out(me);
            if
            :: hear(sent[me].op, sent[me].r, sent[me].x, sent[me].y)
            :: losses > 0 -> losses--; note_ahead(); clear(me); answer = 0
            fi }
    :: atomic { is_up[me] && sent[me].op != 0 && losses > 0 && sent[0].op == 0 ->
            losses--;
            note_ahead();
            give_up(me) }

    :: atomic { is_up[me] && crashes > 0 ->
            crashes--;
            is_up[me] = false;
            if
            :: sent[me].op != 0 && sent[0].op == 0 -> give_up(me)
            :: clear(me)
            fi;
            forget_all() }
    :: atomic { !is_up[me] -> is_up[me] = true }
    od
}

/* What somebody has given up, and people who look. */
proctype world() {
end:
    do
    :: atomic { sent[0].op != 0 -> carry_out(0); clear(0); answer = 0 }
#if READERS > 0
    :: atomic { readers > 0 ->
            readers--;
            i = 0;
            do
            :: i < RUNS - 1 -> i++
            :: break
            od;
            if
            :: IS_BORN(state[i]) -> state[i] = PENDING
            :: else
            fi;
            i = 0 }
#endif
    od
}

/* Nothing more can be done: then everything has been. */
proctype judge() {
end:
    timeout;
    atomic {
        i = 0;
        do
        :: i < RUNS ->
            assert(state[i] == DONE || state[i] == SKIPPED || IS_OFF(i / TICKS, i)); /* never lost, every birth hatched */
            assert(state[i] != SKIPPED || !WAITS(i / TICKS));
            assert(made[i] == (state[i] == DONE) && ended[i] == made[i]);
            i++
        :: else -> break
        od;
        i = 0;
        do
        :: i < RRS ->
            assert((slot[i] == TICKS || !IS_ENABLED(i)) && busy[i] == 0 && !waiting[i] && !due[i]);
            i++
        :: else -> break
        od
    }
}

inline choose(budget, most) {
    budget = 0;
    do
    :: budget < most -> budget++
    :: break
    od
}

#include "people.pml"

init {
    atomic {
        i = 0;
        do
        :: i < RRS -> due[i] = true; i++
        :: else -> break
        od;
        i = 0;
        choose(crashes, CRASHES);
        choose(losses, LOSSES);
        choose(takeovers, TAKEOVERS);
        choose(releases, RELEASES);
        choose(readers, READERS);
        prepare_ahead();
        is_up[1] = true;
        is_up[2] = true;
        run daemon(1);
        run daemon(2);
        run world();
#if AHEAD
        run people();
#endif
        run judge()
    }
}
