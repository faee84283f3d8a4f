# SPDX-License-Identifier: Apache-2.0
"""Values that the SDK forgets to pass into groups reach their tasks all the same."""

import pathlib
import shutil
import tempfile
from typing import Dict, List

import pytest

from corpus import place
from language import Language, double, dsl, join, make_dicts, make_list, number, say, shell, show_list, states, write
from rondo_testing import Daemon

kubernetes = pytest.importorskip("kfp.kubernetes")
pytestmark = pytest.mark.timeout(180)
OK, OFF = "ok", "NOT_TRIGGERED"


@pytest.fixture(scope="module")
def language():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="rondo-channels-"))
    with Daemon(data=folder / "data", env=place.environment(folder / "programs")) as daemon:
        place.share_environments(daemon.data)
        yield Language(daemon, folder)
    shutil.rmtree(folder, ignore_errors=True)


def texts(run):
    """What each `say` was given, whichever group or iteration it was in."""
    return sorted(run.inputs(p)["text"] for p in run.tasks if p.split("/")[-1].startswith("say") and run.inputs(p))


@dsl.pipeline(name="elif of another variable")
def other_variable(limit: int = 2):
    made = number(value=3)
    with dsl.ParallelFor([1, 2, 3]) as item:
        with dsl.If(item == 1):
            say(text="first")
        with dsl.Elif(item >= limit):
            with dsl.If(made.output == item):
                say(text=f"made {item} of {limit}")
        with dsl.Else():
            say(text="none")


@pytest.mark.parametrize("limit, expected", [(2, ["first", "made 3 of 2"]), (3, ["first", "made 3 of 3", "none"])])
def test_elif_of_another_variable(language, limit, expected):
    run = language.run(other_variable, limit=limit)
    assert texts(run) == expected
    assert not any(state == "failed" for state in states(run).values())


@dsl.pipeline(name="two items in a text")
def two_items(names: List[str] = ["x", "y"]):
    with dsl.ParallelFor(["a", "b"]) as outer:
        with dsl.ParallelFor([1, 2]) as inner:
            say(text=f"{outer}{inner}")
    with dsl.ParallelFor([{"k": "p"}, {"k": "q"}]) as outer:
        with dsl.ParallelFor(names) as inner:
            say(text=f"{outer.k}-{inner}")
    with dsl.If(number(value=1).output == 1):
        with dsl.ParallelFor([{"k": "v"}]) as outer:
            with dsl.If(number(value=2).output == 2):
                with dsl.ParallelFor(names) as inner:
                    say(text=f"{outer.k}+{inner}")


def test_two_items_in_a_text(language):
    run = language.run(two_items)
    assert texts(run) == sorted(["a1", "a2", "b1", "b2", "p-x", "p-y", "q-x", "q-y", "v+x", "v+y"])


@dsl.pipeline(name="members in texts")
def members(cfg: List[Dict[str, str]], word: str = "w"):
    made = make_dicts(text='[{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]')
    with dsl.If(word == "w"):
        with dsl.ParallelFor(made.output) as item:
            with dsl.If(item.a == "3"):
                say(text=f"{item.a}+{item.b} {word}")
    with dsl.ParallelFor(made.output) as item:
        say(text=f"{item.a}-{item.b} {word}")
    with dsl.ParallelFor(cfg) as item:
        show_list(items=[item.a, f"{item.b} {word}"])


def test_members_of_items_in_texts(language):
    run = language.run(members, cfg=[{"a": "5", "b": "6"}])
    assert texts(run) == ["1-2 w", "3+4 w", "3-4 w"]
    assert [run.inputs(p)["items"] for p in run.tasks if p.endswith("/show-list")] == [["5", "6 w"]]


@dsl.container_component
def variable(out: dsl.OutputPath(str)):
    return shell('printf %s "$WORD" > "$1"', out)


@dsl.pipeline(name="texts that the SDK leaves")
def left_texts(words: List[str], word: str = "w"):
    made = make_list(text='["m"]')
    with dsl.ParallelFor(["1", "2"]) as item:
        with dsl.If(word == f"w{item}"):
            say(text=f"{words} {made.output} {item}")
            show_list(items=[f"{words}", {"k": f"{made.output}{item}"}])
            variable().set_env_variable("WORD", f"{item}-{word}-{made.output}")
            dsl.importer(artifact_uri=f"gs://bucket/{word}/{item}", artifact_class=dsl.Dataset)
    say(text=f"{write(text='x').output}")


def test_texts_that_the_sdk_leaves(language):
    run = language.run(left_texts, words=["p", "q"], word="w2")
    inside = "for-loop-2/1/condition-3"
    assert states(run)["for-loop-2/0/condition-3"] == OFF
    assert run.inputs(f"{inside}/say")["text"] == '["p","q"] ["m"] 2'
    assert run.inputs(f"{inside}/show-list")["items"] == ['["p","q"]', {"k": '["m"]2'}]
    assert run.outputs(f"{inside}/variable")["out"] == '2-w2-["m"]'
    assert run.part(f"{inside}/importer", "outputs", "artifacts")["artifact"][0]["uri"] == "gs://bucket/w2/2"
    assert "channel:task=write" in run.inputs("say-2")["text"]  # an artifact has no text


@dsl.pipeline(name="cache keys of values")
def keyed(key: str):
    join(a="a", b="b").set_caching_options(True, cache_key=f"key-{key}")


def test_cache_key_with_a_value(language):
    found = [states(language.run(keyed, key=key))["join"] for key in ("1", "2", "1")]
    assert found == [OK, OK, "CACHED"]


@dsl.pipeline(name="f-strings in settings")
def settings(team: str):
    made = say(text="words")
    with dsl.If(made.output == "words"):
        with dsl.ParallelFor(["1", "2"]) as item:
            task = variable()
            kubernetes.use_config_map_as_env(task, config_map_name=f"{made.output}-{team}-{item}",
                                             config_map_key_to_env={"key": "WORD"})


def test_f_strings_in_kubernetes_settings(language):
    for number_of in "12":
        folder = language.daemon.data / "config-maps" / f"words-a-{number_of}"
        folder.mkdir(parents=True)
        (folder / "key").write_text(f"word {number_of}")
    run = language.run(settings, team="a")
    inside = [p for p in run.tasks if p.endswith("/variable")]
    assert sorted(run.outputs(p)["out"] for p in inside) == ["word 1", "word 2"]


@dsl.pipeline(name="the same but for the environment")
def environments():
    before = None
    for number_of in ("1", "2"):
        task = variable().set_env_variable("WORD", f"set {number_of}")
        from_map = variable()
        kubernetes.use_config_map_as_env(from_map, config_map_name=say(text=f"map-{number_of}").output,
                                         config_map_key_to_env={"key": "WORD"})
        if before is not None:
            task.after(*before)
            from_map.after(*before)
        before = (task, from_map)


def test_environments_count_in_the_cache(language):
    for number_of in "12":
        folder = language.daemon.data / "config-maps" / f"map-{number_of}"
        folder.mkdir(parents=True)
        (folder / "key").write_text(f"mapped {number_of}")
    run = language.run(environments)
    words = {p: run.outputs(p)["out"] for p in run.tasks if p.startswith("variable")}
    assert words == {"variable": "set 1", "variable-2": "mapped 1", "variable-3": "set 2", "variable-4": "mapped 2"}
    again = states(language.run(environments))
    assert {again[p] for p in words} == {"CACHED"}


@dsl.container_component
def make_any(text: str, out: dsl.OutputPath(list)):
    return shell('printf %s "$1" > "$2"', text, out)


@dsl.pipeline(name="items of any kind")
def any_items(word: str = "w"):
    with dsl.ParallelFor(make_any(text='[1, 2]').output) as item:
        number(value=item)
        with dsl.If(word == "w"):
            double(value=item)
            say(text=f"{item}")
    with dsl.ParallelFor(make_any(text='[[1, "a"], []]').output) as item:
        show_list(items=item)


def test_items_of_a_list_of_anything(language):
    run = language.run(any_items)
    def given(name, key):
        return [run.inputs(p)[key] for p in sorted(run.tasks) if p.endswith(f"/{name}")]
    assert given("number", "value") == [1, 2] and given("double", "value") == [1, 2]
    assert given("show-list", "items") == [[1, "a"], []] and texts(run) == ["1", "2"]
