# SPDX-License-Identifier: Apache-2.0
"""The daemon dies at every named fault point of a firing, and goes on as if nothing had been."""

import base64
import collections
import contextlib
import datetime
import fcntl
import hashlib
import hmac
import json
import os
import subprocess
import time

import pytest
import requests

from journal import Journal, check_slots, leftovers, record, redis_cli, redis_keys, runs_of
from rondo_testing import Daemon, Receiver, bin_dir, wait_for

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
GIT_SECRET = "a secret of the forge"
SLOTS = 2
SCHEDULED = ("often", "fixed")  # follows the newest version, decided when it is due; pinned, claimed ahead of that
ARTIFACTS = 1
STEPS = 2

# Points that this scenario does not pass, each with the reason. The test fails for any other.
IN_PODS = "only steps that run as pods pass it; these run as local processes"
ELSEWHERE = dict.fromkeys([
    "pods.create.after", "pods.create.before", "pods.delete.before", "pods.done.before",
    "pods.forget.middle", "pods.report.after", "pods.report.before", "pods.claim.create.after",
    "pods.claim.delete.after"], IN_PODS)
ELSEWHERE.update(dict.fromkeys([
    "lease.acquire.after", "lease.release.after", "lease.release.before"],
    "shards that come and go: test_daemons.py"))
ELSEWHERE["git.cancel.before"] = "groups that cancel: test_git_triggers.py"
ELSEWHERE.update(dict.fromkeys(["git.file.after", "git.file.before"], "no pipeline is in a repository here"))
ELSEWHERE.update(dict.fromkeys(["git.poll.after", "git.poll.before"], "looks at refs: test_git_poll.py"))
ELSEWHERE.update(dict.fromkeys(["git.status.after", "git.status.before"], "commit statuses: test_git_status.py"))
ELSEWHERE.update(dict.fromkeys([
    "local.volume.create.middle", "local.volume.delete.middle"],
    "half-made volumes: tests/unit/exec/test_local_settings.c"))
ELSEWHERE.update(dict.fromkeys([
    "webhook.ping.after", "webhook.ping.before", "webhook.subscription.after", "webhook.subscription.before"],
    "changes of subscriptions: test_subscriptions.py"))


def fault_points():
    program = bin_dir() / "rondod"
    if not program.exists():
        return []
    done = subprocess.run([str(program), "--list-faults"], capture_output=True, text=True, check=True)
    return sorted(done.stdout.split())


class Died(Exception):
    pass


def remembered(spec):
    """Its results go into the cache, and as each run differs they are never used."""
    for task in spec["root"]["dag"]["tasks"].values():
        task["cachingOptions"] = {"enableCache": True}
        task["inputs"] = {"parameters": {"run": {"runtimeValue": {"constant": "{{$.pipeline_job_uuid}}"}}}}
    return spec


class Scenario:
    """Everything that leads to a run or changes one. Done again from its beginning it does only
    what has not been done yet, as a careful client would."""

    def __init__(self, daemon, receiver, folder):
        self.daemon = daemon
        self.receiver = receiver
        self.journal = Journal(folder / "journal")
        self.start_s = int(time.time()) + 1
        self.ids = {}
        self.pushed = {}
        self.fired = {}
        self.has_been_killed = False

    @property
    def socket(self):
        return self.daemon.data / "redis" / "redis.sock"

    def _has_died(self):
        return self.daemon.process.poll() is not None

    def _is_dying(self):
        """What broke may be the work of its death, which is seen a little later."""
        with contextlib.suppress(AssertionError):
            return wait_for(self._has_died, 10)
        return False

    def play(self):
        try:
            self._prepare()
            for name in SCHEDULED:
                self._recur(name, 1, self.start_s, self.start_s + SLOTS)
            for number in (1, 2):
                self._push(f"delivery-{number}")
                self._end_early(f"manual-{number}")
            self._recur("rare", 100 * 86400, None, None)
            for request in ("fire-1", "fire-2"):
                self._fire(request)
            for request in ("again-1", "again-2"):
                self._redeliver(request)
            for verb in ("disable", "enable", "disable"):
                self.daemon.post(f"/apis/v2beta1/recurringruns/{self.ids['rare']}:{verb}")
        except requests.RequestException:
            wait_for(self._has_died, what="the death that broke a request")
        except AssertionError:
            if not self._is_dying():
                raise
        if self.daemon.process.poll() is not None:
            raise Died

    def _prepare(self):
        if "trigger" in self.ids:
            return
        spec = json.dumps(remembered(self.journal.spec()))
        pipeline = self.daemon.upload(spec, "steps")["pipeline_id"]
        versions = self.daemon.get(f"/apis/v2beta1/pipelines/{pipeline}/versions")["pipeline_versions"]
        self.ids["pipeline"], self.ids["version"] = pipeline, versions[0]["pipeline_version_id"]
        self.ids["subscription"] = self.daemon.post("/apis/rondo/v1/subscriptions", {
            "url": self.receiver.url, "secret": SECRET})["id"]
        self.ids["trigger"] = self.daemon.post("/apis/rondo/v1/triggers/git", {
            "pipeline_id": self.ids["pipeline"], "secret": GIT_SECRET, "branches": ["main"],
            "concurrency": {"policy": "queue"}})["id"]

    def _named(self, kind, name):
        """Ids of the records of this name."""
        answer = self.daemon.get(f"/apis/v2beta1/{kind}", page_size=200)
        key, ident = ("runs", "run_id") if kind == "runs" else ("recurringRuns", "recurring_run_id")
        return [one[ident] for one in answer.get(key, []) if one["display_name"] == name]

    def _recur(self, name, interval_s, start_s, end_s):
        found = self._named("recurringruns", name)
        if not found:
            schedule = {"interval_second": str(interval_s)}
            if start_s is not None:
                schedule["start_time"] = iso(start_s)
                schedule["end_time"] = iso(end_s)
            found = [self.daemon.post("/apis/v2beta1/recurringruns", {
                "display_name": name, "max_concurrency": "10", "mode": "ENABLE", "no_catchup": False,
                "pipeline_version_reference": {
                    "pipeline_id": self.ids["pipeline"],
                    **({"pipeline_version_id": self.ids["version"]} if name == "fixed" else {})},
                "trigger": {"periodic_schedule": schedule}})["recurring_run_id"]]
        (self.ids[name],) = found

    def _end_early(self, name):
        found = self._named("runs", name)
        if not found:
            spec = self.journal.spec(seconds=600)
            found = [self.daemon.create_run(spec, name=name)["run_id"]]
        (self.ids[name],) = found
        if self.daemon.run(found[0])["state"] in ("PENDING", "RUNNING"):
            self.daemon.post(f"/apis/v2beta1/runs/{found[0]}:terminate")

    def _fire(self, request):
        answer = self.daemon.post(f"/apis/rondo/v1/recurringruns/{self.ids['rare']}:fire", {"request_id": request})
        assert self.fired.setdefault(request, answer["run_id"]) == answer["run_id"]

    def _redeliver(self, request):
        path = f"/apis/rondo/v1/subscriptions/{self.ids['subscription']}/deliveries"
        row = wait_for(lambda: self.daemon.get(path, n=1)["deliveries"], what="a delivery")[0]
        self.daemon.post(f"/apis/rondo/v1/deliveries/{row['id']}:redeliver", {"request_id": request})

    def _push(self, delivery):
        commit = hashlib.sha1(delivery.encode()).hexdigest()
        body = json.dumps({
            "ref": "refs/heads/main", "before": "1" * 40, "after": commit, "deleted": False,
            "repository": {"full_name": "acme/model", "clone_url": "https://example.com/acme/model"},
            "pusher": {"name": "ann"}, "sender": {"login": "ann"},
            "head_commit": {"id": commit, "message": "train it"}}).encode()
        signature = "sha256=" + hmac.new(GIT_SECRET.encode(), body, hashlib.sha256).hexdigest()
        answer = self.daemon.call(
            "POST", f"/hooks/git/{self.ids['trigger']}", None, data=body, headers={
                "Content-Type": "application/json", "X-GitHub-Event": "push",
                "X-GitHub-Delivery": delivery, "X-Hub-Signature-256": signature})
        assert answer.status_code in (200, 202), answer.text
        answer = answer.json()
        assert self.pushed.setdefault(delivery, answer["run_id"]) == answer["run_id"]

    # -- the end of everything --

    def _is_over(self):
        self.daemon.check_alive()
        often = record(self.socket, "rr", self.ids["often"])
        return often["next_us"] == "0" and not redis_keys(self.socket, "rondo:{*}:live") and not redis_keys(
            self.socket, "rondo:{*}:git_active")

    def settle(self):
        """Wait for the end of all runs, then of all deliveries: the clock is moved, because one
        that was under way when the daemon died is sent again after a while only."""
        shift_us = 0
        try:
            wait_for(self._is_over, 60, "the end of all runs")
            deadline = time.monotonic() + 60
            while leftovers(self.socket):
                assert time.monotonic() < deadline, f"left: {leftovers(self.socket)}"
                shift_us += 20_000_000
                self.daemon.post("/internal/testing/clock", {"shift_us": shift_us})
                time.sleep(0.2)
        except (AssertionError, requests.RequestException, subprocess.CalledProcessError):
            if self._is_dying():
                raise Died from None
            raise

    # -- what must be true then --

    def check(self):
        self._check_runs()
        self._check_steps()
        self._check_events()
        assert leftovers(self.socket) == []
        wait_for(lambda: self.daemon.metric("rondo_runs_live") == 0, what="no run to be counted")
        wait_for(lambda: self.daemon.metric("rondo_webhook_deliveries_pending") == 0, what="no delivery to be counted")
        wait_for(lambda: redis_cli(self.socket, "HLEN", "rondo:{pools}:entries") == 0,
                 what="all slots to come back")
        self._check_folders()

    def _check_folders(self):
        """A death just before the folders of ended attempts go leaves those: their report, or
        (canceled ones have none) a lock that nobody holds, tells the sweep of the next days that
        nobody needs them."""
        def left():
            return list((self.daemon.data / "work").glob("*/*/*"))

        def is_free(lock):
            with contextlib.suppress(OSError), open(lock, "rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return True
            return False

        def is_clean():
            return (self.has_been_killed or left() == []) and all(
                (one / "report.json").exists() or is_free(one / "lock") for one in left())

        # The daemon may be removing the last of them just now.
        try:
            wait_for(is_clean, what="folders of ended attempts to go or to have a report")
        except AssertionError:
            print({str(one): sorted(os.listdir(one)) for one in left()})
            self.daemon.print_log()
            raise

    def _good_runs(self):
        return {run["doc"]["id"] for name in SCHEDULED for run in runs_of(self.socket, self.ids[name])} | set(
            self.pushed.values()) | set(self.fired.values())

    def _check_runs(self):
        first = self.start_s + 1
        for name in SCHEDULED:
            check_slots(runs_of(self.socket, self.ids[name]), [(first + n) * 1_000_000 for n in range(SLOTS)])
        assert {run["doc"]["id"] for run in runs_of(self.socket, self.ids["rare"])} == set(self.fired.values())
        assert len(set(self.pushed.values())) == len(set(self.fired.values())) == 2
        for run_id in self._good_runs():
            assert record(self.socket, "run", run_id)["state"] == "SUCCEEDED"
        for name in ("manual-1", "manual-2"):
            assert record(self.socket, "run", self.ids[name])["state"] == "CANCELED"
        total = sum(redis_cli(self.socket, "ZCARD", key)
                    for key in redis_keys(self.socket, "rondo:{??}:runs"))
        assert total == len(SCHEDULED) * SLOTS + 6

    def _check_steps(self):
        assert self.journal.counts("double") == {}
        want = {(run, f"step-{n}"): 1 for run in self._good_runs() for n in range(1, STEPS + 1)}
        began, ended = self.journal.counts("begin"), self.journal.counts("end")
        # Only the daemon died, and a launcher outlives it: nothing had to be done again.
        assert {key: n for key, n in began.items() if key[0] in self._good_runs()} == want
        assert ended == want
        for name in ("manual-1", "manual-2"):
            assert began[(self.ids[name], "step-1")] <= 1

    def _check_events(self):
        seen = collections.defaultdict(set)
        for request in self.receiver.requests:
            assert self.receiver.verify(request)
            body = json.loads(request["body"])
            data = body["data"]
            what = (body["type"], data.get("run_id"), data.get("task"), data.get("attempt"),
                    data.get("name"))
            if data.get("run_id") is None:  # about a recurring run: each change, each tick
                what += (data["recurring_run_id"], data.get("scheduled_us", body["timestamp"]))
            seen[what].add((request["headers"]["webhook-id"], request["body"]))
        doubled = {what: ids for what, ids in seen.items() if len(ids) > 1}
        assert not doubled, "one change, one id, the same bytes each time"
        kinds = collections.Counter((kind, run) for kind, run, *_ in seen)
        for run in self._good_runs():
            assert kinds[("run.started", run)] == 1
            assert kinds[("run.finished", run)] == 1
            assert kinds[("task.started", run)] == STEPS
            assert kinds[("task.finished", run)] == STEPS
            assert kinds[("artifact.created", run)] == ARTIFACTS
            assert kinds[("task.retrying", run)] == 0
        for run in sum((runs_of(self.socket, self.ids[name]) for name in (*SCHEDULED, "rare")), []):
            assert kinds[("recurring_run.fired", run["doc"]["id"])] == 1
        for name in ("manual-1", "manual-2"):
            assert kinds[("run.finished", self.ids[name])] == 1


def iso(seconds):
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture
def scenario(tmp_path):
    with Receiver(secret=SECRET) as receiver:
        daemon = Daemon(settings={"webhook_allow": "127.0.0.1", "webhook_timeout": "2s", "forget_after": "0",
                                  "max_runs": "3"})
        one = Scenario(daemon, receiver, tmp_path)
        try:
            yield one
        except BaseException:
            daemon.print_log()
            raise
        finally:
            daemon.kill9()
            daemon.remove()


def finish(scenario):
    scenario.settle()
    scenario.check()
    scenario.daemon.stop()


def test_undisturbed(scenario):
    scenario.daemon.start()
    scenario.play()
    finish(scenario)


def test_points_are_known():
    assert fault_points(), "rondod --list-faults names no fault point"
    assert set(ELSEWHERE) <= set(fault_points())


@pytest.mark.parametrize("passage", [1, 2])
@pytest.mark.parametrize("point", fault_points())
def test_death_at(scenario, point, passage):
    if point in ELSEWHERE:
        pytest.skip(f"{point}: {ELSEWHERE[point]}")
    daemon = scenario.daemon
    daemon.start(env={"RONDO_FAULT": f"{point}:{passage}:crash"})
    try:
        scenario.play()
        scenario.settle()
        pytest.fail(f"the fault point {point} was not passed {passage} times")
    except Died:
        assert daemon.process.wait(60) == -9, f"not the death that was asked for\n{daemon.log()}"
    daemon.kill9()
    scenario.has_been_killed = True
    daemon.start()
    scenario.play()
    finish(scenario)
