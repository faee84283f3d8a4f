# SPDX-License-Identifier: Apache-2.0
"""What the forges send: whether it is genuine, and what it says. Signatures and payloads are other people's."""

import base64
import collections
import http.client
import json
import pathlib
import shutil
import subprocess
import time
import urllib.parse
import uuid

import pytest
import standardwebhooks
import svix.webhooks

import forge_sender
from forge_sender import FAULTS, NODE, SCHEMES, Octokit
from rondo_testing import ROOT, SHARED, Daemon, bin_dir, shell_spec, wait_for

DATA = ROOT / "tests" / "data" / "forges"
GO_GITLAB = pathlib.Path("/usr/share/gocode/src/github.com/xanzy/go-gitlab/testdata/webhooks")


TABLES = {"github": "github", "gitlab": "gitlab", "gitea": "gitea", "forgejo": "gitea", "gogs": "gitea",
          "bitbucket": "bitbucket", "bitbucket-server": "bitbucket_server", "azure-devops": "azure_devops"}


def read(lines):
    """Through tests/support/forge_driver.c: one answer for each line."""
    text = "".join(json.dumps(line) + "\n" for line in lines)
    done = subprocess.run([bin_dir() / "forge_driver"], input=text, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module", autouse=True)
def node():
    if shutil.which("node") is None or not (NODE / "node_modules" / "@octokit").exists():
        pytest.skip("node or its modules are missing: run npm ci in tests/node")
    yield
    Octokit.stop()


class Matrix:
    """signature_matrix.txt: {(scheme, is_form, fault): accepted?}"""

    def __init__(self):
        lines = [line.split() for line in (DATA / "signature_matrix.txt").read_text().splitlines()
                 if line and not line.startswith("#")]
        assert lines[0] == ["scheme", "body", *FAULTS]
        self.cells = {(row[0], row[1] == "form", fault): mark == "+"
                      for row in lines[1:] for fault, mark in zip(FAULTS, row[2:], strict=True) if mark != "."}
        assert {scheme for scheme, _, _ in self.cells} == set(SCHEMES)


@pytest.fixture(scope="module")
def cells(node):
    """[(scheme, is_form, fault, expected, source, headers, body)]"""
    now_s = int(time.time())
    text = json.dumps({"hello": "w\u00f6rld & more = less", "list": [1, 2, 3]})
    made = [(*cell, expected, *forge_sender.make(cell[0], text, cell[2], cell[1], now_s))
            for cell, expected in Matrix().cells.items()]
    assert len(made) > 330
    return now_s, made


class TestSignatures:
    def test_matrix(self, cells):
        now_s, made = cells
        answers = read({"source": source, "now_us": now_s * 1000000, "headers": headers, "body": body}
                       for *_, source, headers, body in made)
        wrong = [(cell[:3], answer.get("refusal")) for cell, answer in zip(made, answers, strict=True)
                 if (answer["verified"] is not None) != cell[3]]
        assert wrong == []
        for cell, answer in zip(made, answers, strict=True):
            scheme, fault = cell[0], cell[2]
            if answer["verified"] is None:
                assert answer["refusal"]
            elif not (scheme == "gitlab-both" and fault == "missing"):
                assert answer["verified"] == SCHEMES[scheme].header
                assert answer["secret"] == (1 if fault == "second" else 0), cell[:3]

    def test_forges_are_found_by_their_headers(self, cells):
        """Every genuine message of a forge is so without a name, too; and with another forge's name it is not."""
        now_s, made = cells
        general = ("hmac", "bearer", "basic")
        right = [c for c in made if c[2] == "right" and c[3] and c[4]["forge"] not in general
                 and "scheme" not in c[4] and "sha1" not in c[4]]
        answers = read({"source": {**source, "forge": "auto"}, "now_us": now_s * 1000000, "headers": headers,
                        "body": body} for *_, source, headers, body in right)
        for cell, answer in zip(right, answers, strict=True):
            assert answer["verified"] == SCHEMES[cell[0]].header, cell[:3]

    def test_github_s_own_verifier_agrees(self, cells):
        _, made = cells
        for scheme, _, fault, expected, source, headers, body in made:
            values = [v for n, v in headers if n == SCHEMES[scheme].header]
            if scheme not in ("github", "bitbucket", "bitbucket-server") or len(values) != 1 or fault == "expired":
                continue
            verdicts = [Octokit.ask(secret=s, body=body, signature=values[0]) for s in source["secrets"]]
            # It compares texts: capital letters are another one.
            assert any(verdicts) == (expected and fault != "upper"), (scheme, fault)

    @pytest.mark.parametrize("verifier", [standardwebhooks.webhooks.Webhook, svix.webhooks.Webhook])
    def test_verifiers_of_standard_webhooks_agree(self, cells, verifier):
        _, made = cells
        checked = 0
        for scheme, _, fault, expected, source, headers, body in made:
            if scheme not in ("standard-webhooks", "cloudevents-signed", "gitlab-signed") or fault in (
                    "twice", "expired", "early", "long"):  # none of their business, their clock, their lenient base64
                continue
            verdicts = []
            for secret in source["secrets"]:
                try:
                    verifier(secret).verify(body, {n.lower(): v for n, v in headers})
                    verdicts.append(True)
                except Exception:  # each has its own
                    verdicts.append(False)
            assert any(verdicts) == expected, (scheme, fault)
            checked += 1
        assert checked >= 30

    def test_without_a_secret(self):
        """Refused, unless that is written out; and a secret is checked even then."""
        headers = {"X-GitHub-Event": "ping", "X-GitHub-Delivery": "d"}
        sources = [{"forge": "github"}, {"forge": "github", "secrets": [""]}, {"forge": "auto"},
                   {"forge": "github", "secrets": ["x"], "insecure": True}, {"forge": "github", "insecure": True}]
        answers = read({"source": s, "headers": headers, "body": {}} for s in sources)
        assert [a["verified"] for a in answers] == [None, None, None, None, "nothing"]

    def test_a_public_key_is_no_secret(self):
        """Everybody has it: what is signed with it as if it were one is not genuine."""
        key, body = forge_sender.public_key("1"), "{}"
        digest = forge_sender.hex_mac("sha256")(key, body, 0)
        headers = {"github": {**forge_sender.GITHUB, "X-Hub-Signature-256": "sha256=" + digest},
                   "gitea": {"X-Gitea-Event": "push", "X-Gitea-Delivery": "d", "X-Gitea-Signature": digest},
                   "gitlab": {**forge_sender.GITLAB, "X-Gitlab-Token": key},
                   "azure-devops": {"Authorization": "Basic " + forge_sender.login(key, "", 0)},
                   "hmac": {"X-Signature": digest}, "bearer": {"Authorization": f"Bearer {key}"}}
        answers = read({"source": {"forge": forge, "secrets": [key]}, "headers": headers[name], "body": body}
                       for name in headers for forge in (name, "auto"))
        assert [a["verified"] for a in answers] == [None] * len(answers)

    def test_logins(self):
        """The name counts where the trigger gives one; odd logins are none."""
        def login(text):
            return "Basic " + base64.b64encode(text.encode()).decode()
        rows = [("hook", login("hook:pass:word"), True), ("hook", login("other:pass:word"), False),
                (None, login("other:pass:word"), True), (None, login(":pass:word"), True), (None, login("hook"), False),
                (None, login("hook:pass"), False), (None, login("hook:pass:word\0"), False), (None, "Basic", False),
                ("hook", login("hook:pass:word").replace("Basic", "basic"), True), (None, "Basic !!!", False)]
        answers = read({"source": {"forge": "basic", "secrets": ["pass:word"], **({"username": name} if name else {})},
                        "headers": {"Authorization": value}, "body": {}} for name, value, _ in rows)
        assert [a["verified"] is not None for a in answers] == [expected for *_, expected in rows]

    def test_an_unknown_sender_is_refused(self):
        answer, = read([{"source": {"forge": "auto", "secrets": ["x"]}, "headers": {}, "body": {}}])
        assert answer["verified"] is None and "name it" in answer["refusal"]


@pytest.fixture(scope="module")
def daemon():
    with Daemon(settings={"executor": "noop"}) as one:
        one.pipeline = one.upload(json.dumps(shell_spec("echo", inputs={"commit": "none"})), "pushed")["pipeline_id"]
        yield one


class TestDaemon:
    """The same through HTTP: each scheme's trigger starts a run of what is right, and of nothing else."""

    @staticmethod
    def trigger(daemon, scheme):
        source = dict(scheme.source)
        if source.pop("sha1", False):
            source["allow_sha1"] = True
        return daemon.post("/apis/rondo/v1/triggers/git", {
            "name": scheme.forge, "forge": scheme.forge, "pipeline_id": daemon.pipeline,
            "secret": forge_sender.public(scheme.secrets[0]), "verification": source,
            "parameters": {"commit": {"from": "$commit", "default": "of no forge"}}})["id"]

    @staticmethod
    def event(forge):
        """A push, as the tables have it; another one each time."""
        if forge not in TABLES:
            return json.dumps({"type": "com.example.x", "n": str(uuid.uuid4())})
        body = json.loads((DATA / f"{TABLES[forge]}.json").read_text())["bases"]["push"]["body"]
        fresh = json.dumps(body).replace("b" * 40, uuid.uuid4().hex + "0" * 8)
        return fresh.replace("03c164c2-8912-4d5e-8009-3707d5f83734", str(uuid.uuid4()))  # Azure's ids are in the body

    @staticmethod
    def send(daemon, trigger, headers, body):
        """By hand: a header may come twice."""
        url = urllib.parse.urlsplit(daemon.url)
        connection = http.client.HTTPConnection(url.hostname, url.port, timeout=60)
        connection.putrequest("POST", f"/hooks/git/{trigger}")
        for name, value in [*headers, ("Content-Length", str(len(body.encode())))]:
            connection.putheader(name, value)
        connection.endheaders(body.encode())
        answer = connection.getresponse()
        status, told = answer.status, json.loads(answer.read())
        connection.close()
        return status, told

    @pytest.mark.parametrize("name", [name for name in SCHEMES if name != "gitlab-both"])
    def test_scheme(self, daemon, name):
        expected = Matrix().cells
        scheme = SCHEMES[name]
        trigger = self.trigger(daemon, scheme)
        for is_form in (False, True):
            for fault in ("wrong", "missing", "twice", "changed", "right"):
                if (name, is_form, fault) not in expected:
                    continue
                _, headers, body = forge_sender.make(name, self.event(scheme.forge), fault, is_form, int(time.time()))
                headers = [(n, str(uuid.uuid4()) if v in ("d-1", "e-1") else v) for n, v in headers]
                status, told = self.send(daemon, trigger, headers, body)
                if not expected[name, is_form, fault]:
                    assert status == 404 and "signature does not match" in told["message"], (fault, told)
                else:
                    assert status == 202, (fault, told)
                    run = daemon.run(told["run_id"])
                    assert run["runtime_config"]["parameters"]["commit"] in (body if scheme.forge in TABLES
                                                                             else "of no forge")

    def test_a_tag_that_is_told_twice(self, daemon):
        """Gitea and Forgejo send push and create of a new tag: one run."""
        trigger = daemon.post("/apis/rondo/v1/triggers/git", {
            "name": "tags", "forge": "forgejo", "pipeline_id": daemon.pipeline, "secret": SCHEMES["forgejo"].secrets[0],
            "events": ["tag"], "parameters": {"commit": {"from": "$tag"}}})["id"]
        bases = json.loads((DATA / "gitea.json").read_text())["bases"]
        push = {**bases["push"]["body"], "ref": "refs/tags/v1.0", "before": "0" * 40, "commits": [], "total_commits": 0}
        results = []
        for event, body in (("push", push), ("create", bases["create"]["body"])):
            _, headers, text = forge_sender.make("forgejo", json.dumps(body), "right")
            headers = [(n, {"push": event, "d-1": str(uuid.uuid4())}.get(v, v)) for n, v in headers]
            results.append(self.send(daemon, trigger, headers, text))
        (status, first), (again, second) = results
        assert status == 202 and daemon.run(first["run_id"])["runtime_config"]["parameters"] == {"commit": "v1.0"}
        assert again == 200 and second["result"] == "duplicate"

    def test_a_bare_ping_of_bitbucket(self, daemon):
        """It may be unsigned; then it says nothing about which triggers there are."""
        trigger = self.trigger(daemon, SCHEMES["bitbucket-server"])
        headers = [("X-Event-Key", "diagnostics:ping"), ("X-Request-Id", "p-1"), ("Content-Type", "application/json")]
        body = json.dumps({"test": True})
        answers = [self.send(daemon, which, headers, body) for which in (trigger, str(uuid.uuid4()))]
        assert answers[0] == answers[1] and answers[0][0] == 200
        headers.append(("X-Hub-Signature", "sha256=" + "0" * 64))
        assert self.send(daemon, trigger, headers, body)[0] == 404


@pytest.fixture(scope="module")
def sender():
    with Daemon(settings={"executor": "noop", "webhook_allow": "127.0.0.1"}) as one:
        one.pipeline = one.upload(json.dumps(shell_spec("echo")), "first")["pipeline_id"]
        yield one


class TestRoundTrip:
    """What rondo tells, rondo understands: the end of a run here starts one there."""

    @pytest.mark.parametrize("forge, format", [("standard-webhooks", "standard"), ("cloudevents", "cloudevents"),
                                               ("cloudevents", "cloudevents-binary")])
    def test_an_event_starts_a_run(self, sender, daemon, forge, format):
        secret = forge_sender.whsec("round trip")
        trigger = daemon.post("/apis/rondo/v1/triggers/git", {
            "name": "then", "forge": forge, "pipeline_id": daemon.pipeline, "secret": secret,
            "parameters": {"commit": {"from": "/data/run_id"}}})["id"]
        subscription = sender.post("/apis/rondo/v1/subscriptions", {
            "url": f"{daemon.url}/hooks/git/{trigger}", "events": ["run.finished"], "format": format, "secret": secret})
        run = sender.create_run(pipeline_version_reference={"pipeline_id": sender.pipeline})["run_id"]

        def started():
            runs = daemon.get("/apis/v2beta1/runs", page_size=200).get("runs", [])
            return any(r["runtime_config"].get("parameters", {}).get("commit") == run for r in runs)
        wait_for(started, 60, "the run there")
        sender.delete(f"/apis/rondo/v1/subscriptions/{subscription['id']}")


class TestPayloads:
    def test_github_s_examples(self):
        """All 329, and those of Enterprise Server: what they are, by the event's name and GitHub's own fields."""
        done = subprocess.run(["node", "examples.mjs"], cwd=NODE, capture_output=True, check=True)
        examples = json.loads(done.stdout)
        assert sum(e["set"] == "api.github.com" for e in examples) >= 329 and len({e["set"] for e in examples}) > 1
        answers = read({"source": {"forge": "auto", "insecure": True}, "body": e["payload"],
                        "headers": {"X-GitHub-Event": e["event"], "X-GitHub-Delivery": "d"}} for e in examples)
        kinds = collections.Counter()
        for example, answer in zip(examples, answers, strict=True):
            event, payload, message = example["event"], example["payload"], answer["message"]
            kind = event if event in ("push", "pull_request", "release", "ping") else "other"
            kinds[kind] += example["set"] == "api.github.com"
            assert message["kind"] == kind and message["forge"] == "github", event
            if kind == "push":
                self.check_push(payload, message["pushes"][0])
            elif kind == "pull_request":
                pull, told = payload["pull_request"], message["pull_request"]
                assert (told["number"], told["head"], told["target_branch"]) == (
                    pull["number"], pull["head"]["sha"], pull["base"]["ref"])
                assert told["action"] == {"synchronize": "updated"}.get(payload["action"], payload["action"])
                assert told["draft"] == pull.get("draft", False) and told["merged"] == (pull.get("merged") or False)
            elif kind == "release":
                assert message["release"]["tag"] == payload["release"]["tag_name"]
                assert message["release"]["prerelease"] == payload["release"]["prerelease"]
            else:
                assert message["why"].startswith(event)
        assert kinds["push"] == 7 and kinds["pull_request"] == 29 and kinds["release"] == 13 and kinds["ping"] == 4

    @staticmethod
    def check_push(payload, told):
        assert told["ref"] == payload["ref"] and told["after"] == payload["after"]
        assert (told["tag"] or told["branch"]) == payload["ref"].split("/", 2)[2]
        assert (told["tag"] is None) == payload["ref"].startswith("refs/heads/")
        assert (told["created"], told["deleted"]) == (payload["created"], payload["deleted"])
        assert told["repository"] == payload["repository"]["full_name"]
        assert told["commit_count"] == len(payload["commits"])

    def test_gitlab_s_examples(self):
        """The sixteen of go-gitlab (Debian: golang-github-xanzy-go-gitlab-dev)."""
        if not GO_GITLAB.exists():
            pytest.skip("golang-github-xanzy-go-gitlab-dev is not installed")
        files = sorted(GO_GITLAB.glob("*.json"))
        assert len(files) >= 16
        answers = read({"source": {"forge": "auto", "insecure": True}, "body": json.loads(f.read_text()),
                        "headers": {"X-Gitlab-Event": "System Hook"}} for f in files)
        told = {f.stem: a["message"] for f, a in zip(files, answers, strict=True)}
        expected = {"push": "push", "tag_push": "push", "merge_request": "pull_request", "release": "release",
                    "service_merge_request": "pull_request",
                    "group_merge_request": "other"}  # its members' names end in blanks
        for name, message in told.items():
            assert message["kind"] == expected.get(name, "other"), name
            assert message["kind"] != "other" or message["why"]
        push, = told["push"]["pushes"]
        assert (push["branch"], push["repository"], push["actor"], push["commit_count"], push["files_known"]) == (
            "master", "mike/diaspora", "jsmith", 4, "partial")
        tag, = told["tag_push"]["pushes"]
        assert tag["tag"] == "v1.0.0" and tag["created"] and tag["commit"] == tag["after"]
        assert told["merge_request"]["pull_request"]["action"] == "opened"
        assert told["release"]["release"]["tag"] == "1.0.0"

    def test_examples_of_other_forges(self):
        folder = SHARED / "git-push-fixtures"
        if not folder.exists():
            pytest.skip("../shared/git-push-fixtures is not here")
        expected = {
            "forgejo/HookPush.json": ("refs/heads/main", "ef98532add3b", False, "complete",
                                      ["CHANGELOG.md"], ["app/controller/application.rb"], "bump\n"),
            "forgejo/HookPushBranch.json": ("refs/heads/fdsafdsa", "28c3613ae626", True, "unknown", [], [],
                                            "Delete '.woodpecker/.check.yml'\n"),
            "forgejo/HookPushMulti.json": ("refs/heads/main", "29be01c07385", False, "complete", ["aaa"], [],
                                           "add some text\n"),
            "forgejo/HookTag.json": ("refs/tags/v1.0.0", "ef98532add3b", True, "unknown", [], [], ""),
            "bitbucket-cloud/HookPush.json": ("refs/heads/main", "c14c1bb05dfb", False, "unknown", [], [], "a\n"),
        }
        headers = {"forgejo": {"X-Forgejo-Event": "push", "X-Forgejo-Delivery": "d"},
                   "bitbucket-cloud": {"X-Event-Key": "repo:push", "X-Request-UUID": "d"}}
        lines = [{"source": {"forge": "auto", "insecure": True}, "body": json.loads((folder / name).read_text()),
                  "headers": {**headers[name.split("/")[0]],
                              **({"X-Forgejo-Event": "create"} if "HookTag" in name else {})}} for name in expected]
        for (name, want), answer in zip(expected.items(), read(lines), strict=True):
            push, = answer["message"]["pushes"]
            assert (push["ref"], push["after"][:12], push["created"], push["files_known"], push["added"],
                    push["modified"], push["message"]) == want, name
