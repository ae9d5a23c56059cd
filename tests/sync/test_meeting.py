"""What becomes of what both sides changed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cloudfs.model.entry import RemoteEntry, Version
from cloudfs.model.enums import Kind, Listing
from cloudfs.model.node import ROOT, Node, Place
from cloudfs.sync.meeting import (
    Agree,
    Bury,
    Conflict,
    Contested,
    Decision,
    Detach,
    Restore,
    StepAside,
    meet,
)
from tests.nodes import NEW_FILE

OLD, NEW = Version('"1"', None, 3), Version('"2"', None, 3)
HOME, ELSEWHERE = Place(ROOT, b"f"), Place(ROOT, b"g")


def node(
    *,
    kind: Kind = Kind.FILE,
    place: Place | None = HOME,
    version: Version | None = OLD,
    modified: bool = True,
) -> Node:
    """An entry whose home is HOME, if the cloud has it."""
    return replace(
        NEW_FILE,
        inode=10,
        parent=place.parent if place is not None else None,
        name=place.name if place is not None else HOME.name,
        kind=kind,
        size=3,
        version=version,
        listing=Listing.WHOLE,
        generation=1 if modified else 0,
        home=HOME if version is not None and place != HOME else None,
    )


def there(version: Version = NEW, kind: Kind = Kind.FILE, name: bytes = b"f") -> RemoteEntry:
    return RemoteEntry(name, kind, version)


def met(contested: Contested) -> Decision | None:
    return meet(contested, lambda: b"f (conflict)")


def test_different_content_on_both_sides_leaves_both() -> None:
    for is_equal in (False, None):
        contested = Contested(node(), HOME, there(), is_equal)
        assert met(contested) == Conflict(10, b"f (conflict)", there())


def test_equal_content_is_no_conflict() -> None:
    assert met(Contested(node(), HOME, there(), True)) == Agree(10, there())
    unsent = node(version=None)
    assert met(Contested(unsent, HOME, there(), True)) == Agree(10, there())


def test_an_edit_of_the_version_that_is_there_is_simply_sent() -> None:
    assert met(Contested(node(), HOME, there(OLD), False)) is None


def test_an_edit_beats_a_delete_in_the_cloud() -> None:
    assert met(Contested(node(), HOME, None)) == Detach(10)
    assert met(Contested(node(place=ELSEWHERE), HOME, None)) == Detach(10)


def test_an_edit_beats_a_delete_here() -> None:
    removed = node(place=None, modified=False)
    assert met(Contested(removed, HOME, there())) == Restore(10, there())


def test_a_removed_file_that_is_as_it_was_will_be_deleted() -> None:
    assert met(Contested(node(place=None, modified=False), HOME, there(OLD))) is None


@pytest.mark.parametrize("entry", [None, there(kind=Kind.FOLDER)])
def test_removed_on_both_sides(entry: RemoteEntry | None) -> None:
    assert met(Contested(node(place=None), HOME, entry)) == Bury(10)


def test_an_edit_whose_base_went_before_all_of_it_was_here_is_kept_aside() -> None:
    assert met(Contested(node(), HOME, None, is_whole=False)) == Conflict(10, b"f (conflict)", None)
    assert met(Contested(node(), HOME, there(), is_whole=False)) == Conflict(10, b"f (conflict)", there())
    moved = Contested(node(place=ELSEWHERE), HOME, there(), is_whole=False)
    assert met(moved) == Conflict(10, b"f (conflict)", None)


def test_an_edit_that_was_moved_has_a_name_of_its_own() -> None:
    assert met(Contested(node(place=ELSEWHERE), HOME, there(), False)) == Detach(10)


def test_a_moved_entry_steps_aside_where_the_cloud_has_another_and_stays_what_it_is() -> None:
    for modified in (False, True):
        for kind in Kind:
            contested = Contested(
                node(place=ELSEWHERE, modified=modified, kind=kind), ELSEWHERE, there(name=b"g")
            )
            assert met(contested) == StepAside(10, b"f (conflict)", there(name=b"g"))


def test_a_moved_entry_that_only_the_cloud_changed_is_taken_in_as_any_other() -> None:
    assert met(Contested(node(place=ELSEWHERE, modified=False), HOME, there())) is None
    assert met(Contested(node(place=ELSEWHERE, modified=False), HOME, None)) is None


@pytest.mark.parametrize("here", list(Kind))
@pytest.mark.parametrize("in_cloud", list(Kind))
def test_a_new_name_on_both_sides(here: Kind, in_cloud: Kind) -> None:
    entry = there(kind=in_cloud)
    contested = Contested(node(version=None, kind=here), HOME, entry, is_equal=False)
    assert met(contested) == Conflict(10, b"f (conflict)", entry)


def test_a_new_entry_that_the_cloud_has_not_is_simply_sent() -> None:
    assert met(Contested(node(version=None), HOME, None)) is None


def test_no_name_is_looked_for_where_none_is_needed() -> None:
    def never() -> bytes:
        raise AssertionError

    meet(Contested(node(), HOME, None), never)
    meet(Contested(replace(node(), parent=None, home=HOME), HOME, there()), never)
