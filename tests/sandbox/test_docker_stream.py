"""The engine's stream taken apart: frames, markers, bounded output, lines. No engine needed."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorimer.sandbox.base import LineTooLong, Owner
from lorimer.sandbox.docker.commands.exec import Collector
from lorimer.sandbox.docker.commands.stream import Demux, LineBuffer, MarkedStream, NotFramed
from lorimer.sandbox.docker.labels import HOST, PID, is_orphan, owner_labels, process_identity
from lorimer.sandbox.streams import HeadTail

NONCE = b"0123456789abcdef"


def frame(stream: int, payload: bytes) -> bytes:
    return bytes([stream, 0, 0, 0]) + len(payload).to_bytes(4, "big") + payload


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    pieces, at = [], 0
    for size in sizes:
        pieces.append(data[at : at + size])
        at += size
    return [*pieces, data[at:]]


SIZES = st.lists(st.integers(1, 40), max_size=60)


@given(st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=60))), SIZES)
def test_frames_survive_any_cut_of_the_stream(frames: list[tuple[int, bytes]], sizes: list[int]) -> None:
    demux = Demux()
    got = {1: b"", 2: b""}
    for piece in cut(b"".join(frame(*one) for one in frames), sizes):
        for stream, data in demux.feed(piece):
            got[stream] += data
    assert got == {n: b"".join(data for stream, data in frames if stream == n) for n in (1, 2)}


def test_an_engine_error_in_place_of_a_frame_is_read_as_its_words() -> None:
    demux = Demux()
    demux.feed(frame(1, b"fine"))
    with pytest.raises(NotFramed, match="OCI runtime exec failed: no pids left"):
        demux.feed(b"OCI runtime exec failed: no pids left\r\n")


@given(st.binary(max_size=300), st.integers(0, 100), SIZES)
def test_head_and_tail_are_kept_and_the_rest_counted(data: bytes, limit: int, sizes: list[int]) -> None:
    kept = HeadTail(limit)
    for piece in cut(data, sizes):
        kept.feed(piece)
    if len(data) <= limit:
        assert (kept.value(), kept.dropped) == (data, 0)
    else:
        head = limit - limit // 2
        assert kept.value() == data[:head] + data[len(data) - limit // 2 :]
        assert kept.dropped == len(data) - limit


@given(st.binary(max_size=200), st.integers(0, 255), st.binary(max_size=50), SIZES)
def test_a_marked_stream_ends_at_its_marker_wherever_it_is_cut(
    output: bytes, code: int, later: bytes, sizes: list[int]
) -> None:
    stream = MarkedStream(NONCE, 1000)
    for piece in cut(output + NONCE + b":%d;" % code + later, sizes):
        stream.feed(piece)
    assert (stream.value(), stream.exit_code) == (output, code)


AGAIN = NONCE + b":again;"


@given(st.binary(max_size=50), st.binary(max_size=50), SIZES)
def test_a_marked_stream_hears_that_another_command_may_follow_wherever_it_is_cut(
    output: bytes, between: bytes, sizes: list[int]
) -> None:
    stream = MarkedStream(NONCE, 1000)
    for piece in cut(output + NONCE + b":0;" + between + AGAIN + b"later", sizes):
        stream.feed(piece)
    stream.finish()
    assert (stream.value(), stream.exit_code, stream.again) == (output, 0, True)


@given(SIZES)
def test_what_says_so_before_its_command_has_ended_is_output(sizes: list[int]) -> None:
    stream = MarkedStream(NONCE, 1000)
    for piece in cut(AGAIN + NONCE + b":0;" + AGAIN[:-1], sizes):
        stream.feed(piece)
    assert (stream.value(), stream.exit_code, stream.again) == (AGAIN, 0, False)


@given(SIZES)
def test_the_next_command_of_an_exec_begins_where_the_one_before_left_the_stream(sizes: list[int]) -> None:
    first, marker = Collector(NONCE.decode(), 1000), NONCE + b":0;" + AGAIN
    late = frame(2, b"of a process that was not seen")
    data = frame(1, NONCE + b":42;") + frame(1, marker) + frame(2, marker) + late[:11]
    for piece in cut(data, sizes):
        first.feed(piece)
    assert (first.again, first.session) == (True, 42)
    second = Collector("m" * 32, 1000, demux=first.demux)
    second.feed(late[11:] + frame(1, b"m" * 32 + b":43;") + frame(1, b"out"))
    assert (second.session, second.again) == (43, False)


def test_a_nonce_without_a_code_is_output() -> None:
    stream = MarkedStream(NONCE, 1000)
    stream.feed(b"a" + NONCE + b":x;" + b"b" * 20 + NONCE)
    stream.feed(b":7;")
    assert (stream.value(), stream.exit_code) == (b"a" + NONCE + b":x;" + b"b" * 20, 7)


def test_a_stream_that_ends_early_gives_back_what_was_held() -> None:
    stream = MarkedStream(NONCE, 1000)
    stream.feed(b"out" + NONCE[:9])
    stream.finish()
    assert (stream.value(), stream.exit_code) == (b"out" + NONCE[:9], None)


@given(SIZES)
def test_a_collector_learns_session_output_and_exit_code(sizes: list[int]) -> None:
    collector = Collector(NONCE.decode(), 1000)
    marker = NONCE + b":3;"
    data = frame(1, NONCE + b":42;") + frame(1, b"out") + frame(2, b"err" + marker) + frame(1, marker)
    for piece in cut(data, sizes):
        collector.feed(piece)
    assert (collector.session, collector.exit_code) == (42, 3)
    assert (collector.stdout.value(), collector.stderr.value()) == (b"out", b"err")


@given(st.lists(st.binary(max_size=30).map(lambda line: line.replace(b"\n", b"")), max_size=20), SIZES)
def test_lines_come_whole_however_they_arrive(lines: list[bytes], sizes: list[int]) -> None:
    buffer, got = LineBuffer(), []
    for piece in cut(b"".join(line + b"\n" for line in lines), sizes):
        buffer.feed(piece)
        while (line := buffer.pop()) is not None:
            got.append(line)
    assert got == lines


def test_a_last_line_without_a_newline_is_a_line() -> None:
    buffer = LineBuffer()
    buffer.feed(b"a\nb")
    assert (buffer.pop(), buffer.pop(), buffer.rest(), buffer.rest()) == (b"a", None, b"b", None)


@pytest.mark.parametrize("data", [b"x" * 11, b"x" * 11 + b"\n"])
def test_a_line_over_the_limit_is_refused_with_or_without_its_end(data: bytes) -> None:
    buffer = LineBuffer(max_line=10)
    buffer.feed(data)
    with pytest.raises(LineTooLong, match="over 10 bytes"):
        buffer.pop()


def test_a_living_process_owns_its_containers() -> None:
    labels = owner_labels(Owner("study", "trial"))
    assert (labels["lorimer.study"], labels["lorimer.trial"]) == ("study", "trial")
    assert not is_orphan(labels)


def test_a_pid_that_was_given_to_another_process_is_not_the_owner() -> None:
    labels = owner_labels(Owner("study", "trial"))
    pid, start, boot = labels[PID].split("-")
    assert is_orphan({**labels, PID: f"{pid}-{int(start) + 1}-{boot}"})
    assert is_orphan({**labels, PID: f"{pid}-{start}-anotherboot"})
    assert process_identity(os.getpid()) == labels[PID]


@pytest.mark.parametrize("changed", [{HOST: "another-machine"}, {PID: "garbage"}, {PID: ""}, {PID: "99999999"}])
def test_what_cannot_be_judged_is_nobodys_orphan(changed: dict[str, str]) -> None:
    dead = {**owner_labels(Owner("study", "trial")), PID: "99999999-1-x"}
    assert is_orphan(dead)
    assert not is_orphan({**dead, **changed})
