"""What evaluations and decisions are about, and the ids that follow from it.

Ids are made here and taken apart nowhere: what one stands for is said by the columns beside it. How they are made never
changes: a trial's luck follows from its name.
"""

from __future__ import annotations

from dataclasses import dataclass

from lorimer.traces.schema import Purpose, Stage
from lorimer.traces.tables import DecisionRow


@dataclass(frozen=True)
class About:
    """What an evaluation or a decision is about. A study has no two of either about the same."""

    subject: str
    """The candidate whose harness it is, by id; "" for the seed harness."""
    stage: Stage
    purpose: Purpose = Purpose.FIRST
    met: int | None = None
    """The number of the candidate that a champion meets; `None` for `first` alone."""

    @classmethod
    def of(cls, row: DecisionRow) -> About:
        return cls(row.subject, Stage(row.stage), Purpose(row.purpose), row.met)


STAGES = (Stage.SPOT, Stage.FULL, Stage.AUDIT, Stage.CANARY, Stage.HOLDOUT)
"""What a candidate meets, in order. The audit comes before the sealed tasks: the gain that it shows is compared with theirs."""


def candidate_id(study: str, number: int) -> str:
    """The id of a study's candidate."""
    return f"{study}/{short(number)}"


def evaluation_id(study: str, about: About) -> str:
    """The id of an evaluation, and of the decision that follows from it."""
    whose, stage = about.subject or f"{study}/baseline", about.stage
    if about.met is None:
        return f"{whose}/{stage}"
    match about.purpose:
        case Purpose.BESIDE:
            return f"{candidate_id(study, about.met)}/{stage}-beside"
        case Purpose.AGE:
            return f"{candidate_id(study, about.met)}/age-{stage}"
        case Purpose.REVERTED:
            return f"{whose}/reverted-{about.met:05}"
        case Purpose.FINAL:
            return f"{whose}/{stage}-final-{about.met:05}"
        case Purpose.ADDED:
            return f"{whose}/{stage}+{about.met:05}"
        case _:
            return f"{whose}/{stage}-{about.met:05}"


def short(number: int) -> str:
    """`c007` of candidate 7, for people who know which study they look at."""
    return f"c{number:03}"
