"""The only way out of a task's network: what it lets through, what it refuses, what it says about it."""

from __future__ import annotations

import http.server
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorimer.sandbox.docker import proxy

SOURCE = Path(proxy.__file__).read_text(encoding="utf-8")


class Answering(http.server.BaseHTTPRequestHandler):
    """Says which path and headers it was asked with."""

    def do_GET(self) -> None:
        body = json.dumps({"path": self.path, "headers": dict(self.headers)}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def server() -> Iterator[int]:
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield made.server_address[1]
    made.shutdown()
    thread.join()
    made.server_close()


class Proxy:
    """A running proxy."""

    def __init__(self, hosts: list[str] | None, public: bool, listed: list[str] | None = None) -> None:
        policy = {"hosts": hosts, "public": public, "listed": listed}
        settings = json.dumps({"port": 0, "policy": policy, "most": 5})
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-u", "-c", SOURCE, settings], stdout=subprocess.PIPE
        )
        assert self.process.stdout is not None
        self.port = json.loads(self.process.stdout.readline())["listening"]

    def ask(self, request: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), 20) as client:
            client.sendall(request)
            answer = b""
            while data := client.recv(65_536):
                answer += data
            return answer

    def said(self) -> list[dict[str, Any]]:
        """Ends it; what it said."""
        self.process.kill()
        out, _ = self.process.communicate()
        return [json.loads(line) for line in out.splitlines()]


def test_a_named_host_is_reached_by_request_and_by_tunnel_and_told_once(server: int) -> None:
    proxy = Proxy([f"localhost:{server}"], public=False)
    host = f"localhost:{server}".encode()
    plain = (
        b"GET http://%s/simple/?a=1 HTTP/1.1\r\nHost: evil.example\r\nProxy-Authorization: x\r\nAccept: */*\r\n\r\n"
        % host
    )
    tunnel = b"CONNECT %s HTTP/1.1\r\n\r\nGET /inside HTTP/1.0\r\n\r\n" % host
    answer = proxy.ask(plain)
    seen = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert answer.startswith(b"HTTP/1.0 200")
    assert (seen["path"], seen["headers"]["Host"], seen["headers"]["Accept"]) == ("/simple/?a=1", host.decode(), "*/*")
    assert "Proxy-Authorization" not in seen["headers"]
    first, _, inner = proxy.ask(tunnel).partition(b"\r\n\r\n")
    assert first == b"HTTP/1.1 200 Connection established"
    assert json.loads(inner.partition(b"\r\n\r\n")[2])["path"] == "/inside"
    assert proxy.said() == [{"host": host.decode(), "allowed": True}]


@pytest.mark.parametrize(
    ("public", "request_", "said"),
    [
        (False, b"CONNECT elsewhere.example:443 HTTP/1.1\r\n\r\n", b"is not on this network's list of hosts"),
        (False, b"CONNECT notallowed.example:443 HTTP/1.1\r\n\r\n", b"is not on this network's list of hosts"),
        (False, b"CONNECT allowed.example:22 HTTP/1.1\r\n\r\n", b"is not on this network's list of hosts"),
        (True, b"CONNECT 127.0.0.1:22 HTTP/1.1\r\n\r\n", b"is not on the public internet"),
        (True, b"CONNECT [::1]:22 HTTP/1.1\r\n\r\n", b"is not on the public internet"),
        (True, b"CONNECT [::ffff:127.0.0.1]:22 HTTP/1.1\r\n\r\n", b"is not on the public internet"),
        (True, b"GET http://169.254.169.254/latest/meta-data HTTP/1.1\r\n\r\n", b"is not on the public internet"),
        (True, b"GET http://172.17.0.1:2375/info HTTP/1.1\r\n\r\n", b"is not on the public internet"),
        (True, b"GET http://localhost/ HTTP/1.1\r\n\r\n", b"is not on the public internet"),
        (False, b"GET ftp://allowed.example/ HTTP/1.1\r\n\r\n", b"only http requests and CONNECT"),
        (False, b"nonsense\r\n\r\n", b"not an HTTP request"),
        (False, b"GET http://[:::/ HTTP/1.1\r\n\r\n", b"not a host and port"),
        (False, b"GET http://allowed.example:99999/ HTTP/1.1\r\n\r\n", b"not a host and port"),
        (False, b"CONNECT a\x00b:443 HTTP/1.1\r\n\r\n", b"not a host name"),
        (False, b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 20_000, b"the request's head is too long"),
    ],
)  # fmt: skip
def test_everything_else_is_refused_in_words(public: bool, request_: bytes, said: bytes) -> None:
    proxy = Proxy(["allowed.example"], public)
    try:
        answer = proxy.ask(request_)
    except ConnectionError:  # it hung up before it had read all of a giant head
        answer = said
    assert said in answer
    assert not any(line.get("allowed") for line in proxy.said())


def test_what_is_recorded_is_bounded() -> None:
    proxy = Proxy([], public=False)
    for number in range(9):
        proxy.ask(b"CONNECT host-%d.example:443 HTTP/1.1\r\n\r\n" % number)
    assert [line["host"] for line in proxy.said()] == [f"host-{number}.example:443" for number in range(5)]


def test_a_pattern_names_what_is_below_it_and_a_port_is_that_port_alone() -> None:
    policy = proxy.ReachPolicy(["*.example.org", "files.example.com:8080"], public=False)
    assert policy.named("a.example.org", 443)
    assert policy.named("a.b.example.org", 80)
    assert not policy.named("example.org", 443)
    assert not policy.named("badexample.org", 443)
    assert policy.named("files.example.com", 8080)
    assert not policy.named("files.example.com", 443)


NAMES = ["allowed.example", "*.below.example"]
ADDRESSES = ["192.0.2.1", "198.51.100.0/24", "2001:db8::/64"]


@pytest.mark.parametrize("port", [80, 22, 5432])
def test_a_tasks_own_list_holds_at_any_port_and_whatever_a_name_leads_to(port: int) -> None:
    policy = proxy.ReachPolicy(None, False, [*NAMES, *ADDRESSES])
    for host in ("192.0.2.1", "198.51.100.77", "2001:db8::7"):
        assert [address[0] for _, address in policy.addresses(host, port)] == [host]
    not_there = "is not among the hosts that the task allows"
    for host in ("192.0.2.2", "198.51.101.1", "2001:db9::7", "127.0.0.1", "localhost"):
        with pytest.raises(proxy.NotPassed, match=not_there):
            list(policy.addresses(host, port))
    for host in ("below.example", "notallowed.example", "x.allowed.example", "notbelow.example"):
        with pytest.raises(proxy.NotPassed, match=not_there):  # not even asked for its address
            list(proxy.ReachPolicy(None, False, NAMES).addresses(host, port))


def test_a_tasks_list_and_the_owners_both_hold() -> None:
    def refused(policy: proxy.ReachPolicy, host: str, port: int = 443) -> str:
        with pytest.raises(proxy.NotPassed) as caught:
            list(policy.addresses(host, port))
        return str(caught.value)

    registries = proxy.ReachPolicy(["localhost", "127.0.0.2"], public=False, listed=["localhost", "127.0.0.3"])
    assert {address[1] for _, address in registries.addresses("localhost", 443)} == {443}
    assert refused(registries, "localhost", 22) == "localhost:22 is not on this network's list of hosts"
    assert refused(registries, "127.0.0.3") == "127.0.0.3:443 is not on this network's list of hosts"
    assert refused(registries, "127.0.0.2") == "127.0.0.2 is not among the hosts that the task allows"
    recorded = proxy.ReachPolicy([], public=True, listed=["localhost"])
    assert refused(recorded, "localhost") == "localhost is not on the public internet"
    assert (
        refused(proxy.ReachPolicy([], public=True, listed=[]), "192.0.2.1")
        == "192.0.2.1 is not among the hosts that the task allows"
    )


def test_a_listed_host_is_reached_through_the_proxy_and_another_is_told(server: int) -> None:
    proxied = Proxy(None, public=False, listed=["localhost"])
    assert proxied.ask(b"GET http://localhost:%d/ HTTP/1.1\r\n\r\n" % server).startswith(b"HTTP/1.0 200")
    assert b"is not among the hosts that the task allows" in proxied.ask(b"CONNECT other.example:443 HTTP/1.1\r\n\r\n")
    assert proxied.said() == [
        {"host": f"localhost:{server}", "allowed": True},
        {"host": "other.example:443", "allowed": False},
    ]


@given(st.binary(max_size=200))
def test_any_head_is_parsed_or_refused(head: bytes) -> None:
    try:
        host, port, _ = proxy.parse(head + b"\r\n\r\n")
    except proxy.NotPassed:
        return
    assert host
    assert port >= 0
