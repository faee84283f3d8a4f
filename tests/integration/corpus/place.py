# SPDX-License-Identifier: Apache-2.0
"""Where the corpus' programs run: packages, and stand-ins for what its images have."""

import contextlib
import fcntl
import importlib.metadata
import os
import pathlib
import pwd
import re
import shutil
import subprocess
import sys

import pytest

from rondo_testing import SHARED

CORPUS = SHARED / "kfp-corpus"
PROGRAMS = pathlib.Path(__file__).parent / "programs"
HOME = pathlib.Path(pwd.getpwuid(os.getuid()).pw_dir)  # some tests change the variable
CACHE = pathlib.Path(os.environ.get("RONDO_TEST_CACHE", HOME / ".cache" / "rondo-tests"))
ALL = os.environ.get("RONDO_TEST_CORPUS") == "all"
OTHERS = ["requests", "dill==0.3.7"]


def files(kind):
    """Names of the corpus' files below valid or invalid; none when it is not here."""
    folder = CORPUS / kind
    return sorted(str(p.relative_to(CORPUS)) for p in folder.rglob("*") if p.is_file()) if folder.exists() else []


@contextlib.contextmanager
def locked(name):
    """Workers of pytest-xdist share what is in CACHE."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / f"{name}.lock", "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def pip(*args):
    environment = {k: v for k, v in os.environ.items() if k not in ("PIP_NO_INDEX",)}
    done = subprocess.run([sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", *args], env=environment,
                          capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stderr.strip()[-500:]


def kfp_versions():
    """Of the corpus, and the one that the tests compile with."""
    found = {importlib.metadata.version("kfp")}
    for name in files("valid"):
        found |= set(re.findall(r"'kfp==([^']+)'", (CORPUS / name).read_text()))
    return sorted(found)


def wheels(packages=()):
    """A folder with every kfp that the corpus installs, and few others: pip sees nothing else, so that
    what is missing here is missing everywhere, and nobody waits for the network but once."""
    folder = CACHE / "wheels"
    with locked("wheels"):
        folder.mkdir(exist_ok=True)
        for wanted in [f"kfp=={v}" for v in kfp_versions()] + OTHERS + list(packages):
            mark = folder / ("." + re.sub(r"\W", "_", wanted))
            if not mark.exists():
                why = pip("wheel", "--wheel-dir", str(folder), *(["--no-deps"] if wanted.startswith("kfp") else []), wanted)
                if why:
                    pytest.skip(f"no {wanted} to be had: {why}")
                mark.touch()
    return folder


def site(version):
    """A folder with this kfp unpacked, as an image has it."""
    folder = CACHE / f"site-{version}"
    source = wheels()
    with locked("site"):
        if not folder.exists():
            half = CACHE / f"site-{version}.half"
            shutil.rmtree(half, ignore_errors=True)
            why = pip("install", "--no-index", "--find-links", str(source), "--no-deps", "--target", str(half), f"kfp=={version}")
            assert not why, why
            half.rename(folder)
    return folder


def programs(folder):
    """A folder for PATH. sh is bash: some images' sh knows [[ ]]."""
    folder.mkdir(parents=True)
    for file in PROGRAMS.iterdir():
        if file.is_file():
            (folder / file.name).symlink_to(file)
    (folder / "sh").symlink_to(shutil.which("bash"))
    return folder


def environment(folder, packages=()):
    """What the daemon, and through it local steps, get."""
    python = pathlib.Path(sys._base_executable).resolve().parent  # not a wrapper that picks a version
    return {"PATH": f"{programs(folder)}:{python}:{os.environ['PATH']}", "PYTHONPATH": str(PROGRAMS / "python"), "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(wheels(packages)), "PIP_CONFIG_FILE": os.devnull}


def share_environments(data):
    """The daemon finds the Python environments that earlier ones have made."""
    (CACHE / "venvs").mkdir(parents=True, exist_ok=True)
    (data / "venvs").symlink_to(CACHE / "venvs")
