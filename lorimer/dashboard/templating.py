"""The templates' environment: the same for the server's pages and for the one file that a report is."""

from __future__ import annotations

import shlex
from functools import partial

from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from lorimer import __version__
from lorimer.dashboard import flipping, power
from lorimer.dashboard.history import History, drawn
from lorimer.dashboard.paths import InFile, Links, to
from lorimer.dashboard.prose import sentence
from lorimer.kinds import MADE_BY
from lorimer.terminal.words import cost, dollars, duration


def environment(links: Links, place: str) -> Environment:
    """Templates that link by `links`.

    Args:
        place: the name of the workspace's folder, which is named in the head of each page.
    """

    def history(found: History, study: str, width: int, height: int, class_: str) -> Markup:
        return drawn(found, partial(links.candidate_path, study), width, height, class_)

    # Autoescape is on for every template, and what is marked safe is made in `svg`, `flipping`, `prose` and `paths` alone.
    made = Environment(
        loader=PackageLoader("lorimer.dashboard"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals.update(
        version=__version__,
        place=place,
        in_file=isinstance(links, InFile),
        study_path=links.study_path,
        candidate_path=links.candidate_path,
        trace_path=links.trace_path,
        to=to,
        sentence=sentence,
        history=history,
        cell=flipping.cell_picture,
        hunk=flipping.hunk_picture,
        power_curve=power.drawn,
        gain_bars=flipping.gain_picture,
        cost=cost,
        dollars=dollars,
        duration=duration,
        here=_here,
        made_by=MADE_BY,
        quoted=shlex.quote,
    )
    return made


@pass_context
def _here(context: Context, tab: str) -> str:
    """What marks the tab that is open."""
    return "page" if context.get("tab") == tab else "false"
