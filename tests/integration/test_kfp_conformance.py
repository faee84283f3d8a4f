# SPDX-License-Identifier: Apache-2.0
"""What KFP's own client and API tests ask of a server, retold; and all replies against KFP's swagger."""

import base64
import datetime
import json
import pathlib
import re
import time

import pytest

from rondo_testing import SHARED, Daemon, Redis, shell_spec, wait_for

V2 = "/apis/v2beta1"
NOBODY = "11111111-2222-4333-8444-555555555555"
SWAGGER = SHARED / "kfp-api" / "kfp_api_single_file.swagger.json"
# What rondo tells besides; KFP's clients skip fields they do not know.
EXTRAS = {"next_run_times", "last_run_time", "time_zone", "generation", "index"}


@pytest.fixture(scope="module")
def daemon():
    with Daemon() as one:
        yield one


@pytest.fixture(scope="module")
def quick():
    """Steps succeed at once."""
    with Daemon(settings={"executor": "noop"}) as one:
        yield one


def spec_text(**kwargs):
    return json.dumps(shell_spec(**kwargs))


def version_of(daemon, pipeline_id):
    return daemon.get(f"{V2}/pipelines/{pipeline_id}/versions")["pipeline_versions"][0]["pipeline_version_id"]


def iso(seconds):
    when = datetime.datetime.fromtimestamp(time.time() + seconds, datetime.timezone.utc)
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def artifact_spec(script):
    """One task `main` with an output artifact `model`."""
    spec = shell_spec(script)
    spec["components"]["comp-main"]["outputDefinitions"] = {
        "artifacts": {"model": {"artifactType": {"schemaTitle": "system.Model", "schemaVersion": "0.0.1"}}}}
    container = spec["deploymentSpec"]["executors"]["exec-main"]["container"]
    container["command"] += ["{{$.outputs.artifacts['model'].path}}"]
    return spec


class TestTeardown:
    """The order in which the SDK's client tests clean up, however far the run is."""

    @pytest.mark.parametrize("script, wait", [("true", True), ("true", False), ("sleep 60", False)],
                             ids=["finished", "just created", "running"])
    def test_runs_versions_pipeline_experiment(self, daemon, script, wait):
        name = f"teardown-{script}-{wait}"
        experiment = daemon.post(f"{V2}/experiments", {"display_name": name})["experiment_id"]
        pipeline = daemon.upload(spec_text(script=script), name)["pipeline_id"]
        second = daemon.upload_version(pipeline, spec_text(script=script), name + "-2")["pipeline_version_id"]
        run = daemon.create_run(name=name, experiment_id=experiment, pipeline_version_reference={
            "pipeline_id": pipeline, "pipeline_version_id": second})["run_id"]
        if wait:
            daemon.wait_run(run)
        for verb in (":terminate", ":archive"):
            assert daemon.post(f"{V2}/runs/{run}{verb}") == {}
        assert daemon.delete(f"{V2}/runs/{run}") == {}
        daemon.get(f"{V2}/runs/{run}", expect=404)
        refused = daemon.delete(f"{V2}/pipelines/{pipeline}", expect=400)
        assert "cascade=true" in refused["message"]
        for version in daemon.get(f"{V2}/pipelines/{pipeline}/versions")["pipeline_versions"]:
            daemon.delete(f"{V2}/pipelines/{pipeline}/versions/{version['pipeline_version_id']}")
        assert daemon.get(f"{V2}/pipelines/{pipeline}/versions") == {}
        daemon.delete(f"{V2}/pipelines/{pipeline}")
        daemon.post(f"{V2}/experiments/{experiment}:archive")
        assert daemon.get(f"{V2}/experiments/{experiment}")["storage_state"] == "ARCHIVED"
        daemon.delete(f"{V2}/experiments/{experiment}")
        daemon.get(f"{V2}/experiments/{experiment}", expect=404)

    def test_cascade(self, quick):
        pipeline = quick.upload(spec_text(), "cascade")["pipeline_id"]
        quick.delete(f"{V2}/pipelines/{pipeline}", cascade="true")
        quick.get(f"{V2}/pipelines/{pipeline}", expect=404)

    def test_logs_go_with_the_run(self):
        with Daemon(settings={"forget_after": "1s"}) as daemon:
            soon, late = (daemon.create_run(shell_spec("echo gone"), name)["run_id"] for name in ("soon", "late"))
            daemon.wait_run(soon)
            daemon.delete(f"{V2}/runs/{soon}")  # while its end is still remembered
            daemon.wait_run(late)
            logs = pathlib.Path(daemon.data) / "logs"
            wait_for((logs / late).exists, 60, "the kept log")
            daemon.delete(f"{V2}/runs/{late}")
            wait_for(lambda: not list(logs.iterdir()), 60, "the end of all logs")
            wait_for(lambda: not list((pathlib.Path(daemon.data) / "work").iterdir()), what="the end of all folders")


class TestTags:
    BAD = [
        {"k" * 64: "v"}, {"k": "v" * 64}, {"": "v"}, {"a.b": "v"}, {f"k{i}": "v" for i in range(21)},
    ]
    GOOD = [{"k" * 63: "v" * 63}, {f"k{i}": "v" for i in range(20)}]

    @pytest.mark.parametrize("tags", BAD, ids=["key", "value", "empty", "dot", "many"])
    def test_refused(self, quick, tags):
        pipeline = quick.post(f"{V2}/pipelines", {"name": f"bad-tags-{self.BAD.index(tags)}"})["pipeline_id"]
        quick.patch(f"{V2}/pipelines/{pipeline}", {"tags": tags}, expect=400)
        quick.post(f"{V2}/pipelines", {"name": "never", "tags": tags}, expect=400)
        quick.upload(spec_text(), "never", tags=json.dumps(tags), expect=400)
        assert "tags" not in quick.get(f"{V2}/pipelines/{pipeline}")
        assert quick.get(f"{V2}/pipelines", filter=json.dumps({"predicates": [
            {"operation": "EQUALS", "key": "name", "string_value": "never"}]})) == {}

    @pytest.mark.parametrize("tags", GOOD, ids=["long", "many"])
    def test_taken(self, quick, tags):
        made = quick.post(f"{V2}/pipelines", {"name": f"good-tags-{self.GOOD.index(tags)}", "tags": tags})
        assert quick.get(f"{V2}/pipelines/{made['pipeline_id']}")["tags"] == tags

    def test_absent_keeps_empty_clears_else_replaces(self, quick):
        path = f"{V2}/pipelines/" + quick.post(f"{V2}/pipelines", {
            "name": "patched-tags", "tags": {"a": "1", "b": "2"}})["pipeline_id"]
        assert quick.patch(path, {"display_name": "new name"})["tags"] == {"a": "1", "b": "2"}
        changed = quick.patch(path, {"tags": {"c": "3"}})
        assert changed["tags"] == {"c": "3"} and changed["display_name"] == "new name"
        assert "tags" not in quick.patch(path, {"tags": {}})
        assert quick.patch(path, {"display_name": ""})["display_name"] == "new name"
        assert quick.get(path)["name"] == "patched-tags"

    def test_versions(self, quick):
        pipeline = quick.upload(spec_text(), "tagged-versions")["pipeline_id"]
        path = f"{V2}/pipelines/{pipeline}/versions/{version_of(quick, pipeline)}"
        assert quick.patch(path, {"tags": {"stage": "test"}})["tags"] == {"stage": "test"}
        quick.patch(path, {"tags": {"a.b": "c"}}, expect=400)
        assert quick.patch(path, {"display_name": "renamed"})["display_name"] == "renamed"
        assert quick.get(path)["tags"] == {"stage": "test"}

    def test_unknown_and_deleted(self, quick):
        quick.patch(f"{V2}/pipelines/{NOBODY}", {"tags": {"a": "b"}}, expect=404)
        pipeline = quick.post(f"{V2}/pipelines", {"name": "short-lived", "tags": {"gone": "yes"}})["pipeline_id"]
        wanted = json.dumps({"predicates": [{"operation": "EQUALS", "key": "tags.gone", "string_value": "yes"}]})
        assert quick.get(f"{V2}/pipelines", filter=wanted)["total_size"] == 1
        quick.delete(f"{V2}/pipelines/{pipeline}")
        assert quick.get(f"{V2}/pipelines", filter=wanted) == {}
        quick.patch(f"{V2}/pipelines/{pipeline}", {"tags": {"a": "b"}}, expect=404)


class TestLists:
    NAMES = ["delta", "alpha", "charlie", "bravo", "echo"]
    KINDS = {
        "pipelines": lambda d, n: d.post(f"{V2}/pipelines", {"name": n})["pipeline_id"],
        "experiments": lambda d, n: d.post(f"{V2}/experiments", {"display_name": n})["experiment_id"],
        "runs": lambda d, n: d.create_run(shell_spec(), n)["run_id"],
        "recurringruns": lambda d, n: d.post(f"{V2}/recurringruns", {
            "display_name": n, "max_concurrency": "1", "mode": "DISABLE", "pipeline_spec": shell_spec(),
            "trigger": {"periodic_schedule": {"interval_second": "60"}}})["recurring_run_id"],
    }

    @pytest.mark.parametrize("kind", KINDS)
    def test_pages_orders_filters(self, kind):
        with Daemon(settings={"executor": "noop"}) as daemon:
            wait_for(lambda: kind != "experiments" or daemon.get(f"{V2}/experiments"), 60, "Default")
            before = daemon.get(f"{V2}/{kind}").get("total_size", 0)
            ids = [self.KINDS[kind](daemon, name) for name in self.NAMES]
            key = "recurringRuns" if kind == "recurringruns" else kind
            own = {"pipelines": "pipeline_id", "experiments": "experiment_id", "runs": "run_id",
                   "recurringruns": "recurring_run_id"}[kind]

            def pages(size, **params):
                rows, token = [], ""
                while token is not None:
                    page = daemon.get(f"{V2}/{kind}", page_size=size, page_token=token, **params)
                    assert page["total_size"] == before + len(ids)
                    assert len(page[key]) <= size
                    rows += [row for row in page[key] if row[own] in ids]
                    token = page.get("next_page_token")
                return rows

            by_name = sorted(self.NAMES)
            for size in (1, 2, 5, 100):
                assert [row[own] for row in pages(size)] == ids
                assert [row[own] for row in pages(size, sort_by="created_at")] == ids
                assert [row[own] for row in pages(size, sort_by="created_at desc")] == ids[::-1]
                assert [row["display_name"] for row in pages(size, sort_by="name")] == by_name
                assert [row["display_name"] for row in pages(size, sort_by="name desc")] == by_name[::-1]
            one = daemon.get(f"{V2}/{kind}", filter=json.dumps({"predicates": [
                {"operation": "IN", "key": "name", "string_values": {"values": ["alpha", "echo"]}},
                {"operation": "IS_SUBSTRING", "key": "name", "string_value": "LPH"}]}))
            assert [row["display_name"] for row in one[key]] == ["alpha"] and one["total_size"] == 1
            first = daemon.get(f"{V2}/{kind}", page_size=1)
            daemon.get(f"{V2}/{kind}", expect=400, page_token=first["next_page_token"], sort_by="name")
            daemon.get(f"{V2}/{kind}", expect=400, page_token="bm9uc2Vuc2U=")
            daemon.get(f"{V2}/{kind}", expect=400, sort_by="no_such_field")
            daemon.get(f"{V2}/{kind}", expect=400, filter="{broken")
            daemon.get(f"{V2}/{kind}", expect=400, page_size="-1")

    def test_rows_that_went_meanwhile(self, quick):
        """The page that a token names begins with the next one that is still there."""
        experiment = quick.post(f"{V2}/experiments", {"display_name": "went"})["experiment_id"]
        ids = [quick.create_run(shell_spec(), f"went-{i}", experiment_id=experiment)["run_id"] for i in range(6)]
        quick.wait_run(ids[-1])
        page = quick.get(f"{V2}/runs", experiment_id=experiment, page_size=2)
        quick.delete(f"{V2}/runs/{ids[2]}")
        quick.delete(f"{V2}/runs/{ids[0]}")
        rest = quick.get(f"{V2}/runs", experiment_id=experiment, page_token=page["next_page_token"])
        assert [run["run_id"] for run in rest["runs"]] == ids[3:] and rest["total_size"] == 4


class TestCatchUp:
    """A window that is over: with catching up all its slots run, without it the last one."""

    @pytest.mark.parametrize("no_catchup, runs", [(False, 2), (True, 1)])
    @pytest.mark.parametrize("trigger", [
        {"cron_schedule": {"cron": "0 * * * * *"}}, {"periodic_schedule": {"interval_second": "60"}}],
        ids=["cron", "periodic"])
    def test_past_window(self, quick, trigger, no_catchup, runs):
        (kind, schedule), = trigger.items()
        experiment = quick.post(f"{V2}/experiments", {
            "display_name": f"window-{kind}-{no_catchup}"})["experiment_id"]
        minute = -time.time() % 60  # the window begins 15 s past a minute, and holds two of them
        window = {"start_time": iso(minute - 240 + 15), "end_time": iso(minute - 240 + 15 + 130)}
        made = quick.post(f"{V2}/recurringruns", {
            "display_name": "window", "experiment_id": experiment, "max_concurrency": "2", "mode": "ENABLE",
            "no_catchup": no_catchup, "pipeline_spec": shell_spec(), "trigger": {kind: {**schedule, **window}}})
        path = f"{V2}/recurringruns/{made['recurring_run_id']}"
        wait_for(lambda: "next_run_times" not in quick.get(path), 60, "the end of the window")
        found = wait_for(lambda: (f := quick.get(f"{V2}/runs", experiment_id=experiment)).get("total_size", 0) >= runs and f,
                         what="its runs")
        assert found["total_size"] == runs
        assert all(run["recurring_run_id"] == made["recurring_run_id"] for run in found["runs"])
        assert all(window["start_time"] <= run["scheduled_at"] <= window["end_time"] for run in found["runs"])

    def test_without_a_trigger_once_and_latest(self, quick):
        pipeline = quick.upload(spec_text(), "use-latest")["pipeline_id"]
        latest = quick.upload_version(pipeline, spec_text(), "use-latest-2")["pipeline_version_id"]
        experiment = quick.post(f"{V2}/experiments", {"display_name": "use-latest"})["experiment_id"]
        made = quick.post(f"{V2}/recurringruns", {
            "display_name": "once", "experiment_id": experiment, "max_concurrency": "1", "mode": "ENABLE",
            "pipeline_version_reference": {"pipeline_id": pipeline}})
        assert made["pipeline_version_reference"] == {"pipeline_id": pipeline}
        runs = wait_for(lambda: quick.get(f"{V2}/runs", experiment_id=experiment).get("runs"), 60, "its run")
        assert [run["pipeline_version_reference"]["pipeline_version_id"] for run in runs] == [latest]
        quick.wait_run(runs[0]["run_id"])
        assert quick.get(f"{V2}/runs", experiment_id=experiment)["total_size"] == 1


class TestArtifactRead:
    @pytest.mark.parametrize("size", [0, 1, 2, 3, 196608, 1000000])
    def test_bytes(self, daemon, size):
        script = f'mkdir -p "$(dirname "$0")"; head -c {size} /dev/zero | tr "\\0" x > "$0"'
        run = daemon.create_run(artifact_spec(script), f"artifact-{size}")["run_id"]
        done = daemon.wait_run(run)
        main = daemon.tasks(run)["main"]
        assert main["id"] in [task["task_id"] for task in done["run_details"]["task_details"]]
        for node in (main["id"], "main"):
            answer = daemon.call("GET", f"{V2}/runs/{run}/nodes/{node}/artifacts/model:read")
            assert answer.headers["Content-Type"] == "application/json"
            assert base64.b64decode(answer.json()["data"]) == b"x" * size
        for path in (f"{run}/nodes/main/artifacts/other", f"{run}/nodes/other/artifacts/model",
                     f"{NOBODY}/nodes/main/artifacts/model"):
            refused = daemon.get(f"{V2}/runs/{path}:read", expect=404)
            assert refused["error_message"] and refused["code"] == 5

    def test_folder(self, daemon):
        run = daemon.create_run(artifact_spec('mkdir -p "$0"; echo a > "$0/a"'), "artifact-folder")["run_id"]
        daemon.wait_run(run)
        answer = daemon.call("GET", f"{V2}/runs/{run}/nodes/main/artifacts/model:read", None)
        assert 400 <= answer.status_code < 500, answer.text


class TestNotBuilt:
    @pytest.mark.parametrize("method, path, status, code", [
        ("GET", "auth", 404, 5), ("GET", "filters", 404, 5), ("POST", "visualizations/ns", 404, 5),
        ("POST", "workflows", 404, 5), ("POST", "scheduledworkflows", 404, 5),
        ("POST", f"runs/{NOBODY}:retry", 404, 5), ("PUT", "runs", 501, 12), ("DELETE", "pipelines", 501, 12),
        ("GET", "../v1beta1/runs", 404, 5),
    ])
    def test_answer_is_kfps(self, quick, method, path, status, code):
        answer = quick.call(method, f"{V2}/{path}", status)
        assert answer.headers["Content-Type"] == "application/json"
        body = answer.json()
        assert body["code"] == code and body["message"] and body["details"][0]["code"] == code

    def test_retry_of_a_run(self, quick):
        run = quick.create_run(shell_spec(), "retried")["run_id"]
        quick.wait_run(run)
        assert quick.post(f"{V2}/runs/{run}:retry", expect=501)["code"] == 12


def test_taken_over_and_still_asked():
    """Between the moment that another daemon takes the shards over and our noticing, what we are asked for is
    written all the same, and whoever has the shard carries it out."""
    with Redis() as redis:
        daemon = Daemon("--redis", redis.url, settings={"executor": "noop"}).start()
        try:
            for shard in range(16):
                redis.command("SET", f"rondo:{{{shard:02x}}}:epoch", "99999999999999999")
            run = daemon.create_run(shell_spec(), "late")["run_id"]
            daemon.wait_run(run)  # nobody is there who has taken them: we get them back
        finally:
            daemon.kill9()
            daemon.remove()


def test_idle_daemon_sleeps():
    """No polling: only the look at the epoch every 2 s, and the history's now and then."""
    def switches(daemon):
        status = pathlib.Path(f"/proc/{daemon.process.pid}/status").read_text()
        return int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", status, re.M).group(1))
    with Daemon(settings={"executor": "noop"}) as daemon:
        time.sleep(1)

        def in_four_seconds():
            before = switches(daemon)
            time.sleep(4)
            return switches(daemon) - before
        # What it does at its start may take longer than that second.
        assert any(in_four_seconds() < 40 for _ in range(5))


# ---- all replies against KFP's swagger ----

KINDS = {"string": str, "boolean": bool, "object": dict, "array": list, "integer": int, "number": (int, float)}


def complaints(value, schema, definitions, place):
    """What a strict client (Go's) would say; int64 travels as text."""
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rsplit("/", 1)[1]]
    kind = schema.get("type", "object")
    if kind == "object" and not {"properties", "additionalProperties"} & set(schema):
        return []  # any JSON value
    if "enum" in schema and value not in schema["enum"]:
        return [f"{place}: {value!r} is none of {schema['enum']}"]
    if not isinstance(value, KINDS[kind]) or (kind == "integer" and isinstance(value, bool)):
        return [f"{place}: {value!r} is no {kind}"]
    form = schema.get("format")
    if form == "date-time" and not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", value):
        return [f"{place}: {value!r} is no instant"]
    if form == "int64" and not (isinstance(value, str) and re.fullmatch(r"-?\d+", value)):
        return [f"{place}: {value!r} is no int64 as text"]
    out = []
    if kind == "array":
        for i, item in enumerate(value):
            out += complaints(item, schema["items"], definitions, f"{place}[{i}]")
    elif kind == "object" and "properties" in schema:
        for key, item in value.items():
            if key in schema["properties"]:
                out += complaints(item, schema["properties"][key], definitions, f"{place}.{key}")
            elif key not in EXTRAS and "additionalProperties" not in schema:
                out.append(f"{place}.{key}: KFP has no such field")
            if item in ("", [], 0, False) and key != "code":
                out.append(f"{place}.{key}: zero values are left out")
    elif kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        for key, item in value.items():
            out += complaints(item, schema["additionalProperties"], definitions, f"{place}.{key}")
    return out


@pytest.mark.skipif(not SWAGGER.exists(), reason="the shared KFP swagger is not there")
def test_replies_fit_the_swagger(daemon):
    swagger = json.loads(SWAGGER.read_text())
    definitions = swagger["definitions"]
    pipeline = daemon.upload(spec_text(inputs={"x": None}), "swagger", description="d", tags='{"a":"b"}')["pipeline_id"]
    version = version_of(daemon, pipeline)
    reference = {"pipeline_id": pipeline, "pipeline_version_id": version}
    good = daemon.create_run(name="swagger", pipeline_version_reference=reference, parameters={"x": "1"},
                             description="d", service_account="sa")["run_id"]
    bad = daemon.create_run(shell_spec("exit 3"), "swagger-fails")["run_id"]
    stopped = daemon.create_run(shell_spec("sleep 60"), "swagger-stopped")["run_id"]
    daemon.post(f"{V2}/runs/{stopped}:terminate")
    daemon.wait_run(good)
    daemon.wait_run(bad, "FAILED")
    daemon.wait_run(stopped, "FAILED")
    schedules = [daemon.post(f"{V2}/recurringruns", {
        "display_name": "swagger", "max_concurrency": "2", "mode": mode, "no_catchup": True,
        "pipeline_version_reference": reference, "runtime_config": {"parameters": {"x": "1"}},
        "trigger": trigger})["recurring_run_id"] for mode, trigger in (
            ("ENABLE", {"cron_schedule": {"cron": "0 0 9 1 1 *", "start_time": iso(5), "end_time": iso(10**8)}}),
            ("DISABLE", {"periodic_schedule": {"interval_second": 3600}}))]
    experiment = daemon.get(f"{V2}/experiments")["experiments"][0]["experiment_id"]
    values = {"{experiment_id}": [experiment], "{run_id}": [good, bad, stopped], "{pipeline_id}": [pipeline],
              "{pipeline_version_id}": [version], "{recurring_run_id}": schedules, "{name}": ["swagger"]}
    seen = 0
    for pattern, item in swagger["paths"].items():
        if "get" not in item or pattern.endswith(("/auth", "/filters", "/healthz")):
            continue  # not built; KFP's own /healthz is not as its swagger says
        paths = [pattern]
        for capture, ids in values.items():
            paths = [path.replace(capture, one) for path in paths for one in ids]
        for path in sorted(set(paths)):
            assert complaints(daemon.get(path), item["get"]["responses"]["200"]["schema"], definitions, path) == []
            missing = path
            for ids in values.values():
                for one in ids:
                    missing = missing.replace(one, NOBODY)
            if missing != path:
                error = daemon.get(missing, expect=404)
                assert complaints(error, item["get"]["responses"]["default"]["schema"], definitions, missing) == []
            seen += 1
    assert seen >= 13
