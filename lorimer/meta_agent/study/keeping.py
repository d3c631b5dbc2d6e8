"""Whose steps `[store] keep` lets go. The store's room drops them; which ones a study may still want is told here.

A study that goes on reads the steps of the champion (cases of the meta-agent, records for previews and paired spot-checks), of
the other harnesses that a strategy may go back to, and of what is under way. Those stay, however old they are, and so do the
seed harness's and those of every harness that was promoted: they are what a person looks up, reverts to and compares with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from lorimer.config.store import Keep
from lorimer.errors import LorimerError, UserError
from lorimer.meta_agent.state.folding import UNDER_WAY
from lorimer.meta_agent.state.world import World, scan
from lorimer.meta_agent.study.candidates.strategies import STRATEGIES
from lorimer.traces.base import StudyReader
from lorimer.traces.databases.base import Database, Spare
from lorimer.traces.tables import StudyRow
from lorimer.traces.writing import dropping
from lorimer.traces.writing.dropping import EndedTrial, Loose, StepsHeld

WORTH_GIVING_BACK = 0.25
"""The share of a file that must be free before the end of a study writes it anew: less is used up by the next one."""


@dataclass(frozen=True)
class Dropping:
    """What goes of one study."""

    study: str
    trials: int
    steps: int
    size: int
    """Characters, which are bytes but for what is not ASCII."""


@dataclass(frozen=True)
class Plan:
    """What goes by a rule."""

    keep: str
    studies: tuple[Dropping, ...]
    loose: Loose
    """What nothing will refer to then, what nothing refers to now included."""
    spare: Spare | None
    """What of the file is free now, and what it takes to give it back; `None` where the database sees to that."""

    @property
    def nothing(self) -> bool:
        free = self.spare is not None and self.spare.bytes > WORTH_GIVING_BACK * self.spare.of
        return not (self.studies or self.loose.messages or self.loose.blobs or free)


@dataclass(frozen=True)
class Dropped:
    """What has gone."""

    keep: str
    studies: tuple[Dropping, ...]
    loose: Loose
    given_back: int
    """Bytes by which the file has become smaller."""
    remark: str = ""
    """Why the file has not become smaller; "" where it has, or where there was no need."""


def plan(database: Database, reader: StudyReader, keep: Keep, now: datetime, *, ready: bool = False) -> Plan:
    """What goes by `keep`; nothing is changed.

    Args:
        reader: of that store.
        ready: whether it is to be dropped now.

    Raises UserError where everything is kept; with `ready` also where a process runs a study of it.
    """
    if keep.everything:
        raise UserError(
            'nothing is dropped: [store] keep is "all"',
            'say how long steps are kept in lorimer.toml, such as keep = "30d"',
        )
    found = _found(database, reader, keep, now)
    if ready:
        dropping.check_at_rest(database)
    gone = {trial for trials in found.values() for trial in trials}
    return Plan(keep.said, _told(found), dropping.loose(database, gone), database.spare())


def drop(database: Database, reader: StudyReader, keep: Keep, by: str, now: datetime, *, worth: float = 0.0) -> Dropped:
    """Drop what `keep` lets go, and give the room back.

    Args:
        reader: of that store.
        by: who asks for it.
        worth: the share of the file that must be free before it is written anew; above 0 nothing is looked for where no steps go.

    Raises UserError where a process runs a study of the store; LorimerError where it cannot be written. What has gone until then
    has gone, and the chain says so.
    """
    found = _found(database, reader, keep, now)
    for study, trials in found.items():
        for batch in dropping.batches(study, trials):
            dropping.drop(database, batch, keep.said, by)
    if worth and not found:
        return Dropped(keep.said, (), Loose(), 0)
    loose = dropping.sweep(database)
    remark, spare = "", database.spare()
    if spare is None or not spare.bytes or spare.bytes < worth * spare.of:
        return Dropped(keep.said, _told(found), loose, 0)
    if spare.takes > spare.there:
        remark = (
            f"its disk has {spare.there / 1e6:,.0f} MB free and it takes {spare.takes / 1e6:,.0f} MB to write it anew"
        )
    else:
        try:
            database.give_back()
        except LorimerError as error:
            remark = str(error)
    after = database.spare() or spare
    return Dropped(keep.said, _told(found), loose, max(0, spare.of - after.of), remark)


def at_end(database: Database, reader: StudyReader, keep: Keep, say: Callable[[str], None]) -> None:
    """Drop what `keep` lets go once a run or a study has ended. Where others run in the same store, the last to end does it."""
    by = "lorimer, at the end of a study"
    try:
        done = drop(database, reader, keep, by, datetime.now(UTC), worth=WORTH_GIVING_BACK)
    except LorimerError as error:
        say(f"steps that [store] keep = {keep.said} lets go stay for now: {error}")
        return
    trials = sum(each.trials for each in done.studies)
    if trials:
        size = sum(each.size for each in done.studies) + done.loose.size
        say(f"steps of {trials:,} trials were dropped, about {size / 1e6:,.1f} MB, as [store] keep = {keep.said} says")


def _found(database: Database, reader: StudyReader, keep: Keep, now: datetime) -> dict[str, dict[str, StepsHeld]]:
    """What the trials hold that go, by study; trials in order of time."""
    rules = {study.id: rule for study in reader.studies() if (rule := going(reader, study, keep, now)) is not None}
    chosen = {
        study: [trial.id for trial in dropping.ended(database, study) if goes(trial)] for study, goes in rules.items()
    }
    found = {study: dropping.held(database, trials) for study, trials in chosen.items() if trials}
    return {study: trials for study, trials in found.items() if trials}


def _told(found: dict[str, dict[str, StepsHeld]]) -> tuple[Dropping, ...]:
    return tuple(
        Dropping(study, len(held), sum(each.steps for each in held.values()), sum(each.size for each in held.values()))
        for study, held in found.items()
    )


def going(reader: StudyReader, study: StudyRow, keep: Keep, now: datetime) -> Callable[[EndedTrial], bool] | None:
    """Which trials of a study are older than `keep` says and read by nobody any more; `None` where it lets none go."""
    if study.kind == "optimize":
        world = scan(reader, study.id)
        staying, numbered = wanted(world), [each.harness for each in world.candidates]
    elif study.state != "finished" or keep.candidates is not None:
        return None
    else:
        staying, numbered = frozenset[str](), []
    if keep.candidates is not None:
        old = frozenset(numbered[: -keep.candidates]) - frozenset(numbered[-keep.candidates :]) - staying
        return lambda trial: trial.harness in old
    before = now - timedelta(seconds=keep.seconds or 0.0)
    return lambda trial: trial.harness not in staying and datetime.fromisoformat(trial.started) < before


def wanted(world: World) -> frozenset[str]:
    """The harnesses whose trials' steps stay, however old they are."""
    found = {world.seed_harness, world.champion_harness, *(strategy(world) for strategy in STRATEGIES.values())}
    for each in world.candidates:
        if each.state in UNDER_WAY or each.state == "promoted":
            found |= {each.harness, each.parent}
    return frozenset(each for each in found if each)
