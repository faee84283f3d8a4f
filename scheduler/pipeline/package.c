/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Uploaded files: plain text, .zip or .tar.gz, by way of libarchive. Sizes are checked before
 * anything is unpacked, so that a small file cannot become a large one.
 */
#include "scheduler/plan.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/util.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_PACKED (32u << 20)
#define MAX_TEXT (32u << 20)
#define MAX_TOTAL (64 << 20) /* of all entries of an archive, as they declare it */
#define MAX_ENTRIES 1000
/* Text of pipelines compresses about tenfold; bombs a thousandfold. */
#define MAX_RATIO 250
#define RATIO_FREE (1 << 20) /* below this any ratio will do */
#define BLOCK 65536

enum package_kind {
    PACKAGE_TEXT,
    PACKAGE_ARCHIVE,
    PACKAGE_UNKNOWN,
};

struct unpacker {
    struct archive *archive;
    const char *filename;
    size_t packed;
    int64_t total;
    struct buf text;
    bool found; /* text holds an entry */
    struct err *err;
};

static bool ends_with(const char *name, const char *suffix)
{
    size_t a = strlen(name), b = strlen(suffix);
    return a >= b && strcasecmp(name + a - b, suffix) == 0;
}

static bool is_yaml_name(const char *name)
{
    return ends_with(name, ".yaml") || ends_with(name, ".yml");
}

static enum package_kind kind_of(const char *filename, const unsigned char *data, size_t len)
{
    if (filename != NULL && (is_yaml_name(filename) || ends_with(filename, ".json"))) {
        return PACKAGE_TEXT;
    }
    if (len >= 2 && ((data[0] == 'P' && data[1] == 'K') || (data[0] == 0x1f && data[1] == 0x8b))) {
        return PACKAGE_ARCHIVE;
    }
    /* Without a name (standard input, a request body) text is the only thing left. */
    return filename == NULL || filename[0] == '\0' ? PACKAGE_TEXT : PACKAGE_UNKNOWN;
}

/* ---- archives ---- */

static int archive_failed(struct unpacker *u, const char *doing)
{
    const char *why = archive_error_string(u->archive);
    return err_set(u->err, ERR_INVALID, "%s: the archive is broken (%s: %s)", u->filename, doing,
        why != NULL ? why : "no reason given");
}

static int too_large(struct unpacker *u)
{
    return err_set(u->err, ERR_LIMIT,
        "%s: the archive unpacks to far more than a pipeline (at most 32 MiB of text, 64 MiB in "
        "all, %d times the packed size); refused",
        u->filename, MAX_RATIO);
}

static bool is_within(const struct unpacker *u, int64_t size)
{
    return size <= RATIO_FREE || size / MAX_RATIO <= (int64_t)u->packed;
}

/* Before an entry is read or passed over: passing over means unpacking, too. */
static int check_entry(struct unpacker *u, struct archive_entry *entry)
{
    int64_t size = archive_entry_size_is_set(entry) ? archive_entry_size(entry) : 0;
    if (size < 0 || size > MAX_TOTAL || u->total + size > MAX_TOTAL) {
        return too_large(u);
    }
    u->total += size;
    if (!is_within(u, u->total) || !is_within(u, archive_filter_bytes(u->archive, 0))) {
        return too_large(u);
    }
    if (archive_entry_is_encrypted(entry)) {
        return err_set(u->err, ERR_INVALID, "%s: the archive is encrypted; upload it unencrypted",
            u->filename);
    }
    return 0;
}

static int read_entry(struct unpacker *u)
{
    char block[BLOCK];
    buf_reset(&u->text);
    for (;;) {
        la_ssize_t n = archive_read_data(u->archive, block, sizeof block);
        if (n < 0) {
            return archive_failed(u, "reading the pipeline");
        }
        if (n == 0) {
            u->found = true;
            return 0;
        }
        buf_add(&u->text, block, (size_t)n);
        if (u->text.len > MAX_TEXT || !is_within(u, (int64_t)u->text.len)) {
            return too_large(u);
        }
    }
}

/* Files only; macOS adds a "._x.yaml" beside each x.yaml. */
static const char *entry_name(struct archive_entry *entry)
{
    const char *name = archive_entry_pathname_utf8(entry);
    name = name != NULL ? name : archive_entry_pathname(entry);
    if (name == NULL || archive_entry_filetype(entry) != AE_IFREG) {
        return NULL;
    }
    while (str_starts(name, "./")) {
        name += 2;
    }
    const char *slash = strrchr(name, '/');
    return str_starts(slash != NULL ? slash + 1 : name, "._") ? NULL : name;
}

/* "pipeline.yaml" wins; else the first entry that is YAML by its name. */
static int read_entries(struct unpacker *u)
{
    for (int i = 0; i < MAX_ENTRIES; i++) {
        struct archive_entry *entry;
        int status = archive_read_next_header(u->archive, &entry);
        if (status == ARCHIVE_EOF) {
            return 0;
        }
        if (status != ARCHIVE_OK && status != ARCHIVE_WARN) {
            return archive_failed(u, "reading its list of files");
        }
        if (check_entry(u, entry) != 0) {
            return -1;
        }
        const char *name = entry_name(entry);
        bool is_main = name != NULL && strcmp(name, "pipeline.yaml") == 0;
        if (is_main || (name != NULL && !u->found && is_yaml_name(name))) {
            if (read_entry(u) != 0) {
                return -1;
            }
        }
        if (is_main) {
            return 0;
        }
    }
    return err_set(u->err, ERR_LIMIT,
        "%s: the archive holds more than %d files; it should hold one", u->filename, MAX_ENTRIES);
}

static int open_archive(struct unpacker *u, const void *data, size_t len)
{
    archive_read_support_filter_gzip(u->archive);
    archive_read_support_format_zip(u->archive);
    archive_read_support_format_tar(u->archive);
    if (archive_read_open_memory(u->archive, data, len) != ARCHIVE_OK) {
        return archive_failed(u, "opening it");
    }
    if (read_entries(u) != 0) {
        return -1;
    }
    if (!u->found) {
        return err_set(u->err, ERR_INVALID,
            "%s: no pipeline in the archive; it must hold pipeline.yaml or another .yaml file",
            u->filename);
    }
    return 0;
}

static int unpack(const char *filename, const void *data, size_t len, char **text_out,
    size_t *len_out, struct err *err)
{
    struct unpacker u = {
        .archive = archive_read_new(), .filename = filename, .packed = len, .err = err};
    if (u.archive == NULL) {
        abort(); /* out of memory */
    }
    buf_init(&u.text, MAX_TEXT + 1);
    int status = open_archive(&u, data, len);
    archive_read_free(u.archive);
    if (status == 0) {
        buf_addc(&u.text, '\n'); /* so that there is memory to hand out */
        *text_out = buf_steal(&u.text, len_out);
    }
    buf_done(&u.text);
    return status;
}

int package_open(const char *filename, const void *data, size_t len, char **text_out,
    size_t *len_out, struct err *err)
{
    const char *shown = filename != NULL && filename[0] != '\0' ? filename : "the file";
    if (len > MAX_PACKED) {
        return err_set(
            err, ERR_LIMIT, "%s: %zu bytes long; at most 32 MiB are accepted", shown, len);
    }
    switch (kind_of(filename, data, len)) {
    case PACKAGE_TEXT:
        *text_out = xmalloc(len + 1); /* may hold NULs, so no strndup */
        memcpy(*text_out, len > 0 ? data : "", len);
        (*text_out)[len] = '\0';
        *len_out = len;
        return 0;
    case PACKAGE_ARCHIVE:
        return unpack(shown, data, len, text_out, len_out, err);
    case PACKAGE_UNKNOWN:
        break;
    }
    bool is_packed =
        ends_with(shown, ".zip") || ends_with(shown, ".gz") || ends_with(shown, ".tgz");
    if (is_packed) {
        return err_set(
            err, ERR_INVALID, "%s: by its content this is neither a zip nor a tar.gz file", shown);
    }
    return err_set(err, ERR_INVALID,
        "%s: not a pipeline file; expected .yaml, .yml, .json, .zip or .tar.gz", shown);
}
