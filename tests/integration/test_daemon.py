# SPDX-License-Identifier: Apache-2.0
"""rondod as a program: its options, how it refuses to start, how it stops, what it tells of itself."""

import contextlib
import hashlib
import json
import os
import re
import signal
import socket
import subprocess

import pytest
import yaml

from rondo_testing import Daemon, Redis, bin_dir, is_alive, shell_spec, wait_for

V2 = "/apis/v2beta1"


def rondod(*args, code=0, env=None, timeout=120):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RONDO_")}
    environment.update(env or {})
    done = subprocess.run([str(bin_dir() / "rondod"), *map(str, args)], capture_output=True, text=True, check=False,
                          env=environment, timeout=timeout)
    assert done.returncode == code, f"{args}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Sanitizer" not in done.stderr, done.stderr
    return done


class TestOptions:
    def test_help_names_every_setting(self):
        text = rondod("--help").stdout
        keys = re.findall(r"^(?:# )?([a-z-]+):", rondod("--print-config").stdout, re.M)
        assert len(keys) >= 35
        for key in keys:
            assert f"\n  --{key}" in text, key

    def test_print_config_round_trip(self, tmp_path):
        """What it prints is a file that it reads, and the same comes out again."""
        args = ["--listen", "127.0.0.1:0", "--data", tmp_path / "a \"quoted\" näme", "--max-body", "1MiB",
                "--webhook-allow", "127.0.0.1,10.0.0.0/8", "--step-timeout", "90s", "--insecure", "--redis",
                "unix:/tmp/none"]
        first = rondod(*args, "--print-config").stdout
        path = tmp_path / "rondo.yaml"
        without_secret = re.sub(r"^redis: .*$", "", first, flags=re.M)
        path.write_text(without_secret)
        again = rondod("--config", path, "--redis", "unix:/tmp/none", "--print-config").stdout
        assert again == first
        values = yaml.safe_load(first)
        assert values["max-body"] == "1MiB" and values["insecure"] is True and values["shards"] == 16

    def test_later_wins(self, tmp_path):
        path = tmp_path / "rondo.yaml"
        path.write_text("shards: 2\nmax-steps: 3\nlog-level: warn\n")
        env = {"RONDO_MAX_STEPS": "5", "RONDO_LOG_LEVEL": "error"}
        values = yaml.safe_load(rondod("--config", path, "--log-level", "debug", "--print-config", env=env).stdout)
        assert (values["shards"], values["max-steps"], values["log-level"]) == (2, 5, "debug")

    def test_secrets_are_not_printed(self):
        text = rondod("--redis", "redis://:hunter2@localhost:1/0", "--print-config").stdout
        assert "hunter2" not in text

    @pytest.mark.parametrize("args, env, name", [
        (["--wings", "2"], {}, "wings"), (["word"], {}, "word"), (["--shards"], {}, "shards"),
        ([], {"RONDO_WINGS": "2"}, "RONDO_WINGS"), ([], {"RONDO_SHARDS": "x"}, "RONDO_SHARDS"),
        (["--shards", "3"], {}, "shards"), (["--shards", "0"], {}, "shards"), (["--shards", "512"], {}, "shards"),
        (["--max-body", "many"], {}, "max-body"), (["--max-body", "1"], {}, "max-body"),
        (["--max-body", "1GiB"], {}, "max-body"), (["--http-timeout", "forever"], {}, "http-timeout"),
        (["--executor", "magic"], {}, "executor"), (["--log-level", "loud"], {}, "log-level"),
        (["--log-format", "xml"], {}, "log-format"), (["--on-stop", "maybe"], {}, "on-stop"),
        (["--listen", "0.0.0.0:0"], {}, "listen"), (["--listen", ":0"], {}, "listen"), (["--listen", "[::]:0"], {}, "listen"),
        (["--config", "/nowhere.yaml"], {}, "/nowhere.yaml"), (["--insecure=perhaps"], {}, "insecure")])
    def test_refuses(self, tmp_path, args, env, name):
        data = ["--data", tmp_path / "data"]
        done = rondod(*data, *args, code=2, env=env)
        assert name in done.stderr and done.stderr.count("\n") == 1, done.stderr
        assert not (tmp_path / "data").exists()

    @pytest.mark.parametrize("text, place", [
        ("wings: 2", "wings"), ("shards: many", "shards"), ("shards: [1]", "shards"), ("- shards", "rondo.yaml"),
        ("shards: 2\nshards: 4", "shards"), ("a: [", "rondo.yaml"), ("shards: 16\n\nwings: 1", "3"),
        ("x: " + "y" * 2000000, "rondo.yaml"), ("&a [*a]", "rondo.yaml")])
    def test_refuses_a_file(self, tmp_path, text, place):
        path = tmp_path / "rondo.yaml"
        path.write_text(text)
        done = rondod("--config", path, "--print-config", code=2)
        assert place in done.stderr and "rondo.yaml" in done.stderr, done.stderr

    def test_what_shows_only_later(self, tmp_path):
        """Good options, bad world: exit 1, and the reason."""
        for args, word in ((["--tokens-file", "/nowhere"], "tokens-file"), (["--artifact-root", "s9://x"], "artifact-root"),
                           (["--webhook-allow", "10.0.0.0/99"], "webhook-allow"), (["--listen", "127.0.0.1"], "listen"),
                           (["--listen", "127.0.0.1:99999"], "listen"), (["--listen", "192.0.2.1:0", "--insecure"], "192.0.2.1"),
                           (["--redis", "ftp://x"], "redis")):
            done = rondod("--data", tmp_path / word, *(() if "--listen" in args else ("--listen", "127.0.0.1:0")), *args,
                          code=1)
            assert word in done.stderr, done.stderr
        empty = tmp_path / "tokens"
        for text in ("", "not hex\n", "# only this\n"):
            empty.write_text(text)
            rondod("--data", tmp_path / "t", "--listen", "127.0.0.1:0", "--tokens-file", empty, code=1)
        (tmp_path / "file").write_text("")
        assert "data" in rondod("--data", tmp_path / "file" / "x", "--listen", "127.0.0.1:0", code=1).stderr

    def test_port_taken(self, tmp_path):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            done = rondod("--data", tmp_path, "--listen", f"127.0.0.1:{port}", code=1)
            assert str(port) in done.stderr


class TestLife:
    def test_port_zero_and_sigterm(self):
        daemon = Daemon(settings={"executor": "noop"}).start()
        try:
            assert 1024 < daemon.port < 65536 and (daemon.data / "port").read_text() == f"{daemon.port}\n"
            redis = (daemon.data / "redis").exists()
            process = daemon.process
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0 and redis
            assert not (daemon.data / "port").exists()
            assert "stopping" in daemon.log() and "SIGTERM" in daemon.log()
            daemon.process = None
            daemon.start()
            daemon.process.send_signal(signal.SIGINT)
            assert daemon.wait_exit() == 0
        finally:
            daemon.kill9()
            daemon.remove()

    def test_two_on_one_folder(self):
        with Daemon(settings={"executor": "noop"}) as daemon:
            done = rondod("--data", daemon.data, "--listen", "127.0.0.1:0", code=1)
            assert "another rondod" in done.stderr and str(daemon.data) in done.stderr
            daemon.get("/healthz")
            assert (daemon.data / "port").read_text() == f"{daemon.port}\n"

    def test_second_daemon_on_one_redis(self):
        """They share the work; either takes requests, and stays when the other goes."""
        with Redis() as redis, Daemon(redis=redis.url, settings={"executor": "noop"}) as first:
            with Daemon(redis=redis.url, settings={"executor": "noop"}) as second:
                for one, other in ((first, second), (second, first)):
                    for _ in range(4):
                        run = one.create_run(shell_spec())["run_id"]
                        other.wait_run(run)
                first.get("/readyz")
            first.wait_run(first.create_run(shell_spec())["run_id"])

    def test_no_redis_process_is_left(self):
        daemon = Daemon(settings={"executor": "noop"}).start()
        with open(f"/proc/{daemon.process.pid}/task/{daemon.process.pid}/children") as file:
            children = [int(pid) for pid in file.read().split()]
        assert children
        daemon.kill9()
        wait_for(lambda: not any(map(is_alive, children)), 60, "the end of its redis-server")
        daemon.remove()

    def test_wrong_redis(self, tmp_path):
        """It waits for one that is away, says so, answers, and still stops when told."""
        daemon = Daemon("--redis", f"unix:{tmp_path}/none", settings={"executor": "noop"}).launch()
        try:
            wait_for(daemon._has_port, 60, "the port")
            assert daemon.call("GET", "/healthz", None).status_code in (200, 503)
            assert daemon.call("GET", "/readyz", None).status_code == 503
            wait_for(lambda: "waiting for redis" in daemon.log(), 60, "the complaint")
            daemon.stop()
        finally:
            daemon.kill9()
            daemon.remove()


class TestTokens:
    def test_tokens(self, tmp_path):
        tokens = tmp_path / "tokens"
        tokens.write_text("".join(hashlib.sha256(t.encode()).hexdigest() + f"  # {t}\n" for t in ("one", "two")))
        with Daemon("--listen", "0.0.0.0:0", token="one", settings={"executor": "noop", "tokens_file": tokens}) as daemon:
            daemon.get(f"{V2}/experiments")
            for header, status in (("Bearer two", 200), ("Bearer three", 401), ("Bearer ", 401), ("Basic one", 401), ("", 401),
                                   ("Bearer one two", 401), ("bearer two", 200)):
                headers = {"Authorization": header} if header else {"Authorization": None}
                answer = daemon.call("GET", f"{V2}/experiments", status, headers=headers)
                assert status == 200 or answer.json()["code"] == 16
            for path in ("/healthz", "/readyz", f"{V2}/healthz"):
                daemon.call("GET", path, 200, headers={"Authorization": None})

    def test_insecure(self):
        with Daemon("--listen", "0.0.0.0:0", "--insecure", settings={"executor": "noop"}) as daemon:
            daemon.get(f"{V2}/experiments")


class TestTelling:
    def test_json_log_lines(self):
        with Daemon(settings={"executor": "noop", "log_format": "json", "log_level": "debug"}) as daemon:
            run = daemon.create_run(shell_spec(), "näme \"quoted\" \u0001 \n line")["run_id"]
            daemon.wait_run(run)
            daemon.call("GET", "/no%0Asuch%22path", 404)
            daemon.call("POST", f"{V2}/experiments", 400, data=b"\xff\xfe")
            daemon.stop()
            lines = daemon.log().splitlines()
            daemon.start()
        assert len(lines) > 5
        for line in lines:
            record = json.loads(line)
            assert {"time", "level", "msg"} <= set(record) or {"ts", "level", "msg"} <= set(record), record
            assert record["level"] in ("trace", "debug", "info", "warn", "error")

    def test_text_log_lines_stay_lines(self):
        with Daemon(settings={"executor": "noop", "log_level": "debug"}) as daemon:
            daemon.wait_run(daemon.create_run(shell_spec(), "two\nlines \x1b[31m")["run_id"])
            daemon.call("GET", "/a%0Ab%1B", 404)
            assert all(re.match(r"\d{4}-\d\d-\d\dT\S+Z (debug|info|warn|error) ", line) for line in
                       daemon.log().splitlines())
            assert "\x1b" not in daemon.log()

    def test_metrics(self):
        with Daemon(settings={"executor": "noop"}) as daemon:
            daemon.wait_run(daemon.create_run(shell_spec(), "counted")["run_id"])
            answer = daemon.call("GET", "/metrics")
            assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            samples = check_prometheus(answer.text)
            assert len(samples) >= 15 and all(name.startswith(("rondo_", "process_")) for name, _ in samples)
            again = check_prometheus(daemon.call("GET", "/metrics").text)
            assert set(again) == set(samples)

    def test_health(self):
        with Daemon(settings={"executor": "noop"}) as daemon:
            assert daemon.call("GET", "/healthz").status_code == 200
            assert daemon.call("GET", "/readyz").status_code == 200
            assert daemon.get(f"{V2}/healthz")


def check_prometheus(text):
    """Strict: HELP and TYPE before the samples of each metric, each metric once and in one block, legal names and
    values, no sample twice, a last line feed. Gives {(name, labels): value}."""
    assert text.endswith("\n")
    name = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
    label = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
    kinds, helps, samples, current, closed = {}, set(), {}, None, set()
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            metric = re.fullmatch(rf"# HELP ({name}) \S.*", line)[1]
            assert metric not in helps
            helps.add(metric)
            continue
        if line.startswith("# TYPE "):
            metric, kind = re.fullmatch(rf"# TYPE ({name}) (counter|gauge|histogram|summary|untyped)", line).groups()
            assert metric not in kinds and metric in helps
            kinds[metric] = kind
            continue
        found = re.fullmatch(rf"({name})(\{{{label}(?:,{label})*\}})? (\S+)(?: -?\d+)?", line)
        assert found, f"not a sample: {line!r}"
        metric, labels, value = found.groups()
        base = re.sub(r"_(bucket|sum|count)$", "", metric) if metric not in kinds else metric
        assert base in kinds, f"no TYPE before {line!r}"
        assert kinds[base] != "counter" or metric.endswith("_total"), metric
        if base != current:
            assert base not in closed, f"{base} in two blocks"
            closed.add(current)
            current = base
        assert (metric, labels) not in samples
        samples[metric, labels] = float(value)
        assert kinds[base] != "counter" or float(value) >= 0
    assert set(kinds) == helps
    return samples


def redis_servers_in(folder):
    """Pids of the redis-server processes that work in this folder."""
    found = []
    for entry in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            comm = open(f"/proc/{entry}/comm").read() if entry.isdigit() else ""
            if comm.startswith("redis-server") and os.path.samefile(f"/proc/{entry}/cwd", folder):
                found.append(int(entry))
    return found


def test_one_private_redis_even_without_its_pid_file():
    daemon = Daemon()
    try:
        for _ in range(3):
            daemon.start()
            # The one before it, which nobody waits for, may be ending just now.
            wait_for(lambda: len(redis_servers_in(daemon.data / "redis")) == 1, what="one redis-server")
            (daemon.data / "redis" / "redis.pid").unlink()
            daemon.kill9()
        daemon.start()
        daemon.stop()
        wait_for(lambda: not redis_servers_in(daemon.data / "redis"), what="redis to end with the daemon")
    finally:
        daemon.remove()
