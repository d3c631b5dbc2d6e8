"""What a workspace has: settings, a harness that starts, a repository to commit to, a benchmark, and keys that stay private."""

from __future__ import annotations

import shlex
import shutil
import time
from pathlib import Path

from lorimer.config.settings import FILE_NAME, Config, load
from lorimer.doctor.findings import Finding, by_hand, command, edit, failed, one_line
from lorimer.doctor.fixes import benchmark_fix, split_fix
from lorimer.errors import ConfigError, LorimerError, PrerequisiteError, UserError
from lorimer.harness import outside, version
from lorimer.keys import DOTENV
from lorimer.meta_agent.workspace.repository import Workspace
from lorimer.scaffold import git_ignores, git_tracks
from lorimer.wording import count


def settings(root: Path) -> tuple[Config | None, Finding]:
    """lorimer.toml, and what it says where it can be read."""
    path = root / FILE_NAME
    if not path.exists():
        make = "lorimer init" if root == Path() else shlex.join(["lorimer", "init", str(root)])
        return None, Finding("workspace", "warning", f"no {FILE_NAME} in {root.resolve()}", make)
    try:
        return load(path), Finding("workspace", "ok", str(path))
    except LorimerError as error:
        return None, failed("workspace", error, by_hand(root, f"in {path}: put that right, as said above"))


def harness(root: Path, config: Config) -> tuple[str | None, list[Finding]]:
    """The harness as a text, the program, and whether promotions can be committed; the text is `None` where it is no harness."""
    workspace = Workspace(root, config.study.harness, config.study.program)
    findings = []
    text = None
    try:
        text = workspace.read_harness()
        version.check(text, max_bytes=config.meta.max_harness_bytes)
        findings.append(_committed(workspace))
        if said := outside.told(str(workspace.harness_path), text):
            instead = (
                f"in {workspace.harness_path}: env's calls in their place (docs/harness.md, Bringing your own agent)"
            )
            findings.append(Finding("harness", "warning", said, by_hand(root, instead)))
    except LorimerError as error:
        text = None
        findings.append(failed("harness", error, back(workspace, config)))
    try:
        workspace.read_program()
    except UserError as error:
        findings.append(failed("program", error, by_hand(root, f"save {root / config.study.program} as UTF-8")))
    return text, findings


def back(workspace: Workspace, config: Config) -> str:
    """What to do about a harness that is none: correct it, or take the committed one where that is better."""
    correct = f"correct it in {workspace.harness_path}"
    committed = workspace.committed_harness()
    if committed is None:
        return by_hand(workspace.root, correct)
    try:
        version.check(committed, max_bytes=config.meta.max_harness_bytes)
    except LorimerError:
        log = shlex.join(["git", "-C", str(workspace.root), "log", "--oneline", "--", config.study.harness])
        return f"{correct}; its earlier versions are listed by: {log}"
    return f"{correct}, or go back to the committed one: {workspace.go_back()}"


def _committed(workspace: Workspace) -> Finding:
    """Whether a study could begin with the harness as it is. `lorimer run` takes it committed or not."""
    if shutil.which("git") is None:  # which is a finding of its own
        return Finding("harness", "ok", str(workspace.harness_path))
    try:
        workspace.check()
    except UserError as error:
        return failed("harness", error, "", "warning")
    except LorimerError as error:
        return failed("harness", error, "")
    return Finding("harness", "ok", str(workspace.harness_path))


async def jail(root: Path, config: Config, text: str, *, other: str) -> Finding:
    """Whether the harness can be loaded where it will run.

    Args:
        text: the harness.
        other: another sandbox provider that works here; "" where there is none.
    """
    from lorimer.harness.version import why_not_started
    from lorimer.meta_agent.workspace.engines import open_provider
    from lorimer.sandbox.base import Owner
    from lorimer.task_agent.trial import dry_start

    name, began = config.study.harness, time.monotonic()
    elsewhere = edit(root, "sandbox", f'provider = "{other}"') if other else ""
    try:
        provider = await open_provider(config)
        try:
            problem = await dry_start(provider, config, text, Owner("doctor", "dry-start"))
        finally:
            await provider.close()
    except LorimerError as error:
        found = failed("jail", error, elsewhere or command(root, "doctor"))
        both = " - or ".join(dict.fromkeys(fix for fix in (found.fix, elsewhere) if fix))
        return Finding(found.what, found.level, found.said, both)
    if problem:
        workspace = Workspace(root, name, config.study.program)
        said = f"{name} does not start: {one_line(why_not_started(problem))}"
        return Finding("jail", "missing", said, back(workspace, config))
    return Finding("jail", "ok", f"{name} starts in {time.monotonic() - began:.1f} s")


def dotenv(root: Path) -> Finding:
    """Whether git or other users of this machine could read the keys in `.env`."""
    path = root / DOTENV
    if not path.is_file():
        return Finding(".env", "ok", "none here; keys may be put there, one NAME=VALUE per line")
    if shutil.which("git"):
        ignore = f"echo {DOTENV} >> {shlex.quote(str(root / '.gitignore'))}"
        if git_tracks(root, DOTENV):
            said = "git has it: whoever reads the repository reads the keys; have them replaced"
            fix = f"{shlex.join(['git', '-C', str(root), 'rm', '--cached', DOTENV])} && {ignore}"
            return Finding(".env", "warning", said, fix)
        if not git_ignores(root, DOTENV):
            return Finding(".env", "warning", "git does not ignore it: a commit could take keys along", ignore)
    if path.stat().st_mode & 0o077:
        fix = f"chmod 600 {shlex.quote(str(path))}"
        return Finding(".env", "warning", "other users of this machine can read it", fix)
    return Finding(".env", "ok", "ignored by git, readable by you alone")


def benchmark(root: Path, config: Config, used: str = "") -> Finding:
    """Whether there are tasks, some left to train on, and none that the sandboxes which would be used can never serve."""
    from lorimer.benchmarks.split import split
    from lorimer.meta_agent.workspace.suite import load_suite
    from lorimer.sandbox.bubblewrap.provider import BubblewrapProvider
    from lorimer.task_agent.served import check_served

    try:
        suite = load_suite(root, config)
    except ConfigError as error:
        return failed("benchmark", error, benchmark_fix(root, config, error))
    except LorimerError as error:
        return failed("benchmark", error, command(root, "doctor"))
    try:
        sides = split(suite.tasks, config.split, config.study.seed, base=root)
    except ConfigError as error:
        return failed("benchmark", error, split_fix(root, config, error))
    if used == "bubblewrap":  # the only one that cannot serve whatever a task asks for
        try:
            check_served(BubblewrapProvider(network="none" if config.sandbox.network == "none" else None), suite.tasks)
        except PrerequisiteError as error:
            return failed("benchmark", error, "")
    said = f"{suite.name}: {count(len(suite.tasks), 'task')}"
    if suite.problems:
        unread = f"{said}, {len(suite.problems)} cannot be read"
        return Finding("benchmark", "warning", unread, command(root, "benchmarks", "ls"))
    kept = f", {len(sides.test)} for the test" if sides.test else ""
    return Finding("benchmark", "ok", f"{said}, {len(sides.holdout)} of them sealed{kept}")
