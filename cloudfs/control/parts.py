"""Rows of an answer that may be more than a line holds, or than a client reads.

What fills a line goes out before the answer, in notifications of its own, as the client takes them; the
answer has the rest. So the longest answer costs the daemon one line.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from cloudfs.control.call import Call

ROWS = "Mount.rows"
_PART_MAX = 256 * 1024  # bytes of rows in one line


class Parts:
    """The rows of one call. rest: those that are left for the answer itself."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._size = 0
        self.rest: list[msgspec.Raw] = []

    async def add(self, rows: Iterable[object]) -> None:
        """More rows; waits as long as the client does not read. Raises what `notify` raises."""
        for row in rows:
            text = msgspec.json.encode(row)
            if self._size + len(text) > _PART_MAX and self.rest:
                await self._send()
            self._size += len(text)
            self.rest.append(msgspec.Raw(text))

    async def _send(self) -> None:
        if self._call.id is not None:  # else nobody waits for an answer
            await self._call.notify(ROWS, {"id": msgspec.Raw(self._call.id), "rows": self.rest})
        self.rest = []
        self._size = 0
