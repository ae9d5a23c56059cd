"""Which paths lie in the gallery. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from cloudfs.model.entry import RemotePath


def lies_in_gallery(path: RemotePath, gallery: Sequence[RemotePath]) -> bool:
    """Whether a path is a gallery folder or below one."""
    return any(path == folder or path.startswith(folder + b"/") for folder in gallery)


def galleries_from(path: RemotePath, gallery: Sequence[RemotePath]) -> list[RemotePath]:
    """The gallery folders at or below a path."""
    return [folder for folder in gallery if not path or folder == path or folder.startswith(path + b"/")]
