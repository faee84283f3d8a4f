# SPDX-License-Identifier: Apache-2.0
"""Caching as users of the unmodified kfp SDK meet it: what a second run does again, and what they are told."""

import os
import pathlib
import shutil
import tempfile

import pytest

from language import dsl, kfp, read, say, write
from rondo_testing import Daemon

# The SDK reads ~/.config/kfp; no test may depend on whose home this is.
os.environ["HOME"] = tempfile.mkdtemp(prefix="rondo-home-")

DAY = 24 * 3600
pytestmark = pytest.mark.timeout(180)


@dsl.pipeline(name="reused")
def reused(text: str = "a") -> str:
    return read(data=write(text=text).output).output


@dsl.pipeline(name="chosen")
def chosen(text: str = "a"):
    say(text=text).set_caching_options(False).set_display_name("never")
    say(text=text).set_caching_options(True, cache_key="mine").set_display_name("keyed")
    say(text=text).set_display_name("plain")


@pytest.fixture(scope="module")
def daemon():
    with Daemon() as one:
        yield one


class Ran:
    """A run to its end: what the SDK shows of it, and the records."""

    def __init__(self, daemon, pipeline, arguments=None, **options):
        client = kfp.Client(host=daemon.url)
        self.id = client.create_run_from_pipeline_func(pipeline, arguments=arguments or {}, **options).run_id
        daemon.wait_run(self.id)
        self.tasks = {task["name"]: task for task in daemon.tasks(self.id).values()}
        details = client.get_run(self.id).run_details.task_details
        self.wire = {task.display_name: task.state for task in details}
        self.steps = {name: task["outputs"] for name, task in self.tasks.items()}
        self.cache = {name: task["cache"] for name, task in self.tasks.items()}
        self.record = daemon.get(f"/apis/rondo/v1/runs/{self.id}")


@pytest.fixture
def run(daemon):
    return lambda pipeline, arguments=None, **options: Ran(daemon, pipeline, arguments, **options)


def test_a_second_run_is_the_first(run):
    first = run(reused, {"text": "again"})
    assert first.wire == {"write": "SUCCEEDED", "read": "SUCCEEDED"}
    assert {one["state"] for one in first.cache.values()} == {"miss"}
    second = run(reused, {"text": "again"})
    assert second.wire == {"write": "SKIPPED", "read": "SKIPPED"}
    assert second.steps == first.steps and second.record["outputs"] == first.record["outputs"]
    assert second.record["outputs"]["parameters"] == {"Output": "again"}
    assert second.cache["read"]["from"] == {"run": first.id, "task": "read"}
    assert first.id in second.cache["read"]["reason"]
    assert second.cache["read"]["fingerprint"] == first.cache["read"]["fingerprint"]


def test_another_value_is_a_miss_that_says_why(run):
    run(reused, {"text": "before"})
    changed = run(reused, {"text": "after"})
    assert changed.wire == {"write": "SUCCEEDED", "read": "SUCCEEDED"}
    assert "input 'text'" in changed.cache["write"]["reason"] and changed.cache["write"]["state"] == "miss"
    assert "input artifact 'data'" in changed.cache["read"]["reason"]
    assert changed.record["outputs"]["parameters"] == {"Output": "after"}


def test_options_of_tasks(run):
    run(chosen, {"text": "one"})
    same = run(chosen, {"text": "one"})
    assert same.wire == {"never": "SUCCEEDED", "keyed": "SKIPPED", "plain": "SKIPPED"}
    assert same.cache["never"]["state"] == "off" and "off for this task" in same.cache["never"]["reason"]
    other = run(chosen, {"text": "two"})
    assert other.wire == {"never": "SUCCEEDED", "keyed": "SKIPPED", "plain": "SUCCEEDED"}
    assert other.steps["keyed"]["parameters"] == {"out": "one"}  # the key says that it is the same


def test_off_for_a_whole_run(run):
    run(reused, {"text": "whole"})
    again = run(reused, {"text": "whole"}, enable_caching=False)
    assert again.wire == {"write": "SUCCEEDED", "read": "SUCCEEDED"}
    assert {one["state"] for one in again.cache.values()} == {"off"}


def test_an_artifact_that_is_gone(run):
    first = run(reused, {"text": "gone"})
    before = first.steps["write"]["artifacts"]["data"][0]
    shutil.rmtree(pathlib.Path(before["uri"][len("file://"):]).parent)
    again = run(reused, {"text": "gone"})
    assert again.wire["write"] == "SUCCEEDED" and again.cache["write"]["state"] == "stale"
    assert again.cache["write"]["reason"] == f"artifact data of run {first.id} is gone"
    assert again.steps["write"]["artifacts"]["data"][0]["id"] != before["id"]
    assert again.wire["read"] == "SUCCEEDED" and again.record["outputs"]["parameters"] == {"Output": "gone"}
    assert run(reused, {"text": "gone"}).wire == {"write": "SKIPPED", "read": "SKIPPED"}  # the new one serves


def test_age_and_the_daemons_settings():
    """Not older than a day; then not at all; what was kept is still there when caching is on again."""
    with Daemon("--cache-max-age", "24h") as daemon:
        first = Ran(daemon, reused)
        daemon.move_clock(DAY - 600)
        assert Ran(daemon, reused).wire == {"write": "SKIPPED", "read": "SKIPPED"}
        daemon.move_clock(DAY + 600)  # a hit has not made it younger
        late = Ran(daemon, reused)
        assert late.wire == {"write": "SUCCEEDED", "read": "SUCCEEDED"}
        assert late.cache["write"]["state"] == "stale" and "older than the cache may be" in late.cache["write"]["reason"]
        assert first.id in late.cache["write"]["reason"]
        assert Ran(daemon, reused).cache["write"]["from"]["run"] == late.id

        daemon.stop()
        daemon.args = ["--cache=false"]
        daemon.start()
        off = Ran(daemon, reused)
        assert off.wire == {"write": "SUCCEEDED", "read": "SUCCEEDED"}
        assert {one["state"] for one in off.cache.values()} == {"off"}
        assert "setting cache" in off.cache["write"]["reason"]

        daemon.stop()
        daemon.args = []
        daemon.start()
        on = Ran(daemon, reused)
        assert on.wire == {"write": "SKIPPED", "read": "SKIPPED"}
        assert on.cache["write"]["from"]["run"] == late.id
