# SPDX-License-Identifier: Apache-2.0
"""Many ticks of one instant: claimed before it, told of together, and each told once."""

import collections
import datetime
import json
import time

from journal import leftovers
from rondo_testing import Daemon, Receiver, Redis, shell_spec, wait_for

COUNT = 400  # of one instant; so all groups together are read in several portions


def due_at(daemon, at_s, count):
    version = daemon.upload(json.dumps(shell_spec("true")), f"many at {at_s}")
    source = daemon.get(f"/apis/v2beta1/pipelines/{version['pipeline_id']}/versions")["pipeline_versions"][0]
    at = datetime.datetime.fromtimestamp(at_s, datetime.timezone.utc)
    return {daemon.post("/apis/v2beta1/recurringruns", {
        "display_name": f"many {number}", "mode": "ENABLE", "max_concurrency": "1",
        "pipeline_version_reference": {key: source[key] for key in ("pipeline_id", "pipeline_version_id")},
        "trigger": {"cron_schedule": {"cron": at.strftime("%S %M %H %d %m *")}}})["recurring_run_id"]
        for number in range(count)}


def due_soon(daemon, count):
    """An instant, and what has been made due at it before it came."""
    for slack_s in (4, 15, 60):  # this machine may be slow
        at_s = int(time.time()) + slack_s
        rrs = due_at(daemon, at_s, count)
        if time.time() < at_s:
            return at_s, rrs
    raise AssertionError(f"making {count} recurring runs takes more than a minute")


def claimed_ahead(daemon, redis):
    """The same, and all of it has been claimed before."""
    for slack_s in (6, 20, 60):
        began = time.monotonic()
        due_at(daemon, int(time.time()) + 86400, 40)  # how long creating takes here
        at_s = int(time.time() + slack_s + (time.monotonic() - began) / 40 * COUNT * 1.5)
        rrs = due_at(daemon, at_s, COUNT)
        wait_for(lambda: hidden(redis) == COUNT or time.time() > at_s, at_s - time.time() + 10, "the instant")
        if hidden(redis) == COUNT and time.time() < at_s:
            return at_s, rrs
        wait_for(lambda: not leftovers(redis.socket), 120, "everything to be done")
    raise AssertionError("never were all claimed before their instant")


def told_of(receiver, rrs):
    return [e for e in receiver.events("recurring_run.fired") if e["data"]["recurring_run_id"] in rrs]


def check_told(receiver, rrs, at_s):
    ids, told = collections.defaultdict(set), collections.defaultdict(set)
    for event in told_of(receiver, rrs):
        data = event["data"]
        told[data["recurring_run_id"]].add(data["run_id"])
        ids[data["run_id"]].add(json.dumps(event, sort_keys=True))
        assert data["scheduled_us"] == at_s * 1_000_000
        assert data["run_name"] == f"{data['recurring_run_name']}-1" and data["index"] == 1
    assert set(told) == rrs
    assert {len(runs) for runs in told.values()} == {1}, "one run of each"
    assert {len(texts) for texts in ids.values()} == {1}, "and the same bytes each time"


def hidden(redis):
    return int(redis.command("EVAL", """
        local n = 0
        for _, key in ipairs(redis.call('KEYS', 'rondo:{*}:ahead:*:undo')) do
            n = n + redis.call('HLEN', key)
        end
        return n""", "0"))


def test_a_group_is_told_of_once_each(tmp_path):
    """The daemon is killed when all is claimed and when a part has been told."""
    with Redis() as redis, Receiver() as receiver, \
            Daemon("--executor", "noop", redis=redis.url, settings={"webhook_allow": "127.0.0.1"}) as daemon:
        daemon.post("/apis/rondo/v1/subscriptions", {"url": receiver.url, "events": ["recurring_run.fired"]})
        at_s, rrs = claimed_ahead(daemon, redis)
        daemon.kill9()
        assert time.time() > at_s or not told_of(receiver, rrs)
        daemon.start()
        wait_for(lambda: len(told_of(receiver, rrs)) > COUNT // 4, 60, "some events")
        daemon.kill9()
        daemon.start()
        wait_for(lambda: not leftovers(redis.socket), 60, "everything to be done")
        check_told(receiver, rrs, at_s)


def test_nobody_subscribed(tmp_path):
    """What is for nobody is not kept; who subscribes later is told of what comes then."""
    with Redis() as redis, Receiver() as receiver, \
            Daemon("--executor", "noop", redis=redis.url, settings={"webhook_allow": "127.0.0.1"}) as daemon:
        at_s, _ = due_soon(daemon, 20)
        wait_for(lambda: time.time() > at_s and not leftovers(redis.socket), 60, "everything to be done")
        assert int(redis.command("EVAL", "return #redis.call('KEYS', 'rondo:{*}:told*')", "0")) == 0
        daemon.post("/apis/rondo/v1/subscriptions", {"url": receiver.url, "events": ["recurring_run.fired"]})
        at_s, rrs = due_soon(daemon, 20)
        wait_for(lambda: time.time() > at_s and not leftovers(redis.socket), 60, "everything to be done")
        check_told(receiver, rrs, at_s)
