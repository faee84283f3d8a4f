/* SPDX-License-Identifier: Apache-2.0 */
/* /metrics in Prometheus' text form; the route is in health.c. */
#ifndef API_METRICS_H
#define API_METRICS_H

struct api_call;

void metrics_handle(struct api_call *call);

#endif
