"""Two devices on one cloud come to hold the same whatever both do; nothing is lost, and then it is quiet."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.mount.conftest import Mounts
from tests.mount.harness import Mount, wait_until
from tests.mount.programs import content
from tests.mount.trees import assert_same, changes, conflicts, converge, tree
from tests.servers.apache import Apache
from tests.servers.proxy import FaultProxy
from tests.servers.wsgidav import WsgiDav

BASE, ONE, OTHER = content(50_000, seed=20), content(60_000, seed=21), content(70_000, seed=22)


class Devices(NamedTuple):
    one: Mount
    other: Mount
    proxy: FaultProxy
    root: Path

    def converge(self) -> dict[str, bytes | None]:
        """Both hear of all that the other did; then another round, which changes nothing anywhere."""
        held = converge(self.one, self.other)
        before = len(self.proxy.seen)
        assert_same(held, converge(self.one, self.other, rounds=1), "after one more round")
        assert changes(self.proxy.seen[before:]) == [], "no device answers the other's changes with its own"
        assert_same(held, tree(self.root), "on the server")
        assert (self.one.pending, self.other.pending) == (0, 0)
        return held


@pytest.fixture
def devices(apache: Apache, proxy: FaultProxy, mounts: Mounts) -> Devices:
    for name in ("a.bin", "b.bin", "docs/c.bin", "docs/deep/d.bin"):
        (apache.root / name).parent.mkdir(parents=True, exist_ok=True)
        (apache.root / name).write_bytes(BASE)
    devices = Devices(
        mounts(proxy.url, sync={"auto": False}), mounts(proxy.url, sync={"auto": False}), proxy, apache.root
    )
    converge(devices.one, devices.other, rounds=1)
    return devices


def test_what_one_makes_the_other_sees(devices: Devices) -> None:
    one, other = devices.one.path, devices.other.path
    (one / "new" / "newer").mkdir(parents=True)
    (one / "new" / "newer" / "file.bin").write_bytes(ONE)
    (one / "a.bin").write_bytes(ONE)
    os.rename(one / "docs", one / "papers")
    os.unlink(one / "b.bin")
    os.truncate(one / "papers" / "c.bin", 100)
    held = devices.converge()
    assert held == {
        "a.bin": ONE,
        "new": None,
        "new/newer": None,
        "new/newer/file.bin": ONE,
        "papers": None,
        "papers/c.bin": BASE[:100],
        "papers/deep": None,
        "papers/deep/d.bin": BASE,
    }
    (other / "a.bin").write_bytes(OTHER)
    (other / "new" / "newer" / "file.bin").write_bytes(OTHER)
    held = devices.converge()
    assert (held["a.bin"], held["new/newer/file.bin"], conflicts(held)) == (OTHER, OTHER, {})


def test_both_edit_one_file(devices: Devices) -> None:
    (devices.one.path / "docs" / "c.bin").write_bytes(ONE)
    (devices.other.path / "docs" / "c.bin").write_bytes(OTHER)
    held = devices.converge()
    (copy,) = conflicts(held).items()
    assert copy[1] == "docs/c.bin"
    assert (held["docs/c.bin"], held[copy[0]]) == (ONE, OTHER), "the first one keeps the name"
    (devices.one.path / "docs" / "c.bin").write_bytes(held[copy[0]] or b"")
    os.unlink(devices.one.path / copy[0])
    held = devices.converge()
    assert (held["docs/c.bin"], conflicts(held)) == (OTHER, {})


def test_both_edit_one_file_in_the_same_way(devices: Devices) -> None:
    for device in (devices.one, devices.other):
        (device.path / "a.bin").write_bytes(ONE)
        (device.path / "same").mkdir()
        (device.path / "same" / "new.bin").write_bytes(OTHER)
    held = devices.converge()
    assert (held["a.bin"], held["same/new.bin"], conflicts(held)) == (ONE, OTHER, {})


def _edit(top: Path) -> None:
    (top / "docs" / "deep" / "d.bin").write_bytes(ONE)


def _add(top: Path) -> None:
    (top / "docs" / "deep" / "new.bin").write_bytes(ONE)


def _move(top: Path) -> None:
    os.rename(top / "docs" / "deep" / "d.bin", top / "moved.bin")


def _move_away(top: Path) -> None:
    os.rename(top / "docs" / "deep", top / "deep")


def _move_elsewhere(top: Path) -> None:
    os.rename(top / "docs" / "deep", top / "docs" / "deeper")


def _move_above(top: Path) -> None:
    os.rename(top / "docs", top / "papers")


def _delete(top: Path) -> None:
    os.unlink(top / "docs" / "deep" / "d.bin")


def _delete_folder(top: Path) -> None:
    shutil.rmtree(top / "docs" / "deep")


def _delete_above(top: Path) -> None:
    shutil.rmtree(top / "docs")


def _replace_by_a_folder(top: Path) -> None:
    os.unlink(top / "docs" / "deep" / "d.bin")
    (top / "docs" / "deep" / "d.bin").mkdir()
    (top / "docs" / "deep" / "d.bin" / "inner.bin").write_bytes(ONE)


Change = Callable[[Path], None]

EDITS: dict[str, tuple[Change, Change]] = {
    f"{ours.__name__}{theirs.__name__}": (ours, theirs)
    for ours in (_edit, _add)
    for theirs in (
        _move,
        _move_away,
        _move_above,
        _delete,
        _delete_folder,
        _delete_above,
        _replace_by_a_folder,
    )
}
MOVES: dict[str, tuple[Change, Change]] = {
    f"{ours.__name__}{theirs.__name__}": (ours, theirs)
    for ours, theirs in (
        (_move, _move_away),
        (_move_away, _move_elsewhere),
        (_move_above, _move_away),
        (_move, _replace_by_a_folder),
        (_move_above, _delete),
        (_delete, _delete_above),
        (_move, _delete_above),
        (_replace_by_a_folder, _move_away),
    )
}


def act(devices: Devices, cases: dict[str, tuple[Change, Change]]) -> None:
    """Each case in a folder of its own: one device does the first thing, the other the second."""
    for name in cases:
        shutil.copytree(devices.root / "docs", devices.root / name / "docs")
    converge(devices.one, devices.other, rounds=1)
    for name, (ours, theirs) in cases.items():
        ours(devices.one.path / name)
        theirs(devices.other.path / name)


def below(name: str, held: Mapping[str, bytes | None]) -> dict[str, bytes | None]:
    return {path: data for path, data in held.items() if path.startswith(f"{name}/")}


@pytest.mark.parametrize("first", ["one", "other"])
def test_no_edit_is_lost_whatever_the_other_does(first: str, devices: Devices) -> None:
    act(devices, EDITS)
    if first == "other":
        devices.other.settle()
    held = devices.converge()
    lost = [name for name in EDITS if ONE not in below(name, held).values()]
    assert lost == []


def test_moves_and_deletes_meet(devices: Devices) -> None:
    act(devices, MOVES)
    held = devices.converge()
    lost = [
        name
        for name, pair in MOVES.items()
        if {_delete, _delete_above, _replace_by_a_folder}.isdisjoint(pair)
        and list(below(name, held).values()).count(BASE) < 2
    ]
    assert lost == [], "nobody removed any content"


def test_both_work_while_both_sync(apache: Apache, mounts: Mounts) -> None:
    """Each in its own folder, and both in one."""
    timing = {"debounce": "50ms", "interval": "300ms"}
    one, other = mounts(apache.url, sync=timing), mounts(apache.url, sync=timing)
    (one.path / "both").mkdir()
    wait_until(lambda: (other.path / "both").exists(), "the other hears of it")
    for number in range(15):
        for name, mount in (("one", one), ("other", other)):
            (mount.path / f"{name} {number}").mkdir()
            (mount.path / f"{name} {number}" / "file.bin").write_bytes(BASE[number:])
            (mount.path / "both" / f"{name} {number}.bin").write_bytes(BASE[number:])
            if number % 3 == 2:
                os.rename(mount.path / f"{name} {number}", mount.path / "both" / f"{name} {number}")
    held = converge(one, other)
    assert_same(held, tree(apache.root))
    assert conflicts(held) == {}
    assert len([data for data in held.values() if data is not None]) == 60


def test_two_devices_on_wsgidav(wsgidav: WsgiDav, mounts: Mounts) -> None:
    (wsgidav.root / "a.bin").write_bytes(BASE)
    with FaultProxy(wsgidav.url) as proxy:
        made = [mounts(proxy.url, sync={"auto": False}) for _ in range(2)]
        devices = Devices(made[0], made[1], proxy, wsgidav.root)
        converge(devices.one, devices.other, rounds=1)
        (devices.one.path / "a.bin").write_bytes(ONE)
        (devices.other.path / "a.bin").write_bytes(OTHER)
        (devices.other.path / "new").mkdir()
        held = devices.converge()
        assert sorted(data for data in held.values() if data is not None) == sorted([ONE, OTHER])
