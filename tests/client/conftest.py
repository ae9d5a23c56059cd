"""Programs on both event loops."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import pytest

PATIENCE_S = 20

Run = Callable[[Callable[[], Awaitable[None]]], None]


@pytest.fixture(params=["trio", "asyncio"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a program to its end, on one loop and on the other."""

    def run(program: Callable[[], Awaitable[None]]) -> None:
        async def bounded() -> None:
            with anyio.fail_after(PATIENCE_S):
                await program()

        anyio.run(bounded, backend=request.param)

    return run
