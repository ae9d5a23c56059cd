"""Who is served next: demands first, then by priority, and fairly within a priority. No I/O."""

from __future__ import annotations

from collections.abc import Iterable

from cloudfs.model.enums import Priority
from cloudfs.transfers.download import Download
from cloudfs.transfers.fetch_plan import Fetch, Pace
from cloudfs.transfers.transfer import Transfer, TransferState


class Queue:
    """Transfers that have not begun, by priority and then by age."""

    def __init__(self) -> None:
        self._waiting: dict[Priority, dict[int, Transfer]] = {priority: {} for priority in Priority}

    def put(self, transfer: Transfer) -> None:
        self._waiting[transfer.priority][transfer.inode] = transfer

    def remove(self, transfer: Transfer) -> None:
        """Not queued any more, if it was."""
        self._waiting[transfer.priority].pop(transfer.inode, None)

    def hasten(self, transfer: Transfer, priority: Priority) -> None:
        """Somebody more urgent wants it too; a less urgent wish changes nothing."""
        if priority.value >= transfer.priority.value:
            return
        is_queued = self._waiting[transfer.priority].pop(transfer.inode, None) is not None
        transfer.priority = priority
        if is_queued:
            self.put(transfer)

    def first(self) -> Transfer | None:
        for transfers in self._waiting.values():
            for transfer in transfers.values():
                return transfer
        return None


def choose_demanded(downloads: Iterable[Download]) -> tuple[Download, Fetch] | None:
    """The next fetch that somebody waits for: of the file with the fewest flights."""
    waiting = [download for download in downloads if download.demands]
    for download in sorted(waiting, key=lambda download: len(download.flights)):
        fetch = download.next_demanded()
        if fetch is not None:
            return download, fetch
    return None


def choose_background(
    downloads: Iterable[Download], queue: Queue, pace: Pace, most: int
) -> tuple[Download, Fetch] | Transfer | None:
    """The next fetch ahead of any wish, or a queued transfer to begin. most: flights that one file may have.

    Read-ahead counts as urgent as a demand: a program will ask for it in a moment. A file in trouble gets
    no further flights until one of those that bear with it comes through.
    """
    first = queue.first()
    candidates: list[tuple[int, int, int, Download | Transfer]] = []
    if first is not None:
        candidates.append((first.priority.value, 0, first.order, first))
    for download in downloads:
        if len(download.flights) < most and download.cause() is None:
            candidates.append((*_rank(download), download))
    for *_, candidate in sorted(candidates, key=lambda candidate: candidate[:3]):
        if isinstance(candidate, Transfer):
            return candidate
        fetch = candidate.next_background(pace)
        if fetch is not None:
            return candidate, fetch
    return None


def _rank(download: Download) -> tuple[int, int, int]:
    transfer = download.transfer
    if transfer is None or transfer.state is not TransferState.RUNNING:
        return Priority.DEMAND.value, len(download.flights), 0
    return transfer.priority.value, len(download.flights), transfer.order
