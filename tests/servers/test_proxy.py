"""The proxy counts, refuses and slows as told; its lies are met in tests/clouds."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from urllib.parse import urlsplit

import pytest

from tests.servers.apache import Apache
from tests.servers.faults import Answer, Faults, SeenRequest
from tests.servers.proxy import FaultProxy


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
