/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values as files: what the order wants written before the command (input_files), and files that
 * the program leaves at fixed paths of its own (file_outputs), which are brought to where the
 * order says.
 */
#ifndef LAUNCH_FILES_H
#define LAUNCH_FILES_H

#include <stdbool.h>

struct err;
struct file_marks;
struct order;
struct output;

/* Writes the input files, and remembers what is at the fixed paths now. *marks_out for the next. */
int files_prepare(const struct order *order, struct file_marks **marks_out, struct err *err);
/*
 * After the command: copy each file output to its place, unless something is there already. is_own:
 * the paths are this attempt's alone (a pod's); if not, what the program has not touched since
 * files_prepare() was left by somebody else and counts as not written.
 */
int files_take(const struct order *order, const struct file_marks *marks, bool is_own,
    struct output *output, struct err *err);
void file_marks_free(struct file_marks *marks);

#endif
