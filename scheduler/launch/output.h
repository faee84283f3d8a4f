/* SPDX-License-Identifier: Apache-2.0 */
/* The step's log: everything goes to our standard output up to a ceiling, the end is kept. */
#ifndef LAUNCH_OUTPUT_H
#define LAUNCH_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct output {
    int fd;
    int64_t max, passed; /* max 0: no ceiling */
    bool is_cut;
    char *ring;
    size_t ring_size, ring_len, ring_at; /* ring_at: where the next byte goes */
};

void output_init(struct output *out, int fd, int64_t max, size_t tail);
void output_done(struct output *out);
void output_add(struct output *out, const char *data, size_t len);
/* A line of the launcher's own: "rondo: ...". */
void output_note(struct output *out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The kept end as valid UTF-8 without NUL, from the start of a line where possible. malloc'd. */
char *output_tail(const struct output *out);

/* Is it UTF-8 (RFC 3629) without NUL? */
bool text_is_utf8(const char *text, size_t len);

#endif
