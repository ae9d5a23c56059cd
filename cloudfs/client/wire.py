"""Lines of the control socket as a program has them: bytes in, messages out, and back (INTERFACE section 7).

Free of I/O. JSON by the standard library: a program that imports the client should wait for nothing more.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cloudfs.client.errors import CloudSyncError, invalid_parameter, ipc_error
from cloudfs.model.enums import DownloadErrorType, ErrorType, State, SyncState
from cloudfs.model.progress import DownloadProgress, SyncProgress

LINE_MAX = 1024 * 1024  # bytes, either way, the newline not counted


class Unreadable(Exception):
    """What came is nothing that a daemon says."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A call's result. number: the call's."""

    number: int
    result: Any


@dataclass(frozen=True, slots=True)
class Refusal:
    """A call's error. number: the call's; None: it is about no call that could be told, and the last word."""

    number: int | None
    error: CloudSyncError


@dataclass(frozen=True, slots=True)
class Notification:
    """What is said unasked to a subscription; None: to nobody that this client knows."""

    subscription: int | None
    params: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Skipped:
    """In place of the mount's events from `first` to `last`, both included, that this reader does not get."""

    first: int
    last: int


class Lines:
    """Cuts a byte stream into lines; holds the beginning of one, at most LINE_MAX bytes of it."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def receive(self, data: bytes) -> Iterator[bytes]:
        """The lines that are complete with `data`, in order. Raises Unreadable where one is too long."""
        start = 0
        while (end := data.find(b"\n", start)) >= 0:
            self._grow(data[start:end])
            line, self._rest = bytes(self._rest), bytearray()
            yield line
            start = end + 1
        self._grow(data[start:])

    def _grow(self, part: bytes) -> None:
        if len(self._rest) + len(part) > LINE_MAX:
            raise Unreadable(f"a line is longer than {LINE_MAX} bytes")
        self._rest += part


def encode_call(number: int, method: str, params: Mapping[str, Any]) -> bytes:
    """A call's line, with the newline. CloudSyncError 401 where no line can hold it."""
    call = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
    try:
        line = json.dumps(call).encode()
    except TypeError as error:  # a Path or bytes for a URI: a wrong type as any other
        raise invalid_parameter(str(error)) from error
    if len(line) > LINE_MAX:
        raise invalid_parameter(f"the call takes more than {LINE_MAX} bytes")
    return line + b"\n"


def decode(line: bytes) -> Answer | Refusal | Notification:
    """What a line says. Raises Unreadable."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise Unreadable("it is no JSON") from error
    match message:
        case {"method": str(), "params": {"subscription": int(number)}}:
            return Notification(number, message["params"])
        case {"method": str()}:
            return Notification(None, {})
        case {"id": int(number), "result": result}:
            return Answer(number, result)
        case {"id": int() | None as number, "error": {"code": int(code), "message": str(text), **more}}:
            return Refusal(number, _error(code, text, more.get("data")))
        case _:
            raise Unreadable("it is neither answer nor event")


def _error(code: int, message: str, data: Any) -> CloudSyncError:
    """JSON-RPC's own codes are none of the reference's: a daemon of another version, or a fault here."""
    if code < 0:
        return ipc_error(f"the daemon does not take the call: {message} ({code})")
    return CloudSyncError(code, message, data if isinstance(data, dict) else None)


def subscription_of(result: Any) -> int:
    """The number that `on` answered with. Raises Unreadable."""
    match result:
        case {"subscription": int(number)}:
            return number
        case _:
            raise Unreadable("it names no subscription")


def sync_progress(shown: Any) -> SyncProgress:
    """The reference's SyncProgress. Raises Unreadable."""
    try:
        return SyncProgress(SyncState(shown["state"]), ErrorType(shown["error"]))
    except (LookupError, TypeError, ValueError) as error:
        raise Unreadable("it is no SyncProgress") from error


def download_progress(shown: Any) -> DownloadProgress:
    """The reference's DownloadProgress. Raises Unreadable."""
    try:
        return DownloadProgress(
            State(shown["state"]),
            shown["processed"],
            shown["size"],
            shown["uri"],
            DownloadErrorType(shown["error"]),
        )
    except (LookupError, TypeError, ValueError) as error:
        raise Unreadable("it is no DownloadProgress") from error


def skipped(shown: Any) -> Skipped:
    """A notice of events that were left out. Raises Unreadable."""
    match shown:
        case [int(first), int(last)]:
            return Skipped(first, last)
        case _:
            raise Unreadable("it names no events")
