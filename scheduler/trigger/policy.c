/* SPDX-License-Identifier: Apache-2.0 */
/* Policies of recurring runs: reading and checking them. */
#include "trigger/policy.h"

#include <inttypes.h>
#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/util.h"

#define S_MAX (INT64_C(100) * 366 * 86400)
#define US_PER_SECOND INT64_C(1000000)
#define SPREAD_MAX_S 86400
#define BUFFER_DEFAULT 100

const char *const policy_members[] = {"overlap", "catchup", "max_concurrency", "buffer_max",
    "catchup_window_s", "max_fires", "pause_after_failures", "spread_s", NULL};

bool is_one_of(const char *name, const char *const *names)
{
    for (; *names != NULL; names++) {
        if (strcmp(name, *names) == 0) {
            return true;
        }
    }
    return false;
}

static const char *const overlaps[] = {
    "queue", "skip", "buffer_one", "buffer_all", "cancel_other", "terminate_other", "allow"};
static const char *const catchups[] = {"all", "last", "first", "none"};

static int read_name(const json_t *doc, const char *member, const char *const *names, size_t count,
    int fallback, struct err *err)
{
    const json_t *value = json_object_get(doc, member);
    if (value == NULL || json_is_null(value)) {
        return fallback;
    }
    const char *text = json_string_value(value);
    char all[160] = "";
    size_t len = 0;
    for (size_t i = 0; i < count; i++) {
        if (str_eq(text, names[i])) {
            return (int)i;
        }
        len += (size_t)snprintf(all + len, sizeof all - len, "%s%s", i > 0 ? ", " : "", names[i]);
    }
    return text != NULL
               ? err_set(err, ERR_INVALID, "%s: it is '%.40s', allowed are %s", member, text, all)
               : err_set(err, ERR_INVALID, "%s: expected a string: %s", member, all);
}

static int read_number(const json_t *doc, const char *member, int64_t min, int64_t max,
    int64_t fallback, int64_t *out, struct err *err)
{
    const json_t *value = json_object_get(doc, member);
    *out = fallback;
    if (value == NULL || json_is_null(value)) {
        return 0;
    }
    if (!json_is_integer(value)) {
        return err_set(err, ERR_INVALID,
            "%s: a whole number from %" PRId64 " to %" PRId64 " is expected", member, min, max);
    }
    *out = json_integer_value(value);
    if (*out < min || *out > max) {
        return err_set(err, ERR_INVALID,
            "%s: it is %" PRId64 ", allowed are %" PRId64 " to %" PRId64, member, *out, min, max);
    }
    return 0;
}

int policy_parse(const json_t *doc, struct policy *out, struct err *err)
{
    *out = (struct policy){0};
    int overlap = read_name(doc, "overlap", overlaps, ARRAY_LEN(overlaps), OVERLAP_QUEUE, err);
    int catchup = overlap < 0
                      ? -1
                      : read_name(doc, "catchup", catchups, ARRAY_LEN(catchups),
                            jget_bool(doc, "no_catchup", false) ? CATCHUP_LAST : CATCHUP_ALL, err);
    int64_t window_s, spread_s;
    if (catchup < 0 ||
        read_number(doc, "max_concurrency", 1, POLICY_CONCURRENCY_MAX, 1, &out->max_concurrency,
            err) != 0 ||
        read_number(
            doc, "buffer_max", 1, POLICY_BUFFER_MAX, BUFFER_DEFAULT, &out->buffer_max, err) != 0 ||
        read_number(doc, "catchup_window_s", 0, S_MAX, 0, &window_s, err) != 0 ||
        read_number(doc, "max_fires", 0, INT64_C(1) << 53, 0, &out->max_fires, err) != 0 ||
        read_number(doc, "pause_after_failures", 0, 1000000, 0, &out->pause_after_failures, err) !=
            0 ||
        read_number(doc, "spread_s", 0, SPREAD_MAX_S, 0, &spread_s, err) != 0) {
        return -1;
    }
    out->overlap = (enum overlap)overlap;
    out->catchup = (enum catchup)catchup;
    out->catchup_window_us = window_s * US_PER_SECOND;
    if (out->catchup == CATCHUP_NONE && out->catchup_window_us == 0) {
        out->catchup_window_us = POLICY_GRACE_US;
    }
    out->spread_us = spread_s * US_PER_SECOND;
    return 0;
}

int64_t policy_offset_us(const struct policy *policy, const char *id)
{
    if (policy->spread_us <= 0) {
        return 0;
    }
    /* FNV-1a, RFC 9923 section 2, then mixed: ids that differ in one digit are far apart. */
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (const char *p = id; *p != '\0'; p++) {
        hash = (hash ^ (unsigned char)*p) * UINT64_C(0x100000001b3);
    }
    hash ^= hash >> 32;
    hash *= UINT64_C(0x9e3779b97f4a7c15);
    hash ^= hash >> 29;
    int64_t window_ms = policy->spread_us / 1000;
    return (int64_t)(hash % (uint64_t)window_ms) * 1000;
}
