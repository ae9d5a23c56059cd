"""The proxy counts, refuses and slows as told; its lies are met in tests/clouds."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import time
from urllib.parse import urlsplit

import pytest

from tests.servers.apache import Apache
from tests.servers.faults import Answer, CutRequest, Faults, IgnoreConditions, LoseAnswer, SeenRequest
from tests.servers.proxy import FaultProxy


def put(url: str, body: bytes, path: str = "/f", headers: dict[str, str] | None = None) -> int:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=5)
    try:
        connection.request("PUT", path, body, headers or {})
        return connection.getresponse().status
    finally:
        connection.close()


def get(url: str, path: str = "/f") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_rules_are_used_up_in_order() -> None:
    faults, teapot, gone = Faults(), Answer(418), Answer(410)
    faults.add(teapot, method="GET|HEAD", target="^/f", times=2)
    faults.add(gone)
    request = SeenRequest("GET", "/f", {})
    taken = [faults.take(request) for _ in range(3)]
    assert taken == [teapot, teapot, gone]
    assert faults.take(SeenRequest("GETX", "/f", {})) is gone
    faults.clear()
    assert faults.take(request) is None


def test_it_counts_and_logs(apache: Apache, proxy: FaultProxy) -> None:
    (apache.root / "f").write_bytes(b"x" * 300_000)
    assert get(proxy.url) == (200, b"x" * 300_000)
    assert get(proxy.url) == (200, b"x" * 300_000)
    assert (proxy.counters.connections, proxy.counters.requests) == (2, 2)
    assert proxy.counters.bytes_down > 600_000
    assert [seen.target for seen in proxy.seen] == ["/f", "/f"]


def test_it_refuses_and_takes_again(apache: Apache, proxy: FaultProxy) -> None:
    (apache.root / "f").write_bytes(b"abc")
    proxy.refuse()
    with pytest.raises(OSError, match="refused"):
        get(proxy.url)
    proxy.accept()
    assert get(proxy.url) == (200, b"abc")


def test_round_trips_and_bandwidth_are_paid(apache: Apache, proxy: FaultProxy) -> None:
    (apache.root / "f").write_bytes(b"x" * 100_000)
    proxy.conditions.rtt_s = 0.05
    proxy.conditions.bandwidth = 1_000_000
    began = time.monotonic()
    get(proxy.url)
    assert time.monotonic() - began >= 0.05 * 2 + 0.1


def test_uploads_are_slowed_cut_and_their_answers_lost(apache: Apache, proxy: FaultProxy) -> None:
    proxy.conditions.upload_bandwidth = 1_000_000
    began = time.monotonic()
    assert put(proxy.url, b"x" * 100_000) == 201
    assert time.monotonic() - began >= 0.1
    proxy.conditions.upload_bandwidth = None
    for fault in (CutRequest(50_000), LoseAnswer()):
        proxy.faults.add(fault, times=1)
        with pytest.raises(http.client.RemoteDisconnected):
            put(proxy.url, b"y" * 100_000)
        assert (apache.root / "f").read_bytes() == (b"x" if fault == CutRequest(50_000) else b"y") * 100_000
    assert put(proxy.url, b"z", headers={"If-None-Match": "*"}) == 412
    proxy.faults.add(IgnoreConditions(), times=1)
    assert put(proxy.url, b"z", headers={"If-None-Match": "*"}) == 204


def test_a_client_that_goes_in_mid_upload_is_gone_for_the_server(apache: Apache, proxy: FaultProxy) -> None:
    with socket.create_connection(("127.0.0.1", urlsplit(proxy.url).port or 0)) as client:
        client.sendall(b"PUT /f HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + b"x" * 60_000)
        deadline = time.monotonic() + 5
        while proxy.counters.bytes_up < 60_000 and time.monotonic() < deadline:
            time.sleep(0.01)
    while proxy.counters.open and time.monotonic() < deadline:
        time.sleep(0.01)
    assert proxy.counters.open == 0
    assert not (apache.root / "f").exists()


def test_as_a_process_it_tells_its_counters(apache: Apache) -> None:
    (apache.root / "f").write_bytes(b"abc")
    command = [sys.executable, "-m", "tests.servers.proxy", apache.url, "--rtt-ms", "1"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert get(url) == (200, b"abc")
        process.stdin.write("\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["requests"] == 1
        process.stdin.close()
        assert process.wait(10) == 0
