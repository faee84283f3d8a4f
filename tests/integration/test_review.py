# SPDX-License-Identifier: Apache-2.0
"""Rare and hostile things: a Redis that lost its last second, full disks, steps that misbehave."""

import contextlib
import json
import os
import resource
import shutil
import subprocess
import time

import pytest

from journal import Journal, redis_keys
from rondo_testing import Daemon, ROOT, Redis, bin_dir, is_alive, shell_spec, wait_for


@pytest.fixture
def redis():
    with Redis() as one:
        yield one


@contextlib.contextmanager
def running(*args, **kwargs):
    one = Daemon(*args, **kwargs)
    try:
        yield one.start()
    except BaseException:
        one.print_log()
        raise
    finally:
        one.kill9()
        one.remove()


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path / "journal")


class Snapshot:
    """What Redis has on disk by now; going back to it is what a power cut does to the last second."""

    def __init__(self, redis):
        self.redis = redis
        self.folder = redis.folder / "snapshot"
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(redis.folder / "appendonlydir", self.folder)

    def go_back(self):
        self.redis.kill9()
        shutil.rmtree(self.redis.folder / "appendonlydir")
        shutil.copytree(self.folder, self.redis.folder / "appendonlydir")
        self.redis.start()


# So long what has ended is within reach; Redis must be back in that time.
REMEMBERED = {"forget_after": "5m"}


def wait_begun(journal, run, task):
    wait_for(lambda: journal.counts("begin")[(run, task)] == 1, 60, f"{task} of {run} to begin")


def check_once(journal, run, tasks):
    want = {(run, f"step-{n}"): 1 for n in range(1, tasks + 1)}
    assert journal.counts("begin") == journal.counts("end") == want


# -- Redis comes back without what it had confirmed last --


def test_lost_saves_of_a_live_run(redis, journal):
    """A step has ended and the next one runs, and Redis knows of neither."""
    with running(redis=redis.url, settings=REMEMBERED) as daemon:
        run = daemon.create_run(journal.spec(seconds=1.5, tasks=3))["run_id"]
        wait_begun(journal, run, "step-1")
        before = Snapshot(redis)
        wait_begun(journal, run, "step-2")
        before.go_back()
        daemon.wait_ready()
        daemon.wait_run(run)
        check_once(journal, run, 3)
        states = {path: task["state"] for path, task in daemon.tasks(run).items() if path}
        assert set(states.values()) == {"SUCCEEDED"}, states
        daemon.stop()


def test_lost_saves_and_the_daemon_too(redis, journal):
    """The same, and daemon and Redis go together."""
    with running(redis=redis.url, settings=REMEMBERED) as daemon:
        run = daemon.create_run(journal.spec(seconds=1.5, tasks=2))["run_id"]
        wait_begun(journal, run, "step-1")
        before = Snapshot(redis)
        wait_begun(journal, run, "step-2")
        daemon.kill9()
        before.go_back()
        daemon.start()
        daemon.wait_run(run)
        check_once(journal, run, 2)
        daemon.stop()


def test_lost_end_of_a_run(redis, journal):
    """The run has ended; Redis has it as running."""
    with running(redis=redis.url, settings=REMEMBERED) as daemon:
        run = daemon.create_run(journal.spec(seconds=0.3, tasks=2))["run_id"]
        wait_begun(journal, run, "step-1")
        before = Snapshot(redis)
        daemon.wait_run(run)
        before.go_back()
        daemon.wait_ready()
        daemon.wait_run(run)
        check_once(journal, run, 2)
        wait_for(lambda: redis_keys(redis.socket, "rondo:{*}:live") == [], what="the end of all runs")
        daemon.stop()


def test_lost_epoch(redis, journal):
    """Redis has lost that this daemon is the owner; no other is there."""
    with running(redis=redis.url) as daemon:
        pipeline = daemon.upload(json.dumps(journal.spec(seconds=0, tasks=1)), "p")["pipeline_id"]
        daemon.post("/apis/v2beta1/recurringruns", {
            "display_name": "r", "max_concurrency": "10", "mode": "ENABLE", "no_catchup": True,
            "pipeline_version_reference": {"pipeline_id": pipeline},
            "trigger": {"periodic_schedule": {"interval_second": "1"}}})
        wait_for(lambda: len(journal.lines()) >= 2, 60, "a firing")
        redis.command("EVAL", "for _, key in ipairs(redis.call('KEYS', 'rondo:*:epoch')) do "
                              "redis.call('DEL', key) end", "0")
        time.sleep(3)
        seen = len(journal.lines())
        wait_for(lambda: len(journal.lines()) >= seen + 4, 60, "firings to go on")
        run = daemon.create_run(shell_spec("true"))["run_id"]
        daemon.wait_run(run)
        daemon.stop()


# -- files that stay --


def test_logs_go_with_their_run(redis):
    with running(redis=redis.url) as daemon:
        run = daemon.create_run(shell_spec("echo hello"))["run_id"]
        daemon.wait_run(run)
        assert "hello" in daemon.run_log(run)
        wait_for(lambda: (daemon.data / "logs" / run).exists(), 60, "the kept log")
        daemon.delete(f"/apis/v2beta1/runs/{run}")
        wait_for(lambda: not (daemon.data / "logs" / run).exists(), 60, "the log to go")
        daemon.stop()


def test_folder_with_percent(tmp_path):
    data = tmp_path / "a%20b c"
    with running(data=data) as daemon:
        run = daemon.create_run(shell_spec("true"))["run_id"]
        daemon.wait_run(run)
        assert (data / "artifacts").exists()
        assert not (tmp_path / "a b c").exists()
        daemon.stop()


# -- what programs leave behind --


def test_words_in_texts_are_kept(redis):
    """NaN is a number outside of texts only; texts may hold quoted quotes."""
    value = 'say "NaN", then \\"-Infinity\\"'
    output = json.dumps({"parameterValues": {"said": value}})
    spec = shell_spec(f"mkdir -p $(dirname $1) && cat > $1 <<'X'\n{output}\nX\n", outputs=["said"])
    container = spec["deploymentSpec"]["executors"]["exec-main"]["container"]
    container["command"] += ["step", "{{$.outputs.output_file}}"]
    with running(redis=redis.url) as daemon:
        run = daemon.create_run(spec)["run_id"]
        daemon.wait_run(run)
        assert daemon.tasks(run)["main"]["outputs"]["parameters"]["said"] == value
        daemon.stop()


def test_other_number_of_shards_is_refused(redis):
    with running(redis=redis.url) as daemon:
        daemon.stop()
    other = Daemon(redis=redis.url, settings={"shards": 4})
    try:
        other.launch()
        assert other.wait_exit(60) == 1
        assert "shards" in other.log() and "16" in other.log()
    finally:
        other.kill9()
        other.remove()


def test_log_is_replaced_by_a_fifo(redis):
    """Reading it must not hang the daemon."""
    with running(redis=redis.url) as daemon:
        run = daemon.create_run(shell_spec(
            "cd .. && rm -f output.log && mkfifo output.log && touch work/done; sleep 1"))["run_id"]
        wait_for(lambda: list(daemon.data.glob("work/*/*/0/work/done")), 60, "the FIFO")
        daemon.call("GET", f"/apis/rondo/v1/runs/{run}/logs", None, timeout=60)
        daemon.call("GET", "/healthz", timeout=60)
        daemon.wait_run(run)
        daemon.stop()


def test_outputs_larger_than_a_report(redis):
    """The step fails with a reason, and is not run again as a lost one."""
    names = [f"p{n}" for n in range(8)]
    spec = shell_spec('for f in "$@"; do head -c 1000000 /dev/zero | tr "\\0" "\\1" >"$f"; done',
                      outputs=names)
    spec["deploymentSpec"]["executors"]["exec-main"]["container"]["command"] += [
        "step", *(f"{{{{$.outputs.parameters['{name}'].output_file}}}}" for name in names)]
    with running(redis=redis.url) as daemon:
        run = daemon.wait_run(daemon.create_run(spec)["run_id"], "FAILED")
        assert "use artifacts" in run["error"]["message"]
        assert daemon.tasks(run["run_id"])["main"]["tries"] == 1
        daemon.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system")
def test_full_disk(redis, journal, tmp_path):
    """The disk fills up while a step runs: its report waits for room, and it is not run again."""
    data = tmp_path / "small"
    data.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(data)],
                      capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting is not allowed here")
    try:
        with running(data=data, redis=redis.url) as daemon:
            gate = tmp_path / "gate"
            run = daemon.create_run(journal.spec(tasks=1, gate=gate))["run_id"]
            wait_begun(journal, run, "step-1")
            ballast = data / "ballast"
            with contextlib.suppress(OSError), open(ballast, "wb", buffering=0) as file:
                while True:
                    file.write(bytes(4096))
            gate.touch()
            wait_for(lambda: journal.counts("end")[(run, "step-1")] == 1, 60, "the end of the step")
            time.sleep(1)
            assert daemon.run(run)["state"] == "RUNNING"
            ballast.unlink()
            daemon.wait_run(run)
            check_once(journal, run, 1)
            daemon.stop()
    finally:
        subprocess.run(["umount", "-l", str(data)], check=False)


def test_few_descriptors(redis):
    """The soft limit that a shell sets does not bound the number of steps."""
    spec = shell_spec("sleep 1")
    task = spec["root"]["dag"]["tasks"].pop("main")
    spec["root"]["dag"]["tasks"] = {
        f"t{n}": {**task, "taskInfo": {"name": f"t{n}"}} for n in range(100)}
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    try:
        with running(redis=redis.url, settings={"max_steps": 100}) as daemon:
            run = daemon.create_run(spec)["run_id"]
            daemon.wait_run(run)
            assert {task["tries"] for path, task in daemon.tasks(run).items() if path} == {1}
            daemon.stop()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_up_leaves_a_running_daemon_alone(redis):
    """contrib/up in the folder of a daemon that runs."""
    with running(redis=redis.url) as daemon:
        done = subprocess.run(
            [ROOT / "contrib" / "up", "--once", "--data", daemon.data, "--listen", "127.0.0.1:0"],
            env={**os.environ, "RONDO_BIN_DIR": str(bin_dir())}, capture_output=True, text=True,
            timeout=120, check=False)
        assert done.returncode == 1 and "another rondod" in done.stderr, done
        assert int((daemon.data / "port").read_text()) == daemon.port
        daemon.stop()


def test_huge_metadata_stays_out_of_events(redis):
    """A step's own words about its artifact travel to every subscriber, within bounds."""
    output = '{"artifacts": {"a": {"artifacts": [{"metadata": {"text": "'
    script = (f"mkdir -p $(dirname $1) && (printf '%s' '{output}'; head -c 200000 /dev/zero | "
              "tr '\\0' x; printf '%s' '\"}}]}}}') > $1")
    spec = shell_spec(script)
    spec["components"]["comp-main"]["outputDefinitions"] = {"artifacts": {"a": {
        "artifactType": {"schemaTitle": "system.Dataset", "schemaVersion": "0.0.1"}}}}
    spec["deploymentSpec"]["executors"]["exec-main"]["container"]["command"] += [
        "step", "{{$.outputs.output_file}}"]
    with running(redis=redis.url) as daemon:
        run = daemon.create_run(spec)["run_id"]
        daemon.wait_run(run)
        assert len(json.dumps(daemon.tasks(run)["main"]["outputs"])) > 200000
        events = redis_keys(redis.socket, "rondo:{*}:events")
        assert events
        assert all(int(redis.command("MEMORY", "USAGE", key)) < 150000 for key in events)
        daemon.stop()


def test_second_daemon_with_a_folder_of_its_own(redis, journal, tmp_path):
    """It cannot adopt the first one's local steps; those end when the first one hands over."""
    root = {"artifact_root": f"file://{tmp_path}/artifacts"}
    with running(redis=redis.url, settings=root) as first:
        run = first.create_run(journal.spec(seconds=600, tasks=1))["run_id"]
        wait_begun(journal, run, "step-1")
        (pid,) = journal.pids(run, "step-1")
        with running(redis=redis.url, settings=root) as second:
            first.stop()
            wait_for(lambda: not is_alive(pid), what="the end of the first one's process")
            wait_for(lambda: len(journal.pids(run, "step-1")) == 2, 60, "the step to begin anew")
            second.post(f"/apis/v2beta1/runs/{run}:terminate")
            second.wait_run(run, "FAILED")
            assert journal.counts("double") == {}
            second.stop()
