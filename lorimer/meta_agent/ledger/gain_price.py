"""What gains were paid for: dollars per point of mean reward where every price is known, else tokens per point.

People are told, beside every gain; the meta-agent is not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from lorimer.meta_agent.gate.cost import amounts
from lorimer.meta_agent.state.world import World, score_of
from lorimer.traces.base import StudyReader
from lorimer.traces.schema import Share, Spent, Stage


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

    @classmethod
    def of(cls, gain: float, took: Share) -> GainPrice:
        """The price of a gain in mean reward."""
        points = 100 * gain
        gained = round(points, 1) > 0
        usd_per_point = took.usd / points if took.usd and gained else None
        return cls(
            points, took.usd, took.tokens, usd_per_point, took.tokens / points if took.tokens and gained else None
        )

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


def of_study(world: World, spent: Spent) -> GainPrice | None:
    """The champion's gain over the seed harness for all that the study spent; `None` where there is no such gain to speak of."""
    baseline, final = world.reported_of(""), world.reported
    if world.champion is None or baseline is None or final is None:
        return None
    gain = score_of(final).mean - score_of(baseline).mean
    if math.isnan(gain):  # no trial was scored
        return None
    return GainPrice.of(gain, spent.task + spent.meta)


def of_promotions(reader: StudyReader, world: World) -> dict[int, GainPrice]:
    """The gain of each comparison that promoted, by the candidate's number, for the trials by which it was decided."""
    rows = {each.number: world.decided(each.id, Stage.FULL) for each in world.promoted}
    evaluations = {number: world.decided_by(number) for number in rows}
    took = reader.took([name for names in evaluations.values() for name in names])
    return {
        number: GainPrice.of(
            row.numbers["candidate_mean"] - row.numbers["champion_mean"],
            sum((took.get(name, Share()) for name in evaluations[number]), start=Share()),
        )
        for number, row in rows.items()
        if row is not None
    }
