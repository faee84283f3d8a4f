# SPDX-License-Identifier: Apache-2.0
"""Helpers of the integration tests: a daemon, a webhook receiver, waiting for conditions.

RONDO_BIN_DIR names the folder with rondod, rondo and rondo-launcher (default: build/sanitize).
"""

import base64
import contextlib
import hashlib
import hmac
import http.client
import http.server
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import requests

import event_schemas

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"


def bin_dir():
    return pathlib.Path(os.environ.get("RONDO_BIN_DIR", ROOT / "build" / "sanitize")).resolve()


def wait_for(condition, timeout=60.0, what="the condition", step=0.02):
    """Call until it gives something true; that is returned."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come within {timeout} s")
        time.sleep(step)
        step = min(step * 1.5, 0.25)


def is_alive(pid):
    """A process that has ended and was not waited for yet is none."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rsplit(")", 1)[1].split()[0] != "Z"


def free_port():
    """One that nobody gets by chance before it is used, or while its server is away: the kernel
    picks ports for others from a range above."""
    lowest = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.randrange(min(10000, lowest - 1000), lowest)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


class Daemon:
    """rondod in a folder of its own. As a context manager it stops and checks the exit code."""

    def __init__(self, *args, data=None, env=None, redis=None, settings=None, token=None):
        self.own_data = data is None
        self.data = pathlib.Path(data or tempfile.mkdtemp(prefix="rondo-test-"))
        self.args = list(args)
        if redis is not None:
            self.args += ["--redis", redis]
        for key, value in (settings or {}).items():
            self.args += [f"--{key.replace('_', '-')}", str(value)]
        self.env = env or {}
        self.token = token
        self.process = None
        self.port = None
        self.session = requests.Session()
        self.session.trust_env = False
        if token:
            self.session.headers["Authorization"] = f"Bearer {token}"

    # -- life --

    @property
    def log_path(self):
        return self.data / "rondod.log"

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def launch(self, env=None):
        """Start without waiting."""
        assert self.process is None
        program = bin_dir() / "rondod"
        assert program.exists(), f"{program} is missing; build it or set RONDO_BIN_DIR"
        self.data.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            (self.data / "port").unlink()
        command = [str(program), "--data", str(self.data)]
        if "--listen" not in self.args:
            command += ["--listen", "127.0.0.1:0"]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("RONDO_")}
        environment.setdefault("ASAN_OPTIONS", "detect_leaks=1:exitcode=99")
        environment.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
        environment.update(self.env)
        environment.update(env or {})
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                command + self.args, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment)
        return self

    def start(self, timeout=60.0, ready=True, env=None):
        self.launch(env=env)
        try:
            wait_for(self._has_port, timeout, "the port file")
            if ready:
                self.wait_ready(timeout)
        except BaseException:
            self.print_log()
            self.kill9()
            raise
        return self

    def _has_port(self):
        assert self.process.poll() is None, f"rondod ended with {self.process.returncode}\n{self.log()}"
        with contextlib.suppress(OSError, ValueError):
            self.port = int((self.data / "port").read_text())
        return self.port is not None and (self.data / "port").exists()

    def _is_ready(self):
        assert self.process.poll() is None, f"rondod ended with {self.process.returncode}\n{self.log()}"
        with contextlib.suppress(requests.RequestException):
            return self.session.get(self.url + "/readyz", timeout=5).status_code == 200

    def wait_ready(self, timeout=60.0):
        wait_for(self._is_ready, timeout, "/readyz")

    def stop(self, timeout=60.0):
        """Orderly; the exit code must be 0 (sanitizers give another one)."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        code = self.wait_exit(timeout)
        if code != 0:
            self.print_log()
            raise AssertionError(f"rondod ended with {code}")

    def wait_exit(self, timeout=60.0):
        process = self.process
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.print_log()
            process.kill()
            process.wait()
            self.process = None
            raise AssertionError("rondod did not end") from None
        self.process = None
        self.port = None
        return code

    def kill9(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
            self.port = None

    def restart(self, kill=False, **kwargs):
        if kill:
            self.kill9()
        else:
            self.stop()
        return self.start(**kwargs)

    def check_alive(self):
        if self.process is not None and self.process.poll() is not None:
            raise AssertionError(f"rondod ended with {self.process.returncode}\n{self.log()[-20000:]}")

    def print_log(self):
        sys.stderr.write(f"---- {self.log_path}\n{self.log()[-20000:]}\n----\n")

    def end_steps(self):
        """Steps that a failed test left behind: what works below the data folder."""
        for entry in pathlib.Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and pathlib.Path(os.readlink(entry / "cwd")).is_relative_to(
                        self.data.resolve() / "work"):
                    os.kill(int(entry.name), signal.SIGKILL)

    def remove(self):
        self.end_steps()
        if self.own_data:
            shutil.rmtree(self.data, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, value, trace):
        if kind is not None:
            self.print_log()
            with contextlib.suppress(AssertionError):
                self.stop()
            self.kill9()
        else:
            self.stop()
        self.remove()

    # -- requests --

    def call(self, method, path, expect=200, **kwargs):
        """Any request; the status must be as expected (None: any). Gives the response."""
        kwargs.setdefault("timeout", 60)
        self.check_alive()
        response = self.session.request(method, self.url + path, **kwargs)
        if expect is not None and response.status_code != expect:
            raise AssertionError(
                f"{method} {path}: {response.status_code}, expected {expect}: {response.text[:2000]}")
        return response

    def get(self, path, expect=200, **params):
        return self.call("GET", path, expect, params=params).json()

    def post(self, path, body=None, expect=200, **kwargs):
        answer = self.call("POST", path, expect, json=body, **kwargs).json()
        if path.endswith("/subscriptions") and expect == 200:
            event_schemas.learn(self)  # so that receivers know what may come
        return answer

    def delete(self, path, expect=200, **params):
        return self.call("DELETE", path, expect, params=params).json()

    def patch(self, path, body, expect=200):
        return self.call("PATCH", path, expect, json=body).json()

    def raw(self, data, timeout=60.0):
        """Bytes as they are; everything that comes back until the daemon closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout) as sock:
            with contextlib.suppress(OSError):
                sock.sendall(data)
            out = b""
            with contextlib.suppress(OSError):
                while piece := sock.recv(65536):
                    out += piece
            return out

    def metric(self, name):
        """Value of a metric, by its full name with labels; 0 when absent."""
        for line in self.call("GET", "/metrics").text.splitlines():
            if line.startswith(name + " "):
                return float(line.rsplit(" ", 1)[1])
        return 0.0

    def resident(self):
        """Bytes in RAM."""
        pages = int(pathlib.Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGESIZE")

    def move_clock(self, seconds):
        """Set the daemon's clock so far from the real one."""
        return self.post("/internal/testing/clock", {"shift_us": int(seconds * 1_000_000)})

    # -- verbs of the API that many tests need --

    def upload(self, text, name, filename="pipeline.yaml", expect=200, **params):
        return self.call("POST", "/apis/v2beta1/pipelines/upload", expect,
                         params={"name": name, **params},
                         files={"uploadfile": (filename, text)}).json()

    def upload_version(self, pipeline_id, text, name, filename="pipeline.yaml", expect=200):
        return self.call("POST", "/apis/v2beta1/pipelines/upload_version", expect,
                         params={"name": name, "pipelineid": pipeline_id},
                         files={"uploadfile": (filename, text)}).json()

    def create_run(self, spec=None, name="run", expect=200, parameters=None, **fields):
        body = {"display_name": name, **fields}
        if spec is not None:
            body["pipeline_spec"] = spec
        if parameters is not None:
            body["runtime_config"] = {"parameters": parameters}
        return self.post("/apis/v2beta1/runs", body, expect)

    def run(self, run_id):
        return self.get(f"/apis/v2beta1/runs/{run_id}")

    def wait_run(self, run_id, state="SUCCEEDED", timeout=120.0):
        """The run when it has ended; fails when it ended in another state."""
        def ended():
            run = self.run(run_id)
            return run if run["state"] in ("SUCCEEDED", "FAILED") else None
        run = wait_for(ended, timeout, f"the end of run {run_id}")
        assert run["state"] == state, (
            f"run {run_id} ended {run['state']}: {run.get('error')}\n{self.run_log(run_id)}")
        return run

    def tasks(self, run_id):
        """Task records by path."""
        answer = self.get(f"/apis/rondo/v1/runs/{run_id}/tasks")
        return {task["path"]: task for task in answer["tasks"]}

    def run_log(self, run_id, task=None):
        params = {"task": task} if task else {}
        return self.call("GET", f"/apis/rondo/v1/runs/{run_id}/logs", None, params=params).text


class Redis:
    """A redis-server of the test's own, on a unix socket, with the append-only file on."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="rondo-redis-"))
        self.socket = self.folder / "redis.sock"
        self.process = None

    @property
    def url(self):
        return f"unix:{self.socket}"

    def start(self):
        self.process = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", str(self.socket), "--dir", str(self.folder),
             "--appendonly", "yes", "--save", "", "--logfile", str(self.folder / "redis.log")],
            stdin=subprocess.DEVNULL)
        wait_for(lambda: self.command("PING") == "PONG", 60, "redis-server")
        return self

    def command(self, *args):
        """redis-cli's answer, stripped; None when it cannot be reached."""
        done = subprocess.run(["redis-cli", "-s", str(self.socket), *args], capture_output=True,
                              text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else None

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait(60)
            self.process = None

    def kill9(self):
        self.process.kill()
        self.process.wait()
        self.process = None

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def __enter__(self):
        return self.start()

    def __exit__(self, *args):
        if self.process is not None:
            self.resume()
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class Receiver:
    """A webhook receiver. `status` is what it answers: a number, or a function of the request that
    gives a number or (number, headers, body). A receiver that is held answers after release()."""

    def __init__(self, status=200, secret=None, delay=0.0):
        self.status = status
        self.secret = secret
        self.delay = delay
        self.gate = threading.Event()
        self.gate.set()
        self.arrived = 0
        self.requests = []
        self.connections = set()
        self.lock = threading.Lock()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                super().setup()
                receiver.connections.add(self.connection)

            def finish(self):
                receiver.connections.discard(self.connection)
                super().finish()

            def do_POST(self):  # noqa: N802 (name of the library)
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                request = {"path": self.path, "headers": {k.lower(): v for k, v in self.headers.items()},
                           "body": body, "time": time.time()}
                receiver.arrived += 1
                receiver.gate.wait(60)
                if receiver.delay:
                    time.sleep(receiver.delay)
                status, extra, answer = receiver.status, {}, b""
                if callable(status):
                    status = status(request)
                if isinstance(status, tuple):
                    status, extra, answer = status
                request["status"] = status
                with receiver.lock:
                    receiver.requests.append(request)
                with contextlib.suppress(OSError):  # the daemon may have hung up
                    self.send_response(status)
                    for name, value in extra.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(answer)))
                    self.end_headers()
                    self.wfile.write(answer)

            def log_message(self, *args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            request_queue_size = 128
            daemon_threads = True

        self.server = Server(("127.0.0.1", 0), Handler)
        self.address = self.server.server_address
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05},
                                       daemon=True)
        self.thread.start()

    def hold(self):
        self.gate.clear()
        return self

    def release(self):
        self.gate.set()

    @property
    def port(self):
        return self.address[1]

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/hook"

    def events(self, kind=None, accepted=True):
        """Bodies received, as JSON; those of one type; only those answered with 2xx."""
        with self.lock:
            seen = list(self.requests)
        bodies = [json.loads(r["body"]) for r in seen if not accepted or 200 <= r["status"] < 300]
        return [b for b in bodies if kind is None or b.get("type") == kind]

    def wait_events(self, count=1, kind=None, timeout=60.0):
        return wait_for(lambda: (e := self.events(kind)) and len(e) >= count and e, timeout,
                        f"{count} events of type {kind}")

    def verify(self, request):
        """Standard Webhooks: is the signature right?"""
        headers = request["headers"]
        key = base64.b64decode(self.secret.removeprefix("whsec_"))
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + request["body"]
        good = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        return any(hmac.compare_digest(good, one) for one in headers["webhook-signature"].split(" "))

    def close(self):
        self.release()
        self.server.shutdown()
        self.server.server_close()
        self.keep_port()
        for connection in list(self.connections):  # those that were kept open
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.thread.join(5)

    def keep_port(self):
        """Nobody listens there any more, and nobody else shall get it meanwhile."""
        self.kept = socket.socket()
        self.kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            self.kept.bind(("127.0.0.1", self.port))

    def __enter__(self):
        return self

    def __exit__(self, kind, *args):
        self.close()
        if kind is None:  # whatever a test is about, what came is as the catalogue says
            event_schemas.check_bodies(r["body"] for r in self.requests)


def shell_spec(script="echo hello", name="hello", outputs=None, inputs=None, image="alpine"):
    """PipelineSpec with one task `main` that runs a shell script; inputs are text parameters."""
    component = {"executorLabel": "exec-main"}
    task = {"taskInfo": {"name": "main"}, "componentRef": {"name": "comp-main"}}
    root = {"dag": {"tasks": {"main": task}}}
    if inputs:
        definitions = {"parameters": {k: {"parameterType": "STRING", **(
            {"defaultValue": v} if v is not None else {})} for k, v in inputs.items()}}
        root["inputDefinitions"] = definitions
        component["inputDefinitions"] = {"parameters": {k: {"parameterType": "STRING"} for k in inputs}}
        task["inputs"] = {"parameters": {k: {"componentInputParameter": k} for k in inputs}}
    if outputs:
        component["outputDefinitions"] = {"parameters": {k: {"parameterType": "STRING"} for k in outputs}}
    return {
        "schemaVersion": "2.1.0", "sdkVersion": "kfp-2.17.0", "pipelineInfo": {"name": name},
        "root": root, "components": {"comp-main": component},
        "deploymentSpec": {"executors": {"exec-main": {"container": {
            "image": image, "command": ["sh", "-c", script]}}}},
    }


__all__ = ["Daemon", "Receiver", "Redis", "ROOT", "SHARED", "bin_dir", "free_port", "http", "is_alive", "shell_spec",
           "wait_for"]
