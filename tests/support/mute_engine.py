"""A Docker Engine that hangs: its socket takes connections, some questions are answered, and nothing ever comes of the others."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

VERSION = {"/version": {"ApiVersion": "1.41", "Version": "20.10.24", "Components": [{"Name": "Engine"}]}}
"""What is answered beside a ping by one whose containers hang."""
HALF = VERSION | {
    "/containers/json": [],
    "/images/json": [],
    "/networks": [],
    "/volumes": {"Volumes": []},
    "/info": {"NCPU": 2, "MemTotal": 1 << 32, "DockerRootDir": "/nowhere"},
}
"""What is answered by one that makes no container, and knows every image."""
UPGRADED = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
"""What is answered where a stream begins, as which nothing comes."""
NO_IMAGE = (
    b"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 28\r\n\r\n"
    b'{"message": "no such image"}'
)
ENDED_MEANWHILE = (
    b"HTTP/1.1 409 Conflict\r\nContent-Type: application/json\r\nContent-Length: 41\r\n\r\n"
    b'{"message": "could not kill running one"}'
)
"""What Docker says to a forced removal of a container that ends while it is looked at; it is not removed."""
REMOVED = b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"
IMAGE = {"Id": "sha256:" + "0" * 64, "Config": {}, "Size": 1}


class MuteEngine:
    """Listens at `path`. What is asked and not in `answers` hangs for good; with `None`, all does.

    Bytes are answered as they are, anything else as JSON. Of a list of bytes each is answered once, the last one ever after.
    """

    def __init__(self, path: Path, answers: Mapping[str, object] | None) -> None:
        self.url = f"unix://{path}"
        self._answers = answers
        self._asked: Counter[str] = Counter()
        self._changed = threading.Condition()
        self._open: list[socket.socket] = []
        self._closed = False
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def wait_for(self, path: str, times: int = 1) -> None:
        """Returns once it was asked for a path so often."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._asked[path] >= times, 60), self._asked

    def times(self, path: str) -> int:
        """How often it was asked for a path by now."""
        with self._changed:
            return self._asked[path]

    def close(self) -> None:
        """Cut all."""
        self._closed = True
        for each in (self._listener, *self._open):
            with suppress(OSError):  # who serves a connection closes it
                each.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._open.append(connection)
                if self._closed:  # meanwhile: nobody else would cut this one
                    connection.close()
                    return
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), connection, connection.makefile("rb") as asked:
            while line := asked.readline().decode():
                length = 0
                while (header := asked.readline().strip()) != b"":
                    if header.lower().startswith(b"content-length:"):
                        length = int(header.partition(b":")[2])
                asked.read(length)
                path = re.sub(r"^/v[0-9.]+", "", line.split()[1]).partition("?")[0]
                with self._changed:
                    self._asked[path] += 1
                    self._changed.notify_all()
                answer = self._answer(path)
                if answer is not None and answer.startswith(b"HTTP/"):
                    connection.sendall(answer)
                elif answer is not None:
                    kind = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
                    connection.sendall(kind + str(len(answer)).encode() + b"\r\n\r\n" + answer)

    def _answer(self, path: str) -> bytes | None:
        if self._answers is None:
            return None
        if path == "/_ping":
            return b"OK"
        said = self._answers.get(path)
        if isinstance(said, list) and said and all(isinstance(each, bytes) for each in said):
            said = said.pop(0) if len(said) > 1 else said[0]
        if isinstance(said, bytes):
            return said
        if (
            path.startswith("/images/")
            and path.endswith("/json")
            and path != "/images/json"
            and "/info" in self._answers
        ):
            return json.dumps(IMAGE).encode()
        return json.dumps(self._answers[path]).encode() if path in self._answers else None


@contextmanager
def mute_engine(path: Path, answers: Mapping[str, object] | None) -> Iterator[MuteEngine]:
    engine = MuteEngine(path, answers)
    try:
        yield engine
    finally:
        engine.close()
