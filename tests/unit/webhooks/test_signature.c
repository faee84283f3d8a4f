/* SPDX-License-Identifier: Apache-2.0 */
/* Standard Webhooks: the specification's known answer, and everything that must be refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/util.h"
#include "webhooks/signature.h"

#define SECRET "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#define ID "msg_p5jXN8AQM9LWM0D4loKWxJek"
#define STAMP "1614265330"
#define STAMP_S 1614265330
#define BODY "{\"test\": 2432232314}"
#define SIGNATURE "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

static void test_known_answer(void **state)
{
    (void)state;
    struct secret secret = {0};
    struct err err = ERR_INIT;
    assert_int_equal(signature_parse_secret(SECRET, &secret, &err), 0);
    CLEANUP(cleanup_free) char *made = signature_make(&secret, ID, STAMP_S, BODY, strlen(BODY));
    assert_string_equal(made, SIGNATURE);
    secret_done(&secret);
}

static void test_verify(void **state)
{
    (void)state;
    static const struct {
        const char *name, *id, *stamp, *signatures, *body;
        int64_t now_s;
        int rc;
    } rows[] = {
        {"good", ID, STAMP, SIGNATURE, BODY, STAMP_S, 0},
        {"second of two keys", ID, STAMP, "v1,AAAA " SIGNATURE, BODY, STAMP_S, 0},
        {"unknown version beside it", ID, STAMP, "v1a,AAAA " SIGNATURE, BODY, STAMP_S, 0},
        {"299 s late", ID, STAMP, SIGNATURE, BODY, STAMP_S + 299, 0},
        {"301 s late", ID, STAMP, SIGNATURE, BODY, STAMP_S + 301, -1},
        {"301 s early", ID, STAMP, SIGNATURE, BODY, STAMP_S - 301, -1},
        {"changed body", ID, STAMP, SIGNATURE, BODY " ", STAMP_S, -1},
        {"other id", "msg_x", STAMP, SIGNATURE, BODY, STAMP_S, -1},
        {"id with a dot", "msg.x", STAMP, SIGNATURE, BODY, STAMP_S, -1},
        {"empty id", "", STAMP, SIGNATURE, BODY, STAMP_S, -1},
        {"no id", NULL, STAMP, SIGNATURE, BODY, STAMP_S, -1},
        {"no time", ID, NULL, SIGNATURE, BODY, STAMP_S, -1},
        {"no signature", ID, STAMP, NULL, BODY, STAMP_S, -1},
        {"time with text", ID, STAMP "x", SIGNATURE, BODY, STAMP_S, -1},
        {"negative time", ID, "-5", SIGNATURE, BODY, STAMP_S, -1},
        {"signature cut short", ID, STAMP, "v1,g0hM9SsE", BODY, STAMP_S, -1},
        {"empty signature", ID, STAMP, "v1,", BODY, STAMP_S, -1},
        {"empty list", ID, STAMP, "", BODY, STAMP_S, -1},
        {"without version", ID, STAMP, SIGNATURE + 3, BODY, STAMP_S, -1},
    };
    struct secret secret = {0};
    assert_int_equal(signature_parse_secret(SECRET, &secret, NULL), 0);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = ERR_INIT;
        int rc = signature_verify(&secret, rows[i].id, rows[i].stamp, rows[i].signatures,
            rows[i].body, strlen(rows[i].body), rows[i].now_s, &err);
        if (rc != rows[i].rc) {
            fail_msg("%s: got %d %s", rows[i].name, rc, err.msg);
        }
        assert_int_equal(err.code, rc == 0 ? ERR_NONE : ERR_UNAUTHENTICATED);
    }
    secret_done(&secret);
}

static void test_secrets(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text;
        int rc;
    } rows[] = {
        {"24 bytes", SECRET, 0},
        {"no prefix", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", -1},
        {"too short", "whsec_AAAA", -1},
        {"not base64", "whsec_!!!!9r8GKYqrTwjUPD8ILPZIo2LaLaSw", -1},
        {"empty", "", -1},
        {"too long",
            "whsec_"
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
            "AAAAAAA",
            -1},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct secret secret = {0};
        struct err err = ERR_INIT;
        int rc = signature_parse_secret(rows[i].text, &secret, &err);
        if (rc != rows[i].rc) {
            fail_msg("%s: got %d %s", rows[i].name, rc, err.msg);
        }
        secret_done(&secret);
    }
    CLEANUP(cleanup_free) char *made = signature_new_secret();
    CLEANUP(cleanup_free) char *other = signature_new_secret();
    struct secret secret = {0};
    assert_string_not_equal(made, other);
    assert_int_equal(signature_parse_secret(made, &secret, NULL), 0);
    assert_int_equal(secret.len, 32);
    secret_done(&secret);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_answer),
        cmocka_unit_test(test_verify),
        cmocka_unit_test(test_secrets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
