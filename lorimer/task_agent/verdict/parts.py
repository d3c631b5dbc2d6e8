"""Tasks in several parts: when the next one is not begun, and what reward the whole gets. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from lorimer.benchmarks.base import Part
from lorimer.task_agent.verdict.verify import Reward


def heading(part: Part, at: int, of: int) -> str:
    """`part 2 of 3 (deploy)`."""
    return f"part {at + 1} of {of} ({part.name})"


def missed(part: Part, reward: Reward) -> str:
    """Which reward of a part is under what must be reached; empty where none is, and the next part may begin.

    A reward that the verifier did not give is under every bound, as in Harbor.
    """
    given = named(reward)
    for name, least in part.at_least.items():
        value = given.get(name)
        if value is None or value < least:
            return f"{name} is {'missing' if value is None else f'{value:g}'}, under {least:g}"
    return ""


def combined(rewards: Sequence[tuple[str, Reward]], how: Literal["mean", "final"]) -> Reward:
    """The reward of a task whose parts that were reached, at least one, got these, with their headings.

    Parts that were not begun do not count, as in Harbor. A named reward that a part does not give is 0 for it.
    """
    output = "\n".join(f"== {title}\n{reward.output}" for title, reward in rewards)
    last = rewards[-1][1]
    flags = tuple(dict.fromkeys(flag for _, reward in rewards for flag in reward.flags))
    if last.cause is not None or how == "final":
        return Reward(last.value, last.named, last.cause, last.detail, output, flags)
    every = [named(reward) for _, reward in rewards]
    means = {name: _mean([given.get(name, 0.0) for given in every]) for name in sorted({n for g in every for n in g})}
    value = _mean([reward.value or 0.0 for _, reward in rewards])
    detail = "; ".join(f"{title}: {reward.detail}" for title, reward in rewards if reward.detail)
    return Reward(value, means if any(reward.named for _, reward in rewards) else {}, None, detail, output, flags)


def named(reward: Reward) -> Mapping[str, float]:
    """All rewards by name; one alone is called `reward`."""
    return reward.named or ({} if reward.value is None else {"reward": reward.value})


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
