# SPDX-License-Identifier: Apache-2.0
"""Going on after a death, limits and catching up, ending a run, and times in parameters."""

import datetime
import json
import os
import pathlib
import signal
import time

import pytest

from journal import Journal, check_slots, leftovers, record, runs_of
from rondo_testing import Daemon, is_alive, wait_for

US = 1_000_000
HOUR_US = 3600 * US


@pytest.fixture
def daemon():
    one = Daemon()
    try:
        yield one.start()
    except BaseException:
        one.print_log()
        raise
    finally:
        one.kill9()
        one.remove()


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path / "journal")


def socket_of(daemon):
    return daemon.data / "redis" / "redis.sock"


def add_recurring(daemon, spec, trigger, **fields):
    """Its id."""
    name = f"p{time.time_ns()}"
    pipeline = daemon.upload(json.dumps(spec), name)["pipeline_id"]
    return daemon.post("/apis/v2beta1/recurringruns", {
        "display_name": name, "max_concurrency": "10", "mode": "ENABLE", "no_catchup": False,
        "pipeline_version_reference": {"pipeline_id": pipeline}, "trigger": trigger,
        **fields})["recurring_run_id"]


def iso(seconds):
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def shift(daemon, us):
    daemon.post("/internal/testing/clock", {"shift_us": us})


def wait_began(journal, run, task="step-1", times=1):
    wait_for(lambda: journal.counts("begin")[(run, task)] >= times, 60, f"{task} of {run} to begin")


def wait_calm(daemon):
    wait_for(lambda: not [key for key in leftovers(socket_of(daemon)) if "events" not in key], 60,
             "the end of all runs")


def wait_canceled(daemon, run):
    wait_for(lambda: record(socket_of(daemon), "run", run)["state"] == "CANCELED", 60, "the end")


def state_and_parent(pid):
    """Both empty once the process is gone."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[:2]
    except OSError:
        return "", ""


def parent_of(pid):
    return int(state_and_parent(pid)[1])


def children_of(pid):
    return [int(entry.name) for entry in pathlib.Path("/proc").iterdir()
            if entry.name.isdigit() and is_alive(entry.name) and state_and_parent(entry.name)[1] == str(pid)]


# -- death while a step runs --


def test_step_is_adopted(daemon, journal, tmp_path):
    """It runs on without its daemon; the next one takes its result."""
    gate = tmp_path / "gate"
    run = daemon.create_run(journal.spec(gate=gate))["run_id"]
    wait_began(journal, run)
    daemon.restart(kill=True)
    gate.touch()
    daemon.wait_run(run)
    for task in ("step-1", "step-2"):
        assert journal.counts("begin")[(run, task)] == journal.counts("end")[(run, task)] == 1
    assert {task["tries"] for path, task in daemon.tasks(run).items() if path} == {1}
    daemon.stop()


def test_step_ends_meanwhile(daemon, journal, tmp_path):
    """It ended while no daemon was there."""
    gate = tmp_path / "gate"
    run = daemon.create_run(journal.spec(gate=gate))["run_id"]
    wait_began(journal, run)
    daemon.kill9()
    gate.touch()
    wait_for(lambda: journal.counts("end")[(run, "step-1")] == 1, 60, "the end of the step")
    daemon.start()
    daemon.wait_run(run)
    assert journal.counts("begin") == journal.counts("end") == {(run, "step-1"): 1, (run, "step-2"): 1}
    daemon.stop()


def test_lost_step_is_tried_again(daemon, journal, tmp_path):
    """Daemon and launcher die: the program that they left is ended before another one starts."""
    gate = tmp_path / "gate"
    run = daemon.create_run(journal.spec(gate=gate))["run_id"]
    wait_began(journal, run)
    (pid,) = journal.pids(run, "step-1")
    launcher = parent_of(pid)
    daemon.kill9()
    os.kill(launcher, signal.SIGKILL)
    daemon.start()
    wait_began(journal, run, times=2)
    gate.touch()
    daemon.wait_run(run)
    assert journal.counts("begin") == {(run, "step-1"): 2, (run, "step-2"): 1}
    assert journal.counts("double") == {}
    assert journal.counts("end") == {(run, "step-1"): 1, (run, "step-2"): 1}
    step = daemon.tasks(run)["step-1"]
    assert (step["tries"], step["attempt"], step["lost"]) == (2, 1, 1)
    daemon.stop()


def test_orderly_restart_keeps_steps(daemon, journal, tmp_path):
    gate = tmp_path / "gate"
    run = daemon.create_run(journal.spec(gate=gate))["run_id"]
    wait_began(journal, run)
    daemon.restart()
    gate.touch()
    daemon.wait_run(run)
    assert journal.counts("begin") == {(run, "step-1"): 1, (run, "step-2"): 1}
    daemon.stop()


@pytest.mark.parametrize("deaths", [5])
def test_many_deaths(daemon, journal, deaths):
    """Killed again and again while a schedule runs, every slot still leads to one run."""
    start_s = int(time.time()) + 1
    slots = 2 * deaths
    recurring = add_recurring(daemon, journal.spec(seconds=0.3), {"periodic_schedule": {
        "interval_second": "1", "start_time": iso(start_s), "end_time": iso(start_s + slots)}})
    for number in range(deaths):
        want = 2 * number + 1
        wait_for(lambda: len(runs_of(socket_of(daemon), recurring)) >= want, 60, f"{want} firings")
        daemon.restart(kill=True)
    wait_for(lambda: record(socket_of(daemon), "rr", recurring)["next_us"] == "0", 60, "the last slot")
    wait_calm(daemon)
    runs = runs_of(socket_of(daemon), recurring)
    check_slots(runs, [(start_s + 1 + n) * US for n in range(slots)])
    assert {run["state"] for run in runs} == {"SUCCEEDED"}
    want = {(run["doc"]["id"], f"step-{n}"): 1 for run in runs for n in (1, 2)}
    assert journal.counts("begin") == journal.counts("end") == want
    daemon.stop()


# -- ending a run --


def test_terminate_kills_the_group(daemon, journal):
    """All processes of the step go, also those that the program started."""
    run = daemon.create_run(journal.spec(seconds=600))["run_id"]
    wait_began(journal, run)
    (pid,) = journal.pids(run, "step-1")
    group = os.getpgid(pid)
    launcher = parent_of(pid)
    children = wait_for(lambda: children_of(pid), 60, "a program that the step waits in")
    daemon.post(f"/apis/v2beta1/runs/{run}:terminate")
    wait_canceled(daemon, run)
    for one in [pid, launcher, *children]:
        wait_for(lambda: not is_alive(one), 60, f"the end of process {one}")
    with pytest.raises(ProcessLookupError):
        os.killpg(group, 0)
    assert journal.counts("begin") == {(run, "step-1"): 1}
    daemon.stop()


def test_terminate_survives_death(daemon, journal):
    run = daemon.create_run(journal.spec(seconds=600))["run_id"]
    wait_began(journal, run)
    (pid,) = journal.pids(run, "step-1")
    daemon.post(f"/apis/v2beta1/runs/{run}:terminate")
    daemon.restart(kill=True)
    wait_canceled(daemon, run)
    wait_for(lambda: not is_alive(pid), 60, "the end of the step")
    assert journal.counts("begin") == {(run, "step-1"): 1}
    daemon.stop()


# -- limits and what was missed --


def test_max_concurrency_waits(daemon, journal, tmp_path):
    """A slot waits while as many runs as allowed are under way, also over a death."""
    gate = tmp_path / "gate"
    spec = journal.spec(gate=gate)
    start_s = int(time.time()) + 1
    recurring = add_recurring(daemon, spec, {"periodic_schedule": {
        "interval_second": "1", "start_time": iso(start_s), "end_time": iso(start_s + 5)}},
        max_concurrency="2")

    def waits():
        return record(socket_of(daemon), "rr", recurring).get("waiting") == "1"
    wait_for(waits, 60, "the third slot to wait")
    assert daemon.metric('rondo_ticks_total{outcome="waiting"}') == 1
    assert len(runs_of(socket_of(daemon), recurring)) == 2
    daemon.restart(kill=True)
    assert waits() and len(runs_of(socket_of(daemon), recurring)) == 2
    gate.touch()
    wait_for(lambda: record(socket_of(daemon), "rr", recurring)["next_us"] == "0", 60, "the last slot")
    wait_calm(daemon)
    runs = runs_of(socket_of(daemon), recurring)
    check_slots(runs, [(start_s + 1 + n) * US for n in range(5)])
    assert {run["state"] for run in runs} == {"SUCCEEDED"}
    # Never more than two at a time: between the begin and the end of a run two others at most.
    open_runs = set()
    for line in journal.lines():
        word, run, task, _ = line.split()
        if word == "begin" and task == "step-1":
            open_runs.add(run)
        if word == "end" and task == "step-2":
            open_runs.discard(run)
        assert len(open_runs) <= 2, journal.lines()
    daemon.stop()


@pytest.mark.parametrize("no_catchup", [False, True])
@pytest.mark.parametrize("kind", ["cron", "interval"])
def test_catching_up(daemon, journal, kind, no_catchup):
    """Five hours pass while the daemon is away: each hour is made good, or only the last."""
    trigger = ({"cron_schedule": {"cron": "0 0 * * * *"}} if kind == "cron"
               else {"periodic_schedule": {"interval_second": "3600"}})
    recurring = add_recurring(daemon, journal.spec(), trigger, no_catchup=no_catchup)
    first = int(record(socket_of(daemon), "rr", recurring)["next_us"])
    daemon.restart()
    # The clock starts unmoved; what counts is that five slots lie behind it after one step.
    shift_us = first + 4 * HOUR_US + 60 * US - time.time_ns() // 1000
    shift(daemon, shift_us)
    wait_for(lambda: len(runs_of(socket_of(daemon), recurring)) >= (1 if no_catchup else 5), 60,
             "the missed slots")
    wait_calm(daemon)
    runs = runs_of(socket_of(daemon), recurring)
    slots = [int(run["scheduled_us"]) for run in runs]
    following = int(record(socket_of(daemon), "rr", recurring)["next_us"])
    if no_catchup and kind == "interval":
        assert len(slots) == 1 and first + 4 * HOUR_US <= slots[0] < first + 5 * HOUR_US
        assert following == slots[0] + HOUR_US, "the phase moves, as KFP's"
    else:
        check_slots(runs, [first + 4 * HOUR_US] if no_catchup else
                    [first + n * HOUR_US for n in range(5)])
        assert following == first + 5 * HOUR_US
    daemon.stop()


# -- times in parameters --


def test_macros(daemon, journal):
    """They expand in every run; the scheduled time is the slot's, however late it fires."""
    note = ["scheduled", "formatted", "index", "uuid", "plain"]
    start_s = int(time.time()) + 1
    recurring = add_recurring(
        daemon, journal.spec(tasks=1, note=note),
        {"periodic_schedule": {"interval_second": "1", "start_time": iso(start_s),
                               "end_time": iso(start_s + 3)}},
        runtime_config={"parameters": {
            "scheduled": "[[ScheduledTime]]", "formatted": "at [[ScheduledTime.2006-01-02 15:04:05]]!",
            "index": "[[Index]]", "uuid": "[[RunUUID]]", "plain": "[not] [[a macro]]"}})
    wait_for(lambda: record(socket_of(daemon), "rr", recurring)["next_us"] == "0", 60, "the last slot")
    wait_calm(daemon)
    runs = runs_of(socket_of(daemon), recurring)
    assert len(runs) == 3
    for number, run in enumerate(runs, 1):
        ident = run["doc"]["id"]
        slot = datetime.datetime.fromtimestamp(start_s + number, datetime.timezone.utc)
        assert journal.notes()[ident] == [
            slot.strftime("%Y%m%d%H%M%S"), slot.strftime("at %Y-%m-%d %H:%M:%S!"), str(number), ident,
            "[not] [[a macro]]"]
        view = daemon.run(ident)
        assert view["scheduled_at"] == iso(start_s + number)
        assert view["recurring_run_id"] == recurring
        assert view["created_at"] >= view["scheduled_at"]
    daemon.stop()


def test_macros_of_late_runs(daemon, journal):
    """What is caught up has the time of its slot, not of its start."""
    recurring = add_recurring(
        daemon, journal.spec(tasks=1, note=["scheduled"]), {"cron_schedule": {"cron": "0 0 0 * * *"}},
        runtime_config={"parameters": {"scheduled": "[[ScheduledTime.2006-01-02T15:04:05Z]]"}})
    first = int(record(socket_of(daemon), "rr", recurring)["next_us"])
    shift(daemon, first + 2 * 24 * HOUR_US + 5 * HOUR_US - time.time_ns() // 1000)
    wait_for(lambda: len(runs_of(socket_of(daemon), recurring)) == 3, 60, "three slots")
    wait_calm(daemon)
    for number, run in enumerate(runs_of(socket_of(daemon), recurring)):
        slot = iso(first // US + number * 86400)
        assert journal.notes()[run["doc"]["id"]] == [slot]
        assert daemon.run(run["doc"]["id"])["scheduled_at"] == slot
    daemon.stop()
