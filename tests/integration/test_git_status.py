# SPDX-License-Identifier: Apache-2.0
"""Commit statuses: the forge is told what becomes of a commit, whatever happens in between."""

import contextlib
import socket
import uuid

import pytest
import requests

from rondo_testing import Daemon, wait_for
from test_git import SECRET, V1
from test_git_remote import FILE, TOKEN, ForgeServer, Trigger

PUBLIC = "https://rondo.example.com"
SETTINGS = {"executor": "noop", "webhook_allow": "127.0.0.1", "public_url": PUBLIC}


@pytest.fixture
def server():
    with contextlib.closing(ForgeServer()) as one:
        yield one


@pytest.fixture(scope="module")
def daemon():
    with Daemon(settings=SETTINGS) as one:
        yield one
        one.move_clock(0)


@pytest.fixture(scope="module")
def local():
    """Its runs are processes: they last and fail as they are told to."""
    with Daemon(settings={k: v for k, v in SETTINGS.items() if k != "executor"}) as one:
        yield one


def make(daemon, server, **fields):
    return Trigger(daemon, server, **{"file": None, "commit_status": True, **fields})


def commit_of(n):
    return f"{n:x}" * 40


def told(server, *states, seconds=60):
    """All that was taken of the forge, in order."""
    def all_told():
        return [p["state"] for p in server.posts if p["code"] == 201][-len(states):] == list(states)

    wait_for(all_told, seconds, f"the statuses {states}; posted: {[(p['code'], p['state']) for p in server.posts]}")


def status_of(trigger):
    return trigger.daemon.get(f"{V1}/triggers/git/{trigger.id}").get("status", {})


def hold(tmp_path, then="true"):
    """A script that goes on until it is let go, so that what is pending can be seen."""
    return f"until [ -e {tmp_path}/go ]; do sleep 0.02; done; {then}"


def test_from_pending_to_success(local, server, tmp_path):
    trigger = make(local, server, script=hold(tmp_path))
    answer = trigger.send(commit_of(1))
    told(server, "pending")
    (tmp_path / "go").touch()
    told(server, "pending", "success", seconds=60)
    assert len(server.posts) == 2
    for post in server.posts:
        assert post["path"] == f"/repos/acme/model/statuses/{commit_of(1)}"
        assert post["headers"]["Authorization"] == f"Bearer {TOKEN}"
        assert post["context"] == "rondo/remote"
        assert post["target_url"] == f"{PUBLIC}/apis/v2beta1/runs/{answer['run_id']}"
    assert server.posts[1]["description"].startswith("Succeeded after ")
    wait_for(lambda: "last_us" in status_of(trigger), what="the trigger's status")
    assert status_of(trigger)["last_commit"] == commit_of(1)
    wait_for(lambda: local.get(f"{V1}/triggers/git/{trigger.id}/events")["counts"]["statuses"] == 2, what="both to count")


def test_a_run_that_fails_says_why(local, server, tmp_path):
    trigger = make(local, server, script=hold(tmp_path, "exit 3"), status_context="ci / train")
    trigger.send(commit_of(2))
    told(server, "pending")
    (tmp_path / "go").touch()
    told(server, "pending", "failure", seconds=60)
    assert server.posts[-1]["context"] == "ci / train"
    assert server.posts[-1]["description"].startswith("FAILED after ")
    assert ": " in server.posts[-1]["description"]


def test_groups_wait_and_are_superseded(local, server, tmp_path):
    # The first does not end when it is asked to before all three have come.
    script = f"trap 'until [ -e {tmp_path}/told ]; do sleep 0.02; done; exit 1' TERM; touch {tmp_path}/begun; {hold(tmp_path)}"
    trigger = make(local, server, script=script, concurrency={"policy": "cancel"})
    answers = [trigger.send(commit_of(1), before=commit_of(0))]
    assert answers[0]["result"] == "started"
    wait_for((tmp_path / "begun").exists, what="the first one")
    answers += [trigger.send(commit_of(n), before=commit_of(n - 1)) for n in (2, 3)]
    (tmp_path / "told").touch()

    def of(n):
        return [p for p in server.posts if p["path"].endswith(commit_of(n))]

    # The first is asked to end, the second never begins, the third takes its turn.
    for n, last in ((1, "error"), (2, "error")):
        wait_for(lambda n=n, last=last: of(n) and of(n)[-1]["state"] == last, 60, f"the end of {n}")
    assert of(2)[-1]["description"].startswith("Superseded by a later push of group")
    (tmp_path / "go").touch()
    wait_for(lambda: of(3) and of(3)[-1]["state"] == "success", 60, "the third one")
    assert of(3)[-1]["target_url"] == f"{PUBLIC}/apis/v2beta1/runs/{answers[2]['run_id']}"


def test_groups_queue_and_are_dropped(local, server, tmp_path):
    trigger = make(local, server, script=hold(tmp_path),
                   concurrency={"policy": "queue"})
    first, second = (trigger.send(commit_of(n), before=commit_of(n - 1)) for n in (1, 2))
    assert (first["result"], second["result"]) == ("started", "waiting")
    of_second = [f"/repos/acme/model/statuses/{commit_of(2)}"]

    def second_is(state):
        return [p["description"] for p in server.posts if p["path"] in of_second and p["state"] == state]

    text, = wait_for(lambda: second_is("pending"), 60, "that it waits")
    assert text.startswith(f"Waits for run {first['run_id']}")
    local.post(f"{V1}/triggers/git/{trigger.id}/events/{second['event_id']}:drop", {})
    assert wait_for(lambda: second_is("error"), 60, "that it was dropped") == ["Taken out of the queue"]
    (tmp_path / "go").touch()
    told(server, "success", seconds=60)


def test_a_run_that_cannot_start_is_a_failure(daemon, server):
    trigger = make(daemon, server, file=FILE)
    answer = trigger.send(commit_of(4))
    assert trigger.settled(answer)["result"] == "failed"
    told(server, "failure")
    assert "404" in server.posts[-1]["description"]
    assert server.posts[-1]["target_url"].endswith(f"/triggers/git/{trigger.id}/events/{answer['event_id']}")


def test_a_forge_that_is_down_is_told_later(daemon, server):
    trigger = make(daemon, server)
    server.answers = [(500, {}), (429, {"Retry-After": "600"})]
    trigger.send(commit_of(5))
    # However the run's end and the tries fall together, what is told last is how it ended.
    wait_for(lambda: len(server.posts) >= 1, 60, "the first try")
    daemon.move_clock(60)
    wait_for(lambda: len(server.posts) >= 2, 60, "the second try")
    wait_for(lambda: "429" in status_of(trigger).get("error", ""), 60, "the reason to be seen")
    daemon.move_clock(400)
    assert len(server.posts) == 2  # it asked to be left alone
    daemon.move_clock(800)
    told(server, "success")
    wait_for(lambda: "error" not in status_of(trigger), 60, "the error to be gone")
    daemon.move_clock(0)


@pytest.mark.parametrize("code, says", [(404, "is there such a commit"), (401, "may not set commit statuses"),
                                        (301, "leads elsewhere")])
def test_what_is_refused_is_not_tried_again(daemon, server, code, says):
    trigger = make(daemon, server)
    server.answers = [(code, {"Location": f"{server.url}/elsewhere"})] * 9
    trigger.send(commit_of(6))
    wait_for(lambda: says in status_of(trigger).get("error", ""), 60, "the reason to be seen")
    assert status_of(trigger)["error_commit"] == commit_of(6)
    count = len(server.posts)
    daemon.move_clock(7200)
    server.answers = []
    trigger.send(commit_of(7), before=commit_of(6))
    told(server, "success")
    assert [p["path"][-40:] for p in server.posts[count:]] == [commit_of(7)] * len(server.posts[count:])
    daemon.move_clock(0)


def test_gitlab_that_was_told_before(local, server, tmp_path):
    trigger = make(local, server, forge="gitlab", script=hold(tmp_path))
    body = {"object_kind": "push", "event_name": "push", "ref": "refs/heads/main", "before": "0" * 40,
            "after": commit_of(8), "checkout_sha": commit_of(8), "project": {"path_with_namespace": "acme/model"}}
    server.answers = [(400, {"X-Body": "Cannot transition status via :run from :running"})]
    answer = local.call("POST", f"/hooks/{trigger.id}", 202, json=body, headers={
        "X-Gitlab-Event": "Push Hook", "X-Gitlab-Token": SECRET, "Idempotency-Key": str(uuid.uuid4())}).json()
    assert answer["result"] == "started"
    wait_for(lambda: server.posts, 60, "the first one")
    (tmp_path / "go").touch()
    told(server, "success", seconds=60)
    assert [p["state"] for p in server.posts] == ["running", "success"]
    assert server.posts[-1]["path"] == f"/api/v4/projects/acme%2Fmodel/statuses/{commit_of(8)}"
    assert "error" not in status_of(trigger)


@pytest.mark.parametrize("fault", ["git.status.before", "git.status.after"])
def test_killed_around_a_post(server, tmp_path, fault):
    """What was told last may be told again; what is true in the end is told in any case."""
    with Daemon(settings={k: v for k, v in SETTINGS.items() if k != "executor"}) as daemon:
        trigger = make(daemon, server, script=hold(tmp_path))
        daemon.restart(env={"RONDO_FAULT": f"{fault}:crash"})
        with contextlib.suppress(requests.RequestException, AssertionError):
            trigger.send(commit_of(9), delivery="one")
        wait_for(lambda: daemon.process.poll() is not None, 60, "the crash")
        daemon.kill9()
        (tmp_path / "go").touch()
        daemon.start()
        told(server, "success", seconds=60)
        assert [r["state"] for r in trigger.runs()] == ["SUCCEEDED"]


def test_killed_between_begin_and_end(server, tmp_path):
    with Daemon(settings={k: v for k, v in SETTINGS.items() if k != "executor"}) as daemon:
        trigger = make(daemon, server, script=hold(tmp_path))
        run = trigger.send(commit_of(10))["run_id"]
        told(server, "pending")
        server.answers = [(503, {})] * 2
        (tmp_path / "go").touch()
        daemon.wait_run(run)
        daemon.kill9()
        server.answers = []
        daemon.start()
        daemon.move_clock(60)
        told(server, "pending", "success", seconds=60)


def test_a_forge_that_hangs_holds_up_no_other(daemon, server):
    """Thirty commits for one that does not answer; another one's statuses go by."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        stuck = make(daemon, server, api={"url": f"http://127.0.0.1:{silent.getsockname()[1]}", "token": TOKEN})
        for n in range(100, 130):
            stuck.send(f"{n:040x}", before=f"{n - 1:040x}")
        trigger = make(daemon, server)
        trigger.send(commit_of(11))
        told(server, "success")
