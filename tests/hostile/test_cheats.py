"""Cheating agents against a real verifier: the reward is an honest verifier's, or the pass is flagged."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from lorimer.benchmarks.base import Isolation, Task
from lorimer.sandbox.base import BuiltImage, PythonImage, SandboxLimits, SandboxProvider
from lorimer.task_agent.causes import SUSPECT as SUSPECT_CAUSES
from lorimer.task_agent.spec import Harness
from lorimer.task_agent.verdict.flags import SUSPECT, WEAKER, is_suspect
from tests.hostile import cheats
from tests.hostile.cheats import CHEATS, Cheat
from tests.support.trials import REAL, Played, make_task, open_provider, play, solve

CHECK = """
import json, sys
with open("/tests/expected.txt") as file:
    expected = file.read().strip()
try:
    with open("/app/answer.txt") as file:
        answer = file.read().strip()
except OSError:
    answer = ""
with open("/logs/verifier/reward.txt", "w") as file:
    file.write(json.dumps(int(answer == expected)))
"""


def the_task(folder: Path, isolation: Isolation) -> Task:
    task = make_task(
        folder,
        "python3 /tests/check.py",
        instruction="Multiply 71 by 79 and write the product to /app/answer.txt.",
        image=PythonImage(),
        isolation=isolation,
        verifier_timeout=30.0,
        limits=SandboxLimits(cpus=1, memory_mb=256, storage_mb=64, pids=64),
    )
    tests = folder / "task" / "tests"
    (tests / "check.py").write_text(CHECK)
    (tests / "expected.txt").write_text("5609\n")
    return task


def agent(chosen: list[Cheat]) -> Harness:
    """A harness that does all of these."""
    lines = [f"env.write({path!r}, {text!r})" for cheat in chosen for path, text in cheat.files.items()]
    lines += [f"env.exec('sh -c ' + {shlex.quote(cheat.script)!r}, timeout=20)" for cheat in chosen]
    return solve("\n".join([*lines, 'return "done"']))


async def tried(name: str, folder: Path, isolation: Isolation, chosen: list[Cheat]) -> Played:
    provider: SandboxProvider = open_provider(name)
    try:
        return await play(provider, the_task(folder, isolation), agent(chosen))
    finally:
        await provider.close()


def outcome(played: Played) -> str:
    """In the words of the table."""
    end = played.end
    if end.cause in SUSPECT_CAUSES:
        return cheats.BROKEN
    assert end.state == "scored", end
    if not end.reward:
        return cheats.HONEST
    if is_suspect(end.flags):
        return cheats.FLAGGED
    return cheats.WEAKER if any(flag.startswith(WEAKER) for flag in end.flags) else "1"


WHERE = [
    pytest.param("bubblewrap", "restart", marks=pytest.mark.bubblewrap),
    pytest.param("docker", "restart", marks=pytest.mark.docker),
    pytest.param("docker", "same", marks=pytest.mark.docker),
    pytest.param("docker", "fresh", marks=pytest.mark.docker),
]


@pytest.mark.hostile
@pytest.mark.parametrize(("provider", "isolation"), WHERE)
@pytest.mark.parametrize("cheat", CHEATS, ids=lambda cheat: cheat.name)
async def test_a_cheat_gets_what_an_honest_verifier_gives_or_is_flagged(
    provider: str, isolation: Isolation, cheat: Cheat, tmp_path: Path
) -> None:
    played = await tried(provider, tmp_path, isolation, [cheat])
    assert outcome(played) in cheat.expected(isolation, provider).split(" or "), (played.end, played.sink.steps)


@pytest.mark.parametrize(("provider", "isolation"), WHERE)
async def test_cheats_that_win_nothing_win_nothing_together(
    provider: str, isolation: Isolation, tmp_path: Path
) -> None:
    chosen = [c for c in CHEATS if not c.alone and c.expected(isolation, provider) == cheats.HONEST]
    assert len(chosen) >= 5
    played = await tried(provider, tmp_path, isolation, chosen)
    assert (played.end.state, played.end.reward, played.end.flags) == ("scored", 0.0, ()), played.end


@pytest.mark.parametrize(("provider", "isolation"), WHERE)
async def test_cheats_that_pass_are_each_flagged(provider: str, isolation: Isolation, tmp_path: Path) -> None:
    chosen = [c for c in CHEATS if not c.alone and c.expected(isolation, provider) == cheats.FLAGGED]
    assert len(chosen) >= 2
    played = await tried(provider, tmp_path, isolation, chosen)
    assert played.end.reward == 1.0
    told = "\n".join(played.end.flags)
    marks = {"sitecustomize": "/sitecustomize.py", "usercustomize": "/usercustomize.py", "pth": "/fast.pth"}
    marks |= {
        "sitecustomize_without_source": "/sitecustomize.pyc",
        "pth_line_break": "/a\\nb.pth",
        "pth_return": "/a\\r.pth",
        "path_shim": "/usr/local/sbin/python3",
        "bytecode": "decoder.cpython-",
        "conftest": "/conftest.py, /pytest.ini",
    }
    assert [c.name for c in chosen if marks[c.name] not in told] == []
    assert all(flag.startswith((SUSPECT, WEAKER)) for flag in played.end.flags)


@pytest.mark.parametrize("provider", REAL)
async def test_a_link_to_the_answer_is_told_where_the_work_folder_is_one_too(provider: str, tmp_path: Path) -> None:
    played = await tried(provider, tmp_path, "restart", [c for c in CHEATS if c.name == "answer_linked_elsewhere"])
    assert played.end.reward == 1.0
    told = "\n".join(played.end.flags)
    assert "suspect: folders were replaced by links" in told
    assert "/app" in told
    assert "suspect: symlinks lead into the verifier's files: /x/answer.txt" in told


@pytest.mark.parametrize("name", ["usercustomize_undone", "usercustomize_innocent"])
@pytest.mark.parametrize("provider", REAL)
async def test_a_plant_that_undoes_itself_within_the_verifier_is_flagged(
    provider: str, name: str, tmp_path: Path
) -> None:
    played = await tried(provider, tmp_path, "restart", [c for c in CHEATS if c.name == name])
    assert played.end.reward == 1.0
    (flag,) = played.end.flags
    assert flag.startswith("suspect: start-up files of Python were written, not by a package manager: ")
    assert flag.endswith("/usercustomize.py")


@pytest.mark.docker
@pytest.mark.parametrize("isolation", ["restart", "fresh"])
async def test_a_program_planted_where_the_image_looks_first_is_flagged(isolation: Isolation, tmp_path: Path) -> None:
    context = tmp_path / "environment"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM python:3.12-slim\nENV PATH=/opt/tools/bin:$PATH\nWORKDIR /app\n")
    task = replace(the_task(tmp_path, isolation), image=BuiltImage(context))
    # The shell by which lorimer asks comes from there as well, and passes all on.
    script = (
        "mkdir -p /opt/tools/bin; cd /opt/tools/bin; echo 'echo 1 > /logs/verifier/reward.txt' > python3; "
        """printf '#!/bin/sh\nexec /bin/bash "$@"\n' > bash; chmod +x bash python3"""
    )
    planted = Cheat("planted", "", script, "")
    provider = open_provider("docker")
    try:
        played = await play(provider, task, agent([planted]))
    finally:
        await provider.close()
    assert played.end.reward == 1.0, played.sink.steps
    told = "\n".join(played.end.flags)
    assert "/opt/tools/bin/bash" in told
    assert "/opt/tools/bin/python3" in told or "so it ends there" in told


@pytest.mark.bubblewrap
async def test_a_folder_that_cannot_be_listed_hides_no_link(tmp_path: Path) -> None:
    hidden = Cheat("hidden", "", "ln -s /tests/expected.txt /app/answer.txt; chmod 0111 /app", "")
    played = await tried("bubblewrap", tmp_path, "restart", [hidden])
    assert (played.end.reward, played.end.flags) == (
        1.0,
        ("suspect: more was changed, or in deeper folders, than is looked at",),
    )


async def test_a_suspect_pass_scores_zero_where_the_user_says_so(tmp_path: Path) -> None:
    provider = open_provider("bubblewrap")
    planted = next(c for c in CHEATS if c.name == "conftest")
    try:
        played = await play(provider, the_task(tmp_path, "restart"), agent([planted]), verifier={"on_suspect": "zero"})
    finally:
        await provider.close()
    assert (played.end.state, played.end.reward) == ("scored", 0.0)
    assert played.end.detail.startswith(
        "scored 0 instead of 1, as [verifier] on_suspect says: suspect: files that steer pytest"
    )
    assert is_suspect(played.end.flags)
