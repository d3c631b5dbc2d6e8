"""What every benchmark adapter offers: tasks as values. Nothing here runs anything."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Protocol

from lorimer.errors import TaskError
from lorimer.sandbox.base import Group, ImageSpec, Needs, SandboxLimits
from lorimer.scale import Scale

Isolation = Literal["restart", "same", "fresh"]
ISOLATIONS: tuple[Isolation, ...] = ("restart", "fresh", "same")
"""The weakest last."""


@dataclass(frozen=True)
class Start:
    """How the container of a task's sandbox starts."""

    entrypoint: bool = True
    """Whether the image's own ENTRYPOINT starts it, where there is one."""
    env: tuple[tuple[str, str], ...] = ()
    """Variables of the whole container, beside the image's."""


@dataclass(frozen=True)
class Script:
    """Files that are uploaded and a command that is run on them, as a verifier or a solution."""

    source: Path | bytes | None
    """A folder, whose content goes into `target`, or a file, which becomes `target`. `None`: the image has them already."""
    target: str
    """Absolute path in the sandbox, such as `/tests`. What an agent left where a verifier's files all lie is removed first."""
    command: str
    """Shell command, such as `bash /tests/test.sh`."""
    timeout: float
    """Seconds."""
    env: Mapping[str, str] = field(default_factory=dict)
    passed: Mapping[str, str] = field(default_factory=dict)
    """More variables, each with the name of the host's variable that holds its value: of a key, a task has the name alone."""
    extra: tuple[tuple[Path | bytes, str], ...] = ()
    """More sources and targets, uploaded in this order after the first."""
    message: str | None = None
    """The path at which a verifier finds what the agent said last, where it judges that."""
    user: str | None = None
    """Name or uid that runs the command; `None` is the image's own."""
    program: str = ""
    """A file that the command starts, which is made executable first."""
    without: frozenset[Path] = frozenset()
    """Files of the sources that stay on the host."""

    def files(self) -> tuple[tuple[Path | bytes, str], ...]:
        """All sources and targets, in the order in which they are uploaded."""
        return (*(() if self.source is None else ((self.source, self.target),)), *self.extra)


@dataclass(frozen=True)
class Artifact:
    """A file or a folder that goes from the agent's sandbox to a verifier that has a sandbox of its own."""

    source: str
    """Path in the sandbox; there it will lie in the verifier's too."""
    exclude: tuple[str, ...] = ()
    """Patterns of names in a folder that stay behind, as of GNU tar's `--exclude`."""
    service: str = "main"
    """Whose file system it is taken from."""


@dataclass(frozen=True)
class Hook:
    """A command that is run after the agent, to bring what a service holds in memory into a file."""

    command: str
    service: str = "main"
    timeout: float = 60.0
    """Seconds."""
    user: str | None = None


@dataclass(frozen=True)
class Healthcheck:
    """A command that must exit with 0 before the agent starts."""

    command: str
    interval: float = 5.0
    """Seconds between two tries."""
    timeout: float = 30.0
    """Seconds of one try."""
    start_period: float = 0.0
    """Seconds at first in which a failed try does not count."""
    start_interval: float = 5.0
    """Seconds between two tries in that time."""
    retries: int = 3
    """Failures in a row that end the waiting."""


@dataclass(frozen=True)
class RewardFiles:
    """The verifier writes its reward to a file (Harbor's convention)."""

    paths: tuple[str, ...] = ("/logs/verifier/reward.json", "/logs/verifier/reward.txt")
    """Looked for in this order."""
    key: str = "reward"
    """Which of several named rewards counts. Where nothing is named `reward`, a single one does, whatever its name."""
    scale: Scale | None = None
    """What it means; `None`: it is from 0 to 1."""


@dataclass(frozen=True)
class PytestSummary:
    """The verifier prints pytest's short test summary: 1 if every test in it passed, else 0 (Terminal-Bench 1's rule)."""


@dataclass(frozen=True)
class MarkedVerdict:
    """The verifier prints its verdict between `NAME results starts here` and `NAME results ends here`, as in Terminal-Bench 1."""

    name: str
    """`SWEBench`."""
    passed: str
    """What stands there alone where the trial passed: the reward is 1; anything else is 0."""


@dataclass(frozen=True)
class Grade:
    """What a grader says of an answer."""

    reward: float
    """The reward, from 0 to 1."""
    note: str = ""
    """One line on the answer alone, such as that it holds no number; the meta-agent may read it."""
    output: str = ""
    """What people are shown: the answer beside the reference."""


class Grader(Protocol):
    """Compares an answer with a reference, on the host."""

    async def grade(self, answer: str, timeout: float) -> Grade:
        """The grade of an answer that is not blank.

        Raises TimeoutError after `timeout` seconds, SandboxError where a process that it uses is killed.
        """
        ...


@dataclass(frozen=True)
class Graded:
    """The host grades what the agent answered: neither the reference nor the grader is ever in the sandbox.

    No answer, or a blank one, is 0 without asking the grader. The task's verifier is `NOTHING_RUNS`.
    """

    grader: Grader
    file: str | None = None
    """Path in the sandbox that holds the answer; `None`: the answer is the agent's last message."""


NOTHING_RUNS = Script(None, "", "", 60.0)
"""The verifier of a task that the host grades; its time is the grader's."""

RewardSource = RewardFiles | PytestSummary | MarkedVerdict | Graded


@dataclass(frozen=True)
class VerifierSandbox:
    """A sandbox that is the verifier's alone: of the agent's, only the artifacts come into it."""

    image: ImageSpec
    limits: SandboxLimits = field(default_factory=SandboxLimits)
    workdir: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    healthcheck: Healthcheck | None = None
    workspace: tuple[tuple[Path, str], ...] = ()
    """The same as `Task.workspace`."""
    group: Group | None = None


@dataclass(frozen=True)
class Task:
    """One benchmark item."""

    id: str
    """Unique in its benchmark, stable across machines; letters, digits, `.`, `_`, `-`."""
    instruction: str
    image: ImageSpec
    verifier: Script
    """Run after the agent; leaves its reward where `reward` says."""
    solution: Script | None = None
    """The reference solution, for the oracle agent. Never shown to a harness or to the meta-agent.

    Where the agent's last message is judged, what the solution prints is the oracle's.
    """
    limits: SandboxLimits = field(default_factory=SandboxLimits)
    agent_timeout: float = 600.0
    """Seconds of active time."""
    workdir: str | None = None
    start: Start = field(default_factory=Start)
    group: Group | None = None
    """Containers beside the agent's."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Set for the agent's commands."""
    user: str | None = None
    """Name or uid whose commands and file calls the agent's are; `None` is the image's own."""
    healthcheck: Healthcheck | None = None
    """Waited for before the agent starts; what stays unhealthy is the world's fault."""
    workspace: tuple[tuple[Path | bytes, str], ...] = ()
    """Loose files, copied before the agent starts: host folders to sandbox folders, host files or bytes to sandbox paths."""
    reward: RewardSource = RewardFiles()
    isolation: Isolation = "restart"
    """How the agent's processes are kept from the verifier; `separate` says it for itself."""
    isolation_set: bool = False
    """The user set the isolation, so no check may choose another."""
    folders: tuple[str, ...] = ()
    """Empty folders for anyone to write, which are there before the agent starts."""
    artifacts: tuple[Artifact, ...] = ()
    """What is carried to a verifier that has a sandbox of its own."""
    hooks: tuple[Hook, ...] = ()
    """Run between agent and verifier, in this order."""
    separate: VerifierSandbox | None = None
    """The verifier's own sandbox; `None`: it runs on the files of the agent's."""
    parts: tuple[Part, ...] = ()
    """The parts of a task in several, two at least; this task then says only what holds for all of them."""
    reward_of: Literal["mean", "final"] = "mean"
    """How the rewards of the parts that were reached become the task's."""
    difficulty: str = ""
    category: str = ""
    source_id: str = ""
    """What the task was made from, where the suite says so: tasks of one source stay on one side of a split."""
    digest: str = ""
    """SHA-256 over the task's files: instruction, environment, verifier, solution, settings."""

    def rewarded_by(self, key: str) -> Task:
        """The same task, counting the reward of this name. It is another task to whoever knows tasks by their digests."""
        parts = tuple(replace(part, task=part.task.rewarded_by(key)) for part in self.parts)
        if isinstance(self.reward, RewardFiles) and self.reward.key != key:
            digest = hashlib.sha256(f"{self.digest} {key}".encode()).hexdigest()
            return replace(self, reward=replace(self.reward, key=key), parts=parts, digest=digest)
        return self

    def scaled(self, scale: Scale) -> Task:
        """The same task, its rewards read on this scale unless it says one itself. It is another task, as with `rewarded_by`."""
        parts = tuple(replace(part, task=part.task.scaled(scale)) for part in self.parts)
        if isinstance(self.reward, RewardFiles) and self.reward.scale is None:
            digest = hashlib.sha256(f"{self.digest} scale {scale}".encode()).hexdigest()
            return replace(self, reward=replace(self.reward, scale=scale), parts=parts, digest=digest)
        return self

    @property
    def is_scaled(self) -> bool:
        """Whether a reward of this task, or of one of its parts, is read on a scale: a solution need not reach its best."""
        own = isinstance(self.reward, RewardFiles) and self.reward.scale is not None
        return own or any(part.task.is_scaled for part in self.parts)

    @property
    def isolations(self) -> tuple[Isolation, ...]:
        """The isolations that it may run under: first the one that it names, then those that a check may find it to need."""
        whole = self.parts and all(part.task.separate for part in self.parts)
        weaker = self.isolation != "same" and not (self.separate or whole or self.isolation_set or self.takes_keys)
        return (self.isolation, "same") if weaker else (self.isolation,)

    @property
    def takes_keys(self) -> bool:
        """Whether a verifier of it is given a key of the user's: nothing that an agent left may run beside it then."""
        return bool(self.verifier.passed) or any(part.task.takes_keys for part in self.parts)

    @property
    def solution_runs(self) -> bool:
        """Whether there is a solution for the oracle, of every part where there are several."""
        return all(part.task.solution for part in self.parts) if self.parts else self.solution is not None

    def needs(self) -> tuple[Needs, ...]:
        """What its sandboxes are to be: the agent's, the verifier's own, those of its parts."""
        own = [Needs(self.image, self.limits, self.group)]
        if self.separate is not None:
            own.append(Needs(self.separate.image, self.separate.limits, self.separate.group))
        return (*own, *(needs for part in self.parts for needs in part.task.needs()))

    def images(self) -> tuple[ImageSpec, ...]:
        """All that its trials need."""
        own = [self.image, *(() if self.separate is None else (self.separate.image,))]
        for group in (self.group, None if self.separate is None else self.separate.group):
            own += [] if group is None else [each.image for each in group.services if each.image is not None]
        return tuple(dict.fromkeys([*own, *(image for part in self.parts for image in part.task.images())]))


@dataclass(frozen=True)
class Part:
    """One part of a task in several: Harbor's `[[steps]]` (a *step* is lorimer's word for an event of a trial)."""

    name: str
    task: Task
    """What the agent is asked now, and how that is verified; run in the one sandbox of all parts."""
    setup: str = ""
    """A command that is run after its `workspace` was copied in, before the agent."""
    at_least: Mapping[str, float] = field(default_factory=dict)
    """Rewards by name that must be reached, else no further part is begun."""


@dataclass(frozen=True)
class Suite:
    """What an adapter loaded: the tasks that can run, and those that cannot with the reason."""

    name: str
    tasks: tuple[Task, ...]
    problems: tuple[TaskError, ...] = ()
    notes: tuple[str, ...] = ()
    """What was read and passed over, one line each."""

    def digest(self) -> str:
        """SHA-256 over the tasks' ids and digests, in order of id."""
        lines = sorted(f"{task.id} {task.digest}" for task in self.tasks)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


class Benchmark(Protocol):
    """An adapter: finds tasks, reads them, says what is wrong with those it cannot read."""

    def load(self, only: Sequence[str] = ()) -> Suite:
        """All tasks in order of id, or those named in `only`. One bad task never hides the rest.

        Raises ConfigError when there is no such benchmark, NoSuchTask when `only` names tasks that it does not have.
        """
        ...
