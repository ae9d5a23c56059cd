"""The parser: right whatever the prefixes and chunk borders, and quick to refuse what is hostile."""

from __future__ import annotations

from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudfs.clouds.multistatus import MAX_DEPTH, MAX_TEXT, MAX_TOKEN, MultistatusParser, Resource
from cloudfs.model.errors import WrongContent

HEAD = b'<?xml version="1.0" encoding="utf-8"?><D:multistatus xmlns:D="DAV:">'
TAIL = b"</D:multistatus>"

APACHE = b"""<?xml version="1.0" encoding="utf-8"?>
<D:multistatus xmlns:D="DAV:" xmlns:ns1="http://owncloud.org/ns" xmlns:ns0="DAV:">
<D:response xmlns:lp1="DAV:" xmlns:lp2="http://apache.org/dav/props/" xmlns:g1="http://owncloud.org/ns">
<D:href>/dav/a%20b&amp;c.txt</D:href>
<D:propstat><D:prop><lp1:resourcetype/>
<lp1:getcontentlength>12</lp1:getcontentlength>
<lp1:getlastmodified>Wed, 25 Nov 2026 01:01:34 GMT</lp1:getlastmodified>
<lp1:getetag>"c-6610f5e4e19de"</lp1:getetag></D:prop>
<D:status>HTTP/1.1 200 OK</D:status></D:propstat>
<D:propstat><D:prop><g1:fileid/></D:prop><D:status>HTTP/1.1 404 Not Found</D:status></D:propstat>
</D:response>
</D:multistatus>
"""

NEXTCLOUD = b"""<?xml version="1.0"?>
<d:multistatus xmlns:d="DAV:" xmlns:s="http://sabredav.org/ns" xmlns:oc="http://owncloud.org/ns"><d:response>
<d:href>/remote.php/dav/files/me/</d:href><d:propstat><d:prop><d:resourcetype><d:collection/></d:resourcetype>
<d:getetag>&quot;60ab&quot;</d:getetag><oc:fileid>42</oc:fileid>
<d:quota-available-bytes>-3</d:quota-available-bytes><d:quota-used-bytes>7</d:quota-used-bytes></d:prop>
<d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response></d:multistatus>"""


def parse(document: bytes, size: int = 64 * 1024) -> list[Resource]:
    parser = MultistatusParser()
    found = []
    for at in range(0, len(document), size):
        found += parser.feed(document[at : at + size])
    parser.close()
    return found


def test_an_answer_of_apache() -> None:
    assert parse(APACHE) == [
        Resource(
            "/dav/a%20b&c.txt",
            is_folder=False,
            content_length="12",
            last_modified="Wed, 25 Nov 2026 01:01:34 GMT",
            etag='"c-6610f5e4e19de"',
        )
    ]


def test_an_answer_of_nextcloud() -> None:
    assert parse(NEXTCLOUD) == [
        Resource(
            "/remote.php/dav/files/me/",
            is_folder=True,
            etag='"60ab"',
            file_id="42",
            quota_available="-3",
            quota_used="7",
        )
    ]


@given(st.integers(1, 200))
def test_chunk_borders_do_not_matter(size: int) -> None:
    assert parse(APACHE, size) == parse(APACHE)


def test_properties_count_only_with_200() -> None:
    propstat = (
        b"<D:propstat><D:prop><D:getetag>a</D:getetag></D:prop>"
        b"<D:status>HTTP/1.1 403 Forbidden</D:status></D:propstat>"
    )
    (found,) = parse(HEAD + b"<D:response><D:href>/f</D:href>" + propstat + b"</D:response>" + TAIL)
    assert found == Resource("/f")


def test_a_response_may_have_only_a_status() -> None:
    hrefs = b"<D:href>/a</D:href><D:href>/b</D:href>"
    body = b"<D:response>" + hrefs + b"<D:status>HTTP/1.1 423 Locked</D:status></D:response>"
    assert parse(HEAD + body + TAIL) == [Resource("/a", 423), Resource("/b", 423)]


def test_another_namespace_is_another_property() -> None:
    body = (
        b'<D:response><D:href>/a</D:href><D:propstat><D:prop><x:getetag xmlns:x="urn:x">no</x:getetag>'
        b"<D:other><D:getetag>no</D:getetag></D:other></D:prop>"
        b"<D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>"
    )
    assert parse(HEAD + body + TAIL) == [Resource("/a")]


NAMES = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1, max_size=30).map(str.strip)


@given(st.lists(NAMES, max_size=20), st.integers(1, 64))
def test_every_response_comes_once_and_in_order(names: list[str], size: int) -> None:
    responses = "".join(f"<D:response><D:href>{escape(name)}</D:href></D:response>" for name in names)
    found = parse(HEAD + responses.encode() + TAIL, size)
    assert [resource.href for resource in found] == names


def bytes_taken_before_refusal(document: bytes) -> int:
    parser, taken = MultistatusParser(), 0
    try:
        for at in range(0, len(document), 64 * 1024):
            taken = at
            parser.feed(document[at : at + 64 * 1024])
        parser.close()
    except WrongContent:
        return taken
    raise AssertionError("it was believed")


BILLION_LAUGHS = b'<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><l>&b;</l>'
MiB = 1024 * 1024


@pytest.mark.parametrize(
    ("document", "most"),
    [
        (BILLION_LAUGHS, 0),
        (b'<!DOCTYPE x SYSTEM "file:///etc/passwd">' + HEAD + TAIL, 0),
        (HEAD + b"<a>" * (MAX_DEPTH + 1), 0),
        (HEAD + b"<D:response><D:href>" + b"x" * (8 * MiB), MAX_TEXT + 64 * 1024),
        (HEAD + b"<a b='" + b"x" * (8 * MiB), MAX_TOKEN + 64 * 1024),
        (HEAD + b"<!--" + b"x" * (8 * MiB), MAX_TOKEN + 64 * 1024),
        (HEAD + b"<" + b"n" * (8 * MiB), MAX_TOKEN + 64 * 1024),
        (b"<html><body>Please log in</body></html>", 0),
        (b"<D:multistatus/>", 0),
        (b'<multistatus xmlns="urn:other"/>', 0),
        (b'{"json": true}', 0),
        (b"", 0),
        (HEAD + b"&undefined;" + TAIL, 0),
        (HEAD + b"\xff\xfe" + TAIL, 0),
        (APACHE[:-20], 0),
        (HEAD + b"<D:response>" + TAIL, 0),
        (HEAD + TAIL + HEAD + TAIL, 0),
    ],
)
def test_what_is_no_honest_multistatus_is_refused(document: bytes, most: int) -> None:
    assert bytes_taken_before_refusal(document) <= most


@given(st.integers(0, len(APACHE) - 2))
def test_an_answer_cut_anywhere_is_an_error(at: int) -> None:
    with pytest.raises(WrongContent):
        parse(APACHE[:at].rstrip() if at else b"")


@given(st.binary(max_size=300))
def test_noise_is_refused_and_nothing_else(noise: bytes) -> None:
    with pytest.raises(WrongContent):
        parse(HEAD + noise)
