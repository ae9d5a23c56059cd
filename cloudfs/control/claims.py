"""Which downloads a connection started or joined, so that their events are its own, each to its end.

A transfer is told from others of the same file by its end: by how many others come before that. Those that
were said and have no number yet count too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from cloudfs.events import EventLog
from cloudfs.model.enums import EventClass
from cloudfs.model.progress import Event

_NOT_BEGUN = -1


@dataclass(slots=True, eq=False)
class Claim:
    """One transfer of a file. source: the class that started it. uri: as the client gave it last.
    after: the last event that came before it. others: ends of the file's other transfers that are still to
    come before its own. transfer: its number."""

    source: EventClass
    uri: str
    after: int
    others: int
    transfer: int = _NOT_BEGUN


class Claims:
    """Those of one connection, by inode: most events are of files that it never asked for."""

    def __init__(self, events: EventLog) -> None:
        self._events = events
        self._claims: dict[int, list[Claim]] = {}

    @contextmanager
    def starting(self, source: EventClass, inode: int, uri: str) -> Iterator[Claim]:
        """What is started in here, without a wait, is the connection's own. `transfer` is to be set to its
        number; where that raises nothing is claimed."""
        claim = Claim(source, uri, self._events.last_seq, self._events.ends_on_their_way(inode))
        yield claim
        claims = self._claims.setdefault(inode, [])
        last = next((each for each in reversed(claims) if each.source is source), None)
        if last is not None and last.transfer == claim.transfer:
            last.uri = uri
        else:
            claims.append(claim)

    def uri(self, source: EventClass, event: Event) -> str | None:
        """The URI by which the connection started what the event is of; None where it did not."""
        for claim in self._of(event):
            if claim.source is source and event.seq > claim.after and not claim.others:
                return claim.uri
        return None

    def note_end(self, event: Event) -> None:
        """A transfer's end was delivered: nothing of it follows."""
        if event.inode is None or not (claims := self._of(event)):
            return
        left = [claim for claim in claims if not _has_ended(claim, event)]
        if left:
            self._claims[event.inode] = left
        else:
            del self._claims[event.inode]

    def _of(self, event: Event) -> Sequence[Claim]:
        return self._claims.get(event.inode, ()) if event.inode is not None else ()


def _has_ended(claim: Claim, event: Event) -> bool:
    """Whether the end is the claimed transfer's; another's that came before it is counted."""
    if event.seq <= claim.after:
        return False
    if claim.others:
        claim.others -= 1
        return False
    return True
