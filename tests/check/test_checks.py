# SPDX-License-Identifier: Apache-2.0
"""The checks as tests, and tests of the checks: each must see what it is there to see."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

import banned  # noqa: E402
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
