"""Names with a mark: that they fit, stay apart, and are known again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudfs.model.entry import NAME_MAX, name_fault
from cloudfs.model.marked_names import is_parked_name, parked_name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (b"report.txt", b"report (moving 19ab-12).txt"),
        (b"Makefile", b"Makefile (moving 19ab-12)"),
        (b".bashrc", b".bashrc (moving 19ab-12)"),
        (b"f (moving 18-3).txt", b"f (moving 18-3) (moving 19ab-12).txt"),
    ],
)
def test_the_mark_goes_before_the_extension(name: bytes, expected: bytes) -> None:
    assert parked_name(name, "19ab", 12) == expected


@given(
    st.binary(min_size=1, max_size=NAME_MAX).filter(lambda name: name_fault(name) is None),
    st.integers(0, 2**44),
    st.integers(1, 2**63),
)
def test_it_is_a_name_and_known_again(name: bytes, now_ms: int, inode: int) -> None:
    parked = parked_name(name, f"{now_ms:x}", inode)
    assert name_fault(parked) is None
    assert is_parked_name(parked, inode)
    assert not is_parked_name(parked, inode + 1)


@pytest.mark.parametrize(
    "name", [b"a", b"a (moving 19ab-12) b", b"(moving 19ab-12)", b"a (moving xy-12).txt"]
)
def test_what_a_user_called_so_is_not_taken_for_it(name: bytes) -> None:
    assert not is_parked_name(name, 12)
