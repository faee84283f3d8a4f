# SPDX-License-Identifier: Apache-2.0
"""Redis with a replica and Sentinels: the daemon asks who is the master, and follows a fail-over."""

import pathlib
import shutil
import subprocess
import tempfile

import pytest

from rondo_testing import Daemon, free_port, shell_spec, wait_for
from seen import SEEN_PROGRESS
from test_daemons import Schedule, now_us, wait_shared

NAME = "the-master"
PASSWORD = "s3cret"


class Server:
    """A redis-server or a sentinel on a port of its own."""

    def __init__(self, folder, *arguments, sentinel=None):
        self.port = free_port()
        self.folder = folder / str(self.port)
        self.folder.mkdir()
        self.is_sentinel = sentinel is not None
        self.config = self.folder / "redis.conf"
        lines = [f"port {self.port}", "bind 127.0.0.1", f"dir {self.folder}",
                 f"logfile {self.folder}/redis.log"]
        if self.is_sentinel:
            lines += [f"sentinel monitor {NAME} 127.0.0.1 {sentinel} 1",
                      f"sentinel auth-pass {NAME} {PASSWORD}",
                      f"sentinel down-after-milliseconds {NAME} 2000",
                      f"sentinel failover-timeout {NAME} 5000"]
        else:
            lines += ["appendonly yes", 'save ""', f"requirepass {PASSWORD}", f"masterauth {PASSWORD}",
                      "repl-diskless-sync-delay 0", *arguments]
        self.config.write_text("\n".join(lines) + "\n")
        self.process = None
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            ["redis-server", str(self.config), *(["--sentinel"] if self.is_sentinel else [])],
            stdin=subprocess.DEVNULL)
        wait_for(lambda: self.command("PING") == "PONG", 60, "the server")
        return self

    def command(self, *args):
        login = [] if self.is_sentinel else ["-a", PASSWORD, "--no-auth-warning"]
        done = subprocess.run(["redis-cli", "-p", str(self.port), *login, *args], capture_output=True,
                              text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else None

    def role(self):
        return (self.command("ROLE") or "").split("\n")[0]

    def kill9(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@pytest.fixture
def servers():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="rondo-sentinel-"))
    made = []
    try:
        master = Server(folder)
        made.append(master)
        replica = Server(folder, f"replicaof 127.0.0.1 {master.port}")
        made.append(replica)
        wait_for(lambda: "master_link_status:up" in (replica.command("INFO", "replication") or ""), 60,
                 "the replica to follow")
        sentinel = Server(folder, sentinel=master.port)
        made.append(sentinel)
        wait_for(lambda: f"{replica.port}" in (sentinel.command("SENTINEL", "replicas", NAME) or ""), 60,
                 "the sentinel to know the replica")
        yield master, replica, sentinel
    finally:
        for one in made:
            one.kill9()
        shutil.rmtree(folder, ignore_errors=True)


def fires(server):
    """last_us of all recurring runs; none while the server is away or loads."""
    text = server.command("EVAL", SEEN_PROGRESS + """
        local out = {}
        for _, key in ipairs(redis.call('KEYS', 'rondo:{*}:progress')) do
            local prefix = key:match('^(.*)progress$')
            for _, id in ipairs(redis.call('HKEYS', key)) do
                out[#out + 1] = seen_progress(prefix, id):match('^%d+ %d+ %d+ (%d+) ')
            end
        end
        return out""", "0") or ""
    return [int(line) for line in text.split("\n") if line.isdigit()]


def slots(server):
    """(recurring run, slot) of all runs."""
    text = server.command("EVAL", """
        local out = {}
        for _, key in ipairs(redis.call('KEYS', 'rondo:{*}:rr:*:runs')) do
            local prefix, rr = key:match('^(rondo:{..}:)rr:(.*):runs$')
            for _, id in ipairs(redis.call('ZRANGE', key, 0, -1)) do
                out[#out + 1] = rr .. ' ' .. redis.call('HGET', prefix .. 'run:' .. id, 'scheduled_us')
            end
        end
        return out""", "0")
    return [tuple(line.split()) for line in text.split("\n") if line]


def wait_fires(server, at_us, timeout=60):
    wait_for(lambda: (last := fires(server)) and min(last) > at_us, timeout, "fires at the new master")


def test_fail_over(servers):
    master, replica, sentinel = servers
    url = f"sentinel://:{PASSWORD}@127.0.0.1:1,127.0.0.1:{sentinel.port}/{NAME}/0"
    made = [Daemon(redis=url, settings={"executor": "noop"}) for _ in range(2)]
    try:
        for one in made:
            one.start()
        wait_shared(*made)
        assert PASSWORD not in made[0].log()
        schedule = Schedule(made[0])
        wait_fires(master, now_us())
        wait_fires(replica, now_us())  # a sentinel that has just come may have made it begin anew

        # The master dies, and later comes back as a replica.
        at = now_us()
        master.kill9()
        wait_for(lambda: replica.role() == "master", 60, "the fail-over", step=0.02)
        promoted = now_us()
        wait_fires(replica, promoted)
        print(f"fail-over by the sentinel after {(promoted - at) / 1e6:.3f} s")
        for one in made:
            one.wait_ready()
        master.start()
        wait_for(lambda: master.role() == "slave", 60, "the old master to be a replica")
        wait_for(lambda: "master_link_status:up" in (master.command("INFO", "replication") or ""), 60,
                 "the old master to follow")

        # In order: connections to the old one stay until it says that it is read-only.
        # It is asked until it knows a good replica, and again if it has had another view of who is the master.
        wait_for(lambda: master.role() == "master" or (sentinel.command("SENTINEL", "failover", NAME), False)[1], 60,
                 "the fail-over back", step=0.25)
        wait_fires(master, now_us())
        for one in made:
            one.wait_ready()
        wait_shared(*made)
        run = made[1].create_run(shell_spec("true"))["run_id"]
        made[0].wait_run(run)
        for rr in schedule.all:
            made[0].post(f"/apis/v2beta1/recurringruns/{rr}:disable")
        fired = slots(master)
        assert len(fired) == len(set(fired)), "a slot has fired twice"
        for rr in schedule.all:
            mine = sorted(int(slot) for one, slot in fired if one == rr)
            assert [b - a for a, b in zip(mine, mine[1:])] == [1_000_000] * (len(mine) - 1)
        for one in made:
            one.stop()
    except BaseException:
        for one in made:
            one.print_log()
        raise
    finally:
        for one in made:
            one.kill9()
            one.remove()


def test_unknown_master(servers):
    """The reason is told; it goes on once the sentinels know better."""
    sentinel = servers[2]
    daemon = Daemon(redis=f"sentinel://:{PASSWORD}@127.0.0.1:{sentinel.port}/other",
                    settings={"executor": "noop"})
    try:
        daemon.start(ready=False)
        wait_for(lambda: "it knows no such master" in daemon.log(), 60, "the reason")
        sentinel.command("SENTINEL", "monitor", "other", "127.0.0.1", str(servers[0].port), "1")
        sentinel.command("SENTINEL", "set", "other", "auth-pass", PASSWORD)
        daemon.wait_ready()
        daemon.stop()
    finally:
        daemon.kill9()
        daemon.remove()
