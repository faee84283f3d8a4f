/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of refs as any server may send them: read, or refused; what is read is branches and tags.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"
#include "base/util.h"
#include "webhooks/in/forge_api.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct git_refs refs;
    struct err err = ERR_INIT;
    if (git_refs_parse((const char *)data, size, &refs, &err) != 0) {
        assert(err.code != ERR_NONE);
        return 0;
    }
    for (size_t i = 0; i < refs.count; i++) {
        const struct git_ref *ref = &refs.items[i];
        assert(str_starts(ref->name, "refs/heads/") || str_starts(ref->name, "refs/tags/"));
        assert(strlen(ref->id) == 40 || strlen(ref->id) == 64);
        assert(ref->peeled == NULL || strlen(ref->peeled) == 40 || strlen(ref->peeled) == 64);
    }
    git_refs_done(&refs);
    return 0;
}
