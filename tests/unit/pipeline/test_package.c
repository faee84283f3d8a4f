/* SPDX-License-Identifier: Apache-2.0 */
/* Uploaded files: which entry is the pipeline, and archives that are meant to hurt. */
#include "pipeline_test.h"

#include <archive.h>
#include <archive_entry.h>

struct entry {
    const char *name, *text;
    size_t zeros; /* this many instead of text */
    bool is_folder;
};

/* An archive in memory; malloc'd. */
static void *pack(bool is_zip, const struct entry *entries, size_t count, size_t *len_out)
{
    size_t room = 64 << 20, used = 0;
    char *out = xmalloc(room);
    struct archive *a = archive_write_new();
    if (is_zip) {
        archive_write_set_format_zip(a);
    } else {
        archive_write_add_filter_gzip(a);
        archive_write_set_format_pax_restricted(a);
    }
    assert_int_equal(archive_write_open_memory(a, out, room, &used), ARCHIVE_OK);
    for (size_t i = 0; i < count; i++) {
        size_t len = entries[i].text != NULL ? strlen(entries[i].text) : entries[i].zeros;
        struct archive_entry *e = archive_entry_new();
        archive_entry_set_pathname(e, entries[i].name);
        archive_entry_set_filetype(e, entries[i].is_folder ? AE_IFDIR : AE_IFREG);
        archive_entry_set_perm(e, 0644);
        archive_entry_set_size(e, (la_int64_t)len);
        assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
        char *zeros = entries[i].text == NULL && len > 0 ? xcalloc(len, 1) : NULL;
        if (len > 0) {
            archive_write_data(a, zeros != NULL ? zeros : entries[i].text, len);
        }
        free(zeros);
        archive_entry_free(e);
    }
    archive_write_close(a);
    archive_write_free(a);
    *len_out = used;
    return xrealloc(out, used + 1);
}

static void test_archives(void **state UNUSED)
{
    static const struct {
        const char *name;
        struct entry entries[3];
        size_t count;
        const char *text, *says;
    } rows[] = {
        {"one file", {{"a.yaml", "one", 0, false}}, 1, "one\n", NULL},
        {"pipeline.yaml wins", {{"a.yaml", "one", 0, false}, {"pipeline.yaml", "two", 0, false}}, 2,
            "two\n", NULL},
        {"first YAML",
            {{"x.txt", "no", 0, false}, {"b.yml", "b", 0, false}, {"a.yaml", "a", 0, false}}, 3,
            "b\n", NULL},
        {"with a folder", {{"d/", NULL, 0, true}, {"d/a.yaml", "in", 0, false}}, 2, "in\n", NULL},
        {"dot slash", {{"a.yaml", "one", 0, false}, {"./pipeline.yaml", "two", 0, false}}, 2,
            "two\n", NULL},
        {"macOS companions", {{"__MACOSX/._a.yaml", "no", 0, false}, {"a.yaml", "yes", 0, false}},
            2, "yes\n", NULL},
        {"folder named like a file", {{"pipeline.yaml", NULL, 0, true}, {"a.yaml", "x", 0, false}},
            2, "x\n", NULL},
        {"empty file", {{"a.yaml", "", 0, false}}, 1, "\n", NULL},
        {"no YAML", {{"a.txt", "no", 0, false}}, 1, NULL, "no pipeline in the archive"},
        {"nothing", {{NULL, NULL, 0, false}}, 0, NULL, ""},
        {"bomb in the pipeline", {{"pipeline.yaml", NULL, 30 << 20, false}}, 1, NULL, "refused"},
        {"bomb beside it", {{"big.bin", NULL, 40 << 20, false}, {"a.yaml", "x", 0, false}}, 2, NULL,
            "refused"},
        {"too large", {{"big.bin", NULL, 65 << 20, false}}, 1, NULL, "refused"},
    };
    for (int is_zip = 0; is_zip < 2; is_zip++) {
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
            size_t len, text_len = 0;
            void *data = pack(is_zip != 0, rows[i].entries, rows[i].count, &len);
            char *text = NULL;
            struct err err = ERR_INIT;
            int status =
                package_open(is_zip ? "p.zip" : "p.tar.gz", data, len, &text, &text_len, &err);
            if (rows[i].text != NULL) {
                if (status != 0) {
                    print_error("%s: %s\n", rows[i].name, err.msg);
                    fail();
                }
                assert_string_equal(text, rows[i].text);
                assert_int_equal(text_len, strlen(rows[i].text));
            } else {
                if (status == 0) {
                    print_error("%s: taken\n", rows[i].name);
                    fail();
                }
                expect_has(rows[i].name, err.msg, rows[i].says);
                expect_has(rows[i].name, err.msg, is_zip ? "p.zip: " : "p.tar.gz: ");
            }
            free(text);
            free(data);
        }
    }
}

static void test_cut_archives(void **state UNUSED)
{
    static const struct entry entry = {"pipeline.yaml", BASE_PIPELINE, 0, false};
    for (int is_zip = 0; is_zip < 2; is_zip++) {
        size_t len;
        char *data = pack(is_zip != 0, &entry, 1, &len);
        for (size_t cut = 2; cut < len; cut += 7) {
            char *copy = xmalloc(cut), *text = NULL;
            memcpy(copy, data, cut);
            size_t text_len;
            struct err err = ERR_INIT;
            if (package_open("p.zip", copy, cut, &text, &text_len, &err) == 0) {
                free(text);
            } else {
                assert_true(err.msg[0] != '\0');
            }
            free(copy);
        }
        free(data);
    }
}

static void test_names(void **state UNUSED)
{
    static const struct {
        const char *filename, *data;
        bool good;
        const char *says;
    } rows[] = {
        {"p.yaml", "x", true, NULL},
        {"P.YML", "x", true, NULL},
        {"p.json", "{}", true, NULL},
        {"p.yaml", "PK\x03\x04", true, NULL}, /* the name decides */
        {NULL, "x", true, NULL},
        {"", "x", true, NULL},
        {"p.yaml", "", true, NULL},
        {"p.png", "x", false, "not a pipeline file; expected .yaml"},
        {"pipeline", "x", false, "not a pipeline file"},
        {"p.zip", "x", false, "neither a zip nor a tar.gz"},
        {"p.tar.gz", "", false, "neither a zip nor a tar.gz"},
        {"p.zip", "PK", false, "the archive is broken"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *text = NULL;
        size_t len;
        struct err err = ERR_INIT;
        int status =
            package_open(rows[i].filename, rows[i].data, strlen(rows[i].data), &text, &len, &err);
        assert_int_equal(status, rows[i].good ? 0 : -1);
        if (rows[i].good) {
            assert_string_equal(text, rows[i].data);
        } else {
            expect_has(rows[i].filename, err.msg, rows[i].says);
        }
        free(text);
    }
    char *text = NULL;
    size_t len, huge = (32u << 20) + 1;
    char *data = xcalloc(huge, 1);
    struct err err = ERR_INIT;
    assert_int_equal(package_open("p.yaml", data, huge, &text, &len, &err), -1);
    assert_int_equal(err.code, ERR_LIMIT);
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_archives),
        cmocka_unit_test(test_cut_archives),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
