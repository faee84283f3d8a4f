/* SPDX-License-Identifier: Apache-2.0 */
/* Sealed texts: they open under their key and in their place only; keys rotate; files are read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/seal.h"
#include "base/secret.h"
#include "base/util.h"

#define HEX "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define HEX_2 "f00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define BASE64 "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=" /* of HEX */

static struct seal *load(const char *text, size_t len, struct err *err)
{
    char path[] = "/tmp/rondo-seal-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, len), (ssize_t)len);
    close(fd);
    struct seal *seal = seal_load(path, err);
    unlink(path);
    return seal;
}

static struct seal *keys(const char *text)
{
    struct err err = ERR_INIT;
    struct seal *seal = load(text, strlen(text), &err);
    if (seal == NULL) {
        fail_msg("%s", err.msg);
    }
    return seal;
}

/* The text, or the complaint. */
static char *open_or_say(const struct seal *seal, const char *context, const char *sealed)
{
    struct err err = ERR_INIT;
    char *text = NULL;
    if (seal_open(seal, context, sealed, &text, &err) != 0) {
        assert_null(text);
        bool is_for_want_of_a_key = strstr(err.msg, "--secrets-key-file") != NULL;
        assert_int_equal(err.code, is_for_want_of_a_key ? ERR_NOT_FOUND : ERR_INTERNAL);
        return xasprintf("error: %s", err.msg);
    }
    return text;
}

static void assert_opens(
    const struct seal *seal, const char *context, const char *sealed, const char *expected)
{
    CLEANUP(cleanup_free) char *got = open_or_say(seal, context, sealed);
    bool is_error = str_starts(expected, "error:");
    if (is_error ? !str_starts(got, "error:") || strstr(got, expected + 7) == NULL
                 : strcmp(got, expected) != 0) {
        fail_msg("'%s' is '%s', not '%s'", sealed, got, expected);
    }
}

static void texts_come_back(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "x", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "sealed:1:00000000:AAAA", "plain:1:x", "\xf0\x9f\x98\x80"};
    struct seal *seal = keys(HEX "\n");
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        CLEANUP(cleanup_free) char *one = seal_text(seal, "c", texts[i]);
        CLEANUP(cleanup_free) char *two = seal_text(seal, "c", texts[i]);
        CLEANUP(cleanup_free) char *plain = seal_text(NULL, "c", texts[i]);
        assert_true(str_starts(one, "sealed:1:"));
        assert_string_not_equal(one, two); /* a nonce each */
        assert_true(strlen(texts[i]) < 4 || strstr(one, texts[i]) == NULL);
        assert_opens(seal, "c", one, texts[i]);
        assert_opens(seal, "c", plain, texts[i]); /* stored before there were keys */
        assert_opens(NULL, "other", plain, texts[i]);
        assert_true(seal_is_current(seal, one));
        assert_false(seal_is_current(seal, plain));
        assert_true(seal_is_current(NULL, plain));
        assert_false(seal_is_current(NULL, one));
    }
    CLEANUP(cleanup_free) char *plain = seal_text(NULL, "c", "secret");
    assert_string_equal(plain, "secret");
    seal_free(seal);
}

/* Made by Node's crypto (createCipheriv), nonce a0..ab. */
static void a_known_text_opens(void **state)
{
    (void)state;
    struct seal *seal = keys(BASE64);
    static const char sealed[] =
        "sealed:1:f55cd487:oKGio6Slpqeoqaqrr2xbXmWqIuwHBvW2c1q0sVDpL3XgziAD+He3"
        "oAeLnKmheETBDlFsABS0";
    assert_opens(seal, "subscription/1/secret", sealed, "It's a Secret to Everybody");
    seal_free(seal);
}

static void other_places_and_other_bytes_do_not_open(void **state)
{
    (void)state;
    struct seal *seal = keys(HEX), *other = keys(HEX_2);
    CLEANUP(cleanup_free) char *sealed = seal_text(seal, "subscription/1/secret", "hush");
    assert_opens(seal, "subscription/2/secret", sealed, "error: of another record");
    assert_opens(seal, "", sealed, "error: of another record");
    assert_opens(other, "subscription/1/secret", sealed, "error: not in --secrets-key-file");
    assert_opens(NULL, "subscription/1/secret", sealed, "error: not in --secrets-key-file");
    size_t head = strlen("sealed:1:01234567:");
    for (size_t i = head; i < strlen(sealed); i++) {
        CLEANUP(cleanup_free) char *bent = xstrdup(sealed);
        bent[i] = bent[i] == 'A' ? 'B' : 'A';
        CLEANUP(cleanup_free) char *got = open_or_say(seal, "subscription/1/secret", bent);
        /* The last digit before padding has bits that say nothing. */
        if (!str_starts(got, "error:") && bent[i + 1] != '=') {
            fail_msg("%s opens", bent);
        }
    }
    for (size_t len = strlen("sealed:1:"); len < strlen(sealed); len++) {
        CLEANUP(cleanup_free) char *cut = xstrndup(sealed, len);
        assert_opens(seal, "subscription/1/secret", cut, "error: damaged");
    }
    seal_free(seal);
    seal_free(other);
}

static void keys_rotate(void **state)
{
    (void)state;
    struct seal *old = keys(HEX), *both = keys("# new\n" HEX_2 "\n\n  " BASE64 "  \r\n"),
                *new = keys(HEX_2);
    CLEANUP(cleanup_free) char *by_old = seal_text(old, "c", "hush");
    CLEANUP(cleanup_free) char *by_both = seal_text(both, "c", "hush");
    assert_opens(both, "c", by_old, "hush");
    assert_opens(both, "c", by_both, "hush");
    assert_opens(new, "c", by_both, "hush");
    assert_opens(old, "c", by_both, "error: not in --secrets-key-file");
    assert_opens(new, "c", by_old, "error: not in --secrets-key-file");
    assert_false(seal_is_current(both, by_old));
    assert_true(seal_is_current(both, by_both));
    seal_free(old);
    seal_free(both);
    seal_free(new);
}

static void key_files_are_read_strictly(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text, *says;
    } rows[] = {
        {"empty", "", "no key in it"},
        {"only a comment", "# hello\n\n", "no key in it"},
        {"short hex", "0001020304\n", ":1: not a key"},
        {"not hex", "zz0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
            ":1: not a key"},
        {"base64 of 31 bytes",
            HEX_2 "\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg==", ":2: not a key"},
        {"a passphrase", "correct horse battery staple", ":1: not a key"},
        {"twice", HEX "\n" BASE64 "\n", ":2: the same key again"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = ERR_INIT;
        struct seal *seal = load(rows[i].text, strlen(rows[i].text), &err);
        if (seal != NULL || err.code != ERR_INVALID || strstr(err.msg, rows[i].says) == NULL ||
            strstr(err.msg, "horse") != NULL || strstr(err.msg, "0102030405") != NULL) {
            fail_msg("%s: '%s'", rows[i].name, seal != NULL ? "taken" : err.msg);
        }
    }
    struct err err = ERR_INIT;
    assert_null(load(HEX "\0\n", sizeof HEX "\0\n" - 1, &err));
    assert_null(seal_load("/no/such/file", &err));
    char many[(SEAL_KEYS_MAX + 1) * 65 + 1];
    for (int i = 0; i <= SEAL_KEYS_MAX; i++) {
        snprintf(many + i * 65, 66, "%064d\n", i);
    }
    seal_free(load(many, (size_t)SEAL_KEYS_MAX * 65, &err));
    err = (struct err)ERR_INIT;
    assert_null(load(many, strlen(many), &err));
    assert_non_null(strstr(err.msg, ":9: more than 8 keys"));
}

static void members_are_sealed_in_place(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct seal *seal = keys(HEX);
    json_t *record = json_pack("{s:s,s:i}", "secret", "hush", "v", 1);
    seal_member(seal, "c", record, "secret");
    seal_member(seal, "c", record, "v");
    seal_member(seal, "c", record, "none");
    assert_true(str_starts(json_string_value(json_object_get(record, "secret")), "sealed:1:"));
    assert_int_equal(json_object_size(record), 2);
    assert_int_equal(seal_open_member(NULL, "c", record, "secret", &err), -1);
    assert_int_equal(seal_open_member(seal, "c", record, "secret", &err), 0);
    assert_int_equal(seal_open_member(seal, "c", record, "v", &err), 0);
    assert_string_equal(json_string_value(json_object_get(record, "secret")), "hush");
    seal_wipe(json_object_get(record, "secret"));
    assert_string_equal(json_string_value(json_object_get(record, "secret")), "");
    json_decref(record);
    seal_free(seal);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_come_back),
        cmocka_unit_test(a_known_text_opens),
        cmocka_unit_test(other_places_and_other_bytes_do_not_open),
        cmocka_unit_test(keys_rotate),
        cmocka_unit_test(key_files_are_read_strictly),
        cmocka_unit_test(members_are_sealed_in_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
