"""Where a workspace's studies are kept: in its own file, or where `[store] url` of lorimer.toml says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from lorimer.errors import ConfigError
from lorimer.meta_agent.workspace.repository import STORE
from lorimer.traces.databases.base import Database
from lorimer.traces.databases.choice import database_at

if TYPE_CHECKING:
    from lorimer.config.store import StoreSettings
    from lorimer.keys import Keys

FILE = "lorimer.toml"
_VARIABLE = re.compile(r"\$\{(\w+)\}")


def store_at(root: Path) -> Database:
    """Where the workspace's store is, be it there or not; nothing is connected to.

    Raises ConfigError for a [store] table that is wrong and for a variable of it that is not set.
    """
    try:
        said = (root / FILE).read_bytes()
    except OSError:
        said = b""
    if b"store" not in said:  # as in most: a command that only reads is spared the import of all settings
        return database_at(root / STORE)
    from lorimer.config.settings import parse, read_toml
    from lorimer.keys import Keys

    table = read_toml(root / FILE).get("store", {})
    url = parse({"store": table}, str(root / FILE)).store.url
    return database_at(_whole(url, Keys.open(root)) if url else root / STORE)


def store_named(name: str, root: Path) -> Database:
    """What a user names beside the workspace in `root`: another workspace's folder, a file or a URL. Raises ConfigError."""
    from lorimer.keys import Keys

    if "://" in name or name.startswith("${"):
        return database_at(_whole(name, Keys.open(root)))
    return store_at(Path(name)) if Path(name).is_dir() else database_at(name)


def has_store(root: Path) -> bool:
    """Whether the workspace has a store. Raises UserError where a server does not say."""
    return store_at(root).has_store()


def secrets(settings: StoreSettings, keys: Keys) -> list[str]:
    """What of [store] is to be masked in all that is written: the passwords of its URL, and the one of `PGPASSWORD`."""
    try:
        parts = urlsplit(_whole(settings.url, keys))
        given = [parts.password or ""]
        if parts.scheme.startswith("postgres") and (held := keys.find("PGPASSWORD", any_text=True)):
            given.append(held[0])
    except (ConfigError, ValueError):
        return []
    for setting in parts.query.split("&"):
        name, _, value = setting.partition("=")
        if name in ("password", "sslpassword"):
            given.append(value)
    return sorted({form for password in given for form in (password, unquote(password)) if form})


def _whole(url: str, keys: Keys) -> str:
    """A URL with its variables put in: one that is all of it as it is, others with what a URL gives a meaning escaped."""

    def value(found: re.Match[str]) -> str:
        name = found[1]
        held = keys.find(name, any_text=True)
        if held is None:
            raise ConfigError(f"{FILE}: store.url: ${{{name}}} is {keys.missing}", f"set it: export {name}=...")
        return held[0] if found[0] == url else quote(held[0], safe="")

    return _VARIABLE.sub(value, url)
