"""When people may read what was measured on the sealed tasks. Pure."""

from __future__ import annotations

from lorimer.traces.tables import Study


def told(study: Study) -> bool:
    """Whether the trials of the sealed tasks may be read: of a study that tries candidates once it has finished, as people may
    steer by them before (docs/decisions.md); of any other always.
    """
    return study.kind != "optimize" or study.state == "finished"
