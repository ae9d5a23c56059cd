from __future__ import annotations

from pathlib import Path

import pytest
import trio

from cloudfs.database.bridge import Database


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tree.db"


@pytest.fixture
async def database(path: Path, nursery: trio.Nursery) -> Database:
    database = Database(path)
    await nursery.start(lambda task_status: database.run(task_status=task_status))
    return database
