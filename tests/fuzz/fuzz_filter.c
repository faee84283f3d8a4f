/* SPDX-License-Identifier: Apache-2.0 */
/* The filter and page token of lists, from whatever a client sends. First byte: which of them. */
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/err.h"
#include "base/http_msg.h"
#include "base/pool.h"

#include "api/kfp/list.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct list_field fields[] = {
    {"created_at", LIST_TIME, "created_us", NULL},
    {"id", LIST_TEXT, "id", NULL},
    {"name", LIST_TEXT, "name", NULL},
    {0},
};
static const struct list_spec spec = {"things", fields, true};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"filter", "page_token", "sort_by", "page_size"};
    if (size == 0) {
        return 0;
    }
    struct err err = ERR_INIT;
    struct pool *pool = pool_new();
    struct http_request req = {.pool = pool};
    const char *text = pool_strndup(pool, (const char *)data + 1, size - 1);
    http_fields_add(pool, &req.query, names[data[0] % 4], text);
    struct list_query *query = list_query_parse(pool, &spec, &req, &err);
    if (query != NULL) {
        json_t *all = json_pack("[{ss ss si s{ss}}, {ss}]", "id", "a", "name", "alpha",
            "created_us", 5, "tags", "team", "red", "id", "b");
        int64_t total;
        const char *token;
        json_t *page = list_page(query, all, &total, &token);
        json_decref(page);
        json_decref(all);
    }
    pool_free(pool);
    return 0;
}
