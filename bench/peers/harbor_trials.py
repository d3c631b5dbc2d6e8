"""Trials of Harbor in its Docker environment; prints seconds of wall time per trial. Runs in a Python that has harbor.

    python harbor_trials.py IMAGE TRIALS AT_ONCE CALLS EXECS [--kill]

The agent makes no model calls, which Harbor leaves to its agents: CALLS is not used. As shipped, a container's stop waits ten
seconds for a shell that does not heed SIGTERM; with `--kill` the task's compose file asks for SIGKILL.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from harbor.agents.base import BaseAgent
from harbor.environments.base import BaseEnvironment
from harbor.job import Job
from harbor.models.agent.context import AgentContext
from harbor.models.job.config import JobConfig

FILES = {
    "task.toml": """\
schema_version = "1.1"
[task]
name = "bench/overhead"
[agent]
timeout_sec = 600.0
[verifier]
timeout_sec = 600.0
[environment]
docker_image = "{image}"
cpus = 1
memory_mb = 256
allow_internet = true
""",
    "instruction.md": "Say hello.\n",
    "environment/Dockerfile": "FROM {image}\n",
    "tests/test.sh": "grep -q one /answer && echo 1 > /logs/verifier/reward.txt\n",
}
KILLED = "services:\n  main:\n    stop_signal: SIGKILL\n"


class Acts(BaseAgent):
    """Runs the commands."""

    @staticmethod
    def name() -> str:
        return "acts"

    def version(self) -> str:
        return "1"

    async def setup(self, environment: BaseEnvironment) -> None:
        return

    async def run(self, instruction: str, environment: BaseEnvironment, context: AgentContext) -> None:
        for _ in range(int(sys.argv[5])):
            await environment.exec("echo one > /answer; cat /answer")


def write_task(image: str, *, kill: bool) -> Path:
    """The task, in the folder that is the current one."""
    folder = Path("overhead").absolute()
    for name, text in (FILES | ({"environment/docker-compose.yaml": KILLED} if kill else {})).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("{image}", image))
    return folder


async def main() -> None:
    image, trials, at_once = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    task = write_task(image, kill="--kill" in sys.argv)
    # Harbor imports the agent by its name: by this file's own, from its folder.
    sys.path.insert(0, str(Path(__file__).parent))
    config = JobConfig.model_validate(
        {
            "jobs_dir": "jobs",
            "n_attempts": trials,
            "n_concurrent_trials": at_once,
            "quiet": True,
            "agents": [{"import_path": f"{Path(__file__).stem}:Acts"}],
            "tasks": [{"path": str(task)}],
        }
    )
    job = await Job.create(config)
    began = time.perf_counter()
    await job.run()
    seconds = time.perf_counter() - began
    rewards = [path.read_text().strip() for path in Path("jobs").rglob("reward.txt")]
    if rewards != ["1"] * trials:
        said = [path.read_text()[-600:] for path in Path("jobs").rglob("exception.txt")]
        raise SystemExit(f"harbor ended with the rewards {rewards}: {said[:1]}")
    print(seconds / trials)


if __name__ == "__main__":
    asyncio.run(main())
