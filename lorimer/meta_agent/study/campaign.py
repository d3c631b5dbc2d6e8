"""One function for each thing that a user starts: run a harness, optimise it, go on."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lorimer.benchmarks import integrity
from lorimer.benchmarks.base import Isolation, Suite, Task
from lorimer.benchmarks.canary import canaries
from lorimer.benchmarks.split import Split, grown, split
from lorimer.config.settings import FILE_NAME, Config, parse_stored, read
from lorimer.config.store import keep_of
from lorimer.errors import HarnessError, NoSuchTask, UserError
from lorimer.harness import version
from lorimer.keys import Keys
from lorimer.meta_agent.gate.design import Design, too_small
from lorimer.meta_agent.ledger import continued
from lorimer.meta_agent.state.result import StudyResult
from lorimer.meta_agent.study import keeping, loop
from lorimer.meta_agent.study.answering import known_there
from lorimer.meta_agent.study.checking import valid
from lorimer.meta_agent.study.people.beside import others_at_work
from lorimer.meta_agent.study.ran import RunReport, report_of
from lorimer.meta_agent.study.takeover import take_over
from lorimer.meta_agent.workspace import known
from lorimer.meta_agent.workspace.engines import open_provider
from lorimer.meta_agent.workspace.events import BudgetUsed, BudgetWarning, ModelNoted, NotifyFailed, VerifierNoted
from lorimer.meta_agent.workspace.notify import Notice, NoticeSubject
from lorimer.meta_agent.workspace.parts import StudyParts, create
from lorimer.meta_agent.workspace.repository import Workspace
from lorimer.meta_agent.workspace.session import Session, next_name, open_session, scrub_for, upgrade_store
from lorimer.meta_agent.workspace.settings import resumed
from lorimer.meta_agent.workspace.watching import Watcher, tell_outside, tell_place, tell_problems, tellers
from lorimer.meta_agent.workspace.where import has_store, store_at
from lorimer.models.base import CallContext, ModelReply, ModelRequest
from lorimer.sandbox.base import Owner, RemovedImages
from lorimer.sandbox.select import described
from lorimer.task_agent.outcome import TrialOutcome
from lorimer.task_agent.verdict.verifiers import VERIFIERS
from lorimer.traces.base import StudyReader
from lorimer.traces.reading.reader import StoreReader
from lorimer.traces.tables import StudyRow
from lorimer.wording import a

WORK: Mapping[str, Callable[[StudyParts, str], Awaitable[StudyResult]]] = {
    "run": loop.evaluate,
    "optimize": loop.optimize,
    "ab": loop.compare,
}
"""What runs a study of each kind to its end, and goes on with it."""

DRY = "dry-start"
"""Whose the jail of a dry start is, before there is a study."""


async def run(
    root: Path, config: Config, watcher: Watcher, *, only: tuple[str, ...] = (), repeats: int = 1, test: bool = False
) -> RunReport:
    """Run the workspace's harness on the benchmark, or on the tasks of `only`, `repeats` times each.

    Args:
        test: run the test side of the latest study instead.

    Raises ConfigError, PrerequisiteError, HarnessError, SandboxError.
    """
    began, said = time.monotonic(), _said(root)
    if test:
        upgrade_store(root)
        only = _test_side(root, only)
    config = config.model_copy(update={"gate": config.gate.model_copy(update={"champion_repeats": repeats})})
    workspace = Workspace(root, config.study.harness, config.study.program)
    harness = workspace.read_harness()
    async with open_session(root, config, watcher=watcher) as session:
        tell_place(root, watcher)
        suite = session.load_suite(only)
        tell_problems(suite, watcher)
        tell_outside(config.study.harness, harness, watcher)
        await starts(session, harness, config)
        suite = await valid(session, suite, watcher)
        study = next_name(session.reader, "run")
        await create(
            session.store,
            study=study,
            kind="run",
            suite=suite,
            holdout=(),
            config=session.config,
            harness=harness,
            lorimer_toml=said,
        )
        result = await loop.evaluate(parts_of(session, study, suite.tasks, workspace, watcher, said), study)
        report = report_of(session.reader, result, time.monotonic() - began)
    await _drop_old(root, config, watcher)
    return report


def _test_side(root: Path, only: tuple[str, ...]) -> tuple[str, ...]:
    """Ids of the tasks that the latest study kept for later. Raises UserError where it kept none."""
    if only:
        raise UserError("run --test: names its tasks by itself; leave out " + ", ".join(only))
    studies: list[StudyRow] = []
    if has_store(root):
        with StoreReader(store_at(root)) as reader:
            studies = [study for study in reader.studies() if study.kind == "optimize"]
            kept = tuple(row.id for row in reader.tasks(studies[-1].id, split="test")) if studies else ()
    if not studies:
        raise UserError(f"run --test: {root}: there is no study; `lorimer optimize` starts one")
    if not kept:
        raise UserError(
            f"run --test: study {studies[-1].id} has no test side; set [split] test or test_file before one begins"
        )
    return kept


# ---- optimising -----------------------------------------------------------------------------------------------------


async def optimize(root: Path, config: Config, watcher: Watcher, *, prefer_bubblewrap: bool = False) -> StudyResult:
    """Start a new study in a workspace and run it to its end.

    Raises ConfigError, PrerequisiteError, HarnessError, UserError (the study's name is taken), SandboxError.
    """
    said = _said(root)
    workspace = Workspace(root, config.study.harness, config.study.program)
    workspace.check()
    harness = workspace.read_harness()
    async with open_session(root, config, prefer_bubblewrap=prefer_bubblewrap, watcher=watcher) as session:
        tell_place(root, watcher)
        suite = session.load_suite()
        tell_problems(suite, watcher)
        tell_outside(config.study.harness, harness, watcher)
        await starts(session, harness, config)
        if session.meta_model is not None and session.meta_model is not session.task_model:
            await known_there(session.meta_model, watcher)
        suite = await valid(session, suite, watcher)
        sides = _sides(session.reader, suite, config, harness, root)
        taking_part = {*sides.train, *sides.holdout, *sides.test}
        suite = dataclasses.replace(suite, tasks=tuple(task for task in suite.tasks if task.id in taking_part))
        # As late as can be: another process may begin a study in this workspace while this one checks its tasks.
        study = config.study.name or next_name(session.reader, "study")
        await create(
            session.store,
            study=study,
            kind="optimize",
            suite=suite,
            holdout=sides.holdout,
            test=sides.test,
            config=session.config,
            harness=harness,
            canaries=canaries(config.study.canaries),
            lorimer_toml=said,
        )
        tasks = (*suite.tasks, *canaries(config.study.canaries))
        watcher.say(
            f"study {study}: {len(sides.train)} train tasks and {len(sides.holdout)} sealed ones"
            f"{f' and {len(sides.test)} for the test' if sides.test else ''} of {suite.name}, "
            f"{config.models.task} with {config.meta_model} as meta model, {described(session.provider)}"
        )
        if sides.test and config.split.test is None and config.split.test_file is None:
            watcher.say(
                f"no trial of this study runs on its {len(sides.test)} tasks for the test, for a figure at the end that the "
                "search cannot have touched; [split] test = 0 searches on all tasks"
            )
        _tell_others(session, study, workspace, watcher)
        if config.gate.error == "study" and config.gate.policy in ("paired", "eprocess"):
            watcher.say(
                f'gate.error = "study" under policy {config.gate.policy} finds next to nothing at gains of 4 points: it is for '
                'gains of 10 and more; policy "pooled" finds some of them (docs/gate.md)'
            )
        hopeless = too_small(Design.of(config), sides.train)
        if hopeless:
            watcher.say(f"warning: {hopeless}; `lorimer power` tells more")
        found = await loop.optimize(parts_of(session, study, tasks, workspace, watcher, said), study)
    await _drop_old(root, config, watcher)
    return found


def _sides(reader: StudyReader, suite: Suite, config: Config, harness: str, root: Path) -> Split:
    if not config.study.continues:
        return split(suite.tasks, config.split, config.study.seed, base=root)
    kept = continued.sides(reader, config.study.continues, harness)
    return grown(suite.tasks, config.split, config.study.seed, kept, base=root)


async def resume(
    root: Path,
    watcher: Watcher,
    study: str | None = None,
    overrides: Mapping[str, object] | None = None,
    *,
    over: bool = False,
) -> StudyResult:
    """Go on with a study, the latest if none is named, in the store of this lorimer or of an older one.

    The study keeps the settings that it began with; `settings.MAY_CHANGE` says which of them lorimer.toml or `overrides` may
    change. With `over` it is taken from a process on a machine of another name that shows no sign of life. Raises UserError when
    there is no study, when another setting or a task has changed since, or when another process runs it; PrerequisiteError
    where the sandbox that it began on does not work.
    """
    file = root / FILE_NAME
    now = read(file)
    if not has_store(root):
        raise _nothing_to_resume(root)
    upgrade_store(root)
    with StoreReader(store_at(root)) as reader:
        found = reader.study(study) if study else _latest(reader, root)
    if found.kind not in WORK:
        raise UserError(f"{found.id} is {a(found.kind)}, which is not resumed; start it again")
    scrub = scrub_for(parse_stored(found.config, found.id), Keys.open(root))
    settings = resumed(found, file, now, overrides or {}, scrub)
    config = settings.config
    for remark in settings.remarks:
        watcher.say(remark)
    workspace = Workspace(root, config.study.harness, config.study.program)
    if over:
        await take_over(root, found)
    async with open_session(root, config, resumes=found.id, watcher=watcher) as session:
        tell_place(root, watcher)
        tasks = same_tasks(session, found.id)
        if found.kind == "optimize":
            _tell_others(session, found.id, workspace, watcher)
        parts = dataclasses.replace(
            parts_of(session, found.id, tasks, workspace, watcher, now), found=parse_stored(found.config, found.id)
        )
        result = await WORK[found.kind](parts, found.id)
    await _drop_old(root, config, watcher)
    return result


async def _drop_old(root: Path, config: Config, watcher: Watcher) -> None:
    """Nothing is open any more, and the study is let go: whoever drops steps of a store runs nothing in it."""
    keep, database = keep_of(config.store.keep), store_at(root)
    if not keep.everything:
        with StoreReader(database) as reader:
            await asyncio.to_thread(keeping.at_end, database, reader, keep, watcher.say)


def _tell_others(session: Session, study: str, workspace: Workspace, watcher: Watcher) -> None:
    said = others_at_work(session.reader.studies(), study, workspace.side_branch(study))
    if said:
        watcher.say(f"warning: {said}")


def _latest(reader: StudyReader, root: Path) -> StudyRow:
    found = reader.latest_study()
    if found is None:
        raise _nothing_to_resume(root)
    return found


def _nothing_to_resume(root: Path) -> UserError:
    return UserError(f"{root}: there is no study to resume; `lorimer optimize` starts one")


def same_tasks(session: Session, study: str) -> tuple[Task, ...]:
    """The study's tasks from the benchmark as it is now. Raises UserError where that is not what it was."""
    rows = {row.id: row for row in session.reader.tasks(study)}
    own = tuple(name for name, row in rows.items() if row.split != "canary")
    try:
        suite = session.load_suite(own)
    except NoSuchTask as error:
        raise _not_the_same(error.names[0], "is gone", study) from None
    tasks = {task.id: task for task in (*suite.tasks, *canaries(len(rows) - len(own)))}
    unread = {problem.task: f"cannot be read any more ({problem.key}: {problem.problem})" for problem in suite.problems}
    for name, row in rows.items():
        if name not in tasks or tasks[name].digest != row.digest:
            raise _not_the_same(name, "has changed" if name in tasks else unread.get(name, "is gone"), study)
    isolations: dict[str, Isolation] = {"restart": "restart", "same": "same", "fresh": "fresh"}
    return tuple(dataclasses.replace(tasks[name], isolation=isolations[row.isolation]) for name, row in rows.items())


def _not_the_same(task: str, what: str, study: str) -> UserError:
    return UserError(f"task {task} {what} since study {study} began", "restore it, or start a new study")


def _watch_files(session: Session, study: str, tasks: Sequence[Task]) -> Callable[[], Awaitable[str]]:
    """Says what changed in the benchmark since `tasks` were read: the files' times first, and their hashes where those differ."""
    seen = integrity.signature(tasks)

    async def intact() -> str:
        nonlocal seen
        now = await asyncio.to_thread(integrity.signature, tasks)
        paths = integrity.changed(seen, now)
        if not paths:
            return ""
        try:
            await asyncio.to_thread(same_tasks, session, study)
        except UserError as error:
            return f"{error} ({paths[0]})"
        seen = now  # touched, and the same bytes
        return ""

    return intact


@dataclass(frozen=True)
class Garbage:
    """What `lorimer gc` removed."""

    removed: int
    """Containers and folders of dead processes."""
    images: RemovedImages | None = None


async def collect_garbage(config: Config, *, images: bool = False) -> Garbage:
    """Remove what dead lorimer processes left behind; with `images`, the task images that lorimer built as well."""
    provider = await open_provider(config)
    try:
        return Garbage(await provider.reap(), await provider.remove_images() if images else None)
    finally:
        await provider.close()


# ---- shared ---------------------------------------------------------------------------------------------------------


def parts_of(
    session: Session,
    study: str,
    tasks: Sequence[Task],
    workspace: Workspace,
    watcher: Watcher,
    lorimer_toml: Mapping[str, object],
) -> StudyParts:
    """What the loop works with in an open session. Raises UserError where the direction cannot be read."""
    assert session.meta_model is not None
    workspace.read_program()  # to refuse at once what no proposal could read
    budget = session.budget(
        study,
        lambda bound, percent: watcher.on_event(BudgetWarning(bound, percent)),
        lambda about, said: watcher.on_event(VerifierNoted(said) if about == VERIFIERS else ModelNoted(about, said)),
    )
    on_trial, on_image = tellers(watcher)
    meta = session.metered(session.meta_model, budget)

    saved = session.reader.spent(study).saved

    def used() -> None:
        spent = budget.certain
        watcher.on_event(BudgetUsed(spent.usd, spent.known_usd, spent.unknown, spent.tokens, budget.left, saved))

    def on_paid_trial(outcome: TrialOutcome) -> None:
        nonlocal saved
        saved += outcome.saved
        used()
        on_trial(outcome)

    async def complete(request: ModelRequest, context: CallContext, *, owner: str, began: float) -> ModelReply:
        reply = await meta.complete(request, context, owner=owner, began=began)
        used()
        return reply

    notifier = session.notifier

    def failed(said: str) -> None:
        watcher.on_event(NotifyFailed(said))

    def ring(notice: Notice, about: NoticeSubject) -> None:
        if notifier is not None:
            notifier.ring(notice, about, failed)

    if notifier is not None:
        notifier.check(failed)
    used()
    trials = session.scheduler({task.id: task for task in tasks}, budget, on_paid_trial, on_image)

    def tuned(config: Config) -> None:
        budget.bind(config.budget)
        trials.resize(config.sandbox.concurrency)
        used()

    return StudyParts(
        store=session.store,
        reader=session.reader,
        trials=trials,
        complete=complete,
        config=session.config,
        lorimer_toml=lorimer_toml,
        workspace=workspace,
        intact=_watch_files(session, study, tasks),
        program=workspace.read_program,
        progress=watcher,
        abilities=known.stored(session.reader, session.meta_model),
        shadows=session.provider,
        scrub=session.scrub,
        tuned=tuned,
        ring=ring if notifier is not None else None,
    )


async def starts(session: Session, harness: str, config: Config, name: str = "") -> None:
    """A dry start, before there is a study. Raises HarnessError where the harness is not one, before anything is spent on it and
    before tasks are checked, which may take hours.

    Args:
        name: its file; the workspace's own where none is given.
    """
    version.check(harness, max_bytes=config.meta.max_harness_bytes)
    trials = session.scheduler({}, session.budget(DRY), lambda outcome: None, lambda report: None)
    problem = await trials.dry_start(harness, Owner(DRY, DRY))
    if problem:
        raise HarnessError(f"{name or config.study.harness} does not start: {version.why_not_started(problem)}")


def _said(root: Path) -> dict[str, object]:
    """What lorimer.toml says while a study begins; nothing where there is none."""
    return read(root / FILE_NAME) if (root / FILE_NAME).exists() else {}
