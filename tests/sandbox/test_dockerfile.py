"""What of a Dockerfile needs BuildKit, and what is said where that is not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lorimer.benchmarks.base import Script, Suite, Task
from lorimer.benchmarks.buildable import buildable
from lorimer.sandbox.base import BuiltImage, Group, PulledImage, Service
from lorimer.sandbox.docker.image.buildkit import BuildKit, find_command
from lorimer.sandbox.docker.image.dockerfile import HEREDOC, Need, buildkit_needs, without_syntax


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("FROM a\nRUN cat >/x <<EOF\nhello\nEOF\nRUN --mount=type=cache,target=/c true\n", [(2, HEREDOC), (5, "RUN --mount")]),
        ("FROM a\nRUN <<-'END' python3\n\tRUN --mount=x\n\tEND\n", [(2, HEREDOC)]),
        ("FROM a\nCOPY <<one <<\"two\" /d/\n1\none\n2\ntwo\nADD --chmod=1 a b\n", [(2, HEREDOC), (7, "ADD --chmod")]),
        ("FROM a\ncopy --chown=1 --chmod=755 a b\n", [(2, "COPY --chmod")]),
        ("FROM a\nCOPY --link --parents --exclude=*.md a b\n", [(2, f"COPY --{x}") for x in ("link", "parents", "exclude")]),
        ("FROM a\nRUN \\\n  # why\n  --mount=type=secret,id=x \\\n  true\n", [(2, "RUN --mount")]),
        ("# escape=`\nFROM a\nRUN a `\n  && b\nRUN --network=none c\n", [(5, "RUN --network")]),
        ("FROM a\nONBUILD RUN --mount=type=cache,target=/c true\n", [(2, "RUN --mount")]),
        ("FROM --platform=$BUILDPLATFORM a\nARG TARGETARCH\nARG TARGETOS=linux\n",
         [(1, "FROM --platform=$BUILDPLATFORM"), (2, "ARG TARGETARCH, which BuildKit alone fills in,")]),
        ("FROM a\nADD https://example.org/x/y.git#main /y\n", [(2, "ADD of a git repository")]),
        ("FROM a\nADD git@example.org:x/y.git /y\n", [(2, "ADD of a git repository")]),
        ("FROM a\nADD --checksum=sha256:0 https://example.org/y.tar /y\n", [(2, "ADD --checksum")]),
        ("# syntax = example.org/mine\nFROM a\n", [(1, "# syntax=example.org/mine")]),
    ],
)  # fmt: skip
def test_what_needs_buildkit_is_found_with_its_line(text: str, found: list[tuple[int, str]]) -> None:
    assert [(need.line, need.what) for need in buildkit_needs(text)] == found
    windows = text.replace("\n", "\r\n")
    assert buildkit_needs("\ufeff" + windows) == buildkit_needs(text)


@pytest.mark.parametrize(
    "text",
    [
        "FROM a AS b\nCOPY --from=b --chown=1:1 x y\nADD https://example.org/y.tar /y\nARG TARGETARCH=amd64\nARG VERSION\n",
        "# syntax=docker/dockerfile:1\n# check=skip=all\nFROM a\nRUN true\n",
        "FROM --platform=linux/amd64 a\nRUN echo '<<EOF' && cat <<<word && echo $((1<<2)) && bash -c 'cat <<EOF'\n",
        "FROM a\nRUN echo \\\n  --mount=x\n# RUN --mount=x\nCMD cat <<EOF\n",
        "FROM a\nRUN cat <<EOF\nRUN of one that never ends\n",
        "",
    ],
)
def test_what_every_builder_builds_is_not_taken_for_it(text: str) -> None:
    assert buildkit_needs(text) == ()


def test_a_syntax_line_of_dockers_own_brings_what_an_engine_is_too_old_for() -> None:
    heredoc = "FROM a\nRUN <<EOF\ntrue\nEOF\n"
    assert [need.engine for need in buildkit_needs(heredoc)] == [23]
    assert [need.engine for need in buildkit_needs("# syntax=docker/dockerfile:1.7\n" + heredoc)] == [0]


def test_a_syntax_line_can_be_taken_out_and_no_line_moves() -> None:
    text = "# syntax=docker/dockerfile:1\n# escape=`\nFROM a\nRUN a `\n && b\nRUN --mount=x c\n"
    plain = without_syntax(text)
    assert plain == "# escape=`\n#\nFROM a\nRUN a `\n && b\nRUN --mount=x c\n"
    assert buildkit_needs(plain) == buildkit_needs(text) == (Need(6, "RUN --mount"),)
    for other in ("# syntax=example.org/mine\nFROM a\n", "# words\n# syntax=docker/dockerfile:1\nFROM a\n", ""):
        assert without_syntax(other) == other


MOUNT, HERE = Need(4, "RUN --mount"), Need(7, HEREDOC, 23)


def test_what_is_missing_is_said_with_what_helps() -> None:
    found = BuildKit("", "28.2").lacks((MOUNT,))
    assert found is not None
    assert found[1] == (
        "needs BuildKit, which no docker command here can use; install the docker command's plugin buildx (package "
        "docker-buildx, or docker-buildx-plugin of Docker's own packages)"
    )
    found = BuildKit("/usr/bin/docker", "20.10.24+dfsg1").lacks((MOUNT, HERE))
    assert found is not None
    assert found == (
        HERE,
        "needs the BuildKit of Docker Engine 23 or newer, and this one is 20.10.24+dfsg1; a first line "
        "`# syntax=docker/dockerfile:1` lets it fetch a newer one where it has a network",
    )
    for able in (
        BuildKit("/usr/bin/docker", "23.0"),
        BuildKit("/usr/bin/docker", "dev"),
        BuildKit("", "5.2", podman=True),
    ):
        assert able.lacks((MOUNT, HERE)) is None
    podman = BuildKit("", "4.3.1", podman=True)
    assert podman.lacks((MOUNT,)) is None
    assert podman.lacks((MOUNT, HERE)) == (HERE, "needs Podman 4.8 or newer, and this one is 4.3.1")
    assert BuildKit().lacks((MOUNT, HERE)) is None  # there is no engine, which another message says


def task(name: str, image: BuiltImage | PulledImage, group: Group | None = None) -> Task:
    return Task(name, "Do it.", image, Script(None, "/tests", "true", 1.0), group=group)


def test_tasks_that_cannot_be_built_are_left_out_by_file_and_line(tmp_path: Path) -> None:
    def folder(name: str, text: str) -> BuiltImage:
        path = tmp_path / name
        path.mkdir(parents=True)
        (path / "Dockerfile").write_text(text)
        return BuiltImage(path)

    plain = folder("plain/environment", "FROM a\nRUN true\n")
    mounts = folder("mounts/environment", "FROM a\nRUN true\nRUN --mount=type=cache,target=/c true\n")
    seed = folder("seeds/environment/seed", "FROM a\nCOPY --chmod=1 a b\n")
    beside = Group(Service("main", None), (Service("seed", seed),))
    tasks = (
        task("plain", plain),
        task("mounts", mounts),
        task("pulled", PulledImage("a")),
        task("seeds", PulledImage("a"), beside),
    )
    asked = []

    def here() -> BuildKit:
        asked.append(1)
        return BuildKit("", "28.2")

    found = buildable(Suite("s", tasks), here)
    assert [each.id for each in found.tasks] == ["plain", "pulled"]
    assert [str(problem).partition(", which")[0] for problem in found.problems] == [
        "task mounts: environment/Dockerfile line 3: RUN --mount needs BuildKit",
        "task seeds: environment/seed/Dockerfile line 2: COPY --chmod needs BuildKit",
    ]
    assert asked == [1]
    assert buildable(Suite("s", tasks), lambda: BuildKit("/usr/bin/docker", "28.2")).tasks == tasks
    assert buildable(Suite("s", tasks[:1]), lambda: pytest.fail("nothing asks for BuildKit")).tasks == tasks[:1]


def test_the_command_that_can_use_buildkit_is_found_behind_others(tmp_path: Path) -> None:
    scripts = {
        "podmans": "echo podman version 4.9",
        "without": 'case $1 in --version) echo Docker version 28.2;; *) echo "buildx is missing" >&2; exit 1;; esac',
        "with": 'case $1 in --version) echo Docker version 28.2;; build) echo "buildkit=$DOCKER_BUILDKIT";; esac',
    }
    for name, text in scripts.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "docker").write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name / "docker").chmod(0o755)
    path = os.pathsep.join(str(tmp_path / name) for name in ("none", *scripts))
    assert find_command(path) == str(tmp_path / "with" / "docker")
    assert find_command(path.rpartition(os.pathsep)[0]) == ""
