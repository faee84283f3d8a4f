# SPDX-License-Identifier: Apache-2.0
"""The systems under test: how each is installed, given its schedules, started, killed and read."""

import contextlib
import dataclasses
import http.client
import importlib.machinery
import importlib.util
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
import time

import judge
from lab import BUILD, Unfit

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
PEERS = HERE / "peers"
NODE = {"bullmq": "6.7.0", "ioredis": "6.0.0", "croner": "11.0.1"}
CLOCK, SKEW = ("clock +2 h", "clock -2 h"), ("skew +2 h", "skew -2 h")
PYTHON = {"celery": "5.7.0", "celery-redbeat": "2.4.2", "APScheduler": "3.11.3", "redis": "8.1.0",
          "packaging": "25.0"}

sys.path.insert(0, str(HERE.parent))
_loader = importlib.machinery.SourceFileLoader("bench_run", str(HERE.parent / "run"))
bench = importlib.util.module_from_spec(importlib.util.spec_from_loader("bench_run", _loader))
_loader.exec_module(bench)


@dataclasses.dataclass
class Load:
    """`n` schedules due at each second, or once at `at_ms`; `idle` more that are not due;
    `edits` changes a second to those that are due. `fsync`: of Redis's append-only file."""

    n: int
    idle: int = 0
    edits: int = 0
    at_ms: int = 0
    fsync: str = "everysec"

    @property
    def cron(self):
        if not self.at_ms:
            return "* * * * * *"
        at = time.gmtime(self.at_ms / 1000)
        return f"{at.tm_sec} {at.tm_min} {at.tm_hour} {at.tm_mday} {at.tm_mon} *"


class System:
    name = ""
    durable = True
    hands_over = ""
    create_rate = 500  # a second, at least
    bursts = idles = edits = True
    faults = ()
    spared = {}  # fault -> why it cannot come

    def __init__(self, lab):
        self.lab = lab
        self.alone = True  # or one of two schedulers

    def pids(self):
        return [process.pid for process in self.processes]

    def cpu_s(self):
        return sum(bench.cpu_s(pid) for pid in self.pids())

    def peak(self):
        """Bytes, most that were resident."""
        total = 0
        for pid in self.pids():
            for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    total += int(line.split()[1]) * 1024
        return total

    def kill(self):
        for process in self.processes:
            process.kill()
            process.wait()

    def stop(self):
        self.kill()

    def begin_edits(self):
        """Drivers edit by themselves."""

    def note(self):
        return ""


class Driver(System):
    """A peer in a driver process of its own. It prints `ready` when its schedules are there."""

    sets_up = False

    def __init__(self, lab):
        super().__init__(lab)
        self.out = lab.folder / "rows"
        self.processes = []
        self.begin_ms = 0

    def config(self, mode, load):
        return {"kind": self.name, "mode": mode, "n": load.n, "idle": load.idle, "edits": load.edits,
                "cron": load.cron, "at_ms": load.at_ms, "begin_ms": self.begin_ms, "redis_port": self.lab.port,
                "out": str(self.out), "alone": self.alone, "resume": mode == "resume"}

    def spawn(self, mode, load):
        with open(self.lab.folder / "peer.log", "ab") as log:
            process = subprocess.Popen(
                self.command(self.config(mode, load)), stdout=subprocess.PIPE, stderr=log, text=True,
                cwd=self.lab.folder, env={**os.environ, **self.lab.env, "TICK60_BUILD": str(BUILD)})
        return process

    def prepare(self, load, deadline):
        if self.sets_up:
            process = self.spawn("setup", load)
            try:
                if process.wait(deadline) != 0:
                    raise Unfit("its set-up failed")
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise Unfit(f"creating {load.n + load.idle:,} schedules took more than {deadline:.0f} s") from None

    def start(self, load, deadline, mode="run"):
        process = self.spawn(mode, load)
        self.processes.append(process)
        timer = threading.Timer(deadline, process.kill)
        timer.start()
        line = process.stdout.readline()
        timer.cancel()
        if line.strip() != "ready":
            self.kill()
            raise Unfit(f"ended, or was not ready within {deadline:.0f} s")

    def resume(self, load):
        self.processes = []
        self.start(load, 60, "resume")

    def rows(self):
        return judge.FileRows(self.out)


class BullMq(Driver):
    name, hands_over, sets_up = "bullmq", "job in the waiting list of Redis", True
    create_rate = 2000
    faults = ("kill", "redis", "stop", "network", *CLOCK, *SKEW)

    def command(self, config):
        return ["node", str(PEERS / "bullmq.mjs"), json.dumps(config)]

    def rows(self):
        return judge.AofRows(self.lab.redis, judge.bullmq_rows)


class Croner(Driver):
    name, durable, hands_over = "croner", False, "memory, not durable"

    def command(self, config):
        return ["node", "--max-old-space-size=4096", str(PEERS / "croner.mjs"), json.dumps(config)]


class PythonDriver(Driver):
    script = ""

    def command(self, config):
        return [str(BUILD / "venv" / "bin" / "python"), str(PEERS / self.script), json.dumps(config)]


class Beat(PythonDriver):
    name, script, hands_over = "beat", "beat.py", "message in a list of Redis; schedule in a file"
    bursts = idles = edits = False
    faults = ("network", *CLOCK)

    def rows(self):
        return judge.AofRows(self.lab.redis, judge.stamped_rows)


class RedBeat(Beat):
    name, sets_up, hands_over = "redbeat", True, "message in a list of Redis; schedule in Redis"
    faults = ("kill", "redis", "stop", "network", *CLOCK)


class ApScheduler(PythonDriver):
    name, script, durable, hands_over = "apscheduler", "apscheduler_peer.py", False, "memory, not durable"
    create_rate = 5000
    edits = False


class ApSchedulerRedis(ApScheduler):
    name, durable, hands_over = "apscheduler-redis", True, "entry in a list of Redis; schedule in Redis"
    create_rate = 1000
    faults = ("network", *CLOCK)

    def rows(self):
        return judge.AofRows(self.lab.redis, judge.stamped_rows)


class Robfig(Driver):
    name, durable, hands_over = "robfig", False, "memory, not durable"
    create_rate = 20000

    def command(self, config):
        return [str(BUILD / "robfig"), json.dumps(config)]


class Quartz(Driver):
    name, durable, hands_over = "quartz", False, "memory, not durable"
    create_rate = 10000

    def prepare(self, load, deadline):
        # All begin at one time, which leaves room for creating them.
        self.begin_ms = 0 if load.at_ms else round(1000 * (time.time() + 3 + (load.n + load.idle) / self.create_rate))

    def start(self, load, deadline, mode="run"):
        super().start(load, deadline, mode)
        time.sleep(max(0, self.begin_ms / 1000 - time.time()))

    def command(self, config):
        return ["java", "-Xmx2g", "-XX:+UseParallelGC", "-cp", f"{BUILD}/java/classes:{BUILD}/java/lib/*",
                "QuartzPeer", self.name,
                *(str(config[key]) for key in ("n", "idle", "edits", "cron", "out", "begin_ms")),
                str(int(config["resume"]))]


class QuartzJdbc(Quartz):
    name, durable, hands_over = "quartz-jdbc", True, "row in a file; schedule in H2, a file"
    create_rate = 300
    faults = ("kill", "network", *CLOCK)
    spared = {"network": "its store is a file: there is no network to cut"}


class Rondo(System):
    name, hands_over = "rondo", "run and event in Redis"
    create_rate = 2500
    faults = ("kill", "redis", "stop", "network", *CLOCK, *SKEW)

    def __init__(self, lab):
        super().__init__(lab)
        self.daemons = [self.daemon()]
        self.editing = threading.Event()
        self.editors = []
        self.how = ""

    def daemon(self):
        return bench.Daemon({**os.environ, **self.lab.env}, executor="noop", max_steps="10000",
                            redis=f"redis://127.0.0.1:{self.lab.port}")

    @property
    def processes(self):
        return [daemon.process for daemon in self.daemons if hasattr(daemon, "process")]

    def prepare(self, load, deadline):
        main = self.daemons[0].start()
        pipeline, version = main.pipeline(bench.spec_of(1, ["true"]))
        source = {"pipeline_id": pipeline, "pipeline_version_id": version}
        path = "/apis/v2beta1/recurringruns"
        if load.idle:
            bench.post_many(main.port, path, (body.replace(b'"bench ', b'"idle ', 1) for body in
                                              bench.recurring_bodies(load.idle, source, "0 0 0 1 1 *")))
        # All begin at one time, which leaves room for creating them.
        self.begin = time.time() + 2 + load.n / self.create_rate
        fields = {} if load.at_ms else {
            "start_time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.begin))}
        bench.post_many(main.port, path, bench.recurring_bodies(load.n, source, load.cron, **fields))
        self.load, self.source = load, source

    def start(self, load, deadline, mode="run"):
        if mode == "second":
            daemon = self.daemon()
            self.daemons.append(daemon)
            try:
                daemon.start()
            except SystemExit:
                raise Unfit("a second daemon does not stay on this Redis") from None
            until = time.monotonic() + 4
            while time.monotonic() < until:
                if any(process.poll() is not None for process in self.processes):
                    raise Unfit("one daemon owns a Redis; the second took over and the first ended, fenced")
                time.sleep(0.1)
        else:
            time.sleep(max(0, self.begin - time.time()))

    def resume(self, load):
        self.daemons[0].start()

    def stop(self):
        self.editing.set()
        for thread in self.editors:
            thread.join()
        self.kill()
        for daemon in self.daemons:
            shutil.rmtree(daemon.data, ignore_errors=True)

    def rows(self):
        return judge.AofRows(self.lab.redis, judge.RondoRows())

    def some_ids(self, count):
        """Of recurring runs that are due."""
        found, token = [], ""
        while len(found) < count and token is not None:
            page = self.daemons[0].json(
                "GET", f"/apis/v2beta1/recurringruns?page_size=200&page_token={token}")
            found += [one["recurring_run_id"] for one in page.get("recurringRuns", page.get("recurring_runs", []))
                      if one["display_name"].startswith("bench ")]
            token = page.get("next_page_token") or None
        return found[:count]

    def begin_edits(self):
        """PATCH of recurring runs that are due."""
        main, each = self.daemons[0], 16
        ids = self.some_ids(1000)
        crons = [{"cron": cron} for cron in ("*/1 * * * * *", "* * * * * *")]
        self.how = "PATCH of due ones"

        def edit(part):
            connection = http.client.HTTPConnection("127.0.0.1", main.port, timeout=60)
            mine, at, count = ids[part::each], time.monotonic(), 0

            def call(method, path, data=None):
                connection.request(method, path, data, {"Content-Type": "application/json"} if data else {})
                answer = connection.getresponse()
                text = answer.read()
                if answer.status != 200:
                    raise Unfit(f"{method} {path}: {answer.status} {text[:200]}")

            while not self.editing.is_set():
                call("PATCH", f"/apis/rondo/v1/recurringruns/{mine[count % len(mine)]}",
                     json.dumps(crons[count // len(mine) % 2]))
                count += 1
                self.edited[part] = count
                time.sleep(max(0, at + count * each / self.load.edits - time.monotonic()))

        self.edited = [0] * each
        self.edits_at = time.monotonic()
        self.editors = [threading.Thread(target=edit, args=(part,), daemon=True) for part in range(each)]
        for thread in self.editors:
            thread.start()

    def note(self):
        if not self.how:
            return ""
        return f"{sum(self.edited) / (time.monotonic() - self.edits_at):,.0f} edits/s: {self.how}"


SYSTEMS = [Rondo, BullMq, RedBeat, Beat, ApScheduler, ApSchedulerRedis, Robfig, Quartz, QuartzJdbc, Croner]
NOT_OBTAINED = {
    "dkron": "the Go module proxy does not serve it",
    "temporal": "`go install` refuses its command line tool (its go.mod has replace directives); as a library its "
                "server would have to be built anew",
}


# -- installing --


def run(command, **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, **options)
    if done.returncode != 0:
        raise Unfit(f"{command[0]}: {(done.stderr or done.stdout).strip()[-300:]}")
    return done.stdout


def install_step():
    """What a program whose clock is to be stepped is started with."""
    run(["cc", "-std=gnu17", "-O2", "-shared", "-fPIC", "-o", BUILD / "step.so", HERE / "step.c"])


def install_rondo():
    folder = bench.BUILD
    run(["cmake", "--preset", "release", "-B", folder], cwd=ROOT)
    run(["cmake", "--build", folder, "--target", "rondod", "rondo-launcher"])


def install_node():
    folder = BUILD / "node"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "package.json").write_text(json.dumps({"private": True, "dependencies": NODE}))
    run(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=folder)


def install_python():
    folder = BUILD / "venv"
    if not (folder / "bin" / "pip").exists():
        run([sys.executable, "-m", "venv", folder])
    run([folder / "bin" / "pip", "install", "-q", *(f"{name}=={version}" for name, version in PYTHON.items())])


def install_robfig():
    folder = BUILD / "robfig-source"
    shutil.copytree(PEERS / "robfig", folder, dirs_exist_ok=True)
    run(["go", "mod", "tidy"], cwd=folder)
    run(["go", "build", "-o", BUILD / "robfig", "."], cwd=folder)


def install_quartz():
    folder = BUILD / "java"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(PEERS / "pom.xml", folder)
    if not (folder / "lib").exists():
        run(["mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=lib"], cwd=folder)
    run(["javac", "-cp", f"{folder}/lib/*", "-d", folder / "classes", PEERS / "QuartzPeer.java"])


INSTALL = {"rondo": install_rondo, "bullmq": install_node, "croner": install_node, "redbeat": install_python,
           "beat": install_python, "apscheduler": install_python, "apscheduler-redis": install_python,
           "robfig": install_robfig, "quartz": install_quartz, "quartz-jdbc": install_quartz}


def install(names):
    """Those that could be had; why not goes to NOT_OBTAINED."""
    failed, had = {}, []
    install_step()
    for name in names:
        how = INSTALL[name]
        try:
            if how not in failed:
                failed[how] = None
                how()
            elif failed[how]:
                raise Unfit(failed[how])
            had.append(name)
        except (Unfit, OSError) as error:
            failed[how] = NOT_OBTAINED[name] = str(error)
    return had


def first_line(*command):
    with contextlib.suppress(OSError):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return (done.stdout or done.stderr).splitlines()[0].strip()
    return "?"


def versions():
    jars = dict(path.stem.rsplit("-", 1) for path in (BUILD / "java" / "lib").glob("*.jar"))
    node, java = first_line("node", "--version"), first_line("java", "-version")
    python = sys.version.split()[0]
    commit = first_line("git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD")
    return {
        "rondo": f"commit {commit}, release build",
        "bullmq": f"{NODE['bullmq']}, ioredis {NODE['ioredis']}, node {node}",
        "redbeat": f"{PYTHON['celery-redbeat']}, Celery {PYTHON['celery']}, Python {python}",
        "beat": f"Celery {PYTHON['celery']}, Python {python}",
        "apscheduler": f"{PYTHON['APScheduler']}, Python {python}",
        "apscheduler-redis": f"{PYTHON['APScheduler']}, Python {python}",
        "robfig": f"cron v3.0.1, {' '.join(first_line('go', 'version').split()[2:3])}",
        "quartz": f"{jars.get('quartz', '?')}, {java}",
        "quartz-jdbc": f"{jars.get('quartz', '?')}, H2 {jars.get('h2', '?')}, {java}",
        "croner": f"{NODE['croner']}, node {node}",
        "Redis": first_line("redis-server", "--version"),
    }


def send(processes, number):
    for process in processes:
        process.send_signal(number)


STOP, CONTINUE = signal.SIGSTOP, signal.SIGCONT
