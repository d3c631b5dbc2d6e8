"""lorimer.toml as pydantic models: the only place where defaults live.

Every table forbids unknown keys, so a typo is an error with the key's path, never a setting that silently does nothing.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from lorimer.config import words as words
from lorimer.config.executor import ExecutorSettings
from lorimer.config.gate import RETIRED, GateSettings
from lorimer.config.notify import NotifySettings
from lorimer.config.providers import ProviderSettings
from lorimer.config.rows import HfSettings, Table
from lorimer.config.search import UNSEARCHED, SearchSettings
from lorimer.config.store import StoreSettings
from lorimer.errors import ConfigError
from lorimer.kinds import JAIL_IMAGE, SandboxName
from lorimer.scale import Scale

FILE_NAME = "lorimer.toml"

MOST_AT_ONCE = 256
"""The most trials of a study that run at once: one has up to 16 files and pipes open, and its process holds them all."""


class StudySettings(Table):
    """[study]"""

    name: str = Field(default="", pattern=r"^[A-Za-z0-9._-]{0,64}$")
    """Empty: `study-1`, `study-2`, … in order."""
    continues: str = Field(default="", pattern=r"^[A-Za-z0-9._-]{0,64}$")
    """An earlier study: its winner is the seed harness, its experiments are told to the meta-agent, and its tasks stay on their
    sides. The baseline is measured anew. `lorimer optimize --from STUDY` sets it."""
    seed: int = 0
    harness: str = "harness/agent.py"
    program: str = "program.md"
    canaries: int = Field(default=2, ge=0, le=3)
    """Tasks that nobody can solve, which every harness meets once before it can hold: who passes one cheats."""


class BenchmarkSettings(Table):
    """[benchmark]"""

    source: str = "starter"
    """`starter`, `harbor:DIR`, `hf:NAME_OR_DIR`, …; `lorimer benchmarks ls` lists the kinds."""
    tasks: tuple[str, ...] = ()
    """Task ids or shell-style patterns; empty means all."""
    exclude: tuple[str, ...] = ()
    limit: int | None = Field(default=None, ge=1)
    """A seeded sample of that many tasks."""
    isolation: Literal["task", "restart", "same", "fresh"] = "task"
    """How the agent's processes are kept from verifiers; `task` is what each task asks for, or a check found it to need."""
    check: bool = True
    """Check tasks that were never checked (oracle 1, nop 0) before any model is paid."""
    hf: HfSettings = HfSettings()


class ModelSettings(Table):
    """[models]"""

    task: str = "simulated/apprentice"
    meta: str = "same"
    """`same`, or another model for a cross pairing."""


class LimitSettings(Table):
    """[limits]: what one trial may use. The gateway enforces all of it."""

    calls: int = Field(default=50, ge=1)
    tokens: int | None = Field(default=None, ge=1)
    """Input plus output tokens."""
    usd: float | None = Field(default=None, gt=0)
    seconds: float | None = Field(default=None, gt=0)
    """Active seconds; unset takes the task's own agent timeout. A task's shorter one always holds."""
    exec_seconds: float = Field(default=300.0, gt=0)
    """One command's time limit, however long the harness asks for."""
    output_bytes: int = Field(default=262_144, ge=1024)
    """Bytes of stdout and of stderr a command may return; head and tail are kept."""
    read_bytes: int = Field(default=8_388_608, ge=1024)
    """Largest file that `env.read` returns."""
    trace_bytes: int = Field(default=65_536, ge=1024)
    """Characters of an output that the trace keeps; head and tail are kept."""
    artifact_bytes: int = Field(default=536_870_912, ge=1024)
    """All of what a trial's agent leaves for a verifier that has a sandbox of its own."""
    verifier_seconds: float | None = Field(default=None, gt=0)
    """Overrides the task's verifier timeout."""


class SandboxSettings(Table):
    """[sandbox]"""

    provider: SandboxName = "auto"
    network: Literal["task", "recorded", "registries", "none"] = "task"
    """What a task gets that asks for a network. `task`: an open one, or the hosts that it lists. `recorded`: any public host,
    through a proxy that says which. `registries`: the hosts of `registries` alone, likewise. `none`: none."""
    registries: tuple[str, ...] = ()
    """Hosts of package registries; `*.` before one: any below it; `:port` after one: another than 80 and 443."""
    python_image: str = "python:3.12-slim"
    """What tasks that need only Python run on, with Docker."""
    entrypoint_seconds: float = Field(default=300.0, gt=0, allow_inf_nan=False)
    """How long an image's ENTRYPOINT may take until it runs its arguments, with Docker."""
    runtime: str | None = None
    concurrency: int = Field(default=4, ge=1, le=MOST_AT_ONCE)
    """Trials at once."""
    warm: int = Field(default=2, ge=0)
    """Jails kept ready."""


class VerifierSettings(Table):
    """[verifier]"""

    on_suspect: Literal["flag", "zero"] = "flag"
    """A trial passed, and its agent changed what could have made it pass (a replaced interpreter, a preloaded library): say
    so, or score 0 as well."""
    reward_key: str = Field(default="reward", min_length=1)
    """Which of several named rewards counts. With `reward`, a verifier that names a single one may name it as it likes."""
    pass_env: tuple[str, ...] = ()
    """Variables of yours, such as `OPENAI_API_KEY`, that a task's `[verifier.env]` may ask for. The process of the verifier is
    given them, and no other."""
    scale: tuple[float, float] | Literal["unbounded"] | None = None
    """What the rewards of tasks mean that say no scale themselves: `[low, high]` are the rewards that count as 0 and as 1;
    `"unbounded"` means that there is no best. Not given: a reward is from 0 to 1, and a trial with another one errors."""

    @field_validator("scale")
    @classmethod
    def _a_scale_has_two_ends(
        cls, said: tuple[float, float] | Literal["unbounded"] | None
    ) -> tuple[float, float] | Literal["unbounded"] | None:
        if said is not None:
            Scale.of(said)
        return said


class JailSettings(Table):
    """[jail]"""

    provider: SandboxName = "auto"
    image: str = JAIL_IMAGE
    memory_mb: int = Field(default=512, ge=64)
    pids: int = Field(default=128, ge=8)
    cpus: float = Field(default=1.0, gt=0)


class SplitSettings(Table):
    """[split]"""

    holdout: float | None = Field(default=None, ge=0, lt=1)
    """Share of the tasks that is sealed and may veto a promotion; unset: 0.3, or 0.25 where a test side is kept unasked."""
    test: float | None = Field(default=None, ge=0, lt=1)
    """Share that no study runs at all: `lorimer run --test` measures on it what came out; unset: 0.15 of a suite of 60 tasks or
    more in which no file names a side, else 0."""
    train_file: str | None = None
    """A file of task ids, one per line; what no file names is the holdout, or takes no part where there is a holdout_file."""
    holdout_file: str | None = None
    """The sealed tasks, likewise; without a train_file the rest is the train side."""
    test_file: str | None = None
    """The test side, likewise."""

    @model_validator(mode="after")
    def _something_is_left(self) -> SplitSettings:
        holdout, test = 0.3 if self.holdout is None else self.holdout, self.test or 0.0
        if holdout + test >= 1:
            raise ValueError(f"holdout and test together are {holdout + test:g}: nothing is left to train on")
        if self.test and (self.test_file or self.train_file):
            file = "test_file" if self.test_file else "train_file"
            raise ValueError(f"test is a share, and {file} names tasks: name the test side by test_file alone")
        return self


class ShareSettings(Table):
    """[budget.ROLE]: what the calls of one model may use of a study's budget."""

    usd: float | None = Field(default=None, gt=0)
    """Dollars."""
    tokens: int | None = Field(default=None, ge=1)
    """Input plus output."""


class BudgetSettings(Table):
    """[budget] of one study; unset means no bound of that kind."""

    candidates: int | None = Field(default=20, ge=1)
    usd: float | None = Field(default=None, gt=0)
    tokens: int | None = Field(default=None, ge=1)
    hours: float | None = Field(default=None, gt=0)
    trials: int | None = Field(default=None, ge=1)
    task: ShareSettings = ShareSettings()
    """The task model's part."""
    meta: ShareSettings = ShareSettings()
    """The meta model's part."""


class MetaSettings(Table):
    """[meta]: the meta-agent."""

    calls: int = Field(default=24, ge=2)
    """Model calls for one proposal."""
    context_tokens: int = Field(default=100_000, ge=2_000)
    """How much of the model's context the meta-agent may fill; older tool results are dropped first."""
    max_tokens: int = Field(default=8_192, ge=256)
    patience: int = Field(default=3, ge=1)
    """Rounds in a row without a usable edit before the study stops. A round is one proposal, or `[search] width` of them."""
    tokens: int | None = Field(default=None, ge=1)
    """Input plus output tokens of one proposal; it ends without an edit once they are used."""
    usd: float | None = Field(default=None, gt=0)
    """Dollars of one proposal."""
    seconds: float | None = Field(default=None, gt=0)
    """Seconds of one proposal, waits for a provider's retry left out."""
    max_harness_bytes: int = Field(default=60_000, ge=1_000)
    traces: bool = True
    """Whether the meta-agent reads traces, and has to cite them. `false` shows it scores alone: what traces are worth."""


class ReplaySettings(Table):
    """[replay]: what is read from the records of the champion's trials before an edit is paid for. It informs and may refuse or
    reject; it never promotes."""

    enabled: bool = True
    """Every edit is held against recorded trials, and one that touches none of them is refused; `false` turns all of it off."""


class ReviewSettings(Table):
    """[review]: a person's word before a promotion."""

    required: bool = False
    """A candidate that passed every stage is held until `lorimer review` approves or refuses it; the study pauses."""


class RetryTrials(Table):
    """[retries]: errored trials."""

    errored: int = Field(default=2, ge=0)
    """More attempts for a trial that the world broke."""
    engine_seconds: float = Field(default=120.0, ge=0)
    """How long a sandbox engine may not answer, or all verifiers fail for want of a download, before the study pauses. No
    attempts are used up by that."""


class Config(Table):
    """A whole lorimer.toml."""

    study: StudySettings = StudySettings()
    benchmark: BenchmarkSettings = BenchmarkSettings()
    models: ModelSettings = ModelSettings()
    providers: dict[str, ProviderSettings] = Field(default_factory=dict)
    limits: LimitSettings = LimitSettings()
    executor: ExecutorSettings = ExecutorSettings()
    sandbox: SandboxSettings = SandboxSettings()
    jail: JailSettings = JailSettings()
    verifier: VerifierSettings = VerifierSettings()
    gate: GateSettings = GateSettings()
    split: SplitSettings = SplitSettings()
    budget: BudgetSettings = BudgetSettings()
    meta: MetaSettings = MetaSettings()
    search: SearchSettings = SearchSettings()
    replay: ReplaySettings = ReplaySettings()
    review: ReviewSettings = ReviewSettings()
    retries: RetryTrials = RetryTrials()
    notify: NotifySettings = NotifySettings()
    store: StoreSettings = StoreSettings()

    @model_validator(mode="after")
    def _models_name_a_provider(self) -> Config:
        for key, value in (("task", self.models.task), ("meta", self.models.meta)):
            provider, _, name = value.partition("/")
            if not (provider.strip() and name.strip()) and not (key == "meta" and value == "same"):
                raise ValueError(f"models.{key}: '{value}' is not PROVIDER/NAME")
        return self

    @model_validator(mode="after")
    def _hosts_have_docker(self) -> Config:
        if self.executor.docker_hosts and self.sandbox.provider == "bubblewrap":
            raise ValueError(
                "executor.docker_hosts: are Docker Engines, and [sandbox] provider is bubblewrap; leave one out"
            )
        return self

    @model_validator(mode="after")
    def _registries_are_named(self) -> Config:
        if self.sandbox.network == "registries" and not self.sandbox.registries:
            raise ValueError(
                "sandbox.registries: names none; list the hosts of package registries that tasks may reach"
            )
        for entry in self.sandbox.registries:
            if not re.fullmatch(r"(\*\.)?[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[1-9][0-9]{0,4})?", entry):
                raise ValueError(
                    f"sandbox.registries: '{entry}' is no host name in lower case, such as files.example.org"
                )
        return self

    @property
    def meta_model(self) -> str:
        return self.models.task if self.models.meta == "same" else self.models.meta


def parse(data: dict[str, Any], where: str = FILE_NAME, overrides: Mapping[str, Any] | None = None) -> Config:
    """Validate a mapping with dotted `overrides` of the command line set in it, which win.

    Raises ConfigError, one line, with each wrong key's path: after `where`, or after the `--set` that it is due to.
    """
    for key in overrides or {}:
        _refuse_retired(key, f"--set {key}")
        if key == "store" or key.startswith("store."):
            raise ConfigError(
                f"--set {key}: is read from {FILE_NAME} alone, where every command finds it; set it there"
            )
    try:
        return Config.model_validate(merge(data, overrides or {}))
    except ValidationError as error:
        raise ConfigError(words.told(error, Config, where, overrides or {}, _wrong(data))) from None


OLDER_GATE = {"cost": "tokens", "max_cost_increase": "none", "cost_increase_per_point": 0.0, "revision": 1}
"""What the gate did before these keys were there."""

UNREPLAYED = {"enabled": False}
"""What was done before there was [replay]."""


def parse_stored(data: dict[str, Any], where: str, overrides: Mapping[str, Any] | None = None) -> Config:
    """The settings of a study as its store has them. A key of [gate], [replay], [search] or [jail] that lorimer had not when
    the study began does what was done then. Raises ConfigError, as `parse` does.
    """
    older = {"gate": OLDER_GATE | data.get("gate", {}), "replay": UNREPLAYED | data.get("replay", {})}
    older["search"] = UNSEARCHED | data.get("search", {})
    # Before there was a choice, jails were made by what made the sandboxes.
    older["jail"] = {"provider": data.get("sandbox", {}).get("provider", "auto")} | data.get("jail", {})
    return parse(data | older, where, overrides)


def _wrong(data: dict[str, Any]) -> frozenset[words.Problem]:
    """What is wrong with a mapping by itself."""
    try:
        Config.model_validate(data)
    except ValidationError as error:
        return words.problems(error)
    return frozenset()


def read(path: Path) -> dict[str, Any]:
    """What a lorimer.toml says, not yet validated.

    Raises ConfigError when the file is missing, cannot be read or is not TOML.
    """
    try:
        found = read_toml(path)
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: no such file; `{_init(path.parent)}` makes one, and -C names one elsewhere"
        ) from None
    gate = found.get("gate")
    for key in gate if isinstance(gate, dict) else ():
        _refuse_retired(f"gate.{key}", f"{path}: gate.{key}")
    return found


def read_toml(path: Path) -> dict[str, Any]:
    """What a TOML file says. Raises FileNotFoundError; ConfigError where it cannot be read or is not TOML."""
    try:
        # Some editors put a byte-order mark before the first character.
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 (byte {error.start}); save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None


def _refuse_retired(key: str, where: str) -> None:
    table, _, name = key.partition(".")
    if table == "gate" and name in RETIRED:
        raise ConfigError(f"{where}: is no setting any more: {RETIRED[name]}")


def load(path: Path, overrides: Mapping[str, Any] | None = None) -> Config:
    """Read a lorimer.toml. `overrides` are dotted keys from the command line, which win.

    Raises ConfigError when the file is missing, is not TOML, or a key is wrong.
    """
    return parse(read(path), str(path), overrides)


def _init(folder: Path) -> str:
    """The command that makes a workspace in `folder`."""
    return "lorimer init" if folder == Path() else shlex.join(["lorimer", "init", str(folder)])


def merge(data: dict[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """`data` with dotted `overrides` set; neither is changed."""
    merged: dict[str, Any] = {key: dict(value) if isinstance(value, dict) else value for key, value in data.items()}
    for dotted, value in overrides.items():
        *tables, key = dotted.split(".")
        at = merged
        for table in tables:
            child = at.get(table)
            at[table] = dict(child) if isinstance(child, dict) else {}
            at = at[table]
        at[key] = value
    return merged


def overrides(settings: list[str]) -> dict[str, Any]:
    """`gate.alpha=0.05`, … from a command line, as dotted keys with TOML values; what is not TOML is a string.

    Raises ConfigError for one without a key or a value.
    """
    found: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not all(key.strip().split(".")) or "." not in key:
            near = words.meant([key.strip()], Config) if equals and key.strip() else ""
            raise ConfigError(f"--set {setting}: write TABLE.KEY=VALUE, such as gate.alpha=0.05{near}")
        try:
            read = tomllib.loads(f"value = {text}")
        except tomllib.TOMLDecodeError:
            read = {}
        found[key.strip()] = read["value"] if len(read) == 1 else text
    return found
