"""What SQLite's errors mean for the layers above, and what to do with a file that is beyond reading."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

from cloudfs.model.errors import CloudfsError, LocalIOError, LocalStorageFull

_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_PRIMARY_CODE = 0xFF  # the low byte of an extended result code (https://sqlite.org/rescode.html)


class DatabaseDamaged(LocalIOError):
    """The file is no database any more, or is malformed. The way on: `set_aside`, then begin afresh."""


class DatabaseTooNew(LocalIOError):
    """The file was written by a later cloudfs, whose tables this one does not know."""


def is_full(error: BaseException) -> bool:
    """Whether it is SQLite's word for a full disk."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK) & _PRIMARY_CODE
    return isinstance(error, sqlite3.Error) and code == sqlite3.SQLITE_FULL


def translated(error: sqlite3.Error) -> CloudfsError:
    """The cause that an error of SQLite stands for, to be raised `from` it."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & _PRIMARY_CODE
    if code == sqlite3.SQLITE_FULL:
        return LocalStorageFull("the disk of the cache directory has no room for the database")
    if code in _DAMAGE:
        return DatabaseDamaged(f"the database is damaged ({error})")
    return LocalIOError(f"the database failed ({error})")


def set_aside(path: Path) -> Path:
    """Rename a damaged database, with its write-ahead log, out of the way; nothing is deleted.

    Returns the new path of the main file. The database must be closed. Raises OSError where the
    directory cannot be changed; files renamed before that stay renamed.
    """
    aside = path.with_name(f"{path.name}.damaged-{time.time_ns()}")
    # The log first: a crash in between then leaves no fresh database beside a stale log.
    for suffix in ("-wal", "-shm", ""):
        source = path.with_name(path.name + suffix)
        if source.exists():
            os.rename(source, aside.with_name(aside.name + suffix))
    return aside


def put_aside(directory: Path) -> frozenset[Path]:
    """The damaged databases that `set_aside` has kept in a directory so far."""
    return frozenset(
        path for path in directory.glob("*.damaged-*") if not path.name.endswith(("-wal", "-shm"))
    )
