/* SPDX-License-Identifier: Apache-2.0 */
/* Option tables shown: as the text of --help and as YAML that can be read back. */
#include <inttypes.h>
#include <string.h>

#include "base/buf.h"
#include "base/conf.h"
#include "base/util.h"

enum { HELP_INDENT = 6, HELP_WIDTH = 92 };

/* ---- help ---- */

static const char *value_word(const struct option *option)
{
    switch (option->type) {
    case OPTION_STRING:
        return option->choices != NULL ? option->choices : "TEXT";
    case OPTION_SECRET:
        return "TEXT";
    case OPTION_BOOL:
        return NULL;
    case OPTION_INT:
        return "NUMBER";
    case OPTION_DURATION:
        return "DURATION";
    case OPTION_BYTES:
        return "SIZE";
    case OPTION_LIST:
        return "A,B,...";
    }
    return NULL;
}

/* Broken at blanks, each line indented. */
static void add_wrapped(struct buf *out, const char *text)
{
    size_t column = 0;

    while (*text != '\0') {
        size_t len = strcspn(text, " ");
        if (column > 0 && column + 1 + len > HELP_WIDTH - HELP_INDENT) {
            buf_addc(out, '\n');
            column = 0;
        }
        buf_addf(out, "%*s", column == 0 ? HELP_INDENT : 1, "");
        buf_add(out, text, len);
        column += len + (column > 0);
        text += len;
        text += strspn(text, " ");
    }
    buf_addc(out, '\n');
}

void conf_help(const struct option *table, size_t count, struct buf *out)
{
    const char *group = NULL;

    for (size_t i = 0; i < count; i++) {
        const struct option *option = &table[i];
        const char *word = value_word(option);
        if (!str_eq(group, option->group)) {
            group = option->group;
            buf_addf(out, "\n%s:\n", group != NULL ? group : "Options");
        }
        buf_addf(out, "  --%s", option->key);
        if (word != NULL) {
            buf_addf(out, " %s", word);
        }
        bool is_said =
            option->fallback != NULL && option->fallback[0] != '\0' && option->type != OPTION_BOOL;
        if (is_said) {
            buf_addf(out, "  (default %s)", option->fallback);
        } else if (option->type == OPTION_BOOL && str_eq(option->fallback, "true")) {
            buf_addf(out, "  (default on; --no-%s)", option->key);
        }
        buf_addc(out, '\n');
        add_wrapped(out, option->help != NULL ? option->help : "");
    }
}

/* ---- print ---- */

/* A YAML double-quoted scalar; values are UTF-8, conf_load saw to that. */
static void add_quoted(struct buf *out, const char *text)
{
    buf_addc(out, '"');
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') {
            buf_addf(out, "\\%c", c);
        } else if (c < 0x20 || c == 0x7f) {
            buf_addf(out, "\\x%02x", c);
        } else {
            buf_addc(out, (char)c);
        }
    }
    buf_addc(out, '"');
}

struct step {
    const char *unit;
    int64_t size;
};

/* In the largest unit that expresses it exactly. */
static void add_in_units(struct buf *out, int64_t value, const struct step *steps, size_t count)
{
    size_t i = 0;
    while (i + 1 < count && (value == 0 || value % steps[i].size != 0)) {
        i++;
    }
    buf_addf(out, "%" PRId64 "%s", value / steps[i].size, steps[i].unit);
}

static void add_number(struct buf *out, const struct option *option, int64_t value)
{
    static const struct step times[] = {
        {"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
    static const struct step sizes[] = {
        {"GiB", INT64_C(1) << 30}, {"MiB", INT64_C(1) << 20}, {"KiB", INT64_C(1) << 10}, {"", 1}};

    if (option->type == OPTION_DURATION) {
        add_in_units(out, value, times, ARRAY_LEN(times));
    } else if (option->type == OPTION_BYTES) {
        add_in_units(out, value, sizes, ARRAY_LEN(sizes));
    } else {
        buf_addf(out, "%" PRId64, value);
    }
}

static void print_one(const struct option *option, const char *field, struct buf *out)
{
    const char *text;

    switch (option->type) {
    case OPTION_STRING:
    case OPTION_SECRET:
    case OPTION_LIST:
        memcpy(&text, field, sizeof text);
        if (text == NULL) {
            buf_addf(out, "# %s:\n", option->key);
        } else if (option->type == OPTION_SECRET) {
            /* A comment, so that reading this back does not make *** the secret. */
            buf_addf(out, "# %s: \"***\"\n", option->key);
        } else {
            buf_addf(out, "%s: ", option->key);
            add_quoted(out, text);
            buf_addc(out, '\n');
        }
        break;
    case OPTION_BOOL: {
        bool is_on;
        memcpy(&is_on, field, sizeof is_on);
        buf_addf(out, "%s: %s\n", option->key, is_on ? "true" : "false");
        break;
    }
    case OPTION_INT:
    case OPTION_DURATION:
    case OPTION_BYTES: {
        int64_t value;
        memcpy(&value, field, sizeof value);
        buf_addf(out, "%s: ", option->key);
        add_number(out, option, value);
        buf_addc(out, '\n');
        break;
    }
    }
}

void conf_print(const struct option *table, size_t count, const void *settings, struct buf *out)
{
    const char *group = NULL;

    for (size_t i = 0; i < count; i++) {
        if (!str_eq(group, table[i].group)) {
            group = table[i].group;
            buf_addf(out, "%s# %s\n", i > 0 ? "\n" : "", group != NULL ? group : "Options");
        }
        print_one(&table[i], (const char *)settings + table[i].offset, out);
    }
}
