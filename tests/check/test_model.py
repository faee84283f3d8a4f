# SPDX-License-Identifier: Apache-2.0
"""The model of lease, claim, claim ahead, birth, hatch, save and end (tests/model), searched exhaustively by
spin: as it is nothing goes wrong, and each rule that is broken on purpose is missed."""

import pathlib
import re
import shutil
import subprocess

import pytest

MODEL = pathlib.Path(__file__).resolve().parents[1] / "model"

SOUND = [
    {},  # a crash, a lost answer or a late request, and a take-over from one that lives
    {"WAITING": 0, "TAKEOVERS": 0},
    {"TICKS": 3, "TAKEOVERS": 0},
    {"TICKS": 3, "LOSSES": 0},
    {"LIMIT": 2, "CRASHES": 0},
    {"RELEASES": 1, "TAKEOVERS": 0},
    {"READERS": 1, "LOSSES": 0},
    {"RRS": 2, "LOSSES": 0, "TAKEOVERS": 0},
    # Ticks have their time and are claimed ahead; and there is a change.
    {"AHEAD": 1, "TICKS": 1, "CRASHES": 0, "SKEWS": 1},
    {"AHEAD": 1, "TICKS": 1, "TAKEOVERS": 0, "ASKS": 1},
    {"AHEAD": 1, "TICKS": 1, "TAKEOVERS": 0, "CHANGES": 2},
    {"AHEAD": 1, "TICKS": 1, "TAKEOVERS": 0, "READERS": 1},
    {"AHEAD": 1, "TICKS": 1, "RELEASES": 1, "CRASHES": 0, "TAKEOVERS": 0},
    {"AHEAD": 1, "TAKEOVERS": 0},
    {"AHEAD": 1, "LOSSES": 0, "CRASHES": 0, "LIMIT": 2},
    {"AHEAD": 1, "LOSSES": 0, "CRASHES": 0, "WAITING": 0},
    {"AHEAD": 1, "LOSSES": 0, "CRASHES": 0, "ASKS": 1},
    {"AHEAD": 1, "TICKS": 3, "TAKEOVERS": 0, "CRASHES": 0},
    {"AHEAD": 1, "TICKS": 1, "RRS": 2, "TAKEOVERS": 0, "CRASHES": 0},
    {"AHEAD": 1, "TICKS": 1, "RRS": 2, "LOSSES": 0, "TAKEOVERS": 0},
    # Groups that are found late.
    {"AHEAD": 1, "TICKS": 1, "TAKEOVERS": 0, "ABSENCES": 1},
    {"AHEAD": 1, "LOSSES": 0, "TAKEOVERS": 0, "ABSENCES": 2},
    {"AHEAD": 1, "CRASHES": 0, "TAKEOVERS": 0, "ABSENCES": 2},
]

ONE_AHEAD = {"AHEAD": 1, "TICKS": 1, "CRASHES": 0, "LOSSES": 0, "TAKEOVERS": 0}
# A daemon claims before it has looked for groups.
UNLOOKED = {**ONE_AHEAD, "TICKS": 2, "RELEASES": 1, "LIMIT": 2, "BREAK_LOOK": None}

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
    # Claiming ahead:
    "HIDE": ONE_AHEAD,          # the run is born at once
    "CLOCK": {**ONE_AHEAD, "SKEWS": 1},  # a group happens when the daemon says so
    "REVEAL": {**ONE_AHEAD, "TAKEOVERS": 1},  # the epoch is not compared when it happens
    "REPEAT": {**ONE_AHEAD, "LOSSES": 1},  # it happens again when the answer was lost
    "NOTE": {**ONE_AHEAD, "LOSSES": 1},  # a claim without an answer is taken for one that was not done
    "LATE": {**ONE_AHEAD, "LOSSES": 1},  # a group may begin after its instant has come
    "GROUPS": {**ONE_AHEAD, "CRASHES": 1},  # nobody looks for groups whose claimer has died
    "TAKE": ONE_AHEAD,          # a change leaves what was claimed ahead as it is
    "ASK": {**ONE_AHEAD, "ASKS": 1},  # a run that is asked for leaves the tick its place
    "HELD": {**ONE_AHEAD, "TICKS": 2, "LIMIT": 2},  # the next tick is claimed before the last has happened
    "LOOK": UNLOOKED,           # ... by one who has not looked for groups yet
    "UNDO": {**UNLOOKED, "DISABLES": 0},  # a tick is taken back though the next one was claimed since
}


def words(defines):
    return [f"-D{name}" if value is None else f"-D{name}={value}" for name, value in defines.items()]


def search(folder, defines, cycles=False):
    """What spin's verifier prints."""
    assert shutil.which("spin"), "spin is missing: contrib/packages check installs it"
    for part in MODEL.glob("*.pml"):
        shutil.copy(part, folder)
    for command in (["spin", *words(defines), "-a", "ticks.pml"],
                    ["cc", "-w", "-O0" if defines else "-O1", "-DCOLLAPSE", "-DNP" if cycles else "-DSAFETY", "-o", "pan", "pan.c"]):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    done = subprocess.run(["./pan", "-m100000", "-w20", *(["-l"] if cycles else [])], cwd=folder,
                          capture_output=True, text=True, check=True, timeout=300)
    return done.stdout


def trail(folder, defines):
    return subprocess.run(["spin", *words(defines), "-t", "-p", "ticks.pml"], cwd=folder, capture_output=True,
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


def test_ahead_every_way_ends(tmp_path):
    defines = {"AHEAD": 1, "TAKEOVERS": 0, "CRASHES": 0, "SKEWS": 1}
    check_sound(search(tmp_path, defines, cycles=True), tmp_path, defines)


def test_undo_is_compared(tmp_path):
    """Whoever has not looked may claim the next tick: then an edit leaves the hidden one alone."""
    defines = {**UNLOOKED, "DISABLES": 0}
    check_sound(search(tmp_path, defines), tmp_path, defines)


@pytest.mark.parametrize("rule", BROKEN)
def test_each_rule_is_needed(tmp_path, rule):
    text = search(tmp_path, {**BROKEN[rule], f"BREAK_{rule}": None})
    assert "assertion violated" in text, text
