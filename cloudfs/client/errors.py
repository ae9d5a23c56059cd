"""What a call can end with."""

from __future__ import annotations

from typing import Any

_IPC_ERROR = 13600001
_INVALID_PARAMETER = 401


class CloudSyncError(Exception):
    """The reference's BusinessError.

    code: its number. message: the text of the method's own error table.
    data: what the daemon adds: `reason`, a sentence; `uri`, where one is to blame; the HTTP `status`.
    """

    def __init__(self, code: int, message: str, data: dict[str, Any] | None = None) -> None:
        super().__init__(code, message, data)
        self.code = code
        self.message = message
        self.data = data or {}

    def __str__(self) -> str:
        reason = self.data.get("reason")
        return f"{self.message} ({self.code})" + (f": {reason}" if reason else "")


def ipc_error(reason: str) -> CloudSyncError:
    """No daemon, or a connection that is lost."""
    return CloudSyncError(_IPC_ERROR, "IPC error.", {"reason": reason})


def invalid_parameter(reason: str) -> CloudSyncError:
    """What no daemon needs to be asked about."""
    return CloudSyncError(_INVALID_PARAMETER, "The input parameter is invalid.", {"reason": reason})
