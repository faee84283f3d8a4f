# SPDX-License-Identifier: Apache-2.0
"""Subscriptions over the API: changes beside each other, rotation of secrets, pings, filters."""

import base64
import concurrent.futures
import contextlib
import json
import os
import re
import shutil
import subprocess
import time

import pytest
import requests
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from rondo_testing import ROOT, Daemon, Receiver, Redis, shell_spec, wait_for

V1 = "/apis/rondo/v1/subscriptions"
V2 = "/apis/v2beta1"


@pytest.fixture(scope="module")
def daemon():
    with Daemon(settings={"executor": "noop", "webhook_allow": "127.0.0.1", "webhook_timeout": "30s"}) as one:
        yield one


@pytest.fixture(scope="module")
def mortal():
    with Daemon(settings={"executor": "noop", "webhook_allow": "127.0.0.1", "webhook_subscriptions": 2}) as one:
        yield one


@pytest.fixture
def receiver():
    with Receiver() as one:
        yield one


@pytest.fixture
def subscribe(daemon):
    """Subscriptions that are gone after the test."""
    made = []

    def make(url, **fields):
        record = daemon.post(V1, {"url": url, **fields})
        made.append(record["id"])
        return record

    yield make
    for one in made:
        daemon.call("DELETE", f"{V1}/{one}", expect=None)


def redis(daemon, *words):
    return subprocess.run(["redis-cli", "-s", str(daemon.data / "redis" / "redis.sock"), *words],
                          capture_output=True, text=True, check=True).stdout.strip()


def stored(daemon, subscription):
    return json.loads(redis(daemon, "HGET", "rondo:{catalog}:subscriptions", subscription))


def new_secret(fill):
    return "whsec_" + base64.b64encode(bytes([fill]) * 32).decode()


def wait_request(receiver, count):
    return wait_for(lambda: receiver.requests[count - 1] if len(receiver.requests) >= count else None, 60,
                    f"request {count}")


class TestRecord:
    def test_everything_is_stored_and_shown_without_secrets(self, daemon, receiver, subscribe):
        fields = {"name": "all", "events": ["run.*"], "namespaces": ["n"], "experiments": ["e"], "pipelines": ["p"],
                  "recurring_runs": ["r"], "format": "cloudevents", "payload": "thin", "order": "run",
                  "max_in_flight": 2, "max_per_second": 5, "timeout_ms": 900, "enabled": False}
        hidden = {"Authorization": "Bearer hush-hush", "X-Team": "hush-team"}
        made = subscribe(receiver.url, headers=hidden, secret=new_secret(1), **fields)
        assert made.pop("secret") == new_secret(1)
        shown = daemon.get(f"{V1}/{made['id']}")
        listed = next(s for s in daemon.get(V1)["subscriptions"] if s["id"] == made["id"])
        assert shown.pop("health") == listed.pop("health") and shown == made == listed
        assert fields.items() <= shown.items()
        assert shown["header_names"] == ["Authorization", "X-Team"] and shown["secrets"] == [{"scheme": "v1", "expires_us": 0}]
        assert "hush" not in json.dumps(shown) and new_secret(1) not in json.dumps(shown)
        assert daemon.patch(f"{V1}/{made['id']}", {"name": "again"})["header_names"] == shown["header_names"]
        assert "hush" not in daemon.log() and new_secret(1)[6:] not in daemon.log()

    def test_own_headers_are_sent(self, daemon, receiver, subscribe):
        made = subscribe(receiver.url, headers={"Authorization": "Bearer abc", "user-agent": "mine/1", "X-A": "b"})
        daemon.post(f"{V1}/{made['id']}:ping")
        headers = wait_request(receiver, 1)["headers"]
        assert headers["authorization"] == "Bearer abc" and headers["x-a"] == "b" and headers["user-agent"] == "mine/1"

    def test_a_record_of_version_1_goes_on(self, daemon, receiver, subscribe):
        made = subscribe(receiver.url, secret=new_secret(2))
        old = {"v": 1, "id": made["id"], "name": "old", "url": receiver.url, "events": ["run.finished"],
               "secret": new_secret(2), "enabled": True, "created_us": 5}
        redis(daemon, "HSET", "rondo:{catalog}:subscriptions", made["id"], json.dumps(old))
        redis(daemon, "INCR", "rondo:{catalog}:subscriptions_rev")
        assert daemon.get(f"{V1}/{made['id']}")["name"] == "old"
        run = daemon.create_run(shell_spec(), "old")["run_id"]
        request = wait_request(receiver, 1)
        assert Webhook(new_secret(2)).verify(request["body"], request["headers"])["data"]["run_id"] == run
        daemon.patch(f"{V1}/{made['id']}", {"name": "new"})
        record = stored(daemon, made["id"])
        assert record["v"] == 2 and record["created_us"] == 5 and record["events"] == ["run.finished"]
        assert record["secrets"] == [{"secret": new_secret(2), "expires_us": 0}] and "secret" not in record

    def test_pages(self, daemon, receiver, subscribe):
        made = [subscribe(receiver.url, name=f"page {n}")["id"] for n in range(5)]
        seen, token, pages = [], "", 0
        while True:
            page = daemon.get(V1, page_size=2, **({"page_token": token} if token else {}))
            assert len(page["subscriptions"]) <= 2 and page["total_size"] >= 5
            seen += [s["id"] for s in page["subscriptions"]]
            pages += 1
            token = page.get("next_page_token")
            if token is None:
                break
        assert [one for one in seen if one in made] == made and len(seen) == len(set(seen)) and pages >= 3
        for bad in ({"page_size": 0}, {"page_size": 1001}, {"page_token": "x"}, {"page_token": "5.x"}, {"name": "page 1"}):
            daemon.get(V1, expect=400, **bad)


class TestPatch:
    def test_members_and_defaults(self, daemon, receiver, subscribe):
        made = subscribe(receiver.url, name="a", pipelines=["p"], headers={"X-One": "1", "X-Two": "2"}, max_in_flight=3)
        path = f"{V1}/{made['id']}"
        changed = daemon.patch(path, {"name": "b", "pipelines": None, "max_in_flight": None, "timeout_ms": 700,
                                      "headers": {"x-ONE": None, "X-Three": "3", "X-two": "22"}})
        assert (changed["name"], changed["pipelines"], changed["max_in_flight"], changed["timeout_ms"]) == ("b", [], 16, 700)
        assert stored(daemon, made["id"])["headers"] == {"X-Three": "3", "X-two": "22"}
        assert changed["rev"] == made["rev"] + 1 and "secret" not in changed
        assert daemon.patch(path, {"name": "b"})["rev"] == changed["rev"]  # nothing new, nothing written
        assert daemon.patch(path, {"headers": None})["header_names"] == []
        daemon.restart(kill=True)
        assert daemon.get(path)["name"] == "b"

    @pytest.mark.parametrize("body, says", [
        ({"secret": "whsec_x"}, ":rotate"), ({"secrets": []}, ":rotate"), ({"id": "x"}, "id"), ({"created_us": 1}, "created_us"),
        ({"rondo": 1}, "rondo"), ({"url": None}, "url"), ({"url": "ftp://x"}, "http"), ({"url": "http://10.0.0.1/"}, "--webhook-allow"),
        ({"events": []}, "events"), ({"events": ["run.finishes"]}, "run.finished"), ({"headers": {"Host": "x"}}, "not for users"), ({"headers": {"x": "a\r\nb"}}, "headers.x"),
        ({"headers": []}, "headers"), ({"max_in_flight": 65}, "max_in_flight"), ({"format": "xml"}, "format"), ([], "object")])
    def test_refused(self, daemon, receiver, subscribe, body, says):
        made = subscribe(receiver.url)
        before = stored(daemon, made["id"])
        assert says in daemon.patch(f"{V1}/{made['id']}", body, expect=400)["message"]
        assert stored(daemon, made["id"]) == before

    def test_headers_do_not_go_to_another_host_unseen(self, daemon, receiver, subscribe):
        made = subscribe(receiver.url, headers={"Authorization": "Bearer hush", "X-A": "1"})
        path = f"{V1}/{made['id']}"
        assert daemon.patch(path, {"url": receiver.url + "/elsewhere"})["url"].endswith("/elsewhere")
        other = receiver.url.replace(str(receiver.port), "8099")
        for headers in ({}, {"headers": {"authorization": "mine"}}):
            assert "given for another host" in daemon.patch(path, {"url": other, **headers}, expect=400)["message"]
        both = {"authorization": "mine", "x-a": None}
        assert daemon.patch(path, {"url": other, "headers": both})["header_names"] == ["authorization"]
        assert daemon.patch(path, {"url": receiver.url, "headers": None})["header_names"] == []

    def test_no_such_subscription(self, daemon):
        nobody = f"{V1}/00000000-0000-4000-8000-000000000000"
        daemon.patch(nobody, {"name": "x"}, expect=404)
        for verb in ("rotate", "enable", "disable", "ping"):
            daemon.post(f"{nobody}:{verb}", {}, expect=404)

    def test_beside_each_other_none_is_lost(self, daemon, receiver, subscribe):
        """Each changes a member of its own, and header of its own, while secrets are rotated."""
        made = subscribe(receiver.url)
        path = f"{V1}/{made['id']}"
        members = [{"name": "n"}, {"timeout_ms": 800}, {"max_in_flight": 7}, {"max_per_second": 9}, {"order": "run"},
                   {"payload": "thin"}, {"pipelines": ["p"]}, {"experiments": ["e"]}]
        members += [{"headers": {f"X-{n}": str(n)}} for n in range(8)]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            changes = [pool.submit(daemon.patch, path, body) for body in members]
            changes += [pool.submit(daemon.post, f"{path}:rotate", {"secret": new_secret(n)}) for n in range(3)]
            for one in changes:
                one.result()
        record = stored(daemon, made["id"])
        for body in members[:8]:
            assert body.items() <= record.items()
        assert record["headers"] == {f"X-{n}": str(n) for n in range(8)}
        assert {s["secret"] for s in record["secrets"]} == {new_secret(n) for n in range(3)} | {made["secret"]}
        assert record["rev"] == len(changes)

    def test_only_if_unchanged(self, daemon, receiver, subscribe):
        made = subscribe(receiver.url)
        path = f"{V1}/{made['id']}"
        changed = daemon.patch(path, {"rev": made["rev"], "name": "first"})
        assert "read it again" in daemon.patch(path, {"rev": made["rev"], "name": "second"}, expect=409)["message"]
        assert daemon.patch(path, {"rev": changed["rev"], "name": "second"})["name"] == "second"

    def test_beside_an_automatic_disable(self, daemon, subscribe):
        """The receiver says 410 for the old URL while somebody gives the subscription another one."""
        with Receiver(status=410) as gone, Receiver() as good:
            gone.hold()
            made = subscribe(gone.url, events=["run.finished"])
            daemon.create_run(shell_spec(), "gone")
            wait_for(lambda: gone.arrived, 60, "the request")
            daemon.patch(f"{V1}/{made['id']}", {"url": good.url, "name": "moved"})
            gone.release()
            rows = wait_for(lambda: [r for r in daemon.get(f"{V1}/{made['id']}/deliveries")["deliveries"]
                                     if r["state"] == "FAILED"], 60, "the end of it")
            assert rows[0]["status"] == 410
            shown = daemon.get(f"{V1}/{made['id']}")
            assert shown["enabled"] and shown["name"] == "moved" and shown["url"] == good.url
            assert daemon.post(f"{V1}/{made['id']}:ping")["state"] == "DELIVERED"


class TestFilter:
    def test_lists_and_expression(self, daemon, receiver, subscribe):
        with Receiver() as other, Receiver() as every:
            subscribe(receiver.url, events=["run.*"], filter="data.run_name.startsWith('wanted') && type == 'run.finished'")
            first = daemon.create_run(shell_spec(), "unwanted")
            subscribe(every.url, events=["run.finished"])
            subscribe(other.url, events=["run.finished"], experiments=[first["experiment_id"], "another"], pipelines=["none"])
            daemon.create_run(shell_spec(), "wanted 1")
            daemon.create_run(shell_spec(), "unwanted 2")
            daemon.create_run(shell_spec(), "wanted 3")
            wait_for(lambda: {"wanted 1", "unwanted 2", "wanted 3"} <= {
                e["data"]["run_name"] for e in every.events()}, 60, "all events")
            receiver.wait_events(2)
            assert {e["data"]["run_name"] for e in receiver.events()} == {"wanted 1", "wanted 3"}
            assert {e["type"] for e in receiver.events()} == {"run.finished"}
            assert other.events() == []

    def test_one_that_takes_too_much_is_switched_off(self, daemon, receiver, subscribe):
        many = str(list(range(60)))
        nested = f"{many}.all(a, {many}.all(b, {many}.all(c, a + b + c + size(data.run_name) >= 0)))"
        made = subscribe(receiver.url, filter=nested)
        for n in range(3):
            daemon.create_run(shell_spec(), f"r{n}")
        shown = wait_for(lambda: (s := daemon.get(f"{V1}/{made['id']}")) and not s["enabled"] and s, 60, "its end")
        assert "its filter took too much" in shown["disabled_reason"] and shown["filter_errors"] >= 10
        assert daemon.patch(f"{V1}/{made['id']}", {"filter": None, "enabled": True})["enabled"]
        assert daemon.post(f"{V1}/{made['id']}:ping")["state"] == "DELIVERED"

    def test_errors_are_counted_and_shown(self, daemon, receiver, subscribe):
        made = subscribe(receiver.url, events=["run.finished"], filter="data.nothing == 1")
        path = f"{V1}/{made['id']}"
        assert daemon.get(path)["filter_errors"] == 0
        daemon.create_run(shell_spec(), "a")
        daemon.create_run(shell_spec(), "b")
        shown = wait_for(lambda: (s := daemon.get(path)) and s["filter_errors"] == 2 and s, 60, "two errors")
        assert "nothing" in shown["filter_error"] and shown["filter_error_us"] > made["created_us"]
        row = next(s for s in daemon.get(V1)["subscriptions"] if s["id"] == made["id"])
        assert row == shown and daemon.metric("rondo_webhook_filter_errors_total") >= 2
        assert "filter: column" in daemon.patch(path, {"filter": "data.("}, expect=400)["message"]
        daemon.patch(path, {"filter": "data.state == 'SUCCEEDED'"})
        shown = daemon.get(path)
        assert shown["filter_errors"] == 0 and "filter_error" not in shown
        daemon.create_run(shell_spec(), "c")
        receiver.wait_events(1)
        assert [e["data"]["run_name"] for e in receiver.events()] == ["c"]
        assert "filter" not in daemon.patch(path, {"filter": None})
        daemon.delete(path)
        wait_for(lambda: redis(daemon, "HGETALL", "rondo:{catalog}:subscription_errors") == "", what="them to go")


class TestEnable:
    def test_disable_and_enable(self, daemon, receiver, subscribe):
        made = subscribe(receiver.url)
        path = f"{V1}/{made['id']}"
        up = f'rondo_webhook_subscription_up{{subscription="{made["id"]}"}}'
        assert daemon.metric(up) == 1
        off = daemon.post(f"{path}:disable", {"reason": "moving house"})
        assert daemon.metric(up) == 0
        assert off["enabled"] is False and off["disabled_reason"] == "moving house"
        assert "moving house" in daemon.post(f"{path}:ping", expect=400)["message"]
        on = daemon.post(f"{path}:enable")
        assert on["enabled"] is True and "disabled_reason" not in on
        assert daemon.post(f"{path}:enable")["rev"] == on["rev"]
        daemon.post(f"{path}:disable", {"reason": "x" * 513}, expect=400)
        daemon.post(f"{path}:disable", {"why": "x"}, expect=400)
        daemon.post(f"{path}:disable", {"reason": "again"})
        assert "disabled_reason" not in daemon.patch(path, {"enabled": True})


class TestRotation:
    def test_old_and_new_verify_everything_in_the_overlap(self, daemon, receiver, subscribe):
        old = subscribe(receiver.url)
        path = f"{V1}/{old['id']}"
        daemon.post(f"{path}:ping")
        new = daemon.post(f"{path}:rotate", {"overlap_s": 600})
        assert new["secret"] != old["secret"] and new["secret"].startswith("whsec_")
        first, second = new["secrets"]
        assert first["expires_us"] == 0 and abs(second["expires_us"] / 1e6 - time.time() - 600) < 60
        for _ in range(3):
            daemon.post(f"{path}:ping")
        daemon.create_run(shell_spec(), "while both sign")
        receiver.wait_events(1, "run.finished")
        before, overlap = receiver.requests[0], receiver.requests[1:]
        assert len(overlap) >= 4
        for request in overlap:
            headers = request["headers"]
            assert len(headers["webhook-signature"].split(" ")) == 2
            for one in (old, new):
                Webhook(one["secret"]).verify(request["body"], headers)
        Webhook(old["secret"]).verify(before["body"], before["headers"])
        with pytest.raises(WebhookVerificationError):
            Webhook(new["secret"]).verify(before["body"], before["headers"])

    def test_no_message_is_lost_while_runs_go_on(self, daemon, receiver, subscribe):
        """Rotated as often as may be, under load: whoever knows only the first secret verifies everything, and so does
        whoever knows only a later one from its answer on."""
        made = subscribe(receiver.url)
        known = [(0.0, made["secret"])]
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            runs = [pool.submit(daemon.create_run, shell_spec(), f"r{n}") for n in range(24)]
            for n in range(4):
                runs[n * 6].result()
                secret = daemon.post(f"{V1}/{made['id']}:rotate", {"overlap_s": 600})["secret"]
                known.append((time.time(), secret))
            for run in runs:
                run.result()
        receiver.wait_events(24, "run.finished")
        assert daemon.post(f"{V1}/{made['id']}:ping")["state"] == "DELIVERED"
        counts = [0] * len(known)
        requests_seen = list(receiver.requests)
        for request in requests_seen:
            for n, (since_s, secret) in enumerate(known):
                if int(request["headers"]["webhook-timestamp"]) > since_s:
                    Webhook(secret).verify(request["body"], request["headers"])
                    counts[n] += 1
        assert counts[0] == len(requests_seen) > 24 * 4
        ping = next(r for r in requests_seen if b"webhook.ping" in r["body"])
        for _, secret in known:
            Webhook(secret).verify(ping["body"], ping["headers"])

    def test_the_old_one_ends(self, daemon, receiver, subscribe):
        old = subscribe(receiver.url)
        path = f"{V1}/{old['id']}"
        new = daemon.post(f"{path}:rotate", {"secret": new_secret(7), "overlap_s": 0})
        assert new["secret"] == new_secret(7) and new["secrets"] == [{"scheme": "v1", "expires_us": 0}]
        daemon.post(f"{path}:ping")
        request = wait_request(receiver, 1)
        Webhook(new["secret"]).verify(request["body"], request["headers"])
        with pytest.raises(WebhookVerificationError):
            Webhook(old["secret"]).verify(request["body"], request["headers"])
        assert [s["secret"] for s in stored(daemon, old["id"])["secrets"]] == [new_secret(7)]

    def test_expiry(self, mortal, receiver):
        """The clock moves past the overlap: the old secret signs no more, and Redis has it no more."""
        old = mortal.post(V1, {"url": receiver.url})
        path = f"{V1}/{old['id']}"
        new = mortal.post(f"{path}:rotate", {"overlap_s": 600})
        mortal.move_clock(601)
        wait_for(lambda: [s["secret"] for s in stored(mortal, old["id"])["secrets"]] == [new["secret"]], 60, "its end")
        assert len(mortal.get(path)["secrets"]) == 1
        mortal.post(f"{path}:ping")
        assert " " not in wait_request(receiver, 1)["headers"]["webhook-signature"]
        # It expires while no daemon runs.
        newest = mortal.post(f"{path}:rotate", {"overlap_s": 600})
        mortal.restart(kill=True)
        mortal.move_clock(1202)
        wait_for(lambda: [s["secret"] for s in stored(mortal, old["id"])["secrets"]] == [newest["secret"]], 60, "its end")
        mortal.delete(path)
        mortal.restart()

    def test_key_pair(self, daemon, receiver, subscribe):
        """Only the public half is ever shown; an independent implementation verifies with it."""
        made = subscribe(receiver.url, scheme="v1a")
        path = f"{V1}/{made['id']}"
        assert "secret" not in made and "whsk_" not in json.dumps(made)
        new = daemon.post(f"{path}:rotate")
        publics = [one["public_key"] for one in new["secrets"]]
        assert publics[1] == made["secrets"][0]["public_key"] and [s["scheme"] for s in new["secrets"]] == ["v1a"] * 2
        daemon.post(f"{path}:rotate", {"scheme": "v1"})
        daemon.post(f"{path}:ping")
        request = wait_request(receiver, 1)
        headers = request["headers"]
        schemes, values = zip(*(one.split(",") for one in headers["webhook-signature"].split(" ")))
        assert schemes == ("v1", "v1a", "v1a")
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + request["body"]
        for public, value in zip(publics, values[1:]):
            key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public.removeprefix("whpk_")))
            key.verify(base64.b64decode(value), signed)
            with pytest.raises(InvalidSignature):
                key.verify(base64.b64decode(value), signed + b" ")

    def test_refused(self, daemon, receiver, subscribe):
        made = subscribe(receiver.url, secret=new_secret(9))
        path = f"{V1}/{made['id']}:rotate"
        for body, says in (({"secret": "x"}, "whsec_"), ({"secret": new_secret(9)}, "has this one"), ({"overlap_s": -1}, "overlap_s"),
                           ({"overlap_s": 31 * 86400}, "overlap_s"), ({"overlap": 1}, "overlap")):
            assert says in daemon.post(path, body, expect=400)["message"]
        for n in range(4):
            daemon.post(path, {"secret": new_secret(n)})
        assert "overlap_s 0" in daemon.post(path, expect=400)["message"]
        assert len(daemon.post(path, {"overlap_s": 0})["secrets"]) == 1


class TestPing:
    def test_answer_tells_what_came_of_it(self, daemon, receiver, subscribe):
        made = subscribe(receiver.url, events=["run.finished"], pipelines=["none"])
        with Receiver() as other:
            subscribe(other.url)
            daemon.call("POST", f"{V1}/{made['id']}:ping?waits=5s", 400)
            assert "wait" in daemon.post(f"{V1}/{made['id']}:ping", {"wait": "5s"}, expect=400)["message"]
            answer = daemon.post(f"{V1}/{made['id']}:ping")
            assert (answer["state"], answer["status"], answer["attempts"]) == ("DELIVERED", 200, 1)
            request = receiver.requests[0]
            assert request["headers"]["webhook-id"] == answer["delivery_id"]
            event = Webhook(made["secret"]).verify(request["body"], request["headers"])
            assert event["type"] == "webhook.ping" and event["data"]["subscription_id"] == made["id"]
            daemon.create_run(shell_spec(), "not a ping")
            other.wait_events(1, "run.finished")
            assert "webhook.ping" not in {e["type"] for e in other.events()}
        receiver.status = 503
        answer = daemon.post(f"{V1}/{made['id']}:ping")
        assert (answer["state"], answer["status"]) == ("FAILED", 503) and "503" in answer["error"]
        rows = daemon.get(f"{V1}/{made['id']}/deliveries")["deliveries"]
        assert [r["type"] for r in rows] == ["webhook.ping"] * 2 and rows[0]["id"] == answer["delivery_id"]

    def test_open_breaker_and_another_url(self, daemon, receiver, subscribe):
        """A ping asks an endpoint that is left alone just now; another URL is another endpoint."""
        with Receiver() as gone:
            made = subscribe(gone.url)
        path = f"{V1}/{made['id']}"
        for _ in range(7):
            assert daemon.post(f"{path}:ping")["state"] == "FAILED"
        health = daemon.get(path)["health"]
        assert health["state"] == "open" and health["consecutive_failures"] == 7 and health["last_error"]
        daemon.patch(path, {"url": receiver.url})
        assert daemon.get(path)["health"]["state"] == "closed"
        assert daemon.post(f"{path}:ping")["state"] == "DELIVERED"
        assert len(receiver.requests) == 1

    def test_nobody_listens_and_nobody_waits(self, daemon, subscribe):
        with Receiver() as receiver:
            made = subscribe(receiver.url)
            receiver.hold()
            answer = daemon.post(f"{V1}/{made['id']}:ping?wait=0")
            assert answer["state"] == "PENDING" and answer["attempts"] == 0
            answer = daemon.post(f"{V1}/{made['id']}:ping?wait=50ms")
            assert answer["state"] == "PENDING" and answer["health"]["state"] == "closed"
            receiver.release()
            wait_for(lambda: len(receiver.requests) == 2, 60, "both pings")
        answer = daemon.post(f"{V1}/{made['id']}:ping")
        assert answer["state"] == "FAILED" and answer["error"]
        daemon.post(f"{V1}/{made['id']}:ping?wait=x", expect=400)


class TestKill:
    """The daemon dies before or after Redis has what it was asked to write."""

    @staticmethod
    def die(mortal, point, method, path, body):
        mortal.restart(kill=True, env={"RONDO_FAULT": f"{point}:1:crash"})
        with pytest.raises(requests.RequestException):
            mortal.call(method, path, json=body)
        assert mortal.process.wait(60) == -9
        mortal.kill9()
        mortal.start()

    @pytest.mark.parametrize("when", ["before", "after"])
    def test_change(self, mortal, receiver, when):
        made = mortal.post(V1, {"url": receiver.url, "name": "old", "headers": {"X-A": "1"}})
        path = f"{V1}/{made['id']}"
        self.die(mortal, f"webhook.subscription.{when}", "PATCH", path, {"name": "new"})
        shown = mortal.get(path)
        assert shown["name"] == {"before": "old", "after": "new"}[when]
        assert mortal.patch(path, {"name": "new"})["rev"] == made["rev"] + 1
        self.die(mortal, f"webhook.subscription.{when}", "POST", f"{path}:rotate", {"secret": new_secret(3)})
        assert len(mortal.get(path)["secrets"]) == {"before": 1, "after": 2}[when]
        mortal.post(f"{path}:ping")
        request = wait_request(receiver, 1)
        Webhook(made["secret"]).verify(request["body"], request["headers"])
        mortal.delete(path)

    @pytest.mark.parametrize("when", ["before", "after"])
    def test_ping(self, mortal, receiver, when):
        made = mortal.post(V1, {"url": receiver.url, "events": ["run.finished"]})
        self.die(mortal, f"webhook.ping.{when}", "POST", f"{V1}/{made['id']}:ping", {})
        assert mortal.post(f"{V1}/{made['id']}:ping")["state"] == "DELIVERED"
        mortal.post(V1, {"url": receiver.url, "name": "the last"})
        assert "webhook-subscriptions" in mortal.post(V1, {"url": receiver.url}, expect=400)["message"]
        wait_for(lambda: len({r["headers"]["webhook-id"] for r in receiver.requests}) == {"before": 1, "after": 2}[when],
                 60, "the pings that were stored")
        for one in mortal.get(V1)["subscriptions"]:
            mortal.delete(f"{V1}/{one['id']}")


def test_two_daemons(receiver):
    """What one of them changes holds for the other at once, and so do its counts."""
    with contextlib.ExitStack() as stack:
        redis_server = stack.enter_context(Redis())
        settings = {"executor": "noop", "webhook_allow": "127.0.0.1", "shards": 2}
        one, two = (stack.enter_context(Daemon(redis=redis_server.url, settings=settings)) for _ in range(2))
        held = "/apis/rondo/v1/daemons"
        wait_for(lambda: all(len(d["shards"]) == 1 for d in one.get(held)["daemons"]), 60, "a shard for each")
        made = one.post(V1, {"url": receiver.url, "events": ["run.finished"]})
        path = f"{V1}/{made['id']}"
        rotated = two.post(f"{path}:rotate")

        def known(daemon):
            return {key: value for key, value in daemon.get(path).items() if key != "health"}  # that is each one's own

        for daemon in (one, two):
            assert daemon.post(f"{path}:ping")["state"] == "DELIVERED"
        for request in receiver.requests:
            for secret in (made["secret"], rotated["secret"]):
                Webhook(secret).verify(request["body"], request["headers"])
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            changes = [pool.submit((one, two)[n % 2].patch, path, {"headers": {f"X-{n}": "v"}}) for n in range(16)]
            for change in changes:
                change.result()
        assert len(known(one)["header_names"]) == 16 and known(one) == known(two)
        two.patch(path, {"filter": "data.nothing == 1"})
        for n in range(8):
            one.create_run(shell_spec(), f"r{n}")
        wait_for(lambda: one.get(path)["filter_errors"] == 8, 60, "the errors of both")
        assert known(one) == known(two)
        two.delete(path)
        one.get(path, expect=404)


class TestDocs:
    """The snippets of contrib/docs/webhooks.md accept a message, and refuse it when it was changed."""

    @staticmethod
    def snippets(language):
        text = (ROOT / "contrib" / "docs" / "webhooks.md").read_text()
        text = text[text.index("### Verifying a message"):text.index("### Rotating a secret")]
        return re.findall(rf"```{language}\n(.*?)```", text, re.S)

    @pytest.fixture
    def message(self, daemon, receiver, subscribe):
        """One that is signed by a shared secret and by a key pair."""
        made = subscribe(receiver.url, scheme="v1a")
        rotated = daemon.post(f"{V1}/{made['id']}:rotate", {"scheme": "v1"})
        daemon.post(f"{V1}/{made['id']}:ping")
        return {**wait_request(receiver, 1), "secret": rotated["secret"], "public": made["secrets"][0]["public_key"]}

    def test_python(self, message):
        snippets = self.snippets("python")
        assert len(snippets) == 2
        for snippet in snippets:
            names = {}
            exec(snippet, names)  # noqa: S102 (our own document)
            assert names["receive"](message["secret"], message["headers"], message["body"])["type"] == "webhook.ping"
            for secret, body in ((new_secret(1), message["body"]), (message["secret"], message["body"] + b" ")):
                with pytest.raises(Exception, match="(?i)signature"):
                    names["receive"](secret, message["headers"], body)

    def test_node(self, message):
        folder = ROOT / "tests" / "node"
        if shutil.which("node") is None or not (folder / "node_modules" / "standardwebhooks").exists():
            pytest.skip("node or its modules are missing: run npm ci in tests/node")
        (snippet,) = self.snippets("js")
        call = "const m = JSON.parse(process.argv[1]); console.log(receive(m.secret, m.headers, m.body).type)"
        for change, good in (("", True), (" ", False)):
            given = json.dumps({**{k: message[k] for k in ("secret", "headers")}, "body": message["body"].decode() + change})
            done = subprocess.run(["node", "--input-type=module", "-e", snippet + call, given], cwd=folder,
                                  capture_output=True, text=True, check=False)
            assert (done.stdout == "webhook.ping\n") == good, done.stderr

    def test_openssl(self, message, tmp_path):
        shared, key_pair = self.snippets("sh")
        headers = message["headers"]
        names = {"PATH": os.environ["PATH"], "SECRET": message["secret"], "PUBLIC": message["public"], "ID": headers["webhook-id"],
                 "STAMP": headers["webhook-timestamp"], "SIGNATURE": headers["webhook-signature"]}
        for change, good in ((b"", True), (b" ", False)):
            (tmp_path / "body").write_bytes(message["body"] + change)
            done = subprocess.run(["sh", "-c", shared], cwd=tmp_path, env=names, capture_output=True, text=True, check=True)
            assert (done.stdout.strip() in headers["webhook-signature"].split(" ")) == good
            done = subprocess.run(["sh", "-c", key_pair], cwd=tmp_path, env=names, capture_output=True, text=True, check=False)
            assert (done.returncode == 0) == good, done.stderr
