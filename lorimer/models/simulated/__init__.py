"""Models that stand in for an LLM where there is none: `simulated/apprentice`, `simulated/expert`, `simulated/null`.

They do in earnest what the harness lets them do, with named weaknesses that an honest edit cures; see
docs/simulated-model.md. Nothing leaves the process, no reply costs money (the price is made up, so that budgets work).
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from lorimer.errors import ConfigError
from lorimer.models.base import CallContext, ModelClient, ModelReply, ModelRequest
from lorimer.models.simulated import proposer, solver
from lorimer.models.simulated.solver import Character

USD_PER_MILLION_INPUT = 0.15
"""Made up: what a small hosted model costs, so that a demo's dollars look like a study's."""
USD_PER_MILLION_OUTPUT = 0.60

CHARACTERS: Mapping[str, Character] = {
    "apprentice": Character(),
    "expert": Character(weakness=0.3, lapse=0.02),
    "null": Character(heeds=False),
}
"""The names after `simulated/`."""


def open_simulated(name: str) -> ModelClient:
    """The simulated model `name`, with or without `simulated/` before it. Raises ConfigError for an unknown name."""
    short = name.removeprefix("simulated/")
    if short not in CHARACTERS:
        known = ", ".join(f"simulated/{one}" for one in CHARACTERS)
        raise ConfigError(f"no such model: simulated/{short}; the simulated models are {known}")
    return Simulated(short, CHARACTERS[short])


class Simulated:
    """A model client whose replies are a function of the request and of where it comes from."""

    def __init__(self, name: str, character: Character) -> None:
        self._id = f"simulated/{name}"
        self._character = character

    @property
    def id(self) -> str:
        return self._id

    async def complete(self, request: ModelRequest, context: CallContext) -> ModelReply:
        """One reply, at once. Never raises; an oversized request is a completion with `context_overflow`."""
        began = time.monotonic()
        answer = proposer.reply if context.role == "meta" else solver.reply
        completion = answer(request, context, self._character)
        usage = completion.usage
        return ModelReply(completion, self.price(usage.input_tokens, usage.output_tokens), time.monotonic() - began)

    def price(self, input_tokens: int, output_tokens: int) -> float | None:
        """Dollars at the made-up price."""
        return (input_tokens * USD_PER_MILLION_INPUT + output_tokens * USD_PER_MILLION_OUTPUT) / 1e6

    async def close(self) -> None:
        """Nothing to close."""
