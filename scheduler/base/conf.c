/* SPDX-License-Identifier: Apache-2.0 */
/* Option tables: filling a settings struct from file, environment and flags. */
#include "base/conf.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <yaml.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/util.h"

extern char **environ;

enum { CONF_FILE_MAX = 1 << 20, CONF_NAME_MAX = 80, CONF_TEXT_MAX = 64 * 1024 };

#define ENV_PREFIX "RONDO_"

struct conf {
    const struct option *table;
    size_t count;
    char *settings;
    bool *is_flagged; /* by option: a flag gave it already; a further one adds to a list */
};

/* ---- values ---- */

static char **text_field(const struct conf *conf, const struct option *option)
{
    return (char **)(void *)(conf->settings + option->offset);
}

static int64_t *number_field(const struct conf *conf, const struct option *option)
{
    return (int64_t *)(void *)(conf->settings + option->offset);
}

static int parse_bool(const char *text, const char *what, bool *out, struct err *err)
{
    static const char *const yes[] = {"true", "yes", "on", "1"};
    static const char *const no[] = {"false", "no", "off", "0"};

    for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
        if (strcasecmp(text, yes[i]) == 0 || strcasecmp(text, no[i]) == 0) {
            *out = strcasecmp(text, yes[i]) == 0;
            return 0;
        }
    }
    return err_set(err, ERR_INVALID, "%s: '%.80s' is neither true nor false", what, text);
}

static bool is_choice(const char *choices, const char *text)
{
    size_t text_len = strlen(text);

    for (const char *at = choices;; at++) {
        size_t len = strcspn(at, "|");
        if (len == text_len && memcmp(at, text, len) == 0) {
            return true;
        }
        at += len;
        if (*at == '\0') {
            return false;
        }
    }
}

static int check_text(
    const struct option *option, const char *text, const char *what, struct err *err)
{
    size_t len = strlen(text);

    if (len > CONF_TEXT_MAX) {
        return err_set(err, ERR_LIMIT, "%s: longer than %d bytes", what, CONF_TEXT_MAX);
    }
    for (size_t i = 0, step; i < len; i += step) {
        step = utf8_step(text + i, len - i);
        if (step == 0) {
            return err_set(err, ERR_INVALID, "%s: not UTF-8 at byte %zu", what, i + 1);
        }
    }
    if (option->choices != NULL && !is_choice(option->choices, text)) {
        return err_set(
            err, ERR_INVALID, "%s: '%.80s' is not one of %s", what, text, option->choices);
    }
    return 0;
}

static int check_range(
    const struct option *option, int64_t value, const char *text, const char *what, struct err *err)
{
    if ((option->min == 0 && option->max == 0) || (value >= option->min && value <= option->max)) {
        return 0;
    }
    const char *unit = option->type == OPTION_DURATION ? " ms"
                       : option->type == OPTION_BYTES  ? " bytes"
                                                       : "";
    return err_set(err, ERR_INVALID, "%s: %.80s is not from %lld to %lld%s", what, text,
        (long long)option->min, (long long)option->max, unit);
}

static int set_number(const struct conf *conf, const struct option *option, const char *text,
    const char *what, struct err *err)
{
    int64_t value;
    int rc;

    if (option->type == OPTION_DURATION) {
        rc = parse_duration_ms(text, what, &value, err);
    } else if (option->type == OPTION_BYTES) {
        rc = parse_bytes(text, what, &value, err);
    } else {
        bool any = option->min == 0 && option->max == 0;
        rc = parse_i64(
            text, any ? INT64_MIN : option->min, any ? INT64_MAX : option->max, what, &value, err);
    }
    if (rc != 0 || check_range(option, value, text, what, err) != 0) {
        return -1;
    }
    *number_field(conf, option) = value;
    return 0;
}

/* `what` names the source for messages: "--max-body", "rondo.yaml:3: max-body". */
static int set_value(const struct conf *conf, const struct option *option, const char *text,
    const char *what, struct err *err)
{
    switch (option->type) {
    case OPTION_STRING:
    case OPTION_SECRET:
    case OPTION_LIST: {
        if (check_text(option, text, what, err) != 0) {
            return -1;
        }
        char **field = text_field(conf, option);
        char *copy = xstrdup(text);
        free(*field);
        *field = copy;
        return 0;
    }
    case OPTION_BOOL:
        return parse_bool(text, what, (bool *)(void *)(conf->settings + option->offset), err);
    case OPTION_INT:
    case OPTION_DURATION:
    case OPTION_BYTES:
        return set_number(conf, option, text, what, err);
    }
    assert(option->type <= OPTION_LIST);
    return -1;
}

static int set_defaults(const struct conf *conf, struct err *err)
{
    for (size_t i = 0; i < conf->count; i++) {
        const struct option *option = &conf->table[i];
        if (option->fallback == NULL) {
            continue;
        }
        if (set_value(conf, option, option->fallback, option->key, err) != 0) {
            return err_wrap(err, "default of");
        }
    }
    return 0;
}

/* ---- names ---- */

/* Edits (insert, delete, replace, swap of neighbours) between two names. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t a_len = strlen(a), b_len = strlen(b);
    size_t rows[3][CONF_NAME_MAX + 1];

    if (a_len > CONF_NAME_MAX || b_len > CONF_NAME_MAX) {
        return SIZE_MAX;
    }
    size_t *before = rows[0], *last = rows[1], *row = rows[2];
    for (size_t j = 0; j <= b_len; j++) {
        before[j] = 0;
        last[j] = j;
    }
    for (size_t i = 1; i <= a_len; i++) {
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t best = last[j - 1] + (a[i - 1] != b[j - 1]);
            best = last[j] + 1 < best ? last[j] + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                before[j - 2] + 1 < best) {
                best = before[j - 2] + 1;
            }
            row[j] = best;
        }
        size_t *oldest = before;
        before = last;
        last = row;
        row = oldest;
    }
    return last[b_len];
}

/* The known key that the name was probably meant to be, or NULL. */
static const char *nearest_key(const struct conf *conf, const char *name)
{
    const char *best = NULL;
    size_t name_len = strlen(name);
    size_t best_distance = (name_len < 6 ? 2 : name_len / 3) + 1;

    for (size_t i = 0; i < conf->count; i++) {
        size_t distance = edit_distance(name, conf->table[i].key);
        if (distance < best_distance) {
            best = conf->table[i].key;
            best_distance = distance;
        }
    }
    return best;
}

static const struct option *find_option(const struct conf *conf, const char *key, size_t len)
{
    for (size_t i = 0; i < conf->count; i++) {
        const char *known = conf->table[i].key;
        if (strlen(known) == len && memcmp(known, key, len) == 0) {
            return &conf->table[i];
        }
    }
    return NULL;
}

/* "max-body" -> "RONDO_MAX_BODY" */
static void env_name_of_key(const char *key, char out[CONF_NAME_MAX])
{
    snprintf(out, CONF_NAME_MAX, ENV_PREFIX "%s", key);
    for (char *c = out; *c != '\0'; c++) {
        *c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
    }
}

/* ---- file ---- */

struct conf_file {
    const char *path;
    yaml_document_t *doc;
};

static int unknown_in_file(
    const struct conf *conf, const char *key, const char *at, struct err *err)
{
    const char *nearest = nearest_key(conf, key);
    if (nearest != NULL) {
        return err_set(
            err, ERR_INVALID, "%s: unknown setting '%.80s'; did you mean '%s'?", at, key, nearest);
    }
    return err_set(err, ERR_INVALID, "%s: unknown setting '%.80s'; --help lists them", at, key);
}

static bool is_plain_null(const yaml_node_t *node)
{
    const char *text = (const char *)node->data.scalar.value;
    return node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (text[0] == '\0' || strcmp(text, "~") == 0 || strcmp(text, "null") == 0);
}

static int check_no_nul(const yaml_node_t *node, const char *what, struct err *err)
{
    if (strlen((const char *)node->data.scalar.value) != node->data.scalar.length) {
        return err_set(err, ERR_INVALID, "%s: holds a NUL character", what);
    }
    return 0;
}

static int join_sequence(const struct conf_file *file, const yaml_node_t *node, const char *what,
    struct buf *out, struct err *err)
{
    for (yaml_node_item_t *i = node->data.sequence.items.start; i < node->data.sequence.items.top;
         i++) {
        const yaml_node_t *item = yaml_document_get_node(file->doc, *i);
        if (item->type != YAML_SCALAR_NODE) {
            return err_set(err, ERR_INVALID, "%s: a list holds plain values only", what);
        }
        const char *text = (const char *)item->data.scalar.value;
        if (check_no_nul(item, what, err) != 0) {
            return -1;
        }
        if (strchr(text, ',') != NULL) {
            return err_set(
                err, ERR_INVALID, "%s: '%.80s': a value of a list cannot hold a comma", what, text);
        }
        if (i != node->data.sequence.items.start) {
            buf_addc(out, ',');
        }
        buf_adds(out, text);
    }
    return buf_check(out, what, err);
}

static int set_from_node(const struct conf *conf, const struct conf_file *file,
    const struct option *option, const yaml_node_t *node, const char *what, struct err *err)
{
    if (node->type == YAML_SCALAR_NODE) {
        if (is_plain_null(node)) {
            return 0; /* written, but left to the default */
        }
        if (check_no_nul(node, what, err) != 0) {
            return -1;
        }
        return set_value(conf, option, (const char *)node->data.scalar.value, what, err);
    }
    if (node->type == YAML_SEQUENCE_NODE && option->type == OPTION_LIST) {
        struct buf joined;
        buf_init(&joined, CONF_TEXT_MAX);
        int rc = join_sequence(file, node, what, &joined, err);
        if (rc == 0) {
            rc = set_value(conf, option, buf_str(&joined), what, err);
        }
        buf_done(&joined);
        return rc;
    }
    return err_set(err, ERR_INVALID, "%s: expected a single value%s", what,
        option->type == OPTION_LIST ? " or a list" : "");
}

static int apply_document(const struct conf *conf, const struct conf_file *file, struct err *err)
{
    const yaml_node_t *root = yaml_document_get_root_node(file->doc);
    CLEANUP(cleanup_free) size_t *lines = xcalloc(conf->count, sizeof *lines);

    if (root->type == YAML_SCALAR_NODE && is_plain_null(root)) {
        return 0;
    }
    if (root->type != YAML_MAPPING_NODE) {
        return err_set(err, ERR_INVALID, "%s:%zu: expected 'name: value' lines", file->path,
            root->start_mark.line + 1);
    }
    for (yaml_node_pair_t *pair = root->data.mapping.pairs.start;
         pair < root->data.mapping.pairs.top; pair++) {
        const yaml_node_t *key = yaml_document_get_node(file->doc, pair->key);
        const yaml_node_t *value = yaml_document_get_node(file->doc, pair->value);
        CLEANUP(cleanup_free)
        char *at = xasprintf("%s:%zu", file->path, key->start_mark.line + 1);

        if (key->type != YAML_SCALAR_NODE) {
            return err_set(err, ERR_INVALID, "%s: the name of a setting is plain text", at);
        }
        const char *name = (const char *)key->data.scalar.value;
        const struct option *option = find_option(conf, name, key->data.scalar.length);
        if (option == NULL) {
            return unknown_in_file(conf, name, at, err);
        }
        size_t *line = &lines[option - conf->table];
        if (*line != 0) {
            return err_set(
                err, ERR_INVALID, "%s: '%s' is given in line %zu already", at, name, *line);
        }
        *line = key->start_mark.line + 1;
        CLEANUP(cleanup_free) char *what = xasprintf("%s: %s", at, name);
        if (set_from_node(conf, file, option, value, what, err) != 0) {
            return -1;
        }
    }
    return 0;
}

static int yaml_failed(const yaml_parser_t *parser, const char *path, struct err *err)
{
    return err_set(err, ERR_INVALID, "%s:%zu: %s", path, parser->problem_mark.line + 1,
        parser->problem != NULL ? parser->problem : "not YAML");
}

static int apply_parsed(
    const struct conf *conf, yaml_parser_t *parser, const char *path, struct err *err)
{
    yaml_document_t doc, second;
    struct conf_file file = {.path = path, .doc = &doc};

    if (!yaml_parser_load(parser, &doc)) {
        return yaml_failed(parser, path, err);
    }
    if (yaml_document_get_root_node(&doc) == NULL) { /* nothing but comments */
        yaml_document_delete(&doc);
        return 0;
    }
    int rc = apply_document(conf, &file, err);
    yaml_document_delete(&doc);
    if (rc != 0) {
        return -1;
    }
    if (!yaml_parser_load(parser, &second)) {
        return yaml_failed(parser, path, err);
    }
    const yaml_node_t *root = yaml_document_get_root_node(&second);
    size_t line = second.start_mark.line + 1;
    yaml_document_delete(&second);
    if (root != NULL) {
        return err_set(err, ERR_INVALID, "%s:%zu: a second document; one is read", path, line);
    }
    return 0;
}

static int load_file(const struct conf *conf, const char *path, struct err *err)
{
    size_t len;
    CLEANUP(cleanup_free) char *text = file_read(path, CONF_FILE_MAX, &len, err);
    yaml_parser_t parser;

    if (text == NULL) {
        return err_wrap(err, "settings");
    }
    if (!yaml_parser_initialize(&parser)) {
        abort(); /* out of memory */
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
    int rc = apply_parsed(conf, &parser, path, err);
    yaml_parser_delete(&parser);
    return rc;
}

/* ---- environment ---- */

/*
 * Variables with our prefix that are not settings. Kubernetes puts the addresses of every
 * Service into every pod: one named "rondo" or "rondo-redis" must not stop the daemon.
 */
static bool is_foreign_env(const char *name, const char *value)
{
    static const char *const others[] = {
        "RONDO_ATTEMPT", "RONDO_CONFIG", "RONDO_FAULT", "RONDO_HOST", "RONDO_TOKEN", "RONDO_URL"};

    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        if (strcmp(name, others[i]) == 0) {
            return true;
        }
    }
    if (strstr(name, "_SERVICE_HOST") != NULL || strstr(name, "_SERVICE_PORT") != NULL) {
        return true;
    }
    const char *port = strstr(name, "_PORT_");
    if (port != NULL && isdigit((unsigned char)port[strlen("_PORT_")])) {
        return true;
    }
    return str_ends(name, "_PORT") && strstr(value, "://") != NULL;
}

static int check_env_names(const struct conf *conf, struct err *err)
{
    for (char **entry = environ; entry != NULL && *entry != NULL; entry++) {
        const char *equals = strchr(*entry, '=');
        if (!str_starts(*entry, ENV_PREFIX) || equals == NULL) {
            continue;
        }
        CLEANUP(cleanup_free) char *name = xstrndup(*entry, (size_t)(equals - *entry));
        CLEANUP(cleanup_free) char *key = xstrdup(name + strlen(ENV_PREFIX));
        for (char *c = key; *c != '\0'; c++) {
            *c = *c == '_' ? '-' : (char)tolower((unsigned char)*c);
        }
        char known[CONF_NAME_MAX];
        const struct option *option = find_option(conf, key, strlen(key));
        if (option != NULL) {
            env_name_of_key(option->key, known);
            if (strcmp(known, name) == 0) {
                continue;
            }
        }
        if (is_foreign_env(name, equals + 1)) {
            continue;
        }
        const char *nearest = option != NULL ? option->key : nearest_key(conf, key);
        if (nearest == NULL) {
            return err_set(err, ERR_INVALID,
                "environment: %.80s is not a setting; unset it, --help lists them", name);
        }
        env_name_of_key(nearest, known);
        return err_set(
            err, ERR_INVALID, "environment: %.80s is not a setting; did you mean %s?", name, known);
    }
    return 0;
}

static int load_env(const struct conf *conf, struct err *err)
{
    if (check_env_names(conf, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < conf->count; i++) {
        char name[CONF_NAME_MAX];
        env_name_of_key(conf->table[i].key, name);
        const char *value = getenv(name);
        /* An empty variable is how compose files and shells say "not set". */
        if (value != NULL && value[0] != '\0' &&
            set_value(conf, &conf->table[i], value, name, err) != 0) {
            return err_wrap(err, "environment");
        }
    }
    return 0;
}

/* ---- flags ---- */

struct flag {
    const char *name; /* behind the dashes, up to '=' */
    size_t name_len;
    const char *value; /* behind '=', or NULL */
};

static int read_flag(const char *arg, struct flag *out, struct err *err)
{
    if (!str_starts(arg, "--") || arg[2] == '\0' || arg[2] == '=') {
        return err_set(
            err, ERR_INVALID, "unexpected argument '%.80s'; options are written --name=value", arg);
    }
    out->name = arg + 2;
    out->name_len = strcspn(out->name, "=");
    out->value = out->name[out->name_len] == '=' ? out->name + out->name_len + 1 : NULL;
    return 0;
}

/* The value behind '=', or the next argument, which is then used up. */
static int flag_value(
    const struct flag *flag, int argc, char **argv, int *i, const char **out, struct err *err)
{
    if (flag->value != NULL) {
        *out = flag->value;
        return 0;
    }
    if (*i + 1 >= argc || str_starts(argv[*i + 1], "--")) {
        return err_set(err, ERR_INVALID, "--%.*s: needs a value", (int)flag->name_len, flag->name);
    }
    *out = argv[++*i];
    return 0;
}

static bool flag_is(const struct flag *flag, const char *name)
{
    return flag->name_len == strlen(name) && memcmp(flag->name, name, flag->name_len) == 0;
}

static int unknown_flag(const struct conf *conf, const struct flag *flag, struct err *err)
{
    CLEANUP(cleanup_free) char *name = xstrndup(flag->name, flag->name_len);
    const char *no = str_starts(name, "no-") ? "no-" : "";
    const char *nearest = nearest_key(conf, name + strlen(no));

    if (nearest == NULL) {
        return err_set(err, ERR_INVALID, "--%.80s: unknown option; --help lists them", name);
    }
    const struct option *option = find_option(conf, nearest, strlen(nearest));
    return err_set(err, ERR_INVALID, "--%.80s: unknown option; did you mean --%s%s?", name,
        option->type == OPTION_BOOL ? no : "", nearest);
}

static int set_list_flag(const struct conf *conf, const struct option *option, const char *value,
    const char *what, struct err *err)
{
    bool *is_flagged = &conf->is_flagged[option - conf->table];
    const char *before = *text_field(conf, option);
    bool adds = *is_flagged && before != NULL && before[0] != '\0';
    CLEANUP(cleanup_free)
    char *joined = adds ? xasprintf("%s,%s", before, value) : xstrdup(value);

    *is_flagged = true;
    return set_value(conf, option, joined, what, err);
}

static int apply_flag(const struct conf *conf, const struct flag *flag, int argc, char **argv,
    int *i, struct err *err)
{
    const struct option *option = find_option(conf, flag->name, flag->name_len);
    char what[CONF_NAME_MAX];
    const char *value = NULL;

    if (option == NULL && flag->value == NULL && strncmp(flag->name, "no-", 3) == 0) {
        option = find_option(conf, flag->name + 3, flag->name_len - 3);
        if (option != NULL && option->type == OPTION_BOOL) {
            return set_value(conf, option, "false", option->key, err);
        }
        option = NULL;
    }
    if (option == NULL) {
        return unknown_flag(conf, flag, err);
    }
    snprintf(what, sizeof what, "--%s", option->key);
    if (option->type == OPTION_BOOL) {
        return set_value(conf, option, flag->value != NULL ? flag->value : "true", what, err);
    }
    if (flag_value(flag, argc, argv, i, &value, err) != 0) {
        return -1;
    }
    if (option->type == OPTION_LIST) {
        return set_list_flag(conf, option, value, what, err);
    }
    return set_value(conf, option, value, what, err);
}

static int load_flags(const struct conf *conf, int argc, char **argv, struct err *err)
{
    for (int i = 1; i < argc; i++) {
        struct flag flag = {0};
        const char *ignored;
        if (read_flag(argv[i], &flag, err) != 0) {
            return -1;
        }
        int rc = flag_is(&flag, "config") ? flag_value(&flag, argc, argv, &i, &ignored, err)
                                          : apply_flag(conf, &flag, argc, argv, &i, err);
        if (rc != 0) {
            return -1;
        }
    }
    return 0;
}

/* The file is read before the flags are applied, so its name is looked for first. */
static int find_config(int argc, char **argv, const char **path_out, struct err *err)
{
    const char *path = getenv("RONDO_CONFIG");

    for (int i = 1; i < argc; i++) {
        struct flag flag = {0};
        /* Anything else, even wrong, is load_flags' business. */
        if (str_starts(argv[i], "--config") && read_flag(argv[i], &flag, err) == 0 &&
            flag_is(&flag, "config") && flag_value(&flag, argc, argv, &i, &path, err) != 0) {
            return -1;
        }
    }
    *path_out = path != NULL && path[0] != '\0' ? path : NULL;
    return 0;
}

/* ---- all together ---- */

static int load_all(const struct conf *conf, int argc, char **argv, struct err *err)
{
    const char *path = NULL;

    if (set_defaults(conf, err) != 0 || find_config(argc, argv, &path, err) != 0) {
        return -1;
    }
    if (path != NULL && load_file(conf, path, err) != 0) {
        return -1;
    }
    if (load_env(conf, err) != 0) {
        return -1;
    }
    return load_flags(conf, argc, argv, err);
}

int conf_load(const struct option *table, size_t count, void *settings, int argc, char **argv,
    struct err *err)
{
    CLEANUP(cleanup_free) bool *is_flagged = xcalloc(count, sizeof *is_flagged);
    struct conf conf = {table, count, settings, is_flagged};

    if (load_all(&conf, argc, argv, err) != 0) {
        conf_free(table, count, settings);
        return -1;
    }
    return 0;
}

void conf_free(const struct option *table, size_t count, void *settings)
{
    struct conf conf = {table, count, settings, NULL};

    for (size_t i = 0; i < count; i++) {
        enum option_type type = table[i].type;
        if (type == OPTION_STRING || type == OPTION_SECRET || type == OPTION_LIST) {
            char **field = text_field(&conf, &table[i]);
            if (*field != NULL && type == OPTION_SECRET) {
                explicit_bzero(*field, strlen(*field));
            }
            free(*field);
            *field = NULL;
        }
    }
}
