"""What comes between us and a server: a network that is told to be gone, and answers that are made up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Interference:
    """Asked before each request.

    Invariant: what a server can do is learned from itself alone; while that is asked, no answer is made up.
    """

    def __init__(
        self,
        is_cut_off: Callable[[], bool] = lambda: False,
        answer_to: Callable[[str], int | None] = lambda method: None,
    ) -> None:
        """is_cut_off: whether nothing may be sent or received, as if there were no network.
        answer_to: the status that a request of a method is answered with instead of being sent; None: it is
        sent.
        """
        self.is_cut_off = is_cut_off
        self._answer_to = answer_to
        self._questions = 0

    def answer_to(self, method: str) -> int | None:
        """The status that is made up for a request of this moment, or None."""
        return None if self._questions else self._answer_to(method)

    @contextmanager
    def held_off(self) -> Iterator[None]:
        """Around questions whose answers are kept for good: all that is asked meanwhile is really asked."""
        self._questions += 1
        try:
            yield
        finally:
            self._questions -= 1
