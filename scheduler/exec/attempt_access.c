/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a launcher in a pod may have: a token that is good for one attempt, and with it that
 * attempt's order and the artifacts that the order names. Tokens are derived, so none is stored
 * and a restart changes none.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/util.h"
#include "exec/pods.h"
#include "scheduler/order.h"

/* After its shard came to us it takes a moment until every live attempt is known here. */
#define PATIENCE_US (60 * US_PER_S)
#define LAUNCHER_GRACE_S 8
#define REPORT_DEADLINE_S 86400

void pods_token(
    const struct pods *pods, const struct attempt_name *name, char out[SHA256_HEX_LEN + 1])
{
    CLEANUP(cleanup_free) char *key = pods_key(name);
    CLEANUP(cleanup_free) char *text = xasprintf("attempt/%s", key);
    unsigned char digest[SHA256_LEN];
    hmac_sha256(pods->secret.bytes, pods->secret.len, text, strlen(text), digest);
    hex_encode(digest, sizeof digest, out);
}

int pods_authorize(
    struct pods *pods, const struct attempt_name *name, const char *token, struct err *err)
{
    if (pods->secret.len == 0) {
        return err_set(err, ERR_TRANSIENT, "the daemon has only just started; ask again");
    }
    char expected[SHA256_HEX_LEN + 1];
    pods_token(pods, name, expected);
    bool is_good = token != NULL && secret_eq(token, strlen(token), expected, SHA256_HEX_LEN);
    explicit_bzero(expected, sizeof expected);
    return is_good ? 0 : err_set(err, ERR_UNAUTHENTICATED, "this is not the token of this attempt");
}

/* The attempt, while it is under way. */
static struct pod_attempt *find(struct pods *pods, const struct attempt_name *name, struct err *err)
{
    struct pod_attempt *a = pods_find(pods, name);
    if (a != NULL && a->state < POD_STATE_ENDING) {
        return a;
    }
    bool may_come =
        a == NULL && pods_ready_for_us(pods, name->run_id, clock_mono_us()) < PATIENCE_US;
    if (may_come) {
        err_set(err, ERR_TRANSIENT, "the daemon is reading its records; ask again");
    } else {
        err_set(err, ERR_NOT_FOUND, "attempt %s/%s/%d is over", name->run_id, name->task_id,
            name->attempt);
    }
    return NULL;
}

const char *pods_order(struct pods *pods, const struct attempt_name *name, struct err *err)
{
    struct pod_attempt *a = find(pods, name, err);
    if (a == NULL) {
        return NULL;
    }
    if (a->is_canceled) {
        err_set(err, ERR_NOT_FOUND, "attempt %s is canceled", a->key);
        return NULL;
    }
    if (a->order_text == NULL) {
        json_t *full = json_copy(a->order);
        json_object_set_new(full, "transfer", json_object());
        json_object_set_new(full, "grace_s", json_integer(LAUNCHER_GRACE_S));
        json_object_set_new(full, "report_deadline_s", json_integer(REPORT_DEADLINE_S));
        /* Not sorted: the order of env matters to $(NAME). */
        a->order_text = json_dumps(full, JSON_COMPACT);
        json_decref(full);
    }
    if (a->order_text == NULL || strlen(a->order_text) > ORDER_MAX_BYTES) {
        err_set(err, ERR_INVALID, "the work order is larger than %u bytes, or not UTF-8",
            ORDER_MAX_BYTES);
        return NULL;
    }
    return a->order_text;
}

int pods_running(struct pods *pods, const struct attempt_name *name, struct err *err)
{
    struct pod_attempt *a = find(pods, name, err);
    if (a == NULL) {
        return -1;
    }
    pod_attempt_running(a);
    return 0;
}

/* Also, of a list, what lies in the first one's folder or beside it (scheduler/order.h, "more"). */
static bool is_uri_of(const json_t *place, const char *uri)
{
    const char *own = jget_str(place, "uri", "");
    size_t len = strlen(own);
    if (len == 0 || strncmp(uri, own, len) != 0) {
        return false;
    }
    const char *rest = uri + len;
    if (rest[0] == '\0') {
        return true;
    }
    bool is_numbered =
        rest[0] == '-' && rest[1] != '\0' && strspn(rest + 1, "0123456789") == strlen(rest + 1);
    bool is_inside = rest[0] == '/' && strstr(rest, "/../") == NULL && !str_ends(rest, "/..");
    return jget_bool(place, "is_list", false) && (is_numbered || is_inside);
}

static bool has_uri(const json_t *places, const char *uri)
{
    size_t i;
    const json_t *place;
    json_array_foreach(places, i, place)
    {
        if (is_uri_of(place, uri)) {
            return true;
        }
    }
    return false;
}

int pods_may_use(struct pods *pods, const struct attempt_name *name, const char *uri, bool write,
    struct err *err)
{
    struct pod_attempt *a = find(pods, name, err);
    if (a == NULL) {
        return -1;
    }
    if (has_uri(json_object_get(a->order, "outputs"), uri) ||
        (!write && has_uri(json_object_get(a->order, "inputs"), uri))) {
        return 0;
    }
    return err_set(err, ERR_DENIED, "artifact '%.500s' is no %s of this step", uri,
        write ? "output" : "input or output");
}
