# SPDX-License-Identifier: Apache-2.0
"""One judge for all: rows of (schedule id, nominal ms, received us) against what was due."""

import math
import pathlib
import re
import struct

ROW = struct.Struct("<Iqq")
MOST_BYTES = 1 << 28  # that are read at once

# Of the append-only file: the ends of a transaction; an entry of a shard's events and each event in it that tells of a
# fire, as a claim's entry has those of all its ticks; what is claimed ahead of an instant, runs of a group, and taken back;
# and that the instant has come.
RONDO = re.compile(
    rb"\r\n(?:(?P<edge>EXEC|MULTI)\r\n"
    rb"|XADD\r\n\$\d+\r\nrondo:\{[0-9a-f]+\}:events\r\n\$\d+\r\n(?P<ms>\d+)-\d+(?=\r\n)"
    rb'|\{"id":"[^"]*","type":"recurring_run\.fired"[^\r]*?"recurring_run_name":"bench (?P<fired>\d+)"'
    rb'[^\r]*?"scheduled_us":(?P<fired_at>\d+)'
    rb"|HSET\r\n\$\d+\r\nrondo:(?P<shard>\{[0-9a-f]+\}):(?:born:(?P<group>\d+)|births\r\n\$\d+\r\n(?P<came>\d+))(?=\r\n)"
    rb"|HDEL\r\n\$\d+\r\nrondo:(?P<shard_of_taken>\{[0-9a-f]+\}):born:(?P<group_of_taken>\d+)\r\n\$36\r\n(?P<taken>\S{36})"
    rb"|(?P<run>[0-9a-f-]{36})\r\n\$\d+\r\n\d+ \d+ \d+ [-0-9a-f]{36} [-0-9a-f]* \S+ "
    rb'\{"index":\d+,"name":"bench (?P<number>\d+)-\d+")')
BULLMQ = re.compile(
    rb"\r\n(\d{13})-\d+\r\n\$5\r\nevent\r\n\$7\r\nwaiting\r\n\$5\r\njobId\r\n\$\d+\r\nrepeat:(\d+):(\d+)\r\n"
    rb"(?!\$4\r\nprev\r\n\$6\r\nactive)")
STAMPED = re.compile(rb'"tick60": ?\[(\d+), ?(\d+), ?(\d+)\]')


class RondoRows:
    """The events of a claim count when the last of them was written: it is one transaction. What is claimed ahead of
    its instant counts when the entry that tells of its group is written: before, nobody sees it."""

    last = b"\r\nEXEC\r\n"

    def __init__(self):
        self.hidden = {}  # shard and group -> run -> number

    def __call__(self, data):
        together, ms, group = [], 0, None
        for found in RONDO.finditer(data):
            if found["ms"]:
                ms = int(found["ms"])
            elif found["fired"]:
                together.append((int(found["fired"]), int(found["fired_at"]) // 1000, ms))
            elif found["group"]:
                group = self.hidden.setdefault((found["shard"], found["group"]), {})
            elif found["taken"]:
                self.hidden.get((found["shard_of_taken"], found["group_of_taken"]), {}).pop(found["taken"], None)
            elif found["came"]:
                together += [(number, int(found["came"]) // 1000, ms) for number in
                             self.hidden.pop((found["shard"], found["came"]), {}).values()]
            elif found["run"]:
                if group is not None:
                    group[found["run"]] = int(found["number"])
            else:
                if found["edge"] == b"EXEC" and ms and together:
                    at = (max(at for _, _, at in together) + 1) * 1000
                    yield from ((number, nominal, at) for number, nominal, _ in together)
                together, ms, group = [], 0, None


def bullmq_rows(data):
    for at, number, nominal in BULLMQ.findall(data):
        yield int(number), int(nominal), (int(at) + 1) * 1000


def stamped_rows(data):
    for number, nominal, at in STAMPED.findall(data):
        yield int(number), int(nominal), int(at)


class AofRows:
    """What Redis wrote into its append-only file: the receiver of all that hand over to Redis.

    Stream ids are Redis's own clock, in ms: rounded up."""

    def __init__(self, redis, parse):
        self.redis, self.parse, self.at = redis, parse, 0
        self.is_behind = False  # there was more than one poll takes

    def path(self):
        [path] = (self.redis.folder / "appendonlydir").glob("*.incr.aof")
        return path

    def size(self):
        return self.path().stat().st_size

    def skip(self):
        """What is there already does not matter, but for what rondo has claimed ahead: there the judge leaves out
        what was due before."""
        if not isinstance(self.parse, RondoRows):
            self.at = self.size()

    def poll(self):
        self.redis.command("SET", "tick60", "1")  # what stands before it is whole
        with open(self.path(), "rb") as file:
            file.seek(self.at)
            data = file.read(MOST_BYTES)
        self.is_behind = len(data) == MOST_BYTES
        # Up to the last whole transaction (of rondo) or command only; both begin with a line's end.
        last = getattr(self.parse, "last", b"\r\n*")
        end = data.rfind(last)
        if end < 0:
            return []
        self.at += end + len(last) - (2 if last.endswith(b"\r\n") else 3)
        return list(self.parse(data[:end + len(last)]))


class FileRows:
    """Rows that a driver wrote into a file."""

    def __init__(self, path):
        self.path, self.at = pathlib.Path(path), 0
        self.is_behind = False

    def size(self):
        """Of its whole rows."""
        return self.path.stat().st_size // ROW.size * ROW.size if self.path.exists() else 0

    def skip(self):
        self.at = self.size()

    def poll(self):
        if not self.path.exists():
            return []
        with open(self.path, "rb") as file:
            file.seek(self.at)
            data = file.read(MOST_BYTES)
        self.is_behind = len(data) == MOST_BYTES
        whole = len(data) // ROW.size * ROW.size
        self.at += whole
        return list(ROW.iter_unpack(data[:whole]))


class Judge:
    """Each of `count` schedules is due at each of `nominals` (ms). What comes after `until_us` does not count."""

    def __init__(self, count, nominals):
        self.count, self.first, self.step = count, nominals.start, nominals.step
        self.slots = len(nominals)
        self.seen = bytearray(count * self.slots)
        self.received = 0
        self.doubled = 0
        self.until_us = math.inf
        self.late_us = []
        self.received_us = []

    def take(self, rows):
        for number, nominal, received_us in rows:
            slot, rest = divmod(nominal - self.first, self.step)
            if rest or not 0 <= slot < self.slots or number >= self.count or received_us > self.until_us:
                continue
            at = slot * self.count + number
            if self.seen[at]:
                self.doubled += 1
                continue
            self.seen[at] = 1
            self.received += 1
            self.late_us.append(received_us - nominal * 1000)
            self.received_us.append(received_us)

    def received_by(self, instant_us):
        return sum(1 for at in self.received_us if at <= instant_us)

    @property
    def expected(self):
        return self.count * self.slots

    @property
    def lost(self):
        return self.expected - self.received

    def late_ms(self):
        """{"p50": ms, ...}"""
        late = sorted(self.late_us)
        if not late:
            return {}
        return {name: late[min(len(late) - 1, int(share * len(late)))] / 1000 for name, share in
                (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("max", 1))}


class SteppedJudge:
    """`count` schedules. Each is due once at each nominal (ms) of `phases`; it may fire for other ones too, but for
    none twice."""

    def __init__(self, count, phases):
        self.count, self.phases = count, phases
        self.seen = {}  # nominal -> numbers
        self.received = 0
        self.doubled = 0

    def take(self, rows):
        for number, nominal, _ in rows:
            if number >= self.count:
                continue
            numbers = self.seen.setdefault(nominal, set())
            if number in numbers:
                self.doubled += 1
                continue
            numbers.add(number)
            self.received += 1

    def lost_of(self, nominals):
        return sum(self.count - len(self.seen.get(nominal, ())) for nominal in nominals)

    def later_than(self, second):
        """Fires whose time has not come by then."""
        return sum(len(numbers) for nominal, numbers in self.seen.items() if nominal > second * 1000)

    @property
    def expected(self):
        return self.count * sum(len(nominals) for nominals in self.phases)

    @property
    def lost(self):
        return sum(map(self.lost_of, self.phases))
