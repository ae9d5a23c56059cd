"""An HTTP proxy in front of a real server that slows, counts, refuses and lies when told to.

In a test: `with FaultProxy(server.url) as proxy:`, steered from any thread. For measurements, in a
process of its own: `python -m tests.servers.proxy URL --rtt-ms 20 --bandwidth 25000000` prints its URL,
answers each line on stdin with its counters as JSON, and ends with stdin.
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from types import TracebackType
from urllib.parse import urlsplit

import trio

from tests.servers.faults import Faults, SeenRequest
from tests.servers.forwarding import Conditions, Counters, Forwarding


class FaultProxy:
    """Forwards to `url` while the `with` block runs.

    `conditions` (round trip, bandwidth), `faults` (which fault meets which request), `counters` and
    `seen` (what came) may be read and changed at any time.
    """

    def __init__(self, url: str, *, rtt_s: float = 0.0, bandwidth: float | None = None) -> None:
        split = urlsplit(url)
        self.conditions = Conditions(rtt_s=rtt_s, bandwidth=bandwidth)
        self._server = (split.hostname or "", split.port or 80)
        self._path = split.path
        self._port = 0
        self._thread = threading.Thread(target=trio.run, args=(self._serve,), name="fault proxy")
        self._ready = threading.Event()
        self._stopped = trio.Event()
        self._connections: set[trio.CancelScope] = set()
        self._listening = trio.CancelScope()
        self._token: trio.lowlevel.TrioToken | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}{self._path}"

    @property
    def faults(self) -> Faults:
        return self.conditions.faults

    @property
    def counters(self) -> Counters:
        return self.conditions.counters

    @property
    def seen(self) -> list[SeenRequest]:
        return self.conditions.seen

    def __enter__(self) -> FaultProxy:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._call(self._stopped.set)
        self._thread.join()

    def refuse(self) -> None:
        """Cut every connection and refuse new ones, as a server that is down."""
        self._call(self._listening.cancel)
        self.drop_connections()

    def accept(self) -> None:
        """Take connections again, on the same port."""
        self._call(self._open_listener)

    def hang(self) -> None:
        """Take connections and requests, and answer nothing: a black hole."""
        self.conditions.hung = True

    def resume(self) -> None:
        """Answer what comes from now on; what hung is cut."""
        self.conditions.hung = False
        self.drop_connections()

    def drop_connections(self) -> None:
        """Cut every connection of this moment, idle ones too."""
        self._call(self._cut)

    def _call(self, function: Callable[[], None]) -> None:
        """Run it in the proxy's loop and wait for it; plain threads and other trio loops may."""
        assert self._token is not None
        done = threading.Event()

        def run() -> None:
            function()
            done.set()

        self._token.run_sync_soon(run)
        done.wait()

    # --- in the proxy's own loop ---

    async def _serve(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            self._open_listener()
            self._ready.set()
            await self._stopped.wait()
            nursery.cancel_scope.cancel()

    def _cut(self) -> None:
        for scope in self._connections:
            scope.cancel()

    def _open_listener(self) -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self._port))
        listener.listen(128)
        self._port = listener.getsockname()[1]
        self._listening = trio.CancelScope()
        self._nursery.start_soon(self._listen, listener, self._listening)

    async def _listen(self, listener: socket.socket, scope: trio.CancelScope) -> None:
        with scope, trio.socket.from_stdlib_socket(listener) as accepting:
            while True:
                accepted, _ = await accepting.accept()
                self._nursery.start_soon(self._connection, trio.SocketStream(accepted))

    async def _connection(self, client: trio.SocketStream) -> None:
        self.counters.connections += 1
        self.counters.open += 1
        scope = trio.CancelScope()
        self._connections.add(scope)
        try:
            with scope, suppress(trio.BrokenResourceError, OSError):
                async with client:
                    await trio.sleep(self.conditions.rtt_s)
                    async with await trio.open_tcp_stream(*self._server) as server:
                        await Forwarding(self.conditions, client, server, self._authorities()).run()
        finally:
            self._connections.discard(scope)
            self.counters.open -= 1

    def _authorities(self) -> tuple[bytes, bytes]:
        host, port = self._server
        return b"127.0.0.1:%d" % self._port, f"{host}:{port}".encode()


def main() -> None:
    """Run as a process: the URL on stdout, counters for every line on stdin, until its end."""
    parser = argparse.ArgumentParser(prog="tests.servers.proxy", allow_abbrev=False)
    parser.add_argument("url")
    parser.add_argument("--rtt-ms", type=float, default=0.0)
    parser.add_argument("--bandwidth", type=float, default=None)
    asked = parser.parse_args()
    with FaultProxy(asked.url, rtt_s=asked.rtt_ms / 1000, bandwidth=asked.bandwidth) as proxy:
        print(proxy.url, flush=True)
        for _ in sys.stdin:
            print(json.dumps(asdict(proxy.counters)), flush=True)


if __name__ == "__main__":
    main()
