"""An Inspect agent: `inspect eval TASK.py --solver winner/winner_inspect.py@winner`. It needs inspect_ai and no lorimer."""

from __future__ import annotations

from lorimer.exports import carried
from lorimer.exports.targets.standalone import described, locked
from lorimer.exports.winner import Winner

NEEDS = ("inspect_ai>=0.3.285",)

AGENT = '''"""The harness beside this file as an agent of Inspect."""

import sys
from pathlib import Path

import inspect_ai
import inspect_ai.model
import inspect_ai.tool
import inspect_ai.util
from inspect_ai.agent import Agent, agent

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER))

from lorimer.exports.runtime import inspect_agent  # noqa: E402


@agent
def winner(
    calls: int | None = None, tokens: int | None = None, seconds: float | None = None, sandbox: str | None = None
) -> Agent:
    """The winner. `calls`, `tokens` and `seconds` bound a sample, by default as in the study."""
    limits = {"calls": calls, "tokens": tokens, "seconds": seconds}
    return inspect_agent.agent(FOLDER, inspect_ai, limits, sandbox)
'''


def files(winner: Winner) -> dict[str, bytes]:
    """The folder, with a lock file of all that the harness runs on."""
    made = {
        "agent.py": winner.text.encode(),
        "winner_inspect.py": AGENT.encode(),
        "winner.json": described(winner),
        **carried.files(carried.HOSTED, carried.INSPECT),
    }
    return locked(made, NEEDS)
