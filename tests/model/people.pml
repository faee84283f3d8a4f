/* SPDX-License-Identifier: Apache-2.0 */
/* Time, and people who change recurring runs or ask for a run, by whichever daemon: no fence. */
#if AHEAD

/* Read as if nothing had been claimed ahead (rr_load.lua). */
inline read_progress(r) {
    d_step {
        find_ahead(r);
        was_slot = (IS_AHEAD(r) -> i % TICKS : slot[r]);
        was_index = (IS_AHEAD(r) -> undo[i] - 1 : index[r]);
        i = 0
    }
}

inline note_standing(r) {
    i = r * TICKS;
    do
    :: i < (r + 1) * TICKS ->
        stands[i] = stands[i] || (undo[i] > 0 && IS_AS_CLAIMED(r) && STANDS);
        i++
    :: else -> break
    od
}

#if ABSENCES > 0
#define SOME_TIME if :: late_now = true :: late_now = false fi
#else
#define SOME_TIME skip
#endif

inline swap_progress(r, disables) {
    d_step {
        find_ahead(r);
        if
        :: was_slot == (IS_AHEAD(r) -> i % TICKS : slot[r]) &&
                was_index == (IS_AHEAD(r) -> undo[i] - 1 : index[r]) ->
            if
            :: IS_AHEAD(r) -> take_back(r)
            :: else -> note_standing(r)
            fi;
            index[r] = index[r] + EDIT;
            changes--;
            if
            :: disables ->
                is_enabled[r] = false;
                waiting[r] = false;
                due[r] = false
            :: else -> due[r] = !waiting[r] && slot[r] < TICKS
            fi
        :: else /* somebody was faster: once more */
        fi;
        has_read = false;
        was_slot = 0;
        was_index = 0;
        which = 0;
        i = 0;
        check()
    }
}

#ifdef BREAK_ASK
#define TAKES_PLACE false
#else
#define TAKES_PLACE true
#endif

/* Who asks now comes before a tick whose instant has not come. */
inline ask(r) {
    d_step {
        asks--;
        find_ahead(r);
        if
        :: busy[r] - (IS_AHEAD(r) -> 1 : 0) < LIMIT ->
            if
            :: IS_AHEAD(r) && TAKES_PLACE -> take_back(r)
            :: else
            fi;
            busy[r]++;
            by_hand[r]++
        :: else
        fi;
        i = 0;
        check()
    }
}

proctype people() {
    byte which, was_slot, was_index;
    bool has_read;

end:
    do
    :: atomic { now < TICKS -> now++ }
    :: atomic { changes > 0 && !has_read ->
            if
            :: is_enabled[0] -> which = 0; has_read = true
#if RRS > 1
            :: is_enabled[1] -> which = 1; has_read = true
#endif
            :: else -> changes = 0
            fi;
            if
            :: has_read -> SOME_TIME; read_progress(which)
            :: else
            fi }
    :: atomic { has_read -> SOME_TIME; swap_progress(which, false) }
#if DISABLES
    :: atomic { has_read -> SOME_TIME; swap_progress(which, true) }
#endif
#if ASKS > 0
    :: atomic { asks > 0 -> SOME_TIME; ask(0) }
    :: atomic { by_hand[0] > 0 -> by_hand[0]--; free_place(0); d_step { check() } }
#endif
    od
}

inline prepare_ahead() {
    do
    :: i < RRS -> is_enabled[i] = true; i++
    :: else -> break
    od;
    i = 0;
    choose(changes, CHANGES);
    choose(asks, ASKS);
    choose(skews, SKEWS);
    choose(absences, ABSENCES)
}

#else

#define prepare_ahead() skip

#endif
