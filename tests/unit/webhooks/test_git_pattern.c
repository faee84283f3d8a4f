/* SPDX-License-Identifier: Apache-2.0 */
/* Patterns of branches, tags and paths: GitHub's own examples, and where its words decide. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/util.h"
#include "webhooks/in/git_pattern.h"

static bool matches(const char *pattern, const char *name)
{
    struct err err = ERR_INIT;
    struct git_pattern *made = git_pattern_compile(pattern, &err);
    if (made == NULL) {
        fail_msg("%s: %s", pattern, err.msg);
    }
    bool is = git_pattern_matches(made, name);
    git_pattern_free(made);
    return is;
}

static void test_matches(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *name;
        bool is;
    } rows[] = {
        /* the cheat sheet: branches and tags */
        {"feature/*", "feature/my-branch", true},
        {"feature/*", "feature/your-branch", true},
        {"feature/*", "feature/a/b", false},
        {"feature/*", "feature", false},
        {"feature/**", "feature/beta-a/my-branch", true},
        {"feature/**", "feature/your-branch", true},
        {"feature/**", "feature/mona/the/octocat", true},
        {"feature/**", "feature", false},
        {"main", "main", true},
        {"main", "mainline", false},
        {"main", "Main", false},
        {"releases/mona-the-octocat", "releases/mona-the-octocat", true},
        {"*", "main", true},
        {"*", "releases", true},
        {"*", "all/the/branches", false},
        {"**", "all/the/branches", true},
        {"**", "every/tag", true},
        {"*feature", "mona-feature", true},
        {"*feature", "feature", true},
        {"*feature", "ver-10-feature", true},
        {"*feature", "feature2", false},
        {"v2*", "v2", true},
        {"v2*", "v2.0", true},
        {"v2*", "v2.9", true},
        {"v2*", "v1.2", false},
        {"v[12].[0-9]+.[0-9]+", "v1.10.1", true},
        {"v[12].[0-9]+.[0-9]+", "v2.0.0", true},
        {"v[12].[0-9]+.[0-9]+", "v3.0.0", false},
        {"v[12].[0-9]+.[0-9]+", "v1..0", false},
        {"v[12].[0-9]+.[0-9]+", "v1.0.0-rc1", false},
        /* the cheat sheet: paths */
        {"*", "README.md", true},
        {"*", "docs/README.md", false},
        {"*.jsx?", "page.js", true},
        {"*.jsx?", "page.jsx", true},
        {"*.jsx?", "page.jsxx", false},
        {"**", "all/the/files.md", true},
        {"*.js", "app.js", true},
        {"*.js", "js/app.js", false},
        {"**.js", "index.js", true},
        {"**.js", "js/index.js", true},
        {"**.js", "src/js/app.js", true},
        {"docs/*", "docs/README.md", true},
        {"docs/*", "docs/mona/octocat.txt", false},
        {"docs/**", "docs/mona/octocat.txt", true},
        {"docs/**/*.md", "docs/README.md", true},
        {"docs/**/*.md", "docs/mona/hello-world.md", true},
        {"docs/**/*.md", "docs/a/markdown/file.md", true},
        {"docs/**/*.md", "docs/file.txt", false},
        {"**/docs/**", "docs/hello.md", true},
        {"**/docs/**", "dir/docs/my-file.txt", true},
        {"**/docs/**", "space/docs/plan/space.doc", true},
        {"**/docs/**", "mydocs/x", false},
        {"**/README.md", "README.md", true},
        {"**/README.md", "js/README.md", true},
        {"**/*src/**", "a/src/app.js", true},
        {"**/*src/**", "my-src/code/js/app.js", true},
        {"**/*-post.md", "my-post.md", true},
        {"**/*-post.md", "path/their-post.md", true},
        {"**/migrate-*.sql", "migrate-10909.sql", true},
        {"**/migrate-*.sql", "db/migrate-v1.0.sql", true},
        {"**/migrate-*.sql", "db/sept/migrate-v1.sql", true},
        /* '?' is zero or one of the character before, not any character */
        {"ab?c", "abc", true},
        {"ab?c", "ac", true},
        {"ab?c", "abbc", false},
        {"ab?c", "axc", false},
        {"[ab]?c", "c", true},
        {"[ab]?c", "bc", true},
        {"[ab]?c", "abc", false},
        {"\xc3\xa4?b", "b", true},
        {"\xc3\xa4?b",
            "\xc3\xa4"
            "b",
            true},
        {"\xc3\xa4?b",
            "\xa4"
            "b",
            false},
        /* '+' is one or more */
        {"a+b", "b", false},
        {"a+b", "ab", true},
        {"a+b", "aaaab", true},
        {"a+", "aaaa", true},
        {"a+", "aaab", false},
        {"[0-9]+", "2026", true},
        {"[0-9]+", "", false},
        {"[0-9]+[0-9]", "1", false},
        {"[0-9]+[0-9]", "12", true},
        /* brackets */
        {"[a-c]x", "bx", true},
        {"[a-c]x", "dx", false},
        {"[a-cX-Z0-2]", "Y", true},
        {"[a-cX-Z0-2]", "2", true},
        {"[a-cX-Z0-2]", "3", false},
        {"[a-cX-Z0-2]", "-", false},
        {"[a-]", "-", true},
        {"[-a]", "-", true},
        {"[.]", ".", true},
        {"[.]", "x", false},
        {"[*]", "*", true},
        {"[*]", "x", false},
        {"[!a]", "!", true},
        {"[!a]", "b", false},
        {"[\xc3\xa4\xc3\xb6]", "\xc3\xb6", true},
        {"[\xc3\xa4\xc3\xb6]", "\xc3", false},
        /* a character that means itself */
        {"a\\*b", "a*b", true},
        {"a\\*b", "axb", false},
        {"a\\?", "a?", true},
        {"a\\?", "a", false},
        {"c\\+\\+", "c++", true},
        {"\\[x\\]", "[x]", true},
        {"\\!x", "!x", true},
        {"a\\\\b", "a\\b", true},
        {"]", "]", true},
        {"a!b", "a!b", true},
        {"a-b", "a-b", true},
        {".github/**", ".github/workflows/x.yml", true},
        {"*", ".hidden", true},
        /* stars in all places */
        {"***", "a/b", true},
        {"a**b", "a/x/b", true},
        {"a**b", "ab", true},
        {"a*b", "a/b", false},
        {"a*b", "ab", true},
        {"a/**/b", "a/b", true},
        {"a/**/b", "a/x/y/b", true},
        {"a/**/b", "a/xb", false},
        {"a/**/b", "ab", false},
        {"x**/b", "xb", true},
        {"x**/b", "xyz/b", true},
        {"x**/b", "xyzb", false},
        {"**/**/x", "x", true},
        {"*/*", "a/b", true},
        {"*/*", "a", false},
        {"*/", "a", false},
        {"**/", "a/", true},
        {"**/", "a", false},
        {"*a*a*a*a*a*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            false},
        {"a", "", false},
        {"*", "", true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (matches(rows[i].pattern, rows[i].name) != rows[i].is) {
            fail_msg("'%s' %s '%s'", rows[i].pattern, rows[i].is ? "must match" : "must not match",
                rows[i].name);
        }
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *says;
    } rows[] = {
        {"", "1 to 256 bytes"},
        {"!", "1 to 256 bytes"},
        {"?x", "no character before it"},
        {"+x", "no character before it"},
        {"!?x", "no character before it"},
        {"*?", "no character before it"},
        {"**+", "no character before it"},
        {"a?+", "no character before it"},
        {"a++", "no character before it"},
        {"[abc", "no ']'"},
        {"a[", "no ']'"},
        {"[]", "matches nothing"},
        {"[z-a]", "no range"},
        {"[a-Z]", "no range"},
        {"[0-f]", "no range"},
        {"[!-/]", "no range"},
        {"a\\", "ends with"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = ERR_INIT;
        if (git_pattern_compile(rows[i].pattern, &err) != NULL) {
            fail_msg("taken: %s", rows[i].pattern);
        }
        assert_int_equal(err.code, ERR_INVALID);
        if (strstr(err.msg, rows[i].says) == NULL) {
            fail_msg("%s: %s", rows[i].pattern, err.msg);
        }
    }
    char longest[GIT_PATTERN_MAX + 2];
    memset(longest, '*', sizeof longest);
    longest[GIT_PATTERN_MAX + 1] = '\0';
    struct err err = ERR_INIT;
    assert_null(git_pattern_compile(longest, &err));
    longest[GIT_PATTERN_MAX] = '\0';
    struct git_pattern *pattern = git_pattern_compile(longest, &err);
    assert_non_null(pattern);
    git_pattern_free(pattern);
}

/* The order counts: the last pattern that matches decides. */
static void test_lists(void **state)
{
    (void)state;
    static const struct {
        const char *list, *name, *by;
        bool is;
    } rows[] = {
        {"[\"main\"]", "main", "main", true},
        {"[\"main\"]", "dev", NULL, false},
        {"[\"releases/**\",\"!releases/**-alpha\"]", "releases/10", "releases/**", true},
        {"[\"releases/**\",\"!releases/**-alpha\"]", "releases/10-alpha", "!releases/**-alpha",
            false},
        {"[\"releases/**\",\"!releases/**-alpha\"]", "releases/beta/3-alpha", "!releases/**-alpha",
            false},
        {"[\"*.md\",\"!README.md\"]", "hello.md", "*.md", true},
        {"[\"*.md\",\"!README.md\"]", "README.md", "!README.md", false},
        {"[\"*.md\",\"!README.md\",\"README*\"]", "README.md", "README*", true},
        {"[\"*.md\",\"!README.md\",\"README*\"]", "README.doc", "README*", true},
        {"[\"!main\",\"**\"]", "main", "**", true},
        {"[\"**\",\"!main\"]", "main", "!main", false},
        {"[]", "main", NULL, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = ERR_INIT;
        struct git_patterns patterns;
        const struct git_pattern *by = NULL;
        json_t *list = json_loads(rows[i].list, 0, NULL);
        assert_int_equal(git_patterns_compile(list, "branches", &patterns, &err), 0);
        if (git_patterns_include(&patterns, rows[i].name, &by) != rows[i].is) {
            fail_msg("%s %s", rows[i].list, rows[i].name);
        }
        assert_true(str_eq(by != NULL ? git_pattern_text(by) : NULL, rows[i].by));
        git_patterns_done(&patterns);
        json_decref(list);
    }
}

static void test_lists_refused(void **state)
{
    (void)state;
    static const struct {
        const char *list, *says;
    } rows[] = {
        {"[\"!main\"]", "put \"**\" first"},
        {"[\"main\",\"[x\"]", "branches[1]: "},
        {"[\"main\",\"\"]", "branches[1]: "},
        {"[5]", "branches[0]: "},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = ERR_INIT;
        struct git_patterns patterns;
        json_t *list = json_loads(rows[i].list, 0, NULL);
        assert_int_equal(git_patterns_compile(list, "branches", &patterns, &err), -1);
        assert_int_equal(err.code, ERR_INVALID);
        if (strstr(err.msg, rows[i].says) == NULL) {
            fail_msg("%s: %s", rows[i].list, err.msg);
        }
        assert_int_equal(patterns.count, 0);
        json_decref(list);
    }
    json_t *many = json_array();
    for (int i = 0; i <= GIT_PATTERNS_MAX; i++) {
        json_array_append_new(many, json_string("x"));
    }
    struct err err = ERR_INIT;
    struct git_patterns patterns;
    assert_int_equal(git_patterns_compile(many, "branches", &patterns, &err), -1);
    json_decref(many);
}

static void test_globs(void **state)
{
    (void)state;
    static const struct {
        const char *glob, *text;
        bool is;
    } rows[] = {
        {"*[bot]", "dependabot[bot]", true},
        {"*[bot]", "dependabot", false},
        {"*[bot]", "bot", false},
        {"ann", "Ann", true},
        {"ann", "anna", false},
        {"*@ci.example.com", "x@ci.example.com", true},
        {"acme/*", "Acme/Model", true},
        {"acme/*", "acme", false},
        {"*a*b*", "xxaxxbxx", true},
        {"*a*b*", "xxbxxaxx", false},
        {"*", "", true},
        {"", "", true},
        {"", "x", false},
        {"release: *", "release: 1.2\n\nby the bot", true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (git_glob_matches(rows[i].glob, rows[i].text) != rows[i].is) {
            fail_msg("'%s' '%s'", rows[i].glob, rows[i].text);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matches),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_lists_refused),
        cmocka_unit_test(test_globs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
