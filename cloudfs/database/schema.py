"""The tables, every column explained, and the way from one version of them to the next.

`PRAGMA user_version` counts the migrations that a file has seen. A migration is never edited once
released; a change of the tables is a new one at the end.
"""

from __future__ import annotations

import sqlite3

from cloudfs.database.faults import DatabaseTooNew

_TABLES = """
-- The local tree: what programs see. One row an entry.
CREATE TABLE entries (
    inode INTEGER PRIMARY KEY AUTOINCREMENT,  -- AUTOINCREMENT: never used again; 1 is the root
    parent INTEGER REFERENCES entries (inode),  -- NULL: the root, or unlinked and still open
    name BLOB NOT NULL,                 -- the bytes as the cloud gave them; empty for the root
    kind INTEGER NOT NULL,              -- model.enums.Kind: 0 file, 1 folder
    size INTEGER NOT NULL,              -- bytes; 0 for a folder
    mtime_ns INTEGER NOT NULL,          -- epoch nanoseconds, as stat shows it
    ctime_ns INTEGER NOT NULL,          -- epoch nanoseconds; moved by local changes and adoptions only
    mode INTEGER NOT NULL,              -- permission bits
    uid INTEGER NOT NULL,
    gid INTEGER NOT NULL,
    version_etag TEXT,                  -- the cloud's entity tag, quotes and W/ included
    version_mtime_ns INTEGER,           -- the cloud's time, NULL where it says none
    version_size INTEGER,               -- bytes; NULL: the cloud never had this entry
    file_id TEXT,                       -- the cloud's identity of it, where there is one
    listing INTEGER NOT NULL,           -- model.enums.Listing: 0 never, 1 whole; 0 for files
    pinned INTEGER NOT NULL,            -- its own value, 0 or 1; inherited by what lies below
    media_id INTEGER UNIQUE,            -- files in gallery folders only; numbered by settings.last_media_id
    error TEXT,                         -- enum name of the last failure; NULL: none since
    error_reason TEXT,                  -- a sentence on it
    UNIQUE (parent, name)
) STRICT;
CREATE INDEX entries_in_order ON entries (parent, inode);  -- readdir
CREATE INDEX entries_folders ON entries (parent) WHERE kind = 1;  -- the walk
CREATE INDEX entries_pinned ON entries (inode) WHERE pinned = 1;
CREATE INDEX entries_failed ON entries (error) WHERE error IS NOT NULL;

-- Extended attributes of the user's own.
CREATE TABLE attributes (
    inode INTEGER NOT NULL REFERENCES entries (inode) ON DELETE CASCADE,
    name BLOB NOT NULL,                 -- with its namespace, as setxattr(2) gave it
    value BLOB NOT NULL,
    PRIMARY KEY (inode, name)
) STRICT, WITHOUT ROWID;

-- What the cache holds. No reference to entries: a row outlives its entry until the file is unlinked.
CREATE TABLE contents (
    inode INTEGER PRIMARY KEY,
    file TEXT NOT NULL UNIQUE,          -- random name of the cache file
    size INTEGER NOT NULL,              -- bytes of the version, not of what is held
    etag TEXT,                          -- the version that the bytes are of: tag
    mtime_ns INTEGER,                   -- and time, as entries.version_* had them
    ranges BLOB NOT NULL,               -- model.ranges.RangeSet.to_bytes; empty where whole
    held_bytes INTEGER NOT NULL,        -- bytes in `ranges`, or `size` where whole
    whole INTEGER NOT NULL,             -- 1: every byte is held
    durable INTEGER NOT NULL,           -- 1: fdatasync came before this row
    boot_id TEXT NOT NULL,              -- the boot it was written in; bytes that are not durable end with it
    last_use_ms INTEGER NOT NULL        -- epoch milliseconds of the last close
) STRICT;
CREATE INDEX contents_by_use ON contents (last_use_ms);  -- eviction

-- The numbered events that programs follow.
CREATE TABLE events (
    seq INTEGER PRIMARY KEY,            -- without gaps; given by events.EventLog
    time_ms INTEGER NOT NULL,
    source TEXT NOT NULL,               -- model.enums.EventClass
    payload TEXT NOT NULL,              -- the progress as JSON
    inode INTEGER                       -- the file of a download
) STRICT;
CREATE INDEX events_by_source ON events (source, seq);

-- What happened to a file: the memory behind `cloudfs why`.
CREATE TABLE history (
    id INTEGER PRIMARY KEY,             -- order of writing
    inode INTEGER NOT NULL REFERENCES entries (inode) ON DELETE CASCADE,
    time_ms INTEGER NOT NULL,
    what TEXT NOT NULL,                 -- a word: hydrated, failed, pinned ...
    pid INTEGER,                        -- the program that caused it
    exe TEXT,                           -- its executable
    bytes INTEGER,                      -- how many bytes it moved
    detail TEXT                         -- a sentence
) STRICT;
CREATE INDEX history_by_inode ON history (inode, id);

-- Single facts: last sync times, held scopes, what the server can do, counters.
CREATE TABLE settings (
    key TEXT PRIMARY KEY,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID;
"""

# Local changes. The cloud's tree is not kept beside the local one: an entry says where it differs.
_LOCAL_CHANGES = """
-- A file's content has changed here `generation` times; the cloud has the one numbered `sent`.
ALTER TABLE entries ADD COLUMN generation INTEGER NOT NULL DEFAULT 0;
ALTER TABLE entries ADD COLUMN sent INTEGER NOT NULL DEFAULT 0;
-- Where the cloud has the entry, if that is not (parent, name); parent NULL: removed here, not yet there.
ALTER TABLE entries ADD COLUMN home_parent INTEGER;
ALTER TABLE entries ADD COLUMN home_name BLOB;
ALTER TABLE entries ADD COLUMN tries INTEGER NOT NULL DEFAULT 0;  -- failures since the last success
ALTER TABLE entries ADD COLUMN next_try_ms INTEGER;  -- epoch milliseconds; NULL: at once
CREATE UNIQUE INDEX entries_homes ON entries (home_parent, home_name) WHERE home_parent IS NOT NULL;
CREATE INDEX entries_changed ON entries (inode)
    WHERE generation > sent OR home_parent IS NOT NULL OR version_size IS NULL;

-- 1: newer than any version the cloud has; `etag`, `mtime_ns` and `base_size` are then those of the version
-- that the change began from (base_size NULL: none), and `size` is that of the content here.
ALTER TABLE contents ADD COLUMN dirty INTEGER NOT NULL DEFAULT 0;
ALTER TABLE contents ADD COLUMN base_size INTEGER;
UPDATE contents SET base_size = size;
-- The cache file's own mtime when the content was last flushed: a later one tells of bytes written since.
ALTER TABLE contents ADD COLUMN written_ns INTEGER NOT NULL DEFAULT 0;

-- What was asked of the cloud and not yet answered: a lost answer is settled by asking what is there.
CREATE TABLE intents (
    inode INTEGER PRIMARY KEY,
    operation TEXT NOT NULL,            -- put, or move
    place_parent INTEGER NOT NULL,      -- the place it is to have in the cloud
    place_name BLOB NOT NULL,
    generation INTEGER NOT NULL,        -- of the content that is sent; 0 for a move
    size INTEGER NOT NULL,              -- bytes that are sent; 0 for a move
    sha256 BLOB NOT NULL,               -- of these; empty for a move
    base_etag TEXT,                     -- the version that is replaced; base_size NULL: none
    base_mtime_ns INTEGER,
    base_size INTEGER
) STRICT;
"""

MIGRATIONS = (_TABLES, _LOCAL_CHANGES)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the tables up to date, each step in a transaction of its own.

    Raises DatabaseTooNew where a later cloudfs wrote the file (nothing is changed then), sqlite3.Error
    where a step fails (the steps before it stay, that one left no trace).
    """
    (seen,) = connection.execute("PRAGMA user_version").fetchone()
    if seen > len(MIGRATIONS):
        raise DatabaseTooNew(
            f"the database is of version {seen}, and this cloudfs knows {len(MIGRATIONS)}: "
            "update cloudfs, or choose another [cache] path"
        )
    for number, script in enumerate(MIGRATIONS[seen:], start=seen + 1):
        try:
            connection.executescript(f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {number}; COMMIT;")
        except sqlite3.Error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
