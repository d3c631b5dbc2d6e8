"""Every page: parse what is asked, read one value, fill one template. No logic, and no door to a database."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse

from lorimer.dashboard import acting
from lorimer.dashboard.paths import ServerPaths, last_page, study_of
from lorimer.dashboard.shelf import Opened, Shelf
from lorimer.dashboard.templating import environment
from lorimer.dashboard.views import (
    beside,
    candidates,
    evaluations,
    flipping,
    grid,
    lineage,
    matrix,
    overview,
    power,
    searching,
    trajectory,
)
from lorimer.dashboard.views.compared import with_full_run
from lorimer.errors import LorimerError, UserError

BUFFERED = 400
"""Pieces of a template in one piece of the answer."""


class Pages:
    """The pages of a store's studies. They run in threads, so none keeps the event loop from others.

    Args:
        root: the workspace's folder, which is named in the head of each page.
        token: with which a person may act.
    """

    def __init__(self, shelf: Shelf, root: Path, token: str = "") -> None:
        self._shelf, self._reader = shelf, shelf.reader
        self._root, self._token = root, token
        self._playing = threading.Lock()
        self._templates = environment(ServerPaths(), root.resolve().name)

    # ---- studies

    def studies(self, request: Request) -> Response:
        return self._page("studies.html", lines=overview.lines(self._shelf), pairings=grid.here(self._shelf))

    def pairings(self, request: Request) -> Response:
        return self._page("grid.html", view=grid.read(self._shelf))

    def study(self, request: Request) -> Response:
        """The page asks again and again for the part of it that changes, and is told in a word where nothing did."""
        opened, part = self._opened(request), request.query_params.get("part")
        if part == "live" and request.headers.get("if-none-match") == opened.version:
            return Response(status_code=304, headers={"ETag": opened.version})
        found = overview.overview(self._shelf, opened)
        answer = self._page("study.html", part=part, opened=opened, view=found, tab="study")
        answer.headers["ETag"] = opened.version
        return answer

    def flips(self, request: Request) -> Response:
        opened = self._opened(request)
        focus = number(request, "of", 0) or None
        if focus is not None:
            opened.candidate(focus)  # one that is not there is said
        first = place(request, len(with_full_run(opened)), flipping.EDITS)
        hunks = number(request, "hunks", 0) > 0
        # Its trials are decided: they change no more while the decisions do not.
        found = self._shelf.worked_out(
            opened.id,
            f"flips {first} {focus} {hunks}",
            opened.mark.decided,
            lambda: flipping.flipping(self._reader, opened, first, focus, hunks),
        )
        return self._long("flips.html", opened=opened, view=found, tab="flips", step=flipping.EDITS)

    def beside(self, request: Request) -> Response:
        opened, asked = self._opened(request), request.query_params
        found = beside.pairing(
            self._reader,
            opened,
            number(request, "of", 0),
            asked.get("task", ""),
            asked.get("before"),
            asked.get("after"),
        )
        return self._page("beside.html", opened=opened, view=found, tab="flips")

    def candidates(self, request: Request) -> Response:
        opened = self._opened(request)
        first = place(request, len(opened.candidates), candidates.PAGE)
        found = candidates.entries(self._reader, opened, first)
        return self._page(
            "candidates.html", opened=opened, entries=found, first=first, step=candidates.PAGE, tab="candidates"
        )

    def candidate(self, request: Request) -> Response:
        opened = self._opened(request)
        found = candidates.shown(self._reader, opened, request.path_params["number"])
        ran = evaluations.ran(self._reader, opened, found.row.id)
        return self._page("candidate.html", opened=opened, view=found, ran=ran, tab="candidates")

    def seed(self, request: Request) -> Response:
        opened = self._opened(request)
        text = self._reader.harness(opened.world.seed_harness).text
        return self._page("seed.html", opened=opened, text=text, ran=evaluations.ran(self._reader, opened, ""), tab="")

    def trials(self, request: Request) -> Response:
        opened, wanted = self._opened(request), number(request, "first", 0)
        row, found, first = evaluations.of(self._reader, opened, request.query_params.get("of", ""), wanted)
        whose = opened.world.candidate(row.subject)
        return self._page(
            "trials.html", opened=opened, view=found, whose=whose, first=first, step=evaluations.PAGE, tab=""
        )

    def tasks(self, request: Request) -> Response:
        opened = self._opened(request)
        first = place(request, len(opened.candidates), matrix.COLUMNS)
        found = matrix.matrix(self._reader, opened, first)
        return self._long("tasks.html", opened=opened, view=found, first=first, step=matrix.COLUMNS, tab="tasks")

    def task(self, request: Request) -> Response:
        opened, name = self._opened(request), request.query_params.get("task", "")
        found = matrix.task(self._reader, opened, name)
        return self._page("task.html", opened=opened, view=found, tab="tasks")

    def lineage(self, request: Request) -> Response:
        opened = self._opened(request)
        found = self._shelf.worked_out(
            opened.id, "lineage", opened.mark.decided, lambda: lineage.read(self._reader, opened)
        )
        return self._page("lineage.html", opened=opened, view=found, tab="lineage")

    def trace(self, request: Request) -> Response:
        opened = self._opened(request)
        owner = request.query_params.get("of", "")
        found = trajectory.trajectory(self._reader, opened, owner, number(request, "at", 0))
        return self._page("trace.html", opened=opened, view=found, tab="")

    def search(self, request: Request) -> Response:
        opened = self._opened(request)
        found = searching.search(self._reader, opened, request.query_params.get("q", ""))
        return self._page("search.html", opened=opened, view=found, tab="search")

    def power(self, request: Request) -> Response:
        """The page comes at once; a forecast that has to be worked out takes seconds, and the page asks for that part later."""
        opened, part = self._opened(request), request.query_params.get("part")
        if part is None and not self._shelf.known(opened.id, "power", opened.mark.decided):
            return self._page("power.html", opened=opened, view=None, said="", tab="power")
        try:
            with self._playing:  # one forecast takes all processors
                found = self._shelf.worked_out(
                    opened.id, "power", opened.mark.decided, lambda: power.read(self._reader, opened)
                )
        except UserError as error:
            return self._page("power.html", part=part, opened=opened, view=None, said=str(error), tab="power")
        return self._page("power.html", part=part, opened=opened, view=found, said="", tab="power")

    # ---- acting

    def acting(self, request: Request) -> Response:
        return self._act(self._opened(request), "")

    async def act(self, request: Request) -> Response:
        """Do what a form asks for, if it comes from a page of this server and holds the token."""
        opened = await run_in_threadpool(self._opened, request)
        try:
            form = await acting.form_of(request, opened)
        except UserError as error:
            return await run_in_threadpool(self._act, opened, "", refused=str(error), status=400)
        if refused := acting.foreign(request):
            return await run_in_threadpool(self._act, opened, "", refused=refused, status=403)
        given, typed = form.get("token", ""), acting.typed(form)
        if refused := acting.refusal(self._token, given):
            return await run_in_threadpool(self._act, opened, "", refused=refused, typed=typed, status=403)
        try:
            said = await acting.act(self._reader, self._root, opened, form)
        except LorimerError as error:
            return await run_in_threadpool(self._act, opened, given, refused=str(error), typed=typed, status=409)
        opened = await run_in_threadpool(self._opened, request)
        # A form that came with a wrong token is there again once the right one is given.
        return await run_in_threadpool(self._act, opened, given, said=said, typed=typed if "did" in form else {})

    def _act(self, opened: Opened, token: str, *, status: int = 200, **outcome: Any) -> Response:
        found = acting.acting(self._reader, self._root, opened, token, offered=bool(self._token), **outcome)
        return self._page("act.html", status=status, opened=opened, view=found, tab="act")

    def _opened(self, request: Request) -> Opened:
        return self._shelf.open(study_of(request.path_params["study"]))

    # ---- what goes wrong

    def failed(self, request: Request, error: Exception) -> Response:
        """An error of ours as a page: what there is none of is 404, what cannot be read 503."""
        status = 404 if isinstance(error, UserError) else 503
        return self._page("failed.html", status=status, said=str(error))

    def missing(self, request: Request, error: Exception) -> Response:
        """No page has this address, or none that answers this method."""
        status = error.status_code if isinstance(error, HTTPException) else 404
        return self._page("failed.html", status=status, said="there is no page at this address")

    def _page(self, template: str, *, status: int = 200, part: str | None = None, **values: Any) -> Response:
        """A whole page, or the part of it that follows the store."""
        name = f"live/{template}" if part == "live" else template
        return HTMLResponse(self._templates.get_template(name).render(**values), status_code=status)

    def _long(self, template: str, **values: Any) -> Response:
        """A page of thousands of cells, sent while it is written. All that can fail was read before."""
        written = self._templates.get_template(template).stream(**values)
        written.enable_buffering(BUFFERED)
        return StreamingResponse(written, media_type="text/html")


def number(request: Request, name: str, default: int) -> int:
    """A number of the address's query, from 0. Raises UserError."""
    said = request.query_params.get(name)
    if said is None:
        return default
    if not said.isascii() or not said.isdigit() or len(said) > 9:
        raise UserError(f"{name} is to be a whole number in this page's address")
    return int(said)


def place(request: Request, total: int, step: int) -> int:
    """The first of a list that a page shows, as its address says; past the end it is the last page's. Raises UserError."""
    return last_page(number(request, "first", 0), total, step)
