# SPDX-License-Identifier: Apache-2.0
"""Webhooks end to end: what arrives, how it is signed, and what happens when it does not arrive."""

import base64
import contextlib
import json
import re
import shutil
import subprocess
import time
from email.utils import formatdate

import pytest
from standardwebhooks.webhooks import Webhook

from event_schemas import EventSchemas
from rondo_testing import ROOT, Daemon, Receiver, shell_spec, wait_for

V1 = "/apis/rondo/v1"
V2 = "/apis/v2beta1"
NODE = ROOT / "tests" / "node"


def open_daemon(**settings):
    settings = {"executor": "noop", "webhook_allow": "127.0.0.1", "webhook_timeout": "60s", **settings}
    return Daemon(settings=settings)


def subscribe(daemon, receiver, **fields):
    made = daemon.post(f"{V1}/subscriptions", {"url": receiver.url, **fields})
    receiver.secret = made["secret"]
    return made["id"]


def deliveries(daemon, subscription, n=1000):
    return daemon.get(f"{V1}/subscriptions/{subscription}/deliveries", n=n)["deliveries"]


def wait_deliveries(daemon, subscription, state, count=1, timeout=60):
    def found():
        rows = [r for r in deliveries(daemon, subscription) if r["state"] == state]
        return rows if len(rows) >= count else None
    return wait_for(found, timeout, f"{count} deliveries {state}")


def wait_attempt(daemon, subscription, number):
    return wait_for(lambda: [r for r in deliveries(daemon, subscription) if r.get("attempts") == number],
                    60, f"attempt {number}")[0]


SLACK_S = 8  # of a daemon that is slow to see an answer; the wait after this one is three times as much


def waits_s(daemon, row):
    """From the end of the last attempt at a delivery to the next one."""
    last = daemon.get(f"{V1}/deliveries/{row['id']}")["log"][-1]
    return (row["next_us"] - last["at_us"]) / 1e6 - last["times_ms"]["total"] / 1e3


def finish_run(daemon, name="r", state="SUCCEEDED"):
    run = daemon.create_run(shell_spec(), name)["run_id"]
    daemon.wait_run(run, state)
    return run


def ids(receiver):
    with receiver.lock:
        return [r["headers"]["webhook-id"] for r in receiver.requests]


ARTIFACT_STEP = {
    "schemaVersion": "2.1.0", "sdkVersion": "kfp-2.17.0", "pipelineInfo": {"name": "maker"},
    "root": {"dag": {"tasks": {"make": {
        "taskInfo": {"name": "make"}, "componentRef": {"name": "comp-make"}}}}},
    "components": {"comp-make": {"executorLabel": "exec-make", "outputDefinitions": {
        "artifacts": {"thing": {"artifactType": {"schemaTitle": "system.Dataset", "schemaVersion": "0.0.1"}}}}}},
    "deploymentSpec": {"executors": {"exec-make": {"container": {
        "image": "alpine", "resources": {"resourceCpuLimit": "1"},
        "command": ["sh", "-c", 'mkdir -p "$(dirname "$0")"; echo made > "$0"',
                                       "{{$.outputs.artifacts['thing'].path}}"]}}}},
}


def followed(spec):
    """The same with a task that waits for the other."""
    spec["root"]["dag"]["tasks"]["after"] = {
        "taskInfo": {"name": "after"}, "componentRef": {"name": "comp-main"}, "dependentTasks": ["main"]}
    return spec


class TestEvents:
    def test_all_types_carry_the_documented_members(self):
        """The catalogue, both ways. A step whose process vanishes gives task.retrying."""
        with Receiver() as receiver, open_daemon(executor="local") as daemon:
            schemas = EventSchemas(daemon)
            kinds = [k for k in schemas.types if k.split(".")[0] in ("run", "task", "artifact", "recurring_run")]
            assert len(kinds) >= 17
            subscribe(daemon, receiver)
            daemon.post(f"{V2}/recurringruns", {
                "display_name": "soon", "max_concurrency": "1", "mode": "ENABLE", "pipeline_spec": ARTIFACT_STEP,
                "trigger": {"periodic_schedule": {"interval_second": "1"}}})
            busy = {"max_concurrency": "1", "mode": "ENABLE", "pipeline_spec": shell_spec("exec sleep 600"),
                    "trigger": {"periodic_schedule": {"interval_second": "1"}}}
            waits = daemon.post(f"{V2}/recurringruns", {"display_name": "waits", **busy})["recurring_run_id"]
            daemon.post(f"{V2}/recurringruns", {"display_name": "skips", **busy, "rondo": {"overlap": "skip"}})
            daemon.post(f"{V2}/recurringruns", {"display_name": "misses", **busy, "rondo": {"catchup": "none"}, "trigger": {
                "periodic_schedule": {"interval_second": "1", "start_time": "2026-01-01T00:00:00Z", "end_time": "2026-01-01T01:00:00Z"}}})
            gone = daemon.upload(json.dumps(shell_spec()), "gone")["pipeline_id"]
            daemon.post(f"{V2}/recurringruns", {"display_name": "cannot", "max_concurrency": "1", "mode": "ENABLE",
                "pipeline_version_reference": {"pipeline_id": gone}, "trigger": {"periodic_schedule": {"interval_second": "2"}}})
            for version in daemon.get(f"{V2}/pipelines/{gone}/versions")["pipeline_versions"]:
                daemon.delete(f"{V2}/pipelines/{gone}/versions/{version['pipeline_version_id']}")
            receiver.wait_events(1, "recurring_run.waiting")
            daemon.post(f"/apis/rondo/v1/recurringruns/{waits}:fire", {"request_id": "by-hand"})
            daemon.post(f"{V2}/recurringruns/{waits}:disable")
            daemon.post(f"{V2}/recurringruns/{waits}:enable")
            failing = daemon.create_run(shell_spec("exit 3"), "fails")["run_id"]
            endless = daemon.create_run(followed(shell_spec("echo $PPID; exec sleep 600")), "ends early")["run_id"]
            daemon.wait_run(failing, "FAILED")
            launcher = wait_for(lambda: re.findall(r"\b(\d+)$", daemon.run_log(endless).strip()), 60, "the step's first line")
            subprocess.run(["kill", "-9", launcher[0]], check=True)
            receiver.wait_events(1, "task.retrying")
            daemon.post(f"{V2}/runs/{endless}:terminate")
            for kind in kinds:
                receiver.wait_events(1, kind)
            events = receiver.events()
            seen = {}
            for event in events:
                schemas.check(event)
                assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", event["timestamp"])
                seen.setdefault(event["type"], set()).update(event["data"])
            for kind, members in seen.items():
                assert set(schemas.members(kind)) - members <= self.rare(kind), (
                    kind, set(schemas.members(kind)) - members)
            assert all(receiver.verify(r) for r in receiver.requests)
            failed = next(e for e in events if e["type"] == "task.finished" and e["data"]["state"] == "FAILED")
            assert failed["data"]["exit_code"] == 3 and failed["data"]["run_id"] == failing

    @staticmethod
    def rare(kind):
        """Members that need a turn of events that this test does not bring about."""
        rare = {"namespace", "repository", "commit", "pipeline_id"}  # pods, pushes, stored pipelines
        if kind.startswith("run.") or kind.startswith("task.") or kind.startswith("artifact."):
            rare |= {"recurring_run_id"}
        if kind.startswith("recurring_run."):
            rare |= {"reason"}
        return rare | {"task.retrying": {"exit_code"}, "task.finished": {"cached_from"},
                       "task.skipped": {"upstream"}}.get(kind, set())

    def test_event_filter(self):
        with Receiver() as some, Receiver() as every, open_daemon() as daemon:
            subscribe(daemon, some, events=["run.*"])
            subscribe(daemon, every)
            finish_run(daemon)
            every.wait_events(1, "run.finished")
            some.wait_events(1, "run.finished")
            assert {e["type"] for e in some.events()} == {"run.created", "run.started", "run.finished"}
            assert {e["type"] for e in every.events()} >= {"run.started", "task.finished"}

    def test_events_of_a_run_start_in_order(self):
        with Receiver(delay=0.01) as receiver, open_daemon() as daemon:
            subscribe(daemon, receiver)
            runs = [daemon.create_run(shell_spec(), f"r{n}")["run_id"] for n in range(8)]
            receiver.wait_events(8, "run.finished")
            for run in runs:
                kinds = [e["type"] for e in receiver.events() if e["data"]["run_id"] == run]
                assert kinds[:2] == ["run.created", "run.started"] and kinds[-1] == "run.finished", kinds
                assert kinds.index("task.started") < kinds.index("task.finished")


class TestSignature:
    def test_other_peoples_libraries_agree(self):
        with Receiver() as receiver, open_daemon() as daemon:
            subscribe(daemon, receiver)
            finish_run(daemon, "näme with 'quotes' and \u2603")
            receiver.wait_events(1, "run.finished")
            webhook = Webhook(receiver.secret)
            for request in receiver.requests:
                webhook.verify(request["body"], request["headers"])
                with pytest.raises(Exception, match="(?i)signature"):
                    webhook.verify(request["body"] + b" ", request["headers"])
            if shutil.which("node") is None or not (NODE / "node_modules" / "standardwebhooks").exists():
                pytest.skip("node or its modules are missing: run npm ci in tests/node")
            messages = [{"headers": r["headers"], "body": base64.b64encode(r["body"]).decode()}
                        for r in receiver.requests]
            messages.append({**messages[0], "body": base64.b64encode(b"{}").decode()})
            done = subprocess.run(["node", "verify.mjs"], cwd=NODE, capture_output=True, check=True, text=True,
                                  input=json.dumps({"secret": receiver.secret, "messages": messages}))
            verdicts = json.loads(done.stdout)
            assert verdicts[:-1] == [True] * (len(messages) - 1) and verdicts[-1] is not True

    def test_own_secret(self):
        secret = "whsec_" + base64.b64encode(bytes(range(32))).decode()
        with Receiver() as receiver, open_daemon() as daemon:
            subscribe(daemon, receiver, secret=secret)
            assert receiver.secret == secret
            finish_run(daemon)
            receiver.wait_events(1, "run.finished")
            assert all(receiver.verify(r) for r in receiver.requests)
            assert secret not in daemon.log()
            for bad in ("short", "whsec_", "whsec_AAAA", "whsec_" + "A" * 200):
                daemon.post(f"{V1}/subscriptions", {"url": receiver.url, "secret": bad}, expect=400)


class TestRetries:
    def test_same_id_same_bytes(self):
        answers = [500, 500, 204]
        with Receiver() as receiver, open_daemon() as daemon:
            receiver.status = lambda _: receiver.hold() and answers.pop(0)  # one at a time
            subscription = subscribe(daemon, receiver, events=["run.finished"])
            run = finish_run(daemon)
            row = wait_attempt(daemon, subscription, 1)
            assert row["state"] == "PENDING" and row["status"] == 500 and "500" in row["error"]
            assert 3.9 < waits_s(daemon, row) < 6.1 + SLACK_S
            daemon.move_clock(10)
            receiver.release()
            wait_attempt(daemon, subscription, 2)
            daemon.move_clock(120)
            receiver.release()
            row = wait_deliveries(daemon, subscription, "DELIVERED")[0]
            assert row["attempts"] == 3 and row["status"] == 204 and row["id"] == ids(receiver)[0]
            assert len(set(ids(receiver))) == 1 and len({r["body"] for r in receiver.requests}) == 1
            assert all(receiver.verify(r) for r in receiver.requests)
            stamps = [int(r["headers"]["webhook-timestamp"]) for r in receiver.requests]
            assert stamps == sorted(stamps) and stamps[2] - stamps[0] >= 100
            assert receiver.events()[0]["data"]["run_id"] == run

    @pytest.mark.parametrize("value, wait_s", [
        ("3600", 3600), (None, 5), ("nonsense", 5), ("999999999", 86400), ("-5", 5), ("date", 1800)])
    def test_retry_after(self, value, wait_s):
        def answer(_):
            receiver.hold()  # the next one, so that this one can be looked at however long that takes
            text = formatdate(time.time() + 1800, usegmt=True) if value == "date" else value
            return 503, {"Retry-After": text} if text is not None else {}, b""
        with Receiver(status=answer) as receiver, open_daemon() as daemon:
            subscription = subscribe(daemon, receiver, events=["run.finished"])
            finish_run(daemon)
            waited_s = waits_s(daemon, wait_attempt(daemon, subscription, 1))
            assert 0.78 * wait_s - 1 < waited_s < 1.21 * wait_s + SLACK_S, waited_s

    def test_gone_disables(self):
        with Receiver(status=410) as receiver, open_daemon() as daemon:
            subscription = subscribe(daemon, receiver, events=["run.finished"])
            finish_run(daemon)
            wait_deliveries(daemon, subscription, "FAILED")
            shown = daemon.get(f"{V1}/subscriptions/{subscription}")
            assert shown["enabled"] is False and "410" in shown["disabled_reason"]
            daemon.restart()
            assert daemon.get(f"{V1}/subscriptions/{subscription}")["enabled"] is False
            finish_run(daemon)
            assert receiver.arrived == 1

    def test_redirects_are_not_followed(self):
        with Receiver() as other, Receiver(status=lambda _: (302, {"Location": other.url}, b"")) as receiver, \
                open_daemon() as daemon:
            subscription = subscribe(daemon, receiver, events=["run.finished"])
            finish_run(daemon)
            row = wait_for(lambda: [r for r in deliveries(daemon, subscription) if r.get("attempts")],
                           60, "the attempt")[0]
            assert row["status"] == 302 and row["state"] == "PENDING" and other.arrived == 0

    def test_a_huge_answer_is_cut(self):
        with Receiver(status=lambda _: (200, {}, b"x" * (64 << 20))) as receiver, open_daemon() as daemon:
            subscription = subscribe(daemon, receiver, events=["run.finished"])
            before = daemon.resident()
            finish_run(daemon)
            wait_deliveries(daemon, subscription, "DELIVERED")
            assert daemon.resident() - before < 48 << 20

    def test_nobody_listens(self):
        with Receiver() as receiver, open_daemon() as daemon:
            subscription = subscribe(daemon, receiver, events=["run.finished"])
            receiver.close()
            finish_run(daemon)
            row = wait_for(lambda: [r for r in deliveries(daemon, subscription) if r.get("attempts")],
                           60, "the attempt")[0]
            assert row["state"] == "PENDING" and row["status"] == 0 and row["error"]

    def test_given_up_after_three_days(self):
        with Receiver(status=500) as receiver, Receiver() as watcher, open_daemon(webhook_disable_after="0") as daemon:
            subscribe(daemon, watcher, events=["delivery.*"])
            subscription = subscribe(daemon, receiver, events=["run.finished", "delivery.*"])
            run = finish_run(daemon)
            for attempt in range(1, 12):
                row = wait_for(lambda n=attempt: [r for r in deliveries(daemon, subscription)
                                                  if r.get("attempts", 0) >= n], 60, f"attempt {attempt}")[0]
                daemon.move_clock(row["next_us"] / 1e6 - time.time() + 1)
            row = wait_deliveries(daemon, subscription, "FAILED")[0]
            assert row["attempts"] == 12 and "next_us" not in row
            assert 2.5 * 86400 < int(receiver.requests[-1]["headers"]["webhook-timestamp"]) - time.time() < 4 * 86400
            wait_for(lambda: daemon.metric('rondo_webhook_deliveries_total{result="dead"}') == 1, what="the count")
            assert "webhook given up" in daemon.log()
            told = watcher.wait_events(1, "delivery.exhausted")[0]["data"]
            assert told["delivery_id"] == row["id"] and told["subscription_id"] == subscription and told["run_id"] == run
            assert told["event_type"] == "run.finished" and told["attempts"] == 12 and told["status"] == 500
            assert len(deliveries(daemon, subscription)) == 1, "not to the one that it is about"


class TestIsolation:
    def test_time_out_and_a_hanging_receiver_blocks_no_other(self):
        with Receiver() as slow, Receiver() as fast, open_daemon(webhook_timeout="3s") as daemon:
            slow.hold()
            stuck = subscribe(daemon, slow)
            good = subscribe(daemon, fast)
            runs = 40
            for n in range(runs):
                daemon.create_run(shell_spec(), f"r{n}")
            fast.wait_events(runs, "run.finished", timeout=60)
            row = wait_for(lambda: [r for r in deliveries(daemon, stuck) if r.get("attempts")], 60, "a time-out")[0]
            assert row["state"] == "PENDING" and row["status"] == 0 and row["duration_ms"] >= 0
            assert slow.arrived <= 16 * 60
            assert wait_for(lambda: not [r for r in deliveries(daemon, good) if r["state"] == "PENDING"],
                            60, "the good one's end")
            slow.release()

    def test_the_share_of_one_subscription(self):
        with Receiver() as slow, open_daemon() as daemon:
            slow.hold()
            subscription = subscribe(daemon, slow, events=["run.finished"])
            slow.release()
            for n in range(20):  # what it gets at once grows with each success
                daemon.create_run(shell_spec(), f"warm{n}")
            slow.wait_events(20, "run.finished")
            slow.hold()
            slow.arrived = 0
            for n in range(40):
                daemon.create_run(shell_spec(), f"r{n}")
            wait_for(lambda: slow.arrived >= 16, 60, "sixteen at once")
            wait_for(lambda: len(deliveries(daemon, subscription)) == 60, 60, "the deliveries")
            assert slow.arrived == 16
            slow.release()
            slow.wait_events(60, "run.finished", timeout=60)
            wait_for(lambda: daemon.metric("rondo_webhook_deliveries_pending") == 0, 60, "the end")
            assert len(set(ids(slow))) == len(ids(slow)) == len(deliveries(daemon, subscription))

    def test_two_thousand_pending_drain(self):
        with Receiver() as receiver, open_daemon() as daemon:
            receiver.hold()
            subs = [subscribe(daemon, receiver, name=f"s{n}") for n in range(10)]
            for n in range(50):
                daemon.create_run(shell_spec(), f"r{n}")
            wait_for(lambda: daemon.metric("rondo_runs_live") == 0, 60, "the runs")
            wait_for(lambda: daemon.metric("rondo_webhook_deliveries_pending") >= 1900, 60, "the deliveries")
            receiver.release()
            wait_for(lambda: daemon.metric("rondo_webhook_deliveries_pending") == 0, 120, "the end")
            assert len(set(ids(receiver))) == len(ids(receiver)) >= 2000
            for one in subs:
                assert {r["state"] for r in deliveries(daemon, one)} == {"DELIVERED"}


class TestDurability:
    @pytest.mark.parametrize("when", ["held by the receiver", "before the first attempt"])
    def test_kill_between_event_and_delivery(self, when):
        with Receiver() as receiver, open_daemon() as daemon:
            subscription = subscribe(daemon, receiver, events=["run.finished"])
            receiver.hold()
            if when != "held by the receiver":
                daemon.restart(env={"RONDO_FAULT": "webhook.post.before:crash"})
            run = daemon.create_run(shell_spec(), "r")["run_id"]
            if when == "held by the receiver":
                wait_for(lambda: receiver.arrived == 1, 60, "the first attempt")
                daemon.kill9()
            else:
                with contextlib.suppress(Exception):
                    wait_for(lambda: daemon.process.poll() is not None, 60, "the crash")
                daemon.kill9()
            receiver.release()
            daemon.start()
            row = wait_deliveries(daemon, subscription, "DELIVERED")[0]
            assert set(ids(receiver)) == {row["id"]}
            assert len({r["body"] for r in receiver.requests}) == 1
            assert receiver.events()[-1]["data"]["run_id"] == run

    def test_stop_with_deliveries_and_requests_under_way(self):
        """Nothing leaks (the leak check runs at exit), nothing is lost."""
        with Receiver() as receiver, open_daemon() as daemon:
            subscription = subscribe(daemon, receiver, events=["run.*"])
            receiver.hold()
            for n in range(10):
                daemon.create_run(shell_spec(), f"r{n}")
            wait_for(lambda: receiver.arrived >= 1, 60, "an attempt under way")
            daemon.stop()
            receiver.release()
            daemon.start()
            receiver.wait_events(10, "run.finished")
            wait_for(lambda: {r["state"] for r in deliveries(daemon, subscription)} == {"DELIVERED"}, 60, "the end")
            assert len(deliveries(daemon, subscription)) == 30

    def test_stop_while_redis_hangs(self, redis_paused):
        """Calls of the API wait for Redis when the daemon is told to stop."""
        daemon, pause = redis_paused
        made = daemon.post(f"{V1}/subscriptions", {"url": "https://example.com/"})["id"]
        pause()
        import threading
        def ask(method, path, body=None):
            with contextlib.suppress(Exception):
                daemon.session.request(method, f"http://127.0.0.1:{port}{path}", json=body, timeout=60)
        port = daemon.port
        calls = [("GET", f"{V1}/subscriptions/{made}/deliveries"), ("DELETE", f"{V1}/subscriptions/{made}"),
                 ("POST", f"{V1}/subscriptions", {"url": "https://example.com/x"}), ("GET", f"{V1}/triggers/git"),
                 ("GET", f"{V1}/triggers/git/{made}"), ("DELETE", f"{V1}/triggers/git/{made}"),
                 ("POST", f"/hooks/git/{made}", {})]
        threads = [threading.Thread(target=ask, args=call, daemon=True) for call in calls]
        for thread in threads:
            thread.start()
        time.sleep(0.3)  # they are with Redis, which nobody can see from here
        daemon.stop()
        for thread in threads:
            thread.join(60)


@pytest.fixture
def redis_paused():
    from rondo_testing import Redis
    with Redis() as redis, Daemon(redis=redis.url, settings={"executor": "noop"}) as daemon:
        yield daemon, redis.pause
        redis.resume()


class TestEgress:
    def test_private_addresses_are_refused(self):
        with Receiver() as receiver, open_daemon(webhook_allow="10.9.9.9") as daemon:
            for url in (receiver.url, "http://10.0.0.1/", "http://[::1]/", "http://169.254.169.254/latest",
                        "http://[::ffff:127.0.0.1]/", "http://0.0.0.0/"):
                answer = daemon.post(f"{V1}/subscriptions", {"url": url}, expect=400)
                assert "--webhook-allow" in answer["message"], answer
            named = daemon.post(f"{V1}/subscriptions", {"url": f"http://localhost:{receiver.port}/"})["id"]
            odd = [daemon.call("POST", f"{V1}/subscriptions", None, json={"url": f"http://{host}:{receiver.port}/"})
                   for host in ("2130706433", "0x7f.1", "127.1", "0177.0.0.1")]
            finish_run(daemon)
            for one in [named] + [r.json()["id"] for r in odd if r.status_code == 200]:
                rows = wait_deliveries(daemon, one, "FAILED")
                assert rows[0]["error"]
            assert receiver.arrived == 0

    def test_an_allowed_name(self):
        with Receiver() as receiver, open_daemon(webhook_allow="localhost") as daemon:
            daemon.post(f"{V1}/subscriptions", {"url": f"http://localhost:{receiver.port}/"})
            daemon.post(f"{V1}/subscriptions", {"url": receiver.url}, expect=400)
            finish_run(daemon)
            receiver.wait_events(1, "run.finished")


class TestSubscriptions:
    def test_deleted_while_deliveries_wait(self):
        with Receiver(status=500) as receiver, open_daemon() as daemon:
            subscription = subscribe(daemon, receiver)
            finish_run(daemon)
            wait_deliveries(daemon, subscription, "PENDING")
            wait_for(lambda: receiver.arrived >= 1, 60, "an attempt")
            daemon.delete(f"{V1}/subscriptions/{subscription}")
            daemon.get(f"{V1}/subscriptions/{subscription}/deliveries", expect=404)
            daemon.move_clock(3600)
            wait_for(lambda: daemon.metric("rondo_webhook_deliveries_pending") == 0, 60, "none pending")
            before = receiver.arrived
            finish_run(daemon)
            assert receiver.arrived == before

            def left():
                keys = subprocess.run(
                    ["redis-cli", "-s", str(daemon.data / "redis" / "redis.sock"), "--scan", "--pattern", "rondo:*deliver*"],
                    capture_output=True, text=True, check=True).stdout.split()
                return [key for key in keys if ":delivery:" in key or key.endswith("}:deliveries")]
            wait_for(lambda: not left(), what="all of it to go")

    def test_log_is_bounded(self):
        with Receiver() as receiver, open_daemon(webhook_log=3, shards=1) as daemon:
            subscription = subscribe(daemon, receiver, events=["run.finished"])
            for n in range(8):
                finish_run(daemon, f"r{n}")
            receiver.wait_events(8, "run.finished")
            rows = wait_for(lambda: (r := deliveries(daemon, subscription)) and len(r) == 3 and r, 60, "three rows")
            created = [r["created_us"] for r in rows]
            assert created == sorted(created, reverse=True)
            assert len(deliveries(daemon, subscription, n=2)) == 2

    @pytest.mark.parametrize("body", [
        {}, {"url": 5}, {"url": "https://example.com", "events": []}, {"url": "https://example.com", "events": "x"},
        {"url": "https://example.com", "events": ["Run.*"]}, {"url": "https://example.com", "events": [5]},
        {"url": "https://example.com", "extra": 1}, {"url": "https://u:p@example.com"}, {"url": "ftp://example.com"},
        {"url": "https://" + "a" * 3000}, {"url": "https://example.com", "name": "n" * 1000},
        {"url": "https://example.com", "enabled": "yes"}, [], "text", None])
    def test_refused_bodies(self, plain, body):
        answer = plain.call("POST", f"{V1}/subscriptions", 400, data=json.dumps(body)).json()
        assert answer["message"]
        assert plain.get(f"{V1}/subscriptions")["subscriptions"] == []


@pytest.fixture(scope="module")
def plain():
    with open_daemon() as daemon:
        yield daemon
