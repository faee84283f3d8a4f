# SPDX-License-Identifier: Apache-2.0
"""Limits of a whole run that its pipeline sets (contrib/docs/runs.md)."""

from rondo_testing import Daemon, shell_spec, wait_for


def limited(spec, **config):
    return {"pipeline_spec": spec,
            "platform_spec": {"platforms": {"kubernetes": {"pipelineConfig": config}}}}


def test_deadline_outlives_daemon():
    with Daemon("--executor=local") as daemon:
        started, ended = daemon.data / "started", daemon.data / "ended"
        spec = shell_spec(f"trap 'echo told > {ended}; exit 1' TERM; echo once >> {started}; "
                          "while :; do sleep 0.05; done", name="endless")
        spec["root"]["dag"]["tasks"]["after"] = {
            "taskInfo": {"name": "after"}, "componentRef": {"name": "comp-main"}, "dependentTasks": ["main"]}
        run = daemon.create_run(limited(spec, activeDeadlineSeconds=3600))["run_id"]
        wait_for(started.exists, what="the step")
        daemon.restart(kill=True)
        daemon.move_clock(3500)
        assert daemon.run(run)["state"] == "RUNNING" and not ended.exists()
        daemon.move_clock(3700)
        record = daemon.wait_run(run, "FAILED")
        assert "had not ended 3600 s after its start" in record["error"]["message"], record["error"]
        assert "activeDeadlineSeconds" in record["error"]["message"]
        assert {path: task["state"] for path, task in daemon.tasks(run).items()} == {
            "main": "CANCELED", "after": "CANCELED"}
        assert ended.read_text() == "told\n" and started.read_text() == "once\n"


def test_time_to_live():
    with Daemon("--executor=local", "--forget-after=0s") as daemon:
        spec = shell_spec("echo printed; echo {{$.workspace_path}} >&2; exit 3", name="kept")
        run = daemon.create_run(limited(spec, workspace={"size": "1Gi", "kubernetes": {}},
                                        resourceTtlOnFailure=100))["run_id"]
        daemon.wait_run(run, "FAILED")
        workspace = daemon.data / "volumes" / f"{run}-kfp-workspace"
        logs = daemon.data / "logs" / run
        wait_for(logs.exists, what="the log to be kept")
        daemon.restart(kill=True)
        daemon.move_clock(90)
        assert workspace.exists() and "printed" in daemon.run_log(run, "main")
        daemon.move_clock(110)
        wait_for(lambda: not workspace.exists() and not logs.exists(), what="workspace and log to go")
        record = daemon.run(run)
        assert record["state"] == "FAILED" and "exit code 3" in record["error"]["message"]
