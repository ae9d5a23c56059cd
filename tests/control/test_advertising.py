from __future__ import annotations

import os
from pathlib import Path

from cloudfs.control.advertising import advertised


def test_a_socket_elsewhere_is_found_where_clients_look(tmp_path: Path) -> None:
    socket, directory = tmp_path / "elsewhere" / "mine.sock", tmp_path / "run"
    with advertised(socket, directory):
        [link] = directory.glob("*.sock")
        assert link.readlink() == socket
    assert not directory.exists()


def test_one_that_lies_there_needs_no_link(tmp_path: Path) -> None:
    with advertised(tmp_path / "mine.sock", tmp_path):
        assert not list(tmp_path.iterdir())


def test_links_of_killed_daemons_are_swept_and_others_left(tmp_path: Path) -> None:
    gone, alive, foreign = (
        tmp_path / "a.999999999.sock",
        tmp_path / f"b.{os.getppid()}.sock",
        tmp_path / "c.sock",
    )
    gone.symlink_to(tmp_path / "x")
    alive.symlink_to(tmp_path / "x")
    foreign.touch()
    with advertised(tmp_path / "elsewhere" / "mine.sock", tmp_path):
        assert not gone.is_symlink()
        assert alive.is_symlink()
        assert foreign.exists()


def test_a_directory_that_takes_no_link_is_no_error(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    with advertised(tmp_path / "mine.sock", in_the_way / "run"):
        assert in_the_way.is_file()
