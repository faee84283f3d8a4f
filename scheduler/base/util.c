/* SPDX-License-Identifier: Apache-2.0 */
/* Allocation that aborts, scope cleanup, checked numbers, text, whole files. */
#include "base/util.h"

#include <assert.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"

/* ---- memory ---- */

static void __attribute__((noreturn)) out_of_memory(size_t size)
{
    fprintf(stderr, "out of memory: %zu bytes were wanted\n", size);
    abort();
}

void *xmalloc(size_t size)
{
    void *ptr = malloc(size > 0 ? size : 1);
    if (ptr == NULL) {
        out_of_memory(size);
    }
    return ptr;
}

void *xcalloc(size_t count, size_t size)
{
    bool some = count > 0 && size > 0;
    void *ptr = calloc(some ? count : 1, some ? size : 1);
    if (ptr == NULL) {
        out_of_memory(size);
    }
    return ptr;
}

void *xrealloc(void *ptr, size_t size)
{
    void *bigger = realloc(ptr, size > 0 ? size : 1);
    if (bigger == NULL) {
        out_of_memory(size);
    }
    return bigger;
}

void *xreallocarray(void *ptr, size_t count, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total)) {
        out_of_memory(SIZE_MAX);
    }
    return xrealloc(ptr, total);
}

char *xstrdup(const char *text)
{
    return xstrndup(text, strlen(text));
}

char *xstrndup(const char *text, size_t len)
{
    len = strnlen(text, len);
    char *copy = xmalloc(len + 1);
    memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

char *xasprintf(const char *fmt, ...)
{
    char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    int len = vasprintf(&text, fmt, ap);
    va_end(ap);
    if (len < 0) {
        out_of_memory(0);
    }
    return text;
}

void cleanup_free(void *p)
{
    void *memory;
    memcpy(&memory, p, sizeof memory);
    free(memory);
}

void cleanup_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

/* ---- numbers ---- */

int parse_i64(
    const char *text, int64_t min, int64_t max, const char *what, int64_t *out, struct err *err)
{
    char *end = NULL;
    long long value = 0;
    bool good = text[0] == '-' ? isdigit((unsigned char)text[1]) : isdigit((unsigned char)text[0]);

    if (good) {
        errno = 0;
        value = strtoll(text, &end, 10);
        good = errno == 0 && *end == '\0';
    }
    if (!good || value < min || value > max) {
        return err_set(err, ERR_INVALID, "%s: '%.80s' is not a whole number from %lld to %lld",
            what, text, (long long)min, (long long)max);
    }
    *out = value;
    return 0;
}

int parse_double(const char *text, const char *what, double *out, struct err *err)
{
    char *end = NULL;
    double value = 0;
    /* strtod would also take blanks, hexadecimal, "inf" and "nan". */
    bool good = text[0] != '\0' && text[strspn(text, "0123456789+-.eE")] == '\0';

    if (good) {
        value = strtod(text, &end);
        good = end != text && *end == '\0' && isfinite(value);
    }
    if (!good) {
        return err_set(err, ERR_INVALID, "%s: '%.80s' is not a number", what, text);
    }
    *out = value;
    return 0;
}

struct unit {
    const char *name;
    int64_t factor;
};

/* "<digits><unit>"; names are compared without case if `any_case`. */
static bool parse_with_unit(
    const char *text, const struct unit *units, size_t count, bool any_case, int64_t *out)
{
    char *end = NULL;

    if (!isdigit((unsigned char)text[0])) {
        return false;
    }
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno != 0) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        int diff = any_case ? strcasecmp(end, units[i].name) : strcmp(end, units[i].name);
        if (diff == 0) {
            return !__builtin_mul_overflow((int64_t)value, units[i].factor, out);
        }
    }
    return false;
}

int parse_duration_ms(const char *text, const char *what, int64_t *out, struct err *err)
{
    static const struct unit units[] = {
        {"", 1000},
        {"ms", 1},
        {"s", 1000},
        {"m", 60 * 1000},
        {"h", 60 * 60 * 1000},
        {"d", 24 * 60 * 60 * 1000},
    };
    int64_t value;

    if (!parse_with_unit(text, units, ARRAY_LEN(units), false, &value)) {
        return err_set(err, ERR_INVALID,
            "%s: '%.80s' is not a duration; write for example 500ms, 10s, 5m, 2h or 1d", what,
            text);
    }
    *out = value;
    return 0;
}

int parse_bytes(const char *text, const char *what, int64_t *out, struct err *err)
{
    static const struct unit units[] = {
        {"", 1},
        {"k", INT64_C(1) << 10},
        {"m", INT64_C(1) << 20},
        {"g", INT64_C(1) << 30},
        {"t", INT64_C(1) << 40},
        {"kib", INT64_C(1) << 10},
        {"mib", INT64_C(1) << 20},
        {"gib", INT64_C(1) << 30},
        {"tib", INT64_C(1) << 40},
    };
    int64_t value;

    if (!parse_with_unit(text, units, ARRAY_LEN(units), true, &value)) {
        return err_set(err, ERR_INVALID,
            "%s: '%.80s' is not a size; write for example 65536, 64KiB, 32MiB or 1GiB", what, text);
    }
    *out = value;
    return 0;
}

/* ---- text ---- */

bool str_starts(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool str_ends(const char *text, const char *suffix)
{
    size_t text_len = strlen(text), suffix_len = strlen(suffix);
    return text_len >= suffix_len && memcmp(text + text_len - suffix_len, suffix, suffix_len) == 0;
}

bool str_eq(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

size_t utf8_step(const char *text, size_t len)
{
    const unsigned char *s = (const unsigned char *)text;
    size_t need;
    uint32_t point, least;

    if (len == 0) {
        return 0;
    }
    if (s[0] < 0x80) {
        return 1;
    }
    if ((s[0] & 0xe0) == 0xc0) {
        need = 2, point = s[0] & 0x1fu, least = 0x80;
    } else if ((s[0] & 0xf0) == 0xe0) {
        need = 3, point = s[0] & 0x0fu, least = 0x800;
    } else if ((s[0] & 0xf8) == 0xf0) {
        need = 4, point = s[0] & 0x07u, least = 0x10000;
    } else {
        return 0;
    }
    if (len < need) {
        return 0;
    }
    for (size_t i = 1; i < need; i++) {
        if ((s[i] & 0xc0) != 0x80) {
            return 0;
        }
        point = point << 6 | (s[i] & 0x3fu);
    }
    /* Overlong forms, surrogates and points past Unicode's end are not UTF-8 (RFC 3629). */
    if (point < least || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) {
        return 0;
    }
    return need;
}

void text_sanitise(char *text)
{
    size_t len = strlen(text);

    for (size_t i = 0; i < len;) {
        size_t step = utf8_step(text + i, len - i);
        unsigned char c = (unsigned char)text[i];
        if (step == 0 || (c < 0x20 && c != '\n' && c != '\t') || c == 0x7f) {
            text[i] = '?';
            step = 1;
        }
        i += step;
    }
}

/* ---- files ---- */

char *file_read(const char *path, size_t max, size_t *len_out, struct err *err)
{
    CLEANUP(cleanup_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        err_errno(err, errno, "open %s", path);
        return NULL;
    }
    CLEANUP(cleanup_free) char *data = NULL;
    size_t len = 0, cap = 0;
    struct stat st;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 && (size_t)st.st_size <= max) {
        cap = (size_t)st.st_size + 1; /* one more, so that the end is seen without growing */
        data = xmalloc(cap + 1);
    }
    for (;;) {
        if (len == cap) {
            cap = cap < 4096 ? 4096 : cap * 2;
            data = xrealloc(data, cap + 1);
        }
        ssize_t n = read(fd, data + len, cap - len);
        if (n < 0) {
            if (errno == EINTR) {
                continue;
            }
            err_errno(err, errno, "read %s", path);
            return NULL;
        }
        if (n == 0) {
            break;
        }
        len += (size_t)n;
        if (len > max) {
            err_set(err, ERR_LIMIT, "%s: larger than %zu bytes", path, max);
            return NULL;
        }
    }
    data[len] = '\0';
    if (len_out != NULL) {
        *len_out = len;
    }
    return STEAL(data);
}

static int write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -1;
        }
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

static int fsync_folder_of(const char *path, struct err *err)
{
    const char *slash = strrchr(path, '/');
    CLEANUP(cleanup_free)
    char *folder =
        slash == NULL ? xstrdup(".") : xstrndup(path, slash == path ? 1 : (size_t)(slash - path));
    CLEANUP(cleanup_fd) int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0) {
        return err_errno(err, errno, "make %s durable in its folder", path);
    }
    return 0;
}

int file_write_atomic(
    const char *path, const void *data, size_t len, unsigned mode, struct err *err)
{
    CLEANUP(cleanup_free) char *temp = xasprintf("%s.tmp.XXXXXX", path);
    CLEANUP(cleanup_fd) int fd = mkostemp(temp, O_CLOEXEC);
    if (fd < 0) {
        return err_errno(err, errno, "create a temporary file beside %s", path);
    }
    if (fchmod(fd, (mode_t)mode) != 0 || write_all(fd, data, len) != 0 || fsync(fd) != 0) {
        err_errno(err, errno, "write %s", temp);
        unlink(temp);
        return -1;
    }
    if (rename(temp, path) != 0) {
        err_errno(err, errno, "rename %s to %s", temp, path);
        unlink(temp);
        return -1;
    }
    return fsync_folder_of(path, err);
}

static int dir_make_one(const char *path, unsigned mode, struct err *err)
{
    struct stat st;

    if (mkdir(path, (mode_t)mode) == 0) {
        return 0;
    }
    int saved = errno;
    /* A read-only or foreign parent may answer otherwise than EEXIST for a folder that is there. */
    if (stat(path, &st) == 0) {
        if (S_ISDIR(st.st_mode)) {
            return 0;
        }
        return err_set(err, ERR_INVALID, "make folder %s: a file of this name is in the way", path);
    }
    return err_errno(err, saved, "make folder %s", path);
}

int dir_make(const char *path, unsigned mode, struct err *err)
{
    CLEANUP(cleanup_free) char *part = xstrdup(path);

    if (part[0] == '\0') {
        return err_set(err, ERR_INVALID, "make folder: the path is empty");
    }
    for (char *slash = part + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        if (dir_make_one(part, mode, err) != 0) {
            return -1;
        }
        *slash = '/';
    }
    return dir_make_one(part, mode, err);
}

/*
 * Removing what a step's command left behind: the tree may be far deeper than the file
 * descriptors and the stack that recursion would need. Below REMOVE_DEPTH a folder is not
 * entered but moved up into the top folder, to be met again in the next pass.
 */
enum { REMOVE_DEPTH = 32, REMOVE_PASSES = 100000 };

struct removal {
    int top_fd;
    unsigned serial;
    size_t progress; /* entries removed or moved in this pass */
    int errnum;      /* the first failure of this pass */
};

static void removal_failed(struct removal *rm)
{
    if (rm->errnum == 0 && errno != ENOENT) {
        rm->errnum = errno;
    }
}

static void remove_entries(struct removal *rm, int dir_fd, int depth);

static void move_up(struct removal *rm, int dir_fd, const char *name)
{
    char moved[40];

    do {
        snprintf(moved, sizeof moved, ".removed-%u", rm->serial++);
    } while (faccessat(rm->top_fd, moved, F_OK, AT_SYMLINK_NOFOLLOW) == 0);
    if (renameat(dir_fd, name, rm->top_fd, moved) == 0) {
        rm->progress++;
    } else {
        removal_failed(rm);
    }
}

static void remove_one(struct removal *rm, int dir_fd, const char *name, int depth)
{
    if (unlinkat(dir_fd, name, 0) == 0) {
        rm->progress++;
        return;
    }
    if (errno != EISDIR && errno != EPERM) {
        removal_failed(rm);
        return;
    }
    int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(dir_fd, name, flags);
    if (fd < 0 && errno == EACCES && fchmodat(dir_fd, name, 0700, 0) == 0) {
        fd = openat(dir_fd, name, flags);
    }
    if (fd < 0) {
        removal_failed(rm);
        return;
    }
    (void)fchmod(fd, 0700); /* a folder without w or x cannot be emptied; failure shows below */
    if (depth >= REMOVE_DEPTH) {
        close(fd);
        move_up(rm, dir_fd, name);
        return;
    }
    remove_entries(rm, fd, depth + 1);
    if (unlinkat(dir_fd, name, AT_REMOVEDIR) == 0) {
        rm->progress++;
    } else {
        removal_failed(rm);
    }
}

/* Takes dir_fd. */
static void remove_entries(struct removal *rm, int dir_fd, int depth)
{
    DIR *dir = fdopendir(dir_fd);
    if (dir == NULL) {
        removal_failed(rm);
        close(dir_fd);
        return;
    }
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) {
            remove_one(rm, dir_fd, e->d_name, depth);
        }
    }
    closedir(dir);
}

static int remove_pass(const char *path, struct removal *rm, struct err *err)
{
    rm->top_fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (rm->top_fd < 0) {
        return err_errno(err, errno, "remove folder %s", path);
    }
    (void)fchmod(rm->top_fd, 0700);
    rm->progress = 0;
    rm->errnum = 0;
    int fd = openat(rm->top_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        remove_entries(rm, fd, 0);
    } else {
        removal_failed(rm);
    }
    close(rm->top_fd);
    return 0;
}

int dir_remove(const char *path, struct err *err)
{
    struct removal rm = {.top_fd = -1};

    if (unlink(path) == 0 || errno == ENOENT || errno == ENOTDIR) {
        return 0;
    }
    if (errno != EISDIR && errno != EPERM) {
        return err_errno(err, errno, "remove %s", path);
    }
    for (int pass = 0; pass < REMOVE_PASSES; pass++) {
        if (rmdir(path) == 0 || errno == ENOENT) {
            return 0;
        }
        if (errno == EACCES || errno == EPERM) {
            int saved = errno;
            struct stat st;
            if (lstat(path, &st) != 0 || !S_ISDIR(st.st_mode)) {
                return err_errno(err, saved, "remove %s", path);
            }
        }
        (void)chmod(path, 0700);
        if (remove_pass(path, &rm, err) != 0) {
            return -1;
        }
        if (rm.progress == 0) {
            if (rmdir(path) == 0 || errno == ENOENT) {
                return 0;
            }
            return err_errno(err, rm.errnum != 0 ? rm.errnum : errno, "remove folder %s", path);
        }
    }
    return err_set(err, ERR_TRANSIENT, "remove folder %s: something keeps filling it", path);
}
