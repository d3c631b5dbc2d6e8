"""[notify] of lorimer.toml: who is told of a study that nobody looks at."""

from __future__ import annotations

from pydantic import Field, field_validator

from lorimer.config.rows import Table


class NotifySettings(Table):
    """[notify]: a command of yours that is told what a study came to, so that a phone can ring (docs/watching.md). It is no
    setting of a study: what lorimer.toml says when a process starts holds."""

    command: tuple[str, ...] = ()
    """A program and its arguments, run on this machine with one JSON line on its standard input at each promotion, pause, wanted
    review and end. No shell reads it. Empty: nobody is told."""
    seconds: float = Field(default=10.0, gt=0, allow_inf_nan=False)
    """How long one run may take; it is killed then. The study never waits for it, only its process's end does."""
    pass_env: tuple[str, ...] = ()
    """Variables of yours that are named like secrets and that it is to have, such as `PUSH_TOKEN`. Others of that kind are kept
    from it."""

    @field_validator("command")
    @classmethod
    def _it_names_a_program(cls, said: tuple[str, ...]) -> tuple[str, ...]:
        if said and not said[0].strip():
            raise ValueError("names no program: its first word is empty")
        if any("\0" in word for word in said):
            raise ValueError("holds a NUL character, which no argument can")
        return said
