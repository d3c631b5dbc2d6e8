"""The verifier comes in where the agent acts no more, and the host reads its reward; or the host grades the answer."""

from __future__ import annotations

import json
import math
import posixpath
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from lorimer.benchmarks.base import Graded, MarkedVerdict, PytestSummary, RewardFiles, Task
from lorimer.sandbox.base import ExecOutput, Sandbox, SandboxFileError
from lorimer.scale import Scale
from lorimer.task_agent.causes import Cause
from lorimer.task_agent.output import cut, kept_text, last_line
from lorimer.task_agent.upload import make_executable, upload
from lorimer.task_agent.verdict.flags import SUSPECT
from lorimer.wording import first_names, visible_line

REWARD_BYTES = 65_536
OUTPUT_BYTES = 65_536
"""What is kept of each stream of a verifier, for people."""
PRINTED_BYTES = 4 << 20
"""What is read of an output that is the verdict: a summary has a line for each test, and some 500 lines are `OUTPUT_BYTES`."""
ANSWER_BYTES = 1 << 20
"""The longest answer that is judged, in characters: longer than any model writes, short enough to hold."""
PREPARE_SECONDS = 60.0
"""The time to clear the verifier's place: milliseconds, unless the agent left a million files there."""
SHOWN = 6
"""Paths named in a flag."""
SAID = 200
"""Characters of the verifier's last line that stand in a detail."""


@dataclass(frozen=True)
class Reward:
    """What the verifier said; `cause` is set where there is no usable reward."""

    value: float | None
    named: Mapping[str, float] = field(default_factory=dict)
    cause: Cause | None = None
    detail: str = ""
    output: str = ""
    """What the verifier printed, for people."""
    flags: tuple[str, ...] = ()
    """What speaks against a pass (`suspect`)."""


class Unreadable(ValueError):
    """A reward file that holds no reward."""


class OffScale(ValueError):
    """A reward that is a number and means nothing yet: it is not from 0 to 1, and no scale was said."""

    def __init__(self, name: str, value: float) -> None:
        super().__init__(
            f'{name} is {value:g}, not from 0 to 1; say what it means by scale = [LOW, HIGH] or "unbounded" under [verifier], '
            "in lorimer.toml or in the task"
        )


async def verify(
    sandbox: Sandbox, task: Task, timeout: float, message: str = "", variables: Mapping[str, str] = MappingProxyType({})
) -> Reward:
    """Run the task's verifier in `sandbox` and read its reward, or let the host grade the answer. `judge` comes before it.

    Args:
        message: what the agent said last, for a task that judges it.
        variables: what the verifier's process may be given, with their values.

    Raises SandboxError when the sandbox is lost.
    """
    if isinstance(task.reward, Graded):
        return await _grade(sandbox, task.reward, timeout, message)
    refused = await _cleared(sandbox, task) or await _brought(sandbox, task, message)
    if refused is not None:
        return refused
    ran = await _run(sandbox, task, timeout, variables)
    output = f"{_shown(ran.stdout, ran.stdout_dropped)}\n{_shown(ran.stderr, ran.stderr_dropped)}".strip()
    if ran.timed_out:
        detail = f"the verifier ran over its {timeout:.6g} s"
        return Reward(None, cause=Cause.VERIFIER_TIMEOUT, detail=detail, output=output)
    if isinstance(task.reward, RewardFiles):
        return await _from_files(sandbox, task.id, task.reward, ran.exit_code, output)
    return _from_stdout(task.reward, ran, output)


async def _cleared(sandbox: Sandbox, task: Task) -> Reward | None:
    """Make room for the verifier; the trial's reward where something bars its way.

    What an agent may have left where the verifier's files and its reward belong must not be taken for them. As root, where there
    is one: the image's user may not make folders in `/`, and must be able to write the reward.
    """
    cleared = await sandbox.exec(_clear(task), timeout=PREPARE_SECONDS, cwd="/", user="0")
    if left := [place for place in _places(task) if not await _is_gone(sandbox, place)]:
        # Only an agent can have made it so. Verified over what it left, its files would run as the verifier's own.
        said = f"{first_names(left, SHOWN)} was there before the verifier ran and cannot be removed"
        return Reward(0.0, detail=said, flags=(f"{SUSPECT}{said}",))
    if cleared.timed_out:
        detail = f"clearing the verifier's place took over {PREPARE_SECONDS:g} s"
        return Reward(None, cause=Cause.REWARD_MISSING, detail=detail)
    for path in _reward_files(task):
        if await _read(sandbox, path) is not None:
            return Reward(0.0, detail=f"{path} was there before the verifier ran and cannot be removed")
    return None


async def _brought(sandbox: Sandbox, task: Task, message: str) -> Reward | None:
    """Copy the verifier's files in; a reward that is missing where that cannot be done."""
    try:
        for source, target in task.verifier.files():
            await upload(sandbox, source, target, without=task.verifier.without)
        if task.verifier.message is not None:
            await sandbox.write(task.verifier.message, cut(message, ANSWER_BYTES).encode("utf-8", "replace"))
        await make_executable(sandbox, task.verifier)
    except SandboxFileError as error:  # the agent may have barred the way
        return Reward(None, cause=Cause.REWARD_MISSING, detail=f"the verifier's files cannot be copied in: {error}")
    return None


async def _run(sandbox: Sandbox, task: Task, timeout: float, variables: Mapping[str, str]) -> ExecOutput:
    """Run the verifier's command, with the keys that it may be given."""
    # Under `same` an agent's process may live on, and as root it could read the verifier's.
    given = {} if task.isolation == "same" and task.separate is None else variables
    keys = {name: given[variable] for name, variable in task.verifier.passed.items() if variable in given}
    return await sandbox.exec(
        task.verifier.command,
        timeout=timeout,
        cwd=task.workdir,
        env={**task.env, **task.verifier.env, **keys},
        user=task.verifier.user,
        output_limit=OUTPUT_BYTES if isinstance(task.reward, RewardFiles) else PRINTED_BYTES,
    )


def _shown(stream: bytes, dropped: int) -> str:
    """What people are shown of a stream, with the bytes that are not there said."""
    if (more := len(stream) - OUTPUT_BYTES) > 0:
        stream, dropped = stream[: OUTPUT_BYTES // 2] + stream[-OUTPUT_BYTES // 2 :], dropped + more
    return kept_text(stream, dropped)


def _from_stdout(reward: PytestSummary | MarkedVerdict, ran: ExecOutput, output: str) -> Reward:
    """The reward that a verifier printed."""
    printed = kept_text(ran.stdout, ran.stdout_dropped)
    try:
        if isinstance(reward, PytestSummary):
            if ran.stdout_dropped:  # among what is not there may be a test that failed
                raise Unreadable(
                    f"printed more than {PRINTED_BYTES:,} bytes, so its pytest summary cannot be read whole"
                )
            return Reward(float(all(parse_summary(printed).values())), output=output)
        return Reward(float(parse_verdict(printed, reward)), output=output)
    except Unreadable as error:
        detail = f"the verifier (exit code {ran.exit_code}): {error}"
        return Reward(None, cause=Cause.REWARD_MISSING, detail=detail, output=output)


async def _from_files(sandbox: Sandbox, task: str, reward: RewardFiles, exit_code: int | None, output: str) -> Reward:
    """The reward in the first of its files that is there."""
    for path in reward.paths:
        data = await _read(sandbox, path)
        if data is None:
            continue
        if isinstance(data, SandboxFileError):
            return Reward(None, cause=Cause.REWARD_UNREADABLE, detail=str(data), output=output)
        try:
            value, named = parse_reward(data, json_object=path.endswith(".json"), key=reward.key, scale=reward.scale)
        except Unreadable as error:
            return Reward(None, cause=Cause.REWARD_UNREADABLE, detail=f"{path}: {error}", output=output)
        except OffScale as error:
            return Reward(None, cause=Cause.REWARD_SCALE, detail=f"task {task}: {path}: {error}", output=output)
        return Reward(value, named, output=output)
    last = visible_line(last_line(output))[:SAID]
    printed = f'the last that it printed: "{last}"' if last else "it printed nothing"
    detail = f"the verifier (exit code {exit_code}) left no reward file ({' or '.join(reward.paths)}); {printed}"
    return Reward(None, cause=Cause.REWARD_MISSING, detail=detail, output=output)


async def _grade(sandbox: Sandbox, graded: Graded, timeout: float, answer: str) -> Reward:
    """Nothing runs in the sandbox, so it need not be restarted: what a living process writes there is the agent's answer."""
    if graded.file is not None:
        try:
            data = await sandbox.read(graded.file, max_bytes=ANSWER_BYTES)
        except SandboxFileError as error:
            return Reward(0.0, detail=f"no answer: {error}")
        answer = data.decode("utf-8", "replace")
    if not answer.strip():
        return Reward(0.0, detail="no answer: " + (f"{graded.file} is blank" if graded.file else "no last message"))
    if len(answer) > ANSWER_BYTES:
        return Reward(0.0, detail=f"an answer of {len(answer):,} characters, over {ANSWER_BYTES:,}, is not read")
    try:
        grade = await graded.grader.grade(answer, timeout)
    except TimeoutError:
        return Reward(None, cause=Cause.VERIFIER_TIMEOUT, detail=f"grading the answer took over {timeout:.6g} s")
    return Reward(grade.reward, detail=grade.note, output=grade.output)


async def tidy(sandbox: Sandbox, task: Task) -> None:
    """Take away what the verifier brought and left, for an agent that acts in the sandbox again."""
    rewards = {posixpath.dirname(path) for path in _reward_files(task)} - {"/", ""}
    places = [shlex.quote(path) for path in sorted({*_places(task), *rewards})]
    again = " ".join(shlex.quote(path) for path in sorted(rewards))
    command = f"rm -rf -- {' '.join(places)}" + (f"; mkdir -p -- {again}; chmod a+rwx {again}" if again else "")
    await sandbox.exec(command, timeout=PREPARE_SECONDS, cwd="/", user="0")


def _places(task: Task) -> list[str]:
    """What the verifier's files stand in, once they are copied in; nothing where the image has them."""
    targets = [target for _, target in task.verifier.files()]
    place = posixpath.commonpath(targets) if targets else "/"
    return targets if place == "/" else [place]


def _clear(task: Task) -> str:
    """A command that removes what stands in the verifier's place, and makes the rewards' folders for anyone to write.

    Where nothing stands there, which is nearly always, the shell sees that itself and starts no program.
    """
    rewards = _reward_files(task)
    folders = sorted({posixpath.dirname(path) for path in rewards} - {"/", ""})
    # Without root a folder without the right to write cannot be emptied before it is given that right.
    commands = [
        f"{_is_there(path)} && {{ rm -rf -- {path} || {{ [ -L {path} ] || chmod -R u+rwx -- {path}; rm -rf -- {path}; }}; }}"
        for path in map(shlex.quote, (*rewards, *_places(task)))
    ]
    for folder in map(shlex.quote, folders):
        # A folder of loose files may be the agent's own work: only what is no folder is removed.
        commands.append(
            f"if [ -d {folder} ] && [ ! -L {folder} ]; then chmod a+rwx {folder}; "
            f"else {_is_there(folder)} && rm -rf -- {folder}; mkdir -p -m a+rwx -- {folder}; fi"
        )
    return "; ".join(commands)


def _is_there(quoted: str) -> str:
    """A shell's test whether anything stands at a path, be it a link that leads nowhere."""
    return f"{{ [ -e {quoted} ] || [ -L {quoted} ]; }}"


async def _is_gone(sandbox: Sandbox, place: str) -> bool:
    """Whether nothing stands at `place`, or an empty folder: one that a volume is mounted on stays."""
    found = await _read(sandbox, place)
    if found is None or "is a directory" not in str(found):
        return found is None or "not a directory" in str(found)
    listed = await sandbox.exec(f"ls -A -- {shlex.quote(place)}", timeout=PREPARE_SECONDS, cwd="/", user="0")
    return listed.exit_code == 0 and not listed.stdout and not listed.stderr


def _reward_files(task: Task) -> tuple[str, ...]:
    return task.reward.paths if isinstance(task.reward, RewardFiles) else ()


async def _read(sandbox: Sandbox, path: str) -> bytes | SandboxFileError | None:
    """A reward file; `None` where there is none, the error where there is something else."""
    try:
        return await sandbox.read(path, max_bytes=REWARD_BYTES)
    except SandboxFileError as error:
        return None if "no such file" in str(error).lower() else error


def parse_reward(
    data: bytes, *, json_object: bool, key: str = "reward", scale: Scale | None = None
) -> tuple[float, Mapping[str, float]]:
    """A reward in 0..1 and the named rewards, from a reward file (Harbor's reward.json and reward.txt).

    An object gives its entry of the name `key`; where that is `reward`, a single entry of any name will do. What else it holds
    may be any finite number. With a scale the reward may be any too, and is among the named ones as the verifier gave it.

    Raises Unreadable, OffScale.
    """
    name, value, named = _counted(data, json_object=json_object, key=key)
    if scale is not None:
        return scale.share(value), {name: value, **named}
    if not 0.0 <= value <= 1.0:
        raise OffScale(name, value)
    return value, named


def _counted(data: bytes, *, json_object: bool, key: str) -> tuple[str, float, Mapping[str, float]]:
    """The name and the number of what counts, which is finite; and all that was named."""
    try:
        text = data.decode("utf-8").strip()
    except UnicodeDecodeError:
        raise Unreadable("not UTF-8") from None
    if not text:
        raise Unreadable("is empty")
    if not json_object:
        try:
            return "reward", _number("reward", float(text)), {}
        except ValueError as error:
            if isinstance(error, Unreadable):
                raise
            problem = f"not a number: {text[:80]!r}; a reward is one from 0 to 1, such as 0.5"
            raise Unreadable(problem) from None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise Unreadable(f"not JSON: {text[:80]!r}") from None
    if isinstance(value, dict):
        named = {str(name): _number(str(name), entry) for name, entry in value.items()}
        if key == "reward" and len(named) == 1:
            key = next(iter(named))
        if key in named:
            return key, named[key], named
        hint = "; [verifier] reward_key chooses one" if len(named) > 1 else ""
        raise Unreadable(f"no entry named `{key}` among {', '.join(named) or 'none'}{hint}")
    return key, _number(key, value), {}


# One `=` before it, not all: a search for a run of them begins anew at each of its characters, quadratic in what an agent prints.
_SUMMARY = re.compile(r"=\s*short test summary info\s*=+", re.IGNORECASE)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_PASSED = {"PASSED": True, "SKIPPED": True, "XFAIL": True, "FAILED": False, "XPASS": False, "ERROR": False}
"""Skipped and expected to fail count as passed, as Terminal-Bench counts them."""


def parse_summary(output: str) -> Mapping[str, bool]:
    """Tests and whether each passed, from what a verifier printed: everything after pytest's first short test summary.

    So a summary that the agent's own work printed cannot hide the true one, which follows it. Where one name has two lines the
    later one counts. Terminal-Bench calls a summary without any test resolved; here it is no reward. Raises Unreadable.
    """
    _, *after = _SUMMARY.split(_COLOUR.sub("", output), maxsplit=1)
    if not after:
        raise Unreadable("printed no pytest short test summary")
    results: dict[str, bool] = {}
    for line in after[0].splitlines():
        # pytest adds " - " and the reason to a failed test; the name itself may hold one.
        words = (line.rpartition(" - ")[0] or line if line.startswith("FAILED") else line).split(maxsplit=1)
        status = words[0].strip(":") if len(words) == 2 else ""
        if status in _PASSED:
            results[words[1].strip().partition("::")[2] or words[1].strip()] = _PASSED[status]
    if not results:
        raise Unreadable("printed a pytest short test summary without a test; it needs pytest's -rA")
    return results


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unreadable(f"{name} is not a number: {json.dumps(value)[:80]}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise Unreadable(f"{name} is {number:g}, not a finite number")
    return number


def parse_verdict(output: str, verdict: MarkedVerdict) -> bool:
    """Whether a trial passed, from what a verifier printed: what stands between its first and its last mark.

    Raises Unreadable where the marks are missing, as where the verifier could not fetch what it needs.
    """
    start, end = (f"{verdict.name} results {which} here" for which in ("starts", "ends"))
    _, found, rest = output.partition(start)
    said, ended, _ = rest.rpartition(end)
    if not found or not ended:
        raise Unreadable(f"printed no verdict between {start!r} and {end!r}")
    return said.strip() == verdict.passed
