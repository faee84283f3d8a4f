# SPDX-License-Identifier: Apache-2.0
"""Stands for pip in images that have kfp already: there is nothing to install, and nothing else to be had."""

import re
import sys

wanted = [re.split(r"[=<>!;\s]", word)[0] for word in sys.argv[1:] if not word.startswith("-")]
missing = set(wanted) - {"install", "kfp", "typing-extensions", "requests"}
if missing:
    sys.exit(f"ERROR: No matching distribution found for {', '.join(sorted(missing))}")
