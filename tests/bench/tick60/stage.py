# SPDX-License-Identifier: Apache-2.0
"""One measurement: a system with its schedules is set up, fires, and is counted."""

import math
import time

import judge
import systems
from lab import Lab, Unfit
from systems import Load


class Stage:
    """A system with its schedules, ready to fire."""

    def __init__(self, system, lab, load, patience, alone=True):
        if (load.n + load.idle) / system.create_rate > patience:
            raise Unfit(f"creating {load.n + load.idle:,} schedules takes more than {patience} s")
        self.system, self.lab, self.load = system(lab), lab, load
        self.system.alone = alone
        try:
            self.system.prepare(load, 2 * patience)
            self.system.start(load, 2 * patience)
        except BaseException:
            self.system.stop()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.system.stop()

    def counters(self):
        return {"at": time.monotonic(), "cpu": self.system.cpu_s(),
                "redis_cpu": systems.bench.cpu_s(self.lab.redis.process.pid), **self.lab.redis.numbers()}

    def alive(self):
        if any(process.poll() is not None for process in self.system.processes):
            raise Unfit("it ended by itself")


def wait_until(instant):
    time.sleep(max(0, instant - time.time()))


def collect(source, court, patience, limit):
    """Take rows until all have come, none has come for so long, or the limit is reached (s). To read what is there
    already takes time of its own; what is handed over after the limit does not count, however late it is read."""
    there, court.until_us = source.size(), (time.time() + limit) * 1_000_000
    last = began = time.monotonic()
    while court.lost and time.monotonic() < min(last + patience, began + limit):
        had = court.received
        rows = source.poll()
        court.take(rows)
        if source.is_behind and source.at < there:
            last = began = time.monotonic()
            continue
        if court.received > had:
            last = time.monotonic()
        if not rows:
            time.sleep(0.25)
    court.take(source.poll())


def figures(court, end, first, last, system):
    """`end`: when the second counters were taken; what came later counts for lateness only."""
    took = last["at"] - first["at"]
    fires = court.received_by(end * 1_000_000)
    each = fires if fires >= court.expected / 100 else math.inf  # too few to be divided by
    return {
        "expected": court.expected, "lost": court.lost, "doubled": court.doubled,
        "rate": fires / took, **court.late_ms(),
        "cpu": (last["cpu"] - first["cpu"]) / took, "redis_cpu": (last["redis_cpu"] - first["redis_cpu"]) / took,
        "rss": system.peak(), "redis_memory": last["used_memory"],
        "commands": (last["total_commands_processed"] - first["total_commands_processed"]) / each,
        "bytes": (last["aof_current_size"] - first["aof_current_size"]) / each,
    }


def every_second(system, load, args):
    """N due each second, measured for some seconds after a warm-up."""
    with Lab(load.fsync) as lab, Stage(system, lab, load, args.patience) as stage:
        if load.edits:
            stage.system.begin_edits()
        start = math.ceil(time.time() + args.warm_up)
        court = judge.Judge(load.n, range(start * 1000, (start + args.seconds) * 1000, 1000))
        wait_until(start - 0.2)
        stage.alive()
        source = stage.system.rows()
        source.skip()
        first = stage.counters()
        wait_until(start + args.seconds - 0.2)
        last = stage.counters()
        note = stage.system.note()
        collect(source, court, 3, args.drain)
        stage.alive()
        return {**figures(court, start + args.seconds - 0.2, first, last, stage.system), "note": note}


def burst(system, count, args):
    """All due at one instant, then silence."""
    lead = 8 + count / system.create_rate
    for _ in range(2):
        at = math.ceil(time.time() + lead)
        with Lab() as lab, Stage(system, lab, Load(count, at_ms=at * 1000), args.patience) as stage:
            if time.time() > at - 0.5:
                lead *= 2
                continue
            court = judge.Judge(count, range(at * 1000, at * 1000 + 1000, 1000))
            wait_until(at - 0.3)
            first = stage.counters()
            wait_until(at + 2)
            collect(stage.system.rows(), court, args.drain, 10 * args.drain)
            found = figures(court, math.inf, first, stage.counters(), stage.system)
            found["rate"] = court.received / max(found.get("max", 0) / 1000, 0.001)
            return found
    raise Unfit(f"{count:,} schedules were not there in {lead / 2:.0f} s")
