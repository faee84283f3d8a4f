/* SPDX-License-Identifier: Apache-2.0 */
/* Output parameter files of every type; what they hold becomes text and is coerced. */
#include "base/buf.h"
#include "base/err.h"
#include "scheduler/plan.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (enum value_type type = VALUE_STRING; type <= VALUE_TASK_CONFIG; type++) {
        struct err err = ERR_INIT;
        json_t *value = value_parse_output((const char *)data, size, type, "x", &err);
        assert((value == NULL) == (err.code != ERR_NONE));
        if (value == NULL) {
            continue;
        }
        json_t *same = value_coerce(value, type, "x", &err);
        assert(same != NULL);
        json_t *text = value_coerce(value, VALUE_STRING, "x", &err);
        assert(json_is_string(text));
        struct buf shown;
        buf_init(&shown, 16 << 20);
        value_text(value, &shown);
        assert(shown.len == json_string_length(text));
        buf_done(&shown);
        json_decref(text);
        json_decref(same);
        json_decref(value);
    }
    return 0;
}
