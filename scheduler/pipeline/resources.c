/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPU, memory and accelerators of a container in Kubernetes' terms (kfp-semantics.md 10.1). The
 * SDK writes each twice: as a text, which counts, and as the older number of cores or gigabytes.
 */
#include "scheduler/plan.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/util.h"
#include "pipeline/kubernetes_names.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_NUMBER_TEXT 400

/* A number as a quantity; malloc'd, NULL when it says nothing. */
static char *number_text(const json_t *value, const char *unit)
{
    double number = json_number_value(value);
    if (!isfinite(number) || number <= 0) {
        return NULL;
    }
    struct buf text;
    buf_init(&text, MAX_NUMBER_TEXT);
    value_text(value, &text);
    buf_adds(&text, unit);
    return buf_steal(&text, NULL);
}

/* The text if there is one, else the number; malloc'd, NULL when neither says anything. */
static char *pick(const json_t *from, const char *key, const char *old_key, const char *old_unit)
{
    const json_t *value = json_object_get(from, key);
    if (json_is_string(value) && json_string_length(value) > 0) {
        return xstrdup(json_string_value(value));
    }
    char *text = number_text(value, "");
    if (text != NULL) {
        return text;
    }
    const json_t *old = json_object_get(from, old_key);
    if (json_is_string(old) && json_string_length(old) > 0) {
        return xasprintf("%s%s", json_string_value(old), old_unit); /* a double as proto3 text */
    }
    return number_text(old, old_unit);
}

static int put(json_t *to, const char *name, const char *key, char *text, struct err *err)
{
    char *quantity CLEANUP(cleanup_free) = text;
    if (quantity == NULL) {
        return 0;
    }
    if (!quantity_is_valid(quantity)) {
        return err_set(err, ERR_INVALID,
            "%s: '%.100s' is no quantity such as '500m', '1.5' or '2Gi'", key, quantity);
    }
    json_object_set_new(to, name, json_string(quantity));
    return 0;
}

static int put_accelerator(json_t *limits, const json_t *resources, struct err *err)
{
    const json_t *accelerator = json_object_get(resources, "accelerator");
    const char *type = jget_str(accelerator, "resourceType", "");
    type = type[0] != '\0' ? type : jget_str(accelerator, "type", "");
    char *count = pick(accelerator, "resourceCount", "count", "");
    if (type[0] == '\0' || count == NULL || strcmp(count, "0") == 0) {
        free(count);
        return 0;
    }
    return put(limits, type, "accelerator.resourceCount", count, err);
}

json_t *resources_to_kubernetes(const json_t *resources, struct err *err)
{
    static const struct {
        const char *list, *name, *key, *old_key, *old_unit;
    } rows[] = {
        {"requests", "cpu", "resourceCpuRequest", "cpuRequest", ""},
        {"requests", "memory", "resourceMemoryRequest", "memoryRequest", "G"},
        {"limits", "cpu", "resourceCpuLimit", "cpuLimit", ""},
        {"limits", "memory", "resourceMemoryLimit", "memoryLimit", "G"},
    };
    json_t *requests CLEANUP(json_decrefp) = json_object();
    json_t *limits CLEANUP(json_decrefp) = json_object();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        json_t *list = strcmp(rows[i].list, "limits") == 0 ? limits : requests;
        char *text = pick(resources, rows[i].key, rows[i].old_key, rows[i].old_unit);
        if (put(list, rows[i].name, rows[i].key, text, err) != 0) {
            return NULL;
        }
    }
    if (put_accelerator(limits, resources, err) != 0) {
        return NULL;
    }
    json_t *out = json_object();
    if (json_object_size(requests) > 0) {
        json_object_set(out, "requests", requests);
    }
    if (json_object_size(limits) > 0) {
        json_object_set(out, "limits", limits);
    }
    return out;
}
