# SPDX-License-Identifier: Apache-2.0
"""Pipelines that are large but fine, through the API, and those that are too deep."""

import json

import pytest
import yaml

from rondo_testing import Daemon, shell_spec, wait_for

TASKS = 1000
SOURCE_BYTES = 4500  # of each task's program


@pytest.fixture(scope="module")
def daemon():
    with Daemon(settings={"executor": "noop", "max_steps": 100}) as one:
        yield one


def before(n):
    """Whom task n waits for."""
    return sorted({n * 7 // 8, n // 2, n - 1 if n % 10 else n // 3} - {n, -1})


def large_spec():
    """A component and a program of its own for each task."""
    spec = shell_spec(name="large")
    line = "echo one of many lines that a program has, 'with' \"quotes\": and {{braces}}\n"
    spec["components"] = {f"comp-{n}": {"executorLabel": f"exec-{n}"} for n in range(TASKS)}
    source = line * (SOURCE_BYTES // len(line))
    spec["deploymentSpec"]["executors"] = {f"exec-{n}": {"container": {
        "image": "alpine", "command": ["sh", "-c", f"# {n}\n{source}"]}} for n in range(TASKS)}
    spec["root"]["dag"]["tasks"] = {f"t{n}": {
        "taskInfo": {"name": f"t{n}"}, "componentRef": {"name": f"comp-{n}"},
        "dependentTasks": [f"t{k}" for k in before(n)]} for n in range(TASKS)}
    return spec


def carried_out(daemon, **run):
    """Tasks by path. Asking for the run over and over would cost more than carrying it out."""
    name = 'rondo_runs_finished_total{state="succeeded"}'
    before_it = daemon.metric(name)
    run_id = daemon.create_run(**run)["run_id"]
    wait_for(lambda: daemon.metric(name) > before_it, 120, f"the success of run {run_id}")
    daemon.wait_run(run_id)
    tasks = daemon.tasks(run_id)
    assert {task["state"] for task in tasks.values()} == {"SUCCEEDED"}
    return tasks


def check_order(tasks):
    assert {path for path in tasks if path} == {f"t{n}" for n in range(TASKS)}
    for n in range(TASKS):
        for k in before(n):
            assert tasks[f"t{k}"]["ended_us"] <= tasks[f"t{n}"]["started_us"], (k, n)


def test_five_megabytes_and_a_thousand_tasks(daemon):
    spec = large_spec()
    text = yaml.dump(spec, Dumper=yaml.CSafeDumper)
    assert len(text) > 5_000_000
    pipeline = daemon.upload(text, "large")
    versions = daemon.get(f"/apis/v2beta1/pipelines/{pipeline['pipeline_id']}/versions")["pipeline_versions"]
    assert versions[0]["pipeline_spec"]["deploymentSpec"] == spec["deploymentSpec"]
    check_order(carried_out(daemon, pipeline_version_reference={
        "pipeline_id": pipeline["pipeline_id"], "pipeline_version_id": versions[0]["pipeline_version_id"]}))


def test_the_same_in_the_body_of_a_recurring_run(daemon):
    made = daemon.post("/apis/v2beta1/recurringruns", {
        "display_name": "large", "max_concurrency": "1", "mode": "DISABLE", "pipeline_spec": large_spec(),
        "trigger": {"cron_schedule": {"cron": "0 0 0 1 1 *"}}})
    again = daemon.get(f"/apis/v2beta1/recurringruns/{made['recurring_run_id']}")
    assert len(again["pipeline_spec"]["components"]) == TASKS


def test_a_long_loop(daemon):
    count, limit = 1000, 30
    spec = shell_spec(name="loop")
    number = {"inputDefinitions": {"parameters": {"item": {"parameterType": "NUMBER_INTEGER"}}}}
    spec["components"]["comp-for"] = {"dag": {"tasks": {"each": {
        "taskInfo": {"name": "each"}, "componentRef": {"name": "comp-main"}}}}, **number}
    spec["root"]["dag"]["tasks"] = {"for": {
        "taskInfo": {"name": "for"}, "componentRef": {"name": "comp-for"},
        "iteratorPolicy": {"parallelismLimit": limit},
        "parameterIterator": {"itemInput": "item", "items": {"raw": json.dumps(list(range(count)))}}}}
    tasks = carried_out(daemon, spec=spec)
    iterations = [task for task in tasks.values() if task.get("iteration", -1) >= 0]
    assert sorted(task["inputs"]["parameters"]["item"] for task in iterations) == list(range(count))
    assert sum(path.endswith("/each") for path in tasks) == count
    # Those that end come first: an iteration begins in the same instant as one before it ends.
    changes = sorted([(task["ended_us"], -1) for task in iterations] + [(task["created_us"], 1) for task in iterations])
    under_way = 0
    for _, change in changes:
        under_way += change
        assert under_way <= limit


@pytest.mark.parametrize("levels, refused", [(100, False), (200, True), (1000, True)])
def test_levels(daemon, levels, refused):
    spec = shell_spec(name="deep")
    for n in range(1, levels):
        inner = f"comp-{n + 1}" if n + 1 < levels else "comp-main"
        spec["components"][f"comp-{n}"] = {"dag": {"tasks": {"t": {
            "taskInfo": {"name": "t"}, "componentRef": {"name": inner}}}}}
    spec["root"]["dag"]["tasks"]["main"]["componentRef"]["name"] = "comp-1"
    if refused:
        answer = daemon.upload(json.dumps(spec), f"deep {levels}", expect=400)
        assert "nested more than 100 levels" in answer["message"]
        daemon.create_run(spec, expect=400)
    else:
        daemon.wait_run(daemon.create_run(spec)["run_id"])
