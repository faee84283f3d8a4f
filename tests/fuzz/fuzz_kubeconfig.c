/* SPDX-License-Identifier: Apache-2.0 */
/* A kubeconfig: taken whole or refused with words; never a server that is not http(s). */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"
#include "kube/kube.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char folder[] = "/tmp/rondo-fuzz-XXXXXX";

static void remove_folder(void)
{
    struct err ignored;
    if (dir_remove(folder, &ignored) != 0) {
        return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool is_made;
    if (!is_made) {
        is_made = mkdtemp(folder) != NULL;
        assert(is_made);
        atexit(remove_folder);
    }
    struct kube_credentials c;
    struct err err = ERR_INIT;
    if (kube_credentials_parse(&c, (const char *)data, size, "/base", folder, &err) != 0) {
        assert(err.code != ERR_NONE && err.msg[0] != '\0');
        return 0;
    }
    assert(str_starts(c.server, "http://") || str_starts(c.server, "https://"));
    assert(c.namespace_ != NULL);
    kube_credentials_done(&c);
    return 0;
}
