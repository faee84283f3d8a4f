# SPDX-License-Identifier: Apache-2.0
"""`rondo compile`: the pods of a run, on paper. They are those that a cluster gets, and all of them are valid."""

import copy
import json
import os
import shutil
import subprocess
import sys
import tempfile

import pytest
import yaml

from rondo_testing import ROOT, SHARED, Daemon, bin_dir, shell_spec

sys.path.insert(0, str(ROOT / "tests" / "support"))
kubernetes_validate = pytest.importorskip("kubernetes_validate")

import fake_kube  # noqa: E402
import fake_kubelet  # noqa: E402

os.environ["HOME"] = tempfile.mkdtemp(prefix="rondo-home-")  # the SDK reads ~/.config/kfp

VALUES = {"STRING": "text", "NUMBER_INTEGER": "3", "NUMBER_DOUBLE": "0.5", "BOOLEAN": "true", "LIST": '["a"]',
          "STRUCT": '{"a": "b"}'}
needs_cluster = pytest.mark.skipif(fake_kubelet.can_run() is not None, reason=str(fake_kubelet.can_run()))


def compile_(path, *args, code=0):
    done = subprocess.run([str(bin_dir() / "rondo"), "compile", str(path), *map(str, args)], capture_output=True,
                          text=True, timeout=120, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == code, f"{args}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Sanitizer" not in done.stderr and "runtime error" not in done.stderr, done.stderr
    return done.stdout if code == 0 else done.stderr


def documents(text):
    return [d for d in yaml.safe_load_all(text) if d is not None]


def check(document):
    kubernetes_validate.validate(document, "1.30", strict=True)


def tasks_of(text):
    return [d["metadata"]["annotations"]["rondo.dev/task-path"] for d in documents(text) if d["kind"] == "Pod"]


@pytest.fixture
def write(tmp_path):
    def make(spec, name="pipeline.yaml"):
        path = tmp_path / name
        path.write_text(spec if isinstance(spec, str) else yaml.safe_dump_all(
            spec if isinstance(spec, list) else [spec]))
        return path
    return make


@pytest.fixture
def build(tmp_path):
    """A pipeline function, compiled by the SDK."""
    compiler = pytest.importorskip("kfp.compiler")

    def make(function):
        path = tmp_path / "pipeline.yaml"
        compiler.Compiler().compile(function, str(path))
        return path
    return make


def pieces():
    from kfp import dsl

    @dsl.container_component
    def make(text: str, out: dsl.OutputPath(str)):
        return dsl.ContainerSpec(image="alpine:3.20", command=["sh", "-ec"], args=[
            'mkdir -p "$(dirname "$1")"; printf %s "$0" > "$1"', text, out])

    @dsl.container_component
    def use(text: str):
        return dsl.ContainerSpec(image="alpine:3.20", command=["echo", text])

    return dsl, make, use


# ---- all that we have ----

def corpus():
    folder = SHARED / "kfp-corpus" / "valid"
    return sorted(p for p in folder.rglob("*") if p.suffix in (".yaml", ".json")) if folder.exists() else []


def test_corpus_is_valid():
    """Every document that is printed is one that Kubernetes knows, by its own schema, strictly."""
    files = corpus()
    if not files:
        pytest.skip("../shared/kfp-corpus is not here")
    shown = 0
    for path in files:
        spec = next(d for d in yaml.safe_load_all(path.read_text()) if d and "root" in d)
        inputs = spec["root"].get("inputDefinitions", {})
        if any(not a.get("isOptional") for a in inputs.get("artifacts", {}).values()):
            continue  # a run cannot be given artifacts
        args = []
        for name, one in inputs.get("parameters", {}).items():
            if "defaultValue" not in one and not one.get("isOptional"):
                args += ["-p", f"{name}={VALUES[one['parameterType']]}"]
        text = compile_(path, *args)
        assert "will fail" not in text, f"{path}: {text}"
        for document in documents(text):
            check(document)
            shown += 1
    assert shown > 100


# ---- the same as in a cluster ----

def normal(pod):
    """Without what only a daemon knows: whose pod it is, its token, its URL."""
    pod = copy.deepcopy(pod)
    pod["metadata"].pop("namespace", None)
    pod["metadata"]["labels"].pop("rondo.dev/instance")
    main = pod["spec"]["containers"][0]
    for env in main["env"]:
        if env["name"] == "RONDO_TOKEN":
            env["value"] = "?"
    at = main["command"].index("--url") + 1
    main["command"][at] = main["command"][at].split("/internal/")[1]
    return json.dumps(pod, sort_keys=True)


@needs_cluster
def test_same_as_in_a_cluster(build):
    dsl_make_use = pytest.importorskip("kfp") and pieces()
    dsl, make, use = dsl_make_use

    @dsl.pipeline(name="both-ways")
    def both_ways(text: str = "hello", number: int = 2):
        first = make(text=text)
        first.set_cpu_limit("500m").set_memory_limit("64Mi").set_env_variable("A", "b c")
        second = use(text=first.output)
        second.set_caching_options(False)
        with dsl.If(number > 1):
            use(text="more").set_display_name("More")
        with dsl.If(number > 5):
            use(text="never")
        with dsl.If(first.output == "hello"):
            use(text="perhaps")
        with dsl.ParallelFor(["a", "b", "c"], parallelism=1) as item:
            inner = make(text=item)
            use(text=inner.output)

    path = build(both_ways)
    images = {"rondo-launcher*": fake_kube.launcher_image(bin_dir() / "rondo-launcher"), "*": {}}
    created = []
    with fake_kube.FakeKube(images) as kube:
        create = kube.cluster.create

        def record(plural, namespace, obj, query):
            if plural == "pods":
                created.append(copy.deepcopy(obj))
            return create(plural, namespace, obj, query)
        kube.cluster.create = record
        settings = {"executor": "kubernetes", "kubeconfig": kube.kubeconfig, "namespace": kube.namespace,
                    "launcher-image": "rondo-launcher:x", "step-timeout": "1h"}
        with Daemon(settings=settings) as daemon:
            run = daemon.create_run(yaml.safe_load(path.read_text()), name="the run", parameters={"number": 3})
            daemon.wait_run(run["run_id"], timeout=120)
    text = compile_(path, "-p", "number=3", "--run-id", run["run_id"], "--run-name", "the run", "--image",
                    "rondo-launcher:x", "--step-timeout", "1h")
    shown = {d["metadata"]["name"]: normal(d) for d in documents(text)}
    real = {pod["metadata"]["name"]: normal(pod) for pod in created}
    assert len(real) == 1 + 1 + 1 + 1 + 3 * 2
    assert shown == real


@needs_cluster
def test_kubectl_applies_it(build):
    pytest.importorskip("kfp")
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    dsl, make, use = pieces()

    @dsl.pipeline(name="applied")
    def applied(text: str):
        use(text=make(text=text).output)

    text = compile_(build(applied), "-p", "text=yes: \"no\" 1.0", "--namespace", "test")
    with fake_kube.FakeKube({"*": {}}) as kube:
        def kubectl(*args):
            return subprocess.run(["kubectl", "--kubeconfig", kube.kubeconfig, *args], capture_output=True, text=True,
                                  check=False, timeout=60, input=text)
        done = kubectl("apply", "--validate=false", "--dry-run=client", "-f", "-")
        assert done.stdout.count("(dry run)") == 2, done.stderr
        version = json.loads(kubectl("version", "--client", "-o", "json").stdout)["clientVersion"]
        if int(version["minor"].rstrip("+")) >= 27:
            done = kubectl("apply", "--validate=false", "--dry-run=server", "-f", "-")
            assert done.stdout.count("(server dry run)") == 2, done.stderr
        else:  # older ones ask for an OpenAPI document first; the server's own checks are what matters
            for document in documents(text):
                kube.cluster.create("pods", "test", document, {"dryRun": ["All"]})
        assert kube.pods() == []


# ---- what is shown ----

def test_deterministic_and_in_order(build):
    pytest.importorskip("kfp")
    dsl, make, use = pieces()

    @dsl.pipeline(name="ordered")
    def ordered():
        last = use(text=make(text="a").output)
        use(text="z").after(last)

    path = build(ordered)
    text = compile_(path)
    assert text == compile_(path)
    assert tasks_of(text) == ["make", "use", "use-2"]
    assert 'use: command: ["echo","{{tasks.make.outputs.out}}"]' in text
    assert "# 3 pods\n" in text


def test_conditions(build):
    pytest.importorskip("kfp")
    dsl, make, use = pieces()

    @dsl.pipeline(name="conditions")
    def conditions(number: int):
        known = make(text="x")
        with dsl.If(number == 1):
            use(text="one")
        with dsl.Else():
            inner = use(text="other")
            use(text="behind").after(inner)
        with dsl.If(known.output == "x"):
            use(text="unknown")

    path = build(conditions)
    one, two = compile_(path, "-p", "number=1"), compile_(path, "-p", "number=2")
    assert sorted(tasks_of(one)) == ["condition-4/use-4", "condition-branches-1/condition-2/use", "make"]
    assert tasks_of(one).index("make") < tasks_of(one).index("condition-4/use-4")
    assert "# condition-branches-1/condition-3: is not run: false: !(int(" in one
    assert [t for t in tasks_of(two) if "branches" in t] == [
        "condition-branches-1/condition-3/use-2", "condition-branches-1/condition-3/use-3"]
    assert "# condition-4/use-4: condition-4 runs only if inputs.parameter_values[" in two


def test_loops(build):
    pytest.importorskip("kfp")
    dsl, make, use = pieces()

    @dsl.component
    def numbers() -> list:
        return [1, 2]

    @dsl.pipeline(name="loops")
    def loops(items: list):
        with dsl.ParallelFor(items, parallelism=2) as item:
            use(text=item)
        with dsl.ParallelFor(numbers().output) as item:
            use(text=item)

    path = build(loops)
    text = compile_(path, "-p", 'items=["a", "b", "c"]')
    assert [t for t in tasks_of(text) if t != "numbers"] == [f"for-loop-1/{i}/use" for i in range(3)]
    assert "# for-loop-1: 3 iterations, at most 2 at once" in text
    assert 'for-loop-1/1/use: command: ["echo","b"]' in text
    assert "once for each item of for-loop-2, which is not known before the run" in text
    assert "# kind: Pod\n" in text and "; 1 in comments" in text
    many = f"items={json.dumps(['x'] * 150)}"
    assert len(tasks_of(compile_(path, "-p", many))) == 101
    assert "# for-loop-1: and 50 more iterations; --all shows them" in compile_(path, "-p", many)
    assert len(tasks_of(compile_(path, "-p", many, "--all"))) == 151


def test_what_is_not_known_is_a_comment(write):
    spec = shell_spec("true", inputs={"image": "alpine"})
    spec["root"]["dag"]["tasks"]["first"] = {"componentRef": {"name": "comp-first"}}
    spec["components"]["comp-first"] = {
        "executorLabel": "exec-first", "outputDefinitions": {"parameters": {"image": {"parameterType": "STRING"}}}}
    spec["deploymentSpec"]["executors"]["exec-first"] = {"container": {"image": "alpine", "command": ["true"]}}
    spec["deploymentSpec"]["executors"]["exec-main"]["container"]["image"] = "{{$.inputs.parameters['image']}}:1"
    assert documents(compile_(write(spec)))[-1]["spec"]["containers"][0]["image"] == "alpine:1"
    spec["root"]["dag"]["tasks"]["main"]["inputs"]["parameters"]["image"] = {
        "taskOutputParameter": {"producerTask": "first", "outputParameterKey": "image"}}
    text = compile_(write(spec))
    assert tasks_of(text) == ["first"]
    assert "# main: not known before the run: image: {{tasks.first.outputs.image}}:1" in text
    assert '#     image: "{{tasks.first.outputs.image}}:1"' in text


def test_volumes_and_workspace(write):
    files = {p.name: p for p in corpus()}
    if not files:
        pytest.skip("../shared/kfp-corpus is not here")
    claim, consumer = documents(compile_(files["pipeline_with_volume_long_name.yaml"]))
    assert claim["kind"] == "PersistentVolumeClaim" and claim["metadata"]["name"].endswith("-my-pvc")
    volumes = {v["persistentVolumeClaim"]["claimName"] for v in consumer["spec"]["volumes"]
               if "persistentVolumeClaim" in v}
    if volumes:  # else the daemon's pods have none either: test_same_as_in_a_cluster
        assert volumes == {claim["metadata"]["name"]}
    text = compile_(files["pipeline_with_workspace.yaml"])
    assert documents(text)[0]["kind"] == "PersistentVolumeClaim"
    assert documents(text)[0]["metadata"]["name"].endswith("-kfp-workspace")


def test_deleting_a_volume(write):
    spec = shell_spec("true", inputs={"pvc_name": "some-claim"})
    spec["deploymentSpec"]["executors"]["exec-main"]["container"] = {"image": "argostub/deletepvc"}
    text = compile_(write(spec))
    assert documents(text) == [] and "# main: deletes the PersistentVolumeClaim some-claim" in text


def test_strings_stay_strings(write):
    """What YAML could take for a number, a truth or a null is quoted; it is the same after reading."""
    for text in ("yes", "1e3", "0x1F", "null", "~", "1:30", "a: b", "- a", "#", "é\n\t\"'\\", "2026-11-23", " x ", ""):
        path = write(json.dumps(shell_spec("true", name="strings")), "strings.json")
        found = documents(compile_(path, "--run-name", text or "x", "--service-account", "sa"))[0]
        assert found["metadata"]["annotations"]["rondo.dev/run-name"] == (text or "x").replace("\t", "\t")
        assert found["spec"]["serviceAccountName"] == "sa"


def test_json(write):
    items = json.loads(compile_(write(shell_spec("true")), "-o", "json"))
    assert [i["task"] for i in items] == ["main"] and items[0]["is_applicable"]
    check(items[0]["manifest"])


def test_mistakes(write):
    path = write(shell_spec("true", inputs={"needed": None}))
    assert "parameter 'needed' (STRING) is required" in compile_(path, code=2)
    assert "did you mean 'needed'" in compile_(path, "-p", "neded=1", code=2)
    assert "expected a UUID" in compile_(path, "-p", "needed=1", "--run-id", "x", code=2)
    assert "--step-timeout" in compile_(path, "-p", "needed=1", "--step-timeout", "long", code=2)
    assert "something is missing" in compile_("--all", code=2)
