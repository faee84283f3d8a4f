# SPDX-License-Identifier: Apache-2.0
"""Component files of KFP 1: run directly, and loaded into a pipeline by the SDK; the same comes out."""

import functools
import http.server
import json
import os
import pathlib
import subprocess
import tempfile
import textwrap
import threading
import urllib.parse

import pytest
import yaml

from rondo_testing import Daemon, bin_dir

os.environ["HOME"] = tempfile.mkdtemp(prefix="rondo-home-")  # the SDK reads ~/.config/kfp


@pytest.fixture(scope="module")
def daemon():
    with Daemon() as one:
        yield one


def component(inputs=(), outputs=(), name="Some Component", **container):
    """A component file as text; container: command, args, env, fileOutputs."""
    return yaml.safe_dump({
        "name": name, "inputs": list(inputs), "outputs": list(outputs),
        "implementation": {"container": {"image": "alpine:3.20", **container}}}, sort_keys=False)


def sh(script, *args):
    return ["sh", "-ec", textwrap.dedent(script).strip(), "sh", *args]


WRITE = 'for last in "$@"; do :; done; mkdir -p "$(dirname "$last")"; '
# $1 ... are joined by "|" and written to the last argument.
JOIN = WRITE + 'out=""; while [ $# -gt 1 ]; do out="$out|$1"; shift; done; printf %s "$out" > "$1"'
COPY = WRITE + 'cat "$1" > "$2"'

OUT = {"name": "out", "type": "String"}
TO_OUT = {"outputPath": "out"}

# name: (component, arguments, expected outputs). Arguments are the same for both ways of running.
COMPONENTS = {
    "values": (
        component([{"name": "a", "type": "String"}, {"name": "n", "type": "Integer"},
                   {"name": "f", "type": "Float"}, {"name": "b", "type": "Bool"}], [OUT],
                  command=sh(JOIN, {"inputValue": "a"}, {"inputValue": "n"}, {"inputValue": "f"}, {"inputValue": "b"},
                             TO_OUT)),
        {"a": "it's \"quoted\" $HOME", "n": 5, "f": 0.25, "b": True}, {"out": "|it's \"quoted\" $HOME|5|0.25|true"}),
    "defaults": (
        component([{"name": "n", "type": "Integer", "default": "30"}, {"name": "s", "type": "String", "default": "x y"},
                   {"name": "l", "type": "JsonArray", "default": "[1, \"a\"]"},
                   {"name": "d", "type": "JsonObject", "default": "{\"k\": {\"z\": 1.5}}"},
                   {"name": "b", "type": "Bool", "default": "off"}], [OUT],
                  command=sh(JOIN, *({"inputValue": x} for x in "nsldb"), TO_OUT)),
        {}, {"out": "|30|x y|[1,\"a\"]|{\"k\":{\"z\":1.5}}|false"}),
    "names": (
        component([{"name": "Number of Rounds!", "type": "Integer"}],
                  [{"name": "The Out-Put", "type": "Integer"}],
                  command=sh(WRITE + 'echo $(($1 * 2)) > "$2"'),
                  args=[{"inputValue": "Number of Rounds!"}, {"outputPath": "The Out-Put"}]),
        {"number_of_rounds": 21}, {"the_out_put": 42}),
    "typed outputs": (
        component([], [{"name": "i", "type": "Integer"}, {"name": "f", "type": "Double"}, {"name": "b", "type": "Bool"},
                       {"name": "l", "type": "List"}, {"name": "d", "type": "Dict"}, {"name": "s", "type": "String"}],
                  command=sh('''
                      mkdir -p "$(dirname "$1")"
                      printf 7 > "$1"; printf 2.50 > "$2"; printf True > "$3"; printf '[1, 2]' > "$4"
                      printf '{"a": "b"}' > "$5"; printf 'a text' > "$6"
                  ''', *({"outputPath": x} for x in "ifblds"))),
        {}, {"i": 7, "f": 2.5, "b": True, "l": [1, 2], "d": {"a": "b"}, "s": "a text"}),
    "artifact output": (
        component([{"name": "text", "type": "String"}], [{"name": "Model file", "type": "Model"}],
                  command=sh(WRITE + 'printf "<%s>" "$1" > "$2"', {"inputValue": "text"}, {"outputPath": "Model file"})),
        {"text": "weights"}, {"model_file": "<weights>"}),
    "concat": (
        component([{"name": "a", "type": "String"}, {"name": "b", "type": "Integer", "default": "3"}], [OUT],
                  command=sh(JOIN, {"concat": ["--x=", {"inputValue": "a"}, "/", {"inputValue": "b"}]}, TO_OUT)),
        {"a": "1 2"}, {"out": "|--x=1 2/3"}),
    "if present": (
        component([{"name": "a", "type": "String", "optional": True}], [OUT],
                  command=sh(JOIN, {"if": {"cond": {"isPresent": "a"}, "then": ["--a", {"inputValue": "a"}],
                                           "else": ["none"]}}, TO_OUT)),
        {"a": "here"}, {"out": "|--a|here"}),
    "if absent": (
        component([{"name": "a", "type": "String", "optional": True}], [OUT],
                  command=sh(JOIN, "first", {"if": {"cond": {"isPresent": "a"}, "then": ["--a", {"inputValue": "a"}]}},
                             TO_OUT)),
        {}, {"out": "|first"}),
    "if with concat": (
        component([{"name": "a", "type": "String", "optional": True}], [OUT],
                  command=sh(JOIN, {"if": {"cond": {"isPresent": "a"},
                                           "then": [{"concat": ["--a=", {"inputValue": "a"}]}], "else": ["no"]}}, TO_OUT)),
        {"a": "v"}, {"out": "|--a=v"}),
    "path of a parameter": (
        component([{"name": "text", "type": "String"}], [OUT], command=sh(COPY, {"inputPath": "text"}, TO_OUT)),
        {"text": "line 1\nline 2 \u00e9\n"}, {"out": "line 1\nline 2 \u00e9\n"}),
    "path of a list": (
        component([{"name": "l", "type": "JsonArray"}], [OUT], command=sh(COPY, {"inputPath": "l"}, TO_OUT)),
        {"l": [1, "b", None]}, {"out": "[1,\"b\",null]"}),
    "environment": (
        component([{"name": "n", "type": "Integer", "default": "4"}], [OUT],
                  command=sh(WRITE + 'printf "%s-%s" "$A" "$B" > "$1"', TO_OUT), env={"A": "a b", "B": "$(A)!"}),
        {}, {"out": "a b-a b!"}),
}

# The path of a parameter: the SDK does not load such components; KFP 1 did.
ONLY_DIRECTLY = {"path of a parameter", "path of a list"}


def outputs_of(daemon, run_id, task):
    """The task's outputs; an artifact stands for its content."""
    record = daemon.tasks(run_id)[task]
    found = dict(record["outputs"].get("parameters", {}))
    for name, artifacts in record["outputs"].get("artifacts", {}).items():
        uri = artifacts[0]["uri"] if isinstance(artifacts, list) else artifacts["uri"]
        path = pathlib.Path(urllib.parse.unquote(urllib.parse.urlparse(uri).path))
        found[name] = path.read_text() if path.is_file() else None
    return found


def run_directly(daemon, text, arguments, state="SUCCEEDED"):
    run = daemon.create_run(yaml.safe_load(text), parameters=arguments)
    daemon.wait_run(run["run_id"], state)
    return run["run_id"], next(iter(daemon.tasks(run["run_id"])))


def run_pipeline(daemon, tmp_path, function):
    compiler = pytest.importorskip("kfp.compiler")
    path = tmp_path / "pipeline.yaml"
    compiler.Compiler().compile(function, str(path))
    run = daemon.create_run(yaml.safe_load(path.read_text()))
    daemon.wait_run(run["run_id"])
    return run["run_id"]


@pytest.mark.parametrize("name", COMPONENTS)
def test_directly(daemon, name):
    text, arguments, expected = COMPONENTS[name]
    run_id, task = run_directly(daemon, text, arguments)
    assert task == "some-component"
    assert outputs_of(daemon, run_id, task) == expected


@pytest.mark.parametrize("name", [name for name in COMPONENTS if name not in ONLY_DIRECTLY])
def test_through_the_sdk(daemon, tmp_path, name):
    components = pytest.importorskip("kfp.components")
    from kfp import dsl
    text, arguments, expected = COMPONENTS[name]
    loaded = components.load_component_from_text(text)

    @dsl.pipeline(name="around")
    def around():
        loaded(**arguments)

    run_id = run_pipeline(daemon, tmp_path, around)
    assert outputs_of(daemon, run_id, "some-component") == expected


# ---- what only a component that runs directly can do ----

def check(daemon, text, arguments, expected):
    run_id, task = run_directly(daemon, text, arguments)
    assert outputs_of(daemon, run_id, task) == expected


@pytest.mark.parametrize("kind", [None, "CSV", "Dataset", {"GCSPath": {"a": "b"}}])
def test_artifact_input_by_value(daemon, kind):
    text = component([{"name": "Training data", **({"type": kind} if kind else {})}], [OUT],
                     command=sh(COPY, {"inputPath": "Training data"}, TO_OUT))
    check(daemon, text, {"Training data": "hello"}, {"out": "hello"})
    check(daemon, text, {"training_data": "hello"}, {"out": "hello"})


def test_value_of_an_unknown_type(daemon):
    text = component([{"name": "project", "type": "GCPProjectID"}], [OUT],
                     command=sh(JOIN, {"inputValue": "project"}, TO_OUT))
    check(daemon, text, {"project": "p-1"}, {"out": "|p-1"})


def test_optional_argument_is_left_out(daemon):
    text = component([{"name": "a", "type": "String", "optional": True}, {"name": "b", "optional": True}], [OUT],
                     command=sh(JOIN, "x", {"inputValue": "a"}, {"inputPath": "b"}, TO_OUT))
    check(daemon, text, {}, {"out": "|x"})
    check(daemon, text, {"a": "1"}, {"out": "|x|1"})


def test_conditions_of_kfp_1(daemon):
    text = component([{"name": "v", "type": "Bool"}, {"name": "w", "optional": True}], [OUT], command=sh(
        JOIN, {"if": {"cond": {"inputValue": "v"}, "then": ["v", "v"], "else": ["not v"]}},
        {"if": {"cond": {"inputValue": "w"}, "then": ["w"]}}, {"if": {"cond": True, "then": ["always"]}},
        {"if": {"cond": "no", "then": ["never"]}}, TO_OUT))
    check(daemon, text, {"v": True}, {"out": "|v|v|always"})
    check(daemon, text, {"v": False, "w": "yes"}, {"out": "|not v|w|always"})
    run_id, task = run_directly(daemon, text, {"v": False, "w": "perhaps"}, "FAILED")
    assert "input 'w' decides here" in daemon.tasks(run_id)[task]["error"]


class TestFileOutputs:
    @pytest.fixture
    def fixed(self, tmp_path):
        return tmp_path / "fixed" / "out.txt"

    @staticmethod
    def spec(fixed, script, kind="Integer", **more):
        return component([{"name": "n", "type": "Integer", "default": "1"}], [{"name": "Some out", "type": kind}],
                         command=sh(f'mkdir -p "{fixed.parent}"; ' + script, {"inputValue": "n"}),
                         fileOutputs={"Some out": str(fixed)}, **more)

    def test_parameter(self, daemon, fixed):
        text = self.spec(fixed, f'echo $(($1 + 1)) > "{fixed}"')
        check(daemon, text, {"n": 4}, {"some_out": 5})
        check(daemon, text, {"n": 5}, {"some_out": 6})
        assert fixed.read_text() == "6\n"  # it is the machine's own file, and stays

    def test_artifact(self, daemon, fixed):
        check(daemon, self.spec(fixed, f'printf data > "{fixed}"', "Dataset"), {}, {"some_out": "data"})

    def test_folder(self, daemon, fixed):
        text = self.spec(fixed, f'mkdir -p "{fixed}/sub"; echo $1 > "{fixed}/sub/a"; echo b > "{fixed}/b"', "Dataset")
        for n in 1, 2:
            run_id, task = run_directly(daemon, text, {"n": n})
            uri = daemon.tasks(run_id)[task]["outputs"]["artifacts"]["some_out"][0]["uri"]
            folder = pathlib.Path(urllib.parse.urlparse(uri).path)
            assert (folder / "sub" / "a").read_text() == f"{n}\n" and (folder / "b").read_text() == "b\n"

    def test_not_written(self, daemon, fixed):
        run_id, task = run_directly(daemon, self.spec(fixed, "true"), {}, "FAILED")
        assert "'some_out' was not written" in daemon.tasks(run_id)[task]["error"]
        check(daemon, self.spec(fixed, "true", "Dataset"), {}, {"some_out": None})

    def test_what_somebody_else_left_is_not_taken(self, daemon, fixed):
        fixed.parent.mkdir()
        fixed.write_text("41")
        run_id, task = run_directly(daemon, self.spec(fixed, "true"), {}, "FAILED")
        assert "'some_out' was not written" in daemon.tasks(run_id)[task]["error"]
        assert "was there before" in daemon.run_log(run_id)
        assert fixed.read_text() == "41"
        check(daemon, self.spec(fixed, f'printf 41 > "{fixed}"'), {}, {"some_out": 41})

    def test_too_large_for_a_parameter(self, daemon, fixed):
        text = self.spec(fixed, f'head -c 2000000 /dev/zero > "{fixed}"', "String")
        run_id, task = run_directly(daemon, text, {}, "FAILED")
        assert "use an artifact" in daemon.tasks(run_id)[task]["error"]

    def test_the_placeholder_wins(self, daemon, fixed):
        text = component([], [OUT], command=sh(f'mkdir -p "{fixed.parent}" "$(dirname "$1")"; printf a > "$1"; '
                                               f'printf b > "{fixed}"', TO_OUT), fileOutputs={"out": str(fixed)})
        check(daemon, text, {}, {"out": "a"})


def test_executor_input(daemon):
    text = component([{"name": "n", "type": "Integer"}], [{"name": "out", "type": "Integer"}], command=sh('''
        n=$(printf %s "$1" | sed 's/.*"n":\\([0-9]*\\).*/\\1/')
        file=$(printf %s "$1" | sed 's/.*"outputFile":"\\([^"]*executor_output.json\\)".*/\\1/')
        mkdir -p "$(dirname "$file")"
        printf '{"parameterValues": {"out": %s}}' $((n * 3)) > "$file"
    ''', {"executorInput": None}))
    check(daemon, text, {"n": 3}, {"out": 9})


# ---- by file, by upload, by URL ----

def rondo(daemon, *args, code=0):
    done = subprocess.run([str(bin_dir() / "rondo"), "--host", daemon.url, *map(str, args)], capture_output=True,
                          text=True, timeout=120, check=False)
    assert done.returncode == code, f"{args}: {done.stdout}\n{done.stderr}"
    return done


@pytest.fixture
def component_file(tmp_path):
    path = tmp_path / "component.yaml"
    path.write_text(component(
        [{"name": "Training data"}, {"name": "Rounds", "type": "Integer", "default": "2"}], [OUT], name="Train - it!",
        command=sh(WRITE + 'cat "$1" > "$3"; printf "*%s" "$2" >> "$3"', {"inputPath": "Training data"},
                   {"inputValue": "Rounds"}, TO_OUT)))
    return path


def test_rondo_run(daemon, component_file):
    done = rondo(daemon, "run", component_file, "-p", "Training data=12", "-p", "rounds=7", "--watch", "-o", "json")
    run = json.loads(done.stdout)
    assert run["display_name"] == "train-it"
    assert outputs_of(daemon, run["run_id"], "train-it") == {"out": "12*7"}
    done = rondo(daemon, "run", component_file, code=2)
    assert "parameter 'training_data' (STRING) is required" in done.stderr


def test_rondo_lint(daemon, component_file):
    assert "good: pipeline train-it, 1 tasks" in rondo(daemon, "lint", component_file).stdout
    lines = component_file.read_text().replace("inputValue: Rounds", "inputValue: Round").splitlines()
    component_file.write_text("\n".join(lines))
    number = next(i for i, line in enumerate(lines, 1) if "inputValue: Round" in line)
    done = rondo(daemon, "lint", component_file, code=1)
    assert f"line {number}, column" in done.stderr and "did you mean 'Rounds'?" in done.stderr


def test_upload(daemon, component_file):
    stored = daemon.upload(component_file.read_text(), "uploaded component", filename="component.yaml")
    run = daemon.post("/apis/v2beta1/runs", {
        "display_name": "r", "pipeline_version_reference": {"pipeline_id": stored["pipeline_id"]},
        "runtime_config": {"parameters": {"training_data": "a"}}})
    daemon.wait_run(run["run_id"])
    assert outputs_of(daemon, run["run_id"], "train-it") == {"out": "a*2"}


@pytest.fixture
def web(component_file):
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(component_file.parent))
    handler.log_message = lambda *args: None
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/component.yaml"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("way", ["file", "url"])
def test_loaded_with_an_artifact_from_upstream(daemon, tmp_path, component_file, web, way):
    components = pytest.importorskip("kfp.components")
    from kfp import dsl
    loaded = (components.load_component_from_file(str(component_file)) if way == "file"
              else components.load_component_from_url(web))

    @dsl.container_component
    def make(data: dsl.Output[dsl.Artifact]):
        return dsl.ContainerSpec(image="alpine", command=["sh", "-c"],
                                 args=['mkdir -p "$(dirname "$0")" && printf made > "$0"', data.path])

    @dsl.pipeline(name="two-steps")
    def two_steps():
        loaded(training_data=make().output, rounds=3)

    run_id = run_pipeline(daemon, tmp_path, two_steps)
    assert outputs_of(daemon, run_id, "train-it") == {"out": "made*3"}
