"""The keys of model providers: from the environment, the workspace's `.env`, or the system's keyring; in one object.

Nothing here puts a key into `os.environ`, prints one, or gives one to a child process. What runs other programs takes
`child_environment()`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, NoReturn

from lorimer.errors import ConfigError

DOTENV = ".env"
KEYRING_SERVICE = "lorimer"
"""The service under which the keyring holds keys: `keyring set lorimer OPENAI_API_KEY`."""

KeySource = Literal["environment", ".env", "keyring"]

_SECRET_NAME = re.compile(
    r"(?:^|_)(?:API_?KEY|KEY|TOKEN|SECRET|(?:PG)?PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?)$", re.IGNORECASE
)

_looked_up: set[str] = set()
"""Names (never values) of all variables that any Keys was asked for: no child process inherits one."""


class Keys:
    """Where keys are looked up, in this order: environment, `.env`, keyring. Its repr names no value, and it is not pickled.

    Args:
        environment: the process's variables.
        dotenv: those of the workspace's `.env`.
        ring: asks the keyring for a name; `None` where the `keyring` package is not installed.
    """

    def __init__(
        self,
        environment: Mapping[str, str] = os.environ,
        dotenv: Mapping[str, str] | None = None,
        ring: Callable[[str], str | None] | None = None,
    ) -> None:
        self._environment, self._dotenv, self._ring = environment, dict(dotenv or {}), ring
        self._from_ring: dict[str, str] = {}

    @classmethod
    def open(cls, root: Path, environment: Mapping[str, str] = os.environ) -> Keys:
        """The keys that commands in a workspace may use. Raises ConfigError for a `.env` that cannot be read."""
        return cls(environment, _read_dotenv(root / DOTENV), _keyring())

    def find(self, name: str, *, any_text: bool = False) -> tuple[str, KeySource] | None:
        """The value of a name and where it is from, or `None` where it is nowhere (blank values are none).

        Args:
            any_text: whether it may hold what no HTTP header can, as a database's password.

        Raises ConfigError for a value that does and may not.
        """
        usable = _any if any_text else _usable
        _looked_up.add(name)
        for source, values in (("environment", self._environment), (".env", self._dotenv)):
            value = values.get(name, "").strip()
            if value:
                return usable(name, value, source), "environment" if source == "environment" else ".env"
        if self._ring is not None:
            if name not in self._from_ring:
                self._from_ring[name] = (self._ring(name) or "").strip()
            if self._from_ring[name]:
                return usable(name, self._from_ring[name], "keyring"), "keyring"
        return None

    def source(self, name: str) -> KeySource | None:
        """Where a name's value is from; for people, who shall see no value."""
        found = self.find(name)
        return None if found is None else found[1]

    def values(self, names: Iterable[str]) -> list[str]:
        """The values to be masked in all that is written: of these names, and whatever in `.env` is named like a secret."""
        found = [each[0] for name in names if (each := self.find(name)) is not None]
        return found + [value for name, value in self._dotenv.items() if value and _SECRET_NAME.search(name)]

    @property
    def missing(self) -> str:
        """Where a name was looked for in vain, for a message."""
        ring = "the keyring" if self._ring is not None else "a keyring (pip install 'lorimer[keyring]' to use one)"
        return f"neither in the environment nor in {DOTENV} nor in {ring}"

    def __repr__(self) -> str:
        return "Keys(hidden)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("keys are not pickled")


def child_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without what is, or is named like, a secret; with `extra`."""
    kept = {
        name: value for name, value in os.environ.items() if name not in _looked_up and not _SECRET_NAME.search(name)
    }
    return kept | dict(extra or {})


def secrets_of_environment() -> list[str]:
    """Values of variables that are, or are named like, secrets: for masking a traceback alone."""
    return [value for name, value in os.environ.items() if name in _looked_up or _SECRET_NAME.search(name)]


def _any(name: str, value: str, source: str) -> str:
    return value


def _usable(name: str, value: str, source: str) -> str:
    """Raises ConfigError for a key that no HTTP header can hold: the SDKs would name it whole in their complaint."""
    if not (value.isascii() and value.isprintable() and " " not in value):
        raise ConfigError(f"{name} ({source}): it holds a blank, a control character or a letter that is not ASCII")
    return value


def _read_dotenv(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    from dotenv import dotenv_values

    try:
        # No interpolation: a key may hold a dollar sign. Nothing is put into os.environ. A byte-order mark that an editor put
        # before the first name is no part of it.
        found = dotenv_values(path, interpolate=False, encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or 'not UTF-8'}") from None
    return {name: value for name, value in found.items() if value}


def _keyring() -> Callable[[str], str | None] | None:
    """Asks the system's keyring; `None` without the optional `keyring` package."""
    import importlib.util

    if importlib.util.find_spec("keyring") is None:
        return None

    def ask(name: str) -> str | None:
        # Half a second to import, so only for a name that is nowhere else.
        import keyring
        from keyring.errors import KeyringError

        try:
            value: Any = keyring.get_password(KEYRING_SERVICE, name)
        except (KeyringError, RuntimeError, OSError):  # locked, or no desktop session to ask
            return None
        return value if isinstance(value, str) else None

    return ask
