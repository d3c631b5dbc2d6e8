"""Whether a model answers at all, before trials are paid for that only it can use.

A study keeps the models that it began with: where the meta model's name is wrong, which its first proposal would find, a resume
cannot put it right, and the baseline would have to be paid for again.
"""

from __future__ import annotations

from contextlib import suppress

from lorimer.errors import CallFailed, ProviderOutage
from lorimer.harness.api import user
from lorimer.meta_agent.workspace.watching import Watcher
from lorimer.models.base import CallContext, ModelClient, ModelRequest
from lorimer.models.registry import simulated
from lorimer.task_agent.serving.refusals import QUESTION


async def known_there(model: ModelClient, watcher: Watcher) -> None:
    """Ask the model one short question, once. Raises ConfigError where its name, key or address is wrong.

    An outage and a refusal may pass, and a study that meets them can be resumed: nothing is raised for them here.
    """
    if simulated(model.id):
        return
    watcher.say(f"asking {model.id} one short question, as a wrong name or key would be found late")
    with suppress(ProviderOutage, CallFailed):
        await model.complete(ModelRequest((user(QUESTION),)), CallContext("meta", once=True))
