/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where Python environments of local steps live: shared ones in DATA/venvs, a step's own in its
 * folder, downloads of pip in DATA/cache/pip. Making and using them is the launcher's work
 * (launch/venv.c), so that the daemon never waits for pip.
 */
#include <stdlib.h>

#include "base/util.h"
#include "exec/local.h"

json_t *local_venv(const struct local_attempt *a)
{
    CLEANUP(cleanup_free) char *dir = xasprintf("%s/venvs", a->local->data_dir);
    CLEANUP(cleanup_free) char *cache = xasprintf("%s/cache/pip", a->local->data_dir);
    CLEANUP(cleanup_free) char *own = xasprintf("%s/venv", a->dir);
    return json_pack("{s:s,s:s,s:s}", "dir", dir, "cache", cache, "private", own);
}
