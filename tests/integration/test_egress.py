# SPDX-License-Identifier: Apache-2.0
"""Where a real daemon does not call out to. The rules themselves, and libcurl under them, are in
tests/unit/webhooks/test_egress*.c."""

import contextlib
import shutil
import socket
import subprocess
import threading

import pytest

from rondo_testing import ROOT, Daemon, Receiver

V1 = "/apis/rondo/v1"

# {0} is a port on 127.0.0.1 and ::1 where nobody may come.
ADDRESSES = """
127.0.0.1 127.1 127.0.1 127.000.000.001 0177.0.0.1 0177.0.0.01 00000177.1 0x7f.0.0.1 0x7f.0x0.0x0.0x1 0x0000007f.1
0x7f.1 127.0x1 0x7f000001 0X7F000001 2130706433 017700000001 6425673729 127.0.0.1. 127.0.0.1.. 127.0.0.257
127.255.255.254 0 0.0.0.0 0x0 [::1] [0:0:0:0:0:0:0:1] [0000:0000:0000:0000:0000:0000:0000:0001] [::0.0.0.1] [::]
[::ffff:127.0.0.1] [::FFFF:7F00:1] [0:0:0:0:0:ffff:127.0.0.1] [::127.0.0.1] [::ffff:0:127.0.0.1] [64:ff9b::127.0.0.1]
[64:ff9b:1::127.0.0.1] [2002:7f00:1::] [::1%25lo] [::1%lo] [fe80::1%25lo] %31%32%37.0.0.1 127%2e0%2e0%2e1 ①②⑦.⓪.⓪.①
127。0。0。1 １２７.0.0.1 user@127.0.0.1 user:pass@127.0.0.1 x.invalid\\@127.0.0.1 127.0.0.1;x.invalid
169.254.169.254 [fd00:ec2::254] metadata.google.internal
""".split()
NAMES = ["localhost", "LOCALHOST"]


class Nobody:
    """Listens on one port of both loopback addresses and counts who comes."""

    def __init__(self):
        self.count = 0
        self.sockets = [socket.create_server(("127.0.0.1", 0))]
        self.port = self.sockets[0].getsockname()[1]
        with contextlib.suppress(OSError):  # no IPv6 here, or taken: then whoever comes is refused anyway
            self.sockets.append(socket.create_server(("::1", self.port), family=socket.AF_INET6))
        for one in self.sockets:
            threading.Thread(target=self.accept, args=(one,), daemon=True).start()

    def accept(self, listener):
        with contextlib.suppress(OSError):
            while True:
                listener.accept()[0].close()
                self.count += 1

    def __enter__(self):
        return self

    def __exit__(self, *args):
        for one in self.sockets:
            one.close()


def ping(daemon, subscription):
    """What became of it: the answer says so as soon as it is known."""
    return daemon.post(f"{V1}/subscriptions/{subscription}:ping")


def test_nothing_is_sent_to_this_machine():
    environment = {name: "http://127.0.0.1:1" for name in ("http_proxy", "https_proxy", "all_proxy")}
    with Nobody() as nobody, Daemon(settings={"executor": "noop"}, env=environment) as daemon:
        for address in ADDRESSES:
            answer = daemon.post(f"{V1}/subscriptions", {"url": f"http://{address}:{nobody.port}/"}, expect=400)
            assert answer["message"].startswith("url: "), (address, answer)
        for name in NAMES:
            made = daemon.post(f"{V1}/subscriptions", {"url": f"http://{name}:{nobody.port}/"})
            row = ping(daemon, made["id"])
            assert row["state"] == "FAILED"
            assert "is not a public address (loopback" in row["error"], row
        assert nobody.count == 0


def test_the_rules_of_now_hold():
    with Receiver() as receiver, Daemon(settings={"executor": "noop"}) as daemon:
        plain = list(daemon.args)
        daemon.stop()
        daemon.args = [*plain, "--webhook-allow", "127.0.0.1"]
        daemon.start()
        made = daemon.post(f"{V1}/subscriptions", {"url": receiver.url})
        assert ping(daemon, made["id"])["state"] == "DELIVERED"
        own = daemon.post(f"{V1}/subscriptions", {"url": f"http://127.0.0.1:{daemon.port}/"}, expect=400)
        assert "that is rondod itself" in own["message"]
        for settings, rule in [
                ([], "is not a public address"),
                (["--webhook-allow", "127.0.0.1", "--webhook-deny", "127.0.0.0/8"], "--webhook-deny"),
                (["--webhook-allow", "127.0.0.1", "--webhook-https-only"], "--webhook-https-only"),
                (["--webhook-allow", "127.0.0.1", "--webhook-ports", "443"], f"port {receiver.port}")]:
            daemon.stop()
            daemon.args = [*plain, *settings]
            daemon.start()
            row = ping(daemon, made["id"])
            assert row["state"] == "FAILED" and rule in row["error"], (settings, row)
        assert len(receiver.requests) == 1


def test_the_table_is_what_ipaddr_js_says():
    """tests/unit/base/test_ip.c compares with this table."""
    node = ROOT / "tests" / "node"
    if shutil.which("node") is None or not (node / "node_modules/ipaddr.js").exists():
        pytest.skip("ipaddr.js is not there: npm ci in tests/node")
    made = subprocess.run(["node", "addresses.mjs"], cwd=node, capture_output=True, check=True, text=True)
    assert made.stdout == (ROOT / "tests" / "data" / "addresses.tsv").read_text()
