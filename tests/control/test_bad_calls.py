"""Every method under wrong URIs and params: the contract's code, always (INTERFACE sections 4 and 7)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.control.desk import HEAD, STRANGER, CallFailed, Desk, desk_in_thread
from tests.control.speaker import Speaker
from tests.servers.memory_cloud import MemoryCloud

BUNDLE = "file://com.example.files"
CLOUD = f"{BUNDLE}/data/storage/el2/cloud"

INVALID = [
    "",
    "/",
    "*",
    "empty",
    "empty/../empty",
    "file:",
    "file:/",
    "file://",
    "file:///",
    r"file:\\com.example.files\data\storage\el2\cloud\empty",
    f" {CLOUD}/empty",
    # another scheme, another bundle, another host
    "http://com.example.files/data/storage/el2/cloud/empty",
    "datashare://com.example.files/data/storage/el2/cloud/empty",
    "file2://com.example.files/data/storage/el2/cloud/empty",
    "file://com.example.other/data/storage/el2/cloud/empty",
    "file://COM.example.files/data/storage/el2/cloud/empty",
    "file://localhost/data/storage/el2/cloud/empty",
    "file://me@com.example.files/data/storage/el2/cloud/empty",
    "file://com.example.files:80/data/storage/el2/cloud/empty",
    "file://com%2Eexample.files/data/storage/el2/cloud/empty",
    "file://com.example.files./data/storage/el2/cloud/empty",
    # no path, or one outside
    BUNDLE,
    f"{BUNDLE}/",
    f"{BUNDLE}/empty",
    f"{BUNDLE}/data/storage/el2",
    f"{CLOUD}X",
    f"{CLOUD}X/empty",
    f"{CLOUD}%20/empty",
    "file:///etc/passwd",
    # upwards, however it is spelled
    f"{CLOUD}/..",
    f"{CLOUD}/../cloud/empty",
    f"{CLOUD}/folder/../empty",
    f"{CLOUD}/%2e%2e",
    f"{CLOUD}/.%2E/empty",
    f"{CLOUD}/folder/%2e%2e/empty",
    # what no name holds
    f"{CLOUD}/folder%2Fdeep",
    f"{CLOUD}/folder%2fdeep",
    f"{CLOUD}/empty%00",
    f"{CLOUD}/empty\0",
    # no escapes, no UTF-8
    f"{CLOUD}/%",
    f"{CLOUD}/empty%",
    f"{CLOUD}/%4",
    f"{CLOUD}/%zz",
    f"{CLOUD}/% 41",
    f"{CLOUD}/%u0041",
    f"{CLOUD}/%ff",
    f"{CLOUD}/caf%c3",
    f"{CLOUD}/%c0%ae%c0%ae/empty",
    f"{CLOUD}/%ed%a0%80",
    f"{CLOUD}/\ud800",
    # a query, a fragment
    f"{CLOUD}/empty?",
    f"{CLOUD}/empty?x=1",
    f"{CLOUD}/empty#top",
    # what is no asset's
    "file://media",
    "file://media/Photo",
    "file://media/Photo/",
    "file://media/Photo/1/1.jpg",
    "file://media/Photo/1?x",
    "file://media/Photo/%ff",
    "file://media/Video/1",
    "file://media/photo/1",
    "file://mediaX/Photo/1",
]
NOWHERE = [
    f"{CLOUD}/nothing",
    f"{CLOUD}/nothing/at/all",
    f"{CLOUD}/EMPTY",
    f"{CLOUD}/empty/below",
    f"{CLOUD}/empty%20",
    f"{CLOUD}/a+b.txt",
    f"{CLOUD}/a%2520b.txt",
    f"{CLOUD}/" + "x" * 256,
    f"{CLOUD}/" + "x" * 10_000,
    f"{CLOUD}/" + "%C3%A4" * 1_700,
    f"{CLOUD}/" + "x/" * 5_000 + "x",
    f"{CLOUD}/folder/" + "y" * 10_000,
]
NO_ASSET = [
    *(f"file://media/Photo/{number}" for number in ("0", "00", "01", "-1", "+1", "1.0", "0x1", "1e0", "one")),
    *(f"file://media/Photo/{number}" for number in ("999", 2**63, 2**64, "9" * 400, "١", "%31%20")),
]
FOLDERS = [CLOUD, f"{CLOUD}/", f"{CLOUD}/folder", f"{CLOUD}/folder/", f"{CLOUD}/folder/deep", f"{CLOUD}/."]
RIGHT = [
    f"{CLOUD}/empty",
    "FILE://com.example.files/data/storage/el2/cloud/%65mpty",
    "file:///data/storage/el2/cloud/empty",
    f"{CLOUD}//empty",
    f"{CLOUD}/./empty",
    f"{BUNDLE}//data/storage/el2/cloud/a b.txt",
    f"{CLOUD}/a%20b.txt",
    "file://media/Photo/1",
    "File:///media/Photo/%31",
]

OF_A_FILE = {f"CloudFileCache.{verb}": "uri" for verb in ("start", "stop", "cleanCache")}
OF_AN_ASSET = {"Download.start": "uri", "Download.stop": "uri"}
OF_ANY = {
    "cloudSync.getFileSyncState": "uri",
    "Mount.state": "paths",
    "Mount.pin": "paths",
    "Mount.unpin": "paths",
    "Mount.why": "uri",
}
EACH = {**OF_A_FILE, **OF_AN_ASSET, **OF_ANY}
OF_A_LIST = ("cloudSync.getFileSyncState", "Mount.state", "Mount.pin", "Mount.unpin")


@pytest.fixture
async def known(desk: Desk) -> Desk:
    """A desk that has listed the gallery: the photo has ID 1."""
    await desk.call("cloudSync.getFileSyncState", uri=[HEAD + "Photos/1.jpg", HEAD + "folder/deep/file.bin"])
    return desk


async def code(desk: Desk, method: str, uri: str) -> int:
    """0 where it succeeds. An error says which URI it is about."""
    given = [uri] if method in OF_A_LIST else uri
    params = json.dumps({EACH[method]: given}).replace("\\ud800", "\\u0000")
    try:
        await desk.call_raw(method, params.encode())
    except CallFailed as failed:
        assert failed.data["uri"] == uri.replace("\ud800", "\0")
        assert failed.data["reason"]
        return failed.code
    return 0


async def codes(desk: Desk, methods: Any, uris: list[str]) -> dict[str, dict[str, int]]:
    return {uri: {method: await code(desk, method, uri) for method in methods} for uri in uris}


def each(methods: Any, uris: list[str], expected: int) -> dict[str, dict[str, int]]:
    return {uri: dict.fromkeys(methods, expected) for uri in uris}


async def test_no_uri_of_this_mount(known: Desk) -> None:
    assert await codes(known, EACH, INVALID) == each(EACH, INVALID, 14000002)


async def test_nothing_there(known: Desk) -> None:
    of_files = [*OF_A_FILE, *OF_ANY]
    assert await codes(known, of_files, NOWHERE) == each(of_files, NOWHERE, 13900002)
    assert await codes(known, OF_AN_ASSET, NOWHERE) == each(OF_AN_ASSET, NOWHERE, 14000002)
    assert await codes(known, EACH, NO_ASSET) == each(EACH, NO_ASSET, 13900002)


async def test_a_folder_has_a_state_but_no_content(known: Desk) -> None:
    of_content = [*OF_A_FILE, *OF_AN_ASSET]
    assert await codes(known, of_content, FOLDERS) == each(of_content, FOLDERS, 14000002)
    assert await codes(known, OF_ANY, FOLDERS) == each(OF_ANY, FOLDERS, 0)


async def test_other_spellings_of_right_ones(known: Desk) -> None:
    methods = [*OF_A_FILE, "cloudSync.getFileSyncState", "Mount.state", "Mount.why"]
    assert await codes(known, methods, RIGHT) == each(methods, RIGHT, 0)


async def test_paths_of_this_machine(known: Desk) -> None:
    root = str(known.config.mount.path)
    outside = ["", "empty", "./empty", "/", root + "X/empty", root + "/../empty", root + "/folder/../empty"]
    assert await codes(known, ["Mount.state"], outside) == each(["Mount.state"], outside, 14000002)
    nowhere = [root + "/nothing", root + "/" + "x" * 10_000, root + "/empty\0"]
    assert await codes(known, ["Mount.state"], nowhere) == each(["Mount.state"], nowhere, 13900002)
    right = [root, root + "/", root + "//empty", root + "/a b.txt"]
    assert await codes(known, ["Mount.state"], right) == each(["Mount.state"], right, 0)


async def test_a_hundred_uris_and_one_more(known: Desk) -> None:
    uri = f"{CLOUD}/empty"
    assert await known.call("cloudSync.getFileSyncState", uri=[uri] * 100) == [2] * 100
    for uris in ([uri] * 101, [uri] * 10_000, [""] * 101):
        with pytest.raises(CallFailed) as error:
            await known.call("cloudSync.getFileSyncState", uri=uris)
        assert error.value.code == 401
    with pytest.raises(CallFailed) as error:
        await known.call("cloudSync.getFileSyncState", uri=[uri] * 99 + ["http://x"])
    assert (error.value.code, error.value.data["uri"]) == (14000002, "http://x")


# --- params ---

ON = {"event": "progress"}
CLASSES = ("FileSync", "GallerySync", "Download", "CloudFileCache")


def given_as(key: str, *values: Any, **more: Any) -> list[dict[str, Any]]:
    """Params with each of these values."""
    return [{key: value, **more} for value in values]


WRONG_ON: list[dict[str, Any]] = [
    {"scope": "own"},
    {**ON, "subscription": 1},
    *given_as("event", None, 0, "", "Progress", "progress ", ["progress"], {}),
    *given_as("scope", None, "", "OWN", 1, ["own"], **ON),
]
WRONG_OFF: list[dict[str, Any]] = [
    {"subscription": 1},
    {"event": "other"},
    {**ON, "scope": "own"},
    *given_as("subscription", "1", 1.5, True, [1], {}, **ON),
]
WRONG_URI = [{}, {"Uri": "x"}, *given_as("uri", None, 1, True, [f"{CLOUD}/empty"], {})]
WRONG: dict[str, list[dict[str, Any]]] = {
    **{f"{name}.on": WRONG_ON for name in CLASSES},
    **{f"{name}.off": WRONG_OFF for name in CLASSES},
    **dict.fromkeys((*OF_A_FILE, *OF_AN_ASSET), WRONG_URI),
    "CloudFileCache.stop": [*WRONG_URI, *given_as("needClean", None, 0, "no", uri=f"{CLOUD}/empty")],
    **{
        f"{name}.{verb}": [{"uri": "x"}, {"": None}]
        for name in ("FileSync", "GallerySync")
        for verb in ("start", "stop", "getLastSyncTime")
    },
    "cloudSync.getFileSyncState": [{}, *given_as("uri", None, 1, "x", {}, [1], [None], [["x"]])],
    "Mount.status": [{"verbose": True}],
    "Mount.state": [{}, {"paths": [], "recursive": 1}, *given_as("paths", "x", [1], ["/"] * 1001)],
    "Mount.pin": [{}, *given_as("paths", "x", [None], ["/"] * 1001)],
    "Mount.unpin": [{}, {"paths": {}}],
    "Mount.why": [{}, {"path": "x", "uri": "x"}, {"path": 1}, {"path": None, "uri": None}],
    "Mount.events": given_as("since", -1, 0.5, "0", True, []),
    "Mount.confirm": given_as("scope", None, "", "Files", 1),
    "Mount.restore": given_as("scope", None, "", "Files", 1),
    "Mount.umount": [{"wait": 1}, {"force": "yes"}, {"lazy": True}],
}


async def test_params_of_the_wrong_kind_are_401_before_anything_else(known: Desk) -> None:
    """Also for who may not call at all, and by position."""
    for method, wrong in WRONG.items():
        for params in [*wrong, [], [f"{CLOUD}/empty"], {**wrong[0], "\0": 1}]:
            with pytest.raises(CallFailed) as error:
                await known.call_raw(method, json.dumps(params).encode(), STRANGER)
            assert error.value.code == 401, (method, params)
            assert error.value.message == "The input parameter is invalid."


async def test_numbers_without_end_are_numbers(known: Desk) -> None:
    huge = 10**30
    assert await known.call("CloudFileCache.off", event="progress", subscription=huge) is None
    assert await known.call("CloudFileCache.off", event="progress", subscription=-huge) is None
    assert await known.call("Mount.events", since=huge) == {"subscription": 1}


# --- anything at all ---


@pytest.fixture(scope="module")
def speaker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Speaker]:
    cloud = MemoryCloud()
    cloud.put(b"empty", b"")
    with desk_in_thread(tmp_path_factory.mktemp("desk"), cloud) as desk:
        speaker = Speaker(desk.config.socket)
        assert speaker.call("cloudSync.getFileSyncState", {"uri": [f"{CLOUD}/empty"]})["result"] == ["2"]
        yield speaker
        speaker.close()


# But for what ends the mount or makes it another: Mount.umount, Mount.simulate.
ANY_METHOD = [
    *EACH,
    "CloudFileCache.off",
    "FileSync.off",
    "FileSync.getLastSyncTime",
    "Mount.events",
    "Mount.status",
]
uris = st.sampled_from([*INVALID, *NOWHERE[:8], *NO_ASSET, *FOLDERS, *RIGHT]) | st.builds(
    lambda head, rest: head + rest,
    st.sampled_from([f"{CLOUD}/", f"{CLOUD}/empty", "file://", "file://media/Photo/", ""]),
    st.text(max_size=8) | st.text("%./0123456789abcdefABCDEF\0?#", max_size=12),
)
finite = st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | st.integers() | finite | uris
values = scalars | st.lists(scalars, max_size=3) | st.dictionaries(st.text(max_size=3), scalars, max_size=2)
keys = st.sampled_from(["uri", "paths", "path", "event", "subscription", "needClean", "recursive", "since"])
any_params = st.dictionaries(keys | st.text(max_size=3), values, max_size=3)
right_params = st.one_of(
    uris.map(lambda uri: {"uri": uri}),
    st.lists(uris, max_size=3).map(lambda some: {"uri": some}),
    st.lists(uris, max_size=3).map(lambda some: {"paths": some}),
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(ANY_METHOD), any_params | right_params)
def test_any_params_get_a_code_of_the_contract(speaker: Speaker, method: str, params: Any) -> None:
    answer = speaker.call(method, params)
    assert "result" in answer or answer["error"]["code"] in {"401", "14000002", "13900002", "13900010"}
