"""An entry for tests of what only looks at entries: `replace` it with what a test is about."""

from __future__ import annotations

from cloudfs.model.enums import Kind, Listing
from cloudfs.model.node import ROOT, Node

# A file made here, in the root, which the cloud never had; nothing of it is to be sent.
NEW_FILE = Node(
    inode=2,
    parent=ROOT,
    name=b"file",
    kind=Kind.FILE,
    size=0,
    mtime_ns=0,
    ctime_ns=0,
    mode=0o644,
    uid=0,
    gid=0,
    version=None,
    file_id=None,
    listing=Listing.NEVER,
    pinned=False,
    media_id=None,
    error=None,
    error_reason=None,
)
