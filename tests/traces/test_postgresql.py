"""What is PostgreSQL's own: its server may be away, refuse a password, or go in the middle of it; and two machines may write."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from sqlmodel import SQLModel

from lorimer.errors import ConfigError, LorimerError, UserError
from lorimer.traces import chain, migrations
from lorimer.traces.databases.base import Plain
from lorimer.traces.databases.postgresql import KEPT, Postgresql, lacking
from lorimer.traces.databases.urls import named
from lorimer.traces.reading.reader import StoreReader
from lorimer.traces.writing.store import Store
from tests.support import postgresql
from tests.support.engine_proxy import EngineProxy
from tests.support.postgresql import ESCAPED, PASSWORD, Server

from . import support as make


@pytest.fixture
def url(server: Server) -> Iterator[str]:
    made = server.store()
    yield made
    server.drop(made)


def test_the_schema_has_the_tables_columns_and_indices_of_the_models(url: str) -> None:
    columns = "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = current_schema()"
    indices = (
        "SELECT tablename, indexname FROM pg_indexes WHERE schemaname = current_schema() "
        "AND tablename <> 'alembic_version' AND indexname !~ '_pkey$|_key$'"
    )
    with Postgresql(url).plain() as connection:
        found = {(table, name) for table, name in connection.execute(columns)} - {("alembic_version", "version_num")}
        named = {(table, name) for table, name in connection.execute(indices)}
        assert Postgresql(url).revision(connection) == migrations.revisions()[-1]
    tables = SQLModel.metadata.tables.values()
    assert found == {(table.name, column.name) for table in tables for column in table.columns} | {("step", "words")}
    assert named == {(table.name, str(each.name)) for table in tables for each in table.indexes} | {
        ("step", "step_words")
    }


def test_a_schema_of_a_newer_lorimer_is_left_alone(url: str) -> None:
    _run(url, "UPDATE alembic_version SET version_num = '9999'")
    for opened in (Store.open, StoreReader):
        with pytest.raises(UserError, match=r"@/store\d+ was written by a newer lorimer .*; upgrade lorimer$"):
            opened(url)


async def test_two_stores_lie_in_one_database_each_in_its_schema(server: Server) -> None:
    url = server.empty()
    for name in ("one", "two"):
        _run(url, f"CREATE SCHEMA {name}")
        with Store.open(f"{url}&options=-csearch_path%3D{name}") as store:
            await store.create_study(make.study(name), [], "text")
    for name in ("one", "two"):
        (study,) = StoreReader(f"{url}&options=-csearch_path%3D{name}").studies()
        assert study.id == name
    server.drop(url)


async def test_a_store_is_restored_from_what_pg_dump_wrote(server: Server, url: str) -> None:
    begin = make.start()
    with Store.open(url) as store:
        await store.create_study(make.study(), [], "text")
        await make.finished_trial(store, begin, [make.ran(begin.id, "echo findme"), make.ran(begin.id, "ls")])
    there = server.restored(url)
    old, new = StoreReader(url), StoreReader(there)
    assert new.step_count(begin.id) == old.step_count(begin.id) == 2
    assert [hit.step.index for hit in new.search("findme")] == [0]
    assert new.chain() == old.chain()
    with Store.open(there) as store:  # and is written on to
        later = make.start("u")
        await make.finished_trial(store, later, [make.ran(later.id, "echo later")])
    assert len(StoreReader(there).search("echo")) == 2
    server.drop(there)


def test_another_programs_database_is_left_alone(server: Server) -> None:
    url = server.empty()
    _run(url, "CREATE TABLE study (x int)")
    with pytest.raises(UserError, match=r"is a database of another program; choose another"):
        Store.open(url)
    with pytest.raises(UserError, match="there are no traces at postgresql"):
        StoreReader(url)
    server.drop(url)


def test_questions_share_connections_which_end_with_their_reader(server: Server) -> None:
    url = server.store()
    database = Postgresql(url)
    assert len({_asked_by(database) for _ in range(5)}) == 1
    with ExitStack() as held:  # more at once than are kept
        several = [held.enter_context(database.plain()) for _ in range(3 * KEPT)]
        assert len({_backend(connection) for connection in several}) == 3 * KEPT
    with StoreReader(database) as reader:
        reader.studies()
    assert reader.studies() == []
    del database, reader, several, held
    gc.collect()
    other = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
        "AND backend_type = 'client backend'"
    )
    deadline = time.monotonic() + 30
    while _told(url, other) and time.monotonic() < deadline:  # a server takes a moment to see that one has left
        time.sleep(0.05)
    assert _told(url, other) == 0
    server.drop(url)


def test_a_connection_that_the_server_ended_is_replaced_before_it_is_asked(url: str) -> None:
    database = Postgresql(url)
    first = _asked_by(database)
    _told(url, f"SELECT pg_terminate_backend({first}, 30000)")
    assert _asked_by(database) != first
    assert StoreReader(database).studies() == []


def test_a_server_that_does_not_answer_is_one_line(server: Server) -> None:
    with pytest.raises(UserError) as caught:
        Store.open("postgresql+psycopg://someone:secret@127.0.0.1:1/db")
    said = str(caught.value)
    assert said.startswith("cannot open the trace store postgresql+psycopg://someone@127.0.0.1:1/db: connection failed")
    assert said.endswith("; see that the server runs and that [store] url names it")
    assert "\n" not in said
    assert "secret" not in said


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_that_cannot_hold_every_text_is_refused_before_anything_is_made(
    server: Server, encoding: str
) -> None:
    url = server.encoded(encoding)
    for opened in (Store.open, StoreReader):
        with pytest.raises(UserError, match=rf"in the encoding {encoding}, .*\(`createdb -E UTF8 -T template0 NAME`\)"):
            opened(url)
    server.drop(url)


@pytest.mark.parametrize(
    ("encoding", "version", "said"),
    [
        ("UTF8", 140000, ""),
        ("UTF8", 130014, "is on PostgreSQL 13; 14 or newer is needed: name such a server in [store] url"),
    ],
)
def test_an_older_server_is_named(encoding: str, version: int, said: str) -> None:
    assert lacking(encoding, version) == said


def test_texts_go_as_utf8_whatever_the_environment_says(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    assert StoreReader(url).sql("SELECT '日本 →' AS x").rows == (("日本 →",),)


def test_a_machine_that_is_gone_without_a_word_is_noticed_within_a_minute(url: str) -> None:
    for asked, idle in ((url, "30"), (f"{url}&keepalives_idle=7", "7")):
        engine = Postgresql(asked).writing()
        with engine.connect() as connection:
            told = connection.connection.driver_connection.info.get_parameters()  # type: ignore[union-attr]
        engine.dispose()
        assert told["keepalives_idle"] == idle
        assert (told["keepalives_interval"], told["keepalives_count"]) == ("10", "3")
        assert told["tcp_user_timeout"] == "60000"


def test_a_url_of_a_local_server_needs_no_host(url: str) -> None:
    database = url.split("@")[1]
    assert StoreReader(f"postgresql+psycopg://{database}&user=postgres").studies() == []


def test_a_schema_that_is_not_there_is_named_before_anything_is_written(url: str) -> None:
    with pytest.raises(UserError, match=r"has no schema to lie in: .*; make it \(`CREATE SCHEMA NAME`\)"):
        Store.open(f"{url}&options=-csearch_path%3Dnowhere")


async def test_a_role_that_may_not_write_or_read_is_told_what_it_needs(server: Server, url: str) -> None:
    _run(url, "CREATE ROLE guest LOGIN")
    guest = url.replace("postgres@", "guest@")
    try:
        with pytest.raises(
            UserError, match=r"permission denied for table \w+; let the role of .* read there \(GRANT\)"
        ):
            StoreReader(guest)
        _run(url, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO guest")
        assert StoreReader(guest).studies() == []
        with pytest.raises(UserError, match=r"permission denied for table \w+; let the role .* write there \(GRANT\)"):
            await _begin_study(guest)
    finally:
        _run(url, "DROP OWNED BY guest")
        _run(url, "DROP ROLE guest")


async def test_a_server_that_only_reads_is_told(url: str) -> None:
    only = f"{url}&options=-cdefault_transaction_read_only%3Don"
    with pytest.raises(UserError, match="cannot be written: its server only reads; name the one"):
        await _begin_study(only)
    assert StoreReader(only).studies() == []


def test_a_role_that_is_not_there_is_not_told_to_make_a_database(server: Server) -> None:
    with pytest.raises(UserError, match=r'role "nobody" does not exist; name the user in \[store\] url'):
        StoreReader(f"postgresql+psycopg://nobody@127.0.0.1:{server.port}/template_of_stores")


def test_a_wrong_password_is_one_line_without_it(server: Server) -> None:
    _run(server.url("postgres"), f"CREATE ROLE asked LOGIN PASSWORD '{PASSWORD}'")
    place = f"127.0.0.1:{server.port}/template_of_stores"
    with Postgresql(f"postgresql+psycopg://asked:{ESCAPED}@{place}").plain() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    for given in ("asked:wrong-word@", "asked@"):
        with pytest.raises(UserError) as caught:
            StoreReader(f"postgresql+psycopg://{given}{place}")
        said = str(caught.value)
        assert "password" in said
        assert "give the password as ${NAME} in it" in said
        assert "wrong-word" not in said
        assert "\n" not in said


def test_a_database_that_is_not_there_is_named(server: Server) -> None:
    with pytest.raises(UserError, match=r'database "nowhere" does not exist; make it there \(`createdb`\)'):
        Store.open(server.url("nowhere"))


@pytest.mark.parametrize(
    "url", ["postgresql://u@h/db", "postgresql+psycopg://u:hunter2@h", "postgresql+psycopg://u:hunter2@[h/db"]
)
def test_a_url_that_names_no_database_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ConfigError, match=r"write postgresql\+psycopg://USER@HOST/DATABASE") as caught:
        StoreReader(url)
    assert "hunter2" not in str(caught.value)


def test_a_url_whose_password_is_not_escaped_is_refused_without_it() -> None:
    with pytest.raises(UserError, match="is no URL of a database; write %XX") as caught:
        StoreReader("postgresql+psycopg://u:ba%zzword@h/db")
    assert "word" not in str(caught.value).replace("a password", "")


@pytest.mark.parametrize("sign", [*"@/?#[:", "@x/", "@x?", "/x?", "1/", "1?", "a?b="])
def test_a_sign_that_is_not_escaped_in_a_password_shows_no_part_of_it(sign: str) -> None:
    with pytest.raises(UserError) as caught:
        StoreReader(f"postgresql+psycopg://u:12{sign}zzword@127.0.0.1:1/db")
    assert "word" not in str(caught.value).replace("a password", "")
    assert "12" not in str(caught.value).replace("127.0.0.1", "")


@pytest.mark.parametrize(
    "url", ["h/db?user=a@b", "[::1]:5432/db?user=a@b", "h:1,i:2/db?user=a@b", "/db@home", "u@/db?host=/a@b"]
)
def test_an_at_sign_elsewhere_is_none_of_a_password(url: str) -> None:
    assert named(f"postgresql+psycopg://{url}") == f"postgresql+psycopg://{url.split('?')[0]}"


def test_another_scheme_is_named() -> None:
    with pytest.raises(ConfigError, match=r"begins with postgresql:// and not postgresql\+psycopg://"):
        Postgresql("postgresql://u@h/db")


def test_no_part_of_a_name_is_a_secret() -> None:
    shown = named("postgresql+psycopg://user:word@host:5432/db?password=word&sslmode=require#word")
    assert shown == "postgresql+psycopg://user@host:5432/db"


def test_a_missing_driver_is_said_with_what_to_install() -> None:
    program = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from lorimer.traces.reading.reader import StoreReader\n"
        "try: StoreReader('postgresql+psycopg://u@h/db')\n"
        "except Exception as error: print(type(error).__name__, error, error.exit_code)"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert said == (
        "UserError the trace store postgresql+psycopg://u@h/db needs the package psycopg, which is not installed; "
        "pip install 'lorimer[postgres]' 2\n"
    )


async def test_a_server_that_goes_away_stops_the_writer_and_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    for server in postgresql.running():
        url = server.store()
        store = Store.open(url)
        await store.create_study(make.study(), [], "text")
        await make.finished_trial(store, make.start())
        server.kill()
        with pytest.raises(LorimerError) as caught:
            await store.add_harness("b" * 64, "text")
        said = str(caught.value)
        assert said.startswith("the trace store postgresql+psycopg://postgres@/store0 cannot be written: ")
        assert said.endswith("; see that the server runs and can be reached")
        assert "\n" not in said
        store.close()
        server.start()
        assert [trial.state for trial in StoreReader(url).trials("s")] == ["scored"]


@pytest.fixture
def mute(server: Server, url: str, tmp_path: Path) -> Iterator[tuple[EngineProxy, str]]:
    """What can freeze the server for who comes by this URL, in which a silence of two seconds is looked into for two."""
    proxy = EngineProxy(tmp_path / ".s.PGSQL.5432", server.socket)
    patience = "connect_timeout=2&tcp_user_timeout=2000"
    yield proxy, f"{url.partition('?')[0]}?host={tmp_path}&port=5432&{patience}"
    proxy.stop()


FROZEN = r"the server has not answered for \d+ s; see that the server runs and can be reached"


async def test_a_frozen_server_is_given_up_by_who_writes_and_then_by_who_reads(mute: tuple[EngineProxy, str]) -> None:
    """The kernel goes on taking what is sent, so nothing else would end the wait."""
    proxy, url = mute
    with ExitStack() as opened:
        store = Store.open(url)
        opened.callback(store.close)
        await store.flush()
        reader = opened.enter_context(StoreReader(store))
        proxy.muted = True
        with pytest.raises(LorimerError, match=f"^the trace store .* cannot be written: {FROZEN}$"):
            await store.flush()
        with pytest.raises(LorimerError, match=r"^the trace store .* does not answer; see that"):
            reader.studies()


def test_a_frozen_server_is_given_up_in_the_middle_of_a_question(
    mute: tuple[EngineProxy, str], caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever asked says so; what is logged besides would come before it on a user's terminal."""
    proxy, url = mute

    def ask() -> None:
        with Postgresql(url).plain() as connection:
            proxy.muted = True
            connection.execute("SELECT 1")

    with pytest.raises(LorimerError, match=f"^cannot read the traces at .*: {FROZEN}, then try again$"):
        ask()
    assert caplog.text == ""


def test_a_server_that_freezes_after_its_answer_breaks_no_question_and_is_asked_anew(
    mute: tuple[EngineProxy, str], caplog: pytest.LogCaptureFixture
) -> None:
    proxy, url = mute
    database = Postgresql(url)
    with database.plain() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
        proxy.muted = True
    assert caplog.text == ""
    proxy.muted = False
    with database.plain() as connection:
        assert connection.execute("SELECT 2").fetchone() == (2,)
    assert caplog.text == ""


def test_a_question_that_takes_longer_than_silence_may_last_is_waited_for(mute: tuple[EngineProxy, str]) -> None:
    with Postgresql(mute[1]).plain() as connection:
        assert connection.execute("SELECT 7 FROM pg_sleep(5)").fetchone() == (7,)


async def test_who_is_told_to_stop_waits_for_no_frozen_server(server: Server, url: str, tmp_path: Path) -> None:
    """Not for the minute that a server may be silent otherwise."""
    proxy = EngineProxy(tmp_path / ".s.PGSQL.5432", server.socket)
    store = Store.open(f"{url.partition('?')[0]}?host={tmp_path}&port=5432&tcp_user_timeout=3600000")
    proxy.muted = True
    waits = asyncio.create_task(store.flush())
    await asyncio.sleep(0)
    waits.cancel()
    async with asyncio.timeout(120):
        with pytest.raises(asyncio.CancelledError):
            await waits
        with pytest.raises(LorimerError, match="the server has not answered for"):
            await store.flush()
    store.close()
    proxy.stop()


def test_two_processes_that_write_at_once_make_one_chain(url: str) -> None:
    program = (
        "import asyncio, sys\n"
        "from lorimer.traces.writing.store import Store\n"
        "async def main():\n"
        "    with Store.open(sys.argv[1]) as store:\n"
        "        print('ready', flush=True); sys.stdin.readline()\n"
        "        for number in range(40):\n"
        "            await store.note_program('s' + sys.argv[2], 'a', 'text', str(number))\n"
        "asyncio.run(main())\n"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", program, url, str(each)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for each in range(2)
    ]
    for each in writers:
        assert each.stdout is not None
        assert each.stdout.readline() == b"ready\n"
    for each in writers:
        each.communicate(b"go\n", timeout=60)
        assert each.returncode == 0
    entries = StoreReader(url).chain()
    assert len(entries) == 80
    assert chain.breaks(entries) == []


async def test_of_two_processes_one_runs_a_study(url: str) -> None:
    with Store.open(url) as store, Store.open(url) as other:
        await store.create_study(make.study(), [], "text")
        await store.claim("s", "elsewhere:1:1")
        with pytest.raises(UserError, match="study s is being run by process 1 on the machine elsewhere"):
            await other.claim("s", "here:2:2")


async def test_the_chain_and_decisions_cannot_be_changed_by_mistake(url: str) -> None:
    with Store.open(url) as store:
        await store.create_study(make.study(), [], "text")
    for statement in ("UPDATE chain SET kind = 'x'", "DELETE FROM chain"):
        with pytest.raises(psycopg.Error, match="chain is append-only"):
            _run(url, statement)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM trial",
        "DROP TABLE step",
        "SELECT 1; DELETE FROM trial",
        "COPY trial TO STDOUT",
        "SET default_transaction_read_only = off",
        "WITH gone AS (DELETE FROM trial RETURNING id) SELECT * FROM gone",
        "SELECT set_config('transaction_read_only', 'off', false)",
        "SELECT nextval(pg_get_serial_sequence('step', 'id'))",
        "SELECT * FROM nowhere",
        "",
    ],
)
def test_sql_only_reads(url: str, statement: str) -> None:
    with pytest.raises(UserError, match=r"^(SQL: |`traces sql` (only reads|takes one SELECT))") as caught:
        StoreReader(url).sql(statement)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("EXPLAIN SELECT 1", '`traces sql` takes one SELECT; SQL: syntax error at or near "EXPLAIN"'),
        ("SELECT date '0001-01-01 BC'", "SQL: date too small (before year 1): '0001-01-01 BC'"),
        ("SELECT 'infinity'::timestamp", "SQL: timestamp too large (after year 10K): 'infinity'"),
    ],
)
def test_what_sql_cannot_answer_is_said_of_the_users_own_statement(url: str, statement: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        StoreReader(url).sql(statement)
    assert str(caught.value) == said


def test_sql_answers_with_columns_and_rows(url: str) -> None:
    table = StoreReader(url).sql("SELECT n AS number, 'x%' AS word FROM generate_series(1, 5) AS n;", 3)
    assert (table.columns, table.rows) == (("number", "word"), ((1, "x%"), (2, "x%"), (3, "x%")))


async def test_a_text_of_more_words_than_an_entry_holds_is_found_by_its_beginning(url: str) -> None:
    begin = make.start()
    text = " ".join(f"word{number}" for number in range(120_000))
    with Store.open(url) as store:
        await make.finished_trial(store, begin, [make.ran(begin.id, "cat", text)])
    assert len(StoreReader(url).search("word7")) == 1


def _run(url: str, statement: str) -> None:
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(statement.encode())


async def _begin_study(url: str) -> None:
    with Store.open(url) as store:
        await store.create_study(make.study(), [], "text")


def _backend(connection: Plain) -> int:
    """Which of the server's processes answers."""
    return int(connection.execute("SELECT pg_backend_pid()").fetchone()[0])


def _asked_by(database: Postgresql) -> int:
    with database.plain() as connection:
        return _backend(connection)


def _told(url: str, statement: str) -> int:
    """The number that a connection apart is told."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        return int((connection.execute(statement.encode()).fetchone() or [0])[0])
