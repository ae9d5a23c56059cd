"""Batteries as drivers show them: several, none, a UPS, gadgets, thresholds, nonsense."""

from __future__ import annotations

import pytest

from cloudfs.device import Battery
from tests.device.machine import Machine

# The first items of an APC Back-UPS's report descriptor, and a mouse's: Usage Page, Usage, Collection.
UPS_DESCRIPTOR = bytes.fromhex("05 84 09 04 a1 01 09 24 a1 00")
MOUSE_DESCRIPTOR = bytes.fromhex("05 01 09 02 a1 01 05 85 09 65")


def battery(machine: Machine) -> Battery:
    return machine.device().battery()


def is_running_down(machine: Machine) -> bool:
    return battery(machine).is_running_down


def test_no_battery(machine: Machine) -> None:
    machine.supply("AC", type="Mains", online=1)
    assert battery(machine) == Battery(None, is_running_down=False)
    (machine.supplies / "AC" / "online").unlink()
    (machine.supplies / "AC" / "type").unlink()
    (machine.supplies / "AC").rmdir()
    machine.supplies.rmdir()
    assert battery(machine) == Battery(None, is_running_down=False)


def test_several_batteries_count_by_their_size(machine: Machine) -> None:
    machine.supply("BAT0", type="Battery", capacity=0, status="Unknown", energy_full=30)
    machine.supply("BAT1", type="Battery", capacity=40, status="Discharging", energy_full=10)
    assert battery(machine) == Battery(10, is_running_down=True)
    machine.supply("BAT1", status="Charging")
    assert not is_running_down(machine)
    machine.supply(
        "BAT0", status="Discharging"
    )  # into the other one, or into a load that is met from outside
    assert not is_running_down(machine)


def test_sizes_in_two_units_are_no_sizes(machine: Machine) -> None:
    machine.supply("BAT0", type="Battery", capacity=0, status="Full", energy_full=50_000_000)
    machine.supply("BAT1", type="Battery", capacity=40, status="Discharging", charge_full=3_000_000)
    assert battery(machine) == Battery(20, is_running_down=True)  # a full one may still say so when unplugged


@pytest.mark.parametrize("status", ["Not charging", "Unknown", ""])
def test_an_adapter_decides_where_the_battery_does_not(machine: Machine, status: str) -> None:
    machine.supply("BAT0", type="Battery", capacity=12, status=status)
    assert is_running_down(machine)
    machine.supply("AC", type="Mains", online=0)
    machine.supply("ucsi-source-psy-1", type="USB", online=0)
    machine.supply("wacom_ac", type="Mains", scope="Device", online=1)  # a tablet's own
    assert is_running_down(machine)
    machine.supply("ucsi-source-psy-1", online=2)  # at a voltage that was agreed on
    assert not is_running_down(machine)
    machine.supply("BAT0", status="Discharging")  # an adapter that is too weak
    assert is_running_down(machine)


def test_gadgets_and_empty_bays_do_not_count(machine: Machine) -> None:
    machine.supply("hidpp_battery_0", type="Battery", scope="Device", capacity=1, status="Discharging")
    mouse = machine.supply("hid-1-battery", type="Battery", scope="Device", capacity=1, status="Discharging")
    (mouse / "device").mkdir()
    (mouse / "device" / "report_descriptor").write_bytes(MOUSE_DESCRIPTOR)
    machine.supply("BAT1", type="Battery", present=0, capacity=1, status="Discharging")
    assert battery(machine).percent is None


def test_a_desktop_on_its_ups(machine: Machine) -> None:
    machine.supply("ups", type="UPS", capacity=9, status="Discharging")
    assert battery(machine) == Battery(9, is_running_down=True)
    machine.supply("ups", status="Charging")
    assert not is_running_down(machine)


def test_a_ups_that_the_hid_driver_found(machine: Machine) -> None:
    ups = machine.supply("hid-2-battery", type="Battery", scope="Device", capacity=9, status="Discharging")
    (ups / "device").mkdir()
    (ups / "device" / "report_descriptor").write_bytes(UPS_DESCRIPTOR)
    assert battery(machine) == Battery(9, is_running_down=True)


def test_a_ups_before_a_laptop_is_its_mains(machine: Machine) -> None:
    machine.supply("ups", type="UPS", capacity=5, status="Discharging")
    machine.supply("BAT0", type="Battery", scope="System", capacity=80, status="Charging")
    assert battery(machine) == Battery(80, is_running_down=False)


def test_a_driver_without_capacity(machine: Machine) -> None:
    machine.supply("BAT0", type="Battery", status="Discharging", charge_now=25, charge_full=100)
    assert battery(machine).percent == 25


@pytest.mark.parametrize(
    ("capacity", "percent"),
    [("103", 100), ("0", 0), ("-1", 25), ("", 25), ("unknown", 25), ("nan", 25), ("12.5", 25)],
)
def test_a_capacity_that_makes_no_sense(machine: Machine, capacity: str, percent: int) -> None:
    machine.supply("BAT0", type="Battery", capacity=capacity, energy_now=25, energy_full=100)
    assert battery(machine).percent == percent


def test_a_driver_that_fails(machine: Machine) -> None:
    bat = machine.supply("BAT0", type="Battery", status="Discharging", charge_now=-5, charge_full=0)
    (bat / "capacity").symlink_to("/proc/self/mem")  # EIO
    (bat / "present").mkdir()  # EISDIR
    assert battery(machine).percent is None
    machine.supply("BAT1", type="Battery", capacity=14, status="Discharging")
    assert battery(machine) == Battery(14, is_running_down=True)
    machine.supply("BAT2").joinpath("type").symlink_to("/proc/self/mem")
    (machine.supplies / "gone").symlink_to(machine.supplies / "nothing")  # ENOENT
    assert battery(machine).percent == 14
