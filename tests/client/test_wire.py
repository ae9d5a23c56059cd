"""Lines of the control socket: what a program makes of any bytes."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudfs.client.errors import CloudSyncError
from cloudfs.client.wire import (
    LINE_MAX,
    Answer,
    Lines,
    Notification,
    Refusal,
    Unreadable,
    decode,
    download_progress,
    encode_call,
    skipped,
    subscription_of,
    sync_progress,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)
LIKELY = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("id", "method", "params", "result", "error", "jsonrpc"), JSON)
)


@settings(deadline=None)
@given(st.lists(st.binary(max_size=20).map(lambda line: line.replace(b"\n", b""))), st.data())
def test_lines_come_whole_however_they_are_cut(lines: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(line + b"\n" for line in lines) + b"rest"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)))))
    cutter, came = Lines(), []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        came += list(cutter.receive(stream[start:end]))
    assert came == lines


def test_a_line_has_a_greatest_length() -> None:
    assert [len(line) for line in Lines().receive(bytes(LINE_MAX) + b"\n")] == [LINE_MAX]
    lines = Lines()
    assert list(lines.receive(bytes(LINE_MAX))) == []
    with pytest.raises(Unreadable):
        list(lines.receive(b"x"))
    with pytest.raises(CloudSyncError, match="401"):
        encode_call(1, "Download.start", {"uri": "x" * LINE_MAX})


@pytest.mark.parametrize("uri", [Path("/mnt/a.txt"), b"file://x/a.txt", {"file://x/a.txt"}])
def test_a_wrong_type_is_a_wrong_parameter(uri: object) -> None:
    with pytest.raises(CloudSyncError, match="not JSON serializable"):
        encode_call(1, "Download.start", {"uri": uri})


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"jsonrpc":"2.0","id":7,"result":null}', Answer(7, None)),
        (b'{"jsonrpc":"2.0","id":7,"result":[1],"more":0}', Answer(7, [1])),
        (b'{"method":"X.progress","params":{"subscription":3}}', Notification(3, {"subscription": 3})),
        (b'{"method":"Mount.sending","params":{"pending":3}}', Notification(None, {})),
    ],
)
def test_what_a_daemon_says(line: bytes, message: Answer | Notification) -> None:
    assert decode(line) == message


def test_errors() -> None:
    error = {"code": 13900002, "message": "No such file or directory.", "data": {"reason": "it is gone"}}
    refusal = decode(json.dumps({"id": 1, "error": error}).encode())
    assert isinstance(refusal, Refusal)
    assert str(refusal.error) == "No such file or directory. (13900002): it is gone"
    older = decode(b'{"id":null,"error":{"code":-32601,"message":"Method not found","data":0}}')
    assert isinstance(older, Refusal)
    assert (older.number, older.error.code) == (None, 13600001)
    assert "Method not found" in str(older.error)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"HTTP/1.1 400 Bad Request",
        b"[1]",
        b"null",
        b'{"id":1}',
        b'{"id":"1","result":0}',
        b"\xff",
        pytest.param(b"[" * 99_999, id="deep"),
    ],
)
def test_what_no_daemon_says(line: bytes) -> None:
    with pytest.raises(Unreadable):
        decode(line)


@settings(deadline=None)
@given(st.binary(max_size=50) | (JSON | LIKELY).map(lambda value: json.dumps(value).encode()))
def test_any_line_is_read_or_refused(line: bytes) -> None:
    with suppress(Unreadable):
        assert isinstance(decode(line), Answer | Refusal | Notification)


@settings(deadline=None)
@given(JSON | st.dictionaries(st.sampled_from(["state", "error", "uri", "size", "processed"]), JSON))
def test_any_event_is_read_or_refused(shown: Any) -> None:
    for read in (sync_progress, download_progress, skipped, subscription_of):
        with suppress(Unreadable):
            read(shown)
