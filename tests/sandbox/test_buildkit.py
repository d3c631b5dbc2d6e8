"""Dockerfiles that need BuildKit, built on a real engine. Skipped where the machine has no BuildKit, or too old a one."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from lorimer.errors import ImageError
from lorimer.sandbox.base import BuiltImage, Owner, SandboxRequest
from lorimer.sandbox.docker.image.buildkit import BuildKit
from lorimer.sandbox.docker.image.dockerfile import buildkit_needs
from lorimer.sandbox.docker.provider import DockerProvider

pytestmark = pytest.mark.docker


@pytest.fixture
async def provider() -> AsyncIterator[DockerProvider]:
    made = DockerProvider()
    yield made
    await made.close()


def context(folder: Path, text: str, timeout: float = 600.0) -> BuiltImage:
    text = f"FROM python:3.12-slim\n{text}"
    lack = BuildKit.here().lacks(buildkit_needs(text))
    if lack is not None:
        pytest.skip(" ".join((lack[0].what, lack[1])))
    (folder / "Dockerfile").write_text(text)
    (folder / "tool.sh").write_text("#!/bin/sh\necho tool\n")
    (folder / "secret").write_text("not for the image")
    (folder / ".dockerignore").write_text("secret\n")
    return BuiltImage(folder, build_timeout=timeout, args=(("WORD", "said so"),), without=frozenset(("left-out",)))


async def run(provider: DockerProvider, image: BuiltImage, command: str) -> str:
    sandbox = await provider.acquire(SandboxRequest(await provider.prepare(image), Owner("test-buildkit", "trial")))
    return (await sandbox.exec(command, timeout=60)).stdout.decode()


async def test_a_dockerfile_with_mounts_and_modes_is_built_as_any_other(
    provider: DockerProvider, tmp_path: Path
) -> None:
    image = context(
        tmp_path,
        'ARG WORD\nCOPY --chmod=711 . /kit/\nRUN --mount=type=cache,target=/cache echo "$WORD" >/said && touch /cache/x\n',
    )
    (tmp_path / "left-out").write_text("the task leaves it out")
    # Engines differ in whether the place of a mount stays behind; what was in it does not.
    assert await run(provider, image, "cat /said; stat -c %a /kit/tool.sh; ls /kit; ls /cache/x 2>/dev/null") == (
        "said so\n711\nDockerfile\ntool.sh\n"
    )
    from docker import APIClient

    client: Any = APIClient(version="auto")
    try:
        labels = client.inspect_image(await provider.prepare(image))["Config"]["Labels"]
        assert labels == {"lorimer.image": "task"}  # so that `lorimer gc --images` finds it
    finally:
        client.close()


async def test_a_dockerfile_with_here_documents_is_built(provider: DockerProvider, tmp_path: Path) -> None:
    image = context(tmp_path, "COPY <<one /one\nof COPY\none\nRUN <<'EOF' cat >/two\nof $RUN\nEOF\n")
    assert await run(provider, image, "cat /one /two") == "of COPY\nof $RUN\n"


async def test_where_a_syntax_line_can_fetch_nothing_the_engines_own_language_serves(
    provider: DockerProvider, tmp_path: Path
) -> None:
    image = context(tmp_path, "RUN --mount=type=cache,target=/cache echo built >/said\n")
    # A language that nobody has published: what a machine without a network meets with every one.
    text = (tmp_path / "Dockerfile").read_text()
    (tmp_path / "Dockerfile").write_text(f"# syntax=docker/dockerfile:0-lorimer-has-none\n{text}")
    assert await run(provider, image, "cat /said") == "built\n"


async def test_a_build_that_fails_is_told_with_its_log(provider: DockerProvider, tmp_path: Path) -> None:
    image = context(tmp_path, "RUN --mount=type=cache,target=/cache echo the-reason && exit 9\n")
    with pytest.raises(ImageError, match=r"the image build failed: .*exit code: 9") as caught:
        await provider.prepare(image)
    assert str(caught.value).startswith(str(tmp_path))
    assert "the-reason" in caught.value.log


async def test_a_build_that_takes_too_long_is_ended(provider: DockerProvider, tmp_path: Path) -> None:
    image = context(tmp_path, "RUN --mount=type=cache,target=/cache echo began; sleep 300\n", timeout=3.0)
    began = time.monotonic()
    with pytest.raises(ImageError, match="the image build took over 3 s"):
        await provider.prepare(image)
    assert time.monotonic() - began < 100


async def test_a_dockerfile_that_nothing_here_can_build_is_told_by_its_line(tmp_path: Path) -> None:
    lacks = BuildKit("", "28.2")
    provider = DockerProvider(buildkit=lacks)
    (tmp_path / "Dockerfile").write_text("FROM python:3.12-slim\n\nCOPY --chmod=1 a b\n")
    try:
        with pytest.raises(
            ImageError, match=r"/Dockerfile: line 3: COPY --chmod needs BuildKit, which no docker command"
        ):
            await provider.prepare(BuiltImage(tmp_path))
    finally:
        await provider.close()
