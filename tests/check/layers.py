#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Includes point downwards only.

     5   api (and the daemon's main)
     4   webhooks                     scheduler.c
     3              trigger           exec
     2                     run                     own programs:  launch, api/cli
     1   cron   pipeline   artifact   kube   lease   cel  catalog (on pipeline)
     0   base

A file includes files of its own module and of lower layers, never of its own layer's other
modules. Top-level folders see of each other only what is in include/.
"""

import re

import sources

RANK = {
    "base": 0,
    "order": 0.5,  # the launcher's documents: a contract and no code
    "cron": 1,
    "pipeline": 1,
    "artifact": 1,
    "kube": 1,
    "lease": 1,
    "cel": 1.5,  # knows time zones
    "catalog": 1.5,  # keeps compiled pipelines
    "run": 2,
    "trigger": 3,
    "exec": 3,
    "webhooks": 4,
    "scheduler": 4,
    "api": 5,
}

# Programs of their own: what they are built from beside their own folder.
PROGRAMS = {
    "launch": {"base", "order"},
    "cli": {"base", "cron", "pipeline", "artifact", "run", "exec"},  # rondo compile is a run on paper
}

# Single files that a program is built from too: pure, and needing nothing but base.
SHARED_FILES = {
    ("cli", "webhooks/signature.h"),  # rondo listen verifies what the daemon signs
}

# include/scheduler/*.h: whose contract it is.
CONTRACTS = {
    "artifact.h": "artifact",
    "catalog.h": "catalog",
    "exec.h": "exec",
    "executor.h": "run",
    "lease.h": "lease",
    "order.h": "order",
    "plan.h": "pipeline",
    "pools.h": "run",
    "preview.h": "run",
    "private_redis.h": "scheduler",
    "recurring.h": "trigger",
    "run.h": "run",
    "schedule.h": "cron",
    "scheduler.h": "scheduler",
}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"]+)"', re.MULTILINE)


def module_of(path):
    """The module of a file, by its path below the root; None if it is in no layer."""
    parts = path.split("/")
    if parts[0] == "include":
        if parts[1] == "scheduler":
            return CONTRACTS.get("/".join(parts[2:]))
        return parts[1] if parts[1] in RANK else None
    if parts[0] == "scheduler":
        return "scheduler" if len(parts) == 2 else parts[1]
    if parts[0] == "api":
        return "cli" if parts[1] == "cli" else "api"
    if parts[:2] == ["webhooks", "cel"]:
        return "cel"
    return "webhooks" if parts[0] == "webhooks" else None


def top_of(path):
    return path.split("/")[0]


def resolve(includer, name):
    """The file an include names: beside the includer, or below include/, scheduler/, the root."""
    beside = includer.rsplit("/", 1)[0] + "/" + name
    for candidate in (beside, "include/" + name, "scheduler/" + name, name):
        if (sources.ROOT / candidate).is_file():
            return candidate
    return None


def is_allowed(here, there):
    if here == there:
        return True
    if here in PROGRAMS:
        return there in PROGRAMS[here]
    return there in RANK and RANK[there] < RANK[here]


def check_include(path, here, name):
    """A complaint, or None."""
    generated = re.fullmatch(r"(\w+)_scripts\.h", name)
    if generated:
        module = generated.group(1)
        return None if module == here else f"{here} includes the scripts of {module}"
    target = resolve(path, name)
    if target is None:
        return f'"{name}" is not in the tree'
    if (here, target) in SHARED_FILES:
        return None
    there = module_of(target)
    if there is None or (there not in RANK and there not in PROGRAMS):
        return f'"{name}" belongs to no layer; tell tests/check/layers.py whose it is'
    if not is_allowed(here, there):
        return f'{here} includes "{name}" of {there}, which is not below it'
    if top_of(target) not in (top_of(path), "include"):
        if top_of(path) != "include" and there != "base":
            return f'"{name}" is internal to {top_of(target)}/; share it through include/'
    return None


def problems():
    found = []
    for path in sources.files(("include", "scheduler", "webhooks", "api"), {".c", ".h"}):
        here = module_of(path)
        if here is None or (here not in RANK and here not in PROGRAMS):
            found.append(f"{path}:1: belongs to no layer; tell tests/check/layers.py")
            continue
        text = sources.read(path)
        code = sources.c_code(text, keep_strings=True)
        for match in INCLUDE.finditer(code):
            complaint = check_include(path, here, match.group(1))
            if complaint is not None:
                found.append(f"{path}:{sources.line_of(code, match.start(1))}: {complaint}")
    return found


if __name__ == "__main__":
    sources.main(problems())
