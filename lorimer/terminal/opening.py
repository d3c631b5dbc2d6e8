"""Which store and which study a command reads: the first that every reader does, so that none pays for what others show."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lorimer.errors import UserError
from lorimer.meta_agent.workspace.where import FILE, store_at
from lorimer.traces.sealed import SealedReader
from lorimer.wording import a

if TYPE_CHECKING:
    from lorimer.traces.base import StudyReader
    from lorimer.traces.databases.base import Database
    from lorimer.traces.tables import StudyRow


def open_reader(root: Path, *, named_by: str = "-C") -> StudyReader:
    """The workspace's trace store, for reading. Raises UserError when there is none.

    Args:
        named_by: what names a workspace to whoever asks.
    """
    from lorimer.traces.reading.reader import StoreReader

    return StoreReader(_store(root, named_by))


def open_sealed(root: Path) -> SealedReader:
    """The same as far as the chain seals it, without the import of an object mapper. Raises UserError when there is none."""
    return SealedReader(_store(root, "-C"))


def _store(root: Path, named_by: str) -> Database:
    """Where the store is. Raises UserError, with what to do, where there is no workspace or nothing was run in it yet."""
    database = store_at(root)
    if database.has_store():
        return database
    if not (root / FILE).exists():
        raise UserError(f"no {FILE} in {root.resolve()} or above it; name a workspace with {named_by}")
    raise UserError(f"there are no traces at {database.name} yet; `lorimer run` or `lorimer optimize` makes the first")


def pick_study(reader: StudyReader, name: str | None) -> StudyRow:
    """The named study, or the latest: the one that began last, checks of a benchmark aside. Raises UserError."""
    found = reader.study(name) if name else reader.latest_study()
    if found is None:
        raise UserError("there is no study here yet; `lorimer run` or `lorimer optimize` starts one")
    return found


def pick_experiments(reader: StudyReader, name: str | None) -> tuple[StudyRow, str]:
    """The named study, or the latest that tries candidates, and a remark where a plain run has begun since.

    Raises UserError.
    """
    latest = pick_study(reader, name)
    found = latest if name or latest.kind == "optimize" else reader.latest_study("optimize")
    if found is None:
        return latest, ""
    remark = f"{latest.id} began later, but it is {a(latest.kind)}, which tries no candidates; this is {found.id}"
    return found, "" if found.id == latest.id else remark
