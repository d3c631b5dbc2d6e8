"""A file that comes out of a container as the engine's archive (`sandbox/docker/files.py`), whole or broken off."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator

import pytest

from lorimer.sandbox.base import SandboxFileError
from lorimer.sandbox.docker.files import one_file_tar, read_single

CONTENT = bytes(range(256)) * 8


class Answering:
    """An engine whose archive is this, and what it answers with."""

    base_url, api_version, timeout = "http://engine", "1.41", 10

    def __init__(self, archive: bytes) -> None:
        self._archive = archive
        self.closed = False

    def get(self, *_: object, **__: object) -> Answering:
        return self

    def raise_for_status(self) -> None:
        return

    def iter_content(self, size: int) -> Iterator[bytes]:
        yield from (self._archive[at : at + 700] for at in range(0, len(self._archive), 700))

    def close(self) -> None:
        self.closed = True


def test_an_archive_that_is_broken_off_anywhere_is_a_file_that_cannot_be_read() -> None:
    """As the engine gives it of a file that shrinks while it is read, such as one that a daemon writes anew all the time."""
    archive = one_file_tar("/reward.txt", CONTENT, mode=0o644, ids=(0, 0))
    whole = archive.index(CONTENT) + len(CONTENT)
    for length in {*range(1, whole, 97), 512, whole - 1}:
        engine = Answering(archive[:length])
        with pytest.raises(
            SandboxFileError, match=r"^/reward\.txt: (cannot be read, or was changed|not a regular file)"
        ):
            read_single(engine, "c", "/reward.txt", 1 << 20)
        assert engine.closed
    assert read_single(Answering(archive), "c", "/reward.txt", 1 << 20) == CONTENT


def test_what_is_no_file_and_what_is_too_large_are_refused() -> None:
    folder = io.BytesIO()
    with tarfile.open(fileobj=folder, mode="w") as made:
        entry = tarfile.TarInfo("logs")
        entry.type = tarfile.DIRTYPE
        made.addfile(entry)
    with pytest.raises(SandboxFileError, match=r"^/logs: not a regular file$"):
        read_single(Answering(folder.getvalue()), "c", "/logs", 100)
    large = one_file_tar("/reward.txt", CONTENT, mode=0o644, ids=(0, 0))
    with pytest.raises(SandboxFileError, match=r"^/reward\.txt: 2048 bytes, over the limit of 100$"):
        read_single(Answering(large), "c", "/reward.txt", 100)
