"""Paths as a mount.toml may spell them: `~`, `$XDG_…`, other variables, and NAME."""

from __future__ import annotations

import os
import re
from pathlib import Path

_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))", re.ASCII)
_LINKS_MAX = 40  # path_resolution(7)
_NAME = re.compile(r"\bNAME\b", re.ASCII)

# XDG Base Directory Specification: what an unset variable stands for.
_XDG_DEFAULTS = {
    "XDG_CONFIG_HOME": "~/.config",
    "XDG_CACHE_HOME": "~/.cache",
    "XDG_STATE_HOME": "~/.local/state",
    "XDG_DATA_HOME": "~/.local/share",
}


def xdg_directory(variable: str) -> Path:
    """What an XDG variable stands for here, also where it is not set.

    ValueError where XDG_RUNTIME_DIR is not set and the system made no /run/user directory: the
    specification has no default for it, as it must be a directory that nobody else can write to.
    """
    value = os.environ.get(variable, "")
    if os.path.isabs(value):  # the specification: a relative one is to be ignored
        return Path(value)
    if variable == "XDG_RUNTIME_DIR":
        runtime = Path(f"/run/user/{os.getuid()}")
        if runtime.is_dir():
            return runtime
        raise ValueError("$XDG_RUNTIME_DIR is not set")
    return Path(_XDG_DEFAULTS[variable]).expanduser()


def expand(path: Path, name: str) -> Path:
    """The absolute path that a spelling means; NAME as a word of its own becomes `name`.

    ValueError says what is wrong: a variable that is not set, no such user, or a path that stays relative
    (to which folder it would be relative is not the same for a shell, fstab and a service).
    """
    text = _VARIABLE.sub(_value, str(path))
    text = os.path.expanduser(_NAME.sub(lambda _: name, text))
    if text.startswith("~"):
        raise ValueError(f"no home directory is known for {text.split('/')[0]}")
    if not os.path.isabs(text):
        raise ValueError(f'"{text}" is relative')
    return Path(os.path.normpath(text))


def real_mountpoint(path: Path) -> Path:
    """A mountpoint without symbolic links, itself not asked: realpath(3) would, and a mount that hangs never
    answers."""
    for _ in range(_LINKS_MAX):
        folder = Path(os.path.realpath(path.parent))
        try:
            link = os.readlink(folder / path.name)
        except OSError:
            return folder / path.name
        path = folder / link
    return path


def _value(match: re.Match[str]) -> str:
    variable = match[1] or match[2]
    if variable in _XDG_DEFAULTS or variable == "XDG_RUNTIME_DIR":
        return str(xdg_directory(variable))
    value = os.environ.get(variable)
    if value is None:
        raise ValueError(f"${variable} is not set")
    return value
