"""Who answers a harness and what it may use, as `winner.json` has it beside the harness."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from lorimer.errors import ConfigError, PrerequisiteError, UserError

FILE = "winner.json"
APIS = ("anthropic", "responses", "chat")
_OFFICIAL = {
    "anthropic": ("anthropic", "https://api.anthropic.com", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"),
    "openai": ("responses", "https://api.openai.com/v1", "OPENAI_API_KEY", "OPENAI_BASE_URL"),
}
"""The providers that have an address of their own: API, address, and the variables of key and address."""


@dataclass(frozen=True)
class Settings:
    """All that is not the harness's to choose. The defaults are those of lorimer.toml."""

    model: str = ""
    """PROVIDER/NAME; empty where the study's model was simulated."""
    api: str = ""
    """`anthropic`, `responses` or `chat`; empty for the provider's own."""
    base_url: str | None = None
    key_env: str | None = None
    """The variable that holds the key; `None` for the provider's own, or for a server without keys."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """`${NAME}` stands for a variable's value."""
    max_tokens: int = 8192
    send_reasoning: bool = False
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    retry_seconds: float = 300.0
    """How long after the first failure of a call a new attempt may still start."""
    timeout_seconds: float = 600.0
    """The time that one request may take."""
    calls: int = 50
    tokens: int | None = None
    """Input plus output tokens."""
    seconds: float = 3600.0
    """How long the whole task may take."""
    exec_seconds: float = 300.0
    output_bytes: int = 262_144
    """The most that is kept of a command's stdout, and of its stderr; head and tail are kept."""
    read_bytes: int = 8_388_608

    @property
    def provider(self) -> str:
        return self.model.partition("/")[0]

    @property
    def name(self) -> str:
        return self.model.partition("/")[2]


def read(folder: Path) -> Settings:
    """The settings in a winner's folder. Raises UserError."""
    path = folder / FILE
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["settings"]
        known = {each.name for each in fields(Settings)}
        return Settings(**{name: value for name, value in found.items() if name in known})
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read: {error.strerror}", "name a folder that `lorimer export` wrote"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{path}: is no winner's settings", "export the winner anew") from None


@dataclass(frozen=True)
class Endpoint:
    """Where requests go, and with which headers."""

    api: str
    base_url: str
    official: bool
    headers: Mapping[str, str]


def with_model(settings: Settings, model: str) -> Settings:
    """The same with another model; what belongs to the former provider goes with it."""
    changed = replace(settings, model=model)
    if changed.provider == settings.provider:
        return changed
    return replace(changed, api="", base_url=None, key_env=None, headers={}, extra_body={}, send_reasoning=False)


def endpoint(settings: Settings, environment: Mapping[str, str] | None = None) -> Endpoint:
    """Where the model is. Raises ConfigError, and PrerequisiteError where a key is missing."""
    env = os.environ if environment is None else environment
    if not settings.model:
        raise ConfigError("no model: the study's model was simulated", "name one with --model PROVIDER/NAME")
    if not settings.provider or not settings.name:
        raise ConfigError(f"model {settings.model!r}: not of the form PROVIDER/NAME", "such as openai/NAME")
    api, base_url, key_env, moved = _OFFICIAL.get(settings.provider, ("chat", "", "", ""))
    address = settings.base_url or env.get(moved, "")
    official = bool(base_url) and settings.base_url is None
    api = settings.api or api
    if api not in APIS:
        raise ConfigError(f"api {api!r}: unknown", f"one of {', '.join(APIS)}")
    if not (address or base_url):
        raise ConfigError(f"model {settings.model}: no address is known", "name one with --base-url URL")
    variable = settings.key_env or (key_env if official else "")
    key = env.get(variable, "") if variable else ""
    if variable and not key:
        raise PrerequisiteError(f"the variable {variable} is not set", f"export {variable}=…")
    headers = {"content-type": "application/json"}
    if api == "anthropic":
        headers |= {"anthropic-version": "2023-06-01", "x-api-key": key or "no-key"}
    else:
        headers |= {"authorization": f"Bearer {key or 'no-key'}"}
    headers |= {name.lower(): _filled(value, env) for name, value in settings.headers.items()}
    return Endpoint(api, (address or base_url).rstrip("/"), official, headers)


def _filled(value: str, env: Mapping[str, str]) -> str:
    def of(match: re.Match[str]) -> str:
        if match[1] not in env:
            raise PrerequisiteError(f"the variable {match[1]} is not set", f"export {match[1]}=…")
        return env[match[1]]

    return re.sub(r"\$\{(\w+)\}", of, value)
