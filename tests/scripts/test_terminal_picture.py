"""The screen shows what a terminal would."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
from subprocess import CalledProcessError

import pytest

from terminal_picture import COLUMNS, Screen, draw, run_on_a_terminal


def screen_after(output: str) -> str:
    screen = Screen()
    screen.write(output)
    return screen.as_ansi().replace("\x1b[0m", "")


@pytest.mark.parametrize(
    ("output", "shown"),
    [
        ("one\r\ntwo\r\n", "one\ntwo"),
        ("10 %\r100 %", "100 %"),
        ("a long line\r\x1b[2Kshort", "short"),
        ("one\r\ntwo\x1b[1A\r\x1b[2KONE", "ONE\ntwo"),
        ("one\r\ntwo\x1b[1A\r\x1b[J", ""),
        ("abc\x1b[2DX", "aXc"),
        ("\x1b[3Gx", "  x"),
        ("\x1b[?25lhidden cursor\x1b[?25h", "hidden cursor"),
        ("bell\x07", "bell"),
    ],
)
def test_output_moves_and_erases(output: str, shown: str) -> None:
    assert screen_after(output) == shown


def test_colours_stay_with_their_cells() -> None:
    assert screen_after("\x1b[31mred\x1b[0m plain") == "\x1b[31mred plain"


def test_a_command_sees_a_terminal_of_known_width() -> None:
    program = "import os, sys; print(sys.stdout.isatty(), os.get_terminal_size().columns)"
    assert run_on_a_terminal([sys.executable, "-c", program]).strip() == f"True {COLUMNS}"


def test_a_failing_command_draws_nothing() -> None:
    with pytest.raises(CalledProcessError):
        run_on_a_terminal([sys.executable, "-c", "raise SystemExit(3)"])


def test_the_picture_is_the_same_each_time_and_fetches_nothing() -> None:
    picture = draw("\x1b[1mA & B <here>\x1b[0m\r\n", "title")
    assert picture == draw("\x1b[1mA & B <here>\x1b[0m\r\n", "title")
    assert "url(http" not in picture
    assert "here" in "".join(ET.fromstring(picture).itertext())
