/* SPDX-License-Identifier: Apache-2.0 */
/* Names, labels and quantities: the rules of the API server, checked before it is asked. */
#include "pipeline/kubernetes_names.h"

#include "base/util.h"

#include <stddef.h>
#include <string.h>

#define NAME_PART_MAX 63

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_alnum(char c)
{
    return is_lower(c) || is_digit(c) || (c >= 'A' && c <= 'Z');
}

static bool label_is_valid(const char *text, size_t len, size_t max)
{
    if (len == 0 || len > max || text[0] == '-' || text[len - 1] == '-') {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if (!is_lower(text[i]) && !is_digit(text[i]) && text[i] != '-') {
            return false;
        }
    }
    return true;
}

bool dns_label_is_valid(const char *text)
{
    return label_is_valid(text, strlen(text), DNS_LABEL_MAX);
}

static bool subdomain_is_valid(const char *text, size_t len)
{
    if (len == 0 || len > DNS_SUBDOMAIN_MAX) {
        return false;
    }
    const char *end = text + len;
    for (;;) {
        const char *dot = memchr(text, '.', (size_t)(end - text));
        const char *stop = dot != NULL ? dot : end;
        if (!label_is_valid(text, (size_t)(stop - text), DNS_SUBDOMAIN_MAX)) {
            return false;
        }
        if (dot == NULL) {
            return true;
        }
        text = dot + 1;
    }
}

bool dns_subdomain_is_valid(const char *text)
{
    return subdomain_is_valid(text, strlen(text));
}

static bool name_part_is_valid(const char *text, size_t len)
{
    if (len == 0 || len > NAME_PART_MAX || !is_alnum(text[0]) || !is_alnum(text[len - 1])) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if (!is_alnum(text[i]) && strchr("-_.", text[i]) == NULL) {
            return false;
        }
    }
    return true;
}

bool qualified_name_is_valid(const char *text)
{
    const char *slash = strchr(text, '/');
    if (slash != NULL && !subdomain_is_valid(text, (size_t)(slash - text))) {
        return false;
    }
    const char *name = slash != NULL ? slash + 1 : text;
    return name_part_is_valid(name, strlen(name));
}

bool label_value_is_valid(const char *text)
{
    return text[0] == '\0' || name_part_is_valid(text, strlen(text));
}

bool env_name_is_valid(const char *text)
{
    if (text[0] == '\0') {
        return false;
    }
    for (; *text != '\0'; text++) {
        if (*text < 0x20 || *text > 0x7e || *text == '=') {
            return false;
        }
    }
    return true;
}

static bool is_exponent(const char *text)
{
    if (*text == '+' || *text == '-') {
        text++;
    }
    size_t digits = strspn(text, "0123456789");
    return digits > 0 && digits <= 3 && text[digits] == '\0';
}

bool quantity_is_valid(const char *text)
{
    static const char *const suffixes[] = {
        "", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"};
    if (strlen(text) > NAME_PART_MAX) {
        return false;
    }
    if (*text == '+') {
        text++;
    }
    size_t whole = strspn(text, "0123456789"), broken = 0;
    text += whole;
    if (*text == '.') {
        broken = strspn(text + 1, "0123456789");
        text += 1 + broken;
    }
    if (whole + broken == 0) {
        return false;
    }
    if ((*text == 'e' || *text == 'E') && is_exponent(text + 1)) {
        return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        if (strcmp(text, suffixes[i]) == 0) {
            return true;
        }
    }
    return false;
}
