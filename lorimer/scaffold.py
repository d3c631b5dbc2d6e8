"""`lorimer init`: a new workspace, ready to run."""

from __future__ import annotations

import subprocess
from importlib.resources import files
from pathlib import Path

from lorimer.errors import PrerequisiteError, UserError

GIT_IDENTITY = ("-c", "user.name=lorimer", "-c", "user.email=lorimer@localhost")
"""For the first commit where the user has configured no identity of their own."""


def init(root: Path, *, source: str = "starter", model: str = "simulated/apprentice") -> list[Path]:
    """Make lorimer.toml, program.md, harness/agent.py and .gitignore in `root`, and commit them to a git repository there.

    Returns the files written. Files that exist are never touched. Raises UserError when `root` holds a workspace already,
    PrerequisiteError without git.
    """
    if (root / "lorimer.toml").exists():
        raise UserError(
            f"{root / 'lorimer.toml'}: there is a workspace here already; edit that file, or init another folder"
        )
    templates = files("lorimer") / "templates"
    settings = (templates / "lorimer.toml").read_text(encoding="utf-8")
    texts = {
        "lorimer.toml": settings.replace("{source}", source).replace("{model}", model),
        "program.md": (templates / "program.md").read_text(encoding="utf-8"),
        "harness/agent.py": (files("lorimer") / "harness" / "agent.py").read_text(encoding="utf-8"),
        ".gitignore": (templates / "gitignore").read_text(encoding="utf-8"),
    }
    written = []
    for name, text in texts.items():
        path = root / name
        if path.exists():
            continue
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise UserError(f"{path}: cannot be written: {error.strerror}") from None
        written.append(path)
    _commit(root, written)
    return written


def _commit(root: Path, written: list[Path]) -> None:
    try:
        inside = _git(root, "rev-parse", "--is-inside-work-tree")
        if inside.returncode != 0:
            _git(root, "init", "--quiet").check_returncode()
        names = [str(path.relative_to(root)) for path in written]
        _git(root, "add", "--", *names).check_returncode()
        identity = () if _git(root, "config", "user.email").stdout.strip() else GIT_IDENTITY
        done = _git(
            root, *identity, "commit", "--quiet", "--no-verify", "-m", "Start a lorimer workspace", "--", *names
        )
        if done.returncode != 0:
            raise UserError(f"{root}: git commit failed: {(done.stderr or done.stdout).strip().splitlines()[-1]}")
    except FileNotFoundError:
        raise PrerequisiteError("git is not installed", "install it (Debian: apt-get install git)") from None


def _git(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, timeout=60, check=False)
