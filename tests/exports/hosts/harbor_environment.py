"""An environment of Harbor on the `docker` command alone: Harbor's own needs the compose plugin."""

import asyncio
import subprocess
from pathlib import Path
from typing import Any

from harbor.environments.base import BaseEnvironment, ExecResult
from harbor.environments.capabilities import EnvironmentCapabilities


class DockerCommand(BaseEnvironment):
    """One container of the task's `docker_image`."""

    _container = ""

    @staticmethod
    def type() -> str:
        return "docker-command"

    @property
    def capabilities(self) -> EnvironmentCapabilities:
        return EnvironmentCapabilities()

    def _validate_definition(self) -> None:
        assert self.task_env_config.docker_image

    async def start(self, force_build: bool) -> None:
        image = str(self.task_env_config.docker_image)
        done = await self._docker("run", "-d", "--init", "-w", "/app", image, "sleep", "infinity")  # which makes /app
        self._container = done.stdout.decode().strip()
        await self.exec("mkdir -p /logs/agent /logs/verifier /logs/artifacts /app /tests")

    async def stop(self, delete: bool) -> None:
        await self._docker("rm", "-f", self._container)

    async def exec(
        self,
        command: str,
        cwd: str | None = None,
        env: dict[str, str] | None = None,
        timeout_sec: int | None = None,
        user: str | int | None = None,
    ) -> ExecResult:
        names = [part for name, value in (self._merge_env(env) or {}).items() for part in ("-e", f"{name}={value}")]
        where = ["-w", cwd or self.task_env_config.workdir or "/app"]
        done = await self._docker("exec", *names, *where, self._container, "bash", "-c", command, check=False)
        # One stream of the two, as Harbor's own Docker environment gives it.
        return ExecResult(stdout=(done.stdout + done.stderr).decode("utf-8", "replace"), return_code=done.returncode)

    async def upload_file(self, source_path: Path | str, target_path: str) -> None:
        await self._docker("cp", str(source_path), f"{self._container}:{target_path}")

    async def upload_dir(self, source_dir: Path | str, target_dir: str) -> None:
        await self.exec(f"mkdir -p {target_dir}")
        await self._docker("cp", f"{source_dir}/.", f"{self._container}:{target_dir}")

    async def download_file(self, source_path: str, target_path: Path | str) -> None:
        await self._docker("cp", f"{self._container}:{source_path}", str(target_path))

    async def download_dir(self, source_dir: str, target_dir: Path | str) -> None:
        await self._docker("cp", f"{self._container}:{source_dir}/.", str(target_dir))

    async def _docker(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[bytes]:
        def call() -> Any:
            done = subprocess.run(["docker", *arguments], capture_output=True, check=False)
            if check and done.returncode:
                raise RuntimeError(done.stderr.decode("utf-8", "replace").strip())
            return done

        return await asyncio.to_thread(call)
