"""A local tree and a cloud's, in plain dicts: what a push plan is tried against.

The cloud refuses every step whose precondition does not hold, as a server would.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from cloudfs.model.entry import Version
from cloudfs.model.enums import Kind
from cloudfs.model.node import ROOT, Place
from cloudfs.sync.push_plan import Change, Delete, MakeFolder, Move, Operation, PushPlan, Upload, plan_push


class Refused(Exception):
    """A step that the cloud can't take as it is."""


@dataclass
class Entry:
    kind: Kind
    content: int = 0


@dataclass
class Remote:
    """The cloud: what lies where, by the inodes that the local side knows it under."""

    at: dict[Place, int] = field(default_factory=dict)
    entries: dict[int, Entry] = field(default_factory=dict)
    bytes_sent: int = 0

    def place(self, inode: int) -> Place | None:
        return next((place for place, there in self.at.items() if there == inode), None)

    def carry_out(self, operation: Operation, content: int) -> None:
        match operation:
            case MakeFolder(inode, place):
                self._check_free(place)
                self.at[place] = inode
                self.entries[inode] = Entry(Kind.FOLDER)
            case Upload(inode, place, base):
                self._upload(inode, place, base, content)
            case Delete(inode, kind, place, base):
                self._check_there(inode, place)
                self._require(self.entries[inode].kind is kind, "another kind")
                self._require(not self._below(inode), "not empty")
                self._require(kind is Kind.FOLDER or base == self._version(inode), "another version")
                del self.at[place], self.entries[inode]
            case Move(inode, source, target, replaces):
                self._move(inode, source, target, replaces)

    def _upload(self, inode: int, place: Place, base: Version | None, content: int) -> None:
        if base is None:
            self._check_free(place)
            self.entries[inode] = Entry(Kind.FILE)
        else:
            self._check_there(inode, place)
            self._require(base == self._version(inode), "another version")
        self.at[place] = inode
        self.entries[inode].content = content
        self.bytes_sent += 1

    def _move(self, inode: int, source: Place, target: Place, replaces: int | None) -> None:
        self._check_there(inode, source)
        if replaces is None:
            self._check_free(target)
        else:
            self._check_there(replaces, target)
            self._require(self.entries[replaces].kind is Kind.FILE, "a folder in the way")
            del self.at[target], self.entries[replaces]
        above = target.parent
        while above != ROOT:
            self._require(above != inode, "into itself")
            place = self.place(above)
            assert place is not None
            above = place.parent
        del self.at[source]
        self._check_free(target)
        self.at[target] = inode

    def _check_free(self, place: Place) -> None:
        self._require(place not in self.at, f"{place} is taken")
        is_folder = place.parent == ROOT or (
            self.place(place.parent) is not None and self.entries[place.parent].kind is Kind.FOLDER
        )
        self._require(is_folder, f"no parent of {place}")

    def _check_there(self, inode: int, place: Place) -> None:
        self._require(self.at.get(place) == inode, f"{inode} is not at {place}")

    def _below(self, inode: int) -> list[int]:
        return [there for place, there in self.at.items() if place.parent == inode]

    def _version(self, inode: int) -> Version:
        return Version(f'"{self.entries[inode].content}"', None, 1)

    @staticmethod
    def _require(holds: bool, why: str) -> None:
        if not holds:
            raise Refused(why)


class Local:
    """The local side: where programs put things, and what it knows of the cloud."""

    def __init__(self, remote: Remote) -> None:
        self.remote = remote
        self.at: dict[Place, int] = dict(remote.at)
        self.entries = {inode: Entry(entry.kind, entry.content) for inode, entry in remote.entries.items()}
        self.home: dict[int, Place] = {inode: place for place, inode in remote.at.items()}
        self.unready: set[int] = set()
        self.unquiet: set[int] = set()
        self._numbers = itertools.count(1000)

    # --- what programs do ---

    def folders(self) -> list[int]:
        return [ROOT, *(inode for inode in self.at.values() if self.entries[inode].kind is Kind.FOLDER)]

    def place(self, inode: int) -> Place | None:
        return next((place for place, there in self.at.items() if there == inode), None)

    def create(self, place: Place, kind: Kind) -> int | None:
        if place in self.at:
            return None
        inode = next(self._numbers)
        self.at[place] = inode
        self.entries[inode] = Entry(kind, next(self._numbers))
        self._take_over(inode, place)
        return inode

    def write(self, inode: int) -> None:
        if self.entries[inode].kind is Kind.FILE:
            self.entries[inode].content = next(self._numbers)

    def remove(self, inode: int) -> bool:
        if any(place.parent == inode for place in self.at):
            return False
        place = self.place(inode)
        assert place is not None
        del self.at[place]
        if inode not in self.home:
            del self.entries[inode]
        elif (taker := self.at.get(self.home[inode])) is not None:
            self._take_over(taker, self.home[inode])
        return True

    def move(self, inode: int, target: Place) -> bool:
        """rename(2)."""
        if any(above == inode for above in self._upwards(target.parent)):
            return False
        there = self.at.get(target)
        if there == inode:
            return False
        if there is not None and (
            self.entries[there].kind is not self.entries[inode].kind or not self.remove(there)
        ):
            return False
        source = self.place(inode)
        assert source is not None
        del self.at[source]
        self.at[target] = inode
        self._take_over(inode, target)
        return True

    def exchange(self, one: int, other: int) -> bool:
        """RENAME_EXCHANGE."""
        here, there = self.place(one), self.place(other)
        assert here is not None
        assert there is not None
        if one in self._upwards(there.parent) or other in self._upwards(here.parent):
            return False
        self.at[here], self.at[there] = other, one
        return True

    def _upwards(self, folder: int) -> Iterator[int]:
        while folder != ROOT:
            yield folder
            place = self.place(folder)
            assert place is not None
            folder = place.parent

    def _take_over(self, inode: int, place: Place) -> None:
        """What the cloud never had, in the place of what was removed: it is a new version of that."""
        dead = next((other for other, home in self.home.items() if home == place), None)
        if dead is None or inode in self.home or self.place(dead) is not None:
            return
        if self.entries[dead].kind is not self.entries[inode].kind:
            return
        self.home[inode] = self.home.pop(dead)
        self.remote.at[place] = inode
        self.remote.entries[inode] = self.remote.entries.pop(dead)
        for other, home in self.home.items():
            if home.parent == dead:
                self._rehome(other, Place(inode, home.name))
        del self.entries[dead]

    def _rehome(self, inode: int, home: Place) -> None:
        del self.remote.at[self.home[inode]]
        self.home[inode] = home
        self.remote.at[home] = inode

    # --- what a sync does ---

    def changes(self) -> list[Change]:
        return [change for inode in self.entries if (change := self._change(inode)) is not None]

    def _change(self, inode: int) -> Change | None:
        entry, place, home = self.entries[inode], self.place(inode), self.home.get(inode)
        there = self.remote.entries.get(inode)
        is_modified = home is None or there is None or entry.content != there.content
        is_modified = is_modified and entry.kind is Kind.FILE
        if place == home and not is_modified:
            return None
        base = None if there is None else Version(f'"{there.content}"', None, 1)
        return Change(
            inode,
            entry.kind,
            place,
            home,
            base,
            is_modified,
            is_ready=inode not in self.unready,
            is_quiet=inode not in self.unquiet,
        )

    def plan(self, *, brake: int = 1000, confirmed: Collection[int] = ()) -> PushPlan:
        return plan_push(
            self.changes(), cloud_parents=self.home.get, confirmed=confirmed, delete_brake=brake, token="1a"
        )

    def carry_out(self, operation: Operation) -> None:
        """A step that succeeds. Raises Refused."""
        inode = operation.inode
        self.remote.carry_out(operation, self.entries[inode].content)
        match operation:
            case MakeFolder(_, place) | Upload(_, place, _):
                self.home[inode] = place
            case Move(_, _, target, replaces):
                self.home[inode] = target
                if replaces is not None:
                    del self.home[replaces], self.entries[replaces]
            case Delete():
                del self.home[inode], self.entries[inode]

    def is_pushed(self) -> bool:
        """Whether the cloud shows what is here."""
        return (
            self.at == self.remote.at
            and self.home == {inode: place for place, inode in self.at.items()}
            and all(
                entry.content == self.remote.entries[inode].content or entry.kind is Kind.FOLDER
                for inode, entry in self.entries.items()
            )
        )
