"""The engines of `[executor] docker_hosts`: which of them answer."""

from __future__ import annotations

import shlex

from lorimer.config.settings import Config
from lorimer.doctor.findings import Finding, one_line
from lorimer.errors import PrerequisiteError
from lorimer.meta_agent.workspace.engines import open_hosts_of


def fix(url: str) -> str:
    """The command by which an engine answers from here."""
    kind, _, place = url.partition("://")
    if kind == "unix":
        ask = f"curl --unix-socket {shlex.quote(place)} http://localhost/version"
    elif kind == "ssh":
        ask = f"ssh {shlex.quote(place)} docker version"
    else:
        ask = f"curl {shlex.quote(f'http://{place}/version')}"
    return f"start the engine there: `{ask}` must answer; a study does without it"


async def hosts(config: Config) -> tuple[Finding, ...]:
    """One finding for each, and one for all: a study needs one of them, and does without those that do not answer."""
    try:
        found = await open_hosts_of(config)
    except PrerequisiteError as error:
        return (Finding("sandbox", "missing", one_line(error.problem), one_line(error.fix)),)
    assert found is not None
    try:
        told = [
            Finding("docker", "warning", f"{host.url}: {one_line(host.down)}", fix(host.url))
            if host.down
            else Finding("docker", "ok", f"{host.url}: an engine answers")
            for host in found.all
        ]
        said = f"docker is used, on {len(found.up)} of {len(found.all)} hosts"
    finally:
        await found.close()
    return (*told, Finding("sandbox", "ok", said))
