# SPDX-License-Identifier: Apache-2.0
"""Where one measurement takes place: a folder, a Redis, and, where a fault asks for them, a network
between schedulers and Redis that can be cut and a clock that can be stepped."""

import mmap
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
BUILD = HERE.parents[2] / "build" / "tick60"


class Unfit(Exception):
    """A system cannot do what is asked of it; the text says why."""


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Redis:
    """The same settings for all. It rewrites its append-only file never: that file is the receiver."""

    def __init__(self, folder, fsync, env):
        self.folder, self.port, self.fsync, self.env = folder, free_port(), fsync, env
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder),
             "--appendonly", "yes", "--appendfsync", self.fsync, "--save", "", "--maxmemory-policy",
             "noeviction", "--auto-aof-rewrite-percentage", "0", "--hash-max-listpack-value", "1024",
             "--logfile", str(self.folder / "redis.log")], env={**os.environ, **self.env})
        until = time.monotonic() + 60
        while not self.command("PING").startswith("PONG"):
            if time.monotonic() > until:
                self.kill()
                sys.exit("redis-server does not answer")
            time.sleep(0.02)

    def command(self, *args):
        done = subprocess.run(["redis-cli", "-p", str(self.port), *args], capture_output=True, text=True,
                              check=False)
        return done.stdout

    def numbers(self):
        found = {}
        for line in self.command("INFO", "everything").splitlines():
            name, _, value = line.partition(":")
            if name in ("total_commands_processed", "aof_current_size", "used_memory"):
                found[name] = int(value)
        return found

    def kill(self):
        self.process.kill()
        self.process.wait()


class Network:
    """The way from schedulers to Redis. Cut, it passes nothing on and closes nothing; mended, it brings what was
    held, as TCP would have sent it again."""

    def __init__(self, port):
        self.process = subprocess.Popen([sys.executable, str(HERE / "relay.py"), str(port)],
                                        stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())

    def cut(self):
        self.process.send_signal(signal.SIGSTOP)

    def mend(self):
        self.process.send_signal(signal.SIGCONT)

    def close(self):
        self.process.kill()
        self.process.wait()


class Clock:
    """A wall clock for those programs that are started with `env`: the machine's, until it is stepped. The monotonic
    one goes on."""

    def __init__(self, folder):
        path = folder / "clock"
        path.write_bytes(bytes(8))
        with open(path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), 8)
        self.env = {"LD_PRELOAD": str(BUILD / "step.so"), "STEP_FILE": str(path)}

    def step(self, seconds):
        """So far from the machine's, for all at once."""
        struct.pack_into("q", self.map, 0, seconds)


class Lab:
    """`network`: schedulers reach Redis through one that can be cut. `stepped`: whose clock can be: nobody's (""),
    that of `schedulers`, or that of `all`, Redis too. The judge goes by the machine's."""

    def __init__(self, fsync="everysec", network=False, stepped=""):
        self.fsync, self.has_network, self.stepped = fsync, network, stepped

    def __enter__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tick60-"))
        self.clock = Clock(self.folder) if self.stepped else None
        self.env = self.clock.env if self.clock else {}  # of schedulers
        self.redis = Redis(self.folder, self.fsync, self.env if self.stepped == "all" else {})
        self.network = Network(self.redis.port) if self.has_network else None
        self.port = (self.network or self.redis).port  # where schedulers find Redis
        return self

    def __exit__(self, *args):
        if self.network:
            self.network.close()
        self.redis.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
