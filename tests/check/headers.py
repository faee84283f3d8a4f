#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each header compiles alone, without a warning."""

import os
import shlex
import subprocess
from concurrent.futures import ThreadPoolExecutor

import sources

LIBRARIES = [
    "libevent",
    "libevent_openssl",
    "yaml-0.1",
    "hiredis",
    "libcurl",
    "jansson",
    "openssl",
    "libarchive",
    "libical",
    "libpcre2-8",
    "cmocka",
]


def flags():
    got = subprocess.run(
        ["pkg-config", "--cflags", *LIBRARIES], check=True, capture_output=True, text=True
    )
    ours = "-std=gnu17 -D_GNU_SOURCE -DTESTING -Iinclude -Ischeduler -I. -Wall -Wextra -Werror"
    return ours.split() + shlex.split(got.stdout)


def check_header(path, cflags):
    compiler = shlex.split(os.environ.get("CC", "gcc"))
    got = subprocess.run(
        [*compiler, "-fsyntax-only", *cflags, "-include", path, "-x", "c", os.devnull],
        cwd=sources.ROOT,
        capture_output=True,
        text=True,
    )
    if got.returncode == 0:
        return []
    errors = [line for line in got.stderr.split("\n") if ": error:" in line]
    return errors or [f"{path}:1: does not compile alone: {got.stderr.strip()}"]


def problems():
    cflags = flags()
    # Headers of single unit tests are left out: they may need the generated *_scripts.h.
    folders = ("include", "scheduler", "webhooks", "api", "tests/support")
    paths = sources.files(folders, {".h"})
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        results = pool.map(lambda path: check_header(path, cflags), paths)
        return [problem for result in results for problem in result]


if __name__ == "__main__":
    sources.main(problems())
