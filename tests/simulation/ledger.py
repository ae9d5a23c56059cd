"""What became of every content that somebody was told is safe."""

from __future__ import annotations

import itertools
from collections.abc import Collection


class Ledger:
    """Contents by their bytes; each that is written is like no other.

    A content is owed from the moment in which somebody was told that it is kept, until somebody who had it
    before his eyes wrote over it or removed it.
    """

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._owed: dict[bytes, str] = {}
        self.latest = b""

    def token(self, who: str) -> bytes:
        """Bytes that nothing else has."""
        return f"[{who}{next(self._numbers)}]".encode()

    def keep(self, content: bytes, whose: str) -> None:
        """Somebody was told that this is safe."""
        if content:
            self._owed[content] = whose
            self.latest = content

    def owes(self, content: bytes) -> bool:
        """Whether somebody still counts on it."""
        return content in self._owed

    def give_up(self, content: bytes | None) -> None:
        """Somebody who saw it wrote over it, or removed it."""
        if content is not None:
            self._owed.pop(content, None)

    def check(self, found: Collection[bytes]) -> None:
        lost = {content: whose for content, whose in self._owed.items() if content not in found}
        assert not lost, f"lost: {lost}"
