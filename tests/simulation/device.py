"""Another device, which changes the cloud directly: what a user does there, at one moment."""

from __future__ import annotations

from cloudfs.model.entry import RemotePath, join
from tests.servers.memory_cloud import MemoryCloud
from tests.simulation.ledger import Ledger

NAMES = (b"a", b"b", b"c", b"d.txt", b"e", b"f")


class Device:
    """Acts by numbers, so that an act means something in every state of the cloud."""

    def __init__(self, cloud: MemoryCloud, ledger: Ledger) -> None:
        self._cloud = cloud
        self._ledger = ledger

    def act(self, verb: str, one: int, other: int) -> None:
        match verb:
            case "put":
                self._put(self._place(one, other))
            case "edit":
                self._on_file(one, self._put)
            case "remove":
                self._on_any(one, self._remove)
            case "same":
                self._on_file(one, self._copy)
            case "rename":
                self._on_any(one, lambda path: self._rename(path, self._place(other, other // 7)))
            case "mkdir":
                self._mkdir(self._place(one, other))

    def _put(self, path: RemotePath) -> None:
        there = self._cloud.paths().get(path, b"")
        if there is None:
            return
        content = self._ledger.token("d") * (1 + len(path) % 3)
        self._ledger.give_up(there)
        self._cloud.put(path, content)
        self._ledger.keep(content, f"put as {path!r}")

    def _copy(self, path: RemotePath) -> None:
        """Another client brought what was written last here too.

        What was removed since by who wrote it is not owed by that: in the place to which it was being sent
        the two can't be told apart.
        """
        content, there = self._ledger.latest, self._cloud.content(path)
        if content and content != there:
            is_owed = self._ledger.owes(content)
            self._ledger.give_up(there)
            self._cloud.put(path, content)
            if is_owed:
                self._ledger.keep(content, f"copied to {path!r}")

    def _mkdir(self, path: RemotePath) -> None:
        if path not in self._cloud.paths():
            self._cloud.mkdir(path)

    def _remove(self, path: RemotePath) -> None:
        self._give_up(path)
        self._cloud.remove(path)

    def _rename(self, source: RemotePath, target: RemotePath) -> None:
        there = self._cloud.paths().get(target, b"")
        if there is None or target == source or target.startswith(source + b"/"):
            return
        if target in self._cloud.paths():
            self._remove(target)
        self._cloud.rename(source, target)

    def _give_up(self, path: RemotePath) -> None:
        for other, content in self._cloud.paths().items():
            if other == path or other.startswith(path + b"/"):
                self._ledger.give_up(content)

    def _place(self, one: int, other: int) -> RemotePath:
        folders = [b"", *(path for path, content in self._cloud.paths().items() if content is None)]
        return join(folders[one % len(folders)], NAMES[other % len(NAMES)])

    def _on_file(self, number: int, act: object) -> None:
        self._choose(
            [path for path, content in self._cloud.paths().items() if content is not None], number, act
        )

    def _on_any(self, number: int, act: object) -> None:
        self._choose([path for path, _ in self._cloud.paths().items()], number, act)

    def _choose(self, paths: list[RemotePath], number: int, act: object) -> None:
        assert callable(act)
        if paths:
            act(paths[number % len(paths)])
