# SPDX-License-Identifier: Apache-2.0
"""The checks as tests, and tests of the checks: each must see what it is there to see."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

import banned  # noqa: E402
import documented  # noqa: E402
import faults  # noqa: E402
import headers  # noqa: E402
import layers  # noqa: E402
import sources  # noqa: E402


def none(problems):
    assert not problems, "\n" + "\n".join(problems)


def test_includes_point_downwards():
    none(layers.problems())


def test_nothing_banned():
    none(banned.problems())


def test_headers_compile_alone():
    none(headers.problems())


def test_fault_points_are_registered():
    none(faults.problems())


def test_settings_and_keys_are_documented():
    none(documented.problems())


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A root of its own; tree(path, text) puts a file there."""
    monkeypatch.setattr(sources, "ROOT", tmp_path)

    def put(path, text):
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    put("include/base/err.h", "")
    put("include/scheduler/run.h", "")
    put("include/scheduler/exec.h", "")
    put("include/scheduler/order.h", "")
    put("include/webhooks/webhooks.h", "")
    put("scheduler/cron/cron.h", "")
    put("scheduler/kube/kube.h", "")
    put("scheduler/run/engine.h", "")
    return put


@pytest.mark.parametrize(
    "path, include, good",
    [
        ("scheduler/run/a.c", "base/err.h", True),
        ("scheduler/run/a.c", "run/engine.h", True),
        ("scheduler/run/a.c", "engine.h", True),
        ("scheduler/run/a.c", "scheduler/exec.h", False),
        ("scheduler/run/a.c", "webhooks/webhooks.h", False),
        ("scheduler/run/a.c", "run_scripts.h", True),
        ("scheduler/run/a.c", "trigger_scripts.h", False),
        ("scheduler/run/a.c", "run/missing.h", False),
        ("scheduler/cron/a.c", "kube/kube.h", False),
        ("scheduler/trigger/a.c", "cron/cron.h", True),
        ("scheduler/trigger/a.c", "scheduler/exec.h", False),
        ("scheduler/base/a.c", "cron/cron.h", False),
        ("scheduler/launch/a.c", "scheduler/order.h", True),
        ("scheduler/launch/a.c", "scheduler/run.h", False),
        ("scheduler/a.c", "webhooks/webhooks.h", False),
        ("webhooks/a.c", "scheduler/run.h", True),
        ("webhooks/a.c", "run/engine.h", False),
        ("api/a.c", "webhooks/webhooks.h", True),
        ("api/a.c", "run/engine.h", False),
        ("api/cli/a.c", "cron/cron.h", False),
        ("api/cli/a.c", "scheduler/run.h", True),
        ("include/base/b.h", "scheduler/run.h", False),
        ("scheduler/newcomer/a.c", "base/err.h", False),
    ],
)
def test_layers_sees(tree, path, include, good):
    tree(path, f'/* #include "x" */\n#include "{include}"\n')
    found = layers.problems()
    assert (found == []) == good
    assert good or found[0].startswith(f"{path}:")


@pytest.mark.parametrize(
    "text, count",
    [
        ("x = atoi(s);", 1),
        ("sprintf (b, f);", 1),
        ("snprintf(b, n, f);", 0),
        ("/* strcpy(a, b) */", 0),
        ('puts("gets(");', 0),
        ("p->signal(1);", 0),
        ("signal(SIGPIPE, SIG_IGN);", 1),
        ('setenv("TZ", z, 1);', 1),
        ('setenv("TZDIR", z, 1);', 0),
        ("a;  ", 1),
        ("\ta;", 1),
        ("/* TO" "DO: later */", 1),
        ("char c = '\"'; atoi(s); /* \" */", 1),
    ],
)
def test_banned_sees(tree, text, count):
    tree("api/a.c", f"/* {banned.LICENSE} */\n{text}\n")
    for header in sources.files(("",), {".h"}):
        tree(header, f"/* {banned.LICENSE} */\n")
    found = banned.problems()
    assert len(found) == count, found
    assert all(problem.startswith("api/a.c:2: ") for problem in found)


def test_banned_sees_a_missing_license(tree):
    tree("api/a.c", "int a;\n")
    assert "api/a.c:1: " in "\n".join(banned.problems())


OPTIONS = """{"max-steps", OPTION_INT, AT(max_steps), "16", 1, 9},
{"cache", OPTION_BOOL, AT(cache), "true", 0, 0}, {"redis", OPTION_SECRET, AT(redis), NULL, 0, 0}"""


@pytest.mark.parametrize(
    "cells, expected",
    [
        ("`max-steps` (16), `cache` (on), `redis`", None),
        ("`max-steps` (16), `cache` (on)", "setting 'redis' is in no table"),
        ("`max-steps` (17), `cache` (on), `redis`", "the default of 'max-steps' is 16, not 17"),
        ("`max-steps` (16), `cache`, `redis`", "the default of 'cache' is on, not none"),
        ("`max-steps` (16), `cache` (on), `redis`, `other`", "there is no setting 'other'"),
    ],
)
def test_documented_sees_settings(tree, cells, expected):
    tree(documented.SETTINGS, OPTIONS)
    tree(documented.OPERATIONS, f"| setting | |\n|---|---|\n| {cells} | text |\n\n| `elsewhere` | |\n")
    found = list(documented.setting_problems())
    assert len(found) == (expected is not None), found
    assert expected is None or expected in found[0]


@pytest.mark.parametrize(
    "path, text, expected",
    [
        ("scheduler/a.c", 'store_key(args, "%srun:%s:tasks", p, id);', None),
        ("scheduler/a.c", 'store_key(args, "%srun:%s:notes", p, id);', "key 'run:*:notes' is in no"),
        ("scheduler/a.c", 'store_cmd(s, done, o, "GET %snew", p);', "key 'new' is in no"),
        ("webhooks/a.lua", "redis.call('DEL', p .. 'run:' .. id .. ':lock')", "key 'run:*:lock' is in no"),
        ("webhooks/a.lua", "redis.call('DEL', p .. 'run:' .. id .. ':' .. which)", None),
    ],
)
def test_documented_sees_keys(tree, path, text, expected):
    tree(documented.STORAGE, "| key | kind | what |\n|---|---|---|\n| `run:<id>:tasks` | hash | x |\n")
    tree("scheduler/b.c", 'store_key(args, "%srun:%s:tasks", p, id);')
    tree(path, text)
    found = list(documented.key_problems())
    assert len(found) == (expected is not None), found
    assert expected is None or expected in found[0]


def test_documented_sees_keys_of_nobody(tree):
    tree(documented.STORAGE, "| key | kind | what |\n|---|---|---|\n| `gone` | hash | x |\n")
    assert "nobody writes or reads a key 'gone'" in "".join(documented.key_problems())


def test_headers_sees(tree):
    tree("include/base/err.h", "struct err *x(int unknown_t y);\n")
    tree("include/base/ok.h", "#ifndef A\n#define A\n#include <stddef.h>\nsize_t f(void);\n#endif\n")
    found = headers.problems()
    assert found and all(problem.startswith("./include/base/err.h:1:") or
                         problem.startswith("include/base/err.h:1:") for problem in found)


def test_faults_sees(tree):
    tree("scheduler/base/fault.c", 'static x names[] = {\n    "b",\n    "a",\n    NULL,\n};\n')
    tree("scheduler/run/a.c", 'FAULT("a");\nif (FAULT_FAILS("c")) {}\n/* FAULT("b") */\n')
    text = "\n".join(faults.problems())
    assert "scheduler/run/a.c:2: fault point 'c'" in text
    assert "fault.c:2: 'b' is used nowhere" in text
    assert "fault.c:3: 'a' must come before 'b'" in text
