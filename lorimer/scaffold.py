"""`lorimer init`: a new workspace, ready to run."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from lorimer.benchmarks.registry import located
from lorimer.config.settings import FILE_NAME, parse
from lorimer.errors import ConfigError, PrerequisiteError, UserError
from lorimer.keys import child_environment
from lorimer.kinds import SeedName
from lorimer.models.provider import ProviderConfig
from lorimer.models.registry import check_name

FIRST = "Start a lorimer workspace"
"""The message of the first commit."""

ROWS = "hf:"
"""A benchmark of rows, of which lorimer.toml has to say what they mean."""
ROWS_TABLE = """
[benchmark.hf]                   # each is a column, or a template with columns: "Answer {{ question }}"
instruction = ""                 # what the agent is asked
answer = ""                      # what is right, never shown to it; [benchmark.hf.scorer] scores in other ways

[models]
"""

LOCAL = "local/"
"""A model of the provider that the template sets up for a server of the user's own."""
LOCAL_LINES = ("[providers.local] ", 'api = "chat"', "base_url = ")

GIT_IDENTITY = ("-c", "user.name=lorimer", "-c", "user.email=lorimer@localhost")
"""The identity of the first commit, where the user has configured none of their own."""


def init(
    root: Path,
    *,
    source: str = "starter",
    model: str = "simulated/apprentice",
    harness: SeedName | None = None,
    own_repository: bool = False,
    agree: Callable[[Path], None] = lambda top: None,
) -> list[Path]:
    """Make lorimer.toml, program.md, harness/agent.py and .gitignore in `root`, and commit them to the git repository there.

    A repository is made where there is none, where the one around ignores `root`, or with `own_repository` in any case.

    Args:
        source: [benchmark] source; a DIR in it starts at the current folder.
        model: `PROVIDER/NAME` of the task model, of a provider that needs no settings, or of `local`: a server of the user's own,
            at the address that the template has.
        harness: the harness to begin with. `None` takes `plain` for a simulated model, whose weaknesses that one shows, else
            `react`.
        own_repository: make one in `root` even where there is one around it.
        agree: asked before anything is written into a repository that is there already, with its top folder. What it raises
            goes through.

    Returns the files written. Files that exist are never touched. Raises UserError when `root` holds a workspace already or
    cannot be written, ConfigError for a wrong `source` or `model`, PrerequisiteError without git; then nothing is written.
    """
    if shutil.which("git") is None:
        raise PrerequisiteError("git is not installed, and promotions are commits", "Debian: apt-get install git")
    if (root / FILE_NAME).exists():
        raise UserError(
            f"{root / FILE_NAME}: there is a workspace here already; edit that file, or init another folder"
        )
    _check_model(model, root)
    templates = files("lorimer") / "templates"
    settings = (templates / "lorimer.toml").read_text(encoding="utf-8")
    # JSON's escapes are TOML's.
    settings = settings.replace('"{source}"', json.dumps(located(source, Path.cwd(), root)))
    settings = settings.replace('"{model}"', json.dumps(model))
    if source.startswith(ROWS):
        settings = settings.replace("\n[models]\n", ROWS_TABLE, 1)
    if model.startswith(LOCAL):
        for line in LOCAL_LINES:
            settings = settings.replace(f"# {line}", line, 1)
    parse(tomllib.loads(settings), "init")
    around = None if own_repository else repository_around(root)
    if around is not None:
        agree(around)
    seed = harness or ("plain" if model.startswith("simulated/") else "react")
    texts = {
        FILE_NAME: settings,
        "program.md": (templates / "program.md").read_text(encoding="utf-8"),
        "harness/agent.py": (files("lorimer") / "harness" / "seeds" / f"{seed}.py").read_text(encoding="utf-8"),
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
    _commit(root, [path.relative_to(root) for path in written], make=around is None)
    return written


def repository_around(root: Path) -> Path | None:
    """The top folder of the git repository that commits in `root` would go to; `None` where there is none.

    A folder that the repository around it ignores is none of its business. `root` need not exist yet.
    """
    there = next((folder for folder in (root, *root.absolute().parents) if folder.is_dir()), None)
    if there is None:
        return None
    top = _git(there, "rev-parse", "--show-toplevel")
    # The slash makes a folder of what may not be there yet, as patterns such as `/work/` mean folders alone.
    if top.returncode != 0 or _git(there, "check-ignore", "--quiet", f"{root.absolute()}/").returncode == 0:
        return None
    return Path(top.stdout.strip())


def unguarded(root: Path) -> list[str]:
    """What of a workspace git must not take along, and would: traces of gigabytes, and keys."""
    return [name for name, inside in ((".lorimer/", ".lorimer/x"), (".env", ".env")) if not git_ignores(root, inside)]


def _check_model(model: str, root: Path) -> None:
    """Raises ConfigError for a model that a workspace without settings of its own cannot have."""
    try:
        check_name(model, {"local": ProviderConfig("local", base_url="http://127.0.0.1:8080/v1")})
    except ConfigError as error:
        name = model.partition("/")[0]
        own = (
            f"for a server of your own, make the workspace without --model, then add [providers.{name}] with its base_url, and "
            f'task = "{model}" in [models], to {root / FILE_NAME}'
        )
        raise ConfigError(error.problem, own if error.fix else "") from None


def _commit(root: Path, written: list[Path], *, make: bool) -> None:
    names = [str(path) for path in written]
    if make:
        _done(root, names, "init", "--quiet")
    # Forced: a repository may ignore folders of such a name.
    _done(root, names, "add", "--force", "--", *names)
    identity = () if _git(root, "config", "user.email").stdout.strip() else GIT_IDENTITY
    _done(root, names, *identity, "commit", "--quiet", "--no-verify", "--no-gpg-sign", "-m", FIRST, "--", *names)


def git_ignores(root: Path, name: str) -> bool:
    """Whether git, in the repository around `root`, leaves a file out; a folder in no repository counts as left out."""
    if _git(root, "rev-parse", "--is-inside-work-tree").returncode != 0:
        return True
    return not git_tracks(root, name) and _git(root, "check-ignore", "--quiet", "--", name).returncode == 0


def git_tracks(root: Path, name: str) -> bool:
    """Whether git has a file, in its commits to be at the least."""
    return _git(root, "ls-files", "--error-unmatch", "--", name).returncode == 0


def _done(root: Path, names: list[str], *arguments: str) -> None:
    """Run git; raises UserError with its words, and with how the files in `names` are committed once that is put right."""
    done = _git(root, *arguments)
    if done.returncode == 0:
        return
    what = next(word for word in arguments if word in ("init", "add", "commit"))
    steps = [["init"]] if what == "init" else []
    steps += [["add", "-f", "--", *names], ["commit", "-m", FIRST, "--", *names]]
    by_hand = " && ".join(shlex.join(["git", "-C", str(root), *step]) for step in steps)
    said = " ".join((done.stderr or done.stdout).split())
    raise UserError(f"{root}: the files are written, but git {what} failed: {said}", f"then run: {by_hand}")


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
