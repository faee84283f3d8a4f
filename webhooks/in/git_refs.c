/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The refs that a repository has, as smart HTTP tells them (gitprotocol-http, "Smart Server
 * Response"; gitprotocol-common, "pkt-line"): a line "# service=git-upload-pack", a flush, then
 * a line "<id> <ref>" each, behind the first one NUL and what the server can do, then a flush.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/secret.h"
#include "base/util.h"
#include "webhooks/in/forge_api.h"

#define PKT_HEAD 4
#define REF_NAME_MAX 1024
#define PEELED "^{}"
#define LINE_MIN 50 /* bytes of a line with a branch or tag: more than that */

struct reader {
    const char *at, *end;
};

/* The next line's text, or NULL text for a flush. -1: no such line. */
static int pkt_next(struct reader *r, const char **text, size_t *len, struct err *err)
{
    unsigned char head[2];
    if (r->end - r->at < PKT_HEAD || hex_decode(r->at, PKT_HEAD, head, sizeof head) < 0) {
        return err_set(err, ERR_INVALID,
            "the answer is not a list of refs as git sends it; is this a repository, and may the "
            "token read it?");
    }
    size_t size = (size_t)head[0] << 8 | head[1];
    r->at += PKT_HEAD;
    *text = NULL;
    *len = 0;
    if (size == 0) {
        return 0;
    }
    if (size < PKT_HEAD || size - PKT_HEAD > (size_t)(r->end - r->at)) {
        return err_set(err, ERR_INVALID, "the list of refs is cut off");
    }
    *text = r->at;
    *len = size - PKT_HEAD;
    r->at += *len;
    return 0;
}

/* "<id> <ref>", then perhaps NUL and capabilities; others than branches and tags are left out. */
static int add_line(struct git_refs *refs, char *line, size_t len, struct err *err)
{
    char *space = memchr(line, ' ', len);
    size_t id_len = space != NULL ? (size_t)(space - line) : 0;
    if ((id_len != 40 && id_len != 64) || strspn(line, "0123456789abcdef") != id_len) {
        return err_set(err, ERR_INVALID, "a line of the list of refs has no object id");
    }
    *space = '\0';
    char *name = space + 1;
    size_t name_len = strlen(name), peeled = strlen(PEELED);
    if (name_len > REF_NAME_MAX ||
        (!str_starts(name, "refs/heads/") && !str_starts(name, "refs/tags/"))) {
        return 0; /* no trigger can mean it */
    }
    struct git_ref *last = refs->count > 0 ? &refs->items[refs->count - 1] : NULL;
    if (name_len > peeled && strcmp(name + name_len - peeled, PEELED) == 0) {
        name[name_len - peeled] = '\0';
        if (last != NULL && strcmp(last->name, name) == 0) {
            last->peeled = line;
        }
        return 0;
    }
    if (refs->count == FORGE_REFS_MAX) {
        return err_set(
            err, ERR_LIMIT, "the repository has more than %d branches and tags", FORGE_REFS_MAX);
    }
    refs->items[refs->count++] = (struct git_ref){.name = name, .id = line};
    return 0;
}

static int parse(struct git_refs *refs, size_t len, struct err *err)
{
    static const char service[] = "# service=git-upload-pack";
    struct reader r = {.at = refs->text, .end = refs->text + len};
    const char *text;
    size_t size;
    if (pkt_next(&r, &text, &size, err) != 0) {
        return -1;
    }
    if (text == NULL || size < strlen(service) || memcmp(text, service, strlen(service)) != 0) {
        return err_set(err, ERR_INVALID,
            "the server does not speak git's smart HTTP protocol at this address");
    }
    if (pkt_next(&r, &text, &size, err) != 0) {
        return -1;
    }
    if (text != NULL) {
        return err_set(err, ERR_INVALID, "expected a flush behind the name of the service");
    }
    for (;;) {
        if (pkt_next(&r, &text, &size, err) != 0) {
            return -1;
        }
        if (text == NULL) {
            return 0;
        }
        /* A line need not end with a newline: its length, which has been read, gives the place for
         * a NUL. */
        char *line = (char *)text - 1;
        memmove(line, text, size);
        line[size] = '\0';
        if (size > 0 && line[size - 1] == '\n') {
            line[size - 1] = '\0';
        }
        if (add_line(refs, line, size, err) != 0) {
            return -1;
        }
    }
}

int git_refs_parse(const char *body, size_t len, struct git_refs *out, struct err *err)
{
    memset(out, 0, sizeof *out);
    if (len > FORGE_REFS_BYTES_MAX) {
        return err_set(
            err, ERR_LIMIT, "the list of refs is longer than %zu bytes", FORGE_REFS_BYTES_MAX);
    }
    out->text = xmalloc(len + 1);
    memcpy(out->text, body, len);
    out->text[len] = '\0';
    size_t most = len / LINE_MIN + 1;
    out->items = xcalloc(most < FORGE_REFS_MAX ? most : FORGE_REFS_MAX, sizeof *out->items);
    if (parse(out, len, err) != 0) {
        git_refs_done(out);
        return -1;
    }
    return 0;
}

void git_refs_done(struct git_refs *refs)
{
    free(refs->items);
    free(refs->text);
    memset(refs, 0, sizeof *refs);
}
