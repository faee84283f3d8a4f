# SPDX-License-Identifier: Apache-2.0
"""Random pipelines, carried out by the engine and by a model of it in Python: the same states, the same
values everywhere. Then the same with the run asked to end, carried out twice with the cache on, with the engine
killed at any moment, and with Redis losing writes.

    RONDO_PROPERTY_CASES=20000 pytest tests/integration/test_property.py      many more than usual
    RONDO_PROPERTY_SEED=7 pytest tests/integration/test_property.py           other ones
    RONDO_PROPERTY_ONE=7:kills:123 pytest tests/integration/test_property.py  that one again

A case that differs is made smaller as long as it still differs, and shown.
"""

import collections
import copy
import json
import os
import random
import re
import subprocess
import sys
import uuid

import pytest

import model as reference
from model import CANCELED, FAILED, SUCCEEDED, Model, Unclear
from random_pipeline import Programs, random_pipeline, script_of
from rondo_testing import bin_dir

CASES = int(os.environ.get("RONDO_PROPERTY_CASES", "0"))
SEED = int(os.environ.get("RONDO_PROPERTY_SEED", "1"))
ONE = os.environ.get("RONDO_PROPERTY_ONE", "")
USUALLY = {"plain": 170, "cancel": 90, "cache": 30, "kills": 55, "losses": 45}
TASKS_MAX = 400
FINAL = {"SUCCEEDED", "FAILED", "CANCELED"}


class Driver:
    """tests/property/engine_driver.c"""

    def __init__(self):
        program = bin_dir() / "engine_driver"
        assert program.exists(), f"{program} is missing; build it or set RONDO_BIN_DIR"
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def carry_out(self, case):
        self.process.stdin.write(json.dumps(case) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"the driver ended with {self.process.wait()}"
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        assert self.process.wait(60) == 0


# -- cases --


class Case:
    def __init__(self, mode, seed):
        self.mode, self.seed = mode, seed
        rng = random.Random(f"{mode}/{seed}")
        self.spec, self.parameters = random_pipeline(f"{mode}/{seed}")
        self.trouble = rng.choice([0, 0.03, 0.06, 0.15])
        self.settings = {"seed": rng.randrange(1, 2**31), "max_steps": rng.choice([1, 2, 5, 1000]),
                         "eagerness": rng.choice([1, 2, 4, 10])}
        self.times = 2 if mode == "cache" else 1
        if mode == "cache":
            self.settings["cache"] = True
        if mode == "cancel":
            self.settings["cancel_after"] = rng.randrange(12)
            self.settings["exit_tasks"] = rng.random() < 0.6
            self.settings["cancels"] = 2 if rng.random() < 0.2 else 1
        if mode == "kills" or (mode in ("cancel", "cache") and rng.random() < 0.3):
            self.settings["kills"] = [rng.choice([rng.randrange(1, 12), rng.randrange(1, 60)])
                                      for _ in range(rng.randrange(1, 3 if mode == "cache" else 8))]
        if mode == "losses":
            self.settings["losses"] = [rng.randrange(1, 60) for _ in range(rng.randrange(1, 5))]

    def smaller(self, **changes):
        other = copy.copy(self)
        other.settings = dict(self.settings)
        for name, value in changes.items():
            setattr(other, name, value)
        return other

    def programs(self, trouble=None):
        return Programs(f"{self.mode}/{self.seed}", self.trouble if trouble is None else trouble)

    def model(self, *args, **more):
        model = Model(self.spec, self.parameters, self.programs(), *args, **more)
        ended = model.run()
        if len(model.tasks) > TASKS_MAX:
            raise Unclear("too large")
        return model, ended

    def script(self):
        """What the program of each task does that may run; path -> program."""
        programs = self.model()[0].used
        if self.times > 1 or "cancel_after" in self.settings:  # what is after a failure may run as well
            model = Model(self.spec, self.parameters, self.programs(0))
            model.run()
            for path, component in model.components.items():
                programs.setdefault(path, self.programs()(path, component))
        return programs

    def judge(self, driver):
        """What is wrong, as a text; None when nothing is."""
        programs = self.script()
        script = {path: script_of(program) for path, program in programs.items()}
        name = f"random-{uuid.uuid4()}"  # with a cache and imports of its own
        ids, before = random.Random(self.settings["seed"]), None
        for i in range(self.times):
            case = self.smaller(spec=with_defaults(self.spec, i))
            case.spec["pipelineInfo"]["name"] = name
            run_id = str(uuid.UUID(int=ids.getrandbits(128), version=4))
            answer = driver.carry_out({"run_id": run_id, "spec": case.spec, "parameters": self.parameters,
                                       "script": script, **self.settings})
            which = f"run {i + 1} of {self.times}: " if self.times > 1 else ""
            for trouble in ("refused", "crashed"):
                if trouble in answer:
                    return f"{trouble}: {which}{answer[trouble]}"
            if answer["stuck"]:
                return f"the run does not end: {which}" + json.dumps(answer["run"], indent=1)
            judge = Judge(case, answer, before)
            complaint = judge.judge(programs)
            if complaint is not None:
                return which + complaint
            before = judge
        return None


def with_defaults(spec, i):
    """A later version of the pipeline, with other defaults: they do not count for the cache."""
    spec = copy.deepcopy(spec)
    for component in spec["components"].values():
        preset = component.get("inputDefinitions", {}).get("parameters", {}).get("preset")
        if preset:
            preset["defaultValue"] += i
    return spec


# -- judging --


class Judge:
    """`before` is the judge of the run before this one, which may have left something in the cache."""

    def __init__(self, case, answer, before=None):
        self.case, self.before = case, before
        self.run, self.trace = answer["run"], answer["trace"]
        self.records = {record["path"]: record for record in self.run["tasks"]}
        self.complaints = []
        self.is_canceled = self.run["state"] == CANCELED
        self.tag = f"{before.tag}again " if before else ""
        self.tags = {**(before.tags if before else {}), self.run["id"]: self.tag}
        self.names = dict(before.names if before else {})

    def name_artifacts(self):
        """The model names artifacts by who made them, or by where they were imported from. Each is one."""
        for path, record in self.records.items():
            task = self.model.tasks.get(path)
            if record["kind"] not in ("container", "importer") or record["state"] == "CACHED" or task is None:
                continue
            for name, found in record.get("outputs", {}).get("artifacts", {}).items():
                if len(found) != 1 or name not in task.output_artifacts:
                    continue  # compared later
                (artifact,), (symbol,) = found, task.output_artifacts[name]
                if self.names.setdefault(artifact["id"], symbol) != symbol:
                    self.complain(f"{symbol} and {self.names[artifact['id']]} are one artifact")
        once = collections.defaultdict(set)
        for identity, symbol in self.names.items():
            once[symbol].add(identity)
        for symbol, identities in once.items():
            if len(identities) > 1:
                self.complain(f"{symbol} is several artifacts: {identities}")

    def complain(self, text):
        self.complaints.append(text)

    def judge(self, programs):
        is_told = self.is_canceled or self.case.settings.get("cache")
        self.model, (state, outputs, artifacts) = self.case.model(
            self.records if is_told else None, self.tag, self.tags, is_cut=self.is_canceled)
        if self.model.used.keys() - programs.keys():
            raise Unclear("no script for a task")
        self.name_artifacts()
        if "cancel_after" not in self.case.settings:
            self.compare("the run", self.run["state"], state)
        elif self.run["state"] not in (state, "CANCELED"):
            self.complain(f"the run is {self.run['state']}, not {state} or CANCELED")
        if self.run["state"] == SUCCEEDED:
            self.compare("outputs of the run", self.run["outputs"].get("parameters", {}), without_nulls(outputs))
            self.compare("artifacts of the run", self.symbols(self.run["outputs"].get("artifacts", {})),
                         without_empty(artifacts))
        if self.run["state"] == FAILED and not self.run.get("error"):
            self.complain("the run failed and does not say why")
        for path in sorted(self.model.tasks.keys() | self.records.keys()):
            self.judge_task(path)
        self.judge_trace()
        if self.is_canceled:
            self.judge_exits()
        self.judge_cache()
        return "\n".join(self.complaints[:30]) or None

    def judge_task(self, path):
        task, record = self.model.tasks.get(path), self.records.get(path)
        if task is None:
            self.complain(f"{path}: the model knows no such task; it is {record['state']}")
            return
        if record is None:
            if task.state != CANCELED:
                self.complain(f"{path}: should be {task.state}, has no record")
            return
        state = SUCCEEDED if record["state"] == "CACHED" and task.came_from else record["state"]
        self.compare(f"{path}: state", state, task.state)
        if state != task.state:
            self.complaints[-1] += f" ({record.get('error', '')})"
            return
        if task.state == FAILED and not record.get("error"):
            self.complain(f"{path}: failed without a reason")
        if task.state != SUCCEEDED and not (task.state == FAILED and task.tries):
            return
        if task.kind == "container":
            self.compare(f"{path}: tries", record.get("tries", 0), task.tries)
        if task.kind != "loop":
            inputs = record.get("inputs", {})
            parameters, artifacts = inputs.get("parameters", {}), inputs.get("artifacts", {})
            expected, lists = task.inputs, task.artifacts
            if task.is_iteration:  # its record has only what its loop's has not
                expected = {name: value for name, value in expected.items() if name in parameters}
                lists = {name: value for name, value in lists.items() if name in artifacts}
            self.compare(f"{path}: inputs", without_nulls(simple(parameters)), without_nulls(simple(expected)))
            self.compare(f"{path}: input artifacts", self.symbols(artifacts), without_empty(lists))
        if task.state == SUCCEEDED:
            found = record.get("outputs", {})
            self.compare(f"{path}: outputs", without_nulls(found.get("parameters", {})),
                         without_nulls(task.outputs))
            self.compare(f"{path}: output artifacts", self.symbols(found.get("artifacts", {})),
                         without_empty(task.output_artifacts))

    def compare(self, what, found, expected):
        if found != expected:
            self.complain(f"{what}: {json.dumps(found)}, should be {json.dumps(expected)}")

    def symbols(self, lists):
        return without_empty({name: [self.names.get(artifact["id"], artifact["uri"]) for artifact in found]
                              for name, found in lists.items()})

    # -- being asked to end --

    def judge_exits(self):
        """Exit tasks after something that had begun run, with all that is in them; unless asked twice."""
        asked = sum(1 for kind, *_ in self.trace if kind == "C")
        if not self.case.settings.get("exit_tasks") or asked != 1:
            return
        begun = {who[0] for kind, *who in self.trace if kind == "B"}
        begun.update(path for path, record in self.records.items() if record["state"] in (SUCCEEDED, FAILED))
        is_canceled = {path: self.records.get(path, {}).get("state", CANCELED) == CANCELED for path in self.model.tasks}
        exits = [task for task in self.model.tasks.values() if task.is_exit]
        for task in exits:
            cause = next((path for path in sorted(begun) if any(is_below(path, dep) for dep in task.deps)), None)
            if is_canceled[task.path] and cause:
                self.complain(f"{task.path}: is an exit task after {cause}, which had begun, and was canceled")
            for path in self.model.tasks:
                if not is_canceled[task.path] and path != task.path and is_below(path, task.path) and is_canceled[path]:
                    self.complain(f"{path}: is in an exit task and was canceled")

    # -- the cache --

    def judge_cache(self):
        """Only the same work hits; and whatever the run before this one did is not done again."""
        done = self.done_work()
        for path, task in self.model.tasks.items():
            record = self.records.get(path, {})
            if task.came_from:
                tag, source = task.came_from
                judge = self if tag == self.tag else self.before
                origin = judge.model.tasks[source]
                if task.work is None or origin.work != task.work or judge.records[source]["state"] != SUCCEEDED:
                    self.complain(f"{path}: got what {tag}{source} gave, which did {origin.work}, not {task.work}")
            elif task.tries and task.work in done and "did not answer" not in record["cache"]["reason"]:
                self.complain(f"{path}: was done by {done[task.work]} before, and not found: {record['cache']}")

    def done_work(self):
        """What a run must find: work -> who did it."""
        if not self.before or "kills" in self.case.settings:
            return {}
        return {task.work: path for path, task in self.before.model.tasks.items()
                if task.work and self.before.records[path]["state"] == SUCCEEDED
                and "pipelineTaskName" not in task.work}  # a final status tells the run's id

    # -- order --

    def judge_trace(self):
        """Each attempt begins once, after what it depends on, and never too many iterations at once."""
        begun, delivered, first, last = {}, {}, {}, {}
        for at, (kind, *who) in enumerate(self.trace):
            who = tuple(who)
            if kind == "B":
                if who in begun:
                    self.complain(f"{who} began twice")
                begun[who] = at
                first.setdefault(who[0], at)
            elif kind == "D":
                delivered.setdefault(who, at)
                last[who[0]] = delivered[who]
            elif kind == "A":
                self.complain(f"{who} was started again after it was forgotten")
            elif kind == "S":
                self.complain(f"{who} was started twice by one engine")
        for (path, attempt), at in begun.items():
            if path not in self.model.tasks:
                self.complain(f"{path} began, and the model knows no such task")
            elif (path, attempt) not in delivered:
                self.complain(f"the end of {path} attempt {attempt} was never asked for")
            elif attempt > 0 and delivered.get((path, attempt - 1), at) >= at:
                self.complain(f"{path}: attempt {attempt} began before the one before it was over")
        for path, at in first.items():
            for before in self.model.tasks[path].after if path in self.model.tasks else ():
                late = [other for other, end in last.items() if is_below(other, before) and end >= at]
                if late:
                    self.complain(f"{path} began before {late[0]} was over")
        if "losses" not in self.case.settings and "kills" not in self.case.settings:
            forgotten = sum(1 for kind, *_ in self.trace if kind == "F")
            self.compare("attempts that were forgotten", forgotten, len(begun))
        self.judge_limits(first, last)

    def judge_limits(self, first, last):
        for path, limit in self.limits():
            spans = collections.defaultdict(lambda: [len(self.trace), -1])
            for leaf, at in first.items():
                iteration = iteration_of(leaf, path)
                if iteration is not None:
                    span = spans[iteration]
                    span[0], span[1] = min(span[0], at), max(span[1], last.get(leaf, at))
            moments = sorted([(a, 1) for a, _ in spans.values()] + [(b, -1) for _, b in spans.values()])
            active = 0
            for _, step in moments:
                active += step
                if active > limit:
                    self.complain(f"{path}: more than {limit} iterations at once")
                    break

    def limits(self):
        """(path of a loop, its limit)"""
        def below(component, path):
            for key, task in component.get("dag", {}).get("tasks", {}).items():
                here = f"{path}/{key}" if path else key
                inner = self.case.spec["components"][task["componentRef"]["name"]]
                limit = task.get("iteratorPolicy", {}).get("parallelismLimit", 0)
                if here in self.model.tasks and limit:
                    yield here, limit
                if reference.iterator_of(task):
                    i = 0
                    while f"{here}/{i}" in self.model.tasks:
                        yield from below(inner, f"{here}/{i}")
                        i += 1
                else:
                    yield from below(inner, here)

        yield from below(self.case.spec["root"], "")


def is_below(path, top):
    return path == top or path.startswith(top + "/")


def iteration_of(path, loop):
    if not path.startswith(loop + "/"):
        return None
    return path[len(loop) + 1:].split("/", 1)[0]


def simple(params):
    """Of a final status only what the model knows."""
    return {name: {"state": value["state"], "pipelineTaskName": value["pipelineTaskName"]}
            if isinstance(value, dict) and "pipelineTaskName" in value else value
            for name, value in params.items()}


def without_nulls(values):
    return {name: value for name, value in values.items() if value is not None}


def without_empty(lists):
    return {name: value for name, value in lists.items() if value}


# -- making a case smaller --


def repaired(spec):
    """Without what leads nowhere after a task was taken out."""
    spec = copy.deepcopy(spec)
    changed = True
    while changed:
        changed = False
        used = set()
        for component in [spec["root"], *spec["components"].values()]:
            if "dag" not in component:
                continue
            tasks = component["dag"]["tasks"]
            outputs = component["dag"].get("outputs", {})
            for what in list(outputs):
                for name in list(outputs[what]):
                    gone = [one for one in reference.selectors(outputs[what][name]) if not has_output(
                        spec, tasks, one, what)]
                    if gone:
                        del outputs[what][name]
                        del component["outputDefinitions"][what][name]
                        changed = True
            for task in tasks.values():
                used.add(task["componentRef"]["name"])
                kept = [dep for dep in task.get("dependentTasks", ()) if dep in tasks]
                if len(kept) != len(task.get("dependentTasks", ())):
                    task["dependentTasks"] = kept
                    changed = True
                inputs = task.get("inputs", {})
                for what in list(inputs):
                    for name in list(inputs[what]):
                        if not leads_somewhere(spec, component, tasks, inputs[what][name], what):
                            del inputs[what][name]
                            changed = True
        for name in list(spec["components"]):
            if name not in used:
                del spec["components"][name]
                changed = True
    return spec


def has_output(spec, tasks, selector, what):
    producer, key = selector
    if producer not in tasks:
        return False
    component = spec["components"][tasks[producer]["componentRef"]["name"]]
    return key in component.get("outputDefinitions", {}).get(what, {})


def leads_somewhere(spec, component, tasks, binding, what):
    for field, key in (("taskOutputParameter", "outputParameterKey"), ("taskOutputArtifact", "outputArtifactKey")):
        if field in binding:
            return has_output(spec, tasks, (binding[field]["producerTask"], binding[field][key]), what)
    if "taskFinalStatus" in binding:
        return binding["taskFinalStatus"]["producerTask"] in tasks
    name = binding.get("componentInputParameter") or binding.get("componentInputArtifact")
    return name is None or name in component.get("inputDefinitions", {}).get(what, {})


def cuts(case):
    """Smaller cases, the boldest first."""
    if case.trouble:
        yield case.smaller(trouble=0)
    for name in ("kills", "losses"):
        for i in range(len(case.settings.get(name, ()))):
            other = case.smaller()
            other.settings[name] = case.settings[name][:i] + case.settings[name][i + 1:]
            yield other
    places = [("root",), *(("components", name) for name in case.spec["components"])]
    for place in places:
        for key in list(at(case.spec, place).get("dag", {}).get("tasks", {})):
            spec = copy.deepcopy(case.spec)
            del at(spec, place)["dag"]["tasks"][key]
            if at(spec, place)["dag"]["tasks"]:
                yield case.smaller(spec=repaired(spec))
    for place in places:
        component = at(case.spec, place)
        for key, task in component.get("dag", {}).get("tasks", {}).items():
            for field in ("retryPolicy", "iteratorPolicy", "triggerPolicy", "dependentTasks"):
                if field in task:
                    spec = copy.deepcopy(case.spec)
                    del at(spec, place)["dag"]["tasks"][key][field]
                    yield case.smaller(spec=spec)
            for what, bindings in task.get("inputs", {}).items():
                for name in bindings:
                    spec = copy.deepcopy(case.spec)
                    smaller = at(spec, place)["dag"]["tasks"][key]
                    del smaller["inputs"][what][name]
                    called = spec["components"][task["componentRef"]["name"]]
                    called.get("inputDefinitions", {}).get(what, {}).pop(name, None)
                    yield case.smaller(spec=repaired(spec))
            raw = task.get("parameterIterator", {}).get("items", {}).get("raw")
            if raw and len(json.loads(raw)) > 1:
                spec = copy.deepcopy(case.spec)
                at(spec, place)["dag"]["tasks"][key]["parameterIterator"]["items"]["raw"] = json.dumps(
                    json.loads(raw)[:-1])
                yield case.smaller(spec=spec)
        for what, outputs in component.get("outputDefinitions", {}).items():
            for name in outputs:
                spec = copy.deepcopy(case.spec)
                del at(spec, place)["outputDefinitions"][what][name]
                at(spec, place).get("dag", {}).get("outputs", {}).get(what, {}).pop(name, None)
                yield case.smaller(spec=repaired(spec))


def at(spec, place):
    for key in place:
        spec = spec[key]
    return spec


def kind_of(complaint):
    """What sort of complaint it is, so that a smaller case is not about something else."""
    if complaint is None:
        return None
    for sort in ("refused", "crashed", "the run does not end"):
        if complaint.startswith(sort):
            return sort + complaint.split("\n")[0].rsplit(":", 1)[-1] if sort == "refused" else sort
    first = complaint.split("\n")[0].split(" (")[0]
    return first.split(": ", 1)[-1] if ": state: " in first else re.sub(r"\S*/\S*|\bt\d+\b|\d+|:.*", "", first)


def shrink(case, driver, complaint, budget=400):
    wanted = kind_of(complaint)
    is_smaller = True
    while is_smaller and budget > 0:
        is_smaller = False
        for other in cuts(case):
            budget -= 1
            if budget <= 0:
                break
            try:
                found = other.judge(driver)
            except (Unclear, KeyError):
                continue
            if kind_of(found) == wanted:
                case, complaint, is_smaller = other, found, True
                break
    return case, complaint


def without_hollow(value):
    """Shown without empty objects, which say nothing."""
    if not isinstance(value, dict):
        return value
    members = {name: without_hollow(member) for name, member in value.items() if name != "taskInfo"}
    return {name: member for name, member in members.items() if member not in ({}, [])}


def show(case, complaint):
    spec = {name: case.spec[name] for name in ("root", "components")}
    try:
        import yaml  # noqa: PLC0415
        text = yaml.safe_dump(without_hollow(spec), sort_keys=False, width=110)
    except ImportError:
        text = json.dumps(without_hollow(spec), indent=1)
    programs = {}
    try:
        model, _ = case.model()
        programs = {path: script_of(program) for path, program in model.used.items()}
    except Unclear:
        pass
    return (f"RONDO_PROPERTY_ONE={SEED}:{case.mode}:{case.seed.split('/')[1]}\n{complaint}\n--- pipeline\n{text}"
            f"--- parameters {json.dumps(case.parameters)}\n--- settings {json.dumps(case.settings)}\n"
            f"--- programs {json.dumps(programs)}\n")


# -- tests --


@pytest.fixture(scope="module")
def driver():
    one = Driver()
    yield one
    one.close()


def seeds(mode):
    if ONE:
        _, only, number = ONE.split(":")
        return [int(number)] if only == mode else []
    usual = USUALLY[mode]
    return range(CASES * usual // sum(USUALLY.values()) if CASES else usual)


@pytest.mark.timeout(3600 if CASES else 300)
@pytest.mark.parametrize("mode", USUALLY)
def test_random_pipelines(driver, mode):
    base = int(ONE.split(":")[0]) if ONE else SEED
    judged = unclear = tasks = 0
    wrong = []
    for number in seeds(mode):
        case = Case(mode, f"{base}/{number}")
        try:
            complaint = case.judge(driver)
            tasks += len(case.model()[0].tasks)
            judged += 1
        except Unclear:
            unclear += 1
            continue
        if complaint is not None:
            wrong.append(show(*shrink(case, driver, complaint)))
            if len(wrong) >= 3:
                break
    print(f"{mode}: {judged} cases with {tasks} tasks judged, {unclear} unclear", file=sys.stderr)
    assert not wrong, "\n\n".join(wrong)
    assert ONE or judged > unclear
