/* SPDX-License-Identifier: Apache-2.0 */
/* What Kubernetes takes for names, labels and quantities. */
#ifndef PIPELINE_KUBERNETES_NAMES_H
#define PIPELINE_KUBERNETES_NAMES_H

#include <stdbool.h>

#define DNS_LABEL_MAX 63
#define DNS_SUBDOMAIN_MAX 253

/* a-z, 0-9, '-', not at either end; at most 63: names of volumes and containers. */
bool dns_label_is_valid(const char *text);
/* Labels joined by dots; at most 253: names of secrets, config maps, claims. */
bool dns_subdomain_is_valid(const char *text);
/* "example.com/key" or "key": of labels, annotations, resources. */
bool qualified_name_is_valid(const char *text);
bool label_value_is_valid(const char *text);
/* A name of an environment variable: printable ASCII without '='. */
bool env_name_is_valid(const char *text);
/* "500m", "1.5", "2Gi", "1e3"; never negative. */
bool quantity_is_valid(const char *text);

#endif
