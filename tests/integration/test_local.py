# SPDX-License-Identifier: Apache-2.0
"""What a pipeline's Kubernetes settings mean for local steps (contrib/docs/local.md)."""

import json
import os
import stat
import subprocess

import pytest

from rondo_testing import Daemon, bin_dir, shell_spec, wait_for

DEAD_POINT = "/rondo-test-local"  # a mount path that must not be there before or after


def open_daemon(*args):
    return Daemon("--executor=local", *args)


def with_platform(spec, executor, config=None):
    """The API's wrapped form of two documents."""
    kubernetes = {"deploymentSpec": {"executors": {"exec-main": executor}}}
    if config is not None:
        kubernetes["pipelineConfig"] = config
    return {"pipeline_spec": spec, "platform_spec": {"platforms": {"kubernetes": kubernetes}}}


def keep(daemon, kind, name, **keys):
    """A secret or a config map, as an operator makes it."""
    folder = daemon.data / kind / name
    folder.mkdir(parents=True)
    for key, value in keys.items():
        (folder / key).write_text(value)
        (folder / key).chmod(0o600)


def can_mount():
    return subprocess.run([bin_dir() / "rondo-launcher", "--can-mount"], check=False).returncode == 0


SETTINGS = {
    "secretAsEnv": [{"secretNameParameter": {"runtimeValue": {"constant": "db"}},
                     "keyToEnv": [{"secretKey": "password", "envVar": "DB_PASSWORD"}]},
                    {"secretNameParameter": {"runtimeValue": {"constant": "absent"}}, "optional": True,
                     "keyToEnv": [{"secretKey": "x", "envVar": "ABSENT"}]}],
    "configMapAsEnv": [{"configMapNameParameter": {"runtimeValue": {"constant": "conf"}},
                        "keyToEnv": [{"configMapKey": "mode", "envVar": "MODE"}]}],
    "secretAsVolume": [{"secretNameParameter": {"runtimeValue": {"constant": "db"}},
                        "mountPath": DEAD_POINT + "/db"}],
    "emptyDirMounts": [{"volumeName": "scratch", "mountPath": DEAD_POINT + "/scratch"}],
    "fieldPathAsEnv": [{"name": "POD", "fieldPath": "metadata.name"}],
    "podMetadata": {"labels": {"team": "blue"}},
    "tolerations": [{"key": "gpu", "operator": "Exists"}],
    "activeDeadlineSeconds": "600",
}

@pytest.mark.parametrize("how", ["auto", "never"])
def test_settings(how):
    with open_daemon(f"--local-mounts={how}") as daemon:
        keep(daemon, "secrets", "db", password="s3cret\n")
        keep(daemon, "config-maps", "conf", mode="fast")
        script = """
set -e
test ${#DB_PASSWORD} = 6
test -z "${ABSENT+x}"
test "$MODE" = fast
test -n "$POD"
echo "mounts $RONDO_MOUNTS"
if test -e %s/db/password; then echo mounted; echo x > %s/scratch/file; else echo not mounted; fi
""" % (DEAD_POINT, DEAD_POINT)
        run = daemon.create_run(with_platform(shell_spec(script), SETTINGS))["run_id"]
        daemon.wait_run(run)
        log = daemon.run_log(run, "main")
        mounted = how == "auto" and can_mount()
        assert ("not mounted" not in log) == mounted, log
        mounts = json.loads(next(line for line in log.splitlines() if line.startswith("mounts "))[7:])
        assert set(mounts) == {DEAD_POINT + "/db", DEAD_POINT + "/scratch"}
        assert mounts[DEAD_POINT + "/db"] == str((daemon.data / "secrets" / "db").resolve())
        assert not os.path.exists(DEAD_POINT)
        wait_for(lambda: not os.path.exists(mounts[DEAD_POINT + "/scratch"]), what="the emptyDir to be gone")
        answer = daemon.get(f"/apis/rondo/v1/runs/{run}/tasks")
        about = {notice["about"] for notice in answer["notices"]}
        assert {"tolerations", "labels"} <= about, answer["notices"]
        assert any("mount paths" in text for text in about) != mounted
        assert "s3cret" not in log
        # Nothing of a secret is in what the daemon writes down.
        assert not any("s3cret" in path.read_text(errors="replace") for path in daemon.data.rglob("*.json"))


def test_missing_secret():
    with open_daemon() as daemon:
        spec = with_platform(shell_spec("echo never"), {"secretAsEnv": [
            {"secretNameParameter": {"runtimeValue": {"constant": "db"}},
             "keyToEnv": [{"secretKey": "password", "envVar": "DB_PASSWORD"}]}]})
        run = daemon.create_run(spec)["run_id"]
        record = daemon.wait_run(run, "FAILED")
        want = f"put it into the file {daemon.data.resolve()}/secrets/db/password"
        assert want in record["error"]["message"], record["error"]
        # The author follows the advice.
        keep(daemon, "secrets", "db", password="x")
        daemon.wait_run(daemon.create_run(spec)["run_id"])


def test_missing_claim():
    with open_daemon() as daemon:
        spec = with_platform(shell_spec("cat $RONDO_MOUNT_1/file"), {"pvcMount": [
            {"pvcNameParameter": {"runtimeValue": {"constant": "my-claim"}}, "mountPath": DEAD_POINT}]})
        record = daemon.wait_run(daemon.create_run(spec)["run_id"], "FAILED")
        assert f"put it into the folder {daemon.data.resolve()}/volumes/my-claim" in record["error"]["message"]
        (daemon.data / "volumes" / "my-claim").mkdir(parents=True)
        (daemon.data / "volumes" / "my-claim" / "file").write_text("kept")
        run = daemon.create_run(spec)["run_id"]
        daemon.wait_run(run)
        assert "kept" in daemon.run_log(run, "main")
        assert (daemon.data / "volumes" / "my-claim" / "file").exists()


def test_dollars_of_author_and_values():
    """$(NAME) is Kubernetes' business where the author wrote it, and data in a parameter's value."""
    with open_daemon() as daemon:
        spec = shell_spec('printf "<%s>" "$0" "$@" "$FROM_VALUE"', inputs={"x": "$(WORD) $$ {\"a\": 1}"})
        container = spec["deploymentSpec"]["executors"]["exec-main"]["container"]
        value = "{{$.inputs.parameters['x']}}"
        container["args"] = ["$(WORD)", "$$(WORD)", f"$(WORD)={value}", f"$({value})",
                             json.dumps({"Concat": ["$(WORD)", value]}), '{"b": "$(WORD)"}']
        container["env"] = [{"name": "WORD", "value": "w"}, {"name": "FROM_VALUE", "value": f"$(WORD){value}"}]
        run = daemon.create_run(spec)["run_id"]
        daemon.wait_run(run)
        x = '$(WORD) $$ {"a": 1}'
        assert daemon.run_log(run, "main").strip() == (
            f'<w><$(WORD)><w={x}><$({x})><w{x}><{{"b": "w"}}><w{x}>')


def test_time_limit():
    with open_daemon() as daemon:
        spec = with_platform(shell_spec("sleep 600"), {"activeDeadlineSeconds": "1"})
        record = daemon.wait_run(daemon.create_run(spec)["run_id"], "FAILED")
        assert "it ran longer than 1 s" in record["error"]["message"], record["error"]


def test_open_secret_is_told():
    with open_daemon() as daemon:
        keep(daemon, "secrets", "db", password="x")
        (daemon.data / "secrets" / "db" / "password").chmod(0o644)
        spec = with_platform(shell_spec("true"), {"secretAsEnv": [
            {"secretNameParameter": {"runtimeValue": {"constant": "db"}},
             "keyToEnv": [{"secretKey": "password", "envVar": "DB_PASSWORD"}]}]})
        run = daemon.create_run(spec)["run_id"]
        daemon.wait_run(run)
        folders = [daemon.data.resolve(), *daemon.data.resolve().parents]
        is_open = all(os.stat(folder).st_mode & stat.S_IXOTH for folder in folders)
        assert ("every user of this machine can read" in daemon.run_log(run, "main")) == is_open


def workspace_spec():
    """Two steps that share the run's workspace; the second gets its path by a placeholder."""
    spec = shell_spec('mkdir -p "$0/sub" && echo shared > "$0/sub/file"', name="shares")
    spec["components"]["comp-main"]["inputDefinitions"] = {"parameters": {"where": {"parameterType": "STRING"}}}
    spec["components"]["comp-read"] = {
        "executorLabel": "exec-read",
        "inputDefinitions": {"parameters": {"where": {"parameterType": "STRING"}}}}
    container = spec["deploymentSpec"]["executors"]["exec-main"]["container"]
    container["args"] = ["{{$.inputs.parameters['where']}}"]
    spec["deploymentSpec"]["executors"]["exec-read"] = {"container": {
        "image": "alpine", "command": ["sh", "-c", 'cat "$0"; test -e /kfp-workspace/sub/file && echo mounted; true'],
        "args": ["{{$.inputs.parameters['where']}}"]}}
    tasks = spec["root"]["dag"]["tasks"]
    tasks["main"]["inputs"] = {"parameters": {"where": {"runtimeValue": {"constant": "{{$.workspace_path}}"}}}}
    tasks["read"] = {
        "taskInfo": {"name": "read"}, "componentRef": {"name": "comp-read"}, "dependentTasks": ["main"],
        "inputs": {"parameters": {"where": {"runtimeValue": {"constant": "{{$.workspace_path}}/sub/file"}}}}}
    return spec


@pytest.mark.parametrize("how", ["auto", "never"])
def test_workspace(how):
    with open_daemon(f"--local-mounts={how}") as daemon:
        spec = with_platform(workspace_spec(), {}, {"workspace": {
            "size": "1Gi", "kubernetes": {"pvcSpecPatch": {"accessModes": ["ReadWriteMany"]}}}})
        run = daemon.create_run(spec)["run_id"]
        daemon.wait_run(run)
        log = daemon.run_log(run, "read")
        assert "shared" in log
        assert ("mounted" in log) == (how == "auto" and can_mount())
        folder = daemon.data / "volumes" / f"{run}-kfp-workspace"
        wait_for(lambda: not folder.exists(), what="the workspace to be deleted")
