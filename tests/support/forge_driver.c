/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Incoming messages for other programs' comparisons: reads one {"source","now_us","method",
 * "headers","body","form"} a line (tests/support/hook_json.h) and writes one line for each:
 * {"verified": header or null, "secret", "refusal", "message" or "error", "payload"}.
 */
#include <stdio.h>
#include <sys/types.h>

#include "base/err.h"
#include "tests/support/hook_json.h"

static json_t *answer(const char *line, size_t len)
{
    CLEANUP(pool_freep) struct pool *pool = pool_new();
    struct err err = ERR_INIT;
    json_t *from CLEANUP(json_decrefp) = jread_text(line, len, "line", &err);
    if (from == NULL) {
        return json_pack("{s:s}", "error", err.msg);
    }
    json_t *out = json_object();
    const struct http_request *req = hook_request(pool, from);
    const struct hook_source *source = hook_source(pool, json_object_get(from, "source"));
    struct hook_message message = {0};
    struct hook_verified verified;
    if (hook_verify(req, source, jget_i64(from, "now_us", 0), &verified, &err) != 0) {
        json_object_set_new(out, "verified", json_null());
        json_object_set_new(out, "refusal", json_string(err.msg));
        err_clear(&err);
    } else {
        json_object_set_new(out, "verified", json_string(verified.by));
        json_object_set_new(out, "secret", json_integer(verified.secret));
    }
    if (hook_read(req, source, &message, &err) != 0) {
        json_object_set_new(out, "error", json_string(err.msg));
    } else {
        json_object_set_new(out, "message", hook_message_json(&message));
        json_object_set(out, "payload", message.payload);
    }
    return out;
}

int main(void)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t len;
    while ((len = getline(&line, &size, stdin)) > 0) {
        json_t *out CLEANUP(json_decrefp) = answer(line, (size_t)len);
        char *text CLEANUP(cleanup_free) = json_dumps(out, JSON_COMPACT | JSON_ENCODE_ANY);
        puts(text);
        fflush(stdout);
    }
    free(line);
    return 0;
}
