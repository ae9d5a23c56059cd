"""mount.toml: what it takes, and how it says what it does not take."""

from __future__ import annotations

import dataclasses
import os
import tomllib
from collections.abc import Callable
from pathlib import Path

import keyring
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudfs.config import (
    CloudSettings,
    CloudType,
    ConfigError,
    Fault,
    MountConfig,
    Network,
    OnOpen,
    credentials,
    is_noexec,
    load,
    parse_options,
    read_credentials,
    require_supported,
    without_unknown,
)
from cloudfs.config.lines import locate
from cloudfs.config.paths import real_mountpoint
from cloudfs.config.quantities import parse_duration, parse_mode, parse_size

EXAMPLE = Path(__file__).parent.parent / "mount.example.toml"
CLOUD = '[cloud]\nurl = "https://dav.example/"\n'

Write = Callable[[str], Path]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    for variable in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(variable, raising=False)
    return tmp_path / "home"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_config(text: str) -> Path:
        path = tmp_path / "photos.toml"
        path.write_text(text)
        return path

    return write_config


def faults_of(path: Path, overrides: dict[str, str] | None = None) -> tuple[Fault, ...]:
    with pytest.raises(ConfigError) as caught:
        load(path, overrides)
    return caught.value.faults


# --- the example and the defaults ---


def test_the_example_loads() -> None:
    config = load(EXAMPLE)
    assert config.cloud.url == "https://dav.example/files/me/"
    assert config.name == "mount.example"


def test_the_example_shows_every_key_with_its_default() -> None:
    tables = tomllib.loads(EXAMPLE.read_text())
    examples = {"url", "username", "password_file"}  # without a default that could be used
    defaults = MountConfig()
    assert list(tables) == [field.name for field in dataclasses.fields(defaults)]
    for table, keys in tables.items():
        section = getattr(defaults, table)
        names = {field.name for field in dataclasses.fields(section)} - {"grant"}
        assert set(keys) == names, table
        for key, value in keys.items():
            default = getattr(section, key)
            if key not in examples:
                assert read_back(default, value) == default, f"{table}.{key}"


def read_back(default: object, value: object) -> object:
    """A TOML value in the type of the default, by other means than the code under test."""
    match default, value:
        case None, "":
            return None
        case tuple(), list():
            return tuple(value)
        case Path(), str():
            return Path(value)
        case int(), str() if value.startswith("0"):
            return int(value, 8)
        case int(), str():
            return int(value.removesuffix("GiB")) * 1024**3
        case float(), str():
            return float(value.removesuffix("s"))
    return value


def test_the_commented_grant_of_the_example_is_right(write: Write) -> None:
    grant = EXAMPLE.read_text().partition("# [[control.grant]]\n")[2].replace("# ", "")
    config = load(write(f"{CLOUD}[[control.grant]]\n{grant}"))
    assert config.control.grant[0].uid == 20001
    assert config.control.grant[0].permissions == ("ohos.permission.CLOUDFILE_SYNC",)
    assert config.control.grant[0].system_app


def test_what_is_left_out_has_its_default(write: Write, home: Path) -> None:
    config = load(write(CLOUD))
    assert config.mount.path == Path("/data/storage/el2/cloud")
    assert config.name == "photos"
    assert config.cache.path == home / ".cache/cloudfs/photos"
    assert config.cloud.timeout == 30.0
    assert config.cache.size == 10 * 1024**3
    assert config.hydration.on_open is OnOpen.FULL
    assert config.device.network is Network.AUTO
    assert config.control.mode == 0o600


def test_everything_can_be_set(write: Write) -> None:
    config = load(
        write(
            """
            mount = { path = "/mnt/a b", name = "n", bundle = "b.c", allow_other = true, read_only = true }
            cloud.url = "http://127.0.0.1:8080/x%20y/"
            cloud.timeout = "1m30s"
            cloud.max_connections = 3
            sync = { auto = false, debounce = "0s", interval = "500ms", delete_brake = 0 }
            hydration = { on_open = "ranges", deny = ["tracker", "/usr/bin/baloo"] }
            gallery.folders = []
            device.network = "mobile"
            control = { socket = "/run/x/NAME.sock", mode = "0660" }
            """
        )
    )
    assert config.mount.path == Path("/mnt/a b")
    assert config.mount.allow_other
    assert config.cloud.timeout == 90.0
    assert config.sync.interval == 0.5
    assert config.hydration.deny == ("tracker", "/usr/bin/baloo")
    assert config.gallery.folders == ()
    assert config.device.network is Network.MOBILE
    assert config.socket == Path("/run/x/n.sock")
    assert config.control.mode == 0o660


# --- faults: path, line, mend ---

FAULTS = {
    "unknown key": ('[cloud]\nurl = "https://h/"\ntimout = "3s"', "cloud.timout", 3, "did you mean timeout?"),
    "unknown table": (CLOUD + "[cahce]\nsize = 1", "cahce", 3, "did you mean cache?"),
    "unknown key at the top": ("x = 1\n" + CLOUD, "x", 1, "known here: cache, cloud, control"),
    "no table": ('cloud.url = "https://h/"\ncache = 3', "cache", 2, "write [cache] on a line of its own"),
    "flag": (CLOUD + '[sync]\n\nauto = "yes"', "sync.auto", 5, "without quotes"),
    "flag by number": (CLOUD + "[sync]\nauto = 1", "sync.auto", 4, "write true or false"),
    "integer": (CLOUD + 'max_connections = "16"', "cloud.max_connections", 3, "whole number"),
    "integer by flag": (CLOUD + "max_connections = true", "cloud.max_connections", 3, "whole number"),
    "bare size": (CLOUD + "[cache]\nsize = 1024", "cache.size", 4, '"10GiB"'),
    "wrong size": (CLOUD + '[cache]\nsize = "10XB"', "cache.size", 4, '"512MiB"'),
    "bare duration": (CLOUD + "timeout = 30", "cloud.timeout", 3, '"30s"'),
    "negative duration": (CLOUD + 'timeout = "-5s"', "cloud.timeout", 3, '"30s"'),
    "empty timeout": (CLOUD + 'timeout = "0s"', "cloud.timeout", 3, "write more"),
    "no interval": (CLOUD + '[sync]\ninterval = "0ms"', "sync.interval", 4, "write more"),
    "no cache": (CLOUD + '[cache]\nsize = "0B"', "cache.size", 4, "write more"),
    "few connections": (CLOUD + "max_connections = 2", "cloud.max_connections", 3, "write 3 or more"),
    "choice": (CLOUD + '[hydration]\non_open = "Range"', "hydration.on_open", 4, 'did you mean "ranges"?'),
    "network": (CLOUD + '[device]\nnetwork = "lte"', "device.network", 4, "write one of them"),
    "type": ('[cloud]\ntype = "webdaw"\nurl = "https://h/"', "cloud.type", 2, 'did you mean "webdav"?'),
    "array": (CLOUD + '[gallery]\nfolders = "Photos"', "gallery.folders", 4, "write ["),
    "array item": (CLOUD + "[gallery]\nfolders = [\n  1\n]", "gallery.folders", 4, "write ["),
    "folder": (CLOUD + '[gallery]\nfolders = ["../x"]', "gallery.folders", 4, "paths inside the mount"),
    "folder twice": (CLOUD + '[gallery]\nfolders = ["a", "a"]', "gallery.folders", 4, "keep it once"),
    "mode": (CLOUD + "[control]\nmode = 600", "control.mode", 4, '"0600"'),
    "relative path": (CLOUD + '[cache]\npath = "cache"', "cache.path", 4, "write an absolute path"),
    "unset variable": (CLOUD + '[cache]\npath = "$CLOUDFS_NO/x"', "cache.path", 4, "write an absolute path"),
    "no url": ("[cloud]\nmax_connections = 4", "cloud.url", 1, 'add url = "https://…"'),
    "scheme": ('[cloud]\nurl = "ftp://h/"', "cloud.url", 2, "https://host"),
    "no host": ('[cloud]\nurl = "https:///x"', "cloud.url", 2, "https://host"),
    "port": ('[cloud]\nurl = "https://h:x/"', "cloud.url", 2, "https://host"),
    "userinfo": ('[cloud]\nurl = "https://me:geheim@h/"', "cloud.url", 2, "password_file"),
    "query": ('[cloud]\nurl = "https://h/?a"', "cloud.url", 2, "%3F"),
    "raw space": ('[cloud]\nurl = "https://h/a b/"', "cloud.url", 2, "%20"),
    "clear text": (CLOUD + 'password = "geheim"', "cloud.password", 3, "mode 0600"),
    "clear text, s3": (CLOUD + 'secret_access_key = "geheim"', "cloud.secret_access_key", 3, "mode 0600"),
    "no password": (CLOUD + 'username = "me"', "cloud.username", 3, "add one of password_file"),
    "two passwords": (
        CLOUD + 'username = "me"\npassword_env = "A"\npassword_command = "b"',
        "cloud.password_command",
        5,
        "keep one of them",
    ),
    "secret as variable": (CLOUD + 'password_env = "ge heim"', "cloud.password_env", 3, "without $"),
    "keyring of nobody": (CLOUD + "keyring = true", "cloud.keyring", 3, "set username"),
    "colon": (CLOUD + 'username = "a:b"\npassword_env = "A"', "cloud.username", 3, "without it"),
    "s3 key": (CLOUD + 'bucket = "b"', "cloud.bucket", 3, 'type = "s3"'),
    "s3 without bucket": (
        '[cloud]\ntype = "s3"\naccess_key_id = "A"\nsecret_access_key_env = "B"',
        "cloud.bucket",
        1,
        "add bucket",
    ),
    "s3 without secret": (
        '[cloud]\ntype = "s3"\nbucket = "b"\naccess_key_id = "A"',
        "cloud.access_key_id",
        4,
        "add secret_access_key_file",
    ),
    "name": ('mount.name = "a/b"\n' + CLOUD, "mount.name", 1, "choose letters"),
    "bundle": ('mount.bundle = "media"\n' + CLOUD, "mount.bundle", 1, "another name"),
    "bundle with slash": ('mount.bundle = "a/b"\n' + CLOUD, "mount.bundle", 1, "com.example.files"),
    "cache in the mount": (
        'mount.path = "/mnt/x"\n' + CLOUD + '[cache]\npath = "/mnt/x/cache"',
        "cache.path",
        5,
        "outside of it",
    ),
    "mount in the cache": (
        'mount.path = "/c/x"\n' + CLOUD + '[cache]\npath = "/c"',
        "mount.path",
        1,
        "outside of cache.path",
    ),
    "long socket": (
        CLOUD + f'[control]\nsocket = "/{"s" * 108}"',
        "control.socket",
        4,
        "a shorter path",
    ),
    "grant": (
        CLOUD + '[[control.grant]]\nuid = 1\n[[control.grant]]\nuid = "a"',
        "control.grant[1].uid",
        6,
        "whole number",
    ),
    "grant of nobody": (CLOUD + "[[control.grant]]\n", "control.grant[0].uid", 3, "id -u"),
    "grant's key": (
        CLOUD + "[[control.grant]]\nuid = 1\nsystemapp = true",
        "control.grant[0].systemapp",
        5,
        "system_app?",
    ),
    "grants no tables": (CLOUD + "[control]\ngrant = 1", "control.grant", 4, "write [[control.grant]]"),
    "unknown permission": (
        CLOUD + '[[control.grant]]\nuid = 1\npermissions = ["CLOUDFILE_SYNC"]',
        "control.grant[0].permissions",
        5,
        "ohos.permission.CLOUDFILE_SYNC",
    ),
    "date": (CLOUD + "[cache]\nsize = 2024-01-01", "cache.size", 4, '"10GiB"'),
    "syntax": ('[cloud]\nurl = "https://h/\n', "", 2, "missing quote"),
    "syntax at the end": ("[cloud]\nurl = [1,\n", "", 2, "missing quote"),
}


@pytest.mark.parametrize(("text", "key", "line", "mend"), FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_has_its_key_its_line_and_a_mend(
    write: Write, text: str, key: str, line: int, mend: str
) -> None:
    (fault,) = faults_of(write(text))
    assert (fault.path, fault.line) == (key, line)
    assert mend in fault.mend
    assert "geheim" not in f"{fault.what} {fault.mend}"


def test_all_faults_come_at_once_in_the_order_of_the_file(write: Write) -> None:
    path = write('[cloud]\nurl = "ftp://h"\ntimeout = 3\n\n[sync]\nauto = 1\ninterval = "0s"\n[x]\n')
    with pytest.raises(ConfigError) as caught:
        load(path)
    places = [(fault.path, fault.line) for fault in caught.value.faults]
    assert places == [
        ("cloud.url", 2),
        ("cloud.timeout", 3),
        ("sync.auto", 6),
        ("sync.interval", 7),
        ("x", 8),
    ]
    lines = str(caught.value).splitlines()
    assert len(lines) == 5
    assert lines[1].startswith(f"{path}:3: cloud.timeout: expected a duration, not a number; write ")


def test_a_missing_file_names_the_mend(tmp_path: Path) -> None:
    (fault,) = faults_of(tmp_path / "none.toml")
    assert fault.line is None
    assert "mount.example.toml" in fault.mend


def test_a_file_that_is_not_utf8_is_refused_with_the_line(tmp_path: Path) -> None:
    path = tmp_path / "latin.toml"
    path.write_bytes(b'[cloud]\nusername = "J\xfcrgen"\n')
    (fault,) = faults_of(path)
    assert fault.line == 2


def test_without_a_runtime_directory_the_socket_must_be_named(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000)
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    (fault,) = faults_of(write(CLOUD))
    assert fault.path == "control.socket"
    assert "set control.socket" in fault.mend


def test_the_default_socket(write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    assert load(write(CLOUD)).socket == tmp_path / "run/cloudfs/photos.sock"
    monkeypatch.setattr(os, "getuid", lambda: 0)
    assert load(write(CLOUD)).socket == Path("/run/cloudfs/photos.sock")


# --- paths ---


def test_home_and_variables_in_paths(
    write: Write, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "c"))
    monkeypatch.setenv("MY_DIR", str(tmp_path / "my"))
    config = load(
        write(
            CLOUD
            + 'ca_file = "${MY_DIR}/../ca.pem"\npassword_file = "$XDG_CONFIG_HOME/pw"\n'
            + '[mount]\npath = "~/Cloud"\n[cache]\npath = "$XDG_CACHE_HOME/NAMES/NAME"'
        )
    )
    assert config.mount.path == home / "Cloud"
    assert config.cloud.ca_file == tmp_path / "ca.pem"
    assert config.cloud.password_file == home / ".config/pw"
    assert config.cache.path == tmp_path / "c/NAMES/photos"


def test_an_empty_path_is_not_set(write: Write) -> None:
    assert load(write(CLOUD + 'ca_file = ""')).cloud.ca_file is None


# --- -o ---


def test_options_are_keys_of_the_file() -> None:
    assert parse_options("cache.size=1GiB,read_only,,ro,noauto,_netdev,x-systemd.automount,name=a=b") == {
        "cache.size": "1GiB",
        "mount.read_only": "true",
        "mount.name": "a=b",
    }
    assert parse_options("allow_other,rw") == {"mount.allow_other": "true", "mount.read_only": "false"}
    assert parse_options("user=me,uhelper=hal,helper=fuse,default_permissions,noexec") == {}


def test_a_fault_of_an_option_is_not_the_files(write: Write) -> None:
    path = write(CLOUD + "[cache]\nsize = 3\n")
    with pytest.raises(ConfigError) as caught:
        load(path, parse_options("colour=red,sync.interval=x"))
    lines = sorted(str(caught.value).splitlines())
    assert lines[0].startswith("-o: mount.colour: unknown key; known here: allow_other")
    assert lines[1].startswith('-o: sync.interval: expected a duration, not "x"; ')
    assert lines[2].startswith(f"{path}:{CLOUD.count(chr(10)) + 2}: cache.size: ")


def test_an_option_can_be_a_list(write: Write) -> None:
    overrides = parse_options('ro,gallery.folders=["A, B","C"],hydration.deny=[],name=a[b')
    config = load(write(""), overrides | {"cloud.url": "https://dav.example/"})
    assert config.gallery.folders == ("A, B", "C")
    assert config.hydration.deny == ()
    assert config.name == "a[b"
    assert config.mount.read_only


def test_of_exec_and_noexec_the_last_one_counts() -> None:
    assert is_noexec("users,noexec,ro")
    assert not is_noexec("noexec,exec")
    assert not is_noexec("ro,x-noexec")


def test_options_that_no_key_is_for_can_be_left_out() -> None:
    text = "ro,_netdev,cache.size=1GiB,nonsense,cache.colour=red,allow_other,a.b.c=1"
    assert without_unknown(text) == "ro,_netdev,cache.size=1GiB,allow_other"


def test_options_go_before_the_file(write: Write) -> None:
    options = {
        "cache.size": "1GiB",
        "mount.read_only": "true",
        "mount.name": "7",
        "cloud.max_connections": "4",
        "gallery.folders": '["A"]',
    }
    config = load(write(CLOUD + "[mount]\nread_only = false"), options)
    assert config.cache.size == 1024**3
    assert config.mount.read_only
    assert config.name == "7"
    assert config.cloud.max_connections == 4
    assert config.gallery.folders == ("A",)


@pytest.mark.parametrize(
    ("option", "value", "mend"),
    [
        ("cache.sise", "1GiB", "did you mean size?"),
        ("mount.read_only", "maybe", "true or false"),
        ("cache.size", "1", "10GiB"),
        ("nonsense.key", "1", "known here"),
        ("mount.max_read", "1", "known here"),
    ],
)
def test_a_wrong_option_is_a_fault_without_a_line(write: Write, option: str, value: str, mend: str) -> None:
    (fault,) = faults_of(write(CLOUD), {option: value})
    assert fault.line is None
    assert mend in fault.mend


# --- lines ---

LINES = """\
# a comment
title = '''
[cloud]
url = "no"
'''
[cloud] # 6
"quoted key" = 1
dotted.key = 2

list = [
  1,
  # two
  2,
]
inline = { a = 1, b.c = 2 }
[[x]] # 16
n = 1
[[x]]

n = 2
"""


def test_lines_of_keys() -> None:
    wanted = {
        ("title",): 2,
        ("cloud",): 6,
        ("cloud", "quoted key"): 7,
        ("cloud", "dotted", "key"): 8,
        ("cloud", "list"): 10,
        ("cloud", "inline", "b", "c"): 15,
        ("x", 0): 16,
        ("x", 0, "n"): 17,
        ("x", 1): 18,
        ("x", 1, "n"): 20,
    }
    assert locate(LINES, [*wanted, ("cloud", "url"), ("x", 2)]) == wanted


# --- quantities ---


@pytest.mark.parametrize(
    ("text", "size"),
    [("0B", 0), ("17B", 17), ("10GiB", 10 * 1024**3), ("1.5GiB", 3 * 512 * 1024**2), ("2MB", 2_000_000)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "10", "10gib", "10XB", "-1GiB", "+1GiB", "1e3", "0.3B", "1 GiB", "٣GiB", ".5GiB", "1GiB\n"]
)
def test_no_sizes(text: str) -> None:
    with pytest.raises(ValueError, match="no size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("30s", 30),
        ("5m", 300),
        ("1h30m", 5400),
        ("1m500ms", 60.5),
        ("1.5h", 5400),
        ("2d", 172800),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "5", "-5s", "1 h", "30m1h", "1s1s", "1week", "5S", "1h30", "1e3s", "s", "5s\n"]
)
def test_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="no duration"):
        parse_duration(text)


@given(st.integers(0, 2**60), st.sampled_from(["B", "KiB", "MiB", "GiB", "TiB", "PiB"]))
def test_a_binary_size_is_a_shift(number: int, unit: str) -> None:
    shift = 10 * ["B", "KiB", "MiB", "GiB", "TiB", "PiB"].index(unit)
    assert parse_size(f"{number}{unit}") == number << shift


@given(st.integers(0, 99), st.integers(0, 99), st.integers(0, 99), st.integers(1, 9999))
def test_a_duration_is_the_sum_of_its_parts(hours: int, minutes: int, seconds: int, thousandths: int) -> None:
    text = f"{hours}h{minutes}m{seconds}s{thousandths}ms"
    assert parse_duration(text) == pytest.approx(hours * 3600 + minutes * 60 + seconds + thousandths / 1000)


@given(st.text(alphabet="0123456789.hmsdKMGiB -+eE", max_size=8))
def test_what_is_taken_is_never_negative_and_never_without_a_unit(text: str) -> None:
    for parse in (parse_size, parse_duration):
        try:
            value = parse(text)
        except ValueError:
            continue
        assert value >= 0
        assert text[-1] in "Bdhms"


def test_modes() -> None:
    assert parse_mode("0600") == parse_mode("600") == 0o600
    for text in ("0o600", "06000", "888", "rw-", ""):
        with pytest.raises(ValueError, match="no mode"):
            parse_mode(text)


# --- credentials ---


def config_with(**cloud: object) -> MountConfig:
    return MountConfig(cloud=CloudSettings(url="https://h/", **cloud))  # type: ignore[arg-type]


def refusal(config: MountConfig) -> Fault:
    with pytest.raises(ConfigError) as caught:
        read_credentials(config)
    (fault,) = caught.value.faults
    return fault


def test_no_source_is_nobody() -> None:
    assert read_credentials(config_with()) is None


def test_a_secret_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_bytes(" gehe im ä\n".encode())
    path.chmod(0o600)
    login = read_credentials(config_with(username="me", password_file=path))
    assert login is not None
    assert (login.username, login.secret) == ("me", " gehe im ä")
    assert "gehe" not in repr(login)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_file_that_others_may_touch_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "password"
    path.write_text("geheim")
    path.chmod(mode)
    fault = refusal(config_with(password_file=path))
    assert fault.path == "cloud.password_file"
    assert fault.mend == f"run: chmod 600 {path}"


@pytest.mark.parametrize("content", [b"", b"\n", b"a\nb\n", b"\xff\xfe", b"a\0", b"x" * 70_000])
def test_what_is_no_password_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "password"
    path.touch(0o600)
    path.write_bytes(content)
    assert "on one line" in refusal(config_with(password_file=path)).mend


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert "No such file" in refusal(config_with(password_file=tmp_path / "none")).what


def test_a_secret_from_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_PASSWORD", "geheim")
    login = read_credentials(config_with(password_env="MY_PASSWORD"))
    assert login is not None
    assert (login.username, login.secret) == ("", "geheim")
    monkeypatch.delenv("MY_PASSWORD")
    assert "export it" in refusal(config_with(password_env="MY_PASSWORD")).mend


def test_a_secret_from_a_command() -> None:
    login = read_credentials(config_with(password_command="printf 'ge%s\\n' heim | cat"))
    assert login is not None
    assert login.secret == "geheim"
    fault = refusal(config_with(password_command="echo geheim; exit 3"))
    assert "ended with 3" in fault.what
    assert "geheim" not in f"{fault.what}{fault.mend}"


def test_a_command_that_waits_is_given_up_with_all_it_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "PATIENCE_S", 0.2)
    fault = refusal(config_with(password_command="sleep 60; echo geheim"))
    assert "took longer" in fault.what


def test_a_secret_from_the_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = {("cloudfs", "me@https://h/"): "geheim"}
    monkeypatch.setattr(keyring, "get_password", lambda *key: entries[key])
    login = read_credentials(config_with(username="me", keyring=True))
    assert login is not None
    assert login.secret == "geheim"


def test_a_keyring_without_the_entry_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyring, "get_password", lambda *_: None)
    fault = refusal(config_with(username="me", keyring=True))
    assert fault.mend == "store it: keyring set cloudfs 'me@https://h/'"


def test_a_keyring_that_fails_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(service: str, username: str) -> str:
        raise RuntimeError("geheim")

    monkeypatch.setattr(keyring, "get_password", fail)
    fault = refusal(config_with(username="me", keyring=True))
    assert fault.what == "the keyring failed: RuntimeError"


def test_a_locked_keyring_does_not_hang_the_mount(monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    unlocked = threading.Event()

    def wait(service: str, username: str) -> str | None:
        unlocked.wait(30)
        return None

    monkeypatch.setattr(credentials, "PATIENCE_S", 0.1)
    monkeypatch.setattr(keyring, "get_password", wait)
    fault = refusal(config_with(username="me", keyring=True))
    unlocked.set()
    assert "unlock the keyring" in fault.mend


def test_a_mountpoint_is_followed_through_its_links(tmp_path: Path) -> None:
    (tmp_path / "data" / "cloud").mkdir(parents=True)
    (tmp_path / "far").symlink_to(tmp_path / "data")
    (tmp_path / "near").symlink_to("far/cloud")
    (tmp_path / "round").symlink_to("round")
    assert real_mountpoint(tmp_path / "near") == tmp_path / "data" / "cloud"
    assert real_mountpoint(tmp_path / "far" / "new") == tmp_path / "data" / "new"
    assert real_mountpoint(tmp_path / "round") == tmp_path / "round"


def test_a_cloud_that_is_not_supported_yet(write: Write) -> None:
    path = write('[cloud]\ntype = "drivekit"\n')
    config = load(path)
    assert config.cloud.type is CloudType.DRIVEKIT
    with pytest.raises(ConfigError, match=r'photos.toml:2: cloud.type: "drivekit" is not supported yet'):
        require_supported(path, config, {})
    with pytest.raises(ConfigError, match=r'^-o: cloud.type: "drivekit" is not supported yet'):
        require_supported(path, config, {"cloud.type": "drivekit"})
    require_supported(path, MountConfig(), {})
