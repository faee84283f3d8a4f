# SPDX-License-Identifier: Apache-2.0
"""A stand-in Kubernetes API server with one node (fake_kubelet.py) for tests.

As a library:
    with FakeKube(images={...}, auth="token") as kube:
        kube.kubeconfig            # path of a kubeconfig for it
        kube.fail_creates(3, 503)  # fault switches; all of them also by POST /_control {"op": ..., ...}

By hand:  python3 tests/support/fake_kube.py --launcher build/release/rondo-launcher --kubeconfig /tmp/kc

It knows namespaces, pods (with log, watch, graceful deletion), secrets, config maps, service
accounts; refuses what a real server refuses: unknown fields, bad names, labels, quantities, mounts
without volumes, names that are taken. Structure is checked with the Kubernetes schemas
(kubernetes-validate). What it does not know it answers with 404 or 405, never with a guess.
"""

import argparse
import base64
import contextlib
import copy
import http.server
import json
import pathlib
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.parse
import uuid

import kubernetes_validate

from fake_kubelet import Kubelet, can_run, now

VERSION = "1.32"
KINDS = {"namespaces": "Namespace", "pods": "Pod", "secrets": "Secret", "configmaps": "ConfigMap",
         "serviceaccounts": "ServiceAccount", "events": "Event", "nodes": "Node",
         "persistentvolumeclaims": "PersistentVolumeClaim"}
CLUSTER_WIDE = {"namespaces", "nodes"}
LABEL = re.compile(r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$")
LABEL_KEY = re.compile(r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$")
DNS_LABEL = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
DNS_NAME = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
ENV_NAME = re.compile(r"^[-._a-zA-Z][-._a-zA-Z0-9]*$")
QUANTITY = re.compile(r"^([+-]?[0-9]+(?:\.[0-9]*)?|[+-]?\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$")
FACTOR = {"": 1, "n": 1e-9, "u": 1e-6, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18,
          "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60}


class Refused(Exception):
    """Becomes a Status."""

    def __init__(self, code, reason, message, causes=None, kind="", name=""):
        super().__init__(message)
        self.code = code
        self.status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                       "message": message, "reason": reason, "code": code}
        if kind or causes:
            self.status["details"] = {"name": name, "kind": kind, "causes": causes or []}


# ---- what a real server refuses ----

def quantity(text):
    match = QUANTITY.match(str(text))
    if not match:
        return None
    unit = match.group(2) or ""
    return float(match.group(1)) * (FACTOR[unit] if unit in FACTOR else 10.0 ** int(unit[1:]))


def check_structure(obj, strict):
    """Kinds of members always; members that do not exist only when asked for strictly."""
    try:
        kubernetes_validate.validate(obj, VERSION, strict=strict)
    except kubernetes_validate.ValidationError as error:
        path = ".".join(str(p) for p in error.path)
        if "Additional properties" in error.message:
            field = re.search(r"'([^']+)' (?:was|were) unexpected", error.message)
            field = field.group(1) if field else "?"
            message = (f'{obj["kind"]} in version "v1" cannot be handled as a {obj["kind"]}: strict decoding error: '
                       f'unknown field "{path + "." if path else ""}{field}"')
        elif "is a required property" in error.message:
            raise Refused(422, "Invalid", f'{obj["kind"]} is invalid: {path}: Required value: {error.message}',
                          [{"reason": "FieldValueRequired", "message": error.message, "field": path}],
                          obj["kind"]) from None
        else:
            message = f'{obj["kind"]} in version "v1" cannot be handled as a {obj["kind"]}: {path}: {error.message[:300]}'
        raise Refused(400, "BadRequest", message) from None


def check_metadata(obj, causes):
    metadata = obj["metadata"]
    name = metadata.get("name", "")
    if not name:
        causes.append(("metadata.name", "Required value: name or generateName is required"))
    elif len(name) > 253 or not DNS_NAME.match(name):
        causes.append(("metadata.name", f'Invalid value: "{name}": a lowercase RFC 1123 subdomain must consist of '
                       "lower case alphanumeric characters, '-' or '.'"))
    for key, value in (metadata.get("labels") or {}).items():
        if not LABEL_KEY.match(key) or len(key.rsplit("/", 1)[-1]) > 63:
            causes.append(("metadata.labels", f'Invalid value: "{key}": name part must consist of alphanumeric characters'))
        if len(value) > 63 or not LABEL.match(value):
            causes.append(("metadata.labels", f'Invalid value: "{value}": a valid label must be an empty string or '
                           "consist of alphanumeric characters, '-', '_' or '.'"))
    annotations = metadata.get("annotations") or {}
    if sum(len(k) + len(v) for k, v in annotations.items()) > 256 * 1024:
        causes.append(("metadata.annotations", "Too long: may not be more than 262144 bytes"))


def check_resources(place, container, causes):
    resources = container.get("resources") or {}
    for kind in ("limits", "requests"):
        for name, value in (resources.get(kind) or {}).items():
            if quantity(value) is None:
                raise Refused(400, "BadRequest", "Pod in version \"v1\" cannot be handled as a Pod: quantities must match "
                              "the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")
            if name not in ("cpu", "memory", "ephemeral-storage") and "/" not in name:
                causes.append((f"{place}.resources.{kind}[{name}]", f'Invalid value: "{name}": must be a standard '
                               "resource type or fully qualified"))
            if quantity(value) < 0:
                causes.append((f"{place}.resources.{kind}[{name}]", "Invalid value: must be greater than or equal to 0"))
    for name, value in (resources.get("requests") or {}).items():
        limit = (resources.get("limits") or {}).get(name)
        if limit is not None and quantity(value) is not None and quantity(value) > quantity(limit):
            causes.append((f"{place}.resources.requests", f'Invalid value: "{value}": must be less than or equal to '
                           f"{name} limit of {limit}"))


def check_container(place, container, volumes, causes):
    name = container.get("name", "")
    if not name:
        causes.append((f"{place}.name", "Required value"))
    elif len(name) > 63 or not DNS_LABEL.match(name):
        causes.append((f"{place}.name", f'Invalid value: "{name}": a lowercase RFC 1123 label must consist of lower case '
                       "alphanumeric characters or '-'"))
    if not container.get("image"):
        causes.append((f"{place}.image", "Required value"))
    for i, env in enumerate(container.get("env") or []):
        if not ENV_NAME.match(env.get("name", "")):
            causes.append((f"{place}.env[{i}].name", f'Invalid value: "{env.get("name", "")}": a valid environment '
                           "variable name must consist of alphabetic characters"))
        if "value" in env and "valueFrom" in env and env["value"]:
            causes.append((f"{place}.env[{i}].valueFrom", "Invalid value: may not be specified when `value` is not empty"))
    paths = set()
    for i, mount in enumerate(container.get("volumeMounts") or []):
        if mount.get("name") not in volumes:
            causes.append((f"{place}.volumeMounts[{i}].name", f'Not found: "{mount.get("name")}"'))
        if mount.get("mountPath") in paths:
            causes.append((f"{place}.volumeMounts[{i}].mountPath", f'Invalid value: "{mount.get("mountPath")}": must be unique'))
        paths.add(mount.get("mountPath"))
    security = container.get("securityContext") or {}
    if security.get("allowPrivilegeEscalation") is False and security.get("privileged"):
        causes.append((f"{place}.securityContext", "Invalid value: cannot set `allowPrivilegeEscalation` to false and "
                       "`privileged` to true"))
    check_resources(place, container, causes)


def check_pod(pod, accounts):
    spec, causes = pod.get("spec") or {}, []
    check_metadata(pod, causes)
    if not spec.get("containers"):
        causes.append(("spec.containers", "Required value"))
    if spec.get("restartPolicy", "Always") not in ("Always", "OnFailure", "Never"):
        causes.append(("spec.restartPolicy", f'Unsupported value: "{spec["restartPolicy"]}"'))
    if "activeDeadlineSeconds" in spec and spec["activeDeadlineSeconds"] < 1:
        causes.append(("spec.activeDeadlineSeconds", "Invalid value: must be between 1 and 2147483647, inclusive"))
    for i, volume in enumerate(spec.get("volumes") or []):
        sources = [key for key in volume if key != "name"]
        if len(sources) != 1:
            causes.append((f"spec.volumes[{i}]", "Forbidden: may not specify more than 1 volume type" if sources
                           else "Required value: must specify a volume type"))
    volumes = [v.get("name") for v in spec.get("volumes") or []]
    for i, name in enumerate(volumes):
        if not DNS_LABEL.match(name or "") or len(name) > 63:
            causes.append((f"spec.volumes[{i}].name", f'Invalid value: "{name}": a lowercase RFC 1123 label'))
        if name in volumes[:i]:
            causes.append((f"spec.volumes[{i}].name", f'Duplicate value: "{name}"'))
    names = []
    for kind in ("initContainers", "containers"):
        for i, container in enumerate(spec.get(kind) or []):
            check_container(f"spec.{kind}[{i}]", container, volumes, causes)
            if container.get("name") in names:
                causes.append((f"spec.{kind}[{i}].name", f'Duplicate value: "{container["name"]}"'))
            names.append(container.get("name"))
    name = pod["metadata"].get("name", "")
    if causes:
        text = ", ".join(f"{field}: {message}" for field, message in causes)
        if len(causes) > 1:
            text = f"[{text}]"
        raise Refused(422, "Invalid", f'Pod "{name}" is invalid: {text}',
                      [{"reason": "FieldValueInvalid", "message": m, "field": f} for f, m in causes], "Pod", name)
    account = spec.get("serviceAccountName") or "default"
    namespace = pod["metadata"]["namespace"]
    if account not in accounts:
        raise Refused(403, "Forbidden", f'pods "{name}" is forbidden: error looking up service account '
                      f'{namespace}/{account}: serviceaccount "{account}" not found', kind="pods", name=name)


def check_claim(claim, causes):
    spec = claim.get("spec") or {}
    modes = spec.get("accessModes") or []
    if not modes:
        causes.append(("spec.accessModes", "Required value: at least 1 access mode is required"))
    for mode in modes:
        if mode not in ("ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"):
            causes.append(("spec.accessModes", f'Unsupported value: "{mode}"'))
    storage = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if storage is None or not QUANTITY.match(str(storage)):
        causes.append(("spec.resources[storage]", "Required value" if storage is None else f'Invalid value: "{storage}"'))


def set_defaults(pod):
    spec = pod["spec"]
    for key, value in (("restartPolicy", "Always"), ("dnsPolicy", "ClusterFirst"), ("schedulerName", "default-scheduler"),
                       ("terminationGracePeriodSeconds", 30), ("serviceAccountName", "default"),
                       ("securityContext", {}), ("enableServiceLinks", True)):
        spec.setdefault(key, value)
    for container in (spec.get("initContainers") or []) + spec["containers"]:
        tag = container["image"].rsplit("/", 1)[-1]
        container.setdefault("imagePullPolicy", "Always" if ":" not in tag or tag.endswith(":latest") else "IfNotPresent")
        container.setdefault("terminationMessagePath", "/dev/termination-log")
        container.setdefault("terminationMessagePolicy", "File")
        container.setdefault("resources", {})
    pod["status"] = {"phase": "Pending", "qosClass": "BestEffort"}


def parse_selector(text):
    """A function of labels."""
    tests = []
    for part in filter(None, re.split(r",(?![^(]*\))", text or "")):
        match = re.match(r"^\s*([^\s!=]+)\s+(in|notin)\s+\(([^)]*)\)\s*$", part)
        if match:
            values = {v.strip() for v in match.group(3).split(",")}
            tests.append(lambda l, k=match.group(1), v=values, n=match.group(2) == "notin": (l.get(k) in v) != n)
        elif "!=" in part:
            key, value = part.split("!=")
            tests.append(lambda l, k=key.strip(), v=value.strip(): l.get(k) != v)
        elif "=" in part:
            key, value = re.split("==?", part)
            tests.append(lambda l, k=key.strip(), v=value.strip(): l.get(k) == v)
        elif part.startswith("!"):
            tests.append(lambda l, k=part[1:].strip(): k not in l)
        else:
            tests.append(lambda l, k=part.strip(): k in l)
    return lambda obj: all(test(obj["metadata"].get("labels") or {}) for test in tests)


def parse_fields(text):
    def value(obj, path):
        for key in path.split("."):
            obj = obj.get(key, "") if isinstance(obj, dict) else ""
        return obj
    pairs = [re.split("==?", part) for part in filter(None, (text or "").split(",")) if "!=" not in part]
    return lambda obj: all(str(value(obj, key)) == wanted for key, wanted in pairs)


def merge(target, patch):
    """JSON merge patch (RFC 7386); lists are replaced."""
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict) and isinstance(target.get(key), dict):
            merge(target[key], value)
        else:
            target[key] = value
    return target


# ---- the cluster ----

class Cluster:
    """The objects, their history, and the switches that make things go wrong."""

    def __init__(self, images):
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.version = 100
        self.oldest = 0         # watches from before this are Gone
        self.generation = 0     # watches of an older one are cut
        self.objects = {plural: {} for plural in KINDS}  # plural -> (namespace, name) -> object
        self.history = []       # (version, type, plural, object)
        self.faults = {}
        self.fail_creates = []  # [status, message] for the next creates
        self.creates = []       # names of all pods that were created, in order
        self.page_max = 0       # pages of lists are not longer than this; 0: as asked
        self.kubelet = Kubelet(self, images)
        for name in ("default", "kube-system", "test"):
            self.add_namespace(name)

    def add_namespace(self, name):
        self.put("namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name},
                                "status": {"phase": "Active"}}, "ADDED")
        for account in ("default", "pipeline-runner"):
            self.put("serviceaccounts", {"apiVersion": "v1", "kind": "ServiceAccount",
                                         "metadata": {"name": account, "namespace": name}}, "ADDED")

    @staticmethod
    def key(obj):
        return (obj["metadata"].get("namespace", ""), obj["metadata"]["name"])

    def put(self, plural, obj, kind):
        with self.changed:
            self.version += 1
            obj["metadata"]["resourceVersion"] = str(self.version)
            obj["metadata"].setdefault("uid", str(uuid.uuid4()))
            obj["metadata"].setdefault("creationTimestamp", now())
            if kind == "DELETED":
                self.objects[plural].pop(self.key(obj), None)
            else:
                self.objects[plural][self.key(obj)] = obj
            self.history.append((self.version, kind, plural, copy.deepcopy(obj)))
            self.changed.notify_all()
            return obj

    def get(self, plural, namespace, name):
        with self.lock:
            obj = self.objects[plural].get(("" if plural in CLUSTER_WIDE else namespace, name))
            if obj is None:
                raise Refused(404, "NotFound", f'{plural} "{name}" not found', kind=plural, name=name)
            return obj

    def by_uid(self, uid):
        for pod in self.objects["pods"].values():
            if pod["metadata"]["uid"] == uid:
                return pod
        return None

    def data_of(self, plural, pod, name):
        obj = self.get(plural, pod["metadata"]["namespace"], name)
        out = {k: base64.b64decode(v) for k, v in (obj.get("data") or {}).items()} if plural == "secrets" else {
            k: v.encode() for k, v in (obj.get("data") or {}).items()}
        out.update({k: v.encode() for k, v in (obj.get("stringData") or {}).items()})
        return out

    # -- verbs --

    def create(self, plural, namespace, obj, query):
        if obj.get("kind") != KINDS[plural]:
            raise Refused(400, "BadRequest", f'the object provided is unrecognized: expected a {KINDS[plural]}')
        with self.lock:
            if plural in ("pods", "persistentvolumeclaims") and self.fail_creates:
                status, message = self.fail_creates.pop(0)
                raise Refused(status, {403: "Forbidden", 429: "TooManyRequests", 500: "InternalError"}.get(
                    status, "ServiceUnavailable"), message)
        check_structure(obj, query.get("fieldValidation") == "Strict")
        obj = copy.deepcopy(obj)
        metadata = obj.setdefault("metadata", {})
        if plural not in CLUSTER_WIDE:
            if metadata.setdefault("namespace", namespace) != namespace:
                raise Refused(400, "BadRequest", "the namespace of the provided object does not match the namespace sent on the request")
            self.get("namespaces", "", namespace)
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = metadata["generateName"] + uuid.uuid4().hex[:5]
        for key in ("uid", "resourceVersion", "creationTimestamp", "deletionTimestamp"):
            metadata.pop(key, None)
        with self.lock:
            if plural == "pods":
                check_pod(obj, {n for ns, n in self.objects["serviceaccounts"] if ns == namespace})
            else:
                causes = []
                check_metadata(obj, causes)
                if plural == "persistentvolumeclaims":
                    check_claim(obj, causes)
                if causes:
                    raise Refused(422, "Invalid", f'{obj["kind"]} "{metadata.get("name", "")}" is invalid: {causes[0][0]}: {causes[0][1]}')
            if self.key(obj) in self.objects[plural]:
                raise Refused(409, "AlreadyExists", f'{plural} "{metadata["name"]}" already exists',
                              kind=plural, name=metadata["name"])
            if plural == "pods":
                set_defaults(obj)
            if plural == "persistentvolumeclaims":
                obj["status"] = {"phase": "Bound", "accessModes": obj["spec"]["accessModes"]}
            if query.get("dryRun") == "All":
                metadata.update(uid=str(uuid.uuid4()), creationTimestamp=now())
                return obj
            self.put(plural, obj, "ADDED")
            if plural == "namespaces":
                self.add_namespace(metadata["name"])
            if plural == "pods":
                self.creates.append(metadata["name"])
                self.kubelet.run(copy.deepcopy(obj))
            return copy.deepcopy(obj)

    def patch(self, plural, namespace, name, patch, query):
        with self.lock:
            obj = merge(copy.deepcopy(self.get(plural, namespace, name)), patch)
            check_structure(obj, False)
            return obj if query.get("dryRun") == "All" else copy.deepcopy(self.put(plural, obj, "MODIFIED"))

    def patch_status(self, uid, status):
        with self.lock:
            pod = self.by_uid(uid)
            if pod is not None:
                pod = copy.deepcopy(pod)
                pod["status"].update(status)
                pod["spec"].setdefault("nodeName", "fake-node")
                self.put("pods", pod, "MODIFIED")

    def gone(self, uid):
        with self.lock:
            pod = self.by_uid(uid)
            if pod is not None:
                self.put("pods", copy.deepcopy(pod), "DELETED")

    def delete(self, plural, namespace, name, options, query):
        with self.lock:
            obj = copy.deepcopy(self.get(plural, namespace, name))
            if query.get("dryRun") == "All" or options.get("dryRun"):
                return obj
            if plural != "pods":
                self.put(plural, obj, "DELETED")
                return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
                        "details": {"name": name, "kind": plural, "uid": obj["metadata"]["uid"]}}
            grace = query.get("gracePeriodSeconds", options.get("gracePeriodSeconds"))
            grace = int(obj["spec"]["terminationGracePeriodSeconds"] if grace is None else grace)
            if obj["status"]["phase"] in ("Succeeded", "Failed"):
                grace = 0
            if "deletionTimestamp" not in obj["metadata"]:
                obj["metadata"]["deletionTimestamp"] = now()
                obj["metadata"]["deletionGracePeriodSeconds"] = grace
                self.put("pods", obj, "MODIFIED")
            if not self.kubelet.delete(obj["metadata"]["uid"], grace):
                self.gone(obj["metadata"]["uid"])
            return copy.deepcopy(obj)

    def list(self, plural, namespace, query):
        with self.lock:
            limit = int(query.get("limit") or 0)
            if self.page_max:
                limit = min(limit or self.page_max, self.page_max)
            version, start = self.version, ("", "")
            if query.get("continue"):
                token = json.loads(base64.urlsafe_b64decode(query["continue"]))
                version, start = token["v"], tuple(token["s"])
                if version < self.oldest:
                    raise Refused(410, "Expired", "The provided continue parameter is too old")
            match, fields = parse_selector(query.get("labelSelector")), parse_fields(query.get("fieldSelector"))
            items = [copy.deepcopy(o) for k, o in sorted(self.objects[plural].items())
                     if (not namespace or k[0] == namespace) and k > start and match(o) and fields(o)]
            metadata = {"resourceVersion": str(version)}
            if limit and len(items) > limit:
                items = items[:limit]
                metadata["continue"] = base64.urlsafe_b64encode(
                    json.dumps({"v": version, "s": self.key(items[-1])}).encode()).decode()
            for item in items:
                item.pop("apiVersion", None)
                item.pop("kind", None)
            return {"kind": KINDS[plural] + "List", "apiVersion": "v1", "metadata": metadata, "items": items}

    def watch(self, plural, namespace, query, send):
        """Until its time is over or something goes wrong; send(None) is a moment of nothing."""
        match, fields = parse_selector(query.get("labelSelector")), parse_fields(query.get("fieldSelector"))
        deadline = time.monotonic() + float(query.get("timeoutSeconds") or 1800)
        bookmark = time.monotonic() + 1
        with self.lock:
            generation = self.generation
            at = query.get("resourceVersion") or "0"
            backlog = []
            if at == "0":
                at = self.version
                backlog = [("ADDED", copy.deepcopy(o)) for k, o in sorted(self.objects[plural].items())
                           if not namespace or k[0] == namespace]
            at = int(at)
        for kind, obj in backlog:
            if match(obj) and fields(obj):
                send({"type": kind, "object": obj})
        while time.monotonic() < deadline:
            with self.changed:
                if self.version <= at and generation == self.generation:
                    self.changed.wait(0.2)
                if generation != self.generation:
                    return
                if at < self.oldest:
                    send({"type": "ERROR", "object": Refused(
                        410, "Expired", f"too old resource version: {at} ({self.oldest})").status})
                    return
                events = [e for e in self.history if e[0] > at]
                at = max(at, self.version)
            for _, kind, what, obj in events:
                if what == plural and (not namespace or obj["metadata"].get("namespace") == namespace) \
                        and match(obj) and fields(obj):
                    send({"type": kind, "object": obj})
            if query.get("allowWatchBookmarks", "").lower() in ("1", "true") and time.monotonic() > bookmark:
                bookmark = time.monotonic() + 1
                send({"type": "BOOKMARK", "object": {"kind": KINDS[plural], "apiVersion": "v1",
                                                     "metadata": {"resourceVersion": str(at)}}})
            else:
                send(None)

    def log(self, namespace, name, query):
        pod = self.get("pods", namespace, name)
        container = query.get("container") or pod["spec"]["containers"][0]["name"]
        names = [c["name"] for c in pod["spec"]["containers"] + (pod["spec"].get("initContainers") or [])]
        if container not in names:
            raise Refused(400, "BadRequest", f"container {container} is not valid for pod {name}")
        running = self.kubelet.find(pod["metadata"]["uid"])
        text = running.log(container) if running is not None else None
        if text is None:
            raise Refused(400, "BadRequest", f'container "{container}" in pod "{name}" is waiting to start: PodInitializing')
        if query.get("tailLines"):
            lines = text.splitlines(keepends=True)
            text = b"".join(lines[max(0, len(lines) - int(query["tailLines"])):])
        if query.get("limitBytes"):
            text = text[:int(query["limitBytes"])]
        return text

    # -- switches --

    def control(self, op):
        """What goes wrong; see the methods of FakeKube."""
        kind = op.pop("op")
        with self.changed:
            if kind == "fail_creates":
                self.fail_creates += [[op["status"], op.get("message", "made to fail")]] * op.get("times", 1)
            elif kind == "drop_watches":
                self.generation += 1
            elif kind == "expire":
                self.history.clear()
                self.version += 1
                self.oldest = self.version
            elif kind == "set":
                self.faults.update(op)
            elif kind == "page":
                self.page_max = op["max"]
            elif kind == "evict":
                pod = self.get("pods", op.get("namespace", "test"), op["name"])
                running = self.kubelet.find(pod["metadata"]["uid"])
                threading.Thread(target=running.end_from_outside, daemon=True, args=(
                    "Evicted", "The node was low on resource: memory.")).start()
            elif kind == "vanish":  # as with its node: no grace, no last status
                pod = self.get("pods", op.get("namespace", "test"), op["name"])
                running = self.kubelet.find(pod["metadata"]["uid"])
                self.gone(pod["metadata"]["uid"])
                threading.Thread(target=running.stop, daemon=True, args=(0,)).start()
            else:
                raise Refused(400, "BadRequest", f"no such switch: {kind}")
            self.changed.notify_all()
        return {}


# ---- HTTP ----

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    cluster = None
    token = None     # bearer that is asked for
    needs_cert = False
    sockets = None

    def setup(self):
        super().setup()
        self.sockets.add(self.request)

    def finish(self):
        self.sockets.discard(self.request)
        with contextlib.suppress(OSError, ValueError):
            super().finish()

    def log_message(self, *args):
        pass

    def answer(self, status, body, kind="application/json"):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def body(self):
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if not data:
            return {}
        try:
            if "yaml" in (self.headers.get("Content-Type") or "") or data[:1] not in b"{[":
                raise ValueError
            return json.loads(data)
        except ValueError:
            raise Refused(415, "UnsupportedMediaType", "the stand-in reads JSON only") from None

    def handle_any(self):
        try:
            body = self.body()
            if self.token and self.headers.get("Authorization") != f"Bearer {self.token}":
                raise Refused(401, "Unauthorized", "Unauthorized")
            url = urllib.parse.urlsplit(self.path)
            query = {k: v[-1] for k, v in urllib.parse.parse_qs(url.query, keep_blank_values=True).items()}
            self.route([urllib.parse.unquote(p) for p in url.path.strip("/").split("/")], query, body)
        except Refused as refused:
            self.answer(refused.code, refused.status)
        except (BrokenPipeError, ConnectionError, ssl.SSLError):
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815

    def discovery(self, parts):
        if parts == ["version"]:
            return {"major": "1", "minor": "32", "gitVersion": "v1.32.0", "gitCommit": "0" * 40,
                    "gitTreeState": "clean", "buildDate": "2025-01-01T00:00:00Z", "goVersion": "go1.23",
                    "compiler": "gc", "platform": "linux/amd64"}
        if parts == ["api"]:
            return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}
        if parts == ["apis"]:
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": []}
        if parts in (["readyz"], ["livez"], ["healthz"]):
            return b"ok"
        verbs = ["create", "delete", "get", "list", "patch", "watch"]
        short = {"pods": ["po"], "namespaces": ["ns"], "configmaps": ["cm"], "serviceaccounts": ["sa"],
                 "events": ["ev"], "nodes": ["no"], "persistentvolumeclaims": ["pvc"]}
        resources = [{"name": plural, "singularName": kind.lower(), "namespaced": plural not in CLUSTER_WIDE,
                      "kind": kind, "verbs": verbs, "shortNames": short.get(plural, [])} for plural, kind in KINDS.items()]
        resources.append({"name": "pods/log", "singularName": "", "namespaced": True, "kind": "Pod", "verbs": ["get"]})
        return {"kind": "APIResourceList", "groupVersion": "v1", "resources": resources}

    def route(self, parts, query, body):
        if parts == ["_control"] and self.command == "POST":
            return self.answer(200, self.cluster.control(body))
        if len(parts) == 1 or parts == ["api", "v1"]:
            found = self.discovery(parts) if parts[0] in ("version", "api", "apis", "readyz", "livez", "healthz") else None
            if found is None:
                raise Refused(404, "NotFound", "the server could not find the requested resource")
            return self.answer(200, found, "text/plain" if isinstance(found, bytes) else "application/json")
        if parts[:2] != ["api", "v1"]:
            raise Refused(404, "NotFound", "the server could not find the requested resource")
        rest, namespace = parts[2:], ""
        if rest[0] == "namespaces" and len(rest) > 2:
            namespace, rest = rest[1], rest[2:]
        plural, name, sub = (rest + [None, None])[:3]
        if plural not in KINDS or len(rest) > 3 or (sub and (plural, sub) != ("pods", "log")):
            raise Refused(404, "NotFound", "the server could not find the requested resource")
        return self.verb(plural, namespace, name, sub, query, body)

    def verb(self, plural, namespace, name, sub, query, body):
        cluster, method = self.cluster, self.command
        if sub == "log" and method == "GET":
            return self.answer(200, cluster.log(namespace, name, query), "text/plain")
        if method == "GET" and name is None:
            if query.get("watch", "").lower() in ("1", "true"):
                return self.watch(plural, namespace, query)
            return self.answer(200, cluster.list(plural, namespace, query))
        if method == "GET":
            return self.answer(200, cluster.get(plural, namespace, name))
        if method == "POST" and name is None:
            return self.answer(201, cluster.create(plural, namespace, body, query))
        if method == "PATCH" and name is not None:
            return self.answer(200, cluster.patch(plural, namespace, name, body, query))
        if method == "DELETE" and name is not None:
            return self.answer(200, cluster.delete(plural, namespace, name, body, query))
        raise Refused(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")

    def watch(self, plural, namespace, query):
        at = query.get("resourceVersion") or "0"
        if at != "0" and int(at) < self.cluster.oldest:
            raise Refused(410, "Expired", f"too old resource version: {at} ({self.cluster.oldest})")
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

        def send(event):
            if event is not None:
                data = json.dumps(event).encode() + b"\n"
                self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
                self.wfile.flush()
        self.cluster.watch(plural, namespace, query, send)
        self.wfile.write(b"0\r\n\r\n")


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 256

    def __init__(self, port, handler, tls):
        super().__init__(("127.0.0.1", port), handler)
        self.tls = tls

    def finish_request(self, request, client_address):
        if self.tls is not None:
            try:
                request = self.tls.wrap_socket(request, server_side=True)
            except OSError:
                return
        super().finish_request(request, client_address)

    def handle_error(self, request, client_address):
        pass  # clients that go away


class FakeKube:
    """The server, its kubeconfig and its switches. auth: "token", "cert" or "none"; tls or plain HTTP."""

    def __init__(self, images=None, auth="token", tls=True, port=0, namespace="test"):
        why_not = can_run()
        if why_not:
            raise RuntimeError(why_not)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="rondo-kube-"))
        self.cluster = Cluster(images or {"*": {}})
        self.namespace = namespace
        self.auth = auth
        self.tls = self.make_tls(auth) if tls else None
        self.token = "fake-token-" + uuid.uuid4().hex if auth == "token" else None
        self.sockets = set()
        self.handler = type("BoundHandler", (Handler,), {
            "cluster": self.cluster, "token": self.token, "sockets": self.sockets})
        self.server = self.kept = None
        self.port = port
        self.up()
        self.kubeconfig = self.folder / "kubeconfig"
        self.kubeconfig.write_text(json.dumps(self.config()))  # JSON is YAML

    # -- life --

    def make_tls(self, auth):
        def openssl(*args):
            subprocess.run(["openssl", *args], cwd=self.folder, check=True, capture_output=True)
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key",
                "-out", "ca.pem", "-days", "30", "-subj", "/CN=fake-kube-ca")
        for name, extension in (("server", "subjectAltName=IP:127.0.0.1,DNS:localhost"), ("client", "extendedKeyUsage=clientAuth")):
            (self.folder / f"{name}.ext").write_text(extension)
            openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key",
                    "-out", f"{name}.csr", "-subj", f"/O=system:masters/CN={name}")
            openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                    "-out", f"{name}.pem", "-days", "30", "-extfile", f"{name}.ext")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "server.pem", self.folder / "server.key")
        if auth == "cert":
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.folder / "ca.pem")
        return context

    @property
    def url(self):
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def config(self):
        def inline(name):
            return base64.b64encode((self.folder / name).read_bytes()).decode()
        cluster, user = {"server": self.url}, {}
        if self.tls:
            cluster["certificate-authority-data"] = inline("ca.pem")
        if self.auth == "cert":
            user = {"client-certificate-data": inline("client.pem"), "client-key-data": inline("client.key")}
        elif self.token:
            user = {"token": self.token}
        return {"apiVersion": "v1", "kind": "Config", "current-context": "fake",
                "clusters": [{"name": "fake", "cluster": cluster}], "users": [{"name": "fake", "user": user}],
                "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake", "namespace": self.namespace}}]}

    def up(self):
        """(Again) reachable, at the same port."""
        if self.kept is not None:
            self.kept.close()
        self.server = Server(self.port, self.handler, self.tls)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def down(self):
        """Not reachable; its node and its pods go on."""
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            self.server = None
            self.kept = socket.socket()  # so that nobody else gets the port meanwhile
            self.kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                self.kept.bind(("127.0.0.1", self.port))
        self.cluster.control({"op": "drop_watches"})
        for one in list(self.sockets):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self):
        self.down()
        if self.kept is not None:
            self.kept.close()
        self.cluster.kubelet.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.close()

    # -- looking --

    def pods(self):
        return self.cluster.list("pods", self.namespace, {})["items"]

    def created(self):
        """Names of all pods ever created, in order."""
        with self.cluster.lock:
            return list(self.cluster.creates)

    # -- switches --

    def fail_creates(self, times, status, message="made to fail"):
        self.cluster.control({"op": "fail_creates", "times": times, "status": status, "message": message})

    def drop_watches(self):
        self.cluster.control({"op": "drop_watches"})

    def expire(self):
        """Everything up to now is forgotten: watches must list anew (410 Gone)."""
        self.cluster.control({"op": "expire"})

    def evict(self, name):
        self.cluster.control({"op": "evict", "name": name, "namespace": self.namespace})

    def vanish(self, name):
        self.cluster.control({"op": "vanish", "name": name, "namespace": self.namespace})

    def set(self, **faults):
        """never_start, pull_error (bool), delay (seconds before a pod starts)."""
        self.cluster.control({"op": "set", **faults})

    def page(self, most):
        self.cluster.control({"op": "page", "max": most})


def main():
    parser = argparse.ArgumentParser(description="a stand-in Kubernetes API server")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--auth", choices=["token", "cert", "none"], default="token")
    parser.add_argument("--plain", action="store_true", help="HTTP instead of HTTPS")
    parser.add_argument("--launcher", help="rondo-launcher, as the image rondo-launcher:*")
    parser.add_argument("--kubeconfig", required=True, help="where to write one")
    args = parser.parse_args()
    images = {"*": {}}
    if args.launcher:
        images = {"rondo-launcher*": launcher_image(args.launcher), "*": {}}
    with FakeKube(images, args.auth, not args.plain, args.port) as kube:
        shutil.copy(kube.kubeconfig, args.kubeconfig)
        print(f"listening at {kube.url}; kubectl --kubeconfig {args.kubeconfig} get pods", flush=True)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


def launcher_image(path):
    """FROM scratch, with nothing but the launcher in it."""
    return {"host": False, "binds": [[str(pathlib.Path(path).resolve()), "/rondo-launcher"]],
            "command": ["/rondo-launcher"]}


if __name__ == "__main__":
    main()
