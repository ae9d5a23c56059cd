"""A WebDAV multistatus answer (RFC 4918 section 13), parsed as it comes in and trusted in nothing.

Pure: bytes in, resources out. pyexpat by hand, since no ready parser refuses all of a DOCTYPE (and with
it every entity), deep nesting, a text without end and an attribute without end (which costs expat
quadratic time) before they cost anything. Limits are far above what honest servers send.
"""

from __future__ import annotations

from typing import NamedTuple
from xml.parsers import expat

from cloudfs.model.errors import WrongContent

CHUNK_BYTES = 64 * 1024  # what one `feed` should get: about 2.5 ms of work
MAX_DEPTH = 64
MAX_TEXT = 64 * 1024  # characters of one href or property
MAX_TOKEN = 1024 * 1024  # bytes of one tag with its attributes
MAX_RESOURCES = 500_000
MAX_BYTES = 512 * 1024 * 1024

_MULTISTATUS = "DAV: multistatus"
_RESPONSE = "DAV: response"
_HREF = "DAV: href"
_STATUS = "DAV: status"
_PROPSTAT = "DAV: propstat"
_PROP = "DAV: prop"
_RESOURCETYPE = "DAV: resourcetype"
_COLLECTION = "DAV: collection"

_CONTENT_LENGTH = "DAV: getcontentlength"
_LAST_MODIFIED = "DAV: getlastmodified"
_ETAG = "DAV: getetag"
_QUOTA_AVAILABLE = "DAV: quota-available-bytes"
_QUOTA_USED = "DAV: quota-used-bytes"
_FILE_ID = "http://owncloud.org/ns fileid"
_USUAL_STATUS = "HTTP/1.1 200 OK"
_PROPERTIES = frozenset((_CONTENT_LENGTH, _LAST_MODIFIED, _ETAG, _QUOTA_AVAILABLE, _QUOTA_USED, _FILE_ID))


# Which element the parser is in; from _AT_HREF on its text means something. Plain numbers, as an enum's
# members cost half as much again for the whole listing.
_AT_ELSEWHERE = 0
_AT_DOCUMENT = 1
_AT_MULTISTATUS = 2
_AT_RESPONSE = 3
_AT_PROPSTAT = 4
_AT_PROP = 5
_AT_RESOURCETYPE = 6
_AT_COLLECTION = 7
_AT_HREF = 8
_AT_STATUS = 9
_AT_PROPSTAT_STATUS = 10
_AT_PROPERTY = 11

# Where each child leads from each element; any other name leads elsewhere, and stays there.
_CHILDREN: dict[int, dict[str, int]] = {at: {} for at in range(_AT_PROPERTY + 1)} | {
    _AT_DOCUMENT: {_MULTISTATUS: _AT_MULTISTATUS},
    _AT_MULTISTATUS: {_RESPONSE: _AT_RESPONSE},
    _AT_RESPONSE: {_HREF: _AT_HREF, _STATUS: _AT_STATUS, _PROPSTAT: _AT_PROPSTAT},
    _AT_PROPSTAT: {_STATUS: _AT_PROPSTAT_STATUS, _PROP: _AT_PROP},
    _AT_PROP: {_RESOURCETYPE: _AT_RESOURCETYPE} | dict.fromkeys(_PROPERTIES, _AT_PROPERTY),
    _AT_RESOURCETYPE: {_COLLECTION: _AT_COLLECTION},
}


class Resource(NamedTuple):
    """One response of a multistatus, its text as sent but for white space around it.

    href: still percent-coded, absolute or a path.
    status: of the response as a whole, where it gives one instead of properties.
    is_folder: None where its resourcetype was not told.
    The rest: None where the server did not answer the property with 200.
    """

    href: str
    status: int | None = None
    is_folder: bool | None = None
    content_length: str | None = None
    last_modified: str | None = None
    etag: str | None = None
    file_id: str | None = None
    quota_available: str | None = None
    quota_used: str | None = None


class MultistatusParser:
    """Takes an answer's body piece by piece.

    After a WrongContent it must not be used again.
    """

    def __init__(self) -> None:
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._fed = 0
        self._at = _AT_DOCUMENT
        self._above: list[int] = []
        self._text: list[str] = []
        self._text_length = 0
        self._done: list[Resource] = []
        self._count = 0
        self._hrefs: list[str] = []
        self._status: int | None = None
        self._found: dict[str, str] = {}  # of this response, answered with 200
        self._propstat: dict[str, str] = {}
        self._propstat_status: int | None = None

    def feed(self, chunk: bytes) -> list[Resource]:
        """The resources that this chunk completed. WrongContent where it is no such document."""
        self._fed += len(chunk)
        if self._fed > MAX_BYTES:
            raise WrongContent(f"the listing is larger than {MAX_BYTES} bytes")
        self._parse(chunk, is_final=False)
        if self._fed - self._parser.CurrentByteIndex > MAX_TOKEN:
            raise WrongContent(f"the listing has a tag of more than {MAX_TOKEN} bytes")
        done, self._done = self._done, []
        return done

    def close(self) -> None:
        """Say that the body is over. WrongContent where the document is not."""
        self._parse(b"", is_final=True)

    def _parse(self, chunk: bytes, *, is_final: bool) -> None:
        try:
            self._parser.Parse(chunk, is_final)
        except expat.ExpatError as error:
            raise WrongContent(f"the listing is no whole XML document: {error}") from error

    def _doctype(self, name: str, system_id: str | None, public_id: str | None, internal: bool) -> None:
        raise WrongContent("the listing has a DOCTYPE, as no multistatus does")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        above = self._above
        above.append(self._at)
        at = self._at = _CHILDREN[self._at].get(name, _AT_ELSEWHERE)
        if at >= _AT_HREF:
            self._text, self._text_length = [], 0
        elif at == _AT_ELSEWHERE:
            if above[-1] == _AT_DOCUMENT:
                raise WrongContent(f"the answer is no multistatus but a <{name[:80]}>")
            if len(above) > MAX_DEPTH:
                raise WrongContent(f"the listing is nested deeper than {MAX_DEPTH} elements")
        elif at == _AT_PROPSTAT:
            self._propstat, self._propstat_status = {}, None
        elif at == _AT_RESPONSE:
            self._hrefs, self._status, self._found = [], None, {}
        elif at == _AT_RESOURCETYPE:
            self._propstat[_RESOURCETYPE] = ""
        elif at == _AT_COLLECTION:
            self._propstat[_RESOURCETYPE] = _COLLECTION

    def _characters(self, text: str) -> None:
        if self._at < _AT_HREF:
            return
        self._text_length += len(text)
        if self._text_length > MAX_TEXT:
            raise WrongContent(f"the listing has a property of more than {MAX_TEXT} characters")
        self._text.append(text)

    def _end(self, name: str) -> None:
        at = self._at
        self._at = self._above.pop()
        if at == _AT_PROPERTY:
            self._propstat[name] = "".join(self._text).strip()
        elif at == _AT_HREF:
            self._hrefs.append("".join(self._text).strip())
        elif at == _AT_PROPSTAT_STATUS:
            self._propstat_status = _status_code("".join(self._text))
        elif at == _AT_STATUS:
            self._status = _status_code("".join(self._text))
        elif at == _AT_PROPSTAT:
            if self._propstat_status == 200:
                self._found |= self._propstat
        elif at == _AT_RESPONSE:
            self._finish()

    def _finish(self) -> None:
        self._count += len(self._hrefs)
        if self._count > MAX_RESOURCES:
            raise WrongContent(f"the listing has more than {MAX_RESOURCES} entries")
        found = self._found
        kind = found.get(_RESOURCETYPE)
        for href in self._hrefs:
            resource = Resource(
                href,
                self._status,
                None if kind is None else kind == _COLLECTION,
                found.get(_CONTENT_LENGTH),
                found.get(_LAST_MODIFIED),
                found.get(_ETAG),
                found.get(_FILE_ID),
                found.get(_QUOTA_AVAILABLE),
                found.get(_QUOTA_USED),
            )
            self._done.append(resource)


def _status_code(line: str) -> int | None:
    """The number of `HTTP/1.1 200 OK`."""
    if line == _USUAL_STATUS:
        return 200
    parts = line.split(None, 2)
    if len(parts) < 2 or not parts[1].isdecimal() or len(parts[1]) != 3:
        return None
    return int(parts[1])
