"""The winner for `lorimer.load`: the harness and its settings, without what it runs on."""

from __future__ import annotations

import json

from lorimer.exports.targets.standalone import described
from lorimer.exports.winner import Winner


def files(winner: Winner) -> dict[str, bytes]:
    """`agent.py` and `winner.json`."""
    return {
        "agent.py": winner.text.encode(),
        "winner.json": (json.dumps(described(winner), indent=2) + "\n").encode(),
    }
