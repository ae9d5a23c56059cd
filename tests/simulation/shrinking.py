"""The shortest history that still fails."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import dataclass

from tests.simulation.history import Act, make_history, play


@dataclass(frozen=True)
class Failure:
    """seed: as given to `play`. history: as short as it could be made. trace: of its failure."""

    seed: int
    history: list[Act]
    trace: str

    def __str__(self) -> str:
        acts = "\n".join(f"    {act!r}," for act in self.history)
        return f"seed {self.seed}, shortest history:\n[\n{acts}\n]\n{self.trace}"


def failure_of(seed: int, length: int) -> Failure | None:
    """What fails in the history of a seed, made short; None where all is well."""
    history = make_history(seed, length)
    if _trace(seed, history) is None:
        return None
    history = _shortest(seed, history)
    return Failure(seed, history, _trace(seed, history) or "it fails no more: the simulation is not exact")


def _shortest(seed: int, history: list[Act]) -> list[Act]:
    """Take acts out, many at a time and then one by one, as long as it still fails."""
    size = len(history) // 2
    while size:
        at, is_shorter = 0, False
        while at < len(history):
            shorter = history[:at] + history[at + size :]
            if _trace(seed, shorter) is not None:
                history, is_shorter = shorter, True
            else:
                at += size
        size = size if is_shorter and size == 1 else size // 2
    return _without_pauses(seed, history)


def _without_pauses(seed: int, history: list[Act]) -> list[Act]:
    """Leave out the pauses that do not matter."""
    for at, (actor, verb, one, other, pause) in enumerate(history):
        plain = [*history[:at], (actor, verb, one, other, 0.0), *history[at + 1 :]]
        if pause and _trace(seed, plain) is not None:
            history = plain
    return history


def _trace(seed: int, history: Sequence[Act]) -> str | None:
    try:
        play(seed, history)
    except Exception:  # noqa: BLE001 - whatever it is, it is a failure
        return traceback.format_exc()
    return None
