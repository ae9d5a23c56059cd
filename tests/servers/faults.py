"""What a FaultProxy can be told to do to an exchange, as plain data."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Answer:
    """Answer without asking the server behind. A Content-Length is added unless `headers` has one."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True)
class Close:
    """Close the connection instead of answering."""


@dataclass(frozen=True)
class Hang:
    """Take the request and never answer."""


@dataclass(frozen=True)
class DropRange:
    """Forward without the Range header: a server that knows no ranges."""


@dataclass(frozen=True)
class IgnoreConditions:
    """Forward without If-Match and If-None-Match: a server that does not know them."""


@dataclass(frozen=True)
class CutRequest:
    """Close both connections after so many bytes of the request's body."""

    after: int


@dataclass(frozen=True)
class LoseAnswer:
    """Let the server do what was asked, and close the connection instead of passing its answer."""


@dataclass(frozen=True)
class HoldAnswer:
    """Let the server do what was asked, and never pass its answer."""


@dataclass(frozen=True)
class ChangeHeaders:
    """Set (or, with None, remove) headers of the server's answer; the body goes through as it is."""

    headers: Mapping[str, str | None]


@dataclass(frozen=True)
class CutBody:
    """Close the connection after so many bytes of the answer's body."""

    after: int


@dataclass(frozen=True)
class HangBody:
    """Send nothing more after so many bytes of the answer's body."""

    after: int


@dataclass(frozen=True)
class AppendBody:
    """Add bytes to the answer's body, and to its Content-Length."""

    extra: bytes


Fault = (
    Answer
    | Close
    | Hang
    | DropRange
    | IgnoreConditions
    | CutRequest
    | LoseAnswer
    | HoldAnswer
    | ChangeHeaders
    | CutBody
    | HangBody
    | AppendBody
)

LOGIN_PAGE = Answer(200, {"Content-Type": "text/html"}, b"<html><body>Please log in</body></html>")


@dataclass(frozen=True)
class SeenRequest:
    """A request as it came: the method, the target still percent-coded, headers in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]


@dataclass
class _Rule:
    fault: Fault
    method: re.Pattern[str]
    target: re.Pattern[str]
    times: int | None


class Faults:
    """Which faults meet which requests. Every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[_Rule] = []

    def add(self, fault: Fault, *, method: str = "", target: str = "", times: int | None = None) -> None:
        """Let the next `times` requests (None: all) that match meet a fault.

        method, target: regular expressions, searched; the target is percent-coded. The oldest rule
        that matches counts, one a request.
        """
        rule = _Rule(fault, re.compile(f"^(?:{method})$" if method else ""), re.compile(target), times)
        with self._lock:
            self._rules.append(rule)

    def clear(self) -> None:
        with self._lock:
            self._rules.clear()

    def take(self, request: SeenRequest) -> Fault | None:
        """The fault for this request, used up by it."""
        with self._lock:
            for rule in self._rules:
                if rule.method.search(request.method) and rule.target.search(request.target):
                    if rule.times is not None:
                        rule.times -= 1
                        if rule.times == 0:
                            self._rules.remove(rule)
                    return rule.fault
        return None
