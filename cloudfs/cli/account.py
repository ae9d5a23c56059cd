"""As whom a mount of fstab is served, and what a login would have set: a boot leaves it out."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_OF_THE_MACHINE = ("LANG", "LANGUAGE", "TZ")


class NotPossible(Exception):
    """This user can't be become; says why."""


def become(name: str) -> None:
    """Be this user from here on, with no part of the caller's environment but language and time zone.

    Who is that user already stays as he is. NotPossible for a user that does not exist, or to anybody but
    root for another user.
    """
    try:
        account = pwd.getpwnam(name)
    except KeyError:
        raise NotPossible(f"there is no user {name}; name one that exists by setuid=") from None
    if account.pw_uid == os.getuid():
        return
    if os.getuid() != 0:
        raise NotPossible(f"only root may mount as {name}")
    try:
        os.initgroups(name, account.pw_gid)
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)
    except OSError as error:  # a container's root may lack the right
        raise NotPossible(f"{name} can't be become: {error.strerror}") from error
    kept = of_the_machine(os.environ)
    os.environ.clear()
    os.environ.update(kept)


def complete_environment() -> None:
    """Set what a login sets, where it is missing: systemd's mount units have no HOME, and maybe no PATH."""
    missing = {"PATH": _PATH}
    try:
        account = pwd.getpwuid(os.getuid())
    except KeyError:  # a container may run as a user that it has no name for
        pass
    else:
        names = {"USER": account.pw_name, "LOGNAME": account.pw_name}
        missing |= {"HOME": account.pw_dir, "SHELL": account.pw_shell or "/bin/sh"} | names
    if os.path.isdir(runtime := f"/run/user/{os.getuid()}"):
        missing["XDG_RUNTIME_DIR"] = runtime
    for variable, value in missing.items():
        os.environ.setdefault(variable, value)


def of_the_machine(environment: Mapping[str, str]) -> dict[str, str]:
    """The part of an environment that is no user's."""
    return {
        variable: value
        for variable, value in environment.items()
        if variable in _OF_THE_MACHINE or variable.startswith("LC_")
    }
