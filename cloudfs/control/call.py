"""What a method is, and what it is given: the vocabulary of the class tables."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Generic, Literal, TypeVar

import msgspec
import trio

from cloudfs.control.callers import Caller
from cloudfs.control.subscriptions import Subscriptions
from cloudfs.model.errors import CloudfsError

P = TypeVar("P", bound=msgspec.Struct)

# What sending raises once the client has gone.
CLIENT_LEFT = (trio.BrokenResourceError, trio.ClosedResourceError)


class Access(Enum):
    """Who may call a method (INTERFACE section 8). ANYBODY: what it names decides, by mode bits."""

    ANYBODY = auto()
    SYSTEM = auto()
    OWNER = auto()


@dataclass(frozen=True, slots=True)
class Call:
    """One request under way.

    subscriptions: those of its connection.
    begin_next: lets the connection's next requests begin before this one is answered; to be called
    before a wait for the network. Until then requests keep their order.
    notify: sends the client a notification (method, params) that belongs to this call.
    id: the request's, as JSON text; None where it is a notification.
    answered: set once the answer is on its way; what follows it on the connection waits for that.
    afterwards: called then, also where the client did not wait for the answer.
    """

    caller: Caller
    subscriptions: Subscriptions
    begin_next: Callable[[], None]
    notify: Callable[[str, Mapping[str, object]], Awaitable[None]]
    id: bytes | None = None
    answered: trio.Event = field(default_factory=trio.Event)
    afterwards: list[Callable[[], None]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Method(Generic[P]):
    """A line of a class's table.

    params: what the call takes, by name; anything else is 401.
    messages: the reference's text for each code, as that method's own table has it.
    """

    name: str
    params: type[P]
    access: Access
    call: Callable[[Call, P], Awaitable[object]]
    messages: Mapping[int, str]


AnyMethod = Method[Any]


class Refused(Exception):
    """A call's error with more to say. data: what goes beside `reason` in the answer's `data`."""

    def __init__(self, cause: CloudfsError, data: Mapping[str, object]) -> None:
        super().__init__(cause.reason)
        self.cause = cause
        self.data = data


@contextmanager
def about(uri: str) -> Iterator[None]:
    """What fails in here fails because of this URI; its error says so."""
    try:
        yield
    except CloudfsError as error:
        raise Refused(error, {"uri": uri}) from error


# --- params that several classes share ---


class NoParams(msgspec.Struct, forbid_unknown_fields=True):
    """A method without params."""


class On(msgspec.Struct, forbid_unknown_fields=True):
    """`on`."""

    event: Literal["progress"]
    scope: Literal["own", "all"] = "own"


class Off(msgspec.Struct, forbid_unknown_fields=True):
    """`off`; without a subscription all of this connection and class."""

    event: Literal["progress"]
    subscription: int | None = None


class OneUri(msgspec.Struct, forbid_unknown_fields=True):
    """A call about one file."""

    uri: str
