"""What the load claims of a tree is what a local disk does."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.crash.load import Choices, sizes_below
from tests.crash.operations import CHUNK, PAGE, Cut, Rename, Tree, Write, from_json, made_of, to_json
from tests.mount.trees import assert_same, tree


@pytest.mark.parametrize("seed", range(5))
def test_the_claims_are_true_of_a_local_folder(seed: int, tmp_path: Path) -> None:
    top = os.open(tmp_path, os.O_RDONLY)
    choices = Choices({}, seed)
    held: Tree = {}
    for _ in range(200):
        operation = choices.next()
        assert from_json(to_json(operation)) == operation
        operation.do(top)
        before, held = held, operation.after(held)
        assert operation.explains(before, before)
        assert operation.explains(before, held)
    assert_same(held, tree(tmp_path))
    sizes = {path: None if data is None else len(data) for path, data in held.items()}
    assert sizes_below(top) == sizes
    os.close(top)
    shutil.rmtree(tmp_path)


def test_what_is_half_done_is_told_from_what_is_wrong() -> None:
    old, size = b"o" * 300_000, 2 * CHUNK
    write = Write("f", 1000, 7, size, cut=False, syncs=False)
    new = made_of(7, size)
    assert write.explains({"f": old}, {"f": old[:1000] + new[:CHUNK] + old[1000 + CHUNK :]})
    assert not write.explains({"f": old}, {"f": old[:1000] + new[: CHUNK + 1] + old[1001 + CHUNK :]})
    split = 2 * PAGE - 1000
    assert write.explains({"f": old}, {"f": old[:1000] + new[:split] + old[1000 + split :]})
    assert not write.explains({"f": old}, {})
    assert not write.explains({"f": old, "g": b""}, {"f": old})
    assert Write("f", 0, 7, size, cut=True, syncs=False).explains({"f": old}, {"f": b""})
    assert not Cut("f", 10).explains({"f": old}, {"f": old[:11]})
    assert not Rename("f", "g").explains({"f": old}, {})
    assert not Rename("f", "g").explains({"f": old}, {"f": old, "g": old})
