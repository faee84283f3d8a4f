# SPDX-License-Identifier: Apache-2.0
"""The delivery engine end to end: the log and sending again, breakers, order, ceilings, disabling.

One daemon with its clock for all of them; subscriptions see only runs of an experiment of their own.
"""

import contextlib
import hashlib
import json
import signal
import socket
import subprocess
import time

import pytest

from rondo_testing import Daemon, Receiver, bin_dir, shell_spec, wait_for

V1 = "/apis/rondo/v1"
V2 = "/apis/v2beta1"


@pytest.fixture(scope="module")
def daemon():
    """What failed is tried again when a test moves the clock, and not before."""
    with Daemon(settings={"executor": "noop", "webhook_allow": "127.0.0.1", "webhook_timeout": "30s", "webhook_pending": "20",
                          "webhook_retries": ",".join(["1h"] * 11), "shards": "2"}) as one:
        yield one


@pytest.fixture
def receiver():
    with Receiver() as one:
        yield one


unused = socket.socket()  # kept, so that nobody else gets its port
unused.bind(("127.0.0.1", 0))
CLOSED = f"http://127.0.0.1:{unused.getsockname()[1]}/"  # nobody listens there


class Stage:
    """A receiver's subscription and the runs that it hears of."""

    def __init__(self, daemon, url, **fields):
        self.daemon = daemon
        self.name = f"e{time.monotonic_ns()}"
        self.experiment = daemon.post(f"{V2}/experiments", {"display_name": self.name})["experiment_id"]
        self.id = daemon.post(f"{V1}/subscriptions", {
            "url": url, "experiments": [self.experiment], "events": ["run.finished"], **fields})["id"]

    def run(self, count=1):
        return [self.daemon.post(f"{V2}/runs", {"display_name": f"r{n}", "experiment_id": self.experiment,
                                                "pipeline_spec": shell_spec()})["run_id"] for n in range(count)]

    def rows(self, **query):
        return self.daemon.get(f"{V1}/subscriptions/{self.id}/deliveries", **{"page_size": 1000, **query})["deliveries"]

    def wait_rows(self, count=1, **query):
        return wait_for(lambda: len(rows := self.rows(**query)) >= count and rows, 60, f"{count} deliveries {query}")

    def health(self):
        return self.daemon.get(f"{V1}/subscriptions/{self.id}")["health"]

    def wait_health(self, state):
        return wait_for(lambda: (h := self.health())["state"] == state and h, 60, f"breaker {state}")


@pytest.fixture
def stage(daemon):
    made = []

    def build(url, **fields):
        made.append(Stage(daemon, url, **fields))
        return made[-1]
    yield build
    for one in made:
        daemon.delete(f"{V1}/subscriptions/{one.id}")


class TestLog:
    def test_each_attempt_is_kept_without_secrets(self, daemon, stage, receiver):
        answers = [(503, {"Set-Cookie": "hush", "X-Trace": "abc"}, b"busy \xff\x00" + b"y" * 20000), (204, {}, b"")]
        receiver.status = lambda _: answers.pop(0) if len(answers) > 1 else answers[0]
        one = stage(receiver.url, headers={"Authorization": "Bearer hush-hush"})
        (run,) = one.run()
        row = wait_for(lambda: [r for r in one.rows() if r["attempts"] == 1], 60, "an attempt")[0]
        daemon.post(f"{V1}/deliveries/{row['id']}:redeliver")
        one.wait_rows(state="DELIVERED")
        shown = daemon.get(f"{V1}/deliveries/{row['id']}")
        first, second = shown["log"]
        body = receiver.requests[0]["body"]
        assert shown["body"].encode() == body and shown["body_bytes"] == len(body)
        assert shown["body_sha256"] == hashlib.sha256(body).hexdigest()
        assert shown["run_id"] == run and shown["state"] == "DELIVERED" and shown["attempts"] == 2
        sent = receiver.requests[0]["headers"]
        for name, value in first["request"]["headers"]:
            assert name.lower() in sent
            assert value == "(hidden)" or value == sent[name.lower()], name
        assert {"webhook-signature", "Authorization"} == {n for n, v in first["request"]["headers"] if v == "(hidden)"}
        assert first["request"]["url"] == receiver.url and first["address"] == "127.0.0.1"
        assert first["response"]["status"] == 503 and first["error"] == "the receiver answered 503"
        assert first["response"]["body"].startswith("busy ") and first["response"]["body_cut"] is True
        assert 8000 < len(first["response"]["body"].encode()) <= 8192
        assert ["X-Trace", "abc"] in first["response"]["headers"] and ["Set-Cookie", "(hidden)"] in first["response"]["headers"]
        assert first["times_ms"]["total"] >= first["times_ms"]["connect"] >= 0 and first["connection_reused"] is False
        assert second["response"]["status"] == 204 and "error" not in second
        assert "hush" not in json.dumps(shown)

    def test_filters_and_pages(self, daemon, stage, receiver):
        one = stage(receiver.url, events=["run.*"])
        receiver.status = lambda request: 404 if b"run.started" in request["body"] else 200
        runs = one.run(12)
        one.wait_rows(12, state="DELIVERED", type="run.finished")
        assert len(one.rows()) == 36
        assert {r["type"] for r in one.rows(state="PENDING")} == {"run.started"}
        assert {r["run_id"] for r in one.rows(run_id=runs[3])} == {runs[3]} and len(one.rows(run_id=runs[3])) == 3
        assert len(one.rows(type="run.*")) == 36 and one.rows(type="task.*") == [] and len(one.rows(type="run.created")) == 12
        assert len(one.rows(since="1h")) == 36 and one.rows(until="1h") == []
        for size in (1, 5, 36, 100):
            seen, token = [], ""
            while True:
                page = daemon.get(f"{V1}/subscriptions/{one.id}/deliveries", page_size=size, page_token=token)
                seen += page["deliveries"]
                token = page.get("next_page_token", "")
                if not token:
                    break
            assert [r["id"] for r in seen] == [r["id"] for r in one.rows()], size
        created = [r["created_us"] for r in seen]
        assert created == sorted(created, reverse=True) and len({r["id"] for r in seen}) == 36

    @pytest.mark.parametrize("query, word", [
        ({"state": "DONE"}, "state"), ({"page_token": "x"}, "page_token"), ({"page_token": "5.x"}, "page_token"),
        ({"since": "soon"}, "since"), ({"until": "2026-13-01T00:00:00Z"}, "until"), ({"page_size": "0"}, "page_size"), ({"stat": "FAILED"}, "unknown parameter 'stat'; there is state, ")])
    def test_bad_queries(self, daemon, stage, query, word):
        one = stage(CLOSED)
        answer = daemon.get(f"{V1}/subscriptions/{one.id}/deliveries", expect=400, **query)
        assert word in answer["message"]

    def test_unknown(self, daemon):
        nobody = "00000000-0000-4000-8000-000000000000"
        for path in (f"deliveries/{nobody}", "deliveries/x", f"subscriptions/{nobody}/deliveries"):
            daemon.get(f"{V1}/{path}", expect=404)
        daemon.post(f"{V1}/deliveries/{nobody}:redeliver", expect=404)
        daemon.post(f"{V1}/subscriptions/{nobody}:redeliver", expect=404)


class TestRedelivery:
    def test_one_again_and_not_twice_for_one_request(self, daemon, stage, receiver):
        one = stage(receiver.url)
        one.run()
        row = one.wait_rows(state="DELIVERED")[0]
        for expect in (True, False):
            answer = daemon.post(f"{V1}/deliveries/{row['id']}:redeliver", {"request_id": "mine"})
            assert answer["redelivered"] is expect
            wait_for(lambda: one.rows(state="DELIVERED") and receiver.arrived == 2, 60, "the second")
        assert daemon.post(f"{V1}/deliveries/{row['id']}:redeliver")["redelivered"] is True
        wait_for(lambda: receiver.arrived == 3 and one.rows(state="DELIVERED"), 60, "the third")
        assert len({r["headers"]["webhook-id"] for r in receiver.requests}) == 1
        assert len({r["body"] for r in receiver.requests}) == 1
        assert [r["headers"]["webhook-attempt"] for r in receiver.requests] == ["1", "2", "3"]
        assert one.rows()[0]["redelivered"] == 2

    def test_dead_letters_of_a_time(self, daemon, stage, receiver):
        receiver.status = 410
        one = stage(receiver.url)
        one.run()
        one.wait_rows(state="FAILED")
        receiver.status = 200
        daemon.post(f"{V1}/subscriptions/{one.id}:enable")
        one.run(5)
        one.wait_rows(5, state="DELIVERED")
        request = {"request_id": "recover", "since": "2026-01-01T00:00:00Z"}
        assert daemon.post(f"{V1}/subscriptions/{one.id}:redeliver", {**request, "until": "2026-01-02T00:00:00Z"})["redelivered"] == 0
        assert daemon.post(f"{V1}/subscriptions/{one.id}:redeliver", request)["redelivered"] == 1
        one.wait_rows(6, state="DELIVERED")
        assert daemon.post(f"{V1}/subscriptions/{one.id}:redeliver", {**request, "state": "ANY"})["redelivered"] == 5
        wait_for(lambda: receiver.arrived == 12, 60, "all once more")
        for bad in ({"state": "PENDING"}, {"since": "x"}, {"request_id": "r" * 200}, {"extra": 1}):
            daemon.post(f"{V1}/subscriptions/{one.id}:redeliver", bad, expect=400)

    def test_command_line(self, daemon, stage, receiver):
        def rondo(*args, code=0):
            done = subprocess.run([str(bin_dir() / "rondo"), "--host", daemon.url, "webhook", *args],
                                  capture_output=True, text=True, check=False)
            assert done.returncode == code, done.stderr
            return done.stdout
        one = stage(receiver.url)
        one.run(3)
        row = one.wait_rows(3, state="DELIVERED")[0]
        assert row["id"] in rondo("deliveries", one.id, "--state", "DELIVERED", "--since", "1h", "--type", "run.*")
        head, *lines = rondo("deliveries", one.id, "--max", "2").splitlines()
        assert head.startswith("CREATED") and len(lines) == 2 and lines[0].startswith("20")
        shown = rondo("delivery", row["id"])
        assert "attempt 1 at " in shown and "status     200" in shown and '"type":"run.finished"' in shown
        assert rondo("redeliver", row["id"]) == "sent again\n"
        wait_for(lambda: [r["attempts"] for r in one.rows(state="DELIVERED") if r["id"] == row["id"]] == [2], 60, "the fourth")
        assert rondo("redeliver", "--subscription", one.id) == "0 sent again\n"
        assert rondo("redeliver", "--subscription", one.id, "--state", "ANY", "--until", "1h") == "0 sent again\n"
        assert rondo("redeliver", "--subscription", one.id, "--state", "ANY", "--since", "1h") == "3 sent again\n"
        rondo("redeliver", code=2)
        rondo("redeliver", row["id"], "--subscription", one.id, code=2)
        rondo("deliveries", one.id, "--state", "x", code=2)


class TestBreaker:
    def test_opens_waits_and_drains(self, daemon, stage, receiver):
        watcher = Receiver()
        watch = stage(watcher.url, events=["subscription.*"], experiments=[])
        receiver.status = 500
        one = stage(receiver.url)
        one.run(12)
        health = one.wait_health("open")
        assert health["consecutive_failures"] >= 5 and "500" in health["last_error"] and health["next_probe_us"] > health["since_us"]
        opened_at = receiver.arrived
        assert opened_at < 12
        one.wait_rows(12)
        spent = {r["id"]: r["attempts"] for r in one.rows()}
        assert daemon.metric(f'rondo_webhook_subscription_up{{subscription="{one.id}"}}') == 0
        daemon.move_clock(60)  # past the probe
        wait_for(lambda: receiver.arrived == opened_at + 1, 60, "the probe")
        wait_for(lambda: (h := one.health())["state"] == "open" and h["next_probe_us"] > health["next_probe_us"], 60, "open again")
        assert sum(r["attempts"] for r in one.rows()) == sum(spent.values()) + 1
        daemon.restart()
        assert one.health()["state"] == "open"
        receiver.status = 200
        daemon.move_clock(9000)
        one.wait_rows(12, state="DELIVERED")
        assert one.health()["state"] == "closed" and one.health()["consecutive_failures"] == 0
        assert len({r["headers"]["webhook-id"] for r in receiver.requests}) == 12
        told = watcher.wait_events(1, "subscription.recovered")
        assert [e["data"]["subscription_id"] for e in told] == [one.id] and watch.health()["state"] == "closed"
        watcher.close()
        daemon.move_clock(0)

    def test_one_bad_message_opens_nothing(self, daemon, stage, receiver):
        receiver.status = lambda request: 500 if b'"run_name":"r0"' in request["body"] else 200
        one = stage(receiver.url)
        one.run(1)
        for attempt in range(1, 8):
            row = wait_for(lambda n=attempt: [r for r in one.rows() if r["attempts"] >= n], 60, f"attempt {attempt}")[0]
            daemon.move_clock(row["next_us"] / 1e6 - time.time() + 1)
        assert one.health()["state"] == "closed"
        daemon.move_clock(0)

    def test_days_of_failure_disable(self, daemon, stage, receiver):
        with Receiver() as watcher:
            receiver.status = 500
            one = stage(receiver.url)
            other = daemon.post(f"{V1}/subscriptions", {"url": watcher.url, "events": ["subscription.*", "delivery.*"]})["id"]
            one.run(6)
            one.wait_health("open")
            arrived = receiver.arrived
            daemon.move_clock(5.1 * 86400)
            wait_for(lambda: receiver.arrived > arrived, 60, "a probe")
            shown = wait_for(lambda: (s := daemon.get(f"{V1}/subscriptions/{one.id}"))["enabled"] is False and s, 60, "the end")
            assert "122 hours" in shown["disabled_reason"] and "500" in shown["disabled_reason"]
            told = watcher.wait_events(1, "subscription.disabled")[0]["data"]
            assert told["subscription_id"] == one.id and "500" in told["reason"]
            receiver.status = 200
            waiting = len(one.rows(state="PENDING"))
            assert waiting >= 1
            daemon.post(f"{V1}/subscriptions/{one.id}:enable")
            daemon.move_clock(5.2 * 86400)
            one.wait_rows(waiting, state="DELIVERED")
            daemon.move_clock(0)
            daemon.delete(f"{V1}/subscriptions/{other}")


class TestOrder:
    def test_one_after_the_other_within_a_run(self, daemon, stage, receiver):
        failing = {}

        def answer(request):
            data = json.loads(request["body"])
            key = (data["data"]["run_id"], data["type"])
            failing[key] = failing.get(key, 0) + 1
            return 500 if data["type"] == "run.started" and data["data"]["run_name"] == "r1" and failing[key] == 1 else 200
        receiver.status = answer
        one = stage(receiver.url, events=["run.*", "task.*"], order="run")
        runs = one.run(3)
        wait_for(lambda: {e["data"]["run_id"] for e in receiver.events("run.finished")} == {runs[0], runs[2]}, 60, "the others")

        def held():
            """One has failed, so that the others wait, and nothing is under way any more."""
            rows = [r for r in one.rows() if r["state"] == "PENDING"]
            return sorted(r["attempts"] for r in rows) == [0, 0, 0, 1] and rows
        assert {r["run_id"] for r in wait_for(held, 60, "the second one's to be held")} == {runs[1]}
        daemon.restart(kill=True)
        daemon.move_clock(9000)
        receiver.wait_events(3, "run.finished")
        for run in runs:
            got = [r for r in receiver.requests if json.loads(r["body"])["data"]["run_id"] == run and r["status"] == 200]
            order = [int(r["headers"]["webhook-sequence"]) for r in got]
            assert order == sorted(order) and set(order) == set(range(1, 6)), order
            kinds = [json.loads(r["body"])["type"] for r in got]
            assert kinds == ["run.created", "run.started", "task.started", "task.finished", "run.finished"], kinds
        daemon.move_clock(0)


class TestCeilings:
    def test_the_oldest_go(self, daemon, stage, receiver):
        receiver.status = 503
        one = stage(receiver.url)
        runs = one.run(60)
        wait_for(lambda: len(one.rows()) == 60, 60, "all deliveries")
        dropped = one.rows(state="DROPPED")
        assert 20 <= len(dropped) <= 40 and len(one.rows(state="PENDING")) <= 40  # 20 in each of two shards
        wait_for(lambda: one.health()["dropped"] == len(dropped), 60, "the count")
        shown = daemon.get(f"{V1}/deliveries/{dropped[0]['id']}")
        assert "body" not in shown and "wait" in shown["error"]
        daemon.post(f"{V1}/deliveries/{dropped[0]['id']}:redeliver", expect=400)
        assert daemon.metric('rondo_webhook_deliveries_total{result="dropped"}') >= len(dropped)
        kept = {r["run_id"] for r in one.rows(state="PENDING")}
        receiver.status = 200
        daemon.move_clock(9000)
        one.wait_rows(len(kept), state="DELIVERED")
        assert {e["data"]["run_id"] for e in receiver.events()} == kept and len(set(runs)) == 60
        daemon.move_clock(0)


class TestIsolation:
    def test_receivers_that_hang_or_refuse_cost_the_others_nothing(self, daemon, stage, receiver):
        with Receiver() as hanging:
            hanging.hold()
            bad = [stage(f"http://127.0.0.1:{hanging.port}/{n}") for n in range(20)]
            bad += [stage(CLOSED) for n in range(20)]
            good = stage(receiver.url)
            for one in bad:
                one.run()
            good.run(30)
            receiver.wait_events(30, "run.finished")
            good.wait_rows(30, state="DELIVERED")
            assert all(r["attempts"] == 1 for r in good.rows())
            hanging.release()

    def test_rate(self, daemon, stage, receiver):
        one = stage(receiver.url, max_per_second=5, max_in_flight=1)
        one.run(12)
        one.wait_rows(12, state="DELIVERED")
        times = [r["time"] for r in receiver.requests]
        assert times[11] - times[0] > 1.0  # five at once, then one each fifth of a second


def test_every_event_arrives_although_the_daemon_dies(tmp_path):
    """200 runs, 1,000 deliveries, deaths in between: each id at least once, the same bytes each time."""
    with Receiver() as receiver:
        daemon = Daemon(settings={"executor": "noop", "webhook_allow": "127.0.0.1", "webhook_timeout": "2s"})
        try:
            daemon.start()
            daemon.post(f"{V1}/subscriptions", {"url": receiver.url, "events": ["run.*", "task.*"]})
            runs = 0
            for batch in range(8):
                for _ in range(25):
                    daemon.create_run(shell_spec(), f"r{runs}")
                    runs += 1
                wait_for(lambda n=batch: receiver.arrived >= 60 * n, 60, "some of them")
                daemon.process.send_signal(signal.SIGKILL)
                daemon.process.wait()
                daemon.kill9()
                daemon.start()
            wait_for(lambda: len({r["headers"]["webhook-id"] for r in list(receiver.requests)}) == 5 * runs, 120, "all ids")
            wait_for(lambda: daemon.metric("rondo_webhook_deliveries_pending") == 0, 120, "the end")
            bodies = {}
            for request in receiver.requests:
                bodies.setdefault(request["headers"]["webhook-id"], set()).add(request["body"])
            assert len(bodies) == 5 * runs and all(len(b) == 1 for b in bodies.values())
            daemon.stop()
        finally:
            with contextlib.suppress(Exception):
                daemon.kill9()
            daemon.remove()
