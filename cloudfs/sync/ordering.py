"""In which order tasks can be done that wait for one another. Pure.

Most waits stand. A wait for a *name* ends as well when its holder is parked, and that is how a circle of
waits is opened; so every circle must hold such a wait.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Order(Generic[T]):
    """tasks: each after all that it waits for. after: by task, what it waits for."""

    tasks: list[T]
    after: dict[T, set[T]]


class Waits(Generic[T]):
    """What each task waits for.

    standing: by task, every one that it waits for in any case; names: by task, who holds the name that it
    takes. Nobody else takes that name.
    """

    def __init__(self, standing: Mapping[T, Iterable[T]], names: Mapping[T, T]) -> None:
        self._standing = {task: set(others) for task, others in standing.items()}
        self._names = dict(names)
        self._waiting: dict[T, list[T]] = defaultdict(list)  # whom each holds up, once a wait
        for task in self._standing:
            for other in self._of(task):
                self._waiting[other].append(task)

    def _of(self, task: T) -> list[T]:
        """All waits of a task; a holder for whom it waits in any case too counts twice."""
        holder = self._names.get(task)
        return [*self._standing[task], *([] if holder is None else [holder])]

    def drop(self, absent: Iterable[T]) -> None:
        """Take tasks out that will not be done, and all that wait for one of them.

        A wait for what is no task at all is one for what will not be done.
        """
        unknown = [task for task in self._waiting if task not in self._standing]
        gone = dict.fromkeys([*absent, *unknown])
        queue = deque(gone)
        while queue:
            for task in self._waiting[queue.popleft()]:
                if task not in gone:
                    gone[task] = None
                    queue.append(task)
        for task in gone:
            self._standing.pop(task, None)
            self._names.pop(task, None)

    def in_order(self, *, park: Callable[[T], T], cost: Callable[[T], int]) -> Order[T]:
        """Order all tasks, once; each circle is opened at the name whose holder costs least to park.

        park: the task that parks the holder, named by that one's own task; it waits for nothing.
        """
        after = {task: set(self._of(task)) for task in self._standing}
        counts = {task: len(self._of(task)) for task in self._standing}
        free = deque(task for task, count in counts.items() if not count)
        order: dict[T, None] = {}

        def release(task: T) -> None:
            counts[task] -= 1
            if not counts[task]:
                free.append(task)

        stuck = iter(list(self._standing))
        while len(order) < len(after):
            if not free:
                start = next(task for task in stuck if task not in order)
                taker = self._cheapest(self._circle(start, order), cost)
                holder = self._names.pop(taker)
                parking = park(holder)
                order[parking] = None
                after[parking] = set()
                after[holder].add(parking)
                after[taker] = {*self._standing[taker], parking}
                self._waiting[holder].remove(taker)
                release(taker)
                continue
            task = free.popleft()
            order[task] = None
            for other in self._waiting[task]:
                if other in counts:
                    release(other)
        return Order(list(order), after)

    def _circle(self, start: T, done: Mapping[T, None]) -> list[T]:
        """Tasks each of which waits for the next, and the last for the first; `start` waits for one."""
        path: dict[T, None] = {}
        task = start
        while task not in path:
            path[task] = None
            task = next(other for other in self._of(task) if other not in done)
        members = list(path)
        return members[members.index(task) :]

    def _cheapest(self, circle: list[T], cost: Callable[[T], int]) -> T:
        """Who, of a circle, takes the name whose holder costs least to park."""
        pairs = zip(circle, [*circle[1:], circle[0]], strict=True)
        takers = [task for task, other in pairs if self._names.get(task) == other]
        return min(takers, key=lambda taker: cost(self._names[taker]))
