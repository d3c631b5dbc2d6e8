"""Tells a harness whose requests are refused from a provider that refuses everybody's.

A request that a provider refuses is an answer to the harness, and its trial is scored (DESIGN 4.3): one conversation that a
server cannot take must not stop a study. But a server that refuses whatever it is sent (a `max_tokens` over its own, no tools,
streaming alone) would score every harness 0, and a study would optimise against that.

So where each call of a trial was refused, the provider is asked one plain question. Where it answers, the refusals were the
harness's own, and the trial is scored. Where it refuses that as well, the trial says nothing of its harness and the study
pauses. The rule looks at one trial alone, so it never depends on which trials ran beside it.

The same question tells a conversation that a provider fails at (a 500 for ever, a 403 for one prompt) from a provider that is
down: the model's client asks it by `CallContext.answers`, and where it is answered the failure is the call's own.
"""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import replace

from lorimer.errors import ConfigError, ProviderOutage, ProviderRefusal
from lorimer.harness.api import Completion, user
from lorimer.kinds import REFUSED
from lorimer.models.base import ModelReply, ModelRequest
from lorimer.models.failing.failures import what_helps
from lorimer.wording import quoted

QUESTION = "Reply with the word ok."


def plain_question(request: ModelRequest, *, own_form: bool) -> ModelRequest:
    """What a provider is asked to learn whether it answers others; `own_form` as for RefusalWatch."""
    asked = (user(QUESTION),)
    return replace(request, messages=asked) if own_form else ModelRequest(asked)


async def is_answered(reply: Awaitable[ModelReply]) -> bool:
    """Whether a plain question is answered. Raises BudgetExhausted."""
    try:
        return (await reply).completion.stop_reason not in REFUSED
    except (ProviderOutage, ConfigError):
        return False


class RefusalWatch:
    """Watches the answers to one trial's calls, or to those of one proposal session. Does no I/O.

    Args:
        model: its id, `provider/name`.
        own_form: the question has the form of the refused request (system prompt, tools, `max_tokens` and so on) with one
            short message; else it is that message alone. The form of a harness that nobody has edited is the user's, and
            one that the model cannot take is told to the user; the form of an edited one is the edit's own fault.
    """

    def __init__(self, model: str, *, own_form: bool) -> None:
        self._model, self._own_form = model, own_form
        self._answered = False
        self._refused: ModelRequest | None = None

    def heard(self, request: ModelRequest, completion: Completion) -> None:
        """A call has come back, answered or refused."""
        if completion.stop_reason in REFUSED:
            self._refused = request
        else:
            self._answered = True

    @property
    def question(self) -> ModelRequest | None:
        """What the provider must be asked, where every call so far was refused; `None` where none was, or any was answered."""
        if self._answered or self._refused is None:
            return None
        return plain_question(self._refused, own_form=self._own_form)

    def raise_if_refused(self, completion: Completion) -> None:
        """Raises ProviderRefusal, with the provider's words, where the question was refused too."""
        if completion.stop_reason in REFUSED:
            words = completion.error or completion.text
            helps = what_helps(" ".join(words.split()), self._model.partition("/")[0])
            raise ProviderRefusal(f"{self._model} refuses every request: {quoted(words)}; {helps}")
