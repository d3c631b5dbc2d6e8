"""A series for `git am`, from the seed harness to the winner: one commit per edit that it rests on."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.header import Header
from email.utils import format_datetime

from lorimer.exports.winner import Change, Winner
from lorimer.harness.version import diff

_AUTHOR = "lorimer <lorimer@localhost>"
_NOWHERE = "0" * 40


def files(winner: Winner) -> dict[str, bytes]:
    """`0001-….patch` and so on, each against `harness/agent.py`; none where the winner is the seed harness."""
    before, made = winner.seed_text, dict[str, bytes]()
    for number, change in enumerate(winner.changes, 1):
        name = f"{number:04}-{_slug(change.title) or change.candidate}.patch"
        made[name] = _mail(change, number, len(winner.changes), before, winner.harness_path).encode()
        before = change.text
    return made


def _mail(change: Change, number: int, of: int, before: str, path: str) -> str:
    made = datetime.fromisoformat(change.made) if change.made else datetime.fromtimestamp(0, UTC)
    title = " ".join(change.title.split()) or change.candidate
    # A line of its own that begins like these would end the message for git.
    body = re.sub(r"(?m)^(---|diff |Index: |From )", r" \1", change.hypothesis.strip())
    changed = diff(before, change.text, f"a/{path}", f"b/{path}")
    lines = [
        f"From {_NOWHERE} Mon Sep 17 00:00:00 2001",
        f"From: {_AUTHOR}",
        f"Date: {format_datetime(made)}",
        f"Subject: {Header(f'[PATCH {number}/{of}] {title}', 'utf-8' if not title.isascii() else 'us-ascii').encode()}",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=UTF-8",
        "Content-Transfer-Encoding: 8bit",
        "",
        body,
        "",
        f"Candidate: {change.candidate}",
        "---",
        f"diff --git a/{path} b/{path}",
    ]
    return "\n".join(lines) + f"\n{changed}-- \nlorimer\n\n"


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:50].strip("-")
