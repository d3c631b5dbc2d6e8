"""The templates' environment: the same for the server's pages and for the one file that a report is."""

from __future__ import annotations

import re
import shlex
from functools import partial

from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup, escape

from lorimer import __version__
from lorimer.dashboard.paths import FilePaths, Links, to
from lorimer.dashboard.prose import sentence
from lorimer.dashboard.views import flipping, power
from lorimer.dashboard.views.history import History, drawn
from lorimer.kinds import MADE_BY
from lorimer.terminal.words import cost, duration
from lorimer.wording import dollars

TURNS = re.compile("[\u202a-\u202e\u2066-\u2069]")
"""What turns the direction of the text after it (Unicode's embeddings, overrides and isolates). A model that leaves one open in a
title would turn lorimer's own numbers around."""


class ExactText(Markup):
    """What a person typed, or a harness to be edited, given back in a field of a form to the last character."""


def exact(text: str) -> ExactText:
    """A text for a field of a form, in which it stands alone."""
    return ExactText(escape(text))


def shown(value: object) -> object:
    """A value as every page and the report show it: marks that turn the text's direction are told of by number, `[U+202E]`."""
    if not isinstance(value, str) or value.isascii() or isinstance(value, ExactText) or not TURNS.search(value):
        return value
    said = TURNS.sub(lambda found: f"[U+{ord(found[0]):04X}]", value)
    return Markup(said) if isinstance(value, Markup) else said  # noqa: S704 - as safe as it was


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
        finalize=shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals.update(
        version=__version__,
        place=place,
        in_file=isinstance(links, FilePaths),
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
        exact=exact,
    )
    return made


@pass_context
def _here(context: Context, tab: str) -> str:
    """What marks the tab that is open."""
    return "page" if context.get("tab") == tab else "false"
