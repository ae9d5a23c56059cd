"""JSON-RPC 2.0 on the socket: every line gets exactly the answer that the specification asks for.

The examples are those of its section 7, with methods of ours. What hypothesis draws is judged by a second
reading of the specification, below, that knows the json module alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.control.desk import desk_in_thread
from tests.control.speaker import Number, Speaker, load
from tests.servers.memory_cloud import MemoryCloud

PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND = "-32700", "-32600", "-32601"
NOTIFY = '{"jsonrpc":"2.0","method":"FileSync.getLastSyncTime"}'
ABSENT = object()


@pytest.fixture(scope="module")
def speaker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Speaker]:
    """One connection for all tests of this module: what one of them says spoils it for no other."""
    with desk_in_thread(tmp_path_factory.mktemp("desk"), MemoryCloud()) as desk:
        speaker = Speaker(desk.config.socket)
        yield speaker
        speaker.close()


def call(number: str, method: str = "FileSync.getLastSyncTime", more: str = "") -> str:
    return f'{{"jsonrpc":"2.0","id":{number},"method":"{method}"{more}}}'


def result(id_: Any, value: Any = "0") -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id_, "result": value}


def error(code: str, id_: Any = None) -> tuple[str, Any]:
    return code, id_


def brief(answer: Any) -> Any:
    """An error without its words; what must stand in it is looked at."""
    if isinstance(answer, list):
        return [brief(each) for each in answer]
    assert answer["jsonrpc"] == "2.0"
    if "error" not in answer:
        assert set(answer) == {"jsonrpc", "id", "result"}
        return answer
    assert set(answer) == {"jsonrpc", "id", "error"}
    assert set(answer["error"]) <= {"code", "message", "data"}
    assert type(answer["error"]["message"]) is str
    return answer["error"]["code"], answer["id"]


@pytest.mark.parametrize(
    ("said", "answers"),
    [
        # by name, by position (which our methods do not take), notifications
        (call('"a"', more=',"params":{}'), [result("a")]),
        (call("3", more=',"params":[]'), [error("401", "3")]),
        (call("4", more=',"params":[42,23]'), [error("401", "4")]),
        (NOTIFY, []),
        ('{"jsonrpc":"2.0","method":"foobar"}', []),
        ('{"jsonrpc":"2.0","method":"FileSync.stop","params":[1,2,3,4,5]}', []),
        ('{"jsonrpc":"2.0","method":"CloudFileCache.start","params":{"uri":"http://x"}}', []),
        # no such method, no such JSON, no such request
        (call('"1"', "foobar"), [error(METHOD_NOT_FOUND, "1")]),
        ('{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]', [error(PARSE_ERROR)]),
        ('{"jsonrpc": "2.0", "method": 1, "params": "bar"}', [error(INVALID_REQUEST)]),
        # batches
        ('[{"jsonrpc": "2.0", "method": "sum", "id": "1"},{"jsonrpc": "2.0", "method"', [error(PARSE_ERROR)]),
        ("[]", [error(INVALID_REQUEST)]),
        ("[1]", [[error(INVALID_REQUEST)]]),
        ("[1,2,3]", [[error(INVALID_REQUEST)] * 3]),
        ("[[]]", [[error(INVALID_REQUEST)]]),
        (
            f'[{call("1")},{NOTIFY},{call("2")},{{"foo":"boo"}},{call("5", "foo.get")},{call("null")}]',
            [
                [
                    result("1"),
                    result("2"),
                    error(INVALID_REQUEST),
                    error(METHOD_NOT_FOUND, "5"),
                    result(None),
                ]
            ],
        ),
        (f'[{NOTIFY},{{"jsonrpc":"2.0","method":"foobar","params":[7]}}]', []),
        (f"[{call('1')}]", [[result("1")]]),
        (f"[{','.join(['1'] * 1001)}]", [error(INVALID_REQUEST)]),
        # ids
        (call("null"), [result(None)]),
        (call("0.50"), [result("0.50")]),
        (call("1e400"), [result("1e400")]),
        (call("-" + "9" * 400), [result("-" + "9" * 400)]),
        (call('"\\u0000\\ud83d\\ude00"'), [result("\0\U0001f600")]),
        (call("true"), [error(INVALID_REQUEST)]),
        (call("[1]"), [error(INVALID_REQUEST)]),
        # what else an envelope may have, or may not
        (call("1", more=',"more":[{}]'), [result("1")]),
        ('{"id":1,"method":"FileSync.getLastSyncTime"}', [error(INVALID_REQUEST, "1")]),
        ('{"jsonrpc":"1.0","id":"1","method":"FileSync.getLastSyncTime"}', [error(INVALID_REQUEST, "1")]),
        ('{"jsonrpc":2.0,"id":1,"method":"FileSync.getLastSyncTime"}', [error(INVALID_REQUEST, "1")]),
        ('{"jsonrpc":"2.0","id":1,"result":0}', [error(INVALID_REQUEST, "1")]),
        (call("1", more=',"params":null'), [error(INVALID_REQUEST, "1")]),
        (call("1", more=',"params":7'), [error(INVALID_REQUEST, "1")]),
        (call("1", "rpc.discover"), [error(METHOD_NOT_FOUND, "1")]),
        # no JSON
        (call("NaN"), [error(PARSE_ERROR)]),
        (call("1", more=',"params":{"a":Infinity}'), [error(PARSE_ERROR)]),
        (call("1", more=',"params":{"a":01}'), [error(PARSE_ERROR)]),
        (call("1", more=","), [error(PARSE_ERROR)]),
        (call("1") + "\0", [error(PARSE_ERROR)]),
        ("\ufeff" + call("1"), [error(PARSE_ERROR)]),
        (call("1") + call("2"), [error(PARSE_ERROR)]),
        # half a surrogate pair
        (call("1", more=',"params":{"a":"\\ud800"}'), [error("401", "1")]),
        (call("1", "CloudFileCache.start", ',"params":{"uri":"file://\\udc00"}'), [error("14000002", "1")]),
        # lines
        (call("1") + "\r", [result("1")]),
        (f" \t{call('1')} \t\r", [result("1")]),
        ("\r\n\n \n" + call("1") + "\n\n", [result("1")]),
        (f"{call('1')}\n{call('2')}\nx\n{call('3')}", [*map(result, "12"), error(PARSE_ERROR), result("3")]),
    ],
)
def test_examples(speaker: Speaker, said: str, answers: list[Any]) -> None:
    assert [brief(answer) for answer in speaker.say(said.encode())] == answers


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (b"\xff", error(PARSE_ERROR)),
        (call("1").encode() + b"\xc3", error(PARSE_ERROR)),
        (call("1", more=',"params":{"uri":"').encode() + b'\xed\xa0\x80"}}', error(PARSE_ERROR)),
        (call('"').encode()[:-1] + b"\xff", error(PARSE_ERROR)),
        (b"[" * 100_000, error(PARSE_ERROR)),
        (b"[" * 100_000 + b"]" * 100_000, error(PARSE_ERROR)),
        (call("1", more=',"params":{"a":').encode() + b"[" * 100_000, error(PARSE_ERROR)),
        (call("1").encode().ljust(1024 * 1024), result("1")),
        (call("1").encode().ljust(1024 * 1024 + 1), error(INVALID_REQUEST)),
        (b"x" * 3_000_000, error(INVALID_REQUEST)),
    ],
    ids=[
        "no UTF-8",
        "UTF-8 that breaks off",
        "a surrogate",
        "a wrong byte in an id",
        "deep",
        "deep and whole",
        "deep params",
        "just as long as may be",
        "too long",
        "much too long",
    ],
)
def test_bytes(speaker: Speaker, said: bytes, answer: Any) -> None:
    assert [brief(each) for each in speaker.say(said)] == [answer]


# --- a second reading ---


def expected(data: bytes) -> list[Any]:
    """The answers to what is between newlines; a known method's may be any, so its id stands for it."""
    answers: list[Any] = []
    for line in data.split(b"\n"):
        if line.strip(b" \t\r"):
            answers += _of_line(line)
    return answers


def _of_line(line: bytes) -> list[Any]:
    try:
        value = load(line.decode("utf-8"))
    except ValueError:
        return [error(PARSE_ERROR)]
    if not isinstance(value, list):
        return [answer for answer in [_of_request(value)] if answer is not None]
    if not value:
        return [error(INVALID_REQUEST)]
    answers = [answer for answer in map(_of_request, value) if answer is not None]
    return [answers] if answers else []


def _of_request(value: Any) -> Any:
    if not isinstance(value, dict):
        return error(INVALID_REQUEST)
    id_ = value.get("id", ABSENT)
    is_id = id_ is None or isinstance(id_, str)
    is_request = (
        (type(value.get("jsonrpc")), value.get("jsonrpc")) == (str, "2.0")
        and type(value.get("method")) is str
        and isinstance(value.get("params", {}), (dict, list))
        and (is_id or id_ is ABSENT)
    )
    if not is_request:
        return error(INVALID_REQUEST, id_ if is_id else None)
    if id_ is ABSENT:
        return None
    if value["method"] not in KNOWN:
        return error(METHOD_NOT_FOUND, id_)
    return "called", id_


def told(answer: Any) -> Any:
    """An answer, as `expected` has it."""
    if isinstance(answer, list):
        return [told(each) for each in answer]
    code, id_ = brief(answer) if "error" in answer else (None, brief(answer)["id"])
    is_rpc = code in (PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND)
    assert is_rpc or code in (None, "401", "14000002", "13900002", "13900010"), answer
    return (code if is_rpc else "called"), id_


KNOWN = ["FileSync.getLastSyncTime", "CloudFileCache.off", "Mount.status", "CloudFileCache.stop"]
words = st.text(max_size=6) | st.sampled_from(["\0", "\U0001f600", "é", "2.0", "progress", "file://x", "\\"])
finite = st.floats(allow_nan=False, allow_infinity=False)
numbers = st.integers() | finite | st.sampled_from([2**64, -(10**40)])
values = st.recursive(
    st.none() | st.booleans() | numbers | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=5,
)
requests = st.fixed_dictionaries(
    {"jsonrpc": st.just("2.0"), "method": st.sampled_from([*KNOWN, "nothing"])},
    optional={"id": numbers | words | st.none(), "params": st.dictionaries(words, values, max_size=2)},
)
odd = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("jsonrpc", "method", "id", "params", "more"), values)
) | st.builds(lambda request, more: request | more, requests, st.dictionaries(words, values, max_size=2))
said = requests | odd | st.lists(requests | odd | values, max_size=4) | values
lines = said.map(json.dumps).map(str.encode)
marks = st.sampled_from([b"\n", b'"', b"{", b"}", b"[", b"]", b",", b"\\u", b"\xff", b"0"])
pieces = marks | st.binary(max_size=4)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Lines, of which some bytes were taken out, and others put in."""
    data = b"\n".join(draw(st.lists(lines, min_size=1, max_size=3)))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(data)))
        data = data[:start] + draw(pieces) + data[start + draw(st.integers(0, 4)) :]
    return data


@settings(max_examples=300, deadline=None)
@given(damaged() | st.binary(max_size=60))
@example(b'{"jsonrpc":"2.0","method":"Mount.status","id":-0.0}')
def test_any_bytes_get_their_answers_and_the_connection_stays(speaker: Speaker, data: bytes) -> None:
    if _says_twice(data):
        return  # RFC 8259 leaves open what counts
    assert [told(answer) for answer in speaker.say(data)] == expected(data)


def _says_twice(data: bytes) -> bool:
    """Whether an object names a member twice."""
    found = False

    def look(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal found
        found = found or len(dict(pairs)) < len(pairs)
        return dict(pairs)

    for line in data.split(b"\n"):
        try:
            json.loads(line.decode("utf-8"), object_pairs_hook=look)
        except ValueError:
            continue
    return found


def test_the_second_reading_reads_the_examples_alike() -> None:
    data = (
        f'[{call("1")},{NOTIFY},{call("2.50", "x")},{{"foo":"boo"}}]\n[]\n{NOTIFY}\n{call("1")}\nx'.encode()
    )
    assert expected(data) == [
        [("called", "1"), error(METHOD_NOT_FOUND, Number("2.50")), error(INVALID_REQUEST)],
        error(INVALID_REQUEST),
        ("called", "1"),
        error(PARSE_ERROR),
    ]


def test_two_hundred_connections_say_half_a_line_and_go(tmp_path: Path) -> None:
    with desk_in_thread(tmp_path, MemoryCloud()) as desk:
        for number in range(200):
            Speaker(desk.config.socket).break_off(call("1").encode()[: number % 60])
        speaker = Speaker(desk.config.socket)
        assert speaker.say(call("1").encode()) == [result("1")]
        speaker.close()
