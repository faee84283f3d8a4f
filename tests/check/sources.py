# SPDX-License-Identifier: Apache-2.0
"""What the checks share: finding our files, hiding comments and strings, reporting."""

import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Not ours to format, or made to be odd.
SKIPPED_NAMES = {".git", ".venv", "build", "node_modules", "__pycache__", ".pytest_cache", "rondo-data"}
SKIPPED_PATHS = {"tests/data", "tests/fuzz/corpus"}


def files(folders=("",), suffixes=None):
    """Paths below the root, as text with '/', sorted; suffixes None means every file."""
    found = []
    for folder in folders:
        for at, names, leaves in os.walk(ROOT / folder):
            here = Path(at).relative_to(ROOT)
            names[:] = [
                n
                for n in names
                if n not in SKIPPED_NAMES and (here / n).as_posix() not in SKIPPED_PATHS
            ]
            for leaf in leaves:
                path = here / leaf
                if suffixes is None or path.suffix in suffixes or leaf in suffixes:
                    found.append(path.as_posix())
    return sorted(found)


def read(path):
    return (ROOT / path).read_text(encoding="utf-8", errors="replace")


_TOKEN = re.compile(
    r"""//[^\n]* | /\*.*?\*/ | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*'""",
    re.VERBOSE | re.DOTALL,
)


def c_code(text, keep_strings=False):
    """C text with comments (and strings) blanked out; line numbers stay."""

    def blank(match):
        token = match.group(0)
        if keep_strings and token[0] in "\"'":
            return token
        inner = re.sub(r"[^\n]", " ", token)
        return token[0] + inner[1:-1] + token[-1] if token[0] in "\"'" else inner

    return _TOKEN.sub(blank, text)


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def main(problems):
    """The end of each script: print what was found, exit 1 if anything was."""
    for problem in problems:
        print(problem)
    sys.exit(1 if problems else 0)
