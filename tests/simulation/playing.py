"""What a process that plays histories runs: in a module of its own, as it is imported there by name."""

from __future__ import annotations

import logging

from tests.simulation.shrinking import Failure, failure_of


def quiet() -> None:
    """Warnings are a part of bad weather."""
    logging.getLogger().addHandler(logging.NullHandler())


def failure_in(length: int, seed: int) -> Failure | None:
    """Play one history; None where nothing went wrong."""
    return failure_of(seed, length)
