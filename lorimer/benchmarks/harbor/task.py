"""One task folder of the Harbor format, as a Task."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from lorimer.benchmarks import _files
from lorimer.benchmarks.base import Artifact, Healthcheck, Hook, Part, RewardFiles, Script, Task, VerifierSandbox
from lorimer.benchmarks.compose.reader import LOGS, Compose, read_compose
from lorimer.benchmarks.compose.values import Rules
from lorimer.benchmarks.harbor import toml
from lorimer.benchmarks.harbor.hosts import Reach, reach
from lorimer.benchmarks.harbor.variables import HostVariables, resolve
from lorimer.errors import TaskError
from lorimer.sandbox.base import BuiltImage, ImageSpec, PulledImage, SandboxLimits
from lorimer.scale import Scale

_CANARY = re.compile(r"(<!--.*canary.*-->|#.*canary.*)", re.IGNORECASE)
_LOCAL = "lorimer-main"
_TEST, _SOLVE = "/tests/test.sh", "/solution/solve.sh"
_FOLDERS = ("/logs/agent", "/logs/artifacts")
"""Harbor makes them for every task; that of the verifier is made before it runs."""
_COMPOSE = "docker-compose.yaml"
"""The one name that Harbor looks for. A docker-compose.yml is a file like another: tasks about compose bring one."""


class HarborTask:
    """Reads one task.

    Args:
        id: the task's.
        folder: of the task.
        settings: its task.toml.
        host: variables that `${VAR}` takes its values from.
        ignored: what `.harborignore` files leave out, relative to the folder.
    """

    def __init__(
        self,
        id: str,
        folder: Path,
        settings: toml.TaskToml,
        host: HostVariables,
        ignored: frozenset[str],
    ) -> None:
        self._id, self._folder, self._settings = id, folder, settings
        self._host, self._ignored = host, ignored
        self._compose = Compose(None)
        self._without = frozenset(folder / path for path in ignored)

    def read(
        self, entries: Sequence[_files.TaskFile], image: ImageSpec | None, workspace: tuple[str, str] | None
    ) -> Task:
        """The task. Raises TaskError.

        Args:
            entries: all files of the folder.
            image: what it runs on instead of its own.
            workspace: a folder of the task and where its files go, with such an image.
        """
        settings, id_ = self._settings, self._id
        environment = settings.environment
        env = resolve(id_, "environment.env", environment.env, self._host, "agent").env
        self._compose = self._read_compose(env) if image is None else Compose(image)
        task = Task(
            id=id_,
            instruction="" if settings.steps else self._instruction("instruction.md"),
            image=self._compose.image or self._image(environment),
            verifier=self._shared_verifier(),
            limits=self._compose.limits(_limits(environment)),
            agent_timeout=settings.agent.timeout_sec or Task.agent_timeout,
            workdir=environment.workdir or self._compose.workdir,
            start=self._compose.start,
            group=self._compose.group,
            env={**self._compose.env, **env},
            user=_user(settings.agent.user) or self._compose.user,
            healthcheck=_healthcheck(environment.healthcheck),
            workspace=self._loose(environment) if workspace is None else self._given(*workspace),
            difficulty=_word(settings.metadata.get("difficulty")),
            category=_word(settings.metadata.get("category")),
            source_id=_word(settings.metadata.get("source_id")),
            folders=_FOLDERS if image is None else (),
            digest=_files.digest(id_, self._folder, [each for each in entries if each.path not in self._ignored]),
        )
        if not settings.steps:
            self._refuse_trajectory("trajectory.json")
            task = self._with_verifier(task, settings.verifier, settings.artifacts, None)
            return dataclasses.replace(task, solution=self._solution("solution", settings.agent.timeout_sec))
        parts = tuple(self._part(task, at, step) for at, step in enumerate(settings.steps))
        return dataclasses.replace(
            task,
            # All of them, so that near-equal tasks are found; a harness sees one at a time.
            instruction="\n\n".join(part.task.instruction for part in parts),
            verifier=parts[-1].task.verifier,
            parts=parts,
            reward_of=settings.multi_step_reward_strategy or "mean",
            # What the agent started lives on from part to part, as in Harbor; no verifier comes into its sandbox.
            isolation="fresh",
        )

    def _part(self, task: Task, at: int, step: toml.StepTable) -> Part:
        settings, base = self._settings, f"steps/{step.name}"
        if not (self._folder / base).is_dir():
            raise TaskError(self._id, base, "is missing")
        if at == 0:
            self._refuse_trajectory(f"{base}/trajectory.json")
        seconds = step.agent.timeout_sec or settings.agent.timeout_sec
        workdir = f"{base}/workdir"
        workspace: tuple[tuple[Path, str], ...] = ()
        if (self._folder / workdir).is_dir() and any((self._folder / workdir).iterdir()):
            workspace = ((self._folder / workdir, task.workdir or "."),)
        setup = f"{workdir}/setup.sh"
        _files.runnable(self._id, self._folder, setup)
        part = dataclasses.replace(
            task,
            instruction=self._instruction(f"{base}/instruction.md"),
            agent_timeout=seconds or Task.agent_timeout,
            user=task.user if step.agent.user is None else _user(step.agent.user),
            healthcheck=_healthcheck(step.healthcheck),
            workspace=workspace,
            solution=self._solution(f"{base}/solution", seconds) or self._solution("solution", seconds),
        )
        part = self._with_verifier(part, step.verifier, [*settings.artifacts, *step.artifacts], step)
        least = step.min_reward
        return Part(
            step.name,
            part,
            setup="bash ./setup.sh" if (self._folder / setup).is_file() else "",
            at_least={} if least is None else {"reward": least} if isinstance(least, int | float) else dict(least),
        )

    # The verifier

    def _shared_verifier(self) -> Script:
        source = self._folder / "tests"
        return Script(source, "/tests", _started(_TEST), 0.0, program=_TEST, without=self._without)

    def _with_verifier(
        self,
        task: Task,
        verifier: toml.VerifierTable,
        artifacts: Sequence[toml.ArtifactTable],
        step: toml.StepTable | None,
    ) -> Task:
        """The task, or part of one, with how it is verified."""
        above = self._settings.verifier
        for key, service in [
            *((f"artifacts: {each.source}", each.service) for each in artifacts),
            *((f"[verifier] collect: {each.command}", each.service) for each in (*above.collect, *verifier.collect)),
        ]:
            names = () if task.group is None else tuple(each.name for each in task.group.services)
            if service not in (None, "main", *names):
                raise TaskError(self._id, key, f"there is no service {service!r}")
        mode = verifier.mode or above.mode
        separate, bundled, passed = self._separate(task, step) if mode == "separate" else (None, False, {})
        given = resolve(self._id, "verifier.env", above.env, self._host, "verifier")
        env, passed = {**given.env}, {**passed, **given.passed}
        if step is not None:
            given = resolve(self._id, f"steps.{step.name}.verifier.env", verifier.env, self._host, "verifier")
            env, passed = {**env, **given.env}, {**passed, **given.passed}
        scale = above.scale if verifier.scale is None else verifier.scale
        hooks = [*(above.collect if step is not None else ()), *verifier.collect]
        script = dataclasses.replace(
            self._bundled_verifier() if bundled else self._verifier(step),
            timeout=verifier.timeout_sec,
            env=env,
            passed=passed,
            user=_user(above.user if verifier.user is None else verifier.user) or self._compose.user,
        )
        return dataclasses.replace(
            task,
            verifier=script,
            separate=separate,
            artifacts=tuple(Artifact(each.source, tuple(each.exclude), each.service or "main") for each in artifacts),
            hooks=tuple(Hook(each.command, each.service, each.timeout_sec, _user(each.user)) for each in hooks),
            isolation="fresh" if separate or artifacts else task.isolation,
            reward=RewardFiles(scale=None if scale is None else Scale.of(scale)),
        )

    def _bundled_verifier(self) -> Script:
        return Script(None, "/tests", _started(_TEST), 0.0, program=_TEST)

    def _verifier(self, step: toml.StepTable | None) -> Script:
        """What is uploaded: `tests/`, and over it the step's own."""
        folders = ["tests", *([] if step is None else [f"steps/{step.name}/tests"])]
        there = [name for name in folders if (self._folder / name).is_dir()]
        if not any((self._folder / name / "test.sh").is_file() for name in there):
            name = f"{folders[-1]}/test.sh"
            raise TaskError(self._id, name, _files.missing(self._folder, name))
        for name in there:
            self._required(f"{name}/test.sh")
            _files.runnable(self._id, self._folder, f"{name}/test.sh")
        first, *more = (self._folder / name for name in there)
        return dataclasses.replace(
            self._shared_verifier(), source=first, extra=tuple((folder, "/tests") for folder in more)
        )

    def _separate(self, task: Task, step: toml.StepTable | None) -> tuple[VerifierSandbox, bool, Mapping[str, str]]:
        """The verifier's own sandbox, whether its image holds the tests already, and which variables its verifier is passed.

        The image is the step's, the task's, or what the folder of the tests builds; else one like the agent's.
        """
        settings = self._settings
        tables = (
            [] if step is None else [(step.verifier.environment, f"steps/{step.name}/tests", f"steps.{step.name}.")]
        )
        tables.append((settings.verifier.environment, "tests", ""))
        own = next((environment for environment, _, _ in tables if environment is not None), None)
        config = own or settings.environment
        key = next((f"{prefix}verifier.environment.env" for given, _, prefix in tables if given), "environment.env")
        given = resolve(self._id, key, config.env, self._host, "agent" if own is None else "verifier")
        limits = _limits(config)
        for phase in (settings.verifier, *([] if step is None else [step.verifier])):
            if phase.network_mode is not None:
                limits = _leading(limits, reach(phase.network_mode, phase.allowed_hosts))
        sandbox = VerifierSandbox(
            image=task.image,
            limits=limits,
            workdir=config.workdir,
            env=given.env,
            healthcheck=_healthcheck(config.healthcheck),
        )
        for environment, folder, _ in tables:
            if environment is not None and environment.docker_image:
                return dataclasses.replace(sandbox, image=PulledImage(environment.docker_image)), True, given.passed
            if (self._folder / folder / _COMPOSE).exists():
                raise TaskError(self._id, f"{folder}/{_COMPOSE}", "a verifier of several containers is not supported")
            if (self._folder / folder / "Dockerfile").is_file():
                built = BuiltImage(self._folder / folder, build_timeout=config.build_timeout_sec)
                return dataclasses.replace(sandbox, image=built), True, given.passed
        like_the_agents = dataclasses.replace(sandbox, workspace=self._loose(settings.environment), group=task.group)
        return like_the_agents, False, given.passed

    # Files

    def _instruction(self, name: str) -> str:
        text = _without_canary(_files.read_text(self._id, self._folder, name))
        if not text.strip():
            raise TaskError(self._id, name, "is empty")
        return text

    def _solution(self, name: str, seconds: float | None) -> Script | None:
        if not (self._folder / name / "solve.sh").is_file():
            # Passed over, it would go unsaid that nobody has checked the verifier.
            if _files.in_other_letters(self._folder, f"{name}/solve.sh"):
                raise TaskError(self._id, f"{name}/solve.sh", _files.missing(self._folder, f"{name}/solve.sh"))
            return None
        self._required(f"{name}/solve.sh")
        _files.runnable(self._id, self._folder, f"{name}/solve.sh")
        return Script(
            source=self._folder / name,
            target="/solution",
            command=_started(_SOLVE),
            program=_SOLVE,
            # Harbor gives the oracle the agent's time.
            timeout=seconds or Task.agent_timeout,
            env=resolve(self._id, "solution.env", self._settings.solution.env, self._host, "solution").env,
            without=self._without,
        )

    def _image(self, environment: toml.EnvironmentTable) -> ImageSpec:
        context = self._folder / "environment"
        if environment.docker_image is not None:
            return PulledImage(environment.docker_image)
        if not (context / "Dockerfile").is_file():
            raise TaskError(self._id, "environment/Dockerfile", "is missing, and [environment] docker_image is not set")
        self._required("environment/Dockerfile")
        return self._built(BuiltImage(context), environment)

    def _built(self, image: BuiltImage, environment: toml.EnvironmentTable) -> BuiltImage:
        """An image with the task's time for building it, and without the files that are left out."""
        below = image.context.relative_to(self._folder).as_posix() + "/"
        without = frozenset(path.removeprefix(below) for path in self._ignored if path.startswith(below))
        return dataclasses.replace(image, build_timeout=environment.build_timeout_sec, without=without)

    def _read_compose(self, env: Mapping[str, str]) -> Compose:
        name = f"environment/{_COMPOSE}"
        if not (self._folder / name).exists():
            return Compose(None)
        environment = self._settings.environment
        rules = Rules("main", {**env, **_compose_variables(environment)}, "Harbor", frozenset({_LOCAL}))
        text = _files.read_text(self._id, self._folder, name)
        found = read_compose(self._id, self._folder / "environment", name, text, rules)
        if isinstance(found.image, BuiltImage):
            found = dataclasses.replace(found, image=self._built(found.image, environment))
        return found

    def _loose(self, environment: toml.EnvironmentTable) -> tuple[tuple[Path, str], ...]:
        """Beside a prebuilt image, what lies in environment/ goes where commands start, as in Harbor."""
        files = self._folder / "environment"
        described = any((files / name).exists() for name in ("Dockerfile", _COMPOSE))
        if environment.docker_image is None or described or not files.is_dir():
            return ()
        return ((files, environment.workdir or "."),) if any(files.iterdir()) else ()

    def _given(self, source: str, target: str) -> tuple[tuple[Path, str], ...]:
        if not (self._folder / source).is_dir():
            raise TaskError(self._id, source, "is missing")
        return ((self._folder / source, target),)

    def _required(self, name: str) -> None:
        if name in self._ignored:
            raise TaskError(self._id, name, "is left out by a .harborignore")

    def _refuse_trajectory(self, name: str) -> None:
        if (self._folder / name).exists():
            raise TaskError(self._id, name, "prior conversations are not supported")


def _started(script: str) -> str:
    """A command that runs a script by its own first line, as Harbor does; one without such a line is for bash."""
    return f"IFS= read -r line < {script}; case $line in '#!'*) exec {script};; *) exec bash {script};; esac"


def _compose_variables(environment: toml.EnvironmentTable) -> dict[str, str]:
    """What Harbor sets for a compose file. Log folders of the host are none here: services may share a volume of that name."""
    found = {"MAIN_IMAGE_NAME": _LOCAL, "CONTEXT_DIR": ".", "CPUS": str(environment.cpus or 1)}
    found["MEMORY"] = f"{environment.memory_mb or environment.memory or 2048}M"
    if environment.docker_image is not None:
        found["PREBUILT_IMAGE_NAME"] = environment.docker_image
    for name in ("verifier", "agent", "artifacts"):
        variable = "ARTIFACTS" if name == "artifacts" else f"{name.upper()}_LOGS"
        found[f"HOST_{variable}_PATH"] = f"{LOGS}{name}"
        found[f"ENV_{variable}_PATH"] = f"/logs/{name}"
    return found


def _limits(environment: toml.EnvironmentTable) -> SandboxLimits:
    limits = SandboxLimits(
        cpus=environment.cpus,
        memory_mb=environment.memory_mb or environment.memory,
        storage_mb=environment.storage_mb or environment.storage,
    )
    return _leading(limits, environment.reach)


def _leading(limits: SandboxLimits, to: Reach) -> SandboxLimits:
    """The limits with a network that leads there; a list without a host is no network."""
    return dataclasses.replace(limits, network=to != (), hosts=to or None)


def _user(value: str | int | None) -> str | None:
    return None if value is None else str(value)


def _healthcheck(table: toml.HealthcheckTable | None) -> Healthcheck | None:
    if table is None:
        return None
    return Healthcheck(
        table.command,
        interval=table.interval_sec,
        timeout=table.timeout_sec,
        start_period=table.start_period_sec,
        start_interval=table.start_interval_sec,
        retries=table.retries,
    )


def _without_canary(text: str) -> str:
    """Without the marker lines at the top that keep a suite out of training corpora; Harbor hides them from agents too."""
    lines = text.split("\n")
    while lines and _CANARY.fullmatch(lines[0].strip()):
        lines.pop(0)
        while lines and not lines[0].strip():
            lines.pop(0)
    return "\n".join(lines)


def _word(value: object) -> str:
    """Free metadata where it is a word or a number; anything else says nothing."""
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
