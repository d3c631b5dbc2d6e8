"""Virtual environments of other programs, for what is exported to them, from a Python of this machine and the package index."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

NO_LORIMER = "import importlib.util as u; assert u.find_spec('lorimer') is None"
NEWEST = 30
"""The highest minor version of Python 3 that is looked for."""


def python_of(minor: int, otherwise: str) -> Path:
    """A Python 3 of this minor version or a newer one that can make virtual environments: this one, one on the PATH, one of
    pyenv's. Skips the test where there is none, and says what is tested without it."""
    named = (shutil.which(f"python3.{each}") for each in range(minor, NEWEST))
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv", "versions")
    found = [sys.executable, *(each for each in named if each), *map(str, sorted(pyenv.glob("3.*/bin/python3")))]
    asked = f"import sys, venv, ensurepip; sys.exit(sys.version_info < (3, {minor}))"
    for each in found:
        if subprocess.run([each, "-c", asked], capture_output=True, check=False).returncode == 0:
            return Path(each)
    pytest.skip(f"no Python 3.{minor} or newer on this machine; {otherwise}")


def host(place: Path, base: Path, packages: Sequence[str]) -> Path:
    """The Python of a new virtual environment with these packages, and without lorimer. Skips the test where no package index
    has them."""
    python = place / "bin" / "python"
    # Our own pip serves our own Python: to put another one into the environment takes 3 s.
    ours = base == Path(sys.executable) and importlib.util.find_spec("pip") is not None
    subprocess.run([base, "-m", "venv", *(["--without-pip"] if ours else []), place], check=True)
    pip: list[str | Path] = [base, "-m", "pip", "--python", python] if ours else [python, "-m", "pip"]
    # Of the thousands of modules that come, a run imports some: it compiles those itself.
    how = ("install", "--quiet", "--no-compile", "--disable-pip-version-check", "--retries", "1")
    done = subprocess.run([*pip, *how, *packages], capture_output=True, text=True, check=False)
    if done.returncode and "No matching distribution found" in done.stderr:  # pip's word for an index that is out, too
        pytest.skip(f"no package index has {', '.join(packages)}: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    subprocess.run([python, "-I", "-c", NO_LORIMER], check=True)
    return python


async def ran(*command: object, environment: dict[str, str], folder: Path) -> str:
    """A program beside a server that lives in this loop: what it printed. It must end well."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, cwd=folder
    )
    try:
        out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, out.decode() + err.decode()
    return out.decode()
