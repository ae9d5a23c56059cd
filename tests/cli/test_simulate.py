"""`cloudfs simulate`: what is asked of the daemon, what is printed, and what is refused before."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.cli.conftest import Run
from tests.cli.fake_daemon import FakeDaemon, Params, Refusal
from tests.simulated import NOTHING

ALL = {
    "battery": 0,
    "network": "none",
    "quota_full": True,
    "disk_full": True,
    "server_error": 429,
}


def simulating(daemon: FakeDaemon, **conditions: Any) -> dict[str, Any]:
    """Let the daemon simulate these from now on, whatever it is asked for."""
    simulated = {**NOTHING, **conditions}
    daemon.methods["Mount.simulate"] = lambda _: simulated
    daemon.status["simulated"] = simulated
    return simulated


@pytest.mark.parametrize(
    ("arguments", "params"),
    [
        (["--battery", "0"], {"battery": 0}),
        (["--network", "none", "--for", "1m30s"], {"network": "none", "forMs": 90_000}),
        (["--quota-full", "--for", "1h"], {"quotaFull": True, "forMs": 3_600_000}),
        (
            ["--battery", "9", "--network", "mobile", "--disk-full", "--server-error", "507"],
            {"battery": 9, "network": "mobile", "diskFull": True, "serverError": 507},
        ),
        (["off"], {}),
    ],
)
def test_what_is_asked_for(run: Run, daemon: FakeDaemon, arguments: list[str], params: Params) -> None:
    daemon.methods["Mount.simulate"] = lambda _: None
    assert run("simulate", *arguments) == 0
    assert daemon.asked() == [("Mount.simulate", params)]


def test_what_is_printed(run: Run, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    until = round((time.time() + 25) * 1000)
    simulated = simulating(daemon, **ALL, until=until)
    words = "battery 0 %, network none, cloud full, disk full, server error 429, for 25 s more"
    assert run("simulate", "--battery", "0") == 0
    assert capsys.readouterr().out == f"simulated: {words}; end it by: cloudfs simulate off\n"
    assert run("status") == 0
    assert f"\n  simulated  {words}; end it by: cloudfs simulate off\n" in capsys.readouterr().out
    assert run("simulate", "--battery", "0", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"simulated": simulated}

    simulating(daemon, server_error=503)
    assert run("simulate", "--server-error", "503") == 0
    assert capsys.readouterr().out == "simulated: server error 503; end it by: cloudfs simulate off\n"

    daemon.methods["Mount.simulate"] = lambda _: None
    daemon.status["simulated"] = None
    assert run("simulate", "off") == 0
    assert capsys.readouterr().out == "nothing is simulated\n"
    assert run("status") == 0
    assert "simulated" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--battery, --network, --quota-full, --disk-full, --server-error"),
        (["--for", "30s"], "name what to simulate"),
        (["off", "--battery", "9"], "goes with nothing else"),
        (["off", "--for", "9s"], "goes with nothing else"),
        (["on"], "choose from 'off'"),
        (["--battery", "101"], "'101' is no percentage from 0 to 100"),
        (["--battery", "-1"], "'-1' is no percentage"),
        (["--battery", "9.5"], "is no percentage"),
        (["--network", "auto"], "invalid choice: 'auto'"),
        (["--server-error", "412"], "choose from 401, 403, 404, 410, 429, 500, 502, 503, 504, 507"),
        (["--quota-full", "--for", "0s"], "longer than nothing"),
        (["--quota-full", "--for", "soon"], "such are 30s, 5m"),
    ],
)
def test_wrong_usage(
    run: Run,
    daemon: FakeDaemon,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    try:
        code = run("simulate", *arguments)
    except SystemExit as left:  # argparse's own way out
        code = int(left.code or 0)
    assert (code, daemon.asked()) == (2, [])
    assert said in capsys.readouterr().err


def test_who_may_not(run: Run, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(_: Params) -> None:
        raise Refusal(201, "Permission verification failed.", reason="only the mount's owner and root may")

    daemon.methods["Mount.simulate"] = refuse
    assert run("simulate", "off") == 1
    assert "Permission verification failed" in capsys.readouterr().err
