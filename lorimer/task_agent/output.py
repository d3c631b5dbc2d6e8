"""What of a command's output is shown and kept: text, with every cut said where it was made."""

from __future__ import annotations

from lorimer.harness import api
from lorimer.sandbox.base import ExecOutput


def exec_result(output: ExecOutput) -> api.ExecResult:
    """What the harness gets to see of a command: text, with every cut said where it was made."""
    return api.ExecResult(
        stdout=kept_text(output.stdout, output.stdout_dropped),
        stderr=kept_text(output.stderr, output.stderr_dropped),
        exit_code=output.exit_code,
        timed_out=output.timed_out,
        truncated=bool(output.stdout_dropped or output.stderr_dropped),
    )


def kept_text(kept: bytes, dropped: int) -> str:
    """Head and tail, as a sandbox or a jail kept them, with the cut between them."""
    if not dropped:
        return kept.decode("utf-8", "replace")
    half = len(kept) - len(kept) // 2  # sandboxes keep as much of the head as of the tail
    head, tail = kept[:half].decode("utf-8", "replace"), kept[half:].decode("utf-8", "replace")
    return f"{head}\n[... {dropped} bytes dropped ...]\n{tail}"


def cut(text: str, limit: int) -> str:
    """The text in at most `limit` characters of its head and tail, and the cut said."""
    if len(text) <= limit:
        return text
    tail = limit // 2
    return f"{text[: limit - tail]}\n[... {len(text) - limit} characters dropped ...]\n{text[len(text) - tail :]}"


def last_line(text: str) -> str:
    """The last line of a traceback: what the exception says."""
    lines = text.strip().splitlines()
    return lines[-1][:500] if lines else ""
