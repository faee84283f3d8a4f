/* SPDX-License-Identifier: Apache-2.0 */
/* Patterns of branches, tags and paths: compiled to tokens, matched by keeping all places at once.
 */
#include "webhooks/in/git_pattern.h"

#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/util.h"

enum token_kind {
    TOKEN_CHAR,
    TOKEN_CLASS,
    TOKEN_STAR,    /* any but '/' */
    TOKEN_ANY,     /* anything */
    TOKEN_FOLDERS, /* nothing, or anything that ends with '/' */
};
enum token_times { TIMES_ONE, TIMES_OPTIONAL, TIMES_MANY };

struct token {
    enum token_kind kind;
    enum token_times times;
    uint32_t symbol;         /* CHAR: its bytes as a number */
    const char *begin, *end; /* CLASS: what stands between the brackets */
};

struct git_pattern {
    char *text;
    bool is_negative;
    struct token *tokens;
    size_t count;
};

/* The next character of text as a number; two are the same if and only if their bytes are. */
static uint32_t next_symbol(const char **text)
{
    size_t step = utf8_step(*text, strlen(*text));
    uint32_t symbol = 0;
    for (size_t i = 0; i < (step > 0 ? step : 1); i++) {
        symbol = symbol << 8 | (unsigned char)*(*text)++;
    }
    return symbol;
}

/* ---- compile ---- */

/* Of names, the length is known to be below a few kilobytes; of classes, below that of a pattern.
 */
static int read_class(const char **at, struct token *token, struct err *err)
{
    const char *begin = *at, *p = begin;
    while (*p != '\0' && *p != ']') {
        const char *low = p;
        uint32_t first = next_symbol(&p);
        if (p[0] != '-' || p[1] == ']' || p[1] == '\0') {
            continue;
        }
        p++;
        uint32_t last = next_symbol(&p);
        bool is_range = first < 128 && last < 128 && first <= last &&
                        ((isdigit((int)first) && isdigit((int)last)) ||
                            (islower((int)first) && islower((int)last)) ||
                            (isupper((int)first) && isupper((int)last)));
        if (!is_range) {
            return err_set(err, ERR_INVALID,
                "'%.*s' is no range; ranges are within a-z, A-Z or 0-9", (int)(p - low), low);
        }
    }
    if (*p == '\0') {
        return err_set(err, ERR_INVALID, "'[' has no ']'; a '[' that means itself is written \\[");
    }
    if (p == begin) {
        return err_set(err, ERR_INVALID, "'[]' matches nothing; name characters between them");
    }
    *token = (struct token){.kind = TOKEN_CLASS, .begin = begin, .end = p};
    *at = p + 1;
    return 0;
}

static int read_times(struct git_pattern *pattern, char sign, bool is_applied, struct err *err)
{
    if (!is_applied) {
        return err_set(err, ERR_INVALID,
            "'%c' has no character before it that it could apply to; one that means itself is "
            "written \\%c",
            sign, sign);
    }
    pattern->tokens[pattern->count - 1].times = sign == '?' ? TIMES_OPTIONAL : TIMES_MANY;
    return 0;
}

static void read_stars(const char **at, struct token *token)
{
    size_t stars = strspn(*at, "*");
    bool is_folders = stars >= 2 && (*at)[stars] == '/';
    token->kind = stars == 1 ? TOKEN_STAR : is_folders ? TOKEN_FOLDERS : TOKEN_ANY;
    *at += stars + (is_folders ? 1 : 0);
}

static int compile(struct git_pattern *pattern, const char *at, struct err *err)
{
    bool is_applicable = false; /* '?' or '+' may follow */
    while (*at != '\0') {
        struct token token = {.kind = TOKEN_CHAR};
        if (*at == '?' || *at == '+') {
            if (read_times(pattern, *at++, is_applicable, err) != 0) {
                return -1;
            }
            is_applicable = false;
            continue;
        }
        is_applicable = *at != '*';
        if (*at == '*') {
            read_stars(&at, &token);
        } else if (*at == '[') {
            at++;
            if (read_class(&at, &token, err) != 0) {
                return -1;
            }
        } else {
            if (*at == '\\' && *++at == '\0') {
                return err_set(err, ERR_INVALID,
                    "ends with '\\', which makes the character after it mean itself");
            }
            token.symbol = next_symbol(&at);
        }
        pattern->tokens[pattern->count++] = token;
    }
    return 0;
}

struct git_pattern *git_pattern_compile(const char *text, struct err *err)
{
    size_t len = strlen(text);
    if (len == 0 || len > GIT_PATTERN_MAX || strcmp(text, "!") == 0) {
        err_set(err, ERR_INVALID, "expected a name or pattern of 1 to %d bytes, such as release/**",
            GIT_PATTERN_MAX);
        return NULL;
    }
    struct git_pattern *pattern = xcalloc(1, sizeof *pattern);
    pattern->text = xstrdup(text);
    pattern->is_negative = text[0] == '!';
    pattern->tokens = xcalloc(len, sizeof *pattern->tokens);
    if (compile(pattern, pattern->text + (pattern->is_negative ? 1 : 0), err) != 0) {
        git_pattern_free(pattern);
        return NULL;
    }
    return pattern;
}

void git_pattern_free(struct git_pattern *pattern)
{
    if (pattern != NULL) {
        free(pattern->tokens);
        free(pattern->text);
        free(pattern);
    }
}

bool git_pattern_is_negative(const struct git_pattern *pattern)
{
    return pattern->is_negative;
}

const char *git_pattern_text(const struct git_pattern *pattern)
{
    return pattern->text;
}

/* ---- match ---- */

static bool class_has(const struct token *token, uint32_t symbol)
{
    const char *p = token->begin;
    while (p < token->end) {
        uint32_t first = next_symbol(&p);
        uint32_t last = first;
        if (p[0] == '-' && p + 1 < token->end) {
            p++;
            last = next_symbol(&p);
        }
        if (symbol >= first && symbol <= last && (first == last || symbol < 128)) {
            return true;
        }
    }
    return false;
}

/* Where in the pattern the match may be: place i is before token i. */
struct places {
    uint16_t list[GIT_PATTERN_MAX + 1];
    bool has[GIT_PATTERN_MAX + 1];
    size_t count;
};

/* And all places that are reached from there without a character. */
static void places_add(
    struct places *places, const struct git_pattern *pattern, size_t i, bool is_entered)
{
    for (;; i++, is_entered = true) {
        if (!places->has[i]) {
            places->has[i] = true;
            places->list[places->count++] = (uint16_t)i;
        }
        if (i == pattern->count) {
            return;
        }
        const struct token *token = &pattern->tokens[i];
        bool may_be_nothing =
            token->kind == TOKEN_STAR || token->kind == TOKEN_ANY ||
            (is_entered && (token->kind == TOKEN_FOLDERS || token->times == TIMES_OPTIONAL));
        if (!may_be_nothing) {
            return;
        }
    }
}

static void places_step(
    struct places *next, const struct git_pattern *pattern, size_t i, uint32_t symbol)
{
    const struct token *token = &pattern->tokens[i];
    switch (token->kind) {
    case TOKEN_STAR:
        if (symbol != '/') {
            places_add(next, pattern, i, false);
        }
        return;
    case TOKEN_ANY:
        places_add(next, pattern, i, false);
        return;
    case TOKEN_FOLDERS:
        places_add(next, pattern, i, false);
        if (symbol == '/') {
            places_add(next, pattern, i + 1, true);
        }
        return;
    case TOKEN_CHAR:
    case TOKEN_CLASS:
        break;
    }
    if (token->kind == TOKEN_CHAR ? token->symbol == symbol : class_has(token, symbol)) {
        if (token->times == TIMES_MANY) {
            places_add(next, pattern, i, false);
        }
        places_add(next, pattern, i + 1, true);
    }
}

bool git_pattern_matches(const struct git_pattern *pattern, const char *name)
{
    struct places places[2] = {0};
    struct places *now = &places[0], *next = &places[1];
    places_add(now, pattern, 0, true);
    while (*name != '\0' && now->count > 0) {
        uint32_t symbol = next_symbol(&name);
        for (size_t n = 0; n < now->count; n++) {
            if (now->list[n] < pattern->count) {
                places_step(next, pattern, now->list[n], symbol);
            }
        }
        for (size_t n = 0; n < now->count; n++) {
            now->has[now->list[n]] = false;
        }
        now->count = 0;
        struct places *spare = now;
        now = next;
        next = spare;
    }
    return *name == '\0' && now->has[pattern->count];
}

/* ---- lists ---- */

int git_patterns_compile(
    const json_t *list, const char *where, struct git_patterns *out, struct err *err)
{
    *out = (struct git_patterns){0};
    size_t count = json_array_size(list), positive = 0;
    if (count > GIT_PATTERNS_MAX) {
        return err_set(err, ERR_INVALID, "%s: at most %d patterns", where, GIT_PATTERNS_MAX);
    }
    struct git_patterns made = {.items = xcalloc(count > 0 ? count : 1, sizeof *made.items)};
    for (size_t i = 0; i < count; i++) {
        const char *text = json_string_value(json_array_get(list, i));
        struct git_pattern *pattern = git_pattern_compile(text != NULL ? text : "", err);
        if (pattern == NULL) {
            git_patterns_done(&made);
            return err_wrap(err, "%s[%zu]", where, i);
        }
        positive += pattern->is_negative ? 0 : 1;
        made.items[made.count++] = pattern;
    }
    if (count > 0 && positive == 0) {
        git_patterns_done(&made);
        return err_set(err, ERR_INVALID,
            "%s: patterns with '!' only take away from what earlier ones include; put \"**\" first",
            where);
    }
    *out = made;
    return 0;
}

void git_patterns_done(struct git_patterns *patterns)
{
    for (size_t i = 0; i < patterns->count; i++) {
        git_pattern_free(patterns->items[i]);
    }
    free(patterns->items);
    *patterns = (struct git_patterns){0};
}

bool git_patterns_include(
    const struct git_patterns *patterns, const char *name, const struct git_pattern **by_out)
{
    const struct git_pattern *by = NULL;
    for (size_t i = patterns->count; i > 0 && by == NULL; i--) {
        if (git_pattern_matches(patterns->items[i - 1], name)) {
            by = patterns->items[i - 1];
        }
    }
    if (by_out != NULL) {
        *by_out = by;
    }
    return by != NULL && !by->is_negative;
}

/* Greedy with one point to go back to: linear but for the last '*'. */
bool git_glob_matches(const char *glob, const char *text)
{
    const char *star = NULL, *again = NULL;
    while (*text != '\0') {
        if (*glob == '*') {
            star = glob++;
            again = text;
        } else if (*glob != '\0' &&
                   tolower((unsigned char)*glob) == tolower((unsigned char)*text)) {
            glob++;
            text++;
        } else if (star != NULL) {
            glob = star + 1;
            text = ++again;
        } else {
            return false;
        }
    }
    return glob[strspn(glob, "*")] == '\0';
}
