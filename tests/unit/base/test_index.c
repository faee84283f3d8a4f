/* SPDX-License-Identifier: Apache-2.0 */
/* Pages over all shards: every id once and in order, whatever the spread, ties and page size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/index.h"
#include "base/loop.h"
#include "base/stamp.h"
#include "base/store.h"
#include "base/util.h"

#include "tests/support/harness.h"

#define MANY 700

struct seen {
    int times;
    size_t count;
    struct index_item items[64];
    int64_t total;
    struct err err;
};

static void on_page(
    void *owner, const struct index_item *items, size_t count, int64_t total, const struct err *err)
{
    struct seen *seen = owner;
    seen->times++;
    seen->count = count;
    seen->total = total;
    err_clear(&seen->err);
    if (err != NULL) {
        err_copy(&seen->err, err);
        return;
    }
    assert_true(count <= ARRAY_LEN(seen->items));
    if (count > 0) {
        memcpy(seen->items, items, count * sizeof *items);
    }
}

static int by_instant(const void *a, const void *b)
{
    const struct index_item *left = a, *right = b;
    if (left->at_us != right->at_us) {
        return left->at_us < right->at_us ? -1 : 1;
    }
    return strcmp(left->id, right->id);
}

static void fill(
    struct harness *h, const char *set, bool one_shard, int64_t instants, struct index_item *out)
{
    h->answered = 0;
    for (size_t i = 0; i < MANY; i++) {
        struct id id;
        id_new(&id);
        if (one_shard) {
            id.text[0] = id.text[1] = '3';
        }
        memcpy(out[i].id, id.text, sizeof id.text);
        out[i].at_us = INT64_C(1800000000123456) + (int64_t)i * 7919 % instants;
        store_cmd(h->store, harness_on_reply, h, "ZADD %s%s %lld %s",
            store_id_prefix(h->store, id.text), set, (long long)out[i].at_us, id.text);
    }
    while (h->answered < MANY) { /* of this set */
        loop_turn(h->loop, true);
    }
    qsort(out, MANY, sizeof *out, by_instant);
}

/* Page by page to the end, and compare with the whole. */
static void walk(struct harness *h, const char *set, bool is_desc, size_t page_size,
    const struct index_item *all)
{
    struct index_query query = {.set = set, .is_desc = is_desc, .need = page_size + 1};
    struct index_item start;
    size_t at = 0;
    for (;;) {
        struct seen seen = {0};
        index_page(h->store, &query, on_page, &seen);
        harness_wait(h, &seen.times);
        assert_string_equal(seen.err.msg, "");
        assert_int_equal(seen.total, MANY);
        size_t left = MANY - at;
        assert_int_equal(seen.count, left < query.need ? left : query.need);
        for (size_t i = 0; i < seen.count; i++) {
            const struct index_item *want = &all[is_desc ? MANY - 1 - at - i : at + i];
            assert_string_equal(seen.items[i].id, want->id);
            assert_int_equal(seen.items[i].at_us, want->at_us);
        }
        if (seen.count <= page_size) {
            return;
        }
        at += page_size;
        start = seen.items[page_size];
        query.start_id = start.id;
        query.start_us = start.at_us;
    }
}

static void pages_make_up_the_whole(void **state)
{
    static const struct {
        const char *name;
        bool one_shard;
        int64_t instants; /* different ones */
        size_t page_size;
    } cases[] = {
        {"spread", false, INT64_MAX, 20},
        {"one shard holds all", true, INT64_MAX, 20},
        {"spread, all at one instant", false, 1, 20},
        {"one shard, all at one instant", true, 1, 7},
        {"few instants", false, 5, 50},
        {"one by one", false, 3, 1},
    };
    struct harness *h = *state;
    struct index_item *all = xcalloc(MANY, sizeof *all);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        print_message("  %s\n", cases[i].name);
        CLEANUP(cleanup_free) char *set = xasprintf("set%zu", i);
        fill(h, set, cases[i].one_shard, cases[i].instants, all);
        walk(h, set, false, cases[i].page_size, all);
        walk(h, set, true, cases[i].page_size, all);
    }
    free(all);
}

static void nothing_and_trouble(void **state)
{
    struct harness *h = *state;
    struct seen seen = {0};
    const struct index_query query = {.set = "none", .need = 5};
    index_page(h->store, &query, on_page, &seen);
    harness_wait(h, &seen.times);
    assert_int_equal(seen.count, 0);
    assert_int_equal(seen.total, 0);

    harness_cmd(h, "SET %sbad x", store_shard_prefix(h->store, 5));
    const struct index_query bad = {.set = "bad", .need = 5};
    seen.times = 0;
    index_page(h->store, &bad, on_page, &seen);
    harness_wait(h, &seen.times);
    assert_int_equal(seen.times, 1);
    assert_int_equal(seen.err.code, ERR_INTERNAL);
}

struct stamped {
    int times;
    char text[STAMP_MAX];
    enum err_code code;
};

static void on_stamp(void *owner, const struct stamp *stamp, const struct err *err)
{
    struct stamped *seen = owner;
    seen->times++;
    seen->code = err != NULL ? err->code : ERR_NONE;
    snprintf(seen->text, sizeof seen->text, "%s", stamp != NULL ? stamp->text : "");
}

static void stamps(void **state)
{
    struct harness *h = *state;
    static const char *const fields[] = {"a", "b", "c"};
    char long_text[STAMP_MAX + 1];
    memset(long_text, 'x', STAMP_MAX);
    long_text[STAMP_MAX] = '\0';
    const struct {
        const char *name, *command, *text;
        enum err_code code;
    } cases[] = {
        {"nothing", "DEL h", "", ERR_NOT_FOUND},
        {"absent fields count as 0", "HSET h a 5", "5\n0\n0\n", ERR_NONE},
        {"empty ones too", "HSET h b %s", "5\n0\n0\n", ERR_NONE},
        {"all", "HSET h b x c y", "5\nx\ny\n", ERR_NONE},
        {"too long", "HSET h c %s", "", ERR_NONE},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        print_message("  %s\n", cases[i].name);
        harness_cmd(h, cases[i].command, i == ARRAY_LEN(cases) - 1 ? long_text : "");
        struct stamped seen = {0};
        stamp_read(h->store, "h", fields, ARRAY_LEN(fields), on_stamp, &seen);
        harness_wait(h, &seen.times);
        assert_int_equal(seen.code, cases[i].code);
        assert_string_equal(seen.text, cases[i].text);
    }
    struct stamp built = {.len = 0};
    stamp_add_i(&built, 5);
    stamp_add(&built, NULL);
    stamp_add(&built, "");
    assert_string_equal(built.text, "5\n0\n0\n");
}

static int setup(void **state)
{
    struct harness *h = xcalloc(1, sizeof *h);
    harness_init(h);
    *state = h;
    return 0;
}

static int teardown(void **state)
{
    harness_done(*state);
    free(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(pages_make_up_the_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_and_trouble, setup, teardown),
        cmocka_unit_test_setup_teardown(stamps, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
