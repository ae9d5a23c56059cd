"""What an HTTP status means: the one translation from statuses to causes (INTERFACE section 8)."""

from __future__ import annotations

import time
from collections.abc import Mapping

from cloudfs.clouds.properties import read_date
from cloudfs.model.errors import (
    AccessRefused,
    AlreadyExists,
    CloudfsError,
    CloudStorageFull,
    FileTooLarge,
    Locked,
    NameRefused,
    NotFound,
    PreconditionFailed,
    ServerError,
    TooManyRequests,
    Unauthorized,
    WrongContent,
)

MAX_RETRY_AFTER_S = 24 * 3600.0

Meanings = Mapping[int, type[CloudfsError]]

# What a refusal says of a new name. A 409 may also mean that something else is there (clouds/taken).
NAME_MEANINGS: Meanings = {400: NameRefused, 405: AlreadyExists, 409: NotFound, 422: NameRefused}

_MEANINGS: Meanings = {
    401: Unauthorized,
    403: AccessRefused,
    404: NotFound,
    408: ServerError,
    410: NotFound,
    412: PreconditionFailed,
    413: FileTooLarge,
    414: NameRefused,
    416: WrongContent,
    423: Locked,
    429: TooManyRequests,
    507: CloudStorageFull,
}


# What a user can make of a number without looking it up.
_WORDS = {
    403: "access is refused",
    413: "it takes no file of this size",
    423: "it is locked by somebody",
    507: "its storage is full",
}


def error_for(
    status: int, request: str, retry_after: float | None = None, meanings: Meanings | None = None
) -> CloudfsError:
    """The cause that a status names.

    request: what was asked, for the reason; no secret. retry_after: seconds, as `read_retry_after` gives.
    meanings: where the request gives a status a meaning of its own (a 404 for content).
    """
    cause = (meanings or {}).get(status) or _MEANINGS.get(status) or _by_class(status, retry_after)
    words = f": {_WORDS[status]}" if status in _WORDS else ""
    reason = f"the server answered {status} to {request}{words}"
    return cause(reason, status=status, retry_after=retry_after)


def _by_class(status: int, retry_after: float | None) -> type[CloudfsError]:
    if status == 503 and retry_after is not None:
        return TooManyRequests
    if status >= 500:
        return ServerError
    if status < 400:  # a success or redirect that the request does not allow: some other server speaks
        return WrongContent
    return CloudfsError


def read_retry_after(text: str | None) -> float | None:
    """Seconds to wait (RFC 9110 section 10.2.3: a number or a date), a day at most; None without one."""
    if text is None:
        return None
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), MAX_RETRY_AFTER_S)
    at_ns = read_date(text)
    if at_ns is None:
        return None
    return min(max(0.0, at_ns / 1e9 - time.time()), MAX_RETRY_AFTER_S)
