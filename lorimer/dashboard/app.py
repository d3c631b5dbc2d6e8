"""The web application: addresses, and what every answer carries."""

from __future__ import annotations

import importlib.resources
from collections.abc import Sequence
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lorimer.dashboard.pages import Pages
from lorimer.dashboard.shelf import Shelf
from lorimer.errors import LorimerError
from lorimer.traces.base import StudyReader

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
    files = StaticFiles(directory=str(importlib.resources.files("lorimer.dashboard") / "static"))
    return Starlette(
        routes=[
            Route("/", pages.studies),
            Route("/pairings", pages.pairings),
            Route("/s/{study}", pages.study),
            Route("/s/{study}/flips", pages.flips),
            Route("/s/{study}/beside", pages.beside),
            Route("/s/{study}/candidates", pages.candidates),
            Route("/s/{study}/c/{number:int}", pages.candidate),
            Route("/s/{study}/seed", pages.seed),
            Route("/s/{study}/trials", pages.trials),
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
