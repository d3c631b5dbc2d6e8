"""What the process that runs a study hears of what people ask of it: a pause, other bounds, more or fewer trials or
proposals at once.

Whoever asks, by a command or from a page, may be any process. It asks through the store (`study.people.asking`), where what it
asked is chained, and this process looks there. No trial, proposal or decision waits for that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from lorimer.config.settings import Config, parse, parse_stored
from lorimer.errors import LorimerError
from lorimer.meta_agent.study.people.hand import Person
from lorimer.meta_agent.study.stage_trials import Pause
from lorimer.meta_agent.workspace.events import SettingChanged
from lorimer.meta_agent.workspace.parts import StudyParts
from lorimer.meta_agent.workspace.settings import WHILE_RUNNING, under
from lorimer.traces.settings import SettingChange, changes

LISTEN_SECONDS = 1.0
"""The pause between two looks. A look at a store where nothing was chained takes 0.1 ms, in a thread."""


class Heard:
    """What was asked of a study since this process runs it."""

    def __init__(self, parts: StudyParts, study: str) -> None:
        self._parts, self._study = parts, study
        self._seen = 0
        self.config = parts.config
        """The study's settings with what people have changed since."""

    async def begin(self) -> None:
        """Hear what is asked from now on. A pause that was asked of an earlier process is no matter of this one."""
        mark = await asyncio.to_thread(self._parts.reader.mark, self._study)
        self._seen = mark.chain

    async def until_asked(self, work: Coroutine[Any, Any, str]) -> str:
        """What `work` comes to. Where somebody asks for a pause it is cancelled, as by Ctrl-C, and Pause is raised.

        It begins with the bounds that are stored: others may have been asked for after this process had read them.
        """
        self._tune(await asyncio.to_thread(self._stored))
        working, listening = asyncio.create_task(work), asyncio.create_task(self._listen())
        try:
            await asyncio.wait([working, listening], return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                return working.result()
            raise Pause(listening.result(), "stopped")
        finally:
            for task in (working, listening):
                task.cancel()
            await asyncio.gather(working, listening, return_exceptions=True)

    async def _listen(self) -> str:
        """Who asked for a pause, and why."""
        while True:
            await asyncio.sleep(LISTEN_SECONDS)
            # A store that cannot be read is told by the work, which stores all the time; for a moment it may only be busy.
            with suppress(LorimerError):
                asked, said = await asyncio.to_thread(self._look)
                self._tune(asked)
                if said:
                    return said

    def _look(self) -> tuple[Config, str]:
        """The stored settings, and who has asked for a pause since the last look."""
        chained = self._parts.reader.mark(self._study).chain
        if chained == self._seen:
            return self.config, ""
        asked = self._stored()
        pauses = [row for row in self._parts.reader.chain(self._study, "pause") if row.number > self._seen]
        self._seen = chained
        return asked, f"asked for {Person(pauses[-1].body['by'], pauses[-1].body['why'])}" if pauses else ""

    def _stored(self) -> Config:
        return parse_stored(self._parts.reader.study(self._study).config, self._study)

    def _tune(self, asked: Config) -> None:
        found = tuned(self.config, asked)
        if not found:
            return
        held = self.config.model_dump(mode="json")
        self.config = parse(held, self._study, {change.key: change.after for change in found})
        self._parts.tuned(self.config)
        for change in found:
            self._parts.progress.on_event(SettingChanged(change.key, change.before, change.after))


def tuned(before: Config, after: Config) -> list[SettingChange]:
    """What differs in two versions of a study's settings of that which may change while it runs."""
    found = changes(before.model_dump(mode="json"), after.model_dump(mode="json"))
    return [change for change in found if under(change.path, WHILE_RUNNING)]
