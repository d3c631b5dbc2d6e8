"""What a person does from a page: decides about a promotion, pauses a study or goes on with it, changes its bounds, edits.

Each does what its command does, with the same words. A request changes something only with the token that the terminal showed, in
a field of a form, and only where a page of this server sent it: no cookie is set or read, so no other page can act for a person.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from urllib.parse import parse_qs, urlsplit

from starlette.requests import Request

from lorimer.config.settings import Config, overrides, parse_stored
from lorimer.dashboard.shelf import Opened
from lorimer.dashboard.views.overview import ToldCandidate, tell
from lorimer.errors import UserError
from lorimer.meta_agent.reports import review
from lorimer.meta_agent.reports.review import HeldPromotion
from lorimer.meta_agent.state.names import short
from lorimer.meta_agent.study.candidates import edits
from lorimer.meta_agent.study.people import apart, asking, hand
from lorimer.traces.base import StudyReader
from lorimer.traces.settings import leaves

WORDS_BYTES = 64_000
"""The longest form that is read, an edited harness left out. The longest reason that is kept has 2,000 characters, 12 bytes each
as a form writes them."""
FORM_BYTES = 6
"""Bytes of a form for one of an edited harness, at most: a line's end becomes `%0D%0A`."""

FORM = "application/x-www-form-urlencoded"

BOUNDS = (
    ("budget.candidates", "Candidates"),
    ("budget.usd", "Dollars"),
    ("budget.tokens", "Tokens"),
    ("budget.trials", "Trials"),
    ("budget.hours", "Hours"),
    ("sandbox.concurrency", "Trials at once"),
    ("search.width", "Proposals per round"),
)
"""What the page changes, by its key and as people call it. `lorimer tune` takes the parts of the two models as well."""
WAS = "was."
"""What a field said when the page was made is sent along under its name with this before it: what has not been touched is not
asked for, so a page that is old takes nothing back."""


@dataclass(frozen=True)
class Bound:
    """One setting that can be changed while the study goes on."""

    key: str
    name: str
    value: str
    """What a person would type; empty where there is no bound."""


@dataclass(frozen=True)
class Acting:
    """The page on which a person acts."""

    held: HeldPromotion | None
    """The promotion that waits."""
    waits: ToldCandidate | None
    """Its candidate in words."""
    earlier: tuple[tuple[str, str], ...]
    """Champions to which it can go back, with their titles; the newest first."""
    bounds: tuple[Bound, ...]
    champion: str
    """The champion's harness, to be edited; empty where a form would change its line ends."""
    by: str
    """Who acts, unless they say otherwise: as git knows them."""
    token: str
    """The token, where whoever asked has given it; empty otherwise, and then the page has the commands alone."""
    offered: bool
    """Whether there is a token at all."""
    said: str = ""
    """What was done."""
    refused: str = ""
    """Why nothing was."""
    typed: Mapping[str, str] = field(default_factory=dict)
    """The fields of a form that was refused, which comes back as it was typed."""

    def typed_in(self, forms: Collection[str], name: str, otherwise: str = "") -> str:
        """What a field says: what was typed where the form that was refused does one of `forms`, else what the page would say."""
        return self.typed.get(name, otherwise) if self.typed.get("do") in forms else otherwise


def acting(
    reader: StudyReader,
    root: Path,
    opened: Opened,
    token: str,
    *,
    offered: bool,
    said: str = "",
    refused: str = "",
    typed: Mapping[str, str] = MappingProxyType({}),
) -> Acting:
    """Read the page. `token` is what the person has given, if it is the right one."""
    world, held = opened.world, review.held(reader, opened.row, opened.world)
    settings = settings_of(opened)
    waits = hand.waiting(world, settings) if held is not None else None
    champion = world.champion_id
    earlier = [(short(each.number), each.title) for each in reversed(world.promoted) if each.id != champion]
    earlier += [(hand.SEED, "the harness with which the study began")] if champion else []
    values = leaves(settings.model_dump(mode="json"))
    text = reader.harness(world.champion_harness).text
    return Acting(
        held,
        tell(opened, waits.number) if waits is not None else None,
        tuple(earlier),
        tuple(Bound(key, name, _typed(values.get(tuple(key.split("."))))) for key, name in BOUNDS),
        "" if "\r" in text else text,
        hand.person(hand.workspace_of(root, settings), None, "").name,
        token,
        offered,
        said,
        refused,
        typed,
    )


def settings_of(opened: Opened) -> Config:
    """The study's settings."""
    return parse_stored(opened.row.config, opened.id)


def _typed(value: object) -> str:
    return "" if value is None else f"{value:.12g}" if isinstance(value, float) else str(value)


async def form_of(request: Request, opened: Opened) -> dict[str, str]:
    """The fields of a form that was sent. Raises UserError for what is none, or is too long."""
    most = WORDS_BYTES + FORM_BYTES * settings_of(opened).meta.max_harness_bytes
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise UserError("only a form of this dashboard's own pages is taken")
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > most:
            raise UserError(f"the form has over {most:,} bytes")
    try:
        fields = parse_qs(body.decode("ascii"), keep_blank_values=True, max_num_fields=40)
    except ValueError:
        raise UserError("the form cannot be read") from None
    return {name: values[-1] for name, values in fields.items()}


def typed(form: Mapping[str, str]) -> dict[str, str]:
    """What a person typed into a form, to be shown again. One that waited for the token says what it does in `did`."""
    kept = {name: value.replace("\r\n", "\n") for name, value in form.items() if name not in ("token", "do", "did")}
    return kept | {"do": form.get("did") or form.get("do", "")}


def foreign(request: Request) -> str:
    """Why nothing is taken from the page that sent this request; "" for a page of this dashboard."""
    host, sent = request.headers.get("host", ""), urlsplit(request.headers.get("origin", "")).netloc
    if not host or sent != host or request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        return "this was not sent by a page of this dashboard, so nothing was changed"
    return ""


def refusal(token: str, given: str) -> str:
    """Why whoever gives this token may change nothing; "" where they may."""
    if not token:
        return "this dashboard has no token, so nothing can be changed from its pages; the commands below do it"
    if not given:
        return "the token is missing, so nothing was changed; the terminal in which `lorimer dashboard` runs shows it"
    if not hmac.compare_digest(token.encode(), given.encode()):
        return "that is not the token, so nothing was changed; the terminal in which `lorimer dashboard` runs shows it"
    return ""


async def act(reader: StudyReader, root: Path, opened: Opened, form: Mapping[str, str]) -> str:
    """Do what a form asks for; what was done, in a sentence. Raises LorimerError, with nothing done."""
    what, why, candidate = form.get("do", ""), form.get("why", ""), form.get("candidate", "")
    if what == "open":
        return ""
    who = hand.person(hand.workspace_of(root, settings_of(opened)), form.get("by"), why)
    if what in ("approve", "refuse") and candidate:
        said = await hand.review(root, opened.row, candidate, who, approve=what == "approve")
        return f"{said}; `lorimer resume {opened.id}` goes on"
    if what == "revert" and candidate:
        found = await hand.revert(root, opened.row, candidate, who, drop=form.get("drop") == "yes")
        note = f"; {found.note}" if found.note else ""
        return f"{found.champion} is the champion of {opened.id} again, after {found.before}{note}"
    if what == "pause":
        return await asking.pause(root, opened.row, who)
    if what == "resume":
        # It is waited for until the process holds the study.
        return str(await asyncio.to_thread(apart.resume, reader, root, opened.row))
    if what == "tune":
        changed = await asking.tune(root, opened.row, asked_for(form))
        return "; ".join(map(str, changed))
    if what == "propose":
        text = form.get("text", "").replace("\r\n", "\n")  # as a form sends each line's end
        fixes, at_risk = (form.get(name, "").split() for name in ("fixes", "at_risk"))
        put = await edits.propose(root, opened.row, text, why, fixes, at_risk)
        touches = f", and {put.touches}" if put.touches else ""
        return f"{put.candidate} ({put.title}) is put before the gate of {opened.id}{touches}"
    raise UserError("the form asks for nothing that this page does")


def asked_for(form: Mapping[str, str]) -> dict[str, object]:
    """The settings that a form asks to change, by dotted key; `None` takes a bound away. Raises ConfigError. Pure."""
    touched = {key: form[key].strip() for key, _ in BOUNDS if key in form and form[key].strip() != form.get(WAS + key)}
    return {**overrides([f"{key}={value}" for key, value in touched.items() if value]), **_emptied(touched)}


def _emptied(touched: Mapping[str, str]) -> dict[str, object]:
    return {key: None for key, value in touched.items() if not value}
