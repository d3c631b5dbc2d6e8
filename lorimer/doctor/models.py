"""The two models: whether they answer, and how long they will. Keys are named, never shown."""

from __future__ import annotations

import asyncio
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from lorimer.config.providers import variables
from lorimer.config.settings import Config
from lorimer.doctor import abilities
from lorimer.doctor.findings import Finding, command, edit, failed, one_line
from lorimer.doctor.fixes import model_fix
from lorimer.errors import ConfigError, LorimerError, ProviderOutage
from lorimer.keys import DOTENV, Keys
from lorimer.models.provider import BUILT_IN, ProviderConfig

if TYPE_CHECKING:
    from lorimer.models.client import ProviderClient
    from lorimer.models.listed import ListedModel

FEW_TOKENS = 16
"""Output tokens of the trial call: the least that OpenAI's Responses API takes."""
NAMED = 3
"""Models of a list that are named."""


@dataclass(frozen=True)
class Asking:
    """How models are asked."""

    seconds: float
    """How long each answer may take. A hosted model takes one or two; a local server may load the model first."""
    say: Callable[[str], None]
    """Told what is waited for, and for how long at most."""
    today: date
    probes: bool = False
    """Whether each model is asked what its server honours, which is stored."""


async def models(root: Path, config: Config, asking: Asking | None) -> list[Finding]:
    """The two models, and which keys are set and where. `asking` is `None` where no model may be asked."""
    from lorimer.meta_agent.workspace.named import key_names, providers

    sources: dict[str, str] = {}
    try:
        keys = Keys.open(root)
        for name in key_names(config):
            sources[name] = keys.source(name) or ""
    except LorimerError as error:
        return [failed("keys", error, f"write it anew, one NAME=VALUE per line, to {root / DOTENV}")]
    look = _Look(root, config, {**BUILT_IN, **providers(config)}, keys, asking)
    found = [*await look.at("task", config.models.task)]
    if config.meta_model == config.models.task:
        fix = found[0].fix
        if config.models.meta != "same":  # the same by name: the line that names it is another
            fix = fix.replace('task = "', 'meta = "')
        found.append(replace(found[0], what="meta model", said=f"{config.meta_model}, as the task model", fix=fix))
    else:
        found += await look.at("meta", config.meta_model)
    listed = ", ".join(f"{name}: {source or 'not set'}" for name, source in sources.items())
    return [*found, Finding("keys", "ok", listed)]


@dataclass(frozen=True)
class _Look:
    """What is known where a model is looked at."""

    root: Path
    config: Config
    providers: Mapping[str, ProviderConfig]
    keys: Keys
    asking: Asking | None

    async def at(self, role: str, model: str) -> list[Finding]:
        """One of the models, and what its server honours, where that is known."""
        from lorimer.models.registry import check_name, open_at_provider, provider_of, simulated

        what = f"{role} model"
        try:
            check_name(model, self.providers)
        except ConfigError as error:
            return [
                Finding(what, "missing", one_line(error.problem), model_fix(self.root, role, self.providers, error))
            ]
        if simulated(model):
            return [Finding(what, "ok", f"{model} (simulated)")]
        provider = provider_of(model, self.providers)
        key = "needs no key"
        if provider.key_env:
            source = self.keys.source(provider.key_env)
            if source is None:
                said = f"{model}: {provider.key_env} is {self.keys.missing}"
                return [Finding(what, "missing", said, self._key_fix(provider.key_env))]
            key = f"{provider.key_env} is set ({source})"
        for name in variables(provider.headers):
            if self.keys.source(name) is None:
                said = f"{model}: {name}, which a header of [providers.{provider.name}] names, is {self.keys.missing}"
                return [Finding(what, "missing", said, self._key_fix(name))]
        if self.asking is None:
            return [Finding(what, "ok", f"{model}: {key}; not asked (--offline)")]
        # One try: whoever waits for the answer here wants to hear of the failure, not of what a study would do about it.
        seconds = min(self.asking.seconds, provider.retry.timeout_seconds)
        retry = replace(provider.retry, window_seconds=0.0, timeout_seconds=seconds)
        named = {provider.name: replace(provider, retry=retry)}
        client = open_at_provider(model, named, keys=self.keys)
        try:
            self.asking.say(f"asking {model} at {client.address} (at most {seconds:g} s)")
            found = await _Asked(self, role, provider, client, seconds).finding(key)
            if found.level == "missing":
                return [found]
            return [found, *await abilities.look(self.root, client, self.asking.say if self.asking.probes else None)]
        finally:
            await client.close()

    def _key_fix(self, name: str) -> str:
        return f"export {name}=..., or write it to {self.root / DOTENV}"


@dataclass(frozen=True)
class _Asked:
    """A model that is asked."""

    look: _Look
    role: str
    provider: ProviderConfig
    client: ProviderClient
    seconds: float

    @property
    def _name(self) -> str:
        return self.client.id.partition("/")[2]

    async def finding(self, key: str) -> Finding:
        """What came of one tiny question and of a look into the provider's list of models."""
        from lorimer.harness.api import user
        from lorimer.kinds import REFUSED
        from lorimer.models.base import CallContext, ModelRequest
        from lorimer.task_agent.serving.refusals import QUESTION

        request = ModelRequest((user(QUESTION),), max_tokens=FEW_TOKENS)
        try:
            async with asyncio.timeout(
                2 * self.seconds
            ):  # it may be sent again without a setting that the model refuses
                reply = await self.client.complete(request, CallContext(self.role))
        except TimeoutError:
            return self._outage(ProviderOutage(f"no answer within {2 * self.seconds:g} s", kind="slow"))
        except ProviderOutage as outage:
            return self._outage(outage)
        except ConfigError as error:
            return self._refused(one_line(str(error)), await self.client.listed())
        if reply.completion.stop_reason in REFUSED:
            words = one_line(reply.completion.error or reply.completion.text) or "it gives no reason"
            return self._refused(f"{self.client.id} refuses a plain question: {words}", await self.client.listed())
        said = f"{self.client.id} answers in {reply.seconds:.1f} s; {key}"
        return self._priced(self._lasting(said, await self.client.listed()))

    def _priced(self, found: Finding) -> Finding:
        from lorimer.meta_agent.workspace.named import check_prices

        if self.client.price(1, 1) is not None:
            return found
        try:
            check_prices(self.look.config, self.client)
        except ConfigError as error:
            return failed(found.what, error, "")
        return replace(found, said=f"{found.said}; its price is unknown, so dollars cannot be counted")

    def _lasting(self, said: str, listed: tuple[ListedModel, ...] | None) -> Finding:
        """A model that answers: does its provider still list it, and for how long?"""
        from lorimer.models.listed import find

        what = f"{self.role} model"
        if listed is None:
            return Finding(what, "ok", said)
        there = find(listed, self._name)
        if there is None:
            names = _few([model.name for model in listed])
            said = f"{said}; but the server's list of models has {names} and not this one: another may have answered"
            return Finding(what, "warning", said, self._other(listed))
        fate = there.fate(self._today)
        return (
            Finding(what, "warning", f"{said}; it {fate}", self._other(listed)) if fate else Finding(what, "ok", said)
        )

    def _refused(self, said: str, listed: tuple[ListedModel, ...] | None) -> Finding:
        """A model that is there for nobody, or not for this key."""
        from lorimer.models.listed import find

        what, lowered = f"{self.role} model", said.lower()
        there = find(listed or (), self._name)
        fate = there.fate(self._today) if there is not None else ""
        if listed and (there is None or fate):
            known = f"it {fate}" if fate else f"the list of models there has {_few([model.name for model in listed])}"
            return Finding(what, "missing", f"{said}; {known}", self._other(listed))
        if any(word in lowered for word in ("key", "auth", "credential", "permission")):
            return Finding(what, "missing", said, self._other_key())
        return Finding(what, "missing", said, self._settings(listed))

    def _other_key(self) -> str:
        """Where to put a key that the provider takes."""
        name = self.provider.key_env or f"{re.sub(r'[^A-Z0-9]', '_', self.provider.name.upper())}_API_KEY"
        put = f"export {name}=... with one that is valid, or write it to {self.look.root / DOTENV}"
        if self.provider.key_env:
            return put
        line = edit(self.look.root, f"providers.{self.provider.name}", f'key_env = "{name}"')
        return f"{line}; then {put}"

    def _settings(self, listed: tuple[ListedModel, ...] | None) -> str:
        """What to set about a server that answers and takes no call."""
        base, table = self.provider.base_url, f"providers.{self.provider.name}"
        if base and not listed and not base.rstrip("/").endswith("/v1"):
            return edit(self.look.root, table, f'base_url = "{base.rstrip("/")}/v1"')
        return edit(self.look.root, table, f"base_url and api as the server wants them; api is {self.provider.api} now")

    def _outage(self, outage: ProviderOutage) -> Finding:
        """A model that did not answer."""
        what, said = f"{self.role} model", f"{self.client.id} at {self.client.address}: {one_line(outage.why)}"
        root, table = self.look.root, f"providers.{self.provider.name}"
        if outage.why.startswith("HTTP 429"):
            return Finding(
                what, "warning", f"{said}; a study would wait and ask again", edit(root, table, "concurrency = 1")
            )
        if outage.kind == "slow" or "timed out" in outage.why.lower():
            longer = command(root, "doctor", "--seconds", f"{10 * self.seconds:.0f}")
            return Finding(what, "missing", said, f"if the server is still loading the model: {longer}")
        if outage.kind == "unreadable":
            others = " or ".join(
                f'api = "{api}"' for api in ("chat", "responses", "anthropic") if api != self.provider.api
            )
            return Finding(what, "missing", said, edit(root, table, others))
        if outage.kind == "unreachable":
            probe = f"curl {shlex.quote(self.client.address.rstrip('/') + '/models')}"
            start = "start the server there" if self.provider.base_url else "connect this machine, or set HTTPS_PROXY"
            other = f"; or {edit(root, table, 'base_url')}" if self.provider.base_url else ""
            return Finding(what, "missing", said, f"{start}: `{probe}` must answer{other}")
        return Finding(what, "missing", said, f"try again later: {command(root, 'doctor')}")

    def _other(self, listed: tuple[ListedModel, ...]) -> str:
        """Models that stay, the likest first, as lines of lorimer.toml."""
        from lorimer.models.listed import instead

        names = instead(listed, self._name, NAMED)
        if not names:
            return edit(self.look.root, "models", f"{self.role} = another model; this provider lists none that stays")
        lines = [f'{self.role} = "{self.provider.name}/{name}"' for name in names]
        return edit(self.look.root, "models", " or ".join(lines))

    @property
    def _today(self) -> date:
        assert self.look.asking is not None
        return self.look.asking.today


def _few(names: list[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
