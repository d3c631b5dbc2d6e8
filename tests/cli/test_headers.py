"""A gateway's key in a header goes to the gateway and nowhere else, and a resume may name another."""

from __future__ import annotations

from pathlib import Path

import pytest

from lorimer.meta_agent.workspace.repository import STORE
from lorimer.traces.reading.reader import StoreReader
from lorimer.traces.scrub import MASK
from tests.cli.provider import at, lorimer
from tests.support.model_clients import good
from tests.support.scripted_server import Reply, scripted_server

pytestmark = [pytest.mark.bubblewrap, pytest.mark.slow]

FIRST, SECOND = "gw-First0a1b2c3d4e5f", "gw-Second5f4e3d2c1b0a"
NOSY = """import os
import subprocess

from lorimer.harness.api import LLM, Env, Task, user


def solve(task: Task, env: Env, llm: LLM) -> str:
    seen = subprocess.run(["env"], capture_output=True, text=True).stdout + env.exec("env; cat /proc/*/environ").stdout
    return llm.complete([user("hi " + seen + str(dict(os.environ)))]).text
"""


def files_of(root: Path) -> bytes:
    """All that stands in any file but `.env`."""
    return b"".join(file.read_bytes() for file in root.rglob("*") if file.is_file() and file.name != ".env")


async def test_the_value_of_a_variable_reaches_the_server_alone(bubblewrap: None, workspace: Path) -> None:
    (workspace / "harness" / "agent.py").write_text(NOSY)
    async with scripted_server(otherwise=Reply(good("chat", f"you are {FIRST}"))) as server:
        at(server, workspace)
        path, dotenv = workspace / "lorimer.toml", workspace / ".env"
        headers = 'headers = { "X-Gateway" = "Key ${GATEWAY_KEY}" }\n'
        path.write_text(path.read_text().replace('key_env = "LOCAL_KEY"\n', f'key_env = "LOCAL_KEY"\n{headers}'))
        dotenv.write_text(f"{dotenv.read_text()}GATEWAY_KEY={FIRST}\nOTHER_ONE={SECOND}\n")
        said = [await lorimer(workspace, "run")]
        assert said[0].code == 0, said
        assert {request.headers["x-gateway"] for request in server.requests} == {f"Key {FIRST}"}
        assert not [request for request in server.requests if FIRST.encode() in request.raw]

        path.write_text(path.read_text().replace("${GATEWAY_KEY}", "${OTHER_ONE}"))
        said += [await lorimer(workspace, "resume"), await lorimer(workspace, "verify")]
        changed = 'providers.local.headers.X-Gateway changed from "Key ${GATEWAY_KEY}" to "Key ${OTHER_ONE}"'
        assert said[1].out.splitlines()[0] == changed
        assert [each.code for each in said] == [0, 0, 0], said
    reader = StoreReader(workspace / STORE)
    assert [row.kind for row in reader.chain()].count("settings") == 1
    trial = reader.trials(limit=None)[0].id
    said.append(await lorimer(workspace, "traces", "show", trial))
    assert f"you are {MASK}" in said[-1].out
    said.append(await lorimer(workspace, "traces", "show", trial, "--json"))
    said.append(await lorimer(workspace, "doctor"))
    assert "OTHER_ONE: .env" in said[-1].out
    everything = "".join(each.out + each.err for each in said).encode() + files_of(workspace)
    assert FIRST.encode() not in everything
    assert SECOND.encode() not in everything
    assert "Key ${OTHER_ONE}" in str(reader.study("run-1").config)
