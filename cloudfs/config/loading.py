"""mount.toml -> MountConfig, or all of its faults at once."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar

from cloudfs.config.checks import check
from cloudfs.config.faults import ConfigError, Fault
from cloudfs.config.lines import locate
from cloudfs.config.options import apply_overrides
from cloudfs.config.paths import expand, xdg_directory
from cloudfs.config.reader import read_tables
from cloudfs.config.settings import CloudType, MountConfig

T = TypeVar("T")

_TOML_LINE = re.compile(r"\(at line (\d+), column \d+\)")


def load(
    path: Path, overrides: Mapping[str, str] | None = None, mountpoint: Path | None = None
) -> MountConfig:
    """Read and check a mount.toml (INTERFACE section 3).

    overrides: `-o` options, as `options.parse_options` gives them; they go before what the file says.
    mountpoint: goes before mount.path; absolute, and taken literally.
    Raises ConfigError with every fault found. Reads no secret and touches nothing but the file.
    """
    overrides = overrides or {}
    text = _read_text(path)
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(path, [_syntax_fault(text, error)]) from error
    apply_overrides(tables, overrides)
    faults: list[Fault] = []
    config = _complete(read_tables(tables, faults), path, faults)
    if mountpoint is not None:
        config = replace(config, mount=replace(config.mount, path=mountpoint))
    known = {fault.key for fault in faults}
    faults += [fault for fault in check(config) if fault.key not in known]
    if faults:
        raise ConfigError(path, _placed(text, faults, overrides))
    return config


def require_supported(path: Path, config: MountConfig, overrides: Mapping[str, str]) -> None:
    """ConfigError where the cloud's type is a known one that this version cannot mount yet."""
    if config.cloud.type is not CloudType.WEBDAV:
        what = f'"{config.cloud.type}" is not supported yet in this version'
        fault = Fault(("cloud", "type"), what, 'set type = "webdav" and the url of a WebDAV server')
        raise located(path, ConfigError(path, [fault]), overrides)


def located(path: Path, error: ConfigError, overrides: Mapping[str, str]) -> ConfigError:
    """Faults found later than by `load` (a secret that can't be had), with the file and their lines in it.

    overrides: as `load` had them.
    """
    return ConfigError(path, _placed(_read_text(path), list(error.faults), overrides))


def _read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except OSError as error:
        mend = "name another by --config, or copy mount.example.toml to it and fill it in"
        raise ConfigError(path, [Fault((), f"cannot be read: {error.strerror}", mend)]) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(path, [Fault((), "is not in UTF-8", "save it as UTF-8", line)]) from error


def _syntax_fault(text: str, error: tomllib.TOMLDecodeError) -> Fault:
    match = _TOML_LINE.search(str(error))
    line = int(match[1]) if match else text.rstrip("\n").count("\n") + 1
    what = f"no valid TOML: {_TOML_LINE.sub('', str(error)).strip()}"
    return Fault((), what, 'look for a missing quote, bracket or "=" here', line)


def _complete(config: MountConfig, path: Path, faults: list[Fault]) -> MountConfig:
    """Fill in what depends on the file's name and the environment."""
    name = config.mount.name or path.stem
    config = replace(
        config,
        mount=_expand_paths(replace(config.mount, name=name), "mount", name, faults),
        cloud=_expand_paths(config.cloud, "cloud", name, faults),
        cache=_expand_paths(config.cache, "cache", name, faults),
        device=_expand_paths(config.device, "device", name, faults),
        control=_expand_paths(config.control, "control", name, faults),
    )
    if config.control.socket is not None:
        return config
    try:
        socket = socket_directory() / f"{name}.sock"
    except ValueError as error:
        faults.append(Fault(("control", "socket"), str(error), "set control.socket to a path of your own"))
        return config
    return replace(config, control=replace(config.control, socket=socket))


def socket_directory() -> Path:
    """Where control sockets are unless told otherwise (INTERFACE section 3).

    ValueError where the system has no runtime directory.
    """
    runtime = Path("/run") if os.getuid() == 0 else xdg_directory("XDG_RUNTIME_DIR")
    return runtime / "cloudfs"


def _expand_paths(section: T, table: str, name: str, faults: list[Fault]) -> T:
    changes: dict[str, Any] = {}
    for field in fields(section):  # type: ignore[arg-type]
        value = getattr(section, field.name)
        if not isinstance(value, Path):
            continue
        try:
            changes[field.name] = expand(value, name)
        except ValueError as error:
            mend = 'write an absolute path, or one that begins with "~/" or "$XDG_…"'
            faults.append(Fault((table, field.name), str(error), mend))
    return replace(section, **changes)  # type: ignore[type-var]


def _placed(text: str, faults: list[Fault], overrides: Mapping[str, str]) -> list[Fault]:
    """The faults with their lines, in the file's order; those without a line come first.

    A key that is missing is placed at its table's header.
    """
    lines = locate(text, {fault.key[:length] for fault in faults for length in (1, len(fault.key))})
    placed = [
        replace(fault, is_option=True)
        if fault.path in overrides
        else replace(fault, line=lines.get(fault.key, lines.get(fault.key[:1])))
        for fault in faults
    ]
    return sorted(placed, key=lambda fault: fault.line or 0)
