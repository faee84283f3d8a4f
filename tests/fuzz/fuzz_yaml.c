/* SPDX-License-Identifier: Apache-2.0 */
/* Pipeline text: never a crash; what compiles also compiles from its canonical text. */
#include "base/util.h"
#include "scheduler/plan.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct complaints c;
    complaints_init(&c);
    struct plan *plan = plan_compile((const char *)data, size, &c);
    assert((plan == NULL) == (c.errors > 0));
    complaints_done(&c);
    if (plan == NULL) {
        return 0;
    }
    char *text = plan_canonical(plan);
    complaints_init(&c);
    struct plan *again = plan_compile(text, strlen(text), &c);
    assert(again != NULL);
    char *same = plan_canonical(again);
    assert(strcmp(text, same) == 0);
    free(same);
    free(text);
    plan_unref(again);
    complaints_done(&c);
    plan_unref(plan);
    return 0;
}
