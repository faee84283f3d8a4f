# SPDX-License-Identifier: Apache-2.0
"""The judge of tests/bench/tick60: what rondo writes for a fire is found in Redis's file, and counted once."""

import pathlib
import sys

import pytest
import rondo_testing as rt

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "bench" / "tick60"))
import judge  # noqa: E402


def test_fires_of_rondo_are_found_once_each():
    with rt.Redis() as redis, rt.Daemon("--executor", "noop", redis=redis.url) as daemon:
        source = judge.AofRows(redis, judge.RondoRows())
        for number in range(3):
            daemon.post("/apis/v2beta1/recurringruns", {
                "display_name": f"bench {number}", "mode": "ENABLE", "max_concurrency": "10",
                "pipeline_spec": rt.shell_spec(), "trigger": {"cron_schedule": {"cron": "* * * * * *"}}})
        rows = []

        def fired_often():
            rows.extend(source.poll())
            return min(sum(1 for row in rows if row[0] == number) for number in range(3)) >= 3

        rt.wait_for(fired_often, what="three fires of each")
    first = max(min(nominal for number, nominal, _ in rows if number == n) for n in range(3))
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
