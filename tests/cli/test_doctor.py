"""`cloudfs doctor` as a user types it, and how its lines look."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.servers.wsgidav import WsgiDav

CLOUDFS = [sys.executable, "-m", "cloudfs.cli.main"]
WITHOUT_PYFUSE3 = (
    "import sys; sys.modules['pyfuse3'] = None; from cloudfs.cli.main import main; sys.exit(main(['doctor']))"
)


def doctor(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [*CLOUDFS, "doctor", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def everything_below(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Names with mode, time and content."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        found[str(path)] = (status.st_mode, 0 if path.is_dir() else status.st_mtime_ns, content)
    return found


def test_a_good_set_up_and_a_wrong_password(tmp_path: Path, mountpoint: Path) -> None:
    root = tmp_path / "dav"
    root.mkdir()
    (root / "letter.txt").write_text("hello\n")
    (tmp_path / "home").mkdir()
    password = tmp_path / "password"
    password.write_text("s3cret\n")
    password.chmod(0o600)
    file = tmp_path / "work.toml"
    with WsgiDav(root, user="me", password="s3cret") as server:
        file.write_text(
            f'[cloud]\nurl = "{server.url}"\nusername = "me"\npassword_file = "{password}"\n'
            f'[cache]\npath = "{tmp_path / "cache"}"\nmin_free = "0B"\n[device]\nnetwork = "wifi"\n'
            f'power_supply = "{tmp_path / "none"}"\n'
        )
        before = everything_below(tmp_path)
        good = doctor("--config", file, "--json", "-o", "cache.size=1GiB", mountpoint)
        assert everything_below(tmp_path) == before
        password.write_text("n0t-it\n")
        wrong = doctor("--config", file, mountpoint)
    assert good.returncode == 0, good.stdout
    findings = json.loads(good.stdout)
    assert all(set(finding) == {"check", "ok", "detail", "mend"} for finding in findings)
    assert [finding for finding in findings if not finding["ok"] or finding["mend"] is not None] == []
    assert len({finding["check"] for finding in findings}) == len(findings) > 20
    assert wrong.returncode == 1
    assert wrong.stderr == ""
    lines = wrong.stdout.splitlines()
    assert lines[0] == "ok    /dev/fuse           readable and writable"
    refused = next(index for index, line in enumerate(lines) if line.startswith("FAIL"))
    assert lines[refused].startswith("FAIL  access              the server answered 401")
    assert lines[refused + 1].startswith("      mend: check cloud.username and the password")
    assert lines[-1] == '--    quota               not looked at: "access" is to be settled first'
    assert "n0t-it" not in wrong.stdout


def test_without_a_configuration(run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run("doctor", "--json") == 1
    findings = {finding["check"]: finding for finding in json.loads(capsys.readouterr().out)}
    assert str(tmp_path / "home/.config/cloudfs/mount.toml") in findings["configuration"]["detail"]
    assert findings["quota"]["ok"] is False
    assert findings["quota"]["mend"] == 'settle "configuration" first'


def test_a_failure_is_red_on_a_terminal_alone(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    run("doctor")
    assert "\x1b[" not in capsys.readouterr().out
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    run("doctor")
    assert "\x1b[31mFAIL\x1b[0m  configuration" in capsys.readouterr().out
    monkeypatch.setenv("NO_COLOR", "1")
    run("doctor")
    assert "\x1b[" not in capsys.readouterr().out


def test_it_needs_nothing_that_it_looks_for(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_PYFUSE3],
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "FAIL  libfuse             pyfuse3 can't be loaded" in done.stdout
    assert "configuration" in done.stdout
