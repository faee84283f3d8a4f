# SPDX-License-Identifier: Apache-2.0
"""Recurring runs beyond KFP's API: edit, pause, skip, fire now, ticks and previews, by REST and by the command line."""

import datetime
import json

import pytest

from rondo_testing import Daemon, shell_spec, wait_for
from test_cli import rondo

V2 = "/apis/v2beta1/recurringruns"
V1 = "/apis/rondo/v1/recurringruns"
NOBODY = "11111111-2222-4333-8444-555555555555"
HOLIDAY = ("BEGIN:VCALENDAR\nBEGIN:VEVENT\nSUMMARY:Holiday\nDTSTART;VALUE=DATE:{day:%Y%m%d}\nEND:VEVENT\n"
           "END:VCALENDAR\n")


@pytest.fixture(scope="module")
def daemon():
    with Daemon() as one:
        yield one
        one.end_steps()


@pytest.fixture
def make(daemon):
    made = []

    def create(cron="0 0 9 * * *", script="echo hello", **fields):
        body = {"display_name": "r", "max_concurrency": "1", "mode": "ENABLE", "pipeline_spec": shell_spec(script),
                "trigger": {"cron_schedule": {"cron": cron}}, **fields}
        made.append(daemon.post(V2, body)["recurring_run_id"])
        return made[-1]

    yield create
    for one in made:
        daemon.delete(f"{V2}/{one}")


def runs_of(daemon, rr):
    listed = daemon.get("/apis/v2beta1/runs", page_size=200).get("runs", [])
    return [run for run in listed if run.get("recurring_run_id") == rr]


class TestEdit:
    def test_each_member(self, daemon, make):
        rr = make()
        changed = daemon.patch(f"{V1}/{rr}", {
            "display_name": "other", "description": "why", "cron": "30 6 * * *", "time_zone": "Asia/Seoul",
            "end_time": "2099-01-01T00:00:00Z", "max_concurrency": 500, "no_catchup": True, "overlap": "skip",
            "schedules": ["0 12 * * *"], "spread_s": 60})
        assert changed["display_name"] == "other" and changed["description"] == "why"
        assert changed["trigger"]["cron_schedule"] == {"cron": "30 6 * * *", "end_time": "2099-01-01T00:00:00Z"}
        assert changed["time_zone"] == "Asia/Seoul" and changed["max_concurrency"] == "500" and changed["no_catchup"]
        assert changed["rondo"] == {"overlap": "skip", "schedules": ["0 12 * * *"], "spread_s": 60}
        assert changed["generation"] == 2
        bare = daemon.patch(f"{V1}/{rr}", {"cron": None})
        assert "trigger" not in bare and bare["rondo"]["end_time"] == "2099-01-01T00:00:00Z"
        daemon.patch(f"{V1}/{rr}", {"cron": "30 6 * * *"})
        back = daemon.patch(f"{V1}/{rr}", {"overlap": None, "schedules": None, "spread_s": None, "end_time": None})
        assert "rondo" not in back and back["generation"] == 5
        assert daemon.get(f"{V2}/{rr}")["trigger"]["cron_schedule"] == {"cron": "30 6 * * *"}

    def test_what_is_so_already_changes_nothing(self, daemon, make):
        rr = make()
        same = daemon.patch(f"{V1}/{rr}", {"cron": "0 0 9 * * *", "interval_second": None, "overlap": None})
        assert same["generation"] == 1

    def test_cron_to_interval(self, daemon, make):
        rr = make()
        daemon.patch(f"{V1}/{rr}", {"interval_second": 90}, 400)
        changed = daemon.patch(f"{V1}/{rr}", {"interval_second": 90, "cron": None})
        assert changed["trigger"] == {"periodic_schedule": {"interval_second": "90"}}

    @pytest.mark.parametrize("body, parts", [
        ({}, ["changes nothing"]), ({"crom": "x"}, ["crom", "unknown"]), ({"cron": "61 * * * *"}, ["minute", "61"]),
        ({"cron": 5}, ["cron"]), ({"overlap": "maybe"}, ["overlap", "maybe", "skip"]),
        ({"max_concurrency": 0}, ["max_concurrency"]), ({"start_time": "soon"}, ["start_time"]),
        ({"end_time": "1969-01-01T00:00:00Z"}, ["end_time"]), ({"display_name": None}, ["display_name"]),
        ({"parameters": {"nobody": 1}}, ["nobody"]), ({"cron": "0 0 30 2 *"}, ["never fires"]),
        ({"exclude": "no calendar"}, ["exclude"]), ({"spread_s": -1}, ["spread_s", "0"]),
        ({"display_name": "x" * 1025}, ["display_name", "1024"]), ({"description": "x" * 65537}, ["description", "64 KiB"]),
        ({"overlap": 5}, ["overlap", "string", "skip"]), ({"interval_second": 60}, ["both", "null"])])
    def test_mistakes_change_nothing(self, daemon, make, body, parts):
        rr = make()
        before = daemon.get(f"{V2}/{rr}")
        message = daemon.patch(f"{V1}/{rr}", body, 400)["message"]
        assert all(part in message for part in parts), message
        assert daemon.get(f"{V2}/{rr}") == before

    def test_nobody(self, daemon):
        daemon.patch(f"{V1}/{NOBODY}", {"description": "x"}, 404)
        daemon.patch(f"{V1}/x", {"description": "x"}, 404)
        for verb, body in ((":pause", {}), (":resume", {}), (":skip", {"n": 1}), (":fire", {})):
            daemon.post(f"{V1}/{NOBODY}{verb}", body, 404)
        for what in ("ticks", "next"):
            daemon.get(f"{V1}/{NOBODY}/{what}", 404)


class TestPause:
    def test_and_resume(self, daemon, make):
        rr = make()
        until = "2099-01-01T00:00:00Z"
        paused = daemon.post(f"{V1}/{rr}:pause", {"note": "moving", "until": until})
        assert paused["mode"] == "DISABLE" and paused["rondo"]["pause"]["note"] == "moving"
        assert paused["rondo"]["pause"]["until"] == until
        resumed = daemon.post(f"{V1}/{rr}:resume")
        assert resumed["mode"] == "ENABLE" and "rondo" not in resumed

    def test_mistakes(self, daemon, make):
        rr = make()
        assert "until" in daemon.post(f"{V1}/{rr}:pause", {"until": "2020-01-01T00:00:00Z"}, 400)["message"]
        assert "why" in daemon.post(f"{V1}/{rr}:pause", {"why": "x"}, 400)["message"]
        assert "1024" in daemon.post(f"{V1}/{rr}:pause", {"note": "x" * 1025}, 400)["message"]
        assert "n:" in daemon.post(f"{V1}/{rr}:skip", {}, 400)["message"]
        assert "n" in daemon.post(f"{V1}/{rr}:skip", {"n": -1}, 400)["message"]


class TestNext:
    def test_explained(self, daemon, make):
        today = datetime.datetime.now(datetime.timezone.utc).date()
        off = today + datetime.timedelta(days=3)
        rr = make(rondo={"exclude": HOLIDAY.format(day=off)})
        daemon.post(f"{V1}/{rr}:skip", {"n": 1})
        ticks = daemon.get(f"{V1}/{rr}/next", n=6)["ticks"]
        assert len(ticks) == 6 and ticks[0]["skip"] is True
        left_out = [tick for tick in ticks if "excluded" in tick]
        assert [tick["time"][:10] for tick in left_out] == [off.isoformat()] and "Holiday" in left_out[0]["excluded"]
        assert sum("skip" in tick for tick in ticks) == 1
        fires = [tick["time"] for tick in ticks if not {"skip", "excluded"} & set(tick)]
        assert daemon.get(f"{V2}/{rr}")["next_run_times"] == fires[:3]

    def test_how_many(self, daemon, make):
        rr = make(cron="0 * * * * *", rondo={"max_fires": 300})
        assert len(daemon.get(f"{V1}/{rr}/next")["ticks"]) == 5
        assert len(daemon.get(f"{V1}/{rr}/next", n=1000)["ticks"]) == 300
        daemon.get(f"{V1}/{rr}/next", 400, n=1001)


class TestFire:
    def test_now(self, daemon, make):
        rr = make()
        first = daemon.post(f"{V1}/{rr}:fire", {"request_id": "a"})["run_id"]
        assert daemon.post(f"{V1}/{rr}:fire", {"request_id": "a"})["run_id"] == first
        run = daemon.wait_run(first)
        assert run["recurring_run_id"] == rr and run["display_name"].startswith("r-manual-")
        second = daemon.post(f"{V1}/{rr}:fire")["run_id"]
        assert second != first
        daemon.wait_run(second)
        assert len(runs_of(daemon, rr)) == 2
        after = daemon.get(f"{V2}/{rr}")
        assert "last_run_time" not in after and after["generation"] == 1
        ticks = daemon.get(f"{V1}/{rr}/ticks")
        assert [(tick["outcome"], tick["run_id"], tick["manual"]) for tick in ticks["ticks"]] == [
            ("fired", second, True), ("fired", first, True)]
        assert ticks["active"] == 0

    def test_overlap(self, daemon, make):
        rr = make(script="sleep 300")
        first = daemon.post(f"{V1}/{rr}:fire")["run_id"]
        told = daemon.post(f"{V1}/{rr}:fire", {"overlap": "skip"}, 400)["message"]
        assert "max_concurrency" in told and "1" in told
        second = daemon.post(f"{V1}/{rr}:fire", {"overlap": "terminate_other"})["run_id"]
        daemon.wait_run(first, "FAILED")
        assert daemon.run(second)["state"] in ("PENDING", "RUNNING")
        third = daemon.post(f"{V1}/{rr}:fire", {"overlap": "cancel_other"})["run_id"]
        daemon.wait_run(second, "FAILED")
        daemon.post(f"/apis/v2beta1/runs/{third}:terminate")
        daemon.wait_run(third, "FAILED")
        wait_for(lambda: daemon.get(f"{V1}/{rr}/ticks")["active"] == 0, what="all places to be free")

    def test_while_paused(self, daemon, make):
        rr = make()
        daemon.post(f"{V1}/{rr}:pause", {"note": "x"})
        daemon.wait_run(daemon.post(f"{V1}/{rr}:fire")["run_id"])
        assert daemon.get(f"{V2}/{rr}")["mode"] == "DISABLE"

    def test_mistakes(self, daemon, make):
        rr = make()
        assert "overlap" in daemon.post(f"{V1}/{rr}:fire", {"overlap": "queue"}, 400)["message"]
        assert "request_id" in daemon.post(f"{V1}/{rr}:fire", {"request_id": "a b"}, 400)["message"]
        assert "request_id" in daemon.post(f"{V1}/{rr}:fire", {"request_id": "a" * 129}, 400)["message"]


class TestTicks:
    def test_the_queue_is_visible(self, daemon, make):
        """Two ticks that wait while the first run takes the only place, then one that is dropped."""
        rr = make(cron="* * * * * *", script="sleep 300", rondo={"overlap": "buffer_all", "buffer_max": 2})
        wait_for(lambda: any(tick["outcome"] == "dropped-buffer"
                             for tick in daemon.get(f"{V1}/{rr}/ticks")["ticks"]), what="a tick without a place")
        daemon.post(f"{V1}/{rr}:pause", {"note": "enough"})
        ticks = daemon.get(f"{V1}/{rr}/ticks")["ticks"][::-1]
        assert [tick["outcome"] for tick in ticks][:4] == ["fired", "waiting", "waiting", "dropped-buffer"]
        assert ticks[-1]["outcome"] == "dropped-buffer" and ticks[-1]["why"] == "paused" and ticks[-1]["count"] == 2
        slots = [tick["scheduled_at"] for tick in ticks[:4]]
        assert slots == sorted(set(slots)) and all(tick["lateness_ms"] >= 0 for tick in ticks)
        daemon.post(f"/apis/v2beta1/runs/{ticks[0]['run_id']}:terminate")

    def test_places(self, daemon, make):
        rr = make(cron="* * * * * *", script="sleep 300", rondo={"max_fires": 3})
        waiting = wait_for(lambda: daemon.get(f"{V1}/{rr}/ticks")["waiting"], what="a tick that waits")
        assert waiting[0]["place"] == 1
        daemon.patch(f"{V1}/{rr}", {"max_concurrency": 3})
        wait_for(lambda: daemon.get(f"{V1}/{rr}/ticks")["active"] == 3, what="the places that were added to be taken")
        assert daemon.get(f"{V1}/{rr}/ticks")["waiting"] == []
        for run in runs_of(daemon, rr):
            daemon.post(f"/apis/v2beta1/runs/{run['run_id']}:terminate")


class TestCommandLine:
    @pytest.fixture
    def cli(self, daemon):
        def call(*args, **kwargs):
            return rondo(*args, host=daemon.url, **kwargs)
        call.json = lambda *args: json.loads(rondo(*args, "-o", "json", host=daemon.url).stdout)
        return call

    def test_a_life(self, cli, tmp_path):
        spec, off = tmp_path / "hello.json", tmp_path / "off.ics"
        spec.write_text(json.dumps(shell_spec()))
        off.write_text(HOLIDAY.format(day=datetime.date(2098, 1, 1)))
        rr = cli.json("cron", "add", spec, "--schedule", "H 3 * * *", "--schedule", "0 15 * * *", "--overlap", "skip",
                      "--catchup", "none", "--spread", "10m", "--max-fires", "9", "--pause-after-failures", "3",
                      "--exclude", off, "--profile", "vixie", "--max-concurrency", "50")
        ident = rr["recurring_run_id"]
        assert rr["trigger"]["cron_schedule"]["cron"] == "H 3 * * *" and rr["max_concurrency"] == "50"
        rondo_part = rr["rondo"]
        assert "Holiday" in rondo_part.pop("exclude")[0]
        assert rondo_part == {"schedules": ["0 15 * * *"], "overlap": "skip", "catchup": "none", "spread_s": 600,
                              "max_fires": 9, "pause_after_failures": 3, "profile": "vixie"}
        changed = cli.json("cron", "edit", ident, "--every", "2h", "--overlap", "allow", "--clear", "max_fires",
                           "--clear", "spread_s", "--name", "x")
        assert changed["trigger"]["periodic_schedule"]["interval_second"] == "7200" and changed["display_name"] == "x"
        assert changed["rondo"]["overlap"] == "allow" and not {"max_fires", "spread_s"} & set(changed["rondo"])
        assert cli.json("cron", "pause", ident, "--note", "later", "--until", "2099-01-01T00:00:00Z")["mode"] == "DISABLE"
        assert "later" in cli("cron", "get", ident).stdout and "2099" in cli("cron", "get", ident).stdout
        assert cli.json("cron", "get", ident)["rondo"]["overlap"] == "allow"
        assert cli.json("cron", "resume", ident)["mode"] == "ENABLE"
        old = ("--start", "2026-01-01T00:00:00Z", "--end", "2026-01-01T06:00:00Z")
        assert "4 ticks, from 2026-01-01T00:00:00Z" in cli("cron", "backfill", ident, *old, "--dry-run").stdout
        assert "start_time" in cli("cron", "backfill", ident, code=2).stderr
        assert "fires next at" in cli("cron", "skip", ident, "1").stdout
        assert "(is to be skipped)" in cli("cron", "next", ident, "-n", "2").stdout.splitlines()[0]
        run = cli("cron", "fire", ident, "--request-id", "one").stdout.split()[1]
        assert cli.json("cron", "fire", ident, "--request-id", "one", "--overlap", "skip")["run_id"] == run
        assert run in cli("cron", "ticks", ident).stdout
        cli("cron", "rm", ident)

    @pytest.mark.parametrize("args", [
        ["edit"], ["edit", NOBODY, "--cron", "@daily", "--every", "5m"], ["edit", NOBODY, "--every", "1ms"],
        ["edit", NOBODY, "--max-concurrency", "0"], ["edit", NOBODY, "--exclude", "/nowhere.ics"], ["pause"], ["get"],
        ["skip", NOBODY], ["skip", NOBODY, "-1"], ["fire"], ["next", NOBODY, "-n", "0"], ["ticks"]])
    def test_mistakes(self, cli, args):
        done = cli("cron", *args, code=1 if "/nowhere.ics" in args else 2)
        assert done.stderr and done.stdout == ""


class TestBackfill:
    RANGE = {"start_time": "2026-01-01T09:00:00Z", "end_time": "2026-01-05T09:00:00Z"}

    def test_dry_run_counts(self, daemon, make):
        rr = make(rondo={"exclude": HOLIDAY.format(day=datetime.date(2026, 1, 3))})
        before = daemon.get(V2)
        assert daemon.post(f"{V1}/{rr}:backfill", {**self.RANGE, "dry_run": True}) == {
            "ticks": 4, "excluded": 1, "first": "2026-01-01T09:00:00Z", "last": "2026-01-05T09:00:00Z"}
        assert daemon.get(V2)["total_size"] == before["total_size"]

    def test_fires_each_tick_of_the_range_once(self, daemon, make):
        rr = make(rondo={"exclude": HOLIDAY.format(day=datetime.date(2026, 1, 3))})
        made = daemon.post(f"{V1}/{rr}:backfill", {**self.RANGE, "max_concurrency": 2})
        assert made["rondo"] == {"backfill_of": rr, "backfill_ticks": 4, "exclude": made["rondo"]["exclude"]}
        assert made["max_concurrency"] == "2"
        own = made["recurring_run_id"]
        wait_for(lambda: len(runs_of(daemon, own)) == 4 and all(
            run["state"] == "SUCCEEDED" for run in runs_of(daemon, own)), 60, "the end of the backfill")
        ticks = daemon.get(f"{V1}/{own}/ticks")["ticks"]
        fired = sorted(tick["scheduled_at"] for tick in ticks if tick["outcome"] == "fired")
        assert fired == [f"2026-01-0{day}T09:00:00Z" for day in (1, 2, 4, 5)]
        assert runs_of(daemon, rr) == [] and daemon.get(f"{V2}/{own}")["index"] == 4
        daemon.delete(f"{V2}/{own}")

    @pytest.mark.parametrize("trigger", [{"periodic_schedule": {"interval_second": "600"}},
                                         {"cron_schedule": {"cron": "@every 10m"}}])
    def test_of_an_interval(self, daemon, make, trigger):
        rr = make(trigger=trigger, script="true")
        times = {"start_time": "2026-01-01T00:00:07Z", "end_time": "2026-01-01T00:20:07Z"}
        assert daemon.post(f"{V1}/{rr}:backfill", {**times, "dry_run": True})["ticks"] == 3
        own = daemon.post(f"{V1}/{rr}:backfill", {**times, "max_concurrency": 3})["recurring_run_id"]
        wait_for(lambda: len(runs_of(daemon, own)) == 3, what="the backfill")
        assert sorted(run["scheduled_at"] for run in runs_of(daemon, own)) == [
            f"2026-01-01T00:{minute}:07Z" for minute in ("00", "10", "20")]
        daemon.delete(f"{V2}/{own}")

    @pytest.mark.parametrize("body, part", [
        ({}, "start_time and end_time"),
        ({"start_time": "2026-01-05T00:00:00Z", "end_time": "2026-01-01T00:00:00Z"}, "before start_time"),
        ({"start_time": "2026-01-01T00:00:00Z", "end_time": "2099-01-01T00:00:00Z"}, "in the future"),
        ({"start_time": "2026-01-01T00:00:00Z", "end_time": "2026-01-02T00:00:00Z", "max_concurrency": 0}, "max_concurrency"),
        ({"start_time": "yesterday", "end_time": "2026-01-02T00:00:00Z"}, "start_time"),
        ({"strat_time": "2026-01-01T00:00:00Z"}, "strat_time"),
    ])
    def test_what_is_refused(self, daemon, make, body, part):
        assert part in daemon.post(f"{V1}/{make()}:backfill", body, expect=400)["message"]

    def test_a_range_with_too_many_ticks(self, daemon, make):
        rr = make(cron="* * * * * *", mode="DISABLE")
        answer = daemon.call("POST", f"{V1}/{rr}:backfill", None, json={
            "start_time": "2025-01-01T00:00:00Z", "end_time": "2026-01-01T00:00:00Z"})
        assert answer.status_code >= 400 and "in parts" in answer.json()["message"]
