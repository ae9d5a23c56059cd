"""What `simulated` of a mount's status has."""

from __future__ import annotations

# Each key as it is where nothing of its kind is simulated.
NOTHING = {
    "battery": None,
    "network": None,
    "quota_full": False,
    "disk_full": False,
    "server_error": None,
    "until": None,
}
