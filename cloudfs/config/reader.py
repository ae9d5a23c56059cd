"""Parsed TOML to settings: names and types, all faults collected, no judgement of values yet."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import fields
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from cloudfs.config.faults import Fault, KeyPath
from cloudfs.config.quantities import Duration, Mode, Size, parse_duration, parse_mode, parse_size
from cloudfs.config.settings import CloudType, Grant, MountConfig, Network, OnOpen

T = TypeVar("T")

# Keys that people try for a secret in clear text, and the key to use instead.
_SECRET_KEYS = {
    "password": "password_file",
    "passwd": "password_file",
    "pass": "password_file",
    "token": "password_file",
    "bearer_token": "password_file",
    "secret_access_key": "secret_access_key_file",
    "secret_key": "secret_access_key_file",
}


def read_tables(tables: Mapping[str, object], faults: list[Fault]) -> MountConfig:
    """Every table and key that is right; a faulty one keeps its default and is added to `faults`."""
    return _read(MountConfig, tables, (), faults)


def _read(settings: type[T], table: Mapping[str, object], at: KeyPath, faults: list[Fault]) -> T:
    types = get_type_hints(settings)
    known = {field.name for field in fields(settings)}  # type: ignore[arg-type]
    values: dict[str, object] = {}
    for key, value in table.items():
        if key not in known:
            faults.append(_unknown((*at, key), known))
            continue
        try:
            values[key] = _convert(types[key], value, (*at, key), faults)
        except _WrongType as error:
            found = error.found or _describe(value)
            faults.append(Fault((*at, key), f"expected {error.wanted}, not {found}", error.mend))
    return settings(**values)


class _WrongType(Exception):
    def __init__(self, wanted: str, mend: str, found: str = "") -> None:
        super().__init__(wanted, mend)
        self.wanted = wanted
        self.mend = mend
        self.found = found


def _convert(wanted: Any, value: object, at: KeyPath, faults: list[Fault]) -> object:
    if wanted == tuple[Grant, ...]:
        if not isinstance(value, list) or not all(isinstance(grant, dict) for grant in value):
            raise _WrongType("tables", "write [[control.grant]] and its keys below it")
        return tuple(_read(Grant, grant, (*at, index), faults) for index, grant in enumerate(value))
    converter = _CONVERTERS.get(wanted)
    if converter is not None:
        return converter(value)
    if not isinstance(value, dict):
        raise _WrongType("a table", f"write [{at[0]}] on a line of its own and the keys below it")
    return _read(wanted, value, at, faults)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise _WrongType("true or false", "write true or false, without quotes")
    return value


def _integer(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _WrongType("an integer", "write a whole number, without quotes")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise _WrongType("a text", 'write it in quotes: "…"')
    if "\0" in value:
        raise _WrongType("a text without NUL", "remove the NUL")
    return value


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise _WrongType("an array of texts", 'write ["…", "…"]')
    return tuple(_text(item) for item in value)


def _path(value: object) -> Path:
    if not isinstance(value, str) or not value or "\0" in value:
        raise _WrongType(
            "a path", 'write an absolute path in quotes, or one that begins with "~/" or "$XDG_…"'
        )
    return Path(value)


def _optional_path(value: object) -> Path | None:
    return None if value == "" else _path(value)


def _quantity(parse: Callable[[str], Any], wanted: str, mend: str, value: object) -> Any:
    if not isinstance(value, str):
        raise _WrongType(wanted, mend)
    try:
        return parse(value)
    except ValueError as error:
        raise _WrongType(wanted, mend, found=f'"{value}"') from error


def _choice(choices: type[StrEnum], value: object) -> StrEnum:
    names = [choice.value for choice in choices]
    if value in names:
        return choices(value)
    wanted = " | ".join(f'"{name}"' for name in names)
    if not isinstance(value, str):
        raise _WrongType(wanted, "write one of them")
    close = difflib.get_close_matches(value.lower(), names, n=1)
    mend = f'did you mean "{close[0]}"?' if close else "write one of them"
    raise _WrongType(wanted, mend, found=f'"{value}"')


_CONVERTERS: dict[Any, Callable[[object], object]] = {
    bool: _flag,
    int: _integer,
    str: _text,
    tuple[str, ...]: _texts,
    Path: _path,
    Path | None: _optional_path,
    Size: partial(_quantity, parse_size, "a size", 'write a number and a unit, as in "10GiB" or "512MiB"'),
    Duration: partial(_quantity, parse_duration, "a duration", 'write "500ms", "30s", "5m" or "1h30m"'),
    Mode: partial(_quantity, parse_mode, "a mode in octal digits", 'write it in quotes, as in "0600"'),
    CloudType: partial(_choice, CloudType),
    OnOpen: partial(_choice, OnOpen),
    Network: partial(_choice, Network),
}


def _unknown(at: KeyPath, known: set[str]) -> Fault:
    key = str(at[-1])
    instead = _SECRET_KEYS.get(key.lower())
    if instead in known:
        stem = instead.removesuffix("_file")
        return Fault(
            at,
            "a secret does not belong in this file in clear text",
            f"put it into a file that only you can read (mode 0600) and name that as {instead}, "
            f"or use {stem}_env or {stem}_command",
        )
    close = difflib.get_close_matches(key, sorted(known), n=1)
    mend = f"did you mean {close[0]}?" if close else f"known here: {', '.join(sorted(known))}"
    return Fault(at, "unknown table" if len(at) == 1 else "unknown key", mend)


def _describe(value: object) -> str:
    """What a value is, never the value itself: it could be a secret in the wrong place."""
    match value:
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "this text"
        case list():
            return "an array"
        case dict():
            return "a table"
        case _:
            return "a date or time"
