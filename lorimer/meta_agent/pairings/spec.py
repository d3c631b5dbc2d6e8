"""What a comparison is asked for, by pairings.toml or options, and what follows from it: cells, names, seeds, shares.

All but `read` is pure.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from lorimer.config import words as words
from lorimer.config.rows import Table
from lorimer.config.settings import BudgetSettings, Config, read_toml
from lorimer.errors import ConfigError, UserError
from lorimer.meta_agent.gate import confirmation
from lorimer.meta_agent.pairings.values import Pairing
from lorimer.task_agent.budget import allowances
from lorimer.traces.schema import Spent

FILE = "pairings.toml"
NAME_CHARS, MODEL_CHARS = 16, 18
"""A study's name has 64 characters at most: the grid's, both models' and a number."""
LAST_SHARE = 0.2
"""The share of a search's tokens or dollars that is kept for its last measure on the sealed tasks. A budget of trials needs
none: those of that measure can be counted."""
TRANSFER_SHARE = 0.1
"""The share of all tokens or dollars that is kept for the winners under the other task models."""

BudgetUnit = Literal["trials", "tokens", "usd"]
UNITS: tuple[BudgetUnit, ...] = ("trials", "tokens", "usd")


class WholeBudget(Table):
    """[budget]: what all searches together may use, in one unit; each gets the same share of it."""

    trials: int | None = Field(default=None, ge=1)
    tokens: int | None = Field(default=None, ge=1)
    """Input plus output."""
    usd: float | None = Field(default=None, gt=0)
    """Dollars."""

    @model_validator(mode="after")
    def _one_unit(self) -> WholeBudget:
        given = [unit for unit in UNITS if getattr(self, unit) is not None]
        if len(given) != 1:
            said = "none is given" if not given else f"{' and '.join(given)} are given"
            raise ValueError(f"budgets are equal in one unit, trials, tokens or usd, and {said}")
        return self

    @property
    def unit(self) -> BudgetUnit:
        return next(unit for unit in UNITS if getattr(self, unit) is not None)

    @property
    def amount(self) -> float:
        return float(getattr(self, self.unit))


class Spec(Table):
    """A whole pairings.toml."""

    name: str = Field(default="pairs", pattern=rf"^[A-Za-z0-9][A-Za-z0-9_-]{{0,{NAME_CHARS - 1}}}$")
    """The name of the grid; its searches' names begin with it."""
    task: tuple[str, ...] = Field(min_length=1)
    """Task models, `PROVIDER/NAME`."""
    meta: tuple[str, ...] = Field(min_length=1)
    """Meta models."""
    searches: int = Field(default=2, ge=1, le=50)
    """Independent searches of each cell."""
    transfer: bool = False
    """Each winner is run under each other task model as well."""
    budget: WholeBudget

    @model_validator(mode="after")
    def _models_are_models(self) -> Spec:
        for key, models in (("task", self.task), ("meta", self.meta)):
            for model in models:
                provider, _, name = model.partition("/")
                if not (provider.strip() and name.strip()):
                    raise ValueError(f"{key}: '{model}' is not PROVIDER/NAME")
            twice = next((model for model in models if models.count(model) > 1), None)
            if twice is not None:
                raise ValueError(f"{key}: {twice} is named twice; searches = N makes N searches of each pairing")
        if len(self.task) * len(self.meta) < 2:
            raise ValueError("task and meta: one pairing is no comparison; name two models in one of them")
        return self

    @property
    def pairings(self) -> tuple[Pairing, ...]:
        """The cells, task models first."""
        return tuple(Pairing(task, meta) for task in self.task for meta in self.meta)

    @property
    def plan(self) -> tuple[PlannedSearch, ...]:
        """All searches: the first one of each cell, then the second ones."""
        slugs = _slugs([*self.task, *self.meta])
        return tuple(
            PlannedSearch(pairing, number, f"{self.name}-{slugs[pairing.task]}.{slugs[pairing.meta]}-{number}")
            for number in range(1, self.searches + 1)
            for pairing in self.pairings
        )

    def transfer_name(self, search: PlannedSearch, model: str) -> str:
        """The name of the run of a search's winner under another task model."""
        return f"{search.study}-on-{_slugs([*self.task, *self.meta])[model]}"


@dataclass(frozen=True)
class PlannedSearch:
    """One search of the grid."""

    pairing: Pairing
    number: int
    study: str
    """The name of its study."""

    def seed(self, base: int) -> int:
        """Its own: searches share no luck."""
        said = f"{base}/{self.pairing.task}/{self.pairing.meta}/{self.number}"
        return int.from_bytes(hashlib.blake2b(said.encode(), digest_size=4).digest()) >> 1


@dataclass(frozen=True)
class Sizes:
    """What the budget is shared by."""

    train: int
    holdout: int


@dataclass(frozen=True)
class SearchBudget:
    """What one search gets of the whole budget, reserved before the first one begins."""

    unit: BudgetUnit
    each: float
    """All of it."""
    search: float
    """What the search itself may spend."""
    last: float
    """What the last measure of its champion and of the seed harness on the sealed tasks may spend."""
    transfers: float
    """What the winners under other task models may take, out of the whole budget and not of one search."""


def share_of(spec: Spec, config: Config, sizes: Sizes) -> SearchBudget:
    """The equal share of every search. Raises ConfigError where it cannot pay for a search."""
    searches, unit, whole = len(spec.plan), spec.budget.unit, spec.budget.amount
    last = 2 * sizes.holdout * config.gate.holdout_repeats
    moved = searches * (len(spec.task) - 1) if spec.transfer else 0
    if unit != "trials":
        transfers = whole * TRANSFER_SHARE if moved else 0.0
        each = (whole - transfers) / searches
        each = float(int(each)) if unit == "tokens" else each
        return SearchBudget(unit, each, each * (1 - LAST_SHARE), each * LAST_SHARE, transfers)
    transfers = moved * sizes.holdout * config.gate.holdout_repeats
    each = int((whole - transfers) // searches)
    least = fewest_trials(config, sizes) + last
    if each < least:
        needs = least * searches + transfers
        raise ConfigError(
            f"budget.trials: {whole:g} for {searches} searches leave {max(0, each)} trials each, and {least} is the least that "
            f"measures the seed harness, tries one candidate and measures the champion; give {needs} or more, or fewer searches"
        )
    return SearchBudget(unit, each, each - last, last, transfers)


def fewest_trials(config: Config, sizes: Sizes) -> int:
    """The trials of a search that tries one candidate to the end of its full run."""
    gate = config.gate
    start = config.study.canaries + sizes.train * gate.first_champion_repeats + sizes.holdout * gate.holdout_repeats
    return start + gate.spot_fixes + gate.spot_guards + sizes.train * gate.repeats


def candidates_paid(config: Config, sizes: Sizes, share: SearchBudget) -> int:
    """About how many candidates a share in trials pays for; `budget.candidates` at most."""
    most = config.budget.candidates or 10_000
    if share.unit != "trials":
        return min(most, 20)
    one = config.gate.spot_fixes + config.gate.spot_guards + sizes.train * config.gate.repeats
    first = fewest_trials(config, sizes) - one
    audits = 2 * sizes.train * confirmation.ROUNDS if config.gate.policy == "pooled" else sizes.train
    # Half of them are rejected by the spot-check or early; one is audited.
    return max(1, min(most, int((share.search - first - audits) / (0.5 * one))))


def settings_of(config: Config, search: PlannedSearch, share: SearchBudget, *, last: bool = False) -> Config:
    """The settings of one search: the workspace's, with its models, its seed and its share.

    Args:
        last: with what is kept for the last measure as well. Trials have no bound then: its plan and [retries] bound them, and
            one attempt that errs is not to lose all that was paid before.
    """
    amount = share.each if last else share.search
    counted = last and share.unit == "trials"
    bound = {} if counted else {share.unit: amount if share.unit == "usd" else int(amount)}
    budget = BudgetSettings(candidates=config.budget.candidates, **bound)
    study = {"name": search.study, "seed": search.seed(config.study.seed)}
    return config.model_copy(
        update={
            "models": config.models.model_copy(update={"task": search.pairing.task, "meta": search.pairing.meta}),
            "study": config.study.model_copy(update=study),
            "budget": budget,
        }
    )


def transfer_settings_of(config: Config, search: PlannedSearch, share: SearchBudget, model: str, runs: int) -> Config:
    """The settings of one of so many `runs` of winners under another task model. Trials have no bound here either."""
    config, amount = settings_of(config, search, share), share.transfers / runs
    bound = {"usd": amount} if share.unit == "usd" else {"tokens": int(amount)} if share.unit == "tokens" else {}
    return config.model_copy(
        update={
            "models": config.models.model_copy(update={"task": model, "meta": "same"}),
            "gate": config.gate.model_copy(update={"champion_repeats": config.gate.holdout_repeats}),
            "budget": BudgetSettings(candidates=None, **bound),
        }
    )


# ---- reading --------------------------------------------------------------------------------------------------------


def searches_each(number: int) -> str:
    """How many searches each pairing has, in words."""
    return "one search each" if number == 1 else f"{number} searches each"


def read(root: Path, given: Mapping[str, Any], file: Path | None = None) -> Spec:
    """The spec of `file`, of the workspace's pairings.toml, or of options alone; options win.

    Args:
        given: what options say, by the keys of `Spec`; `budget` holds only what is given of it.

    Raises UserError where nothing names models; ConfigError for what is wrong with them.
    """
    path = file if file is not None else root / FILE
    said: dict[str, Any] = {}
    if path.is_file():
        said = read_toml(path)
    elif file is not None:
        raise UserError(f"{file}: no such file")
    elif not given.get("task") and not given.get("meta"):
        raise UserError(
            f"{path}: no such file, and no option names models",
            "write one (docs/pairings.md), or give --task A,B --meta A,B with --trials, --tokens or --usd",
        )
    where = str(path) if said else "options"
    chosen = {key: value for key, value in given.items() if value is not None and value != {}}
    try:
        return Spec.model_validate(said | chosen)
    except ValidationError as error:
        missing = {str(item["loc"][0]) for item in error.errors() if item["type"] == "missing"}
        if "budget" in missing and not missing - {"budget"}:
            raise ConfigError(
                f"{where}: budget: a grid has one for all its searches; give --trials, --tokens or --usd, or write [budget]"
            ) from None
        raise ConfigError(words.told(error, Spec, where, {})) from None


def _slugs(models: Sequence[str]) -> dict[str, str]:
    """What stands for each model in a study's name: the end of its id; of two that end alike the later one with a hash."""
    found: dict[str, str] = {}
    for model in models:
        if model in found:
            continue
        plain = re.sub(r"[^A-Za-z0-9]+", "-", model.rpartition("/")[2]).strip("-")[:MODEL_CHARS].strip("-") or "model"
        if plain in found.values():
            plain = f"{plain[: MODEL_CHARS - 5]}-{hashlib.blake2b(model.encode(), digest_size=2).hexdigest()}"
        found[model] = plain
    return found


def check_settings(config: Config) -> None:
    """Raises ConfigError where the workspace's settings do not go with a grid of searches."""
    if config.review.required:
        raise ConfigError(
            "review.required: a grid waits for nobody; set it to false, and review the winner when the grid is done"
        )
    if config.study.continues:
        raise ConfigError("study.continues: all searches of a grid begin with the same seed harness; leave it out")
    if config.budget.hours is not None:
        raise ConfigError(
            "budget.hours: searches of a grid take turns, and a clock counts the turns of others; leave it out"
        )
    if config.executor.kind == "ray":
        raise ConfigError(
            "executor.kind: the workers of a Ray cluster are started for one task model, and a grid opens them for all its "
            'searches; set it to "local" (executor.docker_hosts spreads trials over several machines)'
        )
    dropped = [bound.key for bound in allowances(config.budget, Spent())]
    if dropped:
        which, them = ("bounds", "them") if len(dropped) > 1 else ("a bound", "it")
        raise ConfigError(
            f"{', '.join(dropped)}: {which} of one study, and a grid has one budget for all its searches, by --trials, --tokens "
            f"or --usd or under [budget] of pairings.toml; leave {them} out of lorimer.toml and --set"
        )
