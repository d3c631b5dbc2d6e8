"""The command line of an exported harness: `python run.py --task "…"`."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import traceback
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from lorimer.errors import LorimerError, UserError
from lorimer.exports.runtime.settings import APIS, Settings, read, with_model
from lorimer.exports.runtime.solving import solve
from lorimer.harness import api

LOCK = "lock.json"


def main(folder: Path, arguments: Sequence[str] | None = None) -> int:
    """Run the command line of a folder's harness. Returns the exit code: 2 bad input, 3 a missing prerequisite, 1 the rest."""
    given = _parser().parse_args(arguments)
    api._note_hook = lambda text: print(f"note: {text}", file=sys.stderr)  # noqa: T201
    try:
        if given.check:
            print(_checked(folder))  # noqa: T201
            return 0
        task = Path(given.task_file).read_text(encoding="utf-8") if given.task_file else given.task or ""
        done = solve(
            folder,
            _settings(read(folder), given),
            task,
            workdir=Path(given.workdir),
            image=given.docker,
            network=given.network,
        )
    except LorimerError as error:
        print(f"run: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    except OSError as error:
        print(f"run: {error.filename}: {error.strerror}", file=sys.stderr)  # noqa: T201
        return 2
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
    parser.add_argument("--seconds", type=float, help="time limit of the whole task")
    parser.add_argument("--calls", type=int, help="the most model calls")
    parser.add_argument("--json", action="store_true", help="print the answer and what it took as JSON")
    return parser


def _settings(settings: Settings, given: argparse.Namespace) -> Settings:
    if given.model:
        settings = with_model(settings, given.model)
    names = ("base_url", "api", "key_env", "seconds", "calls")
    return replace(settings, **{name: value for name in names if (value := getattr(given, name)) is not None})


def _checked(folder: Path) -> str:
    """Raises UserError where a file is not as it was exported."""
    files = json.loads((folder / LOCK).read_text(encoding="utf-8"))["files"]
    for name, expected in files.items():
        path = folder / name
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != expected:
            raise UserError(f"{path}: is not as it was exported", "export the winner anew, or go on at your own risk")
    return f"all {len(files)} files are as they were exported"
