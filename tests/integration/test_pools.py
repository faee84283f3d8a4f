# SPDX-License-Identifier: Apache-2.0
"""Pools: never one run more than there are slots, over daemons that die; by REST and by the CLI."""

import contextlib
import datetime
import json
import subprocess
import threading

from journal import redis_cli
from rondo_testing import Daemon, Redis, bin_dir, shell_spec, wait_for

POOLS = "/apis/rondo/v1/pools"
RUNS = "/apis/v2beta1/runs"
RECURRING = "/apis/v2beta1/recurringruns"

# Runs of pool `batch` that are in progress by their records, how many of them have no slot, and holders.
OBSERVE = """
local running, bare = 0, 0
for _, key in ipairs(redis.call('KEYS', 'rondo:{*}:run:*')) do
    local id = key:match('run:([%x-]+)$')
    if id then
        local run = redis.call('HMGET', key, 'state', 'started_us', 'doc')
        local is_on = run[1] == 'RUNNING' or (run[1] == 'CANCELING' and run[2])
        if is_on and cjson.decode(run[3]).pool == 'batch' then
            running = running + 1
            bare = bare + (redis.call('ZSCORE', 'rondo:{pools}:held:batch', id) and 0 or 1)
        end
    end
end
return {running, bare, redis.call('ZCARD', 'rondo:{pools}:held:batch')}
"""

STATES = """
local out = {}
for _, key in ipairs(redis.call('KEYS', 'rondo:{*}:run:*')) do
    if key:match('run:[%x-]+$') then
        local state = redis.call('HGET', key, 'state')
        out[state] = (out[state] or 0) + 1
    end
end
return cjson.encode(out)
"""


SPANS = """
local out = {}
for _, key in ipairs(redis.call('KEYS', 'rondo:{*}:run:*')) do
    if key:match('run:[%x-]+$') then
        out[#out + 1] = redis.call('HMGET', key, 'started_us', 'finished_us')
    end
end
return cjson.encode(out)
"""


def most_at_once(redis):
    """How many runs were in progress at one instant. A slot is taken before a run's start is written, and
    given back after its end is."""
    changes = []
    for start, end in json.loads(redis_cli(redis.socket, "EVAL", SPANS, "0")):
        changes += [(int(start), 1), (int(end), -1)]
    now = most = 0
    for _, change in sorted(changes):  # at the same instant ends come first
        now += change
        most = max(most, now)
    return most


class Observer(threading.Thread):
    def __init__(self, redis):
        super().__init__()
        self.redis = redis
        self.seen = []
        self.is_over = False

    def run(self):
        while not self.is_over:
            self.seen.append(tuple(redis_cli(self.redis.socket, "EVAL", OBSERVE, "0")))

    def stop(self):
        self.is_over = True
        self.join()

    def check(self, slots):
        """In no sample more than there are, and none in progress without its slot; by the records, which miss
        no instant, not one more either, and all of them used at some time."""
        print(f"{len(self.seen)} samples")
        assert max(held for _, _, held in self.seen) <= slots
        assert max(running for running, _, _ in self.seen) <= slots
        assert max(bare for _, bare, _ in self.seen) == 0
        assert most_at_once(self.redis) == slots


def ago(seconds):
    at = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=seconds)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def test_never_one_more():
    """Two daemons, one pool, runs from recurring runs and one-off ones, and deaths."""
    settings = {"executor": "local", "lost_retries": "50", "forget_after": "0"}
    with contextlib.ExitStack() as stack:
        redis = stack.enter_context(Redis())
        some = [Daemon(redis=redis.url, settings=settings) for _ in range(2)]
        for one in some:
            stack.callback(one.remove)
            stack.callback(one.kill9)
            one.start()
        some[0].call("PUT", f"{POOLS}/batch", json={"slots": 3})
        spec = shell_spec("sleep 0.02")
        wishes = {"pool": "batch", "priority": 0}
        rrs = [some[0].post(RECURRING, {
            "display_name": f"rr-{n}", "max_concurrency": "10", "mode": "ENABLE", "pipeline_spec": spec,
            "trigger": {"periodic_schedule": {"interval_second": "1", "start_time": ago(30)}},
            "rondo": {"max_fires": 10, **wishes}})["recurring_run_id"] for n in range(3)]
        for n in range(30):
            some[n % 2].create_run(spec, name=f"one-{n}", rondo={**wishes, "priority": n % 3})
        observer = Observer(redis)
        observer.start()

        def ended():
            return json.loads(redis_cli(redis.socket, "EVAL", STATES, "0")).get("SUCCEEDED", 0)
        try:
            for victim, after in ((0, 8), (1, 20), (0, 35)):
                wait_for(lambda: ended() >= after, 60, f"the end of {after} runs", step=0.05)
                some[victim].kill9()
                some[victim].start()
            wait_for(lambda: ended() == 60, 90, "the end of 60 runs", step=0.2)
            wait_for(lambda: redis_cli(redis.socket, "HLEN", "rondo:{pools}:entries") == 0, 60,
                     "all slots to come back", step=0.1)
        except BaseException:
            for one in some:
                one.print_log()
            raise
        finally:
            observer.stop()
        observer.check(3)
        assert all(some[0].get(f"{RECURRING}/{rr}")["rondo"]["pool"] == "batch" for rr in rrs)


def cli(daemon, *args):
    return subprocess.run([bin_dir() / "rondo", "--host", daemon.url, *args], capture_output=True, text=True,
                          check=True).stdout


def test_by_rest():
    with Daemon("--executor=local", "--max-runs=3") as daemon:
        go = daemon.data / "go"
        spec = shell_spec(f"while [ ! -e {go} ]; do sleep 0.05; done")
        assert daemon.get(f"{POOLS}/gpu", 404)
        assert daemon.call("PUT", f"{POOLS}/gpu", json={"slots": 1}).json() == {"name": "gpu", "slots": 1}
        first = daemon.create_run(spec, rondo={"pool": "gpu"})["run_id"]
        wait_for(lambda: daemon.run(first)["state"] == "RUNNING", what="the first one to run")
        file = daemon.data / "spec.json"
        file.write_text(json.dumps(spec))
        low = cli(daemon, "run", str(file), "--pool", "gpu", "--priority", "-1").split()[1]
        rr = daemon.post(RECURRING, {
            "display_name": "often", "max_concurrency": "1", "mode": "ENABLE", "pipeline_spec": spec,
            "trigger": {"periodic_schedule": {"interval_second": "8640000", "start_time": ago(8640000 + 5)}},
            "rondo": {"pool": "gpu", "priority": 2}})["recurring_run_id"]

        def queue():
            return daemon.get(f"{POOLS}/gpu")["queue"]
        wait_for(lambda: len(queue()) == 2, what="two to wait")
        shown = daemon.get(f"{POOLS}/gpu")
        assert [one["run_id"] for one in shown["holders"]] == [first]
        assert (shown["slots"], shown["held"], shown["waiting"]) == (1, 1, 2)
        assert [(one["place"], one["priority"]) for one in queue()] == [(1, 2), (2, -1)]
        assert queue()[0]["recurring_run_id"] == rr and queue()[1]["run_id"] == low
        assert daemon.run(low)["rondo"] == {
            "pool": "gpu", "priority": -1, "waiting_for": {"pool": "gpu", "place": 2}}
        assert daemon.run(low)["state"] == "PENDING"
        assert daemon.metric('rondo_pool_slots{pool="gpu"}') == 1
        assert daemon.metric('rondo_pool_held{pool="default"}') == 1
        assert daemon.metric('rondo_pool_waiting{pool="gpu"}') == 2
        assert daemon.get(POOLS)["pools"] == [
            {"name": "default", "slots": 3, "held": 1, "waiting": 2},
            {"name": "gpu", "slots": 1, "held": 1, "waiting": 2}]

        cli(daemon, "pools", "set", "gpu", "2")
        wait_for(lambda: len(queue()) == 1, what="one more to begin")
        assert daemon.run(low)["rondo"]["waiting_for"]["place"] == 1
        assert low in cli(daemon, "pools", "gpu") and "gpu" in cli(daemon, "pools")
        daemon.patch(f"/apis/rondo/v1/recurringruns/{rr}", {"priority": 5})
        assert daemon.get(f"{RECURRING}/{rr}")["rondo"]["priority"] == 5
        cli(daemon, "pools", "rm", "gpu")
        daemon.get(f"{POOLS}/gpu", 404)
        wait_for(lambda: daemon.run(low)["state"] == "RUNNING", what="the last one to begin")
        last = daemon.create_run(spec)["run_id"]  # the ceiling of all runs
        wait_for(lambda: "rondo" in daemon.run(last), what="it to wait")
        assert daemon.run(last)["rondo"] == {"waiting_for": {"pool": "default", "place": 1}}
        daemon.post(f"{RUNS}/{last}:terminate")
        assert daemon.wait_run(last, "FAILED")["error"]["message"] == "terminated by the user"
        go.touch()
        for run in (first, low):
            daemon.wait_run(run)


def test_bad_wishes():
    with Daemon("--executor=noop") as daemon:
        spec = shell_spec("true")
        for rondo, word in (({"pool": "default"}, "every run is in 'default'"), ({"pool": "A b"}, "no name"),
                            ({"priority": 1001}, "priority"), ({"color": "red"}, "color")):
            assert word in daemon.create_run(spec, expect=400, rondo=rondo)["message"]
            assert word in daemon.post(RECURRING, {
                "display_name": "x", "max_concurrency": "1", "mode": "ENABLE", "pipeline_spec": spec,
                "trigger": {"periodic_schedule": {"interval_second": "1"}}, "rondo": rondo}, 400)["message"]
        for name, body in (("default", {"slots": 1}), ("Big", {"slots": 1}), ("p", {}), ("p", {"slots": -1}),
                           ("p", {"slots": 1, "more": 1}), ("p", {"slots": "many"})):
            daemon.call("PUT", f"{POOLS}/{name}", 400, json=body)
        daemon.delete(f"{POOLS}/p", 404)
        assert daemon.get(RUNS).get("runs", []) == []
