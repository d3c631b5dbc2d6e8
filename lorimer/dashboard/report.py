"""A study as one file to send: the dashboard's own views and templates, in a page that needs no server, script or network."""

from __future__ import annotations

import base64
import hashlib
import importlib.resources
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from markupsafe import Markup

from lorimer.dashboard.paths import FilePaths
from lorimer.dashboard.prose import prose
from lorimer.dashboard.shelf import Opened, Shelf
from lorimer.dashboard.templating import environment
from lorimer.dashboard.views import candidates, flipping, matrix, overview
from lorimer.errors import UserError
from lorimer.meta_agent.reports.export import evidence_card, put
from lorimer.traces.base import StudyReader
from lorimer.traces.settings import leaves, shown
from lorimer.traces.tables import Candidate
from lorimer.wording import a

LARGEST = 4_500_000
"""Bytes up to which candidates are told in full: what is sent by mail should stay under 5 MB."""
IN_FULL = 60
"""Candidates told in full at most: those that were promoted, then the newest."""
LISTED = 300
"""Candidates in the table at most."""
CELLS, SPOTS = 1_500, 4_000
"""Cells of the edits' grid and of the tasks' at most. A cell takes 900 bytes in the first and 300 in the second."""


@dataclass(frozen=True)
class Report:
    """The file's text."""

    study: str
    text: str
    candidates: int
    """How many were tried."""
    in_full: int
    """How many of them are told in full."""

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.text.encode())


def report(reader: StudyReader, root: Path, study: str) -> Report:
    """The report of a study that tries candidates. Raises UserError for any other.

    What is sealed while a study goes on is sealed in it, too.
    """
    shelf = Shelf(reader, root)
    opened = shelf.open(study)
    if opened.row.kind != "optimize":
        raise UserError(
            f"study {study} is {a(opened.row.kind)}, which tries no candidates", "name one made by `lorimer optimize`"
        )
    order = _in_order(opened)
    links = FilePaths([row.number for row in order])
    templates = environment(links, root.resolve().name)
    one = templates.get_template("part/in_full.html")
    style = (importlib.resources.files("lorimer.dashboard") / "static" / "style.css").read_text(encoding="utf-8")
    tasks = max(1, len(opened.world.train))
    promoted = [view.number for view in opened.world.promoted]
    values = {
        "opened": opened,
        "style": Markup(style),  # noqa: S704 - our own file
        "policy": _policy(style),
        "view": overview.overview(shelf, opened),
        "grid": flipping.flipping(
            reader, opened, 0, None, hunks=True, most=max(1, min(flipping.EDITS, CELLS // tasks)),
            besides=promoted[-max(1, CELLS // tasks) :],
        ),
        "entries": candidates.entries(reader, opened, 0, LISTED),
        "matrix": matrix.matrix(reader, opened, 0, max(1, min(matrix.COLUMNS, SPOTS // tasks))),
        "card": prose(evidence_card(reader, study)),
        "direction": reader.program(study),
        "champion": reader.harness(opened.world.champion_harness).text,
        # Where providers listen is of no use elsewhere, and may be private.
        "settings": [
            (".".join(key), shown(value)) for key, value in leaves(opened.row.config).items() if key[0] != "providers"
        ],
        "made": datetime.now(UTC).isoformat(timespec="minutes"),
    }  # fmt: skip
    page = templates.get_template("report.html")
    left = LARGEST - len(page.render(**values, details=[]).encode())
    details: list[Markup] = []
    for row in order:
        told = one.render(opened=opened, view=candidates.shown(reader, opened, row.number))
        left -= len(told.encode())
        if left < 0:
            break
        details.append(Markup(told))  # noqa: S704 - a template's text
    if len(details) < len(order):
        links.keep(row.number for row in order[: len(details)])
    return Report(study, page.render(**values, details=details), len(opened.candidates), len(details))


def write(made: Report, file: Path, *, force: bool) -> None:
    """Write it. Raises UserError where the file is there and `force` is not set, or where it cannot be written."""
    put(file.parent, {file.name: made.text.encode()}, force=force)


def _in_order(opened: Opened) -> Sequence[Candidate]:
    """Those that are to be told in full: the champions, the last one first, then the newest others."""
    promoted = {view.number for view in opened.world.promoted}
    newest = list(reversed(opened.candidates))
    found = [row for row in newest if row.number in promoted] + [row for row in newest if row.number not in promoted]
    return found[:IN_FULL]


def _policy(style: str) -> str:
    """What the file's own header allows: this style sheet, and nothing else; no script and no request."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
