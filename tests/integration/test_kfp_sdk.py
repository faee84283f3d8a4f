# SPDX-License-Identifier: Apache-2.0
"""The unmodified kfp SDK and CLI from PyPI against a daemon with local processes."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import pytest

from rondo_testing import Daemon, wait_for

# The SDK reads ~/.config/kfp; no test may depend on whose home this is.
os.environ["HOME"] = tempfile.mkdtemp(prefix="rondo-home-")

kfp = pytest.importorskip("kfp")
kfp_server_api = pytest.importorskip("kfp_server_api")
from kfp import compiler, dsl  # noqa: E402

FINAL = 200  # seconds that a run may take


@dsl.container_component
def say(text: str, said: dsl.OutputPath(str)):
    return dsl.ContainerSpec(
        image="alpine:3.19", command=["sh", "-c"],
        args=['mkdir -p "$(dirname "$1")" && printf "%s!" "$0" | tee "$1"', text, said])


@dsl.container_component
def write_model(text: str, model: dsl.Output[dsl.Model]):
    return dsl.ContainerSpec(
        image="alpine:3.19", command=["sh", "-c"],
        args=['mkdir -p "$(dirname "$1")" && echo "$0" > "$1"', text, model.path])


@dsl.container_component
def read_model(model: dsl.Input[dsl.Model]):
    return dsl.ContainerSpec(image="alpine:3.19", command=["sh", "-c"], args=['cat "$0"', model.path])


@dsl.container_component
def nap(seconds: int):
    return dsl.ContainerSpec(image="alpine:3.19", command=["sh", "-c"], args=['sleep "$0"', seconds])


@dsl.container_component
def break_down():
    return dsl.ContainerSpec(image="alpine:3.19", command=["sh", "-c", "echo sorry >&2; exit 3"])


@dsl.pipeline(name="hello")
def hello(name: str = "world", times: int = 1):
    first = say(text=name)
    second = say(text=first.output)
    second.set_display_name("again")


@dsl.pipeline(name="models")
def models(text: str = "weights"):
    made = write_model(text=text)
    read_model(model=made.outputs["model"])


@dsl.pipeline(name="napping")
def napping(seconds: int = 600):
    nap(seconds=seconds)


@dsl.pipeline(name="broken")
def broken():
    break_down()


@dsl.component(base_image="python:3.11", packages_to_install=[])
def add(a: int, b: int) -> int:
    return a + b


@dsl.pipeline(name="adding")
def adding(a: int = 1, b: int = 2) -> int:
    first = add(a=a, b=b)
    return add(a=first.output, b=10).output


@pytest.fixture(scope="module")
def daemon():
    with Daemon() as one:
        yield one


@pytest.fixture(scope="module")
def client(daemon):
    return kfp.Client(host=daemon.url)


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packages")
    out = {}
    for function in (hello, models, napping, broken):
        path = folder / f"{function.name}.yaml"
        compiler.Compiler().compile(function, str(path))
        out[function.name] = str(path)
    return out


@pytest.fixture()
def experiment(client, request):
    return client.create_experiment(f"exp-{request.node.name}"[:120])


def finish(client, run_id, state="SUCCEEDED"):
    run = client.wait_for_run_completion(run_id, timeout=FINAL, sleep_duration=1)
    assert run.state == state, run.error
    return run


class TestExperiments:
    def test_create_is_found_again(self, client):
        one = client.create_experiment("twice", description="first")
        two = client.create_experiment("twice")
        assert one.experiment_id == two.experiment_id
        assert client.get_experiment(experiment_name="twice").description == "first"

    def test_get_by_id_and_list(self, client, experiment):
        got = client.get_experiment(experiment_id=experiment.experiment_id)
        assert got.display_name == experiment.display_name
        assert got.storage_state == "AVAILABLE"
        assert got.created_at is not None and got.last_run_created_at.year == 1970
        listed = client.list_experiments(page_size=100, sort_by="created_at desc")
        assert experiment.experiment_id in [e.experiment_id for e in listed.experiments]
        assert listed.total_size >= 1

    def test_default_is_there(self, client):
        default = client.get_experiment(experiment_name="Default")
        with pytest.raises(kfp_server_api.ApiException) as caught:
            client.delete_experiment(default.experiment_id)
        assert caught.value.status == 409

    def test_missing(self, client):
        with pytest.raises(ValueError, match="No experiment is found"):
            client.get_experiment(experiment_name="never made")
        with pytest.raises(kfp_server_api.ApiException) as caught:
            client.get_experiment(experiment_id="11111111-2222-4333-8444-555555555555")
        assert caught.value.status == 404
        body = json.loads(caught.value.body)
        assert body["code"] == 5 and body["details"][0]["code"] == 5

    def test_archive_unarchive_delete(self, client, experiment):
        client.archive_experiment(experiment.experiment_id)
        assert client.get_experiment(experiment_id=experiment.experiment_id).storage_state == "ARCHIVED"
        client.unarchive_experiment(experiment.experiment_id)
        assert client.get_experiment(experiment_id=experiment.experiment_id).storage_state == "AVAILABLE"
        client.delete_experiment(experiment.experiment_id)
        with pytest.raises(kfp_server_api.ApiException):
            client.get_experiment(experiment_id=experiment.experiment_id)


class TestPipelines:
    def test_upload_version_list_delete(self, client, packages):
        pipeline = client.upload_pipeline(packages["hello"], "sdk-hello", description="says it")
        assert pipeline.display_name == "sdk-hello" and pipeline.description == "says it"
        version = client.upload_pipeline_version(packages["models"], "v2", pipeline_name="sdk-hello")
        assert version.pipeline_id == pipeline.pipeline_id
        assert client.get_pipeline_id("sdk-hello") == pipeline.pipeline_id
        listed = client.list_pipeline_versions(pipeline.pipeline_id, sort_by="created_at desc")
        assert {v.display_name for v in listed.pipeline_versions} == {"sdk-hello", "v2"}
        got = client.get_pipeline_version(pipeline.pipeline_id, version.pipeline_version_id)
        assert got.pipeline_spec["pipelineInfo"]["name"] == "models"
        names = [p.display_name for p in client.list_pipelines(page_size=100).pipelines]
        assert "sdk-hello" in names
        with pytest.raises(kfp_server_api.ApiException) as caught:
            client.delete_pipeline(pipeline.pipeline_id)
        assert caught.value.status == 400 and "cascade" in caught.value.body
        for one in listed.pipeline_versions:
            client.delete_pipeline_version(pipeline.pipeline_id, one.pipeline_version_id)
        client.delete_pipeline(pipeline.pipeline_id)
        assert client.get_pipeline_id("sdk-hello") is None

    def test_upload_from_func(self, client):
        pipeline = client.upload_pipeline_from_pipeline_func(hello, "from-func")
        version = client.upload_pipeline_version_from_pipeline_func(
            models, "v2", pipeline_id=pipeline.pipeline_id)
        assert version.display_name == "v2"

    def test_same_name_again(self, client, packages):
        client.upload_pipeline(packages["hello"], "taken")
        with pytest.raises(kfp_server_api.ApiException) as caught:
            client.upload_pipeline(packages["hello"], "taken")
        assert caught.value.status == 409

    def test_invalid_file(self, client, tmp_path):
        bad = tmp_path / "bad.yaml"
        bad.write_text("pipelineInfo: {name: x}\nschemaVersion: 2.1.0\nroot: {dag: {tasks: {a: {}}}}\n")
        with pytest.raises(kfp_server_api.ApiException) as caught:
            client.upload_pipeline(str(bad), "bad")
        assert caught.value.status == 400
        assert "line 3" in caught.value.body


class TestRuns:
    def test_from_func(self, client, daemon):
        result = client.create_run_from_pipeline_func(hello, arguments={"name": "sdk"}, run_name="func")
        run = finish(client, result.run_id)
        assert run.finished_at.year > 2000
        assert run.state_history[0].state == "PENDING" and run.state_history[-1].state == "SUCCEEDED"
        assert run.runtime_config.parameters == {"name": "sdk"}
        assert run.pipeline_spec["pipelineInfo"]["name"] == "hello"
        tasks = {t.display_name: t for t in run.run_details.task_details}
        assert tasks["say"].state == "SUCCEEDED" and tasks["again"].state == "SUCCEEDED"
        assert tasks["say"].end_time >= tasks["say"].start_time
        assert daemon.run_log(result.run_id, "say-2").strip() == "sdk!!"
        experiment = client.get_experiment(experiment_name="Default")
        assert run.experiment_id == experiment.experiment_id
        assert experiment.last_run_created_at == run.created_at

    def test_from_package_with_artifact(self, client, daemon, packages):
        result = client.create_run_from_pipeline_package(
            packages["models"], arguments={"text": "heavy"}, experiment_name="artifacts")
        finish(client, result.run_id)
        assert daemon.run_log(result.run_id, "read-model").strip() == "heavy"
        listed = daemon.get(f"/apis/rondo/v1/runs/{result.run_id}/artifacts")["artifacts"]
        assert [(a["task"], a["output"]) for a in listed] == [("write-model", "model")]
        content = daemon.call("GET", f"/apis/rondo/v1/runs/{result.run_id}/artifacts:content",
                              params={"task": "write-model", "name": "model"})
        assert content.text == "heavy\n"

    def test_of_uploaded_version(self, client, experiment, packages):
        pipeline = client.upload_pipeline(packages["hello"], "to-run")
        version = client.list_pipeline_versions(pipeline.pipeline_id).pipeline_versions[0]
        run = client.run_pipeline(
            experiment.experiment_id, "by version", params={"name": "v"},
            pipeline_id=pipeline.pipeline_id, version_id=version.pipeline_version_id)
        assert run.state == "PENDING" and run.finished_at.year == 1970
        done = finish(client, run.run_id)
        assert done.pipeline_version_reference.pipeline_version_id == version.pipeline_version_id
        assert done.pipeline_spec is None

    def test_python_component(self, client, daemon):
        result = client.create_run_from_pipeline_func(adding, arguments={"a": 30}, enable_caching=False)
        run = client.wait_for_run_completion(result.run_id, timeout=FINAL, sleep_duration=2)
        assert run.state == "SUCCEEDED", run.error
        record = daemon.get(f"/apis/rondo/v1/runs/{result.run_id}")
        assert record["outputs"]["parameters"]["Output"] == 42

    def test_failure_says_why(self, client, packages):
        result = client.create_run_from_pipeline_package(packages["broken"])
        run = finish(client, result.run_id, "FAILED")
        assert "3" in run.error.message and "sorry" in run.error.message
        assert run.run_details.task_details[0].state == "FAILED"

    def test_terminate(self, client, packages):
        result = client.create_run_from_pipeline_package(packages["napping"])
        wait_for(lambda: client.get_run(result.run_id).state == "RUNNING", 60, "RUNNING")
        client.terminate_run(result.run_id)
        run = finish(client, result.run_id, "FAILED")
        assert "terminated" in run.error.message
        client.terminate_run(result.run_id)  # fine on a run that has ended

    def test_archive_list_delete(self, client, experiment, packages):
        ids = [client.run_pipeline(experiment.experiment_id, f"listed {i}", packages["hello"]).run_id
               for i in range(3)]
        first = client.list_runs(experiment_id=experiment.experiment_id, page_size=2,
                                 sort_by="created_at desc")
        assert first.total_size == 3 and len(first.runs) == 2
        rest = client.list_runs(experiment_id=experiment.experiment_id, page_size=2,
                                page_token=first.next_page_token)
        assert {r.run_id for r in first.runs + rest.runs} == set(ids)
        assert rest.next_page_token is None
        for one in ids:
            finish(client, one)
        client.archive_run(ids[0])
        only = json.dumps({"predicates": [
            {"operation": "EQUALS", "key": "storage_state", "stringValue": "ARCHIVED"}]})
        archived = client.list_runs(experiment_id=experiment.experiment_id, filter=only)
        assert [r.run_id for r in archived.runs] == [ids[0]]
        client.unarchive_run(ids[0])
        client.delete_run(ids[0])
        with pytest.raises(kfp_server_api.ApiException) as caught:
            client.get_run(ids[0])
        assert caught.value.status == 404

    def test_teardown_of_a_live_run(self, client, experiment, packages):
        """KFP's own client tests end every run like this, without waiting in between."""
        run = client.run_pipeline(experiment.experiment_id, "live", packages["napping"])
        client.terminate_run(run.run_id)
        client.archive_run(run.run_id)
        client.delete_run(run.run_id)
        client.archive_experiment(experiment.experiment_id)
        client.delete_experiment(experiment.experiment_id)

    def test_parameters_are_checked(self, client, experiment, packages):
        with pytest.raises(kfp_server_api.ApiException) as caught:
            client.run_pipeline(experiment.experiment_id, "bad", packages["hello"],
                                params={"times": "three", "nonsense": 1})
        assert caught.value.status == 400
        assert "times" in caught.value.body and "nonsense" in caught.value.body


class TestRecurringRuns:
    def test_cron_fires(self, client, experiment, packages):
        recurring = client.create_recurring_run(
            experiment.experiment_id, "every second", cron_expression="* * * * * *",
            pipeline_package_path=packages["hello"], params={"name": "[[ScheduledTime]]"},
            max_concurrency=10)
        assert recurring.status == "ENABLED" and recurring.max_concurrency == "10"

        def fired():
            runs = client.list_runs(experiment_id=experiment.experiment_id).runs or []
            return [r for r in runs if r.state == "SUCCEEDED"]
        run = wait_for(fired, 60, "a run that was fired")[0]
        client.disable_recurring_run(recurring.recurring_run_id)
        assert run.recurring_run_id == recurring.recurring_run_id
        assert run.scheduled_at.microsecond == 0
        assert client.get_recurring_run(recurring.recurring_run_id).status == "DISABLED"
        client.delete_recurring_run(recurring.recurring_run_id)

    def test_interval_enable_disable_delete(self, client, experiment, packages):
        recurring = client.create_recurring_run(
            experiment.experiment_id, "hourly", interval_second=3600, enabled=False, no_catchup=True,
            description="once an hour", pipeline_package_path=packages["hello"])
        got = client.get_recurring_run(recurring.recurring_run_id)
        assert got.trigger.periodic_schedule.interval_second == "3600"
        assert got.status == "DISABLED" and got.mode == "DISABLE" and got.no_catchup is True
        assert got.description == "once an hour" and got.max_concurrency == "1"
        client.enable_recurring_run(recurring.recurring_run_id)
        assert client.get_recurring_run(recurring.recurring_run_id).status == "ENABLED"
        listed = client.list_recurring_runs(experiment_id=experiment.experiment_id)
        assert [r.recurring_run_id for r in listed.recurring_runs] == [recurring.recurring_run_id]
        client.delete_recurring_run(recurring.recurring_run_id)
        assert client.list_recurring_runs(experiment_id=experiment.experiment_id).recurring_runs is None

    def test_of_a_version_with_window(self, client, experiment, packages):
        pipeline = client.upload_pipeline(packages["hello"], "recurring-version")
        version = client.list_pipeline_versions(pipeline.pipeline_id).pipeline_versions[0]
        recurring = client.create_recurring_run(
            experiment.experiment_id, "windowed", cron_expression="0 0 9 ? * 1-5",
            start_time="2030-01-01T00:00:00Z", end_time="2031-01-01T00:00:00Z",
            pipeline_id=pipeline.pipeline_id, version_id=version.pipeline_version_id)
        got = client.get_recurring_run(recurring.recurring_run_id)
        assert got.trigger.cron_schedule.cron == "0 0 9 ? * 1-5"
        assert got.trigger.cron_schedule.start_time.year == 2030
        assert got.pipeline_version_reference.pipeline_version_id == version.pipeline_version_id
        client.delete_recurring_run(recurring.recurring_run_id)

    def test_bad_cron(self, client, experiment, packages):
        with pytest.raises(kfp_server_api.ApiException) as caught:
            client.create_recurring_run(experiment.experiment_id, "bad", cron_expression="every day",
                                        pipeline_package_path=packages["hello"])
        assert caught.value.status == 400


class TestClient:
    def test_health(self, client):
        health = client.get_kfp_healthz()
        assert health.multi_user is False and health.pipeline_store == "database"

    def test_token(self, packages):
        import hashlib
        token = "let me in"
        with tempfile.TemporaryDirectory() as folder:
            tokens = pathlib.Path(folder) / "tokens"
            tokens.write_text(hashlib.sha256(token.encode()).hexdigest() + "\n")
            with Daemon(settings={"tokens_file": tokens, "executor": "noop"}, token=token) as guarded:
                with pytest.raises(kfp_server_api.ApiException) as caught:
                    kfp.Client(host=guarded.url).list_runs()
                assert caught.value.status == 401
                allowed = kfp.Client(host=guarded.url, existing_token=token)
                assert allowed.list_runs().runs is None


def cli(daemon, *args, check=True):
    done = subprocess.run(
        [str(pathlib.Path(sys.executable).parent / "kfp"), "--endpoint", daemon.url, "--output", "json",
         *args], capture_output=True, text=True, check=False, timeout=120)
    if check:
        assert done.returncode == 0, done.stdout + done.stderr
    return done


def cli_json(daemon, *args):
    """The JSON that follows the lines which the SDK prints for people."""
    out = cli(daemon, *args).stdout
    return json.loads(out[min(i for i in (out.find("{"), out.find("[")) if i >= 0):])


class TestCli:
    def test_pipeline(self, daemon, packages):
        made = cli_json(daemon, "pipeline", "create", "-p", "cli-hello", packages["hello"])
        pipeline_id = made["pipeline_id"]
        version = cli_json(daemon, "pipeline", "create-version", "-p", pipeline_id, "-v", "second",
                                 packages["models"])
        versions = cli_json(daemon, "pipeline", "list-versions", pipeline_id)
        assert {v["display_name"] for v in versions} == {"cli-hello", "second"}
        assert pipeline_id in cli(daemon, "pipeline", "list").stdout
        assert cli_json(daemon, "pipeline", "get", pipeline_id)["display_name"] == "cli-hello"
        assert version["pipeline_id"] == pipeline_id

    def test_run(self, daemon, packages):
        out = cli(daemon, "run", "create", "-e", "cli", "-r", "from the cli", "-f", packages["hello"], "-w",
                  "name=cli", "times=2").stdout
        assert "Run is finished with state SUCCEEDED" in out
        runs = cli_json(daemon, "run", "list")
        run = next(r for r in runs if r["display_name"] == "from the cli")
        assert run["runtime_config"]["parameters"] == {"name": "cli", "times": 2}
        assert cli_json(daemon, "run", "get", run["run_id"])["state"] == "SUCCEEDED"
        cli(daemon, "run", "archive", run["run_id"])
        cli(daemon, "run", "unarchive", run["run_id"])

    def test_table(self, client, daemon):
        client.create_experiment("in the table")
        done = subprocess.run([str(pathlib.Path(sys.executable).parent / "kfp"), "--endpoint", daemon.url,
                               "experiment", "list"], capture_output=True, text=True, check=False)
        assert done.returncode == 0 and "in the table" in done.stdout, done.stderr

    def test_recurring(self, daemon, packages):
        made = cli_json(daemon, "recurring-run", "create", "--job-name", "cli-hourly",
                              "--experiment-name", "cli", "--interval-second", "3600",
                              "--pipeline-package-path", packages["hello"], "name=cli")
        one = made["recurring_run_id"]
        assert made["status"] == "DISABLED" and made["no_catchup"] is True
        cli(daemon, "recurring-run", "enable", one)
        assert cli_json(daemon, "recurring-run", "get", one)["status"] == "ENABLED"
        assert one in cli(daemon, "recurring-run", "list").stdout
        cli(daemon, "recurring-run", "disable", one)

    def test_experiment(self, daemon):
        made = cli_json(daemon, "experiment", "create", "cli-made")
        assert made["display_name"] == "cli-made"
        assert cli_json(daemon, "experiment", "get", made["experiment_id"]) == made
        cli(daemon, "experiment", "archive", "--experiment-id", made["experiment_id"])

    def test_error_is_shown(self, daemon):
        done = cli(daemon, "run", "get", "11111111-2222-4333-8444-555555555555", check=False)
        assert done.returncode == 1 and "404" in done.stderr
