# SPDX-License-Identifier: Apache-2.0
"""The SDK's own local runner on the corpus: what it gives must be what corpus/expected.yaml says, and
so what rondo gives; where it is not, the table has the reason (`oracle: {differs: why}`)."""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import pytest
import yaml

from corpus import place, table

pytest.importorskip("kfp")

TABLE = table.load()
ORACLE = pathlib.Path(__file__).with_name("oracle_run.py")


def is_python_only(name):
    """It runs nothing but Python components."""
    spec = next(d for d in yaml.safe_load_all((place.CORPUS / name).read_text()) if d and "root" in d)
    return all("importer" in e or "ephemeral_component" in json.dumps(e) for e in spec["deploymentSpec"]["executors"].values())


FILES = [name for name in place.files("valid") if name in TABLE and "cannot" not in TABLE[name].get("oracle", {})
         and is_python_only(name)]


@pytest.mark.timeout(280)
@pytest.mark.parametrize("name", FILES)
def test_kfp_local_says_the_same(name):
    entry = TABLE[name]
    with tempfile.TemporaryDirectory(prefix="rondo-oracle-") as folder:
        given = table.parameters(entry, pathlib.Path(folder))
        # The runner calls pip in this very environment, which must not change: programs/image has one that does nothing.
        environment = {**os.environ, "PYTHONPATH": str(place.PROGRAMS / "image"), "PIP_NO_INDEX": "1",
                       "PIP_REQUIRE_VIRTUALENV": "1", "PATH": f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"}
        done = subprocess.run([sys.executable, str(ORACLE), folder, str(place.CORPUS / name), json.dumps(given)], cwd=folder,
                              env=environment, capture_output=True, text=True, check=False, timeout=270)
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout.strip().splitlines()[-1])
    lines = compare(entry, said)
    reason = entry.get("oracle", {}).get("differs")
    if reason is None:
        assert not lines, "\n".join(lines) + "\n" + done.stdout[-2000:]
    else:
        assert lines, f"kfp.local agrees now: take `differs: {reason}` out of the table"


def compare(entry, said):
    ends = "FAILED" if "error" in said else "SUCCEEDED"
    if ends != entry.get("run", "SUCCEEDED"):
        return [f"it {ends}: {re.sub(chr(27) + '.[0-9]*m', '', said.get('error', ''))}; expected {entry.get('run', 'SUCCEEDED')}"]
    if ends == "FAILED":
        return []
    cases = [c.get("outputs", {}) for group in entry.get("one_of", []) for c in group["cases"] if "at" not in group] or [{}]
    wrong = [table.differences({**entry.get("outputs", {}), **case}, said["outputs"], "outputs") for case in cases]
    return min(wrong, key=len) + table.differences(entry.get("output_files", {}), said["files"], "output_files")
