"""Memory that many clients share for what they sent and what is not answered yet.

Each has some of its own, so that no other can take it away, and beyond that what is left of the common part.
So the whole is bounded, by a number that a few long lines may use as well as many short ones.
"""

from __future__ import annotations


class Room:
    """own: bytes that each client has for itself. common: bytes for all of them together."""

    def __init__(self, *, own: int, common: int) -> None:
        self._own = own
        self._left = common

    def share(self) -> Share:
        """A client's part; it gives back what it took by `shrink`, or all of it by `end`."""
        return Share(self)

    def resize(self, held: int, size: int) -> bool:
        """Move one client from `held` bytes to `size`; False, and nothing moved, where they are not there."""
        more = max(0, size - self._own) - max(0, held - self._own)
        if more > self._left:
            return False
        self._left -= more
        return True


class Share:
    """What one client holds."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._held = 0

    def grow(self, size: int) -> bool:
        """Take so many bytes more; False, and nothing taken, where they are not there."""
        if not self._room.resize(self._held, self._held + size):
            return False
        self._held += size
        return True

    def shrink(self, size: int) -> None:
        """Give so many bytes back."""
        self._room.resize(self._held, self._held - size)
        self._held -= size

    def end(self) -> None:
        """Give all back."""
        self.shrink(self._held)
