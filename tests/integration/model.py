# SPDX-License-Identifier: Apache-2.0
"""A reference model of how a run goes: what every task ends as, and what flows between them.

Written from contrib/docs/runs.md and the language's rules, and knowing nothing of the engine: no time, no
order, no states in between. It walks the pipeline once, from the top, and gives for each task instance its
final state, inputs and outputs, how many attempts it takes, and what has to be over before it begins.

Where the rules leave a case open, it raises Unclear, and the case is not judged.
"""

import dataclasses
import json
import re

SUCCEEDED, FAILED, CANCELED = "SUCCEEDED", "FAILED", "CANCELED"
NOT_TRIGGERED, UNSCHEDULABLE = "NOT_TRIGGERED", "UNSCHEDULABLE"
LOST_RETRIES = 2

KINDS = {"STRING": str, "NUMBER_INTEGER": (int, float), "NUMBER_DOUBLE": (int, float), "BOOLEAN": bool,
         "LIST": list, "STRUCT": dict, "TASK_FINAL_STATUS": dict}


class Unclear(Exception):
    """The rules do not say what happens here."""


class TaskError(Exception):
    """The task fails before it begins."""


@dataclasses.dataclass
class Task:
    path: str
    kind: str
    state: str
    inputs: dict = dataclasses.field(default_factory=dict)
    artifacts: dict = dataclasses.field(default_factory=dict)
    outputs: dict = dataclasses.field(default_factory=dict)
    output_artifacts: dict = dataclasses.field(default_factory=dict)
    tries: int = 0
    is_iteration: bool = False
    is_exit: bool = False
    deps: tuple = ()  # paths
    provided: tuple = ()  # names of the parameters that were passed
    work: str = None  # what it does, to the cache: the same text, the same work; None: not cached
    came_from: tuple = None  # (tag of the run, path) of the task whose outputs it got from the cache
    after: tuple = ()  # paths; everything at and below them is over before this begins


# -- values --


def text_of(value):
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, (int, float)):
        if float(value).is_integer():
            return str(int(value))
        if 1e-4 < abs(value) < 1e15:
            return repr(value)
        raise Unclear("a number near the edge")
    return json_of(value)


def json_of(value):
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    for char in "<>&":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text


def kind_fits(value, kind):
    if isinstance(value, bool):
        return kind == "BOOLEAN"
    return isinstance(value, KINDS[kind])


def coerce(value, kind, what):
    if kind == "STRING":
        return text_of(value)
    if not kind_fits(value, kind):
        raise TaskError(f"{what} is no {kind}: {value!r}")
    return value


SELECTOR = re.compile(r'parseJson\(string_value\)\["([^"]*)"\]$')


def select(selector, value):
    match = SELECTOR.match(selector)
    if not match:
        raise Unclear(selector)
    try:
        whole = json.loads(text_of(value))
    except ValueError:
        raise TaskError("not JSON") from None
    if not isinstance(whole, dict) or match[1] not in whole:
        raise TaskError("no such key")
    return whole[match[1]]


# -- conditions: the grammar that the SDK writes --


class EvalError(Exception):
    pass


TOKEN = re.compile(r"\s*(inputs\.parameter_values\['[^']*'\]|'[^']*'|-?\d+\.\d+|-?\d+|true|false|int|double"
                   r"|==|!=|<=|>=|<|>|&&|\|\||!|\(|\))")


class Condition:
    def __init__(self, text, params):
        self.tokens, at = [], 0
        while at < len(text.rstrip()):
            match = TOKEN.match(text, at)
            if not match:
                raise Unclear(f"condition {text}")
            self.tokens.append(match[1])
            at = match.end()
        self.params = params

    def next(self):
        return self.tokens.pop(0)

    def peek(self):
        return self.tokens[0] if self.tokens else None

    def evaluate(self):
        value = self.either()
        if isinstance(value, EvalError):
            raise TaskError(str(value))
        if not isinstance(value, bool):
            raise TaskError("neither true nor false")
        return value

    def either(self):
        left = self.both()
        while self.peek() == "||":
            self.next()
            left = self.join(left, self.both(), True)
        return left

    def both(self):
        left = self.term()
        while self.peek() == "&&":
            self.next()
            left = self.join(left, self.term(), False)
        return left

    @staticmethod
    def join(left, right, decides):
        """An error on one side does not matter when the other side decides."""
        for side in (left, right):
            if side is decides:
                return decides
        for side in (left, right):
            if not isinstance(side, bool):
                return side if isinstance(side, EvalError) else EvalError("no bool")
        return not decides

    def term(self):
        left = self.operand()
        if self.peek() in ("==", "!=", "<", "<=", ">", ">="):
            op = self.next()
            return self.compare(op, left, self.operand())
        return left

    def operand(self):
        token = self.next()
        if token == "!":
            value = self.operand()
            if isinstance(value, EvalError):
                return value
            return not value if isinstance(value, bool) else EvalError("! of no bool")
        if token == "(":
            value = self.either()
            self.next()
            return value
        if token in ("int", "double"):
            self.next()
            value = self.either()
            self.next()
            return self.convert(token, value)
        if token.startswith("inputs."):
            name = token[len("inputs.parameter_values['"):-2]
            if self.params.get(name) is None:
                return EvalError(f"no such key {name}")
            value = self.params[name]
            return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
        if token.startswith("'"):
            return token[1:-1]
        if token in ("true", "false"):
            return token == "true"
        return float(token) if "." in token else int(token)

    @staticmethod
    def convert(to, value):
        if isinstance(value, EvalError):
            return value
        if isinstance(value, (bool, list, dict)):
            return EvalError(f"{to}() of that")
        if isinstance(value, str) and not re.fullmatch(r"-?\d+", value):
            if to == "double" and value.strip() == value and value:
                raise Unclear("double() of a text")
            return EvalError(f"{to}() of the text {value}")
        return int(value) if to == "int" else float(value)

    @staticmethod
    def compare(op, left, right):
        for side in (left, right):
            if isinstance(side, EvalError):
                return side

        def kind(value):
            return "number" if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value)

        if op in ("==", "!="):
            same = kind(left) == kind(right) and left == right
            return same if op == "==" else not same
        if kind(left) != kind(right) or isinstance(left, (list, dict)):
            return EvalError(f"{left!r} {op} {right!r}")
        return {"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}[op]


# -- the run --


class Model:
    """programs(path, component) -> {"ends": "FLS", "values": {output: value}, "unwritten": [output],
    "absent": [output], "garbled": [output]}: how the attempts of a container task end, and what it puts out.

    When a run was asked to end, or had a cache, it depends on the moment which tasks were canceled or hit. With
    `records` of the run (path -> record) these are taken from there, and the model tells what follows from it.
    Artifacts are named by who made them, beginning with the `tag` of the run; tags: run id -> tag."""

    def __init__(self, spec, parameters, programs, records=None, tag="", tags=None, is_cut=False):
        self.records, self.tag, self.tags = records, tag, tags or {}
        self.begun = {path.rsplit("/", n)[0] for path in records or () for n in range(1, path.count("/") + 1)}
        self.is_cut = is_cut  # what has no record was canceled
        self.spec = spec
        self.programs = programs
        self.tasks = {}
        self.used = {}  # path -> program
        self.components = {}  # path -> component
        self.given = dict(parameters)

    def component(self, name):
        return self.spec["components"][name]

    def run(self):
        root = self.spec["root"]
        params = {}
        for name, definition in params_of(root, "input").items():
            value = self.given.get(name)
            params[name] = definition.get("defaultValue") if value is None else value
        state, outputs, artifacts = self.dag(root, params, {}, "", None, ())
        if state == FAILED:
            outputs, artifacts = {}, {}
        return state, outputs, artifacts

    def dag(self, component, params, artifacts, path, policy, after):
        tasks = component["dag"]["tasks"]
        done = {}
        for key in in_order(tasks):
            done[key] = self.task(tasks, key, params, artifacts, path, policy, after, done)
        state = state_of(done.values())
        return state, *(({}, {}) if state == CANCELED else dag_outputs(component, done))

    def is_dropped(self, path):
        """It was canceled, and before anything below it came to be."""
        state = (self.records or {}).get(path, {}).get("state", CANCELED)
        return self.is_cut and state == CANCELED and path not in self.begun

    def task(self, tasks, key, params, artifacts, path, policy, after, done):
        definition = tasks[key]
        here = f"{path}/{key}" if path else key
        component = self.component(definition["componentRef"]["name"])
        deps = sorted(dependencies(definition))
        prefix = f"{path}/" if path else ""
        after = tuple(after) + tuple(prefix + dep for dep in deps)
        kind = "loop" if iterator_of(definition) else self.kind_of(component)
        trigger = definition.get("triggerPolicy", {})
        task = Task(here, kind, UNSCHEDULABLE, after=after, deps=tuple(prefix + dep for dep in deps),
                    is_exit=trigger.get("strategy") == "ALL_UPSTREAM_TASKS_COMPLETED")
        self.tasks[here] = task
        if self.is_dropped(here):
            task.state = CANCELED
            return task
        if trigger.get("strategy") != "ALL_UPSTREAM_TASKS_COMPLETED" and \
                any(done[dep].state != SUCCEEDED for dep in deps):
            return task
        policy = definition.get("retryPolicy", policy)
        try:
            task.inputs, task.artifacts = self.resolve(task, definition, component, params, artifacts, done)
            if "condition" in trigger and not Condition(trigger["condition"], task.inputs).evaluate():
                task.state = NOT_TRIGGERED
                return task
            if kind == "loop":
                self.loop(task, definition, component, policy, after)
            else:
                self.dispatch(task, definition, component, policy, after)
        except TaskError:
            task.state = FAILED
        return task

    def kind_of(self, component):
        if "dag" in component:
            return "dag"
        return "importer" if "importer" in self.executor(component) else "container"

    def executor(self, component):
        return self.spec["deploymentSpec"]["executors"][component["executorLabel"]]

    def dispatch(self, task, definition, component, policy, after):
        if task.kind == "dag":
            task.state, task.outputs, task.output_artifacts = self.dag(
                component, task.inputs, task.artifacts, task.path, policy, after)
        elif task.kind == "importer":
            self.importer(task, component)
        else:
            if definition.get("cachingOptions", {}).get("enableCache"):
                task.work = work_of(task, component)
            self.container(task, component, policy)

    # -- inputs --

    def resolve(self, task, definition, component, params, artifacts, done):
        given = {}
        bindings = definition.get("inputs", {}).get("parameters", {})
        iterator = iterator_of(definition)
        item = iterator["itemInput"] if iterator else None
        for name, binding in bindings.items():
            value = self.source(binding, params, done)
            if value is not None and "parameterExpressionSelector" in binding:
                value = select(binding["parameterExpressionSelector"], value)
            if value is not None:
                given[name] = value
        for name, value in given.items():
            if isinstance(value, str) and "runtimeValue" in bindings[name]:
                given[name] = fill_in(value, given)
        finished = finish(given, component, skip=item)
        task.provided = tuple(given)
        lists = {}
        for name, binding in definition.get("inputs", {}).get("artifacts", {}).items():
            if "taskOutputArtifact" in binding:
                source = binding["taskOutputArtifact"]
                found = done[source["producerTask"]].output_artifacts.get(source["outputArtifactKey"])
            else:
                found = artifacts.get(binding["componentInputArtifact"])
            if found is not None:
                lists[name] = found
        for name, declared in component.get("inputDefinitions", {}).get("artifacts", {}).items():
            if name == item or declared.get("isOptional"):
                continue
            if name not in lists or (not lists[name] and not declared.get("isArtifactList")):
                raise TaskError(f"no artifact {name}")
        return finished, {name: found for name, found in lists.items()}

    def source(self, binding, params, done):
        if "componentInputParameter" in binding:
            return params.get(binding["componentInputParameter"])
        if "taskOutputParameter" in binding:
            source = binding["taskOutputParameter"]
            return done[source["producerTask"]].outputs.get(source["outputParameterKey"])
        if "taskFinalStatus" in binding:
            producer = binding["taskFinalStatus"]["producerTask"]
            state = done[producer].state
            return {"state": state if state in (SUCCEEDED, FAILED) else "CANCELLED", "pipelineTaskName": producer}
        return binding["runtimeValue"]["constant"]

    # -- loops --

    def items(self, task, iterator):
        source = iterator["items"]
        if "raw" in source:
            return json.loads(source["raw"])
        if "inputArtifact" in source:
            return task.artifacts.get(source["inputArtifact"], [])
        value = task.inputs.get(source["inputParameter"])
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except ValueError:
                raise TaskError("the text holds no list") from None
            if not isinstance(value, list):
                raise Unclear("a text that holds something else than a list")
        if not isinstance(value, list):
            raise TaskError("no list")
        return value

    def loop(self, task, definition, component, policy, after):
        iterator = iterator_of(definition)
        items = self.items(task, iterator)
        over = iterator["items"].get("inputParameter")
        done = []
        for i, item in enumerate(items):
            one = Task(f"{task.path}/{i}", self.kind_of(component), UNSCHEDULABLE, after=after, is_iteration=True)
            self.tasks[one.path] = one
            done.append(one)
            if self.is_dropped(one.path):
                one.state = CANCELED
                continue
            try:
                keeps_items = one.kind == "dag" or over in params_of(component, "input")
                inputs = {name: value for name, value in task.inputs.items() if name != over or keeps_items}
                one.artifacts = dict(task.artifacts)
                if "inputArtifact" in iterator["items"]:
                    source = iterator["items"]["inputArtifact"]
                    if one.kind != "dag" and source not in component.get("inputDefinitions", {}).get("artifacts", {}):
                        one.artifacts.pop(source, None)
                    one.artifacts[iterator["itemInput"]] = [item]
                elif item is None:
                    raise Unclear("an item that is null")
                else:
                    inputs[iterator["itemInput"]] = item
                one.inputs = finish(inputs, component, skip=over)
                one.provided = (*task.provided, iterator["itemInput"])
                self.dispatch(one, definition, component, policy, after)
            except TaskError:
                one.state = FAILED
        task.state = state_of(done)
        if task.state != CANCELED:
            self.collect(task, component, done)

    def collect(self, task, component, done):
        outputs = component.get("outputDefinitions", {})
        for name in outputs.get("parameters", {}):
            task.outputs[name] = [one.outputs[name] for one in done
                                      if one.state == SUCCEEDED and one.outputs.get(name) is not None]
        for name in outputs.get("artifacts", {}):
            task.output_artifacts[name] = [
                artifact for one in done if one.state == SUCCEEDED
                for artifact in one.output_artifacts.get(name, [])]

    # -- containers --

    def container(self, task, component, policy):
        record = (self.records or {}).get(task.path, {})
        if record.get("state") == "CACHED":
            source = record["cache"]["from"]
            task.came_from = self.tags[source["run"]], source["task"]
            self.put_out(task, component, self.programs(source["task"], component), *task.came_from)
            return
        program = self.programs(task.path, component)
        self.used[task.path], self.components[task.path] = program, component
        retries = int((policy or {}).get("maxRetryCount", 0))
        fails = lost = 0
        is_good = not program.get("garbled") and not program.get("unwritten")
        while True:
            end = program["ends"][min(task.tries, len(program["ends"]) - 1)]
            task.tries += 1
            if end == "S" and is_good:
                break
            if end == "L":
                lost += 1
                if lost > LOST_RETRIES:
                    task.state = FAILED
                    return
                continue
            fails += 1
            if fails > retries:
                task.state = FAILED
                return
        self.put_out(task, component, program, self.tag, task.path)

    @staticmethod
    def put_out(task, component, program, tag, path):
        task.state = SUCCEEDED
        for name in params_of(component, "output"):
            if name in program["values"] and name not in program.get("absent", ()):
                task.outputs[name] = program["values"][name]
        for name in component.get("outputDefinitions", {}).get("artifacts", {}):
            task.output_artifacts[name] = [f"{tag}{path}:{name}"]

    def importer(self, task, component):
        importer = self.executor(component)["importer"]
        uri = importer["artifactUri"].get("constant") or task.inputs[importer["artifactUri"]["runtimeParameter"]]
        if not uri.startswith("s3://"):
            raise TaskError("no place that artifacts can have")
        task.state = SUCCEEDED
        (name,) = component["outputDefinitions"]["artifacts"]
        task.output_artifacts[name] = [f"{self.tag}{task.path}:{name}" if importer["reimport"] else uri]


# -- reading the spec --


def params_of(component, side):
    return component.get(f"{side}Definitions", {}).get("parameters", {})


def iterator_of(definition):
    return definition.get("parameterIterator") or definition.get("artifactIterator")


def dependencies(definition):
    found = set(definition.get("dependentTasks", ()))
    inputs = definition.get("inputs", {})
    for binding in inputs.get("parameters", {}).values():
        if "taskOutputParameter" in binding:
            found.add(binding["taskOutputParameter"]["producerTask"])
        if "taskFinalStatus" in binding:  # KFP adds none here; but there is no status before the end
            found.add(binding["taskFinalStatus"]["producerTask"])
    for binding in inputs.get("artifacts", {}).values():
        if "taskOutputArtifact" in binding:
            found.add(binding["taskOutputArtifact"]["producerTask"])
    return found


def in_order(tasks):
    order, seen = [], set()

    def visit(key):
        if key not in seen:
            seen.add(key)
            for dep in sorted(dependencies(tasks[key])):
                visit(dep)
            order.append(key)

    for key in tasks:
        visit(key)
    return order


def selectors(output):
    """[(producer, key)] of one output of a DAG."""
    if "valueFromParameter" in output:
        found = [output["valueFromParameter"]]
    elif "valueFromOneof" in output:
        found = output["valueFromOneof"]["parameterSelectors"]
    else:
        return [(one["producerSubtask"], one["outputArtifactKey"]) for one in output.get("artifactSelectors", ())]
    return [(one["producerSubtask"], one["outputParameterKey"]) for one in found]


def dag_outputs(component, done):
    found = {}, {}
    outputs = component["dag"].get("outputs", {})
    for part, what in zip(found, ("parameters", "artifacts")):
        for name, output in outputs.get(what, {}).items():
            for producer, key in selectors(output):
                task = done[producer]
                values = task.outputs if what == "parameters" else task.output_artifacts
                if task.state == SUCCEEDED and values.get(key) is not None:
                    part[name] = values[key]
                    break
    return found


REFERENCE = re.compile(r"\{\{\$\.inputs\.parameters\['([^']*)'\]\}\}")


def fill_in(text, given):
    def value_of(match):
        if match[1] not in given:
            raise Unclear("a text with a reference to nothing")
        return text_of(given[match[1]])

    return REFERENCE.sub(value_of, text)


def state_of(tasks):
    """Of what these are in."""
    states = {task.state for task in tasks}
    return FAILED if FAILED in states else CANCELED if CANCELED in states else SUCCEEDED


def work_of(task, component):
    """Image and command are the same for all."""
    return json_of([{name: task.inputs[name] for name in task.provided if task.inputs.get(name) is not None},
                    task.artifacts, component.get("outputDefinitions", {})])


def finish(given, component, skip):
    """The optional/default matrix, and coercion."""
    finished = {}
    declared = params_of(component, "input")
    for name, definition in declared.items():
        if name == skip:
            if name in given:
                finished[name] = given[name]
        elif given.get(name) is not None:
            finished[name] = coerce(given[name], definition["parameterType"], name)
        elif "defaultValue" in definition:
            finished[name] = definition["defaultValue"]
        elif not definition.get("isOptional"):
            raise TaskError(f"{name} is required")
    for name, value in given.items():
        if name not in declared and value is not None:
            finished[name] = value
    return finished
