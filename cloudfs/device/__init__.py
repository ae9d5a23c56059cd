"""Battery and network as the device sees them, and what they forbid."""

from cloudfs.device.device import LOW_PERCENT, WARNING_PERCENT, Device
from cloudfs.device.links import NOTHING_KNOWN, NetworkFacts
from cloudfs.device.power import Battery

__all__ = ["LOW_PERCENT", "NOTHING_KNOWN", "WARNING_PERCENT", "Battery", "Device", "NetworkFacts"]
