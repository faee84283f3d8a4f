# SPDX-License-Identifier: Apache-2.0
"""Pipelines of any size for the benchmarks, as the SDK would compile them."""

import json
import sys

TASKS = (1000, 3000, 6000)


def whole(name, tasks, components, executors):
    return {"components": components, "deploymentSpec": {"executors": executors},
            "pipelineInfo": {"name": name}, "root": {"dag": {"tasks": tasks}},
            "schemaVersion": "2.1.0", "sdkVersion": "kfp-2.17.3"}


def container(command):
    return {"container": {"image": "alpine:3.20", "command": command}}


def task(name, component, after=(), **fields):
    return {"cachingOptions": {}, "componentRef": {"name": component}, "taskInfo": {"name": name},
            **({"dependentTasks": list(after)} if after else {}), **fields}


def wide(count):
    """Tasks that wait for nothing."""
    tasks = {f"t{n}": task(f"t{n}", "comp") for n in range(count)}
    return whole("wide", tasks, {"comp": {"executorLabel": "exec"}}, {"exec": container(["true"])})


def chain(count):
    """Tasks that wait for the one before."""
    tasks = {f"t{n}": task(f"t{n}", "comp", [f"t{n - 1}"] if n else []) for n in range(count)}
    return whole("chain", tasks, {"comp": {"executorLabel": "exec"}}, {"exec": container(["true"])})


def loop(count, limit, command=("true",)):
    """dsl.ParallelFor over so many numbers, one task in it that gets the number."""
    number = {"inputDefinitions": {"parameters": {"item": {"parameterType": "NUMBER_INTEGER"}}}}
    each = task("each", "comp", inputs={"parameters": {"item": {"componentInputParameter": "item"}}})
    components = {"comp": {"executorLabel": "exec", **number},
                  "comp-for": {"dag": {"tasks": {"each": each}}, **number}}
    tasks = {"for": {"componentRef": {"name": "comp-for"}, "taskInfo": {"name": "for"},
                     "iteratorPolicy": {"parallelismLimit": limit},
                     "parameterIterator": {"itemInput": "item", "items": {
                         "raw": json.dumps(list(range(count)))}}}}
    return whole("loop", tasks, components, {"exec": container(list(command))})


def layers(count, source_bytes=0):
    """A DAG whose tasks pass a text on, each from three of those before, each with a component of its
    own as the SDK writes it, and a Python source of so many bytes."""
    tasks, components, executors = {}, {}, {}
    text = {"parameterType": "STRING"}
    line = "    total = total + len(str(a)) * 31  # one of many lines\n"
    source = "\nimport kfp\nfrom kfp import dsl\nfrom kfp.dsl import *\n\ndef step(a: str) -> str:\n"
    source += line * (source_bytes // len(line))
    for n in range(count):
        before = sorted({n * 7 // 8, n // 2, n - 1} - {n, -1})
        names = ("a", "b", "c")[:len(before)]
        components[f"comp-{n}"] = {
            "executorLabel": f"exec-{n}", "outputDefinitions": {"parameters": {"Output": text}}}
        if before:
            components[f"comp-{n}"]["inputDefinitions"] = {"parameters": {name: text for name in names}}
        inputs = {name: {"taskOutputParameter": {"outputParameterKey": "Output", "producerTask": f"step-{k}"}}
                  for name, k in zip(names, before)}
        tasks[f"step-{n}"] = task(f"step-{n}", f"comp-{n}", [f"step-{k}" for k in before],
                                  **({"inputs": {"parameters": inputs}} if inputs else {}))
        command = ["sh", "-ec", 'python3 -m kfp.dsl.executor_main --component_module_path "$0" "$@"', source]
        executors[f"exec-{n}"] = {"container": {
            "image": "python:3.11", "command": command if source_bytes else command[:3],
            "args": ["--executor_input", "{{$}}", "--function_to_execute", "step"]}}
    return whole("layers", tasks, components, executors)


def write(folder):
    """The files that are compiled, as text as the SDK writes it: needs PyYAML."""
    import yaml  # pylint: disable=import-outside-toplevel

    for name, spec in [(f"tasks-{n}", layers(n)) for n in TASKS] + [("5mb", layers(1000, 3200))]:
        with open(f"{folder}/{name}.yaml", "w", encoding="utf-8") as file:
            yaml.dump(spec, file, Dumper=yaml.CSafeDumper, sort_keys=True)


if __name__ == "__main__":
    write(sys.argv[1])
