"""Exported winners in fresh virtual environments, without lorimer: on a recorded trial's answers they end as the trial did."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import venv
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from lorimer.exports.targets import harbor, inspect
from lorimer.exports.trajectories import Selection
from lorimer.exports.write import write
from lorimer.exports.wrote import export
from tests.exports.elsewhere import NO_LORIMER, host, python_of, ran
from tests.exports.recorded import CHECK, FAILED, INSTRUCTION, SOLVED, conversation, recorded, solved
from tests.exports.test_targets import won
from tests.exports.test_trajectories import fill
from tests.support.scripted_server import Reply, scripted_server

HOSTS = Path(__file__).parent / "hosts"
VALIDATOR = Path(__file__).parents[2] / "tools" / "validate_atif.py"
WITHOUT = "tests/exports/test_trajectories.py and test_hosted.py hold to Harbor's rules without it"
IMAGE = "python:3.12-slim"

BOTH = pytest.mark.parametrize(("answers", "reward"), [(SOLVED, 1.0), (FAILED, 0.0)], ids=["solved", "failed"])
Answers = tuple[dict[str, Any], ...]


@pytest.fixture
async def bare(tmp_path: Path) -> Path:
    """The Python of a virtual environment in which there is nothing."""
    python = tmp_path / "venv" / "bin" / "python"
    await asyncio.to_thread(venv.create, tmp_path / "venv", symlinks=True)
    await ran(python, "-I", "-c", NO_LORIMER, environment={}, folder=tmp_path)
    return python


@pytest.fixture(scope="module")
def with_inspect(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One with Inspect, and with what it asks compatible endpoints by: the lowest version that will do and our own, so that a
    release of theirs fails no run."""
    lowest = [need.replace(">=", "==") for need in inspect.NEEDS]
    packages = [*lowest, f"openai=={version('openai')}"]
    return host(tmp_path_factory.mktemp("inspect") / "venv", Path(sys.executable), packages)


@pytest.fixture(scope="module")
def with_harbor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One with Harbor, which needs a newer Python than lorimer."""
    return host(tmp_path_factory.mktemp("harbor") / "venv", python_of(12, WITHOUT), harbor.NEEDS)


@pytest.mark.bubblewrap
@BOTH
async def test_a_standalone_winner_ends_as_its_recorded_trial(
    tmp_path: Path, bare: Path, answers: Answers, reward: float
) -> None:
    found = await recorded(tmp_path, *answers)
    assert found.trial.reward == reward
    folder, job = tmp_path / "winner", tmp_path / "job"
    write(found.winner, "standalone", folder)
    job.mkdir()
    environment = {"PATH": os.environ["PATH"]}
    async with scripted_server(*map(Reply, found.said)) as server:
        told = ("--task", INSTRUCTION, "--model", "local/model", "--base-url", f"{server.url}/v1", "--json")
        out = await ran(bare, folder / "run.py", *told, environment=environment, folder=job)
        asked = tuple(map(conversation, server.bodies))
    # It asks the model the same, word for word, so its commands printed the same.
    assert asked == found.asked
    ended = json.loads(out)
    assert (ended["answer"], ended["calls"]) == (found.trial.answer, found.trial.model_calls)
    assert ended["tokens"] == found.trial.input_tokens + found.trial.output_tokens
    assert solved(job) == (reward == 1.0)
    await ran(bare, folder / "run.py", "--check", environment=environment, folder=job)


@pytest.mark.parametrize(("target", "module"), [("inspect", "inspect_agent"), ("harbor", "harbor_agent")])
async def test_what_an_agent_of_another_program_runs_on_is_whole_without_lorimer(
    tmp_path: Path, bare: Path, target: str, module: str
) -> None:
    """The quick part of the two tests below: all but the other program itself."""
    folder = tmp_path / "winner"
    write(await won(tmp_path), target, folder)
    loads = (
        f"import sys; sys.path.insert(0, sys.argv[1]); from lorimer.exports.runtime import {module}, settings, solving; "
        "from pathlib import Path; folder = Path(sys.argv[1]); settings.read(folder); solving.load_harness(folder); "
        f"compile((folder / 'winner_{target}.py').read_text(), 'winner', 'exec')"
    )
    await ran(bare, "-c", loads, folder, environment={}, folder=tmp_path)


@pytest.mark.slow  # Inspect's packages take half a minute to install
@pytest.mark.bubblewrap
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("answers", "reward"),
    [pytest.param(SOLVED, 1.0, id="solved"), pytest.param(FAILED, 0.0, id="failed", marks=pytest.mark.hostile)],
)
async def test_a_winner_in_inspect_ends_as_its_recorded_trial(
    tmp_path: Path, with_inspect: Path, answers: Answers, reward: float
) -> None:
    found = await recorded(tmp_path, *answers)
    write(found.winner, "inspect", tmp_path / "winner")
    shutil.copy(HOSTS / "inspect_task.py", tmp_path)
    async with scripted_server(*map(Reply, found.said)) as server:
        await ran(
            with_inspect.parent / "inspect", "eval", "inspect_task.py",
            "-T", f"instruction={INSTRUCTION}", "-T", f"check={CHECK}",
            "--solver", "winner/winner_inspect.py@winner", "--model", "openai-api/local/model",
            "--log-dir", "log", "--log-format", "json", "--display", "plain",
            environment={
                "PATH": os.environ["PATH"], "HOME": str(tmp_path),
                "LOCAL_BASE_URL": f"{server.url}/v1", "LOCAL_API_KEY": "none",
            },
            folder=tmp_path,
        )  # fmt: skip
        asked = [body["messages"] for body in server.bodies]
    (file,) = (tmp_path / "log").glob("*.json")
    log = json.loads(file.read_text(encoding="utf-8"))
    assert log["status"] == "success"
    score = log["samples"][0]["scores"]["held"]
    assert (score["value"], score["answer"]) == (found.trial.reward, found.trial.answer)
    assert found.trial.reward == reward
    # Inspect writes the requests itself, and describes tools in more words.
    assert asked == [each["messages"] for each in found.asked]


@pytest.mark.hostile  # Harbor's packages take up to three minutes to install
@pytest.mark.bubblewrap
@pytest.mark.docker
@pytest.mark.skipif(shutil.which("docker") is None, reason="no `docker` command")
@pytest.mark.timeout(1800)
@BOTH
async def test_a_winner_in_harbor_ends_as_its_recorded_trial(
    tmp_path: Path, with_harbor: Path, answers: Answers, reward: float
) -> None:
    found = await recorded(tmp_path, *answers)
    write(found.winner, "harbor", tmp_path / "winner")
    files = {
        "task.toml": f'version = "1.0"\n[environment]\ndocker_image = "{IMAGE}"\n',
        "instruction.md": INSTRUCTION,
        "environment/Dockerfile": f"FROM {IMAGE}\n",
        "tests/test.sh": f"cd /app; {CHECK}; echo $((1 - $?)) > /logs/verifier/reward.txt\n",
    }
    for name, text in files.items():
        path = tmp_path / "one" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    async with scripted_server(*map(Reply, found.said)) as server:
        await ran(
            with_harbor.parent / "harbor", "run", "-p", "one", "-a", "winner_harbor:Winner", "-m", "local/model",
            "--ak", f"endpoint={server.url}/v1", "-e", "harbor_environment:DockerCommand", "-o", "jobs", "-y", "-q",
            environment={
                **os.environ, "HOME": str(tmp_path), "PYTHONPATH": f"{tmp_path / 'winner'}:{HOSTS}",
                "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it asks the network for prices
            },
            folder=tmp_path,
        )  # fmt: skip
        asked = tuple(map(conversation, server.bodies))
    (trial,) = (tmp_path / "jobs").glob("*/one__*")
    result = json.loads((trial / "result.json").read_text(encoding="utf-8"))
    assert result["verifier_result"]["rewards"] == {"reward": found.trial.reward}
    assert found.trial.reward == reward
    assert asked == found.asked
    trajectory = json.loads((trial / "agent" / "trajectory.json").read_text(encoding="utf-8"))
    assert trajectory["steps"][-1]["message"] == found.trial.answer
    # Of the trial in Harbor and of the recorded one.
    export(found.reader, Selection(found.reader.study("demo")), "atif", str(tmp_path / "atif"))
    for folder in ("atif", trial / "agent"):
        said = await ran(with_harbor, VALIDATOR, folder, environment={}, folder=tmp_path)
        assert said == "1 of 1 trajectories are valid\n"


@pytest.mark.hostile
@pytest.mark.timeout(1800)
async def test_harbors_validator_takes_every_trajectory(tmp_path: Path, with_harbor: Path) -> None:
    """With pictures, sub-agents, shortened conversations and errored trials."""
    reader = await fill(tmp_path / "traces.db")
    export(reader, Selection(reader.study("s")), "atif", str(tmp_path / "atif"))
    said = await ran(with_harbor, VALIDATOR, tmp_path / "atif", environment={}, folder=tmp_path)
    assert said == "4 of 4 trajectories are valid\n"
