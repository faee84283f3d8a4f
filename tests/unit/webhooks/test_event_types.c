/* SPDX-License-Identifier: Apache-2.0 */
/* The catalogue: whole, well formed, and the same as contrib/docs/events.md says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/id.h"
#include "base/json.h"
#include "base/util.h"
#include "webhooks/event_types.h"

#define DOCS TEST_DATA "/../../contrib/docs/events.md"

static void test_well_formed(void **state)
{
    (void)state;
    size_t count;
    const struct event_type *types = event_types(&count);
    assert_true(count > 20);
    for (size_t i = 0; i < count; i++) {
        const struct event_type *type = &types[i];
        assert_ptr_equal(event_type_find(type->type), type);
        assert_non_null(strchr(type->type, '.'));
        assert_int_equal(strspn(type->type, "abcdefghijklmnopqrstuvwxyz_."), strlen(type->type));
        assert_true(type->version >= 1 && type->version <= 9); /* CDEvents has one digit for it */
        const struct event_member *member;
        for (size_t m = 0; (member = event_type_member(type, m)) != NULL; m++) {
            assert_ptr_equal(event_type_member_named(type, member->name), member); /* none twice */
            json_t *example CLEANUP(json_decrefp) =
                json_loads(member->example, JSON_DECODE_ANY, NULL);
            assert_non_null(example);
            const char *is = json_is_string(example)    ? "string"
                             : json_is_integer(example) ? "integer"
                             : json_is_boolean(example) ? "boolean"
                                                        : "object";
            assert_string_equal(is, member->type);
            assert_null(strstr(member->name, "left_out"));
        }
        json_t *event CLEANUP(json_decrefp) = event_type_example(type);
        assert_true(id_is_valid(jget_str(event, "id", "")));
        json_t *schema CLEANUP(json_decrefp) = event_type_schema(type);
        assert_non_null(schema);
        json_t *shown CLEANUP(json_decrefp) = event_type_json(type);
        assert_non_null(shown);
    }
    assert_null(event_type_find("run"));
    assert_null(event_type_find(""));
}

/* "`state` (SUCCEEDED, FAILED): how it ended" */
static void add_member(struct buf *out, const struct event_member *member)
{
    bool is_required = (member->flags & EVENT_REQUIRED) != 0;
    bool is_thin = (member->flags & EVENT_THIN) != 0;
    buf_addf(out, "| `%s` | %s | %s | %s | %s", member->name, member->type,
        is_required ? "yes" : "", is_thin ? "yes" : "", member->meaning);
    for (const char *at = member->values; at != NULL && *at != '\0';) {
        size_t len = strcspn(at, " ");
        buf_addf(out, "%s`%.*s`", at == member->values ? ": " : ", ", (int)len, at);
        at += len + (at[len] == ' ');
    }
    buf_adds(out, " |\n");
}

static void add_type(struct buf *out, const struct event_type *type)
{
    const struct event_member *member;
    buf_addf(out, "### %s\n\nVersion %d: %s.\n\n", type->type, type->version, type->meaning);
    buf_adds(out, "| member | type | always | thin | what |\n|---|---|---|---|---|\n");
    for (size_t m = 0; (member = event_type_member(type, m)) != NULL; m++) {
        add_member(out, member);
    }
    buf_addc(out, '\n');
}

/* The end of the document is what this makes of the table. */
static void test_documented(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct buf expected;
    size_t count;
    const struct event_type *types = event_types(&count);
    buf_init(&expected, 1 << 20);
    buf_adds(&expected, "## Types\n\n");
    for (size_t i = 0; i < count; i++) {
        add_type(&expected, &types[i]);
    }
    CLEANUP(cleanup_free) char *text = file_read(DOCS, 1 << 20, NULL, &err);
    assert_non_null(text);
    const char *section = strstr(text, "## Types\n");
    if (section == NULL || strncmp(section, buf_str(&expected), expected.len - 1) != 0 ||
        strlen(section) != expected.len - 1) {
        fprintf(stderr, "the end of contrib/docs/events.md should be:\n%s", buf_str(&expected));
        fail();
    }
    buf_done(&expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_well_formed),
        cmocka_unit_test(test_documented),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
