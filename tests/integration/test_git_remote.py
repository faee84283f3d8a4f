# SPDX-License-Identifier: Apache-2.0
"""Triggers whose pipeline is a file in the repository, read at the commit through the forge's API."""

import http.server
import itertools
import json
import subprocess
import threading
import urllib.parse
import uuid

import pytest

from rondo_testing import Daemon, shell_spec, wait_for
from test_git import SECRET, V1, V2, push, sign

TOKEN = "ghp_the_token_of_one_repository"
FILE = "pipelines/train me.yaml"
RAW = "/repos/acme/model/contents/pipelines/train%20me.yaml"


class ForgeServer:
    """The forge's side of the API, on loopback: files by commit, and what was asked."""

    def __init__(self):
        self.files, self.statuses, self.asked = {}, [], []
        self.repository, self.looks = None, []  # a bare one; what each look at its refs was answered
        self.posts, self.answers = [], []  # commit statuses, and what to answer: (code, headers)
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):  # noqa: N802 (name of the library)
                url = urllib.parse.urlsplit(self.path)
                if url.path.endswith("/info/refs"):
                    self.send_refs()
                    return
                ref = urllib.parse.parse_qs(url.query).get("ref", [""])[0]
                outer.asked.append({"path": url.path, "ref": ref, "headers": dict(self.headers)})
                status = outer.statuses.pop(0) if outer.statuses else 200
                body = outer.files.get((url.path, ref))
                if status == 200 and body is None:
                    status = 404
                self.send_response(status)
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()
                self.wfile.write(body or b"")

            def send_refs(self):
                code = outer.statuses.pop(0) if outer.statuses else 200
                refs = subprocess.run(["git", "upload-pack", "--http-backend-info-refs", outer.repository],
                                      capture_output=True, check=True).stdout
                body = b"001e# service=git-upload-pack\n0000" + refs if code == 200 else b""
                outer.looks.append({"path": self.path, "code": code, "headers": dict(self.headers)})
                self.send_response(code)
                self.send_header("Content-Type", "application/x-git-upload-pack-advertisement")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self):  # noqa: N802
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                code, headers = outer.answers.pop(0) if outer.answers else (201, {})
                outer.posts.append({"path": self.path, "code": code, "headers": dict(self.headers), **body})
                self.send_response(code)
                for name, value in headers.items():
                    self.send_header(name, value)
                text = headers.get("X-Body", "").encode()
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_port}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def server():
    one = ForgeServer()
    yield one
    one.close()


@pytest.fixture(scope="module")
def daemon():
    with Daemon(settings={"executor": "noop", "webhook_allow": "127.0.0.1"}) as one:
        yield one
        one.move_clock(0)


def spec(name="from-the-repository", inputs=None):
    return json.dumps(shell_spec("echo hello", name=name, inputs=inputs or {"commit": "none"})).encode()


class Trigger:
    def __init__(self, daemon, server, script="echo old", **fields):
        self.daemon, self.server = daemon, server
        text = json.dumps(shell_spec(script, name="uploaded", inputs={"commit": "none"}))
        self.pipeline = daemon.upload(text, f"remote-{uuid.uuid4()}")["pipeline_id"]
        self.id = daemon.post(f"{V1}/triggers/git", {
            "name": "remote", "forge": "github", "secret": SECRET, "pipeline_id": self.pipeline, "file": FILE,
            "repository": "acme/model", "api": {"url": server.url, "token": TOKEN},
            "parameters": {"commit": {"from": "$commit"}}, **fields})["id"]

    def send(self, commit, delivery=None, expect=202, before="0" * 40):
        body = json.dumps(push(before=before, after=commit)).encode()
        return self.daemon.call("POST", f"/hooks/{self.id}", expect, data=body, headers={
            "Content-Type": "application/json", "X-GitHub-Event": "push", "X-Hub-Signature-256": sign(body),
            "X-GitHub-Delivery": delivery or str(uuid.uuid4())}).json()

    def event(self, answer):
        return self.daemon.get(f"{V1}/triggers/git/{self.id}/events/{answer['event_id']}")

    def settled(self, answer):
        return wait_for(lambda: (e := self.event(answer))["result"] != "fetching" and e, 60, "the event to be settled")

    def runs(self):
        runs = self.daemon.get(f"{V2}/runs", page_size=200).get("runs", [])
        return [r for r in runs if r["pipeline_version_reference"].get("pipeline_id") == self.pipeline]


@pytest.fixture
def trigger(daemon, server):
    return Trigger(daemon, server)


def test_a_commit_becomes_a_version_and_runs(trigger, server):
    commit = "a" * 40
    server.files[(RAW, commit)] = spec()
    answer = trigger.send(commit)
    assert answer["result"] == "fetching"
    event = trigger.settled(answer)
    assert event["result"] == "started", event
    run = trigger.daemon.run(event["run_id"])
    assert run["runtime_config"]["parameters"]["commit"] == commit
    version = run["pipeline_version_reference"]["pipeline_version_id"]
    shown = trigger.daemon.get(f"{V2}/pipelines/{trigger.pipeline}/versions/{version}")
    assert shown["display_name"] == f"{FILE}@{commit[:10]}" and commit in shown["description"]
    assert server.asked[0]["headers"]["Authorization"] == f"Bearer {TOKEN}"
    assert [a["ref"] for a in server.asked] == [commit]
    # The same commit on another branch: it is here already, and the answer says so at once.
    again = trigger.send(commit, before="b" * 40)
    assert again["result"] == "started"
    assert len(server.asked) == 1 and len(trigger.runs()) == 2
    # Another delivery about the same change.
    assert trigger.send(commit, expect=200)["result"] == "duplicate"


def test_a_forge_that_is_down_is_asked_again(trigger, server):
    commit = "c" * 40
    server.files[(RAW, commit)] = spec()
    server.statuses = [503, 500]
    answer = trigger.send(commit)
    wait_for(lambda: len(server.asked) >= 1, what="the first try")
    shifts = itertools.count(120, 60)  # the clock may be moved before an answer has been seen
    wait_for(lambda: (trigger.daemon.move_clock(next(shifts)), len(server.asked) == 3)[1], what="try 3", step=0.25)
    assert trigger.settled(answer)["result"] == "started"
    assert len(trigger.runs()) == 1
    trigger.daemon.move_clock(0)


@pytest.mark.parametrize("body, says", [
    (None, "answered 404; is the path right"),
    (b"pipelineInfo: [", "line 2, column 1: not valid YAML"),
    (b"just text", "at commit"),
])
def test_what_cannot_be_used_fails_with_the_reason(trigger, server, body, says):
    commit = "d" * 40
    if body is not None:
        server.files[(RAW, commit)] = body
    event = trigger.settled(trigger.send(commit))
    assert event["result"] == "failed"
    assert FILE in event["reason"] and says in event["reason"], event["reason"]
    assert trigger.runs() == []
    # Mended, and asked again by hand.
    server.files[(RAW, commit)] = spec()
    answer = trigger.daemon.post(f"{V1}/triggers/git/{trigger.id}/events/{event['id']}:redeliver", {})
    assert answer["result"] == "started"
    assert len(trigger.runs()) == 1


def test_parameters_that_do_not_fit_this_commit(trigger, server):
    commit = "e" * 40
    server.files[(RAW, commit)] = spec(inputs={"rows": "7"})
    event = trigger.settled(trigger.send(commit))
    assert event["result"] == "failed" and "commit" in event["reason"]


def test_explain_reads_and_writes_nothing(trigger, server):
    commit = "f" * 40
    server.files[(RAW, commit)] = spec()
    before = trigger.daemon.get(f"{V2}/pipelines/{trigger.pipeline}/versions")["total_size"]
    told = trigger.daemon.post(f"{V1}/triggers/git/{trigger.id}:explain", {
        "payload": push(after=commit), "forge": "github"})
    assert told["starts"] and told["refs"][0]["parameters"]["commit"] == commit
    assert trigger.daemon.get(f"{V2}/pipelines/{trigger.pipeline}/versions")["total_size"] == before
    assert trigger.runs() == []


def test_kill_while_the_forge_is_away():
    """The sender has its answer; whoever comes next starts the run, once."""
    server = ForgeServer()
    with Daemon(settings={"executor": "noop", "webhook_allow": "127.0.0.1"}) as daemon:
        trigger = Trigger(daemon, server)
        commits = [f"{n}" * 40 for n in range(1, 6)]
        server.statuses = [503] * 1000  # until it is back
        answers = [trigger.send(c, before=f"{n:040x}") for n, c in enumerate(commits, 100)]
        wait_for(lambda: {a["ref"] for a in server.asked} == set(commits), what="the tries")
        daemon.kill9()
        for commit in commits:
            server.files[(RAW, commit)] = spec()
        server.statuses = []
        daemon.start()
        daemon.move_clock(600)
        for answer in answers:
            assert trigger.settled(answer)["result"] == "started"
        assert len(trigger.runs()) == len(commits)
        daemon.kill9()
        daemon.start()
        assert len(trigger.runs()) == len(commits)
    server.close()


@pytest.mark.parametrize("fields, says", [
    ({"forge": "auto"}, "forge"),
    ({"forge": "hmac", "verification": {"header": "X-S"}}, "no API"),
    ({"repository": "acme/*"}, "exactly one"),
    ({"repository": None}, "exactly one"),
    ({"file": "../x.yaml"}, "file"),
    ({"file": "/x.yaml"}, "file"),
    ({"forge": "gitea", "api": {}}, "api.url"),
    ({"api": {"url": "ftp://x"}}, "api.url"),
    ({"api": {"url": "https://git.example.com/"}}, "slash"),
    ({"api": {"url": "https://git.example.com", "token": "a\nb"}}, "control"),
    ({"api": {"secret": "x"}}, "api"),
    ({"poll_s": 5}, "poll_s"),
    ({"forge": "gogs", "api": {"url": "https://gogs.example.com"}, "commit_status": True}, "no commit statuses"),
    ({"version_id": str(uuid.uuid4())}, "one of them"),
])
def test_refused(daemon, server, fields, says):
    body = {"name": "x", "forge": "github", "secret": SECRET, "pipeline_id": str(uuid.uuid4()), "file": FILE,
            "repository": "acme/model", "api": {"url": server.url, "token": TOKEN}, **fields}
    body = {k: v for k, v in body.items() if v is not None}
    text = daemon.call("POST", f"{V1}/triggers/git", 400, json=body).text
    assert says in text


def test_the_token_is_never_shown_and_goes_nowhere_else(trigger, daemon, server):
    shown = daemon.get(f"{V1}/triggers/git/{trigger.id}")
    assert shown["api"] == {"url": server.url, "has_token": True}
    assert TOKEN not in daemon.log()
    # A message about another repository starts nothing, and nobody is asked.
    body = json.dumps(push(after="9" * 40, repository={"full_name": "evil/model"})).encode()
    answer = daemon.call("POST", f"/hooks/{trigger.id}", 200, data=body, headers={
        "X-GitHub-Event": "push", "X-Hub-Signature-256": sign(body), "X-GitHub-Delivery": str(uuid.uuid4()),
        "Content-Type": "application/json"}).json()
    assert answer["result"] == "ignored"
    assert server.asked == []
