"""URIs by INTERFACE section 4: what is accepted, what is refused, what is canonical."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudfs.model.entry import name_fault
from cloudfs.model.errors import InvalidUri, NotFound
from cloudfs.model.uri import MediaId, Uris, media_uri

URIS = Uris("com.example.files", b"/home/me/Cloud")
HEAD = "file://com.example.files/data/storage/el2/cloud"


def is_utf8_name(name: bytes) -> bool:
    return name_fault(name) is None and name.decode("utf-8", "ignore").encode() == name


names = st.text(min_size=1, max_size=60).map(lambda text: text.encode("utf-8", "ignore")).filter(is_utf8_name)
paths = st.lists(names, max_size=5).map(b"/".join)


@given(paths)
def test_canonical_uri_leads_back_to_the_path(path: bytes) -> None:
    uri = URIS.canonical(path)
    assert uri is not None
    assert uri.isascii()
    assert URIS.parse(uri) == path


@given(paths)
def test_every_spelling_means_the_same(path: bytes) -> None:
    uri = URIS.canonical(path)
    assert uri is not None
    inside = uri.removeprefix(HEAD)
    for head in (
        "file:///data/storage/el2/cloud",
        "file://com.example.files/home/me/Cloud",
        "file:///home/me/Cloud",
        "FILE:///home//me/./Cloud",
    ):
        assert URIS.parse(head + inside) == path
        assert URIS.parse(head + inside + "/") == path


@given(st.text())
def test_anything_else_is_refused_and_never_crashes(text: str) -> None:
    for uri in (text, "file://" + text, HEAD + "/" + text):
        try:
            found = URIS.parse(uri)
        except (InvalidUri, NotFound):
            continue
        if not isinstance(found, MediaId):
            assert all(
                name_fault(name) in (None, "it is longer than 255 bytes")
                for name in found.split(b"/")
                if found
            )


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        (b"", HEAD),
        (b"1.txt", HEAD + "/1.txt"),
        (b"a b%.txt", HEAD + "/a%20b%25.txt"),
        ("Grüße/ß".encode(), HEAD + "/Gr%C3%BC%C3%9Fe/%C3%9F"),
        (b"-._~!#?+&;", HEAD + "/-._~%21%23%3F%2B%26%3B"),
    ],
)
def test_canonical_form(path: bytes, uri: str) -> None:
    assert URIS.canonical(path) == uri


def test_a_name_that_is_no_utf8_has_no_uri() -> None:
    assert URIS.canonical(b"folder/caf\xe9") is None


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        (HEAD + "/a%20b.txt", b"a b.txt"),
        (HEAD + "/a b.txt", b"a b.txt"),
        (HEAD + "/%2520", b"%20"),  # decoded once
        (HEAD + "/a+b", b"a+b"),
        (HEAD + "/é", "é".encode()),
        (HEAD + "/%c3%a9", "é".encode()),
        (HEAD + "/...", b"..."),
        (HEAD + "/a..b", b"a..b"),
        (HEAD + "/" + "a" * 10_000, b"a" * 10_000),  # well-formed; that no such file exists is said elsewhere
    ],
)
def test_accepted(uri: str, path: bytes) -> None:
    assert URIS.parse(uri) == path


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "/data/storage/el2/cloud/1.txt",
        "file:/data/storage/el2/cloud/1.txt",
        "http://com.example.files/data/storage/el2/cloud/1.txt",
        "datashare:///media/Photo/1",
        "file://",
        "file:///",
        "file://com.example.files",
        "file://com.example.files/",
        "file://com.example.other/data/storage/el2/cloud/1.txt",
        "file://localhost/data/storage/el2/cloud/1.txt",
        HEAD + "X/1.txt",
        HEAD + "%58/1.txt",
        "file:///home/me/CloudX",
        "file:///home/me",
        "file:///etc/passwd",
        HEAD + "/..",
        HEAD + "/../1.txt",
        HEAD + "/a/../1.txt",
        HEAD + "/%2e%2e/1.txt",
        HEAD + "/.%2E/1.txt",
        HEAD + "/a%2Fb",
        HEAD + "/%2e%2e%2f1.txt",
        HEAD + "/a%00b",
        HEAD + "/a\0b",
        HEAD + "/%",
        HEAD + "/%4",
        HEAD + "/%4g",
        HEAD + "/%C3",
        HEAD + "/%ff%fe",
        HEAD + "/%ed%a0%80",
        HEAD + "/\ud800",
        HEAD + "/a?b",
        HEAD + "/a#b",
        "file://media/Photo/",
        "file://media/Photo",
        "file://media/Video/1",
        "file://media/Photo/1/IMG.jpg",
        "file://media/Photo/%2e%2e%2f1",
    ],
)
def test_refused(uri: str) -> None:
    with pytest.raises(InvalidUri):
        URIS.parse(uri)


@given(paths)
def test_paths_of_this_machine(path: bytes) -> None:
    assert URIS.inside("/home/me/Cloud/" + path.decode()) == path
    assert URIS.inside("/data/storage/el2/cloud//" + path.decode()) == path


@pytest.mark.parametrize("path", ["", "a", "/home/me/CloudX", "/home/me/Cloud/../x", "/home/me/Cloud/\ud800"])
def test_paths_outside(path: str) -> None:
    with pytest.raises(InvalidUri):
        URIS.inside(path)


@given(st.integers(1, 2**63 - 1))
def test_media_uri_in_both_spellings(media_id: int) -> None:
    uri = media_uri(media_id)
    assert uri == f"file://media/Photo/{media_id}"
    assert URIS.parse(uri) == MediaId(media_id)
    assert URIS.parse(f"file:///media/Photo/{media_id}") == MediaId(media_id)


@pytest.mark.parametrize("media_id", ["0", "01", "-1", "1.0", "abc", "١", str(2**63), "9" * 400])
def test_unknown_media_id(media_id: str) -> None:
    with pytest.raises(NotFound):
        URIS.parse(f"file://media/Photo/{media_id}")
