# SPDX-License-Identifier: Apache-2.0
"""tests/bench/tick60: what rondo writes for a fire is found in Redis's file, and counted once; what goes wrong on purpose
does; sections of the page are written apart."""

import os
import pathlib
import socket
import subprocess
import sys
import time

import pytest
import rondo_testing as rt

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "bench" / "tick60"))
import judge  # noqa: E402
import lab  # noqa: E402
import page  # noqa: E402
import stage  # noqa: E402
import systems  # noqa: E402


def test_fires_of_rondo_are_found_once_each():
    with rt.Redis() as redis, rt.Daemon("--executor", "noop", redis=redis.url) as daemon:
        source = judge.AofRows(redis, judge.RondoRows())
        for number in range(3):
            daemon.post("/apis/v2beta1/recurringruns", {
                "display_name": f"bench {number}", "mode": "ENABLE", "max_concurrency": "10",
                "pipeline_spec": rt.shell_spec(), "trigger": {"cron_schedule": {"cron": "* * * * * *"}}})
        rows = []

        def fired_twice_together():
            """The first two instants at which all three exist; None: they have not yet."""
            rows.extend(source.poll())
            seen = [sorted(nominal for number, nominal, _ in rows if number == n) for n in range(3)]
            first = max(instants[0] for instants in seen) if all(seen) else 0
            return first if all({first, first + 1000} <= set(instants) for instants in seen) else None

        first = rt.wait_for(fired_twice_together, what="two fires of each")
    court = judge.Judge(3, range(first, first + 2000, 1000))
    court.take(rows)
    assert (court.expected, court.lost, court.doubled) == (6, 0, 0)
    assert all(late >= 0 for late in court.late_us)
    court.take(rows)
    assert (court.lost, court.doubled) == (0, 6)


def test_lost_doubled_and_late_are_told_apart():
    court = judge.Judge(2, range(10_000, 12_000, 1000))
    court.take([(0, 10_000, 10_005_000), (1, 10_000, 10_007_000), (0, 10_000, 10_009_000),  # doubled
                (0, 11_000, 13_000_000),  # late
                (0, 12_000, 12_000_000), (7, 11_000, 11_000_000), (1, 11_500, 11_500_000)])  # not asked for
    assert (court.expected, court.received, court.lost, court.doubled) == (4, 3, 1, 1)
    assert court.late_ms() == {"p50": 7, "p99": 2000, "p99.9": 2000, "max": 2000}


@pytest.mark.parametrize("cut", [0, 1])
def test_a_claim_counts_as_a_whole(cut):
    """All events of a transaction at the time of its last; one that is not whole does not count yet."""
    def event(number, ms):
        text = (f'{{"id":"x","type":"recurring_run.fired","data":{{"recurring_run_name":"bench {number}",'
                f'"scheduled_us":5000000}}}}')
        return f"*5\r\n$4\r\nXADD\r\n$17\r\nrondo:{{0e}}:events\r\n$15\r\n{ms}-0\r\n$1\r\ne\r\n${len(text)}\r\n{text}\r\n"

    whole = "*1\r\n$5\r\nMULTI\r\n" + event(0, 5001) + event(1, 5003) + "*1\r\n$4\r\nEXEC\r\n"
    rows = list(judge.RondoRows()(whole[:-6 * cut or None].encode()))
    assert rows == ([] if cut else [(0, 5000, 5_004_000), (1, 5000, 5_004_000)])


class Rows:
    """A source that gives these, one poll at a time."""

    is_behind, at = True, 0

    def __init__(self, *polls):
        self.polls = list(polls)

    def size(self):
        return len(self.polls)

    def poll(self):
        self.at += 1
        self.is_behind = len(self.polls) > 1
        return self.polls.pop(0) if self.polls else []


def test_what_is_there_is_read_whole_but_late_ones_do_not_count():
    now_us = time.time_ns() // 1000
    court = judge.Judge(3, range(10_000, 11_000, 1000))
    rows = Rows([(0, 10_000, 10_001_000)], [], [(1, 10_000, now_us)], [(2, 10_000, now_us + 60_000_000)])
    stage.collect(rows, court, 0.01, 0.01)
    assert rows.polls == []
    assert (court.received, court.lost, court.doubled) == (2, 1, 0)


def test_of_stepped_clocks_every_second_counts_for_doubles_and_some_for_losses():
    before, after = range(10_000, 12_000, 1000), range(14_000, 15_000, 1000)
    court = judge.SteppedJudge(2, [before, after])
    two_hours = 7_200_000
    court.take([(0, 10_000, 0), (1, 10_000, 0), (0, 11_000, 0),  # (1, 11_000) is lost
                (0, 12_000, 0),  # not asked for
                (0, 14_000, 0), (1, 14_000, 0),
                (0, 14_000 + two_hours, 0), (0, 14_000 + two_hours, 0),  # too early, and doubled
                (9, 10_000, 0)])  # not one of these
    assert (court.expected, court.lost, court.doubled) == (6, 1, 1)
    assert (court.lost_of(before), court.lost_of(after)) == (1, 0)
    assert court.later_than(15) == 1


def test_a_cut_network_holds_what_is_sent_and_closes_nothing():
    with lab.Lab(network=True) as place, socket.create_connection(("127.0.0.1", place.port), 10) as there:
        there.sendall(b"PING\r\n")
        assert there.recv(64) == b"+PONG\r\n"
        place.network.cut()
        status = pathlib.Path(f"/proc/{place.network.process.pid}/status")
        rt.wait_for(lambda: "State:\tT" in status.read_text(), what="the relay's stop")
        there.sendall(b"SET a 1\r\nGET a\r\n")
        there.settimeout(0)
        with pytest.raises(BlockingIOError):
            there.recv(64)
        assert place.redis.command("EXISTS", "a").strip() == "0"
        place.network.mend()
        there.settimeout(10)
        answer, whole = b"", b"+OK\r\n$1\r\n1\r\n"
        while len(answer) < len(whole):
            answer += there.recv(64)
        assert answer == whole


def test_a_stepped_clock_moves_the_wall_clock_and_no_other(tmp_path, monkeypatch):
    monkeypatch.setattr(lab, "BUILD", tmp_path)
    monkeypatch.setattr(systems, "BUILD", tmp_path)
    systems.install_step()
    clock = lab.Clock(tmp_path)
    tell = "import time\nwhile input(): print(time.time() // 1, time.monotonic(), flush=True)\n"
    with subprocess.Popen([sys.executable, "-c", tell], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                          env={**os.environ, **clock.env}) as process:
        def ask():
            print("?", file=process.stdin, flush=True)
            wall, monotonic = map(float, process.stdout.readline().split())
            return wall - time.time(), monotonic - time.monotonic()

        for step in (0, 7200, -7200, 0):
            clock.step(step)
            wall, monotonic = ask()
            assert abs(wall - step) < 600
            assert abs(monotonic) < 600
        process.communicate("\n")


def made_page(**more):
    """Of a run in which nothing was measured."""
    names = [system.name for system in systems.SYSTEMS]
    meta = {"names": names, "load": 0.2, "versions": {**dict.fromkeys(names, "1"), "Redis": "7"}, "not_obtained": {},
            "durable": dict.fromkeys(names, True), "hands_over": dict.fromkeys(names, "Redis"), "seconds": 4,
            "warm_up": 2, "runs": 1, "drain": 7, "idle": 1, "idle_due": 1, "burst": 1, "churn": 1, "step_seconds": 3,
            "long_seconds": 40, "shapes": ["second", "always", "idle", "burst", "churn", "faults"], "complete": True, **more}
    return {shape: {} for shape in [*meta["shapes"], "second", "burst", "churn", "faults", "always", "idle", "long"]}, meta


def test_a_section_measured_by_itself_leaves_the_others_alone():
    results, meta = made_page()
    written = page.render(results, meta, "")
    assert page.join(*page.split(written)) == written
    assert f"## {page.LONG}\n" not in written
    results, meta = made_page(shapes=["faults", "long"], complete=False)
    results["faults"] = {"rondo": {"kill": {"unfit": "it rained"}}}
    found = page.with_sections(written, results, meta)
    front, sections = page.split(found)
    assert (front, [*sections]) == (page.split(written)[0], [
        "Versions", "N due each second", page.LONG, *[*page.split(written)[1]][2:]])
    assert "it rained" in sections["Faults"]
    assert "Measured by itself" in sections[page.LONG]
    changed = {heading for heading, body in page.split(written)[1].items() if sections[heading] != body}
    assert changed == {"Faults"}
    results, meta = made_page()
    assert page.split(page.render(results, meta, found))[1][page.LONG] == sections[page.LONG]
