# SPDX-License-Identifier: Apache-2.0
"""Pushes in: GitHub's own payloads and signer against a running daemon."""

import concurrent.futures
import contextlib
import hashlib
import hmac
import json
import shutil
import subprocess
import urllib.parse
import uuid

import pytest
import requests

from rondo_testing import ROOT, SHARED, Daemon, shell_spec, wait_for

V1 = "/apis/rondo/v1"
V2 = "/apis/v2beta1"
NODE = ROOT / "tests" / "node"
SECRET = "a secret of the forge"
FORM = "application/x-www-form-urlencoded"


def sign(body, secret=SECRET):
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def push(ref="refs/heads/main", **fields):
    return {"ref": ref, "before": "0" * 40, "after": "1" * 40, "created": False, "deleted": False, "forced": False,
            "repository": {"full_name": "acme/model", "clone_url": "https://example.com/acme/model.git"},
            "pusher": {"name": "ann"}, "head_commit": {"id": "1" * 40, "message": "train it"}, **fields}


class Forge:
    """GitHub, as far as a receiver can tell. The pipeline takes the commit, the branch and the like."""

    inputs = {"commit": "none", "branch": "none", "first": "none"}

    def __init__(self, daemon, name="pushed", script="echo hello", **fields):
        self.daemon = daemon
        text = json.dumps(shell_spec(script, name=name, inputs=self.inputs))
        self.pipeline = daemon.upload(text, f"{name}-{uuid.uuid4()}")["pipeline_id"]
        body = {"name": name, "secret": SECRET, "pipeline_id": self.pipeline, "parameters": {
            "commit": {"from": "$commit"}, "branch": {"from": "$branch"},
            "first": {"from": "/commits/0/id", "default": "unknown"}}, **fields}
        self.trigger = daemon.post(f"{V1}/triggers/git", body)["id"]

    def send(self, body, delivery=None, event="push", expect=None, signature=None, kind="application/json",
             trigger=None):
        body = json.dumps(body).encode() if isinstance(body, dict) else body
        headers = {"Content-Type": kind, "X-GitHub-Event": event, "Host": "forge-facing.example.com",
                   "X-GitHub-Delivery": delivery or str(uuid.uuid4()), "User-Agent": "GitHub-Hookshot/1234567",
                   "X-Hub-Signature-256": sign(body) if signature is None else signature}
        headers = {name: value for name, value in headers.items() if value}
        return self.daemon.call("POST", f"/hooks/git/{trigger or self.trigger}", expect, data=body, headers=headers)

    def runs(self):
        runs = self.daemon.get(f"{V2}/runs", page_size=200).get("runs", [])  # absent when there are none
        return [r for r in runs if r["pipeline_version_reference"].get("pipeline_id") == self.pipeline]


@pytest.fixture(scope="module")
def daemon():
    with Daemon(settings={"executor": "noop"}) as one:
        yield one


@pytest.fixture
def forge(daemon):
    return Forge(daemon)


@pytest.fixture(scope="module")
def github():
    if shutil.which("node") is None or not (NODE / "node_modules" / "@octokit").exists():
        pytest.skip("node or its modules are missing: run npm ci in tests/node")
    done = subprocess.run(["node", "github.mjs"], cwd=NODE, capture_output=True, check=True, text=True,
                          input=json.dumps({"secret": SECRET, "events": ["push", "ping", "create", "issues"]}))
    return json.loads(done.stdout)


class TestGitHubsExamples:
    @pytest.mark.parametrize("kind", ["application/json", FORM, "application/json; charset=utf-8"])
    def test_every_example(self, forge, github, kind):
        """Signed by GitHub's own library, as JSON and as a form."""
        started = set()
        assert sum(e["event"] == "push" for e in github) == 7 and any(e["event"] == "ping" for e in github)
        for example in github:
            text, signature = ((example["form"], example["form_signature"]) if kind == FORM
                               else (example["body"], example["signature"]))
            answer = forge.send(text.encode(), event=example["event"], signature=signature, kind=kind)
            payload = json.loads(example["body"])
            wanted = (example["event"] == "push" and payload["ref"].startswith("refs/heads/")
                      and not payload["deleted"])
            change = wanted and (payload["repository"]["full_name"], payload["ref"], payload["before"],
                                 payload["after"])  # two of the examples tell of the same one
            result = ("ping" if example["event"] == "ping" else "ignored" if not wanted
                      else "duplicate" if change in started else "started")
            assert answer.status_code == (202 if result == "started" else 200), (example["event"], answer.text)
            assert answer.json()["result"] == result
            if wanted:
                started.add(change)
                run = self.daemon_run(forge, answer)
                assert run["runtime_config"]["parameters"]["commit"] == payload["after"]
                assert run["runtime_config"]["parameters"]["branch"] == "master"
            else:
                assert answer.json()["reason"]
        assert len(forge.runs()) == len(started) >= 1

    @staticmethod
    def daemon_run(forge, answer):
        return forge.daemon.run(answer.json()["run_id"])

    def test_other_forges_examples_do_not_pass_for_githubs(self, forge):
        """Payloads of other forges, signed as GitHub would: a clear answer, never a 5xx."""
        folder = SHARED / "git-push-fixtures"
        if not folder.exists():
            pytest.skip("../shared/git-push-fixtures is not here")
        files = [f for f in folder.rglob("*.json")]
        assert files
        for file in files:
            answer = forge.send(file.read_bytes())
            assert answer.status_code in (200, 202, 400), (file, answer.text)


class TestExactlyOnce:
    def test_ten_copies_at_once(self, forge):
        body, delivery = push(), str(uuid.uuid4())
        with concurrent.futures.ThreadPoolExecutor(10) as pool:
            answers = list(pool.map(lambda _: forge.send(body, delivery), range(10)))
        assert sorted(a.status_code for a in answers) == [200] * 9 + [202]
        answers = [a.json() for a in answers]
        assert len({a["run_id"] for a in answers}) == 1
        assert len(forge.runs()) == 1
        forge.daemon.wait_run(answers[0]["run_id"])

    def test_two_triggers_two_runs(self, daemon):
        delivery = str(uuid.uuid4())
        made = {Forge(daemon).send(push(), delivery, expect=202).json()["run_id"] for _ in range(2)}
        assert len(made) == 2

    def test_redelivery_after_kill(self, tmp_path):
        with Daemon(settings={"executor": "noop"}) as daemon:
            forge = Forge(daemon)
            delivery = str(uuid.uuid4())
            first = forge.send(push(), delivery, expect=202).json()["run_id"]
            daemon.restart(kill=True)
            again = forge.send(push(), delivery, expect=200).json()
            assert again["run_id"] == first and again["result"] == "duplicate"
            daemon.wait_run(first)
            assert len(forge.runs()) == 1
            assert forge.send(push(), delivery, expect=200).json()["run_id"] == first
            assert len(forge.runs()) == 1

    @pytest.mark.parametrize("fault", ["git.receive.before", "git.receive.after"])
    def test_killed_around_the_write(self, fault):
        with Daemon(settings={"executor": "noop"}) as daemon:
            forge = Forge(daemon)
            daemon.restart(env={"RONDO_FAULT": f"{fault}:crash"})
            delivery = str(uuid.uuid4())
            with contextlib.suppress(requests.RequestException, AssertionError):
                forge.send(push(), delivery)
            wait_for(lambda: daemon.process.poll() is not None, 60, "the crash")
            daemon.kill9()
            daemon.start()
            run = forge.send(push(), delivery).json()["run_id"]
            daemon.wait_run(run)
            assert [r["run_id"] for r in forge.runs()] == [run]

    def test_storm_with_kill(self):
        """Fifty pushes, the daemon dies in the middle, the forge sends again what was not answered."""
        with Daemon(settings={"executor": "noop"}) as daemon:
            forge = Forge(daemon)
            waiting = {str(uuid.uuid4()): f"{n:040x}" for n in range(1, 51)}
            told = {}

            def send(item):
                delivery, commit = item
                with contextlib.suppress(requests.RequestException, AssertionError, AttributeError):
                    answer = requests.post(
                        f"{url}/hooks/git/{forge.trigger}", data=(body := json.dumps(push(after=commit)).encode()),
                        headers={"X-GitHub-Event": "push", "X-GitHub-Delivery": delivery,
                                 "X-Hub-Signature-256": sign(body)}, timeout=60)
                    if answer.status_code in (200, 202):
                        assert told.setdefault(delivery, answer.json()["run_id"]) == answer.json()["run_id"]
                        if len(told) >= 20 and not killed:
                            killed.append(True)
                            daemon.process.kill()

            killed = []
            for _ in range(5):
                url = daemon.url
                with concurrent.futures.ThreadPoolExecutor(10) as pool:
                    list(pool.map(send, waiting.items()))
                if daemon.process.poll() is not None:
                    daemon.restart(kill=True)
                elif len(told) == len(waiting):
                    break
            assert killed and len(told) == 50
            runs = wait_for(lambda: (r := forge.runs()) and all(x["state"] == "SUCCEEDED" for x in r) and r,
                            60, "the runs")
            assert len(runs) == 50 and {r["run_id"] for r in runs} == set(told.values())
            commits = sorted(r["runtime_config"]["parameters"]["commit"] for r in runs)
            assert commits == sorted(waiting.values())


class TestRules:
    def test_mapping_reaches_the_step(self):
        with Daemon() as daemon:
            forge = Forge(daemon, script="echo got '{{$.inputs.parameters[\"commit\"]}}' "
                                         "'{{$.inputs.parameters[\"branch\"]}}' '{{$.inputs.parameters[\"first\"]}}'")
            body = push("refs/heads/feature/x", after="a" * 40, commits=[{"id": "c" * 40}])
            run = forge.send(body, "0e5d1a80", expect=202).json()["run_id"]
            daemon.wait_run(run)
            assert f"got {'a' * 40} feature/x {'c' * 40}" in daemon.run_log(run)
            run = forge.send(push(after="b" * 40), expect=202).json()["run_id"]
            daemon.wait_run(run)
            assert f"got {'b' * 40} main unknown" in daemon.run_log(run)

    def test_the_run_tells_what_started_it(self):
        from rondo_testing import Receiver
        with Receiver() as receiver, Daemon(settings={"executor": "noop", "webhook_allow": "127.0.0.1"}) as daemon:
            daemon.post(f"{V1}/subscriptions", {"url": receiver.url, "events": ["run.started"]})
            message = "trän " + "x" * 5000
            Forge(daemon).send(push(head_commit={"message": message}), "d-1", expect=202)
            told = receiver.wait_events(1, "run.started")[0]["data"]["trigger"]
            assert {k: told[k] for k in ("kind", "delivery", "commit", "ref", "repository", "actor")} == {
                "kind": "git", "delivery": "d-1", "commit": "1" * 40, "ref": "refs/heads/main",
                "repository": "acme/model", "actor": "ann"}
            assert message.startswith(told["message"]) and len(told["message"]) > 900

    def test_names(self, daemon):
        forge = Forge(daemon, name="p" * 90)
        for branch in ("ä" * 120, "x" * 1000, "a+b", "\u2603"):
            answer = forge.send(push("refs/heads/" + branch), expect=202).json()
            name = daemon.run(answer["run_id"])["display_name"]
            assert name.startswith("p" * 90) and len(name.encode()) <= 200

    @pytest.mark.parametrize("branches, branch, starts", [
        (["main"], "main", True), (["main"], "mainline", False), (["release/*"], "release/1", True),
        (["release/*"], "release/1/2", False), (["release/**"], "release/1/2", True), ([], "anything/at/all", True),
        (["dev", "main"], "main", True)])
    def test_branches(self, daemon, branches, branch, starts):
        answer = Forge(daemon, branches=branches).send(push(f"refs/heads/{branch}"))
        assert answer.json()["result"] == ("started" if starts else "ignored"), answer.text

    @pytest.mark.parametrize("fields, reason", [
        ({"deleted": True}, "deletes"), ({"after": "0" * 40}, "deletes"), ({"ref": "refs/tags/v1"}, "not a branch"),
        ({"head_commit": {"message": "typo [skip ci]"}}, "skip"), ({"head_commit": {"message": "[CI SKIP]"}}, "skip"),
        ({"repository": {"full_name": "other/repo"}}, "repository")])
    def test_ignored(self, daemon, fields, reason):
        forge = Forge(daemon, repository="acme/model")
        answer = forge.send(push(**fields), expect=200).json()
        assert answer["result"] == "ignored" and reason in answer["reason"]
        assert forge.runs() == []

    def test_switched_off(self, daemon):
        assert Forge(daemon, enabled=False).send(push(), expect=200).json()["result"] == "ignored"

    def test_missing_value_without_default(self, daemon):
        forge = Forge(daemon, parameters={"commit": {"from": "/nothing/here"}})
        answer = forge.send(push(), expect=200).json()
        assert answer["result"] == "failed" and "/nothing/here" in answer["reason"] and forge.runs() == []

    def test_pipeline_gone(self, daemon):
        forge = Forge(daemon)
        for version in daemon.get(f"{V2}/pipelines/{forge.pipeline}/versions")["pipeline_versions"]:
            daemon.delete(f"{V2}/pipelines/{forge.pipeline}/versions/{version['pipeline_version_id']}")
        daemon.delete(f"{V2}/pipelines/{forge.pipeline}")
        answer = forge.send(push(), expect=200).json()
        assert answer["result"] == "failed" and forge.pipeline in answer["reason"]


class TestHostile:
    def test_unknown_trigger_and_wrong_signature_look_alike(self, forge):
        body = json.dumps(push()).encode()
        answers = [forge.send(body, signature=sign(body, "another")), forge.send(body, trigger=str(uuid.uuid4())),
                   forge.send(body, trigger="nonsense"), forge.send(body, signature=""),
                   forge.send(body, signature="sha256="), forge.send(body, signature=sign(body)[:-1]),
                   forge.send(body, signature="sha1=" + "0" * 40), forge.send(body + b" ", signature=sign(body)),
                   forge.send(b"not json", signature="x")]
        assert {a.status_code for a in answers} == {404}
        assert len({a.content for a in answers}) == 1
        assert len({tuple(sorted(set(a.headers) - {"Date"})) for a in answers}) == 1
        assert forge.runs() == []

    @pytest.mark.parametrize("body", [
        b"", b"not json", b"[]", b"{}", b'"text"', b"null", b"[" * 100000, b'{"ref": 5}',
        json.dumps(push(repository=None)).encode(), json.dumps(push(repository={"full_name": 7})).encode(),
        json.dumps(push(after="../../etc")).encode(), json.dumps(push(after="G" * 40)).encode(),
        json.dumps(push(ref="refs/heads/" + "x" * 5000)).encode(), json.dumps(push(head_commit="text")).encode(),
        json.dumps(push(pusher=[])).encode(), json.dumps(push(deleted="no")).encode(),
        b'{"ref": "refs/heads/\xff"}', b"\x00" * 100])
    def test_bad_payloads(self, forge, body):
        answer = forge.send(body)
        assert answer.status_code == 400 and answer.json()["message"], answer.text
        assert forge.runs() == []

    @pytest.mark.parametrize("form", [
        b"", b"payload=", b"other=1", b"payload=%7B", b"payload=%zz", b"payload=%00", b"&&&=&==",
        b"payload=" + b"%5B" * 50000, b"a=1&" * 100000])
    def test_bad_forms(self, forge, form):
        assert forge.send(form, kind=FORM).status_code == 400

    def test_a_form_after_many_fields(self, forge):
        body = "x=1&" * 20 + urllib.parse.urlencode({"payload": json.dumps(push())})
        assert forge.send(body.encode(), kind=FORM).status_code == 202

    @pytest.mark.parametrize("delivery", ["x" * 257, "a b", "caf\u00e9"])
    def test_bad_delivery_ids(self, forge, delivery):
        body = json.dumps(push()).encode()
        answer = requests.post(
            f"{forge.daemon.url}/hooks/git/{forge.trigger}", data=body, timeout=60,
            headers={"X-GitHub-Event": "push", "X-GitHub-Delivery": delivery.encode("utf-8"),
                     "X-Hub-Signature-256": sign(body)})
        assert answer.status_code == 400 and "X-GitHub-Delivery" in answer.json()["message"]

    def test_missing_headers(self, forge):
        assert forge.send(push(), event="").status_code == 404  # nothing says who sent it

    def test_twenty_five_megabytes(self, daemon):
        """GitHub's largest payload is taken; past max-body it is refused, and memory stays bounded."""
        forge = Forge(daemon)
        before = daemon.resident()
        assert forge.send(push(padding="x" * (25 << 20)), expect=None).status_code == 202
        assert forge.send(push(padding="x" * (34 << 20)), expect=None).status_code == 413
        assert daemon.resident() - before < 600 << 20

    def test_tokens_are_not_asked_of_forges(self, tmp_path):
        tokens = tmp_path / "tokens"
        tokens.write_text(hashlib.sha256(b"good").hexdigest() + "\n")
        with Daemon(token="good", settings={"executor": "noop", "tokens_file": tokens}) as daemon:
            forge = Forge(daemon)
            del daemon.session.headers["Authorization"]
            assert forge.send(push()).status_code == 202
            daemon.call("GET", f"{V1}/triggers/git", 401)

    @pytest.mark.parametrize("fields", [
        {"secret": "short"}, {"branches": "main"}, {"branches": [""]}, {"branches": [5]}, {"forge": "sourceforge"},
        {"pipeline_id": str(uuid.uuid4())}, {"pipeline_id": "x"}, {"experiment_id": str(uuid.uuid4())},
        {"version_id": str(uuid.uuid4())}, {"version_id": "x"}, {"experiment_id": "x"}, {"parameters": []}, {"extra": 1},
        {"parameters": {"a": {"from": "$nothing"}}}, {"parameters": {"a": {"from": "no slash"}}},
        {"repository": 5}, {"name": "n" * 5000}, {"enabled": "yes"}, {"branches": ["x"] * 1000}])
    def test_refused_triggers(self, daemon, forge, fields):
        count = len(daemon.get(f"{V1}/triggers/git")["triggers"])
        body = {"name": "t", "secret": SECRET, "pipeline_id": forge.pipeline, **fields}
        assert daemon.post(f"{V1}/triggers/git", body, expect=400)["message"]
        assert len(daemon.get(f"{V1}/triggers/git")["triggers"]) == count

    def test_a_version_of_another_pipeline(self, daemon, forge):
        versions = f"{V2}/pipelines/{Forge(daemon).pipeline}/versions"
        other = daemon.get(versions)["pipeline_versions"][0]["pipeline_version_id"]
        own = daemon.get(f"{V2}/pipelines/{forge.pipeline}/versions")["pipeline_versions"][0]["pipeline_version_id"]
        body = {"secret": SECRET, "pipeline_id": forge.pipeline}
        assert "version_id" in daemon.post(f"{V1}/triggers/git", {**body, "version_id": other}, expect=400)["message"]
        made = daemon.post(f"{V1}/triggers/git", {**body, "version_id": own})["id"]
        run = forge.send(push(), trigger=made, expect=202).json()["run_id"]
        assert daemon.run(run)["pipeline_version_reference"]["pipeline_version_id"] == own

    def test_secrets_stay_inside(self, daemon, forge):
        forge.send(push(), expect=202)
        assert SECRET not in json.dumps(daemon.get(f"{V1}/triggers/git"))
        assert SECRET not in json.dumps(daemon.get(f"{V1}/triggers/git/{forge.trigger}"))
        assert SECRET not in daemon.log()
        daemon.delete(f"{V1}/triggers/git/{forge.trigger}")
        assert forge.send(push()).status_code == 404
