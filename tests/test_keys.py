"""Keys are found where users keep them, and go nowhere else."""

from __future__ import annotations

import os
import pickle
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from lorimer.errors import ConfigError
from lorimer.failures import explain, traceback_text
from lorimer.keys import Keys, child_environment
from lorimer.meta_agent.workspace.repository import Workspace
from lorimer.traces.scrub import MASK, scrubber
from tests.cli.support import typed

KEY = "zq-Ab3dEf6hIj9lMn0pQr5tUv"
"""A key of no shape that anybody would know."""

RING = '''
import json, os, keyring.backend

class Ring(keyring.backend.KeyringBackend):
    """A keyring in a file, for tests."""
    priority = 1

    def get_password(self, service, username):
        if os.environ.get("TEST_RING_LOCKED"):
            raise keyring.errors.KeyringLocked("locked")
        with open(os.environ["TEST_RING"]) as file:
            return json.load(file).get(f"{service}/{username}")

    def set_password(self, service, username, password): ...
    def delete_password(self, service, username): ...
'''


def test_the_environment_wins_over_dotenv_and_blank_values_are_none(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("# keys\nA=from-file\nexport B='quoted $HOME'\nB2=\"with#hash\"\nC=\nD=file\nE=  \n")
    before = dict(os.environ)
    keys = Keys.open(tmp_path, {"A": "from-environment", "C": " ", "D": ""})
    assert keys.find("A") == ("from-environment", "environment")
    assert keys.find("B2") == ("with#hash", ".env")
    assert keys.find("D") == ("file", ".env")
    assert (keys.find("C"), keys.find("E"), keys.source("nowhere")) == (None, None, None)
    assert dict(os.environ) == before
    with pytest.raises(ConfigError, match=r"^B \(\.env\): it holds a blank, a control character or a letter"):
        keys.find("B")
    assert keys.find("B", any_text=True) == ("quoted $HOME", ".env")


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("\ufeffA=from-file\n")
    assert Keys.open(tmp_path, {}).find("A") == ("from-file", ".env")


def test_a_dotenv_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"A=\xff\xfe\n")
    with pytest.raises(ConfigError, match=r"\.env: cannot be read: not UTF-8"):
        Keys.open(tmp_path)


@pytest.mark.parametrize(("locked", "found"), [("", f"('{KEY}', 'keyring')"), ("1", "None")])
def test_a_keyring_is_asked_last_and_may_be_locked(tmp_path: Path, locked: str, found: str) -> None:
    (tmp_path / "ringfile.py").write_text(RING)
    (tmp_path / "ring.json").write_text(f'{{"lorimer/MINE": "{KEY}"}}')
    code = "from pathlib import Path\nfrom lorimer.keys import Keys\nprint(Keys.open(Path('.')).find('MINE'))"
    environment = {
        **os.environ,
        "PYTHONPATH": str(tmp_path),
        "PYTHON_KEYRING_BACKEND": "ringfile.Ring",
        "TEST_RING": str(tmp_path / "ring.json"),
        "TEST_RING_LOCKED": locked,
    }
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == found, done.stderr


def test_without_a_keyring_the_message_says_how_to_get_one() -> None:
    assert "pip install 'lorimer[keyring]'" in Keys({}).missing
    assert Keys({}, ring=lambda name: None).missing.endswith("nor in the keyring")


def test_the_object_shows_and_gives_away_nothing(tmp_path: Path) -> None:
    keys = Keys({"A_KEY": KEY}, {"B_TOKEN": KEY + "2", "COLOUR": "blue-and-green"})
    assert KEY not in repr(keys) + str(keys) + f"{keys!r}"
    with pytest.raises(TypeError):
        pickle.dumps(keys)
    assert sorted(keys.values(["A_KEY", "NONE"])) == [KEY, KEY + "2"]


def test_no_child_process_inherits_a_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("OPENAI_API_KEY", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "db_password", "PGPASSWORD", "HOUSE"):
        monkeypatch.setenv(name, KEY)
    monkeypatch.setenv("PLAIN", "kept")
    Keys().find("HOUSE")  # looked up as a key, whatever its name
    assert KEY not in child_environment().values()
    assert child_environment({"MORE": "x"})["PLAIN"] == "kept"
    # Git is a child like any other.
    shim = tmp_path / "bin" / "git"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\nenv >> {tmp_path}/seen\nPATH="${{PATH#*:}}" exec git "$@"\n')
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", f"{shim.parent}:{os.environ['PATH']}")
    root = tmp_path / "work"
    assert typed(capsys, "init", root).code == 0
    Workspace(root).check()
    seen = (tmp_path / "seen").read_text()
    assert "PLAIN=kept" in seen
    assert KEY not in seen


def test_doctor_says_which_keys_are_set_and_where_never_their_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "work"
    assert typed(capsys, "init", root, "--model", "openai/gpt-6.1-terra").code == 0
    assert ".env" in (root / ".gitignore").read_text().split()
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)

    def findings() -> dict[str, tuple[str, str]]:
        said = typed(capsys, "doctor", "--offline", "-C", root, "--json")
        assert KEY not in said.out + said.err
        return {each["what"]: (each["level"], each["said"]) for each in said.json()}

    found = findings()
    assert found["keys"] == ("ok", "ANTHROPIC_API_KEY: environment, OPENAI_API_KEY: not set")
    assert found["task model"][0] == "missing"
    (root / ".env").write_text(f"OPENAI_API_KEY={KEY}\n")
    (root / ".env").chmod(0o600)
    found = findings()
    assert found["task model"] == ("ok", "openai/gpt-6.1-terra: OPENAI_API_KEY is set (.env); not asked (--offline)")
    assert found[".env"] == ("ok", "ignored by git, readable by you alone")
    (root / ".env").chmod(stat.S_IRUSR | stat.S_IROTH)
    assert findings()[".env"] == ("warning", "other users of this machine can read it")
    (root / ".gitignore").write_text("")
    assert findings()[".env"] == ("warning", "git does not ignore it: a commit could take keys along")


def test_doctor_names_a_headers_variable_that_is_not_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "work"
    assert typed(capsys, "init", root, "--model", "local/model").code == 0
    path = root / "lorimer.toml"
    path.write_text(f'{path.read_text()}\n[providers.local.headers]\nX-Key = "${{GATEWAY_KEY}}"\n')
    said = typed(capsys, "doctor", "-C", root, "--json")
    found = {each["what"]: each for each in said.json()}
    assert found["task model"]["level"] == "missing"
    assert found["task model"]["said"].startswith(
        "local/model: GATEWAY_KEY, which a header of [providers.local] names, is neither in the environment nor in .env"
    )
    assert found["task model"]["fix"].startswith("export GATEWAY_KEY=..., or write it to ")
    assert "GATEWAY_KEY: not set" in found["keys"]["said"]


def test_errors_and_tracebacks_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_API_KEY", KEY)

    def fail() -> None:
        raise ValueError(f"Illegal header value b'Bearer {KEY}'")

    with pytest.raises(ValueError) as caught:
        fail()
    assert KEY not in traceback_text(caught.value)
    assert "Traceback (most recent call last)" in traceback_text(caught.value)
    assert MASK in explain(caught.value).said
    assert KEY not in explain(caught.value).said


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("http://user:hunter22@proxy:8080/v1", f"http://user:{MASK}@proxy:8080/v1"),
        ("https://example.org/a:b@c", "https://example.org/a:b@c"),
        ("postgres://me:p%40ss@db/x", f"postgres://me:{MASK}@db/x"),
    ],
)
def test_passwords_in_addresses_are_masked(text: str, masked: str) -> None:
    assert scrubber()(text) == masked
