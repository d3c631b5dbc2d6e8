"""A Docker Engine that can be stopped and started without harm to anyone else's: a loopback socket in front of the real one.

Stopped, it cuts every connection and refuses new ones, as an engine that is being restarted does. With `kill`, the containers
that carry a label are killed at the real engine meanwhile, which is what an engine without live restore does to all of them.
It may lack images that the real one has.
Hushed, it takes requests and cuts the connection where the engine begins to answer; muted, it keeps the answers back;
speechless, it keeps back what processes print.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote

NO_SUCH_IMAGE = (
    b"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: 28\r\n\r\n"
    b'{"message": "no such image"}'
)


class EngineProxy:
    """Listens at `path` for the engine at `target`."""

    def __init__(self, path: Path, target: str = "/var/run/docker.sock") -> None:
        self._path, self._target = path, target
        self._listener: socket.socket | None = None
        self._open: set[socket.socket] = set()
        self._threads: set[threading.Thread] = set()
        self._lock = threading.Lock()
        self.hushed = False
        """Whether answers are lost from now on."""
        self.muted = False
        """Whether no answer comes from now on, and no connection is cut: the engine hangs."""
        self.speechless = False
        """Whether nothing comes from now on of what processes print, whose connections stay."""
        self.lacks = ""
        """The name of an image that this engine has not and cannot pull."""
        self.start()

    @property
    def url(self) -> str:
        """What DOCKER_HOST is set to."""
        return f"unix://{self._path}"

    def start(self) -> None:
        """Listen (again)."""
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self._path))
        listener.listen(64)
        with self._lock:
            self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def stop(self, kill: str = "") -> None:
        """Cut every connection and refuse new ones; kill the containers with the label `kill`."""
        with self._lock:
            listener, self._listener = self._listener, None
        self._path.unlink(missing_ok=True)
        if listener is not None:
            with suppress(OSError):  # wakes the thread that accepts
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        with self._lock:
            for each in self._open:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
            threads = list(self._threads)
        for thread in threads:
            thread.join(10)
        if kill:
            self._kill(kill)

    def containers(self, label: str) -> list[str]:
        """Ids of all containers with a label, from the real engine."""
        return self._listed(label, all=True)

    def running(self, label: str) -> list[str]:
        """Ids of those that run."""
        return self._listed(label, all=False)

    def _listed(self, label: str, *, all: bool) -> list[str]:
        import docker

        client = docker.APIClient(f"unix://{self._target}")
        try:
            return [str(each["Id"]) for each in client.containers(all=all, filters={"label": label})]
        finally:
            client.close()

    def _kill(self, label: str) -> None:
        import docker

        client = docker.APIClient(f"unix://{self._target}")
        try:
            for container in client.containers(filters={"label": label}):
                with suppress(docker.errors.APIError):  # it ended by itself
                    client.kill(container["Id"])
        finally:
            client.close()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            far.connect(self._target)
            thread = threading.Thread(target=self._connection, args=(near, far), daemon=True)
            with self._lock:
                if self._listener is not listener:  # stopped since: nobody would cut this connection
                    near.close()
                    far.close()
                    return
                self._open |= {near, far}
                self._threads.add(thread)
            thread.start()

    def _connection(self, near: socket.socket, far: socket.socket) -> None:
        back = threading.Thread(target=self._pump, args=(far, near), daemon=True)
        back.start()
        self._pump(near, far)
        back.join()
        with self._lock:
            self._open -= {near, far}
            self._threads.discard(threading.current_thread())
            near.close()
            far.close()

    def _is_lacking(self, request: bytes) -> bool:
        line = unquote(request.partition(b"\r\n")[0].decode("latin-1"))
        asked = line.startswith("GET ") and f"/images/{self.lacks}/json" in line
        return bool(self.lacks) and (asked or "/images/create?" in line)

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        answers, said = sink.getsockname() == str(self._path), b""
        with suppress(OSError):
            while (data := source.recv(1 << 16)) and not (answers and self.hushed):
                if not answers and self._is_lacking(data):
                    source.sendall(NO_SUCH_IMAGE)
                    break
                if answers and self.speechless:
                    said, data = said + data, _printless(said, data)
                if not (answers and self.muted):
                    sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


def _printless(before: bytes, data: bytes) -> bytes:
    """What follows `before` on a connection, without what a process prints, which comes after the head of status 101."""
    both = before + data
    upgraded = both.find(b"HTTP/1.1 101 ")
    end = both.find(b"\r\n\r\n", upgraded) + 4 if upgraded >= 0 else 0
    return both[len(before) : end] if end >= 4 else data
