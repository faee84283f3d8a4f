# SPDX-License-Identifier: Apache-2.0
"""expected.yaml: reading it, and comparing what happened with it. Its header says what means what."""

import copy
import itertools
import pathlib
import re

import yaml

FOLDER = pathlib.Path(__file__).parent
FILE_KEYS = {"parameters", "run", "error", "outputs", "output_files", "end", "tasks", "one_of", "again", "local", "cluster",
             "here", "packages", "unmounted", "without", "oracle"}
TASK_KEYS = {"state", "in", "gets", "out", "files", "type", "metadata", "meta_in", "log", "error", "exit_code", "tries",
             "parallel"}
DONE = ("SUCCEEDED", "CACHED")


# ---- values with a tag ----

class Rule:
    """A value that is a rule; `why_not` gives "" or what is wrong with a value."""

    def __init__(self, value=None):
        self.value = value

    def __repr__(self):
        return f"!{type(self).__name__.lower()} {self.value}"


class Re(Rule):
    def why_not(self, value):
        text = value if isinstance(value, str) else compact(value)
        return "" if re.fullmatch(self.value, text, re.DOTALL) else f"{text!r} does not match {self.value!r}"


class Range(Rule):
    def why_not(self, value):
        least, most = self.value
        good = isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value <= most
        return "" if good else f"{value!r} is not in {least}..{most}"


class Any(Rule):
    def why_not(self, value):
        return "" if value is not ABSENT else "is not there"


class Absent(Rule):
    def why_not(self, value):
        return "" if value is ABSENT else f"{value!r} should not be there"


class Each(Rule):
    """Replaced when paths are expanded."""


class Tmp(Rule):
    """Replaced by a path when the run is made."""


ABSENT = Absent()


class Loader(yaml.SafeLoader):
    """Refuses a key that is there twice: in a table as long as this that is a slip."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, True) for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"twice: {twice}", node.start_mark)
        return super().construct_mapping(node, deep)


def construct(kind):
    def make(loader, node):
        if isinstance(node, yaml.SequenceNode):
            return kind(loader.construct_sequence(node, deep=True))
        return kind(loader.construct_scalar(node))
    return make


for _kind in (Re, Range, Any, Absent, Each, Tmp):
    Loader.add_constructor("!" + _kind.__name__.lower(), construct(_kind))


def load():
    with open(FOLDER / "expected.yaml", encoding="utf-8") as file:
        table = yaml.load(file, Loader)
    for name, entry in table.items():
        for part in [entry, *(entry.get(key, {}) for key in ("local", "cluster", "unmounted", "without"))]:
            unknown = set(part) - FILE_KEYS
            assert not unknown, f"expected.yaml: {name}: {unknown}"
        if name.startswith("valid/"):
            assert "tasks" in entry, f"expected.yaml: {name} says nothing of its tasks"
    return table


# ---- an entry for one place ----

def variant(entry, *keys):
    """The entry with what it says for these keys (local, cluster, without) on top."""
    out = copy.deepcopy(entry)
    for key in keys:
        for name, value in copy.deepcopy(entry.get(key, {})).items():
            if name == "tasks":
                out["tasks"] = {**out["tasks"], **value}
            else:
                out[name] = value
    return out


def parameters(entry, folder):
    """Parameters of the run; folder is where !tmp paths are."""
    return {name: str(folder / value.value) if isinstance(value, Tmp) else value
            for name, value in entry.get("parameters", {}).items()}


def expand_path(pattern):
    """The paths that a pattern with [0..2] in it stands for, in order."""
    parts = re.split(r"\[(\d+)\.\.(\d+)\]", pattern)
    ranges = [range(int(a), int(b) + 1) for a, b in zip(parts[1::3], parts[2::3])]
    for numbers in itertools.product(*ranges):
        path = parts[0]
        for number, rest in zip(numbers, parts[3::3]):
            path += f"{number}{rest}"
        yield path


def pick(value, number, count, where):
    """The value with every !each in it replaced by its nth."""
    if isinstance(value, Each):
        assert len(value.value) == count, f"expected.yaml: {where}: {len(value.value)} values for {count} paths"
        return value.value[number]
    if isinstance(value, dict):
        return {key: pick(inner, number, count, where) for key, inner in value.items()}
    if isinstance(value, list):
        return [pick(inner, number, count, where) for inner in value]
    return value


def expand_tasks(tasks, prefix=""):
    out = {}
    for pattern, want in tasks.items():
        paths = list(expand_path(pattern))
        for number, path in enumerate(paths):
            one = pick(want, number, len(paths), pattern)
            one = {"state": one} if isinstance(one, str) else {"state": "SUCCEEDED", **one}
            unknown = set(one) - TASK_KEYS
            assert not unknown, f"expected.yaml: {pattern}: {unknown}"
            assert prefix + path not in out, f"expected.yaml: {prefix + path} twice"
            out[prefix + path] = one
    return out


# ---- comparing ----

def compact(value):
    import json
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def differences(want, got, where):
    """What is wrong with a value; lists and objects are compared as a whole, except for rules in them."""
    if isinstance(want, Rule):
        why = want.why_not(got)
        return [f"{where}: {why}"] if why else []
    if got is ABSENT:
        return [f"{where}: is not there; expected {want!r}"]
    if isinstance(want, dict) and isinstance(got, dict):
        out = [f"{where}: has {key!r} ({got[key]!r}), unexpected" for key in got if key not in want]
        return out + members(want, got, where)
    if isinstance(want, list) and isinstance(got, list) and len(want) == len(got):
        return [line for n, (w, g) in enumerate(zip(want, got)) for line in differences(w, g, f"{where}[{n}]")]
    same = want == got and isinstance(want, bool) == isinstance(got, bool)
    return [] if same else [f"{where}: {got!r}; expected {want!r}"]


def members(want, got, where):
    """Those that are named; others do not matter."""
    return [line for key, value in want.items() for line in differences(value, got.get(key, ABSENT), f"{where}.{key}")]


def in_order(texts, log):
    at = 0
    for text in texts:
        at = log.find(text, at)
        if at < 0:
            return text
        at += len(text)
    return None


def most_at_once(spans):
    """How many of these (start, end) overlap at most; one that begins as another ends does not."""
    marks = sorted([(end, -1) for _, end in spans] + [(start, 1) for start, _ in spans])
    now = most = 0
    for _, step in marks:
        now += step
        most = max(most, now)
    return most


def check_task(path, want, run):
    """`run` is what happened, see Happened."""
    task = run.tasks.get(path)
    if task is None:
        return [f"{path}: there is no such task; expected {want['state']}"]
    states = DONE if want["state"] == "SUCCEEDED" and run.may_be_cached(path) else (want["state"],)
    if task["state"] not in states:
        return [f"{path}: {task['state']} ({task.get('error')}); expected {want['state']}"]
    out = []
    for key, value in want.items():
        here = f"{path}.{key}"
        if key in ("in", "type"):
            out += members(value, run.inputs(path) if key == "in" else run.types(path), here)
        elif key == "out":
            out += differences(value, run.outputs(path), here)
        elif key == "files":
            out += members(value, run.files(path), here)
        elif key == "gets":
            out += members(value, run.gets(path, value), here)
        elif key in ("metadata", "meta_in"):
            for name, wanted in value.items():
                out += check_metadata(wanted, run.metadata(path, name, key == "meta_in"), f"{here}.{name}")
        elif task["state"] == "CACHED" and key in ("log", "exit_code", "tries"):
            pass  # nothing ran
        elif key == "log":
            missing = in_order(value, run.log(path))
            if missing is not None:
                out.append(f"{here}: {missing!r} is not there (in this order) in {run.log(path)[-3000:]!r}")
        elif key == "error":
            if not re.search(value, task.get("error") or "", re.DOTALL):
                out.append(f"{here}: {task.get('error')!r} does not match {value!r}")
        elif key == "exit_code":
            out += differences(value, task.get("exit_code"), here)
        elif key == "tries":
            out += differences(value, task.get("tries"), here)
        elif key == "parallel":
            most = run.parallel(path)
            if most > value:
                out.append(f"{here}: {most} iterations at once; expected at most {value}")
    return out


def check_metadata(want, got, where):
    if isinstance(want, list):
        if len(want) != len(got):
            return [f"{where}: {len(got)} artifacts; expected {len(want)}"]
        return [line for n, (w, g) in enumerate(zip(want, got)) for line in members(w, g, f"{where}[{n}]")]
    return members(want, got[0] if got else {}, where)


def check(entry, run):
    """All that is different from the entry (a variant()), as lines. run: a Happened."""
    out = []
    if run.state != entry.get("run", "SUCCEEDED"):
        out.append(f"run: {run.state} ({run.error}); expected {entry.get('run', 'SUCCEEDED')}")
    if "error" in entry and not re.search(entry["error"], run.error or "", re.DOTALL):
        out.append(f"run.error: {run.error!r} does not match {entry['error']!r}")
    outputs, files = entry.get("outputs", {}), entry.get("output_files")
    tasks = expand_tasks(entry["tasks"])
    for group in entry.get("one_of", []):
        for at in expand_path(group["at"]) if "at" in group else [""]:
            prefix = at + "/" if at else ""
            wrong = []
            for case in group["cases"]:
                lines = [line for path, want in expand_tasks(case["tasks"], prefix).items()
                         for line in check_task(path, want, run)]
                wrong.append((len(lines), lines, case))
            count, lines, case = min(wrong, key=lambda w: w[0])
            if count:
                out += [f"no case of one_of at {at!r} is what happened; the nearest differs in:"] + lines
            for path, want in expand_tasks(case["tasks"], prefix).items():
                tasks.setdefault(path, want)
            outputs = {**outputs, **case.get("outputs", {})}
    for path, want in tasks.items():
        out += check_task(path, want, run)
    out += [f"{path}: {run.tasks[path]['state']}; no such task was expected" for path in run.tasks if path not in tasks]
    out += differences(outputs, run.root_outputs(), "outputs")
    if files is not None:
        out += differences(files, run.root_files(files), "output_files")
    return out
