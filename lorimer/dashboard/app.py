"""The web application: addresses, what every answer carries, and how a page hears that the store has changed."""

from __future__ import annotations

import asyncio
import importlib.resources
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lorimer.dashboard.pages import Pages
from lorimer.dashboard.paths import study_of
from lorimer.dashboard.shelf import Shelf
from lorimer.errors import LorimerError
from lorimer.traces.base import StudyReader

POLL_SECONDS = 1.0
"""How often a page that is open has the store looked at: five questions to indices, 2 ms."""
QUIET_SECONDS = 15.0
"""After so long without news a line keeps the connection alive."""

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
"""No script runs but the dashboard's own file, and nothing is fetched from elsewhere: what a model wrote stays text."""

HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Guarded:
    """Puts `HEADERS` on every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] += [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
            await send(message)

        await self._app(scope, receive, guarded if scope["type"] == "http" else send)


def application(reader: StudyReader, root: Path, hosts: Sequence[str], token: str = "") -> Starlette:
    """The dashboard of a workspace's store.

    Args:
        hosts: the names by which it may be asked for; under any other, which a hostile page may have pointed here, it refuses.
        token: with which a person may act; where it is empty nobody can.
    """
    shelf = Shelf(reader, root)
    pages = Pages(shelf, root, token)

    async def live(request: Request) -> Response:
        study = study_of(request.path_params["study"])
        await run_in_threadpool(reader.study, study)
        # A browser that connects again says what it heard last.
        since = request.headers.get("last-event-id") or request.query_params.get("since", "")
        return StreamingResponse(changes(reader, study, since), media_type="text/event-stream")

    files = StaticFiles(directory=str(importlib.resources.files("lorimer.dashboard") / "static"))
    return Starlette(
        routes=[
            Route("/", pages.studies),
            Route("/pairings", pages.pairings),
            Route("/s/{study}", pages.study),
            Route("/s/{study}/live", live),
            Route("/s/{study}/flips", pages.flips),
            Route("/s/{study}/beside", pages.beside),
            Route("/s/{study}/candidates", pages.candidates),
            Route("/s/{study}/c/{number:int}", pages.candidate),
            Route("/s/{study}/tasks", pages.tasks),
            Route("/s/{study}/task", pages.task),
            Route("/s/{study}/lineage", pages.lineage),
            Route("/s/{study}/trace", pages.trace),
            Route("/s/{study}/search", pages.search),
            Route("/s/{study}/power", pages.power),
            Route("/s/{study}/act", pages.acting),
            Route("/s/{study}/act", pages.act, methods=["POST"]),
            Mount("/static", files),
        ],
        middleware=[Middleware(Guarded), Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))],
        exception_handlers={LorimerError: pages.failed, HTTPException: pages.missing},
    )


async def changes(reader: StudyReader, study: str, since: str, poll: float = POLL_SECONDS) -> AsyncGenerator[str]:
    """Server-sent events: one for each time that the study's rows have changed.

    Args:
        since: the word of the mark that the page was made of, so that nothing is missed that came while it was loading.
        poll: seconds between two looks.
    """
    yield "retry: 2000\n\n"
    quiet = 0.0
    while True:
        now = (await run_in_threadpool(reader.mark, study)).word
        if now != since:
            since, quiet = now, 0.0
            yield f"event: changed\nid: {now}\ndata: {now}\n\n"
        elif quiet >= QUIET_SECONDS:
            quiet = 0.0
            yield ": still here\n\n"
        await asyncio.sleep(poll)
        quiet += poll
