"""What may leave a sandbox: tars of hostile names, links and sizes become plain ones or are refused."""

from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorimer.sandbox.artifact_tar import excluded, rewritten, stays_inside
from lorimer.sandbox.base import Packed, SandboxFileError


def tar(*entries: tuple[str, str | bytes | None]) -> io.BytesIO:
    """A tar of folders (`None`), files (bytes) and symlinks (text)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as made:
        for name, content in entries:
            entry = tarfile.TarInfo(name)
            entry.mode, entry.uid = 0o6755, 1000
            if content is None:
                entry.type = tarfile.DIRTYPE
            elif isinstance(content, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, content
            else:
                entry.size = len(content)
            made.addfile(entry, io.BytesIO(content) if isinstance(content, bytes) else None)
    buffer.seek(0)
    return buffer


def packed(stream: io.BytesIO, *, exclude: tuple[str, ...] = ()) -> tuple[Packed, dict[str, tarfile.TarInfo]]:
    out = io.BytesIO()
    found = rewritten(stream, "/app/out", out, max_bytes=100_000, exclude=exclude)
    out.seek(0)
    with tarfile.open(fileobj=out) as made:
        return found, {member.name: member for member in made}


def test_files_lie_at_their_place_and_belong_to_root() -> None:
    found, members = packed(tar(("out/", None), ("out/a", b"1"), ("out/d/", None), ("out/d/b", b"22")))
    assert (found.path, found.is_folder, found.files, found.left_out) == ("/app/out", True, 2, 0)
    assert set(members) == {"app/out", "app/out/a", "app/out/d", "app/out/d/b"}
    assert {(member.uid, member.mode) for member in members.values()} == {(0, 0o755)}


def test_a_link_stays_only_if_following_all_links_stays_inside() -> None:
    found, members = packed(
        tar(
            ("out", None),
            ("out/d", None),
            ("out/d/file", b"1"),
            ("out/near", "d/file"),
            ("out/d/up", "../d/file"),
            ("out/here", "."),
            ("out/sly", "here/../../tests/answer"),
            ("out/slyer", "d/../here/.."),
            ("out/far", "../secret"),
            ("out/absolute", "/etc/passwd"),
            ("out/loop", "loop"),
        )
    )
    assert {name for name, member in members.items() if member.issym()} == {
        "app/out/near",
        "app/out/d/up",
        "app/out/here",
    }
    assert (found.left_out, len(found.examples)) == (5, 5)


def test_links_come_last_so_that_nothing_is_unpacked_through_one() -> None:
    _, members = packed(tar(("out", None), ("out/link", "d"), ("out/d", None), ("out/d/x", b"1")))
    assert list(members)[-1] == "app/out/link"


def test_names_that_lie_elsewhere_and_things_that_are_no_files_are_left_out() -> None:
    stream = tar(("out", None), ("elsewhere", b"1"), ("out/../../etc/passwd", b"2"), ("/etc/shadow", b"3"))
    assert set(packed(stream)[1]) == {"app/out"}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as made:
        for name, kind in (("out", tarfile.DIRTYPE), ("out/pipe", tarfile.FIFOTYPE), ("out/disk", tarfile.BLKTYPE)):
            entry = tarfile.TarInfo(name)
            entry.type = kind
            made.addfile(entry)
        hard = tarfile.TarInfo("out/hard")
        hard.type, hard.linkname = tarfile.LNKTYPE, "etc/shadow"
        made.addfile(hard)
    buffer.seek(0)
    found, members = packed(buffer)
    assert (set(members), found.left_out) == ({"app/out"}, 3)


def test_hard_links_among_its_files_are_kept() -> None:
    buffer = tar(("out", None), ("out/a", b"1"))
    with tarfile.open(fileobj=buffer, mode="a") as made:
        hard = tarfile.TarInfo("out/b")
        hard.type, hard.linkname = tarfile.LNKTYPE, "out/a"
        made.addfile(hard)
    buffer.seek(0)
    assert packed(buffer)[1]["app/out/b"].linkname == "app/out/a"


@pytest.mark.parametrize(
    ("name", "pattern", "out"),
    [
        ("a.log", "*.log", True),
        ("deep/a.log", "*.log", True),
        ("node_modules/x/y", "node_modules", True),
        ("web/node_modules/x", "node_modules/", True),
        ("deep/a.txt", "./deep/*", True),
        ("deep/more/a.txt", "deep/*.txt", True),
        ("a.logs", "*.log", False),
        ("modules", "node_modules", False),
    ],
)
def test_patterns_are_those_of_tar(name: str, pattern: str, out: bool) -> None:
    assert excluded(name, [pattern]) is out


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        (tar(("out", b"x" * 100_000)), "over the limit"),
        (tar(("out", "/etc/passwd")), "neither a file nor a folder"),
        (io.BytesIO(b"no tar at all" * 100), "cannot be packed"),
    ],
)
def test_what_cannot_be_packed_says_why(stream: io.BytesIO, reason: str) -> None:
    with pytest.raises(SandboxFileError, match=reason):
        packed(stream)


@given(st.dictionaries(st.text("ab/.", min_size=1, max_size=8), st.text("ab/.", min_size=1, max_size=12), max_size=6))
def test_no_links_can_lead_the_resolver_out_or_round_for_ever(links: dict[str, str]) -> None:
    for name in links:
        assert isinstance(stays_inside(name, links), bool)
