"""Signals that stop work, and a terminal that is closed while it goes on, to which writing then does not fail.

Whoever ignores SIGHUP (`nohup`, `disown`) works on without a terminal. Whoever stops at it still has things to say on the way.
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast


@contextmanager
def stopped_by_signals(task: asyncio.Task[Any]) -> Iterator[None]:
    """Have SIGINT, SIGTERM and SIGHUP (the terminal is closed) cancel a task of the running loop, so that it stops cleanly.

    A shell starts background jobs with SIGINT ignored, and Python leaves it so: a night's run is stopped with `kill`. Under
    `nohup` SIGHUP is ignored from the start, and stays so.
    """
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        # This also lets the loop be woken by a signal.
        loop.add_signal_handler(number, task.cancel)

    def hung_up(number: int, frame: object) -> None:
        # It comes twice, from the shell and from the kernel: the second must cut short neither the stopping nor its last
        # words, which come when the loop and its handlers are gone.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        loop.call_soon_threadsafe(stop)

    def stop() -> None:
        let_go()
        task.cancel()

    before = signal.getsignal(signal.SIGHUP)
    if before is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, hung_up)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGHUP) is hung_up:
            signal.signal(signal.SIGHUP, before)


def let_go() -> None:
    """Lead standard output and standard error to nowhere, each if its terminal is gone."""
    for descriptor in (1, 2):
        try:
            os.write(descriptor, b"")  # nothing: it fails on a closed terminal alone
        except OSError as error:
            if error.errno == errno.EIO:
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, descriptor)
                os.close(nowhere)


def lasting(stream: TextIO) -> TextIO:
    """The stream, which is standard output or none of a terminal, made so that it can be written to for ever."""
    return cast(TextIO, _Lasting(stream))


class _Lasting:
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            self._gone(error)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._gone(error)

    def _gone(self, error: OSError) -> None:
        """What the stream still holds of earlier writes goes nowhere too, at the next flush."""
        if error.errno != errno.EIO:
            raise error
        let_go()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
