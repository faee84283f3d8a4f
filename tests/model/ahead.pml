/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Claiming ahead (scheduler/trigger/ahead.c): before a tick has come its run is claimed into the hidden group of
 * its instant, which ahead_reveal.lua lets happen once it has come (claim.lua, ahead.lua.in). A change of the
 * recurring run (rr_swap.lua), or somebody who asks for a run (fire.lua), takes the tick back before that; so
 * does ahead_reveal.lua when it comes late.
 * Tick n of every recurring run has the same instant, so they share a group.
 *
 * A daemon looks for groups once, when it has taken the shard; that it does so again every half minute (SWEEP_MS)
 * is left out, for what only that finds is late.
 */
#if AHEAD

#ifndef CHANGES
#define CHANGES 1 /* of a recurring run: an edit, or it is disabled for good */
#endif
#ifndef ASKS
#define ASKS 0 /* for a run at once, if there is a place */
#endif
#ifndef SKEWS
#define SKEWS 0 /* a daemon's clock is so often ahead of Redis's */
#endif
#ifndef ABSENCES
#define ABSENCES 0 /* a group is so often found later than a second */
#endif
#ifndef DISABLES
#define DISABLES 1 /* 0: changes are edits only */
#endif

/* ---- what Redis has ---- */

byte now;                          /* so many ticks have come */
byte groups;                       /* `ahead`: bits of instants */
byte undo[RUNS];                   /* the index that the claim wrote; 0: no record */
bool is_enabled[RRS];
byte by_hand[RRS];                 /* active runs that somebody has asked for */
byte changes, asks, skews, absences;
bool stands[RUNS];                 /* its instant had come when its recurring run was disabled */
bool late_now;                     /* whoever looks next does so more than a second after what has come */

#define BIT(tick) (1 << ((tick) - 1))
#define HAS_COME(tick) ((tick) <= now)
#define IS_ENABLED(r) is_enabled[r]
#define IS_OFF(r, run) (!is_enabled[r] && state[run] == NOTHING)
#define BY_HAND(r) by_hand[r]
/* Not before its instant, and not any more once somebody was told that it will not. */
#define MAY_HAPPEN(r, tick) (HAS_COME(tick) && (is_enabled[r] || stands[RUN(r, tick)]))
/* An edit makes another text of the progress: what it has besides the slot grows by this. */
#define EDIT 8

/* ---- scripts ---- */

#ifdef BREAK_LATE
#define IS_LATE(q) false
#else
#define IS_LATE(q) HAS_COME(sent[q].x + 1)
#endif

/* Into the group; one that has happened and whose runs have no records yet makes no difference (births). */
inline hide(q) {
    BY_HOLDER(q);
    count = 0;
    i = 0;
    do
    :: i < RUNS ->
        if
        :: i % TICKS == sent[q].x && state[i] == REVEALED -> count++
        :: else
        fi;
        i++
    :: else -> break
    od;
    i = RUN(sent[q].r, sent[q].x + 1);
    assert(state[i] == NOTHING);
    state[i] = (count > 0 -> REVEALED : HIDDEN);
    undo[i] = sent[q].y + 1;
#ifdef BREAK_HIDE
    state[i] = BORN;
    happens(sent[q].r, sent[q].x + 1);
#endif
    groups = groups | BIT(sent[q].x + 1);
    slot[sent[q].r] = sent[q].x + 1;
    index[sent[q].r] = sent[q].y + 1;
    busy[sent[q].r]++;
    due[sent[q].r] = slot[sent[q].r] < TICKS;
    answer = OK
}

inline claim_ahead(q) {
    if
    :: IS_FENCED(q) -> answer = FENCED
    :: else ->
        if
        :: !IS_AS_READ(q) ->
            if
            :: slot[sent[q].r] == sent[q].x + 1 && index[sent[q].r] == sent[q].y + 1 -> answer = OK
            :: else -> answer = STALE
            fi
        :: IS_AS_READ(q) && IS_LATE(q) -> answer = EARLY /* then it is tried as due */
        :: else ->
            if
            :: HAS_PLACE(q) -> hide(q)
            :: else -> answer = FULL
            fi
        fi
    fi
}

#ifdef BREAK_REVEAL
#define REVEAL_IS_FENCED(q) false
#else
#define REVEAL_IS_FENCED(q) IS_FENCED(q)
#endif

#ifdef BREAK_CLOCK
#define IS_TOO_EARLY(q) false
#else
#define IS_TOO_EARLY(q) !HAS_COME(sent[q].x)
#endif

#ifdef BREAK_REPEAT
#define IS_GROUP(q) true
#else
#define IS_GROUP(q) ((groups & BIT(sent[q].x)) != 0)
#endif

#ifdef BREAK_UNDO
#define IS_AS_CLAIMED(r) true
#else
#define IS_AS_CLAIMED(r) (slot[r] == i % TICKS + 1 && index[r] == undo[i])
#endif

/* What has come stands until it happens, unless that takes more than a second. */
#define STANDS (HAS_COME(i % TICKS + 1) && !late_now)

/* i: the run of a tick that was claimed ahead and may be taken back, or the end of those of this one. */
inline find_ahead(r) {
    i = r * TICKS;
    do
    :: i < (r + 1) * TICKS && (undo[i] == 0 || !IS_AS_CLAIMED(r) || STANDS) -> i++
    :: else -> break
    od;
#ifdef BREAK_TAKE
    i = (r + 1) * TICKS
#endif
}

#define IS_AHEAD(r) (i < (r + 1) * TICKS)

inline take_back(r) {
    assert(state[i] == HIDDEN);                   /* nobody has seen it */
    state[i] = NOTHING;
    slot[r] = i % TICKS;
    index[r] = undo[i] - 1;
    undo[i] = 0;
    busy[r]--;
    due[r] = true
}

/* Whatever is in the group happens now. */
inline let_happen(q) {
    i = (IS_GROUP(q) -> sent[q].x - 1 : RUNS);
    do
    :: i < RUNS ->
        BY_HOLDER(q);
        if
        :: state[i] == HIDDEN || state[i] == REVEALED ->
            state[i] = REVEALED;
            happens(i / TICKS, i % TICKS + 1)
        :: else
        fi;
        undo[i] = 0;
        i = i + TICKS
    :: else -> break
    od;
    groups = groups & ~BIT(sent[q].x)
}

/* One with each call; what cannot be taken back stands. */
inline find_late(q) {
    i = (sent[q].z == 1 && IS_GROUP(q) -> sent[q].x - 1 : RUNS);
    do
    :: i < RUNS && undo[i] == 0 -> i = i + TICKS
    :: else -> break
    od
}

inline reveal(q) {
    if
    :: REVEAL_IS_FENCED(q) -> answer = FENCED
    :: !REVEAL_IS_FENCED(q) && IS_TOO_EARLY(q) -> answer = EARLY
    :: else ->
        find_late(q);
        if
        :: i < RUNS ->
            BY_HOLDER(q);
            answer = AGAIN;
            if
            :: IS_AS_CLAIMED(i / TICKS) -> take_back(i / TICKS)
            :: else -> undo[i] = 0
            fi
        :: else ->
            let_happen(q);
            answer = OK
        fi
    fi
}

/* ---- a daemon ---- */

/* Groups that it knows of; whether it has looked for those of others; ticks that it tries when they are due. */
#define KNOWS_AHEAD byte known; bool has_looked; bool not_ahead[RRS];

inline forget_ahead() {
    known = 0;
    has_looked = false;
    n = 0;
    do
    :: n < RRS -> not_ahead[n] = false; n++
    :: else -> break
    od
}

#ifdef BREAK_NOTE
#define NOTES false
#else
#define NOTES true
#endif

/* No answer: it may have been done all the same. */
inline note_ahead() {
    if
    :: NOTES && sent[me].op == CLAIM_AHEAD -> known = known | BIT(sent[me].x + 1)
    :: else
    fi
}

#define HEAR_AHEAD(was, rr, x1, y1) \
    :: was == CLAIM && answer == EARLY \
    :: was == CLAIM_AHEAD && answer == OK -> \
        known = known | BIT(x1 + 1); \
        at[rr] = x1 + 1; \
        fired[rr] = y1 + 1; \
        not_ahead[rr] = false; \
        has[rr] = at[rr] < TICKS \
    :: was == CLAIM_AHEAD && (answer == FULL || answer == EARLY) -> not_ahead[rr] = true \
    :: was == REVEAL && answer == OK -> known = known & ~BIT(x1)

#ifdef BREAK_HELD
#define IS_HELD(rr) false
#else
#define IS_HELD(rr) (at[rr] > 0 && (known & BIT(at[rr])) != 0) /* its last tick has not happened yet */
#endif

#ifdef BREAK_LOOK
#define MAY_CLAIM true
#else
#define MAY_CLAIM has_looked
#endif

#ifdef BREAK_GROUPS
#define LOOK skip
#else
#define LOOK known = known | groups
#endif

#define LOOKS_AHEAD \
    :: atomic { IS_FREE && mine != 0 && !has_looked -> has_looked = true; LOOK }

#define MAY_BE_DUE(rr) (HAS_COME(at[rr] + 1) && MAY_CLAIM && !IS_HELD(rr))

#define CLAIMS_AHEAD(rr) \
    :: atomic { IS_FREE && mine != 0 && has[rr] && !HAS_COME(at[rr] + 1) && MAY_CLAIM && !IS_HELD(rr) && \
            !not_ahead[rr] && seen[rr] == 0 -> prepare(CLAIM_AHEAD, rr, at[rr], fired[rr], 0) } \
    :: atomic { IS_FREE && mine != 0 && has[rr] && !HAS_COME(at[rr] + 1) && MAY_CLAIM && !IS_HELD(rr) && \
            skews > 0 -> skews--; prepare(CLAIM, rr, at[rr], fired[rr], seen[rr]) }

#define REVEALS(tick) \
    :: atomic { IS_FREE && mine != 0 && (known & BIT(tick)) != 0 && HAS_COME(tick) -> \
            prepare(REVEAL, 0, tick, 0, 0) } \
    :: atomic { IS_FREE && mine != 0 && (known & BIT(tick)) != 0 && HAS_COME(tick) && absences > 0 -> \
            absences--; prepare(REVEAL, 0, tick, 0, 1) } \
    :: atomic { IS_FREE && mine != 0 && (known & BIT(tick)) != 0 && !HAS_COME(tick) && skews > 0 -> \
            skews--; prepare(REVEAL, 0, tick, 0, 0) }

#else

#define HAS_COME(tick) true
#define MAY_HAPPEN(r, tick) true
#define MAY_BE_DUE(rr) true
#define IS_ENABLED(r) true
#define IS_OFF(r, run) false
#define BY_HAND(r) 0
#define KNOWS_AHEAD
#define HEAR_AHEAD(was, rr, x1, y1)
#define forget_ahead() skip
#define note_ahead() skip

#endif
