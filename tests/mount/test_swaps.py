"""Two files that swap names, on a real mount and server: nothing is out of sight (INTERFACE section 9)."""

from __future__ import annotations

import os

from tests.mount.harness import Mount
from tests.mount.programs import content
from tests.mount.trees import assert_well, tree
from tests.servers.apache import Apache
from tests.servers.faults import Answer
from tests.servers.proxy import FaultProxy

ONE, OTHER = content(10_000, seed=1), content(20_000, seed=2)


def test_a_swap_that_stops_half_way_is_seen_by_all_and_goes_on(
    mount: Mount, apache: Apache, proxy: FaultProxy
) -> None:
    """Also where another device renames the folder around what waits there for its name."""
    (apache.root / "docs").mkdir()
    for name, data in (("one.bin", ONE), ("other.bin", OTHER)):
        (apache.root / "docs" / name).write_bytes(data)
    mount.settle()
    docs = mount.path / "docs"
    for old, new in (("one.bin", "spare"), ("other.bin", "one.bin"), ("spare", "other.bin")):
        os.rename(docs / old, docs / new)
    proxy.faults.add(Answer(423), method="MOVE", target="moving")
    assert mount.sync() == "UPLOAD_FAILED"
    waiting = tree(apache.root / "docs")
    assert sorted(filter(None, waiting.values()), key=len) == [ONE, OTHER]
    assert sum(" (moving " in name for name in waiting) == 1
    assert (docs / "one.bin").read_bytes() == OTHER

    (apache.root / "docs").rename(apache.root / "papers")
    proxy.faults.clear()
    assert mount.sync() == "COMPLETED"
    assert sorted(filter(None, tree(apache.root).values()), key=len) == [ONE, OTHER]
    assert_well(mount, apache.root, tree(apache.root))
