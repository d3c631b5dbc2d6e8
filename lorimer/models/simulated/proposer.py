"""The meta side: reads failures and the harness through the meta-agent's tools, and proposes an edit."""

from __future__ import annotations

from lorimer.harness.api import Completion, Reasoning
from lorimer.models.base import CallContext, ModelRequest
from lorimer.models.simulated.solver import Character
from lorimer.models.simulated.speech import finished, request_tokens


def reply(request: ModelRequest, context: CallContext, character: Character) -> Completion:
    """One answer of the meta-agent's model."""
    thought = Reasoning("I have no idea that fits.")
    return finished("I have nothing to propose.", (), thought, request, request_tokens(request))
