# SPDX-License-Identifier: Apache-2.0
"""Control flow as people write it now: compiled here by the SDK, run as local processes."""

import pathlib
import shutil
import tempfile
from typing import Dict, List, NamedTuple

import pytest

from corpus import place
from language import (Language, count_data, dsl, double, fail, fail_with_output, flaky, fraction, join, make_dicts, make_list, number, read,
                      say, show_list, states, truth, write)
from rondo_testing import Daemon, wait_for

pytestmark = pytest.mark.timeout(180)
OK, OFF, NEVER, FAILED = "ok", "NOT_TRIGGERED", "UNSCHEDULABLE", "FAILED"


@pytest.fixture(scope="module")
def language():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="rondo-language-"))
    with Daemon(data=folder / "data", env=place.environment(folder / "programs")) as daemon:
        place.share_environments(daemon.data)
        yield Language(daemon, folder)
    shutil.rmtree(folder, ignore_errors=True)


# ---- conditions ----

@dsl.pipeline(name="branches")
def branches(n: int = 0) -> str:
    given = number(value=n)
    with dsl.If(given.output < 0):
        low = say(text="negative")
    with dsl.Elif(given.output == 0):
        none = say(text="zero")
    with dsl.Else():
        with dsl.If(given.output > 100):
            say(text="huge")
        high = say(text=f"positive: {given.output}")
    chosen = dsl.OneOf(low.output, none.output, high.output)
    say(text=chosen)
    return chosen


@pytest.mark.parametrize("n, text, taken", [(-5, "negative", 2), (0, "zero", 3), (7, "positive: 7", 4)])
def test_if_elif_else(language, n, text, taken):
    run = language.run(branches, n=n)
    group = "condition-branches-1"
    for number_of in (2, 3, 4):
        assert states(run)[f"{group}/condition-{number_of}"] == (OK if number_of == taken else OFF)
    assert run.root_outputs() == {"Output": text}
    assert run.inputs("say-5")["text"] == text
    if n == 7:
        assert states(run)[f"{group}/condition-4/condition-5"] == OFF


@dsl.pipeline(name="kinds")
def kinds(flag: bool = True, ratio: float = 0.5, name: str = "it's"):
    with dsl.If(truth(value=flag).output == True, name="is true"):  # noqa: E712
        say(text="a")
    with dsl.If(truth(value=flag).output == False):  # noqa: E712
        say(text="b")
    with dsl.If(fraction(value=ratio).output >= 0.25):
        say(text="c")
    with dsl.If(ratio < 0.25):
        say(text="d")
    with dsl.If(say(text=name).output != "other"):
        say(text="e")
    with dsl.If(say(text="same").output == say(text="same").output):
        say(text="f")


def test_conditions_of_all_kinds(language):
    run = language.run(kinds, flag=False, ratio=0.25)
    taken = {run.inputs(p)["text"] for p in run.tasks if "/" in p}
    assert taken == {"b", "c", "e", "f"}
    assert sorted(s for p, s in states(run).items() if p.startswith("condition")) == sorted([OFF] * 2 + [OK] * 4 + [OK] * 4)


@dsl.pipeline(name="skips")
def skips():
    with dsl.If(say(text="a").output == "b"):
        say(text="never")
    after_group = say(text="after the group")
    say(text="after that").after(after_group)
    say(text="beside it")


def test_what_follows_a_skipped_task_never_runs(language):
    def edit(spec):  # the SDK does not let one write this
        spec["root"]["dag"]["tasks"]["say-3"]["dependentTasks"] = ["condition-1"]
    run = language.run(skips, edit=edit)
    assert states(run) == {"say": OK, "condition-1": OFF, "say-3": NEVER, "say-4": NEVER, "say-5": OK}


@dsl.pipeline(name="inner branches")
def inner_branches(which: str) -> NamedTuple("Out", data=dsl.Dataset, text=str):
    with dsl.If(which == "a"):
        a, at = write(text="from a"), say(text="a")
    with dsl.Else():
        b, bt = write(text="from b"), say(text="b")
    out = NamedTuple("Out", data=dsl.Dataset, text=str)
    return out(data=dsl.OneOf(a.output, b.output), text=dsl.OneOf(at.output, bt.output))


@dsl.pipeline(name="artifacts of branches")
def artifact_branches(which: str = "b") -> dsl.Dataset:
    one = inner_branches(which=which)
    read(data=one.outputs["data"])
    say(text=one.outputs["text"])
    return one.outputs["data"]


@pytest.mark.parametrize("which", ["a", "b"])
def test_oneof_artifacts_out_of_a_pipeline(language, which):
    run = language.run(artifact_branches, which=which)
    assert run.gets("read", {}) == {"data": f"from {which}"} and run.outputs("read") == {"out": f"from {which}"}
    assert run.inputs("say") == {"text": which}
    assert run.root_files({}) == {"Output": f"from {which}"}


def test_condition_that_cannot_be_evaluated(language):
    @dsl.pipeline(name="no sense")
    def pipeline():
        with dsl.If(say(text="a").output == "a"):
            say(text="b")

    def edit(spec):
        task = spec["root"]["dag"]["tasks"]["condition-1"]
        task["triggerPolicy"]["condition"] = "int(inputs.parameter_values['pipelinechannel--say-out']) > 1"
    run = language.run(pipeline, "FAILED", edit)
    assert states(run) == {"say": OK, "condition-1": FAILED}
    assert "int(" in run.tasks["condition-1"]["error"] and '"a"' in run.tasks["condition-1"]["error"].replace("'", '"')


# ---- loops ----

@dsl.pipeline(name="loops")
def loops(items: List[str], count: int = 3) -> List[int]:
    with dsl.ParallelFor([1, 2, 3], parallelism=2) as x:
        doubled = double(value=x)
        with dsl.ParallelFor(["a", "b"]) as y:
            joined = join(a=y, b=f"<{doubled.output}>")
        show_list(items=dsl.Collected(joined.output))
    with dsl.ParallelFor(items) as item:
        say(text=item)
    with dsl.ParallelFor(make_list(text='["p", "q"]').output) as item:
        say(text=item)
    show_list(items=dsl.Collected(doubled.output))
    show_list(items=dsl.Collected(joined.output))
    return dsl.Collected(doubled.output)


def test_loops(language):
    run = language.run(loops, items=["x", "y \"z\""])
    assert run.root_outputs() == {"Output": [2, 4, 6]}
    texts = sorted(run.inputs(p)["text"] for p in run.tasks if "/say" in p)
    assert texts == sorted(["x", 'y "z"', "p", "q"])
    shown = {p: run.outputs(p)["out"] for p in run.tasks if "show-list" in p}
    assert shown["show-list-2"] == "[2,4,6]"
    assert shown["show-list-3"] == '[["a-<2>","b-<2>"],["a-<4>","b-<4>"],["a-<6>","b-<6>"]]'.replace("<", "\\u003c").replace(">", "\\u003e")
    assert run.parallel("for-loop-2") <= 2
    inner = [run.inputs(p)["items"] for p in sorted(shown) if "/" in p]
    assert inner == [["a-<2>", "b-<2>"], ["a-<4>", "b-<4>"], ["a-<6>", "b-<6>"]]


@dsl.pipeline(name="items of dicts")
def dict_items(people: List[Dict[str, str]] = [{"who": "Ann", "age": "7"}, {"who": "Bob", "age": "8"}]):  # noqa: B006
    with dsl.ParallelFor([{"a": 1, "b": 2.5}, {"a": 2, "b": 0}]) as item:
        number(value=item.a)
    with dsl.ParallelFor([{"a": "x", "b": ["10", "20"]}, {"a": "y", "b": []}]) as item:
        with dsl.ParallelFor(item.b) as inner:
            say(text=inner)
    with dsl.ParallelFor(people) as person:
        join(a=person.who, b=person.age)
    with dsl.ParallelFor(make_dicts(text='[{"k": "v1"}, {"k": "v2"}]').output) as one:
        say(text=one.k)
        with dsl.If(one.k == "v2"):
            join(a="found", b=one.k)


def test_items_of_dicts(language):
    run = language.run(dict_items)
    inputs = [run.inputs(p) for p, t in run.tasks.items() if t["kind"] == "container"]
    assert sorted(i["value"] for i in inputs if "value" in i) == [1, 2]
    assert sorted(i["text"] for i in inputs if "text" in i and "[" not in i["text"]) == ["10", "20", "v1", "v2"]
    assert sorted((i["a"], i["b"]) for i in inputs if "a" in i) == [("Ann", "7"), ("Bob", "8"), ("found", "v2")]


@dsl.pipeline(name="nothing to do")
def empty_loop(items: List[str] = []) -> List[str]:  # noqa: B006
    with dsl.ParallelFor(items) as item:
        said = say(text=item)
        wrote = write(text=item)
    show_list(items=dsl.Collected(said.output))
    count_data(data=dsl.Collected(wrote.output))
    say(text="afterwards").after(said)
    return dsl.Collected(said.output)


def test_empty_loop(language):
    run = language.run(empty_loop)
    assert run.root_outputs() == {"Output": []}
    assert run.inputs("show-list") == {"items": []} and run.outputs("show-list") == {"out": "[]"}
    assert run.gets("count-data", {"data": []}) == {"data": []} and run.outputs("count-data") == {"out": "[]"}
    assert states(run)["for-loop-1"] == OK and states(run)["say-2"] == OK


@dsl.pipeline(name="a hole")
def loop_with_holes() -> List[str]:
    with dsl.ParallelFor(["a", "b", "c"]) as item:
        with dsl.If(item != "b"):
            said = say(text=item)
            wrote = write(text=item)
    show_list(items=dsl.Collected(said.output))
    count_data(data=dsl.Collected(wrote.output))
    return dsl.Collected(said.output)


def test_skipped_iterations_are_left_out(language):
    run = language.run(loop_with_holes)
    assert run.root_outputs() == {"Output": ["a", "c"]}
    assert run.outputs("show-list") == {"out": '["a","c"]'}
    assert run.gets("count-data", {"data": []}) == {"data": ["a", "c"]}


@dsl.pipeline(name="read all")
def read_all(datas: dsl.Input[List[dsl.Dataset]]):
    with dsl.ParallelFor(datas) as data:
        read(data=data)


@dsl.pipeline(name="loop over artifacts")
def loop_over_artifacts():
    with dsl.ParallelFor(["x", "y", "z"]) as item:
        wrote = write(text=item)
    read_all(datas=dsl.Collected(wrote.output))


def test_loop_over_artifacts(language):
    run = language.run(loop_over_artifacts)
    texts = [run.outputs(f"read-all/for-loop-1/{n}/read")["out"] for n in range(3)]
    assert texts == ["x", "y", "z"]


@dsl.container_component
def sometimes(code: int):
    return dsl.ContainerSpec(image="alpine", command=["sh", "-c", 'exit "$0"'], args=[code])


def test_a_failed_iteration_fails_the_loop_alone(language):
    @dsl.pipeline(name="one bad item")
    def pipeline():
        with dsl.ParallelFor([0, 3, 0]) as code:
            tried = sometimes(code=code)
        say(text="needs it").after(tried)
        say(text="beside it")
    run = language.run(pipeline, "FAILED")
    assert states(run) == {
        "for-loop-2": FAILED, "for-loop-2/0": OK, "for-loop-2/1": FAILED, "for-loop-2/2": OK, "for-loop-2/0/sometimes": OK,
        "for-loop-2/1/sometimes": FAILED, "for-loop-2/2/sometimes": OK, "say": NEVER, "say-2": OK}
    assert "for-loop-2/1/sometimes" in run.error and run.tasks["for-loop-2/1/sometimes"]["exit_code"] == 3


# ---- pipelines in pipelines ----

@dsl.pipeline(name="level 5")
def level5(text: str, data: dsl.Input[dsl.Dataset]) -> NamedTuple("Out", text=str, data=dsl.Dataset):
    seen = read(data=data)
    said = join(a=text, b=seen.output)
    wrote = write(text=said.output)
    return NamedTuple("Out", text=str, data=dsl.Dataset)(text=said.output, data=wrote.output)


@dsl.pipeline(name="level 4")
def level4(text: str, data: dsl.Input[dsl.Dataset]) -> NamedTuple("Out", text=str, data=dsl.Dataset):
    inner = level5(text=text, data=data)
    return NamedTuple("Out", text=str, data=dsl.Dataset)(text=inner.outputs["text"], data=inner.outputs["data"])


@dsl.pipeline(name="level 3")
def level3(text: str, data: dsl.Input[dsl.Dataset]) -> NamedTuple("Out", text=str, data=dsl.Dataset):
    inner = level4(text=f"{text}!", data=data)
    return NamedTuple("Out", text=str, data=dsl.Dataset)(text=inner.outputs["text"], data=inner.outputs["data"])


@dsl.pipeline(name="level 2")
def level2(text: str, data: dsl.Input[dsl.Dataset]) -> NamedTuple("Out", text=str, data=dsl.Dataset):
    inner = level3(text=text, data=data)
    return NamedTuple("Out", text=str, data=dsl.Dataset)(text=inner.outputs["text"], data=inner.outputs["data"])


@dsl.pipeline(name="level 1")
def level1(text: str = "deep") -> NamedTuple("Out", text=str, data=dsl.Dataset):
    inner = level2(text=text, data=write(text="down here").output)
    read(data=inner.outputs["data"])
    return NamedTuple("Out", text=str, data=dsl.Dataset)(text=inner.outputs["text"], data=inner.outputs["data"])


def test_five_levels(language):
    run = language.run(level1)
    assert run.root_outputs() == {"text": "deep!-down here"} and run.root_files({}) == {"data": "deep!-down here"}
    assert run.outputs("level-2/level-3/level-4/level-5/join") == {"out": "deep!-down here"}
    assert run.outputs("read") == {"out": "deep!-down here"}


def test_a_failure_inside_fails_its_pipeline_and_what_needs_it(language):
    @dsl.pipeline(name="inside")
    def inside() -> str:
        said = say(text="fine")
        fail(code=9, text="oh dear")
        return said.output

    @dsl.pipeline(name="outside")
    def outside():
        say(text=inside().output)
        say(text="beside")
    run = language.run(outside, "FAILED")
    assert states(run) == {"inside": FAILED, "inside/say": OK, "inside/fail": FAILED, "say": NEVER, "say-2": OK}
    assert run.tasks["inside/fail"]["exit_code"] == 9 and "oh dear" in run.error


# ---- exit handlers ----

@dsl.component(base_image="python:3.11")
def report(status: dsl.PipelineTaskFinalStatus, who: str = "nobody") -> str:
    return f"{status.state}|{status.pipeline_task_name}|{status.error_code}|{status.error_message}|{who}"


@pytest.mark.parametrize("code", [0, 6])
def test_exit_handler(language, code):
    @dsl.pipeline(name="with an exit")
    def pipeline(code: int):
        told = report(who="me")
        with dsl.ExitHandler(told, name="body"):
            first = sometimes(code=code)
            say(text="second").after(first)
        say(text=f"outside {code}")
    run = language.run(pipeline, "FAILED" if code else "SUCCEEDED", code=code)
    word, _, number_of, message, who = run.outputs("report")["Output"].split("|")
    assert states(run) == {"exit-handler-1": FAILED if code else OK, "exit-handler-1/sometimes": FAILED if code else OK,
                           "exit-handler-1/say": NEVER if code else OK, "say-2": OK, "report": OK}
    assert who == "me" and word == ("FAILED" if code else "SUCCEEDED")
    assert ("sometimes" in message and number_of == "6") if code else message == "None"


@dsl.pipeline(name="clean up")
def clean_up(text: str):
    with dsl.If(say(text=text).output == "yes"):
        say(text="cleaning")


def test_exit_handler_with_loops_and_conditions_inside(language):
    @dsl.pipeline(name="everything inside")
    def pipeline(n: int = 2):
        with dsl.ExitHandler(clean_up(text="yes")):
            with dsl.ParallelFor([1, 2, 3]) as x:
                doubled = double(value=x)
                with dsl.If(doubled.output > 2):
                    with dsl.If(doubled.output > 4):
                        fail(code=2)
                    with dsl.Else():
                        say(text=f"{doubled.output} of {n}")
    run = language.run(pipeline, "FAILED")
    seen = states(run)
    assert seen["exit-handler-1"] == FAILED and seen["clean-up"] == OK and seen["clean-up/condition-1/say-2"] == OK
    loop = next(p for p in seen if p.startswith("exit-handler-1/for-loop") and p.count("/") == 1)
    assert [seen[f"{loop}/{n}"] for n in range(3)] == [OK, OK, FAILED]
    assert [run.inputs(p)["text"] for p in seen if p.endswith("/say") and p.startswith(loop)] == ["4 of 2"]


def test_exit_task_after_cancellation(language):
    @dsl.pipeline(name="told to end")
    def pipeline():
        told = report(who="me")
        with dsl.ExitHandler(told):
            wait_for_ever()
    run_id = language.start(pipeline)
    wait_for(lambda: language.daemon.tasks(run_id).get("exit-handler-1/wait-for-ever", {}).get("state") == "RUNNING", 60, "a task")
    language.daemon.call("POST", f"/apis/v2beta1/runs/{run_id}:terminate")
    run = language.wait(run_id, "CANCELED")
    assert states(run) == {"exit-handler-1": "CANCELED", "exit-handler-1/wait-for-ever": "CANCELED", "report": "CANCELED"}


@dsl.container_component
def wait_for_ever():
    return dsl.ContainerSpec(image="alpine", command=["tail", "-f", "/dev/null"])


def test_ignore_upstream_failure(language):
    @dsl.pipeline(name="come what may")
    def pipeline():
        failed = fail_with_output()
        default = with_default(text=failed.output).ignore_upstream_failure()
        say(text=default.output)
        say(text=failed.output)
        say(text="for its own sake").after(failed).ignore_upstream_failure()
    run = language.run(pipeline, "FAILED")
    assert states(run) == {"fail-with-output": FAILED, "with-default": OK, "say": OK, "say-2": NEVER, "say-3": OK}
    assert run.outputs("with-default") == {"out": "the default"} and run.inputs("say") == {"text": "the default"}


@dsl.container_component
def with_default(out: dsl.OutputPath(str), text: str = "the default"):
    return dsl.ContainerSpec(image="alpine", command=["sh", "-c", 'printf %s "$0" > "$1"'], args=[text, out])


# ---- retry ----

def test_retry(language):
    @dsl.pipeline(name="again")
    def pipeline(a: str, b: str):
        flaky(counter=a, good_at=3).set_retry(num_retries=5, backoff_duration="0s", backoff_factor=1.0)
        flaky(counter=b, good_at=9).set_retry(num_retries=1, backoff_duration="0s")
    run = language.run(pipeline, "FAILED", a=language.new_path("a"), b=language.new_path("b"))
    assert states(run) == {"flaky": OK, "flaky-2": FAILED}
    assert run.tasks["flaky"]["tries"] == 3 and run.outputs("flaky") == {"out": "3 of 2"}
    assert run.tasks["flaky-2"]["tries"] == 2


def test_retry_of_a_pipeline_is_for_the_tasks_in_it(language):
    @dsl.pipeline(name="tries")
    def tries(counter: str, own: str) -> str:
        flaky(counter=own, good_at=2).set_retry(num_retries=0)
        return flaky(counter=counter, good_at=3).output

    @dsl.pipeline(name="outer tries")
    def outer(counter: str, own: str):
        tries(counter=counter, own=own).set_retry(num_retries=4, backoff_duration="0s")
    run = language.run(outer, "FAILED", counter=language.new_path("c"), own=language.new_path("d"))
    # The SDK writes no policy for 0 retries, so that one takes the pipeline's, too, or its own: see runs.md.
    assert run.outputs("tries/flaky-2") == {"out": "3 of 2"}


# ---- order ----

def test_after_a_loop(language):
    @dsl.pipeline(name="order")
    def pipeline():
        with dsl.ParallelFor([1, 2]) as x:
            looped = number(value=x)
        say(text="last").after(looped)
    run = language.run(pipeline)
    last = run.tasks["say"]["started_us"]
    assert all(t["ended_us"] <= last for p, t in run.tasks.items() if p and p != "say")
