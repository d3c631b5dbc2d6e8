"""The command line of an exported harness: `python run.py --task "…"`."""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import sys
import traceback
from collections.abc import Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import asdict, replace
from pathlib import Path

from lorimer.errors import LorimerError, UserError
from lorimer.exports.runtime.settings import APIS, Settings, read, with_model
from lorimer.exports.runtime.solving import solve
from lorimer.harness import api
from lorimer.harness.api import LimitReached

LOCK = "lock.json"


def main(folder: Path, arguments: Sequence[str] | None = None) -> int:
    """Run the command line of a folder's harness. Returns the exit code: 2 bad input, 3 a missing prerequisite, 1 the rest."""
    given = _parser().parse_args(arguments)
    api._note_hook = lambda text: print(f"note: {text}", file=sys.stderr)  # noqa: T201
    try:
        if given.check:
            print(_checked(folder))  # noqa: T201
            return 0
        task = _told(Path(given.task_file)) if given.task_file else given.task or ""
        settings, workdir = _settings(read(folder), given), Path(given.workdir)
        with redirect_stdout(sys.stderr):  # what the harness prints is no part of its answer
            done = solve(folder, settings, task, workdir=workdir, image=given.docker, network=given.network)
    except LorimerError as error:
        print(f"run: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    except LimitReached as error:
        print(f"run: the harness ended without an answer: {error}", file=sys.stderr)  # noqa: T201
        return 1
    except KeyboardInterrupt:
        return 130
    except Exception:  # noqa: BLE001 - the harness's own failure, which its author wants to see
        traceback.print_exc()
        return 1
    print(json.dumps(asdict(done)) if given.json else done.answer)  # noqa: T201
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("run.py", description="Have the harness beside this file solve a task.")
    task = parser.add_mutually_exclusive_group(required=True)
    task.add_argument("--task", help="what is to be done")
    task.add_argument("--task-file", help="a file that says it")
    task.add_argument("--check", action="store_true", help=f"only compare the files here with {LOCK}")
    parser.add_argument("--workdir", default=".", help="where commands run (default: here)")
    parser.add_argument("--docker", metavar="IMAGE", help="run commands in a container of this image instead")
    parser.add_argument("--network", action="store_true", help="give that container a network")
    parser.add_argument("--model", metavar="PROVIDER/NAME", help="another model than the study's")
    parser.add_argument("--base-url", metavar="URL", help="of a compatible endpoint")
    parser.add_argument("--api", choices=APIS, help="how the endpoint is spoken to")
    parser.add_argument("--key-env", metavar="NAME", help="the variable that holds the key")
    parser.add_argument("--seconds", type=_seconds, help="time limit of the whole task")
    parser.add_argument("--calls", type=_calls, help="the most model calls")
    parser.add_argument("--json", action="store_true", help="print the answer and what it took as JSON")
    return parser


def _seconds(text: str) -> float:
    with suppress(ValueError):
        if 0 < (number := float(text)) < math.inf:
            return number
    raise argparse.ArgumentTypeError(f"{text} is no number of seconds above 0")


def _calls(text: str) -> int:
    with suppress(ValueError):
        if (number := int(text)) >= 0:
            return number
    raise argparse.ArgumentTypeError(f"{text} is no number of calls")


def _told(path: Path) -> str:
    """A task that a file says. Raises UserError."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}", "name a file that says the task") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not UTF-8 (byte {error.start})", "save it as UTF-8") from None


def _settings(settings: Settings, given: argparse.Namespace) -> Settings:
    if given.model:
        settings = with_model(settings, given.model)
    names = ("base_url", "api", "key_env", "seconds", "calls")
    return replace(settings, **{name: value for name in names if (value := getattr(given, name)) is not None})


def _checked(folder: Path) -> str:
    """Raises UserError where a file is not as it was exported."""
    try:
        files = dict(json.loads((folder / LOCK).read_text(encoding="utf-8"))["files"])
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f"{folder / LOCK}: cannot be read, or lists no files", "export the winner anew") from None
    for name, expected in files.items():
        path = folder / name
        try:
            found = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError:
            found = ""
        if found != expected:
            raise UserError(f"{path}: is not as it was exported", "export the winner anew, or go on at your own risk")
    return f"all {len(files)} files are as they were exported"
