"""A PostgreSQL server of a test run's own, in a temporary folder, with one empty database for each test that wants one."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from lorimer.traces.databases.urls import SCHEME
from lorimer.traces.writing.store import Store

PASSWORD = "no-letter:/@%?& é"
ESCAPED = "no-letter%3A%2F%40%25%3F%26%20%C3%A9"


def binaries() -> Path | None:
    """Where the newest server's programs are: Debian keeps them outside of PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    there = str(found[-1]) if found else shutil.which("initdb")
    return Path(there).parent if there else None


class Server:
    """One running server, which trusts who comes by its socket and asks who comes by its port for a password.

    Args:
        log: an empty folder for what it writes ahead, on a disk of its own, in pieces as small as there are.
    """

    def __init__(self, programs: Path, folder: Path, log: Path | None = None) -> None:
        self._programs, self._folder = programs, folder
        self._numbers = itertools.count()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        ahead: list[str | Path] = ["-X", log, "--wal-segsize=1"] if log is not None else []
        of_all = ["-U", "postgres", "-A", "trust", "-N", "--locale=C", "-E", "UTF8"]
        self._run("initdb", "-D", folder / "data", *of_all, *ahead)
        (folder / "data" / "pg_hba.conf").write_text(
            "local all all trust\nhost all asked 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n"
        )

    def prepare(self) -> None:
        """Make the empty store that others are copies of."""
        self._sql("CREATE DATABASE template_of_stores")
        Store.open(self.url("template_of_stores")).close()

    def start(self) -> None:
        """Nothing here must last, so nothing is waited for on the disk."""
        settings = (
            f"-c fsync=off -c listen_addresses=127.0.0.1 -c port={self.port} -c unix_socket_directories={self._folder}"
        )
        self._run("pg_ctl", "-D", self._folder / "data", "-o", settings, "-l", self._folder / "log", "-w", "start")

    def kill(self) -> None:
        """End the server at once, as a lost machine would; returns when it is gone."""
        self._run("pg_ctl", "-D", self._folder / "data", "-m", "immediate", "-w", "stop")

    def end(self) -> None:
        """The same, of one that may be gone already."""
        if (self._folder / "data" / "postmaster.pid").exists():
            self.kill()

    def empty(self) -> str:
        """The URL of a new database that holds nothing."""
        return self._new("template0")

    def store(self) -> str:
        """The URL of a new database with an empty store in it."""
        return self._new("template_of_stores")

    def encoded(self, encoding: str) -> str:
        """The URL of a new database that holds nothing, in another encoding."""
        return self._new(f"template0 ENCODING '{encoding}'")

    def restored(self, url: str) -> str:
        """The URL of a new database, made of what `pg_dump` writes of another one."""
        there, dumped = self.empty(), self._folder / "dumped.sql"
        place = ["-h", str(self._folder), "-p", str(self.port), "-U", "postgres"]
        self._run("pg_dump", *place, "-f", dumped, _database(url))
        self._run("psql", *place, "-q", "-v", "ON_ERROR_STOP=1", "-f", dumped, _database(there))
        return there

    def drop(self, url: str) -> None:
        """Let go of a database, whoever is still connected to it."""
        self._sql(f"DROP DATABASE {_database(url)} WITH (FORCE)")

    @property
    def socket(self) -> str:
        """Where it listens beside its port."""
        return f"{self._folder}/.s.PGSQL.{self.port}"

    def url(self, database: str) -> str:
        return f"{SCHEME}://postgres@/{database}?host={self._folder}&port={self.port}"

    def _new(self, template: str) -> str:
        name = f"store{next(self._numbers)}"
        self._sql(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def _sql(self, statement: str) -> None:
        with psycopg.connect(host=str(self._folder), port=self.port, user="postgres", autocommit=True) as connection:
            connection.execute(statement.encode())

    def _run(self, program: str, *arguments: str | Path) -> None:
        # The server refuses to be root.
        who = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
        command = [*who, str(self._programs / program), *map(str, arguments)]
        done = subprocess.run(
            command, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120
        )
        assert done.returncode == 0, done.stdout


def _database(url: str) -> str:
    return url.split("?")[0].rpartition("/")[2]


def running() -> Iterator[Server]:
    """A server until the tests are over; skips where none is installed."""
    programs = binaries()
    if programs is None:
        pytest.skip("no PostgreSQL server is installed (Debian: apt-get install postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="lorimer-pg-", dir=_memory()))
    give(folder)
    try:
        server = Server(programs, folder)
        try:
            server.start()
            server.prepare()
            yield server
        finally:
            server.kill()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def give(folder: Path) -> None:
    """Let the server write to a folder: as root's it is run by another user."""
    if os.geteuid() == 0:
        user = pwd.getpwnam("postgres")
        os.chown(folder, user.pw_uid, user.pw_gid)


def _memory() -> Path | None:
    """Memory as a folder, where there is enough: on a disk that other tests keep busy, a database takes seconds to make.

    Containers have 64 MB there, and a server of tests grows to some 200.
    """
    found = Path("/dev/shm")
    return found if os.access(found, os.W_OK) and shutil.disk_usage(found).free > 1 << 30 else None
