/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening files below a folder, whatever the path and the symbolic links on the way say. Links
 * that stay below the folder are followed where the kernel has openat2(), and refused elsewhere.
 */
#ifndef ARTIFACT_BENEATH_H
#define ARTIFACT_BENEATH_H

#include <sys/types.h>

/* Like openat(); rel is relative, "." for the folder itself. -1 and errno (EXDEV: leads outside).
 */
int beneath_open(int root_fd, const char *rel, int flags, mode_t mode);
/* Makes all folders on the way to rel, not rel itself. 0, or -1 and errno. */
int beneath_make_parents(int root_fd, const char *rel, mode_t mode);
/* Opens the folder that rel lies in; *name_out is rel's last part (points into rel). */
int beneath_open_parent(int root_fd, const char *rel, const char **name_out);

#endif
