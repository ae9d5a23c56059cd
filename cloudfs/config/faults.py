"""What is wrong with a configuration: where it stands, what it is, and what to write instead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# A key inside the file: names of tables and keys, and positions in arrays of tables.
KeyPath = tuple[str | int, ...]


def spell(key: KeyPath) -> str:
    """A key's path as people write it: `control.grant[0].uid`."""
    text = ""
    for part in key:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing to mend.

    key: () where the file as a whole is at fault. line: from 1; None where there is no line to show (the
    file cannot be read, the key is missing altogether or came with `-o`). is_option: whether it came with
    `-o`. Neither text holds a value that could be a secret.
    """

    key: KeyPath
    what: str
    mend: str
    line: int | None = None
    is_option: bool = False

    @property
    def path(self) -> str:
        return spell(self.key)


class ConfigError(Exception):
    """The configuration can't be used; `faults` has all that was found, in the file's order."""

    def __init__(self, file: Path, faults: Sequence[Fault]) -> None:
        super().__init__(file, faults)
        self.file = file
        self.faults = tuple(faults)

    def __str__(self) -> str:
        """One line a fault: FILE:LINE: key: what; mend."""
        return "\n".join(f"{self.told(fault)}; {fault.mend}" for fault in self.faults)

    def told(self, fault: Fault) -> str:
        """Where a fault is, and what; without the mend."""
        place = f"{self.file}:{fault.line}" if fault.line else str(self.file)
        subject = f"{fault.path}: " if fault.key else ""
        return f"{'-o' if fault.is_option else place}: {subject}{fault.what}"
