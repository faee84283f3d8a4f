# SPDX-License-Identifier: Apache-2.0
"""What a fire costs Redis, in calls and bytes: neither depends on the machine, so growth is seen here before a
benchmark tells of it."""

import collections
import json
import math
import pathlib
import sys
import time

import rondo_testing as rt

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "bench" / "tick60"))
import judge  # noqa: E402

COUNT, SECONDS = 200, 5
# For a run from its tick to its end (noop executor, one step); measured: 36 to 42 calls of commands, of which
# scripts make most, and 6,900 bytes of the append-only file.
CALLS_MAX, BYTES_MAX = 55, 8500
# A claim and a reveal for each shard are shared by all that fire at an instant; births and saves are not.
SCRIPTS_MAX = 6


def counters(redis):
    found = collections.Counter()
    for line in redis.command("INFO", "everything").splitlines():
        name, _, value = line.partition(":")
        if name in ("total_commands_processed", "aof_current_size"):
            found[name] = int(value)
        elif name in ("cmdstat_evalsha", "cmdstat_eval"):
            found["scripts"] += int(value.split(",")[0].partition("=")[2])
    return found


def test_cost_of_a_fire():
    with rt.Redis() as redis, rt.Daemon("--executor", "noop", "--history-max-runs", "0", redis=redis.url) as daemon:
        version = daemon.upload(json.dumps(rt.shell_spec("true")), "bench")
        source = daemon.get(f"/apis/v2beta1/pipelines/{version['pipeline_id']}/versions")["pipeline_versions"][0]
        for number in range(COUNT):
            daemon.post("/apis/v2beta1/recurringruns", {
                "display_name": f"bench {number}", "mode": "ENABLE", "max_concurrency": "10",
                "pipeline_version_reference": {key: source[key] for key in ("pipeline_id", "pipeline_version_id")},
                "trigger": {"cron_schedule": {"cron": "* * * * * *"}}})
        start = math.ceil(time.time()) + 1
        court = judge.Judge(COUNT, range(start * 1000, (start + SECONDS) * 1000, 1000))
        rows = judge.AofRows(redis, judge.RondoRows())
        rt.wait_for(lambda: time.time() > start - 0.2, what="the first second")
        first = counters(redis)

        def all_fired():
            court.take(rows.poll())
            return court.lost == 0
        rt.wait_for(all_fired, 60, "all fires")
        last = counters(redis)
        assert court.doubled == 0
        each = {name: (last[name] - first[name]) / (COUNT * SECONDS) for name in
                ("total_commands_processed", "aof_current_size", "scripts")}
        print(each)
        assert each["total_commands_processed"] <= CALLS_MAX
        assert each["aof_current_size"] <= BYTES_MAX
        assert each["scripts"] <= SCRIPTS_MAX
