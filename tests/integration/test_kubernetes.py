# SPDX-License-Identifier: Apache-2.0
"""Steps as pods, against the stand-in cluster (tests/support/fake_kube.py).

With RONDO_TEST_KUBECONFIG the same tests use that cluster instead, without those that need
switches for things to go wrong; see contrib/docs/kubernetes.md.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import uuid

import pytest
import requests

from rondo_testing import Daemon, ROOT, Receiver, Redis, bin_dir, free_port, shell_spec, wait_for

sys.path.insert(0, str(ROOT / "tests" / "support"))
kubernetes_validate = pytest.importorskip("kubernetes_validate")

import fake_kube  # noqa: E402
import fake_kubelet  # noqa: E402

REAL = os.environ.get("RONDO_TEST_KUBECONFIG")
IMAGE = os.environ.get("RONDO_TEST_IMAGE", "alpine:3.20")
LAUNCHER_IMAGE = os.environ.get("RONDO_TEST_LAUNCHER_IMAGE", "rondo-launcher:test")

pytestmark = [
    pytest.mark.skipif(not REAL and fake_kubelet.can_run() is not None, reason=str(fake_kubelet.can_run())),
    pytest.mark.timeout(240),
]
needs_switches = pytest.mark.skipif(bool(REAL), reason="needs the stand-in's switches")


class RealCluster:
    """What the tests look at, by kubectl. Everything that they make is in one namespace."""

    def __init__(self):
        self.kubeconfig = pathlib.Path(REAL)
        self.namespace = os.environ.get("RONDO_TEST_NAMESPACE", "default")

    def kubectl(self, *args):
        return subprocess.run(["kubectl", "--kubeconfig", REAL, "-n", self.namespace, *args], check=True,
                              capture_output=True, text=True).stdout

    def pods(self):
        return json.loads(self.kubectl("get", "pods", "-l", "app.kubernetes.io/managed-by=rondo", "-o", "json"))["items"]

    def close(self):
        pass


def make_cluster(**kwargs):
    if REAL:
        return RealCluster()
    images = {"rondo-launcher*": fake_kube.launcher_image(bin_dir() / "rondo-launcher"), "missing*": None, "*": {}}
    return fake_kube.FakeKube({k: v for k, v in images.items() if v is not None}, **kwargs)


@pytest.fixture
def kube():
    with contextlib.closing(make_cluster()) as cluster:
        yield cluster


def make_daemon(kube, **settings):
    """At a port that stays over restarts: pods come back to it."""
    port = free_port()
    args, host = [], "127.0.0.1"
    if REAL:
        host = os.environ["RONDO_TEST_HOST"]  # how the cluster's pods reach this machine
        args = ["--insecure", "true", "--internal-url", f"http://{host}:{port}"]
    return Daemon("--listen", f"{host}:{port}", *args, settings={
        "executor": "kubernetes", "kubeconfig": kube.kubeconfig, "namespace": kube.namespace,
        "launcher-image": LAUNCHER_IMAGE, "service-account": "default" if REAL else "pipeline-runner",
        "log-level": "debug", **settings})


@pytest.fixture
def daemon(kube):
    with make_daemon(kube) as one:
        yield one


def no_pods(kube):
    return wait_for(lambda: not kube.pods(), 60, "the removal of all pods")


def only_pod(kube, phase="Running"):
    def look():
        pods = [p for p in kube.pods() if p["status"]["phase"] == phase]
        return pods[0] if len(pods) == 1 else None
    return wait_for(look, 60, f"one pod that is {phase}")


def sh(script, name="hello", **kwargs):
    return shell_spec(script, name=name, image=IMAGE, **kwargs)


def artifact_spec(write, read):
    """Task `make` writes artifact `data` by a script ($0 is its path), task `use` reads it."""
    kind = {"artifactType": {"schemaTitle": "system.Dataset", "schemaVersion": "0.0.1"}}
    return {
        "schemaVersion": "2.1.0", "sdkVersion": "kfp-2.17.0", "pipelineInfo": {"name": "artifacts"},
        "root": {"dag": {"tasks": {
            "make": {"taskInfo": {"name": "make"}, "componentRef": {"name": "comp-make"}},
            "use": {"taskInfo": {"name": "use"}, "componentRef": {"name": "comp-use"}, "dependentTasks": ["make"],
                    "inputs": {"artifacts": {"data": {"taskOutputArtifact": {
                        "producerTask": "make", "outputArtifactKey": "data"}}}}}}}},
        "components": {
            "comp-make": {"executorLabel": "exec-make", "outputDefinitions": {"artifacts": {"data": kind}}},
            "comp-use": {"executorLabel": "exec-use", "inputDefinitions": {"artifacts": {"data": kind}},
                         "outputDefinitions": {"parameters": {"out": {"parameterType": "STRING"}}}}},
        "deploymentSpec": {"executors": {
            "exec-make": {"container": {"image": IMAGE, "command": [
                "sh", "-ec", write, "{{$.outputs.artifacts['data'].path}}"]}},
            "exec-use": {"container": {"image": IMAGE, "command": [
                "sh", "-ec", read, "{{$.inputs.artifacts['data'].path}}",
                "{{$.outputs.parameters['out'].output_file}}"]}}}},
    }


def output_of(daemon, run, task="use", name="out"):
    return daemon.tasks(run["run_id"])[task]["outputs"]["parameters"][name]


# ---- the stand-in itself, by other people's clients ----

@needs_switches
@pytest.mark.parametrize("auth,tls", [("token", True), ("cert", True), ("none", False)])
def test_stand_in_takes_kubectl_and_python_client(auth, tls):
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    with fake_kube.FakeKube({"*": {}}, auth=auth, tls=tls) as kube:
        def kubectl(*args, **kwargs):
            return subprocess.run(["kubectl", "--kubeconfig", kube.kubeconfig, *args], capture_output=True, text=True,
                                  check=False, timeout=60, **kwargs)
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one", "labels": {"app": "x"}},
               "spec": {"restartPolicy": "Never", "containers": [
                   {"name": "main", "image": "alpine:3", "command": ["sh", "-c", "sleep 0.5; echo hi; exit 3"]}]}}
        text = json.dumps(pod)
        version = json.loads(kubectl("version", "--client", "-o", "json").stdout)["clientVersion"]
        if int(version["minor"].rstrip("+")) >= 27:  # older ones ask for an OpenAPI document in protobuf before
            assert "created (server dry run)" in kubectl(
                "apply", "--validate=false", "--dry-run=server", "-f", "-", input=text).stdout
        made = kubectl("apply", "--validate=false", "-f", "-", input=text)
        assert "pod/one created" in made.stdout, made.stderr
        wait_for(lambda: kubectl("get", "pod", "one", "-o", "jsonpath={.status.phase}").stdout == "Failed", 60, "its end")
        assert kubectl("logs", "one").stdout == "hi\n"
        assert "Exit Code:    3" in kubectl("describe", "pod", "one").stdout
        assert "one" in kubectl("get", "pods", "-l", "app in (x, y)").stdout
        again = kubectl("create", "--validate=false", "-f", "-", input=text)
        assert "AlreadyExists" in again.stderr
        assert 'pod "one" deleted' in kubectl("delete", "pod", "one").stdout

        from kubernetes import client, config, watch
        with warnings_off():
            api = client.CoreV1Api(config.new_client_from_config(str(kube.kubeconfig)))
        seen = []
        api.create_namespaced_pod("test", {**pod, "metadata": {"name": "two"}})
        for event in watch.Watch().stream(api.list_namespaced_pod, "test", timeout_seconds=60):
            seen.append((event["type"], event["object"].status.phase))
            if event["object"].status.phase == "Failed":
                break
        assert seen[0][0] == "ADDED" and seen[-1] == ("MODIFIED", "Failed")
        assert api.read_namespaced_pod_log("two", "test") == "hi\n"
        with pytest.raises(client.ApiException) as refused:
            api.create_namespaced_pod("test", {**pod, "metadata": {"name": "No Good"}})
        assert refused.value.status == 422
        api.delete_namespaced_pod("two", "test")
        wait_for(lambda: not api.list_namespaced_pod("test").items, 60, "its removal")


@contextlib.contextmanager
def warnings_off():
    import warnings
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


REFUSED = [
    ("unknown field", 400, 'unknown field "spec.containers.0.imagee"', lambda p: p["spec"]["containers"][0].update(imagee="x")),
    ("no image", 422, "spec.containers[0].image", lambda p: p["spec"]["containers"][0].pop("image")),
    ("no containers", 422, "spec.containers", lambda p: p["spec"].update(containers=[])),
    ("bad name", 422, "RFC 1123", lambda p: p["metadata"].update(name="A_b")),
    ("bad label", 422, "valid label", lambda p: p["metadata"].update(labels={"a": "b/c"})),
    ("long label", 422, "valid label", lambda p: p["metadata"].update(labels={"a": "b" * 64})),
    ("bad quantity", 400, "quantities must match", lambda p: p["spec"]["containers"][0].update(
        resources={"limits": {"cpu": "two"}})),
    ("request above limit", 422, "less than or equal to", lambda p: p["spec"]["containers"][0].update(
        resources={"limits": {"cpu": "1"}, "requests": {"cpu": "2"}})),
    ("mount without volume", 422, "Not found", lambda p: p["spec"]["containers"][0].update(
        volumeMounts=[{"name": "nope", "mountPath": "/x"}])),
    ("bad variable", 422, "environment variable", lambda p: p["spec"]["containers"][0].update(env=[{"name": "a b"}])),
    ("unknown account", 403, "serviceaccount", lambda p: p["spec"].update(serviceAccountName="nobody")),
    ("wrong kind of member", 400, "cannot be handled", lambda p: p["spec"].update(containers="x")),
]


@pytest.fixture(scope="module")
def plain_kube():
    with fake_kube.FakeKube({"*": {}}, auth="none", tls=False) as kube:
        yield kube


@needs_switches
@pytest.mark.parametrize("status,words,change", [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_stand_in_refuses(plain_kube, status, words, change):
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one"},
           "spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "a", "command": ["true"]}]}}
    change(pod)
    answer = requests.post(f"{plain_kube.url}/api/v1/namespaces/test/pods?fieldValidation=Strict", json=pod, timeout=60)
    assert answer.status_code == status, answer.text
    assert words in answer.json()["message"]


# ---- steps as pods ----

def test_events_name_the_namespace(kube):
    with Receiver() as receiver, make_daemon(kube, **{"webhook-allow": "127.0.0.1"}) as daemon:
        daemon.post("/apis/rondo/v1/subscriptions", {"url": receiver.url, "namespaces": [kube.namespace]})
        daemon.post("/apis/rondo/v1/subscriptions", {"url": receiver.url, "namespaces": ["elsewhere"]})
        run = daemon.create_run(sh("echo hello"))
        daemon.wait_run(run["run_id"])
        receiver.wait_events(1, "run.finished")
        told = receiver.events()
        assert {e["data"]["namespace"] for e in told} == {kube.namespace}
        assert len(told) == len({(e["type"], e["timestamp"]) for e in told})


def test_step_runs_in_a_pod(kube, daemon):
    script = 'echo "Hello, $0"; printf "%s!" "$0" > "$1"; echo $KFP_POD_NAME'
    spec = sh(script, inputs={"who": None}, outputs=["greeting"])
    command = spec["deploymentSpec"]["executors"]["exec-main"]["container"]["command"]
    command += ["{{$.inputs.parameters['who']}}", "{{$.outputs.parameters['greeting'].output_file}}"]
    run = daemon.create_run(spec, parameters={"who": "Ada Lovelace"})
    daemon.wait_run(run["run_id"])
    assert output_of(daemon, run, "main", "greeting") == "Ada Lovelace!"
    no_pods(kube)
    log = daemon.run_log(run["run_id"], "main")  # kept, although the pod is gone
    assert log.startswith("Hello, Ada Lovelace\nrondo-"), log


def test_manifest_is_valid(kube, daemon):
    spec = sh("sleep 60")
    container = spec["deploymentSpec"]["executors"]["exec-main"]["container"]
    container["resources"] = {"cpuLimit": 2.0, "memoryLimit": 0.5, "resourceCpuRequest": "250m"}
    run = daemon.create_run(spec, name="a name / with signs")
    pod = only_pod(kube)
    assert len(pod["metadata"]["name"]) <= 63
    bare = {"apiVersion": "v1", "kind": "Pod",
            "metadata": {k: pod["metadata"][k] for k in ("name", "labels", "annotations")}, "spec": dict(pod["spec"])}
    for version in ("1.28", "1.32"):
        kubernetes_validate.validate(bare, version, strict=True)
    labels = pod["metadata"]["labels"]
    assert labels["rondo.dev/run-id"] == run["run_id"] and labels["rondo.dev/attempt"] == "0"
    main = pod["spec"]["containers"][0]
    assert main["name"] == "main" and main["image"] == IMAGE
    assert main["resources"] == {"limits": {"cpu": "2", "memory": "0.5G"}, "requests": {"cpu": "250m"}} or REAL
    for container in [main, pod["spec"]["initContainers"][0]]:
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False and security["capabilities"] == {"drop": ["ALL"]}
    daemon.call("POST", f"/apis/v2beta1/runs/{run['run_id']}:terminate")
    no_pods(kube)


def check_pod(pod):
    """Exactly as Kubernetes has it, in the oldest and the newest version that we know."""
    bare = {"apiVersion": "v1", "kind": "Pod", "metadata": {k: pod["metadata"][k] for k in ("name", "labels", "annotations")},
            "spec": dict(pod["spec"])}
    for version in ("1.29", "1.32"):
        kubernetes_validate.validate(bare, version, strict=True)


def put(kube, plural, kind, name, **parts):
    kube.cluster.put(plural, {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": kube.namespace}, **parts}, "ADDED")


def with_platform(spec, config):
    """The pipeline with the Kubernetes settings of its only executor."""
    return {"pipeline_spec": spec, "platform_spec": {"platforms": {"kubernetes": {"deploymentSpec": {"executors": {"exec-main": config}}}}}}


SETTINGS = {
    "secretAsEnv": [{"secretNameParameter": {"componentInputParameter": "secret"},
                     "keyToEnv": [{"secretKey": "word", "envVar": "WORD"}]}],
    "configMapAsEnv": [{"configMapName": "not.there", "optional": True, "keyToEnv": [{"configMapKey": "k", "envVar": "ABSENT"}]}],
    "configMapAsVolume": [{"configMapName": "words.of.all", "mountPath": "/words"}],
    "secretAsVolume": [{"secretName": "words", "mountPath": "/keys"}],
    "fieldPathAsEnv": [{"name": "TEAM", "fieldPath": "metadata.labels['team']"}],
    "pvcMount": [{"constant": "shared", "mountPath": "/shared"}, {"constant": "shared", "mountPath": "/part", "subPath": "part"}],
    "emptyDirMounts": [{"volumeName": "scratch", "mountPath": "/scratch", "sizeLimit": "1Gi"}],
    "enabledSharedMemory": {"volumeName": "memory", "size": "64Mi"},
    "initContainers": [
        {"name": "before", "image": IMAGE, "command": ["sh", "-c", 'echo "from $WHO" > /here/init'], "env": [{"name": "WHO", "value": "init"}],
         "volumeMounts": [{"volumeName": "scratch", "mountPath": "/here"}], "resources": {"limits": {"memory": "64Mi"}}},
        {"name": "beside", "image": IMAGE, "command": ["sh", "-c", "exec sleep 600"], "restartPolicy": "Always"}],
    "nodeSelector": {"nodeSelectorJson": {"runtimeValue": {"constant": {"pool": "any"}}}},
    "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
                    {"tolerationJson": {"runtimeValue": {"constant": [{"key": "a", "value": "b", "effect": "NoExecute", "tolerationSeconds": 30}]}}}],
    "nodeAffinity": [{"matchExpressions": [{"key": "arch", "operator": "In", "values": ["amd64", "arm64"]}]},
                     {"matchExpressions": [{"key": "zone", "operator": "Exists"}], "weight": 5}],
    "podAffinity": [{"matchPodLabels": {"app": "db"}, "topologyKey": "kubernetes.io/hostname", "anti": True}],
    "imagePullSecret": [{"secretName": "registry"}], "imagePullPolicy": "IfNotPresent",
    "podMetadata": {"labels": {"team": "red", "rondo.dev/run-id": "mine"}, "annotations": {"note": "any text"}},
    "securityContext": {"runAsUser": 1234, "runAsGroup": 4321, "runAsNonRoot": True},
    "genericEphemeralVolume": [{"volumeName": "big", "mountPath": "/big", "accessModes": ["ReadWriteOnce"], "size": "1Gi",
                                "defaultStorageClass": True, "metadata": {"labels": {"a": "b"}}}],
    "activeDeadlineSeconds": 600,
}


@needs_switches
def test_settings_of_a_task(kube, daemon):
    """Every field of the platform document: the pod is valid, and the program finds what was asked for."""
    put(kube, "secrets", "Secret", "words", data={"word": "c2VzYW1l"})
    put(kube, "configmaps", "ConfigMap", "words.of.all", data={"hello": "hi"})
    put(kube, "persistentvolumeclaims", "PersistentVolumeClaim", "shared",
        spec={"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}})
    script = """set -e
        echo "$WORD ${ABSENT-unset} $TEAM $(cat /words/hello) $(cat /keys/word) $(cat /scratch/init) $(id -u):$(id -g)"
        echo kept > /part/file; cat /shared/part/file; touch /dev/shm/x /big/x
        until [ -e /scratch/go ]; do sleep 0.1; done"""
    spec = sh(script)
    spec["root"]["inputDefinitions"] = {"parameters": {"secret": {"parameterType": "STRING"}}}
    run = daemon.create_run(with_platform(spec, SETTINGS), parameters={"secret": "words"})
    pod = only_pod(kube)
    check_pod(pod)
    parts, main = pod["spec"], pod["spec"]["containers"][0]
    assert pod["metadata"]["labels"]["rondo.dev/run-id"] == run["run_id"] and pod["metadata"]["labels"]["team"] == "red"
    assert parts["nodeSelector"] == {"pool": "any"} and len(parts["tolerations"]) == 2 and parts["imagePullSecrets"] == [{"name": "registry"}]
    assert set(parts["affinity"]) == {"nodeAffinity", "podAntiAffinity"}
    assert [c["name"] for c in parts["initContainers"]] == ["rondo-launcher", "before", "beside"]
    for container in [main, *parts["initContainers"]]:
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert (main["securityContext"]["runAsUser"], main["securityContext"]["runAsGroup"]) == (1234, 4321)
    names = [v["name"] for v in parts["volumes"]]
    assert names.count("shared") == 1 and len(set(names)) == len(names) and all(len(n) <= 63 and "." not in n for n in names)
    scratch = next(kube.cluster.kubelet.folder.glob("*/volumes/scratch"))
    (scratch / "go").touch()
    daemon.wait_run(run["run_id"])
    no_pods(kube)
    assert daemon.run_log(run["run_id"], "main").splitlines()[:2] == ["sesame unset red hi sesame from init 1234:4321", "kept"]


def test_task_has_a_time_limit(kube, daemon):
    run = daemon.create_run(with_platform(sh("sleep 600"), {"activeDeadlineSeconds": 1}))
    daemon.wait_run(run["run_id"], "FAILED")
    assert "it ran longer than 1 s" in daemon.tasks(run["run_id"])["main"]["error"]
    no_pods(kube)


@needs_switches
@pytest.mark.parametrize("config,words", [
    ({"initContainers": [{"name": "before", "image": IMAGE, "command": ["sh", "-c", "exit 5"]}]}, "init container before ended with exit code 5"),
    ({"pvcMount": [{"pvcNameParameter": {"componentInputParameter": "none"}, "mountPath": "/a"}]}, "pvcMount[0]"),
    ({"tolerations": [{"tolerationJson": {"runtimeValue": {"constant": {"kay": "a"}}}}]}, "kay: Kubernetes has no such field here"),
], ids=["init container", "claim without a name", "toleration"])
def test_settings_that_fail(kube, daemon, config, words):
    spec = sh("echo hello")
    spec["root"]["inputDefinitions"] = {"parameters": {"none": {"parameterType": "STRING", "isOptional": True}}}
    run = daemon.create_run(with_platform(spec, config))
    daemon.wait_run(run["run_id"], "FAILED")
    assert words in daemon.tasks(run["run_id"])["main"]["error"]
    no_pods(kube)


def test_settings_of_the_sdk(kube, daemon):
    """Every call of kfp.kubernetes, with constants, parameters, outputs and f-strings, within and without a loop."""
    kubernetes = pytest.importorskip("kfp.kubernetes")
    if REAL:
        pytest.skip("needs the stand-in's objects")
    from kfp import compiler, dsl

    @dsl.container_component
    def name(out: dsl.OutputPath(str)):
        return dsl.ContainerSpec(image=IMAGE, command=["sh", "-c", 'mkdir -p "$(dirname "$0")"; printf words > "$0"', out])

    @dsl.container_component
    def use(n: int):
        return dsl.ContainerSpec(image=IMAGE, command=["sh", "-c", "echo $A $B $C $(cat /m/word /c/k) $TEAM"])

    def set_all(task, secret, team, made, selector, affinity, tolerations):
        kubernetes.use_secret_as_env(task, secret_name="words", secret_key_to_env={"word": "A"})
        kubernetes.use_secret_as_env(task, secret_name=secret, secret_key_to_env={"word": "B"}, optional=True)
        kubernetes.use_secret_as_volume(task, secret_name=made, mount_path="/m")
        kubernetes.use_config_map_as_env(task, config_map_name="conf", config_map_key_to_env={"k": "C"})
        kubernetes.use_config_map_as_volume(task, config_map_name="conf", mount_path="/c")
        kubernetes.mount_pvc(task, pvc_name="shared", mount_path="/shared", sub_path="part")
        kubernetes.empty_dir_mount(task, volume_name="scratch", mount_path="/scratch", medium="Memory", size_limit="1Mi")
        kubernetes.add_ephemeral_volume(task, volume_name="big", mount_path="/big", access_modes=["ReadWriteOnce"], size="1Gi")
        kubernetes.add_node_selector(task, "disk", "ssd")
        kubernetes.add_node_selector_json(task, selector)
        kubernetes.add_node_affinity(task, match_expressions=[{"key": "a", "operator": "In", "values": ["b"]}], weight=3)
        kubernetes.add_node_affinity_json(task, affinity)
        kubernetes.add_toleration(task, key="k", operator="Equal", value="v", effect="NoSchedule")
        kubernetes.add_toleration_json(task, tolerations)
        kubernetes.add_pod_label(task, "team", "red")
        kubernetes.add_pod_annotation(task, "note", "x")
        kubernetes.use_field_path_as_env(task, "TEAM", "metadata.labels['team']")
        kubernetes.set_image_pull_policy(task, "IfNotPresent")
        kubernetes.set_image_pull_secrets(task, ["registry"])
        kubernetes.set_security_context(task, run_as_user=1000, run_as_group=1000, run_as_non_root=True)
        kubernetes.set_timeout(task, 300)

    @dsl.pipeline(name="sdk-settings")
    def pipeline(secret: str = "words", team: str = "wor", selector: dict = {"pool": "a"}, affinity: dict = {},
                 tolerations: list = [{"key": "z", "operator": "Exists"}]):
        made = name()
        task = use(n=0)
        set_all(task, f"{team}ds", team, made.outputs["out"], selector, affinity, tolerations)
        with dsl.ParallelFor([1, 2]) as item:
            inner = use(n=item)
            set_all(inner, secret, team, made.outputs["out"], selector, affinity, tolerations)

    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "p.yaml"
        compiler.Compiler().compile(pipeline, str(path))
        text = path.read_text()
    put(kube, "secrets", "Secret", "words", data={"word": "c2VzYW1l"})
    put(kube, "configmaps", "ConfigMap", "conf", data={"k": "v"})
    put(kube, "persistentvolumeclaims", "PersistentVolumeClaim", "shared",
        spec={"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}})
    seen, create = {}, kube.cluster.create

    def record(plural, *args):
        made = create(plural, *args)
        if plural == "pods":
            seen[made["metadata"]["name"]] = json.loads(json.dumps(made))
        return made
    kube.cluster.create = record
    version = daemon.upload(text, "settings")
    run = daemon.create_run(name="settings", pipeline_version_reference={"pipeline_id": version["pipeline_id"]},
                            parameters={"affinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
                                "nodeSelectorTerms": [{"matchExpressions": [{"key": "c", "operator": "Exists"}]}]}}})
    daemon.wait_run(run["run_id"])
    users = [p for p in seen.values() if p["metadata"]["labels"].get("team") == "red"]
    assert len(users) == 3, sorted(seen)
    for pod in users:
        check_pod(pod)
        assert pod["spec"]["nodeSelector"] == {"pool": "a"}
        assert [t["key"] for t in pod["spec"]["tolerations"]] == ["k", "z"]
        assert set(pod["spec"]["affinity"]["nodeAffinity"]) == {
            "requiredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution"}
    no_pods(kube)


def volume_text(claim_name=None, delete=None):
    """A claim that two steps share; or one that is only deleted."""
    kubernetes = pytest.importorskip("kfp.kubernetes")
    from kfp import compiler, dsl

    @dsl.container_component
    def shell(script: str):
        return dsl.ContainerSpec(image=IMAGE, command=["sh", "-ec", script])

    @dsl.pipeline(name="volumes")
    def pipeline():
        if delete:
            kubernetes.DeletePVC(pvc_name=delete)
            return
        kwargs = {"pvc_name": claim_name} if claim_name else {"pvc_name_suffix": "-of-the.pipeline"}
        made = kubernetes.CreatePVC(access_modes=["ReadWriteOnce"], size="1Gi", storage_class_name="standard", **kwargs)
        write = shell(script="echo shared > /data/file").set_display_name("write")
        kubernetes.mount_pvc(write, pvc_name=made.outputs["name"], mount_path="/data")
        read = shell(script="sleep 1; cat /data/file").after(write)
        kubernetes.mount_pvc(read, pvc_name=made.outputs["name"], mount_path="/data")
        kubernetes.DeletePVC(pvc_name=made.outputs["name"]).after(read)

    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "p.yaml"
        compiler.Compiler().compile(pipeline, str(path))
        return path.read_text()


def run_text(daemon, text):
    pipeline_id = daemon.upload(text, "volumes")["pipeline_id"]
    return daemon.create_run(name="volumes", pipeline_version_reference={"pipeline_id": pipeline_id})


def claims(kube):
    with kube.cluster.lock:
        return [json.loads(json.dumps(c)) for c in kube.cluster.objects["persistentvolumeclaims"].values()]


@needs_switches
def test_volume_of_a_pipeline(kube, daemon):
    kube.fail_creates(1, 500)
    kube.fail_creates(1, 429)
    kube.fail_creates(1, 403, 'persistentvolumeclaims "x" is forbidden: exceeded quota: q')
    run = run_text(daemon, volume_text())
    claim = wait_for(lambda: claims(kube), 60, "the claim")[0]
    bare = {"apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {k: claim["metadata"][k] for k in ("name", "labels")}, "spec": claim["spec"]}
    kubernetes_validate.validate(bare, "1.32", strict=True)
    assert claim["metadata"]["name"].endswith("-of-the.pipeline")
    assert claim["metadata"]["labels"]["rondo.dev/run-id"] == run["run_id"]
    assert claim["spec"] == {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "standard"}
    daemon.wait_run(run["run_id"])
    assert daemon.run_log(run["run_id"], "shell-2") == "shared\n"
    assert claims(kube) == [] and len(kube.created()) == 2


@needs_switches
@pytest.mark.parametrize("fault", ["pods.claim.create.after", "pods.claim.delete.after"])
def test_volume_killed_at(kube, fault):
    with make_daemon(kube) as daemon:
        daemon.restart(env={"RONDO_FAULT": fault})
        run = None
        with contextlib.suppress(requests.RequestException, AssertionError):
            run = run_text(daemon, volume_text())
        assert daemon.process.wait(60) == -9, f"it did not come to {fault}"
        daemon.process = None
        daemon.start()
        run_id = run["run_id"] if run else daemon.get("/apis/v2beta1/runs")["runs"][0]["run_id"]
        daemon.wait_run(run_id, timeout=90)
        assert claims(kube) == []


@needs_switches
@pytest.mark.parametrize("kwargs,words", [
    ({"claim_name": "mine"}, "the volume claim 'mine' exists already, and this task has not made it"),
    ({"delete": "gone"}, "the volume claim 'gone' does not exist"),
], ids=["another's claim", "no claim"])
def test_volume_that_fails(kube, daemon, kwargs, words):
    put(kube, "persistentvolumeclaims", "PersistentVolumeClaim", "mine",
        spec={"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}})
    run = daemon.wait_run(run_text(daemon, volume_text(**kwargs))["run_id"], "FAILED")
    assert words in json.dumps(daemon.tasks(run["run_id"]))
    assert [c["metadata"]["name"] for c in claims(kube)] == ["mine"]


@pytest.mark.parametrize("file", ["rondo.yaml", "redis.yaml"])
def test_our_manifests_are_valid(file):
    yaml = pytest.importorskip("yaml")
    documents = list(yaml.safe_load_all((ROOT / "contrib" / "manifests" / file).read_text()))
    assert documents
    for document in documents:
        kubernetes_validate.validate(document, "1.32", strict=True)


def test_failure_has_exit_code_and_log_tail(kube, daemon):
    run = daemon.create_run(sh("echo all is well; echo it burns >&2; exit 3"))
    daemon.wait_run(run["run_id"], "FAILED")
    error = daemon.tasks(run["run_id"])["main"]["error"]
    assert "exit code 3" in error and "it burns" in error
    no_pods(kube)
    assert "all is well\nit burns\n" in daemon.run_log(run["run_id"], "main")


def test_artifacts_pass_over_http(kube, daemon):
    spec = artifact_spec('printf "some data" > "$0"', 'cat "$0" > "$1"')
    run = daemon.create_run(spec)
    daemon.wait_run(run["run_id"])
    assert output_of(daemon, run) == "some data"
    no_pods(kube)


def test_python_component_of_the_sdk(kube):
    """Compiled by kfp; its image has kfp, as this test's Python does."""
    kfp = pytest.importorskip("kfp")
    if REAL:
        pytest.skip("needs an image with kfp")
    from kfp import compiler, dsl

    @dsl.component(base_image="python:3.11", install_kfp_package=False)
    def make(text: str, data: dsl.Output[dsl.Dataset], numbers: dsl.OutputPath(str)) -> int:
        with open(data.path, "w", encoding="utf-8") as file:
            file.write(text * 2)
        data.metadata["rows"] = 2
        with open(numbers, "w", encoding="utf-8") as file:
            file.write("1 2 3")
        return len(text)

    @dsl.component(base_image="python:3.11", install_kfp_package=False)
    def use(data: dsl.Input[dsl.Dataset], length: int) -> str:
        with open(data.path, encoding="utf-8") as file:
            return f"{file.read()} {length} {data.metadata['rows']}"

    @dsl.pipeline(name="sdk in pods")
    def pipeline(text: str = "ab"):
        made = make(text=text)
        use(data=made.outputs["data"], length=made.outputs["Output"])

    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "p.yaml"
        compiler.Compiler().compile(pipeline, str(path))
        text = path.read_text()
    site = pathlib.Path(kfp.__file__).resolve().parents[1]
    binds = [[sys.prefix, "/venv"]]
    if not sys.base_prefix.startswith("/usr"):
        binds.append([sys.base_prefix, sys.base_prefix])
    kube.cluster.kubelet.images = {
        "python:*": {"binds": binds, "path": "/venv/bin:/usr/local/bin:/usr/bin:/bin",
                     "env": {"PYTHONPATH": "/venv" + str(site)[len(sys.prefix):]}},
        **kube.cluster.kubelet.images}
    with make_daemon(kube) as daemon:
        pipeline_id = daemon.upload(text, "sdk")["pipeline_id"]
        run = daemon.create_run(name="sdk", pipeline_version_reference={"pipeline_id": pipeline_id},
                                parameters={"text": "xy"})
        daemon.wait_run(run["run_id"], timeout=120)
        assert output_of(daemon, run, "use", "Output") == "xyxy 2 2"


def test_large_and_folder_artifacts(kube, daemon):
    write = ('mkdir -p "$0/deep/er"; dd if=/dev/urandom of="$0/large" bs=1048576 count=50 2>/dev/null; '
             'echo small > "$0/deep/er/small file"; : > "$0/deep/empty"; '
             '(cd "$0" && find . -type f | sort | xargs -d "\\n" sha256sum)')
    read = '(cd "$0" && find . -type f | sort | xargs -d "\\n" sha256sum) | tee "$1"'
    run = daemon.create_run(artifact_spec(write, read))
    daemon.wait_run(run["run_id"], timeout=150)
    made = daemon.run_log(run["run_id"], "make")
    used = output_of(daemon, run)
    assert made.strip() == used.strip() and len(used.splitlines()) == 3
    stored = [p for p in (daemon.data / "artifacts").rglob("large")]
    assert len(stored) == 1 and stored[0].stat().st_size == 50 << 20
    assert hashlib.sha256(stored[0].read_bytes()).hexdigest() in used
    assert daemon.resident() < 800 << 20  # sanitizers; parts, not files, are in memory


def test_terminate_deletes_the_pod(kube, daemon):
    run = daemon.create_run(sh("trap 'echo told; exit 1' TERM; sleep 600 & wait"))
    only_pod(kube)
    wait_for(lambda: daemon.tasks(run["run_id"])["main"]["state"] == "RUNNING", 60, "the task")
    daemon.call("POST", f"/apis/v2beta1/runs/{run['run_id']}:terminate")
    daemon.wait_run(run["run_id"], "FAILED")  # KFP has no state for terminated runs
    assert daemon.tasks(run["run_id"])["main"]["state"] == "CANCELED"
    no_pods(kube)


def test_logs_while_it_runs(kube, daemon):
    run = daemon.create_run(sh("echo first words; sleep 600"))
    only_pod(kube)
    wait_for(lambda: "first words" in daemon.run_log(run["run_id"], "main"), 60, "its log")
    daemon.call("POST", f"/apis/v2beta1/runs/{run['run_id']}:terminate")
    no_pods(kube)


# ---- who may what ----

def attempt_of(pod):
    main = pod["spec"]["containers"][0]
    token = next(e["value"] for e in main["env"] if e["name"] == "RONDO_TOKEN")
    return main["command"][main["command"].index("--url") + 1], token


def test_tokens_are_good_for_one_attempt(kube, daemon):
    spec = artifact_spec("sleep 600", "true")
    runs = [daemon.create_run(spec, name=f"r{i}") for i in range(2)]
    pods = wait_for(lambda: (p := [x for x in kube.pods() if x["status"]["phase"] == "Running"]) and len(p) == 2 and p, 60, "pods")
    (url, token), (other_url, other_token) = map(attempt_of, pods)
    assert token != other_token

    def ask(path, bearer, method="GET", base=url, **kwargs):
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        return requests.request(method, base + path, headers=headers, timeout=60, **kwargs)
    order = ask("/order", token)
    assert order.status_code == 200 and order.json()["argv"][0] == "sh"
    for bearer in (None, "", other_token, token[:-1], "x" * 5000, token + "0"):
        assert ask("/order", bearer).status_code == 401
        assert ask("/report", bearer, "POST", json={"v": 1, "state": "SUCCEEDED"}).status_code == 401
    nowhere = url.rsplit("/", 1)[0]
    assert ask("/order", token, base=nowhere + "/1").status_code == 401
    assert ask("/order", token, base=nowhere + "/x").status_code == 404
    uri = order.json()["outputs"][0]["uri"]
    theirs = requests.get(other_url + "/order", headers={"Authorization": f"Bearer {other_token}"}, timeout=60).json()["outputs"][0]["uri"]
    for bad in ("file:///etc/passwd", theirs, uri + "/../..", uri[:-1], ""):
        assert ask("/artifacts", token, params={"uri": bad, "list": 1}).status_code in (400, 403)
        assert ask("/artifacts", token, "PUT", params={"uri": bad, "file": "", "offset": 0}, data=b"x").status_code in (400, 403)
    for file in ("../x", "/etc/x", "a//b", "a/../../x"):
        answer = ask("/artifacts", token, "PUT", params={"uri": uri, "file": file, "offset": 0, "final": 1, "total": 1}, data=b"x")
        assert answer.status_code in (400, 403), answer.text
    assert ask("/artifacts", token, "PUT", params={"uri": uri, "offset": 0}, data=b"x" * (4 * 1024 * 1024 + 1)).status_code == 400
    assert ask("/artifacts", token, "PUT", params={"uri": uri, "offset": "-1"}, data=b"x").status_code == 400
    assert ask("/report", token, "POST", data=b"{").status_code == 400
    assert ask("/report", token, "POST", json={"v": 99, "state": "SUCCEEDED"}).status_code == 400
    for run in runs:
        daemon.call("POST", f"/apis/v2beta1/runs/{run['run_id']}:terminate")
    no_pods(kube)
    assert ask("/order", token).status_code in (404, 503)  # 503 in the first minute after a start


# ---- when things go wrong ----

def test_daemon_killed_and_started_again(kube):
    with make_daemon(kube) as daemon:
        spec = sh(f'while [ ! -e /scratch/go ]; do sleep 0.1; [ $((i=i+1)) -gt {80 if REAL else 2000} ] && break; done; '
                  'echo done > "$0"', outputs=["out"])
        spec["deploymentSpec"]["executors"]["exec-main"]["container"]["command"].append(
            "{{$.outputs.parameters['out'].output_file}}")
        scratch = {"emptyDirMounts": [{"volumeName": "scratch", "mountPath": "/scratch"}]}
        runs = [daemon.create_run(with_platform(spec, scratch), name=f"r{i}") for i in range(3)]
        wait_for(lambda: sum(p["status"]["phase"] == "Running" for p in kube.pods()) == 3, 60, "three pods")
        names = {p["metadata"]["name"] for p in kube.pods()}
        daemon.restart(kill=True)
        assert {p["metadata"]["name"] for p in kube.pods()} == names
        for folder in [] if REAL else kube.cluster.kubelet.folder.glob("*/volumes/scratch"):
            (folder / "go").touch()
        for run in runs:
            daemon.wait_run(run["run_id"])
            assert output_of(daemon, run, "main").strip() == "done"
        no_pods(kube)
        if not REAL:
            assert sorted(kube.created()) == sorted(names)  # one pod for each attempt, ever


def test_launcher_ends_while_the_daemon_is_away(kube):
    with make_daemon(kube) as daemon:
        run = daemon.create_run(artifact_spec('sleep 3; echo late > "$0"', 'cat "$0" > "$1"'))
        only_pod(kube)
        wait_for(lambda: daemon.tasks(run["run_id"])["make"]["state"] == "RUNNING", 60, "the task")
        time.sleep(0.5)
        daemon.kill9()
        time.sleep(5)
        daemon.start()
        daemon.wait_run(run["run_id"], timeout=90)
        assert output_of(daemon, run).strip() == "late"
        no_pods(kube)


FAULTS = ["pods.create.before", "pods.create.after", "pods.report.before", "pods.report.after", "pods.done.before",
          "pods.forget.middle", "run.attempt.before_start", "run.attempt.after_start", "run.save.before", "run.save.after",
          "run.attempt.before_forget", "run.attempt.after_forget", "run.end.before_save", "run.end.after_save"]


@pytest.mark.parametrize("fault", FAULTS)
def test_killed_at(kube, fault):
    with make_daemon(kube) as daemon:
        daemon.stop()
        daemon.start(env={"RONDO_FAULT": fault})
        with contextlib.suppress(requests.RequestException, AssertionError):
            daemon.create_run(sh("sleep 0.2; echo ran"), name="r")
        code = daemon.process.wait(60)
        assert code == -9, f"it did not come to {fault}"
        daemon.process = None
        daemon.start()
        runs = daemon.get("/apis/v2beta1/runs").get("runs", [])
        assert len(runs) == 1
        daemon.wait_run(runs[0]["run_id"], timeout=90)
        task = daemon.tasks(runs[0]["run_id"])["main"]
        assert task["attempt"] == 0
        if not REAL:
            assert len(kube.created()) == 1


def test_kill_during_cancel(kube):
    with make_daemon(kube) as daemon:
        run = daemon.create_run(sh("sleep 600"))
        only_pod(kube)
        daemon.restart(env={"RONDO_FAULT": "pods.delete.before"})
        with contextlib.suppress(requests.RequestException, AssertionError):
            daemon.call("POST", f"/apis/v2beta1/runs/{run['run_id']}:terminate")
        assert daemon.process.wait(60) == -9
        daemon.process = None
        daemon.start()
        daemon.wait_run(run["run_id"], "FAILED")
        assert daemon.tasks(run["run_id"])["main"]["state"] == "CANCELED"
        no_pods(kube)


@needs_switches
def test_creates_that_fail_for_a_while(kube, daemon):
    kube.fail_creates(2, 500)
    kube.fail_creates(1, 429)
    kube.fail_creates(1, 403, 'pods "x" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1')
    run = daemon.create_run(sh("echo hi"))
    daemon.wait_run(run["run_id"])
    assert len(kube.created()) == 1


@needs_switches
def test_create_refused(kube, daemon):
    kube.fail_creates(1, 403, 'pods "x" is forbidden: violates PodSecurity "restricted"')
    run = daemon.create_run(sh("echo hi"))
    daemon.wait_run(run["run_id"], "FAILED")
    assert 'violates PodSecurity "restricted"' in daemon.tasks(run["run_id"])["main"]["error"]
    run = daemon.create_run({**sh("true")}, name="unknown account", service_account="nobody")
    daemon.wait_run(run["run_id"], "FAILED")
    assert 'serviceaccount "nobody" not found' in daemon.tasks(run["run_id"])["main"]["error"]
    assert kube.created() == []


@needs_switches
def test_api_server_away(kube, daemon):
    long = daemon.create_run(sh("sleep 4; echo out"), name="long")
    long_pod = only_pod(kube)["metadata"]["name"]
    kube.down()
    other = daemon.create_run(sh("echo hi"), name="other")
    daemon.wait_run(long["run_id"])  # its report needs no API server
    time.sleep(2)
    kube.up()
    daemon.wait_run(other["run_id"], timeout=90)
    no_pods(kube)
    assert kube.created()[0] == long_pod and len(kube.created()) == 2
    assert daemon.run_log(long["run_id"], "main") == "out\n"


@needs_switches
def test_watch_dropped_and_gone(kube, daemon):
    kube.page(2)  # lists come in pages
    runs = [daemon.create_run(sh(f"sleep {i % 3}; echo hi"), name=f"r{i}") for i in range(8)]
    for i in range(6):
        time.sleep(0.4)
        kube.drop_watches() if i % 2 else kube.expire()
    for run in runs:
        daemon.wait_run(run["run_id"])
    no_pods(kube)
    assert len(kube.created()) == 8 == len(set(kube.created()))
    assert "watch broke" in daemon.log() or "watch ended" in daemon.log()


ENDS_AT_THE_SECOND_ATTEMPT = 'case "$KFP_POD_NAME" in *-1) ;; *) sleep 600 ;; esac; echo hi'


@needs_switches
@pytest.mark.parametrize("how", ["evict", "vanish", "delete"])
def test_pod_lost_is_tried_again(kube, daemon, how):
    run = daemon.create_run(sh(ENDS_AT_THE_SECOND_ATTEMPT))
    first = only_pod(kube)["metadata"]["name"]
    if how == "delete":
        subprocess.run(["kubectl", "--kubeconfig", kube.kubeconfig, "delete", "pod", first, "--grace-period=1"],
                       check=True, capture_output=True, timeout=60)
    else:
        getattr(kube, how)(first)
    daemon.wait_run(run["run_id"], timeout=90)
    names = kube.created()
    assert len(names) == 2 and names[0] == first and names[1].endswith("-1")
    assert daemon.tasks(run["run_id"])["main"]["lost"] == 1
    no_pods(kube)


@needs_switches
def test_pod_lost_while_the_watch_is_away(kube, daemon):
    run = daemon.create_run(sh(ENDS_AT_THE_SECOND_ATTEMPT))
    first = only_pod(kube)["metadata"]["name"]
    kube.down()
    kube.cluster.control({"op": "vanish", "name": first})
    kube.cluster.control({"op": "expire"})
    time.sleep(0.5)
    kube.up()
    daemon.wait_run(run["run_id"], timeout=90)
    assert daemon.tasks(run["run_id"])["main"]["lost"] == 1


@needs_switches
@pytest.mark.parametrize("fault,words", [
    ("pull_error", "ImagePullBackOff"), ("never_start", "Insufficient cpu"), ("image", "InvalidImageName")])
def test_pod_that_never_starts(kube, fault, words):
    with make_daemon(kube, **{"pod-start-timeout": "8s"}) as daemon:
        spec = sh("echo hi")
        if fault == "image":
            spec["deploymentSpec"]["executors"]["exec-main"]["container"]["image"] = "Not:An:Image"
        else:
            kube.set(**{fault: True})
        run = daemon.create_run(spec)
        daemon.wait_run(run["run_id"], "FAILED")
        assert words in daemon.tasks(run["run_id"])["main"]["error"]
        no_pods(kube)
        assert len(kube.created()) == 1


def test_time_limit(kube):
    with make_daemon(kube, **{"step-timeout": "2s"}) as daemon:
        run = daemon.create_run(sh("echo begun; sleep 600"))
        daemon.wait_run(run["run_id"], "FAILED")
        assert "it ran longer than 2 s" in daemon.tasks(run["run_id"])["main"]["error"]
        no_pods(kube)


@needs_switches
def test_client_certificates():
    with fake_kube.FakeKube({"rondo-launcher*": fake_kube.launcher_image(bin_dir() / "rondo-launcher"), "*": {}},
                            auth="cert") as kube, make_daemon(kube) as daemon:
        daemon.wait_run(daemon.create_run(sh("echo hi"))["run_id"])


def test_no_cluster_is_told():
    daemon = Daemon(settings={"executor": "kubernetes", "kubeconfig": "/nowhere/config"})
    daemon.launch()
    assert daemon.wait_exit() == 1
    assert "/nowhere/config" in daemon.log()
    daemon.remove()


def test_orphans_of_another_rondo_are_left_alone(kube, daemon):
    if REAL:
        pytest.skip("makes a foreign pod")
    foreign = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "rondo-foreign", "labels": {
        "app.kubernetes.io/managed-by": "rondo", "rondo.dev/instance": "0123456789abcdef",
        "rondo.dev/run-id": str(uuid.uuid4()), "rondo.dev/task-id": str(uuid.uuid4()), "rondo.dev/attempt": "0"}},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "a", "command": ["true"]}]}}
    kube.cluster.create("pods", "test", foreign, {})
    daemon.wait_run(daemon.create_run(sh("echo hi"))["run_id"])
    wait_for(lambda: len(kube.pods()) == 1, 60, "the removal of ours")
    assert kube.pods()[0]["metadata"]["name"] == "rondo-foreign"


def test_many_at_once(kube):
    with make_daemon(kube, **{"max-steps": 12}) as daemon:
        runs = [daemon.create_run(artifact_spec('echo "$0" > "$0"', 'cat "$0" > "$1"'), name=f"r{i}") for i in range(10)]
        for run in runs:
            daemon.wait_run(run["run_id"], timeout=200)
        if not REAL:
            assert len(kube.created()) == 20 == len(set(kube.created()))
        no_pods(kube)



# -- several daemons --


def shard_of(ident):
    return int(ident[:2], 16) % 16


def shards_of(daemon):
    return next(one["shards"] for one in daemon.get("/apis/rondo/v1/daemons")["daemons"] if one["self"])


@needs_switches
@pytest.mark.parametrize("how", ["stop", "kill"])
def test_pods_move_to_another_daemon(kube, tmp_path, how):
    """Launchers that reach the wrong daemon are sent on; pods whose daemon goes are found by the next."""
    with Redis() as redis:
        common = {"redis": redis.url, "artifact_root": f"file://{tmp_path}/artifacts"}
        first = make_daemon(kube, **common)
        second = make_daemon(kube, **common, **{"internal-url": f"http://{first.args[1]}"})
        try:
            first.start()
            second.start()
            wait_for(lambda: len(shards_of(first)) == len(shards_of(second)) == 8, 60, "the shards to be shared")
            theirs = set(shards_of(second))

            def run_there(spec):
                for _ in range(100):
                    run = first.create_run(spec)["run_id"]
                    if shard_of(run) in theirs:
                        return run
                    first.post(f"/apis/v2beta1/runs/{run}:terminate")
                raise AssertionError("none is in the other's shards")

            # Its pods know only the first one's address.
            run = run_there(artifact_spec("echo passed on > $0", "cat $0 > $1"))
            first.wait_run(run)
            assert first.tasks(run)["use"]["outputs"]["parameters"]["out"].strip() == "passed on"

            moving = run_there(artifact_spec("sleep 4; echo moved > $0", "cat $0 > $1"))
            wait_for(lambda: any(p["status"]["phase"] == "Running" for p in kube.pods()
                                 if p["metadata"]["labels"]["rondo.dev/run-id"] == moving), 60, "its pod to run")
            second.stop() if how == "stop" else second.kill9()
            wait_for(lambda: len(shards_of(first)) == 16, 60, "the take-over")
            first.wait_run(moving)
            tasks = first.tasks(moving)
            assert tasks["make"]["tries"] == 1 and not tasks["make"].get("lost")
            assert tasks["use"]["outputs"]["parameters"]["out"].strip() == "moved"
            wait_for(lambda: not any(p["metadata"]["labels"]["rondo.dev/run-id"] == moving for p in kube.pods()),
                     60, "the removal of its pods")
            second.start()
            second.wait_run(second.create_run(sh("true"))["run_id"])
            second.stop()
            first.stop()
        except BaseException:
            first.print_log()
            second.print_log()
            raise
        finally:
            for one in (first, second):
                one.kill9()
                one.remove()
