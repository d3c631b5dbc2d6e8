"""Images: found, pulled or built once per content digest."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import io
import os
import shutil
import stat as stat_module
import tarfile
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from lorimer.errors import ImageError, PrerequisiteError
from lorimer.sandbox.base import BuiltImage, ImageSpec, PulledImage, PythonImage, RemovedImages
from lorimer.sandbox.docker.container import ImageFacts
from lorimer.sandbox.docker.engine import Engine, EngineError, NoAnswer
from lorimer.sandbox.docker.image import buildkit
from lorimer.sandbox.docker.image.buildkit import BuildKit
from lorimer.sandbox.docker.image.dockerfile import buildkit_needs
from lorimer.sandbox.docker.labels import IMAGE
from lorimer.sandbox.streams import HeadTail

T = TypeVar("T")

PULL_TIMEOUT = 1800.0
"""Seconds; benchmark images of several GB exist."""

LOG_LIMIT = 256 << 10
"""Bytes of a build's output that are kept."""

PACKAGES = "/opt/lorimer/packages"
"""Where a PythonImage has its packages."""

BUILD_ATTEMPTS = 2
"""One image is built so often in a process's life. A mirror may fail once; a Dockerfile that failed twice fails again, and
every trial of its tasks would wait for it anew."""

_BUILDS_AT_ONCE = 2
"""Builds are bound by disk and network; more at once starve the running trials' engine calls."""


class Images:
    """What `SandboxProvider.prepare` does for docker."""

    def __init__(self, engine: Engine, *, python_image: str, buildkit: BuildKit | None = None) -> None:
        self._engine = engine
        self._python_image = python_image
        self._building = asyncio.Semaphore(_BUILDS_AT_ONCE)
        self._work: dict[str, asyncio.Task[Any]] = {}
        self._facts: dict[str, ImageFacts] = {}
        self._buildkit = buildkit
        self._failed: dict[str, tuple[int, ImageError]] = {}

    async def prepare(self, spec: ImageSpec) -> str:
        """The name of an image that the engine now has. Raises ImageError, PrerequisiteError."""
        match spec:
            case PulledImage():
                return (await self.pulled(spec.name)).id
            case BuiltImage():
                digest = await asyncio.get_running_loop().run_in_executor(None, context_digest, spec)
                tag = f"lorimer-task:{digest[:32]}"
                return await self._once(tag, lambda: self._built(tag, spec))
            case PythonImage():
                try:
                    base = await self.pulled(self._python_image)
                except ImageError as error:
                    raise python_image_missing(self._python_image, "python_image", error) from error
                if not spec.packages:
                    return base.id
                context, digest = await asyncio.get_running_loop().run_in_executor(
                    None, python_context, self._python_image, base.id, spec.packages
                )
                tag = f"lorimer-python:{digest[:32]}"
                return await self._once(tag, lambda: self._python(tag, context))

    async def pulled(self, name: str) -> ImageFacts:
        """The image's facts; pulled if the engine does not have it. Raises ImageError."""
        if name in self._facts:
            return self._facts[name]
        return await self._once(name, lambda: self._pull(name))

    async def facts(self, image: str) -> ImageFacts:
        """Facts of an image that the engine has (asked once). Raises EngineError."""
        if image not in self._facts:
            found = await self._engine.call(
                f"inspect image {image}", lambda client: client.inspect_image(image), quick=True
            )
            config = found.get("Config") or {}
            env = dict(str(entry).partition("=")[::2] for entry in config.get("Env") or ())
            self._facts[image] = ImageFacts(
                image,
                str(config.get("WorkingDir") or "/"),
                str(config.get("User") or ""),
                tuple(env),
                tuple(str(word) for word in config.get("Entrypoint") or ()),
                search_path=env.get("PATH", ""),
                digest=str(found.get("Id") or ""),
                bytes=int(found.get("Size") or 0),
            )
        return self._facts[image]

    def forget(self, image: str) -> None:
        """What was known of an image that is gone."""
        self._facts = {name: facts for name, facts in self._facts.items() if image not in (name, facts.id)}

    async def remove_labelled(self, label: str) -> RemovedImages:
        """Remove every image with a label. Raises EngineError."""
        before = await self._disk()
        found = await self._engine.call("list images", lambda client: client.images(filters={"label": label}))
        removed = 0
        for image in found:
            # By name: an image that was tagged twice is not removed by its id.
            names = [name for name in image.get("RepoTags") or () if name != "<none>:<none>"]
            gone = [await self.remove(name) for name in names or [image["Id"]]]
            removed += all(gone)
        return RemovedImages(removed, len(found) - removed, max(0, before - await self._disk()))

    async def remove(self, image: str) -> bool:
        """Whether it was there and could be removed. Raises EngineError."""
        self.forget(image)
        try:
            await self._engine.call("remove an image", lambda client: client.remove_image(image))
        except EngineError as error:
            if error.status in (404, 409):  # gone, or in use after all
                return False
            raise
        return True

    async def _disk(self) -> int:
        """Bytes of all layers that the engine has."""
        return int((await self._engine.call("measure the disk", lambda client: client.df())).get("LayersSize") or 0)

    async def close(self) -> None:
        """Stop builds and pulls that nobody awaits any more."""
        for task in (tasks := list(self._work.values())):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _once(self, key: str, make: Callable[[], Awaitable[T]]) -> T:
        """Concurrent calls with one key share one piece of work; its failure is shared too, and then forgotten."""
        task = self._work.get(key)
        if task is None:

            async def run() -> T:
                try:
                    return await make()
                finally:
                    self._work.pop(key, None)

            task = self._work[key] = asyncio.create_task(run())
            # Awaited by the callers; should they all be cancelled, nobody is left to read its error.
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        result: T = await asyncio.shield(task)
        return result

    async def _has(self, image: str) -> bool:
        try:
            await self.facts(image)
        except EngineError as error:
            if error.status == 404:
                return False
            raise
        return True

    async def _pull(self, name: str) -> ImageFacts:
        try:
            found = await self._has(name)
        except EngineError as error:
            if error.status is None:
                raise
            raise ImageError(f"image {name}: {_one_line(error.explanation)}") from error
        if not found:
            log = _Log()
            try:
                async with self._building:
                    await self._engine.stream(
                        f"pull {name}", lambda client: _pull(client, name), log.take, timeout=PULL_TIMEOUT
                    )
            except TimeoutError:
                raise ImageError(f"image {name}: the pull took over {PULL_TIMEOUT:.0f} s", log.text) from None
            except NoAnswer:
                raise  # it says nothing of the image
            except EngineError as error:
                raise ImageError(f"image {name}: cannot be pulled: {_one_line(error.explanation)}", log.text) from error
            if log.error:
                raise ImageError(f"image {name}: cannot be pulled: {_one_line(log.error)}", log.text)
        return await self.facts(name)

    async def _built(self, tag: str, spec: BuiltImage) -> str:
        if not (spec.context / spec.dockerfile).is_file():
            raise ImageError(f"{spec.context}: no {spec.dockerfile}")
        with tempfile.TemporaryDirectory(prefix="lorimer-context-") as folder:
            context = spec.context
            if spec.without:
                context = Path(folder, "context")
                await asyncio.get_running_loop().run_in_executor(None, _copy_context, spec, context)
            options = {
                "dockerfile": spec.dockerfile,
                "labels": {IMAGE: "task"},
                "buildargs": dict(spec.args),
                "target": spec.target,
            }
            if here := await self._buildkit_for(spec):
                by = partial(self._by_buildkit, here, context, {"tag": tag, **options})
            else:
                by = partial(self._by_engine, tag, {"path": str(context), **options})
            return await self._build(tag, str(spec.context), spec.build_timeout, by)

    async def _buildkit_for(self, spec: BuiltImage) -> BuildKit | None:
        """What builds this; `None` where the engine's API does. Raises ImageError where nothing here can."""
        text = (spec.context / spec.dockerfile).read_text("utf-8", "replace")
        needs = buildkit_needs(text)
        if not needs:
            return None
        if self._buildkit is None:
            self._buildkit = await asyncio.to_thread(BuildKit.here, self._engine.base_url)
        lack = self._buildkit.lacks(needs)
        if lack is not None:
            raise ImageError(f"{spec.context / spec.dockerfile}: line {lack[0].line}: {lack[0].what} {lack[1]}")
        return self._buildkit if self._buildkit.command and not self._buildkit.podman else None

    async def _python(self, tag: str, context: bytes) -> str:
        options = {"fileobj": io.BytesIO(context), "custom_context": True, "labels": {IMAGE: "python"}}
        by = partial(self._by_engine, tag, options)
        return await self._build(tag, f"the Python image on {self._python_image}", 600.0, by)

    async def _by_engine(self, tag: str, options: Mapping[str, Any], log: _Log, timeout: float) -> None:
        """Build by the engine's classic builder. Raises TimeoutError, EngineError, ImageError."""
        await self._engine.stream(
            f"build {tag}",
            lambda client: client.build(tag=tag, rm=True, forcerm=True, decode=True, **options),
            log.take,
            timeout=timeout,
        )

    async def _by_buildkit(
        self, here: BuildKit, context: Path, options: Mapping[str, Any], log: _Log, timeout: float
    ) -> None:
        """Build by BuildKit. Raises TimeoutError, ImageError."""
        await buildkit.build(here, self._engine.base_url, context, options, log.keep, timeout)

    async def _build(self, tag: str, what: str, timeout: float, by: _Way) -> str:
        if await self._has(tag):
            return tag
        failures, last = self._failed.get(tag, (0, None))
        if last is not None and failures >= BUILD_ATTEMPTS:
            raise ImageError(str(last), last.log)
        try:
            await self._build_once(tag, what, timeout, by)
        except ImageError as error:
            self._failed[tag] = (failures + 1, error)
            raise
        return tag

    async def _build_once(self, tag: str, what: str, timeout: float, by: _Way) -> None:
        log = _Log()
        try:
            async with self._building:
                await by(log, timeout)
        except TimeoutError:
            raise ImageError(f"{what}: the image build took over {timeout:.0f} s", log.text) from None
        except NoAnswer:
            raise
        except EngineError as error:
            raise ImageError(f"{what}: the image build failed: {_one_line(error.explanation)}", log.text) from error
        except ImageError as error:
            raise ImageError(f"{what}: the image build failed: {_one_line(str(error))}", log.text) from error
        if log.error:
            raise ImageError(f"{what}: the image build failed: {_one_line(log.error)}", log.text)
        await self.facts(tag)


def python_image_missing(name: str, key: str, error: ImageError) -> PrerequisiteError:
    """A Python image of `[sandbox]` or `[jail]` that is not to be had is a prerequisite, not a task's fault."""
    setting = "[sandbox] python_image" if key == "python_image" else "[jail] image"
    return PrerequisiteError(
        f"the image {name} is not on this Docker Engine and cannot be pulled ({error})",
        f"run `docker pull {name}` where there is a network, or set `{setting}` to an image with Python 3.10 or newer "
        "that is there (`docker images`)",
    )


def context_digest(spec: BuiltImage) -> str:
    """SHA-256 over a build context: every path with its type, mode and content, and which Dockerfile is meant."""
    digest = hashlib.sha256(f"lorimer build context 1\0{spec.dockerfile}\0".encode())
    if spec.args or spec.target:
        digest.update(repr((spec.args, spec.target)).encode())
    for path in sorted(spec.context.rglob("*")):
        if path.relative_to(spec.context).as_posix() in spec.without:
            continue
        found = path.lstat()
        digest.update(f"{path.relative_to(spec.context).as_posix()}\0{found.st_mode:o}\0".encode())
        if stat_module.S_ISLNK(found.st_mode):
            digest.update(os.fsencode(path.readlink()))
        elif stat_module.S_ISREG(found.st_mode):
            with path.open("rb") as content:
                digest.update(hashlib.file_digest(content, "sha256").digest())
        digest.update(b"\0")
    return digest.hexdigest()


def _copy_context(spec: BuiltImage, target: Path) -> None:
    """The context without what it should be without."""

    def ignored(folder: str, names: list[str]) -> list[str]:
        return [name for name in names if Path(folder, name).relative_to(spec.context).as_posix() in spec.without]

    shutil.copytree(spec.context, target, symlinks=True, ignore=ignored)


def python_context(base_name: str, base_id: str, packages: tuple[str, ...]) -> tuple[bytes, str]:
    """A build context with pure-Python packages of this interpreter, and its digest. Raises PrerequisiteError."""
    files: dict[str, Path] = {}
    for name in sorted(set(packages)):
        files |= _package_files(name)
    dockerfile = (
        f"FROM {base_name}\n"
        f"COPY packages {PACKAGES}\n"
        # Compiled once here; a container that has to do it again pays for it on every import.
        f"RUN python3 -m compileall -q {PACKAGES}\n"
        f"ENV PYTHONPATH={PACKAGES}\n"
    ).encode()
    contents = {"Dockerfile": dockerfile}
    contents |= {f"packages/{name}": path.read_bytes() for name, path in sorted(files.items())}
    digest = hashlib.sha256(f"lorimer python image 1\0{base_id}\0".encode())
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in contents.items():
            digest.update(f"{name}\0".encode() + hashlib.sha256(data).digest())
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o644
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue(), digest.hexdigest()


def _package_files(name: str) -> dict[str, Path]:
    """The files of an installed top-level package or module, by their path below site-packages."""
    found = importlib.util.find_spec(name)
    if found is None or (found.origin is None and not found.submodule_search_locations):
        raise PrerequisiteError(f"the Python package {name} is not installed", f"run `pip install {name}`")
    if not found.submodule_search_locations:
        return {f"{name}.py": Path(str(found.origin))}
    files: dict[str, Path] = {}
    for location in found.submodule_search_locations:
        root = Path(location)
        for path in root.rglob("*"):
            if path.suffix in (".so", ".pyd"):
                raise PrerequisiteError(
                    f"the Python package {name} is not pure Python ({path.name})",
                    "name an image that has it installed instead",
                )
            if path.is_file() and "__pycache__" not in path.parts:
                files[f"{name}/{path.relative_to(root).as_posix()}"] = path
    return files


class _Log:
    """A build's or a pull's output."""

    def __init__(self) -> None:
        self._kept = HeadTail(LOG_LIMIT)
        self.error = ""

    def keep(self, data: bytes) -> None:
        """Take what a build prints."""
        self._kept.feed(data)

    def take(self, event: Mapping[str, Any]) -> None:
        if "error" in event:
            self.error = str(event["error"])
        text = event.get("stream") or event.get("error") or (event.get("status") if "progress" not in event else "")
        if text:
            self._kept.feed((text if text.endswith("\n") else text + "\n").encode())

    @property
    def text(self) -> str:
        cut = f"[{self._kept.dropped} bytes of the build's output were cut]\n" if self._kept.dropped else ""
        return cut + self._kept.value().decode(errors="replace")


_Way = Callable[[_Log, float], Awaitable[None]]
"""Builds an image into a log, within some seconds."""


def _pull(client: Any, name: str) -> Any:
    # Without a tag the SDK's low-level call would pull every tag of the repository.
    last = name.rpartition("/")[2]
    tag = None if ":" in last or "@" in last else "latest"
    return client.pull(name, tag=tag, stream=True, decode=True)


def _one_line(text: str) -> str:
    return " ".join(text.split())[:500]
