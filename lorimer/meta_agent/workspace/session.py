"""Everything that a study of a workspace needs, opened and closed together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from lorimer.benchmarks.base import Suite, Task
from lorimer.config import Config
from lorimer.config_providers import variables
from lorimer.errors import ConfigError, LorimerError, PrerequisiteError
from lorimer.harness.api import Usage
from lorimer.keys import Keys
from lorimer.meta_agent.workspace import known
from lorimer.meta_agent.workspace.notify import Notifier
from lorimer.meta_agent.workspace.suite import load_suite
from lorimer.meta_agent.workspace.where import has_store, secrets, store_at
from lorimer.models import pricing
from lorimer.models.abilities import Abilities
from lorimer.models.base import ModelClient
from lorimer.models.client import ProviderClient
from lorimer.models.provider import BUILT_IN, ProviderConfig, provider_config
from lorimer.models.registry import open_model, provider_of, simulated
from lorimer.sandbox.base import Egress, SandboxProvider
from lorimer.sandbox.pool import Pool
from lorimer.sandbox.select import NoJails, Wanted, choose
from lorimer.task_agent.budget import Allowance, Budget
from lorimer.task_agent.images import ImageReport
from lorimer.task_agent.limits import Metered
from lorimer.task_agent.local import LocalAttempts
from lorimer.task_agent.outcome import TrialOutcome
from lorimer.task_agent.scheduler import Scheduler
from lorimer.task_agent.served import check_served
from lorimer.task_agent.trial import Machine
from lorimer.traces.base import StudyReader, StudyWriter
from lorimer.traces.reader import StoreReader
from lorimer.traces.scrub import scrubber
from lorimer.traces.store import Store

START = {
    "docker": "start the Docker Engine, or start a new study",
    "bubblewrap": "`lorimer doctor` says what bubblewrap needs; or start a new study",
}
"""What to do where a study's sandbox does not work any more."""


@dataclass(frozen=True)
class Session:
    """What is open while a study runs."""

    root: Path
    config: Config
    store: StudyWriter
    reader: StudyReader
    provider: SandboxProvider
    on_wait: Callable[[float, str], None]
    task_model: ModelClient | None = None
    """`None` where no model is paid: checking a benchmark."""
    meta_model: ModelClient | None = None
    passed: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The values of `[verifier] pass_env`, for the processes of verifiers."""
    scrub: Callable[[str], str] = field(default_factory=scrubber, repr=False)
    """What masks secrets in all that is stored."""
    notifier: Notifier | None = None
    """Runs the command of [notify]; `None` where none is named."""

    def load_suite(self, only: tuple[str, ...] = ()) -> Suite:
        """The configured benchmark's tasks, those of `only` if any are named.

        Raises ConfigError when none are left, PrerequisiteError when this session's sandboxes cannot serve one of them.
        """
        suite = load_suite(self.root, self.config, only)
        check_served(self.provider, suite.tasks)
        return suite

    def budget(
        self,
        study: str,
        on_warning: Callable[[Allowance, int], None] = lambda bound, percent: None,
        on_note: Callable[[str, str], None] = lambda model, text: None,
    ) -> Budget:
        """The study's budget with what earlier processes have used of it; a new study's is untouched."""
        warned = [row.id for row in self.reader.warnings(study)]
        return Budget(
            study,
            self.config.budget,
            self.store,
            self.reader.spent(study),
            warned=warned,
            on_warning=on_warning,
            on_note=on_note,
        )

    def scheduler(
        self,
        tasks: Mapping[str, Task],
        budget: Budget,
        on_trial: Callable[[TrialOutcome], None],
        on_image: Callable[[ImageReport], None],
    ) -> Scheduler:
        """Runs trials on this session's sandboxes and task model."""
        model = None if self.task_model is None else self.metered(self.task_model, budget)
        machine = Machine(self.provider, self.store, model, self.on_wait, self.passed)
        attempts = LocalAttempts(machine, self.config, tasks, budget, on_image=on_image)
        return Scheduler(
            attempts,
            concurrency=self.config.sandbox.concurrency,
            retries=self.config.retries.errored,
            on_trial=on_trial,
            on_resize=attempts.at_once,
        )

    def metered(self, model: ModelClient, budget: Budget) -> Metered:
        """The model with its calls reserved, settled and traced."""
        name = model.id.partition("/")[0]
        provider = providers(self.config).get(name) or BUILT_IN.get(name) or ProviderConfig(name)
        return Metered(model, budget, self.store, provider.max_tokens)


def egress(config: Config) -> Egress | None:
    """Where the network of a task leads that asks for one; `None` is an open one."""
    if config.sandbox.network not in ("recorded", "registries"):
        return None
    return Egress(config.sandbox.registries, public=config.sandbox.network == "recorded")


def providers(config: Config) -> dict[str, ProviderConfig]:
    """The providers of lorimer.toml."""
    return {name: provider_config(name, settings) for name, settings in config.providers.items()}


def key_names(config: Config) -> list[str]:
    """The names of all variables with keys that any known provider would read, those that its headers name included."""
    known = {**BUILT_IN, **providers(config)}.values()
    named = {name for provider in known for name in variables(provider.headers)}
    return sorted(named | {provider.key_env for provider in known if provider.key_env})


def scrub_for(config: Config, keys: Keys) -> Callable[[str], str]:
    """What masks, in all that is stored, the keys that the configured providers and verifiers read."""
    named = keys.values([*key_names(config), *config.verifier.pass_env, *config.notify.pass_env])
    return scrubber([*named, *secrets(config.store, keys)])


def upgrade_store(root: Path) -> None:
    """Bring a workspace's store that an older lorimer wrote up to date. Raises UserError for a file that is no trace store."""
    if has_store(root):
        Store.open(store_at(root)).close()


@contextmanager
def open_store(root: Path, config: Config) -> Iterator[tuple[StudyWriter, StudyReader]]:
    """A workspace's store for writing, and its reader, where nothing is run. Raises UserError for a file that is no store."""
    with Store.open(store_at(root), scrub_for(config, Keys.open(root))) as store, StoreReader(store) as reader:
        yield store, reader


async def keep_abilities(root: Path, model: ProviderClient, found: Abilities) -> None:
    """Store what the server of a model honours, in place of what was known before. Raises LorimerError."""
    with Store.open(store_at(root)) as store:
        await store.set_abilities(known.row_of(model, found))


def kept_abilities(root: Path, model: ProviderClient) -> tuple[Abilities, str] | None:
    """What the store of a workspace knows of a model at its address, and since when (`2026-01-02`); `None` where that is
    nothing, or the store is an older lorimer's."""
    try:
        with StoreReader(store_at(root)) as reader:
            row = reader.abilities(model.id)
            found = known.stored(reader, model)
    except LorimerError:
        return None
    return None if row is None or found is None else (found, row.asked[:10])


@asynccontextmanager
async def open_session(
    root: Path,
    config: Config,
    *,
    models: bool = True,
    prefer_bubblewrap: bool = False,
    resumes: str = "",
    on_wait: Callable[[float, str], None] = lambda seconds, why: None,
    on_tokens: Callable[[float], None] = lambda tokens: None,
) -> AsyncIterator[Session]:
    """Open the store, the sandbox provider and (with `models`) the models of a workspace; close them at the end.

    The session's configuration names the sandbox and the jail that were chosen.

    Args:
        resumes: the study that goes on, which has its sandbox already.
        on_tokens: told of the tokens of streamed answers as they arrive.

    What dead lorimer processes left behind is removed first. Raises ConfigError, PrerequisiteError, SandboxError.
    """
    async with AsyncExitStack() as stack:
        task_model = meta_model = None
        keys = Keys.open(root)
        if models:
            task_model = meta_model = open_model(config.models.task, providers(config), keys=keys, on_tokens=on_tokens)
            stack.push_async_callback(task_model.close)
            if config.meta_model != config.models.task:
                meta_model = open_model(config.meta_model, providers(config), keys=keys, on_tokens=on_tokens)
                stack.push_async_callback(meta_model.close)
            check_prices(config, task_model, meta_model)
        try:
            inner = await open_provider(config, prefer_bubblewrap=prefer_bubblewrap)
        except PrerequisiteError as error:
            began = config.sandbox.provider
            if not resumes or began == "auto":
                raise
            if isinstance(error, NoJails):
                began, kept = config.jail.provider, f"study {resumes} began with its jails on {config.jail.provider}"
            else:
                kept = f"study {resumes} began on {began}"
            raise PrerequisiteError(f"{kept} and goes on there alone: {error.problem}", START[began]) from None
        # A study goes on where it began: `auto` is asked once.
        sandbox = config.sandbox.model_copy(update={"provider": inner.name})
        jail = config.jail.model_copy(update={"provider": inner.jails})
        config = config.model_copy(update={"sandbox": sandbox, "jail": jail})
        provider = Pool(inner, jails=config.sandbox.warm, sandboxes=config.sandbox.warm)
        stack.push_async_callback(provider.close)
        await provider.reap()
        scrub = scrub_for(config, keys)
        store = stack.enter_context(Store.open(store_at(root), scrub))
        reader = stack.enter_context(StoreReader(store))
        known.tell(reader, task_model, meta_model)
        notifier = None
        if config.notify.command:
            notifier = Notifier(config.notify, root, _passed(keys, config.notify.pass_env), scrub)
            stack.push_async_callback(notifier.close)
        passed = _passed(keys, config.verifier.pass_env)
        yield Session(root, config, store, reader, provider, on_wait, task_model, meta_model, passed, scrub, notifier)


def _passed(keys: Keys, names: Sequence[str]) -> dict[str, str]:
    """The values of those of these variables that there are."""
    return {name: found[0] for name in names if (found := keys.find(name)) is not None}


async def open_provider(config: Config, *, prefer_bubblewrap: bool = False) -> SandboxProvider:
    """The sandboxes that the settings ask for, seen to work; the caller closes it. Raises PrerequisiteError."""
    return await choose(
        config.sandbox.provider,
        jails=config.jail.provider,
        prefer_bubblewrap=prefer_bubblewrap,
        wanted=Wanted(
            network="none" if config.sandbox.network == "none" else None,
            python_image=config.sandbox.python_image,
            jail_image=config.jail.image,
            egress=egress(config),
            runtime=config.sandbox.runtime,
            handover=config.sandbox.entrypoint_seconds,
        ),
    )


class Priced(Protocol):
    """What has a price: a model's client, or its name in the list of prices."""

    @property
    def id(self) -> str: ...

    def price(self, input_tokens: int, output_tokens: int) -> float | None: ...


@dataclass(frozen=True)
class Listed:
    """A model that is not opened: its price is looked up, and no key is read."""

    id: str
    provider: ProviderConfig

    def price(self, input_tokens: int, output_tokens: int) -> float | None:
        return pricing.price(self.provider, self.id.partition("/")[2], Usage(input_tokens, output_tokens))


def listed(config: Config) -> list[Listed]:
    """The models of these settings, without the simulated ones, which have a price. Raises ConfigError."""
    names = dict.fromkeys((config.models.task, config.meta_model))
    return [Listed(name, provider_of(name, providers(config))) for name in names if not simulated(name)]


def check_prices(config: Config, *models: Priced) -> None:
    """A budget in dollars cannot be kept where a price is unknown: say so before anything is spent. Raises ConfigError."""
    bounds = {
        "budget.usd": config.budget.usd,
        "budget.task.usd": config.budget.task.usd,
        "budget.meta.usd": config.budget.meta.usd,
        "limits.usd": config.limits.usd,
        "meta.usd": config.meta.usd,
    }
    limits = [key for key, value in bounds.items() if value]
    for model in models:
        # Asked in any case: the list of prices takes 0.2 s to import, and trials would wait for it.
        priced = model.price(1, 1) is not None
        if limits and not priced:
            name = model.id.partition("/")[0]
            raise ConfigError(
                f"{limits[0]}: the price of {model.id} is unknown",
                f"set usd_per_million_input and usd_per_million_output in [providers.{name}], or set a budget in tokens",
            )


def next_name(reader: StudyReader, kind: str) -> str:
    """The first of `kind-1`, `kind-2`, … that no study has."""
    taken = {study.id for study in reader.studies()}
    number = 1
    while f"{kind}-{number}" in taken:
        number += 1
    return f"{kind}-{number}"
