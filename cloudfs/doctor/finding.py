"""What one check found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """A line of `doctor` (INTERFACE section 11).

    detail: what was found, in words. mend: what to do; None where nothing is to be mended.
    """

    check: str
    detail: str
    mend: str | None = None

    @property
    def ok(self) -> bool:
        return self.mend is None
