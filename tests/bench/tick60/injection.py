# SPDX-License-Identifier: Apache-2.0
"""What goes wrong on purpose while a system fires, and what became of its ticks."""

import math
import time

import judge
import systems
from lab import Lab, Unfit
from stage import Stage, collect, wait_until
from systems import Load

CUT_S = 10
# fault -> whose clock is stepped, by how much (s)
STEPS = {"clock +2 h": ("all", 7200), "clock -2 h": ("all", -7200),
         "skew +2 h": ("schedulers", 7200), "skew -2 h": ("schedulers", -7200)}
KINDS = ["kill", "redis", "stop", "network", *STEPS]


def keep_up(subject, load, until):
    """Until then a scheduler that ended is started again, as a supervisor would do; how often."""
    restarts = 0
    while time.time() < until:
        if any(process.poll() is not None for process in subject.processes):
            subject.resume(load)
            restarts += 1
        time.sleep(max(0, min(0.5, until - time.time())))
    return restarts


def kill(stage, start, seconds):
    done = 0
    for at in range(2, seconds, 5):
        wait_until(start + at + 0.37 * (done % 3))  # not at the same part of a second each time
        stage.system.kill()
        time.sleep(0.2)
        stage.system.resume(stage.load)
        done += 1
    return done, 0


def redis(stage, start, seconds):
    wait_until(start + 3.4)
    stage.lab.redis.kill()
    time.sleep(1)
    stage.lab.redis.start()
    return 1, keep_up(stage.system, stage.load, start + seconds)


def stop(stage, start, seconds):
    wait_until(start + 1.9)
    systems.send(stage.system.processes[:1], systems.STOP)
    wait_until(start + 11.9)
    systems.send(stage.system.processes[:1], systems.CONTINUE)
    return 1, 0


def network(stage, start, seconds):
    wait_until(start + 2.4)
    stage.lab.network.cut()
    restarts = keep_up(stage.system, stage.load, start + 2.4 + CUT_S)
    stage.lab.network.mend()
    return 1, restarts + keep_up(stage.system, stage.load, start + seconds)


ACTS = {"kill": kill, "redis": redis, "stop": stop, "network": network}
LEAST_S = {"stop": 14, "network": CUT_S + 5}


def counted(system, kind, count, args):
    """Every tick of some seconds is due, whatever goes wrong meanwhile."""
    seconds = max(args.fault_seconds, LEAST_S.get(kind, 0))
    load = Load(count)
    with (Lab(network=kind == "network") as lab,
          Stage(system, lab, load, args.patience, alone=kind != "stop") as stage):
        if kind == "stop":
            stage.system.start(load, 30, "second" if system is systems.Rondo else "resume")
        start = math.ceil(time.time() + args.warm_up)
        court = judge.Judge(count, range(start * 1000, (start + seconds) * 1000, 1000))
        done, restarts = ACTS[kind](stage, start, seconds)
        wait_until(start + seconds + 0.5)
        collect(stage.system.rows(), court, args.drain, 2 * args.drain)
        return {"expected": court.expected, "lost": court.lost, "doubled": court.doubled, **court.late_ms(),
                "count": done, "n": count, "restarts": restarts}


def stepped(system, kind, count, args):
    """The clock goes right, then is two hours off, then goes right again. What is due by the machine's clock in a second
    in which the other one is off is not asked for."""
    each, load, (whose, step) = args.step_seconds, Load(count), STEPS[kind]
    with Lab(stepped=whose) as lab, Stage(system, lab, load, args.patience) as stage:
        start = math.ceil(time.time() + args.warm_up)
        before = range(start * 1000, (start + each) * 1000, 1000)
        after = range((start + 2 * each) * 1000, (start + 3 * each) * 1000, 1000)
        court = judge.SteppedJudge(count, [before, after])
        # In the middle of a second: its ticks have been handed over by then, and the next one's are not due.
        restarts = keep_up(stage.system, load, start + each - 0.5)
        lab.clock.step(step)
        restarts += keep_up(stage.system, load, start + 2 * each - 0.5)
        lab.clock.step(0)
        restarts += keep_up(stage.system, load, start + 3 * each + 0.5)
        collect(stage.system.rows(), court, args.step_drain, 3 * args.step_drain)
        return {"expected": court.expected, "lost": court.lost, "doubled": court.doubled, "n": count,
                "lost_before": court.lost_of(before), "lost_after": court.lost_of(after),
                "early": court.later_than(time.time()), "restarts": restarts}


def faults(system, kind, count, args):
    if kind in system.spared:
        raise Unfit(system.spared[kind])
    return (stepped if kind in STEPS else counted)(system, kind, count, args)
