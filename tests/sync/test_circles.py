"""Circles of names through both scopes."""

from __future__ import annotations

from dataclasses import replace

from cloudfs.model.entry import Version
from cloudfs.model.node import ROOT, Node, Place
from cloudfs.sync.circles import in_circles
from tests.nodes import NEW_FILE

PHOTOS = 2


def at(name: bytes, parent: int = ROOT) -> Place:
    return Place(parent, name)


def entry(inode: int, here: Place | None, cloud: Place) -> Node:
    """An entry that the cloud has at `cloud`, and that lies at `here`; None: removed."""
    return replace(
        NEW_FILE,
        inode=inode,
        parent=None if here is None else here.parent,
        name=cloud.name if here is None else here.name,
        version=Version('"v"', None, 1),
        home=None if here == cloud else cloud,
    )


def test_two_that_swapped_names_across_the_scopes_are_planned_together() -> None:
    file, photo = entry(10, at(b"p", PHOTOS), at(b"f")), entry(11, at(b"f"), at(b"p", PHOTOS))
    assert in_circles([file], [photo]) == [photo]


def test_a_longer_circle_brings_each_of_the_others_once() -> None:
    ours = [entry(10, at(b"p", PHOTOS), at(b"f")), entry(11, at(b"q", PHOTOS), at(b"g"))]
    others = [entry(12, at(b"g"), at(b"p", PHOTOS)), entry(13, at(b"f"), at(b"q", PHOTOS))]
    assert sorted(node.inode for node in in_circles(ours, others)) == [12, 13]


def test_a_name_that_the_other_scope_leaves_is_awaited_and_no_circle() -> None:
    file, photo = entry(10, at(b"p", PHOTOS), at(b"f")), entry(11, at(b"elsewhere"), at(b"p", PHOTOS))
    assert in_circles([file], [photo]) == []
    assert in_circles([file], [entry(11, None, at(b"p", PHOTOS))]) == [], "a removed one goes by itself"


def test_what_leads_into_a_circle_is_not_in_it() -> None:
    waits = entry(9, at(b"f"), at(b"z"))
    circle = [entry(10, at(b"p", PHOTOS), at(b"f")), entry(11, at(b"f", PHOTOS), at(b"p", PHOTOS))]
    closing = entry(12, at(b"f"), at(b"f", PHOTOS))
    assert in_circles([waits], [*circle, closing]) == []
    assert in_circles(circle[:1], [circle[1], closing]) == [circle[1], closing]


def test_what_is_moved_nowhere_or_only_modified_has_no_part() -> None:
    file = entry(10, at(b"f"), at(b"f"))
    assert in_circles([file], [entry(11, at(b"f"), at(b"p", PHOTOS))]) == []
    assert in_circles([], []) == []
