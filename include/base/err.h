/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The error object: a code that says what the caller should do, and a message for the person
 * who must act. It lives on the caller's stack; raising never allocates.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdbool.h>

enum err_code {
    ERR_NONE = 0,
    ERR_INVALID,         /* the input is wrong; do not retry as it is */
    ERR_NOT_FOUND,       /* the named thing does not exist */
    ERR_EXISTS,          /* the name is taken */
    ERR_CONFLICT,        /* somebody else changed it meanwhile, or the operation clashes */
    ERR_PRECONDITION,    /* right request, wrong moment (state forbids it) */
    ERR_UNAUTHENTICATED, /* who are you? */
    ERR_DENIED,          /* we know you, and no */
    ERR_LIMIT,           /* a ceiling was hit */
    ERR_FENCED,          /* another daemon has taken over what this one owned */
    ERR_TRANSIENT,       /* try again later: network, Redis, API server away */
    ERR_INTERNAL,        /* our fault */
};

#define ERR_MSG_MAX 2048

struct err {
    enum err_code code;
    char msg[ERR_MSG_MAX];
};

#define ERR_INIT {.code = ERR_NONE, .msg = ""}

/* Raise: fills err (NULL allowed) and returns -1, so that `return err_set(...)` reads well. */
int err_set(struct err *err, enum err_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Put context before the message: "context: message". Keeps the code. Returns -1. */
int err_wrap(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Raise from an errno value: "fmt...: strerror". Code follows errnum (ENOENT -> NOT_FOUND, ...). */
int err_errno(struct err *err, int errnum, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

void err_clear(struct err *err);
void err_copy(struct err *to, const struct err *from);

/* "invalid", "not_found", ... */
const char *err_code_name(enum err_code code);

/* True for codes where the same call may succeed later (TRANSIENT only). */
bool err_is_transient(const struct err *err);

#endif
