/* SPDX-License-Identifier: Apache-2.0 */
/* matches(): checking patterns, compiling and running them. */
#include "webhooks/cel/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/pool.h"
#include "base/util.h"
#include "webhooks/cel/function.h"

/*
 * States that may be alive at once, of which the matcher compares each new one with all others: a
 * character costs up to their square. Few are enough for nearly all patterns and texts; what needs
 * more is tried again with more, and counts as more steps.
 */
#define FEW_STATES 32
#define MANY_STATES 128
#define WORKSPACE(states) (2 + 2 * 3 * (states)) /* three numbers for each, now and next */
#define FEW_STEPS(len) ((len) + 5)
#define MANY_STEPS(len) ((len)*20)
#define COMPILE_STEPS(len) ((len) + 50)
#define NESTING_MAX 50
#define HEAP_KIB_MAX 256
#define DEPTH_MAX 100

struct cel_regex {
    pcre2_code *code;
    pcre2_match_context *limits;
    size_t size;
};

/* ---- RE2's syntax ---- */

struct scan {
    const char *pattern;
    size_t len, at;
    char *problem;
    struct buf out; /* the same for PCRE2 */
};

static bool refuse(struct scan *s, size_t from, const char *what, const char *why)
{
    size_t len = s->len - from < 12 ? s->len - from : 12;
    while (
        len > 0 && from + len < s->len && ((unsigned char)s->pattern[from + len] & 0xC0) == 0x80) {
        len--;
    }
    snprintf(s->problem, 256, "%s at '%.*s': %s", what, (int)len, s->pattern + from, why);
    return false;
}

/* s->at is behind the backslash. */
static bool scan_escape(struct scan *s)
{
    static const char letters[] = "aAbBdDfnpPQrsStvwWxzE";
    size_t from = s->at - 1;
    char c = s->at < s->len ? s->pattern[s->at] : '\0';
    if (c >= '1' && c <= '9') {
        return refuse(s, from, "back reference", "RE2 has none; compare the parts with CEL");
    }
    bool is_word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (c == '\0' || (is_word && strchr(letters, c) == NULL)) {
        return refuse(s, from, "unknown escape", "in RE2 there is no such escape");
    }
    s->at++;
    if (c == 'Q') { /* literal up to \E */
        const char *end = memmem(s->pattern + s->at, s->len - s->at, "\\E", 2);
        s->at = end != NULL ? (size_t)(end - s->pattern) + 2 : s->len;
    }
    return true;
}

/* s->at is behind "(". */
static bool scan_group(struct scan *s)
{
    size_t from = s->at - 1;
    const char *rest = s->pattern + s->at; /* ends with NUL */
    if (*rest == '*') {
        return refuse(s, from, "verb", "RE2 has none");
    }
    if (*rest != '?') {
        return true;
    }
    if (strncmp(rest, "?P<", 3) == 0) {
        return true;
    }
    size_t flags = 1 + strspn(rest + 1, "imsU-");
    bool is_flags = rest[flags] == ':' || (rest[flags] == ')' && flags > 1);
    bool is_name = rest[1] == '<' && rest[2] != '=' && rest[2] != '!';
    return is_flags || is_name ? true
                               : refuse(s, from, "group",
                                     "RE2 has (...), (?:...), (?i) and (?P<name>...), and no "
                                     "looking ahead or behind");
}

/* Over a class: s->at is behind "[". Within it most signs mean nothing. */
static bool scan_class(struct scan *s)
{
    s->at += s->at < s->len && s->pattern[s->at] == '^';
    s->at += s->at < s->len && s->pattern[s->at] == ']';
    while (s->at < s->len && s->pattern[s->at] != ']') {
        char c = s->pattern[s->at++];
        if (c == '\\' && !scan_escape(s)) {
            return false;
        }
        if (c == '[' && s->at < s->len && s->pattern[s->at] == ':') {
            const char *end = memmem(s->pattern + s->at, s->len - s->at, ":]", 2);
            s->at = end != NULL ? (size_t)(end - s->pattern) + 2 : s->at;
        }
    }
    s->at++;
    return true;
}

/* One sign, escape or class, or what opens or closes a group. */
static bool scan_item(struct scan *s)
{
    char c = s->pattern[s->at++];
    if (c == '\\') {
        return scan_escape(s);
    }
    if (c == '(') {
        return scan_group(s);
    }
    if (c == '[') {
        return scan_class(s);
    }
    while (s->at < s->len && ((unsigned char)s->pattern[s->at] & 0xC0) == 0x80) {
        s->at++;
    }
    return true;
}

/*
 * PCRE2 knows more than RE2, and some of it cannot be matched in bounded time. x+ becomes xx*: of
 * the former the matcher keeps a state for each length, of the latter one.
 */
static bool scan(struct scan *s)
{
    bool is_repeat = false; /* the last item repeats another */
    for (size_t last = 0, from; s->at < s->len; last = from) {
        from = s->at;
        if (!scan_item(s)) {
            return false;
        }
        char c = s->pattern[from];
        if (c == '+' && is_repeat) {
            return refuse(s, from, "possessive repeat", "RE2 has none; put brackets around");
        }
        bool is_single = from > 0 && strchr("()|^$*+?{}", s->pattern[last]) == NULL &&
                         strncmp(s->pattern + last, "\\Q", 2) != 0;
        if (c == '+' && is_single) {
            buf_add(&s->out, s->pattern + last, from - last);
            buf_addc(&s->out, '*');
        } else {
            buf_add(&s->out, s->pattern + from, s->at - from);
        }
        is_repeat = c == '*' || c == '+' || c == '?' || c == '}';
    }
    return true;
}

/* ---- compiling ---- */

static void regex_free(void *owned)
{
    struct cel_regex *regex = owned;
    pcre2_match_context_free(regex->limits);
    pcre2_code_free(regex->code);
}

static pcre2_code *compile(const char *pattern, size_t len, char problem[static 256])
{
    int code;
    size_t at;
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    pcre2_set_parens_nest_limit(context, NESTING_MAX);
    pcre2_code *out = pcre2_compile((PCRE2_SPTR)pattern, len,
        PCRE2_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C | PCRE2_NO_AUTO_CAPTURE |
            PCRE2_DUPNAMES,
        &code, &at, context);
    pcre2_compile_context_free(context);
    if (out == NULL) {
        unsigned char text[200];
        pcre2_get_error_message(code, text, sizeof text);
        snprintf(problem, 256, "%s, at character %zu", (char *)text, at);
    }
    return out;
}

/*
 * The pattern itself is compiled first: for its messages, and because ")(" is only right within
 * other brackets. Then in a way that searches at every start at once, not one after the other.
 */
static pcre2_code *compile_searching(
    const char *pattern, size_t len, const struct buf *rewritten, char problem[static 256])
{
    pcre2_code *code = compile(pattern, len, problem);
    if (code == NULL) {
        return NULL;
    }
    pcre2_code_free(code);
    struct buf text;
    buf_init(&text, 4 * CEL_REGEX_MAX);
    buf_addf(&text, "(?s:.*?)(?:%s)", buf_str(rewritten));
    code = compile(buf_str(&text), text.len, problem);
    buf_done(&text);
    return code;
}

const struct cel_regex *cel_regex_compile(
    struct pool *pool, const char *pattern, size_t len, char problem[static 256])
{
    struct scan s = {.pattern = pattern, .len = len, .problem = problem};
    if (len > CEL_REGEX_MAX) {
        snprintf(problem, 256, "it has %zu bytes; at most %d are allowed", len, CEL_REGEX_MAX);
        return NULL;
    }
    if (strlen(pattern) != len) {
        snprintf(problem, 256, "it holds a NUL; write \\x00");
        return NULL;
    }
    buf_init(&s.out, 2 * CEL_REGEX_MAX);
    pcre2_code *code = scan(&s) ? compile_searching(pattern, len, &s.out, problem) : NULL;
    buf_done(&s.out);
    size_t size = 0;
    if (code != NULL &&
        (pcre2_pattern_info(code, PCRE2_INFO_SIZE, &size) != 0 || size > CEL_REGEX_CODE_MAX)) {
        snprintf(problem, 256, "it is too large; make its counted repeats shorter");
        pcre2_code_free(code);
        code = NULL;
    }
    if (code == NULL) {
        return NULL;
    }
    struct cel_regex *out = pool_alloc(pool, sizeof *out);
    out->code = code;
    out->size = size;
    out->limits = pcre2_match_context_create(NULL);
    pcre2_set_depth_limit(out->limits, DEPTH_MAX);
    pcre2_set_heap_limit(out->limits, HEAP_KIB_MAX);
    pool_on_free(pool, regex_free, out);
    return out;
}

/* ---- matching ---- */

static int match_with(
    const struct cel_regex *regex, const struct cel_value *text, int *workspace, size_t size)
{
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    int status = pcre2_dfa_match(regex->code, (PCRE2_SPTR)text->text, text->len, 0,
        PCRE2_ANCHORED | PCRE2_DFA_SHORTEST | PCRE2_NO_UTF_CHECK, data, regex->limits, workspace,
        size);
    pcre2_match_data_free(data);
    return status;
}

static struct cel_value match(struct cel_run *run, const struct cel_node *node,
    const struct cel_regex *regex, const struct cel_value *text)
{
    int workspace[WORKSPACE(MANY_STATES)];
    if (!cel_spend(run, FEW_STEPS(text->len))) {
        return cel_fail_spent(run, node);
    }
    int status = match_with(regex, text, workspace, WORKSPACE(FEW_STATES));
    if (status == PCRE2_ERROR_DFA_WSSIZE) {
        if (!cel_spend(run, MANY_STEPS(text->len))) {
            return cel_fail_spent(run, node);
        }
        status = match_with(regex, text, workspace, WORKSPACE(MANY_STATES));
    }
    if (status >= 0 || status == PCRE2_ERROR_NOMATCH) {
        return cel_truth(status >= 0);
    }
    return cel_fail(run, node,
        "the regular expression is too complicated: more than about %d of "
        "its states are alive at once; make its counted repeats shorter",
        MANY_STATES);
}

struct cel_value cel_call_matches(struct cel_run *run, const struct cel_node *node,
    const struct cel_value *args, size_t count UNUSED)
{
    const struct cel_regex *regex = node->regex;
    if (regex == NULL) {
        char problem[256];
        if (!cel_spend(run, COMPILE_STEPS(args[1].len)) ||
            cel_alloc(run, 2 * args[1].len) == NULL) {
            return cel_fail_spent(run, node);
        }
        regex = cel_regex_compile(run->pool, args[1].text, args[1].len, problem);
        if (regex == NULL) {
            return cel_fail(run, node, "not a regular expression of RE2: %s", problem);
        }
        if (regex->size > run->bytes) {
            return cel_fail_spent(run, node);
        }
        run->bytes -= regex->size; /* it stays until the end of the evaluation */
    }
    return match(run, node, regex, &args[0]);
}
