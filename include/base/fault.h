/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Named fault points, compiled in only in TESTING builds. RONDO_FAULT="name[:n][:crash|fail]"
 * acts at the n-th passage (default 1): crash = SIGKILL to ourselves; fail = FAULT_FAILS true.
 * Several are separated by commas. tests/integration/test_kill_sweep.py kills at each of them,
 * finding them by `rondod --list-faults`, so every name is registered in scheduler/base/fault.c.
 */
#ifndef BASE_FAULT_H
#define BASE_FAULT_H

#include <stdbool.h>

#ifdef TESTING
bool fault_hit(const char *name);
#define FAULT(name) ((void)fault_hit(name))
#define FAULT_FAILS(name) fault_hit(name)
#else
#define FAULT(name) ((void)0)
#define FAULT_FAILS(name) false
#endif

/* NULL-terminated list of all names. */
const char *const *fault_names(void);

#endif
