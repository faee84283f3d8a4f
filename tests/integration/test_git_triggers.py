# SPDX-License-Identifier: Apache-2.0
"""Git triggers: what starts a run and what does not, and why; groups; real pushes; storms."""

import collections
import concurrent.futures
import contextlib
import hashlib
import hmac
import json
import os
import random
import subprocess
import sys
import textwrap
import threading
import uuid

import pytest
import requests

from rondo_testing import Daemon, Receiver, Redis, wait_for
from test_git import SECRET, V1, V2, Forge, push, sign

ZEROS = "0" * 40


def sha(text):
    return hashlib.sha1(str(text).encode()).hexdigest()


class Hooked(Forge):
    """A forge that knows what its repository's branches point to, so that pushes follow each other."""

    def __init__(self, daemon, **fields):
        super().__init__(daemon, **fields)
        self.heads = {}

    def push(self, branch="main", to=None, message="train it", delivery=None, expect=None, files=(), **fields):
        ref = f"refs/heads/{branch}"
        before, after = self.heads.get(ref, ZEROS), to or sha(uuid.uuid4())
        self.heads[ref] = after
        commit = {"id": after, "message": message, "added": list(files), "modified": [], "removed": [],
                  "author": {"name": "Ann", "email": "ann@acme.example", "username": "ann"}}
        fields = {"created": before == ZEROS, "head_commit": commit, "commits": [commit],
                  "compare": f"https://example.com/{before[:7]}...{after[:7]}", **fields}
        return self.send(push(ref, before=before, after=after, **fields), delivery, expect=expect).json()

    def url(self, more=""):
        return f"{V1}/triggers/git/{self.trigger}{more}"

    def events(self):
        return self.daemon.get(self.url("/events"), n=1000)["events"]

    def event(self, event_id, **params):
        return self.daemon.get(self.url(f"/events/{event_id}"), **params)

    def explain(self, body, expect=200):
        return self.daemon.post(self.url(":explain"), body, expect=expect)


@pytest.fixture(scope="module")
def daemon():
    with Daemon(settings={"executor": "noop"}) as one:
        yield one


@pytest.fixture
def forge(daemon):
    return Hooked(daemon)


def typed_spec(**inputs):
    """A pipeline whose inputs have these types; a value beside the type is the default."""
    parameters = {name: {"parameterType": kind[0], **({"defaultValue": kind[1]} if len(kind) > 1 else {})}
                  for name, kind in inputs.items()}
    return {
        "schemaVersion": "2.1.0", "pipelineInfo": {"name": "typed"},
        "root": {"dag": {"tasks": {"main": {"taskInfo": {"name": "main"}, "componentRef": {"name": "c"}}}},
                 "inputDefinitions": {"parameters": parameters}},
        "components": {"c": {"executorLabel": "e"}},
        "deploymentSpec": {"executors": {"e": {"container": {"image": "alpine", "command": ["true"]}}}}}


class TestRecords:
    def test_checked_against_the_pipeline(self, daemon):
        spec = typed_spec(text=["STRING"], n=["NUMBER_INTEGER", 1])
        pipeline = daemon.upload(json.dumps(spec), f"typed-{uuid.uuid4()}")["pipeline_id"]
        body = {"pipeline_id": pipeline, "parameters": {"speed": 1, "n": {"from": "$branch"}}}
        told = daemon.post(f"{V1}/triggers/git", body, expect=400)["message"]
        for word in ("parameters.text: missing", "parameters.speed", "parameters.n", "Its inputs: "):
            assert word in told
        typo = {"pipeline_id": pipeline, "parameters": {"text": {"form": "$branch"}}}
        assert "parameters.text: expected one of from" in daemon.post(f"{V1}/triggers/git", typo, expect=400)["message"]
        good = {"pipeline_id": pipeline, "parameters": {"text": {"from": "$branch"}, "n": {"from": "/size"}}}
        made = daemon.post(f"{V1}/triggers/git", {**good, "secret": SECRET})
        url = f"{V1}/triggers/git/{made['id']}"
        told = daemon.patch(url, {"parameters": {"n": 1}}, expect=400)["message"]
        assert "parameters.text: missing" in told
        assert daemon.get(url)["parameters"] == good["parameters"]

    def test_a_push_is_made_the_types(self, daemon):
        spec = typed_spec(text=["STRING"], n=["NUMBER_INTEGER"], files=["LIST"], yes=["BOOLEAN"])
        forge = Hooked(daemon)
        pipeline = daemon.upload(json.dumps(spec), f"typed-{uuid.uuid4()}")["pipeline_id"]
        daemon.patch(forge.url(), {"pipeline_id": pipeline, "parameters": {
            "text": {"template": "$repository@${branch}"}, "n": {"from": "/size"}, "files": {"from": "$files"},
            "yes": {"cel": "push.actor == 'ann'"}}})
        run = forge.push(files=["a", "b/c"], size="12")["run_id"]
        assert daemon.run(run)["runtime_config"]["parameters"] == {
            "text": "acme/model@main", "n": 12, "files": ["a", "b/c"], "yes": True}
        answer = forge.push(size="many", files=["a"], expect=200)
        assert answer["result"] == "failed" and "parameters.n: 'many' cannot be made" in answer["reason"]

    def test_change_and_switch(self, daemon, forge):
        assert daemon.patch(forge.url(), {"name": "other", "branches": ["main"]})["branches"] == ["main"]
        assert forge.push("dev", expect=200)["clause"] == "branches"
        assert "branches" not in daemon.patch(forge.url(), {"branches": None})
        assert daemon.post(forge.url(":disable"))["enabled"] is False
        assert forge.push(expect=200)["clause"] == "enabled"
        assert daemon.post(forge.url(":enable"))["enabled"] is True
        assert forge.push(expect=202)["result"] == "started"
        for body in ({"secret": "short"}, {"id": "x"}, {"pipeline_id": None}, {"branches": ["[a"]}):
            assert daemon.patch(forge.url(), body, expect=400)["message"]
        for action in (":enable", ":disable"):
            assert "reason" in daemon.post(forge.url(action), {"reason": "x"}, expect=400)["message"]
        assert daemon.get(forge.url())["name"] == "other" and forge.push(expect=202)
        for method, more in (("PATCH", ""), ("POST", ":enable"), ("POST", ":rotate"), ("POST", ":explain"),
                             ("GET", "/events"), ("GET", "/events/x"), ("POST", "/events/x:redeliver")):
            daemon.call(method, f"{V1}/triggers/git/{uuid.uuid4()}{more}", 404, json={})

    def test_a_sender_that_is_no_forge(self, daemon, forge):
        made = daemon.post(f"{V1}/triggers/git", {"pipeline_id": forge.pipeline, "forge": "bearer", "secret": SECRET,
                                                  "parameters": {"commit": {"from": "/sha"}}})
        answer = daemon.call("POST", f"/hooks/{made['id']}", 202, json={"sha": "1"},
                             headers={"Authorization": f"Bearer {SECRET}"}).json()
        name = daemon.run(answer["run_id"])["display_name"]
        assert name == name.strip() and len(name.split(" ")) == 2  # no commit, and no room for it

    def test_passwords_in_addresses_are_not_passed_on(self, daemon, forge):
        pushed = push(before="0" * 40, after="8" * 40)
        pushed["repository"] |= {"clone_url": "https://ann:hush@git.example/a.git", "html_url": "https://git.example/@x:y"}
        run = daemon.get(f"{V1}/runs/{forge.send(pushed, expect=202).json()['run_id']}")
        assert "hush" not in json.dumps(run) and run["trigger"]["url"] == "https://ann@git.example/a.git"

    def test_pages(self, daemon):
        made = [Hooked(daemon).trigger for _ in range(5)]
        seen, token = [], ""
        while True:
            page = daemon.get(f"{V1}/triggers/git", page_size=2, page_token=token)
            seen += page["triggers"]
            token = page.get("next_page_token", "")
            assert len(page["triggers"]) <= 2
            if not token:
                break
        assert [one["id"] for one in seen][-5:] == made  # the oldest first
        assert len({one["id"] for one in seen}) == len(seen) == page["total_size"]
        for bad in ({"page_size": 0}, {"page_size": "x"}, {"page_token": "x"}, {"page_token": "5.x"}, {"page_siz": 3}):
            assert list(bad)[0] in daemon.get(f"{V1}/triggers/git", 400, **bad)["message"]

    def test_rotation_leaves_the_old_secret_good_for_a_while(self, daemon, forge):
        made = daemon.post(forge.url(":rotate"), {"overlap_s": 3600})
        body = json.dumps(push()).encode()
        assert made["secret"] != SECRET and len(made["secrets"]) == 2
        assert forge.send(body, signature=sign(body, SECRET)).status_code == 202
        other = json.dumps(push(after="2" * 40)).encode()
        assert forge.send(other, signature=sign(other, made["secret"])).status_code == 202
        assert [e["secret"] for e in forge.events()] == [0, 1]
        daemon.post(forge.url(":rotate"), {"overlap_s": 0, "secret": "another secret"})
        third = json.dumps(push(after="3" * 40)).encode()
        assert forge.send(third, signature=sign(third, made["secret"])).status_code == 404
        assert forge.send(third, signature=sign(third, "another secret")).status_code == 202
        assert made["secret"] not in json.dumps(daemon.get(forge.url())) + daemon.log()

    def test_changes_at_once_all_hold(self, daemon, forge):
        members = {"name": "n", "branches": ["**"], "skip_ci": "any", "max_files": 5, "actors": ["*"]}
        with concurrent.futures.ThreadPoolExecutor(5) as pool:
            list(pool.map(lambda one: daemon.patch(forge.url(), dict([one])), members.items()))
        record = daemon.get(forge.url())
        assert {key: record[key] for key in members} == members

    def test_the_short_address(self, daemon, forge):
        assert daemon.get(forge.url())["hook"] == f"/hooks/{forge.trigger}"
        body = json.dumps(push()).encode()
        headers = {"X-GitHub-Event": "push", "X-GitHub-Delivery": "short", "X-Hub-Signature-256": sign(body)}
        assert daemon.call("POST", f"/hooks/{forge.trigger}", 202, data=body, headers=headers)
        assert daemon.call("POST", f"/hooks/git/{forge.trigger}", 200, data=body, headers=headers)


class TestComplaints:
    """What users of other receivers complain about (each row of the list has a name here)."""

    def test_quick_succession(self, daemon, forge):
        commits = [sha(n) for n in range(20)]
        bodies = [push(before=b, after=a) for b, a in zip([ZEROS, *commits], commits)]
        with concurrent.futures.ThreadPoolExecutor(10) as pool:
            answers = list(pool.map(lambda body: forge.send(body, expect=202).json()["run_id"], bodies))
        assert len(set(answers)) == 20
        assert sorted(r["runtime_config"]["parameters"]["commit"] for r in forge.runs()) == sorted(commits)

    def test_a_hook_of_the_repository_and_one_of_the_organisation(self, forge):
        first = forge.send(body := push(before="1" * 40, after="2" * 40), "hook-a", expect=202).json()
        again = forge.send(body, "hook-b", expect=200).json()
        assert again["result"] == "duplicate" and again["run_id"] == first["run_id"]
        assert again["clause"] == "duplicate" and "this very change" in again["reason"]
        assert len(forge.runs()) == 1

    def test_a_branch_that_is_moved_away_and_back(self, daemon, forge):
        """Within a minute the same move is taken for the same push; later it is another one."""
        there, back = push(before="1" * 40, after="2" * 40), push(before="2" * 40, after="1" * 40, forced=True)
        assert forge.send(there, expect=202) and forge.send(back, expect=202)
        assert forge.send(there).json()["result"] == "duplicate"
        daemon.move_clock(120)
        assert forge.send(there, expect=202).json()["result"] == "started"
        assert forge.send(there).json()["result"] == "duplicate"
        # An old message sent again is still an old message: the branch is somewhere else now.
        forge.send(push(before="2" * 40, after="3" * 40), expect=202)
        daemon.move_clock(120)
        assert forge.send(there).json()["result"] == "duplicate"
        assert len(forge.runs()) == 4

    def test_empty_list_of_commits(self, forge):
        """GitLab's words for a new branch at a commit that is there already."""
        answer = forge.send(push(commits=[], head_commit=None), expect=202).json()
        assert answer["result"] == "started"

    def test_force_push(self, daemon, forge):
        forge.push(expect=202)
        assert forge.push(forced=True, expect=202)["result"] == "started"
        daemon.patch(forge.url(), {"forced": "never"})
        assert forge.push(forced=True, expect=200)["clause"] == "forced"

    def test_create_and_delete(self, daemon, forge):
        assert forge.push("topic", expect=202)["result"] == "started"
        gone = forge.push("topic", to=ZEROS, deleted=True, head_commit=None, commits=[], expect=200)
        assert gone["clause"] == "deleted"
        daemon.patch(forge.url(), {"deleted": "only", "parameters": {"branch": {"from": "$branch"}}})
        forge.heads["refs/heads/topic"] = "5" * 40
        run = forge.push("topic", to=ZEROS, deleted=True, head_commit=None, commits=[], expect=202)["run_id"]
        assert daemon.run(run)["runtime_config"]["parameters"]["branch"] == "topic"
        assert forge.push("topic", expect=200)["clause"] == "deleted"

    def test_a_tag_and_a_branch_of_the_same_name(self, daemon):
        tags, branches = Hooked(daemon, tags=["v1"], parameters={}), Hooked(daemon, branches=["v1"], parameters={})
        for one, ref, starts in ((tags, "refs/tags/v1", True), (tags, "refs/heads/v1", False),
                                 (branches, "refs/tags/v1", False), (branches, "refs/heads/v1", True)):
            one.send(push(ref, after=sha(ref)), expect=202 if starts else 200)

    def test_several_refs_in_one_message(self, daemon):
        """One decision each, one run each, and the same message again starts none."""
        forge = Hooked(daemon, branches=["main", "release/*"], forge="bitbucket")
        def change(name, kind="branch", after=None):
            return {"old": {"type": kind, "name": name, "target": {"hash": "1" * 40}},
                    "new": {"type": kind, "name": name, "target": {"hash": after or sha(name), "message": "m"}},
                    "created": False, "closed": False, "forced": False, "commits": []}
        body = json.dumps({"actor": {"display_name": "Ann", "nickname": "ann"},
                           "repository": {"full_name": "acme/model", "links": {}},
                           "push": {"changes": [change("main"), change("topic"), change("release/1"),
                                                change("v1", "tag")]}}).encode()
        headers = {"X-Event-Key": "repo:push", "X-Request-UUID": "r-1", "Content-Type": "application/json",
                   "X-Hub-Signature": sign(body)}
        answer = daemon.call("POST", f"/hooks/{forge.trigger}", 202, data=body, headers=headers).json()
        assert [(r["ref"], r["result"]) for r in answer["refs"]] == [
            ("refs/heads/main", "started"), ("refs/heads/topic", "ignored"), ("refs/heads/release/1", "started"),
            ("refs/tags/v1", "ignored")]
        assert {daemon.get(f"{V1}/runs/{r['run_id']}")["trigger"]["delivery"]
                for r in answer["refs"] if "run_id" in r} == {"r-1", "r-1#3"}
        again = daemon.call("POST", f"/hooks/{forge.trigger}", 200, data=body, headers=headers).json()
        assert [r["result"] for r in again["refs"]] == ["duplicate", "ignored", "duplicate", "ignored"]
        assert len(forge.runs()) == 2

    def test_monorepo(self, daemon):
        forge = Hooked(daemon, paths=["train/**", "!**.md"])
        assert forge.push(files=["docs/x"], expect=200)["clause"] == "paths"
        assert forge.push(files=["train/README.md"], expect=200)["clause"] == "paths"
        assert forge.push(files=["docs/x", "train/a.py"], expect=202)["result"] == "started"

    def test_the_loop_is_guarded(self, daemon):
        forge = Hooked(daemon, actors_ignore=["*[bot]"], messages_ignore=["release: *"],
                       authors_ignore=["*@bots.example"])
        assert forge.push(pusher={"name": "rondo[bot]"}, expect=200)["clause"] == "actors_ignore"
        assert forge.push(message="release: 1.2\n\nby the pipeline", expect=200)["clause"] == "messages_ignore"
        assert forge.push(expect=202)["result"] == "started"

    def test_filter(self, daemon):
        forge = Hooked(daemon, filter="push.branch.startsWith('feature/') && payload.size > 5")
        assert forge.push("feature/x", size=6, expect=202)["result"] == "started"
        assert forge.push("feature/x", size=5, expect=200)["clause"] == "filter"
        answer = forge.push("feature/x", expect=200)
        assert answer["clause"] == "filter" and "column" in answer["reason"]


class TestEvents:
    def test_every_message_has_an_answer(self, daemon, forge):
        started = forge.push(expect=202)
        forge.push(message="x [skip ci]", expect=200)
        forge.send({"zen": "x"}, "ping-1", event="ping", expect=200)
        forge.send(push(), signature="sha256=" + "0" * 64, expect=404)
        told = daemon.get(forge.url("/events"))
        assert [e["result"] for e in told["events"]] == ["ping", "ignored", "started"]
        assert told["counts"]["started"] == told["counts"]["ignored"] == told["counts"]["refused"] == 1
        assert "does not match" in told["refused"][0]["reason"] and told["refused"][0]["peer"] == "127.0.0.1"
        first = told["events"][2]
        assert first["id"] == started["event_id"] and first["run_id"] == started["run_id"]
        assert first["verified_by"] == "X-Hub-Signature-256" and first["forge"] == "github"
        assert told["events"][1]["clause"] == "skip_ci"
        full = forge.event(first["id"])
        assert full["payload"]["ref"] == "refs/heads/main" and full["headers"]["x-github-event"] == "push"
        assert not [name for name in full["headers"] if "signature" in name]
        assert len(daemon.get(forge.url("/events"), n=1)["events"]) == 1
        assert len(daemon.get(forge.url("/events"), page_size=1)["events"]) == 1
        for bad in ({"n": "many"}, {"page_size": 0}, {"since": "1h"}):
            assert list(bad)[0] in daemon.get(forge.url("/events"), 400, **bad)["message"]
        daemon.get(forge.url(f"/events/{uuid.uuid4()}"), 404)

    def test_genuine_but_not_readable(self, daemon, forge):
        for i, body in enumerate((b"", b"[]", b'{"ref": 1, "ref": 2}', b'{"ref": "\xff"}')):
            forge.send(body, f"bad-{i}", expect=400)
        forge.send(push(), "bad-9", signature="sha256=" + "0" * 64, expect=404)
        told = daemon.get(forge.url("/events"))
        assert [one["genuine"] for one in told["refused"]] == [False, True, True, True, True]
        assert "duplicate object key" in told["refused"][2]["reason"] and told["counts"]["refused"] == 5
        assert told["events"] == []

    def test_a_large_payload_is_not_kept(self, daemon, forge):
        event = forge.push(padding="x" * 70_000)["event_id"]
        full = forge.event(event)
        assert full["payload_bytes"] > 70_000 and "payload" not in full
        assert "git-payload-max" in daemon.post(forge.url(f"/events/{event}:redeliver"), expect=400)["message"]

    def test_the_log_is_bounded(self):
        with Daemon(settings={"executor": "noop", "git_events": 3}) as daemon:
            forge = Hooked(daemon)
            ids = [forge.push()["event_id"] for _ in range(6)]
            assert [e["id"] for e in forge.events()] == ids[:2:-1]
            # What was seen is known for longer than its event.
            first = push(before=ZEROS, after="7" * 40)
            forge.send(first, "d-1", expect=202)
            for _ in range(4):
                forge.push()
            assert forge.send(first, "d-1", expect=200).json()["result"] == "duplicate"
            daemon.delete(forge.url())
            keys = ["redis-cli", "-s", str(daemon.data / "redis" / "redis.sock"), "KEYS", "*git*"]
            wait_for(lambda: subprocess.run(keys, capture_output=True, text=True, check=True).stdout.split() == [],
                     what="everything of it to go")

    def test_explain_a_stored_event(self, daemon, forge):
        daemon.patch(forge.url(), {"branches": ["main"], "skip_ci": "any"})
        event = forge.push("dev", message="x [skip ci]", expect=200)["event_id"]
        told = forge.explain({"event": event})
        steps = {s["clause"]: s["passed"] for s in told["refs"][0]["steps"]}
        assert told["starts"] is False and steps == {"events": True, "branches": False, "skip_ci": False}
        daemon.patch(forge.url(), {"branches": None, "skip_ci": "none"})
        told = forge.explain({"event": event})
        assert told["starts"] is True and told["refs"][0]["parameters"]["branch"] == "dev"
        assert told["refs"][0]["push"]["author"]["email"] == "ann@acme.example"
        assert forge.runs() == []  # nothing was started
        assert [e["result"] for e in forge.events()] == ["ignored"]
        assert "has no event" in forge.explain({"event": str(uuid.uuid4())}, expect=404)["message"]

    def test_explain_a_pasted_payload(self, forge):
        body = push("refs/heads/dev")
        told = forge.explain({"payload": body, "forge": "github"})
        assert told["starts"] is True and told["verification"]["passed"] is False
        text = json.dumps(body)
        headers = {"X-GitHub-Event": "push", "X-GitHub-Delivery": "d", "X-Hub-Signature-256": sign(text.encode())}
        told = forge.explain({"payload": text, "headers": headers})
        assert told["starts"] is True and told["verification"] == {"passed": True, "detail": "X-Hub-Signature-256"}
        for bad, says in (({}, "payload"), ({"payload": body}, "headers"), ({"payload": 5}, "payload"),
                          ({"payload": body, "forge": "svn"}, "forge"), ({"payload": {}, "forge": "github"}, "read"),
                          ({"payload": body, "headers": {"a": 1}}, "headers.a"), ({"payloads": 1}, "payloads")):
            assert says in forge.explain(bad, expect=400)["message"], bad
        assert forge.runs() == [] and forge.events() == []

    def test_redeliver(self, daemon, forge):
        daemon.patch(forge.url(), {"branches": ["main"]})
        event = forge.push("dev", expect=200)["event_id"]
        again = forge.url(f"/events/{event}:redeliver")
        assert daemon.post(again)["result"] == "ignored"
        daemon.patch(forge.url(), {"branches": ["dev"]})
        run = daemon.post(again)
        assert run["result"] == "started" and forge.event(event)["run_id"] == run["run_id"]
        assert daemon.post(again)["result"] == "duplicate"
        forced = {"force": True, "request_id": "r-1"}
        made = [daemon.post(again, forced)["run_id"] for _ in range(2)]
        assert made[0] == made[1] != run["run_id"]
        assert daemon.post(again, {"force": True})["run_id"] not in (made[0], run["run_id"])
        assert len(forge.runs()) == 3
        assert len(forge.events()) == 1

    def test_an_ignored_delivery_is_decided_again(self, daemon, forge):
        """What the forge's own button does, after the filter has been put right."""
        daemon.patch(forge.url(), {"branches": ["main"]})
        body = push("refs/heads/dev")
        forge.send(body, "d-1", expect=200)
        daemon.patch(forge.url(), {"branches": None})
        assert forge.send(body, "d-1", expect=202).json()["result"] == "started"
        (event,) = forge.events()
        assert event["result"] == "started" and event["copies"] == 1

    def test_the_commit_is_shown_everywhere(self, daemon):
        with Receiver() as receiver, Daemon(settings={"executor": "noop", "webhook_allow": "127.0.0.1"}) as daemon:
            daemon.post(f"{V1}/subscriptions", {"url": receiver.url, "events": ["run.created", "run.started", "trigger.*"]})
            forge = Hooked(daemon)
            answer = forge.push(message="train it\n\nat last")
            commit = forge.heads["refs/heads/main"]
            record = daemon.get(f"{V1}/runs/{answer['run_id']}")
            trigger = record["trigger"]
            assert trigger["commit"] == commit and trigger["event_id"] == answer["event_id"]
            assert trigger["forge"] == "github" and trigger["compare_url"].startswith("https://example.com/")
            assert trigger["trigger_id"] == forge.trigger
            description = daemon.run(answer["run_id"])["description"]
            assert description == f"push of acme/model refs/heads/main at {commit} by ann: train it"
            told = receiver.wait_events(1, "run.started")[0]["data"]
            assert told["trigger"] == trigger and told["commit"] == commit
            fired = receiver.wait_events(1, "trigger.fired")[0]["data"]
            assert fired["run_id"] == answer["run_id"] and fired["commit"] == commit
            assert fired["trigger_id"] == forge.trigger and fired["repository"] == "acme/model"
            assert fired["result"] == "started"
            assert receiver.wait_events(1, "run.created")[0]["data"]["trigger"] == trigger

            # What starts nothing is told where the trigger says so, and as a rule when it failed.
            daemon.patch(forge.url(), {"branches": ["main"]})
            forge.push("dev", expect=200)
            daemon.patch(forge.url(), {"tell_rejected": "all"})
            delivery = push("refs/heads/topic")
            for _ in range(3):
                forge.send(delivery, "d-1", expect=200)
            daemon.patch(forge.url(), {"tell_rejected": None, "parameters": {"commit": {"from": "/no\"where"}}})
            forge.push("main", expect=200)
            told = [e["data"] for e in receiver.wait_events(2, "trigger.rejected")]
            assert sorted((t["ref"], t["reason"]) for t in told) == [
                ("refs/heads/main", 'parameters.commit: the push has nothing at /no"where and there is no "default" '
                                    '(null: that of the pipeline)'),
                ("refs/heads/topic", "no pattern in branches matches topic")]


@pytest.fixture(scope="module")
def local():
    with Daemon() as one:
        yield one


class TestGroups:
    """Runs that last until they are told to end."""

    @staticmethod
    def forge(daemon, tmp_path, stubborn=False, **concurrency):
        """A stubborn one does not end when it is asked to before there is a file `told`."""
        script = f"until [ -e {tmp_path}/$0 ] || [ -e {tmp_path}/all ]; do sleep 0.02; done"
        if stubborn:
            script = f"trap 'until [ -e {tmp_path}/told ]; do sleep 0.02; done; exit 1' TERM; touch {tmp_path}/begun; {script}"
        return Hooked(daemon, script=script, concurrency=concurrency)

    @staticmethod
    def states(forge):
        return [r["state"] for r in sorted(forge.runs(), key=lambda r: r["created_at"])]

    def test_queue(self, local, tmp_path):
        daemon, forge = local, self.forge(local, tmp_path, policy="queue", max_waiting=2)
        first = forge.push()
        waiting = [forge.push(expect=202) for _ in range(2)]
        assert first["result"] == "started" and [w["result"] for w in waiting] == ["waiting"] * 2
        assert f"for run {first['run_id']}" in waiting[0]["reason"]
        full = forge.push(expect=200)
        assert full["result"] == "skipped" and "2 pushes wait" in full["reason"]
        assert forge.push("dev", expect=202)["result"] == "started"  # another ref, another group
        daemon.get(f"{V1}/runs/{waiting[0]['run_id']}", expect=404)
        (tmp_path / "all").touch()
        for one in (first, *waiting):
            wait_for(lambda i=one["run_id"]: self.is_there(daemon, i), what="its turn")
            daemon.wait_run(one["run_id"])
        order = [r["run_id"] for r in sorted(forge.runs(), key=lambda r: r["created_at"])
                 if r["display_name"].startswith("pushed main")]
        assert order == [first["run_id"], *(w["run_id"] for w in waiting)]
        runs = {r["run_id"]: r for r in forge.runs()}
        for before, after in zip(order, order[1:]):
            assert runs[before]["finished_at"] <= runs[after]["created_at"]
        results = [e["result"] for e in forge.events()]
        assert results.count("started") == 4 and results.count("skipped") == 1

    @staticmethod
    def is_there(daemon, run_id):
        return daemon.call("GET", f"{V2}/runs/{run_id}", None).status_code == 200

    def test_skip(self, local, tmp_path):
        daemon, forge = local, self.forge(local, tmp_path, policy="skip", group="all of $repository")
        first = forge.push()
        other = forge.push("dev", expect=200)
        assert other["result"] == "skipped" and first["run_id"] in other["reason"] and "acme/model" in other["reason"]
        assert other["clause"] == "concurrency"
        (tmp_path / "all").touch()
        daemon.wait_run(first["run_id"])
        assert forge.push("dev", expect=202)["result"] == "started"
        for run in forge.runs():
            daemon.wait_run(run["run_id"])

    def test_cancel(self, local, tmp_path):
        daemon, forge = local, self.forge(local, tmp_path, stubborn=True, policy="cancel")
        pushes = [forge.push(expect=202)]
        wait_for((tmp_path / "begun").exists, what="the first one")
        pushes += [forge.push(expect=202) for _ in range(3)]
        (tmp_path / "told").touch()
        last = pushes[-1]["run_id"]
        wait_for(lambda: self.is_there(daemon, last), 60, "the last one's turn")
        (tmp_path / "all").touch()
        daemon.wait_run(last)
        daemon.wait_run(pushes[0]["run_id"], state="FAILED")  # KFP's word for canceled
        results = [e["result"] for e in reversed(forge.events())]
        assert results[0] == results[-1] == "started" and results.count("superseded") >= 1
        assert len(forge.runs()) == results.count("started")

    @pytest.mark.parametrize("policy", ["queue", "cancel"])
    def test_kill_9(self, tmp_path, policy):
        """Two pushes in quick succession, the daemon dies; the second still gets its turn, once."""
        with Daemon() as daemon:
            forge = self.forge(daemon, tmp_path, policy=policy)
            if policy == "cancel":  # dies with the wish to cancel written down, and not yet told to anybody
                daemon.restart(env={"RONDO_FAULT": "git.cancel.before:crash"})
            first = forge.push()
            second = None
            with contextlib.suppress(requests.RequestException, AssertionError):
                second = forge.push(delivery="second")
            if policy == "cancel":
                wait_for(lambda: daemon.process.poll() is not None, 60, "the crash")
            daemon.restart(kill=True)
            if policy == "queue":
                (tmp_path / "all").touch()
            told = forge.events()[0]
            assert told["result"] in ("waiting", "started") and (second is None or told["run_id"] == second["run_id"])
            wait_for(lambda: self.is_there(daemon, told["run_id"]), 60, "the turn of the second")
            (tmp_path / "all").touch()
            daemon.wait_run(told["run_id"])
            daemon.wait_run(first["run_id"], state="SUCCEEDED" if policy == "queue" else "FAILED")
            assert len(forge.runs()) == 2
            assert [e["result"] for e in forge.events()] == ["started", "started"]

    def test_drop(self, local, tmp_path):
        daemon, forge = local, self.forge(local, tmp_path, policy="queue")
        first, second, third = (forge.push() for _ in range(3))
        drop = forge.url(f"/events/{second['event_id']}:drop")
        assert daemon.post(drop) == {"dropped": 1}
        assert "waits" in daemon.post(drop, expect=400)["message"]
        daemon.post(forge.url(f"/events/{first['event_id']}:drop"), expect=400)  # it has begun
        told = forge.event(second["event_id"])
        assert told["result"] == "dropped" and told["clause"] == "concurrency"
        (tmp_path / "all").touch()
        wait_for(lambda: self.is_there(daemon, third["run_id"]), what="the turn of the third")
        daemon.wait_run(third["run_id"])
        assert len(forge.runs()) == 2 and not self.is_there(daemon, second["run_id"])

    def test_a_deleted_trigger_drops_what_waits(self, local, tmp_path):
        daemon, forge = local, self.forge(local, tmp_path, policy="queue")
        first, second = forge.push(), forge.push()
        daemon.delete(forge.url())
        (tmp_path / "all").touch()
        daemon.wait_run(first["run_id"])
        assert not self.is_there(daemon, second["run_id"])


# What a server's hook does after it was pushed to: tell of each ref, in the words of one forge.
POSTER = """
    import base64, hashlib, hmac, json, os, subprocess, sys, time, urllib.request, uuid

    url, secret, dialect = sys.argv[1:4]

    def git(*words):
        return subprocess.run(["git", *words], capture_output=True, text=True).stdout.strip()

    def commits(before, after):
        if set(after) == {"0"}:
            return []
        span = after if set(before) == {"0"} else f"{before}..{after}"
        made = []
        for one in git("rev-list", "--reverse", span).split():
            name, email, message = git("log", "-1", "--format=%an%n%ae%n%B", one).split("\\n", 2)
            files = {"added": [], "modified": [], "removed": []}
            for line in git("show", "--name-status", "--format=", one).splitlines():
                files[{"A": "added", "D": "removed"}.get(line[0], "modified")].append(line.split("\\t")[1])
            made.append({"id": one, "message": message, "author": {"name": name, "email": email}, **files})
        return made

    def body(before, after, ref):
        done = commits(before, after)
        gone = set(after) == {"0"}
        forced = not gone and set(before) != {"0"} and subprocess.run(
            ["git", "merge-base", "--is-ancestor", before, after]).returncode != 0
        head = done[-1] if done else None
        if dialect == "gitlab":
            kind = "tag_push" if ref.startswith("refs/tags/") else "push"
            return {"object_kind": kind, "event_name": kind, "before": before, "after": after, "ref": ref,
                    "checkout_sha": None if gone else git("rev-parse", after + "^{commit}"), "user_username": "ann",
                    "project": {"path_with_namespace": "acme/model", "git_http_url": "https://gl.example/acme/model.git"},
                    "commits": done, "total_commits_count": len(done)}
        if dialect == "bitbucket":
            kind, name = ("tag", ref[10:]) if ref.startswith("refs/tags/") else ("branch", ref[11:])
            side = lambda at: None if set(at) == {"0"} else {"type": kind, "name": name, "target": {
                "hash": git("rev-parse", at + "^{commit}"), "message": git("log", "-1", "--format=%B", at)}}
            return {"actor": {"nickname": "ann"}, "repository": {"full_name": "acme/model"}, "push": {"changes": [{
                "old": side(before), "new": side(after), "created": set(before) == {"0"}, "closed": gone,
                "forced": forced, "commits": [{"hash": c["id"], "message": c["message"]} for c in done][:5]}]}}
        return {"ref": ref, "before": before, "after": after, "created": set(before) == {"0"}, "deleted": gone,
                "forced": forced, "compare": "https://git.example/compare", "commits": done, "head_commit": head,
                "repository": {"full_name": "acme/model", "clone_url": "https://git.example/acme/model.git"},
                "pusher": {"name": "ann", "login": "ann", "username": "ann"}, "sender": {"login": "ann"}}

    for line in sys.stdin:
        text = json.dumps(body(*line.split())).encode()
        hexed = hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()
        delivery = str(uuid.uuid4())
        headers = {
            "github": {"X-GitHub-Event": "push", "X-GitHub-Delivery": delivery, "X-Hub-Signature-256": "sha256=" + hexed},
            "gitlab": {"X-Gitlab-Event": "Tag Push Hook" if b'"tag_push"' in text else "Push Hook",
                       "X-Gitlab-Token": secret, "Idempotency-Key": delivery},
            "gitea": {"X-Gitea-Event": "push", "X-Gitea-Delivery": delivery, "X-Gitea-Signature": hexed,
                      "X-GitHub-Event": "push", "X-GitHub-Delivery": delivery, "X-Gogs-Event": "push"},
            "bitbucket": {"X-Event-Key": "repo:push", "X-Request-UUID": delivery, "X-Hub-Signature": "sha256=" + hexed},
        }[dialect]
        request = urllib.request.Request(url, text, {"Content-Type": "application/json", **headers})
        print(urllib.request.urlopen(request, timeout=60).read().decode())
"""


class Repository:
    """A bare repository whose hook tells the daemon, and a clone to push from."""

    def __init__(self, folder, url, dialect):
        self.bare, self.clone = folder / "bare.git", folder / "clone"
        poster = folder / "poster.py"
        poster.write_text(textwrap.dedent(POSTER))
        self.git(folder, "init", "-q", "--bare", "-b", "main", str(self.bare))
        hook = self.bare / "hooks" / "post-receive"
        hook.write_text(f"#!/bin/sh\nexec {sys.executable} {poster} {url} '{SECRET}' {dialect}\n")
        hook.chmod(0o755)
        self.git(folder, "clone", "-q", str(self.bare), str(self.clone))

    def git(self, folder, *words):
        env = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_AUTHOR_NAME": "Ann", "GIT_COMMITTER_NAME": "Ann",
               "GIT_AUTHOR_EMAIL": "ann@acme.example", "GIT_COMMITTER_EMAIL": "ann@acme.example"}
        done = subprocess.run(["git", *words], cwd=folder, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip() + done.stderr.strip()

    def commit(self, file, message="work", amend=False):
        path = self.clone / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(uuid.uuid4()))
        self.git(self.clone, "add", "-A")
        self.git(self.clone, "commit", "-q", "-m", message, *(["--amend"] if amend else []))
        return self.git(self.clone, "rev-parse", "HEAD")

    def push(self, *words):
        """What the daemon answered, a line for each ref."""
        said = self.git(self.clone, "push", "-q", "origin", *words)
        return [json.loads(line[len("remote: "):]) for line in said.splitlines() if line.startswith("remote: {")]


class TestRealPushes:
    @pytest.mark.parametrize("dialect", ["github", "gitlab", "gitea", "bitbucket"])
    def test_git_push(self, daemon, tmp_path, dialect):
        forge = Hooked(daemon, branches=["main", "feature/**"], tags=["v*"], parameters={
            "commit": {"from": "$commit"}, "branch": {"from": "$branch", "default": "none"},
            "first": {"from": "$tag", "default": "none"}})
        repository = Repository(tmp_path, f"{daemon.url}/hooks/{forge.trigger}", dialect)

        def started(answers):
            (answer,) = answers
            assert answer["result"] == "started", answer
            return daemon.run(answer["run_id"])["runtime_config"]["parameters"]

        commit = repository.commit("a")
        assert started(repository.push("main")) == {"commit": commit, "branch": "main", "first": "none"}
        commit = repository.commit("a", amend=True)
        assert started(repository.push("-f", "main"))["commit"] == commit
        repository.git(repository.clone, "tag", "v1")
        repository.git(repository.clone, "branch", "other")
        answers = repository.push("v1", "other")
        assert sorted(a["result"] for a in answers) == ["ignored", "started"]
        assert [a["clause"] for a in repository.push(":other")] == ["deleted"]
        assert len(forge.runs()) == 3
        assert {e["forge"] for e in forge.events()} == {dialect}

    def test_more_of_git(self, daemon, tmp_path):
        forge = Hooked(daemon, branches=["main", "feature/**"])
        repository = Repository(tmp_path, f"{daemon.url}/hooks/{forge.trigger}", "github")
        repository.commit("a")
        repository.push("main")
        repository.commit("b")
        assert [a["result"] for a in repository.push("main")] == ["started"]
        repository.git(repository.clone, "branch", "feature/x/y")
        assert [a["result"] for a in repository.push("feature/x/y")] == ["started"]
        repository.commit("c", message="docs [skip ci]")
        assert [a["clause"] for a in repository.push("main")] == ["skip_ci"]
        assert len(forge.runs()) == 3

    def test_paths_of_a_real_push(self, daemon, tmp_path):
        forge = Hooked(daemon, paths=["train/**"])
        repository = Repository(tmp_path, f"{daemon.url}/hooks/{forge.trigger}", "github")
        repository.commit("docs/a")
        assert [a["clause"] for a in repository.push("main")] == ["paths"]
        repository.commit("train/a")
        repository.commit("docs/b")
        assert [a["result"] for a in repository.push("main")] == ["started"]


class TestStorm:
    def test_ten_copies_of_each_while_it_dies(self):
        """Every push that was answered 2xx has exactly one run, however often it was told and killed."""
        with Daemon(settings={"executor": "noop"}) as daemon:
            forge = Hooked(daemon)
            pushes = {}
            before = ZEROS
            for n in range(int(os.environ.get("RONDO_PUSHES", 100))):
                pushes[n] = json.dumps(push(before=before, after=sha(n))).encode()
                before = sha(n)
            told = collections.defaultdict(set)
            missing = set(pushes)
            lock = threading.Lock()

            def send(item):
                n, hook = item
                body = pushes[n]
                with contextlib.suppress(requests.RequestException):
                    answer = requests.post(
                        f"{daemon.url}/hooks/{forge.trigger}", data=body, timeout=60, headers={
                            "X-GitHub-Event": "push", "X-GitHub-Delivery": f"push-{n}-hook-{hook % 2}",
                            "X-Hub-Signature-256": sign(body)})
                    if answer.status_code in (200, 202):
                        with lock:
                            told[n].add(answer.json()["run_id"])
                            missing.discard(n)

            copies = [(n, hook) for n in pushes for hook in range(10)]
            random.Random(1).shuffle(copies)
            parts = [copies[i::4] for i in range(4)]
            for round_, part in enumerate(parts):
                with concurrent.futures.ThreadPoolExecutor(16) as pool:
                    sent = [pool.submit(send, item) for item in part]
                    if round_ < 3:
                        wait_for(lambda s=sent: sum(f.done() for f in s) > len(s) // 2, 60, "half of them")
                        daemon.process.kill()
                if round_ < 3:
                    daemon.restart(kill=True)
            for n in list(missing):
                send((n, 0))
            assert not missing
            assert {len(runs) for runs in told.values()} == {1}
            runs = wait_for(lambda: (r := self.all_runs(daemon)) and all(x["state"] == "SUCCEEDED" for x in r) and r,
                            120, "the end of all runs")
            assert len(runs) == len(pushes)
            assert {r["run_id"] for r in runs} == {next(iter(run)) for run in told.values()}
            assert sorted(r["runtime_config"]["parameters"]["commit"] for r in runs) == sorted(map(sha, pushes))

    @staticmethod
    def all_runs(daemon):
        runs, token = [], ""
        while True:
            page = daemon.get(f"{V2}/runs", page_size=200, page_token=token)
            runs += page.get("runs", [])
            token = page.get("next_page_token", "")
            if not token:
                return runs

    def test_three_daemons_one_of_which_dies(self):
        """Ten copies of each push over three receivers on one Redis: one run each, whoever carries it on."""
        with Redis() as redis, Receiver() as receiver, contextlib.ExitStack() as stack:
            settings = {"executor": "noop", "webhook_allow": "127.0.0.1"}
            daemons = [stack.enter_context(Daemon(redis=redis.url, settings=settings)) for _ in range(3)]
            # Whoever decides, the one that has the shard tells of it.
            daemons[0].post(f"{V1}/subscriptions", {"url": receiver.url, "events": ["trigger.rejected"]})
            deaf = Hooked(daemons[0], branches=["none"], tell_rejected="all")
            for deaf.daemon in daemons:
                deaf.push(expect=200)
            receiver.wait_events(3, "trigger.rejected")
            one = Hooked(daemons[0], concurrency={"policy": "queue", "max_waiting": 100})
            bodies, before = [], ZEROS
            for n in range(30):
                bodies.append(json.dumps(push(before=before, after=sha(n))).encode())
                before = sha(n)
            told, lock = collections.defaultdict(set), threading.Lock()

            def send(item):
                n, copy = item
                with contextlib.suppress(requests.RequestException):
                    answer = requests.post(
                        f"{daemons[copy % 3].url}/hooks/{one.trigger}", data=bodies[n], timeout=60, headers={
                            "X-GitHub-Event": "push", "X-GitHub-Delivery": f"{n}-{copy // 5}",
                            "X-Hub-Signature-256": sign(bodies[n])})
                    if answer.status_code in (200, 202):
                        with lock:
                            told[n].add(answer.json()["run_id"])

            copies = [(n, copy) for n in range(30) for copy in range(10)]
            random.Random(2).shuffle(copies)
            with concurrent.futures.ThreadPoolExecutor(12) as pool:
                sent = [pool.submit(send, item) for item in copies]
                wait_for(lambda: sum(f.done() for f in sent) > 150, 60, "half of them")
                daemons[2].kill9()
            for n in set(range(30)) - set(told):  # each forge sends again what it has no answer to
                wait_for(lambda: (send((n, 0)), n in told)[1], what=f"an answer to push {n}")
            assert {len(runs) for runs in told.values()} == {1}

            def all_ended():
                runs = self.all_runs(daemons[0])
                return len(runs) == 30 and all(r["state"] == "SUCCEEDED" for r in runs) and runs
            runs = wait_for(all_ended, 120, "the turn of each")
            assert {r["run_id"] for r in runs} == {next(iter(run)) for run in told.values()}
            spans = sorted((r["created_at"], r["finished_at"]) for r in runs)
            assert all(before[1] <= after[0] for before, after in zip(spans, spans[1:]))  # one at a time
            daemons[2].start()

    def test_redis_away(self, daemon, forge):
        """Nothing is said to be accepted that is not written."""
        settings = {"executor": "noop", "redis_timeout": "3s"}
        with Redis() as redis, Daemon(redis=redis.url, settings=settings) as other:
            one = Hooked(other)
            redis.pause()
            body = push()
            answer = one.send(body, "d-1")
            redis.resume()
            assert answer.status_code == 503 and int(answer.headers["Retry-After"]) > 0
            wait_for(lambda: one.send(body, "d-1").status_code in (200, 202), 60, "the forge's second try")
            assert len(one.runs()) == 1
