# SPDX-License-Identifier: Apache-2.0
"""The model of lease, claim, birth, hatch, save and end (tests/model), searched exhaustively by spin:
as it is nothing goes wrong, and each rule that is broken on purpose is missed."""

import pathlib
import re
import shutil
import subprocess

import pytest

MODEL = pathlib.Path(__file__).resolve().parents[1] / "model" / "ticks.pml"

SOUND = [
    {},  # a crash, a lost answer or a late request, and a take-over from one that lives
    {"WAITING": 0, "TAKEOVERS": 0},
    {"TICKS": 3, "TAKEOVERS": 0},
    {"TICKS": 3, "LOSSES": 0},
    {"LIMIT": 2, "CRASHES": 0},
    {"RELEASES": 1, "TAKEOVERS": 0},
    {"READERS": 1, "LOSSES": 0},
    {"RRS": 2, "LOSSES": 0, "TAKEOVERS": 0},
]

BROKEN = {
    "FENCE": {},                # the epoch is not compared
    "EPOCH": {},                # it does not grow with a take-over
    "LIMIT": {},                # the daemon counts active runs, not the script
    "COMPARE": {},              # progress is written without comparing it
    "HATCH": {},                # the birth is deleted before the run is written
    "SAVE": {},                 # an end that is sent again counts again
    "WAKE": {},                 # the end of a run wakes nobody who waits for a place
    "LEDGER": {"WAITING": 0},   # a tick is passed over without a word
    "BIRTHS": {},               # nobody looks for births whose claimer has died
}


def search(folder, defines, cycles=False):
    """What spin's verifier prints."""
    assert shutil.which("spin"), "spin is missing: contrib/packages check installs it"
    shutil.copy(MODEL, folder / "ticks.pml")
    words = [f"-D{name}" if value is None else f"-D{name}={value}" for name, value in defines.items()]
    for command in (["spin", *words, "-a", "ticks.pml"],
                    ["cc", "-w", "-O0" if defines else "-O1", "-DCOLLAPSE", "-DNP" if cycles else "-DSAFETY", "-o", "pan", "pan.c"]):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    done = subprocess.run(["./pan", "-m100000", "-w20", *(["-l"] if cycles else [])], cwd=folder,
                          capture_output=True, text=True, check=True, timeout=300)
    return done.stdout


def trail(folder, defines):
    words = [f"-D{name}={value}" for name, value in defines.items()]
    return subprocess.run(["spin", *words, "-t", "-p", "ticks.pml"], cwd=folder, capture_output=True,
                          text=True, check=False).stdout[-8000:]


def check_sound(text, folder, defines):
    assert "errors: 0" in text, text + trail(folder, defines)
    assert "max search depth too small" not in text and "Search not completed" not in text, text
    print(defines, re.search(r"\d+ states, stored", text).group())


@pytest.mark.parametrize("defines", SOUND, ids=lambda one: "-".join(f"{k}{v}" for k, v in one.items()) or "all")
def test_nothing_goes_wrong(tmp_path, defines):
    check_sound(search(tmp_path, defines), tmp_path, defines)


def test_every_way_ends(tmp_path):
    """There is no circle, so where nothing more can be done is where every way leads."""
    defines = {"TAKEOVERS": 0}
    check_sound(search(tmp_path, defines, cycles=True), tmp_path, defines)


@pytest.mark.parametrize("rule", BROKEN)
def test_each_rule_is_needed(tmp_path, rule):
    text = search(tmp_path, {**BROKEN[rule], f"BREAK_{rule}": None})
    assert "assertion violated" in text, text
