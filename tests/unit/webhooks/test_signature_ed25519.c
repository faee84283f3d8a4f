/* SPDX-License-Identifier: Apache-2.0 */
/* Ed25519 signatures of Standard Webhooks: the known answer, and everything that must be refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/util.h"
#include "webhooks/signature_ed25519.h"

#define PRIVATE                                                                                    \
    "whsk_6Xb/dCcHpPea21PS1N9VY/"                                                                  \
    "NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
#define PUBLIC "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
#define ID "msg_p5jXN8AQM9LWM0D4loKWxJek"
#define STAMP "1614265330"
#define BODY "{\"test\": 2432232314}"
#define SIGNATURE                                                                                  \
    "hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="

static void test_known_answer(void **state)
{
    (void)state;
    struct secret key = {0};
    struct err err = ERR_INIT;
    assert_int_equal(ed25519_parse_private(PRIVATE, &key, &err), 0);
    CLEANUP(cleanup_free) char *made = ed25519_sign(&key, ID, 1614265330, BODY, strlen(BODY));
    assert_string_equal(made, "v1a," SIGNATURE);
    CLEANUP(cleanup_free) char *public = ed25519_public_text(&key);
    assert_string_equal(public, PUBLIC);
    secret_done(&key);
}

static void test_verify(void **state)
{
    (void)state;
    static const struct {
        const char *name, *signature, *id, *stamp, *body;
        bool is_good;
    } rows[] = {
        {"good", SIGNATURE, ID, STAMP, BODY, true},
        {"changed body", SIGNATURE, ID, STAMP, BODY " ", false},
        {"no body", SIGNATURE, ID, STAMP, "", false},
        {"other id", SIGNATURE, "msg_x", STAMP, BODY, false},
        {"other time", SIGNATURE, ID, "1614265331", BODY, false},
        {"empty", "", ID, STAMP, BODY, false},
        {"cut short", "hnO3f9T8Ytu9HwrX", ID, STAMP, BODY, false},
        {"no base64", "!", ID, STAMP, BODY, false},
        {"with its version", "v1a," SIGNATURE, ID, STAMP, BODY, false},
        {"too long", SIGNATURE SIGNATURE SIGNATURE, ID, STAMP, BODY, false},
    };
    unsigned char key[ED25519_PUBLIC_LEN];
    assert_int_equal(ed25519_parse_public(PUBLIC, key, NULL), 0);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (ed25519_verify(key, rows[i].signature, rows[i].id, rows[i].stamp, rows[i].body,
                strlen(rows[i].body)) != rows[i].is_good) {
            fail_msg("%s", rows[i].name);
        }
    }
    char id[1025];
    memset(id, 'i', sizeof id);
    id[1024] = '\0';
    assert_false(ed25519_verify(key, SIGNATURE, id, STAMP, BODY, strlen(BODY)));
    key[0] ^= 1;
    assert_false(ed25519_verify(key, SIGNATURE, ID, STAMP, BODY, strlen(BODY)));
}

static void test_new_keys(void **state)
{
    (void)state;
    struct secret key = {0};
    char *one = ed25519_new_private(), *two = ed25519_new_private();
    assert_string_not_equal(one, two);
    assert_true(ed25519_is_private(one));
    assert_int_equal(ed25519_parse_private(one, &key, NULL), 0);
    unsigned char public[ED25519_PUBLIC_LEN];
    CLEANUP(cleanup_free) char *text = ed25519_public_text(&key);
    assert_int_equal(ed25519_parse_public(text, public, NULL), 0);
    CLEANUP(cleanup_free) char *made = ed25519_sign(&key, "a", 5, "b", 1);
    assert_true(ed25519_verify(public, made + strlen("v1a,"), "a", "5", "b", 1));
    secret_done(&key);
    secret_text_free(one);
    secret_text_free(two);
}

static void test_refused_keys(void **state)
{
    (void)state;
    static const char *const keys[] = {"", "whsk_", "whsk_AAAA", "whsec_AAAA", "whpk_AAAA",
        "whsk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=",
        "whsk_6Xb/dCcHpPea21PS1N9VY/"
        "NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kv!==",
        "whsk_6Xb/dCcHpPea21PS1N9VY/"
        "NZW723CEc77N4rJCubMbfAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=="};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        struct secret key = {0};
        unsigned char public[ED25519_PUBLIC_LEN];
        struct err err = ERR_INIT;
        assert_int_equal(ed25519_parse_private(keys[i], &key, &err), -1);
        assert_int_equal(err.code, ERR_INVALID);
        assert_null(key.bytes);
        assert_int_equal(ed25519_parse_public(keys[i], public, &err), -1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_answer),
        cmocka_unit_test(test_verify),
        cmocka_unit_test(test_new_keys),
        cmocka_unit_test(test_refused_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
