"""All checks in their order, and those that wait for others."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloudfs.doctor import Finding, content, examination, examine, machine, mounts, server
from tests.doctor.conftest import Configured
from tests.servers.apache import Apache

EMPTY_URL = 'url = ""'


def look(file: Path, **options: str) -> dict[str, Finding]:
    found: list[Finding] = []
    examine(file, options, None, found.append)
    return {finding.check: finding for finding in found}


def left_out(found: dict[str, Finding]) -> dict[str, str]:
    return {check: str(finding.mend) for check, finding in found.items() if not finding.is_made}


def test_every_check_is_made_once_and_in_order(configured: Configured, apache: Apache) -> None:
    found: list[Finding] = []
    examine(configured(apache.url), {}, None, found.append)
    assert tuple(finding.check for finding in found) == examination.CHECKS
    assert [finding for finding in found if not finding.ok] == []


def test_options_and_the_mountpoint_go_before_the_file(
    configured: Configured, apache: Apache, tmp_path: Path
) -> None:
    found: list[Finding] = []
    other = tmp_path / "other"
    examine(configured(apache.url), {"mount.allow_other": "true"}, other, found.append)
    told = {finding.check: finding for finding in found}
    assert told["allow_other"].ok == (machine.others_allowed(machine.FUSE_CONF).ok)
    assert told["mountpoint"].mend == f"make it with: mkdir -p {other}"


def test_no_configuration(tmp_path: Path) -> None:
    found = look(tmp_path / "mount.toml")
    assert "No such file" in found["configuration"].detail
    assert "mount.example.toml" in str(found["configuration"].mend)
    waiting = (*mounts.CHECKS, *content.CHECKS, "device", "credentials", *server.CHECKS)
    assert left_out(found) == dict.fromkeys(waiting, 'settle "configuration" first')
    assert all(found[check].ok for check in machine.CHECKS)


def test_each_fault_of_a_configuration_has_its_line(configured: Configured) -> None:
    file = configured("https://dav.example/", cloud={"url": "", "timeout": "30"})
    found: list[Finding] = []
    examine(file, {}, None, found.append)
    faults = [finding for finding in found if finding.check == "configuration"]
    lines = file.read_text().splitlines()
    assert [finding.detail for finding in faults if "cloud.url" in finding.detail] == [
        f"{file}:{lines.index(EMPTY_URL) + 1}: cloud.url: is missing"
    ]
    assert any("cloud.timeout" in finding.detail for finding in faults)


def test_a_password_that_others_may_read(configured: Configured, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("s3cret\n")
    password.chmod(0o644)
    file = configured("https://dav.example/", cloud={"username": "me", "password_file": str(password)})
    found = look(file)
    line = file.read_text().splitlines().index(f'password_file = "{password}"') + 1
    assert found["credentials"].detail.startswith(f"{file}:{line}: ")
    assert found["credentials"].mend == f"run: chmod 600 {password}"
    assert left_out(found) == dict.fromkeys(server.CHECKS, 'settle "credentials" first')


def test_a_variable_that_is_not_set(configured: Configured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_PASSWORD", raising=False)
    cloud = {"username": "me", "password_env": "NO_SUCH_PASSWORD"}
    found = look(configured("https://dav.example/", cloud=cloud))
    assert "is not set" in found["credentials"].detail
