"""The promotions of a study on its evidence card: what the gate said of each, stage by stage, and what each scored since."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from lorimer.config.settings import parse_stored
from lorimer.meta_agent.ledger import gain_price
from lorimer.meta_agent.ledger.conditions import differing
from lorimer.meta_agent.ledger.effects import effects
from lorimer.meta_agent.state.names import About, evaluation_id, short
from lorimer.meta_agent.state.result import total
from lorimer.meta_agent.state.world import World
from lorimer.traces.base import StudyReader
from lorimer.traces.schema import Purpose, Stage
from lorimer.traces.tables import Candidate, DecisionRow

STAGES = (Stage.SPOT, Stage.FULL, Stage.AUDIT, Stage.HOLDOUT)


def promotions(reader: StudyReader, promoted: Sequence[Candidate], world: World) -> str:
    """The card's section, in Markdown."""
    lines, prices = ["## Promotions", ""], gain_price.of_promotions(reader, world)
    retries = parse_stored(reader.study(world.study).config, world.study).retries.errored
    found = effects(reader, world, promoted, retries)
    rows = [row for each in promoted for stage in STAGES if (row := world.decided(each.id, stage)) is not None]
    conditions = differing(reader, world, rows)
    for candidate in promoted:
        lines += [f"### `{short(candidate.number)}` {one_line(candidate.title)}", ""]
        if candidate.hypothesis:
            lines += [f"> {one_line(candidate.hypothesis)}", ""]
        for row in rows:
            if row.subject == candidate.id:
                differ = f"; {conditions[row.id]}" if row.id in conditions else ""
                lines.append(f"- {row.stage}: {_said(row)}{refused_words(reader, [row.id])}{differ}")
        lines += _since(reader, world, candidate)
        if candidate.number in found:
            lines += [f"- {word}: {said}" for word, said in found[candidate.number].fired.lines()]
        if candidate.number in prices:
            lines.append(f"- price: {prices[candidate.number].of_promotion}")
        if candidate.commit:
            lines.append(f"- commit: `{candidate.commit}`")
        lines.append("")
    if not promoted:
        lines += ["None.", ""]
    return "\n".join(lines)


def _said(row: DecisionRow) -> str:
    """What the gate said. An audit that decides nothing is a score."""
    if row.stage != Stage.AUDIT:
        return row.reason
    return f"{row.reason}; it scored {score_words(row)}" if "difference" in row.numbers else score_words(row)


def _since(reader: StudyReader, world: World, candidate: Candidate) -> Iterator[str]:
    """What a champion scored after its audit, where it was run again, by a name of its own."""
    row, names = world.reported_of(candidate.id), world.reported_by(candidate.id)
    if row is None or names == (evaluation_id(world.study, About(candidate.id, Stage.AUDIT)),):
        return
    said, trials = score_words(row) + refused_words(reader, names), row.numbers.get("trials")
    if row.purpose == Purpose.FINAL:
        yield f"- at the study's end: {said} over {trials} trials"
    else:
        yield f"- standing: {said} over the {trials} trials that stand for it, or did in the end"


def refused_words(reader: StudyReader, evaluations: Sequence[str]) -> str:
    """The share of refused calls of these evaluations' trials, where there are any."""
    share = total(reader.refused(evaluations), evaluations)
    return f" ({share})" if share else ""


def score_words(decision: DecisionRow) -> str:
    """A score with its interval."""
    numbers = decision.numbers
    mean = numbers.get("score")
    if mean is None or math.isnan(mean):
        return "no trial was scored"
    return f"{mean:.3f} [{numbers['low']:.3f}, {numbers['high']:.3f}]"


def one_line(text: str) -> str:
    """A text of several lines in one."""
    return " ".join(text.split())
