#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every setting is in operations.md with its default, every Redis key in storage.md."""

import re

import sources

SETTINGS = "api/settings.c"
OPERATIONS = "contrib/docs/operations.md"
STORAGE = "contrib/docs/storage.md"

OPTION = re.compile(r'\{"([a-z-]+)", (OPTION_[A-Z]+), AT\(\w+\),\s*("[^"]*"|NULL)')
DOCUMENTED = re.compile(r"`([a-z-]+)`(?: \(([^)]*)\))?")
# The first text of these calls is a key, or a command whose first word is followed by one.
KEY_IN_C = re.compile(r'\b(?:(?:store_key|store_cmd)\s*\([^;"]*|xasprintf\()"(?:[A-Z]+ )?%s([a-z](?:[a-z_:]|%(?:s|d|lld))*)[" ]')
KEY_IN_LUA = re.compile(r"\b(?:p|P|ARGV\[\d+\]|KEYS\[\d+\]) \.\. '([a-z_]+:?)'(?: \.\. [\w.\[\]]+ \.\. '(:[a-z_]*)')?")
SUFFIX_IN_LUA = re.compile(r"\b(rr|pipeline) \.\. '(:[a-z_]+)'")


def rows(path, header):
    """(line, first cell) of the tables whose header begins so."""
    is_inside = False
    for number, line in enumerate(sources.read(path).split("\n"), 1):
        if line.startswith(f"| {header} |"):
            is_inside = True
        elif not line.startswith("|"):
            is_inside = False
        elif is_inside and not line.startswith("|--"):
            yield number, line.split("|")[1]


# -- settings --


def settings():
    """name -> (line, default as the documents write it; None for none)"""
    text = sources.read(SETTINGS)
    found = {}
    for match in OPTION.finditer(text):
        name, kind, default = match.groups()
        default = None if default == "NULL" else default[1:-1]
        if kind == "OPTION_BOOL":
            default = "on" if default == "true" else "off"
        found[name] = (sources.line_of(text, match.start()), default)
    return found


def setting_problems():
    known, seen = settings(), set()
    for line, cell in rows(OPERATIONS, "setting"):
        for name, default in DOCUMENTED.findall(cell):
            seen.add(name)
            if name not in known:
                yield f"{OPERATIONS}:{line}: there is no setting '{name}'"
            elif default != (known[name][1] or ""):
                yield f"{OPERATIONS}:{line}: the default of '{name}' is {known[name][1]}, not {default or 'none'}"
    for name, (line, _) in known.items():
        if name not in seen:
            yield f"{SETTINGS}:{line}: setting '{name}' is in no table of {OPERATIONS}"


# -- keys --


def family(key):
    """Of names and prefixes of names: run:%s:tasks, run:<id>:tasks -> run:*:tasks, import: -> import:*"""
    key = re.sub(r"%[a-z]+|<[^>]*>", "*", key)
    return key + "*" if key.endswith(":") else key


def documented_keys():
    """family -> line"""
    return {family(key): line for line, cell in rows(STORAGE, "key") for key in re.findall(r"`([^`]+)`", cell)}


def used_keys():
    """family -> file:line of one use"""
    found = {}
    for path in sources.files(("scheduler", "webhooks", "api"), {".c"}):
        code = sources.c_code(sources.read(path), keep_strings=True)
        for match in KEY_IN_C.finditer(code):
            found[family(match.group(1))] = f"{path}:{sources.line_of(code, match.start())}"
    for path in sources.files(("scheduler", "webhooks", "api"), {".lua", ".in"}):
        text = sources.read(path)
        keys = [(match, match.group(1) + ("%s" + match.group(2) if match.group(2) else ""))
                for match in KEY_IN_LUA.finditer(text)]
        keys += [(match, f"{match.group(1)}:%s{match.group(2)}") for match in SUFFIX_IN_LUA.finditer(text)]
        for match, key in keys:
            if not key.endswith("%s:"):  # else the rest is a variable
                found[family(key)] = f"{path}:{sources.line_of(text, match.start())}"
    return found


def key_problems():
    known, used = documented_keys(), used_keys()
    for key, at in used.items():
        if key not in known:
            yield f"{at}: key '{key}' is in no table of {STORAGE}"
    for key, line in known.items():
        if key not in used:
            yield f"{STORAGE}:{line}: nobody writes or reads a key '{key}'"


def problems():
    return [*setting_problems(), *key_problems()]


if __name__ == "__main__":
    sources.main(problems())
