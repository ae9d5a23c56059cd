"""FileSync and GallerySync as a test sees them: what one of them covers, is asked, and says."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from cloudfs.model.enums import ErrorType, SyncState
from tests.mount.harness import Connection, Mount
from tests.mount.programs import content

DATA = content(200_000)  # of the files that the cloud has at first
Said = list[tuple[str, str]]


@dataclass(frozen=True)
class Scope:
    """One of the two classes over a mount.

    name: FileSync or GallerySync. key: how `status` names it. place: where its files lie, relative to the
    mount. root: the folder whose listing its sync can't do without, as a pattern of targets.
    """

    name: str
    key: str
    place: str
    root: str
    mount: Mount
    connection: Connection

    @property
    def folder(self) -> Path:
        return self.mount.path / self.place

    @property
    def other(self) -> str:
        """The other class."""
        return "FileSync" if self.name == "GallerySync" else "GallerySync"

    def call(self, verb: str) -> object:
        return self.connection.call(f"{self.name}.{verb}")

    def xattr(self, name: str, file: str) -> str:
        return self.mount.xattr(name, os.path.join(self.place, file))

    def uri(self, file: str) -> str:
        return self.mount.uri(os.path.join(self.place, file))

    def on(self) -> tuple[str, str]:
        """Subscribe; what is delivered at once."""
        self.connection.call(f"{self.name}.on", event="progress")
        return self.next()

    def next(self) -> tuple[str, str]:
        """State and error of the next event, as names."""
        event = self.connection.next_event()
        assert event["method"] == f"{self.name}.progress"
        progress = event["params"]["progress"]
        return SyncState(progress["state"]).name, ErrorType(progress["error"]).name

    def until_end(self) -> Said:
        """What a sync says, to its end."""
        said = [self.next()]
        while not SyncState[said[-1][0]].is_end:
            said.append(self.next())
        return said

    def until_uploading(self) -> None:
        """Take the first two of what a sync with work says."""
        assert [self.next(), self.next()] == [("DOWNLOADING", "NO_ERROR"), ("UPLOADING", "NO_ERROR")]

    def sync(self) -> Said:
        """Start one, and what it says."""
        self.call("start")
        return self.until_end()


def files(mount: Mount) -> Scope:
    """FileSync, on a connection of its own."""
    return Scope("FileSync", "files", "", "^/$", mount, mount.connect())


def gallery(mount: Mount) -> Scope:
    """GallerySync, on a connection of its own."""
    return Scope("GallerySync", "gallery", "Photos", "/Photos/", mount, mount.connect())
