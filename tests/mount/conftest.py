"""Mounts for the tests of this folder: `mounts(url, …)` gives one that is gone when the test is over.

A fixture of a small disk beside them, for caches that must become full.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.mount.harness import Mount
from tests.servers.proxy import FaultProxy

Mounts = Callable[..., Mount]


@pytest.fixture
def mounts(tmp_path: Path) -> Iterator[Mounts]:
    """Mount a cloud's URL; keyword arguments are mount.toml's tables. `start=False` leaves it down."""
    made: list[Mount] = []

    def make(url: str, *, start: bool = True, **sections: Mapping[str, Any]) -> Mount:
        cloud = {"url": url, "timeout": "5s", **sections.pop("cloud", {})}
        mount = Mount(tmp_path / f"mount-{len(made)}", {"cloud": cloud, **sections})
        made.append(mount)
        return mount.start() if start else mount

    yield make
    for mount in made:
        mount.close()


@pytest.fixture
def mount(proxy: FaultProxy, mounts: Mounts) -> Mount:
    """An empty cloud, mounted, which is synced when a test asks for it."""
    mount = mounts(proxy.url, sync={"auto": False})
    mount.settle()
    return mount


@pytest.fixture
def at_work(proxy: FaultProxy, mounts: Mounts) -> Mount:
    """A mount that syncs while programs work: git too, which removes more at once than the brake lets."""
    return mounts(proxy.url, sync={"debounce": "50ms", "interval": "1s", "delete_brake": 10_000})


def mount_of_eight(root: Path, url: str, mounts: Mounts, old: bytes) -> Mount:
    """Eight files in sync, made of `old` in the server's folder, with a brake that a few deletes meet.

    Apache's lock database now and then makes a request wait for a second, so the timeout is longer.
    """
    (root / "docs").mkdir()
    for number in range(7):
        (root / f"{number}.bin").write_bytes(old[number:])
    (root / "docs" / "d.bin").write_bytes(old)
    mount = mounts(url, cloud={"timeout": "2s"}, sync={"auto": False, "delete_brake": 3})
    mount.settle()
    return mount


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 24 MiB, gone after the test."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "cloudfs-test", disk], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", disk], check=True)
