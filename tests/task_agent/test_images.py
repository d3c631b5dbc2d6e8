"""Images are made ready before trials, each once; one that cannot be had errors its own tasks and no other."""

from __future__ import annotations

import asyncio
import io
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

import pytest

from lorimer.benchmarks.base import Task
from lorimer.errors import ImageError, PrerequisiteError, SandboxError
from lorimer.meta_agent.workspace.events import ImageReady
from lorimer.sandbox.base import BuiltImage, ImageSpec, Owner, PulledImage, SandboxRequest
from lorimer.sandbox.docker.image.images import BUILD_ATTEMPTS
from lorimer.sandbox.docker.provider import DockerProvider
from lorimer.sandbox.fake import FakeProvider
from lorimer.task_agent.check import check_tasks
from lorimer.task_agent.scheduling.images import AT_ONCE, ImagePreparer, ImageReport
from lorimer.task_agent.scheduling.local import Local
from lorimer.task_agent.scheduling.scheduler import Scheduler
from lorimer.task_agent.trial import Machine
from lorimer.terminal.live import Terminal
from lorimer.traces.schema import PlannedTrial, Stage, StepKind, TrialState
from tests.support.trials import Remembering, local_scheduler, make_task, script


class Engine(FakeProvider):
    """Knows how many images it makes at once, and which it cannot make."""

    def __init__(self, **broken: Exception) -> None:
        super().__init__()
        self._broken = broken
        self.asked: list[str] = []
        self.at_once = self.most = 0

    async def prepare(self, spec: ImageSpec) -> str:
        assert isinstance(spec, PulledImage)
        self.asked.append(spec.name)
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await asyncio.sleep(0.01)
        self.at_once -= 1
        if spec.name in self._broken:
            raise self._broken[spec.name]
        return spec.name

    async def image_bytes(self, image: str) -> int | None:
        return 1_000_000


def tasks_on(folder: Path, *images: str) -> list[Task]:
    return [make_task(folder, name=f"task-{number}", image=PulledImage(image)) for number, image in enumerate(images)]


async def test_each_image_is_made_once_and_reported(tmp_path: Path) -> None:
    engine, reports = Engine(b=ImageError("no such image"), c=PermissionError("no way in")), list[ImageReport]()
    preparer = ImagePreparer(Local(Machine(engine, Remembering())).image, reports.append)
    tasks = tasks_on(tmp_path, "a", "b", "a", "c")
    await preparer.prepare([*tasks[:3], *tasks[:3]])
    assert sorted(engine.asked) == ["a", "b"]
    found = {report.tasks: (report.bytes, report.problem) for report in reports}
    assert found == {("task-0", "task-2"): (1_000_000, ""), ("task-1",): (None, "no such image")}
    assert [(report.done, report.of) for report in reports] == [(1, 2), (2, 2)]
    await preparer.prepare(tasks)
    assert (reports[-1].tasks, reports[-1].problem) == (("task-3",), "no way in")
    assert sorted(engine.asked) == ["a", "b", "c"]


async def test_many_images_are_made_a_few_at_once(tmp_path: Path) -> None:
    engine = Engine()
    await ImagePreparer(Local(Machine(engine, Remembering())).image, lambda report: None).prepare(
        tasks_on(tmp_path, *map(str, range(30)))
    )
    assert (len(engine.asked), engine.most) == (30, AT_ONCE)


async def test_images_of_a_kind_that_cannot_be_served_stop_everything(tmp_path: Path) -> None:
    engine = Engine(a=PrerequisiteError("no engine", "start one"))
    with pytest.raises(PrerequisiteError, match="start one"):
        await ImagePreparer(Local(Machine(engine, Remembering())).image, lambda report: None).prepare(
            tasks_on(tmp_path, "a", "b")
        )
    assert engine.at_once == 0


async def test_a_check_does_not_try_other_isolations_for_want_of_an_image(tmp_path: Path) -> None:
    engine = Engine(a=ImageError("no such image"))
    task = make_task(tmp_path, image=PulledImage("a"), solution=script(tmp_path, "solution", "true"))
    sink = Remembering()
    passes = list[str]()

    def scheduler(by: dict[str, Task]) -> Scheduler:
        passes.extend(each.isolation for each in by.values())
        return local_scheduler(engine, by.values(), sink)

    (found,) = await check_tasks(scheduler, "c", [task])
    assert found.problem == "oracle errored: image_build: no such image"
    assert passes == ["restart"]


@pytest.fixture
async def docker() -> AsyncIterator[DockerProvider]:
    provider = DockerProvider()
    yield provider
    await provider.close()


def context(folder: Path, dockerfile: str) -> BuiltImage:
    folder.mkdir(parents=True)
    (folder / "Dockerfile").write_text(dockerfile)
    return BuiltImage(folder)


@pytest.mark.docker
async def test_a_build_that_fails_errors_its_own_tasks_and_keeps_its_log(
    tmp_path: Path, docker: DockerProvider
) -> None:
    broken = context(tmp_path / "broken", f"FROM debian:bookworm\nRUN echo {tmp_path}; echo the-reason; exit 3\n")
    tasks = {
        "good": make_task(tmp_path, name="good", image=PulledImage("debian:bookworm")),
        "bad": make_task(tmp_path, name="bad", image=broken),
    }
    sink, reports = Remembering(), list[ImageReport]()
    scheduler = local_scheduler(docker, tasks.values(), sink, on_image=reports.append, concurrency=2, retries=2)
    plan = [PlannedTrial(f"s/e/{name}", "s", "s/e", Stage.BASELINE, "nop", name, 0, 0) for name in tasks]
    good, bad = await scheduler.run(plan, "")
    assert (good.state, good.reward) == (TrialState.SCORED, 1.0)
    assert (bad.state, bad.cause, bad.attempts) == (TrialState.ERRORED, "image_build", 3)
    logs = [step.text for step in sink.steps if step.kind is StepKind.ERROR]
    assert len(logs) == 3
    assert all("the-reason" in log for log in logs)
    problems = {report.tasks: report.problem for report in reports}
    assert problems[("good",)] == ""
    assert "the image build failed" in problems[("bad",)]


@pytest.mark.docker
async def test_a_build_that_keeps_failing_is_not_tried_for_ever(tmp_path: Path, docker: DockerProvider) -> None:
    spec = context(tmp_path / "context", f"FROM debian:bookworm\nRUN echo {tmp_path} && date +%N && false\n")
    logs = []
    for _ in range(BUILD_ATTEMPTS + 2):
        with pytest.raises(ImageError, match="the image build failed") as caught:
            await docker.prepare(spec)
        logs.append(caught.value.log)
    # Each real build prints another time; a remembered one prints the last's.
    assert len(set(logs)) == BUILD_ATTEMPTS


@pytest.mark.docker
async def test_built_images_are_removed_on_demand_and_built_again(tmp_path: Path, docker: DockerProvider) -> None:
    label = f"lorimer.test={tmp_path.name}-{time.time_ns()}"  # never all of this machine's: they are its user's cache
    dockerfile = f"FROM debian:bookworm\nLABEL {label}\nRUN head -c 3000000 /dev/urandom > /mark\n"
    image = await docker.prepare(spec := context(tmp_path / "context", dockerfile))
    size = await docker.image_bytes(image)
    assert size is not None
    assert size > 10_000_000
    sandbox = await docker.acquire(SandboxRequest(image, Owner("images", "held")))
    held = await docker._images.remove_labelled(label)
    assert (held.removed, held.kept) == (0, 1)
    await sandbox.close()
    for _ in range(600):
        gone = await docker._images.remove_labelled(label)
        if not gone.kept:
            break
        await asyncio.sleep(0.1)
    assert (gone.removed, gone.kept) == (1, 0)
    assert gone.bytes > 0
    assert (await docker._images.remove_labelled(label)).removed == 0
    assert await docker.prepare(spec) == image
    assert (await docker._images.remove_labelled(label)).removed == 1
    # Removed behind the provider's back: this sandbox cannot be made, the next attempt builds the image.
    with pytest.raises(SandboxError):
        await docker.acquire(SandboxRequest(image, Owner("images", "late")))
    assert await docker.prepare(spec) == image
    assert (await docker._images.remove_labelled(label)).removed == 1


def said(mode: Literal["plain", "json"], *reports: ImageReport) -> str:
    stream = io.StringIO()
    with Terminal(mode, stream) as terminal:
        for report in reports:
            terminal.on_event(ImageReady(report))
    return stream.getvalue()


def test_a_terminal_says_how_far_images_are_their_size_and_what_failed() -> None:
    quick = ImageReport(("a", "b"), 1, 2, 0.1, 400_000_000)
    assert said("plain", quick, ImageReport(("c",), 2, 2, 0.2, 300_000_000)) == ""
    slow = ImageReport(("a", "b"), 1, 2, 70.0, 400_000_000)
    bad = ImageReport(("c",), 2, 2, 90.0, problem="the image build failed: exit 3")
    assert said("plain", slow, bad).splitlines() == [
        "  images 1/2, 1:10, a and 1 more has 0.40 GB",
        "  no image for c: the image build failed: exit 3",
        "  2 images in 1:30, the largest 0.40 GB",
    ]
    event = json.loads(said("json", bad))
    assert (event["event"], event["report"]["tasks"], event["report"]["of"]) == ("ImageReady", ["c"], 2)
