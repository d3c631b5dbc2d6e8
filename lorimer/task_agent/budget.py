"""A study's budget: what was spent and set aside, what is left, and when to warn."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from lorimer.errors import BudgetExhausted, LorimerError
from lorimer.traces.schema import NOTHING, Reservation, Settlement, Share, Spent, TraceSink, Used

if TYPE_CHECKING:
    from lorimer.config.settings import BudgetSettings
    from lorimer.models.base import ModelNote

WARNINGS = (50, 80, 95)
"""Percent of a budget's bound at which the user is told, once each."""

ROLES = ("task", "meta")

UNANSWERED = Used(calls=1)
"""What a call used that nobody answered: it is not billed."""


@dataclass(frozen=True)
class Allowance:
    """One bound of a budget."""

    key: str
    """The key in lorimer.toml, such as `budget.usd` or `budget.meta.tokens`."""
    used: float
    limit: float

    @property
    def left(self) -> float:
        return max(0.0, self.limit - self.used)

    @property
    def percent(self) -> float:
        return 100 * self.used / self.limit


@dataclass(frozen=True)
class Owned:
    """What one trial's (or one proposal's) calls have used."""

    answered: Used = NOTHING
    cancelled: Used = NOTHING
    """Calls that were cancelled or broke off before their answer came, at the dollars that were set aside for them."""
    open: Mapping[str, float | None] = field(default_factory=dict)
    """Calls under way: the dollars that were set aside for each."""

    @property
    def unanswered(self) -> int:
        """Calls under way and cancelled ones."""
        return len(self.open) + self.cancelled.calls

    @property
    def at_most(self) -> Used:
        """All calls, those that were not answered at their most."""
        return sum((Used(calls=1, usd=usd) for usd in self.open.values()), start=self.answered + self.cancelled)


def _name(bound: Allowance) -> str:
    return bound.key.removeprefix("budget.")


def _without(held: Mapping[str, float | None], name: str) -> Mapping[str, float | None]:
    return {each: usd for each, usd in held.items() if each != name}


def uncounted(model: str) -> ModelNote:
    """What the user is told of a model whose provider counts no tokens."""
    from lorimer.models.base import ModelNote

    what = "its tokens, and what they cost, are estimated from the characters sent and received"
    return ModelNote("estimated", f"{model} sends no token counts; {what}")


def allowances(settings: BudgetSettings, spent: Spent) -> tuple[Allowance, ...]:
    """The bounds that are set, with what is used of each. Pure."""
    found = [
        ("usd", spent.known_usd, settings.usd),
        ("tokens", spent.tokens, settings.tokens),
        ("trials", spent.trials, settings.trials),
        ("hours", spent.hours, settings.hours),
        ("task.usd", spent.task.known_usd, settings.task.usd),
        ("task.tokens", spent.task.tokens, settings.task.tokens),
        ("meta.usd", spent.meta.known_usd, settings.meta.usd),
        ("meta.tokens", spent.meta.tokens, settings.meta.tokens),
    ]
    return tuple(Allowance(f"budget.{name}", used, limit) for name, used, limit in found if limit is not None)


def crossed(before: Iterable[str], study: str, bounds: Iterable[Allowance]) -> dict[str, tuple[Allowance, int]]:
    """The warnings that are due, by name, given the names of those `before`. Pure.

    Who jumps over two marks at once is told of the higher alone. A name holds the bound, so a raised one warns anew.
    """
    given, due = set(before), {}
    for bound in bounds:
        for percent in reversed(WARNINGS):
            name = f"{study}/{bound.key}/{bound.limit:g}/{percent}"
            if name in given:
                break
            if bound.percent >= percent:
                due[name] = (bound, percent)
                break
    return due


class Budget:
    """Counts and caps what a study spends, and nothing else. Reservations not settled count as spent.

    The overshoot is at most one call in flight per worker, as each call is reserved at its largest possible cost. A call is
    weighed against the totals and the calls under way, so it takes the same time however many came before it.

    Args:
        spent: by earlier processes.
        warned: names of the warnings that they gave.
        on_warning: told once when a bound is used by half, by 80 and by 95%.
        on_note: told once what the user should know of how a model is served: its id, and the text.
    """

    def __init__(
        self,
        study: str,
        settings: BudgetSettings,
        sink: TraceSink,
        spent: Spent | None = None,
        clock: Callable[[], float] = time.monotonic,
        *,
        warned: Iterable[str] = (),
        on_warning: Callable[[Allowance, int], None] = lambda bound, percent: None,
        on_note: Callable[[str, str], None] = lambda model, text: None,
    ) -> None:
        spent = spent or Spent()
        self._study, self._settings, self._sink, self._clock = study, settings, sink, clock
        self._shares: dict[str, Share] = {"task": spent.task, "meta": spent.meta}
        self._trials = spent.trials
        self._began = clock() - spent.hours * 3600
        self._reserved: dict[str, tuple[str, str, float | None, int]] = {}
        """Role, owner, dollars and tokens of each reservation, by its name."""
        self._owned: dict[str, Owned] = {}
        self._questions = Counter[str]()
        """Owners of calls under way that wait for a question, and how many questions of each wait for the budget."""
        self._changed = asyncio.Event()
        self._warned, self._on_warning, self._on_note = set(warned), on_warning, on_note

    @property
    def spent(self) -> Spent:
        """Settled and reserved together."""
        certain = self.certain
        return replace(
            certain, task=self._with_reserved("task", certain.task), meta=self._with_reserved("meta", certain.meta)
        )

    def _with_reserved(self, role: str, settled: Share) -> Share:
        held = [(usd or 0.0, tokens) for whose, _, usd, tokens in self._reserved.values() if whose == role]
        return replace(
            settled,
            known_usd=sum((usd for usd, _ in held), start=settled.known_usd),
            tokens=sum((tokens for _, tokens in held), start=settled.tokens),
            calls=settled.calls + len(held),
        )

    @property
    def certain(self) -> Spent:
        """Without the calls under way."""
        return Spent(self._shares["task"], self._shares["meta"], self._trials, (self._clock() - self._began) / 3600)

    @property
    def left(self) -> tuple[Allowance, ...]:
        """Every bound that is set, calls under way left out."""
        return allowances(self._settings, self.certain)

    def bind(self, settings: BudgetSettings) -> None:
        """Keep other bounds from now on. What was set aside for calls under way stays set aside."""
        self._settings = settings
        self._warn()
        self._wake()

    def begin_trial(self) -> None:
        """Count one trial. Raises BudgetExhausted."""
        self._warn()
        if (met := self._met(self.certain, {"trials": 1})) is not None:
            raise self._exhausted(met, {})
        self._trials += 1
        self._warn()

    async def reserve(
        self,
        role: str,
        owner: str,
        usd: float | None,
        tokens: int,
        *,
        waits: Callable[[str], AbstractContextManager[object]] = nullcontext,
        question: bool = False,
    ) -> str:
        """Set aside what a call may cost.

        A call that fits beside what is spent, and not beside what is set aside for calls under way too, waits until those have
        taken less. Raises BudgetExhausted where it does not fit beside what is spent, and then nothing is reserved.

        Args:
            waits: told why it waits, and entered meanwhile.
            question: whether a call of the same owner, which is under way, waits for this one.
        """
        wanted = {
            "usd": usd or 0.0,
            "tokens": float(tokens),
            f"{role}.usd": usd or 0.0,
            f"{role}.tokens": float(tokens),
        }
        self._warn()
        if self._met(self.spent, wanted) is not None:
            await self._room(owner, wanted, waits, question=question)
        name = uuid.uuid4().hex
        self._reserved[name] = (role, owner, usd, tokens)
        owned = self.of(owner)
        self._owned[owner] = replace(owned, open={**owned.open, name: usd})
        try:
            await self._sink.reserve(Reservation(name, self._study, role, owner, usd, tokens))
        except BaseException:
            # Nothing was sent yet. Where the store is what failed, there is nothing to be settled in.
            with suppress(LorimerError):
                self.settle(name, UNANSWERED)
            raise
        return name

    def settle(self, name: str, used: Used) -> None:
        """Replace a reservation by what the call really used; where its price is unknown, what was set aside stays spent."""
        role, owner, reserved, _ = self._reserved.pop(name)
        self._spend(role, reserved if used.usd is None else used.usd, used.tokens, unknown=used.usd is None)
        owned = self.of(owner)
        self._owned[owner] = replace(owned, answered=owned.answered + used, open=_without(owned.open, name))
        self._wake()
        self._sink.settle(Settlement(name, used))
        self._warn()

    def abandon(self, name: str) -> None:
        """A call was cancelled, or broke off, before its answer came. Its provider may bill it all the same, so what was set
        aside for it stays spent; in the store it stays a reservation that nobody settled."""
        role, owner, reserved, tokens = self._reserved.pop(name)
        self._spend(role, reserved, tokens, unknown=reserved is None)
        owned = self.of(owner)
        self._owned[owner] = replace(
            owned,
            cancelled=owned.cancelled + Used(calls=1, usd=reserved),
            open=_without(owned.open, name),
        )
        self._wake()

    def note(self, about: str, noted: ModelNote) -> None:
        """Tell the user, once a study, how a model is served (that its provider counts nothing, or takes less than is asked), or
        how verifiers fare (`verifiers.VERIFIERS`)."""
        name = f"{self._study}/{noted.kind}/{about}"
        if name not in self._warned:
            self._warned.add(name)
            self._sink.warn(name, self._study, noted.text)
            self._on_note(about, noted.text)

    def of(self, owner: str) -> Owned:
        """What an owner's calls have used in this process."""
        return self._owned.get(owner, Owned())

    def forget(self, owner: str) -> None:
        """An owner makes no further call. What its calls have used stays spent."""
        self._owned.pop(owner, None)

    def _spend(self, role: str, usd: float | None, tokens: int, *, unknown: bool) -> None:
        spent = Share(usd or 0.0, tokens, int(unknown), 1)
        self._shares[role] += spent

    async def _room(
        self,
        owner: str,
        wanted: Mapping[str, float],
        waits: Callable[[str], AbstractContextManager[object]],
        *,
        question: bool,
    ) -> None:
        """Wait until a call fits. Raises BudgetExhausted."""
        with ExitStack() as waiting:
            if question:
                waiting.enter_context(self._question(owner))
            told = False
            while (bound := self._met(self.spent, wanted)) is not None:
                spent = self._met(self.certain, wanted)
                if spent is not None or not self._some_end():
                    raise self._exhausted(spent or bound, wanted)
                if not told:
                    waiting.enter_context(waits(self._why(bound, wanted)))
                    told = True
                await self._changed.wait()

    @contextmanager
    def _question(self, owner: str) -> Iterator[None]:
        """While a question waits, the call of the same owner that it is about does not end."""
        self._questions[owner] += 1
        self._wake()
        try:
            yield
        finally:
            self._questions[owner] -= 1
            self._questions = +self._questions

    def _some_end(self) -> bool:
        """Whether a call is under way that will end without more of the budget: calls and questions may not wait in a ring."""
        return any(not self._questions[owner] for _, owner, _, _ in self._reserved.values())

    def _met(self, spent: Spent, wanted: Mapping[str, float]) -> Allowance | None:
        """The bound that leaves no room for so much more beside what is spent."""
        for bound in allowances(self._settings, spent):
            name = _name(bound)
            if name.partition(".")[0] in ROLES and name not in wanted:
                continue  # the other role's
            # The last trial that is allowed may still spend; it is only no further one that begins.
            if bound.used + wanted.get(name, 0) > bound.limit or (bound.used >= bound.limit and name != "trials"):
                return bound
        return None

    def _exhausted(self, bound: Allowance, wanted: Mapping[str, float]) -> BudgetExhausted:
        used, held = self._parts(bound)
        return BudgetExhausted(bound.key, used, bound.limit, held, wanted.get(_name(bound), 0.0))

    def _why(self, bound: Allowance, wanted: Mapping[str, float]) -> str:
        used, held = self._parts(bound)
        return (
            f"{bound.key}: a call may take {wanted[_name(bound)]:.6g}, and of {bound.limit:.6g} there are {used:.6g} used and "
            f"{held:.6g} set aside for calls under way; it waits for those, so fewer calls are made at once from here on"
        )

    def _parts(self, bound: Allowance) -> tuple[float, float]:
        """What is spent of a bound, and what is set aside beside that."""
        used, whole = (
            next(each.used for each in allowances(self._settings, spent) if each.key == bound.key)
            for spent in (self.certain, self.spent)
        )
        return used, whole - used if _name(bound) not in ("trials", "hours") else 0.0

    def _wake(self) -> None:
        """Whoever waits looks again."""
        self._changed.set()
        self._changed = asyncio.Event()

    def _warn(self) -> None:
        for name, (bound, percent) in crossed(self._warned, self._study, self.left).items():
            self._warned.add(name)
            self._sink.warn(name, self._study, f"{bound.key}: {percent}% of {bound.limit:g} used")
            self._on_warning(bound, percent)
