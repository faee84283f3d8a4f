# SPDX-License-Identifier: Apache-2.0
"""The quick start, ./contrib/up: to its end, again, failing, interrupted, with its port taken."""

import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess

import pytest

from rondo_testing import ROOT, Daemon, bin_dir, shell_spec, wait_for


class Up:
    """The script in a session of its own; its words are in a file."""

    def __init__(self, folder, *args, cleans=True):
        self.cleans = cleans
        self.data = folder / "data"
        self.out = folder / f"out-{len(list(folder.iterdir()))}"
        self.args = args

    def __enter__(self):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("RONDO_")}
        environment["RONDO_BIN_DIR"] = str(bin_dir())
        with open(self.out, "w") as file:
            self.process = subprocess.Popen(
                [str(ROOT / "contrib" / "up"), "--data", str(self.data), *self.args], stdout=file,
                stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True, env=environment)
        return self

    def __exit__(self, *args):
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(60)
        for pid in processes_of(self.data) if self.cleans else ():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def text(self):
        return self.out.read_text()

    def wait(self, code, timeout=120):
        assert self.process.wait(timeout) == code, self.text()
        return self.text()

    def wait_text(self, text, timeout=120):
        def found():
            assert self.process.poll() is None or text in self.text(), self.text()
            return text in self.text()
        wait_for(found, timeout, f"'{text}' of contrib/up")


def processes_of(data):
    """Processes that name this folder, in their arguments or as where they are."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().decode(errors="replace")
                if words and (str(data) in words or str(data) in os.readlink(entry / "cwd")):
                    found.append(int(entry.name))
    return found


def check_nothing_is_left(data):
    wait_for(lambda: not processes_of(data), 60, f"the end of all processes of {data}")
    with Daemon("--data", str(data), data=data, settings={"executor": "noop"}) as daemon:
        assert daemon.get("/apis/rondo/v1/subscriptions")["subscriptions"] == []


@pytest.fixture
def failing(tmp_path):
    path = tmp_path / "failing.json"
    path.write_text(json.dumps(shell_spec("echo 'no such table' >&2; exit 7", name="failing")))
    return path


def test_once_and_again(tmp_path):
    with Up(tmp_path, "--once") as up:
        text = up.wait(0)
        for word in ("fired", "run started", "step started", "artifact created", "step completed", "run succeeded",
                     "webhook delivered", "kfp.Client("):
            assert word in text, word
        assert "hello-1 SUCCEEDED" in text
        count = int(re.search(r"the first scheduled run succeeded; (\d+) webhooks delivered and verified", text)[1])
        assert count >= 8
    wait_for(lambda: not processes_of(up.data), 60, "the end of its processes")
    with Up(tmp_path, "--once") as up:
        text = up.wait(0)
        assert "firing 1," not in text and re.search(r"firing [2-9]", text), text  # it goes on where it was
    check_nothing_is_left(up.data)


def test_a_failing_pipeline(tmp_path, failing):
    with Up(tmp_path, "--once", "--pipeline", str(failing)) as up:
        text = up.wait(1)
        assert "the run ended FAILED" in text and "7" in text and "no such table" in text
    check_nothing_is_left(up.data)


def test_a_bad_pipeline(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("a: [")
    with Up(tmp_path, "--once", "--pipeline", str(path)) as up:
        assert "bad.yaml" in up.wait(1)
    wait_for(lambda: not processes_of(up.data), 60, "the end of its processes")


@pytest.mark.parametrize("to_group", [True, False])
def test_interrupted(tmp_path, to_group):
    """Ctrl-C reaches the whole group; a step is running."""
    seconds = 900000 + os.getpid()
    path = tmp_path / "long.json"
    path.write_text(json.dumps(shell_spec(f"echo begun; sleep {seconds}", name="long")))
    with Up(tmp_path, "--pipeline", str(path)) as up:
        up.wait_text("step started")
        wait_for(lambda: len(processes_of(up.data)) >= 3, what="rondod, redis-server and a step")
        if to_group:
            os.killpg(up.process.pid, signal.SIGINT)
            up.wait(130)
        else:
            up.process.terminate()
            up.wait(143)
        steps = ["pgrep", "-fx", f"sleep {seconds}"]
        wait_for(lambda: subprocess.run(steps, capture_output=True, check=False).returncode == 1, what="the end of the step")
    wait_for(lambda: not processes_of(up.data), 60, "the end of its processes")
    assert not (up.data / "port").exists()
    check_nothing_is_left(up.data)


def test_port_taken(tmp_path):
    with contextlib.ExitStack() as stack:
        def is_ours():
            with contextlib.suppress(OSError):
                return stack.enter_context(socket.create_server(("127.0.0.1", 8888)))
        with contextlib.suppress(AssertionError):  # another test's goes soon; what is there for good is as good
            wait_for(is_ours)
        up = stack.enter_context(Up(tmp_path, "--once"))
        port = int(re.search(r"rondo runs at http://127\.0\.0\.1:(\d+)", up.wait(0))[1])
        assert port != 8888


def test_a_second_one_on_the_same_folder(tmp_path):
    with Up(tmp_path) as first:
        first.wait_text("run succeeded")
        with Up(tmp_path, "--once", cleans=False) as second:
            assert "another rondod uses" in second.wait(1)
        assert first.process.poll() is None
        os.killpg(first.process.pid, signal.SIGINT)
        first.wait(130)


def test_wrong_use(tmp_path):
    for args, code in (("--help", 0), ("--ounce", 2)):
        done = subprocess.run([str(ROOT / "contrib" / "up"), args], capture_output=True, text=True, check=False)
        assert done.returncode == code and (done.stdout + done.stderr)
