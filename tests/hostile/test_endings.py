"""Every hostile harness ends as the table says, and the trial after it is unharmed."""

from __future__ import annotations

from pathlib import Path

import pytest

from lorimer.sandbox.base import SandboxLimits, SandboxProvider
from lorimer.traces.schema import TrialState
from tests.hostile.endings import ENDINGS, Ending
from tests.hostile.leftovers import left_behind
from tests.support.trials import MIXED, REAL, make_task, open_provider, play, solve

AFTER = solve("return env.exec('echo fine').stdout")


def hosts(folder: Path) -> list[str]:
    """What an agent would change that got out: a file of the host's, a switch of the kernel's."""
    secret = folder / "secret"
    if not secret.exists():
        secret.write_text("the host's")
    return [secret.read_text(), Path("/proc/sys/kernel/core_pattern").read_text()]


async def meets(provider: SandboxProvider, ending: Ending, folder: Path) -> None:
    limits = SandboxLimits(cpus=1, memory_mb=256, storage_mb=64, pids=64)
    secret, before = folder / "secret", hosts(folder)
    task = make_task(folder / ending.name, limits=limits, instruction=f"There is a file: {secret}")
    played = await play(
        provider,
        task,
        ending.harness,
        limits={"seconds": ending.seconds, "calls": ending.calls},
        jail={"memory_mb": 256, **dict(ending.jail)},
    )
    end = played.end
    assert end.cause in ending.causes, (ending.name, end)
    # Its own doing, so it scores; this verifier gives 1 to whoever gets that far.
    assert (end.state, end.reward) == (TrialState.SCORED, 1.0), (ending.name, end)
    assert ending.detail in end.detail, (ending.name, end.detail)
    assert not ending.answer or end.answer == ending.answer, (ending.name, end)
    assert hosts(folder) == before


async def unharmed(provider: SandboxProvider, folder: Path) -> None:
    after = await play(provider, make_task(folder / "after"), AFTER)
    assert (after.end.cause, after.end.answer, after.end.reward) == ("finished", "fine\n", 1.0), after.end


@pytest.mark.bubblewrap
async def test_quick_endings_are_as_documented_and_the_next_trial_is_unharmed(tmp_path: Path) -> None:
    provider = open_provider("bubblewrap")
    for ending in ENDINGS:
        if not ending.slow:
            await meets(provider, ending, tmp_path)
    await unharmed(provider, tmp_path)
    await provider.close()
    assert await left_behind(provider) == []


@pytest.mark.parametrize("name", [pytest.param("docker", marks=pytest.mark.docker), MIXED])
async def test_some_endings_in_docker(name: str, tmp_path: Path) -> None:
    """One of each kind; the hostile suite has them all."""
    provider = open_provider(name)
    for ending in ENDINGS:
        if ending.name in ("deep_json", "zombies", "path_tricks"):
            await meets(provider, ending, tmp_path)
    await unharmed(provider, tmp_path)
    await provider.close()
    assert await left_behind(provider) == []


@pytest.mark.hostile
@pytest.mark.parametrize("name", [*REAL, MIXED])
@pytest.mark.parametrize("ending", ENDINGS, ids=lambda ending: ending.name)
async def test_an_ending_is_as_documented_and_the_next_trial_is_unharmed(
    name: str, ending: Ending, tmp_path: Path
) -> None:
    provider = open_provider(name)
    try:
        await meets(provider, ending, tmp_path)
        await unharmed(provider, tmp_path)
    finally:
        await provider.close()
    assert await left_behind(provider) == []
