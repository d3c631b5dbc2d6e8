"""What makes an edit acceptable, for a person's whole file as for a model's hunks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from lorimer.harness.version import Hunk, sha
from lorimer.kinds import Fault
from lorimer.meta_agent.proposer.accept import Accepted, Checks, EditRefusal, accept
from lorimer.meta_agent.proposer.dead_ends import EarlierExperiment
from tests.support.meta_model import HARNESS

OLDER = HARNESS.replace("TURNS = 30", "TURNS = 10")
WORSE = HARNESS.replace("TURNS = 30", "TURNS = 3")
BETTER = HARNESS.replace("TURNS = 30", "TURNS = 40")


async def starts(text: str) -> str:
    return ""


async def fails(text: str) -> str:
    return "NameError: name 'x' is not defined"


CHECKS = Checks(
    max_bytes=5_000,
    earlier=[
        EarlierExperiment(
            1, "More turns", "promoted", "it is better and became the champion", sha(HARNESS), sha(OLDER)
        ),
        EarlierExperiment(2, "Fewer turns", "rejected", "it broke 3 of 3 tasks", sha(WORSE), sha(HARNESS)),
        EarlierExperiment(3, "", "failed", "no usable edit", None, sha(HARNESS)),
    ],
    knowledge=lambda text, parent: ["names the task 'alpha-one'"] if "alpha-one" in text else [],
    dry_start=starts,
)


async def test_a_whole_file_is_accepted_as_it_is() -> None:
    assert await accept(HARNESS, BETTER, CHECKS) == Accepted(BETTER)


async def test_hunks_come_to_the_same_as_the_file_that_they_make() -> None:
    assert await accept(HARNESS, [Hunk("TURNS = 30", "TURNS = 40")], CHECKS) == Accepted(BETTER)


@pytest.mark.parametrize(
    ("edit", "fault", "why"),
    [
        (HARNESS, Fault.CHANGES_NOTHING, "the edit changes nothing: the file is the same as the harness"),
        ([Hunk("x", "x")], Fault.CHANGES_NOTHING, "the edit changes nothing: `replace` is the same as `search`"),
        ([], Fault.DOES_NOT_APPLY, "the edit was not applied: the edit has no hunks"),
        (
            [Hunk("TURNS = 31", "")],
            Fault.DOES_NOT_APPLY,
            "the edit was not applied: hunk 1 of 1: `search` is not in agent.py",
        ),
        (HARNESS + "(", Fault.INVALID, "the edited agent.py is not valid: agent.py line"),
        (
            HARNESS + "# \ud800",
            Fault.INVALID,
            "the edited agent.py is not valid: agent.py holds a character that UTF-8",
        ),
        (HARNESS + "#" * 5_000, Fault.INVALID, "the edited agent.py is not valid: agent.py has 5,"),
        (
            WORSE,
            Fault.TRIED,
            "this very edit was tried as experiment 2 (Fewer turns) and is rejected: it broke 3 of 3 tasks",
        ),
        (OLDER, Fault.GOES_BACK, "this edit goes back to an earlier harness, which was edited already"),
        (
            HARNESS + "# alpha-one",
            Fault.KNOWS_TASKS,
            "the edit carries knowledge of single tasks, which would be worth nothing on new ones: names the task 'alpha-one'",
        ),
    ],
)
async def test_an_edit_is_refused_with_what_is_wrong_with_it(
    edit: str | Sequence[Hunk], fault: Fault, why: str
) -> None:
    refusal = await accept(HARNESS, edit, CHECKS)
    assert isinstance(refusal, EditRefusal)
    assert refusal.fault is fault
    assert refusal.why.startswith(why)
    assert not refusal.why.endswith(".")


async def test_an_edit_that_does_not_start_is_refused_with_its_error() -> None:
    assert await accept(HARNESS, BETTER, replace(CHECKS, dry_start=fails)) == EditRefusal(
        Fault.DOES_NOT_START, "the edited agent.py does not start: NameError: name 'x' is not defined"
    )


async def test_nothing_is_started_that_is_refused_before() -> None:
    started: list[str] = []

    async def start(text: str) -> str:
        started.append(text)
        return ""

    await accept(HARNESS, HARNESS + "# alpha-one", replace(CHECKS, dry_start=start))
    assert started == []


REJECTED = EarlierExperiment(
    4,
    "Ask twice",
    "rejected",
    "it cost too much",
    "sha",
    sha(HARNESS),
    (Hunk("TURNS = 30", "TURNS = 30\nTWICE = True"),),
)


@pytest.mark.parametrize(
    ("hunks", "why"),
    [
        (
            [Hunk("TURNS = 30", "TURNS =   30\n\nTWICE = True  ")],
            "the edit is that of experiment 4 (Ask twice)",
        ),
        (
            [Hunk("TURNS = 30", "TURNS = 30\nTWICE = True"), Hunk("Solve the task.", "Solve it.")],
            "the edit holds all of experiment 4 (Ask twice)",
        ),
    ],
)
async def test_an_edit_that_holds_one_rejected_on_the_same_champion_is_a_dead_end(hunks: list[Hunk], why: str) -> None:
    refusal = await accept(HARNESS, hunks, replace(CHECKS, earlier=[REJECTED], dry_start=fails))
    assert isinstance(refusal, EditRefusal)
    assert refusal.fault is Fault.DEAD_END
    assert refusal.why == f"{why}, which was rejected on this very harness: it cost too much"


@pytest.mark.parametrize(
    "earlier",
    [
        replace(REJECTED, parent=sha(OLDER), promising=True),
        replace(REJECTED, state="undecided"),
        replace(REJECTED, hunks=(*REJECTED.hunks, Hunk("a", "b"))),
        replace(REJECTED, hunks=(Hunk("TURNS = 30", "TURNS = 30\n    TWICE = True"),)),
        replace(REJECTED, hunks=()),
    ],
)
async def test_what_was_not_rejected_as_it_is_on_this_champion_may_be_tried(earlier: EarlierExperiment) -> None:
    found = await accept(HARNESS, REJECTED.hunks, replace(CHECKS, earlier=[earlier]))
    assert isinstance(found, Accepted)
