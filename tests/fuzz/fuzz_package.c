/* SPDX-License-Identifier: Apache-2.0 */
/* Archives. */
#include "base/err.h"
#include "scheduler/plan.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = ERR_INIT;
    char *text = NULL;
    size_t len = 0;
    if (package_open("p.zip", data, size, &text, &len, &err) == 0) {
        assert(text[len] == '\0');
        free(text);
    } else {
        assert(err.msg[0] != '\0');
    }
    return 0;
}
