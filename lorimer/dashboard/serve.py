"""Serves the dashboard until it is stopped."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable
from pathlib import Path

import uvicorn

from lorimer.dashboard.app import application
from lorimer.errors import UserError
from lorimer.traces.base import StudyReader

LOOPBACK = ("127.0.0.1", "localhost", "::1")
STOP_SECONDS = 1
"""How long answers under way are waited for at the end."""


def serve(reader: StudyReader, root: Path, host: str, port: int, said: Callable[[str, str], None]) -> None:
    """Serve until Ctrl-C or SIGTERM.

    Args:
        host: the address to listen at.
        port: 0 for any that is free.
        said: told the page's address and the token with which a person may act, as soon as it answers.

    Raises UserError where the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    with listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, port))
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise UserError(
                f"cannot listen at {host} port {port}: {why}", "name another with --port or --host"
            ) from None
        port = listening.getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        hosts = [*LOOPBACK, "[::1]", host, shown] if host not in ("0.0.0.0", "::") else ["*"]  # noqa: S104 - compared alone
        token = secrets.token_urlsafe(24)
        app = application(reader, root, hosts, token)
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, timeout_graceful_shutdown=STOP_SECONDS, server_header=False
        )
        said(f"http://{shown}:{port}/", token)
        uvicorn.Server(config).run(sockets=[listening])
