"""`[store] url`: where it is read, what is said where it is wrong, and that no password of it is shown or kept."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from lorimer.config.settings import parse
from lorimer.errors import UserError
from lorimer.keys import Keys
from lorimer.meta_agent.workspace.session import scrub_for
from lorimer.meta_agent.workspace.where import store_at
from lorimer.traces.scrub import MASK
from lorimer.traces.writing.store import Store
from tests.cli.support import process, refused, start, typed
from tests.support import postgresql
from tests.support.engine_proxy import EngineProxy
from tests.support.postgresql import ESCAPED, PASSWORD, Server


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    yield from postgresql.running()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "lorimer.toml").touch()
    return tmp_path


def stored_at(root: Path, url: str) -> None:
    (root / "lorimer.toml").write_text(f"[store]\nurl = {json.dumps(url)}\n")


@pytest.mark.parametrize("command", [("status",), ("traces", "ls"), ("verify",), ("studies",), ("log",)])
def test_a_server_that_does_not_answer_is_one_line(
    root: Path, capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    stored_at(root, "postgresql+psycopg://someone:hunter2@127.0.0.1:1/db")
    said = refused(capsys, 2, *command, "-C", root)
    assert "cannot open the trace store postgresql+psycopg://someone@127.0.0.1:1/db: connection failed" in said
    assert "hunter2" not in said


def test_doctor_says_whether_the_server_answers(root: Path, server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    for url, said in (
        (server.url("template_of_stores"), "ok       store"),
        ("postgresql+psycopg://u:hunter2@127.0.0.1:1/d", "MISSING  store"),
    ):
        stored_at(root, url)
        out = typed(capsys, "doctor", "-C", root).out
        assert said in out
        assert "hunter2" not in out


@pytest.mark.bubblewrap
@pytest.mark.slow
def test_a_study_whose_server_freezes_ends_with_the_command_that_goes_on(
    bubblewrap: None, workspace: Path, server: Server, tmp_path: Path
) -> None:
    url, folder = server.store(), tmp_path / "socket"
    folder.mkdir()
    proxy = EngineProxy(folder / ".s.PGSQL.5432", server.socket)
    settings = (workspace / "lorimer.toml").read_text()
    patience = "connect_timeout=2&tcp_user_timeout=2000"
    place = f"{url.partition('?')[0]}?host={folder}&port=5432&{patience}"
    (workspace / "lorimer.toml").write_text(f"{settings}[store]\nurl = {json.dumps(place)}\n")
    running = start("optimize", "--quiet", "-C", workspace)
    try:
        while not finished(url):
            assert running.poll() is None, running.communicate()
            time.sleep(0.05)
        proxy.muted = True
        out, err = running.communicate()
    finally:
        running.kill()
        running.communicate()
        proxy.stop()
    assert (running.returncode, out) == (1, "")
    # Whoever hears of it first says it: what writes, what reads, or what would open another connection.
    assert re.fullmatch(
        r"lorimer: (the trace store postgresql\S* cannot be written|cannot (read|open) the trace\S* .*postgresql.*): .*; see "
        "that the server runs and can be reached.*; what has finished is kept, and once that is put right, "
        f"`lorimer resume study-1 -C {workspace}` goes on\n",
        err,
    ), err
    (workspace / "lorimer.toml").write_text(f"{settings}[store]\nurl = {json.dumps(url)}\n")
    assert process("resume", "study-1", "--quiet", "-C", workspace).code == 0
    server.drop(url)


def finished(url: str) -> bool:
    """Whether a trial has; it is read beside the study, by another way."""
    with closing(psycopg.connect(url.replace("+psycopg", ""))) as connection:
        found = connection.execute("SELECT count(*) FROM trial WHERE state = 'scored'").fetchone()
    return bool(found and found[0])


def test_a_variable_that_is_not_set_is_named(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stored_at(root, "postgresql+psycopg://someone:${NO_SUCH_WORD}@127.0.0.1:1/db")
    assert "store.url: ${NO_SUCH_WORD} is neither in the environment" in refused(capsys, 2, "status", "-C", root)


@pytest.mark.parametrize("url", ["mysql://u:hunter2@h/db", "postgres://u:hunter2@h/db"])
def test_another_kind_of_url_is_refused_without_its_password(
    root: Path, capsys: pytest.CaptureFixture[str], url: str
) -> None:
    stored_at(root, url)
    said = refused(capsys, 2, "status", "-C", root)
    assert "store.url" in said
    assert "names no database that lorimer knows; write postgresql+psycopg://USER@HOST/DATABASE" in said
    assert "hunter2" not in said


def test_a_command_line_cannot_move_the_store(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, 2, "run", "--set", "store.url=sqlite:////tmp/x.db", "-C", root)
    assert "--set store.url: is read from lorimer.toml alone, where every command finds it; set it there" in said


def test_a_store_is_copied_there_and_back(
    root: Path, server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Store.open(root / ".lorimer" / "lorimer.db").close()
    monkeypatch.setenv("STORE_URL", server.empty())
    said = typed(capsys, "store", "copy", root, "${STORE_URL}", "-C", root).out
    assert said.startswith("copied 0 studies in 0 rows to postgresql+psycopg://postgres@/store")
    assert "there as here" in said
    stored_at(root, "${STORE_URL}")
    assert typed(capsys, "store", "copy", root, root / "back.db", "-C", root, "--json").json()["studies"] == 0
    assert "cannot be copied to itself" in refused(capsys, 2, "store", "copy", root, "${STORE_URL}", "-C", root)
    assert "there are no traces at" in refused(capsys, 2, "store", "copy", root / "none.db", "x.db", "-C", root)


def test_a_password_may_come_from_a_variable_whatever_signs_it_has(
    root: Path, server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_role(server)
    monkeypatch.setenv("STORE_WORD", PASSWORD)
    place = f"127.0.0.1:{server.port}/template_of_stores"
    stored_at(root, f"postgresql+psycopg://asked:${{STORE_WORD}}@{place}")
    assert typed(capsys, "traces", "sql", "SELECT 1 AS one", "-C", root).out.split() == ["one", "1"]
    monkeypatch.setenv("STORE_URL", store_url(root))
    stored_at(root, "${STORE_URL}")
    assert store_at(root).name == f"postgresql+psycopg://asked@{place}"
    monkeypatch.setenv("STORE_WORD", "another-word")
    stored_at(root, f"postgresql+psycopg://asked:${{STORE_WORD}}@{place}")
    said = refused(capsys, 2, "status", "-C", root)
    assert "give the password as ${NAME} in it" in said
    assert "another-word" not in said


def test_the_password_of_a_url_is_masked_in_all_that_is_written(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORE_WORD", PASSWORD)
    for url in (
        "postgresql+psycopg://u:${STORE_WORD}@h/db",
        "postgresql+psycopg://u:no-letter%3A%2F%40%25%3F%26%20%C3%A9@h/db",
        "postgresql+psycopg://u@h/db?sslmode=require&password=no-letter%3A%2F%40%25%3F%26%20%C3%A9",
        "postgresql+psycopg://u@h/db?sslpassword=${STORE_WORD}",
    ):
        scrub = scrub_for(parse({"store": {"url": url}}), Keys.open(root))
        assert scrub(f"it is {PASSWORD} here") == f"it is {MASK} here"
        assert "no-letter" not in scrub(url)


def test_a_password_that_the_driver_finds_by_itself_is_masked_too(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    scrub = scrub_for(parse({"store": {"url": "postgresql+psycopg://u@h/db"}}), Keys.open(root))
    assert scrub(f"it is {PASSWORD} here") == f"it is {MASK} here"


def test_doctor_says_where_no_store_can_be_made(root: Path, server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    empty = server.empty()
    with psycopg.connect(empty.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("CREATE ROLE stranger LOGIN")
    stranger = empty.replace("postgres@", "stranger@")
    for url, said in (
        (empty, "nothing is there yet"),
        (stranger, "cannot be made: the role stranger may make no tables in the schema public"),
        (f"{empty}&options=-csearch_path%3Dnowhere", "has no schema to lie in"),
    ):
        stored_at(root, url)
        assert said in typed(capsys, "doctor", "-C", root).out
    assert "has no schema to lie in" in refused(capsys, 2, "status", "-C", root)
    stored_at(root, stranger)
    assert "there are no traces at" in refused(capsys, 2, "status", "-C", root)
    with pytest.raises(UserError, match=r'`GRANT CREATE ON SCHEMA "public" TO "stranger"`'):
        Store.open(stranger)


def store_url(root: Path) -> str:
    return (root / "lorimer.toml").read_text().split('"')[1].replace("${STORE_WORD}", ESCAPED)


def with_role(server: Server) -> None:
    with psycopg.connect(server.url("template_of_stores").replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(f"CREATE ROLE asked LOGIN PASSWORD '{PASSWORD}'".encode())
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO asked")
