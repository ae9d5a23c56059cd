"""The guard around every request: a failure becomes an errno and a log line, never a dead mount.

pyfuse3 knows only FUSEError; any other exception out of a handler ends its main loop.
"""

from __future__ import annotations

import errno
import functools
import logging
import os
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, TypeVar

from pyfuse3 import FUSEError

from cloudfs.model.entry import RemotePath
from cloudfs.model.errors import (
    AlreadyExists,
    CloudfsError,
    Interrupted,
    IsAFolder,
    NotAFolder,
    NotEmpty,
    NotFound,
    ReadOnly,
)

_log = logging.getLogger(__name__)

S = TypeVar("S")
P = ParamSpec("P")
T = TypeVar("T")

Handler = Callable[Concatenate[S, P], Coroutine[Any, Any, T]]

# What programs meet in daily life is no news.
_QUIET = (AlreadyExists, Interrupted, IsAFolder, NotAFolder, NotEmpty, NotFound, ReadOnly)


def guarded(subject: Callable[..., str]) -> Callable[[Handler[S, P, T]], Handler[S, P, T]]:
    """Translate what a handler raises into FUSEError by the table of `model.errors`; a bug is EIO.

    subject: says for the log, from the handler's own arguments, what the request is about.
    """

    def decorate(handler: Handler[S, P, T]) -> Handler[S, P, T]:
        operation = getattr(handler, "__name__", "request").lstrip("_")

        @functools.wraps(handler)
        async def guard(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
            try:
                return await handler(self, *args, **kwargs)
            except FUSEError:
                raise
            except CloudfsError as error:
                level = logging.DEBUG if isinstance(error, _QUIET) else logging.WARNING
                _log.log(level, "%s %s: %s", operation, _described(subject, self, *args), error.reason)
                raise FUSEError(error.errno) from None
            except Exception:  # noqa: BLE001 - the edge of a request
                _log.exception("%s %s failed by a bug", operation, _described(subject, self, *args))
                raise FUSEError(errno.EIO) from None

        return guard

    return decorate


def shown(path: RemotePath) -> str:
    """A path for the log: quoted, whatever its bytes are."""
    return repr(os.fsdecode(path))


def _described(subject: Callable[..., str], *args: Any) -> str:
    """The subject, or the bare number where the very thing is gone. A log line must not end the mount."""
    try:
        return subject(*args)
    except Exception:  # noqa: BLE001 - whatever it is, it was logged with its operation
        return f"number {args[1]}"
