"""Where the secret of a configuration is: in a file, a variable, a command's output or the keyring."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cloudfs.config.faults import ConfigError, Fault
from cloudfs.config.settings import CloudSettings, MountConfig

PATIENCE_S = 10.0  # for a command or a keyring; one that asks a question nobody sees would wait for ever
_SECRET_MAX = 64 * 1024  # bytes; more is some other file
_KEYRING_SERVICE = "cloudfs"


@dataclass(frozen=True, slots=True)
class Login:
    """Who to be in the cloud. Without a username the secret is a Bearer token (RFC 6750)."""

    username: str
    secret: str = field(repr=False)


def read_credentials(config: MountConfig) -> Login | None:
    """The login of a configuration that `load` returned; None where it names no secret (a public cloud).

    May block for PATIENCE_S, so a daemon calls it before it serves anybody. Raises ConfigError where the
    secret can't be had, with the mend; `located` puts the line to it.
    """
    cloud = config.cloud
    for key, read in _SOURCES.items():
        if getattr(cloud, key):
            try:
                secret = read(cloud)
            except _NoSecret as error:
                fault = Fault(("cloud", key), error.what, error.mend)
                raise ConfigError(Path(f"{config.name}.toml"), [fault]) from error
            return Login(cloud.username, secret)
    return None


class _NoSecret(Exception):
    def __init__(self, what: str, mend: str) -> None:
        super().__init__(what, mend)
        self.what = what
        self.mend = mend


def _from_file(cloud: CloudSettings) -> str:
    path = cloud.password_file
    assert path is not None  # as read_credentials has seen
    try:
        with path.open("rb") as stream:
            status = os.fstat(stream.fileno())
            secret = stream.read(_SECRET_MAX + 1)
    except OSError as error:
        raise _NoSecret(f"{path} cannot be read: {error.strerror}", "write the password into it") from error
    if not stat.S_ISREG(status.st_mode):
        raise _NoSecret(f"{path} is no regular file", "name a file that holds the password")
    if status.st_mode & 0o077:
        raise _NoSecret(f"others may read or change {path}", f"run: chmod 600 {path}")
    return _single_line(secret, str(path))


def _from_variable(cloud: CloudSettings) -> str:
    value = os.environb.get(os.fsencode(cloud.password_env))
    if value is None:
        mend = "export it in the shell or unit that starts cloudfs"
        raise _NoSecret(f"the variable {cloud.password_env} is not set", mend)
    return _single_line(value, f"the variable {cloud.password_env}")


def _from_command(cloud: CloudSettings) -> str:
    mend = "run it by hand: it must print the password on one line and end with 0"
    with subprocess.Popen(
        ["/bin/sh", "-c", cloud.password_command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            output, _ = process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired as error:
            # The group, as what the shell started holds the pipe open beyond the shell's own end.
            os.killpg(process.pid, signal.SIGKILL)
            raise _NoSecret(f"the command took longer than {PATIENCE_S:g} s", mend) from error
    if process.returncode != 0:
        raise _NoSecret(f"the command ended with {process.returncode}", mend)
    return _single_line(output, "the command's output")


def _from_keyring(cloud: CloudSettings) -> str:
    try:
        import keyring
    except ImportError as error:
        mend = "install it: pip install 'cloudfs[keyring]', or use password_file"
        raise _NoSecret("the keyring package is not installed", mend) from error
    account = f"{cloud.username}@{cloud.url}"
    secret = _within_patience(lambda: keyring.get_password(_KEYRING_SERVICE, account))
    if secret is None:
        raise _NoSecret(
            "the keyring has no such entry", f"store it: keyring set {_KEYRING_SERVICE} '{account}'"
        )
    return _single_line(secret.encode(), "the keyring's entry")


def _within_patience(ask: Callable[[], str | None]) -> str | None:
    """What `ask` returns, unless it takes too long: a locked keyring waits for a window to be answered.

    The thread that asks is left behind then; it holds nothing that the daemon needs.
    """
    answers: list[str | None] = []
    failures: list[Exception] = []

    def run() -> None:
        try:
            answers.append(ask())
        except Exception as error:  # noqa: BLE001 - a keyring's backend raises what it likes
            failures.append(error)

    thread = threading.Thread(target=run, name="keyring", daemon=True)
    thread.start()
    thread.join(PATIENCE_S)
    if thread.is_alive():
        mend = "unlock the keyring first, or use password_file"
        raise _NoSecret(f"the keyring did not answer within {PATIENCE_S:g} s", mend)
    if failures:
        mend = "see `keyring diagnose`, or use password_file"
        raise _NoSecret(f"the keyring failed: {type(failures[0]).__name__}", mend) from failures[0]
    return answers[0]


def _single_line(secret: bytes, place: str) -> str:
    mend = "it must hold the password alone, on one line, in UTF-8"
    line = secret.removesuffix(b"\n").removesuffix(b"\r")
    if not line:
        raise _NoSecret(f"{place} is empty", mend)
    if len(line) > _SECRET_MAX or any(byte < 0x20 or byte == 0x7F for byte in line):
        raise _NoSecret(f"{place} holds more than a password", mend)
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise _NoSecret(f"{place} is not in UTF-8", mend) from error


_SOURCES: dict[str, Callable[[CloudSettings], str]] = {
    "password_file": _from_file,
    "password_env": _from_variable,
    "password_command": _from_command,
    "keyring": _from_keyring,
}
