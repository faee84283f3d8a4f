# SPDX-License-Identifier: Apache-2.0
"""The part `million`: so many recurring runs that rest, beside a hundred of them, on the same daemon.

All are made over the API. One more fires each second, but only while a start is measured.
"""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import statistics
import subprocess
import threading
import time
import urllib.parse

FEW = 100  # fill five pages of a list
PAGE = 20
LIST = f"/apis/v2beta1/recurringruns?page_size={PAGE}"
SHARDS = 16


def mib(count):
    return f"{count / 2**20:,.1f} MiB"


def peak(pid):
    """The most memory that this process ever had."""
    return int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1]) * 1024


def bodies(bench, source, experiment, first, last):
    """Due in twelve hours, at any minute of that one. A page of them is in this experiment."""
    hour = time.gmtime(time.time() + 12 * 3600).tm_hour
    for n in range(first, last):
        body = json.loads(next(bench.recurring_bodies(1, source, f"0 {n % 60} {hour} * * *")))
        body["display_name"] = f"bench {n}"
        if n < PAGE:
            body["experiment_id"] = experiment
        yield json.dumps(body).encode()


class Watch(threading.Thread):
    """When the first run of a recurring run that did not exist before is in Redis, by Redis's clock."""

    def __init__(self, path, recurring_run_id, since_us):
        super().__init__(daemon=True)
        shard = int(recurring_run_id[:2], 16) % SHARDS
        key = f"rondo:{{{shard:02x}}}:rr:{recurring_run_id}:runs"
        self.ask = f"ZRANGEBYSCORE {key} {since_us} +inf LIMIT 0 1\r\nTIME\r\n".encode()
        self.path = str(path)
        self.seen_us = None
        self.start()

    def look(self, sock):
        sock.sendall(self.ask)
        got = b""
        while not re.search(rb"\*2\r\n\$\d+\r\n\d+\r\n\$\d+\r\n\d+\r\n$", got):
            more = sock.recv(4096)
            if not more or got.startswith(b"-"):  # it is loading
                return False
            got += more
        seconds, us = re.findall(rb"\$\d+\r\n(\d+)\r\n", got)[-2:]
        if got.startswith(b"*1"):
            self.seen_us = int(seconds) * 10**6 + int(us)
        return got.startswith(b"*1")

    def run(self):
        while True:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as sock:
                sock.connect(self.path)
                while not self.look(sock):
                    time.sleep(0.002)
                return
            time.sleep(0.002)


class Start:
    """A start of the daemon until it is ready and until the first fire."""

    def __init__(self, daemon, recurring_run_id):
        time.sleep(1.2)  # so that a tick is overdue
        since = time.time()
        watch = Watch(daemon.data / "redis" / "redis.sock", recurring_run_id, int(since * 1e6))
        daemon.start()
        self.ready = time.monotonic() - daemon.started
        watch.join()
        self.fired = watch.seen_us / 1e6 - since
        self.peak = peak(daemon.process.pid)
        self.redis_peak = peak(daemon.redis_pid())
        self.resident = daemon.resident()


def kill(pid):
    """And wait until it is gone, also when it is nobody's child here."""
    pidfd = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
    os.close(pidfd)
    while pathlib.Path(f"/proc/{pid}").exists():
        time.sleep(0.001)


def start_cold(daemon, recurring_run_id):
    """Everything died; the daemon starts its own Redis, which loads its file."""
    redis = daemon.redis_pid()
    file = file_of(daemon)
    kill(daemon.process.pid)
    daemon.process.wait()
    with contextlib.suppress(ProcessLookupError):
        kill(redis)
    start = Start(daemon, recurring_run_id)
    start.file = file
    return start


@contextlib.contextmanager
def redis_over(folder):
    """One that outlives the daemon."""
    server = subprocess.Popen(
        ["redis-server", "--port", "0", "--unixsocket", str(folder / "redis.sock"), "--dir", str(folder),
         "--pidfile", "redis.pid", "--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--logfile",
         str(folder / "redis.log"), "--hash-max-listpack-value", "1024", "--rdbcompression", "no",
         "--auto-aof-rewrite-min-size", "256mb"])
    try:
        yield
    finally:
        server.terminate()
        server.wait()


def start_warm(daemon, recurring_run_id):
    """The daemon died, Redis did not."""
    daemon.stop()
    with redis_over(daemon.data / "redis"):
        daemon.settings["redis"] = f"unix:{daemon.data}/redis/redis.sock"
        daemon.start()
        while daemon.metrics()["rondo_fires_total"] == 0:
            time.sleep(0.01)
        kill(daemon.process.pid)
        daemon.process.wait()
        start = Start(daemon, recurring_run_id)
        daemon.stop()
        del daemon.settings["redis"]
    daemon.start()
    return start


class Listing:
    """One page, and meanwhile the longest wait of somebody who asks for nothing else."""

    def __init__(self, daemon, query, often):
        before = peak(daemon.process.pid)
        ended = threading.Event()
        waits = []

        def ask_meanwhile():
            while not ended.is_set():
                at = time.perf_counter()
                daemon.call("GET", "/healthz")
                waits.append((time.perf_counter() - at) * 1000)
                time.sleep(0.01)

        other = threading.Thread(target=ask_meanwhile, daemon=True)
        other.start()
        took = []
        for _ in range(often):
            at = time.perf_counter()
            self.answer = daemon.json("GET", LIST + query)
            took.append((time.perf_counter() - at) * 1000)
        ended.set()
        other.join()
        self.ms = statistics.median(took)
        self.wait_ms = max(waits)
        self.grew = max(0, peak(daemon.process.pid) - before)


def wait_rewritten(daemon):
    while "aof_rewrite_in_progress:1" in daemon.redis("INFO", "persistence"):
        time.sleep(0.1)


def rewrite(daemon):
    """Redis's file is a snapshot now, and stays one with commands behind it until it is asked again or started."""
    wait_rewritten(daemon)
    daemon.redis("CONFIG", "SET", "auto-aof-rewrite-percentage", "0")
    daemon.redis("BGREWRITEAOF")
    wait_rewritten(daemon)


def file_of(daemon):
    """The bytes of Redis's snapshot, and of the commands since."""
    sizes = {True: 0, False: 0}
    for file in (daemon.data / "redis" / "appendonlydir").iterdir():
        sizes[".incr." in file.name] += file.stat().st_size
    return sizes[False], sizes[True]


class Side:
    """What so many recurring runs cost while they rest."""

    def __init__(self, bench, daemon, count, experiment, seconds):
        self.count = count
        self.experiment = experiment
        wait_rewritten(daemon)
        time.sleep(2)
        self.resident, self.redis = daemon.resident(), daemon.redis_memory()
        self.redis_resident = bench.resident(daemon.redis_pid())
        pids = daemon.process.pid, daemon.redis_pid()
        before, at = [bench.cpu_s(pid) for pid in pids], time.monotonic()
        time.sleep(seconds)
        took = time.monotonic() - at
        self.busy = [(bench.cpu_s(pid) - was) / took for pid, was in zip(pids, before)]

    def list(self, daemon):
        page = Listing(daemon, "", 5)
        name = {"predicates": [{"operation": "EQUALS", "key": "name", "stringValue": f"bench {self.count // 2}"}]}
        newest = Listing(daemon, "&sort_by=created_at%20desc", 5)
        default = newest.answer["recurringRuns"][0]["experiment_id"]
        often = 5 if self.count <= FEW else 1
        self.lists = {
            "the first 20, oldest first": page,
            "the next 20": Listing(daemon, "&page_token=" + page.answer["next_page_token"], 5),
            "the newest 20": newest,
            "the newest 20 of the experiment that has all others":
                Listing(daemon, f"&experiment_id={default}&sort_by=created_at%20desc", often),
            "an experiment that has 20": Listing(daemon, f"&experiment_id={self.experiment}", often),
            "20 in the order of their names": Listing(daemon, "&sort_by=name", often),
            "the one with this name": Listing(daemon, "&filter=" + urllib.parse.quote(json.dumps(name)), often)}
        for what, total in (("the newest 20", self.count + 1), ("an experiment that has 20", PAGE),
                            ("the one with this name", 1)):
            if self.lists[what].answer["total_size"] != total:
                raise SystemExit(f"{what}: there are {self.lists[what].answer['total_size']}")


def shown(bench, sides, starts):
    few, many = sides

    def row(what, ours, theirs, ratio, target=""):
        bench.row("million", what, ours, f"with {few.count}: {theirs}", ratio, target)

    row("idle daemon, resident", mib(many.resident), mib(few.resident), f"{many.resident / few.resident:.2f}")
    row("idle, CPU of the daemon and of Redis", ", ".join(f"{one:.2%}" for one in many.busy),
        ", ".join(f"{one:.2%}" for one in few.busy),
        f"{100 * (sum(many.busy) - sum(few.busy)):+.2f} points", "< 0.5%")
    row("Redis, used memory and resident",
        f"{mib(many.redis)}, {mib(many.redis_resident)}",
        f"{mib(few.redis)}, {mib(few.redis_resident)}", f"{many.redis_resident / few.redis_resident:.0f} times")
    for name, what in (("warm", "the daemon killed, Redis not: from exec to the first fire"),
                       ("snapshot", "both killed: from exec to the first fire; Redis loads a snapshot"),
                       ("commands", "the same; Redis loads a snapshot and commands, just before it rewrites its file")):
        base, full = starts[0][name], starts[1][name]
        what += f" ({mib(full.file[0])} and {mib(full.file[1])})" if name == "commands" else ""
        row(what, f"{full.fired:.2f} s, ready after {full.ready:.2f} s", f"{base.fired:.2f} s, {base.ready:.2f} s",
            f"{full.fired / base.fired:.1f} times", "first fire <= 3 s")
        row("the most memory in that start, daemon and Redis", f"{mib(full.peak)}, {mib(full.redis_peak)}",
            f"{mib(base.peak)}, {mib(base.redis_peak)}", f"{full.peak / base.peak:.2f}, "
            f"{full.redis_peak / base.redis_peak:.0f} times")
    for what, full in many.lists.items():
        base = few.lists[what]
        row(f"list: {what}", f"{full.ms:,.1f} ms; others wait {full.wait_ms:,.0f} ms; the daemon grows by "
            f"{mib(full.grew)}", f"{base.ms:.1f} ms", f"{full.ms / base.ms:,.1f} times")


def measure(bench, quick):
    count, seconds = (20000, 3) if quick else (1000000, 20)
    bench.say(f"million: {count:,} recurring runs that rest, and {FEW}")
    daemon = bench.Daemon(executor="noop").start()
    try:
        pipeline, version = daemon.pipeline(bench.spec_of(1, ["true"]))
        source = {"pipeline_id": pipeline, "pipeline_version_id": version}
        path = "/apis/v2beta1/recurringruns"
        experiment = daemon.json("POST", "/apis/v2beta1/experiments", {"display_name": "a page"})["experiment_id"]
        ticking = daemon.json("POST", path, json.loads(next(bench.recurring_bodies(1, source, "* * * * * *"))))
        ticking = f"{path}/{ticking['recurring_run_id']}"
        sides, starts, made = [], [], 0
        for upto in (FEW, count):
            before = daemon.resident(), daemon.redis_memory()
            daemon.call("POST", f"{ticking}:disable")
            took = 0
            # The commands take half as much room again as the snapshot of what they make.
            for last in (made + (upto - made) * 3 // 5, upto):
                at = time.monotonic()
                bench.post_many(daemon.port, path, bodies(bench, source, experiment, made, last))
                took += time.monotonic() - at
                made = last
                if last != upto:
                    rewrite(daemon)
            side = Side(bench, daemon, upto, experiment, seconds)
            if upto != FEW:
                bench.row("million", f"{upto - FEW:,} more created over HTTP", f"{(upto - FEW) / took:,.0f}/s")
                bench.row("million", "each in the daemon", f"{(side.resident - before[0]) / (upto - FEW):,.0f} bytes",
                          target="<= 400 bytes")
                bench.row("million", "each in Redis", f"{(side.redis - before[1]) / (upto - FEW):,.0f} bytes",
                          target="<= 1 KiB")
            side.list(daemon)
            sides.append(side)
            daemon.call("POST", f"{ticking}:enable")
            ids = ticking.rsplit("/", 1)[1]
            start = {"commands": start_cold(daemon, ids)}
            rewrite(daemon)
            starts.append({**start, "snapshot": start_cold(daemon, ids), "warm": start_warm(daemon, ids)})
        shown(bench, sides, starts)
    finally:
        daemon.stop()
        shutil.rmtree(daemon.data, ignore_errors=True)
