"""Whose container is this: the labels on everything made, and whether the process that made it still lives.

A pid alone does not name a process: it is reused, and another machine has the same numbers. The `lorimer.pid` label is
therefore pid, start time and boot, and `lorimer.host` says on which machine that means anything.
"""

from __future__ import annotations

import functools
import os
import platform
from collections.abc import Mapping
from pathlib import Path

from lorimer.processes import exists, started
from lorimer.sandbox.base import Owner

STUDY, TRIAL, PID, HOST = "lorimer.study", "lorimer.trial", "lorimer.pid", "lorimer.host"
IMAGE = "lorimer.image"
"""The label of images that lorimer built; its value is `task` or `python`."""


def owner_labels(owner: Owner) -> dict[str, str]:
    """The labels of something made by this process for `owner`."""
    return {STUDY: owner.study, TRIAL: owner.trial, PID: process_identity(), HOST: platform.node()}


def process_identity(pid: int | None = None) -> str:
    """`pid-start-boot` of a process of this machine (this one by default); start is `0` where the system does not say."""
    pid = os.getpid() if pid is None else pid
    return f"{pid}-{started(pid) or 0}-{_boot_id()}"


def is_orphan(labels: Mapping[str, str]) -> bool:
    """Whether the labels name a process of this machine that is gone. Anything doubtful is nobody's orphan."""
    pid, _, rest = labels.get(PID, "").partition("-")
    if labels.get(HOST) != platform.node() or not pid.isdecimal() or not rest:
        return False
    return not exists(int(pid)) or labels[PID] != process_identity(int(pid))


@functools.cache
def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", "")[:12]
    except OSError:
        return "0"
