"""`lorimer ab`: the gate on two files, without a search.

It is a study like any other, of kind `ab`: the first file is its seed harness, the second its only candidate, and the one stage
is the full run, the seed harness side by side with the candidate. So its trials are read, resumed and verified like all others.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from lorimer.config.settings import FILE_NAME, Config, read
from lorimer.errors import HarnessError, UserError
from lorimer.harness import version
from lorimer.harness.version import hunks_between, sha
from lorimer.meta_agent.gate.design import Design, too_small
from lorimer.meta_agent.state.names import candidate_id
from lorimer.meta_agent.state.result import StudyResult
from lorimer.meta_agent.study import campaign, loop
from lorimer.meta_agent.study.checking import valid
from lorimer.meta_agent.workspace.parts import create
from lorimer.meta_agent.workspace.repository import Workspace
from lorimer.meta_agent.workspace.session import next_name, open_session
from lorimer.meta_agent.workspace.watching import Watcher, tell_outside, tell_place, tell_problems
from lorimer.traces.tables import Candidate

KIND = "ab"


@dataclass(frozen=True)
class TwoFiles:
    """Two harnesses that are to be compared."""

    a: str
    """The path of the one that holds unless the other is better."""
    a_text: str
    b: str
    b_text: str


def checked(files: TwoFiles, config: Config) -> TwoFiles:
    """The same files. Raises UserError where both hold the same, HarnessError where one is no harness."""
    if files.a_text == files.b_text:
        raise UserError(f"{files.a} and {files.b} hold the same harness; there is nothing to compare")
    for name, text in ((files.a, files.a_text), (files.b, files.b_text)):
        try:
            version.check(text, max_bytes=config.meta.max_harness_bytes)
        except HarnessError as error:
            raise HarnessError(f"{name}: {error}") from None
    return files


def settings_of(config: Config, files: TwoFiles, repeats: int | None) -> Config:
    """The settings of such a study: those of the workspace, with both files side by side.

    A policy that pools has nothing to pool here, so the proven one stands for it. No run ends because a gain is unlikely by then:
    who compares two files asks how far apart they are, not only whether the second is better.
    """
    policy = "paired" if config.gate.policy == "pooled" else config.gate.policy
    gate = config.gate.model_copy(
        update={
            "policy": policy,
            "champion": "interleaved",
            "futility": 0.0,
            "repeats": config.gate.repeats if repeats is None else repeats,
        }
    )
    study = config.study.model_copy(update={"harness": str(Path(files.a).absolute()), "name": "", "continues": ""})
    return config.model_copy(update={"gate": gate, "study": study})


def refuse_too_small(config: Config, tasks: list[str]) -> None:
    """Raises UserError where no outcome could tell the files apart."""
    why = too_small(Design.of(config), tasks)
    if why:
        raise UserError(f"these tasks can tell too little, whatever the files do: {why.removeprefix(NO_EDIT)}")


NO_EDIT = "no edit can be promoted: "


async def compare(root: Path, config: Config, files: TwoFiles, watcher: Watcher) -> StudyResult:
    """Run two files side by side on every task of the benchmark, and decide.

    Args:
        config: as `settings_of` makes it.

    Raises UserError, ConfigError, PrerequisiteError, HarnessError, SandboxError.
    """
    said = read(root / FILE_NAME)
    workspace = Workspace(root, config.study.harness, config.study.program)
    async with open_session(root, config, watcher=watcher) as session:
        tell_place(root, watcher)
        suite = session.load_suite()
        tell_problems(suite, watcher)
        for name, text in ((files.a, files.a_text), (files.b, files.b_text)):
            tell_outside(name, text, watcher)
            await campaign.starts(session, text, config, name)
        suite = await valid(session, suite, watcher)
        refuse_too_small(config, [task.id for task in suite.tasks])
        study = next_name(session.reader, KIND)
        rival = Candidate(
            id=candidate_id(study, 1),
            study=study,
            number=1,
            parent=sha(files.a_text),
            harness=sha(files.b_text),
            title=files.b,
            edit=[dataclasses.asdict(hunk) for hunk in hunks_between(files.a_text, files.b_text)],
            fixes=[],
            at_risk=[],
            state="proposed",
            origin="human",
        )
        await create(
            session.store,
            study=study,
            kind=KIND,
            suite=suite,
            holdout=(),
            config=session.config,
            harness=files.a_text,
            lorimer_toml=said,
            rival=(rival, files.b_text),
        )
        parts = campaign.parts_of(session, study, suite.tasks, workspace, watcher, said)
        return await loop.compare(dataclasses.replace(parts, workspace=None), study)
