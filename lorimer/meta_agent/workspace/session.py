"""Everything that a study of a workspace needs, opened and closed together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from lorimer.benchmarks.base import Suite, Task
from lorimer.config.settings import Config
from lorimer.errors import LorimerError, NotRemoved, PrerequisiteError
from lorimer.keys import Keys
from lorimer.meta_agent.workspace import known
from lorimer.meta_agent.workspace.engines import open_hosts_of, open_provider, room_for_trials
from lorimer.meta_agent.workspace.named import check_prices, key_names, max_tokens_of, providers
from lorimer.meta_agent.workspace.nodes import open_nodes
from lorimer.meta_agent.workspace.notify import Notifier
from lorimer.meta_agent.workspace.suite import load_suite
from lorimer.meta_agent.workspace.watching import Watcher
from lorimer.meta_agent.workspace.where import has_store, secrets, store_at
from lorimer.models.abilities import Abilities
from lorimer.models.base import ModelClient
from lorimer.models.client import ProviderClient
from lorimer.models.registry import open_model
from lorimer.sandbox.base import SandboxProvider
from lorimer.sandbox.hosts import AnyHost, Hosts
from lorimer.sandbox.pool import Pool
from lorimer.sandbox.select import NoJails
from lorimer.task_agent.budget import Allowance, Budget
from lorimer.task_agent.cluster.node import Node, OnNode
from lorimer.task_agent.cluster.worker import TaskModelSpec
from lorimer.task_agent.limits import Metered
from lorimer.task_agent.outcome import TrialOutcome
from lorimer.task_agent.scheduling.attempts import StudyAttempts
from lorimer.task_agent.scheduling.executor import Executor
from lorimer.task_agent.scheduling.hosts import OnHosts
from lorimer.task_agent.scheduling.images import ImageReport
from lorimer.task_agent.scheduling.local import local_on
from lorimer.task_agent.scheduling.scheduler import Scheduler
from lorimer.task_agent.served import check_served
from lorimer.task_agent.trial import Machine
from lorimer.traces.base import StudyReader, StudyWriter
from lorimer.traces.reading.reader import StoreReader
from lorimer.traces.scrub import scrubber
from lorimer.traces.writing.store import Store

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
    hosts: Hosts[SandboxProvider] | None = None
    """The engines of [executor] docker_hosts, on which trials run."""
    nodes: Hosts[Node] | None = None
    """The nodes of a Ray cluster, on which trials run. Where neither is there they run on `provider`."""

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
        executor: Executor | None = None
        if self.hosts is not None:
            executor = OnHosts(self.hosts, local_on(machine))
        elif self.nodes is not None:
            executor = OnHosts(self.nodes, lambda node: OnNode(node, machine))
        attempts = StudyAttempts(machine, self.config, tasks, budget, executor=executor, on_image=on_image)
        return Scheduler(
            attempts,
            concurrency=self.config.sandbox.concurrency,
            retries=self.config.retries.errored,
            on_trial=on_trial,
            on_resize=attempts.at_once,
        )

    def metered(self, model: ModelClient, budget: Budget) -> Metered:
        """The model with its calls reserved, settled and traced."""
        return Metered(model, budget, self.store, max_tokens_of(self.config, model))


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


class _Nobody:
    """Takes what is told of a session that nobody watches."""

    def on_wait(self, seconds: float, why: str) -> None:
        return

    def on_tokens(self, tokens: float) -> None:
        return

    def say(self, line: str) -> None:
        return


@asynccontextmanager
async def open_session(
    root: Path,
    config: Config,
    *,
    models: bool = True,
    prefer_bubblewrap: bool = False,
    resumes: str = "",
    watcher: Watcher | None = None,
) -> AsyncIterator[Session]:
    """Open the store, the sandbox provider and (with `models`) the models of a workspace; close them at the end.

    The session's configuration names the sandbox and the jail that were chosen.

    Args:
        resumes: the study that goes on, which has its sandbox already.
        watcher: told of waits, of the tokens of streamed answers as they arrive, and of a host that takes no trials.

    What dead lorimer processes left behind is removed first. Raises ConfigError, PrerequisiteError, SandboxError.
    """
    hears = watcher or _Nobody()
    if said := room_for_trials(config):
        hears.say(said)
    async with AsyncExitStack() as stack:
        keys = Keys.open(root)
        task_model, meta_model = _open_models(config, keys, hears, stack) if models else (None, None)
        try:
            hosts = await open_hosts_of(config, hears.say)
            inner = AnyHost(hosts) if hosts else await open_provider(config, prefer_bubblewrap=prefer_bubblewrap)
        except PrerequisiteError as error:
            if (why := _goes_on_there(config, resumes, error)) is None:
                raise
            raise why from None
        # A study goes on where it began: `auto` is asked once.
        sandbox = config.sandbox.model_copy(update={"provider": inner.name})
        jail = config.jail.model_copy(update={"provider": inner.jails})
        config = config.model_copy(update={"sandbox": sandbox, "jail": jail})
        # Each host keeps its own jails ready.
        provider = inner if hosts else Pool(inner, jails=config.sandbox.warm)
        stack.push_async_callback(told_of, hears, provider.close)
        await told_of(hears, provider.reap)
        passed = _passed(keys, config.verifier.pass_env)
        nodes = None
        if config.executor.kind == "ray":
            model = TaskModelSpec(task_model.id, max_tokens_of(config, task_model)) if task_model else None
            nodes = await open_nodes(root, config, model, passed, hears.say)
            stack.push_async_callback(nodes.close)
        scrub = scrub_for(config, keys)
        store = stack.enter_context(Store.open(store_at(root), scrub))
        reader = stack.enter_context(StoreReader(store))
        known.tell(reader, task_model, meta_model)
        notifier = None
        if config.notify.command:
            notifier = Notifier(config.notify, root, _passed(keys, config.notify.pass_env), scrub)
            stack.push_async_callback(notifier.close)
        yield Session(
            root,
            config,
            store,
            reader,
            provider,
            hears.on_wait,
            task_model,
            meta_model,
            passed,
            scrub,
            notifier,
            hosts,
            nodes.hosts if nodes else None,
        )


def _open_models(
    config: Config, keys: Keys, hears: Watcher | _Nobody, stack: AsyncExitStack
) -> tuple[ModelClient, ModelClient]:
    """The task model and the meta model, which may be one; closed with `stack`. Raises ConfigError, PrerequisiteError."""

    def opened(name: str) -> ModelClient:
        model = open_model(name, providers(config), keys=keys, on_tokens=hears.on_tokens)
        stack.push_async_callback(model.close)
        return model

    task_model = opened(config.models.task)
    meta_model = task_model if config.meta_model == config.models.task else opened(config.meta_model)
    check_prices(config, task_model, meta_model)
    return task_model, meta_model


def _goes_on_there(config: Config, study: str, error: PrerequisiteError) -> PrerequisiteError | None:
    """Why a study that goes on cannot, where its sandboxes are missing; `None` of one that may choose others."""
    began = config.sandbox.provider
    if not study or began == "auto":
        return None
    kept = f"study {study} began on {began}"
    if isinstance(error, NoJails):
        began, kept = config.jail.provider, f"study {study} began with its jails on {config.jail.provider}"
    return PrerequisiteError(f"{kept} and goes on there alone: {error.problem}", START[began])


async def told_of(hears: Watcher | _Nobody, clear_up: Callable[[], Awaitable[object]]) -> None:
    """Clear up. Of what stays behind the user is told: no result is lost for it, and no start fails."""
    try:
        await clear_up()
    except NotRemoved as error:
        hears.say(str(error))


def _passed(keys: Keys, names: Sequence[str]) -> dict[str, str]:
    """The values of those of these variables that there are."""
    return {name: found[0] for name in names if (found := keys.find(name)) is not None}


def next_name(reader: StudyReader, kind: str) -> str:
    """The first of `kind-1`, `kind-2`, … that no study has."""
    taken = {study.id for study in reader.studies()}
    number = 1
    while f"{kind}-{number}" in taken:
        number += 1
    return f"{kind}-{number}"
