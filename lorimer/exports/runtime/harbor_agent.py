"""A harness as an agent of Harbor: it runs in Harbor's process, and its commands in Harbor's environment. Harbor itself is not
imported here: the exported file makes a class of this one and of Harbor's `BaseAgent`.
"""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from lorimer.exports.runtime import hosted
from lorimer.exports.runtime.atif import LiveTrajectory
from lorimer.exports.runtime.model import HttpModel
from lorimer.exports.runtime.settings import FILE, Settings, endpoint, read, with_model

TRAJECTORY = "trajectory.json"
_OPTIONS = ("api", "key_env", "calls", "tokens", "seconds", "exec_seconds")
"""What `--ak NAME=VALUE` may set, beside `endpoint`."""


class Environment(Protocol):
    """What is asked of Harbor's environment."""

    async def exec(self, command: str, cwd: str | None = None, *, timeout_sec: int | None = None) -> Any: ...

    async def upload_file(self, source_path: Path | str, target_path: str) -> Any: ...

    async def download_file(self, source_path: str, target_path: Path | str) -> Any: ...


class HarborMachine(hosted.HostedMachine):
    """Harbor's environment."""

    def __init__(self, environment: Environment, loop: hosted.Loop, settings: Settings, deadline: float) -> None:
        super().__init__(loop, settings, deadline)
        self._environment = environment

    async def shell(self, text: str, seconds: float) -> str:
        """See HostedMachine."""
        done = await self._environment.exec(text, timeout_sec=int(seconds))
        return done.stdout or done.stderr or ""

    async def fetch(self, path: str) -> bytes:
        """See HostedMachine."""
        with tempfile.TemporaryDirectory() as folder:
            copied = Path(folder, "file")
            try:
                await self._environment.download_file(path, copied)
                return await asyncio.to_thread(copied.read_bytes)
            except (OSError, RuntimeError, ValueError) as error:  # environments raise what their engine does
                raise hosted.env_error(path, error) from None

    async def store(self, path: str, data: bytes) -> None:
        """See HostedMachine."""
        made = await self._environment.exec(f"mkdir -p -- {shlex.quote(str(PurePosixPath(path).parent))}")
        if made.return_code:
            raise hosted.env_error(path, OSError(made.stderr or made.stdout or "its folder cannot be made"))
        with tempfile.TemporaryDirectory() as folder:
            copied = Path(folder, "file")
            await asyncio.to_thread(copied.write_bytes, data)
            try:
                await self._environment.upload_file(copied, path)
            except (OSError, RuntimeError, ValueError) as error:
                raise hosted.env_error(path, error) from None


class HarborWinner:
    """What a class of Harbor's `BaseAgent` needs beside it to run the harness of `FOLDER`."""

    FOLDER: Path
    logs_dir: Path
    model_name: str | None
    session_id: str | None

    def __init__(self, logs_dir: Path, model_name: str | None = None, **options: Any) -> None:
        self._options = {name: options.pop(name) for name in ("endpoint", *_OPTIONS) if name in options}
        self._environment: Mapping[str, str] = {**os.environ, **(options.get("extra_env") or {})}
        super().__init__(logs_dir, model_name, **options)  # type: ignore[call-arg]  # Harbor's own class comes next

    @staticmethod
    def name() -> str:
        """Harbor's name for it."""
        return "lorimer-winner"

    def version(self) -> str:
        """Which winner of which study it is."""
        found = json.loads((self.FOLDER / FILE).read_text(encoding="utf-8"))
        return f"{found['study']}-{found['winner']}-{found['harness'][:12]}"

    async def setup(self, environment: Environment) -> None:
        """Nothing is installed in the environment."""

    async def run(self, instruction: str, environment: Environment, context: Any) -> None:
        """Solve a task, and leave a trajectory in the trial's logs, whatever ends it."""
        settings = self._settings()
        loop, until = hosted.Loop(), hosted.deadline(settings)
        model = HttpModel(settings, endpoint(settings, self._environment), until)
        trajectory = LiveTrajectory(instruction)
        model.on_call = trajectory.on_call
        machine = HarborMachine(environment, loop, settings, until)
        try:
            trajectory.ended(await hosted.solve(self.FOLDER, settings, instruction, loop, machine, model))
        finally:
            about = {"name": self.name(), "version": self.version(), "model_name": settings.model}
            value = trajectory.value(about, self.session_id)
            text = json.dumps(value, indent=2, ensure_ascii=False)
            (self.logs_dir / TRAJECTORY).write_text(text, encoding="utf-8", errors="replace")
            for name, data in trajectory.steps.pictures.items():
                (self.logs_dir / name).parent.mkdir(exist_ok=True)
                (self.logs_dir / name).write_bytes(data)
            used = value["final_metrics"]
            context.n_input_tokens = used["total_prompt_tokens"]
            context.n_output_tokens = used["total_completion_tokens"]
            context.n_cache_tokens = used["total_cached_tokens"]

    def _settings(self) -> Settings:
        settings = read(self.FOLDER)
        if self.model_name:
            settings = with_model(settings, self.model_name)
        given = dict(self._options)
        if "endpoint" in given:
            given["base_url"] = given.pop("endpoint")
        numbers = {"calls": int, "tokens": int, "seconds": float, "exec_seconds": float}
        return replace(settings, **{name: numbers.get(name, str)(value) for name, value in given.items()})
