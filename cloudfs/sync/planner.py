"""What the names that a round of listings no longer shows come to: a move, a removal, or a delete held back.

Pure. The round observed every changed folder of the scope whole before this is asked, so that a file that
left one folder and came up in another is seen on both sides.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LostFile:
    """A file under a name that is gone from the cloud.

    twin: the inode that now shows the same file id, which carries content and attributes across names; a
    tag names a version of one URL only and carries nothing.
    is_elsewhere: whether the same file id, or the same strong tag and size, stands under another name: no
    delete then, for the brake.
    """

    inode: int
    twin: int | None
    is_elsewhere: bool


@dataclass(frozen=True, slots=True)
class Lost:
    """One name that a whole listing no longer shows, with all that it held.

    folders: how many folders go with it, itself included where it is one.
    """

    inode: int
    folders: int
    files: tuple[LostFile, ...]

    @property
    def deletes(self) -> int:
        """How many entries the cloud really lost; a folder whose files all came up elsewhere was moved."""
        gone = sum(not file.is_elsewhere for file in self.files)
        return 0 if self.files and not gone else gone + self.folders


@dataclass(frozen=True, slots=True)
class PullPlan:
    """Operations for the tree, in this order: moves (old inode, new inode), then removals of whole names.

    A move gives the new name to the old inode, so that name is neither removed nor held.

    held: names whose removal waits for a confirmation, with `held_deletes` entries in all.
    """

    moves: tuple[tuple[int, int], ...]
    removals: tuple[int, ...]
    held: tuple[int, ...]
    held_deletes: int


def plan_absences(lost: Sequence[Lost], confirmed: Collection[int], delete_brake: int) -> PullPlan:
    """Decide about every lost name of one round (INTERFACE section 8, "The delete brake").

    confirmed: the names (inodes) whose removal somebody confirmed; they are not counted.
    delete_brake: more deletes than this in one round are held, all of them.
    """
    unconfirmed = [name for name in lost if name.inode not in confirmed and name.deletes]
    deletes = sum(name.deletes for name in unconfirmed)
    held = {name.inode for name in unconfirmed} if deletes > delete_brake else set()
    moves = dict(_moves(lost))
    return PullPlan(
        moves=tuple(moves.items()),
        removals=tuple(name.inode for name in lost if name.inode not in held and name.inode not in moves),
        held=tuple(name.inode for name in lost if name.inode in held),
        held_deletes=deletes if held else 0,
    )


def _moves(lost: Iterable[Lost]) -> Iterable[tuple[int, int]]:
    taken = set[int]()
    for name in lost:
        for file in name.files:
            if file.twin is not None and file.twin not in taken:
                taken.add(file.twin)
                yield file.inode, file.twin
