# SPDX-License-Identifier: Apache-2.0
"""Data between tasks as people write it now: compiled here by the SDK, run as local processes."""

import json
import pathlib
import shutil
import tempfile
from typing import List, NamedTuple, Optional

import pytest

from corpus import place
from language import (Language, compile_text, double, dsl, fraction, join, number, read, say, shell, show_list,
                      spec_of, states, truth, write)
from rondo_testing import Daemon

pytestmark = pytest.mark.timeout(180)
HARD = 'say "hi" \\ and\n{{$.inputs.parameters[\'text\']}} {{$}} $HOME $(no) \'q\' <&> ünïcode 世界 🙂'


@pytest.fixture(scope="module")
def language():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="rondo-language-"))
    with Daemon(data=folder / "data", env=place.environment(folder / "programs")) as daemon:
        place.share_environments(daemon.data)
        yield Language(daemon, folder)
    shutil.rmtree(folder, ignore_errors=True)


# ---- parameters ----

@dsl.container_component
def all_kinds(text: str, whole: int, real: float, flag: bool, items: list, table: dict, out: dsl.OutputPath(str)):
    return shell('out=$1; shift; printf "%s|" "$@" > "$out"', out, text, whole, real, flag, items, table)


@dsl.component(base_image="python:3.11")
def same_kinds(text: str, whole: int, real: float, flag: bool, items: list, table: dict) -> NamedTuple(
        "Out", text=str, whole=int, real=float, flag=bool, items=list, table=dict, kinds=str):
    kinds = " ".join(type(v).__name__ for v in (text, whole, flag, items, table))
    out = NamedTuple("Out", text=str, whole=int, real=float, flag=bool, items=list, table=dict, kinds=str)
    return out(text, whole, real, flag, items, table, kinds)


@dsl.pipeline(name="all kinds")
def kinds_pipeline(text: str = "t", whole: int = 5, real: float = 0.1, flag: bool = True, items: list = [1, "a", {"b": 2}],
                   table: dict = {"k": [True, 2.5], "a": "<&>"}) -> str:  # noqa: B006
    given = same_kinds(text=text, whole=whole, real=real, flag=flag, items=items, table=table)
    shown = all_kinds(text=given.outputs["text"], whole=given.outputs["whole"], real=given.outputs["real"],
                      flag=given.outputs["flag"], items=given.outputs["items"], table=given.outputs["table"])
    return shown.output


def test_all_kinds_with_defaults(language):
    run = language.run(kinds_pipeline)
    assert run.outputs("same-kinds")["kinds"] == "str int bool list dict"
    assert run.root_outputs()["Output"].split("|")[:4] == ["t", "5", "0.1", "true"]
    items, table = run.root_outputs()["Output"].split("|")[4:6]
    assert json.loads(items) == [1, "a", {"b": 2}] and json.loads(table) == {"k": [True, 2.5], "a": "<&>"}


def test_all_kinds_given(language):
    run = language.run(kinds_pipeline, text=HARD, whole=-(2 ** 53), real=1e21, flag=False, items=[], table={})
    assert run.outputs("same-kinds")["text"] == HARD
    assert run.root_outputs()["Output"] == HARD + f"|{-(2 ** 53)}|1000000000000000000000|false|[]|{{}}|"


@dsl.pipeline(name="numbers as text")
def numbers_as_text(whole: int = 3, real: float = 2.0, flag: bool = False):
    say(text=f"{whole} {real} {flag}")
    join(a=f"<{double(value=whole).output}>", b=f"{dsl.PIPELINE_TASK_NAME_PLACEHOLDER}")


def test_numbers_in_f_strings(language):
    run = language.run(numbers_as_text, real=0.00001)
    assert run.inputs("say")["text"] == "3 0.00001 false"
    assert run.inputs("join")["a"] == "<6>" and run.inputs("join")["b"] == "join"


@dsl.component(base_image="python:3.11")
def python_echo(text: str, table: dict) -> NamedTuple("Out", text=str, table=dict):
    return NamedTuple("Out", text=str, table=dict)(text, table)


@dsl.pipeline(name="f-strings")
def f_strings(name: str = "x", other: str = "y"):
    said = say(text=f'he said "{name}" \\ {{}} {other}')
    say(text=f"{said.output}{name}{name}")
    python_echo(text=f'"{said.output}"', table={"a": [f"{name}", {"b": f"<{other}>"}], "k": 1})


def test_f_strings_with_values_that_could_break_them(language):
    run = language.run(f_strings, name=HARD, other="{{$.inputs.parameters['pipelinechannel--name']}}")
    first = f'he said "{HARD}" \\ {{}} {{{{$.inputs.parameters[\'pipelinechannel--name\']}}}}'
    assert run.outputs("say") == {"out": first}
    assert run.outputs("say-2") == {"out": first + HARD + HARD}
    assert run.outputs("python-echo") == {
        "text": f'"{first}"',
        "table": {"a": [HARD, {"b": "<{{$.inputs.parameters['pipelinechannel--name']}}>"}], "k": 1}}


# ---- nothing ----

@dsl.container_component
def maybe(out: dsl.OutputPath(str), text: Optional[str] = None, count: Optional[int] = None, name: str = "none"):
    return dsl.ContainerSpec(image="alpine", command=["sh", "-ec", 'out=$1; shift; printf "%s|" "$@" > "$out"', "sh"], args=[
        out, dsl.IfPresentPlaceholder("text", then=["--text", text], else_=["no", "text"]),
        dsl.IfPresentPlaceholder("count", then=dsl.ConcatPlaceholder(["n=", count]), else_="nothing"), name])


@dsl.pipeline(name="inner maybe")
def inner_maybe(text: Optional[str] = None, count: Optional[int] = None) -> str:
    return maybe(text=text, count=count).output


@dsl.pipeline(name="maybe")
def maybe_pipeline(text: Optional[str] = None, count: Optional[int] = None):
    maybe()
    maybe(text=text, count=count, name="n")
    inner_maybe()
    inner_maybe(text=text, count=count)
    inner_maybe(text="const", count=7)


def test_optional_inputs_across_levels(language):
    run = language.run(maybe_pipeline)
    assert [run.outputs(p)["out"] for p in ("maybe", "maybe-2")] == ["no|text|nothing|none|", "no|text|nothing|n|"]
    assert run.outputs("inner-maybe")["Output"] == run.outputs("inner-maybe-2")["Output"] == "no|text|nothing|none|"
    assert run.outputs("inner-maybe-3")["Output"] == "--text|const|n=7|none|"
    run = language.run(maybe_pipeline, text="", count=0)
    assert run.outputs("maybe-2")["out"] == "--text||n=0|n|" and run.outputs("inner-maybe-2")["Output"] == "--text||n=0|none|"


@dsl.component(base_image="python:3.11")
def none_if(text: str) -> str:
    return None if text == "none" else text


@dsl.pipeline(name="returns nothing")
def returns_nothing(text: str = "none"):
    given = none_if(text=text)
    maybe(text=given.output)


@pytest.mark.parametrize("text, got", [("none", "no|text|nothing|none|"), ("some", "--text|some|nothing|none|")])
def test_a_component_that_returns_none(language, text, got):
    assert language.run(returns_nothing, text=text).outputs("maybe")["out"] == got


# ---- command lines ----

@dsl.container_component
def command_line(name: str, data: dsl.Output[dsl.Dataset], out: dsl.OutputPath(str), flag: bool = False,
                 extra: Optional[dsl.Input[dsl.Dataset]] = None):
    return dsl.ContainerSpec(
        image="alpine", command=["sh", "-ec", 'out=$1; shift; for a in "$@"; do echo "$a"; done > "$out"', "sh"], args=[
            out, dsl.ConcatPlaceholder(["--name=", name, ",", dsl.ConcatPlaceholder(["flag:", flag])]), f"uri={data.uri}",
            dsl.IfPresentPlaceholder("extra", then=["--extra", extra.path], else_=dsl.ConcatPlaceholder(["no ", "extra"])),
            f"{name}{name}"])


@dsl.pipeline(name="command lines")
def command_lines(name: str = "n"):
    command_line(name=name)
    command_line(name="x y", flag=True, extra=write(text="e").output)


def test_placeholders_in_command_lines(language):
    run = language.run(command_lines, name=HARD.replace("\n", " "))
    name = HARD.replace("\n", " ")
    first, second = (run.outputs(p)["out"].splitlines() for p in ("command-line", "command-line-2"))
    assert first[0] == f"--name={name},flag:false" and first[1].startswith("uri=/") and first[2:] == ["no extra", name + name]
    assert second[0] == "--name=x y,flag:true" and second[2] == "--extra" and second[4] == "x yx y"
    assert pathlib.Path(second[3]).read_text() == "e"


# ---- artifacts ----

@dsl.component(base_image="python:3.11")
def make_everything(metrics: dsl.Output[dsl.Metrics], curve: dsl.Output[dsl.ClassificationMetrics], page: dsl.Output[dsl.HTML],
                    notes: dsl.Output[dsl.Markdown], model: dsl.Output[dsl.Model]):
    metrics.log_metric("accuracy", 0.75)
    metrics.metadata["deep"] = {"list": [1, None, "x"], "nan": float("nan")}
    curve.log_roc_curve([0.0, 1.0], [0.0, 1.0], [0.9, 0.1])
    curve.log_confusion_matrix(["cat", "dog"], [[1, 2], [3, 4]])
    for artifact, text in ((page, "<h1>Hi</h1>"), (notes, "# Hi"), (model, "weights")):
        with open(artifact.path, "w", encoding="utf-8") as file:
            file.write(text)
    model.metadata["framework"] = "none"


@dsl.component(base_image="python:3.11")
def look_at(model: dsl.Input[dsl.Model], metrics: dsl.Input[dsl.Metrics]) -> str:
    with open(model.path, encoding="utf-8") as file:
        return f"{file.read()} {model.metadata['framework']} {metrics.metadata['accuracy']} {type(model).__name__} {model.name}"


@dsl.pipeline(name="artifacts of all kinds")
def everything() -> NamedTuple("Out", model=dsl.Model, seen=str):
    made = make_everything()
    seen = look_at(model=made.outputs["model"], metrics=made.outputs["metrics"])
    return NamedTuple("Out", model=dsl.Model, seen=str)(made.outputs["model"], seen.output)


def test_artifacts_of_all_kinds(language):
    run = language.run(everything)
    path = "make-everything"
    assert run.types(path) == {"metrics": "system.Metrics", "curve": "system.ClassificationMetrics", "page": "system.HTML",
                               "notes": "system.Markdown", "model": "system.Model"}
    assert {k: run.files(path)[k] for k in ("page", "notes", "model")} == {
        "page": "<h1>Hi</h1>", "notes": "# Hi", "model": "weights"}
    metrics = run.metadata(path, "metrics", False)[0]
    assert metrics["accuracy"] == 0.75 and metrics["deep"]["list"][0] == 1 and metrics["deep"]["nan"] == "NaN"
    curve = run.metadata(path, "curve", False)[0]
    assert curve["confusionMatrix"]["rows"] == [{"row": [1, 2]}, {"row": [3, 4]}]
    assert [c["confidenceThreshold"] for c in curve["confidenceMetrics"]] == [0.9, 0.1]
    assert run.root_outputs()["seen"].startswith("weights none 0.75 Model ")
    assert run.root_files({}) == {"model": "weights"}


@dsl.component(base_image="python:3.11")
def make_folder(data: dsl.Output[dsl.Dataset], elsewhere: dsl.Output[dsl.Dataset], place: str):
    import os
    os.makedirs(os.path.join(data.path, "deep", "er"))
    for name in ("a", "deep/b", "deep/er/c ü"):
        with open(os.path.join(data.path, name), "w", encoding="utf-8") as file:
            file.write(name)
    elsewhere.set_path(place)
    with open(elsewhere.path, "w", encoding="utf-8") as file:
        file.write("from elsewhere")


@dsl.container_component
def list_folder(data: dsl.Input[dsl.Dataset], other: dsl.Input[dsl.Dataset], out: dsl.OutputPath(str)):
    return shell('(cd "$1"; find . -type f | sort; cat "$2") > "$3"', data.path, other.path, out)


@dsl.pipeline(name="folders")
def folders(place: str) -> dsl.Dataset:
    made = make_folder(place=place)
    list_folder(data=made.outputs["data"], other=made.outputs["elsewhere"])
    return made.outputs["data"]


def test_folders_and_custom_paths(language):
    run = language.run(folders, place=language.new_path("elsewhere.txt"))
    assert run.root_files({}) == {"Output": {"a": "a", "deep/b": "deep/b", "deep/er/c ü": "deep/er/c ü"}}
    assert run.outputs("list-folder")["out"] == "./a\n./deep/b\n./deep/er/c ü\nfrom elsewhere"
    assert run.files("make-folder")["elsewhere"] == "from elsewhere"


@dsl.component(base_image="python:3.11")
def pythonic(text: str) -> NamedTuple("Out", data=dsl.Dataset, text=str):
    data = dsl.Dataset(uri=dsl.get_uri("some/where"), metadata={"n": 1})
    import os
    os.makedirs(os.path.dirname(data.path), exist_ok=True)
    with open(data.path, "w", encoding="utf-8") as file:
        file.write(text)
    return NamedTuple("Out", data=dsl.Dataset, text=str)(data, text.upper())


def test_pythonic_artifacts(language):
    @dsl.pipeline(name="pythonic artifacts")
    def pipeline(text: str = "abc") -> dsl.Dataset:
        made = pythonic(text=text)
        read(data=made.outputs["data"])
        return made.outputs["data"]
    run = language.run(pipeline)
    assert run.outputs("pythonic") == {"text": "ABC"} and run.outputs("read") == {"out": "abc"}
    assert run.metadata("pythonic", "data", False)[0]["n"] == 1 and run.root_files({}) == {"Output": "abc"}


# ---- importer ----

@dsl.container_component
def tell_uri(data: dsl.Input[dsl.Dataset], out: dsl.OutputPath(str)):
    return shell('printf %s "$1" > "$2"', data.uri, out)


@dsl.pipeline(name="imports")
def imports(name: str = "n"):
    made = write(text="to be imported")
    found = dsl.importer(artifact_uri=tell_uri(data=made.output).output, artifact_class=dsl.Dataset,
                         metadata={"name": name, "k": [f"<{name}>", 1]})
    read(data=found.output)
    dsl.importer(artifact_uri="gs://bucket/thing", artifact_class=dsl.Model, reimport=True, metadata={"a": 1})


def test_importer(language):
    run = language.run(imports, name=HARD)
    assert run.outputs("read") == {"out": "to be imported"}
    found = run.metadata("importer", "artifact", False)[0]
    assert found["name"] == HARD and found["k"] == [f"<{HARD}>", 1]
    assert run.types("importer-2") == {"artifact": "system.Model"}
    assert run.tasks["importer-2"]["outputs"]["artifacts"]["artifact"][0]["uri"] == "gs://bucket/thing"


# ---- cache ----

@dsl.pipeline(name="cached")
def cached_pipeline(text: str = "a"):
    wrote = write(text=text)
    read(data=wrote.output)
    say(text=text).set_caching_options(False)
    say(text=text).set_caching_options(True, cache_key="mine")
    number(value=1)


def test_cache(language):
    first = language.run(cached_pipeline)
    assert "CACHED" not in states(first).values()
    again = language.run(cached_pipeline)
    assert states(again) == {"write": "CACHED", "read": "CACHED", "say": "ok", "say-2": "CACHED", "number": "CACHED"}
    assert again.outputs("read") == {"out": "a"}
    other = language.run(cached_pipeline, text="b")
    assert states(other) == {"write": "ok", "read": "ok", "say": "ok", "say-2": "CACHED", "number": "CACHED"}
    assert other.outputs("say-2") == {"out": "a"}  # the key says that this is the same
    shutil.rmtree(pathlib.Path(again.tasks["write"]["outputs"]["artifacts"]["data"][0]["uri"][len("file://"):]).parent)
    last = language.run(cached_pipeline)
    assert states(last)["write"] == "ok" and last.outputs("read") == {"out": "a"}


# ---- declared and refused ----

@dsl.pipeline(name="literals")
def literals(mode: str = "fast"):
    say(text=mode)


def test_literal_parameters(language):
    def edit(spec):  # the format has them, the SDK has no way to write them
        spec["root"]["inputDefinitions"]["parameters"]["mode"]["literals"] = ["fast", "slow"]
        return spec
    assert language.run(literals, edit=edit, mode="slow").outputs("say") == {"out": "slow"}
    answer = language.daemon.call("POST", "/apis/v2beta1/runs", 400, json={
        "display_name": "x", "pipeline_spec": edit(spec_of(compile_text(literals))),
        "runtime_config": {"parameters": {"mode": "no"}}})
    assert "mode" in answer.json()["message"] and "fast" in answer.json()["message"]


@pytest.mark.parametrize("given, word", [({}, "required"), ({"items": ["a"], "other": 1}, "other"), ({"items": "a"}, "items")])
def test_parameters_that_do_not_fit(language, given, word):
    @dsl.pipeline(name="fits")
    def pipeline(items: List[str]):
        show_list(items=items)
    answer = language.daemon.call("POST", "/apis/v2beta1/runs", 400, json={
        "display_name": "x", "pipeline_spec": spec_of(compile_text(pipeline)), "runtime_config": {"parameters": given}})
    assert word in answer.json()["message"]


def test_a_value_of_the_wrong_kind_fails_its_task(language):
    @dsl.pipeline(name="wrong kind")
    def pipeline():
        liar()
        number(value=liar().output)

    def edit(spec):
        for component in spec["components"].values():
            for output in component.get("outputDefinitions", {}).get("parameters", {}).values():
                if output["parameterType"] == "NUMBER_INTEGER" and component["executorLabel"].startswith("exec-liar-2"):
                    output["parameterType"] = "STRING"
    run = language.run(pipeline, "FAILED", edit)
    assert states(run)["liar"] == "FAILED" and "NUMBER_INTEGER" in run.tasks["liar"]["error"]
    assert states(run)["number"] == "FAILED" and "value" in run.tasks["number"]["error"]


@dsl.container_component
def liar(out: dsl.OutputPath(int)):
    return shell('printf "not a number" > "$1"', out)


# ---- settings ----

@dsl.component(base_image="python:3.11", task_config_passthroughs=[
    dsl.TaskConfigField.RESOURCES, dsl.TaskConfigPassthrough(field=dsl.TaskConfigField.ENV, apply_to_task=True)])
def configured(task_config: dsl.TaskConfig) -> NamedTuple("Out", resources=dict, env=list, seen=str):
    import os
    return NamedTuple("Out", resources=dict, env=list, seen=str)(
        task_config.resources or {}, task_config.env or [], os.environ.get("GREETING", ""))


def test_task_config(language):
    @dsl.pipeline(name="task config")
    def pipeline():
        configured().set_cpu_limit("2").set_memory_limit("1Gi").set_env_variable("GREETING", "hello")
    run = language.run(pipeline)
    assert run.outputs("configured") == {
        "resources": {"limits": {"cpu": "2", "memory": "1Gi"}}, "env": [{"name": "GREETING", "value": "hello"}], "seen": "hello"}


def test_names(language):
    long = "x" * 120

    @dsl.pipeline(name="long-" + long, display_name="Ünïcode ✓ " + long)
    def pipeline(a_rather_long_parameter_name_that_goes_on_and_on_and_on_until_the_line_ends: str = "v"):
        say(text=a_rather_long_parameter_name_that_goes_on_and_on_and_on_until_the_line_ends).set_display_name("says ✓ " + long)
        write(text="x").set_display_name("same")
        write(text="y").set_display_name("same")
    run = language.run(pipeline)
    assert run.outputs("say") == {"out": "v"} and run.tasks["say"]["name"] == "says ✓ " + long
    assert [run.tasks[p]["name"] for p in ("write", "write-2")] == ["same", "same"]


@dsl.pipeline(name="about the run")
def about_the_run():
    say(text=f"[{dsl.PIPELINE_JOB_ID_PLACEHOLDER}] of {dsl.PIPELINE_JOB_NAME_PLACEHOLDER} by {dsl.PIPELINE_TASK_NAME_PLACEHOLDER}")
    say(text=dsl.PIPELINE_JOB_CREATE_TIME_UTC_PLACEHOLDER)
    fraction(value=0.5)
    truth(value=True)


def test_run_level_placeholders(language):
    run = language.run(about_the_run)
    assert run.outputs("say") == {"out": f"[{run.run_id}] of about-the-run by say"}
    assert run.outputs("say-2")["out"].startswith("20") and run.outputs("say-2")["out"].endswith("Z")
    assert run.outputs("fraction") == {"out": 0.5} and run.outputs("truth") == {"out": True}


@dsl.component(base_image="python:3.11")
def use_workspace(folder: str, text: str) -> str:
    import os
    path = os.path.join(folder, "notes")
    with open(path, "a", encoding="utf-8") as file:
        file.write(text)
    with open(path, encoding="utf-8") as file:
        return file.read()


def test_workspace(language):
    @dsl.pipeline(name="workspace", pipeline_config=dsl.PipelineConfig(
        workspace=dsl.WorkspaceConfig(size="1Gi", kubernetes=dsl.KubernetesWorkspaceConfig(
            pvcSpecPatch={"accessModes": ["ReadWriteOnce"]}))))
    def pipeline() -> str:
        first = use_workspace(folder=dsl.WORKSPACE_PATH_PLACEHOLDER, text="one ")
        second = use_workspace(folder=dsl.WORKSPACE_PATH_PLACEHOLDER, text="two").after(first)
        return second.output
    one, other = language.run(pipeline), language.run(pipeline)
    assert one.root_outputs() == {"Output": "one two"} and other.root_outputs() == {"Output": "one two"}


def test_kubernetes_settings(language):
    kubernetes = pytest.importorskip("kfp.kubernetes")
    secrets = language.daemon.data / "secrets" / "login"
    secrets.mkdir(parents=True)
    (secrets / "user").write_text("ann")
    (secrets / "user").chmod(0o600)

    @dsl.pipeline(name="settings")
    def pipeline(secret: str = "login", none: Optional[str] = None):
        task = show_env()
        kubernetes.use_secret_as_env(task, secret_name=secret, secret_key_to_env={"user": "USER_NAME"})
        kubernetes.use_secret_as_env(task, secret_name="absent", secret_key_to_env={"x": "X"}, optional=True)
        kubernetes.use_field_path_as_env(task, env_name="LABEL", field_path="metadata.labels['team']")
        kubernetes.add_pod_label(task, "team", "blue")
        kubernetes.add_toleration(task, key="k", operator="Exists", effect="NoSchedule")
        kubernetes.set_timeout(task, seconds=100)
    run = language.run(pipeline)
    assert run.outputs("show-env") == {"out": "ann blue none"}


@dsl.container_component
def show_env(out: dsl.OutputPath(str)):
    return shell('printf "%s %s %s" "$USER_NAME" "$LABEL" "${X:-none}" > "$1"', out)

