"""The switch by which tests make sure that no request leaves this machine."""

from __future__ import annotations

import ipaddress
import os
from urllib.parse import urlsplit

from lorimer.errors import InternalError

SWITCH = "LORIMER_FORBID_REAL_REQUESTS"
"""Environment variable; set to anything but empty or `0`, model clients talk to loopback alone. Child processes heed it."""


def forbid_real_requests() -> None:
    """Let model clients send to loopback addresses only, from now on, here and in child processes."""
    os.environ[SWITCH] = "1"


def check(base_url: str) -> None:
    """Raises InternalError when requests to `base_url` are forbidden."""
    if os.environ.get(SWITCH, "") in ("", "0"):
        return
    host = urlsplit(base_url).hostname or ""
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = host == "localhost"
    if not local:
        raise InternalError(f"a model request to {host or base_url} was stopped: {SWITCH} is set")
