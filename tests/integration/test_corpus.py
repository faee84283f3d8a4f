# SPDX-License-Identifier: Apache-2.0
"""Every file of ../shared/kfp-corpus, carried out and compared with corpus/expected.yaml.

All run as local processes and as pods of the stand-in cluster, whose images have the SDK. With
RONDO_TEST_CORPUS=all local steps may also install the larger packages that some of them want.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import pytest
import yaml

from corpus import place, table
from corpus.happened import Happened
from rondo_testing import Daemon, ROOT, bin_dir, free_port, wait_for

sys.path.insert(0, str(ROOT / "tests" / "support"))

TABLE = table.load()
VALID, INVALID = place.files("valid"), place.files("invalid")
SECRETS = {f"test-secret-{n}": {"username": f"user{n}", "password": f"psw{n}"} for n in (1, 2, 3)}
SECRETS["test-secret-2"]["password"] = "psw1"
SECRETS["test-secret-3"]["password"] = "psw2"

pytestmark = [pytest.mark.skipif(not VALID, reason="../shared/kfp-corpus is not here"), pytest.mark.timeout(240)]


def document(name):
    """The pipeline of a file, without the platform's part."""
    text = (place.CORPUS / name).read_text()
    return next(d for d in yaml.safe_load_all(text) if d and "root" in d)


def wanted_packages():
    return sorted({p for entry in TABLE.values() for p in entry.get("packages", [])}) if place.ALL else []


def entry_for(name, *where):
    entry = TABLE[name]
    missing = set(entry.get("packages", [])) - set(place.OTHERS)
    has_none = missing and (not place.ALL or "cluster" in where)
    return table.variant(entry, *where, *(["without"] if has_none else []))


# ---- the table itself ----

def test_the_table_names_every_file():
    names = VALID + INVALID
    assert sorted(TABLE) == sorted(names)
    assert len(VALID) >= 87 and len(INVALID) >= 6


@pytest.mark.parametrize("name", INVALID)
def test_refused(local, name):
    path = place.CORPUS / name
    answer = local.call("POST", "/apis/v2beta1/pipelines/upload", None, params={"name": path.name},
                        files={"uploadfile": (path.name, path.read_bytes())})
    assert 400 <= answer.status_code < 500, answer.text
    message = answer.json()["message"]
    assert re.search(TABLE[name]["error"], message, re.DOTALL), message


# ---- as local processes ----

@pytest.fixture(scope="session")
def scratch():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="rondo-corpus-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def folders_of(root, objects):
    """Secrets or config maps as the local executor reads them: a folder each, a file for each key."""
    for name, data in objects.items():
        (root / name).mkdir(parents=True)
        for key, value in data.items():
            (root / name / key).write_text(value)
    return root


@pytest.fixture(scope="session")
def local(scratch):
    data = scratch / "data"
    data.mkdir()
    place.share_environments(data)
    environment = place.environment(scratch / "programs", wanted_packages())
    settings = {"step-env": "PYTHONPATH", "local-secrets-dir": folders_of(scratch / "secrets", SECRETS)}
    (data / "volumes" / "corpus-claim").mkdir(parents=True)
    with Daemon(data=data, env=environment, settings=settings) as daemon:
        yield daemon


def can_mount():
    done = subprocess.run(["unshare", "--mount", *(["--map-root-user"] if os.geteuid() else []), "true"], capture_output=True,
                          check=False)
    return done.returncode == 0


def upload(daemon, name):
    path = place.CORPUS / name
    return daemon.upload(path.read_text(), name, filename=path.name)["pipeline_id"]


def carry_out(daemon, name, pipeline, entry, folder, timeout=120):
    """Run it, and give the run's id when it has ended."""
    run = daemon.create_run(name=name, pipeline_version_reference={"pipeline_id": pipeline},
                            parameters=table.parameters(entry, folder))
    run_id = run["run_id"]
    if "end" in entry:
        task, text = entry["end"]["task"], entry["end"]["log"]
        wait_for(lambda: text in daemon.run_log(run_id, task), timeout, f"{text!r} in the log of {task}")
        daemon.call("POST", f"/apis/v2beta1/runs/{run_id}:terminate")
    wait_for(lambda: daemon.run(run_id)["state"] in ("SUCCEEDED", "FAILED"), timeout, f"the end of {name}")
    return run_id


def compare(daemon, name, entry, run_id):
    happened = Happened(daemon, run_id, document(name))
    lines = table.check(entry, happened)
    if lines:
        logs = "".join(f"\n-- log of {path}\n{happened.log(path)[-1500:]}" for path, task in happened.tasks.items()
                       if task["state"] == "FAILED" and task["kind"] == "container")
        pytest.fail(f"{name} (run {run_id}):\n" + "\n".join(lines) + logs, pytrace=False)
    return happened


@pytest.mark.parametrize("name", VALID)
def test_local(local, scratch, name):
    if name not in TABLE:
        pytest.fail(f"corpus/expected.yaml does not say what must happen to {name}")
    entry = entry_for(name, "local", *([] if can_mount() else ["unmounted"]))
    pipeline, folder = upload(local, name), pathlib.Path(tempfile.mkdtemp(dir=scratch))
    compare(local, name, entry, carry_out(local, name, pipeline, entry, folder))
    if "again" in entry:
        again = compare(local, name, entry, carry_out(local, name, pipeline, entry, folder))
        cached = {path for path, task in again.tasks.items() if task["state"] == "CACHED"}
        assert cached == {path for pattern in entry["again"] for path in table.expand_path(pattern)}


def test_backend_words(scratch):
    """With the words of KFP's backend the pipeline that wants COMPLETE is content."""
    name, data = "valid/critical/pipeline_with_input_status_state.yaml", scratch / "words"
    data.mkdir()
    place.share_environments(data)
    environment = place.environment(scratch / "words-programs")
    with Daemon("--backend-final-status=true", data=data, env=environment) as daemon:
        run_id = carry_out(daemon, name, upload(daemon, name), {"parameters": {}}, scratch)
        assert Happened(daemon, run_id).state == "SUCCEEDED"


# ---- as pods ----

@pytest.fixture(scope="session")
def cluster(scratch):
    pytest.importorskip("kubernetes_validate")
    import fake_kube
    import fake_kubelet
    if fake_kubelet.can_run() is not None:
        pytest.skip(fake_kubelet.can_run())
    programs = place.programs(scratch / "pod-programs")
    binds = [[str(programs), "/programs"], [str(place.PROGRAMS), str(place.PROGRAMS)],
             [str(place.site("2.15.2")), "/site"], [str(place.PROGRAMS / "python"), "/stand-ins"],
             [str(place.PROGRAMS / "image"), "/image"]]
    if not sys.base_prefix.startswith("/usr"):
        binds.append([sys.base_prefix, sys.base_prefix])
    image = {"binds": binds, "path": f"/programs:{sys.base_prefix}/bin:/usr/local/bin:/usr/bin:/bin",
             "env": {"PYTHONPATH": "/image:/site:/stand-ins", "PYTHONDONTWRITEBYTECODE": "1"}}
    with fake_kube.FakeKube({"rondo-launcher*": fake_kube.launcher_image(bin_dir() / "rondo-launcher"), "*": image}) as kube:
        secrets = {"Secret": ("secrets", SECRETS)}
        for kind, (plural, objects) in secrets.items():
            for name, data in objects.items():
                kube.cluster.put(plural, {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": kube.namespace},
                                          "stringData": data}, "ADDED")
        kube.cluster.put("persistentvolumeclaims", {
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": "corpus-claim", "namespace": kube.namespace},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}, "ADDED")
        yield kube


@pytest.fixture(scope="session")
def pods(cluster):
    with Daemon("--listen", f"127.0.0.1:{free_port()}", settings={
            "executor": "kubernetes", "kubeconfig": cluster.kubeconfig, "namespace": cluster.namespace,
            "launcher-image": "rondo-launcher:test", "max-steps": 6}) as daemon:
        yield daemon


@pytest.mark.parametrize("name", VALID)
def test_pods(pods, scratch, name):
    entry = entry_for(name, "cluster")
    compare(pods, name, entry, carry_out(pods, name, upload(pods, name), entry, pathlib.Path(tempfile.mkdtemp(dir=scratch))))
