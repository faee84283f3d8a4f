# SPDX-License-Identifier: Apache-2.0
"""Patterns of Git triggers beside picomatch, where the two dialects mean the same: '*', '**' as a whole
folder, '[...]' and characters. '?' and '+' mean something else there; they have their table of cases."""

import json
import os
import random
import shutil
import subprocess

import pytest

from rondo_testing import ROOT, bin_dir

NODE = ROOT / "tests" / "node"
NAMES_EACH = 40
CASES = int(os.environ.get("RONDO_PATTERN_CASES", 100_000))
LETTERS = "abc1-_"


def segment(rng):
    return "".join(rng.choice(LETTERS) for _ in range(rng.randint(1, 4)))


def pattern_segment(rng):
    kind = rng.random()
    if kind < 0.2:
        return "**"
    if kind < 0.4:
        return segment(rng)
    parts = []
    for _ in range(rng.randint(1, 4)):
        one = rng.random()
        # Two stars side by side would be "**" within a name, of which picomatch makes one.
        parts.append("*" if one < 0.35 and (not parts or parts[-1] != "*") else
                     rng.choice(["[ab]", "[a-c]", "[1a]", "[0-9]"]) if one < 0.55 else segment(rng))
    return "".join(parts)


def cases(rng):
    for _ in range(CASES // NAMES_EACH):
        parts = [pattern_segment(rng) for _ in range(rng.randint(1, 5))]
        names = set()
        while len(names) < NAMES_EACH:
            if rng.random() < 0.6:  # one that has a chance: the pattern with its wild parts filled in
                made = []
                for part in parts:
                    if part == "**":
                        made += [segment(rng) for _ in range(rng.randint(0, 2))]
                    else:
                        for wild in ("[ab]", "[a-c]", "[1a]", "[0-9]"):
                            part = part.replace(wild, rng.choice("ab1"))
                        made.append(part.replace("*", rng.choice(["", segment(rng)])) or segment(rng))
                name = "/".join(made) or segment(rng)
            else:
                name = "/".join(segment(rng) for _ in range(rng.randint(1, 5)))
            names.add(name)
        # "a/**" also matches "a" there, and "a/" here: nothing that git or a forge would send.
        yield {"pattern": "/".join(parts), "names": sorted(names)}


def answers(command, lines, **kwargs):
    done = subprocess.run(command, input=lines, capture_output=True, text=True, check=True, **kwargs)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_beside_picomatch():
    if shutil.which("node") is None or not (NODE / "node_modules" / "picomatch").exists():
        pytest.skip("node or its modules are missing: run npm ci in tests/node")
    asked = list(cases(random.Random(7)))
    lines = "\n".join(map(json.dumps, asked)) + "\n"
    ours = answers([str(bin_dir() / "pattern_driver")], lines)
    theirs = answers(["node", "picomatch.mjs"], lines, cwd=NODE)
    assert len(ours) == len(theirs) == len(asked)
    matched = 0
    for case, here, there in zip(asked, ours, theirs):
        assert isinstance(here, list), (case["pattern"], here)
        matched += sum(here)
        wrong = [(n, a, b) for n, a, b in zip(case["names"], here, there) if a != b]
        assert not wrong, (case["pattern"], wrong[:5])
    assert matched > CASES // 10  # else the names have nothing to do with the patterns
