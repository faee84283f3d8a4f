# SPDX-License-Identifier: Apache-2.0
"""Artifacts that are lists, written by hand: what today's SDK can consume but not return."""


from rondo_testing import Daemon

DATASET = {"schemaTitle": "system.Dataset", "schemaVersion": "0.0.1"}
LIST = {"artifactType": DATASET, "isArtifactList": True}

# $0 is where executor_output.json goes, $1 the output's own path, $2 a folder elsewhere.
MAKE = """
set -e
mkdir -p "$1" "$(dirname "$0")"
echo zero > "$1/0"
echo one > "$1/1"
cat > "$0" <<END
{"artifacts": {"many": {"artifacts": [
  {"uri": "$1/0", "metadata": {"rows": 1, "bad": NaN}},
  {"uri": "$1/1", "metadata": {"rows": 2, "deep": {"a": [true]}}},
  {"uri": "s3://bucket/elsewhere"}]}}}
END
"""

# $0 is {{$}}, $1 a bare reference, $2 the first's path, $3 where the answer goes.
USE = """
set -e
mkdir -p "$(dirname "$3")"
printf '%s' "$0" > "$3.input"
python3 - "$0" "$1" "$2" "$3" <<'END'
import json, sys
given, bare, path, to = sys.argv[1:]
many = json.loads(given)["inputs"]["artifacts"]["many"]["artifacts"]
assert json.loads(bare) == many, bare
assert open(path).read() == "zero\\n"
texts = [open(a["uri"]).read().strip() if a["uri"].startswith("/") else a["uri"] for a in many]
json.dump({"texts": texts, "metadata": [a["metadata"] for a in many], "types": [a["type"] for a in many],
           "names": [a["name"] for a in many]}, open(to, "w"))
END
"""


def component(label, **definitions):
    return {"executorLabel": label, **definitions}


def spec():
    """make -> group(inner(use)): the list goes down through two pipelines, and up as a run output."""
    down = {"componentInputArtifact": "many"}
    inputs = {"inputDefinitions": {"artifacts": {"many": LIST}}}
    return {
        "schemaVersion": "2.1.0", "sdkVersion": "kfp-2.17.0", "pipelineInfo": {"name": "lists"},
        "root": {
            "outputDefinitions": {"artifacts": {"many": LIST}},
            "dag": {
                "outputs": {"artifacts": {"many": {"artifactSelectors": [
                    {"producerSubtask": "make", "outputArtifactKey": "many"}]}}},
                "tasks": {
                    "make": {"taskInfo": {"name": "make"}, "componentRef": {"name": "comp-make"}},
                    "group": {
                        "taskInfo": {"name": "group"}, "componentRef": {"name": "comp-group"},
                        "dependentTasks": ["make"], "inputs": {"artifacts": {"many": {"taskOutputArtifact": {
                            "producerTask": "make", "outputArtifactKey": "many"}}}}}}}},
        "components": {
            "comp-make": component("exec-make", outputDefinitions={"artifacts": {"many": LIST}}),
            "comp-group": {**inputs, "dag": {"tasks": {"inner": {
                "taskInfo": {"name": "inner"}, "componentRef": {"name": "comp-inner"},
                "inputs": {"artifacts": {"many": down}}}}}},
            "comp-inner": {**inputs, "dag": {"tasks": {"use": {
                "taskInfo": {"name": "use"}, "componentRef": {"name": "comp-use"},
                "inputs": {"artifacts": {"many": down}}}}}},
            "comp-use": component("exec-use", **inputs, outputDefinitions={
                "parameters": {"got": {"parameterType": "STRUCT"}}})},
        "deploymentSpec": {"executors": {
            "exec-make": {"container": {"image": "alpine", "command": ["sh", "-c", MAKE], "args": [
                "{{$.outputs.output_file}}", "{{$.outputs.artifacts['many'].path}}"]}},
            "exec-use": {"container": {"image": "alpine", "command": ["sh", "-c", USE], "args": [
                "{{$}}", "{{$.inputs.artifacts['many']}}", "{{$.inputs.artifacts['many'].path}}",
                "{{$.outputs.parameters['got'].output_file}}"]}}}},
    }


def test_lists_of_artifacts():
    with Daemon("--executor=local") as daemon:
        run = daemon.create_run(spec())["run_id"]
        daemon.wait_run(run)
        record = daemon.get(f"/apis/rondo/v1/runs/{run}")
        tasks = {task["path"]: task for task in record["tasks"]}
        got = tasks["group/inner/use"]["outputs"]["parameters"]["got"]
        assert got["texts"] == ["zero", "one", "s3://bucket/elsewhere"]
        name = {"display_name": "many"}
        assert got["metadata"] == [{"rows": 1, "bad": "NaN", **name}, {"rows": 2, "deep": {"a": [True]}, **name}, name]
        assert got["types"] == [DATASET] * 3 and got["names"] == ["many"] * 3
        made = record["outputs"]["artifacts"]["many"]
        assert len({artifact["id"] for artifact in made}) == 3
        assert [a["uri"].startswith("file:///") for a in made] == [True, True, False]
        shown = daemon.get(f"/apis/rondo/v1/runs/{run}/artifacts")["artifacts"]
        assert [a["index"] for a in shown if a["task"] == "make"] == [0, 1, 2]
        content = daemon.session.get(daemon.url + f"/apis/rondo/v1/runs/{run}/artifacts:content", params={
            "task": "make", "name": "many", "index": 1})
        assert content.text == "one\n", content.text
