#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Functions we do without, stray blanks, forgotten notes, missing license lines."""

import re

import sources

# name: what to use instead
BANNED = {
    "sprintf": "struct buf or snprintf",
    "vsprintf": "struct buf or vsnprintf",
    "strcpy": "struct buf, xstrdup or pool_strdup",
    "stpcpy": "struct buf",
    "strcat": "struct buf",
    "strncpy": "struct buf or pool_strndup",
    "strncat": "struct buf",
    "strtok": "strcspn",
    "strtok_r": "strcspn",
    "atoi": "parse_i64",
    "atol": "parse_i64",
    "atoll": "parse_i64",
    "atof": "parse_double",
    "sscanf": "parse_i64, clock_parse",
    "fscanf": "file_read and parse_i64",
    "gets": "file_read",
    "localtime": "cron/zone",
    "localtime_r": "cron/zone",
    "mktime": "civil_to_s or cron/zone",
    "timegm": "civil_to_s",
    "gmtime": "civil_from_s",
    "gmtime_r": "civil_from_s",
    "strptime": "clock_parse",
    "strftime": "clock_format_s",
    "tzset": "cron/zone",
    "signal": "sigaction or loop_on_signal",
    "system": "child.h",
    "popen": "child.h",
    "alloca": "xmalloc",
    "tmpnam": "mkostemp",
    "mktemp": "mkostemp",
    "rand": "random_bytes",
    "srand": "random_bytes",
}

# A test may wait for a helper program in the plain way.
FINE_IN_TESTS = {"system", "popen"}

C = {".c", ".h"}
CODE = C | {".lua", ".py", ".cmake", ".sh", "CMakeLists.txt"}
TEXT = CODE | {".md", ".yaml", ".yml", ".json", ".service", ".js", ".mjs", ".css", ".html", ".txt"}

CALL = re.compile(r"(?<![\w.>])(" + "|".join(BANNED) + r")[ \t]*\(")
TIME_ZONE = re.compile(r'\b(setenv|putenv|unsetenv)\s*\(\s*"TZ\b')
NOTE = re.compile(r"\b(" + "TO" + "DO|FIX" + "ME|XX" + r"X)\b")
LICENSE = "SPDX-License-Identifier: Apache-2.0"


def check_functions(path):
    code = sources.c_code(sources.read(path))
    for match in CALL.finditer(code):
        name = match.group(1)
        if name in FINE_IN_TESTS and path.startswith("tests/"):
            continue
        yield f"{path}:{sources.line_of(code, match.start())}: {name}(): use {BANNED[name]}"
    code = sources.c_code(sources.read(path), keep_strings=True)
    for match in TIME_ZONE.finditer(code):
        yield f"{path}:{sources.line_of(code, match.start())}: TZ is set: use cron/zone"


def check_blanks(path):
    for number, line in enumerate(sources.read(path).split("\n"), 1):
        if line != line.rstrip():
            yield f"{path}:{number}: blanks at the end"
        elif "\t" in line:
            yield f"{path}:{number}: a tab"


def check_notes(path):
    for number, line in enumerate(sources.read(path).split("\n"), 1):
        match = NOTE.search(line)
        if match is not None:
            yield f"{path}:{number}: {match.group(1)}: finish it, or open an issue"


def check_license(path):
    if LICENSE not in "\n".join(sources.read(path).split("\n")[:3]):
        yield f"{path}:1: '{LICENSE}' is missing from the first lines"


def scripts():
    """Files without a suffix that start with #!: contrib/up and its like."""
    return [
        path
        for path in sources.files(("contrib", ".ci"))
        if "." not in path.rsplit("/", 1)[-1] and sources.read(path).startswith("#!")
    ]


def problems():
    found = []
    for path in sources.files(("",), C):
        found += check_functions(path)
    for path in sources.files(("",), TEXT) + scripts():
        found += check_blanks(path)
    for path in sources.files(("",), CODE) + scripts():
        found += check_notes(path)
        found += check_license(path)
    return found


if __name__ == "__main__":
    sources.main(problems())
