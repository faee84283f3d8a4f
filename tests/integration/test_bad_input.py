# SPDX-License-Identifier: Apache-2.0
"""Whatever comes in: a clear 4xx, nothing stored, bounded memory, the daemon up, sanitizers silent."""

import contextlib
import gzip
import io
import json
import socket
import struct
import tarfile
import threading
import zipfile
import zlib

import pytest

from rondo_testing import SHARED, Daemon, shell_spec, wait_for

V1 = "/apis/rondo/v1"
V2 = "/apis/v2beta1"
GOOD = json.dumps(shell_spec())
# AddressSanitizer keeps freed memory in a quarantine of 256 MiB, so that what is resident would
# tell of its fill. With a small one the largest bodies at once leave about 170 MiB behind.
SANITIZER = "detect_leaks=1:exitcode=99:quarantine_size_mb=16:thread_local_quarantine_size_kb=256"
GROWTH_MAX = 400 << 20


@pytest.fixture(scope="module")
def daemon():
    """One for all: it must survive everything. Its exit code tells what the sanitizers saw."""
    with Daemon(settings={"executor": "noop", "max_connections": 2000, "http_timeout": "4s"},
                env={"ASAN_OPTIONS": SANITIZER}) as one:
        one.session.headers["Connection"] = "close"  # http-timeout would end it between two requests
        yield one


@pytest.fixture(autouse=True)
def stays_well(daemon):
    before = daemon.resident()
    counts = stored(daemon)
    yield
    daemon.check_alive()
    assert daemon.get(f"{V2}/healthz") is not None
    assert stored(daemon) == counts, "something was stored"
    assert daemon.resident() - before < GROWTH_MAX


def stored(daemon):
    sizes = [daemon.get(f"{V2}/{kind}", page_size=1).get("total_size", 0)
             for kind in ("pipelines", "runs", "recurringruns", "experiments")]
    return sizes + [len(daemon.get(f"{V1}/subscriptions")["subscriptions"])]


def upload(daemon, data, filename="pipeline.yaml", expect=400):
    answer = daemon.call("POST", f"{V2}/pipelines/upload", None, params={"name": "bad"},
                         files={"uploadfile": (filename, data)})
    assert answer.status_code in (expect if isinstance(expect, tuple) else (expect,)), answer.text[:500]
    message = answer.json()["message"]
    assert 10 < len(message) < 40000
    return message


def status_of(answer):
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.") else None


def zip_of(members, **kwargs):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, **kwargs) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return out.getvalue()


def tar_of(members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            if data is None:
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            else:
                info.size = len(data)
            archive.addfile(info, io.BytesIO(data or b""))
    return out.getvalue()


class TestUploads:
    def test_invalid_corpus(self, daemon):
        folder = SHARED / "kfp-corpus" / "invalid"
        if not folder.exists():
            pytest.skip("../shared/kfp-corpus is not here")
        files = sorted(folder.iterdir())
        assert len(files) >= 6
        for file in files:
            upload(daemon, file.read_bytes(), file.name)

    @pytest.mark.parametrize("data, word", [
        (b"", "empty"), (b"\n\n---\n---\n", ""), (b"just text", ""), (b"- a\n- b\n", ""), (b"a: [", "line"),
        (b"a: b: c", "line 1"), (b"\xff\xfe\xfd", ""), (b"a: \x00", ""), (b"\x00" * 4096, ""), (b"key: \xc3\x28", ""),
        (b"? " * 10000, ""), (b"a: &x [*x]", ""), (b"<<: {a: b}", ""), (b"!!python/object:os.system {}", ""),
        (b"{" * 100000, ""), (b"[" * 100000, ""), (b"- " * 50000, ""), (b"a:\n" + b"".join(
            b" " * n + b"a:\n" for n in range(1, 2000)), ""), (b"a: 1\na: 2\n", ""), (b"%YAML 9.9\n---\na: 1", ""),
        (b"\xef\xbb\xbf", ""), (b"a: \"" + b"x" * (1 << 20), "")])
    def test_yaml(self, daemon, data, word):
        assert word in upload(daemon, data)

    def test_billion_laughs(self, daemon):
        lines = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
        lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
        upload(daemon, "\n".join(lines))
        maps = ["a0: &a0 {x: 1, y: 2}"] + [f"a{n}: &a{n} {{x: *a{n - 1}, y: *a{n - 1}, <<: *a{n - 1}}}" for n in range(1, 40)]
        upload(daemon, "\n".join(maps))

    def test_a_long_cycle_of_tasks_and_components(self, daemon):
        spec = shell_spec()
        spec["components"]["comp-main"] = {"dag": {"tasks": {"again": {
            "taskInfo": {"name": "again"}, "componentRef": {"name": "comp-main"}}}}}
        upload(daemon, json.dumps(spec))
        spec = shell_spec()
        spec["root"]["dag"]["tasks"] = {f"t{n}": {
            "taskInfo": {"name": f"t{n}"}, "componentRef": {"name": "comp-main"},
            "dependentTasks": [f"t{(n + 1) % 500}"]} for n in range(500)}
        upload(daemon, json.dumps(spec))

    def test_components_that_multiply(self, daemon):
        """Ten tasks in each of twelve levels: 10^12 tasks in a page of text."""
        spec = shell_spec()
        for level in range(12):
            inner = "comp-main" if level == 0 else f"comp-{level - 1}"
            spec["components"][f"comp-{level}"] = {"dag": {"tasks": {f"t{n}": {
                "taskInfo": {"name": f"t{n}"}, "componentRef": {"name": inner}} for n in range(10)}}}
        spec["root"]["dag"]["tasks"]["main"]["componentRef"]["name"] = "comp-11"
        upload(daemon, json.dumps(spec))

    def test_many_complaints_are_cut(self, daemon):
        spec = shell_spec()
        spec["root"]["dag"]["tasks"] = {f"task-{n}": {"componentRef": {"name": "ghost" * 20}} for n in range(5000)}
        assert "more" in upload(daemon, json.dumps(spec))[-200:]

    @pytest.mark.parametrize("members", [
        [], [("readme.txt", b"x")], [("a.yaml", b""), ("b.yaml", b"")], [("../../etc/cron.d/x", b"x")],
        [("dir/", b"")], [("pipeline.yaml", b"\x00" * 1000)], [("x" * 60000 + ".yaml", b"a: 1")]])
    def test_zips(self, daemon, members):
        upload(daemon, zip_of(members), "p.zip")

    def test_bombs(self, daemon):
        zeros = b"0" * (300 << 20)
        upload(daemon, zip_of([("pipeline.yaml", zeros)]), "p.zip", (400, 413))
        upload(daemon, tar_of([("pipeline.yaml", zeros)]), "p.tar.gz", (400, 413))
        upload(daemon, gzip.compress(zeros), "p.tar.gz", (400, 413))
        del zeros
        inner = zip_of([("pipeline.zip", zip_of([("pipeline.yaml", b"0" * (20 << 20))]))])
        upload(daemon, inner, "p.zip")
        upload(daemon, zip_of([(f"f{n}", b"") for n in range(30000)]), "p.zip")
        upload(daemon, tar_of([(f"f{n}", b"") for n in range(30000)]), "p.tar.gz")

    def test_lying_zip(self, daemon):
        """The directory says 10 bytes, the data are 50 MiB."""
        data = bytearray(zip_of([("pipeline.yaml", b"0" * (50 << 20))]))
        for mark, at in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
            where = data.index(mark) + at
            data[where:where + 4] = struct.pack("<I", 10)
        upload(daemon, bytes(data), "p.zip", (400, 413))

    @pytest.mark.parametrize("name, data", [("p.tar.gz", None), ("p.tar.gz", b"\x1f\x8b" + b"\xff" * 100),
                                            ("p.zip", b"PK\x03\x04" + b"\xff" * 100), ("p.zip", b"PK\x05\x06" + b"\x00" * 18),
                                            ("p.tar.gz", zlib.compress(b"x")), ("p.exe", b"MZ"), ("", b"x"),
                                            ("../../p.yaml", b"a: ["), ("p.yaml\x00.zip", b"a: [")])
    def test_broken_archives(self, daemon, name, data):
        upload(daemon, tar_of([("pipeline.yaml", None)]) if data is None else data, name)

    @pytest.mark.parametrize("body, kind", [
        (b"", "multipart/form-data"), (b"x", "multipart/form-data; boundary="), (b"--b", "multipart/form-data; boundary=b"),
        (b"--b\r\n\r\n", "multipart/form-data; boundary=b"), (b"--b--", "multipart/form-data; boundary=b"),
        (b"--b\r\nContent-Disposition: form-data; name=uploadfile; filename=\"\r\n\r\nx\r\n--b--",
         "multipart/form-data; boundary=b"), (b"--b\r\n" + b"A: b\r\n" * 20000 + b"\r\n\r\n--b--",
                                              "multipart/form-data; boundary=b"),
        (b"--" + b"b" * 5000, "multipart/form-data; boundary=" + "b" * 5000), (GOOD.encode(), "application/json"),
        (b"--b\r\n\r\n--b\r\n\r\n" * 20000, "multipart/form-data; boundary=b")])
    def test_multipart(self, daemon, body, kind):
        answer = daemon.call("POST", f"{V2}/pipelines/upload", 400, data=body, headers={"Content-Type": kind})
        assert answer.json()["message"]


class TestJson:
    @pytest.mark.parametrize("path", [f"{V2}/experiments", f"{V2}/pipelines", f"{V2}/runs", f"{V2}/recurringruns",
                                      f"{V2}/pipelines/create", f"{V1}/subscriptions", f"{V1}/triggers/git"])
    @pytest.mark.parametrize("body", [
        b"{", b"[]", b"null", b"7", b'"x"', b"{}{}", b'{"a":1,"a":2}', b"{'a':1}", b'{"display_name":5}', b'{"display_name":null}',
        b'{"display_name":["x"]}', b'{"display_name":{}}', b"\xff\xfe{}", b'{"display_name":"\xff"}', b'{"display_name":"\\ud800"}',
        b'{"display_name":"\\u0000"}', b"[" * 200000, b'{"a":' * 100000, b'{"n":1e999}', b'{"n":' + b"9" * 100000 + b"}",
        b'{"display_name":"' + b"x" * 1000000 + b'"}', b'{"unknown_member":1,"url":1}', b"\x00"])
    def test_bodies(self, daemon, path, body):
        answer = daemon.call("POST", path, None, data=body, headers={"Content-Type": "application/json"})
        assert 400 <= answer.status_code < 500, (answer.status_code, answer.text[:300])
        assert answer.status_code in (404, 405) or answer.json()["message"]

    def test_a_cron_line_of_one_megabyte(self, daemon):
        for cron in ("* " * 500000, "1," * 300000 + "1 * * * *", "@every " + "9" * 1000000, "x" * 1000000):
            answer = daemon.call("POST", f"{V2}/recurringruns", 400, json={
                "display_name": "r", "max_concurrency": "1", "mode": "ENABLE", "pipeline_spec": shell_spec(),
                "trigger": {"cron_schedule": {"cron": cron}}})
            assert len(answer.text) < 5000 and "cron" in answer.text
        daemon.call("GET", f"{V1}/schedules:next", (400), params={"cron": "* " * 20000})

    @pytest.mark.parametrize("changes", [
        {"max_concurrency": "0"}, {"max_concurrency": "11"}, {"max_concurrency": "x"}, {"max_concurrency": -1},
        {"mode": "SOMETIMES"}, {"mode": 7}, {"trigger": {"cron_schedule": {}}},
        {"trigger": {"periodic_schedule": {"interval_second": "0"}}},
        {"trigger": {"periodic_schedule": {"interval_second": "9" * 40}}},
        {"trigger": {"periodic_schedule": {"interval_second": "60", "start_time": "soon"}}},
        {"trigger": {"cron_schedule": {"cron": "0 0 30 2 *"}}}, {"pipeline_spec": {}}, {"pipeline_spec": "text"},
        {"trigger": {"cron_schedule": {"cron": "* * * * *", "time_zone": "../../etc/passwd"}}},
        {"trigger": {"cron_schedule": {"cron": "CRON_TZ=/etc/passwd * * * * *"}}},
        {"pipeline_version_reference": {"pipeline_id": "x"}}, {"experiment_id": "../.."}, {"display_name": ""},
        {"display_name": "x\u0000y"}, {"runtime_config": []}, {"runtime_config": {"parameters": []}},
        {"runtime_config": {"parameters": {"ghost": 1}}}])
    def test_recurring_runs(self, daemon, changes):
        body = {"display_name": "r", "max_concurrency": "1", "mode": "ENABLE", "pipeline_spec": shell_spec(),
                "trigger": {"cron_schedule": {"cron": "0 0 9 * * *"}}, **changes}
        answer = daemon.call("POST", f"{V2}/recurringruns", None, json=body)
        assert answer.status_code in (400, 404) and answer.json()["message"], answer.text

    @pytest.mark.parametrize("query", [
        "page_size=x", "page_size=-1", "page_size=99999999999999999999", "page_token=garbage", "page_token=" + "A" * 10000, "sort_by=ghost", "sort_by=" + "a" * 10000, "filter={", "filter=" + "%5B" * 5000,
        "filter=%7B%22predicates%22%3A7%7D"])
    def test_lists(self, daemon, query):
        for kind in ("runs", "pipelines", "experiments", "recurringruns"):
            answer = daemon.call("GET", f"{V2}/{kind}?{query}", None)
            assert answer.status_code == 400 and answer.json()["message"], (kind, answer.text)


class TestSizes:
    def test_declared_too_large(self, daemon):
        """libevent answers when the body has come; one that never comes is cut off after http-timeout."""
        head = (b"POST /apis/v2beta1/experiments HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                b"Content-Length: 99999999999\r\n")
        assert status_of(daemon.raw(head + b"\r\n{", timeout=60)) in (413, None)
        for length in (b"-1", b"x", b"1e3", b"18446744073709551616", b"9223372036854775808", b"0x10", b"1, 1"):
            answer = daemon.raw(b"POST /apis/v2beta1/experiments HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                                b"Content-Length: " + length + b"\r\n\r\n{}", timeout=60)
            assert status_of(answer) in (400, 413, None), (length, answer[:200])

    def test_chunked_too_large(self, daemon):
        piece = b"%x\r\n%s\r\n" % (1 << 20, b"x" * (1 << 20))
        with socket.create_connection(("127.0.0.1", daemon.port), 60) as sock:
            sock.sendall(b"POST /apis/v2beta1/experiments HTTP/1.1\r\nHost: localhost\r\n"
                         b"Transfer-Encoding: chunked\r\n\r\n")
            with contextlib.suppress(OSError):
                for _ in range(60):
                    sock.sendall(piece)
            answer = b""
            with contextlib.suppress(OSError):
                answer = sock.recv(65536)
        assert status_of(answer) in (413, 400, None), answer[:200]

    @pytest.mark.parametrize("chunk", [b"ffffffffffffffff", b"-1", b"zz", b"7fffffffffffffff", b"", b"1" * 10000])
    def test_chunk_sizes(self, daemon, chunk):
        answer = daemon.raw(b"POST /apis/v2beta1/experiments HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                            b"Transfer-Encoding: chunked\r\n\r\n" + chunk + b"\r\n{}\r\n0\r\n\r\n", timeout=60)
        assert status_of(answer) in (400, 413, None), answer[:200]

    def test_header_bombs(self, daemon):
        for head in (b"".join(b"X-%d: y\r\n" % n for n in range(10000)), b"X: " + b"y" * 10_000_000 + b"\r\n",
                     b"X" * 1_000_000 + b": y\r\n", b"Cookie: a=b\r\n" * 10000, b" folded\r\n" * 10000):
            answer = daemon.raw(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + head + b"\r\n", timeout=60)
            assert status_of(answer) in (400, 413, 431, None), answer[:200]

    def test_long_paths_and_queries(self, daemon):
        for path in (b"/" + b"a" * 60000, b"/" * 60000, b"/apis/v2beta1/runs?" + b"a=b&" * 15000,
                     b"/apis/v2beta1/runs/" + b"%41" * 15000, b"/" + b"a/" * 30000):
            answer = daemon.raw(b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert status_of(answer) in (200, 400, 404, 413, 414, 501), answer[:200]

    def test_largest_bodies_at_once(self):
        """Four bodies just below the limit, at the same time; with the usual http-timeout, as each may have to wait
        for the others."""
        body = b'{"display_name": "' + b"x" * (30 << 20) + b'"}'
        answers = []
        with Daemon(settings={"executor": "noop"}, env={"ASAN_OPTIONS": SANITIZER}) as patient:
            before = patient.resident()

            def post():
                answers.append(patient.call("POST", f"{V2}/experiments", None, data=body, timeout=120).status_code)
            threads = [threading.Thread(target=post) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert answers == [400] * 4
            assert patient.resident() - before < GROWTH_MAX


class TestConnections:
    def test_slow_and_idle_ones_do_not_hinder_others(self, daemon):
        with contextlib.ExitStack() as stack:
            socks = [stack.enter_context(socket.create_connection(("127.0.0.1", daemon.port), 60)) for _ in range(1000)]
            for n, sock in enumerate(socks[:300]):
                sock.sendall([b"GET /healthz HT", b"POST /apis/v2beta1/runs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{",
                              b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: "][n % 3])
            for _ in range(20):
                assert daemon.call("GET", "/healthz", timeout=60).status_code == 200
            for sock in socks[::10]:
                with contextlib.suppress(OSError):
                    sock.sendall(b"x")

    def test_connections_that_come_and_go(self, daemon):
        linger = struct.pack("ii", 1, 0)
        for n in range(300):
            with socket.create_connection(("127.0.0.1", daemon.port), 60) as sock:
                sock.sendall(b"GET /apis/v2beta1/runs HTTP/1.1\r\nHost: localhost\r\n\r\n"[:10 + n % 60])
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)  # a reset instead of an end
        assert daemon.call("GET", "/healthz", timeout=60).status_code == 200

    def test_pipelined(self, daemon):
        """All are answered, in order; a bad one in the middle ends it."""
        one = b"GET /apis/v2beta1/runs/%d HTTP/1.1\r\nHost: localhost\r\n\r\n"
        last = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        answer = daemon.raw(b"".join(one % n for n in range(50)) + last)
        assert answer.count(b"HTTP/1.1 404") == 50 and answer.count(b"HTTP/1.1 200") == 1
        answer = daemon.raw(one % 1 + b"NONSENSE\r\n\r\n" + last, timeout=60)
        assert answer.count(b"HTTP/1.1 200") == 0

    @pytest.mark.parametrize("head", [
        b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", b"Transfer-Encoding: chunked\r\nContent-Length: 6\r\n",
        b"Transfer-Encoding: xchunked\r\n", b"Transfer-Encoding: chunked, identity\r\n",
        b"Content-Length: 6\r\nContent-Length: 5\r\n", b"Content-Length: 6, 5\r\n", b"Transfer-Encoding : chunked\r\n",
        b"Content-Length: +6\r\n", b"Transfer-Encoding:\x0bchunked\r\n"])
    def test_smuggling(self, daemon, head):
        """Whatever the framing is taken to be, the second request must not be served as another's."""
        inner = b"POST /apis/v2beta1/experiments HTTP/1.1\r\nHost: localhost\r\nContent-Length: 27\r\n\r\n" \
                b'{"display_name":"smuggled"}'
        answer = daemon.raw(b"POST /apis/v2beta1/experiments HTTP/1.1\r\nHost: localhost\r\n" + head
                            + b"\r\n0\r\n\r\n" + inner, timeout=60)
        assert answer.count(b"HTTP/1.1 200") == 0, answer

    @pytest.mark.parametrize("line", [
        b"", b"\r\n", b"GET", b"GET /", b"GET / HTTP/9.9", b"GET / HTTP/1.1 extra", b"get / HTTP/1.1", b"BREW / HTTP/1.1",
        b"GET http://evil.example/ HTTP/1.1", b"GET \x00 HTTP/1.1", b"GET /%00 HTTP/1.1", b"GET /%zz HTTP/1.1",
        b"GET /\xff HTTP/1.1", b"CONNECT a:1 HTTP/1.1", b"OPTIONS * HTTP/1.1", b"TRACE / HTTP/1.1", b"\x16\x03\x01\x02\x00",
        b"PRI * HTTP/2.0", b"A" * 100000])
    def test_request_lines(self, daemon, line):
        answer = daemon.raw(line + b"\r\nHost: localhost\r\nConnection: close\r\n\r\n", timeout=60)
        assert status_of(answer) in (400, 403, 404, 405, 413, 414, 501, 505, None), answer[:200]


class TestPaths:
    @pytest.mark.parametrize("path", [
        "/../../etc/passwd", "/apis/v2beta1/../../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/..%2f..%2fetc%2fpasswd",
        "/apis/rondo/v1/runs/..%2f..%2fetc%2fpasswd/logs", "/apis/rondo/v1/runs/%2e%2e/logs",
        "/apis/rondo/v1/runs/11111111-2222-4333-8444-555555555555/logs?task=../../../../etc/passwd",
        "/apis/rondo/v1/runs/11111111-2222-4333-8444-555555555555/logs?task=%00", "/apis/v2beta1/artifacts/..%2f..",
        "/internal/attempts/x/artifacts/..%2f..%2f..%2fetc%2fpasswd", "/internal/artifacts/../../etc/passwd",
        "/apis/v2beta1/runs/..%2F..%2Fetc", "/apis/v2beta1/pipelines/x/versions/..%2f", "//etc/passwd", "/./././"])
    def test_traversal(self, daemon, path):
        answer = daemon.raw(b"GET " + path.encode() + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert status_of(answer) in (400, 401, 403, 404) and b"root:" not in answer, answer[:300]

    def test_logs_of_odd_tasks(self, daemon):
        run = None
        for found in daemon.get(f"{V2}/runs").get("runs", []):
            run = found["run_id"]
        for task in ("../main", "..", "main/../../x", "%2e%2e", "x" * 10000, "main\n", "ä"):
            answer = daemon.call("GET", f"{V1}/runs/{run or 'x'}/logs", None, params={"task": task})
            assert answer.status_code in (400, 404), answer.text[:300]

    @pytest.mark.parametrize("headers, status", [
        ({"Host": "evil.example"}, 403), ({"Host": "127.0.0.1.evil.example"}, 403), ({"Host": "localhost.evil.example"}, 403),
        ({"Host": "a b"}, 403), ({"Host": ""}, 400), ({"Host": "[::1"}, 400), ({"Host": "x" * 300}, 400),
        ({"Origin": "http://evil.example"}, 403), ({"Origin": "null"}, 403), ({"Origin": "http://localhost.evil.example"}, 403),
        ({"Origin": "file://"}, 403), ({"Origin": "http://127.0.0.1:1"}, 403)])
    def test_other_sites(self, daemon, headers, status):
        for method, body in (("GET", None), ("POST", b"{}"), ("DELETE", None)):
            answer = daemon.call(method, f"{V2}/experiments", None, data=body, headers=headers)
            assert answer.status_code in (status, 403) or (method == "GET" and "Origin" in headers), answer.text
            assert "Access-Control-Allow-Origin" not in answer.headers

    def test_preflight(self, daemon):
        answer = daemon.call("OPTIONS", f"{V2}/runs", None, headers={
            "Origin": "http://evil.example", "Access-Control-Request-Method": "POST"})
        assert answer.status_code >= 400 and "Access-Control-Allow-Origin" not in answer.headers

    def test_two_hosts(self, daemon):
        answer = daemon.raw(b"GET /apis/v2beta1/runs HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n"
                            b"Connection: close\r\n\r\n")
        assert status_of(answer) in (400, 403)


def test_memory_after_all(daemon):
    """Everything above together has not made it grow without bound."""
    wait_for(lambda: daemon.resident() < 1 << 30, 60, "a bounded size")
