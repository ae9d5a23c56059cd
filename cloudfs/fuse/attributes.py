"""stat(2) and statvfs(3) in pyfuse3's words."""

from __future__ import annotations

import stat

from pyfuse3 import EntryAttributes, StatvfsData

from cloudfs.clouds.base import Quota
from cloudfs.model.entry import NAME_MAX
from cloudfs.model.enums import Kind
from cloudfs.model.node import ROOT, Node

# How long the kernel answers by itself. Long, since what changes is invalidated.
LONG_S = 300.0
# While content comes in, `st_blocks` grows from one moment to the next.
SHORT_S = 1.0

_BLOCK = 4096
_STAT_BLOCK = 512  # the unit of st_blocks, whatever st_blksize says (stat(2))
_TYPE = {Kind.FILE: stat.S_IFREG, Kind.FOLDER: stat.S_IFDIR}

# A cloud that does not tell its size shows one that no program takes for full.
_UNKNOWN_BYTES = 1 << 50
_UNKNOWN_FILES = 1 << 40


def attributes_of(node: Node, held_bytes: int, written: tuple[int, int] | None = None) -> EntryAttributes:
    """What stat(2) shows: the full size, and blocks for the content held locally.

    written: (size, mtime_ns) of what programs have written and no close has committed yet.
    At least one block where the size is not 0, for `tar -S` takes 0 blocks for one hole. Folders have one
    link: `find` counts subfolders by links only where there are two or more.
    """
    size, mtime_ns = (node.size, node.mtime_ns) if written is None else written
    is_file = node.kind is Kind.FILE
    attributes = EntryAttributes()
    attributes.st_ino = node.inode
    attributes.generation = 0
    attributes.entry_timeout = LONG_S
    attributes.attr_timeout = SHORT_S if is_file and 0 < held_bytes < size else LONG_S
    attributes.st_mode = _TYPE[node.kind] | node.mode
    attributes.st_nlink = 0 if node.parent is None and node.inode != ROOT else 1
    attributes.st_uid = node.uid
    attributes.st_gid = node.gid
    attributes.st_size = size
    attributes.st_blksize = _BLOCK
    attributes.st_blocks = max(1, -(-held_bytes // _STAT_BLOCK)) if is_file and size else 0
    attributes.st_atime_ns = attributes.st_mtime_ns = mtime_ns
    attributes.st_ctime_ns = node.ctime_ns if written is None else max(node.ctime_ns, mtime_ns)
    return attributes


def absent(timeout_s: float) -> EntryAttributes:
    """The answer "no such entry", which the kernel remembers for so long."""
    attributes = EntryAttributes()
    attributes.st_ino = 0
    attributes.entry_timeout = timeout_s
    return attributes


def statistics_of(quota: Quota | None) -> StatvfsData:
    """What statvfs(3) shows of the cloud, from what was last heard of its quota."""
    used = quota.used if quota is not None and quota.used is not None else 0
    available = quota.available if quota is not None else None
    free = available if available is not None else _UNKNOWN_BYTES
    data = StatvfsData()
    data.f_bsize = data.f_frsize = _BLOCK
    data.f_blocks = (used + free) // _BLOCK
    data.f_bfree = data.f_bavail = free // _BLOCK
    data.f_files = data.f_ffree = data.f_favail = _UNKNOWN_FILES
    data.f_namemax = NAME_MAX
    return data
