"""The ENTRYPOINT of an image: run as the image has it, until it hands over to the command that keeps the container alive.

It gets that command as its arguments, as under `docker run` and in Harbor, and first does what it is for: it starts a service or
writes a file. Nobody may act in the container before that is done. The processes of the container show it: one of them is
then the command itself. What an entrypoint prints, or where it sends its output, does not matter for that.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from lorimer.errors import ImageError, SandboxError
from lorimer.sandbox.docker.commands.exec import Collector
from lorimer.sandbox.docker.commands.stream import NotFramed
from lorimer.sandbox.docker.container import BEHIND_ENTRYPOINT
from lorimer.sandbox.docker.engine import Engine, EngineError, NoAnswer

SETTLE_SECONDS = 2.0
"""An entrypoint in shell form gets no arguments, so it cannot hand over: one that lives so long is a service."""

SHORTEST_PAUSE, LONGEST_PAUSE = 0.05, 0.5
"""Seconds between two looks; a look takes 0.1."""

MOST_SAID = 600
"""Characters of its output in a message."""

_SHELL = re.compile(r"(^|/)(ba|da|a|z)?sh -\w*c$")
_ARGUMENTS = re.compile(r"\$\{?[@*0-9]")

# $1 nonce, $2 the words of the command, joined. The kernel ends each word of a command line by a NUL, which `read` skips.
_LOOK = r"""
r=1
for f in /proc/[0-9]*/cmdline; do
  x=; { IFS= read -r x <"$f"; } 2>/dev/null
  if [ "$x" = "$2" ]; then r=0; break; fi
done
printf '%s:%s;' "$1" "$r"; printf '%s:%s;' "$1" "$r" >&2
"""


@dataclass(frozen=True)
class Entrypoint:
    """The entrypoint of one container that was started.

    Args:
        engine: has that container.
        container: its id.
        words: of the image's ENTRYPOINT.
        seconds: how long it may take to hand over.
    """

    engine: Engine
    container: str
    words: tuple[str, ...]
    seconds: float

    async def hand_over(
        self, run: Callable[[Sequence[str], Collector], Awaitable[None]], *, again: bool = False
    ) -> None:
        """Wait until nothing stands between the container and its user.

        Args:
            run: runs a command as root in the container and feeds the collector all that it says.
            again: the container was started before.

        Raises ImageError where the entrypoint fails, ends or does not hand over; SandboxError where it did once.
        """
        began, pause = time.monotonic(), SHORTEST_PAUSE
        while True:
            await self.check(again=again)
            waited = time.monotonic() - began
            if self._gets_no_arguments:
                if waited > SETTLE_SECONDS:
                    return
            elif await self._seen(run):
                return
            if waited > self.seconds:
                how = f"has not run its arguments after {self.seconds:g} s ([sandbox] entrypoint_seconds)"
                await self._fail(how, again=again)
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)

    async def check(self, *, again: bool = False) -> None:
        """Raises as `hand_over` does where the container has ended."""
        found = await self.engine.call(
            "inspect a container", lambda client: client.inspect_container(self.container), quick=True
        )
        state = found["State"]
        if not state["Running"]:
            code = int(state.get("ExitCode") or 0)
            await self._fail(f"ended with exit code {code} instead of running its arguments", again=again)

    @property
    def _gets_no_arguments(self) -> bool:
        """Whether it is in shell form, a line for a shell, which passes nothing on."""
        if len(self.words) != 3 or not _SHELL.search(" ".join(self.words[:2])):
            return False
        return not _ARGUMENTS.search(self.words[2])

    async def _seen(self, run: Callable[[Sequence[str], Collector], Awaitable[None]]) -> bool:
        nonce = secrets.token_hex(16)
        collector = Collector(nonce, 4096, announced=False)
        try:
            with suppress(NotFramed):
                await run(["/bin/sh", "-c", _LOOK, "sh", nonce, "".join(BEHIND_ENTRYPOINT)], collector)
        except NoAnswer:
            raise
        except EngineError:
            return False  # it has ended, which the next look tells, or has no process to spare yet
        return collector.exit_code == 0

    async def _fail(self, how: str, *, again: bool) -> None:
        said = ""
        with suppress(EngineError):
            printed = await self.engine.call(
                "read what an entrypoint said", lambda client: client.logs(self.container, tail=200), quick=True
            )
            said = printed.decode("utf-8", "replace").strip()
        last = " ".join(said.split())
        last = last if len(last) <= MOST_SAID else "… " + last[-MOST_SAID:]
        problem = f"the image's ENTRYPOINT {json.dumps(self.words)} {how}; it printed: {last or 'nothing'}"
        if again:
            raise SandboxError(f"when the container was started again, {problem}")
        fix = 'one that prepares the container ends in `exec "$@"`'
        raise ImageError(f"{problem}; {fix}", said)
