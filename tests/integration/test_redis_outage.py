# SPDX-License-Identifier: Apache-2.0
"""Redis goes away and comes back, or stalls, in the middle of a busy schedule."""

import json
import time

import pytest
import requests

from journal import check_slots, leftovers, redis_cli, runs_of
from rondo_testing import Daemon, Redis, shell_spec, wait_for

CATCHING_UP = 20
SKIPPING = 5
OUTAGE_S = 10
STALL_S = 2  # after what was asked meanwhile has waited for --redis-timeout
US = 1_000_000


def busy_daemon(redis, **settings):
    return Daemon(redis=redis.url, settings={"executor": "noop", **settings})


@pytest.fixture
def redis():
    with Redis() as one:
        yield one


@pytest.fixture
def daemon(redis):
    one = busy_daemon(redis)
    try:
        yield one.start()
    except BaseException:
        one.print_log()
        raise
    finally:
        one.kill9()
        one.remove()


class Schedule:
    """Recurring runs, each due once a second: some catch up on what they miss, some do not."""

    def __init__(self, daemon):
        self.spec = shell_spec("true")
        self.pipeline = daemon.post("/apis/v2beta1/pipelines", {"display_name": "busy"})["pipeline_id"]
        self.version = daemon.upload_version(
            self.pipeline, json.dumps(self.spec), "v1")["pipeline_version_id"]
        self.complete = [self._add(daemon, n, False) for n in range(CATCHING_UP)]
        self.skipping = [self._add(daemon, n, True) for n in range(SKIPPING)]

    def _add(self, daemon, number, no_catchup):
        trigger = ({"cron_schedule": {"cron": "* * * * * *"}} if number % 2 else
                   {"periodic_schedule": {"interval_second": "1"}})
        # Those that follow the newest version ask for it before they fire.
        source = {"pipeline_id": self.pipeline}
        if number % 3:
            source["pipeline_version_id"] = self.version
        return daemon.post("/apis/v2beta1/recurringruns", {
            "display_name": f"{'skipping' if no_catchup else 'complete'}-{number}",
            "max_concurrency": "10", "mode": "ENABLE", "no_catchup": no_catchup,
            "pipeline_version_reference": source, "trigger": trigger})["recurring_run_id"]

    def fired(self, redis):
        """The lowest number of firings of any of them."""
        return min(len(runs_of(redis.socket, one)) for one in self.complete + self.skipping)

    def wait_fired(self, redis, more):
        target = self.fired(redis) + more
        wait_for(lambda: self.fired(redis) >= target, 60, f"{target} firings of each", step=0.2)

    def wait_caught_up(self, redis):
        def is_level():
            now_us = time.time_ns() // 1000
            return all(now_us - int(runs_of(redis.socket, one)[-1]["scheduled_us"]) < 3 * US
                       for one in self.complete)
        wait_for(is_level, 60, "the end of the catching up", step=0.3)

    def stop(self, daemon, redis):
        for one in self.complete + self.skipping:
            daemon.post(f"/apis/v2beta1/recurringruns/{one}:disable")
        wait_for(lambda: not leftovers(redis.socket), 60, "the end of all runs", step=0.2)

    def check(self, redis):
        for one in self.complete:
            runs = runs_of(redis.socket, one)
            first = int(runs[0]["scheduled_us"])
            check_slots(runs, [first + n * US for n in range(len(runs))])
        for one in self.skipping:
            runs = runs_of(redis.socket, one)
            slots = [int(run["scheduled_us"]) for run in runs]
            check_slots(runs, sorted(set(slots)))
            assert max(b - a for a, b in zip(slots, slots[1:])) > US, "it was to skip what it missed"
        for one in self.complete + self.skipping:
            assert {run["state"] for run in runs_of(redis.socket, one)} == {"SUCCEEDED"}


def check_waiting(daemon):
    """What everybody is told while Redis is away."""
    def tells():
        answer = requests.get(daemon.url + "/readyz", timeout=60)
        return answer.status_code == 503 and answer.json()
    told = wait_for(tells, 60, "/readyz telling of the outage")
    assert told["status"] == "waiting" and "Redis" in told["waits_for"], told
    daemon.call("GET", "/healthz")
    for path in ("/apis/v2beta1/runs", "/apis/v2beta1/recurringruns", "/apis/v2beta1/experiments"):
        answer = daemon.call("GET", path, 503)
        assert answer.headers["Retry-After"]
        assert "edis" in answer.json()["message"], answer.text


def test_killed_and_started_again(daemon, redis):
    schedule = Schedule(daemon)
    schedule.wait_fired(redis, 2)
    redis.kill9()
    check_waiting(daemon)
    daemon.call("POST", "/apis/v2beta1/runs", 503, json={
        "display_name": "meanwhile", "pipeline_spec": schedule.spec})
    time.sleep(OUTAGE_S)
    wait_for(lambda: "waiting for redis" in daemon.log(), what="the complaint")
    redis.start()
    daemon.wait_ready()
    schedule.wait_fired(redis, 2)
    schedule.wait_caught_up(redis)
    schedule.stop(daemon, redis)
    schedule.check(redis)
    assert "redis is back" in daemon.log()
    daemon.stop()


def test_stalls(daemon, redis):
    """What was sent is carried out when Redis goes on, although nobody waits for it any more."""
    schedule = Schedule(daemon)
    schedule.wait_fired(redis, 2)
    for _ in range(2):
        redis.pause()
        try:
            time.sleep(0.5)
            daemon.call("POST", "/apis/v2beta1/runs", 503, json={
                "display_name": "meanwhile", "pipeline_spec": schedule.spec})
            check_waiting(daemon)
            time.sleep(STALL_S)
        finally:
            redis.resume()
        daemon.wait_ready()
        schedule.wait_fired(redis, 2)
    schedule.wait_caught_up(redis)
    schedule.stop(daemon, redis)
    schedule.check(redis)
    for run in daemon.get("/apis/v2beta1/runs", page_size=200).get("runs", []):
        assert run["state"] == "SUCCEEDED", run
    daemon.stop()


def test_starts_before_redis(redis):
    """Order of starting does not matter: the daemon says what it waits for, and goes on."""
    redis.stop()
    daemon = busy_daemon(redis)
    try:
        daemon.start(ready=False)
        check_waiting(daemon)
        redis.start()
        daemon.wait_ready()
        daemon.wait_run(daemon.create_run(shell_spec("true"))["run_id"])
        instance = (daemon.data / "instance").read_text().strip()
        wait_for(lambda: redis_cli(redis.socket, "GET", "rondo:{00}:owner") == instance, what="the first shard")
        daemon.stop()
    finally:
        daemon.kill9()
        daemon.remove()
