# SPDX-License-Identifier: Apache-2.0
"""Pushes that the forge did not tell: found by a look at the refs, and counted once whoever tells them first."""

import base64
import contextlib
import itertools
import os
import subprocess

import pytest

from rondo_testing import Daemon, Redis, wait_for
from test_daemons import SHARDS, daemons, held, wait_shared
from test_git import V1
from test_git_remote import FILE, TOKEN, ForgeServer, Trigger, spec

SETTINGS = {"executor": "noop", "webhook_allow": "127.0.0.1"}
NONE = "0" * 40


class Repository:
    def __init__(self, path):
        self.path, self.commits = str(path), 0
        self.git("init", "-q", "--bare", "-b", "main", self.path, at=None)
        self.tree = self.git("hash-object", "-t", "tree", "-w", "/dev/null")

    def git(self, *args, at="--git-dir"):
        person = {f"GIT_{who}_{what}": "ann" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        where = [f"{at}={self.path}"] if at else []
        return subprocess.run(["git", *where, *args], capture_output=True, check=True, text=True,
                              env={**os.environ, **person}).stdout.strip()

    def at(self, ref):
        return self.git("rev-parse", ref)

    def push(self, branch="main"):
        """A commit more; what the forge would tell of it."""
        ref = f"refs/heads/{branch}"
        before = subprocess.run(["git", f"--git-dir={self.path}", "rev-parse", "-q", "--verify", ref],
                                capture_output=True, text=True, check=False).stdout.strip()
        self.commits += 1
        parents = ["-p", before] if before else []
        after = self.git("commit-tree", self.tree, *parents, "-m", f"number {self.commits}")
        self.git("update-ref", ref, after)
        return before or NONE, after


class Polled:
    """A trigger that looks each minute. The clock is moved on, so that nobody waits."""

    def __init__(self, daemon, server, repository, **fields):
        self.daemon, self.server, self.repository = daemon, server, repository
        server.repository = repository.path
        self.trigger = Trigger(daemon, server, **{"file": None, "poll_s": 60, "events": ["push", "tag"],
                                                  "parameters": {"commit": {"from": "$commit", "default": "gone"}},
                                                  **fields})
        self.id = self.trigger.id
        self.wait_look(0)

    def state(self):
        return self.daemon.get(f"{V1}/triggers/git/{self.id}").get("poll", {})

    def wait_look(self, since):
        return wait_for(lambda: (s := self.state()).get("last_us", 0) > since and s["next_us"], 60, "a look")

    def look(self):
        """The next look, from its begin to its end."""
        last = self.state().get("last_us", 0)
        self.daemon.shift = getattr(self.daemon, "shift", 0) + 100
        self.daemon.move_clock(self.daemon.shift)
        return self.wait_look(last)

    def send(self, before, after, expect=None):
        return self.trigger.send(after, before=before, expect=expect)

    def runs(self):
        return sorted(self.daemon.run(r["run_id"])["runtime_config"]["parameters"]["commit"]
                      for r in self.trigger.runs())

    def started(self):
        return self.daemon.get(f"{V1}/triggers/git/{self.id}/events")["counts"].get("started", 0)

    def events(self):
        return self.daemon.get(f"{V1}/triggers/git/{self.id}/events")["events"]


@pytest.fixture
def server():
    with contextlib.closing(ForgeServer()) as one:
        yield one


@pytest.fixture(scope="module")
def daemon():
    with Daemon(settings=SETTINGS) as one:
        yield one
        one.move_clock(0)


@pytest.fixture
def repository(tmp_path):
    one = Repository(tmp_path / "model.git")
    one.push()
    return one


@pytest.fixture
def polled(daemon, server, repository):
    return Polled(daemon, server, repository)


def test_the_first_look_only_records(polled, server):
    assert polled.runs() == [] and polled.events() == []
    assert polled.state()["refs"] == 1
    assert server.looks[0]["path"] == "/acme/model.git/info/refs?service=git-upload-pack"
    basic = base64.b64encode(f"x-access-token:{TOKEN}".encode()).decode()
    assert server.looks[0]["headers"]["Authorization"] == f"Basic {basic}"
    polled.look()
    assert polled.runs() == []


def test_a_dropped_push_is_found_once(polled, repository):
    before, after = repository.push()
    polled.look()
    polled.look()
    assert polled.runs() == [after]
    event, = polled.events()
    assert event["event"] == "poll" and event["verified_by"] == "poll" and event["polled"] is True
    assert event["refs"][0]["before"] == before and event["refs"][0]["after"] == after
    run = polled.trigger.runs()[0]
    shown = polled.daemon.get(f"{V1}/runs/{run['run_id']}")
    assert shown["trigger"]["commit"] == after and shown["trigger"]["branch"] == "main"
    # It can be looked into and evaluated again as others can.
    again = polled.daemon.post(f"{V1}/triggers/git/{polled.id}/events/{event['id']}:redeliver", {})
    assert again["result"] == "duplicate" and len(polled.runs()) == 1
    forced = polled.daemon.post(f"{V1}/triggers/git/{polled.id}/events/{event['id']}:redeliver", {"force": True})
    assert forced["result"] == "started" and len(polled.runs()) == 2


def test_message_then_look(polled, repository):
    assert polled.send(*repository.push(), expect=202)["result"] == "started"
    polled.look()
    assert len(polled.runs()) == 1 and len(polled.events()) == 1
    # Two more, of which only the first is told.
    told, dropped = repository.push(), repository.push()
    polled.send(*told, expect=202)
    polled.look()
    assert polled.runs() == sorted([polled.repository.at("main~2"), told[1], dropped[1]])
    assert polled.events()[0]["refs"][0]["before"] == told[1]


def test_look_then_message(polled, repository):
    first, second = repository.push(), repository.push()
    polled.look()
    assert polled.runs() == [second[1]]
    # It knows of one move, from the first one's before to the second one's after.
    late = polled.send(*second, expect=200)
    assert late["result"] == "duplicate" and late["run_id"] == polled.trigger.runs()[0]["run_id"]
    assert polled.send(first[0], second[1], expect=200)["result"] == "duplicate"
    # What comes after it is news again, and so is the way back.
    third = repository.push()
    assert polled.send(*third, expect=202)["result"] == "started"
    assert polled.send(*second, expect=200)["result"] == "duplicate"
    assert polled.send(third[1], second[1], expect=202)["result"] == "started"


def test_the_same_move_at_another_time(polled, repository):
    """There and back and there again, and nobody tells."""
    before, after = repository.push()
    polled.look()
    for to in (before, after, before):
        repository.git("update-ref", "refs/heads/main", to)
        polled.look()
    assert polled.runs() == sorted([before, after] * 2)


def test_tags_and_deleted_branches(polled, repository):
    repository.git("tag", "-a", "-m", "one", "v1", "main")
    repository.push("side")
    polled.look()
    by_ref = {e["refs"][0]["ref"]: e for e in polled.events()}
    tag = by_ref["refs/tags/v1"]["refs"][0]
    assert tag["kind"] == "tag" and tag["result"] == "started"
    assert tag["before"] == NONE and tag["after"] == repository.at("v1") and tag["commit"] == repository.at("main")
    assert by_ref["refs/heads/side"]["result"] == "started"
    side = repository.at("side")
    repository.git("update-ref", "-d", "refs/heads/side")
    polled.look()
    gone = polled.events()[0]["refs"][0]
    assert gone["ref"] == "refs/heads/side" and gone["before"] == side and gone["after"] == NONE
    assert polled.state()["refs"] == 2
    polled.look()
    assert len(polled.events()) == 3


def test_a_forge_that_is_down(polled, repository, server):
    _, after = repository.push()
    server.statuses = [503, 404]
    for failures, says in ((1, "answered 503"), (2, "is there such a repository")):
        polled.daemon.shift = getattr(polled.daemon, "shift", 0) + 300
        polled.daemon.move_clock(polled.daemon.shift)
        state = wait_for(lambda n=failures: (s := polled.state()).get("failures") == n and s, 60, "the failure")
        assert says in state["error"]
    # Somebody gives it another token: it is looked at once, and not in an hour.
    polled.daemon.patch(f"{V1}/triggers/git/{polled.id}", {"api": {"url": server.url, "token": "another"}})
    wait_for(lambda: polled.runs() == [after], 60, "the look after the change")
    wait_for(lambda: "error" not in polled.state(), 60, "the look to be written down")
    assert "error" not in polled.state() and "failures" not in polled.state()


def test_what_is_off_is_not_looked_at(polled, repository, server):
    where = f"{V1}/triggers/git/{polled.id}"
    polled.daemon.patch(where, {"enabled": False})
    wait_for(lambda: polled.state() == {}, 60, "what was kept to be forgotten")
    count = len(server.looks)
    repository.push()
    polled.daemon.patch(where, {"enabled": True})
    polled.wait_look(0)
    assert len(server.looks) == count + 1
    assert polled.runs() == []  # what happened meanwhile is not news
    _, after = repository.push()
    polled.look()
    assert polled.runs() == [after]
    polled.daemon.delete(where)


def test_more_than_is_gone_through_at_once(polled, repository):
    commit = repository.at("main")
    for n in range(130):
        repository.git("update-ref", f"refs/tags/t{n}", commit)
    polled.look()
    if polled.started() < 130:
        assert polled.started() == 100
        polled.look()
    assert polled.started() == 130
    assert polled.state()["refs"] == 131


def test_the_pipeline_from_the_repository(daemon, server, repository):
    polled = Polled(daemon, server, repository, file=FILE)
    _, after = repository.push()
    server.files[("/repos/acme/model/contents/pipelines/train%20me.yaml", after)] = spec()
    polled.look()
    event, = polled.events()
    wait_for(lambda: polled.events()[0]["result"] == "started", 60, "its pipeline")
    assert polled.runs() == [after]
    assert polled.send(NONE, after, expect=200)["result"] == "duplicate"


def test_both_wait_for_the_pipeline(daemon, server, repository):
    """Nobody knows of a run yet when the message comes: when the pipeline is there, one of them starts it."""
    polled = Polled(daemon, server, repository, file=FILE)
    first, second = repository.push(), repository.push()
    server.statuses = [200] + [503] * 1000  # the refs; then the file, until it is there
    polled.look()
    polled.send(*second, expect=202)
    wait_for(lambda: len(server.asked) >= 2, 60, "both to have tried")
    server.files[("/repos/acme/model/contents/pipelines/train%20me.yaml", second[1])] = spec()
    server.statuses = []

    def are_settled():  # the clock may be moved before an answer has been seen
        polled.daemon.shift += 100
        polled.daemon.move_clock(polled.daemon.shift)
        return {e["result"] for e in polled.events()} == {"started", "duplicate"}
    wait_for(are_settled, 60, "both to be settled", step=0.25)
    assert polled.runs() == [second[1]]
    assert first[1] not in polled.runs()


def test_another_daemon_goes_on(server, repository):
    """One of two goes: the other one looks at the refs from then on, and tells what it finds of each."""
    with Redis() as redis, daemons(redis, webhook_allow="127.0.0.1") as (first, second):
        second.stop()  # nobody waits until it has heard of these
        wait_for(lambda: len(held(first)) == SHARDS, 60, "all shards")
        all_polled = [Polled(first, server, repository, commit_status=True) for _ in range(4)]
        second.start()
        wait_shared(first, second)
        first.stop()
        _, after = repository.push()
        for one in all_polled:
            one.daemon = one.trigger.daemon = second
        second.move_clock(100)
        for one in all_polled:
            wait_for(one.runs, 60, "its run")
            assert one.runs() == [after]
        wait_for(lambda: [p["state"] for p in server.posts].count("success") >= 4, 60, "their statuses")
        assert {p["path"] for p in server.posts} == {f"/repos/acme/model/statuses/{after}"}
        assert second.metric('rondo_git_statuses_total{result="posted"}') >= 4
        assert second.metric('rondo_git_polls_total{result="ok"}') >= 4


@pytest.mark.parametrize("fault", ["git.poll.before", "git.poll.after"])
def test_killed_around_the_write(server, repository, fault):
    """The run is there, and that its push was seen is perhaps not: the next look makes no other."""
    with Daemon(settings=SETTINGS) as daemon:
        polled = Polled(daemon, server, repository)
        _, after = repository.push()
        daemon.restart(env={"RONDO_FAULT": f"{fault}:crash"})
        daemon.move_clock(100)
        wait_for(lambda: daemon.process.poll() is not None, 60, "the crash")
        daemon.kill9()
        daemon.start()
        last = polled.state()["last_us"]
        shifts = itertools.count(300, 300)  # a look may be under way already
        wait_for(lambda: (daemon.move_clock(next(shifts)), polled.state()["last_us"] > last)[1], 60, "a look")
        assert polled.runs() == [after]
        assert polled.send(NONE, after, expect=200)["result"] == "duplicate"
