"""Requests to one cloud's server: the only module that knows httpx.

Every request runs under a permit of its lane, within deadlines, with credentials that go to the cloud's
own origin only; its status and every failure of the network come out as classes of `model.errors`.
One try each, but for a connection that the server had closed while idle. No cookies are kept, no .netrc
is read.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Container, Mapping
from contextlib import asynccontextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from urllib.parse import urljoin

import httpcore
import httpx
import trio

from cloudfs.clouds.base import Lane
from cloudfs.clouds.credentials import Credentials
from cloudfs.clouds.interference import Interference
from cloudfs.clouds.lanes import Lanes
from cloudfs.clouds.names import origin_of
from cloudfs.clouds.statuses import Meanings, error_for, read_retry_after
from cloudfs.clouds.transport import OnePiece, close_body, open_pool
from cloudfs.model.enums import CloudState
from cloudfs.model.errors import (
    CloudfsError,
    NameRefused,
    NetworkTimeout,
    NetworkUnavailable,
    WrongContent,
)

_log = logging.getLogger(__name__)

MAX_REDIRECTS = 5
DRAIN_BYTES = 64 * 1024  # of a body that nobody wants, read to keep its connection
DRAIN_S = 1.0
_CUT_OFF = "the device is told to have no network"
_ORIGIN_SHOWN = 300  # a host has 253 bytes at most (RFC 1035)

# Safe methods (RFC 9110 section 9.2.1; RFC 4918 section 9.1): asked twice, they do no more than once.
_SAFE = frozenset(("GET", "HEAD", "OPTIONS", "PROPFIND"))
_SAME_REQUEST_ELSEWHERE = frozenset((301, 302, 307, 308))


class Answer:
    """The head of an answer that passed the checks, and its body while the request's block runs."""

    def __init__(self, response: httpx.Response, is_cut_off: Callable[[], bool]) -> None:
        self._response = response
        self._is_cut_off = is_cut_off
        self._body = response.aiter_raw()
        self._begun = False
        self.status = response.status_code

    def header(self, name: str) -> str | None:
        value: str | None = self._response.headers.get(name)
        return value

    async def next_chunk(self) -> bytes:
        """The next piece of the body as the network gave it, b"" at its end.

        NetworkUnavailable, NetworkTimeout where it breaks off. No async generator: one that a caller
        leaves half read would be ended by the garbage collector, of which trio warns.
        """
        self._begun = True
        if self._is_cut_off():
            raise NetworkUnavailable(_CUT_OFF)
        try:
            return await anext(self._body, b"")
        except httpx.HTTPError as error:
            raise _cause_of(error) from error

    async def read(self, most: int) -> bytes:
        """The whole body. WrongContent where it is longer than `most` bytes."""
        body = bytearray()
        while chunk := await self.next_chunk():
            body += chunk
            if len(body) > most:
                raise WrongContent(f"the answer is longer than {most} bytes")
        return bytes(body)

    async def finish(self) -> None:
        """Read what little is left, so that the connection can be used again, or close it."""
        left = DRAIN_BYTES
        try:
            with trio.move_on_after(DRAIN_S):
                while left > 0 and (chunk := await self.next_chunk()):
                    left -= len(chunk)
        except NetworkUnavailable as error:
            _log.debug("the rest of an answer was lost: %s", error)
        finally:
            await self.abandon()

    async def abandon(self) -> None:
        """Close it, whatever is left; also when cancelled."""
        with trio.move_on_after(DRAIN_S, shield=True):
            if self._begun:
                await self._unwind()
            await self._response.aclose()

    async def _unwind(self) -> None:
        """End the generators that stand under `_body` by a cancellation in the innermost: httpx leaves
        them to the garbage collector when a body is not read to its end, of which trio warns."""
        with trio.CancelScope() as scope:
            scope.cancel()
            try:
                async for _ in self._body:
                    await trio.lowlevel.cancel_shielded_checkpoint()
            except httpx.HTTPError as error:
                _log.debug("an answer that nobody reads broke off: %s", error)


def _ignore(state: CloudState) -> None:
    """Nobody wants to know."""


class Http:
    """A server, its connections, and how it answered last."""

    def __init__(
        self,
        url: str,
        *,
        credentials: Credentials | None = None,
        timeout_s: float = 30.0,
        max_connections: int = 16,
        ca_file: Path | None = None,
        on_state: Callable[[CloudState], None] = _ignore,
        interference: Interference | None = None,
    ) -> None:
        """url: any on the server; its origin is the only one spoken to. ValueError where it is no URL.

        timeout_s: bounds a whole file access; each answer must make progress in a third of it (but not
        less than 2 s), so that an access has time for another try. An upload, which nobody waits for, has
        all of it for its answer.
        on_state: called on every change of `state`; must not block.
        interference: what comes between; None: nothing does.
        """
        self.lanes = Lanes(max_connections)
        self._url = url
        self._origin = origin_of(url)
        self._credentials = credentials
        self._timeout_s = timeout_s
        self._progress_s = max(timeout_s / 3, min(timeout_s, 2.0))
        self._max_connections = max_connections
        self._ca_file = ca_file
        self._on_state = on_state
        self.interference = interference or Interference()
        self._state: CloudState | None = None
        self._client: httpx.AsyncClient | None = None

    @property
    def state(self) -> CloudState:
        """By the last answer, or the lack of one; offline before the first."""
        return self._state or CloudState.OFFLINE

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Hold the connections until cancelled. CloudfsError where `ca_file` or the proxy is unusable."""
        pool = open_pool(self._url, self._max_connections, self._ca_file)
        headers = {"Accept-Encoding": "identity", "User-Agent": "cloudfs"}
        if self._credentials is not None:
            headers["Authorization"] = self._credentials.header()
        client = httpx.AsyncClient(
            transport=_Transport(pool),
            headers=headers,
            timeout=httpx.Timeout(self._progress_s, pool=None),
            # A jar that takes nothing: cookies would be state, and grow by the server's will.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            trust_env=False,
        )
        try:
            self._client = client
            task_status.started()
            await trio.sleep_forever()
        finally:
            self._client = None
            with trio.move_on_after(DRAIN_S, shield=True):
                await client.aclose()

    @asynccontextmanager
    async def request(
        self,
        method: str,
        url: str,
        *,
        lane: Lane,
        expect: Container[int],
        headers: Mapping[str, str] | None = None,
        body: bytes | AsyncIterator[bytes] | None = None,
        meanings: Meanings | None = None,
        patience_s: float = 0.0,
    ) -> AsyncGenerator[Answer, None]:
        """Send, check the head, hand out the body for the length of the block.

        expect: the statuses that are an answer; any other raises what `statuses.error_for` makes of it.
        body: sent as it comes, and closed in the end; an answer that comes before its end ends it. It must
        have as many bytes as `headers` say.
        meanings: statuses that mean something particular to this request.
        patience_s: how much longer than usual the answer to a streamed body may take.
        Waiting for a connection has no deadline of its own. NetworkUnavailable, NetworkTimeout,
        WrongContent (a redirect to another origin, an encoded body), and by status.
        """
        async with self.lanes.permit(lane):
            try:
                response = await self._ask(method, url, headers, body, patience_s)
            finally:
                await close_body(body)
            answer = Answer(response, self.interference.is_cut_off)
            try:
                await self._judge(method, answer, expect, meanings)
                yield answer
            except BaseException:
                await answer.abandon()
                raise
            await answer.finish()

    async def _judge(
        self, method: str, answer: Answer, expect: Container[int], meanings: Meanings | None
    ) -> None:
        if answer.status in expect:
            encoding = answer.header("Content-Encoding") or "identity"
            if encoding != "identity":
                raise WrongContent(f"the answer is encoded ({encoding[:40]!r}), which nobody asked for")
            return
        await answer.finish()
        retry_after = read_retry_after(answer.header("Retry-After"))
        raise error_for(answer.status, method, retry_after, meanings)

    async def _ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        body: bytes | AsyncIterator[bytes] | None,
        patience_s: float,
    ) -> httpx.Response:
        """The first answer that is no redirect."""
        # A streamed body may rightly take longer; its deadline is that of each write.
        whole_s = self._timeout_s if body is None or isinstance(body, bytes) else float("inf")
        try:
            with trio.fail_after(whole_s):
                return await self._follow(method, url, headers, body, patience_s)
        except (httpx.HTTPError, trio.TooSlowError) as error:
            cause = _cause_of(error)
            if isinstance(cause, NetworkUnavailable):
                self._become(CloudState.OFFLINE)
            raise cause from error

    async def _follow(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        body: bytes | AsyncIterator[bytes] | None,
        patience_s: float,
    ) -> httpx.Response:
        for _ in range(MAX_REDIRECTS + 1):
            asked_at = trio.current_time()
            response = await self._send(method, url, headers, body, patience_s)
            self._note(response.status_code, asked_at)
            if not response.has_redirect_location:
                return response
            with trio.CancelScope(shield=True):
                await response.aclose()
            url = self._redirected(method, url, response, body)
        raise WrongContent(f"the server redirects {method} in a circle")

    async def _send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        body: bytes | AsyncIterator[bytes] | None,
        patience_s: float,
    ) -> httpx.Response:
        if self._client is None:
            raise NetworkUnavailable("the cloud is being shut down")
        if self.interference.is_cut_off():
            raise httpx.ConnectError(_CUT_OFF)
        try:
            request = self._client.build_request(method, url, headers=headers, content=body)
        except httpx.InvalidURL as error:
            raise NameRefused(f"the name makes no URL: {error}") from error
        request.stream = _RequestBody(body or b"")
        if isinstance(body, AsyncIterator):
            request.extensions["timeout"]["read"] = self._timeout_s + patience_s
        if (status := self.interference.answer_to(method)) is not None:
            return httpx.Response(status, stream=httpx.ByteStream(b""), request=request)
        try:
            return await self._client.send(request, stream=True)
        except (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError):
            # As likely as not the server had closed the idle connection just when it was taken.
            if method not in _SAFE:
                raise
            return await self._client.send(request, stream=True)

    def _redirected(
        self, method: str, url: str, response: httpx.Response, body: bytes | AsyncIterator[bytes] | None
    ) -> str:
        """Where to ask the same again. WrongContent where that is no business of ours."""
        target = urljoin(url, response.headers["Location"])
        try:
            origin = origin_of(target)
        except ValueError:
            raise WrongContent(
                f"the server redirects {method} to what is no web address", status=response.status_code
            ) from None
        if origin != self._origin:
            elsewhere = "{}://{}:{}".format(*origin)  # and no more of it: what follows may hold a secret
            raise WrongContent(
                f"the server redirects {method} to {elsewhere[:_ORIGIN_SHOWN]!r}; if that is right, name it "
                "in [cloud] url",
                status=response.status_code,
            )
        repeatable = body is None or isinstance(body, bytes)
        if response.status_code not in _SAME_REQUEST_ELSEWHERE or not repeatable:
            raise WrongContent(f"the server redirects {method}", status=response.status_code)
        return target

    def _note(self, status: int, asked_at: float) -> None:
        if status in (429, 503):
            self.lanes.shrink(asked_at)
        elif status < 400:
            self.lanes.grow()
        if status == 401:
            self._become(CloudState.UNAUTHORIZED)
        elif status < 500:  # a server in trouble says nothing of the credentials, nor is it away
            self._become(CloudState.READY)

    def _become(self, state: CloudState) -> None:
        if state is not self._state:
            self._state = state
            self._on_state(state)


class _RequestBody(httpx.AsyncByteStream):
    """A body as httpcore takes it: not by the generator that httpx puts around one, which would be left to
    the garbage collector when an answer comes early, of which trio warns."""

    def __init__(self, body: bytes | AsyncIterator[bytes]) -> None:
        self._body = body

    def __aiter__(self) -> AsyncIterator[bytes]:
        return OnePiece(self._body) if isinstance(self._body, bytes) else self._body


class _Transport(httpx.AsyncHTTPTransport):
    """httpx's own on a pool of ours, as its constructor takes neither a pool nor a network backend."""

    def __init__(self, pool: httpcore.AsyncConnectionPool) -> None:
        self._pool = pool


def _cause_of(error: httpx.HTTPError | trio.TooSlowError) -> CloudfsError:
    """What httpx raised, as the cause it is."""
    if isinstance(error, httpx.TimeoutException | trio.TooSlowError):
        return NetworkTimeout("the server did not answer in time")
    if isinstance(error, httpx.LocalProtocolError):
        return CloudfsError(f"the request breaks HTTP: {error}")
    return NetworkUnavailable(f"the server is out of reach: {_root(error)}")


def _root(error: BaseException) -> str:
    """The innermost reason: httpx's own words are often empty."""
    said = str(error)
    inner = error.__cause__ or error.__context__
    while inner is not None:
        said = str(inner) or said
        # trio gathers what each address of the host answered; the first speaks for all.
        inner = (
            inner.exceptions[0]
            if isinstance(inner, BaseExceptionGroup)
            else inner.__cause__ or inner.__context__
        )
    return said or type(error).__name__
