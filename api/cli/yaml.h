/* SPDX-License-Identifier: Apache-2.0 */
/* JSON values as YAML, for people and for kubectl. */
#ifndef API_CLI_YAML_H
#define API_CLI_YAML_H

#include <jansson.h>

struct buf;
struct err;

/* Append one document, without "---". Members in their order; a text that any YAML reader could take
 * for something else is quoted. */
int yaml_write(const json_t *value, struct buf *out, struct err *err);

#endif
