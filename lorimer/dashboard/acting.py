"""What a person does from a page: approve or refuse the promotion that waits, go back to an earlier champion.

Each does what its command does, with the same words. A request changes something only with the token that the terminal showed, in
a field of a form, and only where a page of this server sent it: no cookie is set or read, so no other page can act for a person.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from starlette.requests import Request

from lorimer.config import parse
from lorimer.dashboard.overview import Told, tell
from lorimer.dashboard.shelf import Opened
from lorimer.errors import UserError
from lorimer.meta_agent.reports import review
from lorimer.meta_agent.reports.review import Held
from lorimer.meta_agent.state.names import short
from lorimer.meta_agent.study import hand
from lorimer.traces.base import StudyReader

MOST_BYTES = 64_000
"""The longest form that is read. The longest reason that is kept has 2,000 characters, 12 bytes each as a form writes them."""

FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class Acting:
    """The page on which a person acts."""

    held: Held | None
    """The promotion that waits."""
    waits: Told | None
    """Its candidate in words."""
    earlier: tuple[tuple[str, str], ...]
    """Champions to which it can go back, with their titles; the newest first."""
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


def acting(
    reader: StudyReader, root: Path, opened: Opened, token: str, *, offered: bool, said: str = "", refused: str = ""
) -> Acting:
    """Read the page. `token` is what the person has given, if it is the right one."""
    world, held = opened.world, review.held(reader, opened.row)
    waits = hand.waiting(reader, opened.row) if held is not None else None
    champion = world.champion_id
    earlier = [(short(each.number), each.title) for each in reversed(world.promoted) if each.id != champion]
    earlier += [(hand.SEED, "the harness with which the study began")] if champion else []
    workspace = hand.workspace_of(root, parse(opened.row.config, opened.id))
    return Acting(
        held,
        tell(opened, waits.number) if waits is not None else None,
        tuple(earlier),
        hand.person(workspace, None, "").name,
        token,
        offered,
        said,
        refused,
    )


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form that was sent. Raises UserError for what is none, or is too long."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise UserError("only a form of this dashboard's own pages is taken")
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MOST_BYTES:
            raise UserError(f"the form has over {MOST_BYTES:,} bytes")
    try:
        fields = parse_qs(body.decode("ascii"), keep_blank_values=True, max_num_fields=20)
    except ValueError:
        raise UserError("the form cannot be read") from None
    return {name: values[-1] for name, values in fields.items()}


def refusal(request: Request, token: str, given: str) -> str:
    """Why this request may change nothing; "" where it may."""
    host, sent = request.headers.get("host", ""), urlsplit(request.headers.get("origin", "")).netloc
    if not host or sent != host or request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        return "this was not sent by a page of this dashboard, so nothing was changed"
    if not token:
        return "this dashboard has no token, so nothing can be changed from its pages; the commands below do it"
    if not given:
        return "the token is missing, so nothing was changed; the terminal in which `lorimer dashboard` runs shows it"
    if not hmac.compare_digest(token.encode(), given.encode()):
        return "that is not the token, so nothing was changed; the terminal in which `lorimer dashboard` runs shows it"
    return ""


async def act(root: Path, opened: Opened, form: Mapping[str, str]) -> str:
    """Do what a form asks for; what was done, in a sentence. Raises LorimerError, with nothing done."""
    what, why, candidate = form.get("do", ""), form.get("why", ""), form.get("candidate", "")
    if what == "open":
        return ""
    who = hand.person(hand.workspace_of(root, parse(opened.row.config, opened.id)), form.get("by"), why)
    if what in ("approve", "refuse") and candidate:
        said = await hand.review(root, opened.row, candidate, who, approve=what == "approve")
        return f"{said}; `lorimer resume {opened.id}` goes on"
    if what == "revert" and candidate:
        found = await hand.revert(root, opened.row, candidate, who, drop=form.get("drop") == "yes")
        note = f"; {found.note}" if found.note else ""
        return f"{found.champion} is the champion of {opened.id} again, after {found.before}{note}"
    raise UserError("the form asks for nothing that this page does")
