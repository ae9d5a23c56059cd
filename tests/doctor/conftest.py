"""A user of the tests alone, a configuration of theirs, and what doctor finds."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from cloudfs.client import sockets
from cloudfs.config import Login, MountConfig, load
from cloudfs.doctor import Finding, server
from cloudfs.doctor.finding import Report

Configured = Callable[..., Path]
Asked = Callable[..., Awaitable[dict[str, Finding]]]


@pytest.fixture(autouse=True)
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home and a runtime directory of the test alone, and no probe that waits longer than it has to."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sockets, "ROOT_SOCKETS", tmp_path / "none")
    monkeypatch.setattr("cloudfs.clouds.write_probe.SETTLE_S", 0.05)
    (tmp_path / "run" / "cloudfs").mkdir(parents=True)


@pytest.fixture
def configured(tmp_path: Path) -> Configured:
    """Writes a mount.toml for a URL; keyword arguments are its tables."""
    (tmp_path / "mnt").mkdir()

    def write(url: str, **sections: Mapping[str, Any]) -> Path:
        tables: dict[str, dict[str, Any]] = {
            "mount": {"path": str(tmp_path / "mnt")},
            "cloud": {"url": url, "timeout": "5s"},
            "cache": {"path": str(tmp_path / "cache"), "min_free": "0B"},
            "device": {"network": "ethernet", "power_supply": str(tmp_path / "no batteries")},
            "control": {"socket": str(tmp_path / "run" / "cloudfs" / "work.sock")},
        }
        for name, table in sections.items():
            tables[name].update(table)
        lines = []
        for name, table in tables.items():
            lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
        file = tmp_path / "work.toml"
        file.write_text("\n".join(lines) + "\n")
        return file

    return write


@pytest.fixture
def config(configured: Configured) -> MountConfig:
    """One without fault, of a server that nobody asks."""
    return load(configured("https://dav.example/"))


@pytest.fixture
def asked(configured: Configured) -> Asked:
    """What is found of a server, by check; keyword arguments are mount.toml's tables."""

    async def ask(url: str, login: Login | None = None, **sections: Mapping[str, Any]) -> dict[str, Finding]:
        found: dict[str, Finding] = {}
        report = Report(lambda finding: found.update({finding.check: finding}), server.CHECKS)
        await server.examine(load(configured(url, **sections)), login, report)
        assert set(server.CHECKS) <= set(found)
        return found

    return ask
