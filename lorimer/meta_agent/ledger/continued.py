"""The study that another one continues: its winner is the seed harness, and its experiments are remembered."""

from __future__ import annotations

import shlex

from lorimer.errors import UserError
from lorimer.harness.version import sha
from lorimer.meta_agent.ledger import experiments
from lorimer.meta_agent.proposer.log import Log, ToldExperiment
from lorimer.meta_agent.state.names import short
from lorimer.meta_agent.state.world import scan
from lorimer.traces.base import StudyReader
from lorimer.wording import a


def sides(reader: StudyReader, study: str, harness: str) -> dict[str, str]:
    """The side on which the earlier study had each of its tasks.

    Args:
        harness: the text of the seed harness of the study that is to begin.

    Raises UserError for an earlier study that is unknown or was no optimisation, or whose winner is another harness.
    """
    row = reader.study(study)
    if row.kind != "optimize":
        raise UserError(f"study {study} is {a(row.kind)}; name one made by `lorimer optimize` to go on from")
    world = scan(reader, study)
    if sha(harness) != world.champion_harness:
        name = short(world.champion.number) if world.champion else "the seed harness"
        raise UserError(
            f"the harness here is not the winner of {study}, which is {name}",
            f"write it with `lorimer export winner --study {shlex.quote(study)}`, put winner/agent.py in its place and commit it",
        )
    return {task.id: task.split for task in reader.tasks(study) if task.split != "canary"}


def remembered(reader: StudyReader, study: str, retries: int) -> Log | None:
    """What the meta-agent is told of the study that a study continues, and of those before it; `None` where it continues none.

    Nothing sealed is in it, as in the log of a study of its own: tasks keep their sides.
    """
    heads, told, seen = list[str](), list[ToldExperiment](), {study}
    name = _before(reader, study)
    while name and name not in seen:
        seen.add(name)
        book = experiments.read(reader, scan(reader, name), retries, recent=experiments.RECENT)
        heads.insert(0, f"Study {name} came before. Its winner was {book.champion}")
        told = [each.under(name) for each in experiments.for_meta_agent(book).experiments] + told
        name = _before(reader, name)
    return Log("\n".join(heads), tuple(told)) if heads else None


def _before(reader: StudyReader, study: str) -> str:
    return str(reader.study(study).config.get("study", {}).get("continues", ""))
