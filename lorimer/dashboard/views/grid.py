"""The grid of `lorimer compare` in this workspace, as its pairings.toml asks for it: a cell's gain, and same against cross."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from lorimer.config.settings import FILE_NAME, load
from lorimer.dashboard.shelf import Shelf
from lorimer.meta_agent.pairings import collecting, page, spec
from lorimer.meta_agent.pairings.values import GridResult


@dataclass(frozen=True)
class Grid:
    """The page. All of it but the links is `lorimer.meta_agent.pairings.page`'s, which `lorimer compare --html` writes."""

    found: GridResult
    drawing: Markup
    remarks: tuple[str, ...]
    tables: tuple[tuple[str, tuple[str, ...], list[tuple[str, ...]]], ...]
    studies: frozenset[str]
    """Searches that have begun."""


def here(shelf: Shelf) -> bool:
    """Whether this workspace asks for a grid."""
    return (shelf.root / spec.FILE).is_file()


def read(shelf: Shelf) -> Grid:
    """Read the page. Raises UserError where no grid is asked for or none of its searches has begun, and ConfigError."""
    wanted = spec.read(shelf.root, {})
    there = {row.id for row in shelf.reader.studies()}
    marks = tuple(shelf.reader.mark(each.study) for each in wanted.plan if each.study in there)
    config = load(shelf.root / FILE_NAME)
    found = shelf.worked_out("", f"grid {wanted}", marks, lambda: collecting.reported(shelf.reader, wanted, config))
    return Grid(found, page.drawing(found), tuple(page.remarks(found)), tuple(page.tables(found)), frozenset(there))
