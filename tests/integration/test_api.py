# SPDX-License-Identifier: Apache-2.0
"""The HTTP API itself: limits, checks, errors, and what the SDK does not send."""

import contextlib
import hashlib
import http.client
import io
import json
import os
import pathlib
import socket
import threading
import time
import zipfile

import pytest
import requests

from rondo_testing import SHARED, Daemon, Receiver, Redis, shell_spec, wait_for

V2 = "/apis/v2beta1"
V1 = "/apis/rondo/v1"
NOBODY = "11111111-2222-4333-8444-555555555555"


def spec_text(**kwargs):
    return json.dumps(shell_spec(**kwargs))


@pytest.fixture(scope="module")
def daemon():
    """Steps succeed at once: this file is about the API."""
    with Daemon(settings={"executor": "noop"}) as one:
        yield one


def recurring(daemon, expect=200, **fields):
    body = {"display_name": "r", "max_concurrency": "1", "mode": "DISABLE", "pipeline_spec": shell_spec(),
            "trigger": {"cron_schedule": {"cron": "0 0 9 * * *"}}, **fields}
    body = {k: v for k, v in body.items() if v is not ...}
    return daemon.post(f"{V2}/recurringruns", body, expect)


class TestTransport:
    def test_unknown_path(self, daemon):
        body = daemon.get("/apis/v2beta1/nothing", expect=404)
        assert body["code"] == 5 and body["message"] == "Not Found"

    def test_wrong_method(self, daemon):
        body = daemon.call("PUT", f"{V2}/experiments", 501).json()
        assert body["code"] == 12 and body["message"] == "Method Not Allowed"

    def test_head(self, daemon):
        answer = daemon.call("HEAD", f"{V2}/healthz")
        assert answer.content == b"" and int(answer.headers["Content-Length"]) > 20

    def test_keep_alive(self, daemon):
        connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=60)
        connection.connect()
        sock = connection.sock
        for _ in range(3):
            connection.request("GET", "/healthz")
            answer = connection.getresponse()
            assert answer.status == 200 and answer.read()
            assert connection.sock is sock
        connection.close()

    def test_chunked_body(self, daemon):
        parts = iter([b'{"display_', b'name":"chunked"}'])
        answer = daemon.call("POST", f"{V2}/experiments", data=parts)
        assert answer.json()["display_name"] == "chunked"

    def test_empty_body_with_json_type(self, daemon):
        one = daemon.post(f"{V2}/experiments", {"display_name": "empty-body"})
        daemon.call("POST", f"{V2}/experiments/{one['experiment_id']}:archive",
                    headers={"Content-Type": "application/json", "Content-Length": "0"})

    def test_encoded_segment(self, daemon):
        daemon.get(f"{V2}/runs/a%2Fb%3Aarchive", expect=404)
        daemon.call("POST", f"{V2}/runs/a%2Fb:archive", 404)

    @pytest.mark.parametrize("body, place", [
        ('{"display_name": "x",}', "line 1"),
        ('{\n"display_name": "x"\n"y": 1}', "line 3"),
        ("[" * 100000, "request body"),
        ('{"display_name": "\xff"}'.encode("latin-1"), "request body"),
        ('{"display_name": "a", "display_name": "b"}', "display_name"),
        ("[]", "expected a JSON object"),
        ("null", "expected a JSON object"),
        ('{"display_name": 5}', "display_name: expected a string"),
        ('{"displayName": "x", "colour": "red"}', "colour: unknown field"),
        ("{} {}", "request body"),
    ])
    def test_broken_json(self, daemon, body, place):
        answer = daemon.call("POST", f"{V2}/experiments", 400, data=body).json()
        assert answer["code"] == 3 and place in answer["message"], answer

    def test_body_too_large(self, daemon):
        before = daemon.resident()
        answer = daemon.call("POST", f"{V2}/experiments", None, data=b"x" * (40 * 1024 * 1024))
        assert answer.status_code == 413
        assert daemon.resident() < before + 64 * 1024 * 1024

    def test_endless_chunks(self, daemon):
        def chunks():
            for _ in range(600):
                yield b"x" * 65536
        try:
            answer = daemon.call("POST", f"{V2}/experiments", None, data=chunks())
            assert answer.status_code == 413
        except requests.ConnectionError:
            pass  # closed in our face while we still wrote
        assert daemon.get("/healthz")["status"] == "ok"

    def test_ten_thousand_headers(self, daemon):
        head = b"".join(b"X-%d: 1234567890\r\n" % i for i in range(10000))
        answer = daemon.raw(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + head + b"\r\n")
        assert answer.startswith(b"HTTP/1.1 4")
        assert daemon.get("/healthz")["status"] == "ok"

    @pytest.mark.parametrize("garbage", [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64,
        b"\r\n\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ])
    def test_garbage(self, daemon, garbage):
        with socket.create_connection(("127.0.0.1", daemon.port), 60) as sock:
            sock.settimeout(5)
            try:
                sock.sendall(garbage)
                sock.shutdown(socket.SHUT_WR)
                answer = sock.recv(4096)
            except OSError:
                answer = b""
            assert answer == b"" or answer.startswith(b"HTTP/1.1 4") or answer.startswith(b"HTTP/1.1 5")
        assert daemon.get("/healthz")["status"] == "ok"

    def test_query_tolerance(self, daemon):
        daemon.call("GET", f"{V2}/runs?page_token=&sort_by=&namespace=&filter=&unknown=1&unknown=2")
        daemon.call("GET", f"{V2}/runs?pageSize=5&sort_by=created_at+desc")
        daemon.get(f"{V2}/runs", expect=400, page_size="-1")
        assert "Invalid sorting field" in daemon.get(f"{V2}/runs", expect=400, sort_by="colour")["message"]
        assert "Invalid page token" in daemon.get(f"{V2}/runs", expect=400, page_token="x")["message"]


class TestLimits:
    def test_half_a_request(self):
        with Daemon(settings={"executor": "noop", "http_timeout": "1s"}) as daemon:
            daemon.session.headers["Connection"] = "close"  # it would be closed between two requests
            with socket.create_connection(("127.0.0.1", daemon.port), 60) as sock:
                begin = time.monotonic()
                sock.sendall(b"POST /apis/v2beta1/experiments HTTP/1.1\r\nHost: localhost\r\nContent-Le")
                assert sock.recv(1000) == b""
                assert 0.5 < time.monotonic() - begin < 25  # the usual time-out is 30 s
            with socket.create_connection(("127.0.0.1", daemon.port), 60) as sock:
                sock.sendall(b"POST /apis/v2beta1/experiments HTTP/1.1\r\nHost: localhost\r\n"
                             b"Content-Length: 100\r\n\r\n{")
                assert not sock.recv(1000).startswith(b"HTTP/1.1 2")
            assert daemon.get("/healthz")["status"] == "ok"

    def test_max_connections(self):
        with Daemon(settings={"executor": "noop", "max_connections": 8}) as daemon:
            held = []
            for _ in range(30):
                held.append(socket.create_connection(("127.0.0.1", daemon.port), 60))
            pid = daemon.process.pid

            def sockets():
                fds = pathlib.Path(f"/proc/{pid}/fd")
                count = 0
                for one in fds.iterdir():
                    with contextlib.suppress(OSError):  # it is closed just now
                        count += os.readlink(one).startswith("socket:")
                return count
            time.sleep(0.3)
            assert sockets() < 30
            for sock in held:
                sock.close()
            wait_for(lambda: daemon.call("GET", "/healthz", None).status_code == 200, 60, "a free place")

    def test_client_leaves_while_a_call_is_pending(self, tmp_path):
        """Deleting a live run takes a while; nobody waits for the answer."""
        with Daemon() as daemon:
            run = daemon.create_run(shell_spec("trap '' TERM; sleep 600"), "stubborn")
            wait_for(lambda: daemon.run(run["run_id"])["state"] == "RUNNING", 60, "RUNNING")
            for _ in range(5):
                with socket.create_connection(("127.0.0.1", daemon.port), 60) as sock:
                    sock.sendall(f"DELETE {V2}/runs/{run['run_id']} HTTP/1.1\r\nHost: localhost\r\n\r\n"
                                 .encode())
                    time.sleep(0.05)
            assert daemon.get("/healthz")["status"] == "ok"
            wait_for(lambda: daemon.call("GET", f"{V2}/runs/{run['run_id']}", None).status_code == 404, 60,
                     "the end of the run")

    def test_stop_with_a_call_pending(self):
        daemon = Daemon()
        daemon.start()
        run = daemon.create_run(shell_spec("trap '' TERM; sleep 600"), "stubborn")
        wait_for(lambda: daemon.run(run["run_id"])["state"] == "RUNNING", 60, "RUNNING")

        def delete():
            try:
                requests.delete(f"{daemon.url}{V2}/runs/{run['run_id']}", timeout=60)
            except requests.RequestException:
                pass
        thread = threading.Thread(target=delete)
        thread.start()
        time.sleep(0.2)
        daemon.args += ["--on-stop", "kill"]
        daemon.stop()
        thread.join(60)
        daemon.start()  # the same folder: goes on and cleans up
        daemon.delete(f"{V2}/runs/{run['run_id']}", expect=None)
        daemon.stop()
        daemon.remove()


class TestGuards:
    @pytest.mark.parametrize("host, status", [
        ("localhost", 200), ("127.0.0.1:1", 200), ("[::1]:80", 200), ("evil.example.com", 403),
        ("127.0.0.1.evil.example.com", 403)])
    def test_host(self, daemon, host, status):
        answer = daemon.call("GET", f"{V2}/experiments", status, headers={"Host": host})
        if status == 403:
            assert "--allow-hosts" in answer.json()["message"]

    def test_origin(self, daemon):
        same = {"Origin": daemon.url}
        other = {"Origin": "https://evil.example.com"}
        daemon.call("GET", f"{V2}/experiments", 200, headers=same)
        for origin in (other, {"Origin": "null"}):
            daemon.call("POST", f"{V2}/runs", 403, headers=origin, json={})
        answer = daemon.call("GET", f"{V2}/experiments", 403, headers=other)
        assert not any(k.lower().startswith("access-control") for k in answer.headers)
        daemon.call("OPTIONS", f"{V2}/experiments", 501, headers=other)

    def test_health_is_open(self, daemon):
        daemon.call("GET", "/healthz", 200, headers={"Host": "rondo.monitoring.svc"})

    def test_allow_hosts_and_tokens(self, tmp_path):
        tokens = tmp_path / "tokens"
        tokens.write_text(hashlib.sha256(b"open sesame").hexdigest() + "\n")
        settings = {"executor": "noop", "allow_hosts": "rondo.example.org", "tokens_file": tokens}
        with Daemon(settings=settings, token="open sesame") as daemon:
            daemon.call("GET", f"{V2}/experiments", 200, headers={"Host": "rondo.example.org:80"})
            daemon.session.headers.pop("Authorization")
            answer = daemon.call("GET", f"{V2}/experiments", 401)
            assert answer.headers["WWW-Authenticate"] == "Bearer" and answer.json()["code"] == 16
            daemon.call("GET", f"{V2}/nothing", 401)
            daemon.call("GET", f"{V2}/experiments", 401, headers={"Authorization": "Bearer wrong"})
            daemon.call("GET", "/metrics", 401)
            daemon.call("GET", "/healthz", 200)
            daemon.call("GET", "/readyz", 200)
            daemon.call("GET", f"{V2}/healthz", 200)
            daemon.call("POST", "/hooks/git/" + NOBODY, 404, json={})  # has a check of its own
            daemon.session.headers["Authorization"] = "Bearer open sesame"
            daemon.call("GET", "/metrics", 200)


class TestExperiments:
    def test_rules(self, daemon):
        daemon.post(f"{V2}/experiments", {}, expect=400)
        daemon.post(f"{V2}/experiments", {"display_name": "x" * 129}, expect=400)
        daemon.post(f"{V2}/experiments", {"display_name": "twice"})
        answer = daemon.post(f"{V2}/experiments", {"display_name": "twice"}, expect=409)
        assert answer["code"] == 6 and "Please specify a new name" in answer["message"]
        daemon.get(f"{V2}/experiments/{NOBODY}", expect=404)
        daemon.delete(f"{V2}/experiments/{NOBODY}", expect=404)

    def test_archive_takes_runs_and_schedules_along(self, daemon):
        one = daemon.post(f"{V2}/experiments", {"display_name": "to archive"})["experiment_id"]
        run = daemon.create_run(shell_spec(), experiment_id=one)["run_id"]
        again = recurring(daemon, experiment_id=one, mode="ENABLE")["recurring_run_id"]
        daemon.post(f"{V2}/experiments/{one}:archive")
        assert daemon.run(run)["storage_state"] == "ARCHIVED"
        assert daemon.get(f"{V2}/recurringruns/{again}")["status"] == "DISABLED"
        answer = daemon.post(f"{V2}/runs/{run}:unarchive", expect=400)
        assert answer["code"] == 9 and "to archive" in answer["message"]
        daemon.post(f"{V2}/experiments/{one}:unarchive")
        assert daemon.run(run)["storage_state"] == "ARCHIVED"
        daemon.post(f"{V2}/runs/{run}:unarchive")
        assert daemon.run(run)["storage_state"] == "AVAILABLE"
        daemon.delete(f"{V2}/experiments/{one}")
        assert daemon.run(run)["experiment_id"] == one  # runs stay

    def test_last_run_orders_lists(self, daemon):
        ids = [daemon.post(f"{V2}/experiments", {"display_name": f"order {i}"})["experiment_id"]
               for i in range(2)]
        daemon.create_run(shell_spec(), experiment_id=ids[0])
        listed = daemon.get(f"{V2}/experiments", sort_by="last_run_created_at desc", page_size=200)
        order = [e["experiment_id"] for e in listed["experiments"]]
        assert order.index(ids[0]) < order.index(ids[1])


class TestPipelines:
    def test_crud(self, daemon):
        made = daemon.post(f"{V2}/pipelines", {"display_name": "bare", "tags": {"team": "red"}})
        one = made["pipeline_id"]
        assert made["name"] == "bare" and made["tags"] == {"team": "red"}
        assert daemon.get(f"{V2}/pipelines/{one}") == made
        assert daemon.get(f"{V2}/pipelines/names/bare") == made
        daemon.get(f"{V2}/pipelines/names/nobody", expect=404)
        changed = daemon.patch(f"{V2}/pipelines/{one}", {"display_name": "shown"})
        assert changed["display_name"] == "shown" and changed["tags"] == {"team": "red"}
        assert daemon.patch(f"{V2}/pipelines/{one}", {"tags": {"a": "b"}})["tags"] == {"a": "b"}
        assert "tags" not in daemon.patch(f"{V2}/pipelines/{one}", {"tags": {}})
        assert daemon.get(f"{V2}/pipelines/{one}/versions") == {}
        daemon.delete(f"{V2}/pipelines/{one}")
        daemon.get(f"{V2}/pipelines/{one}", expect=404)

    @pytest.mark.parametrize("body", [
        {}, {"name": "x" * 129}, {"name": "x", "namespace": "n" * 64}, {"name": "x", "tags": {"": "v"}},
        {"name": "x", "tags": {"a.b": "v"}}, {"name": "x", "tags": {"k" * 64: "v"}},
        {"name": "x", "tags": {"k": "v" * 64}}, {"name": "x", "tags": {str(i): "v" for i in range(21)}},
        {"name": "x", "tags": {"k": 1}}])
    def test_rules(self, daemon, body):
        assert daemon.post(f"{V2}/pipelines", body, expect=400)["code"] == 3

    def test_upload_names_tags_and_versions(self, daemon):
        one = daemon.upload(spec_text(), "up", display_name="Up", description="d", tags='{"a":"1"}')
        assert (one["name"], one["display_name"], one["description"], one["tags"]) == (
            "up", "Up", "d", {"a": "1"})
        version = daemon.upload_version(one["pipeline_id"], spec_text(script="echo 2"), "v2")
        versions = daemon.get(f"{V2}/pipelines/{one['pipeline_id']}/versions", sort_by="created_at desc")
        assert versions["total_size"] == 2
        assert versions["pipeline_versions"][0]["pipeline_version_id"] == version["pipeline_version_id"]
        tags = json.dumps({"predicates": [
            {"operation": "EQUALS", "key": "tags.a", "string_value": "1"}]})
        listed = daemon.get(f"{V2}/pipelines", filter=tags)
        assert [p["pipeline_id"] for p in listed["pipelines"]] == [one["pipeline_id"]]
        patched = daemon.patch(
            f"{V2}/pipelines/{one['pipeline_id']}/versions/{version['pipeline_version_id']}",
            {"display_name": "second", "tags": {"x": "y"}})
        assert patched["display_name"] == "second" and patched["tags"] == {"x": "y"}
        daemon.get(f"{V2}/pipelines/{NOBODY}/versions/{version['pipeline_version_id']}")
        answer = daemon.delete(f"{V2}/pipelines/{one['pipeline_id']}", expect=400)
        assert "cascade" in answer["message"]
        daemon.delete(f"{V2}/pipelines/{one['pipeline_id']}", cascade="true")
        daemon.get(f"{V2}/pipelines/{one['pipeline_id']}/versions/{version['pipeline_version_id']}", expect=404)

    def test_upload_name_defaults_to_the_file(self, daemon):
        made = daemon.call("POST", f"{V2}/pipelines/upload", files={
            "uploadfile": ("from-file.json", spec_text())}).json()
        assert made["name"] == "from-file.json"

    def test_upload_errors(self, daemon):
        answer = daemon.call("POST", f"{V2}/pipelines/upload", 400, data=b"x").json()
        assert answer["error_message"] and answer["error_details"]
        daemon.call("POST", f"{V2}/pipelines/upload", 400, files={"other": ("a.yaml", spec_text())})
        daemon.upload(spec_text(), "bad tags", tags="{", expect=400)
        daemon.upload_version(NOBODY, spec_text(), "v", expect=400)
        daemon.call("POST", f"{V2}/pipelines/upload_version", 400, files={
            "uploadfile": ("a.yaml", spec_text())})
        daemon.upload(spec_text(), "x" * 129, expect=400)

    def test_platform_part_is_shown(self, daemon):
        text = spec_text() + "\n---\n" + json.dumps({"platforms": {"kubernetes": {}}})
        one = daemon.upload(text, "with platform")
        version = daemon.get(f"{V2}/pipelines/{one['pipeline_id']}/versions")["pipeline_versions"][0]
        assert set(version["pipeline_spec"]) == {"pipeline_spec", "platform_spec"}

    @pytest.mark.parametrize("name", [
        "empty_file.yaml", "empty_zip.zip", "invalid-zip.zip", "invalid_yaml.yaml", "no_name.yaml",
        "wrong_format.png"])
    def test_invalid_corpus(self, daemon, name):
        path = SHARED / "kfp-corpus" / "invalid" / name
        if not path.exists():
            pytest.skip(f"{path} is not here")
        answer = daemon.upload(path.read_bytes(), "invalid " + name, filename=name, expect=400)
        assert len(answer["message"]) > 10

    def test_zip_bomb(self, daemon):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            with archive.open("pipeline.yaml", "w", force_zip64=True) as out:
                for _ in range(512):
                    out.write(b"# " + b"a" * (1024 * 1024 - 3) + b"\n")
        before = daemon.resident()
        daemon.upload(packed.getvalue(), "bomb", filename="bomb.zip", expect=400)
        assert daemon.resident() < before + 200 * 1024 * 1024

    def test_billion_laughs(self, daemon):
        lines = ["a0: &a0 [lol]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
        begin = time.monotonic()
        daemon.upload("\n".join(lines), "laughs", expect=400)
        assert time.monotonic() - begin < 60  # all of it would take years

    def test_package_url_rules(self, daemon):
        def create(url):
            return daemon.post(f"{V2}/pipelines/create", {
                "pipeline": {"name": "from url"},
                "pipeline_version": {"package_url": {"pipeline_url": url}}}, expect=400)["message"]
        assert "https" in create("http://raw.githubusercontent.com/a.yaml")
        assert "hosts" in create("https://localhost/a.yaml")
        assert "ports" in create("https://raw.githubusercontent.com:8443/a.yaml")
        assert "user names" in create("https://me@raw.githubusercontent.com/a.yaml")
        assert "missing" in create("")


class TestRuns:
    def test_shape_right_after_creation(self, daemon):
        run = daemon.create_run(shell_spec(inputs={"x": None}), "shape", parameters={"x": "1"})
        assert run["state"] == "PENDING" and run["storage_state"] == "AVAILABLE"
        assert run["finished_at"] == "1970-01-01T00:00:00Z"
        assert run["scheduled_at"] == run["created_at"] and run["created_at"].endswith("Z")
        assert run["service_account"] == "pipeline-runner"
        assert run["runtime_config"] == {"parameters": {"x": "1"}}
        assert [h["state"] for h in run["state_history"]] == ["PENDING"]
        assert "error" not in run and "description" not in run
        done = daemon.wait_run(run["run_id"])
        assert done["pipeline_spec"] == shell_spec(inputs={"x": None})
        task = done["run_details"]["task_details"][0]
        assert task["display_name"] == "main" and task["state"] == "SUCCEEDED"
        assert [h["state"] for h in task["state_history"]][-1] == "SUCCEEDED"

    def test_sources(self, daemon):
        one = daemon.upload(spec_text(script="echo 1"), "sources")["pipeline_id"]
        second = daemon.upload_version(one, spec_text(script="echo 2"), "second")["pipeline_version_id"]
        latest = daemon.create_run(name="latest", pipeline_version_reference={"pipeline_id": one})
        assert latest["pipeline_version_reference"] == {"pipeline_id": one, "pipeline_version_id": second}
        assert "pipeline_spec" not in latest
        old = daemon.create_run(name="deprecated field", pipeline_version_id=second)
        assert old["pipeline_version_reference"]["pipeline_version_id"] == second
        other = daemon.upload(spec_text(), "another")["pipeline_id"]
        answer = daemon.create_run(name="mismatch", expect=400, pipeline_version_reference={
            "pipeline_id": other, "pipeline_version_id": second})
        assert "belongs to" in answer["message"]
        daemon.create_run(name="x", expect=404, pipeline_version_reference={"pipeline_id": NOBODY})
        daemon.create_run(name="x", expect=404, pipeline_version_reference={
            "pipeline_id": one, "pipeline_version_id": NOBODY})
        daemon.create_run(name="x", expect=400)
        daemon.create_run(shell_spec(), name="x", expect=400,
                          pipeline_version_reference={"pipeline_id": one})
        daemon.create_run(shell_spec(), name="x", expect=404, experiment_id=NOBODY)
        wrapped = {"pipeline_spec": shell_spec(), "platform_spec": {"platforms": {"kubernetes": {}}}}
        assert set(daemon.create_run(wrapped, "wrapped")["pipeline_spec"]) == set(wrapped)

    @pytest.mark.parametrize("fields, part", [
        ({"display_name": ""}, "display_name"),
        ({"run_id": "../../etc"}, "run_id"),
        ({"plugins_input": {"x": {}}}, "plugins"),
        ({"scheduled_at": "2026-01-01T00:00:00"}, "scheduled_at"),
        ({"storage_state": "LOST"}, "storage_state"),
        ({"runtime_config": {"parameters": {"y": 1}}}, "y"),
        ({"runtime_config": {"parameters": []}}, "runtime_config.parameters"),
        ({"pipeline_spec": {"root": {}}}, "valid"),
    ])
    def test_refused(self, daemon, fields, part):
        body = {"display_name": "bad", "pipeline_spec": shell_spec(), **fields}
        before = daemon.get(f"{V2}/runs").get("total_size", 0)
        answer = daemon.post(f"{V2}/runs", body, expect=400)
        assert part in answer["message"]
        assert daemon.get(f"{V2}/runs").get("total_size", 0) == before

    def test_all_parameter_complaints_at_once(self, daemon):
        answer = daemon.create_run(shell_spec(inputs={"a": None, "b": None}), expect=400,
                                   parameters={"b": 5, "c": "x"})
        assert all(f"'{name}'" in answer["message"] or name in answer["message"] for name in "abc")

    def test_own_id_is_idempotent(self, daemon):
        chosen = "0b5f2a52-31c2-4c7f-9d56-7a2b1b9c3d4e"
        first = daemon.create_run(shell_spec(), "mine", run_id=chosen)
        again = daemon.create_run(shell_spec(), "mine", run_id=chosen)
        assert first["run_id"] == again["run_id"] == chosen
        assert first["created_at"] == again["created_at"]
        daemon.delete(f"{V2}/runs/{chosen}")

    def test_scheduled_at_and_storage_state_are_kept(self, daemon):
        run = daemon.create_run(shell_spec(), "fields", scheduled_at="2026-01-01T09:00:00+09:00",
                                storage_state="ARCHIVED")
        assert run["scheduled_at"] == "2026-01-01T00:00:00Z" and run["storage_state"] == "ARCHIVED"

    def test_final_runs(self, daemon):
        run = daemon.create_run(shell_spec())["run_id"]
        daemon.wait_run(run)
        assert daemon.post(f"{V2}/runs/{run}:terminate") == {}
        assert daemon.run(run)["state"] == "SUCCEEDED"
        assert daemon.post(f"{V2}/runs/{run}:retry", expect=501)["code"] == 12
        for verb in (":terminate", ":archive", ":unarchive"):
            daemon.post(f"{V2}/runs/{NOBODY}{verb}", expect=404)
        daemon.delete(f"{V2}/runs/{run}")
        daemon.delete(f"{V2}/runs/{run}", expect=404)

    def test_lists(self, daemon):
        one = daemon.post(f"{V2}/experiments", {"display_name": "lists"})["experiment_id"]
        ids = [daemon.create_run(shell_spec(), f"run {i}", experiment_id=one)["run_id"] for i in range(5)]
        for run in ids:
            daemon.wait_run(run)
        seen, token = [], ""
        while True:
            page = daemon.get(f"{V2}/runs", experiment_id=one, page_size=2, page_token=token,
                              sort_by="name desc")
            assert page["total_size"] == 5
            seen += [r["display_name"] for r in page["runs"]]
            token = page.get("next_page_token", "")
            if not token:
                break
        assert seen == [f"run {i}" for i in (4, 3, 2, 1, 0)]
        done = json.dumps({"predicates": [
            {"operation": "IN", "key": "state", "string_values": {"values": ["SUCCEEDED"]}},
            {"operation": "IS_SUBSTRING", "key": "name", "string_value": "RUN"},
            {"operation": "GREATER_THAN", "key": "finished_at", "timestamp_value": "2001-01-01T00:00:00Z"},
            {"operation": "EQUALS", "key": "status", "string_value": "Succeeded"}]})
        assert daemon.get(f"{V2}/runs", experiment_id=one, filter=done)["total_size"] == 5
        daemon.get(f"{V2}/runs", expect=404, experiment_id=NOBODY)

    def test_reads_follow_changes(self, daemon):
        """What was shown before must not be shown again once the record has changed."""
        experiment = daemon.post(f"{V2}/experiments", {"display_name": "follow"})["experiment_id"]

        def read(run_id):
            """Twice, so that the second one may be remembered; alone and in the list."""
            shown = []
            for _ in range(2):
                one = daemon.run(run_id)
                (row,) = daemon.get(f"{V2}/runs", experiment_id=experiment)["runs"]
                one.pop("run_details", None)
                assert one == row
                shown.append(one)
            assert shown[0] == shown[1]
            return shown[0]

        run_id = daemon.create_run(shell_spec(), "follow", experiment_id=experiment)["run_id"]
        daemon.wait_run(run_id)
        ended = read(run_id)
        assert ended["state"] == "SUCCEEDED" and len(ended["state_history"]) == 3
        daemon.post(f"{V2}/runs/{run_id}:archive")
        assert read(run_id)["storage_state"] == "ARCHIVED"
        daemon.post(f"{V2}/runs/{run_id}:unarchive")
        assert read(run_id) == ended
        daemon.delete(f"{V2}/runs/{run_id}")
        daemon.get(f"{V2}/runs/{run_id}", expect=404)
        assert daemon.get(f"{V2}/runs", experiment_id=experiment) == {}
        daemon.create_run(shell_spec(), "another", experiment_id=experiment, run_id=run_id)
        assert daemon.wait_run(run_id)["display_name"] == "another"
        assert read(run_id)["display_name"] == "another"

    def test_totals_are_exact(self, daemon):
        experiment = daemon.post(f"{V2}/experiments", {"display_name": "totals"})["experiment_id"]
        ids = [daemon.create_run(shell_spec(), f"t{i}", experiment_id=experiment)["run_id"] for i in range(7)]
        for params in ({}, {"sort_by": "created_at"}, {"sort_by": "created_at desc"}, {"sort_by": "name"}):
            seen, token = [], ""
            while token is not None:
                page = daemon.get(f"{V2}/runs", experiment_id=experiment, page_size=3, page_token=token, **params)
                assert page["total_size"] == 7
                seen += [run["run_id"] for run in page["runs"]]
                token = page.get("next_page_token")
            assert seen == (ids[::-1] if "desc" in params.get("sort_by", "") else ids)

    def test_newest_first_pages_through_everything(self, daemon):
        for i in range(7):
            daemon.create_run(shell_spec(), f"page {i}")
        total = daemon.get(f"{V2}/runs")["total_size"]
        seen, token = [], ""
        while True:
            page = daemon.get(f"{V2}/runs", page_size=3, page_token=token, sort_by="created_at desc")
            assert page["total_size"] == total
            seen += [r["run_id"] for r in page["runs"]]
            token = page.get("next_page_token", "")
            if not token:
                break
        assert len(seen) == total == len(set(seen))


class TestRecurringRuns:
    def test_reply_has_times(self, daemon):
        one = recurring(daemon, mode="ENABLE", trigger={"cron_schedule": {
            "cron": "0 30 9 * * *", "time_zone": "Asia/Seoul"}})
        assert one["status"] == "ENABLED" and one["mode"] == "ENABLE" and one["max_concurrency"] == "1"
        assert len(one["next_run_times"]) == 3
        assert all(t.endswith("T00:30:00Z") for t in one["next_run_times"])
        assert one["time_zone"] == "Asia/Seoul" and one["generation"] == 1
        listed = daemon.get(f"{V2}/recurringruns", page_size=200)
        assert one["recurring_run_id"] in [r["recurring_run_id"] for r in listed["recurringRuns"]]
        daemon.post(f"{V2}/recurringruns/{one['recurring_run_id']}:disable")
        off = daemon.get(f"{V2}/recurringruns/{one['recurring_run_id']}")
        assert off["status"] == "DISABLED" and "next_run_times" not in off
        assert daemon.delete(f"{V2}/recurringruns/{one['recurring_run_id']}") == {}
        daemon.get(f"{V2}/recurringruns/{one['recurring_run_id']}", expect=404)

    @pytest.mark.parametrize("sort", ["name", "name desc", "created_at", "created_at desc"])
    def test_pages_of_an_experiment(self, daemon, sort):
        """No index serves them: each record is looked at, and those of the page are kept."""
        one = daemon.post(f"{V2}/experiments", {"display_name": f"pages by {sort}"})["experiment_id"]
        made = [recurring(daemon, experiment_id=one, display_name=f"r {i * 7 % 50:02d}") for i in range(50)]
        expected = made if "created" in sort else sorted(made, key=lambda r: r["display_name"])
        expected = expected[::-1] if "desc" in sort else expected
        for size in (1, 7, 25, 50, 60):
            seen, token = [], ""
            while True:
                page = daemon.get(f"{V2}/recurringruns", experiment_id=one, sort_by=sort, page_size=size,
                                  page_token=token)
                assert page["total_size"] == 50
                seen += [r["display_name"] for r in page["recurringRuns"]]
                token = page.get("next_page_token", "")
                if not token:
                    break
            assert seen == [r["display_name"] for r in expected]

    def test_reads_follow_changes(self, daemon):
        one = recurring(daemon, mode="ENABLE", trigger={"periodic_schedule": {"interval_second": "1"}})
        path = f"{V2}/recurringruns/{one['recurring_run_id']}"
        first = daemon.get(path)

        def advanced():
            """It fires: the next times must move with it, alone and in the list."""
            now = daemon.get(path)
            rows = daemon.get(f"{V2}/recurringruns", page_size=200, sort_by="created_at desc")["recurringRuns"]
            assert [row for row in rows if row["recurring_run_id"] == one["recurring_run_id"]]
            return now.get("last_run_time", "") > first["created_at"] and (
                now["next_run_times"][0] > first["next_run_times"][0])
        wait_for(advanced, 60, "the next times to move on")
        daemon.post(path + ":disable")
        for _ in range(2):
            assert "next_run_times" not in daemon.get(path) and daemon.get(path)["status"] == "DISABLED"
        daemon.post(path + ":enable")
        for _ in range(2):
            assert daemon.get(path)["status"] == "ENABLED" and daemon.get(path)["next_run_times"]
        daemon.delete(path)
        daemon.get(path, expect=404)

    def test_zone_beside_the_trigger(self, daemon):
        one = recurring(daemon, time_zone="Europe/Berlin")
        assert one["time_zone"] == "Europe/Berlin"
        recurring(daemon, 400, time_zone="Europe/Berlin", trigger={"cron_schedule": {
            "cron": "0 0 9 * * *", "time_zone": "Asia/Seoul"}})
        recurring(daemon, 400, time_zone="Mars/Olympus")
        recurring(daemon, 400, time_zone="Asia/Seoul", trigger={"periodic_schedule": {
            "interval_second": 60}})

    @pytest.mark.parametrize("fields, part", [
        ({"display_name": ""}, "display_name"),
        ({"max_concurrency": 0}, "max_concurrency"),
        ({"max_concurrency": "11"}, "max_concurrency"),
        ({"max_concurrency": ...}, "max_concurrency"),
        ({"trigger": {"cron_schedule": {"cron": "61 * * * * *"}}}, "61"),
        ({"trigger": {"cron_schedule": {"cron": "0 0 0 30 2 *"}}}, "30"),
        ({"trigger": {"cron_schedule": {"cron": ""}}}, "cron"),
        ({"trigger": {"cron_schedule": {"cron": "* " * 500000}}}, "cron"),
        ({"trigger": {"periodic_schedule": {"interval_second": "0"}}}, "interval_second"),
        ({"trigger": {"periodic_schedule": {"interval_second": "-5"}}}, "interval_second"),
        ({"trigger": {"periodic_schedule": {"interval_second": 60},
                      "cron_schedule": {"cron": "0 0 9 * * *"}}}, "only one of"),
        ({"trigger": {"periodic_schedule": {"interval_second": 60, "start_time": "2030-01-01T00:00:00Z",
                                            "end_time": "2029-01-01T00:00:00Z"}}}, "end_time"),
        ({"mode": "SOMETIMES"}, "mode"),
        ({"pipeline_spec": ...}, "which pipeline"),
        ({"runtime_config": {"parameters": {"y": 1}}}, "y"),
    ])
    def test_refused(self, daemon, fields, part):
        answer = recurring(daemon, 400, **fields)
        assert part in answer["message"], answer

    def test_fires_with_slot_and_macros(self, daemon):
        one = recurring(daemon, mode="ENABLE", pipeline_spec=shell_spec(inputs={"at": None}),
                        runtime_config={"parameters": {"at": "[[ScheduledTime.2006-01-02T15:04:05Z]]"}},
                        trigger={"periodic_schedule": {"interval_second": 1}}, no_catchup=True)
        only = json.dumps({"predicates": [{"operation": "EQUALS", "key": "recurring_run_id",
                                           "string_value": one["recurring_run_id"]}]})
        runs = wait_for(lambda: daemon.get(f"{V2}/runs", filter=only).get("runs"), 60, "a run")
        daemon.post(f"{V2}/recurringruns/{one['recurring_run_id']}:disable")
        run = daemon.wait_run(runs[0]["run_id"])
        task = daemon.tasks(run["run_id"])["main"]
        assert task["inputs"]["parameters"]["at"] == run["scheduled_at"]
        record = daemon.get(f"{V2}/recurringruns/{one['recurring_run_id']}")
        assert record["last_run_time"] >= run["scheduled_at"]

    def test_follows_the_latest_version(self, daemon):
        pipeline = daemon.upload(spec_text(), "followed")["pipeline_id"]
        one = recurring(daemon, pipeline_spec=..., pipeline_version_reference={"pipeline_id": pipeline})
        assert one["pipeline_version_reference"] == {"pipeline_id": pipeline}
        recurring(daemon, 404, pipeline_spec=..., pipeline_version_reference={"pipeline_id": NOBODY})


class TestRondo:
    def test_next_times(self, daemon):
        answer = daemon.get(f"{V1}/schedules:next", cron="30 9 * * 1-5", time_zone="Asia/Seoul",
                            **{"from": "2026-11-23T00:00:00Z", "n": 2})
        assert answer["times"] == ["2026-11-23T00:30:00Z", "2026-11-24T00:30:00Z"]
        assert answer["time_zone"] == "Asia/Seoul" and answer["description"]
        for bad in ({}, {"cron": "x"}, {"cron": "* * * * *", "n": 0}, {"cron": "* * * * *", "from": "now"},
                    {"cron": "* * * * *", "time_zone": "Nowhere/City"}, {"cron": "0 0 30 2 *"}):
            assert daemon.get(f"{V1}/schedules:next", expect=400, **bad)["code"] == 3

    def test_next_ticks_of_a_document(self, daemon):
        holiday = ("BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nSUMMARY:Spring break\r\nDTSTART;VALUE=DATE:20260309\r\n"
                   "END:VEVENT\r\nEND:VCALENDAR\r\n")
        answer = daemon.post(f"{V1}/schedules:next", {
            "schedules": ["30 2 * * *", "CRON_TZ=UTC 0 12 * * mon"], "time_zone": "America/New_York",
            "exclude": holiday, "from": "2026-03-08T00:00:00Z", "n": 4})
        first, second, third, fourth = answer["ticks"]
        assert (first["time"], first["dst"], first["wanted"]) == ("2026-03-08T07:00:00Z", "gap-shifted", "02:30:00")
        assert first["local"] == "2026-03-08T03:00:00-04:00" and "excluded" not in first
        assert "Spring break" in second["excluded"] and "Spring break" in third["excluded"]
        assert answer["times"] == [first["time"], fourth["time"]]
        assert any("02:30 does not exist" in hint for hint in answer["hints"])
        many = daemon.post(f"{V1}/schedules:next", {"cron": "* * * * *", "n": 1000})
        assert len(many["times"]) == 1000 and "fires 1,440 times a day" in many["hints"]
        hashed = daemon.post(f"{V1}/schedules:next", {"cron": "H H * * *", "hash_key": "a", "n": 2})
        assert hashed["ticks"] == daemon.post(f"{V1}/schedules:next", {
            "cron": "H H * * *", "hash_key": "a", "n": 2})["ticks"]
        for bad in ({}, {"cron": "H H * * *"}, {"cron": "@daily", "n": 1001}, {"cron": "@daily", "exclude": "x"},
                    {"cron": "@daily", "profile": "x"}, {"cron": "@daily", "colour": "red"}):
            assert daemon.post(f"{V1}/schedules:next", bad, expect=400)["code"] == 3

    def test_subscriptions(self):
        with Receiver() as receiver, Daemon(settings={
                "executor": "noop", "webhook_allow": "127.0.0.1"}) as daemon:
            made = daemon.post(f"{V1}/subscriptions", {
                "name": "all", "url": receiver.url, "events": ["run.*", "task.finished"]})
            receiver.secret = made["secret"]
            assert made["secret"].startswith("whsec_")
            shown = daemon.get(f"{V1}/subscriptions/{made['id']}")
            assert "secret" not in shown
            assert [s["id"] for s in daemon.get(f"{V1}/subscriptions")["subscriptions"]] == [made["id"]]
            run = daemon.create_run(shell_spec(), "told")["run_id"]
            daemon.wait_run(run)
            receiver.wait_events(1, "run.finished")
            assert all(receiver.verify(r) for r in receiver.requests)
            assert receiver.events("task.finished")

            def delivered():
                rows = daemon.get(f"{V1}/subscriptions/{made['id']}/deliveries")["deliveries"]
                return rows if rows and all(r["state"] == "DELIVERED" for r in rows) else None
            assert wait_for(delivered, 60, "the deliveries")
            assert daemon.metric('rondo_webhook_deliveries_total{result="delivered"}') >= 2
            daemon.post(f"{V1}/subscriptions", {"url": "nonsense"}, expect=400)
            daemon.delete(f"{V1}/subscriptions/{made['id']}")
            daemon.get(f"{V1}/subscriptions/{made['id']}", expect=404)
            daemon.get(f"{V1}/subscriptions/{made['id']}/deliveries", expect=404)

    def test_git_trigger(self, daemon):
        import hmac
        pipeline = daemon.upload(spec_text(inputs={"commit": None}), "pushed")["pipeline_id"]
        made = daemon.post(f"{V1}/triggers/git", {
            "name": "main branch", "forge": "github", "secret": "a long shared secret", "branches": ["main"],
            "pipeline_id": pipeline, "parameters": {"commit": {"from": "/after"}}})
        assert "a long shared secret" not in json.dumps(daemon.get(f"{V1}/triggers/git"))
        body = json.dumps({"ref": "refs/heads/main", "after": "a" * 40, "before": "b" * 40,
                           "repository": {"full_name": "me/it"}, "deleted": False}).encode()
        good = "sha256=" + hmac.new(b"a long shared secret", body, hashlib.sha256).hexdigest()
        headers = {"X-GitHub-Event": "push", "X-GitHub-Delivery": NOBODY, "X-Hub-Signature-256": good,
                   "Content-Type": "application/json", "Host": "forge.example.com"}
        answer = daemon.call("POST", f"/hooks/git/{made['id']}", None, data=body, headers=headers)
        assert answer.status_code in (200, 201, 202), answer.text
        only = json.dumps({"predicates": [{"operation": "IS_SUBSTRING", "key": "name",
                                           "string_value": ""}]})
        runs = daemon.get(f"{V2}/runs", filter=only, page_size=200, sort_by="created_at desc")["runs"]
        run = next(r for r in runs if r.get("pipeline_version_reference", {}).get("pipeline_id") == pipeline)
        assert run["runtime_config"]["parameters"]["commit"] == "a" * 40
        headers["X-Hub-Signature-256"] = "sha256=" + "0" * 64
        # as if there were no such trigger: nobody learns which exist
        assert daemon.call("POST", f"/hooks/git/{made['id']}", None, data=body,
                           headers=headers).status_code in (401, 403, 404)
        daemon.delete(f"{V1}/triggers/git/{made['id']}")
        daemon.get(f"{V1}/triggers/git/{made['id']}", expect=404)

    def test_logs_tasks_and_artifacts(self):
        with Daemon() as daemon:
            spec = shell_spec("echo one; echo two >&2; mkdir -p \"$(dirname $0)\"; head -c 3000000 /dev/zero > $0")
            spec["components"]["comp-main"]["outputDefinitions"] = {"artifacts": {"blob": {
                "artifactType": {"schemaTitle": "system.Artifact", "schemaVersion": "0.0.1"}}}}
            container = spec["deploymentSpec"]["executors"]["exec-main"]["container"]
            container["args"] = ["{{$.outputs.artifacts['blob'].path}}"]
            run = daemon.create_run(spec)["run_id"]
            daemon.wait_run(run)
            log = daemon.run_log(run, "main")
            assert "one" in log and "two" in log
            daemon.call("GET", f"{V1}/runs/{run}/logs", 400, params={"max_bytes": "x"})
            daemon.call("GET", f"{V1}/runs/{NOBODY}/logs", 404)
            listed = daemon.get(f"{V1}/runs/{run}/artifacts")["artifacts"]
            assert len(listed) == 1 and listed[0]["output"] == "blob" and listed[0]["task"] == "main"
            assert listed[0]["files"] == [{"file": "", "size": 3000000}]
            blob = daemon.call("GET", f"{V1}/runs/{run}/artifacts:content",
                               params={"task": "main", "name": "blob"})
            assert len(blob.content) == 3000000 and blob.headers["Content-Disposition"] == "attachment"
            daemon.call("HEAD", f"{V1}/runs/{run}/artifacts:content", params={"task": "main", "name": "blob"})
            for bad in ({"task": "main", "name": "x"}, {"task": "x", "name": "blob"},
                        {"task": "main", "name": "blob", "index": 1},
                        {"task": "main", "name": "blob", "file": "../../../port"}):
                answer = daemon.call("GET", f"{V1}/runs/{run}/artifacts:content", None, params=bad)
                assert answer.status_code in (400, 403, 404), bad
            # leave in the middle of the download, many times
            for _ in range(10):
                with socket.create_connection(("127.0.0.1", daemon.port), 60) as sock:
                    sock.sendall(f"GET {V1}/runs/{run}/artifacts:content?task=main&name=blob HTTP/1.1\r\n"
                                 "Host: localhost\r\n\r\n".encode())
                    sock.recv(1000)
            assert daemon.get("/healthz")["status"] == "ok"
            daemon.get(f"{V1}/runs/{NOBODY}/tasks", expect=404)


class TestHealth:
    def test_metrics(self, daemon):
        text = daemon.call("GET", "/metrics")
        assert text.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        names = {line.split()[2] for line in text.text.splitlines() if line.startswith("# TYPE")}
        assert {"rondo_build_info", "rondo_uptime_seconds", "process_resident_memory_bytes",
                "rondo_fire_lateness_seconds", "rondo_http_requests_total"} <= names
        before = daemon.metric('rondo_http_requests_total{status="4xx"}')
        daemon.get("/nothing", expect=404)
        assert daemon.metric('rondo_http_requests_total{status="4xx"}') == before + 1

    def test_redis_away(self):
        with Redis() as redis, Daemon(redis=redis.url, settings={"executor": "noop"}) as daemon:
            daemon.create_run(shell_spec(), "before")
            redis.stop()
            wait_for(lambda: daemon.call("GET", "/readyz", None).status_code == 503, 60, "not ready")
            assert daemon.get("/readyz", expect=503)["waits_for"] == "Redis"
            assert daemon.get("/healthz")["status"] == "ok"
            answer = daemon.get(f"{V2}/experiments", expect=503)
            assert answer["code"] == 14 and len(answer["message"]) > 10
            daemon.create_run(shell_spec(), expect=503)
            assert daemon.metric("rondo_redis_up") == 0
            redis.start()
            daemon.wait_ready()
            assert daemon.get(f"{V2}/runs")["total_size"] == 1
