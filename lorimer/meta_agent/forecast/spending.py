"""What trials and proposals cost, and how many candidates a budget pays for. Pure. What is unknown is `None`, never 0."""

from __future__ import annotations

from dataclasses import dataclass

from lorimer.config.settings import BudgetSettings


@dataclass(frozen=True)
class Costs:
    """What one trial, and one proposal of the meta-agent, cost. `None` where it is unknown, which is never 0."""

    usd: float | None = None
    tokens: float | None = None
    seconds: float | None = None
    """Wall time of one trial; `concurrency` run at once."""
    proposal_usd: float | None = None
    proposal_tokens: float | None = None

    def of(self, trials: float, proposals: float, concurrency: int) -> Spending:
        """What so many trials and proposals cost together."""

        def both(trial: float | None, proposal: float | None) -> float | None:
            if (trials and trial is None) or (proposals and proposal is None):
                return None
            return trials * (trial or 0.0) + proposals * (proposal or 0.0)

        hours = None if self.seconds is None else trials * self.seconds / concurrency / 3600
        return Spending(
            trials,
            both(self.usd, self.proposal_usd),
            both(self.tokens, self.proposal_tokens),
            hours if trials else 0.0,
        )


@dataclass(frozen=True)
class Spending:
    """Trials and what they cost, proposals included where their cost is known."""

    trials: float
    usd: float | None
    tokens: float | None
    hours: float | None

    def __add__(self, other: Spending) -> Spending:
        def add(one: float | None, another: float | None) -> float | None:
            return None if one is None or another is None else one + another

        return Spending(
            self.trials + other.trials,
            add(self.usd, other.usd),
            add(self.tokens, other.tokens),
            add(self.hours, other.hours),
        )

    def times(self, count: float) -> Spending:
        """The same so many times."""

        def scaled(value: float | None) -> float | None:
            return None if value is None else value * count

        return Spending(self.trials * count, scaled(self.usd), scaled(self.tokens), scaled(self.hours))


NOTHING = Spending(0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Affordable:
    """How many candidates a budget pays for."""

    candidates: int | None
    """`None` where nothing bounds them."""
    bound: str
    """The key that does."""
    unknown: tuple[str, ...]
    """Keys of the budget that bound something of unknown price."""


def afford(budget: BudgetSettings, spent: Spending, start: Spending, each: Spending, proposed: int) -> Affordable:
    """How many candidates without effect the rest of a budget pays for; those of a gain cost more.

    Args:
        spent: what the study has used already.
        start: what it is to pay before its first candidate.
        each: what one candidate without effect costs.
        proposed: candidates that it has tried already.
    """
    most, bound = None, ""
    if budget.candidates is not None:
        most, bound = max(0, budget.candidates - proposed), "budget.candidates"
    unknown = []
    for key, limit, used, fixed, price in (
        ("usd", budget.usd, spent.usd, start.usd, each.usd),
        ("tokens", budget.tokens, spent.tokens, start.tokens, each.tokens),
        ("hours", budget.hours, spent.hours, start.hours, each.hours),
        ("trials", budget.trials, spent.trials, start.trials, each.trials),
    ):
        if limit is None:
            continue
        if used is None or fixed is None or price is None:
            unknown.append(f"budget.{key}")
            continue
        left = max(0.0, limit - used - fixed)
        if price > 0 and (most is None or left // price < most):
            most, bound = int(left // price), f"budget.{key}"
    return Affordable(most, bound, tuple(unknown))
