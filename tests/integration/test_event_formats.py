# SPDX-License-Identifier: Apache-2.0
"""Every format of deliveries, judged by software that nobody here wrote.

One daemon, runs that succeed, fail, retry, skip, are cached and pushed, one receiver for each format; names hold
whatever names can hold. The judges: ajv and jsonschema, the SDKs of CloudEvents, the verifiers of Standard Webhooks
and Svix, the parser of package URLs, and Debian's `webhook`."""

import base64
import hashlib
import hmac
import json
import re
import shutil
import socket
import subprocess
from urllib.parse import quote

import jsonschema
import pytest
import requests
import svix.webhooks
from cloudevents.core.bindings.http import HTTPMessage, from_http_event, to_binary_event
from packageurl import PackageURL
from referencing import Registry, Resource
from standardwebhooks.webhooks import Webhook

from event_schemas import EventSchemas
from journal import leftovers
from rondo_testing import ROOT, SHARED, Daemon, Receiver, free_port, shell_spec, wait_for

V1 = "/apis/rondo/v1"
V2 = "/apis/v2beta1"
NODE = ROOT / "tests" / "node"
SCHEMAS = SHARED / "webhook-schemas"
PUBLIC = "https://rondo.example/base"
FORMATS = ("standard", "cloudevents", "cloudevents-binary", "cdevents", "cdevents-0.4", "slack")
ODD = "n\u00e4me \"q\" %41 \U0001f600 <!channel> *b*\r\nX-Evil: 1\x7f\u0085"
ODD_TASK = "m\u00e4ke it %0d%0a \U0001f3ed <x>|*b*"  # quotes and line ends are refused in names of tasks
COMMIT = "5d2f0c9d7d3c4b1e8a6f90c2b7e1d4a3f8c6b5e0"
SECRET = "a secret of the forge"


def spec(cache=True):
    """A task that makes an artifact; one that fails, tried twice; what follows it; what never applies."""
    script = 'mkdir -p "$(dirname "$0")"; printf made > "$0"'
    shell = {"container": {"image": "alpine", "command": ["sh", "-c"]}}
    return {
        "schemaVersion": "2.1.0", "sdkVersion": "kfp-2.17.0", "pipelineInfo": {"name": "odd-ones"},
        "root": {"dag": {"tasks": {
            ODD_TASK: {"taskInfo": {"name": ODD_TASK}, "componentRef": {"name": "comp-make"},
                       "cachingOptions": {"enableCache": True} if cache else {}},
            "fails": {"taskInfo": {"name": "fails"}, "componentRef": {"name": "comp-fails"},
                      "retryPolicy": {"maxRetryCount": 1, "backoffDuration": "0s"}},
            "follows": {"taskInfo": {"name": "follows"}, "componentRef": {"name": "comp-fails"},
                        "dependentTasks": ["fails"]},
            "never": {"taskInfo": {"name": "never"}, "componentRef": {"name": "comp-fails"},
                      "triggerPolicy": {"condition": "1 == 2"}},
        }}},
        "components": {
            "comp-make": {"executorLabel": "exec-make", "outputDefinitions": {
                "artifacts": {"th\u00efng 1": {"artifactType": {"schemaTitle": "system.Model", "schemaVersion": "0.0.1"}}}}},
            "comp-fails": {"executorLabel": "exec-fails"}},
        "deploymentSpec": {"executors": {
            "exec-make": {"container": {**shell["container"], "command": [
                "sh", "-c", script, "{{$.outputs.artifacts['th\u00efng 1'].path}}"]}},
            "exec-fails": {"container": {**shell["container"], "command": [
                "sh", "-c", "echo '<b>no such table</b> & more' >&2; exit 3"]}}}},
    }


def push(daemon, pipeline):
    trigger = daemon.post(f"{V1}/triggers/git", {"name": "on-push", "secret": SECRET, "pipeline_id": pipeline})["id"]
    body = json.dumps({
        "ref": "refs/heads/main", "before": "1" * 40, "after": COMMIT, "created": False, "deleted": False,
        "forced": False, "repository": {"full_name": "acme/m\u00f6dels", "clone_url": "https://example.com/a.git"},
        "pusher": {"name": "ann"}, "head_commit": {"id": COMMIT, "message": "train it"}}).encode()
    signature = "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    answer = daemon.call("POST", f"/hooks/git/{trigger}", None, data=body, headers={
        "Content-Type": "application/json", "X-GitHub-Event": "push", "X-Hub-Signature-256": signature,
        "X-GitHub-Delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958"})
    assert answer.ok and answer.json()["run_id"], answer.text


class DebianWebhook:
    """The receiver of Debian's package `webhook`: it takes a body of type run.finished only if header and JSON match."""

    def __init__(self, folder):
        self.port = free_port()
        match = {"and": [
            {"match": {"type": "value", "value": "run.finished", "parameter": {"source": "payload", "name": "type"}}},
            {"match": {"type": "regex", "regex": "^FAILED$", "parameter": {"source": "payload", "name": "data.state"}}},
            {"match": {"type": "regex", "regex": "^[0-9a-f-]{36}$",
                       "parameter": {"source": "header", "name": "Webhook-Id"}}},
            {"match": {"type": "regex", "regex": "^v1,", "parameter": {"source": "header", "name": "Webhook-Signature"}}}]}
        hooks = folder / "hooks.json"
        hooks.write_text(json.dumps([{
            "id": "rondo", "execute-command": "/bin/true", "response-message": "taken", "trigger-rule": match,
            "trigger-rule-mismatch-http-response-code": 422}]))
        self.process = subprocess.Popen(
            ["webhook", "-hooks", str(hooks), "-ip", "127.0.0.1", "-port", str(self.port), "-verbose"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(self.answers, 60, "Debian's webhook")
        self.url = f"http://127.0.0.1:{self.port}/hooks/rondo"

    def answers(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def close(self):
        self.process.terminate()
        self.process.wait(60)


class Told:
    """What all receivers were sent."""

    def __init__(self, folder):
        self.receivers, self.ids = {}, {}
        with Daemon(settings={"executor": "local", "webhook_allow": "127.0.0.1", "public_url": PUBLIC + "/"}) as daemon:
            self.schemas = EventSchemas(daemon)
            self.debian = DebianWebhook(folder) if shutil.which("webhook") else None
            try:
                self.receive(daemon)
            finally:
                for receiver in self.receivers.values():
                    receiver.close()
                if self.debian is not None:
                    self.debian.close()

    def subscribe(self, daemon, name, **fields):
        receiver = self.receivers[name] = Receiver()
        made = daemon.post(f"{V1}/subscriptions", {"url": receiver.url, **fields})
        self.ids[name], receiver.secret = made["id"], made["secret"]

    def receive(self, daemon):
        for one in FORMATS:
            self.subscribe(daemon, one, format=one)
        self.subscribe(daemon, "thin", payload="thin")
        if self.debian is not None:
            asked = daemon.post(f"{V1}/subscriptions", {
                "url": self.debian.url, "events": ["run.finished"], "filter": "data.state == 'FAILED'"})["id"]
        text = json.dumps(spec(cache=False))
        pipeline = daemon.upload(text, "odd-ones")["pipeline_id"]
        first = daemon.create_run(spec(), ODD)["run_id"]
        daemon.wait_run(first, "FAILED")
        recurring = daemon.post(f"{V2}/recurringruns", {
            "display_name": ODD, "max_concurrency": "1", "mode": "ENABLE", "pipeline_spec": spec(),
            "trigger": {"periodic_schedule": {"interval_second": "86400"}}})["recurring_run_id"]
        daemon.post(f"{V1}/recurringruns/{recurring}:fire", {"request_id": "by-hand"})
        daemon.post(f"{V2}/recurringruns/{recurring}:disable")
        push(daemon, pipeline)
        canceled = daemon.create_run(shell_spec("exec sleep 600"), "canceled")["run_id"]
        wait_for(lambda: daemon.run(canceled)["state"] == "RUNNING", 60, "the run")
        daemon.post(f"{V2}/runs/{canceled}:terminate")
        self.operate(daemon)
        self.receivers["standard"].wait_events(4, "run.finished", timeout=60)
        wait_for(lambda: not leftovers(daemon.data / "redis" / "redis.sock"), 60, "all deliveries")
        if self.debian is not None:
            self.verdicts = daemon.get(f"{V1}/subscriptions/{asked}/deliveries")["deliveries"]
            one = next(r for r in self.requests("standard") if b'"CANCELED"' in r["body"])
            self.refused = requests.post(self.debian.url, data=one["body"], headers=one["headers"], timeout=60).status_code
        self.log = daemon.log()

    def operate(self, daemon):
        """What there is to tell about subscriptions: one is tried, another disabled."""
        for one in FORMATS:
            assert daemon.post(f"{V1}/subscriptions/{self.ids[one]}:ping")["state"] == "DELIVERED"
        with Receiver(status=410) as gone:
            lost = daemon.post(f"{V1}/subscriptions", {"url": gone.url, "name": ODD, "events": ["webhook.ping"]})["id"]
            daemon.post(f"{V1}/subscriptions/{lost}:ping")
            self.receivers["standard"].wait_events(1, "subscription.disabled")

    def requests(self, name):
        return self.receivers[name].requests

    def bodies(self, name):
        return [json.loads(r["body"]) for r in self.requests(name)]

    def in_both_modes(self):
        return [*self.requests("cloudevents"), *self.requests("cloudevents-binary")]

    def signed(self):
        return [{**r, "secret": one.secret} for one in self.receivers.values() for r in one.requests]

    def forged(self):
        first = self.signed()[0]
        return {**first, "body": first["body"] + b" "}

    def cloudevents(self, name):
        return [from_http_event(HTTPMessage(headers=r["headers"], body=r["body"])) for r in self.requests(name)]


pytestmark = pytest.mark.xdist_group("event formats")  # one daemon for all of them


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    return Told(tmp_path_factory.mktemp("hooks"))


@pytest.fixture(scope="module")
def npm(told):
    """What the libraries of npm say of everything, in one go: verdicts by documents of a kind, events, signatures."""
    if shutil.which("node") is None or not (NODE / "node_modules" / "ajv").exists():
        pytest.skip("node or its modules are missing: run npm ci in tests/node")
    schemas, documents = {}, []
    for kind, (own, values) in documents_of(told).items():
        schemas.update({f"{kind} {name}": schema for name, schema in own.items()})
        documents += [(kind, {"schema": f"{kind} {name}", "value": value}) for name, value in values]
    pack = lambda rows: [{**r, "body": base64.b64encode(r["body"]).decode()} for r in rows]  # noqa: E731
    done = subprocess.run(["node", "events.mjs"], cwd=NODE, capture_output=True, text=True, check=False, input=json.dumps({
        "schemas": schemas, "documents": [d for _, d in documents], "events": pack(told.in_both_modes()),
        "signed": pack([*told.signed(), told.forged()])}))
    assert done.returncode == 0, done.stderr
    verdicts = json.loads(done.stdout)
    by_kind = {}
    for (kind, _), verdict in zip(documents, verdicts["documents"], strict=True):
        by_kind.setdefault(kind, []).append(verdict)
    return {**verdicts, "documents": by_kind}


def documents_of(told):
    """kind -> (schemas, [(name of one, document)])"""
    bodies = [*told.bodies("standard"), *told.bodies("thin"), *(t["example"] for t in told.schemas.types.values())]
    served = {k: {"draft": 2020, "schema": c.schema} for k, c in told.schemas.checkers.items()}
    kinds = {"served": (served, [(b["type"], b) for b in bodies]),
             "spoilt": (served, [(b["type"], {**b, "data": {}}) for b in bodies[:3]])}
    if not SCHEMAS.exists():
        return kinds
    structured = [b for name in ("cloudevents", "cdevents", "cdevents-0.4") for b in told.bodies(name)]
    kinds["cloudevents"] = ({"": {"draft": 7, "schema": shared("cloudevents-1.0.json")}}, [("", b) for b in structured])
    for name, version in CDEVENTS:
        schemas = cd_schemas(told, name, version)
        kinds[name] = ({k: {"draft": 2020, "schema": v, "more": link_schemas(version)} for k, v in schemas.items()},
                       [(cd_schema_name(b["type"]), b["data"]) for b in told.bodies(name)])
    return kinds


def shared(path):
    if not SCHEMAS.exists():
        pytest.skip("the schemas of CloudEvents and CDEvents are not in ../shared/webhook-schemas")
    return json.loads((SCHEMAS / path).read_text())


def test_every_kind_of_event_was_told(told):
    kinds = {b["type"] for b in told.bodies("standard")}
    assert kinds >= {"webhook.ping", "subscription.disabled", "run.created", "run.started", "run.finished", "task.started", "task.retrying", "task.finished",
                     "task.skipped", "artifact.created", "recurring_run.fired", "recurring_run.disabled", "run.canceling",
                     "trigger.fired"}
    for one in FORMATS:
        assert len(told.requests(one)) == len(told.requests("standard")), one
        assert not [r for r in told.requests(one) if "x-evil" in r["headers"]]
    reasons = {b["data"]["reason"] for b in told.bodies("standard") if b["type"] == "task.skipped"}
    assert reasons == {"condition_false", "upstream_failed"}
    skipped = next(b["data"] for b in told.bodies("standard") if b["data"].get("reason") == "upstream_failed")
    assert skipped["upstream"] == "fails" and skipped["task"] == "follows"
    cached = [b["data"] for b in told.bodies("standard") if b["data"].get("cached")]
    assert cached and all(d["state"] == "CACHED" and d["cached_from"]["run"] for d in cached)
    made = next(b["data"] for b in told.bodies("standard") if b["type"] == "artifact.created")
    assert made["size"] == 4 and re.fullmatch("sha256:[0-9a-f]{64}", made["digest"])


def test_each_run_ends_once_and_is_announced_once(told):
    told_of = {}
    for body in told.bodies("standard"):
        if body["type"] in ("run.created", "recurring_run.fired", "run.finished"):
            told_of.setdefault(body["data"]["run_id"], []).append(body["type"])
    assert len(told_of) == 4
    for kinds in told_of.values():
        assert kinds.count("run.finished") == 1 and len(kinds) == 2, kinds


class TestStandard:
    def test_bodies_are_as_the_served_schemas_say(self, told, npm):
        for body in [*told.bodies("standard"), *told.bodies("thin")]:
            told.schemas.check(body)
        for described in told.schemas.types.values():
            told.schemas.check(described["example"])
        assert [v for v in npm["documents"]["served"] if v is not True] == []
        assert True not in npm["documents"]["spoilt"]

    def test_thin_tells_ids_and_states_only(self, told):
        for thin in told.bodies("thin"):
            known = told.schemas.members(thin["type"])
            assert all(known[member]["thin"] for member in thin["data"])
            assert not {"outputs", "error", "metadata", "run_name", "pipeline_name", "uri"} & set(thin["data"])
        assert {b["data"]["state"] for b in told.bodies("thin") if b["type"] == "run.finished"} == {"FAILED", "CANCELED"}
        assert not [r for r in told.requests("thin") if b"no such table" in r["body"] or "X-Evil".encode() in r["body"]]

    def test_signatures(self, told, npm):
        for request in told.signed():
            for library in (Webhook, svix.webhooks.Webhook):
                library(request["secret"]).verify(request["body"], request["headers"])
        forged = told.forged()
        with pytest.raises(svix.webhooks.WebhookVerificationError):
            svix.webhooks.Webhook(forged["secret"]).verify(forged["body"], forged["headers"])
        for judge in ("svix", "standard"):
            assert npm[judge][:-1] == [True] * len(told.signed()), judge
            assert npm[judge][-1] is not True

    def test_debians_webhook_takes_it(self, told):
        if told.debian is None:
            pytest.skip("Debian's package webhook is not installed")
        assert [r["state"] for r in told.verdicts] == ["DELIVERED"] * 3, told.verdicts
        assert told.refused == 422


PING = "rondo.webhook.ping"  # to each its own
ATTRIBUTES = ("id", "source", "type", "subject", "time", "datacontenttype", "dataschema", "typeversion")


class TestCloudEvents:
    def test_both_modes_say_the_same(self, told, npm):
        """Parsed by the SDK for Python, which undoes the encoding of headers."""
        structured, binary = ({e.get_id(): e for e in told.cloudevents(name) if e.get_type() != PING}
                              for name in ("cloudevents", "cloudevents-binary"))
        assert set(structured) == set(binary) and len(structured) + 1 == len(told.requests("cloudevents"))
        for key, event in structured.items():
            for name in ATTRIBUTES:
                assert event.get_attributes().get(name) == binary[key].get_attributes().get(name), name
            assert event.get_data() == binary[key].get_data()
            assert event.get_specversion() == "1.0"

    def test_attributes(self, told):
        events = told.cloudevents("cloudevents")
        standard = {(b["type"], b["timestamp"], json.dumps(b["data"], sort_keys=True)) for b in told.bodies("standard")}
        for event in events:
            kind = event.get_type().removeprefix("rondo.")
            at = event.get_time().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            assert event.get_type() == PING or (kind, at, json.dumps(event.get_data(), sort_keys=True)) in standard
            data, attributes = event.get_data(), event.get_attributes()
            about = f"recurringruns/{data['recurring_run_id']}" if kind.startswith("recurring_run.") else (
                f"runs/{data.get('run_id')}")
            if kind.split(".")[0] in ("subscription", "delivery", "webhook"):
                assert event.get_source() == f"{PUBLIC}{V1}/subscriptions/{data['subscription_id']}"
            elif kind.startswith("trigger."):
                assert event.get_source() == f"{PUBLIC}{V1}/triggers/git/{data['trigger_id']}"
            else:
                assert event.get_source() == f"{PUBLIC}{V2}/{about}"
            assert event.get_dataschema() == f"{PUBLIC}{V1}/events/types/{kind}/schema#/$defs/data"
            assert attributes["typeversion"] == "1"
            if kind.startswith("task."):
                assert event.get_subject() == data["task"]
        assert any(ODD_TASK.replace("%", "%25") in e.get_subject() for e in events)

    def test_headers_are_encoded_as_the_sdk_encodes_them(self, told):
        odd = 0
        for request, event in zip(told.requests("cloudevents-binary"), told.cloudevents("cloudevents-binary"), strict=True):
            assert request["headers"]["content-type"] == "application/json"
            expected = {k.lower(): v for k, v in to_binary_event(event).headers.items() if k.startswith("ce-")}
            ours = {k: v for k, v in request["headers"].items() if k.startswith("ce-")}
            assert set(ours) == set(expected)
            assert {k: v for k, v in ours.items() if k != "ce-time"} == {
                k: v for k, v in expected.items() if k != "ce-time"}
            odd += "%F0%9F%8F%AD" in ours["ce-subject"]
        assert odd > 0

    def test_npms_sdk_reads_them(self, told, npm):
        """It leaves header values as they are, so those are decoded here."""
        for request, verdict in zip(told.in_both_modes(), npm["events"], strict=True):
            assert isinstance(verdict, dict), verdict
            ours = from_http_event(HTTPMessage(headers=request["headers"], body=request["body"]))
            assert verdict["id"] == ours.get_id() and verdict["type"] == ours.get_type()
            assert verdict["source"] == ours.get_source() and verdict["data"] == ours.get_data()
            is_binary = "ce-id" in request["headers"]
            subject = ours.get_subject()
            assert verdict["subject"] == (quote(subject, safe="!#$&'()*+,/:;=?@[]<>\\^`{|}~") if is_binary else subject)

    def test_structured_events_are_as_the_schema_says(self, told, npm):
        schema = shared("cloudevents-1.0.json")
        checker = jsonschema.Draft7Validator(schema, format_checker=jsonschema.Draft7Validator.FORMAT_CHECKER)
        for name in ("cloudevents", "cdevents", "cdevents-0.4"):
            for request, body in zip(told.requests(name), told.bodies(name), strict=True):
                assert request["headers"]["content-type"] == "application/cloudevents+json; charset=utf-8"
                checker.validate(body)
        assert [v for v in npm["documents"]["cloudevents"] if v is not True] == []


def link_schemas(version):
    """What the schemas of CDEvents refer to and ../shared has not, as cdevents/spec's links.md tells it."""
    base = f"https://cdevents.dev/{version}/schema/links"
    context = {"type": "object", "additionalProperties": False, "required": ["contextId"],
               "properties": {"contextId": {"type": "string", "minLength": 1}}}

    def link(kind, **properties):
        return {"type": "object", "additionalProperties": False, "required": ["linkType", *properties],
                "properties": {"linkType": {"const": kind}, "tags": {"type": "object"}, **properties}}
    return [{"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": f"{base}/embeddedlinksarray", "type": "array",
             "minItems": 1, "items": {"oneOf": [
                 link("PATH", **{"from": context}), link("END", **{"from": context}),
                 link("RELATION", linkKind={"type": "string", "minLength": 1}, target=context)]}}]


def old_schema(schema):
    """0.4.1 out of 0.5.1: other names for the version and the place, and a type in the subject."""
    schema = json.loads(json.dumps(schema).replace("/0.5.1/", "/0.4.1/").replace(".0.3.0\"", ".0.2.0\""))
    context, subject = schema["properties"]["context"], schema["properties"]["subject"]
    context["properties"]["version"] = context["properties"].pop("specversion")
    context["required"] = ["version" if m == "specversion" else m for m in context["required"]]
    content = subject["properties"]["content"]
    if "uri" in content.get("properties", {}):
        content["properties"]["url"] = content["properties"].pop("uri")
    content["required"] = ["url" if m == "uri" else m for m in content.get("required", [])]
    subjects = {"pipelinerun": "pipelineRun", "taskrun": "taskRun", "artifact": "artifact"}
    of = schema["$id"].rsplit("/", 1)[1].split("-")[0]
    subject["properties"]["type"] = {"const": subjects[of]} if of in subjects else {"pattern": "^[a-zA-Z0-9]+-[a-zA-Z]+$"}
    subject["required"].append("type")
    return schema


def cd_schema_name(kind):
    subject, predicate = kind.split(".")[2:4]
    return "custom/schema.json" if kind.startswith("dev.cdeventsx.") else f"schemas/{subject}{predicate}.json"


def cd_schemas(told, name, version):
    """Those of the types that were told, by their files' names."""
    found = {path: shared(f"cdevents-0.5.1/{path}") for path in {cd_schema_name(b["type"]) for b in told.bodies(name)}}
    return {path: schema if version == "0.5.1" else old_schema(schema) for path, schema in found.items()}


CDEVENTS = (("cdevents", "0.5.1"), ("cdevents-0.4", "0.4.1"))


class TestCDEvents:
    @pytest.mark.parametrize("name, version", CDEVENTS)
    def test_schemas(self, told, npm, name, version):
        registry = Registry().with_resources(
            (one["$id"], Resource.from_contents(one)) for one in link_schemas(version))
        checkers = {path: jsonschema.Draft202012Validator(
            schema, registry=registry, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)
            for path, schema in cd_schemas(told, name, version).items()}
        assert len(checkers) == 8, sorted(checkers)
        for body in told.bodies(name):
            checker = checkers[cd_schema_name(body["type"])]
            checker.validate(body["data"])
            assert body["dataschema"] == checker.schema["$id"]
        assert [v for v in npm["documents"][name] if v is not True] == []

    def test_the_binding(self, told):
        for body in told.bodies("cdevents"):
            context, subject = body["data"]["context"], body["data"]["subject"]
            assert (body["id"], body["source"], body["type"], body["time"]) == (
                context["id"], context["source"], context["type"], context["timestamp"])
            # attributes have no control characters
            assert body["subject"] == re.sub("[\x00-\x1f\x7f-\x9f]", "\ufffd", subject["id"])

    def test_artifacts_are_packages(self, told):
        kinds = set()
        for body in told.bodies("cdevents"):
            event = body["data"]
            kind = event["context"]["type"].split(".")[3]
            if event["context"]["type"].startswith("dev.cdevents.artifact."):
                kinds.add(kind)
                purl = PackageURL.from_string(event["subject"]["id"])
                data = event["customData"]
                assert (purl.type, purl.namespace, purl.name) == ("generic", data["pipeline_name"], data["name"])
                assert purl.version == data["artifact_id"] and purl.qualifiers["checksum"] == data["digest"]
                if kind == "packaged":
                    assert event["subject"]["content"]["change"]["id"] == COMMIT
        assert kinds == {"published", "packaged"}

    def test_a_run_of_a_push_has_its_commit(self, told):
        pushed = [b["data"] for b in told.bodies("standard") if b["data"].get("commit")]
        assert {d["commit"] for d in pushed} == {COMMIT} and {d["repository"] for d in pushed} == {"acme/m\u00f6dels"}

    @pytest.mark.parametrize("name", ["cdevents", "cdevents-0.4"])
    def test_links_lead_to_events_of_the_chain(self, told, name):
        events = [b["data"] for b in told.bodies(name)]
        known = {e["context"]["id"]: e["context"].get("chainId") for e in events}
        kinds = set()
        for event in events:
            context = event["context"]
            for link in context.get("links", []):
                kinds.add(link["linkType"])
                to = link.get("from", link.get("target"))["contextId"]
                assert known.get(to) == context["chainId"], (context["type"], link)
        assert kinds >= {"PATH", "END", "RELATION"}

    def test_outcomes(self, told):
        outcomes = {}
        for body in told.bodies("cdevents"):
            event = body["data"]
            content = event["subject"]["content"]
            if "outcome" in content and event["context"]["type"].startswith("dev.cdevents."):
                outcomes.setdefault(event["customData"]["state"], set()).add(content["outcome"])
        assert outcomes["FAILED"] == {"failure"} and outcomes["CANCELED"] == {"cancel"}
        assert outcomes["CACHED"] == {"success"} and outcomes["SUCCEEDED"] == {"success"}


class TestSlack:
    def test_lines(self, told):
        texts = []
        for request, body in zip(told.requests("slack"), told.bodies("slack"), strict=True):
            assert request["headers"]["content-type"] == "application/json"
            assert set(body) == {"text", "mrkdwn", "blocks"} and body["mrkdwn"] is False
            assert "\n" not in body["text"] and "\r" not in body["text"]
            bare = re.sub(rf"<{re.escape(PUBLIC)}{V2}/runs/[0-9a-f-]{{36}}\|([^<>]*)>", r"\1", body["text"])
            assert "<" not in bare and ">" not in bare
            (block,) = body["blocks"]
            (section,) = block["elements"]
            assert block["type"] == "rich_text" and section["type"] == "rich_text_section"
            said = "".join(e["text"] for e in section["elements"])
            assert said.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") == bare
            texts.append(said)
        assert any("FAILED after" in t and "exit code 3" in t and "<b>no such table</b> & more" in t for t in texts)
        assert any(t.startswith("artifact th\u00efng 1 (4 bytes) created by task") for t in texts)
        assert any(t.endswith("was skipped: upstream_failed (fails)") for t in texts)


def test_nothing_was_wrong(told):
    assert not [line for line in told.log.splitlines() if " error " in line], told.log
