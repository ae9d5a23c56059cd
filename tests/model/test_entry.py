import pytest

from cloudfs.model.entry import Version, join, name_fault

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        (Version('"a"', 1 * SECOND, 5), Version('"a"', 9 * SECOND, 5), True),
        (Version('W/"a"', 1, 5), Version('"a"', 1, 5), True),  # Apache's tag after its first second
        (Version('"a"', 1, 5), Version('"b"', 1, 5), False),  # same size, same time: the tag decides
        (Version('"a"', 1, 5), Version('"a"', 1, 6), False),
        (Version(None, 1 * SECOND, 5), Version('"a"', 1 * SECOND + 7, 5), True),  # a rounding is no change
        (Version(None, 1 * SECOND, 5), Version(None, 2 * SECOND, 5), False),
        (Version(None, None, 5), Version(None, 2 * SECOND, 5), True),
    ],
)
def test_versions_compare_by_size_then_tag_then_time(left: Version, right: Version, same: bool) -> None:
    assert left.is_same_as(right) is same
    assert right.is_same_as(left) is same


def test_only_a_strong_tag_may_guard_a_request() -> None:
    assert Version('"a"', None, 0).is_strong
    assert not Version('W/"a"', None, 0).is_strong
    assert not Version(None, 1, 0).is_strong


@pytest.mark.parametrize("name", [b"", b".", b"..", b"a/b", b"a\0b", b"n" * 256])
def test_names_that_no_directory_can_hold(name: bytes) -> None:
    assert name_fault(name)


@pytest.mark.parametrize("name", [b"a", b"...", b" ", b"\xff\xfe", "ü".encode() * 127, b"a\\b"])
def test_names_that_are_kept_as_they_are(name: bytes) -> None:
    assert name_fault(name) is None


def test_paths_are_joined_from_the_root() -> None:
    assert join(join(b"", b"a"), b"b") == b"a/b"
