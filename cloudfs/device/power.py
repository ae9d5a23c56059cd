"""What the device runs on, as the kernel shows it (Documentation/ABI/testing/sysfs-class-power).

**Whose battery.** Those of scope Device drive a mouse or a headset, and never count; they are not even asked,
for that may wait for the gadget's answer. One exception: the kernel gives that scope to every battery that it
finds on USB HID (drivers/hid/hid-input.c), a UPS's too, which is known by its report descriptor. A UPS counts
where the device has no battery of its own; else it is to the device what the mains are.

**Which way it goes.** A battery that says so charges or runs down. One that stays where it is (status "Not
charging", at a charge threshold), or does not know, runs down unless an adapter is online.

Files of drivers may be empty, fail with EIO or ENODEV, or hold nonsense: such a value counts as not there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

# Universal Serial Bus Usage Tables for HID Power Devices 1.0: page 84h (Power Device), usage 04h (UPS), and
# the application collection that they name.
_UPS_COLLECTION = bytes.fromhex("05 84 09 04 a1 01")


@dataclass(frozen=True, slots=True)
class Battery:
    """All batteries that drive the device, as one. percent is None where there is none."""

    percent: float | None
    is_running_down: bool

    def is_below(self, percent: int) -> bool:
        """Whether it holds less than that and is running down."""
        return self.percent is not None and self.percent < percent and self.is_running_down


def read_battery(directory: Path) -> Battery:
    """The device's battery at this moment. directory: /sys/class/power_supply."""
    supplies = _supplies(directory)
    cells = _cells(supplies[_Role.BATTERY]) or _cells(supplies[_Role.UPS])
    if not cells:
        return Battery(None, is_running_down=False)
    is_fed = any(_amount(adapter / "online") for adapter in supplies[_Role.ADAPTER])
    return Battery(_combined_percent(cells), _is_running_down({cell.status for cell in cells}, is_fed))


class _Role(Enum):
    """What a supply is to the device."""

    BATTERY = auto()
    UPS = auto()
    ADAPTER = auto()
    NONE = auto()


@dataclass(frozen=True, slots=True)
class _Cell:
    """One battery. energy_full in µWh, charge_full in µAh; drivers have one of them, or none."""

    percent: float
    status: str
    energy_full: int | None
    charge_full: int | None


def _supplies(directory: Path) -> dict[_Role, list[Path]]:
    supplies: dict[_Role, list[Path]] = {role: [] for role in _Role}
    try:
        folders = sorted(directory.iterdir())
    except OSError:
        folders = []  # no such class: a device without batteries
    for folder in folders:
        supplies[_role(folder)].append(folder)
    return supplies


def _role(supply: Path) -> _Role:
    kind = _text(supply / "type")
    if kind == "UPS":
        return _Role.UPS
    if _text(supply / "scope") == "Device":
        return _Role.UPS if kind == "Battery" and _is_ups(supply) else _Role.NONE
    if kind == "Battery":
        return _Role.BATTERY
    return _Role.ADAPTER if kind.startswith(("Mains", "USB", "Wireless")) else _Role.NONE


def _is_ups(supply: Path) -> bool:
    try:
        return _UPS_COLLECTION in (supply / "device" / "report_descriptor").read_bytes()
    except OSError:
        return False  # no HID device


def _cells(supplies: Sequence[Path]) -> list[_Cell]:
    """Those that are in their bays and say how full they are."""
    cells = []
    for supply in supplies:
        percent = _percent(supply)
        if percent is not None and _amount(supply / "present") != 0:
            full = (_amount(supply / name) for name in ("energy_full", "charge_full"))
            cells.append(_Cell(percent, _text(supply / "status"), *full))
    return cells


def _percent(supply: Path) -> float | None:
    percent = _amount(supply / "capacity")
    if percent is not None:
        return min(percent, 100)  # a worn battery may say 103
    for unit in ("energy", "charge"):
        now, full = _amount(supply / f"{unit}_now"), _amount(supply / f"{unit}_full")
        if now is not None and full:
            return min(100 * now / full, 100)
    return None


def _combined_percent(cells: Sequence[_Cell]) -> float:
    """By their sizes, where those are told in one unit."""
    for sizes in ([cell.energy_full for cell in cells], [cell.charge_full for cell in cells]):
        known = [size for size in sizes if size]
        if len(known) == len(cells):
            weighed = sum(cell.percent * size for cell, size in zip(cells, known, strict=True))
            return weighed / sum(known)
    return sum(cell.percent for cell in cells) / len(cells)


def _is_running_down(statuses: set[str], is_fed: bool) -> bool:
    if "Charging" in statuses:
        return False  # what charges one battery spares the other
    if "Discharging" in statuses:
        return True  # an adapter too weak for the load changes nothing about that
    return not is_fed and "Full" not in statuses


def _text(path: Path) -> str:
    """A file's text, stripped; "" where it can't be read."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def _amount(path: Path) -> int | None:
    """A file's number, None where it has none. What is read here is never negative."""
    try:
        amount = int(_text(path))
    except ValueError:
        return None
    return amount if amount >= 0 else None
