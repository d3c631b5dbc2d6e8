"""Every key of Harbor's task.toml is read, passed over, or refused by its name.

The keys are those of `harbor/models/task/config.py` in Harbor 0.25.0 (schema 1.4; 0.26.0 has the same): each model's fields, and
the older names that it still takes.
"""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from pydantic import BaseModel

from lorimer.benchmarks.harbor import toml
from lorimer.errors import TaskError

READ = """
schema_version = "1.4"
multi_step_reward_strategy = "final"
[verifier]
timeout_sec = 1.0
env = { A = "b" }
user = "root"
network_mode = "allowlist"
allowed_hosts = ["a.example"]
environment_mode = "separate"
[[verifier.collect]]
command = "true"
service = "main"
timeout_sec = 1.0
user = 0
[verifier.environment]
docker_image = "judge:1"
[agent]
timeout_sec = 1.0
user = 1000
network_mode = "allowlist"
allowed_hosts = ["b.example"]
[solution]
env = { A = "b" }
[environment]
build_timeout_sec = 1.0
docker_image = "a:1"
os = "Linux"
cpus = 0.5
memory_mb = 100
storage_mb = 100
env = { A = "b" }
workdir = "/w"
network_mode = "allowlist"
allowed_hosts = ["b.example"]
gpus = 0
mcp_servers = []
[environment.healthcheck]
command = "true"
interval_sec = 1.0
timeout_sec = 1.0
start_period_sec = 1.0
start_interval_sec = 1.0
retries = 1
[[artifacts]]
source = "/a"
exclude = ["*.o"]
service = "main"
[[steps]]
name = "one"
min_reward = 0.5
artifacts = ["/b"]
[steps.agent]
[steps.verifier]
[steps.healthcheck]
command = "true"
"""
"""What does as it says. `gpus = 0` and an empty list ask for nothing."""

PASSED_OVER = """
source = "somewhere/else"
[task]
name = "org/name"
version = "1.0"
description = "words"
authors = [{ name = "somebody", email = "a@b.example" }]
keywords = ["words"]
[metadata]
anything = { at = "all" }
[[artifacts]]
source = "/a"
destination = "place/on/the/host"
"""
"""What changes nothing in a trial: who made the task, and where Harbor puts its copies on the host."""

OLDER = """
version = "1.0"
[environment]
memory = "2G"
storage = "10G"
allow_internet = false
"""

REFUSED = {
    "gpus": ("gpus = 1", "GPUs are not supported"),
    "gpu_types": ('gpu_types = ["H100"]', "GPUs are not supported"),
    "tpu": ('tpu = { type = "v6e", topology = "2x4" }', "TPUs are not supported"),
    "skills_dir": ('skills_dir = "/skills"', "skills are not supported"),
    "mcp_servers": (
        'mcp_servers = [{ name = "x", transport = "http", url = "https://x.example", command = "x", args = [], headers = {} }]',
        "MCP servers are not supported",
    ),
    "os": ('os = "windows"', "lorimer's sandboxes are Linux"),
}
"""The keys of [environment]."""

HARBOR = {
    "TaskConfig": "schema_version task metadata verifier agent environment solution source steps artifacts "
    "multi_step_reward_strategy",
    "VerifierConfig": "network_mode allowed_hosts timeout_sec env user environment_mode environment collect",
    "VerifierCollectConfig": "command service timeout_sec user",
    "AgentConfig": "network_mode allowed_hosts timeout_sec user",
    "SolutionConfig": "env",
    "EnvironmentConfig": "network_mode allowed_hosts build_timeout_sec docker_image os cpus memory_mb storage_mb gpus gpu_types "
    "tpu mcp_servers env skills_dir healthcheck workdir allow_internet",
    "HealthcheckConfig": "command interval_sec timeout_sec start_period_sec start_interval_sec retries",
    "ArtifactConfig": "source destination exclude service",
    "StepConfig": "name agent verifier min_reward healthcheck artifacts",
}
"""The fields of Harbor's models. Those of [task], of a TPU and of an MCP server stand in tables that are taken whole."""

OURS: dict[str, type[BaseModel]] = {
    "TaskConfig": toml.TaskToml,
    "VerifierConfig": toml.VerifierTable,
    "VerifierCollectConfig": toml.CollectTable,
    "AgentConfig": toml.AgentTable,
    "SolutionConfig": toml.SolutionTable,
    "EnvironmentConfig": toml.EnvironmentTable,
    "HealthcheckConfig": toml.HealthcheckTable,
    "ArtifactConfig": toml.ArtifactTable,
    "StepConfig": toml.StepTable,
}

OWN = {"TaskConfig": {"version"}, "VerifierConfig": {"scale"}, "EnvironmentConfig": {"memory", "storage"}}
"""Keys that Harbor's models do not name: older ones that it renames first, and lorimer's own `scale`."""


@pytest.mark.parametrize("model", HARBOR)
def test_the_tables_have_the_keys_of_harbors(model: str) -> None:
    assert set(OURS[model].model_fields) == set(HARBOR[model].split()) | OWN.get(model, set())


def keys(data: dict[str, Any], before: str = "") -> set[str]:
    """The paths of all keys, without the numbers of lists."""
    found: set[str] = set()
    for name, value in data.items():
        path = f"{before}{name}"
        found.add(path)
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, dict):
                found |= keys(each, f"{path}.")
    return found


def test_every_key_of_the_schema_is_read_passed_over_or_refused() -> None:
    for text in (READ, PASSED_OVER, OLDER):
        toml.parse("t", text)
    said = keys(tomllib.loads(READ)) | keys(tomllib.loads(PASSED_OVER)) | keys(tomllib.loads(OLDER))
    said |= {f"environment.{key}" for key in REFUSED}
    tables = {
        "TaskConfig": "",
        "VerifierConfig": "verifier.",
        "VerifierCollectConfig": "verifier.collect.",
        "AgentConfig": "agent.",
        "SolutionConfig": "solution.",
        "EnvironmentConfig": "environment.",
        "HealthcheckConfig": "environment.healthcheck.",
        "ArtifactConfig": "artifacts.",
        "StepConfig": "steps.",
    }
    missing = {f"{tables[model]}{key}" for model, names in HARBOR.items() for key in names.split()} - said
    assert missing == set()


@pytest.mark.parametrize("table", ["environment", "verifier.environment"])
@pytest.mark.parametrize("key", REFUSED)
def test_what_cannot_be_honoured_is_refused_by_its_key(table: str, key: str) -> None:
    line, words = REFUSED[key]
    with pytest.raises(TaskError) as caught:
        toml.parse("t", f"[{table}]\n{line}\n")
    assert str(caught.value).startswith(f"task t: [{table}] {key}: ")
    assert words in str(caught.value)


def test_a_key_that_harbor_does_not_have_is_told() -> None:
    with pytest.raises(TaskError, match=r"task t: \[environment\] gpu: no such key in a Harbor task.toml"):
        toml.parse("t", "[environment]\ngpu = 1\n")
