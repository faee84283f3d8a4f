/* SPDX-License-Identifier: Apache-2.0 */
/* secret and id: known answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/id.h"
#include "base/secret.h"
#include "base/util.h"

static void test_sha256(void **state)
{
    (void)state;
    char hex[SHA256_HEX_LEN + 1];

    sha256_hex("abc", 3, hex); /* FIPS 180-2, B.1 */
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    sha256_hex(NULL, 0, hex);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

/* RFC 4231, cases 1, 2, 3, 6 and 7. */
static void test_hmac_sha256(void **state)
{
    (void)state;
    unsigned char twenty_0b[20], twenty_aa[20], fifty_dd[50], long_aa[131];
    memset(twenty_0b, 0x0b, sizeof twenty_0b);
    memset(twenty_aa, 0xaa, sizeof twenty_aa);
    memset(fifty_dd, 0xdd, sizeof fifty_dd);
    memset(long_aa, 0xaa, sizeof long_aa);
    static const char long_text[] =
        "This is a test using a larger than block-size key and a larger than block-size data. The "
        "key needs to be hashed before being used by the HMAC algorithm.";
    const struct {
        const void *key;
        size_t key_len;
        const void *data;
        size_t len;
        const char *hex;
    } rows[] = {
        {twenty_0b, 20, "Hi There", 8,
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
        {"Jefe", 4, "what do ya want for nothing?", 28,
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
        {twenty_aa, 20, fifty_dd, 50,
            "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
        {long_aa, 131, "Test Using Larger Than Block-Size Key - Hash Key First", 54,
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
        {long_aa, 131, long_text, sizeof long_text - 1,
            "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"},
        /* empty key and text, twice: the library must not remember the key of last time */
        {"", 0, "", 0, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad"},
        {NULL, 0, NULL, 0, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        unsigned char mac[SHA256_LEN];
        char hex[SHA256_HEX_LEN + 1];
        hmac_sha256(rows[i].key, rows[i].key_len, rows[i].data, rows[i].len, mac);
        hex_encode(mac, sizeof mac, hex);
        assert_string_equal(hex, rows[i].hex);
    }
}

/* The example of the Standard Webhooks specification, from secret to signature. */
static void test_standard_webhooks_known_answer(void **state)
{
    (void)state;
    static const char key_text[] = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    static const char content[] = "msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{\"test\": 2432232314}";
    size_t key_len;
    unsigned char mac[SHA256_LEN];

    CLEANUP(cleanup_free)
    unsigned char *key = base64_decode(key_text, strlen(key_text), &key_len);
    assert_non_null(key);
    assert_int_equal(key_len, 24);
    hmac_sha256(key, key_len, content, strlen(content), mac);
    CLEANUP(cleanup_free) char *signature = base64_encode(mac, sizeof mac);
    assert_string_equal(signature, "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

static void test_base64(void **state)
{
    (void)state;
    static const struct {
        const char *plain, *text; /* RFC 4648, section 10 */
    } rows[] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
        {"\xff\xfe\xfb", "//77"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        size_t len = 99;
        CLEANUP(cleanup_free) char *text = base64_encode(rows[i].plain, strlen(rows[i].plain));
        assert_string_equal(text, rows[i].text);
        CLEANUP(cleanup_free)
        unsigned char *plain = base64_decode(text, strlen(text), &len);
        assert_non_null(plain);
        assert_int_equal(len, strlen(rows[i].plain));
        assert_memory_equal(plain, rows[i].plain, len);
    }
    static const char *const bad[] = {"Z", "Zg", "Zg=", "Zg===", "=Zg=", "====", "Z===", "Zm9v\n",
        " Zm9v", "Zm9-", "Zm_v", "Zm=v", "Zg==Zg==", "Zm9v    "};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        size_t len = 99;
        if (base64_decode(bad[i], strlen(bad[i]), &len) != NULL) {
            fail_msg("'%s' was taken", bad[i]);
        }
    }
}

static void test_hex(void **state)
{
    (void)state;
    char text[9];
    unsigned char bytes[4];

    hex_encode("\x00\x9f\xff\x10", 4, text);
    assert_string_equal(text, "009fff10");
    assert_int_equal(hex_decode("009FfF10", 8, bytes, 4), 0);
    assert_memory_equal(bytes, "\x00\x9f\xff\x10", 4);
    assert_int_equal(hex_decode("009fff1", 7, bytes, 4), -1);
    assert_int_equal(hex_decode("009fff", 6, bytes, 4), -1);
    assert_int_equal(hex_decode("009fff1000", 10, bytes, 4), -1);
    assert_int_equal(hex_decode("009fff1g", 8, bytes, 4), -1);
    assert_int_equal(hex_decode("0x9fff10", 8, bytes, 4), -1);
    assert_int_equal(hex_decode("", 0, bytes, 0), 0);
}

static void test_secret(void **state)
{
    (void)state;
    struct secret s = {0};

    secret_set(&s, "one", 3);
    secret_set(&s, s.bytes + 1, 2); /* from itself */
    assert_int_equal(s.len, 2);
    assert_memory_equal(s.bytes, "ne", 2);
    assert_true(secret_eq(s.bytes, s.len, "ne", 2));
    assert_false(secret_eq(s.bytes, s.len, "nf", 2));
    assert_false(secret_eq(s.bytes, s.len, "nee", 3));
    assert_true(secret_eq(NULL, 0, NULL, 0));
    secret_done(&s);
    assert_null(s.bytes);
    secret_done(&s);
}

static void test_random(void **state)
{
    (void)state;
    unsigned char a[1024], b[1024];
    random_bytes(a, sizeof a);
    random_bytes(b, sizeof b);
    assert_memory_not_equal(a, b, sizeof a);
}

/* ---- ids ---- */

static void test_id_derive_is_uuid5(void **state)
{
    (void)state;
    /* Name and namespace of RFC 9562, A.4; only the first byte is the parent's. */
    struct id id;
    id_derive(&id, "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "www.example.com");
    assert_string_equal(id.text, "6bd6657d-e927-568b-95e1-2665a8aea6a2");
    assert_true(id_is_valid(id.text));

    struct id same, other;
    id_derive(&same, "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "www.example.com");
    assert_string_equal(id.text, same.text);
    id_derive(&other, "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "");
    assert_string_not_equal(id.text, other.text);
    assert_int_equal(id_shard(other.text, 256), 0x6b);
}

static void test_id_new(void **state)
{
    (void)state;
    struct id a, b;

    id_new(&a);
    id_new(&b);
    assert_true(id_is_valid(a.text));
    assert_int_equal(a.text[14], '4');
    assert_non_null(strchr("89ab", a.text[19]));
    assert_string_not_equal(a.text, b.text);
}

static void test_id_is_valid(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text;
        bool valid;
    } rows[] = {
        {"good", "2ed6657d-e927-568b-95e1-2665a8aea6a2", true},
        {"nil", "00000000-0000-0000-0000-000000000000", true},
        {"upper case", "2ED6657D-e927-568b-95e1-2665a8aea6a2", false},
        {"one short", "2ed6657d-e927-568b-95e1-2665a8aea6a", false},
        {"one long", "2ed6657d-e927-568b-95e1-2665a8aea6a2a", false},
        {"dash moved", "2ed6657-de927-568b-95e1-2665a8aea6a2", false},
        {"no dashes", "2ed6657de927568b95e12665a8aea6a2xxxx", false},
        {"path", "../../../../../../../../etc/password", false},
        {"newline behind", "2ed6657d-e927-568b-95e1-2665a8aea6a2\n", false},
        {"empty", "", false},
        {"none", NULL, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (id_is_valid(rows[i].text) != rows[i].valid) {
            fail_msg("%s", rows[i].name);
        }
    }
}

static void test_id_shard(void **state)
{
    (void)state;
    const char *id = "2ed6657d-e927-568b-95e1-2665a8aea6a2";
    struct id child;

    assert_int_equal(id_shard(id, 1), 0);
    assert_int_equal(id_shard(id, 16), 0x0e);
    assert_int_equal(id_shard(id, 256), 0x2e);
    for (unsigned shards = 1; shards <= 256; shards *= 2) {
        id_derive(&child, id, "task");
        assert_int_equal(id_shard(child.text, shards), id_shard(id, shards));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sha256),
        cmocka_unit_test(test_hmac_sha256),
        cmocka_unit_test(test_standard_webhooks_known_answer),
        cmocka_unit_test(test_base64),
        cmocka_unit_test(test_hex),
        cmocka_unit_test(test_secret),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_id_derive_is_uuid5),
        cmocka_unit_test(test_id_new),
        cmocka_unit_test(test_id_is_valid),
        cmocka_unit_test(test_id_shard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
