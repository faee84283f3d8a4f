/* SPDX-License-Identifier: Apache-2.0 */
/* Kubeconfig files: whom they make us, and what is refused with which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/util.h"
#include "kube/kube.h"
#include "tests/support/temp_dir.h"

#define HEAD "apiVersion: v1\nkind: Config\ncurrent-context: c\n"
#define CONTEXT "contexts:\n- name: c\n  context: {cluster: k, user: u, namespace: ns}\n"
#define CLUSTER(more) "clusters:\n- name: k\n  cluster: {server: 'https://1.2.3.4:6443/'" more "}\n"
#define USER(what) "users:\n- name: u\n  user: {" what "}\n"

static int parse(
    struct kube_credentials *out, const struct temp_dir *dir, const char *text, struct err *err)
{
    return kube_credentials_parse(out, text, strlen(text), "/base", temp_path(dir, "keys"), err);
}

static void test_token(void **state)
{
    (void)state;
    struct temp_dir dir;
    temp_dir_init(&dir);
    struct kube_credentials c;
    struct err err = ERR_INIT;
    assert_int_equal(parse(&c, &dir, HEAD CONTEXT CLUSTER("") USER("token: t0"), &err), 0);
    assert_string_equal(c.server, "https://1.2.3.4:6443");
    assert_string_equal(c.namespace_, "ns");
    assert_string_equal(c.token, "t0");
    assert_null(c.ca_file);
    assert_false(c.insecure);
    kube_credentials_done(&c);
    temp_dir_done(&dir);
}

static void test_certificates_in_the_file(void **state)
{
    (void)state;
    struct temp_dir dir;
    temp_dir_init(&dir);
    struct kube_credentials c;
    struct err err = ERR_INIT;
    assert_int_equal(parse(&c, &dir,
                         HEAD CONTEXT CLUSTER(", certificate-authority-data: Y2E=")
                             USER("client-certificate-data: Y2VydA==, client-key-data: a2V5"),
                         &err),
        0);
    struct stat st;
    assert_int_equal(stat(c.key_file, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    CLEANUP(cleanup_free) char *ca = file_read(c.ca_file, 100, NULL, &err);
    CLEANUP(cleanup_free) char *cert = file_read(c.cert_file, 100, NULL, &err);
    CLEANUP(cleanup_free) char *key = file_read(c.key_file, 100, NULL, &err);
    assert_string_equal(ca, "ca");
    assert_string_equal(cert, "cert");
    assert_string_equal(key, "key");
    kube_credentials_done(&c);
    temp_dir_done(&dir);
}

static void test_files_are_relative_to_the_config(void **state)
{
    (void)state;
    struct temp_dir dir;
    temp_dir_init(&dir);
    struct kube_credentials c;
    struct err err = ERR_INIT;
    assert_int_equal(
        parse(&c, &dir,
            HEAD CONTEXT CLUSTER(", certificate-authority: /abs/ca.pem, insecure-skip-tls-verify: "
                                 "true") USER("client-certificate: c.pem, client-key: k/key.pem, "
                                              "tokenFile: t"),
            &err),
        0);
    assert_string_equal(c.ca_file, "/abs/ca.pem");
    assert_string_equal(c.cert_file, "/base/c.pem");
    assert_string_equal(c.key_file, "/base/k/key.pem");
    assert_string_equal(c.token_file, "/base/t");
    assert_true(c.insecure);
    kube_credentials_done(&c);
    temp_dir_done(&dir);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text, *words;
    } rows[] = {
        {"empty", "", "mapping"},
        {"a list", "[1]", "mapping"},
        {"not YAML", "a: [", "line"},
        {"no context", HEAD CLUSTER(""), "current-context 'c'"},
        {"no current context", CONTEXT CLUSTER(""), "current-context ''"},
        {"no such cluster", HEAD CONTEXT, "current-context 'c'"},
        {"no such user", HEAD CONTEXT CLUSTER(""), "no user 'u'"},
        {"exec plugin", HEAD CONTEXT CLUSTER("") USER("exec: {command: aws}"), "'exec'"},
        {"auth provider", HEAD CONTEXT CLUSTER("") USER("auth-provider: {name: gcp}"),
            "'auth-provider'"},
        {"password", HEAD CONTEXT CLUSTER("") USER("username: a, password: b"), "'username'"},
        {"proxy", HEAD CONTEXT CLUSTER(", proxy-url: 'http://p'") USER("token: t"), "'proxy-url'"},
        {"bad base64", HEAD CONTEXT CLUSTER(", certificate-authority-data: '***'") USER("token: t"),
            "certificate-authority-data is not base64"},
        {"not http", HEAD CONTEXT "clusters:\n- name: k\n  cluster: {server: 'ftp://x'}\n",
            "not an http(s) address"},
        {"no host", HEAD CONTEXT "clusters:\n- name: k\n  cluster: {server: 'https:////'}\n",
            "not an http(s) address"},
        {"key that is a list", HEAD "? [a]\n: {b: c}\n" CONTEXT, "mapping"},
        {"deep",
            "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
            "mapping"},
        {"laughs",
            "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c "
            "[*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e "
            "[*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n",
            "mapping"},
        {"eats itself", "a: &a [*a]\n", "mapping"},
    };
    struct temp_dir dir;
    temp_dir_init(&dir);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct kube_credentials c;
        struct err err = ERR_INIT;
        if (parse(&c, &dir, rows[i].text, &err) == 0 || err.code != ERR_INVALID ||
            strstr(err.msg, rows[i].words) == NULL) {
            fail_msg("%s: '%s' lacks '%s'", rows[i].name, err.msg, rows[i].words);
        }
    }
    temp_dir_done(&dir);
}

static void test_load_names_the_file(void **state)
{
    (void)state;
    struct kube_credentials c;
    struct err err = ERR_INIT;
    assert_int_equal(kube_credentials_load(&c, "/nowhere/config", "/tmp", &err), -1);
    assert_non_null(strstr(err.msg, "/nowhere/config"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_token),
        cmocka_unit_test(test_certificates_in_the_file),
        cmocka_unit_test(test_files_are_relative_to_the_config),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_load_names_the_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
