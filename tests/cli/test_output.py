"""Tables, names, sizes, progress, help, completion, and what starting a verb costs."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudfs import __version__
from cloudfs.cli.main import MODULES, main
from cloudfs.cli.output import human_share, human_time, print_table, printable
from cloudfs.cli.progress import open_progress
from cloudfs.cli.sample import BLOCK, LARGE, LARGE_SIZE, is_right, png_gradient, write_sample
from cloudfs.model.sizes import human_size


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout


# --- start ---


@pytest.mark.parametrize(
    "verb", ["state", "status", "sync", "download", "clean", "pin", "events", "umount", "why"]
)
def test_verbs_import_nothing_heavy(verb: str) -> None:
    code = (
        "import sys, importlib\n"
        "from cloudfs.cli.main import main, MODULES\n"
        f"importlib.import_module(MODULES[{verb!r}])\n"
        "heavy = {'trio', 'httpx', 'rich', 'msgspec', 'pyfuse3', 'aiosqlite', 'shtab', 'anyio', 'asyncio'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    assert run_python(code) == "[]\n"


def test_state_off_a_terminal_never_imports_them(tmp_path: Path) -> None:
    code = (
        "import os, sys\n"
        f"os.environ['XDG_RUNTIME_DIR'] = {str(tmp_path)!r}\n"
        "from cloudfs.cli.main import main\n"
        f"main(['state', '--socket', {str(tmp_path / 'none')!r}, 'x'])\n"
        "print(sorted({'trio', 'httpx', 'rich'} & set(sys.modules)))\n"
    )
    assert run_python(code) == "[]\n"


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"cloudfs {__version__}\n"


@pytest.mark.parametrize("verb", MODULES)
def test_help_has_examples_and_exit_codes(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([verb, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert f"examples:\n  cloudfs {verb}" in text
    assert "5 temporary" in text
    assert "--ready-fd" not in text


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_every_verb(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert all(verb in script for verb in MODULES)
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def test_completion_of_bash_offers_verbs_and_actions(capsys: pytest.CaptureFixture[str]) -> None:
    main(["completion", "bash"])
    script = capsys.readouterr().out
    asked = 'COMP_WORDS=(cloudfs sync "")\nCOMP_CWORD=2\n_shtab_cloudfs\nprintf "%s\\n" "${COMPREPLY[@]}"\n'
    done = subprocess.run(["bash", "-c", script + asked], capture_output=True, text=True, check=True)
    assert {"start", "stop", "last", "confirm", "restore"} <= set(done.stdout.split())


# --- names and tables ---


def test_names_cannot_play_tricks() -> None:
    assert printable("a\x1b[2J\r\n\t\x7f\x9b\u202e") == "a\\x1b[2J\\r\\n\\t\\x7f\\x9b\\u202e"
    assert printable("caf\udce9 東京") == "caf\\xe9 東京"


@given(st.text())
def test_what_is_printed_is_printable(text: str) -> None:
    assert printable(text).isprintable()


def test_wide_names_keep_the_columns(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("A", "B"), [("東京", "x"), ("e\u0301", "y"), ("abc", "z")])
    assert capsys.readouterr().out == "A     B\n東京  x\ne\u0301     y\nabc   z\n"


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (150 * 1024, "150 KiB"), (10 * 1024**3, "10.0 GiB")],
)
def test_sizes(size: int, text: str) -> None:
    assert human_size(size) == text


def test_shares_and_times() -> None:
    assert human_share(999, 1000) == "99 %"
    assert human_share(0, 0) == "100 %"
    assert human_time(0) == "never"
    assert human_time(1764000000000).startswith("2025-11-2")


# --- progress ---


def test_progress_off_a_terminal_is_plain_lines() -> None:
    stream = io.StringIO()
    with open_progress(stream) as progress:
        for processed in range(0, 101, 5):
            progress.show("a\nb", processed * 1024, 100 * 1024)
        progress.end("a\nb", "done")
    lines = stream.getvalue().splitlines()
    assert lines[0] == "a\\nb: 0 % of 100 KiB"
    assert len(lines) == 12
    assert lines[-2:] == ["a\\nb: 100 % of 100 KiB", "a\\nb: done"]


def test_progress_on_a_terminal_is_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    stream = Terminal()
    with open_progress(stream) as progress:
        progress.show("[bold]a\x1b]0;x\x07", 512, 1024)
        progress.end("[bold]a\x1b]0;x\x07", "stopped")
    text = stream.getvalue()
    assert "[bold]a\\x1b]0;x\\x07" in text
    assert "stopped" in text
    assert "\x1b]0;" not in text


# --- the demo's sample ---


def test_the_sample_can_be_checked(tmp_path: Path) -> None:
    write_sample(tmp_path)
    large = tmp_path / LARGE
    assert large.stat().st_size == LARGE_SIZE
    assert large.stat().st_blocks * 512 < LARGE_SIZE // 4
    with large.open("rb") as stream:
        stream.seek(7 * BLOCK)
        blocks = stream.read(3 * BLOCK)
    assert is_right(7 * BLOCK, blocks)
    assert not is_right(6 * BLOCK, blocks)
    assert not is_right(7 * BLOCK, blocks[:-1] + b"x")
    assert not is_right(7 * BLOCK, blocks[:-1])
    assert sum(path.suffix == ".png" for path in tmp_path.rglob("*")) == 3


def test_a_picture_is_a_png() -> None:
    picture = png_gradient(4, 3, (0, 0, 0), (255, 255, 255))
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", picture[16:24]) == (4, 3)
    size = struct.unpack(">I", picture[33:37])[0]
    rows = zlib.decompress(picture[41 : 41 + size])
    assert rows == b"\0" + b"\0" * 12 + b"\0" + b"\x7f" * 12 + b"\0" + b"\xff" * 12
