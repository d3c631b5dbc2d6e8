"""When people may read what was measured on the sealed tasks: one rule for every reader (docs/traces.md). Pure."""

from __future__ import annotations

from collections.abc import Iterable

from lorimer.kinds import Stage
from lorimer.traces.tables import StudyRow, Trial


def told(study: StudyRow) -> bool:
    """Whether the trials of the sealed tasks may be read: of a study that tries candidates once it has finished, as people may
    steer by them before (docs/decisions.md); of any other always.
    """
    return study.kind != "optimize" or study.state == "finished"


def hidden(study: StudyRow, trial: Trial) -> bool:
    """Whether a trial of the study is left out of what people read, unless they ask for it."""
    return trial.stage == Stage.HOLDOUT and not told(study)


def sealed(studies: Iterable[StudyRow]) -> list[str]:
    """The studies whose trials of sealed tasks are."""
    return [study.id for study in studies if not told(study)]
