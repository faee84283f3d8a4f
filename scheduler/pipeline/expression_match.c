/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pattern becomes a small program whose jumps are relative, so that its pieces can be moved and
 * copied. It is run on all ways at once (Thompson's construction): no backtracking.
 */
#include "pipeline/expression_match.h"

#include "base/util.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PROGRAM 2000
#define MAX_RANGES 1000
#define MAX_NESTING 50
#define MAX_REPEAT 1000
#define MAX_STEPS 100000000
#define LAST_CHAR 0x10FFFF

enum op {
    OP_CHAR,
    OP_ANY,
    OP_SET,   /* ranges[from .. from + count) */
    OP_SPLIT, /* go on at both x and y */
    OP_JUMP,
    OP_BEGIN,
    OP_END,
    OP_EDGE, /* of a word; is_negated: not at one */
};

struct step {
    enum op op;
    bool is_negated;
    uint32_t c;
    int x, y; /* relative */
    uint16_t from, count;
};

struct range {
    uint32_t from, to;
};

struct pattern {
    const char *at, *end;
    const char *trouble;
    unsigned nesting;
    size_t count, range_count;
    struct step steps[MAX_PROGRAM];
    struct range ranges[MAX_RANGES];
};

static const struct range digits[] = {{'0', '9'}};
static const struct range words[] = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
static const struct range spaces[] = {{'\t', '\n'}, {'\f', '\r'}, {' ', ' '}};

static bool bad(struct pattern *p, const char *trouble)
{
    p->trouble = p->trouble != NULL ? p->trouble : trouble;
    return false;
}

/* A character of UTF-8; a byte that is none counts as itself. */
static uint32_t take_char(const char **at, const char *end)
{
    const unsigned char *s = (const unsigned char *)*at;
    size_t step = utf8_step(*at, (size_t)(end - *at));
    *at += step > 0 ? step : 1;
    switch (step) {
    case 2:
        return (s[0] & 0x1Fu) << 6 | (s[1] & 0x3Fu);
    case 3:
        return (s[0] & 0xFu) << 12 | (s[1] & 0x3Fu) << 6 | (s[2] & 0x3Fu);
    case 4:
        return (s[0] & 0x7u) << 18 | (s[1] & 0x3Fu) << 12 | (s[2] & 0x3Fu) << 6 | (s[3] & 0x3Fu);
    default:
        return s[0];
    }
}

/* ---- building the program ---- */

static bool emit(struct pattern *p, struct step step)
{
    if (p->count == MAX_PROGRAM) {
        return bad(p, "is too large");
    }
    p->steps[p->count++] = step;
    return true;
}

static bool insert(struct pattern *p, size_t at, struct step step)
{
    if (!emit(p, step)) {
        return false;
    }
    memmove(&p->steps[at + 1], &p->steps[at], (p->count - 1 - at) * sizeof *p->steps);
    p->steps[at] = step;
    return true;
}

static bool add_range(struct pattern *p, uint32_t from, uint32_t to)
{
    if (p->range_count == MAX_RANGES) {
        return bad(p, "is too large");
    }
    p->ranges[p->range_count++] = (struct range){from, to};
    return true;
}

/* \d, \W and so on. */
static bool add_kind(struct pattern *p, char letter)
{
    const struct range *list = letter == 'd' || letter == 'D'   ? digits
                               : letter == 'w' || letter == 'W' ? words
                                                                : spaces;
    size_t count = list == digits  ? ARRAY_LEN(digits)
                   : list == words ? ARRAY_LEN(words)
                                   : ARRAY_LEN(spaces);
    bool is_other = letter < 'a';
    uint32_t next = 0;
    for (size_t i = 0; i < count; i++) {
        if (!add_range(
                p, is_other ? next : list[i].from, is_other ? list[i].from - 1 : list[i].to)) {
            return false;
        }
        next = list[i].to + 1;
    }
    return !is_other || add_range(p, next, LAST_CHAR);
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* \x41 or \x{1F600}, after the x. */
static bool read_hex(struct pattern *p, uint32_t *out)
{
    bool has_braces = p->at < p->end && *p->at == '{';
    p->at += has_braces;
    uint32_t value = 0;
    size_t count = 0;
    for (; p->at < p->end && hex_digit(*p->at) >= 0 && count < (has_braces ? 6 : 2); count++) {
        value = value * 16 + (uint32_t)hex_digit(*p->at++);
    }
    bool is_closed = !has_braces || (p->at < p->end && *p->at == '}');
    p->at += has_braces && is_closed;
    *out = value;
    return (count > 0 && (has_braces || count == 2) && is_closed && value <= LAST_CHAR) ||
           bad(p, "\\x needs two hexadecimal digits, or {...}");
}

/* A character after a backslash that stands for one. */
static bool read_escaped(struct pattern *p, uint32_t *out)
{
    static const char letters[] = "afnrtv", values[] = "\a\f\n\r\t\v";
    if (p->at == p->end) {
        return bad(p, "ends with a backslash");
    }
    char c = *p->at;
    const char *known = c != '\0' ? strchr(letters, c) : NULL;
    bool is_word = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
    if (known != NULL) {
        *out = (unsigned char)values[known - letters];
        p->at++;
        return true;
    }
    if (c == 'x') {
        p->at++;
        return read_hex(p, out);
    }
    if (is_word) {
        return bad(p, "has an escape that is not supported (there are \\d \\w \\s \\D \\W \\S \\b "
                      "\\B \\A \\z \\n \\t \\x41, and \\ before a sign)");
    }
    *out = take_char(&p->at, p->end);
    return true;
}

static bool is_kind(const struct pattern *p)
{
    return p->end - p->at >= 2 && *p->at == '\\' && p->at[1] != '\0' &&
           strchr("dDwWsS", p->at[1]) != NULL;
}

static bool read_class_char(struct pattern *p, uint32_t *out)
{
    if (*p->at == '[' && p->end - p->at > 1 && p->at[1] == ':') {
        return bad(p, "names a class ([:alpha:]), which is not supported; write [a-zA-Z]");
    }
    if (*p->at == '\\') {
        p->at++;
        return read_escaped(p, out);
    }
    *out = take_char(&p->at, p->end);
    return true;
}

/* After the "[". */
static bool read_class(struct pattern *p)
{
    struct step set = {.op = OP_SET, .from = (uint16_t)p->range_count};
    set.is_negated = p->at < p->end && *p->at == '^';
    p->at += set.is_negated;
    for (bool is_first = true;; is_first = false) {
        if (p->at == p->end) {
            return bad(p, "has a [ without its ]");
        }
        if (*p->at == ']' && !is_first) {
            break;
        }
        if (is_kind(p)) {
            if (!add_kind(p, p->at[1])) {
                return false;
            }
            p->at += 2;
            continue;
        }
        uint32_t from, to;
        if (!read_class_char(p, &from)) {
            return false;
        }
        to = from;
        if (p->end - p->at >= 2 && *p->at == '-' && p->at[1] != ']') {
            p->at++;
            if (is_kind(p) || !read_class_char(p, &to) || to < from) {
                return bad(p, "has a range in [ ] that runs backwards or has no end");
            }
        }
        if (!add_range(p, from, to)) {
            return false;
        }
    }
    p->at++;
    set.count = (uint16_t)(p->range_count - set.from);
    return emit(p, set);
}

static bool read_choice(struct pattern *p);

/* After the "(". */
static bool read_group(struct pattern *p)
{
    if (p->at < p->end && *p->at == '?') {
        if (p->end - p->at < 2 || p->at[1] != ':') {
            return bad(p, "has a (?...) that is not supported; there is (?:...)");
        }
        p->at += 2;
    }
    if (++p->nesting > MAX_NESTING) {
        return bad(p, "has too many brackets in brackets");
    }
    if (!read_choice(p)) {
        return false;
    }
    p->nesting--;
    if (p->at == p->end) {
        return bad(p, "has a ( without its )");
    }
    p->at++;
    return true;
}

/* After a backslash, outside of [ ]. */
static bool read_backslash(struct pattern *p)
{
    char c = p->at < p->end ? *p->at : '\0';
    if (c == 'b' || c == 'B' || c == 'A' || c == 'z') {
        p->at++;
        return emit(p, (struct step){.op = c == 'A'   ? OP_BEGIN
                                           : c == 'z' ? OP_END
                                                      : OP_EDGE,
                           .is_negated = c == 'B'});
    }
    p->at--;
    if (is_kind(p)) {
        struct step set = {.op = OP_SET, .from = (uint16_t)p->range_count};
        bool is_good = add_kind(p, c);
        p->at += 2;
        set.count = (uint16_t)(p->range_count - set.from);
        return is_good && emit(p, set);
    }
    p->at++;
    struct step one = {.op = OP_CHAR};
    return read_escaped(p, &one.c) && emit(p, one);
}

static bool read_atom(struct pattern *p)
{
    switch (*p->at) {
    case '(':
        p->at++;
        return read_group(p);
    case '[':
        p->at++;
        return read_class(p);
    case '\\':
        p->at++;
        return read_backslash(p);
    case '.':
        p->at++;
        return emit(p, (struct step){.op = OP_ANY});
    case '^':
        p->at++;
        return emit(p, (struct step){.op = OP_BEGIN});
    case '$':
        p->at++;
        return emit(p, (struct step){.op = OP_END});
    case '*':
    case '+':
    case '?':
        return bad(p, "repeats nothing: * + ? must stand behind something, once");
    default:
        return emit(p, (struct step){.op = OP_CHAR, .c = take_char(&p->at, p->end)});
    }
}

/* {2}, {2,} or {2,5}; max -1 = without end. False: it is no such thing, and just text. */
static bool read_counts(struct pattern *p, int *min, int *max)
{
    const char *at = p->at;
    int numbers[2] = {0, -1};
    for (int i = 0; i < 2; i++) {
        const char *from = ++at;
        int value = 0;
        for (; at < p->end && *at >= '0' && *at <= '9'; at++) {
            value = value > MAX_REPEAT ? value : value * 10 + (*at - '0');
        }
        bool is_last = i == 1 || (at < p->end && *at == '}');
        if ((at == from && i == 0) || at == p->end || (*at != ',' && *at != '}') ||
            (i == 1 && *at != '}')) {
            return false;
        }
        numbers[i] = at == from ? -1 : value;
        if (is_last) {
            numbers[1] = i == 0 ? value : numbers[1];
            break;
        }
    }
    p->at = at + 1;
    *min = numbers[0];
    *max = numbers[1];
    return true;
}

static bool copy_block(struct pattern *p, const struct step *block, size_t len)
{
    bool is_good = true;
    for (size_t i = 0; is_good && i < len; i++) {
        is_good = emit(p, block[i]);
    }
    return is_good;
}

/* The steps from `start` on are repeated. */
static bool repeat(struct pattern *p, size_t start, int min, int max)
{
    int len = (int)(p->count - start);
    struct step *block CLEANUP(cleanup_free) = xcalloc((size_t)len + 1, sizeof *block);
    memcpy(block, &p->steps[start], (size_t)len * sizeof *block);
    p->count = start;
    bool is_good = true;
    for (int i = 0; is_good && i < min; i++) {
        is_good = copy_block(p, block, (size_t)len);
    }
    if (max < 0) {
        return is_good && emit(p, (struct step){.op = OP_SPLIT, .x = 1, .y = len + 2}) &&
               copy_block(p, block, (size_t)len) &&
               emit(p, (struct step){.op = OP_JUMP, .x = -len - 1});
    }
    for (int i = min; is_good && i < max; i++) {
        is_good = emit(p, (struct step){.op = OP_SPLIT, .x = 1, .y = len + 1}) &&
                  copy_block(p, block, (size_t)len);
    }
    return is_good;
}

static bool read_repeated(struct pattern *p)
{
    size_t start = p->count;
    if (!read_atom(p)) {
        return false;
    }
    char c = p->at < p->end ? *p->at : '\0';
    int min = c == '+' ? 1 : 0, max = c == '?' ? 1 : -1;
    bool is_counted = c == '{' && read_counts(p, &min, &max);
    if (!is_counted && c != '*' && c != '+' && c != '?') {
        return true;
    }
    p->at += !is_counted;
    if (min > MAX_REPEAT || max > MAX_REPEAT || (max >= 0 && max < min)) {
        return bad(p, "has a {n,m} that runs backwards or beyond 1000");
    }
    p->at += p->at < p->end && *p->at == '?'; /* lazy: the same when only asking whether */
    return repeat(p, start, min, max);
}

static bool read_choice(struct pattern *p)
{
    size_t start = p->count, jump = 0;
    for (bool is_first = true;; is_first = false) {
        while (p->at < p->end && *p->at != '|' && *p->at != ')') {
            if (!read_repeated(p)) {
                return false;
            }
        }
        if (!is_first) {
            p->steps[jump].x = (int)(p->count - jump);
        }
        if (p->at == p->end || *p->at == ')') {
            return true;
        }
        p->at++;
        int len = (int)(p->count - start);
        if (!insert(p, start, (struct step){.op = OP_SPLIT, .x = 1, .y = len + 2}) ||
            !emit(p, (struct step){.op = OP_JUMP})) {
            return false;
        }
        jump = p->count - 1;
    }
}

static void pattern_read(struct pattern *p, const char *text, size_t len)
{
    p->at = text;
    p->end = text + len;
    if (read_choice(p) && p->at < p->end) {
        bad(p, "has a ) without its (");
    }
}

/* ---- running it ---- */

struct runner {
    const struct pattern *p;
    size_t *now, *next, *stack;
    size_t now_count, next_count;
    size_t *seen, mark; /* seen[step] == mark: already there for this character */
    bool is_begin, is_end, is_edge;
};

static bool is_in(const struct range *list, size_t count, uint32_t c)
{
    for (size_t i = 0; i < count; i++) {
        if (c >= list[i].from && c <= list[i].to) {
            return true;
        }
    }
    return false;
}

/* Follow what takes no character from `at`; true when the end of the program is reached. */
static bool follow(struct runner *r, size_t at)
{
    size_t depth = 0;
    r->stack[depth++] = at;
    while (depth > 0) {
        at = r->stack[--depth];
        if (at == r->p->count) {
            return true;
        }
        if (r->seen[at] == r->mark) {
            continue;
        }
        r->seen[at] = r->mark;
        const struct step *s = &r->p->steps[at];
        switch (s->op) {
        case OP_SPLIT:
            r->stack[depth++] = (size_t)((int)at + s->y);
            r->stack[depth++] = (size_t)((int)at + s->x);
            break;
        case OP_JUMP:
            r->stack[depth++] = (size_t)((int)at + s->x);
            break;
        case OP_BEGIN:
        case OP_END:
        case OP_EDGE:
            if (s->op == OP_BEGIN ? r->is_begin
                : s->op == OP_END ? r->is_end
                                  : r->is_edge != s->is_negated) {
                r->stack[depth++] = at + 1;
            }
            break;
        case OP_CHAR:
        case OP_ANY:
        case OP_SET:
            r->next[r->next_count++] = at;
            break;
        }
    }
    return false;
}

static bool step_takes(const struct pattern *p, const struct step *s, uint32_t c)
{
    return s->op == OP_CHAR  ? c == s->c
           : s->op == OP_ANY ? c != '\n'
                             : is_in(&p->ranges[s->from], s->count, c) != s->is_negated;
}

/* Ways into the text begin before every character. */
static bool run(struct runner *r, const char *text, size_t len)
{
    const char *at = text, *end = text + len;
    bool was_word = false;
    uint32_t c = 0;
    for (bool is_first = true;; is_first = false) {
        const char *ahead = at;
        uint32_t coming = at < end ? take_char(&ahead, end) : 0;
        bool is_word = at < end && is_in(words, ARRAY_LEN(words), coming);
        r->is_begin = is_first;
        r->is_end = at == end;
        r->is_edge = was_word != is_word;
        r->mark++;
        r->next_count = 0;
        for (size_t i = 0; i < r->now_count; i++) {
            if (step_takes(r->p, &r->p->steps[r->now[i]], c) && follow(r, r->now[i] + 1)) {
                return true;
            }
        }
        if (follow(r, 0)) {
            return true;
        }
        if (at == end) {
            return false;
        }
        size_t *done = r->now;
        r->now = r->next;
        r->now_count = r->next_count;
        r->next = done;
        c = coming;
        at = ahead;
        was_word = is_word;
    }
}

const char *expression_match_trouble(const char *pattern, size_t len)
{
    struct pattern *p CLEANUP(cleanup_free) = xcalloc(1, sizeof *p);
    pattern_read(p, pattern, len);
    return p->trouble;
}

const char *expression_match(
    const char *pattern, size_t pattern_len, const char *text, size_t len, bool *out)
{
    struct pattern *p CLEANUP(cleanup_free) = xcalloc(1, sizeof *p);
    pattern_read(p, pattern, pattern_len);
    if (p->trouble != NULL) {
        return p->trouble;
    }
    size_t cost = 1; /* of a character, at worst */
    for (size_t i = 0; i < p->count; i++) {
        cost += 1 + (size_t)p->steps[i].count;
    }
    if (len + 1 > MAX_STEPS / cost) {
        return "is too large for a text of this length";
    }
    /* what is followed is followed once, and leads to two steps at most */
    size_t room = p->count + 1;
    size_t *memory CLEANUP(cleanup_free) = xcalloc(room * 6, sizeof *memory);
    struct runner r = {.p = p,
        .now = memory,
        .next = memory + room,
        .seen = memory + 2 * room,
        .stack = memory + 3 * room};
    *out = run(&r, text, len);
    return NULL;
}
