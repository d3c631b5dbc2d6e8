"""The commands of one who acts in a sandbox for a while: all of them by one user and in one environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from lorimer.sandbox.base import ExecOutput, Sandbox
from lorimer.sandbox.streams import OUTPUT_LIMIT


class Series(Protocol):
    """What a provider may prepare for, since it knows all of the next command but its words and its folder.

    Whoever has the series alone gets what was prepared: `Sandbox.exec` never does, so a verifier runs in nothing that was there
    while the agent acted.
    """

    async def exec(
        self, command: str, *, timeout: float, cwd: str | None = None, output_limit: int = OUTPUT_LIMIT
    ) -> ExecOutput:
        """See Sandbox.exec; the same promises hold."""

    async def close(self) -> None:
        """No more commands come: nothing that was prepared is left. Idempotent; a command that still runs goes on."""


@dataclass(frozen=True)
class PlainSeries:
    """A series for which nothing is prepared."""

    sandbox: Sandbox
    env: Mapping[str, str] | None = None
    user: str | None = None

    async def exec(
        self, command: str, *, timeout: float, cwd: str | None = None, output_limit: int = OUTPUT_LIMIT
    ) -> ExecOutput:
        """See Series."""
        return await self.sandbox.exec(
            command, timeout=timeout, cwd=cwd, env=self.env, user=self.user, output_limit=output_limit
        )

    async def close(self) -> None:
        """See Series."""
