# SPDX-License-Identifier: Apache-2.0
"""The page of tick-60: what was measured, as tables; what rondo misses and where it loses too."""

import math
import os

from injection import STEPS

FRONT = """# tick-60: rondo beside its peers

Written by `tests/bench/tick60/run`, which installs the peers from package registries and runs all of them, one
after the other, in the same minutes on the same machine. Our losses stand in it too.

* Machine: {cores} cores, shared by the system under test, its Redis and the harness. Its load before the first
  measurement was {load:.1f}{busy}.
* Redis, the same for all: {redis}, on loopback, `appendonly yes`, `appendfsync everysec`, no
  snapshots, no rewriting of the file, `hash-max-listpack-value 1024`, empty at the start of each measurement.
* {seconds} s after a warm-up of {warm_up} s, {runs}; then up to {drain} s for what is late.

**A fire counts** when it has been handed over in the cheapest durable way that the system has. For what goes to
Redis the receiver is Redis's append-only file: rondo's `recurring_run.fired` events and BullMQ's `waiting` events, at
the time in the stream's id, which is Redis's own clock, rounded up to a millisecond; of a claim of rondo, which is
one transaction, all count when its last event was written. What rondo has claimed ahead of its instant
(`contrib/docs/firing.md`) is in the file before, but nobody is given it: it counts when the entry of the events is
written by which it happens, one for all of a shard. Messages of Celery and entries of APScheduler are stamped
just before they are pushed, in their favour. Systems that keep nothing count when their function runs, and are
marked. What comes after a fire, carrying out the run or the job, is not timed here; of rondo
`contrib/docs/benchmarks.md` tells it.

*Lost*: due and not handed over when the measurement ended, skipped or waiting in a backlog. *Doubled*: handed over
again. Lateness (p50 to max) in ms, of those that were handed over. CPU: of one core, scheduler and Redis apart. MiB:
most that was resident in the scheduler, and used in Redis at the end. Commands and bytes: of Redis, and of its file,
for one fire.

rondo carries each run through to its end (noop executor, one step) and keeps all runs (`history-max-runs 0`), so its
commands and bytes are those of a run's whole life, while its peers' jobs are removed when they are done. A system is
not tried with more once it has lost more than 1 % or its p99 is over 5 s.
"""

LONG = "For longer"
LONG_ABOUT = """{seconds} s each after a warm-up of 5 s; up to 30 s for what is late. rondo in 3 runs, the fastest durable
peer and the fastest of all in one: that is what twenty minutes hold. Of several runs:
{several}."""
SEVERAL = "medians, of p99 the least and the most too, what was lost and doubled in all of them, and the greatest max"

FAULTS = """Durable systems only. N are due each second, or 100 for those that did not hold that many above.

* *kill*: `kill -9` of the scheduler every 5 s, started again after 0.2 s.
* *redis*: `kill -9` of Redis, started again after 1 s.
* *stop*: one of two schedulers is stopped for 10 s (SIGSTOP).
* *network*: between the scheduler and its Redis nothing comes through for 10 s. All reach Redis through a small relay
  on loopback, which is stopped: it closes no connection, and brings what it held when it goes on, as TCP would have
  sent it again. Other than with a real cut, a connection made meanwhile is accepted at once, and hangs.

A scheduler that ends over it is started again, as a supervisor would do (*ended*)."""

CLOCKS = """The wall clock goes right for {each} s, is two hours off for {each} s, and goes right again for {each} s, while the
system runs.

* *clock*: that of the scheduler and of its Redis, as if somebody had set the clock of the machine on which both are.
* *skew*: that of the scheduler only. rondo asks Redis for the time, and BullMQ waits in Redis, which ends its waits
  by its own clock; to the others it is the same as *clock*, as they only read and write there.

The clock is a small library (`tests/bench/tick60/step.c`), preloaded into the scheduler and into Redis, that answers
what these programs ask about the wall clock; the monotonic clock goes on, and the judge goes by the machine's.
libfaketime, the usual tool, is not used, as it does not let all of them run: under Debian's (0.9.10) `time.sleep` of
Python 3.11 fails, Redis, with jemalloc, does not start, and each question takes ten microseconds and more. What the
library does not do is what the kernel does for a timer on the wall clock (timerfd, cancel-on-set): tell its owner of
the step. Of these systems only rondo has one; it finds the step by itself within half a second.

*Ticks due*: in the seconds, by the machine's clock, in which the other went right; *lost*: of those before and of
those after it was off. What was handed over earlier is not lost: who catches up all that was missed (rondo, as it is
set here, APScheduler, Quartz) hands over two hours of ticks as fast as it can while the clock is two hours ahead, and
goes on with the first that is left when it is back. *Fired too early*: ticks whose time had not come when the
measurement ended: the price of catching up all (with `catchup` `last` rondo would skip, too). Who skips what was
missed waits for the next time after its last fire, which then is two hours away; and who sleeps until the next time
while the clock is two hours behind sleeps for two hours. *Doubled*: a tick of any time, those two hours too, handed
over again."""

# A section that draws from other shapes than its own; it is left out where they were not measured.
NEEDS = {"versions": set(), "targets": {"second", "burst", "churn"}, "losses": {"second", "burst"}}

HEAD = ["fires/s", "p50", "p99", "p99.9", "max", "lost", "doubled", "CPU", "CPU Redis", "MiB", "MiB Redis",
        "commands", "bytes"]


def holds(found):
    """Not more than 1 % lost, and p99 at most 5 s."""
    return "unfit" not in found and found["lost"] <= found["expected"] / 100 and found.get("p99", math.inf) <= 5000


def ms(value):
    if value is None or value == math.inf:
        return "-"
    return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def mib(value):
    return f"{value / 2**20:,.0f}"


def table(head, rows):
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head),
            *("| " + " | ".join(row) + " |" for row in rows), ""]


class Page:
    def __init__(self, results, meta):
        self.results, self.meta = results, meta

    def label(self, name):
        return name if self.meta["durable"][name] else f"{name} (not durable)"

    def row(self, name, first, found):
        if "unfit" in found:
            return [self.label(name), *first, f"({found['unfit']})", *[""] * (len(HEAD) - 1)]
        rate = f"{found['rate']:,.0f}" + (f" ({found['unfit_runs']} runs failed)" if found.get("unfit_runs") else "")
        redis = "Redis" in self.meta["hands_over"][name]
        low_high = f" ({' to '.join(ms(late) for late in found['p99_spread'])})" if "p99_spread" in found else ""
        return [self.label(name), *first, rate, ms(found.get("p50")), ms(found.get("p99")) + low_high,
                ms(found.get("p99.9")), ms(found.get("max")), f"{found['lost']:,}", f"{found['doubled']:,}",
                f"{found['cpu']:.0%}", f"{found['redis_cpu']:.0%}" if redis else "-", mib(found["rss"]),
                mib(found["redis_memory"]) if redis else "-",
                f"{found['commands']:.1f}" if redis and found["commands"] else "-",
                f"{found['bytes']:,.0f}" if redis and found["bytes"] else "-"]

    def each(self, shape):
        return table(["system", *HEAD], [self.row(name, [], found) for name, found in self.results[shape].items()])

    def times(self, found):
        return str(found["count"]) + (f", ended {found['restarts']} times" if found["restarts"] else "")

    def of_faults(self, wanted):
        return [(name, kind, found) for name, kinds in self.results["faults"].items()
                for kind, found in kinds.items() if (kind in STEPS) == wanted]

    def faults(self):
        rows = []
        for name, kind, found in self.of_faults(False):
            if "unfit" in found:
                rows.append([name, kind, f"({found['unfit']})", "", "", "", "", ""])
                continue
            rows.append([name, kind, f"{found['n']:,}", self.times(found), f"{found['expected']:,}",
                         f"{found['lost']:,}", f"{found['doubled']:,}", ms(found.get("max"))])
        return table(["system", "fault", "N", "times", "ticks due", "lost", "doubled", "latest, ms"], rows)

    def steps(self):
        rows = []
        for name, kind, found in self.of_faults(True):
            if "unfit" in found:
                rows.append([name, kind, f"({found['unfit']})", *[""] * 5])
                continue
            ended = f", ended {found['restarts']} times" if found["restarts"] else ""
            rows.append([name, kind + ended, f"{found['n']:,}", f"{found['expected']:,}", f"{found['lost_before']:,}",
                         f"{found['lost_after']:,}", f"{found['doubled']:,}", f"{found['early']:,}"])
        return table(["system", "clock", "N", "ticks due", "lost before", "lost after", "doubled", "fired too early"], rows)

    def targets(self):
        second, rows = self.results["second"].get("rondo", {}), []

        def add(what, most_ms, found, key="p99"):
            target = f"drained in {most_ms:,} ms" if key == "max" else f"p99 {most_ms} ms, none lost or doubled"
            if not found or "unfit" in found:
                rows.append([what, target, "not reached", "**no**"])
                return
            met = found.get(key, math.inf) <= most_ms and not found["lost"] + found["doubled"]
            rows.append([what, target, f"{key} {ms(found.get(key))} ms, lost {found['lost']:,}, doubled "
                         f"{found['doubled']:,} of {found['expected']:,}" +
                         (f"; {found['note']}" if found.get("note") else ""), "yes" if met else "**no**"])

        for n, bound in ((1000, 5), (10000, 25), (50000, 150)):
            add(f"{n:,} due each second", bound, second.get(n))
        add(f"{self.meta['burst']:,} due at one instant", 2000, self.results["burst"].get("rondo"), "max")
        add(f"1,000 edits/s during {self.meta['churn']:,} due each second", 25, self.results["churn"].get("rondo"))
        return table(["what", "target", "measured", "met"], rows)

    def losses(self):
        """Who beats us, said by ourselves."""
        ours, lines = self.results["second"].get("rondo", {}), []
        for n, mine in ours.items():
            late = mine.get("p99", math.inf) if holds(mine) else math.inf
            better = sorted((found["p99"], name) for name, many in self.results["second"].items()
                            for at, found in many.items()
                            if name != "rondo" and at == n and holds(found) and found["p99"] < late)
            if better:
                lines.append(f"* {n:,} due each second, p99: rondo " +
                             (f"{ms(late)} ms" if late < math.inf else "does not hold it") + "; " +
                             ", ".join(f"{self.label(name)} {ms(less)} ms" for less, name in better) + ".")
        held = max((n for n, found in ours.items() if holds(found)), default=0)
        for name, many in self.results["second"].items():
            most = max((n for n, found in many.items() if holds(found)), default=0)
            if most > held:
                lines.append(f"* {self.label(name)} holds {most:,} due each second, rondo {held:,}.")
        mine = self.results["burst"].get("rondo", {})
        drained = mine["max"] if mine.get("lost") == 0 else math.inf
        for name, found in self.results["burst"].items():
            if name != "rondo" and found.get("lost") == 0 and found["max"] < drained:
                lines.append(f"* {self.label(name)} drains the burst in {found['max'] / 1000:.2f} s, rondo " +
                             (f"in {drained / 1000:.2f} s." if drained < math.inf else "not in the time given."))
        return lines or ["Nowhere in this run."]

    def front(self):
        meta = self.meta
        busy = "; **others were at work on it**: the measured ones went before them by priority, yet not alone"
        return [*FRONT.format(
            cores=os.cpu_count(), load=meta["load"], busy=busy if meta["load"] > 1 else "",
            redis=meta["versions"]["Redis"].split(" sha")[0], seconds=meta["seconds"], warm_up=meta["warm_up"],
            runs="1 run" if meta["runs"] == 1 else f"{meta['runs']} runs ({SEVERAL})",
            drain=meta["drain"]).splitlines(), ""]

    def sections(self):
        """Shape -> heading, lines."""
        meta = self.meta
        versions = table(
            ["system", "version", "a fire is handed over as"],
            [[name, meta["versions"][name], meta["hands_over"][name]] for name in meta["names"]] +
            [[name, "not obtained", why] for name, why in meta["not_obtained"].items()])
        in_order = [(name, self.results["second"].get(name, {})) for name in meta["names"]]
        return {
            "versions": ("Versions", versions),
            "second": ("N due each second", self.by_number(in_order)),
            "long": (LONG, [*LONG_ABOUT.format(seconds=meta["long_seconds"], several=SEVERAL).splitlines(), "",
                            *self.by_number(self.results["long"].items())]),
            "always": ("The same with `appendfsync always`", [
                "Redis writes to the disk before it answers. Those that go to Redis and held as many above.", "",
                *self.by_number(self.results["always"].items())]),
            "idle": (f"{meta['idle']:,} idle schedules and {meta['idle_due']:,} due each second", [
                f"Those that held {meta['idle_due']:,} above.", "", *self.each("idle")]),
            "burst": (f"{meta['burst']:,} due at one instant", [
                "*max* is the time to drain; fires/s is the mean until then.", "", *self.each("burst")]),
            "churn": (f"1,000 edits a second during {meta['churn']:,} fires a second", [
                "Those that held as many above, and rondo in any case.", "", *self.each("churn")]),
            "faults": ("Faults", [*FAULTS.splitlines(), "", *self.faults(),
                                  "### The clock is stepped", "", *CLOCKS.format(each=meta["step_seconds"]).splitlines(), "", *self.steps()]),
            "targets": ("The targets of the design", self.targets()),
            "losses": ("Where rondo loses", self.losses()),
        }

    def later(self, shape):
        """Headings of the sections that come after this one."""
        made = self.sections()
        keys = list(made)
        return {made[key][0] for key in keys[keys.index(shape) + 1:]}

    def by_number(self, found):
        return table(["system", "N", *HEAD], [self.row(name, [f"{n:,}"], one)
                                              for name, many in found for n, one in many.items()])

    def apart(self, lines):
        """A section that was measured by itself says when."""
        meta = self.meta
        busy = ", **busy**" if meta["load"] > 1 else ""
        return [f"Measured by itself: rondo {meta['versions']['rondo']}; the machine's load before was "
                f"{meta['load']:.1f}{busy}.", "", *lines]


def split(text):
    """What is before the first heading, and heading -> lines."""
    front, *parts = text.split("\n## ")
    return front, {part.split("\n", 1)[0]: part.split("\n", 1)[1].strip("\n") for part in parts}


def join(front, sections):
    return "\n".join([front.rstrip("\n") + "\n", *(
        f"## {heading}\n\n{body}\n" for heading, body in sections.items())])


def place(sections, heading, body, later):
    """In the place of the one with that heading, or before the first of the later ones."""
    parts = [(one, text) for one, text in sections.items() if one != heading]
    order = list(sections)
    at = order.index(heading) if heading in sections else next(
        (at for at, one in enumerate(order) if one in later), len(order))
    return dict([*parts[:at], (heading, body), *parts[at:]])


def render(results, meta, written):
    """The page of what was measured; the long series, which is measured by itself, is taken over from the page as it
    was."""
    page = Page(results, meta)
    made = page.sections()
    sections = {made[key][0]: "\n".join(made[key][1]).strip("\n") for key in made
                if NEEDS.get(key, {key}) <= set(meta["shapes"])}
    _, old = split(written)
    if LONG in old and LONG not in sections and meta["complete"]:
        sections = place(sections, LONG, old[LONG], page.later("long"))
    return join("\n".join(page.front()), sections)


def with_sections(written, results, meta):
    """The page as it was, with the sections of these shapes in place of those it had, or new."""
    page = Page(results, meta)
    front, sections = split(written)
    for shape, (heading, lines) in page.sections().items():
        if shape in meta["shapes"]:
            sections = place(sections, heading, "\n".join(page.apart(lines)).strip("\n"), page.later(shape))
    return join(front, sections)
