# SPDX-License-Identifier: Apache-2.0
"""The command line `rondo`: every command, both kinds of output, and the exit codes 0, 1, 2."""

import contextlib
import hashlib
import hmac
import json
import os
import pathlib
import re
import signal
import socket
import subprocess

import pytest

from rondo_testing import SHARED, Daemon, Receiver, bin_dir, shell_spec, wait_for

INSTANT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
NOBODY = "11111111-2222-4333-8444-555555555555"


def rondo(*args, host="http://127.0.0.1:1", code=0, env=None, **kwargs):
    """Run the command; the exit code must be as given. host 127.0.0.1:1: no daemon."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RONDO_")}
    environment.update({"RONDO_HOST": host, **(env or {})})
    done = subprocess.run([str(bin_dir() / "rondo"), *map(str, args)], capture_output=True, text=True, timeout=120,
                          env=environment, check=False, stdin=subprocess.DEVNULL, **kwargs)
    assert done.returncode == code, f"rondo {args}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Sanitizer" not in done.stderr and "runtime error" not in done.stderr, done.stderr
    return done


def as_json(*args, **kwargs):
    return json.loads(rondo(*args, "-o", "json", **kwargs).stdout)


@pytest.fixture(scope="module")
def daemon():
    with Daemon() as one:
        yield one


@pytest.fixture
def cli(daemon):
    def call(*args, **kwargs):
        return rondo(*args, host=daemon.url, **kwargs)
    call.json = lambda *args, **kwargs: as_json(*args, host=daemon.url, **kwargs)
    return call


@pytest.fixture
def write(tmp_path):
    def make(name="hello", **kwargs):
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(shell_spec(name=name, **kwargs)))
        return path
    return make


class TestNext:
    def test_as_the_issue_says(self):
        times = as_json("next", "0 9 * * 1-5", "--tz", "Asia/Seoul", "--from", "2026-11-20T12:00:00Z", "-n", "3")
        assert times == ["2026-11-23T00:00:00Z", "2026-11-24T00:00:00Z", "2026-11-25T00:00:00Z"]

    def test_default_is_five_from_now(self):
        times = as_json("next", "@hourly")
        assert len(times) == 5 and times == sorted(times) and all(re.fullmatch(INSTANT, t) for t in times)

    @pytest.mark.parametrize("cron, first", [
        ("*/10 * * * * *", "2026-01-01T00:00:10Z"), ("*/10 * * * *", "2026-01-01T00:10:00Z"),
        ("@every 90s", "2026-01-01T00:01:30Z"), ("CRON_TZ=America/New_York 30 1 * * *", "2026-01-01T06:30:00Z"),
        ("0 0 29 2 *", "2028-02-29T00:00:00Z"), ("@yearly", "2027-01-01T00:00:00Z")])
    def test_kinds(self, cron, first):
        assert as_json("next", cron, "--from", "2026-01-01T00:00:00Z", "-n", "1") == [first]

    def test_lines(self):
        done = rondo("next", "0 12 * * *", "--from", "2026-01-01T00:00:00Z", "-n", "2")
        assert done.stdout.split() == ["2026-01-01T12:00:00Z", "2026-01-02T12:00:00Z"]

    def test_the_gap_is_told(self):
        done = rondo("next", "30 2 * * *", "--tz", "America/New_York", "--from", "2026-03-08T00:00:00Z", "-n", "1")
        assert "clock change" in done.stdout

    def test_explained(self, tmp_path):
        """Several schedules, calendars from files, and what is special about each tick."""
        (tmp_path / "off.ics").write_text("BEGIN:VCALENDAR\nBEGIN:VEVENT\nSUMMARY:Inventory\n"
                                          "DTSTART;VALUE=DATE:20260102\nEND:VEVENT\nEND:VCALENDAR\n")
        asked = ("next", "0 9 * * *", "--also", "@every 12h/3h", "--from", "2026-01-01T08:00:00Z", "-n", "4",
                 "--exclude", str(tmp_path / "off.ics"))
        assert as_json(*asked) == ["2026-01-01T09:00:00Z", "2026-01-01T15:00:00Z"]
        lines = rondo(*asked, "--explain").stdout.splitlines()
        assert lines[0].startswith("At 09:00, UTC; and Every 12 hours") and lines[1] == "2026-01-01T09:00:00Z"
        assert lines[3] == "2026-01-02T03:00:00Z  (does not run: inside the excluded 'Inventory')"
        (tmp_path / "doc.json").write_text('{"cron": "0 0 9 ? * 2", "profile": "quartz"}')
        explained = as_json("next", "--document", str(tmp_path / "doc.json"), "--from", "2026-01-01T00:00:00Z",
                            "--explain")
        assert explained["times"][0] == "2026-01-05T09:00:00Z" and explained["hints"] == []

    def test_hints_are_not_instants(self):
        done = rondo("next", "* * * * *", "-n", "1")
        assert len(done.stdout.splitlines()) == 1 and "hint: fires 1,440 times a day" in done.stderr

    def test_without_network(self):
        """No name is looked up and nothing is connected to: the files of the zones are enough."""
        done = subprocess.run(["unshare", "-rn", str(bin_dir() / "rondo"), "next", "@daily", "--tz", "Asia/Seoul",
                               "-o", "json"], capture_output=True, text=True, check=False)
        if "unshare" in done.stderr:
            pytest.skip("no user namespaces here")
        assert done.returncode == 0 and len(json.loads(done.stdout)) == 5

    @pytest.mark.parametrize("args", [
        ["* * *"], ["0 0 30 2 *"], ["61 * * * *"], ["@never"], [""], ["x" * 100000], ["@daily", "--tz", "Mars/Base"],
        ["@daily", "--from", "yesterday"], ["@daily", "-n", "0"], ["@daily", "-n", "many"], ["@daily", "--count", "1"],
        [], ["@daily", "@daily"], ["@daily", "-n"], ["@daily", "-o", "xml"]])
    def test_mistakes(self, args):
        done = rondo("next", *args, code=2)
        assert done.stderr and done.stdout == ""


class TestLint:
    def test_good(self, write):
        assert "good" in rondo("lint", write()).stdout
        assert as_json("lint", write(image="alpine:3")) == []

    def test_invalid_corpus(self):
        folder = SHARED / "kfp-corpus" / "invalid"
        if not folder.exists():
            pytest.skip("../shared/kfp-corpus is not here")
        files = sorted(folder.iterdir())
        assert len(files) >= 6
        for file in files:
            done = rondo("lint", file, code=1)
            assert file.name in done.stderr and done.stderr.count(str(file)) == len(done.stderr.splitlines())
            found = as_json("lint", file, code=1)
            assert any(c["level"] == "error" and c["text"] for c in found)

    def test_every_complaint_with_its_line(self, tmp_path):
        spec = shell_spec()
        del spec["components"]["comp-main"]["executorLabel"]
        spec["root"]["dag"]["tasks"]["main"]["dependentTasks"] = ["ghost"]
        path = tmp_path / "two.json"
        path.write_text(json.dumps(spec, indent=1))
        errors = [c for c in as_json("lint", path, code=1) if c["level"] == "error"]
        assert len(errors) >= 2 and all(c["line"] > 1 and c["path"] for c in errors)

    def test_warnings(self, tmp_path):
        spec = shell_spec()
        container = next(iter(spec["deploymentSpec"]["executors"].values()))["container"]
        container["image"] = "busybox"
        path = tmp_path / "warned.json"
        path.write_text(json.dumps(spec, indent=1))
        done = rondo("lint", path)
        assert "warning: " in done.stderr and "'busybox' has no tag" in done.stderr
        assert "good with 1 warning: " in done.stdout
        assert [c["level"] for c in as_json("lint", path)] == ["warning"]
        strict = rondo("lint", "--strict", path, code=1)
        assert "'busybox' has no tag" in strict.stderr and strict.stdout == ""

    def test_no_such_file(self):
        assert "nowhere.yaml" in rondo("lint", "/nowhere.yaml", code=2).stderr

    def test_a_folder(self, tmp_path):
        rondo("lint", tmp_path, code=2)


class TestRun:
    def test_watch_success(self, cli, write):
        done = cli("run", write(script="echo hello $0"), "--name", "watched", "--watch")
        lines = done.stdout.splitlines()
        assert re.fullmatch(r"run [0-9a-f-]{36}", lines[0])
        assert any("SUCCEEDED" in line and "main" in line for line in lines[1:-1])
        assert lines[-1].endswith("SUCCEEDED")

    def test_watch_failure_tells_why(self, cli, write):
        done = cli("run", write(script="echo before; echo 'no such table' >&2; exit 7"), "--watch", code=1)
        assert "FAILED" in done.stdout and "7" in done.stdout and "no such table" in done.stdout

    def test_json(self, cli, write, daemon):
        run = cli.json("run", write())
        assert run["display_name"] == "hello" and run["run_id"]
        daemon.wait_run(run["run_id"])
        assert cli.json("run", write(), "--watch")["state"] == "SUCCEEDED"
        assert cli.json("run", write(script="exit 9"), "--watch", code=1)["state"] == "FAILED"

    def test_parameters(self, cli, write):
        path = write(script="echo \"[{{$.inputs.parameters['text']}}]\"", inputs={"text": None})
        run = cli.json("run", path, "-p", "text=a=b c", "--watch")
        assert cli("logs", run["run_id"]).stdout.strip().endswith("[a=b c]")
        assert cli("logs", run["run_id"], "main").stdout.strip() == "[a=b c]"
        assert "[a=b c]" in cli.json("logs", run["run_id"], "main")["log"]
        assert "text" in cli("run", path, code=2).stderr
        assert "nothing" in cli("run", path, "-p", "text=x", "-p", "nothing=1", code=2).stderr
        cli("run", path, "-p", "text", code=2)
        cli("run", path, "-p", "=x", code=2)

    def test_list_and_terminate(self, cli, write, daemon):
        run = cli.json("run", write(script="sleep 600"))["run_id"]
        wait_for(lambda: daemon.run(run)["state"] == "RUNNING", 60, "the run")
        assert run in cli("runs").stdout
        assert any(r["run_id"] == run for r in cli.json("runs", "-n", "200")["runs"])
        assert len(cli.json("runs", "-n", "1")["runs"]) == 1
        cli("terminate", run)
        wait_for(lambda: daemon.run(run)["state"] == "FAILED", 60, "its end")
        cli("terminate", NOBODY, code=1)
        cli("runs", "-n", "0", code=2)

    def test_unknown_things(self, cli, write):
        assert NOBODY in cli("logs", NOBODY, code=1).stderr
        run = cli.json("run", write(), "--watch")["run_id"]
        assert "ghost" in cli("logs", run, "ghost", code=1).stderr
        cli("run", "/nowhere.yaml", code=2)
        cli("run", write(), "--experiment-id", NOBODY, code=1)
        cli("run", write(), "--wait", code=2)

    def test_watch_when_the_daemon_goes(self, write):
        with Daemon() as daemon:
            with subprocess.Popen([str(bin_dir() / "rondo"), "run", str(write(script="sleep 600")), "--watch"],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                  env={**os.environ, "RONDO_HOST": daemon.url}) as watching:
                assert watching.stdout.readline().startswith("run ")
                daemon.kill9()
                assert "is rondod running?" in watching.communicate(timeout=60)[1]
                assert watching.returncode == 1
                daemon.start()
                run = daemon.get("/apis/v2beta1/runs")["runs"][0]["run_id"]
                daemon.post(f"/apis/v2beta1/runs/{run}:terminate")
                daemon.wait_run(run, "FAILED")


def tree_spec(marks, items=8):
    """A kept result, a task that succeeds at its second attempt, and a loop whose iteration 3 fails."""
    spec = shell_spec(name="tree")
    run = spec["deploymentSpec"]["executors"]
    spec["root"]["dag"]["tasks"]["main"]["cachingOptions"] = {"enableCache": True}
    run["exec-flaky"] = {"container": {"image": "alpine", "command": [
        "sh", "-c", f"[ -e {marks}/tried ] || {{ touch {marks}/tried; exit 1; }}"]}}
    run["exec-work"] = {"container": {"image": "alpine", "command": [
        "sh", "-c", "[ $0 != 3 ] || { printf 'no \\033[31m such\\n table' >&2; exit 7; }",
        "{{$.inputs.parameters['item']}}"]}}
    takes_item = {"parameters": {"item": {"parameterType": "NUMBER_INTEGER"}}}
    work = {"taskInfo": {"name": "work"}, "componentRef": {"name": "comp-work"}, "inputs": {
        "parameters": {"item": {"componentInputParameter": "item"}}}}
    spec["components"].update({
        "comp-flaky": {"executorLabel": "exec-flaky"},
        "comp-work": {"executorLabel": "exec-work", "inputDefinitions": takes_item},
        "comp-each": {"inputDefinitions": takes_item, "dag": {"tasks": {"work": work}}}})
    spec["root"]["dag"]["tasks"].update({
        "flaky": {"taskInfo": {"name": "flaky"}, "componentRef": {"name": "comp-flaky"}, "dependentTasks": ["main"],
                  "retryPolicy": {"maxRetryCount": 2}},
        "each": {"taskInfo": {"name": "each"}, "componentRef": {"name": "comp-each"}, "dependentTasks": ["flaky"],
                 "parameterIterator": {"itemInput": "item", "items": {"raw": json.dumps(list(range(items)))}}}})
    return spec


class TestRunGet:
    def shown(self, done):
        """Head, and of each line its depth, name, state and what is said besides its duration."""
        head, *lines = done.stdout.splitlines()
        rows = [re.fullmatch(r"( +)(\S+) +([A-Z_]+) +(-|\d+ ms|\d+\.\d s|\d+m\d\ds)(?:  (.*))?", line)
                for line in lines]
        assert all(rows), done.stdout
        return head, [(len(row[1]) // 2, row[2], row[3], row[5] or "") for row in rows]

    def test_tree(self, cli, tmp_path):
        path = tmp_path / "tree.json"
        path.write_text(json.dumps(tree_spec(tmp_path)))
        first = cli.json("run", path, "--watch", code=1)["run_id"]
        again = cli.json("run", path, "--watch", code=1)["run_id"]
        head, rows = self.shown(cli("run", "get", first))
        assert re.match(rf"run {first}  tree  FAILED +\d", head)
        assert rows[:3] == [(1, "main", "SUCCEEDED", ""), (1, "flaky", "SUCCEEDED", "2 attempts"),
                            (1, "each", "FAILED", "8 iterations: 7 SUCCEEDED, 1 FAILED")]
        assert [row[:3] for row in rows[3:]] == [(2, "[3]", "FAILED"), (3, "work", "FAILED")]
        assert rows[3][3] == "" and "7" in rows[4][3] and "such  table" in rows[4][3] and "\033" not in rows[4][3]

        _, rows = self.shown(cli("run", "get", again, "--all"))
        assert rows[0] == (1, "main", "CACHED", f"from task main of run {first}")
        assert rows[1] == (1, "flaky", "SUCCEEDED", "")
        assert [row[1] for row in rows if row[0] == 2] == [f"[{n}]" for n in range(8)]
        assert [row[2] for row in rows if row[1] == "work"] == ["SUCCEEDED"] * 3 + ["FAILED"] + ["SUCCEEDED"] * 4

    def test_a_small_loop_is_shown_whole(self, cli, tmp_path):
        path = tmp_path / "tree.json"
        path.write_text(json.dumps(tree_spec(tmp_path, items=2)))
        run = cli.json("run", path, "--watch")["run_id"]
        _, rows = self.shown(cli("run", "get", run))
        assert [row[1] for row in rows] == ["main", "flaky", "each", "[0]", "work", "[1]", "work"]

    def test_under_way(self, cli, write, daemon):
        run = cli.json("run", write(script="sleep 600"))["run_id"]
        wait_for(lambda: "RUNNING" in str(daemon.tasks(run)), 60, "the task")
        assert [row[1:3] for row in self.shown(cli("run", "get", run))[1]] == [("main", "RUNNING")]
        cli("terminate", run)
        daemon.wait_run(run, "FAILED")
        assert [row[1:3] for row in self.shown(cli("run", "get", run))[1]] == [("main", "CANCELED")]

    def test_json_is_the_record(self, cli, write, daemon):
        run = cli.json("run", write(), "--watch")["run_id"]
        assert cli.json("run", "get", run) == daemon.get(f"/apis/rondo/v1/runs/{run}")

    def test_mistakes(self, cli):
        assert NOBODY in cli("run", "get", NOBODY, code=1).stderr
        cli("run", "get", code=2)
        cli("run", "get", NOBODY, "--each", code=2)


class TestUpload:
    def test_a_version_only_when_changed(self, cli, write, daemon):
        first = cli.json("upload", write("stored"))
        assert cli.json("upload", write("stored")) == first
        second = cli.json("upload", write("stored", script="echo changed"))
        assert second["pipeline_id"] == first["pipeline_id"]
        assert second["pipeline_version_id"] != first["pipeline_version_id"]
        assert cli.json("upload", write("stored", script="echo changed")) == second
        third = cli.json("upload", write("stored"))  # back again: newer than the second
        assert third["pipeline_version_id"] not in (first["pipeline_version_id"], second["pipeline_version_id"])
        versions = daemon.get(f"/apis/v2beta1/pipelines/{first['pipeline_id']}/versions")["pipeline_versions"]
        assert len(versions) == 3
        assert "stored" in cli("pipelines").stdout
        assert any(p["pipeline_id"] == first["pipeline_id"] for p in cli.json("pipelines")["pipelines"])

    def test_names(self, cli, write):
        one = cli.json("upload", write("same"), "--name", "a name/with ?&=%")
        assert cli.json("upload", write("same"), "--name", "a name/with ?&=%") == one
        assert cli.json("upload", write("same"), "--name", "another")["pipeline_id"] != one["pipeline_id"]
        assert re.search(f"pipeline {one['pipeline_id']}, version", cli("upload", write("same"), "--name",
                                                                       "a name/with ?&=%").stdout)

    def test_mistakes(self, cli, tmp_path):
        bad = tmp_path / "bad.yaml"
        bad.write_text("a: [")
        assert "bad.yaml" in cli("upload", bad, code=2).stderr
        cli("upload", code=2)
        cli("upload", "/nowhere.yaml", code=2)


class TestCron:
    def test_life(self, cli, write, daemon):
        path = write("nightly")
        made = cli.json("cron", "add", path, "--cron", "0 3 * * *", "--tz", "Europe/Berlin", "--name", "night",
                        "--max-concurrency", "2", "--no-catchup")
        one = made["recurring_run_id"]
        assert made["status"] == "ENABLED" and made["max_concurrency"] == "2" and made["no_catchup"] is True
        assert len(made["next_run_times"]) == 3
        rows = cli.json("cron", "list")["recurringRuns"]
        assert [r["display_name"] for r in rows if r["recurring_run_id"] == one] == ["night"]
        assert re.search(rf"{one} +night +ENABLED +0 3 \* \* \*", cli("cron", "list").stdout)
        assert cli("cron", "disable", one).stdout == ""
        assert daemon.get(f"/apis/v2beta1/recurringruns/{one}")["status"] == "DISABLED"
        assert cli.json("cron", "enable", one) == {}
        assert daemon.get(f"/apis/v2beta1/recurringruns/{one}")["status"] == "ENABLED"
        again = cli.json("cron", "add", path, "--cron", "0 3 * * *", "--name", "night", "--if-missing")
        assert again["recurring_run_id"] == one
        assert cli.json("cron", "rm", one) == {}
        for verb in ("enable", "disable", "rm"):
            assert one in cli("cron", verb, one, code=1).stderr

    def test_every(self, cli, write, daemon):
        made = cli.json("cron", "add", write(script="echo tick"), "--every", "1s", "--name", "ticks")
        one = made["recurring_run_id"]
        wait_for(lambda: [r for r in daemon.get("/apis/v2beta1/runs", page_size=200).get("runs", [])
                          if r.get("recurring_run_id") == one and r["state"] == "SUCCEEDED"], 60, "a firing")
        cli("cron", "rm", one)

    def test_text(self, cli, write):
        out = cli("cron", "add", write(), "--every", "10m", "--disabled", "--start", "2030-01-01T00:00:00Z").stdout
        one = re.match(r"recurring run ([0-9a-f-]{36})\n", out)[1]
        cli("cron", "rm", one)

    def test_many_pages(self, cli, write, daemon):
        body = {"max_concurrency": "1", "mode": "DISABLE", "pipeline_spec": shell_spec(),
                "trigger": {"cron_schedule": {"cron": "0 0 9 * * *"}}}
        made = [daemon.post("/apis/v2beta1/recurringruns", {"display_name": f"page {n}", **body})["recurring_run_id"]
                for n in range(205)]
        listed = [r["recurring_run_id"] for r in cli.json("cron", "list")["recurringRuns"]]
        assert set(made) <= set(listed) and len(set(listed)) == len(listed)
        for one in made:
            daemon.delete(f"/apis/v2beta1/recurringruns/{one}")

    @pytest.mark.parametrize("args", [
        [], ["--cron", "0 3 * * *", "--every", "5m"], ["--cron", "0 0 31 2 *"], ["--cron", "x"], ["--every", "0"],
        ["--every", "100ms"], ["--every", "soon"], ["--cron", "@daily", "--tz", "Nowhere"],
        ["--cron", "@daily", "--max-concurrency", "1000001"], ["--cron", "@daily", "--max-concurrency", "0"],
        ["--cron", "@daily", "--start", "tomorrow"], ["--cron", "@daily", "-p", "ghost=1"], ["--cron"]])
    def test_mistakes(self, cli, write, args, daemon):
        before = len(cli.json("cron", "list")["recurringRuns"])
        assert cli("cron", "add", write(), *args, code=2).stderr
        assert len(cli.json("cron", "list")["recurringRuns"]) == before


class TestWebhooksAndGit:
    def test_webhook_changes(self, write, tmp_path):
        secret = tmp_path / "secret"
        secret.write_text("whsec_" + "A" * 43 + "=\n")
        headers = tmp_path / "headers"
        headers.write_text("Authorization: Bearer hush\nX-B: 2\n")
        with Receiver() as receiver, Daemon(settings={"executor": "noop", "webhook_allow": "127.0.0.1"}) as daemon:
            def webhook(*args, **kwargs):
                return rondo("webhook", *args, host=daemon.url, **kwargs)
            out = webhook(
                "add", receiver.url, "--name", "all", "--events", "run.*,task.finished", "--filter", "data.run_name != 'x'",
                "--pipelines", "p,q", "--experiments", "e", "--recurring-runs", "r", "--namespaces", "n", "--format",
                "cloudevents", "--payload", "thin", "--order", "run", "--header", f"@{headers}", "--header", "X-C: 3",
                "--max-in-flight", "3", "--max-per-second", "9", "--timeout", "20s", "--secret", f"@{secret}", "--disabled").stdout
            assert secret.read_text().strip() in out
            (one,) = as_json("webhook", "list", host=daemon.url)["subscriptions"]
            expected = {
                "name": "all", "events": ["run.*", "task.finished"], "filter": "data.run_name != 'x'", "pipelines": ["p", "q"],
                "experiments": ["e"], "recurring_runs": ["r"], "namespaces": ["n"], "format": "cloudevents", "payload": "thin",
                "order": "run", "max_in_flight": 3, "max_per_second": 9, "timeout_ms": 20000, "enabled": False,
                "header_names": ["Authorization", "X-B", "X-C"]}
            assert expected.items() <= one.items()
            assert " run.*,task.finished " in webhook("list").stdout
            shown = webhook("show", one["id"]).stdout
            assert re.search(r"^header names +Authorization, X-B, X-C$", shown, re.M) and "hush" not in shown
            assert re.search(r"^events +run.\*, task.finished$", shown, re.M) and re.search(r"^enabled +no$", shown, re.M)
            again = webhook("add", receiver.url, "--name", "all", "--if-missing").stdout
            assert again == f"subscription {one['id']}\n"
            assert len(as_json("webhook", "list", host=daemon.url)["subscriptions"]) == 1
            webhook("add", receiver.url, "--if-missing", code=2)
            webhook("ping", one["id"], code=2)  # disabled
            webhook("enable", one["id"])
            webhook("edit", one["id"], "--header", "X-B:", "--clear", "pipelines", "--clear", "filter", "--clear", "format", "--name", "less")
            edited = as_json("webhook", "show", one["id"], host=daemon.url)
            assert edited["header_names"] == ["Authorization", "X-C"] and edited["pipelines"] == []
            assert edited["name"] == "less" and edited["format"] == "standard" and "filter" not in edited
            webhook("edit", one["id"], "--rev", edited["rev"] - 1, "--name", "late", code=1)
            assert re.match(r"delivered [0-9a-f-]{36}: 200 in \d+ ms\n$", webhook("ping", one["id"], "--wait", "20s").stdout)
            rotated = webhook("rotate", one["id"], "--overlap", "2h").stdout
            assert rotated.startswith("secret whsec_") and re.search(r"^signs +v1 until \d{4}-", rotated, re.M)
            assert webhook("rotate", one["id"], "--scheme", "v1a").stdout.startswith("public key whpk_")
            webhook("disable", one["id"], "--reason", "holidays")
            assert "holidays" in webhook("list").stdout
            webhook("enable", one["id"])
            receiver.status = 500
            assert "500" in webhook("ping", one["id"], code=1).stderr
            assert as_json("webhook", "ping", one["id"], host=daemon.url, code=1)["state"] == "FAILED"
            for bad in (["edit", one["id"], "--header", "nonsense"], ["edit", one["id"], "--max-in-flight", "x"],
                        ["edit", one["id"], "--clear", "secret"], ["rotate", one["id"], "--secret", "@/nowhere"],
                        ["add", receiver.url, "--timeout", "soon"], ["ping"], ["show"]):
                assert webhook(*bad, code=2).stderr
            for verb in ("show", "edit", "rotate", "enable", "disable", "ping"):
                webhook(verb, NOBODY, code=1)

    def test_webhook(self, cli):
        made = cli.json("webhook", "add", "https://example.com/hook", "--events", "task.finished,artifact.*",
                        "--name", "mine")
        assert made["events"] == ["task.finished", "artifact.*"] and made["secret"].startswith("whsec_")
        one = made["id"]
        assert one in cli("webhook", "list").stdout and made["secret"] not in cli("webhook", "list").stdout
        assert any(s["id"] == one for s in cli.json("webhook", "list")["subscriptions"])
        assert cli.json("webhook", "deliveries", one) == {"deliveries": []}
        cli("webhook", "deliveries", one)
        assert cli.json("webhook", "rm", one) == {}
        cli("webhook", "rm", one, code=1)
        cli("webhook", "deliveries", one, code=1)
        assert "whsec_" in cli("webhook", "add", "https://example.com/").stdout
        cli("webhook", "add", "gopher://example.com", code=2)
        cli("webhook", "add", "http://127.0.0.1:9/", code=2)

    def test_events(self, cli):
        listed = cli.json("events")["types"]
        assert {"run.finished", "webhook.ping"} <= {t["type"] for t in listed}
        assert re.search(r"^run.finished +1 +a run has ended$", cli("events").stdout, re.M)
        shown = cli("events", "run.finished").stdout
        assert re.search(r"^state +string +yes +yes +how it ended", shown, re.M) and '"type": "run.finished"' in shown
        assert cli.json("events", "run.finished") in listed
        schema = json.loads(cli("events", "run.finished", "--schema").stdout)
        assert schema["$id"] == "urn:rondo:event:run.finished:1"
        assert "events/types lists them" in cli("events", "run.vanished", code=1).stderr
        cli("events", "--schema", code=2)

    def test_git_and_its_repository(self, cli, daemon, tmp_path):
        daemon.upload(json.dumps(shell_spec(name="theirs")), "theirs")
        token = tmp_path / "token"
        token.write_text("ghp_one\n")
        made = cli.json("git", "add", "theirs", "--forge", "github", "--repository", "me/it", "--file", "a/b.yaml",
                        "--api-token-file", str(token), "--commit-status", "on", "--status-context", "ci", "--poll", "5m")
        assert made["file"] == "a/b.yaml" and made["api"] == {"has_token": True}
        assert made["commit_status"] is True and made["status_context"] == "ci" and made["poll_s"] == 300
        one = made["id"]
        assert "api-token-file" in cli("git", "edit", one, "--api-url", "https://git.example.com", code=2).stderr
        edited = cli.json("git", "edit", one, "--api-url", "https://git.example.com", "--api-username", "bot",
                          "--api-token-file", str(token), "--commit-status", "off", "--poll", "")
        assert edited["api"] == {"url": "https://git.example.com", "username": "bot", "has_token": True}
        assert edited["commit_status"] is False and "poll_s" not in edited
        assert "on or off" in cli("git", "edit", one, "--commit-status", "yes", code=2).stderr
        assert "--api-token-file" in cli("git", "edit", one, "--api-token-file", "/nowhere", code=1).stderr

    def test_git(self, cli, daemon, tmp_path):
        inputs = {"commit": "none", "id": "none", "lr": "0.1", "text": "t", "word": "w"}
        daemon.upload(json.dumps(shell_spec(name="pushed", inputs=inputs)), "pushed")
        made = cli.json("git", "add", "pushed", "--branches", "main,release/**", "--repository", "me/it",
                        "-p", "commit=$commit", "-p", "id=/head_commit/id", "-p", "lr=0.1", "-p", "text=v$branch!",
                        "-p", "word=cel:push.actor", "--default", "id=none", "--policy", "queue", "--max-waiting", "3",
                        "--skip-ci", "any", "--max-files", "300", "--forge", "github")
        assert made["parameters"] == {
            "commit": {"from": "$commit"}, "id": {"from": "/head_commit/id", "default": "none"}, "lr": 0.1,
            "text": {"template": "v$branch!"}, "word": {"cel": "push.actor"}}
        assert made["branches"] == ["main", "release/**"] and len(made["secret"]) >= 20
        assert made["concurrency"] == {"policy": "queue", "max_waiting": 3} and made["max_files"] == 300
        one = made["id"]
        assert one in cli("git", "list").stdout and f"/hooks/{one}" in cli("git", "show", one).stdout
        assert made["secret"] not in json.dumps(cli.json("git", "list"))
        edited = cli.json("git", "edit", one, "--branches", "", "--policy", "cancel", "-p", "lr=0.2", "--paths", "x/**")
        assert "branches" not in edited and edited["concurrency"] == {"policy": "cancel", "max_waiting": 3}
        assert edited["parameters"]["lr"] == 0.2 and edited["parameters"]["commit"] == {"from": "$commit"}
        cli("git", "disable", one)
        assert cli.json("git", "show", one)["enabled"] is False
        cli("git", "enable", one)
        assert cli.json("git", "rotate", one, "--overlap", "1h")["secret"] != made["secret"]
        payload = tmp_path / "push.json"
        payload.write_text(json.dumps({
            "ref": "refs/heads/main", "before": "1" * 40, "after": "2" * 40, "created": False, "deleted": False,
            "forced": False, "repository": {"full_name": "me/it"}, "pusher": {"name": "ann"},
            "head_commit": {"id": "c0", "message": "m"}, "commits": [
                {"id": "c0", "message": "m", "added": ["x/y"], "modified": [], "removed": []}]}))
        told = cli("git", "explain", one, "--payload", str(payload), "--forge", "github").stdout
        assert "starts a run" in told and "x/y matches 'x/**'" in told and '"text":"vmain!"' in told
        cli("git", "edit", one, "--branches", "dev")
        told = cli("git", "explain", one, "--payload", str(payload), "-H", "X-GitHub-Event: push", "-H",
                   "X-GitHub-Delivery: d").stdout
        assert "starts nothing" in told and "NO  branches" in told
        body = payload.read_bytes()
        secret = cli.json("git", "rotate", one)["secret"]
        signature = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        daemon.call("POST", f"/hooks/{one}", 200, data=body, headers={
            "X-GitHub-Event": "push", "X-GitHub-Delivery": "d", "X-Hub-Signature-256": signature})
        (event,) = cli.json("git", "events", one)["events"]
        assert "no pattern in branches matches main" in cli("git", "events", one).stdout
        assert cli.json("git", "events", one, event["id"])["payload"]["ref"] == "refs/heads/main"
        assert "starts nothing" in cli("git", "explain", one, event["id"]).stdout
        cli("git", "edit", one, "--branches", "main")
        run = cli.json("git", "redeliver", one, event["id"])["run_id"]
        assert "duplicate" in cli("git", "redeliver", one, event["id"]).stdout
        assert "started" in cli("git", "redeliver", one, event["id"], "--force").stdout
        assert "push of me/it refs/heads/main " + "2" * 40 + " by ann: m" in cli("run", "get", run).stdout
        assert cli.json("git", "rm", one) == {}
        cli("git", "rm", one, code=1)
        assert "ghost" in cli("git", "add", "ghost", code=1).stderr
        cli("git", "add", "pushed", "--secret", "short", code=2)
        cli("git", "add", "pushed", "-p", "a=$nothing", code=2)
        assert "no such input" in cli("git", "add", "pushed", "-p", "speed=1", code=2).stderr
        for bad in (["--max-files", "x"], ["--default", "a=1"], ["-p", "x"], ["--policy", "x"]):
            cli("git", "add", "pushed", *bad, code=2)
        cli("git", "explain", one, code=2)
        cli("git", "explain", one, "--payload", str(tmp_path / "none"), code=2)

    def test_listen(self, tmp_path, write):
        """A receiver of its own; when it is told to end it takes its subscription back."""
        with Daemon(settings={"executor": "noop", "webhook_allow": "127.0.0.1"}) as daemon:
            out = tmp_path / "out"
            with open(out, "w") as file, subprocess.Popen(
                    [str(bin_dir() / "rondo"), "listen", "--name", "me", "-o", "json"], stdout=file,
                    stderr=subprocess.STDOUT, env={**os.environ, "RONDO_HOST": daemon.url}) as listening:
                subscribed = lambda: daemon.get("/apis/rondo/v1/subscriptions")["subscriptions"]  # noqa: E731
                wait_for(subscribed, 60, "the subscription")
                rondo("run", write(), "--watch", host=daemon.url)
                wait_for(lambda: "run.finished" in out.read_text(), 60, "the event")
                url = subscribed()[0]["url"]
                with contextlib.suppress(OSError):
                    import requests
                    assert requests.post(url, json={}, timeout=60).status_code == 401
                    assert requests.get(url, timeout=60).status_code == 405
                listening.send_signal(signal.SIGTERM)
                assert listening.wait(60) == 0
            kinds = [json.loads(line)["type"] for line in out.read_text().splitlines() if line.startswith("{")]
            assert kinds[:2] == ["run.created", "run.started"] and kinds[-1] == "run.finished"
            assert subscribed() == []

    def test_listen_gives_up(self):
        with Daemon(settings={"executor": "noop", "webhook_allow": "127.0.0.1"}) as daemon:
            done = rondo("listen", "--once", "--timeout", "300ms", host=daemon.url, code=1)
            assert "recurring_run.fired" in done.stderr
            assert daemon.get("/apis/rondo/v1/subscriptions")["subscriptions"] == []
        with Daemon(settings={"executor": "noop"}) as daemon:
            assert "--webhook-allow" in rondo("listen", host=daemon.url, code=1).stderr


class TestEverywhere:
    def test_help(self):
        text = rondo("--help").stdout
        for command in ("run", "run get", "runs", "logs", "terminate", "upload", "pipelines", "cron add", "cron list", "cron enable",
                        "cron disable", "cron rm", "next", "lint", "webhook add", "git add", "git edit", "git events",
                        "git explain", "git redeliver", "listen"):
            assert re.search(rf"\n  {command}[ \n]", text)
        assert rondo(code=2).stderr
        for words in (["webhook", "--help"], ["webhook", "-h"], ["help", "webhook"]):
            text = rondo(*words).stdout
            assert "\n  webhook list\n" in text and text.startswith("  webhook add URL ") and "git add" not in text
        for words in (["webhook", "ping", "--help"], ["help", "webhook", "ping"]):
            assert rondo(*words).stdout.startswith("  webhook ping ID ") and "webhook add" not in rondo(*words).stdout
        told = rondo("cron", "bake", code=2).stderr
        assert "there is no command 'cron bake'" in told and "\n  cron add FILE " in told
        assert rondo("--version").stdout.startswith("rondo ")

    @pytest.mark.parametrize("args", [
        ["bake"], ["cron"], ["cron", "bake"], ["run"], ["run", "get"], ["runs", "--host"], ["runs", "-o"], ["runs", "extra"], ["logs"],
        ["logs", "a", "b", "c"], ["cron", "rm"], ["webhook", "add"], ["git", "add"], ["upload", "a", "b"]])
    def test_wrong_use(self, args):
        assert rondo(*args, code=2).stderr

    @pytest.mark.parametrize("args", [
        ["runs"], ["run", "get", NOBODY], ["pipelines"], ["cron", "list"], ["cron", "enable", NOBODY], ["cron", "disable", NOBODY],
        ["cron", "rm", NOBODY], ["terminate", NOBODY], ["logs", NOBODY], ["webhook", "list"], ["webhook", "rm", NOBODY],
        ["webhook", "add", "https://example.com"], ["webhook", "deliveries", NOBODY], ["webhook", "show", NOBODY],
        ["webhook", "edit", NOBODY], ["webhook", "rotate", NOBODY], ["webhook", "ping", NOBODY], ["git", "list"],
        ["git", "add", "x"], ["git", "rm", NOBODY], ["git", "show", NOBODY], ["git", "edit", NOBODY],
        ["git", "enable", NOBODY], ["git", "disable", NOBODY], ["git", "rotate", NOBODY], ["git", "events", NOBODY],
        ["git", "explain", NOBODY, NOBODY], ["git", "redeliver", NOBODY, NOBODY],
        ["git", "drop", NOBODY, NOBODY], ["listen"], ["run", "FILE"], ["upload", "FILE"],
        ["cron", "add", "FILE", "--every", "5m"]])
    @pytest.mark.parametrize("output", ["table", "json"])
    def test_daemon_away(self, args, output, write):
        args = [str(write()) if a == "FILE" else a for a in args]
        done = rondo(*args, "-o", output, code=1)
        assert done.stderr.count("\n") == 1 and "is rondod running?" in done.stderr and done.stdout == ""

    def test_something_else_answers(self, write):
        with Receiver(status=lambda _: (200, {}, b"<html>")) as other:
            host = f"http://127.0.0.1:{other.port}"
            rondo("runs", host=host, code=1)
            rondo("run", write(), host=host, code=1)
        with socket.create_server(("127.0.0.1", 0)) as deaf:
            deaf.close()
            rondo("runs", "--host", "not a url", code=1)

    def test_token(self, tmp_path):
        tokens = tmp_path / "tokens"
        tokens.write_text(hashlib.sha256(b"good").hexdigest())
        with Daemon(token="good", settings={"executor": "noop", "tokens_file": tokens}) as daemon:
            assert "token" in rondo("runs", host=daemon.url, code=1).stderr
            rondo("runs", "--token", "bad", host=daemon.url, code=1)
            rondo("runs", "--token", "good", host=daemon.url)
            rondo("runs", host=daemon.url, env={"RONDO_TOKEN": "good"})
            assert as_json("runs", "--host", daemon.url + "/", "--token", "good") == {}

    def test_escape_sequences_do_not_reach_the_terminal(self, cli, write):
        cli("upload", write("plain"), "--name", "evil \u001b[31m name\u0007")
        assert "\u001b" not in cli("pipelines").stdout and "\u0007" not in cli("pipelines").stdout


def test_the_paths_of_this_file():
    assert pathlib.Path(bin_dir() / "rondo").exists()
