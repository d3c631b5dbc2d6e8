"""Which store and which study a command reads: the first that every reader does, so that none pays for what others show."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lorimer.errors import UserError
from lorimer.meta_agent.workspace.where import store_at
from lorimer.traces.sealed import SealedReader
from lorimer.wording import a

if TYPE_CHECKING:
    from lorimer.traces.base import StudyReader
    from lorimer.traces.tables import Study


def open_reader(root: Path) -> StudyReader:
    """The workspace's trace store, for reading. Raises UserError when there is none."""
    from lorimer.traces.reader import StoreReader

    return StoreReader(store_at(root))


def open_sealed(root: Path) -> SealedReader:
    """The same as far as the chain seals it, without the import of an object mapper. Raises UserError when there is none."""
    return SealedReader(store_at(root))


def pick_study(reader: StudyReader, name: str | None) -> Study:
    """The named study, or the latest: the one that began last, checks of a benchmark aside. Raises UserError."""
    found = reader.study(name) if name else reader.latest_study()
    if found is None:
        raise UserError("there is no study here yet; `lorimer run` or `lorimer optimize` starts one")
    return found


def pick_experiments(reader: StudyReader, name: str | None) -> tuple[Study, str]:
    """The named study, or the latest that tries candidates, and a remark where a plain run has begun since.

    Raises UserError.
    """
    latest = pick_study(reader, name)
    found = latest if name or latest.kind == "optimize" else reader.latest_study("optimize")
    if found is None:
        return latest, ""
    remark = f"{latest.id} began later, but it is {a(latest.kind)}, which tries no candidates; this is {found.id}"
    return found, "" if found.id == latest.id else remark
