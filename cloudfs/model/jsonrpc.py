"""JSON-RPC 2.0, one object a line: bytes in, messages out, and back (jsonrpc.org/specification).

Free of I/O, as h11 is. What is decoded here is the envelope alone; a method's params stay JSON until
its table says which type they have (`decode_params`). Memory is bounded by one line of LINE_MAX bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from cloudfs.model.errors import InvalidParameter

LINE_MAX = 1024 * 1024  # bytes, the newline not counted
BATCH_MAX = 1000  # requests; a line of "1,1,1,…" would else be answered by 40 MiB of errors

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601

# UNSET: there is no id, so the request is a notification. None: the id is null, and is answered.
Id = int | float | str | None | UnsetType
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """A call. `params` is the JSON text of an object or array, None where there is none."""

    method: str
    params: bytes | None
    id: Id

    @property
    def is_notification(self) -> bool:
        """Whether the caller wants no answer, not even an error."""
        return self.id is UNSET


@dataclass(frozen=True, slots=True)
class Fault:
    """What is no call at all; it is answered with this error."""

    id: int | float | str | None
    code: int
    message: str


@dataclass(frozen=True, slots=True)
class Batch:
    """Several calls in one line, answered in one line."""

    messages: tuple[Request | Fault, ...]


Message = Request | Fault | Batch


class Receiver:
    """Cuts a byte stream into messages.

    Invariant: holds the beginning of one line, at most LINE_MAX bytes of it; the rest of a longer line
    is skipped, and it has been answered by a Fault once, when it grew too long.
    """

    def __init__(self) -> None:
        self._line = bytearray()
        self._is_skipping = False

    def receive(self, data: bytes | bytearray) -> list[Message]:
        """The messages that are complete with `data`, in order. Never raises."""
        messages: list[Message] = []
        *ends, rest = data.split(b"\n")
        for end in ends:
            messages += self._grow(end)
            messages += self._end_line()
        return messages + self._grow(rest)

    def receive_eof(self) -> list[Message]:
        """The last message, where the stream ended without a newline."""
        return self._end_line()

    def _grow(self, part: bytes | bytearray) -> list[Message]:
        if self._is_skipping:
            return []
        if len(self._line) + len(part) > LINE_MAX:
            self._line.clear()
            self._is_skipping = True
            return [Fault(None, INVALID_REQUEST, f"Invalid Request: a line is longer than {LINE_MAX} bytes")]
        self._line += part
        return []

    def _end_line(self) -> list[Message]:
        line, self._line = bytes(self._line).strip(b" \t\r"), bytearray()
        self._is_skipping = False
        return [_parse_line(line)] if line else []


class _Envelope(msgspec.Struct):
    jsonrpc: Literal["2.0"]
    method: str
    params: msgspec.Raw | UnsetType = UNSET
    id: Id = UNSET


class _IdAlone(msgspec.Struct):
    id: int | float | str | None = None


_envelope = msgspec.json.Decoder(_Envelope)
_id_alone = msgspec.json.Decoder(_IdAlone)
_batch = msgspec.json.Decoder(list[msgspec.Raw])


def _parse_line(line: bytes) -> Message:
    try:
        line.decode("utf-8")  # msgspec does not look into what it passes on undecoded
        if not line.startswith(b"["):
            return _parse_request(line)
        parts = _batch.decode(line)
        if not 0 < len(parts) <= BATCH_MAX:
            return Fault(None, INVALID_REQUEST, f"Invalid Request: a batch holds 1 to {BATCH_MAX} requests")
        return Batch(tuple(_parse_request(bytes(part)) for part in parts))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Fault(None, PARSE_ERROR, "Parse error")


def _parse_request(text: bytes) -> Request | Fault:
    """One call. Raises DecodeError or RecursionError where the text is no JSON that can be read."""
    try:
        envelope = _envelope.decode(text)
    except msgspec.ValidationError as error:
        return Fault(_find_id(text), INVALID_REQUEST, f"Invalid Request: {error}")
    if envelope.params is UNSET:
        return Request(envelope.method, None, envelope.id)
    params = bytes(envelope.params)
    if params[:1] not in (b"{", b"["):
        return Fault(_find_id(text), INVALID_REQUEST, "Invalid Request: params is neither object nor array")
    return Request(envelope.method, params, envelope.id)


def _find_id(text: bytes) -> int | float | str | None:
    """The id of what is otherwise no request, so that a pipelining client can tell which one it was."""
    try:
        return _id_alone.decode(text).id
    except msgspec.ValidationError:
        return None


def decode_params(params: bytes | None, kind: type[T]) -> T:
    """A method's params. Raises InvalidParameter: they go by name, and match the method's exactly."""
    try:
        return msgspec.json.decode(b"{}" if params is None else params, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidParameter(f"the params do not fit: {error}") from None


def encode_result(id_: Id, result: object) -> bytes:
    """An answer's line, without the newline."""
    return msgspec.json.encode({"jsonrpc": "2.0", "id": id_, "result": result})


def encode_error(id_: Id, code: int, message: str, data: object = None) -> bytes:
    """An error's line, without the newline; `data` is left out where it is None."""
    error = {"code": code, "message": message} | ({} if data is None else {"data": data})
    return msgspec.json.encode({"jsonrpc": "2.0", "id": id_, "error": error})


def encode_notification(method: str, params: object) -> bytes:
    """A line that nobody answers, without the newline."""
    return msgspec.json.encode({"jsonrpc": "2.0", "method": method, "params": params})


def encode_batch(answers: Iterable[bytes]) -> bytes | None:
    """The line that answers a batch; None where it held notifications alone."""
    lines = list(answers)
    return b"[" + b",".join(lines) + b"]" if lines else None
