#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The registry of fault points and their uses agree: the kill sweep goes by the registry."""

import re

import sources

REGISTRY = "scheduler/base/fault.c"
USE = re.compile(r'\b(?:FAULT|FAULT_FAILS|fault_hit)\s*\(\s*"([^"]+)"')


def registered():
    """name -> line"""
    text = sources.read(REGISTRY)
    start = text.index("names[] = {")
    block = text[start : text.index("};", start)]
    first = sources.line_of(text, start)
    return {
        match.group(1): first + block.count("\n", 0, match.start())
        for match in re.finditer(r'"([^"]+)"', block)
    }


def used():
    """name -> file:line of one use"""
    found = {}
    for path in sources.files(("scheduler", "webhooks", "api"), {".c", ".h"}):
        code = sources.c_code(sources.read(path), keep_strings=True)
        for match in USE.finditer(code):
            found[match.group(1)] = f"{path}:{sources.line_of(code, match.start())}"
    return found


def problems():
    names, uses = registered(), used()
    found = [
        f"{at}: fault point '{name}' is not in {REGISTRY}"
        for name, at in uses.items()
        if name not in names
    ]
    found += [
        f"{REGISTRY}:{line}: '{name}' is used nowhere"
        for name, line in names.items()
        if name not in uses
    ]
    order = list(names)
    found += [
        f"{REGISTRY}:{names[b]}: '{b}' must come before '{a}'"
        for a, b in zip(order, order[1:])
        if b < a
    ]
    return found


if __name__ == "__main__":
    sources.main(problems())
