/* SPDX-License-Identifier: Apache-2.0 */
/* For tests: the daemon's clock can be moved. Compiled in only in TESTING builds. */
#ifdef TESTING
#include "api/api.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/loop.h"

#define SHIFT_MAX_US (INT64_C(200) * 366 * 86400 * US_PER_S)

/* {"shift_us": n}: how far the wall clock is moved from the real one, and Redis's with it;
 * {"error_us": n}: how far this machine's clock is wrong besides. Empty: just tell. */
static void handle_clock(struct api_call *call)
{
    struct err err = ERR_INIT;
    int64_t shift_us = clock_shift_us(), error_us = clock_error_us();
    json_t *body = api_body_json(call);
    if (body == NULL) {
        return;
    }
    if (jread_i64(body, "", "shift_us", -SHIFT_MAX_US, SHIFT_MAX_US, &shift_us, &err) != 0 ||
        jread_i64(body, "", "error_us", -SHIFT_MAX_US, SHIFT_MAX_US, &error_us, &err) != 0) {
        api_fail(call, &err);
        return;
    }
    clock_set_shift_us(shift_us);
    clock_set_error_us(error_us);
    loop_clock_changed(call->api->loop);
    api_reply_json(call, 200,
        api_keep(call, json_pack("{s:I,s:I,s:I}", "shift_us", (json_int_t)shift_us, "error_us",
                           (json_int_t)error_us, "now_us", (json_int_t)clock_now_us())));
}

const struct route routes_testing[] = {
    {"POST", "/internal/testing/clock", handle_clock, ROUTE_TOKEN},
    {NULL, NULL, NULL, ROUTE_TOKEN},
};
#else
typedef int api_testing_is_empty;
#endif
