/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log lines: one event, one line on standard error, a constant message and facts as fields:
 *     LOG_INFO("run finished", "run=%s state=%s", id, state);
 *  -> 2026-11-23T09:30:00.123Z info run finished run=... state=...
 * The fields argument is a printf format; pass text that may hold spaces through LOG_Q.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>

enum log_level { LOG_LEVEL_TRACE, LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

void log_set(enum log_level min, enum log_format format);
bool log_wants(enum log_level level);
void log_line(enum log_level level, const char *msg, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#define LOG_AT(level, msg, ...)                                                                    \
    do {                                                                                           \
        if (log_wants(level)) {                                                                    \
            log_line(level, msg, __VA_ARGS__);                                                     \
        }                                                                                          \
    } while (0)
#define LOG_TRACE(msg, ...) LOG_AT(LOG_LEVEL_TRACE, msg, __VA_ARGS__)
#define LOG_DEBUG(msg, ...) LOG_AT(LOG_LEVEL_DEBUG, msg, __VA_ARGS__)
#define LOG_INFO(msg, ...) LOG_AT(LOG_LEVEL_INFO, msg, __VA_ARGS__)
#define LOG_WARN(msg, ...) LOG_AT(LOG_LEVEL_WARN, msg, __VA_ARGS__)
#define LOG_ERROR(msg, ...) LOG_AT(LOG_LEVEL_ERROR, msg, __VA_ARGS__)

/* Quote and escape text for a field value; a rotating set of static buffers, cut at 512 bytes. */
const char *log_quote(const char *text);
#define LOG_Q(text) log_quote(text)

#endif
