/* SPDX-License-Identifier: Apache-2.0 */
/* rondod's main: what can be answered without starting anything, and starting. */
#include <stdio.h>
#include <string.h>

#include "api/daemon.h"
#include "api/settings.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/log.h"

#define TEXT_MAX (1 << 18)

static bool has_flag(int argc, char **argv, const char *flag)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], flag) == 0) {
            return true;
        }
    }
    return false;
}

static int print_help(void)
{
    struct buf text;
    buf_init(&text, TEXT_MAX);
    settings_help(&text);
    fputs(buf_str(&text), stdout);
    buf_done(&text);
    return 0;
}

static int print_config(const struct settings *settings)
{
    struct buf text;
    buf_init(&text, TEXT_MAX);
    settings_print(settings, &text);
    fputs(buf_str(&text), stdout);
    buf_done(&text);
    return 0;
}

#ifdef TESTING
static int print_faults(void)
{
    for (const char *const *name = fault_names(); *name != NULL; name++) {
        puts(*name);
    }
    return 0;
}
#endif

static enum log_level parse_level(const char *name)
{
    static const char *const names[] = {"trace", "debug", "info", "warn", "error"};
    enum log_level level = LOG_LEVEL_INFO;
    for (int i = 0; i < 5; i++) {
        if (strcmp(names[i], name) == 0) {
            level = (enum log_level)i;
        }
    }
    return level;
}

int main(int argc, char **argv)
{
    if (has_flag(argc, argv, "--help") || has_flag(argc, argv, "-h")) {
        return print_help();
    }
    if (has_flag(argc, argv, "--version")) {
        puts("rondod " RONDO_VERSION);
        return 0;
    }
#ifdef TESTING
    if (has_flag(argc, argv, "--list-faults")) {
        return print_faults();
    }
#endif
    bool wants_config = false;
    int kept = 1;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--print-config") == 0) {
            wants_config = true;
        } else {
            argv[kept++] = argv[i];
        }
    }
    struct settings settings;
    struct err err = ERR_INIT;
    if (settings_load(&settings, kept, argv, &err) != 0) {
        fprintf(stderr, "rondod: %s\n", err.msg);
        return 2;
    }
    log_set(parse_level(settings.log_level),
        strcmp(settings.log_format, "json") == 0 ? LOG_FORMAT_JSON : LOG_FORMAT_TEXT);
    int code = wants_config ? print_config(&settings) : daemon_run(&settings);
    settings_free(&settings);
    return code;
}
