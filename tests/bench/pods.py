# SPDX-License-Identifier: Apache-2.0
"""From the instant of a tick to the request that creates its pod.

    pods.py serve PORT_FILE ROWS     the least that rondod needs of a Kubernetes API server: it takes every pod and
                                     never runs one; writes (received us) of each creation"""

import array
import asyncio
import json
import pathlib
import subprocess
import sys
import tempfile
import time

US = 1_000_000


class Server:
    def __init__(self, rows):
        self.rows, self.count = rows, 0

    async def talk(self, reader, writer):
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                method, path, _ = head.split(b" ", 2)
                length = next((int(line[15:]) for line in head.split(b"\r\n")
                               if line.lower().startswith(b"content-length:")), 0)
                body = await reader.readexactly(length)
                if b"watch=" in path:
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                                 b"Transfer-Encoding: chunked\r\n\r\n")
                    await asyncio.sleep(3600)
                status, answer = self.answer(method, path, body)
                writer.write(b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
                    status, len(answer), answer))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def answer(self, method, path, body):
        kind = path.partition(b"?")[0].rpartition(b"/")[2]
        if method == b"POST" and kind == b"pods":
            self.rows.write(int(time.time() * US).to_bytes(8, sys.byteorder))
            self.rows.flush()
            self.count += 1
            pod = json.loads(body)
            pod["metadata"].update(uid=f"00000000-0000-4000-8000-{self.count:012d}", resourceVersion=str(self.count))
            pod["status"] = {"phase": "Pending"}
            return b"201 Created", json.dumps(pod).encode()
        if method == b"POST":
            return b"201 Created", body
        if method == b"GET" and kind == b"pods":
            return b"200 OK", json.dumps({"kind": "PodList", "apiVersion": "v1", "items": [], "metadata": {
                "resourceVersion": str(self.count)}}).encode()
        return b"404 Not Found", json.dumps({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404,
                                             "reason": "NotFound", "message": "not here"}).encode()


async def serve(port_file, rows):
    with open(rows, "ab") as file:
        server = await asyncio.start_server(Server(file).talk, "127.0.0.1", 0, limit=1 << 24)
        pathlib.Path(port_file).write_text(str(server.sockets[0].getsockname()[1]))
        await server.serve_forever()


def kubeconfig(folder, port):
    path = folder / "kubeconfig"
    path.write_text(json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "it",
        "clusters": [{"name": "it", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "it", "user": {}}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it", "namespace": "bench"}}]}))
    return path


def late_ms(rows, first_s, count, seconds):
    """Of those that came in these seconds, as all of one second came before the next."""
    times = array.array("q", pathlib.Path(rows).read_bytes())
    late, missing = [], 0
    for second in range(first_s, first_s + seconds):
        some = sorted(at - second * US for at in times if second * US <= at < (second + 1) * US)
        late += some[:count]
        missing += abs(count - len(some))
    return sorted(one / 1000 for one in late), missing


def measure(bench, quick):
    bench.say("pods: from the instant to the request that creates the pod")
    for count in (10, 100) if quick else (10, 100, 1000):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="rondo-pods-"))
        server = subprocess.Popen([sys.executable, __file__, "serve", folder / "port", folder / "rows"])
        try:
            while not (folder / "port").exists() or not (folder / "port").read_text():
                time.sleep(0.02)
            port = int((folder / "port").read_text())
            with bench.Daemon(executor="kubernetes", max_steps=100000, namespace="bench",
                              kubeconfig=str(kubeconfig(folder, port)), launcher_image="rondo-launcher:bench",
                              internal_url="http://127.0.0.1:1") as daemon:
                pipeline, version = daemon.pipeline(bench.spec_of(1, ["true"]))
                begin = time.time() + 3 + count / 1000
                bench.post_many(daemon.port, "/apis/v2beta1/recurringruns", bench.recurring_bodies(
                    count, {"pipeline_id": pipeline, "pipeline_version_id": version}, "* * * * * *",
                    start_time=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(begin))))
                first_s, seconds = int(begin) + 3, 5
                time.sleep(first_s + seconds + 0.9 - time.time())
            late, missing = late_ms(folder / "rows", first_s, count, seconds)
            at = [late[min(len(late) - 1, int(share * len(late)))] if late else float("inf") for share in (0.5, 0.99)]
            bench.row("pods", f"{count:,} due each second: to the request that creates the pod",
                      f"p50 {at[0]:.1f} ms, p99 {at[1]:.1f} ms" + (f"; {missing:,} in another second" if missing else ""))
        finally:
            server.kill()
            server.wait()


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[2:]))
