"""Servers for every test: started when first asked for, stopped whatever happens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.apache import Apache
from tests.servers.proxy import FaultProxy
from tests.servers.wsgidav import WsgiDav


@pytest.fixture
def apache(tmp_path: Path) -> Iterator[Apache]:
    """Apache's mod_dav over an empty folder, `apache.root`."""
    root = tmp_path / "apache"
    root.mkdir()
    with Apache(root) as server:
        yield server


@pytest.fixture
def wsgidav(tmp_path: Path) -> Iterator[WsgiDav]:
    """The demo's server over an empty folder, `wsgidav.root`."""
    root = tmp_path / "wsgidav"
    root.mkdir()
    with WsgiDav(root) as server:
        yield server


@pytest.fixture
def proxy(apache: Apache) -> Iterator[FaultProxy]:
    """A fault proxy in front of the test's Apache."""
    with FaultProxy(apache.url) as before:
        yield before
