"""Which daemon is meant."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from cloudfs.client.sockets import NoDaemon, find_socket


def test_who_is_named_and_who_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one given, then the environment's, then the only one that listens."""
    (tmp_path / "cloudfs").mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr("cloudfs.client.sockets.ROOT_SOCKETS", tmp_path / "root")
    monkeypatch.setenv("CLOUDFS_SOCKET", "/named")
    assert find_socket(tmp_path / "given") == str(tmp_path / "given")
    assert find_socket(None) == "/named"
    monkeypatch.delenv("CLOUDFS_SOCKET")
    with ExitStack() as listening:
        one, other = (listening.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(2))
        one.bind(str(tmp_path / "cloudfs" / "one.sock"))
        other.bind(str(tmp_path / "cloudfs" / "other.sock"))
        with pytest.raises(NoDaemon, match="no mount is running"):
            find_socket(None)
        one.listen()
        assert find_socket(None) == str(tmp_path / "cloudfs" / "one.sock")
        other.listen()
        with pytest.raises(NoDaemon, match=r"one.sock, .*other.sock"):
            find_socket(None)
