"""When an open may go on with the pages that the kernel has."""

from __future__ import annotations

from cloudfs.cache.content import Content
from cloudfs.fuse.page_cache import PageCache
from cloudfs.model.entry import Version

OLD, NEW, NEWER = (Version(f'"{tag}"', None, 5) for tag in "abc")


def _content(version: Version | None, file_id: str | None = None) -> Content:
    content = Content(7, version)
    content.file_id = file_id
    return content


def test_pages_are_kept_over_opens_of_one_version() -> None:
    pages = PageCache()
    assert pages.may_keep(_content(OLD))
    assert pages.may_keep(_content(Version('"a"', None, 5)))


def test_a_tag_that_turned_strong_is_no_change() -> None:
    pages = PageCache()
    assert pages.may_keep(_content(Version('W/"a"', None, 5)))
    assert pages.may_keep(_content(OLD))


def test_no_open_keeps_them_until_the_invalidation_is_over() -> None:
    pages = PageCache()
    pages.may_keep(_content(OLD))
    assert not pages.may_keep(_content(NEW))
    assert not pages.may_keep(_content(NEW))
    pages.invalidated(7, NEW)
    assert pages.may_keep(_content(NEW))


def test_an_invalidation_that_a_newer_change_overtook_cleans_nothing() -> None:
    pages = PageCache()
    pages.may_keep(_content(OLD))
    pages.invalidated(7, NEW)
    assert not pages.may_keep(_content(NEWER))
    pages.invalidated(7, NEWER)
    assert pages.may_keep(_content(NEWER))


def test_inodes_that_nobody_opened_cost_nothing() -> None:
    pages = PageCache()
    pages.invalidated(7, NEW)
    assert pages.may_keep(_content(OLD))


def test_a_forgotten_inode_has_no_pages() -> None:
    pages = PageCache()
    pages.may_keep(_content(OLD))
    pages.forget(7)
    assert pages.may_keep(_content(NEW))


def test_an_upload_is_no_change() -> None:
    """What was written here, and then sent, is the same bytes under another version."""
    pages = PageCache()
    pages.may_keep(_content(OLD))
    pages.closed(_content(OLD, "file"))
    assert pages.may_keep(_content(NEW, "file"))
    pages.closed(_content(NEW, "file"))
    assert pages.may_keep(_content(NEW))


def test_neither_is_the_first_upload_of_a_new_file() -> None:
    pages = PageCache()
    assert pages.may_keep(_content(None, "file"))
    pages.closed(_content(None, "file"))
    assert pages.may_keep(_content(NEW, "file"))


def test_what_the_cloud_changed_after_the_upload_is_one() -> None:
    pages = PageCache()
    pages.may_keep(_content(OLD))
    pages.closed(_content(OLD, "file"))
    assert not pages.may_keep(_content(NEWER, "other file"))


def test_a_close_of_what_was_put_aside_says_nothing_of_the_pages() -> None:
    pages = PageCache()
    pages.may_keep(_content(OLD))
    aside = _content(OLD, "file")
    aside.detached = True
    pages.closed(aside)
    assert not pages.may_keep(_content(NEW, "file"))
    pages.closed(_content(NEW, "other file"))
    assert not pages.may_keep(_content(NEW, "other file"))
