/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON from outside: what is accepted must survive our writer unchanged, and the readers must
 * answer or refuse every kind.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_members(const json_t *obj)
{
    static const char *const keys[] = {"a", "b", "name", "t", NULL};
    struct err err = ERR_INIT;

    for (size_t i = 0; keys[i] != NULL; i++) {
        const char *text = NULL;
        const json_t *inner = NULL;
        int64_t number = 0;
        bool flag = false;
        int refused = 0;
        refused += jread_string(obj, "x", keys[i], &text, &err) != 0;
        refused += jread_need_string(obj, "x", keys[i], &text, &err) != 0;
        refused += jread_i64(obj, "x", keys[i], -1000, 1000, &number, &err) != 0;
        refused += jread_bool(obj, "x", keys[i], &flag, &err) != 0;
        refused += jread_object(obj, "x", keys[i], &inner, &err) != 0;
        refused += jread_array(obj, "x", keys[i], &inner, &err) != 0;
        refused += jread_time(obj, "x", keys[i], &number, &err) != 0;
        assert(refused == 0 || err.code == ERR_INVALID);
    }
    if (jread_only(obj, "x", keys, &err) != 0) {
        assert(err.code == ERR_INVALID);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = ERR_INIT;
    CLEANUP(json_decrefp) json_t *value = jread_text((const char *)data, size, "input", &err);

    if (value == NULL) {
        assert(err.code == ERR_INVALID && err.msg[0] != '\0');
        return 0;
    }
    read_members(value);
    CLEANUP(cleanup_free) char *text = jtext(value);
    CLEANUP(cleanup_free) char *pretty = jtext_pretty(value);
    CLEANUP(json_decrefp) json_t *again = jread_text(text, strlen(text), "compact", &err);
    CLEANUP(json_decrefp) json_t *third = jread_text(pretty, strlen(pretty), "pretty", &err);
    assert(again != NULL && third != NULL);
    CLEANUP(cleanup_free) char *same = jtext(again);
    CLEANUP(cleanup_free) char *also = jtext(third);
    assert(strcmp(text, same) == 0 && strcmp(text, also) == 0);
    return 0;
}
