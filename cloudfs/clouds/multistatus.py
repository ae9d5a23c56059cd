"""A WebDAV multistatus answer (RFC 4918 section 13), parsed as it comes in and trusted in nothing.

Pure: bytes in, resources out. pyexpat by hand, since no ready parser refuses all of a DOCTYPE (and with
it every entity), deep nesting, a text without end and an attribute without end (which costs expat
quadratic time) before they cost anything. Limits are far above what honest servers send.
"""

from __future__ import annotations

from dataclasses import dataclass
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
_PROPERTIES = frozenset((_CONTENT_LENGTH, _LAST_MODIFIED, _ETAG, _QUOTA_AVAILABLE, _QUOTA_USED, _FILE_ID))

# Where each element that means something stands, seen from the root.
_IN_RESPONSE = [_MULTISTATUS, _RESPONSE]
_IN_PROPSTAT = [*_IN_RESPONSE, _PROPSTAT]
_IN_PROP = [*_IN_PROPSTAT, _PROP]
_IN_RESOURCETYPE = [*_IN_PROP, _RESOURCETYPE]


@dataclass(frozen=True, slots=True)
class Resource:
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
        self._path: list[str] = []
        self._text: list[str] | None = None
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
        path = self._path
        if not path and name != _MULTISTATUS:
            raise WrongContent(f"the answer is no multistatus but a <{name[:80]}>")
        if len(path) >= MAX_DEPTH:
            raise WrongContent(f"the listing is nested deeper than {MAX_DEPTH} elements")
        depth = len(path)
        if name == _RESPONSE and depth == 1:
            self._hrefs, self._status, self._found = [], None, {}
        elif name == _PROPSTAT and path == _IN_RESPONSE:
            self._propstat, self._propstat_status = {}, None
        elif depth == 4 and path == _IN_PROP:
            if name in _PROPERTIES:
                self._text, self._text_length = [], 0
            elif name == _RESOURCETYPE:
                self._propstat[_RESOURCETYPE] = ""
        elif name == _COLLECTION and path == _IN_RESOURCETYPE:
            self._propstat[_RESOURCETYPE] = _COLLECTION
        elif (name in (_HREF, _STATUS) and path == _IN_RESPONSE) or (
            name == _STATUS and path == _IN_PROPSTAT
        ):
            self._text, self._text_length = [], 0
        path.append(name)

    def _characters(self, text: str) -> None:
        if self._text is None:
            return
        self._text_length += len(text)
        if self._text_length > MAX_TEXT:
            raise WrongContent(f"the listing has a property of more than {MAX_TEXT} characters")
        self._text.append(text)

    def _end(self, name: str) -> None:
        path = self._path
        path.pop()
        if self._text is not None:
            self._take_text(name, "".join(self._text).strip())
        elif name == _PROPSTAT and path == _IN_RESPONSE:
            if self._propstat_status == 200:
                self._found |= self._propstat
        elif name == _RESPONSE and len(path) == 1:
            self._finish()

    def _take_text(self, name: str, text: str) -> None:
        """A text element ended (one of its children would be no text, and ends here unheard)."""
        depth = len(self._path)
        if depth == 4 and name in _PROPERTIES:
            self._propstat[name] = text
        elif depth == 3 and name == _STATUS:
            self._propstat_status = _status_code(text)
        elif depth == 2 and name == _STATUS:
            self._status = _status_code(text)
        elif depth == 2 and name == _HREF:
            self._hrefs.append(text)
        else:
            return
        self._text = None

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
    parts = line.split(None, 2)
    if len(parts) < 2 or not parts[1].isdecimal() or len(parts[1]) != 3:
        return None
    return int(parts[1])
