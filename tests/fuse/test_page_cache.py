"""When an open may go on with the pages that the kernel has."""

from __future__ import annotations

from cloudfs.fuse.page_cache import PageCache
from cloudfs.model.entry import Version

OLD, NEW, NEWER = (Version(f'"{tag}"', None, 5) for tag in "abc")


def test_pages_are_kept_over_opens_of_one_version() -> None:
    pages = PageCache()
    assert pages.may_keep(7, OLD)
    assert pages.may_keep(7, Version('"a"', None, 5))


def test_a_tag_that_turned_strong_is_no_change() -> None:
    pages = PageCache()
    assert pages.may_keep(7, Version('W/"a"', None, 5))
    assert pages.may_keep(7, OLD)


def test_no_open_keeps_them_until_the_invalidation_is_over() -> None:
    pages = PageCache()
    pages.may_keep(7, OLD)
    assert not pages.may_keep(7, NEW)
    assert not pages.may_keep(7, NEW)
    pages.invalidated(7, NEW)
    assert pages.may_keep(7, NEW)


def test_an_invalidation_that_a_newer_change_overtook_cleans_nothing() -> None:
    pages = PageCache()
    pages.may_keep(7, OLD)
    pages.invalidated(7, NEW)
    assert not pages.may_keep(7, NEWER)
    pages.invalidated(7, NEWER)
    assert pages.may_keep(7, NEWER)


def test_inodes_that_nobody_opened_cost_nothing() -> None:
    pages = PageCache()
    pages.invalidated(7, NEW)
    assert pages.may_keep(7, OLD)


def test_a_forgotten_inode_has_no_pages() -> None:
    pages = PageCache()
    pages.may_keep(7, OLD)
    pages.forget(7)
    assert pages.may_keep(7, NEW)
