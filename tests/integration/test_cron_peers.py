# SPDX-License-Identifier: Apache-2.0
"""Schedules against croner and croniter, a few; tests/differential/run does as many as you like."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from rondo_testing import bin_dir

TESTS = Path(__file__).resolve().parents[1]


def test_every_disagreement_is_explained():
    if shutil.which("node") is None or not (TESTS / "node/node_modules/croner").exists():
        pytest.skip("croner is not there: npm ci in tests/node")
    if importlib.util.find_spec("croniter") is None:
        pytest.skip("croniter is not there: pip install -r tests/requirements.txt")
    done = subprocess.run([sys.executable, TESTS / "differential/run", "--cases", "1000", "--seed", "11",
                           "--driver", bin_dir() / "cron_driver"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
