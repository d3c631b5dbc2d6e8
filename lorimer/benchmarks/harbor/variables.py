"""`${VAR}` in a task's environment tables: what of this machine's variables a task may see, and who in it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from lorimer.errors import TaskError
from lorimer.keys import child_environment

Whose = Literal["agent", "solution", "verifier"]

_TEMPLATE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?\}", re.DOTALL)
_SECRET = re.compile(
    r"(?:^|_)(?:\w*(?:TOKEN|PASSWORD|PASSWD|SECRET|API_?KEY|ACCESSKEY|SECRETKEY|PRIVATEKEY)|PASSPHRASE|SECRETS|API_?KEYS"
    r"|KEYS?|CREDENTIALS?|CREDS|AUTH|PAT)\d*(?:_|$)",
    re.IGNORECASE,
)
"""Whole words of a name: AUTHOR, MONKEY and MAX_TOKENS are none, OPENAI_API_KEY_2 is one."""


def is_secret(name: str) -> bool:
    """Whether a variable is named like a key, a token or a password."""
    return _SECRET.search(name) is not None


@dataclass(frozen=True)
class HostVariables:
    """This machine's variables, as tasks may ask for them."""

    values: Mapping[str, str]
    """Those that are no secrets."""
    passed: Mapping[str, bool] = field(default_factory=dict)
    """The names in `[verifier] pass_env`, and whether each has a value. The values are looked up when a verifier runs."""
    exported: frozenset[str] = frozenset()
    """Names of all that are set: for true messages alone."""

    @classmethod
    def here(cls, passed: Mapping[str, bool] | None = None) -> HostVariables:
        """This process's."""
        return cls(child_environment(), passed or {}, frozenset(os.environ))


@dataclass(frozen=True)
class Resolved:
    """A table of a task with its values filled in."""

    env: Mapping[str, str]
    passed: Mapping[str, str] = field(default_factory=dict)
    """Names whose value the verifier's process gets when it runs, and the host's variables that hold them."""


def resolve(task: str, table: str, env: Mapping[str, str], host: HostVariables, whose: Whose) -> Resolved:
    """Fill `${VAR}` and `${VAR:-default}` from the host's variables; every other value is taken as it stands.

    A variable that is named like a secret is given to verifiers alone, and to them only where `[verifier] pass_env` names it; to
    all others it is as if it were not set. Raises TaskError where there is no value and no default.
    """
    values, passed = {}, {}
    for name, said in env.items():
        match = _TEMPLATE.fullmatch(said)
        if match is None:
            values[name] = said
            continue
        variable, default = match[1], match[2]
        if whose == "verifier" and host.passed.get(variable):
            passed[name] = variable
        elif variable in host.values and not is_secret(variable):
            values[name] = host.values[variable]
        elif default is not None:
            values[name] = default
        else:
            raise TaskError(task, f"[{table}] {name}", _why(variable, host, whose))
    return Resolved(values, passed)


def _why(variable: str, host: HostVariables, whose: Whose) -> str:
    """Why there is no value, and what to do."""
    if not is_secret(variable):
        return f"needs the variable {variable}, which is not set; export it or give a default"
    if whose != "verifier":
        who = "an agent" if whose == "agent" else "a solution"
        return f"asks for the host's {variable}, which {who} must not see; a default, as in ${{{variable}:-}}, is used instead"
    if variable in host.passed:
        return f"needs the variable {variable}, which [verifier] pass_env names and which is not set; export it"
    is_there = "is not given to verifiers unasked" if variable in host.exported else "is not set"
    return (
        f"needs the host's {variable}, which {is_there}; "
        + ("" if variable in host.exported else "export it, and ")
        + f'let the verifier have it by pass_env = ["{variable}"] under [verifier] in lorimer.toml'
    )
