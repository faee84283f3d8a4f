/* SPDX-License-Identifier: Apache-2.0 */
/* Printing: JSON as the API gave it, and plain tables. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/cli/cli.h"
#include "base/json.h"
#include "base/util.h"

#define COLUMNS_MAX 12
#define CELL_MAX 60
#define LAST_MAX 1000 /* of the last column, which moves no other */

void cli_print_json(const json_t *value)
{
    CLEANUP(cleanup_free) char *text = jtext_pretty(value);
    puts(text);
}

/* "a,b" of ["a", "b"]; a static buffer, so that what does not fit is cut. */
static const char *joined(const json_t *list)
{
    static char text[LAST_MAX + 1];
    size_t len = 0, i;
    const json_t *one;
    text[0] = '\0';
    json_array_foreach((json_t *)list, i, one)
    {
        const char *word = json_string_value(one);
        if (word != NULL && len < sizeof text - 1) {
            len +=
                (size_t)snprintf(text + len, sizeof text - len, "%s%s", len > 0 ? "," : "", word);
        }
    }
    return text;
}

/* The member named by "a.b" as text; static buffers serve numbers and lists. */
static const char *cell(const json_t *row, const char *path)
{
    static char number[32];
    char name[64];
    const json_t *at = row;
    while (*path != '\0') {
        size_t len = strcspn(path, ".");
        snprintf(name, sizeof name, "%.*s", (int)len, path);
        at = json_object_get(at, name);
        path += len + (path[len] == '.' ? 1 : 0);
    }
    if (json_is_string(at)) {
        return json_string_value(at);
    }
    if (json_is_integer(at)) {
        snprintf(number, sizeof number, "%lld", (long long)json_integer_value(at));
        return number;
    }
    if (json_is_array(at)) {
        return joined(at);
    }
    return json_is_true(at) ? "yes" : json_is_false(at) ? "no" : "";
}

static int width_of(const char *text)
{
    size_t len = strlen(text);
    return len > CELL_MAX ? CELL_MAX : (int)len;
}

int cli_print_text(const char *text, size_t max)
{
    size_t len = strnlen(text, max);
    while (len > 0 && ((unsigned char)text[len] & 0xC0) == 0x80) {
        len--; /* not in the middle of a character */
    }
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        putchar(c == '\n' ? ' ' : c < 0x20 || c == 0x7f ? '?' : c);
    }
    return (int)len;
}

static void print_cell(const char *text, int width, bool is_last)
{
    int n = cli_print_text(text, is_last ? LAST_MAX : CELL_MAX);
    if (!is_last) {
        printf("%*s", width - n + 2, "");
    }
}

void cli_print_table(const json_t *rows, const char *const *columns)
{
    int widths[COLUMNS_MAX] = {0};
    size_t count = 0;
    for (; columns[count] != NULL && count < COLUMNS_MAX; count++) {
        widths[count] = (int)strcspn(columns[count], ":");
    }
    size_t i;
    const json_t *row;
    json_array_foreach((json_t *)rows, i, row)
    {
        for (size_t c = 0; c < count; c++) {
            int width = width_of(cell(row, strchr(columns[c], ':') + 1));
            widths[c] = width > widths[c] ? width : widths[c];
        }
    }
    for (size_t c = 0; c < count; c++) {
        printf("%-*.*s%s", c + 1 < count ? widths[c] + 2 : 0, (int)strcspn(columns[c], ":"),
            columns[c], c + 1 < count ? "" : "\n");
    }
    json_array_foreach((json_t *)rows, i, row)
    {
        for (size_t c = 0; c < count; c++) {
            print_cell(cell(row, strchr(columns[c], ':') + 1), widths[c], c + 1 == count);
        }
        putchar('\n');
    }
}
