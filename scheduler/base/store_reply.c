/* SPDX-License-Identifier: Apache-2.0 */
/* Replies of Redis: their values, and their errors as ours. */
#include "base/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/store_parts.h"
#include "base/util.h"

const char *reply_str(const redisReply *r)
{
    if (r == NULL || (r->type != REDIS_REPLY_STRING && r->type != REDIS_REPLY_STATUS)) {
        return NULL;
    }
    return r->str;
}

int64_t reply_int(const redisReply *r, int64_t fallback)
{
    if (r != NULL && r->type == REDIS_REPLY_INTEGER) {
        return r->integer;
    }
    const char *text = reply_str(r);
    int64_t value;
    if (text == NULL || parse_i64(text, INT64_MIN, INT64_MAX, "reply", &value, NULL) != 0) {
        return fallback;
    }
    return value;
}

const char *reply_field(const redisReply *r, const char *key)
{
    if (r == NULL || r->type != REDIS_REPLY_ARRAY) {
        return NULL;
    }
    for (size_t i = 0; i + 1 < r->elements; i += 2) {
        const char *name = reply_str(r->element[i]);
        if (name != NULL && strcmp(name, key) == 0) {
            return reply_str(r->element[i + 1]);
        }
    }
    return NULL;
}

/* Errors. The first group is raised by our scripts, whose words after the code are for people. */
static const struct {
    const char *word;
    enum err_code code;
    bool is_ours;
} codes[] = {
    {"NOSUCH", ERR_NOT_FOUND, true},
    {"EXISTS", ERR_EXISTS, true},
    {"CONFLICT", ERR_CONFLICT, true},
    {"PRECONDITION", ERR_PRECONDITION, true},
    {"INVALID", ERR_INVALID, true},
    {"LIMIT", ERR_LIMIT, true},
    {"DENIED", ERR_DENIED, true},
    {"FENCED", ERR_FENCED, true},
    {"LOADING", ERR_TRANSIENT, false},
    {"BUSY", ERR_TRANSIENT, false},
    {"MISCONF", ERR_TRANSIENT, false},
    {"READONLY", ERR_TRANSIENT, false},
    {"OOM", ERR_TRANSIENT, false},
    {"MASTERDOWN", ERR_TRANSIENT, false},
    {"NOREPLICAS", ERR_TRANSIENT, false},
    {"CLUSTERDOWN", ERR_TRANSIENT, false},
    {"TRYAGAIN", ERR_TRANSIENT, false},
    {"UNBLOCKED", ERR_TRANSIENT, false},
};

bool store_reply_is(const redisReply *reply, const char *code)
{
    size_t len = strlen(code);
    return reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, code, len) == 0 &&
           (reply->str[len] == ' ' || reply->str[len] == '\0');
}

void store_reply_error(const redisReply *reply, struct err *err)
{
    /* Redis 7 adds where in the script it happened; people cannot act on a hash. */
    const char *where = strstr(reply->str, " script: ");
    int len = (int)(where != NULL ? (size_t)(where - reply->str) : strlen(reply->str));
    for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
        if (!store_reply_is(reply, codes[i].word)) {
            continue;
        }
        int skip = (int)strlen(codes[i].word) + 1;
        if (codes[i].is_ours && len > skip) {
            err_set(err, codes[i].code, "%.*s", len - skip, reply->str + skip);
        } else {
            err_set(err, codes[i].code, "redis: %.*s", len, reply->str);
        }
        return;
    }
    err_set(err, ERR_INTERNAL, "redis: %.*s", len, reply->str);
}
