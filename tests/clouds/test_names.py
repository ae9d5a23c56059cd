from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudfs.clouds.names import BaseUrl, UnusableHref, origin_of
from cloudfs.model.entry import name_fault

BASE = BaseUrl("https://dav.example:8443/files/m%C3%A9/")

NAME = st.binary(min_size=1, max_size=255).filter(lambda name: name_fault(name) is None)


@given(st.lists(NAME, max_size=4))
def test_every_name_survives_its_url(names: list[bytes]) -> None:
    url = BASE.url(b"/".join(names), is_folder=True)
    assert BASE.names(url) == names
    assert BASE.names(BASE.absolute_path(b"/".join(names))) == names
    assert url.isascii()


def test_only_unreserved_characters_stay() -> None:
    assert BASE.url(b"a b+c&d;e%#?'\"\\~") == (
        "https://dav.example:8443/files/m%C3%A9/a%20b%2Bc%26d%3Be%25%23%3F%27%22%5C~"
    )
    assert BASE.url(b"", is_folder=True) == "https://dav.example:8443/files/m%C3%A9/"
    assert BASE.url(b"d", is_folder=True).endswith("/d/")


@pytest.mark.parametrize(
    ("href", "names"),
    [
        ("/files/m%c3%a9/a%2fb", None),
        ("/files/m%c3%a9/a%20b", [b"a b"]),  # Apache's lower-case escapes
        ("/files/m\u00e9/a+b&c", [b"a+b&c"]),  # not escaped at all
        ("https://DAV.example:8443/files/m%C3%A9/x/", [b"x"]),
        ("/files/m%C3%A9", []),
        ("/files//m%C3%A9//x", [b"x"]),
        ("/files/m%C3%A9/100%", [b"100%"]),
        ("/files/m%C3%A9/%FF", [b"\xff"]),
        ("/files/m%C3%A9/../other", None),
        ("/files/m%C3%A9/%2e%2e/other", None),
        ("/files/m%C3%A9/./x", None),
        ("/files/m%C3%A9/a%00b", None),
        ("/files/m%C3%A9/" + "n" * 256, None),
        ("/files/other/x", None),
        ("/files", None),
        ("http://dav.example:8443/files/m%C3%A9/x", None),
        ("https://dav.example/files/m%C3%A9/x", None),
        ("https://evil.example:8443/files/m%C3%A9/x", None),
        ("//evil.example/files/m%C3%A9/x", None),
        ("file:///files/m%C3%A9/x", None),
        ("https://dav.example:99999999/files", None),
        ("https://[bad/files", None),
        ("/files/m%C3%A9/x?y", None),
        ("/files/m%C3%A9/x#y", None),
        ("x", None),
        ("", None),
    ],
)
def test_hrefs(href: str, names: list[bytes] | None) -> None:
    if names is None:
        with pytest.raises(UnusableHref):
            BASE.names(href)
    else:
        assert BASE.names(href) == names


@given(st.text(max_size=60))
def test_no_href_leads_out(href: str) -> None:
    try:
        names = BASE.names(href)
    except UnusableHref:
        return
    assert all(name_fault(name) is None for name in names)


def test_origins() -> None:
    assert origin_of("http://H/") == origin_of("http://h:80/x") != origin_of("https://h/")
    for wrong in ("ftp://h/", "/x", "http:///x", "h"):
        with pytest.raises(ValueError, match="URL"):
            origin_of(wrong)
    with pytest.raises(ValueError, match="credentials"):
        BaseUrl("https://me:secret@h/")
