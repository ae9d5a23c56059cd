"""Draws what a command showed on a terminal: runs it on one, follows its output, writes the screen as SVG."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

COLUMNS, ROWS = 100, 50
# What programs that draw progress bars send: text, line ends, and control sequences (ECMA-48 section 5.4).
TOKEN = re.compile(r"\x1b\[([?\d;]*)([A-Za-z])|([\r\n\b])|(\x1b.|[\x00-\x1f])|([^\x00-\x1f\x1b]+)")
# The picture shall not fetch fonts from the net when it is looked at.
SVG_FORMAT = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)


class Screen:
    """The cells that a terminal without an end below would show. Each knows the colours it was written in."""

    def __init__(self) -> None:
        self._rows: list[list[tuple[str, str]]] = [[]]
        self._row = 0
        self._column = 0
        self._colours = ""

    def write(self, output: str) -> None:
        """Follow what a program sends; what is no text, movement, erasure or colour is left out."""
        for parameters, command, movement, _, text in TOKEN.findall(output):
            if command:
                self._obey(parameters, command)
            elif movement:
                self._move(movement)
            else:
                self._put(text)

    def as_ansi(self) -> str:
        """The cells as text with colours, without any movement."""
        lines = []
        for row in self._rows:
            runs = groupby(row, key=lambda cell: cell[1])
            lines.append(
                "".join(f"\x1b[0m{colours}{''.join(cell[0] for cell in run)}" for colours, run in runs)
            )
        return "\n".join(lines).rstrip("\n")

    def _obey(self, parameters: str, command: str) -> None:
        first = parameters.partition(";")[0]
        count = int(first) if first.isdecimal() else 0
        row = self._rows[self._row]
        match command:
            case "m":
                self._colours = "" if parameters in ("", "0") else f"{self._colours}\x1b[{parameters}m"
            case "A":
                self._row = max(0, self._row - max(1, count))
            case "B":
                self._go_to_row(self._row + max(1, count))
            case "C":
                self._column += max(1, count)
            case "D":
                self._column = max(0, self._column - max(1, count))
            case "G":
                self._column = max(1, count) - 1
            case "K" if count == 0:
                del row[self._column :]
            case "K":
                row.clear()
            case "J" if count == 0:
                del row[self._column :]
                del self._rows[self._row + 1 :]

    def _move(self, character: str) -> None:
        match character:
            case "\r":
                self._column = 0
            case "\n":
                self._go_to_row(self._row + 1)
            case "\b":
                self._column = max(0, self._column - 1)

    def _go_to_row(self, row: int) -> None:
        self._row = row
        while len(self._rows) <= row:
            self._rows.append([])

    def _put(self, text: str) -> None:
        row = self._rows[self._row]
        row.extend([(" ", "")] * (self._column - len(row)))
        row[self._column : self._column + len(text)] = [(character, self._colours) for character in text]
        self._column += len(text)


def run_on_a_terminal(command: Sequence[str]) -> str:
    """What `command` sends to a terminal of 100 by 50; CalledProcessError when it fails."""
    ours, its = os.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "LINES": str(ROWS)}
    with subprocess.Popen(command, stdin=its, stdout=its, stderr=its, env=environment) as process:
        os.close(its)
        output = b"".join(_received(ours))
    os.close(ours)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, output)
    return output.decode(errors="replace")


def _received(terminal: int) -> Iterator[bytes]:
    with contextlib.suppress(OSError):  # EIO: nobody has the other end open any more
        while data := os.read(terminal, 65536):
            yield data


def draw(output: str, title: str) -> str:
    """The screen after `output`, as SVG."""
    screen = Screen()
    screen.write(output)
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        console = Console(
            file=nowhere, record=True, width=COLUMNS, force_terminal=True, color_system="truecolor"
        )
        console.print(Text.from_ansi(screen.as_ansi()), soft_wrap=False)
        return console.export_svg(title=title, code_format=SVG_FORMAT, unique_id="cloudfs")


def main() -> int:
    """Run, draw, write; the command's failure leaves the file as it was."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    name, *rest = arguments.command
    title = " ".join([Path(name).name, *rest])
    try:
        output = run_on_a_terminal(arguments.command)
    except subprocess.CalledProcessError as failure:
        sys.stderr.buffer.write(failure.output)
        print(f"{title} failed with {failure.returncode}", file=sys.stderr)
        return 1
    arguments.output.write_text(draw(f"\x1b[1m$ {title}\x1b[0m\n\r{output}", title))
    return 0


if __name__ == "__main__":
    sys.exit(main())
