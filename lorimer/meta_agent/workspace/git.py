"""Git as lorimer runs it: without a user's hooks and questions, in no other repository than the folder's own."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from lorimer.errors import PrerequisiteError, UserError
from lorimer.keys import child_environment

TIMEOUT = 60.0
"""Seconds for one git command; a commit takes milliseconds, a locked or networked disk may not."""

_QUIET = ("-c", "core.hooksPath=/dev/null", "-c", "commit.gpgsign=false", "-c", "core.safecrlf=false")
"""A hook, a passphrase prompt or a refusal of line ends would stop a study that runs overnight."""
_REDIRECTS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX")
"""Set when lorimer is started from a git hook; they would point git at another repository."""


def run(
    root: Path, *arguments: str, check: bool = True, input_: bytes = b"", env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run git in a folder. Raises PrerequisiteError without git; UserError on failure where `check`."""
    inherited = {key: value for key, value in child_environment().items() if key not in _REDIRECTS}
    environment = inherited | {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"} | dict(env or {})
    try:
        done = subprocess.run(
            ["git", *_QUIET, *arguments],
            cwd=root,
            env=environment,
            input=input_,
            capture_output=True,
            timeout=TIMEOUT,
            check=False,
            start_new_session=True,  # Ctrl-C and a closed terminal are for lorimer: git ends what it has begun
        )
    except FileNotFoundError:
        if not root.is_dir():
            raise UserError(f"{root}: no such folder") from None
        raise PrerequisiteError("git is not installed", "install it (Debian: apt-get install git)") from None
    except subprocess.TimeoutExpired:
        raise UserError(f"{root}: git did not answer within {TIMEOUT:.0f} s") from None
    if check and done.returncode != 0:
        raise UserError(f"{root}: git {arguments[0]} failed: {last_words(done)}")
    return done


def last_words(done: subprocess.CompletedProcess[bytes]) -> str:
    """The last line of what git said."""
    lines = (done.stderr or done.stdout).decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else f"exit code {done.returncode}"


def objects(said: bytes) -> Iterator[tuple[str, bytes]]:
    """Type and bytes of each object that `git cat-file --batch` was asked for, in that order; "" for one that is not there."""
    at = 0
    while at < len(said):
        end = said.index(b"\n", at)
        header = re.fullmatch(rb"[0-9a-f]+ ([a-z]+) ([0-9]+)", said[at:end])
        at = end + 1
        if header is None:
            yield "", b""
            continue
        size = int(header[2])
        yield header[1].decode(), said[at : at + size]
        at += size + 1
