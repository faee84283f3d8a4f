/* SPDX-License-Identifier: Apache-2.0 */
/* JSON -> YAML by libyaml's emitter; see yaml.h. */
#include "api/cli/yaml.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <yaml.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/util.h"

static int on_write(void *owner, unsigned char *data, size_t len)
{
    return buf_add(owner, data, len) == 0;
}

/*
 * Without quotes only what every reader, of YAML 1.1 as of 1.2, takes for a text: it begins with a
 * letter or '/', has nothing in it but what is harmless, and is no word for true, false or null.
 */
static bool is_plain(const char *text)
{
    static const char *const words[] = {
        "y", "yes", "n", "no", "true", "false", "on", "off", "null", "nan", "inf"};
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    size_t len = strlen(text);
    if (len == 0 || (strchr(letters, text[0]) == NULL && text[0] != '/') || text[len - 1] == ':') {
        return false;
    }
    for (const char *p = text; *p != '\0'; p++) {
        if (strchr(letters, *p) == NULL && strchr("0123456789-_./:@", *p) == NULL) {
            return false;
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (strcasecmp(text, words[i]) == 0) {
            return false;
        }
    }
    return true;
}

static bool emit_scalar(yaml_emitter_t *emitter, const char *text, bool is_text)
{
    yaml_event_t event;
    bool is_quoted = is_text && !is_plain(text);
    return yaml_scalar_event_initialize(&event, NULL, NULL, (const yaml_char_t *)text,
               (int)strlen(text), 1, 1,
               is_quoted ? YAML_DOUBLE_QUOTED_SCALAR_STYLE : YAML_PLAIN_SCALAR_STYLE) &&
           yaml_emitter_emit(emitter, &event);
}

static bool emit_value(yaml_emitter_t *emitter, const json_t *value);

static bool emit_list(yaml_emitter_t *emitter, const json_t *list)
{
    yaml_event_t event;
    size_t i;
    json_t *item;
    yaml_sequence_style_t style =
        json_array_size(list) == 0 ? YAML_FLOW_SEQUENCE_STYLE : YAML_BLOCK_SEQUENCE_STYLE;
    if (!yaml_sequence_start_event_initialize(&event, NULL, NULL, 1, style) ||
        !yaml_emitter_emit(emitter, &event)) {
        return false;
    }
    json_array_foreach(list, i, item)
    {
        if (!emit_value(emitter, item)) {
            return false;
        }
    }
    return yaml_sequence_end_event_initialize(&event) && yaml_emitter_emit(emitter, &event);
}

static bool emit_map(yaml_emitter_t *emitter, const json_t *map)
{
    yaml_event_t event;
    const char *key;
    json_t *item;
    yaml_mapping_style_t style =
        json_object_size(map) == 0 ? YAML_FLOW_MAPPING_STYLE : YAML_BLOCK_MAPPING_STYLE;
    if (!yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, style) ||
        !yaml_emitter_emit(emitter, &event)) {
        return false;
    }
    json_object_foreach((json_t *)map, key, item)
    {
        if (!emit_scalar(emitter, key, true) || !emit_value(emitter, item)) {
            return false;
        }
    }
    return yaml_mapping_end_event_initialize(&event) && yaml_emitter_emit(emitter, &event);
}

static bool emit_value(yaml_emitter_t *emitter, const json_t *value)
{
    if (json_is_object(value)) {
        return emit_map(emitter, value);
    }
    if (json_is_array(value)) {
        return emit_list(emitter, value);
    }
    if (json_is_string(value)) {
        return emit_scalar(emitter, json_string_value(value), true);
    }
    CLEANUP(cleanup_free) char *text = jtext(value);
    return emit_scalar(emitter, text, false);
}

static bool emit_document(yaml_emitter_t *emitter, const json_t *value)
{
    yaml_event_t event;
    return yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING) &&
           yaml_emitter_emit(emitter, &event) &&
           yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1) &&
           yaml_emitter_emit(emitter, &event) && emit_value(emitter, value) &&
           yaml_document_end_event_initialize(&event, 1) && yaml_emitter_emit(emitter, &event) &&
           yaml_stream_end_event_initialize(&event) && yaml_emitter_emit(emitter, &event);
}

int yaml_write(const json_t *value, struct buf *out, struct err *err)
{
    yaml_emitter_t emitter;
    if (!yaml_emitter_initialize(&emitter)) {
        abort();
    }
    yaml_emitter_set_output(&emitter, on_write, out);
    yaml_emitter_set_unicode(&emitter, 1);
    yaml_emitter_set_width(&emitter, -1);
    bool is_good = emit_document(&emitter, value);
    int result = is_good ? 0
                         : err_set(err, ERR_LIMIT, "it cannot be written as YAML: %s",
                               emitter.problem != NULL ? emitter.problem : "it is too large");
    yaml_emitter_delete(&emitter);
    return result;
}
