"""Conflict names: what they look like, that they fit, and that they are free."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudfs.model.entry import NAME_MAX, name_fault
from cloudfs.sync.conflict_names import conflict_name

WHEN = datetime(2026, 11, 25, 8, 5, 9)


def free(_: bytes) -> bool:
    return False


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (b"report.txt", b"report (conflict desk 2026-11-25 080509).txt"),
        (b"a.tar.gz", b"a.tar (conflict desk 2026-11-25 080509).gz"),
        (b"Makefile", b"Makefile (conflict desk 2026-11-25 080509)"),
        (b".bashrc", b".bashrc (conflict desk 2026-11-25 080509)"),
        (b"..x", b"..x (conflict desk 2026-11-25 080509)"),
        (b".a.b", b".a (conflict desk 2026-11-25 080509).b"),
        (b"ends.", b"ends (conflict desk 2026-11-25 080509)."),
    ],
)
def test_the_mark_goes_before_the_extension(name: bytes, expected: bytes) -> None:
    assert conflict_name(name, "desk", WHEN, free) == expected


def test_a_counter_follows_until_the_name_is_free() -> None:
    taken = {b"f (conflict desk 2026-11-25 080509).x", b"f (conflict desk 2026-11-25 080509 2).x"}
    expected = b"f (conflict desk 2026-11-25 080509 3).x"
    assert conflict_name(b"f.x", "desk", WHEN, taken.__contains__) == expected


def test_the_stem_is_cut_between_two_characters() -> None:
    name = conflict_name("ä".encode() * 126 + b".x", "desk", WHEN, free)
    assert name.startswith("ä".encode())
    assert name.endswith(b").x")
    assert NAME_MAX - 1 <= len(name) <= NAME_MAX
    name.decode()


def test_an_extension_that_leaves_no_room_is_cut_like_a_stem() -> None:
    name = conflict_name(b"a." + b"b" * 250, "desk", WHEN, free)
    assert len(name) == NAME_MAX
    assert name.endswith(b" (conflict desk 2026-11-25 080509)")


def test_a_host_is_no_path_and_not_endless() -> None:
    assert b"/" not in conflict_name(b"f", "../etc", WHEN, free)
    assert b"conflict localhost " in conflict_name(b"f", "", WHEN, free)
    assert len(conflict_name(b"f", "h" * 300, WHEN, free)) < 120


names = st.binary(min_size=1, max_size=NAME_MAX).filter(lambda name: name_fault(name) is None)
texts = st.text(min_size=1, max_size=NAME_MAX).filter(lambda text: name_fault(text.encode()) is None)


@given(names, st.text(max_size=300), st.integers(0, 12))
def test_it_is_a_name_that_is_free(name: bytes, host: str, busy: int) -> None:
    taken = set[bytes]()
    for _ in range(busy + 1):
        candidate = conflict_name(name, host, WHEN, taken.__contains__)
        assert name_fault(candidate) is None
        assert candidate not in taken
        taken.add(candidate)


@given(texts, st.text(max_size=80).filter(lambda host: not any("\ud800" <= c <= "\udfff" for c in host)))
def test_a_name_in_utf8_stays_in_utf8(name: str, host: str) -> None:
    conflict_name(name.encode(), host, WHEN, free).decode()
