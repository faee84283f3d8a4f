/* SPDX-License-Identifier: Apache-2.0 */
/* The error object. Messages may quote bytes from outside, so they are made printable here. */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"

static void err_store(struct err *err, enum err_code code, const char *text)
{
    size_t len = strnlen(text, sizeof err->msg - 1);

    err->code = code;
    memmove(err->msg, text, len);
    err->msg[len] = '\0';
    /* Also mends a character cut in half by the ceiling: messages end up in JSON replies. */
    text_sanitise(err->msg);
}

/* ": more" behind the text that vsnprintf made len long; what does not fit is cut. */
static void append(char text[ERR_MSG_MAX], int len, const char *more)
{
    const char *parts[] = {": ", more};

    if (len < 0 || len >= ERR_MSG_MAX) {
        return;
    }
    size_t at = (size_t)len;
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        size_t part_len = strnlen(parts[i], ERR_MSG_MAX - 1 - at);
        memcpy(text + at, parts[i], part_len);
        at += part_len;
    }
    text[at] = '\0';
}

int err_set(struct err *err, enum err_code code, const char *fmt, ...)
{
    char text[ERR_MSG_MAX]; /* not err->msg directly: it may be among the arguments */
    va_list ap;

    if (err == NULL) {
        return -1;
    }
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    err_store(err, code, text);
    return -1;
}

int err_wrap(struct err *err, const char *fmt, ...)
{
    char text[ERR_MSG_MAX];
    va_list ap;

    if (err == NULL) {
        return -1;
    }
    va_start(ap, fmt);
    int len = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    append(text, len, err->msg);
    err_store(err, err->code, text);
    return -1;
}

static enum err_code code_of_errno(int errnum)
{
    switch (errnum) {
    case ENOENT:
    case ESRCH:
    case ENXIO:
        return ERR_NOT_FOUND;
    case EEXIST:
    case EADDRINUSE:
        return ERR_EXISTS;
    case EACCES:
    case EPERM:
    case EROFS:
        return ERR_DENIED;
    case EINVAL:
    case ENOTDIR:
    case EISDIR:
    case ENAMETOOLONG:
    case ELOOP:
    case E2BIG:
        return ERR_INVALID;
    case EMFILE:
    case ENFILE:
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return ERR_LIMIT;
    case EAGAIN:
    case EINTR:
    case EBUSY:
    case ETIMEDOUT:
    case ECONNREFUSED:
    case ECONNRESET:
    case ECONNABORTED:
    case EPIPE:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENOTCONN:
        return ERR_TRANSIENT;
    default:
        return ERR_INTERNAL;
    }
}

int err_errno(struct err *err, int errnum, const char *fmt, ...)
{
    char text[ERR_MSG_MAX];
    va_list ap;

    if (err == NULL) {
        return -1;
    }
    va_start(ap, fmt);
    int len = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    append(text, len, strerror(errnum));
    err_store(err, code_of_errno(errnum), text);
    return -1;
}

void err_clear(struct err *err)
{
    if (err != NULL) {
        err->code = ERR_NONE;
        err->msg[0] = '\0';
    }
}

void err_copy(struct err *to, const struct err *from)
{
    if (to != NULL && from != NULL && to != from) {
        to->code = from->code;
        memcpy(to->msg, from->msg, strnlen(from->msg, sizeof from->msg - 1) + 1);
        to->msg[sizeof to->msg - 1] = '\0';
    }
}

const char *err_code_name(enum err_code code)
{
    switch (code) {
    case ERR_NONE:
        return "none";
    case ERR_INVALID:
        return "invalid";
    case ERR_NOT_FOUND:
        return "not_found";
    case ERR_EXISTS:
        return "exists";
    case ERR_CONFLICT:
        return "conflict";
    case ERR_PRECONDITION:
        return "precondition";
    case ERR_UNAUTHENTICATED:
        return "unauthenticated";
    case ERR_DENIED:
        return "denied";
    case ERR_LIMIT:
        return "limit";
    case ERR_FENCED:
        return "fenced";
    case ERR_TRANSIENT:
        return "transient";
    case ERR_INTERNAL:
        return "internal";
    }
    return "internal";
}

bool err_is_transient(const struct err *err)
{
    return err != NULL && err->code == ERR_TRANSIENT;
}
