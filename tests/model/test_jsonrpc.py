"""JSON-RPC 2.0 to the letter, fed in any pieces."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudfs.model import jsonrpc
from cloudfs.model.errors import InvalidParameter
from cloudfs.model.jsonrpc import Batch, Fault, Lines, Message, Request, parse_line
from cloudfs.model.room import Room


class Receiver:
    """Messages from a stream, with room for any line."""

    def __init__(self) -> None:
        self._lines = Lines(Room(own=2 * jsonrpc.LINE_MAX, common=0).share())

    def receive(self, data: bytes) -> list[Message]:
        return [_message(line) for line in self._lines.receive(data)]

    def receive_eof(self) -> list[Message]:
        return [_message(line) for line in self._lines.receive_eof()]


def _message(line: bytes | Fault) -> Message:
    return line if isinstance(line, Fault) else parse_line(line)


def receive(data: bytes) -> list[Message]:
    return Receiver().receive(data)


def only(line: str | bytes) -> Message:
    [message] = receive((line.encode() if isinstance(line, str) else line) + b"\n")
    return message


ids = (
    st.none()
    | st.integers(-(2**63), 2**63 - 1)
    | st.text(max_size=8)
    | st.floats(allow_nan=False, allow_infinity=False)
)
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
calls = st.fixed_dictionaries(
    {"jsonrpc": st.just("2.0"), "method": st.text(max_size=12)},
    optional={
        "id": ids,
        "params": st.dictionaries(st.text(max_size=4), values, max_size=3) | st.lists(values, max_size=3),
    },
)


@given(st.lists(calls, max_size=5), st.data())
def test_calls_survive_any_cutting(sent: list[dict[str, Any]], data: st.DataObject) -> None:
    stream = b"".join(json.dumps(call).encode() + b"\n" for call in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    receiver, got = Receiver(), []
    for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        got += receiver.receive(stream[start:stop])
    assert receiver.receive_eof() == []
    assert len(got) == len(sent)
    for call, request in zip(sent, got, strict=True):
        assert isinstance(request, Request)
        assert request.method == call["method"]
        assert request.is_notification is ("id" not in call)
        assert request.id == (json.dumps(call["id"]).encode() if "id" in call else None)
        assert (None if request.params is None else json.loads(request.params)) == call.get("params")


@given(st.binary(max_size=200))
def test_random_bytes_never_raise(data: bytes) -> None:
    receiver = Receiver()
    for message in receiver.receive(data + b"\n") + receiver.receive(b"[" + data) + receiver.receive_eof():
        if isinstance(message, Fault):
            assert message.code in (jsonrpc.PARSE_ERROR, jsonrpc.INVALID_REQUEST)


@pytest.mark.parametrize(
    "line",
    [
        b'{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]',
        b'[{"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},{"jsonrpc": "2.0", "method"',
        b'{"jsonrpc":"2.0","method":"a","params":{"x":"\xff"},"id":1}',
        b"\xff\xfe",
        b"nonsense",
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"jsonrpc":"2.0","id":1,"method":"a","params":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001,
        b'{"jsonrpc":"2.0","method":"a"} {}',
        b'"jsonrpc": "2.0", "method": "a"}',
        b'{"jsonrpc":"1.0", "id": 1, nonsense',
        b'{"jsonrpc":"2.0","method":1,"id":01}',
        b"1 2",
    ],
)
def test_parse_error(line: bytes) -> None:
    assert only(line) == Fault(b"null", jsonrpc.PARSE_ERROR, "Parse error")


@pytest.mark.parametrize(
    ("line", "id_"),
    [
        ('{"jsonrpc": "2.0", "method": 1, "params": "bar"}', "null"),
        ("[]", "null"),
        ("1", "null"),
        ("null", "null"),
        ('"text"', "null"),
        ("{}", "null"),
        ('{"method":"a","id":7}', "7"),
        ('{"jsonrpc":"1.0","method":"a","id":"seven"}', '"seven"'),
        ('{"jsonrpc":2.0,"method":"a","id":1.50}', "1.50"),
        ('{"jsonrpc":"2.0","id":7}', "7"),
        ('{"jsonrpc":"2.0","method":null,"id":7}', "7"),
        ('{"jsonrpc":"2.0","method":"a","params":"bar","id":7}', "7"),
        ('{"jsonrpc":"2.0","method":"a","params":null,"id":7}', "7"),
        ('{"jsonrpc":"2.0","method":"a","params":"bar"}', "null"),
        ('{"jsonrpc":"2.0","method":"a","id":true}', "null"),
        ('{"jsonrpc":"2.0","method":"a","id":{}}', "null"),
        ('{"jsonrpc":"2.0","method":"a","id":[1]}', "null"),
        ('{"jsonrpc":"2.0","method":7,"id":false}', "null"),
    ],
)
def test_invalid_request(line: str, id_: str) -> None:
    fault = only(line)
    assert isinstance(fault, Fault)
    assert (fault.code, fault.id) == (jsonrpc.INVALID_REQUEST, id_.encode())


@pytest.mark.parametrize(
    "id_", ["0", "-0", "1.0", "1e400", "9" * 5000, '""', '"\\ud83d\\ude00"', '"\\u0061"', "null", "2.50"]
)
def test_an_id_comes_back_as_it_was_sent(id_: str) -> None:
    request = only(f'{{"jsonrpc":"2.0","method":"a","id": {id_} }}')
    assert request == Request("a", None, id_.encode())
    assert isinstance(request, Request)
    assert request.id is not None
    assert f'"id":{id_},' in jsonrpc.encode_result(request.id, None).decode()
    assert f'"id":{id_},' in jsonrpc.encode_error(request.id, 401, "text").decode()


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (r"\ud800", r"\u0000"),
        (r"\uDFFFx", r"\u0000x"),
        (r"\ud83d\ude00", r"\ud83d\ude00"),
        (r"\ud800\ud83d\ude00\udc00", r"\u0000\ud83d\ude00\u0000"),
        (r"\\ud800 \ud800", r"\\ud800 \u0000"),
        (r"\ud800\n", r"\u0000\n"),
    ],
)
def test_half_a_surrogate_pair_is_a_character_that_no_name_holds(sent: str, read: str) -> None:
    """The call is answered under its own id, whatever its method makes of that string."""
    request = only(f'{{"jsonrpc":"2.0","method":"a","id":7,"params":{{"uri":"{sent}"}}}}')
    assert request == Request("a", f'{{"uri":"{read}"}}'.encode(), b"7")
    assert only(f'{{"uri":"{sent}",}}') == Fault(b"null", jsonrpc.PARSE_ERROR, "Parse error")


def test_what_is_said_twice_counts_as_it_was_said_last() -> None:
    """RFC 8259 leaves it open; most parsers do so, this one too."""
    assert only('{"jsonrpc":"2.0","method":"a","method":"b","id":1,"id":2}') == Request("b", None, b"2")


def test_other_members_mean_nothing() -> None:
    assert only('{"auth":[{}],"method":"a","id":1,"jsonrpc":"2.0","result":0}') == Request("a", None, b"1")


def test_an_id_of_null_is_answered_and_an_absent_one_is_not() -> None:
    with_null, without = (
        only('{"jsonrpc":"2.0","method":"a","id":null}'),
        only('{"jsonrpc":"2.0","method":"a"}'),
    )
    assert isinstance(with_null, Request)
    assert isinstance(without, Request)
    assert not with_null.is_notification
    assert without.is_notification


def test_batch_of_the_specification() -> None:
    batch = only('[{"jsonrpc":"2.0","method":"sum","params":[1,2],"id":"1"},{"foo":"boo"},1]')
    assert isinstance(batch, Batch)
    request, *faults = batch.messages
    assert request == Request("sum", b"[1,2]", b'"1"')
    assert [fault.code for fault in faults if isinstance(fault, Fault)] == [jsonrpc.INVALID_REQUEST] * 2


def test_a_batch_is_bounded() -> None:
    fitting = only("[" + ",".join("1" * jsonrpc.BATCH_MAX) + "]")
    assert isinstance(fitting, Batch)
    longer = only("[" + ",".join("1" * (jsonrpc.BATCH_MAX + 1)) + "]")
    assert isinstance(longer, Fault)
    assert longer.code == jsonrpc.INVALID_REQUEST


def test_a_line_too_long_is_answered_once_and_the_next_one_works() -> None:
    call = b'{"jsonrpc":"2.0","method":"a","id":1}'
    receiver = Receiver()
    longest = call + b" " * (jsonrpc.LINE_MAX - len(call))
    assert receiver.receive(longest + b"\n") == [Request("a", None, b"1")]
    got = receiver.receive(b"x" * jsonrpc.LINE_MAX)
    assert got == []
    for _ in range(3):
        got += receiver.receive(b"x" * jsonrpc.LINE_MAX)
    got += receiver.receive(b"x\n" + call + b"\n")
    fault, request = got
    assert isinstance(fault, Fault)
    assert fault.code == jsonrpc.INVALID_REQUEST
    assert request == Request("a", None, b"1")


def test_lines_that_find_no_room_are_skipped_and_the_next_one_works() -> None:
    call = b'{"jsonrpc":"2.0","method":"a","id":1}'
    room = Room(own=100, common=1000)
    idle_share, share = room.share(), room.share()
    idle, lines = Lines(idle_share), Lines(share)
    assert list(idle.receive(b"x" * 1000)) == []
    for _ in range(3):
        [fault, line] = lines.receive(b"x" * 700 + b"\n" + call + b"\n")
        assert isinstance(fault, Fault)
        assert (fault.id, fault.code) == (b"null", jsonrpc.INVALID_REQUEST)
        assert line == call
        share.shrink(len(call))
    assert list(idle.receive_eof()) == [b"x" * 1000]
    idle_share.shrink(1000)
    assert list(lines.receive(b"x" * 700 + b"\n")) == [b"x" * 700]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 300)), max_size=40))
def test_the_room_is_bounded_and_each_has_its_own(steps: list[tuple[int, int]]) -> None:
    room = Room(own=100, common=250)
    shares, held = [room.share() for _ in range(3)], [0, 0, 0]

    def beyond() -> int:
        return sum(max(0, size - 100) for size in held)

    for which, size in steps:
        fits = beyond() - max(0, held[which] - 100) + max(0, held[which] + size - 100) <= 250
        assert shares[which].grow(size) is fits
        if fits:
            held[which] += size
        elif size % 2:
            shares[which].shrink(held[which] // 2)
            held[which] -= held[which] // 2
        assert beyond() <= 250
    for share in shares:
        share.end()
    assert shares[0].grow(350)


def test_empty_lines_and_carriage_returns_mean_nothing() -> None:
    assert receive(b'\n \r\n{"jsonrpc":"2.0","method":"a","id":1}\r\n\n') == [Request("a", None, b"1")]


def test_the_last_line_needs_no_newline() -> None:
    receiver = Receiver()
    assert receiver.receive(b'{"jsonrpc":"2.0","method":"a","id":1}') == []
    assert receiver.receive_eof() == [Request("a", None, b"1")]
    assert receiver.receive_eof() == []


class Params(msgspec.Struct, forbid_unknown_fields=True):
    uri: list[str]
    need: bool = True


def test_params_by_name() -> None:
    assert jsonrpc.decode_params(b'{"uri":["a"]}', Params) == Params(["a"])
    with pytest.raises(InvalidParameter):
        jsonrpc.decode_params(None, Params)


@pytest.mark.parametrize(
    "params",
    [
        b'["a"]',
        b"[]",
        b"{}",
        b'{"uri":"a"}',
        b'{"uri":[1]}',
        b'{"uri":[1e400]}',
        b'{"uri":["a"],"need":1}',
        b'{"uri":["a"],"more":1}',
        b'{"uri":["\\ud800"]}',
        b'{"uri":' + b"[" * 2000 + b"]" * 2000 + b"}",
    ],
)
def test_params_that_do_not_fit(params: bytes) -> None:
    with pytest.raises(InvalidParameter):
        jsonrpc.decode_params(params, Params)


def test_encoding() -> None:
    assert json.loads(jsonrpc.encode_result(b"1", None)) == {"jsonrpc": "2.0", "id": 1, "result": None}
    assert json.loads(jsonrpc.encode_error(b"null", 401, "text")) == {
        "jsonrpc": "2.0",
        "id": None,
        "error": {"code": 401, "message": "text"},
    }
    assert json.loads(jsonrpc.encode_error(b'"x"', 401, "text", {"uri": "u"}))["error"]["data"] == {
        "uri": "u"
    }
    assert json.loads(jsonrpc.encode_notification("A.b", {"seq": 1})) == {
        "jsonrpc": "2.0",
        "method": "A.b",
        "params": {"seq": 1},
    }
    assert b"\n" not in jsonrpc.encode_result(b"1", "two\nlines")
    assert jsonrpc.encode_batch([]) is None
    assert json.loads(jsonrpc.encode_batch([b"1", b"2"]) or b"") == [1, 2]
