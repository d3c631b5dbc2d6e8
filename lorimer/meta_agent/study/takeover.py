"""A study that a process on a machine of another name holds, which nobody here can ask whether it lives.

The machine may be this one, renamed since, or the container of which this one is the successor. A living process counts the
seconds of its study (`study.loop`), so one that counts on is left alone; whether one that does not is dead or asleep is for a
person to say.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from lorimer.config.settings import parse_stored
from lorimer.errors import UserError
from lorimer.meta_agent.study.loop import BEAT_SECONDS
from lorimer.meta_agent.workspace.session import open_store
from lorimer.traces.tables import StudyRow
from lorimer.traces.writing.holder import described, elsewhere, this_process

WATCHED_BEATS = 3
"""How many beats a holder is watched for. One may fall between two looks, and one may be late on a loaded machine."""


async def take_over(root: Path, study: StudyRow) -> None:
    """Make this process the one that runs a study which another machine's process holds; nothing where none does.

    Raises UserError where that process counts on, so that it lives; LorimerError where the store is damaged.
    """
    if not study.holder or not elsewhere(study.holder):
        return
    with open_store(root, parse_stored(study.config, study.id)) as (store, reader):
        for _ in range(WATCHED_BEATS):
            await asyncio.sleep(BEAT_SECONDS)
            if reader.study(study.id).seconds != study.seconds:
                who = described(study.holder, study.held_since)
                raise UserError(
                    f"study {study.id} is being run by {who}, which counts its seconds on; end that one first"
                )
        await store.claim(study.id, this_process(), over=study.holder)
