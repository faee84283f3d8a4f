# SPDX-License-Identifier: Apache-2.0
"""What happened in a run of rondo, as table.py asks for it."""

import pathlib
import re
import urllib.parse

from corpus.table import ABSENT, most_at_once


def content(uri):
    """Of an artifact: a text, {name: text} of a folder, None when nothing is there."""
    if not uri.startswith("file://"):
        return None
    path = pathlib.Path(urllib.parse.unquote(uri[len("file://"):]))
    if path.is_dir():
        return {str(file.relative_to(path)): file.read_text(errors="replace")
                for file in sorted(path.rglob("*")) if file.is_file()}
    return path.read_text(errors="replace") if path.exists() else None


class Happened:
    def __init__(self, daemon, run_id, document=None):
        self.daemon = daemon
        self.run_id = run_id
        record = daemon.get(f"/apis/rondo/v1/runs/{run_id}")
        self.record = record.get("run", record)
        self.state = self.record["state"]
        self.error = self.record.get("error")
        self.tasks = daemon.tasks(run_id)
        self.cacheable = cacheable(document) if document else None
        self.logs = {}

    def may_be_cached(self, path):
        return self.cacheable is None or keys_of(path) in self.cacheable

    def part(self, path, side, kind):
        return ((self.tasks[path].get(side) or {}).get(kind)) or {}

    def inputs(self, path):
        return self.part(path, "inputs", "parameters")

    def outputs(self, path):
        return self.part(path, "outputs", "parameters")

    def files(self, path):
        return {name: contents(artifacts) for name, artifacts in self.part(path, "outputs", "artifacts").items()}

    def gets(self, path, wanted):
        """Where a list is wanted, a list; also of one."""
        out = {}
        for name, artifacts in self.part(path, "inputs", "artifacts").items():
            out[name] = [content(a["uri"]) for a in artifacts]
            if not isinstance(wanted.get(name), list):
                out[name] = out[name][0] if len(out[name]) == 1 else out[name]
        return out

    def types(self, path):
        out = {}
        for name, artifacts in self.part(path, "outputs", "artifacts").items():
            kind = artifacts[0].get("type") if artifacts else ABSENT
            out[name] = kind.get("schemaTitle", kind) if isinstance(kind, dict) else kind
        return out

    def metadata(self, path, name, is_input):
        artifacts = self.part(path, "inputs" if is_input else "outputs", "artifacts").get(name, [])
        return [a.get("metadata") or {} for a in artifacts]

    def log(self, path):
        if path not in self.logs:
            self.logs[path] = self.daemon.run_log(self.run_id, path)
        return self.logs[path]

    def parallel(self, path):
        spans = [(t["started_us"], t["ended_us"]) for t in self.tasks.values() if t.get("parent") == path]
        return most_at_once(spans)

    def root_outputs(self):
        return (self.record.get("outputs") or {}).get("parameters") or {}

    def root_files(self, wanted):
        out = {}
        for name, artifacts in ((self.record.get("outputs") or {}).get("artifacts") or {}).items():
            out[name] = contents(artifacts, isinstance(wanted.get(name), list))
        return out


def contents(artifacts, as_list=False):
    out = [content(a["uri"]) for a in artifacts]
    return out[0] if len(out) == 1 and not as_list else out


def keys_of(path):
    """The path without the numbers of iterations."""
    return re.sub(r"/\d+(?=/|$)", "", path)


def cacheable(document):
    """Paths of the container tasks whose results may be taken from the cache."""
    out = set()

    def walk(component, prefix):
        for key, task in component["dag"]["tasks"].items():
            inner = document["components"][task["componentRef"]["name"]]
            if (task.get("cachingOptions") or {}).get("enableCache") and "dag" not in inner:
                out.add(prefix + key)
            if "dag" in inner:
                walk(inner, prefix + key + "/")
    walk(document["root"], "")
    return out
