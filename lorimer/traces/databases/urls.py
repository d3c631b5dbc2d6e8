"""The URL of a store on a PostgreSQL server, and what of it may be shown."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from lorimer.errors import ConfigError

SCHEME = "postgresql+psycopg"
ESCAPE = "write %XX for what is no letter or digit in a password, or give it as ${NAME}"
"""What to do where a part of a URL reads as another one."""

_NO_URL = f"[store] url is no URL; write {SCHEME}://USER@HOST/DATABASE; {ESCAPE}"
_HOSTS = re.compile(r"(\[[^]]*\]|[^:,]*)(:\d*)?(,(\[[^]]*\]|[^:,]*)(:\d*)?)*")


def named(url: str) -> str:
    """A URL as it may be shown: without its password, and without settings, among which one may be.

    Raises ConfigError, which shows none of it, for one whose password is not escaped.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ConfigError(_NO_URL) from None
    user, at, host = parts.netloc.rpartition("@")
    # A sign of a password that ends it early leaves the rest of it where the host or the database is told.
    fits = len(parts.path) > 1 and _HOSTS.fullmatch(host)
    said = "".join(each.partition("=")[0] for each in parts.query.split("&")) if fits else parts.query
    later = parts.path + parts.fragment + said
    if "@" in user or (parts.netloc and "@" in later):
        raise ConfigError(_NO_URL)
    return f"{parts.scheme}://{user.partition(':')[0]}{at}{host}{parts.path}"
