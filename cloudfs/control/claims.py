"""Which downloads a connection started or joined, so that their events are its own, each to its end.

A transfer is told from others of the same file by its end: by how many others come before that. Those that
were said and have no number yet count too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from cloudfs.events import EventLog
from cloudfs.model.enums import EventClass
from cloudfs.model.progress import Event

_NOT_BEGUN = -1


@dataclass(slots=True, eq=False)
class Claim:
    """One transfer of a file. uri: as the client gave it last. after: the last event that came before it.
    others: ends of the file's other transfers that are still to come before its own. transfer: its number."""

    uri: str
    after: int
    others: int
    transfer: int = _NOT_BEGUN


class Claims:
    """Those of one connection, by class and inode."""

    def __init__(self, events: EventLog) -> None:
        self._events = events
        self._claims: dict[tuple[EventClass, int], list[Claim]] = {}

    @contextmanager
    def starting(self, source: EventClass, inode: int, uri: str) -> Iterator[Claim]:
        """What is started in here, without a wait, is the connection's own. `transfer` is to be set to its
        number; where that raises nothing is claimed."""
        claim = Claim(uri, self._events.last_seq, self._events.ends_on_their_way(inode))
        yield claim
        claims = self._claims.setdefault((source, inode), [])
        if claims and claims[-1].transfer == claim.transfer:
            claims[-1].uri = uri
        else:
            claims.append(claim)

    def uri(self, source: EventClass, event: Event) -> str | None:
        """The URI by which the connection started what the event is of; None where it did not."""
        for claim in self._of(source, event):
            if event.seq > claim.after and not claim.others:
                return claim.uri
        return None

    def note_end(self, event: Event) -> None:
        """A transfer's end was delivered: nothing of it follows."""
        for source in EventClass:
            for claim in list(self._of(source, event)):
                if event.seq <= claim.after:
                    continue
                if claim.others:
                    claim.others -= 1
                else:
                    self._drop(source, event, claim)

    def _of(self, source: EventClass, event: Event) -> list[Claim]:
        return [] if event.inode is None else self._claims.get((source, event.inode), [])

    def _drop(self, source: EventClass, event: Event, claim: Claim) -> None:
        self._of(source, event).remove(claim)
        if event.inode is not None and not self._of(source, event):
            del self._claims[source, event.inode]
