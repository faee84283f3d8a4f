/* SPDX-License-Identifier: Apache-2.0 */
/* Timestamps and durations: seconds and nanoseconds, within the ranges of CEL. */
#ifndef WEBHOOKS_CEL_TIME_H
#define WEBHOOKS_CEL_TIME_H

#include "webhooks/cel/value.h"

#define CEL_TIME_TEXT_MAX 64

/* "2026-11-23T09:30:00.5Z": as many digits behind the point as it has. Returns out. */
const char *cel_timestamp_text(const struct cel_value *value, char out[CEL_TIME_TEXT_MAX]);
/* "-1.5s". Returns out. */
const char *cel_duration_text(const struct cel_value *value, char out[CEL_TIME_TEXT_MAX]);

#endif
