"""Finished cells on disk: they outlive an interrupt, a killed process and a full disk."""

import contextlib
import hashlib
import json
import os
import sqlite3
import threading
from pathlib import Path
from typing import NamedTuple

from .errors import InputError


class Finished(NamedTuple):
    """A finished cell: its point of the grid and seed, its rows, how long it took, the commit that computed it."""

    cell: dict
    rows: list[dict]
    seconds: float
    commit: str | None


class Store:
    """Finished cells in an SQLite file, one transaction a cell.

    `identity` stands for the configuration and the data, `code` is the fingerprint of what computes a cell. Cells of
    another identity are never seen; cells of other code only as `others`.
    """

    def __init__(self, path: Path, identity: str, code: str):
        make_folder(path.parent)
        self.path, self.identity, self.code = path, identity, code
        with self._open() as db:
            db.execute(
                "CREATE TABLE IF NOT EXISTS finished (identity TEXT, code TEXT, key TEXT, cell TEXT, rows TEXT, "
                "seconds REAL, revision TEXT, PRIMARY KEY (identity, code, key))"
            )

    @contextlib.contextmanager
    def _open(self):
        try:
            db = sqlite3.connect(self.path, timeout=60)
            with contextlib.closing(db), db:
                yield db
        except (sqlite3.DatabaseError, json.JSONDecodeError) as error:
            if isinstance(error, sqlite3.OperationalError):
                raise InputError(
                    f"{self.path} cannot be read or written ({error}): what is finished is kept; make room or give a "
                    "folder that you may write to, and run again"
                ) from error
            raise InputError(
                f"{self.path} is damaged ({error}): move it away and run again; its cells will be computed anew"
            ) from error

    def add(self, done: Finished) -> None:
        """Keep a finished cell; one that is there already stays as it is."""
        values = self.identity, self.code, digest(done.cell), json.dumps(done.cell), json.dumps(done.rows)
        with self._open() as db:
            db.execute("INSERT OR IGNORE INTO finished VALUES (?, ?, ?, ?, ?, ?, ?)", (*values, *done[2:]))

    def finished(self) -> dict[str, Finished]:
        """The finished cells of this configuration and code, by the digest of the cell."""
        return self._select("code = ?")

    def others(self) -> dict[str, Finished]:
        """Those of this configuration and other code; of several, the one that was computed last."""
        return self._select("code != ?")

    def _select(self, condition: str) -> dict[str, Finished]:
        query = (
            f"SELECT key, cell, rows, seconds, revision FROM finished WHERE identity = ? AND {condition} ORDER BY rowid"
        )
        with self._open() as db:
            found = db.execute(query, (self.identity, self.code)).fetchall()
            return {key: Finished(json.loads(cell), json.loads(rows), *rest) for key, cell, rows, *rest in found}


def digest(value) -> str:
    """SHA-256 of a value as JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def make_folder(path: Path) -> None:
    """The folder, with those above it; `InputError` where it cannot be made."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {path} ({error.strerror}): give another with --out") from error


def write_atomically(path: Path, content: bytes) -> None:
    """All of it or nothing, whatever happens meanwhile; `InputError` where it cannot be written."""
    make_folder(path.parent)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        with open(draft, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except OSError as error:
        raise InputError(
            f"cannot write {path} ({error.strerror}): finished cells are kept; make room or give another --out, and "
            "run again"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            draft.unlink()  # where it was not renamed
