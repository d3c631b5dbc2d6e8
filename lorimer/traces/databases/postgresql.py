"""A store in a database of a PostgreSQL server, which `[store] url` names: `postgresql+psycopg://USER@HOST/DATABASE`.

What SQLite gives by its one writer to a file, this gives by one lock for each store (an advisory lock, by the schema's name):
every transaction that writes takes it first and has it until it ends. A lock for each study would not do: a store's chain is one,
whatever study an entry is of, and what reads its last entry and adds the next must not be done by two at once. Transactions take
milliseconds, and each statement in one sees what was committed before it began, so who waited for the lock reads what the one
before it wrote.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import cached_property, lru_cache, partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from lorimer.errors import ConfigError, LorimerError, UserError
from lorimer.traces import codec
from lorimer.traces.databases import tsvector, urls
from lorimer.traces.databases.base import (
    FLAGGED,
    STEP_COLUMNS,
    Plain,
    Rows,
    SearchQuery,
    Spare,
    StatementAnswer,
    put,
)

if TYPE_CHECKING:
    from concurrent.futures import Future

    import psycopg
    from sqlalchemy import Connection, Engine
    from sqlalchemy import Table as SqlTable
    from sqlalchemy.pool import ConnectionPoolEntry, PoolResetState

    from lorimer.traces.databases.silence import Hurried

OLDEST = 14
"""The first version of the server whose SQL has all that a store is made of."""
CONNECT_SECONDS = 10
"""How long to wait for a server that does not answer, if the URL does not say (`?connect_timeout=`)."""
SILENT = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3, "tcp_user_timeout": 60_000}
"""After how many seconds (the last: milliseconds) a machine that is gone without a word counts as gone, if the URL does not say.
The system's own answer to that is two hours, for which a study would wait for its server. A server that is there and answers
nothing is waited for as long where something is to be stored, and for the time to connect where something is read (`silence`)."""
BUSY_SECONDS = 30
"""How long to wait for another process that writes to the same store. Its transactions take milliseconds."""
KEPT = 4
"""Connections that stay open between questions. A study's process rarely asks more than that at once; what is opened beyond them
is closed after its question."""
LOCK = 0x10121E12
"""The first half of the advisory lock's key, which tells lorimer's locks from others'; the second is the store's schema."""

_REACH = "see that the server runs and can be reached"
_ROOM = (
    "SELECT current_schema(), current_user, to_regclass('alembic_version') IS NOT NULL "
    "OR coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)"
)
_BEGIN = "SELECT set_config('synchronous_commit', '{}', true), pg_advisory_xact_lock({}, hashtext(current_schema()))"


class Postgresql:
    """A `base.Database`: a few connections that questions share, beside one writer."""

    def __init__(self, url: str) -> None:
        self._name = urls.named(url)
        parts = urlsplit(url)
        if parts.scheme != urls.SCHEME or len(parts.path) < 2:
            wrong = (
                "names no database"
                if parts.scheme == urls.SCHEME
                else f"begins with {parts.scheme}:// and not {urls.SCHEME}://"
            )
            raise ConfigError(f"{self._name}: {wrong}; write {urls.SCHEME}://USER@HOST/DATABASE")
        self._dsn = url.replace(urls.SCHEME, "postgresql", 1)
        try:
            import psycopg  # noqa: F401
        except ImportError:
            missing = f"the trace store {self._name} needs the package psycopg, which is not installed"
            raise UserError(missing, "pip install 'lorimer[postgres]'") from None
        from lorimer.traces.databases.silence import Hurried

        self._hurried = Hurried()

    @property
    def name(self) -> str:
        return self._name

    def __eq__(self, other: object) -> bool:
        # Two names may be alike: a schema and a socket's folder are settings, which a name leaves out.
        return isinstance(other, Postgresql) and self._dsn == other._dsn

    def __hash__(self) -> int:
        return hash(self._dsn)

    def has_store(self) -> bool:
        with self.plain() as connection:
            if self.revision(connection) is not None:
                return True
            self._schema(connection.execute("SELECT current_schema()").fetchone()[0])
            return False

    def older(self) -> str:
        return "`lorimer resume` or `lorimer run` upgrades it"

    @contextmanager
    def plain(self) -> Iterator[Plain]:
        import psycopg

        try:
            with closing(self._readers.raw_connection()) as lent:
                connection: psycopg.Connection[Any] | None = lent.driver_connection
                assert connection is not None
                yield _Plain(connection)
        except psycopg.Error as error:
            raise self.unreadable(error) from None

    def reading(self) -> Engine:
        return self._readers

    def writing(self) -> Engine:
        connect = partial(_connect, self._dsn, self._name, self._hurried, reads=False)
        with closing(connect()) as connection:  # what is wrong is said here, not by the writer's thread
            schema, role, may = connection.execute(_ROOM).fetchone() or (None, "", False)
            self._schema(schema)
            if not may:
                raise UserError(
                    f"the trace store {self._name} cannot be made: the role {role} may make no tables in the schema {schema}",
                    f'let it (`GRANT CREATE ON SCHEMA "{schema}" TO "{role}"`, as who owns the database), or make a database of '
                    f"its own (`createdb -O {role} NAME`)",
                )
        return _engine(connect, pool_size=1, max_overflow=0)

    def hurry(self, until: Future[Any]) -> None:
        self._hurried.add(until)

    def begin(self, connection: Connection, *, full: bool) -> None:
        connection.exec_driver_sql(_BEGIN.format("on" if full else "off", LOCK))

    def within(self, connection: Connection) -> Plain:
        found: psycopg.Connection[Any] | None = connection.connection.driver_connection
        assert found is not None
        return _Plain(found)

    def insert(self, table: SqlTable) -> Any:
        from sqlalchemy.dialects.postgresql import insert

        return insert(table)

    @property
    def step_text(self) -> str:
        return "text"  # its JSON may hold what the server does not look into

    def put_steps(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        # The server keeps its index itself.
        put(connection, "step", (*STEP_COLUMNS, self.step_text), rows, anew=False)

    def copied(self, connection: Connection, table: str) -> None:
        if table in ("condition", "step"):
            last = connection.exec_driver_sql(f"SELECT max(id) FROM {table}").scalar()  # noqa: S608
            if last is not None:  # the numbers that the server gives go on from there
                connection.exec_driver_sql(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), {int(last)})")

    def damage(self, connection: Connection) -> str:
        return ""  # a server looks after its pages itself

    def revision(self, connection: Plain) -> str | None:
        if connection.execute("SELECT to_regclass('alembic_version')").fetchone()[0] is None:
            return None
        found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        return None if found is None else str(found[0])

    def unreadable(self, cause: BaseException) -> LorimerError:
        import psycopg

        problem = f"cannot read the traces at {self._name}: {_line(str(cause))}"
        if isinstance(cause, psycopg.errors.InsufficientPrivilege):
            return UserError(problem, "let the role of [store] url read there (GRANT), or name one that may")
        if isinstance(cause, psycopg.OperationalError):
            return LorimerError(f"{problem}; {_REACH}, then try again")
        return LorimerError(problem)

    def unwritable(self, cause: BaseException) -> LorimerError | None:
        import psycopg

        if not isinstance(cause, psycopg.Error):
            return None
        if isinstance(cause, psycopg.errors.LockNotAvailable):
            advice = "another process has been writing to it for long; end that one"
        elif isinstance(cause, psycopg.errors.DiskFull):
            advice = "free space on the server's disk"
        elif isinstance(cause, psycopg.errors.InsufficientPrivilege):
            return UserError(
                f"the trace store {self._name} cannot be written: {_said(cause)}",
                "let the role of [store] url write there (GRANT), or name one that may",
            )
        elif isinstance(cause, psycopg.errors.ReadOnlySqlTransaction):
            return UserError(
                f"the trace store {self._name} cannot be written: its server only reads",
                "name the one that it follows in [store] url, or set default_transaction_read_only = off for the role",
            )
        elif isinstance(cause, psycopg.OperationalError):
            advice = _REACH
        else:
            return None
        return LorimerError(f"the trace store {self._name} cannot be written: {_said(cause)}; {advice}")

    def spare(self) -> Spare | None:
        return None  # its autovacuum makes free rows ready for others

    def give_back(self) -> None:
        pass

    def search(self, connection: Plain, asked: SearchQuery) -> list[tuple[int, str]]:
        return tsvector.search(connection, asked)

    def matching(self, connection: Plain, words: str, first: int, last: int) -> list[int]:
        return tsvector.matching(connection, words, first, last)

    def snippets(self, connection: Plain, words: str, numbers: Sequence[int]) -> list[str]:
        return tsvector.snippets(connection, words, numbers)

    def facts(self, connection: Plain, owners: Sequence[str], said: int) -> list[tuple[Any, ...]]:
        # A server refuses to look into JSON that holds what its own texts cannot (NUL), so this does.
        rows = connection.execute(
            'SELECT owner, "index", kind, data FROM step WHERE owner IN (SELECT value FROM json_each(?)) '
            "AND kind <> 'verdict' ORDER BY owner, \"index\"",
            [codec.dumps(list(owners))],
        ).fetchall()
        steps = [(owner, index, kind, codec.loads(data)) for owner, index, kind, data in rows]
        answers = sorted({step["completion"] for *_, step in steps if step.get("completion")})
        bodies = connection.execute(
            "SELECT sha, body FROM message WHERE sha IN (SELECT value FROM json_each(?))", [codec.dumps(answers)]
        ).fetchall()
        told = {sha: codec.loads(body) for sha, body in bodies}
        return [(owner, index, kind, *_facts(kind, data, told, said)) for owner, index, kind, data in steps]

    def flagged(self, connection: Plain, study: str) -> list[tuple[str, str, str]]:
        return connection.execute(FLAGGED.format(hint=""), [study]).fetchall()

    def ask(self, statement: str, limit: int | None) -> StatementAnswer:
        import psycopg

        with closing(_connect(self._dsn, self._name, self._hurried, reads=True)) as connection:
            try:
                # A cursor can be declared for what reads alone, and for one statement.
                connection.execute(
                    b"DECLARE asked NO SCROLL CURSOR FOR " + statement.rstrip("; \n").encode(), prepare=True
                )
                found = connection.execute(
                    "FETCH ALL FROM asked" if limit is None else f"FETCH {int(limit)} FROM asked"
                )
                columns = tuple(column.name for column in found.description or ())
                # A value that Python has no form for (a date before the year 1) fails only here.
                return StatementAnswer(columns, tuple(tuple(row) for row in found.fetchall()))
            except psycopg.errors.ReadOnlySqlTransaction as error:
                raise UserError(f"`traces sql` only reads; this would write: {_about(error)}") from None
            except psycopg.errors.SyntaxError as error:
                raise UserError(f"`traces sql` takes one SELECT; SQL: {_about(error)}") from None
            except psycopg.Error as error:
                raise UserError(f"SQL: {_about(error)}") from None

    def _schema(self, found: str | None) -> None:
        """Raises UserError where there is none."""
        if found is None:
            raise UserError(
                f"the trace store {self._name} has no schema to lie in: the one that its URL names is not there",
                "make it (`CREATE SCHEMA NAME`), or name another in [store] url",
            )

    @cached_property
    def _readers(self) -> Engine:
        """The connections for questions. They end with this object, so whoever asks has nothing to close."""
        # Without a reference to this object, which would then never end.
        connect = partial(_connect, self._dsn, self._name, self._hurried, reads=True)
        # One that the server has ended since it was last used is noticed before a question is asked.
        found = _engine(connect, pool_size=KEPT, max_overflow=-1, pool_pre_ping=True)
        weakref.finalize(self, found.dispose)
        return found


class _Plain:
    """A connection of psycopg as a `base.Plain`."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def execute(self, statement: str, values: Sequence[Any] = (), /) -> Rows:
        found: Rows = self._connection.execute(_translated(statement).encode(), list(values))
        return found


def _engine(connect: Callable[[], psycopg.Connection[Any]], **pool: Any) -> Engine:
    from sqlalchemy import create_engine, event

    found = create_engine(f"{urls.SCHEME}://", creator=connect, pool_reset_on_return=None, **pool)
    event.listen(found, "reset", _reset)
    return found


def _reset(connection: Any, entry: ConnectionPoolEntry, state: PoolResetState) -> None:
    """Make a connection ready for whoever takes it next, and close one whose server does not answer that: the pool's own reset
    would log a traceback of it, before the line that says what happened."""
    import psycopg

    if state.transaction_was_reset:
        return
    try:
        connection.rollback()
    except psycopg.OperationalError as error:
        entry.invalidate(error)


def _connect(dsn: str, name: str, hurried: Hurried, *, reads: bool) -> psycopg.Connection[Any]:
    import psycopg

    from lorimer.traces.databases.silence import Listening

    if hurried.over:
        raise LorimerError(f"the trace store {name} does not answer; {_REACH}")
    options = f"-c lock_timeout={BUSY_SECONDS}s -c client_min_messages=warning"
    options += " -c default_transaction_isolation=read\\ committed"
    if reads:
        options += " -c default_transaction_read_only=on"
    try:
        given = psycopg.conninfo.conninfo_to_dict(dsn)
    except psycopg.Error:  # whose words may hold the password
        wrong = f"{name}: is no URL of a database"
        raise UserError(
            wrong,
            f"{urls.ESCAPE}; after ? come PostgreSQL's own settings, such as sslmode=require",
        ) from None
    try:
        given["options"] = f"{given.get('options') or ''} {options}".strip()
        given.setdefault("connect_timeout", CONNECT_SECONDS)
        given.setdefault("application_name", "lorimer")
        given["client_encoding"] = "UTF8"  # whatever PGCLIENTENCODING says
        for setting, value in SILENT.items():
            given.setdefault(setting, value)
        connection = Listening.connect(**given)  # type: ignore[arg-type]
    except psycopg.Error as error:
        problem = f"cannot open the trace store {name}: {_line(str(error))}"
        if hurried.reached:
            raise LorimerError(f"{problem}; {_REACH}") from None
        raise UserError(problem, _helps(str(error))) from None
    hurried.reached = True
    info = connection.info
    unfit = lacking(info.parameter_status("server_encoding") or "", info.server_version)
    if unfit:
        connection.close()
        raise UserError(f"the trace store {name} {unfit}") from None
    connection.adapters.register_loader("numeric", _number())
    silence = int(given["connect_timeout"] or 0) if reads else int(given["tcp_user_timeout"] or 0) / 1000
    connection.listen(silence if silence > 0 else SILENT["tcp_user_timeout"] / 1000, given, hurried, writes=not reads)
    return connection


def lacking(encoding: str, version: int) -> str:
    """Why a database cannot hold a store, as the end of a sentence, with what to do; "" where it can.

    Args:
        version: as the server tells it: 150018 is 15.18.
    """
    if version < OLDEST * 10_000:
        return f"is on PostgreSQL {version // 10_000}; {OLDEST} or newer is needed: name such a server in [store] url"
    if encoding != "UTF8":
        return (
            f"is a database in the encoding {encoding}, and traces hold all of Unicode; make another "
            "(`createdb -E UTF8 -T template0 NAME`) and name that in [store] url"
        )
    return ""


@lru_cache(maxsize=256)
def _translated(statement: str) -> str:
    """A question as psycopg takes it."""
    text = statement.replace("%", "%%").replace("json_each(?)", "json_array_elements_text(?::json)")
    return text.replace("?", "%s")


def _number() -> Any:
    from psycopg.adapt import Loader

    class Number(Loader):
        """Sums of whole numbers, which the server makes without a bound, as what they are in Python."""

        def load(self, data: Any) -> int | float:
            text = bytes(data).decode()
            return int(text) if text.lstrip("-").isdigit() else float(text)

    return Number


def _line(said: str) -> str:
    return " ".join(said.split())


def _said(error: psycopg.Error) -> str:
    """What went wrong in the server's words, without its hints: what helps is said here."""
    return _line(error.diag.message_primary or str(error))


def _about(error: psycopg.Error) -> str:
    """What is wrong with a user's own statement, without the one that it was put into."""
    told = error.diag
    return _line("; ".join(filter(None, (told.message_primary or str(error), told.message_hint))))


def _helps(said: str) -> str:
    if "password" in said:
        return "name the user in [store] url, and give the password as ${NAME} in it, from a variable NAME, or in ~/.pgpass"
    if 'role "' in said and "does not exist" in said:
        return "name the user in [store] url, or make that role on the server (`createuser`)"
    if "does not exist" in said:
        return "make it there (`createdb`), or name another in [store] url"
    return "see that the server runs and that [store] url names it"


def _facts(kind: str, data: Mapping[str, Any], told: Mapping[str, Mapping[str, Any]], said: int) -> tuple[Any, ...]:
    answer = told.get(data.get("completion") or "", {}) if kind == "model_call" else {}
    usage = data.get("usage") or {}
    called = codec.dumps(answer["tool_calls"]) if "tool_calls" in answer else None
    return (
        data.get("command"), data.get("exit_code"), data.get("timed_out"),
        len(data.get("stdout") or "") + len(data.get("stderr") or ""),
        data.get("path"), data.get("stop_reason"), data.get("error"),
        usage.get("input_tokens", 0), usage.get("output_tokens", 0),
        (answer.get("text") or "")[:said], called, data.get("tools"),
    )  # fmt: skip
