"""One client of the control socket: its requests in order, its answers and events as it reads them.

Invariants: a request begins after the one before it has ended or said that it waits (`Call.begin_next`);
at most IN_FLIGHT are under way; lines are sent whole, one after the other; what was received counts in the
connection's share of the room until it is answered. So a client that does not read is not read from either,
and all clients together cost the daemon no more than that room and what each may have in flight.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

import trio

from cloudfs.control.call import CLIENT_LEFT, Call
from cloudfs.control.callers import Caller
from cloudfs.control.messages import ANY
from cloudfs.control.methods import Methods
from cloudfs.control.subscriptions import Subscriptions
from cloudfs.events import EventLog
from cloudfs.model import jsonrpc
from cloudfs.model.errors import TryAgain
from cloudfs.model.jsonrpc import Batch, Fault, Lines, Message, Request, parse_line
from cloudfs.model.room import Share

log = logging.getLogger(__name__)

IN_FLIGHT = 32
_CHUNK = 16 * 1024


class Connection:
    """Serves one client until it goes away."""

    def __init__(
        self,
        stream: trio.abc.Stream,
        caller: Caller,
        methods: Methods,
        events: EventLog,
        may_read: Callable[[Caller, int], bool],
        *,
        share: Share,
    ) -> None:
        """may_read: whether a caller may read a file; decides which events it may have. share: the room for
        what it sends; given back when `serve` ends."""
        self._stream = stream
        self._caller = caller
        self._methods = methods
        self._share = share
        self._sending = trio.Lock()
        self._in_flight = trio.Semaphore(IN_FLIGHT)
        self._subscriptions = Subscriptions(events, lambda inode: may_read(caller, inode), self._send)

    async def serve(self) -> None:
        """Answer until the client has closed its side and has all answers; then end its subscriptions.

        A client that breaks off is no error; what it started goes on.
        """
        try:
            async with self._stream, trio.open_nursery() as nursery:
                nursery.start_soon(self._subscriptions.run)
                await self._receive()
                nursery.cancel_scope.cancel()
        except* CLIENT_LEFT:
            log.debug("a client broke off: %s", self._caller)
        finally:
            self._share.end()

    async def _receive(self) -> None:
        lines = Lines(self._share)
        async with trio.open_nursery() as requests:
            while data := await self._stream.receive_some(_CHUNK):
                for line in lines.receive(data):
                    await self._begin(requests, line)
            for line in lines.receive_eof():
                await self._begin(requests, line)

    async def _begin(self, requests: trio.Nursery, line: bytes | Fault) -> None:
        await self._in_flight.acquire()
        await requests.start(self._take, line)

    async def _take(self, line: bytes | Fault, *, task_status: trio.TaskStatus[None]) -> None:
        """Answer one line, and give back its room."""
        turn = _Turn(task_status)
        call = Call(self._caller, self._subscriptions, turn.end, self._notify)
        try:
            answer = await self._answer(line if isinstance(line, Fault) else parse_line(line), call)
            if answer is not None:
                await self._send(answer)
        finally:
            if isinstance(line, bytes):
                self._share.shrink(len(line))
            call.answered.set()
            for act in call.afterwards:
                act()
            self._in_flight.release()
            turn.end()

    async def _answer(self, message: Message, call: Call) -> bytes | None:
        if not isinstance(message, Batch):
            return await self._methods.answer(message, call)
        answers: list[bytes] = []
        size = 0
        for each in message.messages:
            if size > jsonrpc.LINE_MAX and isinstance(each, Request) and each.id is not None:
                answer: bytes | None = _put_off(each.id)
            else:
                answer = await self._methods.answer(each, call)
            if answer is not None:
                answers.append(answer)
                size += len(answer)
        return jsonrpc.encode_batch(answers)

    async def _notify(self, method: str, params: Mapping[str, object]) -> None:
        await self._send(jsonrpc.encode_notification(method, params))

    async def _send(self, line: bytes) -> None:
        async with self._sending:
            await self._stream.send_all(line + b"\n")


def _put_off(id_: bytes) -> bytes:
    """The answer to a call of a batch that is not carried out, as those before it filled a line."""
    reason = f"the answers of this batch have {jsonrpc.LINE_MAX} bytes already; send this one again"
    return jsonrpc.encode_error(id_, TryAgain.code, ANY[TryAgain.code], {"reason": reason})


class _Turn:
    """A request's turn, which it ends once: by waiting for something slow, or by being answered."""

    def __init__(self, task_status: trio.TaskStatus[None]) -> None:
        self._task_status = task_status
        self._is_over = False

    def end(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._task_status.started()
