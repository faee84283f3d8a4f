/* SPDX-License-Identifier: Apache-2.0 */
/* Complaints about a pipeline file: collecting, ordering and printing them. */
#include "pipeline/complain.h"

#include "base/buf.h"
#include "base/pool.h"
#include "base/util.h"
#include "scheduler/plan.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define MAX_COMPLAINTS 500
#define MAX_PATH_TEXT 1024
#define MAX_COMPLAINT_TEXT 2048
#define MAX_LEVELS 64

void complaints_init(struct complaints *c)
{
    memset(c, 0, sizeof *c);
    c->pool = pool_new();
}

void complaints_done(struct complaints *c)
{
    pool_free(c->pool);
    free(c->items);
    memset(c, 0, sizeof *c);
}

/* "root.dag.tasks.train" or "args[2]". */
static void path_write(const struct path *path, struct buf *out)
{
    const struct path *chain[MAX_LEVELS];
    size_t n = 0;
    for (const struct path *p = path; p != NULL && p->up != NULL && n < MAX_LEVELS; p = p->up) {
        chain[n++] = p;
    }
    while (n-- > 0) {
        if (chain[n]->key == NULL) {
            buf_addf(out, "[%zu]", chain[n]->index);
        } else {
            buf_addf(out, "%s%s", out->len > 0 ? "." : "", chain[n]->key);
        }
    }
}

/* What came from the file may hold control characters; what we print may not. */
static void make_printable(char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f) {
            *text = ' ';
        }
    }
}

/* A ceiling may have cut a UTF-8 sequence in two. */
static void trim_broken_end(struct buf *buf)
{
    if (!buf->overflow) {
        return;
    }
    size_t at = buf->len;
    while (at > 0 && ((unsigned char)buf->data[at - 1] & 0xC0) == 0x80) {
        at--;
    }
    if (at > 0 && (unsigned char)buf->data[at - 1] >= 0xC0) {
        at--;
    }
    buf->len = at;
    if (buf->data != NULL) {
        buf->data[at] = '\0';
    }
}

static void complain_va(struct complaints *c, struct place place, const struct path *path,
    bool is_warning, const char *fmt, va_list ap)
{
    c->errors += is_warning ? 0 : 1;
    if (c->count >= MAX_COMPLAINTS) {
        return;
    }
    if (c->count == c->cap) {
        c->cap = c->cap == 0 ? 16 : c->cap * 2;
        c->items = xreallocarray(c->items, c->cap, sizeof *c->items);
    }
    struct buf where, text;
    buf_init(&where, MAX_PATH_TEXT);
    buf_init(&text, MAX_COMPLAINT_TEXT);
    path_write(path, &where);
    buf_vaddf(&text, fmt, ap);
    trim_broken_end(&where);
    trim_broken_end(&text);
    char *where_text = pool_strdup(c->pool, buf_str(&where));
    char *what_text = pool_strdup(c->pool, buf_str(&text));
    make_printable(where_text);
    make_printable(what_text);
    c->items[c->count++] = (struct complaint){.line = place.line,
        .column = place.column,
        .is_warning = is_warning,
        .path = where_text,
        .text = what_text};
    buf_done(&where);
    buf_done(&text);
}

void complain(
    struct complaints *c, struct place place, const struct path *path, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    complain_va(c, place, path, false, fmt, ap);
    va_end(ap);
}

void complain_mildly(
    struct complaints *c, struct place place, const struct path *path, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    complain_va(c, place, path, true, fmt, ap);
    va_end(ap);
}

static int by_place(const void *a, const void *b)
{
    const struct complaint *x = a, *y = b;
    if (x->line != y->line) {
        return x->line < y->line ? -1 : 1;
    }
    if (x->column != y->column) {
        return x->column < y->column ? -1 : 1;
    }
    int order = strcmp(x->path, y->path);
    return order != 0 ? order : strcmp(x->text, y->text);
}

void complaints_sort(struct complaints *c)
{
    if (c->count > 1) {
        qsort(c->items, c->count, sizeof *c->items, by_place);
    }
}

void complaints_format(const struct complaints *c, size_t max, struct buf *out)
{
    size_t shown = c->count < max ? c->count : max;
    for (size_t i = 0; i < shown; i++) {
        const struct complaint *item = &c->items[i];
        buf_adds(out, i > 0 ? "\n" : "");
        if (item->line > 0) {
            buf_addf(out, "line %u, column %u: ", item->line, item->column);
        }
        if (item->is_warning) {
            buf_adds(out, "warning: ");
        }
        if (item->path[0] != '\0') {
            buf_addf(out, "%s: ", item->path);
        }
        buf_adds(out, item->text);
    }
    if (c->count > shown) {
        buf_addf(out, "%sand %zu more", shown > 0 ? "\n" : "", c->count - shown);
    }
}

/* Levenshtein distance, given up beyond `limit`. */
static size_t distance(const char *a, const char *b, size_t limit)
{
    size_t row[64], la = strlen(a), lb = strlen(b);
    if (la >= ARRAY_LEN(row) || lb >= ARRAY_LEN(row)) {
        return limit + 1;
    }
    for (size_t j = 0; j <= lb; j++) {
        row[j] = j;
    }
    for (size_t i = 1; i <= la; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= lb; j++) {
            size_t change = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
            diagonal = row[j];
            size_t best = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
            row[j] = change < best ? change : best;
        }
    }
    return row[lb];
}

const char *nearest_name(const char *word, const char *const *names)
{
    size_t len = strlen(word), limit = len < 4 ? 1 : len < 8 ? 2 : 3, best = limit + 1;
    const char *found = NULL;
    for (; *names != NULL; names++) {
        size_t d = distance(word, *names, limit);
        if (d < best) {
            best = d;
            found = *names;
        }
    }
    return found;
}
