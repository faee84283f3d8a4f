# SPDX-License-Identifier: Apache-2.0
"""python oracle_run.py FOLDER FILE PARAMETERS: carry a pipeline out with the SDK's own local runner.

A process of its own, because kfp.local has one configuration for all. Prints JSON: the outputs,
contents of output artifacts, or the error.
"""

import json
import pathlib
import sys
import warnings

warnings.simplefilter("ignore")
from kfp import components, local  # noqa: E402


def content(artifact):
    if isinstance(artifact, list):
        return [content(one) for one in artifact]
    path = pathlib.Path(artifact.path)
    if path.is_dir():
        return {str(f.relative_to(path)): f.read_text() for f in sorted(path.rglob("*")) if f.is_file()}
    return path.read_text() if path.exists() else None


def main(folder, file, parameters):
    local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=folder, raise_on_error=True)
    with open(file, encoding="utf-8") as text:
        pipeline = components.load_component_from_text(text.read().split("\n---\n")[0])
    answer = {"outputs": {}, "files": {}}
    try:
        task = pipeline(**json.loads(parameters))
        for name, value in task.outputs.items():
            is_artifact = hasattr(value, "path") or (isinstance(value, list) and value and hasattr(value[0], "path"))
            answer["files" if is_artifact else "outputs"][name] = content(value) if is_artifact else value
    except Exception as error:  # whatever it is, it is the answer
        answer = {"error": f"{type(error).__name__}: {error}"}
    print("\n" + json.dumps(answer))


if __name__ == "__main__":
    main(*sys.argv[1:])
