"""An HTTP proxy that lets named hosts through and says what it was asked for. It runs as the only way out of a task's network,
in a container of its own, and imports the standard library alone.

    python3 -c SOURCE '{"port": 3128, "most": 1000, "policy": {"hosts": ["p.example.org", "*.example.com"], "public": false}}'

`public` lets through every host that is on the public internet. One line of JSON goes to stdout for each host and verdict,
the first time that it occurs. What the client says is hostile: heads are bounded, connections are bounded, private addresses are
refused unless their name was allowed by name.
"""

from __future__ import annotations

import ipaddress
import json
import re
import select
import socket
import sys
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

HEAD_BYTES = 65_536
"""The longest head of a request. Servers take 8 to 64 KiB."""
CONNECTIONS = 128
"""Connections at once; pip and apt open a dozen."""
SECONDS = 30.0
"""The time to send a head, and the time to connect."""
IDLE_SECONDS = 300.0
"""Without a byte in either direction."""
PORTS = (80, 443)
"""The ports of a host that is allowed without one."""


class NotPassed(Exception):
    """Why a request is not passed on, in words for the client."""


class ReachPolicy:
    """Which hosts may be reached: those that the owner of the machine lets through, of them those that the task names.

    Args:
        hosts: of the owner's: names, with `*.` for any name below; `name:port` for a port other than 80 and 443; `None`: all.
        public: any other host too that is on the public internet.
        listed: of the task's: names, with `*.`, addresses and ranges, at any port; `None`: all.
    """

    def __init__(self, hosts: list[str] | None, public: bool, listed: list[str] | None = None) -> None:
        self._hosts, self._public, self._listed = hosts, public, listed
        self._ranges = [found for entry in listed or () if (found := _range(entry)) is not None]

    def named(self, host: str, port: int) -> bool:
        """Whether the owner's list allows it."""
        if self._hosts is None:
            return True
        for entry in self._hosts:
            name, colon, wanted = entry.partition(":")
            if (port == int(wanted) if colon else port in PORTS) and _is(host, name):
                return True
        return False

    def addresses(self, host: str, port: int) -> Iterator[tuple[int, tuple[str, int]]]:
        """Family and address of what may be connected to. Raises NotPassed."""
        named = self.named(host, port)
        if not named and not self._public:
            raise NotPassed(f"{host}:{port} is not on this network's list of hosts")
        listed = self._listed is None or any(_is(host, entry) for entry in self._listed)
        if not listed and not self._ranges:
            raise NotPassed(f"{host} is not among the hosts that the task allows")
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise NotPassed(f"{host} cannot be resolved") from None
        reached, why = False, f"{host} cannot be resolved"
        for family, _, _, _, address in found:
            ip = ipaddress.ip_address(str(address[0]).partition("%")[0])
            if not listed and not any(ip in each for each in self._ranges):
                why = f"{host} is not among the hosts that the task allows"
            # A name may lead to the machine itself, or to its neighbours.
            elif not named and not ip.is_global:
                why = f"{host} is not on the public internet"
            else:
                reached = True
                yield family, (str(address[0]), int(address[1]))
        if not reached:
            raise NotPassed(why)


def _is(host: str, name: str) -> bool:
    return host == name or (name.startswith("*.") and host.endswith(name[1:]))


def _range(entry: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(entry)
    except ValueError:
        return None


class HostLog:
    """Says each host and verdict once, and at most so many."""

    def __init__(self, most: int) -> None:
        self._most, self._said, self._lock = most, set[tuple[str, bool]](), threading.Lock()

    def say(self, host: str, allowed: bool) -> None:
        with self._lock:
            if (host, allowed) in self._said or len(self._said) >= self._most:
                return
            self._said.add((host, allowed))
            sys.stdout.write(json.dumps({"host": host, "allowed": allowed}) + "\n")
            sys.stdout.flush()


def read_head(client: socket.socket) -> tuple[bytes, bytes]:
    """A request's head with its last line break, and what came after it. Raises NotPassed."""
    data = b""
    while b"\r\n\r\n" not in data:
        if len(data) > HEAD_BYTES:
            raise NotPassed("the request's head is too long")
        piece = client.recv(16_384)
        if not piece:
            raise NotPassed("the request ended early")
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    return head + b"\r\n\r\n", rest


def parse(head: bytes) -> tuple[str, int, bytes]:
    """Host, port and what to send on; nothing to send for a CONNECT. Raises NotPassed."""
    line, _, rest = head.partition(b"\r\n")
    words = line.decode("latin-1").split(" ")
    if len(words) != 3:
        raise NotPassed("not an HTTP request")
    method, target, version = words
    try:
        parts = urlsplit(f"//{target}" if method == "CONNECT" else target)
        host, port = (parts.hostname or "").lower().rstrip("."), parts.port
    except ValueError:
        raise NotPassed("not a host and port") from None
    if not re.fullmatch(r"[a-z0-9._:-]{1,253}", host):
        raise NotPassed("not a host name")
    if method == "CONNECT":
        return host, port or 443, b""
    if parts.scheme != "http":
        raise NotPassed("only http requests and CONNECT are passed on")
    path = parts.path or "/"
    query = f"?{parts.query}" if parts.query else ""
    # One request a connection: a second one may name another host. The Host header is the target's, whatever was said.
    kept = [
        header
        for header in rest.split(b"\r\n")
        if header and not re.match(rb"(?i)(proxy-[a-z-]+|connection|keep-alive|host)\s*:", header)
    ]
    shown = host if port in (None, 80) else f"{host}:{port}"
    first = f"{method} {path}{query} {version}\r\nHost: {shown}\r\nConnection: close\r\n".encode("latin-1")
    return host, port or 80, first + b"".join(header + b"\r\n" for header in kept) + b"\r\n"


def serve(client: socket.socket, policy: ReachPolicy, log: HostLog) -> None:
    """One connection, to its end."""
    with client:
        client.settimeout(SECONDS)
        try:
            head, rest = read_head(client)
            host, port, onward = parse(head)
            try:
                server = connect(policy, host, port)
            except NotPassed:
                log.say(f"{host}:{port}", False)
                raise
        except NotPassed as refused:
            body = f"lorimer: {refused}\n".encode()
            answer = f"HTTP/1.1 403 Forbidden\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
            with socketless():
                client.sendall(answer + body)
            return
        except OSError:
            return
        log.say(f"{host}:{port}", True)
        with server, socketless():
            if onward:
                server.sendall(onward + rest)
            else:
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                server.sendall(rest)
            relay(client, server)


class socketless:  # noqa: N801  (contextlib's suppress, for errors of sockets)
    def __enter__(self) -> None:
        return

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        return kind is not None and issubclass(kind, OSError)


def connect(policy: ReachPolicy, host: str, port: int) -> socket.socket:
    """Connect to the first address that answers. Raises NotPassed."""
    for family, address in policy.addresses(host, port):
        server = socket.socket(family, socket.SOCK_STREAM)
        server.settimeout(SECONDS)
        try:
            server.connect(address)
        except OSError:
            server.close()
            continue
        return server
    raise NotPassed(f"{host}:{port} does not answer")


def relay(one: socket.socket, other: socket.socket) -> None:
    """Bytes both ways until either side ends or both are idle."""
    peers = {one: other, other: one}
    while peers:
        ready, _, _ = select.select(list(peers), [], [], IDLE_SECONDS)
        if not ready:
            return
        for source in ready:
            data = source.recv(65_536)
            if not data:
                return
            peers[source].sendall(data)


def main() -> None:
    """Accept until killed."""
    settings = json.loads(sys.argv[1])
    policy, log = ReachPolicy(**settings["policy"]), HostLog(settings["most"])
    room = threading.BoundedSemaphore(CONNECTIONS)
    with socket.create_server(("", settings["port"]), backlog=CONNECTIONS) as listener:
        sys.stdout.write(json.dumps({"listening": listener.getsockname()[1]}) + "\n")
        sys.stdout.flush()
        while True:
            room.acquire()
            client, _ = listener.accept()

            def work(client: socket.socket = client) -> None:
                try:
                    serve(client, policy, log)
                finally:
                    room.release()

            threading.Thread(target=work, daemon=True).start()


if __name__ == "__main__":
    main()
