# SPDX-License-Identifier: Apache-2.0
"""Several daemons share the work on one Redis, hand it over, and take it from those that are gone."""

import collections
import contextlib
import datetime
import json
import os
import random
import re
import signal
import subprocess
import tempfile
import time

import pytest

from journal import Journal, leftovers, redis_cli
from rondo_testing import Daemon, Receiver, Redis, bin_dir, is_alive, shell_spec, wait_for
from seen import SEEN_PROGRESS

SHARDS = 16
US = 1_000_000


@pytest.fixture
def redis():
    with Redis() as one:
        yield one


@contextlib.contextmanager
def daemons(redis, count=2, **settings):
    """That many, started one after the other; whatever is left of them at the end goes."""
    settings = {"executor": "noop", **settings}
    made = [Daemon(redis=redis.url, settings=settings) for _ in range(count)]
    try:
        for one in made:
            one.start()
        yield made
    except BaseException:
        for one in made:
            one.print_log()
        raise
    finally:
        for one in made:
            with contextlib.suppress(OSError):
                if one.process is not None:
                    one.process.send_signal(signal.SIGCONT)
            one.kill9()
            one.remove()


def members(daemon):
    return daemon.get("/apis/rondo/v1/daemons")["daemons"]


def held(daemon):
    """Its shards, as it sees them itself."""
    return next(one["shards"] for one in members(daemon) if one["self"])


def wait_shared(*some):
    """Each has its fair share, and together they have everything."""
    def is_shared():
        shares = [held(one) for one in some]
        together = sorted(sum(shares, []))
        return together == list(range(SHARDS)) and max(map(len, shares)) <= -(-SHARDS // len(some))
    wait_for(is_shared, 60, f"{SHARDS} shards shared by {len(some)}")


def shard_of(ident):
    return int(ident[:2], 16) % SHARDS


def owners(redis):
    return [redis.command("GET", f"rondo:{{{n:02x}}}:owner") for n in range(SHARDS)]


# ---- what has fired ----

FIRED = """
local out = {}
for _, key in ipairs(redis.call('KEYS', 'rondo:{*}:rr:*:runs')) do
    local prefix, rr = key:match('^(rondo:{..}:)rr:(.*):runs$')
    for _, id in ipairs(redis.call('ZRANGE', key, 0, -1)) do
        local run = redis.call('HMGET', prefix .. 'run:' .. id, 'scheduled_us', 'created_us', 'state')
        out[#out + 1] = {rr, id, run[1], run[2], run[3]}
    end
end
return #out > 0 and cjson.encode(out) or '[]'
"""

LAST = SEEN_PROGRESS + """
local lowest = math.huge
for _, key in ipairs(KEYS) do
    local prefix, id = key:match('^(.*)rr:(.*)$')
    local last = seen_progress(prefix, id):match('^%d+ %d+ %d+ (%d+)')
    lowest = math.min(lowest, tonumber(last))
end
return string.format('%.0f', lowest)
"""

Fire = collections.namedtuple("Fire", "rr run slot_us created_us state")


def fired(redis):
    rows = json.loads(redis_cli(redis.socket, "EVAL", FIRED, "0"))
    return [Fire(rr, run, int(slot), int(created), state) for rr, run, slot, created, state in rows]


@contextlib.contextmanager
def watched_fires(redis):
    """A list of (Redis's time, slot) in us of each tick that fires, or of all that were claimed ahead of that slot in
    a shard; complete at the end."""
    with tempfile.NamedTemporaryFile("w+") as file:
        monitor = subprocess.Popen(["redis-cli", "-s", str(redis.socket), "MONITOR"], stdout=file)
        fires = []

        def has(text):
            with open(file.name, encoding="utf-8", errors="replace") as seen:
                return any(text in line for line in seen)
        try:
            wait_for(lambda: has("OK"), what="redis-cli to watch")
            yield fires
            redis.command("ECHO", "watched to the end")
            wait_for(lambda: has("watched to the end"), what="redis-cli to have told everything")
        finally:
            monitor.terminate()
            monitor.wait()
        file.seek(0)
        for line in file:
            if "lua]" not in line:
                continue  # the text of a script, perhaps
            seconds, micros = line.split(" ", 1)[0].split(".")
            slots = re.findall(r'recurring_run\.fired.*?scheduled_us\\":(\d+)', line) if "XADD" in line.upper() else []
            slots += re.findall(r'"HSET" "[^"]*:births" "(\d+)"', line)
            fires.extend((int(seconds) * US + int(micros), int(slot)) for slot in slots)


def check_fired(redis, rrs, interval_us=US, may_skip=False):
    """Every slot of each, from its first to its last, led to exactly one run (may_skip: at most)."""
    by_rr = collections.defaultdict(list)
    for one in fired(redis):
        by_rr[one.rr].append(one)
    assert set(by_rr) == set(rrs)
    lost = doubled = 0
    for fires in by_rr.values():
        slots = sorted(one.slot_us for one in fires)
        doubled += len(slots) - len(set(slots))
        if not may_skip:
            lost += (slots[-1] - slots[0]) // interval_us + 1 - len(set(slots))
        assert {one.state for one in fires} == {"SUCCEEDED"}
    assert (lost, doubled) == (0, 0), f"{lost} lost, {doubled} doubled"
    return sum(map(len, by_rr.values()))


def check_none_fenced(*some):
    """Shards that are handed over cost nobody a write. One that was silent for so long that another
    took it for dead has lost its shards, as it must: this machine has left it no time."""
    for one in some:
        assert one.metric("rondo_shards_fenced_total") == 0 or any("(dead)" in other.log() for other in some)


class Schedule:
    """Recurring runs that are due each second, at least one of them in each shard."""

    def __init__(self, daemon, count=SHARDS, **more):
        self.more = more
        version = daemon.upload(json.dumps(shell_spec("true")), f"each-second-{random.random()}")
        pipeline = daemon.get(f"/apis/v2beta1/pipelines/{version['pipeline_id']}/versions")
        self.source = {"pipeline_id": version["pipeline_id"], "pipeline_version_id":
                       pipeline["pipeline_versions"][0]["pipeline_version_id"]}
        self.all = []
        while len(self.all) < count or len({shard_of(one) for one in self.all}) < SHARDS:
            self.all.append(self.add(daemon))

    def add(self, daemon, **more):
        return daemon.post("/apis/v2beta1/recurringruns", {
            "display_name": "each second", "max_concurrency": "10", "mode": "ENABLE",
            "pipeline_version_reference": self.source,
            "trigger": {"periodic_schedule": {"interval_second": "1"}}, **self.more, **more})["recurring_run_id"]

    def wait_fired(self, redis, slot_us, rrs=None, timeout=60):
        """Each has fired a slot after that one."""
        keys = [f"rondo:{{{shard_of(one):02x}}}:rr:{one}" for one in rrs or self.all]
        wait_for(lambda: int(redis.command("EVAL", LAST, str(len(keys)), *keys)) > slot_us, timeout,
                 f"a fire of each after {slot_us}", step=0.1)

    def stop(self, daemon, redis):
        for one in self.all:
            daemon.post(f"/apis/v2beta1/recurringruns/{one}:disable")
        wait_for(lambda: not leftovers(redis.socket), 60, "the end of all runs", step=0.2)


def now_us():
    return time.time_ns() // 1000


# ---- tests ----


def test_share(redis):
    """They share the shards; each sees both, and what one gives up the other goes on with."""
    with daemons(redis) as (first, second):
        wait_shared(first, second)
        for one in (first, second):
            seen = wait_for(
                lambda: sorted(sum((m["shards"] for m in members(one)), [])) == list(range(SHARDS))
                and members(one), 60, "each to see what the other has")
            assert len(seen) == 2 and all(m["alive"] for m in seen)
            assert {m["url"] for m in seen} == {first.url, second.url}
            wait_for(lambda: one.metric("rondo_shards_held") == SHARDS / 2, what="its half")
            wait_for(lambda: one.metric("rondo_daemons") == 2, what="both")
        schedule = Schedule(first)
        schedule.wait_fired(redis, now_us())
        table = subprocess.run([bin_dir() / "rondo", "--host", first.url, "daemons"], check=True,
                               capture_output=True, text=True).stdout
        assert all(one.url in table for one in (first, second)) and "SHARDS" in table
        for one in (first, second):
            wait_for(lambda: one.metric("rondo_fires_total") > 0, what="it to have fired")
        second.stop()
        wait_shared(first)
        schedule.wait_fired(redis, now_us())
        second.start()
        wait_shared(first, second)
        schedule.wait_fired(redis, now_us())
        schedule.stop(second, redis)
        check_fired(redis, schedule.all)
        check_none_fenced(first, second)
        second.stop()
        first.stop()


def worst_late(redis, schedule, at_us, shards):
    """How late each recurring run of these shards fired the first slot after that instant, at the most."""
    rrs = [one for one in schedule.all if shard_of(one) in shards]
    schedule.wait_fired(redis, at_us, rrs)
    first = {}
    for one in fired(redis):
        if one.rr in rrs and one.slot_us > at_us:
            first[one.rr] = min(one, first.get(one.rr, one), key=lambda fire: fire.slot_us)
    return max(one.created_us - one.slot_us for one in first.values()) / US


TAKEN_OVER = 'rondo_shards_taken_total{how="taken_over"}'


def taken_s(daemon, at_us):
    """How long after that instant it took the last of the shards that were free."""
    lines = [line for line in daemon.log().splitlines() if " shards taken " in line]
    at = datetime.datetime.fromisoformat(lines[-1].split()[0].replace("Z", "+00:00"))
    return at.timestamp() - at_us / US


def test_killed(redis):
    """kill -9: the other fires what is due next. How long that took is printed."""
    with daemons(redis) as (first, second):
        wait_shared(first, second)
        schedule = Schedule(first)
        schedule.wait_fired(redis, now_us())
        taken = first.metric(TAKEN_OVER)
        lost = wait_for(lambda: held(second), what="its share")
        at = now_us()
        second.kill9()
        late = worst_late(redis, schedule, at, lost)
        print(f"kill -9: shards taken after {taken_s(first, at):.3f} s, fired {late:.3f} s late")
        wait_shared(first)
        assert first.metric(TAKEN_OVER) >= taken + len(lost)
        second.start()
        wait_shared(first, second)
        schedule.stop(first, redis)
        check_fired(redis, schedule.all)
        second.stop()
        first.stop()


def test_comes_back_after_another_has_joined(redis):
    """What it had held is not left to nobody because the rule gives it to the one that joined meanwhile."""
    with daemons(redis, 1) as some, contextlib.ExitStack() as stack:
        first = some[0]
        wait_shared(first)
        second = Daemon(redis=redis.url, settings={"executor": "noop"})
        stack.callback(second.remove)
        stack.callback(second.kill9)
        first.kill9()
        second.launch()

        def has_joined():
            path = second.data / "instance"
            instance = path.read_text().strip() if path.exists() else ""
            return instance and redis.command("HEXISTS", "rondo:{catalog}:daemons", instance) == "1"
        wait_for(has_joined, what="the second one to join")
        first.start()
        wait_for(second._has_port, what="the second one's port")
        wait_shared(first, second)
        first.stop()
        second.stop()


def test_orderly_stop(redis):
    """It hands over; nothing is lost, and little time."""
    with daemons(redis) as (first, second):
        wait_shared(first, second)
        schedule = Schedule(first)
        schedule.wait_fired(redis, now_us())
        lost = wait_for(lambda: held(second), what="its share")
        at = now_us()
        second.stop()
        # What it could not hand over is taken over when it has been silent for a while, from now on.
        taken = first.metric(TAKEN_OVER)
        late = worst_late(redis, schedule, at, lost)
        print(f"orderly stop: shards taken after {taken_s(first, at):.3f} s, fired {late:.3f} s late")
        wait_shared(first)
        assert first.metric(TAKEN_OVER) == taken
        second.start()
        wait_shared(first, second)
        schedule.stop(first, redis)
        check_fired(redis, schedule.all)
        second.stop()
        first.stop()


CONTENT = """
local out = {}
for _, key in ipairs(redis.call('KEYS', 'rondo:*')) do
    local digest = redis.sha1hex(redis.call('DUMP', key))
    if key ~= 'rondo:{catalog}:daemons' then
        out[key] = digest
    end
end
return cjson.encode(out)
"""


def settled_content(redis):
    """When Redis has done with all that it was sent: more of it may be in its socket than it reads at once."""
    looks = []

    def is_settled():
        looks.append(json.loads(redis.command("EVAL", CONTENT, "0")))
        return looks[-3:] == [looks[-1]] * 3 and looks[-1]
    return wait_for(is_settled, what="Redis to have done everything", step=0.1)


def be_patient_with(daemon, redis):
    """It is stopped; now the others wait for it as long as they ever do, which is ten seconds."""
    instance = (daemon.data / "instance").read_text().strip()
    record = json.loads(redis.command("HGET", "rondo:{catalog}:daemons", instance))
    redis.command("HSET", "rondo:{catalog}:daemons", instance, json.dumps({**record, "silent_ms": 10000}))


def test_stopped_holder_wakes_up(redis):
    """Stopped for ten seconds with all it was about to write, it writes nothing when it goes on."""
    with daemons(redis, redis_timeout="60s") as (first, second):
        wait_shared(first, second)
        schedule = Schedule(first, 4 * SHARDS)
        schedule.wait_fired(redis, now_us())
        for at in (0.2, 0.995):  # just before what is due, and far from it
            time.sleep((at - time.time()) % 1)
            os.kill(second.process.pid, signal.SIGSTOP)
            stopped_us = now_us()
            schedule.wait_fired(redis, stopped_us)
            wait_for(lambda: now_us() - stopped_us > 10 * US, 60, "ten seconds")
            instance = (first.data / "instance").read_text().strip()
            wait_for(lambda: set(owners(redis)) == {instance}, what="the other one to have everything")
            # Nobody else writes, so whatever changes is the work of the one that wakes up.
            os.kill(first.process.pid, signal.SIGSTOP)
            be_patient_with(first, redis)
            seen = owners(redis)
            before = settled_content(redis)
            fenced = second.log().count("shard is another daemon's now")
            os.kill(second.process.pid, signal.SIGCONT)
            wait_for(lambda: second.log().count("shard is another daemon's now") > fenced, 60,
                     "it to notice", step=0.005)
            after = json.loads(redis.command("EVAL", CONTENT, "0"))
            assert owners(redis) == seen, "too slow: it has taken over in its turn"
            assert after == before
            os.kill(first.process.pid, signal.SIGCONT)
            wait_shared(first, second)
            schedule.wait_fired(redis, now_us())
        schedule.stop(first, redis)
        print(check_fired(redis, schedule.all), "fires, each slot once")
        second.stop()
        first.stop()


def set_clock_wrong(daemon, seconds):
    """As if somebody had set the clock of its machine; Redis's stays right."""
    daemon.post("/internal/testing/clock", {"error_us": seconds * US})


@pytest.mark.parametrize("no_catchup", [False, True])
def test_clocks_differ(redis, no_catchup):
    """One daemon's clock is set to another time, and back: nothing is fired early (each event has
    Redis's time), nothing waits for that clock, and no slot is missed or doubled."""
    with daemons(redis) as (first, second):
        wait_shared(first, second)
        with watched_fires(redis) as fires:
            schedule = Schedule(first, no_catchup=no_catchup)
            schedule.wait_fired(redis, now_us())
            for seconds in (5, -5, 7200, -7200, 0):
                set_clock_wrong(second, seconds)
                schedule.wait_fired(redis, now_us() + US)
            set_clock_wrong(second, 5)
            schedule.stop(first, redis)
        # Without catching up, what comes a second late is passed over.
        check_fired(redis, schedule.all, may_skip=no_catchup)
        assert {slot for _, slot in fires} == {one.slot_us for one in fired(redis)}
        assert [one for one in fires if one[0] < one[1]] == []
        for one in (second, first):
            one.stop()


def test_join_and_leave_storm(redis):
    """Three come and go, in order and not, while 48 fire each second: none lost, none doubled."""
    dice = random.Random(7)
    with daemons(redis, 3) as some:
        wait_shared(*some)
        schedule = Schedule(some[0], 48)
        schedule.wait_fired(redis, now_us())
        for number in range(12):
            one = some[number % 3]
            how = dice.choice(["kill", "stop", "stall"])
            if how == "stall":
                os.kill(one.process.pid, signal.SIGSTOP)
                time.sleep(dice.uniform(0.1, 1.6))
                os.kill(one.process.pid, signal.SIGCONT)
            else:
                one.kill9() if how == "kill" else one.stop()
                time.sleep(dice.uniform(0, 1.5))
                one.start()
        wait_shared(*some)
        schedule.wait_fired(redis, now_us(), timeout=60)
        schedule.stop(some[1], redis)
        print(check_fired(redis, schedule.all), "fires of 48 each second: 0 lost, 0 doubled")
        for one in some:
            one.stop()


def has_share(daemon):
    """Also of one that may not answer yet, or not any more."""
    with contextlib.suppress(OSError, AssertionError, StopIteration):
        return daemon._has_port() and held(daemon)


POINTS = [
    "lease.acquire.after", "lease.acquire.after:5", "tick.claim.before:2", "tick.claim.after:2",
    "tick.reveal.before:2", "tick.reveal.after:2", "tick.wake.before:3", "run.save.before:4", "run.save.after:5", "run.attempt.before_start:2",
    "run.attempt.after_start:2", "run.end.before_save:2", "run.end.after_save:3",
    "webhook.enqueue.before:2", "webhook.enqueue.after:2", "webhook.post.before:2", "webhook.post.after:2",
    "webhook.done.before:2", "webhook.done.after:2"]


def test_killed_at_each_point(redis):
    """One of two dies wherever it hurts, now and then with a restart of Redis in between; the other
    goes on, and every slot has one run and every end of a run one event."""
    with Receiver() as receiver, daemons(redis, webhook_allow="127.0.0.1") as (first, second):
        wait_shared(first, second)
        first.post("/apis/rondo/v1/subscriptions", {"url": receiver.url, "events": ["run.finished"]})
        schedule = Schedule(first)
        # Some that are claimed when they are due, not before.
        schedule.all += [schedule.add(first, rondo={"pause_after_failures": 1000}) for _ in range(SHARDS)]
        second.stop()
        for number, point in enumerate(POINTS):
            second.launch(env={"RONDO_FAULT": point})
            wait_for(lambda: second.process.poll() is not None, 120, f"the death at {point}")
            assert second.wait_exit() == -signal.SIGKILL
            if number % 6 == 5:
                redis.kill9()
                redis.start()
        # While it hands over.
        for point in ("lease.release.before:2", "lease.release.after"):
            second.launch(env={"RONDO_FAULT": point})
            wait_for(lambda: second.process.poll() is not None or has_share(second), 60, "its share")
            second.process.send_signal(signal.SIGTERM)
            assert second.wait_exit() == -signal.SIGKILL
        schedule.wait_fired(redis, now_us(), timeout=60)
        schedule.stop(first, redis)
        count = check_fired(redis, schedule.all)
        ends = [event["data"]["run_id"] for event in receiver.events("run.finished")]
        assert set(ends) == {one.run for one in fired(redis)}
        print(f"{count} fires, {len(ends) - len(set(ends))} webhooks sent again")
        first.stop()


def test_redis_restarts(redis):
    """Redis goes and comes: nobody is put out for it."""
    with daemons(redis) as (first, second):
        wait_shared(first, second)
        schedule = Schedule(first)
        schedule.wait_fired(redis, now_us())

        def standing():
            return [(held(one), one.metric("rondo_shards_fenced_total"), one.metric(TAKEN_OVER))
                    for one in (first, second)]
        for kill in (True, False):
            for _ in range(3):  # one that gets no time to run just then is put out, and rightly
                before = standing()
                redis.kill9() if kill else redis.stop()
                time.sleep(2.5)
                redis.start()
                for one in (first, second):
                    one.wait_ready()
                schedule.wait_fired(redis, now_us(), timeout=60)
                if standing() == before:
                    break
                wait_shared(first, second)
            else:
                pytest.fail(f"put out each time: {before}, then {standing()}")
        schedule.stop(second, redis)
        check_fired(redis, schedule.all)
        second.stop()
        first.stop()


def test_any_daemon_may_be_asked(redis, tmp_path):
    """Writes at the one that does not carry the shard on reach the one that does."""
    journal = Journal(tmp_path / "journal")
    with daemons(redis, executor="local", artifact_root=f"file://{tmp_path}/artifacts") as (first, second):
        wait_shared(first, second)
        theirs = set(held(second))
        spec = shell_spec("echo printed here")

        def runs_there(make):
            """One that the second one carries on."""
            for _ in range(200):
                made = make()
                if shard_of(made) in theirs:
                    return made
            raise AssertionError("none is in the other's shards")

        run = runs_there(lambda: first.create_run(spec)["run_id"])
        first.wait_run(run)
        assert "printed here" in first.run_log(run) and "printed here" in second.run_log(run)
        assert first.tasks(run)["main"]["state"] == "SUCCEEDED"

        slow = runs_there(lambda: first.create_run(journal.spec(seconds=0.01, tasks=1))["run_id"])
        first.wait_run(slow)
        held_up = runs_there(lambda: first.create_run(shell_spec("sleep 600"))["run_id"])
        first.post(f"/apis/v2beta1/runs/{held_up}:terminate")
        first.wait_run(held_up, "FAILED")

        schedule = Schedule(first)
        one = runs_there(lambda: schedule.add(first))
        schedule.wait_fired(redis, now_us(), [one])
        first.post(f"/apis/v2beta1/recurringruns/{one}:disable")
        seen = first.get(f"/apis/v2beta1/recurringruns/{one}")
        assert seen["status"] == "DISABLED"
        stopped = len([f for f in fired(redis) if f.rr == one])
        schedule.wait_fired(redis, now_us() + US)
        assert len([f for f in fired(redis) if f.rr == one]) <= stopped + 1
        at = now_us()
        first.post(f"/apis/v2beta1/recurringruns/{one}:enable")
        schedule.wait_fired(redis, at, [one])
        first.delete(f"/apis/v2beta1/recurringruns/{one}")
        second.get(f"/apis/v2beta1/recurringruns/{one}", 404)
        for rr in schedule.all:
            first.post(f"/apis/v2beta1/recurringruns/{rr}:disable")
        for ident in list(journal.counts("begin")):
            assert journal.counts("begin")[ident] == 1
        first.post(f"/apis/v2beta1/runs/{run}:archive")
        assert second.run(run)["storage_state"] == "ARCHIVED"
        first.delete(f"/apis/v2beta1/runs/{run}")
        second.get(f"/apis/v2beta1/runs/{run}", 404)


def test_lost_knock(redis):
    """The answer that tells what another daemon has changed is lost, and so is a run that is born."""
    with daemons(redis) as (first, second):
        wait_shared(first, second)
        theirs = set(held(second))
        redis.command("ACL", "SETUSER", "default", "-lrange")
        for _ in range(200):
            run = first.create_run(shell_spec("true"))["run_id"]
            if shard_of(run) in theirs:
                break
        wait_for(lambda: "lrange" in redis.command("ACL", "LOG"), what="the second one to look at its knocks")
        redis.command("ACL", "SETUSER", "default", "+lrange")
        first.wait_run(run, timeout=60)

        rr = first.post("/apis/v2beta1/recurringruns", {
            "display_name": "by hand", "max_concurrency": "10", "mode": "DISABLE", "pipeline_spec": shell_spec("true"),
            "trigger": {"periodic_schedule": {"interval_second": "86400"}}})["recurring_run_id"]
        owner = second if shard_of(rr) in theirs else first
        fire = {"request_id": "again"}
        redis.command("ACL", "SETUSER", "default", "-hget")
        run = owner.post(f"/apis/rondo/v1/recurringruns/{rr}:fire", fire)["run_id"]
        wait_for(lambda: any(f"run cannot be read run={run}" in one.log() for one in (first, second)),
                 what="the owner to give it up")
        redis.command("ACL", "SETUSER", "default", "+hget")
        assert owner.post(f"/apis/rondo/v1/recurringruns/{rr}:fire", fire)["run_id"] == run
        first.wait_run(run, timeout=60)


def test_policies_by_any_daemon(redis):
    """Firing by hand, edits and pauses reach the daemon that carries the recurring run on, whoever is asked."""
    with daemons(redis) as (one, other):
        wait_shared(one, other)
        for _ in range(6):  # of both
            rr = one.post("/apis/v2beta1/recurringruns", {
                "display_name": "r", "max_concurrency": "1", "mode": "ENABLE", "pipeline_spec": shell_spec(),
                "trigger": {"cron_schedule": {"cron": "0 0 1 1 *"}}})["recurring_run_id"]
            path = f"/apis/rondo/v1/recurringruns/{rr}"
            run = one.post(f"{path}:fire", {"request_id": "x"})["run_id"]
            assert other.post(f"{path}:fire", {"request_id": "x"})["run_id"] == run
            other.wait_run(run)
            one.patch(path, {"cron": "* * * * * *", "overlap": "allow"})
            wait_for(lambda at=path: any("manual" not in tick for tick in other.get(f"{at}/ticks")["ticks"]),
                     what="a tick of the schedule that was edited")
            other.post(f"{path}:pause", {"note": "enough"})
            fired = [tick["scheduled_at"] for tick in one.get(f"{path}/ticks")["ticks"] if "manual" not in tick]
            assert len(fired) == len(set(fired))


def test_runs_of_a_lost_host_go_on(redis, tmp_path):
    """Local steps of a daemon that is gone with its host are lost, and started again elsewhere."""
    journal = Journal(tmp_path / "journal")
    with daemons(redis, executor="local", artifact_root=f"file://{tmp_path}/artifacts",
                 lost_retries=1) as (first, second):
        wait_shared(first, second)
        theirs = set(held(second))
        gate = tmp_path / "gate"
        spec = shell_spec(f"echo began; while [ ! -e {gate} ]; do sleep 0.05; done; echo done")
        runs = [first.create_run(spec)["run_id"] for _ in range(6)]
        moved = [run for run in runs if shard_of(run) in theirs]
        while not moved:
            runs.append(first.create_run(spec)["run_id"])
            moved = [run for run in runs if shard_of(run) in theirs]
        wait_for(lambda: all(first.tasks(run).get("main", {}).get("place") for run in runs), 60,
                 "all to run")
        places = {run: first.tasks(run)["main"]["place"] for run in runs}
        ids = {m["url"]: m["id"] for m in members(first)}
        for run in runs:
            expected = ids[second.url if run in moved else first.url]
            assert places[run]["instance"] == expected and places[run]["host"]
        second.kill9()
        second.end_steps()
        wait_for(lambda: all(first.tasks(run)["main"].get("tries") == 2 for run in moved), 60,
                 "the lost steps to be started again")
        gate.touch()
        for run in runs:
            first.wait_run(run)
            assert first.tasks(run)["main"].get("lost", 0) == (run in moved)
        assert first.metric('rondo_steps_finished_total{state="lost"}') == len(moved)


def test_shard_stays_until_its_local_steps_have_ended(redis, tmp_path):
    """A process cannot move: one that joins waits for it. Whoever was stalled ends its own."""
    journal = Journal(tmp_path / "journal")
    settings = {"executor": "local", "artifact_root": f"file://{tmp_path}/artifacts"}
    with daemons(redis, 1, **settings) as (first,):
        run = first.create_run(journal.spec(seconds=600, tasks=1))["run_id"]
        wait_for(lambda: journal.pids(run, "step-1"), 60, "the step to begin")
        (pid,) = journal.pids(run, "step-1")
        with daemons(redis, 1, **settings) as (second,):
            wait_for(lambda: len(held(second)) >= SHARDS / 2 - 1, 60, "the idle shards to move")
            assert shard_of(run) in held(first) and is_alive(pid)
            # Now it is stalled, and the other one takes everything.
            os.kill(first.process.pid, signal.SIGSTOP)
            wait_for(lambda: len(held(second)) == SHARDS, 60, "all shards to be taken over")
            wait_for(lambda: len(journal.pids(run, "step-1")) == 2, 60, "the step to begin anew")
            os.kill(first.process.pid, signal.SIGCONT)
            wait_for(lambda: not is_alive(pid), 60, "the end of the first one's process")
            assert is_alive(journal.pids(run, "step-1")[1])
            second.post(f"/apis/v2beta1/runs/{run}:terminate")
            second.wait_run(run, "FAILED")
            second.stop()
        first.stop()


def test_steps_that_were_left_end(redis, tmp_path):
    """Stopped alone, it leaves its steps running for the next one in its folder. When another one has
    come instead, they end as soon as it is back."""
    journal = Journal(tmp_path / "journal")
    settings = {"executor": "local", "artifact_root": f"file://{tmp_path}/artifacts"}
    with daemons(redis, 1, **settings) as (first,):
        run = first.create_run(journal.spec(seconds=600, tasks=1))["run_id"]
        wait_for(lambda: journal.pids(run, "step-1"), 60, "the step to begin")
        (pid,) = journal.pids(run, "step-1")
        first.stop()
        assert is_alive(pid)
        first.start()
        wait_for(lambda: "local step adopted" in first.log(), 60, "it to be adopted")
        first.stop()
        with daemons(redis, 1, **settings) as (second,):
            wait_for(lambda: len(journal.pids(run, "step-1")) == 2, 60, "the step to begin elsewhere")
            assert is_alive(pid)
            first.start()
            wait_for(lambda: not is_alive(pid), 60, "the end of what was left")
            assert is_alive(journal.pids(run, "step-1")[1])
            second.post(f"/apis/v2beta1/runs/{run}:terminate")
            second.wait_run(run, "FAILED")
            second.stop()
        first.stop()


def test_copied_data_folder(redis, tmp_path):
    """Two processes with one identity: the later one keeps it."""
    with daemons(redis, 1) as (first,):
        copy = Daemon(redis=redis.url, settings={"executor": "noop"})
        copy.data.mkdir(parents=True, exist_ok=True)
        (copy.data / "instance").write_text((first.data / "instance").read_text())
        try:
            copy.start()
            assert first.wait_exit(60) == 1
            assert "copy" in first.log()
            wait_for(lambda: held(copy) == list(range(SHARDS)), what="all shards")
            copy.wait_run(copy.create_run(shell_spec("true"))["run_id"])
            copy.stop()
        finally:
            copy.kill9()
            copy.remove()


def test_newer_layout(redis):
    """Older daemons leave in order once a newer one writes in a form that they do not know."""
    with daemons(redis, 2) as (first, second):
        layout = int(redis.command("GET", "rondo:{catalog}:layout"))
        assert layout >= 1
        redis.command("SET", "rondo:{catalog}:layout", str(layout + 1))
        for one in (first, second):
            assert one.wait_exit(30) == 1
            assert f"a newer rondod writes to this Redis (layout {layout + 1})" in one.log()
        assert redis.command("HLEN", "rondo:{catalog}:daemons") in ("0", 0)
        owners = {redis.command("GET", f"rondo:{{{shard:02x}}}:owner") for shard in range(SHARDS)}
        assert owners == {""}, "all shards are released"
        with pytest.raises(AssertionError, match="ended with 1"):
            first.start()
        assert f"knows layouts up to {layout}" in first.log()
        redis.command("SET", "rondo:{catalog}:layout", str(layout))
        second.start()
        assert held(second) == list(range(SHARDS))
        second.stop()
