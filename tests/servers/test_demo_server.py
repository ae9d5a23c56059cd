"""The demo's server keeps what WsgiDAV by itself would lose."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from cloudfs.cli.demo_server import DemoServer
from tests.servers.wsgidav import WsgiDav


def ask(
    url: str, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, str | None]:
    """The status and the ETag; header names are given with underscores."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, named)
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.getheader("ETag")
    finally:
        connection.close()


def test_two_writes_in_a_second_have_two_tags(wsgidav: WsgiDav) -> None:
    _, first = ask(wsgidav.url, "PUT", "/f", b"one")
    _, second = ask(wsgidav.url, "PUT", "/f", b"two")
    assert first
    assert first != second
    assert ask(wsgidav.url, "GET", "/f")[1] == second


def test_conditions_hold(wsgidav: WsgiDav) -> None:
    assert ask(wsgidav.url, "PUT", "/f", b"x", If_Match='"any"')[0] == 412
    assert ask(wsgidav.url, "PUT", "/f", b"x", If_Match="*")[0] == 412
    assert not (wsgidav.root / "f").exists()
    assert ask(wsgidav.url, "PUT", "/f", b"x", If_None_Match="*")[0] == 201
    assert ask(wsgidav.url, "PUT", "/f", b"y", If_None_Match="*")[0] == 412
    assert ask(wsgidav.url, "PUT", "/f", b"y", If_Match='"stale"')[0] == 412
    assert (wsgidav.root / "f").read_bytes() == b"x"


@pytest.mark.parametrize("name", ["old", "new"])
def test_a_put_that_is_cut_changes_nothing(wsgidav: WsgiDav, name: str) -> None:
    (wsgidav.root / "old").write_bytes(b"whole")
    split = urlsplit(wsgidav.url)
    with socket.create_connection((split.hostname or "", split.port or 0)) as client:
        head = f"PUT /{name} HTTP/1.1\r\nHost: {split.netloc}\r\nContent-Length: 1000000\r\n\r\n"
        client.sendall(head.encode() + b"x" * 300_000)
        assert ask(wsgidav.url, "GET", "/old")[0] == 200
        assert (wsgidav.root / "old").read_bytes() == b"whole"
        client.shutdown(socket.SHUT_WR)
        while client.recv(4096):
            continue  # the server closes once it has cleaned up
    assert os.listdir(wsgidav.root) == ["old"]
    assert (wsgidav.root / "old").read_bytes() == b"whole"


def test_it_asks_for_credentials_where_given(tmp_path: Path) -> None:
    with DemoServer(tmp_path, user="me", password="secret") as server:
        assert ask(server.url, "PROPFIND", "/", Depth="0")[0] == 401
        assert ask(server.url, "PROPFIND", "/", Depth="0", Authorization="Basic bWU6d3Jvbmc=")[0] == 401
        assert ask(server.url, "PROPFIND", "/", Depth="0", Authorization="Basic bWU6c2VjcmV0")[0] == 207


def test_it_keeps_sixteen_connections_alive(wsgidav: WsgiDav) -> None:
    (wsgidav.root / "f").write_bytes(b"abc")
    connections = [http.client.HTTPConnection(urlsplit(wsgidav.url).netloc, timeout=10) for _ in range(16)]
    try:
        for _ in range(2):
            for connection in connections:
                connection.request("GET", "/f")
                answer = connection.getresponse()
                assert answer.read() == b"abc"
                assert not answer.will_close
    finally:
        for connection in connections:
            connection.close()


def test_as_a_process_it_ends_on_sigterm(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cloudfs.cli.demo_server", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert ask(url, "OPTIONS", "/")[0] == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    with pytest.raises(ConnectionRefusedError):
        ask(url, "OPTIONS", "/")
