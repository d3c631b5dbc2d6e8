"""How slow this machine is at the moment, for tests that hold a bar in seconds of a processor.

A processor's seconds are not what other work leaves alone: two threads of one core, or a host that takes cores away, stretch them
to twice and more. So a bar is held against the seconds that a piece of plain Python takes at the same moment.
"""

from __future__ import annotations

import json
import time

QUIET_SECONDS = 0.008
"""What `_yardstick` takes on the machine on which the bars were set, when it was quiet: the best of 50."""


def slowness() -> float:
    """How many times longer than there plain Python takes here and now; never under 1."""
    took = []
    for _ in range(3):
        began = time.process_time()
        _yardstick()
        took.append(time.process_time() - began)
    return max(1.0, min(took) / QUIET_SECONDS)


def _yardstick() -> None:
    found: dict[str, int] = {}
    for number in range(30_000):
        name = f"{number * 7919 % 1013}"
        found[name] = found.get(name, 0) + len(name)
    json.loads(json.dumps(sorted(found.items()) * 4))
