# SPDX-License-Identifier: Apache-2.0
"""Pipelines whose steps write down that they ran, and the questions tests ask about that."""

import collections
import json
import subprocess

from seen import SEEN_PROGRESS

# Holding a lock while it runs tells a second one of the same step, even after a kill -9. A line
# is one small append, so lines of several steps do not mix. Kubernetes' rules make $$ of $$$$.
STEP = """
journal=$1 run=$2 task=$3 seconds=$4 artifact=$5 gate=$6
exec 9>>"$journal.$run.$task.lock"
flock -n 9 || echo "double $run $task $$$$" >>"$journal"
echo "begin $run $task $$$$" >>"$journal"
if [ -n "$artifact" ]; then
    mkdir -p "$(dirname "$artifact")"
    echo "made by $run" >"$artifact"
fi
if [ -n "$gate" ]; then
    while [ ! -e "$gate" ]; do sleep 0.05; done
fi
sleep "$seconds"
echo "end $run $task $$$$" >>"$journal"
"""


class Journal:
    def __init__(self, path):
        self.path = path

    def spec(self, name="steps", seconds=0.1, tasks=2, note=None, gate=None):
        """PipelineSpec of `tasks` steps one after the other; the first writes an artifact.
        With `note`, each step also appends the run's parameters to the journal. With `gate`, the
        path of a file, each waits until that is there before its `seconds` begin."""
        components, executors, dag = {}, {}, {}
        for number in range(1, tasks + 1):
            task = f"step-{number}"
            makes = "{{$.outputs.artifacts['data'].path}}" if number == 1 else ""
            component = {"executorLabel": f"exec-{task}"}
            if makes:
                component["outputDefinitions"] = {"artifacts": {"data": {
                    "artifactType": {"schemaTitle": "system.Dataset", "schemaVersion": "0.0.1"}}}}
            script, arguments = STEP, [
                str(self.path), "{{$.pipeline_job_uuid}}", task, str(seconds), makes, str(gate or "")]
            if note:
                script = 'echo "note $2 $3 $7" >>"$1"\n' + STEP
                component["inputDefinitions"] = {"parameters": {
                    key: {"parameterType": "STRING"} for key in note}}
                arguments.append("|".join(f"{{{{$.inputs.parameters['{key}']}}}}" for key in note))
            components[f"comp-{task}"] = component
            executors[f"exec-{task}"] = {"container": {
                "image": "alpine", "command": ["sh", "-c", script, "step"], "args": arguments}}
            dag[task] = {"taskInfo": {"name": task}, "componentRef": {"name": f"comp-{task}"}}
            if number > 1:
                dag[task]["dependentTasks"] = [f"step-{number - 1}"]
            if note:
                dag[task]["inputs"] = {"parameters": {
                    key: {"componentInputParameter": key} for key in note}}
        root = {"dag": {"tasks": dag}}
        if note:
            root["inputDefinitions"] = {"parameters": {
                key: {"parameterType": "STRING"} for key in note}}
        return {"schemaVersion": "2.1.0", "sdkVersion": "kfp-2.17.0", "pipelineInfo": {"name": name},
                "root": root, "components": components, "deploymentSpec": {"executors": executors}}

    def lines(self):
        return self.path.read_text().splitlines() if self.path.exists() else []

    def counts(self, word):
        """How often (run, task) has a line with this first word."""
        return collections.Counter(
            tuple(line.split()[1:3]) for line in self.lines() if line.split()[0] == word)

    def pids(self, run, task):
        return [int(line.split()[3]) for line in self.lines() if line.startswith(f"begin {run} {task} ")]

    def notes(self):
        """run -> values of its parameters, as the first step that ran saw them."""
        notes = {}
        for line in self.lines():
            word, run, _task, *values = line.split(" ", 3)
            if word == "note":
                notes.setdefault(run, values[0].split("|"))
        return notes


def redis_cli(socket, *args):
    """The answer as Python values."""
    done = subprocess.run(["redis-cli", "-s", str(socket), "--json", *args], capture_output=True,
                          text=True, check=True)
    return json.loads(done.stdout)


def redis_keys(socket, pattern):
    return sorted(redis_cli(socket, "KEYS", pattern))


PROGRESS = ("enabled", "generation", "index", "last_us", "anchor_us", "next_us", "updated_us")


def recurring_record(socket, ident):
    """How far a recurring run has come, as text."""
    (key,) = redis_keys(socket, f"rondo:{{*}}:rr:{ident}")
    shard = key.split(":rr:")[0]
    text, ahead, active, waiting = redis_cli(
        socket, "EVAL", SEEN_PROGRESS + '''
        local text, ahead = seen_progress(ARGV[1], ARGV[2])
        local rest = redis.call('HMGET', ARGV[1] .. 'progress', ARGV[2] .. ':active', ARGV[2] .. ':waiting')
        return {text, ahead, rest[1] or '0', rest[2] or ''}''', "0", f"{shard}:", ident)
    fields = dict(zip(PROGRESS, text.split(" ")))
    return {**fields, "active": str(int(active) - ahead), "waiting": "1" if waiting else "0"}


def record(socket, kind, ident):
    """A record by its id, whichever shard it is in, with `doc` and `history` read."""
    if kind == "rr":
        return recurring_record(socket, ident)
    (key,) = redis_keys(socket, f"rondo:{{*}}:{kind}:{ident}")
    fields = redis_cli(socket, "HGETALL", key)
    for name in ("doc", "history"):
        if name in fields:
            fields[name] = json.loads(fields[name])
    return fields


RUNS_OF = """
local out = {}
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
    local run = redis.call('HGETALL', ARGV[1] .. id)
    local fields = {}
    for i = 1, #run, 2 do
        fields[run[i]] = run[i + 1]
    end
    fields.doc = cjson.decode(fields.doc)
    fields.doc.id = id
    fields.doc.index = fields.doc.index or 0
    out[#out + 1] = fields
end
return cjson.encode(out)
"""


def runs_of(socket, recurring_run_id):
    """Its runs, oldest firing first."""
    keys = redis_keys(socket, f"rondo:{{*}}:rr:{recurring_run_id}:runs")
    if not keys:
        return []
    prefix = keys[0].split(":rr:")[0] + ":run:"
    runs = json.loads(redis_cli(socket, "EVAL", RUNS_OF, "1", keys[0], prefix))
    return sorted(runs or [], key=lambda run: run["doc"]["index"])


def check_slots(runs, slots):
    """Every slot led to exactly one run, in order."""
    assert [run["doc"]["index"] for run in runs] == list(range(1, len(runs) + 1))
    assert len({run["doc"]["id"] for run in runs}) == len(runs)
    assert [int(run["scheduled_us"]) for run in runs] == slots


def leftovers(socket):
    """Keys that must be empty when nothing is under way."""
    found = []
    for pattern in ("rondo:{*}:live", "rondo:{*}:deliveries"):
        found += redis_keys(socket, pattern)  # Redis removes a key with its last member
    for kind in ("born", "born:*", "births", "ahead", "ahead:*", "told", "told:*"):
        found += redis_keys(socket, f"rondo:{{*}}:{kind}")
    for key in redis_keys(socket, "rondo:{*}:progress"):
        found += [field for field in redis_cli(socket, "HKEYS", key) if field.endswith(":active")]
    for key in redis_keys(socket, "rondo:{*}:events"):
        cursor = redis_cli(socket, "GET", key + "_cursor") or "0-0"
        if redis_cli(socket, "XRANGE", key, f"({cursor}", "+"):
            found.append(key)
    return found
