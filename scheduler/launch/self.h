/* SPDX-License-Identifier: Apache-2.0 */
/* The launcher's own file. */
#ifndef LAUNCH_SELF_H
#define LAUNCH_SELF_H

struct err;

/*
 * Copy this program to `to` (a folder: as rondo-launcher into it), executable; and, as
 * "<to>-ca.crt", the CA bundle that lies beside it or in this image, if there is one.
 */
int self_copy(const char *argv0, const char *to, struct err *err);

#endif
