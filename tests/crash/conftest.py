"""The fixtures of the command's tests: which sandboxes work here."""

from tests.cli.conftest import bubblewrap, docker, works

__all__ = ["bubblewrap", "docker", "works"]
