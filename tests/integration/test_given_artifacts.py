# SPDX-License-Identifier: Apache-2.0
"""Artifacts that a run is given: single components and pipelines with artifact inputs at the root."""

import json
import pathlib
import shutil
import subprocess
import tempfile
from typing import List

import pytest

from corpus import place
from language import Language, compile_text, count_data, dsl, read, shell, spec_of, states, write
from rondo_testing import Daemon, bin_dir, wait_for

pytestmark = pytest.mark.timeout(180)


@dsl.container_component
def show(data: dsl.Input[dsl.Artifact], out: dsl.OutputPath(str)):
    return shell('printf %s "$1" > "$2"', "{{$}}", out)


@dsl.pipeline(name="takes")
def takes(data: dsl.Input[dsl.Dataset], thing: dsl.Input[dsl.Artifact], sets: dsl.Input[List[dsl.Dataset]]) -> str:
    show(data=thing)
    count_data(data=sets)
    return read(data=data).output


@dsl.pipeline(name="makes")
def makes(text: str = "given"):
    write(text=text)


@pytest.fixture(scope="module")
def language():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="rondo-given-"))
    with Daemon(data=folder / "data", env=place.environment(folder / "programs")) as daemon:
        yield Language(daemon, folder)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def made(language):
    """The URI of an artifact of another run."""
    return language.run(makes).tasks["write"]["outputs"]["artifacts"]["data"][0]["uri"]


def create(language, spec, artifacts, expect=200, **fields):
    config = {} if artifacts is None else {"input_artifacts": artifacts}
    return language.daemon.post("/apis/v2beta1/runs", {"display_name": "given", "pipeline_spec": spec,
                                                       "runtime_config": config, **fields}, expect)


def run(language, spec, artifacts):
    made = create(language, spec, artifacts)
    return made, language.wait(made["run_id"])


def test_a_component_by_uri(language, made):
    uri, spec = made, spec_of(compile_text(read))
    created, happened = run(language, spec, {"data": {"uri": uri}})
    assert happened.outputs("read") == {"out": "given"}
    assert created["runtime_config"]["input_artifacts"]["data"]["uri"] == uri
    record = language.daemon.get(f"/apis/rondo/v1/runs/{created['run_id']}")
    given = record["artifacts"]["data"][0]
    assert given["type"]["schemaTitle"] == "system.Dataset" and given["metadata"] == {} and len(given["id"]) == 36
    assert record["tasks"][0]["inputs"]["artifacts"]["data"] == [given]

    _, again = run(language, spec, {"data": {"uri": uri[len("file://"):]}})  # the same, as a path
    assert states(again) == {"read": "CACHED"}
    _, other = run(language, spec, {"data": {"uri": uri, "metadata": {"version": 2}}})
    assert states(other) == {"read": "ok"}
    assert "data" in other.tasks["read"]["cache"]["reason"]
    # what a run shows can be given again
    _, shown = run(language, spec, created["runtime_config"]["input_artifacts"])
    assert states(shown) == {"read": "CACHED"}


def test_all_kinds(language, made):
    uri = made
    spec = spec_of(compile_text(takes))
    spec["root"]["inputDefinitions"]["artifacts"]["thing"]["isOptional"] = True
    spec["components"]["comp-show"]["inputDefinitions"]["artifacts"]["data"]["isOptional"] = True
    _, without = run(language, spec, {"data": {"uri": uri}, "sets": []})
    assert '"data"' not in without.outputs("show")["out"] and without.outputs("count-data") == {"out": "[]"}
    _, full = run(language, spec, {
        "data": {"uri": uri, "type": "system.Dataset"}, "sets": [{"uri": uri}, {"uri": "gs://bucket/set"}],
        "thing": {"uri": "gs://bucket/it", "type": "system.Model", "metadata": {"a": [1, "x"]}}})
    assert full.outputs("read") == {"out": "given"}
    shown = full.outputs("show")["out"]
    assert '"uri":"gs://bucket/it"' in shown and "system.Model" in shown and '"metadata":{"a":[1,"x"]}' in shown
    assert "gs://bucket/set" in full.outputs("count-data")["out"]


@pytest.mark.parametrize("artifacts, says", [
    (None, "the pipeline needs the artifact 'data' (system.Dataset): give its URI in runtime_config.input_artifacts"),
    ({"date": {"uri": "gs://a/b"}}, "did you mean 'data'?"),
    ({"data": {"uri": "gs://a/b", "type": "system.Model"}}, "declares a system.Dataset"),
    ({"data": {"uri": "file:///etc/passwd"}}, "artifact root"),
    ({"data": {"uri": "/etc/passwd"}}, "artifact root"),
    ({"data": {"uri": "../data"}}, "begins with nothing that artifacts can have"),
    ({"data": "gs://a/b"}, "expected {"),
    ({"data": {"artifact_id": "11111111-2222-4333-8444-555555555555"}}, "there is no finding an artifact by its id alone")])
def test_mistakes(language, artifacts, says):
    before = language.daemon.get("/apis/v2beta1/runs").get("total_size", 0)
    spec = spec_of(compile_text(read))
    assert says in create(language, spec, artifacts, expect=400)["message"]
    body = {"display_name": "given", "pipeline_spec": spec, "max_concurrency": "1", "mode": "ENABLE",
            "runtime_config": {"input_artifacts": artifacts} if artifacts else {},
            "trigger": {"periodic_schedule": {"interval_second": "3600"}}}
    assert says in language.daemon.post("/apis/v2beta1/recurringruns", body, 400)["message"]
    assert language.daemon.get("/apis/v2beta1/runs").get("total_size", 0) == before


def test_recurring(language, made):
    """Without a schedule it fires once, right away."""
    body = {"display_name": "given", "pipeline_spec": spec_of(compile_text(read)), "max_concurrency": "1",
            "mode": "ENABLE", "runtime_config": {"input_artifacts": {"data": {"uri": made}}}}
    created = language.daemon.post("/apis/v2beta1/recurringruns", body)
    one = created["recurring_run_id"]
    shown = language.daemon.get(f"/apis/v2beta1/recurringruns/{one}")["runtime_config"]["input_artifacts"]
    assert shown["data"]["uri"] == made and shown == created["runtime_config"]["input_artifacts"]

    def fired():
        return [r for r in language.daemon.get("/apis/v2beta1/runs", page_size=200).get("runs", [])
                if r.get("recurring_run_id") == one]
    happened = language.wait(wait_for(fired, 60, "the firing")[0]["run_id"])
    assert happened.outputs("read") == {"out": "given"}


def test_a_pipeline_that_needs_more_by_now(language):
    """A recurring run follows the newest version; that one wants an artifact that nobody gave."""
    daemon = language.daemon
    spec = spec_of(compile_text(read))
    without = spec_of(compile_text(makes))
    pipeline = daemon.post("/apis/v2beta1/pipelines", {"display_name": "grows"})["pipeline_id"]

    def upload(name, spec):
        return daemon.call("POST", f"/apis/v2beta1/pipelines/upload_version?name={name}&pipelineid={pipeline}",
                           files={"uploadfile": ("p.json", json.dumps(spec))})
    upload("one", without)
    one = daemon.post("/apis/v2beta1/recurringruns", {
        "display_name": "follows", "pipeline_version_reference": {"pipeline_id": pipeline}, "max_concurrency": "1",
        "mode": "DISABLE", "trigger": {"periodic_schedule": {"interval_second": "1"}}})["recurring_run_id"]
    upload("two", spec)
    daemon.post(f"/apis/v2beta1/recurringruns/{one}:enable")

    def failed():
        return [r for r in daemon.get("/apis/v2beta1/runs", page_size=200).get("runs", [])
                if r.get("recurring_run_id") == one and r["state"] == "FAILED"]
    assert "the pipeline needs the artifact 'data'" in wait_for(failed, 60, "a firing")[0]["error"]["message"]
    daemon.delete(f"/apis/v2beta1/recurringruns/{one}")


def test_after_a_kill(language, made):
    """What was given is in the record: another daemon goes on with it."""
    with Daemon(settings={"max_steps": 1}) as daemon:
        other = Language(daemon, language.folder)
        source = other.run(makes, text="kept")
        uri = source.tasks["write"]["outputs"]["artifacts"]["data"][0]["uri"]
        blocker = other.new_path("go")

        @dsl.pipeline(name="waits")
        def waits(data: dsl.Input[dsl.Dataset]):
            read(data=data).after(wait_for_file(path=blocker))
        run_id = create(other, spec_of(compile_text(waits)), {"data": {"uri": uri}})["run_id"]
        wait_for(lambda: "RUNNING" in str(daemon.tasks(run_id)), 60, "the first task")
        daemon.kill9()
        daemon.start()
        pathlib.Path(blocker).touch()
        assert other.wait(run_id).outputs("read") == {"out": "kept"}


@dsl.container_component
def wait_for_file(path: str):
    return shell('while [ ! -e "$1" ]; do sleep 0.02; done', path)


def test_the_command_line(language, made, tmp_path):
    path = tmp_path / "read.yaml"
    path.write_text(compile_text(read))

    def rondo(*args, code=0):
        done = subprocess.run([str(bin_dir() / "rondo"), "--host", language.daemon.url, *args], capture_output=True,
                              text=True, check=False, timeout=120)
        assert done.returncode == code and "Sanitizer" not in done.stderr, done.stdout + done.stderr
        return done.stdout + done.stderr
    assert "SUCCEEDED" in rondo("run", str(path), "-a", f"data={made}", "--watch")
    assert "rondo run -a data=URI" in rondo("run", str(path), code=2)
    assert "expected NAME=URI" in rondo("run", str(path), "-a", "data", code=2)
    assert "it is one artifact, and 2 are given" in rondo("run", str(path), "-a", "data=gs://a/b", "-a", "data=gs://a/c",
                                                          code=2)
    assert "/gcs/a/b" in rondo("compile", str(path), "-a", "data=gs://a/b", "-o", "json")
    assert "needs the artifact 'data'" in rondo("compile", str(path), code=2)
    assert "recurring run" in rondo("cron", "add", str(path), "--every", "1h", "--disabled", "-a",
                                    f"data={made}")
