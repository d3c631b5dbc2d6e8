"""A folder that runs the winner without lorimer: `python run.py --task "…"`. It needs Python 3.11 and no package."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from lorimer.exports import carried
from lorimer.exports.winner import Winner

RUN = '''"""Have the harness beside this file solve a task."""

import sys
from pathlib import Path

from lorimer.exports.runtime.command import main

sys.exit(main(Path(__file__).resolve().parent))
'''
DOCKERFILE = """FROM python:3.12-slim
COPY . /winner
WORKDIR /work
ENTRYPOINT ["python", "/winner/run.py"]
"""
_OF_PROVIDER = ("api", "base_url", "key_env", "headers", "max_tokens", "send_reasoning", "extra_body")
_LIMITS = ("calls", "tokens", "exec_seconds", "output_bytes", "read_bytes")


def files(winner: Winner) -> dict[str, bytes]:
    """The folder, with a lock file of all that the harness runs on."""
    made = {
        "agent.py": winner.text.encode(),
        "run.py": RUN.encode(),
        "Dockerfile": DOCKERFILE.encode(),
        "winner.json": described(winner),
        **carried.files(),
    }
    return locked(made, [])


def locked(made: Mapping[str, bytes], packages: Sequence[str], python: str = ">=3.11") -> dict[str, bytes]:
    """These files with `lock.json`: the SHA-256 of each, and the packages that they need beside the standard library."""
    lock = {
        "python": python,
        "packages": list(packages),
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in sorted(made.items())},
    }
    return {**made, "lock.json": (json.dumps(lock, indent=2) + "\n").encode()}


def described(winner: Winner) -> bytes:
    """`winner.json`: what `exports.runtime.settings` reads, and which winner it is of."""
    model = winner.evidence.task_model
    settings: dict[str, Any] = {"model": "" if winner.evidence.simulated else model}
    provider: Mapping[str, Any] = winner.config.get("providers", {}).get(model.partition("/")[0], {})
    if not winner.evidence.simulated:
        settings |= {name: provider[name] for name in _OF_PROVIDER if provider.get(name) is not None}
    limits: Mapping[str, Any] = winner.config.get("limits", {})
    settings |= {name: limits[name] for name in _LIMITS if limits.get(name) is not None}
    found = winner.evidence
    about = {
        "study": found.study,
        "winner": found.winner,
        "harness": found.harness,
        "lorimer": found.lorimer,
        "settings": settings,
    }
    return (json.dumps(about, indent=2) + "\n").encode()
