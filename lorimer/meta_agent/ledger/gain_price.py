"""What gains were paid for: dollars per point of mean reward where every price is known, else tokens per point.

People are told, beside every gain; the meta-agent is not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from lorimer.meta_agent.gate.cost import amounts
from lorimer.meta_agent.gate.reported.made_of import MadeOf
from lorimer.meta_agent.state.folding import CandidateView
from lorimer.meta_agent.state.world import World, score_of
from lorimer.traces.base import StudyReader
from lorimer.traces.schema import Share, Spent, Stage
from lorimer.traces.tables import DecisionRow


@dataclass(frozen=True)
class GainPrice:
    """A gain, and what it took to find it."""

    points: float
    """Hundredths of mean reward; below 0 where none was gained in the end."""
    usd: float | None
    """Dollars that it took; `None` where the price of any call is unknown."""
    tokens: int
    usd_per_point: float | None
    """`None` where the price of any call is unknown, where calls were free, and where nothing was gained."""
    tokens_per_point: float | None
    """`None` where nothing was gained, and where the server reported no tokens."""
    flattered: str = ""
    """Why the gain is rather too high; of promotions."""

    @classmethod
    def of(cls, gain: float, took: Share) -> GainPrice:
        """The price of a gain in mean reward."""
        points = 100 * gain
        gained = round(points, 1) > 0
        usd_per_point = took.usd / points if took.usd and gained else None
        return cls(
            points, took.usd, took.tokens, usd_per_point, took.tokens / points if took.tokens and gained else None
        )

    @property
    def of_promotion(self) -> str:
        """The price of one promotion, for people."""
        return f"{self}, in the trials by which it was decided" + (f"; {self.flattered}" if self.flattered else "")

    def __str__(self) -> str:
        """`$0.0140 per point: +38.1 points for $0.53`."""
        dollars = amounts("usd", self.usd)[0] if self.usd else ""
        spent = dollars or (amounts("tokens", self.tokens)[0] if self.tokens else "what nobody counted")
        said = f"{self.points:+.1f} points for {spent}"
        if self.usd_per_point is not None:
            return f"{amounts('usd', self.usd_per_point)[0]} per point: {said}"
        unknown = "" if self.usd is not None else "dollars per point unknown, as prices are; "
        if self.tokens_per_point is None:
            return unknown + said
        return f"{unknown}{amounts('tokens', self.tokens_per_point)[0]} per point: {said}"


def of_study(gain: MadeOf | None, spent: Spent) -> GainPrice | None:
    """The champion's gain over the seed harness, as it is told, for all that the study spent; `None` where none is told."""
    if gain is None or gain.gain is None:
        return None
    return GainPrice.of(gain.gain.value, spent.task + spent.meta)


def gain_lines(gain: MadeOf | None, price: GainPrice | None) -> list[tuple[str, str]]:
    """A word and a sentence for the gain, its price, and each part of what it is made of."""
    lines = gain.lines() if gain else []
    return [*lines[:1], *([("price", f"{price} that the whole study spent")] if price else []), *lines[1:]]


def of_promotions(reader: StudyReader, world: World) -> dict[int, GainPrice]:
    """The gain of each promotion as its audit has it, by the candidate's number, for the trials by which it was decided.

    The comparison that it won says too much: of many candidates those win that were lucky in theirs.
    """
    rows = {row.id: row for row in world.decisions.values()}
    gains = {each.number: _audited(world, each, rows) for each in world.promoted}
    evaluations = {number: world.decided_by(number) for number, found in gains.items() if found is not None}
    took = reader.took([name for names in evaluations.values() for name in names])
    return {
        number: replace(
            GainPrice.of(found[0], sum((took.get(name, Share()) for name in evaluations[number]), start=Share())),
            flattered=found[1],
        )
        for number, found in gains.items()
        if found is not None
    }


def _audited(world: World, promoted: CandidateView, rows: Mapping[str, DecisionRow]) -> tuple[float, str] | None:
    """A promotion's gain in its audit, and why that is rather too high; `None` where it was not measured.

    Args:
        rows: all decisions by id, which is that of the evaluation that one rests on.
    """
    audit = world.decided(promoted.id, Stage.AUDIT)
    if audit is None:
        return None
    difference = audit.numbers.get("difference")
    if difference is not None:
        return float(difference), "the gain is that of its confirmation, which decided too, so it is rather too high"
    met = [row for name in world.stood_for(promoted.number) if (row := rows.get(name)) is not None]
    gain = score_of(audit).mean - score_of(met[-1]).mean if met else math.nan
    if math.isnan(gain):
        return None
    return gain, "the gain is that of its audit over the trials that it beat, so it is rather too high"
