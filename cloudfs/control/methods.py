"""From a request's line to its answer: the checks in their order, the call, the error's code and text.

The order is INTERFACE section 7's: 401, 201, 202, then the device's, then the file's; the last two are
checked by what is called. The tables are made by the class modules beside this one, one small file each.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace

from cloudfs.control.call import CLIENT_LEFT, Access, AnyMethod, Call, Refused
from cloudfs.control.callers import Permissions
from cloudfs.control.messages import ANY
from cloudfs.model import jsonrpc
from cloudfs.model.errors import CloudfsError
from cloudfs.model.jsonrpc import Fault, Request

log = logging.getLogger(__name__)

_IPC_ERROR = 13600001


class Methods:
    """All methods of the control socket, by name."""

    def __init__(self, methods: Iterable[AnyMethod], permissions: Permissions) -> None:
        self._methods = {method.name: method for method in methods}
        self._permissions = permissions

    @property
    def permissions(self) -> Permissions:
        """Who may call what."""
        return self._permissions

    @property
    def names(self) -> list[str]:
        return sorted(self._methods)

    async def answer(self, request: Request | Fault, call: Call) -> bytes | None:
        """The line that answers a request; None for a notification, whatever came of it. Never raises
        what the call raised: a bug is told as 13600001 and logged. Raises CLIENT_LEFT where the call told
        of its progress and nobody took it."""
        if isinstance(request, Fault):
            return jsonrpc.encode_error(request.id, request.code, request.message)
        method = self._methods.get(request.method)
        if method is None:
            answer = jsonrpc.encode_error(_id(request), jsonrpc.METHOD_NOT_FOUND, "Method not found")
        else:
            answer = await self._answer(method, request, call)
        return None if request.is_notification else answer

    async def _answer(self, method: AnyMethod, request: Request, call: Call) -> bytes:
        try:
            params = jsonrpc.decode_params(request.params, method.params)
            self._check_access(method, call)
            result = await method.call(replace(call, id=request.id), params)
            return jsonrpc.encode_result(_id(request), result)
        except Refused as refused:
            return _error(method, request, refused.cause, refused.data)
        except CloudfsError as error:
            return _error(method, request, error, {})
        except CLIENT_LEFT:
            raise
        except Exception:
            log.exception("%s met a bug", method.name)
            data = {"reason": "the daemon met a bug; its log has it"}
            return jsonrpc.encode_error(_id(request), _IPC_ERROR, ANY[_IPC_ERROR], data)

    def _check_access(self, method: AnyMethod, call: Call) -> None:
        if method.access is Access.SYSTEM:
            self._permissions.require_system(call.caller)
        elif method.access is Access.OWNER:
            self._permissions.require_owner(call.caller)


def _error(method: AnyMethod, request: Request, error: CloudfsError, about: Mapping[str, object]) -> bytes:
    data = {**about, "reason": error.reason} | ({} if error.status is None else {"status": error.status})
    if error.code == _IPC_ERROR:  # it stands for many causes
        data["error"] = error.download_error.name
    message = method.messages.get(error.code) or ANY[error.code]
    return jsonrpc.encode_error(_id(request), error.code, message, data)


def _id(request: Request) -> bytes:
    """A notification's answer is made too, and dropped."""
    return jsonrpc.NULL if request.id is None else request.id
