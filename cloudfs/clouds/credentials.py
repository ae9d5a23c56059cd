"""How a request says who sends it (RFC 9110 section 11). No secret is shown by repr()."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class BasicCredentials:
    """RFC 7617."""

    username: str
    password: str = field(repr=False)

    def header(self) -> str:
        pair = f"{self.username}:{self.password}".encode()
        return f"Basic {base64.b64encode(pair).decode()}"


@dataclass(frozen=True, slots=True)
class BearerCredentials:
    """RFC 6750."""

    token: str = field(repr=False)

    def header(self) -> str:
        return f"Bearer {self.token}"


Credentials = BasicCredentials | BearerCredentials
