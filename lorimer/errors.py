"""The exceptions that lorimer raises, as one tree.

    LorimerError                 exit code 1
    ├── UserError                exit code 2: bad input; the message says what, where, and what to do
    │   ├── ConfigError          lorimer.toml or a command-line option
    │   │   └── NoSuchTask       a benchmark has no task of a name: `names`
    │   ├── TaskError            one benchmark task is malformed: `task`, `key`
    │   └── HarnessError         a harness or an edit breaks the contract
    ├── PrerequisiteError        exit code 3: something is not installed or not running; carries the fix
    ├── WorldError               the world's fault: a trial that meets one is errored, never scored
    │   ├── SandboxError         engine failure, sandbox lost
    │   │   ├── ImageError       an image could not be built, pulled or started; carries its log
    │   │   ├── NotRemoved       containers stay behind; everything else was done
    │   │   └── EngineOutage     the engine does not answer at all
    │   ├── ProviderOutage       the model provider did not answer within the retry window
    │   ├── ProviderRefusal      the model provider refuses whatever it is asked
    │   ├── VerifierOutage       verifiers of several tasks in a row fail without an agent too
    │   └── CallFailed           the model provider fails at one conversation, and answers others
    ├── BudgetExhausted          a study's budget is spent; the study can be resumed with a larger one
    ├── TakenOver                another process runs the study that this one ran, and may write to it alone
    ├── NumberTaken              a candidate was to be stored under a number that another one has by now
    └── InternalError            our bug

Expected failures that a model can react to (non-zero exit, missing file, refused request) are values, not exceptions.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal, Self


class LorimerError(Exception):
    """Root of everything lorimer raises on purpose. `str(error)` is one line for the user.

    It can be pickled whatever its subclass is made of: errors of a trial on another machine come back so.
    """

    exit_code = 1
    paused = ""
    """The study that was under way, which this stopped: what it has finished is kept, and it can be resumed."""
    begin_anew = ""
    """Which mend of it that study would refuse, as it keeps what it began with, in a clause."""
    _made_of: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        error = super().__new__(cls)
        error._made_of = args, kwargs
        return error

    def __reduce__(self) -> tuple[Any, ...]:
        args, kwargs = self._made_of
        return partial(type(self), *args, **kwargs), ()


class UserError(LorimerError):
    """The user's input is wrong.

    Args:
        problem: what is wrong, and where.
        fix: the command or the edit that puts it right, where there is one.
    """

    exit_code = 2

    def __init__(self, problem: str, fix: str = "") -> None:
        super().__init__(f"{problem}; {fix}" if fix else problem)
        self.problem, self.fix = problem, fix


class ConfigError(UserError):
    """A configuration value is wrong; the message starts with the file and the key's path."""


class NoSuchTask(ConfigError):
    """Nothing in a benchmark matches a name or a pattern.

    Args:
        problem: what to say of the first.
        names: all of them.
    """

    def __init__(self, problem: str, names: tuple[str, ...]) -> None:
        super().__init__(problem)
        self.names = names


class TaskError(UserError):
    """One benchmark task cannot be read.

    Args:
        task: the task's id or folder name.
        key: the key or file at fault, as the user would look for it (`[agent] timeout_sec`, `instruction.md`).
        problem: what is wrong with it, without the name.
    """

    def __init__(self, task: str, key: str, problem: str) -> None:
        super().__init__(f"task {task}: {key}: {problem}")
        self.task, self.key, self.problem = task, key, problem


class HarnessError(UserError):
    """A harness file, or an edit to it, cannot be used. The message is written for the meta-agent as well as for people."""


class PrerequisiteError(LorimerError):
    """Something lorimer needs is missing.

    Args:
        problem: what is missing.
        fix: the command or setting that repairs it.
    """

    exit_code = 3

    def __init__(self, problem: str, fix: str) -> None:
        super().__init__(f"{problem}; {fix}")
        self.problem, self.fix = problem, fix


class WorldError(LorimerError):
    """Neither the harness nor the user is to blame."""


class SandboxError(WorldError):
    """The sandbox or its engine failed."""


class NotRemoved(SandboxError):
    """Containers that the engine cannot remove stay behind. Everything else was done."""


class ImageError(SandboxError):
    """An image could not be built, pulled or started.

    Args:
        problem: one line.
        log: the build's output or the entrypoint's, as far as there is one.
    """

    def __init__(self, problem: str, log: str = "") -> None:
        super().__init__(problem)
        self.log = log


class EngineOutage(SandboxError):
    """The sandbox engine does not answer: it was stopped, is being restarted, or hangs."""


OutageKind = Literal["unreachable", "slow", "unreadable", "busy"]


class ProviderOutage(WorldError):
    """The provider was unreachable, overloaded or rate-limiting for longer than the retry window.

    Args:
        said: one line.
        why: what the last attempt met, in the network's or the provider's words.
        kind: nobody answered; not in time; with something that is no completion; or with an error that may pass.
    """

    def __init__(self, said: str, why: str = "", kind: OutageKind = "busy") -> None:
        super().__init__(said)
        self.why, self.kind = why or said, kind


class ProviderRefusal(WorldError):
    """The provider refuses every request, also a plain question of lorimer's own: nothing can be measured with it."""


class VerifierOutage(WorldError):
    """Verifiers of several tasks in a row fail, as for want of a download, without an agent too: nothing can be scored."""


class CallFailed(WorldError):
    """The provider fails at this call alone: it answered a plain question meanwhile, and then failed at the call once more."""


class BudgetExhausted(LorimerError):
    """The study's budget allows no further call or trial.

    Args:
        key: the bound that was met, `budget.usd`.
        used: how much of it is spent.
        limit: what it allows.
        held: what is set aside beside that, for calls under way; they may take less.
        wanted: what the call that was not made may have taken.
    """

    def __init__(self, key: str, used: float, limit: float, held: float = 0.0, wanted: float = 0.0) -> None:
        said = [f"{key}: {used:.6g} of {limit:.6g} used"]
        said += [f"{held:.6g} set aside for calls under way"] * bool(held)
        said += [f"the next call may take {wanted:.6g}"] * bool(wanted)
        super().__init__(", ".join(said))
        self.key, self.limit = key, limit
        self.larger = float(f"{2 * max(limit, used + held + wanted):.3g}")
        """A bound with which the study goes on, for as long again."""


class TakenOver(LorimerError):
    """This process no longer holds a study: it was counted as dead, and another one has taken the study over meanwhile."""


class NumberTaken(LorimerError):
    """A candidate was to be stored under a number that another one has.

    A person's edit and a process that runs the study may want the same one; whoever comes second asks for another.
    """


class InternalError(LorimerError):
    """A state that lorimer's own code should have made impossible."""
