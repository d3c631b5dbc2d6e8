"""The winner for `lorimer.load`: the harness and its settings, without what it runs on."""

from __future__ import annotations

from lorimer.exports.targets.standalone import described
from lorimer.exports.winner import Winner


def files(winner: Winner) -> dict[str, bytes]:
    """`agent.py` and `winner.json`."""
    return {
        "agent.py": winner.text.encode(),
        "winner.json": described(winner),
    }
