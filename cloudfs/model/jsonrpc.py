"""JSON-RPC 2.0, one object a line: bytes in, messages out, and back (jsonrpc.org/specification).

Free of I/O, as h11 is. What is decoded here is the envelope alone; a method's params stay JSON until
its table says which type they have (`decode_params`), and an id stays JSON for good, so that it comes back
as it was sent: 1.0, 1e400 and a number of fifty digits too. Memory is bounded by one line of LINE_MAX bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from cloudfs.model.errors import InvalidParameter
from cloudfs.model.room import Share

LINE_MAX = 1024 * 1024  # bytes, the newline not counted
BATCH_MAX = 1000  # requests; a line of "1,1,1,…" would else be answered by 40 MiB of errors

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601

NULL = b"null"
_BLANK = b" \t\r"
_HALF = re.compile(rb"\\u[dD][89a-fA-F]")  # of a pair of surrogates, or after a backslash that is meant so
# An escape in a string: a pair of surrogates, one without its other half, or any other.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.S
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """A call.

    params: the JSON text of an object or array, None where there is none.
    id: its JSON text, `null` too; None where there is none, so that the request is a notification.
    """

    method: str
    params: bytes | None
    id: bytes | None

    @property
    def is_notification(self) -> bool:
        """Whether the caller wants no answer, not even an error."""
        return self.id is None


@dataclass(frozen=True, slots=True)
class Fault:
    """What is no call at all; it is answered with this error. id: JSON text."""

    id: bytes
    code: int
    message: str


@dataclass(frozen=True, slots=True)
class Batch:
    """Several calls in one line, answered in one line."""

    messages: tuple[Request | Fault, ...]


Message = Request | Fault | Batch


class Lines:
    """Cuts a byte stream into lines.

    Invariant: holds the beginning of one line, at most LINE_MAX bytes of it. The rest of a line that grew too
    long, or found no room, is skipped; it has been answered by a Fault once.
    """

    def __init__(self, share: Share) -> None:
        """share: what lines are counted in, from their first byte on. One that was handed out remains in it:
        whoever got it gives its length back."""
        self._share = share
        self._line = bytearray()
        self._is_skipping = False

    def receive(self, data: bytes | bytearray) -> Iterator[bytes | Fault]:
        """The lines that are complete with `data`, in order, blank ones left out; to be read to its end."""
        start = 0
        while (end := data.find(b"\n", start)) >= 0:
            yield from self._grow(data[start:end])
            yield from self._end_line()
            start = end + 1
        yield from self._grow(data[start:])

    def receive_eof(self) -> Iterator[bytes | Fault]:
        """The last line, where the stream ended without a newline."""
        yield from self._end_line()

    def _grow(self, part: bytes | bytearray) -> Iterator[Fault]:
        if self._is_skipping:
            return
        if len(self._line) + len(part) > LINE_MAX:
            yield self._skip(f"a line is longer than {LINE_MAX} bytes")
        elif not self._share.grow(len(part)):
            yield self._skip("too many long lines wait for their end or their answer; send this one again")
        else:
            self._line += part

    def _skip(self, reason: str) -> Fault:
        self._share.shrink(len(self._line))
        self._line.clear()
        self._is_skipping = True
        return Fault(NULL, INVALID_REQUEST, f"Invalid Request: {reason}")

    def _end_line(self) -> Iterator[bytes]:
        line, self._line = bytes(self._line), bytearray()
        self._is_skipping = False
        if line.strip(_BLANK):
            yield line
        else:
            self._share.shrink(len(line))


class _Envelope(msgspec.Struct):
    jsonrpc: Literal["2.0"]
    method: str
    params: msgspec.Raw | UnsetType = UNSET
    id: msgspec.Raw | UnsetType = UNSET


class _IdAlone(msgspec.Struct):
    id: msgspec.Raw | UnsetType = UNSET


_envelope = msgspec.json.Decoder(_Envelope)
_id_alone = msgspec.json.Decoder(_IdAlone)
_batch = msgspec.json.Decoder(list[msgspec.Raw])
_any = msgspec.json.Decoder(msgspec.Raw)


def parse_line(line: bytes) -> Message:
    """What a line says. Never raises."""
    try:
        line.decode("utf-8")  # msgspec does not look into what it passes on undecoded
        return _parse(line.strip(_BLANK))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _parse_mended(line)


def _parse_mended(line: bytes) -> Message:
    """What can't be read, read once more with U+0000 for each half of a surrogate pair.

    RFC 8259 section 8.2: an escape may name half a pair, which no UTF-8 can hold; JSON.stringify writes it
    so. As no name holds U+0000 either, a URI with one is refused as what it is, a wrong URI.
    """
    if _HALF.search(line):
        mended = _ESCAPE.sub(lambda escape: b"\\u0000" if escape[1] else escape[0], line)
        if mended != line:
            return parse_line(mended)
    return Fault(NULL, PARSE_ERROR, "Parse error")


def _parse(line: bytes) -> Message:
    """Raises DecodeError or RecursionError where the text is no JSON that can be read."""
    if not line.startswith(b"["):
        return _parse_request(line)
    parts = _batch.decode(line)
    if not 0 < len(parts) <= BATCH_MAX:
        return Fault(NULL, INVALID_REQUEST, f"Invalid Request: a batch holds 1 to {BATCH_MAX} requests")
    return Batch(tuple(_parse_request(bytes(part)) for part in parts))


def _parse_request(text: bytes) -> Request | Fault:
    """One call. Raises as `_parse` does."""
    try:
        envelope = _envelope.decode(text)
    except msgspec.ValidationError as error:
        _any.decode(text)  # it was read no further than to the first value that does not fit
        return Fault(_find_id(text) or NULL, INVALID_REQUEST, f"Invalid Request: {error}")
    id_ = _text(envelope.id)
    if id_ is not None and not _is_id(id_):
        return Fault(NULL, INVALID_REQUEST, "Invalid Request: the id is neither string, number nor null")
    params = _text(envelope.params)
    if params is not None and params[:1] not in (b"{", b"["):
        return Fault(id_ or NULL, INVALID_REQUEST, "Invalid Request: params is neither object nor array")
    return Request(envelope.method, params, id_)


def _find_id(text: bytes) -> bytes | None:
    """The id of what is otherwise no request, so that a pipelining client can tell which one it was."""
    try:
        id_ = _text(_id_alone.decode(text).id)
    except msgspec.ValidationError:
        return None
    return id_ if id_ is not None and _is_id(id_) else None


def _text(value: msgspec.Raw | UnsetType) -> bytes | None:
    return None if isinstance(value, UnsetType) else bytes(value)


def _is_id(text: bytes) -> bool:
    return text == NULL or text[:1] in b'"-0123456789'


def decode_params(params: bytes | None, kind: type[T]) -> T:
    """A method's params. Raises InvalidParameter: they go by name, and match the method's exactly."""
    try:
        return msgspec.json.decode(b"{}" if params is None else params, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidParameter(f"the params do not fit: {error}") from None


def encode_result(id_: bytes, result: object) -> bytes:
    """An answer's line, without the newline. id_: JSON text."""
    return msgspec.json.encode({"jsonrpc": "2.0", "id": msgspec.Raw(id_), "result": result})


def encode_error(id_: bytes, code: int, message: str, data: object = None) -> bytes:
    """An error's line, without the newline; `data` is left out where it is None. id_: JSON text."""
    error = {"code": code, "message": message} | ({} if data is None else {"data": data})
    return msgspec.json.encode({"jsonrpc": "2.0", "id": msgspec.Raw(id_), "error": error})


def encode_notification(method: str, params: object) -> bytes:
    """A line that nobody answers, without the newline."""
    return msgspec.json.encode({"jsonrpc": "2.0", "method": method, "params": params})


def encode_batch(answers: Iterable[bytes]) -> bytes | None:
    """The line that answers a batch; None where it held notifications alone."""
    lines = list(answers)
    return b"[" + b",".join(lines) + b"]" if lines else None
