#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The yardstick for loops: kfp.local's SubprocessRunner, which runs only lightweight Python components.

usage: bare_local.py FOLDER ITERATIONS AT_ONCE   prints seconds; the compiled pipeline is left in
FOLDER/loop.yaml, for others to run the same
"""

import contextlib
import os
import sys
import time
import warnings

warnings.simplefilter("ignore")
from kfp import compiler, dsl, local  # noqa: E402


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def each(item: int) -> int:
    return item


def main():
    folder, iterations, at_once = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])

    @dsl.pipeline(name="loop")
    def loop():
        with dsl.ParallelFor(list(range(iterations)), parallelism=at_once) as item:
            each(item=item)

    compiler.Compiler().compile(loop, f"{folder}/loop.yaml")
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=f"{folder}/root", raise_on_error=True)
    with open(os.devnull, "w", encoding="utf-8") as quiet, contextlib.redirect_stdout(quiet):
        start = time.perf_counter()
        loop()
        took = time.perf_counter() - start
    print(f"{took:.3f}")


if __name__ == "__main__":
    main()
