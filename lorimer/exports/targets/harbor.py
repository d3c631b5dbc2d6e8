"""An agent of Harbor: `PYTHONPATH=winner harbor run -a winner_harbor:Winner …`. It needs harbor and no lorimer."""

from __future__ import annotations

from lorimer.exports import carried
from lorimer.exports.targets.standalone import described, locked
from lorimer.exports.winner import Winner

NEEDS = ("harbor>=0.26",)

AGENT = '''"""The harness beside this file as an agent of Harbor."""

import sys
from pathlib import Path

from harbor.agents.base import BaseAgent
from harbor.agents.capabilities import AgentCapabilities

sys.path.insert(0, str(Path(__file__).resolve().parent))

from lorimer.exports.runtime.harbor_agent import HarborWinner  # noqa: E402


class Winner(HarborWinner, BaseAgent):
    """The winner."""

    FOLDER = Path(__file__).resolve().parent
    capabilities = AgentCapabilities(atif=True)
'''


def files(winner: Winner) -> dict[str, bytes]:
    """The folder, with a lock file of all that the harness runs on."""
    made = {
        "agent.py": winner.text.encode(),
        "winner_harbor.py": AGENT.encode(),
        "winner.json": described(winner),
        **carried.files(carried.HOSTED, carried.HARBOR),
    }
    return locked(made, NEEDS, python=">=3.12")
