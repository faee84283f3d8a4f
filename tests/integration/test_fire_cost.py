# SPDX-License-Identifier: Apache-2.0
"""What a fire costs Redis, in calls and bytes: neither depends on the machine, so growth is seen here before a
benchmark tells of it."""

import collections
import datetime
import json
import math
import pathlib
import sys
import time

import rondo_testing as rt

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "bench" / "tick60"))
import judge  # noqa: E402

COUNT, SECONDS = 200, 5
# For a run from its tick to its end (noop executor, one step). Measured: 50 to 54 calls of commands, of which
# scripts make most, and 7,700 bytes of the append-only file; and 5.7 calls of scripts: a claim and a reveal for
# each shard are shared by all that fire at an instant, births and saves are not.
CEILINGS = {"total_commands_processed": 66, "aof_current_size": 9500, "scripts": 7.2}


def iso(seconds):
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def counters(redis):
    found = collections.Counter()
    for line in redis.command("INFO", "everything").splitlines():
        name, _, value = line.partition(":")
        if name in ("total_commands_processed", "aof_current_size"):
            found[name] = int(value)
        elif name in ("cmdstat_evalsha", "cmdstat_eval"):
            found["scripts"] += int(value.split(",")[0].partition("=")[2])
    return found


def cost_of_a_fire():
    with rt.Redis() as redis, rt.Daemon("--executor", "noop", "--history-max-runs", "0", redis=redis.url) as daemon:
        redis.command("CONFIG", "SET", "auto-aof-rewrite-percentage", "0")
        version = daemon.upload(json.dumps(rt.shell_spec("true")), "bench")
        source = daemon.get(f"/apis/v2beta1/pipelines/{version['pipeline_id']}/versions")["pipeline_versions"][0]
        start = math.ceil(time.time()) + 86400  # while they are made nothing fires, and afterwards nothing more
        for number in range(COUNT):
            daemon.post("/apis/v2beta1/recurringruns", {
                "display_name": f"bench {number}", "mode": "ENABLE", "max_concurrency": "10",
                "pipeline_version_reference": {key: source[key] for key in ("pipeline_id", "pipeline_version_id")},
                "trigger": {"cron_schedule": {
                    "cron": "* * * * * *", "start_time": iso(start - 1), "end_time": iso(start + SECONDS - 1)}}})
        court = judge.Judge(COUNT, range(start * 1000, (start + SECONDS) * 1000, 1000))
        rows = judge.AofRows(redis, judge.RondoRows())
        first = counters(redis)
        daemon.move_clock(start - 4 - time.time())

        def all_ended():
            court.take(rows.poll())
            return court.lost == 0 and daemon.metric("rondo_runs_live") == 0
        rt.wait_for(all_ended, 120, "all fires")
        last = counters(redis)
        assert daemon.metric("rondo_fires_total") == COUNT * SECONDS
        assert court.doubled == 0
        return {name: (last[name] - first[name]) / (COUNT * SECONDS) for name in CEILINGS}


def test_cost_of_a_fire():
    """A machine that is a second behind fires what is late one by one, which costs more: it may try again."""
    def is_cheap(each):
        return all(each[name] <= ceiling for name, ceiling in CEILINGS.items())
    tries = []
    while len(tries) < 3 and not (tries and is_cheap(tries[-1])):
        tries.append(cost_of_a_fire())
        print(tries[-1])
    assert is_cheap(tries[-1]), f"{tries}, of which none is within {CEILINGS}"
