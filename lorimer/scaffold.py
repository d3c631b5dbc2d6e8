"""`lorimer init`: a new workspace, ready to run."""

from __future__ import annotations

import json
import shutil
import subprocess
import tomllib
from importlib.resources import files
from pathlib import Path

from lorimer.benchmarks.registry import open_benchmark
from lorimer.config import parse
from lorimer.errors import PrerequisiteError, UserError
from lorimer.keys import child_environment

GIT_IDENTITY = ("-c", "user.name=lorimer", "-c", "user.email=lorimer@localhost")
"""For the first commit where the user has configured no identity of their own."""


def init(
    root: Path, *, source: str = "starter", model: str = "simulated/apprentice", own_repository: bool = False
) -> list[Path]:
    """Make lorimer.toml, program.md, harness/agent.py and .gitignore in `root`, and commit them to the git repository there.

    A repository is made where there is none, where the one around ignores `root`, or with `own_repository` in any case.

    Returns the files written. Files that exist are never touched. Raises UserError when `root` holds a workspace already or
    cannot be written, ConfigError for a wrong `source` or `model`, PrerequisiteError without git; then nothing is written.
    """
    if shutil.which("git") is None:
        raise PrerequisiteError("git is not installed, and promotions are commits", "Debian: apt-get install git")
    if (root / "lorimer.toml").exists():
        raise UserError(
            f"{root / 'lorimer.toml'}: there is a workspace here already; edit that file, or init another folder"
        )
    templates = files("lorimer") / "templates"
    settings = (templates / "lorimer.toml").read_text(encoding="utf-8")
    # JSON's escapes are TOML's.
    settings = settings.replace('"{source}"', json.dumps(source)).replace('"{model}"', json.dumps(model))
    parse(tomllib.loads(settings), "init")
    open_benchmark(source, root)
    texts = {
        "lorimer.toml": settings,
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
    _commit(root, [path.relative_to(root) for path in written], own_repository=own_repository)
    return written


def _commit(root: Path, written: list[Path], *, own_repository: bool) -> None:
    names = [str(path) for path in written]
    inside = _git(root, "rev-parse", "--is-inside-work-tree").returncode == 0
    # A folder that the repository around it ignores is none of its business.
    if own_repository or not inside or _git(root, "check-ignore", "--quiet", ".").returncode == 0:
        _done(root, "init", "--quiet")
    _done(root, "add", "--", *names)
    identity = () if _git(root, "config", "user.email").stdout.strip() else GIT_IDENTITY
    _done(root, *identity, "commit", "--quiet", "--no-verify", "-m", "Start a lorimer workspace", "--", *names)


def git_ignores(root: Path, name: str) -> bool:
    """Whether git, in the repository around `root`, leaves a file out; a folder in no repository counts as left out."""
    if _git(root, "rev-parse", "--is-inside-work-tree").returncode != 0:
        return True
    tracked = _git(root, "ls-files", "--error-unmatch", "--", name).returncode == 0
    return not tracked and _git(root, "check-ignore", "--quiet", "--", name).returncode == 0


def _done(root: Path, *arguments: str) -> None:
    """Run git; raises UserError with its words."""
    done = _git(root, *arguments)
    if done.returncode != 0:
        what = next(word for word in arguments if word in ("init", "add", "commit"))
        raise UserError(
            f"{root}: the files are written, but git {what} failed: {(done.stderr or done.stdout).strip()}; commit them yourself"
        )


def _git(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["git", *arguments],
        cwd=root,
        env=child_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
