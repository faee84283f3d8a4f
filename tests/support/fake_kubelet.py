# SPDX-License-Identifier: Apache-2.0
"""The stand-in cluster's one node: runs pods' containers as processes, each in mount and PID
namespaces of its own, and writes their status as a kubelet does. Needs root."""

import contextlib
import fnmatch
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

CONTAINER = pathlib.Path(__file__).with_name("fake_container.py")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
IMAGE_NAME = re.compile(r"^[a-z0-9]+([._-][a-z0-9]+)*(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*"
                        r"(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?$")


def can_run():
    """None, or why containers cannot be run here."""
    if os.geteuid() != 0:
        return "the stand-in cluster runs containers in namespaces and needs root"
    tried = subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], capture_output=True,
                           check=False)
    return None if tried.returncode == 0 else f"unshare is not permitted: {tried.stderr.decode().strip()}"


def now():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


class Missing(Exception):
    """Something that the pod refers to is not there."""

    def __init__(self, text, is_claim=False):
        super().__init__(text)
        self.is_claim = is_claim


class Container:
    """One container of a pod that was started."""

    def __init__(self, folder, spec, image, mounts, env):
        self.folder = folder
        self.name = spec["name"]
        self.log = folder / f"{self.name}.log"
        self.message = folder / f"{self.name}.message"
        self.message.touch()
        self.message.chmod(0o666)
        root = folder / f"{self.name}.root"
        root.mkdir()
        security = spec.get("securityContext") or {}
        user = security.get("runAsUser")
        mounts = mounts + [[str(self.message), spec.get("terminationMessagePath") or "/dev/termination-log", False]]
        plan = {
            "root": str(root), "host": image.get("host", True), "image_binds": image.get("binds", []),
            "mounts": mounts, "cwd": spec.get("workingDir", ""),
            "argv": (spec.get("command") or image.get("command") or []) + (spec.get("args") or []),
            "env": {"PATH": image.get("path", PATH), "HOSTNAME": "pod", **image.get("env", {}), **env},
            "drop_all": "ALL" in ((security.get("capabilities") or {}).get("drop") or []),
            "no_new_privileges": security.get("allowPrivilegeEscalation") is False,
            "uid": user, "gid": security.get("runAsGroup", user or 0),
            "read_only_root": bool(security.get("readOnlyRootFilesystem")),
        }
        path = folder / f"{self.name}.json"
        path.write_text(json.dumps(plan))
        self.started = now()
        self.settled = time.monotonic() + 0.3  # by then it is past fake_container.py
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                ["unshare", "--mount", "--pid", "--fork", "--kill-child", sys.executable, str(CONTAINER), str(path)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={"PATH": PATH}, cwd="/",
                start_new_session=True)

    def signal(self, number):
        """To the container's process 1, which ignores what it has not asked for."""
        time.sleep(max(0.0, self.settled - time.monotonic()))
        with contextlib.suppress(OSError, ValueError):
            pid = self.process.pid
            children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            for child in children:
                os.kill(int(child), number)

    def kill(self):
        with contextlib.suppress(OSError):
            self.process.kill()  # and with it all in its PID namespace
        self.process.wait()

    def exit_code(self):
        code = self.process.wait()
        return 128 - code if code < 0 else code

    def terminated(self, code, reason=None):
        message = self.message.read_bytes()[-4096:].decode(errors="replace")
        state = {"exitCode": code, "reason": reason or ("Completed" if code == 0 else "Error"),
                 "startedAt": self.started, "finishedAt": now(), "containerID": "fake://" + self.name}
        if message:
            state["message"] = message
        return {"terminated": state}


class Kubelet:
    """Runs the pods of a cluster (an object with `patch_status`, `gone`, and `faults`)."""

    def __init__(self, cluster, images):
        self.cluster = cluster
        self.images = images
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="rondo-kubelet-"))
        self.pods = {}
        self.lock = threading.Lock()

    def close(self):
        with self.lock:
            pods = list(self.pods.values())
        for pod in pods:
            pod.stop(grace=0)
        for pod in pods:
            pod.thread.join(10)
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, pod):
        with self.lock:
            self.pods[pod["metadata"]["uid"]] = running = RunningPod(self, pod)
        running.thread.start()

    def find(self, uid):
        with self.lock:
            return self.pods.get(uid)

    def delete(self, uid, grace):
        running = self.find(uid)
        if running is None:
            return False
        threading.Thread(target=running.delete, args=(grace,), daemon=True).start()
        return True

    def image(self, name):
        for pattern, image in self.images.items():
            if fnmatch.fnmatch(name, pattern):
                return image
        return None


class RunningPod:
    def __init__(self, kubelet, pod):
        self.kubelet = kubelet
        self.pod = pod
        self.uid = pod["metadata"]["uid"]
        self.folder = kubelet.folder / self.uid
        self.containers = {}
        self.inits = []
        self.mains = []
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.stopping = threading.Event()
        self.verdict = None  # (reason, message) of an end from outside
        self.lock = threading.Lock()

    # -- status --

    def write(self, **status):
        self.kubelet.cluster.patch_status(self.uid, {
            "initContainerStatuses": [dict(s) for s in self.inits],
            "containerStatuses": [dict(s) for s in self.mains], **status})

    @staticmethod
    def fresh(spec, reason):
        return {"name": spec["name"], "image": spec["image"], "imageID": "", "ready": False, "started": False,
                "restartCount": 0, "state": {"waiting": {"reason": reason}}, "lastState": {}}

    # -- life --

    def work(self):
        try:
            self.run()
        except OSError as error:
            if not self.stopping.is_set():
                self.write(phase="Failed", reason="FakeKubeletError", message=str(error))

    def may_start(self):
        faults = self.kubelet.cluster.faults
        if faults.get("never_start"):
            self.write(phase="Pending", conditions=[{
                "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "lastTransitionTime": now(),
                "message": "0/1 nodes are available: 1 Insufficient cpu."}])
            self.stopping.wait()
            return False
        return not self.stopping.wait(faults.get("delay", 0.0))

    def find_data(self, plural, name, optional):
        """Data of a secret or config map; None when it is not there and need not be."""
        try:
            return self.kubelet.cluster.data_of(plural, self.pod, name)
        except Exception as error:  # the cluster's Refused, whose module imports this one
            if optional:
                return None
            raise Missing(f'{plural[:-1]} "{name}" not found') from error

    def volumes(self):
        """Folders by name. Missing: the pod waits for something that is not there."""
        out = {}
        for volume in self.pod["spec"].get("volumes") or []:
            if "persistentVolumeClaim" in volume:
                out[volume["name"]] = self.claim(volume["persistentVolumeClaim"]["claimName"])
                continue
            path = self.folder / "volumes" / volume["name"]
            path.mkdir(parents=True)
            path.chmod(0o777)
            for kind, plural, key in (("secret", "secrets", "secretName"), ("configMap", "configmaps", "name")):
                if kind in volume:
                    data = self.find_data(plural, volume[kind][key], volume[kind].get("optional"))
                    for name, content in (data or {}).items():
                        (path / name).write_bytes(content)
            out[volume["name"]] = path
        return out

    def claim(self, name):
        namespace = self.pod["metadata"]["namespace"]
        with self.kubelet.cluster.lock:
            if (namespace, name) not in self.kubelet.cluster.objects["persistentvolumeclaims"]:
                raise Missing(f'persistentvolumeclaim "{name}" not found', is_claim=True)
        path = self.kubelet.folder / "claims" / namespace / name
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o777)
        return path

    def field(self, path):
        metadata = self.pod["metadata"]
        subscript = re.fullmatch(r"metadata\.(labels|annotations)\['(.*)'\]", path)
        if subscript:
            return (metadata.get(subscript[1]) or {}).get(subscript[2], "")
        return {"metadata.name": metadata["name"], "metadata.uid": metadata["uid"],
                "metadata.namespace": metadata["namespace"], "spec.nodeName": "fake-node", "status.podIP": "127.0.0.1",
                "status.hostIP": "127.0.0.1",
                "spec.serviceAccountName": self.pod["spec"].get("serviceAccountName", "default")}[path]

    def environment(self, spec):
        env = {}
        for one in spec.get("env") or []:
            source = one.get("valueFrom") or {}
            if "value" in one or not source:
                env[one["name"]] = one.get("value", "")
            elif "fieldRef" in source:
                env[one["name"]] = self.field(source["fieldRef"]["fieldPath"])
            for kind, plural in (("secretKeyRef", "secrets"), ("configMapKeyRef", "configmaps")):
                if kind in source:
                    ref = source[kind]
                    data = self.find_data(plural, ref["name"], ref.get("optional"))
                    if data is not None and ref["key"] in data:
                        env[one["name"]] = data[ref["key"]].decode()
                    elif not ref.get("optional"):
                        raise Missing(f'couldn\'t find key {ref["key"]} in {plural[:-1]} {ref["name"]}')
        return env

    def pull(self, spec, status):
        """The image, or None when it never comes."""
        faults = self.kubelet.cluster.faults
        image = self.kubelet.image(spec["image"])
        if not IMAGE_NAME.match(spec["image"]):
            reason, message = "InvalidImageName", f'couldn\'t parse image name "{spec["image"]}": invalid reference format'
        elif image is None or faults.get("pull_error"):
            reason, message = "ImagePullBackOff", f'Back-off pulling image "{spec["image"]}": manifest unknown'
        else:
            security = {**(self.pod["spec"].get("securityContext") or {}), **(spec.get("securityContext") or {})}
            if not security.get("runAsNonRoot") or security.get("runAsUser"):
                return image
            reason, message = "CreateContainerConfigError", "container has runAsNonRoot and image will run as root"
        if reason == "ImagePullBackOff":
            status["state"] = {"waiting": {"reason": "ErrImagePull", "message": message}}
            self.write(phase="Pending")
        status["state"] = {"waiting": {"reason": reason, "message": message}}
        self.write(phase="Pending")
        self.stopping.wait()
        return None

    def start(self, spec, status, volumes):
        image = self.pull(spec, status)
        if image is None:
            return None
        mounts = []
        for one in spec.get("volumeMounts") or []:
            source = volumes[one["name"]]
            if one.get("subPath"):
                source = source / one["subPath"]
                source.mkdir(exist_ok=True)
                source.chmod(0o777)
            mounts.append([str(source), one["mountPath"], bool(one.get("readOnly"))])
        try:
            env = self.environment(spec)
        except Missing as missing:
            status["state"] = {"waiting": {"reason": "CreateContainerConfigError", "message": str(missing)}}
            self.write(phase="Pending")
            self.stopping.wait()
            return None
        with self.lock:
            if self.stopping.is_set():
                return None
            container = Container(self.folder, spec, image, mounts, env)
            self.containers[spec["name"]] = container
        status.update(state={"running": {"startedAt": container.started}}, started=True, ready=True)
        return container

    def run(self):
        spec = self.pod["spec"]
        self.inits = [self.fresh(c, "PodInitializing") for c in spec.get("initContainers") or []]
        self.mains = [self.fresh(c, "PodInitializing") for c in spec["containers"]]
        if not self.may_start():
            return
        started = now()
        conditions = [{"type": kind, "status": "True", "lastTransitionTime": started}
                      for kind in ("PodScheduled", "Initialized")]
        common = {"startTime": started, "podIP": "127.0.0.1", "hostIP": "127.0.0.1"}
        self.folder.mkdir()
        try:
            volumes = self.volumes()
        except Missing as missing:
            return self.wait_for_what_is_missing(missing, conditions[:1], common)
        self.write(phase="Pending", conditions=conditions[:1], **common)
        if spec.get("activeDeadlineSeconds"):
            timer = threading.Timer(spec["activeDeadlineSeconds"], self.end_from_outside, (
                "DeadlineExceeded", "Pod was active on the node longer than the specified deadline"))
            timer.daemon = True
            timer.start()
        sidecars = []
        for one, status in zip(spec.get("initContainers") or [], self.inits):
            container = self.start(one, status, volumes)
            if container is None:
                return self.finish(None)
            if one.get("restartPolicy") == "Always":  # a sidecar: it goes on beside the others
                sidecars.append((container, status))
                continue
            code = container.exit_code()
            status.update(state=container.terminated(code), ready=code == 0, started=False)
            if self.stopping.is_set() or code != 0:
                return self.finish("Failed")
            self.write(phase="Pending")
        running = []
        for one, status in zip(spec["containers"], self.mains):
            container = self.start(one, status, volumes)
            if container is None:
                return self.finish(None)
            running.append((container, status))
        self.write(phase="Running", conditions=conditions, **common)
        failed = False
        for container, status in running:
            code = container.exit_code()
            failed |= code != 0
            status.update(state=container.terminated(code), ready=False, started=False)
        for container, status in sidecars:
            container.kill()
            status.update(state=container.terminated(137), ready=False, started=False)
        return self.finish("Failed" if failed else "Succeeded")

    def wait_for_what_is_missing(self, missing, conditions, common):
        """A claim keeps a pod from its node; of a secret the node says that it cannot be mounted."""
        if missing.is_claim:
            self.write(phase="Pending", conditions=[{
                "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "lastTransitionTime": now(),
                "message": str(missing)}])
        else:
            for status in self.inits + self.mains:
                status["state"] = {"waiting": {"reason": "ContainerCreating", "message": f"MountVolume.SetUp failed: {missing}"}}
            self.write(phase="Pending", conditions=conditions, **common)
        self.stopping.wait()

    def finish(self, phase):
        if self.verdict is not None:
            reason, message = self.verdict
            self.write(phase="Failed", reason=reason, message=message)
        elif phase is not None:
            self.write(phase=phase)

    # -- ends from outside --

    def stop(self, grace):
        with self.lock:
            self.stopping.set()
            containers = list(self.containers.values())
        if grace > 0:
            for container in containers:
                container.signal(signal.SIGTERM)
            deadline = time.monotonic() + grace
            while time.monotonic() < deadline and any(c.process.poll() is None for c in containers):
                time.sleep(0.02)
        for container in containers:
            container.kill()

    def end_from_outside(self, reason, message, grace=0):
        if self.thread.is_alive():
            self.verdict = (reason, message)
            self.stop(grace)
            self.thread.join(10)
            self.finish(None)

    def delete(self, grace):
        self.stop(grace)
        self.thread.join(10)
        self.kubelet.cluster.gone(self.uid)
        with self.kubelet.lock:
            self.kubelet.pods.pop(self.uid, None)
        shutil.rmtree(self.folder, ignore_errors=True)

    def log(self, name):
        container = self.containers.get(name)
        return container.log.read_bytes() if container is not None else None
