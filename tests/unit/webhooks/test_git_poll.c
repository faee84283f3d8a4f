/* SPDX-License-Identifier: Apache-2.0 */
/* Which refs have moved, and the messages made of that. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/map.h"
#include "base/pool.h"
#include "base/util.h"
#include "webhooks/in/git_poll.h"

#define A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define NONE "0000000000000000000000000000000000000000"
#define MAIN "refs/heads/main"
#define TAG "refs/tags/v1"

static void test_moves(void **state)
{
    (void)state;
    static const struct {
        const char *kept[2][2]; /* ref, id */
        struct git_ref now[2];
        struct git_move wanted[2];
    } rows[] = {
        {{{NULL}}, {{NULL}}, {{NULL}}},
        {{{MAIN, A}}, {{MAIN, A, NULL}}, {{NULL}}},
        {{{MAIN, A}}, {{MAIN, B, NULL}}, {{MAIN, A, B, B}}},
        {{{NULL}}, {{MAIN, B, NULL}}, {{MAIN, NONE, B, B}}},
        {{{MAIN, A}}, {{NULL}}, {{MAIN, A, NONE, NONE}}},
        {{{NULL}}, {{TAG, A, B}}, {{TAG, NONE, A, B}}}, /* annotated */
        {{{TAG, A}}, {{MAIN, B, NULL}}, {{MAIN, NONE, B, B}, {TAG, A, NONE, NONE}}},
        {{{MAIN, A}, {TAG, A}}, {{MAIN, A, NULL}, {TAG, B, NULL}}, {{TAG, A, B, B}}},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct pool *pool = pool_new();
        struct map *kept = map_new(NULL);
        struct git_ref items[2];
        struct git_refs now = {.items = items};
        size_t wanted = 0, count = 0;
        struct git_move *moves = NULL;
        for (size_t n = 0; n < 2; n++) {
            if (rows[i].kept[n][0] != NULL) {
                map_put(kept, rows[i].kept[n][0], (void *)rows[i].kept[n][1]);
            }
            if (rows[i].now[n].name != NULL) {
                items[now.count++] = rows[i].now[n];
            }
            wanted += rows[i].wanted[n].ref != NULL;
        }
        assert_true(git_moves(pool, kept, &now, &moves, &count));
        assert_int_equal(count, wanted);
        for (size_t n = 0; n < wanted; n++) {
            assert_string_equal(moves[n].ref, rows[i].wanted[n].ref);
            assert_string_equal(moves[n].before, rows[i].wanted[n].before);
            assert_string_equal(moves[n].after, rows[i].wanted[n].after);
            assert_string_equal(moves[n].commit, rows[i].wanted[n].commit);
        }
        map_free(kept);
        pool_free(pool);
    }
}

static void test_no_more_than_so_many(void **state)
{
    (void)state;
    enum { MANY = GIT_POLL_CHANGES_MAX + 1 };
    struct pool *pool = pool_new();
    struct map *kept = map_new(NULL);
    struct git_ref items[MANY];
    struct git_move *moves = NULL;
    size_t count = 0;
    for (size_t i = 0; i < MANY; i++) {
        items[i] = (struct git_ref){.name = pool_printf(pool, "refs/tags/t%zu", i), .id = A};
    }
    struct git_refs now = {.items = items, .count = MANY};
    assert_false(git_moves(pool, kept, &now, &moves, &count));
    assert_int_equal(count, GIT_POLL_CHANGES_MAX);
    now.count = GIT_POLL_CHANGES_MAX;
    assert_true(git_moves(pool, kept, &now, &moves, &count));
    /* As many that are gone. */
    for (size_t i = 0; i < MANY; i++) {
        map_put(kept, items[i].name, (void *)A);
    }
    now.count = 0;
    assert_false(git_moves(pool, kept, &now, &moves, &count));
    assert_int_equal(count, GIT_POLL_CHANGES_MAX);
    map_free(kept);
    pool_free(pool);
}

static void test_messages(void **state)
{
    (void)state;
    static const struct {
        struct git_move move;
        const char *branch, *tag;
        bool is_created, is_deleted;
    } rows[] = {
        {{MAIN, A, B, B}, "main", NULL, false, false},
        {{TAG, NONE, A, B}, NULL, "v1", true, false},
        {{"refs/heads/a/b", A, NONE, NONE}, "a/b", NULL, false, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct pool *pool = pool_new();
        const struct git_move *move = &rows[i].move;
        struct hook_message m, again, later;
        struct err err = ERR_INIT;
        const char *payload =
            git_poll_payload(pool, "acme/Model", "https://git.example.com/acme/model.git", 7, move);
        assert_int_equal(git_poll_read(pool, FORGE_GITEA, payload, strlen(payload), &m, &err), 0);
        assert_int_equal(m.kind, HOOK_PUSH);
        assert_int_equal(m.push_count, 1);
        assert_true(m.is_polled);
        assert_int_equal(m.since_us, 7);
        const struct git_push *p = &m.pushes[0];
        assert_string_equal(p->forge, "gitea");
        assert_string_equal(p->ref, move->ref);
        assert_string_equal(p->before, move->before);
        assert_string_equal(p->after, move->after);
        assert_string_equal(p->commit, move->commit);
        assert_true(str_eq(p->branch, rows[i].branch) && str_eq(p->tag, rows[i].tag));
        assert_int_equal(p->is_created, rows[i].is_created);
        assert_int_equal(p->is_deleted, rows[i].is_deleted);
        assert_int_equal(p->files_known, GIT_FILES_UNKNOWN);
        /* What a forge tells of it has the same key, and a look at another time another name. */
        assert_string_equal(
            p->key, git_push_key(pool, "acme/model", move->ref, move->before, move->after));
        assert_int_equal(
            git_poll_read(pool, FORGE_GITEA, payload, strlen(payload), &again, &err), 0);
        assert_string_equal(again.delivery, m.delivery);
        payload = git_poll_payload(pool, "acme/model", "", 8, move);
        assert_int_equal(
            git_poll_read(pool, FORGE_GITEA, payload, strlen(payload), &later, &err), 0);
        assert_string_not_equal(later.delivery, m.delivery);
        pool_free(pool);
    }
}

static void test_bad_payloads(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"", "payload"},
        {"[]", "payload.repository"},
        {"{\"repository\":\"a/b\",\"url\":\"\",\"ref\":7}", "payload.ref"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct pool *pool = pool_new();
        struct hook_message m;
        struct err err = ERR_INIT;
        assert_int_equal(
            git_poll_read(pool, FORGE_GITHUB, rows[i][0], strlen(rows[i][0]), &m, &err), -1);
        assert_int_equal(err.code, ERR_INVALID);
        assert_non_null(strstr(err.msg, rows[i][1]));
        pool_free(pool);
    }
    /* A name that is not UTF-8 becomes no payload. */
    struct pool *pool = pool_new();
    const struct git_move move = {"refs/heads/\xff", A, B, B};
    assert_null(git_poll_payload(pool, "acme/model", "", 0, &move));
    pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_moves),
        cmocka_unit_test(test_no_more_than_so_many),
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_bad_payloads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
