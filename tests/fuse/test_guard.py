"""What a handler raises becomes an errno and a log line."""

from __future__ import annotations

import errno
import logging

import pytest
import trio
from pyfuse3 import FUSEError

from cloudfs.fuse.guard import guarded
from cloudfs.model import errors


class _Handlers:
    def __init__(self, failure: BaseException | None) -> None:
        self._failure = failure

    def _subject(self, number: int) -> str:
        return f"'docs/{number}'"

    def _broken(self, number: int) -> str:
        raise KeyError(number)

    @guarded(_subject)
    async def getattr(self, number: int) -> int:
        await trio.lowlevel.checkpoint()
        if self._failure is not None:
            raise self._failure
        return number

    @guarded(_broken)
    async def release(self, number: int) -> None:
        raise errors.LocalIOError("the disk is gone")


# INTERFACE section 8, "Errors to errno"; ContentNotFound is what a read finds.
TABLE = [
    (errors.NetworkUnavailable, errno.ENETUNREACH),
    (errors.NetworkTimeout, errno.ETIMEDOUT),
    (errors.LocalStorageFull, errno.ENOSPC),
    (errors.ContentNotFound, errno.EIO),
    (errors.TooManyRequests, errno.EAGAIN),
    (errors.CloudStorageFull, errno.EDQUOT),
    (errors.Unauthorized, errno.EACCES),
    (errors.AccessRefused, errno.EACCES),
    (errors.ServerError, errno.EIO),
    (errors.WrongContent, errno.EIO),
    (errors.VersionChanged, errno.EIO),
    (errors.LocalIOError, errno.EIO),
    (errors.NotFound, errno.ENOENT),
    (errors.ReadOnly, errno.EROFS),
    (errors.Interrupted, errno.EINTR),
]


@pytest.mark.parametrize(("cause", "number"), TABLE)
async def test_each_cause_has_its_errno(
    cause: type[errors.CloudfsError], number: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "cloudfs.fuse.guard"), pytest.raises(FUSEError) as raised:
        await _Handlers(cause("why it failed")).getattr(5)
    assert raised.value.errno == number
    assert "getattr 'docs/5': why it failed" in caplog.text


async def test_a_bug_is_eio_with_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(FUSEError) as raised:
        await _Handlers(ZeroDivisionError("a bug")).getattr(5)
    assert raised.value.errno == errno.EIO
    assert "getattr 'docs/5' failed by a bug" in caplog.text
    assert "ZeroDivisionError: a bug" in caplog.text


async def test_a_subject_that_fails_does_not_get_out(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(FUSEError) as raised:
        await _Handlers(None).release(9)
    assert raised.value.errno == errno.EIO
    assert "release number 9: the disk is gone" in caplog.text


async def test_answers_and_cancellation_pass() -> None:
    assert await _Handlers(None).getattr(5) == 5
    with pytest.raises(FUSEError) as raised:
        await _Handlers(FUSEError(errno.EPERM)).getattr(5)
    assert raised.value.errno == errno.EPERM
    with trio.CancelScope() as scope:
        scope.cancel()
        await _Handlers(None).getattr(5)
    assert scope.cancelled_caught
