"""What one check found, and what became of the checks that others had to go before."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """A line of `doctor` (INTERFACE section 11).

    detail: what was found, in words. mend: what to do; None where nothing is to be mended. is_made: whether
    anything was looked at; where not, `mend` names the check to settle first.
    """

    check: str
    detail: str
    mend: str | None = None
    is_made: bool = True

    @property
    def ok(self) -> bool:
        return self.mend is None


def left_out(check: str, needed: str) -> Finding:
    """A check that can't be made before another is settled."""
    return Finding(
        check, f'not looked at: "{needed}" is to be settled first', f'settle "{needed}" first', is_made=False
    )


class Report:
    """Findings as they come, and in the end those of the expected checks that none came of."""

    def __init__(self, tell: Callable[[Finding], None], expected: Iterable[str]) -> None:
        self._tell = tell
        self._missing = list(expected)

    def tell(self, finding: Finding) -> None:
        if finding.check in self._missing:
            self._missing.remove(finding.check)
        self._tell(finding)

    def leave_out(self, needed: str) -> None:
        """All that is missing can't be looked at before `needed` is settled."""
        for check in self._missing:
            self._tell(left_out(check, needed))
        self._missing.clear()
