# SPDX-License-Identifier: Apache-2.0
"""Components for pipelines written and compiled in tests, and carrying them out as local processes.

Most components are shell commands: a Python one costs a tenth of a second more. What a component
was given can be read in its task's record, what it did in its outputs.
"""

import pathlib
import tempfile
from typing import Dict, List

import pytest
import yaml

kfp = pytest.importorskip("kfp")
from kfp import compiler, dsl  # noqa: E402

from corpus import place  # noqa: E402
from corpus.happened import Happened  # noqa: E402
from rondo_testing import wait_for  # noqa: E402

IMAGE = "alpine:3.20"


def shell(script, *args):
    """$1 and so on are the args; folders of outputs are there."""
    return dsl.ContainerSpec(image=IMAGE, command=["sh", "-ec", script, "sh"], args=list(args))


# ---- parameters ----

@dsl.container_component
def say(text: str, out: dsl.OutputPath(str)):
    return shell('printf %s "$1" > "$2"', text, out)


@dsl.container_component
def join(a: str, b: str, out: dsl.OutputPath(str)):
    return shell('printf %s-%s "$1" "$2" > "$3"', a, b, out)


@dsl.container_component
def number(value: int, out: dsl.OutputPath(int)):
    return shell('printf %s "$1" > "$2"', value, out)


@dsl.container_component
def double(value: int, out: dsl.OutputPath(int)):
    return shell('echo $(($1 * 2)) > "$2"', value, out)


@dsl.container_component
def fraction(value: float, out: dsl.OutputPath(float)):
    return shell('printf %s "$1" > "$2"', value, out)


@dsl.container_component
def truth(value: bool, out: dsl.OutputPath(bool)):
    return shell('printf %s "$1" > "$2"', value, out)


@dsl.container_component
def make_list(text: str, out: dsl.OutputPath(List[str])):
    """text is JSON."""
    return shell('printf %s "$1" > "$2"', text, out)


@dsl.container_component
def make_dicts(text: str, out: dsl.OutputPath(List[Dict[str, str]])):
    return shell('printf %s "$1" > "$2"', text, out)


@dsl.container_component
def show_list(items: list, out: dsl.OutputPath(str)):
    return shell('printf %s "$1" > "$2"', items, out)


@dsl.container_component
def fail(code: int, text: str = "sorry"):
    return shell('echo "$2" >&2; exit "$1"', code, text)


@dsl.container_component
def fail_with_output(out: dsl.OutputPath(str)):
    return shell('echo half > "$1"; exit 4', out)


@dsl.container_component
def flaky(counter: str, good_at: int, out: dsl.OutputPath(str)):
    """Fails until it has been called good_at times."""
    return shell('n=$(($(cat "$1" 2>/dev/null || echo 0) + 1)); echo $n > "$1"; '
                 'printf "%s of %s" "$n" "$KFP_RETRY_INDEX" > "$3"; [ $n -ge "$2" ]', counter, good_at, out)


# ---- artifacts ----

@dsl.container_component
def write(text: str, data: dsl.Output[dsl.Dataset]):
    return shell('printf %s "$1" > "$2"', text, data.path)


@dsl.container_component
def read(data: dsl.Input[dsl.Dataset], out: dsl.OutputPath(str)):
    return shell('cp "$1" "$2"', data.path, out)


@dsl.container_component
def count_data(data: dsl.Input[List[dsl.Dataset]], out: dsl.OutputPath(str)):
    """Gives the whole list as it arrives."""
    return shell('printf %s "$1" > "$2"', data, out)


# ---- carrying out ----

def compile_text(pipeline):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "pipeline.yaml"
        compiler.Compiler().compile(pipeline, str(path))
        return path.read_text()


def spec_of(text):
    docs = [d for d in yaml.safe_load_all(text) if d]
    spec = next(d for d in docs if "root" in d)
    platform = next((d for d in docs if "platforms" in d), None)
    return {"pipeline_spec": spec, "platform_spec": platform} if platform else spec


class Language:
    """A daemon, and running pipelines in it."""

    def __init__(self, daemon, folder):
        self.daemon = daemon
        self.folder = folder

    def new_path(self, name):
        return str(pathlib.Path(tempfile.mkdtemp(dir=self.folder)) / name)

    def start(self, pipeline, edit=None, **parameters):
        spec = spec_of(compile_text(pipeline))
        if edit is not None:
            edit(spec)
        return self.daemon.create_run(spec, name=pipeline.name, parameters=parameters)["run_id"]

    def wait(self, run_id, state="SUCCEEDED", timeout=150):
        wait_for(lambda: self.daemon.run(run_id)["state"] in ("SUCCEEDED", "FAILED"), timeout, f"the end of run {run_id}")
        happened = Happened(self.daemon, run_id)
        assert happened.state == state, (
            f"{happened.state}: {happened.error}\n" + "\n".join(f"{p}: {t['state']}" for p, t in happened.tasks.items()))
        return happened

    def run(self, pipeline, state="SUCCEEDED", edit=None, **parameters):
        return self.wait(self.start(pipeline, edit, **parameters), state)


def states(happened):
    """Of all tasks: {path: state}, where SUCCEEDED is "ok"."""
    return {path: task["state"].replace("SUCCEEDED", "ok") for path, task in happened.tasks.items() if path}
