"""What a round asks of the cloud, and in which order: local changes against the places that it has.

Pure. A plan is made afresh from what the tree says each round, so a crash or a failure costs nothing but
planning again. Places name folders by inode: they stay right whichever folder above them moves first.

What a step needs beforehand stands in its `after`, and nothing else does: whoever carries the steps out
may take any that is free, several at a time. In every such order each step finds its parent there, its
name free and its folder empty, as long as nobody else changes the cloud:

- A folder moves only after the folders above it are where they belong, so none ever moves into itself.
- Who takes a name waits until the entry that the cloud has there has left it. Where such waits go round in
  a circle (a swap, a folder and its child exchanged), one of them is parked beside its place under a
  name that nobody has, which needs nothing; it goes on from there, in this round or, after a failure, a
  later one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Container, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from cloudfs.model.entry import Version
from cloudfs.model.enums import Kind
from cloudfs.model.marked_names import parked_name
from cloudfs.model.node import ROOT, Place
from cloudfs.sync.ordering import Waits


@dataclass(frozen=True, slots=True)
class Change:
    """An entry of which the cloud lacks something.

    place: where it lies here; None: removed. cloud: where the cloud has it; None: nowhere.
    base: the version that the cloud has of it.
    is_modified: whether a file's content here is newer.
    is_ready: whether anything may be asked for it now; False while it waits for its next try.
    is_quiet: whether its content may be sent now; False while it is kept open for writing.
    """

    inode: int
    kind: Kind
    place: Place | None
    cloud: Place | None
    base: Version | None
    is_modified: bool
    is_ready: bool = True
    is_quiet: bool = True


@dataclass(frozen=True, slots=True)
class MakeFolder:
    """Make a folder; its name is free."""

    inode: int
    place: Place


@dataclass(frozen=True, slots=True)
class Move:
    """Rename without sending content. replaces: the removed file (inode) that the cloud has at the target
    and that goes by this step."""

    inode: int
    source: Place
    target: Place
    replaces: int | None = None


@dataclass(frozen=True, slots=True)
class Upload:
    """Send a file's content. base: the version it replaces; None: the name is free."""

    inode: int
    place: Place
    base: Version | None


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove a file of the version `base`, or an empty folder."""

    inode: int
    kind: Kind
    place: Place
    base: Version | None


Operation = MakeFolder | Move | Upload | Delete


@dataclass(frozen=True, slots=True)
class Step:
    """One call to the cloud. after: indexes of the steps that must have succeeded before it."""

    operation: Operation
    after: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PushPlan:
    """steps: in an order that is right if they are taken one by one.
    held: removals that wait for a confirmation.
    blocked: entries that are ready themselves, and wait on something that is not ready, is held, or is not
    among the changes.
    """

    steps: tuple[Step, ...]
    held: tuple[int, ...]
    blocked: tuple[int, ...]


def plan_push(
    changes: Sequence[Change],
    *,
    cloud_parents: Callable[[int], Place | None],
    confirmed: Collection[int],
    delete_brake: int,
    token: str,
) -> PushPlan:
    """Plan one round over `changes` (INTERFACE section 8, "The delete brake").

    cloud_parents: where the cloud has a folder, for any that is not among the changes; None: nowhere.
    confirmed: removals (inodes) that somebody confirmed; they are not counted.
    delete_brake: more removals than this are held, all of them; what is replaced by a move is none.
    token: hexadecimal digits of this plan alone, for the names of what it parks.
    """
    draft = _Draft(changes, cloud_parents)
    held = _held(draft.removals, confirmed, delete_brake)
    tasks = draft.tasks
    absent = {task for task in tasks if not draft.may_go(task)}
    absent |= {_Task(inode, _Part.PLACE) for inode in held}
    waits = Waits({task: draft.waits(task) for task in tasks}, draft.names_awaited(tasks))
    waits.drop(absent)
    order = waits.in_order(park=lambda task: _Task(task.inode, _Part.PARK), cost=draft.cost)
    numbers = {task: number for number, task in enumerate(order.tasks)}
    parked = {task.inode for task in order.tasks if task.part is _Part.PARK}
    steps = tuple(
        Step(
            _operation(draft, task, parked, token),
            tuple(sorted(numbers[other] for other in order.after[task])),
        )
        for task in order.tasks
    )
    return PushPlan(steps, held, draft.blocked(order.after.keys(), held))


class _Part(IntEnum):
    """What is done for an entry; in this order."""

    PARK = 0  # leaves its name for another beside it
    PLACE = 1  # made, moved or deleted
    CONTENT = 2  # sent


class _Task(NamedTuple):
    inode: int
    part: _Part


class _Draft:
    """The changes, by what is asked of them."""

    def __init__(self, changes: Sequence[Change], cloud_parents: Callable[[int], Place | None]) -> None:
        self._cloud_parents = cloud_parents
        self._changes = {change.inode: change for change in changes}
        self._by_cloud = {change.cloud: change for change in changes if change.cloud is not None}
        self._in_cloud_folder: dict[int, list[int]] = defaultdict(list)
        for place, change in self._by_cloud.items():
            self._in_cloud_folder[place.parent].append(change.inode)
        self._replaced = dict(self._replacements())
        self._above: dict[int, int | None] = {ROOT: None}

    def _replacements(self) -> Iterable[tuple[int, int]]:
        """Removed files, and the file that moves over each: one move that the cloud carries out at once."""
        for change in self._changes.values():
            if change.kind is Kind.FILE and _is_moved(change) and change.place in self._by_cloud:
                there = self._by_cloud[change.place]
                if there.place is None and there.kind is Kind.FILE:
                    yield there.inode, change.inode

    @property
    def removals(self) -> list[int]:
        """Removed entries that a delete of their own takes from the cloud."""
        return [
            change.inode
            for change in self._changes.values()
            if change.place is None and change.inode not in self._replaced
        ]

    @property
    def tasks(self) -> list[_Task]:
        return [
            task
            for change in self._changes.values()
            for task in _tasks(change)
            if change.inode not in self._replaced
        ]

    def change(self, inode: int) -> Change:
        return self._changes[inode]

    def replaced_by(self, inode: int) -> int | None:
        """The removed file that goes as this one moves over it."""
        there = self._occupant(self._changes[inode])
        return there.inode if there is not None and there.inode in self._replaced else None

    def may_go(self, task: _Task) -> bool:
        """Whether nothing but other tasks holds this one up."""
        change = self._changes[task.inode]
        if not change.is_ready or not (change.is_quiet or task.part is not _Part.CONTENT):
            return False
        if change.place is None:
            return _is_known(change)
        replaced = self.replaced_by(task.inode)
        if task.part is _Part.PLACE and replaced is not None:
            return self._changes[replaced].is_ready and _is_known(self._changes[replaced])
        takes_name = task.part is _Part.PLACE or change.cloud is None
        return not takes_name or self._has_folder(change.place.parent)

    def _has_folder(self, inode: int) -> bool:
        """Whether the cloud has a folder, or will by this plan."""
        return inode == ROOT or inode in self._changes or self._cloud_parents(inode) is not None

    def waits(self, task: _Task) -> list[_Task]:
        """What must be done before a task, but for the name that it takes."""
        change = self._changes[task.inode]
        if change.place is None:
            return [_Task(inode, _Part.PLACE) for inode in self._in_cloud_folder[task.inode]]
        if task.part is _Part.CONTENT and change.cloud is not None:
            return [_Task(task.inode, _Part.PLACE)] if _is_moved(change) else []
        waits = []
        folder = self._changes.get(change.place.parent)
        if folder is not None and folder.cloud is None:
            waits.append(_Task(folder.inode, _Part.PLACE))
        if change.kind is Kind.FOLDER and change.cloud is not None:
            above = self._moving_above(change.place.parent)
            waits += [_Task(above, _Part.PLACE)] if above is not None else []
        return waits

    def names_awaited(self, tasks: Iterable[_Task]) -> dict[_Task, _Task]:
        """By task: who has to leave the name that it takes."""
        names = {}
        for task in tasks:
            change = self._changes[task.inode]
            takes_name = task.part is _Part.PLACE or change.cloud is None
            there = self._occupant(change) if takes_name else None
            if there is not None and there.inode not in self._replaced:
                names[task] = _Task(there.inode, _Part.PLACE)
        return names

    def blocked(self, planned: Container[_Task], held: Collection[int]) -> tuple[int, ...]:
        """Entries that the plan leaves undone, but for what is held or not ready itself."""
        return tuple(
            change.inode
            for change in self._changes.values()
            if change.is_ready and change.inode not in held and not self._is_done(change, planned)
        )

    def _is_done(self, change: Change, planned: Container[_Task]) -> bool:
        successor = self._replaced.get(change.inode)
        if successor is not None:
            return _Task(successor, _Part.PLACE) in planned
        return all(task in planned for task in _tasks(change) if change.is_quiet or task.part is _Part.PLACE)

    def cost(self, task: _Task) -> int:
        """How little one likes to park what a task is about: files first, what is removed last."""
        change = self._changes[task.inode]
        return 2 if change.place is None else int(change.kind is Kind.FOLDER)

    def _occupant(self, change: Change) -> Change | None:
        """Another entry that the cloud has in the place where this one belongs."""
        there = self._by_cloud.get(change.place) if change.place is not None else None
        return there if there is not change else None

    def _moving_above(self, folder: int) -> int | None:
        """The nearest folder, from this one upwards, that is itself moved by the plan."""
        path: dict[int, None] = {}
        while folder not in self._above:
            if folder in path:
                return None  # the places of two scopes do not add up to one tree; the cloud will refuse
            path[folder] = None
            change = self._changes.get(folder)
            if change is not None and _is_moved(change):
                self._above[folder] = folder
                break
            place = change.place if change is not None else self._cloud_parents(folder)
            folder = place.parent if place is not None else ROOT
        nearest = self._above[folder]
        for below in path:
            self._above[below] = nearest
        return nearest


def _is_moved(change: Change) -> bool:
    return change.place is not None and change.cloud is not None and change.place != change.cloud


def _is_known(removed: Change) -> bool:
    """Whether a removed file may be deleted: never one whose version nobody knows."""
    return removed.kind is Kind.FOLDER or removed.base is not None


def _tasks(change: Change) -> Iterable[_Task]:
    if change.place is None or _is_moved(change) or (change.cloud is None and change.kind is Kind.FOLDER):
        yield _Task(change.inode, _Part.PLACE)
    is_sent = change.is_modified or change.cloud is None
    if change.place is not None and change.kind is Kind.FILE and is_sent:
        yield _Task(change.inode, _Part.CONTENT)


def _held(removals: Sequence[int], confirmed: Collection[int], delete_brake: int) -> tuple[int, ...]:
    unconfirmed = tuple(inode for inode in removals if inode not in confirmed)
    return unconfirmed if len(unconfirmed) > delete_brake else ()


def _operation(draft: _Draft, task: _Task, parked: Collection[int], token: str) -> Operation:
    change = draft.change(task.inode)
    source = change.cloud
    if source is not None and (task.inode in parked or task.part is _Part.PARK):
        aside = Place(source.parent, parked_name(source.name, token, task.inode))
        if task.part is _Part.PARK:
            return Move(task.inode, source, aside)
        source = aside
    if change.place is None:
        assert source is not None, "what was removed is somewhere in the cloud"
        return Delete(task.inode, change.kind, source, change.base)
    if task.part is _Part.CONTENT:
        return Upload(task.inode, change.place, change.base)
    if source is None:
        return MakeFolder(task.inode, change.place)
    return Move(task.inode, source, change.place, draft.replaced_by(task.inode))
